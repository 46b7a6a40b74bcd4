/* ui-sidebar.c: see ui-sidebar.h. */
#define G_LOG_DOMAIN "ui-sidebar"
#include "ui-sidebar.h"

#include <glib/gi18n.h>

#include "ui-document-item.h"
#include "ui-format.h"
#include "ui-name-dialog.h"
#include "ui-window.h"

enum { CONVERSATIONS_MAX = 500 };

struct _UiSidebar {
    AdwBin parent;
    AdwHeaderBar *header;
    GtkListBox *collections, *conversations;
    GtkSearchBar *search_bar;
    GtkSearchEntry *search_entry;
    GtkWidget *search_button;
    GtkMenuButton *menu_button;
    GMenuModel *collection_menu, *conversation_menu;
    GtkPopover *collection_popover, *conversation_popover;

    UiContext *context;
    gint64 shown_collection, shown_conversation;
    gint64 menu_id;    /* of what the open menu is about */
    char *menu_name;
    bool is_loading, is_dirty;
};

G_DEFINE_FINAL_TYPE(UiSidebar, ui_sidebar, ADW_TYPE_BIN)

/* ----------------------------------------------------------------------------------------------------------------- rows */

typedef struct RowData {
    gint64 id;
    char *name, *detail;
} RowData;

static void free_row_data(gpointer data)
{
    RowData *row = data;
    g_free(row->name);
    g_free(row->detail);
    g_free(row);
}

static RowData *row_data(GtkListBoxRow *row)
{
    return g_object_get_data(G_OBJECT(row), "row");
}

static GtkLabel *add_label(GtkWidget *box, bool expands)
{
    GtkWidget *label = gtk_label_new(NULL);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_label_set_ellipsize(GTK_LABEL(label), expands ? PANGO_ELLIPSIZE_END : PANGO_ELLIPSIZE_NONE);
    gtk_widget_set_hexpand(label, expands);
    gtk_box_append(GTK_BOX(box), label);
    return GTK_LABEL(label);
}

static void show_menu_at(UiSidebar *self, GtkListBoxRow *row, double x, double y);

static void on_pressed(GtkGestureClick *gesture, int n_press, double x, double y, UiSidebar *self)
{
    GtkWidget *row = gtk_event_controller_get_widget(GTK_EVENT_CONTROLLER(gesture));
    GdkEvent *event = gtk_event_controller_get_current_event(GTK_EVENT_CONTROLLER(gesture));
    if (!gdk_event_triggers_context_menu(event)) return;
    gtk_gesture_set_state(GTK_GESTURE(gesture), GTK_EVENT_SEQUENCE_CLAIMED);
    show_menu_at(self, GTK_LIST_BOX_ROW(row), x, y);
}

static void on_long_press(GtkGestureLongPress *gesture, double x, double y, UiSidebar *self)
{
    show_menu_at(self, GTK_LIST_BOX_ROW(gtk_event_controller_get_widget(GTK_EVENT_CONTROLLER(gesture))), x, y);
}

typedef struct Drop {
    UiContext *context;
    int64_t collection, document;
} Drop;

static void free_drop(gpointer data)
{
    g_object_unref(((Drop *)data)->context);
    g_free(data);
}

static void add_dropped(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Drop *drop = data;
    g_autoptr(GError) error = NULL;
    if (!app_library_collection_add(ui_context_get_library(drop->context), drop->collection, drop->document, &error)) g_warning("%s", error->message);
    g_task_return_boolean(task, TRUE);
}

static gboolean on_drop(GtkDropTarget *target, const GValue *value, double x, double y, UiSidebar *self)
{
    GtkWidget *row = gtk_event_controller_get_widget(GTK_EVENT_CONTROLLER(target));
    Drop *drop = g_new0(Drop, 1);
    drop->context = g_object_ref(self->context);
    drop->collection = row_data(GTK_LIST_BOX_ROW(row))->id;
    drop->document = ui_document_item_get_id(g_value_get_object(value));
    ui_context_run(self->context, G_OBJECT(self), add_dropped, drop, free_drop, NULL, NULL, NULL);
    return TRUE;
}

static GtkWidget *make_row(UiSidebar *self, gint64 id, const char *name, const char *detail, const char *icon, bool has_menu)
{
    GtkWidget *row = gtk_list_box_row_new(), *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
    RowData *data = g_new0(RowData, 1);
    *data = (RowData){id, g_strdup(name), g_strdup(detail)};
    g_object_set_data_full(G_OBJECT(row), "row", data, free_row_data);
    if (icon != NULL) gtk_box_append(GTK_BOX(box), gtk_image_new_from_icon_name(icon));
    gtk_label_set_text(add_label(box, true), name);
    GtkLabel *count = add_label(box, false);
    gtk_label_set_text(count, detail);
    gtk_widget_add_css_class(GTK_WIDGET(count), "dim-label");
    gtk_widget_add_css_class(GTK_WIDGET(count), "caption");
    gtk_widget_add_css_class(GTK_WIDGET(count), "numeric");
    gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), box);
    gtk_widget_set_tooltip_text(row, name);
    g_autofree char *label = g_strdup_printf("%s, %s", name, detail);
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
        if (row_data(row)->id != id) continue;
        gtk_list_box_select_row(list, row);
        return;
    }
    gtk_list_box_unselect_all(list);
}

static void mark_shown(UiSidebar *self)
{
    select_id(self->collections, self->shown_collection);
    select_id(self->conversations, self->shown_conversation != 0 ? self->shown_conversation : -1);
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

static void load_lists(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    AppLibrary *library = data;
    GError *error = NULL;
    Lists *lists = g_new0(Lists, 1);
    lists->collections = app_library_list_collections(library, &error);
    lists->conversations = lists->collections != NULL ? app_library_list_conversations(library, CONVERSATIONS_MAX, &error) : NULL;
    lists->n_documents = app_library_count_documents(library, 0, NULL);
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
    const RowData *data = row != NULL ? row_data(row) : NULL;
    return data != NULL && data->id == id && g_str_equal(data->name, name) && g_str_equal(data->detail, detail);
}

static void put_row(UiSidebar *self, GtkListBox *list, int index, gint64 id, const char *name, const char *detail, const char *icon, bool has_menu)
{
    if (is_same(list, index, id, name, detail)) return;
    GtkListBoxRow *before = gtk_list_box_get_row_at_index(list, index);
    bool had_focus = before != NULL && row_data(before)->id == id && gtk_widget_has_focus(GTK_WIDGET(before));
    if (before != NULL) gtk_list_box_remove(list, GTK_WIDGET(before));
    GtkWidget *row = make_row(self, id, name, detail, icon, has_menu);
    gtk_list_box_insert(list, row, index);
    if (had_focus) gtk_widget_grab_focus(row);
    if (list != self->collections || id == 0) return;
    GtkDropTarget *drop = gtk_drop_target_new(UI_TYPE_DOCUMENT_ITEM, GDK_ACTION_COPY);
    g_signal_connect(drop, "drop", G_CALLBACK(on_drop), self);
    gtk_widget_add_controller(row, GTK_EVENT_CONTROLLER(drop));
}

static void cut_rows(GtkListBox *list, int n)
{
    GtkListBoxRow *row;
    while ((row = gtk_list_box_get_row_at_index(list, n)) != NULL) gtk_list_box_remove(list, GTK_WIDGET(row));
}

static void load(UiSidebar *self);

static void on_lists(GObject *source, GAsyncResult *result, gpointer user)
{
    UiSidebar *self = UI_SIDEBAR(source);
    Lists *lists = g_task_propagate_pointer(G_TASK(result), NULL);
    self->is_loading = false;
    if (lists == NULL || self->context == NULL) {
        if (lists != NULL) free_lists(lists);
        return;
    }
    g_autofree char *n_all = ui_format_count((uint64_t)MAX(lists->n_documents, 0));
    put_row(self, self->collections, 0, 0, _("All Documents"), n_all, "lectern-library-symbolic", false);
    for (guint i = 0; i < lists->collections->len; i++) {
        const AppCollection *collection = g_ptr_array_index(lists->collections, i);
        g_autofree char *n = ui_format_count(collection->n_documents);
        put_row(self, self->collections, (int)i + 1, collection->id, collection->name, n, "lectern-collection-symbolic", true);
    }
    cut_rows(self->collections, (int)lists->collections->len + 1);
    for (guint i = 0; i < lists->conversations->len; i++) {
        const AppConversation *conversation = g_ptr_array_index(lists->conversations, i);
        g_autofree char *day = ui_format_day(conversation->updated_s);
        put_row(self, self->conversations, (int)i, conversation->id, *conversation->title != '\0' ? conversation->title : _("Untitled"), day, NULL, true);
    }
    cut_rows(self->conversations, (int)lists->conversations->len);
    gtk_widget_set_visible(self->search_button, lists->conversations->len > 0);
    mark_shown(self);
    free_lists(lists);
    if (self->is_dirty) load(self);
}

static void load(UiSidebar *self)
{
    self->is_dirty = self->is_loading;
    if (self->is_loading) return;
    self->is_loading = true;
    AppLibrary *library = app_library_ref(ui_context_get_library(self->context));
    ui_context_run(self->context, G_OBJECT(self), load_lists, library, (GDestroyNotify)app_library_unref, NULL, on_lists, NULL);
}

static void on_read_event(UiSidebar *self, const AppReadEvent *event)
{
    if (event->kind == APP_READ_ADDED || event->kind == APP_READ_IDLE) load(self);
}

static void on_library_changed(UiSidebar *self, gint64 document)
{
    if (document == 0) load(self); /* one document's change adds no collection and no conversation */
}

/* ----------------------------------------------------------------------------------------------------------- choosing */

static void on_collection_activated(UiSidebar *self, GtkListBoxRow *row)
{
    gtk_widget_activate_action(GTK_WIDGET(self), "win.show-library", "x", row_data(row)->id);
}

static void on_conversation_activated(UiSidebar *self, GtkListBoxRow *row)
{
    gtk_widget_activate_action(GTK_WIDGET(self), "win.show-conversation", "x", row_data(row)->id);
}

static gboolean is_wanted(GtkListBoxRow *row, gpointer user)
{
    UiSidebar *self = user;
    g_autofree char *words = g_utf8_casefold(gtk_editable_get_text(GTK_EDITABLE(self->search_entry)), -1);
    if (*words == '\0' || !gtk_search_bar_get_search_mode(self->search_bar)) return TRUE;
    g_autofree char *name = g_utf8_casefold(row_data(row)->name, -1);
    return strstr(name, words) != NULL;
}

static void on_search_changed(UiSidebar *self)
{
    gtk_list_box_invalidate_filter(self->conversations);
}

/* ---------------------------------------------------------------------------------------------------------- changing */

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

static void run_change(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Change *change = data;
    GError *error = NULL;
    bool ok = false;
    switch (change->kind) {
    case ADD_COLLECTION:
        change->id = app_library_add_collection(change->library, change->name, &error);
        ok = change->id > 0;
        break;
    case RENAME_COLLECTION: ok = app_library_rename_collection(change->library, change->id, change->name, &error); break;
    case REMOVE_COLLECTION: ok = app_library_remove_collection(change->library, change->id, &error); break;
    case RENAME_CONVERSATION: ok = app_library_rename_conversation(change->library, change->id, change->name, &error); break;
    case REMOVE_CONVERSATION: ok = app_library_remove_conversation(change->library, change->id, &error); break;
    }
    if (ok) g_task_return_boolean(task, TRUE);
    else g_task_return_error(task, error);
}

static void on_changed(GObject *source, GAsyncResult *result, gpointer user)
{
    UiSidebar *self = UI_SIDEBAR(source);
    Change *change = g_task_get_task_data(G_TASK(result));
    g_autoptr(GError) error = NULL;
    GtkWidget *widget = GTK_WIDGET(self);
    if (!g_task_propagate_boolean(G_TASK(result), &error)) {
        g_autofree char *text = g_markup_escape_text(error->message, -1);
        if (gtk_widget_get_root(widget) != NULL) ui_window_toast(UI_WINDOW(gtk_widget_get_root(widget)), adw_toast_new(text));
        return;
    }
    if (change->kind == ADD_COLLECTION) gtk_widget_activate_action(widget, "win.show-library", "x", change->id);
    bool shown_is_gone = change->kind == REMOVE_COLLECTION && change->id == self->shown_collection;
    if (shown_is_gone) gtk_widget_activate_action(widget, "win.show-library", "x", (gint64)0);
    if (change->kind == REMOVE_CONVERSATION && change->id == self->shown_conversation) {
        gtk_widget_activate_action(widget, "win.show-conversation", "x", (gint64)0);
    }
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

/* The row that has the focus, for keys; the one whose menu is open, for the menu. */
static GtkListBoxRow *focus_row(UiSidebar *self, GtkListBox **ret_list)
{
    GtkWidget *focus = gtk_root_get_focus(gtk_widget_get_root(GTK_WIDGET(self)));
    GtkWidget *row = focus != NULL ? (GTK_IS_LIST_BOX_ROW(focus) ? focus : gtk_widget_get_ancestor(focus, GTK_TYPE_LIST_BOX_ROW)) : NULL;
    if (row == NULL || !gtk_widget_is_ancestor(row, GTK_WIDGET(self)) || row_data(GTK_LIST_BOX_ROW(row)) == NULL) return NULL;
    *ret_list = GTK_LIST_BOX(gtk_widget_get_parent(row));
    return GTK_LIST_BOX_ROW(row);
}

static void take_menu_row(UiSidebar *self, GtkListBoxRow *row)
{
    g_free(self->menu_name);
    self->menu_name = g_strdup(row_data(row)->name);
    self->menu_id = row_data(row)->id;
}

static void show_menu_at(UiSidebar *self, GtkListBoxRow *row, double x, double y)
{
    bool is_collection = gtk_widget_get_parent(GTK_WIDGET(row)) == GTK_WIDGET(self->collections);
    GtkPopover **popover = is_collection ? &self->collection_popover : &self->conversation_popover;
    take_menu_row(self, row);
    if (*popover == NULL) {
        *popover = GTK_POPOVER(gtk_popover_menu_new_from_model(is_collection ? self->collection_menu : self->conversation_menu));
        gtk_popover_set_has_arrow(*popover, FALSE);
        gtk_widget_set_parent(GTK_WIDGET(*popover), GTK_WIDGET(self));
    }
    gtk_widget_translate_coordinates(GTK_WIDGET(row), GTK_WIDGET(self), x, y, &x, &y);
    gtk_popover_set_pointing_to(*popover, &(GdkRectangle){(int)x, (int)y, 1, 1});
    gtk_popover_popup(*popover);
}

static void show_menu(GtkWidget *widget, const char *name, GVariant *parameter)
{
    GtkListBox *list = NULL;
    GtkListBoxRow *row = focus_row(UI_SIDEBAR(widget), &list);
    if (row != NULL && row_data(row)->id != 0) show_menu_at(UI_SIDEBAR(widget), row, 24, gtk_widget_get_height(GTK_WIDGET(row)));
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
    change(UI_SIDEBAR(widget), REMOVE_COLLECTION, UI_SIDEBAR(widget)->menu_id, NULL);
}

static void on_remove_response(AdwMessageDialog *dialog, const char *response, UiSidebar *self)
{
    if (g_str_equal(response, "remove")) change(self, REMOVE_CONVERSATION, self->menu_id, NULL);
}

/* What was asked and answered cannot be had back: this one thing is asked about. */
static void remove_conversation(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiSidebar *self = UI_SIDEBAR(widget);
    GtkWidget *dialog = adw_message_dialog_new(GTK_WINDOW(gtk_widget_get_root(widget)), _("Remove Conversation?"), NULL);
    adw_message_dialog_format_body(ADW_MESSAGE_DIALOG(dialog), _("The questions and answers of “%s” will be gone. Its documents stay."), self->menu_name);
    adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "cancel", _("_Cancel"), "remove", _("_Remove"), NULL);
    adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "remove", ADW_RESPONSE_DESTRUCTIVE);
    g_signal_connect_object(dialog, "response", G_CALLBACK(on_remove_response), self, 0);
    gtk_window_present(GTK_WINDOW(dialog));
}

static void change_focused(GtkWidget *widget, bool removes)
{
    UiSidebar *self = UI_SIDEBAR(widget);
    GtkListBox *list = NULL;
    GtkListBoxRow *row = focus_row(self, &list);
    if (row == NULL || row_data(row)->id == 0) return;
    take_menu_row(self, row);
    bool is_collection = list == self->collections;
    if (removes) is_collection ? remove_collection(widget, NULL, NULL) : remove_conversation(widget, NULL, NULL);
    else is_collection ? rename_collection(widget, NULL, NULL) : rename_conversation(widget, NULL, NULL);
}

static void rename_focused(GtkWidget *widget, const char *name, GVariant *parameter) { change_focused(widget, false); }
static void remove_focused(GtkWidget *widget, const char *name, GVariant *parameter) { change_focused(widget, true); }

/* -------------------------------------------------------------------------------------------------------------- public */

void ui_sidebar_set_context(UiSidebar *self, UiContext *context)
{
    g_set_object(&self->context, context);
    g_signal_connect_object(context, "library-changed", G_CALLBACK(on_library_changed), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(context, "read-event", G_CALLBACK(on_read_event), self, G_CONNECT_SWAPPED);
    load(self);
}

void ui_sidebar_set_shown(UiSidebar *self, int64_t collection, int64_t conversation)
{
    self->shown_collection = collection;
    self->shown_conversation = conversation;
    mark_shown(self);
}

const char *ui_sidebar_get_collection_name(UiSidebar *self, int64_t collection)
{
    for (int i = 0;; i++) {
        GtkListBoxRow *row = gtk_list_box_get_row_at_index(self->collections, i);
        if (row == NULL) return NULL;
        if (row_data(row)->id == collection) return row_data(row)->name;
    }
}

void ui_sidebar_set_title_buttons(UiSidebar *self, bool end)
{
    adw_header_bar_set_show_end_title_buttons(self->header, end);
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
    gtk_widget_dispose_template(GTK_WIDGET(object), UI_TYPE_SIDEBAR);
    g_clear_object(&self->context);
    g_clear_pointer(&self->menu_name, g_free);
    G_OBJECT_CLASS(ui_sidebar_parent_class)->dispose(object);
}

static void ui_sidebar_class_init(UiSidebarClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_sidebar_dispose;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/sidebar.ui");
#define CHILD(NAME) gtk_widget_class_bind_template_child(widget_class, UiSidebar, NAME)
    CHILD(header);
    CHILD(collections);
    CHILD(conversations);
    CHILD(search_bar);
    CHILD(search_entry);
    CHILD(search_button);
    CHILD(menu_button);
    CHILD(collection_menu);
    CHILD(conversation_menu);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget_class, on_collection_activated);
    gtk_widget_class_bind_template_callback(widget_class, on_conversation_activated);
    gtk_widget_class_bind_template_callback(widget_class, on_search_changed);
    static const struct {
        const char *name;
        GtkWidgetActionActivateFunc activate;
    } actions[] = {
        {"sidebar.add-collection", add_collection},       {"sidebar.rename-collection", rename_collection},
        {"sidebar.remove-collection", remove_collection}, {"sidebar.rename-conversation", rename_conversation},
        {"sidebar.remove-conversation", remove_conversation}, {"sidebar.rename-focused", rename_focused},
        {"sidebar.remove-focused", remove_focused},       {"sidebar.show-menu", show_menu},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) gtk_widget_class_install_action(widget_class, actions[i].name, NULL, actions[i].activate);
    gtk_widget_class_add_binding_action(widget_class, GDK_KEY_F2, 0, "sidebar.rename-focused", NULL);
    gtk_widget_class_add_binding_action(widget_class, GDK_KEY_Delete, 0, "sidebar.remove-focused", NULL);
    gtk_widget_class_add_binding_action(widget_class, GDK_KEY_Menu, 0, "sidebar.show-menu", NULL);
    gtk_widget_class_add_binding_action(widget_class, GDK_KEY_F10, GDK_SHIFT_MASK, "sidebar.show-menu", NULL);
}

static void ui_sidebar_init(UiSidebar *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    gtk_search_bar_connect_entry(self->search_bar, GTK_EDITABLE(self->search_entry));
    gtk_list_box_set_filter_func(self->conversations, is_wanted, self, NULL);
    g_signal_connect_swapped(self->search_bar, "notify::search-mode-enabled", G_CALLBACK(on_search_changed), self);
}
