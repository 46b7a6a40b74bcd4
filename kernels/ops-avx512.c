/* ops-avx512.c: the table of operations of the instruction set "avx512". Owns nothing else. */
#include "attend-ops.h"
#include "linear.h"

const kern_ops kern_ops_avx512 = {
    .name = "avx512",
    .tile_rows = 12,
    .quantize_group = kern_quantize_group_avx512,
    .matmul_q8 = kern_matmul_q8_avx512,
    .matmul_q4 = kern_matmul_q4_avx512,
    .matmul_float = kern_matmul_float_avx512,
    .rms_norm_row = kern_rms_norm_row_avx512,
    .swiglu_row = kern_swiglu_row_avx512,
    .attend = &kern_attend_avx512,
};
