/* ui-document-row.h: one document in the list.
 *
 * Owns: how a UiDocumentItem looks, the buttons in its row. Does not own: what they do: they activate actions of the view around it:
 *     library.read-document (x), library.pause-document (x), library.cancel-document (x), library.show-menu (x)
 */
#ifndef UI_DOCUMENT_ROW_H
#define UI_DOCUMENT_ROW_H

#include <adwaita.h>

#include "ui-document-item.h"

G_BEGIN_DECLS

#define UI_TYPE_DOCUMENT_ROW (ui_document_row_get_type())
G_DECLARE_FINAL_TYPE(UiDocumentRow, ui_document_row, UI, DOCUMENT_ROW, AdwBin)

GtkWidget *ui_document_row_new(void);

/* In a GtkListView a row with focusable children never has the focus itself (GTK 4.8), so that Return would press a button where it should
 * open the document. There the buttons are for the pointer; the row's menu has all of them by keyboard. */
void ui_document_row_leave_focus_to_list(UiDocumentRow *row);
void ui_document_row_set_item(UiDocumentRow *row, UiDocumentItem *item); /* NULL: none */
UiDocumentItem *ui_document_row_get_item(UiDocumentRow *row);             /* borrowed */
GtkWidget *ui_document_row_get_menu_button(UiDocumentRow *row);

G_END_DECLS

#endif
