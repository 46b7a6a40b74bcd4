/* kern-gpu.h: the contract between the engine and a GPU module that is opened at run time.
 *
 * Owns: what a module offers: a table of functions behind one exported symbol. The module holds a model's weights and the keys and
 *       values of sections in GPU memory and runs the whole forward pass there.
 * Does not own: the arithmetic's definition (kern.h: the portable kernels), files, tokens' meaning, when to use a GPU (engine/gpu.c).
 *
 * The module never prints and never exits. Every function that can fail returns a status and fills *error. After KERN_GPU_FAILED the
 * device's state is unknown (errors of CUDA may stick): call close, and go on without. One thread at a time uses a kern_gpu.
 *
 * Same results as the CPU within rounding: codes of keys and values are computed in the same way, byte for byte where the floats that
 * go in agree; products of many rows run in bf16 with float sums. Blocks written by either are read by the other.
 */
#ifndef KERN_GPU_H
#define KERN_GPU_H

#include "kern.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    KERN_GPU_ABI = 3, /* changed with any change below */
    KERN_GPU_SEGMENTS_MAX = 64,
    KERN_GPU_MESSAGE_BYTES = 320,
};
/* const kern_gpu_module *kern_gpu_module_get(void); */
#define KERN_GPU_SYMBOL "kern_gpu_module_get"

typedef enum kern_gpu_status {
    KERN_GPU_OK = 0,
    KERN_GPU_NO_DEVICE,    /* no GPU, no driver, or none that this module runs on */
    KERN_GPU_NO_MEMORY,    /* of the GPU or the machine; what was done before is intact */
    KERN_GPU_BAD_ARGUMENT, /* a shape outside what the module runs */
    KERN_GPU_CANCELLED,
    KERN_GPU_FAILED,       /* the device or its driver; unusable from now on */
} kern_gpu_status;

typedef struct kern_gpu_error {
    kern_gpu_status status;
    char message[KERN_GPU_MESSAGE_BYTES]; /* for people; untouched on success */
} kern_gpu_error;

typedef struct kern_gpu_device {
    char name[128];
    uint64_t total_bytes, free_bytes;
    uint32_t capability_major, capability_minor, n_multiprocessors;
    bool usable;
    char reason[160]; /* why not, "" when usable */
} kern_gpu_device;

typedef struct kern_gpu_layer {
    kern_weight q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj;
    const float *input_norm, *post_attention_norm;  /* [hidden] */
    const float *q_norm, *k_norm;                   /* [d], NULL: none */
    const float *q_bias, *k_bias, *v_bias, *o_bias; /* NULL: none */
    const float *rotations;                         /* [n_kv_heads][d][d], see kern_encode_params; NULL: none */
} kern_gpu_layer;

/* All borrowed for the call only: weights are copied to the GPU. */
typedef struct kern_gpu_model {
    uint32_t n_layers, n_hidden, n_heads, n_kv_heads, n_ffn, n_vocabulary;
    uint32_t n_rows_max;    /* tokens of one pass */
    uint32_t n_positions;   /* rotary tables are kept for this many */
    bool measure;           /* for benchmarks: the GPU's copy bandwidth when opened, and how long each pass attends */
    float norm_eps;
    const double *rope_inv_freq; /* [d/2] */
    double rope_attention_scale;
    kern_kv_format format;
    kern_weight embed, lm_head; /* the same data when tied */
    const float *final_norm;
    const kern_gpu_layer *layers;
} kern_gpu_model;

typedef struct kern_gpu kern_gpu;

/* One sequence of a pass. Its keys and values are written to token `at` on of `blocks` in host memory (one for each layer, capacity
 * tokens each), and it attends to all of its sections and causally to its own block. The tokens of `blocks` before `at` are read if
 * the GPU does not still have them from earlier passes over the same blocks. */
typedef struct kern_gpu_segment {
    const uint32_t *ids;
    uint32_t n_tokens, first_position;
    void *const *blocks; /* [n_layers], host memory */
    uint32_t capacity, at;
    const kern_kv_block *sections_by_layer; /* [n_layers][n_sections], host memory, e.g. a mapped file; read-only */
    size_t n_sections;
    float *mass; /* as in kern_attend_job, of sections only, summed over layers; NULL: not wanted */
    const size_t *mass_first;
} kern_gpu_segment;

typedef struct kern_gpu_stats {
    uint64_t weight_bytes, budget_bytes, used_bytes; /* budget and use: sections and branches */
    uint64_t section_bytes_uploaded, section_hits, section_misses, section_evictions;
    uint64_t bytes_streamed;    /* read through the GPU without staying */
    double stream_s;            /* time of passes that streamed */
    double copy_bytes_s, attend_s; /* if asked for: bytes read and written a second; attention of all layers of all passes */
    const char *note;           /* "" or what runs slower than it could and why */
} kern_gpu_stats;

typedef struct kern_gpu_module {
    uint32_t abi; /* KERN_GPU_ABI */
    const char *name;
    /* Fills up to n_max devices and returns how many there are; 0 with the reason in *error. */
    size_t (*probe)(kern_gpu_device *ret_devices, size_t n_max, kern_gpu_error *error);
    /* section_budget_bytes: for sections and branches; 0: what is left of the GPU's memory but for a tenth. */
    kern_gpu_status (*open)(const kern_gpu_model *model, uint32_t device, uint64_t section_budget_bytes, kern_gpu **ret_gpu, kern_gpu_error *error);
    void (*close)(kern_gpu *gpu); /* NULL is fine; also after KERN_GPU_FAILED */
    /* Runs a pass of at most n_rows_max tokens in all. *cancel is polled (NULL: never). */
    kern_gpu_status (*forward)(kern_gpu *gpu, const kern_gpu_segment *segments, size_t n_segments, const bool *cancel, kern_gpu_error *error);
    /* Logits [n_rows][n_vocabulary] of rows first_row .. of the last pass, in the order of its segments. */
    kern_gpu_status (*logits)(kern_gpu *gpu, size_t first_row, size_t n_rows, float *ret_logits, kern_gpu_error *error);
    /* The last pass's states after the last norm [n_rows][n_hidden]. */
    kern_gpu_status (*states)(kern_gpu *gpu, size_t first_row, size_t n_rows, float *ret_states, kern_gpu_error *error);
    /* Brings sections into GPU memory ahead of a pass, as many as the budget holds, in a thread of its own. Later calls wait for it.
     * The blocks must stay until the next call on this kern_gpu returns. */
    kern_gpu_status (*prefetch)(kern_gpu *gpu, const kern_kv_block *sections_by_layer, size_t n_sections, kern_gpu_error *error);
    /* Forgets what is kept of host memory that is about to be freed or changed: a branch's or a section's first block. */
    void (*forget)(kern_gpu *gpu, const void *first_block);
    void (*get_stats)(const kern_gpu *gpu, kern_gpu_stats *ret_stats);
} kern_gpu_module;

typedef const kern_gpu_module *(*kern_gpu_module_get_fn)(void);

#ifdef __cplusplus
}
#endif
#endif
