/* rotation.c: see rotation.h.
 *
 * Measuring: eigenvectors of the second moment of a head's keys after RoPE, over a text. Of all orthogonal matrices these gather most of the
 * keys' energy in any given number of features; so fewer of them carry the scores that top-k keeps.
 */
#include "rotation.h"

#include "digest.h"
#include "eng-fileops.h"
#include "runtime.h"
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DATA_ALIGN_BYTES = 64,
    WINDOW_TOKENS = 1024,
    SWEEPS_MAX = 40,
};

#define FORMAT "lectern-rotation"
#define VERSION "1"
#define ORTHOGONAL_WITHIN 1e-3

struct eng_rotation {
    eng_safetensors *file;
    const float *data; /* [layers][kv heads][d][d] */
    eng_digest sha256;
};

/* ------------------------------------------------------------------------------------------------------------- the file */

void eng_rotation_close(eng_rotation *rotation)
{
    if (rotation == NULL) return;
    eng_safetensors_close(rotation->file);
    free(rotation);
}

const eng_digest *eng_rotation_digest(const eng_rotation *rotation)
{
    return &rotation->sha256;
}

void eng_rotation_apply(const eng_rotation *rotation, const eng_model_info *info, eng_layer *layers)
{
    size_t n = (size_t)info->n_kv_heads * info->head_dim * info->head_dim;
    for (uint32_t l = 0; l < info->n_layers; l++) layers[l].rotations = rotation->data + l * n;
}

/* Rows of length 1, and R R^T z = z for a z of signs that no file can know: a product of all rows with all others would take longer than
 * opening the model. */
static bool is_orthogonal(const float *matrix, size_t d, uint64_t *state)
{
    double z[KERN_HEAD_DIM_MAX], y[KERN_HEAD_DIM_MAX] = {0}, off = 0;
    for (size_t j = 0; j < d; j++) {
        double norm = 0;
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        z[j] = *state >> 63 ? 1 : -1;
        for (size_t i = 0; i < d; i++) {
            norm += (double)matrix[j * d + i] * (double)matrix[j * d + i];
            y[i] += z[j] * (double)matrix[j * d + i];
        }
        if (!(fabs(norm - 1) < ORTHOGONAL_WITHIN)) return false;
    }
    for (size_t j = 0; j < d; j++) {
        double back = 0;
        for (size_t i = 0; i < d; i++) back += (double)matrix[j * d + i] * y[i];
        off = fmax(off, fabs(back - z[j]));
    }
    return off < ORTHOGONAL_WITHIN * sqrt((double)d);
}

static eng_status check_file(const eng_safetensors *file, const char *path, const eng_model *model, const float **ret_data, eng_error *error)
{
    const eng_model_info *info = &model->info;
    const char *format = eng_safetensors_metadata(file, "format"), *version = eng_safetensors_metadata(file, "version");
    const char *weights = eng_safetensors_metadata(file, "weights_sha256");
    const eng_tensor *t = eng_safetensors_find(file, "rotation");
    if (format == NULL || strcmp(format, FORMAT) != 0 || t == NULL) return eng_fail(error, ENG_BAD_FILE, "%s: does not hold rotations of keys", path);
    if (version == NULL || strcmp(version, VERSION) != 0) return eng_fail(error, ENG_UNSUPPORTED, "%s: of another version of this program", path);
    char wanted[65];
    eng_digest_text(&info->weights_sha256, wanted);
    bool fits = t->dtype == ENG_DTYPE_F32 && t->n_dims == 4 && t->shape[0] == info->n_layers && t->shape[1] == info->n_kv_heads &&
                t->shape[2] == info->head_dim && t->shape[3] == info->head_dim;
    if (weights == NULL || strcmp(weights, wanted) != 0 || !fits)
        return eng_fail(error, ENG_UNSUPPORTED, "%s: was measured with another model than %s; calibrate again", path, info->name);
    size_t d = info->head_dim, n = (size_t)info->n_layers * info->n_kv_heads;
    uint64_t state = (uint64_t)(uintptr_t)file ^ (uint64_t)getpid() << 32;
    for (size_t i = 0; i < n; i++)
        if (!is_orthogonal((const float *)(const void *)t->data + i * d * d, d, &state))
            return eng_fail(error, ENG_BAD_FILE, "%s: matrix %zu is not orthogonal", path, i);
    *ret_data = (const float *)(const void *)t->data;
    return ENG_OK;
}

eng_status eng_rotation_open(const char *path, const eng_model *model, const char *memo_path, eng_rotation **ret_rotation, eng_error *error)
{
    eng_rotation *rotation = calloc(1, sizeof *rotation);
    if (rotation == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", path);
    eng_status status = eng_safetensors_open(path, &rotation->file, error);
    if (status == ENG_OK) status = check_file(rotation->file, path, model, &rotation->data, error);
    if (status == ENG_OK) status = eng_digest_file(path, memo_path, &rotation->sha256, error);
    if (status != ENG_OK) {
        eng_rotation_close(rotation);
        return status;
    }
    *ret_rotation = rotation;
    return ENG_OK;
}

/* Length, JSON, spaces up to where the data may start, data. */
static eng_status write_contents(int fd, const char *path, const eng_model_info *info, const float *data, eng_error *error)
{
    char weights[65], header[1024];
    eng_digest_text(&info->weights_sha256, weights);
    size_t d = info->head_dim, n_bytes = (size_t)info->n_layers * info->n_kv_heads * d * d * sizeof *data;
    memset(header, ' ', sizeof header);
    int n = snprintf(header + 8, sizeof header - 8,
                     "{\"__metadata__\":{\"format\":\"" FORMAT "\",\"version\":\"" VERSION "\",\"weights_sha256\":\"%s\"},"
                     "\"rotation\":{\"dtype\":\"F32\",\"shape\":[%u,%u,%zu,%zu],\"data_offsets\":[0,%zu]}}",
                     weights, info->n_layers, info->n_kv_heads, d, d, n_bytes);
    header[8 + n] = ' ';
    size_t total = (8 + (size_t)n + DATA_ALIGN_BYTES - 1) / DATA_ALIGN_BYTES * DATA_ALIGN_BYTES;
    for (unsigned i = 0; i < 8; i++) header[i] = (char)((uint64_t)(total - 8) >> (8 * i));
    const eng_fileops *ops = eng_fileops_default();
    eng_status status = eng_fileops_write(ops, fd, header, total, 0, path, error);
    if (status == ENG_OK) status = eng_fileops_write(ops, fd, data, n_bytes, total, path, error);
    return status == ENG_OK && ops->fsync(ops, fd) != 0 ? eng_fileops_fail(error, errno, "cannot sync %s: %s", path) : status;
}

static eng_status write_file(const char *path, const eng_model_info *info, const float *data, eng_error *error)
{
    const eng_fileops *ops = eng_fileops_default();
    char beside[4096];
    if ((size_t)snprintf(beside, sizeof beside, "%s.%ld.tmp", path, (long)getpid()) >= sizeof beside)
        return eng_fail(error, ENG_LIMIT, "%s: the path is too long", path);
    int fd = ops->open(ops, beside, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) return eng_fileops_fail(error, errno, "cannot create %s: %s", beside);
    eng_status status = write_contents(fd, beside, info, data, error);
    if (ops->close(ops, fd) != 0 && status == ENG_OK) status = eng_fileops_fail(error, errno, "cannot close %s: %s", beside);
    if (status == ENG_OK && ops->rename(ops, beside, path) != 0) status = eng_fileops_fail(error, errno, "cannot rename to %s: %s", path);
    if (status != ENG_OK) ops->unlink(ops, beside);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ measuring */

/* Eigenvectors of a symmetric matrix, by Jacobi's rotations: `a` [d][d] is used up; column i of vectors belongs to a[i][i]. */
static void diagonalise(double *a, double *vectors, size_t d)
{
    memset(vectors, 0, d * d * sizeof *vectors);
    for (size_t i = 0; i < d; i++) vectors[i * d + i] = 1;
    for (unsigned sweep = 0; sweep < SWEEPS_MAX; sweep++) {
        double off = 0, on = 0;
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++) *(i == j ? &on : &off) += a[i * d + j] * a[i * d + j];
        if (off <= 1e-24 * on) return;
        for (size_t p = 0; p + 1 < d; p++)
            for (size_t q = p + 1; q < d; q++) {
                double apq = a[p * d + q];
                if (apq == 0) continue;
                double theta = (a[q * d + q] - a[p * d + p]) / (2 * apq);
                double t = copysign(1, theta) / (fabs(theta) + sqrt(theta * theta + 1)), c = 1 / sqrt(t * t + 1), s = t * c;
                for (size_t i = 0; i < d; i++) { /* rows of the vectors' transpose: kept so for the sake of strides */
                    double x = vectors[p * d + i], y = vectors[q * d + i];
                    vectors[p * d + i] = c * x - s * y;
                    vectors[q * d + i] = s * x + c * y;
                    x = a[p * d + i], y = a[q * d + i];
                    a[p * d + i] = c * x - s * y;
                    a[q * d + i] = s * x + c * y;
                }
                for (size_t i = 0; i < d; i++) {
                    double x = a[i * d + p], y = a[i * d + q];
                    a[i * d + p] = c * x - s * y;
                    a[i * d + q] = s * x + c * y;
                }
            }
    }
}

typedef struct measuring {
    const eng_rotation_options *options;
    eng_model model; /* the one given, with dense keys in float */
    eng_runtime *runtime;
    void *memory;
    void **blocks; /* [n_layers] into memory */
    double *moments; /* [layers][kv heads][d][d] */
    float *result;
    uint32_t window_tokens, n_tokens; /* n_tokens: of the window */
    eng_error *error;
} measuring;

static eng_status no_memory(const measuring *m)
{
    return eng_fail(m->error, ENG_NO_MEMORY, "not enough memory to measure rotations of keys");
}

/* One KV head of all layers: adds a window's keys to its second moment. */
static void add_keys(void *user, size_t index, unsigned thread)
{
    (void)thread;
    const measuring *m = user;
    const eng_model_info *info = &m->model.info;
    size_t d = info->head_dim, layer = index / info->n_kv_heads;
    kern_kv_block block = {.data = m->blocks[layer], .n_tokens = m->n_tokens, .capacity = eng_section_capacity(m->n_tokens)};
    double *moment = m->moments + index * d * d;
    for (uint32_t t = 1; t < m->n_tokens; t++) { /* not the first: it is <|endoftext|> in every window, and much larger than others */
        float key[KERN_HEAD_DIM_MAX];
        kern_kv_get_key(&info->kv_format, info->n_kv_heads, &block, index % info->n_kv_heads, t, key);
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++) moment[i * d + j] += (double)key[i] * (double)key[j];
    }
}

static int compare_falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The result's columns: eigenvectors, those of most energy first. */
static void make_matrix(void *user, size_t index, unsigned thread)
{
    (void)thread;
    const measuring *m = user;
    size_t d = m->model.info.head_dim;
    double *moment = m->moments + index * d * d, *vectors = malloc(d * d * sizeof *vectors);
    struct {
        double energy;
        size_t row;
    } order[KERN_HEAD_DIM_MAX];
    if (vectors == NULL || (m->options->cancel != NULL && __atomic_load_n(m->options->cancel, __ATOMIC_RELAXED))) {
        free(vectors);
        return; /* the caller sees zeros where a matrix should be */
    }
    diagonalise(moment, vectors, d);
    for (size_t i = 0; i < d; i++) {
        order[i].energy = moment[i * d + i];
        order[i].row = i;
    }
    qsort(order, d, sizeof *order, compare_falling);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) m->result[(index * d + j) * d + i] = (float)vectors[order[i].row * d + j];
    free(vectors);
}

static eng_status prepare(measuring *m, const eng_model *model)
{
    const eng_rotation_options *o = m->options;
    m->model = *model;
    kern_kv_format *format = &m->model.info.kv_format;
    const eng_model_info *info = &m->model.info;
    format->k_key = format->k_query = format->d;
    format->key_type = KERN_KEY_CODE32;
    m->window_tokens = info->section_tokens_max < WINDOW_TOKENS ? info->section_tokens_max : WINDOW_TOKENS;
    size_t n = (size_t)info->n_layers * info->n_kv_heads * info->head_dim * info->head_dim;
    size_t block_bytes = kern_kv_layout_of(format, info->n_kv_heads, eng_section_capacity(m->window_tokens)).total_bytes;
    m->memory = aligned_alloc(KERN_ALIGN_BYTES, block_bytes * info->n_layers);
    m->blocks = calloc(info->n_layers, sizeof *m->blocks);
    m->moments = calloc(n, sizeof *m->moments);
    m->result = calloc(n, sizeof *m->result);
    if (m->memory == NULL || m->blocks == NULL || m->moments == NULL || m->result == NULL) return no_memory(m);
    memset(m->memory, 0, block_bytes * info->n_layers);
    for (uint32_t l = 0; l < info->n_layers; l++) m->blocks[l] = (uint8_t *)m->memory + l * block_bytes;
    eng_runtime_options options = {.n_threads = o->n_threads, .gpu = ENG_GPU_NEVER};
    eng_status status = eng_runtime_new(&m->model, &options, &m->runtime, m->error);
    if (status == ENG_OK) eng_runtime_set_cancel(m->runtime, o->cancel);
    return status;
}

/* Windows follow each other as in a document that is read in order, or end where sections end. */
static eng_status read_windows(measuring *m)
{
    const eng_rotation_options *o = m->options;
    const eng_model_info *info = &m->model.info;
    uint32_t *window = malloc(m->window_tokens * sizeof *window);
    if (window == NULL) return no_memory(m);
    eng_status status = ENG_OK;
    kern_pool *pool = kern_context_pool(m->runtime->kern);
    window[0] = eng_special_token(&m->model, ENG_TOKEN_END);
    for (size_t at = 0; at < o->n_ids && status == ENG_OK; at += m->window_tokens - 1) {
        m->n_tokens = o->n_ids - at < m->window_tokens - 1 ? (uint32_t)(o->n_ids - at) + 1 : m->window_tokens;
        memcpy(window + 1, o->ids + at, (m->n_tokens - 1) * sizeof *window);
        uint32_t position = UINT32_MAX;
        if (info->section_mode == ENG_SECTIONS_CONTINUOUS) position = (uint32_t)(at % (info->n_context - m->window_tokens + 1));
        eng_read_job job = {.ids = window, .n_tokens = m->n_tokens, .blocks = m->blocks, .first_position = position};
        status = eng_read(m->runtime, &job, 1, m->error);
        if (status == ENG_OK) kern_pool_run(pool, (size_t)info->n_layers * info->n_kv_heads, add_keys, m);
        if (status == ENG_OK && o->progress != NULL) o->progress(o->user, at + m->n_tokens - 1, o->n_ids);
    }
    free(window);
    return status;
}

eng_status eng_rotation_measure(const eng_model *model, const eng_rotation_options *options, const char *path, eng_error *error)
{
    if (options->n_ids == 0) return eng_fail(error, ENG_LIMIT, "there is no text to measure with");
    for (size_t i = 0; i < options->n_ids; i++)
        if (options->ids[i] >= model->info.n_vocabulary) return eng_fail(error, ENG_LIMIT, "token %u is not in the model's vocabulary", options->ids[i]);
    measuring m = {.options = options, .error = error};
    eng_status status = prepare(&m, model);
    if (status == ENG_OK) status = read_windows(&m);
    size_t n = (size_t)model->info.n_layers * model->info.n_kv_heads, d = model->info.head_dim;
    if (status == ENG_OK) {
        kern_pool_run(kern_context_pool(m.runtime->kern), n, make_matrix, &m);
        bool is_cancelled = options->cancel != NULL && __atomic_load_n(options->cancel, __ATOMIC_RELAXED);
        uint64_t state = 1;
        if (is_cancelled) status = eng_fail(error, ENG_CANCELLED, "cancelled");
        for (size_t i = 0; i < n && status == ENG_OK; i++)
            if (!is_orthogonal(m.result + i * d * d, d, &state)) status = eng_fail(error, ENG_UNSUPPORTED, "%s: keys of this text are not finite", path);
    }
    if (status == ENG_OK) status = write_file(path, &model->info, m.result, error);
    eng_runtime_free(m.runtime);
    free(m.memory);
    free(m.blocks);
    free(m.moments);
    free(m.result);
    return status;
}
