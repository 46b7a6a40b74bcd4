/* ui-library-internal.h: what the files of the library view share: ui-library-view.c (list and pages), ui-library-actions.c (actions on
 * documents), ui-library-adding.c (files on their way in), ui-library-locked.c (those that need a password or leave).
 */
#ifndef UI_LIBRARY_INTERNAL_H
#define UI_LIBRARY_INTERNAL_H

#include "ui-library-view.h"
#include "ui-removals.h"
#include "ui-search-view.h"

struct _UiLibraryView {
    AdwBin parent;
    AdwHeaderBar *header;
    AdwWindowTitle *title;
    GtkWidget *back_button;
    GtkSearchBar *search_bar;
    GtkSearchEntry *search_entry;
    GtkStack *stack;
    AdwStatusPage *empty_page, *filter_page;
    GtkWidget *sample_button;
    GtkListView *list;
    UiSearchView *search_view;
    GtkRevealer *adding_revealer, *problem_revealer, *selection_revealer;
    GtkLabel *adding_label, *adding_pages, *problem_label, *selection_label;
    GtkButton *ask_selection_button;
    GtkProgressBar *adding_progress;
    GMenuModel *document_menu;
    GMenu *collections_menu;

    UiContext *context;
    UiDocumentModel *model;
    GtkMultiSelection *selection;
    UiRemovals *removals; /* the window's */
    GtkPopover *menu; /* of a document */
    int64_t collection;
    char *collection_name;
    bool has_resumed, is_narrow;
    gint64 adding_begun_us; /* when the file on its way in was begun */
    bool adding_has_pages;  /* and its pages are told */
    bool shows_added; /* the next document to come in was added here: it is brought into view */
    bool wants_top;   /* another collection begins with its first document */
    int64_t wanted;   /* to be brought into view once it is listed; 0: none */
    GHashTable *paused_by_hand, *cancelled; /* gint64: what to note when the queue has stopped them */
    GPtrArray *failures;       /* char*: files that could not be taken in since the toast below came up */
    AdwToast *failure_toast;   /* weak */
    GtkFileChooserNative *chooser;
    GHashTable *helped; /* char*: paths added again, with a password or with text recognition */
};

/* ui-library-actions.c */
void ui_library_actions_install(GtkWidgetClass *class);
void ui_library_actions_update(UiLibraryView *view); /* what is possible with the selection */
void ui_library_actions_show_menu(UiLibraryView *view, int64_t document, GtkWidget *anchor, const GdkRectangle *at);
void ui_library_actions_on_stopped(UiLibraryView *view, int64_t document);

/* ui-library-adding.c */
void ui_library_adding_on_event(UiLibraryView *view, const AppReadEvent *event);
void ui_library_adding_resume(UiLibraryView *view); /* once: what was interrupted is read on */

/* ui-library-locked.c */
void ui_library_locked_ask_password(UiLibraryView *view, const char *path);
void ui_library_locked_read_scan(UiLibraryView *view, const AppDocument *document);
void ui_library_locked_on_added(UiLibraryView *view, const AppReadEvent *event);

/* ui-library-view.c */
void ui_library_view_bring_into_view(UiLibraryView *view, int64_t document); /* now, or once it is listed */
void ui_library_view_toast(UiLibraryView *view, AdwToast *toast);

#endif
