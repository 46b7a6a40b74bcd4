/* ops-avx2.c: the table of operations of the instruction set "avx2". Owns nothing else. */
#include "attend-ops.h"
#include "linear.h"

const kern_ops kern_ops_avx2 = {
    .name = "avx2",
    .tile_rows = 4,
    .quantize_group = kern_quantize_group_avx2,
    .matmul_q8 = kern_matmul_q8_avx2,
    .matmul_q4 = kern_matmul_q4_avx2,
    .matmul_float = kern_matmul_float_avx2,
    .rms_norm_row = kern_rms_norm_row_avx2,
    .swiglu_row = kern_swiglu_row_avx2,
    .attend = &kern_attend_avx2,
};
