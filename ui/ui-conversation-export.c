/* ui-conversation-export.c: see ui-conversation-export.h. */
#define G_LOG_DOMAIN "ui-conversation-export"
#include "ui-conversation-export.h"

#include <glib/gi18n.h>
#include <string.h>

#include "ui-window.h"

enum { FILE_NAME_CHARS_MAX = 60 };

typedef struct Export {
    UiContext *context;
    int64_t conversation;
    GFile *file; /* NULL: to the clipboard */
} Export;

static void free_export(gpointer data)
{
    Export *export = data;
    g_object_unref(export->context);
    g_clear_object(&export->file);
    g_free(export);
}

static void make_markdown(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Export *export = data;
    GError *error = NULL;
    char *text = app_conversation_to_markdown(ui_context_get_library(export->context), export->conversation, &error);
    if (text != NULL && export->file != NULL &&
        !g_file_replace_contents(export->file, text, strlen(text), NULL, FALSE, G_FILE_CREATE_PRIVATE, NULL, NULL, &error)) {
        g_clear_pointer(&text, g_free);
    }
    if (text != NULL) g_task_return_pointer(task, text, g_free);
    else g_task_return_error(task, error);
}

static void tell_done(GtkWidget *widget, const Export *export, const char *text)
{
    g_autofree char *words = NULL;
    if (export->file == NULL) {
        gdk_clipboard_set_text(gtk_widget_get_clipboard(widget), text);
        words = g_strdup(_("Conversation copied"));
    } else {
        g_autofree char *name = g_file_get_basename(export->file), *shown = g_filename_display_name(name);
        words = g_strdup_printf(_("Exported to “%s”"), shown);
    }
    ui_window_say(widget, words);
}

static void on_markdown(GObject *source, GAsyncResult *result, gpointer user)
{
    GtkWidget *widget = GTK_WIDGET(source);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_task_propagate_pointer(G_TASK(result), &error);
    if (text != NULL) {
        tell_done(widget, g_task_get_task_data(G_TASK(result)), text);
        return;
    }
    if (gtk_widget_get_root(widget) == NULL) return;
    GtkWidget *dialog = adw_message_dialog_new(GTK_WINDOW(gtk_widget_get_root(widget)), _("The conversation could not be exported"), error->message);
    adw_message_dialog_add_response(ADW_MESSAGE_DIALOG(dialog), "close", _("_Close"));
    gtk_window_present(GTK_WINDOW(dialog));
}

static void run(GtkWidget *widget, UiContext *context, int64_t conversation, GFile *file)
{
    Export *export = g_new0(Export, 1);
    *export = (Export){g_object_ref(context), conversation, file != NULL ? g_object_ref(file) : NULL};
    ui_context_run(context, G_OBJECT(widget), make_markdown, export, free_export, NULL, on_markdown, NULL);
}

void ui_conversation_copy(GtkWidget *widget, UiContext *context, int64_t conversation)
{
    run(widget, context, conversation, NULL);
}

typedef struct Choice {
    GtkWidget *widget; /* weak */
    UiContext *context;
    int64_t conversation;
} Choice;

static void on_response(GtkNativeDialog *dialog, int response, gpointer user)
{
    Choice *choice = user;
    g_autoptr(GFile) file = response == GTK_RESPONSE_ACCEPT ? gtk_file_chooser_get_file(GTK_FILE_CHOOSER(dialog)) : NULL;
    if (file != NULL && choice->widget != NULL) run(choice->widget, choice->context, choice->conversation, file);
    g_object_unref(dialog);
}

static void free_choice(gpointer data, GClosure *closure)
{
    Choice *choice = data;
    g_clear_weak_pointer(&choice->widget);
    g_object_unref(choice->context);
    g_free(choice);
}

/* The title, as a name that any file system takes. g_free. */
static char *file_name_of(UiContext *context, int64_t conversation)
{
    g_autoptr(AppConversation) about = app_library_get_conversation(ui_context_get_library(context), conversation, NULL);
    g_autofree char *title = g_strdup(about != NULL && *about->title != '\0' ? about->title : _("Conversation"));
    g_strstrip(g_strdelimit(title, "/\\:*?\"<>|\r\n\t", ' '));
    g_autofree char *begun = g_utf8_substring(title, 0, MIN(g_utf8_strlen(title, -1), FILE_NAME_CHARS_MAX));
    return g_strconcat(g_strstrip(begun), ".md", NULL);
}

void ui_conversation_export(GtkWidget *widget, UiContext *context, int64_t conversation)
{
    GtkWindow *window = GTK_WINDOW(gtk_widget_get_root(widget));
    GtkFileChooserNative *dialog = gtk_file_chooser_native_new(_("Export Conversation"), window, GTK_FILE_CHOOSER_ACTION_SAVE, _("_Export"), NULL);
    g_autofree char *name = file_name_of(context, conversation);
    Choice *choice = g_new0(Choice, 1);
    choice->context = g_object_ref(context);
    choice->conversation = conversation;
    g_set_weak_pointer(&choice->widget, widget);
    gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(dialog), TRUE);
    gtk_file_chooser_set_current_name(GTK_FILE_CHOOSER(dialog), name);
    g_signal_connect_data(dialog, "response", G_CALLBACK(on_response), choice, free_choice, 0);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(dialog));
}
