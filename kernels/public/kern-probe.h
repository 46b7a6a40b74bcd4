/* kern-probe.h: what the machine can do at most, measured beside the kernels' own figures.
 *
 * Owns: probes of memory bandwidth and of the rate of 8-bit multiply-adds, on a context's threads.
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

#endif
