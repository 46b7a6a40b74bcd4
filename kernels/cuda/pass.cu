/* pass.cu: one forward pass on the GPU.
 *
 * Owns: the order of operations in a layer (as engine/forward.c has it), uploads of what streams, the way back of new keys and values.
 * Does not own: which kernels attend to what (plan.cu), where sections lie (store.cu).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plan.h"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + t.tv_nsec * 1e-9;
}

static bool cancelled(const bool *cancel)
{
    return cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED);
}

/* What the products of the next step read: rows as parts, for 8-bit weights and few rows, or as bf16. */
static kern_gpu_status prepare(kern_gpu *gpu, const float *x, const float *y, const float *weight, int op, uint32_t n_rows, uint32_t n, float *plain,
                               kern_gpu_error *error)
{
    gpu_prepared out = {};
    out.plain = plain;
    out.bf16 = gpu->half;
    if (n_rows <= GPU_GEMV_ROWS_MAX) out.parts = gpu_parts_at(gpu->parts, gpu->part_scale, (int)n_rows, (int)n);
    GPU_TRY(gpu_prepare(x, y, weight, gpu->norm_eps, (int)n_rows, (int)n, op, &out, gpu->stream), "preparing rows");
    return KERN_GPU_OK;
}

/* Products of the prepared rows with up to three matrices. */
static kern_gpu_status multiply(kern_gpu *gpu, const gpu_weight *const *weights, float *const *outs, int n, uint32_t n_rows, bool accumulate,
                                kern_gpu_error *error)
{
    if (n_rows <= GPU_GEMV_ROWS_MAX && weights[0]->q8) {
        gpu_gemv_args a = {};
        for (int i = 0; i < n; i++) {
            a.weight[i] = *weights[i];
            a.out[i] = outs[i];
            a.out_stride[i] = weights[i]->n_out;
            a.n_panels[i] = (int)((weights[i]->n_out + 15) / 16);
        }
        a.n_jobs = n;
        a.n_rows = (int)n_rows;
        a.accumulate = accumulate;
        a.parts = gpu_parts_at(gpu->parts, gpu->part_scale, (int)n_rows, (int)weights[0]->n_in);
        GPU_TRY(gpu_gemv(&a, gpu->stream), "multiplying");
        return KERN_GPU_OK;
    }
    for (int i = 0; i < n; i++)
        GPU_TRY(gpu_blas_product(gpu->blas, gpu->half, weights[i]->bf16, outs[i], weights[i]->n_out, (int)n_rows, (int)weights[i]->n_out,
                                 (int)weights[i]->n_in, accumulate, gpu->stream),
                "multiplying");
    return KERN_GPU_OK;
}

/* With a rotation, norm and RoPE are done with it, and coding finds rows that are ready. */
static kern_gpu_status rotate(kern_gpu *gpu, const gpu_plan *plan, const gpu_layer *w, gpu_encode_args *a, kern_gpu_error *error)
{
    if (!w->rotations) return KERN_GPU_OK;
    gpu_rotate_args r = {};
    r.n_rows = a->n_rows, r.d = gpu->format.d, r.norm_eps = a->norm_eps;
    r.rope_cos = a->rope_cos, r.rope_sin = a->rope_sin, r.position = plan->position;
    r.rotations = w->rotations, r.n_rotations = gpu->format.n_kv_heads;
    r.rows = gpu->q, r.n_heads = a->n_heads, r.norm = a->q_norm;
    GPU_TRY(gpu_rotate(&r, gpu->stream), "rotating queries");
    r.rows = gpu->k, r.n_heads = gpu->format.n_kv_heads, r.norm = a->k_norm;
    GPU_TRY(gpu_rotate(&r, gpu->stream), "rotating keys");
    a->q_norm = a->k_norm = NULL;
    a->rope_cos = a->rope_sin = NULL;
    return KERN_GPU_OK;
}

static kern_gpu_status project(kern_gpu *gpu, const gpu_plan *plan, uint32_t layer, size_t n_segments, kern_gpu_error *error)
{
    const gpu_layer *w = &gpu->layers[layer];
    kern_gpu_status status = prepare(gpu, gpu->x, NULL, w->input_norm, GPU_NORM, plan->n_rows, gpu->n_hidden, NULL, error);
    const gpu_weight *weights[] = {&w->q, &w->k, &w->v};
    float *outs[] = {gpu->q, gpu->k, gpu->v};
    if (status == KERN_GPU_OK) status = multiply(gpu, weights, outs, 3, plan->n_rows, false, error);
    if (status != KERN_GPU_OK) return status;
    const float *biases[] = {w->q_bias, w->k_bias, w->v_bias};
    for (int i = 0; i < 3; i++) GPU_TRY(gpu_bias(outs[i], (int)plan->n_rows, (int)weights[i]->n_out, biases[i], gpu->stream), "adding a bias");
    gpu_encode_args a = {};
    a.format = gpu->format;
    a.n_heads = (int)gpu->n_heads;
    a.layer = (int)layer;
    a.q = gpu->q, a.k = gpu->k, a.v = gpu->v;
    a.q_norm = w->q_norm, a.k_norm = w->k_norm;
    a.norm_eps = gpu->norm_eps;
    a.q_root = 1 / sqrtf((float)gpu->format.d);
    a.rope_cos = gpu->rope_cos, a.rope_sin = gpu->rope_sin;
    a.position = plan->position;
    a.n_rows = (int)plan->n_rows;
    a.table = gpu->q_table, a.scale = gpu->q_scale, a.dense = gpu->q_dense;
    a.segments = plan->encode;
    a.n_segments = (int)n_segments;
    a.n_units_max = plan->n_units_max;
    status = rotate(gpu, plan, w, &a, error);
    if (status != KERN_GPU_OK) return status;
    GPU_TRY(gpu_encode(&a, gpu->stream), "coding keys and queries");
    return KERN_GPU_OK;
}

static gpu_decode_args decode_args(kern_gpu *gpu, uint32_t layer)
{
    gpu_decode_args a = {};
    a.format = gpu->format;
    a.n_heads = (int)gpu->n_heads;
    a.layer = (int)layer;
    a.table = gpu->q_table, a.scale = gpu->q_scale, a.dense = gpu->q_dense;
    a.part_words = gpu->part_words;
    a.arrived = gpu->arrived;
    a.out = gpu->attended;
    a.out_stride = (int64_t)gpu->n_heads * gpu->format.d;
    a.out_ml = gpu->out_ml;
    return a;
}

/* Sections that do not stay: this layer's blocks to a slot, while what is in the other is still being worked on. slot < 0: nothing to do. */
static kern_gpu_status upload_to_slot(kern_gpu *gpu, const gpu_plan *plan, int slot, size_t first, size_t n, uint32_t layer, kern_gpu_error *error)
{
    if (slot < 0) return KERN_GPU_OK;
    GPU_TRY(cudaStreamWaitEvent(gpu->store.stream, gpu->slot_free[slot], 0), "waiting");
    for (size_t i = first; i < first + n; i++) {
        const plan_upload *u = &plan->uploads[i];
        kern_gpu_status status = gpu_store_upload(gpu, gpu->slots + u->slot_offset, u->blocks[layer * u->stride].data, u->n_bytes, error);
        if (status != KERN_GPU_OK) return status;
        gpu->stats.bytes_streamed += u->n_bytes;
    }
    GPU_TRY(cudaEventRecord(gpu->store.arrived, gpu->store.stream), "recording an event");
    GPU_TRY(cudaStreamWaitEvent(gpu->stream, gpu->store.arrived, 0), "waiting");
    return KERN_GPU_OK;
}

static kern_gpu_status attend_chunks(kern_gpu *gpu, const gpu_plan *plan, uint32_t layer, const bool *cancel, kern_gpu_error *error)
{
    for (size_t i = 0; i < plan->n_chunks; i++) {
        const plan_chunk *c = &plan->chunks[i];
        if (c->slot >= 0 && cancelled(cancel)) return gpu_fail(error, KERN_GPU_CANCELLED, "cancelled");
        kern_gpu_status status = upload_to_slot(gpu, plan, c->slot, c->first_upload, c->n_uploads, layer, error);
        if (status != KERN_GPU_OK) return status;
        GPU_TRY(gpu_expand(&gpu->format, &gpu->scratch, c->expand, c->n_expand, c->n_tiles_max, (int)layer, gpu->stream), "expanding keys");
        if (c->slot >= 0) GPU_TRY(cudaEventRecord(gpu->slot_free[c->slot], gpu->stream), "recording an event");
        gpu_flash_args a = {};
        a.format = gpu->format;
        a.n_heads = (int)gpu->n_heads;
        a.table = gpu->q_table, a.scale = gpu->q_scale, a.dense = gpu->q_dense;
        a.scratch = gpu->scratch;
        a.jobs = c->jobs, a.n_jobs = c->n_jobs, a.n_rows_max = c->n_rows_max;
        a.out = gpu->attended;
        a.out_stride = (int64_t)gpu->n_heads * gpu->format.d;
        a.part_acc = gpu->part_acc, a.part_ml = gpu->part_ml;
        a.part_rows = c->part_rows, a.part_first_row = c->part_first_row;
        a.out_ml = gpu->out_ml;
        GPU_TRY(gpu_flash(&a, gpu->stream), "attending");
        if (c->n_parts) GPU_TRY(gpu_flash_merge(&a, c->n_parts, c->last, gpu->stream), "merging");
    }
    return KERN_GPU_OK;
}

static kern_gpu_status attend(kern_gpu *gpu, const gpu_plan *plan, uint32_t layer, const bool *cancel, kern_gpu_error *error)
{
    for (size_t i = 0; i < plan->n_decode; i++) {
        gpu_decode_args a = decode_args(gpu, layer);
        a.groups = plan->decode[i].groups, a.parts = plan->decode[i].parts, a.n_groups = plan->decode[i].n_groups, a.n_parts = plan->decode[i].n_parts;
        a.first_row = plan->decode[i].first_row, a.n_rows = plan->decode[i].n_rows, a.columns = plan->decode[i].columns;
        GPU_TRY(gpu_decode(&a, gpu->stream), "attending");
    }
    kern_gpu_status status = attend_chunks(gpu, plan, layer, cancel, error);
    if (status != KERN_GPU_OK) return status;
    for (size_t i = 0; i < plan->n_mass; i++) {
        const plan_mass *m = &plan->mass[i];
        status = upload_to_slot(gpu, plan, m->slot, m->first_upload, m->n_uploads, layer, error);
        if (status != KERN_GPU_OK) return status;
        gpu_decode_args a = decode_args(gpu, layer);
        a.first_row = m->first_row, a.n_rows = m->n_rows;
        GPU_TRY(gpu_mass(&a, m->sections, m->first_part, m->n_sections, m->n_parts, gpu->mass + m->offset, gpu->stream), "summing attention");
        if (m->slot >= 0) GPU_TRY(cudaEventRecord(gpu->slot_free[m->slot], gpu->stream), "recording an event");
    }
    return KERN_GPU_OK;
}

/* x += W_o attended; x += FFN(norm(x)). */
static kern_gpu_status finish_layer(kern_gpu *gpu, uint32_t n_rows, uint32_t layer, kern_gpu_error *error)
{
    const gpu_layer *w = &gpu->layers[layer];
    const gpu_weight *o[] = {&w->o}, *in[] = {&w->gate, &w->up}, *down[] = {&w->down};
    float *x[] = {gpu->x}, *wide[] = {gpu->gate, gpu->up};
    kern_gpu_status status = prepare(gpu, gpu->attended, NULL, NULL, GPU_COPY, n_rows, gpu->n_heads * gpu->format.d, NULL, error);
    if (status == KERN_GPU_OK) status = multiply(gpu, o, x, 1, n_rows, true, error);
    if (status != KERN_GPU_OK) return status;
    GPU_TRY(gpu_bias(gpu->x, (int)n_rows, (int)gpu->n_hidden, w->o_bias, gpu->stream), "adding a bias");
    status = prepare(gpu, gpu->x, NULL, w->post_norm, GPU_NORM, n_rows, gpu->n_hidden, NULL, error);
    if (status == KERN_GPU_OK) status = multiply(gpu, in, wide, 2, n_rows, false, error);
    if (status == KERN_GPU_OK) status = prepare(gpu, gpu->gate, gpu->up, NULL, GPU_SWIGLU, n_rows, gpu->n_ffn, NULL, error);
    if (status == KERN_GPU_OK) status = multiply(gpu, down, x, 1, n_rows, true, error);
    return status;
}

/* ------------------------------------------------------------------------------- new keys and values, back to the host */

enum { EARLY_LAYERS = 2 }; /* fetched at once: the last ones are not hidden behind others */

/* What of one layer and KV head of a segment comes back: whole units of keys, rows and scales of values. */
typedef struct span {
    size_t keys_at, keys_bytes, rows_at, rows_bytes, scales_at, scales_bytes;
} span;

static span span_of(const gpu_format *f, uint32_t at, uint32_t n)
{
    size_t first = at / KERN_UNIT_TOKENS, end = (at + n + KERN_UNIT_TOKENS - 1) / KERN_UNIT_TOKENS;
    span s;
    s.keys_at = first * f->unit_bytes;
    s.keys_bytes = (end - first) * f->unit_bytes;
    s.rows_at = (size_t)at * f->row_bytes;
    s.rows_bytes = (size_t)n * f->row_bytes;
    s.scales_at = (size_t)at * f->n_scales * 2;
    s.scales_bytes = (size_t)n * f->n_scales * 2;
    return s;
}

static size_t round_16(size_t n) { return (n + 15) / 16 * 16; }

enum { GATHER_SHARE = 16 << 10 };

/* Blocks: (share of one of the three, head, layer): so many that one layer's fill the GPU. Sizes are multiples of 2; rows of unusual formats
 * are not multiples of 16. */
__global__ void __launch_bounds__(256) gather_kernel(gpu_section section, int first_layer, span s, uint8_t *out, size_t record_bytes, uint32_t shares)
{
    int layer = first_layer + blockIdx.z, head = blockIdx.y, which = blockIdx.x / shares;
    const uint8_t *base = section.base + layer * section.layer_stride;
    uint8_t *to = out + ((size_t)blockIdx.z * gridDim.y + head) * record_bytes;
    const uint8_t *from = which == 0 ? base + head * section.key_head_bytes + s.keys_at
                          : which == 1 ? base + section.rows_offset + head * section.row_head_bytes + s.rows_at
                                       : base + section.scales_offset + head * section.scale_head_bytes + s.scales_at;
    size_t n = which == 0 ? s.keys_bytes : which == 1 ? s.rows_bytes : s.scales_bytes, first = (size_t)(blockIdx.x % shares) * GATHER_SHARE;
    size_t keys = (s.keys_bytes + 15) / 16 * 16, rows = (s.rows_bytes + 15) / 16 * 16;
    to += which == 0 ? 0 : which == 1 ? keys : keys + rows;
    if (first >= n) return;
    from += first, to += first;
    n = n - first < GATHER_SHARE ? n - first : GATHER_SHARE;
    size_t done = (uintptr_t)from % 16 ? 0 : n / 16 * 16;
    for (size_t i = threadIdx.x; i < done / 16; i += blockDim.x) ((uint4 *)to)[i] = ((const uint4 *)from)[i];
    for (size_t i = done / 2 + threadIdx.x; i < n / 2; i += blockDim.x) ((uint16_t *)to)[i] = ((const uint16_t *)from)[i];
}

static void scatter(const kern_gpu *gpu, const gpu_section *section, const kern_gpu_segment *segment, uint32_t first_layer, uint32_t n_layers, const span *s,
                    size_t record_bytes, const uint8_t *gathered)
{
    for (uint32_t l = 0; l < n_layers; l++)
        for (int head = 0; head < gpu->format.n_kv_heads; head++) {
            const uint8_t *from = gathered + ((size_t)l * gpu->format.n_kv_heads + head) * record_bytes;
            uint8_t *to = (uint8_t *)segment->blocks[first_layer + l];
            memcpy(to + head * section->key_head_bytes + s->keys_at, from, s->keys_bytes);
            from += round_16(s->keys_bytes);
            memcpy(to + section->rows_offset + head * section->row_head_bytes + s->rows_at, from, s->rows_bytes);
            from += round_16(s->rows_bytes);
            memcpy(to + section->scales_offset + head * section->scale_head_bytes + s->scales_at, from, s->scales_bytes);
        }
}

/* Pieces on their way: while one is copied, the one before is put into the segment's blocks. */
typedef struct fetcher {
    const kern_gpu_segment *segment;
    gpu_section section;
    span s;
    uint32_t first_layer, n_layers;
    size_t record_bytes;
    int half; /* of the gathering memory */
    bool waiting;
} fetcher;

static kern_gpu_status finish_piece(kern_gpu *gpu, fetcher *f, kern_gpu_error *error)
{
    if (!f->waiting) return KERN_GPU_OK;
    f->waiting = false;
    GPU_TRY(cudaEventSynchronize(gpu->gathered[f->half]), "running the model");
    scatter(gpu, &f->section, f->segment, f->first_layer, f->n_layers, &f->s, f->record_bytes, gpu->gather_host + f->half * (gpu->gather_bytes / 2));
    return KERN_GPU_OK;
}

/* Starts piece `next`, then finishes the one before. */
static kern_gpu_status start_piece(kern_gpu *gpu, fetcher *f, fetcher next, cudaStream_t stream, kern_gpu_error *error)
{
    int kv = gpu->format.n_kv_heads;
    size_t at = (size_t)next.half * (gpu->gather_bytes / 2), most = next.s.keys_bytes > next.s.rows_bytes ? next.s.keys_bytes : next.s.rows_bytes;
    uint32_t shares = (uint32_t)((most + GATHER_SHARE - 1) / GATHER_SHARE);
    gather_kernel<<<dim3(3 * shares, kv, next.n_layers), 256, 0, stream>>>(next.section, (int)next.first_layer, next.s, gpu->gather + at, next.record_bytes,
                                                                         shares);
    GPU_TRY(cudaGetLastError(), "gathering");
    GPU_TRY(cudaMemcpyAsync(gpu->gather_host + at, gpu->gather + at, next.record_bytes * kv * next.n_layers, cudaMemcpyDeviceToHost, stream),
            "copying from the GPU");
    GPU_TRY(cudaEventRecord(gpu->gathered[next.half], stream), "recording an event");
    kern_gpu_status status = finish_piece(gpu, f, error);
    *f = next;
    f->waiting = status == KERN_GPU_OK;
    return status;
}

/* `early`: layers are fetched while later ones are worked on; a pass of few rows is waited for. */
static kern_gpu_status fetch_segment(kern_gpu *gpu, const gpu_plan *plan, const kern_gpu_segment *segment, size_t index, bool early, fetcher *f,
                                     kern_gpu_error *error)
{
    int kv = gpu->format.n_kv_heads;
    size_t half_bytes = gpu->gather_bytes / 2;
    gpu_section section = gpu_section_of(&gpu->host_format, kv, gpu->store.pool + plan->offset[index], segment->at + segment->n_tokens, segment->capacity);
    /* so many tokens at a time that a layer's fit */
    uint32_t most = (uint32_t)(half_bytes / kv / (gpu->format.unit_bytes / 16 + gpu->format.row_bytes + gpu->format.n_scales * 2 + 8)) / 16 * 16;
    most = most > 64 ? most - 32 : 32;
    uint32_t n_parts = (segment->n_tokens + most - 1) / most;
    span whole = span_of(&gpu->format, segment->at, segment->n_tokens < most ? segment->n_tokens : most);
    size_t record = round_16(whole.keys_bytes) + round_16(whole.rows_bytes) + round_16(whole.scales_bytes) + 64 + gpu->format.unit_bytes;
    uint32_t layers_each = (uint32_t)(half_bytes / (record * kv));
    if (!layers_each) return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "a format whose tokens are too large to copy back");
    if (early && layers_each > EARLY_LAYERS) layers_each = EARLY_LAYERS;
    for (uint32_t layer = 0; layer < gpu->n_layers; layer += layers_each) {
        uint32_t n_layers = gpu->n_layers - layer < layers_each ? gpu->n_layers - layer : layers_each;
        if (early) GPU_TRY(cudaStreamWaitEvent(gpu->fetch_stream, gpu->encoded[layer + n_layers - 1], 0), "waiting");
        for (uint32_t part = 0; part < n_parts; part++) {
            uint32_t done = part * most, n = segment->n_tokens - done < most ? segment->n_tokens - done : most;
            span s = span_of(&gpu->format, segment->at + done, n);
            fetcher next = {segment, section, s, layer, n_layers, round_16(s.keys_bytes) + round_16(s.rows_bytes) + round_16(s.scales_bytes), !f->half, false};
            kern_gpu_status status = start_piece(gpu, f, next, early ? gpu->fetch_stream : gpu->stream, error);
            if (status != KERN_GPU_OK) return status;
        }
    }
    return KERN_GPU_OK;
}

static kern_gpu_status fetch(kern_gpu *gpu, const gpu_plan *plan, const kern_gpu_segment *segments, size_t n_segments, kern_gpu_error *error)
{
    bool early = plan->n_rows > GPU_GEMV_ROWS_MAX; /* run_layers records when each layer's are there */
    fetcher f = {};
    for (size_t i = 0; i < n_segments; i++) {
        kern_gpu_status status = fetch_segment(gpu, plan, &segments[i], i, early, &f, error);
        if (status != KERN_GPU_OK) return status;
    }
    kern_gpu_status status = finish_piece(gpu, &f, error);
    if (status != KERN_GPU_OK) return status;
    GPU_TRY(cudaStreamSynchronize(gpu->stream), "running the model");
    for (size_t i = 0; i < plan->n_mass; i++) {
        const plan_mass *m = &plan->mass[i];
        float *host = (float *)gpu->gather_host; /* parts fit: GATHER_BYTES > MASS_PARTS floats */
        GPU_TRY(cudaMemcpyAsync(host, gpu->mass + m->offset, m->n_parts * sizeof *host, cudaMemcpyDeviceToHost, gpu->stream), "copying from the GPU");
        GPU_TRY(cudaStreamSynchronize(gpu->stream), "running the model");
        size_t part = 0;
        for (size_t s = m->first_section; s < m->first_section + m->n_sections; s++) {
            size_t n = (m->segment->sections_by_layer[s].n_tokens + KERN_MASS_TOKENS - 1) / KERN_MASS_TOKENS;
            for (size_t j = 0; j < n; j++, part++) m->segment->mass[m->segment->mass_first[s] + j] += host[part];
        }
    }
    return KERN_GPU_OK;
}

/* ------------------------------------------------------------------------------------------------------------- a pass */

static kern_gpu_status check(const kern_gpu *gpu, const kern_gpu_segment *segments, size_t n_segments, kern_gpu_error *error)
{
    size_t n_rows = 0;
    if (gpu->failed) return gpu_fail(error, KERN_GPU_FAILED, "the GPU failed earlier");
    if (!n_segments || n_segments > KERN_GPU_SEGMENTS_MAX) return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "a pass of %zu sequences", n_segments);
    for (size_t i = 0; i < n_segments; i++) {
        const kern_gpu_segment *s = &segments[i];
        n_rows += s->n_tokens;
        if (!s->n_tokens || s->at + s->n_tokens > s->capacity || s->capacity % KERN_UNIT_TOKENS)
            return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "%u tokens at %u of %u", s->n_tokens, s->at, s->capacity);
        if (s->first_position + s->n_tokens > gpu->n_positions)
            return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "position %u is beyond the %u kept on the GPU", s->first_position + s->n_tokens, gpu->n_positions);
        for (uint32_t j = 0; j < s->n_tokens; j++)
            if (s->ids[j] >= gpu->n_vocabulary) return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "token %u is not in the vocabulary", s->ids[j]);
        for (size_t j = 0; j < s->n_sections; j++)
            if (!s->sections_by_layer[j].n_tokens) return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "an empty section");
    }
    if (n_rows > gpu->n_rows_max) return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "a pass of %zu tokens: %u fit", n_rows, gpu->n_rows_max);
    return KERN_GPU_OK;
}

/* What the layers read that is not on the GPU yet. */
static kern_gpu_status send_plan(kern_gpu *gpu, const gpu_plan *plan, kern_gpu_error *error)
{
    GPU_TRY(cudaMemcpyAsync(gpu->descriptor, gpu->descriptor_host, plan->descriptor_bytes, cudaMemcpyHostToDevice, gpu->stream), "copying to the GPU");
    GPU_TRY(cudaEventRecord(gpu->store.arrived, gpu->store.stream), "recording an event");
    GPU_TRY(cudaStreamWaitEvent(gpu->stream, gpu->store.arrived, 0), "waiting");
    return KERN_GPU_OK;
}

static kern_gpu_status mark_attention(kern_gpu *gpu, size_t index, bool captured, kern_gpu_error *error)
{
    if (!gpu->attend_events) return KERN_GPU_OK;
    GPU_TRY(cudaEventRecordWithFlags(gpu->attend_events[index], gpu->stream, captured ? cudaEventRecordExternal : cudaEventRecordDefault), "recording an event");
    return KERN_GPU_OK;
}

static kern_gpu_status run_layers(kern_gpu *gpu, const gpu_plan *plan, size_t n_segments, bool captured, const bool *cancel, kern_gpu_error *error)
{
    if (plan->n_mass) {
        const plan_mass *last = &plan->mass[plan->n_mass - 1];
        GPU_TRY(cudaMemsetAsync(gpu->mass, 0, (last->offset + last->n_parts) * sizeof *gpu->mass, gpu->stream), "clearing memory");
    }
    GPU_TRY(gpu_embed(&gpu->embed, plan->ids, (int)plan->n_rows, gpu->x, gpu->stream), "embedding");
    for (uint32_t layer = 0; layer < gpu->n_layers; layer++) {
        if (cancelled(cancel)) return gpu_fail(error, KERN_GPU_CANCELLED, "cancelled");
        kern_gpu_status status = project(gpu, plan, layer, n_segments, error);
        if (status == KERN_GPU_OK && plan->n_rows > GPU_GEMV_ROWS_MAX) GPU_TRY(cudaEventRecord(gpu->encoded[layer], gpu->stream), "recording an event");
        if (status == KERN_GPU_OK) status = mark_attention(gpu, layer * 2, captured, error);
        if (status == KERN_GPU_OK) status = attend(gpu, plan, layer, cancel, error);
        if (status == KERN_GPU_OK) status = mark_attention(gpu, layer * 2 + 1, captured, error);
        if (status == KERN_GPU_OK) status = finish_layer(gpu, plan->n_rows, layer, error);
        if (status != KERN_GPU_OK) return status;
    }
    return prepare(gpu, gpu->x, NULL, gpu->final_norm, GPU_NORM, plan->n_rows, gpu->n_hidden, gpu->states, error);
}

/* ------------------------------------------------------------------------------------- passes of few rows, as graphs */

/* Everything that the launches of a pass of few rows are given, beside what is the same for the whole life of the kern_gpu: two passes with
 * the same key launch the same. What differs from token to token (positions, lengths) is in the descriptor. */
enum { GRAPH_DECODES_MAX = 4, GRAPH_MASSES_MAX = 4 };
typedef struct graph_key {
    size_t n_segments, n_decode, n_mass;
    const void *ids, *position, *encode;
    uint32_t n_rows, n_units_max;
    plan_decode decode[GRAPH_DECODES_MAX];
    struct {
        const void *sections, *first_part;
        int n_sections, n_parts, first_row, n_rows, offset;
    } mass[GRAPH_MASSES_MAX];
} graph_key;

struct gpu_graph {
    graph_key key;
    cudaGraphExec_t exec; /* NULL: the key was seen once */
    bool refused;         /* the driver did not make one: passes are launched kernel by kernel */
};

void gpu_graph_free(kern_gpu *gpu)
{
    if (!gpu->graph) return;
    if (gpu->graph->exec) cudaGraphExecDestroy(gpu->graph->exec);
    free(gpu->graph);
    gpu->graph = NULL;
}

/* False: not a pass for a graph: many rows, or something streams. */
static bool make_key(const kern_gpu *gpu, const gpu_plan *plan, size_t n_segments, graph_key *ret_key)
{
    memset(ret_key, 0, sizeof *ret_key); /* padding too: keys are compared as bytes */
    if (plan->n_rows > GPU_GEMV_ROWS_MAX || plan->n_chunks || plan->streams || plan->n_decode > GRAPH_DECODES_MAX || plan->n_mass > GRAPH_MASSES_MAX)
        return false;
    for (uint32_t i = 0; i < gpu->n_layers; i++) { /* cuBLAS may do what a graph does not take */
        const gpu_layer *w = &gpu->layers[i];
        if (!w->q.q8 || !w->o.q8 || !w->gate.q8 || !w->down.q8) return false;
    }
    ret_key->n_segments = n_segments, ret_key->n_decode = plan->n_decode, ret_key->n_mass = plan->n_mass;
    ret_key->ids = plan->ids, ret_key->position = plan->position, ret_key->encode = plan->encode;
    ret_key->n_rows = plan->n_rows, ret_key->n_units_max = (uint32_t)plan->n_units_max;
    for (size_t i = 0; i < plan->n_decode; i++) memcpy(&ret_key->decode[i], &plan->decode[i], sizeof plan->decode[i]);
    for (size_t i = 0; i < plan->n_mass; i++) {
        const plan_mass *m = &plan->mass[i];
        ret_key->mass[i].sections = m->sections, ret_key->mass[i].first_part = m->first_part;
        ret_key->mass[i].n_sections = m->n_sections, ret_key->mass[i].n_parts = m->n_parts, ret_key->mass[i].offset = m->offset;
        ret_key->mass[i].first_row = m->first_row, ret_key->mass[i].n_rows = m->n_rows;
    }
    return true;
}

/* Records the pass instead of running it. Whatever goes wrong here leaves the stream as it was: then it is run kernel by kernel. */
static void record_graph(kern_gpu *gpu, const gpu_plan *plan, size_t n_segments)
{
    kern_gpu_error unused;
    cudaGraph_t graph = NULL;
    bool failed = gpu->failed;
    if (cudaStreamBeginCapture(gpu->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
        gpu->graph->refused = true;
        cudaGetLastError();
        return;
    }
    kern_gpu_status status = run_layers(gpu, plan, n_segments, true, NULL, &unused);
    if (cudaStreamEndCapture(gpu->stream, &graph) != cudaSuccess || status != KERN_GPU_OK ||
        cudaGraphInstantiateWithFlags(&gpu->graph->exec, graph, 0) != cudaSuccess) {
        gpu->graph->exec = NULL;
        gpu->graph->refused = true;
        gpu->failed = failed;
        cudaGetLastError();
    }
    if (graph) cudaGraphDestroy(graph);
}

/* A token's pass is some hundred launches of a few microseconds each: from the second of its kind on it is launched as one. */
static kern_gpu_status run_pass(kern_gpu *gpu, const gpu_plan *plan, size_t n_segments, const bool *cancel, kern_gpu_error *error)
{
    graph_key key;
    kern_gpu_status status = send_plan(gpu, plan, error);
    if (status != KERN_GPU_OK) return status;
    if (!gpu->graph) gpu->graph = (struct gpu_graph *)calloc(1, sizeof *gpu->graph);
    if (!gpu->graph || gpu->graph->refused || !make_key(gpu, plan, n_segments, &key)) return run_layers(gpu, plan, n_segments, false, cancel, error);
    bool same = memcmp(&key, &gpu->graph->key, sizeof key) == 0;
    if (!same && gpu->graph->exec) {
        cudaGraphExecDestroy(gpu->graph->exec); /* the pass that used it was waited for */
        gpu->graph->exec = NULL;
    }
    memcpy(&gpu->graph->key, &key, sizeof key);
    if (same && !gpu->graph->exec) record_graph(gpu, plan, n_segments);
    if (!gpu->graph->exec) return run_layers(gpu, plan, n_segments, false, cancel, error);
    GPU_TRY(cudaGraphLaunch(gpu->graph->exec, gpu->stream), "running the model");
    return KERN_GPU_OK;
}

kern_gpu_status gpu_forward(kern_gpu *gpu, const kern_gpu_segment *segments, size_t n_segments, const bool *cancel, kern_gpu_error *error)
{
    gpu_store_wait_prefetch(gpu);
    kern_gpu_status status = check(gpu, segments, n_segments, error);
    if (status != KERN_GPU_OK) return status;
    GPU_TRY(cudaSetDevice(gpu->device), "choosing the GPU");
    gpu_plan *plan = (gpu_plan *)calloc(1, sizeof *plan);
    if (!plan) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    double start = now_s();
    status = gpu_plan_make(gpu, segments, n_segments, plan, error);
    if (status == KERN_GPU_OK) status = run_pass(gpu, plan, n_segments, cancel, error);
    if (status == KERN_GPU_OK) status = fetch(gpu, plan, segments, n_segments, error);
    for (uint32_t layer = 0; status == KERN_GPU_OK && gpu->attend_events && layer < gpu->n_layers; layer++) {
        float ms = 0;
        if (cudaEventElapsedTime(&ms, gpu->attend_events[layer * 2], gpu->attend_events[layer * 2 + 1]) == cudaSuccess) gpu->stats.attend_s += ms * 1e-3;
    }
    if (plan->streams) gpu->stats.stream_s += now_s() - start;
    gpu->last_rows = status == KERN_GPU_OK ? plan->n_rows : 0;
    gpu_plan_clear(plan);
    free(plan);
    if (status != KERN_GPU_OK && !gpu->failed) { /* what was enqueued may still write; nothing of this pass is kept */
        cudaStreamSynchronize(gpu->stream);
        cudaStreamSynchronize(gpu->fetch_stream);
        for (size_t i = 0; i < n_segments; i++) gpu_store_forget(gpu, segments[i].blocks[0]);
    }
    gpu_store_unpin(gpu);
    return status;
}

kern_gpu_status gpu_logits(kern_gpu *gpu, size_t first_row, size_t n_rows, float *ret_logits, kern_gpu_error *error)
{
    if (gpu->failed) return gpu_fail(error, KERN_GPU_FAILED, "the GPU failed earlier");
    if (first_row + n_rows > gpu->last_rows) return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "rows %zu to %zu of %u", first_row, first_row + n_rows, gpu->last_rows);
    for (size_t at = 0; at < n_rows; at += LOGITS_ROWS) {
        uint32_t n = (uint32_t)(n_rows - at < LOGITS_ROWS ? n_rows - at : LOGITS_ROWS);
        const gpu_weight *w[] = {&gpu->lm_head};
        float *out[] = {gpu->logits};
        kern_gpu_status status = prepare(gpu, gpu->states + (first_row + at) * gpu->n_hidden, NULL, NULL, GPU_COPY, n, gpu->n_hidden, NULL, error);
        if (status == KERN_GPU_OK) status = multiply(gpu, w, out, 1, n, false, error);
        if (status != KERN_GPU_OK) return status;
        GPU_TRY(cudaMemcpyAsync(ret_logits + at * gpu->n_vocabulary, gpu->logits, (size_t)n * gpu->n_vocabulary * sizeof(float), cudaMemcpyDeviceToHost,
                                gpu->stream),
                "copying from the GPU");
        GPU_TRY(cudaStreamSynchronize(gpu->stream), "running the model");
    }
    return KERN_GPU_OK;
}

kern_gpu_status gpu_states(kern_gpu *gpu, size_t first_row, size_t n_rows, float *ret_states, kern_gpu_error *error)
{
    if (gpu->failed) return gpu_fail(error, KERN_GPU_FAILED, "the GPU failed earlier");
    if (first_row + n_rows > gpu->last_rows) return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "rows %zu to %zu of %u", first_row, first_row + n_rows, gpu->last_rows);
    GPU_TRY(cudaMemcpyAsync(ret_states, gpu->states + first_row * gpu->n_hidden, n_rows * gpu->n_hidden * sizeof(float), cudaMemcpyDeviceToHost, gpu->stream),
            "copying from the GPU");
    GPU_TRY(cudaStreamSynchronize(gpu->stream), "running the model");
    return KERN_GPU_OK;
}
