/* ui-properties.c: see ui-properties.h. */
#define G_LOG_DOMAIN "ui-properties"
#include "ui-properties.h"

#include <glib/gi18n.h>

#include "ui-format.h"

static GtkWidget *add_label(GtkWidget *box, const char *text)
{
    GtkWidget *label = gtk_label_new(text);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_label_set_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
    gtk_box_append(GTK_BOX(box), label);
    return label;
}

/* Takes the value; nothing is shown of what is not known. */
static void add(AdwPreferencesGroup *group, const char *name, char *taken)
{
    g_autofree char *value = taken;
    if (value == NULL || *value == '\0') return;
    GtkWidget *row = adw_preferences_row_new(), *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 3);
    gtk_widget_add_css_class(box, "property");
    GtkWidget *name_label = add_label(box, name), *value_label = add_label(box, value);
    gtk_widget_add_css_class(name_label, "caption");
    gtk_widget_add_css_class(name_label, "dim-label");
    gtk_label_set_selectable(GTK_LABEL(value_label), TRUE);
    gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), box);
    gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(row), FALSE);
    gtk_widget_set_focusable(row, FALSE); /* the value is, to be copied */
    gtk_accessible_update_property(GTK_ACCESSIBLE(row), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    gtk_accessible_update_property(GTK_ACCESSIBLE(value_label), GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, name, -1);
    adw_preferences_group_add(group, row);
}

static AdwPreferencesGroup *add_group(AdwPreferencesPage *page, const char *title)
{
    AdwPreferencesGroup *group = ADW_PREFERENCES_GROUP(adw_preferences_group_new());
    adw_preferences_group_set_title(group, title);
    adw_preferences_page_add(page, group);
    return group;
}

static void add_origin(AdwPreferencesGroup *group, UiDocumentItem *item)
{
    const AppDocument *document = ui_document_item_get_document(item);
    g_autofree char *bytes = ui_format_bytes(document->n_source_bytes);
    add(group, _("Title"), g_strdup(document->title));
    add(group, _("Author or Company"), g_strdup(ui_document_item_get_byline(item)));
    add(group, _("File"), g_filename_display_name(document->source));
    add(group, _("Kind and Size"), g_strdup_printf("%s · %s", ui_document_item_get_format(item), bytes));
    add(group, _("Added"), ui_format_moment(document->added_s));
    add(group, _("SHA-256 of the File"), g_strdup(document->source_hash));
}

static void add_reading(AdwPreferencesGroup *group, UiDocumentItem *item)
{
    const AppDocument *document = ui_document_item_get_document(item);
    uint64_t cache_bytes = ui_document_item_get_cache_bytes(item);
    g_autofree char *chars = ui_format_count(document->n_chars), *sections = ui_format_count(document->n_sections);
    g_autofree char *read = ui_format_count(document->n_sections_read);
    add(group, _("State"), ui_document_item_dup_state(item));
    add(group, _("Advice"), ui_document_item_dup_advice(item));
    add(group, _("Pages"), document->n_pages > 0 ? ui_format_count(document->n_pages) : NULL);
    add(group, _("Characters of Text"), g_steal_pointer(&chars));
    add(group, _("Tokens"), document->n_tokens > 0 ? ui_format_count(document->n_tokens) : NULL);
    add(group, _("Sections Read"), document->n_sections > 0 ? g_strdup_printf(_("%s of %s"), read, sections) : NULL);
    add(group, _("Read By"), g_strdup(document->model));
    add(group, _("Saved States"), cache_bytes > 0 && cache_bytes != UINT64_MAX ? ui_format_bytes(cache_bytes) : NULL);
    add(group, _("Last Change"), ui_format_moment(document->updated_s));
}

void ui_properties_show(GtkWindow *parent, UiDocumentItem *item)
{
    GtkWidget *window = g_object_new(ADW_TYPE_PREFERENCES_WINDOW, "transient-for", parent, "destroy-with-parent", TRUE, "modal", TRUE, "search-enabled",
                                     FALSE, "title", _("Properties"), "default-width", 480, "default-height", 640, "width-request", 360, NULL);
    AdwPreferencesPage *page = ADW_PREFERENCES_PAGE(adw_preferences_page_new());
    adw_preferences_page_set_title(page, _("Properties")); /* of its tab, which a screen reader finds */
    add_origin(add_group(page, _("Document")), item);
    add_reading(add_group(page, _("Reading")), item);
    adw_preferences_window_add(ADW_PREFERENCES_WINDOW(window), page);
    gtk_window_present(GTK_WINDOW(window));
    gtk_window_set_focus(GTK_WINDOW(window), NULL); /* which would mark the first value */
}
