/* ui-menu.h: a context menu that gives the focus back to whoever had it.
 *
 * Owns: making one, showing it at a place, the focus before and after: GTK 4.8 leaves the focus in a closed menu, or hands it to another
 * pane, and keys are lost.
 * Does not own: what the entries do.
 */
#ifndef UI_MENU_H
#define UI_MENU_H

#include <adwaita.h>

G_BEGIN_DECLS

/* A menu that belongs to parent, which takes it away again with gtk_widget_unparent. */
GtkPopover *ui_menu_new(GMenuModel *model, GtkWidget *parent);

/* Shows it at a rectangle of a widget below its parent. */
void ui_menu_popup(GtkPopover *menu, GtkWidget *at, const GdkRectangle *place);

G_END_DECLS

#endif
