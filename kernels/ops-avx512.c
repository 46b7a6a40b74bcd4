/* ops-avx512.c: the table of operations of the instruction set "avx512". Owns nothing else. */
#include "attend-ops.h"
#include "ops.h"

const kern_ops kern_ops_avx512 = {
    .name = "avx512",
    .attend = &kern_attend_portable,
};
