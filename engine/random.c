/* random.c: models of random weights in known geometries, for benchmarks and tests.
 *
 * Owns: the geometries by name, weights whose outputs have the variance that trained ones have.
 * Does not own: a tokenizer: such a model reads and answers token ids, and says nothing that means anything.
 */
#include "identity.h"
#include "model.h"
#include "weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct geometry {
    const char *name;
    uint32_t n_layers, n_hidden, n_heads, n_kv_heads, head_dim, n_ffn, n_vocabulary;
    uint16_t k;
    kern_value_type value_type;
} geometry;

static const geometry GEOMETRIES[] = {
    {"qwen3-0.6b", 28, 1024, 16, 8, 128, 3072, 151936, 16, KERN_VALUE_Q8},
    {"qwen3-0.6b-4bit-values", 28, 1024, 16, 8, 128, 3072, 151936, 16, KERN_VALUE_Q4},
    {"qwen3-1.7b", 28, 2048, 16, 8, 128, 6144, 151936, 16, KERN_VALUE_Q8},
    {"starter", 14, 512, 8, 2, 128, 1536, 16384, 16, KERN_VALUE_Q4},
    {"gpt2", 12, 768, 12, 12, 64, 3072, 50304, 8, KERN_VALUE_Q8},
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Uniform 8-bit weights have a standard deviation of 73 steps; scaled so that a product has its input's deviation times `gain`. */
static bool fill_scaled(eng_weights *weights, kern_weight *matrix, size_t n_out, size_t n_in, float gain, uint64_t *state)
{
    size_t n_bytes = kern_weight_data_bytes(KERN_W_Q8, n_out, n_in), n_scales = kern_weight_scales_bytes(KERN_W_Q8, n_out, n_in) / sizeof(float);
    uint8_t *data = eng_weights_allocate(weights, n_bytes);
    float *scales = eng_weights_allocate(weights, n_scales * sizeof *scales);
    int32_t *sums = eng_weights_allocate(weights, kern_weight_group_sums_bytes(KERN_W_Q8, n_out, n_in));
    if (!data || !scales || !sums) return false;
    for (size_t i = 0; i + 8 <= n_bytes; i += 8) {
        uint64_t word = next_random(state);
        memcpy(data + i, &word, 8);
    }
    for (size_t i = 0; i < n_bytes; i++)
        if (data[i] == 0x80) data[i] = 0x81; /* the packer never makes -128 */
    for (size_t i = 0; i < n_scales; i++) scales[i] = gain / (73.0f * sqrtf((float)n_in));
    *matrix = (kern_weight){.type = KERN_W_Q8, .n_out = n_out, .n_in = n_in, .data = data, .scales = scales};
    kern_weight_group_sums(matrix, sums);
    matrix->group_sums = sums;
    return true;
}

static bool fill_matrix(eng_weights *weights, kern_weight *matrix, size_t n_out, size_t n_in, uint64_t *state)
{
    return fill_scaled(weights, matrix, n_out, n_in, 1, state);
}

static const float *constant_vector(eng_weights *weights, size_t n, float value)
{
    float *vector = eng_weights_allocate(weights, n * sizeof *vector);
    for (size_t i = 0; vector && i < n; i++) vector[i] = value;
    return vector;
}

static bool fill_layer(eng_weights *weights, eng_layer *layer, const geometry *g, float sharpness, uint64_t *state)
{
    size_t q = (size_t)g->n_heads * g->head_dim, kv = (size_t)g->n_kv_heads * g->head_dim;
    /* All layers together add about as much as the embedding, whose rows have a length of 1: what every token has in common would else
     * soon outgrow what tells tokens apart, and deep layers would attend to everything alike. */
    float residual = 1 / sqrtf(2.0f * (float)g->n_layers * (float)g->n_hidden);
    layer->input_norm = layer->post_attention_norm = constant_vector(weights, g->n_hidden, 1);
    layer->q_norm = constant_vector(weights, g->head_dim, sharpness);
    layer->k_norm = constant_vector(weights, g->head_dim, 1);
    return layer->input_norm && layer->q_norm && layer->k_norm && fill_matrix(weights, &layer->q_proj, q, g->n_hidden, state) &&
           fill_matrix(weights, &layer->k_proj, kv, g->n_hidden, state) && fill_matrix(weights, &layer->v_proj, kv, g->n_hidden, state) &&
           fill_scaled(weights, &layer->o_proj, g->n_hidden, q, residual, state) && fill_matrix(weights, &layer->gate_proj, g->n_ffn, g->n_hidden, state) &&
           fill_matrix(weights, &layer->up_proj, g->n_ffn, g->n_hidden, state) &&
           fill_scaled(weights, &layer->down_proj, g->n_hidden, g->n_ffn, residual, state);
}

static void fill_config(eng_config *config, const geometry *g)
{
    *config = (eng_config){.n_layers = g->n_layers, .n_hidden = g->n_hidden, .n_heads = g->n_heads, .n_kv_heads = g->n_kv_heads,
                           .head_dim = g->head_dim, .n_ffn = g->n_ffn, .n_vocabulary = g->n_vocabulary, .n_context = 1u << 20,
                           .tied_embeddings = true, .norm_eps = 1e-6f, .rope_attention_scale = 1,
                           .section_mode = ENG_SECTIONS_INDEPENDENT, .end_position = 2048, .section_tokens_max = 2048};
    config->kv_format = (kern_kv_format){.d = (uint16_t)g->head_dim, .k_key = g->k, .k_query = g->k, .value_group = 32,
                                         .key_type = KERN_KEY_CODE8, .value_type = g->value_type};
    for (uint32_t i = 0; i < g->head_dim / 2; i++) config->rope_inv_freq[i] = pow(1e6, -2.0 * i / g->head_dim);
    memcpy(config->rope_text, "random", 7);
}

eng_status eng_model_random(const char *name, float sharpness, eng_model **ret_model, eng_error *error)
{
    const geometry *g = NULL;
    for (size_t i = 0; i < sizeof GEOMETRIES / sizeof GEOMETRIES[0]; i++)
        if (!strcmp(GEOMETRIES[i].name, name)) g = &GEOMETRIES[i];
    if (!g) return eng_fail(error, ENG_NOT_FOUND, "no geometry is called “%s”: qwen3-0.6b, qwen3-0.6b-4bit-values, qwen3-1.7b, starter, gpt2", name);
    eng_config config;
    fill_config(&config, g);
    eng_weights *weights;
    eng_model *model = eng_model_new_unloaded(&config, g->name, &weights);
    uint64_t state = 0x9e3779b97f4a7c15u;
    bool filled = model && fill_matrix(weights, &model->embed, g->n_vocabulary, g->n_hidden, &state);
    for (uint32_t l = 0; filled && l < g->n_layers; l++) filled = fill_layer(weights, &model->layers[l], g, sharpness, &state);
    if (filled) {
        model->lm_head = model->embed;
        model->final_norm = constant_vector(weights, g->n_hidden, 1);
        model->info.weight_types = "q8";
        model->identity = eng_identity_new(&model->info, &config);
    }
    if (!filled || !model->final_norm || !model->identity) {
        eng_model_close(model);
        return eng_fail(error, ENG_NO_MEMORY, "not enough memory for random weights of “%s”", name);
    }
    *ret_model = model;
    return ENG_OK;
}
