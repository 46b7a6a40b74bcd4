/* extract-flow.c: paragraphs and tables as they come. */
#include "extract-flow.h"

#include <glib/gi18n.h>
#include <string.h>

enum { ROW_CELLS_MAX = 2000 };

static void span_free(gpointer data)
{
    ex_span_free(data);
}

void ex_flow_init(ExFlow *flow, ExWriter *writer)
{
    *flow = (ExFlow){.writer = writer, .paragraph = ex_span_new(), .notes = g_ptr_array_new_with_free_func(span_free)};
}

void ex_flow_clear(ExFlow *flow)
{
    ex_span_free(flow->paragraph);
    ex_span_free(flow->cell);
    ex_table_free(flow->table);
    g_ptr_array_unref(flow->notes);
}

void ex_flow_text(ExFlow *flow, const char *text, size_t n_bytes)
{
    const ExRun made = {.kind = EX_RUN_MADE};
    if (flow->table && !flow->cell) return; /* between cells there is only white space */
    ex_span_add(flow->cell ? flow->cell : flow->paragraph, text, n_bytes, &made);
}

static void write_notes(ExFlow *flow)
{
    for (guint i = 0; i < flow->notes->len; i++) {
        ex_writer_block(flow->writer, EX_BLOCK_FOOTNOTE, 0, 0, g_ptr_array_index(flow->notes, i));
    }
    g_ptr_array_set_size(flow->notes, 0);
}

void ex_flow_end_paragraph(ExFlow *flow)
{
    if (flow->table) {
        if (flow->cell && flow->cell->text->len) ex_span_add_made(flow->cell, " ");
        flow->rank = 0;
        flow->is_list_item = false;
        return;
    }
    if (flow->rank) g_strdelimit(flow->paragraph->text->str, "\n\t", ' ');
    ExBlockKind kind = flow->rank ? EX_BLOCK_HEADING : flow->is_list_item ? EX_BLOCK_LIST_ITEM : EX_BLOCK_PARAGRAPH;
    ex_writer_block(flow->writer, kind, flow->rank, flow->rank == 1 ? EX_FLAG_CHAPTER : 0, flow->paragraph);
    ex_span_clear(flow->paragraph);
    flow->rank = 0;
    flow->is_list_item = false;
    write_notes(flow);
}

void ex_flow_begin_table(ExFlow *flow)
{
    if (flow->depth++ > 0) return;
    ex_flow_end_paragraph(flow);
    flow->table = ex_table_new();
}

void ex_flow_begin_row(ExFlow *flow)
{
    if (flow->depth != 1 || !flow->table) return;
    ex_flow_end_row(flow);
    flow->row = ex_table_add_row(flow->table);
    flow->column = 0;
}

void ex_flow_begin_cell(ExFlow *flow, unsigned n_span)
{
    if (flow->depth != 1 || !flow->table || flow->column > ROW_CELLS_MAX) return;
    if (!flow->row) ex_flow_begin_row(flow);
    ex_flow_end_cell(flow);
    flow->cell = ex_span_new();
    flow->n_span = CLAMP(n_span, 1, 1000);
}

void ex_flow_end_cell(ExFlow *flow)
{
    if (flow->depth != 1 || !flow->cell) return;
    ExSpan *cell = g_steal_pointer(&flow->cell);
    g_strdelimit(cell->text->str, "\n\t", ' ');
    ex_row_add_cell(flow->row, (float)flow->column + 0.05F, (float)(flow->column + flow->n_span) - 0.05F, cell);
    flow->column += flow->n_span;
}

void ex_flow_end_row(ExFlow *flow)
{
    if (flow->depth != 1) return;
    ex_flow_end_cell(flow);
    flow->row = NULL;
}

void ex_flow_end_table(ExFlow *flow)
{
    if (flow->depth == 0 || --flow->depth > 0) return;
    flow->depth = 1;
    ex_flow_end_row(flow);
    flow->depth = 0;
    ex_table_write(flow->table, flow->writer, NULL, false);
    g_clear_pointer(&flow->table, ex_table_free);
    write_notes(flow);
}

void ex_flow_add_note(ExFlow *flow, const char *text)
{
    ExSpan *note = ex_span_new();
    ex_span_add_made(note, text);
    g_ptr_array_add(flow->notes, note);
}

void ex_flow_finish(ExFlow *flow)
{
    while (flow->depth) ex_flow_end_table(flow);
    ex_flow_end_paragraph(flow);
    if (ex_writer_is_full(flow->writer)) ex_writer_finish(flow->writer, EX_LIMIT_OUTPUT, N_("it holds more text than is allowed"));
    else if (ex_writer_text_bytes(flow->writer) == 0) ex_writer_finish(flow->writer, EX_NO_TEXT, N_("there is no text in it"));
    else ex_writer_finish(flow->writer, EX_OK, "%s", "");
}
