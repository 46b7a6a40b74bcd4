/* ui-settings-queue.h: settings are written here, so that the window never waits for a disk.
 *
 * Owns: one thread, the order of what it does (first asked, first done), waiting for the end of all of it.
 * Does not own: what is written (app-settings.h, ui-settings.h), what is said of an error.
 */
#ifndef UI_SETTINGS_QUEUE_H
#define UI_SETTINGS_QUEUE_H

#include <gio/gio.h>

#include "app-settings.h"

G_BEGIN_DECLS

/* Does `work` after all that was asked for before; `done` follows on the main loop. What waits under the same key is left out, and returns
 * FALSE without an error; key NULL: nothing is. */
void ui_settings_queue_run(GObject *source, const char *key, GTaskThreadFunc work, gpointer data, GDestroyNotify free_data,
                           GAsyncReadyCallback done, gpointer user);
/* app_settings_set there; value "": back to the initial one. g_task_propagate_boolean: TRUE, it is on the disk. */
void ui_settings_queue_set(GObject *source, const char *key, const char *value, GAsyncReadyCallback done, gpointer user);

/* Waits until all that was asked for is done. On threads other than the queue's, and on the main loop when the program ends. */
void ui_settings_queue_flush(void);
/* The settings as the user has made them, waiting for what is still being written: on threads other than the queue's. */
AppSettings *ui_settings_queue_open(GError **error);

G_END_DECLS

#endif
