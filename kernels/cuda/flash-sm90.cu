/* flash-sm90.cu: prefill with Hopper's own instructions: warpgroup products, bulk copies, register hand-over.
 *
 * Owns: the sm_90a version of flash.cu's kernel for 8-bit keys and d of 80 to 128; nothing depends on it being there.
 * Does not own: the softmax (flash.cuh), the tiles' form (expand.cu: it is the 128-byte swizzle, so tiles are copied as they lie).
 *
 * Three warpgroups: one copies tiles of 128 keys, two multiply, 64 query rows each, in steps of 64 keys: Q K^T of the next step and P V of the
 * step before are issued together, and the softmax of this step runs meanwhile, so that nothing waits for the products of its own step.
 * What limits is how long a warp takes from one issue to the next: no maximum, no branch and no load is waited for in between.
 */
#include "flash.cuh"
#include "sm90.cuh"

#define SM90_KEYS 128
#define SM90_STAGES 4
#define SM90_K_BYTES (SM90_KEYS * 128)
#define SM90_V_ROWS (128 + GPU_SUM_ROWS)
#define SM90_V_BYTES (SM90_V_ROWS * SM90_KEYS * 2)
#define SM90_S_BYTES (2 * GPU_LANE_FLOATS * 4)
#define SM90_COPIED_BYTES (SM90_K_BYTES + SM90_V_BYTES + SM90_S_BYTES)
#define SM90_STAGE_BYTES ((SM90_COPIED_BYTES + 1023) / 1024 * 1024) /* swizzled rows start at multiples of 1,024 */
#define SM90_Q_BYTES (GPU_FLASH_ROWS * 128)
#define SM90_HEADROOM_BITS 0x7400u /* 2^14 in f16: weights relative to the maximum kept; f16 has room for 2^16 */
#define SM90_PAIR_ROWS 16384 /* from so many rows on, two thread blocks share their tiles: with fewer their waiting for each other costs more */
#define SM90_BYTES (SM90_Q_BYTES + SM90_STAGES * SM90_STAGE_BYTES + 1024)

#if KERN_SM90
__device__ __forceinline__ void wgmma_fence(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* Ends a basic block, for ptxas schedules within one: it would put what follows between the products that were asked for, the last of which
 * would then be asked for when the softmax is nearly over. The branch is never taken; an empty one would be removed. */
__device__ __forceinline__ void end_block(int not_negative)
{
    asm volatile("{\n.reg .pred never;\nagain:\nsetp.eq.s32 never, %0, -1;\n@!never bra done;\nnanosleep.u32 20;\nbra again;\ndone:\n}" ::"r"(not_negative)
                 : "memory");
}
template <int N> __device__ __forceinline__ void wgmma_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
/* Rows of 128 bytes, 128-byte swizzle, 8 rows (1,024 bytes) to a core group. An address is a descriptor's low word, in units of 16 bytes;
 * it is worked out once and moved on by additions. */
__device__ __forceinline__ uint32_t tile_word(uint32_t address)
{
    return (address & 0x3ffff) >> 4 | 1u << 16;
}
__device__ __forceinline__ uint64_t tile_descriptor(uint32_t word)
{
    return (uint64_t)(64u | 1u << 30) << 32 | word;
}

/* i [64 rows][64 keys] (+)= q k^T, 32 features; q from registers. */
__device__ __forceinline__ void wgmma_keys(int (&i)[32], const uint32_t *q, uint64_t k, bool add)
{
    asm volatile("{.reg .pred add;\nsetp.ne.b32 add, %37, 0;\nwgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "
                 "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31},\n"
                 " {%32, %33, %34, %35}, %36, add;}"
                 : "+r"(i[0]), "+r"(i[1]), "+r"(i[2]), "+r"(i[3]), "+r"(i[4]), "+r"(i[5]), "+r"(i[6]), "+r"(i[7]), "+r"(i[8]),
                   "+r"(i[9]), "+r"(i[10]), "+r"(i[11]), "+r"(i[12]), "+r"(i[13]), "+r"(i[14]), "+r"(i[15]), "+r"(i[16]), "+r"(i[17]),
                   "+r"(i[18]), "+r"(i[19]), "+r"(i[20]), "+r"(i[21]), "+r"(i[22]), "+r"(i[23]), "+r"(i[24]), "+r"(i[25]), "+r"(i[26]),
                   "+r"(i[27]), "+r"(i[28]), "+r"(i[29]), "+r"(i[30]), "+r"(i[31])
                 : "r"(q[0]), "r"(q[1]), "r"(q[2]), "r"(q[3]), "l"(k), "r"((int)add));
}
/* d [64 rows][128 features, then the sum of weights and 7 zeros] += p v, 16 keys. */
__device__ __forceinline__ void wgmma_values(float (&d)[68], const uint32_t *p, uint64_t v)
{
    asm volatile("{wgmma.mma_async.sync.aligned.m64n136k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "
                 "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, "
                 "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, "
                 "%60, %61, %62, %63, %64, %65, %66, %67},\n"
                 " {%68, %69, %70, %71}, %72, 1, 1, 1, 0;}"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]),
                   "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]),
                   "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]),
                   "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]),
                   "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]),
                   "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]),
                   "+f"(d[54]), "+f"(d[55]), "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]),
                   "+f"(d[63]), "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67])
                 : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v));
}

/* The copying warpgroup: one thread keeps the stages full; of a cluster's two each copies half of a tile to both. */
template <bool CLUSTER>
__device__ void copy_tiles(const gpu_flash_args &a, int64_t tile0, int n_tiles, uint32_t stages, uint32_t full, uint32_t empty)
{
    uint32_t rank = CLUSTER ? cluster_rank() : 0;
    for (int j = 0; j < n_tiles; j++) {
        int stage = j % SM90_STAGES;
        if (j >= SM90_STAGES) barrier_wait_long(empty + stage * 8, (j / SM90_STAGES - 1) & 1);
        uint32_t to = stages + stage * SM90_STAGE_BYTES, bar = full + stage * 8;
        int64_t tile = tile0 + 2 * j + rank;
        barrier_expect(bar, SM90_COPIED_BYTES);
        if (CLUSTER) {
            bulk_copy_to_both(to + rank * (SM90_K_BYTES / 2), a.scratch.keys + tile * 64 * 128, SM90_K_BYTES / 2, bar);
            bulk_copy_to_both(to + SM90_K_BYTES + rank * (SM90_V_BYTES / 2), a.scratch.values + tile * SM90_V_ROWS * 64, SM90_V_BYTES / 2, bar);
            bulk_copy_to_both(to + SM90_K_BYTES + SM90_V_BYTES + rank * (SM90_S_BYTES / 2), a.scratch.lane_scale + tile * GPU_LANE_FLOATS, SM90_S_BYTES / 2, bar);
        } else {
            bulk_copy(to, a.scratch.keys + tile * 64 * 128, SM90_K_BYTES, bar);
            bulk_copy(to + SM90_K_BYTES, a.scratch.values + tile * SM90_V_ROWS * 64, SM90_V_BYTES, bar);
            bulk_copy(to + SM90_K_BYTES + SM90_V_BYTES, a.scratch.lane_scale + tile * GPU_LANE_FLOATS, SM90_S_BYTES, bar);
        }
    }
}

__device__ __forceinline__ void issue_keys(int (&s)[32], const uint32_t (&q)[16], uint32_t k)
{
#pragma unroll
    for (int step = 0; step < 4; step++) wgmma_keys(s, q + step * 4, tile_descriptor(k + step * 2), step > 0);
}
__device__ __forceinline__ void issue_values(float (&acc)[68], const uint32_t (&p)[16], uint32_t v)
{
#pragma unroll
    for (int step = 0; step < 4; step++) wgmma_values(acc, p + step * 4, tile_descriptor(v + step * 2));
}

/* What a multiplying warp knows of its rows and place. */
struct Consumer {
    FlashRow row[2];
    float base[2]; /* what weights are relative to: m, or 0 while no key was seen */
    int seen[2];
    uint32_t q[16];        /* the warp's 16 query rows, as products take them */
    const uint8_t *shared; /* query rows, then the stages */
    int lane;
};

/* Scales of the lane's keys of a half tile, in the order of its sums, and the exponent of its values: read a step ahead, for shared memory
 * answers late when products read it too. */
struct Scales {
    float key[16], exponent;
};
__device__ __forceinline__ void load_scales(Scales &scales, const uint8_t *from, int lane)
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float4 k = ((const float4 *)from)[i * 4 + (lane & 3)];
        scales.key[i * 4] = k.x, scales.key[i * 4 + 1] = k.y, scales.key[i * 4 + 2] = k.z, scales.key[i * 4 + 3] = k.w;
    }
    scales.exponent = ((const float *)from)[64 + (lane & 3)];
}

/* Raw sums of 64 keys -> weights, as f16. */
__device__ __forceinline__ void weigh_keys(const int (&all)[32], const Scales &scales, const Consumer &c, uint32_t (&p)[16])
{
    const int (&s)[8][4] = reinterpret_cast<const int (&)[8][4]>(all);
    float add[2];
#pragma unroll
    for (int i = 0; i < 2; i++) add[i] = scales.exponent - c.base[i];
#pragma unroll
    for (int n = 0; n < 8; n++) {
        float w[4];
#pragma unroll
        for (int i = 0; i < 4; i++) w[i] = exp2_fast(fmaf((float)s[n][i] * scales.key[n * 2 + (i & 1)], c.row[i / 2].scale, add[i / 2]));
        p[n * 2] = pack_half2(w[0], w[1]), p[n * 2 + 1] = pack_half2(w[2], w[3]);
    }
}

/* No weight where a row does not see the key, or there is none. */
__device__ __forceinline__ void mask_weights(uint32_t (&p)[16], const Scales &scales, const Consumer &c, int first_key)
{
#pragma unroll
    for (int n = 0; n < 8; n++) {
        uint32_t there = (scales.key[n * 2] < GPU_NO_KEY ? 0xffffu : 0u) | (scales.key[n * 2 + 1] < GPU_NO_KEY ? 0xffff0000u : 0u);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int n_seen = c.seen[i] - (first_key + n * 8);
            p[n * 2 + i] &= n_seen > 1 ? there : n_seen > 0 ? there & 0xffffu : 0u;
        }
    }
}

/* Whether a weight passes 2^14. f16 bits of what is not negative are ordered as the numbers. */
__device__ __forceinline__ bool weights_pass(const uint32_t (&p)[16])
{
    uint32_t top[6]; /* not one by one: each would wait for the one before */
#pragma unroll
    for (int i = 0; i < 5; i++) top[i] = __vimax3_u16x2(p[i * 3], p[i * 3 + 1], p[i * 3 + 2]);
    top[0] = __vimax3_u16x2(top[0], top[1], top[2]), top[3] = __vimax3_u16x2(top[3], top[4], p[15]);
    top[0] = __vmaxu2(top[0], top[3]);
    return ((top[0] + (0x80007fffu - SM90_HEADROOM_BITS * 0x10001u)) & 0x80008000u) != 0;
}

/* The rows' maximum with this half tile's, from sums + 12582912; keep: the factors for what was summed before. A place without a key scores
 * -inf: its scale is so large that what is added overflows before the multiply-add does. */
__device__ __forceinline__ void raise_maximum(float (&s)[8][4], const Scales &scales, Consumer &c, bool masked, int first_key, float (&keep)[2])
{
    float top[2];
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) s[n][i] = fmaf(s[n][i], scales.key[n * 2 + (i & 1)], -12582912.0f * scales.key[n * 2 + (i & 1)]);
    if (masked) mask_scores<8>(s, c.row, c.seen, first_key);
    row_tops<8>(s, top);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float m = fmaxf(c.row[i].m, (masked ? top[i] : top[i] * c.row[i].scale) + scales.exponent);
        c.base[i] = m == -INFINITY ? 0.0f : m;
        keep[i] = exp2_fast(c.row[i].m - c.base[i]);
        c.row[i].m = m;
    }
}

/* A half tile with places without a key has an exponent so large that its weights pass any bound (expand.cu): here it becomes the true one.
 * Returns whether it was so. */
__device__ __forceinline__ bool leave_gaps(Scales &scales)
{
    bool gaps = scales.exponent >= GPU_TILE_GAPS / 2;
    if (gaps) scales.exponent -= GPU_TILE_GAPS;
    return gaps;
}

/* The warp's raw sums once more, by instructions of its own: the warpgroup's need all four warps. */
__device__ __forceinline__ void multiply_keys_again(float (&s)[8][4], const Consumer &c, uint32_t keys)
{
#pragma unroll
    for (int i = 0; i < 32; i++) s[i / 4][i % 4] = 12582912.0f; /* their bits are floats then (flash.cu) */
    uint32_t k = keys + ((c.lane & 7) + (c.lane >> 4) * 8) * 128;
#pragma unroll
    for (int step = 0; step < 4; step++)
#pragma unroll
        for (int pair = 0; pair < 4; pair++) {
            uint32_t b[4];
            ldmatrix_x4(b, k + pair * 16 * 128 + ((step * 2 + (c.lane >> 3 & 1)) ^ (c.lane & 7)) * 16);
            mma_s8_bits(s[pair * 2], c.q + step * 4, b[0], b[1]);
            mma_s8_bits(s[pair * 2 + 1], c.q + step * 4, b[2], b[3]);
        }
}

/* One step, of 64 keys, half HALF of stage `at`, whose raw sums are in `now`: the next step's products and P V of the step before are asked
 * for together; meanwhile raw sums become weights, in p. The maximum that weights are relative to moves only when it is passed by a factor of
 * more than 2^14, or when keys have to be masked anyway: mostly nothing waits for a maximum, and nothing that was summed is multiplied again.
 * next_keys, last_values: descriptor words. scales: this step's, then the next one's, which lie at next_scales. */
template <int HALF>
__device__ __forceinline__ void multiply_step(Consumer &c, float (&acc)[68], int (&now)[32], int (&next)[32], uint32_t (&p)[16], Scales &scales, uint32_t at,
                                              int first_key, bool masked, uint32_t next_keys, uint32_t last_values, const uint8_t *next_scales)
{
    uint32_t weights[16];
    wgmma_fence();
    issue_keys(next, c.q, next_keys);
    issue_values(acc, p, last_values);
    wgmma_commit();
    end_block(c.seen[0]);
    weigh_keys(now, scales, c, weights);
    load_scales(scales, next_scales, c.lane);
    bool again = __any_sync(WARP_ALL, masked || weights_pass(weights));
    wgmma_wait<0>();
    if (again) {
        const uint8_t *stage = c.shared + SM90_Q_BYTES + at * SM90_STAGE_BYTES;
        float sums[8][4], keep[2];
        Scales mine;
        load_scales(mine, stage + SM90_K_BYTES + SM90_V_BYTES + HALF * (SM90_S_BYTES / 2), c.lane);
        masked |= leave_gaps(mine);
        multiply_keys_again(sums, c, smem_address(stage) + HALF * (SM90_K_BYTES / 2));
#pragma unroll
        for (int i = 0; i < 32; i++) now[i] = __float_as_int(sums[i / 4][i % 4]) - 0x4b400000;
        raise_maximum(sums, mine, c, masked, first_key, keep);
        weigh_keys(now, mine, c, weights);
        if (masked) mask_weights(weights, mine, c, first_key);
#pragma unroll
        for (int n = 0; n < 17; n++) acc[n * 4] *= keep[0], acc[n * 4 + 1] *= keep[0], acc[n * 4 + 2] *= keep[1], acc[n * 4 + 3] *= keep[1];
    }
#pragma unroll
    for (int i = 0; i < 16; i++) p[i] = weights[i];
}

template <bool CLUSTER>
__device__ void multiply_tiles(const gpu_flash_args &a, const gpu_flash_job &job, int first, int head, int per_kv, int n_tiles, uint8_t *shared, uint32_t full,
                               uint32_t empty, int group)
{
    Consumer c;
    c.lane = threadIdx.x & 31;
    int first_row = group * 64 + ((threadIdx.x >> 5) & 3) * 16, t = c.lane & 3, g = c.lane >> 2, n_rows = job.n_rows * per_kv;
    int clear_keys = visible_keys(job, min(first + group * 64, n_rows - 1), per_kv) / 64 * 64; /* seen by all rows */
    c.shared = shared;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int r = min(first + first_row + i * 8 + g, n_rows - 1);
        c.row[i].scale = fmaxf(a.scale[(int64_t)(job.first_row + r / per_kv) * a.n_heads + head * per_kv + r % per_kv] * LOG2_E, ROW_SCALE_MIN);
        c.row[i].m = -INFINITY, c.base[i] = 0;
        c.seen[i] = visible_keys(job, r, per_kv);
    }
#pragma unroll
    for (int step = 0; step < 4; step++)
        ldmatrix_x4(c.q + step * 4, smem_address(shared) + (first_row + (c.lane & 15)) * 128 + ((step * 2 + (c.lane >> 4)) ^ (c.lane & 7)) * 16);
    float acc[68], first_sums[8][4], keep[2];
    Scales scale, first_scale;
    int even[32], odd[32];
    uint32_t p[16], at = 0, phase = 0, stages = smem_address(shared) + SM90_Q_BYTES, keys = tile_word(stages);
    const uint8_t *scales = shared + SM90_Q_BYTES + SM90_K_BYTES + SM90_V_BYTES;
#pragma unroll
    for (int i = 0; i < 68; i++) acc[i] = 0;
#pragma unroll
    for (int i = 0; i < 16; i++) p[i] = 0;
    uint32_t his_empty = CLUSTER ? address_at(empty, c.lane & 1) : 0; /* lanes 0 and 1 tell one thread block each of the two */
    barrier_wait(full, 0);
    wgmma_fence();
    issue_keys(even, c.q, keys);
    wgmma_commit();
    load_scales(scale, scales, c.lane);
    wgmma_wait<0>();
#pragma unroll
    for (int i = 0; i < 32; i++) first_sums[i / 4][i % 4] = __int_as_float(even[i] + 0x4b400000);
    first_scale = scale;
    bool gaps = leave_gaps(first_scale);
    raise_maximum(first_sums, first_scale, c, gaps || 0 >= clear_keys, t * 2, keep); /* nothing was summed yet */
    uint32_t last_values = keys + SM90_K_BYTES / 16; /* of no weights at first */
    for (int j = 0; j < n_tiles; j++) {
        uint32_t values = keys + SM90_K_BYTES / 16, here = at;
        int first_key = j * SM90_KEYS;
        if (j + 1 < n_tiles) { /* else: this tile's products once more, which nobody reads */
            at = at + 1 == SM90_STAGES ? 0 : at + 1;
            phase ^= at == 0;
        }
        bool over = barrier_over(full + at * 8, phase);
        multiply_step<0>(c, acc, even, odd, p, scale, here, first_key + t * 2, first_key >= clear_keys, keys + SM90_K_BYTES / 32, last_values,
                         scales + SM90_S_BYTES / 2);
        if (j > 0 && c.lane < (CLUSTER ? 2 : 1)) {
            uint32_t before = (here == 0 ? SM90_STAGES - 1 : here - 1) * 8;
            if (CLUSTER) barrier_arrive_at(his_empty + before);
            else barrier_arrive(empty + before);
        }
        if (!over) barrier_wait(full + at * 8, phase);
        keys = tile_word(stages) + at * (SM90_STAGE_BYTES / 16);
        scales = shared + SM90_Q_BYTES + SM90_K_BYTES + SM90_V_BYTES + at * SM90_STAGE_BYTES;
        multiply_step<1>(c, acc, odd, even, p, scale, here, first_key + 64 + t * 2, first_key + 64 >= clear_keys, keys, values, scales);
        last_values = values + SM90_V_BYTES / 32;
    }
    wgmma_fence();
    issue_values(acc, p, last_values);
    wgmma_commit();
    wgmma_wait<0>();
#pragma unroll
    for (int i = 0; i < 2; i++) {
        c.row[i].l = __shfl_sync(WARP_ALL, acc[64 + i * 2], c.lane & ~3); /* column 128 is lane t = 0's */
        int r = first + first_row + i * 8 + g;
        if (r >= n_rows) continue;
        FlashOut out = flash_out(a, job, r, head, per_kv, c.row[i]);
#pragma unroll
        for (int n = 0; n < 16; n++)
            if (n * 8 < a.format.d)
                *(float2 *)(out.to + n * 8 + t * 2) = make_float2(acc[n * 4 + i * 2] * out.factor, acc[n * 4 + i * 2 + 1] * out.factor);
        if (t == 0 && out.ml) *out.ml = make_float2(c.row[i].m, c.row[i].l);
    }
}
#endif

/* CLUSTER: launched as pairs of thread blocks with neighbouring rows, which see nearly the same keys. */
template <bool CLUSTER> __device__ __forceinline__ void flash_block(const gpu_flash_args &a)
{
#if KERN_SM90
    extern __shared__ uint8_t raw[];
    __shared__ __align__(8) uint64_t barriers[2 * SM90_STAGES];
    uint8_t *shared = raw + ((1024 - (smem_address(raw) & 1023)) & 1023);
    const gpu_flash_job job = a.jobs[blockIdx.z];
    int per_kv = a.n_heads / a.format.n_kv_heads, head = blockIdx.y, n_rows = job.n_rows * per_kv;
    int first = (int)(gridDim.x - 1 - blockIdx.x) * GPU_FLASH_ROWS, shared_first = CLUSTER ? first / (2 * GPU_FLASH_ROWS) * (2 * GPU_FLASH_ROWS) : first;
    if (shared_first >= n_rows) return;
    int n_keys = visible_keys(job, min(shared_first + (CLUSTER ? 2 : 1) * GPU_FLASH_ROWS, n_rows) - 1, per_kv), n_tiles = (n_keys + SM90_KEYS - 1) / SM90_KEYS;
    uint32_t full = smem_address(barriers), empty = full + SM90_STAGES * 8;
    for (int i = threadIdx.x; i < GPU_FLASH_ROWS * 8; i += blockDim.x) {
        int r = i / 8, row = min(first + r, n_rows - 1);
        int64_t at = (int64_t)(job.first_row + row / per_kv) * a.n_heads + head * per_kv + row % per_kv;
        *(uint4 *)(shared + r * 128 + ((i % 8) ^ (r & 7)) * 16) = ((const uint4 *)(a.table + at * 128))[i % 8];
    }
    if (threadIdx.x == 0) {
        for (int i = 0; i < SM90_STAGES; i++) barrier_init(full + i * 8, 1), barrier_init(empty + i * 8, CLUSTER ? 16 : 8);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    if (CLUSTER) cluster_sync();
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
        if (threadIdx.x == 0)
            copy_tiles<CLUSTER>(a, (int64_t)head * a.scratch.n_tiles + job.tile, n_tiles, smem_address(shared) + SM90_Q_BYTES, full, empty);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
        multiply_tiles<CLUSTER>(a, job, first, head, per_kv, n_tiles, shared, full, empty, threadIdx.x / 128 - 1);
    }
    if (CLUSTER) { /* neither may go while the other still writes to its memory */
        __syncwarp();
        cluster_sync();
    }
#endif
}

#if __CUDACC_VER_MAJOR__ >= 12
#define PAIR_OF_BLOCKS __cluster_dims__(2, 1, 1)
#else
#define PAIR_OF_BLOCKS
#endif
__global__ void __launch_bounds__(384, 1) flash_sm90_kernel(gpu_flash_args a)
{
    flash_block<false>(a);
}
__global__ void PAIR_OF_BLOCKS __launch_bounds__(384, 1) flash_sm90_pairs_kernel(gpu_flash_args a)
{
    flash_block<true>(a);
}

cudaError_t gpu_flash_sm90(const gpu_flash_args *a, bool in_pairs, cudaStream_t stream)
{
    int device, major, minor;
    if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess)
        return cudaGetLastError();
    if (__CUDACC_VER_MAJOR__ < 12 || major != 9 || minor != 0 || a->format.d <= 64 || a->format.key_type != KERN_KEY_CODE8) return cudaErrorNotSupported;
    int per_kv = a->n_heads / a->format.n_kv_heads, blocks = (a->n_rows_max * per_kv + GPU_FLASH_ROWS - 1) / GPU_FLASH_ROWS;
    bool pairs = in_pairs || a->n_rows_max * per_kv >= SM90_PAIR_ROWS;
    cudaError_t error = cudaFuncSetAttribute(pairs ? flash_sm90_pairs_kernel : flash_sm90_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, SM90_BYTES);
    if (error != cudaSuccess) return error;
    dim3 grid(pairs ? (blocks + 1) / 2 * 2 : blocks, a->format.n_kv_heads, a->n_jobs);
    if (pairs) flash_sm90_pairs_kernel<<<grid, 384, SM90_BYTES, stream>>>(*a);
    else flash_sm90_kernel<<<grid, 384, SM90_BYTES, stream>>>(*a);
    return cudaGetLastError();
}
