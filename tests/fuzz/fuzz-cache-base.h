/* fuzz-cache-base.h: what fuzz-cache.c and fuzz-index.c start from: a sound cache of one document, and reading edits from the input.
 *
 * Owns: the folder in memory, its file's bytes, putting it back before each run; an input taken apart.
 * Does not own: the edits.
 */
#ifndef FUZZ_CACHE_BASE_H
#define FUZZ_CACHE_BASE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache-fixture.h"

enum { BASE_SECTIONS = 3 };

typedef struct base {
    eng_model *model;
    char *folder, *path, *index_path;
    uint8_t *file, *index;
    size_t n_file, n_index;
    uint64_t offsets[BASE_SECTIONS + 1];
} base;

static inline uint8_t *base_read(const char *path, size_t *ret_n)
{
    *ret_n = fixture_file_bytes(path);
    uint8_t *bytes = malloc(*ret_n);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (!bytes || fd < 0 || read(fd, bytes, *ret_n) != (ssize_t)*ret_n) abort();
    close(fd);
    return bytes;
}

static inline void base_write(const char *path, const uint8_t *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n) abort();
    close(fd);
}

static inline void base_clean(void);

static inline base *base_get(void)
{
    static base b;
    if (b.model) return &b;
    eng_cache *cache;
    eng_store *store;
    b.model = fixture_model_new(NULL);
    b.folder = fixture_folder_new();
    if (eng_cache_open(b.folder, NULL, &cache, NULL) != ENG_OK || eng_store_open(cache, b.model, "book", &store, NULL) != ENG_OK) abort();
    b.offsets[0] = ENG_CACHE_PAGE_BYTES;
    for (uint32_t seed = 0; seed < BASE_SECTIONS; seed++) {
        if (fixture_write(store, b.model, seed, NULL) != ENG_OK) abort();
        b.offsets[seed + 1] = b.offsets[seed] + eng_record_bytes(b.model, fixture_n_tokens(seed));
    }
    if (eng_store_sync(store, NULL) != ENG_OK) abort();
    eng_store_close(store);
    eng_cache_close(cache);
    b.path = fixture_only_file(b.folder);
    if (asprintf(&b.index_path, "%s/index.sqlite", b.folder) < 0) abort();
    b.file = base_read(b.path, &b.n_file);
    b.index = base_read(b.index_path, &b.n_index);
    atexit(base_clean);
    return &b;
}

static inline void base_clean(void)
{
    base *b = base_get();
    fixture_folder_free(b->folder);
    fixture_model_free(b->model);
    free(b->path);
    free(b->index_path);
    free(b->file);
    free(b->index);
}

/* The sound folder again: the file and, if with_index, the index. */
static inline void base_restore(const base *b, bool with_index)
{
    char path[600];
    static const char *const tails[] = {"-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf(path, sizeof path, "%s%s", b->index_path, tails[i]);
        unlink(path);
    }
    unlink(b->path); /* a new file: what was mapped of the last one is not changed */
    base_write(b->path, b->file, b->n_file);
    unlink(b->index_path);
    if (with_index) base_write(b->index_path, b->index, b->n_index);
}

/* Finds every section and checks it against what was written, unless whoever damaged the file forged its checksums. */
static inline unsigned base_find_all(const base *b, bool is_forged)
{
    eng_cache *cache;
    eng_store *store;
    unsigned found = 0;
    if (eng_cache_open(b->folder, NULL, &cache, NULL) != ENG_OK) return 0;
    if (eng_store_open(cache, b->model, "book", &store, NULL) != ENG_OK) abort();
    for (uint32_t seed = 0; seed < BASE_SECTIONS; seed++) {
        eng_section section;
        eng_error reason = {0};
        eng_status status = fixture_find(store, seed, true, &section, &reason);
        if (status == ENG_OK && !is_forged && !fixture_section_right(b->model, seed, &section)) abort();
        if (status == ENG_OK) found |= 1U << seed;
        if (status != ENG_OK && reason.message[0] == 0) abort();
    }
    eng_store_close(store);
    eng_cache_close(cache);
    return found;
}

/* Check, repair, check: the last finds nothing. */
static inline void base_check_and_repair(const base *b)
{
    eng_cache *cache;
    eng_cache_report report;
    if (eng_cache_open(b->folder, NULL, &cache, NULL) != ENG_OK) return;
    if (eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, NULL) != ENG_OK) abort();
    if (eng_cache_repair(cache, true, NULL, NULL, NULL, NULL, &report, NULL) != ENG_OK) abort();
    if (eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, NULL) != ENG_OK) abort();
    if (report.n_damaged_files || report.n_damaged_records || report.n_missing_files || report.n_orphan_bytes) abort();
    eng_cache_close(cache);
}

typedef struct edits {
    const uint8_t *at, *end;
} edits;

static inline uint64_t edits_take(edits *e, size_t n_bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes && e->at < e->end; i++) value |= (uint64_t)*e->at++ << (8 * i);
    return value;
}

#endif
