/* blas.cu: cuBLAS for products with many rows.
 *
 * Owns: finding and opening the library (only when a GPU is there: it is hundreds of megabytes), its handle, the one call that is used.
 * Does not own: when it is used (pass.cu). A machine without it works with linear.cu's own product, slower.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "linear.h"

/* From cublas_api.h, whose values have not changed since CUDA 8: enough to need no header of it. */
typedef void *blas_handle;
enum { BLAS_OP_N = 0, BLAS_OP_T = 1, BLAS_BF16 = 14, BLAS_F32 = 0, BLAS_COMPUTE_32F = 68, BLAS_DEFAULT = -1 };
typedef int (*blas_create_fn)(blas_handle *);
typedef int (*blas_destroy_fn)(blas_handle);
typedef int (*blas_set_stream_fn)(blas_handle, cudaStream_t);
typedef int (*blas_gemm_fn)(blas_handle, int, int, int, int, int, const void *, const void *, int, int, const void *, int, int, const void *, void *, int,
                            int, int, int);

struct gpu_blas {
    void *library;
    blas_handle handle;
    blas_destroy_fn destroy;
    blas_gemm_fn gemm;
    char note[160];
};

static void *open_library(void)
{
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11", "/usr/local/cuda/lib64/libcublas.so.13",
                                        "/usr/local/cuda/lib64/libcublas.so.12", "/usr/local/cuda/lib64/libcublas.so.11"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (library) return library;
    }
    return NULL;
}

gpu_blas *gpu_blas_new(cudaStream_t stream)
{
    gpu_blas *blas = (gpu_blas *)calloc(1, sizeof *blas);
    if (!blas) return NULL;
    blas->library = open_library();
    if (!blas->library) {
        snprintf(blas->note, sizeof blas->note, "cuBLAS was not found: slower products are used");
        return blas;
    }
    blas_create_fn create = (blas_create_fn)dlsym(blas->library, "cublasCreate_v2");
    blas_set_stream_fn set_stream = (blas_set_stream_fn)dlsym(blas->library, "cublasSetStream_v2");
    blas->destroy = (blas_destroy_fn)dlsym(blas->library, "cublasDestroy_v2");
    blas->gemm = (blas_gemm_fn)dlsym(blas->library, "cublasGemmEx");
    int status = create && set_stream && blas->destroy && blas->gemm ? create(&blas->handle) : -1;
    if (status == 0) status = set_stream(blas->handle, stream);
    if (status != 0) {
        snprintf(blas->note, sizeof blas->note, "cuBLAS could not be used (%d): slower products are used", status);
        blas->gemm = NULL;
    }
    return blas;
}

void gpu_blas_free(gpu_blas *blas)
{
    if (!blas) return;
    if (blas->handle && blas->destroy) blas->destroy(blas->handle);
    if (blas->library) dlclose(blas->library);
    free(blas);
}

const char *gpu_blas_note(const gpu_blas *blas) { return blas->note; }

cudaError_t gpu_blas_product(gpu_blas *blas, const __nv_bfloat16 *x, const __nv_bfloat16 *w, float *out, int64_t out_stride, int m, int n, int k,
                             bool accumulate, cudaStream_t stream)
{
    float one = 1, beta = accumulate ? 1.0f : 0.0f;
    if (!blas->gemm) return gpu_gemm(x, w, out, out_stride, m, n, k, accumulate, stream);
    /* column-major: out^T [n][m] = w [n][k] x^T */
    int status = blas->gemm(blas->handle, BLAS_OP_T, BLAS_OP_N, n, m, k, &one, w, BLAS_BF16, k, x, BLAS_BF16, k, &beta, out, BLAS_F32, (int)out_stride,
                            BLAS_COMPUTE_32F, BLAS_DEFAULT);
    if (status == 0) return cudaSuccess;
    cudaError_t error = cudaGetLastError();
    return error != cudaSuccess ? error : cudaErrorUnknown;
}
