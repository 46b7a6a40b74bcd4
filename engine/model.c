/* model.c: opening a model.
 *
 * Owns: the order of opening: config.json, tokenizer.json, weights, digests, identity; a folder, a compact file or a GGUF file.
 * Does not own: each of these (members.c, config.c, tokenizer-load.c, weights.c, digest.c, identity.c).
 */
#include "model.h"

#include "config.h"
#include "digest.h"
#include "identity.h"
#include "members.h"
#include "rotation.h"
#include "weights.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* model->owned */
typedef struct owned {
    eng_weights weights;
    eng_rotation *rotation; /* NULL: none */
    char *path, *name;
    char absent_reply[256];
    char weight_types[32];
} owned;

void eng_model_close(eng_model *model)
{
    if (model == NULL) return;
    owned *own = model->owned;
    if (own != NULL) {
        eng_weights_close(&own->weights);
        eng_rotation_close(own->rotation);
        free(own->path);
        free(own->name);
        free(own);
    }
    eng_tokenizer_free(model->tokenizer);
    free(model->layers);
    free(model->rope_inv_freq);
    free(model->identity);
    free(model);
}

const eng_model_info *eng_model_get_info(const eng_model *model)
{
    return &model->info;
}

const char *eng_model_identity(const eng_model *model)
{
    return model->identity;
}

static eng_status load_config(owned *own, const eng_model_options *options, eng_config *ret_config, eng_error *error)
{
    char *text, *name;
    size_t n_bytes;
    eng_status status = eng_member_read(&own->weights, own->path, ENG_MEMBER_CONFIG, &text, &n_bytes, &name, error);
    if (status != ENG_OK) return status;
    status = eng_config_parse(text, n_bytes, name, ret_config, error);
    if (status == ENG_OK) status = eng_config_apply(ret_config, options, name, error);
    free(text);
    free(name);
    return status;
}

static eng_status load_tokenizer(owned *own, eng_model *model, const eng_config *config, eng_error *error)
{
    char *text, *name;
    size_t n_bytes;
    eng_status status = eng_member_read(&own->weights, own->path, ENG_MEMBER_TOKENIZER, &text, &n_bytes, &name, error);
    if (status != ENG_OK) return status;
    status = eng_tokenizer_new(text, n_bytes, name, &model->tokenizer, error);
    if (status == ENG_OK) {
        eng_sha256(text, n_bytes, &model->info.tokenizer_sha256);
        if (eng_tokenizer_n_vocabulary(model->tokenizer) > config->n_vocabulary)
            status = eng_fail(error, ENG_BAD_FILE, "%s: has ids beyond config.json's vocabulary of %u", name, config->n_vocabulary);
        for (int special = ENG_TOKEN_END; special <= ENG_TOKEN_STOP && status == ENG_OK; special++)
            if (eng_special_token(model, (eng_special)special) == UINT32_MAX)
                status = eng_fail(error, ENG_UNSUPPORTED, "%s: lacks <|endoftext|>, <|im_start|> or <|im_end|>", name);
    }
    free(text);
    free(name);
    return status;
}

/* Without a template, a tokenizer that has the block's tokens tells. With one, it is believed only if they are there. */
static eng_status load_chat(owned *own, eng_model *model, eng_error *error)
{
    eng_status status = eng_member_read_chat(&own->weights, own->path, &model->chat, error);
    if (status != ENG_OK) return status;
    if (!eng_tokenizer_has_thinking(model->tokenizer))
        model->chat.thinking = ENG_THINKING_NONE;
    else if (!model->chat.knows_thinking)
        model->chat.thinking = ENG_THINKING_OPTIONAL;
    model->chat.knows_thinking = true;
    model->info.thinking = model->chat.thinking;
    model->info.temperature = model->chat.temperature;
    model->info.top_p = model->chat.top_p;
    return ENG_OK;
}

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(eng_digest));
}

/* One file: its digest. Shards: the digest of their digests in ascending order. */
static eng_status digest_weights(const owned *own, const eng_model_options *options, eng_digest *ret_digest, eng_error *error)
{
    const eng_weights *w = &own->weights;
    const char *memo = options == NULL ? NULL : options->digest_memo_path;
    if (w->gguf != NULL) return eng_digest_file(own->path, memo, ret_digest, error);
    eng_digest *digests = malloc(w->n_files * sizeof *digests);
    if (digests == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", own->path);
    eng_status status = ENG_OK;
    for (size_t i = 0; i < w->n_files && status == ENG_OK; i++)
        status = eng_digest_file(eng_safetensors_path(w->files[i]), memo, &digests[i], error);
    if (status == ENG_OK && w->n_files == 1) *ret_digest = digests[0];
    if (status == ENG_OK && w->n_files > 1) {
        qsort(digests, w->n_files, sizeof *digests, compare_digests);
        eng_sha256(digests, w->n_files * sizeof *digests, ret_digest);
    }
    free(digests);
    return status;
}

static eng_status count_part(void *user, const eng_part *part, eng_error *error)
{
    (void)error;
    *(uint64_t *)user += part->matrix != NULL ? (uint64_t)part->matrix->n_out * part->matrix->n_in : part->n;
    return ENG_OK;
}

/* All of the info that config.json says, and what a pass needs of it. */
static void fill_settings(eng_model *model, owned *own, const eng_config *c)
{
    memcpy(own->absent_reply, c->absent_reply, sizeof own->absent_reply);
    eng_model_info *info = &model->info;
    info->name = own->name;
    info->path = own->path;
    info->weight_types = own->weight_types;
    info->n_layers = c->n_layers;
    info->n_hidden = c->n_hidden;
    info->n_heads = c->n_heads;
    info->n_kv_heads = c->n_kv_heads;
    info->head_dim = c->head_dim;
    info->n_ffn = c->n_ffn;
    info->n_vocabulary = c->n_vocabulary;
    info->n_context = c->n_context;
    info->tied_embeddings = c->tied_embeddings;
    info->kv_format = c->kv_format;
    info->section_mode = c->section_mode;
    info->section_tokens_max = c->section_tokens_max;
    info->end_position = c->end_position;
    info->sections_approximate = c->sections_approximate;
    info->reply_form = c->reply_form;
    info->absent_reply = own->absent_reply[0] == '\0' ? NULL : own->absent_reply;
    model->norm_eps = c->norm_eps;
    model->rope_attention_scale = c->rope_attention_scale;
    memcpy(model->rope_inv_freq, c->rope_inv_freq, c->head_dim / 2 * sizeof *model->rope_inv_freq);
}

/* What the weights say. */
static void fill_weights_info(eng_model *model, owned *own)
{
    static const char *const type_names[] = {"f32", "f16", "bf16", "q8", "q4"};
    for (unsigned type = 0; type < sizeof type_names / sizeof *type_names; type++) {
        size_t used = strlen(own->weight_types);
        if (own->weights.types_seen >> type & 1)
            snprintf(own->weight_types + used, sizeof own->weight_types - used, "%s%s", used > 0 ? ", " : "", type_names[type]);
    }
    if (own->weights.gguf != NULL) model->info.file_bytes = eng_gguf_bytes(own->weights.gguf);
    for (size_t i = 0; i < own->weights.n_files; i++) model->info.file_bytes += eng_safetensors_bytes(own->weights.files[i]);
    eng_weights_visit(model, count_part, &model->info.n_parameters, NULL);
}

/* See model.h. */
eng_model *eng_model_new_unloaded(const eng_config *config, const char *name, eng_weights **ret_weights)
{
    eng_model *model = calloc(1, sizeof *model);
    owned *own = calloc(1, sizeof *own);
    if (model != NULL) model->owned = own;
    if (model == NULL || own == NULL) {
        free(model);
        free(own);
        return NULL;
    }
    own->path = strdup("");
    own->name = strdup(name);
    model->rope_inv_freq = calloc(KERN_HEAD_DIM_MAX / 2, sizeof *model->rope_inv_freq);
    model->layers = calloc(config->n_layers, sizeof *model->layers);
    if (own->path == NULL || own->name == NULL || model->rope_inv_freq == NULL || model->layers == NULL) {
        eng_model_close(model);
        return NULL;
    }
    fill_settings(model, own, config);
    *ret_weights = &own->weights;
    return model;
}

/* The folder's or file's name without an extension, or what the compact file calls itself. */
static char *make_name(const owned *own)
{
    const char *given = own->weights.packed ? eng_safetensors_metadata(own->weights.files[0], "name") : NULL;
    if (given != NULL && given[0] != '\0' && strlen(given) < 128) return strdup(given);
    size_t end = strlen(own->path), begin;
    while (end > 1 && own->path[end - 1] == '/') end--;
    for (begin = end; begin > 0 && own->path[begin - 1] != '/';) begin--;
    static const char *const extensions[] = {".safetensors", ".gguf"};
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        size_t n = strlen(extensions[i]);
        if (end - begin > n && memcmp(own->path + end - n, extensions[i], n) == 0) end -= n;
    }
    return strndup(own->path + begin, end - begin);
}

static eng_status load_rotation(eng_model *model, owned *own, const eng_model_options *options, eng_error *error)
{
    if (options == NULL || options->rotation_path == NULL) return ENG_OK;
    eng_status status = eng_rotation_open(options->rotation_path, model, options->digest_memo_path, &own->rotation, error);
    if (status != ENG_OK) return status;
    eng_rotation_apply(own->rotation, &model->info, model->layers);
    model->info.rotated = true;
    model->info.rotation_sha256 = *eng_rotation_digest(own->rotation);
    return ENG_OK;
}

static eng_status open_into(eng_model *model, owned *own, const eng_model_options *options, bool is_folder, eng_error *error)
{
    eng_config config;
    eng_status status = ENG_OK;
    own->weights.expand_blocks = options != NULL && options->expand_blocks;
    if (!is_folder) status = eng_weights_open(&own->weights, own->path, false, error);
    if (status == ENG_OK) status = load_config(own, options, &config, error);
    if (status == ENG_OK && is_folder) status = eng_weights_open(&own->weights, own->path, true, error);
    if (status == ENG_OK) status = load_tokenizer(own, model, &config, error);
    if (status == ENG_OK) status = load_chat(own, model, error);
    if (status == ENG_OK) status = eng_weights_bind(&own->weights, &config, model, error);
    if (status == ENG_OK) status = digest_weights(own, options, &model->info.weights_sha256, error);
    if (status != ENG_OK) return status;
    own->name = make_name(own);
    model->rope_inv_freq = calloc(KERN_HEAD_DIM_MAX / 2, sizeof *model->rope_inv_freq);
    if (own->name == NULL || model->rope_inv_freq == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", own->path);
    fill_settings(model, own, &config);
    fill_weights_info(model, own);
    status = load_rotation(model, own, options, error);
    if (status != ENG_OK) return status;
    model->identity = eng_identity_new(&model->info, &config);
    return model->identity == NULL ? eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", own->path) : ENG_OK;
}

static eng_status open_model(const char *path, const eng_model_options *options, bool keep_blocks, eng_model **ret_model, eng_error *error)
{
    struct stat st;
    if (stat(path, &st) != 0) return eng_fail(error, errno == ENOENT ? ENG_NOT_FOUND : ENG_IO, "%s: %s", path, eng_errno_text(errno));
    eng_model *model = calloc(1, sizeof *model);
    owned *own = calloc(1, sizeof *own);
    if (own != NULL) own->path = strdup(path);
    eng_status status = ENG_OK;
    if (model == NULL || own == NULL || own->path == NULL) status = eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", path);
    if (model != NULL) model->owned = own;
    if (own != NULL) own->weights.keep_blocks = keep_blocks;
    if (status == ENG_OK) status = open_into(model, own, options, S_ISDIR(st.st_mode), error);
    if (status != ENG_OK) {
        if (model == NULL && own != NULL) free(own->path);
        if (model == NULL) free(own);
        eng_model_close(model);
        return status;
    }
    *ret_model = model;
    return ENG_OK;
}

eng_status eng_model_open(const char *path, const eng_model_options *options, eng_model **ret_model, eng_error *error)
{
    return open_model(path, options, false, ret_model, error);
}

eng_status eng_model_open_source(const char *path, eng_model **ret_model, eng_error *error)
{
    return open_model(path, NULL, true, ret_model, error);
}

const eng_weights *eng_model_get_weights(const eng_model *model)
{
    return &((const owned *)model->owned)->weights;
}
