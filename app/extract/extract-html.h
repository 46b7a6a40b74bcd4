/* extract-html.h: HTML and XHTML as blocks: pages of the web, filings in inline XBRL, the parts of an EPUB.
 *
 * Owns: which elements are blocks, what is not shown, tables from <td>, places in the source.
 * Does not own: containers (extract-epub.c), encodings (extract-text.h), a table's form (extract-table.h).
 */
#ifndef EXTRACT_HTML_H
#define EXTRACT_HTML_H

#include "extract-writer.h"

/* A place that a table of contents names. */
typedef struct ExHtmlMark {
    char *title;
    unsigned depth; /* from 0 */
} ExHtmlMark;

typedef struct ExHtmlOptions {
    GHashTable *marks;      /* id of an element, or "" for the start -> ExHtmlMark*; NULL: none */
    unsigned heading_base;  /* added to the level of <h1> ... that no mark names */
    GPtrArray *front;       /* NULL, or gets the first lines (char*) for extract-filing.h */
    bool has_style_headings; /* bold lines are headings (documents without <h1>) */
} ExHtmlOptions;

/* text: UTF-8. Returns the <title>, or NULL; free with g_free. False in *ret_is_whole: elements nest deeper than is read. */
char *ex_html_write(const char *text, size_t n_bytes, const ExHtmlOptions *options, ExWriter *writer, bool *ret_is_whole);

/* Letters and digits in lower case: titles are compared so. Free with g_free. */
char *ex_html_title_key(const char *text);

#endif
