/* attend-avx2.c: scores, weights and values of attention with AVX2 and FMA, and the table of its operations.
 *
 * Owns: lookups of sparse keys by PSHUFB, 8-bit products by PMADDUBSW, sums of value rows in float.
 * Does not own: codes (the portable ones, which the compiler vectorises), tiles (tiles-avx2.c).
 *
 * A query table of 128 bytes is eight tables of 16. PSHUFB gives 0 where the top bit of an index is set, so the index xor
 * 16 t plus 0x70 looks up table t and nothing else, and the eight results are joined by OR. Products take |value| as the
 * unsigned operand and the query with the value's sign: two products of 127 * 127 fit 16 bits.
 */
#include "attend-avx2.h"
#include "attend-generic.h"

/* ------------------------------------------------------------------------------------------------------- scores */

enum { SCORE_ROWS = 2, HALF_TOKENS = 8 };

AVX2_INLINE __m256i dot_add(__m256i sum, __m256i query, __m256i value)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(value), _mm256_sign_epi8(query, value));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* Half a unit: 8 tokens, n rows. */
AVX2_INLINE void scores_half(const uint8_t *unit, size_t half, size_t d, size_t k, bool dense, const kern_query_rows *rows, size_t r, size_t n,
                             float *out, size_t stride)
{
    const uint8_t *values = unit + (dense ? 0 : k * KERN_UNIT_TOKENS) + half * 32, *indices = unit + half * 32;
    const uint8_t *table = rows->tables + r * KERN_TABLE_BYTES;
    __m256i sum[SCORE_ROWS];
    for (size_t i = 0; i < n; i++) sum[i] = _mm256_setzero_si256();
    for (size_t j = 0; j < k / 4; j++) {
        __m256i value = _mm256_loadu_si256((const __m256i *)(const void *)(values + j * 64)), query[SCORE_ROWS];
        __m256i index = dense ? value : _mm256_loadu_si256((const __m256i *)(const void *)(indices + j * 64));
        for (size_t i = 0; i < n; i++) {
            int four;
            memcpy(&four, table + i * KERN_TABLE_BYTES + j * 4, sizeof four);
            query[i] = dense ? _mm256_set1_epi32(four) : _mm256_setzero_si256();
        }
        for (size_t t = 0; !dense && t < d / 16; t++) {
            __m256i at = _mm256_add_epi8(_mm256_xor_si256(index, _mm256_set1_epi8((char)(t * 16))), _mm256_set1_epi8(0x70));
            for (size_t i = 0; i < n; i++) {
                __m128i sixteen = _mm_loadu_si128((const __m128i *)(const void *)(table + i * KERN_TABLE_BYTES + t * 16));
                query[i] = _mm256_or_si256(query[i], _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(sixteen), at));
            }
        }
        for (size_t i = 0; i < n; i++) sum[i] = dot_add(sum[i], query[i], value);
    }
    const uint8_t *scales = unit + (dense ? 1 : 2) * k * KERN_UNIT_TOKENS + half * HALF_TOKENS * sizeof(uint16_t);
    __m256 scale = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)scales));
    for (size_t i = 0; i < n; i++) {
        __m256 score = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum[i]), scale), _mm256_set1_ps(rows->scales[r + i]));
        _mm256_storeu_ps(out + (r + i) * stride + half * HALF_TOKENS, score);
    }
}

AVX2_INLINE void scores_units(const uint8_t *units, size_t n_units, size_t d, size_t k, bool dense, const kern_query_rows *rows, float *out,
                              size_t stride)
{
    size_t unit_bytes = (dense ? 1 : 2) * k * KERN_UNIT_TOKENS + KERN_UNIT_TOKENS * sizeof(uint16_t);
    for (size_t u = 0; u < n_units; u++)
        for (size_t half = 0; half < 2; half++) {
            const uint8_t *unit = units + u * unit_bytes;
            size_t r = 0;
            for (; r + 2 <= rows->n; r += 2) scores_half(unit, half, d, k, dense, rows, r, 2, out + u * 16, stride);
            if (r < rows->n) scores_half(unit, half, d, k, dense, rows, r, 1, out + u * 16, stride);
        }
}

static void scores(const kern_kv_format *format, const uint8_t *units, size_t n_units, const kern_query_rows *rows, float *out, size_t stride)
{
    size_t d = format->d, k = format->k_key;
    if (format->key_type == KERN_KEY_CODE32) generic_scores(format, units, n_units, rows, out, stride);
    else if (k == d) scores_units(units, n_units, d, k, true, rows, out, stride);
    else if (k == 16 && d == 128) scores_units(units, n_units, 128, 16, false, rows, out, stride);
    else if (k == 8 && d == 64) scores_units(units, n_units, 64, 8, false, rows, out, stride);
    else scores_units(units, n_units, d, k, false, rows, out, stride);
}

/* ------------------------------------------------------------------------------------------------------ weights */

static float row_max(const float *x, size_t n)
{
    __m256 max = _mm256_set1_ps(-INFINITY);
    for (size_t i = 0; i < n; i += 8) max = _mm256_max_ps(_mm256_loadu_ps(x + i), max); /* the second is what remains of a NaN */
    return avx2_reduce_max(max);
}

static float exp_total(const float *x, size_t n, float max)
{
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, most = _mm256_set1_ps(max);
    for (size_t i = 0; i < n; i += 16)
        for (size_t h = 0; h < 2; h++) sum[h] = _mm256_add_ps(sum[h], avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(x + i + h * 8), most)));
    return avx2_reduce_add(_mm256_add_ps(sum[0], sum[1]));
}

static float exp_sum(const float *x, size_t n, float max, float *out)
{
    __m256 sum = _mm256_setzero_ps(), most = _mm256_set1_ps(max);
    for (size_t i = 0; i < n; i += 8) {
        __m256 w = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(x + i), most));
        _mm256_storeu_ps(out + i, w);
        sum = _mm256_add_ps(sum, w);
    }
    return avx2_reduce_add(sum);
}

static float sum_below(const float *weights, size_t n, float cut)
{
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, most = _mm256_set1_ps(cut);
    for (size_t i = 0; i < n; i += 16)
        for (size_t h = 0; h < 2; h++) {
            __m256 w = _mm256_loadu_ps(weights + i + h * 8);
            sum[h] = _mm256_add_ps(sum[h], _mm256_and_ps(w, _mm256_cmp_ps(w, most, _CMP_LT_OQ)));
        }
    return avx2_reduce_add(_mm256_add_ps(sum[0], sum[1]));
}

static size_t count_from(const float *scores, size_t n, float cut)
{
    size_t count = 0;
    __m256 least = _mm256_set1_ps(cut);
    for (size_t i = 0; i < n; i += 8)
        count += (size_t)__builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(scores + i), least, _CMP_GE_OQ)));
    return count;
}

static size_t select_tokens(const float *scores, size_t stride, size_t n_rows, size_t n, const float *cuts, const uint32_t *tokens,
                            uint32_t *ret_tokens, float *ret_scores, size_t ret_stride)
{
    size_t count = 0;
    for (size_t t = 0; t < n; t += 8) {
        __m256 keep = _mm256_setzero_ps();
        for (size_t r = 0; r < n_rows; r++)
            keep = _mm256_or_ps(keep, _mm256_cmp_ps(_mm256_loadu_ps(scores + r * stride + t), _mm256_set1_ps(cuts[r]), _CMP_GE_OQ));
        for (unsigned mask = (unsigned)_mm256_movemask_ps(keep); mask; mask &= mask - 1) {
            size_t at = t + (unsigned)__builtin_ctz(mask);
            for (size_t r = 0; r < n_rows; r++) ret_scores[r * ret_stride + count] = scores[r * stride + at];
            if (ret_tokens) ret_tokens[count] = tokens ? tokens[at] : (uint32_t)at;
            count++;
        }
    }
    return count;
}

/* ------------------------------------------------------------------------------------------------------- values */

enum { RUN_TOKENS = 64 };

/* One run of n tokens from item `first` of the list on (NULL: the tokens themselves), 32 features from f on, one or two query rows. */
AVX2_INLINE void gather_part(kern_value_type type, size_t d, size_t group, size_t f, kern_value_rows values, const uint32_t *tokens,
                             size_t first, size_t n, const float *weights, size_t stride, size_t n_rows, float *acc)
{
    size_t row_bytes = type == KERN_VALUE_Q4 ? d / 2 : type == KERN_VALUE_Q8 ? d : type == KERN_VALUE_F16 ? 2 * d : 4 * d;
    size_t n_scales = d / group;
    __m256 sum[2][4];
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < 4; i++) sum[r][i] = _mm256_loadu_ps(acc + r * d + f + i * 8);
    for (size_t t = first; t < first + n; t++) {
        size_t at = tokens ? tokens[t] : t;
        for (size_t i = 0; i < 4; i++) {
            __m256 value = avx2_features(type, values.rows + at * row_bytes, d, f + i * 8);
            /* groups are multiples of 16: a vector of 8 has one scale */
            float scale = type > KERN_VALUE_Q8 ? 1 : _cvtsh_ss(values.scales[at * n_scales + (f + i * 8) / group]);
            for (size_t r = 0; r < n_rows; r++) sum[r][i] = _mm256_fmadd_ps(_mm256_set1_ps(weights[r * stride + t] * scale), value, sum[r][i]);
        }
    }
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < 4; i++) _mm256_storeu_ps(acc + r * d + f + i * 8, sum[r][i]);
}

AVX2_INLINE void gather_type(kern_value_type type, size_t d, size_t group, kern_value_rows values, const uint32_t *tokens, size_t n,
                             const float *weights, size_t stride, size_t n_rows, float *acc)
{
    for (size_t first = 0; first < n; first += RUN_TOKENS) {
        size_t here = n - first < RUN_TOKENS ? n - first : RUN_TOKENS;
        for (size_t f = 0; f < d; f += 32) {
            size_t r = 0;
            for (; r + 2 <= n_rows; r += 2)
                gather_part(type, d, group, f, values, tokens, first, here, weights + r * stride, stride, 2, acc + r * d);
            if (r < n_rows) gather_part(type, d, group, f, values, tokens, first, here, weights + r * stride, stride, 1, acc + r * d);
        }
    }
}

static void gather(const kern_kv_format *format, kern_value_rows values, const uint32_t *tokens, size_t n, const float *weights, size_t stride,
                   size_t n_rows, float *acc)
{
    size_t d = format->d, group = format->value_group;
    kern_value_type type = format->value_type;
    if (d % 32) generic_gather(format, values, tokens, n, weights, stride, n_rows, acc);
    else if (type == KERN_VALUE_Q8 && d == 128) gather_type(KERN_VALUE_Q8, 128, 128, values, tokens, n, weights, stride, n_rows, acc);
    else if (type == KERN_VALUE_Q8) gather_type(KERN_VALUE_Q8, d, d, values, tokens, n, weights, stride, n_rows, acc);
    else if (type == KERN_VALUE_Q4 && d == 128 && group == 32)
        gather_type(KERN_VALUE_Q4, 128, 32, values, tokens, n, weights, stride, n_rows, acc);
    else if (type == KERN_VALUE_Q4) gather_type(KERN_VALUE_Q4, d, group, values, tokens, n, weights, stride, n_rows, acc);
    else if (type == KERN_VALUE_F16) gather_type(KERN_VALUE_F16, d, d, values, tokens, n, weights, stride, n_rows, acc);
    else gather_type(KERN_VALUE_F32, d, d, values, tokens, n, weights, stride, n_rows, acc);
}

#define AVX2_TILE_OPS                                                                                                                      \
    {                                                                                                                                      \
        .expand = kern_avx2_tile_expand, .softmax = kern_avx2_tile_softmax, .weights = generic_tile_weights,                               \
        .product = kern_avx2_tile_product,                                                                                                 \
    }

const kern_attend_ops kern_attend_avx2 = {
    .table_bias = 0,
    .prepare = generic_prepare,
    .rotate = generic_rotate,
    .top_k = generic_top_k,
    .encode_key = generic_encode_key,
    .encode_query = generic_encode_query,
    .encode_value = generic_encode_value,
    .scores = scores,
    .max = row_max,
    .exp_total = exp_total,
    .exp_sum = exp_sum,
    .sum_below = sum_below,
    .count = count_from,
    .select = select_tokens,
    .gather = gather,
    .tile = AVX2_TILE_OPS,
    .exact_tile = AVX2_TILE_OPS,
};
