/* ui-toast.h: a toast that shows all of its words, as reasons are longer than a line.
 *
 * Does not own: where it is shown, for how long.
 */
#ifndef UI_TOAST_H
#define UI_TOAST_H

#include <adwaita.h>

G_BEGIN_DECLS

AdwToast *ui_toast_new(const char *words); /* no markup */
void ui_toast_fit(AdwToast *toast, GtkWidget *window); /* before it is shown there, when it has its button */
void ui_toast_set_words(AdwToast *toast, const char *words); /* of one that ui_toast_new made, also while it is shown */
char *ui_toast_shorten(const char *title); /* for words that end behind it and must be seen; g_free */

G_END_DECLS

#endif
