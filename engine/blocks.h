/* blocks.h: weights stored in blocks of quantised values, as GGUF files hold them.
 *
 * Owns: the block formats and what their bytes mean. Source: the block layouts of ggml (ggml-common.h, ggml-quants.c) and the GGUF
 *       specification; each is written out at its function in blocks.c.
 * Does not own: the file (gguf.h), the kernels' own layouts (kern.h).
 */
#ifndef ENG_BLOCKS_H
#define ENG_BLOCKS_H

#include "tensor.h"

typedef struct eng_block_format {
    eng_dtype dtype;
    const char *name;
    uint16_t n_values, n_bytes; /* of one block; a row is a whole number of blocks */
    void (*expand)(const uint8_t *block, float *ret_values);
} eng_block_format;

const eng_block_format *eng_block_format_of(eng_dtype dtype); /* NULL: not a type of blocks */

/* Rows [first_row, first_row + n_rows) of a matrix of blocks [n_out][n_in] as float. False: a value is not finite. */
bool eng_blocks_expand(const eng_tensor *tensor, size_t first_row, size_t n_rows, float *ret_rows);

/* Q4_0 rows into KERN_W_Q4, which holds the same values: exact. first_row and n_rows as in kern_weight_pack; data and scales are those of
 * the whole matrix, zeroed before. False: a scale is not finite. */
bool eng_blocks_repack_q4(const eng_tensor *tensor, size_t first_row, size_t n_rows, void *data, void *scales);

#endif
