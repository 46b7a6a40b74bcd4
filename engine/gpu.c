/* gpu.c: passes on a GPU; see gpu.h.
 *
 * Owns: the module's file and its life, when a GPU is opened and when it is given up.
 * Does not own: what a pass computes; the CPU's way of doing it (forward.c), which is always there.
 *
 * A GPU is opened by the first pass that is worth its start (about half a second and the weights' upload): a short question over a short
 * text is answered by the CPU before a GPU would be ready.
 */
#include "gpu.h"
#include "cache-fetch.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng-config.h"

enum {
    OPEN_ROWS = 256,           /* a pass of so many rows, or over so many tokens, opens the GPU */
    OPEN_TOKENS = 16384,
    POSITIONS_MAX = 1 << 18,   /* rotary tables on the GPU: beyond, the CPU goes on */
    BRANCH_POSITIONS = 1 << 14, /* in section mode: a question and its turns */
    DEVICES_MAX = 16,
};

struct eng_gpu {
    const eng_model *model;
    uint64_t memory_bytes;
    size_t n_rows_max;
    bool measures;
    bool waiting; /* not opened yet: for a pass that is worth it */
    const kern_gpu_module *module;
    kern_gpu *kern;
    char name[128], note[ENG_MESSAGE_BYTES];
    bool failed;
    uint64_t passes, passes_on_cpu;
    kern_gpu_stats last_stats; /* of a GPU that was given up */
};

/* ---------------------------------------------------------------------------------------------------------- the module */

static const kern_gpu_module *given_module; /* eng_gpu_set_module */
static const kern_gpu_module *file_module;
static char module_problem[ENG_MESSAGE_BYTES];
static pthread_once_t module_once = PTHREAD_ONCE_INIT;

void eng_gpu_set_module(const kern_gpu_module *module) { given_module = module; }

/* Once a process: a module stays loaded, for CUDA's own threads may outlive its last use. */
static void load_module(void)
{
    const char *path = getenv("LECTERN_GPU_MODULE");
    if (!path || !*path) path = ENG_GPU_MODULE_PATH;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(module_problem, sizeof module_problem, ENG_TEXT("this program was built without the GPU module"));
        if (getenv("LECTERN_GPU_MODULE")) snprintf(module_problem, sizeof module_problem, "%s", dlerror());
        return;
    }
    kern_gpu_module_get_fn get = (kern_gpu_module_get_fn)dlsym(library, KERN_GPU_SYMBOL);
    const kern_gpu_module *module = get ? get() : NULL;
    if (!module || module->abi != KERN_GPU_ABI) {
        snprintf(module_problem, sizeof module_problem, "%s is of another version than this program", path);
        dlclose(library);
        return;
    }
    file_module = module;
}

static const kern_gpu_module *find_module(void)
{
    if (given_module) return given_module;
    pthread_once(&module_once, load_module);
    return file_module;
}

/* The usable device with most free memory; false: none, and why. */
static bool choose_device(const kern_gpu_module *module, uint32_t *ret_device, char *name, size_t n_name, char *ret_why, size_t n_why)
{
    kern_gpu_device devices[DEVICES_MAX];
    kern_gpu_error problem = {.message = ENG_TEXT("no GPU")};
    size_t n = module->probe(devices, DEVICES_MAX, &problem);
    const kern_gpu_device *best = NULL;
    snprintf(ret_why, n_why, "%s", problem.message);
    for (size_t i = 0; i < n && i < DEVICES_MAX; i++) {
        if (!devices[i].usable) snprintf(ret_why, n_why, "%.127s: %.127s", devices[i].name, devices[i].reason);
        else if (!best || devices[i].free_bytes > best->free_bytes) best = &devices[i];
    }
    if (!best) return false;
    *ret_device = (uint32_t)(best - devices);
    snprintf(name, n_name, "%s", best->name);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- opening */

static kern_gpu_layer *new_layers(const eng_model *model)
{
    kern_gpu_layer *layers = calloc(model->info.n_layers, sizeof *layers);
    for (uint32_t i = 0; layers && i < model->info.n_layers; i++) {
        const eng_layer *l = &model->layers[i];
        layers[i] = (kern_gpu_layer){.q_proj = l->q_proj, .k_proj = l->k_proj, .v_proj = l->v_proj, .o_proj = l->o_proj,
                                     .gate_proj = l->gate_proj, .up_proj = l->up_proj, .down_proj = l->down_proj,
                                     .input_norm = l->input_norm, .post_attention_norm = l->post_attention_norm,
                                     .q_norm = l->q_norm, .k_norm = l->k_norm,
                                     .q_bias = l->q_bias, .k_bias = l->k_bias, .v_bias = l->v_bias, .o_bias = l->o_bias,
                                     .rotations = l->rotations};
    }
    return layers;
}

static uint32_t positions_of(const eng_model_info *info)
{
    uint64_t wanted = info->n_context;
    if (info->section_mode == ENG_SECTIONS_INDEPENDENT && wanted > info->end_position + (uint64_t)BRANCH_POSITIONS)
        wanted = info->end_position + (uint64_t)BRANCH_POSITIONS;
    return wanted < POSITIONS_MAX ? (uint32_t)wanted : POSITIONS_MAX;
}

static void open_gpu(eng_gpu *gpu)
{
    const eng_model *model = gpu->model;
    const eng_model_info *info = &model->info;
    uint32_t device = 0;
    char why[ENG_MESSAGE_BYTES];
    gpu->waiting = false;
    gpu->module = find_module();
    if (!gpu->module) {
        memcpy(gpu->note, module_problem, sizeof gpu->note);
        return;
    }
    if (!choose_device(gpu->module, &device, gpu->name, sizeof gpu->name, why, sizeof why)) {
        memcpy(gpu->note, why, sizeof gpu->note);
        return;
    }
    kern_gpu_layer *layers = new_layers(model);
    kern_gpu_model description = {.n_layers = info->n_layers, .n_hidden = info->n_hidden, .n_heads = info->n_heads, .n_kv_heads = info->n_kv_heads,
                                  .n_ffn = info->n_ffn, .n_vocabulary = info->n_vocabulary, .n_rows_max = (uint32_t)gpu->n_rows_max,
                                  .n_positions = positions_of(info), .measure = gpu->measures, .norm_eps = model->norm_eps, .rope_inv_freq = model->rope_inv_freq,
                                  .rope_attention_scale = model->rope_attention_scale, .format = info->kv_format,
                                  .embed = model->embed, .lm_head = model->lm_head, .final_norm = model->final_norm, .layers = layers};
    kern_gpu_error problem = {.message = ENG_TEXT("not enough memory")};
    if (!layers || gpu->module->open(&description, device, gpu->memory_bytes, &gpu->kern, &problem) != KERN_GPU_OK) {
        gpu->kern = NULL;
        snprintf(gpu->note, sizeof gpu->note, "%s is not used: %s", gpu->name, problem.message);
    }
    free(layers);
}

eng_gpu *eng_gpu_new(const eng_model *model, const eng_runtime_options *options, size_t n_rows_max)
{
    eng_gpu *gpu = calloc(1, sizeof *gpu);
    if (!gpu) return NULL;
    gpu->model = model;
    if (options) gpu->memory_bytes = options->gpu_memory_bytes, gpu->measures = options->gpu_measures;
    gpu->n_rows_max = n_rows_max;
    gpu->waiting = !options || options->gpu == ENG_GPU_AUTO;
    if (!gpu->waiting) open_gpu(gpu);
    return gpu;
}

void eng_gpu_free(eng_gpu *gpu)
{
    if (!gpu) return;
    if (gpu->kern) gpu->module->close(gpu->kern);
    free(gpu);
}

bool eng_gpu_runs(const eng_gpu *gpu) { return gpu && gpu->kern; }

/* ------------------------------------------------------------------------------------------------------------- passes */

/* What is said, and, when the device's state is unknown, the end of using it. */
static void note_failure(eng_gpu *gpu, const kern_gpu_error *problem)
{
    gpu->passes_on_cpu++;
    if (problem->status != KERN_GPU_FAILED) {
        snprintf(gpu->note, sizeof gpu->note, "%s: %s; the CPU did it instead", gpu->name, problem->message);
        return;
    }
    snprintf(gpu->note, sizeof gpu->note, "%s: %s; the CPU goes on without it", gpu->name, problem->message);
    gpu->module->get_stats(gpu->kern, &gpu->last_stats);
    gpu->module->close(gpu->kern);
    gpu->kern = NULL;
    gpu->failed = true;
}

static bool is_worth_opening(const eng_pass *pass)
{
    uint64_t n_rows = 0, n_tokens = 0;
    for (size_t s = 0; s < pass->n_segments; s++) {
        const eng_segment *segment = &pass->segments[s];
        n_rows += segment->n_tokens;
        for (size_t i = 0; i < segment->n_sections; i++) n_tokens += segment->sections_by_layer[i].n_tokens;
    }
    return n_rows >= OPEN_ROWS || n_tokens >= OPEN_TOKENS;
}

static void add_stats(const eng_model_info *info, const eng_pass *pass, eng_pass_stats *stats)
{
    if (!stats) return;
    for (size_t s = 0; s < pass->n_segments; s++) { /* nothing is left out on a GPU */
        const eng_segment *segment = &pass->segments[s];
        uint64_t n = segment->n_tokens, rows = n * segment->at + n * (n + 1) / 2;
        for (size_t i = 0; i < segment->n_sections; i++) rows += n * segment->sections_by_layer[i].n_tokens;
        stats->value_rows += rows * info->n_heads * info->n_layers;
        stats->value_rows_read += rows * info->n_heads * info->n_layers;
    }
}

bool eng_gpu_forward(eng_gpu *gpu, const eng_pass *pass, const bool *cancel, eng_pass_stats *stats, eng_status *ret_status, eng_error *error)
{
    if (gpu && gpu->waiting && is_worth_opening(pass)) open_gpu(gpu);
    if (!eng_gpu_runs(gpu)) return false;
    /* What it gets stays there for later passes: nothing that is not verified. */
    if (pass->fetch && (*ret_status = eng_fetch_finish(pass->fetch, cancel, error)) != ENG_OK) return true;
    kern_gpu_segment segments[ENG_SEGMENTS_MAX];
    kern_gpu_error problem = {.message = "unknown"};
    kern_gpu_status status = KERN_GPU_BAD_ARGUMENT;
    _Static_assert((int)ENG_SEGMENTS_MAX <= (int)KERN_GPU_SEGMENTS_MAX, "a pass fits the module's");
    for (size_t i = 0; i < pass->n_segments; i++) {
        const eng_segment *s = &pass->segments[i];
        segments[i] = (kern_gpu_segment){.ids = s->ids, .n_tokens = s->n_tokens, .first_position = s->first_position, .blocks = s->blocks,
                                         .capacity = s->capacity, .at = s->at, .sections_by_layer = s->sections_by_layer,
                                         .n_sections = s->n_sections, .mass = s->mass, .mass_first = s->mass_first};
    }
    if (!pass->on_layer) { /* queries of single layers are wanted on the CPU: such a pass runs there */
        status = gpu->module->forward(gpu->kern, segments, pass->n_segments, cancel, &problem);
        if (status == KERN_GPU_OK) {
            gpu->passes++;
            add_stats(&gpu->model->info, pass, stats);
            *ret_status = ENG_OK;
            return true;
        }
        if (status == KERN_GPU_CANCELLED) {
            *ret_status = eng_fail(error, ENG_CANCELLED, "cancelled");
            return true;
        }
        problem.status = status;
        note_failure(gpu, &problem);
    }
    /* the CPU is about to write to these blocks: the GPU's copies of them are no longer right */
    for (size_t i = 0; i < pass->n_segments && gpu->kern; i++) gpu->module->forget(gpu->kern, pass->segments[i].blocks[0]);
    return false;
}

bool eng_gpu_logits(eng_gpu *gpu, size_t first_row, size_t n_rows, float *ret_logits)
{
    kern_gpu_error problem = {.message = "unknown"};
    if (!eng_gpu_runs(gpu)) return false;
    problem.status = gpu->module->logits(gpu->kern, first_row, n_rows, ret_logits, &problem);
    if (problem.status == KERN_GPU_OK) return true;
    note_failure(gpu, &problem);
    return false;
}

void eng_gpu_prefetch(eng_gpu *gpu, const kern_kv_block *sections_by_layer, size_t n_sections)
{
    if (!eng_gpu_runs(gpu) || !n_sections) return;
    kern_gpu_error problem = {.message = "unknown"};
    problem.status = gpu->module->prefetch(gpu->kern, sections_by_layer, n_sections, &problem);
    if (problem.status == KERN_GPU_FAILED) note_failure(gpu, &problem);
}

void eng_gpu_forget(eng_gpu *gpu, const void *first_block)
{
    if (eng_gpu_runs(gpu)) gpu->module->forget(gpu->kern, first_block);
}

void eng_gpu_get_info(const eng_gpu *gpu, eng_gpu_info *ret_info)
{
    *ret_info = (eng_gpu_info){0};
    if (!gpu) return;
    kern_gpu_stats stats = gpu->last_stats;
    if (gpu->kern) gpu->module->get_stats(gpu->kern, &stats);
    ret_info->active = gpu->kern != NULL;
    ret_info->failed = gpu->failed;
    snprintf(ret_info->name, sizeof ret_info->name, "%s", gpu->name);
    snprintf(ret_info->note, sizeof ret_info->note, "%s", gpu->note[0] || !stats.note ? gpu->note : stats.note);
    ret_info->weight_bytes = stats.weight_bytes;
    ret_info->section_budget_bytes = stats.budget_bytes;
    ret_info->section_used_bytes = stats.used_bytes;
    ret_info->passes = gpu->passes;
    ret_info->passes_on_cpu = gpu->passes_on_cpu;
    ret_info->section_bytes_uploaded = stats.section_bytes_uploaded;
    ret_info->sections_found = stats.section_hits;
    ret_info->sections_uploaded = stats.section_misses;
    ret_info->sections_evicted = stats.section_evictions;
    ret_info->streamed_bytes = stats.bytes_streamed;
    ret_info->streamed_s = stats.stream_s;
    ret_info->copy_bytes_s = stats.copy_bytes_s;
    ret_info->attend_s = stats.attend_s;
}
