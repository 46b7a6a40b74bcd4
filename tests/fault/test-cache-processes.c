/* test-cache-processes.c: several threads and processes on one cache: promises 11 and 12.
 *
 * Owns: appenders and readers at once, one of them killed, replacing under readers.
 * Does not own: what a single process does (tests/unit/test-cache.c). Run under the thread sanitizer too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache-fixture.h"
#include "select-tests.h"

enum { N_SECTIONS = 24 };

static eng_model *model;

/* Reads the document in as the application does: what is there is not computed again. Returns how many it wrote itself. */
static int read_in(const char *folder, eng_cache *shared, uint32_t first)
{
    eng_cache *cache = shared;
    eng_store *store = NULL;
    int n_written = 0;
    if (!cache && eng_cache_open(folder, NULL, &cache, NULL) != ENG_OK) return -1;
    bool failed = eng_store_open(cache, model, "book", &store, NULL) != ENG_OK;
    for (uint32_t i = 0; i < N_SECTIONS && !failed; i++) {
        uint32_t seed = (first + i) % N_SECTIONS;
        eng_section section;
        eng_status status = fixture_find(store, seed, true, &section, NULL);
        if (status == ENG_OK) {
            failed = !fixture_section_right(model, seed, &section);
            continue;
        }
        failed = status != ENG_MISS || fixture_write(store, model, seed, NULL) != ENG_OK;
        n_written++;
        if (i % 5 == 4) failed = failed || eng_store_sync(store, NULL) != ENG_OK;
    }
    failed = failed || eng_store_sync(store, NULL) != ENG_OK;
    eng_store_close(store);
    if (!shared) eng_cache_close(cache);
    return failed ? -1 : n_written;
}

static void assert_one_of_each(const char *folder)
{
    eng_cache *cache;
    eng_cache_report report;
    eng_error error = {0};
    assert_int_equal(eng_cache_open(folder, NULL, &cache, NULL), ENG_OK);
    if (eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, &error) != ENG_OK) fail_msg("%s", error.message);
    assert_int_equal(report.n_records, N_SECTIONS);
    assert_int_equal(report.n_damaged_records + report.n_damaged_files + report.n_missing_files, 0);
    assert_int_equal(report.n_unindexed, 0);
    eng_cache_close(cache);
    uint64_t bytes = 4096;
    for (uint32_t seed = 0; seed < N_SECTIONS; seed++) bytes += eng_record_bytes(model, fixture_n_tokens(seed));
    char *path = fixture_only_file(folder);
    assert_int_equal(fixture_file_bytes(path), bytes);
    free(path);
}

static void test_promise_12_processes_read_the_same_document_in(void **state)
{
    (void)state;
    enum { N_PROCESSES = 4 };
    for (int round = 0; round < 3; round++) {
        char *folder = fixture_folder_new();
        pid_t children[N_PROCESSES];
        for (int i = 0; i < N_PROCESSES; i++) {
            children[i] = fork();
            if (children[i] == 0) _exit(read_in(folder, NULL, round == 0 ? 0 : (uint32_t)i * 5) < 0);
        }
        for (int i = 0; i < N_PROCESSES; i++) {
            int result = -1;
            assert_int_equal(waitpid(children[i], &result, 0), children[i]);
            assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
        }
        assert_one_of_each(folder);
        fixture_folder_free(folder);
    }
}

static void test_promise_12_one_of_them_is_killed(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        char *folder = fixture_folder_new();
        pid_t victim = fork();
        if (victim == 0) {
            for (;;) read_in(folder, NULL, 0);
        }
        usleep((useconds_t)(2000 + round * 7000));
        kill(victim, SIGKILL);
        assert_int_equal(waitpid(victim, NULL, 0), victim);
        assert_true(read_in(folder, NULL, 3) >= 0);
        assert_one_of_each(folder);
        fixture_folder_free(folder);
    }
}

typedef struct thread_work {
    pthread_t thread;
    const char *folder;
    eng_cache *cache;
    uint32_t first;
    int n_written;
} thread_work;

static void *run_thread(void *user)
{
    thread_work *work = user;
    work->n_written = read_in(work->folder, work->cache, work->first);
    return NULL;
}

static void test_promise_11_threads_share_a_cache(void **state)
{
    (void)state;
    enum { N_THREADS = 4 };
    char *folder = fixture_folder_new();
    eng_cache *cache;
    thread_work work[N_THREADS];
    assert_int_equal(eng_cache_open(folder, NULL, &cache, NULL), ENG_OK);
    for (uint32_t i = 0; i < N_THREADS; i++) {
        work[i] = (thread_work){.folder = folder, .cache = cache, .first = i * 6};
        assert_int_equal(pthread_create(&work[i].thread, NULL, run_thread, &work[i]), 0);
    }
    for (uint32_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(work[i].thread, NULL), 0);
        assert_true(work[i].n_written >= 0);
    }
    eng_cache_close(cache);
    assert_one_of_each(folder);
    fixture_folder_free(folder);
}

/* Reads while another process writes: whatever is found is whole. */
static void test_promise_11_readers_see_only_whole_sections(void **state)
{
    (void)state;
    char *folder = fixture_folder_new();
    pid_t writer = fork();
    if (writer == 0) _exit(read_in(folder, NULL, 0) != N_SECTIONS);
    eng_cache *cache;
    eng_store *store;
    unsigned n_found = 0;
    int result = -1;
    assert_int_equal(eng_cache_open(folder, NULL, &cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(cache, model, "book", &store, NULL), ENG_OK);
    while (waitpid(writer, &result, WNOHANG) == 0) {
        for (uint32_t seed = 0; seed < N_SECTIONS; seed++) {
            eng_section section;
            eng_status status = fixture_find(store, seed, false, &section, NULL);
            assert_true(status == ENG_OK || status == ENG_MISS);
            if (status == ENG_OK) assert_true(fixture_section_right(model, seed, &section));
        }
    }
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
    for (uint32_t seed = 0; seed < N_SECTIONS; seed++) {
        eng_section section;
        if (fixture_find(store, seed, true, &section, NULL) == ENG_OK) n_found++;
    }
    assert_int_equal(n_found, N_SECTIONS);
    eng_store_close(store);
    eng_cache_close(cache);
    fixture_folder_free(folder);
}

/* One drops sections and gets the file replaced, again and again, while the other writes them again. */
/* Another process that opens the cache takes a file that nobody has locked yet for one that a crash left. */
static char newest_temporary[4096];
static int n_deleted_unlocked;

static int open_watched(const eng_fileops *ops, const char *path, int flags, mode_t mode)
{
    if (strstr(path, ".tmp-")) snprintf(newest_temporary, sizeof newest_temporary, "%s", path);
    return eng_fileops_default()->open(ops, path, flags, mode);
}

static int lock_after_another(const eng_fileops *ops, int fd, uint64_t byte, eng_lock lock, bool wait)
{
    if (newest_temporary[0] && n_deleted_unlocked < 3) {
        assert_int_equal(unlink(newest_temporary), 0);
        n_deleted_unlocked++;
    }
    newest_temporary[0] = 0;
    return eng_fileops_default()->lock(ops, fd, byte, lock, wait);
}

static void test_promise_12_a_file_deleted_before_it_is_locked_is_made_again(void **state)
{
    (void)state;
    char *folder = fixture_folder_new();
    eng_fileops ops = *eng_fileops_default();
    ops.open = open_watched;
    ops.lock = lock_after_another;
    eng_cache_environment environment = {.ops = &ops};
    eng_cache *cache;
    n_deleted_unlocked = 0;
    assert_int_equal(eng_cache_open_with(folder, NULL, &environment, &cache, NULL), ENG_OK);
    assert_int_equal(read_in(folder, cache, 0), N_SECTIONS);
    assert_int_equal(n_deleted_unlocked, 3);
    eng_cache_close(cache);
    assert_one_of_each(folder);
    fixture_folder_free(folder);
}

/* Whether this process holds SQLite's lock on an open database, as another process sees it. */
static bool holds_index(const char *folder)
{
    enum { SHARED_FIRST = 0x40000002, SHARED_BYTES = 510 }; /* sqlite.org/fileformat2.html: the lock-byte page */
    char path[4096];
    int result = 0;
    snprintf(path, sizeof path, "%s/index.sqlite", folder);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_RDWR);
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHARED_FIRST, .l_len = SHARED_BYTES};
        _exit(fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_RDLCK ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &result, 0), child);
    return WIFEXITED(result) && WEXITSTATUS(result) == 1;
}

/* POSIX locks go with the first descriptor that is closed, whoever opened it. */
static void test_promise_12_opening_again_keeps_the_locks(void **state)
{
    (void)state;
    char *folder = fixture_folder_new();
    eng_cache *cache, *again;
    assert_int_equal(eng_cache_open(folder, NULL, &cache, NULL), ENG_OK);
    assert_true(holds_index(folder));
    assert_int_equal(eng_cache_open(folder, NULL, &again, NULL), ENG_OK);
    assert_true(holds_index(folder));
    eng_cache_close(again);
    assert_true(holds_index(folder));
    eng_cache_close(cache);
    assert_false(holds_index(folder));
    fixture_folder_free(folder);
}

static void test_replacing_under_a_writer(void **state)
{
    (void)state;
    char *folder = fixture_folder_new();
    assert_int_equal(read_in(folder, NULL, 0), N_SECTIONS);
    pid_t writer = fork();
    if (writer == 0) {
        for (int i = 0; i < 10; i++) {
            if (read_in(folder, NULL, 0) < 0) _exit(1);
        }
        _exit(0);
    }
    eng_digest kept[N_SECTIONS / 2];
    for (uint32_t seed = 0; seed < N_SECTIONS / 2; seed++) {
        uint32_t ids[FIXTURE_TOKENS_MAX];
        fixture_ids(seed, ids);
        eng_ids_digest(NULL, ids, fixture_n_tokens(seed), &kept[seed]);
    }
    int result = -1;
    while (waitpid(writer, &result, WNOHANG) == 0) {
        eng_cache *cache;
        eng_store *store;
        eng_error error = {0};
        assert_int_equal(eng_cache_open(folder, NULL, &cache, &error), ENG_OK);
        assert_int_equal(eng_store_open(cache, model, "book", &store, NULL), ENG_OK);
        if (eng_store_keep_only(store, kept, N_SECTIONS / 2, &error) != ENG_OK) fail_msg("%s", error.message);
        eng_store_close(store);
        eng_cache_close(cache);
    }
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
    assert_true(read_in(folder, NULL, 0) >= 0);
    eng_cache *cache;
    eng_cache_report report;
    assert_int_equal(eng_cache_open(folder, NULL, &cache, NULL), ENG_OK);
    assert_int_equal(eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
    assert_int_equal(report.n_damaged_records + report.n_damaged_files, 0);
    assert_true(report.n_records >= N_SECTIONS);
    eng_cache_close(cache);
    fixture_folder_free(folder);
}

int main(int argc, char **argv)
{
    model = fixture_model_new(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promise_11_threads_share_a_cache),
        cmocka_unit_test(test_promise_11_readers_see_only_whole_sections),
        cmocka_unit_test(test_promise_12_processes_read_the_same_document_in),
        cmocka_unit_test(test_promise_12_one_of_them_is_killed),
        cmocka_unit_test(test_promise_12_a_file_deleted_before_it_is_locked_is_made_again),
        cmocka_unit_test(test_promise_12_opening_again_keeps_the_locks),
        cmocka_unit_test(test_replacing_under_a_writer),
    };
    int result = RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
    fixture_model_free(model);
    return result;
}
