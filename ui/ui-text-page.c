/* ui-text-page.c: see ui-text-page.h.
 *
 * The text is put into a buffer from an idle source, a few milliseconds' worth at a time, and the view gets the buffer when it is full (a
 * book of 3 MB takes about a tenth of a second; each piece put in under the view's eyes would be laid out, and told to screen readers, one
 * by one). GtkTextView then lays out what is in sight first and the rest when idle, so that a whole book is there to be selected, copied
 * and read out, and nothing waits for it.
 */
#define G_LOG_DOMAIN "ui-text-page"
#include "ui-text-page.h"

#include <math.h>
#include <string.h>

#include "ui-highlight.h"

enum {
    MEASURE_CHARS = 68,
    MARGIN_MIN_PX = 20,
    FILL_BYTES = 8 << 10, /* put in at once */
    FILL_US = 3000,       /* then the main loop has its turn */
    TABLE_GAP_CHARS = 2,
    TABLE_LABEL_CHARS_MAX = 46,
    EDGE_PX = 2, /* a line of which less is in sight does not count */
    SETTLE_FRAMES = 3,
    HOLD_FRAMES_MAX = 600,
    SCROLL_FRAMES_MAX = 120,
};

static const double TABLE_SCALE = 0.92;

struct _UiTextPage {
    GtkTextView parent;
    UiDocument *document;
    GtkTextBuffer *buffer; /* being filled, or the view's */
    GtkTextTag *tags[UI_LINE_STYLES];
    GArray *heads;         /* Head */
    GPtrArray *table_tags; /* GtkTextTag*, by table; made when its text is put in */
    size_t filled;         /* bytes put in */
    guint next_span, fill_source;
    bool is_scroll_wanted;
    uint64_t scroll_byte;
    double scroll_align;
    guint scroll_tick;
    int n_scroll_frames, n_still_frames;
    double last_upper, held_value;
    guint laid_out_source;
    bool is_laid_out;
    bool has_passage;
    UiRange passage;
    UiEmphasis emphasis;
    const GArray *matches;
    int current_match;
    double zoom, char_px;
    int measured_width;
    GtkCssProvider *style;
    GtkAdjustment *adjustment; /* the vertical one that is listened to */
};

enum { SIGNAL_MOVED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE(UiTextPage, ui_text_page, GTK_TYPE_TEXT_VIEW)

/* -------------------------------------------------------------------------------------------------------------- places */

static void iter_at(UiTextPage *self, uint64_t byte, GtkTextIter *ret_iter)
{
    gtk_text_buffer_get_iter_at_offset(self->buffer, ret_iter, (int)ui_document_chars_at(self->document, byte));
}

static uint64_t byte_of(UiTextPage *self, const GtkTextIter *iter)
{
    return ui_document_byte_at(self->document, (size_t)gtk_text_iter_get_offset(iter));
}

/* The rectangles, one a line as displayed, of a range between two iters. */
static void add_rects(UiTextPage *self, GtkTextIter at, const GtkTextIter *end, GArray *rects)
{
    GtkTextView *view = GTK_TEXT_VIEW(self);
    while (gtk_text_iter_compare(&at, end) < 0) {
        GtkTextIter stop = at;
        if (!gtk_text_view_forward_display_line_end(view, &stop)) { /* it stands before a line's break */
            if (!gtk_text_iter_forward_char(&at)) return;
            continue;
        }
        bool is_last = gtk_text_iter_compare(&stop, end) >= 0;
        if (is_last) stop = *end;
        GdkRectangle first, last;
        gtk_text_view_get_iter_location(view, &at, &first);
        gtk_text_view_get_iter_location(view, &stop, &last);
        int x1 = last.y == first.y ? last.x : first.x + first.width;
        if (x1 > first.x) {
            graphene_rect_t rect = GRAPHENE_RECT_INIT((float)first.x, (float)first.y, (float)(x1 - first.x), (float)first.height);
            g_array_append_val(rects, rect);
        }
        if (is_last) return;
        at = stop;
        /* From the last character of a wrapped line, or from its break, to the next line. */
        if (!gtk_text_iter_forward_char(&at)) return;
    }
}

GArray *ui_text_page_get_rects(UiTextPage *self, const UiRange *range)
{
    GArray *rects = g_array_new(FALSE, FALSE, sizeof(graphene_rect_t));
    if (!ui_text_page_is_filled(self)) return rects;
    GtkTextIter start, end;
    iter_at(self, range->start, &start);
    iter_at(self, range->end, &end);
    add_rects(self, start, &end, rects);
    return rects;
}

/* What is drawn now, on the way to a wanted place too. */
static void get_drawn(UiTextPage *self, uint64_t *ret_start, uint64_t *ret_end)
{
    GdkRectangle visible;
    GtkTextIter start, end;
    gtk_text_view_get_visible_rect(GTK_TEXT_VIEW(self), &visible);
    gtk_text_view_get_iter_at_location(GTK_TEXT_VIEW(self), &start, visible.x + visible.width / 2, visible.y + EDGE_PX);
    gtk_text_view_get_iter_at_location(GTK_TEXT_VIEW(self), &end, visible.x + visible.width, visible.y + visible.height);
    gtk_text_view_backward_display_line_start(GTK_TEXT_VIEW(self), &start);
    *ret_start = byte_of(self, &start);
    *ret_end = MAX(byte_of(self, &end), *ret_start);
}

void ui_text_page_get_visible(UiTextPage *self, uint64_t *ret_start, uint64_t *ret_end)
{
    *ret_start = *ret_end = self->is_scroll_wanted ? self->scroll_byte : 0;
    if (ui_text_page_is_filled(self) && !self->is_scroll_wanted) get_drawn(self, ret_start, ret_end);
}

/* ----------------------------------------------------------------------------------------------------------- scrolling */

static void on_scrolled(UiTextPage *self)
{
    if (self->is_scroll_wanted) return; /* told when it has settled */
    g_signal_emit(self, signals[SIGNAL_MOVED], 0);
}

/* Not gtk_text_view_scroll_to_mark: it moves there in an animation whose end is fixed before, and in a text that is still being laid out the
 * place is elsewhere by then. Here each frame moves to where the place is now, until it stays. */
static bool scroll_once(UiTextPage *self)
{
    GtkTextView *view = GTK_TEXT_VIEW(self);
    GtkTextIter iter;
    GdkRectangle place;
    int x, y;
    iter_at(self, self->scroll_byte, &iter);
    gtk_text_view_get_iter_location(view, &iter, &place);
    gtk_text_view_buffer_to_window_coords(view, GTK_TEXT_WINDOW_WIDGET, place.x, place.y, &x, &y);
    double by = round(y - self->scroll_align * gtk_widget_get_height(GTK_WIDGET(self))), value = gtk_adjustment_get_value(self->adjustment);
    bool is_start = self->scroll_byte == 0 && self->scroll_align <= 0; /* with the margin above it */
    gtk_adjustment_set_value(self->adjustment, is_start ? 0 : value + by);
    return fabs(gtk_adjustment_get_value(self->adjustment) - value) < 1;
}

/* Comes after all the view's own laying out when idle, so there is none left. */
static gboolean on_laid_out(gpointer user)
{
    UiTextPage *self = user;
    self->is_laid_out = true;
    self->laid_out_source = 0;
    return G_SOURCE_REMOVE;
}

static gboolean on_scroll_tick(GtkWidget *widget, GdkFrameClock *clock, gpointer user)
{
    UiTextPage *self = UI_TEXT_PAGE(widget);
    double upper = gtk_adjustment_get_upper(self->adjustment);
    bool has_grown = fabs(upper - self->last_upper) >= 1;
    self->last_upper = upper;
    self->n_scroll_frames++;
    if (self->is_scroll_wanted) {
        self->n_still_frames = scroll_once(self) ? self->n_still_frames + 1 : 0;
        if (self->n_still_frames < SETTLE_FRAMES && self->n_scroll_frames < SCROLL_FRAMES_MAX) return G_SOURCE_CONTINUE;
        self->is_scroll_wanted = false;
        self->n_still_frames = self->n_scroll_frames = 0;
        self->held_value = gtk_adjustment_get_value(self->adjustment);
        self->is_laid_out = false;
        if (self->laid_out_source == 0) self->laid_out_source = g_idle_add_full(GTK_TEXT_VIEW_PRIORITY_VALIDATE + 1, on_laid_out, self, NULL);
        on_scrolled(self);
        return G_SOURCE_CONTINUE;
    }
    /* Lines that are laid out later may still push the place away; whoever moves the view while none is ends the hold. */
    bool is_moved = fabs(gtk_adjustment_get_value(self->adjustment) - self->held_value) >= 1;
    if (has_grown) scroll_once(self);
    self->held_value = gtk_adjustment_get_value(self->adjustment);
    bool is_held = has_grown || (!is_moved && !self->is_laid_out);
    if (is_held && self->n_scroll_frames < HOLD_FRAMES_MAX) return G_SOURCE_CONTINUE;
    g_clear_handle_id(&self->laid_out_source, g_source_remove);
    self->scroll_tick = 0;
    return G_SOURCE_REMOVE;
}

static void stop_scrolling(UiTextPage *self)
{
    if (self->scroll_tick != 0) gtk_widget_remove_tick_callback(GTK_WIDGET(self), self->scroll_tick);
    self->scroll_tick = 0;
    self->is_scroll_wanted = false;
    g_clear_handle_id(&self->laid_out_source, g_source_remove);
}

/* When the text is there and in sight. */
static void start_scrolling(UiTextPage *self)
{
    if (!self->is_scroll_wanted || !ui_text_page_is_filled(self) || !gtk_widget_get_mapped(GTK_WIDGET(self)) || self->adjustment == NULL) return;
    GtkTextIter iter;
    iter_at(self, self->scroll_byte, &iter);
    gtk_text_buffer_place_cursor(self->buffer, &iter); /* where a screen reader begins */
    self->n_scroll_frames = self->n_still_frames = 0;
    if (self->scroll_tick == 0) self->scroll_tick = gtk_widget_add_tick_callback(GTK_WIDGET(self), on_scroll_tick, NULL, NULL);
}

void ui_text_page_scroll_to(UiTextPage *self, uint64_t byte, double align)
{
    if (self->document == NULL) return;
    self->scroll_byte = MIN(byte, (uint64_t)self->document->n_bytes);
    self->scroll_align = align;
    self->is_scroll_wanted = true;
    start_scrolling(self);
}

static gboolean on_input(UiTextPage *self)
{
    if (self->scroll_tick != 0) stop_scrolling(self); /* the person's hand is stronger */
    return GDK_EVENT_PROPAGATE;
}

/* ------------------------------------------------------------------------------------------------------------- filling */

/* Stops so close that cells follow each other like words. */
static PangoTabArray *run_in_stops(const UiTextPage *self)
{
    enum { STOPS = 100 };
    PangoTabArray *stops = pango_tab_array_new(STOPS, TRUE);
    for (int i = 0; i < STOPS; i++) pango_tab_array_set_tab(stops, i, PANGO_TAB_LEFT, (int)((i + 1) * 2 * self->char_px));
    return stops;
}

/* Column stops for a table's rows: labels flush left, figures flush right. A table that is wider than the measure may go into the right
 * margin; where there is no room either, rows are run in. */
typedef struct Head { /* a row that begins at the second column */
    GtkTextTag *tag;
    UiSpan span;
} Head;

/* How many characters the labels have before the figures begin: all they want, where there is room. */
static double label_chars(UiTextPage *self, const UiTable *table)
{
    double room = (self->measured_width + gtk_text_view_get_right_margin(GTK_TEXT_VIEW(self)) - MARGIN_MIN_PX) / (self->char_px * TABLE_SCALE) - TABLE_GAP_CHARS;
    for (uint32_t i = 1; i < table->n_columns; i++) room -= MIN(table->n_chars[i], TABLE_LABEL_CHARS_MAX / 2) + TABLE_GAP_CHARS;
    return MIN(table->n_chars[0], MAX(TABLE_LABEL_CHARS_MAX, floor(room)));
}

/* The figure that comes first stands above those of the second column: the row is indented up to where it begins. */
static void set_indent(UiTextPage *self, const Head *head)
{
    const UiTable *table = &g_array_index(self->document->tables, UiTable, head->span.table);
    const char *text = self->document->text + head->span.start, *tab = memchr(text, '\t', head->span.end - head->span.start);
    double char_px = self->char_px * TABLE_SCALE, left = (label_chars(self, table) + TABLE_GAP_CHARS) * char_px;
    double width = (MIN(table->n_chars[1], TABLE_LABEL_CHARS_MAX / 2) + TABLE_GAP_CHARS) * char_px;
    int own = 0, table_indent = 0;
    g_object_get(g_ptr_array_index(self->table_tags, head->span.table), "indent", &table_indent, NULL);
    g_autofree char *first = g_strstrip(g_strndup(text, tab != NULL ? (gsize)(tab - text) : 0));
    g_autoptr(PangoLayout) layout = gtk_widget_create_pango_layout(GTK_WIDGET(self), first);
    pango_layout_get_pixel_size(layout, &own, NULL);
    double indent = table->is_number[1] ? left + width - own * TABLE_SCALE : left;
    g_object_set(head->tag, "indent", table_indent < 0 ? table_indent : (int)MAX(indent, 0), NULL); /* run in, all rows are */
}

static void set_stops(UiTextPage *self, GtkTextTag *tag, const UiTable *table)
{
    double n_total = 0, char_px = self->char_px * TABLE_SCALE;
    PangoTabArray *stops = pango_tab_array_new(MAX((int)table->n_columns - 1, 1), TRUE);
    for (uint32_t i = 0; i < table->n_columns; i++) {
        double width = (i == 0 ? label_chars(self, table) : MIN(table->n_chars[i], TABLE_LABEL_CHARS_MAX / 2)) + TABLE_GAP_CHARS;
        if (i > 0) {
            bool is_right = table->is_number[i];
            pango_tab_array_set_tab(stops, (int)i - 1, is_right ? PANGO_TAB_RIGHT : PANGO_TAB_LEFT,
                                    (int)((is_right ? n_total + width : n_total) * char_px));
        }
        n_total += width;
    }
    int margin = gtk_text_view_get_right_margin(GTK_TEXT_VIEW(self));
    double needed = n_total * char_px;
    bool fits = needed <= self->measured_width + margin - MARGIN_MIN_PX;
    if (!fits) {
        pango_tab_array_free(stops);
        stops = run_in_stops(self);
    }
    g_object_set(tag, "tabs", stops, "indent", fits ? 0 : (int)(-2 * char_px), "right-margin",
                 fits && needed > self->measured_width ? MARGIN_MIN_PX : margin, NULL);
    pango_tab_array_free(stops);
}

static GtkTextTag *table_tag(UiTextPage *self, uint32_t table)
{
    while (self->table_tags->len <= table) g_ptr_array_add(self->table_tags, NULL);
    GtkTextTag **tag = (GtkTextTag **)&g_ptr_array_index(self->table_tags, table);
    if (*tag == NULL) {
        *tag = gtk_text_buffer_create_tag(self->buffer, NULL, "wrap-mode", GTK_WRAP_WORD, NULL);
        set_stops(self, *tag, &g_array_index(self->document->tables, UiTable, table));
    }
    return *tag;
}

static void set_span(UiTextPage *self, GtkTextBuffer *buffer, const UiSpan *span)
{
    GtkTextIter start, end;
    iter_at(self, span->start, &start);
    iter_at(self, span->end, &end);
    if (span->style == UI_LINE_TABLE_HEAD) {
        table_tag(self, span->table); /* its own comes first: the row's goes before it */
        Head head = {gtk_text_buffer_create_tag(buffer, NULL, NULL), *span};
        set_indent(self, &head);
        g_array_append_val(self->heads, head);
        gtk_text_buffer_apply_tag(buffer, head.tag, &start, &end);
        return;
    }
    gtk_text_buffer_apply_tag(buffer, self->tags[span->style], &start, &end);
    if (span->style == UI_LINE_TABLE) gtk_text_buffer_apply_tag(buffer, table_tag(self, span->table), &start, &end);
}

/* Up to a line's end, so that no line is laid out twice. */
static size_t next_stop(const UiDocument *document, size_t from)
{
    if (document->n_bytes - from <= FILL_BYTES) return document->n_bytes;
    const char *stop = memchr(document->text + from + FILL_BYTES, '\n', document->n_bytes - from - FILL_BYTES);
    return stop != NULL ? (size_t)(stop - document->text) + 1 : document->n_bytes;
}

static void fill_piece(UiTextPage *self)
{
    UiDocument *document = self->document;
    GtkTextBuffer *buffer = self->buffer;
    size_t stop = next_stop(document, self->filled);
    GtkTextIter end;
    gtk_text_buffer_get_end_iter(buffer, &end);
    gtk_text_buffer_insert(buffer, &end, document->text + self->filled, (int)(stop - self->filled));
    self->filled = stop;
    for (; self->next_span < document->spans->len; self->next_span++) {
        const UiSpan *span = &g_array_index(document->spans, UiSpan, self->next_span);
        if (span->end > stop) break;
        set_span(self, buffer, span);
    }
}

static void show_buffer(UiTextPage *self)
{
    gtk_text_view_set_buffer(GTK_TEXT_VIEW(self), self->buffer);
    /* Before its lines have heights, what is in sight cannot be said: it is where the view will have settled. */
    if (!self->is_scroll_wanted) ui_text_page_scroll_to(self, 0, 0);
    else start_scrolling(self);
}

static gboolean fill(gpointer user)
{
    UiTextPage *self = user;
    gint64 until_us = g_get_monotonic_time() + FILL_US;
    do fill_piece(self);
    while (self->filled < self->document->n_bytes && g_get_monotonic_time() < until_us);
    if (self->filled < self->document->n_bytes) return G_SOURCE_CONTINUE;
    self->fill_source = 0;
    show_buffer(self);
    return G_SOURCE_REMOVE;
}

/* Not before it is looked at: of a PDF it may never be. */
static void start_filling(UiTextPage *self)
{
    bool is_wanted = self->document != NULL && self->filled < self->document->n_bytes && gtk_widget_get_mapped(GTK_WIDGET(self));
    if (is_wanted && self->fill_source == 0) self->fill_source = g_idle_add_full(G_PRIORITY_DEFAULT_IDLE - 1, fill, self, NULL);
}

static void ui_text_page_map(GtkWidget *widget)
{
    GTK_WIDGET_CLASS(ui_text_page_parent_class)->map(widget);
    start_filling(UI_TEXT_PAGE(widget));
    start_scrolling(UI_TEXT_PAGE(widget));
}

bool ui_text_page_is_settled(UiTextPage *self)
{
    return ui_text_page_is_filled(self) && !self->is_scroll_wanted;
}

bool ui_text_page_is_filled(UiTextPage *self)
{
    return self->document != NULL && self->fill_source == 0 && self->filled >= self->document->n_bytes;
}

static void make_tags(UiTextPage *self, GtkTextBuffer *buffer)
{
    static const double scales[] = {1.6, 1.35, 1.15, 1};
    for (int i = UI_LINE_HEADING_1; i <= UI_LINE_HEADING_4; i++) {
        self->tags[i] = gtk_text_buffer_create_tag(buffer, NULL, "weight", PANGO_WEIGHT_BOLD, "scale", scales[i], "pixels-above-lines", 10,
                                                   "pixels-inside-wrap", 2, NULL);
    }
    self->tags[UI_LINE_GAP] = gtk_text_buffer_create_tag(buffer, NULL, "scale", 0.6, NULL);
    self->tags[UI_LINE_OTHER] = gtk_text_buffer_create_tag(buffer, NULL, NULL);
    self->tags[UI_LINE_HIDDEN] = gtk_text_buffer_create_tag(buffer, NULL, "invisible", TRUE, NULL);
    self->tags[UI_LINE_TABLE] = gtk_text_buffer_create_tag(buffer, NULL, "scale", TABLE_SCALE, "font-features", "tnum", "pixels-above-lines", 1,
                                                           "pixels-below-lines", 1, NULL);
}

void ui_text_page_set_document(UiTextPage *self, UiDocument *document)
{
    if (document == self->document) return;
    g_clear_handle_id(&self->fill_source, g_source_remove);
    ui_document_unref(self->document);
    self->document = document != NULL ? ui_document_ref(document) : NULL;
    self->filled = 0;
    self->next_span = 0;
    stop_scrolling(self);
    self->has_passage = false;
    self->matches = NULL;
    self->current_match = -1;
    g_ptr_array_set_size(self->table_tags, 0);
    g_array_set_size(self->heads, 0);
    /* A new buffer: emptying a large one takes as long as filling it. */
    g_clear_object(&self->buffer);
    self->buffer = gtk_text_buffer_new(NULL);
    gtk_text_buffer_set_enable_undo(self->buffer, FALSE);
    make_tags(self, self->buffer);
    g_autoptr(GtkTextBuffer) empty = gtk_text_buffer_new(NULL);
    gtk_text_view_set_buffer(GTK_TEXT_VIEW(self), empty);
    start_filling(self);
}

/* ------------------------------------------------------------------------------------------------------------- marking */

void ui_text_page_set_passage(UiTextPage *self, const UiRange *passage, bool emphasised)
{
    self->has_passage = passage != NULL;
    if (passage != NULL) self->passage = *passage;
    if (emphasised) ui_emphasis_start(&self->emphasis, GTK_WIDGET(self));
    else ui_emphasis_stop(&self->emphasis);
    gtk_widget_queue_draw(GTK_WIDGET(self));
}

void ui_text_page_set_matches(UiTextPage *self, const GArray *matches, int current)
{
    self->matches = matches;
    self->current_match = current;
    gtk_widget_queue_draw(GTK_WIDGET(self));
}

/* ---------------------------------------------------------------------------------------------------------- appearance */

/* Margins that leave the measure in the middle; tables' columns follow the width. */
static void set_margins(UiTextPage *self, int width)
{
    PangoContext *context = gtk_widget_get_pango_context(GTK_WIDGET(self));
    PangoFontMetrics *metrics = pango_context_get_metrics(context, NULL, NULL);
    double char_px = pango_font_metrics_get_approximate_char_width(metrics) / (double)PANGO_SCALE;
    pango_font_metrics_unref(metrics);
    int measure = (int)ceil(MEASURE_CHARS * char_px);
    int margin = MAX(MARGIN_MIN_PX, (width - measure) / 2), inner = MAX(width - 2 * margin, 1);
    if (inner == self->measured_width && fabs(char_px - self->char_px) < 0.01) return;
    self->measured_width = inner;
    self->char_px = char_px;
    gtk_text_view_set_left_margin(GTK_TEXT_VIEW(self), margin);
    gtk_text_view_set_right_margin(GTK_TEXT_VIEW(self), margin);
    for (guint i = 0; i < self->table_tags->len; i++) {
        GtkTextTag *tag = g_ptr_array_index(self->table_tags, i);
        if (tag != NULL) set_stops(self, tag, &g_array_index(self->document->tables, UiTable, i));
    }
    for (guint i = 0; i < self->heads->len; i++) set_indent(self, &g_array_index(self->heads, Head, i));
}

/* The place that stays where it is while lines break anew: the passage if it is in sight, else the first line. */
static void find_hold(UiTextPage *self, uint64_t *ret_byte, double *ret_align)
{
    uint64_t start, end;
    GdkRectangle place, first;
    GtkTextIter iter;
    int x, y;
    get_drawn(self, &start, &end);
    *ret_byte = start;
    *ret_align = 0;
    if (self->has_passage && self->passage.start >= start && self->passage.start < end) {
        iter_at(self, self->passage.start, &iter);
        gtk_text_view_get_iter_location(GTK_TEXT_VIEW(self), &iter, &place);
        gtk_text_view_buffer_to_window_coords(GTK_TEXT_VIEW(self), GTK_TEXT_WINDOW_WIDGET, place.x, place.y, &x, &y);
        *ret_byte = self->passage.start;
        *ret_align = CLAMP((double)y / MAX(gtk_widget_get_height(GTK_WIDGET(self)), 1), 0, 0.8);
    } else if (self->scroll_byte > start && self->scroll_byte < end && self->scroll_align == 0) {
        /* Still the line that was held before: its beginning would wander up with each width. */
        iter_at(self, start, &iter);
        gtk_text_view_get_iter_location(GTK_TEXT_VIEW(self), &iter, &first);
        iter_at(self, self->scroll_byte, &iter);
        gtk_text_view_get_iter_location(GTK_TEXT_VIEW(self), &iter, &place);
        if (place.y == first.y) *ret_byte = self->scroll_byte;
    }
}

static void ui_text_page_size_allocate(GtkWidget *widget, int width, int height, int baseline)
{
    UiTextPage *self = UI_TEXT_PAGE(widget);
    int measured = self->measured_width;
    bool holds = measured > 0 && ui_text_page_is_filled(self) && !self->is_scroll_wanted && gtk_widget_get_mapped(widget);
    uint64_t byte = 0;
    double align = 0;
    if (holds) find_hold(self, &byte, &align);
    set_margins(self, width);
    GTK_WIDGET_CLASS(ui_text_page_parent_class)->size_allocate(widget, width, height, baseline);
    if (holds && byte > 0 && self->measured_width != measured) ui_text_page_scroll_to(self, byte, align);
}

void ui_text_page_set_zoom(UiTextPage *self, double zoom)
{
    if (fabs(zoom - self->zoom) < 0.001) return;
    uint64_t start, end;
    ui_text_page_get_visible(self, &start, &end);
    self->zoom = zoom;
    g_autofree char *css = g_strdup_printf("textview { font-size: %d%%; }", (int)lround(zoom * 105));
    gtk_css_provider_load_from_data(self->style, css, -1);
    if (!self->is_scroll_wanted && start > 0) ui_text_page_scroll_to(self, start, 0);
}

static void draw_range(UiTextPage *self, GtkSnapshot *snapshot, const UiRange *range, const UiRange *visible, bool is_passage, bool is_current)
{
    g_autoptr(GArray) rects = g_array_new(FALSE, FALSE, sizeof(graphene_rect_t));
    GtkTextIter start, end;
    iter_at(self, MAX(range->start, visible->start), &start);
    iter_at(self, MIN(range->end, visible->end), &end);
    add_rects(self, start, &end, rects);
    const graphene_rect_t *all = (const graphene_rect_t *)(void *)rects->data;
    if (is_passage) {
        float margin_x = (float)(gtk_text_view_get_left_margin(GTK_TEXT_VIEW(self)) - 12);
        ui_highlight_draw_passage(snapshot, all, rects->len, margin_x, false, self->emphasis.value);
    } else {
        for (guint i = 0; i < rects->len; i++) ui_highlight_draw_match(snapshot, &all[i], is_current, false);
    }
}

/* The first match that ends behind a byte. */
static guint first_match(const GArray *matches, uint64_t byte)
{
    guint low = 0, high = matches->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (g_array_index(matches, UiRange, middle).end <= byte) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void draw_page_mark(UiTextPage *self, GtkSnapshot *snapshot, const AppPage *page)
{
    GtkTextIter iter;
    GdkRectangle place;
    iter_at(self, page->start, &iter);
    gtk_text_view_get_iter_location(GTK_TEXT_VIEW(self), &iter, &place);
    g_autofree char *number = g_strdup_printf("%u", page->index + 1);
    g_autoptr(PangoLayout) layout = gtk_widget_create_pango_layout(GTK_WIDGET(self), *page->label ? page->label : number);
    PangoAttrList *attributes = pango_attr_list_new();
    pango_attr_list_insert(attributes, pango_attr_scale_new(0.75));
    pango_layout_set_attributes(layout, attributes);
    pango_attr_list_unref(attributes);
    int width, height, right = gtk_text_view_get_left_margin(GTK_TEXT_VIEW(self)) + self->measured_width;
    pango_layout_get_pixel_size(layout, &width, &height);
    GdkRGBA colour;
    gtk_style_context_get_color(gtk_widget_get_style_context(GTK_WIDGET(self)), &colour);
    colour.alpha *= 0.6F;
    int room = gtk_text_view_get_right_margin(GTK_TEXT_VIEW(self));
    graphene_rect_t line = GRAPHENE_RECT_INIT((float)(right + 6), (float)place.y, (float)MAX(MIN(room - 8, 28), 0), 1);
    gtk_snapshot_append_color(snapshot, &colour, &line);
    if (width + 8 > room) return;
    gtk_snapshot_save(snapshot);
    gtk_snapshot_translate(snapshot, &GRAPHENE_POINT_INIT((float)(right + 6), (float)(place.y + 2)));
    gtk_snapshot_append_layout(snapshot, layout, &colour);
    gtk_snapshot_restore(snapshot);
}

static void ui_text_page_snapshot_layer(GtkTextView *view, GtkTextViewLayer layer, GtkSnapshot *snapshot)
{
    UiTextPage *self = UI_TEXT_PAGE(view);
    if (layer != GTK_TEXT_VIEW_LAYER_BELOW_TEXT || !ui_text_page_is_filled(self)) return;
    UiRange visible;
    get_drawn(self, &visible.start, &visible.end);
    visible.end = MIN(visible.end + 1, (uint64_t)self->document->n_bytes);
    if (self->has_passage && self->passage.start < visible.end && self->passage.end > visible.start) {
        draw_range(self, snapshot, &self->passage, &visible, true, false);
    }
    for (guint i = self->matches != NULL ? first_match(self->matches, visible.start) : 0; self->matches != NULL && i < self->matches->len; i++) {
        const UiRange *match = &g_array_index(self->matches, UiRange, i);
        if (match->start >= visible.end) break;
        draw_range(self, snapshot, match, &visible, false, (int)i == self->current_match);
    }
    for (int i = ui_document_page_at(self->document, visible.start); i < (int)self->document->pages->len; i++) {
        const AppPage *page = i >= 0 ? g_ptr_array_index(self->document->pages, i) : NULL;
        if (page != NULL && page->start >= visible.end) break;
        if (page != NULL && page->start >= visible.start && page->end > page->start) draw_page_mark(self, snapshot, page);
    }
}

/* ------------------------------------------------------------------------------------------------------------ the widget */

static void on_adjustment(UiTextPage *self)
{
    if (self->adjustment != NULL) g_signal_handlers_disconnect_by_func(self->adjustment, on_scrolled, self);
    g_set_object(&self->adjustment, gtk_scrollable_get_vadjustment(GTK_SCROLLABLE(self)));
    if (self->adjustment != NULL) g_signal_connect_swapped(self->adjustment, "value-changed", G_CALLBACK(on_scrolled), self);
}

/* Keys of someone who reads. With a caret (F7) they are the text view's own. */
static gboolean on_reading_key(GtkWidget *widget, GVariant *arguments, gpointer user)
{
    int pages;
    const char *action;
    if (gtk_text_view_get_cursor_visible(GTK_TEXT_VIEW(widget))) return GDK_EVENT_PROPAGATE;
    g_variant_get(arguments, "(i&s)", &pages, &action);
    if (pages != 0) g_signal_emit_by_name(widget, "move-cursor", GTK_MOVEMENT_PAGES, pages, FALSE);
    else gtk_widget_activate_action(widget, action, NULL);
    return GDK_EVENT_STOP;
}

static void ui_text_page_dispose(GObject *object)
{
    UiTextPage *self = UI_TEXT_PAGE(object);
    g_clear_handle_id(&self->fill_source, g_source_remove);
    ui_emphasis_stop(&self->emphasis);
    stop_scrolling(self);
    if (self->adjustment != NULL) g_signal_handlers_disconnect_by_func(self->adjustment, on_scrolled, self);
    g_clear_object(&self->adjustment);
    g_clear_pointer(&self->document, ui_document_unref);
    g_clear_pointer(&self->table_tags, g_ptr_array_unref);
    g_clear_pointer(&self->heads, g_array_unref);
    g_clear_object(&self->style);
    g_clear_object(&self->buffer);
    G_OBJECT_CLASS(ui_text_page_parent_class)->dispose(object);
}

static void ui_text_page_class_init(UiTextPageClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_text_page_dispose;
    widget_class->size_allocate = ui_text_page_size_allocate;
    widget_class->map = ui_text_page_map;
    GTK_TEXT_VIEW_CLASS(class)->snapshot_layer = ui_text_page_snapshot_layer;
    gtk_widget_class_add_binding(widget_class, GDK_KEY_Home, 0, on_reading_key, "(is)", 0, "reader.first-page");
    gtk_widget_class_add_binding(widget_class, GDK_KEY_End, 0, on_reading_key, "(is)", 0, "reader.last-page");
    gtk_widget_class_add_binding(widget_class, GDK_KEY_space, 0, on_reading_key, "(is)", 1, "");
    gtk_widget_class_add_binding(widget_class, GDK_KEY_space, GDK_SHIFT_MASK, on_reading_key, "(is)", -1, "");
    signals[SIGNAL_MOVED] = g_signal_new("moved", UI_TYPE_TEXT_PAGE, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void ui_text_page_init(UiTextPage *self)
{
    GtkTextView *view = GTK_TEXT_VIEW(self);
    self->table_tags = g_ptr_array_new();
    self->heads = g_array_new(FALSE, FALSE, sizeof(Head));
    self->current_match = -1;
    self->zoom = 0;
    self->style = gtk_css_provider_new();
    gtk_style_context_add_provider(gtk_widget_get_style_context(GTK_WIDGET(self)), GTK_STYLE_PROVIDER(self->style),
                                   GTK_STYLE_PROVIDER_PRIORITY_APPLICATION + 1);
    gtk_text_view_set_editable(view, FALSE);
    gtk_text_view_set_cursor_visible(view, FALSE);
    gtk_text_view_set_wrap_mode(view, GTK_WRAP_WORD_CHAR);
    gtk_text_view_set_pixels_inside_wrap(view, 6);
    gtk_text_view_set_pixels_below_lines(view, 3);
    gtk_text_view_set_pixels_above_lines(view, 3);
    gtk_text_view_set_top_margin(view, 24);
    gtk_text_view_set_bottom_margin(view, 48);
    GtkEventController *wheel = gtk_event_controller_scroll_new(GTK_EVENT_CONTROLLER_SCROLL_VERTICAL);
    gtk_event_controller_set_propagation_phase(wheel, GTK_PHASE_CAPTURE);
    g_signal_connect_swapped(wheel, "scroll", G_CALLBACK(on_input), self);
    gtk_widget_add_controller(GTK_WIDGET(self), wheel);
    GtkEventController *keys = gtk_event_controller_key_new();
    gtk_event_controller_set_propagation_phase(keys, GTK_PHASE_CAPTURE);
    g_signal_connect_swapped(keys, "key-pressed", G_CALLBACK(on_input), self);
    gtk_widget_add_controller(GTK_WIDGET(self), keys);
    g_signal_connect(self, "notify::vadjustment", G_CALLBACK(on_adjustment), NULL);
    ui_text_page_set_zoom(self, 1);
}
