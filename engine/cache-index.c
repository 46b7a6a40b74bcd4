/* cache-index.c: the index's schema and statements.
 *
 * Owns: index.sqlite.
 * Does not own: cache files; when rows are written (cache-write.c), what to evict (cache.c).
 */
#include "cache-index.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <sqlite3.h>

enum {
    INDEX_VERSION = 1,
    INDEX_APPLICATION_ID = 0x4c4b5649, /* "LKVI" */
    INDEX_VERSION_MAX = 1000, /* beyond, it is damage, not a newer program's */
    BUSY_TIMEOUT_MS = 10000,
    SHARED_BYTES = 64 << 10, /* of index.sqlite-shm */
};

struct eng_index {
    sqlite3 *db;
    pthread_mutex_t mutex;
};

static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE pins(document TEXT PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE files(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, document TEXT NOT NULL, model_name TEXT NOT NULL,"
    " identity_digest TEXT NOT NULL, n_bytes INTEGER NOT NULL CHECK(n_bytes >= 0), created_us INTEGER NOT NULL,"
    " used_us INTEGER NOT NULL, note TEXT NOT NULL DEFAULT '');"
    "CREATE TABLE records(file_id INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE, offset INTEGER NOT NULL,"
    " n_bytes INTEGER NOT NULL, n_tokens INTEGER NOT NULL, prefix BLOB NOT NULL, ids_digest BLOB NOT NULL,"
    " dropped INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(file_id, offset)) WITHOUT ROWID;";

/* SQLite says "disk I/O error" when a full disk leaves no room for the memory that its processes share. */
static bool disk_is_full(eng_index *index)
{
    const char *path = index->db ? sqlite3_db_filename(index->db, "main") : NULL;
    struct statvfs info;
    return path && statvfs(path, &info) == 0 && info.f_bavail * info.f_frsize < SHARED_BYTES;
}

static eng_status index_fail(eng_index *index, int code, eng_error *error)
{
    const char *words = index->db ? sqlite3_errmsg(index->db) : sqlite3_errstr(code);
    if ((code & 0xff) == SQLITE_IOERR && disk_is_full(index)) code = SQLITE_FULL;
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return eng_fail(error, ENG_NO_MEMORY, "the cache's index: out of memory");
    case SQLITE_FULL:
        return eng_fail(error, ENG_NO_SPACE, "the cache's index cannot be written: the disk is full (%s). Free space, then try again", words);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return eng_fail(error, ENG_BUSY, "the cache's index is held by another process (%s)", words);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:
    case SQLITE_MISMATCH:
        return eng_fail(error, ENG_BAD_FILE, "the cache's index is damaged: %s", words);
    default:
        return eng_fail(error, ENG_IO, "the cache's index: %s", words);
    }
}

/* Types: i int64_t, t text, b 32 bytes. */
static int bind_values(sqlite3_stmt *statement, const char *types, va_list values)
{
    int code = SQLITE_OK;
    for (int i = 0; types[i] && code == SQLITE_OK; i++) {
        switch (types[i]) {
        case 'i':
            code = sqlite3_bind_int64(statement, i + 1, va_arg(values, int64_t));
            break;
        case 't':
            code = sqlite3_bind_text(statement, i + 1, va_arg(values, const char *), -1, SQLITE_TRANSIENT);
            break;
        default:
            code = sqlite3_bind_blob(statement, i + 1, va_arg(values, const void *), 32, SQLITE_TRANSIENT);
            break;
        }
    }
    return code;
}

/* Runs one statement that returns nothing, or one integer into ret_value (untouched when there is no row). */
static int run(eng_index *index, int64_t *ret_value, const char *sql, const char *types, ...)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(index->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        va_list values;
        va_start(values, types);
        code = bind_values(statement, types, values);
        va_end(values);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW) {
            if (ret_value) *ret_value = sqlite3_column_int64(statement, 0);
            code = SQLITE_OK;
        } else if (code == SQLITE_DONE) {
            code = SQLITE_OK;
        }
    }
    int final = sqlite3_finalize(statement);
    return code != SQLITE_OK ? code : final;
}

static int begin(eng_index *index)
{
    pthread_mutex_lock(&index->mutex);
    return sqlite3_exec(index->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
}

/* Ends what begin began, also when that failed, and unlocks. The message is taken before the rollback changes it. */
static eng_status finish(eng_index *index, int code, eng_error *error)
{
    eng_status status = ENG_OK;
    if (code == SQLITE_OK) code = sqlite3_exec(index->db, "COMMIT", NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        status = index_fail(index, code, error);
        if (!sqlite3_get_autocommit(index->db)) sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL);
    }
    pthread_mutex_unlock(&index->mutex);
    return status;
}

static eng_status unlock(eng_index *index, int code, eng_error *error)
{
    eng_status status = code == SQLITE_OK ? ENG_OK : index_fail(index, code, error);
    pthread_mutex_unlock(&index->mutex);
    return status;
}

static void set_defences(sqlite3 *db)
{
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
}

/* A damaged first page that says so makes SQLite open the index for reading only, now at the first statement, now later; so does a failed open,
 * which damages nothing. Read through SQLite's own file: closing another descriptor of it would give up this process's locks (POSIX). */
static bool says_newer_sqlite(eng_index *index)
{
    enum { WRITE_VERSION_AT = 18, WRITE_VERSION_MAX = 2 };
    uint8_t version = 0;
    sqlite3_file *file = NULL;
    if (!index->db || sqlite3_db_readonly(index->db, "main") != 1) return false; /* without memory SQLite opens nothing at all */
    return sqlite3_file_control(index->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file && file->pMethods &&
           file->pMethods->xRead(file, &version, 1, WRITE_VERSION_AT) == SQLITE_OK && version > WRITE_VERSION_MAX;
}

/* Everything that later statements rely on is there, and nothing else: found out once, here. */
static eng_status check_schema(eng_index *index, eng_error *error)
{
    int64_t is_same = 0, application = 0, n_damaged = 0;
    int code = run(index, &is_same,
                   "SELECT (SELECT group_concat(sql, '') FROM (SELECT sql || ';' AS sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid)) IS ?1",
                   "t", schema);
    if (code == SQLITE_OK) code = run(index, &application, "PRAGMA application_id", "");
    /* Damaged pages too, and lookup tables that lack a row: found later, at a row that is needed, they would stand in the way at every start,
     * and of making the index anew. A page that cannot be read for the moment is told like a damaged one: only what is found twice is damage. */
    for (int i = 0; i < 2 && code == SQLITE_OK && (i == 0 || n_damaged != 0); i++)
        code = run(index, &n_damaged, "SELECT count(*) FROM pragma_integrity_check(1) WHERE integrity_check <> 'ok'", "");
    if (code != SQLITE_OK) return index_fail(index, code, error);
    if (n_damaged != 0) return eng_fail(error, ENG_BAD_FILE, "the cache's index is damaged");
    if (!is_same || application != INDEX_APPLICATION_ID) return eng_fail(error, ENG_BAD_FILE, "the cache's index is not one of Lectern's");
    return ENG_OK;
}

static eng_status create_schema(eng_index *index, eng_error *error)
{
    int64_t version = 0;
    int code = begin(index);
    if (code == SQLITE_OK) code = run(index, &version, "PRAGMA user_version", "");
    if (code == SQLITE_OK && version == 0) {
        char pragmas[96];
        snprintf(pragmas, sizeof pragmas, "PRAGMA user_version = %d; PRAGMA application_id = %d;", INDEX_VERSION, INDEX_APPLICATION_ID);
        code = sqlite3_exec(index->db, schema, NULL, NULL, NULL);
        if (code == SQLITE_OK) code = sqlite3_exec(index->db, pragmas, NULL, NULL, NULL);
        version = INDEX_VERSION;
    }
    eng_status status = finish(index, code, error);
    if (status != ENG_OK) return status;
    if (version != INDEX_VERSION) {
        return eng_fail(error, version > INDEX_VERSION && version <= INDEX_VERSION_MAX ? ENG_UNSUPPORTED : ENG_BAD_FILE,
                        "the cache's index has version %lld, this program knows version %d", (long long)version, INDEX_VERSION);
    }
    return check_schema(index, error);
}

/* The file is made here, so that SQLite gives it and its companions these permissions whatever the umask is. One that is there is not opened:
 * closing it again would give up the locks that this process holds on it by another connection (POSIX). */
static eng_status create_file(const char *path, eng_error *error)
{
    struct stat info;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno != EEXIST) return eng_fail(error, errno == ENOSPC ? ENG_NO_SPACE : ENG_IO, "cannot open %s: %s", path, eng_errno_text(errno));
    if (fd >= 0) close(fd);
    if (lstat(path, &info) != 0) return eng_fail(error, ENG_IO, "cannot open %s: %s", path, eng_errno_text(errno));
    if (!S_ISREG(info.st_mode)) return eng_fail(error, ENG_IO, "cannot open %s: it is not a regular file", path);
    if ((info.st_mode & 0777) != 0600 && chmod(path, 0600) != 0) return eng_fail(error, ENG_IO, "cannot make %s private: %s", path, eng_errno_text(errno));
    return ENG_OK;
}

/* vfs: NULL, SQLite's usual one. */
static int open_with(eng_index *index, const char *path, const char *vfs)
{
    int code = sqlite3_open_v2(path, &index->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs);
    if (code != SQLITE_OK) return code;
    set_defences(index->db);
    /* The log stays beside the index, empty: on a full disk it could not be made. */
    sqlite3_file_control(index->db, NULL, SQLITE_FCNTL_PERSIST_WAL, &(int){1});
    sqlite3_exec(index->db,
                 "PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 16777216; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
                 "PRAGMA secure_delete = ON; PRAGMA cell_size_check = ON;",
                 NULL, NULL, NULL);
    return sqlite3_extended_errcode(index->db);
}

/* A full disk has no room for the memory that processes share: then this one has the index to itself. */
static int open_database(eng_index *index, const char *path)
{
    int code = open_with(index, path, NULL);
    if (code != SQLITE_IOERR_SHMSIZE && code != SQLITE_IOERR_SHMOPEN && code != SQLITE_CANTOPEN) return code;
    sqlite3_close(index->db);
    return open_with(index, path, "unix-excl");
}

eng_status eng_index_open(const char *folder, eng_index **ret_index, eng_error *error)
{
    eng_index *index = calloc(1, sizeof *index);
    char *path = NULL;
    if (!index || asprintf(&path, "%s/index.sqlite", folder) < 0) {
        free(index);
        return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    }
    pthread_mutex_init(&index->mutex, NULL);
    eng_status status = create_file(path, error);
    if (status == ENG_OK) {
        int code = open_database(index, path);
        status = code == SQLITE_OK ? create_schema(index, error) : index_fail(index, code, error);
        if (status != ENG_UNSUPPORTED && says_newer_sqlite(index)) status = eng_fail(error, ENG_BAD_FILE, "the cache's index is damaged");
    }
    free(path);
    if (status != ENG_OK) {
        eng_index_close(index);
        return status;
    }
    *ret_index = index;
    return ENG_OK;
}

void eng_index_close(eng_index *index)
{
    if (!index) return;
    sqlite3_close(index->db);
    pthread_mutex_destroy(&index->mutex);
    free(index);
}

eng_status eng_index_get_budget(eng_index *index, uint64_t *ret_bytes, eng_error *error)
{
    int64_t bytes = 0;
    pthread_mutex_lock(&index->mutex);
    int code = run(index, &bytes, "SELECT value FROM meta WHERE key = 'budget_bytes'", "");
    eng_status status = unlock(index, code, error);
    if (status == ENG_OK) *ret_bytes = bytes > 0 ? (uint64_t)bytes : 0;
    return status;
}

eng_status eng_index_set_budget(eng_index *index, uint64_t bytes, eng_error *error)
{
    int64_t value = bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
    pthread_mutex_lock(&index->mutex);
    int code = run(index, NULL, "INSERT INTO meta VALUES('budget_bytes', ?1) ON CONFLICT(key) DO UPDATE SET value = ?1 WHERE value <> ?1", "i", value);
    return unlock(index, code, error);
}

/* total() adds in floating point: a hostile row cannot make the sum overflow into an error. */
static int sum_bytes(eng_index *index, const char *except, uint64_t *ret_bytes)
{
    int64_t kilobytes = 0;
    int code = run(index, &kilobytes,
                   "SELECT CAST(total(min(max(n_bytes, 0), 1125899906842624)) / 1024 AS INTEGER) FROM files WHERE name <> ?1", "t", except);
    if (code == SQLITE_OK) *ret_bytes = (uint64_t)kilobytes * 1024;
    return code;
}

eng_status eng_index_used_bytes(eng_index *index, uint64_t *ret_bytes, eng_error *error)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&index->mutex);
    int code = sum_bytes(index, "", &bytes);
    eng_status status = unlock(index, code, error);
    if (status == ENG_OK) *ret_bytes = bytes;
    return status;
}

static int put_file(eng_index *index, const eng_index_file *file)
{
    return run(index, NULL,
               "INSERT INTO files(name, document, model_name, identity_digest, n_bytes, created_us, used_us) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"
               " ON CONFLICT(name) DO UPDATE SET n_bytes = ?5, used_us = max(used_us, ?7)",
               "ttttiii", file->name, file->document, file->model_name, file->identity_digest, (int64_t)file->n_bytes, file->created_us,
               file->used_us);
}

eng_status eng_index_reserve(eng_index *index, const eng_index_file *file, uint64_t budget_bytes, eng_error *error)
{
    uint64_t others = 0;
    int code = begin(index);
    if (code == SQLITE_OK) code = sum_bytes(index, file->name, &others);
    bool over = code == SQLITE_OK && (file->n_bytes > budget_bytes || others > budget_bytes - file->n_bytes);
    if (code == SQLITE_OK && !over) code = put_file(index, file);
    eng_status status = finish(index, code, error);
    if (status != ENG_OK || !over) return status;
    return eng_fail(error, ENG_LIMIT, "the cache's limit is %llu bytes", (unsigned long long)budget_bytes);
}

static int put_records(eng_index *index, int64_t file_id, const eng_index_record *records, size_t n_records)
{
    int code = SQLITE_OK;
    for (size_t i = 0; i < n_records && code == SQLITE_OK; i++) {
        const eng_index_record *record = &records[i];
        code = run(index, NULL, "INSERT OR REPLACE INTO records VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)", "iiiibbi", file_id,
                   (int64_t)record->offset, (int64_t)record->n_bytes, (int64_t)record->n_tokens, record->prefix, record->ids_digest,
                   (int64_t)record->dropped);
    }
    return code;
}

eng_status eng_index_publish(eng_index *index, const eng_index_file *file, const eng_index_record *records, size_t n_records, bool replace,
                             eng_error *error)
{
    int64_t file_id = -1;
    int code = begin(index);
    if (code == SQLITE_OK) code = put_file(index, file);
    if (code == SQLITE_OK) code = run(index, &file_id, "SELECT id FROM files WHERE name = ?1", "t", file->name);
    if (code == SQLITE_OK && replace) code = run(index, NULL, "DELETE FROM records WHERE file_id = ?1", "i", file_id);
    if (code == SQLITE_OK && replace) code = run(index, NULL, "UPDATE files SET note = '' WHERE id = ?1", "i", file_id);
    if (code == SQLITE_OK) code = put_records(index, file_id, records, n_records);
    return finish(index, code, error);
}

eng_status eng_index_set_bytes(eng_index *index, const char *name, uint64_t n_bytes, eng_error *error)
{
    pthread_mutex_lock(&index->mutex);
    return unlock(index, run(index, NULL, "UPDATE files SET n_bytes = ?2 WHERE name = ?1", "ti", name, (int64_t)n_bytes), error);
}

eng_status eng_index_set_note(eng_index *index, const char *name, const char *note, eng_error *error)
{
    pthread_mutex_lock(&index->mutex);
    return unlock(index, run(index, NULL, "UPDATE files SET note = ?2 WHERE name = ?1 AND note <> ?2", "tt", name, note), error);
}

eng_status eng_index_touch(eng_index *index, const char *name, int64_t used_us, eng_error *error)
{
    pthread_mutex_lock(&index->mutex);
    return unlock(index, run(index, NULL, "UPDATE files SET used_us = max(used_us, ?2) WHERE name = ?1", "ti", name, used_us), error);
}

eng_status eng_index_remove(eng_index *index, const char *name, eng_error *error)
{
    pthread_mutex_lock(&index->mutex);
    return unlock(index, run(index, NULL, "DELETE FROM files WHERE name = ?1", "t", name), error);
}

eng_status eng_index_set_pin(eng_index *index, const char *document, bool pinned, eng_error *error)
{
    pthread_mutex_lock(&index->mutex);
    const char *sql = pinned ? "INSERT OR IGNORE INTO pins VALUES(?1)" : "DELETE FROM pins WHERE document = ?1";
    return unlock(index, run(index, NULL, sql, "t", document), error);
}

eng_status eng_index_clear(eng_index *index, eng_error *error)
{
    int code = begin(index);
    if (code == SQLITE_OK) code = run(index, NULL, "DELETE FROM records", "");
    if (code == SQLITE_OK) code = run(index, NULL, "DELETE FROM files", "");
    return finish(index, code, error);
}

/* Room for one more element of an array that doubles; false: out of memory. */
static bool grow(void **array, size_t n, size_t *capacity, size_t element_bytes)
{
    if (n < *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *larger = realloc(*array, wanted * element_bytes);
    if (!larger) return false;
    *array = larger;
    *capacity = wanted;
    return true;
}

/* False: longer than its place, or not text; such a row is not one of ours. */
static bool copy_column(sqlite3_stmt *statement, int column, char *to, size_t n_bytes)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    size_t n = (size_t)sqlite3_column_bytes(statement, column);
    if (!text || n >= n_bytes || strlen((const char *)text) != n) return false;
    memcpy(to, text, n + 1);
    return true;
}

static uint64_t column_count(sqlite3_stmt *statement, int column)
{
    int64_t value = sqlite3_column_int64(statement, column);
    return value > 0 ? (uint64_t)value : 0;
}

static bool read_file_row(sqlite3_stmt *statement, eng_index_file *ret_file)
{
    memset(ret_file, 0, sizeof *ret_file);
    char document[ENG_CACHE_DOCUMENT_BYTES + 1];
    if (!copy_column(statement, 0, ret_file->name, sizeof ret_file->name) ||
        !copy_column(statement, 1, ret_file->document, sizeof ret_file->document) ||
        !copy_column(statement, 3, ret_file->identity_digest, sizeof ret_file->identity_digest) ||
        !eng_cache_file_name_parse(ret_file->name, document) || strcmp(document, ret_file->document) != 0) {
        return false;
    }
    if (!copy_column(statement, 2, ret_file->model_name, sizeof ret_file->model_name)) ret_file->model_name[0] = 0;
    if (!copy_column(statement, 7, ret_file->note, sizeof ret_file->note)) ret_file->note[0] = 0;
    ret_file->n_bytes = column_count(statement, 4);
    ret_file->created_us = sqlite3_column_int64(statement, 5);
    ret_file->used_us = sqlite3_column_int64(statement, 6);
    ret_file->n_records = column_count(statement, 8);
    ret_file->n_tokens = column_count(statement, 9);
    ret_file->pinned = sqlite3_column_int(statement, 10) != 0;
    return true;
}

eng_status eng_index_list_files(eng_index *index, eng_index_file **ret_files, size_t *ret_n, eng_error *error)
{
    void *files = NULL;
    size_t n = 0, capacity = 0;
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&index->mutex);
    int code = sqlite3_prepare_v2(
        index->db,
        "SELECT name, document, model_name, identity_digest, n_bytes, created_us, used_us, note,"
        " (SELECT count(*) FROM records WHERE file_id = files.id AND NOT dropped),"
        " (SELECT CAST(total(n_tokens) AS INTEGER) FROM records WHERE file_id = files.id AND NOT dropped),"
        " EXISTS(SELECT 1 FROM pins WHERE pins.document = files.document) FROM files ORDER BY used_us, id",
        -1, &statement, NULL);
    while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        code = SQLITE_OK;
        if (!grow(&files, n, &capacity, sizeof(eng_index_file))) {
            code = SQLITE_NOMEM;
        } else if (read_file_row(statement, (eng_index_file *)files + n)) {
            n++;
        }
    }
    sqlite3_finalize(statement);
    eng_status status = unlock(index, code == SQLITE_DONE ? SQLITE_OK : code, error);
    if (status != ENG_OK) {
        free(files);
        return status;
    }
    *ret_files = files;
    *ret_n = n;
    return ENG_OK;
}

eng_status eng_index_prune(eng_index *index, eng_error *error)
{
    sqlite3_stmt *statement = NULL;
    void *ids = NULL;
    size_t n = 0, capacity = 0;
    int code = begin(index);
    if (code == SQLITE_OK) {
        code = sqlite3_prepare_v2(index->db,
                                  "SELECT name, document, model_name, identity_digest, n_bytes, created_us, used_us, note, 0, 0, 0, id FROM files",
                                  -1, &statement, NULL);
    }
    while (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        eng_index_file file;
        if (read_file_row(statement, &file)) continue;
        if (!grow(&ids, n, &capacity, sizeof(int64_t))) {
            code = SQLITE_NOMEM;
        } else {
            ((int64_t *)ids)[n++] = sqlite3_column_int64(statement, 11);
        }
    }
    int final = sqlite3_finalize(statement);
    if (code == SQLITE_OK) code = final;
    for (size_t i = 0; i < n && code == SQLITE_OK; i++) code = run(index, NULL, "DELETE FROM files WHERE id = ?1", "i", ((int64_t *)ids)[i]);
    free(ids);
    return finish(index, code, error);
}

static void copy_digest(sqlite3_stmt *statement, int column, uint8_t to[32])
{
    const void *blob = sqlite3_column_blob(statement, column);
    if (blob && sqlite3_column_bytes(statement, column) == 32) memcpy(to, blob, 32);
}

eng_status eng_index_list_records(eng_index *index, const char *name, eng_index_record **ret_records, size_t *ret_n, eng_error *error)
{
    void *records = NULL;
    size_t n = 0, capacity = 0;
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&index->mutex);
    int code = sqlite3_prepare_v2(index->db,
                                  "SELECT offset, records.n_bytes, n_tokens, prefix, ids_digest, dropped FROM records JOIN files ON"
                                  " files.id = file_id WHERE name = ?1 ORDER BY offset",
                                  -1, &statement, NULL);
    if (code == SQLITE_OK) code = sqlite3_bind_text(statement, 1, name, -1, SQLITE_TRANSIENT);
    while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        code = SQLITE_OK;
        if (!grow(&records, n, &capacity, sizeof(eng_index_record))) {
            code = SQLITE_NOMEM;
            break;
        }
        eng_index_record *record = (eng_index_record *)records + n++;
        memset(record, 0, sizeof *record);
        record->offset = column_count(statement, 0);
        record->n_bytes = column_count(statement, 1);
        uint64_t n_tokens = column_count(statement, 2);
        record->n_tokens = n_tokens > ENG_CACHE_TOKENS_MAX ? 0 : (uint32_t)n_tokens;
        copy_digest(statement, 3, record->prefix);
        copy_digest(statement, 4, record->ids_digest);
        record->dropped = sqlite3_column_int(statement, 5) != 0;
    }
    sqlite3_finalize(statement);
    eng_status status = unlock(index, code == SQLITE_DONE ? SQLITE_OK : code, error);
    if (status != ENG_OK) {
        free(records);
        return status;
    }
    *ret_records = records;
    *ret_n = n;
    return ENG_OK;
}
