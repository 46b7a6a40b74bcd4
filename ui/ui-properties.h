/* ui-properties.h: what is known of one document: where it came from, how long it is, how much of it is read.
 *
 * Owns: the window, which shows the document as it is when it opens. Does not own: the texts that rows of the list have, too
 * (ui-document-item.h).
 */
#ifndef UI_PROPERTIES_H
#define UI_PROPERTIES_H

#include "ui-document-item.h"

#include <adwaita.h>

G_BEGIN_DECLS

void ui_properties_show(GtkWindow *parent, UiDocumentItem *item);

G_END_DECLS

#endif
