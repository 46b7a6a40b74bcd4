/* rotate.cu: QK-norm, RoPE and a rotation of whole rows by an orthogonal matrix for each KV head, in place, before they are coded.
 *
 * Owns: the product of rows with their head's matrix, in float: what top-k chooses from must be as near the CPU's as without a rotation.
 * Does not own: codes (encode.cu), which matrix (engine/rotation.c).
 *
 * A thread block takes 16 rows of one head: four warps prepare four rows each into shared memory, then a thread makes one feature of all
 * 16, so that each entry of the matrix is read once for 16 products. Without the rotation encode.cu does all of it in one pass over a row.
 */
#include "gpu.h"
#include "prepare.cuh"

enum { ROTATE_ROWS = 16, ROTATE_THREADS = 128 };

__global__ void __launch_bounds__(ROTATE_THREADS) rotate_kernel(gpu_rotate_args a)
{
    __shared__ float4 rows[ROTATE_ROWS][KERN_HEAD_DIM_MAX / 4];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, head = blockIdx.y, first = blockIdx.x * ROTATE_ROWS, d = a.d;
    int64_t stride = (int64_t)a.n_heads * d;
    const float *matrix = a.rotations + (int64_t)(head / (a.n_heads / a.n_rotations)) * d * d;
    for (int i = warp; i < ROTATE_ROWS; i += ROTATE_THREADS / 32) {
        Row r = {{0, 0, 0, 0}};
        if (first + i < a.n_rows) {
            int64_t row = first + i, position = a.position ? a.position[row] : row;
            const float *cos_row = a.rope_cos ? a.rope_cos + position * (d / 2) : NULL, *sin_row = a.rope_cos ? a.rope_sin + position * (d / 2) : NULL;
            r = prepare_row(a.rows + row * stride + head * d, d, a.norm, a.norm_eps, cos_row, sin_row, lane);
        }
        rows[i][lane] = make_float4(r.x[0], r.x[1], r.x[2], r.x[3]);
    }
    __syncthreads();
    int i = threadIdx.x;
    if (i >= d) return;
    float sums[ROTATE_ROWS] = {};
#pragma unroll 4
    for (int j = 0; j < d / 4; j++) {
        float m[4];
#pragma unroll
        for (int e = 0; e < 4; e++) m[e] = __ldg(matrix + (4 * j + e) * d + i);
#pragma unroll
        for (int r = 0; r < ROTATE_ROWS; r++) { /* the same address for all threads */
            float4 x = rows[r][j];
            sums[r] = __fmaf_rn(x.w, m[3], __fmaf_rn(x.z, m[2], __fmaf_rn(x.y, m[1], __fmaf_rn(x.x, m[0], sums[r]))));
        }
    }
#pragma unroll
    for (int r = 0; r < ROTATE_ROWS; r++)
        if (first + r < a.n_rows) a.rows[(first + r) * stride + head * d + i] = sums[r];
}

cudaError_t gpu_rotate(const gpu_rotate_args *a, cudaStream_t stream)
{
    rotate_kernel<<<dim3((a->n_rows + ROTATE_ROWS - 1) / ROTATE_ROWS, a->n_heads), ROTATE_THREADS, 0, stream>>>(*a);
    return cudaGetLastError();
}
