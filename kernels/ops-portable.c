/* ops-portable.c: the table of operations of the instruction set "portable". Owns nothing else. */
#include "attend-ops.h"
#include "linear.h"

const kern_ops kern_ops_portable = {
    .name = "portable",
    .tile_rows = 4,
    .quantize_group = kern_quantize_group_portable,
    .matmul_q8 = kern_matmul_q8_portable,
    .matmul_q4 = kern_matmul_q4_portable,
    .matmul_float = kern_matmul_float_portable,
    .rms_norm_row = kern_rms_norm_row_portable,
    .swiglu_row = kern_swiglu_row_portable,
    .attend = &kern_attend_portable,
};
