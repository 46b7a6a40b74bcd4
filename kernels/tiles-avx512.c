/* tiles-avx512.c: a tile of values and its product with weights in 8-bit integers (VPDPBUSD).
 *
 * Owns: the form of a tile between expand and product. Values: [16 quads of tokens][d][4] s8; 8-bit values are
 *       exact in it (their scales go into the weights), 4-bit values get a common scale a token. Weights: [row][64] u8, then a factor a
 *       row.
 * Does not own: who is in the tile (attend-tiles.c, attend-scan.c).
 *
 * What a row gives a token is rounded as weight times the token's scale, in parts of 1/255 of the row's largest in the tile: so a row's
 * running reference is its largest weight * scale, not its largest weight. Rounding goes up or down by a threshold of each token's place
 * in the tile, all 64 different: what it takes from some tokens it gives to others, and many small weights beside a large one keep
 * their sum. 0 and the largest are exact.
 */
#include "attend-avx512.h"
#include "attend-generic.h"

#include <float.h>

enum { QUADS = KERN_TILE_TOKENS / 4, ROWS = KERN_TILE_ROWS_MULTIPLE, TILE_VECTORS = KERN_TILE_TOKENS / 16, WEIGHT_TOP = 255 };

/* Where the packing of weights leaves a quad of tokens. */
static inline size_t quad_place(size_t quad) { return quad % 4 * 4 + quad / 4; }

static inline float *row_factors(void *p, size_t n_rows)
{
    return (float *)(void *)((uint8_t *)p + (n_rows + ROWS - 1) / ROWS * ROWS * KERN_TILE_TOKENS);
}

/* ------------------------------------------------------------------------------------------------------ values */

/* Four tokens' bytes side by side, 64 features. */
AVX512_INLINE void weave_64(__m512i a, __m512i b, __m512i c, __m512i d, uint8_t *out)
{
    const __m512i turn = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); /* undoes what unpacking by lanes does */
    a = _mm512_permutexvar_epi32(turn, a), b = _mm512_permutexvar_epi32(turn, b);
    c = _mm512_permutexvar_epi32(turn, c), d = _mm512_permutexvar_epi32(turn, d);
    __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
    __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
    _mm512_storeu_si512(out, _mm512_unpacklo_epi16(ab_low, cd_low));
    _mm512_storeu_si512(out + 64, _mm512_unpackhi_epi16(ab_low, cd_low));
    _mm512_storeu_si512(out + 128, _mm512_unpacklo_epi16(ab_high, cd_high));
    _mm512_storeu_si512(out + 192, _mm512_unpackhi_epi16(ab_high, cd_high));
}

/* Four rows of d bytes, of which n exist. */
AVX512_INLINE void weave_rows(const uint8_t *rows, size_t stride, size_t n, size_t d, uint8_t *out)
{
    static const uint8_t none[KERN_HEAD_DIM_MAX];
    const uint8_t *row[4];
    for (size_t t = 0; t < 4; t++) row[t] = t < n ? rows + t * stride : none;
    size_t f = 0;
    for (; f + 64 <= d; f += 64)
        weave_64(_mm512_loadu_si512(row[0] + f), _mm512_loadu_si512(row[1] + f), _mm512_loadu_si512(row[2] + f), _mm512_loadu_si512(row[3] + f),
                 out + f * 4);
    for (; f < d; f++)
        for (size_t t = 0; t < 4; t++) out[f * 4 + t] = row[t][f];
}

/* A token's scales of 4-bit groups as multiples of what its codes of 8 bits stand for, which is returned. */
AVX512_INLINE float q4_ratios(const uint16_t *scales, size_t n_scales, float *ret_ratios)
{
    float most = 0;
    for (size_t g = 0; g < n_scales; g++) {
        ret_ratios[g] = _cvtsh_ss(scales[g]);
        most = ret_ratios[g] > most ? ret_ratios[g] : most;
    }
    float unit = most * (7.0f / 126);
    for (size_t g = 0; g < n_scales; g++) ret_ratios[g] = unit > 0 ? ret_ratios[g] / unit : 0;
    return unit;
}

/* 4-bit rows of 128 features in groups of 32: codes of all sixteen nibbles for each group, looked up. */
AVX512_INLINE float q4_codes_128(const uint8_t *row, const uint16_t *scales, uint8_t *out)
{
    const __m512 nibbles = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    const __m512i turn = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), low_bits = _mm512_set1_epi8(15);
    __m128 scale = _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(const void *)scales));
    __m128 most = _mm_max_ps(scale, _mm_shuffle_ps(scale, scale, _MM_SHUFFLE(2, 3, 0, 1)));
    most = _mm_max_ps(_mm_max_ps(most, _mm_shuffle_ps(most, most, _MM_SHUFFLE(1, 0, 3, 2))), _mm_set1_ps(1e-30f));
    __m128 unit = _mm_mul_ps(most, _mm_set1_ps(7.0f / 126));
    __m512 ratio = _mm512_castps128_ps512(_mm_div_ps(scale, unit));
    __m512i codes[4];
    for (int g = 0; g < 4; g++)
        codes[g] = _mm512_cvtps_epi32(_mm512_mul_ps(nibbles, _mm512_permutexvar_ps(_mm512_set1_epi32(g), ratio)));
    __m512i packed = _mm512_packs_epi16(_mm512_packs_epi32(codes[0], codes[1]), _mm512_packs_epi32(codes[2], codes[3]));
    __m512i tables = _mm512_permutexvar_epi32(turn, packed), bytes = _mm512_loadu_si512(row);
    __m512i low = _mm512_shuffle_i64x2(tables, tables, _MM_SHUFFLE(1, 1, 0, 0)), high = _mm512_shuffle_i64x2(tables, tables, _MM_SHUFFLE(3, 3, 2, 2));
    _mm512_storeu_si512(out, _mm512_shuffle_epi8(low, _mm512_and_si512(bytes, low_bits)));
    _mm512_storeu_si512(out + 64, _mm512_shuffle_epi8(high, _mm512_and_si512(_mm512_srli_epi16(bytes, 4), low_bits)));
    return _mm_cvtss_f32(unit);
}

static float q4_codes_any(size_t d, size_t group, const uint8_t *row, const uint16_t *scales, uint8_t *out)
{
    float ratios[KERN_HEAD_DIM_MAX];
    float unit = q4_ratios(scales, d / group, ratios);
    for (size_t f = 0; f < d; f++) {
        int nibble = f < d / 2 ? row[f] & 15 : row[f - d / 2] >> 4;
        out[f] = (uint8_t)(int8_t)lrintf(fmaxf(-127, fminf(127, (float)(nibble - 8) * ratios[f / group])));
    }
    return unit;
}

static void expand_q4(const kern_kv_format *format, kern_value_rows values, size_t n, uint8_t *tile, float *scales)
{
    size_t d = format->d, n_scales = kern_kv_value_n_scales(format);
    bool usual = d == 128 && format->value_group == 32;
    uint8_t codes[4 * KERN_HEAD_DIM_MAX];
    for (size_t t = 0; t < n; t += 4) {
        size_t here = n - t < 4 ? n - t : 4;
        for (size_t i = 0; i < here; i++) {
            const uint8_t *row = values.rows + (t + i) * (d / 2);
            const uint16_t *of_row = values.scales + (t + i) * n_scales;
            scales[t + i] = usual ? q4_codes_128(row, of_row, codes + i * d) : q4_codes_any(d, format->value_group, row, of_row, codes + i * d);
        }
        weave_rows(codes, d, here, d, tile + quad_place(t / 4) * 4 * d);
    }
}

static void expand_q8(size_t d, kern_value_rows values, size_t n, uint8_t *tile, float *scales)
{
    for (size_t t = 0; t < n; t += 4) weave_rows(values.rows + t * d, d, n - t, d, tile + quad_place(t / 4) * 4 * d);
    for (size_t t = 0; t < n; t++) scales[t] = _cvtsh_ss(values.scales[t]);
}

/* The natural logarithm within 1e-5, of numbers above 0. */
AVX512_INLINE __m512 log_scales(__m512 x)
{
    __m512 m = _mm512_sub_ps(_mm512_getmant_ps(x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src), _mm512_set1_ps(1));
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.0321518875f), m, _mm512_set1_ps(-0.136043761f));
    p = _mm512_fmadd_ps(p, m, _mm512_set1_ps(0.289455354f));
    p = _mm512_fmadd_ps(p, m, _mm512_set1_ps(-0.491900789f));
    p = _mm512_fmadd_ps(p, m, _mm512_set1_ps(0.999494402f));
    return _mm512_fmadd_ps(_mm512_getexp_ps(x), _mm512_set1_ps(0.693147181f), _mm512_mul_ps(p, m));
}

void kern_avx512_tile_expand(const kern_kv_format *format, kern_value_rows values, size_t n, void *tile, float *key_scale)
{
    size_t d = format->d;
    if (format->value_type == KERN_VALUE_Q8) expand_q8(d, values, n, tile, key_scale);
    else expand_q4(format, values, n, tile, key_scale);
    for (size_t t = n; t < KERN_TILE_TOKENS; t++) key_scale[t] = 0;
    for (size_t quad = (n + 3) / 4; quad < QUADS; quad++) memset((uint8_t *)tile + quad_place(quad) * 4 * d, 0, 4 * d);
    for (size_t i = 0; i < KERN_TILE_TOKENS; i += 16) {
        __m512 scale = _mm512_loadu_ps(key_scale + i), zero = _mm512_setzero_ps();
        __mmask16 positive = _mm512_cmp_ps_mask(scale, zero, _CMP_GT_OQ);
        _mm512_storeu_ps(key_scale + i, _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), positive, log_scales(scale)));
        _mm512_storeu_ps(key_scale + KERN_TILE_TOKENS + i, _mm512_maskz_div_ps(positive, _mm512_set1_ps(1), scale));
    }
}

/* ------------------------------------------------------------------------------------------------------ weights */

enum { SOFTMAX_ROWS = 4 };
static const float LOG2_E = 1.44269504f;
static const float NEGLIGIBLE = 30; /* binary digits below the largest weight so far: 64 of them are a float's last digit */

/* Thresholds (bit-reversed token + 1/2) / 64. */
#define REV4(x) (((x) & 1) << 3 | ((x) & 2) << 1 | ((x) & 4) >> 1 | ((x) & 8) >> 3)
#define THRESHOLD(v, l) ((float)(REV4(l) * 4 + (((v) & 1) << 1 | (v) >> 1)) + 0.5f) / 64
#define THRESHOLDS(v)                                                                                                                      \
    {                                                                                                                                      \
        THRESHOLD(v, 0), THRESHOLD(v, 1), THRESHOLD(v, 2), THRESHOLD(v, 3), THRESHOLD(v, 4), THRESHOLD(v, 5), THRESHOLD(v, 6),             \
            THRESHOLD(v, 7), THRESHOLD(v, 8), THRESHOLD(v, 9), THRESHOLD(v, 10), THRESHOLD(v, 11), THRESHOLD(v, 12), THRESHOLD(v, 13),     \
            THRESHOLD(v, 14), THRESHOLD(v, 15),                                                                                            \
    }
static const _Alignas(64) float THRESHOLD_OF[TILE_VECTORS][16] = {THRESHOLDS(0), THRESHOLDS(1), THRESHOLDS(2), THRESHOLDS(3)};

/* 64 numbers from 0 to 1 in parts of 255, as bytes in the order of quad_place. */
AVX512_INLINE void store_weights(const __m512 w[TILE_VECTORS], uint8_t *p)
{
    __m512i parts[TILE_VECTORS];
    for (size_t i = 0; i < TILE_VECTORS; i++)
        parts[i] = _mm512_cvttps_epi32(_mm512_fmadd_ps(w[i], _mm512_set1_ps(WEIGHT_TOP), _mm512_load_ps(THRESHOLD_OF[i])));
    _mm512_storeu_si512(p, _mm512_packus_epi16(_mm512_packus_epi32(parts[0], parts[1]), _mm512_packus_epi32(parts[2], parts[3])));
}

static void clear_padding(size_t n_rows, uint8_t *p, float *factors)
{
    size_t missing = (ROWS - n_rows % ROWS) % ROWS;
    memset(p + n_rows * KERN_TILE_TOKENS, 0, missing * KERN_TILE_TOKENS);
    for (size_t r = n_rows; r < n_rows + missing; r++) factors[r] = 0;
}

AVX512_INLINE __mmask16 seen_mask(uint32_t visible, size_t vector)
{
    uint64_t seen = visible >= 64 ? ~0ull : (1ull << visible) - 1;
    return (__mmask16)(seen >> (16 * vector));
}

void kern_avx512_tile_weights(const float *weights, size_t stride, size_t n, size_t n_rows, const float *key_scale, void *p)
{
    __m512 scale[TILE_VECTORS], w[TILE_VECTORS];
    float *factors = row_factors(p, n_rows);
    for (size_t i = 0; i < TILE_VECTORS; i++) {
        __m512 inverse = _mm512_loadu_ps(key_scale + KERN_TILE_TOKENS + i * 16);
        scale[i] = _mm512_maskz_div_ps(_mm512_cmp_ps_mask(inverse, _mm512_setzero_ps(), _CMP_GT_OQ), _mm512_set1_ps(1), inverse);
    }
    for (size_t r = 0; r < n_rows; r++) {
        __m512 most = _mm512_setzero_ps();
        for (size_t i = 0; i < TILE_VECTORS; i++) {
            w[i] = _mm512_mul_ps(scale[i], _mm512_maskz_loadu_ps(seen_mask((uint32_t)n, i), weights + r * stride + i * 16));
            most = _mm512_max_ps(w[i], most);
        }
        float top = _mm512_reduce_max_ps(most);
        factors[r] = top / WEIGHT_TOP;
        __m512 relative = _mm512_set1_ps(top > FLT_MIN ? 1 / top : 0);
        for (size_t i = 0; i < TILE_VECTORS; i++) w[i] = _mm512_min_ps(_mm512_mul_ps(w[i], relative), _mm512_set1_ps(1));
        store_weights(w, (uint8_t *)p + r * KERN_TILE_TOKENS);
    }
    clear_padding(n_rows, p, factors);
}

/* 2^x for x <= 0 within 3e-6 (relative); 2^-126 below that and for NaN: smaller numbers would cost a hundred cycles each. */
AVX512_INLINE __m512 exp2_weights(__m512 x)
{
    x = _mm512_max_ps(x, _mm512_set1_ps(-126));
    __m512 r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.0134266843f), r, _mm512_set1_ps(0.0522424742f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.241280205f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.693044845f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    return _mm512_scalef_ps(p, x); /* by the whole part */
}

/* Four vectors' lanes folded together: result i in lane i. */
#define FOLD_4(name, op, op_128)                                                                                                           \
    AVX512_INLINE __m128 name(const __m512 x[SOFTMAX_ROWS])                                                                                \
    {                                                                                                                                      \
        __m512 a = op(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1]));                                                     \
        __m512 b = op(_mm512_unpacklo_ps(x[2], x[3]), _mm512_unpackhi_ps(x[2], x[3]));                                                     \
        __m512 c = op(_mm512_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 1, 0)), _mm512_shuffle_ps(a, b, _MM_SHUFFLE(3, 2, 3, 2)));                 \
        c = op(c, _mm512_shuffle_f32x4(c, c, _MM_SHUFFLE(1, 0, 3, 2)));                                                                    \
        return op_128(_mm512_castps512_ps128(c), _mm512_extractf32x4_ps(c, 1));                                                            \
    }
FOLD_4(fold_max, _mm512_max_ps, _mm_max_ps)
FOLD_4(fold_sum, _mm512_add_ps, _mm_add_ps)

/* Of four rows: what their running sums become, and the scale of their weights in this tile. */
typedef struct tile_rows {
    __m128 tile_max, max, keep, factor;
    __m128 factor_of_values; /* 0 where they are negligible beside what is there */
    bool changed;
} tile_rows;

AVX512_INLINE tile_rows scale_rows(__m128 tile_max, __m128 before)
{
    const __m128 none = _mm_set1_ps(-INFINITY), one = _mm_set1_ps(1), log2_e = _mm_set1_ps(LOG2_E);
    tile_rows rows = {.tile_max = tile_max, .max = _mm_max_ps(tile_max, before)};
    __mmask8 larger = _mm_cmp_ps_mask(tile_max, before, _CMP_GT_OQ), seen = _mm_cmp_ps_mask(tile_max, none, _CMP_GT_OQ);
    __m128 below = _mm_mul_ps(_mm_sub_ps(before, rows.max), log2_e), depth = _mm_mul_ps(_mm_sub_ps(tile_max, rows.max), log2_e);
    __m512 both = exp2_weights(_mm512_castps256_ps512(_mm256_set_m128(depth, below)));
    rows.changed = larger & 15;
    rows.keep = _mm_mask_mov_ps(one, larger, _mm512_castps512_ps128(both));
    rows.factor = _mm_maskz_mov_ps(seen, _mm512_extractf32x4_ps(both, 1));
    rows.factor_of_values = _mm_maskz_mov_ps(seen & _mm_cmp_ps_mask(depth, _mm_set1_ps(-NEGLIGIBLE), _CMP_GT_OQ), rows.factor);
    return rows;
}

/* keys: of 16 tokens each, the logarithm of their scale and its inverse. */
typedef struct tile_keys {
    __m512 log_scale[TILE_VECTORS], inverse[TILE_VECTORS];
} tile_keys;

AVX512_INLINE bool softmax_rows(const float *scores, const uint32_t *visible, size_t n, bool all_seen, const tile_keys *keys, float *max, float *sum,
                                float *keep, uint8_t *p, float *factors)
{
    const __m512 hidden = _mm512_set1_ps(-INFINITY), log2_e = _mm512_set1_ps(LOG2_E);
    __m512 x[SOFTMAX_ROWS][TILE_VECTORS], most[SOFTMAX_ROWS], total[SOFTMAX_ROWS];
    __mmask8 exist = (__mmask8)((1u << n) - 1);
    for (size_t r = 0; r < SOFTMAX_ROWS; r++) {
        most[r] = hidden;
        for (size_t i = 0; i < TILE_VECTORS && r < n; i++) {
            const float *from = scores + r * KERN_TILE_TOKENS + i * 16;
            x[r][i] = all_seen ? _mm512_loadu_ps(from) : _mm512_mask_loadu_ps(hidden, seen_mask(visible[r], i), from);
            x[r][i] = _mm512_add_ps(x[r][i], keys->log_scale[i]);
            most[r] = _mm512_max_ps(x[r][i], most[r]);
        }
    }
    tile_rows rows = scale_rows(fold_max(most), _mm_maskz_loadu_ps(exist, max));
    _Alignas(16) float tops[SOFTMAX_ROWS];
    _mm_mask_storeu_ps(keep, exist, rows.keep);
    _mm_mask_storeu_ps(max, exist, rows.max);
    _mm_mask_storeu_ps(factors, exist, _mm_mul_ps(rows.factor_of_values, _mm_set1_ps(1.0f / WEIGHT_TOP)));
    _mm_store_ps(tops, _mm_mul_ps(_mm_max_ps(rows.tile_max, _mm_set1_ps(-FLT_MAX / 2)), _mm_set1_ps(LOG2_E)));
    for (size_t r = 0; r < SOFTMAX_ROWS; r++) {
        total[r] = _mm512_setzero_ps();
        if (r >= n) continue;
        __m512 top = _mm512_set1_ps(tops[r]);
        for (size_t i = 0; i < TILE_VECTORS; i++) {
            x[r][i] = exp2_weights(_mm512_fmsub_ps(x[r][i], log2_e, top));
            total[r] = _mm512_fmadd_ps(x[r][i], keys->inverse[i], total[r]);
        }
        store_weights(x[r], p + r * KERN_TILE_TOKENS);
    }
    __m128 sums = _mm_mul_ps(_mm_maskz_loadu_ps(exist, sum), rows.keep);
    _mm_mask_storeu_ps(sum, exist, _mm_fmadd_ps(fold_sum(total), rows.factor, sums));
    return rows.changed;
}

bool kern_avx512_tile_softmax(float *scores, const uint32_t *visible, size_t n_rows, const float *key_scale, float *max, float *sum,
                              float *keep, void *p)
{
    tile_keys keys;
    float *factors = row_factors(p, n_rows);
    bool changed = false;
    for (size_t i = 0; i < TILE_VECTORS; i++) {
        keys.log_scale[i] = _mm512_loadu_ps(key_scale + i * 16);
        keys.inverse[i] = _mm512_loadu_ps(key_scale + KERN_TILE_TOKENS + i * 16);
    }
    for (size_t r = 0; r < n_rows; r += SOFTMAX_ROWS) {
        const float *from = scores + r * KERN_TILE_TOKENS;
        uint8_t *to = (uint8_t *)p + r * KERN_TILE_TOKENS;
        size_t n = n_rows - r < SOFTMAX_ROWS ? n_rows - r : SOFTMAX_ROWS;
        bool all_seen = n == SOFTMAX_ROWS && visible[r] >= 64 && visible[r + 1] >= 64 && visible[r + 2] >= 64 && visible[r + 3] >= 64;
        if (all_seen) changed |= softmax_rows(from, visible + r, SOFTMAX_ROWS, true, &keys, max + r, sum + r, keep + r, to, factors + r);
        else changed |= softmax_rows(from, visible + r, n, false, &keys, max + r, sum + r, keep + r, to, factors + r);
    }
    clear_padding(n_rows, p, factors);
    return changed;
}

/* ------------------------------------------------------------------------------------------------------ product */

/* In assembly, lest the compiler keeps the sums in memory. */
AVX512_INLINE __m512i dot_quad(__m512i sum, __m512i weights, __m512i values)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(values));
    return sum;
}

/* Six rows by N vectors of features. */
AVX512_INLINE void product_part(const uint8_t *p, const uint8_t *tile, size_t d, size_t f, size_t n, const float *factors,
                                const float *keep, float *acc)
{
    __m512i sum[ROWS][4];
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < n; i++) sum[r][i] = _mm512_setzero_si512();
    for (size_t quad = 0; quad < QUADS; quad++) {
        __m512i values[4];
        for (size_t i = 0; i < n; i++) values[i] = _mm512_loadu_si512(tile + (quad * d + f + i * 16) * 4);
        for (size_t r = 0; r < ROWS; r++) {
            int four;
            memcpy(&four, p + r * KERN_TILE_TOKENS + quad * 4, sizeof four);
            __m512i weights = _mm512_set1_epi32(four);
            for (size_t i = 0; i < n; i++) sum[r][i] = dot_quad(sum[r][i], weights, values[i]);
        }
    }
    for (size_t r = 0; r < ROWS; r++) {
        __m512 factor = _mm512_set1_ps(factors[r]), kept = _mm512_set1_ps(keep ? keep[r] : 1);
        for (size_t i = 0; i < n; i++) {
            float *at = acc + r * d + f + i * 16;
            __m512 before = _mm512_loadu_ps(at);
            if (keep) before = _mm512_mul_ps(before, kept);
            _mm512_storeu_ps(at, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][i]), factor, before));
        }
    }
}

void kern_avx512_tile_product(const void *p, const void *tile, size_t n_rows, size_t d, const float *keep, float *acc)
{
    const float *factors = row_factors((void *)(uintptr_t)p, n_rows);
    for (size_t r = 0; r < n_rows; r += ROWS) {
        const uint8_t *weights = (const uint8_t *)p + r * KERN_TILE_TOKENS;
        const float *kept = keep ? keep + r : NULL;
        float most = 0;
        for (size_t i = 0; i < ROWS; i++) most = factors[r + i] > most ? factors[r + i] : most;
        if (most == 0) continue; /* then none of these rows has a new maximum either */
        size_t f = 0;
        for (; f + 64 <= d; f += 64) product_part(weights, tile, d, f, 4, factors + r, kept, acc + r * d);
        for (; f < d; f += 16) product_part(weights, tile, d, f, 1, factors + r, kept, acc + r * d);
    }
}
