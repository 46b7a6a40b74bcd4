/* ui-application.h: the application as GNOME sees it: one instance, its actions, what it opens.
 *
 * Owns: the UiContext, "app." actions and their keys, opening files from outside. Does not own: what is in a window (ui-window.h).
 */
#ifndef UI_APPLICATION_H
#define UI_APPLICATION_H

#include <adwaita.h>

#include "ui-context.h"

G_BEGIN_DECLS

#define UI_APPLICATION_ID "org.lectern.Lectern"

#define UI_TYPE_APPLICATION (ui_application_get_type())
G_DECLARE_FINAL_TYPE(UiApplication, ui_application, UI, APPLICATION, AdwApplication)

UiApplication *ui_application_new(void);
UiContext *ui_application_get_context(UiApplication *application); /* borrowed; NULL before startup or when the library cannot be opened */
/* A notification, to somebody who looks elsewhere; one of the same id is replaced. */
void ui_application_notify(UiApplication *application, const char *id, const char *title);

G_END_DECLS

#endif
