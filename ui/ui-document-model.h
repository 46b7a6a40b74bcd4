/* ui-document-model.h: the library's documents as a list that stays quick with tens of thousands of them.
 *
 * Owns: which documents are listed and in what order, worked out on a thread; telling changes to the list with as few rows touched as
 *       possible; progress and plans of its items. Does not own: rows, the selection.
 *
 * A GListModel of UiDocumentItem. Signal "loaded": a query's result is in place (also when nothing differs).
 */
#ifndef UI_DOCUMENT_MODEL_H
#define UI_DOCUMENT_MODEL_H

#include "ui-context.h"
#include "ui-document-item.h"

G_BEGIN_DECLS

typedef enum UiDocumentOrder { UI_ORDER_ADDED = 0, UI_ORDER_TITLE, UI_ORDER_AUTHOR, UI_ORDER_LENGTH, UI_ORDER_CHANGED } UiDocumentOrder;
typedef enum UiDocumentFilter { UI_FILTER_ALL = 0, UI_FILTER_READY, UI_FILTER_UNREAD, UI_FILTER_PROBLEM } UiDocumentFilter;

#define UI_TYPE_DOCUMENT_MODEL (ui_document_model_get_type())
G_DECLARE_FINAL_TYPE(UiDocumentModel, ui_document_model, UI, DOCUMENT_MODEL, GObject)

UiDocumentModel *ui_document_model_new(UiContext *context);
void ui_document_model_set_collection(UiDocumentModel *model, int64_t collection); /* 0: all */
void ui_document_model_set_order(UiDocumentModel *model, UiDocumentOrder order);
void ui_document_model_set_filter(UiDocumentModel *model, UiDocumentFilter filter);
void ui_document_model_set_words(UiDocumentModel *model, const char *words); /* all must occur in title or byline; "": no matter */
void ui_document_model_set_active(UiDocumentModel *model, bool active); /* inactive: keeps what it has and asks for nothing */

UiDocumentItem *ui_document_model_find(UiDocumentModel *model, int64_t document); /* borrowed; NULL: not listed */
bool ui_document_model_is_loaded(UiDocumentModel *model);      /* false until the first result */
uint32_t ui_document_model_get_n_documents(UiDocumentModel *model);  /* of the collection, before filter and words */
uint32_t ui_document_model_get_n_library(UiDocumentModel *model);    /* of all the library */
/* Works out what reading this document would cost, unless that is known; item "changed" follows. */
void ui_document_model_want_plan(UiDocumentModel *model, UiDocumentItem *item);

G_END_DECLS

#endif
