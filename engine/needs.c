/* needs.c: what a model will need before it is imported.
 *
 * Owns: sizes of weights, buffers and caches from a source's shapes; how fast this machine multiplies.
 * Does not own: whether there is as much (app/).
 */
#include "config.h"
#include "map-file.h"
#include "model.h"
#include "runtime.h"
#include "weights.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef struct sum {
    const eng_model *model;
    bool as_is;
    kern_weight_type type;
    eng_model_needs needs;
} sum;

static eng_status add_part(void *user, const eng_part *part, eng_error *error)
{
    (void)error;
    sum *s = user;
    if (part->matrix == NULL) {
        s->needs.weight_bytes += part->n * sizeof(float);
        s->needs.n_parameters += part->n;
        return ENG_OK;
    }
    const kern_weight *m = part->matrix;
    /* Blocks of a GGUF file take the kernels' 8 bits in memory when they are not packed. */
    kern_weight_type type = !s->as_is ? s->type : m->data == NULL ? KERN_W_Q8 : m->type;
    uint64_t n_bytes = kern_weight_data_bytes(type, m->n_out, m->n_in) + kern_weight_scales_bytes(type, m->n_out, m->n_in);
    s->needs.weight_bytes += n_bytes;
    s->needs.n_parameters += (uint64_t)m->n_out * m->n_in;
    bool is_table = m == &s->model->embed; /* one row a token is read of it; as the output's matrix it is read whole */
    if (is_table && !s->model->info.tied_embeddings) return ENG_OK;
    s->needs.bytes_a_token += n_bytes;
    if (!is_table && m != &s->model->lm_head) s->needs.products_a_token += (uint64_t)m->n_out * m->n_in;
    return ENG_OK;
}

/* A model that has the shapes that a config.json states, and no weights. */
static eng_status open_shapes(const char *path, eng_model **ret_model, eng_error *error)
{
    uint8_t *text;
    size_t n_bytes;
    eng_config config;
    eng_weights *weights;
    eng_status status = eng_map_file(path, &text, &n_bytes, error);
    if (status != ENG_OK) return status;
    status = eng_config_parse((const char *)text, n_bytes, path, &config, error);
    munmap(text, n_bytes);
    if (status != ENG_OK) return status;
    eng_model *model = eng_model_new_unloaded(&config, "config.json", &weights);
    if (model == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", path);
    weights->shapes_only = true;
    status = eng_weights_bind(weights, &config, model, error);
    if (status == ENG_OK)
        *ret_model = model;
    else
        eng_model_close(model);
    return status;
}

static bool is_config(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash == NULL ? path : slash + 1, "config.json") == 0;
}

eng_status eng_model_get_needs(const char *path, bool as_is, kern_weight_type type, eng_model_needs *ret_needs, eng_error *error)
{
    eng_model *model;
    eng_status status = is_config(path) ? open_shapes(path, &model, error) : eng_model_open_source(path, &model, error);
    if (status != ENG_OK) return status;
    sum s = {.model = model, .as_is = as_is, .type = type};
    status = eng_weights_visit(model, add_part, &s, error);
    const eng_model_info *info = &model->info;
    s.needs.source_bytes = info->file_bytes;
    s.needs.buffer_bytes = eng_runtime_buffer_bytes(model);
    s.needs.cache_bytes_a_token = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, 4096).total_bytes * info->n_layers / 4096;
    s.needs.n_context = info->n_context;
    eng_model_close(model);
    if (status == ENG_OK) *ret_needs = s.needs;
    return status;
}

/* ---------------------------------------------------------------------------------------------------------------- speed */

enum { PROBE_OUT = 16384, PROBE_IN = 4096, PROBE_ROWS = 64, PROBE_ROUNDS = 2 }; /* 64 MB of weights: more than caches hold */

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The best time of one product of n_rows rows by the first n_out rows of the weights. */
static double time_product(kern_context *context, const kern_weight *weight, const float *x, size_t n_rows, float *out)
{
    double best_s = 1e9;
    for (unsigned i = 0; i < PROBE_ROUNDS; i++) {
        kern_matmul_job job = {weight, out, weight->n_out, false};
        double began_s = now_s();
        kern_matmul(context, x, PROBE_IN, n_rows, &job, 1);
        double took_s = now_s() - began_s;
        if (took_s < best_s) best_s = took_s;
    }
    return best_s;
}

eng_status eng_measure_machine(unsigned n_threads, eng_machine *ret_machine, eng_error *error)
{
    size_t n_bytes = kern_weight_data_bytes(KERN_W_Q8, PROBE_OUT, PROBE_IN);
    kern_weight weight = {.type = KERN_W_Q8, .n_out = PROBE_OUT, .n_in = PROBE_IN};
    void *data = aligned_alloc(KERN_ALIGN_BYTES, n_bytes);
    float *scales = aligned_alloc(KERN_ALIGN_BYTES, kern_weight_scales_bytes(KERN_W_Q8, PROBE_OUT, PROBE_IN));
    int32_t *sums = aligned_alloc(KERN_ALIGN_BYTES, kern_weight_group_sums_bytes(KERN_W_Q8, PROBE_OUT, PROBE_IN));
    float *x = calloc((size_t)PROBE_ROWS * PROBE_IN, sizeof *x), *out = malloc((size_t)PROBE_ROWS * PROBE_OUT * sizeof *out);
    kern_context *context = NULL;
    bool good = data != NULL && scales != NULL && sums != NULL && x != NULL && out != NULL &&
                kern_context_new(n_threads, false, &context) == KERN_OK;
    if (good) {
        memset(data, 1, n_bytes);
        for (size_t i = 0; i < kern_weight_scales_bytes(KERN_W_Q8, PROBE_OUT, PROBE_IN) / sizeof *scales; i++) scales[i] = 1e-3f;
        weight.data = data;
        weight.scales = scales;
        kern_weight_group_sums(&weight, sums);
        weight.group_sums = sums;
        double one_s = time_product(context, &weight, x, 1, out);
        weight.n_out = PROBE_OUT / 8; /* panels stand one after another: the first rows alone are a matrix too */
        double many_s = time_product(context, &weight, x, PROBE_ROWS, out);
        *ret_machine = (eng_machine){.bytes_per_s = (double)n_bytes / one_s,
                                     .products_per_s = (double)PROBE_ROWS * (double)weight.n_out * PROBE_IN / many_s};
    }
    kern_context_free(context);
    free(data);
    free(scales);
    free(sums);
    free(x);
    free(out);
    return good ? ENG_OK : eng_fail(error, ENG_NO_MEMORY, "not enough memory to measure this machine");
}

uint64_t eng_model_bytes_a_token(const eng_model *model)
{
    sum s = {.model = model, .as_is = true};
    return eng_weights_visit(model, add_part, &s, NULL) == ENG_OK ? s.needs.bytes_a_token : 0;
}
