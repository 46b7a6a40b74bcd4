/* test-memory.c: promise 5 for kernels/ and engine/: whichever allocation fails, the call fails cleanly, nothing leaks, and what is on the disk
 * is sound.
 *
 * Owns: the work: the cache, model files, running a model.
 * Does not own: failing every N until it succeeds (fault-allocations.c); asking over a cold cache, the same way (test-cache-fetch.c); app/, where
 *               GLib ends the process at a failed allocation: test-library-faults.c shows that this loses nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache-fixture.h"
#include "config.h"
#include "fault-allocations.h"
#include "safetensors.h"
#include "select-tests.h"
#include "tokenizer.h"

/* ------------------------------------------------------------------------------------------------------------- the cache */

static eng_status work_on_cache(void *user, eng_error *error)
{
    const eng_model *model = user;
    fault_allocations_count(false);
    char *folder = fixture_folder_new();
    fault_allocations_count(true);
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
    fault_allocations_count(false);
    /* Looking at the folder costs more than the work: every eighth time. */
    char *problem = fault_allocations_failing() % 8 == 0 ? fixture_find_problem(folder, model, true) : NULL;
    if (problem) fail_msg("allocation %llu fails: %s", (unsigned long long)fault_allocations_failing(), problem);
    fixture_folder_free(folder);
    fault_allocations_count(true);
    return status;
}

static void test_promise_05_cache(void **state)
{
    (void)state;
    eng_model *model = fixture_model_new(NULL);
    fault_allocations_every(work_on_cache, model, 500);
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
    fault_allocations_every(work_on_tokenizer, &json, 300);
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
    fault_allocations_every(work_on_config, &json, 30);
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
    fault_allocations_every(work_on_safetensors, path, 10);
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
    fault_allocations_count(false);
    uint8_t *states = aligned_alloc(KERN_ALIGN_BYTES, layout.total_bytes * info->n_layers);
    assert_true(states && info->n_layers <= 64);
    memset(states, 0, layout.total_bytes * info->n_layers);
    fault_allocations_count(true);
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
    fault_allocations_count(false);
    free(states);
    fault_allocations_count(true);
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
    fault_allocations_every(work_on_reading, model, 15);
    eng_model_close(model);
    free(path);
}

static int set_up_all(void **state)
{
    (void)state;
    fault_allocations_begin();
    return 0;
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
