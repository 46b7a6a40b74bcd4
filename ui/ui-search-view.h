/* ui-search-view.h: what a search finds: documents by title, passages by their text.
 *
 * Owns: searching on a thread while words are typed, the list of hits. Does not own: the entry, opening a hit (win.show-passage,
 *       win.open-document).
 */
#ifndef UI_SEARCH_VIEW_H
#define UI_SEARCH_VIEW_H

#include <adwaita.h>

#include "ui-context.h"
#include "ui-document-model.h"

G_BEGIN_DECLS

#define UI_TYPE_SEARCH_VIEW (ui_search_view_get_type())
G_DECLARE_FINAL_TYPE(UiSearchView, ui_search_view, UI, SEARCH_VIEW, AdwBin)

void ui_search_view_set_context(UiSearchView *view, UiContext *context);
void ui_search_view_search(UiSearchView *view, const char *words, int64_t collection); /* "": shows nothing */
void ui_search_view_focus_first(UiSearchView *view);

G_END_DECLS

#endif
