/* ui-library-adding.c: files on their way in: choosing them, telling how far that is and what failed, going on with interrupted reads.
 *
 * Owns: the file chooser, the bar that shows files being taken in, failures as one toast with details.
 * Does not own: the queue (app-reader.h), dropping (the window).
 */
#define G_LOG_DOMAIN "ui-library-adding"
#include <glib/gi18n.h>

#include "ui-format.h"
#include "ui-library-internal.h"
#include "ui-reveal.h"
#include "ui-toast.h"
#include "ui-window.h"

/* "Page 3 of 12 · 40 seconds left": what a scan's recognition comes to; NULL where there is nothing to tell. */
static char *pages_text(UiLibraryView *self, uint32_t n_done, uint32_t n_pages)
{
    if (n_pages == 0) return NULL;
    double seconds = (double)(g_get_monotonic_time() - self->adding_begun_us) / G_USEC_PER_SEC;
    if (n_done == 0 || n_done >= n_pages || seconds < 1) return g_strdup_printf(_("Page %u of %u"), MIN(n_done + 1, n_pages), n_pages);
    g_autofree char *left = ui_format_duration(seconds / n_done * (n_pages - n_done));
    /* Translators: the last is a duration */
    return g_strdup_printf(_("Page %u of %u · %s left"), n_done + 1, n_pages, left);
}

static void show_adding(UiLibraryView *self, const AppReadEvent *event)
{
    if (event->n_pages == 0) self->adding_begun_us = g_get_monotonic_time();
    self->adding_has_pages = event->n_pages > 0;
    g_autofree char *name = g_filename_display_basename(event->path), *pages = pages_text(self, event->n_pages_done, event->n_pages);
    g_autofree char *text = event->n_files > 1 ? g_strdup_printf(_("Adding %u of %u: %s"), event->n_files_done + 1, event->n_files, name)
                                               : g_strdup_printf(_("Adding %s"), name);
    gtk_label_set_text(self->adding_label, text);
    gtk_label_set_text(self->adding_pages, pages != NULL ? pages : "");
    gtk_widget_set_visible(GTK_WIDGET(self->adding_pages), pages != NULL);
    double of_file = event->n_pages > 0 ? (double)event->n_pages_done / event->n_pages : 0;
    gtk_widget_set_visible(GTK_WIDGET(self->adding_progress), event->n_files > 1 || event->n_pages > 0);
    gtk_progress_bar_set_fraction(self->adding_progress, (event->n_files_done + of_file) / MAX(event->n_files, 1));
    ui_reveal(self->adding_revealer, TRUE);
}

static void hide_adding(UiLibraryView *self)
{
    self->adding_has_pages = false;
    ui_reveal(self->adding_revealer, FALSE);
}

void ui_library_view_add_path(UiLibraryView *self, const char *path)
{
    show_adding(self, &(AppReadEvent){.path = path, .n_files = 1}); /* the queue tells more as soon as it has looked at the path */
    self->shows_added = true;
    app_read_queue_add_path(ui_context_get_queue(self->context), path, self->collection);
}

static void on_chosen(GtkNativeDialog *dialog, int response, UiLibraryView *self)
{
    if (response == GTK_RESPONSE_ACCEPT) {
        g_autoptr(GListModel) files = gtk_file_chooser_get_files(GTK_FILE_CHOOSER(dialog));
        for (guint i = 0; i < g_list_model_get_n_items(files); i++) {
            g_autoptr(GFile) file = g_list_model_get_item(files, i);
            g_autofree char *path = g_file_get_path(file);
            if (path != NULL) ui_library_view_add_path(self, path);
        }
    }
    g_clear_object(&self->chooser);
}

static void add_filters(GtkFileChooser *chooser)
{
    static const char *const types[] = {"text/plain", "text/markdown", "application/pdf", "application/epub+zip", "text/html", "application/rtf",
                                        "application/vnd.oasis.opendocument.text",
                                        "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip",
                                        "application/x-tar", "application/x-compressed-tar", "application/x-xz-compressed-tar",
                                        "application/x-7z-compressed", "application/vnd.rar"};
    g_autoptr(GtkFileFilter) readable = gtk_file_filter_new(), all = gtk_file_filter_new();
    gtk_file_filter_set_name(readable, _("Documents"));
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) gtk_file_filter_add_mime_type(readable, types[i]);
    gtk_file_filter_set_name(all, _("All Files"));
    gtk_file_filter_add_pattern(all, "*");
    gtk_file_chooser_add_filter(chooser, readable);
    gtk_file_chooser_add_filter(chooser, all);
}

void ui_library_view_choose_files(UiLibraryView *self, bool folders)
{
    g_clear_object(&self->chooser);
    self->chooser = gtk_file_chooser_native_new(folders ? _("Add Folders") : _("Add Documents"), GTK_WINDOW(gtk_widget_get_root(GTK_WIDGET(self))),
                                                folders ? GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER : GTK_FILE_CHOOSER_ACTION_OPEN, _("_Add"), _("_Cancel"));
    gtk_file_chooser_set_select_multiple(GTK_FILE_CHOOSER(self->chooser), TRUE);
    if (!folders) add_filters(GTK_FILE_CHOOSER(self->chooser));
    g_signal_connect_object(self->chooser, "response", G_CALLBACK(on_chosen), self, 0);
    gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(self->chooser), TRUE);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(self->chooser));
}

/* ------------------------------------------------------------------------------------------------------ failures */

static void show_failures(UiLibraryView *self)
{
    g_autoptr(GString) text = g_string_new(NULL);
    guint n_shown = MIN(self->failures->len, 12u);
    for (guint i = 0; i < n_shown; i++) g_string_append_printf(text, "%s%s", i > 0 ? "\n\n" : "", (char *)g_ptr_array_index(self->failures, i));
    if (n_shown < self->failures->len) {
        guint n = self->failures->len - n_shown;
        g_string_append_printf(text, ngettext("\n\n… and %u more", "\n\n… and %u more", n), n);
    }
    GtkWidget *dialog = adw_message_dialog_new(GTK_WINDOW(gtk_widget_get_root(GTK_WIDGET(self))), _("Not Added"), text->str);
    adw_message_dialog_add_response(ADW_MESSAGE_DIALOG(dialog), "close", _("_Close"));
    gtk_window_present(GTK_WINDOW(dialog));
}

static void on_failed(UiLibraryView *self, const AppReadEvent *event)
{
    if (self->failure_toast == NULL) g_ptr_array_set_size(self->failures, 0);
    g_ptr_array_add(self->failures, g_strdup(event->message));
    g_autofree char *name = g_filename_display_basename(event->path);
    g_autofree char *one = g_strdup_printf(_("“%s” was not added"), name);
    g_autofree char *many = g_strdup_printf(ngettext("%u file was not added", "%u files were not added", self->failures->len), self->failures->len);
    const char *words = self->failures->len == 1 ? one : many;
    if (self->failure_toast != NULL) {
        ui_toast_set_words(self->failure_toast, words);
        return;
    }
    AdwToast *toast = ui_toast_new(words);
    adw_toast_set_button_label(toast, _("_Why"));
    adw_toast_set_timeout(toast, 0);
    g_signal_connect_object(toast, "button-clicked", G_CALLBACK(show_failures), self, G_CONNECT_SWAPPED);
    g_set_weak_pointer(&self->failure_toast, toast);
    ui_library_view_toast(self, toast);
}

/* -------------------------------------------------------------------------------------------------------- events */

void ui_library_adding_on_event(UiLibraryView *self, const AppReadEvent *event)
{
    switch (event->kind) {
    case APP_READ_ADDING: show_adding(self, event); break;
    case APP_READ_ADDED:
        self->adding_has_pages = false;
        if (event->n_files_done == event->n_files) hide_adding(self);
        if (self->shows_added) ui_library_view_bring_into_view(self, event->document);
        self->shows_added = false;
        ui_library_locked_on_added(self, event);
        if (event->was_known && event->n_files == 1) {
            UiDocumentItem *item = ui_document_model_find(self->model, event->document);
            g_autofree char *text = g_strdup_printf(_("“%s” is in the library already"), item != NULL ? ui_document_item_get_title(item) : event->path);
            ui_window_say(GTK_WIDGET(self), text);
        }
        break;
    case APP_READ_FAILED:
        if (event->path != NULL) self->adding_has_pages = false;
        if (event->path != NULL && event->needs_password) ui_library_locked_ask_password(self, event->path);
        else if (event->path != NULL) on_failed(self, event);
        break;
    case APP_READ_PAUSED: ui_library_actions_on_stopped(self, event->document); break;
    case APP_READ_PROGRESS: /* of another document: the last file did not come in, unless its pages still do */
        if (!self->adding_has_pages) hide_adding(self);
        break;
    case APP_READ_IDLE: hide_adding(self); break;
    case APP_READ_QUEUED:
    case APP_READ_DONE: break;
    }
}

/* ------------------------------------------------------------------------------------------------- resumption */

/* What was waiting or being read when the application ended, in whatever way, is read on. What somebody paused stays paused. */
static void resume(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    UiContext *context = source;
    g_autoptr(GPtrArray) documents = app_library_list_documents(ui_context_get_library(context), 0, APP_ORDER_ADDED, 0, 0, NULL);
    for (guint i = 0; documents != NULL && i < documents->len; i++) {
        const AppDocument *document = g_ptr_array_index(documents, i);
        bool was_interrupted = document->state == APP_DOCUMENT_QUEUED || document->state == APP_DOCUMENT_READING ||
                               (document->state == APP_DOCUMENT_PAUSED && document->note[0] == '\0');
        if (was_interrupted) app_read_queue_add_document(ui_context_get_queue(context), document->id);
    }
    g_task_return_boolean(task, TRUE);
}

void ui_library_adding_resume(UiLibraryView *self)
{
    ui_context_run(self->context, G_OBJECT(self->context), resume, NULL, NULL, NULL, NULL, NULL);
}
