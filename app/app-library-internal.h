/* app-library-internal.h: the library's connections and writes, for app/'s own files.
 *
 * One connection writes, guarded by a mutex; readers take one from a pool and put it back (WAL: they are never held up).
 */
#ifndef APP_LIBRARY_INTERNAL_H
#define APP_LIBRARY_INTERNAL_H

#include "app-library.h"
#include "app-sqlite.h"

G_BEGIN_DECLS

/* A connection for reading: until app_library_end_read. NULL on failure. */
AppDb *app_library_begin_read(AppLibrary *library, GError **error);
void app_library_end_read(AppLibrary *library, AppDb *db); /* NULL is fine */

/* BEGIN IMMEDIATE on the writing connection; ends with end_write: COMMIT when ok, else ROLLBACK. Not re-entrant. */
AppDb *app_library_begin_write(AppLibrary *library, GError **error);
/* Returns ok, or false (and error) when the commit fails. document: what watchers are told (0: several, -1: nothing). */
bool app_library_end_write(AppLibrary *library, AppDb *db, bool ok, int64_t document, GError **error);

/* Sections as the cutter makes them and the reader marks them. */
typedef struct AppSectionRow {
    AppSection section;  /* head owned by the caller */
    const uint32_t *ids; /* section.n_tokens */
} AppSectionRow;
/* Adds rows (all unread) to a document's sections under `rule`, which is complete and seen by others after the call with is_last; the
 * call with is_first drops what was there. */
bool app_library_put_sections(AppLibrary *library, int64_t document, const char *rule, const AppSectionRow *rows, size_t n_rows,
                              bool is_first, bool is_last, GError **error);
bool app_library_has_sections(AppLibrary *library, int64_t document, const char *rule, bool *ret_has, GError **error);
/* Marks sections as read (or not). */
bool app_library_mark_sections(AppLibrary *library, int64_t document, const char *rule, const uint32_t *ordinals, size_t n, bool is_read,
                               GError **error);
/* The latest rule and model of a document. */
bool app_library_set_reading(AppLibrary *library, int64_t document, const char *rule, const char *model, GError **error);

/* After its cached states were deleted: no section is read, the document is new again. */
bool app_library_forget_reading(AppLibrary *library, int64_t document, GError **error);

/* The title that stands in the heads of its sections (renaming does not change it: its cached states stay valid). g_free. */
char *app_library_get_head_title(AppLibrary *library, int64_t document, GError **error);
bool app_library_set_titles(AppLibrary *library, int64_t document, const char *title, GError **error); /* both, before the first cut */

/* Numbers as a JSON array for json_each; NULL of NULL. g_free. */
char *app_library_make_json(const int64_t *numbers, size_t n_numbers);

/* The words of a search in FTS5's query language; NULL when nothing in them is a word. g_free. */
char *app_library_make_query(const AppSearch *search);

/* Whether the library holds this file, or an archive's members, as they are now, by path, size and time: no look at the bytes. Then its
 * documents are put into the collection (0: none), and `unread` (int64_t) gets those that wait for being read. */
bool app_library_knows_file(AppLibrary *library, const char *path, uint64_t n_bytes, int64_t modified_s, int64_t collection, GArray *unread);

/* Small named values of the library: measured rates. */
char *app_library_get_setting(AppLibrary *library, const char *name); /* NULL: none */
void app_library_set_setting(AppLibrary *library, const char *name, const char *value);

typedef struct AppTableRange {
    uint64_t start, end;
    uint32_t n_head_lines;
} AppTableRange;
GArray *app_library_list_tables(AppLibrary *library, int64_t document, GError **error); /* AppTableRange */
/* AppHeading with the rest that the cutter needs. */
typedef struct AppHeadingMark {
    uint64_t start, end; /* end: where the next heading begins */
    uint32_t level;      /* dense, 1 topmost */
    bool is_chapter;
    char *text;          /* owned */
} AppHeadingMark;
GArray *app_library_list_heading_marks(AppLibrary *library, int64_t document, GError **error); /* clears its texts */

/* Tables that hold parts of a document, in an order that deletes well; NULL-terminated. */
extern const char *const app_library_part_tables[];
/* In an open write: every row of a document. */
bool app_library_delete_document_rows(AppDb *db, int64_t id, GError **error);
/* Names this process in documents.importer; g_free. */
char *app_library_process_name(void);
/* Unix time now. */
int64_t app_library_now(void);

/* In an open write: passage headings begin with the title, for search; call when it changes. */
bool app_library_retitle_passages(AppDb *db, int64_t document, const char *old_title, const char *new_title, GError **error);

G_END_DECLS

#endif
