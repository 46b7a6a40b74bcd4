/* ui-turn.c: see ui-turn.h. */
#define G_LOG_DOMAIN "ui-turn"
#include "ui-turn.h"

#include <glib/gi18n.h>

#include "ui-answer-table.h"
#include "ui-evidence.h"
#include "ui-format.h"
#include "ui-window.h"

struct _UiTurn {
    AdwBin parent;
    GtkLabel *question, *progress_label, *quotation, *notice_label, *answer, *figures, *thought;
    GtkBox *progress, *notice, *evidence, *passages, *footer;
    GtkSpinner *spinner;
    GtkImage *notice_icon;
    AdwBin *table_bin;
    GtkExpander *passages_expander, *thought_expander;
    GtkButton *copy_button, *cite_button;
    GString *streamed_quotation, *streamed_answer;
    int64_t id;
    AppAttended *attended;
    size_t n_attended;
    char *copied, *cited; /* what the two buttons copy */
};

G_DEFINE_FINAL_TYPE(UiTurn, ui_turn, ADW_TYPE_BIN)

GtkWidget *ui_turn_new(const char *question)
{
    UiTurn *self = g_object_new(UI_TYPE_TURN, NULL);
    gtk_label_set_text(self->question, question);
    gtk_widget_set_visible(GTK_WIDGET(self->question), *question != '\0'); /* a conversation that cannot be shown */
    return GTK_WIDGET(self);
}

void ui_turn_set_id(UiTurn *self, int64_t id)
{
    self->id = id;
}

int64_t ui_turn_get_id(UiTurn *self)
{
    return self->id;
}

static void end_progress(UiTurn *self)
{
    gtk_spinner_set_spinning(self->spinner, FALSE);
    gtk_widget_set_visible(GTK_WIDGET(self->progress), FALSE);
}

void ui_turn_set_progress(UiTurn *self, const char *words)
{
    gtk_label_set_text(self->progress_label, words);
}

void ui_turn_append_text(UiTurn *self, const char *text, bool in_quotation)
{
    GString *streamed = in_quotation ? self->streamed_quotation : self->streamed_answer;
    g_string_append(streamed, text);
    if (in_quotation) {
        g_autofree char *quoted = g_strdup_printf("“%s", streamed->str);
        gtk_label_set_text(self->quotation, quoted);
        gtk_widget_set_visible(GTK_WIDGET(self->quotation), TRUE);
    } else {
        g_autofree char *shown = g_strstrip(g_strdup(streamed->str));
        gtk_label_set_text(self->answer, shown);
        gtk_widget_set_visible(GTK_WIDGET(self->answer), *shown != '\0');
    }
    gtk_widget_set_visible(GTK_WIDGET(self->progress), FALSE);
}

static void show_notice(UiTurn *self, const char *icon, const char *text)
{
    gtk_image_set_from_icon_name(self->notice_icon, icon);
    gtk_label_set_text(self->notice_label, text);
    gtk_widget_set_visible(GTK_WIDGET(self->notice), TRUE);
}

/* GTK 4.8 names an expander by its class. */
static void label_expander(GtkExpander *expander, const char *label)
{
    gtk_expander_set_label(expander, label);
    gtk_accessible_update_property(GTK_ACCESSIBLE(expander), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
}

/* ------------------------------------------------------------------------------------------------------------ answer */

static char *figures_of(const AppAnswer *answer)
{
    GString *text = g_string_new(NULL);
    g_autofree char *cached = ui_format_count(answer->tokens_cached), *attended = ui_format_count(answer->tokens_attended);
    g_autofree char *sections = ui_format_count(answer->n_sections_attended), *all = ui_format_count(answer->n_sections);
    g_string_append_printf(text, _("%s tokens from cache"), cached);
    if (answer->n_sections_attended < answer->n_sections) {
        g_string_append(text, " · ");
        g_string_append_printf(text, _("looked at %s (%s of %s sections)"), attended, sections, all);
    }
    g_string_append(text, " · ");
    g_string_append_printf(text, _("first word after %.2f s"), (double)answer->first_token_us / 1e6);
    if (answer->n_documents_left_out > 0) {
        g_string_append(text, " · ");
        g_string_append_printf(text, ngettext("%u document left out: not read yet", "%u documents left out: not read yet",
                                              answer->n_documents_left_out), answer->n_documents_left_out);
    }
    if (answer->n_documents_partly_read > 0) {
        g_string_append(text, " · ");
        g_string_append_printf(text, ngettext("%u document read only in part", "%u documents read only in part", answer->n_documents_partly_read),
                               answer->n_documents_partly_read);
    }
    if (answer->remote != NULL) {
        g_string_append(text, " · ");
        g_string_append_printf(text, _("answered on %s, to which the question and the passages chosen went"), answer->remote);
    }
    if (answer->joined_approximately) g_string_append_printf(text, " · %s", _("documents joined by approximation"));
    if (!answer->complete) g_string_append_printf(text, " · %s", _("cut at the longest answer allowed"));
    return g_string_free(text, FALSE);
}

static void set_copies(UiTurn *self, const AppAnswer *answer)
{
    g_free(self->copied);
    g_free(self->cited);
    self->copied = g_strdup(answer->answer);
    GString *cited = g_string_new(answer->answer);
    for (size_t i = 0; i < answer->n_evidence; i++) {
        g_autofree char *citation = ui_evidence_citation(&answer->evidence[i]);
        g_string_append_printf(cited, "\n\n%s", citation);
    }
    self->cited = g_string_free(cited, FALSE);
}

static void show_passages(UiTurn *self, const AppAnswer *answer)
{
    guint n = answer->passages != NULL ? answer->passages->len : 0;
    for (guint i = 0; i < n; i++) gtk_box_append(self->passages, ui_evidence_new_for_hit(answer->passages->pdata[i]));
    gtk_widget_set_visible(GTK_WIDGET(self->passages_expander), n > 0);
    /* Where the model found nothing, the passages are the answer. */
    label_expander(self->passages_expander, answer->found ? _("See also: passages by search") : _("The closest passages by search"));
    gtk_expander_set_expanded(self->passages_expander, !answer->found);
}

void ui_turn_set_answer(UiTurn *self, const AppAnswer *answer)
{
    end_progress(self);
    if (answer->turn != 0) self->id = answer->turn;
    gtk_widget_set_visible(GTK_WIDGET(self->quotation), FALSE);
    if (answer->thought != NULL) gtk_label_set_text(self->thought, answer->thought);
    gtk_widget_set_visible(GTK_WIDGET(self->thought_expander), answer->thought != NULL && *answer->thought != '\0');
    gtk_label_set_text(self->answer, answer->answer);
    gtk_widget_set_visible(GTK_WIDGET(self->answer), answer->found && *answer->answer != '\0');
    if (!answer->found) {
        show_notice(self, "edit-find-symbolic",
                    answer->n_documents == 1 ? _("Not in this document.") : _("Not in these documents."));
    }
    for (size_t i = 0; i < answer->n_evidence; i++) gtk_box_append(self->evidence, ui_evidence_new(&answer->evidence[i]));
    gtk_widget_set_visible(GTK_WIDGET(self->evidence), answer->n_evidence > 0);
    show_passages(self, answer);
    g_autofree char *figures = figures_of(answer);
    gtk_label_set_text(self->figures, figures);
    set_copies(self, answer);
    app_attended_free(self->attended, self->n_attended);
    self->attended = app_attended_copy(answer->attended, answer->n_attended);
    self->n_attended = answer->n_attended;
    gtk_widget_set_visible(GTK_WIDGET(self->copy_button), answer->found);
    gtk_widget_set_visible(GTK_WIDGET(self->cite_button), answer->found && answer->n_evidence > 0);
    gtk_widget_set_visible(GTK_WIDGET(self->footer), TRUE);
}

const AppAttended *ui_turn_get_attended(UiTurn *self, size_t *ret_n_attended)
{
    *ret_n_attended = self->n_attended;
    return self->attended;
}

/* ------------------------------------------------------------------------------------------------------------- table */

static UiAnswerTable *table_of(UiTurn *self)
{
    if (adw_bin_get_child(self->table_bin) == NULL) adw_bin_set_child(self->table_bin, ui_answer_table_new());
    gtk_widget_set_visible(GTK_WIDGET(self->table_bin), TRUE);
    return UI_ANSWER_TABLE(adw_bin_get_child(self->table_bin));
}

void ui_turn_append_row(UiTurn *self, const AppAskRow *row, uint32_t n_rows)
{
    UiAnswerTable *table = table_of(self);
    ui_answer_table_append(table, row);
    g_autofree char *words = g_strdup_printf(_("Asked %u of %u documents…"), ui_answer_table_get_n_rows(table), n_rows);
    ui_turn_set_progress(self, words);
}

void ui_turn_set_rows(UiTurn *self, const GPtrArray *rows, bool is_stopped)
{
    end_progress(self);
    UiAnswerTable *table = table_of(self);
    for (guint i = ui_answer_table_get_n_rows(table); i < rows->len; i++) ui_answer_table_append(table, rows->pdata[i]);
    if (is_stopped) show_notice(self, "process-stop-symbolic", _("Stopped before all documents were asked."));
}

/* ------------------------------------------------------------------------------------------------------------ others */

void ui_turn_set_stopped(UiTurn *self)
{
    end_progress(self);
    show_notice(self, "process-stop-symbolic", _("Stopped."));
}

void ui_turn_set_not_kept(UiTurn *self, const char *why)
{
    g_autofree char *words = g_strdup_printf(_("Not kept in the conversation: %s"), why);
    bool has_notice = gtk_widget_get_visible(GTK_WIDGET(self->notice));
    g_autofree char *both = g_strdup_printf("%s\n%s", has_notice ? gtk_label_get_text(self->notice_label) : "", words);
    show_notice(self, "dialog-warning-symbolic", g_strstrip(both));
}

void ui_turn_set_failure(UiTurn *self, const char *message, const char *action_label, const char *action)
{
    end_progress(self);
    show_notice(self, "dialog-warning-symbolic", message);
    if (action == NULL) return;
    GtkWidget *button = gtk_button_new_with_mnemonic(action_label);
    gtk_actionable_set_detailed_action_name(GTK_ACTIONABLE(button), action);
    gtk_widget_set_halign(button, GTK_ALIGN_START);
    gtk_box_append(self->evidence, button);
    gtk_widget_set_visible(GTK_WIDGET(self->evidence), TRUE);
}

static void on_copy(UiTurn *self)
{
    if (self->copied == NULL) return;
    gdk_clipboard_set_text(gtk_widget_get_clipboard(GTK_WIDGET(self)), self->copied);
    ui_window_say(GTK_WIDGET(self), _("Answer copied"));
}

static void on_copy_with_citation(UiTurn *self)
{
    if (self->cited == NULL) return;
    gdk_clipboard_set_text(gtk_widget_get_clipboard(GTK_WIDGET(self)), self->cited);
    ui_window_say(GTK_WIDGET(self), _("Answer and citation copied"));
}

static void ui_turn_dispose(GObject *object)
{
    gtk_widget_dispose_template(GTK_WIDGET(object), UI_TYPE_TURN);
    G_OBJECT_CLASS(ui_turn_parent_class)->dispose(object);
}

static void ui_turn_finalize(GObject *object)
{
    UiTurn *self = UI_TURN(object);
    g_string_free(self->streamed_quotation, TRUE);
    g_string_free(self->streamed_answer, TRUE);
    app_attended_free(self->attended, self->n_attended);
    g_free(self->copied);
    g_free(self->cited);
    G_OBJECT_CLASS(ui_turn_parent_class)->finalize(object);
}

static void ui_turn_class_init(UiTurnClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_turn_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_turn_finalize;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/turn.ui");
    gtk_widget_class_bind_template_child(widget_class, UiTurn, question);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, progress);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, progress_label);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, spinner);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, thought_expander);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, thought);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, quotation);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, notice);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, notice_icon);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, notice_label);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, answer);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, evidence);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, table_bin);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, passages_expander);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, passages);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, footer);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, figures);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, copy_button);
    gtk_widget_class_bind_template_child(widget_class, UiTurn, cite_button);
    gtk_widget_class_bind_template_callback(widget_class, on_copy);
    gtk_widget_class_bind_template_callback(widget_class, on_copy_with_citation);
}

static void ui_turn_init(UiTurn *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    g_autofree char *thought = g_strdup(gtk_expander_get_label(self->thought_expander)); /* setting it frees it */
    label_expander(self->thought_expander, thought);
    self->streamed_quotation = g_string_new(NULL);
    self->streamed_answer = g_string_new(NULL);
}
