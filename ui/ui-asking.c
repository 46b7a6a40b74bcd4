/* ui-asking.c: see ui-asking.h.
 *
 * The worker appends notes under the mutex and wakes the main loop when none waits; text that is still waiting is added to, so that a
 * fast model costs one relayout a frame at most. Two references: the worker's, and that of whoever started it until `done` or detach.
 */
#define G_LOG_DOMAIN "ui-asking"
#include "ui-asking.h"

#include <string.h>

#include "ui-settings-queue.h"

typedef enum NoteKind { NOTE_LOOKING, NOTE_TEXT, NOTE_ROW, NOTE_DONE } NoteKind;

typedef struct Note {
    NoteKind kind;
    uint32_t n_sections, index, n_rows;
    uint64_t n_tokens;
    bool flag; /* LOOKING: chosen; TEXT: in a quotation */
    GString *text;
    AppAskRow *row;
} Note;

struct UiAsking {
    gint n_refs;
    AppEngine *engine;
    AppAsker *asker;
    char *question;
    GArray *documents; /* int64_t */
    bool is_named, each;
    int64_t collection, conversation;
    bool is_new; /* the conversation is begun with this question */
    bool cancel; /* atomic */
    UiAskingHandlers handlers;
    gpointer user;
    bool is_detached; /* main thread */
    GMutex mutex;     /* guards notes and is_woken */
    GQueue notes;
    bool is_woken;
    /* The outcome: written by the worker before its last note. */
    AppAnswer *answer;
    GPtrArray *rows;
    char *not_kept; /* why there is no conversation, or no turn of the table; NULL */
    bool is_stopped;
    GError *error;
};

static void free_note(gpointer data)
{
    Note *note = data;
    if (note->text != NULL) g_string_free(note->text, TRUE);
    app_ask_row_unref(note->row);
    g_free(note);
}

static void asking_unref(UiAsking *asking)
{
    if (!g_atomic_int_dec_and_test(&asking->n_refs)) return;
    app_asker_free(asking->asker);
    app_engine_unref(asking->engine);
    g_free(asking->question);
    g_array_unref(asking->documents);
    g_queue_clear_full(&asking->notes, free_note);
    g_mutex_clear(&asking->mutex);
    app_answer_free(asking->answer);
    g_clear_pointer(&asking->rows, g_ptr_array_unref);
    g_free(asking->not_kept);
    g_clear_error(&asking->error);
    g_free(asking);
}

/* ------------------------------------------------------------------------------------------------------- main thread */

static void tell(UiAsking *asking, const Note *note)
{
    switch (note->kind) {
    case NOTE_LOOKING:
        asking->handlers.looking(asking->user, note->n_sections, note->n_tokens, note->flag);
        break;
    case NOTE_TEXT:
        asking->handlers.text(asking->user, note->text->str, note->flag);
        break;
    case NOTE_ROW:
        asking->handlers.row(asking->user, note->row, note->index, note->n_rows);
        break;
    case NOTE_DONE:
        asking->handlers.done(asking->user, g_steal_pointer(&asking->asker), asking->answer, asking->rows, asking->is_stopped, asking->error);
        asking_unref(asking); /* the starter's */
        break;
    }
}

static gboolean tell_notes(gpointer user)
{
    UiAsking *asking = user;
    g_mutex_lock(&asking->mutex);
    GQueue notes = asking->notes;
    g_queue_init(&asking->notes);
    asking->is_woken = false;
    g_mutex_unlock(&asking->mutex);
    for (Note *note; (note = g_queue_pop_head(&notes)) != NULL; free_note(note)) {
        if (!asking->is_detached) tell(asking, note);
    }
    return G_SOURCE_REMOVE;
}

/* ------------------------------------------------------------------------------------------------------------ worker */

static void push_note(UiAsking *asking, Note *note)
{
    g_mutex_lock(&asking->mutex);
    Note *last = g_queue_peek_tail(&asking->notes);
    if (last != NULL && note->kind == NOTE_TEXT && last->kind == NOTE_TEXT && last->flag == note->flag) {
        g_string_append_len(last->text, note->text->str, (gssize)note->text->len);
        free_note(note);
    } else {
        g_queue_push_tail(&asking->notes, note);
    }
    if (!asking->is_woken) {
        g_atomic_int_inc(&asking->n_refs);
        g_idle_add_full(G_PRIORITY_DEFAULT, tell_notes, asking, (GDestroyNotify)asking_unref);
    }
    asking->is_woken = true;
    g_mutex_unlock(&asking->mutex);
}

static void on_event(void *user, const AppAskEvent *event)
{
    if (event->kind != APP_ASK_STARTED && event->kind != APP_ASK_CHOSEN && event->kind != APP_ASK_TEXT) return;
    Note *note = g_new0(Note, 1);
    note->kind = event->kind == APP_ASK_TEXT ? NOTE_TEXT : NOTE_LOOKING;
    note->n_sections = event->n_sections;
    note->n_tokens = event->n_tokens;
    note->flag = event->kind == APP_ASK_TEXT ? event->in_quotation : event->kind == APP_ASK_CHOSEN;
    if (note->kind == NOTE_TEXT) note->text = g_string_new_len(event->text, (gssize)event->n_bytes);
    push_note(user, note);
}

static void on_row(void *user, const AppAskRow *row, uint32_t index, uint32_t n_rows)
{
    Note *note = g_new0(Note, 1);
    note->kind = NOTE_ROW;
    note->row = app_ask_row_ref(row);
    note->index = index;
    note->n_rows = n_rows;
    push_note(user, note);
}

/* The conversation is made with the first question, so that none without any is kept. */
static bool begin_conversation(UiAsking *asking, const AppAskScope *scope)
{
    if (asking->conversation != 0) return true;
    asking->is_new = true;
    asking->conversation = app_ask_begin_conversation(app_engine_get_library(asking->engine), asking->question, scope, &asking->error);
    if (asking->conversation > 0) return true;
    asking->conversation = 0;
    asking->not_kept = app_ask_take_not_kept(&asking->error);
    return asking->not_kept != NULL;
}

/* The second machine, where the settings let it answer. False: they say so, and it cannot be used. */
static bool open_remote(AppRemote **ret_remote, GError **error)
{
    g_autoptr(AppSettings) settings = ui_settings_queue_open(NULL);
    if (settings == NULL || !app_settings_get_boolean(settings, APP_SETTING_REMOTE_ENABLED)) return true;
    *ret_remote = app_remote_new(settings, error);
    return *ret_remote != NULL;
}

static gpointer work(gpointer user)
{
    UiAsking *asking = user;
    g_autoptr(AppRemote) remote = NULL;
    if (asking->asker == NULL) asking->asker = app_asker_new(asking->engine);
    AppAskScope scope = {.documents = asking->is_named ? (const int64_t *)(void *)asking->documents->data : NULL,
                         .n_documents = asking->documents->len, .collection = asking->collection};
    if (open_remote(&remote, &asking->error) && begin_conversation(asking, &scope)) {
        g_autofree char *not_begun = g_steal_pointer(&asking->not_kept);
        AppAskOptions options = {.conversation = asking->conversation, .not_kept = not_begun, .remote = remote};
        if (asking->each) {
            asking->rows = app_asker_ask_each(asking->asker, &scope, asking->question, &options, on_row, asking, &asking->cancel,
                                              &asking->is_stopped, &asking->not_kept, &asking->error);
        } else {
            asking->answer = app_asker_ask(asking->asker, &scope, asking->question, &options, on_event, asking, &asking->cancel, &asking->error);
        }
        bool is_kept = asking->answer != NULL || (asking->rows != NULL && asking->rows->len > 0);
        if (!is_kept && asking->is_new && asking->conversation != 0) {
            app_library_remove_conversation(app_engine_get_library(asking->engine), asking->conversation, NULL);
            asking->conversation = 0;
        }
    }
    Note *note = g_new0(Note, 1);
    note->kind = NOTE_DONE;
    push_note(asking, note);
    asking_unref(asking);
    return NULL;
}

/* --------------------------------------------------------------------------------------------------------- interface */

UiAsking *ui_asking_start(AppEngine *engine, AppAsker *asker, const UiQuestion *question, const UiAskingHandlers *handlers, gpointer user)
{
    UiAsking *asking = g_new0(UiAsking, 1);
    asking->n_refs = 2;
    asking->engine = app_engine_ref(engine);
    asking->asker = asker;
    asking->question = g_strdup(question->text);
    asking->documents = g_array_new(FALSE, FALSE, sizeof(int64_t));
    if (question->n_documents > 0) g_array_append_vals(asking->documents, question->documents, (guint)question->n_documents);
    asking->is_named = question->n_documents > 0;
    asking->collection = question->collection;
    asking->conversation = question->conversation;
    asking->each = question->each;
    asking->handlers = *handlers;
    asking->user = user;
    g_mutex_init(&asking->mutex);
    g_queue_init(&asking->notes);
    g_thread_unref(g_thread_new("asking", work, asking));
    return asking;
}

void ui_asking_stop(UiAsking *asking)
{
    __atomic_store_n(&asking->cancel, true, __ATOMIC_RELAXED);
}

void ui_asking_detach(UiAsking *asking)
{
    ui_asking_stop(asking);
    asking->is_detached = true;
    asking_unref(asking);
}

const char *ui_asking_get_not_kept(const UiAsking *asking)
{
    return asking->answer != NULL ? asking->answer->not_kept : asking->not_kept;
}

int64_t ui_asking_get_conversation(const UiAsking *asking)
{
    return asking->conversation;
}
