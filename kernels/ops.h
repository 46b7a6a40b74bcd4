/* ops.h: the table of operations, one const table for each instruction set, chosen once.
 *
 * Owns: the list of inner loops that exist in several implementations, and their exact contracts. The portable
 *       table is the definition: another may differ only by the rounding of float sums.
 * Does not own: threads, tiles of work, shapes' checks (matmul.c, steps.c); the attention's inner loops, which
 *       have a table of their own in attend-ops.h.
 */
#ifndef KERN_OPS_H
#define KERN_OPS_H

#include "kern.h"

/* Inner loops of codes and attention: defined in attend-ops.h, one table for each instruction set. */
typedef struct kern_attend_ops kern_attend_ops;

/* Rows of x, quantised: row r's codes at codes + r * in_padded, its scales at scales + r * (in_padded / 128), and in
 * in_padded the columns are rounded up to KERN_GROUP_COLS (missing ones are 0). Codes are s8 in -127 .. 127 stored as
 * u8 = s8 + 128, for instructions that multiply unsigned by signed. */
typedef struct kern_rows_q8 {
    const uint8_t *codes;
    const float *scales;
    size_t in_padded;
} kern_rows_q8;

/* One tile of an integer product: rows [0, n_rows) of x by panels [first_panel, first_panel + n_panels) of a weight.
 * out points at row 0, column 0 of the result; columns at or beyond weight->n_out are not written. */
typedef struct kern_tile {
    const kern_weight *weight;
    const int32_t *group_sums; /* of the whole weight, Q8 only; NULL: computed on the way */
    size_t first_panel, n_panels;
    size_t n_rows;
    float *out;
    size_t out_stride;
    bool accumulate;
} kern_tile;

typedef struct kern_ops {
    const char *name;
    /* One row of x to codes and scales: scale = max|x| / 127 over each group of 128 columns, round to nearest even. */
    void (*quantize_row)(const float *x, size_t n_in, uint8_t *ret_codes, float *ret_scales);
    void (*matmul_q8)(const kern_tile *tile, const kern_rows_q8 *x);
    void (*matmul_q4)(const kern_tile *tile, const kern_rows_q8 *x);
    /* F32, F16, BF16: x in float. */
    void (*matmul_float)(const kern_tile *tile, const float *x, size_t x_stride);
    void (*rms_norm_row)(const float *x, const float *weight, float eps, size_t n_cols, float *out);
    void (*swiglu_row)(float *gate, const float *up, size_t n_cols);
    const kern_attend_ops *attend;
} kern_ops;

extern const kern_ops kern_ops_portable;
extern const kern_ops kern_ops_avx2;
extern const kern_ops kern_ops_avx512;

/* The table in use; the first call chooses it. */
const kern_ops *kern_ops_get(void);

#endif
