/* ui-removals.h: documents that were removed and can still be brought back.
 *
 * Owns: the toast with Undo, forgetting the documents for good when it goes (or when this is freed). A crash in between keeps them.
 * Does not own: the list that hides them (ui-document-model.h).
 */
#ifndef UI_REMOVALS_H
#define UI_REMOVALS_H

#include <adwaita.h>

#include "ui-document-model.h"

G_BEGIN_DECLS

typedef struct UiRemovals UiRemovals;

/* The removed are hidden in both models. add_toast puts a toast on the screen; it takes it. */
UiRemovals *ui_removals_new(UiContext *context, UiDocumentModel *model, UiDocumentModel *also, void (*add_toast)(gpointer user, AdwToast *toast),
                            gpointer user);
void ui_removals_free(UiRemovals *removals); /* NULL is fine; what is pending is forgotten now */
void ui_removals_remove(UiRemovals *removals, const int64_t *documents, size_t n_documents);
bool ui_removals_undo(UiRemovals *removals); /* the latest; false: there is none */

G_END_DECLS

#endif
