/* ui-sidebar-internal.h: what the files of the side bar share: ui-sidebar.c (lists and rows), ui-sidebar-changes.c (menus, and what they
 * change), ui-sidebar-search.c (finding a conversation).
 */
#ifndef UI_SIDEBAR_INTERNAL_H
#define UI_SIDEBAR_INTERNAL_H

#include "ui-sidebar.h"

struct _UiSidebar {
    AdwBin parent;
    AdwHeaderBar *header;
    GtkListBox *collections, *conversations, *found;
    GtkSearchBar *search_bar;
    GtkSearchEntry *search_entry;
    GtkWidget *search_button;
    GtkMenuButton *menu_button;
    GMenuModel *collection_menu, *conversation_menu;
    GtkPopover *collection_popover, *conversation_popover;

    UiContext *context;
    UiRemovals *removals; /* the window's */
    gint64 shown_collection, shown_conversation;
    gint64 menu_id; /* of what the open menu is about */
    char *menu_name;
    GHashTable *hidden_collections, *hidden_conversations; /* gint64: about to be removed */
    guint64 search_number; /* of the latest search: older results are dropped */
    bool is_loading, is_dirty;
};

typedef struct UiSidebarRow { /* what a row of the lists is about */
    gint64 id;
    char *name, *detail;
} UiSidebarRow;
const UiSidebarRow *ui_sidebar_get_row(GtkListBoxRow *row);
/* Makes the child `content` a row, with the menu where wanted. */
GtkWidget *ui_sidebar_make_row(UiSidebar *sidebar, gint64 id, const char *name, const char *detail, GtkWidget *content, bool has_menu);
GtkLabel *ui_sidebar_add_label(GtkWidget *box, bool expands);
void ui_sidebar_load(UiSidebar *sidebar);
void ui_sidebar_mark_shown(UiSidebar *sidebar);

/* ui-sidebar-changes.c */
void ui_sidebar_changes_install(GtkWidgetClass *class);
void ui_sidebar_changes_show_menu(UiSidebar *sidebar, GtkListBoxRow *row, double x, double y);

/* ui-sidebar-search.c */
void ui_sidebar_search_update(UiSidebar *sidebar); /* the words, or what they are looked for in, have changed */

#endif
