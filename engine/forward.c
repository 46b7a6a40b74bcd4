/* forward.c: one forward pass of Qwen3 with Sparse Feature Attention.
 *
 * Owns: the order of operations in a layer, for any mix of sequences (sections being read, questions being asked).
 * Does not own: the operations (kernels/), the buffers' life (runtime.c), when a GPU does it instead (gpu.c).
 *
 * Source: Qwen3ForCausalLM (pre-norm, grouped-query attention with QK-norm, SwiGLU), attention as in arXiv 2603.22300.
 */
#include "cache-fetch.h"
#include "gpu.h"

#include <stdlib.h>
#include <string.h>

static void add_bias(float *rows, size_t n_rows, size_t n_cols, const float *bias)
{
    if (!bias) return;
    for (size_t r = 0; r < n_rows; r++)
        for (size_t c = 0; c < n_cols; c++) rows[r * n_cols + c] += bias[c];
}

/* Token embeddings and rotary tables of all rows. */
static void begin_rows(eng_runtime *runtime, const eng_pass *pass)
{
    const eng_model *model = runtime->model;
    size_t hidden = model->info.n_hidden, half = model->info.head_dim / 2, row = 0;
    for (size_t s = 0; s < pass->n_segments; s++) {
        const eng_segment *segment = &pass->segments[s];
        kern_rope_fill(model->rope_inv_freq, model->info.head_dim, model->rope_attention_scale, segment->first_position, segment->n_tokens,
                       runtime->rope_cos + row * half, runtime->rope_sin + row * half);
        for (uint32_t i = 0; i < segment->n_tokens; i++, row++)
            kern_weight_row(&model->embed, segment->ids[i], runtime->x + row * hidden);
    }
}

static eng_status attend(eng_runtime *runtime, const eng_pass *pass, uint32_t layer, eng_pass_stats *stats, eng_error *error)
{
    const eng_model_info *info = &runtime->model->info;
    size_t q_cols = (size_t)info->n_heads * info->head_dim, row = 0;
    kern_attend_job jobs[ENG_SEGMENTS_MAX];
    for (size_t s = 0; s < pass->n_segments; s++) {
        const eng_segment *segment = &pass->segments[s];
        jobs[s] = (kern_attend_job){
            .queries = &runtime->queries, .first_query = row, .n_queries = segment->n_tokens,
            .blocks = segment->n_sections ? segment->sections_by_layer + (size_t)layer * segment->n_sections : NULL,
            .n_blocks = segment->n_sections,
            .own = {.data = segment->blocks[layer], .n_tokens = segment->at + segment->n_tokens, .capacity = segment->capacity},
            .own_before = segment->at,
            .out = runtime->attended + row * q_cols, .out_stride = q_cols,
            .mass = segment->mass, .mass_first = segment->mass_first};
        row += segment->n_tokens;
    }
    kern_attend_params params = {.format = &info->kv_format, .n_heads = info->n_heads, .n_kv_heads = info->n_kv_heads,
                                 .drop_mass = pass->drop_mass};
    kern_status status = kern_attend(runtime->kern, &params, jobs, pass->n_segments);
    if (status != KERN_OK) return eng_fail_kern(error, status);
    for (size_t s = 0; stats && s < pass->n_segments; s++) {
        stats->value_rows += jobs[s].ret_rows;
        stats->value_rows_read += jobs[s].ret_rows_read;
        if (jobs[s].ret_dropped_mass_max > stats->dropped_mass_max) stats->dropped_mass_max = jobs[s].ret_dropped_mass_max;
    }
    return ENG_OK;
}

/* Queries, keys and values of all rows, coded; keys and values go to their segments' blocks. */
static eng_status project(eng_runtime *runtime, const eng_pass *pass, uint32_t layer, size_t n_rows, eng_error *error)
{
    const eng_model *model = runtime->model;
    const eng_model_info *info = &model->info;
    const eng_layer *w = &model->layers[layer];
    size_t q_cols = (size_t)info->n_heads * info->head_dim, kv_cols = (size_t)info->n_kv_heads * info->head_dim, half = info->head_dim / 2;
    kern_rms_norm(runtime->kern, runtime->x, w->input_norm, model->norm_eps, n_rows, info->n_hidden, runtime->h);
    kern_matmul_job jobs[] = {{&w->q_proj, runtime->q, q_cols, false}, {&w->k_proj, runtime->k, kv_cols, false},
                              {&w->v_proj, runtime->v, kv_cols, false}};
    kern_status status = kern_matmul(runtime->kern, runtime->h, info->n_hidden, n_rows, jobs, 3);
    if (status != KERN_OK) return eng_fail_kern(error, status);
    add_bias(runtime->q, n_rows, q_cols, w->q_bias);
    add_bias(runtime->k, n_rows, kv_cols, w->k_bias);
    add_bias(runtime->v, n_rows, kv_cols, w->v_bias);
    kern_encode_params params = {.format = &info->kv_format, .n_heads = info->n_heads, .norm_weight = w->q_norm, .norm_eps = model->norm_eps,
                                 .rope_cos = runtime->rope_cos, .rope_sin = runtime->rope_sin, .rotations = w->rotations, .n_rotations = info->n_kv_heads};
    runtime->queries.n_tokens = n_rows;
    runtime->queries.n_heads = info->n_heads;
    kern_encode_queries(runtime->kern, &params, runtime->q, q_cols, n_rows, &runtime->queries);
    params.n_heads = info->n_kv_heads;
    params.norm_weight = w->k_norm;
    size_t row = 0;
    for (size_t s = 0; s < pass->n_segments; s++) {
        const eng_segment *segment = &pass->segments[s];
        params.rope_cos = runtime->rope_cos + row * half;
        params.rope_sin = runtime->rope_sin + row * half;
        kern_encode_keys_values(runtime->kern, &params, runtime->k + row * kv_cols, kv_cols, runtime->v + row * kv_cols, kv_cols,
                                segment->n_tokens, segment->blocks[layer], segment->capacity, segment->at);
        row += segment->n_tokens;
    }
    return ENG_OK;
}

/* x += W_o attended; x += FFN(norm(x)). */
static eng_status finish_layer(eng_runtime *runtime, uint32_t layer, size_t n_rows, eng_error *error)
{
    const eng_model *model = runtime->model;
    const eng_model_info *info = &model->info;
    const eng_layer *w = &model->layers[layer];
    size_t q_cols = (size_t)info->n_heads * info->head_dim;
    kern_matmul_job out = {&w->o_proj, runtime->x, info->n_hidden, true};
    kern_status status = kern_matmul(runtime->kern, runtime->attended, q_cols, n_rows, &out, 1);
    if (status != KERN_OK) return eng_fail_kern(error, status);
    add_bias(runtime->x, n_rows, info->n_hidden, w->o_bias);
    kern_rms_norm(runtime->kern, runtime->x, w->post_attention_norm, model->norm_eps, n_rows, info->n_hidden, runtime->h);
    kern_matmul_job in[] = {{&w->gate_proj, runtime->gate, info->n_ffn, false}, {&w->up_proj, runtime->up, info->n_ffn, false}};
    status = kern_matmul(runtime->kern, runtime->h, info->n_hidden, n_rows, in, 2);
    if (status != KERN_OK) return eng_fail_kern(error, status);
    kern_swiglu(runtime->kern, runtime->gate, runtime->up, n_rows, info->n_ffn);
    kern_matmul_job down = {&w->down_proj, runtime->x, info->n_hidden, true};
    status = kern_matmul(runtime->kern, runtime->gate, info->n_ffn, n_rows, &down, 1);
    return status == KERN_OK ? ENG_OK : eng_fail_kern(error, status);
}

static eng_status forward_on_cpu(eng_runtime *runtime, const eng_pass *pass, size_t n_rows, eng_pass_stats *stats, eng_error *error)
{
    const eng_model *model = runtime->model;
    begin_rows(runtime, pass);
    for (uint32_t layer = 0; layer < model->info.n_layers; layer++) {
        if (runtime->cancel && __atomic_load_n(runtime->cancel, __ATOMIC_RELAXED)) return eng_fail(error, ENG_CANCELLED, "cancelled");
        eng_status status = project(runtime, pass, layer, n_rows, error);
        if (status == ENG_OK && pass->on_layer) status = pass->on_layer(pass->on_layer_user, layer, &runtime->queries, error);
        if (status == ENG_OK) status = eng_fetch_layer(pass->fetch, layer, runtime->cancel, error);
        if (status == ENG_OK) status = attend(runtime, pass, layer, stats, error);
        if (status == ENG_OK) status = finish_layer(runtime, layer, n_rows, error);
        if (status != ENG_OK) return status;
    }
    kern_rms_norm(runtime->kern, runtime->x, model->final_norm, model->norm_eps, n_rows, model->info.n_hidden, runtime->h);
    runtime->stats.tokens_run += n_rows;
    return ENG_OK;
}

static size_t count_rows(const eng_pass *pass)
{
    size_t n_rows = 0;
    for (size_t s = 0; s < pass->n_segments; s++) n_rows += pass->segments[s].n_tokens;
    return n_rows;
}

eng_status eng_forward(eng_runtime *runtime, const eng_pass *pass, eng_pass_stats *stats, eng_error *error)
{
    size_t n_rows = count_rows(pass);
    if (!n_rows || n_rows > runtime->n_rows_max || pass->n_segments > ENG_SEGMENTS_MAX)
        return eng_fail(error, ENG_LIMIT, "a pass of %zu tokens: 1 to %zu fit", n_rows, runtime->n_rows_max);
    eng_status status = ENG_OK;
    runtime->last_on_gpu = eng_gpu_forward(runtime->gpu, pass, runtime->cancel, stats, &status, error);
    if (!runtime->last_on_gpu) return forward_on_cpu(runtime, pass, n_rows, stats, error);
    runtime->last_pass = *pass;
    memcpy(runtime->last_segments, pass->segments, pass->n_segments * sizeof *pass->segments);
    runtime->last_pass.segments = runtime->last_segments;
    runtime->last_pass.fetch = NULL; /* all is there */
    for (size_t s = 0; s < pass->n_segments; s++) runtime->last_segments[s].mass = NULL; /* counted once */
    return status;
}

/* A GPU that fails between a pass and its logits takes the pass's states with it: the CPU runs the pass again. */
static eng_status bring_states(eng_runtime *runtime, eng_error *error)
{
    if (!runtime->last_on_gpu) return ENG_OK;
    runtime->last_on_gpu = false;
    for (size_t s = 0; s < runtime->last_pass.n_segments; s++) eng_gpu_forget(runtime->gpu, runtime->last_segments[s].blocks[0]);
    return forward_on_cpu(runtime, &runtime->last_pass, count_rows(&runtime->last_pass), NULL, error);
}

eng_status eng_logits(eng_runtime *runtime, size_t first_row, size_t n_rows, float *ret_logits, eng_error *error)
{
    const eng_model_info *info = &runtime->model->info;
    if (runtime->last_on_gpu && eng_gpu_logits(runtime->gpu, first_row, n_rows, ret_logits)) return ENG_OK;
    eng_status brought = bring_states(runtime, error);
    if (brought != ENG_OK) return brought;
    kern_matmul_job job = {&runtime->model->lm_head, ret_logits, info->n_vocabulary, false};
    kern_status status = kern_matmul(runtime->kern, runtime->h + first_row * info->n_hidden, info->n_hidden, n_rows, &job, 1);
    return status == KERN_OK ? ENG_OK : eng_fail_kern(error, status);
}
