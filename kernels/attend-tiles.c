/* attend-tiles.c: attention of many query tokens: FlashSFA proper, tiles of scores and an online softmax.
 *
 * Owns: the items (job, KV head, tile of query tokens), the walk over tiles of keys, merging into running sums.
 * Does not own: the arithmetic of a tile (attend-ops.h), checks (attend.c).
 *
 * An item is whole: nothing is merged between items, so results depend on no number of threads. The items of all jobs are
 * one list, the longest first, so that no lane idles while another finishes a long section. The query heads of a group
 * share each tile of values, expanded once. Every value is read: drop_mass has no use here.
 */
#include "attend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE_ROWS = 144 }; /* query tokens * heads of a group, about; a multiple of KERN_TILE_ROWS_MULTIPLE */

typedef struct tile_item {
    uint32_t job, kv_head, first_query, n_queries;
    uint64_t cost; /* pairs */
} tile_item;

/* Attention mass of one row in one part, relative to the row's maximum at that time. */
typedef struct part_mass {
    float max, sum;
} part_mass;

typedef struct tile_scratch {
    uint8_t *tables;
    float *table_scales, *dense, *scores, *key_scale, *max, *sum, *keep, *sum_before, *acc;
    uint32_t *visible;
    void *p, *values;
    part_mass *parts; /* [part][row] */
} tile_scratch;

typedef struct tiles {
    const kern_context *context;
    const kern_attend_ops *ops;
    const kern_tile_ops *tile_ops;
    const kern_attend_params *params;
    kern_attend_job *const *jobs;
    int64_t *const *mass; /* of each job */
    size_t group, query_step, rows_max, parts_max;
    const tile_item *items;
    tile_scratch threads[KERN_THREADS_MAX];
} tiles;

static size_t carve(const tiles *t, void *base, tile_scratch *ret)
{
    kern_arena arena = {.base = base};
    size_t n = t->rows_max, d = t->params->format->d;
    ret->tables = kern_arena_take(&arena, n, KERN_TABLE_BYTES);
    ret->table_scales = kern_arena_take(&arena, n, sizeof(float));
    ret->dense = kern_arena_take(&arena, t->params->format->key_type == KERN_KEY_CODE32 ? n * d : 0, sizeof(float));
    ret->scores = kern_arena_take(&arena, n * KERN_TILE_TOKENS, sizeof(float));
    ret->key_scale = kern_arena_take(&arena, KERN_TILE_TOKENS * 2ul, sizeof(float));
    ret->max = kern_arena_take(&arena, n, sizeof(float));
    ret->sum = kern_arena_take(&arena, n, sizeof(float));
    ret->keep = kern_arena_take(&arena, n, sizeof(float));
    ret->sum_before = kern_arena_take(&arena, n, sizeof(float));
    ret->visible = kern_arena_take(&arena, n, sizeof(uint32_t));
    ret->acc = kern_arena_take(&arena, n * d, sizeof(float));
    ret->p = kern_arena_take(&arena, n * KERN_TILE_TOKENS, sizeof(float));
    ret->values = kern_arena_take(&arena, KERN_TILE_TOKENS * d, sizeof(float));
    ret->parts = kern_arena_take(&arena, t->parts_max * n, sizeof(part_mass));
    return arena.bytes;
}

/* One tile of keys: `n` tokens of a block from `first` on, of which the rows see visible[]. */
static void attend_tile(const tiles *t, const tile_scratch *scratch, const key_span *span, size_t first, size_t n, size_t kv_head, size_t n_rows)
{
    const kern_kv_format *format = t->params->format;
    kern_query_rows rows = {.tables = scratch->tables, .scales = scratch->table_scales, .dense = scratch->dense, .n = n_rows};
    t->ops->scores(format, key_span_units(span, format, kv_head, first), kern_n_units(n), &rows, scratch->scores, KERN_TILE_TOKENS);
    t->tile_ops->expand(format, key_span_values(span, format, kv_head, first), n, scratch->values, scratch->key_scale);
    bool changed = t->tile_ops->softmax(scratch->scores, scratch->visible, n_rows, scratch->key_scale, scratch->max, scratch->sum,
                                        scratch->keep, scratch->p);
    t->tile_ops->product(scratch->p, scratch->values, n_rows, format->d, changed ? scratch->keep : NULL, scratch->acc);
}

static void note_mass(const tile_scratch *scratch, size_t part, size_t n_rows)
{
    for (size_t r = 0; r < n_rows; r++) {
        float sum = scratch->sum[r] - scratch->sum_before[r] * scratch->keep[r];
        scratch->parts[part * n_rows + r] = (part_mass){.max = scratch->max[r], .sum = sum};
    }
}

static void attend_blocks(const tiles *t, const tile_scratch *scratch, const kern_attend_job *job, const tile_item *item, size_t n_rows)
{
    size_t part = 0;
    for (size_t b = 0; b < job->n_blocks; b++) {
        key_span span = {.data = job->blocks[b].data};
        span.layout = kern_kv_layout_of(t->params->format, t->params->n_kv_heads, job->blocks[b].capacity);
        for (size_t first = 0; first < job->blocks[b].n_tokens; first += KERN_TILE_TOKENS, part++) {
            size_t left = job->blocks[b].n_tokens - first, n = left < KERN_TILE_TOKENS ? left : KERN_TILE_TOKENS;
            for (size_t r = 0; r < n_rows; r++) scratch->visible[r] = (uint32_t)n;
            if (job->mass) memcpy(scratch->sum_before, scratch->sum, n_rows * sizeof(float));
            attend_tile(t, scratch, &span, first, n, item->kv_head, n_rows);
            if (job->mass) note_mass(scratch, part, n_rows);
            if (kern_context_cancelled(t->context)) return;
        }
    }
}

static void attend_own(const tiles *t, const tile_scratch *scratch, const kern_attend_job *job, const tile_item *item, size_t n_rows)
{
    size_t last = item->first_query + item->n_queries - 1, end = kern_own_visible(job, last);
    key_span span = {.data = job->own.data};
    span.layout = kern_kv_layout_of(t->params->format, t->params->n_kv_heads, job->own.capacity);
    for (size_t first = 0; first < end; first += KERN_TILE_TOKENS) {
        size_t n = end - first < KERN_TILE_TOKENS ? end - first : KERN_TILE_TOKENS;
        for (size_t q = 0, r = 0; q < item->n_queries; q++) {
            size_t seen = kern_own_visible(job, item->first_query + q);
            seen = seen > first ? seen - first : 0;
            for (size_t end_row = r + t->group; r < end_row; r++) scratch->visible[r] = (uint32_t)(seen < n ? seen : n);
        }
        attend_tile(t, scratch, &span, first, n, item->kv_head, n_rows);
        if (kern_context_cancelled(t->context)) return;
    }
}

static void finish_mass(const tile_scratch *scratch, int64_t *mass, size_t n_parts, size_t n_rows)
{
    for (size_t p = 0; p < n_parts; p++) {
        double sum = 0;
        for (size_t r = 0; r < n_rows; r++) {
            const part_mass *part = &scratch->parts[p * n_rows + r];
            if (part->sum > 0) sum += (double)part->sum * exp((double)part->max - (double)scratch->max[r]) / (double)scratch->sum[r];
        }
        kern_mass_add(&mass[p], sum);
    }
}

static void attend_item(void *user, size_t index, unsigned thread)
{
    const tiles *t = user;
    if (kern_context_cancelled(t->context)) return;
    const tile_item *item = &t->items[index];
    const tile_scratch *scratch = &t->threads[thread];
    const kern_attend_job *job = t->jobs[item->job];
    size_t d = t->params->format->d, n_rows = item->n_queries * t->group;
    kern_rows_copy(t->ops, t->params, job->queries, job->first_query + item->first_query, item->n_queries, item->kv_head, scratch->tables,
                   scratch->table_scales, scratch->dense);
    memset(scratch->acc, 0, t->rows_max * d * sizeof(float));
    for (size_t r = 0; r < n_rows; r++) scratch->max[r] = -INFINITY, scratch->sum[r] = 0;
    attend_blocks(t, scratch, job, item, n_rows);
    attend_own(t, scratch, job, item, n_rows);
    if (kern_context_cancelled(t->context)) return;
    for (size_t r = 0; r < n_rows; r++) {
        size_t query = item->first_query + r / t->group, head = item->kv_head * t->group + r % t->group;
        float *out = job->out + query * job->out_stride + head * d, factor = scratch->sum[r] > 0 ? 1 / scratch->sum[r] : 0;
        for (size_t f = 0; f < d; f++) out[f] = scratch->acc[r * d + f] * factor;
    }
    if (job->mass) finish_mass(scratch, t->mass[item->job], kern_mass_parts(job), n_rows);
}

/* ----------------------------------------------------------------------------------------------------- planning */

static int longest_first(const void *a, const void *b)
{
    const tile_item *x = a, *y = b;
    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    if (x->job != y->job) return x->job < y->job ? -1 : 1;
    if (x->kv_head != y->kv_head) return x->kv_head < y->kv_head ? -1 : 1;
    return x->first_query < y->first_query ? -1 : x->first_query > y->first_query;
}

static size_t cached_tokens(const kern_attend_job *job)
{
    size_t n = 0;
    for (size_t b = 0; b < job->n_blocks; b++) n += job->blocks[b].n_tokens;
    return n;
}

static tile_item *list_items(const tiles *t, size_t n_jobs, kern_context *context, size_t *ret_n)
{
    size_t n = 0, at = 0;
    for (size_t j = 0; j < n_jobs; j++) n += (t->jobs[j]->n_queries + t->query_step - 1) / t->query_step * t->params->n_kv_heads;
    tile_item *items = kern_context_scratch(context, KERN_SCRATCH_ATTEND_0, n * sizeof *items);
    if (!items) return NULL;
    for (size_t j = 0; j < n_jobs; j++) {
        size_t n_queries = t->jobs[j]->n_queries, cached = cached_tokens(t->jobs[j]);
        for (size_t q = 0; q < n_queries; q += t->query_step)
            for (size_t kv = 0; kv < t->params->n_kv_heads; kv++) {
                size_t here = n_queries - q < t->query_step ? n_queries - q : t->query_step;
                items[at++] = (tile_item){
                    .job = (uint32_t)j,
                    .kv_head = (uint32_t)kv,
                    .first_query = (uint32_t)q,
                    .n_queries = (uint32_t)here,
                    .cost = (uint64_t)here * (cached + kern_own_visible(t->jobs[j], q + here - 1)),
                };
            }
    }
    qsort(items, n, sizeof *items, longest_first);
    *ret_n = n;
    return items;
}

static void count(const tiles *t, kern_attend_job *job)
{
    uint64_t rows = 0;
    for (size_t q = 0; q < job->n_queries; q++) rows += cached_tokens(job) + kern_own_visible(job, q);
    job->ret_rows += rows * t->params->n_heads;
    job->ret_rows_read += rows * t->params->n_heads;
}

/* Memory of all threads, and of the jobs' masses. */
static kern_status take_memory(tiles *t, kern_context *context, size_t n_jobs, int64_t **ret_mass)
{
    size_t n_parts = 0, bytes = carve(t, NULL, &t->threads[0]);
    for (unsigned thread = 0; thread < kern_pool_n_threads(kern_context_pool(context)); thread++) {
        void *base = kern_context_thread_scratch(context, thread, KERN_SCRATCH_ATTEND_1, bytes);
        if (!base) return KERN_NO_MEMORY;
        carve(t, base, &t->threads[thread]);
    }
    for (size_t j = 0; j < n_jobs; j++) n_parts += kern_mass_parts(t->jobs[j]);
    int64_t *mass = kern_context_scratch(context, KERN_SCRATCH_ATTEND_1, n_parts * sizeof *mass);
    if (!mass) return KERN_NO_MEMORY;
    memset(mass, 0, n_parts * sizeof *mass);
    for (size_t j = 0; j < n_jobs; mass += kern_mass_parts(t->jobs[j++])) ret_mass[j] = mass;
    return KERN_OK;
}

kern_status kern_attend_tiles(kern_context *context, const kern_attend_ops *ops, const kern_attend_params *params,
                              kern_attend_job *const *jobs, size_t n_jobs)
{
    int64_t *mass[64];
    if (n_jobs > sizeof mass / sizeof *mass) return KERN_BAD_ARGUMENT;
    tiles t = {
        .context = context,
        .ops = ops,
        .tile_ops = kern_tile_ops_for(ops, params->format),
        .params = params,
        .jobs = jobs,
        .mass = mass,
        .group = params->n_heads / params->n_kv_heads,
    };
    t.query_step = t.group < TILE_ROWS ? TILE_ROWS / t.group : 1;
    t.rows_max = (t.query_step * t.group + KERN_TILE_ROWS_MULTIPLE - 1) / KERN_TILE_ROWS_MULTIPLE * KERN_TILE_ROWS_MULTIPLE;
    for (size_t j = 0; j < n_jobs; j++)
        if (kern_mass_parts(jobs[j]) > t.parts_max) t.parts_max = kern_mass_parts(jobs[j]);
    kern_status status = take_memory(&t, context, n_jobs, mass);
    if (status != KERN_OK) return status;
    size_t n_items;
    t.items = list_items(&t, n_jobs, context, &n_items);
    if (!t.items) return KERN_NO_MEMORY;
    kern_pool_run(kern_context_pool(context), n_items, attend_item, &t);
    if (kern_context_cancelled(context)) return KERN_CANCELLED;
    for (size_t j = 0; j < n_jobs; j++) {
        count(&t, jobs[j]);
        kern_mass_report(jobs[j], mass[j]);
    }
    return KERN_OK;
}
