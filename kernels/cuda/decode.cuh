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
#define MERGE_FLOATS 132
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

/* The warps' sums of a thread block, added in a fixed order, and the part's record. A warp leaves its own without waiting for the others where
 * there is room. Here and in what follows little code counts for more than few instructions: it runs once, and nothing has fetched it before. */
template <int VK, int NC, int WARPS, typename layout, typename S>
__device__ __forceinline__ void join_warps(S &sums, Shared<NC> &s, float *area, const gpu_decode_args &a, int part, int head)
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
    int64_t record = (int64_t)part * a.format.n_kv_heads + head;
    float *to = a.part_acc + record * GPU_COLUMNS_MAX * 128, by[WARPS];
#pragma unroll 1
    for (int i = threadIdx.x; i < NC * 128; i += WARPS * 32) {
        int at = record_at<VK, NC, layout::integer>(i);
        weigh_warps<NC, WARPS>(s, at / 128, by);
        float v = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) v += area[w * layout::sums + i] * by[w];
        to[at] = v;
    }
    if (threadIdx.x < NC) {
        float top = weigh_warps<NC, WARPS>(s, threadIdx.x, by), l = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) l += s.l[w][threadIdx.x] * by[w];
        a.part_ml[record * GPU_COLUMNS_MAX + threadIdx.x] = make_float2(top, l);
    }
}

/* Sums of a row and head, relative to a maximum; of a lane: features 4 lane .. + 3. */
struct Merged {
    float top, l;
    float4 acc;
};
__device__ __forceinline__ void scale_merged(Merged &m, float higher)
{
    float keep = m.top > -INFINITY ? exp2_fast(m.top - higher) : 0.0f;
    m.top = higher, m.l *= keep, m.acc.x *= keep, m.acc.y *= keep, m.acc.z *= keep, m.acc.w *= keep;
}
__device__ __forceinline__ void add_merged(Merged &m, float top, float l, float4 acc)
{
    float w = top > -INFINITY ? exp2_fast(top - m.top) : 0.0f;
    m.l += w * l, m.acc.x += w * acc.x, m.acc.y += w * acc.y, m.acc.z += w * acc.z, m.acc.w += w * acc.w;
}

/* Every team-th part of a group's column, from number `rank` on, several at once: the block waits for nothing else any more. */
#define MERGE_AHEAD 9 /* 33 parts by a team of four */
__device__ __forceinline__ void merge_parts(Merged &m, const gpu_decode_args &a, const gpu_group &g, int kv_head, uint32_t column, uint32_t rank, uint32_t team,
                                            int lane)
{
    uint32_t step = team * a.format.n_kv_heads * GPU_COLUMNS_MAX;
    int64_t first = ((int64_t)(g.first_part + rank) * a.format.n_kv_heads + kv_head) * GPU_COLUMNS_MAX + column;
    const float2 *ml = a.part_ml + first;
    const float4 *acc = (const float4 *)a.part_acc + first * 32 + lane;
#pragma unroll 1
    for (uint32_t p = rank; p < g.n_splits; p += MERGE_AHEAD * team) {
        float2 one[MERGE_AHEAD];
        float4 part[MERGE_AHEAD];
        float higher = m.top;
#pragma unroll
        for (uint32_t i = 0; i < MERGE_AHEAD; i++) {
            bool there = p + i * team < g.n_splits;
            one[i] = make_float2(-INFINITY, 0), part[i] = make_float4(0, 0, 0, 0);
            if (there) one[i] = __ldcg(ml + i * step);
            if (there && lane * 4 < a.format.d) part[i] = __ldcg(acc + i * step * 32);
        }
        ml += MERGE_AHEAD * step, acc += (int64_t)MERGE_AHEAD * step * 32;
#pragma unroll
        for (int i = 0; i < MERGE_AHEAD; i++) higher = fmaxf(higher, one[i].x);
        scale_merged(m, higher);
#pragma unroll
        for (int i = 0; i < MERGE_AHEAD; i++) add_merged(m, one[i].x, one[i].y, part[i]);
    }
}

/* A division without the long way that numbers of 32 bits take. */
__device__ __forceinline__ int divide_small(int n, int by)
{
    return (int)__fdividef((float)n + 0.5f, (float)by);
}

/* All parts of the KV head's rows and heads, each pair by a team of warps, whose first one adds what the others leave in `area`. */
template <int WARPS> __device__ __forceinline__ void merge_rows(const gpu_decode_args &a, const gpu_group *groups, int kv_head, int per_kv, float *area)
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n_pairs = a.n_rows * per_kv, teams = min(WARPS, n_pairs), team = divide_small(WARPS, teams);
    int mine = divide_small(warp, team), rank = warp - mine * team;
    float *team_area = area + mine * team * MERGE_FLOATS;
#pragma unroll 1
    for (int first_pair = 0; first_pair < n_pairs; first_pair += teams) {
        int pair = first_pair + mine, in_rows = divide_small(pair, per_kv), row = a.first_row + in_rows, h = pair - in_rows * per_kv;
        bool active = mine < teams && pair < n_pairs, found = false;
        Merged m = {-INFINITY, 0, {0, 0, 0, 0}};
#pragma unroll 1
        for (int gi = 0; gi < a.n_groups && active; gi++) {
            const gpu_group g = groups[gi];
            uint32_t r = (uint32_t)row - g.first_row, in = (uint32_t)h - g.first_head;
            if (r >= g.n_rows || in >= g.n_heads) continue;
            found = true;
            merge_parts(m, a, g, kv_head, r * g.n_heads + in, rank, team, lane);
        }
        if (active) {
            ((float4 *)(team_area + rank * MERGE_FLOATS))[lane] = m.acc;
            if (lane == 0) team_area[rank * MERGE_FLOATS + 128] = m.l, team_area[rank * MERGE_FLOATS + 129] = m.top;
        }
        __syncthreads();
        if (found && rank == 0) {
            for (int i = 1; i < team; i++) {
                const float *his = team_area + i * MERGE_FLOATS;
                scale_merged(m, fmaxf(m.top, his[129]));
                add_merged(m, his[129], his[128], ((const float4 *)his)[lane]);
            }
            float inverse = m.l > 0 ? __fdividef(1.0f, m.l) : 0.0f;
            int64_t q = kv_head * per_kv + h;
            if (lane * 4 < a.format.d)
                *(float4 *)(a.out + row * a.out_stride + q * a.format.d + lane * 4) =
                    make_float4(m.acc.x * inverse, m.acc.y * inverse, m.acc.z * inverse, m.acc.w * inverse);
            if (a.out_ml && lane == 0) a.out_ml[(int64_t)row * a.n_heads + q] = make_float2(m.top, m.l);
        }
        __syncthreads();
    }
}

/* The end of a thread block: its part, and, for the last one of the KV head, the result. */
template <int VK, int NC, int WARPS, typename layout, typename S>
__device__ __forceinline__ void finish_block(S &sums, Shared<NC> &s, float *area, const gpu_decode_args &a, const gpu_group *groups, int part, int head, int per_kv)
{
    join_warps<VK, NC, WARPS, layout>(sums, s, area, a, part, head);
    __syncthreads();
    if (threadIdx.x == 0) { /* fences of one thread hold for what barriers order before and after it */
        __threadfence();
        s.last = atomicAdd(&a.arrived[head], 1) == gridDim.y - 1;
        __threadfence();
    }
    __syncthreads();
    if (!s.last) return;
    merge_rows<WARPS>(a, groups, head, per_kv, area);
    if (threadIdx.x == 0) a.arrived[head] = 0;
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
    Query query = {0, 0, 0, 0, 0};
    uint32_t i = threadIdx.x, column = i / 128 * 4, feature = i % 128;
    if (i < Table<NC>::words * 128) {
        query.a = load_code(a, g, head, per_kv, column, feature), query.b = load_code(a, g, head, per_kv, column + 1, feature);
        if (NC > 2) query.c = load_code(a, g, head, per_kv, column + 2, feature), query.d = load_code(a, g, head, per_kv, column + 3, feature);
    }
    if (i < NC && i < g.n_rows * g.n_heads)
        asm volatile("ld.global.f32 %0, [%1];" : "=f"(query.scale) : "l"(a.scale + query_of(a, g, head, per_kv, i)));
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
    if constexpr (SK == SCORE_CODE32)
        for (uint32_t i = 0; i < NC; i++) dense[i] = i < n_columns && a.dense ? a.dense + query_of(a, g, head, per_kv, i) * a.format.d : NULL;
    __syncthreads();
}

#endif
