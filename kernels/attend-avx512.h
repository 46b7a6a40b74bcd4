/* attend-avx512.h: what the AVX-512 files of attention share. Owns: exp of a vector; the names of their operations. */
#ifndef KERN_ATTEND_AVX512_H
#define KERN_ATTEND_AVX512_H

#include <immintrin.h>
#include "attend-ops.h"

#define AVX512_INLINE static inline __attribute__((always_inline))

/* exp(x) for x <= 0 within 1e-7 (relative) where x is small; 0 below 2^-126 and for NaN. Without the mask VSCALEFPS would make
 * numbers that underflow, at a hundred cycles each time. */
AVX512_INLINE __m512 avx512_exp(__m512 x)
{
    __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
    __mmask16 above = _mm512_cmp_ps_mask(t, _mm512_set1_ps(-126), _CMP_GT_OQ);
    __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm512_sub_ps(t, whole);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.00132764718f), r, _mm512_set1_ps(0.00967554133f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.0555071327f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.240221197f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.693146967f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.00000007f));
    return _mm512_maskz_scalef_ps(above, p, whole);
}

AVX512_INLINE __m512 avx512_half16(const uint16_t *h)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)h));
}

void kern_avx512_top_k(const float *row, size_t d, size_t k, uint8_t *ret_index, float *ret_value);
void kern_avx512_encode_key(const kern_kv_format *format, const float *row, uint8_t *ret_index, int8_t *ret_codes, uint16_t *ret_scale);
void kern_avx512_encode_query(const kern_kv_format *format, const float *row, int8_t *ret_table, float *ret_scale, float *ret_dense);
void kern_avx512_tile_expand(const kern_kv_format *format, kern_value_rows values, size_t n, void *tile, float *key_scale);
bool kern_avx512_tile_softmax(float *scores, const uint32_t *visible, size_t n_rows, const float *key_scale, float *max, float *sum,
                              float *keep, void *p);
void kern_avx512_tile_weights(const float *weights, size_t stride, size_t n, size_t n_rows, const float *key_scale, void *p);
void kern_avx512_tile_product(const void *p, const void *tile, size_t n_rows, size_t d, const float *keep, float *acc);
#endif
