/* cache-store.c: one document's sections under one model, read side.
 *
 * Owns: which records a store knows, finding one by its token ids, handing it out mapped.
 * Does not own: appending (cache-write.c), dropping (cache-rewrite.c).
 *
 * States of a store, by its file:
 *     detached (fd -1) --refresh: file there, header right--> attached --refresh: name leads elsewhere--> detached
 * Mappings and views outlive a detachment: sections handed out stay valid until eng_store_close.
 */
#include "cache-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

eng_status eng_store_open(eng_cache *cache, const eng_model *model, const char *document, eng_store **ret_store, eng_error *error)
{
    if (!eng_cache_document_valid(document)) {
        return eng_fail(error, ENG_LIMIT, "\"%.80s\" cannot be a document's name in the cache: 1 to 64 letters, digits, _ and -",
                        document ? document : "");
    }
    const eng_model_info *info = eng_model_get_info(model);
    eng_store *store = calloc(1, sizeof *store);
    if (!store) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    store->cache = cache;
    store->file.fd = -1;
    store->geometry = (eng_cache_geometry){.format = info->kv_format, .n_layers = info->n_layers, .n_kv_heads = info->n_kv_heads};
    snprintf(store->document, sizeof store->document, "%s", document);
    eng_status status =
        eng_cache_file_header_make(document, info->name, eng_model_identity(model), &store->geometry, &store->wanted, error);
    if (status != ENG_OK) {
        free(store);
        return status;
    }
    eng_digest digest;
    memcpy(digest.bytes, store->wanted.identity_digest, sizeof digest.bytes);
    eng_cache_file_name(document, &digest, store->name);
    store->synced_us = cache->environment.now_us();
    *ret_store = store;
    return ENG_OK;
}

void eng_store_close(eng_store *store)
{
    if (!store) return;
    if (store->unsynced_bytes) eng_store_sync(store, NULL);
    eng_store_detach(store);
    const eng_fileops *ops = store->cache->ops;
    for (size_t i = 0; i < store->n_mappings; i++) ops->unmap(ops, store->mappings[i].data, store->mappings[i].n_bytes);
    while (store->views) {
        eng_store_view *next = store->views->next;
        free(store->views);
        store->views = next;
    }
    if (store->spare) munmap(store->spare, store->spare_bytes);
    free(store->mappings);
    free(store->entries);
    free(store);
}

void eng_store_detach(eng_store *store)
{
    eng_cache_file_close(store->cache, &store->file);
    store->generation++;
    store->n_entries = 0;
    store->scanned_bytes = store->floor_bytes = store->bad_offset = 0;
    store->bad_reason = NULL;
    store->writer_locked = false;
}

eng_status eng_store_add_entry(eng_store *store, const eng_cache_record_header *header, uint64_t offset, eng_store_entry **ret_entry,
                               eng_error *error)
{
    if (store->n_entries == store->entries_capacity) {
        size_t capacity = store->entries_capacity ? store->entries_capacity * 2 : 64;
        eng_store_entry *entries = realloc(store->entries, capacity * sizeof *entries);
        if (!entries) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
        store->entries = entries;
        store->entries_capacity = capacity;
    }
    eng_store_entry *entry = &store->entries[store->n_entries++];
    *entry = (eng_store_entry){.header = *header, .offset = offset};
    if (ret_entry) *ret_entry = entry;
    return ENG_OK;
}

/* ----------------------------------------------------------------------------------------------------------- attaching */

/* The file is the one that this document and model want, in every field that matters. */
static eng_status check_identity(const eng_store *store, const eng_cache_file *file, eng_error *error)
{
    const eng_cache_file_header *have = &file->header, *want = &store->wanted;
    if (have->identity_bytes != want->identity_bytes || memcmp(have->identity, want->identity, want->identity_bytes) != 0) {
        char reason[256] = "";
        eng_identity_difference(have->identity, want->identity, reason, sizeof reason);
        return eng_fail(error, ENG_BAD_FILE, "%s was made with another model: %s", store->name, reason);
    }
    if (memcmp(have->document, want->document, sizeof want->document) != 0) {
        return eng_fail(error, ENG_BAD_FILE, "%s holds another document than its name says", store->name);
    }
    if (file->geometry.n_layers != store->geometry.n_layers || file->geometry.n_kv_heads != store->geometry.n_kv_heads ||
        memcmp(&file->geometry.format, &store->geometry.format, sizeof store->geometry.format) != 0) {
        return eng_fail(error, ENG_BAD_FILE, "%s is damaged: its sizes are not the model's", store->name);
    }
    return ENG_OK;
}

static eng_status attach(eng_store *store, eng_error *error)
{
    eng_cache_file file = {.fd = -1};
    eng_error open_error;
    eng_status status = eng_cache_file_open(store->cache, store->name, false, &file, &open_error);
    if (status == ENG_NOT_FOUND) return ENG_OK;
    if (status == ENG_OK) status = check_identity(store, &file, &open_error);
    if (status != ENG_OK) {
        eng_cache_file_close(store->cache, &file);
        if (error) *error = open_error;
        return status;
    }
    store->file = file;
    store->scanned_bytes = store->floor_bytes = ENG_CACHE_PAGE_BYTES;
    return ENG_OK;
}

/* Marks the entries that have a row; a row counts only if the header at its offset says the same. */
static eng_status load_rows(eng_store *store, uint64_t file_bytes, eng_error *error)
{
    eng_index_record *rows = NULL;
    size_t n_rows = 0, at = 0;
    eng_status status = eng_index_list_records(store->cache->index, store->name, &rows, &n_rows, error);
    if (status != ENG_OK) return status;
    for (size_t i = 0; i < n_rows; i++) {
        const eng_index_record *row = &rows[i];
        bool inside = row->offset <= file_bytes && row->n_bytes <= file_bytes - row->offset;
        if (inside && row->offset + row->n_bytes > store->floor_bytes) store->floor_bytes = row->offset + row->n_bytes;
        while (at < store->n_entries && store->entries[at].offset < row->offset) at++;
        if (at == store->n_entries || store->entries[at].offset != row->offset) continue;
        eng_store_entry *entry = &store->entries[at];
        if (entry->header.record_bytes == row->n_bytes && entry->header.n_tokens == row->n_tokens &&
            memcmp(entry->header.ids_digest, row->ids_digest, sizeof row->ids_digest) == 0) {
            entry->indexed = true;
            entry->dropped = row->dropped;
        }
    }
    free(rows);
    return ENG_OK;
}

typedef struct scan_state {
    eng_store *store;
    eng_status status;
    eng_error *error;
} scan_state;

static bool scan_record(void *user, uint64_t offset, uint64_t bytes, const eng_cache_record_header *header, const char *problem)
{
    scan_state *scan = user;
    if (!header) {
        if (!scan->store->bad_offset) {
            scan->store->bad_offset = offset;
            scan->store->bad_reason = problem;
        }
        return true;
    }
    scan->status = eng_store_add_entry(scan->store, header, offset, NULL, scan->error);
    if (scan->status == ENG_OK) scan->store->scanned_bytes = offset + bytes;
    return scan->status == ENG_OK;
}

eng_status eng_store_refresh(eng_store *store, eng_error *error)
{
    uint64_t bytes = 0;
    if (store->file.fd >= 0) {
        eng_error gone;
        eng_status status = eng_cache_file_current(store->cache, store->name, &store->file, &bytes, &gone);
        if (status == ENG_NOT_FOUND) {
            eng_store_detach(store);
        } else if (status != ENG_OK) {
            if (error) *error = gone;
            return status;
        }
    }
    if (store->file.fd < 0) {
        eng_status status = attach(store, error);
        if (status != ENG_OK || store->file.fd < 0) return status;
        struct stat info;
        if (store->cache->ops->fstat(store->cache->ops, store->file.fd, &info) != 0) return eng_fileops_fail(error, errno, "cannot look at %s: %s", store->name);
        bytes = (uint64_t)info.st_size;
    }
    /* What lies behind the last record may have been half written when it was looked at before. */
    if (store->bad_offset >= store->scanned_bytes) store->bad_offset = 0;
    scan_state scan = {.store = store, .error = error};
    eng_status status = eng_cache_file_walk(store->cache, store->name, &store->file, store->scanned_bytes, bytes, scan_record, &scan, error);
    if (status == ENG_OK) status = scan.status;
    if (status == ENG_OK) status = load_rows(store, bytes, error);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- using a record */

static eng_status miss_of_damage(const eng_store *store, uint64_t offset, eng_error *error)
{
    return eng_fail(error, ENG_MISS, "%s is damaged: the checksum of the record's payload at byte %llu differs", store->name,
                    (unsigned long long)offset);
}

static void note_damage(eng_store *store, eng_store_entry *entry, const char *reason)
{
    entry->damaged = true;
    eng_index_set_note(store->cache->index, store->name, reason, NULL); /* a hint for the list; the file is the truth */
}

eng_status eng_store_verify_entry(eng_store *store, eng_store_entry *entry, eng_error *error)
{
    if (entry->verified) return ENG_OK;
    if (!entry->damaged) {
        eng_error reason;
        eng_status status =
            eng_cache_file_verify(store->cache, store->name, &store->file, entry->offset, &entry->header, NULL, &reason);
        if (status == ENG_OK) {
            entry->verified = true;
            return ENG_OK;
        }
        if (status != ENG_BAD_FILE) {
            if (error) *error = reason;
            return status;
        }
        note_damage(store, entry, reason.message);
    }
    return miss_of_damage(store, entry->offset, error);
}

eng_status eng_store_tell_view(eng_store_view *view, bool damaged, eng_error *error)
{
    eng_store *store = view->store;
    eng_store_entry *entry = NULL;
    for (size_t i = 0; i < store->n_entries && view->generation == store->generation && !entry; i++)
        if (store->entries[i].offset == view->header.offset) entry = &store->entries[i];
    if (!damaged) {
        view->verified = true;
        if (entry) entry->verified = true;
        return ENG_OK;
    }
    eng_error reason;
    eng_status status = miss_of_damage(store, view->header.offset, &reason);
    if (entry) note_damage(store, entry, reason.message);
    if (error) *error = reason;
    return status;
}

eng_status eng_store_publish_entry(eng_store *store, eng_store_entry *entry, eng_error *error)
{
    const eng_fileops *ops = store->cache->ops;
    struct stat info;
    if (ops->fsync(ops, store->file.fd) != 0 || ops->fstat(ops, store->file.fd, &info) != 0) {
        return eng_fileops_fail(error, errno, "cannot save %s: %s", store->name);
    }
    eng_index_file file;
    eng_index_record record;
    eng_cache_file_row(store->cache, store->name, &store->file.header, (uint64_t)info.st_size, &file);
    eng_cache_record_row(&entry->header, &record);
    /* Without its row the record is as good; the next use tries again. */
    if (eng_index_publish(store->cache->index, &file, &record, 1, false, NULL) == ENG_OK) {
        entry->indexed = true;
        entry->dropped = false;
    }
    return ENG_OK;
}

/* C5: a record without a row was either not yet published by a writer that lives, or was left by one that died. */
static eng_status adopt_entry(eng_store *store, eng_store_entry *entry, eng_error *error)
{
    eng_status status = eng_store_refresh(store, error); /* published meanwhile? */
    if (status != ENG_OK || store->file.fd < 0) return status == ENG_OK ? eng_fail(error, ENG_MISS, "%s was removed", store->name) : status;
    if (entry->indexed) return ENG_OK;
    if (store->file.writable && !eng_cache_file_no_writer(store->cache, &store->file, store->writer_locked)) {
        return eng_fail(error, ENG_MISS, "the section is being written by another process");
    }
    status = eng_store_verify_entry(store, entry, error);
    if (status != ENG_OK || !store->file.writable) return status;
    return eng_store_publish_entry(store, entry, error);
}

static eng_status map_entry(eng_store *store, eng_store_entry *entry, eng_verify verify, eng_error *error)
{
    const eng_fileops *ops = store->cache->ops;
    uint64_t end = entry->offset + entry->header.record_bytes;
    for (size_t i = store->n_mappings; i-- > 0 && !entry->data;) {
        const eng_store_mapping *mapping = &store->mappings[i];
        if (mapping->generation == store->generation && entry->offset >= mapping->offset && end <= mapping->offset + mapping->n_bytes) {
            entry->data = mapping->data + (entry->offset - mapping->offset);
        }
    }
    if (entry->data) return ENG_OK;
    if (store->n_mappings == store->mappings_capacity) {
        size_t capacity = store->mappings_capacity ? store->mappings_capacity * 2 : 8;
        eng_store_mapping *mappings = realloc(store->mappings, capacity * sizeof *mappings);
        if (!mappings) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
        store->mappings = mappings;
        store->mappings_capacity = capacity;
    }
    /* From here to the last known record: one mapping serves all that follow. */
    const eng_store_entry *last = &store->entries[store->n_entries - 1];
    uint64_t n_bytes = last->offset + last->header.record_bytes - entry->offset;
    uint8_t *data = ops->map(ops, store->file.fd, (size_t)n_bytes, entry->offset);
    if (!data) return eng_fileops_fail(error, errno, "cannot map %s: %s", store->name);
    if (verify == ENG_VERIFY_LATER) ops->expect(ops, data, (size_t)n_bytes); /* now: pages that came before would be small */
    store->mappings[store->n_mappings++] =
        (eng_store_mapping){.data = data, .offset = entry->offset, .n_bytes = n_bytes, .generation = store->generation};
    entry->data = data;
    return ENG_OK;
}

static eng_status make_view(eng_store *store, eng_store_entry *entry, eng_error *error)
{
    if (entry->view) return ENG_OK;
    uint32_t n_layers = entry->header.n_layers;
    eng_store_view *view = malloc(sizeof *view + n_layers * sizeof *view->blocks);
    if (!view) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    *view = (eng_store_view){.next = store->views, .store = store, .generation = store->generation, .header = entry->header, .data = entry->data};
    for (uint32_t layer = 0; layer < n_layers; layer++) {
        view->blocks[layer] = (kern_kv_block){
            .data = entry->data + entry->header.blocks_offset + layer * entry->header.block_bytes,
            .n_tokens = entry->header.n_tokens,
            .capacity = entry->header.capacity,
        };
    }
    store->views = entry->view = view;
    return ENG_OK;
}

eng_status eng_store_use_entry(eng_store *store, eng_store_entry *entry, const uint32_t *ids, uint32_t n_tokens, eng_verify verify,
                               eng_error *error)
{
    size_t index = (size_t)(entry - store->entries);
    uint32_t generation = store->generation;
    eng_status status = ENG_OK;
    if (!entry->indexed && !entry->own) {
        status = adopt_entry(store, entry, error);
        if (generation != store->generation) return eng_fail(error, ENG_MISS, "%s was replaced meanwhile", store->name);
        entry = &store->entries[index]; /* a refresh may have moved the array */
    }
    if (status == ENG_OK && (verify == ENG_VERIFY_NOW || entry->damaged)) status = eng_store_verify_entry(store, entry, error);
    if (status == ENG_OK) status = map_entry(store, entry, verify, error);
    if (status != ENG_OK) return status;
    if (memcmp(entry->data + ENG_CACHE_RECORD_HEADER_BYTES, ids, (size_t)n_tokens * sizeof *ids) != 0) {
        status = eng_store_verify_entry(store, entry, error);
        if (status != ENG_OK) return status;
        return eng_fail(error, ENG_MISS, "the record at byte %llu of %s has the same digest but other tokens", (unsigned long long)entry->offset,
                        store->name);
    }
    if (entry->dropped && store->file.writable) { /* the document has it again */
        status = eng_store_publish_entry(store, entry, error);
        if (status != ENG_OK) return status;
    }
    return make_view(store, entry, error);
}

/* ------------------------------------------------------------------------------------------------------------- finding */

bool eng_store_entry_matches(const eng_store_entry *entry, const eng_digest *prefix, const eng_digest *ids_digest, uint32_t n_tokens)
{
    static const eng_digest none;
    return entry->header.n_tokens == n_tokens && memcmp(entry->header.ids_digest, ids_digest->bytes, sizeof ids_digest->bytes) == 0 &&
           memcmp(entry->header.prefix, prefix ? prefix->bytes : none.bytes, sizeof none.bytes) == 0;
}

typedef struct find_request {
    const eng_digest *prefix, *digest;
    const uint32_t *ids;
    uint32_t n_tokens;
    eng_verify verify;
} find_request;

/* The newest usable record; ENG_MISS with the last one's reason; ENG_NOT_FOUND: no record claims to hold these tokens. */
static eng_status find_entry(eng_store *store, const find_request *request, eng_section *ret_section, eng_error *error)
{
    eng_status result = ENG_NOT_FOUND;
    uint32_t generation = store->generation;
    for (size_t i = store->n_entries; i-- > 0 && generation == store->generation;) {
        if (!eng_store_entry_matches(&store->entries[i], request->prefix, request->digest, request->n_tokens)) continue;
        result = eng_store_use_entry(store, &store->entries[i], request->ids, request->n_tokens, request->verify, error);
        if (result == ENG_OK) {
            const eng_store_entry *entry = &store->entries[i];
            *ret_section = (eng_section){
                .ids = (const uint32_t *)(const void *)(entry->data + ENG_CACHE_RECORD_HEADER_BYTES),
                .n_tokens = entry->header.n_tokens,
                .blocks = entry->view->blocks,
                .view = request->verify == ENG_VERIFY_LATER && !entry->verified ? entry->view : NULL,
            };
            return ENG_OK;
        }
        if (result != ENG_MISS) return result;
    }
    return result;
}

/* Why nothing of this document is there for this model: another model's file, or none. */
static eng_status miss_without_file(eng_store *store, eng_error *error)
{
    eng_cache_names names;
    eng_status status = eng_cache_list_names(store->cache, false, &names, error);
    if (status != ENG_OK) return status;
    char reason[256] = "", model_name[ENG_CACHE_MODEL_NAME_BYTES] = "";
    for (size_t i = 0; i < names.n && !reason[0]; i++) {
        char document[ENG_CACHE_DOCUMENT_BYTES + 1];
        if (!eng_cache_file_name_parse(names.names[i], document) || strcmp(document, store->document) != 0) continue;
        eng_cache_file file = {.fd = -1};
        if (eng_cache_file_open(store->cache, names.names[i], false, &file, NULL) != ENG_OK) continue;
        memcpy(model_name, file.header.model_name, sizeof model_name);
        eng_identity_difference(file.header.identity, store->wanted.identity, reason, sizeof reason);
        eng_cache_file_close(store->cache, &file);
    }
    eng_cache_names_free(&names);
    if (reason[0]) return eng_fail(error, ENG_MISS, "read with another model (%s): %s", model_name, reason);
    return eng_fail(error, ENG_MISS, "never read with this model");
}

eng_status eng_store_find(eng_store *store, const eng_digest *prefix, const uint32_t *ids, uint32_t n_tokens, eng_verify verify,
                          eng_section *ret_section, eng_error *error)
{
    if (n_tokens < 1 || n_tokens > ENG_CACHE_TOKENS_MAX) return eng_fail(error, ENG_LIMIT, "a section of %u tokens cannot be in the cache", n_tokens);
    eng_digest digest;
    store->cache->environment.digest_ids(prefix, ids, n_tokens, &digest);
    find_request request = {.prefix = prefix, .digest = &digest, .ids = ids, .n_tokens = n_tokens, .verify = verify};
    eng_status status = find_entry(store, &request, ret_section, error);
    if (status == ENG_NOT_FOUND || status == ENG_MISS) {
        eng_error reason;
        eng_status refreshed = eng_store_refresh(store, &reason);
        if (refreshed == ENG_BAD_FILE || refreshed == ENG_UNSUPPORTED) return eng_fail_as(error, ENG_MISS, &reason);
        if (refreshed != ENG_OK) {
            if (error) *error = reason;
            return refreshed;
        }
        status = find_entry(store, &request, ret_section, error);
    }
    /* Looking over everything to choose from it is no use of it: it would make all files equally recent, at the price of a transaction each. */
    if (status == ENG_OK && verify != ENG_VERIFY_NOT && !store->touched) {
        store->touched = true;
        eng_index_touch(store->cache->index, store->name, store->cache->environment.now_us(), NULL); /* only the order of eviction */
    }
    if (status != ENG_NOT_FOUND) return status;
    if (store->file.fd < 0) return miss_without_file(store, error);
    if (store->bad_offset) {
        return eng_fail(error, ENG_MISS, "not in %s, which is damaged at byte %llu: %s", store->name, (unsigned long long)store->bad_offset,
                        store->bad_reason);
    }
    return eng_fail(error, ENG_MISS, "this section was never read with this model");
}
