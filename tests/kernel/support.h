/* support.h: what the kernels' tests share.
 *
 * Owns: reproducible numbers, aligned memory, a loop over instruction sets. Does not own: any expectation.
 */
#ifndef TEST_KERNEL_SUPPORT_H
#define TEST_KERNEL_SUPPORT_H

#include "kern.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static inline uint64_t test_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Uniform in -1 .. 1. */
static inline float test_random_float(uint64_t *state)
{
    return (float)(int32_t)(test_random(state) >> 32) * 0x1p-31f;
}

/* Zeroed, KERN_ALIGN_BYTES aligned; exactly as long as asked, rounded up to the alignment. */
static inline void *test_alloc(size_t bytes)
{
    size_t rounded = (bytes + KERN_ALIGN_BYTES) / KERN_ALIGN_BYTES * KERN_ALIGN_BYTES;
    void *data = aligned_alloc(KERN_ALIGN_BYTES, rounded);
    assert_non_null(data);
    memset(data, 0, rounded);
    return data;
}

static inline float *test_random_floats(uint64_t *state, size_t n)
{
    float *values = test_alloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = test_random_float(state);
    return values;
}

static inline kern_context *test_context(unsigned n_threads)
{
    kern_context *context = NULL;
    assert_int_equal(kern_context_new(n_threads, false, &context), KERN_OK);
    return context;
}

#endif
