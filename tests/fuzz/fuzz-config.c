/* fuzz-config.c: any bytes as a config.json. What is let through is within the limits that its readers rely on.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 */
#include "config.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    eng_config config;
    eng_error error = {0};
    eng_status status = eng_config_parse((const char *)data, size, "config.json", &config, &error);
    if (status == ENG_OK) status = eng_config_apply(&config, NULL, "config.json", &error);
    if (status != ENG_OK) {
        if (error.message[0] == 0) __builtin_trap();
        return 0;
    }
    bool sound = config.head_dim > 0 && config.head_dim <= KERN_HEAD_DIM_MAX && config.n_kv_heads > 0 && config.n_heads % config.n_kv_heads == 0 &&
                 config.n_layers > 0 && config.n_vocabulary > 0 && config.section_tokens_max <= config.n_context &&
                 kern_kv_format_valid(&config.kv_format) && config.norm_eps >= 0;
    for (uint32_t i = 0; i < config.head_dim / 2; i++) sound = sound && isfinite(config.rope_inv_freq[i]);
    if (!sound) __builtin_trap();
    return 0;
}
