/* cli-ask.h: what the files of `lectern ask` share: how answers are printed. */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <stdio.h>

#include "app-ask.h"
#include "cli.h"

/* Prints one answer while it comes: hand cli_ask_print_event to app_asker_ask with this as user. */
typedef struct CliAskPrinter {
    FILE *out;
    bool styled;       /* a terminal: bold and dim */
    bool quiet;        /* the answer and its source alone */
    bool shows_thinking;
    bool in_thought;   /* the last character printed belongs to it */
    bool in_quotation; /* the last character printed belongs to the quotation */
    bool any;          /* something of the reply is printed */
    bool at_line_start;
} CliAskPrinter;
void cli_ask_print_event(void *user, const AppAskEvent *event);
/* Only what leaves this machine, on standard error: for --json. */
void cli_ask_print_notice(void *user, const AppAskEvent *event);
/* After a failure or Ctrl-C in the middle of a line. */
void cli_ask_print_break(CliAskPrinter *printer);

/* Where evidence stands, as people read it: "Title › Chapter, page 12, characters 1,204–1,250". Free with g_free. */
char *cli_ask_format_source(const AppEvidence *evidence);

/* The answers of many documents to one question (AppAskRow), aligned to the width. */
void cli_ask_print_table(FILE *out, const GPtrArray *rows, unsigned width);

#endif
