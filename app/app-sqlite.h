/* app-sqlite.h: the little that app/ needs around SQLite: a connection with kept statements, binding by a format, GError.
 *
 * Owns: one connection and its prepared statements. One thread at a time.
 * Does not own: schema, transactions' meaning, who may write (app-library.c).
 */
#ifndef APP_SQLITE_H
#define APP_SQLITE_H

#include <glib.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct AppDb AppDb;

/* Opens or makes `path` with WAL, foreign keys on, a busy time of a minute. */
AppDb *app_db_open(const char *path, bool read_only, GError **error);
void app_db_close(AppDb *db);
sqlite3 *app_db_handle(AppDb *db);

bool app_db_exec(AppDb *db, const char *sql, GError **error);

/* Prepares `sql` (a literal: statements are kept by its address), reset and bound by `types`, one character an argument:
 * i int64_t, d double, t const char * (NULL: null), b const void * and size_t, n nothing (null). Texts and blobs are copied.
 * The statement stays the connection's. NULL on failure. */
sqlite3_stmt *app_db_query(AppDb *db, GError **error, const char *sql, const char *types, ...);
/* 1 a row, 0 no more (the statement is reset), -1 failure. */
int app_db_step(AppDb *db, sqlite3_stmt *statement, GError **error);
/* Query and steps to the end. */
bool app_db_run(AppDb *db, GError **error, const char *sql, const char *types, ...);
/* First column of the first row as an integer; `fallback` when there is no row or it is null. False on failure. */
bool app_db_get_int(AppDb *db, GError **error, int64_t fallback, int64_t *ret_value, const char *sql, const char *types, ...);

void app_db_set_error(AppDb *db, GError **error);
/* Column as an owned string; "" for null. */
char *app_db_dup_text(sqlite3_stmt *statement, int column);

#endif
