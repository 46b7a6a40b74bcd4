/* attend-portable.c: the portable table of attention's operations, the definition that the others are tested against.
 *
 * Owns: that table. Does not own: the operations themselves (attend-generic.h). */
#include "attend-generic.h"

const kern_attend_ops kern_attend_portable = {
    .table_bias = 0,
    .prepare = generic_prepare,
    .rotate = generic_rotate,
    .top_k = generic_top_k,
    .encode_key = generic_encode_key,
    .encode_query = generic_encode_query,
    .encode_value = generic_encode_value,
    .scores = generic_scores,
    .max = generic_max,
    .exp_total = generic_exp_total,
    .exp_sum = generic_exp_sum,
    .sum_below = generic_sum_below,
    .count = generic_count,
    .select = generic_select,
    .gather = generic_gather,
    .tile = GENERIC_TILE_OPS,
    .exact_tile = GENERIC_TILE_OPS,
};
