/* ui-search-bar.c: see ui-search-bar.h.
 *
 * A bar is revealed from its first frame on. Until then its entry may not be realized, and GTK drops keys that go to such a widget.
 */
#define G_LOG_DOMAIN "ui-search-bar"
#include "ui-search-bar.h"

void ui_search_bar_open(GtkSearchBar *bar, GtkEditable *entry, const char *words)
{
    gtk_search_bar_set_search_mode(bar, TRUE);
    if (words != NULL) gtk_editable_set_text(entry, words);
    gtk_widget_realize(GTK_WIDGET(gtk_editable_get_delegate(entry))); /* the part of it that has the focus */
    gtk_widget_grab_focus(GTK_WIDGET(entry));
}
