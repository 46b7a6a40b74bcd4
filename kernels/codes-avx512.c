/* codes-avx512.c: top-k and 8-bit codes of a row with AVX-512.
 *
 * Owns: the search for the k-th largest magnitude by counting lanes. Does not own: other row sizes (attend-generic.h).
 */
#include "attend-avx512.h"
#include "attend-generic.h"

enum { VECTORS = KERN_HEAD_DIM_MAX / 16 };

typedef struct mask128 {
    uint64_t low, high;
} mask128;

static inline size_t mask_count(mask128 m)
{
    return (size_t)__builtin_popcountll(m.low) + (size_t)__builtin_popcountll(m.high);
}

AVX512_INLINE mask128 mask_join(const __mmask16 part[VECTORS])
{
    mask128 m = {0};
    for (size_t i = 0; i < VECTORS / 2; i++) {
        m.low |= (uint64_t)part[i] << (16 * i);
        m.high |= (uint64_t)part[i + VECTORS / 2] << (16 * i);
    }
    return m;
}

AVX512_INLINE mask128 mask_at_least(const __m512i bits[VECTORS], uint32_t least)
{
    __mmask16 part[VECTORS];
    for (size_t i = 0; i < VECTORS; i++) part[i] = _mm512_cmpge_epu32_mask(bits[i], _mm512_set1_epi32((int)least));
    return mask_join(part);
}

/* Takes the highest `extra` lanes that equal `value` out of the mask: ties go to the lowest index. */
static mask128 drop_ties(mask128 kept, mask128 larger, size_t extra)
{
    mask128 equal = {kept.low & ~larger.low, kept.high & ~larger.high};
    for (; extra > 0 && equal.high; extra--) {
        uint64_t bit = 1ull << (63 - __builtin_clzll(equal.high));
        equal.high ^= bit;
        kept.high ^= bit;
    }
    for (; extra > 0 && equal.low; extra--) {
        uint64_t bit = 1ull << (63 - __builtin_clzll(equal.low));
        equal.low ^= bit;
        kept.low ^= bit;
    }
    return kept;
}

/* Rows of 128 or less (missing features: magnitude 0 beyond all others, never kept as k <= d and ties go to low indices). */
AVX512_INLINE mask128 top_k_mask(const float *row, size_t d, size_t k, __m512 x[VECTORS])
{
    __m512i bits[VECTORS], most = _mm512_setzero_si512();
    for (size_t i = 0; i < VECTORS; i++) {
        x[i] = i * 16 < d ? _mm512_loadu_ps(row + i * 16) : _mm512_setzero_ps();
        bits[i] = _mm512_and_si512(_mm512_castps_si512(x[i]), _mm512_set1_epi32(0x7fffffff));
        most = _mm512_max_epu32(most, bits[i]);
    }
    /* each lane's largest is at least the smallest of them: 16 entries are at or above it */
    uint32_t low = k <= 16 ? _mm512_reduce_min_epu32(most) : 0, high = _mm512_reduce_max_epu32(most) + 1;
    mask128 kept = mask_at_least(bits, low);
    size_t n = mask_count(kept);
    while (n != k && high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        mask128 here = mask_at_least(bits, middle);
        size_t count = mask_count(here);
        if (count < k) {
            high = middle;
            continue;
        }
        low = middle;
        kept = here;
        n = count;
    }
    return n == k ? kept : drop_ties(kept, mask_at_least(bits, low + 1), n - k);
}

AVX512_INLINE void store_kept(mask128 kept, const __m512 x[VECTORS], uint8_t *ret_index, float *ret_value)
{
    static const uint8_t ramp[64] __attribute__((aligned(64))) = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
        32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    __m512i index = _mm512_load_si512(ramp);
    size_t n = (size_t)__builtin_popcountll(kept.low), at = 0;
    _mm512_storeu_si512(ret_index, _mm512_maskz_compress_epi8(kept.low, index));
    _mm512_storeu_si512(ret_index + n, _mm512_maskz_compress_epi8(kept.high, _mm512_add_epi8(index, _mm512_set1_epi8(64))));
    for (size_t i = 0; i < VECTORS; i++) {
        __mmask16 part = (__mmask16)((i < VECTORS / 2 ? kept.low : kept.high) >> (16 * (i % (VECTORS / 2))));
        _mm512_storeu_ps(ret_value + at, _mm512_maskz_compress_ps(part, x[i]));
        at += (size_t)__builtin_popcount(part);
    }
}

/* Whole vectors are stored at up to k entries in: beyond 64 there would be no room for them. */
enum { K_MAX = 64 };

void kern_avx512_top_k(const float *row, size_t d, size_t k, uint8_t *ret_index, float *ret_value)
{
    if (k > K_MAX) {
        generic_top_k(row, d, k, ret_index, ret_value);
        return;
    }
    __m512 x[VECTORS];
    uint8_t index[KERN_HEAD_DIM_MAX];
    float value[KERN_HEAD_DIM_MAX];
    store_kept(top_k_mask(row, d, k, x), x, index, value);
    memcpy(ret_index, index, k);
    memcpy(ret_value, value, k * sizeof *value);
}

/* NaN becomes 0, infinities the largest float. */
AVX512_INLINE __m512 finite_only(__m512 x)
{
    __m512 limited = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-FLT_MAX)), _mm512_set1_ps(FLT_MAX));
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), limited);
}

AVX512_INLINE __m128i codes_of(__m512 x, __m512 scale)
{
    const __m512 top = _mm512_set1_ps(127);
    __m512 q = _mm512_min_ps(_mm512_max_ps(_mm512_div_ps(x, scale), _mm512_sub_ps(_mm512_setzero_ps(), top)), top);
    return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(q));
}

void kern_avx512_encode_key(const kern_kv_format *format, const float *row, uint8_t *ret_index, int8_t *ret_codes, uint16_t *ret_scale)
{
    size_t k = format->k_key;
    if (k > 16 || k == format->d) {
        generic_encode_key(format, row, ret_index, ret_codes, ret_scale);
        return;
    }
    __m512 x[VECTORS];
    uint8_t index[KERN_HEAD_DIM_MAX];
    float value[KERN_HEAD_DIM_MAX];
    store_kept(top_k_mask(row, format->d, k, x), x, index, value);
    memcpy(ret_index, index, k);
    __m512 kept = finite_only(_mm512_maskz_loadu_ps((__mmask16)((1u << k) - 1), value));
    *ret_scale = generic_scale(_mm512_reduce_max_ps(_mm512_abs_ps(kept)), 127);
    float scale = kern_f32_of_f16(*ret_scale);
    __m128i codes = scale > 0 ? codes_of(kept, _mm512_set1_ps(scale)) : _mm_setzero_si128();
    int8_t all[16];
    _mm_storeu_si128((__m128i *)(void *)all, codes);
    memcpy(ret_codes, all, k);
}

void kern_avx512_encode_query(const kern_kv_format *format, const float *row, int8_t *ret_table, float *ret_scale, float *ret_dense)
{
    size_t d = format->d;
    float root = 1 / sqrtf((float)d);
    __m512 x[VECTORS], most = _mm512_setzero_ps();
    mask128 kept = top_k_mask(row, d, format->k_query, x);
    for (size_t i = 0; i < VECTORS; i++) {
        __mmask16 part = (__mmask16)((i < VECTORS / 2 ? kept.low : kept.high) >> (16 * (i % (VECTORS / 2))));
        x[i] = _mm512_maskz_mov_ps(part, finite_only(x[i]));
        most = _mm512_max_ps(most, _mm512_abs_ps(x[i]));
    }
    float scale = _mm512_reduce_max_ps(most) / 127;
    for (size_t i = 0; i < VECTORS; i++) {
        __m128i codes = scale > 0 ? codes_of(x[i], _mm512_set1_ps(scale)) : _mm_setzero_si128();
        _mm_storeu_si128((__m128i *)(void *)(ret_table + i * 16), codes);
    }
    *ret_scale = scale * root;
    for (size_t i = 0; ret_dense && i < d / 16; i++) _mm512_storeu_ps(ret_dense + i * 16, _mm512_mul_ps(x[i], _mm512_set1_ps(root)));
}
