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
void ui_document_row_set_item(UiDocumentRow *row, UiDocumentItem *item); /* NULL: none */
UiDocumentItem *ui_document_row_get_item(UiDocumentRow *row);             /* borrowed */
GtkWidget *ui_document_row_get_menu_button(UiDocumentRow *row);

G_END_DECLS

#endif
