/* ui-library-view.h: the documents of the library or of one collection: list, search, what is being taken in.
 *
 * Owns: the list with its selection, sorting and filters, status pages, the actions on documents ("library." actions).
 * Does not own: the documents (ui-document-model.h), opening and asking (win. actions), toasts (the window).
 *
 * Signals: "selection-changed": other documents are selected, or another collection is shown.
 */
#ifndef UI_LIBRARY_VIEW_H
#define UI_LIBRARY_VIEW_H

#include <adwaita.h>

#include "ui-context.h"
#include "ui-document-model.h"
#include "ui-removals.h"

G_BEGIN_DECLS

#define UI_TYPE_LIBRARY_VIEW (ui_library_view_get_type())
G_DECLARE_FINAL_TYPE(UiLibraryView, ui_library_view, UI, LIBRARY_VIEW, AdwBin)

void ui_library_view_set_context(UiLibraryView *view, UiContext *context, UiRemovals *removals); /* removals: outlives the view's use */
void ui_library_view_show_collection(UiLibraryView *view, int64_t collection); /* 0: all */
int64_t ui_library_view_get_collection(UiLibraryView *view);
UiDocumentModel *ui_library_view_get_model(UiLibraryView *view); /* borrowed */
GArray *ui_library_view_dup_selection(UiLibraryView *view);      /* int64_t; empty: nothing is selected */
/* Begins a search, with these words if not NULL. */
void ui_library_view_search(UiLibraryView *view, const char *words);
bool ui_library_view_escape(UiLibraryView *view); /* ends the search, else the selection; false: there was neither */
void ui_library_view_add_path(UiLibraryView *view, const char *path); /* a file or folder, into the collection shown */
void ui_library_view_choose_files(UiLibraryView *view, bool folders);
/* Which of the window's buttons its header shows; back: a button to the side bar. */
void ui_library_view_set_title_buttons(UiLibraryView *view, bool start, bool end, bool back);
void ui_library_view_focus_list(UiLibraryView *view);

G_END_DECLS

#endif
