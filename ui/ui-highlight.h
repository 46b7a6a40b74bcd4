/* ui-highlight.h: how a passage and words found are marked, on text and on pages alike.
 *
 * Owns: colours for light and dark, the mark that is not colour (a line below and a bar in the margin; an outline), the short emphasis of
 *       a new passage. Does not own: where it stands.
 */
#ifndef UI_HIGHLIGHT_H
#define UI_HIGHLIGHT_H

#include <gtk/gtk.h>
#include <stdbool.h>

G_BEGIN_DECLS

/* rects: of lines, top to bottom. margin_x: where the bar goes. on_paper: on a page's white, whatever the style. emphasis: 0 to 1. */
void ui_highlight_draw_passage(GtkSnapshot *snapshot, const graphene_rect_t *rects, guint n_rects, float margin_x, bool on_paper, float emphasis);
void ui_highlight_draw_match(GtkSnapshot *snapshot, const graphene_rect_t *rect, bool is_current, bool on_paper);

/* Runs the emphasis of a new passage: calls redraw with 1 down to 0 over a moment; at once with 0 when animations are off. */
typedef struct UiEmphasis {
    GtkWidget *widget; /* redrawn */
    guint tick;
    gint64 start_us;
    float value;
} UiEmphasis;
void ui_emphasis_start(UiEmphasis *emphasis, GtkWidget *widget);
void ui_emphasis_stop(UiEmphasis *emphasis);

G_END_DECLS

#endif
