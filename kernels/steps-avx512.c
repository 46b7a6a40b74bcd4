/* steps-avx512.c: rows of RMS norm and SwiGLU with AVX-512.
 *
 * Owns: their inner loops. Does not own: meaning (linear-portable.c).
 */
#include "linear.h"

#include <immintrin.h>
#include <math.h>

static inline __mmask16 lanes_left(size_t n)
{
    return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
}

void kern_rms_norm_row_avx512(const float *x, const float *weight, float eps, size_t n_cols, float *out)
{
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    for (size_t i = 0; i < n_cols; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(lanes_left(n_cols - i), x + i);
        __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(v)), b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
        low = _mm512_fmadd_pd(a, a, low);
        high = _mm512_fmadd_pd(b, b, high);
    }
    double sum = _mm512_reduce_add_pd(_mm512_add_pd(low, high));
    __m512 factor = _mm512_set1_ps((float)(1.0 / sqrt(sum / (double)n_cols + (double)eps)));
    for (size_t i = 0; i < n_cols; i += 16) {
        __mmask16 lanes = lanes_left(n_cols - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + i), factor);
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(lanes, weight + i)));
    }
}

/* e^v to within 2 units in the last place: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes' coefficients);
 * scalef goes to zero and infinity as it should. */
static inline __m512 exp_ps(__m512 v)
{
    v = _mm512_min_ps(_mm512_set1_ps(128.0f), _mm512_max_ps(_mm512_set1_ps(-128.0f), v));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(v, _mm512_set1_ps(0x1.715476p+0f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), v);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, _mm512_add_ps(r, _mm512_set1_ps(1.0f)));
    return _mm512_scalef_ps(p, n);
}

void kern_swiglu_row_avx512(float *gate, const float *up, size_t n_cols)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    for (size_t i = 0; i < n_cols; i += 16) {
        __mmask16 lanes = lanes_left(n_cols - i);
        __m512 g = _mm512_maskz_loadu_ps(lanes, gate + i);
        __m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), g));
        __m512 silu = _mm512_div_ps(g, _mm512_add_ps(one, e));
        _mm512_mask_storeu_ps(gate + i, lanes, _mm512_mul_ps(silu, _mm512_maskz_loadu_ps(lanes, up + i)));
    }
}
