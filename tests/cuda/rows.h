/* rows.h: a file of rows as a model's layers have them, for bench.cu. Owns: the file's form. */
#ifndef TEST_CUDA_ROWS_H
#define TEST_CUDA_ROWS_H

#include <stdint.h>

enum { ROWS_HEADS = 16, ROWS_KV_HEADS = 8, ROWS_DIM = 128, ROWS_MAGIC = 0x53574f52 };

typedef struct rows_header {
    uint32_t magic, n_tokens;
    double inv_freq[ROWS_DIM / 2]; /* of the rotary positions that are still to be put in */
} rows_header;

/* f16, normed, not rotated. */
typedef struct rows_token {
    uint16_t q[ROWS_HEADS][ROWS_DIM], k[ROWS_KV_HEADS][ROWS_DIM], v[ROWS_KV_HEADS][ROWS_DIM];
} rows_token;

#endif
