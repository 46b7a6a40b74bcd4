/* tiles-avx512.c: a tile of values and its product with weights in bfloat16 (VDPBF16PS).
 *
 * Owns: the form of a tile between expand and product: values [32 pairs of tokens][d][2] bf16, weights [row][64] bf16.
 *       8-bit values are exact in it (their scale goes into the weights); products are summed in float.
 * Does not own: who is in the tile (attend-tiles.c, attend-scan.c).
 */
#include "attend-avx512.h"
#include "attend-generic.h"

enum { PAIRS = KERN_TILE_TOKENS / 2, ROWS = KERN_TILE_ROWS_MULTIPLE };

/* ------------------------------------------------------------------------------------------------------ values */

AVX512_INLINE __m512 q8_features(const uint8_t *row, size_t f)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(row + f))));
}

/* Two tokens' features in one vector of pairs; integers up to 256 are exact in bf16: the lower halves are zero. */
AVX512_INLINE __m512i join_exact(__m512 even, __m512 odd)
{
    return _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(even), 16), _mm512_castps_si512(odd));
}

static void expand_q8(size_t d, kern_value_rows values, size_t n, uint16_t *tile)
{
    for (size_t t = 0; t < n; t += 2) {
        const uint8_t *row = values.rows + t * d;
        for (size_t f = 0; f < d; f += 16) {
            __m512 even = q8_features(row, f), odd = t + 1 < n ? q8_features(row + d, f) : _mm512_setzero_ps();
            _mm512_storeu_si512(tile + t * d + f * 2, join_exact(even, odd));
        }
    }
}

/* A row of 4-bit values as float. */
AVX512_INLINE void q4_row(size_t d, size_t group, const uint8_t *row, const uint16_t *scales, __m512 *out)
{
    const __m512 nibbles = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    for (size_t f = 0; f < d; f += 16) {
        size_t at = f < d / 2 ? f : f - d / 2;
        __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(row + at)));
        if (f >= d / 2) wide = _mm512_srli_epi32(wide, 4);
        __m512 scale = _mm512_set1_ps(_cvtsh_ss(scales[f / group]));
        out[f / 16] = _mm512_mul_ps(_mm512_permutexvar_ps(wide, nibbles), scale);
    }
}

AVX512_INLINE void expand_q4(size_t d, size_t group, kern_value_rows values, size_t n, uint16_t *tile)
{
    const __m512i weave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18,
                                           2, 17, 1, 16, 0);
    size_t n_scales = d / group;
    __m512 even[KERN_HEAD_DIM_MAX / 16], odd[KERN_HEAD_DIM_MAX / 16];
    for (size_t t = 0; t < n; t += 2) {
        q4_row(d, group, values.rows + t * (d / 2), values.scales + t * n_scales, even);
        if (t + 1 < n) q4_row(d, group, values.rows + (t + 1) * (d / 2), values.scales + (t + 1) * n_scales, odd);
        for (size_t i = 0; i < d / 16; i++) {
            __m512 second = t + 1 < n ? odd[i] : _mm512_setzero_ps();
            __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, even[i]);
            _mm512_storeu_si512(tile + t * d + i * 32, _mm512_permutexvar_epi16(weave, both));
        }
    }
}

void kern_avx512_tile_expand(const kern_kv_format *format, kern_value_rows values, size_t n, void *tile, float *key_scale)
{
    size_t d = format->d;
    bool eight = format->value_type == KERN_VALUE_Q8;
    if (eight) expand_q8(d, values, n, tile);
    else if (d == 128 && format->value_group == 32) expand_q4(128, 32, values, n, tile);
    else expand_q4(d, format->value_group, values, n, tile);
    size_t pairs = (n + 1) / 2;
    memset((uint16_t *)tile + pairs * 2 * d, 0, (PAIRS - pairs) * 2 * d * sizeof(uint16_t));
    for (size_t t = 0; t < KERN_TILE_TOKENS; t++) key_scale[t] = eight ? t < n ? _cvtsh_ss(values.scales[t]) : 0 : 1;
}

/* ------------------------------------------------------------------------------------------------------ weights */

enum { TILE_VECTORS = KERN_TILE_TOKENS / 16 };

AVX512_INLINE void store_weights(const __m512 w[TILE_VECTORS], const __m512 scale[TILE_VECTORS], uint16_t *p)
{
    for (size_t i = 0; i < TILE_VECTORS; i += 2) {
        __m512i both = (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(w[i + 1], scale[i + 1]), _mm512_mul_ps(w[i], scale[i]));
        _mm512_storeu_si512(p + i * 16, both);
    }
}

static void clear_padding(size_t n_rows, uint16_t *p)
{
    size_t missing = (ROWS - n_rows % ROWS) % ROWS;
    memset(p + n_rows * KERN_TILE_TOKENS, 0, missing * KERN_TILE_TOKENS * sizeof *p);
}

void kern_avx512_tile_weights(const float *weights, size_t stride, size_t n_rows, const float *key_scale, void *p)
{
    __m512 scale[TILE_VECTORS], w[TILE_VECTORS];
    for (size_t i = 0; i < TILE_VECTORS; i++) scale[i] = _mm512_loadu_ps(key_scale + i * 16);
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t i = 0; i < TILE_VECTORS; i++) w[i] = _mm512_loadu_ps(weights + r * stride + i * 16);
        store_weights(w, scale, (uint16_t *)p + r * KERN_TILE_TOKENS);
    }
    clear_padding(n_rows, p);
}

AVX512_INLINE __mmask16 seen_mask(uint32_t visible, size_t vector)
{
    uint64_t seen = visible >= 64 ? ~0ull : (1ull << visible) - 1;
    return (__mmask16)(seen >> (16 * vector));
}

bool kern_avx512_tile_softmax(float *scores, const uint32_t *visible, size_t n_rows, const float *key_scale, float *max, float *sum,
                              float *keep, void *p)
{
    __m512 scale[TILE_VECTORS];
    const __m512 hidden = _mm512_set1_ps(-INFINITY);
    bool changed = false;
    for (size_t i = 0; i < TILE_VECTORS; i++) scale[i] = _mm512_loadu_ps(key_scale + i * 16);
    for (size_t r = 0; r < n_rows; r++) {
        __m512 w[TILE_VECTORS], most = hidden;
        for (size_t i = 0; i < TILE_VECTORS; i++) {
            w[i] = _mm512_mask_loadu_ps(hidden, seen_mask(visible[r], i), scores + r * KERN_TILE_TOKENS + i * 16);
            most = _mm512_max_ps(w[i], most);
        }
        float here = _mm512_reduce_max_ps(most), before = max[r];
        keep[r] = 1;
        if (here > before) {
            keep[r] = expf(before - here);
            max[r] = here;
            changed = true;
        }
        /* nothing seen yet: any finite maximum gives weights of 0 */
        __m512 base = _mm512_set1_ps(max[r] == -INFINITY ? 0 : max[r]), total = _mm512_setzero_ps();
        for (size_t i = 0; i < TILE_VECTORS; i++) {
            w[i] = avx512_exp(_mm512_sub_ps(w[i], base));
            total = _mm512_add_ps(total, w[i]);
        }
        sum[r] = sum[r] * keep[r] + _mm512_reduce_add_ps(total);
        store_weights(w, scale, (uint16_t *)p + r * KERN_TILE_TOKENS);
    }
    clear_padding(n_rows, p);
    return changed;
}

/* ------------------------------------------------------------------------------------------------------ product */

AVX512_INLINE __m512 dot_pairs(__m512 sum, __m512i values, int weights)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)values, (__m512bh)_mm512_set1_epi32(weights));
}

/* Six rows by N vectors of features. */
AVX512_INLINE void product_part(const uint16_t *p, const uint16_t *tile, size_t d, size_t f, size_t n, const float *keep, float *acc)
{
    __m512 sum[ROWS][4];
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < n; i++) sum[r][i] = _mm512_loadu_ps(acc + r * d + f + i * 16);
        if (!keep) continue;
        for (size_t i = 0; i < n; i++) sum[r][i] = _mm512_mul_ps(sum[r][i], _mm512_set1_ps(keep[r]));
    }
    for (size_t pair = 0; pair < PAIRS; pair++) {
        __m512i values[4];
        for (size_t i = 0; i < n; i++) values[i] = _mm512_loadu_si512(tile + (pair * d + f + i * 16) * 2);
        for (size_t r = 0; r < ROWS; r++) {
            int weights;
            memcpy(&weights, p + r * KERN_TILE_TOKENS + pair * 2, sizeof weights);
            for (size_t i = 0; i < n; i++) sum[r][i] = dot_pairs(sum[r][i], values[i], weights);
        }
    }
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < n; i++) _mm512_storeu_ps(acc + r * d + f + i * 16, sum[r][i]);
}

void kern_avx512_tile_product(const void *p, const void *tile, size_t n_rows, size_t d, const float *keep, float *acc)
{
    for (size_t r = 0; r < n_rows; r += ROWS) {
        const uint16_t *weights = (const uint16_t *)p + r * KERN_TILE_TOKENS;
        const float *factors = keep ? keep + r : NULL;
        size_t f = 0;
        for (; f + 64 <= d; f += 64) product_part(weights, tile, d, f, 4, factors, acc + r * d);
        for (; f < d; f += 16) product_part(weights, tile, d, f, 1, factors, acc + r * d);
    }
}
