/* ui-toast.c: see ui-toast.h.
 *
 * A toast's own title is one line, cut off at the end, where the reason stands. It is given the height of its natural width, which must therefore be
 * one that the window has.
 */
#define G_LOG_DOMAIN "ui-toast"
#include "ui-toast.h"

enum { LINES_MAX = 8, WIDTH_CHARS_MIN = 10, WIDTH_CHARS_MAX = 50, EDGES_PX = 90, BUTTON_EDGES_PX = 70, TITLE_CHARS_MAX = 56, WORD_CHARS_MAX = 16 };

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

/* How much of the width the button takes: its label is longer in some languages than the title beside it may get. */
static int button_width(AdwToast *toast, GtkWidget *window)
{
    const char *text = adw_toast_get_button_label(toast);
    if (text == NULL) return 0;
    g_autoptr(PangoLayout) layout = gtk_widget_create_pango_layout(window, NULL);
    g_autofree char *bold = g_markup_printf_escaped("<b>%s</b>", text);
    pango_layout_set_markup_with_accel(layout, bold, -1, '_', NULL);
    int width;
    pango_layout_get_pixel_size(layout, &width, NULL);
    return width + BUTTON_EDGES_PX;
}

/* As a label counts them, in the title's bold font. */
static int char_width(GtkWidget *window)
{
    PangoContext *context = gtk_widget_get_pango_context(window);
    PangoFontDescription *font = pango_font_description_copy(pango_context_get_font_description(context));
    pango_font_description_set_weight(font, PANGO_WEIGHT_BOLD);
    PangoFontMetrics *metrics = pango_context_get_metrics(context, font, NULL);
    int width = MAX(pango_font_metrics_get_approximate_char_width(metrics), pango_font_metrics_get_approximate_digit_width(metrics));
    pango_font_metrics_unref(metrics);
    pango_font_description_free(font);
    return MAX(PANGO_PIXELS_CEIL(width), 1);
}

void ui_toast_fit(AdwToast *toast, GtkWidget *window)
{
    GtkWidget *label = adw_toast_get_custom_title(toast);
    if (label == NULL) return;
    int width = gtk_widget_get_width(window) - EDGES_PX - button_width(toast, window);
    gtk_label_set_max_width_chars(GTK_LABEL(label), CLAMP(width / char_width(window), WIDTH_CHARS_MIN, WIDTH_CHARS_MAX));
}

void ui_toast_set_words(AdwToast *toast, const char *words)
{
    gtk_label_set_label(GTK_LABEL(adw_toast_get_custom_title(toast)), words);
}

char *ui_toast_shorten(const char *title)
{
    if (g_utf8_strlen(title, -1) <= TITLE_CHARS_MAX) return g_strdup(title);
    const char *end = g_utf8_offset_to_pointer(title, TITLE_CHARS_MAX - 1), *least = g_utf8_offset_to_pointer(title, TITLE_CHARS_MAX - WORD_CHARS_MAX);
    const char *space = g_strrstr_len(least, end - least, " ");
    return g_strdup_printf("%.*s…", (int)((space != NULL ? space : end) - title), title);
}
