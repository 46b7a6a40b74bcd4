/* ui-document-item.h: one document as the list shows it: what the library knows, what it costs, how far its reading is.
 *
 * Owns: an AppDocument, the latest progress, the plan, and the texts made from them. Does not own: how a row looks.
 *
 * Made on any thread; from then on used on the main thread alone. Signal "changed": something that is shown is different.
 */
#ifndef UI_DOCUMENT_ITEM_H
#define UI_DOCUMENT_ITEM_H

#include <glib-object.h>

#include "app-library.h"
#include "app-reader.h"

G_BEGIN_DECLS

#define UI_TYPE_DOCUMENT_ITEM (ui_document_item_get_type())
G_DECLARE_FINAL_TYPE(UiDocumentItem, ui_document_item, UI, DOCUMENT_ITEM, GObject)

/* Takes the document. cache_bytes UINT64_MAX: not looked up. */
UiDocumentItem *ui_document_item_new(AppDocument *document, uint64_t cache_bytes);
/* Takes over what `from` knows (and gives it its own, to be freed wherever the caller likes). */
void ui_document_item_swap(UiDocumentItem *item, UiDocumentItem *from);

const AppDocument *ui_document_item_get_document(UiDocumentItem *item);
int64_t ui_document_item_get_id(UiDocumentItem *item);
const char *ui_document_item_get_title(UiDocumentItem *item);
const char *ui_document_item_get_byline(UiDocumentItem *item); /* author, or company, form and period; "" */
uint64_t ui_document_item_get_cache_bytes(UiDocumentItem *item);

const AppReadProgress *ui_document_item_get_progress(UiDocumentItem *item); /* NULL: it is not being read */
void ui_document_item_set_progress(UiDocumentItem *item, const AppReadProgress *progress);
/* Until the library tells more; on a full disk it may not have been able to take note of it. */
void ui_document_item_set_failure(UiDocumentItem *item, const char *message);
const AppReadPlan *ui_document_item_get_plan(UiDocumentItem *item); /* NULL: not known (yet) */
void ui_document_item_set_plan(UiDocumentItem *item, const AppReadPlan *plan);
bool ui_document_item_is_ahead(AppDocumentState state); /* a plan says something: all of it is to be read, or just begun */

/* "43,854 tokens · 12 pages · 130 MB", what there is of it, with the byline first. g_free. */
char *ui_document_item_dup_caption(UiDocumentItem *item);
/* "Ready", "Reading, 37%", "Waiting, about 2 minutes": the state in words. g_free. */
const char *ui_document_item_get_format(UiDocumentItem *item); /* what kind of file it was, as people call it, short: "PDF" */
char *ui_document_item_dup_state(UiDocumentItem *item);
const char *ui_document_item_get_state_icon(UiDocumentItem *item);
/* Why it is not ready and what to do; NULL: nothing to say. g_free. */
bool ui_document_item_may_be_scan(UiDocumentItem *item); /* without text, of a kind whose pages can be recognised */
char *ui_document_item_dup_advice(UiDocumentItem *item);
double ui_document_item_get_fraction(UiDocumentItem *item); /* read so far, 0 to 1 */

G_END_DECLS

#endif
