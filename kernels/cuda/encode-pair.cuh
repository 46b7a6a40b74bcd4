/* encode-pair.cuh: two rows of 128 floats to eight lanes: norm, rotation, the 16 of largest magnitude, 8-bit codes; for encode.cu.
 *
 * Owns: the arithmetic of many rows in registers, exact or said not to be.
 * Does not own: where rows come from and codes go, what becomes of a row that cannot be told this way (encode.cu).
 */
#ifndef KERN_CUDA_ENCODE_PAIR_CUH
#define KERN_CUDA_ENCODE_PAIR_CUH

#include "ptx.cuh"

#define MAGNITUDE 0x7fffffffu

/* Eight lanes hold two rows (two heads of a token), 16 features of each to a lane, so that a warp holds eight rows: lane j has features
 * 4 j + 32 m + 64 h + e, at [4 (m + 2 h) + e]; what RoPE turns together is in one lane. */
struct Pair {
    float x[2][16];
};

__device__ __forceinline__ float max_nan(float a, float b)
{
    float r;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
    return r;
}
__device__ __forceinline__ uint32_t half2_max(uint32_t a, uint32_t b)
{
    uint32_t r;
    asm("max.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}
__device__ __forceinline__ uint32_t half2_min(uint32_t a, uint32_t b)
{
    uint32_t r;
    asm("min.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}
__device__ __forceinline__ uint32_t eight_sum(uint32_t x)
{
#pragma unroll
    for (int o = 1; o < 8; o *= 2) x += __shfl_xor_sync(WARP_ALL, x, o);
    return x;
}

/* The two rows of 128 floats from `rows` on, into the lane's own places: no other lane reads them, so that waiting for the copy is enough. */
__device__ __forceinline__ void fetch_pair(uint32_t stage, const float *rows, int j)
{
#pragma unroll
    for (int i = 0; i < 8; i++) cp_async_16(stage + (i * 8 + j) * 16, (const float4 *)rows + i * 8 + j);
    cp_async_commit();
}

/* Cosines and sines of the lane's features: a token's heads share them. */
struct Turn {
    float c[8], s[8];
};
__device__ __forceinline__ void load_turn(Turn &t, const float *cos_row, const float *sin_row, int j)
{
#pragma unroll
    for (int m = 0; m < 2; m++) {
        float4 c = ((const float4 *)cos_row)[j + 8 * m], s = ((const float4 *)sin_row)[j + 8 * m];
        t.c[m * 4] = c.x, t.c[m * 4 + 1] = c.y, t.c[m * 4 + 2] = c.z, t.c[m * 4 + 3] = c.w;
        t.s[m * 4] = s.x, t.s[m * 4 + 1] = s.y, t.s[m * 4 + 2] = s.z, t.s[m * 4 + 3] = s.w;
    }
}

/* The rows that fetch_pair has brought. */
__device__ __forceinline__ void read_pair(Pair &p, const float4 *stage, int j)
{
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int b = 0; b < 4; b++) {
            float4 v = stage[(r * 4 + b) * 8 + j];
            p.x[r][b * 4] = v.x, p.x[r][b * 4 + 1] = v.y, p.x[r][b * 4 + 2] = v.z, p.x[r][b * 4 + 3] = v.w;
        }
}

/* What is one number for a row (a sum, a scale) is worked out for both rows at once: of the first by the even lanes, of the second by the odd
 * ones, `own` to each. So a chain of divisions and roots is run once, not twice. */
__device__ __forceinline__ void both_rows(float own, float (&of)[2], bool odd)
{
    float other = __shfl_xor_sync(WARP_ALL, own, 1);
    of[0] = odd ? other : own, of[1] = odd ? own : other;
}

__device__ __forceinline__ float own_sum(const float (&part)[2], bool odd)
{
    float own = (odd ? part[1] : part[0]) + __shfl_xor_sync(WARP_ALL, odd ? part[0] : part[1], 1);
    own += __shfl_xor_sync(WARP_ALL, own, 2);
    return own + __shfl_xor_sync(WARP_ALL, own, 4);
}

/* The largest magnitude; NaN if there is one. */
__device__ __forceinline__ float own_largest(const Pair &p, bool odd)
{
    float part[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        part[r] = fabsf(p.x[r][0]);
#pragma unroll
        for (int i = 1; i < 16; i++) part[r] = max_nan(part[r], fabsf(p.x[r][i]));
    }
    float own = max_nan(odd ? part[1] : part[0], __shfl_xor_sync(WARP_ALL, odd ? part[0] : part[1], 1));
    own = max_nan(own, __shfl_xor_sync(WARP_ALL, own, 2));
    return max_nan(own, __shfl_xor_sync(WARP_ALL, own, 4));
}

/* Norm and rotation as prepare_row has them. */
__device__ __forceinline__ void prepare_pair(Pair &p, const float *norm, float eps, bool turned, const Turn &turn, int j)
{
    if (norm) {
        float squares[2] = {0, 0}, factor[2];
#pragma unroll
        for (int r = 0; r < 2; r++)
#pragma unroll
            for (int i = 0; i < 16; i++) squares[r] += p.x[r][i] * p.x[r][i];
        float sum = own_sum(squares, j & 1);
        both_rows(__fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(sum * (1 / 128.0f), eps))), factor, j & 1);
#pragma unroll
        for (int b = 0; b < 4; b++) {
            float4 w = ((const float4 *)norm)[j + 8 * b];
            float ws[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int r = 0; r < 2; r++)
#pragma unroll
                for (int e = 0; e < 4; e++) p.x[r][b * 4 + e] = p.x[r][b * 4 + e] * factor[r] * ws[e];
        }
    }
    if (!turned) return;
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float low = p.x[r][i], high = p.x[r][8 + i];
            p.x[r][i] = __fsub_rn(__fmul_rn(low, turn.c[i]), __fmul_rn(high, turn.s[i]));
            p.x[r][8 + i] = __fadd_rn(__fmul_rn(high, turn.c[i]), __fmul_rn(low, turn.s[i]));
        }
}

/* Falling order of both rows' entries (a word has two numbers below 2^15, compared as f16: magnitudes' bits are ordered as the numbers), each
 * half of the 16 by itself: Batcher's odd-even merge sort. */
__device__ __forceinline__ void order(uint32_t &a, uint32_t &b)
{
    uint32_t high = half2_max(a, b);
    b = half2_min(a, b);
    a = high;
}
__device__ __forceinline__ void sort_eights(uint32_t (&v)[16])
{
#pragma unroll
    for (int p = 1; p < 8; p *= 2)
#pragma unroll
        for (int k = p; k >= 1; k /= 2)
#pragma unroll
            for (int i = 0; i < 16; i++)
                if (i / 8 == (i + k) / 8 && i % 8 >= k % p && (i % 8 - k % p) / k % 2 == 0 && i / (2 * p) == (i + k) / (2 * p)) order(v[i], v[i + k]);
}
/* The same of a bitonic sequence of 8. */
__device__ __forceinline__ void sort_bitonic(uint32_t (&v)[8])
{
#pragma unroll
    for (int step = 4; step; step /= 2)
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (!(i & step)) order(v[i], v[i + step]);
}

/* Two lanes (they differ in bit 0) share a bitonic sequence of 16: the larger ones of the pairs eight apart go to the even lane, the others to
 * the odd one; then each sorts its eight. `reversed`: the odd lane has its half the other way round. The smaller of two is their sum less the
 * larger: their bits are numbers below 2^15. */
__device__ __forceinline__ void sort_shared(uint32_t (&v)[8], bool reversed, bool odd)
{
    uint32_t other[8];
#pragma unroll
    for (int i = 0; i < 8; i++) other[i] = __shfl_xor_sync(WARP_ALL, v[reversed ? 7 - i : i], 1);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        uint32_t larger = half2_max(v[i], other[i]);
        v[i] = odd ? v[i] + other[i] - larger : larger;
    }
    sort_bitonic(v);
}

/* A lower bound of the 16th largest of the 8 lanes' 128, of both rows: it is the 16th largest of what the lanes' 8 largest are (more than 8 of
 * the 16 in one lane are rare, and then more pass the bound). Each lane sorts its 8; lists are merged (of two falling lists, the larger of each
 * pair from both ends are the largest), two lanes to a list; of the last merge only the smallest is wanted. */
__device__ __forceinline__ uint32_t sixteenth(uint32_t (&v)[16], int lane)
{
    uint32_t half[8], other[8];
    bool odd = lane & 1;
    sort_eights(v);
#pragma unroll
    for (int i = 0; i < 8; i++) half[i] = half2_max(v[i], v[15 - i]);
    sort_bitonic(half);
    sort_shared(half, true, odd);
#pragma unroll
    for (int i = 0; i < 8; i++) other[i] = __shfl_xor_sync(WARP_ALL, half[7 - i], 3);
#pragma unroll
    for (int i = 0; i < 8; i++) half[i] = half2_max(half[i], other[i]);
    sort_shared(half, false, odd);
#pragma unroll
    for (int i = 0; i < 8; i++) other[i] = half2_max(half[i], __shfl_xor_sync(WARP_ALL, half[7 - i], 5));
#pragma unroll
    for (int i = 1; i < 8; i++) other[0] = half2_min(other[0], other[i]);
    return half2_min(other[0], __shfl_xor_sync(WARP_ALL, other[0], 1));
}

/* A byte for each of four bits: all ones or zero. */
__device__ __forceinline__ uint32_t bytes_of_bits(uint32_t four)
{
    uint32_t bytes;
    asm("prmt.b32 %0, %1, 0, 0xba98;" : "=r"(bytes) : "r"(four * 0x10204080u)); /* each byte its highest bit, eight times */
    return bytes;
}
__device__ __forceinline__ uint32_t bits_of_bytes(const uint32_t (&bytes)[4])
{
    uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < 16; i++) bits |= bytes[i / 4] >> 8 * (i % 4) & 1 ? 1u << i : 0;
    return bits;
}

/* n > 16 entries passed the bound in some row: the smallest go, by their floats. False: cannot be told by them (equal ones on both sides of the
 * border), or too many. n: how many there are in the lane's row; mask: the lane's 16 bits. */
__device__ __noinline__ bool remove_smallest(const float (&x)[16], uint32_t &mask, int n)
{
    bool good = n <= 24;
    if (!good) n = 16;
    while (__any_sync(WARP_ALL, n > 16)) {
        uint32_t least = 0xffffffffu, gone = 0;
#pragma unroll
        for (int i = 0; i < 16; i++) least = mask >> i & 1 ? min(least, __float_as_uint(x[i]) & MAGNITUDE) : least;
#pragma unroll
        for (int o = 1; o < 8; o *= 2) least = min(least, __shfl_xor_sync(WARP_ALL, least, o));
#pragma unroll
        for (int i = 0; i < 16; i++)
            if ((mask >> i & 1) && (__float_as_uint(x[i]) & MAGNITUDE) == least) gone |= 1u << i;
        int n_gone = (int)eight_sum(__popc(gone));
        if (n <= 16) continue;
        if (n - n_gone < 16) good = false, n = 16;
        else n -= n_gone, mask &= ~gone;
    }
    return good;
}
__device__ __forceinline__ bool keep_no_more(const float (&x)[16], uint32_t (&bytes)[4])
{
    int n = (int)eight_sum((__popc(bytes[0]) + __popc(bytes[1]) + __popc(bytes[2]) + __popc(bytes[3])) / 8);
    if (!__any_sync(WARP_ALL, n > 16)) return true;
    float copy[16]; /* what a function is given by address lives in memory: not the rows themselves */
    uint32_t kept = bits_of_bytes(bytes);
#pragma unroll
    for (int i = 0; i < 16; i++) copy[i] = x[i];
    bool good = remove_smallest(copy, kept, n);
#pragma unroll
    for (int b = 0; b < 4; b++) bytes[b] = bytes_of_bits(kept >> 4 * b & 15);
    return good;
}

/* The 16 of largest magnitude of both rows: bytes of all ones. Compared are numbers of 15 bits, linear in the magnitude (249 x what its code would
 * be, which stays below the bits of f16's infinity): of f16 magnitudes ten times as many rows have several that share the 16th place.
 * False for a row: cannot be told (the slow way). */
__device__ __forceinline__ void keep_16_of_pair(const Pair &p, const float (&reciprocal)[2], uint32_t (&bytes)[2][4], bool (&good)[2])
{
    uint32_t v[16], magnitude[16], pairs[8];
    float factor[2] = {reciprocal[0] * 249.0f, reciprocal[1] * 249.0f};
#pragma unroll
    for (int i = 0; i < 16; i++) /* added to 2^23, a number's integer part is the float's low bits */
        v[i] = magnitude[i] = __byte_perm(__float_as_uint(__fmaf_rn(fabsf(p.x[0][i]), factor[0], 8388608.0f)),
                                          __float_as_uint(__fmaf_rn(fabsf(p.x[1][i]), factor[1], 8388608.0f)), 0x5410);
    uint32_t bound = sixteenth(v, threadIdx.x);
    int n = 0; /* of the first row's kept ones, plus 127 x the second's: 16 of each is the only way to 16 x 128 */
#pragma unroll
    for (int i = 0; i < 8; i++) {
        uint32_t low, high;
        asm("set.ge.u32.f16x2 %0, %1, %2;" : "=r"(low) : "r"(magnitude[2 * i]), "r"(bound));
        asm("set.ge.u32.f16x2 %0, %1, %2;" : "=r"(high) : "r"(magnitude[2 * i + 1]), "r"(bound));
        pairs[i] = __byte_perm(low, high, 0x6240);
        n = __dp4a((int)pairs[i], (int)0x8181ffffu, n); /* bytes of -1 by -1 and -127 */
    }
    n = (int)eight_sum((uint32_t)n);
#pragma unroll
    for (int b = 0; b < 4; b++) {
        bytes[0][b] = __byte_perm(pairs[2 * b], pairs[2 * b + 1], 0x5410);
        bytes[1][b] = __byte_perm(pairs[2 * b], pairs[2 * b + 1], 0x7632);
    }
    good[0] = good[1] = true;
    if (!__any_sync(WARP_ALL, n != 16 * 128)) return;
#pragma unroll
    for (int r = 0; r < 2; r++) good[r] = keep_no_more(p.x[r], bytes[r]);
}

/* Codes, words of features 4 j + 32 b ..: the quotient as a division rounds it, then the nearest integer. With the reciprocal that is the
 * nearest float, one correction by the exact remainder gives that: compared with the division for every mantissa of a scale and the
 * floats around all ties of two codes. */
__device__ __forceinline__ void code_words(const float (&x)[16], float scale, float reciprocal, uint32_t (&words)[4])
{
#pragma unroll
    for (int b = 0; b < 4; b++) {
        uint32_t bits[4];
#pragma unroll
        for (int e = 0; e < 4; e++) {
            float v = x[b * 4 + e], q = __fmul_rn(v, reciprocal);
            q = __fmaf_rn(__fmaf_rn(-q, scale, v), reciprocal, q);
            bits[e] = __float_as_uint(__fadd_rn(q, 12582912.0f)); /* 1.5 x 2^23: the low byte is the integer's */
        }
        words[b] = __byte_perm(__byte_perm(bits[0], bits[1], 0x0040), __byte_perm(bits[2], bits[3], 0x0040), 0x5410);
    }
}

#endif
