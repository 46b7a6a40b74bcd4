/* drag.c: a window from which things are dragged, as from a file manager, for test-drop.py.
 *
 * Owns: the source's side of a drag (X11's XDND, as GTK speaks it), its end as a line on standard output: "dropped" or "refused".
 * Does not own: the pointer (the test moves it), the target (the real window, in its own process).
 *
 * usage: drag TYPE TEXT   dragged from anywhere in the window: TEXT as data of the media type TYPE
 */
#include <gtk/gtk.h>
#include <string.h>

static void say(const char *word)
{
    g_print("%s\n", word);
    fflush(stdout);
}

static gboolean on_cancelled(GtkDragSource *source, GdkDrag *drag, GdkDragCancelReason reason, gpointer user)
{
    say("refused");
    return TRUE; /* no animation back */
}

static void on_ended(GtkDragSource *source, GdkDrag *drag, gboolean deletes, gpointer user)
{
    if (gdk_drag_get_selected_action(drag) != 0) say("dropped");
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    gtk_init();
    g_autoptr(GBytes) data = g_bytes_new(argv[2], strlen(argv[2]));
    g_autoptr(GdkContentProvider) content = gdk_content_provider_new_for_bytes(argv[1], data);
    GtkDragSource *source = gtk_drag_source_new();
    gtk_drag_source_set_content(source, content);
    gtk_drag_source_set_actions(source, GDK_ACTION_COPY | GDK_ACTION_MOVE | GDK_ACTION_LINK); /* as file managers offer */
    g_signal_connect(source, "drag-cancel", G_CALLBACK(on_cancelled), NULL);
    g_signal_connect(source, "drag-end", G_CALLBACK(on_ended), NULL);
    GtkWidget *window = gtk_window_new(), *place = gtk_label_new("Drag from here");
    gtk_widget_add_controller(place, GTK_EVENT_CONTROLLER(source));
    gtk_window_set_child(GTK_WINDOW(window), place);
    gtk_window_set_title(GTK_WINDOW(window), "Drag Source");
    gtk_window_set_decorated(GTK_WINDOW(window), FALSE);
    gtk_window_set_default_size(GTK_WINDOW(window), 200, 200);
    gtk_window_present(GTK_WINDOW(window));
    while (g_list_model_get_n_items(gtk_window_get_toplevels()) > 0) g_main_context_iteration(NULL, TRUE);
    return 0;
}
