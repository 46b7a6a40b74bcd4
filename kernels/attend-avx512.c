/* attend-avx512.c: scores, weights and values of attention with AVX-512 (VNNI, VBMI), and the table of its operations.
 *
 * Owns: the lookups of sparse keys in query tables, the choice of value rows, sums of value rows.
 * Does not own: codes (codes-avx512.c), tiles (tiles-avx512.c), rare formats (attend-generic.h).
 *
 * Scores. A unit holds 4 features of 16 keys in each vector, so VPDPBUSD leaves one key in each lane. The query's 128 bytes
 * are two registers, looked up by VPERMI2B; they are stored with 128 added, as VPDPBUSD's first operand is unsigned, and
 * 128 * sum(key) is subtracted again by the accumulator that all rows start from.
 */
#include "attend-avx512.h"
#include "attend-generic.h"

/* ------------------------------------------------------------------------------------------------------- scores */

enum { TABLE_BIAS = 128, FETCH_AHEAD_BYTES = 8192 };

/* Into the second cache: the processor's own prefetching stops at the end of each page, and into the first cache this costs more than
 * it brings. May go past the end of the keys: a prefetch does not fault. */
AVX512_INLINE void fetch_ahead(const uint8_t *at, size_t n_bytes)
{
    for (size_t b = 0; b < n_bytes; b += 64) _mm_prefetch((const char *)((uintptr_t)at + FETCH_AHEAD_BYTES + b), _MM_HINT_T1);
}

/* Keys come in pieces of 64 tokens, a part of attention mass each. While one is scored, the part FETCH_PARTS later is fetched into the first
 * cache, past the second, where the scores lie: between the pairs of its units, as more lines at once than the processor has buffers for would
 * keep what is to be computed waiting. A page that is new to the processor costs a walk through tables besides: one line of the part
 * TOUCH_PARTS later is fetched sooner. Addresses are known where keys go on elsewhere: what follows these units in memory is another head's. */
enum { PART_UNITS = KERN_MASS_TOKENS / KERN_UNIT_TOKENS, FETCH_UNITS = 2, FETCH_PARTS = 4, TOUCH_PARTS = 8 };

/* Where the unit `at` after the first lies; perhaps past the end of the keys: a prefetch does not fault. */
AVX512_INLINE const char *later_unit(const uint8_t *units, size_t at, size_t n_units, size_t unit_bytes, const uint8_t *next)
{
    return (const char *)(at < n_units ? (uintptr_t)units + at * unit_bytes : (uintptr_t)next + (at - n_units) * unit_bytes);
}

/* Of one row over some parts: the largest score so far in all lanes, and for each part the sum of exp(score - it) lane by lane. */
typedef struct row_sums {
    __m512 max, parts[KERN_SUMS_PARTS];
} row_sums;

/* A part's scores, of n units. */
AVX512_INLINE void add_part(row_sums *sums, const float *scores, size_t n, size_t part)
{
    __m512 max = sums->max, sum = _mm512_setzero_ps();
    for (size_t u = 0; u < n; u++) max = _mm512_max_ps(_mm512_loadu_ps(scores + u * 16), max); /* the second operand is what remains of a NaN */
    if (_mm512_cmp_ps_mask(max, sums->max, _CMP_NEQ_OQ)) { /* seldom, once some keys have gone by */
        max = _mm512_set1_ps(_mm512_reduce_max_ps(max));
        __m512 keep = avx512_exp(_mm512_sub_ps(sums->max, max));
        for (size_t p = 0; p < part; p++) sums->parts[p] = _mm512_mul_ps(sums->parts[p], keep);
        sums->max = max;
    }
    for (size_t u = 0; u < n; u++) sum = _mm512_add_ps(sum, avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(scores + u * 16), max)));
    sums->parts[part] = sum;
}

/* The sum of each vector, one a lane. */
AVX512_INLINE __m512 sum_vectors(const __m512 v[16])
{
    __m512 a[8], b[4], c[2];
    for (size_t i = 0; i < 8; i++) a[i] = _mm512_add_ps(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
    for (size_t i = 0; i < 4; i++) {
        __m512d x = _mm512_castps_pd(a[2 * i]), y = _mm512_castps_pd(a[2 * i + 1]);
        b[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    }
    for (size_t i = 0; i < 2; i++)
        c[i] = _mm512_add_ps(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88), _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xdd));
    return _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
}

/* N units of keys with 4 * J features each: kept in registers while all rows go by. */
AVX512_INLINE void scores_sparse(const uint8_t *units, size_t n, size_t j_count, const kern_query_rows *rows, size_t n_rows, float *out,
                                 size_t stride)
{
    __m512i index[2][4], value[2][4], start[2];
    __m512 scale[2];
    size_t unit_bytes = j_count * 128 + 32;
    for (size_t u = 0; u < n; u++) {
        const uint8_t *unit = units + u * unit_bytes;
        start[u] = _mm512_setzero_si512();
        for (size_t j = 0; j < j_count; j++) {
            index[u][j] = _mm512_loadu_si512(unit + j * 64);
            value[u][j] = _mm512_loadu_si512(unit + (j_count + j) * 64);
            start[u] = _mm512_dpbusd_epi32(start[u], _mm512_set1_epi8((char)TABLE_BIAS), value[u][j]);
        }
        start[u] = _mm512_sub_epi32(_mm512_setzero_si512(), start[u]);
        scale[u] = avx512_half16((const uint16_t *)(const void *)(unit + j_count * 128));
    }
    for (size_t r = 0; r < n_rows; r++) {
        __m512i low = _mm512_loadu_si512(rows->tables + r * KERN_TABLE_BYTES);
        __m512i high = _mm512_loadu_si512(rows->tables + r * KERN_TABLE_BYTES + 64);
        __m512 query_scale = _mm512_set1_ps(rows->scales[r]);
        for (size_t u = 0; u < n; u++) {
            __m512i sum = start[u];
            for (size_t j = 0; j < j_count; j++)
                sum = _mm512_dpbusd_epi32(sum, _mm512_permutex2var_epi8(low, index[u][j], high), value[u][j]);
            __m512 score = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale[u]), query_scale);
            _mm512_storeu_ps(out + r * stride + u * 16, score);
        }
    }
}

/* In registers: VCOMPRESSPS to memory is microcoded on Zen 4. The lanes past what is kept hold anything: were they zeroed, the instruction would
 * still wait for what its register held before. */
AVX512_INLINE __m512 compress(__mmask16 keep, __m512 x) { return _mm512_mask_compress_ps(x, keep, x); }

AVX512_INLINE __m512i compress_tokens(__mmask16 keep, __m512i x) { return _mm512_mask_compress_epi32(x, keep, x); }

AVX512_INLINE __m512i ramp_from(size_t first)
{
    return _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), _mm512_set1_epi32((int)first));
}

AVX512_INLINE __mmask16 any_from(const float *scores, size_t stride, size_t n_rows, const float *least)
{
    __mmask16 keep = 0;
    for (size_t r = 0; r < n_rows; r++) keep |= _mm512_cmp_ps_mask(_mm512_loadu_ps(scores + r * stride), _mm512_set1_ps(least[r]), _CMP_GE_OQ);
    return keep;
}

/* What is to be kept of a vector's tokens (ret_tokens NULL: not wanted) and of their scores; how many. */
AVX512_INLINE size_t keep_vector(__mmask16 keep, __m512i tokens, const float *scores, size_t stride, size_t n_rows, uint32_t *ret_tokens,
                                 float *ret_scores, size_t ret_stride)
{
    if (ret_tokens) _mm512_storeu_si512(ret_tokens, compress_tokens(keep, tokens));
    for (size_t r = 0; r < n_rows; r++) _mm512_storeu_ps(ret_scores + r * ret_stride, compress(keep, _mm512_loadu_ps(scores + r * stride)));
    return (size_t)__builtin_popcount(keep);
}

/* Of n units' scores, the first of them of this token. Nearly every unit has a candidate: no branch. */
AVX512_INLINE void list_part(kern_score_list *list, const float *scores, size_t stride, size_t n_rows, size_t n, size_t token)
{
    const kern_score_list to = *list;
    size_t count = to.n;
    for (size_t u = 0; u < n; u++) {
        __mmask16 keep = any_from(scores + u * 16, stride, n_rows, to.least);
        count += keep_vector(keep, ramp_from(token + u * 16), scores + u * 16, stride, n_rows, to.tokens + count, to.scores + count, to.stride);
    }
    list->n = count;
}

/* sums [rows] and list: NULL where they are not wanted. */
AVX512_INLINE void scores_sparse_all(const uint8_t *units, size_t n_units, size_t j_count, const kern_query_rows *rows, size_t n_rows, float *out,
                                     size_t stride, row_sums *sums, const uint8_t *next, kern_score_list *list)
{
    size_t unit_bytes = j_count * 128 + 32;
    if (list) stride = KERN_MASS_TOKENS;
    for (size_t first = 0; first < n_units; first += PART_UNITS) {
        float *part = out + (list ? 0 : first * 16);
        size_t end = n_units - first < PART_UNITS ? n_units : first + PART_UNITS;
        const char *ahead = later_unit(units, first + FETCH_PARTS * PART_UNITS, n_units, unit_bytes, next);
        _mm_prefetch(later_unit(units, first + TOUCH_PARTS * PART_UNITS, n_units, unit_bytes, next), _MM_HINT_T0);
        for (size_t u = first; u < end; u += FETCH_UNITS, ahead += FETCH_UNITS * unit_bytes, part += FETCH_UNITS * 16) {
#pragma GCC unroll 17
            for (size_t b = 0; b < FETCH_UNITS * unit_bytes; b += 64) _mm_prefetch(ahead + b, _MM_HINT_NTA);
            if (u + 2 <= end) scores_sparse(units + u * unit_bytes, 2, j_count, rows, n_rows, part, stride);
            else scores_sparse(units + u * unit_bytes, 1, j_count, rows, n_rows, part, stride);
        }
        part = out + (list ? 0 : first * 16);
        for (size_t r = 0; sums && r < n_rows; r++) add_part(&sums[r], part + r * stride, end - first, first / PART_UNITS);
        if (list) list_part(list, part, stride, n_rows, end - first, first * 16);
    }
}

/* With the usual numbers of rows as constants: all in registers. */
AVX512_INLINE void scores_sparse_rows(const uint8_t *units, size_t n_units, size_t j_count, const kern_query_rows *rows, float *out, size_t stride,
                                      row_sums *sums, const uint8_t *next, kern_score_list *list)
{
    switch (rows->n) {
    case 1: scores_sparse_all(units, n_units, j_count, rows, 1, out, stride, sums, next, list); break;
    case 2: scores_sparse_all(units, n_units, j_count, rows, 2, out, stride, sums, next, list); break;
    default: scores_sparse_all(units, n_units, j_count, rows, rows->n, out, stride, sums, next, list);
    }
}

/* N rows and one unit, any number of features, dense or sparse. */
AVX512_INLINE void scores_any(const uint8_t *unit, size_t k, bool dense, const kern_query_rows *rows, size_t r, size_t n, float *out,
                              size_t stride)
{
    const uint8_t *values = unit + (dense ? 0 : k * KERN_UNIT_TOKENS);
    __m512i sum[4], start = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i++) sum[i] = _mm512_setzero_si512();
    for (size_t j = 0; j < k / 4; j++) {
        __m512i value = _mm512_loadu_si512(values + j * 64), index = dense ? value : _mm512_loadu_si512(unit + j * 64);
        start = _mm512_dpbusd_epi32(start, _mm512_set1_epi8((char)TABLE_BIAS), value);
        for (size_t i = 0; i < n; i++) {
            const uint8_t *table = rows->tables + (r + i) * KERN_TABLE_BYTES;
            int four;
            memcpy(&four, table + j * 4, sizeof four);
            __m512i query = dense ? _mm512_set1_epi32(four)
                                  : _mm512_permutex2var_epi8(_mm512_loadu_si512(table), index, _mm512_loadu_si512(table + 64));
            sum[i] = _mm512_dpbusd_epi32(sum[i], query, value);
        }
    }
    __m512 scale = avx512_half16((const uint16_t *)(const void *)(values + k * KERN_UNIT_TOKENS));
    for (size_t i = 0; i < n; i++) {
        __m512 score = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sum[i], start)), scale);
        _mm512_storeu_ps(out + (r + i) * stride, _mm512_mul_ps(score, _mm512_set1_ps(rows->scales[r + i])));
    }
}

AVX512_INLINE void scores_any_all(const uint8_t *units, size_t n_units, size_t k, bool dense, const kern_query_rows *rows, float *out,
                                  size_t stride)
{
    size_t unit_bytes = (dense ? k : 2 * k) * KERN_UNIT_TOKENS + 32;
    for (size_t u = 0; u < n_units; u++) {
        size_t r = 0;
        fetch_ahead(units + u * unit_bytes, unit_bytes);
        for (; r + 4 <= rows->n; r += 4) scores_any(units + u * unit_bytes, k, dense, rows, r, 4, out + u * 16, stride);
        for (; r < rows->n; r++) scores_any(units + u * unit_bytes, k, dense, rows, r, 1, out + u * 16, stride);
    }
}

static void scores(const kern_kv_format *format, const uint8_t *units, size_t n_units, const kern_query_rows *rows, float *out, size_t stride)
{
    const uint8_t *next = units + n_units * kern_kv_unit_bytes(format);
    if (format->key_type == KERN_KEY_CODE32) generic_scores(format, units, n_units, rows, out, stride);
    else if (format->k_key == format->d) scores_any_all(units, n_units, format->k_key, true, rows, out, stride);
    else if (format->k_key == 16) scores_sparse_rows(units, n_units, 4, rows, out, stride, NULL, next, NULL);
    else if (format->k_key == 8) scores_sparse_rows(units, n_units, 2, rows, out, stride, NULL, next, NULL);
    else scores_any_all(units, n_units, format->k_key, false, rows, out, stride);
}

/* ------------------------------------------------------------------------------------------------------ weights */

static float row_max(const float *x, size_t n)
{
    __m512 max[2] = {_mm512_set1_ps(-INFINITY), _mm512_set1_ps(-INFINITY)};
    size_t i = 0;
    for (; i + 32 <= n; i += 32) { /* the second operand is what remains of a NaN */
        max[0] = _mm512_max_ps(_mm512_loadu_ps(x + i), max[0]);
        max[1] = _mm512_max_ps(_mm512_loadu_ps(x + i + 16), max[1]);
    }
    if (i < n) max[0] = _mm512_max_ps(_mm512_loadu_ps(x + i), max[0]);
    return _mm512_reduce_max_ps(_mm512_max_ps(max[0], max[1]));
}

static float exp_total(const float *x, size_t n, float max)
{
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, most = _mm512_set1_ps(max);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        sum[0] = _mm512_add_ps(sum[0], avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(x + i), most)));
        sum[1] = _mm512_add_ps(sum[1], avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(x + i + 16), most)));
    }
    if (i < n) sum[0] = _mm512_add_ps(sum[0], avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(x + i), most)));
    return _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
}

static bool scores_sums(const kern_kv_format *format, const uint8_t *units, size_t n_units, const kern_query_rows *rows, float *out, size_t stride,
                        const uint8_t *next, float *max, kern_part_sums *ret_sums, kern_score_list *list)
{
    bool usual = format->key_type == KERN_KEY_CODE8 && format->k_key != format->d && (format->k_key == 16 || format->k_key == 8);
    if (!usual || rows->n > KERN_SUMS_ROWS || n_units > KERN_SUMS_PARTS * PART_UNITS) return false;
    row_sums sums[KERN_SUMS_ROWS];
    for (size_t r = 0; r < rows->n; r++) {
        sums[r].max = _mm512_set1_ps(max[r]);
        for (size_t p = (n_units + PART_UNITS - 1) / PART_UNITS; p < KERN_SUMS_PARTS; p++) sums[r].parts[p] = _mm512_setzero_ps();
    }
    if (format->k_key == 16) scores_sparse_rows(units, n_units, 4, rows, out, stride, sums, next, list);
    else scores_sparse_rows(units, n_units, 2, rows, out, stride, sums, next, list);
    for (size_t r = 0; r < rows->n; r++) {
        __m512 parts = sum_vectors(sums[r].parts);
        max[r] = _mm512_cvtss_f32(sums[r].max);
        _mm512_storeu_ps(ret_sums[r].parts, parts);
        ret_sums[r].all = _mm512_reduce_add_ps(parts);
    }
    return true;
}

static float exp_sum(const float *x, size_t n, float max, float *out)
{
    __m512 sum = _mm512_setzero_ps(), most = _mm512_set1_ps(max);
    for (size_t i = 0; i < n; i += 16) {
        __m512 w = avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(x + i), most));
        _mm512_storeu_ps(out + i, w);
        sum = _mm512_add_ps(sum, w);
    }
    return _mm512_reduce_add_ps(sum);
}

AVX512_INLINE __m512 add_below(__m512 sum, __m512 w, __m512 cut)
{
    return _mm512_mask_add_ps(sum, _mm512_cmp_ps_mask(w, cut, _CMP_LT_OQ), sum, w);
}

static float sum_below(const float *weights, size_t n, float cut)
{
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()}, most = _mm512_set1_ps(cut);
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        for (size_t v = 0; v < 4; v++) sum[v] = add_below(sum[v], _mm512_loadu_ps(weights + i + v * 16), most);
    for (; i < n; i += 16) sum[0] = add_below(sum[0], _mm512_loadu_ps(weights + i), most);
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

/* ------------------------------------------------------------------------------------------------------- choice */

static size_t count_from(const float *scores, size_t n, float cut)
{
    size_t count = 0;
    __m512 least = _mm512_set1_ps(cut);
    for (size_t i = 0; i < n; i += 16)
        count += (size_t)__builtin_popcount(_mm512_cmp_ps_mask(_mm512_loadu_ps(scores + i), least, _CMP_GE_OQ));
    return count;
}

/* Where all tokens are looked at for those to be read, every other vector has none; elsewhere nearly every vector has some: no branch. */
AVX512_INLINE size_t select_rows(const float *scores, size_t stride, size_t n_rows, size_t n, const float *cuts, const uint32_t *tokens,
                                 uint32_t *ret_tokens, float *ret_scores, size_t ret_stride)
{
    size_t count = 0;
    for (size_t t = 0; t < n; t += 16) {
        __mmask16 keep = any_from(scores + t, stride, n_rows, cuts);
        if (ret_tokens && !tokens && !keep) continue;
        __m512i numbers = ret_tokens && tokens ? _mm512_loadu_si512(tokens + t) : ramp_from(t);
        count += keep_vector(keep, numbers, scores + t, stride, n_rows, ret_tokens ? ret_tokens + count : NULL, ret_scores + count, ret_stride);
    }
    return count;
}

static size_t select_tokens(const float *scores, size_t stride, size_t n_rows, size_t n, const float *cuts, const uint32_t *tokens,
                            uint32_t *ret_tokens, float *ret_scores, size_t ret_stride)
{
    if (n_rows == 1 && !ret_tokens) return select_rows(scores, stride, 1, n, cuts, NULL, NULL, ret_scores, ret_stride);
    if (n_rows == 2 && tokens) return select_rows(scores, stride, 2, n, cuts, tokens, ret_tokens, ret_scores, ret_stride);
    switch (n_rows) {
    case 1: return select_rows(scores, stride, 1, n, cuts, tokens, ret_tokens, ret_scores, ret_stride);
    case 2: return select_rows(scores, stride, 2, n, cuts, NULL, ret_tokens, ret_scores, ret_stride);
    case 4: return select_rows(scores, stride, 4, n, cuts, tokens, ret_tokens, ret_scores, ret_stride);
    default: return select_rows(scores, stride, n_rows, n, cuts, tokens, ret_tokens, ret_scores, ret_stride);
    }
}

/* ------------------------------------------------------------------------------------------------------- values */

enum { GATHER_TOKENS = 64, GATHER_ROWS = 4, SCALES_MAX = 4, NEAR_ROWS = 8 };

/* Weights of a run of tokens multiplied with the scales of their rows: one for each scale of a row. */
typedef struct gather_run {
    const uint32_t *tokens;
    size_t n, first; /* tokens NULL: first, first + 1 .. */
    float weights[GATHER_ROWS][GATHER_TOKENS * SCALES_MAX];
} gather_run;

/* Scales of the 16 / n_scales tokens from i on, token by token; those beyond the run are 0. */
AVX512_INLINE __m512 run_scales(const gather_run *run, size_t i, size_t n_scales, const uint16_t *scales)
{
    size_t left = (run->n - i) * n_scales, n = left < 16 ? left : 16;
    if (!run->tokens) return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), scales + (run->first + i) * n_scales));
    if (n_scales == 4 && n == 16) {
        __m128i four[4];
        for (size_t t = 0; t < 4; t++) four[t] = _mm_loadl_epi64((const __m128i *)(const void *)(scales + run->tokens[i + t] * 4ul));
        __m128i low = _mm_unpacklo_epi64(four[0], four[1]), high = _mm_unpacklo_epi64(four[2], four[3]);
        return _mm512_cvtph_ps(_mm256_set_m128i(high, low));
    }
    uint16_t halves[16] = {0};
    for (size_t l = 0; l < n; l++) halves[l] = scales[run->tokens[i + l / n_scales] * n_scales + l % n_scales];
    return avx512_half16(halves);
}

/* n_scales is 0 (no scales), 1, 2 or 4; each token's weight is repeated for each of its scales. */
AVX512_INLINE void run_weights(gather_run *run, size_t n_scales, const uint16_t *scales, const float *weights, size_t stride, size_t n_rows)
{
    size_t each = n_scales ? n_scales : 1, step = 16 / each;
    const __m512i ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i repeat = _mm512_srli_epi32(ramp, each == 4 ? 2 : each == 2 ? 1 : 0);
    for (size_t i = 0; i < run->n; i += step) {
        size_t left = run->n - i, here = left < step ? left : step;
        __mmask16 mask = (__mmask16)((1u << here) - 1);
        __m512 scale = n_scales ? run_scales(run, i, n_scales, scales) : _mm512_set1_ps(1);
        for (size_t r = 0; r < n_rows; r++) {
            __m512 w = _mm512_maskz_loadu_ps(mask, weights + r * stride + run->first + i);
            _mm512_storeu_ps(run->weights[r] + i * each, _mm512_mul_ps(_mm512_permutexvar_ps(repeat, w), scale));
        }
    }
}

/* Features [f, f + 16) of a row; Q4's are not yet multiplied with their scale, nor are Q8's. */
AVX512_INLINE __m512 load_features(kern_value_type type, const uint8_t *row, size_t d, size_t f)
{
    switch (type) {
    case KERN_VALUE_Q4: {
        const __m512 nibbles = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
        bool upper = f >= d / 2;
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(row + (upper ? f - d / 2 : f)));
        __m512i wide = _mm512_cvtepu8_epi32(bytes); /* the lookup minds the low four bits only */
        return _mm512_permutexvar_ps(upper ? _mm512_srli_epi32(wide, 4) : wide, nibbles);
    }
    case KERN_VALUE_Q8: return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(row + f))));
    case KERN_VALUE_F16: return avx512_half16((const uint16_t *)(const void *)row + f);
    case KERN_VALUE_F32: return _mm512_loadu_ps((const float *)(const void *)row + f);
    }
    return _mm512_setzero_ps();
}

/* From the second cache, where the caller has fetched a listed row to, into the first. */
AVX512_INLINE void fetch_near(const uint8_t *row, size_t n_bytes)
{
    for (size_t b = 0; b < n_bytes; b += 64) _mm_prefetch((const char *)row + b, _MM_HINT_T0);
}

/* A run of tokens, features [f, f + 16 * N) of rows of d, n_rows query rows; all but the addresses are constants. */
AVX512_INLINE void gather_part(kern_value_type type, size_t d, size_t group, size_t f, size_t n_vectors, size_t n_rows, kern_value_rows values,
                               const gather_run *run, float *acc)
{
    size_t row_bytes = type == KERN_VALUE_Q4 ? d / 2 : type == KERN_VALUE_Q8 ? d : type == KERN_VALUE_F16 ? 2 * d : 4 * d;
    size_t n_scales = d / group;
    __m512 sum[GATHER_ROWS][8];
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < n_vectors; i++) sum[r][i] = _mm512_loadu_ps(acc + r * d + f + i * 16);
    for (size_t t = 0; t < run->n; t++) {
        size_t at = run->tokens ? run->tokens[t] : run->first + t;
        const uint8_t *row = values.rows + at * row_bytes;
        if (!run->tokens && f == 0) fetch_ahead(row, row_bytes);
        if (run->tokens && f == 0 && t + NEAR_ROWS < run->n) fetch_near(values.rows + run->tokens[t + NEAR_ROWS] * row_bytes, row_bytes);
        for (size_t i = 0; i < n_vectors; i++) {
            __m512 value = load_features(type, row, d, f + i * 16);
            for (size_t r = 0; r < n_rows; r++)
                sum[r][i] = _mm512_fmadd_ps(_mm512_set1_ps(run->weights[r][t * n_scales + (f + i * 16) / group]), value, sum[r][i]);
        }
    }
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < n_vectors; i++) _mm512_storeu_ps(acc + r * d + f + i * 16, sum[r][i]);
}

/* Sixteen accumulators: up to two rows of 128 features at once, or four of 64. */
AVX512_INLINE void gather_run_rows(kern_value_type type, size_t d, size_t group, size_t n_rows, kern_value_rows values,
                                   const gather_run *run, float *acc)
{
    if (d == 64 || n_rows > 2)
        for (size_t f = 0; f < d; f += 64) gather_part(type, d, group, f, 4, n_rows, values, run, acc);
    else
        gather_part(type, d, group, 0, 8, n_rows, values, run, acc);
}

AVX512_INLINE void gather_type(kern_value_type type, size_t d, size_t group, kern_value_rows values, const uint32_t *tokens, size_t n,
                               const float *weights, size_t stride, size_t n_rows, float *acc)
{
    gather_run run;
    for (size_t first = 0; first < n; first += GATHER_TOKENS) {
        run.n = n - first < GATHER_TOKENS ? n - first : GATHER_TOKENS;
        run.first = first;
        run.tokens = tokens ? tokens + first : NULL;
        for (size_t r = 0; r < n_rows; r += GATHER_ROWS) {
            size_t rows = n_rows - r < GATHER_ROWS ? n_rows - r : GATHER_ROWS;
            run_weights(&run, type == KERN_VALUE_Q4 || type == KERN_VALUE_Q8 ? d / group : 0, values.scales, weights + r * stride, stride, rows);
            switch (rows) {
            case 1: gather_run_rows(type, d, group, 1, values, &run, acc + r * d); break;
            case 2: gather_run_rows(type, d, group, 2, values, &run, acc + r * d); break;
            case 3: gather_run_rows(type, d, group, 3, values, &run, acc + r * d); break;
            default: gather_run_rows(type, d, group, 4, values, &run, acc + r * d); break;
            }
        }
    }
}

#define GATHER(name, type, d, group)                                                                                                       \
    static __attribute__((noinline)) void name(kern_value_rows values, const uint32_t *tokens, size_t n, const float *weights,             \
                                               size_t stride, size_t n_rows, float *acc)                                                   \
    {                                                                                                                                      \
        gather_type(type, d, group, values, tokens, n, weights, stride, n_rows, acc);                                                      \
    }
GATHER(gather_q8_128, KERN_VALUE_Q8, 128, 128)
GATHER(gather_q8_64, KERN_VALUE_Q8, 64, 64)
GATHER(gather_q4_128, KERN_VALUE_Q4, 128, 32)
GATHER(gather_q4_64, KERN_VALUE_Q4, 64, 32)
GATHER(gather_f16_128, KERN_VALUE_F16, 128, 128)
GATHER(gather_f32_128, KERN_VALUE_F32, 128, 128)

static void gather(const kern_kv_format *format, kern_value_rows values, const uint32_t *tokens, size_t n, const float *weights, size_t stride,
                   size_t n_rows, float *acc)
{
    switch (format->value_type << 8 | format->d) {
    case KERN_VALUE_Q8 << 8 | 128: gather_q8_128(values, tokens, n, weights, stride, n_rows, acc); return;
    case KERN_VALUE_Q8 << 8 | 64: gather_q8_64(values, tokens, n, weights, stride, n_rows, acc); return;
    case KERN_VALUE_F16 << 8 | 128: gather_f16_128(values, tokens, n, weights, stride, n_rows, acc); return;
    case KERN_VALUE_F32 << 8 | 128: gather_f32_128(values, tokens, n, weights, stride, n_rows, acc); return;
    case KERN_VALUE_Q4 << 8 | 128:
        if (format->value_group != 32) break;
        gather_q4_128(values, tokens, n, weights, stride, n_rows, acc);
        return;
    case KERN_VALUE_Q4 << 8 | 64:
        if (format->value_group != 32) break;
        gather_q4_64(values, tokens, n, weights, stride, n_rows, acc);
        return;
    default: break;
    }
    generic_gather(format, values, tokens, n, weights, stride, n_rows, acc);
}

const kern_attend_ops kern_attend_avx512 = {
    .table_bias = TABLE_BIAS,
    .prepare = generic_prepare,
    .rotate = generic_rotate,
    .top_k = kern_avx512_top_k,
    .encode_key = kern_avx512_encode_key,
    .encode_query = kern_avx512_encode_query,
    .encode_value = generic_encode_value,
    .scores = scores,
    .scores_sums = scores_sums,
    .max = row_max,
    .exp_total = exp_total,
    .exp_sum = exp_sum,
    .sum_below = sum_below,
    .count = count_from,
    .select = select_tokens,
    .gather = gather,
    .tile =
        {
            .expand = kern_avx512_tile_expand,
            .softmax = kern_avx512_tile_softmax,
            .weights = kern_avx512_tile_weights,
            .product = kern_avx512_tile_product,
        },
    .exact_tile = GENERIC_TILE_OPS,
};
