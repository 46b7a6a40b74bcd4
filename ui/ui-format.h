/* ui-format.h: numbers as people read them, in their language.
 *
 * Owns: counts with separators, sizes, durations. All results are freed with g_free.
 */
#ifndef UI_FORMAT_H
#define UI_FORMAT_H

#include <glib.h>
#include <stdint.h>

G_BEGIN_DECLS

char *ui_format_count(uint64_t count);      /* 43,854 with the locale's separator */
char *ui_format_tokens(uint64_t n_tokens);  /* 43,854 tokens */
char *ui_format_pages(uint32_t n_pages);    /* 12 pages */
char *ui_format_bytes(uint64_t n_bytes);    /* 130.1 MB */
char *ui_format_duration(double seconds);   /* "5 seconds", "4 minutes", "2 hours 10 minutes": rounded up */
char *ui_format_moment(int64_t time_s);      /* "24 November 2026, 14:05" */
char *ui_format_day(int64_t time_s);        /* "14:05", "Yesterday", "Tuesday", "3 May", "3 May 2024" */

G_END_DECLS

#endif
