/* ui-highlight.c: see ui-highlight.h. */
#include "ui-highlight.h"

#include <adwaita.h>

enum { EMPHASIS_US = 900000, EMPHASIS_PX = 10, BAR_PX = 4, LINE_PX = 2 };

static bool is_dark(bool on_paper)
{
    return !on_paper && adw_style_manager_get_dark(adw_style_manager_get_default());
}

static void draw_frame(GtkSnapshot *snapshot, const graphene_rect_t *rect, float width, float radius, const GdkRGBA *colour)
{
    GskRoundedRect frame;
    gsk_rounded_rect_init_from_rect(&frame, rect, radius);
    float widths[4] = {width, width, width, width};
    GdkRGBA colours[4] = {*colour, *colour, *colour, *colour};
    gtk_snapshot_append_border(snapshot, &frame, widths, colours);
}

void ui_highlight_draw_passage(GtkSnapshot *snapshot, const graphene_rect_t *rects, guint n_rects, float margin_x, bool on_paper, float emphasis)
{
    if (n_rects == 0) return;
    /* On paper the fill lies over the page's ink: it must let it through. */
    GdkRGBA fill = is_dark(on_paper) ? (GdkRGBA){0.90F, 0.65F, 0.04F, 0.34F} : (GdkRGBA){0.98F, 0.83F, 0.20F, on_paper ? 0.38F : 0.55F};
    GdkRGBA line = is_dark(on_paper) ? (GdkRGBA){0.97F, 0.76F, 0.16F, 1} : (GdkRGBA){0.71F, 0.42F, 0, 1};
    graphene_rect_t whole = rects[0];
    for (guint i = 0; i < n_rects; i++) {
        const graphene_rect_t *rect = &rects[i];
        gtk_snapshot_append_color(snapshot, &fill, rect);
        graphene_rect_t below = GRAPHENE_RECT_INIT(rect->origin.x, rect->origin.y + rect->size.height - LINE_PX, rect->size.width, LINE_PX);
        gtk_snapshot_append_color(snapshot, &line, &below);
        graphene_rect_union(&whole, rect, &whole);
    }
    graphene_rect_t bar = GRAPHENE_RECT_INIT(margin_x, whole.origin.y, BAR_PX, whole.size.height);
    gtk_snapshot_append_color(snapshot, &line, &bar);
    if (emphasis > 0) {
        float out = 4 + EMPHASIS_PX * emphasis;
        graphene_rect_inset(&whole, -out, -out);
        GdkRGBA faded = line;
        faded.alpha = emphasis;
        draw_frame(snapshot, &whole, 3, 8, &faded);
    }
}

void ui_highlight_draw_match(GtkSnapshot *snapshot, const graphene_rect_t *rect, bool is_current, bool on_paper)
{
    GdkRGBA fill = {0.21F, 0.52F, 0.89F, is_current ? 0.42F : 0.24F};
    gtk_snapshot_append_color(snapshot, &fill, rect);
    if (!is_current) return;
    GdkRGBA line = is_dark(on_paper) ? (GdkRGBA){0.60F, 0.76F, 0.95F, 1} : (GdkRGBA){0.10F, 0.37F, 0.71F, 1};
    graphene_rect_t outer = *rect;
    graphene_rect_inset(&outer, -2, -1);
    draw_frame(snapshot, &outer, 2, 3, &line);
}

static gboolean on_tick(GtkWidget *widget, GdkFrameClock *clock, gpointer user)
{
    UiEmphasis *emphasis = user;
    gint64 now_us = gdk_frame_clock_get_frame_time(clock);
    if (emphasis->start_us == 0) emphasis->start_us = now_us;
    emphasis->value = 1 - (float)(now_us - emphasis->start_us) / EMPHASIS_US;
    gtk_widget_queue_draw(widget);
    if (emphasis->value > 0) return G_SOURCE_CONTINUE;
    emphasis->value = 0;
    emphasis->tick = 0;
    return G_SOURCE_REMOVE;
}

void ui_emphasis_stop(UiEmphasis *emphasis)
{
    if (emphasis->tick != 0) gtk_widget_remove_tick_callback(emphasis->widget, emphasis->tick);
    emphasis->tick = 0;
    emphasis->value = 0;
}

void ui_emphasis_start(UiEmphasis *emphasis, GtkWidget *widget)
{
    ui_emphasis_stop(emphasis);
    gboolean is_animated = TRUE;
    g_object_get(gtk_widget_get_settings(widget), "gtk-enable-animations", &is_animated, NULL);
    gtk_widget_queue_draw(widget);
    if (!is_animated) return;
    emphasis->widget = widget;
    emphasis->start_us = 0;
    emphasis->value = 1;
    emphasis->tick = gtk_widget_add_tick_callback(widget, on_tick, emphasis, NULL);
}
