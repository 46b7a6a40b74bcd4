/* ui-format.c: see ui-format.h. */
#define G_LOG_DOMAIN "ui-format"
#include "ui-format.h"

#include <glib/gi18n.h>
#include <math.h>

char *ui_format_count(uint64_t count)
{
    return g_strdup_printf("%'" G_GUINT64_FORMAT, count);
}

char *ui_format_tokens(uint64_t n_tokens)
{
    g_autofree char *count = ui_format_count(n_tokens);
    return g_strdup_printf(ngettext("%s token", "%s tokens", (unsigned long)n_tokens), count);
}

char *ui_format_pages(uint32_t n_pages)
{
    g_autofree char *count = ui_format_count(n_pages);
    return g_strdup_printf(ngettext("%s page", "%s pages", n_pages), count);
}

char *ui_format_bytes(uint64_t n_bytes)
{
    return g_format_size(n_bytes);
}

char *ui_format_duration(double seconds)
{
    unsigned long whole = (unsigned long)fmax(ceil(seconds), 1);
    if (whole < 60) return g_strdup_printf(ngettext("%lu second", "%lu seconds", whole), whole);
    unsigned long minutes = (whole + 30) / 60;
    if (minutes < 60) return g_strdup_printf(ngettext("%lu minute", "%lu minutes", minutes), minutes);
    unsigned long hours = minutes / 60;
    minutes %= 60;
    g_autofree char *whole_hours = g_strdup_printf(ngettext("%lu hour", "%lu hours", hours), hours);
    if (minutes == 0) return g_steal_pointer(&whole_hours);
    g_autofree char *rest = g_strdup_printf(ngettext("%lu minute", "%lu minutes", minutes), minutes);
    /* Translators: a duration: hours, then minutes */
    return g_strdup_printf(C_("duration", "%s %s"), whole_hours, rest);
}

char *ui_format_day(int64_t time_s)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(time_s);
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    if (time == NULL) return g_strdup("");
    g_autoptr(GDateTime) today = g_date_time_new_local(g_date_time_get_year(now), g_date_time_get_month(now), g_date_time_get_day_of_month(now), 0, 0, 0);
    GTimeSpan ago = g_date_time_difference(today, time);
    if (ago <= 0) return g_date_time_format(time, "%H:%M");
    if (ago <= G_TIME_SPAN_DAY) return g_strdup(_("Yesterday"));
    if (ago <= 6 * G_TIME_SPAN_DAY) return g_date_time_format(time, "%A");
    /* Translators: dates as g_date_time_format makes them: this year, and earlier */
    return g_date_time_format(time, g_date_time_get_year(time) == g_date_time_get_year(now) ? _("%-d %B") : _("%-d %B %Y"));
}

char *ui_format_moment(int64_t time_s)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(time_s);
    /* Translators: a day and a time as g_date_time_format makes them */
    return time != NULL ? g_date_time_format(time, _("%-d %B %Y, %H:%M")) : g_strdup("");
}
