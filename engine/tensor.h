/* tensor.h: a tensor in a mapped file, whichever format the file has.
 *
 * Owns: the types of elements and the description of one tensor.
 * Does not own: the files (safetensors.h, gguf.h), what blocks of quantised elements hold (blocks.h).
 */
#ifndef ENG_TENSOR_H
#define ENG_TENSOR_H

#include "eng.h"

typedef enum eng_dtype {
    ENG_DTYPE_BOOL,
    ENG_DTYPE_U8,
    ENG_DTYPE_I8,
    ENG_DTYPE_F8,
    ENG_DTYPE_I16,
    ENG_DTYPE_U16,
    ENG_DTYPE_F16,
    ENG_DTYPE_BF16,
    ENG_DTYPE_I32,
    ENG_DTYPE_U32,
    ENG_DTYPE_F32,
    ENG_DTYPE_I64,
    ENG_DTYPE_U64,
    ENG_DTYPE_F64,
    /* blocks of a GGUF file (blocks.h) */
    ENG_DTYPE_Q4_0,
    ENG_DTYPE_Q8_0,
    ENG_DTYPE_Q4_K,
    ENG_DTYPE_Q5_K,
    ENG_DTYPE_Q6_K,
} eng_dtype;

enum { ENG_TENSOR_DIMS_MAX = 8 };

typedef struct eng_tensor {
    const char *name; /* owned by the file */
    eng_dtype dtype;
    uint32_t n_dims;
    uint64_t shape[ENG_TENSOR_DIMS_MAX]; /* rows first: [n_out][n_in] */
    const uint8_t *data; /* in the mapping; aligned to the element's size at least when the file is valid */
    uint64_t n_bytes;
} eng_tensor;

const char *eng_dtype_name(eng_dtype dtype);
float eng_float_of_half(uint16_t half);

#endif
