/* cli-collection.c: `lectern collection`: documents kept together under a name.
 *
 * Owns: list, create, add, take, rename, remove. Does not own: the library (app-library.h).
 */
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>

#include "cli-internal.h"
#include "cli.h"

static const char *const help =
    N_("Usage: lectern collection [list]\n"
       "       lectern collection create NAME\n"
       "       lectern collection add NAME DOCUMENT…     (makes the collection if it is missing)\n"
       "       lectern collection take NAME DOCUMENT…    (out of it; the documents stay in the library)\n"
       "       lectern collection rename NAME NEW-NAME\n"
       "       lectern collection remove NAME            (its documents stay in the library)\n"
       "`lectern ask --collection NAME` asks all its documents; \"*2022*\" stands for all titles that fit.\n");

static int list(CliContext *context, AppLibrary *library)
{
    GError *error = NULL;
    g_autoptr(GPtrArray) collections = app_library_list_collections(library, &error);
    if (collections == NULL) return cli_fail_error(error);
    if (collections->len == 0 && !context->json) printf("There is no collection; `lectern collection create NAME` makes one.\n");
    for (guint i = 0; i < collections->len; i++) {
        const AppCollection *collection = g_ptr_array_index(collections, i);
        if (context->json) {
            cli_print_json(json_pack("{s:I, s:s, s:I, s:I}", "number", (json_int_t)collection->id, "name", collection->name, "documents",
                                     (json_int_t)collection->n_documents, "tokens", (json_int_t)collection->n_tokens));
        } else {
            g_autofree char *safe = cli_safe_text(collection->name), *name = cli_fit(safe, 44), *tokens = app_format_count(collection->n_tokens);
            printf("%5" G_GINT64_FORMAT "  %s %6u documents %12s tokens\n", collection->id, name, collection->n_documents, tokens);
        }
    }
    return CLI_OK;
}

static int change_members(AppLibrary *library, int argc, char **argv)
{
    if (argc < 3) return cli_usage("collection", _("%s needs a collection and documents"), argv[0]);
    bool adds = strcmp(argv[0], "add") == 0;
    GError *error = NULL;
    /* All documents are known before the first is touched. */
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    for (int i = 2; i < argc; i++) {
        g_autoptr(GArray) found = app_library_resolve_documents(library, argv[i], &error);
        if (found == NULL) return cli_fail_error(error);
        g_array_append_vals(ids, found->data, found->len);
    }
    int64_t collection = adds ? app_library_add_collection(library, argv[1], &error) : app_library_resolve_collection(library, argv[1], &error);
    bool ok = collection >= 0;
    for (guint i = 0; ok && i < ids->len; i++) {
        int64_t id = g_array_index(ids, int64_t, i);
        ok = adds ? app_library_collection_add(library, collection, id, &error) : app_library_collection_remove(library, collection, id, &error);
    }
    return ok ? CLI_OK : cli_fail_error(error);
}

static int change_collection(AppLibrary *library, int argc, char **argv)
{
    GError *error = NULL;
    bool renames = strcmp(argv[0], "rename") == 0;
    if (argc != (renames ? 3 : 2)) return cli_usage("collection", renames ? _("rename needs a name and a new one") : _("one name is needed"));
    bool ok;
    if (strcmp(argv[0], "create") == 0) {
        ok = app_library_add_collection(library, argv[1], &error) >= 0;
    } else {
        int64_t id = app_library_resolve_collection(library, argv[1], &error);
        ok = id >= 0 && (renames ? app_library_rename_collection(library, id, argv[2], &error) : app_library_remove_collection(library, id, &error));
    }
    return ok ? CLI_OK : cli_fail_error(error);
}

int cli_collection(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    const char *name = argc > 1 ? argv[1] : "list";
    static const char *const names[] = {"list", "create", "add", "take", "rename", "remove", NULL};
    if (!g_strv_contains(names, name)) return cli_usage("collection", _("there is no “%s”"), name);
    AppLibrary *library = cli_open_library(context);
    if (library == NULL) return CLI_FAILED;
    int code;
    if (strcmp(name, "list") == 0) {
        code = list(context, library);
    } else if (strcmp(name, "add") == 0 || strcmp(name, "take") == 0) {
        code = change_members(library, argc - 1, argv + 1);
    } else {
        code = change_collection(library, argc - 1, argv + 1);
    }
    app_library_unref(library);
    return code;
}
