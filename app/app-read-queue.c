/* app-read-queue.c: the queue that takes files in and reads them on a thread of its own.
 *
 * Owns: the order of work, pausing, stopping one document, events. Does not own: the work (app-add.c, app-reader.c).
 *
 * Files are taken in before any document is read: that is quick, makes them searchable at once and shows what is to come.
 */
#include "app-reader.h"

#include <gio/gio.h>

typedef struct PathItem {
    char *path;
    int64_t collection;
} PathItem;

struct AppReadQueue {
    AppLibrary *library;
    AppReadEventFn event;
    void *user;
    GThread *thread;
    GMutex mutex; /* guards all below */
    GCond changed;
    AppEngine *engine;
    GQueue paths;     /* PathItem */
    GQueue documents; /* ids, as pointers to int64_t */
    int64_t current;  /* document being read, 0 none */
    bool is_busy, is_paused, is_ending, keeps_added_waiting;
    bool is_adding; /* the work in progress is a path */
    bool cancel; /* read atomically by the work in progress; written under the mutex */
};

static void free_path(gpointer data)
{
    PathItem *item = data;
    g_free(item->path);
    g_free(item);
}

static void tell(AppReadQueue *queue, AppReadEventKind kind, const char *path, int64_t document, const AppReadProgress *progress,
                 const char *message)
{
    AppReadEvent event = {.kind = kind, .path = path, .document = document, .progress = progress, .message = message};
    if (queue->event != NULL) queue->event(queue->user, &event);
}

static void on_progress(void *user, const AppReadProgress *progress)
{
    tell(user, APP_READ_PROGRESS, NULL, progress->document, progress, NULL);
}

static void push_document(AppReadQueue *queue, int64_t document)
{
    g_mutex_lock(&queue->mutex);
    bool known = queue->current == document;
    for (GList *at = queue->documents.head; at != NULL; at = at->next) known = known || *(int64_t *)at->data == document;
    if (!known) g_queue_push_tail(&queue->documents, g_memdup2(&document, sizeof document));
    g_cond_broadcast(&queue->changed);
    g_mutex_unlock(&queue->mutex);
}

static void enqueue(AppReadQueue *queue, int64_t document)
{
    g_autoptr(AppDocument) known = app_library_get_document(queue->library, document, NULL);
    if (known == NULL || known->state == APP_DOCUMENT_NO_TEXT) return;
    app_library_set_document_state(queue->library, document, APP_DOCUMENT_QUEUED, "", NULL);
    push_document(queue, document);
    tell(queue, APP_READ_QUEUED, NULL, document, NULL, NULL);
}

static bool reads_added(AppReadQueue *queue)
{
    g_mutex_lock(&queue->mutex);
    bool reads = !queue->keeps_added_waiting;
    g_mutex_unlock(&queue->mutex);
    return reads;
}

static void take_path(AppReadQueue *queue, const PathItem *item)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) files = app_reader_find_files(item->path, &queue->cancel, NULL, &error);
    if (files == NULL) tell(queue, APP_READ_FAILED, item->path, 0, NULL, error->message);
    for (guint i = 0; files != NULL && i < files->len; i++) {
        if (__atomic_load_n(&queue->cancel, __ATOMIC_RELAXED)) return;
        const char *path = g_ptr_array_index(files, i);
        AppAddOptions options = {.collection = item->collection, .cancel = &queue->cancel};
        AppReadEvent event = {.kind = APP_READ_ADDING, .path = path, .n_files_done = i, .n_files = files->len};
        if (queue->event != NULL) queue->event(queue->user, &event);
        AppAdded added;
        g_autoptr(GError) failure = NULL;
        int64_t document = app_reader_add_file(queue->library, path, &options, &added, &failure);
        if (document < 0) {
            bool stopped = __atomic_load_n(&queue->cancel, __ATOMIC_RELAXED);
            if (!stopped) tell(queue, APP_READ_FAILED, path, 0, NULL, failure->message);
            continue;
        }
        event = (AppReadEvent){.kind = APP_READ_ADDED, .path = path, .document = document, .n_files_done = i + 1, .n_files = files->len,
                               .was_known = added != APP_ADDED_NEW && added != APP_ADDED_CHANGED};
        if (queue->event != NULL) queue->event(queue->user, &event);
        g_autoptr(AppDocument) known = app_library_get_document(queue->library, document, NULL);
        bool is_wanted = known != NULL && (known->state != APP_DOCUMENT_READY || added == APP_ADDED_CHANGED);
        if (is_wanted && reads_added(queue)) enqueue(queue, document);
    }
}

static void read_document(AppReadQueue *queue, AppEngine *engine, int64_t document)
{
    g_autoptr(GError) error = NULL;
    if (app_reader_read(engine, document, &queue->cancel, on_progress, queue, NULL, &error)) {
        tell(queue, APP_READ_DONE, NULL, document, NULL, NULL);
    } else if (__atomic_load_n(&queue->cancel, __ATOMIC_RELAXED)) {
        tell(queue, APP_READ_PAUSED, NULL, document, NULL, NULL);
    } else {
        tell(queue, APP_READ_FAILED, NULL, document, NULL, error->message);
    }
}

/* Waits for something to do. *ret_path or *ret_document is set; false: the queue ends. Called with the mutex held. */
static bool wait_for_work(AppReadQueue *queue, PathItem **ret_path, int64_t *ret_document, AppEngine **ret_engine)
{
    while (!queue->is_ending) {
        if (queue->paths.length > 0) {
            *ret_path = g_queue_pop_head(&queue->paths);
            break;
        }
        if (queue->documents.length > 0 && queue->engine != NULL && !queue->is_paused) {
            int64_t *document = g_queue_pop_head(&queue->documents);
            *ret_document = queue->current = *document;
            *ret_engine = app_engine_ref(queue->engine);
            g_free(document);
            break;
        }
        if (queue->is_busy) {
            queue->is_busy = false;
            g_mutex_unlock(&queue->mutex);
            tell(queue, APP_READ_IDLE, NULL, 0, NULL, NULL);
            g_mutex_lock(&queue->mutex);
            continue;
        }
        g_cond_wait(&queue->changed, &queue->mutex);
    }
    queue->is_busy = !queue->is_ending;
    queue->is_adding = *ret_path != NULL;
    __atomic_store_n(&queue->cancel, queue->is_ending, __ATOMIC_RELAXED);
    return !queue->is_ending;
}

static gpointer work(gpointer user)
{
    AppReadQueue *queue = user;
    g_mutex_lock(&queue->mutex);
    while (true) {
        PathItem *path = NULL;
        int64_t document = 0;
        AppEngine *engine = NULL;
        if (!wait_for_work(queue, &path, &document, &engine)) break;
        g_mutex_unlock(&queue->mutex);
        if (path != NULL) {
            take_path(queue, path);
            free_path(path);
        } else {
            read_document(queue, engine, document);
            app_engine_unref(engine);
        }
        g_mutex_lock(&queue->mutex);
        /* Paused as a whole: it goes on with this document first. */
        if (document != 0 && queue->is_paused && !queue->is_ending) g_queue_push_head(&queue->documents, g_memdup2(&document, sizeof document));
        queue->current = 0;
    }
    g_mutex_unlock(&queue->mutex);
    return NULL;
}

AppReadQueue *app_read_queue_new(AppLibrary *library, AppReadEventFn event, void *user)
{
    AppReadQueue *queue = g_new0(AppReadQueue, 1);
    queue->library = app_library_ref(library);
    queue->event = event;
    queue->user = user;
    g_mutex_init(&queue->mutex);
    g_cond_init(&queue->changed);
    g_queue_init(&queue->paths);
    g_queue_init(&queue->documents);
    queue->thread = g_thread_new("read-queue", work, queue);
    return queue;
}

void app_read_queue_free(AppReadQueue *queue)
{
    if (queue == NULL) return;
    g_mutex_lock(&queue->mutex);
    queue->is_ending = true;
    __atomic_store_n(&queue->cancel, true, __ATOMIC_RELAXED);
    g_cond_broadcast(&queue->changed);
    g_mutex_unlock(&queue->mutex);
    g_thread_join(queue->thread);
    for (GList *at = queue->documents.head; at != NULL; at = at->next) {
        app_library_set_document_state(queue->library, *(int64_t *)at->data, APP_DOCUMENT_PAUSED, "", NULL);
    }
    g_queue_clear_full(&queue->paths, free_path);
    g_queue_clear_full(&queue->documents, g_free);
    app_engine_unref(queue->engine);
    app_library_unref(queue->library);
    g_mutex_clear(&queue->mutex);
    g_cond_clear(&queue->changed);
    g_free(queue);
}

void app_read_queue_set_engine(AppReadQueue *queue, AppEngine *engine)
{
    g_mutex_lock(&queue->mutex);
    AppEngine *before = queue->engine;
    queue->engine = engine != NULL ? app_engine_ref(engine) : NULL;
    g_cond_broadcast(&queue->changed);
    g_mutex_unlock(&queue->mutex);
    app_engine_unref(before);
}

void app_read_queue_add_path(AppReadQueue *queue, const char *path, int64_t collection)
{
    PathItem *item = g_new0(PathItem, 1);
    item->path = g_strdup(path);
    item->collection = collection;
    g_mutex_lock(&queue->mutex);
    g_queue_push_tail(&queue->paths, item);
    g_cond_broadcast(&queue->changed);
    g_mutex_unlock(&queue->mutex);
}

void app_read_queue_set_reads_added(AppReadQueue *queue, bool reads)
{
    g_mutex_lock(&queue->mutex);
    queue->keeps_added_waiting = !reads;
    g_mutex_unlock(&queue->mutex);
}

void app_read_queue_stop_adding(AppReadQueue *queue)
{
    g_mutex_lock(&queue->mutex);
    g_queue_clear_full(&queue->paths, free_path);
    if (queue->is_busy && queue->is_adding) __atomic_store_n(&queue->cancel, true, __ATOMIC_RELAXED);
    g_mutex_unlock(&queue->mutex);
}

void app_read_queue_add_document(AppReadQueue *queue, int64_t document)
{
    enqueue(queue, document);
}

void app_read_queue_stop_document(AppReadQueue *queue, int64_t document)
{
    bool was_waiting = false;
    g_mutex_lock(&queue->mutex);
    for (GList *at = queue->documents.head, *next; at != NULL; at = next) {
        next = at->next;
        if (*(int64_t *)at->data != document) continue;
        g_free(at->data);
        g_queue_delete_link(&queue->documents, at);
        was_waiting = true;
    }
    if (queue->current == document) __atomic_store_n(&queue->cancel, true, __ATOMIC_RELAXED);
    g_mutex_unlock(&queue->mutex);
    if (!was_waiting) return;
    app_library_set_document_state(queue->library, document, APP_DOCUMENT_PAUSED, "", NULL);
    tell(queue, APP_READ_PAUSED, NULL, document, NULL, NULL);
}

void app_read_queue_set_paused(AppReadQueue *queue, bool paused)
{
    g_mutex_lock(&queue->mutex);
    queue->is_paused = paused;
    if (paused && queue->current != 0) __atomic_store_n(&queue->cancel, true, __ATOMIC_RELAXED);
    g_cond_broadcast(&queue->changed);
    g_mutex_unlock(&queue->mutex);
}

bool app_read_queue_is_idle(AppReadQueue *queue)
{
    g_mutex_lock(&queue->mutex);
    bool waiting = queue->documents.length > 0 && queue->engine != NULL && !queue->is_paused;
    bool idle = !queue->is_busy && queue->paths.length == 0 && !waiting && queue->current == 0;
    g_mutex_unlock(&queue->mutex);
    return idle;
}
