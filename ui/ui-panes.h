/* ui-panes.h: three panes side by side that fold as the window narrows: a side bar, the content, a pane at the end.
 *
 * Owns: when the end pane lies over the content instead of beside it, when the side bar becomes a page of its own, moving between them.
 *       The only file that knows the widgets behind it (AdwLeaflet and AdwFlap, which later versions of libadwaita deprecate).
 * Does not own: what is in the panes.
 *
 * Properties: "narrow" (gboolean, read): the side bar and the content are shown one at a time; "end-shown" (gboolean): the end pane is
 * shown; "end-over" (gboolean, read): it lies over the content; "content-shown" (gboolean): when narrow, the content and not the side bar.
 * Children in templates: <child type="sidebar">, <child type="content">, <child type="end">.
 */
#ifndef UI_PANES_H
#define UI_PANES_H

#include <adwaita.h>
#include <stdbool.h>

G_BEGIN_DECLS

#define UI_TYPE_PANES (ui_panes_get_type())
G_DECLARE_FINAL_TYPE(UiPanes, ui_panes, UI, PANES, GtkWidget)

bool ui_panes_get_narrow(UiPanes *panes);
bool ui_panes_get_end_over(UiPanes *panes);
bool ui_panes_get_end_shown(UiPanes *panes);
void ui_panes_set_end_shown(UiPanes *panes, bool shown);
bool ui_panes_get_content_shown(UiPanes *panes);
void ui_panes_set_content_shown(UiPanes *panes, bool shown);

G_END_DECLS

#endif
