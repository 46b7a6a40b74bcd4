/* ui-library-actions.c: what can be done with documents of the list.
 *
 * Owns: the "library." actions, the menu of a document, the work behind them (on threads, as all of it writes to the library).
 * Does not own: removal and its undoing (ui-document-removal.h).
 */
#define G_LOG_DOMAIN "ui-library-actions"
#include <glib/gi18n.h>
#include <string.h>

#include "app-paths.h"
#include "ui-document-removal.h"
#include "ui-document-row.h"
#include "ui-library-internal.h"
#include "ui-menu.h"
#include "ui-name-dialog.h"
#include "ui-properties.h"
#include "ui-settings.h"
#include "ui-window.h"

/* --------------------------------------------------------------------------------------------------- changes on threads */

typedef enum ChangeKind {
    CHANGE_READ,
    CHANGE_PAUSE,
    CHANGE_CANCEL,
    CHANGE_SETTLE_PAUSED, /* the queue has stopped it: note why */
    CHANGE_SETTLE_CANCELLED,
    CHANGE_RENAME,
    CHANGE_ADD_TO,
    CHANGE_ADD_TO_NEW,
    CHANGE_REMOVE_FROM,
} ChangeKind;

typedef struct Change {
    UiContext *context;
    ChangeKind kind;
    GArray *documents; /* int64_t */
    int64_t collection;
    char *name;
} Change;

static void free_change(gpointer data)
{
    Change *change = data;
    g_object_unref(change->context);
    g_array_unref(change->documents);
    g_free(change->name);
    g_free(change);
}

/* The queue tells of a document that it was reading when it has stopped; one that only waited has stopped at once. */
static bool stop(Change *change, int64_t document, GError **error)
{
    AppLibrary *library = ui_context_get_library(change->context);
    app_read_queue_stop_document(ui_context_get_queue(change->context), document);
    g_autoptr(AppDocument) now = app_library_get_document(library, document, error);
    if (now == NULL || now->state == APP_DOCUMENT_READING) return now != NULL;
    bool by_hand = change->kind == CHANGE_PAUSE || change->kind == CHANGE_SETTLE_PAUSED;
    return app_library_set_document_state(library, document, by_hand ? APP_DOCUMENT_PAUSED : APP_DOCUMENT_NEW, by_hand ? "by hand" : "", error);
}

static bool change_one(Change *change, int64_t document, GError **error)
{
    AppLibrary *library = ui_context_get_library(change->context);
    switch (change->kind) {
    case CHANGE_READ: app_read_queue_add_document(ui_context_get_queue(change->context), document); return true;
    case CHANGE_PAUSE:
    case CHANGE_CANCEL:
    case CHANGE_SETTLE_PAUSED:
    case CHANGE_SETTLE_CANCELLED: return stop(change, document, error);
    case CHANGE_RENAME: return app_library_rename_document(library, document, change->name, error);
    case CHANGE_ADD_TO:
    case CHANGE_ADD_TO_NEW: return app_library_collection_add(library, change->collection, document, error);
    case CHANGE_REMOVE_FROM: return app_library_collection_remove(library, change->collection, document, error);
    }
    return false;
}

static void run_change(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Change *change = data;
    GError *error = NULL;
    bool ok = true;
    if (change->kind == CHANGE_ADD_TO_NEW) {
        change->collection = app_library_add_collection(ui_context_get_library(change->context), change->name, &error);
        ok = change->collection > 0;
    }
    for (guint i = 0; ok && i < change->documents->len; i++) ok = change_one(change, g_array_index(change->documents, int64_t, i), &error);
    if (ok) g_task_return_boolean(task, TRUE);
    else g_task_return_error(task, error);
}

static void on_changed(GObject *source, GAsyncResult *result, gpointer user)
{
    g_autoptr(GError) error = NULL;
    if (!g_task_propagate_boolean(G_TASK(result), &error)) ui_window_say(GTK_WIDGET(source), error->message);
}

/* Takes documents. */
static void change(UiLibraryView *self, ChangeKind kind, GArray *documents, int64_t collection, const char *name)
{
    Change *c = g_new0(Change, 1);
    *c = (Change){g_object_ref(self->context), kind, documents, collection, g_strdup(name)};
    ui_context_run(self->context, G_OBJECT(self), run_change, c, free_change, NULL, on_changed, NULL);
}

static GArray *one(int64_t document)
{
    GArray *documents = g_array_new(FALSE, FALSE, sizeof(int64_t));
    g_array_append_val(documents, document);
    return documents;
}

static void remember(GHashTable *set, const GArray *documents)
{
    for (guint i = 0; i < documents->len; i++) {
        gint64 id = g_array_index(documents, int64_t, i);
        g_hash_table_add(set, g_memdup2(&id, sizeof id));
    }
}

void ui_library_actions_on_stopped(UiLibraryView *self, int64_t document)
{
    gint64 id = document;
    if (g_hash_table_remove(self->paused_by_hand, &id)) change(self, CHANGE_SETTLE_PAUSED, one(document), 0, NULL);
    else if (g_hash_table_remove(self->cancelled, &id)) change(self, CHANGE_SETTLE_CANCELLED, one(document), 0, NULL);
}

/* ------------------------------------------------------------------------------------------------------- the selection */

static AppDocumentState state_of(UiLibraryView *self, int64_t document)
{
    UiDocumentItem *item = ui_document_model_find(self->model, document);
    return item != NULL ? ui_document_item_get_document(item)->state : APP_DOCUMENT_NO_TEXT;
}

/* Documents of the selection that can be read, or stopped. */
static GArray *selection_where(UiLibraryView *self, bool readable)
{
    g_autoptr(GArray) selection = ui_library_view_dup_selection(self);
    GArray *fitting = g_array_new(FALSE, FALSE, sizeof(int64_t));
    for (guint i = 0; i < selection->len; i++) {
        int64_t id = g_array_index(selection, int64_t, i);
        AppDocumentState state = state_of(self, id);
        bool can_read = state == APP_DOCUMENT_NEW || state == APP_DOCUMENT_PAUSED || state == APP_DOCUMENT_FAILED;
        bool can_stop = state == APP_DOCUMENT_QUEUED || state == APP_DOCUMENT_READING;
        if (readable ? can_read : can_stop) g_array_append_val(fitting, id);
    }
    return fitting;
}

static UiDocumentItem *only_item(UiLibraryView *self)
{
    g_autoptr(GArray) selection = ui_library_view_dup_selection(self);
    return selection->len == 1 ? ui_document_model_find(self->model, g_array_index(selection, int64_t, 0)) : NULL;
}

void ui_library_actions_update(UiLibraryView *self)
{
    static const char *const of_any[] = {"library.ask", "library.remove", "library.unselect", "library.add-to-collection", "library.add-to-new-collection"};
    g_autoptr(GArray) selection = ui_library_view_dup_selection(self);
    GtkWidget *widget = GTK_WIDGET(self);
    /* With thousands selected, looking at each would take long for a menu entry. */
    bool few = selection->len <= 500;
    g_autoptr(GArray) readable = few ? selection_where(self, true) : g_array_ref(selection);
    g_autoptr(GArray) stoppable = few ? selection_where(self, false) : g_array_ref(selection);
    UiDocumentItem *item = only_item(self);
    for (size_t i = 0; i < G_N_ELEMENTS(of_any); i++) gtk_widget_action_set_enabled(widget, of_any[i], selection->len > 0);
    gtk_widget_action_set_enabled(widget, "library.open", item != NULL);
    gtk_widget_action_set_enabled(widget, "library.rename", item != NULL);
    gtk_widget_action_set_enabled(widget, "library.properties", item != NULL);
    gtk_widget_action_set_enabled(widget, "library.read-scan", item != NULL && ui_document_item_may_be_scan(item));
    gtk_widget_action_set_enabled(widget, "library.reveal", item != NULL && ui_document_item_get_document(item)->source[0] != '\0');
    gtk_widget_action_set_enabled(widget, "library.read", readable->len > 0);
    gtk_widget_action_set_enabled(widget, "library.pause", stoppable->len > 0);
    gtk_widget_action_set_enabled(widget, "library.cancel", stoppable->len > 0);
    gtk_widget_action_set_enabled(widget, "library.remove-from-collection", selection->len > 0 && self->collection != 0);
}

static void select_only(UiLibraryView *self, int64_t document)
{
    GListModel *list = G_LIST_MODEL(self->selection);
    for (guint i = 0; i < g_list_model_get_n_items(list); i++) {
        g_autoptr(UiDocumentItem) item = g_list_model_get_item(list, i);
        if (ui_document_item_get_id(item) != document) continue;
        if (!gtk_selection_model_is_selected(GTK_SELECTION_MODEL(self->selection), i)) {
            gtk_selection_model_select_item(GTK_SELECTION_MODEL(self->selection), i, TRUE);
        }
        return;
    }
}

/* ------------------------------------------------------------------------------------------------------------- the menu */

static void list_collections(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    GError *error = NULL;
    GPtrArray *collections = app_library_list_collections(data, &error);
    if (collections != NULL) g_task_return_pointer(task, collections, (GDestroyNotify)g_ptr_array_unref);
    else g_task_return_error(task, error);
}

static void on_collections(GObject *source, GAsyncResult *result, gpointer user)
{
    UiLibraryView *self = UI_LIBRARY_VIEW(source);
    g_autoptr(GPtrArray) collections = g_task_propagate_pointer(G_TASK(result), NULL);
    if (self->collections_menu == NULL) return;
    g_menu_remove_all(self->collections_menu);
    for (guint i = 0; collections != NULL && i < collections->len; i++) {
        const AppCollection *collection = g_ptr_array_index(collections, i);
        if (collection->id == self->collection) continue;
        g_auto(GStrv) parts = g_strsplit(collection->name, "_", -1);
        g_autofree char *label = g_strjoinv("__", parts); /* a single one would mark a key */
        g_autoptr(GMenuItem) item = g_menu_item_new(label, NULL);
        g_menu_item_set_action_and_target(item, "library.add-to-collection", "x", collection->id);
        g_menu_append_item(self->collections_menu, item);
    }
}

void ui_library_actions_show_menu(UiLibraryView *self, int64_t document, GtkWidget *anchor, const GdkRectangle *at)
{
    select_only(self, document);
    AppLibrary *library = app_library_ref(ui_context_get_library(self->context));
    ui_context_run(self->context, G_OBJECT(self), list_collections, library, (GDestroyNotify)app_library_unref, NULL, on_collections, NULL);
    if (self->menu == NULL) self->menu = ui_menu_new(self->document_menu, GTK_WIDGET(self));
    ui_menu_popup(self->menu, anchor, at);
}

static void show_menu(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiLibraryView *self = UI_LIBRARY_VIEW(widget);
    GtkWidget *focus = gtk_root_get_focus(gtk_widget_get_root(widget));
    int64_t document = g_variant_get_int64(parameter);
    if (focus == NULL || !gtk_widget_is_ancestor(focus, widget)) focus = GTK_WIDGET(self->stack);
    ui_library_actions_show_menu(self, document, focus, &(GdkRectangle){gtk_widget_get_width(focus) / 2, gtk_widget_get_height(focus), 1, 1});
}

/* The document whose row has the focus; 0: none has. */
static int64_t focused_document(GtkWidget *widget)
{
    GtkWidget *focus = gtk_root_get_focus(gtk_widget_get_root(widget)), *row = focus != NULL ? gtk_widget_get_first_child(focus) : NULL;
    UiDocumentItem *item = row != NULL && UI_IS_DOCUMENT_ROW(row) ? ui_document_row_get_item(UI_DOCUMENT_ROW(row)) : NULL;
    return item != NULL ? ui_document_item_get_id(item) : 0;
}

/* By key: of what is selected, or of the row that Tab has come to. */
static void show_selection_menu(GtkWidget *widget, const char *name, GVariant *parameter)
{
    g_autoptr(GArray) selection = ui_library_view_dup_selection(UI_LIBRARY_VIEW(widget));
    int64_t document = selection->len > 0 ? g_array_index(selection, int64_t, 0) : focused_document(widget);
    g_autoptr(GVariant) target = g_variant_ref_sink(g_variant_new_int64(document));
    if (document != 0) show_menu(widget, name, target);
}

/* -------------------------------------------------------------------------------------------------------------- actions */

static void add_files(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ui_library_view_choose_files(UI_LIBRARY_VIEW(widget), false);
}

static void add_folder(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ui_library_view_choose_files(UI_LIBRARY_VIEW(widget), true);
}

static void read_scan(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiDocumentItem *item = only_item(UI_LIBRARY_VIEW(widget));
    if (item != NULL) ui_library_locked_read_scan(UI_LIBRARY_VIEW(widget), ui_document_item_get_document(item));
}

static void read_scan_document(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiDocumentItem *item = ui_document_model_find(UI_LIBRARY_VIEW(widget)->model, g_variant_get_int64(parameter));
    if (item != NULL) ui_library_locked_read_scan(UI_LIBRARY_VIEW(widget), ui_document_item_get_document(item));
}

static void add_sample(GtkWidget *widget, const char *name, GVariant *parameter)
{
    g_autofree char *path = g_build_filename(app_paths_resources(), "samples", "the-time-machine.txt", NULL);
    ui_library_view_add_path(UI_LIBRARY_VIEW(widget), path);
}

static void stop_adding(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UI_LIBRARY_VIEW(widget)->adding_has_pages = false; /* none are told any more */
    app_read_queue_stop_adding(ui_context_get_queue(UI_LIBRARY_VIEW(widget)->context));
}

static void open_document(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiDocumentItem *item = only_item(UI_LIBRARY_VIEW(widget));
    if (item != NULL) gtk_widget_activate_action(widget, "win.open-document", "x", ui_document_item_get_id(item));
}

static void ask(GtkWidget *widget, const char *name, GVariant *parameter)
{
    g_autoptr(GArray) selection = ui_library_view_dup_selection(UI_LIBRARY_VIEW(widget));
    g_autoptr(GVariantBuilder) builder = g_variant_builder_new(G_VARIANT_TYPE("ax"));
    for (guint i = 0; i < selection->len; i++) g_variant_builder_add(builder, "x", g_array_index(selection, int64_t, i));
    gtk_widget_activate_action(widget, "win.ask-documents", "ax", builder);
}

static void read_selected(GtkWidget *widget, const char *name, GVariant *parameter)
{
    change(UI_LIBRARY_VIEW(widget), CHANGE_READ, selection_where(UI_LIBRARY_VIEW(widget), true), 0, NULL);
}

static void stop_documents(UiLibraryView *self, bool by_hand, GArray *documents)
{
    remember(by_hand ? self->paused_by_hand : self->cancelled, documents);
    change(self, by_hand ? CHANGE_PAUSE : CHANGE_CANCEL, documents, 0, NULL);
}

static void pause_selected(GtkWidget *widget, const char *name, GVariant *parameter)
{
    stop_documents(UI_LIBRARY_VIEW(widget), true, selection_where(UI_LIBRARY_VIEW(widget), false));
}

static void cancel_selected(GtkWidget *widget, const char *name, GVariant *parameter)
{
    stop_documents(UI_LIBRARY_VIEW(widget), false, selection_where(UI_LIBRARY_VIEW(widget), false));
}

static void read_document(GtkWidget *widget, const char *name, GVariant *parameter)
{
    change(UI_LIBRARY_VIEW(widget), CHANGE_READ, one(g_variant_get_int64(parameter)), 0, NULL);
}

static void pause_document(GtkWidget *widget, const char *name, GVariant *parameter)
{
    stop_documents(UI_LIBRARY_VIEW(widget), true, one(g_variant_get_int64(parameter)));
}

static void cancel_document(GtkWidget *widget, const char *name, GVariant *parameter)
{
    stop_documents(UI_LIBRARY_VIEW(widget), false, one(g_variant_get_int64(parameter)));
}

static void on_renamed(GtkWidget *widget, const char *name, gint64 document, gpointer user)
{
    change(UI_LIBRARY_VIEW(widget), CHANGE_RENAME, one(document), 0, name);
}

static void rename_document(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiDocumentItem *item = only_item(UI_LIBRARY_VIEW(widget));
    if (item == NULL) return;
    ui_name_dialog_show(widget, _("Rename Document"), _("Title"), ui_document_item_get_title(item), _("_Rename"), ui_document_item_get_id(item),
                        on_renamed, NULL);
}

static void add_to_collection(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiLibraryView *self = UI_LIBRARY_VIEW(widget);
    change(self, CHANGE_ADD_TO, ui_library_view_dup_selection(self), g_variant_get_int64(parameter), NULL);
}

static void on_named_collection(GtkWidget *widget, const char *name, gint64 number, gpointer user)
{
    UiLibraryView *self = UI_LIBRARY_VIEW(widget);
    change(self, CHANGE_ADD_TO_NEW, ui_library_view_dup_selection(self), 0, name);
}

static void add_to_new_collection(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ui_name_dialog_show(widget, _("New Collection"), _("Name"), "", _("_Create"), 0, on_named_collection, NULL);
}

static void remove_from_collection(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiLibraryView *self = UI_LIBRARY_VIEW(widget);
    change(self, CHANGE_REMOVE_FROM, ui_library_view_dup_selection(self), self->collection, NULL);
}

static void remove_selected(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiLibraryView *self = UI_LIBRARY_VIEW(widget);
    g_autoptr(GArray) selection = ui_library_view_dup_selection(self);
    ui_document_removal_begin(self->removals, self->context, self->model, (const int64_t *)(void *)selection->data, selection->len);
}

static void unselect(GtkWidget *widget, const char *name, GVariant *parameter)
{
    gtk_selection_model_unselect_all(GTK_SELECTION_MODEL(UI_LIBRARY_VIEW(widget)->selection));
}

static void on_revealed(GObject *source, GAsyncResult *result, gpointer user)
{
    g_autofree char *uri = user;
    g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, NULL);
    if (reply != NULL) return;
    /* No file manager answers: at least the folder, in whatever opens folders. */
    g_autoptr(GFile) file = g_file_new_for_uri(uri), folder = g_file_get_parent(file);
    g_autofree char *folder_uri = folder != NULL ? g_file_get_uri(folder) : NULL;
    if (folder_uri != NULL) g_app_info_launch_default_for_uri_async(folder_uri, NULL, NULL, NULL, NULL);
}

static void reveal(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiDocumentItem *item = only_item(UI_LIBRARY_VIEW(widget));
    GDBusConnection *bus = g_application_get_dbus_connection(g_application_get_default());
    if (item == NULL) return;
    char *uri = g_filename_to_uri(ui_document_item_get_document(item)->source, NULL, NULL);
    if (uri == NULL || bus == NULL) {
        g_free(uri);
        return;
    }
    g_autoptr(GVariantBuilder) uris = g_variant_builder_new(G_VARIANT_TYPE("as"));
    g_variant_builder_add(uris, "s", uri);
    g_dbus_connection_call(bus, "org.freedesktop.FileManager1", "/org/freedesktop/FileManager1", "org.freedesktop.FileManager1", "ShowItems",
                           g_variant_new("(ass)", uris, ""), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, on_revealed, uri);
}

static void show_properties(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiDocumentItem *item = only_item(UI_LIBRARY_VIEW(widget));
    if (item != NULL) ui_properties_show(GTK_WINDOW(gtk_widget_get_root(widget)), item);
}

static void show_all(GtkWidget *widget, const char *name, GVariant *parameter)
{
    gtk_widget_activate_action(widget, "listing.filter", "s", "all");
}

void ui_library_actions_install(GtkWidgetClass *class)
{
    static const struct {
        const char *name, *type;
        GtkWidgetActionActivateFunc activate;
    } actions[] = {
        {"library.add-files", NULL, add_files},
        {"library.add-folder", NULL, add_folder},
        {"library.add-sample", NULL, add_sample},
        {"library.read-scan", NULL, read_scan},
        {"library.stop-adding", NULL, stop_adding},
        {"library.open", NULL, open_document},
        {"library.ask", NULL, ask},
        {"library.read", NULL, read_selected},
        {"library.pause", NULL, pause_selected},
        {"library.cancel", NULL, cancel_selected},
        {"library.read-document", "x", read_document},
        {"library.read-scan-document", "x", read_scan_document},
        {"library.pause-document", "x", pause_document},
        {"library.cancel-document", "x", cancel_document},
        {"library.rename", NULL, rename_document},
        {"library.add-to-collection", "x", add_to_collection},
        {"library.add-to-new-collection", NULL, add_to_new_collection},
        {"library.remove-from-collection", NULL, remove_from_collection},
        {"library.remove", NULL, remove_selected},
        {"library.unselect", NULL, unselect},
        {"library.reveal", NULL, reveal},
        {"library.properties", NULL, show_properties},
        {"library.show-all", NULL, show_all},
        {"library.show-menu", "x", show_menu},
        {"library.show-selection-menu", NULL, show_selection_menu},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) gtk_widget_class_install_action(class, actions[i].name, actions[i].type, actions[i].activate);
    gtk_widget_class_add_binding_action(class, GDK_KEY_Delete, 0, "library.remove", NULL);
    gtk_widget_class_add_binding_action(class, GDK_KEY_F2, 0, "library.rename", NULL);
    gtk_widget_class_add_binding_action(class, GDK_KEY_Return, GDK_ALT_MASK, "library.properties", NULL);
    gtk_widget_class_add_binding_action(class, GDK_KEY_Menu, 0, "library.show-selection-menu", NULL);
    gtk_widget_class_add_binding_action(class, GDK_KEY_F10, GDK_SHIFT_MASK, "library.show-selection-menu", NULL);
}
