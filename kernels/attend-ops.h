/* attend-ops.h: the operations that attention and its codes are made of, one table for each instruction set.
 *
 * Owns: the contract between the orchestration (attend.c, attend-scan.c, attend-tiles.c, codes.c) and the arithmetic
 *       (attend-portable.c, attend-avx2.c, attend-avx512.c). attend-generic.h holds the portable definition of each.
 * Does not own: choosing the table (ops.c), threads, scratch memory, byte layouts (kern.h). */
#ifndef KERN_ATTEND_OPS_H
#define KERN_ATTEND_OPS_H

#include "kern.h"

enum {
    KERN_TABLE_BYTES = 128,    /* an 8-bit query table */
    KERN_TILE_TOKENS = 64,     /* keys of one tile; equal to KERN_MASS_TOKENS */
    KERN_SUMS_ROWS = 16,       /* of scores_sums */
    KERN_SUMS_PARTS = 16,      /* of KERN_MASS_TOKENS each, likewise */
    KERN_ROTATE_ROWS = 4,      /* rows that are rotated together, each as if alone */
    KERN_TILE_ROWS_MULTIPLE = 6, /* rows of a tile are padded to this: accumulators of 6 rows fill the registers */
};

/* Query rows that share a KV head. tables: [n][128] s8, or with 128 added where the operations say so (table_bias).
 * dense: [n] rows of d floats at dense_stride, for CODE32 only. */
typedef struct kern_query_rows {
    const uint8_t *tables;
    const float *scales; /* [n] */
    const float *dense;
    size_t n;
} kern_query_rows;

/* Values of one KV head from some token on. */
typedef struct kern_value_rows {
    const uint8_t *rows;
    const uint16_t *scales;
} kern_value_rows;

/* A tile of values and the product with it; `expand` and `product` agree on the form of what lies between them. */
typedef struct kern_tile_ops {
    /* n <= 64 tokens into `tile` (64 * d * 4 bytes); tokens from n on become 0. key_scale [2][64]: what the weights of each token must be
     * multiplied with, in the form that softmax and weights want. */
    void (*expand)(const kern_kv_format *format, kern_value_rows values, size_t n, void *tile, float *key_scale);
    /* Scores [n_rows][64], of which row r's first visible[r] count, become weights relative to the row's running reference (its largest
     * score, or its largest product of weight and token's scale); max [n_rows], the logarithm of the reference, and sum [n_rows] are brought
     * up to date, keep [n_rows] is what the accumulators must be multiplied with, and p [n_rows padded][64] gets weight * key_scale in the
     * form that product wants (rows of padding: 0). Returns false when no accumulator changes its scale (keep is 1 throughout). */
    bool (*softmax)(float *scores, const uint32_t *visible, size_t n_rows, const float *key_scale, float *max, float *sum, float *keep,
                    void *p);
    /* Known weights [n_rows][n] at a stride into p, as softmax leaves it. */
    void (*weights)(const float *weights, size_t stride, size_t n, size_t n_rows, const float *key_scale, void *p);
    /* acc [n_rows padded][d] = acc * keep (NULL: 1) + p * tile */
    void (*product)(const void *p, const void *tile, size_t n_rows, size_t d, const float *keep, float *acc);
} kern_tile_ops;

/* Sums of one row's weights over the parts of up to KERN_SUMS_PARTS * KERN_MASS_TOKENS tokens (0 beyond them), and over all of them. */
typedef struct kern_part_sums {
    float parts[KERN_SUMS_PARTS], all;
} kern_part_sums;

/* Candidates among scored tokens, those where some row's score is at least `least` of that row: their numbers, counted from the first token that
 * is scored, and what all rows score there, scores[r * stride + i], i < n. Both want room for 16 more. */
typedef struct kern_score_list {
    const float *least; /* [rows] */
    uint32_t *tokens;
    float *scores;
    size_t stride, n;
} kern_score_list;

typedef struct kern_attend_ops {
    uint8_t table_bias; /* added to the query tables that `scores` is given */

    /* out [d] = RoPE(RMS norm(x)); weight, cos and sin may be NULL */
    void (*prepare)(const float *x, size_t d, const float *weight, float eps, const float *cos, const float *sin, float *out);
    /* rows [n_rows] at a stride of KERN_HEAD_DIM_MAX, each multiplied with rotation [d][d] from the right, in place */
    void (*rotate)(const float *rotation, size_t d, size_t n_rows, float *rows);
    /* the k entries of largest magnitude, ties to the lowest index, in ascending order of index; d <= 128 */
    void (*top_k)(const float *row, size_t d, size_t k, uint8_t *ret_index, float *ret_value);
    /* the kept features of a key as CODE8: index [k_key] (not written when dense), codes [k_key], scale in f16 */
    void (*encode_key)(const kern_kv_format *format, const float *row, uint8_t *ret_index, int8_t *ret_codes, uint16_t *ret_scale);
    /* table [128] without bias, scale with 1/sqrt(d) in it, dense [d] (may be NULL) */
    void (*encode_query)(const kern_kv_format *format, const float *row, int8_t *ret_table, float *ret_scale, float *ret_dense);
    /* quantised row and its scales in the format's form */
    void (*encode_value)(const kern_kv_format *format, const float *value, uint8_t *row, uint16_t *scales);

    /* out[r * stride + t]: scores of all rows with the tokens of n_units units; returns nothing for padding to rely on */
    void (*scores)(const kern_kv_format *format, const uint8_t *units, size_t n_units, const kern_query_rows *rows, float *out,
                   size_t stride);
    /* The same, and max [rows], the largest score of each row so far (-inf at first), is brought up to date; ret_sums [rows] are the sums of
     * exp(score - it), padding included, formed while the next keys are on their way: those at `next` follow these units.
     * With `list` (n is 0 at first) candidates are all that remains: out is scratch for KERN_MASS_TOKENS scores of each row.
     * False, and nothing is done: not for this format, or so many rows or units; then, or where it is NULL, scores, max and exp_total do it. */
    bool (*scores_sums)(const kern_kv_format *format, const uint8_t *units, size_t n_units, const kern_query_rows *rows, float *out,
                        size_t stride, const uint8_t *next, float *max, kern_part_sums *ret_sums, kern_score_list *list);
    float (*max)(const float *x, size_t n);
    /* the sum of exp(x - max), n a multiple of 16; -inf and NaN weigh nothing */
    float (*exp_total)(const float *x, size_t n, float max);
    /* the same, and the weights themselves into `out`, which may be x */
    float (*exp_sum)(const float *x, size_t n, float max, float *out);
    /* the sum of those of n weights (a multiple of 16) that are smaller than `cut` */
    float (*sum_below)(const float *weights, size_t n, float cut);
    /* how many of n scores (a multiple of 16) are at least `cut` */
    size_t (*count)(const float *scores, size_t n, float cut);
    /* Of n tokens (a multiple of 16) those where the score of any of the n_rows rows is at least its cut, and what all rows score
     * there: ret_scores[r * ret_stride + i]. Both want room for n + 16. Returns their number. tokens [n]: what they are called; NULL: 0, 1 ..
     * ret_tokens NULL: the scores alone. */
    size_t (*select)(const float *scores, size_t stride, size_t n_rows, size_t n, const float *cuts, const uint32_t *tokens,
                     uint32_t *ret_tokens, float *ret_scores, size_t ret_stride);
    /* acc [n_rows][d] += weights[r * stride + i] * the value of token tokens[i] (NULL: i), i < n. The caller has
     * fetched listed rows ahead. */
    void (*gather)(const kern_kv_format *format, kern_value_rows values, const uint32_t *tokens, size_t n, const float *weights,
                   size_t stride, size_t n_rows, float *acc);
    kern_tile_ops tile;       /* for CODE8 keys with Q4 or Q8 values and d a multiple of 32: may round weights and values to 8 bits */
    kern_tile_ops exact_tile; /* for all others: float */
} kern_attend_ops;

extern const kern_attend_ops kern_attend_portable;
extern const kern_attend_ops kern_attend_avx2;
extern const kern_attend_ops kern_attend_avx512;
#endif
