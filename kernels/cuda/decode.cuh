/* decode.cuh: what the kernels of a few query rows over many cached tokens share (decode.cu, decode-sm90.cu).
 *
 * Owns: sections and tiles, scores, weights and products by floats, the exact merge. Does not own: weights in integers (decode-integer.cuh),
 *       bulk copies (decode-sm90.cu), launches.
 */
#ifndef KERN_CUDA_DECODE_CUH
#define KERN_CUDA_DECODE_CUH

#include "gpu.h"
#include "ptx.cuh"

enum {
    SCORE_CODE8_K16, /* 16 kept features of 8 bits */
    SCORE_CODE8,     /* any k, or dense */
    SCORE_CODE32,
};
#define VALUE_ANY 9 /* any type and dimension, without tensor cores */
#define LOG2_E 1.4426950408889634f
#define WEIGHT_ONE 16384.0f /* the weight 1 in f16: small weights keep clear of subnormals */
#define MERGE_FLOATS 132 /* of a warp's merged sums: 128, sum of weights, maximum; within the area of its own ones */
#define PB_WORDS 20         /* 32 tokens of f16, padded against bank conflicts */

template <int VK> struct Values {
    static constexpr int groups = VK == KERN_VALUE_Q4 ? 4 : 1; /* scales of a row */
    static constexpr int words = VK == KERN_VALUE_F16 ? 64 : VK == KERN_VALUE_Q8 ? 32 : VK == KERN_VALUE_Q4 ? 16 : 1;
};

/* Columns are told apart by the bytes of an entry. Two columns: entries of 16 bits, which lie in fewer banks twice. */
template <int NC> struct Table {
    static constexpr int words = (NC + 3) / 4;
    typedef uint32_t entry;
};
template <> struct Table<2> {
    static constexpr int words = 1;
    typedef uint16_t entry;
};

/* Whether sums are integers: a lane's are 16 for each column. */
template <int VK, int NC> struct Integer {
    static constexpr bool yes = (VK == KERN_VALUE_Q8 && NC <= 2) || (VK == KERN_VALUE_Q4 && NC <= 4);
};

template <int NC> struct Shared {
    typename Table<NC>::entry table[Table<NC>::words][128];
    float scale[NC];
    uint32_t visible[NC];
    float m[16][NC], l[16][NC];
    uint32_t launch; /* the mark of this launch's parts */
    uint32_t last;
};

/* Where a warp stands in its group's list of sections. */
struct Cursor {
    const uint8_t *keys, *rows;
    const uint16_t *scales;
    uint32_t n_tokens, first_tile, end_tile, section;
};

__device__ __forceinline__ void enter(Cursor &c, const gpu_section &s, int head, int layer)
{
    const uint8_t *base = s.base + layer * s.layer_stride;
    c.keys = base + head * s.key_head_bytes;
    c.rows = base + s.rows_offset + head * s.row_head_bytes;
    c.scales = (const uint16_t *)(base + s.scales_offset + head * s.scale_head_bytes);
    c.n_tokens = s.n_tokens;
}

__device__ __forceinline__ void seek(Cursor &c, const gpu_group &g, uint32_t tile, int head, int layer)
{
    if (tile < c.end_tile) return;
    do {
        c.section++;
        c.first_tile = c.end_tile;
        c.end_tile = g.first_tile[c.section + 1];
    } while (tile >= c.end_tile);
    enter(c, g.sections[c.section], head, layer);
}

__device__ __forceinline__ Cursor first_cursor(const gpu_part &p, int head, int layer)
{
    Cursor c = {NULL, NULL, NULL, 0, p.section_first, p.section_end, p.section_index};
    enter(c, p.section, head, layer);
    return c;
}

/* What a lane holds of the tile to come: its token's codes (k = 16), and its share of the value rows. */
template <int SK, int VK> struct Ahead {
    uint32_t index[4], value[4];
    uint16_t key_scale, scales[Values<VK>::groups];
    uint32_t v[Values<VK>::words];
    uint32_t token; /* first of the tile */
};

template <int SK, int VK> __device__ __forceinline__ void load_keys(Ahead<SK, VK> &a, const Cursor &c, const gpu_format &f, uint32_t tile, int lane)
{
    a.token = (tile - c.first_tile) * GPU_TILE_TOKENS;
    uint32_t token = min(a.token + lane, c.n_tokens - 1);
    if (SK == SCORE_CODE8_K16) {
        const uint8_t *unit = c.keys + (uint64_t)(token / 16) * 544;
        const uint32_t *words = (const uint32_t *)unit + token % 16;
#pragma unroll
        for (int i = 0; i < 4; i++) a.index[i] = load_stream(words + 16 * i);
#pragma unroll
        for (int i = 0; i < 4; i++) a.value[i] = load_stream(words + 64 + 16 * i);
        a.key_scale = __ldg((const uint16_t *)(unit + 512) + token % 16);
    }
    if (VK == KERN_VALUE_Q8) a.scales[0] = __ldg(c.scales + token);
    if (VK == KERN_VALUE_Q4) {
        uint2 four = __ldg((const uint2 *)(c.scales + (uint64_t)token * 4));
        a.scales[0] = four.x & 0xffff, a.scales[1] = four.x >> 16, a.scales[2] = four.y & 0xffff, a.scales[3] = four.y >> 16;
    }
}

/* Rows 2t, 2t + 1, 2t + 8, 2t + 9 of each half tile: the tokens of this lane's fragments; g = lane / 4 chooses the features. */
template <int SK, int VK> __device__ __forceinline__ void load_values(Ahead<SK, VK> &a, const Cursor &c, int half, int lane)
{
    int t = lane & 3, g = lane >> 2;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t token = min(a.token + half * 16 + 2 * t + (i & 1) + (i >> 1) * 8, c.n_tokens - 1);
            int at = half * 4 + i;
            if (VK == KERN_VALUE_Q8) {
                uint4 v = load_stream((const uint4 *)(c.rows + (uint64_t)token * 128) + g);
                a.v[at * 4] = v.x, a.v[at * 4 + 1] = v.y, a.v[at * 4 + 2] = v.z, a.v[at * 4 + 3] = v.w;
            } else if (VK == KERN_VALUE_F16) {
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    uint4 v = load_stream((const uint4 *)(c.rows + (uint64_t)token * 256) + g + 8 * j);
                    uint32_t *to = a.v + at * 8 + j * 4;
                    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
                }
            } else if (VK == KERN_VALUE_Q4) {
                const uint32_t *row = (const uint32_t *)(c.rows + (uint64_t)token * 64);
                a.v[at * 2] = load_stream(row + g);
                a.v[at * 2 + 1] = load_stream(row + g + 8);
            }
        }
}

/* Four features of one token: table words of four columns each, turned so that dp4a sums features. */
template <int NC> __device__ __forceinline__ void add_features(const Shared<NC> &s, uint32_t index, uint32_t value, int (&sum)[NC])
{
#pragma unroll
    for (int h = 0; h < Table<NC>::words; h++) {
        uint32_t w0 = s.table[h][index & 127], w1 = s.table[h][index >> 8 & 127];
        uint32_t w2 = s.table[h][index >> 16 & 127], w3 = s.table[h][index >> 24 & 127];
        uint32_t a = __byte_perm(w0, w1, 0x5140), b = __byte_perm(w2, w3, 0x5140);
        sum[h * 4] = __dp4a((int)__byte_perm(a, b, 0x5410), (int)value, sum[h * 4]);
        sum[h * 4 + 1] = __dp4a((int)__byte_perm(a, b, 0x7632), (int)value, sum[h * 4 + 1]);
        if constexpr (NC == 2) continue;
        uint32_t c = __byte_perm(w0, w1, 0x7362), e = __byte_perm(w2, w3, 0x7362);
        sum[NC == 2 ? 0 : h * 4 + 2] = __dp4a((int)__byte_perm(c, e, 0x5410), (int)value, sum[NC == 2 ? 0 : h * 4 + 2]);
        sum[NC == 2 ? 0 : h * 4 + 3] = __dp4a((int)__byte_perm(c, e, 0x7632), (int)value, sum[NC == 2 ? 0 : h * 4 + 3]);
    }
}

/* Scores, base 2, of this lane's token for all columns; `dense`: the columns' float queries [NC][d], for CODE32. */
template <int SK, int VK, int NC>
__device__ __forceinline__ void score_token(const Shared<NC> &s, const Ahead<SK, VK> &a, const Cursor &c, const gpu_format &f,
                                            const float *const *dense, int lane, float (&score)[NC])
{
    if constexpr (SK == SCORE_CODE32) {
        uint32_t token = min(a.token + lane, c.n_tokens - 1), t = token % 16;
        const uint8_t *unit = c.keys + (uint64_t)(token / 16) * f.unit_bytes;
        const float *values = (const float *)(unit + f.index_bytes);
#pragma unroll
        for (int i = 0; i < NC; i++) score[i] = 0;
        for (int j = 0; j < f.k_key; j++) {
            int at = j / 4 * 64 + t * 4 + j % 4, feature = f.index_bytes ? unit[at] & 127 : j;
            float v = values[at];
#pragma unroll
            for (int i = 0; i < NC; i++) score[i] += dense[i] && feature < f.d ? dense[i][feature] * v : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < NC; i++) score[i] *= LOG2_E;
    } else {
        int sum[NC];
#pragma unroll
        for (int i = 0; i < NC; i++) sum[i] = 0;
        float key_scale;
        if (SK == SCORE_CODE8_K16) {
#pragma unroll
            for (int i = 0; i < 4; i++) add_features<NC>(s, a.index[i], a.value[i], sum);
            key_scale = half_bits_to_float(a.key_scale);
        } else {
            uint32_t token = min(a.token + lane, c.n_tokens - 1);
            const uint8_t *unit = c.keys + (uint64_t)(token / 16) * f.unit_bytes;
            const uint32_t *index = (const uint32_t *)unit + token % 16, *value = (const uint32_t *)(unit + f.index_bytes) + token % 16;
            for (int j = 0; j < f.k_key / 4; j++)
                add_features<NC>(s, f.index_bytes ? index[16 * j] : 0x03020100u + 0x04040404u * j, value[16 * j], sum);
            key_scale = half_bits_to_float(((const uint16_t *)(unit + f.index_bytes + f.k_key * 16))[token % 16]);
        }
#pragma unroll
        for (int i = 0; i < NC; i++) score[i] = (float)sum[i] * key_scale * s.scale[i];
    }
}

/* Accumulators of one warp: 8 tiles of 16 features x 8 columns, or, without tensor cores, 4 features a lane. */
template <int VK, int NC> struct Sums {
    float m[NC], l[NC];
    float c[VK == VALUE_ANY ? NC : 8][4];
};

/* One step of the online softmax: the tile's maximum, the factor for what was summed before, the weights. */
template <int VK, int NC>
__device__ __forceinline__ void weigh(Sums<VK, NC> &sums, float (&score)[NC], const Shared<NC> &s, uint32_t token, uint32_t n_tokens, float log_scale,
                                      int lane)
{
    float keep[NC];
    bool changed = false;
#pragma unroll
    for (int i = 0; i < NC; i++) {
        bool seen = token < n_tokens && token < s.visible[i];
        float top = fmaxf(sums.m[i], warp_max(seen ? score[i] + log_scale : -INFINITY));
        keep[i] = top == sums.m[i] ? 1.0f : exp2_fast(sums.m[i] - top);
        changed |= keep[i] != 1.0f;
        sums.m[i] = top;
        score[i] = seen ? exp2_fast(score[i] - top) : 0.0f;
        sums.l[i] = sums.l[i] * keep[i] + score[i];
    }
    if (!changed) return;
    if (VK == VALUE_ANY) {
#pragma unroll
        for (int i = 0; i < NC; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) sums.c[VK == VALUE_ANY ? i : 0][j] *= keep[i];
        return;
    }
    int t = lane & 3;
    float a = keep[0], b = keep[1];
#pragma unroll
    for (int i = 2; i < NC; i += 2)
        if ((NC == 4 ? t & 1 : t) == i / 2) a = keep[i], b = keep[i + 1];
#pragma unroll
    for (int i = 0; i < (VK == VALUE_ANY ? 0 : 8); i++) sums.c[i][0] *= a, sums.c[i][1] *= b, sums.c[i][2] *= a, sums.c[i][3] *= b;
}

/* The lane's weights, times the scale of each group, as f16 and remainder, to the exchange area [group][16 or 8 columns][32 tokens]. */
template <int VK, int NC> __device__ __forceinline__ void put_weights(uint32_t *area, const float (&p)[NC], const float *scales, int lane)
{
    __half *to = (__half *)area + lane;
#pragma unroll
    for (int g = 0; g < Values<VK>::groups; g++)
#pragma unroll
        for (int i = 0; i < NC; i++) {
            float x = p[i] * scales[g];
            __half high = __float2half_rn(x), low = __float2half_rn(x - __half2float(high));
            to[(g * 2 * NC + i) * PB_WORDS * 2] = high;
            to[(g * 2 * NC + NC + i) * PB_WORDS * 2] = low;
        }
}

template <int NC> __device__ __forceinline__ void mma_weights(float (&c)[4], const uint32_t (&a)[4], const uint32_t *b)
{
    mma_f16(c, a, b[0], b[1]);
    if (NC == 8) mma_f16(c, a, b[2], b[3]);
}

/* Adds one half tile (16 tokens): values as the A operand [16 features][16 tokens], weights as B [16 tokens][8 columns]. */
template <int VK, int NC>
__device__ __forceinline__ void add_values(Sums<VK, NC> &sums, const uint32_t *v, const uint32_t *area, int half, int lane)
{
    int t = lane & 3, g = lane >> 2;
    uint32_t b[Values<VK>::groups][4];
#pragma unroll
    for (int q = 0; q < Values<VK>::groups; q++) {
        const uint32_t *from = area + (q * 2 * NC + g) * PB_WORDS + half * 8 + t;
        b[q][0] = from[0], b[q][1] = from[4];
        if (NC == 8) b[q][2] = from[8 * PB_WORDS], b[q][3] = from[8 * PB_WORDS + 4];
    }
    if (VK == KERN_VALUE_F16) {
#pragma unroll
        for (int w = 0; w < 8; w++) {
            uint32_t a[4] = {__byte_perm(v[w], v[8 + w], 0x5410), __byte_perm(v[w], v[8 + w], 0x7632),
                             __byte_perm(v[16 + w], v[24 + w], 0x5410), __byte_perm(v[16 + w], v[24 + w], 0x7632)};
            mma_weights<NC>(sums.c[VK == VALUE_ANY ? 0 : w], a, b[0]);
        }
        return;
    }
    constexpr int n_words = VK == KERN_VALUE_Q8 ? 4 : 2, n_parts = VK == KERN_VALUE_Q4 ? 2 : 1;
#pragma unroll
    for (int w = 0; w < n_words; w++)
#pragma unroll
        for (int part = 0; part < n_parts; part++) {
            uint32_t r[4], bias = VK == KERN_VALUE_Q4 ? HALF2_1032 : HALF2_1152;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                uint32_t word = v[i * n_words + w];
                r[i] = VK == KERN_VALUE_Q4 ? (word >> 4 * part & 0x0f0f0f0fu) : word ^ 0x80808080u;
            }
            uint32_t low01 = __byte_perm(r[0], r[1], 0x5140), high01 = __byte_perm(r[0], r[1], 0x7362);
            uint32_t low89 = __byte_perm(r[2], r[3], 0x5140), high89 = __byte_perm(r[2], r[3], 0x7362);
            const uint32_t sixes = 0x64646464u;
            uint32_t a[4] = {half2_minus(__byte_perm(low01, sixes, 0x4140), bias), half2_minus(__byte_perm(low01, sixes, 0x4342), bias),
                             half2_minus(__byte_perm(low89, sixes, 0x4140), bias), half2_minus(__byte_perm(low89, sixes, 0x4342), bias)};
            uint32_t e[4] = {half2_minus(__byte_perm(high01, sixes, 0x4140), bias), half2_minus(__byte_perm(high01, sixes, 0x4342), bias),
                             half2_minus(__byte_perm(high89, sixes, 0x4140), bias), half2_minus(__byte_perm(high89, sixes, 0x4342), bias)};
            int tile = VK == KERN_VALUE_Q8 ? 2 * w : 2 * (w + 2 * part), group = VK == KERN_VALUE_Q8 ? 0 : w + 2 * part;
            mma_weights<NC>(sums.c[VK == VALUE_ANY ? 0 : tile], a, b[group]);
            mma_weights<NC>(sums.c[VK == VALUE_ANY ? 0 : tile + 1], e, b[group]);
        }
}

/* The feature of row `upper * 8 + g` of accumulator tile `tile`. */
template <int VK> __device__ __forceinline__ int feature_of(int tile, int g, int upper)
{
    if (VK == KERN_VALUE_Q8) return 16 * g + 2 * tile + upper;
    if (VK == KERN_VALUE_F16) return 64 * (tile / 4) + 8 * g + 2 * (tile % 4) + upper;
    return 32 * (tile / 2) + 4 * g + 2 * (tile % 2) + upper;
}

__device__ __forceinline__ float value_at(const gpu_format &f, const Cursor &c, uint32_t token, int i)
{
    const uint8_t *row = c.rows + (uint64_t)token * f.row_bytes;
    switch (f.value_type) {
    case KERN_VALUE_Q4: {
        int nibble = i < f.d / 2 ? row[i] & 15 : row[i - f.d / 2] >> 4;
        return (float)(nibble - 8) * half_bits_to_float(c.scales[(uint64_t)token * f.n_scales + i / f.value_group]);
    }
    case KERN_VALUE_Q8: return (float)(int8_t)row[i] * half_bits_to_float(c.scales[token]);
    case KERN_VALUE_F16: return half_bits_to_float(((const uint16_t *)row)[i]);
    default: return ((const float *)row)[i];
    }
}

/* Without tensor cores: lane holds features lane + 32 j; weights come by shuffle. */
template <int VK, int NC>
__device__ __forceinline__ void add_values_any(Sums<VK, NC> &sums, const float (&p)[NC], const gpu_format &f, const Cursor &c, uint32_t token, int lane)
{
    uint32_t n = min(32u, c.n_tokens - token);
    for (uint32_t i = 0; i < n; i++) {
        float v[4];
#pragma unroll
        for (int j = 0; j < 4; j++) v[j] = lane + 32 * j < f.d ? value_at(f, c, token + i, lane + 32 * j) : 0.0f;
#pragma unroll
        for (int q = 0; q < NC; q++) {
            float w = __shfl_sync(WARP_ALL, p[q], i);
#pragma unroll
            for (int j = 0; j < 4; j++) sums.c[VK == VALUE_ANY ? q : 0][j] += w * v[j];
        }
    }
}

/* Where word i of a warp's sums, which lie as the accumulators do, stands in a part's record: [column][feature]. */
template <int VK, int NC, bool INTEGER> __device__ __forceinline__ int record_at(int i)
{
    if (VK == VALUE_ANY) return i;
    if (INTEGER) {
        int row = i / 16, x = i % 16;
        return (row / 16 * 2 + (x & 1)) * 128 + feature_of<VK>(row / 2 % 8, x >> 1, row & 1);
    }
    int row = i / (NC * 4), x = i % (NC * 4);
    return (x % (NC / 2) * 2 + (row & 1)) * 128 + feature_of<VK>(row / 4, x / (NC / 2), row >> 1 & 1);
}

template <int VK, int NC> __device__ __forceinline__ void clear_sums(Sums<VK, NC> &sums, float *, int)
{
#pragma unroll
    for (int i = 0; i < NC; i++) sums.m[i] = -INFINITY, sums.l[i] = 0;
#pragma unroll
    for (int i = 0; i < (VK == VALUE_ANY ? NC : 8); i++) sums.c[i][0] = sums.c[i][1] = sums.c[i][2] = sums.c[i][3] = 0;
}

/* A warp's sums, relative to its own maxima, in the order of record_at. */
template <int VK, int NC> __device__ __forceinline__ void put_sums(Sums<VK, NC> &sums, float *mine, int lane)
{
    int t = lane & 3, g = lane >> 2;
    if constexpr (VK == VALUE_ANY) {
#pragma unroll
        for (int i = 0; i < NC; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) mine[i * 128 + lane + 32 * j] = sums.c[i][j];
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float v = sums.c[i][j] * (1 / WEIGHT_ONE);
                if (NC == 4) v += __shfl_xor_sync(WARP_ALL, v, 2); /* columns 4 .. 7 are the remainders of columns 0 .. 3 */
                if (NC == 8 || t < 2) mine[(i * 4 + j) * (NC * 4) + g * (NC / 2) + t] = v;
            }
    }
}

/* The warps' maxima of a column, and what each one's sums are multiplied by. */
template <int NC, int WARPS> __device__ __forceinline__ float weigh_warps(const Shared<NC> &s, int column, float (&by)[WARPS])
{
    float top = -INFINITY;
#pragma unroll
    for (int w = 0; w < WARPS; w++) top = fmaxf(top, by[w] = s.m[w][column]);
#pragma unroll
    for (int w = 0; w < WARPS; w++) by[w] = by[w] > -INFINITY ? exp2_fast(by[w] - top) : 0.0f;
    return top;
}

/* A number of a part, and above it the launch's mark: stored and loaded as one, it says by itself whether it has come, so that no fence has to be
 * waited for between a part's numbers and the news of them. */
__device__ __forceinline__ void store_word(uint64_t *to, float v, uint32_t mark)
{
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"((uint64_t)mark << 32 | __float_as_uint(v)) : "memory");
}
__device__ __forceinline__ uint64_t load_word(const uint64_t *from)
{
    uint64_t word;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(word) : "l"(from) : "memory");
    return word;
}
__device__ __forceinline__ void load_words(uint64_t *words, const uint64_t *from)
{
    asm volatile("ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];" : "=l"(words[0]), "=l"(words[1]) : "l"(from) : "memory");
}
__device__ __forceinline__ float number_of(uint64_t word)
{
    return __uint_as_float((uint32_t)word);
}
/* The numbers of a part's column: 128 sums, their maximum, the sum of weights. */
__device__ __forceinline__ int64_t record_of(const gpu_decode_args &a, uint32_t part, int kv_head, uint32_t column)
{
    return (((int64_t)part * a.format.n_kv_heads + kv_head) * GPU_COLUMNS_MAX + column) * GPU_PART_WORDS;
}

/* The warps' sums of a thread block, added in a fixed order, and the part's record. A warp leaves its own without waiting for the others where
 * there is room. Here and in what follows little code counts for more than few instructions: it runs once, and nothing has fetched it before.
 * Thread 0 gets how many thread blocks of the KV head have come here before. */
template <int VK, int NC, int WARPS, typename layout, typename S>
__device__ __forceinline__ uint32_t join_warps(S &sums, Shared<NC> &s, float *area, const gpu_decode_args &a, int part, int head)
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    if (!layout::integer) __syncthreads(); /* the exchange areas are free */
    put_sums<VK, NC>(sums, area + warp * layout::sums, lane);
#pragma unroll
    for (int i = 0; i < NC; i++) {
        float l = warp_sum(sums.l[i]);
        if (lane == 0) s.m[warp][i] = sums.m[i], s.l[warp][i] = l;
    }
    __syncthreads();
    uint32_t before = threadIdx.x == 0 ? atomicAdd(&a.arrived[head * 2], 1) : 0; /* on its way while the part is put together */
    uint64_t *to = a.part_words + record_of(a, part, head, 0);
    float by[WARPS];
#pragma unroll 1
    for (int i = threadIdx.x; i < NC * 128; i += WARPS * 32) {
        int at = record_at<VK, NC, layout::integer>(i);
        weigh_warps<NC, WARPS>(s, at / 128, by);
        float v = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) v += area[w * layout::sums + i] * by[w];
        store_word(to + at / 128 * GPU_PART_WORDS + at % 128, v, s.launch);
    }
    if (threadIdx.x < NC) {
        float top = weigh_warps<NC, WARPS>(s, threadIdx.x, by), l = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) l += s.l[w][threadIdx.x] * by[w];
        store_word(to + threadIdx.x * GPU_PART_WORDS + 128, top, s.launch);
        store_word(to + threadIdx.x * GPU_PART_WORDS + 129, l, s.launch);
    }
    return before;
}

/* A division without the long way that numbers of 32 bits take. */
__device__ __forceinline__ int divide_small(int n, int by)
{
    return (int)__fdividef((float)n + 0.5f, (float)by);
}

/* How parts are merged. Few columns: a warp has 64 features of a row and head, two to a lane, and all parts. Many: all features, four to a lane,
 * so that fewer rounds of loads are waited for, and, while there are fewer pairs than warps, a share of the parts. */
template <int NC> struct Merge {
    static constexpr int features = NC == 8 ? 4 : 2, at_once = 32 / features; /* parts loaded at once */
    static constexpr int per_pair = 128 / (32 * features);                    /* warps' shares of a pair */
};

/* Sums of a row and head, relative to a maximum; l, top: the same in all lanes. */
template <int NC> struct Merged {
    float top, l, acc[Merge<NC>::features];
};
/* Relative to the higher maximum of both. */
template <int NC> __device__ __forceinline__ void scale_merged(Merged<NC> &m, float top)
{
    float higher = fmaxf(m.top, top), keep = m.top > -INFINITY ? exp2_fast(m.top - higher) : 0.0f;
    m.top = higher, m.l *= keep;
#pragma unroll
    for (int i = 0; i < Merge<NC>::features; i++) m.acc[i] *= keep;
}

/* Adds every team-th part of a group's column, from number `rank` on, in their order. A lane has features `feature` .., and the maximum or the sum
 * of weights of one part. */
template <int NC>
__device__ __forceinline__ void merge_parts(Merged<NC> &m, const gpu_decode_args &a, const gpu_group &g, int kv_head, uint32_t column, int feature, uint32_t rank,
                                            uint32_t team, uint32_t launch, int lane)
{
    constexpr int features = Merge<NC>::features, at_once = Merge<NC>::at_once;
    int64_t step = (int64_t)team * a.format.n_kv_heads * GPU_COLUMNS_MAX * GPU_PART_WORDS;
    const uint64_t *from = a.part_words + record_of(a, g.first_part + rank, kv_head, column), none = (uint64_t)launch << 32;
#pragma unroll 1
    for (uint32_t p = rank; p < g.n_splits; p += at_once * team, from += at_once * step) {
        uint64_t word[at_once][features], mine;
        uint32_t my_part = lane % at_once;
        bool come;
        do {
            mine = p + my_part * team < g.n_splits ? load_word(from + my_part * step + 128 + lane / at_once % 2) : none | 0xff800000u; /* -inf */
            come = mine >> 32 == launch;
#pragma unroll
            for (int i = 0; i < at_once; i++)
#pragma unroll
                for (int j = 0; j < features; j += 2)
                    if (p + i * team < g.n_splits) load_words(word[i] + j, from + i * step + feature + j);
                    else word[i][j] = word[i][j + 1] = none;
#pragma unroll
            for (int i = 0; i < at_once * features; i++) come &= word[i / features][i % features] >> 32 == launch;
        } while (!__all_sync(WARP_ALL, come));
        float top = lane < at_once ? number_of(mine) : -INFINITY, l = __shfl_down_sync(WARP_ALL, number_of(mine), at_once);
        scale_merged(m, warp_max(top));
        float w = top > -INFINITY ? exp2_fast(top - m.top) : 0.0f;
        m.l += warp_sum(w > 0 ? w * l : 0.0f);
#pragma unroll
        for (int i = 0; i < at_once; i++) {
            float times = __shfl_sync(WARP_ALL, w, i);
#pragma unroll
            for (int j = 0; j < features; j++) m.acc[j] += times * number_of(word[i][j]);
        }
    }
}

/* What the warps of a team have merged, added by its first one. */
template <int NC> __device__ __forceinline__ void join_team(Merged<NC> &m, float *team_area, int rank, int team, int lane)
{
    float *mine = team_area + rank * MERGE_FLOATS;
#pragma unroll
    for (int j = 0; j < Merge<NC>::features; j++) mine[j * 32 + lane] = m.acc[j];
    if (lane == 0) mine[128] = m.l, mine[129] = m.top;
    __syncthreads();
#pragma unroll 1
    for (int i = 1; i < team && rank == 0; i++) {
        const float *his = team_area + i * MERGE_FLOATS;
        scale_merged(m, his[129]);
        float w = his[129] > -INFINITY ? exp2_fast(his[129] - m.top) : 0.0f;
        m.l += w * his[128];
#pragma unroll
        for (int j = 0; j < Merge<NC>::features; j++) m.acc[j] += w * his[j * 32 + lane];
    }
    __syncthreads();
}

/* All parts of the KV head's rows and heads. */
template <int NC, int WARPS>
__device__ __forceinline__ void merge_rows(const gpu_decode_args &a, const gpu_group *groups, int kv_head, int per_kv, uint32_t launch, float *area)
{
    constexpr int features = Merge<NC>::features, per_pair = Merge<NC>::per_pair;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n_shares = a.n_rows * per_kv * per_pair;
    int teams = min(WARPS, n_shares), team = features == 4 ? divide_small(WARPS, teams) : 1;
    int mine = features == 4 ? divide_small(warp, team) : warp, rank = warp - mine * team;
#pragma unroll 1
    for (int first = 0; first < n_shares; first += teams) {
        int share = first + mine, pair = share / per_pair, in_rows = divide_small(pair, per_kv), row = a.first_row + in_rows, h = pair - in_rows * per_kv;
        int feature = share % per_pair * 32 * features + lane * features;
        bool found = false;
        Merged<NC> m = {-INFINITY, 0, {}};
#pragma unroll 1
        for (int gi = 0; gi < a.n_groups && mine < teams && share < n_shares; gi++) {
            const gpu_group g = groups[gi];
            uint32_t r = (uint32_t)row - g.first_row, in = (uint32_t)h - g.first_head;
            if (r >= g.n_rows || in >= g.n_heads) continue;
            found = true;
            merge_parts(m, a, g, kv_head, r * g.n_heads + in, feature, rank, team, launch, lane);
        }
        if constexpr (features == 4) join_team(m, area + mine * team * MERGE_FLOATS, rank, team, lane);
        if (!found || rank) continue;
        float inverse = m.l > 0 ? __fdividef(1.0f, m.l) : 0.0f;
        int64_t q = kv_head * per_kv + h;
        float *out = a.out + row * a.out_stride + q * a.format.d + feature;
#pragma unroll
        for (int j = 0; j < features; j += 2)
            if (feature + j < a.format.d) *(float2 *)(out + j) = make_float2(m.acc[j] * inverse, m.acc[j + 1] * inverse);
        if (a.out_ml && feature == 0) a.out_ml[(int64_t)row * a.n_heads + q] = make_float2(m.top, m.l);
    }
}

/* The end of a thread block: its part, and, for the last one of the KV head that has come so far, the result, as soon as all parts are there. */
template <int VK, int NC, int WARPS, typename layout, typename S>
__device__ __forceinline__ void finish_block(S &sums, Shared<NC> &s, float *area, const gpu_decode_args &a, const gpu_group *groups, int part, int head, int per_kv)
{
    static_assert(layout::bytes >= WARPS * MERGE_FLOATS * 4, "a team leaves its sums where the warps' own were");
    uint32_t before = join_warps<VK, NC, WARPS, layout>(sums, s, area, a, part, head);
    if (threadIdx.x == 0) s.last = before == gridDim.y - 1;
    __syncthreads();
    if (!s.last) return;
    merge_rows<NC, WARPS>(a, groups, head, per_kv, s.launch, area);
    if (threadIdx.x == 0) a.arrived[head * 2] = 0, a.arrived[head * 2 + 1] = s.launch;
}

/* The row of a group's column: a division, for numbers below 8. */
__device__ __forceinline__ uint32_t row_of(const gpu_group &g, uint32_t column)
{
    return column * ((255 + g.n_heads) / g.n_heads) >> 8;
}
/* Its row and head among all. */
__device__ __forceinline__ int64_t query_of(const gpu_decode_args &a, const gpu_group &g, int head, int per_kv, uint32_t column)
{
    uint32_t row = row_of(g, column);
    return (int64_t)(g.first_row + row) * a.n_heads + head * per_kv + g.first_head + column - row * g.n_heads;
}

/* What a thread puts into the query table: asked for before the first tile, behind whose bytes it would wait, and not touched before that
 * is asked for: a byte of each of four columns. */
struct Query {
    uint32_t a, b, c, d;
    float scale;
    uint32_t launches;
};
__device__ __forceinline__ uint32_t load_code(const gpu_decode_args &a, const gpu_group &g, int head, int per_kv, uint32_t column, uint32_t feature)
{
    uint32_t byte;
    column = min(column, g.n_rows * g.n_heads - 1);
    asm volatile("ld.global.u8 %0, [%1];" : "=r"(byte) : "l"(a.table + query_of(a, g, head, per_kv, column) * 128 + feature));
    return byte;
}
template <int NC> __device__ __forceinline__ Query load_query(const gpu_decode_args &a, const gpu_group &g, int head, int per_kv)
{
    Query query = {0, 0, 0, 0, 0, 0};
    uint32_t i = threadIdx.x, column = i / 128 * 4, feature = i % 128;
    if (i < Table<NC>::words * 128) {
        query.a = load_code(a, g, head, per_kv, column, feature), query.b = load_code(a, g, head, per_kv, column + 1, feature);
        if (NC > 2) query.c = load_code(a, g, head, per_kv, column + 2, feature), query.d = load_code(a, g, head, per_kv, column + 3, feature);
    }
    if (i < NC && i < g.n_rows * g.n_heads)
        asm volatile("ld.global.f32 %0, [%1];" : "=f"(query.scale) : "l"(a.scale + query_of(a, g, head, per_kv, i)));
    if (i == 0) asm volatile("ld.global.u32 %0, [%1];" : "=r"(query.launches) : "l"(a.arrived + head * 2 + 1));
    return query;
}

/* dense: of exact keys only. */
template <int SK, int NC>
__device__ __forceinline__ void set_up(Shared<NC> &s, const gpu_decode_args &a, const gpu_group &g, int head, int per_kv, const Query &query,
                                       const float *(&dense)[NC])
{
    uint32_t n_columns = g.n_rows * g.n_heads;
    if (threadIdx.x < Table<NC>::words * 128) { /* columns that are not there are zero */
        int n_here = (int)n_columns - (int)threadIdx.x / 128 * 4;
        uint32_t word = query.a | query.b << 8 | query.c << 16 | query.d << 24;
        s.table[threadIdx.x / 128][threadIdx.x % 128] = n_here >= 4 ? word : n_here > 0 ? word & ((1u << 8 * n_here) - 1) : 0;
    }
    if (threadIdx.x < NC) {
        uint32_t column = threadIdx.x;
        s.scale[column] = query.scale * LOG2_E;
        s.visible[column] = column >= n_columns ? 0 : g.causal ? g.causal_before + row_of(g, column) + 1 : 0xffffffffu;
    }
    if (threadIdx.x == 0) s.launch = query.launches + 1;
    if constexpr (SK == SCORE_CODE32)
        for (uint32_t i = 0; i < NC; i++) dense[i] = i < n_columns && a.dense ? a.dense + query_of(a, g, head, per_kv, i) * a.format.d : NULL;
    __syncthreads();
}

#endif
