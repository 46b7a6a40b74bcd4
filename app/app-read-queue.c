/* app-read-queue.c: the queue that takes files in and reads them, on two threads of its own.
 *
 * Owns: the order of work, pausing, stopping one document, events. Does not own: the work (app-add-all.c, app-reader.c).
 *
 * Files are taken in on one thread while documents are read on the other: a set is searchable soon, and reading waits for nobody.
 */
#include "app-reader.h"

#include <gio/gio.h>

typedef struct PathItem {
    char *path;
    int64_t collection;
    char *password, *ocr_languages;
    bool ocr;
} PathItem;

struct AppReadQueue {
    AppLibrary *library;
    AppReadEventFn event;
    void *user;
    GThread *reader, *intake;
    GRecMutex event_mutex; /* events come one at a time; an event's function may call the queue */
    GMutex mutex;          /* guards all below */
    GCond changed;
    AppEngine *engine;
    GQueue paths;     /* PathItem */
    GQueue documents; /* ids, as pointers to int64_t */
    int64_t current;  /* document being read, 0 none */
    bool is_taking;   /* a path is being taken in */
    bool is_busy;     /* something was done since the last IDLE */
    bool is_paused, is_ending, keeps_added_waiting;
    bool cancel;      /* read atomically by the reading in progress; written under the mutex */
    bool cancel_intake;
};

static void free_path(gpointer data)
{
    PathItem *item = data;
    g_free(item->path);
    g_free(item->password);
    g_free(item->ocr_languages);
    g_free(item);
}

static void tell_event(AppReadQueue *queue, const AppReadEvent *event)
{
    if (queue->event == NULL) return;
    g_rec_mutex_lock(&queue->event_mutex);
    queue->event(queue->user, event);
    g_rec_mutex_unlock(&queue->event_mutex);
}

static void tell(AppReadQueue *queue, AppReadEventKind kind, const char *path, int64_t document)
{
    tell_event(queue, &(AppReadEvent){.kind = kind, .path = path, .document = document});
}

static void tell_failure(AppReadQueue *queue, const char *path, int64_t document, const GError *error)
{
    tell_event(queue, &(AppReadEvent){.kind = APP_READ_FAILED, .path = path, .document = document, .message = error->message,
                                      .needs_password = g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_PASSWORD)});
}

static void on_progress(void *user, const AppReadProgress *progress)
{
    tell_event(user, &(AppReadEvent){.kind = APP_READ_PROGRESS, .document = progress->document, .progress = progress});
}

/* With the mutex held. */
static bool is_waiting(const AppReadQueue *queue, int64_t document)
{
    for (const GList *at = queue->documents.head; at != NULL; at = at->next)
        if (*(const int64_t *)at->data == document) return true;
    return false;
}

static void push_document(AppReadQueue *queue, int64_t document)
{
    g_mutex_lock(&queue->mutex);
    /* One that is being stopped is wanted again after all: it goes on when it has stopped. */
    bool is_stopping = __atomic_load_n(&queue->cancel, __ATOMIC_RELAXED);
    bool known = (queue->current == document && !is_stopping) || is_waiting(queue, document);
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
    tell(queue, APP_READ_QUEUED, NULL, document);
}

static bool reads_added(AppReadQueue *queue)
{
    g_mutex_lock(&queue->mutex);
    bool reads = !queue->keeps_added_waiting;
    g_mutex_unlock(&queue->mutex);
    return reads;
}

/* The file on its way in. */
typedef struct Taking {
    AppReadQueue *queue;
    char *path;
    uint32_t n_files_done, n_files;
} Taking;

static void on_begin(void *user, const char *path, uint32_t n_files_done, uint32_t n_files)
{
    Taking *taking = user;
    g_free(taking->path);
    *taking = (Taking){taking->queue, g_strdup(path), n_files_done, n_files};
    tell_event(taking->queue, &(AppReadEvent){.kind = APP_READ_ADDING, .path = path, .n_files_done = n_files_done, .n_files = n_files});
}

static void on_pages(void *user, uint32_t n_done, uint32_t n_pages)
{
    const Taking *taking = user;
    tell_event(taking->queue, &(AppReadEvent){.kind = APP_READ_ADDING, .path = taking->path, .n_files_done = taking->n_files_done,
                                              .n_files = taking->n_files, .n_pages_done = n_done, .n_pages = n_pages});
}

static bool on_added(void *user, const AppAddedFile *file)
{
    AppReadQueue *queue = ((Taking *)user)->queue;
    bool stopped = g_error_matches(file->error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_CANCELLED);
    if (file->document < 0) {
        if (!stopped) tell_failure(queue, file->path, 0, file->error);
        return true;
    }
    tell_event(queue, &(AppReadEvent){.kind = APP_READ_ADDED, .path = file->path, .document = file->document,
                                      .n_files_done = file->n_files_done, .n_files = file->n_files,
                                      .was_known = file->added != APP_ADDED_NEW && file->added != APP_ADDED_CHANGED});
    g_autoptr(AppDocument) known = app_library_get_document(queue->library, file->document, NULL);
    bool is_wanted = known != NULL && (known->state != APP_DOCUMENT_READY || file->added == APP_ADDED_CHANGED);
    if (is_wanted && reads_added(queue)) enqueue(queue, file->document);
    return true;
}

static void take_path(AppReadQueue *queue, const PathItem *item)
{
    g_autoptr(GError) error = NULL;
    Taking taking = {.queue = queue};
    AppAddOptions options = {.collection = item->collection, .password = item->password, .ocr = item->ocr, .ocr_languages = item->ocr_languages,
                             .cancel = &queue->cancel_intake, .begin = on_begin, .pages = on_pages, .user = &taking};
    bool ok = app_reader_add_all(queue->library, item->path, &options, on_added, &taking, NULL, &error);
    g_free(taking.path);
    if (ok) return;
    if (!g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_CANCELLED)) tell_failure(queue, item->path, 0, error);
}

static void read_document(AppReadQueue *queue, AppEngine *engine, int64_t document)
{
    g_autoptr(GError) error = NULL;
    if (app_reader_read(engine, document, &queue->cancel, on_progress, queue, NULL, &error)) {
        tell(queue, APP_READ_DONE, NULL, document);
    } else if (__atomic_load_n(&queue->cancel, __ATOMIC_RELAXED)) {
        tell(queue, APP_READ_PAUSED, NULL, document);
    } else {
        tell_failure(queue, NULL, document, error);
    }
}

/* Says once, after something was done, that nothing is left to do. Called with the mutex held, which is let go meanwhile; true: look
 * again at what there is. */
static bool tell_idle(AppReadQueue *queue)
{
    bool waiting = queue->documents.length > 0 && queue->engine != NULL && !queue->is_paused;
    if (!queue->is_busy || queue->is_taking || queue->paths.length > 0 || waiting || queue->current != 0 || queue->is_ending) return false;
    queue->is_busy = false;
    g_mutex_unlock(&queue->mutex);
    tell(queue, APP_READ_IDLE, NULL, 0);
    g_mutex_lock(&queue->mutex);
    return true;
}

static gpointer take_in(gpointer user)
{
    AppReadQueue *queue = user;
    g_mutex_lock(&queue->mutex);
    while (!queue->is_ending) {
        PathItem *path = g_queue_pop_head(&queue->paths);
        if (path == NULL) {
            if (!tell_idle(queue)) g_cond_wait(&queue->changed, &queue->mutex);
            continue;
        }
        queue->is_taking = queue->is_busy = true;
        __atomic_store_n(&queue->cancel_intake, false, __ATOMIC_RELAXED);
        g_mutex_unlock(&queue->mutex);
        take_path(queue, path);
        free_path(path);
        g_mutex_lock(&queue->mutex);
        queue->is_taking = false;
    }
    g_mutex_unlock(&queue->mutex);
    return NULL;
}

static gpointer read_all(gpointer user)
{
    AppReadQueue *queue = user;
    g_mutex_lock(&queue->mutex);
    while (!queue->is_ending) {
        bool can_read = queue->documents.length > 0 && queue->engine != NULL && !queue->is_paused;
        if (!can_read) {
            if (!tell_idle(queue)) g_cond_wait(&queue->changed, &queue->mutex);
            continue;
        }
        g_autofree int64_t *document = g_queue_pop_head(&queue->documents);
        queue->current = *document;
        queue->is_busy = true;
        __atomic_store_n(&queue->cancel, false, __ATOMIC_RELAXED);
        AppEngine *engine = app_engine_ref(queue->engine);
        g_mutex_unlock(&queue->mutex);
        read_document(queue, engine, *document);
        app_engine_unref(engine);
        g_mutex_lock(&queue->mutex);
        /* Paused as a whole: it goes on with this document first. */
        if (queue->is_paused && !queue->is_ending && !is_waiting(queue, *document)) g_queue_push_head(&queue->documents, g_steal_pointer(&document));
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
    g_rec_mutex_init(&queue->event_mutex);
    queue->reader = g_thread_new("read-queue", read_all, queue);
    queue->intake = g_thread_new("intake-queue", take_in, queue);
    return queue;
}

void app_read_queue_free(AppReadQueue *queue)
{
    if (queue == NULL) return;
    g_mutex_lock(&queue->mutex);
    queue->is_ending = true;
    __atomic_store_n(&queue->cancel, true, __ATOMIC_RELAXED);
    __atomic_store_n(&queue->cancel_intake, true, __ATOMIC_RELAXED);
    g_cond_broadcast(&queue->changed);
    g_mutex_unlock(&queue->mutex);
    g_thread_join(queue->intake);
    g_thread_join(queue->reader);
    for (GList *at = queue->documents.head; at != NULL; at = at->next) {
        app_library_set_document_state(queue->library, *(int64_t *)at->data, APP_DOCUMENT_PAUSED, "", NULL);
    }
    g_queue_clear_full(&queue->paths, free_path);
    g_queue_clear_full(&queue->documents, g_free);
    app_engine_unref(queue->engine);
    app_library_unref(queue->library);
    g_mutex_clear(&queue->mutex);
    g_cond_clear(&queue->changed);
    g_rec_mutex_clear(&queue->event_mutex);
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

void app_read_queue_add(AppReadQueue *queue, const char *path, const AppReadQueueOptions *options)
{
    PathItem *item = g_new0(PathItem, 1);
    item->path = g_strdup(path);
    item->collection = options->collection;
    item->password = g_strdup(options->password);
    item->ocr = options->ocr;
    item->ocr_languages = g_strdup(options->ocr_languages);
    g_mutex_lock(&queue->mutex);
    g_queue_push_tail(&queue->paths, item);
    g_cond_broadcast(&queue->changed);
    g_mutex_unlock(&queue->mutex);
}

void app_read_queue_add_path(AppReadQueue *queue, const char *path, int64_t collection)
{
    app_read_queue_add(queue, path, &(AppReadQueueOptions){.collection = collection});
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
    if (queue->is_taking) __atomic_store_n(&queue->cancel_intake, true, __ATOMIC_RELAXED);
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
    tell(queue, APP_READ_PAUSED, NULL, document);
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
    bool idle = !queue->is_busy && !queue->is_taking && queue->paths.length == 0 && !waiting && queue->current == 0;
    g_mutex_unlock(&queue->mutex);
    return idle;
}
