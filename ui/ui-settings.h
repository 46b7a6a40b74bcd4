/* ui-settings.h: the window's settings, org.lectern.Lectern in GSettings.
 *
 * Owns: finding the schema, installed or in the build tree; that setting a value never waits for the disk.
 * Does not own: what the keys mean (resources/org.lectern.Lectern.gschema.xml), what the command line has, too (app-settings.h), the thread
 *               that writes (ui-settings-queue.h, whose flush ends a program).
 */
#ifndef UI_SETTINGS_H
#define UI_SETTINGS_H

#include <gio/gio.h>

G_BEGIN_DECLS

GSettings *ui_settings_get(void); /* borrowed; one for the program's whole life */
/* Writes only what differs. Takes a floating value. */
void ui_settings_keep(const char *key, GVariant *value);

G_END_DECLS

#endif
