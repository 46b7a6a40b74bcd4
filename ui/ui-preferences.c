/* ui-preferences.c: see ui-preferences.h. */
#define G_LOG_DOMAIN "ui-preferences"
#include "ui-preferences.h"

#include <glib/gi18n.h>

#include "ui-accessible.h"
#include "ui-application.h"
#include "ui-general-page.h"
#include "ui-models-page.h"
#include "ui-removals.h"
#include "ui-storage-page.h"
#include "ui-toast.h"
#include "ui-window.h"

struct _UiPreferences {
    AdwPreferencesWindow parent;
    UiRemovals *removals;
};

G_DEFINE_FINAL_TYPE(UiPreferences, ui_preferences, ADW_TYPE_PREFERENCES_WINDOW)

static UiPreferences *shown; /* the one that is open */

void ui_preferences_present(UiContext *context, GtkWindow *parent, const char *page)
{
    if (shown == NULL) {
        shown = g_object_new(UI_TYPE_PREFERENCES, "transient-for", parent, "destroy-with-parent", TRUE, "search-enabled", FALSE, NULL);
        g_object_add_weak_pointer(G_OBJECT(shown), (gpointer *)&shown);
        AdwPreferencesWindow *window = ADW_PREFERENCES_WINDOW(shown);
        adw_preferences_window_add(window, ADW_PREFERENCES_PAGE(ui_general_page_new(context)));
        adw_preferences_window_add(window, ADW_PREFERENCES_PAGE(ui_models_page_new(context)));
        adw_preferences_window_add(window, ADW_PREFERENCES_PAGE(ui_storage_page_new(context)));
    }
    adw_preferences_window_set_visible_page_name(ADW_PREFERENCES_WINDOW(shown), page);
    gtk_window_present(GTK_WINDOW(shown));
}

static void add_toast(gpointer user, AdwToast *toast)
{
    ui_toast_fit(toast, user);
    adw_preferences_window_add_toast(ADW_PREFERENCES_WINDOW(user), toast);
}

static void say(GtkWidget *widget, const char *words, bool stays)
{
    GtkWidget *window = gtk_widget_get_ancestor(widget, UI_TYPE_PREFERENCES);
    if (window == NULL) return;
    AdwToast *toast = ui_toast_new(words);
    if (stays) adw_toast_set_timeout(toast, 0);
    add_toast(window, toast);
}

void ui_preferences_say(GtkWidget *widget, const char *words)
{
    if (gtk_widget_get_ancestor(widget, UI_TYPE_PREFERENCES) != NULL) {
        say(widget, words, true);
        return;
    }
    GtkWindow *window = gtk_application_get_active_window(GTK_APPLICATION(g_application_get_default()));
    if (window != NULL) ui_window_say(GTK_WIDGET(window), words);
}

/* ------------------------------------------------------------------------------------------------------------- removals */

typedef struct Removal {
    GtkWidget *page;
    UiPreferencesRemoval what;
    char *key;
    gint n_refs; /* main thread: the toast's, that of the thread's work */
} Removal;

static void unref_removal(gpointer data)
{
    Removal *removal = data;
    if (--removal->n_refs > 0) return;
    g_object_unref(removal->page);
    g_object_unref(removal->what.context);
    g_hash_table_unref(removal->what.hidden);
    g_free(removal->key);
    g_free(removal);
}

static void show_again(const Removal *removal)
{
    g_hash_table_remove(removal->what.hidden, removal->key);
    if (gtk_widget_get_root(removal->page) != NULL) removal->what.changed(removal->page);
}

static void remove_on_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const Removal *removal = data;
    GError *error = NULL;
    if (removal->what.remove(ui_context_get_library(removal->what.context), removal->key, &error)) g_task_return_boolean(task, TRUE);
    else g_task_return_error(task, error);
}

static void on_removed(GObject *source, GAsyncResult *result, gpointer user)
{
    Removal *removal = user;
    g_autoptr(GError) error = NULL;
    if (!g_task_propagate_boolean(G_TASK(result), &error)) ui_preferences_say(removal->page, error->message);
    show_again(removal); /* what failed is there again */
    unref_removal(removal);
}

static void forget(gpointer data, bool at_once)
{
    Removal *removal = data;
    g_autoptr(GError) error = NULL;
    if (!at_once) {
        removal->n_refs++;
        ui_context_run(removal->what.context, G_OBJECT(removal->page), remove_on_thread, removal, NULL, NULL, on_removed, removal);
    } else if (!removal->what.remove(ui_context_get_library(removal->what.context), removal->key, &error)) {
        g_warning("%s", error->message);
    }
}

static void restore(gpointer data)
{
    show_again(data);
}

void ui_preferences_remove(GtkWidget *page, const UiPreferencesRemoval *what)
{
    static const UiRemovalKind kind = {.restore = restore, .forget = forget, .free = unref_removal};
    UiPreferences *window = UI_PREFERENCES(gtk_widget_get_ancestor(page, UI_TYPE_PREFERENCES));
    Removal *removal = g_new0(Removal, 1);
    *removal = (Removal){.page = g_object_ref(page), .what = *what, .key = g_strdup(what->key), .n_refs = 1};
    g_object_ref(removal->what.context);
    g_hash_table_ref(removal->what.hidden);
    g_hash_table_add(removal->what.hidden, g_strdup(what->key));
    g_autofree char *text = ui_removals_dup_text(what->name);
    ui_removals_add(window->removals, text, &kind, removal);
    what->changed(page);
}

static gboolean on_undo_key(GtkWidget *widget, GVariant *arguments, gpointer user)
{
    return ui_removals_undo(UI_PREFERENCES(widget)->removals);
}

/* ------------------------------------------------------------------------------------------------------------ long work */

void ui_preferences_begin_work(GtkWidget *widget)
{
    gtk_window_set_hide_on_close(GTK_WINDOW(gtk_widget_get_ancestor(widget, UI_TYPE_PREFERENCES)), TRUE);
}

void ui_preferences_end_work(GtkWidget *widget, const char *words, bool is_failure)
{
    GtkWindow *window = GTK_WINDOW(gtk_widget_get_ancestor(widget, UI_TYPE_PREFERENCES)), *parent = gtk_window_get_transient_for(window);
    gtk_window_set_hide_on_close(window, FALSE);
    bool is_shown = gtk_widget_get_visible(GTK_WIDGET(window));
    if (words != NULL && is_shown) say(widget, words, is_failure);
    else if (words != NULL && parent != NULL) ui_window_say(GTK_WIDGET(parent), words);
    if (words != NULL) ui_application_notify(UI_APPLICATION(g_application_get_default()), "work", words);
    if (!is_shown) gtk_window_destroy(window);
}

/* ----------------------------------------------------------------------------------------------------------- the object */

static void ui_preferences_dispose(GObject *object)
{
    g_clear_pointer(&UI_PREFERENCES(object)->removals, ui_removals_free); /* before the pages go */
    G_OBJECT_CLASS(ui_preferences_parent_class)->dispose(object);
}

static void ui_preferences_class_init(UiPreferencesClass *class)
{
    G_OBJECT_CLASS(class)->dispose = ui_preferences_dispose;
    gtk_widget_class_add_binding(GTK_WIDGET_CLASS(class), GDK_KEY_z, GDK_CONTROL_MASK, on_undo_key, NULL);
}

static void ui_preferences_init(UiPreferences *self)
{
    self->removals = ui_removals_new(add_toast, self);
    gtk_window_set_title(GTK_WINDOW(self), _("Preferences"));
    gtk_window_set_default_size(GTK_WINDOW(self), 680, 640);
    gtk_widget_set_size_request(GTK_WIDGET(self), 360, 294);
    ui_accessible_name_toasts(GTK_WIDGET(self));
}
