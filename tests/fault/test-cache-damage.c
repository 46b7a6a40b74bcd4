/* test-cache-damage.c: files that are not as they were written: promises 6, 7, 9, 16 and 17.
 *
 * Owns: flipped bytes, truncation, other models, forged counts, check and repair.
 * Does not own: how such files come about (test-cache-io.c, test-cache-power.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "cache-fixture.h"
#include "select-tests.h"

enum { N_SECTIONS = 3 };

typedef struct bench {
    char *folder, *path;
    eng_model *model;
    uint64_t offsets[N_SECTIONS + 1]; /* of the records, and the end */
} bench;

static int set_up(void **state)
{
    bench *b = calloc(1, sizeof *b);
    eng_cache *cache;
    eng_store *store;
    b->folder = fixture_folder_new();
    b->model = fixture_model_new(NULL);
    assert_int_equal(eng_cache_open(b->folder, NULL, &cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(cache, b->model, "book", &store, NULL), ENG_OK);
    b->offsets[0] = 4096;
    for (uint32_t seed = 0; seed < N_SECTIONS; seed++) {
        assert_int_equal(fixture_write(store, b->model, seed, NULL), ENG_OK);
        b->offsets[seed + 1] = b->offsets[seed] + eng_record_bytes(b->model, fixture_n_tokens(seed));
    }
    eng_store_close(store);
    eng_cache_close(cache);
    b->path = fixture_only_file(b->folder);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;
    fixture_model_free(b->model);
    fixture_folder_free(b->folder);
    free(b->path);
    free(b);
    return 0;
}

/* Finds all sections in a fresh opening; returns a bit set of those found (each byte for byte right). */
static unsigned find_all(bench *b, eng_error *ret_reasons)
{
    eng_cache *cache;
    eng_store *store;
    eng_section section;
    unsigned found = 0;
    assert_int_equal(eng_cache_open(b->folder, NULL, &cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(cache, b->model, "book", &store, NULL), ENG_OK);
    for (uint32_t seed = 0; seed < N_SECTIONS; seed++) {
        eng_error reason = {0};
        eng_status status = fixture_find(store, seed, true, &section, &reason);
        if (status == ENG_OK) {
            assert_true(fixture_section_right(b->model, seed, &section));
            found |= 1U << seed;
        } else {
            assert_int_equal(status, ENG_MISS);
            assert_true(reason.message[0] != 0);
            if (ret_reasons) ret_reasons[seed] = reason;
        }
    }
    eng_store_close(store);
    eng_cache_close(cache);
    return found;
}

static void test_promise_06_flipped_bytes_of_the_file_header(void **state)
{
    bench *b = *state;
    eng_error reasons[N_SECTIONS];
    for (uint64_t offset = 0; offset < 4096; offset++) {
        fixture_file_flip(b->path, offset, 1U << offset % 8);
        if (find_all(b, reasons) != 0) fail_msg("byte %llu of the file header flipped: found", (unsigned long long)offset);
        if (!strstr(reasons[0].message, "damaged") && !strstr(reasons[0].message, "begin")) fail_msg("\"%s\"", reasons[0].message);
        fixture_file_flip(b->path, offset, 1U << offset % 8);
        offset += offset < 512 || offset > 4000 ? 0 : 6; /* the identity and its padding: every seventh */
    }
    assert_int_equal(find_all(b, NULL), 7);
}

static void test_promise_06_flipped_bytes_of_a_record_header(void **state)
{
    bench *b = *state;
    eng_error reasons[N_SECTIONS];
    for (uint64_t i = 0; i < ENG_CACHE_RECORD_HEADER_BYTES; i++) {
        fixture_file_flip(b->path, b->offsets[1] + i, 1U << i % 8);
        if (find_all(b, reasons) != 5) fail_msg("byte %llu of the record header flipped", (unsigned long long)i);
        if (!strstr(reasons[1].message, "damaged")) fail_msg("\"%s\"", reasons[1].message);
        fixture_file_flip(b->path, b->offsets[1] + i, 1U << i % 8);
    }
    assert_int_equal(find_all(b, NULL), 7);
}

static void test_promise_06_flipped_bytes_of_the_payload(void **state)
{
    bench *b = *state;
    eng_error reasons[N_SECTIONS];
    uint64_t n_bytes = b->offsets[2] - b->offsets[1], step = n_bytes / 199 | 1;
    for (uint64_t i = ENG_CACHE_RECORD_HEADER_BYTES; i < n_bytes; i += i < 400 || i > n_bytes - 40 ? 1 : step) {
        fixture_file_flip(b->path, b->offsets[1] + i, 1U << i % 8);
        if (find_all(b, reasons) != 5) fail_msg("byte %llu of the payload flipped", (unsigned long long)i);
        if (!strstr(reasons[1].message, "payload")) fail_msg("\"%s\"", reasons[1].message);
        fixture_file_flip(b->path, b->offsets[1] + i, 1U << i % 8);
    }
    assert_int_equal(find_all(b, NULL), 7);
}

static void test_promise_07_truncated_anywhere(void **state)
{
    bench *b = *state;
    for (uint64_t cut = 0; cut < b->offsets[N_SECTIONS]; cut += cut % 4096 == 0 ? 1 : cut % 4096 == 1 ? 255 : cut % 4096 == 256 ? 3839 : 1) {
        char *folder = fixture_folder_copy(b->folder, true), *path = fixture_only_file(folder);
        bench copy = {.folder = folder, .path = path, .model = b->model};
        unsigned expected = 0;
        for (uint32_t i = 0; i < N_SECTIONS; i++) expected |= b->offsets[i + 1] <= cut ? 1U << i : 0;
        assert_int_equal(truncate(path, (off_t)cut), 0);
        if (find_all(&copy, NULL) != expected) fail_msg("cut at %llu", (unsigned long long)cut);
        fixture_folder_free(folder);
        free(path);
    }
}

static void test_damaged_sections_can_be_read_in_again(void **state)
{
    bench *b = *state;
    eng_cache *cache;
    eng_store *store;
    const uint64_t places[] = {100, b->offsets[1] + 70, b->offsets[1] + 5000, b->offsets[2] + 300};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bench copy = *b;
        copy.folder = fixture_folder_copy(b->folder, true);
        copy.path = fixture_only_file(copy.folder);
        fixture_file_flip(copy.path, places[i], 4);
        assert_int_not_equal(find_all(&copy, NULL), 7);
        assert_int_equal(eng_cache_open(copy.folder, NULL, &cache, NULL), ENG_OK);
        assert_int_equal(eng_store_open(cache, b->model, "book", &store, NULL), ENG_OK);
        for (uint32_t seed = 0; seed < N_SECTIONS; seed++) assert_int_equal(fixture_write(store, b->model, seed, NULL), ENG_OK);
        eng_store_close(store);
        eng_cache_close(cache);
        assert_int_equal(find_all(&copy, NULL), 7);
        fixture_folder_free(copy.folder);
        free(copy.path);
    }
}

static void test_promise_09_another_model_is_named(void **state)
{
    bench *b = *state;
    static const char *const differences[] = {
        "format: 2",
        "weights: ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "tokenizer: 00eeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100",
        "rope: yarn 4",
        "key features: 16",
        "query features: 16",
        "key type: code32",
        "value type: q8",
        "value group: 16",
        "sections: continuous",
    };
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        char key[32];
        eng_cache *cache;
        eng_store *store;
        eng_section section;
        eng_error error = {0};
        eng_model *other = fixture_model_new(differences[i]);
        assert_int_equal(eng_cache_open(b->folder, NULL, &cache, NULL), ENG_OK);
        assert_int_equal(eng_store_open(cache, other, "book", &store, NULL), ENG_OK);
        assert_int_equal(fixture_find(store, 0, true, &section, &error), ENG_MISS);
        snprintf(key, sizeof key, "%.*s", (int)strcspn(differences[i], ":"), differences[i]);
        if (!strstr(error.message, key) || !strstr(error.message, "fixture")) fail_msg("\"%s\" does not name \"%s\"", error.message, key);
        /* The same under the name that the other model would look for. */
        char *moved = NULL, name[ENG_CACHE_FILE_NAME_BYTES];
        eng_digest digest;
        eng_sha256(other->identity, strlen(other->identity), &digest);
        eng_cache_file_name("book", &digest, name);
        assert_true(asprintf(&moved, "%s/%s", b->folder, name) > 0);
        assert_int_equal(rename(b->path, moved), 0);
        assert_int_equal(fixture_find(store, 0, true, &section, &error), ENG_MISS);
        if (!strstr(error.message, key)) fail_msg("\"%s\" does not name \"%s\"", error.message, key);
        assert_int_equal(rename(moved, b->path), 0);
        free(moved);
        eng_store_close(store);
        eng_cache_close(cache);
        fixture_model_free(other);
    }
    assert_int_equal(find_all(b, NULL), 7);
}

static void test_another_documents_file_is_refused(void **state)
{
    bench *b = *state;
    char command[1400];
    eng_cache *cache;
    eng_store *store;
    eng_section section;
    eng_error error = {0};
    const char *tail = strrchr(b->path, '-');
    snprintf(command, sizeof command, "cp '%s' '%s/other%s'", b->path, b->folder, tail);
    assert_int_equal(system(command), 0);
    assert_int_equal(eng_cache_open(b->folder, NULL, &cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(cache, b->model, "other", &store, NULL), ENG_OK);
    assert_int_equal(fixture_find(store, 0, true, &section, &error), ENG_MISS);
    assert_non_null(strstr(error.message, "another document"));
    eng_store_close(store);
    eng_cache_close(cache);
}

/* A header with forged fields and right checksums, as somebody who writes to the folder would make it. */
static void forge_record(bench *b, size_t field, size_t n_bytes, uint64_t value)
{
    eng_cache_record_header header;
    int fd = open(b->path, O_RDWR);
    assert_int_equal(pread(fd, &header, sizeof header, (off_t)b->offsets[1]), sizeof header);
    memcpy((uint8_t *)&header + field, &value, n_bytes);
    eng_cache_checksum(&header, offsetof(eng_cache_record_header, checksum), header.checksum);
    assert_int_equal(pwrite(fd, &header, sizeof header, (off_t)b->offsets[1]), sizeof header);
    close(fd);
}

static void forge_file(bench *b, size_t field, size_t n_bytes, uint64_t value)
{
    eng_cache_file_header header;
    int fd = open(b->path, O_RDWR);
    assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
    memcpy((uint8_t *)&header + field, &value, n_bytes);
    eng_cache_checksum(&header, offsetof(eng_cache_file_header, checksum), header.checksum);
    assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
    close(fd);
}

static void look_at_all(bench *b)
{
    eng_cache *cache;
    eng_cache_report report;
    find_all(b, NULL);
    assert_int_equal(eng_cache_open(b->folder, NULL, &cache, NULL), ENG_OK);
    assert_int_equal(eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
    assert_true(report.n_damaged_files > 0);
    eng_cache_close(cache);
}

static const uint64_t values[] = {0,          1,          15,         4095,       4096,      65536,       1ULL << 20,  (1ULL << 20) + 1, 1ULL << 31,
                                  0xffffffff, 1ULL << 32, 1ULL << 47, 1ULL << 62, 1ULL << 63, UINT64_MAX, UINT64_MAX - 4095};

static void test_promise_16_forged_counts_and_offsets(void **state)
{
    bench *b = *state;
#define FIELD(type, name) {offsetof(type, name), sizeof((type *)0)->name}
    static const struct { size_t at, n_bytes; } record_fields[] = {
        FIELD(eng_cache_record_header, header_bytes), FIELD(eng_cache_record_header, n_tokens),   FIELD(eng_cache_record_header, record_bytes),
        FIELD(eng_cache_record_header, offset),       FIELD(eng_cache_record_header, capacity),   FIELD(eng_cache_record_header, n_layers),
        FIELD(eng_cache_record_header, ids_offset),   FIELD(eng_cache_record_header, blocks_offset), FIELD(eng_cache_record_header, block_bytes),
    }, file_fields[] = {
        FIELD(eng_cache_file_header, version),  FIELD(eng_cache_file_header, header_bytes), FIELD(eng_cache_file_header, n_layers),
        FIELD(eng_cache_file_header, n_kv_heads), FIELD(eng_cache_file_header, d),          FIELD(eng_cache_file_header, k_key),
        FIELD(eng_cache_file_header, value_group), FIELD(eng_cache_file_header, key_type),  FIELD(eng_cache_file_header, value_type),
        FIELD(eng_cache_file_header, identity_bytes),
    };
#undef FIELD
    bench copy = *b;
    for (size_t i = 0; i < sizeof record_fields / sizeof *record_fields + sizeof file_fields / sizeof *file_fields; i++) {
        for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
            size_t n_record = sizeof record_fields / sizeof *record_fields;
            copy.folder = fixture_folder_copy(b->folder, true);
            copy.path = fixture_only_file(copy.folder);
            size_t n_bytes = i < n_record ? record_fields[i].n_bytes : file_fields[i - n_record].n_bytes;
            bool same = false;
            int fd = open(copy.path, O_RDONLY);
            uint64_t present = 0;
            size_t at = i < n_record ? b->offsets[1] + record_fields[i].at : file_fields[i - n_record].at;
            assert_int_equal(pread(fd, &present, n_bytes, (off_t)at), n_bytes);
            close(fd);
            same = memcmp(&present, &values[j], n_bytes) == 0;
            if (!same && i < n_record) forge_record(&copy, record_fields[i].at, n_bytes, values[j]);
            if (!same && i >= n_record) forge_file(&copy, file_fields[i - n_record].at, n_bytes, values[j]);
            if (!same) look_at_all(&copy);
            fixture_folder_free(copy.folder);
            free(copy.path);
        }
    }
}

static void test_promise_16_hostile_index_rows(void **state)
{
    bench *b = *state;
    static const char *const statements[] = {
        "UPDATE records SET offset = -1 WHERE offset = (SELECT max(offset) FROM records)",
        "UPDATE records SET offset = 9223372036854775807 WHERE offset = (SELECT max(offset) FROM records)",
        "UPDATE records SET n_bytes = 9223372036854775807",
        "UPDATE records SET n_bytes = -4096, n_tokens = -1",
        "UPDATE records SET offset = offset + 1",
        "UPDATE records SET offset = -offset; UPDATE records SET offset = 4096 - offset",
        "UPDATE records SET prefix = 'x', ids_digest = zeroblob(100000)",
        "UPDATE records SET ids_digest = zeroblob(32)",
        "UPDATE records SET n_tokens = 'many', dropped = 'no'",
        "UPDATE files SET name = '../../etc/passwd'",
        "UPDATE files SET name = zeroblob(3)",
        "UPDATE files SET document = 'another'",
        "UPDATE files SET model_name = hex(zeroblob(10000)), note = hex(zeroblob(10000))",
        "PRAGMA ignore_check_constraints = 1; UPDATE files SET n_bytes = -9223372036854775807",
        "UPDATE files SET n_bytes = 9223372036854775807, used_us = 'x', created_us = -9223372036854775807",
        "INSERT INTO meta VALUES('budget_bytes', -5) ON CONFLICT DO UPDATE SET value = -5",
        "DELETE FROM files",
        "INSERT INTO records SELECT 1000 + value, 4096, 4096, 16, zeroblob(32), zeroblob(32), 0 FROM (SELECT 1 AS value)",
    };
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        bench copy = *b;
        char *index = NULL, *message = NULL;
        sqlite3 *db;
        eng_cache *cache;
        eng_cache_report report;
        copy.folder = fixture_folder_copy(b->folder, true);
        copy.path = fixture_only_file(copy.folder);
        assert_true(asprintf(&index, "%s/index.sqlite", copy.folder) > 0);
        assert_int_equal(sqlite3_open(index, &db), SQLITE_OK);
        if (sqlite3_exec(db, statements[i], NULL, NULL, &message) != SQLITE_OK) fail_msg("%s: %s", statements[i], message);
        sqlite3_close(db);
        if (find_all(&copy, NULL) != 7) fail_msg("after %s", statements[i]);
        assert_int_equal(eng_cache_open(copy.folder, NULL, &cache, NULL), ENG_OK);
        assert_int_equal(eng_cache_repair(cache, true, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
        assert_int_equal(eng_cache_used_bytes(cache), b->offsets[N_SECTIONS]);
        assert_int_equal(eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
        assert_int_equal(report.n_damaged_records + report.n_missing_files, 0);
        eng_cache_close(cache);
        if (find_all(&copy, NULL) != 7) fail_msg("after the repair of %s", statements[i]);
        fixture_folder_free(copy.folder);
        free(copy.path);
        free(index);
    }
}

static void test_triggers_in_the_index_are_not_run(void **state)
{
    bench *b = *state;
    char *index = NULL;
    sqlite3 *db;
    assert_true(asprintf(&index, "%s/index.sqlite", b->folder) > 0);
    assert_int_equal(sqlite3_open(index, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TRIGGER t AFTER UPDATE ON files BEGIN DELETE FROM records; END", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(find_all(b, NULL), 7); /* the index is made anew */
    free(index);
}

typedef struct findings {
    uint64_t offsets[64];
    size_t n;
} findings;

static void take_finding(void *user, const char *file, uint64_t offset, const char *what)
{
    findings *found = user;
    assert_true(file[0] && what[0] && found->n < 64);
    found->offsets[found->n++] = offset;
}

static bool reported(const findings *found, uint64_t offset)
{
    for (size_t i = 0; i < found->n; i++) {
        if (found->offsets[i] == offset) return true;
    }
    return false;
}

static void test_promise_17_check_finds_seeded_damage_and_repair_only_deletes(void **state)
{
    bench *b = *state;
    for (uint32_t pattern = 1; pattern < 27; pattern++) { /* per record: 0 whole, 1 header damaged, 2 payload damaged */
        bench copy = *b;
        eng_cache *cache;
        eng_cache_report report;
        findings found = {0};
        unsigned whole = 0, kinds[N_SECTIONS] = {pattern % 3, pattern / 3 % 3, pattern / 9};
        copy.folder = fixture_folder_copy(b->folder, true);
        copy.path = fixture_only_file(copy.folder);
        for (uint32_t i = 0; i < N_SECTIONS; i++) {
            if (kinds[i] == 0) whole |= 1U << i;
            if (kinds[i] == 1) fixture_file_flip(copy.path, b->offsets[i] + 30 + pattern, 1);
            if (kinds[i] == 2) fixture_file_flip(copy.path, b->offsets[i] + 300 + pattern * 100, 1);
        }
        assert_int_equal(eng_cache_open(copy.folder, NULL, &cache, NULL), ENG_OK);
        assert_int_equal(eng_cache_check(cache, true, take_finding, NULL, &found, NULL, &report, NULL), ENG_OK);
        for (uint32_t i = 0; i < N_SECTIONS; i++) {
            bool joined = kinds[i] == 1 && i > 0 && kinds[i - 1] == 1; /* two damaged headers in a row are one stretch */
            if (kinds[i] && !joined && !reported(&found, b->offsets[i])) fail_msg("pattern %u: record %u not found", pattern, i);
        }
        assert_int_equal(report.n_damaged_files, 1);
        assert_int_equal(eng_cache_repair(cache, true, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
        found.n = 0;
        assert_int_equal(eng_cache_check(cache, true, take_finding, NULL, &found, NULL, &report, NULL), ENG_OK);
        assert_int_equal(found.n, 0);
        eng_cache_close(cache);
        if (find_all(&copy, NULL) != whole) fail_msg("pattern %u: what was whole is not what is left", pattern);
        fixture_folder_free(copy.folder);
        free(copy.path);
    }
}

static void test_promise_17_other_findings(void **state)
{
    bench *b = *state;
    char command[1400];
    eng_cache *cache;
    eng_cache_report report;
    assert_int_equal(eng_cache_open(b->folder, NULL, &cache, NULL), ENG_OK);
    snprintf(command, sizeof command,
             "cd '%s' && head -c 100 /dev/zero > lost-0123456789abcdef.lkv.tmp-1-0 && head -c 9000 /dev/zero > bad-0123456789abcdef.lkv &&"
             "head -c 5000 /dev/zero >> %s",
             b->folder, strrchr(b->path, '/') + 1);
    assert_int_equal(system(command), 0);
    assert_int_equal(eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
    assert_int_equal(report.n_orphan_bytes, 100);
    assert_int_equal(report.n_damaged_files, 2);
    assert_int_equal(report.n_records, N_SECTIONS);
    assert_int_equal(eng_cache_repair(cache, false, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
    assert_int_equal(eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
    assert_int_equal(report.n_orphan_bytes + report.n_damaged_files + report.n_missing_files + report.n_unindexed, 0);
    assert_int_equal(unlink(b->path), 0);
    assert_int_equal(eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
    assert_int_equal(report.n_missing_files, 1);
    assert_int_equal(eng_cache_repair(cache, false, NULL, NULL, NULL, NULL, &report, NULL), ENG_OK);
    assert_int_equal(eng_cache_used_bytes(cache), 0);
    eng_cache_close(cache);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_promise_06_flipped_bytes_of_the_file_header),
        TEST(test_promise_06_flipped_bytes_of_a_record_header),
        TEST(test_promise_06_flipped_bytes_of_the_payload),
        TEST(test_promise_07_truncated_anywhere),
        TEST(test_damaged_sections_can_be_read_in_again),
        TEST(test_promise_09_another_model_is_named),
        TEST(test_another_documents_file_is_refused),
        TEST(test_promise_16_forged_counts_and_offsets),
        TEST(test_promise_16_hostile_index_rows),
        TEST(test_triggers_in_the_index_are_not_run),
        TEST(test_promise_17_check_finds_seeded_damage_and_repair_only_deletes),
        TEST(test_promise_17_other_findings),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
}
