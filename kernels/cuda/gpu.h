/* gpu.h: what the files of the CUDA module share.
 *
 * Owns: device-side descriptions (formats, sections, work lists), the launch functions' contracts, error plumbing.
 * Does not own: the module's public contract (kern-gpu.h).
 *
 * Every launch function only enqueues on the given stream and returns the launch's own status; pointers are device memory unless
 * a name says host. Matrices are row-major; activations are float.
 */
#ifndef KERN_CUDA_GPU_H
#define KERN_CUDA_GPU_H

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

#include "kern-gpu.h"
#include "kern.h"

enum {
    GPU_TILE_TOKENS = 32,       /* decode: tokens of one step of a warp */
    GPU_COLUMNS_MAX = 8,        /* decode: query rows x heads that share one reading of keys and values */
    GPU_FLASH_KEYS = 64,        /* prefill: keys of one expanded tile */
    GPU_FLASH_ROWS = 128,       /* prefill: query rows of one thread block */
    GPU_SUM_ROWS = 8,           /* prefill: rows after the values' 128 features; the first is constant, so that P V sums the weights too */
    GPU_EXPONENT_MIN = -15,     /* of an expanded tile's values: 2^-exponent is an f16 number */
    GPU_EXPONENT_MAX = 24,
    GPU_TILE_GAPS = 1 << 16,    /* added to the exponent of a tile that has places without a key, in lane_scale */
    GPU_LANE_FLOATS = 68,       /* of lane_scale, for a tile */
    GPU_PART_WORDS = 130,       /* decode: of a part's column: 128 sums, their maximum (base 2), the sum of weights */
    GPU_GEMV_ROWS_MAX = 16,
};

/* The scale of a place without a key. */
#define GPU_NO_KEY 3e38f

/* A format with all that kernels derive from it. */
typedef struct gpu_format {
    int d, k_key, k_query, value_group, key_type, value_type, n_kv_heads;
    int unit_bytes, index_bytes, row_bytes, n_scales;
} gpu_format;
gpu_format gpu_format_of(const kern_kv_format *format, size_t n_kv_heads);

/* A section's (or a branch's own) keys and values: all layers one after another, each laid out as kern_kv_layout says. */
typedef struct gpu_section {
    const uint8_t *base;
    uint64_t layer_stride;
    uint64_t key_head_bytes, row_head_bytes, scale_head_bytes, rows_offset, scales_offset;
    uint32_t n_tokens, capacity;
} gpu_section;
gpu_section gpu_section_of(const kern_kv_format *format, size_t n_kv_heads, const void *base, size_t n_tokens, size_t capacity);

/* --------------------------------------------------------------------------------------------------------- encode */

/* Where the keys and values of a sequence go: rows first_row .. of the pass are tokens at .. of the block. */
typedef struct gpu_encode_segment {
    gpu_section where; /* strides and base; written to */
    uint32_t first_row, n_rows, at;
} gpu_encode_segment;

typedef struct gpu_encode_args {
    gpu_format format;
    int n_heads, layer;
    const float *q, *k, *v; /* [rows][heads * d]; q NULL: no queries; k NULL: neither keys nor values */
    const float *q_norm, *k_norm; /* NULL: none */
    float norm_eps, q_root; /* q_root: 1 / sqrt(d) */
    const float *rope_cos, *rope_sin; /* [positions][d/2]; NULL: none */
    const uint32_t *position; /* [rows]: of a row, in the tables; NULL: its own number */
    int n_rows;     /* rows of queries */
    int8_t *table;  /* [n_rows][n_heads][128] */
    float *scale;   /* [n_rows][n_heads] */
    float *dense;   /* [n_rows][n_heads][d], NULL: not wanted */
    const gpu_encode_segment *segments;
    int n_segments, n_units_max; /* the most units of 16 tokens that a segment touches */
} gpu_encode_args;
cudaError_t gpu_encode(const gpu_encode_args *args, cudaStream_t stream);

/* Norm, RoPE and a rotation in place, for gpu_encode without norm and RoPE to follow. */
typedef struct gpu_rotate_args {
    float *rows; /* [n_rows][n_heads * d] */
    int n_rows, n_heads, d;
    const float *norm; /* as in gpu_encode_args */
    float norm_eps;
    const float *rope_cos, *rope_sin;
    const uint32_t *position;
    const float *rotations; /* [n_rotations][d][d], as in kern_encode_params */
    int n_rotations;
} gpu_rotate_args;
cudaError_t gpu_rotate(const gpu_rotate_args *args, cudaStream_t stream);

/* ------------------------------------------------------------------------------------------------------- attention */

/* A group of query columns that read the same tokens: query rows first_row .. + n_rows (rows x heads <= 8 columns), KV group heads
 * first_head .. + n_heads. Rows see all of the sections, or, when causal, tokens 0 .. causal_before + row - first_row of each. */
typedef struct gpu_group {
    const gpu_section *sections;
    const uint32_t *first_tile; /* [n_sections + 1]: tiles of GPU_TILE_TOKENS before each section */
    uint32_t n_sections, n_tiles;
    uint32_t first_row, n_rows, first_head, n_heads;
    uint32_t causal, causal_before;
    uint32_t first_part, n_splits;
} gpu_group;

/* A thread block's tiles of a group, and the section of the first: nothing else has to be read before keys are asked for. */
typedef struct gpu_part {
    gpu_section section;
    gpu_group group;
    uint32_t section_index, section_first, section_end; /* tiles before it, and with it */
    uint32_t first, end;                                /* of the part */
    uint32_t padding;
} gpu_part;

typedef struct gpu_decode_args {
    gpu_format format;
    int n_heads, layer;
    const int8_t *table;
    const float *scale, *dense;
    const gpu_group *groups;
    const gpu_part *parts;
    int n_groups, n_parts; /* n_parts: the sum of n_splits: thread blocks for each KV head */
    int first_row, n_rows; /* rows whose results are merged */
    int columns;           /* the most columns of a group */
    uint64_t *part_words;  /* [n_parts][n_kv_heads][8 columns][GPU_PART_WORDS]: numbers with their launch's mark; zero before the first launch */
    uint32_t *arrived;     /* [n_kv_heads][2]: thread blocks that have come, left zero; launches so far. Zero before the first launch */
    float *out;            /* [n_rows_total][out_stride] */
    int64_t out_stride;
    float2 *out_ml;        /* [rows][n_heads] of the merged softmax (mass); NULL: not wanted */
} gpu_decode_args;
/* A group's parts, from its host-side tables. Returns how many. */
int gpu_decode_parts(const gpu_format *format, const gpu_group *g, const gpu_section *host_sections, const uint32_t *host_first_tile, gpu_part *ret_parts);
cudaError_t gpu_decode(const gpu_decode_args *args, cudaStream_t stream);
/* Thread blocks of it that a multiprocessor runs at once: n_parts is best such that all run. */
int gpu_decode_blocks(const gpu_format *format);
/* Hopper's own version, where it applies. */
bool gpu_decode_sm90_applies(const gpu_format *format);
cudaError_t gpu_decode_sm90(const gpu_decode_args *args, cudaStream_t stream);
void gpu_decode_choose(int version); /* for tests and benchmarks: 0 the best, 1 the common one */

/* Attention mass by parts of KERN_MASS_TOKENS tokens of one section, added: mass[part] += sum over rows and heads of weights. */
cudaError_t gpu_mass(const gpu_decode_args *args, const gpu_section *sections, const uint32_t *first_part, int n_sections, int n_parts,
                     float *mass, cudaStream_t stream);

/* Keys and values of tokens first .. first + n of a section in dense tiles of 64 keys, from tile `tile` of the scratch on. */
typedef struct gpu_expand_job {
    gpu_section section;
    uint32_t first, n_tokens, tile;
} gpu_expand_job;

typedef struct gpu_scratch {
    uint32_t n_tiles; /* capacity for each KV head */
    uint8_t *keys;    /* s8 [kv_heads][n_tiles][64 keys][128], or f16 [..][2][64][64]; 16-byte pieces exchanged by row & 7 */
    __half *values;   /* [kv_heads][n_tiles][d (64, or 128 and GPU_SUM_ROWS)][64 keys], pieces exchanged likewise */
    float2 *key_scale; /* [kv_heads][n_tiles][64]: scale, and what is added: -12582912 * scale (8-bit), -inf where there is no key */
    float *lane_scale; /* [kv_heads][n_tiles][68]: 64 scales, as lanes of Hopper's products need them, and 4 times the exponent (expand.cu) */
    int *value_exponent; /* [kv_heads][n_tiles]: values are stored divided by 2^this; row 128 is 2^-this */
} gpu_scratch;
size_t gpu_scratch_tile_bytes(const gpu_format *format);
gpu_scratch gpu_scratch_at(const gpu_format *format, void *memory, size_t n_tiles);

typedef struct gpu_flash_job {
    uint32_t first_row, n_rows; /* query tokens */
    uint32_t tile, n_keys;      /* keys in the scratch */
    int32_t causal_before;      /* row i sees keys 0 .. causal_before + i; INT32_MAX: all */
    uint32_t part;              /* UINT32_MAX: finished, to out; else the part to leave the state in */
} gpu_flash_job;

typedef struct gpu_flash_args {
    gpu_format format;
    int n_heads, layer;
    const int8_t *table;
    const float *scale, *dense;
    gpu_scratch scratch;
    const gpu_flash_job *jobs; /* device */
    int n_jobs, n_rows_max;    /* the most rows of a job */
    float *out;
    int64_t out_stride;
    float *part_acc;  /* [parts][part_rows * n_heads][d] */
    float2 *part_ml;  /* [parts][part_rows * n_heads] */
    int part_rows, part_first_row;
    float2 *out_ml;   /* as in gpu_decode_args */
} gpu_flash_args;
cudaError_t gpu_expand(const gpu_format *format, const gpu_scratch *scratch, const gpu_expand_job *jobs, int n_jobs, int n_tiles_max, int layer,
                       cudaStream_t stream);
cudaError_t gpu_flash(const gpu_flash_args *args, cudaStream_t stream);
/* Merges parts 0 .. n_parts - 1 into part 0, or, when `last`, into out. */
cudaError_t gpu_flash_merge(const gpu_flash_args *args, int n_parts, bool last, cudaStream_t stream);
/* Hopper's own version; cudaErrorNotSupported where it does not apply. in_pairs: thread blocks in pairs, however few rows there are. */
cudaError_t gpu_flash_sm90(const gpu_flash_args *args, bool in_pairs, cudaStream_t stream);
void gpu_flash_choose(int version); /* for tests and benchmarks: 0 the best, 1 the common one, 2 the best, in pairs of thread blocks */

#endif
