/* test-memory.c: promise 5 for kernels/ and engine/: whichever allocation fails, the call fails cleanly, nothing leaks, and what is on the disk
 * is sound.
 *
 * Owns: the allocator under kernels/ and engine/ (their calls are wrapped by the linker: see meson.build) and under the two libraries that
 *       allocate for them and let themselves be told how, SQLite and jansson; failing every N until the work succeeds; what is left allocated.
 * Does not own: app/, where GLib ends the process at a failed allocation: test-library-faults.c shows that this loses nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>
#include <sqlite3.h>

#include "cache-fixture.h"
#include "config.h"
#include "safetensors.h"
#include "select-tests.h"
#include "tokenizer.h"

/* ----------------------------------------------------------------------------------------------------------- the allocator */

enum { LIVE_SLOTS = 1 << 16 };

static struct {
    bool on; /* counts, fails and remembers what is allocated */
    uint64_t n_calls, fail_at;
    const void *live[LIVE_SLOTS]; /* open addressing; moved pointers leave (void *)1 */
    size_t n_live;
} memory;

void *__real_malloc(size_t n_bytes);
void *__real_calloc(size_t n, size_t n_bytes);
void *__real_realloc(void *data, size_t n_bytes);
void *__real_aligned_alloc(size_t alignment, size_t n_bytes);
void __real_free(void *data);
void *__real_mmap(void *at, size_t n_bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t n_bytes);
void *__wrap_calloc(size_t n, size_t n_bytes);
void *__wrap_realloc(void *data, size_t n_bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t n_bytes);
void __wrap_free(void *data);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n_bytes);
int __wrap_asprintf(char **ret_text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *__wrap_mmap(void *at, size_t n_bytes, int protection, int flags, int fd, off_t offset);

static size_t slot_of(const void *data)
{
    return ((uintptr_t)data >> 4) * 0x9e3779b97f4a7c15u >> 48;
}

static void *remember(void *data)
{
    if (!memory.on || !data) return data;
    size_t slot = slot_of(data);
    for (size_t i = 0; i < LIVE_SLOTS; i++, slot = (slot + 1) % LIVE_SLOTS) {
        if ((uintptr_t)memory.live[slot] > 1) continue;
        memory.live[slot] = data;
        memory.n_live++;
        return data;
    }
    abort();
}

static void forget(const void *data)
{
    if (!memory.on || !data) return;
    size_t slot = slot_of(data);
    for (size_t i = 0; i < LIVE_SLOTS && memory.live[slot]; i++, slot = (slot + 1) % LIVE_SLOTS) {
        if (memory.live[slot] != data) continue;
        memory.live[slot] = (const void *)1;
        memory.n_live--;
        return;
    }
}

static bool fails(void)
{
    if (!memory.on || ++memory.n_calls != memory.fail_at) return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t n_bytes)
{
    return fails() ? NULL : remember(__real_malloc(n_bytes));
}

void *__wrap_calloc(size_t n, size_t n_bytes)
{
    return fails() ? NULL : remember(__real_calloc(n, n_bytes));
}

void *__wrap_realloc(void *data, size_t n_bytes)
{
    if (fails()) return NULL;
    forget(data);
    return remember(__real_realloc(data, n_bytes));
}

void *__wrap_aligned_alloc(size_t alignment, size_t n_bytes)
{
    return fails() ? NULL : remember(__real_aligned_alloc(alignment, n_bytes));
}

void __wrap_free(void *data)
{
    forget(data);
    __real_free(data);
}

char *__wrap_strndup(const char *text, size_t n_bytes)
{
    size_t n = strnlen(text, n_bytes);
    char *copy = __wrap_malloc(n + 1);
    if (!copy) return NULL;
    memcpy(copy, text, n);
    copy[n] = 0;
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}

int __wrap_asprintf(char **ret_text, const char *format, ...)
{
    va_list arguments;
    if (fails()) return -1;
    va_start(arguments, format);
    int n = vasprintf(ret_text, format, arguments);
    va_end(arguments);
    if (n >= 0) remember(*ret_text);
    return n;
}

void *__wrap_mmap(void *at, size_t n_bytes, int protection, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, n_bytes, protection, flags, fd, offset);
}

static sqlite3_mem_methods sqlite_memory;

static void *sqlite_malloc(int n_bytes)
{
    return fails() ? NULL : remember(sqlite_memory.xMalloc(n_bytes));
}

static void *sqlite_realloc(void *data, int n_bytes)
{
    if (fails()) return NULL;
    forget(data);
    return remember(sqlite_memory.xRealloc(data, n_bytes));
}

static void sqlite_free(void *data)
{
    forget(data);
    sqlite_memory.xFree(data);
}

static int set_up_all(void **state)
{
    (void)state;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory);
    sqlite3_mem_methods methods = sqlite_memory;
    methods.xMalloc = sqlite_malloc;
    methods.xRealloc = sqlite_realloc;
    methods.xFree = sqlite_free;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK); /* every small one is an allocation too */
    assert_int_equal(sqlite3_initialize(), SQLITE_OK);
    json_set_alloc_funcs(__wrap_malloc, __wrap_free);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ every one */

/* Does the whole work, frees what it made, and returns how it ended. */
typedef eng_status (*Work)(void *user, eng_error *error);

static void every_allocation(Work work, void *user, uint64_t least)
{
    uint64_t n = 1;
    for (;; n++) {
        eng_error error = {.status = ENG_OK};
        memset(&memory, 0, sizeof memory);
        memory.fail_at = n;
        memory.on = true;
        eng_status status = work(user, &error);
        memory.on = false;
        if (memory.n_live != 0) fail_msg("allocation %llu fails: %zu are never freed", (unsigned long long)n, memory.n_live);
        if (status != ENG_OK && (error.status != status || error.message[0] == 0)) fail_msg("allocation %llu fails: no words", (unsigned long long)n);
        if (memory.n_calls < n) { /* there was no such allocation: all must be well */
            if (status != ENG_OK) fail_msg("without a failure: %s", error.message);
            break;
        }
    }
    print_message("%llu allocations\n", (unsigned long long)n - 1);
    assert_true(n > least);
}

/* ------------------------------------------------------------------------------------------------------------- the cache */

static eng_status work_on_cache(void *user, eng_error *error)
{
    const eng_model *model = user;
    memory.on = false;
    char *folder = fixture_folder_new();
    memory.on = true;
    eng_cache *cache = NULL;
    eng_store *store = NULL;
    eng_section section;
    eng_cache_report report;
    eng_digest kept;
    uint32_t ids[FIXTURE_TOKENS_MAX];
    fixture_ids(0, ids);
    eng_ids_digest(NULL, ids, fixture_n_tokens(0), &kept);
    eng_status status = eng_cache_open(folder, NULL, &cache, error);
    if (status == ENG_OK) status = eng_store_open(cache, model, "book", &store, error);
    for (uint32_t seed = 0; seed < 2 && status == ENG_OK; seed++) status = fixture_write(store, model, seed, error);
    if (status == ENG_OK) status = eng_store_sync(store, error);
    if (status == ENG_OK) status = fixture_find(store, 1, true, &section, error);
    if (status == ENG_OK) status = eng_cache_pin(cache, "book", true, error);
    if (status == ENG_OK) status = eng_store_keep_only(store, &kept, 1, error);
    if (status == ENG_OK) status = eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, error);
    if (status == ENG_OK) status = eng_cache_repair(cache, true, NULL, NULL, NULL, NULL, &report, error);
    if (status == ENG_OK) status = eng_cache_rebuild_index(cache, &report, error);
    if (status == ENG_OK) status = eng_cache_set_budget(cache, 1 << 30, NULL, error);
    eng_store_close(store);
    eng_cache_close(cache);
    memory.on = false;
    /* Looking at the folder costs more than the work: every eighth time. */
    char *problem = memory.fail_at % 8 == 0 ? fixture_find_problem(folder, model, true) : NULL;
    if (problem) fail_msg("allocation %llu fails: %s", (unsigned long long)memory.fail_at, problem);
    fixture_folder_free(folder);
    memory.on = true;
    return status;
}

static void test_promise_05_cache(void **state)
{
    (void)state;
    eng_model *model = fixture_model_new(NULL);
    every_allocation(work_on_cache, model, 500);
    fixture_model_free(model);
}

/* ------------------------------------------------------------------------------------------------------------ model files */

static char *read_corpus(const char *name, size_t *ret_n)
{
    char *path = NULL;
    if (asprintf(&path, "%s/../fuzz/corpus/%s", getenv("LECTERN_TEST_DATA"), name) < 0) abort();
    FILE *file = fopen(path, "rb");
    char *bytes = calloc(1, 1 << 16);
    if (!file || !bytes) fail_msg("%s", path);
    *ret_n = fread(bytes, 1, (1 << 16) - 1, file);
    fclose(file);
    free(path);
    return bytes;
}

typedef struct text { char *bytes; size_t n; } text;

static eng_status work_on_tokenizer(void *user, eng_error *error)
{
    const text *json = user;
    static const char words[] = "The 12 caf\xc3\xa9s e\xcc\x81 <x> aaa\xff\r\n ab";
    eng_model model = {0};
    eng_tokens tokens = {0};
    eng_status status = eng_tokenizer_new(json->bytes, json->n, "tokenizer.json", &model.tokenizer, error);
    if (status == ENG_OK) status = eng_tokenize(&model, words, sizeof words - 1, true, &tokens, error);
    eng_tokens_clear(&tokens);
    eng_tokenizer_free(model.tokenizer);
    return status;
}

static void test_promise_05_tokenizer(void **state)
{
    (void)state;
    text json;
    json.bytes = read_corpus("tokenizer/good", &json.n);
    every_allocation(work_on_tokenizer, &json, 300);
    free(json.bytes);
}

static eng_status work_on_config(void *user, eng_error *error)
{
    const text *json = user;
    eng_config config;
    return eng_config_parse(json->bytes, json->n, "config.json", &config, error);
}

static void test_promise_05_config(void **state)
{
    (void)state;
    text json;
    json.bytes = read_corpus("config/good", &json.n);
    every_allocation(work_on_config, &json, 30);
    free(json.bytes);
}

static eng_status work_on_safetensors(void *user, eng_error *error)
{
    eng_safetensors *file = NULL;
    eng_status status = eng_safetensors_open(user, &file, error);
    eng_safetensors_close(file);
    return status;
}

static void test_promise_05_safetensors(void **state)
{
    (void)state;
    char *path = NULL;
    assert_true(asprintf(&path, "%s/../fuzz/corpus/safetensors/good", getenv("LECTERN_TEST_DATA")) > 0);
    every_allocation(work_on_safetensors, path, 10);
    free(path);
}

/* ---------------------------------------------------------------------------------------------------- running the model */

static eng_status work_on_reading(void *user, eng_error *error)
{
    eng_model *model = user;
    uint32_t ids[64], question[8];
    void *pointers[64];
    kern_kv_block blocks[64];
    const eng_model_info *info = eng_model_get_info(model);
    kern_kv_layout layout = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, eng_section_capacity(64));
    memory.on = false;
    uint8_t *states = aligned_alloc(KERN_ALIGN_BYTES, layout.total_bytes * info->n_layers);
    assert_true(states && info->n_layers <= 64);
    memset(states, 0, layout.total_bytes * info->n_layers);
    memory.on = true;
    for (uint32_t i = 0; i < 64; i++) ids[i] = i * 37 + 5;
    for (uint32_t i = 0; i < 8; i++) question[i] = i * 11 + 3;
    for (uint32_t layer = 0; layer < info->n_layers; layer++) {
        pointers[layer] = states + layer * layout.total_bytes;
        blocks[layer] = (kern_kv_block){.data = pointers[layer], .n_tokens = 64, .capacity = eng_section_capacity(64)};
    }
    const eng_section section = {.ids = ids, .n_tokens = 64, .blocks = blocks};
    const eng_read_job job = {.ids = ids, .n_tokens = 64, .blocks = pointers, .first_position = UINT32_MAX};
    eng_runtime *runtime = NULL;
    eng_session *session = NULL;
    const float *logits;
    float score;
    eng_status status = eng_runtime_new(model, &(eng_runtime_options){.n_threads = 1}, &runtime, error);
    if (status == ENG_OK) status = eng_read(runtime, &job, 1, error);
    if (status == ENG_OK) status = eng_rank_sections(runtime, NULL, 0, question, 8, &section, 1, &score, error);
    if (status == ENG_OK) status = eng_session_new(runtime, &section, 1, 32, &session, error);
    if (status == ENG_OK) eng_session_record_mass(session, true);
    if (status == ENG_OK) status = eng_session_eval(session, question, 8, &logits, error);
    eng_session_free(session);
    eng_runtime_free(runtime);
    memory.on = false;
    free(states);
    memory.on = true;
    return status;
}

static char *starter_path(void)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/starter.safetensors", getenv("LECTERN_RESOURCES")) > 0);
    return path;
}

static void test_promise_05_reading_and_asking(void **state)
{
    (void)state;
    char *path = starter_path();
    eng_model *model;
    assert_int_equal(eng_model_open(path, NULL, &model, NULL), ENG_OK);
    every_allocation(work_on_reading, model, 15);
    eng_model_close(model);
    free(path);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promise_05_cache),       cmocka_unit_test(test_promise_05_tokenizer),
        cmocka_unit_test(test_promise_05_config),      cmocka_unit_test(test_promise_05_safetensors),
        cmocka_unit_test(test_promise_05_reading_and_asking),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, set_up_all, NULL);
}
