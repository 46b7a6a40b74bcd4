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

/* Normal rows of d become what selecting and coding have trouble with, three of a kind after each other; every fourth kind stays as it is. */
static inline void data_spoil(float *x, size_t n, size_t d)
{
    uint64_t state = 5;
    for (size_t at = 0; at < n; at++) {
        size_t row = at / d, i = at % d;
        uint32_t h = data_next(&state);
        float v = x[at], whole = (float)((int)(h % 255) - 127);
        bool lane = i / 4 % 8 == row % 8; /* 16 features that one lane of eight holds */
        switch (row / 3 % 24) {
        case 0: v = rintf(v * 8) * 0.125f; break;
        case 1: v = lane ? v * 50 : v; break;
        case 2: v = h % 40 ? 0 : v; break;
        case 4: v = h % 16 ? v * 100 : v * 3e5f; break;
        case 5: v = i == row % d ? v * 1000 : v; break;
        case 6: v *= 1e-20f; break;
        case 8: v = i == 5 ? NAN : v; break;
        case 9: v = i == 77 ? INFINITY : v; break;
        case 10: v = 0; break;
        case 12: v = 1.5f; break;
        case 13: v *= 1e-36f; break;
        case 14: v = whole; break;
        case 16: v = i == 0 ? 127 : whole * 0.5f; break;
        case 17: v *= 3e30f; break;
        case 18: v = lane ? 2 + v * 1e-5f : v * 0.1f; break;
        case 20: v = 1 + v * 1e-6f; break;
        case 21: v = -0.0f; break;
        case 22: v *= 1e-4f; break;
        default: break;
        }
        x[at] = v;
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
