/* ui-toast.h: a toast that shows all of its words, as reasons are longer than a line.
 *
 * Does not own: where it is shown, for how long.
 */
#ifndef UI_TOAST_H
#define UI_TOAST_H

#include <adwaita.h>

G_BEGIN_DECLS

AdwToast *ui_toast_new(const char *words); /* no markup */

G_END_DECLS

#endif
