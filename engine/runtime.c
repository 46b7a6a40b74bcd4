/* runtime.c: what runs a model, and the reading of sections.
 *
 * Owns: threads and activation buffers of one stream of work; batches of sections.
 * Does not own: the layers' arithmetic (forward.c), where the results are kept (cache*.c).
 */
#include "gpu.h"

#include <stdlib.h>
#include <string.h>

eng_status eng_fail_kern(eng_error *error, kern_status status)
{
    switch (status) {
    case KERN_OK: return ENG_OK;
    case KERN_NO_MEMORY: return eng_fail(error, ENG_NO_MEMORY, "not enough memory to run the model");
    case KERN_CANCELLED: return eng_fail(error, ENG_CANCELLED, "cancelled");
    case KERN_BAD_ARGUMENT: break;
    }
    return eng_fail(error, ENG_UNSUPPORTED, "the model's shape is outside what the kernels run: %s", kern_status_text(status));
}

static size_t align_bytes(size_t n_bytes) { return (n_bytes + KERN_ALIGN_BYTES - 1) / KERN_ALIGN_BYTES * KERN_ALIGN_BYTES; }

/* Lays the buffers out one after another; with a NULL arena it only counts. */
static size_t lay_out_buffers(eng_runtime *runtime, uint8_t *arena)
{
    const eng_model_info *info = &runtime->model->info;
    size_t rows = runtime->n_rows_max, q_cols = (size_t)info->n_heads * info->head_dim, kv_cols = (size_t)info->n_kv_heads * info->head_dim;
    bool dense = info->kv_format.key_type == KERN_KEY_CODE32 || info->kv_format.k_key == info->head_dim;
    struct {
        void **pointer;
        size_t n_bytes;
    } buffers[] = {
        {(void **)&runtime->x, rows * info->n_hidden * sizeof(float)},
        {(void **)&runtime->h, rows * info->n_hidden * sizeof(float)},
        {(void **)&runtime->q, rows * q_cols * sizeof(float)},
        {(void **)&runtime->k, rows * kv_cols * sizeof(float)},
        {(void **)&runtime->v, rows * kv_cols * sizeof(float)},
        {(void **)&runtime->attended, rows * q_cols * sizeof(float)},
        {(void **)&runtime->gate, rows * info->n_ffn * sizeof(float)},
        {(void **)&runtime->up, rows * info->n_ffn * sizeof(float)},
        {(void **)&runtime->rope_cos, rows * (info->head_dim / 2) * sizeof(float)},
        {(void **)&runtime->rope_sin, rows * (info->head_dim / 2) * sizeof(float)},
        {(void **)&runtime->queries.table, rows * info->n_heads * KERN_HEAD_DIM_MAX},
        {(void **)&runtime->queries.scale, rows * info->n_heads * sizeof(float)},
        {(void **)&runtime->queries.dense, dense ? rows * q_cols * sizeof(float) : 0},
    };
    size_t at = 0;
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        if (arena) *buffers[i].pointer = buffers[i].n_bytes ? arena + at : NULL;
        at += align_bytes(buffers[i].n_bytes);
    }
    return at;
}

static size_t rows_of(const eng_model_info *info)
{
    return info->section_tokens_max > ENG_PASS_ROWS ? info->section_tokens_max : ENG_PASS_ROWS;
}

size_t eng_runtime_buffer_bytes(eng_model *model)
{
    eng_runtime counted = {.model = model, .n_rows_max = rows_of(&model->info)};
    return lay_out_buffers(&counted, NULL);
}

eng_status eng_runtime_new(eng_model *model, const eng_runtime_options *options, eng_runtime **ret_runtime, eng_error *error)
{
    const eng_model_info *info = eng_model_get_info(model);
    eng_runtime *runtime = calloc(1, sizeof *runtime);
    if (!runtime) return eng_fail(error, ENG_NO_MEMORY, "not enough memory to run the model");
    runtime->model = model;
    runtime->n_rows_max = rows_of(info);
    size_t n_bytes = lay_out_buffers(runtime, NULL);
    runtime->arena = aligned_alloc(KERN_ALIGN_BYTES, n_bytes);
    if (!runtime->arena) {
        eng_runtime_free(runtime);
        return eng_fail(error, ENG_NO_MEMORY, "not enough memory to run the model: it needs %zu MB of buffers", n_bytes >> 20);
    }
    lay_out_buffers(runtime, runtime->arena);
    kern_status status = kern_context_new(options ? options->n_threads : 0, options ? options->pin_threads : false, &runtime->kern);
    if (status != KERN_OK) {
        eng_runtime_free(runtime);
        return eng_fail_kern(error, status);
    }
    eng_gpu_use use = options ? options->gpu : ENG_GPU_AUTO;
    if (use != ENG_GPU_NEVER) runtime->gpu = eng_gpu_new(model, options, runtime->n_rows_max);
    if (use == ENG_GPU_WANTED && !eng_gpu_runs(runtime->gpu)) {
        eng_gpu_info gpu;
        eng_gpu_get_info(runtime->gpu, &gpu);
        eng_runtime_free(runtime);
        return eng_fail(error, ENG_UNSUPPORTED, "the GPU cannot be used: %s", gpu.note[0] ? gpu.note : ENG_TEXT("not enough memory"));
    }
    *ret_runtime = runtime;
    return ENG_OK;
}

void eng_runtime_free(eng_runtime *runtime)
{
    if (!runtime) return;
    eng_gpu_free(runtime->gpu);
    kern_context_free(runtime->kern);
    free(runtime->arena);
    free(runtime);
}

void eng_runtime_get_gpu(const eng_runtime *runtime, eng_gpu_info *ret_info) { eng_gpu_get_info(runtime->gpu, ret_info); }

eng_model *eng_runtime_model(eng_runtime *runtime) { return runtime->model; }

void eng_runtime_set_cancel(eng_runtime *runtime, const bool *cancel)
{
    runtime->cancel = cancel;
    kern_context_set_cancel(runtime->kern, cancel);
}

void eng_runtime_get_stats(const eng_runtime *runtime, eng_runtime_stats *ret_stats)
{
    *ret_stats = runtime->stats;
}

uint32_t eng_section_capacity(uint32_t n_tokens) { return (n_tokens + KERN_UNIT_TOKENS - 1) / KERN_UNIT_TOKENS * KERN_UNIT_TOKENS; }

kern_kv_block *eng_sections_by_layer(const eng_model *model, const eng_section *sections, size_t n)
{
    size_t n_layers = model->info.n_layers;
    kern_kv_block *blocks = calloc(n_layers * n + 1, sizeof *blocks);
    if (!blocks) return NULL;
    for (size_t layer = 0; layer < n_layers; layer++)
        for (size_t i = 0; i < n; i++) blocks[layer * n + i] = sections[i].blocks[layer];
    return blocks;
}

static uint32_t first_position_of(const eng_model_info *info, const eng_read_job *job)
{
    if (job->first_position != UINT32_MAX) return job->first_position;
    if (info->section_mode == ENG_SECTIONS_INDEPENDENT) return info->end_position - job->n_tokens;
    uint32_t position = 0;
    for (size_t i = 0; i < job->n_before; i++) position += job->before[i].n_tokens;
    return position;
}

static eng_status check_read_job(const eng_model_info *info, const eng_read_job *job, eng_error *error)
{
    if (!job->n_tokens || job->n_tokens > info->section_tokens_max)
        return eng_fail(error, ENG_LIMIT, "a section of %u tokens: this model reads 1 to %u at a time", job->n_tokens, info->section_tokens_max);
    if (info->section_mode == ENG_SECTIONS_CONTINUOUS && (uint64_t)first_position_of(info, job) + job->n_tokens > info->n_context)
        return eng_fail(error, ENG_LIMIT, "this is longer than the %u tokens that %s reads in one go", info->n_context, info->name);
    for (uint32_t i = 0; i < job->n_tokens; i++)
        if (job->ids[i] >= info->n_vocabulary) return eng_fail(error, ENG_LIMIT, "token %u is not in the model's vocabulary", job->ids[i]);
    return ENG_OK;
}

/* Runs one batch that fits the buffers: the sections' rows one after another. */
static eng_status read_batch(eng_runtime *runtime, const eng_read_job *jobs, size_t n_jobs, eng_error *error)
{
    const eng_model_info *info = &runtime->model->info;
    eng_segment segments[ENG_SEGMENTS_MAX] = {0};
    kern_kv_block *before[ENG_SEGMENTS_MAX] = {0};
    eng_status status = ENG_OK;
    for (size_t i = 0; i < n_jobs && status == ENG_OK; i++) {
        const eng_read_job *job = &jobs[i];
        segments[i] = (eng_segment){.ids = job->ids, .n_tokens = job->n_tokens, .first_position = first_position_of(info, job),
                                    .blocks = job->blocks, .capacity = eng_section_capacity(job->n_tokens)};
        if (job->n_before) {
            before[i] = eng_sections_by_layer(runtime->model, job->before, job->n_before);
            if (!before[i]) status = eng_fail(error, ENG_NO_MEMORY, "not enough memory to read a section");
            segments[i].sections_by_layer = before[i];
            segments[i].n_sections = job->n_before;
        }
    }
    if (status == ENG_OK) status = eng_forward(runtime, &(eng_pass){.segments = segments, .n_segments = n_jobs}, NULL, error);
    size_t row = 0;
    for (size_t i = 0; i < n_jobs && status == ENG_OK; row += jobs[i].n_tokens, i++)
        if (jobs[i].ret_logits) status = eng_logits(runtime, row, jobs[i].n_tokens, jobs[i].ret_logits, error);
    for (size_t i = 0; i < n_jobs; i++) {
        eng_gpu_forget(runtime->gpu, jobs[i].blocks[0]); /* from now on they are found in the cache, by another address */
        free(before[i]);
    }
    return status;
}

eng_status eng_read(eng_runtime *runtime, const eng_read_job *jobs, size_t n_jobs, eng_error *error)
{
    const eng_model_info *info = &runtime->model->info;
    for (size_t i = 0; i < n_jobs; i++) {
        eng_status status = check_read_job(info, &jobs[i], error);
        if (status != ENG_OK) return status;
    }
    for (size_t first = 0, last; first < n_jobs; first = last) {
        size_t n_rows = 0;
        for (last = first; last < n_jobs && last - first < ENG_SEGMENTS_MAX && n_rows + jobs[last].n_tokens <= runtime->n_rows_max; last++)
            n_rows += jobs[last].n_tokens;
        eng_status status = read_batch(runtime, jobs + first, last - first, error);
        if (status != ENG_OK) return status;
    }
    return ENG_OK;
}
