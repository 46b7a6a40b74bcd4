/* app-library-positions.c: where each document was left by its reader.
 *
 * Owns: the rows of `positions`. Does not own: what a position looks like (ui/).
 */
#include <glib/gi18n.h>
#include <inttypes.h>
#include <math.h>

#include "app-library-internal.h"

/* What a damaged row could hold would send the window astray. */
static float sane(double value, double least, double most)
{
    return isfinite(value) ? (float)CLAMP(value, least, most) : (float)least;
}

bool app_library_get_reading_position(AppLibrary *library, int64_t document, bool *ret_known, AppReadingPosition *ret_position, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return false;
    sqlite3_stmt *row = app_db_query(db, error, "SELECT start, page, page_y, view, text_zoom, page_zoom FROM positions WHERE document=?", "i",
                                     document);
    int found = row != NULL ? app_db_step(db, row, error) : -1;
    if (found > 0) {
        ret_position->start = (uint64_t)MAX(sqlite3_column_int64(row, 0), 0);
        ret_position->page = (uint32_t)CLAMP(sqlite3_column_int64(row, 1), 0, (int64_t)UINT32_MAX);
        ret_position->page_y = sane(sqlite3_column_double(row, 2), 0, 1);
        ret_position->view = sqlite3_column_int(row, 3) == APP_VIEW_PAGES ? APP_VIEW_PAGES : APP_VIEW_TEXT;
        ret_position->text_zoom = sane(sqlite3_column_double(row, 4), 0.5, 4);
        ret_position->page_zoom = sane(sqlite3_column_double(row, 5), 0, 8);
        sqlite3_reset(row);
    }
    app_library_end_read(library, db);
    if (found >= 0) *ret_known = found > 0;
    return found >= 0;
}

bool app_library_set_reading_position(AppLibrary *library, int64_t document, const AppReadingPosition *position, GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    bool ok = app_db_run(db, error,
                         "INSERT OR REPLACE INTO positions(document, start, page, page_y, view, text_zoom, page_zoom)"
                         " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS(SELECT 1 FROM documents WHERE id=?1 AND importer='')",
                         "iiididd", document, (int64_t)position->start, (int64_t)position->page, (double)position->page_y,
                         (int64_t)position->view, (double)position->text_zoom, (double)position->page_zoom);
    if (ok && sqlite3_changes(app_db_handle(db)) == 0) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND, _("There is no document %" PRId64), document);
        ok = false;
    }
    return app_library_end_write(library, db, ok, -1, error);
}
