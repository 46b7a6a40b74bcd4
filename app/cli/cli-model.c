/* cli-model.c: `lectern model list|import|info|pack|remove`; cli-download.c has download, downloads and catalogue.
 *
 * Owns: the words and tables of these commands.
 * Does not own: where models are (app-models.c), what they are (engine/).
 */
#include "cli.h"

#include <glib/gi18n.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "app-calibration-internal.h"
#include "app-models.h"
#include "cli-internal.h"
#include "eng.h"

static const char *const usage =
    N_("Usage:\n"
       "  lectern model list\n"
       "  lectern model info [MODEL]\n"
       "  lectern model import FOLDER|FILE [--name NAME] [--bits 8|4|as-is] [--plan]\n"
       "  lectern model pack FOLDER FILE [--bits 8|4]\n"
       "  lectern model remove NAME\n"
       "  lectern model sections [MODEL] continuous|independent\n"
       "  lectern model calibrate [MODEL] [FILE] [--choose SETTING] [--tokens N]\n"
       "  lectern model catalogue [--edit]\n"
       "  lectern model download NAME|OWNER/REPOSITORY [--file FILE] [--revision REVISION] [--name NAME]\n"
       "  lectern model downloads [--discard NAME|OWNER/REPOSITORY]\n");

static int print_json(json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    json_decref(value);
    if (text == NULL) return cli_fail(_("out of memory"));
    printf("%s\n", text);
    free(text);
    return CLI_OK;
}

static int run_list(CliContext *context)
{
    g_autoptr(GPtrArray) models = app_models_list(context->data_folder);
    json_t *list = json_array();
    for (guint i = 0; i < models->len; i++) {
        const AppModel *model = g_ptr_array_index(models, i);
        g_autofree char *bytes = app_format_bytes(model->n_bytes);
        if (context->json)
            json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:I}", "name", model->name, "path", model->path, "shipped",
                                                  model->shipped, "bytes", (json_int_t)model->n_bytes));
        else
            printf("%-24s %10s  %s\n", model->name, bytes, model->shipped ? "comes with Lectern" : model->path);
    }
    if (context->json) return print_json(list);
    json_decref(list);
    if (models->len == 0 && !context->quiet) printf("No models. Import one with `lectern model import FOLDER`.\n");
    return CLI_OK;
}

static const char *value_text(kern_value_type type)
{
    switch (type) {
    case KERN_VALUE_Q4:
        return "4-bit";
    case KERN_VALUE_Q8:
        return "8-bit";
    case KERN_VALUE_F16:
        return "16-bit";
    case KERN_VALUE_F32:
        break;
    }
    return "32-bit";
}

static void print_info(const eng_model_info *info)
{
    char weights[65], tokenizer[65];
    eng_digest_text(&info->weights_sha256, weights);
    eng_digest_text(&info->tokenizer_sha256, tokenizer);
    g_autofree char *parameters = app_format_count(info->n_parameters), *bytes = app_format_bytes(info->file_bytes);
    const kern_kv_format *f = &info->kv_format;
    printf("Name        %s\nPath        %s\nWeights     %s parameters, %s, %s\n", info->name, info->path, parameters, info->weight_types,
           bytes);
    printf("Shape       %u layers, hidden %u, %u heads, %u key/value heads of %u, feed-forward %u, vocabulary %u\n", info->n_layers,
           info->n_hidden, info->n_heads, info->n_kv_heads, info->head_dim, info->n_ffn, info->n_vocabulary);
    if (f->k_key < f->d)
        printf("Attention   sparse: %u of %u features of a key, %u of a query%s; %s values\n", f->k_key, f->d, f->k_query,
               info->rotated ? ", rotated" : "", value_text(f->value_type));
    else
        printf("Attention   dense%s; %s values\n", info->rotated ? ", rotated" : "", value_text(f->value_type));
    if (info->section_mode == ENG_SECTIONS_INDEPENDENT)
        printf("Sections    read independently, at most %u tokens each%s\n", info->section_tokens_max,
               info->sections_approximate ? ": an approximation for this model" : "");
    else
        printf("Sections    read in order, up to %u tokens in all\n", info->n_context);
    static const char *const thinking[] = {[ENG_THINKING_NONE] = "no", [ENG_THINKING_OPTIONAL] = "when asked to (--think)", [ENG_THINKING_ALWAYS] = "always"};
    if (info->reply_form == ENG_REPLY_FREE) printf("Thinking    %s\n", thinking[info->thinking]);
    printf("SHA-256     %s (weights)\n            %s (tokenizer)\n", weights, tokenizer);
}

static json_t *info_json(const eng_model_info *info)
{
    char weights[65], tokenizer[65];
    eng_digest_text(&info->weights_sha256, weights);
    eng_digest_text(&info->tokenizer_sha256, tokenizer);
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:i, s:i, s:i, s:i, s:b, s:i, s:i, s:b, s:i, s:s, s:s}", "name", info->name, "path", info->path,
                     "parameters", (json_int_t)info->n_parameters, "weight_types", info->weight_types, "bytes",
                     (json_int_t)info->file_bytes, "layers", (int)info->n_layers, "head_dim", (int)info->head_dim, "k_key",
                     (int)info->kv_format.k_key, "k_query", (int)info->kv_format.k_query, "rotated", info->rotated, "vocabulary", (int)info->n_vocabulary, "context",
                     (int)info->n_context, "independent_sections", info->section_mode == ENG_SECTIONS_INDEPENDENT, "section_tokens",
                     (int)info->section_tokens_max, "weights_sha256", weights, "tokenizer_sha256", tokenizer);
}

static int run_info(CliContext *context, const char *name)
{
    GError *error = NULL;
    g_autofree char *path = app_models_find(context->data_folder, name != NULL ? name : context->model, &error);
    if (path == NULL) return cli_fail_error(error);
    g_autofree char *memo = g_build_filename(context->data_folder, "model-digests", NULL);
    eng_model_options options = {.digest_memo_path = memo};
    g_autofree char *rotation = app_calibration_get_choice(context->data_folder, path, &options);
    eng_error engine_error = {0};
    eng_model *model = NULL;
    if (eng_model_open(path, &options, &model, &engine_error) != ENG_OK) return cli_fail_engine(&engine_error);
    int result = CLI_OK;
    if (context->json)
        result = print_json(info_json(eng_model_get_info(model)));
    else
        print_info(eng_model_get_info(model));
    eng_model_close(model);
    return result;
}

static void show_progress(void *user, uint64_t done, uint64_t total)
{
    cli_progress_update(user, done, total);
}

bool cli_parse_weights(const char *bits, AppModelWeights *ret_weights)
{
    *ret_weights = APP_MODEL_WEIGHTS_8_BITS;
    if (bits == NULL || strcmp(bits, "8") == 0) return true;
    if (strcmp(bits, "4") == 0)
        *ret_weights = APP_MODEL_WEIGHTS_4_BITS;
    else if (strcmp(bits, "as-is") == 0)
        *ret_weights = APP_MODEL_WEIGHTS_AS_THEY_ARE;
    else
        return false;
    return true;
}

/* What it will need, before hours of it: on standard error, or as the only result. */
static int say_plan(CliContext *context, const char *source, AppModelWeights weights, bool is_all)
{
    GError *error = NULL;
    AppModelPlan plan;
    if (!app_models_plan(context->data_folder, source, weights, context->n_threads, &plan, &error)) return cli_fail_error(error);
    g_autofree char *words = app_models_describe_plan(&plan);
    if (is_all && context->json)
        print_json(json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "parameters", (json_int_t)plan.n_parameters, "disk_bytes",
                             (json_int_t)plan.disk_bytes, "disk_free_bytes", (json_int_t)MIN(plan.disk_free_bytes, INT64_MAX), "memory_bytes",
                             (json_int_t)plan.memory_bytes, "memory_total_bytes", (json_int_t)plan.memory_total_bytes, "answer_tokens_per_s",
                             plan.answer_tokens_per_s, "read_tokens_per_s", plan.read_tokens_per_s, "cache_bytes_a_token",
                             (json_int_t)plan.cache_bytes_a_token));
    else if (is_all)
        printf("%s\n", words);
    else if (!context->quiet && !context->json)
        fprintf(stderr, "lectern: %s\n", words);
    return app_models_check_plan(&plan, &error) ? CLI_OK : cli_fail_error(error);
}

static int run_import(CliContext *context, const char *source, const char *name, AppModelWeights weights, bool plan_only)
{
    GError *error = NULL;
    int planned = say_plan(context, source, weights, plan_only);
    if (planned != CLI_OK || plan_only) return planned;
    CliProgress *progress = cli_progress_new(context, _("Importing"), "bytes");
    g_autofree char *chosen =
        app_models_import(context->data_folder, source, name, weights, cli_cancel_flag(), show_progress, progress, &error);
    cli_progress_finish(progress);
    if (chosen == NULL) {
        int result = g_error_matches(error, APP_MODELS_ERROR, APP_MODELS_ERROR_CANCELLED) ? CLI_INTERRUPTED : CLI_FAILED;
        cli_fail_error(error);
        return result;
    }
    if (context->json) return print_json(json_pack("{s:s}", "name", chosen));
    if (!context->quiet) printf("Imported “%s”. Use it with --model %s\n", chosen, chosen);
    return CLI_OK;
}

static int run_pack(CliContext *context, const char *folder, const char *file, const char *bits)
{
    if (bits != NULL && strcmp(bits, "8") != 0 && strcmp(bits, "4") != 0) return cli_usage("model", _("--bits is 8 or 4, not “%s”"), bits);
    kern_weight_type type = bits != NULL && bits[0] == '4' ? KERN_W_Q4 : KERN_W_Q8;
    if (g_file_test(file, G_FILE_TEST_EXISTS)) return cli_fail(_("%s is there already"), file);
    eng_error engine_error = {0};
    CliProgress *progress = cli_progress_new(context, _("Packing"), "bytes");
    eng_status status = eng_model_pack(folder, file, type, cli_cancel_flag(), show_progress, progress, &engine_error);
    cli_progress_finish(progress);
    if (status != ENG_OK) {
        cli_fail_engine(&engine_error);
        return status == ENG_CANCELLED ? CLI_INTERRUPTED : CLI_FAILED;
    }
    return CLI_OK;
}

static int run_remove(CliContext *context, const char *name)
{
    GError *error = NULL;
    if (!app_models_remove(context->data_folder, name, &error)) return cli_fail_error(error);
    if (!context->quiet && !context->json) printf("Removed “%s”. What it had read stays in the cache until you remove it there.\n", name);
    return CLI_OK;
}

/* Takes an option and its value out of argv; NULL: not given. */
static char *take_option(int *argc, char **argv, const char *option, bool has_value, bool *ret_bad)
{
    char *found = NULL;
    int n = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], option) != 0) {
            argv[n++] = argv[i];
        } else if (!has_value) {
            found = argv[i];
        } else if (i + 1 < *argc) {
            found = argv[++i];
        } else {
            *ret_bad = true;
        }
    }
    *argc = n;
    return found;
}

int cli_model(CliContext *context, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(CliContext *context, int argc, char **argv);
    } others[] = {{"download", cli_model_download}, {"downloads", cli_model_downloads}, {"catalogue", cli_model_catalogue}, {"calibrate", cli_model_calibrate},
                {"sections", cli_model_sections}};
    for (size_t i = 0; argc > 1 && i < G_N_ELEMENTS(others); i++)
        if (strcmp(argv[1], others[i].name) == 0) return others[i].run(context, argc - 1, argv + 1);
    bool bad = false;
    const char *name = take_option(&argc, argv, "--name", true, &bad), *bits = take_option(&argc, argv, "--bits", true, &bad);
    bool pack = take_option(&argc, argv, "--pack", false, &bad) != NULL, plan = take_option(&argc, argv, "--plan", false, &bad) != NULL;
    if (bad) return cli_usage("model", _("an option lacks its value"));
    if (take_option(&argc, argv, "--help", false, &bad) != NULL) {
        fputs(gettext(usage), stdout);
        return CLI_OK;
    }
    const char *action = argc > 1 ? argv[1] : "list";
    if (strcmp(action, "list") == 0 && argc <= 2) return run_list(context);
    if (strcmp(action, "info") == 0 && argc <= 3) return run_info(context, argc == 3 ? argv[2] : NULL);
    if (strcmp(action, "import") == 0 && argc == 3) {
        AppModelWeights weights;
        if (!cli_parse_weights(bits, &weights) || (pack && weights != APP_MODEL_WEIGHTS_8_BITS)) return cli_usage("model", _("--bits is 8, 4 or as-is, not “%s”"), bits);
        return run_import(context, argv[2], name, weights, plan);
    }
    if (strcmp(action, "pack") == 0 && argc == 4) return run_pack(context, argv[2], argv[3], bits);
    if (strcmp(action, "remove") == 0 && argc == 3) return run_remove(context, argv[2]);
    return cli_usage("model", _("expected list, info [MODEL], import FOLDER|FILE, pack FOLDER FILE, remove NAME, download, downloads or catalogue"));
}
