/* ui-conversation-export.h: a conversation as Markdown, to the clipboard or into a file.
 *
 * Owns: the dialog for the file, the work on a thread, telling what came of it. Does not own: the text (app-library.h).
 */
#ifndef UI_CONVERSATION_EXPORT_H
#define UI_CONVERSATION_EXPORT_H

#include <gtk/gtk.h>

#include "ui-context.h"

G_BEGIN_DECLS

/* widget: in the window that tells; it may go before the end. */
void ui_conversation_copy(GtkWidget *widget, UiContext *context, int64_t conversation);
void ui_conversation_export(GtkWidget *widget, UiContext *context, int64_t conversation);

G_END_DECLS

#endif
