/* attend-portable.c: the portable table of attention's operations, the definition that the others are tested against.
 *
 * Owns: that table. Does not own: the operations themselves (attend-generic.h). */
#include "attend-generic.h"

const kern_attend_ops kern_attend_portable = {
    .table_bias = 0,
    .prepare = generic_prepare,
    .top_k = generic_top_k,
    .encode_key = generic_encode_key,
    .encode_query = generic_encode_query,
    .encode_value = generic_encode_value,
    .scores = generic_scores,
    .max = generic_max,
    .exp_sum = generic_exp_sum,
    .exp_tails = generic_exp_tails,
    .select = generic_select,
    .sum = generic_sum,
    .gather = generic_gather,
    .tile = GENERIC_TILE_OPS,
    .exact_tile = GENERIC_TILE_OPS,
};
