/* app-sqlite.c: see app-sqlite.h. */
#include "app-sqlite.h"

#include <glib/gi18n.h>
#include <stdarg.h>

#include "app-library.h"

struct AppDb {
    sqlite3 *handle;
    GHashTable *statements; /* address of the SQL text -> sqlite3_stmt */
    char *path;
};

sqlite3 *app_db_handle(AppDb *db)
{
    return db->handle;
}

void app_db_set_error(AppDb *db, GError **error)
{
    int code = sqlite3_errcode(db->handle);
    int kind = code == SQLITE_FULL ? APP_LIBRARY_ERROR_NO_SPACE : APP_LIBRARY_ERROR_FAILED;
    const char *hint = "";
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) hint = _(" (the file is damaged; restore it from a backup or move it away)");
    if (code == SQLITE_FULL) hint = _(". Free space, lower the cache's limit or remove a document");
    if (code == SQLITE_BUSY) hint = _(" (another program has held it for a minute)");
    g_set_error(error, APP_LIBRARY_ERROR, kind, _("The library “%s”: %s%s"), db->path, sqlite3_errmsg(db->handle), hint);
}

static void finalize(gpointer statement)
{
    sqlite3_finalize(statement);
}

/* vfs: NULL, SQLite's usual one. */
static bool open_with(AppDb *db, const char *vfs, bool read_only, GError **error)
{
    /* Readers open for writing too: a WAL database needs its shared-memory file, and query_only keeps them from more. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    if (sqlite3_open_v2(db->path, &db->handle, flags, vfs) != SQLITE_OK) {
        app_db_set_error(db, error);
        return false;
    }
    sqlite3_busy_timeout(db->handle, 60000);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* The log stays beside the library, empty: on a full disk it could not be made. */
    sqlite3_file_control(db->handle, NULL, SQLITE_FCNTL_PERSIST_WAL, &(int){1});
    return app_db_exec(db, "PRAGMA journal_mode=WAL; PRAGMA journal_size_limit=16777216; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
                           "PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16000; PRAGMA mmap_size=268435456;", error) &&
           (!read_only || app_db_exec(db, "PRAGMA query_only=ON;", error));
}

AppDb *app_db_open(const char *path, bool read_only, GError **error)
{
    AppDb *db = g_new0(AppDb, 1);
    db->path = g_strdup(path);
    db->statements = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, finalize);
    g_autoptr(GError) failure = NULL;
    bool ok = open_with(db, NULL, read_only, &failure);
    /* A full disk has no room for the memory that processes share: then this one has the library to itself. */
    int code = ok ? SQLITE_OK : sqlite3_extended_errcode(db->handle);
    if (code == SQLITE_IOERR_SHMSIZE || code == SQLITE_IOERR_SHMOPEN || code == SQLITE_CANTOPEN) {
        sqlite3_close(db->handle);
        g_clear_error(&failure);
        ok = open_with(db, "unix-excl", read_only, &failure);
    }
    if (ok) return db;
    g_propagate_error(error, g_steal_pointer(&failure));
    app_db_close(db);
    return NULL;
}

void app_db_close(AppDb *db)
{
    if (db == NULL) return;
    g_hash_table_destroy(db->statements);
    sqlite3_close(db->handle);
    g_free(db->path);
    g_free(db);
}

bool app_db_exec(AppDb *db, const char *sql, GError **error)
{
    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK) return true;
    app_db_set_error(db, error);
    return false;
}

static int bind_one(sqlite3_stmt *statement, int at, char type, va_list *arguments)
{
    switch (type) {
    case 'i': return sqlite3_bind_int64(statement, at, va_arg(*arguments, int64_t));
    case 'd': return sqlite3_bind_double(statement, at, va_arg(*arguments, double));
    case 't': return sqlite3_bind_text(statement, at, va_arg(*arguments, const char *), -1, SQLITE_TRANSIENT);
    case 'b': {
        const void *data = va_arg(*arguments, const void *);
        size_t n_bytes = va_arg(*arguments, size_t);
        return n_bytes == 0 ? sqlite3_bind_zeroblob(statement, at, 0) : sqlite3_bind_blob64(statement, at, data, n_bytes, SQLITE_TRANSIENT);
    }
    case 'n': return sqlite3_bind_null(statement, at);
    default: return SQLITE_MISUSE;
    }
}

static sqlite3_stmt *query_v(AppDb *db, GError **error, const char *sql, const char *types, va_list *arguments)
{
    sqlite3_stmt *statement = g_hash_table_lookup(db->statements, sql);
    if (statement == NULL) {
        if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK) {
            app_db_set_error(db, error);
            return NULL;
        }
        g_hash_table_insert(db->statements, (gpointer)sql, statement);
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    for (int i = 0; types[i] != '\0'; i++) {
        if (bind_one(statement, i + 1, types[i], arguments) != SQLITE_OK) {
            app_db_set_error(db, error);
            return NULL;
        }
    }
    return statement;
}

sqlite3_stmt *app_db_query(AppDb *db, GError **error, const char *sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    sqlite3_stmt *statement = query_v(db, error, sql, types, &arguments);
    va_end(arguments);
    return statement;
}

int app_db_step(AppDb *db, sqlite3_stmt *statement, GError **error)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) return 1;
    if (code != SQLITE_DONE) app_db_set_error(db, error);
    sqlite3_reset(statement); /* ends the read transaction that a finished statement would hold */
    return code == SQLITE_DONE ? 0 : -1;
}

bool app_db_run(AppDb *db, GError **error, const char *sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    sqlite3_stmt *statement = query_v(db, error, sql, types, &arguments);
    va_end(arguments);
    if (statement == NULL) return false;
    int row;
    do { row = app_db_step(db, statement, error); } while (row > 0);
    return row == 0;
}

bool app_db_get_int(AppDb *db, GError **error, int64_t fallback, int64_t *ret_value, const char *sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    sqlite3_stmt *statement = query_v(db, error, sql, types, &arguments);
    va_end(arguments);
    if (statement == NULL) return false;
    int row = app_db_step(db, statement, error);
    if (row < 0) return false;
    *ret_value = row > 0 && sqlite3_column_type(statement, 0) != SQLITE_NULL ? sqlite3_column_int64(statement, 0) : fallback;
    sqlite3_reset(statement);
    return true;
}

char *app_db_dup_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return g_strdup(text != NULL ? text : "");
}
