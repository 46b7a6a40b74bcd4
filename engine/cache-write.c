/* cache-write.c: appending records and publishing them.
 *
 * Owns: invariants C2 (appending), C4, C5 (publishing), C10 of cache-format.h; the byte budget at the moment of writing.
 * Does not own: finding (cache-store.c), replacing a file (cache-rewrite.c).
 *
 * A record's life: begin (memory) -> commit: append lock, dedupe, reserve in the index, body, first page, unlock -> sync: fsync,
 * rows. Commit syncs by itself after SYNC_BYTES or SYNC_US.
 */
#include "cache-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SYNC_BYTES = 64 << 20,
    SYNC_US = 1000000,
};

uint64_t eng_record_bytes(const eng_model *model, uint32_t n_tokens)
{
    const eng_model_info *info = eng_model_get_info(model);
    eng_cache_geometry geometry = {.format = info->kv_format, .n_layers = info->n_layers, .n_kv_heads = info->n_kv_heads};
    return eng_cache_record_layout_of(&geometry, n_tokens).record_bytes;
}

/* ------------------------------------------------------------------------------------------------------------- records */

/* Page-aligned zeros, taken from the store's spare memory when that is large enough. */
static eng_status allocate_record(eng_store *store, eng_record *record, eng_error *error)
{
    if (store->spare && store->spare_bytes >= record->n_bytes) {
        record->data = store->spare;
        record->allocated_bytes = store->spare_bytes;
        store->spare = NULL;
        store->spare_bytes = 0;
        memset(record->data, 0, record->n_bytes);
        return ENG_OK;
    }
    void *data = mmap(NULL, record->n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return eng_fail(error, ENG_NO_MEMORY, "out of memory for a section of %zu bytes", record->n_bytes);
    record->data = data;
    record->allocated_bytes = record->n_bytes;
    return ENG_OK;
}

eng_status eng_record_begin(eng_store *store, const eng_digest *prefix, const uint32_t *ids, uint32_t n_tokens, eng_record **ret_record,
                            eng_error *error)
{
    if (n_tokens < 1 || n_tokens > ENG_CACHE_TOKENS_MAX) return eng_fail(error, ENG_LIMIT, "a section of %u tokens cannot be in the cache", n_tokens);
    eng_record *record = calloc(1, sizeof *record);
    void **blocks = malloc(store->geometry.n_layers * sizeof *blocks);
    eng_status status = record && blocks ? ENG_OK : eng_fail(error, ENG_NO_MEMORY, "out of memory");
    if (status == ENG_OK) {
        eng_digest digest;
        store->cache->environment.digest_ids(prefix, ids, n_tokens, &digest);
        eng_cache_record_header_make(&store->geometry, store->wanted.identity_digest, prefix, &digest, n_tokens, &record->header);
        record->store = store;
        record->n_bytes = (size_t)record->header.record_bytes;
        status = allocate_record(store, record, error);
    }
    if (status != ENG_OK) {
        free(blocks);
        free(record);
        return status;
    }
    memcpy(record->data + ENG_CACHE_RECORD_HEADER_BYTES, ids, (size_t)n_tokens * sizeof *ids);
    for (uint32_t layer = 0; layer < store->geometry.n_layers; layer++) {
        blocks[layer] = record->data + record->header.blocks_offset + layer * record->header.block_bytes;
    }
    record->blocks = blocks;
    *ret_record = record;
    return ENG_OK;
}

void *const *eng_record_blocks(eng_record *record)
{
    return record->blocks;
}

void eng_record_free(eng_record *record)
{
    if (!record) return;
    eng_store *store = record->store;
    if (record->allocated_bytes > store->spare_bytes) {
        if (store->spare) munmap(store->spare, store->spare_bytes);
        store->spare = record->data;
        store->spare_bytes = record->allocated_bytes;
    } else {
        munmap(record->data, record->allocated_bytes);
    }
    free(record->blocks);
    free(record);
}

/* ------------------------------------------------------------------------------------------------------------- locking */

/* The file is made, or made anew where its header is damaged. Somebody else may have been quicker. */
static eng_status create_file(eng_store *store, eng_error *error)
{
    eng_cache *cache = store->cache;
    eng_status status = eng_cache_lock_folder(cache, error);
    if (status != ENG_OK) return status;
    status = eng_store_refresh(store, error);
    bool bad = status == ENG_BAD_FILE || status == ENG_UNSUPPORTED;
    if (bad || (status == ENG_OK && store->file.fd < 0)) {
        status = eng_cache_file_create(cache, store->name, &store->wanted, error);
        if (status == ENG_OK && bad) status = eng_index_remove(cache->index, store->name, error);
    }
    eng_cache_unlock_folder(cache);
    return status;
}

/* C3, C10. On success the store is attached to the file that the name leads to, and its entries are up to date. */
static eng_status lock_append(eng_store *store, uint64_t *ret_bytes, eng_error *error)
{
    enum { TRIES = 100 };
    const eng_fileops *ops = store->cache->ops;
    for (int i = 0; i < TRIES; i++) {
        eng_status status = eng_store_refresh(store, error);
        if (status == ENG_BAD_FILE || status == ENG_UNSUPPORTED || (status == ENG_OK && store->file.fd < 0)) {
            status = create_file(store, error);
            if (status == ENG_OK) continue;
        }
        if (status != ENG_OK) return status;
        if (!store->file.writable) return eng_fail(error, ENG_IO, "%s cannot be written: no permission", store->name);
        if (!store->writer_locked && ops->lock(ops, store->file.fd, ENG_CACHE_LOCK_WRITER, ENG_LOCK_SHARED, true) != 0) {
            return eng_fileops_fail(error, errno, "cannot lock %s: %s", store->name);
        }
        store->writer_locked = true;
        if (ops->lock(ops, store->file.fd, ENG_CACHE_LOCK_APPEND, ENG_LOCK_EXCLUSIVE, true) != 0) {
            return eng_fileops_fail(error, errno, "cannot lock %s: %s", store->name);
        }
        uint32_t generation = store->generation;
        int fd = store->file.fd;
        status = eng_store_refresh(store, error); /* detaches, and so unlocks, when the file was replaced */
        if (status == ENG_OK && store->generation == generation) {
            status = eng_cache_file_current(store->cache, store->name, &store->file, ret_bytes, error);
            if (status == ENG_OK) return ENG_OK;
        }
        if (store->generation == generation) ops->lock(ops, fd, ENG_CACHE_LOCK_APPEND, ENG_LOCK_NONE, false);
        if (status != ENG_OK && status != ENG_NOT_FOUND && store->generation == generation) return status;
    }
    return eng_fail(error, ENG_BUSY, "%s is being replaced again and again by another process", store->name);
}

static void unlock_append(eng_store *store)
{
    const eng_fileops *ops = store->cache->ops;
    ops->lock(ops, store->file.fd, ENG_CACHE_LOCK_APPEND, ENG_LOCK_NONE, false);
}

/* ------------------------------------------------------------------------------------------------------------ appending */

/* C2: cuts what a dead writer left behind the last valid record, and says where the next one goes. Under the append lock. */
static eng_status find_end(eng_store *store, uint64_t file_bytes, uint64_t *ret_end, eng_error *error)
{
    const eng_fileops *ops = store->cache->ops;
    while (store->n_entries > 0) {
        eng_store_entry *last = &store->entries[store->n_entries - 1];
        if (last->indexed || last->verified || last->own) break;
        eng_status status = eng_store_verify_entry(store, last, error);
        if (status == ENG_OK) break;
        if (status != ENG_MISS) return status;
        store->n_entries--;
        store->scanned_bytes = last->offset;
    }
    uint64_t end = ENG_CACHE_PAGE_BYTES;
    if (store->n_entries > 0) {
        const eng_store_entry *last = &store->entries[store->n_entries - 1];
        end = last->offset + last->header.record_bytes;
    }
    if (end < store->floor_bytes) end = (store->floor_bytes + ENG_CACHE_PAGE_BYTES - 1) / ENG_CACHE_PAGE_BYTES * ENG_CACHE_PAGE_BYTES;
    if (file_bytes > end && ops->ftruncate(ops, store->file.fd, end) != 0) return eng_fileops_fail(error, errno, "cannot cut the torn end of %s: %s", store->name);
    if (store->bad_offset >= end) store->bad_offset = 0;
    *ret_end = end;
    return ENG_OK;
}

/* A record of the same tokens that is already there, whose payload holds; NULL: none. */
static eng_store_entry *find_twin(eng_store *store, const eng_record *record)
{
    eng_digest prefix, digest;
    memcpy(prefix.bytes, record->header.prefix, sizeof prefix.bytes);
    memcpy(digest.bytes, record->header.ids_digest, sizeof digest.bytes);
    const uint8_t *ids = record->data + ENG_CACHE_RECORD_HEADER_BYTES;
    size_t ids_bytes = (size_t)record->header.n_tokens * sizeof(uint32_t);
    uint8_t *stored = malloc(ids_bytes);
    eng_store_entry *twin = NULL;
    for (size_t i = store->n_entries; stored && i-- > 0 && !twin;) {
        eng_store_entry *entry = &store->entries[i];
        if (!eng_store_entry_matches(entry, &prefix, &digest, record->header.n_tokens)) continue;
        eng_status status = eng_fileops_read(store->cache->ops, store->file.fd, stored, ids_bytes, entry->offset + ENG_CACHE_RECORD_HEADER_BYTES,
                                          store->name, NULL);
        if (status == ENG_OK && memcmp(stored, ids, ids_bytes) == 0 && eng_store_verify_entry(store, entry, NULL) == ENG_OK) twin = entry;
    }
    free(stored);
    return twin;
}

static eng_status reserve(eng_store *store, uint64_t n_bytes, eng_error *error)
{
    eng_index_file row;
    eng_cache_file_row(store->cache, store->name, &store->wanted, n_bytes, &row);
    for (;;) {
        uint64_t freed = 0;
        eng_error reason;
        eng_status status = eng_index_reserve(store->cache->index, &row, eng_cache_get_budget(store->cache), &reason);
        if (status == ENG_LIMIT) {
            status = eng_cache_evict_one(store->cache, store->name, &freed, NULL);
            if (status == ENG_OK) continue;
            return eng_fail(error, ENG_NO_SPACE, "no room for %s: %s and all else in it is pinned or being written. Raise the limit, unpin or "
                                                 "remove a document", store->document, reason.message);
        }
        if (status != ENG_OK && error) *error = reason;
        return status;
    }
}

/* C4: the body first, then the first page with the header. */
static eng_status write_record(eng_store *store, eng_record *record, uint64_t offset, eng_error *error)
{
    const eng_fileops *ops = store->cache->ops;
    eng_cache_record_header_seal(&record->header, offset);
    memcpy(record->data, &record->header, sizeof record->header);
    eng_status status = ENG_OK;
    if (record->n_bytes > ENG_CACHE_PAGE_BYTES) {
        status = eng_fileops_write(ops, store->file.fd, record->data + ENG_CACHE_PAGE_BYTES, record->n_bytes - ENG_CACHE_PAGE_BYTES,
                                offset + ENG_CACHE_PAGE_BYTES, store->name, error);
    }
    if (status == ENG_OK) status = eng_fileops_write(ops, store->file.fd, record->data, ENG_CACHE_PAGE_BYTES, offset, store->name, error);
    if (status != ENG_OK) { /* leaves no trace if it can; else the next appender cuts it */
        ops->ftruncate(ops, store->file.fd, offset);
        eng_index_set_bytes(store->cache->index, store->name, offset, NULL);
    }
    return status;
}

static eng_status append(eng_store *store, eng_record *record, uint64_t file_bytes, eng_error *error)
{
    uint64_t end = 0;
    eng_status status = find_end(store, file_bytes, &end, error);
    if (status != ENG_OK) return status;
    eng_store_entry *entry = find_twin(store, record);
    if (!entry) {
        status = reserve(store, end + record->n_bytes, error);
        if (status == ENG_OK) status = write_record(store, record, end, error);
        if (status == ENG_OK) status = eng_store_add_entry(store, &record->header, end, &entry, error);
        if (status != ENG_OK) return status;
        entry->verified = true;
        store->scanned_bytes = end + record->n_bytes;
        store->unsynced_bytes += record->n_bytes;
    } else if (!entry->indexed) {
        store->unsynced_bytes += record->n_bytes; /* another's, which our fsync publishes as well */
    } else if (entry->dropped) {
        return eng_store_publish_entry(store, entry, error);
    }
    entry->own = true;
    return ENG_OK;
}

eng_status eng_record_commit(eng_record *record, eng_error *error)
{
    eng_store *store = record->store;
    uint64_t file_bytes = 0;
    eng_cache_checksum(record->data + ENG_CACHE_RECORD_HEADER_BYTES, record->n_bytes - ENG_CACHE_RECORD_HEADER_BYTES,
                       record->header.payload_checksum);
    eng_status status = lock_append(store, &file_bytes, error);
    if (status == ENG_OK) {
        status = append(store, record, file_bytes, error);
        /* A file that got no record is not left behind: nothing would count its page against the budget. */
        if (status != ENG_OK && store->n_entries == 0) eng_cache_file_delete(store->cache, store->name, NULL);
        unlock_append(store);
    }
    eng_record_free(record);
    if (status != ENG_OK) return status;
    if (store->unsynced_bytes >= SYNC_BYTES || store->cache->environment.now_us() - store->synced_us >= SYNC_US) {
        return eng_store_sync(store, error);
    }
    return ENG_OK;
}

/* ----------------------------------------------------------------------------------------------------------- publishing */

static eng_status publish(eng_store *store, uint64_t file_bytes, eng_error *error)
{
    size_t n = 0;
    eng_index_record *rows = malloc((store->n_entries + 1) * sizeof *rows);
    if (!rows) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < store->n_entries; i++) {
        if (store->entries[i].own && !store->entries[i].indexed) eng_cache_record_row(&store->entries[i].header, &rows[n++]);
    }
    eng_index_file file;
    eng_cache_file_row(store->cache, store->name, &store->file.header, file_bytes, &file);
    eng_status status = eng_index_publish(store->cache->index, &file, rows, n, false, error);
    free(rows);
    for (size_t i = 0; status == ENG_OK && i < store->n_entries; i++) {
        if (store->entries[i].own) store->entries[i].indexed = true;
    }
    return status;
}

eng_status eng_store_sync(eng_store *store, eng_error *error)
{
    const eng_fileops *ops = store->cache->ops;
    store->synced_us = store->cache->environment.now_us();
    if (store->file.fd < 0 || store->unsynced_bytes == 0) return ENG_OK;
    uint64_t file_bytes = 0;
    eng_error reason;
    eng_status status = eng_cache_file_current(store->cache, store->name, &store->file, &file_bytes, &reason);
    if (status == ENG_NOT_FOUND) { /* replaced: whoever did it took our records along and published them; or removed */
        store->unsynced_bytes = 0;
        status = eng_store_refresh(store, error);
        if (status == ENG_OK && store->file.fd < 0) return eng_fail(error, ENG_NOT_FOUND, "%s was removed while it was being written", store->name);
        return status;
    }
    if (status != ENG_OK) {
        if (error) *error = reason;
        return status;
    }
    if (store->failed) return eng_fail(error, ENG_IO, "%s cannot be saved: an earlier attempt failed", store->name);
    if (ops->fsync(ops, store->file.fd) != 0) {
        store->failed = true; /* the system may have forgotten the data: a second fsync that succeeds proves nothing */
        return eng_fileops_fail(error, errno, "cannot save %s: %s", store->name);
    }
    status = publish(store, file_bytes, error);
    if (status == ENG_OK) store->unsynced_bytes = 0;
    return status;
}
