/* kern-probe.h: what the machine can do at most, measured beside the kernels' own figures.
 *
 * Owns: probes of memory bandwidth and of the rate of 8-bit multiply-adds, on a context's threads; dense 16-bit attention as a control.
 * Does not own: the benchmarks that print them.
 */
#ifndef KERN_PROBE_H
#define KERN_PROBE_H

#include "kern.h"

/* Bytes a second that the context's threads read together from memory beyond the caches; the best of a few passes, about 0.2 s.
 * 0 when there is not enough memory. */
double kern_probe_read_bytes_s(kern_context *context);
/* 8-bit multiply-adds a second, counted as two operations each, of the threads together: VPDPBUSD where the machine has it, else
 * PMADDUBSW, else 0. About 0.1 s. */
double kern_probe_dot8_ops_s(kern_context *context);


/* Attention as it is done without sparse features, as a control: one token over n_tokens keys and values of bfloat16, [kv_heads][n_tokens][d]
 * each, d a multiple of 32 up to 128, at most 16 query heads a KV head, softmax online, work divided over threads by tokens. out and query
 * are [n_heads][d]. False, and nothing done, on machines without AVX512-BF16 or without memory. */
bool kern_probe_dense16(kern_context *context, size_t n_heads, size_t n_kv_heads, size_t d, const uint16_t *keys, const uint16_t *values,
                        size_t n_tokens, const float *query, float *ret_out);

#endif
