/* app-calibration.c: see app-calibration.h. */
#include "app-calibration.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app-calibration-internal.h"
#include "app-engine-internal.h"
#include "app-models.h"
#include "app-paths.h"

G_DEFINE_QUARK(app-calibration-error-quark, app_calibration_error)

enum { TOKENS = 4096, TOKENS_MIN = 256, TEXT_BYTES_MAX = 64 << 20, BYTES_PER_TOKEN_MAX = 16 };
#define PERPLEXITY_MOST 1.03
#define AGREEMENT_LEAST 0.90
#define FASTER 1.05
#define NEARER 0.95 /* a rotation costs a little time: so much less divergence than without is worth it */
#define ROTATION ".rotation"
enum { ROTATION_DIGITS = 16 };

static const uint16_t tried[] = {16, 24, 32, 48, 64};

void app_calibration_free(AppCalibration *calibration)
{
    if (calibration == NULL) return;
    g_free(calibration->model);
    g_free(calibration->text);
    g_free(calibration->rotation);
    g_free(calibration->chosen_rotation);
    g_free(calibration->rows);
    g_free(calibration);
}

static bool fail(GError **error, AppCalibrationError code, const char *message)
{
    g_set_error_literal(error, APP_CALIBRATION_ERROR, code, message);
    return false;
}

/* ---------------------------------------------------------------------------------------------------------------- JSON */

static json_t *row_to_json(const AppCalibrationRow *row)
{
    return json_pack("{s:i, s:i, s:b, s:f, s:f, s:f, s:f, s:f}", "k_key", (int)row->k_key, "k_query", (int)row->k_query, "rotated", row->rotated,
                     "perplexity", row->perplexity, "kl_nats", row->divergence, "top_agreement", row->agreement, "bytes_per_token", row->bytes_per_token, "decode_tokens_per_s",
                     row->decode_tokens_per_s);
}

char *app_calibration_to_json(const AppCalibration *c)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < c->n_rows; i++) json_array_append_new(rows, row_to_json(&c->rows[i]));
    json_t *root = json_pack("{s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:b, s:o, s:I, s:i, s:i}", "model", c->model, "text", c->text, "made",
                             (json_int_t)c->made_s, "tokens", (json_int_t)c->n_tokens, "head_dim", (int)c->head_dim, "own_k_key", (int)c->own_k_key,
                             "own_k_query", (int)c->own_k_query, "trained_sparse", c->trained_sparse, "rows", rows, "advised",
                             (json_int_t)c->advised, "chosen_k_key", (int)c->chosen_k_key, "chosen_k_query", (int)c->chosen_k_query);
    json_object_set_new(root, "independent", json_boolean(c->chosen_independent));
    json_object_set_new(root, "rotation", json_string(c->rotation));
    json_object_set_new(root, "chosen_rotation", json_string(c->chosen_rotation));
    char *dumped = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)), *text = g_strdup(dumped);
    free(dumped);
    json_decref(root);
    return text;
}

static uint32_t get_features(const json_t *object, const char *key)
{
    json_int_t k = json_integer_value(json_object_get(object, key));
    return k > 0 && k <= KERN_HEAD_DIM_MAX ? (uint32_t)k : 0;
}

static double get_real(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

/* "" for what is not a digest: it becomes part of a file's name. */
static char *get_digest(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return g_strdup(text != NULL && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64 ? text : "");
}

static AppCalibration *from_json(const json_t *root)
{
    const json_t *rows = json_object_get(root, "rows");
    AppCalibration *c = g_new0(AppCalibration, 1);
    const char *model = json_string_value(json_object_get(root, "model")), *text = json_string_value(json_object_get(root, "text"));
    c->model = g_strdup(model != NULL ? model : "");
    c->text = g_strdup(text != NULL ? text : "");
    c->made_s = json_integer_value(json_object_get(root, "made"));
    c->n_tokens = (uint64_t)json_integer_value(json_object_get(root, "tokens"));
    c->head_dim = get_features(root, "head_dim");
    c->own_k_key = get_features(root, "own_k_key");
    c->own_k_query = get_features(root, "own_k_query");
    c->trained_sparse = json_is_true(json_object_get(root, "trained_sparse"));
    c->chosen_k_key = get_features(root, "chosen_k_key");
    c->chosen_k_query = get_features(root, "chosen_k_query");
    c->chosen_independent = json_is_true(json_object_get(root, "independent"));
    c->rotation = get_digest(root, "rotation");
    c->chosen_rotation = get_digest(root, "chosen_rotation");
    c->n_rows = json_array_size(rows);
    c->rows = g_new0(AppCalibrationRow, c->n_rows + 1);
    for (size_t i = 0; i < c->n_rows; i++) {
        const json_t *row = json_array_get(rows, i);
        c->rows[i] = (AppCalibrationRow){.k_key = get_features(row, "k_key"), .k_query = get_features(row, "k_query"),
                                         .rotated = json_is_true(json_object_get(row, "rotated")), .perplexity = get_real(row, "perplexity"), .divergence = get_real(row, "kl_nats"),
                                         .agreement = get_real(row, "top_agreement"), .bytes_per_token = get_real(row, "bytes_per_token"),
                                         .decode_tokens_per_s = get_real(row, "decode_tokens_per_s")};
    }
    size_t advised = (size_t)json_integer_value(json_object_get(root, "advised"));
    c->advised = advised < c->n_rows ? advised : 0;
    return c;
}

/* --------------------------------------------------------------------------------------------------------------- storing */

/* The model's path's last part without its extension. */
static char *name_of(const char *model_path)
{
    char *base = g_path_get_basename(model_path);
    static const char *const extensions[] = {".safetensors", ".gguf"};
    for (size_t i = 0; i < G_N_ELEMENTS(extensions); i++)
        if (g_str_has_suffix(base, extensions[i])) base[strlen(base) - strlen(extensions[i])] = '\0';
    return base;
}

/* <data>/models/NAME.calibration.json */
static char *file_of(const char *data_folder, const char *model_path)
{
    g_autofree char *name = name_of(model_path), *file = g_strconcat(name, ".calibration.json", NULL);
    return g_build_filename(data_folder, "models", file, NULL);
}

/* <data>/models/NAME.DIGEST.rotation, of the digest its first digits. */
static char *rotation_file_of(const char *data_folder, const char *model_path, const char *digest)
{
    g_autofree char *name = name_of(model_path), *file = g_strdup_printf("%s.%.*s" ROTATION, name, ROTATION_DIGITS, digest);
    return g_build_filename(data_folder, "models", file, NULL);
}

/* Deletes the rotations of a model of this name, but for those that the calibration (NULL: none) still needs. */
static void delete_rotations(const char *data_folder, const char *name, const AppCalibration *calibration)
{
    g_autofree char *folder = g_build_filename(data_folder, "models", NULL);
    GDir *dir = g_dir_open(folder, 0, NULL);
    size_t n_name = strlen(name);
    for (const char *file = dir != NULL ? g_dir_read_name(dir) : NULL; file != NULL; file = g_dir_read_name(dir)) {
        if (strlen(file) != n_name + 1 + ROTATION_DIGITS + strlen(ROTATION) || strncmp(file, name, n_name) != 0 || file[n_name] != '.' ||
            !g_str_has_suffix(file, ROTATION))
            continue;
        const char *digits = file + n_name + 1;
        if (calibration != NULL && (strncmp(digits, calibration->rotation, ROTATION_DIGITS) == 0 ||
                                    strncmp(digits, calibration->chosen_rotation, ROTATION_DIGITS) == 0))
            continue;
        g_autofree char *path = g_build_filename(folder, file, NULL);
        g_unlink(path);
    }
    if (dir != NULL) g_dir_close(dir);
}

void app_calibration_forget(const char *data_folder, const char *name)
{
    g_autofree char *file = file_of(data_folder, name);
    g_unlink(file);
    delete_rotations(data_folder, name, NULL);
}

static AppCalibration *load_file(const char *file, GError **error)
{
    g_autofree char *text = NULL;
    gsize n_bytes;
    GError *failure = NULL;
    if (!g_file_get_contents(file, &text, &n_bytes, &failure)) {
        if (g_error_matches(failure, G_FILE_ERROR, G_FILE_ERROR_NOENT))
            g_clear_error(&failure);
        else
            g_propagate_error(error, failure);
        return NULL;
    }
    json_error_t json_error;
    json_t *root = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &json_error);
    if (!json_is_object(root)) {
        json_decref(root);
        g_set_error(error, APP_CALIBRATION_ERROR, APP_CALIBRATION_ERROR_FAILED, _("%s is damaged; calibrate again, or delete it"), file);
        return NULL;
    }
    AppCalibration *calibration = from_json(root);
    json_decref(root);
    return calibration;
}

static bool store_file(const char *data_folder, const char *file, const AppCalibration *calibration, GError **error)
{
    g_autofree char *folder = g_build_filename(data_folder, "models", NULL), *json = app_calibration_to_json(calibration);
    if (!app_paths_make_private_folder(folder, error)) return false;
    return g_file_set_contents_full(file, json, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, error);
}

AppCalibration *app_calibration_load(const char *data_folder, const char *model, GError **error)
{
    g_autofree char *path = app_models_find(data_folder, model, error);
    if (path == NULL) return NULL;
    g_autofree char *file = file_of(data_folder, path);
    return load_file(file, error);
}

char *app_calibration_get_choice(const char *data_folder, const char *model_path, eng_model_options *options)
{
    g_autofree char *file = file_of(data_folder, model_path);
    g_autoptr(AppCalibration) stored = load_file(file, NULL);
    if (stored == NULL) return NULL;
    char *rotation = stored->chosen_rotation[0] != '\0' ? rotation_file_of(data_folder, model_path, stored->chosen_rotation) : NULL;
    options->k_key = (uint16_t)stored->chosen_k_key;
    options->k_query = (uint16_t)stored->chosen_k_query;
    options->rotation_path = rotation;
    if (stored->chosen_independent) {
        options->section_mode = ENG_SECTIONS_INDEPENDENT;
        options->section_mode_set = true;
    }
    return rotation;
}

bool app_calibration_is_chosen(const AppCalibration *c, size_t index)
{
    const AppCalibrationRow *row = &c->rows[index];
    uint32_t k_key = c->chosen_k_key != 0 ? c->chosen_k_key : c->own_k_key, k_query = c->chosen_k_key != 0 ? c->chosen_k_query : c->own_k_query;
    const char *rotation = row->rotated ? c->rotation : "";
    return row->k_key == k_key && row->k_query == k_query && strcmp(rotation, c->chosen_rotation) == 0;
}

static bool check_engine(eng_status status, const eng_error *engine_error, GError **error)
{
    if (status == ENG_OK) return true;
    if (status == ENG_CANCELLED) return fail(error, APP_CALIBRATION_ERROR_CANCELLED, _("Stopped; nothing was stored"));
    g_autofree char *message = app_engine_dup_message(engine_error);
    return fail(error, APP_CALIBRATION_ERROR_FAILED, message);
}

static bool open_model(const char *data_folder, const char *path, const eng_model_options *wanted, eng_model **ret_model, GError **error)
{
    g_autofree char *memo = g_build_filename(data_folder, "model-digests", NULL);
    eng_model_options options = *wanted;
    options.digest_memo_path = memo;
    eng_error engine_error = {0};
    if (eng_model_open(path, &options, ret_model, &engine_error) == ENG_OK) return true;
    bool is_invalid = engine_error.status == ENG_LIMIT || engine_error.status == ENG_UNSUPPORTED;
    g_autofree char *message = app_engine_dup_message(&engine_error);
    return fail(error, is_invalid ? APP_CALIBRATION_ERROR_INVALID : APP_CALIBRATION_ERROR_FAILED, message);
}

/* Opens the model with what is wished, which is the proof that it runs so. The stored table, or an empty one. */
static AppCalibration *prepare_choice(const char *data_folder, const char *path, const char *file, const eng_model_options *wished,
                                      bool wants_continuous, GError **error)
{
    eng_model *opened;
    if (!open_model(data_folder, path, wished, &opened, error)) return NULL;
    if (wants_continuous && eng_model_get_info(opened)->section_mode != ENG_SECTIONS_CONTINUOUS) {
        g_set_error(error, APP_CALIBRATION_ERROR, APP_CALIBRATION_ERROR_INVALID, _("%s was trained to read each section by itself, and does"),
                    eng_model_get_info(opened)->name);
        eng_model_close(opened);
        return NULL;
    }
    AppCalibration *stored = load_file(file, NULL);
    if (stored == NULL) {
        stored = g_new0(AppCalibration, 1);
        stored->model = g_strdup(eng_model_get_info(opened)->name);
        stored->text = g_strdup("");
        stored->rotation = g_strdup("");
        stored->chosen_rotation = g_strdup("");
        stored->head_dim = eng_model_get_info(opened)->head_dim;
    }
    eng_model_close(opened);
    return stored;
}

bool app_calibration_choose(const char *data_folder, const char *model, uint32_t k_key, uint32_t k_query, bool rotated, GError **error)
{
    g_autofree char *path = app_models_find(data_folder, model, error);
    if (path == NULL) return false;
    if (k_key > UINT16_MAX || k_query > UINT16_MAX) return fail(error, APP_CALIBRATION_ERROR_INVALID, _("no model has so many features"));
    g_autofree char *file = file_of(data_folder, path), *rotation = NULL, *name = name_of(path);
    eng_model_options wished = {.k_key = (uint16_t)k_key, .k_query = (uint16_t)k_query};
    if (rotated) {
        g_autoptr(AppCalibration) stored = load_file(file, error);
        if (stored == NULL || stored->rotation[0] == '\0')
            return error != NULL && *error != NULL ? false : fail(error, APP_CALIBRATION_ERROR_INVALID, _("No rotation was measured yet; calibrate first"));
        wished.rotation_path = rotation = rotation_file_of(data_folder, path, stored->rotation);
    }
    g_autoptr(AppCalibration) calibration = prepare_choice(data_folder, path, file, &wished, false, error);
    if (calibration == NULL) return false;
    calibration->chosen_k_key = k_key;
    calibration->chosen_k_query = k_query;
    g_free(calibration->chosen_rotation);
    calibration->chosen_rotation = g_strdup(rotated ? calibration->rotation : "");
    if (!store_file(data_folder, file, calibration, error)) return false;
    delete_rotations(data_folder, name, calibration);
    return true;
}

bool app_calibration_choose_sections(const char *data_folder, const char *model, bool independent, GError **error)
{
    g_autofree char *path = app_models_find(data_folder, model, error);
    if (path == NULL) return false;
    g_autofree char *file = file_of(data_folder, path);
    eng_model_options wished = {.section_mode = ENG_SECTIONS_INDEPENDENT, .section_mode_set = independent};
    g_autoptr(AppCalibration) calibration = prepare_choice(data_folder, path, file, &wished, !independent, error);
    if (calibration == NULL) return false;
    calibration->chosen_independent = independent;
    return store_file(data_folder, file, calibration, error);
}

/* ------------------------------------------------------------------------------------------------------------- measuring */

static char *sample_file(void)
{
    return g_build_filename(app_paths_resources(), "samples", "the-time-machine.txt", NULL);
}

static bool tokenize(const eng_model *model, const char *text, size_t n_bytes, size_t n_wanted, eng_tokens *tokens, GError **error)
{
    eng_error engine_error = {0};
    if (!check_engine(eng_tokenize(model, text, n_bytes, false, tokens, &engine_error), &engine_error, error)) return false;
    if (tokens->n > n_wanted) tokens->n = n_wanted;
    return true;
}

/* As many tokens of the text as wanted, from its middle when it is longer: beginnings are titles and contents. `other`: as many from what
 * stands before them, or the same ones where that is too little. */
static bool get_tokens(const eng_model *model, const char *file, size_t n_wanted, eng_tokens *tokens, eng_tokens *other, GError **error)
{
    g_autofree char *text = NULL;
    gsize n_bytes;
    if (!g_file_get_contents(file, &text, &n_bytes, error)) return false;
    if (n_bytes > TEXT_BYTES_MAX || !g_utf8_validate_len(text, n_bytes, NULL)) {
        g_set_error(error, APP_CALIBRATION_ERROR, APP_CALIBRATION_ERROR_TEXT, _("%s: not a text in UTF-8 of at most %d MB"), file, TEXT_BYTES_MAX >> 20);
        return false;
    }
    size_t n_taken = MIN(n_bytes, n_wanted * BYTES_PER_TOKEN_MAX), start = n_bytes > n_taken ? (n_bytes - n_taken) / 2 : 0;
    while (start > 0 && text[start - 1] != '\n') start--;
    size_t n_before = MIN(start, n_taken);
    while (n_before > 0 && n_before < start && text[start - n_before - 1] != '\n') n_before--;
    if (!tokenize(model, text + start, MIN(n_bytes - start, n_taken), n_wanted, tokens, error)) return false;
    if (!tokenize(model, text + start - n_before, n_before, n_wanted, other, error)) return false;
    if (other->n < n_wanted / 2) {
        eng_tokens_clear(other);
        if (!tokenize(model, text + start, MIN(n_bytes - start, n_taken), n_wanted, other, error)) return false;
    }
    if (tokens->n >= TOKENS_MIN) return true;
    g_set_error(error, APP_CALIBRATION_ERROR, APP_CALIBRATION_ERROR_TEXT, _("%s: too short: %zu tokens, at least %d are needed"), file, tokens->n, TOKENS_MIN);
    return false;
}

static void add_setting(GArray *rows, uint32_t k_key, uint32_t k_query, bool rotated)
{
    for (guint i = 0; i < rows->len; i++) {
        const eng_calibration_row *row = &g_array_index(rows, eng_calibration_row, i);
        if (row->k_key == k_key && row->k_query == k_query && row->rotated == rotated) return;
    }
    eng_calibration_row row = {.k_key = (uint16_t)k_key, .k_query = (uint16_t)k_query, .rotated = rotated};
    g_array_append_val(rows, row);
}

/* The reference first. */
static GArray *make_settings(const eng_model_info *info, bool against_dense)
{
    GArray *rows = g_array_new(FALSE, TRUE, sizeof(eng_calibration_row));
    uint32_t d = info->head_dim;
    if (!against_dense) add_setting(rows, info->kv_format.k_key, info->kv_format.k_query, false);
    add_setting(rows, d, d, false);
    for (size_t i = 0; i < 4 * G_N_ELEMENTS(tried); i++) {
        uint32_t k = tried[i / 4];
        if (k < d) add_setting(rows, k, i % 4 < 2 ? k : d, i % 2 == 1);
    }
    add_setting(rows, info->kv_format.k_key, info->kv_format.k_query, false);
    return rows;
}

static size_t advise(const AppCalibration *c)
{
    size_t best = 0;
    for (size_t i = 0; i < c->n_rows; i++)
        if (c->rows[i].k_key == c->own_k_key && c->rows[i].k_query == c->own_k_query && !c->rows[i].rotated) best = i;
    const AppCalibrationRow *reference = &c->rows[0];
    for (size_t i = 0; i < c->n_rows; i++) {
        const AppCalibrationRow *row = &c->rows[i], *so_far = &c->rows[best];
        if (!(row->perplexity <= PERPLEXITY_MOST * reference->perplexity) || row->agreement < AGREEMENT_LEAST) continue;
        bool is_smaller = row->bytes_per_token < so_far->bytes_per_token;
        bool is_equal = row->bytes_per_token == so_far->bytes_per_token, differs = row->rotated != so_far->rotated;
        bool is_faster = is_equal && !differs && row->decode_tokens_per_s > FASTER * so_far->decode_tokens_per_s;
        bool is_nearer = is_equal && differs && (row->rotated ? row->divergence < NEARER * so_far->divergence : so_far->divergence > NEARER * row->divergence);
        if (is_smaller || is_faster || is_nearer) best = i;
    }
    return best;
}

static AppCalibration *make_calibration(const eng_model_info *info, const char *text, const char *rotation, const GArray *measured)
{
    AppCalibration *c = g_new0(AppCalibration, 1);
    c->model = g_strdup(info->name);
    c->text = g_path_get_basename(text);
    c->rotation = g_strdup(rotation);
    c->chosen_rotation = g_strdup("");
    c->made_s = g_get_real_time() / G_USEC_PER_SEC;
    c->head_dim = info->head_dim;
    c->own_k_key = info->kv_format.k_key;
    c->own_k_query = info->kv_format.k_query;
    c->trained_sparse = c->own_k_key < c->head_dim;
    c->n_rows = measured->len;
    c->rows = g_new0(AppCalibrationRow, c->n_rows + 1);
    for (guint i = 0; i < measured->len; i++) {
        const eng_calibration_row *row = &g_array_index(measured, eng_calibration_row, i);
        c->n_tokens = row->n_tokens;
        c->rows[i] = (AppCalibrationRow){.k_key = row->k_key, .k_query = row->k_query, .rotated = row->rotated, .perplexity = row->perplexity,
                                         .divergence = row->kl_nats, .agreement = row->top_agreement, .bytes_per_token = row->bytes_per_token,
                                         .decode_tokens_per_s = row->decode_tokens_per_s};
    }
    c->advised = advise(c);
    return c;
}

typedef struct Steps { /* of progress: two measurements, one after the other */
    const AppCalibrationOptions *options;
    uint64_t done, total;
} Steps;

static void tell(void *user, uint64_t done, uint64_t total)
{
    (void)total;
    const Steps *steps = user;
    if (steps->options->progress != NULL) steps->options->progress(steps->options->user, steps->done + done, steps->total);
}

/* The rotation to `rotation_file`, and with it the rows. */
static bool measure(const eng_model *model, const AppCalibrationOptions *options, const char *text, const char *rotation_file, GArray *rows, GError **error)
{
    eng_tokens tokens = {0}, other = {0};
    eng_error engine_error = {0};
    bool ok = get_tokens(model, text, options->n_tokens != 0 ? options->n_tokens : TOKENS, &tokens, &other, error);
    if (ok) {
        Steps steps = {options, 0, other.n + tokens.n * rows->len};
        eng_rotation_options rotation = {.ids = other.ids, .n_ids = other.n, .n_threads = options->n_threads, .cancel = options->cancel,
                                         .progress = tell, .user = &steps};
        ok = check_engine(eng_rotation_measure(model, &rotation, rotation_file, &engine_error), &engine_error, error);
        steps.done = other.n;
        eng_calibration_options calibration = {.ids = tokens.ids, .n_ids = tokens.n, .rotation_path = rotation_file, .n_threads = options->n_threads,
                                               .cancel = options->cancel, .progress = tell, .user = &steps};
        eng_calibration_row *measured = (eng_calibration_row *)(void *)rows->data;
        ok = ok && check_engine(eng_calibrate(model, &calibration, measured, rows->len, &engine_error), &engine_error, error);
    }
    eng_tokens_clear(&tokens);
    eng_tokens_clear(&other);
    return ok;
}

/* The table with its rotation in place, under a name of its own; an earlier choice and its rotation stay. */
static bool store(const char *data_folder, const char *path, const char *rotation_file, AppCalibration *calibration, GError **error)
{
    g_autofree char *file = file_of(data_folder, path), *name = name_of(path), *kept = rotation_file_of(data_folder, path, calibration->rotation);
    g_autoptr(AppCalibration) earlier = load_file(file, NULL);
    if (earlier != NULL) {
        calibration->chosen_k_key = earlier->chosen_k_key;
        calibration->chosen_k_query = earlier->chosen_k_query;
        calibration->chosen_independent = earlier->chosen_independent;
        g_free(calibration->chosen_rotation);
        calibration->chosen_rotation = g_strdup(earlier->chosen_rotation);
    }
    if (g_rename(rotation_file, kept) != 0) {
        g_set_error(error, APP_CALIBRATION_ERROR, APP_CALIBRATION_ERROR_FAILED, "%s: %s", kept, g_strerror(errno));
        return false;
    }
    if (!store_file(data_folder, file, calibration, error)) return false;
    delete_rotations(data_folder, name, calibration);
    return true;
}

AppCalibration *app_calibration_run(const char *data_folder, const char *model, const AppCalibrationOptions *options, GError **error)
{
    g_autofree char *path = app_models_find(data_folder, model, error), *text = options->file != NULL ? g_strdup(options->file) : sample_file();
    g_autofree char *folder = g_build_filename(data_folder, "models", NULL);
    eng_model *opened;
    if (path == NULL || !app_paths_make_private_folder(folder, error) || !open_model(data_folder, path, &(eng_model_options){0}, &opened, error)) return NULL;
    const eng_model_info *info = eng_model_get_info(opened);
    g_autoptr(GArray) rows = make_settings(info, options->against_dense);
    g_autofree char *name = name_of(path), *beside = g_strdup_printf(".%ld.%s" ROTATION, (long)getpid(), name), *rotation_file = g_build_filename(folder, beside, NULL);
    AppCalibration *calibration = NULL;
    eng_digest digest;
    char digits[65];
    eng_error engine_error = {0};
    bool ok = measure(opened, options, text, rotation_file, rows, error) &&
              check_engine(eng_sha256_file(rotation_file, NULL, &digest, &engine_error), &engine_error, error);
    if (ok) {
        eng_digest_text(&digest, digits);
        calibration = make_calibration(info, text, digits, rows);
        ok = store(data_folder, path, rotation_file, calibration, error);
    }
    eng_model_close(opened);
    g_unlink(rotation_file);
    if (ok) return calibration;
    app_calibration_free(calibration);
    return NULL;
}
