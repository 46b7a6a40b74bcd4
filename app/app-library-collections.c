/* app-library-collections.c: collections of documents.
 *
 * Owns: their rows and members. Does not own: documents.
 */
#include <glib/gi18n.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app-library-internal.h"

void app_collection_free(AppCollection *collection)
{
    if (collection == NULL) return;
    g_free(collection->name);
    g_free(collection);
}

static GPtrArray *list_collections(AppLibrary *library, int64_t document, const int64_t *gone, size_t n_gone, GError **error)
{
    g_autofree char *json = app_library_make_json(gone, n_gone);
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)app_collection_free);
    sqlite3_stmt *rows =
        app_db_query(db, error,
                     "SELECT c.id, c.name, count(DISTINCT d.id), coalesce(sum(s.n_tokens), 0) FROM collections c"
                     " LEFT JOIN collection_documents m ON m.collection=c.id LEFT JOIN documents d ON d.id=m.document AND d.importer=''"
                     " AND d.id NOT IN (SELECT value FROM json_each(?2))"
                     " LEFT JOIN sections s ON s.document=d.id AND s.rule=d.rule"
                     " WHERE ?1=0 OR c.id IN (SELECT collection FROM collection_documents WHERE document=?1)"
                     " GROUP BY c.id ORDER BY c.name COLLATE NOCASE",
                     "it", document, json);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        AppCollection *collection = g_new0(AppCollection, 1);
        collection->id = sqlite3_column_int64(rows, 0);
        collection->name = app_db_dup_text(rows, 1);
        collection->n_documents = (uint32_t)sqlite3_column_int64(rows, 2);
        collection->n_tokens = (uint64_t)sqlite3_column_int64(rows, 3);
        g_ptr_array_add(list, collection);
    }
    app_library_end_read(library, db);
    if (row == 0) return list;
    g_ptr_array_unref(list);
    return NULL;
}

GPtrArray *app_library_list_collections(AppLibrary *library, GError **error)
{
    return list_collections(library, 0, NULL, 0, error);
}

GPtrArray *app_library_list_collections_without(AppLibrary *library, const int64_t *gone, size_t n_gone, GError **error)
{
    return list_collections(library, 0, gone, n_gone, error);
}

GPtrArray *app_library_list_collections_of(AppLibrary *library, int64_t document, GError **error)
{
    return list_collections(library, document, NULL, 0, error);
}

static bool name_is_good(const char *name, GError **error)
{
    if (name != NULL && name[0] != '\0' && g_utf8_validate(name, -1, NULL) && strpbrk(name, "\r\n") == NULL) return true;
    g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, _("A collection's name is one line of text"));
    return false;
}

int64_t app_library_add_collection(AppLibrary *library, const char *name, GError **error)
{
    if (!name_is_good(name, error)) return -1;
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return -1;
    int64_t id = -1;
    bool ok = app_db_run(db, error, "INSERT OR IGNORE INTO collections(name) VALUES(?)", "t", name) &&
              app_db_get_int(db, error, -1, &id, "SELECT id FROM collections WHERE name=?", "t", name);
    return app_library_end_write(library, db, ok, 0, error) ? id : -1;
}

int64_t app_library_resolve_collection(AppLibrary *library, const char *name, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return -1;
    int64_t id = -1;
    bool ok = app_db_get_int(db, error, -1, &id, "SELECT id FROM collections WHERE name=?", "t", name);
    if (ok && id < 0 && name[0] != '\0' && strspn(name, "0123456789") == strlen(name) && strlen(name) < 18) {
        ok = app_db_get_int(db, error, -1, &id, "SELECT id FROM collections WHERE id=?", "i", g_ascii_strtoll(name, NULL, 10));
    }
    app_library_end_read(library, db);
    if (ok && id < 0) g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND, _("There is no collection “%s”"), name);
    return ok ? id : -1;
}

/* One write that must touch at least `n_least` rows. */
static bool change(AppLibrary *library, const char *sql, const char *types, int64_t first, int64_t second, const char *name, int n_least,
                   GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    bool ok = name != NULL ? app_db_run(db, error, sql, types, name, first) : app_db_run(db, error, sql, types, first, second);
    if (ok && sqlite3_changes(app_db_handle(db)) < n_least) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND, _("There is no collection with number %" PRId64), first);
        ok = false;
    }
    return app_library_end_write(library, db, ok, 0, error);
}

bool app_library_rename_collection(AppLibrary *library, int64_t id, const char *name, GError **error)
{
    return name_is_good(name, error) && change(library, "UPDATE collections SET name=? WHERE id=?", "ti", id, 0, name, 1, error);
}

bool app_library_remove_collection(AppLibrary *library, int64_t id, GError **error)
{
    return change(library, "DELETE FROM collections WHERE id=?", "i", id, 0, NULL, 1, error);
}

bool app_library_collection_add(AppLibrary *library, int64_t id, int64_t document, GError **error)
{
    return change(library, "INSERT OR IGNORE INTO collection_documents(collection, document) VALUES(?, ?)", "ii", id, document, NULL, 0, error);
}

bool app_library_collection_remove(AppLibrary *library, int64_t id, int64_t document, GError **error)
{
    return change(library, "DELETE FROM collection_documents WHERE collection=? AND document=?", "ii", id, document, NULL, 0, error);
}
