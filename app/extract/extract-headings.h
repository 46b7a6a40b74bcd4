/* extract-headings.h: which lines of a PDF are headings, and of what rank.
 *
 * Owns: styles by size and weight, the document's outline, the numbered parts of filings ("Part II", "Item 8."), chapters of books.
 * Does not own: lines (extract-page.h), what stands in a table (extract-layout.h decides that first).
 */
#ifndef EXTRACT_HEADINGS_H
#define EXTRACT_HEADINGS_H

#include "extract-page.h"

typedef struct ExHeadings ExHeadings;

ExHeadings *ex_headings_new(void);
void ex_headings_free(ExHeadings *headings); /* NULL is fine */

/* First pass: every line of every page, then the outline (page: index, depth from 0), then ready. */
void ex_headings_count(ExHeadings *headings, const ExLine *line, const char *text);
void ex_headings_outline(ExHeadings *headings, uint32_t page, unsigned depth, const char *title);
/* company: NULL or a name that stands above statements and is no heading; is_filing: parts and items order the document. */
void ex_headings_ready(ExHeadings *headings, const char *company, bool is_filing);

float ex_headings_body_size(const ExHeadings *headings);
/* 0: no heading; else its rank, 1 topmost. */
unsigned ex_headings_rank(const ExHeadings *headings, uint32_t page, const ExLine *line, const char *text, bool *ret_is_chapter);
/* "Part II", "Item 8. …", "Note 3 – …", "Chapter 1", whatever the style. */
bool ex_headings_is_numbered(const char *text);

#endif
