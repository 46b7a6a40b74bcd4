/* store.cu: keys and values in GPU memory under a byte budget.
 *
 * Owns: the pool and its first-fit placement, least-recently-used eviction, pinned staging buffers, uploads ahead of need.
 * Does not own: what is attended to (pass.cu); the files that sections are mapped from (engine/).
 */
#include <stdlib.h>
#include <string.h>

#include "module.h"

#define POOL_ALIGN 256u

typedef struct gpu_prefetch {
    kern_gpu *gpu;
    const kern_kv_block *blocks;
    size_t n_sections;
} gpu_prefetch;

kern_gpu_status gpu_store_begin(kern_gpu *gpu, kern_gpu_error *error)
{
    gpu_store *s = &gpu->store;
    GPU_TRY(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking), "making a stream");
    GPU_TRY(cudaEventCreateWithFlags(&s->arrived, cudaEventDisableTiming), "making an event");
    for (int i = 0; i < STAGES; i++) {
        GPU_TRY(cudaMallocHost((void **)&s->stage[i], STAGE_BYTES), "pinned memory");
        GPU_TRY(cudaEventCreateWithFlags(&s->stage_free[i], cudaEventDisableTiming), "making an event");
    }
    gpu->slots = (uint8_t *)gpu_allocate(gpu, (size_t)STREAM_SLOTS * STREAM_BYTES, "streaming", error);
    if (!gpu->slots) return error->status;
    for (int i = 0; i < STREAM_SLOTS; i++) GPU_TRY(cudaEventCreateWithFlags(&gpu->slot_free[i], cudaEventDisableTiming), "making an event");
    return KERN_GPU_OK;
}

kern_gpu_status gpu_store_open(kern_gpu *gpu, uint64_t pool_bytes, kern_gpu_error *error)
{
    gpu_store *s = &gpu->store;
    s->n_items_max = 4096;
    s->items = (store_item *)calloc(s->n_items_max, sizeof *s->items);
    if (!s->items) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory for the list of kept sections");
    s->pool = (uint8_t *)gpu_allocate(gpu, pool_bytes, "sections", error);
    if (!s->pool) return KERN_GPU_NO_MEMORY;
    s->pool_bytes = pool_bytes;
    gpu->stats.budget_bytes = pool_bytes;
    return KERN_GPU_OK;
}

void gpu_store_close(kern_gpu *gpu)
{
    gpu_store *s = &gpu->store;
    gpu_store_wait_prefetch(gpu);
    for (int i = 0; i < STAGES; i++) {
        if (s->stage[i]) cudaFreeHost(s->stage[i]);
        if (s->stage_free[i]) cudaEventDestroy(s->stage_free[i]);
    }
    if (s->arrived) cudaEventDestroy(s->arrived);
    if (s->stream) cudaStreamDestroy(s->stream);
    free(s->items);
}

kern_gpu_status gpu_store_upload(kern_gpu *gpu, void *to, const void *from, size_t n_bytes, kern_gpu_error *error)
{
    gpu_store *s = &gpu->store;
    for (size_t at = 0; at < n_bytes; at += STAGE_BYTES) {
        size_t n = n_bytes - at < STAGE_BYTES ? n_bytes - at : STAGE_BYTES;
        int stage = s->next_stage;
        s->next_stage = (stage + 1) % STAGES;
        GPU_TRY(cudaEventSynchronize(s->stage_free[stage]), "waiting for a copy");
        memcpy(s->stage[stage], (const uint8_t *)from + at, n);
        GPU_TRY(cudaMemcpyAsync((uint8_t *)to + at, s->stage[stage], n, cudaMemcpyHostToDevice, s->stream), "copying to the GPU");
        GPU_TRY(cudaEventRecord(s->stage_free[stage], s->stream), "recording an event");
    }
    gpu->stats.section_bytes_uploaded += n_bytes;
    return KERN_GPU_OK;
}

static void remove_item(gpu_store *s, size_t index)
{
    memmove(s->items + index, s->items + index + 1, (s->n_items - index - 1) * sizeof *s->items);
    s->n_items--;
}

static void update_used(kern_gpu *gpu)
{
    gpu->stats.used_bytes = 0;
    for (size_t i = 0; i < gpu->store.n_items; i++) gpu->stats.used_bytes += gpu->store.items[i].n_bytes;
}

/* The first gap of n_bytes; its place in the list in *ret_index. */
static bool find_gap(const gpu_store *s, uint64_t n_bytes, uint64_t *ret_offset, size_t *ret_index)
{
    uint64_t at = 0;
    for (size_t i = 0; i <= s->n_items; i++) {
        uint64_t end = i < s->n_items ? s->items[i].offset : s->pool_bytes;
        if (end >= at && end - at >= n_bytes) {
            *ret_offset = at;
            *ret_index = i;
            return true;
        }
        if (i < s->n_items) at = s->items[i].offset + s->items[i].n_bytes;
    }
    return false;
}

static bool evict_one(kern_gpu *gpu)
{
    gpu_store *s = &gpu->store;
    size_t oldest = s->n_items;
    for (size_t i = 0; i < s->n_items; i++)
        if (!s->items[i].pinned && (oldest == s->n_items || s->items[i].used < s->items[oldest].used)) oldest = i;
    if (oldest == s->n_items) return false;
    remove_item(s, oldest);
    gpu->stats.section_evictions++;
    return true;
}

/* A new item of n_bytes; NULL when what is pinned leaves no room. Pointers to items move. */
static store_item *place(kern_gpu *gpu, uint64_t n_bytes)
{
    gpu_store *s = &gpu->store;
    uint64_t offset;
    size_t index;
    n_bytes = (n_bytes + POOL_ALIGN - 1) / POOL_ALIGN * POOL_ALIGN;
    while (s->n_items == s->n_items_max || !find_gap(s, n_bytes, &offset, &index))
        if (!evict_one(gpu)) return NULL;
    memmove(s->items + index + 1, s->items + index, (s->n_items - index) * sizeof *s->items);
    s->n_items++;
    store_item *item = &s->items[index];
    memset(item, 0, sizeof *item);
    item->offset = offset;
    item->n_bytes = n_bytes;
    item->used = ++s->clock;
    item->pinned = true;
    update_used(gpu);
    return item;
}

/* The codes of one KV head in the last unit of the last layer, which depend on every token before them: they tell when another section lies
 * at the same address. Whole words: this runs for every section of every pass. */
static uint64_t stamp_of(const kern_gpu *gpu, const kern_kv_block *blocks, size_t stride)
{
    const kern_kv_block *last = &blocks[(gpu->n_layers - 1) * stride];
    const uint8_t *unit = (const uint8_t *)last->data + (last->n_tokens - 1) / KERN_UNIT_TOKENS * (size_t)gpu->format.unit_bytes;
    uint64_t hash = 0xcbf29ce484222325u + last->n_tokens, word;
    for (int i = 0; i + (int)sizeof word <= gpu->format.unit_bytes; i += (int)sizeof word) {
        memcpy(&word, unit + i, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

/* Starts after the last one found: a question's sections come in the order in which they were placed, pass after pass. */
static store_item *find_item(gpu_store *s, const void *key)
{
    for (size_t i = 0; i < s->n_items; i++) {
        size_t at = s->last_found + 1 + i;
        while (at >= s->n_items) at -= s->n_items;
        if (s->items[at].key != key) continue;
        s->last_found = at;
        return &s->items[at];
    }
    return NULL;
}

kern_gpu_status gpu_store_section(kern_gpu *gpu, const kern_kv_block *blocks, size_t stride, const store_item **ret_item, kern_gpu_error *error)
{
    gpu_store *s = &gpu->store;
    const kern_kv_block *first = &blocks[0];
    uint64_t stamp = stamp_of(gpu, blocks, stride);
    store_item *item = find_item(s, first->data);
    if (item && !item->branch && item->stamp == stamp && item->n_tokens == first->n_tokens && item->capacity == first->capacity) {
        item->used = ++s->clock;
        item->pinned = true;
        gpu->stats.section_hits++;
        *ret_item = item;
        return KERN_GPU_OK;
    }
    if (item) remove_item(s, (size_t)(item - s->items));
    gpu->stats.section_misses++;
    size_t layer_bytes = kern_kv_layout_of(&gpu->host_format, gpu->format.n_kv_heads, first->capacity).total_bytes;
    item = place(gpu, layer_bytes * gpu->n_layers);
    *ret_item = item;
    if (!item) return KERN_GPU_OK;
    item->stamp = stamp;
    item->n_tokens = first->n_tokens;
    item->capacity = first->capacity;
    for (uint32_t layer = 0; layer < gpu->n_layers; layer++) {
        kern_gpu_status status = gpu_store_upload(gpu, s->pool + item->offset + layer * layer_bytes, blocks[layer * stride].data, layer_bytes, error);
        if (status != KERN_GPU_OK) return status;
    }
    item->key = first->data; /* only now: a failed upload leaves nothing to be found */
    return KERN_GPU_OK;
}

kern_gpu_status gpu_store_branch(kern_gpu *gpu, void *const *blocks, uint32_t capacity, uint32_t at, store_item **ret_item, kern_gpu_error *error)
{
    gpu_store *s = &gpu->store;
    store_item *item = find_item(s, blocks[0]);
    size_t layer_bytes = kern_kv_layout_of(&gpu->host_format, gpu->format.n_kv_heads, capacity).total_bytes;
    if (item && (!item->branch || item->capacity != capacity)) {
        remove_item(s, (size_t)(item - s->items));
        item = NULL;
    }
    bool stale = !item || item->n_tokens < at;
    if (!item) item = place(gpu, layer_bytes * gpu->n_layers);
    if (!item) return gpu_fail(error, KERN_GPU_NO_MEMORY, "the GPU has no room for this answer's own tokens");
    item->branch = item->pinned = true;
    item->capacity = capacity;
    item->used = ++s->clock;
    item->key = blocks[0];
    item->n_tokens = at;
    for (uint32_t layer = 0; stale && at && layer < gpu->n_layers; layer++) {
        kern_gpu_status status = gpu_store_upload(gpu, s->pool + item->offset + layer * layer_bytes, blocks[layer], layer_bytes, error);
        if (status != KERN_GPU_OK) return status;
    }
    *ret_item = item;
    return KERN_GPU_OK;
}

void gpu_store_unpin(kern_gpu *gpu)
{
    for (size_t i = 0; i < gpu->store.n_items; i++) gpu->store.items[i].pinned = false;
}

void gpu_store_forget(kern_gpu *gpu, const void *key)
{
    store_item *item = find_item(&gpu->store, key);
    if (item) remove_item(&gpu->store, (size_t)(item - gpu->store.items));
    update_used(gpu);
}

static void *prefetch_main(void *user)
{
    gpu_prefetch *p = (gpu_prefetch *)user;
    kern_gpu_error error;
    const store_item *item = NULL;
    if (cudaSetDevice(p->gpu->device) != cudaSuccess) return NULL;
    for (size_t i = 0; i < p->n_sections; i++) /* those already here are pinned by the hit, so that the rest does not evict them */
        if (gpu_store_section(p->gpu, p->blocks + i, p->n_sections, &item, &error) != KERN_GPU_OK || !item) break;
    cudaStreamSynchronize(p->gpu->store.stream);
    gpu_store_unpin(p->gpu);
    return NULL;
}

void gpu_store_wait_prefetch(kern_gpu *gpu)
{
    if (!gpu->prefetching) return;
    pthread_join(gpu->prefetcher, NULL);
    gpu->prefetching = false;
    free(gpu->prefetch);
    gpu->prefetch = NULL;
}

kern_gpu_status gpu_store_prefetch(kern_gpu *gpu, const kern_kv_block *sections_by_layer, size_t n_sections, kern_gpu_error *error)
{
    gpu_store_wait_prefetch(gpu);
    gpu_prefetch *p = (gpu_prefetch *)calloc(1, sizeof *p);
    if (!p) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    *p = (gpu_prefetch){gpu, sections_by_layer, n_sections};
    gpu->prefetch = p;
    if (pthread_create(&gpu->prefetcher, NULL, prefetch_main, p) != 0) {
        free(p);
        gpu->prefetch = NULL;
        return KERN_GPU_OK; /* ahead of need: without a thread it happens when needed */
    }
    gpu->prefetching = true;
    return KERN_GPU_OK;
}
