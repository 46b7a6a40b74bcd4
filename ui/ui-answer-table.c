/* ui-answer-table.c: see ui-answer-table.h.
 *
 * A grid of labels and buttons: as many rows as there are documents in a question, all of them wanted at once, each read aloud in order.
 */
#define G_LOG_DOMAIN "ui-answer-table"
#include "ui-answer-table.h"

#include <glib/gi18n.h>
#include <string.h>

#include "ui-window.h"

struct _UiAnswerTable {
    AdwBin parent;
    GtkGrid *grid;
    GPtrArray *rows; /* AppAskRow */
};

enum { COLUMN_DOCUMENT, COLUMN_ANSWER, COLUMN_PLACE, N_COLUMNS };

G_DEFINE_FINAL_TYPE(UiAnswerTable, ui_answer_table, ADW_TYPE_BIN)

GtkWidget *ui_answer_table_new(void)
{
    return g_object_new(UI_TYPE_ANSWER_TABLE, NULL);
}

guint ui_answer_table_get_n_rows(UiAnswerTable *self)
{
    return self->rows->len;
}

static GtkWidget *cell_new(const char *text)
{
    GtkWidget *label = gtk_label_new(text);
    gtk_label_set_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_label_set_yalign(GTK_LABEL(label), 0);
    gtk_label_set_max_width_chars(GTK_LABEL(label), 24);
    return label;
}

/* Where the answer stands: a button that leads there. */
static GtkWidget *place_new(const AppAskRow *row)
{
    g_autofree char *place = app_ask_row_place(row);
    if (*place == '\0') return cell_new("");
    const AppQuotation *quotation = &row->answer->evidence[0].quotation;
    GtkWidget *button = gtk_button_new_with_label(place);
    gtk_widget_add_css_class(button, "flat");
    gtk_widget_set_valign(button, GTK_ALIGN_START);
    gtk_widget_set_halign(button, GTK_ALIGN_START);
    gtk_widget_set_tooltip_text(button, quotation->text);
    g_autofree char *name = g_strdup_printf(_("Show the passage in %s, %s"), row->title, place);
    gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    gtk_actionable_set_action_target(GTK_ACTIONABLE(button), "(xtt)", (gint64)row->document, (guint64)quotation->start, (guint64)quotation->end);
    gtk_actionable_set_action_name(GTK_ACTIONABLE(button), "win.show-passage");
    return button;
}

void ui_answer_table_append(UiAnswerTable *self, const AppAskRow *row)
{
    g_ptr_array_add(self->rows, app_ask_row_ref(row));
    int at = (int)self->rows->len;
    bool is_found = row->answer != NULL && row->answer->found;
    GtkWidget *answer = cell_new(row->failure != NULL ? row->failure : is_found ? row->answer->answer : _("Not in this document"));
    gtk_widget_add_css_class(answer, is_found ? "heading-answer" : "dim-label");
    gtk_label_set_selectable(GTK_LABEL(answer), TRUE);
    gtk_grid_attach(self->grid, cell_new(row->title), COLUMN_DOCUMENT, at, 1, 1);
    gtk_grid_attach(self->grid, answer, COLUMN_ANSWER, at, 1, 1);
    gtk_grid_attach(self->grid, place_new(row), COLUMN_PLACE, at, 1, 1);
}

static void on_copy(UiAnswerTable *self)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "%s\t%s\t%s\n", _("Document"), _("Answer"), _("Where"));
    for (guint i = 0; i < self->rows->len; i++) {
        const AppAskRow *row = self->rows->pdata[i];
        g_autofree char *place = app_ask_row_place(row), *answer = g_strdup(app_ask_row_answer(row));
        g_strdelimit(answer, "\t\n", ' ');
        g_string_append_printf(text, "%s\t%s\t%s\n", row->title, answer, place);
    }
    gdk_clipboard_set_text(gtk_widget_get_clipboard(GTK_WIDGET(self)), text->str);
    ui_window_say(GTK_WIDGET(self), _("Table copied"));
    g_string_free(text, TRUE);
}

static void on_saved(GObject *source, GAsyncResult *result, gpointer user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(UiAnswerTable) self = user;
    if (g_file_replace_contents_finish(G_FILE(source), result, NULL, &error)) return;
    GtkRoot *root = gtk_widget_get_root(GTK_WIDGET(self));
    g_autofree char *name = g_file_get_parse_name(G_FILE(source));
    GtkWidget *dialog = adw_message_dialog_new(root != NULL ? GTK_WINDOW(root) : NULL, _("The table could not be saved"), NULL);
    adw_message_dialog_format_body(ADW_MESSAGE_DIALOG(dialog), "%s: %s", name, error->message);
    adw_message_dialog_add_response(ADW_MESSAGE_DIALOG(dialog), "close", _("_Close"));
    gtk_window_present(GTK_WINDOW(dialog));
}

static void on_save_response(GtkNativeDialog *dialog, int response, gpointer user)
{
    UiAnswerTable *self = user;
    if (response == GTK_RESPONSE_ACCEPT) {
        g_autoptr(GFile) file = gtk_file_chooser_get_file(GTK_FILE_CHOOSER(dialog));
        g_autofree char *csv = app_ask_rows_to_csv(self->rows, true);
        g_autoptr(GBytes) bytes = g_bytes_new(csv, strlen(csv));
        g_file_replace_contents_bytes_async(file, bytes, NULL, FALSE, G_FILE_CREATE_PRIVATE, NULL, on_saved, g_object_ref(self));
    }
    g_object_unref(dialog);
}

static void on_save(UiAnswerTable *self)
{
    GtkWindow *window = GTK_WINDOW(gtk_widget_get_root(GTK_WIDGET(self)));
    GtkFileChooserNative *dialog = gtk_file_chooser_native_new(_("Save Table"), window, GTK_FILE_CHOOSER_ACTION_SAVE, _("_Save"), NULL);
    gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(dialog), TRUE);
    gtk_file_chooser_set_current_name(GTK_FILE_CHOOSER(dialog), _("answers.csv"));
    g_signal_connect_object(dialog, "response", G_CALLBACK(on_save_response), self, 0);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(dialog));
}

static GtkWidget *button_new(UiAnswerTable *self, const char *label, GCallback clicked)
{
    GtkWidget *button = gtk_button_new_with_mnemonic(label);
    gtk_widget_add_css_class(button, "flat");
    g_signal_connect_object(button, "clicked", clicked, self, G_CONNECT_SWAPPED);
    return button;
}

static void ui_answer_table_finalize(GObject *object)
{
    g_ptr_array_unref(UI_ANSWER_TABLE(object)->rows);
    G_OBJECT_CLASS(ui_answer_table_parent_class)->finalize(object);
}

static void ui_answer_table_class_init(UiAnswerTableClass *class)
{
    G_OBJECT_CLASS(class)->finalize = ui_answer_table_finalize;
}

static void ui_answer_table_init(UiAnswerTable *self)
{
    static const char *const titles[N_COLUMNS] = {N_("Document"), N_("Answer"), N_("Where")};
    self->rows = g_ptr_array_new_with_free_func((GDestroyNotify)app_ask_row_unref);
    self->grid = GTK_GRID(gtk_grid_new());
    gtk_widget_add_css_class(GTK_WIDGET(self->grid), "answer-table");
    gtk_widget_add_css_class(GTK_WIDGET(self->grid), "card");
    for (int i = 0; i < N_COLUMNS; i++) {
        GtkWidget *title = cell_new(_(titles[i]));
        gtk_widget_add_css_class(title, "heading");
        gtk_widget_set_hexpand(title, i == COLUMN_ANSWER);
        gtk_grid_attach(self->grid, title, i, 0, 1, 1);
    }
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 6), *buttons = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6);
    gtk_box_append(GTK_BOX(buttons), button_new(self, _("_Copy Table"), G_CALLBACK(on_copy)));
    gtk_box_append(GTK_BOX(buttons), button_new(self, _("_Save as CSV…"), G_CALLBACK(on_save)));
    gtk_box_append(GTK_BOX(box), GTK_WIDGET(self->grid));
    gtk_box_append(GTK_BOX(box), buttons);
    adw_bin_set_child(ADW_BIN(self), box);
}
