/* ui-name-dialog.c: see ui-name-dialog.h. */
#define G_LOG_DOMAIN "ui-name-dialog"
#include "ui-name-dialog.h"

#include <glib/gi18n.h>

typedef struct Naming {
    GtkWidget *parent; /* weak */
    GtkWidget *entry;
    gint64 number;
    UiNameFn done;
    gpointer user;
} Naming;

static char *dup_name(Naming *naming)
{
    return g_strstrip(g_strdup(gtk_editable_get_text(GTK_EDITABLE(naming->entry))));
}

static void on_changed(AdwMessageDialog *dialog, GtkEditable *entry)
{
    g_autofree char *name = g_strstrip(g_strdup(gtk_editable_get_text(entry)));
    adw_message_dialog_set_response_enabled(dialog, "accept", *name != '\0');
}

static void on_response(AdwMessageDialog *dialog, const char *response, gpointer user)
{
    Naming *naming = user;
    g_autofree char *name = dup_name(naming);
    if (naming->parent == NULL) return;
    if (g_str_equal(response, "accept") && *name != '\0') naming->done(naming->parent, name, naming->number, naming->user);
    g_object_remove_weak_pointer(G_OBJECT(naming->parent), (gpointer *)&naming->parent);
    naming->parent = NULL;
}

static void free_naming(gpointer data, GClosure *closure)
{
    Naming *naming = data;
    if (naming->parent != NULL) g_object_remove_weak_pointer(G_OBJECT(naming->parent), (gpointer *)&naming->parent);
    g_free(naming);
}

void ui_name_dialog_show(GtkWidget *parent, const char *heading, const char *label, const char *name, const char *accept, gint64 number,
                         UiNameFn done, gpointer user)
{
    GtkWidget *dialog = adw_message_dialog_new(GTK_WINDOW(gtk_widget_get_root(parent)), heading, NULL);
    gtk_window_set_title(GTK_WINDOW(dialog), heading);
    GtkWidget *list = gtk_list_box_new(), *entry = adw_entry_row_new();
    gtk_list_box_set_selection_mode(GTK_LIST_BOX(list), GTK_SELECTION_NONE);
    gtk_widget_add_css_class(list, "boxed-list");
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(entry), label);
    gtk_editable_set_text(GTK_EDITABLE(entry), name);
    gtk_accessible_update_property(GTK_ACCESSIBLE(entry), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
    gtk_accessible_update_property(GTK_ACCESSIBLE(list), GTK_ACCESSIBLE_PROPERTY_LABEL, heading, -1);
    gtk_list_box_append(GTK_LIST_BOX(list), entry);
    adw_message_dialog_set_extra_child(ADW_MESSAGE_DIALOG(dialog), list);
    adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "cancel", _("_Cancel"), "accept", accept, NULL);
    adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "accept", ADW_RESPONSE_SUGGESTED);
    adw_message_dialog_set_response_enabled(ADW_MESSAGE_DIALOG(dialog), "accept", *name != '\0');
    adw_message_dialog_set_default_response(ADW_MESSAGE_DIALOG(dialog), "accept");
    adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "cancel");
    Naming *naming = g_new0(Naming, 1);
    *naming = (Naming){parent, entry, number, done, user};
    g_object_add_weak_pointer(G_OBJECT(parent), (gpointer *)&naming->parent);
    g_signal_connect_data(dialog, "response", G_CALLBACK(on_response), naming, free_naming, 0);
    g_signal_connect_object(entry, "changed", G_CALLBACK(on_changed), dialog, G_CONNECT_SWAPPED);
    /* Return in the entry accepts, as in every dialog. */
    g_object_set(entry, "activates-default", TRUE, NULL);
    gtk_window_present(GTK_WINDOW(dialog));
    gtk_widget_grab_focus(entry);
}
