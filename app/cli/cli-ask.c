/* cli-ask.c: `lectern ask`: questions to documents, a collection, or everything.
 *
 * Owns: options, questions from the command line or standard input, what is asked of which documents.
 * Does not own: answering (app-ask.h), the layout of answers (cli-ask-print.c).
 */
#include "cli-ask.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "app-reader.h"
#include "cli-internal.h"

static const char *const help =
    N_("Usage: lectern ask [OPTION…] QUESTION|-\n"
       "Answers a question from the documents that were read, with the passage that the answer rests on. With -,\n"
       "questions come from standard input, one a line. Nothing is read again.\n\n"
       "  -d, --document DOCUMENT  ask this document: number, title or part of it, file, pattern (may be repeated)\n"
       "  -c, --collection NAME    ask this collection (default: everything)\n"
       "  --each                   ask every document by itself and print a table\n"
       "  --csv                    with --each: comma-separated values\n"
       "  --read                   read first what is not read yet\n"
       "  --conversation NAME      keep questions and answers under this name, and go on there\n"
       "  --all                    look at everything, however long it is\n"
       "  --exact                  leave no attention out, however small\n"
       "  --budget-tokens N        choose sections of about N tokens (default: 8,192, when there are more than 32,768)\n"
       "  --sections N             look at the N best sections at most\n"
       "  --passages N             show N passages by search below the answer (default 3)\n"
       "  --max-tokens N           the longest reply (default 256)\n"
       "  --remote                 let the second machine of the setting remote.url answer: the question and the chosen\n"
       "                           passages (about 8,192 tokens) are sent there; --local keeps to this machine\n"
       "  --think                  a chat model that can thinks before it answers; --show-thinking prints what it thinks\n"
       "  --temperature T          draw the reply at random (default 0: the likeliest), --seed N for a repeatable draw\n");

typedef struct Ask {
    CliContext *context;
    char **documents; /* -d */
    char *collection, *conversation, *not_kept;
    gboolean each, all, exact, csv, read, remotely, locally, think, shows_thinking;
    int n_reply_tokens, n_sections, n_budget_tokens, n_passages;
    double temperature;
    gint64 seed;
    char **words;

    AppLibrary *library;
    AppEngine *engine;
    AppAsker *asker;
    AppRemote *remote; /* NULL: answers come from here */
    GArray *document_ids; /* int64_t; empty: not by name */
    int64_t collection_id, conversation_id;
    bool csv_header_done;
} Ask;

static bool parse(Ask *ask, int *argc, char ***argv)
{
    const GOptionEntry entries[] = {
        {"document", 'd', 0, G_OPTION_ARG_STRING_ARRAY, &ask->documents, NULL, NULL},
        {"collection", 'c', 0, G_OPTION_ARG_STRING, &ask->collection, NULL, NULL},
        {"each", 0, 0, G_OPTION_ARG_NONE, &ask->each, NULL, NULL},
        {"csv", 0, 0, G_OPTION_ARG_NONE, &ask->csv, NULL, NULL},
        {"all", 0, 0, G_OPTION_ARG_NONE, &ask->all, NULL, NULL},
        {"exact", 0, 0, G_OPTION_ARG_NONE, &ask->exact, NULL, NULL},
        {"sections", 0, 0, G_OPTION_ARG_INT, &ask->n_sections, NULL, NULL},
        {"budget-tokens", 0, 0, G_OPTION_ARG_INT, &ask->n_budget_tokens, NULL, NULL},
        {"max-tokens", 0, 0, G_OPTION_ARG_INT, &ask->n_reply_tokens, NULL, NULL},
        {"think", 0, 0, G_OPTION_ARG_NONE, &ask->think, NULL, NULL},
        {"show-thinking", 0, 0, G_OPTION_ARG_NONE, &ask->shows_thinking, NULL, NULL},
        {"temperature", 0, 0, G_OPTION_ARG_DOUBLE, &ask->temperature, NULL, NULL},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &ask->seed, NULL, NULL},
        {"passages", 0, 0, G_OPTION_ARG_INT, &ask->n_passages, NULL, NULL},
        {"read", 0, 0, G_OPTION_ARG_NONE, &ask->read, NULL, NULL},
        {"remote", 0, 0, G_OPTION_ARG_NONE, &ask->remotely, NULL, NULL},
        {"local", 0, 0, G_OPTION_ARG_NONE, &ask->locally, NULL, NULL},
        {"conversation", 0, 0, G_OPTION_ARG_STRING, &ask->conversation, NULL, NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &ask->words, NULL, NULL},
        {NULL},
    };
    return cli_parse_options("ask", entries, argc, argv);
}

static const char *check(const Ask *ask)
{
    if (!ask->words || !ask->words[0] || !ask->words[0][0]) return "a question is missing (or - for standard input)";
    if (ask->documents && ask->collection) return "-d and -c exclude each other";
    if (ask->remotely && ask->locally) return "--remote and --local exclude each other";
    if (ask->csv && !ask->each) return "--csv goes with --each";
    if (ask->csv && ask->context->json) return "--csv and --json exclude each other";
    if (ask->n_reply_tokens < 0 || ask->n_sections < 0 || ask->n_budget_tokens < 0) return "a number of tokens or sections is below 0";
    if (!(ask->temperature >= 0 && ask->temperature <= 10)) return "--temperature is from 0 to 10";
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------------------- scope */

static bool resolve_documents(Ask *ask, GError **error)
{
    for (size_t i = 0; ask->documents && ask->documents[i]; i++) {
        g_autoptr(GArray) ids = app_library_resolve_documents(ask->library, ask->documents[i], error);
        if (!ids) return false;
        g_array_append_vals(ask->document_ids, ids->data, ids->len);
    }
    return true;
}

static AppAskScope scope_of(const Ask *ask)
{
    return (AppAskScope){.documents = ask->document_ids->len ? (const int64_t *)(void *)ask->document_ids->data : NULL,
                         .n_documents = ask->document_ids->len, .collection = ask->collection_id};
}

static bool resolve_scope(Ask *ask, GError **error)
{
    if (!resolve_documents(ask, error)) return false;
    if (ask->collection) {
        ask->collection_id = app_library_resolve_collection(ask->library, ask->collection, error);
        if (ask->collection_id < 0) return false;
    }
    if (!ask->conversation) return true;
    AppAskScope scope = scope_of(ask);
    ask->conversation_id = app_ask_find_conversation(ask->library, ask->conversation, &scope, error);
    if (ask->conversation_id < 0) {
        ask->not_kept = app_ask_take_not_kept(error);
        ask->conversation_id = 0;
        return ask->not_kept != NULL;
    }
    if (ask->documents || ask->collection) return true;
    /* Without a scope of its own, a question goes to what the conversation was begun with. */
    g_array_unref(ask->document_ids);
    ask->document_ids = NULL;
    if (app_ask_get_conversation_scope(ask->library, ask->conversation_id, &ask->document_ids, &ask->collection_id, error)) return true;
    ask->document_ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    return false;
}

/* The documents of the scope one by one: int64_t. */
static GArray *list_scope(Ask *ask, GError **error)
{
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    if (ask->document_ids->len) {
        g_array_append_vals(ids, ask->document_ids->data, ask->document_ids->len);
        return ids;
    }
    g_autoptr(GPtrArray) documents = app_library_list_documents(ask->library, ask->collection_id, APP_ORDER_TITLE, 0, 0, error);
    if (!documents) {
        g_array_unref(ids);
        return NULL;
    }
    for (guint i = 0; i < documents->len; i++) g_array_append_val(ids, ((AppDocument *)documents->pdata[i])->id);
    return ids;
}

static void show_reading(void *user, const AppReadProgress *progress)
{
    cli_progress_update(user, progress->tokens_done, progress->tokens_total);
}

/* Reads what of the scope is not read yet (--read). */
static bool read_scope(Ask *ask, GError **error)
{
    g_autoptr(GArray) ids = list_scope(ask, error);
    if (!ids) return false;
    for (guint i = 0; i < ids->len; i++) {
        int64_t id = g_array_index(ids, int64_t, i);
        g_autoptr(AppDocument) document = app_library_get_document(ask->library, id, error);
        if (!document) return false;
        if (document->state == APP_DOCUMENT_NO_TEXT) continue;
        g_autofree char *label = g_strdup_printf(_("Reading %s"), document->title);
        CliProgress *progress = cli_progress_new(ask->context, label, NC_("progress", "tokens"));
        bool done = app_reader_read(ask->engine, id, cli_cancel_flag(), show_reading, progress, NULL, error);
        cli_progress_finish(progress);
        if (!done) return false;
    }
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- asking */

static AppAskOptions make_options(const Ask *ask)
{
    return (AppAskOptions){.attend_all = ask->all, .exact = ask->exact, .budget_tokens = (uint32_t)ask->n_budget_tokens,
                           /* A budget that was asked for holds below the usual limit too. */
                           .attend_all_tokens = (uint32_t)ask->n_budget_tokens, .n_sections_max = (uint32_t)ask->n_sections,
                           .n_reply_tokens_max = (uint32_t)ask->n_reply_tokens, .think = ask->think, .temperature = (float)ask->temperature,
                           .seed = (uint64_t)ask->seed, .n_passages = ask->n_passages == 0 ? UINT32_MAX : ask->n_passages < 0 ? 0 : (uint32_t)ask->n_passages,
                           .conversation = ask->conversation_id, .not_kept = ask->not_kept, .remote = ask->remote};
}

static bool is_cancelled(const GError *error) { return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED); }

/* Says what went wrong and what to do about it. */
static int report(const Ask *ask, GError *error)
{
    if (is_cancelled(error) || cli_interrupted()) {
        g_error_free(error);
        return CLI_INTERRUPTED;
    }
    if (g_error_matches(error, APP_ASK_ERROR, APP_ASK_ERROR_UNREAD) && !ask->read) {
        int code = cli_fail(_("%s\nRead with `lectern read`, or add --read to read before asking."), error->message);
        g_error_free(error);
        return code;
    }
    if (g_error_matches(error, APP_ASK_ERROR, APP_ASK_ERROR_EMPTY)) {
        int code = cli_fail(_("%s\nAdd documents with `lectern read FILE`."), error->message);
        g_error_free(error);
        return code;
    }
    return cli_fail_error(error);
}

static int ask_one(Ask *ask, const char *question, bool echo)
{
    AppAskScope scope = scope_of(ask);
    AppAskOptions options = make_options(ask);
    CliAskPrinter printer = {.out = stdout, .styled = isatty(STDOUT_FILENO), .quiet = ask->context->quiet, .shows_thinking = ask->shows_thinking,
                             .at_line_start = true};
    bool json = ask->context->json;
    if (echo && !json) printf("> %s\n", question);
    GError *error = NULL;
    g_autoptr(AppAnswer) answer = app_asker_ask(ask->asker, &scope, question, &options, json ? cli_ask_print_notice : cli_ask_print_event, &printer,
                                                cli_cancel_flag(), &error);
    if (!answer) {
        cli_ask_print_break(&printer);
        fflush(stdout);
        return report(ask, error);
    }
    if (json) {
        g_autofree char *text = app_answer_to_json(answer);
        puts(text);
    } else if (echo) {
        putchar('\n');
    }
    return fflush(stdout) == 0 ? CLI_OK : cli_fail(_("cannot write the answer: %s"), g_strerror(errno));
}

static unsigned terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col) return size.ws_col;
    return 120;
}

typedef struct Each {
    Ask *ask;
    CliProgress *progress;
    bool failed;
} Each;

/* --json prints one object a line as answers come. */
static void on_row(void *user, const AppAskRow *row, uint32_t index, uint32_t n_rows)
{
    Each *each = user;
    each->failed = each->failed || row->failure;
    if (each->ask->context->json && row->answer) {
        g_autofree char *text = app_answer_to_json(row->answer);
        puts(text);
        fflush(stdout);
    } else if (each->ask->context->json) {
        cli_fail("%s: %s", row->title, row->failure);
    }
    cli_progress_update(each->progress, index + 1, n_rows);
}

static int ask_each(Ask *ask, const char *question)
{
    GError *error = NULL;
    AppAskScope scope = scope_of(ask);
    AppAskOptions options = make_options(ask);
    Each each = {.ask = ask, .progress = cli_progress_new(ask->context, _("Asking"), NC_("progress", "documents"))};
    bool stopped = false;
    g_autofree char *not_kept = NULL;
    g_autoptr(GPtrArray) rows = app_asker_ask_each(ask->asker, &scope, question, &options, on_row, &each, cli_cancel_flag(), &stopped, &not_kept,
                                                   &error);
    cli_progress_finish(each.progress);
    if (!rows) return report(ask, error);
    if (ask->csv) {
        g_autofree char *csv = app_ask_rows_to_csv(rows, !ask->csv_header_done);
        fputs(csv, stdout);
        ask->csv_header_done = true;
    } else if (!ask->context->json) {
        cli_ask_print_table(stdout, rows, terminal_width());
    }
    if (not_kept) fprintf(stderr, _("lectern: The answers were not kept in the conversation: %s\n"), not_kept);
    if (fflush(stdout) != 0) return cli_fail(_("cannot write the table: %s"), g_strerror(errno));
    return stopped ? CLI_INTERRUPTED : each.failed ? CLI_FAILED : CLI_OK;
}

static int ask_question(Ask *ask, const char *question, bool echo)
{
    if (!ask->each) return ask_one(ask, question, echo);
    if (echo && !ask->csv && !ask->context->json) printf("> %s\n", question);
    return ask_each(ask, question);
}

/* A failing question does not keep the next ones from being asked; a stop does. */
static int ask_lines(Ask *ask)
{
    size_t capacity = 0;
    int code = CLI_OK;
    char *raw = NULL;
    while (getline(&raw, &capacity, stdin) >= 0) {
        char *question = g_strstrip(raw);
        if (!question[0]) continue;
        int one = ask_question(ask, question, true);
        if (one == CLI_INTERRUPTED) {
            code = one;
            break;
        }
        if (one != CLI_OK) code = one;
    }
    bool failed = ferror(stdin);
    free(raw);
    if (cli_interrupted()) return CLI_INTERRUPTED;
    return failed ? cli_fail(_("cannot read questions from standard input: %s"), g_strerror(errno)) : code;
}

/* The second machine, where it shall answer; and what that means, before anything leaves. */
static bool open_remote(Ask *ask, GError **error)
{
    g_autoptr(AppSettings) settings = app_settings_open(NULL, ask->remotely ? error : NULL);
    if (!settings) return !ask->remotely;
    if (ask->locally || !(ask->remotely || app_settings_get_boolean(settings, APP_SETTING_REMOTE_ENABLED))) return true;
    ask->remote = app_remote_new(settings, error);
    if (!ask->remote) return false;
    if (!ask->context->quiet && ask->each) {
        g_autofree char *words = app_remote_describe(ask->remote);
        fprintf(stderr, "lectern: %s\n", words);
    }
    return true;
}

static int run(Ask *ask)
{
    GError *error = NULL;
    ask->library = app_library_open(ask->context->data_folder, &error);
    if (!ask->library) return cli_fail_error(error);
    if (!resolve_scope(ask, &error)) return cli_fail_error(error);
    ask->engine = app_engine_open_on(ask->library, ask->context->model, ask->context->n_threads, ask->context->gpu, &error);
    if (!ask->engine) return cli_fail_error(error);
    if (ask->read && !read_scope(ask, &error)) return report(ask, error);
    if (!open_remote(ask, &error)) return cli_fail_error(error);
    ask->asker = app_asker_new(ask->engine);
    if (strcmp(ask->words[0], "-") == 0 && !ask->words[1]) return ask_lines(ask);
    g_autofree char *question = g_strjoinv(" ", ask->words);
    return ask_question(ask, question, false);
}

int cli_ask(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    Ask ask = {.context = context, .n_passages = -1, .document_ids = g_array_new(FALSE, FALSE, sizeof(int64_t))};
    int code = CLI_USAGE;
    if (parse(&ask, &argc, &argv)) code = check(&ask) ? cli_usage("ask", "%s", check(&ask)) : run(&ask);
    app_asker_free(ask.asker);
    app_remote_free(ask.remote);
    cli_tell_gpu(ask.engine);
    app_engine_unref(ask.engine);
    app_library_unref(ask.library);
    g_strfreev(ask.documents);
    g_strfreev(ask.words);
    g_free(ask.collection);
    g_free(ask.conversation);
    g_free(ask.not_kept);
    if (ask.document_ids) g_array_unref(ask.document_ids);
    return code;
}
