/* app-ask-conversation.c: conversations: earlier turns for the model, and storing new ones.
 *
 * Owns: the scope's JSON form, which earlier turns a model is given, what of an answer a turn keeps.
 * Does not own: the tables (app-library.h).
 *
 * A model that was tuned to read (a bound form of reply) takes every question by itself: it was never shown earlier turns. A chat model
 * is given the last ones. Either way the documents' states are the cache's: nothing is read again.
 */
#include "app-ask-internal.h"

#include <glib/gi18n.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "app-engine-internal.h"

enum { HISTORY_TURNS_MAX = 8 };

/* ---------------------------------------------------------------------------------------------------------------- scope */

static char *scope_to_json(const AppAskScope *scope)
{
    json_t *root = json_object(), *documents = json_array();
    for (size_t i = 0; i < scope->n_documents; i++) json_array_append_new(documents, json_integer((json_int_t)scope->documents[i]));
    if (scope->documents)
        json_object_set_new(root, "documents", documents);
    else
        json_decref(documents);
    if (scope->collection) json_object_set_new(root, "collection", json_integer((json_int_t)scope->collection));
    return app_ask_dump_json(root);
}

int64_t app_ask_begin_conversation(AppLibrary *library, const char *title, const AppAskScope *scope, GError **error)
{
    g_autofree char *json = scope_to_json(scope);
    return app_library_add_conversation(library, title, json, error);
}

int64_t app_ask_find_conversation(AppLibrary *library, const char *title, const AppAskScope *scope, GError **error)
{
    g_autoptr(GPtrArray) conversations = app_library_list_conversations(library, 0, error);
    if (!conversations) return -1;
    for (guint i = 0; i < conversations->len; i++) {
        const AppConversation *conversation = conversations->pdata[i];
        if (g_strcmp0(conversation->title, title) == 0) return conversation->id;
    }
    return app_ask_begin_conversation(library, title, scope, error);
}

char *app_ask_take_not_kept(GError **error)
{
    if (!g_error_matches(*error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NO_SPACE)) return NULL;
    char *words = g_strdup((*error)->message);
    g_clear_error(error);
    return words;
}

bool app_ask_get_conversation_scope(AppLibrary *library, int64_t conversation, GArray **ret_documents, int64_t *ret_collection, GError **error)
{
    g_autoptr(GPtrArray) conversations = app_library_list_conversations(library, 0, error);
    if (!conversations) return false;
    const AppConversation *wanted = NULL;
    for (guint i = 0; i < conversations->len && !wanted; i++) {
        const AppConversation *candidate = conversations->pdata[i];
        if (candidate->id == conversation) wanted = candidate;
    }
    if (!wanted) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND, _("there is no conversation %" PRId64), conversation);
        return false;
    }
    GArray *documents = g_array_new(FALSE, FALSE, sizeof(int64_t));
    json_t *root = json_loads(wanted->scope, 0, NULL);
    json_t *list = json_object_get(root, "documents");
    for (size_t i = 0; i < json_array_size(list); i++) {
        int64_t id = json_integer_value(json_array_get(list, i));
        g_autoptr(AppDocument) document = app_library_get_document(library, id, NULL);
        if (document) g_array_append_val(documents, id);
    }
    *ret_documents = documents;
    *ret_collection = json_integer_value(json_object_get(root, "collection"));
    json_decref(root);
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- history */

/* A turn as the chat form has it, up to the line break after the reply. */
static bool add_turn_tokens(AppAsking *asking, const AppTurn *turn, bool is_first, eng_tokens *tokens, GError **error)
{
    eng_error engine_error = {0};
    eng_chat_turn earlier = {.system = is_first ? app_ask_instructions() : NULL, .question = turn->question, .reply = turn->answer};
    eng_status status = eng_chat_tokens(asking->model, &earlier, tokens, &engine_error);
    if (status == ENG_OK) return true;
    app_engine_set_error(error, status, &engine_error);
    return false;
}

bool app_ask_add_history(AppAsking *asking, GError **error)
{
    const eng_model_info *info = eng_model_get_info(asking->model);
    if (!asking->options->conversation || info->reply_form != ENG_REPLY_FREE) return true;
    g_autoptr(GPtrArray) turns = app_library_list_turns(asking->asker->library, asking->options->conversation, error);
    if (!turns) return false;
    guint first = turns->len > HISTORY_TURNS_MAX ? turns->len - HISTORY_TURNS_MAX : 0;
    for (; first < turns->len; first++) { /* the oldest turns go until the rest fits into half of the context */
        asking->prompt.n = 0;
        for (guint i = first; i < turns->len; i++)
            if (!add_turn_tokens(asking, turns->pdata[i], i == first, &asking->prompt, error)) return false;
        if (asking->prompt.n <= info->n_context / 2) return true;
    }
    asking->prompt.n = 0;
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- turns */

void app_ask_store_turn(AppAsking *asking)
{
    AppAnswer *answer = asking->answer;
    g_autofree char *stats = app_answer_to_json(answer);
    g_autofree AppQuotation *quotations = g_new0(AppQuotation, answer->n_evidence + 1);
    for (size_t i = 0; i < answer->n_evidence; i++) quotations[i] = answer->evidence[i].quotation; /* borrowed */
    AppTurn turn = {.question = answer->question, .answer = answer->answer, .model = answer->model, .found = answer->found,
                    .quotations = quotations, .n_quotations = answer->n_evidence, .stats = stats};
    bool changed = __atomic_load_n(&asking->asker->changed, __ATOMIC_RELAXED);
    g_autoptr(GError) error = NULL;
    int64_t id = app_library_add_turn(asking->asker->library, asking->options->conversation, &turn, &error);
    if (id > 0) answer->turn = id;
    if (id <= 0) answer->not_kept = g_strdup(error->message);
    /* A turn of our own changes no document: what is open stays good. */
    __atomic_store_n(&asking->asker->changed, changed, __ATOMIC_RELAXED);
}
