/* app-watch.c: watched folders: notices of the file system, settling, rescans. */
#include "app-watch.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>

#include "app-library-internal.h"
#include "app-source.h"
#include "app-watch-internal.h"

enum { SETTLE_MS = 2000, RESCAN_S = 300, TICK_MS = 250, DEPTH_MAX = 64, MONITORS_MAX = 8192, FILES_MAX = 200000 };

typedef struct Stamp { /* of a file: changes when its content does */
    int64_t modified_ns;
    uint64_t n_bytes, inode;
} Stamp;

typedef struct Pending {
    Stamp stamp;
    int64_t due_us; /* not before; moved on as long as the file changes */
} Pending;

struct AppWatcher {
    AppLibrary *library;
    AppReadQueue *queue;
    unsigned settle_ms, rescan_s;
    GThread *thread;
    GMainContext *context;
    GMainLoop *loop;
    /* All below belongs to the thread. */
    char **folders;
    int64_t collection;
    GHashTable *monitors; /* folder -> GFileMonitor */
    GHashTable *known;    /* file -> Stamp: handed over, or known to the library */
    GHashTable *pending;  /* file -> Pending */
    int64_t next_scan_us;
};

static bool get_stamp(const char *path, Stamp *ret_stamp)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return false;
    *ret_stamp = (Stamp){(int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec, (uint64_t)info.st_size, info.st_ino};
    return true;
}

static bool is_same_stamp(const Stamp *a, const Stamp *b)
{
    return a->modified_ns == b->modified_ns && a->n_bytes == b->n_bytes && a->inode == b->inode;
}

static bool has_hidden_part(const char *path, const char *below)
{
    size_t n = strlen(below);
    return strstr(path + MIN(n, strlen(path)), "/.") != NULL;
}

/* The watched folder that holds the path, NULL: none. */
static const char *folder_of(const AppWatcher *watcher, const char *path)
{
    for (char **folder = watcher->folders; *folder != NULL; folder++) {
        size_t n = strlen(*folder);
        bool ends = path[n] == '/' || path[n] == '\0' || (n > 0 && (*folder)[n - 1] == '/');
        if (strncmp(path, *folder, n) == 0 && ends) return *folder;
    }
    return NULL;
}

static void look_at_file(AppWatcher *watcher, const char *path)
{
    Stamp stamp;
    if (!app_source_is_readable_name(path) || !g_utf8_validate(path, -1, NULL) || !get_stamp(path, &stamp)) return;
    const Stamp *known = g_hash_table_lookup(watcher->known, path);
    if (known != NULL && is_same_stamp(known, &stamp)) return;
    const Pending *pending = g_hash_table_lookup(watcher->pending, path);
    if (pending != NULL && is_same_stamp(&pending->stamp, &stamp)) return;
    if (g_hash_table_size(watcher->pending) >= FILES_MAX) return;
    Pending fresh = {stamp, g_get_monotonic_time() + (int64_t)watcher->settle_ms * 1000};
    g_hash_table_replace(watcher->pending, g_strdup(path), g_memdup2(&fresh, sizeof fresh));
}

static void scan(AppWatcher *watcher, const char *folder, unsigned depth);

static void on_changed(GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer user)
{
    AppWatcher *watcher = user;
    bool is_move = event == G_FILE_MONITOR_EVENT_RENAMED;
    g_autofree char *path = g_file_get_path(is_move && other != NULL ? other : file);
    const char *folder = path != NULL ? folder_of(watcher, path) : NULL;
    if (folder == NULL || has_hidden_part(path, folder)) return;
    if (event == G_FILE_MONITOR_EVENT_DELETED || event == G_FILE_MONITOR_EVENT_MOVED_OUT) {
        g_hash_table_remove(watcher->known, path);
        g_hash_table_remove(watcher->pending, path);
        g_hash_table_remove(watcher->monitors, path);
        return;
    }
    struct stat info;
    if (lstat(path, &info) != 0) return;
    if (S_ISDIR(info.st_mode)) {
        scan(watcher, path, 1);
    } else {
        look_at_file(watcher, path);
    }
}

static void stop_monitor(gpointer data)
{
    GFileMonitor *monitor = data;
    g_signal_handlers_disconnect_matched(monitor, G_SIGNAL_MATCH_FUNC, 0, 0, NULL, (gpointer)on_changed, NULL);
    g_file_monitor_cancel(monitor);
    g_object_unref(monitor);
}

/* Without a monitor (there is a limit on them) the rescans see to the folder. */
static void add_monitor(AppWatcher *watcher, const char *folder)
{
    if (g_hash_table_contains(watcher->monitors, folder) || g_hash_table_size(watcher->monitors) >= MONITORS_MAX) return;
    g_autoptr(GFile) file = g_file_new_for_path(folder);
    GFileMonitor *monitor = g_file_monitor_directory(file, G_FILE_MONITOR_WATCH_MOVES, NULL, NULL);
    if (monitor == NULL) return;
    g_signal_connect(monitor, "changed", G_CALLBACK(on_changed), watcher);
    g_hash_table_replace(watcher->monitors, g_strdup(folder), monitor);
}

/* The same files as `lectern read FOLDER` takes. The monitor comes first, so that nothing falls between it and the look. */
static void scan(AppWatcher *watcher, const char *folder, unsigned depth)
{
    add_monitor(watcher, folder);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        if (name[0] == '.') continue;
        g_autofree char *path = g_build_filename(folder, name, NULL);
        struct stat info;
        if (lstat(path, &info) != 0) continue;
        if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX) {
            scan(watcher, path, depth + 1);
        } else if (!S_ISDIR(info.st_mode)) {
            look_at_file(watcher, path);
        }
    }
}

static void scan_all(AppWatcher *watcher)
{
    for (char **folder = watcher->folders; *folder != NULL; folder++) scan(watcher, *folder, 0);
    watcher->next_scan_us = g_get_monotonic_time() + (int64_t)watcher->rescan_s * G_USEC_PER_SEC;
}

/* A file that has settled goes to the queue, unless the library knows it as it is; then only what is unread of it does. */
static void hand_over(AppWatcher *watcher, const char *path, const Stamp *stamp)
{
    if (folder_of(watcher, path) == NULL) return;
    g_autoptr(GArray) unread = g_array_new(FALSE, FALSE, sizeof(int64_t));
    if (app_library_knows_file(watcher->library, path, stamp->n_bytes, stamp->modified_ns / 1000000000, watcher->collection, unread)) {
        for (guint i = 0; i < unread->len; i++) app_read_queue_add_document(watcher->queue, g_array_index(unread, int64_t, i));
    } else {
        app_read_queue_add_path(watcher->queue, path, watcher->collection);
    }
    g_hash_table_replace(watcher->known, g_strdup(path), g_memdup2(stamp, sizeof *stamp));
}

static gboolean on_tick(gpointer user)
{
    AppWatcher *watcher = user;
    int64_t now = g_get_monotonic_time();
    if (now >= watcher->next_scan_us) scan_all(watcher);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, watcher->pending);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        Pending *pending = value;
        if (now < pending->due_us) continue;
        Stamp stamp;
        if (!get_stamp(key, &stamp)) {
            g_hash_table_iter_remove(&iter);
        } else if (!is_same_stamp(&stamp, &pending->stamp)) {
            *pending = (Pending){stamp, now + (int64_t)watcher->settle_ms * 1000};
        } else {
            hand_over(watcher, key, &stamp);
            g_hash_table_iter_remove(&iter);
        }
    }
    return G_SOURCE_CONTINUE;
}

static gpointer watch(gpointer user)
{
    AppWatcher *watcher = user;
    g_main_context_push_thread_default(watcher->context);
    GSource *tick = g_timeout_source_new(MIN((guint)TICK_MS, watcher->settle_ms));
    g_source_set_callback(tick, on_tick, watcher, NULL);
    g_source_attach(tick, watcher->context);
    g_main_loop_run(watcher->loop);
    g_source_destroy(tick);
    g_source_unref(tick);
    /* Monitors live in this thread's context and end in it. */
    g_hash_table_remove_all(watcher->monitors);
    g_main_context_pop_thread_default(watcher->context);
    return NULL;
}

AppWatcher *app_watcher_new_with(AppLibrary *library, AppReadQueue *queue, unsigned settle_ms, unsigned rescan_s)
{
    AppWatcher *watcher = g_new0(AppWatcher, 1);
    watcher->library = app_library_ref(library);
    watcher->queue = queue;
    watcher->settle_ms = settle_ms;
    watcher->rescan_s = rescan_s;
    watcher->context = g_main_context_new();
    watcher->loop = g_main_loop_new(watcher->context, FALSE);
    watcher->folders = g_new0(char *, 1);
    watcher->monitors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, stop_monitor);
    watcher->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    watcher->pending = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    watcher->next_scan_us = INT64_MAX;
    watcher->thread = g_thread_new("watcher", watch, watcher);
    return watcher;
}

AppWatcher *app_watcher_new(AppLibrary *library, AppReadQueue *queue)
{
    return app_watcher_new_with(library, queue, SETTLE_MS, RESCAN_S);
}

static gboolean on_quit(gpointer user)
{
    g_main_loop_quit(((AppWatcher *)user)->loop);
    return G_SOURCE_REMOVE;
}

/* On the thread, also when it does not run its loop yet. */
static void run_there(AppWatcher *watcher, GSourceFunc run, gpointer data, GDestroyNotify destroy)
{
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, run, data, destroy);
    g_source_attach(source, watcher->context);
    g_source_unref(source);
}

void app_watcher_free(AppWatcher *watcher)
{
    if (watcher == NULL) return;
    run_there(watcher, on_quit, watcher, NULL);
    g_thread_join(watcher->thread);
    g_hash_table_unref(watcher->monitors);
    g_hash_table_unref(watcher->known);
    g_hash_table_unref(watcher->pending);
    g_strfreev(watcher->folders);
    g_main_loop_unref(watcher->loop);
    g_main_context_unref(watcher->context);
    app_library_unref(watcher->library);
    g_free(watcher);
}

typedef struct Change {
    AppWatcher *watcher;
    char **folders;
    int64_t collection;
} Change;

static gboolean on_set_folders(gpointer user)
{
    Change *change = user;
    AppWatcher *watcher = change->watcher;
    g_strfreev(watcher->folders);
    watcher->folders = g_steal_pointer(&change->folders);
    watcher->collection = change->collection;
    g_hash_table_remove_all(watcher->monitors);
    g_hash_table_remove_all(watcher->pending);
    scan_all(watcher);
    return G_SOURCE_REMOVE;
}

static void free_change(gpointer data)
{
    g_strfreev(((Change *)data)->folders);
    g_free(data);
}

void app_watcher_set_folders(AppWatcher *watcher, const char *const *folders, int64_t collection)
{
    g_autoptr(GPtrArray) whole = g_ptr_array_new();
    for (; *folders != NULL; folders++) g_ptr_array_add(whole, g_canonicalize_filename(*folders, NULL));
    g_ptr_array_add(whole, NULL);
    Change *change = g_new0(Change, 1);
    *change = (Change){watcher, (char **)g_ptr_array_steal(whole, NULL), collection};
    run_there(watcher, on_set_folders, change, free_change);
}

static gboolean on_rescan(gpointer user)
{
    scan_all(user);
    return G_SOURCE_REMOVE;
}

void app_watcher_rescan(AppWatcher *watcher)
{
    run_there(watcher, on_rescan, watcher, NULL);
}
