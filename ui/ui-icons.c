/* ui-icons.c: see ui-icons.h. */
#include "ui-icons.h"

#include <gtk/gtk.h>

static void (*construct)(GObject *object);
static GMutex mutex;     /* guards the icons kept: a file's icon may be made on any thread */
static GPtrArray *kept; /* GtkIconPaintable */

static void construct_and_keep(GObject *icon)
{
    construct(icon);
    g_mutex_lock(&mutex);
    g_ptr_array_add(kept, g_object_ref(icon));
    g_mutex_unlock(&mutex);
}

void ui_icons_keep(void)
{
    if (kept != NULL) return;
    kept = g_ptr_array_new();
    GObjectClass *class = g_type_class_ref(GTK_TYPE_ICON_PAINTABLE); /* which stays, as the icons do */
    construct = class->constructed;
    class->constructed = construct_and_keep;
}
