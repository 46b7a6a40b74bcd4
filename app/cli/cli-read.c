/* cli-read.c: `lectern read`: files and folders into the library, then read with a model.
 *
 * Owns: the command's options, progress and summaries. Does not own: the work (app-reader.h).
 */
#include <stdio.h>
#include <string.h>

#include "app-reader.h"
#include "app-settings.h"
#include "cli-internal.h"
#include "cli.h"

static const char help[] =
    "Usage: lectern read [OPTION…] FILE|FOLDER|-…\n"
    "Takes files into the library and reads them with a model: text and Markdown in any usual encoding; folders\n"
    "with everything below them; - is standard input. What was read before is not read again; after an\n"
    "interruption (Ctrl-C, power cut) the same command goes on where it stopped.\n\n"
    "  --title TITLE        the document's title (one file only; default: from its first lines)\n"
    "  --collection NAME    put the documents into this collection (made if missing)\n"
    "  --dry-run            say what reading would cost in tokens, time and disk; read nothing\n"
    "  --no-model           take files in for searching only; read nothing\n"
    "  --watched            the folders of the setting library.watch\n";

typedef struct Read {
    CliContext *context;
    AppLibrary *library;
    AppEngine *engine; /* opened when first needed */
    const char *title;
    int64_t collection;
    bool dry_run, no_model;
    unsigned n_failed, n_done;
} Read;

static const char *const added_texts[] = {"added", "already in the library", "found again after it moved", "changed: only what is new is read",
                                          "the same text as a document from another file"};
static const char *const added_names[] = {"new", "unchanged", "moved", "changed", "duplicate"};

typedef struct Shown {
    CliProgress *progress;
} Shown;

static void on_bytes(void *user, uint64_t done, uint64_t total)
{
    cli_progress_update(((Shown *)user)->progress, done, total);
}

static void on_tokens(void *user, const AppReadProgress *progress)
{
    cli_progress_update(((Shown *)user)->progress, progress->tokens_done, progress->tokens_total);
}

static int64_t add_file(Read *read, const char *path, AppAdded *ret_added, GError **error)
{
    g_autofree char *name = strcmp(path, "-") == 0 ? g_strdup("standard input") : g_filename_display_basename(path);
    g_autofree char *label = g_strdup_printf("Taking in %s", name);
    Shown shown = {cli_progress_new(read->context, label, "bytes")};
    AppAddOptions options = {
        .title = read->title, .collection = read->collection, .cancel = cli_cancel_flag(), .progress = on_bytes, .user = &shown};
    int64_t id = app_reader_add_file(read->library, path, &options, ret_added, error);
    cli_progress_finish(shown.progress);
    return id;
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

static void show_result(Read *read, int64_t id, const AppReadResult *result, AppAdded added)
{
    g_autoptr(AppDocument) document = app_library_get_document(read->library, id, NULL);
    if (document == NULL) return;
    if (read->context->json) {
        json_t *object = json_pack("{s:o, s:s}", "document", cli_document_json(document), "added", added_names[added]);
        if (result != NULL) {
            json_object_set_new(object, "read",
                                json_pack("{s:I, s:I, s:I, s:I, s:f}", "sections", (json_int_t)result->n_sections, "sections_computed",
                                          (json_int_t)result->n_sections_computed, "tokens", (json_int_t)result->n_tokens, "tokens_computed",
                                          (json_int_t)result->n_tokens_computed, "seconds", result->seconds));
        }
        cli_print_json(object);
        return;
    }
    g_autofree char *title = cli_safe_text(document->title);
    if (result == NULL) {
        g_autofree char *bytes = app_format_bytes(document->n_bytes);
        printf("%" G_GINT64_FORMAT "  %s: %s, %s of text%s%s\n", id, title, added_texts[added], bytes, document->note[0] != '\0' ? "; " : "",
               document->note);
        return;
    }
    g_autofree char *tokens = app_format_count(result->n_tokens), *computed = app_format_count(result->n_tokens_computed);
    g_autofree char *time = app_format_duration(result->seconds);
    g_autofree char *rate = result->n_tokens_computed > 0 && result->seconds > 0
                                ? app_format_count((uint64_t)((double)result->n_tokens_computed / result->seconds))
                                : NULL;
    printf("%" G_GINT64_FORMAT "  %s: ready, %s tokens in %u sections", id, title, tokens, result->n_sections);
    if (rate != NULL) {
        printf("; read %s tokens in %s (%s a second)\n", computed, time, rate);
    } else {
        printf("; %s, nothing to read\n", added_texts[added]);
    }
}

/* Plans or reads one document that is in the library. */
static bool process(Read *read, int64_t id, AppAdded added, GError **error)
{
    g_autoptr(AppDocument) document = app_library_get_document(read->library, id, error);
    if (document == NULL) return false;
    if (document->state == APP_DOCUMENT_NO_TEXT) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, "“%s”: there is no text in it", document->title);
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
    g_autofree char *label = g_strdup_printf("Reading %s", document->title);
    Shown shown = {cli_progress_new(read->context, label, "tokens")};
    AppReadResult result;
    bool ok = app_reader_read(read->engine, id, cli_cancel_flag(), on_tokens, &shown, &result, error);
    cli_progress_finish(shown.progress);
    if (ok) show_result(read, id, &result, added);
    fflush(stdout);
    return ok;
}

static void read_path(Read *read, const char *path)
{
    GError *error = NULL;
    uint32_t n_skipped = 0;
    g_autoptr(GPtrArray) files = app_reader_find_files(path, cli_cancel_flag(), &n_skipped, &error);
    if (files == NULL) {
        cli_fail_error(error);
        read->n_failed++;
        return;
    }
    if (read->title != NULL && files->len != 1) {
        cli_usage("read", "--title is for one file");
        read->n_failed++;
        return;
    }
    if (files->len == 0) {
        cli_fail("“%s” holds no file that can be read", path);
        read->n_failed++;
    }
    for (guint i = 0; i < files->len && !cli_interrupted(); i++) {
        AppAdded added = APP_ADDED_NEW;
        int64_t id = add_file(read, g_ptr_array_index(files, i), &added, &error);
        if (id >= 0 && process(read, id, added, &error)) {
            read->n_done++;
        } else {
            read->n_failed++;
            if (!cli_interrupted()) cli_fail_error(g_steal_pointer(&error));
            g_clear_error(&error);
        }
    }
    if (n_skipped > 0 && !read->context->quiet && !read->context->json && !cli_interrupted()) {
        fprintf(stderr, "lectern: %u other entries in “%s” were left out (hidden, links to folders, or of a kind that cannot be read)\n",
                n_skipped, path);
    }
}

static char **watched_folders(void)
{
    g_autoptr(AppSettings) settings = app_settings_open(NULL, NULL); /* why not, was said before */
    return settings != NULL ? app_settings_get_folders(settings, APP_SETTING_WATCH) : NULL;
}

int cli_read(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    g_autofree char *title = NULL, *collection = NULL;
    gboolean dry_run = FALSE, no_model = FALSE, watched = FALSE;
    const GOptionEntry options[] = {
        {"title", 0, 0, G_OPTION_ARG_STRING, &title, NULL, NULL},
        {"collection", 0, 0, G_OPTION_ARG_STRING, &collection, NULL, NULL},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run, NULL, NULL},
        {"no-model", 0, 0, G_OPTION_ARG_NONE, &no_model, NULL, NULL},
        {"watched", 0, 0, G_OPTION_ARG_NONE, &watched, NULL, NULL},
        {NULL},
    };
    if (!cli_parse_options("read", options, &argc, &argv)) return CLI_USAGE;
    g_auto(GStrv) folders = watched ? watched_folders() : NULL;
    if (watched && (folders == NULL || folders[0] == NULL))
        return cli_usage("read", "no folder is watched; set some with `lectern settings library.watch FOLDER…`");
    if (argc < 2 && !watched) return cli_usage("read", "which file or folder?");
    if (title != NULL && (argc != 2 || watched)) return cli_usage("read", "--title is for one file");
    Read read = {.context = context, .title = title, .dry_run = dry_run, .no_model = no_model};
    read.library = cli_open_library(context);
    if (read.library == NULL) return CLI_FAILED;
    GError *error = NULL;
    if (collection != NULL) read.collection = app_library_add_collection(read.library, collection, &error);
    if (read.collection < 0) {
        cli_fail_error(error);
        read.n_failed++;
    }
    for (int i = 1; i < argc && !cli_interrupted() && read.collection >= 0; i++) read_path(&read, argv[i]);
    for (size_t i = 0; watched && folders[i] != NULL && !cli_interrupted() && read.collection >= 0; i++) read_path(&read, folders[i]);
    cli_tell_gpu(read.engine);
    app_engine_unref(read.engine);
    app_library_unref(read.library);
    if (cli_interrupted()) {
        fprintf(stderr, "lectern: stopped; the same command goes on from here\n");
        return CLI_INTERRUPTED;
    }
    return read.n_failed > 0 ? CLI_FAILED : CLI_OK;
}
