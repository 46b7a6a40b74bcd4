/* ui-strip.h: a narrow picture of the whole document beside its text: where the model looked for an answer.
 *
 * Owns: drawing how strongly each part was looked at, what is in sight and the cited passage; clicks and keys on it. Does not own: what
 *       the places are called.
 *
 * It is a hint, not evidence, and says so. From top to bottom are the bytes of the document's text. It hides itself while it has nothing to
 * show. With the keyboard: Up and Down go by a step, Page Up and Page Down to the next place that was looked at, Home and End to the
 * strongest first and back, Return opens.
 *
 * Signals: "activated" (guint64 byte): a place was chosen.
 */
#ifndef UI_STRIP_H
#define UI_STRIP_H

#include <gtk/gtk.h>
#include <stdbool.h>

#include "ui-document.h"

G_BEGIN_DECLS

#define UI_TYPE_STRIP (ui_strip_get_type())
G_DECLARE_FINAL_TYPE(UiStrip, ui_strip, UI, STRIP, GtkWidget)

typedef struct UiLook { /* a part of the text and the attention mass on it */
    double start, end; /* bytes */
    float mass;
} UiLook;

/* looks: UiLook, copied; in any order. NULL or none: the strip hides. */
void ui_strip_set_looks(UiStrip *strip, const GArray *looks, uint64_t n_bytes);
void ui_strip_set_visible_range(UiStrip *strip, uint64_t start, uint64_t end);
void ui_strip_set_passage(UiStrip *strip, const UiRange *passage); /* NULL: none */
/* Names a place for tooltips and screen readers: "Page 12 · Item 7"; free with g_free. */
typedef char *(*UiStripNameFn)(gpointer user, uint64_t byte);
void ui_strip_set_name_func(UiStrip *strip, UiStripNameFn name, gpointer user);
/* For tests: the height of a byte in the widget. */
double ui_strip_get_y(UiStrip *strip, uint64_t byte);

G_END_DECLS

#endif
