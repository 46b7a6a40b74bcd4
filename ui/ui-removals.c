/* ui-removals.c: see ui-removals.h. */
#define G_LOG_DOMAIN "ui-removals"
#include "ui-removals.h"

#include <glib/gi18n.h>

#include "ui-toast.h"

enum { TOAST_S = 12 }; /* who listens to it needs longer than who sees it */

typedef struct Pending {
    UiRemovals *owner; /* NULL: settled, or the owner is gone */
    const UiRemovalKind *kind;
    gpointer removal;
    AdwToast *toast; /* holds this */
} Pending;

struct UiRemovals {
    void (*add_toast)(gpointer user, AdwToast *toast);
    gpointer user;
    GPtrArray *pending; /* Pending, oldest first */
};

UiRemovals *ui_removals_new(void (*add_toast)(gpointer user, AdwToast *toast), gpointer user)
{
    UiRemovals *removals = g_new0(UiRemovals, 1);
    removals->add_toast = add_toast;
    removals->user = user;
    removals->pending = g_ptr_array_new();
    return removals;
}

/* Out of the list before anything is called: what is called may come back here. */
static void settle(Pending *pending, bool is_forgotten, bool at_once)
{
    if (pending->owner == NULL) return;
    g_ptr_array_remove(pending->owner->pending, pending);
    pending->owner = NULL;
    if (is_forgotten) pending->kind->forget(pending->removal, at_once);
    else pending->kind->restore(pending->removal);
    pending->kind->free(g_steal_pointer(&pending->removal));
}

static void on_undo(AdwToast *toast, gpointer user)
{
    settle(user, false, false);
}

static void on_dismissed(AdwToast *toast, gpointer user)
{
    settle(user, true, false);
}

static void free_pending(gpointer data, GClosure *closure)
{
    g_free(data);
}

char *ui_removals_dup_text(const char *name)
{
    g_autofree char *title = ui_toast_shorten(name);
    return g_strdup_printf(_("“%s” removed"), title);
}

void ui_removals_add(UiRemovals *removals, const char *text, const UiRemovalKind *kind, gpointer removal)
{
    Pending *pending = g_new0(Pending, 1);
    *pending = (Pending){removals, kind, removal, ui_toast_new(text)};
    adw_toast_set_button_label(pending->toast, _("_Undo"));
    adw_toast_set_priority(pending->toast, ADW_TOAST_PRIORITY_HIGH);
    adw_toast_set_timeout(pending->toast, TOAST_S);
    g_signal_connect(pending->toast, "button-clicked", G_CALLBACK(on_undo), pending);
    g_signal_connect_data(pending->toast, "dismissed", G_CALLBACK(on_dismissed), pending, free_pending, 0);
    g_ptr_array_add(removals->pending, pending);
    removals->add_toast(removals->user, pending->toast);
}

bool ui_removals_undo(UiRemovals *removals)
{
    if (removals->pending->len == 0) return false;
    Pending *pending = g_ptr_array_index(removals->pending, removals->pending->len - 1);
    AdwToast *toast = pending->toast;
    settle(pending, false, false);
    adw_toast_dismiss(toast);
    return true;
}

void ui_removals_free(UiRemovals *removals)
{
    if (removals == NULL) return;
    while (removals->pending->len > 0) settle(g_ptr_array_index(removals->pending, 0), true, true);
    g_ptr_array_unref(removals->pending);
    g_free(removals);
}
