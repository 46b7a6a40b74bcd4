/* members.c: see members.h. */
#include "members.h"

#include "gguf.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONFIG_BYTES_MAX = 1 << 20,
    TOKENIZER_BYTES_MAX = 128 << 20,
    TEMPLATE_BYTES_MAX = 4 << 20,
    TEMPLATE_VALUES_MAX = 1000000, /* tokenizer_config.json lists every added token */
};

static const struct {
    const char *file, *tensor;
    size_t bytes_max;
} members[] = {
    [ENG_MEMBER_CONFIG] = {"config.json", ENG_PACKED_CONFIG, CONFIG_BYTES_MAX},
    [ENG_MEMBER_TOKENIZER] = {"tokenizer.json", ENG_PACKED_TOKENIZER, TOKENIZER_BYTES_MAX},
};

/* "folder/file" or, for a file's part, "path: file". NULL: out of memory. */
static char *join(const char *path, const char *between, const char *file)
{
    size_t size = strlen(path) + strlen(between) + strlen(file) + 1;
    char *joined = malloc(size);
    if (joined != NULL) snprintf(joined, size, "%s%s%s", path, between, file);
    return joined;
}

/* A tensor of bytes, with a 0 byte behind. ENG_NOT_FOUND: there is none. */
static eng_status read_tensor(const eng_weights *weights, const char *tensor, const char *name, size_t bytes_max, char **ret_data,
                              size_t *ret_n_bytes, eng_error *error)
{
    const eng_tensor *bytes = eng_safetensors_find(weights->files[0], tensor);
    if (bytes == NULL) return eng_fail(error, ENG_NOT_FOUND, "%s is missing", name);
    if (bytes->dtype != ENG_DTYPE_U8 || bytes->n_bytes > bytes_max) return eng_fail(error, ENG_BAD_FILE, "%s is too large or no text", name);
    char *copy = malloc(bytes->n_bytes + 1);
    if (copy == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", name);
    memcpy(copy, bytes->data, bytes->n_bytes);
    copy[bytes->n_bytes] = '\0';
    *ret_data = copy;
    *ret_n_bytes = bytes->n_bytes;
    return ENG_OK;
}

eng_status eng_member_read(const eng_weights *weights, const char *path, eng_member member, char **ret_data, size_t *ret_n_bytes,
                           char **ret_name, eng_error *error)
{
    bool is_folder = !weights->packed && weights->gguf == NULL;
    char *name = join(path, is_folder ? "/" : ": ", members[member].file);
    if (name == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", path);
    char *data = NULL;
    size_t n_bytes = 0;
    eng_status status;
    if (weights->gguf != NULL) {
        status = member == ENG_MEMBER_CONFIG ? eng_gguf_make_config(weights->gguf, &data, error)
                                             : eng_gguf_make_tokenizer(weights->gguf, &data, error);
        n_bytes = data == NULL ? 0 : strlen(data);
    } else if (weights->packed) {
        status = read_tensor(weights, members[member].tensor, name, members[member].bytes_max, &data, &n_bytes, error);
        if (status == ENG_NOT_FOUND) status = eng_fail(error, ENG_BAD_FILE, "%s is missing", name);
    } else {
        status = eng_file_read(name, members[member].bytes_max, &data, &n_bytes, error);
    }
    if (status != ENG_OK) {
        free(name);
        return status;
    }
    *ret_data = data;
    *ret_n_bytes = n_bytes;
    *ret_name = name;
    return ENG_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- chat */

/* A file of a folder, parsed; NULL in *ret_root when it is not there. */
static eng_status parse_optional(const char *folder, const char *file, json_t **ret_root, eng_error *error)
{
    char *name = join(folder, "/", file), *text;
    size_t n_bytes;
    *ret_root = NULL;
    if (name == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", folder);
    eng_status status = eng_file_read(name, TEMPLATE_BYTES_MAX, &text, &n_bytes, NULL);
    if (status == ENG_OK) {
        status = eng_json_parse(text, n_bytes, TEMPLATE_VALUES_MAX, name, ret_root, error);
        free(text);
    } else if (status == ENG_NOT_FOUND) {
        status = ENG_OK;
    } else {
        status = eng_fail(error, status, "%s: cannot be read, or is larger than %d MB", name, TEMPLATE_BYTES_MAX >> 20);
    }
    free(name);
    return status;
}

/* The template stands in chat_template.jinja or in tokenizer_config.json: a text, or a list of named ones. */
static eng_status read_template(const char *folder, eng_chat *chat, eng_error *error)
{
    char *name = join(folder, "/", "chat_template.jinja"), *text;
    size_t n_bytes;
    if (name == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", folder);
    eng_status status = eng_file_read(name, TEMPLATE_BYTES_MAX, &text, &n_bytes, NULL);
    free(name);
    if (status == ENG_OK) {
        eng_chat_read_template(chat, text, n_bytes);
        free(text);
        return ENG_OK;
    }
    json_t *config, *found;
    status = parse_optional(folder, "tokenizer_config.json", &config, error);
    if (status != ENG_OK || config == NULL) return status;
    found = json_object_get(config, "chat_template");
    if (json_is_array(found)) found = json_object_get(json_array_get(found, 0), "template");
    if (json_is_string(found)) eng_chat_read_template(chat, json_string_value(found), json_string_length(found));
    json_decref(config);
    return ENG_OK;
}

static eng_status read_folder_chat(const char *folder, eng_chat *chat, eng_error *error)
{
    static const char *const files[] = {"generation_config.json", "config.json"};
    for (size_t i = 0; i < 2; i++) {
        json_t *root;
        eng_status status = parse_optional(folder, files[i], &root, error);
        if (status == ENG_OK && root != NULL) status = eng_chat_read(chat, root, files[i], error);
        json_decref(root);
        if (status != ENG_OK) return status;
    }
    return read_template(folder, chat, error);
}

static eng_status read_packed_chat(const eng_weights *weights, const char *path, eng_chat *chat, eng_error *error)
{
    char *text;
    size_t n_bytes;
    eng_status status = read_tensor(weights, ENG_PACKED_CHAT, path, CONFIG_BYTES_MAX, &text, &n_bytes, error);
    if (status == ENG_NOT_FOUND) return ENG_OK; /* packed before there was one: the tokenizer's special tokens end replies */
    if (status != ENG_OK) return status;
    json_t *root = NULL;
    status = eng_json_parse(text, n_bytes, CONFIG_BYTES_MAX, path, &root, error);
    if (status == ENG_OK) status = eng_chat_read(chat, root, path, error);
    json_decref(root);
    free(text);
    return status;
}

eng_status eng_member_read_chat(const eng_weights *weights, const char *path, eng_chat *ret_chat, eng_error *error)
{
    eng_chat chat = {0};
    eng_status status = weights->gguf != NULL ? eng_gguf_read_chat(weights->gguf, &chat, error)
                        : weights->packed     ? read_packed_chat(weights, path, &chat, error)
                                              : read_folder_chat(path, &chat, error);
    if (status == ENG_OK) *ret_chat = chat;
    return status;
}
