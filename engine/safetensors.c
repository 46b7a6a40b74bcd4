/* safetensors.c: see safetensors.h. */
#include "safetensors.h"

#include "blocks.h"
#include "json.h"
#include "map-file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HEADER_BYTES_MAX = 100000000, /* the format's own limit */
    HEADER_VALUES_MAX = 4000000,
};

struct eng_safetensors {
    char *path;
    uint8_t *map;
    size_t map_bytes;
    json_t *header; /* names and metadata are borrowed from it */
    eng_tensor *tensors;
    size_t n_tensors;
};

static const struct {
    const char *name;
    eng_dtype dtype;
    uint8_t bytes;
} dtypes[] = {
    {"BOOL", ENG_DTYPE_BOOL, 1},  {"U8", ENG_DTYPE_U8, 1},   {"I8", ENG_DTYPE_I8, 1},   {"F8_E4M3", ENG_DTYPE_F8, 1},
    {"F8_E5M2", ENG_DTYPE_F8, 1}, {"I16", ENG_DTYPE_I16, 2}, {"U16", ENG_DTYPE_U16, 2}, {"F16", ENG_DTYPE_F16, 2},
    {"BF16", ENG_DTYPE_BF16, 2},  {"I32", ENG_DTYPE_I32, 4}, {"U32", ENG_DTYPE_U32, 4}, {"F32", ENG_DTYPE_F32, 4},
    {"I64", ENG_DTYPE_I64, 8},    {"U64", ENG_DTYPE_U64, 8}, {"F64", ENG_DTYPE_F64, 8},
};

const char *eng_dtype_name(eng_dtype dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == dtype) return dtypes[i].name;
    const eng_block_format *blocks = eng_block_format_of(dtype);
    return blocks == NULL ? "?" : blocks->name;
}

const char *eng_safetensors_path(const eng_safetensors *file)
{
    return file->path;
}

uint64_t eng_safetensors_bytes(const eng_safetensors *file)
{
    return file->map_bytes;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const eng_tensor *)a)->name, ((const eng_tensor *)b)->name);
}

static int compare_places(const void *a, const void *b)
{
    const eng_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

const eng_tensor *eng_safetensors_find(const eng_safetensors *file, const char *name)
{
    eng_tensor key = {.name = name};
    return file->n_tensors == 0 ? NULL : bsearch(&key, file->tensors, file->n_tensors, sizeof key, compare_names);
}

const char *eng_safetensors_metadata(const eng_safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

void eng_safetensors_close(eng_safetensors *file)
{
    if (file == NULL) return;
    if (file->map != NULL) munmap(file->map, file->map_bytes);
    json_decref(file->header);
    free(file->tensors);
    free(file->path);
    free(file);
}

static bool get_size(const json_t *value, uint64_t *ret_size)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *ret_size = (uint64_t)json_integer_value(value);
    return true;
}

/* One entry of the header, checked by itself: against the data's size, not yet against the other entries. */
static eng_status read_entry(const eng_safetensors *file, const char *name, const json_t *entry, const uint8_t *data, uint64_t data_bytes,
                             eng_tensor *ret_tensor, eng_error *error)
{
    const char *path = file->path, *type = json_string_value(json_object_get(entry, "dtype"));
    const json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    if (type == NULL || !json_is_array(shape) || !json_is_array(offsets) || json_array_size(offsets) != 2)
        return eng_fail(error, ENG_BAD_FILE, "%s: tensor %.80s: dtype, shape or data_offsets is missing", path, name);
    size_t i = 0;
    while (i < sizeof dtypes / sizeof *dtypes && strcmp(dtypes[i].name, type) != 0) i++;
    if (i == sizeof dtypes / sizeof *dtypes)
        return eng_fail(error, ENG_UNSUPPORTED, "%s: tensor %.80s: unknown type %.20s", path, name, type);
    eng_tensor tensor = {.name = name, .dtype = dtypes[i].dtype, .n_dims = (uint32_t)json_array_size(shape)};
    if (json_array_size(shape) > ENG_TENSOR_DIMS_MAX)
        return eng_fail(error, ENG_BAD_FILE, "%s: tensor %.80s: more than %d dimensions", path, name, ENG_TENSOR_DIMS_MAX);
    uint64_t n_bytes = dtypes[i].bytes, begin, end;
    for (uint32_t dim = 0; dim < tensor.n_dims; dim++) {
        if (!get_size(json_array_get(shape, dim), &tensor.shape[dim]))
            return eng_fail(error, ENG_BAD_FILE, "%s: tensor %.80s: a dimension is not a size", path, name);
        if (__builtin_mul_overflow(n_bytes, tensor.shape[dim], &n_bytes))
            return eng_fail(error, ENG_BAD_FILE, "%s: tensor %.80s: the shape's size overflows", path, name);
    }
    if (!get_size(json_array_get(offsets, 0), &begin) || !get_size(json_array_get(offsets, 1), &end) || begin > end || end > data_bytes)
        return eng_fail(error, ENG_BAD_FILE, "%s: tensor %.80s: its data lies outside the file", path, name);
    if (end - begin != n_bytes)
        return eng_fail(error, ENG_BAD_FILE, "%s: tensor %.80s: shape and type need %llu bytes, the offsets give %llu", path, name,
                        (unsigned long long)n_bytes, (unsigned long long)(end - begin));
    tensor.data = data + begin;
    tensor.n_bytes = n_bytes;
    if ((uintptr_t)tensor.data % dtypes[i].bytes != 0)
        return eng_fail(error, ENG_BAD_FILE, "%s: tensor %.80s: misaligned for its type", path, name);
    *ret_tensor = tensor;
    return ENG_OK;
}

static eng_status check_places(eng_safetensors *file, const uint8_t *data, const uint8_t *end, eng_error *error)
{
    qsort(file->tensors, file->n_tensors, sizeof *file->tensors, compare_places);
    const uint8_t *at = data;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const eng_tensor *tensor = &file->tensors[i];
        if (tensor->data < at) return eng_fail(error, ENG_BAD_FILE, "%s: tensor %.80s: overlaps another one", file->path, tensor->name);
        if (tensor->data > at) return eng_fail(error, ENG_BAD_FILE, "%s: tensor %.80s: a hole before it", file->path, tensor->name);
        at += tensor->n_bytes;
    }
    if (at != end) return eng_fail(error, ENG_BAD_FILE, "%s: bytes after the last tensor", file->path);
    qsort(file->tensors, file->n_tensors, sizeof *file->tensors, compare_names);
    return ENG_OK;
}

static eng_status read_header(eng_safetensors *file, eng_error *error)
{
    uint64_t header_bytes = 0;
    if (file->map_bytes < 8) return eng_fail(error, ENG_BAD_FILE, "%s: too short for a safetensors file", file->path);
    for (unsigned i = 0; i < 8; i++) header_bytes |= (uint64_t)file->map[i] << (8 * i);
    if (header_bytes > HEADER_BYTES_MAX) return eng_fail(error, ENG_BAD_FILE, "%s: header larger than 100 MB", file->path);
    if (header_bytes > file->map_bytes - 8) return eng_fail(error, ENG_BAD_FILE, "%s: header larger than the file", file->path);
    if (header_bytes == 0 || file->map[8] != '{') return eng_fail(error, ENG_BAD_FILE, "%s: not a safetensors file", file->path);
    eng_status status = eng_json_parse((const char *)file->map + 8, header_bytes, HEADER_VALUES_MAX, file->path, &file->header, error);
    if (status != ENG_OK) return status;
    const uint8_t *data = file->map + 8 + header_bytes, *end = file->map + file->map_bytes;
    file->tensors = calloc(json_object_size(file->header) + 1, sizeof *file->tensors);
    if (file->tensors == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", file->path);
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) continue;
        status = read_entry(file, name, entry, data, (uint64_t)(end - data), &file->tensors[file->n_tensors], error);
        if (status != ENG_OK) return status;
        file->n_tensors++;
    }
    return check_places(file, data, end, error);
}

eng_status eng_safetensors_open(const char *path, eng_safetensors **ret_file, eng_error *error)
{
    eng_safetensors *file = calloc(1, sizeof *file);
    if (file != NULL) file->path = strdup(path);
    if (file == NULL || file->path == NULL) {
        free(file);
        return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", path);
    }
    eng_status status = eng_map_file(file->path, &file->map, &file->map_bytes, error);
    if (status == ENG_OK) status = read_header(file, error);
    if (status != ENG_OK) {
        eng_safetensors_close(file);
        return status;
    }
    *ret_file = file;
    return ENG_OK;
}
