/* linear.h: the steps of linear.cu and the products of blas.cu. All pointers are device memory. */
#ifndef KERN_CUDA_LINEAR_H
#define KERN_CUDA_LINEAR_H

#include <cuda_bf16.h>

#include "gpu.h"

/* A matrix on the GPU: 8-bit panels as in kern.h (NULL: none) for few rows, bf16 row-major for many. */
typedef struct gpu_weight {
    int64_t n_out, n_in;
    const int8_t *q8;
    const float *scales;
    const __nv_bfloat16 *bf16;
} gpu_weight;

/* Rows of a matrix in any of kern.h's forms (first row a multiple of 16), for conversion. */
typedef struct gpu_source {
    int type; /* kern_weight_type */
    int64_t n_out, n_in;
    const void *data, *scales;
} gpu_source;
cudaError_t gpu_widen(const gpu_source *rows, __nv_bfloat16 *to, size_t first_row, size_t n_rows, cudaStream_t stream);

/* Rows of activations as two f16 parts, in the order that the few-rows product reads. */
typedef struct gpu_parts {
    __half *data; /* NULL: not wanted; gpu_parts_halfs of them */
    float *scale; /* [n_rows] */
    int n_padded, rows_each, n_buffers_each;
    int64_t buffer_halfs;
} gpu_parts;
size_t gpu_parts_halfs(int n_rows, int n);
gpu_parts gpu_parts_at(__half *data, float *scale, int n_rows, int n);

typedef struct gpu_prepared {
    float *plain; /* [n_rows][n] each, NULL: not wanted */
    __nv_bfloat16 *bf16;
    gpu_parts parts;
} gpu_prepared;
enum { GPU_COPY = 0, GPU_NORM = 1, GPU_SWIGLU = 2 };
cudaError_t gpu_prepare(const float *x, const float *y, const float *weight, float eps, int n_rows, int n, int op, const gpu_prepared *out,
                        cudaStream_t stream);

cudaError_t gpu_bias(float *x, int n_rows, int n_cols, const float *bias, cudaStream_t stream);
cudaError_t gpu_embed(const gpu_weight *w, const uint32_t *ids, int n_rows, float *out, cudaStream_t stream);

typedef struct gpu_gemv_args {
    gpu_weight weight[3];
    float *out[3];
    int64_t out_stride[3];
    int n_panels[3], n_jobs, n_rows;
    bool accumulate;
    gpu_parts parts;
} gpu_gemv_args;
cudaError_t gpu_gemv(const gpu_gemv_args *args, cudaStream_t stream); /* at most GPU_GEMV_ROWS_MAX rows */

cudaError_t gpu_gemm(const __nv_bfloat16 *x, const __nv_bfloat16 *w, float *out, int64_t out_stride, int m, int n, int k, bool accumulate,
                     cudaStream_t stream);

/* blas.cu: cuBLAS, opened at run time; without it gpu_gemm is used. */
typedef struct gpu_blas gpu_blas;
gpu_blas *gpu_blas_new(cudaStream_t stream); /* never NULL but for memory */
void gpu_blas_free(gpu_blas *blas);
const char *gpu_blas_note(const gpu_blas *blas); /* "" or why cuBLAS is not used */
cudaError_t gpu_blas_product(gpu_blas *blas, const __nv_bfloat16 *x, const __nv_bfloat16 *w, float *out, int64_t out_stride, int m, int n, int k,
                             bool accumulate, cudaStream_t stream);

#endif
