/* ui-general-page.c: see ui-general-page.h.
 *
 * What concerns the window alone is in GSettings; all else in app-settings.h, where the command line finds it too. That is read and written
 * in ui-settings-queue.h; until it has been read, what would change it waits.
 */
#define G_LOG_DOMAIN "ui-general-page"
#include "ui-general-page.h"

#include <glib/gi18n.h>

#include "ui-preferences.h"
#include "ui-settings-queue.h"
#include "ui-settings.h"

struct _UiGeneralPage {
    AdwPreferencesPage parent;
    UiContext *context;
    GtkSwitch *read_at_once, *remote_enabled;
    GtkSpinButton *threads;
    AdwPreferencesGroup *watched, *remote;
    AdwEntryRow *remote_url, *remote_model;
    GtkPasswordEntry *remote_key;
    GPtrArray *folder_rows;
    bool is_showing;
};

G_DEFINE_FINAL_TYPE(UiGeneralPage, ui_general_page, ADW_TYPE_PREFERENCES_PAGE)

static void say(UiGeneralPage *self, const GError *error)
{
    if (error != NULL) ui_preferences_say(GTK_WIDGET(self), error->message);
}

static void on_set(GObject *source, GAsyncResult *result, gpointer user)
{
    g_autoptr(GError) error = NULL;
    g_task_propagate_boolean(G_TASK(result), &error);
    say(UI_GENERAL_PAGE(source), error);
}

static void set(UiGeneralPage *self, const char *key, const char *value)
{
    ui_settings_queue_set(G_OBJECT(self), key, value, on_set, NULL);
}

/* -------------------------------------------------------------------------------------------------------- watched folders */

typedef struct FolderChange {
    char *add, *drop; /* NULL: none */
} FolderChange;

static void free_folder_change(gpointer data)
{
    FolderChange *change = data;
    g_free(change->add);
    g_free(change->drop);
    g_free(change);
}

static char **change_folders(const FolderChange *change, GError **error)
{
    g_autoptr(AppSettings) settings = app_settings_open(NULL, error);
    if (settings == NULL) return NULL;
    g_auto(GStrv) folders = app_settings_get_folders(settings, APP_SETTING_WATCH);
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    for (char **at = folders; *at != NULL; at++) {
        if (g_strcmp0(*at, change->drop) != 0 && g_strcmp0(*at, change->add) != 0) g_ptr_array_add(list, *at);
    }
    if (change->add != NULL) g_ptr_array_add(list, change->add);
    g_ptr_array_add(list, NULL);
    if (!app_settings_set_folders(settings, APP_SETTING_WATCH, (const char *const *)list->pdata, error)) return NULL;
    return g_strdupv((char **)list->pdata);
}

static void change_on_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    GError *error = NULL;
    char **folders = change_folders(data, &error);
    if (folders != NULL) g_task_return_pointer(task, folders, (GDestroyNotify)g_strfreev);
    else g_task_return_error(task, error);
}

static void show_folders(UiGeneralPage *self, char **folders);

static void on_folders_changed(GObject *source, GAsyncResult *result, gpointer user)
{
    UiGeneralPage *self = UI_GENERAL_PAGE(source);
    g_autoptr(UiContext) context = user;
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) folders = g_task_propagate_pointer(G_TASK(result), &error);
    say(self, error);
    if (folders == NULL) return;
    if (self->context != NULL) show_folders(self, folders);
    ui_context_update_watch(context);
}

static void set_folders(UiGeneralPage *self, const char *add, const char *drop)
{
    FolderChange *change = g_new0(FolderChange, 1);
    *change = (FolderChange){.add = g_strdup(add), .drop = g_strdup(drop)};
    ui_settings_queue_run(G_OBJECT(self), NULL, change_on_thread, change, free_folder_change, on_folders_changed, g_object_ref(self->context));
}

static void on_drop_folder(UiGeneralPage *self, GtkButton *button)
{
    g_autofree char *folder = g_strdup(g_object_get_data(G_OBJECT(button), "folder"));
    set_folders(self, NULL, folder);
}

static void show_folders(UiGeneralPage *self, char **folders)
{
    for (guint i = 0; i < self->folder_rows->len; i++) adw_preferences_group_remove(self->watched, self->folder_rows->pdata[i]);
    g_ptr_array_set_size(self->folder_rows, 0);
    for (char **at = folders; *at != NULL; at++) {
        GtkWidget *row = adw_action_row_new(), *button = gtk_button_new_from_icon_name("list-remove-symbolic");
        g_autofree char *name = g_filename_display_name(*at), *title = g_markup_escape_text(name, -1), *words = g_strdup_printf(_("Stop watching %s"), name);
        adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
        gtk_widget_add_css_class(button, "flat");
        gtk_widget_set_valign(button, GTK_ALIGN_CENTER);
        gtk_widget_set_tooltip_text(button, words);
        gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, words, -1);
        g_object_set_data_full(G_OBJECT(button), "folder", g_strdup(*at), g_free);
        g_signal_connect_object(button, "clicked", G_CALLBACK(on_drop_folder), self, G_CONNECT_SWAPPED);
        adw_action_row_add_suffix(ADW_ACTION_ROW(row), button);
        adw_preferences_group_add(self->watched, row);
        g_ptr_array_add(self->folder_rows, row);
    }
}

static void on_folder_response(GtkNativeDialog *dialog, int response, gpointer user)
{
    g_autoptr(GFile) file = response == GTK_RESPONSE_ACCEPT ? gtk_file_chooser_get_file(GTK_FILE_CHOOSER(dialog)) : NULL;
    g_autofree char *path = file != NULL ? g_file_get_path(file) : NULL;
    if (path != NULL) set_folders(UI_GENERAL_PAGE(user), path, NULL);
    g_object_unref(dialog);
}

static void on_add_folder(UiGeneralPage *self)
{
    GtkFileChooserNative *dialog = gtk_file_chooser_native_new(_("Watch Folder"), GTK_WINDOW(gtk_widget_get_root(GTK_WIDGET(self))),
                                                               GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _("_Watch"), NULL);
    gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(dialog), TRUE);
    g_signal_connect_object(dialog, "response", G_CALLBACK(on_folder_response), self, 0);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(dialog));
}

/* ----------------------------------------------------------------------------------------------------------------- others */

static void on_threads_changed(UiGeneralPage *self)
{
    if (self->is_showing) return;
    g_autofree char *value = g_strdup_printf("%d", gtk_spin_button_get_value_as_int(self->threads));
    set(self, APP_SETTING_THREADS, value);
}

static void on_remote_enabled(UiGeneralPage *self)
{
    if (self->is_showing) return;
    set(self, APP_SETTING_REMOTE_ENABLED, gtk_switch_get_active(self->remote_enabled) ? "yes" : "no");
}

static void on_remote_url(UiGeneralPage *self)
{
    set(self, APP_SETTING_REMOTE_URL, gtk_editable_get_text(GTK_EDITABLE(self->remote_url)));
}

static void on_remote_model(UiGeneralPage *self)
{
    set(self, APP_SETTING_REMOTE_MODEL, gtk_editable_get_text(GTK_EDITABLE(self->remote_model)));
}

/* Kept, and never shown. */
static void on_key_set(GObject *source, GAsyncResult *result, gpointer user)
{
    UiGeneralPage *self = UI_GENERAL_PAGE(source);
    g_autofree char *key = user;
    g_autoptr(GError) error = NULL;
    bool is_kept = g_task_propagate_boolean(G_TASK(result), &error);
    say(self, error);
    if (!is_kept || self->context == NULL || !g_str_equal(gtk_editable_get_text(GTK_EDITABLE(self->remote_key)), key)) return;
    gtk_editable_set_text(GTK_EDITABLE(self->remote_key), "");
}

static void on_remote_key(UiGeneralPage *self)
{
    const char *key = gtk_editable_get_text(GTK_EDITABLE(self->remote_key));
    ui_settings_queue_set(G_OBJECT(self), APP_SETTING_REMOTE_KEY, key, on_key_set, g_strdup(key));
}

static void set_usable(UiGeneralPage *self, bool usable)
{
    GtkWidget *const widgets[] = {GTK_WIDGET(self->threads), GTK_WIDGET(self->watched), GTK_WIDGET(self->remote)};
    for (size_t i = 0; i < G_N_ELEMENTS(widgets); i++) gtk_widget_set_sensitive(widgets[i], usable);
}

static void show(UiGeneralPage *self, AppSettings *settings)
{
    self->is_showing = true;
    g_autofree char *url = app_settings_get_text(settings, APP_SETTING_REMOTE_URL), *model = app_settings_get_text(settings, APP_SETTING_REMOTE_MODEL);
    g_auto(GStrv) folders = app_settings_get_folders(settings, APP_SETTING_WATCH);
    gtk_spin_button_set_value(self->threads, (double)app_settings_get_number(settings, APP_SETTING_THREADS));
    gtk_switch_set_active(self->remote_enabled, app_settings_get_boolean(settings, APP_SETTING_REMOTE_ENABLED));
    gtk_editable_set_text(GTK_EDITABLE(self->remote_url), url);
    gtk_editable_set_text(GTK_EDITABLE(self->remote_model), model);
    self->is_showing = false;
    show_folders(self, folders);
    set_usable(self, true);
}

static void open_settings(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    GError *error = NULL;
    AppSettings *settings = app_settings_open(NULL, &error);
    if (settings != NULL) g_task_return_pointer(task, settings, (GDestroyNotify)app_settings_free);
    else g_task_return_error(task, error);
}

static void on_opened(GObject *source, GAsyncResult *result, gpointer user)
{
    UiGeneralPage *self = UI_GENERAL_PAGE(source);
    g_autoptr(GError) error = NULL;
    g_autoptr(AppSettings) settings = g_task_propagate_pointer(G_TASK(result), &error);
    say(self, error);
    if (settings != NULL && self->context != NULL) show(self, settings);
}

GtkWidget *ui_general_page_new(UiContext *context)
{
    UiGeneralPage *self = g_object_new(UI_TYPE_GENERAL_PAGE, NULL);
    self->context = g_object_ref(context);
    set_usable(self, false);
    ui_settings_queue_run(G_OBJECT(self), NULL, open_settings, NULL, NULL, on_opened, NULL);
    return GTK_WIDGET(self);
}

static void ui_general_page_dispose(GObject *object)
{
    UiGeneralPage *self = UI_GENERAL_PAGE(object);
    gtk_widget_dispose_template(GTK_WIDGET(self), UI_TYPE_GENERAL_PAGE);
    g_clear_object(&self->context);
    G_OBJECT_CLASS(ui_general_page_parent_class)->dispose(object);
}

static void ui_general_page_finalize(GObject *object)
{
    g_ptr_array_unref(UI_GENERAL_PAGE(object)->folder_rows);
    G_OBJECT_CLASS(ui_general_page_parent_class)->finalize(object);
}

static void ui_general_page_class_init(UiGeneralPageClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_general_page_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_general_page_finalize;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/general-page.ui");
    gtk_widget_class_bind_template_child(widget_class, UiGeneralPage, read_at_once);
    gtk_widget_class_bind_template_child(widget_class, UiGeneralPage, threads);
    gtk_widget_class_bind_template_child(widget_class, UiGeneralPage, watched);
    gtk_widget_class_bind_template_child(widget_class, UiGeneralPage, remote);
    gtk_widget_class_bind_template_child(widget_class, UiGeneralPage, remote_enabled);
    gtk_widget_class_bind_template_child(widget_class, UiGeneralPage, remote_url);
    gtk_widget_class_bind_template_child(widget_class, UiGeneralPage, remote_model);
    gtk_widget_class_bind_template_child(widget_class, UiGeneralPage, remote_key);
    gtk_widget_class_bind_template_callback(widget_class, on_add_folder);
    gtk_widget_class_bind_template_callback(widget_class, on_threads_changed);
    gtk_widget_class_bind_template_callback(widget_class, on_remote_enabled);
    gtk_widget_class_bind_template_callback(widget_class, on_remote_url);
    gtk_widget_class_bind_template_callback(widget_class, on_remote_model);
    gtk_widget_class_bind_template_callback(widget_class, on_remote_key);
}

static void ui_general_page_init(UiGeneralPage *self)
{
    self->is_showing = true;
    gtk_widget_init_template(GTK_WIDGET(self));
    self->is_showing = false;
    self->folder_rows = g_ptr_array_new();
    g_settings_bind(ui_settings_get(), "read-at-once", self->read_at_once, "active", G_SETTINGS_BIND_DEFAULT);
}
