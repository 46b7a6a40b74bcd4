/* ui-contents.h: a document's pages and chapters to go to: a field for a page or words of a heading, and the outline.
 *
 * Owns: the list and its filter. Does not own: the popover around it, going there.
 *
 * Signals: "chosen" (guint64 place, gboolean is_page): a byte of the text or, when is_page, the index of a page.
 */
#ifndef UI_CONTENTS_H
#define UI_CONTENTS_H

#include <adwaita.h>

#include "ui-document.h"

G_BEGIN_DECLS

#define UI_TYPE_CONTENTS (ui_contents_get_type())
G_DECLARE_FINAL_TYPE(UiContents, ui_contents, UI, CONTENTS, AdwBin)

void ui_contents_set_document(UiContents *contents, UiDocument *document); /* NULL: nothing */
void ui_contents_show_place(UiContents *contents, uint64_t byte);          /* marks the chapter that one is in; empties the field */

G_END_DECLS

#endif
