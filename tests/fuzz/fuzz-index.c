/* fuzz-index.c: the cache's index with hostile rows and damaged pages, before a sound cache file. The files are the truth: whatever the
 * index says, a section that is found is the right one, and after a repair all are found.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 *
 * Input: edits: a byte that says which, and its numbers.
 */
#include "fuzz-cache-base.h"

#include <sqlite3.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EDITS_MAX = 24 };

static const char *const updates[] = {
    "UPDATE files SET id = ?1", "UPDATE files SET name = ?1", "UPDATE files SET document = ?1", "UPDATE files SET model_name = ?1",
    "UPDATE files SET identity_digest = ?1", "UPDATE files SET n_bytes = ?1", "UPDATE files SET created_us = ?1", "UPDATE files SET used_us = ?1",
    "UPDATE files SET note = ?1",
    "UPDATE OR REPLACE records SET file_id = ?1 WHERE offset % 3 = ?2 % 3", "UPDATE OR REPLACE records SET offset = ?1 WHERE n_tokens % 3 = ?2 % 3",
    "UPDATE records SET n_bytes = ?1 WHERE n_tokens % 3 = ?2 % 3", "UPDATE records SET n_tokens = ?1 WHERE n_bytes % 3 = ?2 % 3",
    "UPDATE records SET prefix = ?1 WHERE n_tokens % 3 = ?2 % 3", "UPDATE records SET ids_digest = ?1 WHERE n_tokens % 3 = ?2 % 3",
    "UPDATE records SET dropped = ?1 WHERE n_tokens % 3 = ?2 % 3",
    "INSERT OR REPLACE INTO meta VALUES('budget_bytes', ?1)", "INSERT OR REPLACE INTO pins VALUES(?1)", "INSERT OR REPLACE INTO meta VALUES(?1, ?2)",
    "INSERT OR REPLACE INTO files VALUES(?2, ?1, ?1, ?1, ?1, ?2, ?2, ?2, ?1)", "INSERT OR REPLACE INTO records VALUES(1, ?1, ?2, ?2, ?1, ?1, ?2)",
    "DELETE FROM files WHERE ?1", "DELETE FROM records WHERE offset % 3 = ?2 % 3", "DELETE FROM meta WHERE ?1",
};

static void bind_hostile(sqlite3_stmt *statement, int at, edits *e)
{
    uint8_t kind = (uint8_t)edits_take(e, 1);
    size_t n = kind >> 3, left = (size_t)(e->end - e->at);
    if (n > left) n = left;
    switch (kind % 8) {
    case 0: sqlite3_bind_null(statement, at); break;
    case 1: sqlite3_bind_double(statement, at, (double)(int64_t)edits_take(e, 8) * 1.5); break;
    case 2:
        sqlite3_bind_text(statement, at, (const char *)e->at, (int)n, SQLITE_TRANSIENT);
        e->at += n;
        break;
    case 3:
        sqlite3_bind_blob(statement, at, e->at, (int)n, SQLITE_TRANSIENT);
        e->at += n;
        break;
    case 4: sqlite3_bind_zeroblob(statement, at, (int)edits_take(e, 2)); break;
    default: sqlite3_bind_int64(statement, at, (int64_t)edits_take(e, kind % 8 == 5 ? 1 : kind % 8 == 6 ? 4 : 8)); break;
    }
}

static void edit_rows(const base *b, edits *e)
{
    sqlite3 *db;
    if (sqlite3_open_v2(b->index_path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) abort();
    sqlite3_exec(db, "PRAGMA ignore_check_constraints = 1; PRAGMA foreign_keys = 0; BEGIN", NULL, NULL, NULL);
    for (int i = 0; i < EDITS_MAX && e->at < e->end; i++) {
        sqlite3_stmt *statement;
        uint8_t which = (uint8_t)edits_take(e, 1);
        if (which >= 0xf0) break; /* the rest is for pages */
        if (sqlite3_prepare_v2(db, updates[which % (sizeof updates / sizeof *updates)], -1, &statement, NULL) != SQLITE_OK) abort();
        bind_hostile(statement, 1, e);
        if (sqlite3_bind_parameter_count(statement) > 1) bind_hostile(statement, 2, e);
        sqlite3_step(statement);
        sqlite3_finalize(statement);
    }
    sqlite3_exec(db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    sqlite3_close(db);
}

static void edit_pages(const base *b, edits *e)
{
    size_t n;
    uint8_t *bytes = base_read(b->index_path, &n);
    for (int i = 0; i < EDITS_MAX && e->at < e->end && n > 0; i++) {
        uint64_t at = edits_take(e, 2) % n, n_bytes = edits_take(e, 1) % 8;
        for (uint64_t j = 0; j < n_bytes && at + j < n; j++) bytes[at + j] = (uint8_t)edits_take(e, 1);
    }
    base_write(b->index_path, bytes, n);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const base *b = base_get();
    edits e = {data, data + size};
    base_restore(b, true);
    edit_rows(b, &e);
    if (e.at < e.end) edit_pages(b, &e);
    eng_cache *cache;
    eng_cache_report report;
    base_find_all(b, false);
    eng_error error = {0};
    eng_status status = eng_cache_open(b->folder, NULL, &cache, &error);
    if (status == ENG_UNSUPPORTED) return 0; /* a newer version's, it says: kept, and named */
    if (status != ENG_OK) { /* a bad index is made anew */
        fprintf(stderr, "%s\n", error.message);
        abort();
    }
    eng_cache_repair(cache, true, NULL, NULL, NULL, NULL, &report, NULL);
    status = eng_cache_rebuild_index(cache, &report, &error);
    if (status != ENG_OK || report.n_records != BASE_SECTIONS) {
        fprintf(stderr, "%s; %llu records\n", error.message, (unsigned long long)report.n_records);
        abort();
    }
    eng_cache_close(cache);
    if (base_find_all(b, false) != (1U << BASE_SECTIONS) - 1) abort();
    return 0;
}
