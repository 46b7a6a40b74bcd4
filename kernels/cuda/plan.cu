/* plan.cu: which kernels a pass runs over which tokens.
 *
 * Owns: the choice between the split kernel (few rows) and tiles (many), how sections share readings, chunks and parts, what streams.
 * Does not own: running it (pass.cu), where sections lie (store.cu).
 */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

enum { FEW_ROWS = 4, TILES_PER_SPLIT_MIN = 8, GROUPS_MAX = 10 /* eight questions of two columns over the same sections */ };

/* Room in the descriptor: host memory to fill, whose twin on the device is at *ret_device. */
static void *describe(kern_gpu *gpu, gpu_plan *plan, size_t n_bytes, const void **ret_device)
{
    size_t at = (plan->descriptor_bytes + 63) / 64 * 64;
    if (at + n_bytes > DESCRIPTOR_BYTES) return NULL;
    plan->descriptor_bytes = at + n_bytes;
    *ret_device = gpu->descriptor + at;
    return gpu->descriptor_host + at;
}

/* The host's twin of what was described. */
static const void *on_host(const kern_gpu *gpu, const void *device)
{
    return gpu->descriptor_host + ((const uint8_t *)device - gpu->descriptor);
}

static void *grow(void *array, size_t n, size_t size)
{
    return n % 64 ? array : realloc(array, (n + 64) * size);
}

static kern_gpu_status too_large(kern_gpu_error *error)
{
    return gpu_fail(error, KERN_GPU_NO_MEMORY, "the question spans more sections than the GPU's work list holds");
}

/* A segment's sections, where they are in GPU memory, and room for one more; resident[i] false: to be streamed. */
typedef struct sources {
    gpu_section *sections;
    bool *resident;
    bool all;
} sources;

static kern_gpu_status find_sources(kern_gpu *gpu, const kern_gpu_segment *segment, sources *s, kern_gpu_error *error)
{
    size_t n = segment->n_sections;
    s->sections = (gpu_section *)calloc(n + 1, sizeof *s->sections);
    s->resident = (bool *)calloc(n + 1, sizeof *s->resident);
    s->all = true;
    if (!s->sections || !s->resident) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    for (size_t i = 0; i < n; i++) {
        const store_item *item = NULL;
        const kern_kv_block *block = &segment->sections_by_layer[i];
        kern_gpu_status status = gpu_store_section(gpu, block, n, &item, error);
        if (status != KERN_GPU_OK) return status;
        s->resident[i] = item != NULL;
        s->all = s->all && item;
        s->sections[i] = gpu_section_of(&gpu->host_format, gpu->format.n_kv_heads, item ? gpu->store.pool + item->offset : NULL, block->n_tokens,
                                        block->capacity);
    }
    return KERN_GPU_OK;
}

static void free_sources(sources *s)
{
    free(s->sections);
    free(s->resident);
}

static uint32_t tiles_of(uint32_t n_tokens)
{
    return (n_tokens + GPU_TILE_TOKENS - 1) / GPU_TILE_TOKENS;
}

/* Sections and the tiles before each, on the device. */
static bool describe_sections(kern_gpu *gpu, gpu_plan *plan, const gpu_section *sections, size_t n, gpu_group *group)
{
    gpu_section *s = (gpu_section *)describe(gpu, plan, (n ? n : 1) * sizeof *s, (const void **)&group->sections);
    uint32_t *first = (uint32_t *)describe(gpu, plan, (n + 1) * sizeof *first, (const void **)&group->first_tile);
    if (!s || !first) return false;
    memcpy(s, sections, n * sizeof *s);
    first[0] = 0;
    for (size_t i = 0; i < n; i++) first[i + 1] = first[i] + tiles_of(sections[i].n_tokens);
    group->n_sections = (uint32_t)n;
    group->n_tiles = first[n];
    return true;
}

/* The split kernel's groups are collected here until there are as many as one launch takes. */
typedef struct decode_builder {
    gpu_group groups[GROUPS_MAX];
    plan_decode decode;
    int n_groups;
} decode_builder;

static kern_gpu_status flush_decode(kern_gpu *gpu, gpu_plan *plan, decode_builder *b, kern_gpu_error *error)
{
    if (!b->n_groups) return KERN_GPU_OK;
    plan_decode d = b->decode;
    gpu_group *groups = (gpu_group *)describe(gpu, plan, b->n_groups * sizeof *groups, (const void **)&d.groups);
    if (!groups) return too_large(error);
    uint32_t parts = 0;
    for (int i = 0; i < b->n_groups; i++) {
        b->groups[i].first_part = parts;
        parts += b->groups[i].n_splits;
    }
    memcpy(groups, b->groups, b->n_groups * sizeof *groups);
    gpu_part *part = (gpu_part *)describe(gpu, plan, parts * sizeof *part, (const void **)&d.parts);
    if (!part) return too_large(error);
    for (int i = 0; i < b->n_groups; i++)
        part += gpu_decode_parts(&gpu->format, &groups[i], (const gpu_section *)on_host(gpu, groups[i].sections),
                                 (const uint32_t *)on_host(gpu, groups[i].first_tile), part);
    d.n_groups = b->n_groups;
    d.n_parts = (int)parts;
    plan_decode *decode = (plan_decode *)grow(plan->decode, plan->n_decode, sizeof *decode);
    if (!decode) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    plan->decode = decode;
    decode[plan->n_decode++] = d;
    memset(b, 0, sizeof *b);
    return KERN_GPU_OK;
}

static uint32_t splits_of(uint32_t n_tiles, uint32_t most)
{
    uint32_t wanted = (n_tiles + TILES_PER_SPLIT_MIN - 1) / TILES_PER_SPLIT_MIN;
    return wanted < most ? wanted : most;
}

/* Rows first .. + n of a segment, or (n_branches > 1) one row each of as many segments that share their sections. */
static kern_gpu_status add_decode(kern_gpu *gpu, gpu_plan *plan, decode_builder *b, const gpu_group *shared, const gpu_group *own, int n_own,
                                  uint32_t first_row, uint32_t n_rows, kern_gpu_error *error)
{
    uint32_t per_kv = gpu->n_heads / gpu->format.n_kv_heads, heads_each = per_kv < GPU_COLUMNS_MAX ? per_kv : GPU_COLUMNS_MAX;
    int n_new = (int)((per_kv + heads_each - 1) / heads_each) * (n_own + 1);
    if (b->n_groups + n_new > GROUPS_MAX) {
        kern_gpu_status status = flush_decode(gpu, plan, b, error);
        if (status != KERN_GPU_OK) return status;
    }
    if (!b->n_groups) b->decode.first_row = (int)first_row;
    b->decode.n_rows = (int)(first_row + n_rows) - b->decode.first_row;
    if (b->decode.columns < (int)(n_rows * heads_each)) b->decode.columns = (int)(n_rows * heads_each);
    uint32_t own_splits = 0; /* the shared ones leave room for them: all run at once then */
    for (int i = 0; i < n_own; i++) own_splits += splits_of(own[i].n_tiles, 8);
    for (uint32_t h = 0; h < per_kv; h += heads_each) {
        for (int i = -1; i < n_own; i++) {
            gpu_group g = i < 0 ? *shared : own[i];
            if (!g.n_tiles) continue;
            if (i < 0) g.first_row = first_row, g.n_rows = n_rows;
            g.first_head = h;
            g.n_heads = per_kv - h < heads_each ? per_kv - h : heads_each;
            uint32_t most = (uint32_t)(gpu_decode_blocks(&gpu->format) * gpu->n_multiprocessors / gpu->format.n_kv_heads);
            if (i < 0 && most > 2 * own_splits) most -= own_splits;
            if (i >= 0 && most > 8) most = 8;
            if (most > DECODE_PARTS_MAX / GROUPS_MAX) most = DECODE_PARTS_MAX / GROUPS_MAX;
            g.n_splits = splits_of(g.n_tiles, most);
            b->groups[b->n_groups++] = g;
        }
    }
    return KERN_GPU_OK;
}

static gpu_section own_section(const kern_gpu *gpu, const gpu_plan *plan, const kern_gpu_segment *segments, size_t i)
{
    return gpu_section_of(&gpu->host_format, gpu->format.n_kv_heads, gpu->store.pool + plan->offset[i], segments[i].at + segments[i].n_tokens,
                          segments[i].capacity);
}

static bool same_sections(const kern_gpu_segment *a, const kern_gpu_segment *b)
{
    if (a->n_sections != b->n_sections) return false;
    for (size_t i = 0; i < a->n_sections; i++)
        if (a->sections_by_layer[i].data != b->sections_by_layer[i].data) return false;
    return true;
}

/* Segments first .. : as many as share the sections and fit the columns; *ret_n of them are planned. rows: where the first one's are. */
static kern_gpu_status plan_few(kern_gpu *gpu, gpu_plan *plan, decode_builder *b, const kern_gpu_segment *segments, size_t first, size_t n_segments,
                                sources *s, uint32_t row, size_t *ret_n, kern_gpu_error *error)
{
    const kern_gpu_segment *segment = &segments[first];
    uint32_t per_kv = gpu->n_heads / gpu->format.n_kv_heads, rows_each = per_kv >= GPU_COLUMNS_MAX ? 1 : GPU_COLUMNS_MAX / per_kv;
    gpu_group shared = {}, own[GPU_COLUMNS_MAX] = {};
    size_t n = 1;
    while (segment->n_tokens == 1 && n < rows_each && first + n < n_segments && segments[first + n].n_tokens == 1 &&
           same_sections(segment, &segments[first + n]))
        n++;
    *ret_n = n;
    if (n == 1 && segment->n_tokens == 1) { /* its one row sees all of its own tokens, too: they are one more section, not thread blocks of their own */
        s->sections[segment->n_sections] = own_section(gpu, plan, segments, first);
        if (!describe_sections(gpu, plan, s->sections, segment->n_sections + 1, &shared)) return too_large(error);
        return add_decode(gpu, plan, b, &shared, NULL, 0, row, 1, error);
    }
    if (!describe_sections(gpu, plan, s->sections, segment->n_sections, &shared)) return too_large(error);
    for (size_t i = 0; i < n; i++) {
        gpu_section section = own_section(gpu, plan, segments, first + i);
        if (!describe_sections(gpu, plan, &section, 1, &own[i])) return too_large(error);
        own[i].causal = 1;
        own[i].n_rows = 1;
        own[i].first_row = row + (uint32_t)i;
        own[i].causal_before = segments[first + i].at;
    }
    if (n > 1) return add_decode(gpu, plan, b, &shared, own, (int)n, row, (uint32_t)n, error);
    for (uint32_t i = 0; i < segment->n_tokens; i += rows_each) {
        uint32_t n_rows = segment->n_tokens - i < rows_each ? segment->n_tokens - i : rows_each;
        own[0].first_row = row + i;
        own[0].n_rows = n_rows;
        own[0].causal_before = segment->at + i;
        kern_gpu_status status = add_decode(gpu, plan, b, &shared, own, 1, row + i, n_rows, error);
        if (status != KERN_GPU_OK) return status;
    }
    return KERN_GPU_OK;
}

/* A chunk under construction. */
typedef struct chunk_builder {
    gpu_expand_job *expand;
    size_t n_expand;
    uint32_t tiles, tiles_max;
    size_t slot_bytes;
    int slot;
    plan_chunk chunk;
} chunk_builder;

static kern_gpu_status add_chunk(kern_gpu *gpu, gpu_plan *plan, chunk_builder *b, const gpu_flash_job *jobs, int n_jobs, kern_gpu_error *error)
{
    plan_chunk c = b->chunk;
    gpu_expand_job *expand = (gpu_expand_job *)describe(gpu, plan, (b->n_expand ? b->n_expand : 1) * sizeof *expand, (const void **)&c.expand);
    gpu_flash_job *list = (gpu_flash_job *)describe(gpu, plan, (n_jobs ? n_jobs : 1) * sizeof *list, (const void **)&c.jobs);
    if (!expand || !list) return too_large(error);
    memcpy(expand, b->expand, b->n_expand * sizeof *expand);
    memcpy(list, jobs, n_jobs * sizeof *list);
    c.n_expand = (int)b->n_expand;
    c.n_tiles_max = (int)b->tiles_max;
    c.n_jobs = n_jobs;
    c.slot = b->slot_bytes ? b->slot : -1;
    c.n_uploads = plan->n_uploads - c.first_upload;
    plan_chunk *chunks = (plan_chunk *)grow(plan->chunks, plan->n_chunks, sizeof *chunks);
    if (!chunks) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    plan->chunks = chunks;
    chunks[plan->n_chunks++] = c;
    if (b->slot_bytes) b->slot = (b->slot + 1) % STREAM_SLOTS;
    b->n_expand = 0, b->tiles = 0, b->tiles_max = 0, b->slot_bytes = 0;
    b->chunk.first_upload = plan->n_uploads;
    return KERN_GPU_OK;
}

static uint32_t expanded_tiles(uint32_t n_tokens)
{
    return (n_tokens + 2 * GPU_FLASH_KEYS - 1) / (2 * GPU_FLASH_KEYS) * 2;
}

static void add_expand(chunk_builder *b, const gpu_section *section, uint32_t first, uint32_t n_tokens)
{
    uint32_t tiles = expanded_tiles(n_tokens);
    b->expand[b->n_expand++] = (gpu_expand_job){*section, first, n_tokens, b->tiles};
    b->tiles += tiles;
    if (tiles > b->tiles_max) b->tiles_max = tiles;
}

/* The chunk's sections as jobs: split so that there is work for all multiprocessors. Part 0 holds what earlier chunks left. */
static int section_jobs(const kern_gpu *gpu, const kern_gpu_segment *segment, uint32_t row, uint32_t tiles, uint32_t first_part, uint32_t parts_max,
                        gpu_flash_job *jobs)
{
    uint32_t per_kv = gpu->n_heads / gpu->format.n_kv_heads, pairs = tiles / 2;
    uint32_t blocks = (segment->n_tokens * per_kv + GPU_FLASH_ROWS - 1) / GPU_FLASH_ROWS * gpu->format.n_kv_heads;
    uint32_t splits = (gpu->n_multiprocessors + blocks - 1) / blocks;
    if (splits > parts_max) splits = parts_max;
    if (splits > (pairs + 3) / 4) splits = (pairs + 3) / 4;
    int n = 0;
    for (uint32_t i = 0; i < splits; i++) {
        uint32_t first = (uint32_t)((uint64_t)pairs * i / splits), end = (uint32_t)((uint64_t)pairs * (i + 1) / splits);
        jobs[n++] = (gpu_flash_job){row, segment->n_tokens, first * 2, (end - first) * 2 * GPU_FLASH_KEYS, INT32_MAX, first_part + i};
    }
    return n;
}

static kern_gpu_status add_upload(gpu_plan *plan, const kern_gpu_segment *segment, size_t index, size_t n_bytes, size_t slot_offset, kern_gpu_error *error)
{
    plan_upload *uploads = (plan_upload *)grow(plan->uploads, plan->n_uploads, sizeof *uploads);
    if (!uploads) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    plan->uploads = uploads;
    uploads[plan->n_uploads++] = (plan_upload){&segment->sections_by_layer[index], segment->n_sections, n_bytes, slot_offset};
    return KERN_GPU_OK;
}

/* Many rows of one segment over its sections and its own tokens. */
static kern_gpu_status plan_many(kern_gpu *gpu, gpu_plan *plan, chunk_builder *b, const kern_gpu_segment *segments, size_t index, const sources *s,
                                 uint32_t row, kern_gpu_error *error)
{
    const kern_gpu_segment *segment = &segments[index];
    uint32_t capacity = gpu->scratch.n_tiles, own_tokens = segment->at + segment->n_tokens, own_tiles = expanded_tiles(own_tokens);
    size_t row_parts = (size_t)PARTS_MAX * PART_ROWS > 3u * gpu->n_rows_max ? (size_t)PARTS_MAX * PART_ROWS : 3u * gpu->n_rows_max;
    uint32_t parts_max = (uint32_t)(row_parts / segment->n_tokens), earlier = 0;
    if (parts_max > PARTS_MAX) parts_max = PARTS_MAX;
    if (own_tiles > capacity) return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "a branch of %u tokens is longer than the GPU runs at a time", own_tokens);
    gpu_flash_job jobs[PARTS_MAX + 2];
    b->chunk.n_rows_max = (int)segment->n_tokens;
    b->chunk.part_first_row = (int)row;
    b->chunk.part_rows = (int)segment->n_tokens;
    for (size_t i = 0; i < segment->n_sections; i++)
        for (uint32_t first = 0; first < s->sections[i].n_tokens;) {
            uint32_t room = (capacity - b->tiles) * GPU_FLASH_KEYS, n = s->sections[i].n_tokens - first;
            size_t n_bytes = s->resident[i] ? 0 : s->sections[i].layer_stride;
            if (n_bytes > STREAM_BYTES)
                return gpu_fail(error, KERN_GPU_NO_MEMORY, "a section of %u tokens is too large to stream through the GPU", s->sections[i].n_tokens);
            if (!room || b->slot_bytes + n_bytes > STREAM_BYTES || (!s->resident[i] && n > room && b->tiles)) {
                int n_jobs = section_jobs(gpu, segment, row, b->tiles, earlier, parts_max - 1 - earlier, jobs);
                b->chunk.n_parts = (int)earlier + n_jobs;
                b->chunk.last = false;
                kern_gpu_status status = add_chunk(gpu, plan, b, jobs, n_jobs, error);
                if (status != KERN_GPU_OK) return status;
                earlier = 1;
                continue;
            }
            gpu_section section = s->sections[i];
            if (n > room) n = room;
            if (!s->resident[i]) {
                kern_gpu_status status = add_upload(plan, segment, i, n_bytes, b->slot * (size_t)STREAM_BYTES + b->slot_bytes, error);
                if (status != KERN_GPU_OK) return status;
                section.base = gpu->slots + b->slot * (size_t)STREAM_BYTES + b->slot_bytes;
                section.layer_stride = 0;
                b->slot_bytes += n_bytes;
                plan->streams = true;
            }
            add_expand(b, &section, first, n);
            first += n;
        }
    if (b->tiles + own_tiles > capacity) {
        int n_jobs = section_jobs(gpu, segment, row, b->tiles, earlier, parts_max - 1 - earlier, jobs);
        b->chunk.n_parts = (int)earlier + n_jobs;
        b->chunk.last = false;
        kern_gpu_status status = add_chunk(gpu, plan, b, jobs, n_jobs, error);
        if (status != KERN_GPU_OK) return status;
        earlier = 1;
    }
    int n_jobs = b->tiles ? section_jobs(gpu, segment, row, b->tiles, earlier, parts_max - 1 - earlier, jobs) : 0;
    bool alone = !earlier && !n_jobs;
    uint32_t part = alone ? 0xffffffffu : earlier + n_jobs;
    gpu_section own = own_section(gpu, plan, segments, index);
    jobs[n_jobs] = (gpu_flash_job){row, segment->n_tokens, b->tiles, own_tokens, (int32_t)segment->at, part};
    add_expand(b, &own, 0, own_tokens);
    b->chunk.n_parts = alone ? 0 : (int)part + 1;
    b->chunk.last = true;
    return add_chunk(gpu, plan, b, jobs, n_jobs + 1, error);
}

/* Segments without sections, read together: one launch for as many as the scratch holds. *ret_n of them are planned. */
static kern_gpu_status plan_reading(kern_gpu *gpu, gpu_plan *plan, chunk_builder *b, const kern_gpu_segment *segments, size_t first, size_t n_segments,
                                    uint32_t row, size_t *ret_n, kern_gpu_error *error)
{
    gpu_flash_job jobs[KERN_GPU_SEGMENTS_MAX];
    size_t n = 0;
    b->chunk.n_rows_max = 0;
    for (; first + n < n_segments; n++) {
        const kern_gpu_segment *segment = &segments[first + n];
        uint32_t own_tokens = segment->at + segment->n_tokens;
        if (segment->n_sections || segment->n_tokens <= FEW_ROWS || b->tiles + expanded_tiles(own_tokens) > gpu->scratch.n_tiles) break;
        gpu_section own = own_section(gpu, plan, segments, first + n);
        jobs[n] = (gpu_flash_job){row, segment->n_tokens, b->tiles, own_tokens, (int32_t)segment->at, 0xffffffffu};
        add_expand(b, &own, 0, own_tokens);
        if ((int)segment->n_tokens > b->chunk.n_rows_max) b->chunk.n_rows_max = (int)segment->n_tokens;
        row += segment->n_tokens;
    }
    if (!n) return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "a sequence of %u tokens is longer than the GPU runs at a time", segments[first].n_tokens);
    *ret_n = n;
    b->chunk.n_parts = 0;
    b->chunk.last = true;
    return add_chunk(gpu, plan, b, jobs, (int)n, error);
}

static kern_gpu_status describe_rows(kern_gpu *gpu, gpu_plan *plan, const kern_gpu_segment *segments, size_t n_segments, kern_gpu_error *error)
{
    uint32_t *ids = (uint32_t *)describe(gpu, plan, plan->n_rows * sizeof *ids, (const void **)&plan->ids);
    uint32_t *position = (uint32_t *)describe(gpu, plan, plan->n_rows * sizeof *position, (const void **)&plan->position);
    gpu_encode_segment *encode = (gpu_encode_segment *)describe(gpu, plan, n_segments * sizeof *encode, (const void **)&plan->encode);
    if (!ids || !position || !encode) return too_large(error);
    uint32_t row = 0;
    for (size_t i = 0; i < n_segments; i++) {
        const kern_gpu_segment *segment = &segments[i];
        encode[i] = (gpu_encode_segment){own_section(gpu, plan, segments, i), row, segment->n_tokens, segment->at};
        int n_units = (int)((segment->at + segment->n_tokens - 1) / KERN_UNIT_TOKENS - segment->at / KERN_UNIT_TOKENS + 1);
        if (n_units > plan->n_units_max) plan->n_units_max = n_units;
        for (uint32_t j = 0; j < segment->n_tokens; j++, row++) {
            ids[row] = segment->ids[j];
            position[row] = segment->first_position + j;
        }
    }
    return KERN_GPU_OK;
}

/* Sections first .. + n, which all stay or (slot >= 0) share a slot, their keys one after another. */
static kern_gpu_status add_mass(kern_gpu *gpu, gpu_plan *plan, const kern_gpu_segment *segment, const sources *s, uint32_t row, size_t first, size_t n,
                                int slot, int offset, kern_gpu_error *error)
{
    plan_mass *all = (plan_mass *)grow(plan->mass, plan->n_mass, sizeof *all);
    if (!all) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    plan->mass = all;
    plan_mass *m = &all[plan->n_mass];
    memset(m, 0, sizeof *m);
    gpu_section *sections = (gpu_section *)describe(gpu, plan, n * sizeof *sections, (const void **)&m->sections);
    uint32_t *first_part = (uint32_t *)describe(gpu, plan, (n + 1) * sizeof *first_part, (const void **)&m->first_part);
    if (!sections || !first_part) return too_large(error);
    memcpy(sections, s->sections + first, n * sizeof *sections);
    m->first_upload = plan->n_uploads;
    size_t at = (size_t)(slot < 0 ? 0 : slot) * STREAM_BYTES;
    first_part[0] = 0;
    for (size_t i = 0; i < n; i++) {
        first_part[i + 1] = first_part[i] + (sections[i].n_tokens + KERN_MASS_TOKENS - 1) / KERN_MASS_TOKENS;
        if (slot < 0) continue;
        kern_gpu_status status = add_upload(plan, segment, first + i, sections[i].rows_offset, at, error);
        if (status != KERN_GPU_OK) return status;
        sections[i].base = gpu->slots + at;
        sections[i].layer_stride = 0;
        at += sections[i].rows_offset;
    }
    m->n_uploads = plan->n_uploads - m->first_upload;
    m->first_section = first;
    m->n_sections = (int)n;
    m->n_parts = (int)first_part[n];
    m->first_row = (int)row;
    m->n_rows = (int)segment->n_tokens;
    m->offset = offset;
    m->slot = slot;
    m->segment = segment;
    plan->n_mass++;
    return KERN_GPU_OK;
}

/* After attention, for only then a row's sum is known: what streams has its keys uploaded once more. */
static kern_gpu_status plan_mass_of(kern_gpu *gpu, gpu_plan *plan, const kern_gpu_segment *segment, const sources *s, uint32_t row, kern_gpu_error *error)
{
    if (!segment->mass) return KERN_GPU_OK;
    int offset = plan->n_mass ? plan->mass[plan->n_mass - 1].offset + plan->mass[plan->n_mass - 1].n_parts : 0, slot = 0, n_parts = 0;
    for (size_t i = 0; i < segment->n_sections; i++) n_parts += (int)((s->sections[i].n_tokens + KERN_MASS_TOKENS - 1) / KERN_MASS_TOKENS);
    if (offset + n_parts > MASS_PARTS) return KERN_GPU_OK; /* a hint is not worth failing an answer for */
    for (size_t i = 0, n; i < segment->n_sections; i += n) {
        size_t n_bytes = s->sections[i].rows_offset;
        bool stays = s->resident[i];
        for (n = 1; i + n < segment->n_sections && s->resident[i + n] == stays; n++) {
            n_bytes += s->sections[i + n].rows_offset;
            if (!stays && n_bytes > STREAM_BYTES) break;
        }
        kern_gpu_status status = add_mass(gpu, plan, segment, s, row, i, n, stays ? -1 : slot, offset, error);
        if (status != KERN_GPU_OK) return status;
        offset += plan->mass[plan->n_mass - 1].n_parts;
        if (!stays) slot = (slot + 1) % STREAM_SLOTS;
    }
    return KERN_GPU_OK;
}

kern_gpu_status gpu_plan_make(kern_gpu *gpu, const kern_gpu_segment *segments, size_t n_segments, gpu_plan *plan, kern_gpu_error *error)
{
    kern_gpu_status status = KERN_GPU_OK;
    memset(plan, 0, sizeof *plan);
    for (size_t i = 0; i < n_segments && status == KERN_GPU_OK; i++) {
        store_item *item = NULL;
        status = gpu_store_branch(gpu, segments[i].blocks, segments[i].capacity, segments[i].at, &item, error);
        if (status != KERN_GPU_OK) return status;
        plan->offset[i] = item->offset;
        item->n_tokens = segments[i].at + segments[i].n_tokens;
        plan->n_rows += segments[i].n_tokens;
    }
    status = describe_rows(gpu, plan, segments, n_segments, error);
    bool exact = gpu->host_format.key_type == KERN_KEY_CODE32 || gpu->host_format.value_type == KERN_VALUE_F32;
    decode_builder *decode = (decode_builder *)calloc(1, sizeof *decode);
    chunk_builder chunk = {};
    chunk.expand = (gpu_expand_job *)calloc(gpu->scratch.n_tiles + 8, sizeof *chunk.expand);
    if (status == KERN_GPU_OK && (!decode || !chunk.expand)) status = gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    uint32_t row = 0;
    for (size_t i = 0, n = 1; i < n_segments && status == KERN_GPU_OK; i += n) {
        const kern_gpu_segment *segment = &segments[i];
        sources s = {};
        n = 1;
        status = find_sources(gpu, segment, &s, error);
        if (status == KERN_GPU_OK) status = plan_mass_of(gpu, plan, segment, &s, row, error);
        if (status == KERN_GPU_OK) {
            bool few = (segment->n_tokens <= FEW_ROWS || exact) && s.all;
            if (few) status = plan_few(gpu, plan, decode, segments, i, n_segments, &s, row, &n, error);
            else if (!segment->n_sections) status = plan_reading(gpu, plan, &chunk, segments, i, n_segments, row, &n, error);
            else status = plan_many(gpu, plan, &chunk, segments, i, &s, row, error);
            for (size_t j = i + 1; j < i + n && status == KERN_GPU_OK && few; j++) status = plan_mass_of(gpu, plan, &segments[j], &s, row + (uint32_t)(j - i), error);
        }
        free_sources(&s);
        for (size_t j = i; j < i + n; j++) row += segments[j].n_tokens;
        if (status == KERN_GPU_OK && i + n < n_segments && decode->n_groups && segments[i + n].n_tokens > FEW_ROWS) status = flush_decode(gpu, plan, decode, error);
    }
    if (status == KERN_GPU_OK) status = flush_decode(gpu, plan, decode, error);
    free(decode);
    free(chunk.expand);
    return status;
}

void gpu_plan_clear(gpu_plan *plan)
{
    free(plan->decode);
    free(plan->chunks);
    free(plan->uploads);
    free(plan->mass);
    memset(plan, 0, sizeof *plan);
}
