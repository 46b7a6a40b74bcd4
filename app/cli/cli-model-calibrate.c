/* cli-model-calibrate.c: `lectern model calibrate` and `lectern model sections`.
 *
 * Owns: its options, its table and its words. Does not own: measuring and choosing (app-calibration.h).
 */
#include <glib/gi18n.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app-calibration.h"
#include "cli-internal.h"

static const char *const usage =
    N_("Usage: lectern model calibrate [MODEL] [FILE] [options]\n"
       "\n"
       "Runs a text (FILE, or the sample book) densely and with fewer features kept of each key and query, as they are and rotated so that more\n"
       "of a key lies in few features (measured on another part of the text), and prints for each setting:\n"
       "perplexity, divergence from the reference (KL, nats), share of tokens with the same likeliest next token, bytes a token takes in the\n"
       "cache, and tokens a second while answering over 8,192 cached tokens. The table and the choice are stored with the model.\n"
       "\n"
       "  --choose SETTING   keep to this from now on: KEYS or KEYS:QUERIES (features kept), either with :rotated after it, dense, own (as the\n"
       "                     checkpoint says) or advised;\n"
       "                     without FILE and --tokens nothing is measured again unless there is no table yet and advised is wanted\n"
       "  --tokens N         so much of the text (default 4096)\n"
       "  --against-dense    compare with dense attention also where the checkpoint was trained sparse\n"
       "  --show             print the stored table\n");

typedef struct Wish {
    uint32_t k_key, k_query;
    bool is_advised, is_dense, is_rotated;
} Wish;

/* "32", "32:128", "32:128:rotated", "32:rotated", "dense", "own", "advised". */
static bool parse_wish(const char *text, Wish *ret_wish)
{
    Wish wish = {0};
    char *end;
    if (strcmp(text, "advised") == 0) {
        wish.is_advised = true;
    } else if (strcmp(text, "dense") == 0) {
        wish.is_dense = true;
    } else if (strcmp(text, "own") != 0) {
        wish.k_key = wish.k_query = (uint32_t)strtoul(text, &end, 10);
        if (*end == ':' && end[1] != 'r') wish.k_query = (uint32_t)strtoul(end + 1, &end, 10);
        wish.is_rotated = strcmp(end, ":rotated") == 0;
        if (wish.is_rotated) end += strlen(end);
        if (*end != '\0' || wish.k_key == 0 || wish.k_query == 0 || wish.k_key > 1024 || wish.k_query > 1024) return false;
    }
    *ret_wish = wish;
    return true;
}

static void print_row(const AppCalibration *c, size_t i)
{
    const AppCalibrationRow *row = &c->rows[i];
    char setting[64];
    if (row->k_key == c->head_dim && row->k_query == c->head_dim)
        snprintf(setting, sizeof setting, "dense");
    else
        snprintf(setting, sizeof setting, "%u of %u%s%s", row->k_key, c->head_dim, row->k_query == c->head_dim ? ", dense queries" : "",
                 row->rotated ? ", rotated" : "");
    bool is_chosen = app_calibration_is_chosen(c, i);
    printf("%-36s %10.3f %9.4f %8.1f%% %12.0f %10.1f  %s%s%s\n", setting, row->perplexity, row->divergence, 100 * row->agreement, row->bytes_per_token,
           row->decode_tokens_per_s, i == 0 ? "reference " : "", i == c->advised ? "advised " : "", is_chosen ? "in use" : "");
}

static void print_table(const AppCalibration *c)
{
    printf("%s on %" G_GUINT64_FORMAT " tokens of %s\n", c->model, c->n_tokens, c->text);
    printf("%-36s %10s %9s %9s %12s %10s\n", "features kept of a key", "perplexity", "KL", "same top", "bytes/token", "tokens/s");
    for (size_t i = 0; i < c->n_rows; i++) print_row(c, i);
    bool is_listed = false;
    for (size_t i = 0; i < c->n_rows; i++) is_listed = is_listed || app_calibration_is_chosen(c, i);
    if (!is_listed)
        printf("In use: %u features of a key, %u of a query%s\n", c->chosen_k_key, c->chosen_k_query,
               c->chosen_rotation[0] != '\0' ? ", rotated as measured earlier" : "");
    if (c->trained_sparse)
        printf("This checkpoint was trained to keep %u features; with more of them it runs as it was not trained to.\n", c->own_k_key);
}

static void show_progress(void *user, uint64_t done, uint64_t total) { cli_progress_update(user, done, total); }

static AppCalibration *measure(CliContext *context, const char *model, const char *file, uint32_t n_tokens, bool against_dense, GError **error)
{
    CliProgress *progress = cli_progress_new(context, _("Calibrating"), NC_("progress", "tokens"));
    AppCalibrationOptions options = {.file = file, .n_tokens = n_tokens, .against_dense = against_dense, .n_threads = context->n_threads,
                                     .cancel = cli_cancel_flag(), .progress = show_progress, .user = progress};
    AppCalibration *calibration = app_calibration_run(context->data_folder, model, &options, error);
    cli_progress_finish(progress);
    return calibration;
}

/* Stores the choice and says what it means for what is read already. */
static bool choose(CliContext *context, const char *model, Wish wish, AppCalibration *calibration, GError **error)
{
    if (wish.is_advised) {
        wish.k_key = calibration->rows[calibration->advised].k_key;
        wish.k_query = calibration->rows[calibration->advised].k_query;
        wish.is_rotated = calibration->rows[calibration->advised].rotated;
    }
    if (wish.is_dense) wish.k_key = wish.k_query = calibration->head_dim;
    if (wish.k_key == calibration->own_k_key && wish.k_query == calibration->own_k_query && !wish.is_rotated) wish.k_key = wish.k_query = 0;
    if (!app_calibration_choose(context->data_folder, model, wish.k_key, wish.k_query, wish.is_rotated, error)) return false;
    const char *rotation = wish.is_rotated ? calibration->rotation : "";
    bool changes = calibration->chosen_k_key != wish.k_key || calibration->chosen_k_query != wish.k_query || strcmp(calibration->chosen_rotation, rotation) != 0;
    g_free(calibration->chosen_rotation);
    calibration->chosen_rotation = g_strdup(rotation);
    calibration->chosen_k_key = wish.k_key;
    calibration->chosen_k_query = wish.k_query;
    if (changes && !context->quiet && !context->json) printf("Chosen. What was read with another setting has to be read again.\n");
    return true;
}

static const char *const sections_usage =
    N_("Usage: lectern model sections [MODEL] continuous|independent\n"
       "\n"
       "continuous: a section is read with all before it in its document, exactly as the model would read the whole, up to its context.\n"
       "independent: each section is read by itself: documents of any length, joined in any question. Exact for models trained for it (the\n"
       "starter), an approximation for others; answers then say so. What was read the other way has to be read again.\n");

int cli_model_sections(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, sections_usage)) return CLI_OK;
    const char *mode = argc > 1 ? argv[argc - 1] : "", *model = argc > 2 ? argv[1] : context->model;
    bool is_independent = strcmp(mode, "independent") == 0;
    if (argc > 3 || (!is_independent && strcmp(mode, "continuous") != 0)) return cli_usage("model", _("sections takes a model, and continuous or independent"));
    GError *error = NULL;
    if (!app_calibration_choose_sections(context->data_folder, model, is_independent, &error)) return cli_fail_error(error);
    if (!context->quiet && !context->json) printf("Chosen. What was read the other way has to be read again.\n");
    return CLI_OK;
}

int cli_model_calibrate(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, usage)) return CLI_OK;
    char *chosen = NULL;
    int n_tokens = 0;
    gboolean against_dense = FALSE, show = FALSE;
    const GOptionEntry entries[] = {{"choose", 0, 0, G_OPTION_ARG_STRING, &chosen, NULL, NULL},
                                    {"tokens", 0, 0, G_OPTION_ARG_INT, &n_tokens, NULL, NULL},
                                    {"against-dense", 0, 0, G_OPTION_ARG_NONE, &against_dense, NULL, NULL},
                                    {"show", 0, 0, G_OPTION_ARG_NONE, &show, NULL, NULL},
                                    {NULL}};
    if (!cli_parse_options("model calibrate", entries, &argc, &argv)) return CLI_USAGE;
    g_autofree char *wanted = chosen;
    Wish wish = {0};
    if (argc > 3 || n_tokens < 0) return cli_usage("model", _("calibrate takes a model and a file, and --tokens a number"));
    if (wanted != NULL && !parse_wish(wanted, &wish)) return cli_usage("model", _("--choose takes KEYS, KEYS:QUERIES, either with :rotated, dense, own or advised, not “%s”"), wanted);
    const char *model = argc > 1 ? argv[1] : context->model, *file = argc > 2 ? argv[2] : NULL;
    GError *error = NULL;
    g_autoptr(AppCalibration) calibration = NULL;
    bool may_reuse = show || (wanted != NULL && file == NULL && n_tokens == 0 && !against_dense);
    if (may_reuse) calibration = app_calibration_load(context->data_folder, model, &error);
    if (error != NULL) return cli_fail_error(error);
    if (show && (calibration == NULL || calibration->n_rows == 0)) return cli_fail(_("There is no table yet; measure one with `lectern model calibrate`"));
    if (calibration == NULL || calibration->n_rows == 0) {
        app_calibration_free(calibration);
        calibration = measure(context, model, file, (uint32_t)n_tokens, against_dense, &error);
    }
    if (calibration == NULL) return cli_fail_or_interrupted(error);
    if (wanted != NULL && !choose(context, model, wish, calibration, &error)) return cli_fail_error(error);
    if (context->json) {
        g_autofree char *json = app_calibration_to_json(calibration);
        printf("%s\n", json);
    } else if (!context->quiet) {
        print_table(calibration);
    }
    return CLI_OK;
}
