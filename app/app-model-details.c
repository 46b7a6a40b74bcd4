/* app-model-details.c: see app-model-details.h. */
#include "app-model-details.h"

#include "app-engine-internal.h"
#include "app-library-internal.h"
#include "app-models.h"

enum { TYPICAL_SECTION_TOKENS = 1024 };

void app_model_details_free(AppModelDetails *details)
{
    if (details == NULL) return;
    g_free(details->name);
    g_free(details->weights);
    g_free(details->values);
    g_free(details);
}

static const char *values_text(kern_value_type type)
{
    static const char *const texts[] = {[KERN_VALUE_Q4] = "4-bit", [KERN_VALUE_Q8] = "8-bit", [KERN_VALUE_F16] = "16-bit", [KERN_VALUE_F32] = "32-bit"};
    return texts[type];
}

AppModelDetails *app_model_describe(AppLibrary *library, const char *model, GError **error)
{
    g_autofree char *path = app_models_find(app_library_get_folder(library), model, error);
    if (path == NULL) return NULL;
    g_autofree char *memo = g_build_filename(app_library_get_folder(library), "model-digests", NULL);
    eng_model_options options = {.digest_memo_path = memo};
    eng_error engine_error;
    eng_model *opened = NULL;
    eng_status status = eng_model_open(path, &options, &opened, &engine_error);
    if (status != ENG_OK) {
        app_engine_set_error(error, status, &engine_error);
        return NULL;
    }
    const eng_model_info *info = eng_model_get_info(opened);
    AppModelDetails *details = g_new0(AppModelDetails, 1);
    details->name = g_strdup(info->name);
    details->weights = g_strdup(info->weight_types);
    details->values = g_strdup(values_text(info->kv_format.value_type));
    details->n_parameters = info->n_parameters;
    details->n_file_bytes = info->file_bytes;
    details->n_layers = info->n_layers;
    details->n_context = info->n_context;
    details->n_section_tokens = info->section_tokens_max;
    details->d = info->kv_format.d;
    details->k_key = info->kv_format.k_key;
    details->k_query = info->kv_format.k_query;
    details->reads_sections = info->section_mode == ENG_SECTIONS_INDEPENDENT;
    details->quotes_by_itself = info->reply_form != ENG_REPLY_FREE;
    uint32_t n = MIN(info->section_tokens_max, (uint32_t)TYPICAL_SECTION_TOKENS);
    details->cache_bytes_a_token = n > 0 ? (double)eng_record_bytes(opened, n) / n : 0;
    /* Buffers: activations of a batch of sections in f32, of which the feed-forward and the logits are the widest. */
    details->n_memory_bytes = info->file_bytes + (uint64_t)info->section_tokens_max * 4 * (2 * (uint64_t)info->n_ffn + 6 * (uint64_t)info->n_hidden);
    g_autofree char *name = g_strdup_printf("rate %s", info->name), *rate = app_library_get_setting(library, name);
    details->read_tokens_per_s = rate != NULL ? g_ascii_strtod(rate, NULL) : 0;
    eng_model_close(opened);
    return details;
}
