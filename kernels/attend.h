/* attend.h: what the parts of attention share: the key axis of a job cut into spans, and pieces of scratch memory.
 *
 * Owns: those two ideas. Does not own: the two ways to attend, attend-scan.c (few query tokens: all scores first, then
 *       only the values that matter) and attend-tiles.c (many query tokens: tiles and an online softmax).
 */
#ifndef KERN_ATTEND_H
#define KERN_ATTEND_H

#include "attend-ops.h"
#include "context.h"

/* Tokens of one block, contiguous in memory. */
typedef struct key_span {
    const uint8_t *data; /* the block's */
    kern_kv_layout layout;
    size_t block;       /* index within the job; n_blocks: own */
    size_t first, n;    /* tokens within the block; first is a multiple of KERN_TILE_TOKENS */
    size_t at;          /* of its first token in a row of scores; a multiple of KERN_UNIT_TOKENS */
    size_t part;        /* of attention mass, counted through all blocks of the job */
} key_span;

static inline const uint8_t *key_span_units(const key_span *span, const kern_kv_format *format, size_t kv_head, size_t token)
{
    return span->data + kv_head * span->layout.key_head_bytes + (span->first + token) / KERN_UNIT_TOKENS * kern_kv_unit_bytes(format);
}

static inline kern_value_rows key_span_values(const key_span *span, const kern_kv_format *format, size_t kv_head, size_t token)
{
    size_t at = span->first + token;
    const uint8_t *scales = span->data + span->layout.scales_offset + kv_head * span->layout.scale_head_bytes;
    return (kern_value_rows){
        .rows = span->data + span->layout.rows_offset + kv_head * span->layout.row_head_bytes + at * kern_kv_value_row_bytes(format),
        .scales = (const uint16_t *)(const void *)scales + at * kern_kv_value_n_scales(format),
    };
}

static inline size_t kern_n_units(size_t n_tokens)
{
    return (n_tokens + KERN_UNIT_TOKENS - 1) / KERN_UNIT_TOKENS;
}

/* How many tokens of `own` the job's query token `query` sees. */
static inline size_t kern_own_visible(const kern_attend_job *job, size_t query)
{
    return job->own.n_tokens ? job->own_before + query + 1 : 0;
}

/* Copies the tables (with the bias that `scores` wants), scales and dense rows of the heads of one KV head and of n query
 * tokens; row = query * group + head. */
void kern_rows_copy(const kern_attend_ops *ops, const kern_attend_params *params, const kern_queries *queries, size_t first, size_t n,
                    size_t kv_head, uint8_t *ret_tables, float *ret_scales, float *ret_dense);

/* Fixed-point sums: adding in any order gives the same bits. A part's mass is at most rows * heads: far below 2^23. */
static inline void kern_mass_add(int64_t *mass, double amount)
{
    if (amount > 0) __atomic_fetch_add(mass, (int64_t)(amount * 0x1p40), __ATOMIC_RELAXED);
}
size_t kern_mass_parts(const kern_attend_job *job);
void kern_mass_report(const kern_attend_job *job, const int64_t *mass);

/* A piece of scratch: called with base NULL first, to find out how much is wanted. */
typedef struct kern_arena {
    uint8_t *base;
    size_t bytes;
} kern_arena;

static inline void *kern_arena_take(kern_arena *arena, size_t n, size_t item_bytes)
{
    size_t at = arena->bytes;
    arena->bytes += (n * item_bytes + KERN_ALIGN_BYTES - 1) / KERN_ALIGN_BYTES * KERN_ALIGN_BYTES;
    return arena->base ? arena->base + at : NULL;
}

kern_status kern_attend_scan(kern_context *context, const kern_attend_ops *ops, const kern_attend_params *params, kern_attend_job *job);
kern_status kern_attend_tiles(kern_context *context, const kern_attend_ops *ops, const kern_attend_params *params,
                              kern_attend_job *const *jobs, size_t n_jobs);
#endif
