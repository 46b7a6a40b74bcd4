/* linear.h: the inner loops of products and small steps, by instruction set, for the tables in ops-*.c.
 *
 * Owns: their declarations; contracts are in ops.h.
 */
#ifndef KERN_LINEAR_H
#define KERN_LINEAR_H

#include "ops.h"

#define KERN_LINEAR_DECLARE(isa)                                                                             \
    float kern_quantize_group_##isa(const float *x, int8_t *ret_codes, int32_t ret_sums[4]);                 \
    void kern_matmul_q8_##isa(const kern_tile *tile, const kern_rows_q8 *x);                                 \
    void kern_matmul_q4_##isa(const kern_tile *tile, const kern_rows_q8 *x);                                 \
    void kern_matmul_float_##isa(const kern_tile *tile, const float *x, size_t x_stride);                    \
    void kern_rms_norm_row_##isa(const float *x, const float *weight, float eps, size_t n_cols, float *out); \
    void kern_swiglu_row_##isa(float *gate, const float *up, size_t n_cols);

KERN_LINEAR_DECLARE(portable)
KERN_LINEAR_DECLARE(avx2)
KERN_LINEAR_DECLARE(avx512)

/* The magnitude below which a group is taken as zero: 127 / max must not overflow. */
#define KERN_QUANT_SMALLEST 0x1p-120f

static inline size_t kern_cols_padded(size_t n_in)
{
    return (n_in + KERN_GROUP_COLS - 1) / KERN_GROUP_COLS * KERN_GROUP_COLS;
}

static inline size_t kern_panels_of(size_t n_out)
{
    return (n_out + KERN_PANEL_ROWS - 1) / KERN_PANEL_ROWS;
}

#endif
