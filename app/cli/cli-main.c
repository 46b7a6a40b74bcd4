/* cli-main.c: `lectern`: the table of commands, common options, help.
 *
 * Owns: what every command shares before it starts. Does not own: commands (cli-*.c).
 */
#include <glib.h>
#include <glib/gi18n.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app-config.h"
#include "app-locale.h"
#include "app-paths.h"
#include "cli-internal.h"
#include "cli.h"

static const CliCommand commands[] = {
    {"read", N_("take files into the library and read them with a model"), cli_read},
    {"watch", N_("take in and read what comes into folders"), cli_watch},
    {"ask", N_("answer a question from what was read"), cli_ask},
    {"search", N_("find words in every document, without a model"), cli_search},
    {"library", N_("list, show and rename documents"), cli_library},
    {"collection", N_("keep documents together under a name"), cli_collection},
    {"conversation", N_("list, show, search, export and remove conversations"), cli_conversation},
    {"remove", N_("remove documents and everything kept of them"), cli_remove},
    {"cache", N_("look after the saved states: list, check, repair, limit"), cli_cache},
    {"model", N_("list, import, show, pack and remove models"), cli_model},
    {"settings", N_("show and change what is kept between runs"), cli_settings},
    {"doctor", N_("check everything, and say what to do about what is wrong"), cli_doctor},
    {"bench", N_("measure this machine"), cli_bench},
};

static const char *const common_options =
    N_("Options of every command:\n"
       "  --data FOLDER    where the library is (default: $LECTERN_DATA, else ~/.local/share/lectern)\n"
       "  --model NAME     a model's name or path (see `lectern model list`)\n"
       "  --threads N      threads to compute with (default: all processors)\n"
       "  --gpu, --no-gpu  use the GPU, or say why it cannot be used; never use it (default: for long work, if any)\n"
       "  --json           results as JSON, one object a line\n"
       "  --quiet          no progress\n"
       "  --help           what a command does\n"
       "  --version        the version\n");

const char *cli_common_options(void)
{
    return gettext(common_options);
}

static int show_help(FILE *to)
{
    fputs(_("Usage: lectern COMMAND [OPTION…] [ARGUMENT…]\n"
            "Reads whole books and reports once with a local model, and answers questions from them with quotations.\n\n"
            "Commands:\n"), to);
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) fprintf(to, "  %-12s %s\n", commands[i].name, gettext(commands[i].summary));
    fprintf(to, _("\n%s\n`lectern COMMAND --help` says more. The manual: man lectern.\n"), cli_common_options());
    return to == stdout ? CLI_OK : CLI_USAGE;
}

/* The value of an option at argv[*at]: behind "=", or the next argument, in which case *at moves. NULL: it has none. */
static const char *option_value(const char *name, int argc, char **argv, int *at)
{
    size_t n = strlen(name);
    if (argv[*at][n] == '=') return argv[*at] + n + 1;
    return *at + 1 < argc ? argv[++*at] : NULL;
}

static bool is_option(const char *argument, const char *name)
{
    size_t n = strlen(name);
    return strncmp(argument, name, n) == 0 && (argument[n] == '\0' || argument[n] == '=');
}

/* Takes the common options out of argv; what is left is the command's. 0, or an exit code. */
static int take_common(CliContext *context, int *argc, char **argv)
{
    int kept = 0;
    bool literal = false; /* behind "--" */
    for (int i = 0; i < *argc; i++) {
        const char *argument = argv[i], *value = NULL;
        literal = literal || strcmp(argument, "--") == 0;
        if (literal || kept == 0) {
            argv[kept++] = argv[i];
        } else if (strcmp(argument, "--quiet") == 0 || strcmp(argument, "-q") == 0) {
            context->quiet = true;
        } else if (strcmp(argument, "--json") == 0) {
            context->json = true;
        } else if (strcmp(argument, "--gpu") == 0 || strcmp(argument, "--no-gpu") == 0) {
            context->gpu = argument[2] == 'g' ? APP_GPU_WANTED : APP_GPU_NEVER;
        } else if (is_option(argument, "--data") || is_option(argument, "--model") || is_option(argument, "--threads")) {
            const char *name = is_option(argument, "--data") ? "--data" : is_option(argument, "--model") ? "--model" : "--threads";
            value = option_value(name, *argc, argv, &i);
            if (value == NULL || value[0] == '\0') return cli_usage(argv[0], _("%s needs a value"), name);
            if (strcmp(name, "--threads") == 0) {
                char *end = NULL;
                guint64 n = g_ascii_strtoull(value, &end, 10);
                if (*end != '\0' || n < 1 || n > 256) return cli_usage(argv[0], _("--threads needs a number from 1 to 256, not “%s”"), value);
                context->n_threads = (unsigned)n;
            } else {
                char **to = strcmp(name, "--data") == 0 ? &context->data_folder : &context->model;
                g_free(*to);
                *to = g_strdup(value);
            }
        } else {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    *argc = kept;
    return CLI_OK;
}

static const CliCommand *find_command(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    }
    return NULL;
}

/* Options may stand before the command's name: it is brought to the front. */
static void command_first(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool has_value = strcmp(argv[i], "--data") == 0 || strcmp(argv[i], "--model") == 0 || strcmp(argv[i], "--threads") == 0;
        if (has_value) {
            i++;
        } else if (argv[i][0] != '-') {
            char *name = argv[i];
            memmove(argv + 2, argv + 1, (size_t)(i - 1) * sizeof *argv);
            argv[1] = name;
            return;
        }
    }
}

/* What other programs read does not depend on the language: known before anything is said. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    app_locale_init(!wants_json(argc, argv));
    umask(077); /* everything we make is private */
    g_set_prgname("lectern");
    if (argc < 2) return show_help(stderr);
    command_first(argc, argv);
    if (strcmp(argv[1], "--version") == 0) return printf("Lectern %s\n", LECTERN_VERSION) > 0 ? CLI_OK : CLI_FAILED;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return show_help(stdout);
    if (strcmp(argv[1], "help") == 0 && argc == 2) return show_help(stdout);
    const CliCommand *command = find_command(argv[1]);
    if (command == NULL) {
        fprintf(stderr, _("lectern: there is no command “%s”; `lectern --help` shows them\n"), argv[1]);
        return CLI_USAGE;
    }
    CliContext context = {0};
    int n_left = argc - 1;
    char **left = argv + 1;
    int code = take_common(&context, &n_left, left);
    if (code == CLI_OK) {
        if (context.data_folder != NULL) app_paths_set_data(context.data_folder);
        g_free(context.data_folder);
        context.data_folder = g_strdup(app_paths_data());
        /* A broken settings file keeps nothing from being used but itself: `settings` and `doctor` say more of it. */
        if (command->run != cli_settings && command->run != cli_doctor) cli_apply_settings(&context);
        code = command->run(&context, n_left, left);
    }
    g_free(context.data_folder);
    g_free(context.model);
    if (fflush(stdout) != 0 && code == CLI_OK) code = CLI_FAILED;
    return code;
}
