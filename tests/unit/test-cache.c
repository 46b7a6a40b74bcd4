/* test-cache.c: what a cache does when nothing goes wrong.
 *
 * Owns: writing, finding, publishing, listing, removing, pins, dropping sections; promises 10, 11 (one process), 15, 27.
 * Does not own: the budget (test-cache-budget.c), damage (tests/fault).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache-fixture.h"
#include "select-tests.h"

typedef struct bench {
    char *folder;
    eng_cache *cache;
    eng_model *model;
    eng_store *store;
} bench;

static int set_up(void **state)
{
    bench *b = calloc(1, sizeof *b);
    b->folder = fixture_folder_new();
    b->model = fixture_model_new(NULL);
    assert_int_equal(eng_cache_open(b->folder, NULL, &b->cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(b->cache, b->model, "book", &b->store, NULL), ENG_OK);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;
    eng_store_close(b->store);
    eng_cache_close(b->cache);
    fixture_model_free(b->model);
    fixture_folder_free(b->folder);
    free(b);
    return 0;
}

static void reopen(bench *b)
{
    eng_store_close(b->store);
    eng_cache_close(b->cache);
    b->store = NULL;
    b->cache = NULL;
    assert_int_equal(eng_cache_open(b->folder, NULL, &b->cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(b->cache, b->model, "book", &b->store, NULL), ENG_OK);
}

static void assert_found(bench *b, uint32_t seed)
{
    eng_section section;
    eng_error error = {0};
    if (fixture_find(b->store, seed, true, &section, &error) != ENG_OK) fail_msg("section %u: %s", seed, error.message);
    assert_true(fixture_section_right(b->model, seed, &section));
}

static void assert_miss(bench *b, uint32_t seed, const char *words)
{
    eng_section section;
    eng_error error = {0};
    assert_int_equal(fixture_find(b->store, seed, true, &section, &error), ENG_MISS);
    if (!strstr(error.message, words)) fail_msg("\"%s\" does not say \"%s\"", error.message, words);
}

static bool take_entry(void *user, const eng_cache_entry *entry)
{
    *(eng_cache_entry *)user = *entry;
    return true;
}

static void test_sections_come_back_in_another_process(void **state)
{
    bench *b = *state;
    assert_miss(b, 1, "never read");
    for (uint32_t seed = 1; seed <= 20; seed++) assert_int_equal(fixture_write(b->store, b->model, seed, NULL), ENG_OK);
    for (uint32_t seed = 1; seed <= 20; seed++) assert_found(b, seed);
    assert_int_equal(eng_store_sync(b->store, NULL), ENG_OK);
    reopen(b);
    for (uint32_t seed = 20; seed >= 1; seed--) assert_found(b, seed);
    assert_miss(b, 21, "never read");
}

static void test_sections_stay_valid_while_the_file_grows(void **state)
{
    bench *b = *state;
    eng_section sections[30];
    for (uint32_t seed = 0; seed < 30; seed++) {
        assert_int_equal(fixture_write(b->store, b->model, seed, NULL), ENG_OK);
        assert_int_equal(fixture_find(b->store, seed, true, &sections[seed], NULL), ENG_OK);
    }
    for (uint32_t seed = 0; seed < 30; seed++) assert_true(fixture_section_right(b->model, seed, &sections[seed]));
}

static void test_a_prefix_is_part_of_what_is_found(void **state)
{
    bench *b = *state;
    uint32_t ids[FIXTURE_TOKENS_MAX], n_tokens = fixture_n_tokens(3);
    eng_digest prefix = {{7}};
    eng_record *record;
    eng_section section;
    fixture_ids(3, ids);
    assert_int_equal(eng_record_begin(b->store, &prefix, ids, n_tokens, &record, NULL), ENG_OK);
    assert_int_equal(eng_record_commit(record, NULL), ENG_OK);
    assert_int_equal(eng_store_find(b->store, NULL, ids, n_tokens, true, &section, NULL), ENG_MISS);
    assert_int_equal(eng_store_find(b->store, &prefix, ids, n_tokens, true, &section, NULL), ENG_OK);
    prefix.bytes[31] = 1;
    assert_int_equal(eng_store_find(b->store, &prefix, ids, n_tokens, true, &section, NULL), ENG_MISS);
}

static void test_the_same_work_gives_the_same_file(void **state)
{
    bench *b = *state;
    char *other_folder = fixture_folder_new();
    eng_cache *other;
    eng_store *store;
    assert_int_equal(eng_cache_open(other_folder, NULL, &other, NULL), ENG_OK);
    assert_int_equal(eng_store_open(other, b->model, "book", &store, NULL), ENG_OK);
    for (uint32_t seed = 1; seed <= 5; seed++) {
        assert_int_equal(fixture_write(b->store, b->model, seed, NULL), ENG_OK);
        assert_int_equal(fixture_write(store, b->model, seed, NULL), ENG_OK);
    }
    eng_store_close(store);
    eng_cache_close(other);
    char *a = fixture_only_file(b->folder), *c = fixture_only_file(other_folder), command[1100];
    snprintf(command, sizeof command, "cmp -s '%s' '%s'", a, c);
    assert_int_equal(system(command), 0);
    free(a);
    free(c);
    fixture_folder_free(other_folder);
}

static void test_a_section_is_kept_once(void **state)
{
    bench *b = *state;
    assert_int_equal(fixture_write(b->store, b->model, 1, NULL), ENG_OK);
    assert_int_equal(eng_store_sync(b->store, NULL), ENG_OK);
    char *path = fixture_only_file(b->folder);
    uint64_t bytes = fixture_file_bytes(path);
    assert_int_equal(bytes, 4096 + eng_record_bytes(b->model, fixture_n_tokens(1)));
    assert_int_equal(fixture_write(b->store, b->model, 1, NULL), ENG_OK);
    assert_int_equal(fixture_file_bytes(path), bytes);
    free(path);
}

static void test_an_uncommitted_record_leaves_nothing(void **state)
{
    bench *b = *state;
    uint32_t id = 5;
    eng_record *record;
    assert_int_equal(eng_record_begin(b->store, NULL, &id, 1, &record, NULL), ENG_OK);
    eng_record_free(record);
    assert_null(fixture_only_file(b->folder));
}

static void test_list_counts(void **state)
{
    bench *b = *state;
    eng_cache_entry entry = {0};
    uint64_t n_tokens = 0;
    for (uint32_t seed = 1; seed <= 3; seed++) {
        assert_int_equal(fixture_write(b->store, b->model, seed, NULL), ENG_OK);
        n_tokens += fixture_n_tokens(seed);
    }
    assert_int_equal(eng_store_sync(b->store, NULL), ENG_OK);
    assert_int_equal(eng_cache_list(b->cache, take_entry, &entry, NULL), ENG_OK);
    assert_string_equal(entry.document, "book");
    assert_string_equal(entry.model_name, "fixture");
    assert_int_equal(entry.n_sections, 3);
    assert_int_equal(entry.n_tokens, n_tokens);
    char *path = fixture_only_file(b->folder);
    assert_int_equal(entry.n_bytes, fixture_file_bytes(path));
    assert_int_equal(eng_cache_used_bytes(b->cache), entry.n_bytes);
    assert_false(entry.pinned);
    assert_false(entry.damaged);
    assert_int_equal(eng_cache_pin(b->cache, "book", true, NULL), ENG_OK);
    assert_int_equal(eng_cache_list(b->cache, take_entry, &entry, NULL), ENG_OK);
    assert_true(entry.pinned);
    free(path);
}

static void test_remove_deletes_the_bytes(void **state)
{
    bench *b = *state;
    eng_cache_entry entry = {0};
    eng_section section;
    assert_int_equal(fixture_write(b->store, b->model, 1, NULL), ENG_OK);
    assert_int_equal(eng_store_sync(b->store, NULL), ENG_OK);
    assert_int_equal(fixture_find(b->store, 1, true, &section, NULL), ENG_OK);
    assert_int_equal(eng_cache_remove(b->cache, "boo", NULL), ENG_NOT_FOUND);
    assert_int_equal(eng_cache_remove(b->cache, "book", NULL), ENG_OK);
    assert_null(fixture_only_file(b->folder));
    assert_int_equal(eng_cache_list(b->cache, take_entry, &entry, NULL), ENG_OK);
    assert_string_equal(entry.document, "");
    assert_true(fixture_section_right(b->model, 1, &section)); /* what was handed out stays */
    assert_int_equal(fixture_write(b->store, b->model, 2, NULL), ENG_OK);
    assert_found(b, 2);
    reopen(b);
    assert_miss(b, 1, "never read");
    assert_found(b, 2);
}

static void test_keep_only_drops_and_gives_space_back(void **state)
{
    bench *b = *state;
    eng_digest kept[10];
    eng_section before;
    for (uint32_t seed = 0; seed < 20; seed++) assert_int_equal(fixture_write(b->store, b->model, seed, NULL), ENG_OK);
    for (uint32_t seed = 0; seed < 10; seed++) {
        uint32_t ids[FIXTURE_TOKENS_MAX];
        fixture_ids(seed * 2, ids);
        eng_ids_digest(NULL, ids, fixture_n_tokens(seed * 2), &kept[seed]);
    }
    assert_int_equal(fixture_find(b->store, 19, true, &before, NULL), ENG_OK);
    char *path = fixture_only_file(b->folder);
    uint64_t bytes = fixture_file_bytes(path);
    assert_int_equal(eng_store_keep_only(b->store, kept, 10, NULL), ENG_OK);
    assert_true(fixture_file_bytes(path) < bytes);
    assert_true(fixture_section_right(b->model, 19, &before));
    for (uint32_t seed = 0; seed < 20; seed += 2) assert_found(b, seed);
    for (uint32_t seed = 1; seed < 20; seed += 2) assert_miss(b, seed, "never read");
    assert_int_equal(fixture_write(b->store, b->model, 1, NULL), ENG_OK);
    reopen(b);
    assert_found(b, 1);
    assert_found(b, 18);
    assert_int_equal(eng_cache_used_bytes(b->cache), fixture_file_bytes(path));
    assert_int_equal(eng_store_keep_only(b->store, NULL, 0, NULL), ENG_OK);
    assert_int_equal(fixture_file_bytes(path), 0);
    free(path);
}

static void test_little_waste_is_only_marked(void **state)
{
    bench *b = *state;
    eng_digest kept[20];
    eng_cache_entry entry = {0};
    eng_cache_report report;
    for (uint32_t seed = 0; seed < 20; seed++) {
        uint32_t ids[FIXTURE_TOKENS_MAX];
        assert_int_equal(fixture_write(b->store, b->model, seed, NULL), ENG_OK);
        fixture_ids(seed, ids);
        eng_ids_digest(NULL, ids, fixture_n_tokens(seed), &kept[seed]);
    }
    char *path = fixture_only_file(b->folder);
    uint64_t bytes = fixture_file_bytes(path);
    assert_int_equal(eng_store_keep_only(b->store, kept, 19, NULL), ENG_OK);
    assert_int_equal(fixture_file_bytes(path), bytes);
    assert_int_equal(eng_cache_list(b->cache, take_entry, &entry, NULL), ENG_OK);
    assert_int_equal(entry.n_sections, 19);
    assert_int_equal(eng_cache_check(b->cache, true, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
    assert_int_equal(report.n_unindexed, 0);
    reopen(b);
    assert_found(b, 19); /* the document has it again */
    assert_int_equal(eng_cache_list(b->cache, take_entry, &entry, NULL), ENG_OK);
    assert_int_equal(entry.n_sections, 20);
    free(path);
}

static void test_the_index_can_be_lost_or_spoilt(void **state)
{
    bench *b = *state;
    static const char *const spoil[] = {"rm -f %s/index.sqlite*", "rm -f %s/index.sqlite*; head -c 20000 /dev/urandom > %s/index.sqlite",
                                        "rm -f %s/index.sqlite*; : > %s/index.sqlite",
                                        "rm -f %s/index.sqlite*; sqlite3 %s/index.sqlite 'create table files(x); pragma user_version=1'"};
    for (uint32_t seed = 1; seed <= 5; seed++) assert_int_equal(fixture_write(b->store, b->model, seed, NULL), ENG_OK);
    for (size_t i = 0; i < sizeof spoil / sizeof *spoil; i++) {
        char command[1100];
        eng_cache_report report;
        eng_store_close(b->store);
        eng_cache_close(b->cache);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(command, sizeof command, spoil[i], b->folder, b->folder);
#pragma GCC diagnostic pop
        assert_int_equal(system(command), 0);
        b->store = NULL;
        assert_int_equal(eng_cache_open(b->folder, NULL, &b->cache, NULL), ENG_OK);
        assert_int_equal(eng_store_open(b->cache, b->model, "book", &b->store, NULL), ENG_OK);
        assert_found(b, 2); /* adopted */
        assert_int_equal(eng_cache_rebuild_index(b->cache, &report, NULL), ENG_OK);
        assert_int_equal(report.n_records, 5);
        assert_int_equal(eng_cache_check(b->cache, true, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
        assert_int_equal(report.n_records, 5);
        assert_int_equal(report.n_unindexed + report.n_damaged_files + report.n_missing_files, 0);
    }
}

static void collide(const eng_digest *prefix, const uint32_t *ids, uint32_t n_tokens, eng_digest *ret_digest)
{
    (void)prefix;
    (void)ids;
    (void)n_tokens;
    memset(ret_digest, 0x55, sizeof *ret_digest);
}

static void test_promise_10_ids_are_compared(void **state)
{
    bench *b = *state;
    eng_cache_environment environment = {.digest_ids = collide};
    eng_section section;
    eng_error error;
    eng_store_close(b->store);
    eng_cache_close(b->cache);
    assert_int_equal(eng_cache_open_with(b->folder, NULL, &environment, &b->cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(b->cache, b->model, "book", &b->store, NULL), ENG_OK);
    uint32_t one[3] = {1, 2, 3}, other[3] = {1, 2, 4};
    eng_record *record;
    assert_int_equal(eng_record_begin(b->store, NULL, one, 3, &record, NULL), ENG_OK);
    assert_int_equal(eng_record_commit(record, NULL), ENG_OK);
    assert_int_equal(eng_store_find(b->store, NULL, other, 3, true, &section, &error), ENG_MISS);
    assert_non_null(strstr(error.message, "other tokens"));
    assert_int_equal(eng_record_begin(b->store, NULL, other, 3, &record, NULL), ENG_OK);
    assert_int_equal(eng_record_commit(record, NULL), ENG_OK); /* a second record, not the first taken for it */
    assert_int_equal(eng_store_find(b->store, NULL, one, 3, true, &section, NULL), ENG_OK);
    assert_int_equal(section.ids[2], 3);
    assert_int_equal(eng_store_find(b->store, NULL, other, 3, true, &section, NULL), ENG_OK);
    assert_int_equal(section.ids[2], 4);
}

static void test_promise_11_unpublished_is_invisible(void **state)
{
    bench *b = *state;
    eng_cache *other;
    eng_store *reader;
    eng_section section;
    eng_error error = {0};
    assert_int_equal(eng_cache_open(b->folder, NULL, &other, NULL), ENG_OK);
    assert_int_equal(eng_store_open(other, b->model, "book", &reader, NULL), ENG_OK);
    assert_int_equal(fixture_write(b->store, b->model, 1, NULL), ENG_OK);
    assert_int_equal(fixture_find(reader, 1, true, &section, &error), ENG_MISS);
    assert_non_null(strstr(error.message, "being written"));
    assert_int_equal(eng_store_sync(b->store, NULL), ENG_OK);
    assert_int_equal(fixture_find(reader, 1, true, &section, NULL), ENG_OK);
    assert_true(fixture_section_right(b->model, 1, &section));
    eng_store_close(reader);
    eng_cache_close(other);
}

static void test_promise_27_private_whatever_the_umask(void **state)
{
    bench *b = *state;
    static const char *const names[] = {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "cache.lock"};
    char path[600], *outer = fixture_folder_new();
    mode_t before = umask(0);
    eng_cache *cache;
    eng_store *store;
    snprintf(path, sizeof path, "%s/deep/cache", outer);
    assert_int_equal(eng_cache_open(path, NULL, &cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(cache, b->model, "book", &store, NULL), ENG_OK);
    assert_int_equal(fixture_write(store, b->model, 1, NULL), ENG_OK);
    assert_int_equal(eng_store_sync(store, NULL), ENG_OK);
    umask(before);
    char *folder = strdup(path), *file = fixture_only_file(path);
    assert_int_equal(fixture_mode(folder), 0700);
    assert_int_equal(fixture_mode(file), 0600);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_int_equal(fixture_mode(path), 0600);
    }
    eng_store_close(store);
    eng_cache_close(cache);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(eng_cache_open(folder, NULL, &cache, NULL), ENG_OK);
    assert_int_equal(fixture_mode(folder), 0700);
    eng_cache_close(cache);
    snprintf(path, sizeof path, "rm -rf '%s'", outer);
    assert_int_equal(system(path), 0);
    free(outer);
    free(folder);
    free(file);
}

static void test_names_are_checked(void **state)
{
    bench *b = *state;
    eng_store *store;
    static const char *const names[] = {"", "../x", "a/b", "a b", "\xc3\xa9", ".",
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(eng_store_open(b->cache, b->model, names[i], &store, NULL), ENG_LIMIT);
        assert_int_equal(eng_cache_remove(b->cache, names[i], NULL), ENG_LIMIT);
    }
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_sections_come_back_in_another_process),
        TEST(test_sections_stay_valid_while_the_file_grows),
        TEST(test_a_prefix_is_part_of_what_is_found),
        TEST(test_the_same_work_gives_the_same_file),
        TEST(test_a_section_is_kept_once),
        TEST(test_an_uncommitted_record_leaves_nothing),
        TEST(test_list_counts),
        TEST(test_remove_deletes_the_bytes),
        TEST(test_keep_only_drops_and_gives_space_back),
        TEST(test_little_waste_is_only_marked),
        TEST(test_the_index_can_be_lost_or_spoilt),
        TEST(test_promise_10_ids_are_compared),
        TEST(test_promise_11_unpublished_is_invisible),
        TEST(test_promise_27_private_whatever_the_umask),
        TEST(test_names_are_checked),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
}
