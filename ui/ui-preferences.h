/* ui-preferences.h: preferences: general, models, storage, a second machine.
 *
 * Owns: the window and which page is shown, removals that can be undone. Does not own: the pages (ui-general-page.h, ui-models-page.h, ui-storage-page.h).
 */
#ifndef UI_PREFERENCES_H
#define UI_PREFERENCES_H

#include <adwaita.h>
#include <stdbool.h>

#include "ui-context.h"

G_BEGIN_DECLS

#define UI_TYPE_PREFERENCES (ui_preferences_get_type())
G_DECLARE_FINAL_TYPE(UiPreferences, ui_preferences, UI, PREFERENCES, AdwPreferencesWindow)

/* page: "general", "models", "storage". Presents the one that is open, if there is one. */
void ui_preferences_present(UiContext *context, GtkWindow *parent, const char *page);

/* For its pages: says what failed, in the window that holds `widget`, or in the main one when that is closed by now. */
void ui_preferences_say(GtkWidget *widget, const char *words);

/* For its pages, which tell and remove what they list by a key. `changed` lists anew, without what is in `hidden`. */
typedef struct UiPreferencesRemoval {
    UiContext *context;
    GHashTable *hidden; /* char* */
    const char *key, *name; /* `name` is told */
    bool (*remove)(AppLibrary *library, const char *key, GError **error); /* on a thread, or at once when the window is closed */
    void (*changed)(gpointer page);
} UiPreferencesRemoval;
/* Hides the key, with Undo; removes it when the time for that is over. */
void ui_preferences_remove(GtkWidget *page, const UiPreferencesRemoval *removal);

/* While long work goes on, closing the window only hides it. At the end of the work: what came of it, told where it is seen. */
void ui_preferences_begin_work(GtkWidget *widget);
void ui_preferences_end_work(GtkWidget *widget, const char *words, bool is_failure); /* words NULL: nothing to tell */

G_END_DECLS

#endif
