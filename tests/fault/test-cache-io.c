/* test-cache-io.c: the cache when file operations fail: promises 1, 3 and 4.
 *
 * Owns: for every N: the Nth operation fails once, or all from there on, or the process ends there; a full disk.
 * Does not own: damage of what was written (test-cache-damage.c), power failures (test-cache-power.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache-fixture.h"
#include "select-tests.h"

static eng_model *model;

static bool work(const char *folder, const eng_fileops *ops)
{
    eng_error error = {.status = ENG_OK};
    eng_status status = fixture_work(folder, ops, model, &error);
    if (status != ENG_OK) {
        assert_int_equal(error.status, status); /* clean: a status and words */
        assert_true(error.message[0] != 0);
    }
    return status == ENG_OK;
}

static void assert_sound(const char *folder, uint64_t n)
{
    char *problem = fixture_find_problem(folder, model, false);
    if (problem) fail_msg("call %llu: %s", (unsigned long long)n, problem);
}

static void fail_every_call(bool from_there_on, bool tear)
{
    for (uint64_t n = 1; n < 10000; n++) {
        char *folder = fixture_folder_new();
        fixture_ops ops;
        fixture_ops_init(&ops);
        ops.fail_at = n;
        ops.fail_on = from_there_on;
        ops.short_transfers = tear;
        work(folder, &ops.ops);
        bool beyond = ops.n_calls < n;
        ops.fail_at = 0;
        assert_sound(folder, n);
        fixture_folder_free(folder);
        if (beyond) {
            print_message("%llu calls\n", (unsigned long long)n - 1);
            assert_true(n > 50); /* there was something to fail */
            return;
        }
    }
    fail_msg("the work never ends");
}

static void test_promise_03_every_call_fails_once(void **state)
{
    (void)state;
    fail_every_call(false, false);
}

static void test_promise_03_every_call_fails_from_there_on(void **state)
{
    (void)state;
    fail_every_call(true, false);
}

static void test_promise_03_short_and_torn_transfers(void **state)
{
    (void)state;
    fail_every_call(true, true);
}

static void kill_at_every_call(bool within_writes)
{
    for (uint64_t n = 1; n < 10000; n++) {
        char *folder = fixture_folder_new();
        int result = 0;
        pid_t child = fork();
        if (child == 0) {
            fixture_ops ops;
            fixture_ops_init(&ops);
            ops.fail_at = n;
            ops.exit_instead = true;
            ops.short_transfers = within_writes;
            work(folder, &ops.ops);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFEXITED(result) && (WEXITSTATUS(result) == 9 || WEXITSTATUS(result) == 0));
        assert_sound(folder, n);
        fixture_folder_free(folder);
        if (WEXITSTATUS(result) == 0) {
            print_message("%llu calls\n", (unsigned long long)n - 1);
            assert_true(n > 50);
            return;
        }
    }
    fail_msg("the work never ends");
}

static void test_promise_01_killed_at_every_call(void **state)
{
    (void)state;
    kill_at_every_call(false);
}

/* A write that is under way when the process dies may have got through in part. */
static void test_promise_01_killed_within_writes(void **state)
{
    (void)state;
    kill_at_every_call(true);
}

/* The words that people get, and that what was there before can still be read. */
static void test_promise_04_full_disk(void **state)
{
    (void)state;
    for (uint64_t space = 0; space < 60000; space += 1777) {
        char *folder = fixture_folder_new();
        fixture_ops ops;
        fixture_ops_init(&ops);
        eng_cache_environment environment = {.ops = &ops.ops};
        eng_cache *cache;
        eng_store *store;
        eng_section section;
        eng_error error = {.status = ENG_OK};
        assert_int_equal(eng_cache_open_with(folder, NULL, &environment, &cache, NULL), ENG_OK);
        assert_int_equal(eng_store_open(cache, model, "book", &store, NULL), ENG_OK);
        assert_int_equal(fixture_write(store, model, 50, NULL), ENG_OK);
        assert_int_equal(eng_store_sync(store, NULL), ENG_OK);
        ops.limited = true;
        ops.space_bytes = space;
        uint32_t seed = 0;
        while (seed < 40 && fixture_write(store, model, seed, &error) == ENG_OK) seed++;
        assert_true(seed < 40);
        assert_int_equal(error.status, ENG_NO_SPACE);
        assert_non_null(strstr(error.message, "remove a document"));
        for (uint32_t i = 0; i < seed; i++) {
            assert_int_equal(fixture_find(store, i, true, &section, NULL), ENG_OK);
            assert_true(fixture_section_right(model, i, &section));
        }
        assert_int_equal(fixture_find(store, 50, true, &section, NULL), ENG_OK);
        char *path = fixture_only_file(folder);
        uint64_t expected = 4096 + eng_record_bytes(model, fixture_n_tokens(50));
        for (uint32_t i = 0; i < seed; i++) expected += eng_record_bytes(model, fixture_n_tokens(i));
        assert_int_equal(fixture_file_bytes(path), expected); /* no partial entry */
        assert_int_equal(eng_cache_used_bytes(cache), expected);
        free(path);
        eng_store_close(store);
        eng_cache_close(cache);
        assert_sound(folder, space);
        fixture_folder_free(folder);
    }
}

int main(int argc, char **argv)
{
    model = fixture_model_new(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promise_01_killed_at_every_call),
        cmocka_unit_test(test_promise_01_killed_within_writes),
        cmocka_unit_test(test_promise_03_every_call_fails_once),
        cmocka_unit_test(test_promise_03_every_call_fails_from_there_on),
        cmocka_unit_test(test_promise_03_short_and_torn_transfers),
        cmocka_unit_test(test_promise_04_full_disk),
    };
    int result = RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
    fixture_model_free(model);
    return result;
}
