/* config.h: what config.json says about a Qwen3 checkpoint.
 *
 * Owns: reading config.json, defaults, limits on every number, rotary frequencies (default, linear, YaRN).
 * Does not own: whether the weights agree (weights.c).
 */
#ifndef ENG_CONFIG_H
#define ENG_CONFIG_H

#include "eng.h"

typedef struct eng_config {
    uint32_t n_layers, n_hidden, n_heads, n_kv_heads, head_dim, n_ffn, n_vocabulary, n_context;
    bool tied_embeddings, attention_bias;
    float norm_eps;
    double rope_inv_freq[KERN_HEAD_DIM_MAX / 2];
    double rope_attention_scale;
    char rope_text[160]; /* for the identity: all that the frequencies were made of */
    kern_kv_format kv_format;
    eng_section_mode section_mode;
    bool sections_approximate;
    uint32_t end_position, section_tokens_max;
    eng_reply_form reply_form;
    char absent_reply[256]; /* "": nothing special */
    char license[256];      /* "license", "" when config.json has none */
    char attribution[512];  /* "attribution", likewise */
} eng_config;

/* `name` is the file's name for messages. ENG_UNSUPPORTED: well-formed, but not something the engine runs. */
eng_status eng_config_parse(const char *json, size_t n_bytes, const char *name, eng_config *ret_config, eng_error *error);

/* The checkpoint's format of keys and values with the caller's wishes in it; refuses what kernels cannot store. */
eng_status eng_config_apply(eng_config *config, const eng_model_options *options, const char *name, eng_error *error);

#endif
