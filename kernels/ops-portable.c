/* ops-portable.c: the table of operations of the instruction set "portable". Owns nothing else. */
#include "attend-ops.h"
#include "ops.h"

const kern_ops kern_ops_portable = {
    .name = "portable",
    .attend = &kern_attend_portable,
};
