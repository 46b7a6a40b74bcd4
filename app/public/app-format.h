/* app-format.h: amounts and places as people read them, the same on the command line and in the window.
 *
 * Owns: the words. Does not own: layout. All results are freed with g_free.
 */
#ifndef APP_FORMAT_H
#define APP_FORMAT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

G_BEGIN_DECLS

char *app_format_duration(double seconds); /* "0.4 s", "12 s", "3 min 20 s", "2 h 5 min" */
char *app_format_count(uint64_t count);    /* "43,854" */
char *app_format_bytes(uint64_t n_bytes);  /* "410 MB", in powers of 1000 */
/* A snippet of a search (app-library.h) on one line: white space and control characters run together, open and close around what was
 * found. is_markup: the text is escaped for Pango; open and close are markup then. */
char *app_format_snippet(const char *snippet, const char *open, const char *close, bool is_markup);
/* What lectern-extract says, and what the library keeps as a document's note, is English: here in the reader's language, as far as it is
 * marked for that. */
char *app_format_note(const char *note);
/* A note of a format of printf (marked, untranslated) and what stands in its conversions, for app_format_note to say. */
char *app_format_make_note(const char *format, const char *const *arguments, size_t n_arguments);
/* Where a passage stands: "Title › Part › Chapter, page 12". heading: its path, which may begin with the title; page: index from 0,
 * UINT32_MAX: no pages; page_label: as printed, "" or NULL: the number. */
char *app_format_place(const char *title, const char *heading, uint32_t page, const char *page_label);

G_END_DECLS

#endif
