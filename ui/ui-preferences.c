/* ui-preferences.c: see ui-preferences.h. */
#define G_LOG_DOMAIN "ui-preferences"
#include "ui-preferences.h"

#include <glib/gi18n.h>

#include "ui-accessible.h"
#include "ui-general-page.h"
#include "ui-models-page.h"
#include "ui-storage-page.h"

struct _UiPreferences {
    AdwPreferencesWindow parent;
};

G_DEFINE_FINAL_TYPE(UiPreferences, ui_preferences, ADW_TYPE_PREFERENCES_WINDOW)

static UiPreferences *shown; /* the one that is open */

void ui_preferences_present(UiContext *context, GtkWindow *parent, const char *page)
{
    if (shown == NULL) {
        shown = g_object_new(UI_TYPE_PREFERENCES, "transient-for", parent, "search-enabled", FALSE, NULL);
        g_object_add_weak_pointer(G_OBJECT(shown), (gpointer *)&shown);
        AdwPreferencesWindow *window = ADW_PREFERENCES_WINDOW(shown);
        adw_preferences_window_add(window, ADW_PREFERENCES_PAGE(ui_general_page_new(context)));
        adw_preferences_window_add(window, ADW_PREFERENCES_PAGE(ui_models_page_new(context)));
        adw_preferences_window_add(window, ADW_PREFERENCES_PAGE(ui_storage_page_new(context)));
    }
    adw_preferences_window_set_visible_page_name(ADW_PREFERENCES_WINDOW(shown), page);
    gtk_window_present(GTK_WINDOW(shown));
}

void ui_preferences_say(GtkWidget *widget, const char *words)
{
    GtkWidget *window = gtk_widget_get_ancestor(widget, ADW_TYPE_PREFERENCES_WINDOW);
    if (window == NULL) return;
    AdwToast *toast = adw_toast_new(words);
    adw_toast_set_timeout(toast, 0);
    adw_preferences_window_add_toast(ADW_PREFERENCES_WINDOW(window), toast);
}

static void ui_preferences_class_init(UiPreferencesClass *class)
{
}

static void ui_preferences_init(UiPreferences *self)
{
    gtk_window_set_title(GTK_WINDOW(self), _("Preferences"));
    gtk_window_set_default_size(GTK_WINDOW(self), 680, 640);
    gtk_widget_set_size_request(GTK_WIDGET(self), 360, 294);
    ui_accessible_name_toasts(GTK_WIDGET(self));
}
