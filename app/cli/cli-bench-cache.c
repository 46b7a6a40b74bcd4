/* cli-bench-cache.c: a cache on disk for `lectern bench` to open cold.
 *
 * Owns: writing it, dropping it from the page cache, opening it up to the first token of an answer, removing it.
 * Does not own: what is made of the times.
 */
#include "cli-bench.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, READ_BYTES = 1 << 20 };
static const char *const DOCUMENT = "bench";

/* Section i's ids: the given ones with a first token of its own, so that no two sections are the same. */
static void ids_of(const uint32_t *ids, uint32_t n, size_t i, uint32_t *ret_ids)
{
    memcpy(ret_ids, ids, n * sizeof *ids);
    ret_ids[0] = (uint32_t)i;
}

eng_status cli_bench_write_cache(eng_runtime *runtime, const char *folder, const uint32_t *ids, uint32_t n, size_t n_sections, eng_error *error)
{
    eng_cache *cache = NULL;
    eng_store *store = NULL;
    g_autofree uint32_t *own = g_new(uint32_t, n);
    const eng_model_info *info = eng_model_get_info(eng_runtime_model(runtime));
    eng_status status = eng_cache_open(folder, NULL, &cache, error);
    if (status == ENG_OK) status = eng_store_open(cache, eng_runtime_model(runtime), DOCUMENT, &store, error);
    eng_section section = {0};
    size_t block_bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, eng_section_capacity(n)).total_bytes;
    for (size_t i = 0; i < n_sections && status == ENG_OK; i++) {
        eng_record *record = NULL;
        ids_of(ids, n, i, own);
        status = eng_record_begin(store, NULL, own, n, &record, error);
        if (status != ENG_OK) break;
        if (i == 0) {
            eng_read_job job = {.ids = own, .n_tokens = n, .blocks = eng_record_blocks(record), .first_position = UINT32_MAX};
            status = eng_read(runtime, &job, 1, error);
        } else {
            for (uint32_t l = 0; l < info->n_layers; l++) memcpy(eng_record_blocks(record)[l], section.blocks[l].data, block_bytes);
        }
        if (status == ENG_OK)
            status = eng_record_commit(record, error);
        else
            eng_record_free(record);
        if (status == ENG_OK && i == 0) status = eng_store_sync(store, error);
        if (status == ENG_OK && i == 0) status = eng_store_find(store, NULL, own, n, ENG_VERIFY_NOT, &section, error);
    }
    if (status == ENG_OK) status = eng_store_sync(store, error);
    eng_store_close(store);
    eng_cache_close(cache);
    return status;
}

/* Calls fn for every file directly in the folder. */
static void each_file(const char *folder, void (*fn)(const char *path))
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        fn(path);
    }
}

static void forget_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static void read_file(const char *path)
{
    g_autofree char *piece = g_malloc(READ_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    while (read(fd, piece, READ_BYTES) > 0) continue;
    close(fd);
}

static void remove_file(const char *path) { g_unlink(path); }

uint64_t cli_bench_resident_bytes(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    uint64_t n_pages = 0;
    while (dir && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, NULL);
        size_t n_bytes = file ? g_mapped_file_get_length(file) : 0, n = (n_bytes + PAGE_BYTES - 1) / PAGE_BYTES;
        g_autofree unsigned char *in_memory = g_malloc0(n + 1);
        if (n == 0 || mincore(g_mapped_file_get_contents(file), n_bytes, in_memory) != 0) continue;
        for (size_t i = 0; i < n; i++) n_pages += in_memory[i] & 1;
    }
    return n_pages * PAGE_BYTES;
}

void cli_bench_forget_pages(const char *folder) { each_file(folder, forget_file); }

void cli_bench_read_files(const char *folder) { each_file(folder, read_file); }

void cli_bench_remove_folder(const char *folder)
{
    each_file(folder, remove_file);
    g_rmdir(folder);
}

eng_status cli_bench_answer(eng_runtime *runtime, const char *folder, const uint32_t *ids, uint32_t n, size_t n_sections, eng_verify verify,
                            size_t n_question, size_t n_tokens, double *ret_seconds, eng_error *error)
{
    eng_cache *cache = NULL;
    eng_store *store = NULL;
    eng_session *session = NULL;
    const float *logits;
    g_autofree uint32_t *own = g_new(uint32_t, n);
    g_autofree eng_section *sections = g_new0(eng_section, n_sections);
    eng_status status = eng_cache_open(folder, NULL, &cache, error);
    if (status == ENG_OK) status = eng_store_open(cache, eng_runtime_model(runtime), DOCUMENT, &store, error);
    for (size_t i = 0; i < n_sections && status == ENG_OK; i++) {
        ids_of(ids, n, i, own);
        status = eng_store_find(store, NULL, own, n, verify, &sections[i], error);
    }
    if (status == ENG_OK) status = eng_session_new(runtime, sections, n_sections, n_question + n_tokens, &session, error);
    if (status == ENG_OK) status = eng_session_eval(session, ids, n_question, &logits, error);
    for (size_t i = 0; i < n_tokens && status == ENG_OK; i++) {
        int64_t start = g_get_monotonic_time();
        status = eng_session_eval(session, ids + i, 1, &logits, error);
        ret_seconds[i] = (double)(g_get_monotonic_time() - start) / 1e6;
    }
    eng_session_free(session);
    eng_store_close(store);
    eng_cache_close(cache);
    return status;
}
