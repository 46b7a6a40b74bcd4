/* ui-window.c: see ui-window.h. */
#define G_LOG_DOMAIN "ui-window"
#include "ui-window.h"

#include <glib/gi18n.h>
#include <string.h>

#include "ui-accessible.h"
#include "ui-ask-view.h"
#include "ui-document-item.h"
#include "ui-library-view.h"
#include "ui-panes.h"
#include "ui-reader.h"
#include "ui-removals.h"
#include "ui-reveal.h"
#include "ui-settings.h"
#include "ui-toast.h"
#include "ui-sidebar.h"
#include "ui-turn.h"

struct _UiWindow {
    AdwApplicationWindow parent;
    AdwToastOverlay *toasts;
    GtkRevealer *drop_revealer;
    UiPanes *panes;
    UiSidebar *sidebar;
    GtkStack *views;
    UiLibraryView *library_view;
    AdwHeaderBar *reader_header, *ask_header;
    AdwWindowTitle *reader_title;
    GtkWidget *close_ask_button;
    UiReader *reader;
    UiAskView *ask_view;
    UiContext *context;
    UiRemovals *removals;
    gint64 conversation; /* shown in the pane that asks; 0: a new one */
    GArray *followed;    /* int64_t: the selection that questions were last put to */
};

G_DEFINE_FINAL_TYPE(UiWindow, ui_window, ADW_TYPE_APPLICATION_WINDOW)

void ui_window_toast(UiWindow *self, AdwToast *toast)
{
    ui_toast_fit(toast, GTK_WIDGET(self));
    adw_toast_overlay_add_toast(self->toasts, toast);
}

void ui_window_say(GtkWidget *widget, const char *text)
{
    GtkRoot *root = gtk_widget_get_root(widget);
    if (UI_IS_WINDOW(root)) ui_window_toast(UI_WINDOW(root), ui_toast_new(text));
}

static void add_toast(gpointer user, AdwToast *toast)
{
    ui_window_toast(user, toast);
}

static bool is_reading(UiWindow *self)
{
    return g_strcmp0(gtk_stack_get_visible_child_name(self->views), "reader") == 0;
}

/* ------------------------------------------------------------------------------------------------------------ the panes */

static void update_headers(UiWindow *self)
{
    bool narrow = ui_panes_get_narrow(self->panes), end = ui_panes_get_end_shown(self->panes);
    ui_sidebar_set_title_buttons(self->sidebar, narrow);
    ui_library_view_set_title_buttons(self->library_view, narrow, !end, narrow);
    adw_header_bar_set_show_start_title_buttons(self->reader_header, narrow);
    adw_header_bar_set_show_end_title_buttons(self->reader_header, !end);
    adw_header_bar_set_decoration_layout(self->reader_header, narrow ? ":close" : NULL);
    adw_header_bar_set_decoration_layout(self->ask_header, narrow ? ":close" : NULL);
    gtk_widget_set_visible(self->close_ask_button, ui_panes_get_end_over(self->panes));
    GAction *toggle = g_action_map_lookup_action(G_ACTION_MAP(self), "toggle-ask");
    if (toggle != NULL) g_simple_action_set_state(G_SIMPLE_ACTION(toggle), g_variant_new_boolean(end));
}

/* The focus leaves a pane that goes out of sight: keys that go to what cannot be seen go nowhere. */
static void keep_focus(UiWindow *self)
{
    GtkWidget *focus = gtk_root_get_focus(GTK_ROOT(self)), *views = GTK_WIDGET(self->views);
    bool narrow = ui_panes_get_narrow(self->panes), content = ui_panes_get_content_shown(self->panes), end = ui_panes_get_end_shown(self->panes);
    if (focus == NULL || !gtk_widget_get_mapped(GTK_WIDGET(self))) return;
    bool in_sidebar = gtk_widget_is_ancestor(focus, GTK_WIDGET(self->sidebar)), in_ask = gtk_widget_is_ancestor(focus, GTK_WIDGET(self->ask_view));
    if (narrow && !content && !in_sidebar) gtk_widget_child_focus(GTK_WIDGET(self->sidebar), GTK_DIR_TAB_FORWARD);
    else if (narrow && content && end && !in_ask) ui_ask_view_focus_entry(self->ask_view);
    else if ((narrow && content && !end && (in_sidebar || in_ask)) || (!end && in_ask)) {
        if (is_reading(self)) gtk_widget_child_focus(GTK_WIDGET(self->reader), GTK_DIR_TAB_FORWARD);
        else ui_library_view_focus_list(self->library_view);
        focus = gtk_root_get_focus(GTK_ROOT(self));
        if (focus != NULL && !gtk_widget_is_ancestor(focus, views)) gtk_root_set_focus(GTK_ROOT(self), NULL);
    }
}

/* A pane that lies over the rest is there for the moment: only one that stands beside it is remembered. */
static void on_end_shown(UiWindow *self)
{
    if (!ui_panes_get_end_over(self->panes)) ui_settings_keep("is-ask-shown", g_variant_new_boolean(ui_panes_get_end_shown(self->panes)));
    update_headers(self);
    keep_focus(self);
}

static void on_end_over(UiWindow *self)
{
    bool over = ui_panes_get_end_over(self->panes);
    ui_panes_set_end_shown(self->panes, !over && g_settings_get_boolean(ui_settings_get(), "is-ask-shown"));
    update_headers(self);
}

static void mark_sidebar(UiWindow *self)
{
    ui_sidebar_set_shown(self->sidebar, is_reading(self) ? -1 : ui_library_view_get_collection(self->library_view), self->conversation);
}

/* What a new question is put to follows what is shown, unless a conversation is going on, or begins: that keeps its documents. */
static void follow_scope(UiWindow *self)
{
    if (ui_ask_view_get_conversation(self->ask_view) != 0 || ui_ask_view_is_busy(self->ask_view)) return;
    if (is_reading(self)) {
        int64_t document = ui_reader_get_document(self->reader);
        ui_ask_view_set_scope(self->ask_view, &document, 1, 0);
        return;
    }
    g_array_unref(self->followed);
    self->followed = ui_library_view_dup_selection(self->library_view);
    ui_ask_view_set_scope(self->ask_view, (const int64_t *)(void *)self->followed->data, self->followed->len,
                          ui_library_view_get_collection(self->library_view));
}

/* Also told of when the list is loaded anew: what somebody has chosen to ask meanwhile stays, unless another selection is made. */
static void on_selection_changed(UiWindow *self)
{
    g_autoptr(GArray) selection = ui_library_view_dup_selection(self->library_view);
    size_t n_bytes = selection->len * sizeof(int64_t);
    bool is_same = selection->len == self->followed->len && (n_bytes == 0 || memcmp(selection->data, self->followed->data, n_bytes) == 0);
    if (!is_same && !is_reading(self)) follow_scope(self);
}

static void show_view(UiWindow *self, const char *name)
{
    gtk_stack_set_visible_child_name(self->views, name);
    ui_panes_set_content_shown(self->panes, true);
    if (ui_panes_get_end_over(self->panes)) ui_panes_set_end_shown(self->panes, false);
    ui_settings_keep("view", g_variant_new_string(name));
    mark_sidebar(self);
}

static void show_library(UiWindow *self, int64_t collection)
{
    ui_library_view_show_collection(self->library_view, collection);
    show_view(self, "library");
    follow_scope(self);
}

typedef struct Opened {
    AppLibrary *library;
    int64_t document;
} Opened;

static void free_opened(gpointer data)
{
    app_library_unref(((Opened *)data)->library);
    g_free(data);
}

static void load_title(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Opened *opened = data;
    GError *error = NULL;
    AppDocument *document = app_library_get_document(opened->library, opened->document, &error);
    if (document != NULL) g_task_return_pointer(task, document, (GDestroyNotify)app_document_free);
    else g_task_return_error(task, error);
}

static void on_title(GObject *source, GAsyncResult *result, gpointer user)
{
    UiWindow *self = UI_WINDOW(source);
    Opened *opened = g_task_get_task_data(G_TASK(result));
    g_autoptr(AppDocument) document = g_task_propagate_pointer(G_TASK(result), NULL);
    if (self->context == NULL || opened->document != ui_reader_get_document(self->reader)) return;
    if (document == NULL) {
        show_library(self, ui_library_view_get_collection(self->library_view)); /* it is gone */
        return;
    }
    g_autoptr(UiDocumentItem) item = ui_document_item_new(g_steal_pointer(&document), UINT64_MAX);
    adw_window_title_set_title(self->reader_title, ui_document_item_get_title(item));
    adw_window_title_set_subtitle(self->reader_title, ui_document_item_get_byline(item));
}

static void show_title(UiWindow *self, int64_t document)
{
    Opened *opened = g_new0(Opened, 1);
    opened->library = app_library_ref(ui_context_get_library(self->context));
    opened->document = document;
    ui_settings_keep("document", g_variant_new_int64(document));
    ui_context_run(self->context, G_OBJECT(self), load_title, opened, free_opened, NULL, on_title, NULL);
}

static void open_document(UiWindow *self, int64_t document)
{
    ui_reader_open(self->reader, document);
    show_title(self, document);
    show_view(self, "reader");
    follow_scope(self);
    if (!gtk_widget_grab_focus(GTK_WIDGET(self->reader))) gtk_widget_child_focus(GTK_WIDGET(self->reader), GTK_DIR_TAB_FORWARD);
}

static void go_back(UiWindow *self)
{
    if (ui_panes_get_end_over(self->panes) && ui_panes_get_end_shown(self->panes)) {
        ui_panes_set_end_shown(self->panes, false);
    } else if (is_reading(self)) {
        show_library(self, ui_library_view_get_collection(self->library_view));
        ui_library_view_focus_list(self->library_view);
    } else if (ui_panes_get_narrow(self->panes)) {
        ui_panes_set_content_shown(self->panes, false);
    }
}

static void show_ask(UiWindow *self)
{
    ui_panes_set_content_shown(self->panes, true);
    ui_panes_set_end_shown(self->panes, true);
    ui_ask_view_focus_entry(self->ask_view);
}

static void set_conversation(UiWindow *self, gint64 conversation)
{
    self->conversation = conversation;
    ui_ask_view_set_conversation(self->ask_view, conversation);
    if (conversation == 0) follow_scope(self);
    mark_sidebar(self);
}

static void on_answered(UiWindow *self, const AppAnswer *answer)
{
    self->conversation = ui_ask_view_get_conversation(self->ask_view);
    mark_sidebar(self);
}

static void on_looked(UiWindow *self, UiTurn *turn)
{
    size_t n_attended = 0;
    const AppAttended *attended = turn != NULL ? ui_turn_get_attended(turn, &n_attended) : NULL;
    ui_reader_set_attended(self->reader, attended, n_attended);
}

/* --------------------------------------------------------------------------------------------------------------- actions */

static void on_show_library(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    show_library(user, g_variant_get_int64(parameter));
}

static void on_open_document(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    open_document(user, g_variant_get_int64(parameter));
}

static void on_show_passage(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    UiWindow *self = user;
    gint64 document;
    guint64 start, end;
    g_variant_get(parameter, "(xtt)", &document, &start, &end);
    ui_reader_show_passage(self->reader, document, start, end);
    show_title(self, document);
    show_view(self, "reader");
    GtkWidget *focus = gtk_root_get_focus(GTK_ROOT(self)); /* on a quotation it stays there; in the list it would be out of sight */
    if (focus != NULL && gtk_widget_is_ancestor(focus, GTK_WIDGET(self->library_view))) gtk_widget_child_focus(GTK_WIDGET(self->reader), GTK_DIR_TAB_FORWARD);
}

static void on_ask_documents(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    UiWindow *self = user;
    gsize n = 0;
    const gint64 *documents = g_variant_get_fixed_array(parameter, &n, sizeof *documents);
    ui_ask_view_set_scope(self->ask_view, (const int64_t *)documents, n, 0);
    self->conversation = ui_ask_view_get_conversation(self->ask_view);
    mark_sidebar(self);
    show_ask(self);
}

static void on_ask_collection(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    UiWindow *self = user;
    ui_ask_view_set_scope(self->ask_view, NULL, 0, g_variant_get_int64(parameter));
    self->conversation = ui_ask_view_get_conversation(self->ask_view);
    mark_sidebar(self);
    show_ask(self);
}

static void on_show_conversation(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    set_conversation(user, g_variant_get_int64(parameter));
    show_ask(user);
}

static void on_show_turn(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    UiWindow *self = user;
    gint64 conversation, turn;
    g_variant_get(parameter, "(xx)", &conversation, &turn);
    set_conversation(self, conversation);
    if (turn != 0) ui_ask_view_show_turn(self->ask_view, turn);
    show_ask(self);
}

/* The one shown goes: another is begun, and nobody is led there. */
static void on_leave_conversation(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    set_conversation(user, 0);
}

static void on_find_conversation(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    UiWindow *self = user;
    if (ui_panes_get_narrow(self->panes)) ui_panes_set_content_shown(self->panes, false);
    ui_sidebar_find_conversation(self->sidebar);
}

static void on_new_conversation(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    set_conversation(user, 0);
    show_ask(user);
}

static void on_new_collection(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    ui_sidebar_add_collection(UI_WINDOW(user)->sidebar);
}

static void on_toggle_ask(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    UiWindow *self = user;
    bool shown = ui_panes_get_end_shown(self->panes) && ui_panes_get_content_shown(self->panes);
    if (shown) ui_panes_set_end_shown(self->panes, false);
    else show_ask(self);
}

static void on_ask(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    show_ask(user);
}

static void on_go_back(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    go_back(user);
}

static void on_add(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    ui_library_view_choose_files(UI_WINDOW(user)->library_view, false);
}

static void on_menu(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    UiWindow *self = user;
    if (ui_panes_get_narrow(self->panes)) ui_panes_set_content_shown(self->panes, false);
    ui_sidebar_popup_menu(self->sidebar);
}

static void on_search(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    UiWindow *self = user;
    const char *words = g_variant_get_string(parameter, NULL);
    show_view(self, "library");
    ui_library_view_search(self->library_view, *words != '\0' ? words : NULL);
}

static void on_undo(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    ui_removals_undo(UI_WINDOW(user)->removals);
}

static const GActionEntry ACTIONS[] = {
    {.name = "show-library", .activate = on_show_library, .parameter_type = "x"},
    {.name = "open-document", .activate = on_open_document, .parameter_type = "x"},
    {.name = "show-passage", .activate = on_show_passage, .parameter_type = "(xtt)"},
    {.name = "ask-documents", .activate = on_ask_documents, .parameter_type = "ax"},
    {.name = "ask-collection", .activate = on_ask_collection, .parameter_type = "x"},
    {.name = "show-conversation", .activate = on_show_conversation, .parameter_type = "x"},
    {.name = "show-turn", .activate = on_show_turn, .parameter_type = "(xx)"},
    {.name = "leave-conversation", .activate = on_leave_conversation},
    {.name = "find-conversation", .activate = on_find_conversation},
    {.name = "new-conversation", .activate = on_new_conversation},
    {.name = "new-collection", .activate = on_new_collection},
    {.name = "toggle-ask", .activate = on_toggle_ask, .state = "false"},
    {.name = "ask", .activate = on_ask},
    {.name = "go-back", .activate = on_go_back},
    {.name = "add", .activate = on_add},
    {.name = "search", .activate = on_search, .parameter_type = "s"},
    {.name = "menu", .activate = on_menu},
    {.name = "undo-removal", .activate = on_undo},
};

/* Keys that the focused widget may want first: they come here when nothing below has used them. */
static gboolean on_reader_key(GtkWidget *widget, GVariant *arguments, gpointer user)
{
    UiWindow *self = UI_WINDOW(widget);
    const char *action;
    g_variant_get(arguments, "(&s)", &action);
    if (is_reading(self)) {
        ui_panes_set_content_shown(self->panes, true);
        return gtk_widget_activate_action(GTK_WIDGET(self->reader), action, NULL);
    }
    if (!g_str_equal(action, "reader.find")) return FALSE;
    ui_panes_set_content_shown(self->panes, true);
    ui_library_view_search(self->library_view, NULL);
    return TRUE;
}

static gboolean on_escape(GtkWidget *widget, GVariant *arguments, gpointer user)
{
    UiWindow *self = UI_WINDOW(widget);
    if (ui_ask_view_stop(self->ask_view)) return TRUE;
    if (!is_reading(self) && ui_library_view_escape(self->library_view)) return TRUE;
    bool is_over = ui_panes_get_end_over(self->panes) && ui_panes_get_end_shown(self->panes); /* it goes first */
    if (is_reading(self) && !is_over && ui_reader_clear_passage(self->reader)) return TRUE;
    go_back(self);
    return TRUE;
}

static gboolean on_undo_key(GtkWidget *widget, GVariant *arguments, gpointer user)
{
    return ui_removals_undo(UI_WINDOW(widget)->removals);
}

/* ------------------------------------------------------------------------------------------------------------------ drop */

bool ui_window_add_files(UiWindow *self, GSList *files)
{
    bool any = false;
    for (GSList *at = files; at != NULL; at = at->next) {
        g_autofree char *path = g_file_get_path(at->data);
        if (path == NULL) continue;
        ui_library_view_add_path(self->library_view, path);
        any = true;
    }
    if (any) show_view(self, "library");
    return any;
}

static gboolean on_drop(GtkDropTarget *target, const GValue *value, double x, double y, UiWindow *self)
{
    ui_reveal(self->drop_revealer, FALSE);
    return ui_window_add_files(self, g_value_get_boxed(value));
}

static GdkDragAction on_drop_enter(GtkDropTarget *target, double x, double y, UiWindow *self)
{
    ui_reveal(self->drop_revealer, TRUE);
    return GDK_ACTION_COPY;
}

static void on_drop_leave(GtkDropTarget *target, UiWindow *self)
{
    ui_reveal(self->drop_revealer, FALSE);
}

static void add_drop_target(UiWindow *self)
{
    GtkDropTarget *target = gtk_drop_target_new(GDK_TYPE_FILE_LIST, GDK_ACTION_COPY);
    g_signal_connect(target, "drop", G_CALLBACK(on_drop), self);
    g_signal_connect(target, "enter", G_CALLBACK(on_drop_enter), self);
    g_signal_connect(target, "leave", G_CALLBACK(on_drop_leave), self);
    gtk_widget_add_controller(GTK_WIDGET(self), GTK_EVENT_CONTROLLER(target));
}

/* ---------------------------------------------------------------------------------------------------------------- window */

static void on_library_changed(UiWindow *self, gint64 document)
{
    int64_t shown = ui_reader_get_document(self->reader);
    if (shown != 0 && (document == 0 || document == shown) && is_reading(self)) show_title(self, shown); /* renamed, or removed elsewhere */
}

static void restore(UiWindow *self)
{
    GSettings *settings = ui_settings_get();
    gtk_window_set_default_size(GTK_WINDOW(self), g_settings_get_int(settings, "window-width"), g_settings_get_int(settings, "window-height"));
    if (g_settings_get_boolean(settings, "is-maximized")) gtk_window_maximize(GTK_WINDOW(self));
    ui_panes_set_end_shown(self->panes, g_settings_get_boolean(settings, "is-ask-shown"));
    gint64 document = g_settings_get_int64(settings, "document");
    g_autofree char *view = g_settings_get_string(settings, "view");
    show_library(self, g_settings_get_int64(settings, "collection"));
    if (g_str_equal(view, "reader") && document != 0) open_document(self, document);
}

UiWindow *ui_window_new(UiApplication *application)
{
    UiWindow *self = g_object_new(UI_TYPE_WINDOW, "application", application, NULL);
    self->context = g_object_ref(ui_application_get_context(application));
    self->removals = ui_removals_new(add_toast, self);
    ui_library_view_set_context(self->library_view, self->context, self->removals);
    ui_sidebar_set_context(self->sidebar, self->context, self->removals);
    ui_reader_set_context(self->reader, self->context);
    ui_ask_view_set_context(self->ask_view, self->context);
    g_signal_connect_object(self->context, "library-changed", G_CALLBACK(on_library_changed), self, G_CONNECT_SWAPPED);
    restore(self);
    update_headers(self);
    return self;
}

static gboolean ui_window_close_request(GtkWindow *window)
{
    int width, height;
    gtk_window_get_default_size(window, &width, &height);
    ui_settings_keep("window-width", g_variant_new_int32(width));
    ui_settings_keep("window-height", g_variant_new_int32(height));
    ui_settings_keep("is-maximized", g_variant_new_boolean(gtk_window_is_maximized(window)));
    return GTK_WINDOW_CLASS(ui_window_parent_class)->close_request(window);
}

static void ui_window_dispose(GObject *object)
{
    g_clear_pointer(&UI_WINDOW(object)->removals, ui_removals_free);
    gtk_widget_dispose_template(GTK_WIDGET(object), UI_TYPE_WINDOW);
    g_clear_object(&UI_WINDOW(object)->context);
    G_OBJECT_CLASS(ui_window_parent_class)->dispose(object);
}

static void ui_window_finalize(GObject *object)
{
    g_array_unref(UI_WINDOW(object)->followed);
    G_OBJECT_CLASS(ui_window_parent_class)->finalize(object);
}

static void ui_window_class_init(UiWindowClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_window_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_window_finalize;
    GTK_WINDOW_CLASS(class)->close_request = ui_window_close_request;
    g_type_ensure(UI_TYPE_PANES);
    g_type_ensure(UI_TYPE_SIDEBAR);
    g_type_ensure(UI_TYPE_LIBRARY_VIEW);
    g_type_ensure(UI_TYPE_READER);
    g_type_ensure(UI_TYPE_ASK_VIEW);
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/window.ui");
#define CHILD(NAME) gtk_widget_class_bind_template_child(widget_class, UiWindow, NAME)
    CHILD(toasts);
    CHILD(drop_revealer);
    CHILD(panes);
    CHILD(sidebar);
    CHILD(views);
    CHILD(library_view);
    CHILD(reader_header);
    CHILD(ask_header);
    CHILD(reader_title);
    CHILD(close_ask_button);
    CHILD(reader);
    CHILD(ask_view);
#undef CHILD
    size_t n_keys;
    const UiReaderKey *keys = ui_reader_list_keys(&n_keys);
    for (size_t i = 0; i < n_keys; i++) gtk_widget_class_add_binding(widget_class, keys[i].key, keys[i].modifiers, on_reader_key, "(s)", keys[i].action);
    gtk_widget_class_add_binding(widget_class, GDK_KEY_Escape, 0, on_escape, NULL);
    gtk_widget_class_add_binding(widget_class, GDK_KEY_z, GDK_CONTROL_MASK, on_undo_key, NULL);
}

static void ui_window_init(UiWindow *self)
{
    g_action_map_add_action_entries(G_ACTION_MAP(self), ACTIONS, G_N_ELEMENTS(ACTIONS), self);
    gtk_widget_init_template(GTK_WIDGET(self));
    self->followed = g_array_new(FALSE, FALSE, sizeof(int64_t));
    add_drop_target(self);
    ui_accessible_name_toasts(GTK_WIDGET(self->toasts));
    g_signal_connect_object(self->panes, "notify::narrow", G_CALLBACK(update_headers), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(self->panes, "notify::content-shown", G_CALLBACK(keep_focus), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(self->panes, "notify::end-shown", G_CALLBACK(on_end_shown), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(self->panes, "notify::end-over", G_CALLBACK(on_end_over), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(self->library_view, "selection-changed", G_CALLBACK(on_selection_changed), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(self->ask_view, "looked", G_CALLBACK(on_looked), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(self->ask_view, "answered", G_CALLBACK(on_answered), self, G_CONNECT_SWAPPED);
}
