/* app-import.c: a document on its way into the library.
 *
 * Owns: cutting the stream of text into passages, marks, batches of rows, the moment when a document becomes visible or replaces its
 *       former self, recognising known content. Does not own: file formats, sections.
 *
 * Invariants: passages cover the text exactly once, in order, cut at paragraph borders where one is near; how the text was split over
 * calls of app_import_add_text changes nothing; rows of an unfinished import belong to a document that no query shows (`importer`).
 */
#include "app-document.h"

#include <glib/gi18n.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "app-library-internal.h"
#include "app-places.h"
#include "app-source.h"

enum {
    PASSAGE_LEAST = 300,   /* bytes; a passage ends at a paragraph border from here on if no later one is below PASSAGE_GOAL */
    PASSAGE_GOAL = 900,
    PASSAGE_MOST = 3000,   /* a longer paragraph is cut at a sentence, a space or a character */
    FLUSH_BYTES = 1 << 20, /* text held before it is written */
    LEVELS_MAX = 32,       /* deeper headings count as this deep: whoever walks the tree need not fear its depth */
};

typedef struct Passage {
    uint64_t start, end, char_start;
    int64_t page; /* -1 none */
    char *heading, *text;
} Passage;

typedef struct Level {
    uint32_t rank;
    char *text;
} Level;

typedef struct Page {
    uint64_t start;
    char *label;
    float width, height;
} Page;

typedef struct Heading {
    uint64_t start;
    uint32_t rank;
    bool is_chapter;
    char *text;
} Heading;

struct AppImport {
    AppLibrary *library;
    const bool *cancel;
    char *path, *name, *hash, *format;
    char *title, *author, *language, *note;
    char *row_title; /* the title that the passages written so far begin with */
    json_t *metadata;
    uint64_t n_source_bytes;
    int64_t modified_s, row; /* row: the hidden document */
    bool in_table, finished;
    uint64_t table_start;
    GString *pending;                 /* text not yet cut */
    uint64_t pending_char, n_chars;   /* characters before `pending`, and in all */
    uint64_t pending_start;           /* bytes before it */
    size_t n_held_bytes;              /* text in `passages` */
    GArray *passages, *levels, *pages, *headings, *tables, *offsets, *boxes;
    GPtrArray *items;
    guint page_of_pending; /* index of the page that `pending` starts on, plus one */
};

static void clear_passage(gpointer data)
{
    g_free(((Passage *)data)->heading);
    g_free(((Passage *)data)->text);
}

static void clear_level(gpointer data)
{
    g_free(((Level *)data)->text);
}

static void clear_page(gpointer data)
{
    g_free(((Page *)data)->label);
}

static void clear_heading(gpointer data)
{
    g_free(((Heading *)data)->text);
}

static GArray *new_array(size_t size, GDestroyNotify clear)
{
    GArray *array = g_array_new(FALSE, FALSE, (guint)size);
    if (clear != NULL) g_array_set_clear_func(array, clear);
    return array;
}

static bool refuse(GError **error, const AppImport *import, int code, const char *why)
{
    g_set_error(error, APP_LIBRARY_ERROR, code, "“%s”: %s", import->name, why);
    return false;
}

static char *new_uid(void)
{
    uint8_t bytes[16];
    if (getentropy(bytes, sizeof bytes) != 0) {
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)g_random_int();
    }
    GString *uid = g_string_new(NULL);
    for (size_t i = 0; i < sizeof bytes; i++) g_string_append_printf(uid, "%02x", bytes[i]);
    return g_string_free(uid, FALSE);
}

/* One line, white space squeezed, at most n_most bytes. */
static char *tidy_line(const char *text, size_t n_most)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *line = g_string_new(NULL);
    bool space = false;
    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (g_unichar_isspace(c) || g_unichar_iscntrl(c)) {
            space = line->len > 0;
            continue;
        }
        if (line->len + 8 > n_most) {
            g_string_append(line, "…");
            break;
        }
        if (space) g_string_append_c(line, ' ');
        space = false;
        g_string_append_unichar(line, c);
    }
    return g_string_free(line, FALSE);
}

static bool make_row(AppImport *import, GError **error)
{
    g_autofree char *uid = new_uid();
    g_autofree char *importer = app_library_process_name();
    AppDb *db = app_library_begin_write(import->library, error);
    if (db == NULL) return false;
    int64_t now = app_library_now();
    bool ok = app_db_run(db, error,
                         "INSERT INTO documents(uid, title, head_title, path, hash, format, n_source_bytes, modified_s, added_s, updated_s,"
                         " importer) VALUES(?, '', '', ?, ?, ?, ?, ?, ?, ?, ?)",
                         "ttttiiiit", uid, import->path, import->hash, import->format, (int64_t)import->n_source_bytes, import->modified_s, now,
                         now, importer);
    import->row = sqlite3_last_insert_rowid(app_db_handle(db));
    if (app_library_end_write(import->library, db, ok, -1, error)) return true;
    import->row = 0;
    return false;
}

AppImport *app_import_new(AppLibrary *library, const AppImportSource *source, const bool *cancel, GError **error)
{
    AppImport *import = g_new0(AppImport, 1);
    import->library = app_library_ref(library);
    import->cancel = cancel;
    import->path = g_strdup(source->path != NULL ? source->path : "");
    import->name = g_utf8_make_valid(source->name, -1);
    import->hash = g_strdup(source->source_hash);
    import->format = g_strdup(source->format);
    import->n_source_bytes = source->n_source_bytes;
    import->modified_s = source->modified_s;
    import->metadata = json_object();
    import->pending = g_string_new(NULL);
    import->passages = new_array(sizeof(Passage), clear_passage);
    import->levels = new_array(sizeof(Level), clear_level);
    import->pages = new_array(sizeof(Page), clear_page);
    import->headings = new_array(sizeof(Heading), clear_heading);
    import->tables = new_array(sizeof(AppTableRange), NULL);
    import->offsets = new_array(sizeof(AppOffsetRun), NULL);
    import->boxes = new_array(sizeof(AppBoxRun), NULL);
    import->items = g_ptr_array_new_with_free_func(g_free);
    if (make_row(import, error)) return import;
    app_import_free(import);
    return NULL;
}

void app_import_free(AppImport *import)
{
    if (import == NULL) return;
    if (import->row != 0 && !import->finished) {
        AppDb *db = app_library_begin_write(import->library, NULL);
        bool ok = db != NULL && app_library_delete_document_rows(db, import->row, NULL);
        app_library_end_write(import->library, db, ok, -1, NULL);
    }
    GArray *arrays[] = {import->passages, import->levels, import->pages, import->headings, import->tables, import->offsets, import->boxes};
    for (size_t i = 0; i < G_N_ELEMENTS(arrays); i++) g_array_unref(arrays[i]);
    g_ptr_array_unref(import->items);
    g_string_free(import->pending, TRUE);
    json_decref(import->metadata);
    char *texts[] = {import->path,   import->name,     import->hash, import->format,   import->title,
                     import->author, import->language, import->note, import->row_title};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) g_free(texts[i]);
    app_library_unref(import->library);
    g_free(import);
}

/* ------------------------------------------------------------------------------------------------------------- cutting */

/* The last border of the wanted kind in text[least, most): behind a newline, a sentence, a space. 0: none. */
static size_t last_border(const char *text, size_t least, size_t most, int kind)
{
    for (size_t at = most; at > least && at >= 2; at--) {
        char before = text[at - 1];
        if (kind == 0 && before == '\n' && text[at] != '\n') return at;
        if (kind == 1 && before == ' ' && strchr(".!?;:\"'", text[at - 2]) != NULL && text[at - 2] != '\0') return at;
        if (kind == 2 && before == ' ') return at;
        if (kind == 3 && ((unsigned char)text[at] & 0xc0) != 0x80) return at;
    }
    return 0;
}

/* Bytes of the next passage; 0: more text is needed to know. Depends on nothing but the text from here on. */
static size_t passage_length(const char *text, size_t n_bytes, bool at_end)
{
    if (n_bytes == 0 || (n_bytes < PASSAGE_MOST + 2 && !at_end)) return 0;
    size_t most = MIN(n_bytes, (size_t)PASSAGE_MOST), small = 0;
    for (size_t at = 2; at < most; at++) {
        if (text[at - 1] != '\n' || text[at - 2] != '\n' || text[at] == '\n') continue;
        if (at >= PASSAGE_GOAL) return at - small > PASSAGE_GOAL && small >= PASSAGE_LEAST ? small : at;
        small = at;
    }
    if (n_bytes <= PASSAGE_MOST) return small >= PASSAGE_LEAST && n_bytes - small > PASSAGE_GOAL ? small : n_bytes;
    if (small >= PASSAGE_LEAST) return small;
    for (int kind = 0; kind <= 3; kind++) {
        size_t at = last_border(text, PASSAGE_GOAL, PASSAGE_MOST, kind);
        if (at > 0) return at;
    }
    return PASSAGE_MOST;
}

static char *heading_path(AppImport *import)
{
    GString *path = g_string_new(import->row_title);
    for (guint i = 0; i < import->levels->len; i++) {
        const char *text = g_array_index(import->levels, Level, i).text;
        if (strcmp(text, import->row_title) == 0) continue; /* a heading that is the title does not stand twice */
        g_string_append_printf(path, " › %s", text);
    }
    return g_string_free(path, FALSE);
}

static bool flush(AppImport *import, GError **error);

/* Cuts what can be cut from `pending` into passages. */
static bool cut(AppImport *import, bool at_end, GError **error)
{
    if (import->pending->len == 0) return true;
    if (import->row_title == NULL) import->row_title = tidy_line(import->title != NULL ? import->title : import->name, APP_HEADING_BYTES_MAX);
    size_t at = 0, n_bytes;
    g_autofree char *heading = heading_path(import);
    while ((n_bytes = passage_length(import->pending->str + at, import->pending->len - at, at_end)) > 0) {
        const char *text = import->pending->str + at;
        while (import->page_of_pending < import->pages->len &&
               g_array_index(import->pages, Page, import->page_of_pending).start <= import->pending_start) {
            import->page_of_pending++;
        }
        Passage passage = {import->pending_start,
                           import->pending_start + n_bytes,
                           import->pending_char,
                           (int64_t)import->page_of_pending - 1,
                           g_strdup(heading),
                           g_strndup(text, n_bytes)};
        g_array_append_val(import->passages, passage);
        import->pending_char += (uint64_t)g_utf8_strlen(text, (gssize)n_bytes);
        import->pending_start += n_bytes;
        import->n_held_bytes += n_bytes;
        at += n_bytes;
    }
    g_string_erase(import->pending, 0, (gssize)at);
    return import->n_held_bytes < FLUSH_BYTES || flush(import, error);
}

bool app_import_add_text(AppImport *import, const char *text, size_t n_bytes, GError **error)
{
    /* One pass for what is not allowed: bytes that are not UTF-8, and NULs, which g_utf8_validate stops at. */
    const char *end = text;
    while (end < text + n_bytes && !g_utf8_validate(end, (gssize)(n_bytes - (size_t)(end - text)), &end) && *end == '\0') end++;
    if (end < text + n_bytes && *end != '\0') return refuse(error, import, APP_LIBRARY_ERROR_INVALID, _("text that is not UTF-8 came out of it"));
    if (app_import_position(import) + n_bytes > APP_TEXT_MAX_BYTES) {
        return refuse(error, import, APP_LIBRARY_ERROR_INVALID,
                      _("it holds more than 512 MB of text, which is the most that one document may have; split it into several"));
    }
    const char *at = text, *nul;
    while ((nul = memchr(at, '\0', n_bytes - (size_t)(at - text))) != NULL) {
        g_string_append_len(import->pending, at, nul - at);
        g_string_append(import->pending, "\xef\xbf\xbd");
        at = nul + 1;
    }
    g_string_append_len(import->pending, at, (gssize)(n_bytes - (size_t)(at - text)));
    for (const char *p = text; p < text + n_bytes; p++) import->n_chars += ((unsigned char)*p & 0xc0) != 0x80;
    return import->pending->len < 4 * PASSAGE_MOST || cut(import, false, error);
}

uint64_t app_import_position(const AppImport *import)
{
    return import->pending_start + import->pending->len;
}

uint64_t app_import_position_chars(const AppImport *import)
{
    return import->n_chars;
}

/* --------------------------------------------------------------------------------------------------------------- marks */

bool app_import_heading(AppImport *import, uint32_t rank, bool is_chapter, const char *text, GError **error)
{
    if (import->headings->len >= APP_HEADINGS_MAX) return true; /* beyond, the text goes on under the heading before */
    g_autofree char *line = tidy_line(text, APP_HEADING_BYTES_MAX);
    if (line[0] == '\0') return true;
    if (!cut(import, true, error)) return false;
    while (import->levels->len > 0 && g_array_index(import->levels, Level, import->levels->len - 1).rank >= rank) {
        g_array_set_size(import->levels, import->levels->len - 1);
    }
    if (import->levels->len == LEVELS_MAX) g_array_set_size(import->levels, LEVELS_MAX - 1);
    Level level = {rank, g_strdup(line)};
    g_array_append_val(import->levels, level);
    Heading heading = {app_import_position(import), rank, is_chapter, g_steal_pointer(&line)};
    g_array_append_val(import->headings, heading);
    return true;
}

bool app_import_page(AppImport *import, const char *label, float width, float height, GError **error)
{
    if (import->pages->len >= APP_PAGES_MAX) return refuse(error, import, APP_LIBRARY_ERROR_INVALID, _("it has more than 100,000 pages"));
    Page page = {app_import_position(import), label != NULL ? tidy_line(label, 64) : g_strdup(""), width, height};
    g_array_append_val(import->pages, page);
    return true;
}

bool app_import_offset(AppImport *import, uint64_t text_char, uint32_t item, uint64_t source_char, GError **error)
{
    GArray *runs = import->offsets;
    AppOffsetRun *last = runs->len > 0 ? &g_array_index(runs, AppOffsetRun, runs->len - 1) : NULL;
    if (last != NULL && text_char < last->text_char) return refuse(error, import, APP_LIBRARY_ERROR_FAILED, _("places in it came out of order"));
    if (last != NULL && last->item == item && source_char - last->source_char == text_char - last->text_char) return true;
    AppOffsetRun run = {text_char, source_char, item};
    if (last != NULL && last->text_char == text_char) {
        *last = run;
    } else {
        g_array_append_val(runs, run);
    }
    return true;
}

uint32_t app_import_item(AppImport *import, const char *name)
{
    g_ptr_array_add(import->items, g_utf8_make_valid(name, -1));
    return import->items->len - 1;
}

bool app_import_box(AppImport *import, uint64_t start, float x0, float y0, float x1, float y1, GError **error)
{
    AppBoxRun run = {start, app_import_position(import), import->pages->len > 0 ? import->pages->len - 1 : 0, x0, y0, x1, y1};
    if (run.end > run.start) g_array_append_val(import->boxes, run);
    return true;
}

bool app_import_begin_table(AppImport *import, GError **error)
{
    if (import->in_table) return refuse(error, import, APP_LIBRARY_ERROR_FAILED, _("a table within a table came out of it"));
    import->in_table = true;
    import->table_start = app_import_position(import);
    return true;
}

bool app_import_end_table(AppImport *import, uint32_t n_head_lines, GError **error)
{
    AppTableRange table = {import->table_start, app_import_position(import), n_head_lines};
    if (import->in_table && table.end > table.start) g_array_append_val(import->tables, table);
    import->in_table = false;
    return true;
}

static void set_line(char **to, const char *text)
{
    if (text == NULL || text[0] == '\0') return;
    g_autofree char *line = tidy_line(text, APP_HEADING_BYTES_MAX);
    if (line[0] == '\0') return;
    g_free(*to);
    *to = g_utf8_normalize(line, -1, G_NORMALIZE_NFC);
}

void app_import_set_title(AppImport *import, const char *title)
{
    set_line(&import->title, title);
}

void app_import_set_author(AppImport *import, const char *author)
{
    set_line(&import->author, author);
}

void app_import_set_language(AppImport *import, const char *language)
{
    set_line(&import->language, language);
}

void app_import_set_note(AppImport *import, const char *note)
{
    set_line(&import->note, note);
}

void app_import_set_metadata(AppImport *import, const char *key, const char *value)
{
    if (value == NULL || value[0] == '\0') return;
    g_autofree char *line = tidy_line(value, APP_HEADING_BYTES_MAX);
    json_object_set_new(import->metadata, key, json_string(line));
}

/* -------------------------------------------------------------------------------------------------------------- writing */

/* Rows of runs start where a reader can find them by the first one's place; complete ones only, unless at_end. */
static bool put_offsets(AppImport *import, AppDb *db, bool at_end, GError **error)
{
    const AppOffsetRun *runs = (const AppOffsetRun *)(void *)import->offsets->data;
    guint done = 0;
    bool ok = true;
    /* The last run stays back: the next one is compared with it. */
    while (ok && (import->offsets->len - done > APP_RUNS_ROW || (at_end && done < import->offsets->len))) {
        guint n = MIN(import->offsets->len - done, (guint)APP_RUNS_ROW);
        g_autoptr(GByteArray) data = g_byte_array_new();
        app_offset_runs_pack(runs + done, n, data);
        ok = app_db_run(db, error, "INSERT INTO offset_runs(document, first, data) VALUES(?, ?, ?)", "iib", import->row,
                        (int64_t)runs[done].text_char, (const void *)data->data, (size_t)data->len);
        done += n;
    }
    if (done > 0) g_array_remove_range(import->offsets, 0, done);
    return ok;
}

static bool put_boxes(AppImport *import, AppDb *db, bool at_end, GError **error)
{
    const AppBoxRun *runs = (const AppBoxRun *)(void *)import->boxes->data;
    guint done = 0;
    bool ok = true;
    while (ok && (import->boxes->len - done >= APP_RUNS_ROW || (at_end && done < import->boxes->len))) {
        guint n = MIN(import->boxes->len - done, (guint)APP_RUNS_ROW);
        while (done + n < import->boxes->len && runs[done + n].start == runs[done].start && n < 16 * APP_RUNS_ROW) n++;
        g_autoptr(GByteArray) data = g_byte_array_new();
        app_box_runs_pack(runs + done, n, data);
        ok = app_db_run(db, error, "INSERT OR REPLACE INTO box_runs(document, first, data) VALUES(?, ?, ?)", "iib", import->row,
                        (int64_t)runs[done].start, (const void *)data->data, (size_t)data->len);
        done += n;
    }
    if (done > 0) g_array_remove_range(import->boxes, 0, done);
    return ok;
}

static bool put_passages(AppImport *import, AppDb *db, GError **error)
{
    bool ok = true;
    for (guint i = 0; ok && i < import->passages->len; i++) {
        const Passage *passage = &g_array_index(import->passages, Passage, i);
        ok = app_db_run(db, error,
                        "INSERT INTO passages(document, start, end, char_start, page, heading, text) VALUES(?, ?, ?, ?, nullif(?, -1), ?, ?)",
                        "iiiiitt", import->row, (int64_t)passage->start, (int64_t)passage->end, (int64_t)passage->char_start, passage->page,
                        passage->heading, passage->text);
    }
    return ok;
}

static bool flush(AppImport *import, GError **error)
{
    if (import->cancel != NULL && __atomic_load_n(import->cancel, __ATOMIC_RELAXED)) {
        return refuse(error, import, APP_LIBRARY_ERROR_CANCELLED, _("stopped"));
    }
    AppDb *db = app_library_begin_write(import->library, error);
    if (db == NULL) return false;
    bool ok = put_passages(import, db, error) && put_offsets(import, db, false, error) && put_boxes(import, db, false, error);
    if (!app_library_end_write(import->library, db, ok, -1, error)) return false;
    g_array_set_size(import->passages, 0);
    import->n_held_bytes = 0;
    return true;
}

/* Ranks as they occur under each other, without gaps: a heading's level is how many it lies under, plus one. */
static bool put_headings(AppImport *import, AppDb *db, GError **error)
{
    g_autoptr(GArray) open = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    bool ok = true;
    for (guint i = 0; ok && i < import->headings->len; i++) {
        const Heading *heading = &g_array_index(import->headings, Heading, i);
        while (open->len > 0 && g_array_index(open, uint32_t, open->len - 1) >= heading->rank) g_array_set_size(open, open->len - 1);
        if (open->len < LEVELS_MAX) g_array_append_val(open, heading->rank);
        uint64_t end = i + 1 < import->headings->len ? g_array_index(import->headings, Heading, i + 1).start : app_import_position(import);
        ok = app_db_run(db, error, "INSERT INTO headings(document, idx, level, is_chapter, start, end, text) VALUES(?, ?, ?, ?, ?, ?, ?)",
                        "iiiiiit", import->row, (int64_t)i, (int64_t)open->len, (int64_t)heading->is_chapter, (int64_t)heading->start,
                        (int64_t)end, heading->text);
    }
    return ok;
}

static bool put_marks(AppImport *import, AppDb *db, GError **error)
{
    bool ok = put_headings(import, db, error);
    for (guint i = 0; ok && i < import->pages->len; i++) {
        const Page *page = &g_array_index(import->pages, Page, i);
        uint64_t end = i + 1 < import->pages->len ? g_array_index(import->pages, Page, i + 1).start : app_import_position(import);
        ok = app_db_run(db, error, "INSERT INTO pages(document, idx, label, start, end, width, height) VALUES(?, ?, ?, ?, ?, ?, ?)", "iitiidd",
                        import->row, (int64_t)i, page->label, (int64_t)page->start, (int64_t)end, (double)page->width, (double)page->height);
    }
    for (guint i = 0; ok && i < import->tables->len; i++) {
        const AppTableRange *table = &g_array_index(import->tables, AppTableRange, i);
        ok = app_db_run(db, error, "INSERT INTO tables(document, idx, start, end, n_head_lines) VALUES(?, ?, ?, ?, ?)", "iiiii", import->row,
                        (int64_t)i, (int64_t)table->start, (int64_t)table->end, (int64_t)table->n_head_lines);
    }
    for (guint i = 0; ok && i < import->items->len; i++) {
        ok = app_db_run(db, error, "INSERT INTO items(document, idx, name) VALUES(?, ?, ?)", "iit", import->row, (int64_t)i,
                        (const char *)g_ptr_array_index(import->items, i));
    }
    return ok;
}

/* ------------------------------------------------------------------------------------------------------------- finishing */

/* What stands first in sections' heads: what the document's metadata says ("head"), else company, period and form where they are known, since a year's report is told from the next
 * one's by nothing else; the title otherwise. g_free. */
static char *head_title(const AppImport *import)
{
    const char *given = json_string_value(json_object_get(import->metadata, "head"));
    if (given != NULL && given[0] != '\0') return g_strdup(given);
    const char *company = json_string_value(json_object_get(import->metadata, "company"));
    const char *period = json_string_value(json_object_get(import->metadata, "period"));
    const char *form = json_string_value(json_object_get(import->metadata, "form"));
    if (company == NULL || (period == NULL && form == NULL)) return g_strdup(import->title);
    return g_strdup_printf("%s%s%s%s%s", company, period != NULL ? " " : "", period != NULL ? period : "", form != NULL ? " " : "",
                           form != NULL ? form : "");
}

static bool complete_row(AppImport *import, AppDb *db, bool has_text, GError **error)
{
    g_autofree char *metadata = NULL;
    char *dumped = json_dumps(import->metadata, JSON_COMPACT | JSON_SORT_KEYS);
    metadata = g_strdup(dumped != NULL ? dumped : "{}");
    free(dumped);
    g_autofree char *head = head_title(import);
    const char *note = import->note != NULL ? import->note : has_text ? "" : N_("There is no text in it");
    return app_library_retitle_passages(db, import->row, import->row_title != NULL ? import->row_title : "", import->title, error) &&
           app_db_run(db, error,
                      "UPDATE documents SET title=?1, author=?2, language=?3, metadata=?4, n_bytes=?5, n_chars=?6, n_pages=?7,"
                      " state=?8, note=?9, head_title=?11 WHERE id=?10",
                      "ttttiiiitit", import->title, import->author != NULL ? import->author : "",
                      import->language != NULL ? import->language : "", metadata, (int64_t)app_import_position(import),
                      (int64_t)import->n_chars, (int64_t)import->pages->len,
                      (int64_t)(has_text ? APP_DOCUMENT_NEW : APP_DOCUMENT_NO_TEXT), note, import->row, head);
}

/* The new parts become those of document `old`; what people gave it (number, uid, own title, collections) stays. */
static bool replace_document(AppImport *import, AppDb *db, int64_t old, GError **error)
{
    bool ok = true;
    for (size_t i = 0; ok && app_library_part_tables[i] != NULL; i++) {
        char sql[128];
        sqlite3_snprintf(sizeof sql, sql, "DELETE FROM %s WHERE document=%lld; UPDATE %s SET document=%lld WHERE document=%lld",
                         app_library_part_tables[i], (long long)old, app_library_part_tables[i], (long long)old, (long long)import->row);
        ok = app_db_exec(db, sql, error);
    }
    g_autofree char *kept = NULL;
    sqlite3_stmt *row = ok ? app_db_query(db, error, "SELECT title FROM documents WHERE id=? AND is_renamed=1", "i", old) : NULL;
    int found = row != NULL ? app_db_step(db, row, error) : -1;
    if (found > 0) {
        kept = app_db_dup_text(row, 0);
        sqlite3_reset(row);
    }
    ok = found >= 0 && (kept == NULL || app_library_retitle_passages(db, old, import->title, kept, error));
    return ok &&
           app_db_run(db, error,
                      "UPDATE documents SET (hash, format, author, language, metadata, n_source_bytes, modified_s, n_bytes, n_chars, n_pages,"
                      " state, note, updated_s) = (SELECT hash, format, author, language, metadata, n_source_bytes, modified_s, n_bytes,"
                      " n_chars, n_pages, state, note, updated_s FROM documents WHERE id=?2), title=iif(is_renamed, title, ?3),"
                      " head_title=iif(is_renamed, head_title, (SELECT head_title FROM documents WHERE id=?2)) WHERE id=?1",
                      "iit", old, import->row, import->title) &&
           app_db_run(db, error, "DELETE FROM documents WHERE id=?", "i", import->row);
}

bool app_import_finish(AppImport *import, int64_t *ret_document, AppImportOutcome *ret_outcome, GError **error)
{
    if (import->title == NULL) import->title = tidy_line(import->name, APP_HEADING_BYTES_MAX);
    if (import->title[0] == '\0') {
        g_free(import->title);
        import->title = g_strdup("Untitled");
    }
    if (!cut(import, true, error) || !flush(import, error)) return false;
    AppDb *db = app_library_begin_write(import->library, error);
    if (db == NULL) return false;
    int64_t old = 0;
    bool has_text = app_import_position(import) > 0;
    bool ok = put_offsets(import, db, true, error) && put_boxes(import, db, true, error) && put_marks(import, db, error) &&
              complete_row(import, db, has_text, error) &&
              app_db_get_int(db, error, 0, &old, "SELECT id FROM documents WHERE path=? AND path<>'' AND importer='' ORDER BY id LIMIT 1", "t",
                             import->path);
    if (ok && old != 0) ok = replace_document(import, db, old, error);
    if (ok && old == 0) ok = app_db_run(db, error, "UPDATE documents SET importer='' WHERE id=?", "i", import->row);
    if (!app_library_end_write(import->library, db, ok, old != 0 ? old : import->row, error)) return false;
    import->finished = true;
    *ret_document = old != 0 ? old : import->row;
    *ret_outcome = old != 0 ? APP_IMPORT_CHANGED : APP_IMPORT_ADDED;
    return true;
}

bool app_import_lookup(AppLibrary *library, const AppImportSource *source, int64_t *ret_document, AppImportOutcome *ret_outcome,
                       GError **error)
{
    AppDb *db = app_library_begin_write(library, error); /* a write: two processes must not both take a moved file */
    if (db == NULL) return false;
    int64_t at_path = 0, same_here = 0, document = 0;
    AppImportOutcome outcome = APP_IMPORT_ADDED;
    bool ok = app_db_get_int(db, error, 0, &at_path, "SELECT id FROM documents WHERE path=? AND path<>'' AND importer='' ORDER BY id LIMIT 1", "t",
                             source->path) &&
              app_db_get_int(db, error, 0, &same_here, "SELECT id FROM documents WHERE id=? AND hash=?", "it", at_path, source->source_hash);
    if (ok && same_here != 0) {
        document = same_here;
        outcome = APP_IMPORT_UNCHANGED;
    } else if (ok && at_path != 0) {
        document = at_path;
        outcome = APP_IMPORT_CHANGED;
    } else if (ok) {
        g_autofree char *other_path = NULL;
        sqlite3_stmt *row = app_db_query(db, error, "SELECT id, path FROM documents WHERE hash=? AND importer='' ORDER BY id LIMIT 1", "t",
                                         source->source_hash);
        int found = row != NULL ? app_db_step(db, row, error) : -1;
        if (found > 0) {
            document = sqlite3_column_int64(row, 0);
            other_path = app_db_dup_text(row, 1);
            sqlite3_reset(row);
            bool is_gone = source->path[0] != '\0' && (other_path[0] == '\0' || !app_source_exists(other_path));
            outcome = is_gone ? APP_IMPORT_MOVED : APP_IMPORT_DUPLICATE;
            if (is_gone) ok = app_db_run(db, error, "UPDATE documents SET path=? WHERE id=?", "ti", source->path, document);
        }
        ok = ok && found >= 0;
    }
    if (!app_library_end_write(library, db, ok, outcome == APP_IMPORT_MOVED ? document : -1, error)) return false;
    *ret_document = document;
    *ret_outcome = outcome;
    return true;
}
