/* ops-avx2.c: the table of operations of the instruction set "avx2". Owns nothing else. */
#include "attend-ops.h"
#include "ops.h"

const kern_ops kern_ops_avx2 = {
    .name = "avx2",
    .attend = &kern_attend_portable,
};
