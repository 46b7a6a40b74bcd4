/* ui-application.c: see ui-application.h. */
#define G_LOG_DOMAIN "ui-application"
#include "ui-application.h"

#include <glib/gi18n.h>

#include "ui-accessible.h"
#include "ui-config.h"
#include "ui-icons.h"
#include "ui-preferences.h"
#include "ui-settings-queue.h"
#include "ui-settings.h"
#include "ui-watchdog.h"
#include "ui-window.h"

struct _UiApplication {
    AdwApplication parent;
    UiContext *context;
    char *problem;    /* why there is no context */
    guint n_finished; /* documents read since the queue was idle */
    int64_t last_finished;
};

G_DEFINE_FINAL_TYPE(UiApplication, ui_application, ADW_TYPE_APPLICATION)

UiApplication *ui_application_new(void)
{
    return g_object_new(UI_TYPE_APPLICATION, "application-id", UI_APPLICATION_ID, "flags", G_APPLICATION_HANDLES_OPEN, NULL);
}

UiContext *ui_application_get_context(UiApplication *self)
{
    return self->context;
}

/* ------------------------------------------------------------------------------------------------------------- windows */

static GtkWindow *main_window(UiApplication *self)
{
    for (GList *at = gtk_application_get_windows(GTK_APPLICATION(self)); at != NULL; at = at->next) {
        if (UI_IS_WINDOW(at->data)) return at->data;
    }
    return NULL;
}

/* A library that cannot be opened is nothing to work around: the reason is shown, and nothing is touched. */
static GtkWindow *problem_window(UiApplication *self)
{
    GtkWidget *window = adw_application_window_new(GTK_APPLICATION(self)), *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
    GtkWidget *page = adw_status_page_new();
    g_autofree char *text = g_markup_escape_text(self->problem, -1);
    adw_status_page_set_icon_name(ADW_STATUS_PAGE(page), "dialog-warning-symbolic");
    adw_status_page_set_title(ADW_STATUS_PAGE(page), _("The Library Cannot Be Opened"));
    adw_status_page_set_description(ADW_STATUS_PAGE(page), text);
    gtk_widget_set_vexpand(page, TRUE);
    gtk_box_append(GTK_BOX(box), adw_header_bar_new());
    gtk_box_append(GTK_BOX(box), page);
    adw_application_window_set_content(ADW_APPLICATION_WINDOW(window), box);
    gtk_window_set_default_size(GTK_WINDOW(window), 560, 420);
    gtk_window_set_title(GTK_WINDOW(window), _("Lectern"));
    return GTK_WINDOW(window);
}

/* The main window, made when there is none; NULL when the library could not be opened (a window says why). */
static GtkWindow *present(UiApplication *self)
{
    GtkWindow *window = main_window(self);
    if (self->context == NULL) {
        gtk_window_present(problem_window(self));
        return NULL;
    }
    if (window == NULL) window = GTK_WINDOW(ui_window_new(self));
    gtk_window_present(window);
    return window;
}

/* ------------------------------------------------------------------------------------------------------------- actions */

static void on_quit(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    GtkWindow *window = main_window(user);
    if (window != NULL) gtk_window_close(window); /* keeps its size, forgets what was removed */
    g_application_quit(G_APPLICATION(user));
}

static void on_about(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    GtkWidget *about = adw_about_window_new();
    g_object_set(about, "transient-for", gtk_application_get_active_window(user), "application-name", _("Lectern"), "application-icon",
                 UI_APPLICATION_ID, "version", UI_VERSION, "developer-name", _("The Lectern developers"), "license-type", GTK_LICENSE_GPL_3_0,
                 "comments", _("Reads books and reports once, on this computer, and answers questions over them on any day."),
                 /* Translators: your name, and your address if you like */
                 "translator-credits", _("translator-credits"), NULL);
    ui_accessible_name_foreign(about);
    gtk_window_present(GTK_WINDOW(about));
}

static void on_shortcuts(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    g_autoptr(GtkBuilder) builder = gtk_builder_new_from_resource("/org/lectern/Lectern/ui/shortcuts.ui");
    GtkWindow *shortcuts = GTK_WINDOW(gtk_builder_get_object(builder, "shortcuts"));
    gtk_window_set_transient_for(shortcuts, gtk_application_get_active_window(user));
    gtk_window_present(shortcuts);
}

/* Notifications, the search provider and the desktop file's actions come in from outside: they are handed on to the window. */
static void hand_on(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    static const char *const to[][2] = {{"open-document", "win.open-document"}, {"show-passage", "win.show-passage"}, {"search", "win.search"},
                                        {"new-conversation", "win.new-conversation"}, {"add", "win.add"}};
    GtkWindow *window = present(user);
    for (size_t i = 0; window != NULL && i < G_N_ELEMENTS(to); i++) {
        if (!g_str_equal(g_action_get_name(G_ACTION(action)), to[i][0])) continue;
        gtk_widget_activate_action_variant(GTK_WIDGET(window), to[i][1], parameter);
    }
}

static void show_preferences(UiApplication *self, const char *page)
{
    ui_preferences_present(self->context, gtk_application_get_active_window(GTK_APPLICATION(self)), page);
}

static void on_preferences(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    show_preferences(UI_APPLICATION(user), "general");
}

static void on_models(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    show_preferences(UI_APPLICATION(user), "models");
}

static void on_storage(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    show_preferences(UI_APPLICATION(user), "storage");
}

static const GActionEntry ACTIONS[] = {
    {.name = "quit", .activate = on_quit},
    {.name = "about", .activate = on_about},
    {.name = "shortcuts", .activate = on_shortcuts},
    {.name = "open-document", .activate = hand_on, .parameter_type = "x"},
    {.name = "show-passage", .activate = hand_on, .parameter_type = "(xtt)"},
    {.name = "search", .activate = hand_on, .parameter_type = "s"},
    {.name = "new-conversation", .activate = hand_on},
    {.name = "add", .activate = hand_on},
    {.name = "preferences", .activate = on_preferences},
    {.name = "models", .activate = on_models},
    {.name = "storage", .activate = on_storage},
};

static const struct {
    const char *action;
    const char *keys[3];
} KEYS[] = {
    {"app.quit", {"<Control>q"}},
    {"app.shortcuts", {"<Control>question", "<Control>slash"}},
    {"app.preferences", {"<Control>comma"}},
    {"window.close", {"<Control>w"}},
    {"win.add", {"<Control>o"}},
    {"win.new-conversation", {"<Control>n"}},
    {"win.find-conversation", {"<Control><Shift>f"}},
    {"win.ask", {"<Control>l"}},
    {"win.toggle-ask", {"F9"}},
    {"win.menu", {"F10"}},
    {"win.go-back", {"<Alt>Left", "Back"}},
};

/* ------------------------------------------------------------------------------------------------------- notifications */

/* In whichever window: a file chooser or the preferences may be in front. */
static bool is_looked_at(UiApplication *self)
{
    for (GList *at = gtk_application_get_windows(GTK_APPLICATION(self)); at != NULL; at = at->next) {
        if (gtk_window_is_active(at->data)) return true;
    }
    return false;
}

void ui_application_notify(UiApplication *self, const char *id, const char *title)
{
    g_autoptr(GNotification) notification = g_notification_new(title);
    if (!is_looked_at(self)) g_application_send_notification(G_APPLICATION(self), id, notification);
}

/* Told once the queue is empty, and only to somebody who looks elsewhere. */
static void notify_finished(UiApplication *self)
{
    guint n = self->n_finished;
    self->n_finished = 0;
    if (n == 0 || is_looked_at(self)) return;
    g_autoptr(GNotification) notification = NULL;
    g_autoptr(AppDocument) document = n == 1 ? app_library_get_document(ui_context_get_library(self->context), self->last_finished, NULL) : NULL;
    if (document != NULL) {
        g_autofree char *title = g_strdup_printf(_("“%s” Is Ready"), document->title);
        notification = g_notification_new(title);
        g_notification_set_body(notification, _("It is read; ask it anything."));
        g_notification_set_default_action_and_target(notification, "app.open-document", "x", self->last_finished);
    } else {
        g_autofree char *title = g_strdup_printf(ngettext("%u Document Is Ready", "%u Documents Are Ready", n), n);
        notification = g_notification_new(title);
        g_notification_set_body(notification, _("All that was waiting is read."));
    }
    g_application_send_notification(G_APPLICATION(self), "read", notification);
}

static void on_read_event(UiApplication *self, const AppReadEvent *event)
{
    if (event->kind == APP_READ_PROGRESS) {
        ui_watchdog_set_counting(true);
    } else if (event->kind == APP_READ_DONE) {
        ui_watchdog_set_counting(false);
        self->n_finished++;
        self->last_finished = event->document;
    } else if (event->kind == APP_READ_IDLE) {
        notify_finished(self);
    }
}

/* --------------------------------------------------------------------------------------------------------------- start */

static void on_read_at_once(GSettings *settings, const char *key, UiApplication *self)
{
    if (self->context != NULL) app_read_queue_set_reads_added(ui_context_get_queue(self->context), g_settings_get_boolean(settings, key));
}

static void ui_application_startup(GApplication *application)
{
    UiApplication *self = UI_APPLICATION(application);
    ui_icons_keep();
    G_APPLICATION_CLASS(ui_application_parent_class)->startup(application);
    gtk_window_set_default_icon_name(UI_APPLICATION_ID);
    g_action_map_add_action_entries(G_ACTION_MAP(self), ACTIONS, G_N_ELEMENTS(ACTIONS), self);
    for (size_t i = 0; i < G_N_ELEMENTS(KEYS); i++) {
        gtk_application_set_accels_for_action(GTK_APPLICATION(self), KEYS[i].action, KEYS[i].keys);
    }
    g_autoptr(GError) error = NULL;
    self->context = ui_context_new(NULL, &error);
    if (self->context == NULL) {
        self->problem = g_strdup(error->message);
        return;
    }
    g_signal_connect_object(self->context, "read-event", G_CALLBACK(on_read_event), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(ui_settings_get(), "changed::read-at-once", G_CALLBACK(on_read_at_once), self, 0);
    on_read_at_once(ui_settings_get(), "read-at-once", self);
    ui_context_load_engine(self->context, NULL);
    ui_context_update_watch(self->context);
}

static void ui_application_activate(GApplication *application)
{
    present(UI_APPLICATION(application));
}

static void ui_application_open(GApplication *application, GFile **files, int n_files, const char *hint)
{
    GtkWindow *window = present(UI_APPLICATION(application));
    g_autoptr(GSList) list = NULL;
    for (int i = n_files - 1; i >= 0; i--) list = g_slist_prepend(list, files[i]);
    if (window != NULL) ui_window_add_files(UI_WINDOW(window), list);
}

/* The windows have gone, and have asked for what is kept of them. */
static void ui_application_shutdown(GApplication *application)
{
    G_APPLICATION_CLASS(ui_application_parent_class)->shutdown(application);
    ui_settings_queue_flush();
}

static void ui_application_dispose(GObject *object)
{
    UiApplication *self = UI_APPLICATION(object);
    g_clear_object(&self->context);
    g_clear_pointer(&self->problem, g_free);
    G_OBJECT_CLASS(ui_application_parent_class)->dispose(object);
}

static void ui_application_class_init(UiApplicationClass *class)
{
    G_OBJECT_CLASS(class)->dispose = ui_application_dispose;
    G_APPLICATION_CLASS(class)->startup = ui_application_startup;
    G_APPLICATION_CLASS(class)->activate = ui_application_activate;
    G_APPLICATION_CLASS(class)->open = ui_application_open;
    G_APPLICATION_CLASS(class)->shutdown = ui_application_shutdown;
}

static void ui_application_init(UiApplication *self)
{
}
