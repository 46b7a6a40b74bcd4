/* ui-reveal.h: parts that slide or fade into view, and are out of a screen reader's way while they are not in it. */
#ifndef UI_REVEAL_H
#define UI_REVEAL_H

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* GTK 4.8 leaves what a closed revealer holds in the accessibility tree: such a revealer is hidden once it has closed. Its .ui file says
 * that it is not visible at first. */
void ui_reveal(GtkRevealer *revealer, gboolean shown);

G_END_DECLS

#endif
