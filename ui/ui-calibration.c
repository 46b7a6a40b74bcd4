/* ui-calibration.c: see ui-calibration.h. */
#define G_LOG_DOMAIN "ui-calibration"
#include "ui-calibration.h"

#include <glib/gi18n.h>

#include "ui-format.h"
#include "ui-preferences.h"

typedef struct Choice { /* of one button */
    char *folder, *model;
    uint32_t k_key, k_query;
    bool rotated;
    void (*act)(gpointer user, const char *model);
    gpointer user;
    bool stores;
} Choice;

static void free_choice(gpointer data, GClosure *closure)
{
    Choice *choice = data;
    g_free(choice->folder);
    g_free(choice->model);
    g_free(choice);
}

static void on_clicked(GtkButton *button, gpointer user)
{
    const Choice *choice = user;
    g_autoptr(GError) error = NULL;
    if (choice->stores && !app_calibration_choose(choice->folder, choice->model, choice->k_key, choice->k_query, choice->rotated, &error)) {
        ui_preferences_say(GTK_WIDGET(button), error->message);
        return;
    }
    choice->act(choice->user, choice->model);
}

static GtkWidget *button_new(const Choice *choice, const char *label, const char *name)
{
    GtkWidget *button = gtk_button_new_with_mnemonic(label);
    Choice *own = g_memdup2(choice, sizeof *choice);
    own->folder = g_strdup(choice->folder);
    own->model = g_strdup(choice->model);
    gtk_widget_set_valign(button, GTK_ALIGN_CENTER);
    gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    g_signal_connect_data(button, "clicked", G_CALLBACK(on_clicked), own, free_choice, 0);
    return button;
}

static char *setting_words(const AppCalibration *calibration, const AppCalibrationRow *row)
{
    if (row->k_key >= calibration->head_dim) return g_strdup(_("Dense"));
    if (row->k_query >= calibration->head_dim)
        return g_strdup_printf(row->rotated ? _("%u features of a key, dense queries, rotated") : _("%u features of a key, dense queries"), row->k_key);
    return g_strdup_printf(row->rotated ? _("%u features of a key, %u of a query, rotated") : _("%u features of a key, %u of a query"), row->k_key,
                           row->k_query);
}

static void add_setting(AdwExpanderRow *parent, const AppCalibration *calibration, size_t index, const Choice *base)
{
    const AppCalibrationRow *row = &calibration->rows[index];
    bool is_chosen = app_calibration_is_chosen(calibration, index);
    GtkWidget *widget = adw_action_row_new();
    g_autofree char *title = setting_words(calibration, row), *bytes = ui_format_bytes((uint64_t)row->bytes_per_token);
    GString *facts = g_string_new(NULL);
    g_string_append_printf(facts, _("perplexity %.2f · same next token %.0f%% · %s a token · %.0f tokens/s"), row->perplexity,
                           100 * row->agreement, bytes, row->decode_tokens_per_s);
    if (index == calibration->advised) g_string_append_printf(facts, " · %s", _("advised"));
    if (is_chosen) g_string_append_printf(facts, " · %s", _("in use"));
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(widget), title);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(widget), facts->str);
    g_string_free(facts, TRUE);
    if (!is_chosen) {
        Choice choice = *base;
        choice.k_key = row->k_key;
        choice.k_query = row->k_query;
        choice.rotated = row->rotated;
        choice.stores = true;
        g_autofree char *name = g_strdup_printf(_("Use: %s"), title);
        adw_action_row_add_suffix(ADW_ACTION_ROW(widget), button_new(&choice, _("_Use"), name));
    }
    adw_expander_row_add_row(parent, widget);
}

/* A rotation that measured no better than the same without it is left to the command line's table. */
static bool is_of_use(const AppCalibration *calibration, size_t index)
{
    const AppCalibrationRow *row = &calibration->rows[index];
    if (!row->rotated || app_calibration_is_chosen(calibration, index)) return true;
    for (size_t i = 0; i < calibration->n_rows; i++) {
        const AppCalibrationRow *other = &calibration->rows[i];
        if (!other->rotated && other->k_key == row->k_key && other->k_query == row->k_query) return row->divergence < other->divergence;
    }
    return true;
}

void ui_calibration_add_rows(AdwExpanderRow *row, const char *data_folder, const char *model, const AppCalibration *calibration,
                             void (*measure)(gpointer user, const char *model), void (*chosen)(gpointer user, const char *model), gpointer user)
{
    Choice base = {.folder = (char *)data_folder, .model = (char *)model, .act = measure, .user = user};
    GtkWidget *head = adw_action_row_new();
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(head), _("Sparsity"));
    g_autofree char *words = NULL;
    if (calibration != NULL && calibration->n_rows > 0) {
        g_autofree char *tokens = ui_format_tokens(calibration->n_tokens), *day = ui_format_day(calibration->made_s);
        words = g_strdup_printf(_("Measured over %s of %s, %s. What was read under one choice is read again under another."), tokens,
                                calibration->text, day);
    } else {
        words = g_strdup(_("Not measured: how much exactness fewer features cost, and what they save, on a text."));
    }
    g_autofree char *escaped = g_markup_escape_text(words, -1), *name = g_strdup_printf(_("Measure the sparsity of %s"), model);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(head), escaped);
    adw_action_row_add_suffix(ADW_ACTION_ROW(head), button_new(&base, _("_Measure"), name));
    adw_expander_row_add_row(row, head);
    base.act = chosen;
    for (size_t i = 0; calibration != NULL && i < calibration->n_rows; i++)
        if (is_of_use(calibration, i)) add_setting(row, calibration, i, &base);
}
