/* ui-preferences.h: preferences: general, models, storage, a second machine.
 *
 * Owns: the window and which page is shown. Does not own: the pages (ui-general-page.h, ui-models-page.h, ui-storage-page.h).
 */
#ifndef UI_PREFERENCES_H
#define UI_PREFERENCES_H

#include <adwaita.h>

#include "ui-context.h"

G_BEGIN_DECLS

#define UI_TYPE_PREFERENCES (ui_preferences_get_type())
G_DECLARE_FINAL_TYPE(UiPreferences, ui_preferences, UI, PREFERENCES, AdwPreferencesWindow)

/* page: "general", "models", "storage". Presents the one that is open, if there is one. */
void ui_preferences_present(UiContext *context, GtkWindow *parent, const char *page);

/* For its pages: says what failed, in the window that holds `widget`. */
void ui_preferences_say(GtkWidget *widget, const char *words);

G_END_DECLS

#endif
