/* ui-removals.h: what was removed and can still be brought back.
 *
 * Owns: the toast with Undo, the order of removals, when each becomes final: its toast goes, or this is freed. A crash in between keeps it.
 * Does not own: hiding, bringing back and forgetting, which are each kind's own (ui-document-removal.h, ui-sidebar-changes.c).
 */
#ifndef UI_REMOVALS_H
#define UI_REMOVALS_H

#include <adwaita.h>
#include <stdbool.h>

G_BEGIN_DECLS

typedef struct UiRemovals UiRemovals;

typedef struct UiRemovalKind {
    void (*restore)(gpointer removal);
    /* For good. at_once: the window closes, so before this returns; else on a thread. */
    void (*forget)(gpointer removal, bool at_once);
    GDestroyNotify free; /* after either */
} UiRemovalKind;

/* add_toast puts a toast on the screen; it takes it. */
UiRemovals *ui_removals_new(void (*add_toast)(gpointer user, AdwToast *toast), gpointer user);
void ui_removals_free(UiRemovals *removals); /* NULL is fine; what is pending is forgotten now */
char *ui_removals_dup_text(const char *name); /* what is told of one thing by its name; g_free */
/* The removal is hidden already, and taken. text: what is told, no markup. */
void ui_removals_add(UiRemovals *removals, const char *text, const UiRemovalKind *kind, gpointer removal);
bool ui_removals_undo(UiRemovals *removals); /* the latest; false: there is none */

G_END_DECLS

#endif
