/* cli-remove.c: `lectern remove`: documents, their text and their saved states.
 *
 * Owns: the command and its question. Does not own: removing (app-reader.h).
 */
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app-reader.h"
#include "cli-internal.h"
#include "cli.h"

static const char *const help =
    N_("Usage: lectern remove [--yes] DOCUMENT…\n"
       "Removes documents from the library: text, search index, saved states of every model. The files they\n"
       "came from stay. A DOCUMENT is a number, a title or a part of it, a file, or a pattern (\"*draft*\").\n\n"
       "  --yes            do not ask\n");

static bool contains(const GArray *ids, int64_t id)
{
    for (guint i = 0; i < ids->len; i++) {
        if (g_array_index(ids, int64_t, i) == id) return true;
    }
    return false;
}

/* True: go on. */
static bool ask(AppLibrary *library, const GArray *ids)
{
    fputs(_("Remove from the library, with everything kept of them:\n"), stderr);
    for (guint i = 0; i < ids->len && i < 20; i++) {
        g_autoptr(AppDocument) document = app_library_get_document(library, g_array_index(ids, int64_t, i), NULL);
        g_autofree char *title = cli_safe_text(document != NULL ? document->title : "");
        fprintf(stderr, "  %5" G_GINT64_FORMAT "  %s\n", g_array_index(ids, int64_t, i), title);
    }
    if (ids->len > 20) fprintf(stderr, _("  and %u more\n"), ids->len - 20);
    fprintf(stderr, ngettext("Remove %u document?", "Remove %u documents?", ids->len), ids->len);
    return cli_confirm();
}

static int remove_all(CliContext *context, AppLibrary *library, const GArray *ids)
{
    GError *error = NULL;
    for (guint i = 0; i < ids->len; i++) {
        int64_t id = g_array_index(ids, int64_t, i);
        g_autoptr(AppDocument) document = app_library_get_document(library, id, &error);
        if (cli_interrupted()) return CLI_INTERRUPTED;
        if (document == NULL || !app_reader_forget(library, id, &error)) return cli_fail_error(error);
        g_autofree char *title = cli_safe_text(document->title);
        if (context->json) cli_print_json(json_pack("{s:I, s:s}", "removed", (json_int_t)id, "title", document->title));
        if (!context->json) printf("removed %" G_GINT64_FORMAT "  %s\n", id, title);
    }
    return CLI_OK;
}

int cli_remove(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    gboolean yes = FALSE;
    const GOptionEntry options[] = {{"yes", 'y', 0, G_OPTION_ARG_NONE, &yes, NULL, NULL}, {NULL}};
    if (!cli_parse_options("remove", options, &argc, &argv)) return CLI_USAGE;
    if (argc < 2) return cli_usage("remove", _("which documents?"));
    bool is_terminal = isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0;
    if (!yes && !is_terminal) return cli_usage("remove", _("without a terminal to ask on, --yes is needed"));
    AppLibrary *library = cli_open_library(context);
    if (library == NULL) return CLI_FAILED;
    GError *error = NULL;
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    int code = CLI_OK;
    for (int i = 1; i < argc && code == CLI_OK; i++) {
        g_autoptr(GArray) found = app_library_resolve_documents(library, argv[i], &error);
        if (found == NULL) code = cli_fail_error(error);
        for (guint j = 0; found != NULL && j < found->len; j++) {
            int64_t id = g_array_index(found, int64_t, j);
            if (!contains(ids, id)) g_array_append_val(ids, id);
        }
    }
    if (code == CLI_OK && !yes && !ask(library, ids)) {
        fputs(_("Nothing was removed.\n"), stderr);
        code = CLI_FAILED;
    } else if (code == CLI_OK) {
        cli_cancel_flag();
        code = remove_all(context, library, ids);
    }
    app_library_unref(library);
    return code;
}
