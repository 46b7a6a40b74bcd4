/* attend.c: attention's public functions: checks, the choice between the two ways to attend, ranking of blocks.
 *
 * Owns: kern_attend, kern_block_scores, what both ways share. Does not own: attend-scan.c, attend-tiles.c.
 */
#include "attend.h"
#include "ops.h"

#include <math.h>
#include <string.h>

enum {
    TILE_QUERIES_MIN = 96, /* query tokens from which on tiles pay whatever the number of keys */
    TILE_QUERIES_FEW = 8,  /* and with hardly any cached keys */
};

void kern_rows_copy(const kern_attend_ops *ops, const kern_attend_params *params, const kern_queries *queries, size_t first, size_t n,
                    size_t kv_head, uint8_t *ret_tables, float *ret_scales, float *ret_dense)
{
    size_t group = params->n_heads / params->n_kv_heads, d = params->format->d;
    for (size_t i = 0; i < n; i++) {
        size_t from = (first + i) * queries->n_heads + kv_head * group;
        const int8_t *table = queries->table + from * KERN_TABLE_BYTES;
        uint8_t *to = ret_tables + i * group * KERN_TABLE_BYTES;
        for (size_t b = 0; b < group * KERN_TABLE_BYTES; b++) to[b] = (uint8_t)(table[b] ^ ops->table_bias);
        memcpy(ret_scales + i * group, queries->scale + from, group * sizeof *ret_scales);
        if (params->format->key_type == KERN_KEY_CODE32) memcpy(ret_dense + i * group * d, queries->dense + from * d, group * d * sizeof(float));
    }
}

static size_t block_parts(const kern_kv_block *block)
{
    return (block->n_tokens + KERN_MASS_TOKENS - 1) / KERN_MASS_TOKENS;
}

size_t kern_mass_parts(const kern_attend_job *job)
{
    size_t n = 0;
    for (size_t b = 0; job->mass && b < job->n_blocks; b++) n += block_parts(&job->blocks[b]);
    return n;
}

void kern_mass_report(const kern_attend_job *job, const int64_t *mass)
{
    for (size_t b = 0; job->mass && b < job->n_blocks; b++)
        for (size_t p = 0; p < block_parts(&job->blocks[b]); p++) job->mass[job->mass_first[b] + p] += (float)((double)*mass++ * 0x1p-40);
}

static bool block_valid(const kern_kv_block *block)
{
    return block->n_tokens == 0 || (block->data && block->n_tokens <= block->capacity && block->capacity % KERN_UNIT_TOKENS == 0);
}

static bool params_valid(const kern_attend_params *params)
{
    return kern_kv_format_valid(params->format) && params->n_kv_heads > 0 && params->n_heads > 0 &&
           params->n_heads % params->n_kv_heads == 0;
}

static bool queries_valid(const kern_attend_params *params, const kern_queries *queries, size_t first, size_t n)
{
    if (queries->n_heads != params->n_heads || first > queries->n_tokens || n > queries->n_tokens - first) return false;
    return params->format->key_type == KERN_KEY_CODE8 || queries->dense;
}

static bool job_valid(const kern_attend_params *params, const kern_attend_job *job)
{
    if (!queries_valid(params, job->queries, job->first_query, job->n_queries)) return false;
    if (!block_valid(&job->own) || (job->own.n_tokens && job->own_before + job->n_queries > job->own.n_tokens)) return false;
    for (size_t b = 0; b < job->n_blocks; b++)
        if (!block_valid(&job->blocks[b])) return false;
    return !job->mass || job->mass_first || job->n_blocks == 0;
}

static bool wants_tiles(const kern_attend_job *job)
{
    if (job->n_queries >= TILE_QUERIES_MIN) return true;
    if (job->n_queries < TILE_QUERIES_FEW) return false;
    size_t cached = 0;
    for (size_t b = 0; b < job->n_blocks; b++) cached += job->blocks[b].n_tokens;
    return cached + job->own_before <= 2 * job->n_queries;
}

/* The jobs that want tiles, TILE_JOBS at a time so that no list needs memory of its own; the others one by one. */
enum { TILE_JOBS = 64 };

kern_status kern_attend(kern_context *context, const kern_attend_params *params, kern_attend_job *jobs, size_t n_jobs)
{
    const kern_attend_ops *ops = kern_ops_get()->attend;
    if (!params_valid(params)) return KERN_BAD_ARGUMENT;
    for (size_t j = 0; j < n_jobs; j++)
        if (!job_valid(params, &jobs[j])) return KERN_BAD_ARGUMENT;
    kern_attend_job *tiled[TILE_JOBS];
    size_t n_tiled = 0;
    kern_status status = KERN_OK;
    for (size_t j = 0; j < n_jobs && status == KERN_OK; j++) {
        if (jobs[j].n_queries == 0) continue;
        if (!wants_tiles(&jobs[j])) {
            status = kern_attend_scan(context, ops, params, &jobs[j]);
            continue;
        }
        tiled[n_tiled++] = &jobs[j];
        if (n_tiled < TILE_JOBS) continue;
        status = kern_attend_tiles(context, ops, params, tiled, n_tiled);
        n_tiled = 0;
    }
    if (status == KERN_OK && n_tiled) status = kern_attend_tiles(context, ops, params, tiled, n_tiled);
    return status;
}

/* ---------------------------------------------------------------------------------------------- ranking blocks */

enum {
    RANK_ROWS = 32,    /* query rows of one pass over a block */
    RANK_TOKENS = 512, /* 64 KiB of scores */
};

typedef struct rank_scratch {
    uint8_t *tables;
    float *scales, *dense, *scores;
} rank_scratch;

typedef struct rank_task {
    const kern_context *context;
    const kern_attend_ops *ops;
    const kern_attend_params *params;
    const kern_queries *queries;
    size_t first_query, n_queries, group, query_step;
    const kern_kv_block *blocks;
    float *ret_log_sum, *ret_max;
    rank_scratch *threads;
} rank_task;

static size_t rank_carve(const rank_task *task, void *base, rank_scratch *ret)
{
    kern_arena arena = {.base = base};
    size_t n = task->query_step * task->group;
    ret->tables = kern_arena_take(&arena, n, KERN_TABLE_BYTES);
    ret->scales = kern_arena_take(&arena, n, sizeof(float));
    ret->dense = kern_arena_take(&arena, n * task->params->format->d, sizeof(float));
    ret->scores = kern_arena_take(&arena, n * RANK_TOKENS, sizeof(float));
    return arena.bytes;
}

/* The rows' largest score and log of the sum over one block, for the rows at hand. */
static void rank_rows(const rank_task *task, const rank_scratch *scratch, const kern_kv_block *block, size_t kv_head, size_t n_rows,
                      float *best_sum, float *best_max)
{
    const kern_kv_format *format = task->params->format;
    kern_kv_layout layout = kern_kv_layout_of(format, task->params->n_kv_heads, block->capacity);
    kern_query_rows rows = {.tables = scratch->tables, .scales = scratch->scales, .dense = scratch->dense, .n = n_rows};
    float max[RANK_ROWS + KERN_TABLE_BYTES], sum[RANK_ROWS + KERN_TABLE_BYTES];
    for (size_t r = 0; r < n_rows; r++) max[r] = -INFINITY, sum[r] = 0;
    for (size_t first = 0; first < block->n_tokens; first += RANK_TOKENS) {
        size_t n = block->n_tokens - first < RANK_TOKENS ? block->n_tokens - first : RANK_TOKENS, n_units = kern_n_units(n);
        const uint8_t *units = (const uint8_t *)block->data + kv_head * layout.key_head_bytes;
        units += first / KERN_UNIT_TOKENS * kern_kv_unit_bytes(format);
        task->ops->scores(format, units, n_units, &rows, scratch->scores, RANK_TOKENS);
        for (size_t r = 0; r < n_rows; r++) {
            float *row = scratch->scores + r * RANK_TOKENS;
            for (size_t t = n; t < n_units * KERN_UNIT_TOKENS; t++) row[t] = -INFINITY;
            float here = task->ops->max(row, n_units * KERN_UNIT_TOKENS);
            if (here > max[r]) sum[r] *= expf(max[r] - here), max[r] = here;
            if (max[r] > -INFINITY) sum[r] += task->ops->exp_total(row, n_units * KERN_UNIT_TOKENS, max[r]);
        }
    }
    for (size_t r = 0; r < n_rows; r++) {
        size_t head = r % task->group;
        float log_sum = logf(sum[r]) + max[r];
        if (max[r] > best_max[head]) best_max[head] = max[r];
        if (log_sum > best_sum[head]) best_sum[head] = log_sum;
    }
}

/* One block and one KV head. */
static void rank_block(void *user, size_t index, unsigned thread)
{
    const rank_task *task = user;
    const kern_attend_params *params = task->params;
    const rank_scratch *scratch = &task->threads[thread];
    size_t b = index / params->n_kv_heads, kv_head = index % params->n_kv_heads;
    float *best_sum = task->ret_log_sum + b * params->n_heads + kv_head * task->group;
    float *best_max = task->ret_max + b * params->n_heads + kv_head * task->group;
    for (size_t h = 0; h < task->group; h++) best_sum[h] = best_max[h] = -INFINITY;
    if (kern_context_cancelled(task->context)) return;
    for (size_t q = 0; q < task->n_queries; q += task->query_step) {
        size_t n = task->n_queries - q < task->query_step ? task->n_queries - q : task->query_step;
        kern_rows_copy(task->ops, params, task->queries, task->first_query + q, n, kv_head, scratch->tables, scratch->scales, scratch->dense);
        rank_rows(task, scratch, &task->blocks[b], kv_head, n * task->group, best_sum, best_max);
    }
}

kern_status kern_block_scores(kern_context *context, const kern_attend_params *params, const kern_queries *queries, size_t first_query,
                              size_t n_queries, const kern_kv_block *blocks, size_t n_blocks, float *ret_log_sum, float *ret_max)
{
    if (!params_valid(params) || !queries_valid(params, queries, first_query, n_queries)) return KERN_BAD_ARGUMENT;
    for (size_t b = 0; b < n_blocks; b++)
        if (!block_valid(&blocks[b])) return KERN_BAD_ARGUMENT;
    size_t group = params->n_heads / params->n_kv_heads;
    if (group > KERN_TABLE_BYTES) return KERN_BAD_ARGUMENT;
    rank_scratch threads[KERN_THREADS_MAX];
    rank_task task = {
        .context = context,
        .ops = kern_ops_get()->attend,
        .params = params,
        .queries = queries,
        .first_query = first_query,
        .n_queries = n_queries,
        .group = group,
        .query_step = group < RANK_ROWS ? RANK_ROWS / group : 1,
        .blocks = blocks,
        .ret_log_sum = ret_log_sum,
        .ret_max = ret_max,
        .threads = threads,
    };
    kern_pool *pool = kern_context_pool(context);
    size_t bytes = rank_carve(&task, NULL, &threads[0]);
    for (unsigned t = 0; t < kern_pool_n_threads(pool); t++) {
        void *base = kern_context_thread_scratch(context, t, KERN_SCRATCH_ATTEND_0, bytes);
        if (!base) return KERN_NO_MEMORY;
        rank_carve(&task, base, &threads[t]);
    }
    kern_pool_run(pool, n_blocks * params->n_kv_heads, rank_block, &task);
    return kern_context_cancelled(context) ? KERN_CANCELLED : KERN_OK;
}
