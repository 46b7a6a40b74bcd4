/* prepare.cuh: QK-norm and RoPE of a row by a warp, for encode.cu and rotate.cu.
 *
 * Owns: their order of operations. Does not own: what becomes of the row.
 */
#ifndef KERN_CUDA_PREPARE_CUH
#define KERN_CUDA_PREPARE_CUH

#include "ptx.cuh"

/* Features 4 lane .. 4 lane + 3. */
struct Row {
    float x[4];
};

/* RMS norm and rotation, in the order of operations and roundings of the portable definition but for the order of the sum. */
__device__ __forceinline__ Row prepare_row(const float *row, int d, const float *norm, float eps, const float *cos_row, const float *sin_row,
                                           int lane)
{
    Row r = {{0, 0, 0, 0}};
    bool valid = lane * 4 < d;
    if (valid) {
        float4 v = __ldcs((const float4 *)row + lane);
        r.x[0] = v.x, r.x[1] = v.y, r.x[2] = v.z, r.x[3] = v.w;
    }
    if (norm) {
        float sum = r.x[0] * r.x[0] + r.x[1] * r.x[1] + r.x[2] * r.x[2] + r.x[3] * r.x[3];
        float factor = __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(__fdiv_rn(warp_sum(sum), (float)d), eps)));
        if (valid) {
            float4 w = ((const float4 *)norm)[lane];
            r.x[0] = r.x[0] * factor * w.x, r.x[1] = r.x[1] * factor * w.y;
            r.x[2] = r.x[2] * factor * w.z, r.x[3] = r.x[3] * factor * w.w;
        }
    }
    if (cos_row) {
        int half = d / 8; /* lanes of a half row */
        bool low = lane < half;
        int partner = low ? lane + half : lane - half;
        float4 c = {1, 1, 1, 1}, s = {0, 0, 0, 0};
        if (valid) c = ((const float4 *)cos_row)[low ? lane : partner], s = ((const float4 *)sin_row)[low ? lane : partner];
        float cs[4] = {c.x, c.y, c.z, c.w}, sn[4] = {s.x, s.y, s.z, s.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float other = __shfl_sync(WARP_ALL, r.x[i], partner & 31);
            float a = __fmul_rn(r.x[i], cs[i]), b = __fmul_rn(other, sn[i]);
            r.x[i] = valid ? (low ? __fsub_rn(a, b) : __fadd_rn(a, b)) : 0;
        }
    }
    return r;
}

#endif
