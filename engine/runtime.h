/* runtime.h: the forward pass, for runtime.c, session.c and rank.c.
 *
 * Owns: the description of one pass (which tokens, where their keys and values go, what they attend to) and the buffers it runs in.
 * Does not own: weights (model.h), cached sections (cache*.c), what the results mean.
 */
#ifndef ENG_RUNTIME_H
#define ENG_RUNTIME_H

#include "model.h"

/* One sequence of tokens in a pass. Its keys and values are written to token `at` on of `blocks` (one for each layer) and it attends
 * to all of `sections_by_layer` and causally to its own block. */
typedef struct eng_segment {
    const uint32_t *ids;
    uint32_t n_tokens;
    uint32_t first_position;
    void *const *blocks; /* [n_layers] */
    uint32_t capacity, at;
    const kern_kv_block *sections_by_layer; /* [n_layers][n_sections] */
    size_t n_sections;
    float *mass;              /* see kern_attend_job; summed over layers */
    const size_t *mass_first; /* [n_sections] */
} eng_segment;

typedef struct eng_pass_stats {
    uint64_t value_rows, value_rows_read;
    double dropped_mass_max;
} eng_pass_stats;

/* Called after each layer's queries are coded and before they attend; a status other than ENG_OK ends the pass. */
typedef eng_status (*eng_layer_fn)(void *user, uint32_t layer, const kern_queries *queries, eng_error *error);

typedef struct eng_pass {
    const eng_segment *segments;
    size_t n_segments;
    float drop_mass;
    struct eng_fetch *fetch; /* brings the sections in, layer by layer (cache-fetch.h); NULL: they are there */
    eng_layer_fn on_layer; /* NULL: none */
    void *on_layer_user;
} eng_pass;

enum { ENG_PASS_ROWS = 2048, ENG_SEGMENTS_MAX = 64 };

struct eng_runtime {
    eng_model *model;
    kern_context *kern;
    struct eng_gpu *gpu; /* gpu.h; NULL: never */
    bool last_on_gpu;    /* the last pass ran there, and its states are there: logits may want it again from the CPU */
    eng_pass last_pass;
    eng_segment last_segments[ENG_SEGMENTS_MAX];
    const bool *cancel;
    eng_runtime_stats stats;
    size_t n_rows_max;
    void *arena; /* all of the buffers below */
    float *x, *h, *q, *k, *v, *attended, *gate, *up, *rope_cos, *rope_sin;
    kern_queries queries;
};

/* Runs a pass of at most n_rows_max tokens in all, on the GPU where there is one. The states after the last norm, [rows][n_hidden], in the
 * order of the segments, are in runtime->h or on the GPU: eng_logits finds them, as long as what the pass points to is there. stats may be
 * NULL and is added to. */
eng_status eng_forward(eng_runtime *runtime, const eng_pass *pass, eng_pass_stats *stats, eng_error *error);
/* ret_logits [n_rows][n_vocabulary] of rows first_row .. of the last pass. */
eng_status eng_logits(eng_runtime *runtime, size_t first_row, size_t n_rows, float *ret_logits, eng_error *error);
/* sections' blocks, turned to [n_layers][n]; NULL when out of memory. Free with free. */
kern_kv_block *eng_sections_by_layer(const eng_model *model, const eng_section *sections, size_t n);
/* Memory that a runtime of this model takes for its buffers. */
size_t eng_runtime_buffer_bytes(eng_model *model);
/* A kern_status in the engine's words. */
eng_status eng_fail_kern(eng_error *error, kern_status status);

#endif
