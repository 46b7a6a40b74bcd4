/* cache-fetch.c: see cache-fetch.h.
 *
 * A thread of its own has the pages of later layers come, in large pieces: it waits for the disk and hardly computes. Copying and hashing is
 * work, which the pool's threads do between two layers: a further thread that works takes the processor from one of them, for which the others
 * wait at each step. (Advice to read ahead, which needs no thread, brings pages of 4 KiB, over which everything afterwards is slower.)
 *
 * A piece is read through the page cache, so that a bad disk or a cut file is an error and not a signal, and taken into its record's checksum
 * while it is in the processor's own cache. Records are independent: one task each.
 */
#include "cache-fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    PIECE_BYTES = 256 << 10,
    COME_BYTES = 4 << 20,    /* waited for at a time: how soon reading ahead can be ended */
    AHEAD_BYTES = 256 << 20, /* about: more might be gone again when its turn comes, where memory is short */
};

typedef struct fetch_record {
    eng_store_view *view;
    XXH3_state_t *state;
    uint64_t at; /* hashed up to here, from the record's begin */
    eng_status status;
    eng_error error;
} fetch_record;

struct eng_fetch {
    kern_pool *pool;
    fetch_record *records;
    size_t n_records;
    uint32_t n_layers, layers_ahead;
    uint32_t layer;  /* the next to come; written under the mutex */
    uint8_t *pieces; /* one for each thread */
    const bool *cancel; /* of the call at hand */
    bool concluded;
    eng_status outcome; /* once concluded */
    eng_error error;
    pthread_t thread; /* reads ahead */
    bool has_thread, stop; /* stop: under the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t moved; /* layer or stop */
};

/* Bytes of the record that come with one layer: with the first also what stands before the blocks, with the last the padding. */
typedef struct range {
    uint64_t from, end;
} range;

static range range_of(const eng_fetch *fetch, const eng_cache_record_header *header, uint32_t layer)
{
    uint64_t from = header->blocks_offset + layer * header->block_bytes;
    return (range){layer == 0 ? ENG_CACHE_RECORD_HEADER_BYTES : from,
                   layer + 1 == fetch->n_layers ? header->record_bytes : from + header->block_bytes};
}

/* ----------------------------------------------------------------------------------------------------------- reading ahead */

/* Waits until the layer's turn is near. False: there is nothing to read ahead any more. */
static bool may_come(eng_fetch *fetch, uint32_t layer)
{
    pthread_mutex_lock(&fetch->mutex);
    while (!fetch->stop && layer > fetch->layer + fetch->layers_ahead) pthread_cond_wait(&fetch->moved, &fetch->mutex);
    bool stop = fetch->stop;
    pthread_mutex_unlock(&fetch->mutex);
    return !stop;
}

/* What cannot be read is found by who reads it in earnest. */
static void *read_ahead(void *user)
{
    eng_fetch *fetch = user;
    for (uint32_t layer = 0; layer < fetch->n_layers; layer++)
        for (size_t i = 0; i < fetch->n_records; i++) {
            const eng_store_view *view = fetch->records[i].view;
            const eng_fileops *ops = view->store->cache->ops;
            range wanted = range_of(fetch, &view->header, layer);
            for (uint64_t at = wanted.from; at < wanted.end; at += COME_BYTES) {
                if (!may_come(fetch, layer)) return NULL;
                ops->populate(ops, view->data + at, wanted.end - at < COME_BYTES ? (size_t)(wanted.end - at) : COME_BYTES);
            }
        }
    return NULL;
}

static void go_on(eng_fetch *fetch, uint32_t layer, bool stop)
{
    pthread_mutex_lock(&fetch->mutex);
    fetch->layer = layer;
    fetch->stop = stop;
    pthread_cond_signal(&fetch->moved);
    pthread_mutex_unlock(&fetch->mutex);
}

/* ------------------------------------------------------------------------------------------------------- reading a layer */

static eng_status read_range(const eng_fetch *fetch, fetch_record *record, range wanted, uint8_t *piece, eng_error *error)
{
    const eng_store_view *view = record->view;
    const eng_fileops *ops = view->store->cache->ops;
    if (ops->populate(ops, view->data + wanted.from, (size_t)(wanted.end - wanted.from)) != 0)
        return eng_fileops_fail(error, errno, "cannot read %s: %s", view->store->name);
    while (record->at < wanted.end) {
        if (fetch->cancel && __atomic_load_n(fetch->cancel, __ATOMIC_RELAXED)) return eng_fail(error, ENG_CANCELLED, "cancelled");
        size_t n = wanted.end - record->at < PIECE_BYTES ? (size_t)(wanted.end - record->at) : PIECE_BYTES;
        eng_status status = eng_fileops_read(ops, view->store->file.fd, piece, n, view->header.offset + record->at, view->store->name, error);
        if (status != ENG_OK) return status;
        XXH3_128bits_update(record->state, piece, n);
        record->at += n;
    }
    return ENG_OK;
}

static bool holds(const fetch_record *record)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(record->state));
    return memcmp(canonical.digest, record->view->header.payload_checksum, ENG_CACHE_CHECKSUM_BYTES) == 0;
}

static void fetch_record_layer(void *user, size_t index, unsigned thread)
{
    const eng_fetch *fetch = user;
    fetch_record *record = &fetch->records[index];
    range wanted = range_of(fetch, &record->view->header, fetch->layer);
    record->status = read_range(fetch, record, wanted, fetch->pieces + (size_t)thread * PIECE_BYTES, &record->error);
}

/* ------------------------------------------------------------------------------------------------------------- beginning */

static bool is_wanted(const eng_section *section) { return section->view && !section->view->verified; }

/* The store's descriptor leads to the file that the section is in. */
static eng_status check_file(const eng_store_view *view, eng_error *error)
{
    if (view->generation == view->store->generation && view->store->file.fd >= 0) return ENG_OK;
    return eng_fail(error, ENG_MISS, "%s was replaced before it was verified", view->store->name);
}

static eng_status add_records(eng_fetch *fetch, const eng_section *sections, size_t n_sections, eng_error *error)
{
    uint64_t layer_bytes = 0;
    for (size_t i = 0; i < n_sections; i++) {
        if (!is_wanted(&sections[i])) continue;
        eng_status status = check_file(sections[i].view, error);
        if (status != ENG_OK) return status;
        fetch_record *record = &fetch->records[fetch->n_records++];
        *record = (fetch_record){.view = sections[i].view, .state = XXH3_createState(), .at = ENG_CACHE_RECORD_HEADER_BYTES};
        if (!record->state) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
        XXH3_128bits_reset(record->state);
        layer_bytes += record->view->header.block_bytes;
    }
    fetch->n_layers = fetch->records[0].view->header.n_layers;
    uint64_t ahead = AHEAD_BYTES / layer_bytes;
    fetch->layers_ahead = ahead < 1 ? 1 : ahead > fetch->n_layers ? fetch->n_layers : (uint32_t)ahead;
    for (size_t i = 0; i < fetch->n_records; i++) {
        const eng_store_view *view = fetch->records[i].view;
        view->store->cache->ops->expect(view->store->cache->ops, view->data, view->header.record_bytes);
    }
    return ENG_OK;
}

eng_status eng_fetch_begin(const eng_section *sections, size_t n_sections, kern_pool *pool, eng_fetch **ret_fetch, eng_error *error)
{
    size_t n = 0;
    for (size_t i = 0; i < n_sections; i++) n += is_wanted(&sections[i]);
    *ret_fetch = NULL;
    if (n == 0) return ENG_OK;
    eng_fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    fetch->pool = pool;
    pthread_mutex_init(&fetch->mutex, NULL);
    pthread_cond_init(&fetch->moved, NULL);
    fetch->pieces = malloc((size_t)kern_pool_n_threads(pool) * PIECE_BYTES);
    fetch->records = calloc(n, sizeof *fetch->records);
    eng_status status = fetch->pieces && fetch->records ? add_records(fetch, sections, n_sections, error)
                                                        : eng_fail(error, ENG_NO_MEMORY, "out of memory");
    if (status != ENG_OK) {
        eng_fetch_free(fetch);
        return status;
    }
    fetch->has_thread = pthread_create(&fetch->thread, NULL, read_ahead, fetch) == 0; /* without it, layers are read when they are wanted */
    *ret_fetch = fetch;
    return ENG_OK;
}

void eng_fetch_free(eng_fetch *fetch)
{
    if (!fetch) return;
    go_on(fetch, fetch->layer, true);
    if (fetch->has_thread) pthread_join(fetch->thread, NULL);
    for (size_t i = 0; i < fetch->n_records; i++) XXH3_freeState(fetch->records[i].state);
    free(fetch->records);
    free(fetch->pieces);
    pthread_cond_destroy(&fetch->moved);
    pthread_mutex_destroy(&fetch->mutex);
    free(fetch);
}

/* Of the first record that could not be read. A cut file counts as damaged. */
static eng_status failure_of(const eng_fetch *fetch, eng_error *error)
{
    for (size_t i = 0; i < fetch->n_records; i++) {
        const fetch_record *record = &fetch->records[i];
        if (record->status == ENG_OK) continue;
        return eng_fail_as(error, record->status == ENG_BAD_FILE ? ENG_MISS : record->status, &record->error);
    }
    return ENG_OK;
}

static eng_status fetch_next(eng_fetch *fetch, eng_error *error)
{
    eng_status status = failure_of(fetch, error);
    if (status != ENG_OK && status != ENG_CANCELLED) return status; /* a disk that fails is not asked again */
    for (size_t i = 0; i < fetch->n_records; i++) {
        status = check_file(fetch->records[i].view, error);
        if (status != ENG_OK) return status;
    }
    kern_pool_run(fetch->pool, fetch->n_records, fetch_record_layer, fetch);
    status = failure_of(fetch, error);
    if (status != ENG_OK) return status;
    go_on(fetch, fetch->layer + 1, false);
    return ENG_OK;
}

eng_status eng_fetch_layer(eng_fetch *fetch, uint32_t layer, const bool *cancel, eng_error *error)
{
    eng_status status = ENG_OK;
    if (!fetch) return ENG_OK;
    fetch->cancel = cancel;
    while (status == ENG_OK && fetch->layer <= layer && fetch->layer < fetch->n_layers) status = fetch_next(fetch, error);
    return status;
}

eng_status eng_fetch_finish(eng_fetch *fetch, const bool *cancel, eng_error *error)
{
    if (fetch->concluded) return fetch->outcome == ENG_OK ? ENG_OK : eng_fail_as(error, fetch->outcome, &fetch->error);
    eng_status status = eng_fetch_layer(fetch, fetch->n_layers - 1, cancel, &fetch->error);
    if (status == ENG_CANCELLED) return eng_fail(error, ENG_CANCELLED, "cancelled");
    for (size_t i = 0; i < fetch->n_records; i++) {
        const fetch_record *record = &fetch->records[i];
        bool damaged = record->status == ENG_BAD_FILE || (status == ENG_OK && !holds(record));
        if (status != ENG_OK && !damaged) continue; /* not known */
        eng_error reason;
        eng_status told = eng_store_tell_view(record->view, damaged, &reason);
        if (told != ENG_OK && fetch->outcome == ENG_OK) fetch->outcome = told, fetch->error = reason;
    }
    if (fetch->outcome == ENG_OK) fetch->outcome = status;
    fetch->concluded = true;
    return eng_fetch_finish(fetch, cancel, error);
}
