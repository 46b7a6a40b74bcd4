/* ui-document-removal.h: documents on their way out of the library.
 *
 * Owns: hiding them (ui_context_hide_document), ending their reading, forgetting them for good or bringing them back.
 * Does not own: the toast and when it is final (ui-removals.h).
 */
#ifndef UI_DOCUMENT_REMOVAL_H
#define UI_DOCUMENT_REMOVAL_H

#include "ui-document-model.h"
#include "ui-removals.h"

G_BEGIN_DECLS

/* Hidden at once. model: lists them. */
void ui_document_removal_begin(UiRemovals *removals, UiContext *context, UiDocumentModel *model, const int64_t *documents, size_t n_documents);

G_END_DECLS

#endif
