/* flash-sm90.cu: prefill with Hopper's own instructions: warpgroup products, bulk copies, register hand-over.
 *
 * Owns: the sm_90a version of flash.cu's kernel for 8-bit keys and d of 80 to 128; nothing depends on it being there.
 * Does not own: the softmax (flash.cuh), the tiles' form (expand.cu: it is the 128-byte swizzle, so tiles are copied as they lie).
 *
 * Three warpgroups: one copies tiles of 128 keys, two multiply, 64 query rows each. A multiplying warpgroup issues Q K^T of a tile and P V
 * of the tile before it together; the softmax runs while P V does. What limits is the number of instructions between the products: it is
 * what everything here is arranged for.
 */
#include "flash.cuh"

#define SM90_KEYS 128
#define SM90_STAGES 4
#define SM90_K_BYTES (SM90_KEYS * 128)
#define SM90_V_ROWS (128 + GPU_SUM_ROWS)
#define SM90_V_BYTES (SM90_V_ROWS * SM90_KEYS * 2)
#define SM90_S_BYTES (SM90_KEYS * 8)
#define SM90_STAGE_BYTES (SM90_K_BYTES + SM90_V_BYTES + SM90_S_BYTES)
#define SM90_Q_BYTES (GPU_FLASH_ROWS * 128)
#define SM90_HEADROOM 8.0f
#define SM90_BYTES (SM90_Q_BYTES + SM90_STAGES * SM90_STAGE_BYTES + 1024)

#if defined(__CUDA_ARCH_FEAT_SM90_ALL) && __CUDACC_VER_MAJOR__ >= 12
__device__ __forceinline__ void barrier_init(uint32_t bar, int n)
{
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(bar), "r"(n) : "memory");
}
__device__ __forceinline__ void barrier_expect(uint32_t bar, int n_bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(bar), "r"(n_bytes) : "memory");
}
__device__ __forceinline__ void barrier_arrive(uint32_t bar)
{
    asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(bar) : "memory");
}
__device__ __forceinline__ void barrier_wait(uint32_t bar, uint32_t parity)
{
    asm volatile("{\n.reg .pred done;\nwait:\nmbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n@done bra.uni end;\nbra.uni wait;\nend:\n}"
                 ::"r"(bar), "r"(parity) : "memory");
}
__device__ __forceinline__ void bulk_copy(uint32_t to, const void *from, int n_bytes, uint32_t bar)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from), "r"(n_bytes),
                 "r"(bar)
                 : "memory");
}
__device__ __forceinline__ void wgmma_fence(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
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

/* d [64 rows][128 keys] += q k^T, 32 features. */
__device__ __forceinline__ void wgmma_keys(float (&d)[64], uint64_t q, uint64_t k)
{
    int (&i)[64] = reinterpret_cast<int (&)[64]>(d);
    asm volatile("{wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "
                 "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, "
                 "%42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
                 "%62, %63},\n"
                 " %64, %65, 1;}"
                 : "+r"(i[0]), "+r"(i[1]), "+r"(i[2]), "+r"(i[3]), "+r"(i[4]), "+r"(i[5]), "+r"(i[6]), "+r"(i[7]), "+r"(i[8]),
                   "+r"(i[9]), "+r"(i[10]), "+r"(i[11]), "+r"(i[12]), "+r"(i[13]), "+r"(i[14]), "+r"(i[15]), "+r"(i[16]), "+r"(i[17]),
                   "+r"(i[18]), "+r"(i[19]), "+r"(i[20]), "+r"(i[21]), "+r"(i[22]), "+r"(i[23]), "+r"(i[24]), "+r"(i[25]), "+r"(i[26]),
                   "+r"(i[27]), "+r"(i[28]), "+r"(i[29]), "+r"(i[30]), "+r"(i[31]), "+r"(i[32]), "+r"(i[33]), "+r"(i[34]), "+r"(i[35]),
                   "+r"(i[36]), "+r"(i[37]), "+r"(i[38]), "+r"(i[39]), "+r"(i[40]), "+r"(i[41]), "+r"(i[42]), "+r"(i[43]), "+r"(i[44]),
                   "+r"(i[45]), "+r"(i[46]), "+r"(i[47]), "+r"(i[48]), "+r"(i[49]), "+r"(i[50]), "+r"(i[51]), "+r"(i[52]), "+r"(i[53]),
                   "+r"(i[54]), "+r"(i[55]), "+r"(i[56]), "+r"(i[57]), "+r"(i[58]), "+r"(i[59]), "+r"(i[60]), "+r"(i[61]), "+r"(i[62]),
                   "+r"(i[63])
                 : "l"(q), "l"(k));
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

/* The copying warpgroup: one thread keeps the stages full. */
__device__ void copy_tiles(const gpu_flash_args &a, int64_t tile0, int n_tiles, uint32_t stages, uint32_t full, uint32_t empty)
{
    for (int j = 0; j < n_tiles; j++) {
        int stage = j % SM90_STAGES;
        if (j >= SM90_STAGES) barrier_wait(empty + stage * 8, (j / SM90_STAGES - 1) & 1);
        uint32_t to = stages + stage * SM90_STAGE_BYTES, bar = full + stage * 8;
        int64_t tile = tile0 + 2 * j;
        barrier_expect(bar, SM90_STAGE_BYTES);
        bulk_copy(to, a.scratch.keys + tile * 64 * 128, SM90_K_BYTES, bar);
        bulk_copy(to + SM90_K_BYTES, a.scratch.values + tile * SM90_V_ROWS * 64, SM90_V_BYTES, bar);
        bulk_copy(to + SM90_K_BYTES + SM90_V_BYTES, a.scratch.key_scale + tile * 64, SM90_S_BYTES, bar);
    }
}

/* Sums start at 12582912: their bits are floats (flash.cu). */
__device__ __forceinline__ void clear_scores(float (&s)[64])
{
#pragma unroll
    for (int i = 0; i < 64; i++) s[i] = 12582912.0f;
}
__device__ __forceinline__ void issue_keys(float (&s)[64], uint32_t q, uint32_t k)
{
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < 4; step++) wgmma_keys(s, tile_descriptor(q + step * 2), tile_descriptor(k + step * 2));
    wgmma_commit();
}
__device__ __forceinline__ void issue_values(float (&acc)[68], const uint32_t (&p)[32], uint32_t v)
{
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < 8; step++) wgmma_values(acc, p + step * 4, tile_descriptor(v + step / 4 * (SM90_V_ROWS * 8) + step % 4 * 2));
    wgmma_commit();
}

/* Scores -> weights of 128 keys, whose two halves have value exponents of their own. The maximum that weights are relative to moves only when
 * it is passed by more than a factor of 2^8, which f16 has room for: mostly nothing that was summed has to be multiplied again. Returns
 * whether it moved in this warp; keep: the factors then. Sums of weights are P V's (GPU_SUM_ROWS). */
__device__ __forceinline__ bool soften_pair(float (&all)[64], FlashRow *row, bool masked, int2 exponents, float (&keep)[2])
{
    float (&s)[16][4] = reinterpret_cast<float (&)[16][4]>(all);
    float top[2], low = (float)exponents.x, high = (float)exponents.y, larger = fmaxf(low, high);
    bool moved = false;
    row_tops<16>(s, top);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        top[i] = masked ? top[i] + larger : fmaf(top[i], row[i].scale, larger);
        moved |= top[i] > row[i].m + SM90_HEADROOM;
    }
    moved = __any_sync(WARP_ALL, moved);
    if (moved) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float m = fmaxf(row[i].m, top[i]);
            keep[i] = exp2_fast(row[i].m - (m == -INFINITY ? 0.0f : m));
            row[i].m = m;
        }
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float scale = masked ? 1.0f : row[i].scale, base = row[i].m == -INFINITY ? 0.0f : row[i].m;
        float add[2] = {low - base, high - base};
#pragma unroll
        for (int n = 0; n < 16; n++) {
            s[n][i * 2] = exp2_fast(fmaf(s[n][i * 2], scale, add[n / 8]));
            s[n][i * 2 + 1] = exp2_fast(fmaf(s[n][i * 2 + 1], scale, add[n / 8]));
        }
    }
    return moved;
}

__device__ __forceinline__ void pack_weights(const float (&s)[64], uint32_t (&p)[32])
{
#pragma unroll
    for (int i = 0; i < 32; i++) p[i] = pack_half2(s[2 * i], s[2 * i + 1]);
}

/* Scales of the lane's 32 keys, read before their products are asked for: shared memory answers late when products read it too. */
__device__ __forceinline__ void load_scales(float (&scale)[32], const float4 *key_scale, int t)
{
#pragma unroll
    for (int n = 0; n < 16; n++) {
        float4 k = key_scale[n * 4 + t];
        scale[n * 2] = k.x, scale[n * 2 + 1] = k.z;
    }
}

/* From the products of a tile to its weights. A place without a key has so large a scale that it scores -inf (expand.cu). */
__device__ __forceinline__ bool tile_weights(const float (&scale)[32], int first_key, bool masked, int2 exponents, FlashRow *row, const int *seen,
                                             float (&s)[64], float (&keep)[2])
{
    float (&tiles)[16][4] = reinterpret_cast<float (&)[16][4]>(s);
#pragma unroll
    for (int n = 0; n < 16; n++) {
        float k = scale[n * 2], l = scale[n * 2 + 1], add_k = -12582912.0f * k, add_l = -12582912.0f * l;
        tiles[n][0] = fmaf(tiles[n][0], k, add_k), tiles[n][1] = fmaf(tiles[n][1], l, add_l);
        tiles[n][2] = fmaf(tiles[n][2], k, add_k), tiles[n][3] = fmaf(tiles[n][3], l, add_l);
    }
    if (masked) mask_scores<16>(tiles, row, seen, first_key);
    return soften_pair(s, row, masked, exponents, keep);
}

__device__ void multiply_tiles(const gpu_flash_args &a, const gpu_flash_job &job, int first, int head, int per_kv, int n_tiles, uint8_t *shared, uint32_t full,
                               uint32_t empty, int group)
{
    int lane = threadIdx.x & 31, warp = (threadIdx.x >> 5) & 3, t = lane & 3, g = lane >> 2, n_rows = job.n_rows * per_kv;
    const int2 *exponents = (const int2 *)(a.scratch.value_exponent + (int64_t)head * a.scratch.n_tiles + job.tile);
    int clear_tiles = visible_keys(job, first + group * 64 < n_rows ? first + group * 64 : n_rows - 1, per_kv) / SM90_KEYS;
    FlashRow row[2];
    int seen[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int r = min(first + group * 64 + warp * 16 + i * 8 + g, n_rows - 1);
        row[i].scale = fmaxf(a.scale[(int64_t)(job.first_row + r / per_kv) * a.n_heads + head * per_kv + r % per_kv] * LOG2_E, ROW_SCALE_MIN);
        row[i].m = -INFINITY;
        seen[i] = visible_keys(job, r, per_kv);
    }
    float acc[68], s[64], key_scale[32], keep[2];
    uint32_t p[32], q = tile_word(smem_address(shared) + group * 64 * 128), stages = tile_word(smem_address(shared) + SM90_Q_BYTES), at = 0, phase = 0;
    const uint8_t *scales = shared + SM90_Q_BYTES + SM90_K_BYTES + SM90_V_BYTES;
#pragma unroll
    for (int i = 0; i < 68; i++) acc[i] = 0;
    clear_scores(s);
    int2 e = exponents[0];
    barrier_wait(full, 0);
    load_scales(key_scale, (const float4 *)scales, t);
    issue_keys(s, q, stages);
    wgmma_wait<0>();
    tile_weights(key_scale, t * 2, 0 >= clear_tiles, e, row, seen, s, keep); /* nothing was summed yet */
    pack_weights(s, p);
    for (int j = 1; j < n_tiles; j++) {
        uint32_t before = at;
        at = at + 1 == SM90_STAGES ? 0 : at + 1;
        phase ^= at == 0;
        uint32_t now = stages + at * (SM90_STAGE_BYTES / 16), last = stages + before * (SM90_STAGE_BYTES / 16);
        clear_scores(s);
        e = exponents[j];
        barrier_wait(full + at * 8, phase);
        load_scales(key_scale, (const float4 *)(scales + at * SM90_STAGE_BYTES), t);
        issue_keys(s, q, now);
        issue_values(acc, p, last + SM90_K_BYTES / 16);
        wgmma_wait<1>();
        bool moved = tile_weights(key_scale, j * SM90_KEYS + t * 2, j >= clear_tiles, e, row, seen, s, keep);
        wgmma_wait<0>();
        if (lane == 0) barrier_arrive(empty + before * 8);
        if (moved) {
#pragma unroll
            for (int n = 0; n < 17; n++) acc[n * 4] *= keep[0], acc[n * 4 + 1] *= keep[0], acc[n * 4 + 2] *= keep[1], acc[n * 4 + 3] *= keep[1];
        }
        pack_weights(s, p);
    }
    issue_values(acc, p, stages + at * (SM90_STAGE_BYTES / 16) + SM90_K_BYTES / 16);
    wgmma_wait<0>();
#pragma unroll
    for (int i = 0; i < 2; i++) {
        row[i].l = __shfl_sync(WARP_ALL, acc[64 + i * 2], lane & ~3); /* column 128 is lane t = 0's */
        int r = first + group * 64 + warp * 16 + i * 8 + g;
        if (r >= n_rows) continue;
        FlashOut out = flash_out(a, job, r, head, per_kv, row[i]);
#pragma unroll
        for (int n = 0; n < 16; n++)
            if (n * 8 < a.format.d)
                *(float2 *)(out.to + n * 8 + t * 2) = make_float2(acc[n * 4 + i * 2] * out.factor, acc[n * 4 + i * 2 + 1] * out.factor);
        if (t == 0 && out.ml) *out.ml = make_float2(row[i].m, row[i].l);
    }
}
#endif

__global__ void __launch_bounds__(384, 1) flash_sm90_kernel(gpu_flash_args a)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) && __CUDACC_VER_MAJOR__ >= 12
    extern __shared__ uint8_t raw[];
    __shared__ __align__(8) uint64_t barriers[2 * SM90_STAGES];
    uint8_t *shared = raw + ((1024 - (smem_address(raw) & 1023)) & 1023);
    const gpu_flash_job job = a.jobs[blockIdx.z];
    int per_kv = a.n_heads / a.format.n_kv_heads, head = blockIdx.y, n_rows = job.n_rows * per_kv;
    int first = (int)(gridDim.x - 1 - blockIdx.x) * GPU_FLASH_ROWS;
    if (first >= n_rows) return;
    int n_keys = visible_keys(job, min(first + GPU_FLASH_ROWS, n_rows) - 1, per_kv), n_tiles = (n_keys + SM90_KEYS - 1) / SM90_KEYS;
    uint32_t full = smem_address(barriers), empty = full + SM90_STAGES * 8;
    for (int i = threadIdx.x; i < GPU_FLASH_ROWS * 8; i += blockDim.x) {
        int r = i / 8, row = min(first + r, n_rows - 1);
        int64_t at = (int64_t)(job.first_row + row / per_kv) * a.n_heads + head * per_kv + row % per_kv;
        *(uint4 *)(shared + r * 128 + ((i % 8) ^ (r & 7)) * 16) = ((const uint4 *)(a.table + at * 128))[i % 8];
    }
    if (threadIdx.x == 0) {
        for (int i = 0; i < SM90_STAGES; i++) barrier_init(full + i * 8, 1), barrier_init(empty + i * 8, 8);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
        if (threadIdx.x == 0)
            copy_tiles(a, (int64_t)head * a.scratch.n_tiles + job.tile, n_tiles, smem_address(shared) + SM90_Q_BYTES, full, empty);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
        multiply_tiles(a, job, first, head, per_kv, n_tiles, shared, full, empty, threadIdx.x / 128 - 1);
    }
#endif
}

cudaError_t gpu_flash_sm90(const gpu_flash_args *a, cudaStream_t stream)
{
    int device, major, minor;
    if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess)
        return cudaGetLastError();
    if (__CUDACC_VER_MAJOR__ < 12 || major != 9 || minor != 0 || a->format.d <= 64 || a->format.key_type != KERN_KEY_CODE8) return cudaErrorNotSupported;
    cudaError_t error = cudaFuncSetAttribute(flash_sm90_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, SM90_BYTES);
    if (error != cudaSuccess) return error;
    int per_kv = a->n_heads / a->format.n_kv_heads, blocks = (a->n_rows_max * per_kv + GPU_FLASH_ROWS - 1) / GPU_FLASH_ROWS;
    flash_sm90_kernel<<<dim3(blocks, a->format.n_kv_heads, a->n_jobs), 384, SM90_BYTES, stream>>>(*a);
    return cudaGetLastError();
}
