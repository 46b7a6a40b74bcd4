/* cli-watch.c: `lectern watch`: folders whose new and changed files are taken in and read by themselves.
 *
 * Owns: the command's options, a line for each file. Does not own: noticing (app-watch.h), the work (app-reader.h).
 */
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>

#include "app-settings.h"
#include "app-watch.h"
#include "cli-internal.h"

static const char *const help =
    N_("Usage: lectern watch [OPTION…] [FOLDER…]\n"
       "Takes in and reads what comes into the folders or changes there, until Ctrl-C. Without FOLDER: those of the\n"
       "setting library.watch (`lectern settings library.watch FOLDER…`). Documents stay when their files go.\n\n"
       "  --collection NAME    put the documents into this collection (made if missing)\n"
       "  --no-model           take files in for searching only; read nothing\n");

enum { LOOK_US = 100000 };

typedef struct Watch {
    CliContext *context;
    AppLibrary *library;
    int64_t collection;
    gboolean no_model;
} Watch;

static void say(const Watch *watch, const char *what, const AppReadEvent *event)
{
    g_autoptr(AppDocument) document = event->document != 0 ? app_library_get_document(watch->library, event->document, NULL) : NULL;
    if (watch->context->json) {
        json_t *object = json_pack("{s:s, s:o}", "event", what, "document", document != NULL ? cli_document_json(document) : json_null());
        if (event->path != NULL) json_object_set_new(object, "path", json_string(event->path));
        if (event->message != NULL) json_object_set_new(object, "message", json_string(event->message));
        cli_print_json(object);
    } else {
        g_autofree char *title = cli_safe_text(document != NULL ? document->title : event->path);
        g_autofree char *tokens = document != NULL ? app_format_count(document->n_tokens) : NULL;
        g_autofree char *message = cli_safe_text(event->message);
        printf("%-6s  %s", what, title);
        if (event->kind == APP_READ_DONE) printf(", %s tokens in %u sections", tokens, document->n_sections);
        printf("%s%s\n", event->message != NULL ? ": " : "", message);
    }
    fflush(stdout);
}

/* On the queue's threads, one at a time. */
static void on_event(void *user, const AppReadEvent *event)
{
    const Watch *watch = user;
    if (event->kind == APP_READ_ADDED) say(watch, "in", event);
    if (event->kind == APP_READ_DONE) say(watch, "ready", event);
    if (event->kind == APP_READ_FAILED) say(watch, "failed", event);
}

static int run(Watch *watch, char **folders)
{
    if (folders == NULL || folders[0] == NULL) return cli_usage("watch", _("which folder? The setting library.watch names none"));
    for (char **folder = folders; *folder != NULL; folder++) {
        if (!g_file_test(*folder, G_FILE_TEST_IS_DIR)) return cli_fail(_("“%s” is not a folder"), *folder);
    }
    GError *error = NULL;
    AppEngine *engine = watch->no_model ? NULL : app_engine_open(watch->library, watch->context->model, watch->context->n_threads, &error);
    if (engine == NULL && !watch->no_model) return cli_fail_error(error);
    AppReadQueue *queue = app_read_queue_new(watch->library, on_event, watch);
    app_read_queue_set_engine(queue, engine);
    AppWatcher *watcher = app_watcher_new(watch->library, queue);
    app_watcher_set_folders(watcher, (const char *const *)folders, watch->collection);
    if (!watch->context->quiet && !watch->context->json) fputs(_("Watching; Ctrl-C ends it.\n"), stderr);
    cli_cancel_flag();
    while (!cli_interrupted()) g_usleep(LOOK_US);
    app_watcher_free(watcher);
    app_read_queue_free(queue);
    app_engine_unref(engine);
    return CLI_OK; /* it is how it ends */
}

int cli_watch(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    Watch watch = {.context = context};
    g_autofree char *collection = NULL;
    const GOptionEntry options[] = {
        {"collection", 0, 0, G_OPTION_ARG_STRING, &collection, NULL, NULL},
        {"no-model", 0, 0, G_OPTION_ARG_NONE, &watch.no_model, NULL, NULL},
        {NULL},
    };
    if (!cli_parse_options("watch", options, &argc, &argv)) return CLI_USAGE;
    g_autoptr(AppSettings) settings = argc < 2 ? app_settings_open(NULL, NULL) : NULL; /* why not, was said before */
    g_auto(GStrv) kept = settings != NULL ? app_settings_get_folders(settings, APP_SETTING_WATCH) : NULL;
    watch.library = cli_open_library(context);
    if (watch.library == NULL) return CLI_FAILED;
    GError *error = NULL;
    if (collection != NULL) watch.collection = app_library_add_collection(watch.library, collection, &error);
    int code = watch.collection < 0 ? cli_fail_error(error) : run(&watch, argc > 1 ? argv + 1 : kept);
    app_library_unref(watch.library);
    return code;
}
