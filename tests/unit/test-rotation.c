/* test-rotation.c: rotations of keys as measured over a text: dense attention stays what it is, energy gathers, files are validated, caches
 * made with another one are stale and say so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"

enum { TOKENS = 100 };

static char model_path[4096], other_path[4096], folder[] = "/tmp/lectern-rotation-XXXXXX", file[64];
static uint32_t ids[TOKENS];

static const eng_model_options exact = {.key_type = KERN_KEY_CODE32, .key_type_set = true, .value_type = KERN_VALUE_F32, .value_type_set = true};

static eng_model *open_model(eng_model_options options, const char *rotation)
{
    eng_model *model;
    eng_error error = {0};
    options.rotation_path = rotation;
    if (eng_model_open(model_path, &options, &model, &error) != ENG_OK) fail_msg("%s", error.message);
    return model;
}

static eng_status measure(const eng_model *model, const char *path, const bool *cancel, eng_error *error)
{
    eng_rotation_options options = {.ids = ids, .n_ids = TOKENS, .n_threads = 2, .cancel = cancel};
    return eng_rotation_measure(model, &options, path, error);
}

typedef struct reading {
    void *blocks[8];
    float *logits;
} reading;

static reading read_text(eng_model *model)
{
    const eng_model_info *info = eng_model_get_info(model);
    reading r = {.logits = calloc((size_t)TOKENS * info->n_vocabulary, sizeof(float))};
    size_t n_bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, eng_section_capacity(TOKENS)).total_bytes;
    for (uint32_t l = 0; l < info->n_layers; l++) r.blocks[l] = memset(aligned_alloc(KERN_ALIGN_BYTES, n_bytes), 0, n_bytes);
    eng_runtime *runtime;
    eng_error error = {0};
    eng_read_job job = {.ids = ids, .n_tokens = TOKENS, .blocks = r.blocks, .ret_logits = r.logits, .first_position = UINT32_MAX};
    assert_int_equal(eng_runtime_new(model, NULL, &runtime, &error), ENG_OK);
    if (eng_read(runtime, &job, 1, &error) != ENG_OK) fail_msg("%s", error.message);
    eng_runtime_free(runtime);
    return r;
}

static void free_reading(reading *r)
{
    for (size_t l = 0; l < 8; l++) free(r->blocks[l]);
    free(r->logits);
}

/* Share of the keys' energy in the 16 largest features of each. */
static double energy_of_16(const eng_model *model, const reading *r)
{
    const eng_model_info *info = eng_model_get_info(model);
    double kept = 0, all = 0;
    for (uint32_t l = 0; l < info->n_layers; l++)
        for (uint32_t t = 0; t < TOKENS; t++) {
            kern_kv_block block = {.data = r->blocks[l], .n_tokens = TOKENS, .capacity = eng_section_capacity(TOKENS)};
            float key[KERN_HEAD_DIM_MAX];
            kern_kv_get_key(&info->kv_format, info->n_kv_heads, &block, 0, t, key);
            for (unsigned i = 0; i < info->head_dim; i++) {
                unsigned larger = 0;
                for (unsigned j = 0; j < info->head_dim; j++) larger += fabsf(key[j]) > fabsf(key[i]);
                double energy = (double)key[i] * (double)key[i];
                all += energy;
                if (larger < 16) kept += energy;
            }
        }
    return kept / all;
}

static void dense_attention_stays(void **state)
{
    (void)state;
    eng_model *plain = open_model(exact, NULL), *rotated = open_model(exact, file);
    size_t n = (size_t)TOKENS * eng_model_get_info(plain)->n_vocabulary;
    assert_false(eng_model_get_info(plain)->rotated);
    assert_true(eng_model_get_info(rotated)->rotated);
    reading a = read_text(plain), b = read_text(rotated);
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)a.logits[i] - (double)b.logits[i]));
        largest = fmax(largest, fabs((double)a.logits[i]));
    }
    assert_true(worst < 1e-5 * largest && worst > 0);
    double before = energy_of_16(plain, &a), after = energy_of_16(rotated, &b);
    if (!(after > 0.85 && before < 0.75)) fail_msg("energy of 16 features: %.3f before, %.3f after", before, after);
    free_reading(&a);
    free_reading(&b);
    eng_model_close(plain);
    eng_model_close(rotated);
}

static void same_text_same_file(void **state)
{
    (void)state;
    char again[128];
    snprintf(again, sizeof again, "%s/again", folder);
    eng_model *model = open_model((eng_model_options){0}, NULL);
    eng_error error = {0};
    assert_int_equal(measure(model, again, NULL, &error), ENG_OK);
    eng_digest x, y;
    assert_int_equal(eng_sha256_file(file, NULL, &x, &error), ENG_OK);
    assert_int_equal(eng_sha256_file(again, NULL, &y, &error), ENG_OK);
    assert_memory_equal(&x, &y, sizeof x);
    struct stat st;
    assert_int_equal(stat(again, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    unlink(again);
    bool cancel = true;
    assert_int_equal(measure(model, again, &cancel, &error), ENG_CANCELLED);
    assert_int_equal(access(again, F_OK), -1);
    eng_rotation_options nothing = {.ids = ids};
    assert_int_equal(eng_rotation_measure(model, &nothing, again, &error), ENG_LIMIT);
    assert_int_equal(eng_rotation_measure(model, &(eng_rotation_options){.ids = ids, .n_ids = 8}, "/nowhere/file", &error), ENG_IO);
    assert_non_null(strstr(error.message, "/nowhere/file"));
    eng_model_close(model);
}

static void cache_of_another_rotation_is_stale(void **state)
{
    (void)state;
    char cache_folder[128], reason[ENG_MESSAGE_BYTES];
    snprintf(cache_folder, sizeof cache_folder, "%s/cache", folder);
    eng_model *models[] = {open_model((eng_model_options){0}, NULL), open_model((eng_model_options){0}, file)};
    eng_identity_difference(eng_model_identity(models[0]), eng_model_identity(models[1]), reason, sizeof reason);
    assert_non_null(strstr(reason, "rotation: "));
    eng_identity_difference(eng_model_identity(models[1]), eng_model_identity(models[0]), reason, sizeof reason);
    assert_non_null(strstr(reason, "rotation: stored with "));
    assert_non_null(strstr(reason, "now none"));
    eng_cache *cache;
    eng_error error = {0};
    assert_int_equal(eng_cache_open(cache_folder, NULL, &cache, &error), ENG_OK);
    for (size_t i = 0; i < 2; i++) {
        eng_store *store;
        eng_record *record;
        eng_section section;
        assert_int_equal(eng_store_open(cache, models[i], "document", &store, &error), ENG_OK);
        if (eng_store_find(store, NULL, ids, TOKENS, true, &section, &error) != ENG_MISS) fail_msg("found what another model stored");
        if (i == 1 && strstr(error.message, "rotation") == NULL) fail_msg("“%s” does not name the rotation", error.message);
        assert_int_equal(eng_record_begin(store, NULL, ids, TOKENS, &record, &error), ENG_OK);
        assert_int_equal(eng_record_commit(record, &error), ENG_OK);
        assert_int_equal(eng_store_sync(store, &error), ENG_OK);
        assert_int_equal(eng_store_find(store, NULL, ids, TOKENS, true, &section, &error), ENG_OK);
        eng_store_close(store);
    }
    assert_int_equal(eng_cache_remove(cache, "document", &error), ENG_OK);
    eng_cache_close(cache);
    for (size_t i = 0; i < 2; i++) eng_model_close(models[i]);
}

/* A copy with one byte changed at `offset`, or cut to so many bytes where `cut`. */
static void expect_refused(const char *words, long offset, unsigned char byte, bool cut)
{
    char copy[128];
    snprintf(copy, sizeof copy, "%s/copy", folder);
    FILE *from = fopen(file, "rb"), *to = fopen(copy, "wb");
    assert_true(from != NULL && to != NULL);
    for (long at = 0, c = fgetc(from); c != EOF && !(cut && at >= offset); c = fgetc(from), at++) fputc(!cut && at == offset ? byte : (int)c, to);
    fclose(from);
    fclose(to);
    eng_model *model;
    eng_error error = {0};
    eng_model_options options = {.rotation_path = copy};
    if (eng_model_open(model_path, &options, &model, &error) == ENG_OK) fail_msg("a damaged rotation was taken (%s)", words);
    if (strstr(error.message, words) == NULL) fail_msg("“%s” does not say “%s”", error.message, words);
    assert_non_null(strstr(error.message, "/copy"));
    unlink(copy);
}

static void only_its_own_model_takes_it(void **state)
{
    (void)state;
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    expect_refused("", 0, 0, true);
    expect_refused("", st.st_size - 1, 0, true);
    expect_refused("not orthogonal", st.st_size - 1, 0x40, false);             /* a feature of 2 and more */
    expect_refused("not orthogonal", st.st_size - 128 * 128 * 4 + 3, 0x7f, false); /* near infinity */
    FILE *f = fopen(file, "rb"); /* where the digest of the weights stands */
    char head[512] = {0};
    assert_true(fread(head, 1, sizeof head - 1, f) > 0);
    fclose(f);
    const char *digest = strstr(head + 8, "weights_sha256\":\"");
    assert_non_null(digest);
    expect_refused("another model", digest - head + 17, digest[17] == 'a' ? 'b' : 'a', false);
    eng_model *model;
    eng_error error = {0};
    eng_model_options options = {.rotation_path = file};
    assert_int_equal(eng_model_open(other_path, &options, &model, &error), ENG_UNSUPPORTED);
    assert_non_null(strstr(error.message, "calibrate again"));
    options.rotation_path = "/nowhere/file";
    assert_int_not_equal(eng_model_open(model_path, &options, &model, &error), ENG_OK);
    assert_non_null(strstr(error.message, "/nowhere/file"));
}

int main(void)
{
    const char *data = getenv("LECTERN_TEST_DATA");
    if (data == NULL || mkdtemp(folder) == NULL) return 2;
    snprintf(model_path, sizeof model_path, "%s/qwen3/yarn-factor-bf16-d128", data);
    snprintf(other_path, sizeof other_path, "%s/qwen3/tied-bf16", data);
    snprintf(file, sizeof file, "%s/rotation", folder);
    for (uint32_t i = 0; i < TOKENS; i++) ids[i] = (i * i * 7 + i * 31) % 251;
    eng_model *model = open_model((eng_model_options){0}, NULL);
    eng_error error = {0};
    bool ok = measure(model, file, NULL, &error) == ENG_OK;
    eng_model_close(model);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_attention_stays),
        cmocka_unit_test(same_text_same_file),
        cmocka_unit_test(cache_of_another_rotation_is_stale),
        cmocka_unit_test(only_its_own_model_takes_it),
    };
    if (!ok) fprintf(stderr, "%s\n", error.message);
    int failed = !ok || cmocka_run_group_tests(tests, NULL, NULL);
    char command[128];
    unlink(file);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0 || failed;
}
