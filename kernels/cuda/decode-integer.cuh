/* decode-integer.cuh: weights times values in integers, for few columns over 8-bit and 4-bit values.
 *
 * Owns: one step's softmax, products and sums of decode.cu for those. Does not own: scores, loads of keys, the merge.
 *
 * Values go to the tensor cores as the bytes they are (4-bit ones times 16). A weight is a 32-bit fixed-point number, 2^24 where it equals the
 * reference, whose four bytes are columns of their own: two columns fill the eight of a product of 32 tokens, and all products and sums are
 * exact. The reference is a maximum that moves only when a weight passes 2^8 times it: then, and only then, the sums of bytes become floats,
 * which lie in shared memory, and are multiplied.
 */
#ifndef KERN_CUDA_DECODE_INTEGER_CUH
#define KERN_CUDA_DECODE_INTEGER_CUH

#define INTEGER_ONE 16777216.0f
#define INTEGER_TOP 4294967040.0f /* the largest float below 2^32 */
#define DIGIT_WORDS 48            /* 32 tokens' weights of a column, so that two columns lie in other banks */

template <int NC> struct IntegerSums {
    float m[NC], l[NC]; /* m: what weights are relative to */
    int c[NC / 2][8][4]; /* tiles of 16 features x (2 columns x 4 bytes of the weight) */
};

/* Dynamic shared memory: the warps' sums, which integers have throughout and others only at the end, and their exchange areas, in floats. */
template <int VK, int NC, int WARPS, bool INTEGER = Integer<VK, NC>::yes> struct Layout {
    static constexpr bool integer = INTEGER;
    static constexpr int sums = NC * 128, exchange = Values<VK>::groups * NC * (integer ? DIGIT_WORDS : 2 * PB_WORDS);
    static constexpr int first_exchange = integer ? WARPS * sums : 0;
    static constexpr int bytes = 4 * (first_exchange + WARPS * (integer || exchange > sums ? exchange : sums));
};

template <int VK, int NC, bool INTEGER> struct WarpSums {
    typedef Sums<VK, NC> type;
};
template <int VK, int NC> struct WarpSums<VK, NC, true> {
    typedef IntegerSums<NC> type;
};

/* Loads that leave the register as it is where there is no such token: its weight is 0. */
__device__ __forceinline__ void load_if(bool there, uint32_t *v, const uint4 *p)
{
    asm volatile("{\n.reg .pred there;\nsetp.ne.u32 there, %5, 0;\n@there ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];\n}"
                 : "+r"(v[0]), "+r"(v[1]), "+r"(v[2]), "+r"(v[3]) : "l"(p), "r"((uint32_t)there));
}
__device__ __forceinline__ void load_if(bool there, uint32_t *v, const uint32_t *p)
{
    asm volatile("{\n.reg .pred there;\nsetp.ne.u32 there, %2, 0;\n@there ld.global.nc.L1::no_allocate.u32 %0, [%1];\n}"
                 : "+r"(*v) : "l"(p), "r"((uint32_t)there));
}

/* Which tokens of a tile a lane has: first(lane) + offset(i), i < 8; the first four are one half of a product. at: where a token's weight goes,
 * so that a lane's lie beside each other. 4-bit rows in shared memory are read from fewer banks twice this way, 8-bit ones if units lie apart. */
template <int VK, bool APART = false> struct Order {
    static __device__ int first(int lane) { return APART ? (lane & 2) * 8 + (lane & 1) : VK == KERN_VALUE_Q4 ? lane & 3 : (lane & 3) * 4; }
    static constexpr __device__ int offset(int i) { return APART ? 2 * i : i / 4 * 16 + i % 4 * (VK == KERN_VALUE_Q4 ? 4 : 1); }
    static __device__ int at(int token)
    {
        if (APART) return (token & 8) << 1 | (token & 16) >> 1 | (token & 1) << 2 | (token >> 1 & 3);
        return VK == KERN_VALUE_Q4 ? (token & 16) | (token & 3) << 2 | (token >> 2 & 3) : token;
    }
};

/* The tile's rows; g chooses the features. */
template <int SK, int VK> __device__ __forceinline__ void load_rows(Ahead<SK, VK> &a, const Cursor &c, int lane)
{
    constexpr uint32_t bytes = VK == KERN_VALUE_Q8 ? 128 : 64;
    typedef Order<VK> order;
    uint32_t first = a.token + order::first(lane), g = lane >> 2;
    const uint8_t *rows = c.rows + (uint64_t)first * bytes + g * (VK == KERN_VALUE_Q8 ? 16 : 4);
#pragma unroll
    for (uint32_t i = 0; i < 8; i++) {
        bool there = first + order::offset(i) < c.n_tokens;
        if (VK == KERN_VALUE_Q8) load_if(there, a.v + i * 4, (const uint4 *)(rows + order::offset(i) * bytes));
        else {
            load_if(there, a.v + i * 2, (const uint32_t *)(rows + order::offset(i) * bytes));
            load_if(there, a.v + i * 2 + 1, (const uint32_t *)(rows + order::offset(i) * bytes + 32));
        }
    }
}

template <int VK, int NC> __device__ __forceinline__ void clear_sums(IntegerSums<NC> &sums, float *floats, int lane)
{
#pragma unroll
    for (int i = 0; i < NC; i++) sums.m[i] = -INFINITY, sums.l[i] = 0;
#pragma unroll
    for (int n = 0; n < NC / 2; n++)
#pragma unroll
        for (int i = 0; i < 32; i++) sums.c[n][i / 4][i % 4] = 0;
#pragma unroll
    for (int i = 0; i < NC * 4; i++) floats[i * 32 + lane] = 0;
}

/* What bytes of weights summed up to since the last time, as floats, is added to what lies in `floats`; keep: by column, the factor for both.
 * A lane has two bytes of one of a product's columns: even lanes the lower ones, and the place for all four. */
template <int NC> __device__ __forceinline__ void keep_sums(IntegerSums<NC> &sums, float *floats, const float (&keep)[NC], int lane)
{
#pragma unroll
    for (int n = 0; n < NC / 2; n++) {
        float factor = lane & 2 ? keep[n * 2 + 1] : keep[n * 2];
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float *at = floats + ((n * 8 + i) * 2 + r) * 16 + lane / 2, v = (float)sums.c[n][i][r * 2] + 256.0f * (float)sums.c[n][i][r * 2 + 1];
                v += 65536.0f * __shfl_down_sync(WARP_ALL, v, 1);
                if (lane % 2 == 0) *at = (*at + v) * factor;
                sums.c[n][i][r * 2] = sums.c[n][i][r * 2 + 1] = 0;
            }
    }
}

/* Scores -> weights, 2^(score - m); scales: of the token's value row, times INTEGER_ONE. */
template <int VK, int NC>
__device__ __forceinline__ void weigh_integer(IntegerSums<NC> &sums, float *floats, float (&score)[NC], const Shared<NC> &s, uint32_t token, uint32_t n_tokens,
                                              const float *scales, int lane)
{
    float largest = INTEGER_ONE * 0x1p-24f, p[NC];
    bool seen[NC], pass = false;
#pragma unroll
    for (int i = 0; i < Values<VK>::groups; i++) largest = fmaxf(largest, scales[i]);
#pragma unroll
    for (int i = 0; i < NC; i++) {
        seen[i] = token < min(n_tokens, s.visible[i]);
        p[i] = seen[i] ? exp2_fast(score[i] - sums.m[i]) : 0.0f;
        pass |= !(p[i] * largest <= INTEGER_TOP); /* before the first one: infinite */
    }
    if (__any_sync(WARP_ALL, pass)) {
        float keep[NC], log_scale = log2_fast(largest) - 24;
#pragma unroll
        for (int i = 0; i < NC; i++) {
            float top = fmaxf(sums.m[i], warp_max(seen[i] ? score[i] + log_scale : -INFINITY));
            keep[i] = sums.m[i] > -INFINITY ? exp2_fast(sums.m[i] - top) : 0.0f;
            sums.m[i] = top, sums.l[i] *= keep[i];
            p[i] = seen[i] ? exp2_fast(score[i] - top) : 0.0f;
        }
        keep_sums<NC>(sums, floats, keep, lane);
    }
#pragma unroll
    for (int i = 0; i < NC; i++) sums.l[i] += p[i], score[i] = p[i];
}

/* The lane's weights as integers: [group][column][32 tokens]; at: of its token (Order). */
template <int VK, int NC> __device__ __forceinline__ void put_digits(uint32_t *area, const float (&p)[NC], const float *scales, int at)
{
#pragma unroll
    for (int g = 0; g < Values<VK>::groups; g++)
#pragma unroll
        for (int i = 0; i < NC; i++) area[(g * NC + i) * DIGIT_WORDS + at] = __float2uint_rn(p[i] * scales[g]);
}

/* Four rows of four bytes -> the bytes' columns. */
__device__ __forceinline__ void turn_bytes(uint32_t (&to)[4], uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    uint32_t low1 = __byte_perm(a, b, 0x5140), low2 = __byte_perm(c, d, 0x5140), high1 = __byte_perm(a, b, 0x7362), high2 = __byte_perm(c, d, 0x7362);
    to[0] = __byte_perm(low1, low2, 0x5410), to[1] = __byte_perm(low1, low2, 0x7632);
    to[2] = __byte_perm(high1, high2, 0x5410), to[3] = __byte_perm(high1, high2, 0x7632);
}

/* Byte lane / 4 % 4 of four tokens' weights, as the product takes them. */
__device__ __forceinline__ uint32_t digits_of(uint4 w, uint32_t choice)
{
    return __byte_perm(__byte_perm(w.x, w.y, choice), __byte_perm(w.z, w.w, choice), 0x5410);
}

/* One tile: values [16 features][32 tokens] times weights' bytes [32 tokens][2 columns x 4]. */
template <int VK, int NC> __device__ __forceinline__ void add_rows(IntegerSums<NC> &sums, const uint32_t *v, const uint32_t *area, int lane)
{
    constexpr int groups = Values<VK>::groups, n_words = VK == KERN_VALUE_Q8 ? 4 : 2, n_parts = VK == KERN_VALUE_Q4 ? 2 : 1;
    uint32_t t = lane & 3, column = lane >> 4, choice = (lane >> 2 & 3) * 0x11 + 0x40, b[groups][NC / 2][2];
#pragma unroll
    for (int q = 0; q < groups; q++)
#pragma unroll
        for (int n = 0; n < NC / 2; n++) {
            const uint4 *from = (const uint4 *)(area + (q * NC + n * 2 + column) * DIGIT_WORDS) + t;
            b[q][n][0] = digits_of(from[0], choice), b[q][n][1] = digits_of(from[4], choice);
        }
#pragma unroll
    for (int w = 0; w < n_words; w++) {
        uint32_t x[4], y[4];
        turn_bytes(x, v[w], v[n_words + w], v[2 * n_words + w], v[3 * n_words + w]);
        turn_bytes(y, v[4 * n_words + w], v[5 * n_words + w], v[6 * n_words + w], v[7 * n_words + w]);
#pragma unroll
        for (int part = 0; part < n_parts; part++)
#pragma unroll
            for (int pair = 0; pair < 2; pair++) {
                uint32_t a[4] = {x[pair * 2], x[pair * 2 + 1], y[pair * 2], y[pair * 2 + 1]};
#pragma unroll
                for (int i = 0; i < 4 && VK == KERN_VALUE_Q4; i++) a[i] = ((part ? a[i] : a[i] << 4) & 0xf0f0f0f0u) ^ 0x80808080u; /* 16 (nibble - 8) */
                int tile = VK == KERN_VALUE_Q8 ? 2 * w + pair : 2 * (w + 2 * part) + pair, group = VK == KERN_VALUE_Q8 ? 0 : w + 2 * part;
#pragma unroll
                for (int n = 0; n < NC / 2; n++) mma_s8_u8(sums.c[n][tile], a, b[group][n][0], b[group][n][1]);
            }
    }
}

/* All of a warp's sums as floats, in the order of record_at. */
template <int VK, int NC> __device__ __forceinline__ void put_sums(IntegerSums<NC> &sums, float *floats, int lane)
{
    float one[NC];
#pragma unroll
    for (int i = 0; i < NC; i++) one[i] = 1 / INTEGER_ONE / (VK == KERN_VALUE_Q4 ? 16 : 1);
    keep_sums<NC>(sums, floats, one, lane);
}

#endif
