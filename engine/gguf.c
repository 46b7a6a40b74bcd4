/* gguf.c: see gguf.h. */
#include "gguf.h"

#include "blocks.h"
#include "map-file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    PAIRS_MAX = 65536,
    TENSORS_MAX = 65536,
    KEY_BYTES_MAX = 65535, /* the format's own limit */
    TENSOR_NAME_BYTES_MAX = 64,
    DIMENSIONS_MAX = 4,
    DEFAULT_ALIGNMENT = 32,
    ALIGNMENT_MAX = 1 << 20,
};

/* Types of values, as the specification numbers them. */
enum { VALUE_U8, VALUE_S8, VALUE_U16, VALUE_S16, VALUE_U32, VALUE_S32, VALUE_F32, VALUE_BOOL, VALUE_TEXT, VALUE_ARRAY, VALUE_U64, VALUE_S64, VALUE_F64 };

static const uint8_t value_bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8}; /* at least, for texts and arrays */

/* Types of tensors that are run. */
static const struct {
    uint32_t number;
    eng_dtype dtype;
    uint16_t n_values, n_bytes;
} tensor_types[] = {
    {0, ENG_DTYPE_F32, 1, 4},      {1, ENG_DTYPE_F16, 1, 2},      {2, ENG_DTYPE_Q4_0, 32, 18},   {8, ENG_DTYPE_Q8_0, 32, 34},
    {12, ENG_DTYPE_Q4_K, 256, 144}, {13, ENG_DTYPE_Q5_K, 256, 176}, {14, ENG_DTYPE_Q6_K, 256, 210}, {30, ENG_DTYPE_BF16, 1, 2},
};

typedef struct pair {
    char *key;
    uint32_t type, element_type; /* element_type: of an array */
    uint64_t n;                  /* elements of an array */
    const uint8_t *data;
} pair;

struct eng_gguf {
    char *path;
    uint8_t *map;
    size_t map_bytes;
    pair *pairs; /* by key */
    size_t n_pairs;
    eng_tensor *tensors; /* by name */
    size_t n_tensors;
};

bool eng_gguf_is(const char *path)
{
    char magic[4] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0;
    if (fd >= 0) close(fd);
    return is;
}

const char *eng_gguf_path(const eng_gguf *file)
{
    return file->path;
}

uint64_t eng_gguf_bytes(const eng_gguf *file)
{
    return file->map_bytes;
}

void eng_gguf_close(eng_gguf *file)
{
    if (file == NULL) return;
    for (size_t i = 0; i < file->n_pairs; i++) free(file->pairs[i].key);
    for (size_t i = 0; i < file->n_tensors; i++) free((char *)(uintptr_t)file->tensors[i].name);
    free(file->pairs);
    free(file->tensors);
    if (file->map != NULL) munmap(file->map, file->map_bytes);
    free(file->path);
    free(file);
}

/* -------------------------------------------------------------------------------------------------------------- reading */

/* What is left to read. Every read checks it first. */
typedef struct cursor {
    eng_gguf *file;
    const uint8_t *at, *end;
    eng_error *error;
} cursor;

static uint64_t load(const uint8_t *at, unsigned n_bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < n_bytes; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static eng_status cut_off(const cursor *c, const char *what)
{
    return eng_fail(c->error, ENG_BAD_FILE, "%s: the file ends within %s", c->file->path, what);
}

static eng_status take_number(cursor *c, unsigned n_bytes, const char *what, uint64_t *ret_value)
{
    if ((size_t)(c->end - c->at) < n_bytes) return cut_off(c, what);
    *ret_value = load(c->at, n_bytes);
    c->at += n_bytes;
    return ENG_OK;
}

static eng_status take_text(cursor *c, const char *what, const char **ret_text, size_t *ret_n_bytes)
{
    uint64_t n_bytes = 0;
    eng_status status = take_number(c, 8, what, &n_bytes);
    if (status != ENG_OK) return status;
    if (n_bytes > (uint64_t)(c->end - c->at)) return cut_off(c, what);
    *ret_text = (const char *)c->at;
    *ret_n_bytes = (size_t)n_bytes;
    c->at += n_bytes;
    return ENG_OK;
}

/* A text that is a name: kept with a 0 byte at its end, so none may be within. */
static eng_status take_name(cursor *c, const char *what, size_t bytes_max, char **ret_name)
{
    const char *text;
    size_t n_bytes;
    eng_status status = take_text(c, what, &text, &n_bytes);
    if (status != ENG_OK) return status;
    if (n_bytes == 0 || n_bytes > bytes_max || memchr(text, 0, n_bytes) != NULL)
        return eng_fail(c->error, ENG_BAD_FILE, "%s: %s is empty, too long or not a text", c->file->path, what);
    *ret_name = strndup(text, n_bytes);
    return *ret_name == NULL ? eng_fail(c->error, ENG_NO_MEMORY, "%s: out of memory", c->file->path) : ENG_OK;
}

static eng_status skip_array(cursor *c, pair *p)
{
    uint64_t type = 0;
    eng_status status = take_number(c, 4, "an array", &type);
    if (status == ENG_OK) status = take_number(c, 8, "an array", &p->n);
    if (status != ENG_OK) return status;
    if (type > VALUE_F64 || type == VALUE_ARRAY)
        return eng_fail(c->error, ENG_BAD_FILE, "%s: %s: an array of values of unknown type %llu", c->file->path, p->key, (unsigned long long)type);
    p->element_type = (uint32_t)type;
    p->data = c->at;
    if (p->n > (uint64_t)(c->end - c->at) / value_bytes[type]) return cut_off(c, p->key);
    if (type != VALUE_TEXT) {
        c->at += p->n * value_bytes[type];
        return ENG_OK;
    }
    for (uint64_t i = 0; i < p->n && status == ENG_OK; i++) {
        const char *text;
        size_t n_bytes;
        status = take_text(c, p->key, &text, &n_bytes);
    }
    return status;
}

static eng_status take_pair(cursor *c, pair *p)
{
    uint64_t type = 0;
    eng_status status = take_name(c, "a key", KEY_BYTES_MAX, &p->key);
    if (status == ENG_OK) status = take_number(c, 4, p->key, &type);
    if (status != ENG_OK) return status;
    if (type > VALUE_F64)
        return eng_fail(c->error, ENG_BAD_FILE, "%s: %s: a value of unknown type %llu", c->file->path, p->key, (unsigned long long)type);
    p->type = (uint32_t)type;
    p->data = c->at;
    if (type == VALUE_ARRAY) return skip_array(c, p);
    if (type == VALUE_TEXT) {
        const char *text;
        size_t n_bytes;
        return take_text(c, p->key, &text, &n_bytes);
    }
    uint64_t ignored = 0;
    status = take_number(c, value_bytes[type], p->key, &ignored);
    if (status == ENG_OK && type == VALUE_BOOL && ignored > 1)
        return eng_fail(c->error, ENG_BAD_FILE, "%s: %s: neither true nor false", c->file->path, p->key);
    return status;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const pair *)a)->key, ((const pair *)b)->key);
}

static eng_status read_pairs(cursor *c, uint64_t n)
{
    eng_gguf *file = c->file;
    for (uint64_t i = 0; i < n; i++) {
        eng_status status = take_pair(c, &file->pairs[file->n_pairs]);
        if (file->pairs[file->n_pairs].key != NULL) file->n_pairs++;
        if (status != ENG_OK) return status;
    }
    qsort(file->pairs, file->n_pairs, sizeof *file->pairs, compare_keys);
    for (size_t i = 1; i < file->n_pairs; i++)
        if (strcmp(file->pairs[i - 1].key, file->pairs[i].key) == 0)
            return eng_fail(c->error, ENG_BAD_FILE, "%s: the key %.80s is there twice", file->path, file->pairs[i].key);
    return ENG_OK;
}

/* -------------------------------------------------------------------------------------------------------------- tensors */

/* Dimensions and type to a size; anything that wraps is refused. Sizes in the file count the row's length first. */
static eng_status size_tensor(cursor *c, eng_tensor *t, const uint64_t *sizes, uint64_t type)
{
    const char *path = c->file->path;
    size_t i = 0;
    while (i < sizeof tensor_types / sizeof *tensor_types && tensor_types[i].number != type) i++;
    if (i == sizeof tensor_types / sizeof *tensor_types)
        return eng_fail(c->error, ENG_UNSUPPORTED,
                        "%s: tensor %s: type %llu is not supported (F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K and Q6_K are)", path, t->name,
                        (unsigned long long)type);
    t->dtype = tensor_types[i].dtype;
    uint64_t n_values = 1;
    for (uint32_t dim = 0; dim < t->n_dims; dim++) {
        t->shape[dim] = sizes[t->n_dims - 1 - dim];
        if (sizes[dim] == 0 || sizes[dim] > INT64_MAX || __builtin_mul_overflow(n_values, sizes[dim], &n_values) || n_values > INT64_MAX)
            return eng_fail(c->error, ENG_BAD_FILE, "%s: tensor %s: a size is 0 or the sizes overflow", path, t->name);
    }
    if (sizes[0] % tensor_types[i].n_values != 0)
        return eng_fail(c->error, ENG_BAD_FILE, "%s: tensor %s: rows of %llu values are no whole number of blocks of %u", path, t->name,
                        (unsigned long long)sizes[0], tensor_types[i].n_values);
    if (__builtin_mul_overflow(n_values / tensor_types[i].n_values, (uint64_t)tensor_types[i].n_bytes, &t->n_bytes))
        return eng_fail(c->error, ENG_BAD_FILE, "%s: tensor %s: the sizes overflow", path, t->name);
    return ENG_OK;
}

/* One entry; its offset is kept in *ret_offset until the data's start is known. */
static eng_status take_tensor(cursor *c, eng_tensor *t, uint64_t *ret_offset)
{
    uint64_t n_dims = 0, type = 0, sizes[DIMENSIONS_MAX] = {0};
    char *name = NULL;
    eng_status status = take_name(c, "a tensor's name", TENSOR_NAME_BYTES_MAX, &name);
    t->name = name;
    if (status == ENG_OK) status = take_number(c, 4, t->name, &n_dims);
    if (status != ENG_OK) return status;
    if (n_dims == 0 || n_dims > DIMENSIONS_MAX)
        return eng_fail(c->error, ENG_BAD_FILE, "%s: tensor %s: %llu dimensions", c->file->path, t->name, (unsigned long long)n_dims);
    t->n_dims = (uint32_t)n_dims;
    for (uint32_t dim = 0; dim < t->n_dims && status == ENG_OK; dim++) status = take_number(c, 8, t->name, &sizes[dim]);
    if (status == ENG_OK) status = take_number(c, 4, t->name, &type);
    if (status == ENG_OK) status = take_number(c, 8, t->name, ret_offset);
    return status == ENG_OK ? size_tensor(c, t, sizes, type) : status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const eng_tensor *)a)->name, ((const eng_tensor *)b)->name);
}

static int compare_places(const void *a, const void *b)
{
    const eng_tensor *x = a, *y = b;
    return x->data < y->data ? -1 : x->data > y->data;
}

static eng_status check_places(eng_gguf *file, eng_error *error)
{
    qsort(file->tensors, file->n_tensors, sizeof *file->tensors, compare_places);
    for (size_t i = 1; i < file->n_tensors; i++)
        if (file->tensors[i - 1].data + file->tensors[i - 1].n_bytes > file->tensors[i].data)
            return eng_fail(error, ENG_BAD_FILE, "%s: tensor %s: overlaps %s", file->path, file->tensors[i].name, file->tensors[i - 1].name);
    qsort(file->tensors, file->n_tensors, sizeof *file->tensors, compare_names);
    for (size_t i = 1; i < file->n_tensors; i++)
        if (strcmp(file->tensors[i - 1].name, file->tensors[i].name) == 0)
            return eng_fail(error, ENG_BAD_FILE, "%s: tensor %s: is there twice", file->path, file->tensors[i].name);
    return ENG_OK;
}

/* The data begins at the next multiple of the alignment, as do all tensors in it. */
static eng_status read_tensors(cursor *c, uint64_t n)
{
    eng_gguf *file = c->file;
    uint64_t alignment = DEFAULT_ALIGNMENT;
    if (eng_gguf_has(file, "general.alignment") &&
        (!eng_gguf_get_number(file, "general.alignment", &alignment) || alignment < 8 || alignment > ALIGNMENT_MAX || (alignment & (alignment - 1)) != 0))
        return eng_fail(c->error, ENG_BAD_FILE, "%s: general.alignment of %llu is not a power of 2 from 8 to 2^20", file->path,
                        (unsigned long long)alignment);
    uint64_t *offsets = calloc(n + 1, sizeof *offsets);
    if (offsets == NULL) return eng_fail(c->error, ENG_NO_MEMORY, "%s: out of memory", file->path);
    eng_status status = ENG_OK;
    for (uint64_t i = 0; i < n && status == ENG_OK; i++) {
        status = take_tensor(c, &file->tensors[file->n_tensors], &offsets[i]);
        if (file->tensors[file->n_tensors].name != NULL) file->n_tensors++;
    }
    uint64_t begin = ((uint64_t)(c->at - file->map) + alignment - 1) / alignment * alignment;
    for (uint64_t i = 0; i < n && status == ENG_OK; i++) {
        eng_tensor *t = &file->tensors[i];
        if (offsets[i] % alignment != 0)
            status = eng_fail(c->error, ENG_BAD_FILE, "%s: tensor %s: its place is not a multiple of %llu", file->path, t->name,
                              (unsigned long long)alignment);
        else if (begin > file->map_bytes || offsets[i] > file->map_bytes - begin || t->n_bytes > file->map_bytes - begin - offsets[i])
            status = eng_fail(c->error, ENG_BAD_FILE, "%s: tensor %s: its data lies outside the file (is the file complete?)", file->path, t->name);
        else
            t->data = file->map + begin + offsets[i];
    }
    free(offsets);
    return status == ENG_OK ? check_places(file, c->error) : status;
}

static eng_status read_header(eng_gguf *file, eng_error *error)
{
    cursor c = {.file = file, .at = file->map, .end = file->map + file->map_bytes, .error = error};
    uint64_t version = 0, n_tensors = 0, n_pairs = 0;
    if (file->map_bytes < 24 || memcmp(file->map, "GGUF", 4) != 0) return eng_fail(error, ENG_BAD_FILE, "%s: not a GGUF file", file->path);
    c.at += 4;
    eng_status status = take_number(&c, 4, "its header", &version);
    if (status == ENG_OK) status = take_number(&c, 8, "its header", &n_tensors);
    if (status == ENG_OK) status = take_number(&c, 8, "its header", &n_pairs);
    if (status != ENG_OK) return status;
    if (version != 2 && version != 3)
        return eng_fail(error, ENG_UNSUPPORTED, "%s: GGUF version %llu%s; versions 2 and 3 are read", file->path, (unsigned long long)version,
                        version > 0 && (version & 0xffff) == 0 ? " (a big-endian file)" : "");
    /* The shortest pair takes 13 bytes, the shortest tensor 33. */
    uint64_t left = (uint64_t)(c.end - c.at);
    if (n_tensors > TENSORS_MAX || n_pairs > PAIRS_MAX || n_pairs > left / 13 || n_tensors > left / 33)
        return eng_fail(error, ENG_BAD_FILE, "%s: claims %llu tensors and %llu pairs, more than it can hold", file->path,
                        (unsigned long long)n_tensors, (unsigned long long)n_pairs);
    file->pairs = calloc(n_pairs + 1, sizeof *file->pairs);
    file->tensors = calloc(n_tensors + 1, sizeof *file->tensors);
    if (file->pairs == NULL || file->tensors == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", file->path);
    status = read_pairs(&c, n_pairs);
    return status == ENG_OK ? read_tensors(&c, n_tensors) : status;
}

eng_status eng_gguf_open(const char *path, eng_gguf **ret_file, eng_error *error)
{
    eng_gguf *file = calloc(1, sizeof *file);
    if (file != NULL) file->path = strdup(path);
    if (file == NULL || file->path == NULL) {
        free(file);
        return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", path);
    }
    eng_status status = eng_map_file(file->path, &file->map, &file->map_bytes, error);
    if (status == ENG_OK) status = read_header(file, error);
    if (status != ENG_OK) {
        eng_gguf_close(file);
        return status;
    }
    *ret_file = file;
    return ENG_OK;
}

/* -------------------------------------------------------------------------------------------------------------- look-ups */

const eng_tensor *eng_gguf_find(const eng_gguf *file, const char *name)
{
    eng_tensor key = {.name = name};
    return file->n_tensors == 0 ? NULL : bsearch(&key, file->tensors, file->n_tensors, sizeof key, compare_names);
}

static const pair *find_pair(const eng_gguf *file, const char *key)
{
    pair wanted = {.key = (char *)(uintptr_t)key};
    return file->n_pairs == 0 ? NULL : bsearch(&wanted, file->pairs, file->n_pairs, sizeof wanted, compare_keys);
}

bool eng_gguf_has(const eng_gguf *file, const char *key)
{
    return find_pair(file, key) != NULL;
}

bool eng_gguf_get_number(const eng_gguf *file, const char *key, uint64_t *ret_number)
{
    const pair *p = find_pair(file, key);
    if (p == NULL) return false;
    bool is_signed = p->type == VALUE_S8 || p->type == VALUE_S16 || p->type == VALUE_S32 || p->type == VALUE_S64;
    if (!is_signed && p->type != VALUE_U8 && p->type != VALUE_U16 && p->type != VALUE_U32 && p->type != VALUE_U64) return false;
    uint64_t number = load(p->data, value_bytes[p->type]);
    if (is_signed && number >> (8 * value_bytes[p->type] - 1) != 0) return false;
    *ret_number = number;
    return true;
}

bool eng_gguf_get_real(const eng_gguf *file, const char *key, double *ret_real)
{
    const pair *p = find_pair(file, key);
    if (p == NULL) return false;
    if (p->type == VALUE_F32) {
        float value;
        memcpy(&value, p->data, sizeof value);
        *ret_real = value;
        return true;
    }
    if (p->type == VALUE_F64) {
        memcpy(ret_real, p->data, sizeof *ret_real);
        return true;
    }
    uint64_t number;
    if (!eng_gguf_get_number(file, key, &number)) return false;
    *ret_real = (double)number;
    return true;
}

bool eng_gguf_get_text(const eng_gguf *file, const char *key, const char **ret_text, size_t *ret_n_bytes)
{
    const pair *p = find_pair(file, key);
    if (p == NULL || p->type != VALUE_TEXT) return false;
    *ret_text = (const char *)p->data + 8;
    *ret_n_bytes = (size_t)load(p->data, 8);
    return true;
}

bool eng_gguf_get_array(const eng_gguf *file, const char *key, bool is_text, eng_gguf_array *ret_array)
{
    const pair *p = find_pair(file, key);
    if (p == NULL || p->type != VALUE_ARRAY) return false;
    if (is_text ? p->element_type != VALUE_TEXT : p->element_type != VALUE_S32 && p->element_type != VALUE_U32) return false;
    *ret_array = (eng_gguf_array){.n = p->n, .at = p->data, .is_text = is_text};
    return true;
}

const char *eng_gguf_next_text(eng_gguf_array *array, size_t *ret_n_bytes)
{
    const char *text = (const char *)array->at + 8;
    *ret_n_bytes = (size_t)load(array->at, 8);
    array->at += 8 + *ret_n_bytes;
    return text;
}

int32_t eng_gguf_next_number(eng_gguf_array *array)
{
    int32_t number = (int32_t)load(array->at, 4);
    array->at += 4;
    return number;
}
