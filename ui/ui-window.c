/* ui-window.c: see ui-window.h. */
#define G_LOG_DOMAIN "ui-window"
#include "ui-window.h"

#include "ui-ask-view.h"
#include "ui-reader.h"

struct _UiWindow {
    AdwApplicationWindow parent;
    AdwToastOverlay *toasts;
    UiReader *reader;
    UiAskView *ask_view;
    UiContext *context;
};

G_DEFINE_FINAL_TYPE(UiWindow, ui_window, ADW_TYPE_APPLICATION_WINDOW)

UiWindow *ui_window_new(UiApplication *application)
{
    UiWindow *self = g_object_new(UI_TYPE_WINDOW, "application", application, NULL);
    self->context = g_object_ref(ui_application_get_context(application));
    ui_reader_set_context(self->reader, self->context);
    ui_ask_view_set_context(self->ask_view, self->context);
    return self;
}

void ui_window_toast(UiWindow *self, AdwToast *toast)
{
    adw_toast_overlay_add_toast(self->toasts, toast);
}

static void on_open_document(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    ui_reader_open(UI_WINDOW(user)->reader, g_variant_get_int64(parameter));
}

static void on_show_passage(GSimpleAction *action, GVariant *parameter, gpointer user)
{
    gint64 document;
    guint64 start, end;
    g_variant_get(parameter, "(xtt)", &document, &start, &end);
    ui_reader_show_passage(UI_WINDOW(user)->reader, document, start, end);
}

static const GActionEntry ACTIONS[] = {
    {.name = "open-document", .activate = on_open_document, .parameter_type = "x"},
    {.name = "show-passage", .activate = on_show_passage, .parameter_type = "(xtt)"},
};

static void ui_window_dispose(GObject *object)
{
    gtk_widget_dispose_template(GTK_WIDGET(object), UI_TYPE_WINDOW);
    g_clear_object(&UI_WINDOW(object)->context);
    G_OBJECT_CLASS(ui_window_parent_class)->dispose(object);
}

static void ui_window_class_init(UiWindowClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_window_dispose;
    g_type_ensure(UI_TYPE_READER);
    g_type_ensure(UI_TYPE_ASK_VIEW);
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/window.ui");
    gtk_widget_class_bind_template_child(widget_class, UiWindow, toasts);
    gtk_widget_class_bind_template_child(widget_class, UiWindow, reader);
    gtk_widget_class_bind_template_child(widget_class, UiWindow, ask_view);
}

static void ui_window_init(UiWindow *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    g_action_map_add_action_entries(G_ACTION_MAP(self), ACTIONS, G_N_ELEMENTS(ACTIONS), self);
}
