/* app-model-details.h: what a model is and what it costs here, for people who choose one.
 *
 * Owns: the facts, taken from the model's file by opening it. Does not own: the list of models (app-models.h), running one.
 */
#ifndef APP_MODEL_DETAILS_H
#define APP_MODEL_DETAILS_H

#include <stdbool.h>

#include "app-library.h"

G_BEGIN_DECLS

typedef struct AppModelDetails {
    char *name, *weights;      /* "bf16", "q8", … */
    uint64_t n_parameters, n_file_bytes;
    uint32_t n_layers, n_context, n_section_tokens;
    uint32_t d, k_key, k_query; /* features of a head, and how many a key and a query keep; k = d: dense */
    char *values;               /* how values are kept: "4-bit", … */
    double cache_bytes_a_token; /* on the disk */
    bool reads_sections;        /* sections by themselves: documents are joined exactly, a change is re-read alone */
    bool quotes_by_itself;      /* replies in the bound form */
    uint64_t n_memory_bytes;    /* about: weights in use and buffers, without cached states, which are mapped */
    double read_tokens_per_s;   /* as measured last with it on this machine; 0: not yet */
} AppModelDetails;
void app_model_details_free(AppModelDetails *details); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppModelDetails, app_model_details_free)

/* Opens the model (a name or a path; NULL the default) and looks. Blocks for as long as that takes: mapping, and for a model seen the
 * first time, hashing its file. */
AppModelDetails *app_model_describe(AppLibrary *library, const char *model, GError **error);

G_END_DECLS

#endif
