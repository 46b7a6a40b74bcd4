/* cli-download.c: `lectern model download`, `downloads` and `catalogue`.
 *
 * Owns: the words and tables of these commands. Does not own: downloading (app-download.h).
 */
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>

#include "app-download.h"
#include "app-format.h"
#include "cli-internal.h"
#include "cli.h"

static const char *const download_help =
    N_("Usage: lectern model download [OPTION…] NAME|OWNER/REPOSITORY\n"
       "Downloads a model and installs it: a name of `lectern model catalogue`, or any repository with a dense Qwen3\n"
       "model as safetensors or GGUF. Ctrl-C pauses; the same command goes on where it stopped. Every file is checked\n"
       "against the hash in the repository's list before it is used, and the model is opened before it is installed.\n"
       "Connects to the setting download.endpoint and where that leads; nothing about you or your documents is sent.\n\n"
       "  --file FILE          which GGUF file of the repository\n"
       "  --revision REVISION  a branch, tag or commit (default: main)\n"
       "  --name NAME          what to call the model here\n"
       "  --bits 8|4|as-is     how its weights are stored: 8 bits unless told otherwise, made once when all is fetched, then\n"
       "                       mapped: half the memory of 16 bits, and faster; 4: half of that, less exact; as-is: the files\n"
       "                       as they came\n");

static const char *const downloads_help =
    N_("Usage: lectern model downloads [--discard NAME|OWNER/REPOSITORY]\n"
       "Lists downloads that were begun and are not complete; --discard deletes what was fetched of one.\n");

static const char *const catalogue_help =
    N_("Usage: lectern model catalogue [--edit]\n"
       "Lists models that are known to run, with size and licence. Connects to nowhere. --edit makes a copy that\n"
       "you can change and add to, and says where it is.\n");

typedef struct Shown {
    const CliContext *context;
    CliProgress *progress;
    AppDownloadStage stage;
    bool licence_said;
} Shown;

static const char *const stage_labels[] = {N_("Asking"), N_("Downloading"), N_("Waiting"), N_("Checking"), N_("Converting"), N_("Opening")};

/* Another line for another stage. */
static void begin_stage(Shown *shown, AppDownloadStage stage)
{
    if (shown->progress != NULL && shown->stage == stage) return;
    if (shown->progress != NULL) cli_progress_finish(shown->progress);
    shown->progress = cli_progress_new(shown->context, gettext(stage_labels[stage]), "bytes");
    shown->stage = stage;
}

static void say(Shown *shown, const char *before, const char *text)
{
    if (shown->progress != NULL) cli_progress_finish(shown->progress);
    shown->progress = NULL;
    g_autofree char *safe = cli_safe_text(text);
    if (!shown->context->quiet) fprintf(stderr, "%s%s\n", before, safe);
}

static void show_progress(void *user, const AppDownloadProgress *progress)
{
    Shown *shown = user;
    if (progress->stage == APP_DOWNLOAD_FETCHING && !shown->licence_said && progress->n_files > 0) {
        g_autofree char *bytes = app_format_bytes(progress->total_bytes);
        g_autofree char *what = g_strdup_printf(ngettext("%s: %u file, %s, licence %s", "%s: %u files, %s, licence %s", progress->n_files),
                                                progress->repository, progress->n_files, bytes,
                                                progress->licence[0] != '\0' ? progress->licence : _("not stated"));
        say(shown, "", what);
        shown->licence_said = true;
    }
    if (progress->message != NULL) say(shown, "lectern: ", progress->message);
    if (progress->stage == APP_DOWNLOAD_LISTING || progress->stage == APP_DOWNLOAD_WAITING) return;
    begin_stage(shown, progress->stage);
    cli_progress_update(shown->progress, progress->done_bytes, progress->total_bytes);
}

static int download(const CliContext *context, AppSettings *settings, const AppDownloadWish *wish)
{
    GError *error = NULL;
    Shown shown = {.context = context};
    g_autofree char *name = app_download_run(context->data_folder, settings, wish, show_progress, &shown, cli_cancel_flag(), &error);
    if (shown.progress != NULL) cli_progress_finish(shown.progress);
    if (name == NULL && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        g_clear_error(&error);
        fprintf(stderr, _("lectern: paused; the same command goes on from here, `lectern model downloads --discard %s` deletes what was fetched\n"),
                wish->what);
        return CLI_INTERRUPTED;
    }
    if (name == NULL) return cli_fail_error(error);
    if (context->json)
        cli_print_json(json_pack("{s:s}", "name", name));
    else if (!context->quiet)
        printf("Installed “%s”. Use it with --model %s, or for everything: lectern settings model.default %s\n", name, name, name);
    return CLI_OK;
}

int cli_model_download(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, download_help)) return CLI_OK;
    g_autofree char *file = NULL, *revision = NULL, *name = NULL, *bits = NULL;
    const GOptionEntry options[] = {{"file", 0, 0, G_OPTION_ARG_STRING, &file, NULL, NULL},
                                    {"revision", 0, 0, G_OPTION_ARG_STRING, &revision, NULL, NULL},
                                    {"name", 0, 0, G_OPTION_ARG_STRING, &name, NULL, NULL},
                                    {"bits", 0, 0, G_OPTION_ARG_STRING, &bits, NULL, NULL},
                                    {NULL}};
    AppModelWeights weights;
    if (!cli_parse_options("model", options, &argc, &argv)) return CLI_USAGE;
    if (!cli_parse_weights(bits, &weights)) return cli_usage("model", _("--bits is 8, 4 or as-is, not “%s”"), bits);
    if (argc != 2) return cli_usage("model", _("download needs one name of `lectern model catalogue`, or OWNER/REPOSITORY"));
    GError *error = NULL;
    g_autoptr(AppSettings) settings = app_settings_open(NULL, &error);
    if (settings == NULL) return cli_fail_error(error);
    AppDownloadWish wish = {.what = argv[1], .revision = revision, .file = file, .name = name, .weights = weights};
    return download(context, settings, &wish);
}

/* -------------------------------------------------------------------------------------------------------------- unfinished */

static void print_state(const CliContext *context, const AppDownloadState *state)
{
    if (context->json) {
        cli_print_json(json_pack("{s:s, s:s?, s:s?, s:s?, s:I, s:I, s:b}", "repository", state->repository, "revision", state->revision, "file",
                                 state->file, "name", state->name, "done", (json_int_t)state->done_bytes, "total",
                                 (json_int_t)state->total_bytes, "running", (int)state->is_running));
        return;
    }
    g_autofree char *done = app_format_bytes(state->done_bytes), *total = app_format_bytes(state->total_bytes);
    g_autofree char *safe = cli_safe_text(state->repository);
    printf("%-40s %s of %s%s\n", safe, done, total, state->is_running ? ", running" : "");
}

int cli_model_downloads(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, downloads_help)) return CLI_OK;
    g_autofree char *discard = NULL;
    const GOptionEntry options[] = {{"discard", 0, 0, G_OPTION_ARG_STRING, &discard, NULL, NULL}, {NULL}};
    if (!cli_parse_options("model", options, &argc, &argv)) return CLI_USAGE;
    if (argc > 1) return cli_usage("model", _("“%s” is too much here"), argv[1]);
    GError *error = NULL;
    if (discard != NULL) return app_download_discard(context->data_folder, discard, &error) ? CLI_OK : cli_fail_error(error);
    g_autoptr(GPtrArray) states = app_download_list(context->data_folder);
    for (guint i = 0; i < states->len; i++) print_state(context, g_ptr_array_index(states, i));
    if (states->len == 0 && !context->json && !context->quiet) printf("No download is unfinished.\n");
    return CLI_OK;
}

/* --------------------------------------------------------------------------------------------------------------- catalogue */

static void print_entry(const CliContext *context, const AppCatalogueEntry *entry)
{
    if (context->json) {
        cli_print_json(json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s, s:I, s:f, s:s, s:b}", "name", entry->name, "title", entry->title, "repository",
                                 entry->repository, "revision", entry->revision, "file", entry->file, "licence", entry->licence, "bytes",
                                 (json_int_t)entry->n_bytes, "parameters", entry->n_parameters, "note", entry->note, "own", (int)entry->is_own));
        return;
    }
    g_autofree char *bytes = entry->n_bytes > 0 ? app_format_bytes(entry->n_bytes) : g_strdup("?");
    g_autofree char *title = cli_safe_text(entry->title), *repository = cli_safe_text(entry->repository), *note = cli_safe_text(entry->note);
    g_autofree char *fitted = cli_fit(title, 26);
    printf("%-16s %s %8s  %-10s  %s%s%s%s\n", entry->name, fitted, bytes, entry->licence[0] != '\0' ? entry->licence : "?", repository,
           note[0] != '\0' ? " (" : "", note, note[0] != '\0' ? ")" : "");
}

int cli_model_catalogue(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, catalogue_help)) return CLI_OK;
    gboolean edit = FALSE;
    const GOptionEntry options[] = {{"edit", 0, 0, G_OPTION_ARG_NONE, &edit, NULL, NULL}, {NULL}};
    if (!cli_parse_options("model", options, &argc, &argv)) return CLI_USAGE;
    if (argc > 1) return cli_usage("model", _("“%s” is too much here"), argv[1]);
    GError *error = NULL;
    if (edit) {
        g_autofree char *path = app_catalogue_copy(&error);
        if (path == NULL) return cli_fail_error(error);
        printf("%s\n", path);
        return CLI_OK;
    }
    g_autoptr(GPtrArray) entries = app_catalogue_load(&error);
    if (entries == NULL) return cli_fail_error(error);
    for (guint i = 0; i < entries->len; i++) print_entry(context, g_ptr_array_index(entries, i));
    if (!context->json && !context->quiet) printf("\n`lectern model download NAME` downloads one; any other repository by OWNER/NAME.\n");
    return CLI_OK;
}
