/* rank.c: ranks sections by the model's own key codes.
 *
 * Owns: what of a question's queries counts for a section: per layer and head, the section's share of exp(score) over all
 *       sections, for the query row that finds most in it; shares are summed over heads and layers.
 * Does not own: which sections are asked in the end (app/ merges this with a search by words).
 *
 * A head that looks everywhere gives every section the same and so ranks nothing; a head that retrieves gives most of its mass to
 * one. Summing shares lets the second kind decide without naming heads. A section's length does not count: the mean over its tokens
 * is taken, not the sum.
 */
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct rank_state {
    eng_runtime *runtime;
    const kern_kv_block *all_by_layer;
    size_t n_all, n_queries;
    float *log_sum, *max; /* [n_all][n_heads] */
    float *scores;        /* [n_all] */
} rank_state;

static void add_shares(rank_state *state, const kern_kv_block *blocks, size_t n_heads)
{
    for (size_t head = 0; head < n_heads; head++) {
        float top = -INFINITY;
        for (size_t i = 0; i < state->n_all; i++) {
            float *value = &state->log_sum[i * n_heads + head];
            *value -= logf((float)(blocks[i].n_tokens ? blocks[i].n_tokens : 1));
            if (*value > top) top = *value;
        }
        double sum = 0;
        for (size_t i = 0; i < state->n_all; i++) sum += exp((double)(state->log_sum[i * n_heads + head] - top));
        for (size_t i = 0; i < state->n_all; i++)
            state->scores[i] += (float)(exp((double)(state->log_sum[i * n_heads + head] - top)) / sum);
    }
}

static eng_status score_layer(void *user, uint32_t layer, const kern_queries *queries, eng_error *error)
{
    rank_state *state = user;
    const eng_model_info *info = &state->runtime->model->info;
    kern_attend_params params = {.format = &info->kv_format, .n_heads = info->n_heads, .n_kv_heads = info->n_kv_heads};
    const kern_kv_block *blocks = state->all_by_layer + (size_t)layer * state->n_all;
    kern_status status =
        kern_block_scores(state->runtime->kern, &params, queries, 0, state->n_queries, blocks, state->n_all, state->log_sum, state->max);
    if (status != KERN_OK) return eng_fail_kern(error, status);
    add_shares(state, blocks, info->n_heads);
    return ENG_OK;
}

/* Runs ids as a question over `base`, scoring `all` at each layer on the way. */
static eng_status run_question(rank_state *state, const eng_section *base, size_t n_base, const uint32_t *ids, size_t n_ids, eng_error *error)
{
    const eng_model *model = state->runtime->model;
    const eng_model_info *info = &model->info;
    uint32_t capacity = eng_section_capacity((uint32_t)n_ids), position = info->end_position;
    kern_kv_layout layout = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, capacity);
    void *own = aligned_alloc(KERN_ALIGN_BYTES, layout.total_bytes * info->n_layers);
    void **blocks = calloc(info->n_layers, sizeof *blocks);
    kern_kv_block *base_by_layer = eng_sections_by_layer(model, base, n_base);
    eng_status status = ENG_OK;
    if (!own || !blocks || !base_by_layer) {
        status = eng_fail(error, ENG_NO_MEMORY, "not enough memory to rank sections");
        goto done;
    }
    memset(own, 0, layout.total_bytes * info->n_layers);
    for (uint32_t layer = 0; layer < info->n_layers; layer++) blocks[layer] = (uint8_t *)own + layer * layout.total_bytes;
    if (info->section_mode == ENG_SECTIONS_CONTINUOUS) {
        position = 0;
        for (size_t i = 0; i < n_base; i++) position += base[i].n_tokens;
    }
    eng_segment segment = {.ids = ids, .n_tokens = (uint32_t)n_ids, .first_position = position, .blocks = blocks, .capacity = capacity,
                           .sections_by_layer = base_by_layer, .n_sections = n_base};
    eng_pass pass = {.segments = &segment, .n_segments = 1, .drop_mass = 0.01f, .on_layer = score_layer, .on_layer_user = state};
    status = eng_forward(state->runtime, &pass, NULL, error);
    if (status == ENG_OK) state->runtime->stats.tokens_of_branches += n_ids;
done:
    free(own);
    free(blocks);
    free(base_by_layer);
    return status;
}

eng_status eng_rank_sections(eng_runtime *runtime, const eng_section *base, size_t n_base, const uint32_t *ids, size_t n_ids,
                             const eng_section *all, size_t n_all, float *ret_scores, eng_error *error)
{
    size_t n_heads = runtime->model->info.n_heads;
    if (!n_ids || n_ids > runtime->n_rows_max) return eng_fail(error, ENG_LIMIT, "a question of %zu tokens: 1 to %zu fit", n_ids, runtime->n_rows_max);
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i] >= runtime->model->info.n_vocabulary) return eng_fail(error, ENG_LIMIT, "token %u is not in the model's vocabulary", ids[i]);
    rank_state state = {.runtime = runtime, .n_all = n_all, .n_queries = n_ids};
    kern_kv_block *all_by_layer = eng_sections_by_layer(runtime->model, all, n_all);
    state.all_by_layer = all_by_layer;
    state.log_sum = calloc(n_all * n_heads + 1, sizeof *state.log_sum);
    state.max = calloc(n_all * n_heads + 1, sizeof *state.max);
    state.scores = calloc(n_all + 1, sizeof *state.scores);
    eng_status status = ENG_OK;
    if (!all_by_layer || !state.log_sum || !state.max || !state.scores)
        status = eng_fail(error, ENG_NO_MEMORY, "not enough memory to rank %zu sections", n_all);
    if (status == ENG_OK) status = run_question(&state, base, n_base, ids, n_ids, error);
    if (status == ENG_OK) memcpy(ret_scores, state.scores, n_all * sizeof *ret_scores);
    free(all_by_layer);
    free(state.log_sum);
    free(state.max);
    free(state.scores);
    return status;
}
