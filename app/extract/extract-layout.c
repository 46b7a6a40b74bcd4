/* extract-layout.c: what the lines of a page are.
 *
 * Owns: segments of lines, the extent of tables, paragraphs, hyphens, footnotes.
 */
#include "extract-layout.h"

#include <math.h>
#include <string.h>

/* Words [first, first + n) of the flow's order that stand close together. */
typedef struct Segment {
    uint32_t first, n;
    float x0, x1;
    bool is_figure;
} Segment;

typedef enum Shape { SHAPE_PLAIN, SHAPE_WEAK, SHAPE_TABULAR } Shape;

typedef struct Flow {
    const ExPage *page;
    GArray *order;
    GArray *lines;       /* ExLine */
    GPtrArray *segments; /* GArray* of Segment, one for each line */
    GArray *shapes;      /* Shape */
    float x0, x1;        /* of its lines */
    float pitch;         /* usual distance between the tops of lines */
} Flow;

/* ---------------------------------------------------------------------------------------------------------- segments */

static char *segment_text(const Flow *flow, const Segment *segment)
{
    const ExLine part = {.first = segment->first, .n = segment->n};
    return ex_line_text(flow->page, flow->order, &part);
}

static bool is_leader(const ExPage *page, const ExWord *word)
{
    const char *text = ex_word_text(page, word);
    for (uint16_t i = 0; i < word->n_bytes; i++) {
        if (text[i] != '.' && text[i] != '_') return false;
    }
    return true;
}

static bool is_figure_word(const ExPage *page, const ExWord *word)
{
    char text[64];
    if (word->n_bytes >= sizeof text) return false;
    memcpy(text, ex_word_text(page, word), word->n_bytes);
    text[word->n_bytes] = 0;
    return ex_text_is_figure(text);
}

static bool is_currency_word(const ExPage *page, const ExWord *word)
{
    const char *text = ex_word_text(page, word);
    return *text == '$' || strncmp(text, "€", 3) == 0 || strncmp(text, "£", 2) == 0 || strncmp(text, "¥", 2) == 0;
}

static bool is_marker(const char *text)
{
    static const char *const bullets[] = {"•", "●", "○", "▪", "■", "–", "—", "-", "*", "o", "·", "", "➢", "◦", "†", "‡", "**", NULL};
    if (g_strv_contains(bullets, text)) return true;
    size_t n = strlen(text);
    if (n < 2 || n > 6) return false;
    char last = text[n - 1];
    if (last != '.' && last != ')') return false;
    size_t from = text[0] == '(' ? 1 : 0;
    for (size_t i = from; i + 1 < n; i++) {
        if (!g_ascii_isalnum(text[i])) return false;
    }
    return last == ')' || !g_ascii_isupper(text[from + 1]);
}

/* A bullet or number and its text are one segment. */
static void join_marker(const Flow *flow, GArray *segments)
{
    if (segments->len != 2) return;
    Segment *first = &g_array_index(segments, Segment, 0), *second = &g_array_index(segments, Segment, 1);
    if (first->n > 1 || second->is_figure) return;
    g_autofree char *text = segment_text(flow, first);
    if (!is_marker(text)) return;
    first->n = second->first + second->n - first->first;
    first->x1 = second->x1;
    first->is_figure = false;
    g_array_set_size(segments, 1);
}

static GArray *line_segments(const Flow *flow, const ExLine *line)
{
    GArray *segments = g_array_new(FALSE, FALSE, sizeof(Segment));
    bool is_broken = true;
    const ExWord *before = NULL;
    for (uint32_t i = line->first; i < line->first + line->n; i++) {
        const ExWord *word = ex_page_word(flow->page, flow->order, i);
        bool is_dots = is_leader(flow->page, word) && (word->n_bytes > 3 || (before && is_leader(flow->page, before)) ||
                                                       (i + 1 < line->first + line->n &&
                                                        is_leader(flow->page, ex_page_word(flow->page, flow->order, i + 1))));
        if (is_dots) {
            is_broken = true;
            before = word;
            continue;
        }
        if (before && !is_broken) {
            float size = MAX(MIN(word->size, before->size), 4), gap = word->x0 - before->x1;
            bool is_figure = is_figure_word(flow->page, word), was_figure = is_figure_word(flow->page, before);
            float limit = is_figure && was_figure ? 0.65F : is_figure ? 0.95F : 1.2F;
            is_broken = gap > limit * size || (was_figure && is_currency_word(flow->page, word));
        }
        if (is_broken) {
            Segment segment = {i, 0, word->x0, word->x1, false};
            g_array_append_val(segments, segment);
        }
        Segment *last = &g_array_index(segments, Segment, segments->len - 1);
        last->n = i + 1 - last->first;
        last->x1 = MAX(last->x1, word->x1);
        is_broken = false;
        before = word;
    }
    for (guint i = 0; i < segments->len; i++) {
        Segment *segment = &g_array_index(segments, Segment, i);
        g_autofree char *text = segment_text(flow, segment);
        segment->is_figure = ex_text_is_figure(text);
    }
    join_marker(flow, segments);
    return segments;
}

static Shape line_shape(const GArray *segments)
{
    if (segments->len < 2) return SHAPE_PLAIN;
    guint n_figures = 0;
    for (guint i = 0; i < segments->len; i++) n_figures += g_array_index(segments, Segment, i).is_figure;
    bool is_first_figure = g_array_index(segments, Segment, 0).is_figure;
    if (segments->len >= 3 || n_figures > (is_first_figure ? 1 : 0)) return SHAPE_TABULAR;
    return SHAPE_WEAK;
}

static int compare_floats(gconstpointer a, gconstpointer b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void flow_init(Flow *flow, const ExPage *page, GArray *order)
{
    *flow = (Flow){.page = page, .order = order, .lines = ex_page_lines(page, order), .x0 = INFINITY, .x1 = -INFINITY};
    flow->segments = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    flow->shapes = g_array_new(FALSE, FALSE, sizeof(Shape));
    g_autoptr(GArray) distances = g_array_new(FALSE, FALSE, sizeof(float));
    for (guint l = 0; l < flow->lines->len; l++) {
        const ExLine *line = &g_array_index(flow->lines, ExLine, l);
        GArray *segments = line_segments(flow, line);
        Shape shape = line_shape(segments);
        g_ptr_array_add(flow->segments, segments);
        g_array_append_val(flow->shapes, shape);
        flow->x0 = MIN(flow->x0, line->x0);
        flow->x1 = MAX(flow->x1, line->x1);
        if (l == 0) continue;
        float distance = (line->y0 + line->y1 - line[-1].y0 - line[-1].y1) / 2;
        if (distance > 1) g_array_append_val(distances, distance);
    }
    g_array_sort(distances, compare_floats);
    flow->pitch = distances->len ? g_array_index(distances, float, distances->len / 2) : 12;
}

static void flow_clear(Flow *flow)
{
    g_array_unref(flow->lines);
    g_ptr_array_unref(flow->segments);
    g_array_unref(flow->shapes);
}

static const ExLine *line_at(const Flow *flow, guint l)
{
    return &g_array_index(flow->lines, ExLine, l);
}
static Shape shape_at(const Flow *flow, guint l)
{
    return g_array_index(flow->shapes, Shape, l);
}
static const GArray *segments_at(const Flow *flow, guint l)
{
    return g_ptr_array_index(flow->segments, l);
}
static float line_gap(const Flow *flow, guint l) /* white space above line l */
{
    return l ? line_at(flow, l)->y0 - line_at(flow, l - 1)->y1 : INFINITY;
}

/* ------------------------------------------------------------------------------------------------------------ tables */

/* Where values begin: left end of figures that are not a line's first segment. */
static float values_start(const Flow *flow, guint first, guint end)
{
    float start = INFINITY;
    for (guint l = first; l < end; l++) {
        const GArray *segments = segments_at(flow, l);
        for (guint i = 1; i < segments->len; i++) {
            const Segment *segment = &g_array_index(segments, Segment, i);
            if (segment->is_figure) start = MIN(start, segment->x0);
        }
    }
    return start;
}

/* A line with one segment between rows: part of the table unless it is prose or begins something new. */
static bool is_inner_line(const ExLayout *layout, const Flow *flow, guint l, float values)
{
    const ExLine *line = line_at(flow, l);
    if (line_gap(flow, l) > 2.5F * flow->pitch) return false;
    if (line->size > 1.1F * ex_headings_body_size(layout->headings)) return false;
    g_autofree char *text = ex_line_text(flow->page, flow->order, line);
    bool is_chapter = false;
    if (ex_headings_is_numbered(text) && ex_headings_rank(layout->headings, flow->page->index, line, text, &is_chapter)) return false;
    bool is_across = line->x0 < values && line->x1 > values + 2 * line->size;
    if (is_across && line->n >= 8) return false;
    return !(line->n >= 8 && line->x1 - line->x0 > 0.7F * (flow->x1 - flow->x0));
}

/* The line behind the last row of the table that begins at `first`; `first` when there is no table. */
static guint table_end(const ExLayout *layout, const Flow *flow, guint first)
{
    guint n_tabular = 0, n_weak = 0, n_largest = 0, end = first;
    enum { INNER_LINES_MAX = 5 };
    for (guint l = first; l < flow->lines->len; l++) {
        Shape shape = shape_at(flow, l);
        if (shape == SHAPE_PLAIN) {
            guint stop = MIN(flow->lines->len, l + INNER_LINES_MAX + 1);
            float values = values_start(flow, first, MIN(flow->lines->len, stop + 3));
            guint next = l;
            while (next < stop && shape_at(flow, next) == SHAPE_PLAIN && is_inner_line(layout, flow, next, values)) next++;
            if (next == stop || shape_at(flow, next) == SHAPE_PLAIN) break;
            if (line_gap(flow, next) > 2.5F * flow->pitch) break;
            l = next - 1;
            continue;
        }
        if (l > first && line_gap(flow, l) > 4 * flow->pitch) break;
        n_tabular += shape == SHAPE_TABULAR;
        n_weak += shape == SHAPE_WEAK;
        n_largest = MAX(n_largest, segments_at(flow, l)->len);
        end = l + 1;
    }
    bool is_table = (n_tabular && n_tabular + n_weak >= 2) || (n_tabular && n_largest >= 3) || n_weak >= 3;
    return is_table ? end : first;
}

/* Lines above the first row that are heads of its columns: "Years ended", centred over the figures. */
static guint table_start(const Flow *flow, guint first, guint end, guint lowest)
{
    float values = values_start(flow, first, end);
    while (first > lowest && isfinite(values)) {
        const ExLine *line = line_at(flow, first - 1);
        bool is_near = line_gap(flow, first) < 1.2F * flow->pitch;
        if (!is_near || shape_at(flow, first - 1) != SHAPE_PLAIN || line->x0 < values - 3 * line->size) break;
        /* A title is centred on the page, a head on the columns. */
        float centre = (line->x0 + line->x1) / 2;
        if (fabsf(centre - (flow->x0 + flow->x1) / 2) < fabsf(centre - (values + flow->x1) / 2)) break;
        first--;
    }
    return first;
}

/* A short line in the column of labels: "Current liabilities:". */
static bool is_label_line(const ExLayout *layout, const Flow *flow, guint l, float values)
{
    const ExLine *line = line_at(flow, l);
    if (shape_at(flow, l) != SHAPE_PLAIN || line->n > 8 || line->x1 > values || line_gap(flow, l) > 2 * flow->pitch) return false;
    g_autofree char *text = ex_line_text(flow->page, flow->order, line);
    bool is_chapter = false;
    return !strchr(".;", text[strlen(text) - 1]) && !ex_headings_rank(layout->headings, flow->page->index, line, text, &is_chapter);
}

/* A table that goes on from the page before may begin with labels: "LIABILITIES", "Current liabilities:". */
static guint table_start_of_page(const ExLayout *layout, const Flow *flow, guint start, guint end)
{
    enum { LABELS_MAX = 4 };
    if (!layout->last_is_table || layout->open || start > LABELS_MAX) return start;
    float values = values_start(flow, start, end);
    for (guint l = 0; l < start; l++) {
        bool is_near = l == 0 || line_gap(flow, l) < 1.5F * flow->pitch;
        if (!is_near || (l > 0 && !is_label_line(layout, flow, l, values))) return start;
        if (l == 0 && (line_at(flow, 0)->n > 8 || line_at(flow, 0)->x1 > values)) return start;
    }
    return 0;
}

/* A last label that goes on below its figures; the labels at a page's end whose figures are on the next. */
static guint table_tail(const ExLayout *layout, const Flow *flow, guint end, float values)
{
    enum { LABELS_MAX = 2 };
    guint rest = end;
    while (rest < flow->lines->len && is_label_line(layout, flow, rest, values) && line_gap(flow, rest) < 1.5F * flow->pitch) rest++;
    if (rest == flow->lines->len && rest - end <= LABELS_MAX) return rest;
    while (end < flow->lines->len && shape_at(flow, end) == SHAPE_PLAIN) {
        const ExLine *line = line_at(flow, end);
        g_autofree char *text = ex_line_text(flow->page, flow->order, line);
        bool is_rest = g_unichar_islower(g_utf8_get_char(text)) && line->x1 < values && line_gap(flow, end) < 0.6F * flow->pitch;
        if (!is_rest) break;
        end++;
    }
    return end;
}

static ExRun word_place(const ExPage *page, const ExWord *word)
{
    return (ExRun){.kind = EX_RUN_BOX, .page = page->index, .x0 = word->x0, .y0 = word->y0, .x1 = word->x1, .y1 = word->y1};
}

static ExSpan *segment_span(const Flow *flow, uint32_t first, uint32_t n)
{
    ExSpan *span = ex_span_new();
    for (uint32_t i = first; i < first + n; i++) {
        const ExWord *word = ex_page_word(flow->page, flow->order, i);
        ExRun place = word_place(flow->page, word);
        if (i > first) ex_span_add_made(span, " ");
        ex_span_add(span, ex_word_text(flow->page, word), word->n_bytes, &place);
    }
    return span;
}

static void close_paragraph(ExLayout *layout)
{
    if (!layout->open) return;
    ex_writer_block(layout->writer, layout->open_kind, 0, 0, layout->open);
    g_clear_pointer(&layout->open, ex_span_free);
    layout->last_is_table = false;
}

static void write_table(ExLayout *layout, const Flow *flow, guint first, guint end)
{
    close_paragraph(layout);
    g_autoptr(ExTable) table = ex_table_new();
    for (guint l = first; l < end; l++) {
        ExRow *row = ex_table_add_row(table);
        row->y0 = line_at(flow, l)->y0;
        row->y1 = line_at(flow, l)->y1;
        const GArray *segments = segments_at(flow, l);
        for (guint i = 0; i < segments->len; i++) {
            const Segment *segment = &g_array_index(segments, Segment, i);
            ex_row_add_cell(row, segment->x0, segment->x1, segment_span(flow, segment->first, segment->n));
        }
    }
    ex_table_write(table, layout->writer, &layout->carry, layout->last_is_table);
    layout->last_is_table = true;
}

/* -------------------------------------------------------------------------------------------------------- paragraphs */

static bool is_known_word(const ExLayout *layout, const char *a, size_t n_a, const char *b, size_t n_b)
{
    g_autofree char *word = g_strdup_printf("%.*s%.*s", (int)n_a, a, (int)n_b, b);
    g_autofree char *lower = g_utf8_strdown(word, -1);
    return g_hash_table_contains(layout->words, lower);
}

/* Whether the hyphen at the end of `before` only divides a word over two lines. */
static bool is_dividing_hyphen(const ExLayout *layout, const ExSpan *before, const char *after)
{
    const char *text = before->text->str;
    size_t n = before->text->len, start = n - 1, n_after = 0;
    while (start > 0 && ((unsigned char)text[start - 1] >= 0x80 || g_ascii_isalnum(text[start - 1]) || text[start - 1] == '-')) start--;
    while ((unsigned char)after[n_after] >= 0x80 || g_ascii_isalnum(after[n_after])) n_after++;
    if (start == n - 1 || n_after == 0 || n_after > 60 || n - start > 60) return false;
    const char *left = text + start;
    size_t n_left = n - 1 - start;
    if (is_known_word(layout, left, n_left, after, n_after)) return true;
    if (is_known_word(layout, left, n_left + 1, after, n_after)) return false; /* "long-term" elsewhere in a line */
    if (memchr(left, '-', n_left)) return false;
    return !(is_known_word(layout, left, n_left, "", 0) && is_known_word(layout, "", 0, after, n_after));
}

static void append_line(ExLayout *layout, const ExSpan *line)
{
    ExSpan *open = layout->open;
    const char *after = line->text->str;
    bool ends_with_hyphen = open->text->len > 1 && open->text->str[open->text->len - 1] == '-';
    if (ends_with_hyphen && g_unichar_islower(g_utf8_get_char(after))) {
        if (is_dividing_hyphen(layout, open, after)) ex_span_truncate(open, open->text->len - 1);
    } else {
        ex_span_add_made(open, " ");
    }
    ex_span_add_span(open, line);
}

static bool ends_sentence(const char *text, size_t n)
{
    static const char *const ends[] = {".", "!", "?", ":", ";", ".”", ".\"", ".)", "!”", "?”", NULL};
    for (int i = 0; ends[i]; i++) {
        size_t m = strlen(ends[i]);
        if (n >= m && memcmp(text + n - m, ends[i], m) == 0) return true;
    }
    return false;
}

static bool begins_with_marker(const char *text)
{
    g_autofree char *first = g_strndup(text, strcspn(text, " "));
    return strlen(first) < strlen(text) && is_marker(first);
}

/* Whether line l begins a paragraph, given that the line above it is in the open one. */
static bool begins_paragraph(const Flow *flow, guint l, const ExSpan *open, const char *text)
{
    const ExLine *line = line_at(flow, l), *above = line_at(flow, l - 1);
    float distance = (line->y0 + line->y1 - above->y0 - above->y1) / 2, size = MAX(line->size, 4);
    if (distance > 1.35F * flow->pitch && distance > 1.5F * size) return true;
    if (distance > 2.2F * size) return true;
    if (fabsf(line->size - above->size) > 0.12F * size && MIN(line->n, above->n) > 2) return true;
    if (begins_with_marker(text)) return true;
    if ((line->flags ^ above->flags) & EX_WORD_BOLD && line->n > 2) return true;
    bool is_indented = line->x0 > above->x0 + 0.9F * size && line->x0 < above->x0 + 6 * size;
    bool is_above_short = above->x1 < flow->x1 - 0.15F * (flow->x1 - flow->x0);
    bool is_ended = ends_sentence(open->text->str, open->text->len);
    return is_ended && (is_above_short || (is_indented && above->x0 < flow->x0 + 2 * size));
}

/* A smaller text below everything else that begins with a mark. */
static bool is_footnote(const ExLayout *layout, const Flow *flow, guint l, const char *text)
{
    const ExLine *line = line_at(flow, l);
    if (line->y0 < 0.6F * flow->page->height) return false;
    bool is_marked = *text == '*' || g_str_has_prefix(text, "†") || g_str_has_prefix(text, "‡") || begins_with_marker(text);
    const ExWord *first = ex_page_word(flow->page, flow->order, line->first);
    bool is_raised = g_ascii_isdigit(*text) && first->size < 0.85F * line->size;
    if (!is_marked && !is_raised) return false;
    return line->size < 0.95F * ex_headings_body_size(layout->headings) || *text == '*' || is_raised;
}

/* The open paragraph goes on in this line: the first of a flow or page. */
static bool goes_on(const ExLayout *layout, const ExSpan *line, ExBlockKind kind)
{
    if (!layout->open || layout->open_kind != EX_BLOCK_PARAGRAPH || kind != EX_BLOCK_PARAGRAPH) return false;
    const ExSpan *open = layout->open;
    if (ends_sentence(open->text->str, open->text->len)) return false;
    return open->text->len > 60 && g_unichar_islower(g_utf8_get_char(line->text->str));
}

static void open_paragraph(ExLayout *layout, ExBlockKind kind, const ExSpan *line)
{
    close_paragraph(layout);
    layout->open = ex_span_new();
    layout->open_kind = kind;
    ex_span_add_span(layout->open, line);
}

/* A heading of one or more lines from l on; returns the line behind it. */
static guint write_heading(ExLayout *layout, const Flow *flow, guint l, unsigned rank, bool is_chapter)
{
    close_paragraph(layout);
    g_autoptr(ExSpan) span = segment_span(flow, line_at(flow, l)->first, line_at(flow, l)->n);
    guint end = l + 1;
    for (; end < flow->lines->len && end < l + 4; end++) {
        const ExLine *line = line_at(flow, end), *above = line_at(flow, end - 1);
        g_autofree char *text = ex_line_text(flow->page, flow->order, line);
        bool is_same_style = fabsf(line->size - above->size) < 0.3F && line->flags == above->flags;
        bool is_near = line_gap(flow, end) < 0.7F * line->size;
        bool is_long = above->x1 - above->x0 > 0.7F * (flow->x1 - flow->x0);
        if (!is_same_style || !is_near || !(is_long || g_unichar_islower(g_utf8_get_char(text))) || ex_headings_is_numbered(text)) break;
        if (shape_at(flow, end) == SHAPE_TABULAR) break;
        g_autoptr(ExSpan) more = segment_span(flow, line->first, line->n);
        ex_span_add_made(span, " ");
        ex_span_add_span(span, more);
    }
    ex_writer_block(layout->writer, EX_BLOCK_HEADING, rank, is_chapter ? EX_FLAG_CHAPTER : 0, span);
    layout->last_is_table = false;
    return end;
}

static guint write_line(ExLayout *layout, const Flow *flow, guint l, bool is_first)
{
    const ExLine *line = line_at(flow, l);
    g_autofree char *text = ex_line_text(flow->page, flow->order, line);
    bool is_chapter = false;
    unsigned rank = ex_headings_rank(layout->headings, flow->page->index, line, text, &is_chapter);
    if (rank) return write_heading(layout, flow, l, rank, is_chapter);
    g_autoptr(ExSpan) span = segment_span(flow, line->first, line->n);
    ExBlockKind kind = is_footnote(layout, flow, l, text)  ? EX_BLOCK_FOOTNOTE
                       : begins_with_marker(text)          ? EX_BLOCK_LIST_ITEM
                                                           : EX_BLOCK_PARAGRAPH;
    bool is_new = is_first ? !goes_on(layout, span, kind) : !layout->open || begins_paragraph(flow, l, layout->open, text);
    if (kind == EX_BLOCK_FOOTNOTE && layout->open_kind != EX_BLOCK_FOOTNOTE) is_new = true;
    if (is_new) open_paragraph(layout, kind, span);
    else append_line(layout, span);
    return l + 1;
}

static void write_flow(ExLayout *layout, const Flow *flow)
{
    bool is_first = true;
    guint written = 0;
    for (guint l = 0; l < flow->lines->len && !ex_writer_is_full(layout->writer);) {
        /* The next table, and the lines before it. */
        guint first = l, end = l;
        while (first < flow->lines->len) {
            end = shape_at(flow, first) == SHAPE_PLAIN ? first : table_end(layout, flow, first);
            if (end > first) break;
            first++;
        }
        guint start = end > first ? table_start(flow, first, end, l) : first;
        if (end > first && l == 0) start = table_start_of_page(layout, flow, start, end);
        while (l < start) {
            l = write_line(layout, flow, l, is_first || l == written);
            is_first = false;
        }
        if (end > first && l <= first) {
            end = table_tail(layout, flow, end, values_start(flow, first, end));
            write_table(layout, flow, MAX(l, start), end);
        }
        if (end > first) l = MAX(l, end);
        written = l;
        is_first = false;
    }
}

void ex_layout_page(ExLayout *layout, const ExPage *page)
{
    g_autoptr(GPtrArray) flows = ex_page_flows(page);
    for (guint i = 0; i < flows->len; i++) {
        Flow flow;
        flow_init(&flow, page, g_ptr_array_index(flows, i));
        write_flow(layout, &flow);
        flow_clear(&flow);
    }
}

void ex_layout_finish(ExLayout *layout)
{
    close_paragraph(layout);
    ex_table_carry_clear(&layout->carry);
}
