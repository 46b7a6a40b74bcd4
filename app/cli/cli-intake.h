/* cli-intake.h: files go into the library on a thread of their own while the caller reads those that are in. */
#ifndef CLI_INTAKE_H
#define CLI_INTAKE_H

#include "app-reader.h"
#include "cli.h"

typedef struct CliIntake CliIntake;
typedef struct CliTaken {
    char *path;
    int64_t document; /* -1: it failed */
    AppAdded added;
    GError *error;
} CliTaken;
void cli_taken_clear(CliTaken *taken);

/* options and paths (NULL-terminated) must live as long; options' progress is not used. */
CliIntake *cli_intake_new(const CliContext *context, AppLibrary *library, const AppAddOptions *options, char **paths);
/* The next one, with progress on the terminal while there is none yet; on a terminal, encrypted files ask for their password here.
 * False: there are no more. */
bool cli_intake_next(CliIntake *intake, CliTaken *ret_taken);
/* Waits for the thread (which the cancel flag stops); how many files were left out. */
uint32_t cli_intake_free(CliIntake *intake);

/* The first line of a file, or "-" for standard input. False: the message was printed. */
bool cli_read_password_file(const char *path, char **ret_password);

#endif
