/* flash.cuh: the softmax of one tile, shared by both versions of prefill.
 *
 * Owns: what happens between Q K^T and P V, on accumulators in the tensor cores' layout (a lane has columns 8 n + 2 t and + 1 of rows
 *       g and g + 8). Does not own: products, copies.
 */
#ifndef KERN_CUDA_FLASH_CUH
#define KERN_CUDA_FLASH_CUH

#include "gpu.h"
#include "ptx.cuh"

#define LOG2_E 1.4426950408889634f

/* m: the running maximum of score (base 2) + the tile's value exponent; l: this lane's share of the sum, relative to m. */
struct FlashRow {
    float scale, m, l;
};

/* A row of zeros scores 0 everywhere, but -inf, where there is no key, must stay so. */
#define ROW_SCALE_MIN 1e-30f

/* Keys that flat row `row` (token x heads of the group) sees. */
__device__ __forceinline__ int visible_keys(const gpu_flash_job &job, int row, int per_kv)
{
    if (job.causal_before == INT32_MAX) return (int)job.n_keys;
    return min((int)job.n_keys, job.causal_before + row / per_kv + 1);
}

/* Weights below 2^-depth of a row's largest may be left out with their tile: together at most 2^-10 of the mass, for they are at most
 * n_keys; and below 2^-25 they are 0 in f16 anyway. */
__device__ __forceinline__ float skip_depth(int n_keys)
{
    return fmaxf(25.0f, 10.0f + ceilf(log2f((float)n_keys)));
}

/* Accumulated bits -> score without the row's scale. key_scale: for columns 8 n + 2 t: scale, -12582912 scale, twice. */
template <int N> __device__ __forceinline__ void scale_scores(float (&s)[N][4], const float4 *key_scale, int t)
{
#pragma unroll
    for (int n = 0; n < N; n++) {
        float4 k = key_scale[n * 4 + t];
        s[n][0] = fmaf(s[n][0], k.x, k.y), s[n][1] = fmaf(s[n][1], k.z, k.w), s[n][2] = fmaf(s[n][2], k.x, k.y), s[n][3] = fmaf(s[n][3], k.z, k.w);
    }
}

/* At the edge the row's scale is multiplied in here, so that unseen keys can be -inf whatever the scale is. */
template <int N> __device__ __forceinline__ void mask_scores(float (&s)[N][4], const FlashRow *row, const int *seen, int first_key)
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) s[n][i] = first_key + n * 8 + (i & 1) < seen[i / 2] ? s[n][i] * row[i / 2].scale : -INFINITY;
}

/* Four chains a row: a single one would wait for itself. */
template <int N> __device__ __forceinline__ void row_tops(const float (&s)[N][4], float (&top)[2])
{
    float part[2][4];
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int c = 0; c < 4; c++) {
            part[i][c] = fmaxf(s[c][i * 2], s[c][i * 2 + 1]);
#pragma unroll
            for (int n = c + 4; n < N; n += 4) part[i][c] = fmaxf(part[i][c], fmaxf(s[n][i * 2], s[n][i * 2 + 1]));
        }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        top[i] = fmaxf(fmaxf(part[i][0], part[i][1]), fmaxf(part[i][2], part[i][3]));
        top[i] = fmaxf(top[i], __shfl_xor_sync(WARP_ALL, top[i], 1));
        top[i] = fmaxf(top[i], __shfl_xor_sync(WARP_ALL, top[i], 2));
    }
}

/* Whether any weight of the tile can exceed 2^-depth of its row's largest. The largest value exponent so far stands for the tile's, so
 * that the bound holds for the mass as well as for the sum of values. */
__device__ __forceinline__ bool tops_matter(const float (&top)[2], const FlashRow *row, bool masked, float top_exponent, float depth)
{
    return (masked ? top[0] : top[0] * row[0].scale) + top_exponent > row[0].m - depth ||
           (masked ? top[1] : top[1] * row[1].scale) + top_exponent > row[1].m - depth;
}

/* Scores -> weights times 2^exponent relative to the new maximum; keep: the factor for what was summed before. */
template <int N>
__device__ __forceinline__ void soften(float (&s)[N][4], FlashRow *row, const float (&top)[2], bool masked, float exponent, float (&keep)[2])
{
    float back = exp2_fast(-exponent);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float scale = masked ? 1.0f : row[i].scale, m = fmaxf(row[i].m, top[i] * scale + exponent), sum = 0;
        float base = m == -INFINITY ? 0.0f : m;
        keep[i] = exp2_fast(row[i].m - base);
        float add = exponent - base;
#pragma unroll
        for (int n = 0; n < N; n++) {
            s[n][i * 2] = exp2_fast(fmaf(s[n][i * 2], scale, add));
            s[n][i * 2 + 1] = exp2_fast(fmaf(s[n][i * 2 + 1], scale, add));
            sum += s[n][i * 2] + s[n][i * 2 + 1];
        }
        row[i].l = row[i].l * keep[i] + sum * back;
        row[i].m = m;
    }
}

/* Where a finished row goes: the result, normalised, or a part. */
struct FlashOut {
    float *to;
    float factor;
    float2 *ml;
};
__device__ __forceinline__ FlashOut flash_out(const gpu_flash_args &a, const gpu_flash_job &job, int at, int head, int per_kv, const FlashRow &r)
{
    FlashOut out;
    int64_t row = job.first_row + at / per_kv, q = head * per_kv + at % per_kv;
    if (job.part == 0xffffffffu) {
        out.to = a.out + row * a.out_stride + q * a.format.d;
        out.factor = r.l > 0 ? 1.0f / r.l : 0.0f;
        out.ml = a.out_ml ? a.out_ml + row * a.n_heads + q : NULL;
        return out;
    }
    int64_t part = ((int64_t)job.part * a.part_rows + row - a.part_first_row) * a.n_heads + q;
    out.to = a.part_acc + part * a.format.d;
    out.factor = 1;
    out.ml = a.part_ml + part;
    return out;
}

#endif
