/* test-cache-budget.c: the byte budget (promise 13) and what may not be evicted.
 *
 * Owns: eviction by last use, pins, restarts, lowering, writers.
 * Does not own: the rest of the cache (test-cache.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache-fixture.h"
#include "select-tests.h"

enum { SEED = 7 };

static int64_t clock_us = 1000000000;

static int64_t test_now_us(void)
{
    return clock_us += 1000;
}

typedef struct bench {
    char *folder;
    eng_cache *cache;
    eng_model *model;
    uint64_t file_bytes; /* of a file with one section */
} bench;

static void open_cache(bench *b, uint64_t budget_bytes)
{
    eng_cache_environment environment = {.now_us = test_now_us};
    eng_cache_options options = {.budget_bytes = budget_bytes};
    assert_int_equal(eng_cache_open_with(b->folder, &options, &environment, &b->cache, NULL), ENG_OK);
}

static int set_up(void **state)
{
    bench *b = calloc(1, sizeof *b);
    b->folder = fixture_folder_new();
    b->model = fixture_model_new(NULL);
    b->file_bytes = 4096 + eng_record_bytes(b->model, fixture_n_tokens(SEED));
    open_cache(b, 0);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;
    eng_cache_close(b->cache);
    fixture_model_free(b->model);
    fixture_folder_free(b->folder);
    free(b);
    return 0;
}

static eng_status write_document(bench *b, const char *document, eng_error *error)
{
    eng_store *store;
    assert_int_equal(eng_store_open(b->cache, b->model, document, &store, NULL), ENG_OK);
    eng_status status = fixture_write(store, b->model, SEED, error);
    if (status == ENG_OK) status = eng_store_sync(store, error);
    eng_store_close(store);
    return status;
}

static bool has_document(bench *b, const char *document)
{
    eng_store *store;
    eng_section section;
    assert_int_equal(eng_store_open(b->cache, b->model, document, &store, NULL), ENG_OK);
    bool found = fixture_find(store, SEED, true, &section, NULL) == ENG_OK && fixture_section_right(b->model, SEED, &section);
    eng_store_close(store);
    return found;
}

static uint64_t bytes_on_disk(bench *b)
{
    char command[600], text[64] = "";
    snprintf(command, sizeof command, "cat '%s'/*.lkv 2>/dev/null | wc -c", b->folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(fgets(text, sizeof text, pipe));
    pclose(pipe);
    return strtoull(text, NULL, 10);
}

static void test_promise_13_least_recently_used_goes_first(void **state)
{
    bench *b = *state;
    assert_int_equal(eng_cache_set_budget(b->cache, 3 * b->file_bytes, NULL, NULL), ENG_OK);
    assert_int_equal(write_document(b, "a", NULL), ENG_OK);
    assert_int_equal(write_document(b, "b", NULL), ENG_OK);
    assert_int_equal(write_document(b, "c", NULL), ENG_OK);
    assert_true(has_document(b, "a")); /* used: now the newest */
    assert_int_equal(write_document(b, "d", NULL), ENG_OK);
    assert_int_equal(bytes_on_disk(b), 3 * b->file_bytes);
    assert_false(has_document(b, "b"));
    assert_true(has_document(b, "a") && has_document(b, "c") && has_document(b, "d"));
    assert_int_equal(eng_cache_touch(b->cache, "a", b->model, NULL), ENG_OK);
    assert_int_equal(write_document(b, "e", NULL), ENG_OK);
    assert_true(has_document(b, "a"));
    assert_false(has_document(b, "c"));
}

static void test_promise_13_holds_after_a_restart_and_when_lowered(void **state)
{
    bench *b = *state;
    uint64_t freed = 0;
    assert_int_equal(eng_cache_set_budget(b->cache, 4 * b->file_bytes, NULL, NULL), ENG_OK);
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(write_document(b, names[i], NULL), ENG_OK);
        eng_cache_close(b->cache);
        open_cache(b, 0);
        assert_int_equal(eng_cache_get_budget(b->cache), 4 * b->file_bytes);
        assert_true(bytes_on_disk(b) <= 4 * b->file_bytes);
    }
    assert_int_equal(bytes_on_disk(b), 4 * b->file_bytes);
    assert_int_equal(eng_cache_set_budget(b->cache, 2 * b->file_bytes + 1, &freed, NULL), ENG_OK);
    assert_int_equal(freed, 2 * b->file_bytes);
    assert_int_equal(bytes_on_disk(b), 2 * b->file_bytes);
    assert_true(has_document(b, "e") && has_document(b, "f"));
}

static void test_promise_13_pinned_entries_stay(void **state)
{
    bench *b = *state;
    eng_error error;
    assert_int_equal(eng_cache_set_budget(b->cache, 2 * b->file_bytes, NULL, NULL), ENG_OK);
    assert_int_equal(write_document(b, "a", NULL), ENG_OK);
    assert_int_equal(eng_cache_pin(b->cache, "a", true, NULL), ENG_OK);
    eng_cache_close(b->cache);
    open_cache(b, 0);
    assert_int_equal(write_document(b, "b", NULL), ENG_OK);
    assert_int_equal(write_document(b, "c", NULL), ENG_OK);
    assert_true(has_document(b, "a") && has_document(b, "c"));
    assert_false(has_document(b, "b"));
    assert_int_equal(eng_cache_pin(b->cache, "c", true, NULL), ENG_OK);
    assert_int_equal(write_document(b, "d", &error), ENG_NO_SPACE);
    assert_non_null(strstr(error.message, "pinned"));
    assert_int_equal(bytes_on_disk(b), 2 * b->file_bytes);
    assert_true(has_document(b, "a") && has_document(b, "c"));
    assert_int_equal(eng_cache_set_budget(b->cache, b->file_bytes, NULL, &error), ENG_NO_SPACE);
    assert_int_equal(eng_cache_pin(b->cache, "c", false, NULL), ENG_OK);
    assert_int_equal(eng_cache_set_budget(b->cache, b->file_bytes, NULL, NULL), ENG_OK);
    assert_true(has_document(b, "a"));
    assert_int_equal(bytes_on_disk(b), b->file_bytes);
}

static void test_promise_13_lost_index_counts_again(void **state)
{
    bench *b = *state;
    char command[600];
    assert_int_equal(write_document(b, "a", NULL), ENG_OK);
    assert_int_equal(write_document(b, "b", NULL), ENG_OK);
    eng_cache_close(b->cache);
    snprintf(command, sizeof command, "rm -f '%s'/index.sqlite*", b->folder);
    assert_int_equal(system(command), 0);
    open_cache(b, 2 * b->file_bytes);
    assert_int_equal(eng_cache_used_bytes(b->cache), 2 * b->file_bytes);
    assert_int_equal(write_document(b, "c", NULL), ENG_OK);
    assert_int_equal(bytes_on_disk(b), 2 * b->file_bytes);
}

static void test_a_file_being_written_is_not_evicted(void **state)
{
    bench *b = *state;
    eng_store *writer;
    assert_int_equal(eng_store_open(b->cache, b->model, "writer", &writer, NULL), ENG_OK);
    assert_int_equal(fixture_write(writer, b->model, SEED, NULL), ENG_OK);
    assert_int_equal(eng_store_sync(writer, NULL), ENG_OK);
    assert_int_equal(write_document(b, "a", NULL), ENG_OK);
    assert_int_equal(eng_cache_set_budget(b->cache, 2 * b->file_bytes, NULL, NULL), ENG_OK);
    assert_int_equal(write_document(b, "b", NULL), ENG_OK); /* "writer" is older than "a", but in use */
    assert_false(has_document(b, "a"));
    assert_true(has_document(b, "writer") && has_document(b, "b"));
    assert_int_equal(eng_cache_set_budget(b->cache, 1, NULL, NULL), ENG_NO_SPACE);
    assert_true(has_document(b, "writer"));
    eng_store_close(writer);
    assert_int_equal(eng_cache_set_budget(b->cache, 1, NULL, NULL), ENG_OK);
    assert_int_equal(bytes_on_disk(b), 0);
}

static void test_promise_15_canaries_never_cross(void **state)
{
    bench *b = *state;
    char name[16];
    assert_int_equal(eng_cache_set_budget(b->cache, 200000, NULL, NULL), ENG_OK);
    for (uint32_t i = 0; i < 60; i++) { /* each document has a section of its own and one that is in all */
        eng_store *store;
        eng_section section;
        snprintf(name, sizeof name, "canary-%u", i % 12);
        assert_int_equal(eng_store_open(b->cache, b->model, name, &store, NULL), ENG_OK);
        assert_int_equal(fixture_write(store, b->model, 100 + i % 12, NULL), ENG_OK);
        assert_int_equal(fixture_write(store, b->model, 99, NULL), ENG_OK);
        for (uint32_t seed = 100; seed < 112; seed++) {
            eng_status status = fixture_find(store, seed, true, &section, NULL);
            assert_int_equal(status, seed == 100 + i % 12 ? ENG_OK : ENG_MISS);
            if (status == ENG_OK) assert_true(fixture_section_right(b->model, seed, &section));
        }
        eng_store_close(store);
        assert_true(bytes_on_disk(b) <= 200000);
    }
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_promise_13_least_recently_used_goes_first),
        TEST(test_promise_13_holds_after_a_restart_and_when_lowered),
        TEST(test_promise_13_pinned_entries_stay),
        TEST(test_promise_13_lost_index_counts_again),
        TEST(test_a_file_being_written_is_not_evicted),
        TEST(test_promise_15_canaries_never_cross),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
}
