/* cli-util.c: what the commands share: errors, Ctrl-C, progress.
 *
 * Owns: the functions of cli.h and cli-internal.h. Does not own: commands.
 */
#include <errno.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "app-engine-internal.h"
#include "cli-internal.h"
#include "cli.h"

/* --------------------------------------------------------------------------------------------------------------- errors */

int cli_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *safe = cli_safe_text(message);
    fprintf(stderr, "lectern: %s\n", safe);
    return CLI_FAILED;
}

int cli_usage(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fprintf(stderr, _("lectern %s: %s\n`lectern %s --help` shows how it is used.\n"), command, message, command);
    return CLI_USAGE;
}

int cli_fail_error(GError *error)
{
    int code = cli_fail("%s", error != NULL ? error->message : _("something failed without saying why"));
    g_clear_error(&error);
    return code;
}

int cli_fail_engine(const eng_error *engine_error)
{
    g_autofree char *message = app_engine_dup_message(engine_error);
    return cli_fail("%s", message);
}

bool cli_confirm(void)
{
    /* Translators: the letter for yes; it is typed */
    const char *yes = C_("answer", "y");
    fprintf(stderr, " [%s/%s] ", yes, C_("answer", "N"));
    char line[16];
    if (fgets(line, sizeof line, stdin) == NULL) return false;
    gunichar answer = g_unichar_tolower(g_utf8_get_char_validated(line, -1));
    return answer == 'y' || answer == g_utf8_get_char(yes);
}

int cli_fail_or_interrupted(GError *error)
{
    if (!cli_interrupted()) return cli_fail_error(error);
    g_clear_error(&error);
    return CLI_INTERRUPTED;
}

/* --------------------------------------------------------------------------------------------------------------- Ctrl-C */

static bool cancel_flag;

static void on_interrupt(int number)
{
    /* The second one ends the process: its handler was reset when this one was entered. */
    __atomic_store_n(&cancel_flag, true, __ATOMIC_RELAXED);
}

const bool *cli_cancel_flag(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
        sigemptyset(&action.sa_mask);
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        g_once_init_leave(&once, 1);
    }
    return &cancel_flag;
}

bool cli_interrupted(void)
{
    return __atomic_load_n(&cancel_flag, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------------------------------------------------- progress */

enum { DRAW_US = 100000, LINE_US = 10000000, RATE_US = 1000000 };

struct CliProgress {
    char *label, *unit;
    bool is_terminal, is_silent, drawn;
    int64_t begun_us, shown_us;
    uint64_t first; /* done at the first update: what was there before does not count for the rate */
    bool has_first;
};

CliProgress *cli_progress_new(const CliContext *context, const char *label, const char *unit)
{
    CliProgress *progress = g_new0(CliProgress, 1);
    progress->label = cli_safe_text(label);
    progress->unit = g_strdup(unit);
    progress->is_terminal = isatty(STDERR_FILENO) != 0;
    progress->is_silent = context->quiet;
    progress->begun_us = g_get_monotonic_time();
    progress->shown_us = progress->is_terminal ? 0 : progress->begun_us;
    return progress;
}

static size_t terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

void cli_progress_update(CliProgress *progress, uint64_t done, uint64_t total)
{
    int64_t now = g_get_monotonic_time();
    if (!progress->has_first) {
        progress->first = done;
        progress->has_first = true;
        progress->begun_us = now;
    }
    if (progress->is_silent || (now - progress->shown_us < (progress->is_terminal ? DRAW_US : LINE_US) && done < total)) return;
    if (!progress->is_terminal && now - progress->shown_us < LINE_US) return;
    progress->shown_us = now;
    double seconds = (double)(now - progress->begun_us) / 1e6, rate = seconds > 0 ? (double)(done - MIN(done, progress->first)) / seconds : 0;
    bool is_bytes = strcmp(progress->unit, "bytes") == 0;
    g_autofree char *amount = is_bytes ? app_format_bytes(done) : app_format_count(done);
    g_autofree char *of = is_bytes ? app_format_bytes(total) : app_format_count(total);
    g_autoptr(GString) line = g_string_new(NULL);
    g_string_append_printf(line, _("%s  %s of %s"), progress->label, amount, of);
    if (!is_bytes) g_string_append_printf(line, " %s", g_dpgettext2(NULL, "progress", progress->unit));
    if (now - progress->begun_us > RATE_US && rate > 0) {
        g_autofree char *speed = is_bytes    ? app_format_bytes((uint64_t)rate)
                                 : rate < 10 ? g_strdup_printf("%.1f", rate) /* pages that are recognised */
                                             : app_format_count((uint64_t)rate);
        g_autofree char *left = app_format_duration((double)(total - MIN(done, total)) / rate);
        g_string_append_printf(line, _("  %s/s  %s left"), speed, left);
    }
    if (progress->is_terminal) {
        g_autofree char *fitted = cli_fit(line->str, MIN(terminal_columns() - 1, cli_width(line->str)));
        fprintf(stderr, "\r%s\033[K", fitted);
        progress->drawn = true;
    } else {
        fprintf(stderr, "%s\n", line->str);
    }
    fflush(stderr);
}

void cli_progress_finish(CliProgress *progress)
{
    if (progress == NULL) return;
    if (progress->drawn) fprintf(stderr, "\r\033[K");
    fflush(stderr);
    g_free(progress->label);
    g_free(progress->unit);
    g_free(progress);
}

/* ----------------------------------------------------------------------------------------------------------------- text */

void cli_tell_gpu(AppEngine *engine)
{
    g_autofree char *note = engine != NULL ? app_engine_get_gpu_note(engine) : NULL;
    if (note != NULL) fprintf(stderr, "lectern: %s\n", note);
}

char *cli_safe_text(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text != NULL ? text : "", -1);
    GString *safe = g_string_new(NULL);
    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        /* Controls drive terminals; bidirectional overrides make text read as something else. */
        bool harmful = (g_unichar_iscntrl(c) && c != '\n') || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
        g_string_append_unichar(safe, harmful ? ' ' : c);
    }
    return g_string_free(safe, FALSE);
}

size_t cli_width(const char *text)
{
    size_t n = 0;
    for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        n += g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
    }
    return n;
}

char *cli_fit(const char *text, size_t n_columns)
{
    size_t width = cli_width(text), n = 0;
    GString *fitted = g_string_new(NULL);
    for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        size_t step = g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
        if (width > n_columns && n + step + 1 > n_columns) {
            if (n < n_columns) g_string_append(fitted, "…");
            n++;
            break;
        }
        g_string_append_unichar(fitted, c);
        n += step;
    }
    for (; n < n_columns; n++) g_string_append_c(fitted, ' ');
    return g_string_free(fitted, FALSE);
}

/* -------------------------------------------------------------------------------------------------------------- options */

bool cli_wants_help(int argc, char **argv, const char *text)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) continue;
        printf("%s\n%s", gettext(text), cli_common_options());
        return true;
    }
    return false;
}

bool cli_parse_options(const char *command, const GOptionEntry *entries, int *argc, char ***argv)
{
    g_autoptr(GOptionContext) parser = g_option_context_new(NULL);
    g_option_context_set_help_enabled(parser, FALSE);
    g_option_context_add_main_entries(parser, entries, NULL);
    GError *error = NULL;
    if (g_option_context_parse(parser, argc, argv, &error)) {
        if (*argc > 1 && strcmp((*argv)[1], "--") == 0) { /* GLib leaves it when an argument behind it begins with "-" */
            memmove(*argv + 1, *argv + 2, (size_t)(*argc - 1) * sizeof **argv);
            --*argc;
        }
        return true;
    }
    cli_usage(command, "%s", error->message);
    g_clear_error(&error);
    return false;
}

AppLibrary *cli_open_library(const CliContext *context)
{
    GError *error = NULL;
    AppLibrary *library = app_library_open(context->data_folder, &error);
    if (library == NULL) cli_fail_error(error);
    return library;
}

char *cli_plain_snippet(const char *snippet)
{
    return app_format_snippet(snippet, "", "", false);
}

char *cli_styled_snippet(const char *snippet, bool bold)
{
    /* Marks are replaced after what could drive the terminal is out. */
    g_autofree char *marked = app_format_snippet(snippet, "\n<", "\n>", false);
    g_autofree char *safe = cli_safe_text(marked);
    g_auto(GStrv) parts = g_strsplit(safe, "\n<", -1);
    g_autofree char *opened = g_strjoinv(bold ? "\033[1m" : "", parts);
    g_auto(GStrv) closed = g_strsplit(opened, "\n>", -1);
    return g_strjoinv(bold ? "\033[0m" : "", closed);
}

/* ----------------------------------------------------------------------------------------------------------------- JSON */

void cli_print_json(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (text != NULL) puts(text);
    free(text);
    json_decref(object);
}

json_t *cli_document_json(const AppDocument *document)
{
    json_t *metadata = json_loads(document->metadata, 0, NULL);
    g_autofree char *note = app_format_note(document->note);
    json_t *object = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "number", (json_int_t)document->id, "uid",
                               document->uid, "title", document->title, "author", document->author, "source", document->source,
                               "source_sha256", document->source_hash, "format", document->format, "language", document->language, "state",
                               app_document_state_text(document->state), "note", note, "metadata",
                               metadata != NULL ? metadata : json_object());
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"source_bytes", document->n_source_bytes}, {"bytes", document->n_bytes},       {"characters", document->n_chars},
        {"pages", document->n_pages},               {"sections", document->n_sections}, {"sections_read", document->n_sections_read},
        {"tokens", document->n_tokens},             {"tokens_read", document->n_tokens_read},
        {"added", (uint64_t)document->added_s},     {"updated", (uint64_t)document->updated_s},
    };
    for (size_t i = 0; object != NULL && i < G_N_ELEMENTS(numbers); i++) {
        json_object_set_new(object, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    }
    if (object != NULL) json_object_set_new(object, "model", json_string(document->model));
    return object;
}
