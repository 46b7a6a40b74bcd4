/* app-table-values.c: the cells of tables that a question asks for. */
#include "app-table-values.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app-library-internal.h"

enum {
    DOCUMENTS_MAX = 16, /* looked through for one question, the best fitting first; rate() says how they fit */
    CELLS_MAX = 32,     /* of a row */
    HEADS_MAX = 8,      /* lines of column heads */
    LABEL_BYTES_MAX = 200,
    TERMS_MAX = 24,
};

/* A row counts from here on: most of what is asked for stands in it. */
static const double least_score = 0.62;

/* -------------------------------------------------------------------------------------------------------------- words */

/* Words of questions that are about no row. Sorted for bsearch. */
static const char *const idle_words[] = {
    "a",       "about",  "amount", "an",     "and",   "annual", "any",    "are",     "as",      "at",    "be",     "by",    "company",
    "did",     "do",     "does",   "during", "end",   "fiscal", "for",    "from",    "give",    "had",   "has",    "have",  "high",
    "how",     "in",     "is",     "it",     "its",   "large",  "level",  "many",    "me",      "much",  "of",     "on",    "our",
    "quarter", "report", "show",   "tell",   "than",  "that",   "the",    "their",   "there",   "this",  "to",     "value", "was",
    "we",      "were",   "what",   "which",  "year",
};

/* Different words for the same row. */
static const char *const same_words[][2] = {{"revenue", "sale"},          {"profit", "income"},       {"earning", "income"},
                                            {"stockholder", "shareholder"}, {"r&d", "development"}, {"capex", "expenditure"}};

typedef struct Term {
    char word[40];
    float weight;
} Term;

typedef struct Terms {
    Term list[TERMS_MAX];
    size_t n;
    float weight;
} Terms;

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_idle(const char *word)
{
    return bsearch(&word, idle_words, G_N_ELEMENTS(idle_words), sizeof idle_words[0], compare_words) != NULL;
}

/* Singular, as far as English endings tell. */
static void stem(char *word)
{
    size_t n = strlen(word);
    if (n > 4 && strcmp(word + n - 3, "ies") == 0) {
        strcpy(word + n - 3, "y");
    } else if (n > 3 && word[n - 1] == 's' && word[n - 2] != 's' && word[n - 2] != 'u') {
        word[n - 1] = '\0';
    }
}

static bool is_same_word(const char *a, const char *b)
{
    if (strcmp(a, b) == 0) return true;
    for (size_t i = 0; i < G_N_ELEMENTS(same_words); i++) {
        if ((strcmp(a, same_words[i][0]) == 0 && strcmp(b, same_words[i][1]) == 0) ||
            (strcmp(b, same_words[i][0]) == 0 && strcmp(a, same_words[i][1]) == 0)) {
            return true;
        }
    }
    return false;
}

static const Term *find_term(const Terms *terms, const char *word)
{
    for (size_t i = 0; i < terms->n; i++) {
        if (is_same_word(terms->list[i].word, word)) return &terms->list[i];
    }
    return NULL;
}

static void add_term(Terms *terms, const char *word, float weight)
{
    if (terms->n == TERMS_MAX || find_term(terms, word) != NULL) return;
    g_strlcpy(terms->list[terms->n].word, word, sizeof terms->list[0].word);
    terms->list[terms->n++].weight = weight;
    terms->weight += weight;
}

/* The next word of *io_at in small letters without its ending, in `word`; false: there is none. What stands in brackets is optional in
 * labels ("Net income (loss)"): *ret_in_brackets. A possessive's "'s" is no word. */
static bool next_word(const char **io_at, char word[40], bool *io_in_brackets)
{
    const char *at = *io_at;
    for (; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (c == '(') *io_in_brackets = true;
        if (c == ')') *io_in_brackets = false;
        if (g_unichar_isalnum(c)) break;
    }
    const char *start = at;
    while (*at != '\0' && (g_unichar_isalnum(g_utf8_get_char(at)) || (*at == '&' && g_ascii_isalnum(at[1]) && at > start))) at = g_utf8_next_char(at);
    if (at == start) return false;
    g_autofree char *lower = g_utf8_strdown(start, at - start);
    g_strlcpy(word, lower, 40);
    const char *end = NULL;
    if (!g_utf8_validate(word, -1, &end)) word[end - word] = '\0'; /* cut within a character */
    stem(word);
    if (*at == '\'' || g_utf8_get_char(at) == 0x2019) {
        const char *letter = g_utf8_next_char(at);
        if ((*letter == 's' || *letter == 'S') && !g_ascii_isalnum(letter[1])) at = letter + 1;
    }
    *io_at = at;
    return true;
}

/* ----------------------------------------------------------------------------------------------------------- question */

typedef struct Question {
    Terms terms; /* what a row is to hold: without years and names of companies */
    int years[4];
    size_t n_years;
    int quarter; /* 1 to 4; 0: none */
} Question;

static bool is_year(const char *word)
{
    return strlen(word) == 4 && (g_str_has_prefix(word, "19") || g_str_has_prefix(word, "20")) && g_ascii_isdigit(word[2]) && g_ascii_isdigit(word[3]);
}

static int quarter_of(const char *word, const char *before)
{
    static const char *const ordinals[] = {"first", "second", "third", "fourth"};
    if (word[0] == 'q' && word[1] >= '1' && word[1] <= '4' && word[2] == '\0') return word[1] - '0';
    for (int i = 0; strcmp(word, "quarter") == 0 && i < 4; i++) {
        if (strcmp(before, ordinals[i]) == 0) return i + 1;
    }
    return 0;
}

static void read_question(const char *text, Question *ret_question)
{
    *ret_question = (Question){0};
    char word[40], before[40] = "";
    bool in_brackets = false;
    for (const char *at = text; next_word(&at, word, &in_brackets);) {
        int quarter = quarter_of(word, before);
        if (is_year(word)) {
            if (ret_question->n_years < G_N_ELEMENTS(ret_question->years)) ret_question->years[ret_question->n_years++] = atoi(word);
        } else if (quarter != 0) {
            ret_question->quarter = quarter;
            Terms *terms = &ret_question->terms;
            bool was_ordinal = terms->n > 0 && strcmp(terms->list[terms->n - 1].word, before) == 0 && word[0] != 'q';
            if (strcmp(word, "quarter") == 0 && terms->n > 0 && strcmp(terms->list[terms->n - 1].word, before) == 0) was_ordinal = true;
            if (was_ordinal) terms->weight -= terms->list[--terms->n].weight;
        } else if (strcmp(word, "eps") == 0) {
            add_term(&ret_question->terms, "earning", 1);
            add_term(&ret_question->terms, "share", 1);
        } else if (!is_idle(word) && strlen(word) > 1) {
            add_term(&ret_question->terms, word, strcmp(word, "total") == 0 ? 0.6F : 1);
        }
        g_strlcpy(before, word, sizeof before);
    }
}

static void drop_term(Terms *terms, const char *word)
{
    for (size_t i = 0; i < terms->n; i++) {
        if (strcmp(terms->list[i].word, word) != 0) continue;
        terms->weight -= terms->list[i].weight;
        memmove(&terms->list[i], &terms->list[i + 1], (terms->n - i - 1) * sizeof terms->list[0]);
        terms->n--;
        return;
    }
}

/* ---------------------------------------------------------------------------------------------------------- documents */

typedef struct Candidate {
    int64_t id; /* 0: gone */
    char *title;
    Terms names; /* of its company: the words that tell it from others */
    int year, quarter; /* its period; 0 unknown */
    bool is_named, has_tables;
    float fit;
    guint place; /* among the documents that words of the question find, the best is 0 */
} Candidate;

static void clear_candidate(gpointer data)
{
    g_free(((Candidate *)data)->title);
}

static void add_names(Candidate *candidate, const char *text)
{
    static const char *const endings[] = {"inc", "corp", "corporation", "company", "co", "plc", "ltd", "limited", "llc", "ag", "se", "group", "the", NULL};
    char word[40];
    bool in_brackets = false;
    for (const char *at = text; next_word(&at, word, &in_brackets);) {
        if (!g_strv_contains(endings, word) && strlen(word) > 1 && !g_ascii_isdigit(word[0])) add_term(&candidate->names, word, 1);
    }
}

/* "2022", "2023Q1". */
static void read_period(const char *period, Candidate *candidate)
{
    if (period == NULL || strlen(period) < 4) return;
    candidate->year = (int)g_ascii_strtoll(period, NULL, 10);
    if (candidate->year > 9999) candidate->year = 0;
    const char *quarter = strchr(period, 'Q');
    if (quarter != NULL && quarter[1] >= '1' && quarter[1] <= '4') candidate->quarter = quarter[1] - '0';
}

/* One for each document, in their order. */
static GArray *list_candidates(AppLibrary *library, const int64_t *documents, size_t n, GError **error)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(Candidate));
    g_array_set_clear_func(list, clear_candidate);
    g_array_set_size(list, (guint)n);
    g_autoptr(GHashTable) places = g_hash_table_new(g_int64_hash, g_int64_equal);
    for (size_t i = 0; i < n; i++) g_hash_table_insert(places, (gpointer)&documents[i], GSIZE_TO_POINTER(i + 1));
    AppDb *db = app_library_begin_read(library, error);
    sqlite3_stmt *rows = db == NULL ? NULL
                                    : app_db_query(db, error,
                                                   "SELECT id, title, metadata, EXISTS(SELECT 1 FROM tables t WHERE t.document=d.id)"
                                                   " FROM documents d WHERE importer=''",
                                                   "");
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        int64_t id = sqlite3_column_int64(rows, 0);
        size_t place = GPOINTER_TO_SIZE(g_hash_table_lookup(places, &id));
        if (place == 0) continue;
        Candidate *candidate = &g_array_index(list, Candidate, place - 1);
        g_free(candidate->title); /* named twice */
        candidate->id = id;
        candidate->title = app_db_dup_text(rows, 1);
        candidate->has_tables = sqlite3_column_int(rows, 3) != 0;
        candidate->place = G_MAXUINT;
        const char *text = (const char *)sqlite3_column_text(rows, 2);
        json_t *metadata = text != NULL && strcmp(text, "{}") != 0 ? json_loads(text, 0, NULL) : NULL;
        const char *company = json_string_value(json_object_get(metadata, "company"));
        add_names(candidate, company != NULL ? company : "");
        read_period(json_string_value(json_object_get(metadata, "period")), candidate);
        json_decref(metadata);
    }
    app_library_end_read(library, db);
    if (row == 0) return list;
    g_array_unref(list);
    return NULL;
}

/* How far a report of this period is the place for the year: it is its own, or one that repeats it. */
static float fit_of_period(const Candidate *candidate, const Question *question)
{
    if (candidate->year == 0) return 0.8F;
    float fit = (question->quarter != 0) == (candidate->quarter != 0) ? 1 : 0.6F;
    if (question->n_years == 0) return fit;
    int later = candidate->year - question->years[question->n_years - 1];
    return fit * (later == 0 ? 1 : later == 1 ? 0.9F : later == 2 ? 0.8F : later > 2 ? 0.6F : 0.3F);
}

/* All words of the company's name, or its first, stand in the question. Names of all candidates are not asked-for words of a row. True:
 * some are told from others. */
static bool rate(GArray *candidates, Question *question)
{
    const Terms asked = question->terms;
    guint n_named = 0;
    for (guint i = 0; i < candidates->len; i++) {
        Candidate *candidate = &g_array_index(candidates, Candidate, i);
        candidate->is_named = candidate->names.n > 0 && find_term(&asked, candidate->names.list[0].word) != NULL;
        n_named += candidate->is_named;
        for (size_t k = 0; candidate->is_named && k < candidate->names.n; k++) drop_term(&question->terms, candidate->names.list[k].word);
    }
    float least = 2, most = 0;
    for (guint i = 0; i < candidates->len; i++) {
        Candidate *candidate = &g_array_index(candidates, Candidate, i);
        candidate->fit = fit_of_period(candidate, question) * (n_named > 0 && !candidate->is_named ? 0 : 1);
        least = MIN(least, candidate->fit);
        most = MAX(most, candidate->fit);
    }
    return candidates->len > 0 && most > least;
}

bool app_table_values_rate_documents(AppLibrary *library, const int64_t *documents, size_t n_documents, const char *question, float *ret_fits)
{
    Question read;
    read_question(question, &read);
    g_autoptr(GArray) candidates = list_candidates(library, documents, n_documents, NULL);
    bool differ = candidates != NULL && rate(candidates, &read);
    for (guint i = 0; differ && i < candidates->len; i++) ret_fits[i] = g_array_index(candidates, Candidate, i).fit;
    return differ;
}

/* --------------------------------------------------------------------------------------------------------------- rows */

typedef struct Cell {
    const char *text;
    size_t n_bytes;
} Cell;

typedef struct Row {
    Cell cells[CELLS_MAX];
    size_t n;
} Row;

static void split_row(const char *line, size_t n_bytes, Row *ret_row)
{
    ret_row->n = 0;
    const char *at = line, *end = line + n_bytes;
    while (ret_row->n < CELLS_MAX) {
        const char *bar = memmem(at, (size_t)(end - at), "|", 1), *to = bar != NULL ? bar : end;
        const char *from = at;
        while (from < to && *from == ' ') from++;
        const char *last = to;
        while (last > from && last[-1] == ' ') last--;
        ret_row->cells[ret_row->n++] = (Cell){from, (size_t)(last - from)};
        if (bar == NULL) break;
        at = bar + 1;
    }
}

static bool has_digit(const Cell *cell)
{
    for (size_t i = 0; i < cell->n_bytes; i++) {
        if (g_ascii_isdigit(cell->text[i])) return true;
    }
    return false;
}

static bool holds_year(const Cell *cell, int year)
{
    char text[8];
    g_snprintf(text, sizeof text, "%d", year);
    return memmem(cell->text, cell->n_bytes, text, 4) != NULL;
}

static bool holds_any_year(const Cell *cell)
{
    for (size_t i = 0; i + 4 <= cell->n_bytes; i++) {
        char word[5] = "";
        memcpy(word, cell->text + i, 4);
        if (is_year(word) && (i == 0 || !g_ascii_isdigit(cell->text[i - 1]))) return true;
    }
    return false;
}

typedef struct Table {
    Row heads[HEADS_MAX];
    size_t n_heads;
    bool has_years;
    char group[LABEL_BYTES_MAX]; /* "Cost of sales:" above "Products" */
} Table;

/* Where in `row` the column of a head's cell i is. Columns count from the right, as the heads' first may be missing; where the heads have
 * a label of their own ("Years ended"), they count from there. 0: nowhere. */
static size_t column_of(const Row *head, size_t i, const Row *row)
{
    bool has_label = head->n > 1 && head->cells[0].n_bytes > 0 && !holds_any_year(&head->cells[0]) && holds_any_year(&head->cells[1]);
    size_t from_right = head->n - i;
    size_t at = has_label ? i : from_right < row->n ? row->n - from_right : 0;
    return at < row->n && has_digit(&row->cells[at]) ? at : 0;
}

/* The cell of `row` under the head that names the year. 0: none. */
static size_t column_of_year(const Table *table, const Row *row, int year, Cell *ret_head)
{
    for (size_t h = table->n_heads; h > 0; h--) {
        const Row *head = &table->heads[h - 1];
        for (size_t i = 0; i < head->n; i++) {
            size_t at = holds_year(&head->cells[i], year) ? column_of(head, i, row) : 0;
            if (at == 0) continue;
            *ret_head = head->cells[i];
            return at;
        }
    }
    return 0;
}

/* How well a label says what is asked for: the share of the question's words that it holds, its group's and the heading's words for less,
 * times how much of the label was asked for. */
static double score_label(const Question *question, const Cell *label, const char *group, const char *heading)
{
    g_autofree char *text = g_strndup(label->text, MIN(label->n_bytes, (size_t)LABEL_BYTES_MAX));
    char word[40];
    bool in_brackets = false, found[TERMS_MAX] = {false};
    float n_label = 0, n_matched = 0;
    double got = 0;
    for (const char *at = text; next_word(&at, word, &in_brackets);) {
        if (is_idle(word) || (strlen(word) < 2 && g_ascii_isdigit(word[0]))) continue;
        const Term *term = find_term(&question->terms, word);
        float weight = in_brackets ? 0.15F : strcmp(word, "total") == 0 ? 0.4F : 1;
        n_label += weight;
        if (term == NULL) continue;
        n_matched += weight;
        size_t index = (size_t)(term - question->terms.list);
        if (!found[index]) got += term->weight * (strcmp(term->word, word) == 0 ? 1 : 0.9);
        found[index] = true;
    }
    if (n_matched == 0) return 0;
    const char *const others[] = {group, heading};
    static const double shares[] = {0.9, 0.5};
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        in_brackets = false;
        for (const char *at = others[i]; at != NULL && next_word(&at, word, &in_brackets);) {
            const Term *term = find_term(&question->terms, word);
            size_t index = term != NULL ? (size_t)(term - question->terms.list) : 0;
            if (term == NULL || found[index]) continue;
            got += term->weight * shares[i];
            found[index] = true;
        }
    }
    double recall = got / question->terms.weight, precision = n_matched / n_label;
    return recall * (0.4 + 0.6 * precision);
}

typedef struct Found {
    double score;
    const Candidate *candidate;
    uint64_t line_start, line_end, value_start, value_end;
    char *label, *column, *value;
} Found;

static void clear_found(gpointer data)
{
    Found *found = data;
    g_free(found->label);
    g_free(found->column);
    g_free(found->value);
}

static int compare_found(gconstpointer a, gconstpointer b)
{
    const Found *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->line_start > y->line_start) - (x->line_start < y->line_start);
}

/* Statements repeat what notes and discussions say, and are what is meant. */
static double weight_of_heading(const char *heading)
{
    static const char *const statements[] = {"consolidated statement", "consolidated balance", "statements of", "balance sheet"};
    g_autofree char *lower = g_utf8_strdown(heading, -1);
    for (size_t i = 0; i < G_N_ELEMENTS(statements); i++) {
        if (strstr(lower, statements[i]) != NULL) return 1.04;
    }
    return 1;
}

static void look_at_row(const Question *question, const Candidate *candidate, const Table *table, const Row *row, const char *text, uint64_t line,
                        size_t n_line, const char *heading, GArray *found)
{
    if (row->n < 2 || row->cells[0].n_bytes == 0 || row->cells[0].n_bytes > LABEL_BYTES_MAX) return;
    double score = score_label(question, &row->cells[0], table->group, heading) * candidate->fit * weight_of_heading(heading);
    if (score < least_score) return;
    size_t column = 0;
    Cell head = {"", 0};
    if (question->n_years > 0) {
        column = column_of_year(table, row, question->years[question->n_years - 1], &head);
        if (column == 0) return;
    } else {
        for (size_t i = row->n; i > 1; i--) column = has_digit(&row->cells[i - 1]) ? i - 1 : column;
        if (column == 0 || !table->has_years) return;
        for (size_t h = table->n_heads; h > 0 && head.n_bytes == 0; h--) {
            const Row *heads = &table->heads[h - 1];
            for (size_t i = 0; i < heads->n; i++) {
                if (holds_any_year(&heads->cells[i]) && column_of(heads, i, row) == column) head = heads->cells[i];
            }
        }
    }
    const Cell *value = &row->cells[column];
    uint64_t at = (uint64_t)(value->text - text);
    Found one = {score, candidate, line, line + n_line, at, at + value->n_bytes, g_strndup(row->cells[0].text, row->cells[0].n_bytes),
                 g_strndup(head.text, head.n_bytes), g_strndup(value->text, value->n_bytes)};
    g_array_append_val(found, one);
}

static void look_at_table(const Question *question, const Candidate *candidate, const AppTableRange *range, const char *text, size_t n_text,
                          const char *heading, GArray *found)
{
    Table table = {.n_heads = 0};
    uint32_t line_number = 0;
    for (uint64_t at = range->start; at < range->end && at < n_text; line_number++) {
        const char *newline = memchr(text + at, '\n', (size_t)(MIN(range->end, n_text) - at));
        size_t n_line = newline != NULL ? (size_t)(newline - (text + at)) : (size_t)(MIN(range->end, n_text) - at);
        Row row;
        split_row(text + at, n_line, &row);
        bool is_head = line_number < range->n_head_lines || (line_number == 0 && row.n > 1 && holds_any_year(&row.cells[row.n - 1]));
        for (size_t i = 0; !is_head && i < row.n; i++) is_head = row.n > 1 && row.cells[0].n_bytes == 0 && holds_any_year(&row.cells[i]);
        if (is_head) {
            if (table.n_heads == HEADS_MAX) memmove(table.heads, table.heads + 1, --table.n_heads * sizeof table.heads[0]);
            table.heads[table.n_heads++] = row;
            for (size_t i = 0; i < row.n; i++) table.has_years = table.has_years || holds_any_year(&row.cells[i]);
        } else if (row.n == 1 && row.cells[0].n_bytes > 0) {
            g_autofree char *group = g_strndup(row.cells[0].text, MIN(row.cells[0].n_bytes, (size_t)LABEL_BYTES_MAX - 1));
            g_strlcpy(table.group, group, sizeof table.group);
        } else {
            look_at_row(question, candidate, &table, &row, text, at, n_line, heading, found);
        }
        at += n_line + 1;
    }
}

static bool look_at_document(AppLibrary *library, const Question *question, const Candidate *candidate, GArray *found, GError **error)
{
    int64_t id = candidate->id;
    g_autoptr(GArray) tables = app_library_list_tables(library, id, error);
    g_autoptr(GPtrArray) headings = tables != NULL && tables->len > 0 ? app_library_list_headings(library, id, error) : NULL;
    if (tables == NULL || (tables->len > 0 && headings == NULL)) return false;
    if (tables->len == 0) return true;
    size_t n_text = 0;
    g_autofree char *text = app_library_get_text(library, id, 0, UINT64_MAX, &n_text, error);
    if (text == NULL) return false;
    guint h = 0;
    for (guint i = 0; i < tables->len; i++) {
        const AppTableRange *range = &g_array_index(tables, AppTableRange, i);
        while (h < headings->len && ((const AppHeading *)g_ptr_array_index(headings, h))->start <= range->start) h++;
        look_at_table(question, candidate, range, text, n_text, h > 0 ? ((const AppHeading *)g_ptr_array_index(headings, h - 1))->text : "", found);
    }
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- whole */

static int compare_fits(gconstpointer a, gconstpointer b)
{
    const Candidate *x = *(const Candidate *const *)a, *y = *(const Candidate *const *)b;
    if (x->fit != y->fit) return x->fit > y->fit ? -1 : 1;
    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static AppHit *make_hit(AppLibrary *library, const Found *found)
{
    int64_t id = found->candidate->id;
    g_autoptr(AppPlace) row = app_library_locate(library, id, found->line_start, found->line_end, NULL);
    if (row == NULL) return NULL;
    AppHit *hit = g_new0(AppHit, 1);
    hit->document = id;
    hit->title = g_strdup(found->candidate->title);
    hit->heading = g_strdup(row->heading);
    hit->start = found->line_start;
    hit->end = found->line_end;
    hit->char_start = row->char_start;
    hit->char_end = row->char_end;
    hit->match_start = found->value_start;
    hit->match_end = found->value_end;
    hit->page = row->page_first;
    hit->page_label = g_strdup(row->page_label);
    hit->section = -1;
    hit->score = found->score;
    hit->column = g_strdup(found->column);
    hit->value = g_strdup(found->value);
    hit->snippet = g_strdup_printf("%s%s%s: %c%s%c", found->label, found->column[0] != '\0' ? ", " : "", found->column, APP_SNIPPET_OPEN,
                                   found->value, APP_SNIPPET_CLOSE);
    return hit;
}

/* The same figure of the same row in another place or a later report adds nothing. */
static bool is_repetition(const GArray *found, guint at)
{
    const Found *one = &g_array_index(found, Found, at);
    for (guint i = 0; i < at; i++) {
        const Found *other = &g_array_index(found, Found, i);
        if (strcmp(one->value, other->value) == 0 && g_ascii_strcasecmp(one->label, other->label) == 0) return true;
    }
    return false;
}

/* Where there are many that fit, those with the question's words go first. */
static void place_by_words(AppLibrary *library, GPtrArray *candidates, const char *question)
{
    enum { PASSAGES = 400 };
    g_autoptr(GHashTable) by_id = g_hash_table_new(g_int64_hash, g_int64_equal);
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    for (guint i = 0; i < candidates->len; i++) {
        Candidate *candidate = g_ptr_array_index(candidates, i);
        g_hash_table_insert(by_id, &candidate->id, candidate);
        g_array_append_val(ids, candidate->id);
    }
    const AppSearch search = {.words = question, .mode = APP_SEARCH_ANY, .documents = (const int64_t *)(void *)ids->data, .n_documents = ids->len,
                              .limit = PASSAGES, .no_snippet = true};
    g_autoptr(GPtrArray) hits = app_library_search(library, &search, NULL);
    for (guint i = 0; hits != NULL && i < hits->len; i++) {
        Candidate *candidate = g_hash_table_lookup(by_id, &((const AppHit *)g_ptr_array_index(hits, i))->document);
        if (candidate != NULL) candidate->place = MIN(candidate->place, i);
    }
}

GPtrArray *app_table_values_find(AppLibrary *library, const int64_t *documents, size_t n_documents, const char *question, uint32_t n_max,
                                 GError **error)
{
    Question read;
    read_question(question, &read);
    g_autoptr(GArray) candidates = list_candidates(library, documents, n_documents, error);
    if (candidates == NULL) return NULL;
    rate(candidates, &read);
    g_autoptr(GPtrArray) order = g_ptr_array_new(), hits = g_ptr_array_new_with_free_func((GDestroyNotify)app_hit_free);
    for (guint i = 0; read.terms.n > 0 && i < candidates->len; i++) {
        Candidate *candidate = &g_array_index(candidates, Candidate, i);
        if (candidate->fit > 0 && candidate->has_tables) g_ptr_array_add(order, candidate);
    }
    if (order->len > DOCUMENTS_MAX) place_by_words(library, order, question);
    g_ptr_array_sort(order, compare_fits);
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(Found));
    g_array_set_clear_func(found, clear_found);
    for (guint i = 0; i < order->len && i < DOCUMENTS_MAX; i++) {
        if (!look_at_document(library, &read, g_ptr_array_index(order, i), found, error)) return NULL;
    }
    g_array_sort(found, compare_found);
    for (guint i = 0; i < found->len && hits->len < n_max; i++) {
        AppHit *hit = is_repetition(found, i) ? NULL : make_hit(library, &g_array_index(found, Found, i));
        if (hit != NULL) g_ptr_array_add(hits, hit);
    }
    return g_steal_pointer(&hits);
}

GPtrArray *app_library_find_values(AppLibrary *library, const AppSearch *search, GError **error)
{
    enum { LIMIT_DEFAULT = 10 };
    uint32_t limit = search->limit > 0 ? search->limit : LIMIT_DEFAULT;
    if (search->documents != NULL) return app_table_values_find(library, search->documents, search->n_documents, search->words, limit, error);
    g_autoptr(GPtrArray) documents = app_library_list_documents(library, search->collection, APP_ORDER_ADDED, 0, 0, error);
    if (documents == NULL) return NULL;
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    for (guint i = 0; i < documents->len; i++) g_array_append_val(ids, ((const AppDocument *)g_ptr_array_index(documents, i))->id);
    return app_table_values_find(library, (const int64_t *)(void *)ids->data, ids->len, search->words, limit, error);
}
