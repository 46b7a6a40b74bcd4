/* cli-search.c: `lectern search`: words to passages, without a model.
 *
 * Owns: the command's options and how hits are shown. Does not own: the search (app-library.h).
 */
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli-internal.h"
#include "cli.h"

static const char *const help =
    N_("Usage: lectern search [OPTION…] WORD…\n"
       "Finds passages that hold all the words; \"words in quotes\" stay together. No model is loaded.\n\n"
       "  --any                passages with any of the words\n"
       "  --values             cells of tables that a question asks for: Apple's total net sales in 2020\n"
       "  --in DOCUMENT        look in this document only (may be given several times)\n"
       "  --collection NAME    look in this collection only\n"
       "  --limit N            at most N passages (default 10)\n");

static void print_json(AppLibrary *library, const AppHit *hit)
{
    g_autoptr(AppPlace) place = app_library_locate(library, hit->document, hit->match_start, hit->match_end, NULL);
    g_autofree char *snippet = cli_plain_snippet(hit->snippet);
    json_t *object = json_pack("{s:I, s:s, s:s, s:o, s:o, s:s, s:f}", "document", (json_int_t)hit->document, "title", hit->title, "heading",
                               hit->heading, "section", hit->section >= 0 ? json_integer(hit->section) : json_null(), "page",
                               hit->page == UINT32_MAX ? json_null()
                               : hit->page_label[0] != '\0' ? json_string(hit->page_label)
                                                            : json_integer((json_int_t)hit->page + 1),
                               "snippet", snippet, "score", hit->score);
    if (object == NULL) return;
    json_object_set_new(object, "passage", json_pack("{s:I, s:I}", "start", (json_int_t)hit->char_start, "end", (json_int_t)hit->char_end));
    if (hit->value != NULL) json_object_set_new(object, "value", json_string(hit->value));
    if (hit->column != NULL) json_object_set_new(object, "column", json_string(hit->column));
    if (place != NULL) {
        json_object_set_new(object, "start", json_integer((json_int_t)place->char_start));
        json_object_set_new(object, "end", json_integer((json_int_t)place->char_end));
        json_object_set_new(object, "source_start", json_integer((json_int_t)place->source_start));
        json_object_set_new(object, "source_end", json_integer((json_int_t)place->source_end));
    }
    cli_print_json(object);
}

static void print_hit(const AppHit *hit, bool bold)
{
    g_autofree char *snippet = cli_styled_snippet(hit->snippet, bold);
    g_autofree char *heading = cli_safe_text(hit->heading);
    printf("%s%s%s", bold ? "\033[4m" : "", heading, bold ? "\033[0m" : "");
    if (hit->page != UINT32_MAX && hit->page_label[0] != '\0') printf(", page %s", hit->page_label);
    if (hit->page != UINT32_MAX && hit->page_label[0] == '\0') printf(", page %u", hit->page + 1);
    printf("  [document %" G_GINT64_FORMAT, hit->document);
    if (hit->section >= 0) printf(", section %" G_GINT64_FORMAT, hit->section + 1);
    printf(", characters %" G_GUINT64_FORMAT "–%" G_GUINT64_FORMAT "]\n    %s\n\n", hit->char_start, hit->char_end, snippet);
}

static bool resolve_scope(AppLibrary *library, char *const *documents, const char *collection, GArray *ids, int64_t *ret_collection, GError **error)
{
    for (size_t i = 0; documents != NULL && documents[i] != NULL; i++) {
        g_autoptr(GArray) found = app_library_resolve_documents(library, documents[i], error);
        if (found == NULL) return false;
        g_array_append_vals(ids, found->data, found->len);
    }
    if (collection != NULL) *ret_collection = app_library_resolve_collection(library, collection, error);
    return *ret_collection >= 0;
}

int cli_search(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    g_auto(GStrv) documents = NULL;
    g_autofree char *collection = NULL;
    gboolean any = FALSE, values = FALSE;
    int limit = 10;
    const GOptionEntry options[] = {
        {"any", 0, 0, G_OPTION_ARG_NONE, &any, NULL, NULL},
        {"values", 0, 0, G_OPTION_ARG_NONE, &values, NULL, NULL},
        {"in", 0, 0, G_OPTION_ARG_STRING_ARRAY, &documents, NULL, NULL},
        {"collection", 0, 0, G_OPTION_ARG_STRING, &collection, NULL, NULL},
        {"limit", 0, 0, G_OPTION_ARG_INT, &limit, NULL, NULL},
        {NULL},
    };
    if (!cli_parse_options("search", options, &argc, &argv)) return CLI_USAGE;
    if (argc < 2) return cli_usage("search", _("which words?"));
    if (limit < 1 || limit > 100000) return cli_usage("search", _("--limit needs a number from 1 to 100000"));
    AppLibrary *library = cli_open_library(context);
    if (library == NULL) return CLI_FAILED;
    g_autofree char *words = g_strjoinv(" ", argv + 1);
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    g_autoptr(GPtrArray) hits = NULL;
    GError *error = NULL;
    AppSearch search = {.words = words, .mode = any ? APP_SEARCH_ANY : APP_SEARCH_ALL, .limit = (uint32_t)limit};
    if (resolve_scope(library, documents, collection, ids, &search.collection, &error)) {
        search.documents = ids->len > 0 ? (const int64_t *)(void *)ids->data : NULL;
        search.n_documents = ids->len;
        hits = values ? app_library_find_values(library, &search, &error) : app_library_search(library, &search, &error);
    }
    int code = hits == NULL ? cli_fail_error(error) : CLI_OK;
    for (guint i = 0; hits != NULL && i < hits->len; i++) {
        if (context->json) {
            print_json(library, g_ptr_array_index(hits, i));
        } else {
            print_hit(g_ptr_array_index(hits, i), isatty(STDOUT_FILENO) != 0);
        }
    }
    if (hits != NULL && hits->len == 0 && !context->json) {
        printf("Nothing found for “%s”%s\n", words, any || values ? "" : "; --any finds passages with some of the words");
    }
    app_library_unref(library);
    return code;
}
