/* module.h: the module's state: weights, buffers, kept sections. For module.cu, store.cu and pass.cu. */
#ifndef KERN_CUDA_MODULE_H
#define KERN_CUDA_MODULE_H

#include <pthread.h>

#include "gpu.h"
#include "linear.h"

typedef struct gpu_layer {
    gpu_weight q, k, v, o, gate, up, down;
    float *input_norm, *post_norm, *q_norm, *k_norm, *q_bias, *k_bias, *v_bias, *o_bias, *rotations;
} gpu_layer;

/* Something kept in the pool: a section, or the GPU's copy of a branch's own block. Keyed by the address of the first layer's block in
 * host memory; stamp: a hash of the section's last codes, so that another section at the same address is seen. */
typedef struct store_item {
    const void *key;
    uint64_t stamp, used, offset, n_bytes;
    uint32_t n_tokens, capacity; /* n_tokens: valid ones, for a branch */
    bool branch, pinned;         /* pinned: of the pass in progress */
} store_item;

enum { STAGE_BYTES = 16 << 20, STAGES = 2, DESCRIPTOR_BYTES = 4 << 20 };

typedef struct gpu_store {
    uint8_t *pool;
    uint64_t pool_bytes, clock;
    store_item *items; /* sorted by offset */
    size_t n_items, n_items_max, last_found;
    uint8_t *stage[STAGES]; /* pinned host memory */
    cudaEvent_t stage_free[STAGES];
    cudaStream_t stream;
    cudaEvent_t arrived;
    int next_stage;
} gpu_store;

struct kern_gpu {
    uint32_t n_layers, n_hidden, n_heads, n_ffn, n_vocabulary, n_rows_max, n_positions;
    float norm_eps;
    kern_kv_format host_format;
    gpu_format format;
    gpu_weight embed, lm_head;
    float *final_norm;
    gpu_layer *layers;
    void **allocations; /* all device memory, for close */
    size_t n_allocations, n_allocations_max;
    uint64_t weight_bytes;
    int device, n_multiprocessors;
    cudaStream_t stream;
    gpu_blas *blas;
    gpu_store store;
    /* activations, [n_rows_max] rows */
    float *x, *q, *k, *v, *attended, *gate, *up, *states, *q_scale, *q_dense, *rope_cos, *rope_sin, *logits;
    __nv_bfloat16 *half;
    __half *parts;
    float *part_scale;
    int8_t *q_table;
    float2 *out_ml;
    gpu_scratch scratch;
    float *part_acc;
    float2 *part_ml;
    uint64_t *part_words;
    uint32_t *arrived;
    float *mass;
    size_t mass_capacity;
    uint8_t *descriptor, *descriptor_host; /* device memory and its pinned twin */
    uint8_t *gather, *gather_host;         /* new codes on their way back */
    size_t gather_bytes;
    cudaStream_t fetch_stream;  /* brings them back while later layers run */
    cudaEvent_t *encoded;       /* [n_layers]: the layer's new keys and values are there */
    cudaEvent_t gathered[2];    /* of each half of the gathering memory */
    uint32_t last_rows;
    uint8_t *slots; /* STREAM_SLOTS x STREAM_BYTES: sections that do not stay; weights while they are loaded */
    cudaEvent_t slot_free[2];
    struct gpu_graph *graph; /* pass.cu's: the last pass of few rows, to be launched again as a whole; NULL: none yet */
    cudaEvent_t *attend_events; /* [n_layers][2], around attention; NULL: not measured */
    bool failed;
    kern_gpu_stats stats;
    pthread_t prefetcher;
    bool prefetching;
    struct gpu_prefetch *prefetch;
};

enum { STREAM_SLOTS = 2, STREAM_BYTES = 64 << 20, GATHER_BYTES = 32 << 20, MASS_PARTS = 1 << 17 };
enum { PART_ROWS = 512, PARTS_MAX = 17, DECODE_PARTS_MAX = 640, SCRATCH_TOKENS = 65536, LOGITS_ROWS = 16 };

kern_gpu_status gpu_fail(kern_gpu_error *error, kern_gpu_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A CUDA error in words; anything but a lack of memory makes the kern_gpu unusable. */
kern_gpu_status gpu_fail_cuda(kern_gpu *gpu, kern_gpu_error *error, cudaError_t cuda, const char *what);
#define GPU_TRY(call, what)                                                                  \
    do {                                                                                     \
        cudaError_t try_error = (call);                                                      \
        if (try_error != cudaSuccess) return gpu_fail_cuda(gpu, error, try_error, what);     \
    } while (0)

/* Device memory that close frees. NULL and *error when there is none. */
void *gpu_allocate(kern_gpu *gpu, size_t n_bytes, const char *what, kern_gpu_error *error);

/* store.cu. begin: streams and staging buffers, which loading weights uses too; open: the pool. */
kern_gpu_status gpu_store_begin(kern_gpu *gpu, kern_gpu_error *error);
kern_gpu_status gpu_store_open(kern_gpu *gpu, uint64_t pool_bytes, kern_gpu_error *error);
void gpu_store_close(kern_gpu *gpu);
/* The kept copy of a section (blocks: [n_layers] at a stride of n_sections), uploaded if it is not there; NULL in *ret_item when the
 * budget cannot hold it beside what the pass already uses. */
kern_gpu_status gpu_store_section(kern_gpu *gpu, const kern_kv_block *blocks, size_t stride, const store_item **ret_item, kern_gpu_error *error);
/* The copy of a branch's own block, with its first `at` tokens valid. */
kern_gpu_status gpu_store_branch(kern_gpu *gpu, void *const *blocks, uint32_t capacity, uint32_t at, store_item **ret_item, kern_gpu_error *error);
/* Copies n_bytes of pageable host memory to the device through the pinned buffers, on the store's stream. */
kern_gpu_status gpu_store_upload(kern_gpu *gpu, void *to, const void *from, size_t n_bytes, kern_gpu_error *error);
void gpu_store_unpin(kern_gpu *gpu);
void gpu_store_forget(kern_gpu *gpu, const void *key);
void gpu_store_wait_prefetch(kern_gpu *gpu);
kern_gpu_status gpu_store_prefetch(kern_gpu *gpu, const kern_kv_block *sections_by_layer, size_t n_sections, kern_gpu_error *error);

/* pass.cu */
kern_gpu_status gpu_forward(kern_gpu *gpu, const kern_gpu_segment *segments, size_t n_segments, const bool *cancel, kern_gpu_error *error);
kern_gpu_status gpu_logits(kern_gpu *gpu, size_t first_row, size_t n_rows, float *ret_logits, kern_gpu_error *error);
void gpu_graph_free(kern_gpu *gpu);
kern_gpu_status gpu_states(kern_gpu *gpu, size_t first_row, size_t n_rows, float *ret_states, kern_gpu_error *error);

#endif
