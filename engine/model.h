/* model.h: what a loaded model is made of, for the rest of engine/.
 *
 * Owns: the in-memory description of weights, tokenizer and settings, as model.c and its helpers build it.
 * Does not own: running it (runtime.c, session.c), caching what it computes (cache*.c).
 *
 * Everything here is validated when the model is opened: shapes agree, pointers are inside their mapping, and no hot code has
 * to check again.
 */
#ifndef ENG_MODEL_H
#define ENG_MODEL_H

#include "chat.h"
#include "eng.h"

typedef struct eng_layer {
    kern_weight q_proj, k_proj, v_proj, o_proj;    /* [heads*d][hidden], [kv*d][hidden], same, [hidden][heads*d] */
    kern_weight gate_proj, up_proj, down_proj;     /* [ffn][hidden], same, [hidden][ffn] */
    const float *input_norm, *post_attention_norm; /* [hidden] */
    const float *q_norm, *k_norm;                  /* [d] */
    const float *q_bias, *k_bias, *v_bias, *o_bias; /* NULL unless config.json says attention_bias */
    const float *rotations; /* [kv][d][d], see kern_encode_params; NULL: none (rotation.h) */
} eng_layer;

typedef struct eng_tokenizer eng_tokenizer;

struct eng_model {
    eng_model_info info;
    kern_weight embed;   /* [vocabulary][hidden] */
    kern_weight lm_head; /* the same as embed when tied */
    const float *final_norm;
    eng_layer *layers; /* [n_layers] */
    float norm_eps;
    double *rope_inv_freq; /* [d/2] */
    double rope_attention_scale;
    eng_tokenizer *tokenizer;
    eng_chat chat;
    char *identity;
    void *owned; /* mappings and arenas, model.c's own */
};

/* model.c. For packing: a matrix of quantised blocks has no data, its tensor gives its rows
 * (eng_weights_find_blocks). Never run. */
eng_status eng_model_open_source(const char *path, eng_model **ret_model, eng_error *error);

/* tokenizer-load.c. json is a whole tokenizer.json; `name` is the file's name for messages. */
eng_status eng_tokenizer_new(const char *json, size_t n_bytes, const char *name, eng_tokenizer **ret_tokenizer, eng_error *error);
void eng_tokenizer_free(eng_tokenizer *tokenizer);
bool eng_tokenizer_has_thinking(const eng_tokenizer *tokenizer); /* <think> and </think> are tokens */
size_t eng_tokenizer_n_vocabulary(const eng_tokenizer *tokenizer);

#endif
