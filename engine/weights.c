/* weights.c: see weights.h. */
#include "weights.h"

#include "blocks.h"
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    INDEX_BYTES_MAX = 64 << 20,
    INDEX_VALUES_MAX = 1000000,
    SHARDS_MAX = 1024,
};

struct eng_arena_block {
    eng_arena_block *next;
    size_t n_bytes, used; /* this head among them */
    uint8_t pad[KERN_ALIGN_BYTES - sizeof(void *) - 2 * sizeof(size_t)];
};

/* Weights are read from end to end for every token: with pages of 4 KB a core reads a third less a second than with pages of 2 MB. So
 * matrices share blocks of many megabytes. Under AddressSanitizer each has one of its own, that reading past its end be noticed. */
enum {
    HUGE_PAGE_BYTES = 2 << 20,
    SMALL_BYTES = 64 << 10,
#ifdef __SANITIZE_ADDRESS__
    SHARED_BLOCK_BYTES = 0,
#else
    SHARED_BLOCK_BYTES = 32 << 20,
#endif
};

static eng_arena_block *add_block(eng_weights *weights, size_t n_bytes)
{
    size_t align = n_bytes < HUGE_PAGE_BYTES ? KERN_ALIGN_BYTES : HUGE_PAGE_BYTES;
    n_bytes = (n_bytes + align - 1) / align * align;
    eng_arena_block *block = aligned_alloc(align, n_bytes);
    if (block == NULL) return NULL;
    if (align == HUGE_PAGE_BYTES) madvise(block, n_bytes, MADV_HUGEPAGE); /* only a wish */
    *block = (eng_arena_block){.next = weights->blocks, .n_bytes = n_bytes, .used = sizeof *block};
    return weights->blocks = block;
}

void *eng_weights_allocate(eng_weights *weights, size_t n_bytes)
{
    if (n_bytes > SIZE_MAX / 2) return NULL;
    size_t rounded = (n_bytes + KERN_ALIGN_BYTES - 1) / KERN_ALIGN_BYTES * KERN_ALIGN_BYTES, wanted = sizeof(eng_arena_block) + rounded;
    eng_arena_block *block = n_bytes < SMALL_BYTES ? NULL : weights->blocks;
    while (block != NULL && block->n_bytes - block->used < rounded) block = block->next;
    if (block == NULL) block = add_block(weights, n_bytes < SMALL_BYTES || wanted > SHARED_BLOCK_BYTES ? wanted : SHARED_BLOCK_BYTES);
    if (block == NULL) return NULL;
    void *piece = (uint8_t *)block + block->used;
    block->used += rounded;
    return piece;
}

void eng_weights_close(eng_weights *weights)
{
    for (size_t i = 0; i < weights->n_files; i++) eng_safetensors_close(weights->files[i]);
    free(weights->files);
    eng_gguf_close(weights->gguf);
    json_decref(weights->index);
    while (weights->blocks != NULL) {
        eng_arena_block *next = weights->blocks->next;
        free(weights->blocks);
        weights->blocks = next;
    }
    *weights = (eng_weights){0};
}

/* --------------------------------------------------------------------------------------------------------------- opening */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static eng_status open_one(eng_weights *weights, const char *folder, const char *name, eng_error *error)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    eng_safetensors **grown = realloc(weights->files, (weights->n_files + 1) * sizeof *grown);
    if (grown != NULL) weights->files = grown;
    if (path == NULL || grown == NULL) {
        free(path);
        return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", folder);
    }
    if (folder[0] == '\0')
        snprintf(path, size, "%s", name);
    else
        snprintf(path, size, "%s/%s", folder, name);
    eng_status status = eng_safetensors_open(path, &weights->files[weights->n_files], error);
    if (status == ENG_OK) weights->n_files++;
    free(path);
    return status;
}

static eng_safetensors *find_file(const eng_weights *weights, const char *name)
{
    for (size_t i = 0; i < weights->n_files; i++)
        if (strcmp(base_name(eng_safetensors_path(weights->files[i])), name) == 0) return weights->files[i];
    return NULL;
}

static eng_status open_shards(eng_weights *weights, const char *folder, const char *index_path, eng_error *error)
{
    char *text;
    size_t n_bytes;
    eng_status status = eng_file_read(index_path, INDEX_BYTES_MAX, &text, &n_bytes, error);
    if (status != ENG_OK) return status;
    status = eng_json_parse(text, n_bytes, INDEX_VALUES_MAX, index_path, &weights->index, error);
    free(text);
    if (status != ENG_OK) return status;
    json_t *map = json_object_get(weights->index, "weight_map"), *value;
    if (!json_is_object(map)) return eng_fail(error, ENG_BAD_FILE, "%s: \"weight_map\" is missing", index_path);
    const char *tensor;
    json_object_foreach(map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (name == NULL || name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
            return eng_fail(error, ENG_BAD_FILE, "%s: tensor %.80s: not the name of a file in this folder", index_path, tensor);
        if (find_file(weights, name) != NULL) continue;
        if (weights->n_files == SHARDS_MAX) return eng_fail(error, ENG_BAD_FILE, "%s: more than %d files", index_path, SHARDS_MAX);
        status = open_one(weights, folder, name, error);
        if (status != ENG_OK) return status;
    }
    return ENG_OK;
}

eng_status eng_weights_open(eng_weights *weights, const char *path, bool is_folder, eng_error *error)
{
    if (!is_folder && eng_gguf_is(path)) return eng_gguf_open(path, &weights->gguf, error);
    weights->packed = !is_folder;
    if (!is_folder) {
        eng_status status = open_one(weights, "", path, error);
        if (status != ENG_OK) return status;
        const char *format = eng_safetensors_metadata(weights->files[0], "format"),
                   *version = eng_safetensors_metadata(weights->files[0], "version");
        if (format == NULL || strcmp(format, ENG_PACKED_FORMAT) != 0)
            return eng_fail(error, ENG_UNSUPPORTED, "%s: not a packed model (open the folder that it belongs to)", path);
        if (version == NULL || strcmp(version, ENG_PACKED_VERSION) != 0)
            return eng_fail(error, ENG_UNSUPPORTED, "%s: packed in version %.20s of the format; this program reads version %s", path,
                            version == NULL ? "?" : version, ENG_PACKED_VERSION);
        return ENG_OK;
    }
    eng_status status = open_one(weights, path, "model.safetensors", error);
    if (status != ENG_NOT_FOUND) return status;
    size_t size = strlen(path) + sizeof "/model.safetensors.index.json";
    char *index_path = malloc(size);
    if (index_path == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", path);
    snprintf(index_path, size, "%s/model.safetensors.index.json", path);
    status = open_shards(weights, path, index_path, error);
    if (status == ENG_NOT_FOUND && weights->index == NULL)
        status = eng_fail(error, ENG_NOT_FOUND, "%s: neither model.safetensors nor model.safetensors.index.json is there", path);
    free(index_path);
    return status;
}

/* --------------------------------------------------------------------------------------------------------------- binding */

typedef struct binder {
    eng_weights *weights;
    const eng_config *config;
    eng_error *error;
} binder;

/* What Hugging Face's checkpoints call NAME, GGUF files call otherwise. False: too long, or no name of a Qwen3 tensor. */
static bool gguf_name(const char *name, char *ret_name, size_t size)
{
    static const char *const names[][2] = {
        {"self_attn.q_proj", "attn_q"},   {"self_attn.k_proj", "attn_k"},      {"self_attn.v_proj", "attn_v"},
        {"self_attn.o_proj", "attn_output"}, {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
        {"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"}, {"mlp.gate_proj", "ffn_gate"},
        {"mlp.up_proj", "ffn_up"},        {"mlp.down_proj", "ffn_down"},
    };
    if (strcmp(name, "model.embed_tokens.weight") == 0) return (size_t)snprintf(ret_name, size, "token_embd.weight") < size;
    if (strcmp(name, "model.norm.weight") == 0) return (size_t)snprintf(ret_name, size, "output_norm.weight") < size;
    if (strcmp(name, "lm_head.weight") == 0) return (size_t)snprintf(ret_name, size, "output.weight") < size;
    unsigned layer;
    int n = 0;
    const char *dot = strrchr(name, '.');
    if (sscanf(name, "model.layers.%u.%n", &layer, &n) != 1 || n == 0 || dot == NULL || dot < name + n) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i][0]) == (size_t)(dot - name - n) && memcmp(name + n, names[i][0], (size_t)(dot - name - n)) == 0)
            return (size_t)snprintf(ret_name, size, "blk.%u.%s%s", layer, names[i][1], dot) < size;
    return false;
}

static const eng_tensor *find_in_gguf(const eng_gguf *file, const char *name)
{
    char other[96];
    return gguf_name(name, other, sizeof other) ? eng_gguf_find(file, other) : NULL;
}

const eng_tensor *eng_weights_find_blocks(const eng_weights *weights, const char *name)
{
    const eng_tensor *tensor = weights->gguf == NULL ? NULL : find_in_gguf(weights->gguf, name);
    return tensor != NULL && eng_block_format_of(tensor->dtype) != NULL ? tensor : NULL;
}

static eng_status find_tensor(const binder *b, const char *name, const eng_tensor **ret_tensor, const char **ret_path)
{
    const eng_weights *w = b->weights;
    if (w->gguf != NULL) {
        *ret_path = eng_gguf_path(w->gguf);
        *ret_tensor = find_in_gguf(w->gguf, name);
        return *ret_tensor != NULL ? ENG_OK : eng_fail(b->error, ENG_BAD_FILE, "%s: tensor %s is missing", *ret_path, name);
    }
    eng_safetensors *file = w->files[0];
    if (w->index != NULL) {
        const char *shard = json_string_value(json_object_get(json_object_get(w->index, "weight_map"), name));
        file = shard == NULL ? NULL : find_file(w, shard);
        if (file == NULL) return eng_fail(b->error, ENG_BAD_FILE, "model.safetensors.index.json: tensor %s is missing", name);
    }
    *ret_path = eng_safetensors_path(file);
    *ret_tensor = eng_safetensors_find(file, name);
    if (*ret_tensor == NULL) return eng_fail(b->error, ENG_BAD_FILE, "%s: tensor %s is missing", *ret_path, name);
    return ENG_OK;
}

static bool has_shape(const eng_tensor *tensor, uint32_t n_dims, const size_t *shape)
{
    if (tensor->n_dims != n_dims) return false;
    for (uint32_t i = 0; i < n_dims; i++)
        if (tensor->shape[i] != shape[i]) return false;
    return true;
}

static eng_status bad_shape(const binder *b, const char *path, const char *name, size_t n_out, size_t n_in)
{
    return eng_fail(b->error, ENG_BAD_FILE, "%s: tensor %s has not the shape that config.json gives (%zu x %zu)", path, name, n_out, n_in);
}

static float read_float(const eng_tensor *tensor, size_t i)
{
    if (tensor->dtype == ENG_DTYPE_F32) {
        float value;
        memcpy(&value, tensor->data + 4 * i, sizeof value);
        return value;
    }
    uint16_t bits;
    memcpy(&bits, tensor->data + 2 * i, sizeof bits);
    if (tensor->dtype == ENG_DTYPE_F16) return eng_float_of_half(bits);
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static bool is_float(const eng_tensor *tensor)
{
    return tensor->dtype == ENG_DTYPE_F32 || tensor->dtype == ENG_DTYPE_F16 || tensor->dtype == ENG_DTYPE_BF16;
}

/* Norms and biases: always float, always finite; mapped where they are so already. */
static eng_status bind_vector(binder *b, const char *name, size_t n, const float **ret_vector)
{
    const eng_tensor *tensor;
    const char *path;
    if (b->weights->shapes_only) return ENG_OK;
    eng_status status = find_tensor(b, name, &tensor, &path);
    if (status != ENG_OK) return status;
    if (!is_float(tensor))
        return eng_fail(b->error, ENG_UNSUPPORTED, "%s: tensor %s is of type %s", path, name, eng_dtype_name(tensor->dtype));
    if (!has_shape(tensor, 1, &n)) return bad_shape(b, path, name, n, 1);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(read_float(tensor, i)))
            return eng_fail(b->error, ENG_BAD_FILE, "%s: tensor %s has values that are not finite", path, name);
    if (tensor->dtype == ENG_DTYPE_F32 && (uintptr_t)tensor->data % KERN_ALIGN_BYTES == 0) {
        *ret_vector = (const float *)(const void *)tensor->data;
        return ENG_OK;
    }
    float *copy = eng_weights_allocate(b->weights, n * sizeof *copy);
    if (copy == NULL) return eng_fail(b->error, ENG_NO_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < n; i++) copy[i] = read_float(tensor, i);
    *ret_vector = copy;
    return ENG_OK;
}

static eng_status align_data(binder *b, const eng_tensor *tensor, const char *path, const void **ret_data)
{
    *ret_data = tensor->data;
    if ((uintptr_t)tensor->data % KERN_ALIGN_BYTES == 0) return ENG_OK;
    void *copy = eng_weights_allocate(b->weights, tensor->n_bytes);
    if (copy == NULL) return eng_fail(b->error, ENG_NO_MEMORY, "%s: out of memory for tensor %s", path, tensor->name);
    memcpy(copy, tensor->data, tensor->n_bytes);
    *ret_data = copy;
    return ENG_OK;
}

/* Scales are finite; then whatever the 8- or 4-bit values are, products are finite or overflow as floats do. */
static eng_status bind_scales(binder *b, const char *name, const size_t shape[3], kern_weight *weight)
{
    char scales_name[128];
    snprintf(scales_name, sizeof scales_name, "%s.scales", name);
    const eng_tensor *scales;
    const char *path;
    eng_status status = find_tensor(b, scales_name, &scales, &path);
    if (status != ENG_OK) return status;
    if (scales->dtype != (weight->type == KERN_W_Q8 ? ENG_DTYPE_F32 : ENG_DTYPE_F16) || !has_shape(scales, 3, shape) ||
        scales->n_bytes != kern_weight_scales_bytes(weight->type, weight->n_out, weight->n_in))
        return bad_shape(b, path, scales_name, shape[0] * shape[2], shape[1]);
    bool good = true;
    for (size_t i = 0; i < shape[0] * shape[1] * shape[2]; i++) {
        float scale = read_float(scales, i);
        good &= scale >= (weight->type == KERN_W_Q4 ? -65504.0f : 0.0f) && scale <= 3.4e38f; /* repacked Q4_0 has negative ones */
    }
    if (!good) return eng_fail(b->error, ENG_BAD_FILE, "%s: tensor %s has values that are no scales", path, scales_name);
    return align_data(b, scales, path, &weight->scales);
}

static eng_status bind_packed(binder *b, const char *name, const char *path, const eng_tensor *tensor, kern_weight *weight)
{
    bool q8 = tensor->dtype == ENG_DTYPE_I8;
    weight->type = q8 ? KERN_W_Q8 : KERN_W_Q4;
    size_t panels = (weight->n_out + KERN_PANEL_ROWS - 1) / KERN_PANEL_ROWS;
    size_t columns = (weight->n_in + KERN_GROUP_COLS - 1) / KERN_GROUP_COLS * KERN_GROUP_COLS;
    size_t shape[4] = {panels, q8 ? columns / 4 : columns / 32, KERN_PANEL_ROWS, q8 ? 4 : 16};
    size_t scales_shape[3] = {panels, q8 ? columns / KERN_GROUP_COLS : columns / 32, KERN_PANEL_ROWS};
    if (!has_shape(tensor, 4, shape) || tensor->n_bytes != kern_weight_data_bytes(weight->type, weight->n_out, weight->n_in))
        return bad_shape(b, path, name, weight->n_out, weight->n_in);
    eng_status status = bind_scales(b, name, scales_shape, weight);
    if (status != ENG_OK || !q8) return status;
    int32_t *sums = eng_weights_allocate(b->weights, kern_weight_group_sums_bytes(weight->type, weight->n_out, weight->n_in));
    if (sums == NULL) return eng_fail(b->error, ENG_NO_MEMORY, "%s: out of memory", path);
    kern_weight_group_sums(weight, sums);
    weight->group_sums = sums;
    return ENG_OK;
}

static eng_status not_finite(const binder *b, const char *path, const char *name)
{
    return eng_fail(b->error, ENG_BAD_FILE, "%s: tensor %s has values that are not finite", path, name);
}

/* Blocks as f32, value for value. */
static eng_status expand_whole(binder *b, const char *path, const eng_tensor *tensor, kern_weight *weight)
{
    float *values = eng_weights_allocate(b->weights, kern_weight_data_bytes(KERN_W_F32, weight->n_out, weight->n_in));
    if (values == NULL) return eng_fail(b->error, ENG_NO_MEMORY, "%s: out of memory for tensor %s", path, tensor->name);
    if (!eng_blocks_expand(tensor, 0, weight->n_out, values)) return not_finite(b, path, tensor->name);
    weight->type = KERN_W_F32;
    weight->data = values;
    return ENG_OK;
}

/* Blocks into the kernels' own: Q4_0 exactly into 4 bits, others by way of float into 8. */
static eng_status requantise(binder *b, const char *path, const eng_tensor *tensor, kern_weight *weight)
{
    bool is_q4 = tensor->dtype == ENG_DTYPE_Q4_0;
    weight->type = is_q4 ? KERN_W_Q4 : KERN_W_Q8;
    size_t data_bytes = kern_weight_data_bytes(weight->type, weight->n_out, weight->n_in);
    size_t scales_bytes = kern_weight_scales_bytes(weight->type, weight->n_out, weight->n_in);
    void *data = eng_weights_allocate(b->weights, data_bytes), *scales = eng_weights_allocate(b->weights, scales_bytes);
    float *rows = malloc(KERN_PANEL_ROWS * weight->n_in * sizeof *rows);
    int32_t *sums = is_q4 ? NULL : eng_weights_allocate(b->weights, kern_weight_group_sums_bytes(KERN_W_Q8, weight->n_out, weight->n_in));
    eng_status status = ENG_OK;
    if (data == NULL || scales == NULL || rows == NULL || (sums == NULL && !is_q4)) {
        free(rows);
        return eng_fail(b->error, ENG_NO_MEMORY, "%s: out of memory for tensor %s", path, tensor->name);
    }
    memset(data, 0, data_bytes);
    memset(scales, 0, scales_bytes);
    if (is_q4 && !eng_blocks_repack_q4(tensor, 0, weight->n_out, data, scales)) status = not_finite(b, path, tensor->name);
    for (size_t row = 0; row < weight->n_out && !is_q4 && status == ENG_OK; row += KERN_PANEL_ROWS) {
        size_t n_rows = weight->n_out - row < KERN_PANEL_ROWS ? weight->n_out - row : KERN_PANEL_ROWS;
        if (!eng_blocks_expand(tensor, row, n_rows, rows))
            status = not_finite(b, path, tensor->name);
        else
            kern_weight_pack(KERN_W_Q8, data, scales, weight->n_out, weight->n_in, row, n_rows, KERN_W_F32, rows);
    }
    free(rows);
    weight->data = data;
    weight->scales = scales;
    weight->group_sums = sums;
    if (sums != NULL && status == ENG_OK) kern_weight_group_sums(weight, sums);
    return status;
}

static eng_status bind_blocks(binder *b, const char *path, const eng_tensor *tensor, kern_weight *weight)
{
    weight->type = KERN_W_F32;
    weight->data = NULL;
    if (b->weights->keep_blocks) return ENG_OK;
    return b->weights->expand_blocks ? expand_whole(b, path, tensor, weight) : requantise(b, path, tensor, weight);
}

static eng_status bind_matrix(binder *b, const char *name, size_t n_out, size_t n_in, kern_weight *ret_weight)
{
    const eng_tensor *tensor;
    const char *path;
    if (b->weights->shapes_only) {
        *ret_weight = (kern_weight){.type = KERN_W_BF16, .n_out = n_out, .n_in = n_in, .data = b->weights};
        return ENG_OK;
    }
    eng_status status = find_tensor(b, name, &tensor, &path);
    if (status != ENG_OK) return status;
    kern_weight weight = {.n_out = n_out, .n_in = n_in};
    size_t shape[2] = {n_out, n_in};
    bool has_blocks = eng_block_format_of(tensor->dtype) != NULL;
    if ((is_float(tensor) || has_blocks) && !has_shape(tensor, 2, shape)) return bad_shape(b, path, name, n_out, n_in);
    /* Products with float weights load them from anywhere, so that a checkpoint is mapped as it is; panels must be aligned. */
    weight.data = tensor->data;
    if (!is_float(tensor) && !has_blocks) status = align_data(b, tensor, path, &weight.data);
    if (status != ENG_OK) return status;
    if (is_float(tensor)) {
        weight.type = tensor->dtype == ENG_DTYPE_F32 ? KERN_W_F32 : tensor->dtype == ENG_DTYPE_F16 ? KERN_W_F16 : KERN_W_BF16;
    } else if (has_blocks) {
        status = bind_blocks(b, path, tensor, &weight);
        if (status != ENG_OK) return status;
    } else if (b->weights->packed && (tensor->dtype == ENG_DTYPE_I8 || tensor->dtype == ENG_DTYPE_U8)) {
        status = bind_packed(b, name, path, tensor, &weight);
        if (status != ENG_OK) return status;
    } else {
        return eng_fail(b->error, ENG_UNSUPPORTED, "%s: tensor %s is of type %s", path, name, eng_dtype_name(tensor->dtype));
    }
    b->weights->types_seen |= 1u << weight.type;
    *ret_weight = weight;
    return ENG_OK;
}

/* ------------------------------------------------------------------------------------------------------- what a layer has */

/* Sizes by name, so that the tables can say them. */
typedef enum size_name { SIZE_HIDDEN, SIZE_HEADS, SIZE_KV_HEADS, SIZE_FFN, SIZE_HEAD_DIM } size_name;

typedef struct layer_matrix {
    const char *name;
    size_t offset;
    size_name n_out, n_in;
} layer_matrix;

typedef struct layer_vector {
    const char *name;
    size_t offset;
    size_name n;
    bool is_bias;
} layer_vector;

static const layer_matrix layer_matrices[] = {
    {"self_attn.q_proj.weight", offsetof(eng_layer, q_proj), SIZE_HEADS, SIZE_HIDDEN},
    {"self_attn.k_proj.weight", offsetof(eng_layer, k_proj), SIZE_KV_HEADS, SIZE_HIDDEN},
    {"self_attn.v_proj.weight", offsetof(eng_layer, v_proj), SIZE_KV_HEADS, SIZE_HIDDEN},
    {"self_attn.o_proj.weight", offsetof(eng_layer, o_proj), SIZE_HIDDEN, SIZE_HEADS},
    {"mlp.gate_proj.weight", offsetof(eng_layer, gate_proj), SIZE_FFN, SIZE_HIDDEN},
    {"mlp.up_proj.weight", offsetof(eng_layer, up_proj), SIZE_FFN, SIZE_HIDDEN},
    {"mlp.down_proj.weight", offsetof(eng_layer, down_proj), SIZE_HIDDEN, SIZE_FFN},
};

static const layer_vector layer_vectors[] = {
    {"input_layernorm.weight", offsetof(eng_layer, input_norm), SIZE_HIDDEN, false},
    {"post_attention_layernorm.weight", offsetof(eng_layer, post_attention_norm), SIZE_HIDDEN, false},
    {"self_attn.q_norm.weight", offsetof(eng_layer, q_norm), SIZE_HEAD_DIM, false},
    {"self_attn.k_norm.weight", offsetof(eng_layer, k_norm), SIZE_HEAD_DIM, false},
    {"self_attn.q_proj.bias", offsetof(eng_layer, q_bias), SIZE_HEADS, true},
    {"self_attn.k_proj.bias", offsetof(eng_layer, k_bias), SIZE_KV_HEADS, true},
    {"self_attn.v_proj.bias", offsetof(eng_layer, v_bias), SIZE_KV_HEADS, true},
    {"self_attn.o_proj.bias", offsetof(eng_layer, o_bias), SIZE_HIDDEN, true},
};

enum {
    N_LAYER_MATRICES = sizeof layer_matrices / sizeof *layer_matrices,
    N_LAYER_VECTORS = sizeof layer_vectors / sizeof *layer_vectors,
};

static size_t size_of(size_name name, size_t hidden, size_t heads, size_t kv_heads, size_t ffn, size_t head_dim)
{
    switch (name) {
    case SIZE_HIDDEN:
        return hidden;
    case SIZE_HEADS:
        return heads * head_dim;
    case SIZE_KV_HEADS:
        return kv_heads * head_dim;
    case SIZE_FFN:
        return ffn;
    case SIZE_HEAD_DIM:
        break;
    }
    return head_dim;
}

static eng_status bind_layer(binder *b, uint32_t index, eng_layer *layer)
{
    const eng_config *c = b->config;
    char name[96];
    for (size_t i = 0; i < N_LAYER_MATRICES; i++) {
        const layer_matrix *m = &layer_matrices[i];
        snprintf(name, sizeof name, "model.layers.%u.%s", index, m->name);
        eng_status status = bind_matrix(b, name, size_of(m->n_out, c->n_hidden, c->n_heads, c->n_kv_heads, c->n_ffn, c->head_dim),
                                        size_of(m->n_in, c->n_hidden, c->n_heads, c->n_kv_heads, c->n_ffn, c->head_dim),
                                        (kern_weight *)(void *)((char *)layer + m->offset));
        if (status != ENG_OK) return status;
    }
    for (size_t i = 0; i < N_LAYER_VECTORS; i++) {
        const layer_vector *v = &layer_vectors[i];
        if (v->is_bias && !c->attention_bias) continue;
        snprintf(name, sizeof name, "model.layers.%u.%s", index, v->name);
        eng_status status = bind_vector(b, name, size_of(v->n, c->n_hidden, c->n_heads, c->n_kv_heads, c->n_ffn, c->head_dim),
                                        (const float **)(void *)((char *)layer + v->offset));
        if (status != ENG_OK) return status;
    }
    return ENG_OK;
}

eng_status eng_weights_bind(eng_weights *weights, const eng_config *config, eng_model *model, eng_error *error)
{
    binder b = {weights, config, error};
    free(model->layers);
    model->layers = calloc(config->n_layers, sizeof *model->layers);
    if (model->layers == NULL) return eng_fail(error, ENG_NO_MEMORY, "out of memory for %u layers", config->n_layers);
    eng_status status = bind_matrix(&b, "model.embed_tokens.weight", config->n_vocabulary, config->n_hidden, &model->embed);
    if (status == ENG_OK) status = bind_vector(&b, "model.norm.weight", config->n_hidden, &model->final_norm);
    if (status == ENG_OK && config->tied_embeddings)
        model->lm_head = model->embed;
    else if (status == ENG_OK)
        status = bind_matrix(&b, "lm_head.weight", config->n_vocabulary, config->n_hidden, &model->lm_head);
    for (uint32_t i = 0; i < config->n_layers && status == ENG_OK; i++) status = bind_layer(&b, i, &model->layers[i]);
    return status;
}

eng_status eng_weights_visit(const eng_model *model, eng_part_fn visit, void *user, eng_error *error)
{
    const eng_model_info *info = &model->info;
    eng_part part = {.name = "model.embed_tokens.weight", .matrix = &model->embed};
    eng_status status = visit(user, &part, error);
    for (uint32_t l = 0; l < info->n_layers; l++) {
        const eng_layer *layer = &model->layers[l];
        for (size_t i = 0; i < N_LAYER_MATRICES && status == ENG_OK; i++) {
            part = (eng_part){.matrix = (const kern_weight *)(const void *)((const char *)layer + layer_matrices[i].offset)};
            snprintf(part.name, sizeof part.name, "model.layers.%u.%s", l, layer_matrices[i].name);
            status = visit(user, &part, error);
        }
        for (size_t i = 0; i < N_LAYER_VECTORS && status == ENG_OK; i++) {
            const layer_vector *v = &layer_vectors[i];
            part = (eng_part){.vector = *(const float *const *)(const void *)((const char *)layer + v->offset),
                              .n = size_of(v->n, info->n_hidden, info->n_heads, info->n_kv_heads, info->n_ffn, info->head_dim)};
            if (part.vector == NULL) continue;
            snprintf(part.name, sizeof part.name, "model.layers.%u.%s", l, v->name);
            status = visit(user, &part, error);
        }
    }
    part = (eng_part){.name = "model.norm.weight", .vector = model->final_norm, .n = info->n_hidden};
    if (status == ENG_OK) status = visit(user, &part, error);
    part = (eng_part){.name = "lm_head.weight", .matrix = &model->lm_head};
    if (status == ENG_OK && !info->tied_embeddings) status = visit(user, &part, error);
    return status;
}
