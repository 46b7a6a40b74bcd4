/* attend-avx2.h: what the AVX2 files of attention share. Owns: exp and folds of a vector, features of value rows. */
#ifndef KERN_ATTEND_AVX2_H
#define KERN_ATTEND_AVX2_H

#include <immintrin.h>
#include "attend-ops.h"

#define AVX2_INLINE static inline __attribute__((always_inline))

/* exp(x) for x <= 0 within 1e-7 (relative) where x is small; 0 below 2^-126 and for NaN. */
AVX2_INLINE __m256 avx2_exp(__m256 x)
{
    const __m256 least = _mm256_set1_ps(-126);
    __m256 t = _mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), above = _mm256_cmp_ps(t, least, _CMP_GT_OQ);
    t = _mm256_max_ps(t, least);
    __m256 whole = _mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm256_sub_ps(t, whole);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(0.00132764718f), r, _mm256_set1_ps(0.00967554133f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.0555071327f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.240221197f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.693146967f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.00000007f));
    __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
    return _mm256_and_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(power)), above);
}

AVX2_INLINE float avx2_reduce_add(__m256 x)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

AVX2_INLINE float avx2_reduce_max(__m256 x)
{
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

/* Features [f, f + 8) of a value row, without its scale. */
AVX2_INLINE __m256 avx2_features(kern_value_type type, const uint8_t *row, size_t d, size_t f)
{
    switch (type) {
    case KERN_VALUE_Q4: {
        bool upper = f >= d / 2;
        __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(row + (upper ? f - d / 2 : f))));
        __m256i nibble = upper ? _mm256_srli_epi32(wide, 4) : _mm256_and_si256(wide, _mm256_set1_epi32(15));
        return _mm256_cvtepi32_ps(_mm256_sub_epi32(nibble, _mm256_set1_epi32(8)));
    }
    case KERN_VALUE_Q8: return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(row + f))));
    case KERN_VALUE_F16: return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(row + 2 * f)));
    case KERN_VALUE_F32: return _mm256_loadu_ps((const float *)(const void *)row + f);
    }
    return _mm256_setzero_ps();
}

void kern_avx2_tile_expand(const kern_kv_format *format, kern_value_rows values, size_t n, void *tile, float *key_scale);
bool kern_avx2_tile_softmax(float *scores, const uint32_t *visible, size_t n_rows, const float *key_scale, float *max, float *sum, float *keep,
                            void *p);
void kern_avx2_tile_product(const void *p, const void *tile, size_t n_rows, size_t d, const float *keep, float *acc);
#endif
