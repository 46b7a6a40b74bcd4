/* test-download-faults.c: downloads and imports of models when the process is killed, calls fail, the disk is full or the power fails:
 * promises 1 to 4 for them. Nothing wrong ever has a model's name, and the same command goes on from what is there.
 *
 * Owns: the works, and what is right. The loops: fault-work.h. The server: serve-model.py, which runs this program.
 * Does not own: a server that misbehaves (tests/promise/promise-25.py).
 */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "app-download.h"
#include "app-models.h"
#include "app-settings.h"
#include "fault-memory.h"
#include "fault-work.h"
#include "select-tests.h"

#define GGUF "tiny-Q8_0.gguf"
#define DOWNLOADING "models/.download/org--tiny/model"

static const char *served;      /* folder of what the server has */
static char *source;            /* the same without the GGUF file: what is imported */
static char *fetched;           /* a data folder with all of a download, before it is converted */
static char *packed;            /* the model of `source` in 8 bits, as an import makes it */
static AppSettings *settings;

/* ---------------------------------------------------------------------------------------------------------------- works */

/* What is there of a download before it is run again, and from where it then went on. */
static uint64_t n_there, n_first;

static bool stops_at_converting, is_cancelled;

static void see_progress(void *user, const AppDownloadProgress *progress)
{
    if (stops_at_converting && progress->stage == APP_DOWNLOAD_CONVERTING) is_cancelled = true;
    if (progress->stage == APP_DOWNLOAD_FETCHING && progress->message == NULL && n_first == UINT64_MAX) n_first = progress->done_bytes;
}

static bool download(const char *folder, const char *file, AppModelWeights weights, GError **error)
{
    const AppDownloadWish wish = {.what = "org/tiny", .file = file, .name = "new", .weights = weights};
    n_first = UINT64_MAX;
    g_autofree char *name = app_download_run(folder, settings, &wish, see_progress, NULL, &is_cancelled, error);
    return name != NULL;
}

/* A model that comes in one of the ways. */
typedef struct Case {
    bool is_import;
    const char *file; /* of the repository; NULL: all of it */
    AppModelWeights weights;
    char **base;                      /* what is there at first; NULL: nothing */
    unsigned n_least, n_least_events; /* calls; events of the disk */
} Case;
static const Case cases[] = {
    {false, NULL, APP_MODEL_WEIGHTS_AS_THEY_ARE, NULL, 40, 40},    {false, NULL, APP_MODEL_WEIGHTS_8_BITS, &fetched, 40, 40},
    {false, GGUF, APP_MODEL_WEIGHTS_AS_THEY_ARE, NULL, 40, 20},    {true, NULL, APP_MODEL_WEIGHTS_AS_THEY_ARE, NULL, 10, 10},
    {true, NULL, APP_MODEL_WEIGHTS_8_BITS, NULL, 10, 4},
};
static const Case *tested;

static bool bring(const char *folder, GError **error)
{
    if (!tested->is_import) return download(folder, tested->file, tested->weights, error);
    g_autofree char *name = app_models_import(folder, source, "new", tested->weights, NULL, NULL, NULL, error);
    return name != NULL;
}

static bool work(const char *folder)
{
    GError *error = NULL;
    bool ok = bring(folder, &error);
    return fault_work_is_clean(ok, &error);
}

/* ---------------------------------------------------------------------------------------------------------- what is found */

static bool same_bytes(const char *path, const char *right_path, bool is_part)
{
    g_autofree char *bytes = NULL, *right = NULL;
    gsize n, n_right;
    if (!g_file_get_contents(path, &bytes, &n, NULL) || !g_file_get_contents(right_path, &right, &n_right, NULL)) return false;
    return (is_part ? n <= n_right : n == n_right) && memcmp(bytes, right, n) == 0;
}

/* NULL: every file of the model's folder is as served, and of those of `source` none is missing. */
static const char *find_in_model(const char *folder)
{
    g_autoptr(GDir) right = g_dir_open(source, 0, NULL), dir = g_dir_open(folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(right));) {
        g_autofree char *path = g_build_filename(folder, name, NULL), *right_path = g_build_filename(source, name, NULL);
        if (!same_bytes(path, right_path, false)) return "an installed model is not whole";
    }
    for (const char *name; (name = g_dir_read_name(dir));) {
        g_autofree char *right_path = g_build_filename(source, name, NULL);
        static char words[200];
        g_snprintf(words, sizeof words, "“%s” is in the model's folder", name);
        if (!g_file_test(right_path, G_FILE_TEST_EXISTS) && strcmp(name, "ORIGIN") != 0) return words;
    }
    return NULL;
}

/* What has a model's name is whole. */
static const char *find_in_models(const char *folder, bool *ret_installed)
{
    g_autofree char *models = g_build_filename(folder, "models", NULL);
    g_autoptr(GDir) dir = g_dir_open(models, 0, NULL);
    const char *problem = NULL;
    *ret_installed = false;
    for (const char *name; dir && !problem && (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(models, name, NULL), *gguf = g_build_filename(served, GGUF, NULL);
        if (*name == '.') continue;
        *ret_installed = true;
        if (strcmp(name, "new") == 0) problem = find_in_model(path);
        else if (strcmp(name, "new.gguf") == 0) problem = same_bytes(path, gguf, false) ? NULL : "the installed file is not whole";
        else if (strcmp(name, "new.safetensors") == 0) problem = same_bytes(path, packed, false) ? NULL : "the packed file is not whole";
        else problem = "something has a model's name that is none";
    }
    return problem;
}

/* Of an unfinished download: what has its final name is right; what is a part of it begins as it should, unless power failed. */
static const char *find_in_download(const char *folder, bool after_power_failure)
{
    g_autofree char *model = g_build_filename(folder, DOWNLOADING, NULL);
    g_autoptr(GDir) dir = g_dir_open(model, 0, NULL);
    n_there = 0;
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        bool is_part = g_str_has_suffix(name, ".part");
        g_autofree char *path = g_build_filename(model, name, NULL), *final = g_strndup(name, strlen(name) - (is_part ? strlen(".part") : 0));
        g_autofree char *right = g_build_filename(served, final, NULL);
        if (!g_file_test(right, G_FILE_TEST_EXISTS)) continue; /* an ETag, a file that is being replaced */
        bool right_so_far = same_bytes(path, right, is_part);
        GStatBuf info;
        if (!right_so_far && !(is_part && after_power_failure)) return "a fetched file is not right";
        if (right_so_far && g_stat(path, &info) == 0) n_there += (uint64_t)info.st_size;
    }
    return NULL;
}

/* Nothing of the work is left beside the model. */
static const char *find_left_over(const char *folder)
{
    g_autofree char *models = g_build_filename(folder, "models", NULL), *downloads = g_build_filename(models, ".download", NULL);
    g_autoptr(GPtrArray) unfinished = app_download_list(folder);
    if (unfinished->len) return "a download counts as unfinished";
    g_autoptr(GDir) dir = g_dir_open(models, 0, NULL), inner = g_dir_open(downloads, 0, NULL);
    if (inner && g_dir_read_name(inner)) return "a download's folder is left over";
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(models, name, NULL);
        /* An empty one goes with the next import. */
        if (*name == '.' && strcmp(name, ".download") != 0 && g_rmdir(path) != 0) return "a folder beside the model is left over";
    }
    return NULL;
}

/* Nothing wrong has a name; then the same command works, from where it stopped. */
static const char *find_problem(const char *folder, bool after_power_failure)
{
    static char words[512];
    bool installed;
    const char *problem = find_in_models(folder, &installed);
    if (!problem) problem = find_in_download(folder, after_power_failure);
    if (problem) return problem;
    g_autoptr(GError) error = NULL;
    bool ok = bring(folder, &error), refused = g_error_matches(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_EXISTS) ||
                                               g_error_matches(error, APP_MODELS_ERROR, APP_MODELS_ERROR_EXISTS);
    g_snprintf(words, sizeof words, "the same command again: %s", error ? error->message : "");
    if (ok == installed || (installed && !refused)) return words;
    if (!tested->is_import && !installed && n_first < n_there) return "the same command began anew instead of going on";
    problem = find_in_models(folder, &installed);
    if (!problem && !installed) problem = "it is not installed though it said so";
    return problem ? problem : find_left_over(folder);
}

static const char *find_after_calls(const char *folder)
{
    return find_problem(folder, false);
}

static const char *find_after_power_failure(const char *folder)
{
    return find_problem(folder, true);
}

/* ---------------------------------------------------------------------------------------------------------------- tests */

static const char *base_of_tested(void) { return tested->base ? *tested->base : NULL; }

static void every_call_of_every_case(fault_calls calls)
{
    for (tested = cases; tested < cases + G_N_ELEMENTS(cases); tested++)
        fault_work_every_call(work, find_after_calls, base_of_tested(), calls, tested->n_least);
}

static void test_promise_01_killed_while_a_model_comes(void **state)
{
    every_call_of_every_case((fault_calls){.exit_instead = true});
}

static void test_promise_02_power_fails_while_a_model_comes(void **state)
{
    for (tested = cases; tested < cases + G_N_ELEMENTS(cases); tested++)
        fault_work_every_power_failure(work, find_after_power_failure, base_of_tested(), tested->n_least_events);
}

static void test_promise_03_a_call_fails_once(void **state)
{
    every_call_of_every_case((fault_calls){.error_number = EIO});
}

static void test_promise_03_calls_fail_from_there_on(void **state)
{
    every_call_of_every_case((fault_calls){.error_number = EIO, .fail_on = true});
}

static void test_promise_04_the_disk_is_full(void **state)
{
    for (tested = cases; tested < cases + G_N_ELEMENTS(cases); tested++)
        fault_work_little_space(work, find_after_calls, base_of_tested(), 700000);
}

static void test_promise_04_people_are_told(void **state)
{
    for (tested = cases; tested < cases + G_N_ELEMENTS(cases); tested++) {
        if (tested->base) continue; /* of which all is there already */
        g_autofree char *folder = fault_work_new_folder();
        g_autoptr(GError) error = NULL;
        assert_int_equal(g_mkdir(folder, 0700), 0);
        fault = (fault_calls){.folder = folder, .limited = true, .space_bytes = 20000};
        bool ok = bring(folder, &error);
        fault.folder = NULL;
        assert_false(ok);
        if (!strstr(error->message, "ree some space") || !strstr(error->message, "No space left")) fail_msg("%s", error->message);
        if (!tested->is_import) assert_true(g_error_matches(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_SPACE));
        fault_work_remove(folder);
    }
}

#ifdef TEST_MEMORY
static void test_promise_05_memory_runs_out_while_a_model_comes(void **state)
{
    for (tested = cases; tested < cases + G_N_ELEMENTS(cases); tested++) fault_memory_every(work, find_after_calls, base_of_tested(), 60, 1000);
}
#endif

static int set_up_all(void **state)
{
    served = g_getenv("LECTERN_TEST_SERVED");
    assert_non_null(served);
    g_autofree char *path = g_build_filename(fault_work_top(), "settings.conf", NULL), *folder = fault_work_new_folder();
    settings = app_settings_open(path, NULL);
    assert_true(settings && app_settings_set(settings, APP_SETTING_RETRIES, "0", NULL));
    source = g_build_filename(fault_work_top(), "source", NULL);
    fault_work_copy(served, source);
    g_autofree char *gguf = g_build_filename(source, GGUF, NULL);
    assert_int_equal(g_unlink(gguf), 0);
    g_autoptr(GError) error = NULL;
    tested = &cases[G_N_ELEMENTS(cases) - 1];
    if (!bring(folder, &error)) fail_msg("%s", error->message);
    packed = g_build_filename(folder, "models", "new.safetensors", NULL);
    fetched = fault_work_new_folder();
    stops_at_converting = true;
    assert_false(download(fetched, NULL, APP_MODEL_WEIGHTS_8_BITS, &error));
    assert_true(g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED));
    stops_at_converting = is_cancelled = false;
    return 0;
}

static int tear_down_all(void **state)
{
    fault_work_end();
    app_settings_free(settings);
    g_free(source);
    g_free(packed);
    g_free(fetched);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promise_01_killed_while_a_model_comes), cmocka_unit_test(test_promise_02_power_fails_while_a_model_comes),
        cmocka_unit_test(test_promise_03_a_call_fails_once),          cmocka_unit_test(test_promise_03_calls_fail_from_there_on),
#ifdef TEST_MEMORY
        cmocka_unit_test(test_promise_05_memory_runs_out_while_a_model_comes),
#endif
        cmocka_unit_test(test_promise_04_the_disk_is_full),           cmocka_unit_test(test_promise_04_people_are_told),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, set_up_all, tear_down_all);
}
