/* module.cu: the module's exported table; devices; a model's way onto a GPU and off it.
 *
 * Owns: probing, memory, weights, buffers. Does not own: passes (pass.cu), sections (store.cu).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"

kern_gpu_status gpu_fail(kern_gpu_error *error, kern_gpu_status status, const char *format, ...)
{
    if (!error) return status;
    va_list args;
    va_start(args, format);
    error->status = status;
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return status;
}

kern_gpu_status gpu_fail_cuda(kern_gpu *gpu, kern_gpu_error *error, cudaError_t cuda, const char *what)
{
    cudaGetLastError(); /* clears what can be cleared */
    if (cuda == cudaErrorMemoryAllocation) return gpu_fail(error, KERN_GPU_NO_MEMORY, "the GPU has too little memory (%s)", what);
    gpu->failed = true;
    return gpu_fail(error, KERN_GPU_FAILED, "the GPU failed (%s: %s)", what, cudaGetErrorString(cuda));
}

void *gpu_allocate(kern_gpu *gpu, size_t n_bytes, const char *what, kern_gpu_error *error)
{
    void *memory = NULL;
    if (gpu->n_allocations == gpu->n_allocations_max) {
        void **more = (void **)realloc(gpu->allocations, (gpu->n_allocations_max + 256) * sizeof *more);
        if (!more) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory"), (void *)NULL;
        gpu->allocations = more;
        gpu->n_allocations_max += 256;
    }
    cudaError_t cuda = cudaMalloc(&memory, n_bytes ? n_bytes : 16);
    if (cuda != cudaSuccess) {
        char words[128];
        snprintf(words, sizeof words, "%s: %zu MB", what, n_bytes >> 20);
        gpu_fail_cuda(gpu, error, cuda, words);
        return NULL;
    }
    gpu->allocations[gpu->n_allocations++] = memory;
    return memory;
}

/* ------------------------------------------------------------------------------------------------------------ devices */

static size_t probe(kern_gpu_device *ret_devices, size_t n_max, kern_gpu_error *error)
{
    int n = 0;
    cudaError_t cuda = cudaGetDeviceCount(&n);
    if (cuda != cudaSuccess || n == 0) {
        cudaGetLastError();
        bool no_driver = cuda == cudaErrorInsufficientDriver;
        gpu_fail(error, KERN_GPU_NO_DEVICE, "%s", no_driver ? "no NVIDIA driver, or one too old for this program"
                                                  : cuda == cudaSuccess || cuda == cudaErrorNoDevice ? "no NVIDIA GPU" : cudaGetErrorString(cuda));
        return 0;
    }
    for (size_t i = 0; i < (size_t)n && i < n_max; i++) {
        kern_gpu_device *d = &ret_devices[i];
        cudaDeviceProp p;
        memset(d, 0, sizeof *d);
        cuda = cudaGetDeviceProperties(&p, (int)i);
        if (cuda != cudaSuccess) {
            cudaGetLastError();
            snprintf(d->reason, sizeof d->reason, "%s", cudaGetErrorString(cuda));
            continue;
        }
        snprintf(d->name, sizeof d->name, "%.127s", p.name);
        d->total_bytes = p.totalGlobalMem;
        d->capability_major = (uint32_t)p.major;
        d->capability_minor = (uint32_t)p.minor;
        d->n_multiprocessors = (uint32_t)p.multiProcessorCount;
        size_t free_bytes = 0, total_bytes = 0;
        if (cudaSetDevice((int)i) == cudaSuccess && cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess) d->free_bytes = free_bytes;
        else snprintf(d->reason, sizeof d->reason, "%s", cudaGetErrorString(cudaGetLastError()));
        if (p.major < 8) snprintf(d->reason, sizeof d->reason, "compute capability %d.%d; 8.0 or later is needed", p.major, p.minor);
        d->usable = !d->reason[0];
    }
    return (size_t)n;
}

/* ------------------------------------------------------------------------------------------------------------ weights */

static kern_gpu_status copy_floats(kern_gpu *gpu, const float *from, size_t n, float **to, kern_gpu_error *error)
{
    *to = NULL;
    if (!from) return KERN_GPU_OK;
    *to = (float *)gpu_allocate(gpu, n * sizeof(float), "weights", error);
    if (!*to) return error->status;
    GPU_TRY(cudaMemcpy(*to, from, n * sizeof(float), cudaMemcpyHostToDevice), "copying weights");
    gpu->weight_bytes += n * sizeof(float);
    return KERN_GPU_OK;
}

/* Rows in steps of 16 through a buffer on the GPU, widened to bf16 there. */
static kern_gpu_status widen_weight(kern_gpu *gpu, const kern_weight *from, gpu_weight *to, kern_gpu_error *error)
{
    __nv_bfloat16 *wide = (__nv_bfloat16 *)gpu_allocate(gpu, from->n_out * from->n_in * sizeof *wide, "weights", error);
    if (!wide) return error->status;
    to->bf16 = wide;
    gpu->weight_bytes += from->n_out * from->n_in * sizeof *wide;
    if (from->type == KERN_W_BF16) return gpu_store_upload(gpu, wide, from->data, from->n_out * from->n_in * sizeof *wide, error);
    size_t row_bytes = kern_weight_data_bytes(from->type, 16, from->n_in) / 16, scale_bytes = kern_weight_scales_bytes(from->type, 16, from->n_in) / 16;
    size_t step = (size_t)STREAM_BYTES / 2 / (row_bytes + scale_bytes) / 16 * 16;
    if (!step) return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "a matrix of %zu columns", from->n_in);
    uint8_t *buffer = gpu->slots; /* lent for the time of loading */
    for (size_t row = 0; row < from->n_out; row += step) {
        size_t n = from->n_out - row < step ? from->n_out - row : step;
        bool panels = from->type == KERN_W_Q8 || from->type == KERN_W_Q4;
        size_t stored = panels ? (n + 15) / 16 * 16 : n;
        GPU_TRY(cudaStreamSynchronize(gpu->stream), "copying weights");
        kern_gpu_status status = gpu_store_upload(gpu, buffer, (const uint8_t *)from->data + row * row_bytes, stored * row_bytes, error);
        if (status == KERN_GPU_OK && scale_bytes)
            status = gpu_store_upload(gpu, buffer + step * row_bytes, (const uint8_t *)from->scales + row * scale_bytes, stored * scale_bytes, error);
        if (status != KERN_GPU_OK) return status;
        GPU_TRY(cudaStreamSynchronize(gpu->store.stream), "copying weights");
        gpu_source source = {from->type, (int64_t)n, (int64_t)from->n_in, buffer, buffer + step * row_bytes};
        GPU_TRY(gpu_widen(&source, wide, row, n, gpu->stream), "converting weights");
    }
    return KERN_GPU_OK;
}

/* wide: kept in bf16 too, for many rows. */
static kern_gpu_status copy_weight(kern_gpu *gpu, const kern_weight *from, bool wide, gpu_weight *to, kern_gpu_error *error)
{
    memset(to, 0, sizeof *to);
    to->n_out = (int64_t)from->n_out;
    to->n_in = (int64_t)from->n_in;
    if (from->type == KERN_W_Q8) {
        size_t n_data = kern_weight_data_bytes(from->type, from->n_out, from->n_in), n_scales = kern_weight_scales_bytes(from->type, from->n_out, from->n_in);
        int8_t *data = (int8_t *)gpu_allocate(gpu, n_data, "weights", error);
        float *scales = (float *)gpu_allocate(gpu, n_scales, "weights", error);
        if (!data || !scales) return error->status;
        kern_gpu_status status = gpu_store_upload(gpu, data, from->data, n_data, error);
        if (status == KERN_GPU_OK) status = gpu_store_upload(gpu, scales, from->scales, n_scales, error);
        if (status != KERN_GPU_OK) return status;
        to->q8 = data;
        to->scales = scales;
        gpu->weight_bytes += n_data + n_scales;
        if (!wide) return KERN_GPU_OK;
    }
    return widen_weight(gpu, from, to, error);
}

static kern_gpu_status copy_layer(kern_gpu *gpu, const kern_gpu_layer *from, gpu_layer *to, kern_gpu_error *error)
{
    const kern_weight *weights[] = {&from->q_proj, &from->k_proj, &from->v_proj, &from->o_proj, &from->gate_proj, &from->up_proj, &from->down_proj};
    gpu_weight *copies[] = {&to->q, &to->k, &to->v, &to->o, &to->gate, &to->up, &to->down};
    size_t q_cols = (size_t)gpu->n_heads * gpu->format.d, kv_cols = (size_t)gpu->format.n_kv_heads * gpu->format.d;
    struct {
        const float *from;
        size_t n;
        float **to;
    } floats[] = {{from->input_norm, gpu->n_hidden, &to->input_norm}, {from->post_attention_norm, gpu->n_hidden, &to->post_norm},
                  {from->q_norm, (size_t)gpu->format.d, &to->q_norm}, {from->k_norm, (size_t)gpu->format.d, &to->k_norm},
                  {from->q_bias, q_cols, &to->q_bias}, {from->k_bias, kv_cols, &to->k_bias},
                  {from->v_bias, kv_cols, &to->v_bias}, {from->o_bias, gpu->n_hidden, &to->o_bias},
                  {from->rotations, kv_cols * gpu->format.d, &to->rotations}};
    kern_gpu_status status = KERN_GPU_OK;
    for (size_t i = 0; i < sizeof weights / sizeof weights[0] && status == KERN_GPU_OK; i++) status = copy_weight(gpu, weights[i], true, copies[i], error);
    for (size_t i = 0; i < sizeof floats / sizeof floats[0] && status == KERN_GPU_OK; i++)
        status = copy_floats(gpu, floats[i].from, floats[i].n, floats[i].to, error);
    return status;
}

static kern_gpu_status copy_rope(kern_gpu *gpu, const kern_gpu_model *model, kern_gpu_error *error)
{
    size_t n = (size_t)model->n_positions * (model->format.d / 2);
    float *cos_rows = (float *)malloc(n * sizeof *cos_rows), *sin_rows = (float *)malloc(n * sizeof *sin_rows);
    kern_gpu_status status = KERN_GPU_OK;
    if (cos_rows && sin_rows) {
        kern_rope_fill(model->rope_inv_freq, model->format.d, model->rope_attention_scale, 0, model->n_positions, cos_rows, sin_rows);
        status = copy_floats(gpu, cos_rows, n, &gpu->rope_cos, error);
        if (status == KERN_GPU_OK) status = copy_floats(gpu, sin_rows, n, &gpu->rope_sin, error);
    } else {
        status = gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory for the rotary tables");
    }
    free(cos_rows);
    free(sin_rows);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ buffers */

static kern_gpu_status make_buffers(kern_gpu *gpu, kern_gpu_error *error)
{
    size_t rows = gpu->n_rows_max, q_cols = (size_t)gpu->n_heads * gpu->format.d, kv_cols = (size_t)gpu->format.n_kv_heads * gpu->format.d;
    size_t widest = gpu->n_hidden > gpu->n_ffn ? gpu->n_hidden : gpu->n_ffn, kv = gpu->format.n_kv_heads;
    if (q_cols > widest) widest = q_cols;
    size_t row_parts = (size_t)PARTS_MAX * PART_ROWS > 3 * rows ? (size_t)PARTS_MAX * PART_ROWS : 3 * rows;
    size_t flash_parts = row_parts * gpu->n_heads, part_bytes = (size_t)DECODE_PARTS_MAX * kv * GPU_COLUMNS_MAX * GPU_PART_WORDS * 8;
    size_t tiles = SCRATCH_TOKENS / GPU_FLASH_KEYS;
    void *scratch = NULL;
    struct {
        void **pointer;
        size_t n_bytes;
    } buffers[] = {
        {(void **)&gpu->x, rows * gpu->n_hidden * 4}, {(void **)&gpu->states, rows * gpu->n_hidden * 4}, {(void **)&gpu->q, rows * q_cols * 4},
        {(void **)&gpu->k, rows * kv_cols * 4}, {(void **)&gpu->v, rows * kv_cols * 4}, {(void **)&gpu->attended, rows * q_cols * 4},
        {(void **)&gpu->gate, rows * gpu->n_ffn * 4}, {(void **)&gpu->up, rows * gpu->n_ffn * 4}, {(void **)&gpu->half, rows * widest * 2},
        {(void **)&gpu->parts, gpu_parts_halfs(GPU_GEMV_ROWS_MAX, (int)widest) * 2}, {(void **)&gpu->part_scale, GPU_GEMV_ROWS_MAX * 4},
        {(void **)&gpu->q_table, rows * gpu->n_heads * KERN_HEAD_DIM_MAX}, {(void **)&gpu->q_scale, rows * gpu->n_heads * 4},
        {(void **)&gpu->q_dense, gpu->host_format.key_type == KERN_KEY_CODE32 ? rows * q_cols * 4 : 0},
        {(void **)&gpu->out_ml, rows * gpu->n_heads * 8}, {(void **)&gpu->logits, (size_t)LOGITS_ROWS * gpu->n_vocabulary * 4},
        {&scratch, gpu_scratch_tile_bytes(&gpu->format) * tiles}, {(void **)&gpu->part_acc, flash_parts * KERN_HEAD_DIM_MAX * 4}, {(void **)&gpu->part_ml, flash_parts * 8},
        {(void **)&gpu->part_words, part_bytes}, {(void **)&gpu->arrived, kv * 8}, {(void **)&gpu->mass, MASS_PARTS * 4}, {(void **)&gpu->descriptor, DESCRIPTOR_BYTES},
        {(void **)&gpu->gather, GATHER_BYTES}};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        if (!buffers[i].n_bytes) continue;
        *buffers[i].pointer = gpu_allocate(gpu, buffers[i].n_bytes, "buffers", error);
        if (!*buffers[i].pointer) return error->status;
    }
    gpu->scratch = gpu_scratch_at(&gpu->format, scratch, tiles);
    gpu->gather_bytes = GATHER_BYTES;
    GPU_TRY(cudaMemset(gpu->part_words, 0, part_bytes), "clearing memory");
    GPU_TRY(cudaMemset(gpu->arrived, 0, kv * 8), "clearing memory");
    GPU_TRY(cudaMallocHost((void **)&gpu->descriptor_host, DESCRIPTOR_BYTES), "pinned memory");
    GPU_TRY(cudaMallocHost((void **)&gpu->gather_host, GATHER_BYTES), "pinned memory");
    GPU_TRY(cudaStreamCreateWithFlags(&gpu->fetch_stream, cudaStreamNonBlocking), "making a stream");
    gpu->encoded = (cudaEvent_t *)calloc(gpu->n_layers, sizeof *gpu->encoded);
    if (!gpu->encoded) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    for (uint32_t i = 0; i < gpu->n_layers; i++) GPU_TRY(cudaEventCreateWithFlags(&gpu->encoded[i], cudaEventDisableTiming), "making an event");
    for (int i = 0; i < 2; i++) GPU_TRY(cudaEventCreateWithFlags(&gpu->gathered[i], cudaEventDisableTiming), "making an event");
    return KERN_GPU_OK;
}

static kern_gpu_status check_model(const kern_gpu_model *model, kern_gpu_error *error)
{
    if (!kern_kv_format_valid(&model->format) || !model->n_layers || !model->n_kv_heads || model->n_heads % model->n_kv_heads || !model->n_rows_max ||
        model->n_hidden % 8 || model->n_ffn % 8 || !model->n_positions)
        return gpu_fail(error, KERN_GPU_BAD_ARGUMENT, "the model's shape is outside what the GPU's kernels run");
    return KERN_GPU_OK;
}

/* Half of the pool to the other half, which is empty yet: the median of some runs. */
static kern_gpu_status measure(kern_gpu *gpu, kern_gpu_error *error)
{
    enum { RUNS = 7 };
    size_t n = gpu->store.pool_bytes / 2 < (size_t)1 << 30 ? gpu->store.pool_bytes / 2 : (size_t)1 << 30;
    float ms[RUNS];
    gpu->attend_events = (cudaEvent_t *)calloc(2 * gpu->n_layers, sizeof *gpu->attend_events);
    if (!gpu->attend_events) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    for (uint32_t i = 0; i < 2 * gpu->n_layers; i++) GPU_TRY(cudaEventCreate(&gpu->attend_events[i]), "making an event");
    GPU_TRY(cudaMemsetAsync(gpu->store.pool, 0x5a, 2 * n, gpu->stream), "clearing memory");
    for (int i = -1; i < RUNS; i++) { /* the first warms up */
        GPU_TRY(cudaEventRecord(gpu->attend_events[0], gpu->stream), "recording an event");
        GPU_TRY(cudaMemcpyAsync(gpu->store.pool, gpu->store.pool + n, n, cudaMemcpyDeviceToDevice, gpu->stream), "copying");
        GPU_TRY(cudaEventRecord(gpu->attend_events[1], gpu->stream), "recording an event");
        GPU_TRY(cudaStreamSynchronize(gpu->stream), "copying");
        if (i < 0) continue;
        float one;
        GPU_TRY(cudaEventElapsedTime(&one, gpu->attend_events[0], gpu->attend_events[1]), "asking the time");
        int at = i;
        for (; at > 0 && ms[at - 1] > one; at--) ms[at] = ms[at - 1];
        ms[at] = one;
    }
    gpu->stats.copy_bytes_s = 2.0 * (double)n / (ms[RUNS / 2] * 1e-3);
    return KERN_GPU_OK;
}

static kern_gpu_status fill(kern_gpu *gpu, const kern_gpu_model *model, uint64_t budget_bytes, kern_gpu_error *error)
{
    size_t free_bytes = 0, total_bytes = 0;
    GPU_TRY(cudaSetDevice(gpu->device), "choosing the GPU");
    GPU_TRY(cudaDeviceGetAttribute(&gpu->n_multiprocessors, cudaDevAttrMultiProcessorCount, gpu->device), "asking the GPU");
    GPU_TRY(cudaStreamCreateWithFlags(&gpu->stream, cudaStreamNonBlocking), "making a stream");
    gpu->blas = gpu_blas_new(gpu->stream);
    if (!gpu->blas) return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    kern_gpu_status status = make_buffers(gpu, error);
    if (status == KERN_GPU_OK) status = gpu_store_begin(gpu, error);
    for (uint32_t i = 0; i < model->n_layers && status == KERN_GPU_OK; i++) status = copy_layer(gpu, &model->layers[i], &gpu->layers[i], error);
    if (status == KERN_GPU_OK) status = copy_weight(gpu, &model->embed, false, &gpu->embed, error);
    if (status == KERN_GPU_OK && model->embed.data == model->lm_head.data) gpu->lm_head = gpu->embed;
    else if (status == KERN_GPU_OK) status = copy_weight(gpu, &model->lm_head, false, &gpu->lm_head, error);
    if (status == KERN_GPU_OK) status = copy_floats(gpu, model->final_norm, model->n_hidden, &gpu->final_norm, error);
    if (status == KERN_GPU_OK) status = copy_rope(gpu, model, error);
    if (status != KERN_GPU_OK) return status;
    GPU_TRY(cudaDeviceSynchronize(), "copying weights");
    GPU_TRY(cudaMemGetInfo(&free_bytes, &total_bytes), "asking the GPU");
    uint64_t pool = free_bytes > total_bytes / 10 ? free_bytes - total_bytes / 10 : 0;
    if (budget_bytes && budget_bytes < pool) pool = budget_bytes;
    if (pool < (64u << 20)) return gpu_fail(error, KERN_GPU_NO_MEMORY, "the GPU has %zu MB left beside the model: too little for sections", free_bytes >> 20);
    gpu->stats.section_bytes_uploaded = 0; /* weights went the same way */
    status = gpu_store_open(gpu, pool, error);
    return status == KERN_GPU_OK && model->measure ? measure(gpu, error) : status;
}

static void close_gpu(kern_gpu *gpu)
{
    if (!gpu) return;
    cudaSetDevice(gpu->device);
    gpu_store_close(gpu);
    gpu_graph_free(gpu);
    gpu_blas_free(gpu->blas);
    for (size_t i = 0; i < gpu->n_allocations; i++) cudaFree(gpu->allocations[i]);
    for (int i = 0; i < STREAM_SLOTS; i++)
        if (gpu->slot_free[i]) cudaEventDestroy(gpu->slot_free[i]);
    for (uint32_t i = 0; gpu->attend_events && i < 2 * gpu->n_layers; i++)
        if (gpu->attend_events[i]) cudaEventDestroy(gpu->attend_events[i]);
    free(gpu->attend_events);
    for (uint32_t i = 0; gpu->encoded && i < gpu->n_layers; i++)
        if (gpu->encoded[i]) cudaEventDestroy(gpu->encoded[i]);
    free(gpu->encoded);
    for (int i = 0; i < 2; i++)
        if (gpu->gathered[i]) cudaEventDestroy(gpu->gathered[i]);
    if (gpu->fetch_stream) cudaStreamDestroy(gpu->fetch_stream);
    if (gpu->descriptor_host) cudaFreeHost(gpu->descriptor_host);
    if (gpu->gather_host) cudaFreeHost(gpu->gather_host);
    if (gpu->stream) cudaStreamDestroy(gpu->stream);
    free(gpu->allocations);
    free(gpu->layers);
    free(gpu);
    cudaGetLastError();
}

static kern_gpu_status open_gpu(const kern_gpu_model *model, uint32_t device, uint64_t budget_bytes, kern_gpu **ret_gpu, kern_gpu_error *error)
{
    kern_gpu_error unused;
    if (!error) error = &unused;
    kern_gpu_status status = check_model(model, error);
    if (status != KERN_GPU_OK) return status;
    kern_gpu *gpu = (kern_gpu *)calloc(1, sizeof *gpu);
    if (gpu) gpu->layers = (gpu_layer *)calloc(model->n_layers, sizeof *gpu->layers);
    if (!gpu || !gpu->layers) {
        free(gpu);
        return gpu_fail(error, KERN_GPU_NO_MEMORY, "not enough memory");
    }
    gpu->device = (int)device;
    gpu->n_layers = model->n_layers;
    gpu->n_hidden = model->n_hidden;
    gpu->n_heads = model->n_heads;
    gpu->n_ffn = model->n_ffn;
    gpu->n_vocabulary = model->n_vocabulary;
    gpu->n_rows_max = model->n_rows_max;
    gpu->n_positions = model->n_positions;
    gpu->norm_eps = model->norm_eps;
    gpu->host_format = model->format;
    gpu->format = gpu_format_of(&model->format, model->n_kv_heads);
    status = fill(gpu, model, budget_bytes, error);
    if (status != KERN_GPU_OK) {
        close_gpu(gpu);
        return status;
    }
    *ret_gpu = gpu;
    return KERN_GPU_OK;
}

static void forget(kern_gpu *gpu, const void *first_block)
{
    gpu_store_wait_prefetch(gpu);
    gpu_store_forget(gpu, first_block);
}

static void get_stats(const kern_gpu *gpu, kern_gpu_stats *ret_stats)
{
    *ret_stats = gpu->stats;
    ret_stats->weight_bytes = gpu->weight_bytes;
    ret_stats->note = gpu_blas_note(gpu->blas);
}

static const kern_gpu_module module = {KERN_GPU_ABI, "CUDA", probe, open_gpu, close_gpu, gpu_forward, gpu_logits, gpu_states, gpu_store_prefetch, forget, get_stats};

extern "C" __attribute__((visibility("default"))) const kern_gpu_module *kern_gpu_module_get(void)
{
    return &module;
}
