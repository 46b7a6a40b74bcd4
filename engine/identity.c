/* identity.c: all that a cache depends on besides the token ids, as text.
 *
 * Owns: the lines "key: value" of a model's identity, and saying how two identities differ.
 * Does not own: storing them (the cache), the numbers in them (config.c, model.c).
 */
#include "identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDENTITY_VERSION = 1 };

static const char *value_name(kern_value_type type)
{
    static const char *const names[] = {[KERN_VALUE_Q4] = "q4", [KERN_VALUE_Q8] = "q8", [KERN_VALUE_F16] = "f16", [KERN_VALUE_F32] = "f32"};
    return names[type];
}

char *eng_identity_new(const eng_model_info *info, const eng_config *config)
{
    char weights[65], tokenizer[65], rotation[65], *text = malloc(ENG_IDENTITY_BYTES);
    const kern_kv_format *f = &config->kv_format;
    if (text == NULL) return NULL;
    eng_digest_text(&info->weights_sha256, weights);
    eng_digest_text(&info->tokenizer_sha256, tokenizer);
    eng_digest_text(&info->rotation_sha256, rotation);
    int n = snprintf(text, ENG_IDENTITY_BYTES,
             "format: %d\nweights: %s\ntokenizer: %s\nshape: %u layers, %u heads, %u key heads of %u, hidden %u, eps %.9g\nrope: %s\n"
             "key features: %u\nquery features: %u\nkey type: %s\nvalue type: %s\nvalue group: %u\nsections: %s %u\n",
             IDENTITY_VERSION, weights, tokenizer, config->n_layers, config->n_heads, config->n_kv_heads, config->head_dim,
             config->n_hidden, (double)config->norm_eps, config->rope_text, f->k_key, f->k_query,
             f->key_type == KERN_KEY_CODE8 ? "code8" : "code32", value_name(f->value_type),
             f->value_type == KERN_VALUE_Q4 ? f->value_group : 0u,
             config->section_mode == ENG_SECTIONS_INDEPENDENT ? "independent, ending at" : "continuous", config->end_position);
    if (info->rotated) snprintf(text + n, ENG_IDENTITY_BYTES - (size_t)n, "rotation: %s\n", rotation);
    return text;
}

/* The value of `key` (n bytes) in an identity; NULL: it has none. */
static const char *find_value(const char *identity, const char *key, size_t n_key, size_t *ret_n_bytes)
{
    for (const char *line = identity; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        if (n >= n_key + 2 && memcmp(line, key, n_key) == 0 && line[n_key] == ':' && line[n_key + 1] == ' ') {
            *ret_n_bytes = n - n_key - 2;
            return line + n_key + 2;
        }
        line += n + (line[n] == '\n');
    }
    return NULL;
}

static void append_reason(char *ret_reason, size_t n_bytes, const char *line, size_t n_key, const char *stored, size_t n_stored)
{
    size_t used = strlen(ret_reason), n_line = strcspn(line, "\n");
    if (used + 1 >= n_bytes) return;
    const char *separator = used > 0 ? "\n" : "";
    size_t n_wanted = n_line - n_key - 2;
    if (stored == NULL)
        snprintf(ret_reason + used, n_bytes - used, "%s%.*s: not recorded", separator, (int)n_key, line);
    else if (n_stored == 64 && n_wanted == 64) /* digests: their first digits tell enough */
        snprintf(ret_reason + used, n_bytes - used, "%s%.*s: stored with %.12s, now %.12s", separator, (int)n_key, line, stored,
                 line + n_key + 2);
    else
        snprintf(ret_reason + used, n_bytes - used, "%s%.*s: stored with %.*s, now %.*s", separator, (int)n_key, line, (int)n_stored,
                 stored, (int)n_wanted, line + n_key + 2);
}

void eng_identity_difference(const char *stored, const char *wanted, char *ret_reason, size_t n_bytes)
{
    if (n_bytes == 0) return;
    ret_reason[0] = '\0';
    for (const char *line = wanted; *line != '\0';) {
        size_t n = strcspn(line, "\n"), n_stored = 0;
        const char *colon = memchr(line, ':', n);
        size_t n_key = colon == NULL ? n : (size_t)(colon - line);
        const char *value = find_value(stored, line, n_key, &n_stored);
        if (colon != NULL && (value == NULL || n_stored != n - n_key - 2 || memcmp(value, line + n_key + 2, n_stored) != 0))
            append_reason(ret_reason, n_bytes, line, n_key, value, n_stored);
        line += n + (line[n] == '\n');
    }
    for (const char *line = stored; *line != '\0';) { /* what a cache was made with and is not wanted now */
        size_t n = strcspn(line, "\n"), n_wanted = 0, used = strlen(ret_reason);
        const char *colon = memchr(line, ':', n);
        size_t n_key = colon == NULL ? n : (size_t)(colon - line);
        if (colon != NULL && n > n_key + 2 && find_value(wanted, line, n_key, &n_wanted) == NULL && used + 1 < n_bytes)
            snprintf(ret_reason + used, n_bytes - used, "%s%.*s: stored with %.*s, now none", used > 0 ? "\n" : "", (int)n_key, line,
                     n - n_key - 2 == 64 ? 12 : (int)(n - n_key - 2), colon + 2);
        line += n + (line[n] == '\n');
    }
    if (ret_reason[0] == '\0' && strcmp(stored, wanted) != 0)
        snprintf(ret_reason, n_bytes, "format: stored by another version of this program");
}
