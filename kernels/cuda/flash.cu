/* flash.cu: FlashSFA for many query rows: tiles of expanded keys and values, an online softmax, tensor cores of sm_80 and later.
 *
 * Owns: prefill within a section (causal) and over preceding tokens, parts and their merge.
 * Does not own: the expansion (expand.cu), few rows (decode.cu), Hopper's own instructions (flash-sm90.cu).
 *
 * A thread block holds 128 query rows of one KV head (row = token x heads of the group), four warps of 32 rows. Q K^T runs on
 * 8-bit tensor instructions (m16n8k32): sums are exact integers. They start at 0x4b400000, the float 12582912, so that the sum's bits
 * are the float 12582912 + sum and one multiply-add turns them into sum * key scale, exactly but for its one rounding. P V runs in f16
 * with float sums; values are stored per tile divided by a power of two, whose exponent goes into the softmax.
 */
#include "flash.cuh"

#define FLASH_THREADS 128

template <bool F16> struct FlashShared {
    static constexpr int q_bytes = GPU_FLASH_ROWS * (F16 ? 256 : 128);
    static constexpr int k_bytes = GPU_FLASH_KEYS * (F16 ? 256 : 128);
    static constexpr int v_bytes = 128 * GPU_FLASH_KEYS * 2;
    static constexpr int stage_bytes = k_bytes + v_bytes + GPU_FLASH_KEYS * 8;
    static constexpr int bytes = q_bytes + 2 * stage_bytes;
};

/* 8-bit query rows as they are; f16 ones from float, divided by the row's largest. Returns nothing: scales go to row_scale. */
template <bool F16>
__device__ void load_queries(const gpu_flash_args &a, const gpu_flash_job &job, int first, int head, int per_kv, uint8_t *to, float *row_scale)
{
    int n_rows = job.n_rows * per_kv;
    if (!F16) {
        for (int i = threadIdx.x; i < GPU_FLASH_ROWS * 8; i += FLASH_THREADS) {
            int r = i / 8, row = min(first + r, n_rows - 1);
            int64_t at = (int64_t)(job.first_row + row / per_kv) * a.n_heads + head * per_kv + row % per_kv;
            cp_async_16(smem_address(to + r * 128 + ((i % 8) ^ (r & 7)) * 16), a.table + at * 128 + i % 8 * 16);
        }
        int row = min(first + (int)threadIdx.x, n_rows - 1);
        row_scale[threadIdx.x] =
            fmaxf(a.scale[(int64_t)(job.first_row + row / per_kv) * a.n_heads + head * per_kv + row % per_kv] * LOG2_E, ROW_SCALE_MIN);
        return;
    }
    int r = threadIdx.x, row = min(first + r, n_rows - 1), d = a.format.d;
    const float *q = a.dense + ((int64_t)(job.first_row + row / per_kv) * a.n_heads + head * per_kv + row % per_kv) * d;
    float largest = 0;
    for (int i = 0; i < d; i++) largest = fmaxf(largest, fabsf(q[i]));
    int exponent = largest > 0 ? max(-100, min(100, ilogbf(largest))) : 0;
    for (int i = 0; i < 128; i++) {
        __half *half = (__half *)to + i / 64 * GPU_FLASH_ROWS * 64 + r * 64;
        half[((i % 64 / 8) ^ (r & 7)) * 8 + i % 8] = __float2half_rn(i < d ? ldexpf(q[i], -exponent) : 0.0f);
    }
    row_scale[r] = ldexpf(1.0f, exponent) * LOG2_E;
}

template <bool F16, int DV> __device__ __forceinline__ void load_tile(const gpu_flash_args &a, int64_t tile, uint8_t *stage)
{
    typedef FlashShared<F16> S;
    constexpr int value_rows = DV == 64 ? 64 : DV + GPU_SUM_ROWS;
    const uint8_t *keys = a.scratch.keys + tile * S::k_bytes, *values = (const uint8_t *)a.scratch.values + tile * value_rows * 128;
    uint32_t to = smem_address(stage);
#pragma unroll
    for (int i = 0; i < S::k_bytes / 16 / FLASH_THREADS; i++) {
        int at = (threadIdx.x + i * FLASH_THREADS) * 16;
        cp_async_16(to + at, keys + at);
    }
#pragma unroll
    for (int i = 0; i < DV * 128 / 16 / FLASH_THREADS; i++) {
        int at = (threadIdx.x + i * FLASH_THREADS) * 16;
        cp_async_16(to + S::k_bytes + at, values + at);
    }
    if (threadIdx.x < GPU_FLASH_KEYS / 2)
        cp_async_16(to + S::k_bytes + S::v_bytes + threadIdx.x * 16, a.scratch.key_scale + tile * GPU_FLASH_KEYS + threadIdx.x * 2);
}

/* Byte address of the 16-byte piece `piece` of a row of 128 bytes, for ldmatrix. */
__device__ __forceinline__ uint32_t piece_at(uint32_t base, int row, int piece)
{
    return base + row * 128 + ((piece ^ (row & 7)) << 4);
}

/* S of 32 rows x 64 keys: integers biased by 0x4b400000, or (F16) floats. */
template <bool F16> __device__ __forceinline__ void multiply_keys(uint32_t q, uint32_t k, int lane, int warp, int n_steps, float (&s)[2][8][4])
{
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) s[m][n][i] = F16 ? 0.0f : 12582912.0f;
#pragma unroll
    for (int step = 0; step < (F16 ? 8 : 4); step++) {
        if (step >= n_steps) break;
        uint32_t half_q = F16 ? step / 4 * GPU_FLASH_ROWS * 128 : 0, half_k = F16 ? step / 4 * GPU_FLASH_KEYS * 128 : 0;
        uint32_t a[2][4];
#pragma unroll
        for (int m = 0; m < 2; m++)
            ldmatrix_x4(a[m], piece_at(q + half_q, warp * 32 + m * 16 + (lane & 15), step % 4 * 2 + (lane >> 4)));
#pragma unroll
        for (int pair = 0; pair < 4; pair++) {
            uint32_t b[4];
            ldmatrix_x4(b, piece_at(k + half_k, pair * 16 + (lane & 7) + (lane >> 4) * 8, step % 4 * 2 + (lane >> 3 & 1)));
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int n = 0; n < 2; n++) {
                    if (F16) mma_f16(s[m][pair * 2 + n], a[m], b[n * 2], b[n * 2 + 1]);
                    else mma_s8_bits(s[m][pair * 2 + n], a[m], b[n * 2], b[n * 2 + 1]);
                }
        }
    }
}

/* acc += P V of 32 rows; P comes from the lane's own softmax results, packed to f16. */
template <int DV> __device__ __forceinline__ void multiply_values(uint32_t v, int lane, const float (&s)[2][8][4], float (&acc)[2][DV / 8][4])
{
#pragma unroll
    for (int step = 0; step < 4; step++) {
        uint32_t a[2][4];
#pragma unroll
        for (int m = 0; m < 2; m++) {
            a[m][0] = pack_half2(s[m][step * 2][0], s[m][step * 2][1]);
            a[m][1] = pack_half2(s[m][step * 2][2], s[m][step * 2][3]);
            a[m][2] = pack_half2(s[m][step * 2 + 1][0], s[m][step * 2 + 1][1]);
            a[m][3] = pack_half2(s[m][step * 2 + 1][2], s[m][step * 2 + 1][3]);
        }
#pragma unroll
        for (int pair = 0; pair < DV / 16; pair++) {
            uint32_t b[4];
            ldmatrix_x4(b, piece_at(v, pair * 16 + (lane & 7) + (lane >> 4) * 8, step * 2 + (lane >> 3 & 1)));
#pragma unroll
            for (int m = 0; m < 2; m++) {
                mma_f16(acc[m][pair * 2], a[m], b[0], b[1]);
                mma_f16(acc[m][pair * 2 + 1], a[m], b[2], b[3]);
            }
        }
    }
}

template <bool F16, int DV> __global__ void __launch_bounds__(FLASH_THREADS) flash_kernel(gpu_flash_args a)
{
    typedef FlashShared<F16> S;
    extern __shared__ __align__(128) uint8_t shared[];
    __shared__ float row_scale[GPU_FLASH_ROWS];
    const gpu_flash_job job = a.jobs[blockIdx.z];
    int per_kv = a.n_heads / a.format.n_kv_heads, head = blockIdx.y, n_rows = job.n_rows * per_kv;
    int first = (int)(gridDim.x - 1 - blockIdx.x) * GPU_FLASH_ROWS;
    if (first >= n_rows) return;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, t = lane & 3, g = lane >> 2;
    int n_keys = visible_keys(job, min(first + GPU_FLASH_ROWS, n_rows) - 1, per_kv);
    int n_tiles = (n_keys + GPU_FLASH_KEYS - 1) / GPU_FLASH_KEYS, clear_tiles = visible_keys(job, first, per_kv) / GPU_FLASH_KEYS;
    int64_t tile0 = (int64_t)head * a.scratch.n_tiles + job.tile;
    load_queries<F16>(a, job, first, head, per_kv, shared, row_scale);
    load_tile<F16, DV>(a, tile0, shared + S::q_bytes);
    cp_async_commit();
    __syncthreads();

    FlashRow row[4]; /* rows m * 16 + g, and + 8 */
    int seen[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int r = warp * 32 + i / 2 * 16 + i % 2 * 8 + g;
        row[i].scale = row_scale[r];
        row[i].m = -INFINITY, row[i].l = 0;
        seen[i] = visible_keys(job, min(first + r, n_rows - 1), per_kv);
    }
    float acc[2][DV / 8][4];
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < DV / 8; n++) acc[m][n][0] = acc[m][n][1] = acc[m][n][2] = acc[m][n][3] = 0;
    float depth = skip_depth(n_keys), top_exponent = -INFINITY;
    int n_steps = F16 ? 8 : (a.format.d + 31) / 32;
    for (int j = 0; j < n_tiles; j++) {
        if (j + 1 < n_tiles) load_tile<F16, DV>(a, tile0 + j + 1, shared + S::q_bytes + ((j + 1) & 1) * S::stage_bytes);
        cp_async_commit();
        float exponent = (float)a.scratch.value_exponent[tile0 + j];
        top_exponent = fmaxf(top_exponent, exponent);
        cp_async_wait<1>();
        __syncthreads();
        uint32_t stage = smem_address(shared + S::q_bytes + (j & 1) * S::stage_bytes);
        const float4 *key_scale = (const float4 *)(shared + S::q_bytes + (j & 1) * S::stage_bytes + S::k_bytes + S::v_bytes);
        float s[2][8][4];
        multiply_keys<F16>(smem_address(shared), stage, lane, warp, n_steps, s);
        bool masked = j >= clear_tiles, wanted = false;
#pragma unroll
        for (int m = 0; m < 2; m++) {
            scale_scores<8>(s[m], key_scale, t);
            if (masked) mask_scores<8>(s[m], row + m * 2, seen + m * 2, j * GPU_FLASH_KEYS + t * 2);
            float top[2];
            row_tops<8>(s[m], top);
            wanted |= tops_matter(top, row + m * 2, masked, top_exponent, depth);
        }
        if (__any_sync(WARP_ALL, wanted)) {
#pragma unroll
            for (int m = 0; m < 2; m++) {
                float top[2], keep[2];
                row_tops<8>(s[m], top);
                soften<8>(s[m], row + m * 2, top, masked, exponent, keep);
                if (keep[0] != 1.0f || keep[1] != 1.0f) {
#pragma unroll
                    for (int n = 0; n < DV / 8; n++)
                        acc[m][n][0] *= keep[0], acc[m][n][1] *= keep[0], acc[m][n][2] *= keep[1], acc[m][n][3] *= keep[1];
                }
            }
            multiply_values<DV>(stage + S::k_bytes, lane, s, acc);
        }
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            FlashRow &r = row[m * 2 + i];
            r.l += __shfl_xor_sync(WARP_ALL, r.l, 1);
            r.l += __shfl_xor_sync(WARP_ALL, r.l, 2);
            int at = first + warp * 32 + m * 16 + i * 8 + g;
            if (at >= n_rows) continue;
            FlashOut out = flash_out(a, job, at, head, per_kv, r);
#pragma unroll
            for (int n = 0; n < DV / 8; n++)
                if (n * 8 < a.format.d)
                    *(float2 *)(out.to + n * 8 + t * 2) = make_float2(acc[m][n][i * 2] * out.factor, acc[m][n][i * 2 + 1] * out.factor);
            if (t == 0 && out.ml) *out.ml = make_float2(r.m, r.l);
        }
}

/* One warp to a query row and head: parts 0 .. n_parts - 1 into one. */
__global__ void __launch_bounds__(256) merge_kernel(gpu_flash_args a, int n_parts, bool last)
{
    int lane = threadIdx.x & 31, d = a.format.d;
    int64_t n = (int64_t)a.part_rows * a.n_heads, index = (int64_t)blockIdx.x * 8 + (threadIdx.x >> 5);
    if (index >= n) return;
    float top = -INFINITY, l = 0, v[4] = {0, 0, 0, 0};
    for (int p = 0; p < n_parts; p++) top = fmaxf(top, a.part_ml[p * n + index].x);
    for (int p = 0; p < n_parts; p++) {
        float2 ml = a.part_ml[p * n + index];
        if (!(ml.x > -INFINITY)) continue;
        float w = exp2_fast(ml.x - top);
        l += ml.y * w;
        if (lane * 4 >= d) continue;
        float4 x = ((const float4 *)(a.part_acc + (p * n + index) * d))[lane];
        v[0] += w * x.x, v[1] += w * x.y, v[2] += w * x.z, v[3] += w * x.w;
    }
    float factor = !last ? 1.0f : l > 0 ? 1.0f / l : 0.0f;
    int64_t row = index / a.n_heads + a.part_first_row, head = index % a.n_heads;
    float *to = last ? a.out + row * a.out_stride + head * d : a.part_acc + index * d;
    __syncwarp();
    if (lane * 4 < d) ((float4 *)to)[lane] = make_float4(v[0] * factor, v[1] * factor, v[2] * factor, v[3] * factor);
    if (lane) return;
    if (!last) a.part_ml[index] = make_float2(top, l);
    else if (a.out_ml) a.out_ml[row * a.n_heads + head] = make_float2(top, l);
}

template <bool F16, int DV> static cudaError_t launch(const gpu_flash_args *a, cudaStream_t stream)
{
    int per_kv = a->n_heads / a->format.n_kv_heads, blocks = (a->n_rows_max * per_kv + GPU_FLASH_ROWS - 1) / GPU_FLASH_ROWS;
    cudaError_t error = cudaFuncSetAttribute(flash_kernel<F16, DV>, cudaFuncAttributeMaxDynamicSharedMemorySize, FlashShared<F16>::bytes);
    if (error != cudaSuccess) return error;
    flash_kernel<F16, DV><<<dim3(blocks, a->format.n_kv_heads, a->n_jobs), FLASH_THREADS, FlashShared<F16>::bytes, stream>>>(*a);
    return cudaGetLastError();
}

static int chosen_version;
void gpu_flash_choose(int version) { chosen_version = version; }

cudaError_t gpu_flash(const gpu_flash_args *a, cudaStream_t stream)
{
    if (a->n_jobs <= 0 || a->n_rows_max <= 0) return cudaSuccess;
    bool f16 = a->format.key_type == KERN_KEY_CODE32;
    if (a->format.d <= 64) return f16 ? launch<true, 64>(a, stream) : launch<false, 64>(a, stream);
    if (!f16 && chosen_version != 1) {
        cudaError_t error = gpu_flash_sm90(a, chosen_version == 2, stream);
        if (error != cudaErrorNotSupported) return error;
    }
    return f16 ? launch<true, 128>(a, stream) : launch<false, 128>(a, stream);
}

cudaError_t gpu_flash_merge(const gpu_flash_args *a, int n_parts, bool last, cudaStream_t stream)
{
    int64_t n = (int64_t)a->part_rows * a->n_heads;
    merge_kernel<<<(unsigned)((n + 7) / 8), 256, 0, stream>>>(*a, n_parts, last);
    return cudaGetLastError();
}
