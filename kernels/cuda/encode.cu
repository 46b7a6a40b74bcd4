/* encode.cu: QK-norm, RoPE, exact top-k and 8-bit codes in one pass over a row; values in the cache's form.
 *
 * Owns: the codes of queries, keys and values, byte for byte what kernels/codes.c writes where the floats agree.
 * Does not own: the arithmetic of many rows (encode-pair.cuh), layouts (kern.h), where blocks live (store.cu).
 *
 * A warp holds a row, four features to a lane. Top-k: the k-th largest of the 32 lanes' maxima is a lower bound of the k-th
 * largest entry, found by a sorting network over the lanes; the few entries above the bound that are too many are removed one by one.
 */
#include <float.h>

#include "encode-pair.cuh"
#include "gpu.h"
#include "prepare.cuh"

#define ENCODE_WARPS 16 /* one unit of 16 tokens to a thread block of keys */

/* The rank-th largest (1 ..) of 32 lanes' values: a bitonic sort, largest first. Half of it suffices for rank 16. */
__device__ __forceinline__ uint32_t rank_of_lanes(uint32_t v, int rank, int lane)
{
#pragma unroll
    for (int size = 2; size <= 16; size *= 2)
#pragma unroll
        for (int step = size / 2; step; step /= 2) {
            uint32_t o = __shfl_xor_sync(WARP_ALL, v, step);
            bool larger = ((lane & step) == 0) == ((lane & size) == 0);
            v = larger ? max(v, o) : min(v, o);
        }
    /* lanes 0 .. 15 fall, 16 .. 31 rise: the larger of each pair are the 16 largest of all */
    uint32_t o = __shfl_xor_sync(WARP_ALL, v, 16);
    if (rank == 16) return __reduce_min_sync(WARP_ALL, max(v, o));
    v = lane < 16 ? max(v, o) : min(v, o);
#pragma unroll
    for (int step = 8; step; step /= 2) {
        o = __shfl_xor_sync(WARP_ALL, v, step);
        v = (lane & step) == 0 ? max(v, o) : min(v, o);
    }
    return __shfl_sync(WARP_ALL, v, rank - 1);
}

/* The k-th largest magnitude's lower bound by halving, for k beyond the lanes. */
__device__ uint32_t rank_by_halving(const uint32_t bits[4], bool valid, int k)
{
    uint32_t low = 0, high = 0x80000000u;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        int count = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) count += __popc(__ballot_sync(WARP_ALL, valid && bits[i] >= middle));
        if (count >= k) low = middle;
        else high = middle;
        if (count == k) break;
    }
    return low;
}

/* Which of a lane's four entries are among the k of largest magnitude (ties: the lowest index): a mask of 4 bits. */
__device__ __forceinline__ uint32_t top_k_mask(const Row &r, int d, int k, int lane)
{
    bool valid = lane * 4 < d;
    if (k >= d) return valid ? 15u : 0u;
    uint32_t bits[4], mask = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) bits[i] = __float_as_uint(r.x[i]) & MAGNITUDE;
    uint32_t largest = max(max(bits[0], bits[1]), max(bits[2], bits[3]));
    uint32_t bound = k <= 32 ? rank_of_lanes(largest, k, lane) : rank_by_halving(bits, valid, k);
    int n = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        bool in = valid && bits[i] >= bound;
        mask |= in ? 1u << i : 0u;
        n += __popc(__ballot_sync(WARP_ALL, in));
    }
    while (n > k) { /* the smallest goes; of equal ones the one of highest index */
        uint32_t least = 0xffffffffu;
#pragma unroll
        for (int i = 0; i < 4; i++) least = mask >> i & 1 ? min(least, bits[i]) : least;
        uint32_t all = __reduce_min_sync(WARP_ALL, least);
        uint32_t owners = __ballot_sync(WARP_ALL, least == all);
        if (lane == 31 - __clz(owners)) {
#pragma unroll
            for (int i = 3; i >= 0; i--)
                if ((mask >> i & 1) && bits[i] == all) {
                    mask &= ~(1u << i);
                    break;
                }
        }
        n--;
    }
    return mask;
}

__device__ __forceinline__ float finite(float x, float limit)
{
    return x != x ? 0.0f : fminf(fmaxf(x, -limit), limit);
}

/* round(x / scale), as a division rounds: the product with the reciprocal is used where it cannot land on another side of a tie. */
__device__ __forceinline__ int code_of(float x, float scale, float reciprocal, float top)
{
    x = finite(x, FLT_MAX);
    float t = x * reciprocal;
    float q = rintf(t);
    if (!(fabsf(fabsf(t - q) - 0.5f) > 1e-4f) || !(fabsf(t) <= 2 * top)) q = rintf(__fdiv_rn(x, scale));
    return (int)fminf(fmaxf(q, -top), top);
}

/* The largest magnitude of the lanes' kept entries, NaN as 0. */
__device__ __forceinline__ float kept_magnitude(const Row &r, uint32_t mask)
{
    uint32_t largest = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32_t b = __float_as_uint(r.x[i]) & MAGNITUDE;
        largest = (mask >> i & 1) && b <= 0x7f800000u ? max(largest, b) : largest;
    }
    return __uint_as_float(__reduce_max_sync(WARP_ALL, largest));
}

__device__ __forceinline__ uint16_t scale_bits(float max, float top)
{
    return __half_as_ushort(__float2half_rn(fminf(__fdiv_rn(max, top), 65504.0f)));
}

/* What the fast path (d = 128, k = 16) knows of a row: its kept entries (others 0), and the largest magnitude. */
struct Kept {
    float x[4];
    uint32_t mask; /* of the lane's four entries */
    float largest;
    bool plain;    /* false: something unusual (not a number, a tie of neighbours): take the slow way */
};

/* The 16 of largest magnitude by keys that are all different: 25 bits of magnitude, then the feature's number, lower first. A tie of those
 * 25 bits across the border is left to the exact way. */
__device__ __forceinline__ Kept keep_16(const Row &r, int lane)
{
    Kept kept;
    uint32_t key[4], top = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32_t bits = __float_as_uint(r.x[i]);
        key[i] = (bits << 1 & ~127u) | (uint32_t)(127 - i - lane * 4);
        top = max(top, bits & MAGNITUDE);
    }
    top = __reduce_max_sync(WARP_ALL, top);
    kept.largest = __uint_as_float(top);
    uint32_t bound = rank_of_lanes(max(max(key[0], key[1]), max(key[2], key[3])), 16, lane) & ~127u;
    int n = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        n += __popc(__ballot_sync(WARP_ALL, key[i] >= bound));
        if (key[i] < bound) key[i] = 0xffffffffu;
    }
    bool tie = false;
    if (n > 16 && n <= 40) {
        uint32_t least = 0;
        for (;;) {
            least = __reduce_min_sync(WARP_ALL, min(min(key[0], key[1]), min(key[2], key[3])));
            if (n == 16) break;
            bound = least;
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (key[i] == least) key[i] = 0xffffffffu;
            n--;
        }
        tie = (least ^ bound) < 128;
    }
    kept.plain = n == 16 && !tie && top < 0x7f800000u;
    kept.mask = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        kept.mask |= key[i] != 0xffffffffu ? 1u << i : 0u;
        kept.x[i] = key[i] != 0xffffffffu ? r.x[i] : 0.0f;
    }
    return kept;
}

/* Four codes in a word by the float whose low bits are the integer; false when a product with the reciprocal is too near a tie. */
__device__ __forceinline__ bool code_word(const float (&x)[4], float scale, uint32_t &word)
{
    float reciprocal = __fdividef(1.0f, scale), far = 0;
    uint32_t b[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float t = x[i] * reciprocal, r = __fadd_rn(t, 12582912.0f);
        far = fmaxf(far, fabsf(t - __fsub_rn(r, 12582912.0f)));
        b[i] = __float_as_uint(r);
    }
    word = __byte_perm(__byte_perm(b[0], b[1], 0x0040), __byte_perm(b[2], b[3], 0x0040), 0x5410);
    return !__any_sync(WARP_ALL, !(far < 0.4999f));
}

__device__ __noinline__ uint32_t slow_query_word(const gpu_format &f, Row r, int lane, float *ret_scale)
{
    uint32_t mask = top_k_mask(r, f.d, f.k_query, lane), word = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) r.x[i] = mask >> i & 1 ? finite(r.x[i], FLT_MAX) : 0.0f;
    float scale = __fdiv_rn(kept_magnitude(r, mask), 127.0f), reciprocal = scale > 0 ? __fdiv_rn(1.0f, scale) : 0.0f;
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (mask >> i & 1 && scale > 0) word |= (uint32_t)(uint8_t)code_of(r.x[i], scale, reciprocal, 127.0f) << 8 * i;
    *ret_scale = scale;
    return word;
}

/* The kept features as floats, for CODE32. */
__device__ void store_dense(const gpu_encode_args &a, const Row &r, int64_t at, int lane)
{
    uint32_t mask = top_k_mask(r, a.format.d, a.format.k_query, lane);
    if (lane * 4 < a.format.d)
#pragma unroll
        for (int i = 0; i < 4; i++) a.dense[at * a.format.d + lane * 4 + i] = mask >> i & 1 ? __fmul_rn(finite(r.x[i], FLT_MAX), a.q_root) : 0.0f;
}

/* Some heads of a token, by one warp: rotation and norm weights stay in registers. */
template <bool FAST> __device__ void encode_queries(const gpu_encode_args &a, int token, int first_head, int n_heads, int lane)
{
    int d = FAST ? 128 : a.format.d;
    int64_t position = a.position ? a.position[token] : token;
    const float *cos_row = a.rope_cos ? a.rope_cos + position * (d / 2) : NULL, *sin_row = a.rope_cos ? a.rope_sin + position * (d / 2) : NULL;
    const float *row = a.q + (int64_t)token * a.n_heads * d;
    for (int head = first_head; head < first_head + n_heads; head++) {
        Row r = prepare_row(row + head * d, d, a.q_norm, a.norm_eps, cos_row, sin_row, lane);
        int64_t at = (int64_t)token * a.n_heads + head;
        float scale = 0;
        uint32_t word = 0;
        bool done = false;
        if (FAST) {
            Kept kept = keep_16(r, lane);
            scale = __fdiv_rn(kept.largest, 127.0f);
            done = kept.plain && scale > 1e-30f && code_word(kept.x, scale, word);
        }
        if (!done) word = slow_query_word(a.format, r, lane, &scale);
        ((uint32_t *)a.table)[at * 32 + lane] = word;
        if (lane == 0) a.scale[at] = __fmul_rn(scale, a.q_root);
        if (a.dense) store_dense(a, r, at, lane);
    }
}

/* Kept entries of lower lanes: those before the lane's own. */
__device__ __forceinline__ int kept_before(uint32_t mask, int lane)
{
    int before = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) before += __popc(__ballot_sync(WARP_ALL, mask >> i & 1) & ((1u << lane) - 1));
    return before;
}

/* Kept entries of a key into the staging area of its unit, laid out as the unit is. */
__device__ __noinline__ void stage_key(const gpu_format &f, const Row &r, uint32_t mask, uint32_t word, int t, uint8_t *unit, int lane)
{
    int before = kept_before(mask, lane);
    uint8_t *values = unit + f.index_bytes;
    bool code8 = f.key_type == KERN_KEY_CODE8;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (!(mask >> i & 1)) continue;
        int at = before / 4 * 64 + t * 4 + before % 4;
        before++;
        if (f.index_bytes) unit[at] = (uint8_t)(lane * 4 + i);
        if (code8) values[at] = (uint8_t)(word >> 8 * i);
        else ((float *)values)[at] = r.x[i] != r.x[i] ? 0.0f : r.x[i];
    }
}

__device__ __noinline__ uint32_t slow_key_word(const gpu_format &f, const Row &r, int lane, uint32_t *ret_mask, uint16_t *ret_scale)
{
    uint32_t mask = top_k_mask(r, f.d, f.k_key, lane), word = 0;
    uint16_t bits = scale_bits(kept_magnitude(r, mask), 127.0f);
    float scale = half_bits_to_float(bits), reciprocal = scale > 0 ? __fdiv_rn(1.0f, scale) : 0.0f;
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (mask >> i & 1 && scale > 0) word |= (uint32_t)(uint8_t)code_of(r.x[i], scale, reciprocal, 127.0f) << 8 * i;
    *ret_mask = mask;
    *ret_scale = bits;
    return word;
}

template <bool FAST> __device__ void encode_key(const gpu_encode_args &a, int row, int head, int t, uint8_t *unit, int lane)
{
    const gpu_format &f = a.format;
    int d = FAST ? 128 : f.d;
    int64_t position = a.position ? a.position[row] : row;
    const float *cos_row = a.rope_cos ? a.rope_cos + position * (d / 2) : NULL, *sin_row = a.rope_cos ? a.rope_sin + position * (d / 2) : NULL;
    Row r = prepare_row(a.k + ((int64_t)row * f.n_kv_heads + head) * d, d, a.k_norm, a.norm_eps, cos_row, sin_row, lane);
    uint32_t mask = 0, word = 0;
    uint16_t bits = 0;
    bool done = false;
    if (FAST) {
        Kept kept = keep_16(r, lane);
        mask = kept.mask;
        bits = scale_bits(kept.largest, 127.0f);
        float scale = half_bits_to_float(bits);
        done = kept.plain && scale >= 0x1p-14f && kept.largest < 8e6f && code_word(kept.x, scale, word);
    }
    if (!done) word = slow_key_word(f, r, lane, &mask, &bits);
    stage_key(f, r, mask, word, t, unit, lane);
    if (f.key_type == KERN_KEY_CODE8 && lane == 0) ((uint16_t *)(unit + f.index_bytes + f.k_key * 16))[t] = bits;
}

/* Copies the tokens of a staged unit that are new, and zeros after the last one. */
__device__ void store_unit(const gpu_encode_args &a, uint8_t *to, const uint8_t *staged, int first_new)
{
    int n_words = a.format.unit_bytes / 4, n_scaled = a.format.key_type == KERN_KEY_CODE8 ? n_words - 8 : n_words;
    if (first_new == 0) {
        for (int i = threadIdx.x; i < n_words / 4; i += blockDim.x) ((uint4 *)to)[i] = ((const uint4 *)staged)[i];
        return;
    }
    int index_words = a.format.index_bytes / 4;
    for (int i = threadIdx.x; i < n_scaled; i += blockDim.x) {
        int t = a.format.key_type == KERN_KEY_CODE8 || i < index_words ? i % 16 : (i - index_words) / 4 % 16;
        if (t >= first_new) ((uint32_t *)to)[i] = ((const uint32_t *)staged)[i];
    }
    if (n_scaled == n_words) return;
    for (int t = first_new + threadIdx.x; t < 16; t += blockDim.x)
        ((uint16_t *)to)[n_scaled * 2 + t] = ((const uint16_t *)staged)[n_scaled * 2 + t];
}

__device__ __noinline__ void encode_value(const gpu_encode_args &a, const gpu_section &where, uint8_t *block, int row, int token, int head, int lane)
{
    const gpu_format &f = a.format;
    int d = f.d;
    uint8_t *to = block + where.rows_offset + head * where.row_head_bytes + (int64_t)token * f.row_bytes;
    uint16_t *scales = (uint16_t *)(block + where.scales_offset + head * where.scale_head_bytes) + (int64_t)token * f.n_scales;
    float4 v = {0, 0, 0, 0};
    bool valid = lane * 4 < d;
    if (valid) v = __ldcs((const float4 *)(a.v + ((int64_t)row * f.n_kv_heads + head) * d) + lane);
    float x[4] = {v.x, v.y, v.z, v.w};
    if (f.value_type == KERN_VALUE_F32) {
        if (valid) ((float4 *)to)[lane] = v;
        return;
    }
    if (f.value_type == KERN_VALUE_F16) {
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] = finite(x[i], 65504.0f);
        if (valid) ((uint2 *)to)[lane] = make_uint2(pack_half2(x[0], x[1]), pack_half2(x[2], x[3]));
        return;
    }
    bool four = f.value_type == KERN_VALUE_Q4;
    int group_lanes = four ? f.value_group / 4 : 32;
    float top = four ? 7.0f : 127.0f, largest = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    /* groups need not be a power of two (48 of 96): everyone looks at the whole group */
    float group_max = 0;
    for (int i = 0; i < group_lanes; i++) group_max = fmaxf(group_max, __shfl_sync(WARP_ALL, largest, (lane / group_lanes * group_lanes + i) & 31));
    uint16_t bits = scale_bits(group_max, top);
    float scale = fmaxf(half_bits_to_float(bits), 1e-7f), reciprocal = __fdiv_rn(1.0f, scale);
    if (bits < 2) bits = __half_as_ushort(__float2half_rn(scale));
    int q[4];
#pragma unroll
    for (int i = 0; i < 4; i++) q[i] = code_of(x[i], scale, reciprocal, top);
    if (valid && lane % group_lanes == 0) scales[lane / group_lanes] = bits;
    uint32_t word = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) word |= (uint32_t)(uint8_t)(four ? q[i] + 8 : q[i]) << 8 * i;
    if (!four) {
        if (valid) ((uint32_t *)to)[lane] = word;
        return;
    }
    uint32_t high = __shfl_sync(WARP_ALL, word, (lane + d / 8) & 31);
    if (lane < d / 8) ((uint32_t *)to)[lane] = word | high << 4;
}

/* Thread blocks: those of keys and values first (a unit of a KV head each, a token to a warp), then those of queries (a token to a warp). */
template <bool FAST> __global__ void __launch_bounds__(ENCODE_WARPS * 32) encode_kernel(gpu_encode_args a, int n_key_blocks, int heads_each)
{
    extern __shared__ uint4 staged[];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, block = blockIdx.x;
    if (block >= n_key_blocks) {
        int index = (block - n_key_blocks) * ENCODE_WARPS + warp, shares = a.n_heads / heads_each, token = index / shares;
        if (token < a.n_rows) encode_queries<FAST>(a, token, index % shares * heads_each, heads_each, lane);
        return;
    }
    int kv = a.format.n_kv_heads, head = block % kv, index = block / kv;
    const gpu_encode_segment &segment = a.segments[index / a.n_units_max];
    int unit = segment.at / 16 + index % a.n_units_max, first = unit * 16, at = segment.at, n_rows = segment.n_rows;
    if (first >= at + n_rows) return;
    for (int i = threadIdx.x; i < a.format.unit_bytes / 16; i += blockDim.x) staged[i] = make_uint4(0, 0, 0, 0);
    __syncthreads();
    uint8_t *to = (uint8_t *)segment.where.base + a.layer * segment.where.layer_stride;
    int token = first + warp, row = (int)segment.first_row + token - at;
    if (token >= at && token < at + n_rows) {
        encode_key<FAST>(a, row, head, warp, (uint8_t *)staged, lane);
        if (a.v) encode_value(a, segment.where, to, row, token, head, lane);
    }
    __syncthreads();
    store_unit(a, to + head * segment.where.key_head_bytes + (int64_t)unit * a.format.unit_bytes, (const uint8_t *)staged, first < at ? at - first : 0);
}

/* --------------------------------------------------------------------------------------- many rows: d = 128, k = 16, 8 bits */

/* Rows are held as encode-pair.cuh has them; one that cannot be told there is coded by the whole warp, as few rows are. */
#define WIDE_WARPS 4
#define WIDE_ROWS_MIN 32
#if __CUDA_ARCH__ >= 900
#define WIDE_BLOCKS 5 /* of a multiprocessor; the registers that this leaves suffice on Hopper, where the earlier ones would spill */
#else
#define WIDE_BLOCKS 4
#endif

/* From words 32 features apart to neighbouring ones: the lane's four are then a row's words 4 c .. 4 c + 3, c = row_chunk. Stores of 16
 * bytes are a quarter of the second-level cache's requests, which words of a lane would be. All lanes take part. */
__device__ __forceinline__ int row_chunk(int j)
{
    return j / 4 + 2 * (j & 3);
}
__device__ __forceinline__ uint4 gather_words(const uint32_t (&words)[4], int j)
{
    uint32_t w[4] = {words[0], words[1], words[2], words[3]};
#pragma unroll
    for (int bit = 1; bit < 4; bit *= 2)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int low = bit == 1 ? 2 * i : i, high = low + bit;
            uint32_t got = __shfl_xor_sync(WARP_ALL, j & bit ? w[low] : w[high], bit);
            w[low] = j & bit ? got : w[low], w[high] = j & bit ? w[high] : got;
        }
    return make_uint4(w[0], w[1], w[2], w[3]);
}

/* A row of the eight lanes from `first` on, as the slow way holds it. */
__device__ __forceinline__ Row spread_row(const float (&x)[16], int first, float *row, int lane)
{
    if (lane / 8 == first / 8)
#pragma unroll
        for (int b = 0; b < 4; b++) ((float4 *)row)[lane % 8 + 8 * b] = make_float4(x[b * 4], x[b * 4 + 1], x[b * 4 + 2], x[b * 4 + 3]);
    __syncwarp();
    float4 v = ((const float4 *)row)[lane];
    __syncwarp();
    return (Row){{v.x, v.y, v.z, v.w}};
}

/* A warp: four tokens, of each `pairs_each` pairs of heads one after another; the next pair's rows come while one is worked on. */
__global__ void __launch_bounds__(WIDE_WARPS * 32, WIDE_BLOCKS) encode_queries_kernel(gpu_encode_args a, int pairs_each)
{
    __shared__ float4 stages[WIDE_WARPS][4][64], slow_row[WIDE_WARPS][32];
    int lane = threadIdx.x & 31, j = lane & 7, warp = threadIdx.x >> 5;
    int wanted = (blockIdx.x * WIDE_WARPS + warp) * 4 + lane / 8, first_pair = blockIdx.y * pairs_each, last_pair = min(first_pair + pairs_each, a.n_heads / 2);
    int64_t token = min(wanted, a.n_rows - 1), position = a.position ? a.position[token] : token, at = token * a.n_heads + first_pair * 2;
    bool valid = wanted < a.n_rows;
    float4 *stage = stages[warp][lane / 8];
    Turn turn;
    fetch_pair(smem_address(stage), a.q + at * 128, j);
    if (a.rope_cos) load_turn(turn, a.rope_cos + position * 64, a.rope_sin + position * 64, j);
#pragma unroll 1
    for (int pair = first_pair; pair < last_pair; pair++, at += 2) {
        Pair p;
        cp_async_wait<0>();
        read_pair(p, stage, j);
        if (pair + 1 < last_pair) fetch_pair(smem_address(stage), a.q + (at + 2) * 128, j);
        prepare_pair(p, a.q_norm, a.norm_eps, a.rope_cos != NULL, turn, j);
        bool odd = j & 1, good[2];
        uint32_t bytes[2][4];
        float largest = own_largest(p, odd), scale = __fdiv_rn(largest, 127.0f), scales[2], reciprocals[2];
        uint32_t unusual = __ballot_sync(WARP_ALL, valid && !(largest < INFINITY && scale > 1e-30f));
        both_rows(scale, scales, odd);
        both_rows(__frcp_rn(scale), reciprocals, odd);
        keep_16_of_pair(p, reciprocals, bytes, good);
        if (valid && j < 2) a.scale[at + j] = __fmul_rn(scale, a.q_root); /* an unusual row's is written once more */
#pragma unroll
        for (int r = 0; r < 2; r++) {
            uint32_t words[4], left = __ballot_sync(WARP_ALL, valid && !good[r]) | (unusual & 0x55555555u << r);
            code_words(p.x[r], scales[r], reciprocals[r], words);
            if (valid && !(left & 0xffu << (lane & 24)))
#pragma unroll
                for (int b = 0; b < 4; b++) ((uint32_t *)a.table)[(at + r) * 32 + 8 * b + j] = words[b] & bytes[r][b];
            for (int first = 0; left && first < 32; first += 8) {
                if (!(left >> first & 0xff)) continue;
                Row row = spread_row(p.x[r], first, (float *)slow_row[warp], lane);
                int64_t to = __shfl_sync(WARP_ALL, at, first) + r;
                float slow_scale;
                uint32_t word = slow_query_word(a.format, row, lane, &slow_scale);
                ((uint32_t *)a.table)[to * 32 + lane] = word;
                if (lane == 0) a.scale[to] = __fmul_rn(slow_scale, a.q_root);
            }
        }
    }
}

/* Staged, a token has 16 pairs of an index and a code beside it, so that an entry is one store; after 16 tokens come their scales. */
#define PAIRS_BYTES 32
__device__ __forceinline__ void stage_slow_key(uint8_t *staged, uint32_t mask, uint32_t word, int t, int lane)
{
    uint16_t *to = (uint16_t *)(staged + t * PAIRS_BYTES) + kept_before(mask, lane);
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (mask >> i & 1) *to++ = (uint16_t)((lane * 4 + i) | (word >> 8 * i & 255) << 8);
}

/* Four indices (group 0 .. 3) or codes (4 .. 7) of a staged token, as the unit has them. */
__device__ __forceinline__ uint32_t unit_word(const uint8_t *staged, int group, int t)
{
    uint2 pairs = *(const uint2 *)(staged + t * PAIRS_BYTES + (group & 3) * 8);
    return __byte_perm(pairs.x, pairs.y, group & 4 ? 0x7531 : 0x6420);
}

/* Kept entries of one of the eight lanes' rows, staged: before them come those of lower features, of blocks of 32 and then of lanes. */
__device__ __forceinline__ void stage_codes(uint8_t *staged, const uint32_t (&words)[4], const uint32_t (&bytes)[4], int t, int j, bool wanted)
{
    int n[4]; /* 32 features each */
#pragma unroll
    for (int b = 0; b < 4; b++) n[b] = __dp4a((int)bytes[b], -1, 0);
    uint32_t counts = (uint32_t)(((n[3] * 256 + n[2]) * 256 + n[1]) * 256 + n[0]), before = counts;
#pragma unroll
    for (int o = 1; o < 8; o *= 2) {
        uint32_t lower = __shfl_up_sync(WARP_ALL, before, o, 8);
        if (j >= o) before += lower;
    }
    uint32_t total = __shfl_sync(WARP_ALL, before, 7, 8);
    before += (total * 0x01010101u << 8) - counts;
    uint32_t start = smem_address(staged) + t * PAIRS_BYTES, features = 0x03020100u + j * 0x04040404u, all = wanted ? 0xffffffffu : 0;
#pragma unroll
    for (int b = 0; b < 4; b++) {
        uint32_t to = start + 2 * (before >> 8 * b & 255), kept = bytes[b] & all;
#pragma unroll
        for (int e = 0; e < 4; e++) { /* stores under a predicate: a branch for each would cost more */
            uint32_t pair = __byte_perm(features + b * 0x20202020u, words[b], e | (4 + e) << 4), bit = kept & 0x80u << 8 * e;
            asm volatile("{.reg .pred p;\nsetp.ne.u32 p, %1, 0;\n@p st.shared.u16 [%0], %2;\n@p add.u32 %0, %0, 2;}"
                         : "+r"(to)
                         : "r"(bit), "r"(pair)
                         : "memory");
        }
    }
}

/* An 8-bit value row of the eight lanes; false: the slow way. */
__device__ __forceinline__ bool encode_value_q8(const float *from, uint8_t *rows, uint16_t *scales, int64_t token, int j, bool wanted)
{
    float x[16], largest = 0;
#pragma unroll
    for (int b = 0; b < 4; b++) {
        float4 v = __ldcs((const float4 *)from + j + 8 * b);
        x[b * 4] = v.x, x[b * 4 + 1] = v.y, x[b * 4 + 2] = v.z, x[b * 4 + 3] = v.w;
    }
#pragma unroll
    for (int i = 0; i < 16; i++) largest = max_nan(largest, fabsf(x[i]));
#pragma unroll
    for (int o = 1; o < 8; o *= 2) largest = max_nan(largest, __shfl_xor_sync(WARP_ALL, largest, o));
    uint16_t bits = scale_bits(largest, 127.0f);
    float scale = half_bits_to_float(bits);
    uint32_t words[4];
    code_words(x, scale, __frcp_rn(scale), words);
    bool done = scale >= 0x1p-14f && largest < 8e6f;
    uint4 row_words = gather_words(words, j);
    if (!done || !wanted) return done;
    ((uint4 *)(rows + token * 128))[row_chunk(j)] = row_words;
    if (j == 0) scales[token] = bits;
    return true;
}

/* The new tokens of a warp's four, staged as in their unit, to that unit; after the last token come zeros. */
__device__ __forceinline__ void store_quarter(uint8_t *to, const uint8_t *staged, int first_token, int first_new, int lane)
{
#pragma unroll
    for (int i = 0; i < 2; i++) { /* [4 groups of 4 indices, then 4 of 4 codes][4 tokens], 4 bytes each; scales after them */
        int group = i * 4 + lane / 8, t = first_token + (lane & 3);
        if ((lane & 4) == 0 && t >= first_new) ((uint32_t *)to)[group * 16 + t] = unit_word(staged, group, t);
    }
    int t = first_token + lane;
    if (lane < 4 && t >= first_new) ((uint16_t *)to)[256 + t] = ((const uint16_t *)staged)[256 + t];
}

/* A whole staged unit, by 64 threads. */
__device__ __forceinline__ void store_whole(uint8_t *to, const uint4 *staged, int i)
{
    int group = i / 8, t = i % 8 * 2;
    ((uint2 *)to)[i] = make_uint2(unit_word((const uint8_t *)staged, group, t), unit_word((const uint8_t *)staged, group, t + 1));
    if (i < 2) ((uint4 *)to)[32 + i] = staged[32 + i];
}

/* A thread block: a unit of 16 tokens, four to a warp, of `pairs_each` pairs of KV heads one after another. */
__global__ void __launch_bounds__(WIDE_WARPS * 32, WIDE_BLOCKS) encode_keys_kernel(gpu_encode_args a, int pairs_each)
{
    __shared__ float4 stages[WIDE_WARPS][4][64], slow_row[WIDE_WARPS][32];
    __shared__ uint4 units[2][2][34]; /* staged in turns, 544 bytes each; a warp has its tokens' places */
    const gpu_format &f = a.format;
    int lane = threadIdx.x & 31, j = lane & 7, warp = threadIdx.x >> 5, index = blockIdx.x;
    const gpu_encode_segment &segment = a.segments[index / a.n_units_max];
    int unit = segment.at / 16 + index % a.n_units_max, first = unit * 16, at = segment.at, end = at + segment.n_rows;
    if (first >= end) return;
    const gpu_section &where = segment.where;
    uint8_t *block = (uint8_t *)where.base + a.layer * where.layer_stride;
    int t = warp * 4 + lane / 8, token = min(max(first + t, at), end - 1), first_pair = blockIdx.y * pairs_each;
    int last_pair = min(first_pair + pairs_each, f.n_kv_heads / 2);
    bool valid = token == first + t;
    int64_t row = (int64_t)segment.first_row + token - at, position = a.position ? a.position[row] : row;
    const float *from = a.k + (row * f.n_kv_heads + first_pair * 2) * 128;
    float4 *stage = stages[warp][lane / 8];
    Turn turn;
    fetch_pair(smem_address(stage), from, j);
    if (a.rope_cos) load_turn(turn, a.rope_cos + position * 64, a.rope_sin + position * 64, j);
#pragma unroll 1
    for (int head = first_pair * 2, turn_of = 0; head < last_pair * 2; head += 2, from += 256, turn_of ^= 1) {
        Pair p;
        cp_async_wait<0>();
        read_pair(p, stage, j);
        if (head + 2 < last_pair * 2) fetch_pair(smem_address(stage), from + 256, j);
        prepare_pair(p, a.k_norm, a.norm_eps, a.rope_cos != NULL, turn, j);
        bool odd = j & 1, good[2];
        uint32_t bytes[2][4];
        float largest = own_largest(p, odd), scales[2], reciprocals[2];
        uint16_t bits = scale_bits(largest, 127.0f);
        float scale = half_bits_to_float(bits);
        uint32_t unusual = __ballot_sync(WARP_ALL, valid && !(scale >= 0x1p-14f && largest < 8e6f));
        both_rows(scale, scales, odd);
        both_rows(__frcp_rn(scale), reciprocals, odd);
        keep_16_of_pair(p, reciprocals, bytes, good);
        if (j < 2) ((uint16_t *)units[turn_of][j])[256 + t] = valid ? bits : 0; /* an unusual row's is written once more */
#pragma unroll
        for (int r = 0; r < 2; r++) {
            uint8_t *to = (uint8_t *)units[turn_of][r];
            if (!valid) ((uint32_t *)to)[t * 8 + j] = 0; /* what is not there is zero */
            uint32_t words[4], left = __ballot_sync(WARP_ALL, valid && !good[r]) | (unusual & 0x55555555u << r);
            code_words(p.x[r], scales[r], reciprocals[r], words);
            stage_codes(to, words, bytes[r], t, j, valid && !(left & 0xffu << (lane & 24)));
            for (int one = 0; left && one < 32; one += 8) {
                if (!(left >> one & 0xff)) continue;
                Row slow = spread_row(p.x[r], one, (float *)slow_row[warp], lane);
                uint16_t slow_bits;
                uint32_t slow_mask, word = slow_key_word(f, slow, lane, &slow_mask, &slow_bits);
                stage_slow_key(to, slow_mask, word, warp * 4 + one / 8, lane);
                if (lane == 0) ((uint16_t *)to)[256 + warp * 4 + one / 8] = slow_bits;
            }
        }
        if (first >= at) { /* a whole unit, by the whole block: full lines of the cache; the next pair is staged elsewhere meanwhile */
            __syncthreads();
            int r = threadIdx.x / 64;
            store_whole(block + (head + r) * where.key_head_bytes + (int64_t)unit * 544, units[turn_of][r], threadIdx.x % 64);
            continue;
        }
        __syncwarp();
        for (int r = 0; r < 2; r++)
            store_quarter(block + (head + r) * where.key_head_bytes + (int64_t)unit * 544, (const uint8_t *)units[turn_of][r], warp * 4, at - first, lane);
        __syncwarp();
    }
}

/* Values: eight lanes to a row, four rows to a warp; what is unusual, or not 8-bit, by a warp. */
__global__ void __launch_bounds__(256) encode_values_kernel(gpu_encode_args a)
{
    const gpu_format &f = a.format;
    int lane = threadIdx.x & 31, j = lane & 7, n_blocks = (a.n_units_max * 16 * f.n_kv_heads + 31) / 32;
    const gpu_encode_segment &segment = a.segments[blockIdx.x / n_blocks];
    int64_t n = (int64_t)segment.n_rows * f.n_kv_heads, wanted = (int64_t)(blockIdx.x % n_blocks) * 32 + threadIdx.x / 8, index = min(wanted, n - 1);
    if (wanted - lane / 8 >= n) return;
    int row = (int)(index / f.n_kv_heads), head = (int)(index % f.n_kv_heads), token = (int)segment.at + row;
    const gpu_section &where = segment.where;
    uint8_t *block = (uint8_t *)where.base + a.layer * where.layer_stride;
    bool valid = wanted < n, done = false;
    if (f.value_type == KERN_VALUE_Q8)
        done = encode_value_q8(a.v + ((int64_t)(segment.first_row + row) * f.n_kv_heads + head) * 128, block + where.rows_offset + head * where.row_head_bytes,
                               (uint16_t *)(block + where.scales_offset + head * where.scale_head_bytes), token, j, valid);
    uint32_t left = __ballot_sync(WARP_ALL, valid && !done);
    for (int one = 0; left && one < 32; one += 8) {
        if (!(left >> one & 0xff)) continue;
        int its_row = __shfl_sync(WARP_ALL, row, one), its_head = __shfl_sync(WARP_ALL, head, one);
        encode_value(a, where, block, (int)segment.first_row + its_row, (int)segment.at + its_row, its_head, lane);
    }
}

/* A warp to a row: few rows, and every format. */
static cudaError_t encode_few(const gpu_encode_args *a, bool fast, cudaStream_t stream)
{
    const gpu_format &f = a->format;
    int n_key_blocks = a->k ? a->n_units_max * f.n_kv_heads * a->n_segments : 0;
    int heads_each = a->n_rows >= 4096 ? a->n_heads : 1; /* few rows: all heads at once */
    int n_query_blocks = a->q ? (int)(((int64_t)a->n_rows * (a->n_heads / heads_each) + ENCODE_WARPS - 1) / ENCODE_WARPS) : 0;
    if (n_key_blocks + n_query_blocks == 0) return cudaSuccess;
    if (fast) encode_kernel<true><<<n_key_blocks + n_query_blocks, ENCODE_WARPS * 32, f.unit_bytes, stream>>>(*a, n_key_blocks, heads_each);
    else encode_kernel<false><<<n_key_blocks + n_query_blocks, ENCODE_WARPS * 32, f.unit_bytes, stream>>>(*a, n_key_blocks, heads_each);
    return cudaGetLastError();
}

cudaError_t gpu_encode(const gpu_encode_args *a, cudaStream_t stream)
{
    const gpu_format &f = a->format;
    bool fast = f.d == 128 && f.k_key == 16 && f.k_query == 16 && f.key_type == KERN_KEY_CODE8;
    bool wide_q = fast && a->q && !a->dense && a->n_heads % 2 == 0 && a->n_rows >= WIDE_ROWS_MIN;
    bool wide_k = fast && a->k && f.n_kv_heads % 2 == 0 && a->n_units_max * 16 >= WIDE_ROWS_MIN;
    if (wide_k) {
        int units = a->n_units_max * a->n_segments, pairs_each = units >= 1024 ? f.n_kv_heads / 2 : 1;
        encode_keys_kernel<<<dim3(units, (f.n_kv_heads / 2 + pairs_each - 1) / pairs_each), WIDE_WARPS * 32, 0, stream>>>(*a, pairs_each);
        if (a->v) encode_values_kernel<<<(a->n_units_max * 16 * f.n_kv_heads + 31) / 32 * a->n_segments, 256, 0, stream>>>(*a);
    }
    if (wide_q) {
        int blocks = (a->n_rows + WIDE_WARPS * 4 - 1) / (WIDE_WARPS * 4), pairs_each = blocks >= 1024 ? a->n_heads / 2 : 1;
        encode_queries_kernel<<<dim3(blocks, (a->n_heads / 2 + pairs_each - 1) / pairs_each), WIDE_WARPS * 32, 0, stream>>>(*a, pairs_each);
    }
    gpu_encode_args rest = *a;
    if (wide_k) rest.k = NULL;
    if (wide_q) rest.q = NULL;
    return encode_few(&rest, fast, stream);
}
