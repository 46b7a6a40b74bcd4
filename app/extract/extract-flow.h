/* extract-flow.h: paragraphs and tables of word processors' files, as they are read one after another.
 *
 * Owns: the paragraph and the table that are open; footnotes that wait for the end of theirs.
 * Does not own: formats (extract-office.c, extract-rtf.c), a table's form (extract-table.c).
 */
#ifndef EXTRACT_FLOW_H
#define EXTRACT_FLOW_H

#include "extract-table.h"

typedef struct ExFlow {
    ExWriter *writer; /* borrowed */
    ExSpan *paragraph;
    ExTable *table;   /* NULL outside tables */
    ExRow *row;
    ExSpan *cell;
    unsigned column, n_span, depth; /* depth: of tables; inner ones are text of the outer's cell */
    GPtrArray *notes; /* ExSpan* */
    unsigned rank;    /* heading level of the paragraph, 0 none */
    bool is_list_item;
} ExFlow;

void ex_flow_init(ExFlow *flow, ExWriter *writer);
void ex_flow_clear(ExFlow *flow);
void ex_flow_text(ExFlow *flow, const char *text, size_t n_bytes);
void ex_flow_end_paragraph(ExFlow *flow); /* writes it, and its notes */
void ex_flow_begin_table(ExFlow *flow);
void ex_flow_begin_row(ExFlow *flow);
void ex_flow_begin_cell(ExFlow *flow, unsigned n_span);
void ex_flow_end_cell(ExFlow *flow);
void ex_flow_end_row(ExFlow *flow);
void ex_flow_end_table(ExFlow *flow);
void ex_flow_add_note(ExFlow *flow, const char *text);
/* Writes what is open and finishes the stream: text, none, or too much. */
void ex_flow_finish(ExFlow *flow);

#endif
