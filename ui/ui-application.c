/* ui-application.c: see ui-application.h. */
#define G_LOG_DOMAIN "ui-application"
#include "ui-application.h"

#include "ui-window.h"

struct _UiApplication {
    AdwApplication parent;
    UiContext *context;
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

static void on_quit(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    g_application_quit(G_APPLICATION(user));
}

static const GActionEntry ACTIONS[] = {
    {.name = "quit", .activate = on_quit},
};

static const struct {
    const char *action;
    const char *keys[3];
} KEYS[] = {
    {"app.quit", {"<Control>q"}},
    {"window.close", {"<Control>w"}},
    {"win.add", {"<Control>o"}},
    {"win.new-conversation", {"<Control>n"}},
    {"win.toggle-ask", {"F9"}},
    {"win.menu", {"F10"}},
    {"win.go-back", {"<Alt>Left", "Back"}},
};

static void ui_application_startup(GApplication *application)
{
    UiApplication *self = UI_APPLICATION(application);
    G_APPLICATION_CLASS(ui_application_parent_class)->startup(application);
    g_action_map_add_action_entries(G_ACTION_MAP(self), ACTIONS, G_N_ELEMENTS(ACTIONS), self);
    for (size_t i = 0; i < G_N_ELEMENTS(KEYS); i++) {
        gtk_application_set_accels_for_action(GTK_APPLICATION(self), KEYS[i].action, KEYS[i].keys);
    }
    g_autoptr(GError) error = NULL;
    self->context = ui_context_new(NULL, &error);
    if (self->context == NULL) {
        g_printerr("lectern-window: %s\n", error->message);
        return;
    }
    ui_context_load_engine(self->context, NULL);
}

static UiWindow *window_of(UiApplication *self)
{
    GtkWindow *window = gtk_application_get_active_window(GTK_APPLICATION(self));
    return window != NULL ? UI_WINDOW(window) : ui_window_new(self);
}

static void ui_application_activate(GApplication *application)
{
    UiApplication *self = UI_APPLICATION(application);
    if (self->context != NULL) gtk_window_present(GTK_WINDOW(window_of(self)));
}

static void ui_application_open(GApplication *application, GFile **files, int n_files, const char *hint)
{
    UiApplication *self = UI_APPLICATION(application);
    if (self->context == NULL) return;
    for (int i = 0; i < n_files; i++) {
        g_autofree char *path = g_file_get_path(files[i]);
        if (path != NULL) app_read_queue_add_path(ui_context_get_queue(self->context), path, 0);
    }
    gtk_window_present(GTK_WINDOW(window_of(self)));
}

static void ui_application_dispose(GObject *object)
{
    g_clear_object(&UI_APPLICATION(object)->context);
    G_OBJECT_CLASS(ui_application_parent_class)->dispose(object);
}

static void ui_application_class_init(UiApplicationClass *class)
{
    G_OBJECT_CLASS(class)->dispose = ui_application_dispose;
    G_APPLICATION_CLASS(class)->startup = ui_application_startup;
    G_APPLICATION_CLASS(class)->activate = ui_application_activate;
    G_APPLICATION_CLASS(class)->open = ui_application_open;
}

static void ui_application_init(UiApplication *self)
{
}
