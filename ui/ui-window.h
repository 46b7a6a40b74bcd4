/* ui-window.h: the main window: side bar, library or reader, and the pane that asks.
 *
 * Owns: which view is shown, what is folded away on a narrow window, "win." actions and their keys:
 *     win.show-library (x collection)   the list of documents; 0: all
 *     win.open-document (x document)    the reader
 *     win.show-passage ((xtt))          the reader, at bytes [start, end) of the document's text, highlighted
 *     win.ask-documents (ax)            the pane that asks, over these documents; empty: everything
 *     win.ask-collection (x collection)
 *     win.show-conversation (x conversation); win.new-conversation
 *     win.toggle-ask, win.go-back, win.add, win.search (s words), win.new-collection, win.menu
 * Does not own: the views' contents.
 */
#ifndef UI_WINDOW_H
#define UI_WINDOW_H

#include <adwaita.h>

#include "ui-application.h"

G_BEGIN_DECLS

#define UI_TYPE_WINDOW (ui_window_get_type())
G_DECLARE_FINAL_TYPE(UiWindow, ui_window, UI, WINDOW, AdwApplicationWindow)

UiWindow *ui_window_new(UiApplication *application);
/* A toast in the window that holds the widget, if any; text: no markup. */
void ui_window_say(GtkWidget *widget, const char *text);
void ui_window_toast(UiWindow *window, AdwToast *toast); /* takes the toast */
bool ui_window_add_files(UiWindow *window, GSList *files); /* GFile: what is dropped; into the collection shown. False: none is local */

G_END_DECLS

#endif
