/* ui-document-row.c: see ui-document-row.h. */
#define G_LOG_DOMAIN "ui-document-row"
#include "ui-document-row.h"

#include <glib/gi18n.h>

struct _UiDocumentRow {
    AdwBin parent;
    GtkLabel *format, *title, *caption, *state, *advice;
    GtkImage *state_icon;
    GtkProgressBar *progress;
    GtkWidget *read_button, *pause_button, *cancel_button, *menu_button;
    UiDocumentItem *item;
};

G_DEFINE_FINAL_TYPE(UiDocumentRow, ui_document_row, ADW_TYPE_BIN)

GtkWidget *ui_document_row_new(void)
{
    return g_object_new(UI_TYPE_DOCUMENT_ROW, NULL);
}

void ui_document_row_leave_focus_to_list(UiDocumentRow *self)
{
    GtkWidget *buttons[] = {self->read_button, self->pause_button, self->cancel_button, self->menu_button};
    for (size_t i = 0; i < G_N_ELEMENTS(buttons); i++) gtk_widget_set_focusable(buttons[i], FALSE);
}

static void set_tip(GtkWidget *button, const char *icon, const char *tip)
{
    gtk_button_set_icon_name(GTK_BUTTON(button), icon);
    gtk_widget_set_tooltip_text(button, tip);
    gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, tip, -1);
}

static void show_buttons(UiDocumentRow *self, AppDocumentState state)
{
    bool reads = state == APP_DOCUMENT_NEW || state == APP_DOCUMENT_PAUSED || state == APP_DOCUMENT_FAILED;
    bool is_scan = ui_document_item_may_be_scan(self->item);
    if (is_scan) set_tip(self->read_button, "media-playback-start-symbolic", _("Read the Scan…"));
    else if (state == APP_DOCUMENT_FAILED) set_tip(self->read_button, "view-refresh-symbolic", _("Try Again"));
    else set_tip(self->read_button, "media-playback-start-symbolic", state == APP_DOCUMENT_PAUSED ? _("Read On") : _("Read"));
    gtk_widget_set_visible(self->read_button, reads || is_scan);
    gtk_widget_set_visible(self->pause_button, state == APP_DOCUMENT_READING);
    gtk_widget_set_visible(self->cancel_button, state == APP_DOCUMENT_READING || state == APP_DOCUMENT_QUEUED);
}

/* The row as a screen reader says it: on the list's own row widget, which is what gets the focus. */
static void name_row(UiDocumentRow *self, const char *title, const char *state, const char *caption)
{
    GtkWidget *list_row = gtk_widget_get_parent(GTK_WIDGET(self));
    g_autofree char *name = g_strdup_printf(*caption != '\0' ? "%s, %s, %s" : "%s, %s", title, state, caption);
    if (list_row != NULL) gtk_accessible_update_property(GTK_ACCESSIBLE(list_row), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

static void update(UiDocumentRow *self)
{
    if (self->item == NULL) return;
    const AppDocument *document = ui_document_item_get_document(self->item);
    g_autofree char *caption = ui_document_item_dup_caption(self->item), *state = ui_document_item_dup_state(self->item);
    g_autofree char *advice = ui_document_item_dup_advice(self->item);
    gtk_label_set_text(self->format, ui_document_item_get_format(self->item));
    gtk_label_set_text(self->title, document->title);
    gtk_label_set_text(self->caption, caption);
    gtk_label_set_text(self->state, state);
    gtk_image_set_from_icon_name(self->state_icon, ui_document_item_get_state_icon(self->item));
    gtk_widget_set_visible(GTK_WIDGET(self->caption), *caption != '\0');
    gtk_label_set_text(self->advice, advice != NULL ? advice : "");
    gtk_widget_set_visible(GTK_WIDGET(self->advice), advice != NULL);
    bool is_partial = document->state == APP_DOCUMENT_READING || (document->state == APP_DOCUMENT_PAUSED && document->n_tokens > 0);
    gtk_widget_set_visible(GTK_WIDGET(self->progress), is_partial);
    if (is_partial) gtk_progress_bar_set_fraction(self->progress, ui_document_item_get_fraction(self->item));
    show_buttons(self, document->state);
    name_row(self, document->title, state, caption);
}

void ui_document_row_set_item(UiDocumentRow *self, UiDocumentItem *item)
{
    if (self->item != NULL) g_signal_handlers_disconnect_by_data(self->item, self);
    g_set_object(&self->item, item);
    if (item == NULL) return;
    g_signal_connect_swapped(item, "changed", G_CALLBACK(update), self);
    update(self);
}

UiDocumentItem *ui_document_row_get_item(UiDocumentRow *self) { return self->item; }
GtkWidget *ui_document_row_get_menu_button(UiDocumentRow *self) { return self->menu_button; }

static void activate(UiDocumentRow *self, const char *action)
{
    if (self->item != NULL) gtk_widget_activate_action(GTK_WIDGET(self), action, "x", ui_document_item_get_id(self->item));
}

static void on_read(UiDocumentRow *self)
{
    activate(self, self->item != NULL && ui_document_item_may_be_scan(self->item) ? "library.read-scan-document" : "library.read-document");
}

static void on_pause(UiDocumentRow *self) { activate(self, "library.pause-document"); }
static void on_cancel(UiDocumentRow *self) { activate(self, "library.cancel-document"); }
static void on_menu(UiDocumentRow *self) { activate(self, "library.show-menu"); }

static void ui_document_row_dispose(GObject *object)
{
    UiDocumentRow *self = UI_DOCUMENT_ROW(object);
    ui_document_row_set_item(self, NULL);
    gtk_widget_dispose_template(GTK_WIDGET(object), UI_TYPE_DOCUMENT_ROW);
    G_OBJECT_CLASS(ui_document_row_parent_class)->dispose(object);
}

static void ui_document_row_class_init(UiDocumentRowClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_document_row_dispose;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/document-row.ui");
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, format);
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, title);
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, caption);
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, state);
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, state_icon);
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, advice);
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, progress);
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, read_button);
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, pause_button);
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, cancel_button);
    gtk_widget_class_bind_template_child(widget_class, UiDocumentRow, menu_button);
    gtk_widget_class_bind_template_callback(widget_class, on_read);
    gtk_widget_class_bind_template_callback(widget_class, on_pause);
    gtk_widget_class_bind_template_callback(widget_class, on_cancel);
    gtk_widget_class_bind_template_callback(widget_class, on_menu);
}

static void ui_document_row_init(UiDocumentRow *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
}
