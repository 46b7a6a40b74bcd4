/* cli.h: what the commands of the command line share.
 *
 * Owns: the table of commands, exit codes, where data lives, terminal progress, Ctrl-C, errors as people read them.
 * Does not own: what a command does (cli-*.c), the work itself (app/).
 */
#ifndef CLI_H
#define CLI_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "app-engine.h"
#include "app-format.h"

enum {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_INTERRUPTED = 130, /* 128 + SIGINT, as shells expect */
};

/* What every command gets, parsed from the options before or after its name: --data, --model, --threads, --gpu, --no-gpu, --quiet,
 * --json. */
typedef struct CliContext {
    char *data_folder;  /* --data, else LECTERN_DATA, else XDG_DATA_HOME/lectern */
    char *model;        /* --model: a name that `lectern model list` shows or a path; NULL: the default */
    unsigned n_threads; /* --threads; 0: all */
    AppGpu gpu;         /* --gpu, --no-gpu; else where there is one and work is long */
    bool quiet;
    bool json;
} CliContext;

typedef struct CliCommand {
    const char *name;
    const char *summary;                             /* one line for `lectern --help` */
    int (*run)(CliContext *context, int argc, char **argv); /* argv[0] is the command's name; common options are removed */
} CliCommand;

int cli_bench(CliContext *context, int argc, char **argv);
int cli_read(CliContext *context, int argc, char **argv);
int cli_ask(CliContext *context, int argc, char **argv);
int cli_search(CliContext *context, int argc, char **argv);
int cli_library(CliContext *context, int argc, char **argv);
int cli_collection(CliContext *context, int argc, char **argv);
int cli_watch(CliContext *context, int argc, char **argv);
int cli_conversation(CliContext *context, int argc, char **argv);
int cli_remove(CliContext *context, int argc, char **argv);
int cli_cache(CliContext *context, int argc, char **argv);
int cli_model(CliContext *context, int argc, char **argv);
int cli_doctor(CliContext *context, int argc, char **argv);
int cli_settings(CliContext *context, int argc, char **argv);

/* "lectern: <message>" on standard error; returns CLI_FAILED. */
int cli_fail(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* "lectern COMMAND: <message>" and how to get help; returns CLI_USAGE. */
int cli_usage(const char *command, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* cli_fail with a GError, which is freed. */
int cli_fail_error(GError *error);

/* The flag that Ctrl-C sets (the first time; a second one ends the process): hand it to whatever can be cancelled. */
const bool *cli_cancel_flag(void);
bool cli_interrupted(void);

/* One line of progress on a terminal's standard error, redrawn in place: "label  amount of total unit  rate/s  time left". label: translated; unit:
 * "bytes", or marked under "progress".
 * On something other than a terminal: nothing, or a line every ten seconds when not quiet. */
typedef struct CliProgress CliProgress;
CliProgress *cli_progress_new(const CliContext *context, const char *label, const char *unit);
void cli_progress_update(CliProgress *progress, uint64_t done, uint64_t total);
void cli_progress_finish(CliProgress *progress); /* clears the line and frees */

#endif
