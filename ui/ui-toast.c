/* ui-toast.c: see ui-toast.h.
 *
 * A toast's own title is one line, cut off at the end, where the reason stands. It is given the height of its natural width, which must therefore be
 * one that the window has.
 */
#define G_LOG_DOMAIN "ui-toast"
#include "ui-toast.h"

enum { LINES_MAX = 8, WIDTH_CHARS_MIN = 12, WIDTH_CHARS_MAX = 50, CHAR_PX = 9, EDGES_PX = 90, BUTTON_PX = 108 };

AdwToast *ui_toast_new(const char *words)
{
    GtkWidget *label = gtk_label_new(words);
    gtk_label_set_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_lines(GTK_LABEL(label), LINES_MAX);
    gtk_label_set_ellipsize(GTK_LABEL(label), PANGO_ELLIPSIZE_END);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_widget_add_css_class(label, "heading");
    AdwToast *toast = adw_toast_new("");
    adw_toast_set_custom_title(toast, label);
    return toast;
}

void ui_toast_fit(AdwToast *toast, GtkWidget *window)
{
    GtkWidget *label = adw_toast_get_custom_title(toast);
    if (label == NULL) return;
    int width = gtk_widget_get_width(window) - EDGES_PX - (adw_toast_get_button_label(toast) != NULL ? BUTTON_PX : 0);
    gtk_label_set_max_width_chars(GTK_LABEL(label), CLAMP(width / CHAR_PX, WIDTH_CHARS_MIN, WIDTH_CHARS_MAX));
}

void ui_toast_set_words(AdwToast *toast, const char *words)
{
    gtk_label_set_label(GTK_LABEL(adw_toast_get_custom_title(toast)), words);
}
