/* extract-table.h: rows of cells with places become lines `row label | value | value`.
 *
 * Owns: which cells form a column, which rows are column heads, what belongs to one number ("$" and its figure), wrapped labels.
 * Does not own: where cells come from: boxes of a page (extract-layout.c), <td> (extract-html.c), w:tc (extract-office.c).
 *
 * Cells are placed by [x0, x1): points of a page or numbers of grid columns; only their order and overlap count.
 */
#ifndef EXTRACT_TABLE_H
#define EXTRACT_TABLE_H

#include "extract-writer.h"

typedef struct ExCell {
    float x0, x1;
    float mark_x0; /* left end with a currency mark that may stand far from its figure */
    ExSpan *span;
} ExCell;

typedef struct ExRow {
    GPtrArray *cells; /* ExCell*, left to right */
    float y0, y1;     /* 0 where unknown */
    bool is_head;     /* the document says so (<thead>, <th>) */
} ExRow;

typedef struct ExTable {
    GPtrArray *rows; /* ExRow* */
} ExTable;

ExTable *ex_table_new(void);
void ex_table_free(ExTable *table);
ExRow *ex_table_add_row(ExTable *table);
/* Takes the span. */
void ex_row_add_cell(ExRow *row, float x0, float x1, ExSpan *span);

/* What a table on the next page may continue: its column heads and number of columns. */
typedef struct ExTableCarry {
    GPtrArray *heads; /* ExSpan*: lines; NULL when there is nothing to go on from */
    guint n_columns;
    float x0, x1; /* extent of its value columns */
} ExTableCarry;
void ex_table_carry_clear(ExTableCarry *carry);

/* Writes the table. carry: NULL, or what the last table left; filled with this table's. A table that goes on repeats the heads. */
void ex_table_write(ExTable *table, ExWriter *writer, ExTableCarry *carry, bool may_continue);

/* For layout: whether text is a figure ("$1,234", "(88)", "12.6%", "—"), or a year. */
bool ex_text_is_figure(const char *text);
bool ex_text_is_year(const char *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ExTable, ex_table_free)

#endif
