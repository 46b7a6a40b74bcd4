/* extract-layout.h: lines of PDF pages become paragraphs, headings, tables, lists, footnotes.
 *
 * Owns: what a line is; paragraphs over lines and pages; hyphens at line ends; where a table begins and ends on a page.
 * Does not own: lines and columns (extract-page.h), a table's columns and heads (extract-table.h), which styles are headings
 *               (extract-headings.h).
 */
#ifndef EXTRACT_LAYOUT_H
#define EXTRACT_LAYOUT_H

#include "extract-headings.h"
#include "extract-page.h"
#include "extract-table.h"

typedef struct ExLayout {
    ExWriter *writer;               /* borrowed */
    const ExHeadings *headings;     /* borrowed */
    GHashTable *words;              /* lower-case words of the document (keys), for hyphens; borrowed */
    ExTableCarry carry;             /* of the last block, when it was a table */
    bool last_is_table;
    ExSpan *open;                   /* a paragraph that may go on in the next flow or on the next page, or NULL */
    ExBlockKind open_kind;
} ExLayout;

/* Writes a page's blocks; its last paragraph stays open until the next page or ex_layout_finish. */
void ex_layout_page(ExLayout *layout, const ExPage *page);
void ex_layout_finish(ExLayout *layout); /* writes what is open, frees what the layout holds */

#endif
