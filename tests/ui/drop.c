/* drop.c: files and folders dropped onto the real window, as its own GtkDropTarget gets them; run by test-drop.py on a desktop of its own.
 *
 * usage: drop N PATH...   ends with 0 when the library has N documents after the drop
 */
#include <stdlib.h>

#include "ui-application.h"
#include "ui-window.h"

typedef struct Drop {
    GtkApplication *application;
    GSList *files;
    gint64 n_wanted;
    int status;
} Drop;

static GtkDropTarget *find_target(GtkWidget *widget)
{
    g_autoptr(GListModel) controllers = gtk_widget_observe_controllers(widget);
    for (guint i = 0; i < g_list_model_get_n_items(controllers); i++) {
        g_autoptr(GObject) controller = g_list_model_get_item(controllers, i);
        if (GTK_IS_DROP_TARGET(controller)) return GTK_DROP_TARGET(controller); /* the window keeps it */
    }
    return NULL;
}

static gboolean look(gpointer user)
{
    Drop *drop = user;
    AppLibrary *library = ui_context_get_library(ui_application_get_context(UI_APPLICATION(drop->application)));
    if (app_library_count_documents(library, 0, NULL) < drop->n_wanted) return G_SOURCE_CONTINUE;
    drop->status = app_library_count_documents(library, 0, NULL) == drop->n_wanted ? 0 : 1;
    g_application_quit(G_APPLICATION(drop->application));
    return G_SOURCE_REMOVE;
}

static gboolean drop_files(gpointer user)
{
    Drop *drop = user;
    GtkWindow *window = gtk_application_get_active_window(drop->application);
    GtkDropTarget *target = window != NULL ? find_target(GTK_WIDGET(window)) : NULL;
    if (target == NULL) return G_SOURCE_CONTINUE;
    GdkFileList *list = gdk_file_list_new_from_list(drop->files);
    GValue value = G_VALUE_INIT;
    g_value_init(&value, GDK_TYPE_FILE_LIST);
    g_value_take_boxed(&value, list);
    gboolean taken = FALSE;
    GdkDragAction action = 0;
    g_signal_emit_by_name(target, "enter", 10.0, 10.0, &action);
    g_signal_emit_by_name(target, "drop", &value, 10.0, 10.0, &taken);
    g_value_unset(&value);
    if (!taken || action != GDK_ACTION_COPY) {
        g_printerr("drop: the window refused the files\n");
        g_application_quit(G_APPLICATION(drop->application));
        return G_SOURCE_REMOVE;
    }
    g_timeout_add(100, look, drop);
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
    g_autoptr(UiApplication) application = ui_application_new();
    Drop drop = {.application = GTK_APPLICATION(application), .n_wanted = argc > 1 ? atoi(argv[1]) : 0, .status = 1};
    for (int i = argc - 1; i > 1; i--) drop.files = g_slist_prepend(drop.files, g_file_new_for_path(argv[i]));
    g_timeout_add(100, drop_files, &drop);
    int status = g_application_run(G_APPLICATION(application), 1, argv);
    g_slist_free_full(drop.files, g_object_unref);
    return status != 0 ? status : drop.status;
}
