/* pack.c: writing the compact file.
 *
 * Owns: eng_model_pack: the layout of the file and its atomic writing.
 * Does not own: reading it (weights.c, model.c), quantising (kernels/).
 *
 * The compact file is an ordinary safetensors file whose data starts at a multiple of 4096 and whose tensors all start at multiples of
 * 64; the format allows no holes, so tensors "lectern.pad.N" fill them. A matrix NAME of the Hugging Face folder is
 *     NAME         I8 [panels, columns/4, 16, 4]  (8 bits)  or  U8 [panels, columns/32, 16, 16]  (4 bits)   kern.h's panels
 *     NAME.scales  F32 [panels, columns/128, 16]            or  F16 [panels, columns/32, 16]
 * and its true shape stands in __metadata__ as "shape.NAME": "OUTxIN". Sums of groups are not stored: they are cheap to make when the
 * file is opened, and would be 3% of it. Norms and biases are F32. config.json and tokenizer.json are the U8 tensors
 * "lectern.config.json" and "lectern.tokenizer.json", byte for byte, so that the tokenizer's digest stays the folder's; "lectern.chat.json"
 * holds stop tokens and the like (chat.h). A GGUF file's pairs are translated to the same texts. __metadata__
 * also holds format, version, name, source_sha256 (the weights' digest), and license and attribution where config.json states them.
 */
#include "blocks.h"
#include "config.h"
#include "json.h"
#include "members.h"
#include "model.h"
#include "weights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    DATA_ALIGN_BYTES = 4096,
    CHUNK_ROWS = 256,
    PROGRESS_MS = 20,
};

typedef struct packer {
    kern_weight_type type;
    const eng_weights *weights; /* the source's */
    json_t *header, *metadata;
    uint64_t offset; /* of the next tensor, from the data's start */
    unsigned n_pads;
    int fd;
    const char *to;
    char name[96]; /* of the model: the file's own, without its extension */
    const bool *cancel;
    eng_progress_fn progress;
    void *user;
    uint64_t done_bytes, total_bytes;
    int64_t told_ms;
} packer;

/* --------------------------------------------------------------------------------------------------------------- header */

static eng_status no_memory(const packer *p, eng_error *error)
{
    return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", p->to);
}

static size_t element_bytes(kern_weight_type type)
{
    return type == KERN_W_F32 ? 4 : 2;
}

static uint64_t pad_of(uint64_t n_bytes)
{
    return (KERN_ALIGN_BYTES - n_bytes % KERN_ALIGN_BYTES) % KERN_ALIGN_BYTES;
}

static bool put_entry(packer *p, const char *name, const char *dtype, json_t *shape, uint64_t n_bytes)
{
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape, "data_offsets", (json_int_t)p->offset,
                              (json_int_t)(p->offset + n_bytes));
    p->offset += n_bytes;
    return entry != NULL && json_object_set_new(p->header, name, entry) == 0;
}

/* A tensor, and the padding after it. */
static bool describe(packer *p, const char *name, const char *dtype, json_t *shape, uint64_t n_bytes)
{
    if (!put_entry(p, name, dtype, shape, n_bytes)) return false;
    uint64_t pad = pad_of(n_bytes);
    if (pad == 0) return true;
    char pad_name[32];
    snprintf(pad_name, sizeof pad_name, "lectern.pad.%u", p->n_pads++);
    return put_entry(p, pad_name, "U8", json_pack("[I]", (json_int_t)pad), pad);
}

static eng_status describe_part(void *user, const eng_part *part, eng_error *error)
{
    packer *p = user;
    if (part->matrix == NULL)
        return describe(p, part->name, "F32", json_pack("[I]", (json_int_t)part->n), part->n * sizeof(float)) ? ENG_OK
                                                                                                              : no_memory(p, error);
    size_t n_out = part->matrix->n_out, n_in = part->matrix->n_in;
    bool q8 = p->type == KERN_W_Q8;
    json_int_t panels = (json_int_t)((n_out + KERN_PANEL_ROWS - 1) / KERN_PANEL_ROWS);
    json_int_t columns = (json_int_t)((n_in + KERN_GROUP_COLS - 1) / KERN_GROUP_COLS * KERN_GROUP_COLS);
    char name[128], shape[64];
    snprintf(name, sizeof name, "%s.scales", part->name);
    json_t *data_shape =
        q8 ? json_pack("[I, I, i, i]", panels, columns / 4, 16, 4) : json_pack("[I, I, i, i]", panels, columns / 32, 16, 16);
    json_t *scales_shape = json_pack("[I, I, i]", panels, q8 ? columns / KERN_GROUP_COLS : columns / 32, 16);
    bool good = describe(p, part->name, q8 ? "I8" : "U8", data_shape, kern_weight_data_bytes(p->type, n_out, n_in));
    good = describe(p, name, q8 ? "F32" : "F16", scales_shape, kern_weight_scales_bytes(p->type, n_out, n_in)) && good;
    snprintf(name, sizeof name, "shape.%s", part->name);
    snprintf(shape, sizeof shape, "%zux%zu", n_out, n_in);
    good = json_object_set_new(p->metadata, name, json_string(shape)) == 0 && good;
    p->total_bytes += (uint64_t)n_out * n_in * element_bytes(part->matrix->type);
    return good ? ENG_OK : no_memory(p, error);
}

static bool describe_file(packer *p, const char *name, size_t n_bytes)
{
    return describe(p, name, "U8", json_pack("[I]", (json_int_t)n_bytes), n_bytes);
}

static void name_file(packer *p)
{
    const char *slash = strrchr(p->to, '/');
    snprintf(p->name, sizeof p->name, "%s", slash == NULL ? p->to : slash + 1);
    char *extension = strrchr(p->name, '.');
    if (extension != NULL && extension != p->name) *extension = '\0';
}

static bool put_metadata(packer *p, const eng_model_info *info, const eng_config *config)
{
    char digest[65];
    eng_digest_text(&info->weights_sha256, digest);
    bool good = json_object_set_new(p->metadata, "format", json_string(ENG_PACKED_FORMAT)) == 0;
    good = json_object_set_new(p->metadata, "version", json_string(ENG_PACKED_VERSION)) == 0 && good;
    good = json_object_set_new(p->metadata, "name", json_string(p->name)) == 0 && good;
    good = json_object_set_new(p->metadata, "source_sha256", json_string(digest)) == 0 && good;
    if (config->license[0] != '\0') good = json_object_set_new(p->metadata, "license", json_string(config->license)) == 0 && good;
    if (config->attribution[0] != '\0')
        good = json_object_set_new(p->metadata, "attribution", json_string(config->attribution)) == 0 && good;
    return good;
}

/* -------------------------------------------------------------------------------------------------------------- writing */

static eng_status fail_errno(const char *path, eng_error *error)
{
    return eng_fail(error, errno == ENOSPC || errno == EDQUOT ? ENG_NO_SPACE : ENG_IO, "%s: %s", path, eng_errno_text(errno));
}

static eng_status write_all(const packer *p, const void *data, size_t n_bytes, eng_error *error)
{
    for (size_t done = 0; done < n_bytes;) {
        ssize_t n = write(p->fd, (const char *)data + done, n_bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno(p->to, error);
        done += (size_t)n;
    }
    return ENG_OK;
}

static eng_status write_padded(const packer *p, const void *data, size_t n_bytes, eng_error *error)
{
    static const char zeros[KERN_ALIGN_BYTES];
    eng_status status = write_all(p, data, n_bytes, error);
    return status == ENG_OK ? write_all(p, zeros, pad_of(n_bytes), error) : status;
}

static void tell(packer *p)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (p->progress == NULL || (now_ms - p->told_ms < PROGRESS_MS && p->done_bytes < p->total_bytes)) return;
    p->told_ms = now_ms;
    p->progress(p->user, p->done_bytes, p->total_bytes);
}

/* Rows of a matrix whose source is quantised blocks; `rows` has room for CHUNK_ROWS. */
static eng_status quantise_blocks(packer *p, const eng_tensor *tensor, const eng_part *part, size_t row, size_t n_rows, float *rows, void *data,
                                  void *scales, eng_error *error)
{
    const kern_weight *m = part->matrix;
    bool good;
    if (p->type == KERN_W_Q4 && tensor->dtype == ENG_DTYPE_Q4_0) {
        good = eng_blocks_repack_q4(tensor, row, n_rows, data, scales);
    } else {
        good = eng_blocks_expand(tensor, row, n_rows, rows);
        if (good && kern_weight_pack(p->type, data, scales, m->n_out, m->n_in, row, n_rows, KERN_W_F32, rows) != KERN_OK)
            return eng_fail(error, ENG_UNSUPPORTED, "tensor %s cannot be packed: %zu x %zu", part->name, m->n_out, m->n_in);
    }
    return good ? ENG_OK : eng_fail(error, ENG_BAD_FILE, "tensor %s has values that are not finite", part->name);
}

static eng_status quantise(packer *p, const eng_part *part, float *rows, void *data, void *scales, eng_error *error)
{
    const kern_weight *m = part->matrix;
    const eng_tensor *blocks = m->data == NULL ? eng_weights_find_blocks(p->weights, part->name) : NULL;
    for (size_t row = 0; row < m->n_out; row += CHUNK_ROWS) {
        if (p->cancel != NULL && __atomic_load_n(p->cancel, __ATOMIC_RELAXED))
            return eng_fail(error, ENG_CANCELLED, "packing was cancelled");
        size_t n_rows = m->n_out - row < CHUNK_ROWS ? m->n_out - row : CHUNK_ROWS;
        if (blocks != NULL) {
            eng_status status = quantise_blocks(p, blocks, part, row, n_rows, rows, data, scales, error);
            if (status != ENG_OK) return status;
        } else {
            const char *source = (const char *)m->data + row * m->n_in * element_bytes(m->type);
            if (kern_weight_pack(p->type, data, scales, m->n_out, m->n_in, row, n_rows, m->type, source) != KERN_OK)
                return eng_fail(error, ENG_UNSUPPORTED, "tensor %s cannot be packed: %zu x %zu", part->name, m->n_out, m->n_in);
        }
        p->done_bytes += (uint64_t)n_rows * m->n_in * element_bytes(m->type);
        tell(p);
    }
    return ENG_OK;
}

static eng_status write_part(void *user, const eng_part *part, eng_error *error)
{
    packer *p = user;
    if (part->matrix == NULL) return write_padded(p, part->vector, part->n * sizeof(float), error);
    size_t n_out = part->matrix->n_out, n_in = part->matrix->n_in;
    size_t data_bytes = kern_weight_data_bytes(p->type, n_out, n_in), scales_bytes = kern_weight_scales_bytes(p->type, n_out, n_in);
    void *data = calloc(1, data_bytes), *scales = calloc(1, scales_bytes);
    float *rows = part->matrix->data == NULL ? malloc(CHUNK_ROWS * n_in * sizeof *rows) : NULL;
    bool good = data != NULL && scales != NULL && (rows != NULL || part->matrix->data != NULL);
    eng_status status = good ? quantise(p, part, rows, data, scales, error) : no_memory(p, error);
    if (status == ENG_OK) status = write_padded(p, data, data_bytes, error);
    if (status == ENG_OK) status = write_padded(p, scales, scales_bytes, error);
    free(data);
    free(scales);
    free(rows);
    return status;
}

/* Length, JSON, and spaces up to where the data may start. */
static eng_status write_header(packer *p, eng_error *error)
{
    json_t *whole = json_object();
    if (whole == NULL || json_object_set(whole, "__metadata__", p->metadata) != 0 || json_object_update(whole, p->header) != 0) {
        json_decref(whole);
        return no_memory(p, error);
    }
    char *text = json_dumps(whole, JSON_COMPACT);
    json_decref(whole);
    if (text == NULL) return no_memory(p, error);
    size_t n = strlen(text), total = (n + 8 + DATA_ALIGN_BYTES - 1) / DATA_ALIGN_BYTES * DATA_ALIGN_BYTES;
    char *header = malloc(total);
    eng_status status = header == NULL ? no_memory(p, error) : ENG_OK;
    if (header != NULL) {
        for (unsigned i = 0; i < 8; i++) header[i] = (char)((uint64_t)(total - 8) >> (8 * i));
        memcpy(header + 8, text, n);
        memset(header + 8 + n, ' ', total - 8 - n);
        status = write_all(p, header, total, error);
    }
    free(header);
    free(text);
    return status;
}

typedef struct member {
    char *data;
    size_t n_bytes;
} member;

typedef struct members {
    member config, tokenizer, chat;
} members;

static eng_status write_contents(packer *p, const eng_model *model, const members *texts, eng_error *error)
{
    eng_config parsed;
    eng_status status = eng_config_parse(texts->config.data, texts->config.n_bytes, "config.json", &parsed, error);
    if (status != ENG_OK) return status;
    if (!put_metadata(p, &model->info, &parsed)) return no_memory(p, error);
    status = eng_weights_visit(model, describe_part, p, error);
    if (status != ENG_OK) return status;
    if (!describe_file(p, ENG_PACKED_CONFIG, texts->config.n_bytes) || !describe_file(p, ENG_PACKED_TOKENIZER, texts->tokenizer.n_bytes) ||
        !describe_file(p, ENG_PACKED_CHAT, texts->chat.n_bytes))
        return no_memory(p, error);
    status = write_header(p, error);
    if (status == ENG_OK) status = eng_weights_visit(model, write_part, p, error);
    if (status == ENG_OK) status = write_padded(p, texts->config.data, texts->config.n_bytes, error);
    if (status == ENG_OK) status = write_padded(p, texts->tokenizer.data, texts->tokenizer.n_bytes, error);
    if (status == ENG_OK) status = write_padded(p, texts->chat.data, texts->chat.n_bytes, error);
    return status;
}

/* The folder's entry for the new name must be on disk as well. */
static void sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    int fd = folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

static eng_status write_file(packer *p, const eng_model *model, const members *texts, eng_error *error)
{
    size_t size = strlen(p->to) + 32;
    char *beside = malloc(size);
    if (beside == NULL) return no_memory(p, error);
    snprintf(beside, size, "%s.%ld.tmp", p->to, (long)getpid());
    p->fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (p->fd < 0) {
        eng_status failed = fail_errno(beside, error);
        free(beside);
        return failed;
    }
    eng_status status = write_contents(p, model, texts, error);
    if (status == ENG_OK && fsync(p->fd) != 0) status = fail_errno(p->to, error);
    if (close(p->fd) != 0 && status == ENG_OK) status = fail_errno(p->to, error);
    if (status == ENG_OK && rename(beside, p->to) != 0) status = fail_errno(p->to, error);
    if (status == ENG_OK)
        sync_folder_of(p->to);
    else
        unlink(beside);
    free(beside);
    return status;
}

static eng_status make_chat(const eng_model *model, member *ret_member, eng_error *error)
{
    json_t *object = eng_chat_to_json(&model->chat);
    ret_member->data = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (ret_member->data == NULL) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    ret_member->n_bytes = strlen(ret_member->data);
    return ENG_OK;
}

/* The texts that go into the file beside the weights. */
static eng_status read_members(const eng_model *model, const char *source, members *ret, eng_error *error)
{
    const eng_weights *weights = eng_model_get_weights(model);
    char *name = NULL;
    eng_status status = eng_member_read(weights, source, ENG_MEMBER_CONFIG, &ret->config.data, &ret->config.n_bytes, &name, error);
    free(name);
    name = NULL;
    if (status == ENG_OK)
        status = eng_member_read(weights, source, ENG_MEMBER_TOKENIZER, &ret->tokenizer.data, &ret->tokenizer.n_bytes, &name, error);
    free(name);
    return status == ENG_OK ? make_chat(model, &ret->chat, error) : status;
}

eng_status eng_model_pack(const char *source, const char *to, kern_weight_type type, const bool *cancel, eng_progress_fn progress,
                          void *user, eng_error *error)
{
    if (type != KERN_W_Q8 && type != KERN_W_Q4) return eng_fail(error, ENG_UNSUPPORTED, "%s: models are packed to 8 or 4 bits", to);
    struct stat st;
    if (stat(source, &st) == 0 && !S_ISDIR(st.st_mode) && !eng_gguf_is(source))
        return eng_fail(error, ENG_UNSUPPORTED, "%s: neither a folder nor a GGUF file; is it packed already?", source);
    eng_model *model = NULL;
    members texts = {0};
    packer p = {.type = type, .to = to, .cancel = cancel, .progress = progress, .user = user, .fd = -1};
    eng_status status = eng_model_open_source(source, &model, error);
    if (status == ENG_OK) status = read_members(model, source, &texts, error);
    if (status != ENG_OK) goto out;
    p.weights = eng_model_get_weights(model);
    name_file(&p);
    p.header = json_object();
    p.metadata = json_object();
    status = p.header == NULL || p.metadata == NULL ? no_memory(&p, error) : write_file(&p, model, &texts, error);
out:
    json_decref(p.header);
    json_decref(p.metadata);
    free(texts.config.data);
    free(texts.tokenizer.data);
    free(texts.chat.data);
    eng_model_close(model);
    return status;
}
