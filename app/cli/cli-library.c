/* cli-library.c: `lectern library`: what is in it.
 *
 * Owns: list, show, rename and how they look. Does not own: the library (app-library.h).
 */
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>

#include "cli-internal.h"
#include "cli.h"

static const char *const help =
    N_("Usage: lectern library [list] [--collection NAME] [--sort added|title|updated]\n"
       "       lectern library show DOCUMENT [--sections]\n"
       "       lectern library rename DOCUMENT TITLE\n"
       "Lists documents, shows one with its parts, gives one another title. A DOCUMENT is its number, the\n"
       "beginning of its uid, its title or a part of it, or its file.\n");

static char *state_text(const AppDocument *document)
{
    bool part = document->state == APP_DOCUMENT_READING || document->state == APP_DOCUMENT_PAUSED;
    if (!part || document->n_tokens == 0) return g_strdup(app_document_state_text(document->state));
    return g_strdup_printf("%s %u%%", app_document_state_text(document->state),
                           (unsigned)(100 * document->n_tokens_read / document->n_tokens));
}

static void print_list(const GPtrArray *documents)
{
    if (documents->len == 0) printf("The library is empty; `lectern read FILE` fills it.\n");
    for (guint i = 0; i < documents->len; i++) {
        const AppDocument *document = g_ptr_array_index(documents, i);
        g_autofree char *safe = cli_safe_text(document->title), *title = cli_fit(safe, 44), *state = state_text(document);
        g_autofree char *fitted_state = cli_fit(state, 12), *tokens = app_format_count(document->n_tokens);
        printf("%5" G_GINT64_FORMAT "  %s  %s %11s tokens  %s\n", document->id, title, fitted_state, document->n_tokens > 0 ? tokens : "-",
               document->format);
    }
}

static int list(CliContext *context, AppLibrary *library, int argc, char **argv)
{
    g_autofree char *collection = NULL, *sort = NULL;
    const GOptionEntry options[] = {
        {"collection", 0, 0, G_OPTION_ARG_STRING, &collection, NULL, NULL},
        {"sort", 0, 0, G_OPTION_ARG_STRING, &sort, NULL, NULL},
        {NULL},
    };
    if (!cli_parse_options("library", options, &argc, &argv)) return CLI_USAGE;
    if (argc > 1) return cli_usage("library", _("“%s” is too much here"), argv[1]);
    AppDocumentOrder order = g_strcmp0(sort, "title") == 0 ? APP_ORDER_TITLE : g_strcmp0(sort, "updated") == 0 ? APP_ORDER_UPDATED : APP_ORDER_ADDED;
    if (sort != NULL && order == APP_ORDER_ADDED && strcmp(sort, "added") != 0) return cli_usage("library", _("--sort takes added, title or updated"));
    GError *error = NULL;
    int64_t id = collection != NULL ? app_library_resolve_collection(library, collection, &error) : 0;
    g_autoptr(GPtrArray) documents = id >= 0 ? app_library_list_documents(library, id, order, 0, 0, &error) : NULL;
    if (documents == NULL) return cli_fail_error(error);
    if (!context->json) print_list(documents);
    for (guint i = 0; context->json && i < documents->len; i++) cli_print_json(cli_document_json(g_ptr_array_index(documents, i)));
    return CLI_OK;
}

static json_t *section_json(const AppSection *section)
{
    return json_pack("{s:I, s:s, s:I, s:I, s:I, s:b}", "section", (json_int_t)section->ordinal, "head", section->head, "start",
                     (json_int_t)section->char_start, "end", (json_int_t)section->char_end, "tokens", (json_int_t)section->n_tokens, "read",
                     (int)section->is_read);
}

static void print_document(AppLibrary *library, const AppDocument *document, const GPtrArray *headings, const GPtrArray *sections)
{
    char date[32] = "";
    g_autoptr(GDateTime) added = g_date_time_new_from_unix_local(document->added_s);
    g_autofree char *when = added != NULL ? g_date_time_format(added, "%Y-%m-%d %H:%M") : NULL;
    if (when != NULL) g_strlcpy(date, when, sizeof date);
    g_autofree char *title = cli_safe_text(document->title), *author = cli_safe_text(document->author);
    g_autofree char *state = state_text(document), *tokens = app_format_count(document->n_tokens);
    g_autofree char *chars = app_format_count(document->n_chars), *source = cli_safe_text(document->source);
    g_autofree char *why = app_format_note(document->note), *note = cli_safe_text(why);
    printf("%s\n", title);
    if (author[0] != '\0') printf("by %s\n", author);
    printf("\n  number    %" G_GINT64_FORMAT "\n  uid       %s\n  file      %s\n  format    %s\n  added     %s\n  state     %s%s%s\n", document->id,
           document->uid, source[0] != '\0' ? source : "(standard input)", document->format, date, state, note[0] != '\0' ? ": " : "", note);
    printf("  text      %s characters%s\n", chars, document->n_pages > 0 ? "" : ", no pages");
    if (document->n_pages > 0) printf("  pages     %u\n", document->n_pages);
    printf("  sections  %u, %s tokens; read: %u%s%s\n", document->n_sections, tokens, document->n_sections_read,
           document->model[0] != '\0' ? " by " : "", document->model);
    if (strcmp(document->metadata, "{}") != 0) printf("  about     %s\n", document->metadata);
    g_autoptr(GPtrArray) collections = app_library_list_collections_of(library, document->id, NULL);
    for (guint i = 0; collections != NULL && i < collections->len; i++) {
        printf("  %s %s\n", i == 0 ? "in       " : "         ", ((const AppCollection *)g_ptr_array_index(collections, i))->name);
    }
    for (guint i = 0; headings != NULL && i < headings->len; i++) {
        const AppHeading *heading = g_ptr_array_index(headings, i);
        g_autofree char *text = cli_safe_text(heading->text);
        printf("%s%*s%s\n", i == 0 ? "\n" : "", (int)(2 * MIN(heading->level, 10u)), "", text);
    }
    for (guint i = 0; sections != NULL && i < sections->len; i++) {
        const AppSection *section = g_ptr_array_index(sections, i);
        g_autofree char *head = cli_safe_text(section->head), *fitted = cli_fit(head, 60);
        printf("%s%5u  %s %6u tokens  %s\n", i == 0 ? "\n" : "", section->ordinal + 1, fitted, section->n_tokens, section->is_read ? "read" : "");
    }
}

static int show(CliContext *context, AppLibrary *library, int argc, char **argv)
{
    gboolean with_sections = FALSE;
    const GOptionEntry options[] = {{"sections", 0, 0, G_OPTION_ARG_NONE, &with_sections, NULL, NULL}, {NULL}};
    if (!cli_parse_options("library", options, &argc, &argv)) return CLI_USAGE;
    if (argc != 2) return cli_usage("library", _("show needs one document"));
    GError *error = NULL;
    int64_t id = app_library_resolve_document(library, argv[1], &error);
    g_autoptr(AppDocument) document = id >= 0 ? app_library_get_document(library, id, &error) : NULL;
    g_autoptr(GPtrArray) headings = document != NULL ? app_library_list_headings(library, id, &error) : NULL;
    g_autoptr(GPtrArray) sections = headings != NULL ? app_library_list_sections(library, id, NULL, &error) : NULL;
    if (sections == NULL) return cli_fail_error(error);
    if (!context->json) {
        print_document(library, document, with_sections ? NULL : headings, with_sections ? sections : NULL);
        return CLI_OK;
    }
    json_t *object = cli_document_json(document), *list = json_array();
    for (guint i = 0; i < headings->len; i++) {
        const AppHeading *heading = g_ptr_array_index(headings, i);
        json_array_append_new(list, json_pack("{s:I, s:s}", "level", (json_int_t)heading->level, "text", heading->text));
    }
    json_object_set_new(object, "headings", list);
    list = json_array();
    for (guint i = 0; i < sections->len; i++) json_array_append_new(list, section_json(g_ptr_array_index(sections, i)));
    json_object_set_new(object, "section_list", list);
    cli_print_json(object);
    return CLI_OK;
}

static int rename_document(CliContext *context, AppLibrary *library, int argc, char **argv)
{
    if (argc != 3) return cli_usage("library", _("rename needs a document and a title"));
    GError *error = NULL;
    int64_t id = app_library_resolve_document(library, argv[1], &error);
    if (id < 0 || !app_library_rename_document(library, id, argv[2], &error)) return cli_fail_error(error);
    g_autoptr(AppDocument) document = app_library_get_document(library, id, NULL);
    if (context->json && document != NULL) cli_print_json(cli_document_json(document));
    if (!context->json) printf("%" G_GINT64_FORMAT "  %s\n", id, argv[2]);
    return CLI_OK;
}

int cli_library(CliContext *context, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(CliContext *, AppLibrary *, int, char **);
    } actions[] = {{"list", list}, {"show", show}, {"rename", rename_document}};
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    bool is_named = argc > 1 && argv[1][0] != '-';
    const char *name = is_named ? argv[1] : "list";
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) {
        if (strcmp(actions[i].name, name) != 0) continue;
        AppLibrary *library = cli_open_library(context);
        if (library == NULL) return CLI_FAILED;
        int code = actions[i].run(context, library, is_named ? argc - 1 : argc, is_named ? argv + 1 : argv);
        app_library_unref(library);
        return code;
    }
    return cli_usage("library", _("there is no “%s”; list, show and rename there are"), name);
}
