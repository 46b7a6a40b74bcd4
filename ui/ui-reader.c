/* ui-reader.c: see ui-reader.h: loading, states, the two views, the position. */
#define G_LOG_DOMAIN "ui-reader"
#include "ui-reader-internal.h"

#include <glib/gi18n.h>
#include <string.h>

#include "app-format.h"
#include "ui-accessible.h"
#include "ui-reveal.h"

enum { SAVE_DELAY_MS = 400, LOADING_DELAY_MS = 150 };

enum { SIGNAL_CHANGED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE(UiReader, ui_reader, ADW_TYPE_BIN)

/* ----------------------------------------------------------------------------------------------------------------- jobs */

UiReaderJob *ui_reader_job_new(UiReader *self)
{
    UiReaderJob *job = g_new0(UiReaderJob, 1);
    job->library = app_library_ref(ui_context_get_library(self->context));
    job->document = self->document != NULL ? ui_document_ref(self->document) : NULL;
    job->id = self->id;
    job->number = self->number;
    return job;
}

static void free_job(gpointer data)
{
    UiReaderJob *job = data;
    app_library_unref(job->library);
    ui_document_unref(job->document);
    if (job->ranges != NULL) g_array_unref(job->ranges);
    if (job->numbers != NULL) g_array_unref(job->numbers);
    g_free(job->words);
    g_free(job);
}

void ui_reader_run(UiReader *self, UiReaderJob *job, GTaskThreadFunc work, GAsyncReadyCallback done)
{
    ui_context_run(self->context, G_OBJECT(self), work, job, free_job, NULL, done, NULL);
}

UiReaderJob *ui_reader_get_job(UiReader *self, GAsyncResult *result)
{
    UiReaderJob *job = g_task_get_task_data(G_TASK(result));
    return self->context != NULL && job->number == self->number && self->document != NULL ? job : NULL;
}

/* ------------------------------------------------------------------------------------------------------------- position */

AppReadingPosition ui_reader_get_place(UiReader *self)
{
    AppReadingPosition place = {.page = UINT32_MAX, .view = self->view, .text_zoom = (float)self->text_zoom,
                                .page_zoom = (float)ui_pdf_pages_get_zoom(self->pdf_pages)};
    if (self->document == NULL) return place;
    uint64_t start, end;
    if (self->view == APP_VIEW_TEXT) {
        ui_text_page_get_visible(self->text_page, &start, &end);
        place.start = start;
        int page = ui_document_page_at(self->document, start);
        const AppPage *about = page >= 0 ? g_ptr_array_index(self->document->pages, page) : NULL;
        if (about != NULL) place.page = (uint32_t)page;
        if (about != NULL && about->end > about->start) place.page_y = (float)((double)(start - about->start) / (double)(about->end - about->start));
        place.page_y = CLAMP(place.page_y, 0, 1);
        return place;
    }
    uint32_t page, last;
    double y, last_y, value = gtk_adjustment_get_value(gtk_scrollable_get_vadjustment(GTK_SCROLLABLE(self->pdf_pages)));
    ui_pdf_pages_get_visible(self->pdf_pages, &page, &y, &last, &last_y);
    const AppPage *about = g_ptr_array_index(self->document->pages, page);
    place.page = page;
    place.page_y = (float)y;
    bool is_hinted = self->has_hint && ABS(value - self->hint_value) < 1;
    place.start = is_hinted ? self->hint_byte : about->start + (uint64_t)(y * (double)(about->end - about->start));
    return place;
}

static void save(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    UiReaderJob *job = data;
    g_autoptr(GError) error = NULL;
    if (!app_library_set_reading_position(job->library, job->id, &job->position, &error)) g_debug("position: %s", error->message);
    g_task_return_boolean(task, TRUE);
}

static UiReaderJob *new_save(UiReader *self)
{
    UiReaderJob *job = ui_reader_job_new(self);
    job->position = ui_reader_get_place(self);
    return job;
}

static gboolean on_save_time(gpointer user)
{
    UiReader *self = user;
    self->save_source = 0;
    if (self->document != NULL) ui_reader_run(self, new_save(self), save, NULL);
    return G_SOURCE_REMOVE;
}

static void save_soon(UiReader *self)
{
    if (self->save_source != 0) g_source_remove(self->save_source);
    self->save_source = g_timeout_add(SAVE_DELAY_MS, on_save_time, self);
}

/* What was not saved yet. */
static void save_pending(UiReader *self)
{
    if (self->save_source == 0) return;
    g_clear_handle_id(&self->save_source, g_source_remove);
    on_save_time(self);
}

static void tell_strip(UiReader *self)
{
    uint64_t start, end;
    if (self->view == APP_VIEW_TEXT) {
        ui_text_page_get_visible(self->text_page, &start, &end);
    } else {
        uint32_t first, last;
        double y, last_y;
        ui_pdf_pages_get_visible(self->pdf_pages, &first, &y, &last, &last_y);
        const AppPage *a = g_ptr_array_index(self->document->pages, first), *b = g_ptr_array_index(self->document->pages, last);
        start = a->start + (uint64_t)(y * (double)(a->end - a->start));
        end = b->start + (uint64_t)(last_y * (double)(b->end - b->start));
    }
    ui_strip_set_visible_range(self->strip, start, MAX(start, end));
}

void ui_reader_moved(UiReader *self)
{
    if (self->document == NULL) return;
    tell_strip(self);
    ui_reader_update_bar(self);
    ui_reader_locate_matches(self);
    save_soon(self);
}

static void on_moved(UiReader *self, GtkWidget *view)
{
    if (view == (self->view == APP_VIEW_PAGES ? GTK_WIDGET(self->pdf_pages) : GTK_WIDGET(self->text_page))) ui_reader_moved(self);
}

/* --------------------------------------------------------------------------------------------------------------- states */

static void show_notice(UiReader *self, const char *text)
{
    ui_reveal(self->notice, text != NULL);
    if (text != NULL) gtk_label_set_text(self->notice_label, text);
}

static void on_notice_closed(UiReader *self)
{
    show_notice(self, NULL);
}

static void show_message(UiReader *self, const char *icon, const char *title, const char *text)
{
    g_autofree char *escaped = g_markup_escape_text(text, -1);
    adw_status_page_set_icon_name(self->message, icon);
    adw_status_page_set_title(self->message, title);
    adw_status_page_set_description(self->message, escaped);
    gtk_stack_set_visible_child_name(self->stack, "message");
}

/* Its password is not kept, or drawing it crashed: there is still the text. */
static void on_pages_failed(UiReader *self, const char *why)
{
    if (self->document == NULL || self->document->n_bytes == 0 || self->view != APP_VIEW_PAGES) return;
    g_autofree char *text = g_strdup_printf(_("%s. The text is shown instead."), why);
    show_notice(self, text);
    ui_reader_set_view(self, APP_VIEW_TEXT);
}

/* What a person should know about the file behind the document; NULL: nothing. */
static char *notice_of(UiReader *self)
{
    const UiDocument *document = self->document;
    bool is_pdf = strcmp(document->info->format, "pdf") == 0;
    g_autofree char *name = g_filename_display_basename(document->info->source);
    if (self->has_pages && document->n_bytes == 0) return g_strdup(_("This document has no text, perhaps it is a scan. Its pages can be looked at, but not asked."));
    switch (document->source) {
    case APP_FILE_CHANGED:
        return g_strdup_printf(_("The file “%s” has changed since it was read. Shown is the text that was read; add the file again to read the new one."),
                               name);
    case APP_FILE_GONE:
        if (is_pdf) return g_strdup_printf(_("The file “%s” is no longer where it was. Its text is kept; its pages are shown again when the file is back."), name);
        break;
    case APP_FILE_UNREADABLE:
        if (is_pdf) return g_strdup_printf(_("The file “%s” cannot be opened, so its text is shown instead of its pages."), name);
        break;
    case APP_FILE_SAME:
    case APP_FILE_NONE: break;
    }
    return NULL;
}

void ui_reader_set_view(UiReader *self, AppReadingView view)
{
    AppReadingPosition place = ui_reader_get_place(self);
    bool is_new = view != self->view;
    self->view = view;
    self->has_hint = false;
    gtk_stack_set_visible_child_name(self->stack, view == APP_VIEW_PAGES ? "pages" : "text");
    gtk_button_set_icon_name(GTK_BUTTON(self->view_button), view == APP_VIEW_PAGES ? "format-justify-left-symbolic" : "x-office-document-symbolic");
    const char *other = view == APP_VIEW_PAGES ? _("Show the text") : _("Show the pages");
    gtk_widget_set_tooltip_text(self->view_button, other);
    gtk_accessible_update_property(GTK_ACCESSIBLE(self->view_button), GTK_ACCESSIBLE_PROPERTY_LABEL, other, -1);
    gtk_widget_set_visible(self->view_button, self->has_pages);
    if (is_new && self->has_passage) ui_reader_apply_passage(self);
    else if (is_new && view == APP_VIEW_PAGES && place.page != UINT32_MAX) ui_pdf_pages_scroll_to(self->pdf_pages, place.page, (double)place.page_y, 0);
    else if (is_new) ui_text_page_scroll_to(self->text_page, place.start, 0);
    ui_reader_moved(self);
    g_signal_emit(self, signals[SIGNAL_CHANGED], 0);
}

/* -------------------------------------------------------------------------------------------------------------- loading */

static void restore_position(UiReader *self)
{
    UiDocument *document = self->document;
    bool is_known = document->has_position;
    const AppReadingPosition *position = &document->position;
    self->text_zoom = is_known ? CLAMP((double)position->text_zoom, 0.6, 3) : 1;
    ui_text_page_set_zoom(self->text_page, self->text_zoom);
    ui_pdf_pages_set_zoom(self->pdf_pages, is_known ? (double)position->page_zoom : 0);
    AppReadingView view = is_known ? position->view : APP_VIEW_PAGES;
    self->view = self->has_pages && (view == APP_VIEW_PAGES || document->n_bytes == 0) ? APP_VIEW_PAGES : APP_VIEW_TEXT;
    ui_reader_set_view(self, self->view);
    if (!is_known || self->is_passage_wanted) return;
    if (self->has_pages && position->page != UINT32_MAX) ui_pdf_pages_scroll_to(self->pdf_pages, position->page, (double)position->page_y, 0);
    ui_text_page_scroll_to(self->text_page, position->start, 0);
}

static void show_document(UiReader *self)
{
    UiDocument *document = self->document;
    self->has_pages = document->source_fd >= 0 && document->pages->len > 0;
    if (self->has_pages) {
        ui_pdf_pages_set_document(self->pdf_pages, self->context, document->pages, document->source_fd, document->info->title);
        document->source_fd = -1;
    }
    ui_text_page_set_document(self->text_page, document);
    ui_contents_set_document(self->contents, document);
    g_autofree char *notice = notice_of(self);
    show_notice(self, notice);
    if (document->n_bytes == 0 && !self->has_pages) {
        g_autofree char *note = app_format_note(document->info->note);
        show_message(self, "x-office-document-symbolic", _("Nothing to Read"), *note != '\0' ? note : _("There is no text in this document."));
        gtk_widget_set_visible(self->toolbar, FALSE);
        return;
    }
    restore_position(self);
    ui_reader_apply_looks(self);
    if (self->is_passage_wanted) ui_reader_apply_passage(self);
    if (gtk_search_bar_get_search_mode(self->search_bar)) ui_reader_on_search_changed(self);
}

static void load(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    UiReaderJob *job = data;
    GError *error = NULL;
    UiDocument *document = ui_document_load(job->library, job->id, &job->cancel, &error);
    if (document != NULL) g_task_return_pointer(task, document, (GDestroyNotify)ui_document_unref);
    else g_task_return_error(task, error);
}

static void on_loaded(GObject *source, GAsyncResult *result, gpointer user)
{
    UiReader *self = UI_READER(source);
    g_autoptr(GError) error = NULL;
    g_autoptr(UiDocument) document = g_task_propagate_pointer(G_TASK(result), &error);
    UiReaderJob *job = g_task_get_task_data(G_TASK(result));
    if (self->context == NULL || self->load != job) return;
    self->load = NULL;
    g_clear_handle_id(&self->loading_source, g_source_remove);
    if (document == NULL) {
        bool is_gone = g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND);
        if (is_gone) show_message(self, "edit-delete-symbolic", _("Removed"), _("This document is no longer in the library."));
        else show_message(self, "dialog-error-symbolic", _("Cannot Be Shown"), error->message);
    } else {
        self->document = g_steal_pointer(&document);
        show_document(self);
    }
    g_signal_emit(self, signals[SIGNAL_CHANGED], 0);
}

static gboolean on_loading_time(gpointer user)
{
    UiReader *self = user;
    self->loading_source = 0;
    gtk_stack_set_visible_child_name(self->stack, "loading");
    return G_SOURCE_REMOVE;
}

static void stop_loading(UiReader *self)
{
    g_clear_handle_id(&self->loading_source, g_source_remove);
    if (self->load != NULL) __atomic_store_n(&self->load->cancel, true, __ATOMIC_RELAXED);
    self->load = NULL;
}

/* Nothing is shown any more. */
static void close_document(UiReader *self)
{
    stop_loading(self);
    save_pending(self);
    self->number++;
    self->has_passage = self->is_passage_wanted = self->has_pages = self->has_hint = self->is_locating_matches = false;
    ui_reader_clear_find(self);
    ui_strip_set_looks(self->strip, NULL, 0);
    ui_strip_set_passage(self->strip, NULL);
    ui_contents_set_document(self->contents, NULL);
    ui_pdf_pages_set_document(self->pdf_pages, NULL, NULL, -1, NULL);
    ui_text_page_set_document(self->text_page, NULL);
    g_clear_pointer(&self->document, ui_document_unref);
    show_notice(self, NULL);
    gtk_widget_set_visible(self->toolbar, FALSE);
}

static void start_loading(UiReader *self)
{
    self->load = ui_reader_job_new(self);
    self->loading_source = g_timeout_add(LOADING_DELAY_MS, on_loading_time, self);
    ui_reader_run(self, self->load, load, on_loaded);
}

void ui_reader_open(UiReader *self, int64_t document)
{
    if (document == self->id && (document == 0 || self->document != NULL || self->load != NULL)) return;
    close_document(self);
    self->id = document;
    if (document != 0) start_loading(self);
    else gtk_stack_set_visible_child_name(self->stack, "empty");
    g_signal_emit(self, signals[SIGNAL_CHANGED], 0);
}

/* ------------------------------------------------------------------------------------------------- changes in the library */

static void look_again(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    UiReaderJob *job = data;
    GError *error = NULL;
    AppDocument *info = app_library_get_document(job->library, job->id, &error);
    if (info != NULL) g_task_return_pointer(task, info, (GDestroyNotify)app_document_free);
    else g_task_return_error(task, error);
}

/* Its text was replaced, or it was removed: shown anew. A new title is told only. */
static void on_looked_again(GObject *source, GAsyncResult *result, gpointer user)
{
    UiReader *self = UI_READER(source);
    g_autoptr(GError) error = NULL;
    g_autoptr(AppDocument) info = g_task_propagate_pointer(G_TASK(result), &error);
    UiReaderJob *job = g_task_get_task_data(G_TASK(result));
    if (self->context == NULL || job->number != self->number || self->load != NULL) return;
    const AppDocument *shown = self->document != NULL ? self->document->info : NULL;
    bool is_gone = g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND);
    bool is_other = info != NULL && (shown == NULL || strcmp(info->source_hash, shown->source_hash) != 0 || info->n_bytes != shown->n_bytes ||
                                     strcmp(info->source, shown->source) != 0 || strcmp(info->title, shown->title) != 0);
    if (!is_other && !(is_gone && shown != NULL)) return;
    close_document(self);
    start_loading(self);
}

static void on_library_changed(UiReader *self, gint64 document)
{
    if (self->id == 0 || self->load != NULL || (document != 0 && document != self->id)) return;
    ui_reader_run(self, ui_reader_job_new(self), look_again, on_looked_again);
}

/* ----------------------------------------------------------------------------------------------------------- the widget */

GtkWidget *ui_reader_new(UiContext *context)
{
    UiReader *self = g_object_new(UI_TYPE_READER, NULL);
    ui_reader_set_context(self, context);
    return GTK_WIDGET(self);
}

void ui_reader_set_context(UiReader *self, UiContext *context)
{
    if (self->context != NULL) g_signal_handlers_disconnect_by_func(self->context, on_library_changed, self);
    g_set_object(&self->context, context);
    if (context != NULL) g_signal_connect_object(context, "library-changed", G_CALLBACK(on_library_changed), self, G_CONNECT_SWAPPED);
}

int64_t ui_reader_get_document(UiReader *self)
{
    return self->id;
}

const char *ui_reader_get_title(UiReader *self)
{
    return self->document != NULL ? self->document->info->title : "";
}

bool ui_reader_has_pages(UiReader *self)
{
    return self->has_pages;
}

static void on_strip_activated(UiReader *self, guint64 byte)
{
    ui_reader_go_to_byte(self, byte, 0.3);
}

static void on_zoomed(UiReader *self)
{
    ui_reader_moved(self);
}

/* The window closes: there may be no main loop to come back to. */
static void ui_reader_unroot(GtkWidget *widget)
{
    UiReader *self = UI_READER(widget);
    if (self->save_source != 0 && self->document != NULL && self->context != NULL) {
        g_clear_handle_id(&self->save_source, g_source_remove);
        UiReaderJob *job = new_save(self);
        g_autoptr(GError) error = NULL;
        if (!app_library_set_reading_position(job->library, job->id, &job->position, &error)) g_debug("position: %s", error->message);
        free_job(job);
    }
    GTK_WIDGET_CLASS(ui_reader_parent_class)->unroot(widget);
}

static void ui_reader_dispose(GObject *object)
{
    UiReader *self = UI_READER(object);
    if (self->stack != NULL) {
        g_clear_handle_id(&self->save_source, g_source_remove);
        close_document(self);
    }
    gtk_widget_dispose_template(GTK_WIDGET(self), UI_TYPE_READER);
    self->stack = NULL;
    g_clear_object(&self->context);
    g_clear_pointer(&self->looks, g_array_unref);
    G_OBJECT_CLASS(ui_reader_parent_class)->dispose(object);
}

static gboolean ui_reader_grab_focus(GtkWidget *widget)
{
    UiReader *self = UI_READER(widget);
    return gtk_widget_grab_focus(self->view == APP_VIEW_PAGES ? GTK_WIDGET(self->pdf_pages) : GTK_WIDGET(self->text_page));
}

#define BIND(child) gtk_widget_class_bind_template_child(class, UiReader, child)
static void bind_children(GtkWidgetClass *class)
{
    BIND(stack);
    BIND(message);
    BIND(notice);
    BIND(notice_label);
    BIND(text_page);
    BIND(pdf_pages);
    BIND(strip_box);
    BIND(strip);
    BIND(search_bar);
    BIND(search_entry);
    BIND(match_label);
    BIND(toolbar);
    BIND(page_box);
    BIND(view_button);
    BIND(zoom_popover);
    BIND(contents_button);
    BIND(contents_popover);
    BIND(contents);
    BIND(chapter_label);
    BIND(page_count);
    BIND(zoom_label);
    BIND(page_entry);
}

static void ui_reader_class_init(UiReaderClass *reader_class)
{
    GtkWidgetClass *class = GTK_WIDGET_CLASS(reader_class);
    G_OBJECT_CLASS(reader_class)->dispose = ui_reader_dispose;
    class->unroot = ui_reader_unroot;
    class->grab_focus = ui_reader_grab_focus;
    g_type_ensure(UI_TYPE_TEXT_PAGE);
    g_type_ensure(UI_TYPE_PDF_PAGES);
    g_type_ensure(UI_TYPE_STRIP);
    g_type_ensure(UI_TYPE_CONTENTS);
    gtk_widget_class_set_template_from_resource(class, "/org/lectern/Lectern/ui/reader.ui");
    bind_children(class);
    gtk_widget_class_bind_template_callback(class, on_moved);
    gtk_widget_class_bind_template_callback(class, on_zoomed);
    gtk_widget_class_bind_template_callback(class, on_pages_failed);
    gtk_widget_class_bind_template_callback(class, on_notice_closed);
    gtk_widget_class_bind_template_callback(class, on_strip_activated);
    gtk_widget_class_bind_template_callback(class, ui_reader_on_page_entry_activate);
    gtk_widget_class_bind_template_callback(class, ui_reader_on_chosen);
    gtk_widget_class_bind_template_callback(class, ui_reader_on_contents_shown);
    gtk_widget_class_bind_template_callback(class, ui_reader_on_search_changed);
    gtk_widget_class_bind_template_callback(class, ui_reader_on_search_mode);
    gtk_widget_class_bind_template_callback(class, ui_reader_find_next);
    gtk_widget_class_bind_template_callback(class, ui_reader_find_previous);
    ui_reader_install_actions(class);
    ui_reader_install_find(class);
    signals[SIGNAL_CHANGED] = g_signal_new("changed", UI_TYPE_READER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

/* A page that goes out of sight keeps the focus, and keys that go to it go nowhere: the page that comes takes it over. */
static void keep_focus(UiReader *self)
{
    GtkRoot *root = gtk_widget_get_root(GTK_WIDGET(self));
    GtkWidget *focus = root != NULL ? gtk_root_get_focus(root) : NULL, *page = gtk_stack_get_visible_child(self->stack);
    bool is_ours = focus == NULL || gtk_widget_is_ancestor(focus, GTK_WIDGET(self->stack));
    if (root == NULL || page == NULL || !is_ours || !gtk_widget_get_mapped(GTK_WIDGET(self))) return;
    if (focus != NULL && gtk_widget_is_ancestor(focus, page)) return;
    if (!gtk_widget_child_focus(page, GTK_DIR_TAB_FORWARD)) gtk_root_set_focus(root, NULL);
}

static void ui_reader_init(UiReader *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    g_signal_connect_object(self->stack, "notify::visible-child", G_CALLBACK(keep_focus), self, G_CONNECT_SWAPPED);
    self->looks = g_array_new(FALSE, FALSE, sizeof(UiReaderLook));
    self->text_zoom = 1;
    self->current_match = -1;
    gtk_search_bar_connect_entry(self->search_bar, GTK_EDITABLE(self->search_entry));
    ui_accessible_name_foreign(GTK_WIDGET(self->search_bar)); /* the button that closes it */
    ui_strip_set_name_func(self->strip, ui_reader_name_place, self);
    g_object_bind_property(self->strip, "visible", self->strip_box, "visible", G_BINDING_SYNC_CREATE);
}
