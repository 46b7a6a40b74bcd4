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

enum {
    KERN_TILE_ROWS_MAX = 12,
    KERN_Q4_GROUP_COLS = 32,
};

/* Rows of x, quantised and packed in tiles of tile_rows rows, in the order in which a product reads them; in_padded is n_in
 * rounded up to KERN_GROUP_COLS. Rows and columns that do not exist hold zeros. x = code * scale. */
typedef struct kern_rows_q8 {
    size_t tile_rows, in_padded;
    int8_t *codes;      /* [tiles][in_padded/4][tile_rows][4], -127 .. 127 */
    float *scales;      /* [tiles][in_padded/128][tile_rows] */
    int32_t *offsets;   /* [tiles][in_padded/128][tile_rows]: -128 times the sum of the group's codes */
    int32_t *offsets_4; /* [tiles][in_padded/32][tile_rows]: -8 times the sum of 32 codes */
} kern_rows_q8;

/* One task of a product: n_rows rows of x by panels [first_panel, first_panel + n_panels) of a weight. out points at the
 * first of these rows, column 0 of the whole result; columns at or beyond weight->n_out are not written. */
typedef struct kern_tile {
    const kern_weight *weight;
    size_t first_panel, n_panels;
    size_t n_rows;
    float *out;
    size_t out_stride;
    bool accumulate;
    /* Whole panels may be written past the caches: the result is larger than they are, and 64-byte aligned in every row. */
    bool stream;
} kern_tile;

typedef struct kern_ops {
    const char *name;
    size_t tile_rows; /* how many rows of x a tile of the integer products has, at most KERN_TILE_ROWS_MAX */
    /* 128 values to codes (round to nearest even) and the sums of each 32 codes; returns the scale: max|x| / 127. A group
     * whose largest magnitude is below 2^-120 becomes zero; one with a NaN or infinity gets scale NaN and codes 0. The
     * same bits in every table. */
    float (*quantize_group)(const float *x, int8_t *ret_codes, int32_t ret_sums[4]);
    /* x starts at the first row's tile. A row's result depends on no other row, nor on how panels are cut into tasks. */
    void (*matmul_q8)(const kern_tile *tile, const kern_rows_q8 *x);
    void (*matmul_q4)(const kern_tile *tile, const kern_rows_q8 *x);
    /* F32, F16, BF16: a panel is 16 rows of the weight; x in float. */
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
