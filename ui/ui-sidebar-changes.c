/* ui-sidebar-changes.c: what can be done with collections and conversations of the side bar.
 *
 * Owns: the "sidebar." actions, their menus and keys, the work behind them (on threads, as all of it writes to the library).
 * Does not own: when a removal is final (ui-removals.h), the form of an export (ui-conversation-export.h).
 */
#define G_LOG_DOMAIN "ui-sidebar"
#include <glib/gi18n.h>

#include "ui-conversation-export.h"
#include "ui-menu.h"
#include "ui-name-dialog.h"
#include "ui-sidebar-internal.h"
#include "ui-window.h"

typedef enum ChangeKind { ADD_COLLECTION, RENAME_COLLECTION, REMOVE_COLLECTION, RENAME_CONVERSATION, REMOVE_CONVERSATION } ChangeKind;

typedef struct Change {
    AppLibrary *library;
    ChangeKind kind;
    gint64 id;
    char *name;
} Change;

static void free_change(gpointer data)
{
    Change *change = data;
    app_library_unref(change->library);
    g_free(change->name);
    g_free(change);
}

static bool do_change(Change *change, GError **error)
{
    switch (change->kind) {
    case ADD_COLLECTION: change->id = app_library_add_collection(change->library, change->name, error); return change->id > 0;
    case RENAME_COLLECTION: return app_library_rename_collection(change->library, change->id, change->name, error);
    case REMOVE_COLLECTION: return app_library_remove_collection(change->library, change->id, error);
    case RENAME_CONVERSATION: return app_library_rename_conversation(change->library, change->id, change->name, error);
    case REMOVE_CONVERSATION: return app_library_remove_conversation(change->library, change->id, error);
    }
    return false;
}

static void run_change(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    GError *error = NULL;
    if (do_change(data, &error)) g_task_return_boolean(task, TRUE);
    else g_task_return_error(task, error);
}

static void show_again(UiSidebar *self, gint64 id, bool is_collection)
{
    g_hash_table_remove(is_collection ? self->hidden_collections : self->hidden_conversations, &id);
    if (self->context != NULL) ui_sidebar_load(self);
}

static void on_changed(GObject *source, GAsyncResult *result, gpointer user)
{
    UiSidebar *self = UI_SIDEBAR(source);
    const Change *change = g_task_get_task_data(G_TASK(result));
    g_autoptr(GError) error = NULL;
    bool is_done = g_task_propagate_boolean(G_TASK(result), &error);
    /* Removed or not, its number may be another's from now on. */
    if (change->kind == REMOVE_COLLECTION || change->kind == REMOVE_CONVERSATION) show_again(self, change->id, change->kind == REMOVE_COLLECTION);
    if (is_done && change->kind == ADD_COLLECTION) gtk_widget_activate_action(GTK_WIDGET(self), "win.show-library", "x", change->id);
    if (!is_done) ui_window_say(GTK_WIDGET(self), error->message);
}

static void change(UiSidebar *self, ChangeKind kind, gint64 id, const char *name)
{
    Change *c = g_new0(Change, 1);
    *c = (Change){app_library_ref(ui_context_get_library(self->context)), kind, id, g_strdup(name)};
    ui_context_run(self->context, G_OBJECT(self), run_change, c, free_change, NULL, on_changed, NULL);
}

static void on_named(GtkWidget *widget, const char *name, gint64 id, gpointer user)
{
    change(UI_SIDEBAR(widget), (ChangeKind)GPOINTER_TO_INT(user), id, name);
}

void ui_sidebar_add_collection(UiSidebar *self)
{
    ui_name_dialog_show(GTK_WIDGET(self), _("New Collection"), _("Name"), "", _("_Create"), 0, on_named, GINT_TO_POINTER(ADD_COLLECTION));
}

static void add_collection(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ui_sidebar_add_collection(UI_SIDEBAR(widget));
}

/* -------------------------------------------------------------------------------------------------------------- removal */

typedef struct Removal {
    UiSidebar *sidebar; /* weak */
    AppLibrary *library;
    gint64 id;
    bool is_collection;
} Removal;

static void free_removal(gpointer data)
{
    Removal *removal = data;
    g_clear_weak_pointer(&removal->sidebar);
    app_library_unref(removal->library);
    g_free(removal);
}

static void restore(gpointer data)
{
    const Removal *removal = data;
    if (removal->sidebar != NULL) show_again(removal->sidebar, removal->id, removal->is_collection);
}

static void forget(gpointer data, bool at_once)
{
    const Removal *removal = data;
    ChangeKind kind = removal->is_collection ? REMOVE_COLLECTION : REMOVE_CONVERSATION;
    g_autoptr(GError) error = NULL;
    if (!at_once && removal->sidebar != NULL) change(removal->sidebar, kind, removal->id, NULL);
    else if (!do_change(&(Change){removal->library, kind, removal->id, NULL}, &error)) g_warning("%s", error->message);
}

/* Out of sight at once; for good when nobody wants it back. */
static void remove_it(UiSidebar *self, gint64 id, const char *name, bool is_collection)
{
    static const UiRemovalKind kind = {.restore = restore, .forget = forget, .free = free_removal};
    GHashTable *hidden = is_collection ? self->hidden_collections : self->hidden_conversations;
    if (id == 0 || !g_hash_table_add(hidden, g_memdup2(&id, sizeof id))) return;
    Removal *removal = g_new0(Removal, 1);
    *removal = (Removal){NULL, app_library_ref(ui_context_get_library(self->context)), id, is_collection};
    g_set_weak_pointer(&removal->sidebar, self);
    ui_sidebar_load(self);
    if (is_collection && id == self->shown_collection) gtk_widget_activate_action(GTK_WIDGET(self), "win.show-library", "x", (gint64)0);
    if (!is_collection && id == self->shown_conversation) gtk_widget_activate_action(GTK_WIDGET(self), "win.leave-conversation", NULL);
    g_autofree char *text = ui_removals_dup_text(name);
    ui_removals_add(self->removals, text, &kind, removal);
}

/* ---------------------------------------------------------------------------------------------------------------- menus */

static bool is_of_collections(UiSidebar *self, GtkListBoxRow *row)
{
    return gtk_widget_get_parent(GTK_WIDGET(row)) == GTK_WIDGET(self->collections);
}

/* The row that has the focus, for keys; NULL: none that can be changed. */
static GtkListBoxRow *focus_row(UiSidebar *self)
{
    GtkWidget *focus = gtk_root_get_focus(gtk_widget_get_root(GTK_WIDGET(self)));
    GtkWidget *row = focus != NULL ? (GTK_IS_LIST_BOX_ROW(focus) ? focus : gtk_widget_get_ancestor(focus, GTK_TYPE_LIST_BOX_ROW)) : NULL;
    if (row == NULL || !gtk_widget_is_ancestor(row, GTK_WIDGET(self))) return NULL;
    const UiSidebarRow *about = ui_sidebar_get_row(GTK_LIST_BOX_ROW(row));
    return about != NULL && about->id != 0 ? GTK_LIST_BOX_ROW(row) : NULL;
}

static void take_menu_row(UiSidebar *self, GtkListBoxRow *row)
{
    g_free(self->menu_name);
    self->menu_name = g_strdup(ui_sidebar_get_row(row)->name);
    self->menu_id = ui_sidebar_get_row(row)->id;
}

void ui_sidebar_changes_show_menu(UiSidebar *self, GtkListBoxRow *row, double x, double y)
{
    bool is_collection = is_of_collections(self, row);
    GtkPopover **popover = is_collection ? &self->collection_popover : &self->conversation_popover;
    take_menu_row(self, row);
    if (*popover == NULL) *popover = ui_menu_new(is_collection ? self->collection_menu : self->conversation_menu, GTK_WIDGET(self));
    ui_menu_popup(*popover, GTK_WIDGET(row), &(GdkRectangle){(int)x, (int)y, 1, 1});
}

static void show_menu(GtkWidget *widget, const char *name, GVariant *parameter)
{
    GtkListBoxRow *row = focus_row(UI_SIDEBAR(widget));
    if (row != NULL) ui_sidebar_changes_show_menu(UI_SIDEBAR(widget), row, 24, gtk_widget_get_height(GTK_WIDGET(row)));
}

static void rename_collection(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiSidebar *self = UI_SIDEBAR(widget);
    ui_name_dialog_show(widget, _("Rename Collection"), _("Name"), self->menu_name, _("_Rename"), self->menu_id, on_named,
                        GINT_TO_POINTER(RENAME_COLLECTION));
}

static void rename_conversation(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiSidebar *self = UI_SIDEBAR(widget);
    ui_name_dialog_show(widget, _("Rename Conversation"), _("Title"), self->menu_name, _("_Rename"), self->menu_id, on_named,
                        GINT_TO_POINTER(RENAME_CONVERSATION));
}

static void remove_collection(GtkWidget *widget, const char *name, GVariant *parameter)
{
    remove_it(UI_SIDEBAR(widget), UI_SIDEBAR(widget)->menu_id, UI_SIDEBAR(widget)->menu_name, true);
}

static void remove_conversation(GtkWidget *widget, const char *name, GVariant *parameter)
{
    remove_it(UI_SIDEBAR(widget), UI_SIDEBAR(widget)->menu_id, UI_SIDEBAR(widget)->menu_name, false);
}

static void copy_conversation(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ui_conversation_copy(widget, UI_SIDEBAR(widget)->context, UI_SIDEBAR(widget)->menu_id);
}

static void export_conversation(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ui_conversation_export(widget, UI_SIDEBAR(widget)->context, UI_SIDEBAR(widget)->menu_id);
}

static void change_focused(GtkWidget *widget, bool removes)
{
    UiSidebar *self = UI_SIDEBAR(widget);
    GtkListBoxRow *row = focus_row(self);
    if (row == NULL) return;
    take_menu_row(self, row);
    bool is_collection = is_of_collections(self, row);
    if (removes) remove_it(self, self->menu_id, self->menu_name, is_collection);
    else if (is_collection) rename_collection(widget, NULL, NULL);
    else rename_conversation(widget, NULL, NULL);
}

static void rename_focused(GtkWidget *widget, const char *name, GVariant *parameter)
{
    change_focused(widget, false);
}

static void remove_focused(GtkWidget *widget, const char *name, GVariant *parameter)
{
    change_focused(widget, true);
}

void ui_sidebar_changes_install(GtkWidgetClass *class)
{
    static const struct {
        const char *name;
        GtkWidgetActionActivateFunc activate;
    } actions[] = {
        {"sidebar.add-collection", add_collection},
        {"sidebar.rename-collection", rename_collection},
        {"sidebar.remove-collection", remove_collection},
        {"sidebar.rename-conversation", rename_conversation},
        {"sidebar.copy-conversation", copy_conversation},
        {"sidebar.export-conversation", export_conversation},
        {"sidebar.remove-conversation", remove_conversation},
        {"sidebar.rename-focused", rename_focused},
        {"sidebar.remove-focused", remove_focused},
        {"sidebar.show-menu", show_menu},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) gtk_widget_class_install_action(class, actions[i].name, NULL, actions[i].activate);
    gtk_widget_class_add_binding_action(class, GDK_KEY_F2, 0, "sidebar.rename-focused", NULL);
    gtk_widget_class_add_binding_action(class, GDK_KEY_Delete, 0, "sidebar.remove-focused", NULL);
    gtk_widget_class_add_binding_action(class, GDK_KEY_Menu, 0, "sidebar.show-menu", NULL);
    gtk_widget_class_add_binding_action(class, GDK_KEY_F10, GDK_SHIFT_MASK, "sidebar.show-menu", NULL);
}
