/* plan.h: what one pass does in every layer, worked out once before the first. For plan.cu and pass.cu. */
#ifndef KERN_CUDA_PLAN_H
#define KERN_CUDA_PLAN_H

#include "module.h"

/* Attention of few rows over what is in GPU memory: one launch of the split kernel. */
typedef struct plan_decode {
    const gpu_group *groups; /* device */
    const gpu_part *parts;   /* device */
    int n_groups, n_parts, first_row, n_rows, columns;
} plan_decode;

/* A section that does not stay: uploaded to a slot for each layer. */
typedef struct plan_upload {
    const kern_kv_block *blocks; /* [n_layers] at `stride` */
    size_t stride, n_bytes, slot_offset;
} plan_upload;

/* Attention of many rows: one stretch of keys, expanded and multiplied. */
typedef struct plan_chunk {
    const gpu_expand_job *expand; /* device */
    const gpu_flash_job *jobs;    /* device */
    int n_expand, n_tiles_max, n_jobs, n_rows_max;
    int n_parts; /* 0: jobs write the result; else parts 0 .. n_parts - 1 are merged after it */
    int part_first_row, part_rows;
    bool last;
    int slot; /* of uploads; -1: none */
    size_t first_upload, n_uploads;
} plan_chunk;

/* Attention mass of sections first_section .. + n_sections of a segment: all of them stay, or all are uploaded to one slot, keys alone. */
typedef struct plan_mass {
    const gpu_section *sections; /* device */
    const uint32_t *first_part;  /* device [n + 1] */
    size_t first_section;
    int n_sections, n_parts, first_row, n_rows, offset;
    int slot; /* -1: they stay */
    size_t first_upload, n_uploads;
    const kern_gpu_segment *segment;
} plan_mass;

typedef struct gpu_plan {
    uint32_t n_rows;
    const uint32_t *ids, *position; /* device */
    const gpu_encode_segment *encode;
    int n_units_max;
    uint64_t offset[KERN_GPU_SEGMENTS_MAX]; /* of each segment's own copy in the pool */
    plan_decode *decode;
    plan_chunk *chunks;
    plan_upload *uploads;
    plan_mass *mass;
    size_t n_decode, n_chunks, n_uploads, n_mass;
    size_t descriptor_bytes;
    bool streams;
} gpu_plan;

kern_gpu_status gpu_plan_make(kern_gpu *gpu, const kern_gpu_segment *segments, size_t n_segments, gpu_plan *ret_plan, kern_gpu_error *error);
void gpu_plan_clear(gpu_plan *plan);

#endif
