/* app-ask-each.c: one question put to every document by itself, and the table of answers.
 *
 * Owns: the order of documents, rows, CSV, the turn that keeps a table. Does not own: answering (app-ask.c), layout (cli/, ui/).
 */
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>

#include "app-ask-internal.h"

static AppAskRow *row_new(int64_t document, const char *title)
{
    AppAskRow *row = g_new0(AppAskRow, 1);
    row->n_refs = 1;
    row->document = document;
    row->title = g_strdup(title);
    return row;
}

AppAskRow *app_ask_row_ref(const AppAskRow *row)
{
    AppAskRow *shared = (AppAskRow *)row; /* the count alone changes */
    g_atomic_int_inc(&shared->n_refs);
    return shared;
}

void app_ask_row_unref(AppAskRow *row)
{
    if (!row || !g_atomic_int_dec_and_test(&row->n_refs)) return;
    g_free(row->title);
    g_free(row->failure);
    app_answer_free(row->answer);
    g_free(row);
}

const char *app_ask_row_answer(const AppAskRow *row)
{
    if (row->failure) return row->failure;
    return row->answer->found ? row->answer->answer : "not found";
}

static const AppQuotation *quotation_of(const AppAskRow *row)
{
    return row->answer && row->answer->n_evidence ? &row->answer->evidence[0].quotation : NULL;
}

char *app_ask_row_place(const AppAskRow *row)
{
    const AppQuotation *quotation = quotation_of(row);
    if (!quotation || quotation->section < 0) return g_strdup("");
    if (quotation->page == UINT32_MAX) return g_strdup_printf("section %" G_GINT64_FORMAT, quotation->section + 1);
    if (quotation->page_label && quotation->page_label[0]) return g_strdup_printf("page %s", quotation->page_label);
    return g_strdup_printf("page %u", quotation->page + 1);
}

/* The documents of the scope one by one: int64_t. */
static GArray *list_scope(AppLibrary *library, const AppAskScope *scope, GError **error)
{
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    if (scope->documents) {
        g_array_append_vals(ids, scope->documents, (guint)scope->n_documents);
        return ids;
    }
    g_autoptr(GPtrArray) documents = app_library_list_documents(library, scope->collection, APP_ORDER_TITLE, 0, 0, error);
    for (guint i = 0; documents && i < documents->len; i++) g_array_append_val(ids, ((AppDocument *)documents->pdata[i])->id);
    if (documents) return ids;
    g_array_unref(ids);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- the turn */

/* NULL: it is kept; else why not: what was answered stands all the same. */
static char *store_table(AppAsker *asker, const GPtrArray *rows, const char *question, int64_t conversation)
{
    g_autoptr(GArray) quotations = g_array_new(FALSE, FALSE, sizeof(AppQuotation)); /* borrowed */
    json_t *list = json_array();
    uint32_t n_found = 0;
    for (guint i = 0; i < rows->len; i++) {
        const AppAskRow *row = rows->pdata[i];
        json_t *object = json_pack("{s:I, s:s}", "document_id", (json_int_t)row->document, "title", row->title);
        if (row->answer) json_object_set_new(object, "answer", app_answer_to_object(row->answer));
        if (row->failure) json_object_set_new(object, "failure", json_string(row->failure));
        json_array_append_new(list, object);
        n_found += row->answer && row->answer->found;
        if (quotation_of(row)) g_array_append_vals(quotations, quotation_of(row), 1);
    }
    g_autofree char *stats = app_ask_dump_json(json_pack("{s:o}", "each", list));
    g_autofree char *summary = g_strdup_printf("Found in %u of %u documents.", n_found, rows->len);
    AppTurn turn = {.question = (char *)question, .answer = summary, .model = (char *)app_engine_get_model_name(asker->engine),
                    .found = n_found > 0, .quotations = (AppQuotation *)(void *)quotations->data, .n_quotations = quotations->len,
                    .stats = stats};
    g_autoptr(GError) error = NULL;
    return app_library_add_turn(asker->library, conversation, &turn, &error) > 0 ? NULL : g_strdup(error->message);
}

GPtrArray *app_ask_rows_from_turn(const AppTurn *turn)
{
    json_t *root = json_loads(turn->stats, 0, NULL), *list = json_object_get(root, "each");
    GPtrArray *rows = json_is_array(list) ? g_ptr_array_new_with_free_func((GDestroyNotify)app_ask_row_unref) : NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *object = json_array_get(list, i), *answer = json_object_get(object, "answer");
        const char *title = json_string_value(json_object_get(object, "title"));
        const char *failure = json_string_value(json_object_get(object, "failure"));
        AppAskRow *row = row_new(json_integer_value(json_object_get(object, "document_id")), title ? title : "");
        if (answer) row->answer = app_answer_from_object(answer, NULL);
        if (!answer) row->failure = g_strdup(failure ? failure : "");
        g_ptr_array_add(rows, row);
    }
    json_decref(root);
    return rows;
}

/* --------------------------------------------------------------------------------------------------------------- asking */

/* *ret_stopped: cancelled, no row. */
static AppAskRow *ask_row(AppAsker *asker, int64_t document, const char *question, const AppAskOptions *options, const bool *cancel,
                          bool *ret_stopped)
{
    AppAskScope scope = {.documents = &document, .n_documents = 1};
    g_autoptr(GError) error = NULL;
    g_autoptr(AppDocument) known = app_library_get_document(asker->library, document, NULL);
    AppAnswer *answer = app_asker_ask(asker, &scope, question, options, NULL, NULL, cancel, &error);
    *ret_stopped = !answer && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    if (*ret_stopped) return NULL;
    AppAskRow *row = row_new(document, known ? known->title : "?");
    row->answer = answer;
    if (!answer) row->failure = g_strdup(error->message);
    return row;
}

GPtrArray *app_asker_ask_each(AppAsker *asker, const AppAskScope *scope, const char *question, const AppAskOptions *options, AppAskRowFn row,
                              void *user, const bool *cancel, bool *ret_stopped, char **ret_not_kept, GError **error)
{
    *ret_not_kept = NULL;
    g_autoptr(GArray) ids = list_scope(asker->library, scope, error);
    if (!ids) return NULL;
    if (ids->len == 0) {
        g_set_error_literal(error, APP_ASK_ERROR, APP_ASK_ERROR_EMPTY, _("there are no documents to ask"));
        return NULL;
    }
    AppAskOptions each = options ? *options : (AppAskOptions){0};
    each.conversation = 0; /* the table is one turn */
    each.not_kept = NULL;
    GPtrArray *rows = g_ptr_array_new_with_free_func((GDestroyNotify)app_ask_row_unref);
    *ret_stopped = false;
    for (guint i = 0; i < ids->len; i++) {
        AppAskRow *one = ask_row(asker, g_array_index(ids, int64_t, i), question, &each, cancel, ret_stopped);
        if (*ret_stopped) break;
        g_ptr_array_add(rows, one);
        if (row) row(user, one, i, ids->len);
    }
    if (options && rows->len > 0)
        *ret_not_kept = options->conversation ? store_table(asker, rows, question, options->conversation) : g_strdup(options->not_kept);
    return rows;
}

/* ------------------------------------------------------------------------------------------------------------------ CSV */

static void put_csv(GString *out, const char *text, bool last)
{
    /* A cell that a spreadsheet would run as a formula is kept a text. */
    const char *guard = text[0] && strchr("=+@\t\r", text[0]) ? "'" : "";
    bool quote = guard[0] || strpbrk(text, ",\"\n\r") != NULL;
    if (quote) g_string_append_c(out, '"');
    g_string_append(out, guard);
    for (const char *at = text; *at; at++) {
        if (*at == '"') g_string_append_c(out, '"');
        g_string_append_c(out, *at);
    }
    if (quote) g_string_append_c(out, '"');
    g_string_append(out, last ? "\r\n" : ",");
}

static void put_csv_number(GString *out, const uint64_t *number, bool last)
{
    g_autofree char *text = number ? g_strdup_printf("%" G_GUINT64_FORMAT, *number) : g_strdup("");
    put_csv(out, text, last);
}

char *app_ask_rows_to_csv(const GPtrArray *rows, bool with_header)
{
    GString *out = g_string_new(with_header ? "question,document,found,answer,quotation,where,start,end\r\n" : NULL);
    for (guint i = 0; i < rows->len; i++) {
        const AppAskRow *row = rows->pdata[i];
        const AppQuotation *quotation = quotation_of(row);
        g_autofree char *place = app_ask_row_place(row);
        put_csv(out, row->answer ? row->answer->question : "", false);
        put_csv(out, row->title, false);
        put_csv(out, row->failure ? "failed" : row->answer->found ? "yes" : "no", false);
        put_csv(out, app_ask_row_answer(row), false);
        put_csv(out, quotation ? quotation->text : "", false);
        put_csv(out, place, false);
        put_csv_number(out, place[0] ? &quotation->char_start : NULL, false);
        put_csv_number(out, place[0] ? &quotation->char_end : NULL, true);
    }
    return g_string_free(out, FALSE);
}
