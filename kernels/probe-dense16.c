/* probe-dense16.c: dense attention over keys and values of bfloat16, the control that sparse attention is measured beside.
 *
 * Owns: one token's attention in the plain way: products by VDPBF16PS, an online softmax, values in float.
 * Does not own: anything that the engine runs.
 */
#include "kern-probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

enum { PART_TOKENS = 1024, GROUP_MAX = 16, BLOCK_TOKENS = 32, PART_FLOATS = KERN_HEAD_DIM_MAX + 2 /* acc, max, sum */ };

typedef struct dense16 {
    size_t group, d, n_tokens, n_parts;
    const uint16_t *keys, *values, *query; /* query: bfloat16 [n_heads][d], scaled */
    float *parts;                          /* [kv_head][part][group][PART_FLOATS] */
} dense16;

BF16_TARGET static float score(const uint16_t *key, const uint16_t *query, size_t d)
{
    __m512 sum = _mm512_setzero_ps();
    for (size_t f = 0; f < d; f += 32)
        sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(key + f), (__m512bh)_mm512_loadu_si512(query + f));
    return _mm512_reduce_add_ps(sum);
}

/* acc [d] = acc * keep + weights * values, for up to BLOCK_TOKENS tokens. */
BF16_TARGET static void add_values(const uint16_t *values, const float *weights, size_t n, size_t d, float keep, float *acc)
{
    __m512 sum[KERN_HEAD_DIM_MAX / 16];
    for (size_t i = 0; i < d / 16; i++) sum[i] = _mm512_mul_ps(_mm512_loadu_ps(acc + i * 16), _mm512_set1_ps(keep));
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < d / 16; i++) {
            __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(values + t * d + i * 16)));
            sum[i] = _mm512_fmadd_ps(_mm512_set1_ps(weights[t]), _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)), sum[i]);
        }
    for (size_t i = 0; i < d / 16; i++) _mm512_storeu_ps(acc + i * 16, sum[i]);
}

static void attend_part(void *user, size_t index, unsigned thread)
{
    const dense16 *job = user;
    size_t kv = index / job->n_parts, first = index % job->n_parts * PART_TOKENS, d = job->d;
    size_t n = job->n_tokens - first < PART_TOKENS ? job->n_tokens - first : PART_TOKENS;
    float *part = job->parts + index * job->group * PART_FLOATS;
    for (size_t g = 0; g < job->group; g++) {
        memset(part + g * PART_FLOATS, 0, PART_FLOATS * sizeof *part);
        part[g * PART_FLOATS + d] = -INFINITY;
    }
    for (size_t t = 0; t < n; t += BLOCK_TOKENS) {
        size_t here = n - t < BLOCK_TOKENS ? n - t : BLOCK_TOKENS, at = (kv * job->n_tokens + first + t) * d;
        for (size_t g = 0; g < job->group; g++) {
            float weights[BLOCK_TOKENS], *acc = part + g * PART_FLOATS, *max = acc + d, *sum = max + 1, before = *max, keep;
            for (size_t i = 0; i < here; i++) {
                weights[i] = score(job->keys + at + i * d, job->query + (kv * job->group + g) * d, d);
                if (weights[i] > *max) *max = weights[i];
            }
            keep = expf(before - *max);
            *sum *= keep;
            for (size_t i = 0; i < here; i++) *sum += weights[i] = expf(weights[i] - *max);
            add_values(job->values + at, weights, here, d, keep, acc);
        }
    }
}

static void merge_parts(const dense16 *job, size_t head, float *out)
{
    size_t kv = head / job->group, g = head % job->group;
    float max = -INFINITY, sum = 0;
    memset(out, 0, job->d * sizeof *out);
    for (size_t p = 0; p < job->n_parts; p++) max = fmaxf(max, job->parts[((kv * job->n_parts + p) * job->group + g) * PART_FLOATS + job->d]);
    for (size_t p = 0; p < job->n_parts; p++) {
        const float *part = job->parts + ((kv * job->n_parts + p) * job->group + g) * PART_FLOATS;
        float weight = expf(part[job->d] - max);
        sum += weight * part[job->d + 1];
        for (size_t f = 0; f < job->d; f++) out[f] += weight * part[f];
    }
    for (size_t f = 0; f < job->d; f++) out[f] /= sum;
}

bool kern_probe_dense16(kern_context *context, size_t n_heads, size_t n_kv_heads, size_t d, const uint16_t *keys, const uint16_t *values,
                        size_t n_tokens, const float *query, float *ret_out)
{
    size_t group = n_kv_heads ? n_heads / n_kv_heads : 0, n_parts = (n_tokens + PART_TOKENS - 1) / PART_TOKENS;
    if (strcmp(kern_isa_name(), "avx512") != 0 || !__builtin_cpu_supports("avx512bf16") || !group || group > GROUP_MAX || !n_tokens || d % 32 || d > KERN_HEAD_DIM_MAX) return false;
    uint16_t *rounded = malloc(n_heads * d * sizeof *rounded);
    float *parts = malloc(n_kv_heads * n_parts * group * PART_FLOATS * sizeof *parts);
    bool done = rounded && parts;
    if (done) {
        for (size_t i = 0; i < n_heads * d; i++) {
            float scaled = query[i] / sqrtf((float)d);
            uint32_t bits;
            memcpy(&bits, &scaled, sizeof bits);
            rounded[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
        }
        dense16 job = {.group = group, .d = d, .n_tokens = n_tokens, .n_parts = n_parts, .keys = keys, .values = values, .query = rounded,
                       .parts = parts};
        kern_pool_run(kern_context_pool(context), n_kv_heads * n_parts, attend_part, &job);
        for (size_t head = 0; head < n_heads; head++) merge_parts(&job, head, ret_out + head * d);
    }
    free(rounded);
    free(parts);
    return done;
}
#else
bool kern_probe_dense16(kern_context *context, size_t n_heads, size_t n_kv_heads, size_t d, const uint16_t *keys, const uint16_t *values,
                        size_t n_tokens, const float *query, float *ret_out)
{
    return false;
}
#endif
