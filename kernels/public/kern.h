/* kern.h: the public header of kernels/.
 *
 * Owns: the arithmetic of Qwen3 with Sparse Feature Attention (SFA) and the byte layouts it works on: packed weights,
 *       key codes, values, rotary tables; a pool of threads to run it on.
 * Does not own: files, models, sessions, caches (engine/); it never allocates behind the caller's back except in
 *       *_new functions and kern_context_reserve, never prints, never exits.
 *
 * Source of the attention: "Scaling Attention via Feature Sparsity", arXiv 2603.22300, equations 3 to 6. FlashSFA: tiles
 * and an online softmax over sparse overlaps; no n x n matrix ever exists.
 *
 * Conventions. Matrices are row-major, float is IEEE binary32, f16 is IEEE binary16 and bf16 is bfloat16, both held in
 * uint16_t. Little-endian, two's complement. d is the head dimension. All pointers to quantised weights, keys and values
 * want 64-byte alignment, those to float weights that of their elements. Results are the same, bit for bit, for any number of
 * threads on one instruction set.
 */
#ifndef KERN_H
#define KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kern_status {
    KERN_OK = 0,
    KERN_NO_MEMORY,
    KERN_BAD_ARGUMENT, /* a shape or a type outside the limits stated here */
    KERN_CANCELLED,    /* kern_context_set_cancel's flag was seen */
} kern_status;

const char *kern_status_text(kern_status status);

enum {
    KERN_HEAD_DIM_MAX = 128,   /* d: a multiple of 16 up to this */
    KERN_UNIT_TOKENS = 16,     /* key codes are stored in units of 16 tokens */
    KERN_PANEL_ROWS = 16,      /* quantised weights are stored in panels of 16 output rows */
    KERN_GROUP_COLS = 128,     /* 8-bit weights and activations share a scale over this many input columns */
    KERN_ALIGN_BYTES = 64,
    KERN_MASS_TOKENS = 64,     /* attention mass is reported for parts of this many tokens */
    KERN_THREADS_MAX = 256,
};

/* ------------------------------------------------------------------------------------------------ instruction sets */

/* The implementation is chosen once, at the first call, by CPUID and XGETBV: "portable", "avx2" (AVX2, FMA, F16C) or
 * "avx512" (AVX-512 F/BW/VL/DQ, VNNI, VBMI, BF16). LECTERN_ISA=portable|avx2|avx512 forces one that the machine has; an
 * unknown or unsupported name is ignored and kern_isa_note says so. */
const char *kern_isa_name(void);
const char *kern_isa_note(void);        /* "" when there is nothing to say */
size_t kern_isa_available(const char *ret_names[4]); /* for tests: all that this machine runs */
bool kern_isa_force(const char *name);  /* for tests and benchmarks; false: not available. Not thread-safe. */

/* ------------------------------------------------------------------------------------------------------ threads */

typedef struct kern_pool kern_pool;
typedef void (*kern_task_fn)(void *user, size_t index, unsigned thread); /* thread: 0 .. n_threads - 1 */

/* n_threads counts the calling thread; 0 means one for each processor in the affinity mask. Pinned when `pin`. */
kern_status kern_pool_new(unsigned n_threads, bool pin, kern_pool **ret_pool);
void kern_pool_free(kern_pool *pool); /* NULL is fine */
unsigned kern_pool_n_threads(const kern_pool *pool);
/* Runs fn for index 0 .. n_tasks - 1 and returns when all are done. The caller works too. Not re-entrant. */
void kern_pool_run(kern_pool *pool, size_t n_tasks, kern_task_fn fn, void *user);

/* A context is a pool, scratch memory and a cancel flag: what one stream of work needs. One user at a time. */
typedef struct kern_context kern_context;
kern_status kern_context_new(unsigned n_threads, bool pin, kern_context **ret_context);
void kern_context_free(kern_context *context);
kern_pool *kern_context_pool(kern_context *context);
/* *cancel is read between tiles (atomically, relaxed); when true, the call in progress returns KERN_CANCELLED soon and its
 * outputs are undefined. NULL: never. The flag must outlive its use. */
void kern_context_set_cancel(kern_context *context, const bool *cancel);

/* ------------------------------------------------------------------------------------------------------ weights */

typedef enum kern_weight_type {
    KERN_W_F32 = 0, /* row-major [out][in] */
    KERN_W_F16,
    KERN_W_BF16,
    /* s8 panels: [ceil(out/16)][in_padded/4][16][4] s8, where in_padded is `in` rounded up to KERN_GROUP_COLS and missing
     * rows and columns are 0; scales f32 [ceil(out/16)][in_padded/128][16]. w = s8 * scale. */
    KERN_W_Q8,
    /* s4 panels: as Q8 with groups of 32 columns: [ceil(out/16)][in_padded/32][16 rows][16 bytes]: byte j of a row's group
     * holds column j (low nibble) and column j + 16 (high nibble), as value + 8; scales f16 [ceil(out/16)][in_padded/32][16]. */
    KERN_W_Q4,
} kern_weight_type;

typedef struct kern_weight {
    kern_weight_type type;
    size_t n_out, n_in;
    const void *data;   /* borrowed: usually a mapped file */
    const void *scales; /* NULL for F32, F16, BF16 */
    /* Q8 only, may be NULL: s32 [ceil(out/16)][in_padded/128][16], the sum of each group's s8, wanted by instructions that
     * multiply unsigned by signed. kern_weight_group_sums computes it. */
    const int32_t *group_sums;
} kern_weight;

size_t kern_weight_data_bytes(kern_weight_type type, size_t n_out, size_t n_in);
size_t kern_weight_scales_bytes(kern_weight_type type, size_t n_out, size_t n_in);
size_t kern_weight_group_sums_bytes(kern_weight_type type, size_t n_out, size_t n_in);
/* Quantises rows [first_row, first_row + n_rows) of a matrix [n_out][n_in] of F32/F16/BF16 into Q8 or Q4 (symmetric, round
 * to nearest even, the largest magnitude of a group maps to 127 or 7; a group of zeros gets scale 0). first_row and n_rows
 * are multiples of 16 (n_rows may end at n_out). `source` points at row first_row. */
kern_status kern_weight_pack(kern_weight_type to, void *data, void *scales, size_t n_out, size_t n_in, size_t first_row, size_t n_rows,
                             kern_weight_type from, const void *source);
void kern_weight_group_sums(const kern_weight *weight, int32_t *ret_sums);
/* Row `row` of a weight of any type as float [n_in]: embeddings, tests. */
void kern_weight_row(const kern_weight *weight, size_t row, float *ret_row);

typedef struct kern_matmul_job {
    const kern_weight *weight;
    float *out; /* [n_rows][out_stride] */
    size_t out_stride;
    bool accumulate; /* out += instead of out = (residual connections) */
} kern_matmul_job;

/* y = x W^T for each job over the same input x [n_rows][x_stride] (all weights have the same n_in). Q8 and Q4 quantise x to 8
 * bits by row and group of 128 columns, once for all jobs; F32, F16 and BF16 compute in float. n_rows = 1 is the decode
 * path and runs at memory bandwidth. */
kern_status kern_matmul(kern_context *context, const float *x, size_t x_stride, size_t n_rows, const kern_matmul_job *jobs, size_t n_jobs);

/* --------------------------------------------------------------------------------------------------- small steps */

/* out = x / sqrt(mean(x^2) + eps) * weight, by row. x and out may be the same. */
void kern_rms_norm(kern_context *context, const float *x, const float *weight, float eps, size_t n_rows, size_t n_cols, float *out);
/* gate [n_rows][n] <- silu(gate) * up. */
void kern_swiglu(kern_context *context, float *gate, const float *up, size_t n_rows, size_t n_cols);

/* Rotary tables: cos and sin, [n_positions][d/2] each, position first_position + row. inv_freq [d/2] holds the angle a
 * position adds to pair (i, i + d/2); attention_scale multiplies both (YaRN; else 1). Computed in double. */
void kern_rope_fill(const double *inv_freq, size_t d, double attention_scale, size_t first_position, size_t n_positions, float *ret_cos,
                    float *ret_sin);

/* --------------------------------------------------------------------------------------------------- key codes, values */

typedef enum kern_key_type {
    KERN_KEY_CODE8 = 0, /* s8 values with one f16 scale a key */
    KERN_KEY_CODE32,    /* f32 values, no scale: the exact option, and the one parity tests use */
} kern_key_type;

typedef enum kern_value_type {
    KERN_VALUE_Q4 = 0, /* groups of value_group features, f16 scale each, -7 .. 7 */
    KERN_VALUE_Q8,     /* one f16 scale a row, -127 .. 127 */
    KERN_VALUE_F16,
    KERN_VALUE_F32,    /* parity tests */
} kern_value_type;

/* How keys and values of one model are stored. All of it belongs to a cache's identity.
 *
 * Keys of one (layer, KV head), in units of 16 tokens; a unit of CODE8 with k < d is
 *     index u8 [k/4][16][4], value s8 [k/4][16][4], scale f16 [16]            (k = 16: 544 bytes)
 * in each key's k kept features in ascending order of index. k = d (dense) has no index part: value s8 [d/4][16][4], scale.
 * CODE32: index u8 [k/4][16][4] (absent when k = d), value f32 [k/4][16][4]. A unit's unused tokens are all zero.
 * key = value * scale; k is a multiple of 4, at most d.
 *
 * Values of one (layer, KV head): rows [n_tokens][row_bytes], then scales [n_tokens][n_scales] f16 as a separate array.
 *     Q4: byte b of a row holds feature b (low nibble) and b + d/2 (high nibble), as value + 8; d / value_group scales.
 *     Q8: s8 [d], 1 scale.  F16/F32: d values, no scale. */
typedef struct kern_kv_format {
    uint16_t d;
    uint16_t k_key;   /* k = d: dense */
    uint16_t k_query; /* features kept of a query; d: dense query */
    uint16_t value_group;
    kern_key_type key_type;
    kern_value_type value_type;
} kern_kv_format;

bool kern_kv_format_valid(const kern_kv_format *format);
size_t kern_kv_unit_bytes(const kern_kv_format *format);
size_t kern_kv_value_row_bytes(const kern_kv_format *format);
size_t kern_kv_value_n_scales(const kern_kv_format *format);

/* A block: one layer's keys and values of all KV heads for up to `capacity` tokens (a multiple of 16), one piece of memory:
 *     keys   [kv_heads][capacity/16 units]           from byte 0
 *     rows   [kv_heads][capacity][row_bytes]         from rows_offset, 64-byte aligned
 *     scales [kv_heads][capacity][n_scales] f16      from scales_offset, 64-byte aligned
 * total_bytes is a multiple of 64. A section's record in the cache holds one such block for each layer. */
typedef struct kern_kv_layout {
    size_t key_head_bytes, row_head_bytes, scale_head_bytes; /* stride from one KV head to the next */
    size_t rows_offset, scales_offset, total_bytes;
} kern_kv_layout;
kern_kv_layout kern_kv_layout_of(const kern_kv_format *format, size_t n_kv_heads, size_t capacity);

typedef struct kern_kv_block {
    const void *data;  /* 64-byte aligned */
    uint32_t n_tokens; /* in use */
    uint32_t capacity;
} kern_kv_block;

/* Codes of keys and quantised values of n tokens, written at token `at` of a block: per row QK-norm (weight [d], NULL: none),
 * RoPE (row r uses cos/sin row r, NULL: none), a rotation (below), the k_key entries of largest magnitude (ties: the lowest index), 8-bit
 * values. k and v are [n][kv_heads * d] with the given stride.
 *
 * Rotations: an orthogonal matrix for each KV head, by which keys and queries are multiplied alike after RoPE, so that their products, and
 * with them dense attention, stay what they are, while the energy of keys gathers in fewer features than RoPE leaves it in. */
typedef struct kern_encode_params {
    const kern_kv_format *format;
    size_t n_heads; /* KV heads for keys and values, query heads for queries */
    const float *norm_weight;
    float norm_eps;
    const float *rope_cos, *rope_sin; /* [n][d/2] */
    const float *rotations; /* [n_rotations][d][d]: feature i of a rotated row x is the sum over j of x[j] * rotation[j][i]; NULL: none */
    size_t n_rotations;     /* the number of KV heads: head h of n_heads is turned by number h / (n_heads / n_rotations) */
} kern_encode_params;
void kern_encode_keys_values(kern_context *context, const kern_encode_params *params, const float *k, size_t k_stride, const float *v,
                             size_t v_stride, size_t n_tokens, void *block, size_t capacity, size_t at);

/* Queries, ready for attention: s8 table [n][heads][128] (features beyond d and those not kept are 0) and f32 scale [n][heads],
 * which already holds 1/sqrt(d); and for CODE32 and dense keys the kept features in float [n][heads][d], scaled likewise. */
typedef struct kern_queries {
    int8_t *table;
    float *scale;
    float *dense;
    size_t n_tokens, n_heads;
} kern_queries;
void kern_encode_queries(kern_context *context, const kern_encode_params *params, const float *q, size_t q_stride, size_t n_tokens,
                         kern_queries *ret_queries);

/* Key `token` of a block as float [d] (zeros where not kept), and its value; for tests and for other encodings. */
void kern_kv_get_key(const kern_kv_format *format, size_t n_kv_heads, const kern_kv_block *block, size_t kv_head, size_t token, float *ret_key);
void kern_kv_get_value(const kern_kv_format *format, size_t n_kv_heads, const kern_kv_block *block, size_t kv_head, size_t token,
                       float *ret_value);

/* ---------------------------------------------------------------------------------------------------------- attention */

/* One sequence of query tokens. Query token i attends to all tokens of blocks[0 .. n_blocks - 1] and, of `own`, to tokens
 * 0 .. own_before + i (own holds at least own_before + n_tokens tokens). Query head h reads KV head h / (n_heads / n_kv_heads).
 * The softmax runs over all of it as one; a pair of tokens without a common feature has score 0. */
typedef struct kern_attend_job {
    const kern_queries *queries;
    size_t first_query, n_queries; /* rows of `queries` */
    const kern_kv_block *blocks;   /* shared, read-only: cached sections */
    size_t n_blocks;
    kern_kv_block own; /* n_tokens = 0: none */
    size_t own_before;
    float *out;          /* [n_queries][out_stride], head h at h * d */
    size_t out_stride;
    /* Attention mass, summed over query rows and heads, of each part of KERN_MASS_TOKENS tokens of each block, added to what
     * is there: block b's parts start at mass_first[b]. NULL: not wanted. Skipped value rows count too. */
    float *mass;
    const size_t *mass_first;
    /* Added to what is there, over query rows and heads: softmax mass of value rows that were not read; rows read; rows. */
    double ret_dropped_mass;
    double ret_dropped_mass_max; /* the largest of any row and head */
    uint64_t ret_rows_read, ret_rows;
} kern_attend_job;

typedef struct kern_attend_params {
    const kern_kv_format *format;
    size_t n_heads, n_kv_heads;
    /* Value rows may be left out as long as the softmax mass dropped by one query row and head stays at or below this
     * (0: exact). The result is renormalised over what was kept: its error is at most 2 tau max|v|. */
    float drop_mass;
} kern_attend_params;

/* FlashSFA. Jobs are independent and run together. Memory O(n): scratch is kept in the context and reused. */
kern_status kern_attend(kern_context *context, const kern_attend_params *params, kern_attend_job *jobs, size_t n_jobs);

/* Scores only, for ranking sections by the model's own key codes: for each block, over the query rows and heads given,
 * ret[b * n_heads + h] = log of the sum over the block's tokens of exp(score), and ret_max the largest score, both the
 * maximum over query rows. No value is read. */
kern_status kern_block_scores(kern_context *context, const kern_attend_params *params, const kern_queries *queries, size_t first_query,
                              size_t n_queries, const kern_kv_block *blocks, size_t n_blocks, float *ret_log_sum, float *ret_max);

#ifdef __cplusplus
}
#endif
#endif
