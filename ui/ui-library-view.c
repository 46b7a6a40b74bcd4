/* ui-library-view.c: see ui-library-view.h. */
#define G_LOG_DOMAIN "ui-library-view"
#include "ui-library-internal.h"

#include <glib/gi18n.h>

#include "ui-document-row.h"
#include "ui-format.h"
#include "ui-reveal.h"
#include "ui-search-bar.h"
#include "ui-settings.h"
#include "ui-window.h"

static guint signal_selection_changed;

G_DEFINE_FINAL_TYPE(UiLibraryView, ui_library_view, ADW_TYPE_BIN)

void ui_library_view_toast(UiLibraryView *self, AdwToast *toast)
{
    GtkRoot *root = gtk_widget_get_root(GTK_WIDGET(self));
    if (root != NULL) ui_window_toast(UI_WINDOW(root), toast);
    else g_object_unref(toast);
}

/* -------------------------------------------------------------------------------------------------------- what is shown */

static bool is_searching(UiLibraryView *self)
{
    return *gtk_editable_get_text(GTK_EDITABLE(self->search_entry)) != '\0' && gtk_search_bar_get_search_mode(self->search_bar);
}

static const char *page_name(UiLibraryView *self)
{
    if (!ui_document_model_is_loaded(self->model)) return "loading";
    if (ui_document_model_get_n_library(self->model) == 0) return "first";
    if (is_searching(self)) return "search";
    if (ui_document_model_get_n_documents(self->model) == 0) return "empty";
    return g_list_model_get_n_items(G_LIST_MODEL(self->model)) > 0 ? "list" : "filter";
}

static void update_page(UiLibraryView *self)
{
    gtk_stack_set_visible_child_name(self->stack, page_name(self));
    uint32_t n = ui_document_model_get_n_documents(self->model);
    g_autofree char *count = ui_format_count(n);
    g_autofree char *subtitle = g_strdup_printf(ngettext("%s document", "%s documents", n), count);
    const char *all = self->is_narrow ? _("Library") : _("All Documents"); /* which has no room there */
    adw_window_title_set_title(self->title, self->collection == 0 || self->collection_name == NULL ? all : self->collection_name);
    adw_window_title_set_subtitle(self->title, ui_document_model_is_loaded(self->model) && n > 0 ? subtitle : "");
}

static void update_selection(UiLibraryView *self)
{
    g_autoptr(GtkBitset) selected = gtk_selection_model_get_selection(GTK_SELECTION_MODEL(self->selection));
    guint64 n = gtk_bitset_get_size(selected);
    g_autofree char *text = g_strdup_printf(ngettext("%u selected", "%u selected", (unsigned long)n), (unsigned)n);
    gtk_label_set_text(self->selection_label, text);
    gtk_button_set_label(self->ask_selection_button, n == 1 ? _("A_sk This") : _("A_sk These"));
    ui_reveal(self->selection_revealer, n > 0);
    ui_library_actions_update(self);
    g_signal_emit(self, signal_selection_changed, 0);
}

static void on_engine_changed(UiLibraryView *self)
{
    const char *problem = ui_context_get_engine_problem(self->context);
    if (problem != NULL) {
        g_autofree char *text = g_strdup_printf(_("No model is loaded, so nothing can be read or answered: %s"), problem);
        gtk_label_set_text(self->problem_label, text);
    }
    ui_reveal(self->problem_revealer, problem != NULL);
}

static void on_search_changed(UiLibraryView *self)
{
    const char *words = gtk_search_bar_get_search_mode(self->search_bar) ? gtk_editable_get_text(GTK_EDITABLE(self->search_entry)) : "";
    ui_search_view_search(self->search_view, words, self->collection);
    update_page(self);
}

static void on_filter(GSimpleAction *action, GVariant *value, gpointer user)
{
    static const char *const names[] = {"all", "ready", "unread", "problem"}; /* UiDocumentFilter */
    UiLibraryView *self = user;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (!g_str_equal(names[i], g_variant_get_string(value, NULL))) continue;
        g_simple_action_set_state(action, value);
        ui_document_model_set_filter(self->model, (UiDocumentFilter)i);
    }
}

/* "listing.": how the list is sorted (kept as a setting) and filtered (not kept: a filter forgotten is a library that looks empty). */
static void add_listing_actions(UiLibraryView *self)
{
    static const GActionEntry entries[] = {{.name = "filter", .parameter_type = "s", .state = "'all'", .change_state = on_filter}};
    g_autoptr(GSimpleActionGroup) group = g_simple_action_group_new();
    g_action_map_add_action_entries(G_ACTION_MAP(group), entries, G_N_ELEMENTS(entries), self);
    g_autoptr(GAction) order = g_settings_create_action(ui_settings_get(), "order");
    g_action_map_add_action(G_ACTION_MAP(group), order);
    gtk_widget_insert_action_group(GTK_WIDGET(self), "listing", G_ACTION_GROUP(group));
}

static void on_search_next(UiLibraryView *self)
{
    if (is_searching(self)) ui_search_view_focus_first(self->search_view);
}

/* ---------------------------------------------------------------------------------------------------------- rows */

static GtkListItem *list_item_of(GtkWidget *row)
{
    return g_object_get_data(G_OBJECT(row), "list-item");
}

static void show_menu_at(GtkWidget *row, double x, double y)
{
    GtkListItem *list_item = list_item_of(row);
    GtkWidget *view = gtk_widget_get_ancestor(row, UI_TYPE_LIBRARY_VIEW);
    UiDocumentItem *item = gtk_list_item_get_item(list_item);
    if (item == NULL || view == NULL) return;
    GdkRectangle at = {(int)x, (int)y, 1, 1};
    ui_library_actions_show_menu(UI_LIBRARY_VIEW(view), ui_document_item_get_id(item), row, &at);
}

static void on_row_pressed(GtkGestureClick *gesture, int n_press, double x, double y, GtkWidget *row)
{
    GdkEvent *event = gtk_event_controller_get_current_event(GTK_EVENT_CONTROLLER(gesture));
    if (!gdk_event_triggers_context_menu(event)) return;
    gtk_gesture_set_state(GTK_GESTURE(gesture), GTK_EVENT_SEQUENCE_CLAIMED);
    show_menu_at(row, x, y);
}

static void on_row_long_press(GtkGestureLongPress *gesture, double x, double y, GtkWidget *row)
{
    show_menu_at(row, x, y);
}

/* "ax": the document, or all that are selected if it is among them. */
static GdkContentProvider *on_drag_prepare(GtkDragSource *source, double x, double y, GtkWidget *row)
{
    GtkListItem *list_item = list_item_of(row);
    UiDocumentItem *item = gtk_list_item_get_item(list_item);
    GtkWidget *view = gtk_widget_get_ancestor(row, UI_TYPE_LIBRARY_VIEW);
    if (item == NULL || view == NULL) return NULL;
    int64_t document = ui_document_item_get_id(item);
    g_autoptr(GArray) selection = ui_library_view_dup_selection(UI_LIBRARY_VIEW(view));
    bool is_selected = gtk_list_item_get_selected(list_item) && selection->len > 0;
    GVariant *documents = g_variant_new_fixed_array(G_VARIANT_TYPE_INT64, is_selected ? selection->data : (const char *)&document,
                                                    is_selected ? selection->len : 1, sizeof document);
    return gdk_content_provider_new_typed(G_TYPE_VARIANT, documents);
}

static void on_setup(GtkSignalListItemFactory *factory, GtkListItem *list_item, UiLibraryView *self)
{
    GtkWidget *row = ui_document_row_new();
    ui_document_row_leave_focus_to_list(UI_DOCUMENT_ROW(row));
    g_object_set_data(G_OBJECT(row), "list-item", list_item);
    GtkGesture *click = gtk_gesture_click_new();
    gtk_gesture_single_set_button(GTK_GESTURE_SINGLE(click), 0);
    g_signal_connect(click, "pressed", G_CALLBACK(on_row_pressed), row);
    gtk_widget_add_controller(row, GTK_EVENT_CONTROLLER(click));
    GtkGesture *press = gtk_gesture_long_press_new();
    gtk_gesture_single_set_touch_only(GTK_GESTURE_SINGLE(press), TRUE);
    g_signal_connect(press, "pressed", G_CALLBACK(on_row_long_press), row);
    gtk_widget_add_controller(row, GTK_EVENT_CONTROLLER(press));
    GtkDragSource *drag = gtk_drag_source_new(); /* onto a collection of the side bar */
    g_signal_connect(drag, "prepare", G_CALLBACK(on_drag_prepare), row);
    gtk_widget_add_controller(row, GTK_EVENT_CONTROLLER(drag));
    gtk_list_item_set_child(list_item, row);
}

static void on_bind(GtkSignalListItemFactory *factory, GtkListItem *list_item, UiLibraryView *self)
{
    UiDocumentItem *item = gtk_list_item_get_item(list_item);
    ui_document_row_set_item(UI_DOCUMENT_ROW(gtk_list_item_get_child(list_item)), item);
    ui_document_model_want_plan(self->model, item);
}

static void on_unbind(GtkSignalListItemFactory *factory, GtkListItem *list_item, UiLibraryView *self)
{
    ui_document_row_set_item(UI_DOCUMENT_ROW(gtk_list_item_get_child(list_item)), NULL);
}

static void on_activate(UiLibraryView *self, guint position)
{
    g_autoptr(UiDocumentItem) item = g_list_model_get_item(G_LIST_MODEL(self->selection), position);
    if (item != NULL) gtk_widget_activate_action(GTK_WIDGET(self), "win.open-document", "x", ui_document_item_get_id(item));
}

/* ---------------------------------------------------------------------------------------------------------- public */

static void on_read_event(UiLibraryView *self, const AppReadEvent *event)
{
    ui_library_adding_on_event(self, event);
}

static void on_order_setting(GSettings *settings, const char *key, UiLibraryView *self)
{
    ui_document_model_set_order(self->model, (UiDocumentOrder)g_settings_get_enum(settings, "order"));
}

static void show_wanted(UiLibraryView *self)
{
    GListModel *list = G_LIST_MODEL(self->selection);
    if (self->wants_top && g_list_model_get_n_items(list) > 0) {
        self->wants_top = false;
        gtk_widget_activate_action(GTK_WIDGET(self->list), "list.scroll-to-item", "u", 0);
    }
    if (self->wanted == 0 || ui_document_model_find(self->model, self->wanted) == NULL) return;
    for (guint i = 0; i < g_list_model_get_n_items(list); i++) {
        g_autoptr(UiDocumentItem) item = g_list_model_get_item(list, i);
        if (ui_document_item_get_id(item) != self->wanted) continue;
        self->wanted = 0;
        gtk_widget_activate_action(GTK_WIDGET(self->list), "list.scroll-to-item", "u", i);
        return;
    }
}

void ui_library_view_bring_into_view(UiLibraryView *self, int64_t document)
{
    self->wanted = document;
    show_wanted(self);
}

static void on_loaded(UiLibraryView *self)
{
    show_wanted(self);
    update_page(self);
    update_selection(self);
    if (!self->has_resumed) {
        ui_library_adding_resume(self);
        if (gtk_widget_get_mapped(GTK_WIDGET(self->list))) gtk_widget_grab_focus(GTK_WIDGET(self->list));
    }
    self->has_resumed = true;
}

/* Asked anew each time: a collection is shown before the side bar knows of it, and it may be renamed. */
static void update_name(UiLibraryView *self)
{
    g_free(self->collection_name);
    self->collection_name = self->collection != 0 ? ui_context_dup_collection_name(self->context, self->collection) : NULL;
    update_page(self);
}

static void on_library_changed(UiLibraryView *self, gint64 document)
{
    if (document == 0 && self->collection != 0) update_name(self);
}

void ui_library_view_set_context(UiLibraryView *self, UiContext *context, UiRemovals *removals)
{
    g_set_object(&self->context, context);
    self->removals = removals;
    self->model = ui_document_model_new(context);
    ui_document_model_set_order(self->model, (UiDocumentOrder)g_settings_get_enum(ui_settings_get(), "order"));
    self->selection = gtk_multi_selection_new(G_LIST_MODEL(g_object_ref(self->model)));
    gtk_list_view_set_model(self->list, GTK_SELECTION_MODEL(self->selection));
    ui_search_view_set_context(self->search_view, context);
    g_signal_connect_object(self->model, "loaded", G_CALLBACK(on_loaded), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(self->model, "items-changed", G_CALLBACK(update_page), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(self->selection, "selection-changed", G_CALLBACK(update_selection), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(context, "read-event", G_CALLBACK(on_read_event), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(context, "engine-changed", G_CALLBACK(on_engine_changed), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(context, "library-changed", G_CALLBACK(on_library_changed), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(ui_settings_get(), "changed::order", G_CALLBACK(on_order_setting), self, 0);
    on_engine_changed(self);
    update_page(self);
    update_selection(self);
}

void ui_library_view_show_collection(UiLibraryView *self, int64_t collection)
{
    if (collection != self->collection) {
        self->collection = collection;
        self->wants_top = true;
        gtk_search_bar_set_search_mode(self->search_bar, FALSE);
        gtk_selection_model_unselect_all(GTK_SELECTION_MODEL(self->selection));
        ui_document_model_set_collection(self->model, collection);
        ui_settings_keep("collection", g_variant_new_int64(collection));
        update_selection(self);
    }
    update_name(self);
}

int64_t ui_library_view_get_collection(UiLibraryView *self) { return self->collection; }
UiDocumentModel *ui_library_view_get_model(UiLibraryView *self) { return self->model; }

GArray *ui_library_view_dup_selection(UiLibraryView *self)
{
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    g_autoptr(GtkBitset) selected = gtk_selection_model_get_selection(GTK_SELECTION_MODEL(self->selection));
    GtkBitsetIter iter;
    guint position;
    for (bool more = gtk_bitset_iter_init_first(&iter, selected, &position); more; more = gtk_bitset_iter_next(&iter, &position)) {
        g_autoptr(UiDocumentItem) item = g_list_model_get_item(G_LIST_MODEL(self->selection), position);
        int64_t id = item != NULL ? ui_document_item_get_id(item) : 0;
        if (id != 0) g_array_append_val(ids, id);
    }
    return ids;
}

void ui_library_view_search(UiLibraryView *self, const char *words)
{
    ui_search_bar_open(self->search_bar, GTK_EDITABLE(self->search_entry), words);
}

bool ui_library_view_escape(UiLibraryView *self)
{
    if (gtk_search_bar_get_search_mode(self->search_bar)) {
        gtk_search_bar_set_search_mode(self->search_bar, FALSE);
        ui_library_view_focus_list(self);
        return true;
    }
    g_autoptr(GtkBitset) selected = gtk_selection_model_get_selection(GTK_SELECTION_MODEL(self->selection));
    if (gtk_bitset_is_empty(selected)) return false;
    gtk_selection_model_unselect_all(GTK_SELECTION_MODEL(self->selection));
    return true;
}

void ui_library_view_set_title_buttons(UiLibraryView *self, bool start, bool end, bool back)
{
    adw_header_bar_set_show_start_title_buttons(self->header, start);
    adw_header_bar_set_show_end_title_buttons(self->header, end);
    gtk_widget_set_visible(self->back_button, back);
    self->is_narrow = back;
    if (self->model != NULL) update_page(self);
    adw_header_bar_set_decoration_layout(self->header, back ? ":close" : NULL); /* there is no room for more */
    adw_header_bar_set_centering_policy(self->header, back ? ADW_CENTERING_POLICY_LOOSE : ADW_CENTERING_POLICY_STRICT);
}

void ui_library_view_focus_list(UiLibraryView *self)
{
    gtk_widget_child_focus(GTK_WIDGET(self->stack), GTK_DIR_TAB_FORWARD);
}

static void ui_library_view_dispose(GObject *object)
{
    UiLibraryView *self = UI_LIBRARY_VIEW(object);
    if (self->menu != NULL) gtk_widget_unparent(GTK_WIDGET(self->menu));
    self->menu = NULL;
    if (self->failure_toast != NULL) g_object_remove_weak_pointer(G_OBJECT(self->failure_toast), (gpointer *)&self->failure_toast);
    self->failure_toast = NULL;
    g_clear_object(&self->chooser);
    gtk_widget_dispose_template(GTK_WIDGET(object), UI_TYPE_LIBRARY_VIEW);
    g_clear_object(&self->model);
    g_clear_object(&self->context);
    G_OBJECT_CLASS(ui_library_view_parent_class)->dispose(object);
}

static void ui_library_view_finalize(GObject *object)
{
    UiLibraryView *self = UI_LIBRARY_VIEW(object);
    g_hash_table_unref(self->paused_by_hand);
    g_hash_table_unref(self->cancelled);
    g_ptr_array_unref(self->failures);
    g_hash_table_unref(self->helped);
    g_free(self->collection_name);
    G_OBJECT_CLASS(ui_library_view_parent_class)->finalize(object);
}

static void ui_library_view_class_init(UiLibraryViewClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_library_view_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_library_view_finalize;
    g_type_ensure(UI_TYPE_SEARCH_VIEW);
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/library-view.ui");
#define CHILD(NAME) gtk_widget_class_bind_template_child(widget_class, UiLibraryView, NAME)
    CHILD(header);
    CHILD(back_button);
    CHILD(title);
    CHILD(search_bar);
    CHILD(search_entry);
    CHILD(stack);
    CHILD(empty_page);
    CHILD(filter_page);
    CHILD(sample_button);
    CHILD(list);
    CHILD(search_view);
    CHILD(adding_revealer);
    CHILD(adding_label);
    CHILD(adding_pages);
    CHILD(adding_progress);
    CHILD(problem_revealer);
    CHILD(problem_label);
    CHILD(selection_revealer);
    CHILD(selection_label);
    CHILD(ask_selection_button);
    CHILD(document_menu);
    CHILD(collections_menu);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget_class, on_setup);
    gtk_widget_class_bind_template_callback(widget_class, on_bind);
    gtk_widget_class_bind_template_callback(widget_class, on_unbind);
    gtk_widget_class_bind_template_callback(widget_class, on_activate);
    gtk_widget_class_bind_template_callback(widget_class, on_search_changed);
    gtk_widget_class_bind_template_callback(widget_class, on_search_next);
    ui_library_actions_install(widget_class);
    signal_selection_changed = g_signal_new("selection-changed", G_TYPE_FROM_CLASS(class), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void ui_library_view_init(UiLibraryView *self)
{
    self->paused_by_hand = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    self->cancelled = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    self->failures = g_ptr_array_new_with_free_func(g_free);
    self->helped = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    gtk_widget_init_template(GTK_WIDGET(self));
    add_listing_actions(self);
    gtk_search_bar_connect_entry(self->search_bar, GTK_EDITABLE(self->search_entry));
    gtk_search_bar_set_key_capture_widget(self->search_bar, GTK_WIDGET(self->stack));
    g_signal_connect_swapped(self->search_bar, "notify::search-mode-enabled", G_CALLBACK(on_search_changed), self);
}
