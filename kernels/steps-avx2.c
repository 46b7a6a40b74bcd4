/* steps-avx2.c: rows of RMS norm and SwiGLU with AVX2 and FMA.
 *
 * Owns: their inner loops. Does not own: meaning (linear-portable.c).
 */
#include "linear.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

/* n of 8 values, the rest zero. */
static inline __m256 load_some(const float *from, size_t n)
{
    float few[8] = {0};
    if (n < 8) from = memcpy(few, from, n * sizeof *few);
    return _mm256_loadu_ps(from);
}

static inline void store_some(float *to, size_t n, __m256 v)
{
    if (n >= 8) {
        _mm256_storeu_ps(to, v);
        return;
    }
    float few[8];
    _mm256_storeu_ps(few, v);
    memcpy(to, few, n * sizeof *few);
}

void kern_rms_norm_row_avx2(const float *x, const float *weight, float eps, size_t n_cols, float *out)
{
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    for (size_t i = 0; i < n_cols; i += 8) {
        __m256 v = load_some(x + i, n_cols - i);
        __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(v)), b = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
        low = _mm256_fmadd_pd(a, a, low);
        high = _mm256_fmadd_pd(b, b, high);
    }
    double parts[4];
    _mm256_storeu_pd(parts, _mm256_add_pd(low, high));
    double sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    __m256 factor = _mm256_set1_ps((float)(1.0 / sqrt(sum / (double)n_cols + (double)eps)));
    for (size_t i = 0; i < n_cols; i += 8) {
        __m256 v = _mm256_mul_ps(load_some(x + i, n_cols - i), factor);
        store_some(out + i, n_cols - i, _mm256_mul_ps(v, load_some(weight + i, n_cols - i)));
    }
}

/* e^v to within 2 units in the last place for |v| <= 88: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes'
 * coefficients). Beyond, e^88 and e^-88 serve SwiGLU as well as the exact value: 1 + e^-88 = 1. NaN stays NaN. */
static inline __m256 exp_ps(__m256 v)
{
    v = _mm256_min_ps(_mm256_set1_ps(88.0f), _mm256_max_ps(_mm256_set1_ps(-87.0f), v));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(v, _mm256_set1_ps(0x1.715476p+0f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), v);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_fmadd_ps(_mm256_mul_ps(p, r), r, _mm256_add_ps(r, _mm256_set1_ps(1.0f)));
    __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

void kern_swiglu_row_avx2(float *gate, const float *up, size_t n_cols)
{
    const __m256 one = _mm256_set1_ps(1.0f);
    for (size_t i = 0; i < n_cols; i += 8) {
        __m256 g = load_some(gate + i, n_cols - i);
        __m256 e = exp_ps(_mm256_sub_ps(_mm256_setzero_ps(), g));
        __m256 silu = _mm256_div_ps(g, _mm256_add_ps(one, e));
        store_some(gate + i, n_cols - i, _mm256_mul_ps(silu, load_some(up + i, n_cols - i)));
    }
}
