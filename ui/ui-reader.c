/* ui-reader.c: see ui-reader.h. */
#define G_LOG_DOMAIN "ui-reader"
#include "ui-reader.h"

struct _UiReader {
    AdwBin parent;
    GtkTextView *text_view;
    UiContext *context;
    int64_t document;
    GtkTextTag *passage; /* the highlighted passage's */
};

G_DEFINE_FINAL_TYPE(UiReader, ui_reader, ADW_TYPE_BIN)

GtkWidget *ui_reader_new(UiContext *context)
{
    UiReader *self = g_object_new(UI_TYPE_READER, NULL);
    ui_reader_set_context(self, context);
    return GTK_WIDGET(self);
}

void ui_reader_set_context(UiReader *self, UiContext *context)
{
    g_set_object(&self->context, context);
}

int64_t ui_reader_get_document(UiReader *self)
{
    return self->document;
}

void ui_reader_open(UiReader *self, int64_t document)
{
    if (document == self->document) return;
    self->document = document;
    GtkTextBuffer *buffer = gtk_text_view_get_buffer(self->text_view);
    g_autofree char *text = document != 0 ? app_library_get_text(ui_context_get_library(self->context), document, 0, UINT64_MAX, NULL, NULL) : NULL;
    gtk_text_buffer_set_text(buffer, text != NULL ? text : "", -1);
}

void ui_reader_show_passage(UiReader *self, int64_t document, uint64_t start, uint64_t end)
{
    ui_reader_open(self, document);
    g_autoptr(AppPlace) place = app_library_locate(ui_context_get_library(self->context), document, start, end, NULL);
    if (place == NULL) return;
    GtkTextBuffer *buffer = gtk_text_view_get_buffer(self->text_view);
    GtkTextIter from, to;
    gtk_text_buffer_get_bounds(buffer, &from, &to);
    gtk_text_buffer_remove_tag(buffer, self->passage, &from, &to);
    gtk_text_buffer_get_iter_at_offset(buffer, &from, (int)place->char_start);
    gtk_text_buffer_get_iter_at_offset(buffer, &to, (int)place->char_end);
    gtk_text_buffer_apply_tag(buffer, self->passage, &from, &to);
    gtk_text_view_scroll_to_iter(self->text_view, &from, 0, TRUE, 0, 0.3);
}

void ui_reader_set_attended(UiReader *self, const AppAttended *attended, size_t n_attended)
{
}

static void ui_reader_dispose(GObject *object)
{
    UiReader *self = UI_READER(object);
    gtk_widget_dispose_template(GTK_WIDGET(self), UI_TYPE_READER);
    g_clear_object(&self->context);
    G_OBJECT_CLASS(ui_reader_parent_class)->dispose(object);
}

static void ui_reader_class_init(UiReaderClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_reader_dispose;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/reader.ui");
    gtk_widget_class_bind_template_child(widget_class, UiReader, text_view);
}

static void ui_reader_init(UiReader *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    self->passage = gtk_text_buffer_create_tag(gtk_text_view_get_buffer(self->text_view), NULL, "background", "#f9f06b", "foreground", "#000000", NULL);
}
