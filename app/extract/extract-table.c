/* extract-table.c: rows of cells become lines.
 *
 * Owns: columns, heads, glueing, wrapped labels; the line's form.
 */
#include "extract-table.h"

#include <math.h>
#include <string.h>

typedef struct Column {
    float x0, x1; /* of figures */
    float wide0;  /* with their currency marks: heads are centred over these */
} Column;

static void cell_free(gpointer data)
{
    ExCell *cell = data;
    ex_span_free(cell->span);
    g_free(cell);
}

static void row_free(gpointer data)
{
    ExRow *row = data;
    g_ptr_array_unref(row->cells);
    g_free(row);
}

ExTable *ex_table_new(void)
{
    ExTable *table = g_new0(ExTable, 1);
    table->rows = g_ptr_array_new_with_free_func(row_free);
    return table;
}

void ex_table_free(ExTable *table)
{
    if (!table) return;
    g_ptr_array_unref(table->rows);
    g_free(table);
}

ExRow *ex_table_add_row(ExTable *table)
{
    ExRow *row = g_new0(ExRow, 1);
    row->cells = g_ptr_array_new_with_free_func(cell_free);
    g_ptr_array_add(table->rows, row);
    return row;
}

void ex_row_add_cell(ExRow *row, float x0, float x1, ExSpan *span)
{
    ex_span_trim(span);
    if (ex_span_is_empty(span)) {
        ex_span_free(span);
        return;
    }
    ExCell *cell = g_new0(ExCell, 1);
    cell->x0 = cell->mark_x0 = x0;
    cell->x1 = x1;
    cell->span = span;
    g_ptr_array_add(row->cells, cell);
}

void ex_table_carry_clear(ExTableCarry *carry)
{
    g_clear_pointer(&carry->heads, g_ptr_array_unref);
    carry->n_columns = 0;
}

/* ------------------------------------------------------------------------------------------------------ kinds of text */

bool ex_text_is_figure(const char *text)
{
    static const char *const words[] = {"n/a", "N/A", "NM", "nm", "N.M.", "*", "**", "NA", NULL};
    if (g_strv_contains(words, text)) return true;
    bool has_digit = false, has_dash = false;
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (g_unichar_isdigit(c)) has_digit = true;
        else if (c == '-' || c == 0x2013 || c == 0x2014 || c == 0x2212) has_dash = true;
        else if (!(c < 0x80 && strchr(" $(),.%+/*x:", (int)c)) && c != 0x20AC && c != 0xA3 && c != 0xA5 && c != 0xA0) return false;
    }
    return has_digit || has_dash;
}

bool ex_text_is_year(const char *text)
{
    if (strlen(text) < 4 || (memcmp(text, "19", 2) != 0 && memcmp(text, "20", 2) != 0)) return false;
    if (!g_ascii_isdigit(text[2]) || !g_ascii_isdigit(text[3])) return false;
    /* A footnote's mark may follow. */
    return text[4] == 0 || text[4] == '(' || strncmp(text + 4, " (", 2) == 0 || strcmp(text + 4, "*") == 0;
}

static bool is_currency(const char *text)
{
    static const char *const marks[] = {"$", "€", "£", "¥", "US$", "C$", "$(", "(", "+", "-$", NULL};
    return g_strv_contains(marks, text);
}

static bool is_suffix(const char *text)
{
    static const char *const marks[] = {")", "%", ")%", "%)", ") %", "% )", "x", "pts", "bps", "pp", NULL};
    return g_strv_contains(marks, text);
}

static bool starts_lower(const char *text)
{
    gunichar c = g_utf8_get_char(text);
    if (c == '(') c = g_utf8_get_char(text + 1);
    return g_unichar_islower(c);
}

/* ------------------------------------------------------------------------------------------------------------- glueing */

/* "$ 316,199" -> "$316,199", "12.6 %" -> "12.6%", "(88 )" -> "(88)" inside one cell that is a figure. */
static void tighten_figure(ExSpan *span)
{
    if (!strchr(span->text->str, ' ') || !ex_text_is_figure(span->text->str)) return;
    g_autoptr(ExSpan) tight = ex_span_new();
    size_t at = 0;
    const char *text = span->text->str;
    for (guint i = 0; i < span->runs->len; i++) {
        const ExRun *run = &g_array_index(span->runs, ExRun, i);
        for (size_t j = at; j < at + run->n_bytes; j++) {
            bool between_figures = j > 0 && g_ascii_isdigit(text[j - 1]) && (g_ascii_isdigit(text[j + 1]) || text[j + 1] == '(');
            if (text[j] == ' ' && !between_figures) continue;
            ExRun place = *run;
            if (place.kind == EX_RUN_SOURCE) place.source += (uint64_t)g_utf8_strlen(text + at, (gssize)(j - at));
            ex_span_add(tight, text + j, 1, &place);
        }
        at += run->n_bytes;
    }
    ex_span_clear(span);
    ex_span_add_span(span, tight);
}

static void glue_row(ExRow *row)
{
    for (guint i = 0; i + 1 < row->cells->len;) {
        ExCell *cell = g_ptr_array_index(row->cells, i), *next = g_ptr_array_index(row->cells, i + 1);
        bool is_joined = false;
        if (is_currency(cell->span->text->str) && ex_text_is_figure(next->span->text->str)) {
            /* The column is where the figure stands: a currency mark may be far to its left. */
            g_autoptr(ExSpan) figure = next->span;
            next->span = ex_span_new();
            next->mark_x0 = cell->mark_x0;
            ex_span_add_span(next->span, cell->span);
            ex_span_add_span(next->span, figure);
            tighten_figure(next->span);
            g_ptr_array_remove_index(row->cells, i);
            is_joined = true;
        } else if (is_suffix(next->span->text->str) && ex_text_is_figure(cell->span->text->str)) {
            ex_span_add_span(cell->span, next->span);
            tighten_figure(cell->span);
            cell->x1 = next->x1;
            g_ptr_array_remove_index(row->cells, i + 1);
            is_joined = true;
        }
        if (!is_joined) i++;
    }
    for (guint i = 0; i < row->cells->len; i++) tighten_figure(((ExCell *)g_ptr_array_index(row->cells, i))->span);
}

/* ------------------------------------------------------------------------------------------------------------- columns */

static ExCell *cell_at(const ExRow *row, guint i)
{
    return g_ptr_array_index(row->cells, i);
}

static const char *cell_text(const ExRow *row, guint i)
{
    return cell_at(row, i)->span->text->str;
}

/* A row that carries figures under its columns: the first cell may be one too (a total without a label, a year as label). */
static bool is_data_row(const ExRow *row)
{
    if (row->is_head) return false;
    for (guint i = 0; i < row->cells->len; i++) {
        bool is_label = i == 0 && row->cells->len > 1;
        if (!is_label && ex_text_is_figure(cell_text(row, i)) && !ex_text_is_year(cell_text(row, i))) return true;
    }
    return false;
}

static int compare_columns(gconstpointer a, gconstpointer b)
{
    float x = ((const Column *)a)->x0, y = ((const Column *)b)->x0;
    return x < y ? -1 : x > y;
}

/* Intervals that overlap become one column. */
static void merge_columns(GArray *columns)
{
    g_array_sort(columns, compare_columns);
    guint n = 0;
    for (guint i = 0; i < columns->len; i++) {
        Column *column = &g_array_index(columns, Column, i);
        Column *last = n ? &g_array_index(columns, Column, n - 1) : NULL;
        if (last && column->x0 < last->x1) {
            last->x1 = MAX(last->x1, column->x1);
            last->wide0 = MIN(last->wide0, column->wide0);
        } else {
            g_array_index(columns, Column, n++) = *column;
        }
    }
    g_array_set_size(columns, n);
    for (guint i = 1; i < n; i++) {
        Column *column = &g_array_index(columns, Column, i);
        column->wide0 = MAX(column->wide0, column[-1].x1);
    }
}

static int column_of(const GArray *columns, const ExCell *cell)
{
    int best = -1;
    float most = 0;
    for (guint i = 0; i < columns->len; i++) {
        const Column *column = &g_array_index(columns, Column, i);
        float overlap = MIN(cell->x1, column->x1) - MAX(cell->x0, column->wide0);
        if (overlap > most) {
            most = overlap;
            best = (int)i;
        }
    }
    return best;
}

/* The columns of values: figures of data rows first, then what else stands to the right of the labels. */
static GArray *find_columns(const ExTable *table)
{
    GArray *columns = g_array_new(FALSE, FALSE, sizeof(Column));
    for (int pass = 0; pass < 2; pass++) {
        guint n_before = columns->len;
        for (guint r = 0; r < table->rows->len; r++) {
            const ExRow *row = g_ptr_array_index(table->rows, r);
            if (!is_data_row(row)) continue;
            for (guint i = row->cells->len > 1 ? 1 : 0; i < row->cells->len; i++) {
                ExCell *cell = cell_at(row, i);
                bool is_figure = ex_text_is_figure(cell->span->text->str);
                bool is_new = pass == 0 ? is_figure : !is_figure && column_of(columns, cell) < 0;
                /* Text left of all figures is part of the label. */
                if (pass == 1 && n_before && cell->x0 < g_array_index(columns, Column, 0).wide0) is_new = false;
                Column column = {cell->x0, cell->x1, cell->mark_x0};
                if (is_new) g_array_append_val(columns, column);
            }
        }
        merge_columns(columns);
        if (columns->len == 0) break;
    }
    return columns;
}

/* A row's cells by column: [0] the label, then one for each value column; NULL where there is none. Cells are borrowed. */
typedef struct Slots {
    GPtrArray *slots; /* ExSpan*, owned; NULL inside */
    bool has_label, has_values, is_spanning;
    guint n_values;    /* filled value columns */
    float centre;      /* of the last value */
} Slots;

static void slots_free(Slots *slots)
{
    if (!slots) return;
    for (guint i = 0; i < slots->slots->len; i++) ex_span_free(g_ptr_array_index(slots->slots, i));
    g_ptr_array_unref(slots->slots);
    g_free(slots);
}

static void put_slot(Slots *slots, guint i, const ExSpan *span, const char *separator)
{
    ExSpan *slot = g_ptr_array_index(slots->slots, i);
    if (!slot) {
        slot = ex_span_new();
        g_ptr_array_index(slots->slots, i) = slot;
    } else {
        ex_span_add_made(slot, separator);
    }
    ex_span_add_span(slot, span);
}

static guint overlapped_columns(const GArray *columns, const ExCell *cell)
{
    guint n = 0;
    for (guint i = 0; i < columns->len; i++) {
        const Column *column = &g_array_index(columns, Column, i);
        n += cell->x0 < column->x1 && column->wide0 < cell->x1;
    }
    return n;
}

static guint nearest_column(const GArray *columns, const ExCell *cell)
{
    guint best = 0;
    float least = INFINITY;
    for (guint i = 0; i < columns->len; i++) {
        const Column *column = &g_array_index(columns, Column, i);
        float distance = fabsf((cell->x0 + cell->x1) - (column->wide0 + column->x1));
        if (distance < least) {
            least = distance;
            best = i;
        }
    }
    return best;
}

/* "(In millions, except per share amounts)": it belongs to the whole table. */
static bool is_unit(const char *text)
{
    static const char *const words[] = {"million", "thousand", "billion", "dollar", "per share", "unaudited", "percent", "euro", NULL};
    if (*text != '(') return false;
    for (int i = 0; words[i]; i++) {
        if (strcasestr(text, words[i])) return true;
    }
    return false;
}

static Slots *slots_new(const ExRow *row, const GArray *columns)
{
    Slots *slots = g_new0(Slots, 1);
    slots->slots = g_ptr_array_new();
    g_ptr_array_set_size(slots->slots, (gint)columns->len + 1);
    float first = columns->len ? g_array_index(columns, Column, 0).wide0 : INFINITY;
    for (guint i = 0; i < row->cells->len; i++) {
        ExCell *cell = cell_at(row, i);
        int column = column_of(columns, cell);
        guint n_overlapped = overlapped_columns(columns, cell);
        bool is_figure = ex_text_is_figure(cell->span->text->str) || ex_text_is_year(cell->span->text->str);
        /* A long label may reach under the first column; a figure or a head stands in it. */
        bool is_label = cell->x1 <= first || (i == 0 && cell->x0 < first && (!is_figure || column < 0) && row->cells->len > 1 &&
                                              n_overlapped <= 1 && cell->x0 + (cell->x1 - cell->x0) / 2 < first);
        if (row->cells->len == 1 && !is_figure && cell->x0 < first && n_overlapped != 1) is_label = n_overlapped == 0 || cell->x0 < first * 0.5F;
        if (is_label) {
            put_slot(slots, 0, cell->span, columns->len ? " " : " | ");
            slots->has_label = true;
            continue;
        }
        slots->has_values = true;
        slots->centre = (cell->x0 + cell->x1) / 2;
        bool is_whole = row->cells->len == 1 && is_unit(cell->span->text->str);
        if (!is_figure && (n_overlapped > 1 || column < 0 || is_whole)) slots->is_spanning = true;
        guint at = column >= 0 ? (guint)column : nearest_column(columns, cell);
        slots->n_values += g_ptr_array_index(slots->slots, at + 1) == NULL;
        put_slot(slots, at + 1, cell->span, " | ");
    }
    return slots;
}

/* --------------------------------------------------------------------------------------------------------------- rows */

static bool ends_with_colon(const ExSpan *span)
{
    return span->text->len && span->text->str[span->text->len - 1] == ':';
}

/* Labels that go on over two lines become one: their figures stand on the first or on the last of them. */
static void join_wrapped_labels(GPtrArray *all, guint first)
{
    for (guint i = first; i + 1 < all->len;) {
        Slots *upper = g_ptr_array_index(all, i), *lower = g_ptr_array_index(all, i + 1);
        ExSpan *label = g_ptr_array_index(upper->slots, 0), *rest = g_ptr_array_index(lower->slots, 0);
        bool is_wrapped = label && rest && starts_lower(rest->text->str) && !(upper->has_values && lower->has_values) &&
                          !ends_with_colon(label);
        if (!is_wrapped) {
            i++;
            continue;
        }
        put_slot(upper, 0, rest, " ");
        for (guint c = 1; c < lower->slots->len; c++) {
            ExSpan *value = g_ptr_array_index(lower->slots, c);
            if (value) put_slot(upper, c, value, " ");
        }
        upper->has_values |= lower->has_values;
        slots_free(g_ptr_array_remove_index(all, i + 1));
    }
}

static ExSpan *line_of(const Slots *slots)
{
    ExSpan *line = ex_span_new();
    guint n_pending = 0;
    bool is_first = true;
    for (guint i = 0; i < slots->slots->len; i++) {
        const ExSpan *slot = g_ptr_array_index(slots->slots, i);
        if (!slot) {
            n_pending += !is_first && i > 0; /* an empty cell is kept only where a filled one follows */
            continue;
        }
        if (!is_first) {
            for (; n_pending; n_pending--) ex_span_add_made(line, " |");
            ex_span_add_made(line, " | ");
        }
        n_pending = 0;
        ex_span_add_span(line, slot);
        is_first = false;
    }
    return line;
}

typedef struct Output {
    ExWriter *writer;
    GPtrArray *heads; /* ExSpan*: the head lines written last */
    bool is_begun;
} Output;

static void write_line(Output *output, ExBlockKind kind, ExSpan *line)
{
    if (ex_span_is_empty(line)) return;
    ex_writer_block(output->writer, kind, 0, output->is_begun ? 0 : EX_FLAG_TABLE_BEGIN, line);
    output->is_begun = true;
}

static void write_head(Output *output, Slots *slots)
{
    ExSpan *line = line_of(slots);
    write_line(output, EX_BLOCK_TABLE_HEAD, line);
    g_ptr_array_add(output->heads, line);
}

/* A single head above all columns, over a row with a head for each: "Years ended", or what is centred over them. */
static bool is_centred_head(const Slots *slots, const Slots *below, const GArray *columns)
{
    if (slots->n_values != 1 || !below || below->n_values < 2 || columns->len < 2) return false;
    for (guint i = 1; i < slots->slots->len; i++) {
        const ExSpan *slot = g_ptr_array_index(slots->slots, i);
        if (slot && (strcasestr(slot->text->str, "ended") || strcasestr(slot->text->str, "ending"))) return true;
    }
    float x0 = g_array_index(columns, Column, 0).wide0, x1 = g_array_index(columns, Column, columns->len - 1).x1;
    return fabsf(slots->centre - (x0 + x1) / 2) < 0.15F * (x1 - x0);
}

/* Column heads that stand above one another are one head: "September 24," over "2022". A head above several columns has its own line. */
static void write_heads(Output *output, GPtrArray *all, const GArray *columns, guint first, guint end)
{
    g_ptr_array_set_size(output->heads, 0);
    Slots *stack = NULL;
    for (guint i = first; i < end; i++) {
        Slots *slots = g_ptr_array_index(all, i);
        if (slots->is_spanning || !slots->has_values || is_centred_head(slots, i + 1 < end ? g_ptr_array_index(all, i + 1) : NULL, columns)) {
            /* "(In millions)" beside no column does not part the heads below it from those above. */
            if (stack && slots->has_values) {
                write_head(output, stack);
                stack = NULL;
            }
            write_head(output, slots);
        } else if (!stack) {
            stack = slots;
        } else {
            for (guint c = 0; c < slots->slots->len; c++) {
                const ExSpan *below = g_ptr_array_index(slots->slots, c);
                if (below) put_slot(stack, c, below, " ");
            }
        }
    }
    if (stack) write_head(output, stack);
}

/* Heads are the rows above the first with figures, as far as they have something in a value column. */
static guint count_heads(const GPtrArray *rows, GPtrArray *all, guint first)
{
    guint end = first, data = first;
    while (data < rows->len && !is_data_row(g_ptr_array_index(rows, data))) data++;
    if (data == rows->len) return first;
    for (guint i = first; i < data; i++) {
        const Slots *slots = g_ptr_array_index(all, i);
        if (slots->has_values) end = i + 1;
    }
    return end;
}

/* Rows after the first heads that are heads again: years or words above the columns, no label. */
static bool is_inner_head(const ExRow *row, const Slots *slots)
{
    return slots->has_values && !slots->has_label && !is_data_row(row);
}

static bool continues(const ExTableCarry *carry, const GArray *columns)
{
    if (!carry || !carry->heads || carry->n_columns != columns->len || columns->len == 0) return false;
    float x0 = g_array_index(columns, Column, 0).x0, x1 = g_array_index(columns, Column, columns->len - 1).x1;
    return fabsf(x0 - carry->x0) < 60 && fabsf(x1 - carry->x1) < 30;
}

static void fill_carry(ExTableCarry *carry, GPtrArray *heads, const GArray *columns)
{
    ex_table_carry_clear(carry);
    if (columns->len == 0) return;
    carry->heads = g_ptr_array_ref(heads);
    carry->n_columns = columns->len;
    carry->x0 = g_array_index(columns, Column, 0).x0;
    carry->x1 = g_array_index(columns, Column, columns->len - 1).x1;
}

/* No figures: cells in their order, the document's own heads (or nothing) as heads. */
static void write_text_rows(ExTable *table, Output *output)
{
    for (guint r = 0; r < table->rows->len; r++) {
        const ExRow *row = g_ptr_array_index(table->rows, r);
        g_autoptr(ExSpan) line = ex_span_new();
        for (guint i = 0; i < row->cells->len; i++) {
            if (i) ex_span_add_made(line, " | ");
            ex_span_add_span(line, cell_at(row, i)->span);
        }
        write_line(output, row->is_head ? EX_BLOCK_TABLE_HEAD : EX_BLOCK_TABLE_ROW, line);
    }
}

static void write_rows(ExTable *table, Output *output, const GArray *columns, ExTableCarry *carry, bool may_continue)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)slots_free);
    for (guint r = 0; r < table->rows->len; r++) g_ptr_array_add(all, slots_new(g_ptr_array_index(table->rows, r), columns));
    guint n_heads = count_heads(table->rows, all, 0);
    if (n_heads == 0 && may_continue && continues(carry, columns)) {
        output->is_begun = true; /* it goes on in the table before */
        for (guint i = 0; i < carry->heads->len; i++) {
            ExSpan *line = ex_span_new();
            ex_span_add_copy(line, g_ptr_array_index(carry->heads, i));
            write_line(output, EX_BLOCK_TABLE_HEAD, line);
            g_ptr_array_add(output->heads, line);
        }
    }
    write_heads(output, all, columns, 0, n_heads);
    guint r = n_heads;
    while (r < all->len) {
        guint end = r;
        while (end < all->len && is_inner_head(g_ptr_array_index(table->rows, end), g_ptr_array_index(all, end))) end++;
        if (end > r && end < all->len) write_heads(output, all, columns, r, end);
        else end = r;
        /* The rows up to the next inner head. */
        guint stop = end + 1;
        while (stop < all->len && !is_inner_head(g_ptr_array_index(table->rows, stop), g_ptr_array_index(all, stop))) stop++;
        g_autoptr(GPtrArray) body = g_ptr_array_new();
        for (guint i = end; i < MIN(stop, all->len); i++) {
            g_ptr_array_add(body, g_ptr_array_index(all, i));
            g_ptr_array_index(all, i) = NULL;
        }
        join_wrapped_labels(body, 0);
        for (guint i = 0; i < body->len; i++) {
            g_autoptr(ExSpan) line = line_of(g_ptr_array_index(body, i));
            write_line(output, EX_BLOCK_TABLE_ROW, line);
            slots_free(g_ptr_array_index(body, i));
        }
        r = stop;
    }
}

void ex_table_write(ExTable *table, ExWriter *writer, ExTableCarry *carry, bool may_continue)
{
    for (guint r = 0; r < table->rows->len; r++) glue_row(g_ptr_array_index(table->rows, r));
    g_autoptr(GArray) columns = find_columns(table);
    g_autoptr(GPtrArray) heads = g_ptr_array_new_with_free_func((GDestroyNotify)ex_span_free);
    Output output = {.writer = writer, .heads = heads};
    if (columns->len == 0) write_text_rows(table, &output);
    else write_rows(table, &output, columns, carry, may_continue);
    if (carry) fill_carry(carry, heads, columns);
}
