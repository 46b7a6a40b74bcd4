/* app-library-parts.c: what a document is made of besides its text: pages, headings, tables, sections.
 *
 * Owns: their rows. Does not own: how texts are cut (app-sections.c), what is cached (engine/).
 */
#include <glib/gi18n.h>
#include <inttypes.h>
#include <string.h>

#include "app-library-internal.h"

void app_page_free(AppPage *page)
{
    if (page == NULL) return;
    g_free(page->label);
    g_free(page);
}

void app_heading_free(AppHeading *heading)
{
    if (heading == NULL) return;
    g_free(heading->text);
    g_free(heading);
}

void app_section_free(AppSection *section)
{
    if (section == NULL) return;
    g_free(section->head);
    g_free(section);
}

static gpointer read_page(sqlite3_stmt *row)
{
    AppPage *page = g_new0(AppPage, 1);
    page->index = (uint32_t)sqlite3_column_int64(row, 0);
    page->label = app_db_dup_text(row, 1);
    page->start = (uint64_t)sqlite3_column_int64(row, 2);
    page->end = (uint64_t)sqlite3_column_int64(row, 3);
    page->width = (float)sqlite3_column_double(row, 4);
    page->height = (float)sqlite3_column_double(row, 5);
    return page;
}

static gpointer read_heading(sqlite3_stmt *row)
{
    AppHeading *heading = g_new0(AppHeading, 1);
    heading->level = (uint32_t)sqlite3_column_int64(row, 0);
    heading->text = app_db_dup_text(row, 1);
    heading->start = (uint64_t)sqlite3_column_int64(row, 2);
    return heading;
}

static uint32_t read_page_number(sqlite3_stmt *row, int column)
{
    return sqlite3_column_type(row, column) == SQLITE_NULL ? UINT32_MAX : (uint32_t)sqlite3_column_int64(row, column);
}

static gpointer read_section(sqlite3_stmt *row)
{
    AppSection *section = g_new0(AppSection, 1);
    section->ordinal = (uint32_t)sqlite3_column_int64(row, 0);
    section->head = app_db_dup_text(row, 1);
    section->start = (uint64_t)sqlite3_column_int64(row, 2);
    section->end = (uint64_t)sqlite3_column_int64(row, 3);
    section->char_start = (uint64_t)sqlite3_column_int64(row, 4);
    section->char_end = (uint64_t)sqlite3_column_int64(row, 5);
    section->page_first = read_page_number(row, 6);
    section->page_last = read_page_number(row, 7);
    section->n_tokens = (uint32_t)sqlite3_column_int64(row, 8);
    section->n_head_tokens_hint = (uint32_t)sqlite3_column_int64(row, 9);
    section->is_read = sqlite3_column_int(row, 10) != 0;
    const void *digest = sqlite3_column_blob(row, 11);
    if (sqlite3_column_bytes(row, 11) == (int)sizeof section->ids_digest) memcpy(section->ids_digest, digest, sizeof section->ids_digest);
    return section;
}

/* All rows of a list; the statement's binding is the document and, when not NULL, a rule. */
static GPtrArray *list_rows(AppLibrary *library, const char *sql, int64_t document, const char *rule, gpointer (*read)(sqlite3_stmt *),
                            GDestroyNotify destroy, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    GPtrArray *list = g_ptr_array_new_with_free_func(destroy);
    sqlite3_stmt *rows = rule != NULL ? app_db_query(db, error, sql, "it", document, rule) : app_db_query(db, error, sql, "i", document);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) g_ptr_array_add(list, read(rows));
    app_library_end_read(library, db);
    if (row == 0) return list;
    g_ptr_array_unref(list);
    return NULL;
}

GPtrArray *app_library_list_pages(AppLibrary *library, int64_t document, GError **error)
{
    return list_rows(library, "SELECT idx, label, start, end, width, height FROM pages WHERE document=? ORDER BY idx", document, NULL, read_page,
                     (GDestroyNotify)app_page_free, error);
}

GPtrArray *app_library_list_headings(AppLibrary *library, int64_t document, GError **error)
{
    return list_rows(library, "SELECT level, text, start FROM headings WHERE document=? ORDER BY idx", document, NULL, read_heading,
                     (GDestroyNotify)app_heading_free, error);
}

#define SECTION_COLUMNS                                                                                                                    \
    "SELECT ordinal, head, start, end, char_start, char_end, page_first, page_last, n_tokens, n_head_tokens, is_read, digest FROM sections"

GPtrArray *app_library_list_sections(AppLibrary *library, int64_t document, const char *rule, GError **error)
{
    const char *sql = rule != NULL ? SECTION_COLUMNS " WHERE document=? AND rule=? ORDER BY ordinal"
                                   : SECTION_COLUMNS " WHERE document=?1 AND rule=(SELECT rule FROM documents WHERE id=?1) ORDER BY ordinal";
    return list_rows(library, sql, document, rule, read_section, (GDestroyNotify)app_section_free, error);
}

uint32_t *app_library_get_section_ids(AppLibrary *library, int64_t document, const char *rule, uint32_t ordinal, uint32_t *ret_n_tokens,
                                      GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    uint32_t *ids = NULL;
    sqlite3_stmt *row = app_db_query(db, error,
                                     "SELECT ids FROM sections WHERE document=?1 AND ordinal=?2 AND"
                                     " rule=ifnull(?3, (SELECT rule FROM documents WHERE id=?1))",
                                     "iit", document, (int64_t)ordinal, rule);
    int found = row != NULL ? app_db_step(db, row, error) : -1;
    if (found > 0) {
        size_t n_bytes = (size_t)sqlite3_column_bytes(row, 0);
        ids = g_malloc(MAX(n_bytes, sizeof *ids));
        if (n_bytes > 0) memcpy(ids, sqlite3_column_blob(row, 0), n_bytes);
        *ret_n_tokens = (uint32_t)(n_bytes / sizeof *ids);
        sqlite3_reset(row);
    }
    app_library_end_read(library, db);
    if (found == 0) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND, _("Document %" PRId64 " has no section %u"), document,
                    ordinal);
    }
    return ids;
}

static bool put_section(AppDb *db, int64_t document, const char *rule, const AppSectionRow *row, GError **error)
{
    const AppSection *section = &row->section;
    bool has_pages = section->page_first != UINT32_MAX;
    return app_db_run(db, error,
                      "INSERT INTO sections(document, rule, ordinal, start, end, char_start, char_end, page_first, page_last, n_tokens,"
                      " n_head_tokens, is_read, digest, head, ids) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, iif(?15, ?8, NULL), iif(?15, ?9, NULL),"
                      " ?10, ?11, 0, ?12, ?13, ?14)",
                      "itiiiiiiiiibtbi", document, rule, (int64_t)section->ordinal, (int64_t)section->start, (int64_t)section->end,
                      (int64_t)section->char_start, (int64_t)section->char_end, (int64_t)section->page_first, (int64_t)section->page_last,
                      (int64_t)section->n_tokens, (int64_t)section->n_head_tokens_hint, (const void *)section->ids_digest,
                      sizeof section->ids_digest, section->head, (const void *)row->ids, (size_t)section->n_tokens * sizeof *row->ids,
                      (int64_t)has_pages);
}

bool app_library_put_sections(AppLibrary *library, int64_t document, const char *rule, const AppSectionRow *rows, size_t n_rows,
                              bool is_first, bool is_last, GError **error)
{
    /* Under a name that no reader asks for until all are there. */
    g_autofree char *unfinished = g_strconcat("unfinished ", rule, NULL);
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    bool ok = !is_first || app_db_run(db, error, "DELETE FROM sections WHERE document=?1 AND rule IN (?2, ?3)", "itt", document, rule, unfinished);
    for (size_t i = 0; ok && i < n_rows; i++) ok = put_section(db, document, unfinished, &rows[i], error);
    if (ok && is_last) {
        ok = app_db_run(db, error, "UPDATE sections SET rule=?3 WHERE document=?1 AND rule=?2", "itt", document, unfinished, rule) &&
             app_db_run(db, error, "UPDATE documents SET rule=? WHERE id=?", "ti", rule, document);
    }
    return app_library_end_write(library, db, ok, is_last ? document : -1, error);
}

bool app_library_has_sections(AppLibrary *library, int64_t document, const char *rule, bool *ret_has, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return false;
    int64_t has = 0;
    bool ok = app_db_get_int(db, error, 0, &has, "SELECT 1 FROM sections WHERE document=? AND rule=? LIMIT 1", "it", document, rule);
    app_library_end_read(library, db);
    *ret_has = has != 0;
    return ok;
}

bool app_library_mark_sections(AppLibrary *library, int64_t document, const char *rule, const uint32_t *ordinals, size_t n, bool is_read,
                               GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        ok = app_db_run(db, error, "UPDATE sections SET is_read=? WHERE document=? AND rule=? AND ordinal=?", "iiti", (int64_t)is_read,
                        document, rule, (int64_t)ordinals[i]);
    }
    return app_library_end_write(library, db, ok, document, error);
}

GArray *app_library_list_tables(AppLibrary *library, int64_t document, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    GArray *tables = g_array_new(FALSE, FALSE, sizeof(AppTableRange));
    sqlite3_stmt *rows = app_db_query(db, error, "SELECT start, end, n_head_lines FROM tables WHERE document=? ORDER BY idx", "i", document);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        AppTableRange table = {(uint64_t)sqlite3_column_int64(rows, 0), (uint64_t)sqlite3_column_int64(rows, 1),
                               (uint32_t)sqlite3_column_int64(rows, 2)};
        g_array_append_val(tables, table);
    }
    app_library_end_read(library, db);
    if (row == 0) return tables;
    g_array_unref(tables);
    return NULL;
}

static void clear_mark(gpointer data)
{
    g_free(((AppHeadingMark *)data)->text);
}

GArray *app_library_list_heading_marks(AppLibrary *library, int64_t document, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    GArray *marks = g_array_new(FALSE, FALSE, sizeof(AppHeadingMark));
    g_array_set_clear_func(marks, clear_mark);
    sqlite3_stmt *rows = app_db_query(db, error, "SELECT start, end, level, is_chapter, text FROM headings WHERE document=? ORDER BY idx", "i",
                                      document);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        AppHeadingMark mark = {(uint64_t)sqlite3_column_int64(rows, 0), (uint64_t)sqlite3_column_int64(rows, 1),
                               (uint32_t)sqlite3_column_int64(rows, 2), sqlite3_column_int(rows, 3) != 0, app_db_dup_text(rows, 4)};
        g_array_append_val(marks, mark);
    }
    app_library_end_read(library, db);
    if (row == 0) return marks;
    g_array_unref(marks);
    return NULL;
}
