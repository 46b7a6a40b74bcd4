/* ui-accessible.c: see ui-accessible.h. */
#define G_LOG_DOMAIN "ui-accessible"
#include "ui-accessible.h"

#include <glib/gi18n.h>

static void for_each_below(GtkWidget *root, void (*act)(GtkWidget *widget, gconstpointer user), gconstpointer user)
{
    act(root, user);
    for (GtkWidget *child = gtk_widget_get_first_child(root); child != NULL; child = gtk_widget_get_next_sibling(child)) for_each_below(child, act, user);
}

static void set_name(GtkWidget *widget, const char *name)
{
    gtk_accessible_update_property(GTK_ACCESSIBLE(widget), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

static const char *first_words(GtkWidget *widget)
{
    const char *words = GTK_IS_LABEL(widget) ? gtk_label_get_text(GTK_LABEL(widget)) : NULL;
    if (words != NULL && *words != '\0') return words;
    words = NULL;
    for (GtkWidget *child = gtk_widget_get_first_child(widget); child != NULL && words == NULL; child = gtk_widget_get_next_sibling(child)) {
        words = first_words(child);
    }
    return words;
}

static void name_foreign(GtkWidget *widget, gconstpointer user)
{
    bool is_button = GTK_IS_BUTTON(widget) && gtk_button_get_label(GTK_BUTTON(widget)) == NULL;
    GtkWidget *child = is_button ? gtk_button_get_child(GTK_BUTTON(widget)) : NULL;
    const char *words = NULL;
    bool is_picture = child != NULL && GTK_IS_IMAGE(child);
    if (is_picture && g_strcmp0(gtk_image_get_icon_name(GTK_IMAGE(child)), "window-close-symbolic") == 0) words = _("Close");
    else if (is_button || GTK_IS_LIST_BOX(widget)) words = first_words(widget);
    if (words != NULL) set_name(widget, words);
}

void ui_accessible_name_foreign(GtkWidget *root)
{
    for_each_below(root, name_foreign, NULL);
}

static void on_toasts(GListModel *children, guint position, guint n_removed, guint n_added, AdwToastOverlay *overlay)
{
    for (guint i = 0; i < n_added; i++) {
        g_autoptr(GtkWidget) child = g_list_model_get_item(children, position + i);
        if (child != adw_toast_overlay_get_child(overlay)) ui_accessible_name_foreign(child);
    }
}

static void watch_toasts(GtkWidget *widget, gconstpointer user)
{
    if (!ADW_IS_TOAST_OVERLAY(widget)) return;
    GListModel *children = gtk_widget_observe_children(widget);
    g_signal_connect_object(children, "items-changed", G_CALLBACK(on_toasts), widget, 0);
    g_object_set_data_full(G_OBJECT(widget), "watched-children", children, g_object_unref);
}

void ui_accessible_name_toasts(GtkWidget *root)
{
    for_each_below(root, watch_toasts, NULL);
}

static void name_list(GtkWidget *widget, gconstpointer name)
{
    if (GTK_IS_LIST_BOX(widget)) set_name(widget, name);
}

void ui_accessible_name_expander(AdwExpanderRow *row, const char *name)
{
    set_name(GTK_WIDGET(row), name);
    for_each_below(GTK_WIDGET(row), name_list, name);
}
