/* ui-library-locked.c: files that need a word from their reader: a password, or leave to read a scan.
 *
 * Owns: asking for either and adding the file again with it. Does not own: taking files in (app-reader.h); a password is kept nowhere.
 */
#define G_LOG_DOMAIN "ui-library-locked"
#include "ui-library-internal.h"

#include <glib/gi18n.h>

#include "ui-window.h"

typedef struct Locked {
    UiLibraryView *view; /* weak */
    char *path;
    char *password;      /* as typed so far; NULL: about a scan. The entry may be gone when the dialog answers */
} Locked;

static void clear_locked(gpointer data)
{
    Locked *locked = data;
    g_clear_weak_pointer(&locked->view);
    g_free(locked->path);
    g_free(locked->password);
}

/* Two signals hold it: the entry may speak after the dialog, and the dialog after the entry. */
static void release_locked(gpointer data, GClosure *closure)
{
    g_rc_box_release_full(data, clear_locked);
}

static void on_response(AdwMessageDialog *dialog, const char *response, gpointer user)
{
    const Locked *locked = user;
    gtk_window_set_focus(GTK_WINDOW(dialog), NULL); /* GTK 4.8's password entry is told of its text's lost focus after its own end */
    if (locked->view == NULL || !g_str_equal(response, "accept")) return;
    AppReadQueueOptions options = {.collection = locked->view->collection};
    options.password = locked->password;
    options.ocr = locked->password == NULL;
    g_hash_table_add(locked->view->helped, g_strdup(locked->path));
    app_read_queue_add(ui_context_get_queue(locked->view->context), locked->path, &options);
}

static void on_typed(GtkEditable *entry, gpointer user)
{
    Locked *locked = user;
    if (gtk_widget_in_destruction(GTK_WIDGET(entry)) || gtk_editable_get_delegate(entry) == NULL) return;
    g_free(locked->password);
    locked->password = g_strdup(gtk_editable_get_text(entry));
}

static GtkWidget *dialog_new(UiLibraryView *self, const char *heading, const char *body, const char *accept, const char *path, GtkWidget *entry)
{
    GtkWidget *dialog = adw_message_dialog_new(GTK_WINDOW(gtk_widget_get_root(GTK_WIDGET(self))), heading, body);
    Locked *locked = g_rc_box_new0(Locked);
    g_set_weak_pointer(&locked->view, self);
    locked->path = g_strdup(path);
    locked->password = entry != NULL ? g_strdup("") : NULL;
    gtk_window_set_title(GTK_WINDOW(dialog), heading);
    adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "cancel", _("_Cancel"), "accept", accept, NULL);
    adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "accept", ADW_RESPONSE_SUGGESTED);
    adw_message_dialog_set_default_response(ADW_MESSAGE_DIALOG(dialog), "accept");
    adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "cancel");
    if (entry != NULL) g_signal_connect_data(entry, "changed", G_CALLBACK(on_typed), g_rc_box_acquire(locked), release_locked, 0);
    g_signal_connect_data(dialog, "response", G_CALLBACK(on_response), locked, release_locked, 0);
    return dialog;
}

void ui_library_locked_ask_password(UiLibraryView *self, const char *path)
{
    g_autofree char *name = g_filename_display_basename(path), *body = NULL;
    bool is_again = g_hash_table_remove(self->helped, path);
    body = g_strdup_printf(is_again ? _("That did not open “%s”. Try another password.") : _("“%s” is encrypted."), name);
    GtkWidget *entry = gtk_password_entry_new(); /* libadwaita 1.2's row touches itself when it is gone */
    gtk_password_entry_set_show_peek_icon(GTK_PASSWORD_ENTRY(entry), TRUE);
    g_object_set(entry, "activates-default", TRUE, "placeholder-text", _("Password"), NULL);
    gtk_accessible_update_property(GTK_ACCESSIBLE(entry), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Password"), -1);
    GtkWidget *dialog = dialog_new(self, _("Password Needed"), body, _("_Open"), path, entry);
    adw_message_dialog_set_extra_child(ADW_MESSAGE_DIALOG(dialog), entry);
    gtk_window_present(GTK_WINDOW(dialog));
    gtk_widget_grab_focus(entry);
}

typedef struct Scan {
    char *title, *path, *reason; /* reason: why it cannot be read */
} Scan;

static void free_scan(gpointer data)
{
    Scan *scan = data;
    g_free(scan->title);
    g_free(scan->path);
    g_free(scan->reason);
    g_free(scan);
}

static void look_for_ocr(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    g_task_return_boolean(task, app_reader_can_ocr(NULL, &((Scan *)data)->reason));
}

static void on_ocr_known(GObject *source, GAsyncResult *result, gpointer user)
{
    UiLibraryView *self = UI_LIBRARY_VIEW(source);
    const Scan *scan = g_task_get_task_data(G_TASK(result));
    bool can = g_task_propagate_boolean(G_TASK(result), NULL);
    if (self->context == NULL) return;
    g_autofree char *question = g_strdup_printf(_("The pages of “%s” are pictures. Tesseract can read them on this computer; that takes some seconds a page, "
                                                  "and what it reads may hold mistakes."), scan->title);
    if (can) {
        gtk_window_present(GTK_WINDOW(dialog_new(self, _("Read the Scan?"), question, _("_Read"), scan->path, NULL)));
        return;
    }
    GtkWidget *dialog = adw_message_dialog_new(GTK_WINDOW(gtk_widget_get_root(GTK_WIDGET(self))), _("Scans Cannot Be Read Here"), scan->reason);
    adw_message_dialog_add_response(ADW_MESSAGE_DIALOG(dialog), "close", _("_Close"));
    gtk_window_present(GTK_WINDOW(dialog));
}

void ui_library_locked_read_scan(UiLibraryView *self, const AppDocument *document)
{
    Scan *scan = g_new0(Scan, 1);
    *scan = (Scan){g_strdup(document->title), g_strdup(document->source), NULL};
    ui_context_run(self->context, G_OBJECT(self), look_for_ocr, scan, free_scan, NULL, on_ocr_known, NULL);
}

void ui_library_locked_on_added(UiLibraryView *self, const AppReadEvent *event)
{
    if (event->path == NULL || !g_hash_table_remove(self->helped, event->path)) return;
    g_autoptr(AppDocument) document = app_library_get_document(ui_context_get_library(self->context), event->document, NULL);
    if (document == NULL || document->state != APP_DOCUMENT_NO_TEXT) return;
    g_autofree char *words = g_strdup_printf(_("Text recognition found no text in “%s”"), document->title);
    ui_window_say(GTK_WIDGET(self), words);
}
