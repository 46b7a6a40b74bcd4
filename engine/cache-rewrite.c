/* cache-rewrite.c: replacing a cache file by one that holds fewer records.
 *
 * Owns: the second way in which a file changes (C2 of cache-format.h): a new file beside it, synced, renamed over it.
 * Does not own: appending (cache-write.c), finding out what is damaged (cache-check.c).
 */
#include "cache-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

typedef struct rewrite_state {
    eng_cache *cache;
    const char *name;
    const eng_cache_file *from;
    int to_fd;
    uint64_t to_bytes;
    eng_cache_keep_fn keep;
    void *keep_user;
    uint8_t *piece;
    eng_index_record *rows;
    size_t n_rows, rows_capacity;
    eng_status status;
    eng_error *error;
} rewrite_state;

static eng_status add_row(rewrite_state *state, const eng_cache_record_header *header)
{
    if (state->n_rows == state->rows_capacity) {
        size_t capacity = state->rows_capacity ? state->rows_capacity * 2 : 64;
        eng_index_record *rows = realloc(state->rows, capacity * sizeof *rows);
        if (!rows) return eng_fail(state->error, ENG_NO_MEMORY, "out of memory");
        state->rows = rows;
        state->rows_capacity = capacity;
    }
    eng_cache_record_row(header, &state->rows[state->n_rows++]);
    return ENG_OK;
}

/* Copies the payload to its new place; *ret_intact: its checksum held on the way. */
static eng_status copy_payload(rewrite_state *state, uint64_t offset, const eng_cache_record_header *header, bool *ret_intact)
{
    const eng_fileops *ops = state->cache->ops;
    XXH3_state_t *hash = XXH3_createState();
    if (!hash) return eng_fail(state->error, ENG_NO_MEMORY, "out of memory");
    XXH3_128bits_reset(hash);
    eng_status status = ENG_OK;
    for (uint64_t at = 0; status == ENG_OK && at < header->record_bytes; at += ENG_CACHE_COPY_BYTES) {
        uint64_t left = header->record_bytes - at;
        size_t n = left < ENG_CACHE_COPY_BYTES ? (size_t)left : ENG_CACHE_COPY_BYTES;
        status = eng_fileops_read(ops, state->from->fd, state->piece, n, offset + at, state->name, state->error);
        if (status != ENG_OK) break;
        size_t skip = at == 0 ? ENG_CACHE_RECORD_HEADER_BYTES : 0;
        XXH3_128bits_update(hash, state->piece + skip, n - skip);
        if (at == 0) {
            eng_cache_record_header moved = *header;
            eng_cache_record_header_seal(&moved, state->to_bytes);
            memcpy(state->piece, &moved, sizeof moved);
        }
        status = eng_fileops_write(ops, state->to_fd, state->piece, n, state->to_bytes + at, state->name, state->error);
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
    *ret_intact = memcmp(canonical.digest, header->payload_checksum, ENG_CACHE_CHECKSUM_BYTES) == 0;
    XXH3_freeState(hash);
    return status;
}

static bool copy_record(void *user, uint64_t offset, uint64_t bytes, const eng_cache_record_header *header, const char *problem)
{
    (void)problem;
    rewrite_state *state = user;
    if (!header || !state->keep(state->keep_user, header)) return true;
    bool intact = false;
    state->status = copy_payload(state, offset, header, &intact);
    if (state->status != ENG_OK) return false;
    if (!intact) return true; /* the next record overwrites it, or the end is cut */
    eng_cache_record_header moved = *header;
    eng_cache_record_header_seal(&moved, state->to_bytes);
    state->status = add_row(state, &moved);
    state->to_bytes += bytes;
    return state->status == ENG_OK;
}

/* The new file's bytes are on the medium before its name is, and its name before its rows. */
static eng_status put_in_place(rewrite_state *state, const char *temporary, bool *ret_renamed)
{
    eng_cache *cache = state->cache;
    const eng_fileops *ops = cache->ops;
    char *path = eng_cache_path(cache, state->name);
    if (!path) return eng_fail(state->error, ENG_NO_MEMORY, "out of memory");
    eng_status status = ENG_OK;
    if (ops->ftruncate(ops, state->to_fd, state->to_bytes) != 0 || ops->fsync(ops, state->to_fd) != 0) {
        status = eng_fileops_fail(state->error, errno, "cannot save %s: %s", state->name);
    } else if (ops->rename(ops, temporary, path) != 0) {
        status = eng_fileops_fail(state->error, errno, "cannot replace %s: %s", state->name);
    } else {
        *ret_renamed = true;
        if (ops->fsync_folder(ops, cache->folder) != 0) status = eng_fileops_fail(state->error, errno, "cannot save the folder of %s: %s", state->name);
    }
    free(path);
    if (!*ret_renamed) return status;
    eng_index_file file;
    eng_cache_file_row(cache, state->name, &state->from->header, state->to_bytes, &file);
    eng_status indexed = eng_index_publish(cache->index, &file, state->rows, state->n_rows, true, status == ENG_OK ? state->error : NULL);
    return status == ENG_OK ? indexed : status;
}

eng_status eng_cache_file_rewrite(eng_cache *cache, const char *name, const eng_cache_file *file, uint64_t file_bytes, eng_cache_keep_fn keep,
                                  void *user, uint64_t *ret_kept, eng_error *error)
{
    char *temporary = NULL;
    bool renamed = false;
    rewrite_state state = {
        .cache = cache, .name = name, .from = file, .to_fd = -1, .to_bytes = ENG_CACHE_PAGE_BYTES, .keep = keep, .keep_user = user, .error = error};
    eng_status status = eng_cache_file_create_temporary(cache, name, &temporary, &state.to_fd, error);
    if (status != ENG_OK) return status;
    state.piece = malloc(ENG_CACHE_COPY_BYTES);
    if (!state.piece) status = eng_fail(error, ENG_NO_MEMORY, "out of memory");
    if (status == ENG_OK) status = eng_fileops_write(cache->ops, state.to_fd, &file->header, sizeof file->header, 0, name, error);
    if (status == ENG_OK) status = eng_cache_file_walk(cache, name, file, ENG_CACHE_PAGE_BYTES, file_bytes, copy_record, &state, error);
    if (status == ENG_OK) status = state.status;
    if (status == ENG_OK && state.n_rows == 0) {
        status = eng_cache_file_delete(cache, name, error);
    } else if (status == ENG_OK) {
        status = put_in_place(&state, temporary, &renamed);
    }
    if (!renamed) cache->ops->unlink(cache->ops, temporary);
    cache->ops->close(cache->ops, state.to_fd);
    if (status == ENG_OK && ret_kept) *ret_kept = state.n_rows;
    free(state.piece);
    free(state.rows);
    free(temporary);
    return status;
}

/* --------------------------------------------------------------------------------------------------- what a document no longer has */

typedef struct digest_set {
    const eng_digest *sorted;
    size_t n;
} digest_set;

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(eng_digest));
}

static bool keep_digest(void *user, const eng_cache_record_header *header)
{
    const digest_set *set = user;
    return set->n && bsearch(header->ids_digest, set->sorted, set->n, sizeof *set->sorted, compare_digests);
}

/* Marks the rows of what is dropped, and says how many bytes of the file are still wanted. */
static eng_status drop_rows(eng_store *store, uint64_t file_bytes, const digest_set *set, uint64_t *ret_kept_bytes, eng_error *error)
{
    uint64_t kept_bytes = ENG_CACHE_PAGE_BYTES;
    size_t n = 0;
    eng_index_record *rows = malloc((store->n_entries + 1) * sizeof *rows);
    if (!rows) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < store->n_entries; i++) {
        const eng_store_entry *entry = &store->entries[i];
        bool kept = keep_digest((void *)(uintptr_t)set, &entry->header);
        if (kept) kept_bytes += entry->header.record_bytes;
        if (!entry->indexed) continue;
        eng_cache_record_row(&entry->header, &rows[n]);
        rows[n++].dropped = !kept;
    }
    eng_index_file file;
    eng_cache_file_row(store->cache, store->name, &store->file.header, file_bytes, &file);
    eng_status status = eng_index_publish(store->cache->index, &file, rows, n, true, error);
    free(rows);
    if (status == ENG_OK) *ret_kept_bytes = kept_bytes;
    return status;
}

static eng_status keep_locked(eng_store *store, const eng_cache_file *file, uint64_t file_bytes, digest_set *set, eng_error *error)
{
    uint64_t kept_bytes = 0;
    eng_status status = eng_store_refresh(store, error);
    if (status != ENG_OK || store->file.fd < 0) return status;
    status = drop_rows(store, file_bytes, set, &kept_bytes, error);
    if (status != ENG_OK) return status;
    if (file_bytes <= kept_bytes || (file_bytes - kept_bytes) <= file_bytes / 4) return ENG_OK;
    status = eng_cache_file_rewrite(store->cache, store->name, file, file_bytes, keep_digest, set, NULL, error);
    return status;
}

eng_status eng_store_keep_only(eng_store *store, const eng_digest *digests, size_t n, eng_error *error)
{
    eng_status status = eng_store_sync(store, error);
    if (status != ENG_OK) return status;
    eng_digest *sorted = malloc((n + 1) * sizeof *sorted);
    if (!sorted) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    if (n) {
        memcpy(sorted, digests, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, compare_digests);
    }
    digest_set set = {.sorted = sorted, .n = n};
    eng_cache_file file = {.fd = -1};
    uint64_t file_bytes = 0;
    eng_error reason;
    status = eng_cache_file_open_locked(store->cache, store->name, false, &file, &file_bytes, &reason);
    if (status == ENG_OK) {
        status = keep_locked(store, &file, file_bytes, &set, error);
        eng_cache_file_close(store->cache, &file);
        if (status == ENG_OK) status = eng_store_refresh(store, error);
    } else if (status == ENG_NOT_FOUND) {
        status = ENG_OK;
    } else if (error) {
        *error = reason;
    }
    free(sorted);
    return status;
}
