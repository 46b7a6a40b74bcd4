/* app-library-search.c: words to passages and sections, by FTS5 alone.
 *
 * Owns: turning what people type into a query that cannot be a syntax error, ranking, snippets.
 * Does not own: ranking by a model (engine/), which sections a question attends to (app-ask).
 */
#include <string.h>

#include "app-library-internal.h"

enum {
    QUERY_WORDS_MAX = 48,
    RANK_PASSAGES_MAX = 2000, /* passages looked at when sections are ranked */
    LIMIT_DEFAULT = 50,
};

void app_hit_free(AppHit *hit)
{
    if (hit == NULL) return;
    g_free(hit->title);
    g_free(hit->heading);
    g_free(hit->page_label);
    g_free(hit->snippet);
    g_free(hit->value);
    g_free(hit->column);
    g_free(hit);
}

/* --------------------------------------------------------------------------------------------------------------- query */

/* Words that say nothing about a place, sorted for bsearch. Only left out of questions, and only if something remains. */
static const char *const common_words[] = {
    "a",     "about", "all",   "also", "am",    "an",   "and",   "any",   "are",  "as",   "at",    "be",    "been", "but",  "by",
    "can",   "could", "did",   "do",   "does",  "for",  "from",  "had",   "has",  "have", "he",    "her",   "him",  "his",  "how",
    "i",     "if",    "in",    "into", "is",    "it",   "its",   "me",    "my",   "no",   "not",   "of",    "on",   "or",   "our",
    "out",   "she",   "so",    "that", "the",   "their", "them", "then",  "there", "they", "this", "to",    "was",  "we",   "were",
    "what",  "when",  "where", "which", "who",  "whom", "whose", "why",   "will", "with", "would", "you",   "your",
};

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_common(const char *word)
{
    return bsearch(&word, common_words, G_N_ELEMENTS(common_words), sizeof common_words[0], compare_words) != NULL;
}

static bool has_letters(const char *word)
{
    for (const char *at = word; *at != '\0'; at = g_utf8_next_char(at)) {
        if (g_unichar_isalnum(g_utf8_get_char(at))) return true;
    }
    return false;
}

/* Splits at white space, and in `keep_quoted` takes what stands between quotation marks as one term. Elements char*. */
static GPtrArray *split_terms(const char *words, bool keep_quoted)
{
    GPtrArray *terms = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *valid = g_utf8_make_valid(words, -1);
    g_autoptr(GString) term = g_string_new(NULL);
    bool quoted = false;
    for (const char *at = valid;; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        bool is_mark = c == '"' || c == 0x201c || c == 0x201d || c == 0x201e;
        bool ends = c == 0 || is_mark || (g_unichar_isspace(c) && !quoted);
        if (ends) {
            if (has_letters(term->str) && terms->len < QUERY_WORDS_MAX) g_ptr_array_add(terms, g_strdup(term->str));
            g_string_truncate(term, 0);
            if (c == 0) return terms;
            if (is_mark && keep_quoted) quoted = !quoted;
        } else {
            g_string_append_unichar(term, c);
        }
    }
}

static void append_term(GString *query, const char *joint, const char *term)
{
    if (query->len > 0) g_string_append(query, joint);
    g_string_append_c(query, '"'); /* a quoted string holds no syntax: the tokenizer makes a phrase of whatever is in it */
    g_string_append(query, term);
    g_string_append_c(query, '"');
}

char *app_library_make_query(const AppSearch *search)
{
    g_autoptr(GPtrArray) terms = split_terms(search->words != NULL ? search->words : "", search->mode == APP_SEARCH_ALL);
    GString *query = g_string_new(NULL);
    if (search->mode == APP_SEARCH_PHRASE) {
        for (guint i = 0; i < terms->len; i++) append_term(query, " + ", g_ptr_array_index(terms, i));
    } else if (search->mode == APP_SEARCH_ALL) {
        for (guint i = 0; i < terms->len; i++) append_term(query, " AND ", g_ptr_array_index(terms, i));
    } else {
        for (int with_common = 0; with_common < 2 && query->len == 0; with_common++) {
            for (guint i = 0; i < terms->len; i++) {
                g_autofree char *lower = g_utf8_strdown(g_ptr_array_index(terms, i), -1);
                char *end = lower + strlen(lower);
                while (end > lower && g_ascii_ispunct(end[-1])) *--end = '\0';
                if (with_common != 0 || !is_common(lower)) append_term(query, " OR ", g_ptr_array_index(terms, i));
            }
        }
    }
    if (search->prefix && query->len > 0) g_string_append(query, " *");
    bool empty = query->len == 0;
    return g_string_free(query, empty);
}

/* -------------------------------------------------------------------------------------------------------------- search */

char *app_library_make_json(const int64_t *numbers, size_t n_numbers)
{
    if (numbers == NULL) return NULL;
    GString *json = g_string_new("[");
    for (size_t i = 0; i < n_numbers; i++) g_string_append_printf(json, "%s%" G_GINT64_FORMAT, i > 0 ? "," : "", numbers[i]);
    g_string_append_c(json, ']');
    return g_string_free(json, FALSE);
}

/* FTS5 sorts by rank itself (ORDER BY rank), so that snippets are made only for the rows that are taken. */
#define SEARCH_FROM                                                                                                                        \
    " FROM passages_fts CROSS JOIN passages p ON p.id = passages_fts.rowid JOIN documents d ON d.id = p.document"                          \
    " WHERE passages_fts MATCH ?1 AND rank MATCH 'bm25(2.0, 1.0)' AND d.importer = ''"                                                     \
    " AND (?2 IS NULL OR d.id IN (SELECT value FROM json_each(?2)))"                                                                       \
    " AND (?3 = 0 OR d.id IN (SELECT document FROM collection_documents WHERE collection = ?3))"                                           \
    " ORDER BY rank LIMIT ?4 OFFSET ?5"
#define SEARCH_SECTION                                                                                                                     \
    "(SELECT ordinal FROM sections s WHERE s.document = p.document AND s.rule = ifnull(?6, d.rule) AND s.end > p.start ORDER BY s.end LIMIT 1)"

static const char search_full[] =
    "SELECT p.document, p.start, rank, " SEARCH_SECTION ", p.end, p.char_start, p.page, d.title, p.heading, p.text,"
    " snippet(passages_fts, 1, char(2), char(3), '…', 28), highlight(passages_fts, 1, char(2), char(3)),"
    " (SELECT label FROM pages g WHERE g.document = p.document AND g.idx = p.page)" SEARCH_FROM;
static const char search_bare[] =
    "SELECT p.document, p.start, rank, " SEARCH_SECTION ", p.end, p.char_start, p.page, d.title, p.heading, p.text" SEARCH_FROM;
static const char search_ranks[] = "SELECT p.document, p.start, rank, " SEARCH_SECTION SEARCH_FROM;

/* Where the first and the end of that match lie in the highlighted text, without its marks. */
static void find_match(const char *highlighted, AppHit *hit)
{
    const char *open = strchr(highlighted, APP_SNIPPET_OPEN);
    const char *close = open != NULL ? strchr(open, APP_SNIPPET_CLOSE) : NULL;
    if (close == NULL) return;
    hit->match_start = hit->start + (uint64_t)(open - highlighted);
    hit->match_end = hit->match_start + (uint64_t)(close - open - 1);
}

static AppHit *read_hit(sqlite3_stmt *row, bool no_snippet)
{
    AppHit *hit = g_new0(AppHit, 1);
    hit->document = sqlite3_column_int64(row, 0);
    hit->start = hit->match_start = (uint64_t)sqlite3_column_int64(row, 1);
    hit->score = -sqlite3_column_double(row, 2);
    hit->section = sqlite3_column_type(row, 3) == SQLITE_NULL ? -1 : sqlite3_column_int64(row, 3);
    hit->end = hit->match_end = (uint64_t)sqlite3_column_int64(row, 4);
    hit->char_start = (uint64_t)sqlite3_column_int64(row, 5);
    hit->page = sqlite3_column_type(row, 6) == SQLITE_NULL ? UINT32_MAX : (uint32_t)sqlite3_column_int64(row, 6);
    hit->title = app_db_dup_text(row, 7);
    hit->heading = app_db_dup_text(row, 8);
    const char *text = (const char *)sqlite3_column_text(row, 9);
    hit->char_end = hit->char_start + (uint64_t)g_utf8_strlen(text, sqlite3_column_bytes(row, 9));
    hit->snippet = no_snippet ? g_strdup("") : app_db_dup_text(row, 10);
    hit->page_label = no_snippet ? g_strdup("") : app_db_dup_text(row, 12);
    if (!no_snippet) find_match((const char *)sqlite3_column_text(row, 11), hit);
    return hit;
}

static sqlite3_stmt *begin_search(AppDb *db, const AppSearch *search, const char *sql, const char *query, uint32_t limit, GError **error)
{
    g_autofree char *documents = app_library_make_json(search->documents, search->n_documents);
    return app_db_query(db, error, sql, "ttiiit", query, documents, search->collection, (int64_t)limit, (int64_t)search->offset, search->rule);
}

GPtrArray *app_library_search(AppLibrary *library, const AppSearch *search, GError **error)
{
    GPtrArray *hits = g_ptr_array_new_with_free_func((GDestroyNotify)app_hit_free);
    g_autofree char *query = app_library_make_query(search);
    if (query == NULL) return hits;
    AppDb *db = app_library_begin_read(library, error);
    sqlite3_stmt *rows = db == NULL ? NULL
                                    : begin_search(db, search, search->no_snippet ? search_bare : search_full, query,
                                                   search->limit == 0 ? LIMIT_DEFAULT : search->limit, error);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) g_ptr_array_add(hits, read_hit(rows, search->no_snippet));
    app_library_end_read(library, db);
    if (row == 0) return hits;
    g_ptr_array_unref(hits);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- ranking */

static guint hash_place(gconstpointer key)
{
    const AppSectionScore *place = key;
    return (guint)((uint64_t)place->document * 2654435761u + place->section);
}

static gboolean same_place(gconstpointer a, gconstpointer b)
{
    const AppSectionScore *x = a, *y = b;
    return x->document == y->document && x->section == y->section;
}

static int compare_scores(gconstpointer a, gconstpointer b)
{
    const AppSectionScore *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->document != y->document) return x->document < y->document ? -1 : 1;
    return (x->section > y->section) - (x->section < y->section);
}

/* What further passages of a section add to its best one's score: several weak hits must not beat one strong. */
static const double further_weight = 0.2;

GArray *app_library_rank_sections(AppLibrary *library, const AppSearch *search, GError **error)
{
    GArray *scores = g_array_new(FALSE, FALSE, sizeof(AppSectionScore));
    g_autofree char *query = app_library_make_query(search);
    if (query == NULL) return scores;
    AppDb *db = app_library_begin_read(library, error);
    sqlite3_stmt *rows = db == NULL ? NULL : begin_search(db, search, search_ranks, query, RANK_PASSAGES_MAX, error);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(hash_place, same_place, g_free, NULL);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        if (sqlite3_column_type(rows, 3) == SQLITE_NULL) continue;
        AppSectionScore place = {sqlite3_column_int64(rows, 0), (uint32_t)sqlite3_column_int64(rows, 3), -sqlite3_column_double(rows, 2)};
        AppSectionScore *kept = g_hash_table_lookup(seen, &place);
        if (kept != NULL) {
            kept->score += further_weight * place.score; /* rows come best first */
        } else {
            g_hash_table_add(seen, g_memdup2(&place, sizeof place));
        }
    }
    app_library_end_read(library, db);
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, seen);
    while (g_hash_table_iter_next(&iter, &key, NULL)) g_array_append_vals(scores, key, 1);
    g_array_sort(scores, compare_scores);
    if (search->limit > 0 && scores->len > search->limit) g_array_set_size(scores, search->limit);
    if (row == 0) return scores;
    g_array_unref(scores);
    return NULL;
}
