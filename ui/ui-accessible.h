/* ui-accessible.h: names for what GTK 4.8 and libadwaita 1.2 put into windows without one, so that a screen reader says its class at best.
 *
 * Does not own: the names of what is made here; those stand where it is made.
 */
#ifndef UI_ACCESSIBLE_H
#define UI_ACCESSIBLE_H

#include <adwaita.h>

/* Buttons that close something, others by their words, lists by their first words: in and below a widget that is not of this program's making. */
void ui_accessible_name_foreign(GtkWidget *root);
/* The buttons that close the toasts of a window, now and later. */
void ui_accessible_name_toasts(GtkWidget *root);
/* A row that opens, with the lists it is made of. */
void ui_accessible_name_expander(AdwExpanderRow *row, const char *name);

#endif
