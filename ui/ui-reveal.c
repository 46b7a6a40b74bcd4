/* ui-reveal.c: see ui-reveal.h. */
#define G_LOG_DOMAIN "ui-reveal"
#include "ui-reveal.h"

#include <stdbool.h>

static void hide_closed(GtkRevealer *revealer)
{
    bool is_closed = !gtk_revealer_get_reveal_child(revealer) && !gtk_revealer_get_child_revealed(revealer);
    if (is_closed) gtk_widget_set_visible(GTK_WIDGET(revealer), FALSE);
}

void ui_reveal(GtkRevealer *revealer, gboolean shown)
{
    g_signal_handlers_disconnect_by_func(revealer, hide_closed, NULL);
    if (shown) gtk_widget_set_visible(GTK_WIDGET(revealer), TRUE);
    gtk_revealer_set_reveal_child(revealer, shown);
    if (shown) return;
    g_signal_connect(revealer, "notify::child-revealed", G_CALLBACK(hide_closed), NULL);
    hide_closed(revealer);
}
