/* linear.cu: matrix products and the small steps between them.
 *
 * Owns: products of 1 to 16 rows with 8-bit weights as they are stored, a plain tensor-core product for where cuBLAS is missing, norms,
 *       SwiGLU, embeddings, conversions of weights at load.
 * Does not own: cuBLAS (blas.cu), which rows there are (pass.cu).
 *
 * Few rows: weights are the A operand (16 outputs of a panel), exact as f16; rows are the B operand, in two f16 parts each (value and
 * remainder, after division by a power of two: 22 bits), so the only rounding is that of float sums. A warp takes groups of 128
 * inputs; the warps of a block are added in a fixed order.
 */
#include "linear.h"
#include "ptx.cuh"

#define GEMV_WARPS 8

/* ------------------------------------------------------------------------------------------------------ small steps */

__device__ float block_sum(float x, float *shared)
{
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < blockDim.x / 32; i++) sum += shared[i];
    __syncthreads();
    return sum;
}

__device__ float block_max(float x, float *shared)
{
    x = warp_max(x);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    float top = 0;
    for (int i = 0; i < blockDim.x / 32; i++) top = fmaxf(top, shared[i]);
    __syncthreads();
    return top;
}

/* A row's parts for the few-rows product: [n_in / 16][8 columns][16] f16; column c of the two halves is row c's value, c + 4 (or the
 * second buffer) its remainder. */
__device__ void store_parts(const gpu_parts &parts, int row, int i, float x, float factor)
{
    float v = x * factor;
    __half high = __float2half_rn(v), low = __float2half_rn(v - __half2float(high));
    int64_t block = (int64_t)(row / parts.rows_each) * parts.n_buffers_each * parts.buffer_halfs;
    int column = row % parts.rows_each;
    __half *to = parts.data + block + (int64_t)(i / 16) * 128 + i % 16;
    to[column * 16] = high;
    if (parts.rows_each == 4) to[(column + 4) * 16] = low;
    else to[parts.buffer_halfs + column * 16] = low;
}

/* One block a row, and, for parts, one for each column that has no row, which must hold numbers. What is computed goes to bf16 (many rows), or
 * to parts (few). op: 0 copy, 1 RMS norm, 2 SwiGLU of x and y. */
__global__ void __launch_bounds__(256) prepare_kernel(const float *x, const float *y, const float *weight, float eps, int n_rows, int n, int op,
                                                      gpu_prepared out)
{
    __shared__ float shared[8];
    int64_t row = blockIdx.x;
    if (row >= n_rows) {
        for (int i = threadIdx.x; i < out.parts.n_padded; i += 256) store_parts(out.parts, (int)row, i, 0, 1);
        return;
    }
    const float *from = x + row * n, *other = op == 2 ? y + row * n : NULL;
    float factor = 1;
    if (op == 1) {
        float sum = 0;
        for (int i = threadIdx.x; i < n; i += 256) sum += from[i] * from[i];
        factor = rsqrtf(block_sum(sum, shared) / n + eps);
    }
    float top = 0;
    for (int i = threadIdx.x; i < n; i += 256) {
        float v = from[i];
        if (op == 1) v = v * factor * weight[i];
        if (op == 2) v = v / (1 + __expf(-v)) * other[i];
        if (out.plain) out.plain[row * n + i] = v;
        if (out.bf16) out.bf16[row * n + i] = __float2bfloat16_rn(v);
        top = fmaxf(top, fabsf(v));
    }
    if (!out.parts.data) return;
    top = block_max(top, shared);
    int exponent = top > 0 && top < INFINITY ? ilogbf(top) - 12 : 0;
    exponent = max(-100, min(100, exponent));
    float down = ldexpf(1.0f, -exponent);
    for (int i = threadIdx.x; i < out.parts.n_padded; i += 256) {
        float v = 0;
        if (i < n) {
            v = from[i];
            if (op == 1) v = v * factor * weight[i];
            if (op == 2) v = v / (1 + __expf(-v)) * other[i];
        }
        store_parts(out.parts, (int)row, i, v, down);
    }
    if (threadIdx.x == 0) out.parts.scale[row] = ldexpf(1.0f, exponent);
}

cudaError_t gpu_prepare(const float *x, const float *y, const float *weight, float eps, int n_rows, int n, int op, const gpu_prepared *out,
                        cudaStream_t stream)
{
    if (n_rows <= 0) return cudaSuccess;
    int each = out->parts.data ? out->parts.rows_each : 1, blocks = (n_rows + each - 1) / each * each;
    prepare_kernel<<<blocks, 256, 0, stream>>>(x, y, weight, eps, n_rows, n, op, *out);
    return cudaGetLastError();
}

size_t gpu_parts_halfs(int n_rows, int n)
{
    size_t buffer = (size_t)(n + 127) / 128 * 128 * 8;
    return n_rows <= 4 ? buffer : (size_t)(n_rows + 7) / 8 * 2 * buffer;
}

gpu_parts gpu_parts_at(__half *data, float *scale, int n_rows, int n)
{
    gpu_parts p;
    p.data = data;
    p.scale = scale;
    p.n_padded = (n + 127) / 128 * 128;
    p.rows_each = n_rows <= 4 ? 4 : 8;
    p.n_buffers_each = n_rows <= 4 ? 1 : 2;
    p.buffer_halfs = (int64_t)p.n_padded * 8;
    return p;
}

__global__ void bias_kernel(float *x, int64_t n, int n_cols, const float *bias)
{
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n) x[i] += bias[i % n_cols];
}
cudaError_t gpu_bias(float *x, int n_rows, int n_cols, const float *bias, cudaStream_t stream)
{
    int64_t n = (int64_t)n_rows * n_cols;
    if (!bias || !n) return cudaSuccess;
    bias_kernel<<<(unsigned)((n + 255) / 256), 256, 0, stream>>>(x, n, n_cols, bias);
    return cudaGetLastError();
}

/* ------------------------------------------------------------------------------------------------------------ weights */

__device__ float weight_at(const gpu_source &w, int64_t row, int64_t column)
{
    int64_t padded = (w.n_in + 127) / 128 * 128, at = row * w.n_in + column;
    switch (w.type) {
    case KERN_W_F32: return ((const float *)w.data)[at];
    case KERN_W_F16: return half_bits_to_float(((const uint16_t *)w.data)[at]);
    case KERN_W_BF16: return __bfloat162float(((const __nv_bfloat16 *)w.data)[at]);
    case KERN_W_Q8: {
        int8_t q = ((const int8_t *)w.data)[(row / 16 * (padded / 4) + column / 4) * 64 + row % 16 * 4 + column % 4];
        return (float)q * ((const float *)w.scales)[(row / 16 * (padded / 128) + column / 128) * 16 + row % 16];
    }
    case KERN_W_Q4: {
        int64_t group = row / 16 * (padded / 32) + column / 32;
        uint8_t b = ((const uint8_t *)w.data)[(group * 16 + row % 16) * 16 + column % 16];
        int q = (column % 32 < 16 ? b & 15 : b >> 4) - 8;
        return (float)q * half_bits_to_float(((const uint16_t *)w.scales)[group * 16 + row % 16]);
    }
    }
    return 0;
}

__global__ void widen_kernel(gpu_source w, __nv_bfloat16 *to, int64_t first_row, int64_t n)
{
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n) to[first_row * w.n_in + i] = __float2bfloat16_rn(weight_at(w, i / w.n_in, i % w.n_in));
}
cudaError_t gpu_widen(const gpu_source *rows, __nv_bfloat16 *to, size_t first_row, size_t n_rows, cudaStream_t stream)
{
    int64_t n = (int64_t)n_rows * rows->n_in;
    widen_kernel<<<(unsigned)((n + 255) / 256), 256, 0, stream>>>(*rows, to, (int64_t)first_row, n);
    return cudaGetLastError();
}

__global__ void embed_kernel(gpu_weight w, const uint32_t *ids, float *out)
{
    int64_t row = blockIdx.x, id = ids[row];
    gpu_source source = {KERN_W_Q8, w.n_out, w.n_in, w.q8, w.scales};
    for (int64_t i = threadIdx.x; i < w.n_in; i += blockDim.x)
        out[row * w.n_in + i] = w.q8 ? weight_at(source, id, i) : __bfloat162float(w.bf16[id * w.n_in + i]);
}
cudaError_t gpu_embed(const gpu_weight *w, const uint32_t *ids, int n_rows, float *out, cudaStream_t stream)
{
    embed_kernel<<<n_rows, 128, 0, stream>>>(*w, ids, out);
    return cudaGetLastError();
}

/* ----------------------------------------------------------------------------------------------------- few rows, 8 bits */

/* NB: buffers of 8 columns; their products of a panel's 16 outputs. */
template <int NB> __global__ void __launch_bounds__(GEMV_WARPS * 32) gemv_kernel(gpu_gemv_args a)
{
    __shared__ float sums[GEMV_WARPS][NB][128];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, t = lane & 3, g = lane >> 2, panel = blockIdx.x, job = 0;
    while (panel >= a.n_panels[job]) panel -= a.n_panels[job++];
    const gpu_weight &w = a.weight[job];
    int n_groups = (int)((w.n_in + 127) / 128);
    const uint32_t *words = (const uint32_t *)w.q8 + (int64_t)panel * n_groups * 32 * 16;
    const float *scales = w.scales + (int64_t)panel * n_groups * 16;
    const __half *parts = a.parts.data + (int64_t)blockIdx.y * NB * a.parts.buffer_halfs;
    float total[NB][4] = {};
    for (int group = warp; group < n_groups; group += GEMV_WARPS) {
        uint32_t low[8], high[8];
#pragma unroll
        for (int b = 0; b < 8; b++) {
            const uint32_t *from = words + (group * 32 + b * 4 + t) * 16 + g;
            low[b] = load_stream(from), high[b] = load_stream(from + 8);
        }
        float scale_low = __ldg(scales + group * 16 + g), scale_high = __ldg(scales + group * 16 + g + 8);
        float c[NB][4] = {};
#pragma unroll
        for (int b = 0; b < 8; b++) {
            uint32_t x = low[b] ^ 0x80808080u, y = high[b] ^ 0x80808080u;
            uint32_t m[4] = {half2_minus(__byte_perm(x, 0x64646464u, 0x4140), HALF2_1152), half2_minus(__byte_perm(y, 0x64646464u, 0x4140), HALF2_1152),
                             half2_minus(__byte_perm(x, 0x64646464u, 0x4342), HALF2_1152), half2_minus(__byte_perm(y, 0x64646464u, 0x4342), HALF2_1152)};
#pragma unroll
            for (int n = 0; n < NB; n++) {
                /* the order of inputs within 16 is free: lane t takes 4 t .. 4 t + 3, as a panel's word does */
                uint2 v = __ldg((const uint2 *)(parts + n * a.parts.buffer_halfs + (int64_t)(group * 8 + b) * 128 + g * 16) + t);
                mma_f16(c[n], m, v.x, v.y);
            }
        }
#pragma unroll
        for (int n = 0; n < NB; n++)
            total[n][0] += c[n][0] * scale_low, total[n][1] += c[n][1] * scale_low, total[n][2] += c[n][2] * scale_high, total[n][3] += c[n][3] * scale_high;
    }
#pragma unroll
    for (int n = 0; n < NB; n++)
        for (int i = 0; i < 4; i++) sums[warp][n][(i / 2 * 8 + g) * 8 + t * 2 + i % 2] = total[n][i];
    __syncthreads();
    int output = threadIdx.x / 8, column = threadIdx.x % 8;
    if (output >= 16 || column >= (NB == 1 ? 4 : 8)) return;
    float y = 0;
    for (int i = 0; i < GEMV_WARPS; i++) y += NB == 1 ? sums[i][0][output * 8 + column] + sums[i][0][output * 8 + column + 4]
                                                       : sums[i][0][output * 8 + column] + sums[i][NB - 1][output * 8 + column];
    int64_t row = (int64_t)blockIdx.y * 8 + column, o = (int64_t)panel * 16 + output;
    if (row >= a.n_rows || o >= w.n_out) return;
    y *= a.parts.scale[row];
    float *to = a.out[job] + row * a.out_stride[job] + o;
    *to = a.accumulate ? *to + y : y;
}

cudaError_t gpu_gemv(const gpu_gemv_args *a, cudaStream_t stream)
{
    int panels = 0;
    for (int i = 0; i < a->n_jobs; i++) panels += a->n_panels[i];
    if (a->n_rows <= 4) gemv_kernel<1><<<panels, GEMV_WARPS * 32, 0, stream>>>(*a);
    else gemv_kernel<2><<<dim3(panels, (a->n_rows + 7) / 8), GEMV_WARPS * 32, 0, stream>>>(*a);
    return cudaGetLastError();
}

/* ---------------------------------------------------------------------------------- any number of rows, without cuBLAS */

/* out [m][n] (+)= x [m][k] w [n][k]^T in bf16: blocks of 64 x 64, four warps of 32 x 32, straight from global memory through the cache. It is
 * there so that a machine with a driver and no CUDA libraries works. */
__global__ void __launch_bounds__(128) gemm_kernel(const __nv_bfloat16 *x, const __nv_bfloat16 *w, float *out, int64_t out_stride, int m, int n, int k,
                                                   bool accumulate)
{
    __shared__ __align__(16) __nv_bfloat16 xs[64][40], ws[64][40];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, t = lane & 3, g = lane >> 2;
    int row0 = blockIdx.y * 64, col0 = blockIdx.x * 64, wr = warp / 2 * 32, wc = warp % 2 * 32;
    float c[2][4][4] = {};
    for (int k0 = 0; k0 < k; k0 += 32) {
        for (int i = threadIdx.x; i < 64 * 32; i += 128) {
            int r = i / 32, j = k0 + i % 32;
            xs[r][i % 32] = row0 + r < m && j < k ? x[(int64_t)(row0 + r) * k + j] : __float2bfloat16_rn(0.0f);
            ws[r][i % 32] = col0 + r < n && j < k ? w[(int64_t)(col0 + r) * k + j] : __float2bfloat16_rn(0.0f);
        }
        __syncthreads();
#pragma unroll
        for (int step = 0; step < 2; step++) {
            uint32_t a[2][4], b[4][2];
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    a[i][j] = *(const uint32_t *)&xs[wr + i * 16 + g + j % 2 * 8][step * 16 + t * 2 + j / 2 * 8];
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 2; j++) b[i][j] = *(const uint32_t *)&ws[wc + i * 8 + g][step * 16 + t * 2 + j * 8];
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) mma_bf16(c[i][j], a[i], b[j][0], b[j][1]);
        }
        __syncthreads();
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            for (int e = 0; e < 4; e++) {
                int r = row0 + wr + i * 16 + g + e / 2 * 8, o = col0 + wc + j * 8 + t * 2 + e % 2;
                if (r >= m || o >= n) continue;
                float *to = out + r * out_stride + o;
                *to = accumulate ? *to + c[i][j][e] : c[i][j][e];
            }
}
cudaError_t gpu_gemm(const __nv_bfloat16 *x, const __nv_bfloat16 *w, float *out, int64_t out_stride, int m, int n, int k, bool accumulate,
                     cudaStream_t stream)
{
    gemm_kernel<<<dim3((n + 63) / 64, (m + 63) / 64), 128, 0, stream>>>(x, w, out, out_stride, m, n, k, accumulate);
    return cudaGetLastError();
}
