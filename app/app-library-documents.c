/* app-library-documents.c: documents, their text, sections, headings and pages.
 *
 * Owns: rows of documents and of their parts, references as people type them.
 * Does not own: how a document comes in (app-import.c), places (app-places.c), search (app-library-search.c).
 */
#include <fnmatch.h>
#include <glib/gi18n.h>
#include <stdlib.h>
#include <string.h>

#include "app-library-internal.h"

const char *app_document_state_text(AppDocumentState state)
{
    static const char *const texts[] = {"new", "queued", "reading", "paused", "ready", "failed", "no text"};
    return (size_t)state < G_N_ELEMENTS(texts) ? texts[state] : "unknown";
}

void app_document_free(AppDocument *document)
{
    if (document == NULL) return;
    g_free(document->title);
    g_free(document->author);
    g_free(document->source);
    g_free(document->format);
    g_free(document->language);
    g_free(document->metadata);
    g_free(document->note);
    g_free(document->model);
    g_free(document);
}

static void copy_fixed(char *to, size_t size, sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    g_strlcpy(to, text != NULL ? text : "", size);
}

#define DOCUMENT_COLUMNS                                                                                                                   \
    "SELECT d.id, d.uid, d.title, d.author, d.path, d.hash, d.format, d.language, d.metadata, d.n_source_bytes, d.n_bytes, d.n_chars,"     \
    " d.n_pages, d.added_s, d.updated_s, d.state, d.note, d.model, count(s.n_tokens), coalesce(sum(s.is_read), 0),"                        \
    " coalesce(sum(s.n_tokens), 0), coalesce(sum(s.n_tokens * s.is_read), 0) FROM documents d"                                             \
    " LEFT JOIN sections s ON s.document = d.id AND s.rule = d.rule"

static AppDocument *read_document(sqlite3_stmt *row)
{
    AppDocument *document = g_new0(AppDocument, 1);
    document->id = sqlite3_column_int64(row, 0);
    copy_fixed(document->uid, sizeof document->uid, row, 1);
    document->title = app_db_dup_text(row, 2);
    document->author = app_db_dup_text(row, 3);
    document->source = app_db_dup_text(row, 4);
    copy_fixed(document->source_hash, sizeof document->source_hash, row, 5);
    document->format = app_db_dup_text(row, 6);
    document->language = app_db_dup_text(row, 7);
    document->metadata = app_db_dup_text(row, 8);
    document->n_source_bytes = (uint64_t)sqlite3_column_int64(row, 9);
    document->n_bytes = (uint64_t)sqlite3_column_int64(row, 10);
    document->n_chars = (uint64_t)sqlite3_column_int64(row, 11);
    document->n_pages = (uint32_t)sqlite3_column_int64(row, 12);
    document->added_s = sqlite3_column_int64(row, 13);
    document->updated_s = sqlite3_column_int64(row, 14);
    document->state = (AppDocumentState)sqlite3_column_int(row, 15);
    document->note = app_db_dup_text(row, 16);
    document->model = app_db_dup_text(row, 17);
    document->n_sections = (uint32_t)sqlite3_column_int64(row, 18);
    document->n_sections_read = (uint32_t)sqlite3_column_int64(row, 19);
    document->n_tokens = (uint64_t)sqlite3_column_int64(row, 20);
    document->n_tokens_read = (uint64_t)sqlite3_column_int64(row, 21);
    return document;
}

static bool not_found(GError **error, const char *reference)
{
    g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND, _("No document in the library is “%s”"), reference);
    return false;
}

static AppDocument *get_document(AppLibrary *library, const char *sql, const char *types, int64_t id, const char *uid, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    AppDocument *document = NULL;
    sqlite3_stmt *row = uid != NULL ? app_db_query(db, error, sql, types, uid) : app_db_query(db, error, sql, types, id);
    int found = row != NULL ? app_db_step(db, row, error) : -1;
    if (found > 0) {
        document = read_document(row);
        sqlite3_reset(row);
    }
    app_library_end_read(library, db);
    if (found == 0) {
        g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, id);
        not_found(error, uid != NULL ? uid : number);
    }
    return document;
}

AppDocument *app_library_get_document(AppLibrary *library, int64_t id, GError **error)
{
    return get_document(library, DOCUMENT_COLUMNS " WHERE d.id=? AND d.importer='' GROUP BY d.id", "i", id, NULL, error);
}

AppDocument *app_library_get_document_by_uid(AppLibrary *library, const char *uid, GError **error)
{
    return get_document(library, DOCUMENT_COLUMNS " WHERE d.uid=? AND d.importer='' GROUP BY d.id", "t", 0, uid, error);
}

GPtrArray *app_library_list_documents(AppLibrary *library, int64_t collection, AppDocumentOrder order, uint32_t offset, uint32_t limit,
                                      GError **error)
{
    /* One literal for each order: statements are kept by their text. The page is chosen before sums are taken over sections. */
#define PAGE(ORDER)                                                                                                                        \
    DOCUMENT_COLUMNS " WHERE d.id IN (SELECT id FROM documents d WHERE importer=''"                                                        \
                     " AND (?1=0 OR id IN (SELECT document FROM collection_documents WHERE collection=?1)) ORDER BY " ORDER                \
                     " LIMIT ?2 OFFSET ?3) GROUP BY d.id ORDER BY " ORDER
    static const char *const queries[] = {PAGE("d.id"), PAGE("d.title COLLATE NOCASE, d.id"), PAGE("d.updated_s DESC, d.id DESC")};
#undef PAGE
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    GPtrArray *documents = g_ptr_array_new_with_free_func((GDestroyNotify)app_document_free);
    sqlite3_stmt *rows = app_db_query(db, error, queries[(size_t)order < G_N_ELEMENTS(queries) ? order : 0], "iii", collection,
                                      limit == 0 ? (int64_t)-1 : (int64_t)limit, (int64_t)offset);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) g_ptr_array_add(documents, read_document(rows));
    app_library_end_read(library, db);
    if (row == 0) return documents;
    g_ptr_array_unref(documents);
    return NULL;
}

int64_t app_library_count_documents(AppLibrary *library, int64_t collection, GError **error)
{
    return app_library_count_documents_without(library, collection, NULL, 0, error);
}

int64_t app_library_count_documents_without(AppLibrary *library, int64_t collection, const int64_t *gone, size_t n_gone, GError **error)
{
    g_autofree char *json = app_library_make_json(gone, n_gone);
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return -1;
    int64_t count = -1;
    bool ok = app_db_get_int(db, error, 0, &count,
                             "SELECT count(*) FROM documents WHERE importer='' AND"
                             " (?1=0 OR id IN (SELECT document FROM collection_documents WHERE collection=?1))"
                             " AND id NOT IN (SELECT value FROM json_each(?2))",
                             "it", collection, json);
    app_library_end_read(library, db);
    return ok ? count : -1;
}

/* ---------------------------------------------------------------------------------------------------------- references */

typedef struct Reference {
    GArray *ids;       /* int64_t */
    GString *examples; /* some titles, for the message */
} Reference;

static bool collect(AppDb *db, sqlite3_stmt *rows, Reference *reference, GError **error)
{
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        int64_t id = sqlite3_column_int64(rows, 0);
        g_array_append_val(reference->ids, id);
        if (reference->ids->len > 4) continue;
        g_string_append_printf(reference->examples, "\n  %" G_GINT64_FORMAT "  %s", id, (const char *)sqlite3_column_text(rows, 1));
    }
    return row == 0;
}

static bool is_all(const char *text, const char *characters)
{
    return text[0] != '\0' && strspn(text, characters) == strlen(text);
}

/* Tries the ways of naming a document, the narrowest first; the first that fits anything decides. */
static bool match_reference(AppDb *db, const char *text, Reference *found, GError **error)
{
    bool ok = true;
    if (is_all(text, "0123456789") && strlen(text) < 18) {
        ok = collect(db, app_db_query(db, error, "SELECT id, title FROM documents WHERE id=? AND importer=''", "i",
                                      g_ascii_strtoll(text, NULL, 10)), found, error);
    }
    if (ok && found->ids->len == 0) {
        ok = collect(db, app_db_query(db, error, "SELECT id, title FROM documents WHERE title=? COLLATE NOCASE AND importer='' ORDER BY id",
                                      "t", text), found, error);
    }
    if (ok && found->ids->len == 0 && strlen(text) >= 6 && strlen(text) <= 32 && is_all(text, "0123456789abcdef")) {
        ok = collect(db, app_db_query(db, error, "SELECT id, title FROM documents WHERE substr(uid, 1, length(?1))=?1 AND importer=''", "t",
                                      text), found, error);
    }
    if (ok && found->ids->len == 0) {
        g_autofree char *path = g_canonicalize_filename(text, NULL);
        ok = collect(db, app_db_query(db, error, "SELECT id, title FROM documents WHERE path=? AND importer=''", "t", path), found, error);
    }
    return ok;
}

/* Titles that contain the text, or fit the glob, with letter case ignored as Unicode says (SQLite folds ASCII alone). */
static bool match_titles(AppDb *db, const char *text, bool is_glob, Reference *found, GError **error)
{
    g_autofree char *wanted = g_utf8_casefold(text, -1);
    sqlite3_stmt *rows = app_db_query(db, error, "SELECT id, title FROM documents WHERE importer='' ORDER BY id", "");
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        const char *title = (const char *)sqlite3_column_text(rows, 1);
        g_autofree char *folded = g_utf8_casefold(title, -1);
        if (is_glob ? fnmatch(wanted, folded, 0) != 0 : strstr(folded, wanted) == NULL) continue;
        int64_t id = sqlite3_column_int64(rows, 0);
        g_array_append_val(found->ids, id);
        if (found->ids->len <= 4) g_string_append_printf(found->examples, "\n  %" G_GINT64_FORMAT "  %s", id, title);
    }
    return row == 0;
}

static GArray *resolve(AppLibrary *library, const char *text, bool many, GError **error)
{
    if (text == NULL || text[0] == '\0' || !g_utf8_validate(text, -1, NULL)) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, _("An empty or garbled name cannot stand for a document"));
        return NULL;
    }
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    Reference found = {g_array_new(FALSE, FALSE, sizeof(int64_t)), g_string_new(NULL)};
    bool is_glob = many && strpbrk(text, "*?[") != NULL;
    bool ok = match_reference(db, text, &found, error);
    if (ok && found.ids->len == 0) ok = match_titles(db, text, is_glob, &found, error);
    app_library_end_read(library, db);
    if (ok && found.ids->len == 0) ok = not_found(error, text);
    if (ok && found.ids->len > 1 && !is_glob) {
        ok = false;
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_AMBIGUOUS, _("“%s” could be any of %u documents; use a number:%s%s"), text,
                    found.ids->len, found.examples->str, found.ids->len > 4 ? "\n  …" : "");
    }
    g_string_free(found.examples, TRUE);
    if (ok) return found.ids;
    g_array_free(found.ids, TRUE);
    return NULL;
}

int64_t app_library_resolve_document(AppLibrary *library, const char *reference, GError **error)
{
    g_autoptr(GArray) ids = resolve(library, reference, false, error);
    return ids != NULL ? g_array_index(ids, int64_t, 0) : -1;
}

GArray *app_library_resolve_documents(AppLibrary *library, const char *reference, GError **error)
{
    return resolve(library, reference, true, error);
}

/* -------------------------------------------------------------------------------------------------------------- changes */

/* Exactly one row must have been touched. */
static bool changed_one(AppDb *db, int64_t id, GError **error)
{
    if (sqlite3_changes(app_db_handle(db)) == 1) return true;
    g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, id);
    return not_found(error, number);
}

bool app_library_retitle_passages(AppDb *db, int64_t document, const char *old_title, const char *new_title, GError **error)
{
    if (strcmp(old_title, new_title) == 0) return true;
    return app_db_run(db, error, "UPDATE passages SET heading = ?1 || substr(heading, length(?2) + 1) WHERE document=?3", "tti", new_title,
                      old_title, document);
}

static bool set_title(AppLibrary *library, int64_t id, const char *title, bool also_head, GError **error)
{
    if (title == NULL || title[0] == '\0' || !g_utf8_validate(title, -1, NULL) || strpbrk(title, "\r\n") != NULL) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, _("A title is one line of text"));
        return false;
    }
    g_autofree char *normal = g_utf8_normalize(title, -1, G_NORMALIZE_NFC);
    g_autofree char *before = NULL;
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    sqlite3_stmt *row = app_db_query(db, error, "SELECT title FROM documents WHERE id=? AND importer=''", "i", id);
    int found = row != NULL ? app_db_step(db, row, error) : -1;
    if (found > 0) {
        before = app_db_dup_text(row, 0);
        sqlite3_reset(row);
    }
    g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, id);
    bool ok = found > 0 || (found == 0 && not_found(error, number));
    ok = ok && app_db_run(db, error, "UPDATE documents SET title=?1, is_renamed=1, head_title=iif(?2, ?1, head_title) WHERE id=?3", "tii",
                          normal, (int64_t)also_head, id) &&
         app_library_retitle_passages(db, id, before, normal, error);
    return app_library_end_write(library, db, ok, id, error);
}

bool app_library_rename_document(AppLibrary *library, int64_t id, const char *title, GError **error)
{
    return set_title(library, id, title, false, error);
}

bool app_library_set_titles(AppLibrary *library, int64_t id, const char *title, GError **error)
{
    return set_title(library, id, title, true, error);
}

bool app_library_set_document_state(AppLibrary *library, int64_t id, AppDocumentState state, const char *note, GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    bool ok = app_db_run(db, error, "UPDATE documents SET state=?, note=?, updated_s=? WHERE id=? AND importer=''", "itii", (int64_t)state,
                         note != NULL ? note : "", app_library_now(), id) &&
              changed_one(db, id, error);
    return app_library_end_write(library, db, ok, id, error);
}

bool app_library_delete_document_rows(AppDb *db, int64_t id, GError **error)
{
    for (size_t i = 0; app_library_part_tables[i] != NULL; i++) {
        char sql[80];
        sqlite3_snprintf(sizeof sql, sql, "DELETE FROM %s WHERE document=%lld", app_library_part_tables[i], (long long)id);
        if (!app_db_exec(db, sql, error)) return false;
    }
    return app_db_run(db, error, "DELETE FROM documents WHERE id=?", "i", id) && changed_one(db, id, error);
}

/* A word index keeps deleted words until its segments are merged; up to this many passages that is done at once. */
enum { OPTIMIZE_PASSAGES_MAX = 100000 };

bool app_library_remove_document(AppLibrary *library, int64_t id, GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    bool ok = app_library_delete_document_rows(db, id, error);
    int64_t last = 0;
    ok = ok && app_db_get_int(db, error, 0, &last, "SELECT count(*) FROM (SELECT 1 FROM passages LIMIT ?)", "i",
                              (int64_t)OPTIMIZE_PASSAGES_MAX);
    if (ok && last < OPTIMIZE_PASSAGES_MAX) ok = app_db_exec(db, "INSERT INTO passages_fts(passages_fts) VALUES('optimize')", error);
    ok = app_library_end_write(library, db, ok, id, error);
    if (ok && (db = app_library_begin_read(library, NULL)) != NULL) {
        /* The log would keep the text until it is overwritten. Another reader may prevent it: the next checkpoint does it then. */
        sqlite3_wal_checkpoint_v2(app_db_handle(db), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        app_library_end_read(library, db);
    }
    return ok;
}

char *app_library_get_head_title(AppLibrary *library, int64_t document, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    char *title = NULL;
    sqlite3_stmt *row = app_db_query(db, error, "SELECT head_title FROM documents WHERE id=? AND importer=''", "i", document);
    int found = row != NULL ? app_db_step(db, row, error) : -1;
    if (found > 0) {
        title = app_db_dup_text(row, 0);
        sqlite3_reset(row);
    }
    app_library_end_read(library, db);
    g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, document);
    if (found == 0) not_found(error, number);
    return title;
}

bool app_library_set_reading(AppLibrary *library, int64_t document, const char *rule, const char *model, GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    bool ok = app_db_run(db, error, "UPDATE documents SET rule=?, model=? WHERE id=? AND importer=''", "tti", rule, model, document) &&
              changed_one(db, document, error);
    return app_library_end_write(library, db, ok, document, error);
}

bool app_library_forget_reading(AppLibrary *library, int64_t document, GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    bool ok = app_db_run(db, error, "UPDATE sections SET is_read=0 WHERE document=? AND is_read<>0", "i", document) &&
              app_db_run(db, error, "UPDATE documents SET state=?, note='' WHERE id=? AND state<>?", "iii", (int64_t)APP_DOCUMENT_NEW, document,
                         (int64_t)APP_DOCUMENT_NO_TEXT);
    return app_library_end_write(library, db, ok, document, error);
}

/* ------------------------------------------------------------------------------------------------------------------ text */

/* Moves a byte offset in `text` to the border of a character at or before it. */
static size_t align_char(const char *text, size_t n_bytes, size_t at)
{
    if (at >= n_bytes) return n_bytes;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
    return at;
}

char *app_library_get_text(AppLibrary *library, int64_t id, uint64_t start, uint64_t end, size_t *ret_n_bytes, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    GString *text = g_string_new(NULL);
    int64_t from = (int64_t)MIN(start, (uint64_t)INT64_MAX), to = (int64_t)MIN(end, (uint64_t)INT64_MAX);
    sqlite3_stmt *rows = app_db_query(db, error,
                                      "SELECT start, text FROM passages WHERE document=?1 AND start < ?3 AND start >= ifnull("
                                      "(SELECT max(start) FROM passages WHERE document=?1 AND start <= ?2), 0) ORDER BY start",
                                      "iii", id, from, to);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        int64_t at = sqlite3_column_int64(rows, 0);
        const char *piece = (const char *)sqlite3_column_text(rows, 1);
        size_t n_bytes = (size_t)sqlite3_column_bytes(rows, 1);
        size_t first = from > at ? align_char(piece, n_bytes, (size_t)(from - at)) : 0;
        size_t last = align_char(piece, n_bytes, (size_t)(to - at));
        if (last > first) g_string_append_len(text, piece + first, (gssize)(last - first));
    }
    app_library_end_read(library, db);
    if (row < 0) {
        g_string_free(text, TRUE);
        return NULL;
    }
    if (ret_n_bytes != NULL) *ret_n_bytes = text->len;
    return g_string_free(text, FALSE);
}

bool app_library_find_text(AppLibrary *library, int64_t id, const char *needle, uint64_t from, bool *ret_found, uint64_t *ret_start,
                           GError **error)
{
    g_autofree char *normal = g_utf8_validate(needle, -1, NULL) ? g_utf8_normalize(needle, -1, G_NORMALIZE_NFC) : NULL;
    size_t n_needle = normal != NULL ? strlen(normal) : 0;
    *ret_found = false;
    if (n_needle == 0) return true;
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return false;
    g_autoptr(GString) window = g_string_new(NULL); /* the end of earlier passages, and this one */
    uint64_t window_start = from;
    sqlite3_stmt *rows = app_db_query(db, error,
                                      "SELECT start, text FROM passages WHERE document=?1 AND start >= ifnull("
                                      "(SELECT max(start) FROM passages WHERE document=?1 AND start <= ?2), 0) ORDER BY start",
                                      "ii", id, (int64_t)MIN(from, (uint64_t)INT64_MAX));
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        uint64_t at = (uint64_t)sqlite3_column_int64(rows, 0);
        size_t n_bytes = (size_t)sqlite3_column_bytes(rows, 1), skip = from > at ? MIN((size_t)(from - at), n_bytes) : 0;
        g_string_append_len(window, (const char *)sqlite3_column_text(rows, 1) + skip, (gssize)(n_bytes - skip));
        const char *place = memmem(window->str, window->len, normal, n_needle);
        if (place != NULL) {
            *ret_found = true;
            *ret_start = window_start + (uint64_t)(place - window->str);
            sqlite3_reset(rows);
            row = 0;
            break;
        }
        size_t drop = window->len >= n_needle ? window->len - (n_needle - 1) : 0;
        g_string_erase(window, 0, (gssize)drop);
        window_start += drop;
    }
    app_library_end_read(library, db);
    return row == 0;
}

bool app_library_knows_file(AppLibrary *library, const char *path, uint64_t n_bytes, int64_t modified_s, int64_t collection, GArray *unread)
{
    /* Members of an archive have paths that begin with its own; '0' is the character behind '/'. */
    g_autofree char *from = g_strconcat(path, "/", NULL), *to = g_strconcat(path, "0", NULL);
    AppDb *db = app_library_begin_read(library, NULL);
    if (db == NULL) return false;
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    sqlite3_stmt *rows = app_db_query(db, NULL,
                                      "SELECT id, state, modified_s, n_source_bytes, path=?1 FROM documents"
                                      " WHERE (path=?1 OR (path>=?2 AND path<?3)) AND importer=''",
                                      "ttt", path, from, to);
    bool same = rows != NULL;
    while (rows != NULL && app_db_step(db, rows, NULL) > 0) {
        int64_t id = sqlite3_column_int64(rows, 0);
        AppDocumentState state = (AppDocumentState)sqlite3_column_int(rows, 1);
        bool is_member = sqlite3_column_int(rows, 4) == 0;
        same = same && sqlite3_column_int64(rows, 2) == modified_s && (is_member || (uint64_t)sqlite3_column_int64(rows, 3) == n_bytes);
        g_array_append_val(ids, id);
        if (state != APP_DOCUMENT_READY && state != APP_DOCUMENT_NO_TEXT && state != APP_DOCUMENT_FAILED) g_array_append_val(unread, id);
    }
    app_library_end_read(library, db);
    if (!same || ids->len == 0) {
        g_array_set_size(unread, 0);
        return false;
    }
    for (guint i = 0; collection != 0 && i < ids->len; i++) app_library_collection_add(library, collection, g_array_index(ids, int64_t, i), NULL);
    return true;
}
