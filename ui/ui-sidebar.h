/* ui-sidebar.h: the side bar: the library and its collections, conversations by recency.
 *
 * Owns: the two lists, adding, renaming, exporting and removing collections and conversations, finding a conversation by what was said in
 *       it, dropping documents onto a collection. Does not own: what is shown when a row is chosen (win.show-library,
 *       win.show-conversation, win.show-turn), when a removal is final (ui-removals.h).
 */
#ifndef UI_SIDEBAR_H
#define UI_SIDEBAR_H

#include <adwaita.h>

#include "ui-context.h"
#include "ui-removals.h"

G_BEGIN_DECLS

#define UI_TYPE_SIDEBAR (ui_sidebar_get_type())
G_DECLARE_FINAL_TYPE(UiSidebar, ui_sidebar, UI, SIDEBAR, AdwBin)

void ui_sidebar_set_context(UiSidebar *sidebar, UiContext *context, UiRemovals *removals);
/* Marks what the window shows: a collection (0: all documents; -1: none), a conversation (0: none). */
void ui_sidebar_set_shown(UiSidebar *sidebar, int64_t collection, int64_t conversation);
void ui_sidebar_add_collection(UiSidebar *sidebar); /* asks for its name */
void ui_sidebar_find_conversation(UiSidebar *sidebar);
void ui_sidebar_set_title_buttons(UiSidebar *sidebar, bool end);
void ui_sidebar_popup_menu(UiSidebar *sidebar); /* the main menu */

G_END_DECLS

#endif
