/* cli-conversation.c: `lectern conversation`: questions and answers that were kept.
 *
 * Owns: list, show, search, export, rename, remove. Does not own: keeping them (`lectern ask --conversation`), the library.
 */
#include <errno.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli-internal.h"
#include "cli.h"

static const char *const help =
    N_("Usage: lectern conversation [list]\n"
       "       lectern conversation show NAME\n"
       "       lectern conversation search WORD…         (in titles, questions, answers, quotations)\n"
       "       lectern conversation export NAME [FILE]   (as Markdown, to standard output without FILE)\n"
       "       lectern conversation rename NAME NEW-NAME\n"
       "       lectern conversation remove [--yes] NAME…\n"
       "A NAME is a number, a title, or a part of exactly one title. `lectern ask --conversation NAME` adds to it.\n\n"
       "  --limit N        search: at most N hits (default 10)\n"
       "  --force          export: write over an existing FILE\n"
       "  --yes            remove: do not ask\n");

typedef struct Options {
    gboolean yes, force;
    int limit;
} Options;

static char *format_day(int64_t seconds)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(seconds);
    return time != NULL ? g_date_time_format(time, "%Y-%m-%d") : g_strdup("");
}

static json_t *conversation_json(const AppConversation *conversation)
{
    return json_pack("{s:I, s:s, s:I, s:I, s:I}", "number", (json_int_t)conversation->id, "title", conversation->title, "turns",
                     (json_int_t)conversation->n_turns, "created", (json_int_t)conversation->created_s, "updated",
                     (json_int_t)conversation->updated_s);
}

static int list(CliContext *context, AppLibrary *library)
{
    GError *error = NULL;
    g_autoptr(GPtrArray) conversations = app_library_list_conversations(library, 0, &error);
    if (conversations == NULL) return cli_fail_error(error);
    if (conversations->len == 0 && !context->json) printf("There is no conversation; `lectern ask --conversation NAME` begins one.\n");
    for (guint i = 0; i < conversations->len; i++) {
        const AppConversation *conversation = g_ptr_array_index(conversations, i);
        if (context->json) {
            cli_print_json(conversation_json(conversation));
        } else {
            g_autofree char *safe = cli_safe_text(conversation->title), *title = cli_fit(safe, 56), *day = format_day(conversation->updated_s);
            printf("%5" G_GINT64_FORMAT "  %s %6u question%s  %s\n", conversation->id, title, conversation->n_turns,
                   conversation->n_turns == 1 ? " " : "s", day);
        }
    }
    return CLI_OK;
}

static json_t *quotation_json(const AppQuotation *quotation)
{
    json_t *page = quotation->page == UINT32_MAX      ? json_null()
                   : quotation->page_label[0] != '\0' ? json_string(quotation->page_label)
                                                      : json_integer((json_int_t)quotation->page + 1);
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:o, s:b}", "text", quotation->text, "title", quotation->document_title, "document",
                     quotation->document != 0 ? json_integer(quotation->document) : json_null(), "section",
                     quotation->section >= 0 ? json_integer(quotation->section) : json_null(), "start", (json_int_t)quotation->char_start, "end",
                     (json_int_t)quotation->char_end, "page", page, "verified", quotation->verified);
}

static int show_json(const AppConversation *conversation, const GPtrArray *turns)
{
    json_t *root = conversation_json(conversation), *list = json_array();
    for (guint i = 0; i < turns->len; i++) {
        const AppTurn *turn = g_ptr_array_index(turns, i);
        json_t *quotations = json_array();
        for (size_t j = 0; j < turn->n_quotations; j++) json_array_append_new(quotations, quotation_json(&turn->quotations[j]));
        json_array_append_new(list, json_pack("{s:I, s:s, s:s, s:b, s:s, s:I, s:o}", "number", (json_int_t)turn->id, "question", turn->question,
                                              "answer", turn->answer, "found", turn->found, "model", turn->model, "created",
                                              (json_int_t)turn->created_s, "quotations", quotations));
    }
    json_object_set_new(root, "list", list);
    cli_print_json(root);
    return CLI_OK;
}

/* show, and export to standard output or a file. */
static int show(CliContext *context, AppLibrary *library, const char *name, const char *path, const Options *options)
{
    GError *error = NULL;
    int64_t id = app_library_resolve_conversation(library, name, &error);
    if (id < 0) return cli_fail_error(error);
    if (context->json && path == NULL) {
        g_autoptr(AppConversation) conversation = app_library_get_conversation(library, id, &error);
        g_autoptr(GPtrArray) turns = conversation != NULL ? app_library_list_turns(library, id, &error) : NULL;
        return turns != NULL ? show_json(conversation, turns) : cli_fail_error(error);
    }
    g_autofree char *text = app_conversation_to_markdown(library, id, &error);
    if (text == NULL) return cli_fail_error(error);
    if (path == NULL) {
        g_autofree char *safe = isatty(STDOUT_FILENO) ? cli_safe_text(text) : g_strdup(text);
        fputs(safe, stdout);
        return CLI_OK;
    }
    if (!options->force && g_file_test(path, G_FILE_TEST_EXISTS)) return cli_fail(_("“%s” exists; --force writes over it"), path);
    if (!g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error)) return cli_fail_error(error);
    if (!context->quiet && !context->json) printf("wrote %s\n", path);
    return CLI_OK;
}

static int search(CliContext *context, AppLibrary *library, char **words, const Options *options)
{
    GError *error = NULL;
    g_autofree char *joined = g_strjoinv(" ", words);
    g_autoptr(GPtrArray) hits = app_library_search_conversations(library, joined, false, (uint32_t)options->limit, &error);
    if (hits == NULL) return cli_fail_error(error);
    if (hits->len == 0 && !context->json) printf("Nothing found for “%s” in the conversations\n", joined);
    bool styled = isatty(STDOUT_FILENO) != 0;
    for (guint i = 0; i < hits->len; i++) {
        const AppConversationHit *hit = g_ptr_array_index(hits, i);
        if (context->json) {
            g_autofree char *snippet = cli_plain_snippet(hit->snippet);
            cli_print_json(json_pack("{s:I, s:o, s:s, s:s, s:s, s:I}", "conversation", (json_int_t)hit->conversation, "turn",
                                     hit->turn != 0 ? json_integer(hit->turn) : json_null(), "title", hit->title, "question", hit->question,
                                     "snippet", snippet, "created", (json_int_t)hit->created_s));
            continue;
        }
        g_autofree char *title = cli_safe_text(hit->title), *question = cli_safe_text(hit->question), *day = format_day(hit->created_s);
        g_autofree char *snippet = cli_styled_snippet(hit->snippet, styled);
        printf("%5" G_GINT64_FORMAT "  %s  (%s)\n", hit->conversation, title, day);
        if (hit->turn != 0) printf("       %s\n       %s\n", question, snippet);
        putchar('\n');
    }
    return CLI_OK;
}

/* All are known before the first goes. */
static int remove_all(CliContext *context, AppLibrary *library, char **names, const Options *options)
{
    GError *error = NULL;
    g_autoptr(GPtrArray) chosen = g_ptr_array_new_with_free_func((GDestroyNotify)app_conversation_free);
    for (size_t i = 0; names[i] != NULL; i++) {
        int64_t id = app_library_resolve_conversation(library, names[i], &error);
        AppConversation *conversation = id >= 0 ? app_library_get_conversation(library, id, &error) : NULL;
        if (conversation == NULL) return cli_fail_error(error);
        bool known = false;
        for (guint j = 0; j < chosen->len; j++) known = known || ((AppConversation *)g_ptr_array_index(chosen, j))->id == id;
        if (known) {
            app_conversation_free(conversation);
        } else {
            g_ptr_array_add(chosen, conversation);
        }
    }
    if (!options->yes) {
        if (!isatty(STDIN_FILENO)) return cli_usage("conversation", _("remove asks first, which needs a terminal; or give --yes"));
        for (guint i = 0; i < chosen->len; i++) {
            const AppConversation *conversation = g_ptr_array_index(chosen, i);
            g_autofree char *title = cli_safe_text(conversation->title);
            g_autofree char *questions = g_strdup_printf(ngettext("%u question", "%u questions", conversation->n_turns), conversation->n_turns);
            fprintf(stderr, "  %5" G_GINT64_FORMAT "  %s (%s)\n", conversation->id, title, questions);
        }
        fprintf(stderr, ngettext("Remove %u conversation?", "Remove %u conversations?", chosen->len), chosen->len);
        if (!cli_confirm()) return CLI_FAILED;
    }
    for (guint i = 0; i < chosen->len; i++) {
        const AppConversation *conversation = g_ptr_array_index(chosen, i);
        if (!app_library_remove_conversation(library, conversation->id, &error)) return cli_fail_error(error);
        g_autofree char *title = cli_safe_text(conversation->title);
        if (context->json) cli_print_json(json_pack("{s:I, s:s}", "removed", (json_int_t)conversation->id, "title", conversation->title));
        if (!context->json) printf("removed %" G_GINT64_FORMAT "  %s\n", conversation->id, title);
    }
    return CLI_OK;
}

static int rename_one(AppLibrary *library, const char *name, const char *title)
{
    GError *error = NULL;
    int64_t id = app_library_resolve_conversation(library, name, &error);
    return id >= 0 && app_library_rename_conversation(library, id, title, &error) ? CLI_OK : cli_fail_error(error);
}

static int run(CliContext *context, AppLibrary *library, int argc, char **argv, const Options *options)
{
    const char *name = argc > 0 ? argv[0] : "list";
    if (strcmp(name, "show") == 0) return show(context, library, argv[1], NULL, options);
    if (strcmp(name, "export") == 0) return show(context, library, argv[1], argc > 2 ? argv[2] : NULL, options);
    if (strcmp(name, "search") == 0) return search(context, library, argv + 1, options);
    if (strcmp(name, "rename") == 0) return rename_one(library, argv[1], argv[2]);
    if (strcmp(name, "remove") == 0) return remove_all(context, library, argv + 1, options);
    return list(context, library);
}

int cli_conversation(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    Options given = {.limit = 10};
    const GOptionEntry entries[] = {
        {"yes", 'y', 0, G_OPTION_ARG_NONE, &given.yes, NULL, NULL},
        {"force", 0, 0, G_OPTION_ARG_NONE, &given.force, NULL, NULL},
        {"limit", 0, 0, G_OPTION_ARG_INT, &given.limit, NULL, NULL},
        {NULL},
    };
    if (!cli_parse_options("conversation", entries, &argc, &argv)) return CLI_USAGE;
    if (given.limit < 1 || given.limit > 100000) return cli_usage("conversation", _("--limit needs a number from 1 to 100000"));
    static const struct {
        const char *name;
        int n_least, n_most; /* arguments behind it */
        const char *wants;
    } actions[] = {{"list", 0, 0, "list takes nothing"},
                   {"show", 1, 1, "show needs one conversation"},
                   {"search", 1, INT32_MAX, "search needs words"},
                   {"export", 1, 2, "export needs a conversation, and may have a file"},
                   {"rename", 2, 2, "rename needs a conversation and a new title"},
                   {"remove", 1, INT32_MAX, "remove needs conversations"}};
    size_t action = 0;
    while (argc > 1 && action < G_N_ELEMENTS(actions) && strcmp(actions[action].name, argv[1]) != 0) action++;
    if (action == G_N_ELEMENTS(actions)) return cli_usage("conversation", _("there is no “%s”"), argv[1]);
    if (argc > 1 && (argc - 2 < actions[action].n_least || argc - 2 > actions[action].n_most))
        return cli_usage("conversation", "%s", actions[action].wants);
    AppLibrary *library = cli_open_library(context);
    if (library == NULL) return CLI_FAILED;
    int code = run(context, library, argc - 1, argv + 1, &given);
    app_library_unref(library);
    return code;
}
