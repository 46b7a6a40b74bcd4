/* config.c: see config.h. Source of YaRN: arXiv 2309.00071, with the defaults of transformers' _compute_yarn_parameters. */
#include "config.h"

#include "json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    VALUES_MAX = 100000,
    CONTINUOUS_SECTION_TOKENS = 2048,
    INDEPENDENT_END_POSITION = 2048, /* where a checkpoint was not trained to end sections anywhere */
};

typedef struct reader {
    const json_t *root;
    const char *name;
    eng_error *error;
    eng_status status; /* the first failure; later reads do nothing */
} reader;

static uint32_t read_number(reader *r, const json_t *object, const char *key, uint32_t low, uint32_t high, uint32_t fallback)
{
    const json_t *value = json_object_get(object, key);
    if (r->status != ENG_OK) return low;
    if (value == NULL || json_is_null(value)) {
        if (fallback != UINT32_MAX) return fallback;
        r->status = eng_fail(r->error, ENG_BAD_FILE, "%s: \"%s\" is missing", r->name, key);
        return low;
    }
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number < (json_int_t)low || number > (json_int_t)high) {
        r->status = eng_fail(r->error, ENG_BAD_FILE, "%s: \"%s\" is not a number from %u to %u", r->name, key, low, high);
        return low;
    }
    return (uint32_t)number;
}

static double read_real(reader *r, const json_t *object, const char *key, double low, double high, double fallback)
{
    const json_t *value = json_object_get(object, key);
    if (r->status != ENG_OK || value == NULL || json_is_null(value)) return fallback;
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!(number >= low && number <= high)) {
        r->status = eng_fail(r->error, ENG_BAD_FILE, "%s: \"%s\" is not a number from %g to %g", r->name, key, low, high);
        return low;
    }
    return number;
}

static bool read_flag(reader *r, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (r->status != ENG_OK || value == NULL || json_is_null(value)) return false;
    if (!json_is_boolean(value)) r->status = eng_fail(r->error, ENG_BAD_FILE, "%s: \"%s\" is neither true nor false", r->name, key);
    return json_is_true(value);
}

/* Copies a string that must fit. NULL object or no such key: "". */
static void read_text(reader *r, const json_t *object, const char *key, char *ret_text, size_t size)
{
    const json_t *value = json_object_get(object, key);
    ret_text[0] = '\0';
    if (r->status != ENG_OK || value == NULL || json_is_null(value)) return;
    if (!json_is_string(value) || json_string_length(value) >= size)
        r->status = eng_fail(r->error, ENG_BAD_FILE, "%s: \"%s\" is not a text shorter than %zu bytes", r->name, key, size);
    else
        memcpy(ret_text, json_string_value(value), json_string_length(value) + 1);
}

static void refuse(reader *r, const char *what)
{
    if (r->status == ENG_OK) r->status = eng_fail(r->error, ENG_UNSUPPORTED, "%s: %s", r->name, what);
}

static void check_architecture(reader *r)
{
    char type[64], activation[32];
    read_text(r, r->root, "model_type", type, sizeof type);
    read_text(r, r->root, "hidden_act", activation, sizeof activation);
    const json_t *architectures = json_object_get(r->root, "architectures");
    const char *first = json_string_value(json_array_get(architectures, 0));
    bool known = first != NULL ? strcmp(first, "Qwen3ForCausalLM") == 0 : strcmp(type, "qwen3") == 0;
    if (!known) refuse(r, "not a Qwen3ForCausalLM checkpoint");
    if (activation[0] != '\0' && strcmp(activation, "silu") != 0) refuse(r, "\"hidden_act\" is not \"silu\"");
    if (read_flag(r, r->root, "use_sliding_window")) refuse(r, "sliding windows are not supported");
    const json_t *quantization = json_object_get(r->root, "quantization_config");
    if (quantization != NULL && !json_is_null(quantization)) refuse(r, "quantised checkpoints (\"quantization_config\") are not supported");
}

static void read_shapes(reader *r, eng_config *c)
{
    c->n_layers = read_number(r, r->root, "num_hidden_layers", 1, 512, UINT32_MAX);
    c->n_hidden = read_number(r, r->root, "hidden_size", 16, 65536, UINT32_MAX);
    c->n_heads = read_number(r, r->root, "num_attention_heads", 1, 1024, UINT32_MAX);
    c->n_kv_heads = read_number(r, r->root, "num_key_value_heads", 1, 1024, c->n_heads);
    c->head_dim = read_number(r, r->root, "head_dim", 16, KERN_HEAD_DIM_MAX, c->n_hidden / c->n_heads);
    c->n_ffn = read_number(r, r->root, "intermediate_size", 16, 1 << 20, UINT32_MAX);
    c->n_vocabulary = read_number(r, r->root, "vocab_size", 257, 1 << 21, UINT32_MAX);
    c->n_context = read_number(r, r->root, "max_position_embeddings", 16, 1 << 26, UINT32_MAX);
    c->norm_eps = (float)read_real(r, r->root, "rms_norm_eps", 1e-12, 1e-2, 1e-6);
    c->tied_embeddings = read_flag(r, r->root, "tie_word_embeddings");
    c->attention_bias = read_flag(r, r->root, "attention_bias");
    if (r->status != ENG_OK) return;
    if (c->head_dim % 16 != 0 || c->head_dim > KERN_HEAD_DIM_MAX || c->head_dim == 0)
        refuse(r, "\"head_dim\" is not a multiple of 16 up to 128");
    else if (c->n_heads % c->n_kv_heads != 0)
        refuse(r, "\"num_attention_heads\" is not a multiple of \"num_key_value_heads\"");
    else if (c->n_hidden % 16 != 0 || c->n_ffn % 16 != 0)
        refuse(r, "\"hidden_size\" or \"intermediate_size\" is not a multiple of 16");
}

/* --------------------------------------------------------------------------------------------------------------- rotary */

/* The pair whose angle turns `rotations` times over the original context. */
static double yarn_pair(double rotations, double d, double theta, double context)
{
    return d * log(context / (rotations * 2 * M_PI)) / (2 * log(theta));
}

static double yarn_mscale(double factor, double mscale)
{
    return factor <= 1 ? 1.0 : 0.1 * mscale * log(factor) + 1.0;
}

static void make_yarn(reader *r, const json_t *rope, eng_config *c, double theta, double factor)
{
    double d = c->head_dim;
    uint32_t context = read_number(r, rope, "original_max_position_embeddings", 16, 1 << 26, c->n_context);
    double fast = read_real(r, rope, "beta_fast", 1e-3, 1e6, 32), slow = read_real(r, rope, "beta_slow", 1e-3, 1e6, 1);
    double mscale = read_real(r, rope, "mscale", 0, 100, 0), mscale_all = read_real(r, rope, "mscale_all_dim", 0, 100, 0);
    double scale = mscale > 0 && mscale_all > 0 ? yarn_mscale(factor, mscale) / yarn_mscale(factor, mscale_all) : yarn_mscale(factor, 1);
    c->rope_attention_scale = read_real(r, rope, "attention_factor", 1e-3, 1e3, scale);
    const json_t *truncate = json_object_get(rope, "truncate");
    double low = yarn_pair(fast, d, theta, context), high = yarn_pair(slow, d, theta, context);
    if (!json_is_false(truncate)) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, d - 1);
    if (low == high) high += 0.001;
    for (uint32_t i = 0; i < c->head_dim / 2; i++) {
        double ramp = fmin(fmax((i - low) / (high - low), 0), 1);
        c->rope_inv_freq[i] *= ramp / factor + (1 - ramp);
    }
    snprintf(c->rope_text, sizeof c->rope_text, "yarn theta=%.17g factor=%.17g context=%u fast=%.9g slow=%.9g scale=%.17g%s", theta, factor,
             context, fast, slow, c->rope_attention_scale, json_is_false(truncate) ? " untruncated" : "");
}

static void read_rope(reader *r, eng_config *c)
{
    const json_t *rope = json_object_get(r->root, "rope_scaling"), *parameters = json_object_get(r->root, "rope_parameters");
    if (rope == NULL || json_is_null(rope)) rope = parameters; /* newer checkpoints have theta in it as well */
    double theta = read_real(r, r->root, "rope_theta", 1, 1e12, 10000);
    theta = read_real(r, parameters, "rope_theta", 1, 1e12, theta);
    char type[32];
    read_text(r, rope, "rope_type", type, sizeof type);
    if (type[0] == '\0') read_text(r, rope, "type", type, sizeof type);
    if (r->status != ENG_OK) return;
    for (uint32_t i = 0; i < c->head_dim / 2; i++) c->rope_inv_freq[i] = pow(theta, -2.0 * i / c->head_dim);
    c->rope_attention_scale = 1;
    snprintf(c->rope_text, sizeof c->rope_text, "theta=%.17g", theta);
    if (type[0] == '\0' || strcmp(type, "default") == 0) return;
    double factor = read_real(r, rope, "factor", 1, 1e6, 1);
    if (strcmp(type, "yarn") == 0) {
        make_yarn(r, rope, c, theta, factor);
    } else if (strcmp(type, "linear") == 0) {
        for (uint32_t i = 0; i < c->head_dim / 2; i++) c->rope_inv_freq[i] /= factor;
        snprintf(c->rope_text, sizeof c->rope_text, "linear theta=%.17g factor=%.17g", theta, factor);
    } else {
        refuse(r, "this kind of \"rope_scaling\" is not supported (default, linear and yarn are)");
    }
}

/* ----------------------------------------------------------------------------------------------- attention and sections */

static void read_sfa(reader *r, eng_config *c)
{
    const json_t *sfa = json_object_get(r->root, "sfa");
    if (sfa != NULL && !json_is_null(sfa) && !json_is_object(sfa)) refuse(r, "\"sfa\" is not an object");
    if (r->status != ENG_OK) return;
    kern_kv_format *f = &c->kv_format;
    char where[32];
    read_text(r, sfa, "where", where, sizeof where);
    uint32_t k_key = read_number(r, sfa, "k_key", 0, c->head_dim, 0), k_query = read_number(r, sfa, "k_query", 0, c->head_dim, 0);
    uint32_t bits = read_number(r, sfa, "value_bits", 0, 16, 0), group = read_number(r, sfa, "value_group", 1, KERN_HEAD_DIM_MAX, 32);
    if (where[0] != '\0' && strcmp(where, "after_rope") != 0) refuse(r, "\"sfa\": only \"where\": \"after_rope\" is supported");
    if (r->status != ENG_OK) return;
    f->d = (uint16_t)c->head_dim;
    f->k_key = (uint16_t)(k_key == 0 ? c->head_dim : k_key);
    f->k_query = (uint16_t)(k_query == 0 ? c->head_dim : k_query);
    f->value_group = (uint16_t)(group > c->head_dim ? c->head_dim : group);
    f->key_type = KERN_KEY_CODE8;
    switch (bits) {
    case 0:
    case 8:
        f->value_type = KERN_VALUE_Q8;
        break;
    case 4:
        f->value_type = KERN_VALUE_Q4;
        break;
    case 16:
        f->value_type = KERN_VALUE_F16;
        break;
    default:
        refuse(r, "\"sfa\": \"value_bits\" is not 4, 8 or 16");
    }
}

static void read_sections(reader *r, eng_config *c)
{
    const json_t *sections = json_object_get(r->root, "sections");
    if (sections == NULL || json_is_null(sections)) {
        c->section_mode = ENG_SECTIONS_CONTINUOUS;
        c->section_tokens_max = c->n_context < CONTINUOUS_SECTION_TOKENS ? c->n_context : CONTINUOUS_SECTION_TOKENS;
        return;
    }
    if (!json_is_object(sections)) {
        refuse(r, "\"sections\" is not an object");
        return;
    }
    char reply[64];
    c->section_mode = ENG_SECTIONS_INDEPENDENT;
    c->end_position = read_number(r, sections, "end_position", 16, c->n_context, UINT32_MAX);
    c->section_tokens_max = c->end_position;
    read_text(r, sections, "absent", c->absent_reply, sizeof c->absent_reply);
    read_text(r, sections, "reply", reply, sizeof reply);
    if (strcmp(reply, "quotation_answer") == 0)
        c->reply_form = ENG_REPLY_QUOTATION_ANSWER;
    else if (strcmp(reply, "answer") == 0)
        c->reply_form = ENG_REPLY_ANSWER;
    else if (reply[0] == '\0' || strcmp(reply, "free") == 0)
        c->reply_form = ENG_REPLY_FREE;
    else
        refuse(r, "\"sections\": this form of \"reply\" is not known");
}

eng_status eng_config_parse(const char *json, size_t n_bytes, const char *name, eng_config *ret_config, eng_error *error)
{
    json_t *root;
    eng_status status = eng_json_parse(json, n_bytes, VALUES_MAX, name, &root, error);
    if (status != ENG_OK) return status;
    reader r = {.root = root, .name = name, .error = error};
    eng_config config = {0};
    check_architecture(&r);
    if (r.status == ENG_OK) read_shapes(&r, &config);
    if (r.status == ENG_OK) read_rope(&r, &config);
    if (r.status == ENG_OK) read_sfa(&r, &config);
    if (r.status == ENG_OK) read_sections(&r, &config);
    read_text(&r, root, "license", config.license, sizeof config.license);
    read_text(&r, root, "attribution", config.attribution, sizeof config.attribution);
    json_decref(root);
    if (r.status == ENG_OK) *ret_config = config;
    return r.status;
}

eng_status eng_config_apply(eng_config *config, const eng_model_options *options, const char *name, eng_error *error)
{
    kern_kv_format *f = &config->kv_format;
    if (options != NULL) {
        if (options->value_type_set) f->value_type = options->value_type;
        if (options->key_type_set) f->key_type = options->key_type;
        if (options->k_key != 0) f->k_key = options->k_key;
        if (options->k_query != 0) f->k_query = options->k_query;
    }
    if (options != NULL && options->section_mode_set && options->section_mode != config->section_mode) {
        config->section_mode = options->section_mode;
        config->sections_approximate = options->section_mode == ENG_SECTIONS_INDEPENDENT;
        config->end_position = !config->sections_approximate ? 0
                               : config->n_context / 2 < INDEPENDENT_END_POSITION ? config->n_context / 2 : INDEPENDENT_END_POSITION;
        config->section_tokens_max = config->sections_approximate ? config->end_position
                                     : config->n_context < CONTINUOUS_SECTION_TOKENS ? config->n_context : CONTINUOUS_SECTION_TOKENS;
    }
    if (f->k_key > f->d || f->k_query > f->d) return eng_fail(error, ENG_LIMIT, "%s: k is larger than the head dimension %u", name, f->d);
    if (!kern_kv_format_valid(f))
        return eng_fail(error, ENG_UNSUPPORTED, "%s: keys with k = %u (queries %u) of %u and this type of values are not supported", name,
                        f->k_key, f->k_query, f->d);
    return ENG_OK;
}
