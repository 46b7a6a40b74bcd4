/* app-library.c: the library's file, its schema, connections and watchers.
 *
 * Owns: library.sqlite (mode 0600), migrations, who may write when, telling watchers.
 * Does not own: documents (app-library-documents.c), search, collections, conversations (their own files).
 */
#include "app-library-internal.h"

#include <glib/gi18n.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app-paths.h"

G_DEFINE_QUARK(app-library-error-quark, app_library_error)

typedef struct Watch {
    unsigned id;
    AppLibraryChangedFn changed;
    void *user;
} Watch;

struct AppLibrary {
    gint n_refs;
    char *folder, *cache_folder, *path, *journal;
    GMutex write_mutex; /* guards the two below */
    AppDb *writer;
    int64_t others; /* SQLite's number of the data as the writer saw it: other connections' changes alone raise it */
    GMutex pool_mutex; /* guards `readers` */
    GPtrArray *readers;
    GRecMutex watch_mutex; /* held while watchers run, so that a removed one is surely not running */
    GArray *watches;
    unsigned last_watch;
};

/* Each step brings the library from version i to i + 1 and is never edited once released. */
static const char *const migrations[] = {
    "CREATE TABLE documents("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, title TEXT NOT NULL, head_title TEXT NOT NULL,"
    " is_renamed INTEGER NOT NULL DEFAULT 0, author TEXT NOT NULL DEFAULT '', path TEXT NOT NULL, hash TEXT NOT NULL,"
    " format TEXT NOT NULL, language TEXT NOT NULL DEFAULT '', metadata TEXT NOT NULL DEFAULT '{}',"
    " n_source_bytes INTEGER NOT NULL DEFAULT 0, modified_s INTEGER NOT NULL DEFAULT 0,"
    " n_bytes INTEGER NOT NULL DEFAULT 0, n_chars INTEGER NOT NULL DEFAULT 0, n_pages INTEGER NOT NULL DEFAULT 0,"
    " added_s INTEGER NOT NULL, updated_s INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '',"
    " rule TEXT NOT NULL DEFAULT '', model TEXT NOT NULL DEFAULT '',"
    /* '' once it is visible; while it is imported: the importing process ("pid start-time"), so that leftovers are recognised */
    " importer TEXT NOT NULL DEFAULT '');"
    "CREATE INDEX documents_path ON documents(path);"
    "CREATE INDEX documents_hash ON documents(hash);"
    "CREATE INDEX documents_title ON documents(title COLLATE NOCASE);"
    /* The text itself: consecutive pieces of about a paragraph that cover it exactly once; `heading` is the whole path. */
    "CREATE TABLE passages(id INTEGER PRIMARY KEY, document INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,"
    " char_start INTEGER NOT NULL, page INTEGER, heading TEXT NOT NULL, text TEXT NOT NULL);"
    "CREATE UNIQUE INDEX passages_place ON passages(document, start);"
    "CREATE VIRTUAL TABLE passages_fts USING fts5(heading, text, content='passages', content_rowid='id',"
    " tokenize='porter unicode61 remove_diacritics 2');"
    "CREATE TRIGGER passages_insert AFTER INSERT ON passages BEGIN"
    " INSERT INTO passages_fts(rowid, heading, text) VALUES(new.id, new.heading, new.text); END;"
    "CREATE TRIGGER passages_delete AFTER DELETE ON passages BEGIN"
    " INSERT INTO passages_fts(passages_fts, rowid, heading, text) VALUES('delete', old.id, old.heading, old.text); END;"
    "CREATE TRIGGER passages_update AFTER UPDATE OF heading, text ON passages BEGIN"
    " INSERT INTO passages_fts(passages_fts, rowid, heading, text) VALUES('delete', old.id, old.heading, old.text);"
    " INSERT INTO passages_fts(rowid, heading, text) VALUES(new.id, new.heading, new.text); END;"
    "CREATE TABLE headings(document INTEGER NOT NULL, idx INTEGER NOT NULL, level INTEGER NOT NULL, is_chapter INTEGER NOT NULL,"
    " start INTEGER NOT NULL, end INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY(document, idx)) WITHOUT ROWID;"
    "CREATE TABLE pages(document INTEGER NOT NULL, idx INTEGER NOT NULL, label TEXT NOT NULL, start INTEGER NOT NULL,"
    " end INTEGER NOT NULL, width REAL NOT NULL, height REAL NOT NULL, PRIMARY KEY(document, idx)) WITHOUT ROWID;"
    "CREATE INDEX pages_start ON pages(document, start, idx);"
    "CREATE TABLE items(document INTEGER NOT NULL, idx INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY(document, idx))"
    " WITHOUT ROWID;"
    "CREATE TABLE tables(document INTEGER NOT NULL, idx INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,"
    " n_head_lines INTEGER NOT NULL, PRIMARY KEY(document, idx)) WITHOUT ROWID;"
    /* Packed runs (app-places.h), some thousand a row, found by the first one's place. */
    "CREATE TABLE offset_runs(document INTEGER NOT NULL, first INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(document, first));"
    "CREATE TABLE box_runs(document INTEGER NOT NULL, first INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(document, first));"
    "CREATE TABLE sections(document INTEGER NOT NULL, rule TEXT NOT NULL, ordinal INTEGER NOT NULL, start INTEGER NOT NULL,"
    " end INTEGER NOT NULL, char_start INTEGER NOT NULL, char_end INTEGER NOT NULL, page_first INTEGER, page_last INTEGER,"
    " n_tokens INTEGER NOT NULL, n_head_tokens INTEGER NOT NULL, is_read INTEGER NOT NULL DEFAULT 0, digest BLOB NOT NULL,"
    " head TEXT NOT NULL, ids BLOB NOT NULL, PRIMARY KEY(document, rule, ordinal));"
    "CREATE INDEX sections_end ON sections(document, rule, end, ordinal);"
    "CREATE INDEX sections_sums ON sections(document, rule, n_tokens, is_read);"
    "CREATE TABLE collections(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE COLLATE NOCASE);"
    "CREATE TABLE collection_documents(collection INTEGER NOT NULL REFERENCES collections(id) ON DELETE CASCADE,"
    " document INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE, PRIMARY KEY(collection, document)) WITHOUT ROWID;"
    "CREATE INDEX collection_documents_document ON collection_documents(document);"
    "CREATE TABLE conversations(id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, scope TEXT NOT NULL,"
    " created_s INTEGER NOT NULL, updated_s INTEGER NOT NULL);"
    "CREATE TABLE turns(id INTEGER PRIMARY KEY AUTOINCREMENT, conversation INTEGER NOT NULL REFERENCES conversations(id)"
    " ON DELETE CASCADE, question TEXT NOT NULL, answer TEXT NOT NULL, model TEXT NOT NULL, found INTEGER NOT NULL,"
    " stats TEXT NOT NULL, created_s INTEGER NOT NULL);"
    "CREATE INDEX turns_conversation ON turns(conversation);"
    "CREATE TABLE quotations(turn INTEGER NOT NULL REFERENCES turns(id) ON DELETE CASCADE, idx INTEGER NOT NULL,"
    " document INTEGER REFERENCES documents(id) ON DELETE SET NULL, document_title TEXT NOT NULL, section INTEGER NOT NULL,"
    " text TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, char_start INTEGER NOT NULL, char_end INTEGER NOT NULL,"
    " page INTEGER, page_label TEXT NOT NULL, verified INTEGER NOT NULL, PRIMARY KEY(turn, idx)) WITHOUT ROWID;"
    "CREATE INDEX quotations_document ON quotations(document);"
    "CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
    /* Search in conversations: rowids are those of turns and of conversations; cascading deletes fire the triggers too. */
    "CREATE VIRTUAL TABLE turns_fts USING fts5(question, answer, quotations, tokenize='porter unicode61 remove_diacritics 2');"
    "CREATE VIRTUAL TABLE conversations_fts USING fts5(title, tokenize='porter unicode61 remove_diacritics 2');"
    "INSERT INTO turns_fts(rowid, question, answer, quotations) SELECT id, question, answer,"
    " ifnull((SELECT group_concat(text, char(10)) FROM quotations WHERE turn=t.id), '') FROM turns t;"
    "INSERT INTO conversations_fts(rowid, title) SELECT id, title FROM conversations;"
    "CREATE TRIGGER turns_insert AFTER INSERT ON turns BEGIN"
    " INSERT INTO turns_fts(rowid, question, answer, quotations) VALUES(new.id, new.question, new.answer, ''); END;"
    "CREATE TRIGGER turns_delete AFTER DELETE ON turns BEGIN DELETE FROM turns_fts WHERE rowid=old.id; END;"
    "CREATE TRIGGER quotations_insert AFTER INSERT ON quotations BEGIN"
    " UPDATE turns_fts SET quotations=iif(quotations='', '', quotations || char(10)) || new.text WHERE rowid=new.turn; END;"
    "CREATE TRIGGER conversations_insert AFTER INSERT ON conversations BEGIN"
    " INSERT INTO conversations_fts(rowid, title) VALUES(new.id, new.title); END;"
    "CREATE TRIGGER conversations_update AFTER UPDATE OF title ON conversations BEGIN"
    " UPDATE conversations_fts SET title=new.title WHERE rowid=new.id; END;"
    "CREATE TRIGGER conversations_delete AFTER DELETE ON conversations BEGIN"
    " DELETE FROM conversations_fts WHERE rowid=old.id; END;",
    /* Where each document was left. */
    "CREATE TABLE positions(document INTEGER PRIMARY KEY REFERENCES documents(id) ON DELETE CASCADE, start INTEGER NOT NULL,"
    " page INTEGER NOT NULL, page_y REAL NOT NULL, view INTEGER NOT NULL, text_zoom REAL NOT NULL, page_zoom REAL NOT NULL);",
};

const char *const app_library_part_tables[] = {"passages", "headings", "pages", "items", "tables", "offset_runs", "box_runs", "sections", NULL};

int64_t app_library_now(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

static bool migrate(AppDb *db, const char *path, GError **error)
{
    if (!app_db_exec(db, "BEGIN IMMEDIATE", error)) return false;
    int64_t version = 0;
    bool ok = app_db_get_int(db, error, 0, &version, "PRAGMA user_version", "");
    if (ok && version > (int64_t)G_N_ELEMENTS(migrations)) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NEWER,
                    _("The library “%s” was written by a newer version of Lectern (schema %d; this one knows %d)"), path, (int)version,
                    (int)G_N_ELEMENTS(migrations));
        ok = false;
    }
    for (int64_t i = version; ok && i < (int64_t)G_N_ELEMENTS(migrations); i++) {
        g_autofree char *mark = g_strdup_printf("PRAGMA user_version=%d", (int)i + 1);
        ok = app_db_exec(db, migrations[i], error) && app_db_exec(db, mark, error);
    }
    if (ok) ok = app_db_exec(db, "COMMIT", error);
    if (!ok) sqlite3_exec(app_db_handle(db), "ROLLBACK", NULL, NULL, NULL);
    return ok;
}

/* "pid start-time" is alive when that process still has the start time that the kernel reports. */
char *app_library_process_name(void)
{
    g_autofree char *stat = NULL;
    const char *after = g_file_get_contents("/proc/self/stat", &stat, NULL, NULL) ? strrchr(stat, ')') : NULL;
    g_auto(GStrv) fields = g_strsplit(after != NULL ? after + 1 : "", " ", -1);
    /* Field 22 of proc(5), the 20th behind the command's name. */
    return g_strdup_printf("%d %s", (int)getpid(), g_strv_length(fields) > 20 ? fields[20] : "0");
}

static bool process_is_alive(const char *name)
{
    g_auto(GStrv) parts = g_strsplit(name, " ", 2);
    if (g_strv_length(parts) != 2) return false;
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", atoi(parts[0]));
    g_autofree char *stat = NULL;
    const char *after = g_file_get_contents(path, &stat, NULL, NULL) ? strrchr(stat, ')') : NULL;
    g_auto(GStrv) fields = g_strsplit(after != NULL ? after + 1 : "", " ", -1);
    return g_strv_length(fields) > 20 && strcmp(fields[20], parts[1]) == 0;
}

/* What a killed process left half imported was never visible; it only takes room. */
static bool remove_leftovers(AppDb *db, GError **error)
{
    g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(int64_t));
    sqlite3_stmt *rows = app_db_query(db, error, "SELECT id, importer FROM documents WHERE importer <> ''", "");
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        int64_t id = sqlite3_column_int64(rows, 0);
        if (!process_is_alive((const char *)sqlite3_column_text(rows, 1))) g_array_append_val(gone, id);
    }
    bool ok = row == 0;
    for (guint i = 0; ok && i < gone->len; i++) {
        ok = app_db_exec(db, "BEGIN IMMEDIATE", error) && app_library_delete_document_rows(db, g_array_index(gone, int64_t, i), error) &&
             app_db_exec(db, "COMMIT", error);
        if (!ok) sqlite3_exec(app_db_handle(db), "ROLLBACK", NULL, NULL, NULL);
    }
    return ok;
}

AppLibrary *app_library_open(const char *folder, GError **error)
{
    AppLibrary *library = g_new0(AppLibrary, 1);
    library->n_refs = 1;
    library->folder = g_canonicalize_filename(folder != NULL ? folder : app_paths_data(), NULL);
    library->cache_folder = g_build_filename(library->folder, "cache", NULL);
    library->path = g_build_filename(library->folder, "library.sqlite", NULL);
    library->journal = g_strconcat(library->path, "-wal", NULL);
    g_mutex_init(&library->write_mutex);
    g_mutex_init(&library->pool_mutex);
    g_rec_mutex_init(&library->watch_mutex);
    library->readers = g_ptr_array_new();
    library->watches = g_array_new(FALSE, FALSE, sizeof(Watch));
    bool ok = app_paths_make_private_folder(library->folder, error) && app_paths_make_private_file(library->path, error);
    if (ok) {
        library->writer = app_db_open(library->path, false, error);
        ok = library->writer != NULL && migrate(library->writer, library->path, error) && remove_leftovers(library->writer, error);
    }
    ok = ok && app_db_get_int(library->writer, error, 0, &library->others, "PRAGMA data_version", "");
    if (ok) return library;
    app_library_unref(library);
    return NULL;
}

AppLibrary *app_library_ref(AppLibrary *library)
{
    g_atomic_int_inc(&library->n_refs);
    return library;
}

void app_library_unref(AppLibrary *library)
{
    if (library == NULL || !g_atomic_int_dec_and_test(&library->n_refs)) return;
    for (guint i = 0; i < library->readers->len; i++) app_db_close(g_ptr_array_index(library->readers, i));
    g_ptr_array_free(library->readers, TRUE);
    app_db_close(library->writer);
    g_array_free(library->watches, TRUE);
    g_mutex_clear(&library->write_mutex);
    g_mutex_clear(&library->pool_mutex);
    g_rec_mutex_clear(&library->watch_mutex);
    g_free(library->folder);
    g_free(library->cache_folder);
    g_free(library->path);
    g_free(library->journal);
    g_free(library);
}

const char *app_library_get_folder(AppLibrary *library)
{
    return library->folder;
}

const char *app_library_get_cache_folder(AppLibrary *library)
{
    return library->cache_folder;
}

AppDb *app_library_begin_read(AppLibrary *library, GError **error)
{
    g_mutex_lock(&library->pool_mutex);
    AppDb *db = library->readers->len > 0 ? g_ptr_array_remove_index(library->readers, library->readers->len - 1) : NULL;
    g_mutex_unlock(&library->pool_mutex);
    return db != NULL ? db : app_db_open(library->path, true, error);
}

void app_library_end_read(AppLibrary *library, AppDb *db)
{
    if (db == NULL) return;
    g_mutex_lock(&library->pool_mutex);
    g_ptr_array_add(library->readers, db);
    g_mutex_unlock(&library->pool_mutex);
}

AppDb *app_library_begin_write(AppLibrary *library, GError **error)
{
    g_mutex_lock(&library->write_mutex);
    if (app_db_exec(library->writer, "BEGIN IMMEDIATE", error)) return library->writer;
    g_mutex_unlock(&library->write_mutex);
    return NULL;
}

static void notify(AppLibrary *library, int64_t document)
{
    g_rec_mutex_lock(&library->watch_mutex);
    for (guint i = 0; i < library->watches->len; i++) {
        Watch watch = g_array_index(library->watches, Watch, i);
        watch.changed(watch.user, document);
    }
    g_rec_mutex_unlock(&library->watch_mutex);
}

const char *app_library_get_journal(AppLibrary *library)
{
    return library->journal;
}

void app_library_look_for_others(AppLibrary *library)
{
    g_mutex_lock(&library->write_mutex);
    int64_t before = library->others;
    bool is_known = app_db_get_int(library->writer, NULL, before, &library->others, "PRAGMA data_version", "");
    bool has_changed = is_known && library->others != before;
    g_mutex_unlock(&library->write_mutex);
    if (has_changed) notify(library, 0);
}

bool app_library_end_write(AppLibrary *library, AppDb *db, bool ok, int64_t document, GError **error)
{
    if (db == NULL) return false;
    if (ok) ok = app_db_exec(db, "COMMIT", error);
    if (!ok) sqlite3_exec(app_db_handle(db), "ROLLBACK", NULL, NULL, NULL);
    g_mutex_unlock(&library->write_mutex);
    if (ok && document >= 0) notify(library, document);
    return ok;
}

unsigned app_library_add_watch(AppLibrary *library, AppLibraryChangedFn changed, void *user)
{
    g_rec_mutex_lock(&library->watch_mutex);
    Watch watch = {++library->last_watch, changed, user};
    g_array_append_val(library->watches, watch);
    g_rec_mutex_unlock(&library->watch_mutex);
    return watch.id;
}

void app_library_remove_watch(AppLibrary *library, unsigned watch)
{
    g_rec_mutex_lock(&library->watch_mutex);
    for (guint i = 0; i < library->watches->len; i++) {
        if (g_array_index(library->watches, Watch, i).id != watch) continue;
        g_array_remove_index(library->watches, i);
        break;
    }
    g_rec_mutex_unlock(&library->watch_mutex);
}

char *app_library_get_setting(AppLibrary *library, const char *name)
{
    AppDb *db = app_library_begin_read(library, NULL);
    if (db == NULL) return NULL;
    char *value = NULL;
    sqlite3_stmt *row = app_db_query(db, NULL, "SELECT value FROM settings WHERE name=?", "t", name);
    if (row != NULL && app_db_step(db, row, NULL) > 0) {
        value = app_db_dup_text(row, 0);
        sqlite3_reset(row);
    }
    app_library_end_read(library, db);
    return value;
}

void app_library_set_setting(AppLibrary *library, const char *name, const char *value)
{
    AppDb *db = app_library_begin_write(library, NULL);
    bool ok = db != NULL && app_db_run(db, NULL, "INSERT OR REPLACE INTO settings(name, value) VALUES(?, ?)", "tt", name, value);
    app_library_end_write(library, db, ok, -1, NULL);
}
