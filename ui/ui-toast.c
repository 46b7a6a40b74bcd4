/* ui-toast.c: see ui-toast.h.
 *
 * A toast's own title is one line, cut off at the end, where the reason stands. It is given the height of its natural width: that must be one
 * that the narrowest window has, 360 px.
 */
#define G_LOG_DOMAIN "ui-toast"
#include "ui-toast.h"

enum { LINES_MAX = 8, WIDTH_CHARS = 30 };

AdwToast *ui_toast_new(const char *words)
{
    GtkWidget *label = gtk_label_new(words);
    gtk_label_set_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_max_width_chars(GTK_LABEL(label), WIDTH_CHARS);
    gtk_label_set_lines(GTK_LABEL(label), LINES_MAX);
    gtk_label_set_ellipsize(GTK_LABEL(label), PANGO_ELLIPSIZE_END);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_widget_add_css_class(label, "heading");
    AdwToast *toast = adw_toast_new("");
    adw_toast_set_custom_title(toast, label);
    return toast;
}
