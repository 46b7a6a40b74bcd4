/* ui-strip.c: see ui-strip.h. */
#define G_LOG_DOMAIN "ui-strip"
#include "ui-strip.h"

#include <glib/gi18n.h>
#include <math.h>

enum { WIDTH_PX = 34, PADDING_PX = 6, BIN_PX = 3, BINS_MAX = 2048, VIEW_PX_MIN = 6, MARK_PX = 8 };
static const float NOTED = 0.15F; /* of the strongest: what Page Up and Page Down stop at */

struct _UiStrip {
    GtkWidget parent;
    GArray *looks; /* UiLook */
    uint64_t n_bytes;
    float bins[BINS_MAX]; /* 0 to 1, for the height at hand */
    int n_bins;
    UiRange visible, passage;
    bool has_passage;
    uint64_t cursor; /* where the keyboard is */
    UiStripNameFn name;
    gpointer name_user;
};

enum { SIGNAL_ACTIVATED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE(UiStrip, ui_strip, GTK_TYPE_WIDGET)

/* -------------------------------------------------------------------------------------------------------------- places */

static double usable_height(UiStrip *self)
{
    return MAX(gtk_widget_get_height(GTK_WIDGET(self)) - 2.0 * PADDING_PX, 1);
}

double ui_strip_get_y(UiStrip *self, uint64_t byte)
{
    return PADDING_PX + usable_height(self) * ((double)byte / (double)MAX(self->n_bytes, 1));
}

static uint64_t byte_at(UiStrip *self, double y)
{
    double part = CLAMP((y - PADDING_PX) / usable_height(self), 0, 1);
    return (uint64_t)(part * (double)self->n_bytes);
}

/* Mass by place: each look's is spread over its stretch, so that a bin shows density, and the strongest bin is 1. The root brings out
 * what is weak beside one strong place. */
static void fill_bins(UiStrip *self)
{
    self->n_bins = CLAMP((int)(usable_height(self) / BIN_PX), 1, BINS_MAX);
    double n_bin_bytes = (double)MAX(self->n_bytes, 1) / self->n_bins;
    for (int i = 0; i < self->n_bins; i++) self->bins[i] = 0;
    float most = 0;
    for (guint i = 0; i < self->looks->len; i++) {
        const UiLook *look = &g_array_index(self->looks, UiLook, i);
        int first = CLAMP((int)(look->start / n_bin_bytes), 0, self->n_bins - 1);
        int last = CLAMP((int)ceil(look->end / n_bin_bytes) - 1, first, self->n_bins - 1);
        for (int bin = first; bin <= last; bin++) {
            double from = MAX(look->start, bin * n_bin_bytes), to = MIN(look->end, (bin + 1) * n_bin_bytes);
            self->bins[bin] += (float)(look->mass * MAX(to - from, 0) / MAX(look->end - look->start, 1));
            most = MAX(most, self->bins[bin]);
        }
    }
    for (int i = 0; i < self->n_bins; i++) self->bins[i] = most > 0 ? sqrtf(self->bins[i] / most) : 0;
}

static float strength_at(UiStrip *self, uint64_t byte)
{
    if (self->n_bins == 0) return 0;
    int bin = (int)((double)byte / (double)MAX(self->n_bytes, 1) * self->n_bins);
    return self->bins[CLAMP(bin, 0, self->n_bins - 1)];
}

/* How strongly, in words: no one has to see the colour. */
static const char *strength_text(float strength)
{
    if (strength > 0.7F) return _("looked at closely");
    if (strength > 0.35F) return _("looked at");
    return strength > 0.1F ? _("looked at a little") : _("hardly looked at");
}

static char *describe(UiStrip *self, uint64_t byte)
{
    g_autofree char *name = self->name != NULL ? self->name(self->name_user, byte) : g_strdup("");
    const char *strength = strength_text(strength_at(self, byte));
    return *name != '\0' ? g_strdup_printf("%s, %s", name, strength) : g_strdup(strength);
}

static void tell_value(UiStrip *self)
{
    g_autofree char *text = describe(self, self->cursor);
    gtk_accessible_update_property(GTK_ACCESSIBLE(self), GTK_ACCESSIBLE_PROPERTY_VALUE_MIN, 0.0, GTK_ACCESSIBLE_PROPERTY_VALUE_MAX, 100.0,
                                   GTK_ACCESSIBLE_PROPERTY_VALUE_NOW, 100.0 * (double)self->cursor / (double)MAX(self->n_bytes, 1),
                                   GTK_ACCESSIBLE_PROPERTY_VALUE_TEXT, text, -1);
}

/* ------------------------------------------------------------------------------------------------------------- drawing */

static void draw_bins(UiStrip *self, GtkSnapshot *snapshot, const GdkRGBA *colour, int width)
{
    for (int i = 0; i < self->n_bins; i++) {
        float strength = self->bins[i];
        if (strength < 0.04F) continue;
        /* Length says the same as colour. */
        float length = MAX(strength * (float)(width - 2 * PADDING_PX), 2), y = (float)(PADDING_PX + usable_height(self) * i / self->n_bins);
        GdkRGBA fill = *colour;
        fill.alpha = 0.35F + 0.65F * strength;
        gtk_snapshot_append_color(snapshot, &fill, &GRAPHENE_RECT_INIT(PADDING_PX, y, length, BIN_PX - 0.5F));
    }
}

static void draw_frame(GtkSnapshot *snapshot, const graphene_rect_t *rect, const GdkRGBA *colour, float width)
{
    GskRoundedRect frame;
    gsk_rounded_rect_init_from_rect(&frame, rect, 4);
    float widths[4] = {width, width, width, width};
    GdkRGBA colours[4] = {*colour, *colour, *colour, *colour};
    gtk_snapshot_append_border(snapshot, &frame, widths, colours);
}

/* A wedge at the edge, which no bar looks like. */
static void draw_passage_mark(UiStrip *self, GtkSnapshot *snapshot, int width)
{
    double y = ui_strip_get_y(self, self->passage.start);
    GdkRGBA colour = {0.90F, 0.55F, 0, 1};
    GdkRGBA named;
    if (gtk_style_context_lookup_color(gtk_widget_get_style_context(GTK_WIDGET(self)), "warning_color", &named)) colour = named;
    cairo_t *cr = gtk_snapshot_append_cairo(snapshot, &GRAPHENE_RECT_INIT(0, (float)y - MARK_PX, (float)width, 2 * MARK_PX));
    gdk_cairo_set_source_rgba(cr, &colour);
    cairo_move_to(cr, width, y - MARK_PX / 2.0 - 1);
    cairo_line_to(cr, width - MARK_PX, y);
    cairo_line_to(cr, width, y + MARK_PX / 2.0 + 1);
    cairo_close_path(cr);
    cairo_fill(cr);
    cairo_rectangle(cr, 2, y - 1, width - MARK_PX - 2, 2);
    cairo_fill(cr);
    cairo_destroy(cr);
}

static void ui_strip_snapshot(GtkWidget *widget, GtkSnapshot *snapshot)
{
    UiStrip *self = UI_STRIP(widget);
    int width = gtk_widget_get_width(widget);
    GtkStyleContext *context = gtk_widget_get_style_context(widget);
    GdkRGBA text, accent;
    gtk_style_context_get_color(context, &text);
    if (!gtk_style_context_lookup_color(context, "accent_color", &accent)) accent = text;
    double top = ui_strip_get_y(self, self->visible.start), bottom = ui_strip_get_y(self, self->visible.end);
    graphene_rect_t view = GRAPHENE_RECT_INIT(2, (float)top - 1, (float)width - 4, (float)MAX(bottom - top, VIEW_PX_MIN) + 2);
    GdkRGBA shade = text, edge = text;
    shade.alpha = 0.12F;
    edge.alpha = 0.55F;
    gtk_snapshot_append_color(snapshot, &shade, &view);
    draw_bins(self, snapshot, &accent, width);
    draw_frame(snapshot, &view, &edge, 1);
    if (self->has_passage) draw_passage_mark(self, snapshot, width);
    if (gtk_widget_has_visible_focus(widget)) {
        float y = (float)ui_strip_get_y(self, self->cursor);
        draw_frame(snapshot, &GRAPHENE_RECT_INIT(0, y - 4, (float)width, 8), &accent, 2);
        draw_frame(snapshot, &GRAPHENE_RECT_INIT(0, 0, (float)width, (float)gtk_widget_get_height(widget)), &accent, 1);
    }
}

static void ui_strip_measure(GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural, int *minimum_baseline,
                             int *natural_baseline)
{
    *minimum = orientation == GTK_ORIENTATION_HORIZONTAL ? WIDTH_PX : 48;
    *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? WIDTH_PX : 200;
}

static void ui_strip_size_allocate(GtkWidget *widget, int width, int height, int baseline)
{
    fill_bins(UI_STRIP(widget));
}

/* --------------------------------------------------------------------------------------------------------------- input */

static void activate(UiStrip *self, uint64_t byte)
{
    self->cursor = byte;
    tell_value(self);
    gtk_widget_queue_draw(GTK_WIDGET(self));
    g_signal_emit(self, signals[SIGNAL_ACTIVATED], 0, (guint64)byte);
}

static void on_pressed(GtkGestureClick *gesture, int n_press, double x, double y, UiStrip *self)
{
    gtk_widget_grab_focus(GTK_WIDGET(self));
    activate(self, byte_at(self, y));
}

static void on_drag(GtkGestureDrag *gesture, double dx, double dy, UiStrip *self)
{
    double x, y;
    if (gtk_gesture_drag_get_start_point(gesture, &x, &y)) activate(self, byte_at(self, y + dy));
}

static gboolean on_query_tooltip(GtkWidget *widget, int x, int y, gboolean is_keyboard, GtkTooltip *tooltip, gpointer user)
{
    UiStrip *self = UI_STRIP(widget);
    g_autofree char *place = describe(self, is_keyboard ? self->cursor : byte_at(self, y));
    g_autofree char *text = g_strdup_printf("%s\n%s", place, _("Where the model looked: a hint, not evidence"));
    gtk_tooltip_set_text(tooltip, text);
    return TRUE;
}

/* The bin of the next local peak in a direction; the present one when there is none. */
static int next_peak(const UiStrip *self, int bin, int direction)
{
    for (int i = bin + direction; i >= 0 && i < self->n_bins; i += direction) {
        float before = i > 0 ? self->bins[i - 1] : 0, after = i + 1 < self->n_bins ? self->bins[i + 1] : 0;
        if (self->bins[i] >= NOTED && self->bins[i] >= before && self->bins[i] > after) return i;
    }
    return bin;
}

typedef enum Step { STEP_BIN, STEP_PEAK, STEP_STRONGEST, STEP_END, STEP_OPEN } Step;

static gboolean on_key(GtkWidget *widget, GVariant *arguments, gpointer user)
{
    UiStrip *self = UI_STRIP(widget);
    int step, direction;
    g_variant_get(arguments, "(ii)", &step, &direction);
    if (self->n_bins == 0) return GDK_EVENT_PROPAGATE;
    int bin = CLAMP((int)((double)self->cursor / (double)MAX(self->n_bytes, 1) * self->n_bins), 0, self->n_bins - 1);
    switch ((Step)step) {
    case STEP_BIN: bin = CLAMP(bin + direction, 0, self->n_bins - 1); break;
    case STEP_PEAK: bin = next_peak(self, bin, direction); break;
    case STEP_STRONGEST:
        for (int i = bin = 0; i < self->n_bins; i++) bin = self->bins[i] > self->bins[bin] ? i : bin;
        break;
    case STEP_END: bin = self->n_bins - 1; break;
    case STEP_OPEN: break;
    }
    uint64_t byte = (uint64_t)((bin + 0.5) * (double)self->n_bytes / self->n_bins);
    activate(self, step == STEP_OPEN ? self->cursor : byte);
    return GDK_EVENT_STOP;
}

/* --------------------------------------------------------------------------------------------------------------- set-up */

void ui_strip_set_looks(UiStrip *self, const GArray *looks, uint64_t n_bytes)
{
    g_array_set_size(self->looks, 0);
    if (looks != NULL && looks->len > 0) g_array_append_vals(self->looks, looks->data, looks->len);
    self->n_bytes = n_bytes;
    self->cursor = MIN(self->cursor, n_bytes);
    fill_bins(self);
    tell_value(self);
    gtk_widget_set_visible(GTK_WIDGET(self), self->looks->len > 0 && n_bytes > 0);
    gtk_widget_queue_draw(GTK_WIDGET(self));
}

void ui_strip_set_visible_range(UiStrip *self, uint64_t start, uint64_t end)
{
    self->visible = (UiRange){start, end};
    if (!gtk_widget_has_focus(GTK_WIDGET(self))) {
        self->cursor = start;
        tell_value(self);
    }
    gtk_widget_queue_draw(GTK_WIDGET(self));
}

void ui_strip_set_passage(UiStrip *self, const UiRange *passage)
{
    self->has_passage = passage != NULL;
    if (passage != NULL) self->passage = *passage;
    gtk_widget_queue_draw(GTK_WIDGET(self));
}

void ui_strip_set_name_func(UiStrip *self, UiStripNameFn name, gpointer user)
{
    self->name = name;
    self->name_user = user;
}

static void ui_strip_finalize(GObject *object)
{
    g_array_unref(UI_STRIP(object)->looks);
    G_OBJECT_CLASS(ui_strip_parent_class)->finalize(object);
}

static void ui_strip_class_init(UiStripClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->finalize = ui_strip_finalize;
    widget_class->measure = ui_strip_measure;
    widget_class->size_allocate = ui_strip_size_allocate;
    widget_class->snapshot = ui_strip_snapshot;
    static const struct {
        guint key;
        Step step;
        int direction;
    } keys[] = {{GDK_KEY_Up, STEP_BIN, -1},     {GDK_KEY_Down, STEP_BIN, 1},         {GDK_KEY_Page_Up, STEP_PEAK, -1},
                {GDK_KEY_Page_Down, STEP_PEAK, 1}, {GDK_KEY_Home, STEP_STRONGEST, 0}, {GDK_KEY_End, STEP_END, 0},
                {GDK_KEY_Return, STEP_OPEN, 0}, {GDK_KEY_KP_Enter, STEP_OPEN, 0},    {GDK_KEY_space, STEP_OPEN, 0}};
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        gtk_widget_class_add_binding(widget_class, keys[i].key, 0, on_key, "(ii)", (int)keys[i].step, keys[i].direction);
    }
    gtk_widget_class_set_css_name(widget_class, "attentionstrip");
    gtk_widget_class_set_accessible_role(widget_class, GTK_ACCESSIBLE_ROLE_SLIDER);
    signals[SIGNAL_ACTIVATED] =
        g_signal_new("activated", UI_TYPE_STRIP, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_UINT64);
}

static void ui_strip_init(UiStrip *self)
{
    self->looks = g_array_new(FALSE, FALSE, sizeof(UiLook));
    gtk_widget_set_focusable(GTK_WIDGET(self), TRUE);
    gtk_widget_set_visible(GTK_WIDGET(self), FALSE);
    gtk_widget_set_has_tooltip(GTK_WIDGET(self), TRUE);
    gtk_widget_set_cursor_from_name(GTK_WIDGET(self), "pointer");
    g_signal_connect(self, "query-tooltip", G_CALLBACK(on_query_tooltip), NULL);
    GtkGesture *click = gtk_gesture_click_new();
    g_signal_connect(click, "pressed", G_CALLBACK(on_pressed), self);
    gtk_widget_add_controller(GTK_WIDGET(self), GTK_EVENT_CONTROLLER(click));
    GtkGesture *drag = gtk_gesture_drag_new();
    g_signal_connect(drag, "drag-update", G_CALLBACK(on_drag), self);
    gtk_widget_add_controller(GTK_WIDGET(self), GTK_EVENT_CONTROLLER(drag));
    gtk_accessible_update_property(GTK_ACCESSIBLE(self), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Where the model looked"),
                                   GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, _("A hint, not evidence. Arrows move, Page Up and Page Down go to the next place."),
                                   GTK_ACCESSIBLE_PROPERTY_ORIENTATION, GTK_ORIENTATION_VERTICAL, -1);
}
