/* cache-fixture.c: see cache-fixture.h.
 *
 * Owns: the fixture's data and its failing file operations.
 * Does not own: assertions.
 */
#include "cache-fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const identity_lines[] = {
    "format: 1",
    "weights: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    "tokenizer: ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100",
    "shape: 2 layers, 4 heads, 2 key heads of 32, hidden 64, eps 1e-06",
    "rope: default 1000000",
    "key features: 8",
    "query features: 8",
    "key type: code8",
    "value type: q4",
    "value group: 32",
    "sections: independent, ending at 256",
};

eng_model *fixture_model_new(const char *differ)
{
    eng_model *model = calloc(1, sizeof *model);
    if (!model) abort();
    model->info = (eng_model_info){
        .name = "fixture",
        .n_layers = 2,
        .n_kv_heads = 2,
        .n_heads = 4,
        .head_dim = 32,
        .kv_format = {.d = 32, .k_key = 8, .k_query = 8, .value_group = 32, .key_type = KERN_KEY_CODE8, .value_type = KERN_VALUE_Q4},
        .section_tokens_max = FIXTURE_TOKENS_MAX,
        .end_position = FIXTURE_TOKENS_MAX,
    };
    char text[2048] = "";
    size_t n_key = differ ? strcspn(differ, ":") : 0;
    for (size_t i = 0; i < sizeof identity_lines / sizeof *identity_lines; i++) {
        bool replaced = differ && strncmp(differ, identity_lines[i], n_key + 1) == 0;
        strcat(text, replaced ? differ : identity_lines[i]);
        strcat(text, "\n");
    }
    model->identity = strdup(text);
    return model;
}

void fixture_model_free(eng_model *model)
{
    free(model->identity);
    free(model);
}

/* ------------------------------------------------------------------------------------------------------------- folders */

/* In memory where that is possible: thousands of runs sync, and nothing here has to outlive the machine. */
char *fixture_folder_new(void)
{
    const char *base = getenv("TMPDIR");
    char *folder = NULL;
    if (!base) base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    if (asprintf(&folder, "%s/lectern-cache-XXXXXX", base) < 0 || !mkdtemp(folder)) abort();
    return folder;
}

void fixture_folder_free(char *folder)
{
    DIR *handle = opendir(folder);
    struct dirent *entry;
    while (handle && (entry = readdir(handle))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) unlinkat(dirfd(handle), entry->d_name, 0);
    }
    if (handle) closedir(handle);
    rmdir(folder);
    free(folder);
}

static void copy_file(const char *from, const char *to)
{
    char data[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n;
    if (in < 0 || out < 0) abort();
    while ((n = read(in, data, sizeof data)) > 0) {
        if (write(out, data, (size_t)n) != n) abort();
    }
    close(in);
    close(out);
}

char *fixture_folder_copy(const char *folder, bool with_index)
{
    char *copy = fixture_folder_new();
    DIR *handle = opendir(folder);
    struct dirent *entry;
    while (handle && (entry = readdir(handle))) {
        bool index = strncmp(entry->d_name, "index.sqlite", 12) == 0 && strcmp(entry->d_name, "index.sqlite-shm") != 0;
        if (!strstr(entry->d_name, ".lkv") && !(with_index && index)) continue;
        char from[512], to[512];
        snprintf(from, sizeof from, "%s/%s", folder, entry->d_name);
        snprintf(to, sizeof to, "%s/%s", copy, entry->d_name);
        copy_file(from, to);
    }
    if (handle) closedir(handle);
    return copy;
}

char *fixture_only_file(const char *folder)
{
    DIR *handle = opendir(folder);
    struct dirent *entry;
    char *path = NULL;
    size_t n = 0;
    while (handle && (entry = readdir(handle))) {
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".lkv") != 0) continue;
        n++;
        free(path);
        if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0) abort();
    }
    if (handle) closedir(handle);
    if (n == 1) return path;
    free(path);
    return NULL;
}

uint64_t fixture_file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

void fixture_file_flip(const char *path, uint64_t offset, uint8_t mask)
{
    int fd = open(path, O_RDWR);
    uint8_t byte = 0;
    if (fd < 0 || pread(fd, &byte, 1, (off_t)offset) != 1) abort();
    byte ^= mask;
    if (pwrite(fd, &byte, 1, (off_t)offset) != 1) abort();
    close(fd);
}

unsigned fixture_mode(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_mode & 07777 : 0;
}

/* ------------------------------------------------------------------------------------------------------------ sections */

static uint32_t mix(uint32_t value)
{
    value ^= value >> 16;
    value *= 0x7feb352dU;
    value ^= value >> 15;
    value *= 0x846ca68bU;
    return value ^ value >> 16;
}

uint32_t fixture_n_tokens(uint32_t seed)
{
    return 1 + mix(seed) % FIXTURE_TOKENS_MAX;
}

void fixture_ids(uint32_t seed, uint32_t *ret_ids)
{
    uint32_t n_tokens = fixture_n_tokens(seed);
    for (uint32_t i = 0; i < n_tokens; i++) ret_ids[i] = mix(seed * 1000 + i) % 151669;
}

static void fill_block(uint32_t seed, uint32_t layer, uint8_t *block, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i += 4) {
        uint32_t value = mix(seed * 7919 + layer * 131 + (uint32_t)i);
        memcpy(block + i, &value, n_bytes - i < 4 ? n_bytes - i : 4);
    }
}

static size_t block_bytes(const eng_model *model, uint32_t n_tokens)
{
    return kern_kv_layout_of(&model->info.kv_format, model->info.n_kv_heads, eng_section_capacity(n_tokens)).total_bytes;
}

eng_status fixture_write(eng_store *store, const eng_model *model, uint32_t seed, eng_error *error)
{
    uint32_t ids[FIXTURE_TOKENS_MAX], n_tokens = fixture_n_tokens(seed);
    eng_record *record = NULL;
    fixture_ids(seed, ids);
    eng_status status = eng_record_begin(store, NULL, ids, n_tokens, &record, error);
    if (status != ENG_OK) return status;
    for (uint32_t layer = 0; layer < model->info.n_layers; layer++) {
        fill_block(seed, layer, eng_record_blocks(record)[layer], block_bytes(model, n_tokens));
    }
    return eng_record_commit(record, error);
}

eng_status fixture_find(eng_store *store, uint32_t seed, bool verify, eng_section *ret_section, eng_error *error)
{
    uint32_t ids[FIXTURE_TOKENS_MAX];
    fixture_ids(seed, ids);
    return eng_store_find(store, NULL, ids, fixture_n_tokens(seed), verify, ret_section, error);
}

bool fixture_section_right(const eng_model *model, uint32_t seed, const eng_section *section)
{
    uint32_t ids[FIXTURE_TOKENS_MAX], n_tokens = fixture_n_tokens(seed);
    fixture_ids(seed, ids);
    if (section->n_tokens != n_tokens || memcmp(section->ids, ids, n_tokens * sizeof *ids) != 0) return false;
    size_t n_bytes = block_bytes(model, n_tokens);
    uint8_t *expected = malloc(n_bytes);
    if (!expected) abort();
    bool right = true;
    for (uint32_t layer = 0; layer < model->info.n_layers; layer++) {
        const kern_kv_block *block = &section->blocks[layer];
        fill_block(seed, layer, expected, n_bytes);
        right = right && block->n_tokens == n_tokens && block->capacity == eng_section_capacity(n_tokens) &&
                (uintptr_t)block->data % KERN_ALIGN_BYTES == 0 && memcmp(block->data, expected, n_bytes) == 0;
    }
    free(expected);
    return right;
}

eng_status fixture_work(const char *folder, const eng_fileops *ops, const eng_model *model, eng_error *error)
{
    eng_cache_environment environment = {.ops = ops};
    eng_cache *cache = NULL;
    eng_store *store = NULL;
    eng_section section;
    eng_digest kept;
    uint32_t ids[FIXTURE_TOKENS_MAX];
    fixture_ids(0, ids);
    eng_ids_digest(NULL, ids, fixture_n_tokens(0), &kept);
    eng_status status = eng_cache_open_with(folder, NULL, &environment, &cache, error);
    if (status == ENG_OK) status = eng_store_open(cache, model, "book", &store, error);
    for (uint32_t seed = 0; seed < FIXTURE_WORK_SECTIONS && status == ENG_OK; seed++) {
        status = fixture_write(store, model, seed, error);
        if (status == ENG_OK && seed % 2) status = eng_store_sync(store, error);
        if (status == ENG_OK) status = fixture_find(store, seed, true, &section, error);
        if (status == ENG_OK && !fixture_section_right(model, seed, &section)) abort();
    }
    if (status == ENG_OK) status = eng_store_keep_only(store, &kept, 1, error);
    eng_store_close(store);
    eng_cache_close(cache);
    return status;
}

static char *problem_text(const char *what, const char *why)
{
    char *text = NULL;
    if (asprintf(&text, "%s: %s", what, why) < 0) abort();
    return text;
}

static char *find_problem(eng_cache *cache, eng_store *store, const eng_model *model, bool repair_first)
{
    eng_section section;
    eng_cache_report report;
    eng_error error = {.status = ENG_OK};
    for (uint32_t seed = 0; seed < FIXTURE_WORK_SECTIONS; seed++) {
        eng_status status = fixture_find(store, seed, true, &section, &error);
        if (status != ENG_OK && status != ENG_MISS) return problem_text("finding", error.message);
        if (status == ENG_OK && !fixture_section_right(model, seed, &section)) return problem_text("finding", "a section is wrong");
    }
    for (uint32_t seed = 0; seed < FIXTURE_WORK_SECTIONS; seed++) {
        if (fixture_write(store, model, seed, &error) != ENG_OK) return problem_text("going on", error.message);
    }
    if (eng_store_sync(store, &error) != ENG_OK) return problem_text("going on", error.message);
    for (uint32_t seed = 0; seed < FIXTURE_WORK_SECTIONS; seed++) {
        if (fixture_find(store, seed, true, &section, &error) != ENG_OK) return problem_text("after going on", error.message);
        if (!fixture_section_right(model, seed, &section)) return problem_text("after going on", "a section is wrong");
    }
    if (repair_first && eng_cache_repair(cache, true, NULL, NULL, NULL, NULL, &report, &error) != ENG_OK) return problem_text("repair", error.message);
    if (eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, &error) != ENG_OK) return problem_text("check", error.message);
    if (report.n_damaged_files || report.n_damaged_records || report.n_missing_files || report.n_orphan_bytes) {
        return problem_text("check", "not clean");
    }
    if (report.n_records < FIXTURE_WORK_SECTIONS) return problem_text("check", "a section is missing");
    return NULL;
}

char *fixture_find_problem(const char *folder, const eng_model *model, bool repair_first)
{
    eng_cache *cache = NULL;
    eng_store *store = NULL;
    eng_error error = {.status = ENG_OK};
    if (eng_cache_open(folder, NULL, &cache, &error) != ENG_OK) return problem_text("opening", error.message);
    if (eng_store_open(cache, model, "book", &store, &error) != ENG_OK) return problem_text("opening", error.message);
    char *problem = find_problem(cache, store, model, repair_first);
    eng_store_close(store);
    eng_cache_close(cache);
    return problem;
}

/* ----------------------------------------------------------------------------------------------------- file operations */

/* True: this call fails, with errno set. */
static bool fails(const eng_fileops *ops)
{
    fixture_ops *self = ops->user;
    uint64_t call = __atomic_add_fetch(&self->n_calls, 1, __ATOMIC_RELAXED);
    if (self->fail_at == 0 || call < self->fail_at || (call > self->fail_at && !self->fail_on)) return false;
    if (self->exit_instead) _exit(9);
    errno = self->error_number;
    return true;
}

static int ops_open(const eng_fileops *ops, const char *path, int flags, mode_t mode)
{
    return fails(ops) ? -1 : eng_fileops_default()->open(ops, path, flags, mode);
}

static ssize_t ops_pread(const eng_fileops *ops, int fd, void *data, size_t n_bytes, uint64_t offset)
{
    const fixture_ops *self = ops->user;
    if (fails(ops)) return -1;
    if (self->short_transfers && n_bytes > 1000) n_bytes = 1000;
    return eng_fileops_default()->pread(ops, fd, data, n_bytes, offset);
}

static ssize_t ops_pwrite(const eng_fileops *ops, int fd, const void *data, size_t n_bytes, uint64_t offset)
{
    fixture_ops *self = ops->user;
    bool tear = self->short_transfers && self->fail_at && self->n_calls + 1 >= self->fail_at;
    if (tear) eng_fileops_default()->pwrite(ops, fd, data, n_bytes / 2, offset);
    if (fails(ops)) return -1;
    if (self->short_transfers && n_bytes > 1000) n_bytes = 1000;
    if (self->limited) {
        if (self->space_bytes == 0) {
            errno = ENOSPC;
            return -1;
        }
        if (n_bytes > self->space_bytes) n_bytes = (size_t)self->space_bytes;
        self->space_bytes -= n_bytes;
    }
    return eng_fileops_default()->pwrite(ops, fd, data, n_bytes, offset);
}

static int ops_fsync(const eng_fileops *ops, int fd)
{
    return fails(ops) ? -1 : eng_fileops_default()->fsync(ops, fd);
}

static int ops_fsync_folder(const eng_fileops *ops, const char *path)
{
    return fails(ops) ? -1 : eng_fileops_default()->fsync_folder(ops, path);
}

static int ops_ftruncate(const eng_fileops *ops, int fd, uint64_t n_bytes)
{
    return fails(ops) ? -1 : eng_fileops_default()->ftruncate(ops, fd, n_bytes);
}

static int ops_rename(const eng_fileops *ops, const char *from, const char *to)
{
    return fails(ops) ? -1 : eng_fileops_default()->rename(ops, from, to);
}

static int ops_unlink(const eng_fileops *ops, const char *path)
{
    return fails(ops) ? -1 : eng_fileops_default()->unlink(ops, path);
}

static int ops_fstat(const eng_fileops *ops, int fd, struct stat *ret_stat)
{
    return fails(ops) ? -1 : eng_fileops_default()->fstat(ops, fd, ret_stat);
}

static int ops_stat(const eng_fileops *ops, const char *path, struct stat *ret_stat)
{
    return fails(ops) ? -1 : eng_fileops_default()->stat(ops, path, ret_stat);
}

static void *ops_map(const eng_fileops *ops, int fd, size_t n_bytes, uint64_t offset)
{
    return fails(ops) ? NULL : eng_fileops_default()->map(ops, fd, n_bytes, offset);
}

static int ops_lock(const eng_fileops *ops, int fd, uint64_t byte, eng_lock lock, bool wait)
{
    if (lock != ENG_LOCK_NONE && fails(ops)) return -1; /* giving a lock back cannot fail */
    return eng_fileops_default()->lock(ops, fd, byte, lock, wait);
}

void fixture_ops_init(fixture_ops *ops)
{
    *ops = (fixture_ops){.ops = *eng_fileops_default(), .error_number = EIO};
    ops->ops.user = ops;
    ops->ops.open = ops_open;
    ops->ops.pread = ops_pread;
    ops->ops.pwrite = ops_pwrite;
    ops->ops.fsync = ops_fsync;
    ops->ops.fsync_folder = ops_fsync_folder;
    ops->ops.ftruncate = ops_ftruncate;
    ops->ops.rename = ops_rename;
    ops->ops.unlink = ops_unlink;
    ops->ops.fstat = ops_fstat;
    ops->ops.stat = ops_stat;
    ops->ops.map = ops_map;
    ops->ops.lock = ops_lock;
}
