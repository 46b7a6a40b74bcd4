/* app-headings.h: which lines of a plain text are headings, and of what rank.
 *
 * Owns: the rules for one block of lines between blank lines. Pure functions of the lines and a small state.
 * Does not own: splitting text into blocks (app-text.c), Markdown.
 */
#ifndef APP_HEADINGS_H
#define APP_HEADINGS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { APP_HEADING_LINES_MAX = 4 }; /* no heading has more */

/* What has been seen of the document so far: numbered lines count as headings only in sequence. */
typedef struct AppHeadingState {
    bool has_keyword;          /* a line like "CHAPTER I" occurred */
    uint32_t top_rank;         /* smallest rank of those, 0 none */
    uint32_t last_number[8];   /* by depth of "2.1.3" */
    uint32_t last_alone;       /* of lines that are a number alone */
    bool after_keyword;        /* the block before was a keyword and its number alone */
} AppHeadingState;

typedef struct AppHeadingGuess {
    bool is_heading;
    bool is_title_of_last; /* belongs to the heading before it: "CHAPTER I" and then "THE PERIOD" */
    bool is_chapter;
    uint32_t rank;
} AppHeadingGuess;

/* lines: the block's, without newlines, NUL-terminated. */
AppHeadingGuess app_heading_guess(AppHeadingState *state, const char *const *lines, size_t n_lines);

#endif
