/* app-format.c: see app-format.h. */
#include "app-format.h"

#include <glib/gi18n.h>
#include <string.h>

#include "app-library.h"

#define SEPARATOR "\x1f" /* of the parts of a note */

char *app_format_duration(double seconds)
{
    if (!(seconds >= 0) || seconds > 1e9) return g_strdup("a long time");
    if (seconds < 10) return g_strdup_printf("%.1f s", seconds);
    uint64_t whole = (uint64_t)(seconds + 0.5);
    if (whole < 60) return g_strdup_printf("%u s", (unsigned)whole);
    if (whole < 3600) return g_strdup_printf("%u min %u s", (unsigned)(whole / 60), (unsigned)(whole % 60));
    return g_strdup_printf("%u h %u min", (unsigned)(whole / 3600), (unsigned)(whole % 3600 / 60));
}

char *app_format_count(uint64_t count)
{
    g_autofree char *digits = g_strdup_printf("%" G_GUINT64_FORMAT, count);
    size_t n = strlen(digits);
    GString *text = g_string_new(NULL);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) g_string_append_c(text, ',');
        g_string_append_c(text, digits[i]);
    }
    return g_string_free(text, FALSE);
}

char *app_format_bytes(uint64_t n_bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double value = (double)n_bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < G_N_ELEMENTS(units)) {
        value /= 1000;
        unit++;
    }
    return unit == 0 ? g_strdup_printf("%u bytes", (unsigned)n_bytes) : g_strdup_printf(value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

char *app_format_snippet(const char *snippet, const char *open, const char *close, bool is_markup)
{
    GString *text = g_string_new(NULL);
    bool is_open = false, after_space = true;
    for (const char *at = snippet; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (c == APP_SNIPPET_OPEN || c == APP_SNIPPET_CLOSE) {
            if (is_open != (c == APP_SNIPPET_OPEN)) g_string_append(text, c == APP_SNIPPET_OPEN ? open : close);
            is_open = c == APP_SNIPPET_OPEN;
            continue;
        }
        bool is_space = g_unichar_isspace(c) || g_unichar_iscntrl(c);
        if (is_space && after_space) continue;
        after_space = is_space;
        char utf8[7] = {0};
        g_unichar_to_utf8(is_space ? ' ' : c, utf8);
        g_autofree char *escaped = is_markup ? g_markup_escape_text(utf8, -1) : NULL;
        g_string_append(text, escaped != NULL ? escaped : utf8);
    }
    if (is_open) g_string_append(text, close);
    return g_string_free(text, FALSE);
}

/* NULL: it is not one of the marked texts. In those each %u stands for a number: they are put back, in their order. The text may be another
 * process's: it is no format, whatever stands in it. */
static char *translate(const char *note)
{
    g_autoptr(GString) marked = g_string_new(NULL);
    g_autoptr(GPtrArray) numbers = g_ptr_array_new_with_free_func(g_free);
    for (const char *at = note; *at != '\0';) {
        size_t n_digits = strspn(at, "0123456789");
        if (n_digits > 0) g_ptr_array_add(numbers, g_strndup(at, n_digits));
        g_string_append_len(marked, n_digits > 0 ? "%u" : at, n_digits > 0 ? 2 : 1);
        at += MAX(n_digits, 1);
    }
    const char *translation = marked->len > 0 ? gettext(marked->str) : marked->str;
    if (translation == marked->str) return NULL;
    GString *text = g_string_new(NULL);
    for (guint n = 0; *translation != '\0';) {
        bool is_number = g_str_has_prefix(translation, "%u") && n < numbers->len;
        if (is_number) g_string_append(text, numbers->pdata[n++]);
        else g_string_append_c(text, *translation);
        translation += is_number ? 2 : 1;
    }
    return g_string_free(text, FALSE);
}

char *app_format_make_note(const char *format, const char *const *arguments, size_t n_arguments)
{
    GString *note = g_string_new(format);
    g_string_append(note, SEPARATOR);
    for (size_t i = 0; i < n_arguments; i++) {
        g_autofree char *argument = g_strdelimit(g_strdup(arguments[i]), SEPARATOR, ' ');
        g_string_append_printf(note, "%s" SEPARATOR, argument);
    }
    return g_string_free(note, FALSE);
}

/* An argument that is a marked text itself, the reason of what failed, or the C library's words of it; else as it is. */
static const char *translate_argument(const char *argument)
{
    const char *text = argument[0] != '\0' ? gettext(argument) : argument;
    return text == argument && argument[0] != '\0' ? dgettext("libc", argument) : text;
}

/* A note in parts. The format is the library's, which others may write, too: it is no format to printf. "%2$s" is the second argument, any other
 * conversion the next one. */
static char *join_parts(const char *note)
{
    g_auto(GStrv) parts = g_strsplit(note, SEPARATOR, -1);
    guint n_arguments = g_strv_length(parts) - 2, next = 0; /* the format in front, nothing behind the last separator */
    GString *text = g_string_new(NULL);
    for (const char *at = parts[0][0] != '\0' ? gettext(parts[0]) : ""; *at != '\0';) {
        size_t n = strcspn(at, "%");
        g_string_append_len(text, at, (gssize)n);
        at += n;
        if (*at == '\0') break;
        if (at[1] == '%') {
            g_string_append_c(text, '%');
            at += 2;
            continue;
        }
        char *behind;
        guint64 number = g_ascii_strtoull(++at, &behind, 10);
        guint index = *behind == '$' && number > 0 ? (guint)MIN(number - 1, G_MAXUINT) : next++;
        if (index < n_arguments) g_string_append(text, translate_argument(parts[1 + index]));
        at += strcspn(at, "sdugc"); /* flags, a width and a size say nothing here */
        at += *at != '\0';
    }
    return g_string_free(text, FALSE);
}

char *app_format_note(const char *note)
{
    if (strstr(note, SEPARATOR) != NULL) return join_parts(note);
    for (const char *at = note; at != NULL;) {
        g_autofree char *translated = translate(at);
        if (translated != NULL) return g_strdup_printf("%.*s%s", (int)(at - note), note, translated);
        at = strstr(at, ": "); /* behind a file's name */
        if (at != NULL) at += 2;
    }
    return g_strdup(note);
}

char *app_format_place(const char *title, const char *heading, uint32_t page, const char *page_label)
{
    bool has_title = g_str_has_prefix(heading, title);
    GString *text = g_string_new(has_title ? heading : title);
    if (!has_title && heading[0] != '\0') g_string_append_printf(text, " › %s", heading);
    if (page != UINT32_MAX && page_label != NULL && page_label[0] != '\0') {
        g_string_append_printf(text, _(", page %s"), page_label);
    } else if (page != UINT32_MAX) {
        g_string_append_printf(text, _(", page %u"), page + 1);
    }
    return g_string_free(text, FALSE);
}
