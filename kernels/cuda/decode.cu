/* decode.cu: attention of a few query rows over many cached tokens.
 *
 * Owns: the split over sections and tokens, the exact merge, values of every stored type.
 * Does not own: rows in numbers (flash*.cu), coding (encode.cu).
 *
 * Mapping: thread blocks share out the tiles (32 tokens) of a KV head; a warp takes every n-th tile of its block's range. A lane scores
 * one token for up to 8 columns (query row x head of the group): four columns' 8-bit table entries share a 32-bit word, so that one
 * look-up serves them all, and dp4a sums four features. Weights go to the tensor cores as f16 in two parts (value and remainder, 22 bits),
 * 8-bit and 4-bit values as the integers they are: products are exact, sums are float. The scale of a value row is multiplied into
 * its weight, and the running maximum is taken over score + log2(scale), so that no weight overflows. The last thread block of a KV
 * head to finish merges all parts in a fixed order: the result does not depend on timing.
 */
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
#define PB_WORDS 20         /* 32 tokens of f16, padded against bank conflicts */

template <int VK> struct Values {
    static constexpr int groups = VK == KERN_VALUE_Q4 ? 4 : 1; /* scales of a row */
    static constexpr int words = VK == KERN_VALUE_F16 ? 64 : VK == KERN_VALUE_Q8 ? 32 : VK == KERN_VALUE_Q4 ? 16 : 1;
};

template <int NC> struct Shared {
    uint32_t table[NC / 4][128];
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

__device__ __forceinline__ void seek(Cursor &c, const gpu_group &g, uint32_t tile, int head, int layer)
{
    if (tile < c.end_tile) return;
    do {
        c.section++;
        c.first_tile = c.end_tile;
        c.end_tile = g.first_tile[c.section + 1];
    } while (tile >= c.end_tile);
    const gpu_section &s = g.sections[c.section];
    const uint8_t *base = s.base + layer * s.layer_stride;
    c.keys = base + head * s.key_head_bytes;
    c.rows = base + s.rows_offset + head * s.row_head_bytes;
    c.scales = (const uint16_t *)(base + s.scales_offset + head * s.scale_head_bytes);
    c.n_tokens = s.n_tokens;
}

/* Puts the cursor just before the section of `tile`. All that is read is asked for at once: nothing else of the block can start before. With
 * more sections than that a search of 32 places at a time comes first. */
__device__ __forceinline__ void seek_first(Cursor &c, const gpu_group &g, uint32_t tile, int lane)
{
    constexpr uint32_t at_once = 128;
    uint32_t low = 0, n = g.n_sections;
    while (n > at_once) {
        uint32_t step = (n + 31) / 32, at = lane * step;
        uint32_t below = __ballot_sync(WARP_ALL, at < n && g.first_tile[low + at] <= tile);
        uint32_t k = 31 - __clz(below);
        low += k * step;
        n = min(step, n - k * step);
    }
    uint32_t first[at_once / 32], count = 0;
#pragma unroll
    for (uint32_t i = 0; i < at_once / 32; i++) first[i] = i * 32 + lane < n ? __ldg(g.first_tile + low + i * 32 + lane) : 0xffffffffu;
#pragma unroll
    for (uint32_t i = 0; i < at_once / 32; i++) count += __popc(__ballot_sync(WARP_ALL, first[i] <= tile));
    c.section = low + count - 2;
    c.end_tile = __ldg(g.first_tile + low + count - 1); /* one of those */
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
    for (int h = 0; h < NC / 4; h++) {
        uint32_t w0 = s.table[h][index & 127], w1 = s.table[h][index >> 8 & 127];
        uint32_t w2 = s.table[h][index >> 16 & 127], w3 = s.table[h][index >> 24 & 127];
        uint32_t a = __byte_perm(w0, w1, 0x5140), b = __byte_perm(w2, w3, 0x5140);
        uint32_t c = __byte_perm(w0, w1, 0x7362), e = __byte_perm(w2, w3, 0x7362);
        sum[h * 4] = __dp4a((int)__byte_perm(a, b, 0x5410), (int)value, sum[h * 4]);
        sum[h * 4 + 1] = __dp4a((int)__byte_perm(a, b, 0x7632), (int)value, sum[h * 4 + 1]);
        sum[h * 4 + 2] = __dp4a((int)__byte_perm(c, e, 0x5410), (int)value, sum[h * 4 + 2]);
        sum[h * 4 + 3] = __dp4a((int)__byte_perm(c, e, 0x7632), (int)value, sum[h * 4 + 3]);
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
template <int VK, int NC> __device__ __forceinline__ int record_at(int i)
{
    if (VK == VALUE_ANY) return i;
    int row = i / (NC * 4), x = i % (NC * 4);
    return (x % (NC / 2) * 2 + (row & 1)) * 128 + feature_of<VK>(row / 4, x / (NC / 2), row >> 1 & 1);
}

/* The warps' sums of a thread block, added in a fixed order, and the part's record. `area`: WARPS * NC * 128 floats. Here and in what follows
 * little code counts for more than few instructions: it runs once, and nothing has fetched it before. */
template <int VK, int NC, int WARPS>
__device__ __forceinline__ void join_warps(Sums<VK, NC> &sums, Shared<NC> &s, float *area, const gpu_decode_args &a, int part, int head)
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, t = lane & 3, g = lane >> 2;
#pragma unroll
    for (int i = 0; i < NC; i++) {
        float l = warp_sum(sums.l[i]);
        if (lane == 0) s.m[warp][i] = sums.m[i], s.l[warp][i] = l;
    }
    __syncthreads(); /* also: the exchange areas are free */
    const float *all_m = &s.m[0][0], *all_l = &s.l[0][0];
    float top = -INFINITY, l = 0; /* of column lane % NC */
#pragma unroll
    for (int e = 0; e < NC * WARPS; e += 32)
        if (e + lane < NC * WARPS) top = fmaxf(top, all_m[e + lane]);
#pragma unroll
    for (int o = 16; o >= NC; o /= 2) top = fmaxf(top, __shfl_xor_sync(WARP_ALL, top, o));
#pragma unroll
    for (int e = 0; e < NC * WARPS; e += 32)
        if (e + lane < NC * WARPS && all_m[e + lane] > -INFINITY) l += all_l[e + lane] * exp2_fast(all_m[e + lane] - top);
#pragma unroll
    for (int o = 16; o >= NC; o /= 2) l += __shfl_xor_sync(WARP_ALL, l, o);
    int64_t record = (int64_t)part * a.format.n_kv_heads + head;
    if (warp == 0 && lane < NC) a.part_ml[record * GPU_COLUMNS_MAX + lane] = make_float2(top, l);
    float factor[NC];
#pragma unroll
    for (int i = 0; i < NC; i++) {
        float highest = __shfl_sync(WARP_ALL, top, i);
        factor[i] = highest == -INFINITY ? 0.0f : exp2_fast(sums.m[i] - highest);
    }
    float *mine = area + warp * NC * 128;
    if (VK == VALUE_ANY) {
#pragma unroll
        for (int i = 0; i < NC; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) mine[i * 128 + lane + 32 * j] = sums.c[VK == VALUE_ANY ? i : 0][j] * factor[i];
    } else {
        float fa = factor[0], fb = factor[1];
#pragma unroll
        for (int i = 2; i < NC; i += 2)
            if ((NC == 4 ? t & 1 : t) == i / 2) fa = factor[i], fb = factor[i + 1];
        fa *= 1 / WEIGHT_ONE, fb *= 1 / WEIGHT_ONE;
#pragma unroll
        for (int i = 0; i < (VK == VALUE_ANY ? 0 : 8); i++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float v = sums.c[i][j] * (j & 1 ? fb : fa);
                if (NC == 4) v += __shfl_xor_sync(WARP_ALL, v, 2); /* columns 4 .. 7 are the remainders of columns 0 .. 3 */
                if (NC == 8 || t < 2) mine[(i * 4 + j) * (NC * 4) + g * (NC / 2) + t] = v;
            }
    }
    __syncthreads();
    float *to = a.part_acc + record * GPU_COLUMNS_MAX * 128;
#pragma unroll 1
    for (int i = threadIdx.x; i < NC * 128; i += WARPS * 32) {
        float v = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) v += area[w * NC * 128 + i];
        to[record_at<VK, NC>(i)] = v;
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

/* All parts of the KV head's rows and heads, each pair by a team of warps, whose first one adds what the others leave in `area`. */
#define MERGE_FLOATS 132
template <int WARPS> __device__ __forceinline__ void merge_rows(const gpu_decode_args &a, int kv_head, int per_kv, float *area)
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n_pairs = a.n_rows * per_kv, teams = min(WARPS, n_pairs), team = WARPS / teams;
    int mine = warp / team, rank = warp % team;
    float *team_area = area + mine * team * MERGE_FLOATS;
#pragma unroll 1
    for (int first_pair = 0; first_pair < n_pairs; first_pair += teams) {
        int pair = first_pair + mine, row = a.first_row + pair / per_kv, h = pair % per_kv;
        bool active = mine < teams && pair < n_pairs, found = false;
        Merged m = {-INFINITY, 0, {0, 0, 0, 0}};
#pragma unroll 1
        for (int gi = 0; gi < a.n_groups && active; gi++) {
            const gpu_group g = a.groups[gi];
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
#pragma unroll 1
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
    if (i < NC / 4 * 128) {
        query.a = load_code(a, g, head, per_kv, column, feature), query.b = load_code(a, g, head, per_kv, column + 1, feature);
        query.c = load_code(a, g, head, per_kv, column + 2, feature), query.d = load_code(a, g, head, per_kv, column + 3, feature);
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
    if (threadIdx.x < NC / 4 * 128) { /* columns that are not there are zero */
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

template <int SK, int VK, int NC, int WARPS, int BLOCKS>
__global__ void __launch_bounds__(WARPS * 32, BLOCKS) decode_kernel(gpu_decode_args a)
{
    __shared__ Shared<NC> s;
    extern __shared__ __align__(16) uint32_t area[]; /* the warps' exchange areas; then their sums; then, for the last, those of the merge */
    uint32_t *exchange = area + (threadIdx.x >> 5) * Values<VK>::groups * 2 * NC * PB_WORDS;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, head = blockIdx.x, per_kv = a.n_heads / a.format.n_kv_heads, part = blockIdx.y, gi = 0;
    while (gi + 1 < a.n_groups && part >= (int)a.groups[gi + 1].first_part) gi++;
    const gpu_group g = a.groups[gi];
    const float *dense[NC];
    /* in whole rounds of the warps; the first ones have one more, for a multiprocessor's first block gets more of its time */
    uint32_t rounds = (g.n_tiles + WARPS - 1) / WARPS, split = part - g.first_part, each = rounds / g.n_splits, rest = rounds % g.n_splits;
    uint32_t first = (split * each + min(split, rest)) * WARPS, end = min(first + (each + (split < rest)) * WARPS, g.n_tiles);

    Sums<VK, NC> sums;
#pragma unroll
    for (int i = 0; i < NC; i++) sums.m[i] = -INFINITY, sums.l[i] = 0;
#pragma unroll
    for (int i = 0; i < (VK == VALUE_ANY ? NC : 8); i++) sums.c[i][0] = sums.c[i][1] = sums.c[i][2] = sums.c[i][3] = 0;
    static_assert(WARPS * 32 >= NC / 4 * 128, "a thread to a word of the table");
    Query query = load_query<NC>(a, g, head, per_kv);
    Cursor c = {NULL, NULL, NULL, 0, 0, 0, 0xffffffffu};
    Ahead<SK, VK> ahead;
    uint32_t tile = first + warp;
    if (tile < end) {
        seek_first(c, g, tile, lane);
        seek(c, g, tile, head, a.layer);
        load_keys<SK, VK>(ahead, c, a.format, tile, lane);
        if (VK != VALUE_ANY) load_values<SK, VK>(ahead, c, 0, lane), load_values<SK, VK>(ahead, c, 1, lane);
    }
    set_up<SK, NC>(s, a, g, head, per_kv, query, dense); /* while the first tile is on its way */
    for (; tile < end; tile += WARPS) {
        float score[NC], scales[4] = {WEIGHT_ONE, WEIGHT_ONE, WEIGHT_ONE, WEIGHT_ONE}, log_scale = 0;
        score_token<SK, VK, NC>(s, ahead, c, a.format, dense, lane, score);
        if (VK == KERN_VALUE_Q8 || VK == KERN_VALUE_Q4) {
            float largest = 0x1p-24f;
#pragma unroll
            for (int i = 0; i < Values<VK>::groups; i++) {
                float scale = half_bits_to_float(ahead.scales[i]);
                largest = fmaxf(largest, scale);
                scales[i] *= scale;
            }
            log_scale = log2_fast(largest);
        }
        uint32_t token = ahead.token, n_tokens = c.n_tokens;
        bool more = tile + WARPS < end;
        if (VK != VALUE_ANY && more) { /* the next tile's keys come while this one's weights and values are worked on */
            seek(c, g, tile + WARPS, head, a.layer);
            load_keys<SK, VK>(ahead, c, a.format, tile + WARPS, lane);
        }
        weigh<VK, NC>(sums, score, s, token + lane, n_tokens, log_scale, lane);
        if (VK == VALUE_ANY) {
            add_values_any<VK, NC>(sums, score, a.format, c, token, lane);
            if (more) {
                seek(c, g, tile + WARPS, head, a.layer);
                load_keys<SK, VK>(ahead, c, a.format, tile + WARPS, lane);
            }
            continue;
        }
        __syncwarp();
        put_weights<VK, NC>(exchange, score, scales, lane);
        __syncwarp();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            add_values<VK, NC>(sums, ahead.v + half * (Values<VK>::words / 2), exchange, half, lane);
            if (more) load_values<SK, VK>(ahead, c, half, lane);
        }
    }
    join_warps<VK, NC, WARPS>(sums, s, (float *)area, a, part, head);
    __syncthreads();
    if (threadIdx.x == 0) { /* fences of one thread hold for what barriers order before and after it */
        __threadfence();
        s.last = atomicAdd(&a.arrived[head], 1) == gridDim.y - 1;
        __threadfence();
    }
    __syncthreads();
    if (!s.last) return;
    merge_rows<WARPS>(a, head, per_kv, (float *)area);
    if (threadIdx.x == 0) a.arrived[head] = 0;
}

template <int SK, int VK, int NC, int WARPS, int BLOCKS> static cudaError_t launch(const gpu_decode_args *a, cudaStream_t stream)
{
    int sums = WARPS * NC * 128 * 4, exchange = WARPS * Values<VK>::groups * 2 * NC * PB_WORDS * 4, merge = WARPS * MERGE_FLOATS * 4;
    int bytes = VK != VALUE_ANY && exchange > sums ? exchange : sums > merge ? sums : merge;
    cudaError_t error = cudaFuncSetAttribute(decode_kernel<SK, VK, NC, WARPS, BLOCKS>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error != cudaSuccess) return error;
    decode_kernel<SK, VK, NC, WARPS, BLOCKS><<<dim3(a->format.n_kv_heads, a->n_parts), WARPS * 32, bytes, stream>>>(*a);
    return cudaGetLastError();
}

template <int SK, int NC> static cudaError_t launch_values(const gpu_decode_args *a, cudaStream_t stream)
{
    const gpu_format &f = a->format;
    if (f.d == 128 && f.value_type == KERN_VALUE_Q8) return launch<SK, KERN_VALUE_Q8, NC, 8, 2>(a, stream);
    if (f.d == 128 && f.value_type == KERN_VALUE_F16) return launch<SK, KERN_VALUE_F16, NC, 12, 1>(a, stream);
    if (f.d == 128 && f.value_type == KERN_VALUE_Q4 && f.value_group == 32) return launch<SK, KERN_VALUE_Q4, NC, 8, 2>(a, stream);
    return launch<SK == SCORE_CODE8_K16 ? SCORE_CODE8 : SK, VALUE_ANY, NC, 8, 2>(a, stream);
}

cudaError_t gpu_decode(const gpu_decode_args *a, cudaStream_t stream)
{
    const gpu_format &f = a->format;
    if (a->n_parts <= 0) return cudaSuccess;
    if (f.key_type == KERN_KEY_CODE32) return launch<SCORE_CODE32, VALUE_ANY, 8, 8, 2>(a, stream);
    bool k16 = f.k_key == 16 && f.index_bytes;
    if (a->columns <= 4) return k16 ? launch_values<SCORE_CODE8_K16, 4>(a, stream) : launch_values<SCORE_CODE8, 4>(a, stream);
    return k16 ? launch_values<SCORE_CODE8_K16, 8>(a, stream) : launch_values<SCORE_CODE8, 8>(a, stream);
}

/* A warp to a part of 64 tokens; the columns of all rows in turns of eight. */
template <int SK> __global__ void __launch_bounds__(256) mass_kernel(gpu_decode_args a, const gpu_section *sections, const uint32_t *first_part, int n_sections,
                                                                    int n_parts, float *mass)
{
    __shared__ Shared<8> s;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, head = blockIdx.y, per_kv = a.n_heads / a.format.n_kv_heads, part = blockIdx.x * 8 + warp;
    int low = 0, high = n_sections;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if ((int)first_part[middle] <= part) low = middle;
        else high = middle;
    }
    const gpu_section &section = sections[low];
    Cursor c = {section.base + a.layer * section.layer_stride + head * section.key_head_bytes, NULL, NULL, section.n_tokens, 0, 0, 0};
    float total = 0;
    for (int column = 0; column < a.n_rows * per_kv; column += per_kv < 8 ? per_kv : 8) {
        gpu_group g = {};
        g.first_row = a.first_row + column / per_kv, g.n_rows = 1, g.first_head = column % per_kv, g.n_heads = min(8, per_kv - column % per_kv);
        const float *dense[8];
        __syncthreads();
        set_up<SK, 8>(s, a, g, head, per_kv, load_query<8>(a, g, head, per_kv), dense);
        for (int half = 0; half < 2 && part < n_parts; half++) {
            Ahead<SK, VALUE_ANY> ahead;
            float score[8];
            ahead.token = (part - first_part[low]) * KERN_MASS_TOKENS + half * 32;
            score_token<SK, VALUE_ANY, 8>(s, ahead, c, a.format, dense, lane, score);
            for (uint32_t i = 0; i < g.n_heads && ahead.token + lane < c.n_tokens; i++) {
                float2 ml = a.out_ml[(int64_t)g.first_row * a.n_heads + head * per_kv + g.first_head + i];
                total += ml.y > 0 ? exp2_fast(score[i] - ml.x) / ml.y : 0.0f;
            }
        }
    }
    total = warp_sum(total);
    if (lane == 0 && part < n_parts) atomicAdd(&mass[part], total);
}

cudaError_t gpu_mass(const gpu_decode_args *a, const gpu_section *sections, const uint32_t *first_part, int n_sections, int n_parts, float *mass,
                     cudaStream_t stream)
{
    dim3 blocks((n_parts + 7) / 8, a->format.n_kv_heads);
    if (a->format.key_type == KERN_KEY_CODE32) mass_kernel<SCORE_CODE32><<<blocks, 256, 0, stream>>>(*a, sections, first_part, n_sections, n_parts, mass);
    else mass_kernel<SCORE_CODE8><<<blocks, 256, 0, stream>>>(*a, sections, first_part, n_sections, n_parts, mass);
    return cudaGetLastError();
}
