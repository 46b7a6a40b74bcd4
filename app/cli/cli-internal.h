/* cli-internal.h: helpers shared by commands that look things up in the library and print them; cli.h is what all commands share.
 *
 * Owns: opening the library, options of one command, JSON lines. Does not own: any command.
 */
#ifndef CLI_INTERNAL_H
#define CLI_INTERNAL_H

#include <jansson.h>

#include "app-library.h"
#include "app-models.h"
#include "cli.h"
#include "eng.h"

const char *cli_common_options(void);

/* Fills in from the settings what no option said, and warns of settings that are ignored. False: the file cannot be understood; the
 * message was printed. */
bool cli_apply_settings(CliContext *context);

/* "--help" anywhere before "--": prints `text` (marked, untranslated) and the common options and returns true. */
bool cli_wants_help(int argc, char **argv, const char *text);

/* Options of one command, parsed by GLib, which takes them out of argv. On failure the message was printed: return CLI_USAGE. */
bool cli_parse_options(const char *command, const GOptionEntry *entries, int *argc, char ***argv);

/* The library in context->data_folder; NULL: the message was printed. */
AppLibrary *cli_open_library(const CliContext *context);

/* One JSON object on a line of standard output; takes the reference. */
void cli_print_json(json_t *object);

/* A document as all commands' JSON shows it. */
json_t *cli_document_json(const AppDocument *document);

/* `lectern model download|downloads|catalogue|calibrate|sections`; argv[0] is that word. */
int cli_model_download(CliContext *context, int argc, char **argv);
int cli_model_downloads(CliContext *context, int argc, char **argv);
bool cli_parse_weights(const char *bits, AppModelWeights *ret_weights); /* "8" (also NULL), "4", "as-is" */
int cli_model_calibrate(CliContext *context, int argc, char **argv);
int cli_model_sections(CliContext *context, int argc, char **argv);
int cli_model_catalogue(CliContext *context, int argc, char **argv);

bool cli_confirm(void); /* behind a question on standard error: waits for the answer; anything but yes is no */
int cli_fail_engine(const eng_error *engine_error); /* cli_fail in the reader's language */
/* "CLI_INTERRUPTED if Ctrl-C was pressed, else cli_fail_error". Frees the error. */
int cli_fail_or_interrupted(GError *error);

/* What people should know about the GPU after a command's work, on standard error. engine may be NULL. */
void cli_tell_gpu(AppEngine *engine);

/* Text of a document on a terminal: control characters, which could drive the terminal, become spaces. g_free. */
char *cli_safe_text(const char *text);

/* A hit's snippet in one line: without its marks, or for a terminal with matching words bold. g_free. */
char *cli_plain_snippet(const char *snippet);
char *cli_styled_snippet(const char *snippet, bool bold);

/* Columns that a text takes on a terminal. */
size_t cli_width(const char *text);

/* Pads or shortens with "…" to exactly n columns. g_free. */
char *cli_fit(const char *text, size_t n_columns);

#endif
