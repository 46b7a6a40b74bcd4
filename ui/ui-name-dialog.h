/* ui-name-dialog.h: asks for one name: of a collection, a document, a conversation.
 *
 * Owns: the dialog. Does not own: what is done with the name.
 */
#ifndef UI_NAME_DIALOG_H
#define UI_NAME_DIALOG_H

#include <adwaita.h>

G_BEGIN_DECLS

typedef void (*UiNameFn)(GtkWidget *parent, const char *name, gint64 number, gpointer user);

/* Calls done with the name, unless the dialog is cancelled or the parent is gone. number is handed through. */
void ui_name_dialog_show(GtkWidget *parent, const char *heading, const char *label, const char *name, const char *accept, gint64 number,
                         UiNameFn done, gpointer user);

G_END_DECLS

#endif
