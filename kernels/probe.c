/* probe.c: what the machine can do at most.
 *
 * Owns: the loops that reach the limits of memory and of the multipliers.
 * Does not own: anything that the engine runs.
 *
 * The instruction-rate loops carry target attributes of their own and are chosen by kern_isa_name, so that this file needs no flags.
 */
#include "kern-probe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { HUGE_PAGE_BYTES = 2 << 20, PROBE_PASSES = 4, PROBE_DOT_ROUNDS = 200000, PROBE_CHAINS = 12 };
static const size_t PROBE_BYTES = (size_t)256 << 20;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

typedef struct probe_read {
    const uint8_t *data;
    size_t n_bytes, n_parts;
    uint64_t *sums; /* keeps the reads from being left out */
} probe_read;

static void read_part(void *user, size_t index, unsigned thread)
{
    probe_read *probe = user;
    size_t n = probe->n_bytes / probe->n_parts / sizeof(uint64_t);
    const uint64_t *words = (const uint64_t *)(const void *)probe->data + index * n;
    uint64_t sums[8] = {0};
    for (size_t i = 0; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++) sums[j] ^= words[i + j];
    for (size_t j = 0; j < 8; j++) probe->sums[index] ^= sums[j];
}

double kern_probe_read_bytes_s(kern_context *context)
{
    kern_pool *pool = kern_context_pool(context);
    size_t n_parts = kern_pool_n_threads(pool);
    uint8_t *data = aligned_alloc(HUGE_PAGE_BYTES, PROBE_BYTES);
    probe_read probe = {.data = data, .n_bytes = PROBE_BYTES, .n_parts = n_parts, .sums = calloc(n_parts, sizeof(uint64_t))};
    double best = 0;
    if (data && probe.sums) {
        madvise(data, PROBE_BYTES, MADV_HUGEPAGE); /* as the limit of the memory, not of finding pages */
        memset(data, 1, PROBE_BYTES);
        for (int pass = 0; pass < PROBE_PASSES; pass++) {
            double start = now_s();
            kern_pool_run(pool, n_parts, read_part, &probe);
            double rate = (double)PROBE_BYTES / (now_s() - start);
            if (rate > best) best = rate;
        }
    }
    free(data);
    free(probe.sums);
    return best;
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) static int dot8_avx512(void)
{
    __m512i sums[PROBE_CHAINS], a = _mm512_set1_epi32(0x01020304), b = _mm512_set1_epi32(0x01010101);
    for (int i = 0; i < PROBE_CHAINS; i++) sums[i] = _mm512_setzero_si512();
    for (int round = 0; round < PROBE_DOT_ROUNDS; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < PROBE_CHAINS; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    }
    for (int i = 1; i < PROBE_CHAINS; i++) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    return _mm512_reduce_add_epi32(sums[0]);
}

__attribute__((target("avx2"))) static int dot8_avx2(void)
{
    __m256i sums[PROBE_CHAINS], a = _mm256_set1_epi32(0x01020304), b = _mm256_set1_epi32(0x01010101), ones = _mm256_set1_epi16(1);
    for (int i = 0; i < PROBE_CHAINS; i++) sums[i] = _mm256_setzero_si256();
    for (int round = 0; round < PROBE_DOT_ROUNDS; round++) {
        a = _mm256_xor_si256(a, ones);
#pragma GCC unroll 12
        for (int i = 0; i < PROBE_CHAINS; i++)
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, _mm256_xor_si256(b, sums[i])), ones));
    }
    for (int i = 1; i < PROBE_CHAINS; i++) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
    return _mm256_extract_epi32(sums[0], 0);
}

typedef struct probe_dot {
    int (*run)(void);
    volatile int sink;
} probe_dot;

static void dot_part(void *user, size_t index, unsigned thread)
{
    probe_dot *probe = user;
    int result = probe->run();
    if (index == 0) probe->sink = result;
}

double kern_probe_dot8_ops_s(kern_context *context)
{
    bool avx512 = !strcmp(kern_isa_name(), "avx512");
    if (!avx512 && strcmp(kern_isa_name(), "avx2") != 0) return 0;
    kern_pool *pool = kern_context_pool(context);
    size_t n_threads = kern_pool_n_threads(pool);
    probe_dot probe = {.run = avx512 ? dot8_avx512 : dot8_avx2};
    double best = 0, n_ops = 2.0 * (avx512 ? 64 : 32) * PROBE_CHAINS * PROBE_DOT_ROUNDS * (double)n_threads;
    for (int pass = 0; pass < PROBE_PASSES; pass++) {
        double start = now_s();
        kern_pool_run(pool, n_threads, dot_part, &probe);
        double rate = n_ops / (now_s() - start);
        if (rate > best) best = rate;
    }
    return best;
}
#else
double kern_probe_dot8_ops_s(kern_context *context) { return 0; }
#endif
