/* ui-evidence.c: see ui-evidence.h. */
#define G_LOG_DOMAIN "ui-evidence"
#include "ui-evidence.h"

#include <glib/gi18n.h>

#include "app-format.h"
#include "ui-format.h"

typedef struct Badge {
    const char *icon, *text, *style;
} Badge;

static Badge badge_of(const AppEvidence *evidence)
{
    if (evidence->quotation.section < 0 || !evidence->quotation.verified) {
        return (Badge){"dialog-warning-symbolic", _("Not found in the source"), "unverified"};
    }
    switch (evidence->kind) {
    case APP_EVIDENCE_AROUND:
        return (Badge){"emblem-ok-symbolic", _("Verified: the answer stands in this line"), "verified"};
    case APP_EVIDENCE_LIKELY:
        return (Badge){"dialog-question-symbolic", _("Likely place, by its words"), "unverified"};
    default:
        return (Badge){"emblem-ok-symbolic", _("Verified word for word"), "verified"};
    }
}

static GtkWidget *label_new(const char *text, const char *style)
{
    GtkWidget *label = gtk_label_new(text);
    gtk_label_set_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    if (style != NULL) gtk_widget_add_css_class(label, style);
    return label;
}

/* A card is a button: one stop of the keyboard, and Return or a click shows the passage. */
static GtkWidget *card_new(GtkWidget *box, int64_t document, uint64_t start, uint64_t end, const char *name)
{
    GtkWidget *button = gtk_button_new();
    gtk_button_set_child(GTK_BUTTON(button), box);
    gtk_widget_add_css_class(button, "card");
    gtk_widget_add_css_class(button, "evidence");
    gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    if (document != 0 && end > start) {
        gtk_widget_set_tooltip_text(button, _("Show the passage"));
        gtk_actionable_set_action_target(GTK_ACTIONABLE(button), "(xtt)", (gint64)document, (guint64)start, (guint64)end);
        gtk_actionable_set_action_name(GTK_ACTIONABLE(button), "win.show-passage");
    } else {
        gtk_widget_set_can_focus(button, FALSE);
        gtk_widget_set_can_target(button, FALSE);
    }
    return button;
}

static GtkWidget *badge_new(const AppEvidence *evidence)
{
    Badge badge = badge_of(evidence);
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6), *icon = gtk_image_new_from_icon_name(badge.icon);
    gtk_widget_set_valign(icon, GTK_ALIGN_START);
    gtk_box_append(GTK_BOX(box), icon);
    gtk_box_append(GTK_BOX(box), label_new(badge.text, "badge"));
    gtk_widget_add_css_class(box, badge.style);
    return box;
}

GtkWidget *ui_evidence_new(const AppEvidence *evidence)
{
    const AppQuotation *quotation = &evidence->quotation;
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 6);
    g_autofree char *quoted = g_strdup_printf("“%s”", quotation->text);
    g_autofree char *place = quotation->section < 0 ? g_strdup("") : app_format_place(quotation->document_title, evidence->heading, quotation->page,
                                                                                       quotation->page_label);
    gtk_box_append(GTK_BOX(box), label_new(quoted, "quotation-text"));
    gtk_box_append(GTK_BOX(box), badge_new(evidence));
    if (*place != '\0') {
        GtkWidget *label = label_new(place, "caption");
        gtk_widget_add_css_class(label, "dim-label");
        gtk_box_append(GTK_BOX(box), label);
    }
    g_autofree char *others = NULL;
    if (evidence->n_other_places > 0) {
        g_autofree char *count = ui_format_count(evidence->n_other_places);
        others = g_strdup_printf(ngettext("The same words stand at %s other place", "The same words stand at %s other places",
                                          evidence->n_other_places), count);
        GtkWidget *label = label_new(others, "caption");
        gtk_widget_add_css_class(label, "dim-label");
        gtk_box_append(GTK_BOX(box), label);
    }
    if (evidence->is_unrelated) {
        GtkWidget *doubt = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6);
        gtk_box_append(GTK_BOX(doubt), gtk_image_new_from_icon_name("dialog-question-symbolic"));
        gtk_box_append(GTK_BOX(doubt), label_new(_("No word of the question stands there: it may answer something else"), "badge"));
        gtk_widget_add_css_class(doubt, "unverified");
        gtk_box_append(GTK_BOX(box), doubt);
    }
    g_autofree char *name = g_strdup_printf("%s. %s. %s", badge_of(evidence).text, quoted, place);
    return card_new(box, quotation->section < 0 ? 0 : quotation->document, quotation->start, quotation->end, name);
}

GtkWidget *ui_evidence_new_for_hit(const AppHit *hit)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 3), *snippet = label_new(NULL, NULL);
    g_autofree char *markup = app_format_snippet(hit->snippet, "<b>", "</b>", true);
    gtk_label_set_markup(GTK_LABEL(snippet), markup);
    gtk_label_set_lines(GTK_LABEL(snippet), 3);
    gtk_label_set_ellipsize(GTK_LABEL(snippet), PANGO_ELLIPSIZE_END);
    g_autofree char *place = app_format_place(hit->title, hit->heading, hit->page, hit->page_label);
    GtkWidget *caption = label_new(place, "caption");
    gtk_widget_add_css_class(caption, "dim-label");
    if (hit->value != NULL) { /* a cell: what people look for first */
        g_autofree char *cell = hit->column != NULL && *hit->column != '\0' ? g_strdup_printf("%s (%s)", hit->value, hit->column) : g_strdup(hit->value);
        gtk_box_append(GTK_BOX(box), label_new(cell, "heading"));
    }
    gtk_box_append(GTK_BOX(box), snippet);
    gtk_box_append(GTK_BOX(box), caption);
    g_autofree char *name = g_strdup_printf("%s: %s", place, gtk_label_get_text(GTK_LABEL(snippet)));

    return card_new(box, hit->document, hit->start, hit->end, name);
}

char *ui_evidence_citation(const AppEvidence *evidence)
{
    const AppQuotation *quotation = &evidence->quotation;
    if (quotation->section < 0) return g_strdup_printf(_("“%s” (not found in the source)"), quotation->text);
    g_autofree char *place = app_format_place(quotation->document_title, evidence->heading, quotation->page, quotation->page_label);
    return g_strdup_printf("“%s” — %s", quotation->text, place);
}
