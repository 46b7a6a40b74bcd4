/* ui-pdf-pages.c: see ui-pdf-pages.h.
 *
 * Places: a page stands at `tops[i] * scale` plus gaps, its sizes in points times scale; scale is in pixels of the window a point. While a
 * size is not drawn yet, what is kept of other sizes stands in for it.
 */
#define G_LOG_DOMAIN "ui-pdf-pages"
#include "ui-pdf-pages.h"

#include <glib/gi18n.h>
#include <math.h>

#include "ui-highlight.h"
#include "ui-pdf-tiles.h"

enum {
    GAP_PX = 14,
    PART_PIXELS = 6 << 20, /* a page of up to so many is one part */
    PART_SIDE = 2048,
    MARK_GAP_PX = 8,
};
static const double PX_PER_POINT = 96.0 / 72.0, FIT_MAX = 2.0, ZOOM_MIN = 0.1, ZOOM_MAX = 8.0;

struct _UiPdfPages {
    GtkWidget parent;
    GtkAdjustment *adjustments[2]; /* horizontal, vertical */
    GtkScrollablePolicy policies[2];
    UiPdfTiles *tiles;
    guint n_pages;
    float *widths, *heights; /* points */
    double *tops;            /* [n_pages + 1], points, without gaps */
    double widest;
    double zoom, scale;
    AppBox *passage;
    size_t n_passage;
    UiEmphasis emphasis;
    AppBox *match_boxes;
    int *match_numbers;
    size_t n_matches;
    int current_match;
    bool is_place_wanted; /* scroll when the size is known */
    uint32_t place_page;
    double place_y, place_align, pinch_zoom;
    bool is_failure_told;
    double pointer_x, pointer_y; /* -1: not over it */
};

enum { SIGNAL_MOVED, SIGNAL_ZOOMED, SIGNAL_FAILED, N_SIGNALS };
static guint signals[N_SIGNALS];
enum { PROP_HADJUSTMENT = 1, PROP_VADJUSTMENT, PROP_HSCROLL_POLICY, PROP_VSCROLL_POLICY };
enum { HORIZONTAL, VERTICAL };

G_DEFINE_FINAL_TYPE_WITH_CODE(UiPdfPages, ui_pdf_pages, GTK_TYPE_WIDGET, G_IMPLEMENT_INTERFACE(GTK_TYPE_SCROLLABLE, NULL))

/* -------------------------------------------------------------------------------------------------------------- places */

static double page_top(const UiPdfPages *self, guint page)
{
    return self->tops[page] * self->scale + (page + 1.0) * GAP_PX;
}

static double full_height(const UiPdfPages *self)
{
    return self->n_pages > 0 ? page_top(self, self->n_pages) : 0;
}

static double full_width(const UiPdfPages *self)
{
    return self->widest * self->scale + 2.0 * GAP_PX;
}

/* The page that holds a height of the whole, or the gap above it. */
static guint page_at(const UiPdfPages *self, double y)
{
    guint low = 0, high = self->n_pages;
    while (high - low > 1) {
        guint middle = low + (high - low) / 2;
        if (page_top(self, middle) - GAP_PX <= y) low = middle;
        else high = middle;
    }
    return low;
}

static double scroll(const UiPdfPages *self, int axis)
{
    return self->adjustments[axis] != NULL ? gtk_adjustment_get_value(self->adjustments[axis]) : 0;
}

/* In the widget's coordinates. */
static graphene_rect_t page_rect(UiPdfPages *self, guint page)
{
    double width = self->widths[page] * self->scale, height = self->heights[page] * self->scale;
    double room = MAX(full_width(self), gtk_widget_get_width(GTK_WIDGET(self)));
    double x = floor((room - width) / 2 - scroll(self, HORIZONTAL)), y = floor(page_top(self, page) - scroll(self, VERTICAL));
    return GRAPHENE_RECT_INIT((float)x, (float)y, (float)round(width), (float)round(height));
}

void ui_pdf_pages_get_visible(UiPdfPages *self, uint32_t *ret_page, double *ret_y, uint32_t *ret_last_page, double *ret_last_y)
{
    *ret_page = *ret_last_page = 0;
    *ret_y = *ret_last_y = 0;
    if (self->n_pages == 0) return;
    double ends[2] = {scroll(self, VERTICAL), scroll(self, VERTICAL) + gtk_widget_get_height(GTK_WIDGET(self))};
    for (int i = 0; i < 2; i++) {
        guint page = page_at(self, ends[i]);
        double y = (ends[i] - page_top(self, page)) / MAX(self->heights[page] * self->scale, 1);
        *(i == 0 ? ret_page : ret_last_page) = page;
        *(i == 0 ? ret_y : ret_last_y) = CLAMP(y, 0, 1);
    }
}

static graphene_rect_t box_rect(UiPdfPages *self, const AppBox *box)
{
    graphene_rect_t page = page_rect(self, box->page);
    return GRAPHENE_RECT_INIT(page.origin.x + (float)(box->x0 * self->scale), page.origin.y + (float)(box->y0 * self->scale),
                              (float)((box->x1 - box->x0) * self->scale), (float)((box->y1 - box->y0) * self->scale));
}

bool ui_pdf_pages_get_box_rect(UiPdfPages *self, const AppBox *box, graphene_rect_t *ret_rect)
{
    if (box->page >= self->n_pages) return false;
    *ret_rect = box_rect(self, box);
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- layout */

static double wanted_scale(UiPdfPages *self, int width)
{
    if (self->zoom > 0) return CLAMP(self->zoom, ZOOM_MIN, ZOOM_MAX) * PX_PER_POINT;
    double fit = (width - 2.0 * GAP_PX) / MAX(self->widest, 1);
    return CLAMP(fit, ZOOM_MIN * PX_PER_POINT, FIT_MAX * PX_PER_POINT);
}

static void configure(UiPdfPages *self, int axis, double full, double page)
{
    if (self->adjustments[axis] == NULL) return;
    double value = gtk_adjustment_get_value(self->adjustments[axis]);
    gtk_adjustment_configure(self->adjustments[axis], CLAMP(value, 0, MAX(full - page, 0)), 0, MAX(full, page), page * 0.1, page * 0.9, page);
}

/* Scale and adjustments for the size at hand; the point at x, y of the window stays where it is. */
static void lay_out(UiPdfPages *self, double x, double y)
{
    int width = gtk_widget_get_width(GTK_WIDGET(self)), height = gtk_widget_get_height(GTK_WIDGET(self));
    if (width <= 0 || height <= 0 || self->n_pages == 0) return;
    double scale = wanted_scale(self, width);
    bool is_scaled = fabs(scale - self->scale) > 1e-6 && self->scale > 0;
    guint page = page_at(self, scroll(self, VERTICAL) + y);
    double within = (scroll(self, VERTICAL) + y - page_top(self, page)) / MAX(self->scale, 1e-6);
    double across = (scroll(self, HORIZONTAL) + x) / MAX(full_width(self), width);
    self->scale = scale;
    configure(self, HORIZONTAL, full_width(self), width);
    configure(self, VERTICAL, full_height(self), height);
    if (self->is_place_wanted) {
        self->is_place_wanted = false;
        double at = page_top(self, self->place_page) + self->place_y * self->heights[self->place_page] * scale;
        gtk_adjustment_set_value(self->adjustments[VERTICAL], at - self->place_align * height);
        gtk_adjustment_set_value(self->adjustments[HORIZONTAL], (full_width(self) - width) / 2);
    } else if (is_scaled) {
        gtk_adjustment_set_value(self->adjustments[VERTICAL], page_top(self, page) + within * scale - y);
        gtk_adjustment_set_value(self->adjustments[HORIZONTAL], across * MAX(full_width(self), width) - x);
    }
    gtk_widget_queue_draw(GTK_WIDGET(self));
}

static void ui_pdf_pages_size_allocate(GtkWidget *widget, int width, int height, int baseline)
{
    lay_out(UI_PDF_PAGES(widget), width / 2.0, 0);
}

static void ui_pdf_pages_measure(GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural, int *minimum_baseline,
                                 int *natural_baseline)
{
    *minimum = 1;
    *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? 640 : 480;
}

void ui_pdf_pages_scroll_to(UiPdfPages *self, uint32_t page, double y, double align)
{
    if (self->n_pages == 0) return;
    self->is_place_wanted = true;
    self->place_page = MIN(page, self->n_pages - 1);
    self->place_y = CLAMP(y, 0, 1);
    self->place_align = align;
    if (gtk_widget_get_width(GTK_WIDGET(self)) > 0) lay_out(self, 0, 0);
}

static void zoom_around(UiPdfPages *self, double zoom, double x, double y)
{
    self->zoom = zoom > 0 ? CLAMP(zoom, ZOOM_MIN, ZOOM_MAX) : 0;
    lay_out(self, x, y);
}

void ui_pdf_pages_set_zoom(UiPdfPages *self, double zoom)
{
    zoom_around(self, zoom, gtk_widget_get_width(GTK_WIDGET(self)) / 2.0, gtk_widget_get_height(GTK_WIDGET(self)) / 3.0);
}

double ui_pdf_pages_get_zoom(UiPdfPages *self)
{
    return self->zoom;
}

double ui_pdf_pages_get_scale(UiPdfPages *self)
{
    return self->scale > 0 ? self->scale / PX_PER_POINT : 1;
}

/* --------------------------------------------------------------------------------------------------------------- parts */

/* Parts of a page that meet heights [from, to) of it, in the window's pixels; those of the device are what is drawn. */
static void add_parts(UiPdfPages *self, guint page, double from, double to, GArray *parts)
{
    int factor = gtk_widget_get_scale_factor(GTK_WIDGET(self));
    graphene_rect_t rect = page_rect(self, page);
    uint32_t width = (uint32_t)MAX(rect.size.width * (float)factor, 1), height = (uint32_t)MAX(rect.size.height * (float)factor, 1);
    bool is_whole = (uint64_t)width * height <= PART_PIXELS;
    uint32_t part_width = is_whole ? width : PART_SIDE, part_height = is_whole ? height : PART_SIDE / 2;
    double left = -rect.origin.x * factor, right = left + gtk_widget_get_width(GTK_WIDGET(self)) * (double)factor;
    for (uint32_t y = 0; y < height; y += part_height) {
        uint32_t y1 = MIN(y + part_height, height);
        if (y1 <= from * factor || y >= to * factor) continue;
        for (uint32_t x = 0; x < width; x += part_width) {
            uint32_t x1 = MIN(x + part_width, width);
            if (!is_whole && (x1 <= left || x >= right)) continue;
            AppRenderPart part = {page, width, height, x, y, x1 - x, y1 - y};
            g_array_append_val(parts, part);
        }
    }
}

/* Those in sight, then a page below, then a page above. */
static GArray *list_parts(UiPdfPages *self, guint *ret_n_visible)
{
    GArray *parts = g_array_new(FALSE, FALSE, sizeof(AppRenderPart));
    double top = scroll(self, VERTICAL), bottom = top + gtk_widget_get_height(GTK_WIDGET(self));
    guint first = page_at(self, top), last = page_at(self, bottom);
    for (guint page = first; page <= last; page++) add_parts(self, page, top - page_top(self, page), bottom - page_top(self, page), parts);
    *ret_n_visible = parts->len;
    if (self->scale <= FIT_MAX * PX_PER_POINT) {
        if (last + 1 < self->n_pages) add_parts(self, last + 1, 0, INFINITY, parts);
        if (first > 0) add_parts(self, first - 1, 0, INFINITY, parts);
    }
    return parts;
}

bool ui_pdf_pages_is_crisp(UiPdfPages *self)
{
    if (self->tiles == NULL || self->scale <= 0) return false;
    guint n_visible;
    g_autoptr(GArray) parts = list_parts(self, &n_visible);
    for (guint i = 0; i < n_visible; i++) {
        const AppRenderPart *part = &g_array_index(parts, AppRenderPart, i);
        if (ui_pdf_tiles_get(self->tiles, part) == NULL && ui_pdf_tiles_get_problem(self->tiles, part->page) == NULL) return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- drawing */

static void draw_tile(UiPdfPages *self, GtkSnapshot *snapshot, const UiPdfTile *tile)
{
    const AppRenderPart *part = &tile->part;
    graphene_rect_t page = page_rect(self, part->page);
    float across = page.size.width / (float)part->page_width, down = page.size.height / (float)part->page_height;
    int height = gtk_widget_get_height(GTK_WIDGET(self));
    for (guint i = 0; i < tile->strips->len; i++) {
        GdkTexture *strip = g_ptr_array_index(tile->strips, i);
        float y = page.origin.y + (float)(part->y + i * UI_PDF_STRIP_ROWS) * down;
        graphene_rect_t rect = GRAPHENE_RECT_INIT(page.origin.x + (float)part->x * across, y, (float)part->width * across,
                                                  (float)gdk_texture_get_height(strip) * down);
        if (y < (float)height && y + rect.size.height > 0) gtk_snapshot_append_texture(snapshot, strip, &rect);
    }
}

static void draw_problem(UiPdfPages *self, GtkSnapshot *snapshot, const graphene_rect_t *rect, const char *problem)
{
    g_autoptr(PangoLayout) layout = gtk_widget_create_pango_layout(GTK_WIDGET(self), problem);
    pango_layout_set_width(layout, (int)MAX(rect->size.width - 48, 40) * PANGO_SCALE);
    pango_layout_set_wrap(layout, PANGO_WRAP_WORD_CHAR);
    gtk_snapshot_save(snapshot);
    gtk_snapshot_translate(snapshot, &GRAPHENE_POINT_INIT(rect->origin.x + 24, rect->origin.y + 24));
    gtk_snapshot_append_layout(snapshot, layout, &(GdkRGBA){0.2F, 0.2F, 0.2F, 1});
    gtk_snapshot_restore(snapshot);
}

static void draw_paper(GtkSnapshot *snapshot, const graphene_rect_t *rect)
{
    GskRoundedRect outline;
    gsk_rounded_rect_init_from_rect(&outline, rect, 0);
    gtk_snapshot_append_outset_shadow(snapshot, &outline, &(GdkRGBA){0, 0, 0, 0.28F}, 0, 1, 0, 4);
    gtk_snapshot_append_color(snapshot, &(GdkRGBA){1, 1, 1, 1}, rect);
}

static void draw_page(UiPdfPages *self, GtkSnapshot *snapshot, guint page, const GArray *parts)
{
    graphene_rect_t rect = page_rect(self, page);
    draw_paper(snapshot, &rect);
    const char *problem = ui_pdf_tiles_get_problem(self->tiles, page);
    if (problem != NULL) {
        draw_problem(self, snapshot, &rect, problem);
        return;
    }
    bool is_complete = true;
    for (guint i = 0; i < parts->len; i++) {
        const AppRenderPart *part = &g_array_index(parts, AppRenderPart, i);
        if (part->page == page && ui_pdf_tiles_get(self->tiles, part) == NULL) is_complete = false;
    }
    const GArray *kept = ui_pdf_tiles_list(self->tiles);
    for (guint i = 0; !is_complete && i < kept->len; i++) {
        const UiPdfTile *tile = &g_array_index(kept, UiPdfTile, i);
        if (tile->part.page == page) draw_tile(self, snapshot, tile);
    }
    for (guint i = 0; i < parts->len; i++) {
        const AppRenderPart *part = &g_array_index(parts, AppRenderPart, i);
        const UiPdfTile *tile = part->page == page ? ui_pdf_tiles_get(self->tiles, part) : NULL;
        if (tile != NULL) draw_tile(self, snapshot, tile);
    }
}

/* Words side by side become one stretch of a line. */
static void add_joined(GArray *rects, const graphene_rect_t *rect)
{
    graphene_rect_t *last = rects->len > 0 ? &g_array_index(rects, graphene_rect_t, rects->len - 1) : NULL;
    bool is_same_line = last != NULL && fabsf(last->origin.y - rect->origin.y) < rect->size.height / 2;
    float gap = last != NULL ? rect->origin.x - (last->origin.x + last->size.width) : 0;
    if (is_same_line && gap > -rect->size.height && gap < rect->size.height) graphene_rect_union(last, rect, last);
    else g_array_append_vals(rects, rect, 1);
}

static void draw_passage(UiPdfPages *self, GtkSnapshot *snapshot, guint page)
{
    g_autoptr(GArray) rects = g_array_new(FALSE, FALSE, sizeof(graphene_rect_t));
    float left = INFINITY;
    for (size_t i = 0; i < self->n_passage; i++) {
        if (self->passage[i].page != page) continue;
        graphene_rect_t rect = box_rect(self, &self->passage[i]);
        left = MIN(left, rect.origin.x);
        add_joined(rects, &rect);
    }
    const graphene_rect_t *all = (const graphene_rect_t *)(void *)rects->data;
    ui_highlight_draw_passage(snapshot, all, rects->len, left - MARK_GAP_PX, true, self->emphasis.value);
}

static void ui_pdf_pages_snapshot(GtkWidget *widget, GtkSnapshot *snapshot)
{
    UiPdfPages *self = UI_PDF_PAGES(widget);
    if (self->n_pages == 0 || self->tiles == NULL || self->scale <= 0) return;
    int width = gtk_widget_get_width(widget), height = gtk_widget_get_height(widget);
    guint n_visible;
    g_autoptr(GArray) parts = list_parts(self, &n_visible);
    ui_pdf_tiles_want(self->tiles, parts);
    gtk_snapshot_push_clip(snapshot, &GRAPHENE_RECT_INIT(0, 0, (float)width, (float)height));
    double top = scroll(self, VERTICAL);
    for (guint page = page_at(self, top), last = page_at(self, top + height); page <= last; page++) {
        draw_page(self, snapshot, page, parts);
        draw_passage(self, snapshot, page);
        for (size_t i = 0; i < self->n_matches; i++) {
            if (self->match_boxes[i].page != page) continue;
            graphene_rect_t rect = box_rect(self, &self->match_boxes[i]);
            ui_highlight_draw_match(snapshot, &rect, self->match_numbers[i] == self->current_match, true);
        }
    }
    gtk_snapshot_pop(snapshot);
}

/* ------------------------------------------------------------------------------------------------------------- marking */

void ui_pdf_pages_set_passage(UiPdfPages *self, const AppBox *boxes, size_t n_boxes, bool emphasised)
{
    g_free(self->passage);
    self->passage = g_memdup2(boxes, n_boxes * sizeof *boxes);
    self->n_passage = n_boxes;
    if (emphasised && n_boxes > 0) ui_emphasis_start(&self->emphasis, GTK_WIDGET(self));
    else ui_emphasis_stop(&self->emphasis);
    gtk_widget_queue_draw(GTK_WIDGET(self));
}

void ui_pdf_pages_set_matches(UiPdfPages *self, const AppBox *boxes, const int *matches, size_t n_boxes, int current)
{
    g_free(self->match_boxes);
    g_free(self->match_numbers);
    self->match_boxes = g_memdup2(boxes, n_boxes * sizeof *boxes);
    self->match_numbers = g_memdup2(matches, n_boxes * sizeof *matches);
    self->n_matches = n_boxes;
    self->current_match = current;
    gtk_widget_queue_draw(GTK_WIDGET(self));
}

static void on_tiles_changed(UiPdfPages *self)
{
    gtk_widget_queue_draw(GTK_WIDGET(self));
    const char *problem = ui_pdf_tiles_get_first_problem(self->tiles);
    if (problem == NULL || self->is_failure_told) return;
    self->is_failure_told = true;
    g_signal_emit(self, signals[SIGNAL_FAILED], 0, problem);
}

static void drop_document(UiPdfPages *self)
{
    if (self->tiles != NULL) {
        g_signal_handlers_disconnect_by_func(self->tiles, on_tiles_changed, self);
        g_object_run_dispose(G_OBJECT(self->tiles)); /* stops what is in work */
    }
    g_clear_object(&self->tiles);
    ui_emphasis_stop(&self->emphasis);
    g_clear_pointer(&self->widths, g_free);
    g_clear_pointer(&self->heights, g_free);
    g_clear_pointer(&self->tops, g_free);
    g_clear_pointer(&self->passage, g_free);
    g_clear_pointer(&self->match_boxes, g_free);
    g_clear_pointer(&self->match_numbers, g_free);
    self->n_pages = 0;
    self->n_passage = self->n_matches = 0;
    self->scale = 0;
    self->is_place_wanted = self->is_failure_told = false;
}

void ui_pdf_pages_set_document(UiPdfPages *self, UiContext *context, GPtrArray *pages, int fd, const char *name)
{
    drop_document(self);
    gtk_widget_queue_draw(GTK_WIDGET(self));
    if (pages == NULL) return;
    self->n_pages = pages->len;
    self->widths = g_new(float, pages->len);
    self->heights = g_new(float, pages->len);
    self->tops = g_new(double, pages->len + 1);
    self->tops[0] = self->widest = 0;
    for (guint i = 0; i < pages->len; i++) {
        const AppPage *page = g_ptr_array_index(pages, i);
        bool is_known = page->width > 0 && page->height > 0;
        self->widths[i] = is_known ? page->width : 612;
        self->heights[i] = is_known ? page->height : 792;
        self->tops[i + 1] = self->tops[i] + self->heights[i];
        self->widest = MAX(self->widest, self->widths[i]);
    }
    self->tiles = ui_pdf_tiles_new(context, app_renderer_new(fd, name));
    g_signal_connect_swapped(self->tiles, "changed", G_CALLBACK(on_tiles_changed), self);
    self->is_place_wanted = true;
    self->place_page = 0;
    self->place_y = self->place_align = 0;
    gtk_widget_queue_allocate(GTK_WIDGET(self));
}

/* --------------------------------------------------------------------------------------------------------------- input */

static gboolean on_wheel(GtkEventControllerScroll *controller, double dx, double dy, UiPdfPages *self)
{
    GdkModifierType state = gtk_event_controller_get_current_event_state(GTK_EVENT_CONTROLLER(controller));
    if ((state & GDK_CONTROL_MASK) == 0 || dy == 0) return GDK_EVENT_PROPAGATE;
    double x = self->pointer_x >= 0 ? self->pointer_x : gtk_widget_get_width(GTK_WIDGET(self)) / 2.0;
    zoom_around(self, ui_pdf_pages_get_scale(self) * pow(1.15, -CLAMP(dy, -3, 3)), x, MAX(self->pointer_y, 0));
    g_signal_emit(self, signals[SIGNAL_ZOOMED], 0);
    return GDK_EVENT_STOP;
}

static void on_motion(UiPdfPages *self, double x, double y)
{
    self->pointer_x = x;
    self->pointer_y = y;
}

static void on_leave(UiPdfPages *self)
{
    self->pointer_x = self->pointer_y = -1;
}

static void on_pinch_begin(UiPdfPages *self)
{
    self->pinch_zoom = ui_pdf_pages_get_scale(self);
}

static void on_pinch(GtkGestureZoom *gesture, double factor, UiPdfPages *self)
{
    double x = 0, y = 0;
    gtk_gesture_get_bounding_box_center(GTK_GESTURE(gesture), &x, &y);
    zoom_around(self, self->pinch_zoom * factor, x, y);
    g_signal_emit(self, signals[SIGNAL_ZOOMED], 0);
}

static void on_pressed(UiPdfPages *self)
{
    gtk_widget_grab_focus(GTK_WIDGET(self));
}

static gboolean on_key(GtkWidget *widget, GVariant *arguments, gpointer user)
{
    UiPdfPages *self = UI_PDF_PAGES(widget);
    int axis, step;
    g_variant_get(arguments, "(ii)", &axis, &step);
    GtkAdjustment *adjustment = self->adjustments[axis];
    double page = gtk_adjustment_get_page_size(adjustment), value = gtk_adjustment_get_value(adjustment);
    /* step: 1 a tenth of the window, 9 a window, 99 all */
    double by = ABS(step) == 99 ? copysign(1e12, step) : step * page * 0.1;
    gtk_adjustment_set_value(adjustment, value + by);
    return GDK_EVENT_STOP;
}

static void add_controllers(UiPdfPages *self)
{
    GtkWidget *widget = GTK_WIDGET(self);
    GtkEventController *wheel = gtk_event_controller_scroll_new(GTK_EVENT_CONTROLLER_SCROLL_VERTICAL);
    g_signal_connect(wheel, "scroll", G_CALLBACK(on_wheel), self);
    gtk_widget_add_controller(widget, wheel);
    GtkEventController *motion = gtk_event_controller_motion_new();
    g_signal_connect_swapped(motion, "motion", G_CALLBACK(on_motion), self);
    g_signal_connect_swapped(motion, "leave", G_CALLBACK(on_leave), self);
    gtk_widget_add_controller(widget, motion);
    GtkGesture *pinch = gtk_gesture_zoom_new();
    g_signal_connect_swapped(pinch, "begin", G_CALLBACK(on_pinch_begin), self);
    g_signal_connect(pinch, "scale-changed", G_CALLBACK(on_pinch), self);
    gtk_widget_add_controller(widget, GTK_EVENT_CONTROLLER(pinch));
    GtkGesture *click = gtk_gesture_click_new();
    g_signal_connect_swapped(click, "pressed", G_CALLBACK(on_pressed), self);
    gtk_widget_add_controller(widget, GTK_EVENT_CONTROLLER(click));
}

static void add_bindings(GtkWidgetClass *class)
{
    static const struct {
        guint key;
        GdkModifierType modifiers;
        int axis, step;
    } keys[] = {{GDK_KEY_Up, 0, VERTICAL, -1},      {GDK_KEY_Down, 0, VERTICAL, 1},        {GDK_KEY_Left, 0, HORIZONTAL, -1},
                {GDK_KEY_Right, 0, HORIZONTAL, 1},  {GDK_KEY_Page_Up, 0, VERTICAL, -9},    {GDK_KEY_Page_Down, 0, VERTICAL, 9},
                {GDK_KEY_space, 0, VERTICAL, 9},    {GDK_KEY_space, GDK_SHIFT_MASK, VERTICAL, -9},
                {GDK_KEY_Home, 0, VERTICAL, -99},   {GDK_KEY_End, 0, VERTICAL, 99},        {GDK_KEY_Home, GDK_CONTROL_MASK, VERTICAL, -99},
                {GDK_KEY_End, GDK_CONTROL_MASK, VERTICAL, 99}};
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        gtk_widget_class_add_binding(class, keys[i].key, keys[i].modifiers, on_key, "(ii)", keys[i].axis, keys[i].step);
    }
}

/* ----------------------------------------------------------------------------------------------------------- the widget */

static void on_value_changed(UiPdfPages *self)
{
    gtk_widget_queue_draw(GTK_WIDGET(self));
    g_signal_emit(self, signals[SIGNAL_MOVED], 0);
}

static void set_adjustment(UiPdfPages *self, int axis, GtkAdjustment *adjustment)
{
    if (self->adjustments[axis] != NULL) g_signal_handlers_disconnect_by_func(self->adjustments[axis], on_value_changed, self);
    g_clear_object(&self->adjustments[axis]);
    if (adjustment == NULL) return;
    self->adjustments[axis] = g_object_ref_sink(adjustment);
    g_signal_connect_swapped(adjustment, "value-changed", G_CALLBACK(on_value_changed), self);
    gtk_widget_queue_allocate(GTK_WIDGET(self));
}

static void ui_pdf_pages_set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
    UiPdfPages *self = UI_PDF_PAGES(object);
    switch (id) {
    case PROP_HADJUSTMENT: set_adjustment(self, HORIZONTAL, g_value_get_object(value)); break;
    case PROP_VADJUSTMENT: set_adjustment(self, VERTICAL, g_value_get_object(value)); break;
    case PROP_HSCROLL_POLICY: self->policies[HORIZONTAL] = g_value_get_enum(value); break;
    case PROP_VSCROLL_POLICY: self->policies[VERTICAL] = g_value_get_enum(value); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
}

static void ui_pdf_pages_get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
    UiPdfPages *self = UI_PDF_PAGES(object);
    switch (id) {
    case PROP_HADJUSTMENT: g_value_set_object(value, self->adjustments[HORIZONTAL]); break;
    case PROP_VADJUSTMENT: g_value_set_object(value, self->adjustments[VERTICAL]); break;
    case PROP_HSCROLL_POLICY: g_value_set_enum(value, self->policies[HORIZONTAL]); break;
    case PROP_VSCROLL_POLICY: g_value_set_enum(value, self->policies[VERTICAL]); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
}

static void ui_pdf_pages_dispose(GObject *object)
{
    UiPdfPages *self = UI_PDF_PAGES(object);
    drop_document(self);
    set_adjustment(self, HORIZONTAL, NULL);
    set_adjustment(self, VERTICAL, NULL);
    G_OBJECT_CLASS(ui_pdf_pages_parent_class)->dispose(object);
}

static void ui_pdf_pages_class_init(UiPdfPagesClass *class)
{
    GObjectClass *object_class = G_OBJECT_CLASS(class);
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    object_class->dispose = ui_pdf_pages_dispose;
    object_class->set_property = ui_pdf_pages_set_property;
    object_class->get_property = ui_pdf_pages_get_property;
    widget_class->measure = ui_pdf_pages_measure;
    widget_class->size_allocate = ui_pdf_pages_size_allocate;
    widget_class->snapshot = ui_pdf_pages_snapshot;
    g_object_class_override_property(object_class, PROP_HADJUSTMENT, "hadjustment");
    g_object_class_override_property(object_class, PROP_VADJUSTMENT, "vadjustment");
    g_object_class_override_property(object_class, PROP_HSCROLL_POLICY, "hscroll-policy");
    g_object_class_override_property(object_class, PROP_VSCROLL_POLICY, "vscroll-policy");
    add_bindings(widget_class);
    gtk_widget_class_set_css_name(widget_class, "pdfpages");
    gtk_widget_class_set_accessible_role(widget_class, GTK_ACCESSIBLE_ROLE_IMG);
    signals[SIGNAL_MOVED] = g_signal_new("moved", UI_TYPE_PDF_PAGES, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
    signals[SIGNAL_FAILED] =
        g_signal_new("failed", UI_TYPE_PDF_PAGES, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
    signals[SIGNAL_ZOOMED] = g_signal_new("zoomed", UI_TYPE_PDF_PAGES, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void ui_pdf_pages_init(UiPdfPages *self)
{
    self->pointer_x = self->pointer_y = -1;
    self->current_match = -1;
    gtk_widget_set_focusable(GTK_WIDGET(self), TRUE);
    gtk_widget_set_overflow(GTK_WIDGET(self), GTK_OVERFLOW_HIDDEN);
    add_controllers(self);
}
