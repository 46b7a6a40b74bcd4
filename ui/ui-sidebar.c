/* ui-sidebar.c: see ui-sidebar.h. */
#define G_LOG_DOMAIN "ui-sidebar"
#include "ui-sidebar-internal.h"

#include <glib/gi18n.h>

#include "ui-format.h"
#include "ui-search-bar.h"
#include "ui-window.h"

enum { CONVERSATIONS_MAX = 500 };

G_DEFINE_FINAL_TYPE(UiSidebar, ui_sidebar, ADW_TYPE_BIN)

/* ----------------------------------------------------------------------------------------------------------------- rows */

static void free_row(gpointer data)
{
    UiSidebarRow *row = data;
    g_free(row->name);
    g_free(row->detail);
    g_free(row);
}

const UiSidebarRow *ui_sidebar_get_row(GtkListBoxRow *row)
{
    return g_object_get_data(G_OBJECT(row), "row");
}

GtkLabel *ui_sidebar_add_label(GtkWidget *box, bool expands)
{
    GtkWidget *label = gtk_label_new(NULL);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_label_set_ellipsize(GTK_LABEL(label), expands ? PANGO_ELLIPSIZE_END : PANGO_ELLIPSIZE_NONE);
    gtk_widget_set_hexpand(label, expands);
    gtk_box_append(GTK_BOX(box), label);
    return GTK_LABEL(label);
}

static void on_pressed(GtkGestureClick *gesture, int n_press, double x, double y, UiSidebar *self)
{
    GtkWidget *row = gtk_event_controller_get_widget(GTK_EVENT_CONTROLLER(gesture));
    GdkEvent *event = gtk_event_controller_get_current_event(GTK_EVENT_CONTROLLER(gesture));
    if (!gdk_event_triggers_context_menu(event)) return;
    gtk_gesture_set_state(GTK_GESTURE(gesture), GTK_EVENT_SEQUENCE_CLAIMED);
    ui_sidebar_changes_show_menu(self, GTK_LIST_BOX_ROW(row), x, y);
}

static void on_long_press(GtkGestureLongPress *gesture, double x, double y, UiSidebar *self)
{
    ui_sidebar_changes_show_menu(self, GTK_LIST_BOX_ROW(gtk_event_controller_get_widget(GTK_EVENT_CONTROLLER(gesture))), x, y);
}

typedef struct Drop {
    UiContext *context;
    int64_t collection;
    GVariant *documents; /* "ax" */
} Drop;

static void free_drop(gpointer data)
{
    g_object_unref(((Drop *)data)->context);
    g_variant_unref(((Drop *)data)->documents);
    g_free(data);
}

static void add_dropped(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Drop *drop = data;
    g_autoptr(GError) error = NULL;
    gsize n = 0;
    const gint64 *documents = g_variant_get_fixed_array(drop->documents, &n, sizeof *documents);
    for (gsize i = 0; i < n && error == NULL; i++) {
        app_library_collection_add(ui_context_get_library(drop->context), drop->collection, documents[i], &error);
    }
    if (error != NULL) g_task_return_error(task, g_steal_pointer(&error));
    else g_task_return_boolean(task, TRUE);
}

static void on_dropped(GObject *source, GAsyncResult *result, gpointer user)
{
    g_autoptr(GError) error = NULL;
    if (!g_task_propagate_boolean(G_TASK(result), &error)) ui_window_say(GTK_WIDGET(source), error->message);
}

static gboolean on_drop(GtkDropTarget *target, const GValue *value, double x, double y, UiSidebar *self)
{
    GtkWidget *row = gtk_event_controller_get_widget(GTK_EVENT_CONTROLLER(target));
    GVariant *documents = g_value_get_variant(value);
    if (documents == NULL || !g_variant_is_of_type(documents, G_VARIANT_TYPE("ax"))) return FALSE;
    Drop *drop = g_new0(Drop, 1);
    drop->context = g_object_ref(self->context);
    drop->collection = ui_sidebar_get_row(GTK_LIST_BOX_ROW(row))->id;
    drop->documents = g_variant_ref(documents);
    ui_context_run(self->context, G_OBJECT(self), add_dropped, drop, free_drop, NULL, on_dropped, NULL);
    return TRUE;
}

GtkWidget *ui_sidebar_make_row(UiSidebar *self, gint64 id, const char *name, const char *detail, GtkWidget *content, bool has_menu)
{
    GtkWidget *row = gtk_list_box_row_new();
    UiSidebarRow *data = g_new0(UiSidebarRow, 1);
    *data = (UiSidebarRow){id, g_strdup(name), g_strdup(detail)};
    g_object_set_data_full(G_OBJECT(row), "row", data, free_row);
    gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), content);
    gtk_widget_set_tooltip_text(row, name);
    g_autofree char *label = *detail != '\0' ? g_strdup_printf("%s, %s", name, detail) : g_strdup(name);
    gtk_accessible_update_property(GTK_ACCESSIBLE(row), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
    if (!has_menu) return row;
    GtkGesture *click = gtk_gesture_click_new(), *press = gtk_gesture_long_press_new();
    gtk_gesture_single_set_button(GTK_GESTURE_SINGLE(click), 0);
    g_signal_connect(click, "pressed", G_CALLBACK(on_pressed), self);
    gtk_widget_add_controller(row, GTK_EVENT_CONTROLLER(click));
    gtk_gesture_single_set_touch_only(GTK_GESTURE_SINGLE(press), TRUE);
    g_signal_connect(press, "pressed", G_CALLBACK(on_long_press), self);
    gtk_widget_add_controller(row, GTK_EVENT_CONTROLLER(press));
    return row;
}

/* A name and, at the end of the line, a number or a day. */
static GtkWidget *make_line(const char *name, const char *detail, const char *icon)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
    if (icon != NULL) gtk_box_append(GTK_BOX(box), gtk_image_new_from_icon_name(icon));
    gtk_label_set_text(ui_sidebar_add_label(box, true), name);
    GtkLabel *count = ui_sidebar_add_label(box, false);
    gtk_label_set_text(count, detail);
    gtk_widget_add_css_class(GTK_WIDGET(count), "dim-label");
    gtk_widget_add_css_class(GTK_WIDGET(count), "caption");
    gtk_widget_add_css_class(GTK_WIDGET(count), "numeric");
    return box;
}

static void clear(GtkListBox *list)
{
    GtkWidget *child;
    while ((child = gtk_widget_get_first_child(GTK_WIDGET(list))) != NULL) gtk_list_box_remove(list, child);
}

static void select_id(GtkListBox *list, gint64 id)
{
    for (int i = 0;; i++) {
        GtkListBoxRow *row = gtk_list_box_get_row_at_index(list, i);
        if (row == NULL) break;
        if (ui_sidebar_get_row(row)->id != id) continue;
        gtk_list_box_select_row(list, row);
        return;
    }
    gtk_list_box_unselect_all(list);
}

void ui_sidebar_mark_shown(UiSidebar *self)
{
    gint64 conversation = self->shown_conversation != 0 ? self->shown_conversation : -1;
    select_id(self->collections, self->shown_collection);
    select_id(self->conversations, conversation);
    select_id(self->found, conversation);
}

/* ------------------------------------------------------------------------------------------------------------- loading */

typedef struct Lists {
    GPtrArray *collections, *conversations;
    int64_t n_documents;
} Lists;

static void free_lists(gpointer data)
{
    Lists *lists = data;
    g_clear_pointer(&lists->collections, g_ptr_array_unref);
    g_clear_pointer(&lists->conversations, g_ptr_array_unref);
    g_free(lists);
}

typedef struct Loading {
    AppLibrary *library;
    GArray *gone; /* int64_t: documents that are not counted any more */
} Loading;

static void free_loading(gpointer data)
{
    app_library_unref(((Loading *)data)->library);
    g_array_unref(((Loading *)data)->gone);
    g_free(data);
}

static void load_lists(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const Loading *loading = data;
    AppLibrary *library = loading->library;
    const int64_t *gone = (const int64_t *)(void *)loading->gone->data;
    GError *error = NULL;
    Lists *lists = g_new0(Lists, 1);
    lists->collections = app_library_list_collections_without(library, gone, loading->gone->len, &error);
    lists->conversations = lists->collections != NULL ? app_library_list_conversations(library, CONVERSATIONS_MAX, &error) : NULL;
    lists->n_documents = app_library_count_documents_without(library, 0, gone, loading->gone->len, NULL);
    if (lists->conversations != NULL) {
        g_task_return_pointer(task, lists, free_lists);
    } else {
        free_lists(lists);
        g_task_return_error(task, error);
    }
}

/* Are the rows those already? Then they stay: the focus and an open menu hang on them. */
static bool is_same(GtkListBox *list, int index, gint64 id, const char *name, const char *detail)
{
    GtkListBoxRow *row = gtk_list_box_get_row_at_index(list, index);
    const UiSidebarRow *data = row != NULL ? ui_sidebar_get_row(row) : NULL;
    return data != NULL && data->id == id && g_str_equal(data->name, name) && g_str_equal(data->detail, detail);
}

static void put_row(UiSidebar *self, GtkListBox *list, int index, gint64 id, const char *name, const char *detail, const char *icon, bool has_menu)
{
    if (is_same(list, index, id, name, detail)) return;
    GtkListBoxRow *before = gtk_list_box_get_row_at_index(list, index);
    bool had_focus = before != NULL && ui_sidebar_get_row(before)->id == id && gtk_widget_has_focus(GTK_WIDGET(before));
    if (before != NULL) gtk_list_box_remove(list, GTK_WIDGET(before));
    GtkWidget *row = ui_sidebar_make_row(self, id, name, detail, make_line(name, detail, icon), has_menu);
    gtk_list_box_insert(list, row, index);
    if (had_focus) gtk_widget_grab_focus(row);
    if (list != self->collections || id == 0) return;
    GtkDropTarget *drop = gtk_drop_target_new(G_TYPE_VARIANT, GDK_ACTION_COPY);
    g_signal_connect(drop, "drop", G_CALLBACK(on_drop), self);
    gtk_widget_add_controller(row, GTK_EVENT_CONTROLLER(drop));
}

static void cut_rows(GtkListBox *list, int n)
{
    GtkListBoxRow *row;
    while ((row = gtk_list_box_get_row_at_index(list, n)) != NULL) gtk_list_box_remove(list, GTK_WIDGET(row));
}

static void show_collections(UiSidebar *self, const Lists *lists)
{
    g_autofree char *n_all = ui_format_count((uint64_t)MAX(lists->n_documents, 0));
    int n_rows = 0;
    put_row(self, self->collections, n_rows++, 0, _("All Documents"), n_all, "lectern-library-symbolic", false);
    for (guint i = 0; i < lists->collections->len; i++) {
        const AppCollection *collection = g_ptr_array_index(lists->collections, i);
        gint64 id = collection->id;
        if (g_hash_table_contains(self->hidden_collections, &id)) continue;
        g_autofree char *n = ui_format_count(collection->n_documents);
        put_row(self, self->collections, n_rows++, id, collection->name, n, "lectern-collection-symbolic", true);
    }
    cut_rows(self->collections, n_rows);
}

static void show_conversations(UiSidebar *self, const Lists *lists)
{
    int n_rows = 0;
    for (guint i = 0; i < lists->conversations->len; i++) {
        const AppConversation *conversation = g_ptr_array_index(lists->conversations, i);
        gint64 id = conversation->id;
        if (g_hash_table_contains(self->hidden_conversations, &id)) continue;
        g_autofree char *day = ui_format_day(conversation->updated_s);
        put_row(self, self->conversations, n_rows++, id, *conversation->title != '\0' ? conversation->title : _("Untitled"), day, NULL, true);
    }
    cut_rows(self->conversations, n_rows);
}

static void on_lists(GObject *source, GAsyncResult *result, gpointer user)
{
    UiSidebar *self = UI_SIDEBAR(source);
    Lists *lists = g_task_propagate_pointer(G_TASK(result), NULL);
    self->is_loading = false;
    if (lists == NULL || self->context == NULL) {
        if (lists != NULL) free_lists(lists);
        return;
    }
    show_collections(self, lists);
    show_conversations(self, lists);
    gtk_widget_set_visible(self->search_button, lists->conversations->len > 0);
    ui_sidebar_mark_shown(self);
    ui_sidebar_search_update(self);
    free_lists(lists);
    if (self->is_dirty) ui_sidebar_load(self);
}

void ui_sidebar_load(UiSidebar *self)
{
    self->is_dirty = self->is_loading;
    if (self->is_loading) return;
    self->is_loading = true;
    Loading *loading = g_new0(Loading, 1);
    *loading = (Loading){app_library_ref(ui_context_get_library(self->context)), ui_context_dup_hidden(self->context)};
    ui_context_run(self->context, G_OBJECT(self), load_lists, loading, free_loading, NULL, on_lists, NULL);
}

static void on_read_event(UiSidebar *self, const AppReadEvent *event)
{
    if (event->kind == APP_READ_ADDED || event->kind == APP_READ_IDLE) ui_sidebar_load(self);
}

static void on_library_changed(UiSidebar *self, gint64 document)
{
    if (document == 0) ui_sidebar_load(self); /* one document's change adds no collection and no conversation */
}

/* ----------------------------------------------------------------------------------------------------------- choosing */

static void on_collection_activated(UiSidebar *self, GtkListBoxRow *row)
{
    gtk_widget_activate_action(GTK_WIDGET(self), "win.show-library", "x", ui_sidebar_get_row(row)->id);
}

static void on_conversation_activated(UiSidebar *self, GtkListBoxRow *row)
{
    gtk_widget_activate_action(GTK_WIDGET(self), "win.show-conversation", "x", ui_sidebar_get_row(row)->id);
}

static void on_found_activated(UiSidebar *self, GtkListBoxRow *row)
{
    gint64 turn = GPOINTER_TO_SIZE(g_object_get_data(G_OBJECT(row), "turn"));
    gtk_widget_activate_action(GTK_WIDGET(self), "win.show-turn", "(xx)", ui_sidebar_get_row(row)->id, turn);
}

static void on_search_changed(UiSidebar *self)
{
    ui_sidebar_search_update(self);
}

/* -------------------------------------------------------------------------------------------------------------- public */

void ui_sidebar_set_context(UiSidebar *self, UiContext *context, UiRemovals *removals)
{
    g_set_object(&self->context, context);
    self->removals = removals;
    g_signal_connect_object(context, "library-changed", G_CALLBACK(on_library_changed), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(context, "document-hidden", G_CALLBACK(ui_sidebar_load), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(context, "read-event", G_CALLBACK(on_read_event), self, G_CONNECT_SWAPPED);
    ui_sidebar_load(self);
}

void ui_sidebar_set_shown(UiSidebar *self, int64_t collection, int64_t conversation)
{
    self->shown_collection = collection;
    self->shown_conversation = conversation;
    ui_sidebar_mark_shown(self);
}

void ui_sidebar_set_title_buttons(UiSidebar *self, bool end)
{
    adw_header_bar_set_show_end_title_buttons(self->header, end);
}

void ui_sidebar_find_conversation(UiSidebar *self)
{
    ui_search_bar_open(self->search_bar, GTK_EDITABLE(self->search_entry), NULL);
}

void ui_sidebar_popup_menu(UiSidebar *self)
{
    gtk_menu_button_popup(self->menu_button);
}

static void ui_sidebar_dispose(GObject *object)
{
    UiSidebar *self = UI_SIDEBAR(object);
    if (self->collection_popover != NULL) gtk_widget_unparent(GTK_WIDGET(self->collection_popover));
    if (self->conversation_popover != NULL) gtk_widget_unparent(GTK_WIDGET(self->conversation_popover));
    self->collection_popover = self->conversation_popover = NULL;
    if (self->collections != NULL) clear(self->collections);
    if (self->conversations != NULL) clear(self->conversations);
    if (self->found != NULL) clear(self->found);
    gtk_widget_dispose_template(GTK_WIDGET(object), UI_TYPE_SIDEBAR);
    g_clear_object(&self->context);
    g_clear_pointer(&self->menu_name, g_free);
    G_OBJECT_CLASS(ui_sidebar_parent_class)->dispose(object);
}

static void ui_sidebar_finalize(GObject *object)
{
    g_hash_table_unref(UI_SIDEBAR(object)->hidden_collections);
    g_hash_table_unref(UI_SIDEBAR(object)->hidden_conversations);
    G_OBJECT_CLASS(ui_sidebar_parent_class)->finalize(object);
}

static void ui_sidebar_class_init(UiSidebarClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_sidebar_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_sidebar_finalize;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/sidebar.ui");
#define CHILD(NAME) gtk_widget_class_bind_template_child(widget_class, UiSidebar, NAME)
    CHILD(header);
    CHILD(collections);
    CHILD(conversations);
    CHILD(found);
    CHILD(search_bar);
    CHILD(search_entry);
    CHILD(search_button);
    CHILD(menu_button);
    CHILD(collection_menu);
    CHILD(conversation_menu);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget_class, on_collection_activated);
    gtk_widget_class_bind_template_callback(widget_class, on_conversation_activated);
    gtk_widget_class_bind_template_callback(widget_class, on_found_activated);
    gtk_widget_class_bind_template_callback(widget_class, on_search_changed);
    ui_sidebar_changes_install(widget_class);
}

static void ui_sidebar_init(UiSidebar *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    gtk_search_bar_connect_entry(self->search_bar, GTK_EDITABLE(self->search_entry));
    /* Keys that pass through a list take its mark with them; it belongs to what is shown. */
    GtkListBox *lists[] = {self->collections, self->conversations};
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        GtkEventController *focus = gtk_event_controller_focus_new();
        g_signal_connect_swapped(focus, "leave", G_CALLBACK(ui_sidebar_mark_shown), self);
        gtk_widget_add_controller(GTK_WIDGET(lists[i]), focus);
    }
    self->hidden_collections = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    self->hidden_conversations = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    g_signal_connect_swapped(self->search_bar, "notify::search-mode-enabled", G_CALLBACK(on_search_changed), self);
}
