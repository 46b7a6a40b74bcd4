/* ui-menu.c: see ui-menu.h. */
#include "ui-menu.h"

static void free_weak(gpointer data)
{
    g_weak_ref_clear(data);
    g_free(data);
}

/* Comes before the chosen entry's action, which may move the focus on. */
static void on_closed(GtkPopover *menu, GWeakRef *before)
{
    g_autoptr(GtkWidget) focus = g_weak_ref_get(before);
    if (focus != NULL && gtk_widget_get_mapped(focus)) gtk_widget_grab_focus(focus);
}

GtkPopover *ui_menu_new(GMenuModel *model, GtkWidget *parent)
{
    GtkPopover *menu = GTK_POPOVER(gtk_popover_menu_new_from_model(model));
    GWeakRef *before = g_new0(GWeakRef, 1);
    g_weak_ref_init(before, NULL);
    g_object_set_data_full(G_OBJECT(menu), "focus-before", before, free_weak);
    gtk_popover_set_has_arrow(menu, FALSE);
    gtk_widget_set_parent(GTK_WIDGET(menu), parent);
    g_signal_connect(menu, "closed", G_CALLBACK(on_closed), before);
    return menu;
}

void ui_menu_popup(GtkPopover *menu, GtkWidget *at, const GdkRectangle *place)
{
    double x = place->x, y = place->y;
    GtkWidget *parent = gtk_widget_get_parent(GTK_WIDGET(menu));
    gtk_widget_translate_coordinates(at, parent, x, y, &x, &y);
    gtk_popover_set_pointing_to(menu, &(GdkRectangle){(int)x, (int)y, place->width, place->height});
    g_weak_ref_set(g_object_get_data(G_OBJECT(menu), "focus-before"), gtk_root_get_focus(gtk_widget_get_root(parent)));
    gtk_popover_popup(menu);
    /* The menu takes the button's release: what was pressed would look so for good. */
    for (GtkWidget *pressed = at; pressed != NULL && pressed != parent; pressed = gtk_widget_get_parent(pressed)) {
        gtk_widget_unset_state_flags(pressed, GTK_STATE_FLAG_ACTIVE);
    }
}
