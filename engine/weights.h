/* weights.h: which tensors a Qwen3 checkpoint is made of, and where they are.
 *
 * Owns: names and shapes of tensors, finding them in one file or in shards, binding them to an eng_model.
 * Does not own: their arithmetic (kernels/), writing them (pack.c).
 */
#ifndef ENG_WEIGHTS_H
#define ENG_WEIGHTS_H

#include "config.h"
#include "gguf.h"
#include "model.h"
#include "safetensors.h"

/* Memory that lives as long as the model: copies of what is not mapped as kernels want it. */
typedef struct eng_arena_block eng_arena_block;
typedef struct eng_weights {
    eng_gguf *gguf;          /* NULL: safetensors */
    eng_safetensors **files; /* one, or the shards */
    size_t n_files;
    json_t *index; /* model.safetensors.index.json; NULL: one file */
    eng_arena_block *blocks;
    unsigned types_seen; /* bit by kern_weight_type */
    bool packed;         /* a compact file */
    bool expand_blocks;  /* see eng_model_options */
    bool keep_blocks;    /* see eng_model_open_source */
    bool shapes_only;    /* no files: matrices get their shapes and bf16, vectors stay NULL; to count */
} eng_weights;

/* path: a folder with model.safetensors or model.safetensors.index.json, a compact file, or a GGUF file. */
eng_status eng_weights_open(eng_weights *weights, const char *path, bool is_folder, eng_error *error);
void eng_weights_close(eng_weights *weights);
void *eng_weights_allocate(eng_weights *weights, size_t n_bytes); /* 64-byte aligned; NULL: out of memory */

/* By the name that Hugging Face's checkpoints use: a matrix of quantised blocks; NULL: it is another kind of tensor. */
const eng_tensor *eng_weights_find_blocks(const eng_weights *weights, const char *name);

/* Fills embed, lm_head, final_norm and layers; all shapes are checked against config. */
eng_status eng_weights_bind(eng_weights *weights, const eng_config *config, eng_model *model, eng_error *error);

/* Every tensor of a bound model, in the order of the compact file. A matrix or a vector [n], never both. */
typedef struct eng_part {
    char name[96];
    const kern_weight *matrix;
    const float *vector;
    size_t n;
} eng_part;
typedef eng_status (*eng_part_fn)(void *user, const eng_part *part, eng_error *error);
eng_status eng_weights_visit(const eng_model *model, eng_part_fn visit, void *user, eng_error *error);

/* model.c. A model with its settings, name and empty layers, whose weights the caller fills from *ret_weights' memory; NULL: out of
 * memory. eng_model_close frees it. */
eng_model *eng_model_new_unloaded(const eng_config *config, const char *name, eng_weights **ret_weights);

const eng_weights *eng_model_get_weights(const eng_model *model);

#define ENG_PACKED_FORMAT "lectern-model"
#define ENG_PACKED_VERSION "1"
#define ENG_PACKED_CONFIG "lectern.config.json"
#define ENG_PACKED_TOKENIZER "lectern.tokenizer.json"
#define ENG_PACKED_CHAT "lectern.chat.json" /* optional: see chat.h */

#endif
