/* ui-storage-page.c: see ui-storage-page.h.
 *
 * All that touches the cache runs on a thread with an AppStorage of its own; the list is taken anew after every change.
 */
#define G_LOG_DOMAIN "ui-storage-page"
#include "ui-storage-page.h"

#include <glib/gi18n.h>

#include "app-storage.h"
#include "ui-format.h"
#include "ui-job.h"
#include "ui-preferences.h"
#include "ui-settings-queue.h"

#define BYTES_A_GB 1e9

struct _UiStoragePage {
    AdwPreferencesPage parent;
    UiContext *context;
    AdwPreferencesGroup *states;
    AdwActionRow *used_row, *check_row;
    GtkLevelBar *level;
    GtkSpinButton *budget;
    GtkButton *check_button, *stop_button, *repair_button;
    GPtrArray *rows; /* of `states` */
    GHashTable *hidden; /* char*: whose removal can be undone */
    UiJob *job;      /* checking or repairing */
    bool is_showing; /* values are being put into widgets: they are not the user's */
    guint budget_source;
};

G_DEFINE_FINAL_TYPE(UiStoragePage, ui_storage_page, ADW_TYPE_PREFERENCES_PAGE)

static void reload(UiStoragePage *self);

/* ---------------------------------------------------------------------------------------------------------------- list */

typedef struct Listing {
    AppLibrary *library;
    AppEngine *engine;
    /* A change to be made before: */
    char *uid; /* NULL: none */
    bool is_pinned, sets_budget;
    uint64_t budget_bytes;
    /* out */
    GPtrArray *entries;
    uint64_t used_bytes, limit_bytes;
} Listing;

static void free_listing(gpointer data)
{
    Listing *listing = data;
    app_library_unref(listing->library);
    app_engine_unref(listing->engine);
    g_free(listing->uid);
    if (listing->entries != NULL) g_ptr_array_unref(listing->entries);
    g_free(listing);
}

static bool change(AppStorage *storage, const Listing *listing, GError **error)
{
    if (listing->sets_budget) return app_storage_set_budget_bytes(storage, listing->budget_bytes, NULL, error);
    return listing->uid == NULL || app_storage_set_pinned(storage, listing->uid, listing->is_pinned, error);
}

static void list(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Listing *listing = data;
    GError *error = NULL;
    g_autoptr(AppStorage) storage = app_storage_open(listing->library, &error);
    if (storage != NULL && change(storage, listing, &error)) listing->entries = app_storage_list(storage, listing->engine, &error);
    if (listing->entries == NULL) {
        g_task_return_error(task, error);
        return;
    }
    listing->used_bytes = app_storage_get_used_bytes(storage);
    listing->limit_bytes = app_storage_get_budget_bytes(storage);
    g_task_return_boolean(task, TRUE);
}

static Listing *listing_new(UiStoragePage *self)
{
    Listing *listing = g_new0(Listing, 1);
    AppEngine *engine = ui_context_get_engine(self->context);
    listing->library = app_library_ref(ui_context_get_library(self->context));
    listing->engine = engine != NULL ? app_engine_ref(engine) : NULL;
    return listing;
}

static void on_pin_toggled(UiStoragePage *self, GtkToggleButton *button);
static void on_remove(UiStoragePage *self, GtkButton *button);

static GtkWidget *icon_button(UiStoragePage *self, GtkWidget *button, const char *icon, const char *name, const char *uid)
{
    gtk_button_set_icon_name(GTK_BUTTON(button), icon);
    gtk_widget_add_css_class(button, "flat");
    gtk_widget_set_valign(button, GTK_ALIGN_CENTER);
    gtk_widget_set_tooltip_text(button, name);
    gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    g_object_set_data_full(G_OBJECT(button), "uid", g_strdup(uid), g_free);
    return button;
}

static void add_entry(UiStoragePage *self, const AppStorageEntry *entry)
{
    GtkWidget *row = adw_action_row_new();
    g_autofree char *title = g_markup_escape_text(entry->document != 0 ? entry->title : _("A document that is not in the library any more"), -1);
    g_autofree char *bytes = ui_format_bytes(entry->n_bytes), *tokens = ui_format_tokens(entry->n_tokens), *used = ui_format_day(entry->used_s);
    GString *subtitle = g_string_new(NULL);
    g_string_append_printf(subtitle, "%s · %s · %s · ", bytes, tokens, entry->model);
    g_string_append_printf(subtitle, _("used %s"), used);
    if (entry->damaged) g_string_append_printf(subtitle, "\n%s: %s", _("Damaged"), entry->note);
    if (entry->stale) g_string_append_printf(subtitle, "\n%s: %s", _("Not used now"), entry->note);
    g_autofree char *escaped = g_markup_escape_text(subtitle->str, -1);
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
    adw_action_row_set_title_lines(ADW_ACTION_ROW(row), 2);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(row), escaped);
    if (entry->damaged || entry->stale) {
        adw_action_row_add_prefix(ADW_ACTION_ROW(row), gtk_image_new_from_icon_name(entry->damaged ? "dialog-warning-symbolic" : "document-open-recent-symbolic"));
    }
    GtkWidget *pin = icon_button(self, gtk_toggle_button_new(), "view-pin-symbolic", _("Keep, whatever the budget says"), entry->uid);
    gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(pin), entry->pinned);
    g_signal_connect_object(pin, "toggled", G_CALLBACK(on_pin_toggled), self, G_CONNECT_SWAPPED);
    GtkWidget *remove = icon_button(self, gtk_button_new(), "user-trash-symbolic", _("Remove saved states; the document stays"), entry->uid);
    g_object_set_data_full(G_OBJECT(remove), "title", g_strdup(entry->title), g_free);
    g_signal_connect_object(remove, "clicked", G_CALLBACK(on_remove), self, G_CONNECT_SWAPPED);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row), pin);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row), remove);
    adw_preferences_group_add(self->states, row);
    g_ptr_array_add(self->rows, row);
    g_string_free(subtitle, TRUE);
}

static void show_listing(UiStoragePage *self, const Listing *listing)
{
    self->is_showing = true;
    for (guint i = 0; i < self->rows->len; i++) adw_preferences_group_remove(self->states, self->rows->pdata[i]);
    g_ptr_array_set_size(self->rows, 0);
    for (guint i = 0; i < listing->entries->len; i++) {
        const AppStorageEntry *entry = listing->entries->pdata[i];
        if (!g_hash_table_contains(self->hidden, entry->uid)) add_entry(self, entry);
    }
    adw_preferences_group_set_description(self->states, self->rows->len > 0 ? NULL : _("Nothing is saved yet. Reading a document saves its states, so that it need not be read again."));
    g_autofree char *used = ui_format_bytes(listing->used_bytes), *limit = ui_format_bytes(listing->limit_bytes);
    g_autofree char *words = g_strdup_printf(_("%s of %s"), used, limit);
    adw_action_row_set_subtitle(self->used_row, words);
    gtk_level_bar_set_value(self->level, listing->limit_bytes > 0 ? MIN(1.0, (double)listing->used_bytes / (double)listing->limit_bytes) : 0);
    gtk_spin_button_set_value(self->budget, (double)listing->limit_bytes / BYTES_A_GB);
    self->is_showing = false;
}

static void on_listed(GObject *source, GAsyncResult *result, gpointer user)
{
    UiStoragePage *self = UI_STORAGE_PAGE(source);
    g_autoptr(GError) error = NULL;
    bool is_done = g_task_propagate_boolean(G_TASK(result), &error);
    if (self->context == NULL) return;
    if (is_done) show_listing(self, g_task_get_task_data(G_TASK(result)));
    else if (error != NULL) ui_preferences_say(GTK_WIDGET(self), error->message); /* without: a later one follows */
}

static void run_listing(UiStoragePage *self, Listing *listing)
{
    ui_context_run(self->context, G_OBJECT(self), list, listing, free_listing, NULL, on_listed, NULL);
}

static void reload(UiStoragePage *self)
{
    run_listing(self, listing_new(self));
}

static void reload_page(gpointer page)
{
    reload(page);
}

static void on_pin_toggled(UiStoragePage *self, GtkToggleButton *button)
{
    if (self->is_showing) return;
    Listing *listing = listing_new(self);
    listing->uid = g_strdup(g_object_get_data(G_OBJECT(button), "uid"));
    listing->is_pinned = gtk_toggle_button_get_active(button);
    run_listing(self, listing);
}

static bool remove_states(AppLibrary *library, const char *uid, GError **error)
{
    g_autoptr(AppStorage) storage = app_storage_open(library, error);
    return storage != NULL && app_storage_remove(storage, uid, error);
}

static void on_remove(UiStoragePage *self, GtkButton *button)
{
    ui_preferences_remove(GTK_WIDGET(self), &(UiPreferencesRemoval){.context = self->context, .hidden = self->hidden, .remove = remove_states,
                                                                    .key = g_object_get_data(G_OBJECT(button), "uid"),
                                                                    .name = g_object_get_data(G_OBJECT(button), "title"),
                                                                    .changed = reload_page});
}

/* A moment after the last change, so that typing 20 is not taken for 2 first; or as the page goes. It may be one of the settings. */
static gboolean set_budget(gpointer user)
{
    UiStoragePage *self = user;
    self->budget_source = 0;
    Listing *listing = listing_new(self);
    listing->sets_budget = true;
    listing->budget_bytes = (uint64_t)(gtk_spin_button_get_value(self->budget) * BYTES_A_GB);
    ui_settings_queue_run(G_OBJECT(self), "budget", list, listing, free_listing, on_listed, NULL);
    return G_SOURCE_REMOVE;
}

static void on_budget_changed(UiStoragePage *self)
{
    if (self->is_showing) return;
    g_clear_handle_id(&self->budget_source, g_source_remove);
    self->budget_source = g_timeout_add(1200, set_budget, self);
}

/* ------------------------------------------------------------------------------------------------------------- checking */

typedef struct Check {
    AppLibrary *library;
    bool repair;
    AppStorageReport report;
    UiJob *job;
    gint64 begun_us;
} Check;

static void free_check(gpointer data)
{
    Check *check = data;
    app_library_unref(check->library);
    app_storage_report_clear(&check->report);
    g_free(check);
}

static void tell_checked(void *user, uint64_t done, uint64_t total)
{
    const Check *check = user;
    ui_job_set_bytes(check->job, check->begun_us, done, total);
}

static bool run_check(UiJob *job, gpointer data, GError **error)
{
    Check *check = data;
    g_autoptr(AppStorage) storage = app_storage_open(check->library, error);
    if (storage == NULL) return false;
    check->job = job;
    check->begun_us = g_get_monotonic_time();
    return app_storage_check(storage, true, check->repair, tell_checked, check, ui_job_cancel_flag(job), &check->report, error);
}

static void on_check_progress(gpointer user, const UiJobProgress *progress)
{
    UiStoragePage *self = user;
    g_autofree char *done = ui_format_bytes(progress->done), *total = ui_format_bytes(progress->total), *rate = ui_format_bytes((uint64_t)progress->per_s);
    g_autofree char *left = progress->seconds_left >= 0 ? ui_format_duration(progress->seconds_left) : NULL;
    g_autofree char *words = left != NULL ? g_strdup_printf(_("%s of %s · %s/s · %s left"), done, total, rate, left) : g_strdup_printf(_("%s of %s"), done, total);
    adw_action_row_set_subtitle(self->check_row, words);
}

static void end_check(UiStoragePage *self)
{
    self->job = NULL;
    gtk_widget_set_visible(GTK_WIDGET(self->stop_button), FALSE);
    gtk_widget_set_visible(GTK_WIDGET(self->check_button), TRUE);
}

static void on_check_done(gpointer user, gpointer data, const GError *error)
{
    UiStoragePage *self = user;
    const Check *check = data;
    end_check(self);
    if (error != NULL) {
        bool is_stopped = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
        g_autofree char *escaped = g_markup_escape_text(is_stopped ? _("Stopped.") : error->message, -1);
        adw_action_row_set_subtitle(self->check_row, escaped);
        return;
    }
    g_autofree char *sections = ui_format_count(check->report.n_sections), *damaged = ui_format_count(check->report.n_damaged);
    const AppStorageReport *report = &check->report;
    g_autofree char *words =
        report->n_damaged == 0 ? g_strdup_printf(ngettext("%s section is sound.", "%s sections are sound.", report->n_sections), sections)
        : check->repair ? g_strdup_printf(ngettext("%s damaged place was deleted; what stood there is read again when it is wanted.",
                                                   "%s damaged places were deleted; what stood there is read again when it is wanted.",
                                                   report->n_damaged), damaged)
                        : g_strdup_printf(ngettext("%s damaged place. Repairing deletes it; what stood there is read again.",
                                                   "%s damaged places. Repairing deletes them; what stood there is read again.",
                                                   report->n_damaged), damaged);
    adw_action_row_set_subtitle(self->check_row, words);
    gtk_widget_set_visible(GTK_WIDGET(self->repair_button), check->report.n_damaged > 0 && !check->repair);
    if (check->repair) reload(self);
}

static void start_check(UiStoragePage *self, bool repair)
{
    static const UiJobHandlers handlers = {.progress = on_check_progress, .done = on_check_done};
    if (self->job != NULL) return;
    Check *check = g_new0(Check, 1);
    check->library = app_library_ref(ui_context_get_library(self->context));
    check->repair = repair;
    gtk_widget_set_visible(GTK_WIDGET(self->check_button), FALSE);
    gtk_widget_set_visible(GTK_WIDGET(self->repair_button), FALSE);
    gtk_widget_set_visible(GTK_WIDGET(self->stop_button), TRUE);
    self->job = ui_job_start(run_check, check, free_check, &handlers, self);
}

static void on_check(UiStoragePage *self)
{
    start_check(self, false);
}

static void on_repair(UiStoragePage *self)
{
    start_check(self, true);
}

static void on_stop(UiStoragePage *self)
{
    if (self->job != NULL) ui_job_stop(self->job);
}

/* ----------------------------------------------------------------------------------------------------------- the object */

GtkWidget *ui_storage_page_new(UiContext *context)
{
    UiStoragePage *self = g_object_new(UI_TYPE_STORAGE_PAGE, NULL);
    self->context = g_object_ref(context);
    g_signal_connect_object(context, "engine-changed", G_CALLBACK(reload), self, G_CONNECT_SWAPPED);
    reload(self);
    return GTK_WIDGET(self);
}

static void ui_storage_page_unmap(GtkWidget *widget)
{
    UiStoragePage *self = UI_STORAGE_PAGE(widget);
    if (self->budget_source != 0) {
        g_source_remove(self->budget_source);
        set_budget(self);
    }
    GTK_WIDGET_CLASS(ui_storage_page_parent_class)->unmap(widget);
}

static void ui_storage_page_dispose(GObject *object)
{
    UiStoragePage *self = UI_STORAGE_PAGE(object);
    if (self->job != NULL) {
        ui_job_stop(self->job);
        ui_job_detach(self->job);
    }
    self->job = NULL;
    g_clear_handle_id(&self->budget_source, g_source_remove);
    gtk_widget_dispose_template(GTK_WIDGET(self), UI_TYPE_STORAGE_PAGE);
    g_clear_object(&self->context);
    G_OBJECT_CLASS(ui_storage_page_parent_class)->dispose(object);
}

static void ui_storage_page_finalize(GObject *object)
{
    g_ptr_array_unref(UI_STORAGE_PAGE(object)->rows);
    g_hash_table_unref(UI_STORAGE_PAGE(object)->hidden);
    G_OBJECT_CLASS(ui_storage_page_parent_class)->finalize(object);
}

static void ui_storage_page_class_init(UiStoragePageClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_storage_page_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_storage_page_finalize;
    widget_class->unmap = ui_storage_page_unmap;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/storage-page.ui");
    gtk_widget_class_bind_template_child(widget_class, UiStoragePage, states);
    gtk_widget_class_bind_template_child(widget_class, UiStoragePage, used_row);
    gtk_widget_class_bind_template_child(widget_class, UiStoragePage, check_row);
    gtk_widget_class_bind_template_child(widget_class, UiStoragePage, level);
    gtk_widget_class_bind_template_child(widget_class, UiStoragePage, budget);
    gtk_widget_class_bind_template_child(widget_class, UiStoragePage, check_button);
    gtk_widget_class_bind_template_child(widget_class, UiStoragePage, stop_button);
    gtk_widget_class_bind_template_child(widget_class, UiStoragePage, repair_button);
    gtk_widget_class_bind_template_callback(widget_class, on_budget_changed);
    gtk_widget_class_bind_template_callback(widget_class, on_check);
    gtk_widget_class_bind_template_callback(widget_class, on_repair);
    gtk_widget_class_bind_template_callback(widget_class, on_stop);
}

static void ui_storage_page_init(UiStoragePage *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    self->rows = g_ptr_array_new();
    self->hidden = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}
