/* data.h: inputs for the tests and benchmarks of the CUDA kernels.
 *
 * Owns: pseudo-random rows of several characters, the GPU's copy of a block. Does not own: what is compared (check.cu) or timed.
 */
#ifndef TEST_CUDA_DATA_H
#define TEST_CUDA_DATA_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"

typedef enum data_kind { DATA_NORMAL, DATA_TIES, DATA_ZEROS, DATA_HUGE, DATA_KINDS } data_kind;

static inline uint32_t data_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}
static inline float data_uniform(uint64_t *state) { return (float)(data_next(state) >> 8) * 0x1p-24f; }
static inline float data_normal(uint64_t *state)
{
    float u = data_uniform(state) + 0x1p-25f, v = data_uniform(state);
    return sqrtf(-2 * logf(u)) * cosf(6.2831853f * v);
}
static inline void data_fill(float *x, size_t n, data_kind kind, uint64_t *state)
{
    for (size_t i = 0; i < n; i++) {
        float v = data_normal(state);
        if (kind == DATA_TIES) v = (float)((int)(data_next(state) % 5) - 2) * 0.5f;
        if (kind == DATA_ZEROS) v = data_next(state) % 40 ? 0.0f : v;
        if (kind == DATA_HUGE) v = data_next(state) % 16 ? v * 100 : v * 3e5f;
        x[i] = v;
    }
}

#define CUDA_OK(call)                                                                                                              \
    do {                                                                                                                           \
        cudaError_t cuda_ok_error = (call);                                                                                        \
        if (cuda_ok_error != cudaSuccess) {                                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(cuda_ok_error));                      \
            exit(1);                                                                                                               \
        }                                                                                                                          \
    } while (0)

template <typename T> static T *gpu_new(size_t n)
{
    T *p = NULL;
    CUDA_OK(cudaMalloc((void **)&p, (n ? n : 1) * sizeof(T)));
    CUDA_OK(cudaMemset(p, 0xa5, (n ? n : 1) * sizeof(T)));
    return p;
}
template <typename T> static T *gpu_copy(const T *host, size_t n)
{
    T *p = gpu_new<T>(n);
    CUDA_OK(cudaMemcpy(p, host, n * sizeof(T), cudaMemcpyHostToDevice));
    return p;
}
template <typename T> static void gpu_get(T *host, const T *device, size_t n)
{
    CUDA_OK(cudaMemcpy(host, device, n * sizeof(T), cudaMemcpyDeviceToHost));
}

#endif
