/* ui-search-bar.h: opening a search bar so that what is typed at once arrives in it.
 *
 * Does not own: the bar, its entry, what is done with the words.
 */
#ifndef UI_SEARCH_BAR_H
#define UI_SEARCH_BAR_H

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* words: put in place of what stands there; NULL leaves it. Has the focus afterwards. */
void ui_search_bar_open(GtkSearchBar *bar, GtkEditable *entry, const char *words);

G_END_DECLS

#endif
