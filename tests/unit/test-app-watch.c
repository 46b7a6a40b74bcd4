/* test-app-watch.c: what comes into watched folders, changes, moves and is known already. */
#include "app-fixture.h"

#include <sys/stat.h>
#include <utime.h>

#include "app-watch-internal.h"

enum { SETTLE_MS = 60, LONG_S = 3600, WAIT_S = 60 };

typedef struct Watched {
    GMutex mutex;
    guint n_added, n_failed, n_queued;
    AppReadQueue *queue;
    AppWatcher *watcher;
} Watched;

static void on_event(void *user, const AppReadEvent *event)
{
    Watched *watched = user;
    g_mutex_lock(&watched->mutex);
    watched->n_added += event->kind == APP_READ_ADDED;
    watched->n_failed += event->kind == APP_READ_FAILED;
    watched->n_queued += event->kind == APP_READ_QUEUED;
    g_mutex_unlock(&watched->mutex);
}

static void begin(const Fixture *f, Watched *watched, const char *const *folders, unsigned rescan_s, int64_t collection)
{
    *watched = (Watched){0};
    g_mutex_init(&watched->mutex);
    watched->queue = app_read_queue_new(f->library, on_event, watched);
    watched->watcher = app_watcher_new_with(f->library, watched->queue, SETTLE_MS, rescan_s);
    app_watcher_set_folders(watched->watcher, folders, collection);
}

static void end(Watched *watched)
{
    app_watcher_free(watched->watcher);
    app_read_queue_free(watched->queue);
    g_mutex_clear(&watched->mutex);
}

static guint get(Watched *watched, const guint *number)
{
    g_mutex_lock(&watched->mutex);
    guint value = *number;
    g_mutex_unlock(&watched->mutex);
    return value;
}

/* Until that many were told; fails when it takes too long. */
static void wait_for(Watched *watched, const guint *number, guint wanted)
{
    gint64 last = g_get_monotonic_time() + (gint64)WAIT_S * G_USEC_PER_SEC;
    while (get(watched, number) < wanted && g_get_monotonic_time() < last) g_usleep(5000);
    assert_int_equal(get(watched, number), wanted);
}

static char *make_folder(const Fixture *f, const char *name)
{
    char *path = fixture_path(f, name);
    assert_int_equal(g_mkdir(path, 0700), 0);
    return path;
}

static void test_comes_changes_moves(void **state)
{
    const Fixture *f = *state;
    g_autofree char *folder = make_folder(f, "in");
    g_autofree char *old = write_file(f, "in/old.txt", "It was there before.", 20), *hidden = write_file(f, "in/.hidden.txt", "Hidden.", 7);
    int64_t collection = app_library_add_collection(f->library, "Inbox", NULL);
    Watched w;
    begin(f, &w, (const char *const[]){folder, NULL}, LONG_S, collection);
    wait_for(&w, &w.n_added, 1);
    /* A new file, and one in a new folder. */
    g_autofree char *fresh = write_file(f, "in/fresh.txt", "A first text.", 13);
    wait_for(&w, &w.n_added, 2);
    g_autofree char *below = make_folder(f, "in/below");
    g_autofree char *deep = write_file(f, "in/below/deep.md", "# Deep\n\nText below.", 19);
    wait_for(&w, &w.n_added, 3);
    int64_t id = app_library_resolve_document(f->library, fresh, NULL);
    assert_true(id > 0);
    /* It changes: the same document, other words. Written beside and renamed, as editors do. */
    assert_true(g_file_set_contents(fresh, "Quite another text, and longer.", -1, NULL));
    wait_for(&w, &w.n_added, 4);
    g_autofree char *text = whole_text(f, id);
    assert_string_equal(text, "Quite another text, and longer.");
    /* It moves: the same document, another path. */
    g_autofree char *elsewhere = fixture_path(f, "in/below/moved.txt");
    assert_int_equal(g_rename(fresh, elsewhere), 0);
    wait_for(&w, &w.n_added, 5);
    g_autoptr(AppDocument) moved = get_document(f, id);
    assert_string_equal(moved->source, elsewhere);
    assert_int_equal(app_library_count_documents(f->library, 0, NULL), 3);
    assert_int_equal(app_library_count_documents(f->library, collection, NULL), 3);
    assert_int_equal(get(&w, &w.n_failed), 0);
    end(&w);
}

/* What the library has as it is, is not looked at again; what waits for being read is queued. */
static void test_known_files(void **state)
{
    const Fixture *f = *state;
    g_autofree char *folder = make_folder(f, "in"), *path = write_file(f, "in/a.txt", "Known words.", 12);
    int64_t id = add_path(f, path, NULL);
    Watched w;
    begin(f, &w, (const char *const[]){folder, NULL}, LONG_S, 0);
    wait_for(&w, &w.n_queued, 1);
    assert_int_equal(get(&w, &w.n_added), 0);
    end(&w);
    assert_true(app_library_set_document_state(f->library, id, APP_DOCUMENT_READY, "", NULL));
    begin(f, &w, (const char *const[]){folder, NULL}, LONG_S, 0);
    g_autofree char *second = write_file(f, "in/b.txt", "New words.", 10);
    wait_for(&w, &w.n_added, 1);
    end(&w);
    assert_int_equal(w.n_added, 1); /* the new one alone */
    assert_int_equal(w.n_queued, 1);
}

/* Rescans find what no notice told of: a folder that was not there when watching began. */
static void test_rescan(void **state)
{
    const Fixture *f = *state;
    g_autofree char *folder = fixture_path(f, "later");
    Watched w;
    begin(f, &w, (const char *const[]){folder, NULL}, LONG_S, 0);
    assert_int_equal(g_mkdir(folder, 0700), 0);
    g_autofree char *path = write_file(f, "later/a.txt", "Found by looking.", 17), *bad = write_file(f, "later/b.pdf", "%PDF-1.4 none", 13);
    app_watcher_rescan(w.watcher);
    wait_for(&w, &w.n_added, 1);
    wait_for(&w, &w.n_failed, 1);
    app_watcher_rescan(w.watcher); /* what failed is not tried again until it changes */
    g_autofree char *other = write_file(f, "later/c.txt", "Another.", 8);
    wait_for(&w, &w.n_added, 2);
    assert_int_equal(get(&w, &w.n_failed), 1);
    /* Watching ends for a folder that is no longer asked for. */
    app_watcher_set_folders(w.watcher, (const char *const[]){NULL}, 0);
    app_watcher_rescan(w.watcher);
    end(&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_comes_changes_moves), TEST(test_known_files), TEST(test_rescan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
