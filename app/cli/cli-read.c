/* cli-read.c: `lectern read`: files, folders and archives into the library, then read with a model.
 *
 * Owns: the command's options, progress and summaries. Does not own: taking files in meanwhile (cli-intake.c), the work (app-reader.h).
 */
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>

#include "app-format.h"
#include "app-reader.h"
#include "app-settings.h"
#include "cli-intake.h"
#include "cli-internal.h"

static const char *const help =
    N_("Usage: lectern read [OPTION…] FILE|FOLDER|ARCHIVE|-…\n"
       "Takes files into the library and reads them with a model: PDF, EPUB, HTML, DOCX, ODT, RTF, Markdown and text in\n"
       "any usual encoding; folders and archives (zip, tar, 7z, RAR) with everything in them; - is standard input.\n"
       "What was read before is not read again; after an interruption (Ctrl-C, power cut) the same command goes on\n"
       "where it stopped.\n\n"
       "  --title TITLE        the document's title (one file only; default: from its first lines)\n"
       "  --collection NAME    put the documents into this collection (made if missing)\n"
       "  --password-file FILE the password of encrypted files is FILE's first line (default: ask, on a terminal)\n"
       "  --ocr                read scanned pages with Tesseract, if it is installed: seconds a page\n"
       "  --ocr-language LANG  their languages, as Tesseract calls them: eng, deu+fra (default eng); implies --ocr\n"
       "  --dry-run            say what reading would cost in tokens, time and disk; read nothing\n"
       "  --no-model           take files in for searching only; read nothing\n"
       "  --watched            the folders of the setting library.watch\n");

typedef struct Read {
    CliContext *context;
    AppLibrary *library;
    AppEngine *engine; /* opened when first needed */
    AppAddOptions options;
    bool dry_run, no_model;
    unsigned n_failed, n_done;
} Read;

static const char *const added_texts[] = {"added", "already in the library", "found again after it moved", "changed: only what is new is read",
                                          "the same text as a document from another file"};
static const char *const added_names[] = {"new", "unchanged", "moved", "changed", "duplicate"};

static void on_tokens(void *user, const AppReadProgress *progress)
{
    cli_progress_update(user, progress->tokens_done, progress->tokens_total);
}

static bool open_engine(Read *read, GError **error)
{
    const CliContext *context = read->context;
    if (read->engine == NULL) read->engine = app_engine_open_on(read->library, context->model, context->n_threads, context->gpu, error);
    return read->engine != NULL;
}

static void show_plan(Read *read, const AppDocument *document, const AppReadPlan *plan, AppAdded added)
{
    if (read->context->json) {
        cli_print_json(json_pack("{s:o, s:s, s:b, s:{s:I, s:I, s:I, s:I, s:I, s:f}}", "document", cli_document_json(document), "added",
                                 added_names[added], "dry_run", 1, "plan", "sections", (json_int_t)plan->n_sections, "sections_cached",
                                 (json_int_t)plan->n_sections_cached, "tokens", (json_int_t)plan->n_tokens, "tokens_cached",
                                 (json_int_t)plan->n_tokens_cached, "disk_bytes", (json_int_t)plan->n_disk_bytes, "seconds", plan->seconds));
        return;
    }
    g_autofree char *title = cli_safe_text(document->title), *tokens = app_format_count(plan->n_tokens);
    g_autofree char *left = app_format_count(plan->n_tokens - plan->n_tokens_cached), *disk = app_format_bytes(plan->n_disk_bytes);
    g_autofree char *time = plan->seconds > 0 ? app_format_duration(plan->seconds) : g_strdup("a time not known yet");
    printf("%s: %s tokens in %u sections; to read: %s tokens, about %s, %s on disk\n", title, tokens, plan->n_sections, left, time, disk);
}

static void show_json_result(const AppDocument *document, const AppReadResult *result, AppAdded added)
{
    json_t *object = json_pack("{s:o, s:s}", "document", cli_document_json(document), "added", added_names[added]);
    if (result != NULL) {
        json_object_set_new(object, "read",
                            json_pack("{s:I, s:I, s:I, s:I, s:f}", "sections", (json_int_t)result->n_sections, "sections_computed",
                                      (json_int_t)result->n_sections_computed, "tokens", (json_int_t)result->n_tokens, "tokens_computed",
                                      (json_int_t)result->n_tokens_computed, "seconds", result->seconds));
    }
    cli_print_json(object);
}

static void show_result(Read *read, int64_t id, const AppReadResult *result, AppAdded added)
{
    g_autoptr(AppDocument) document = app_library_get_document(read->library, id, NULL);
    if (document == NULL) return;
    if (read->context->json) {
        show_json_result(document, result, added);
        return;
    }
    g_autofree char *why = app_format_note(document->note), *title = cli_safe_text(document->title), *note = cli_safe_text(why);
    if (result == NULL) {
        g_autofree char *bytes = app_format_bytes(document->n_bytes);
        printf("%" G_GINT64_FORMAT "  %s: %s, %s of text%s%s\n", id, title, added_texts[added], bytes, note[0] != '\0' ? "; " : "", note);
        return;
    }
    g_autofree char *tokens = app_format_count(result->n_tokens), *computed = app_format_count(result->n_tokens_computed);
    g_autofree char *time = app_format_duration(result->seconds);
    g_autofree char *rate = result->n_tokens_computed > 0 && result->seconds > 0
                                ? app_format_count((uint64_t)((double)result->n_tokens_computed / result->seconds))
                                : NULL;
    printf("%" G_GINT64_FORMAT "  %s: ready, %s tokens in %u sections", id, title, tokens, result->n_sections);
    if (rate != NULL) {
        printf("; read %s tokens in %s (%s a second)", computed, time, rate);
    } else {
        printf("; %s, nothing to read", added_texts[added]);
    }
    printf("%s%s\n", note[0] != '\0' ? "; " : "", note);
}

/* What to do about a document without text, behind what is the matter with it. */
static void set_no_text(Read *read, const AppDocument *document, GError **error)
{
    bool is_scan = strstr(document->metadata, "\"image_pages\"") != NULL && strstr(document->metadata, "\"ocr\"") == NULL;
    g_autofree char *reason = NULL;
    const char *advice = "";
    if (is_scan && !read->options.ocr) {
        advice = app_reader_can_ocr(NULL, &reason) ? _("\nAdd --ocr to read its pages with Tesseract.")
                                                   : _("\nInstall Tesseract (on Debian and its relatives: the package tesseract-ocr) and add --ocr.");
    }
    g_autofree char *note = app_format_note(document->note);
    g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, "“%s”: %s%s", document->title, note[0] != '\0' ? note : _("there is no text in it"),
                advice);
}

/* Plans or reads one document that is in the library. */
static bool process(Read *read, int64_t id, AppAdded added, GError **error)
{
    g_autoptr(AppDocument) document = app_library_get_document(read->library, id, error);
    if (document == NULL) return false;
    if (document->state == APP_DOCUMENT_NO_TEXT) {
        set_no_text(read, document, error);
        return false;
    }
    if (read->no_model) {
        show_result(read, id, NULL, added);
        return true;
    }
    if (!open_engine(read, error)) return false;
    if (read->dry_run) {
        AppReadPlan plan;
        if (!app_reader_plan(read->engine, id, 0, cli_cancel_flag(), &plan, error)) return false;
        show_plan(read, document, &plan, added);
        return true;
    }
    g_autofree char *label = g_strdup_printf(_("Reading %s"), document->title);
    CliProgress *progress = cli_progress_new(read->context, label, NC_("progress", "tokens"));
    AppReadResult result;
    bool ok = app_reader_read(read->engine, id, cli_cancel_flag(), on_tokens, progress, &result, error);
    cli_progress_finish(progress);
    if (ok) show_result(read, id, &result, added);
    fflush(stdout);
    return ok;
}

static void read_all(Read *read, char **paths)
{
    CliIntake *intake = cli_intake_new(read->context, read->library, &read->options, paths);
    CliTaken taken;
    while (!cli_interrupted() && cli_intake_next(intake, &taken)) {
        GError *error = g_steal_pointer(&taken.error);
        if (taken.document >= 0 && process(read, taken.document, taken.added, &error)) {
            read->n_done++;
        } else {
            read->n_failed++;
            if (g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_PASSWORD)) {
                cli_fail(_("%s\nGive it with --password-file FILE."), error->message);
            } else if (!cli_interrupted()) {
                cli_fail_error(g_steal_pointer(&error));
            }
            g_clear_error(&error);
        }
        cli_taken_clear(&taken);
    }
    uint32_t n_left_out = cli_intake_free(intake);
    if (n_left_out > 0 && !read->context->quiet && !read->context->json && !cli_interrupted()) {
        fprintf(stderr, _("lectern: %u other files were left out (hidden, links to folders, or of a kind that cannot be read)\n"), n_left_out);
    }
}

static bool check_paths(const Read *read, char **paths)
{
    if (paths[0] == NULL) {
        cli_usage("read", _("which file or folder?"));
    } else if (read->options.title != NULL && (paths[1] != NULL || g_file_test(paths[0], G_FILE_TEST_IS_DIR))) {
        cli_usage("read", _("--title is for one file"));
    } else {
        return true;
    }
    return false;
}

/* The paths of the command line and those of the setting. g_strfreev. */
static char **all_paths(int argc, char **argv, bool watched)
{
    g_autoptr(AppSettings) settings = watched ? app_settings_open(NULL, NULL) : NULL; /* why not, was said before */
    g_auto(GStrv) folders = settings != NULL ? app_settings_get_folders(settings, APP_SETTING_WATCH) : NULL;
    GPtrArray *paths = g_ptr_array_new();
    for (int i = 1; i < argc; i++) g_ptr_array_add(paths, g_strdup(argv[i]));
    for (size_t i = 0; folders != NULL && folders[i] != NULL; i++) g_ptr_array_add(paths, g_strdup(folders[i]));
    g_ptr_array_add(paths, NULL);
    return (char **)g_ptr_array_free(paths, FALSE);
}

static int run(Read *read, const char *collection, char **paths)
{
    GError *error = NULL;
    g_autofree char *reason = NULL;
    if (read->options.ocr && !app_reader_can_ocr(read->options.ocr_languages, &reason)) return cli_fail("--ocr: %s", reason);
    read->library = cli_open_library(read->context);
    if (read->library == NULL) return CLI_FAILED;
    if (collection != NULL) read->options.collection = app_library_add_collection(read->library, collection, &error);
    if (read->options.collection < 0) return cli_fail_error(error);
    read_all(read, paths);
    cli_tell_gpu(read->engine);
    if (cli_interrupted()) {
        fprintf(stderr, _("lectern: stopped; the same command goes on from here\n"));
        return CLI_INTERRUPTED;
    }
    return read->n_failed > 0 ? CLI_FAILED : CLI_OK;
}

int cli_read(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    g_autofree char *title = NULL, *collection = NULL, *password_file = NULL, *password = NULL, *languages = NULL;
    gboolean dry_run = FALSE, no_model = FALSE, ocr = FALSE, watched = FALSE;
    const GOptionEntry options[] = {
        {"title", 0, 0, G_OPTION_ARG_STRING, &title, NULL, NULL},
        {"collection", 0, 0, G_OPTION_ARG_STRING, &collection, NULL, NULL},
        {"password-file", 0, 0, G_OPTION_ARG_FILENAME, &password_file, NULL, NULL},
        {"ocr", 0, 0, G_OPTION_ARG_NONE, &ocr, NULL, NULL},
        {"ocr-language", 0, 0, G_OPTION_ARG_STRING, &languages, NULL, NULL},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run, NULL, NULL},
        {"no-model", 0, 0, G_OPTION_ARG_NONE, &no_model, NULL, NULL},
        {"watched", 0, 0, G_OPTION_ARG_NONE, &watched, NULL, NULL},
        {NULL},
    };
    if (!cli_parse_options("read", options, &argc, &argv)) return CLI_USAGE;
    if (password_file != NULL && !cli_read_password_file(password_file, &password)) return CLI_FAILED;
    g_auto(GStrv) paths = all_paths(argc, argv, watched);
    if (watched && g_strv_length(paths) == (guint)argc - 1)
        return cli_usage("read", _("no folder is watched; set some with `lectern settings library.watch FOLDER…`"));
    Read read = {.context = context, .dry_run = dry_run, .no_model = no_model};
    read.options = (AppAddOptions){.title = title, .password = password, .ocr = ocr || languages != NULL, .ocr_languages = languages,
                                   .cancel = cli_cancel_flag()};
    if (!check_paths(&read, paths)) return CLI_USAGE;
    int code = run(&read, collection, paths);
    app_engine_unref(read.engine);
    app_library_unref(read.library);
    return code;
}
