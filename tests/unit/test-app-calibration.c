/* test-app-calibration.c: the measured table is the engine's own likelihoods, the advice follows from it, a choice is kept and is what a
 * model is opened with. Over a tiny checkpoint of 128 features a head. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib/gstdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app-calibration-internal.h"

static char *folder, *model, *text;

/* Mean negative log likelihood of the text's own bytes (tokens) after <|endoftext|>, by eng_read's logits. */
static double perplexity_by_reading(uint16_t k_key, uint16_t k_query, const char *bytes, size_t n_bytes)
{
    eng_model *opened;
    eng_runtime *runtime;
    eng_tokens tokens = {0};
    eng_error error = {0};
    eng_model_options options = {.k_key = k_key, .k_query = k_query};
    if (eng_model_open(model, &options, &opened, &error) != ENG_OK) fail_msg("%s", error.message);
    assert_int_equal(eng_runtime_new(opened, NULL, &runtime, &error), ENG_OK);
    assert_int_equal(eng_tokenize(opened, bytes, n_bytes, false, &tokens, &error), ENG_OK);
    const eng_model_info *info = eng_model_get_info(opened);
    enum { WINDOW = 128, LAYERS_MAX = 8 };
    uint32_t ids[WINDOW] = {eng_special_token(opened, ENG_TOKEN_END)};
    size_t block_bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, WINDOW).total_bytes;
    void *blocks[LAYERS_MAX];
    assert_true(info->n_layers <= LAYERS_MAX && tokens.n % (WINDOW - 1) == 0);
    for (uint32_t l = 0; l < info->n_layers; l++) blocks[l] = memset(aligned_alloc(KERN_ALIGN_BYTES, block_bytes), 0, block_bytes);
    float *logits = g_new(float, (size_t)WINDOW * info->n_vocabulary);
    double nll = 0;
    for (size_t at = 0; at < tokens.n; at += WINDOW - 1) {
        memcpy(ids + 1, tokens.ids + at, (WINDOW - 1) * sizeof *ids);
        eng_read_job job = {.ids = ids, .n_tokens = WINDOW, .blocks = blocks, .ret_logits = logits, .first_position = UINT32_MAX};
        if (eng_read(runtime, &job, 1, &error) != ENG_OK) fail_msg("%s", error.message);
        for (uint32_t t = 0; t + 1 < WINDOW; t++) {
            const float *row = logits + (size_t)t * info->n_vocabulary;
            double sum = 0;
            for (uint32_t i = 0; i < info->n_vocabulary; i++) sum += exp((double)row[i] - row[ids[t + 1]]);
            nll += log(sum);
        }
    }
    double perplexity = exp(nll / (double)tokens.n);
    for (uint32_t l = 0; l < info->n_layers; l++) free(blocks[l]);
    g_free(logits);
    eng_tokens_clear(&tokens);
    eng_runtime_free(runtime);
    eng_model_close(opened);
    return perplexity;
}

static const AppCalibrationRow *find_row(const AppCalibration *c, uint32_t k_key, uint32_t k_query, bool rotated)
{
    for (size_t i = 0; i < c->n_rows; i++)
        if (c->rows[i].k_key == k_key && c->rows[i].k_query == k_query && c->rows[i].rotated == rotated) return &c->rows[i];
    return NULL;
}

static void table_is_what_the_engine_says(void **state)
{
    (void)state;
    g_autofree char *bytes = NULL;
    gsize n_bytes;
    assert_true(g_file_get_contents(text, &bytes, &n_bytes, NULL));
    GError *error = NULL;
    AppCalibrationOptions options = {.file = text, .n_threads = 1};
    g_autoptr(AppCalibration) c = app_calibration_run(folder, model, &options, &error);
    if (c == NULL) fail_msg("%s", error->message);
    assert_int_equal(c->n_rows, 21);
    assert_int_equal(c->rows[0].k_key, 128);
    assert_false(c->trained_sparse);
    assert_int_equal(c->n_tokens, n_bytes);
    assert_true(c->rows[0].divergence < 1e-9 && c->rows[0].agreement == 1);
    static const uint16_t checked[][2] = {{128, 128}, {16, 16}, {32, 128}};
    for (size_t i = 0; i < 3; i++) {
        const AppCalibrationRow *row = find_row(c, checked[i][0], checked[i][1], false);
        double wanted = perplexity_by_reading(checked[i][0], checked[i][1], bytes, n_bytes);
        assert_non_null(row);
        assert_true(fabs(row->perplexity / wanted - 1) < 1e-4);
        assert_true(row->decode_tokens_per_s > 0);
    }
    const AppCalibrationRow *k16 = find_row(c, 16, 16, false), *k64 = find_row(c, 64, 64, false);
    assert_true(k16->divergence > k64->divergence && k64->divergence > 0); /* fewer features: further away */
    assert_true(k16->bytes_per_token < c->rows[0].bytes_per_token);
    /* This checkpoint's keys lie in 32 dimensions before RoPE: a rotation finds them. */
    static const uint16_t sparse[] = {16, 24, 32, 48, 64};
    for (size_t i = 0; i < 5; i++) {
        const AppCalibrationRow *plain = find_row(c, sparse[i], 128, false), *rotated = find_row(c, sparse[i], 128, true);
        assert_true(rotated->divergence < plain->divergence / 2);
        assert_true(rotated->bytes_per_token == plain->bytes_per_token);
    }
    const AppCalibrationRow *advised = &c->rows[c->advised];
    assert_true(c->advised == 0 || (advised->perplexity <= 1.03 * c->rows[0].perplexity && advised->agreement >= 0.9));
    g_autoptr(AppCalibration) again = app_calibration_load(folder, model, &error);
    assert_non_null(again);
    g_autofree char *x = app_calibration_to_json(c), *y = app_calibration_to_json(again);
    assert_string_equal(x, y);
}

static void choice_is_kept(void **state)
{
    (void)state;
    GError *error = NULL;
    eng_model_options options = {0};
    assert_true(app_calibration_choose(folder, model, 32, 128, false, &error));
    assert_null(app_calibration_get_choice(folder, model, &options));
    assert_int_equal(options.k_key, 32);
    assert_int_equal(options.k_query, 128);
    assert_false(app_calibration_choose(folder, model, 130, 130, false, &error)); /* more than there are */
    assert_true(g_error_matches(error, APP_CALIBRATION_ERROR, APP_CALIBRATION_ERROR_INVALID));
    g_clear_error(&error);
    assert_false(app_calibration_choose(folder, model, 18, 18, false, &error)); /* not a multiple of 4 */
    g_clear_error(&error);
    AppCalibrationOptions measure = {.file = text, .n_tokens = 300, .n_threads = 1}; /* a new table keeps the choice */
    g_autoptr(AppCalibration) c = app_calibration_run(folder, model, &measure, &error);
    assert_non_null(c);
    assert_int_equal(c->chosen_k_key, 32);
    assert_true(app_calibration_choose(folder, model, 0, 0, false, &error));
    options = (eng_model_options){0};
    assert_null(app_calibration_get_choice(folder, model, &options));
    assert_int_equal(options.k_key, 0);
}

/* The file that a choice keeps to; the only one. */
static char *only_rotation(void)
{
    g_autofree char *models = g_build_filename(folder, "models", NULL);
    GDir *dir = g_dir_open(models, 0, NULL);
    char *found = NULL;
    for (const char *name = g_dir_read_name(dir); name != NULL; name = g_dir_read_name(dir)) {
        if (!g_str_has_suffix(name, ".rotation")) continue;
        assert_null(found);
        found = g_build_filename(models, name, NULL);
    }
    g_dir_close(dir);
    return found;
}

static char *identity_of_choice(bool *ret_rotated)
{
    eng_model_options options = {0};
    g_autofree char *rotation = app_calibration_get_choice(folder, model, &options);
    eng_model *opened;
    eng_error error = {0};
    if (eng_model_open(model, &options, &opened, &error) != ENG_OK) fail_msg("%s", error.message);
    *ret_rotated = eng_model_get_info(opened)->rotated;
    char *identity = g_strdup(eng_model_identity(opened));
    eng_model_close(opened);
    return identity;
}

static void rotation_is_kept_with_the_choice(void **state)
{
    (void)state;
    GError *error = NULL;
    bool is_rotated;
    assert_true(app_calibration_choose(folder, model, 32, 128, false, &error));
    g_autofree char *plain = identity_of_choice(&is_rotated);
    assert_false(is_rotated);
    assert_true(app_calibration_choose(folder, model, 32, 128, true, &error));
    g_autofree char *rotated = identity_of_choice(&is_rotated);
    assert_true(is_rotated);
    assert_string_not_equal(plain, rotated); /* what was read without it is stale */
    g_autofree char *first = only_rotation();
    AppCalibrationOptions measure = {.file = text, .n_tokens = 280, .n_threads = 1}; /* another table, another rotation: the choice stays */
    g_autoptr(AppCalibration) c = app_calibration_run(folder, model, &measure, &error);
    if (c == NULL) fail_msg("%s", error->message);
    assert_string_not_equal(c->rotation, c->chosen_rotation);
    for (size_t i = 0; i < c->n_rows; i++) assert_false(app_calibration_is_chosen(c, i));
    g_autofree char *again = identity_of_choice(&is_rotated);
    assert_string_equal(again, rotated);
    assert_true(app_calibration_choose(folder, model, 32, 128, true, &error)); /* now the new one; the old one goes */
    g_autofree char *renewed = identity_of_choice(&is_rotated), *second = only_rotation();
    assert_true(is_rotated);
    assert_string_not_equal(renewed, rotated);
    assert_string_not_equal(first, second);
    app_calibration_forget(folder, "yarn-factor-bf16-d128");
    assert_null(only_rotation());
    assert_null(app_calibration_load(folder, model, &error));
    assert_null(error);
    assert_false(app_calibration_choose(folder, model, 32, 128, true, &error)); /* never measured */
    assert_true(g_error_matches(error, APP_CALIBRATION_ERROR, APP_CALIBRATION_ERROR_INVALID));
    g_clear_error(&error);
}

static void failures_say_why(void **state)
{
    (void)state;
    GError *error = NULL;
    g_autofree char *file = g_build_filename(folder, "bad.txt", NULL);
    assert_true(g_file_set_contents(file, "too short", -1, NULL));
    AppCalibrationOptions options = {.file = file};
    assert_null(app_calibration_run(folder, model, &options, &error));
    assert_true(g_error_matches(error, APP_CALIBRATION_ERROR, APP_CALIBRATION_ERROR_TEXT));
    assert_non_null(strstr(error->message, "bad.txt"));
    g_clear_error(&error);
    assert_true(g_file_set_contents(file, "\xff\xfe", 2, NULL));
    assert_null(app_calibration_run(folder, model, &options, &error));
    assert_non_null(strstr(error->message, "UTF-8"));
    g_clear_error(&error);
    g_unlink(file);
    bool cancel = true;
    options = (AppCalibrationOptions){.file = text, .cancel = &cancel};
    assert_null(app_calibration_run(folder, model, &options, &error));
    assert_true(g_error_matches(error, APP_CALIBRATION_ERROR, APP_CALIBRATION_ERROR_CANCELLED));
    g_clear_error(&error);
    g_autofree char *table = g_build_filename(folder, "models", "yarn-factor-bf16-d128.calibration.json", NULL);
    assert_true(g_file_set_contents(table, "{", 1, NULL));
    assert_null(app_calibration_load(folder, model, &error));
    assert_non_null(strstr(error->message, "damaged"));
    g_clear_error(&error);
    eng_model_options untouched = {.k_key = 7};
    assert_null(app_calibration_get_choice(folder, model, &untouched));
    assert_int_equal(untouched.k_key, 7);
    g_unlink(table);
    assert_null(app_calibration_load(folder, model, &error));
    assert_null(error);
}

int main(void)
{
    const char *data = g_getenv("LECTERN_TEST_DATA");
    if (data == NULL) return 2;
    folder = g_dir_make_tmp("lectern-calibration-XXXXXX", NULL);
    model = g_build_filename(data, "qwen3", "yarn-factor-bf16-d128", NULL);
    text = g_build_filename(folder, "text.txt", NULL);
    GString *words = g_string_new(NULL); /* one token a byte: three windows of the model's 128 */
    for (int i = 0; words->len < 127; i++) g_string_append_printf(words, "line %d of a text\n", i * 37 % 11);
    while (words->len < 381) g_string_append_c(words, 'a' + (char)(words->len * 7 % 26));
    bool ok = g_file_set_contents(text, words->str, (gssize)words->len, NULL);
    g_string_free(words, TRUE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_what_the_engine_says),
        cmocka_unit_test(choice_is_kept),
        cmocka_unit_test(rotation_is_kept_with_the_choice),
        cmocka_unit_test(failures_say_why),
    };
    int failed = !ok || cmocka_run_group_tests(tests, NULL, NULL);
    g_autofree char *models = g_build_filename(folder, "models", NULL), *memo = g_build_filename(folder, "model-digests", NULL);
    g_unlink(text);
    g_unlink(memo);
    g_rmdir(models);
    failed |= g_rmdir(folder) != 0;
    g_free(folder);
    g_free(model);
    g_free(text);
    return failed;
}
