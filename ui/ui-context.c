/* ui-context.c: see ui-context.h.
 *
 * Threads: the library's watch and the queue's events come on other threads. They leave a note under the mutex and wake the main loop
 * once; the loop takes all notes together. The context outlives its queue's thread: dispose joins it first.
 */
#define G_LOG_DOMAIN "ui-context"
#include "ui-context.h"

#include <glib/gi18n.h>

#include "app-models.h"
#include "app-watch.h"
#include "ui-settings-queue.h"

enum { CHANGED_DELAY_MS = 50, PROGRESS_DELAY_MS = 50, JOURNAL_DELAY_MS = 300 };

struct _UiContext {
    GObject parent;
    AppLibrary *library;
    AppReadQueue *queue;
    AppWatcher *watcher; /* NULL: no folder was ever watched */
    AppEngine *engine;
    char *engine_problem;
    guint64 load; /* counts loads: an older one's end is ignored */
    bool is_loading;
    GFileMonitor *journal; /* changes by other processes */
    bool is_looking, looks_again;
    unsigned watch;
    GHashTable *hidden;    /* set of gint64: documents about to be removed */
    GMutex mutex;         /* guards the notes below */
    GHashTable *changed;  /* set of gint64: documents touched since the last wake */
    GQueue events;        /* Note */
    guint changed_source, events_source;
};

typedef struct Note { /* an AppReadEvent that owns what it points at */
    AppReadEvent event;
    AppReadProgress progress;
    char *path, *message;
} Note;

enum { SIGNAL_LIBRARY_CHANGED, SIGNAL_READ_EVENT, SIGNAL_ENGINE_CHANGED, SIGNAL_DOCUMENT_HIDDEN, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE(UiContext, ui_context, G_TYPE_OBJECT)

static void free_note(gpointer data)
{
    Note *note = data;
    g_free(note->path);
    g_free(note->message);
    g_free(note);
}

static gboolean tell_changed(gpointer user)
{
    UiContext *self = user;
    g_mutex_lock(&self->mutex);
    GHashTable *changed = self->changed;
    self->changed = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    self->changed_source = 0;
    g_mutex_unlock(&self->mutex);
    GHashTableIter iter;
    gpointer key;
    gint64 document = 0;
    if (g_hash_table_size(changed) == 1) {
        g_hash_table_iter_init(&iter, changed);
        if (g_hash_table_iter_next(&iter, &key, NULL)) document = *(gint64 *)key;
    }
    g_hash_table_unref(changed);
    g_signal_emit(self, signals[SIGNAL_LIBRARY_CHANGED], 0, document);
    return G_SOURCE_REMOVE;
}

static void on_library_changed(void *user, int64_t document)
{
    UiContext *self = user;
    gint64 key = document;
    g_mutex_lock(&self->mutex);
    g_hash_table_add(self->changed, g_memdup2(&key, sizeof key));
    if (self->changed_source == 0) self->changed_source = g_timeout_add(CHANGED_DELAY_MS, tell_changed, self);
    g_mutex_unlock(&self->mutex);
}

static gboolean tell_events(gpointer user)
{
    g_autoptr(UiContext) self = g_object_ref(user);
    g_mutex_lock(&self->mutex);
    GQueue events = self->events;
    g_queue_init(&self->events);
    self->events_source = 0;
    g_mutex_unlock(&self->mutex);
    for (Note *note; (note = g_queue_pop_head(&events)) != NULL; free_note(note)) {
        g_signal_emit(self, signals[SIGNAL_READ_EVENT], 0, &note->event);
    }
    return G_SOURCE_REMOVE;
}

static void on_read_event(void *user, const AppReadEvent *event)
{
    UiContext *self = user;
    g_mutex_lock(&self->mutex);
    Note *last = g_queue_peek_tail(&self->events);
    bool joins = last != NULL && event->kind == APP_READ_PROGRESS && last->event.kind == APP_READ_PROGRESS &&
                 last->event.document == event->document;
    Note *note = joins ? last : g_new0(Note, 1);
    if (!joins) {
        note->event = *event;
        note->event.path = note->path = g_strdup(event->path);
        note->event.message = note->message = g_strdup(event->message);
        note->event.progress = event->progress != NULL ? &note->progress : NULL;
        g_queue_push_tail(&self->events, note);
    }
    if (event->progress != NULL) note->progress = *event->progress;
    if (self->events_source == 0) {
        guint delay_ms = event->kind == APP_READ_PROGRESS ? PROGRESS_DELAY_MS : 0;
        self->events_source = g_timeout_add(delay_ms, tell_events, self);
    }
    g_mutex_unlock(&self->mutex);
}

/* ---------------------------------------------------------------------------------------------------- other processes */

static void look_for_others(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    app_library_look_for_others(data);
    g_task_return_boolean(task, TRUE);
}

static void on_journal_changed(UiContext *self);

static void on_looked(GObject *source, GAsyncResult *result, gpointer user)
{
    UiContext *self = UI_CONTEXT(source);
    self->is_looking = false;
    if (self->looks_again && self->journal != NULL) on_journal_changed(self);
}

/* The command line may change the library while the window shows it. This process's own changes are written to the journal, too: then there is
 * nothing to tell. */
static void on_journal_changed(UiContext *self)
{
    self->looks_again = self->is_looking;
    if (self->is_looking) return;
    self->is_looking = true;
    ui_context_run(self, G_OBJECT(self), look_for_others, app_library_ref(self->library), (GDestroyNotify)app_library_unref, NULL, on_looked, NULL);
}

static void watch_journal(UiContext *self)
{
    g_autoptr(GFile) file = g_file_new_for_path(app_library_get_journal(self->library));
    self->journal = g_file_monitor_file(file, G_FILE_MONITOR_NONE, NULL, NULL);
    if (self->journal == NULL) return; /* where files cannot be watched, changes by others are seen with the next of one's own */
    g_file_monitor_set_rate_limit(self->journal, JOURNAL_DELAY_MS);
    g_signal_connect_object(self->journal, "changed", G_CALLBACK(on_journal_changed), self, G_CONNECT_SWAPPED);
}

UiContext *ui_context_new(const char *folder, GError **error)
{
    AppLibrary *library = app_library_open(folder, error);
    if (library == NULL) return NULL;
    UiContext *self = g_object_new(UI_TYPE_CONTEXT, NULL);
    self->library = library;
    self->watch = app_library_add_watch(library, on_library_changed, self);
    self->queue = app_read_queue_new(library, on_read_event, self);
    watch_journal(self);
    return self;
}

AppLibrary *ui_context_get_library(UiContext *self) { return self->library; }
AppReadQueue *ui_context_get_queue(UiContext *self) { return self->queue; }
AppEngine *ui_context_get_engine(UiContext *self) { return self->engine; }
const char *ui_context_get_engine_problem(UiContext *self) { return self->engine_problem; }
bool ui_context_is_engine_loading(UiContext *self) { return self->is_loading; }

char *ui_context_dup_collection_name(UiContext *self, int64_t id)
{
    g_autoptr(GPtrArray) collections = app_library_list_collections(self->library, NULL);
    for (guint i = 0; collections != NULL && i < collections->len; i++) {
        const AppCollection *collection = g_ptr_array_index(collections, i);
        if (collection->id == id) return g_strdup(collection->name);
    }
    return NULL;
}

typedef struct Load {
    AppLibrary *library;
    char *model;
    guint64 number;
} Load;

static void free_load(gpointer data)
{
    Load *load = data;
    app_library_unref(load->library);
    g_free(load->model);
    g_free(load);
}

static void load_engine(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const Load *load = data;
    GError *error = NULL;
    g_autoptr(AppSettings) settings = ui_settings_queue_open(NULL); /* the command line and doctor say what is wrong with them */
    g_autofree char *chosen = settings != NULL ? app_settings_get_text(settings, APP_SETTING_MODEL) : g_strdup("");
    const char *model = load->model != NULL ? load->model : *chosen != '\0' ? chosen : NULL;
    unsigned n_threads = settings != NULL ? (unsigned)app_settings_get_number(settings, APP_SETTING_THREADS) : 0;
    AppEngine *engine = app_engine_open(load->library, model, n_threads, &error);
    if (engine != NULL) g_task_return_pointer(task, engine, (GDestroyNotify)app_engine_unref);
    else g_task_return_error(task, error);
}

static void on_engine_loaded(GObject *source, GAsyncResult *result, gpointer user)
{
    UiContext *self = UI_CONTEXT(source);
    Load *load = g_task_get_task_data(G_TASK(result));
    g_autoptr(GError) error = NULL;
    g_autoptr(AppEngine) engine = g_task_propagate_pointer(G_TASK(result), &error);
    if (load->number != self->load || self->queue == NULL) return;
    self->is_loading = false;
    g_clear_pointer(&self->engine_problem, g_free);
    if (error != NULL) {
        bool is_missing = g_error_matches(error, APP_MODELS_ERROR, APP_MODELS_ERROR_NOT_FOUND); /* its words are for the command line */
        self->engine_problem = g_strdup(is_missing ? _("The model is not here. Choose, import or download one.") : error->message);
    }
    app_engine_unref(self->engine);
    self->engine = g_steal_pointer(&engine);
    app_read_queue_set_engine(self->queue, self->engine);
    g_signal_emit(self, signals[SIGNAL_ENGINE_CHANGED], 0);
}

void ui_context_load_engine(UiContext *self, const char *model)
{
    Load *load = g_new0(Load, 1);
    load->library = app_library_ref(self->library);
    load->model = g_strdup(model);
    load->number = ++self->load;
    self->is_loading = true;
    ui_context_run(self, G_OBJECT(self), load_engine, load, free_load, NULL, on_engine_loaded, NULL);
}

void ui_context_update_watch(UiContext *self)
{
    g_autoptr(AppSettings) settings = app_settings_open(NULL, NULL);
    g_auto(GStrv) folders = settings != NULL ? app_settings_get_folders(settings, APP_SETTING_WATCH) : NULL;
    if (folders == NULL || (self->watcher == NULL && folders[0] == NULL)) return;
    if (self->watcher == NULL) self->watcher = app_watcher_new(self->library, self->queue);
    app_watcher_set_folders(self->watcher, (const char *const *)folders, 0);
}

void ui_context_hide_document(UiContext *self, int64_t document, bool is_hidden)
{
    gint64 key = document;
    bool is_new = is_hidden ? g_hash_table_add(self->hidden, g_memdup2(&key, sizeof key)) : g_hash_table_remove(self->hidden, &key);
    if (is_new) g_signal_emit(self, signals[SIGNAL_DOCUMENT_HIDDEN], 0, key, (gboolean)is_hidden);
}

GArray *ui_context_dup_hidden(UiContext *self)
{
    GArray *documents = g_array_new(FALSE, FALSE, sizeof(int64_t));
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, self->hidden);
    while (g_hash_table_iter_next(&iter, &key, NULL)) g_array_append_vals(documents, key, 1);
    return documents;
}

void ui_context_run(UiContext *self, GObject *source, GTaskThreadFunc work, gpointer data, GDestroyNotify free_data,
                    GCancellable *cancellable, GAsyncReadyCallback done, gpointer user)
{
    g_autoptr(GTask) task = g_task_new(source, cancellable, done, user);
    g_task_set_task_data(task, data, free_data);
    g_task_set_check_cancellable(task, FALSE);
    g_task_run_in_thread(task, work);
}

static void ui_context_dispose(GObject *object)
{
    UiContext *self = UI_CONTEXT(object);
    g_clear_object(&self->journal);
    g_clear_pointer(&self->watcher, app_watcher_free); /* before its queue */
    g_clear_pointer(&self->queue, app_read_queue_free); /* joins its thread: no event follows */
    if (self->watch != 0) app_library_remove_watch(self->library, self->watch);
    self->watch = 0;
    g_mutex_lock(&self->mutex);
    g_clear_handle_id(&self->changed_source, g_source_remove);
    g_clear_handle_id(&self->events_source, g_source_remove);
    g_queue_clear_full(&self->events, free_note);
    g_mutex_unlock(&self->mutex);
    g_clear_pointer(&self->engine, app_engine_unref);
    g_clear_pointer(&self->library, app_library_unref);
    G_OBJECT_CLASS(ui_context_parent_class)->dispose(object);
}

static void ui_context_finalize(GObject *object)
{
    UiContext *self = UI_CONTEXT(object);
    g_free(self->engine_problem);
    g_hash_table_unref(self->changed);
    g_hash_table_unref(self->hidden);
    g_mutex_clear(&self->mutex);
    G_OBJECT_CLASS(ui_context_parent_class)->finalize(object);
}

static void ui_context_class_init(UiContextClass *class)
{
    G_OBJECT_CLASS(class)->dispose = ui_context_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_context_finalize;
    signals[SIGNAL_LIBRARY_CHANGED] =
        g_signal_new("library-changed", UI_TYPE_CONTEXT, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_INT64);
    signals[SIGNAL_READ_EVENT] =
        g_signal_new("read-event", UI_TYPE_CONTEXT, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_POINTER);
    signals[SIGNAL_ENGINE_CHANGED] =
        g_signal_new("engine-changed", UI_TYPE_CONTEXT, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
    signals[SIGNAL_DOCUMENT_HIDDEN] =
        g_signal_new("document-hidden", UI_TYPE_CONTEXT, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 2, G_TYPE_INT64, G_TYPE_BOOLEAN);
}

static void ui_context_init(UiContext *self)
{
    g_mutex_init(&self->mutex);
    g_queue_init(&self->events);
    self->changed = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    self->hidden = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}
