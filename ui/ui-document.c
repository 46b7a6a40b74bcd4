/* ui-document.c: see ui-document.h. */
#define G_LOG_DOMAIN "ui-document"
#include "ui-document.h"

#include <string.h>
#include <unistd.h>

enum {
    BLOCK_BYTES = 4096,
    FULL_LINE_CHARS_MIN = 45, /* narrower columns of prose are rare, verses of that length are not */
    FULL_LINE_CHARS_MAX = 120, /* texts with longer lines were not broken by a page */
    FULL_LINE_SLACK = 6,
    HEAD_ROWS_MAX = 3, /* of a table: more are rows that lack a label */
};

/* --------------------------------------------------------------------------------------------------------------- lines */

typedef struct Line {
    size_t start, end; /* without its break */
} Line;

typedef struct Setter { /* the state of setting a document's lines */
    UiDocument *document;
    GArray *block; /* Line: those of the paragraph or table at hand */
    size_t full_chars; /* how long full lines are in this text; 0: its lines are not broken by a page */
    guint next_heading;
    bool is_markdown;
} Setter;

static void add_span(Setter *setter, size_t start, size_t end, UiLineStyle style, uint32_t table)
{
    UiSpan span = {start, end, style, table};
    g_array_append_val(setter->document->spans, span);
}

static size_t line_chars(const UiDocument *document, const Line *line)
{
    return (size_t)g_utf8_strlen(document->text + line->start, (gssize)(line->end - line->start));
}

/* The 90th percentile of the lines' lengths, when it is that of a text broken for a page. */
static size_t measure_full_lines(const UiDocument *document)
{
    guint n_lines = 0, counts[FULL_LINE_CHARS_MAX + 1] = {0};
    for (const char *at = document->text, *end = at + document->n_bytes; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL) stop = end;
        size_t n_chars = (size_t)g_utf8_strlen(at, stop - at);
        if (n_chars > 0) {
            counts[MIN(n_chars, FULL_LINE_CHARS_MAX)]++;
            n_lines++;
        }
        at = stop + 1;
    }
    guint n_above = 0;
    size_t n_chars = FULL_LINE_CHARS_MAX;
    while (n_chars > 0 && n_above + counts[n_chars] < (n_lines + 9) / 10) n_above += counts[n_chars--];
    return n_chars >= FULL_LINE_CHARS_MIN && n_chars < FULL_LINE_CHARS_MAX ? n_chars : 0;
}

/* Whether the break between two lines is there only because the next word did not fit. */
static bool is_soft_break(const Setter *setter, const Line *line, const Line *next)
{
    const char *text = setter->document->text;
    if (text[next->start] == ' ' || text[next->start] == '\t') return false;
    const char *word_end = memchr(text + next->start, ' ', next->end - next->start);
    size_t n_word = word_end != NULL ? (size_t)(word_end - text) - next->start : next->end - next->start;
    return line_chars(setter->document, line) + 1 + n_word + FULL_LINE_SLACK > setter->full_chars;
}

static void set_paragraph(Setter *setter)
{
    if (setter->full_chars == 0) return;
    for (guint i = 0; i + 1 < setter->block->len; i++) {
        const Line *line = &g_array_index(setter->block, Line, i);
        if (is_soft_break(setter, line, line + 1)) setter->document->text[line->end] = ' ';
    }
}

/* -------------------------------------------------------------------------------------------------------------- tables */

static const char *find_border(const char *text, size_t n_bytes)
{
    return memmem(text, n_bytes, " | ", 3);
}

static bool is_number_cell(const char *text, size_t n_bytes)
{
    guint n_digits = 0, n_letters = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        n_digits += g_ascii_isdigit(text[i]) != 0;
        n_letters += g_ascii_isalpha(text[i]) != 0;
    }
    return n_digits > n_letters || (n_letters == 0 && n_bytes <= 4);
}

static void measure_row(UiDocument *document, const Line *line, UiTable *table, guint n_cells[], guint n_numbers[])
{
    char *at = document->text + line->start, *end = document->text + line->end;
    /* Markdown's borders at both ends of a row are blanks here. */
    if (end - at > 2 && *at == '|') *at++ = ' ';
    if (end - at > 2 && end[-1] == '|') *--end = ' ';
    uint32_t column = 0;
    while (true) {
        char *border = (char *)find_border(at, (size_t)(end - at));
        if (border == NULL && column == 0) return; /* a caption over or between rows: as wide as it likes */
        size_t n_bytes = (size_t)((border != NULL ? border : end) - at);
        if (column < UI_TABLE_COLUMNS_MAX) {
            size_t n_chars = (size_t)g_utf8_strlen(at, (gssize)n_bytes);
            table->n_chars[column] = (uint16_t)MAX(table->n_chars[column], MIN(n_chars, 1000));
            table->n_columns = MAX(table->n_columns, column + 1);
            n_cells[column]++;
            n_numbers[column] += is_number_cell(at, n_bytes);
        }
        if (border == NULL) return;
        border[1] = '\t';
        at = border + 3;
        column++;
    }
}

static bool has_one_cell(const UiDocument *document, const Line *line)
{
    return memchr(document->text + line->start, '\t', line->end - line->start) == NULL;
}

/* "March 31, 2023", "2023": what stands over figures, and hardly over labels. */
static bool ends_in_year(const char *text, const char *end)
{
    while (end > text && end[-1] == ' ') end--;
    if (end - text < 4 || (end - text > 4 && g_ascii_isalnum(end[-5]))) return false;
    return (memcmp(end - 4, "19", 2) == 0 || memcmp(end - 4, "20", 2) == 0) && g_ascii_isdigit(end[-2]) && g_ascii_isdigit(end[-1]);
}

/* Heads are often fewer by one than what stands below them, as nothing stands above the labels: "2021 | 2020" over "Net sales | 9 | 8".
 * Further down, where a label may lack a figure, only years are taken for heads. */
static bool lacks_first_head(const UiDocument *document, const Line *line, const UiTable *table, bool is_first)
{
    const char *at = document->text + line->start, *end = document->text + line->end;
    uint32_t n_cells = 1;
    for (const char *tab = at; (tab = memchr(tab, '\t', (size_t)(end - tab))) != NULL; tab++) n_cells++;
    const char *border = memchr(at, '\t', (size_t)(end - at));
    bool has_digit = false;
    for (const char *c = at; border != NULL && c < border; c++) has_digit |= g_ascii_isdigit(*c);
    return n_cells + 1 == table->n_columns && has_digit && g_ascii_isdigit(end[-1]) && (is_first || ends_in_year(at, border));
}

static bool is_table(const Setter *setter)
{
    guint n_rows = 0;
    for (guint i = 0; i < setter->block->len; i++) {
        const Line *line = &g_array_index(setter->block, Line, i);
        n_rows += find_border(setter->document->text + line->start, line->end - line->start) != NULL;
    }
    return n_rows > 0 && n_rows * 2 >= setter->block->len;
}

static void set_table(Setter *setter)
{
    UiTable table = {0};
    guint n_cells[UI_TABLE_COLUMNS_MAX] = {0}, n_numbers[UI_TABLE_COLUMNS_MAX] = {0};
    for (guint i = 0; i < setter->block->len; i++) {
        measure_row(setter->document, &g_array_index(setter->block, Line, i), &table, n_cells, n_numbers);
    }
    for (uint32_t i = 1; i < table.n_columns; i++) table.is_number[i] = n_numbers[i] * 2 >= n_cells[i];
    const Line *first = &g_array_index(setter->block, Line, 0), *last = first + setter->block->len - 1;
    add_span(setter, first->start, MIN(last->end + 1, setter->document->n_bytes), UI_LINE_TABLE, setter->document->tables->len);
    guint n_heads = 0; /* at the top, before the first row of figures */
    for (guint i = 0; i < setter->block->len && table.n_columns > 2; i++) {
        const Line *line = &g_array_index(setter->block, Line, i);
        if (has_one_cell(setter->document, line)) continue;
        bool is_head = lacks_first_head(setter->document, line, &table, n_heads < HEAD_ROWS_MAX);
        if (is_head) add_span(setter, line->start, line->end, UI_LINE_TABLE_HEAD, setter->document->tables->len);
        n_heads = is_head ? n_heads + 1 : HEAD_ROWS_MAX;
    }
    g_array_append_val(setter->document->tables, table);
}

/* ------------------------------------------------------------------------------------------------------------- setting */

/* GTK 4.8 lays out a line without a tag's beginning or end in the style of the line it laid out before, wherever that was: every line gets
 * one, with a tag on every second line that says nothing. */
static void mark_lines(Setter *setter)
{
    const char *text = setter->document->text;
    bool is_other = false;
    for (guint i = 1; i < setter->block->len; i++) {
        const Line *line = &g_array_index(setter->block, Line, i);
        if (text[line[-1].end] != '\n') continue; /* joined */
        guint last = i;
        while (last + 1 < setter->block->len && text[g_array_index(setter->block, Line, last).end] != '\n') last++;
        is_other = !is_other;
        size_t end = g_array_index(setter->block, Line, last).end;
        if (is_other) add_span(setter, line->start, MIN(end + 1, setter->document->n_bytes), UI_LINE_OTHER, 0);
    }
}

static void set_block(Setter *setter)
{
    if (setter->block->len == 0) return;
    if (is_table(setter)) set_table(setter);
    else set_paragraph(setter);
    mark_lines(setter);
    g_array_set_size(setter->block, 0);
}

/* The number signs before a heading. */
static void hide_heading_marks(Setter *setter, const Line *line)
{
    const char *text = setter->document->text + line->start;
    size_t n = strspn(text, "#");
    if (n == 0 || n > 6 || (text[n] != ' ' && text[n] != '\t')) return;
    n += strspn(text + n, " \t");
    if (line->start + n < line->end) add_span(setter, line->start, line->start + n, UI_LINE_HIDDEN, 0);
}

/* A line that only says that the one above is a heading, or a table's head: "-----", "|---|--:|". */
static bool is_rule_line(const UiDocument *document, const Line *line)
{
    size_t n = strspn(document->text + line->start, "-=|: \t");
    return n >= line->end - line->start && memchr(document->text + line->start, '-', line->end - line->start) != NULL &&
           line->end - line->start >= 3;
}

/* True: the line is a heading's, and not part of a paragraph. */
static bool set_heading(Setter *setter, const Line *line)
{
    const GPtrArray *headings = setter->document->headings;
    const AppHeading *heading = NULL;
    while (setter->next_heading < headings->len) {
        const AppHeading *next = g_ptr_array_index(headings, setter->next_heading);
        if (next->start >= line->end) break;
        if (next->start >= line->start) heading = next;
        setter->next_heading++;
    }
    if (heading == NULL) return false;
    set_block(setter);
    uint32_t level = CLAMP(heading->level, 1, 4);
    add_span(setter, line->start, MIN(line->end + 1, setter->document->n_bytes), (UiLineStyle)(UI_LINE_HEADING_1 + level - 1), 0);
    if (setter->is_markdown) hide_heading_marks(setter, line);
    return true;
}

static void set_lines(UiDocument *document)
{
    Setter setter = {.document = document, .block = g_array_new(FALSE, FALSE, sizeof(Line)), .full_chars = measure_full_lines(document),
                     .is_markdown = strcmp(document->info->format, "markdown") == 0};
    for (size_t at = 0; at < document->n_bytes;) {
        const char *stop = memchr(document->text + at, '\n', document->n_bytes - at);
        Line line = {at, stop != NULL ? (size_t)(stop - document->text) : document->n_bytes};
        if (line.end == line.start) {
            set_block(&setter);
            add_span(&setter, line.start, line.end + 1, UI_LINE_GAP, 0);
        } else if (setter.is_markdown && is_rule_line(document, &line)) {
            add_span(&setter, line.start, MIN(line.end + 1, document->n_bytes), UI_LINE_HIDDEN, 0);
        } else if (!set_heading(&setter, &line)) {
            g_array_append_val(setter.block, line);
        }
        at = line.end + 1;
    }
    set_block(&setter);
    g_array_unref(setter.block);
}

static int compare_spans(gconstpointer a, gconstpointer b)
{
    const UiSpan *first = a, *second = b;
    return first->start < second->start ? -1 : first->start > second->start;
}

static void count_chars(UiDocument *document)
{
    size_t n_blocks = document->n_bytes / BLOCK_BYTES + 1, n_chars = 0;
    document->block_chars = g_new(uint32_t, n_blocks + 1);
    for (size_t i = 0; i < n_blocks; i++) {
        document->block_chars[i] = (uint32_t)n_chars;
        size_t end = MIN((i + 1) * BLOCK_BYTES, document->n_bytes);
        for (size_t at = i * BLOCK_BYTES; at < end; at++) n_chars += ((unsigned char)document->text[at] & 0xc0) != 0x80;
    }
    document->block_chars[n_blocks] = (uint32_t)n_chars;
    document->n_chars = n_chars;
}

/* ------------------------------------------------------------------------------------------------------------- loading */

static bool load_parts(UiDocument *document, AppLibrary *library, const bool *cancel, GError **error)
{
    int64_t id = document->info->id;
    document->text = app_library_get_text(library, id, 0, UINT64_MAX, &document->n_bytes, error);
    if (document->text == NULL) return false;
    document->headings = app_library_list_headings(library, id, error);
    if (document->headings == NULL) return false;
    document->pages = app_library_list_pages(library, id, error);
    if (document->pages == NULL) return false;
    if (!app_library_get_reading_position(library, id, &document->has_position, &document->position, error)) return false;
    bool is_pdf = strcmp(document->info->format, "pdf") == 0;
    document->source = app_document_open_file(document->info, cancel, is_pdf ? &document->source_fd : NULL);
    return true;
}

UiDocument *ui_document_load(AppLibrary *library, int64_t id, const bool *cancel, GError **error)
{
    UiDocument *document = g_new0(UiDocument, 1);
    g_atomic_ref_count_init(&document->n_refs);
    document->source_fd = -1;
    document->spans = g_array_new(FALSE, FALSE, sizeof(UiSpan));
    document->tables = g_array_new(FALSE, FALSE, sizeof(UiTable));
    document->info = app_library_get_document(library, id, error);
    if (document->info == NULL || !load_parts(document, library, cancel, error)) {
        ui_document_unref(document);
        return NULL;
    }
    set_lines(document);
    g_array_sort(document->spans, compare_spans);
    count_chars(document);
    return document;
}

UiDocument *ui_document_ref(UiDocument *document)
{
    g_atomic_ref_count_inc(&document->n_refs);
    return document;
}

void ui_document_unref(UiDocument *document)
{
    if (document == NULL || !g_atomic_ref_count_dec(&document->n_refs)) return;
    app_document_free(document->info);
    g_free(document->text);
    g_array_unref(document->spans);
    g_array_unref(document->tables);
    if (document->headings != NULL) g_ptr_array_unref(document->headings);
    if (document->pages != NULL) g_ptr_array_unref(document->pages);
    if (document->source_fd >= 0) close(document->source_fd);
    g_free(document->block_chars);
    g_free(document);
}

/* -------------------------------------------------------------------------------------------------------------- places */

size_t ui_document_chars_at(const UiDocument *document, uint64_t byte)
{
    size_t at = (size_t)MIN(byte, (uint64_t)document->n_bytes), block = at / BLOCK_BYTES;
    size_t n_chars = document->block_chars[block];
    for (size_t i = block * BLOCK_BYTES; i < at; i++) n_chars += ((unsigned char)document->text[i] & 0xc0) != 0x80;
    return n_chars;
}

uint64_t ui_document_byte_at(const UiDocument *document, size_t n_chars)
{
    size_t low = 0, high = document->n_bytes / BLOCK_BYTES + 1; /* the last block with no more characters before it is low */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (document->block_chars[middle] <= n_chars) low = middle;
        else high = middle;
    }
    size_t at = low * BLOCK_BYTES, n = document->block_chars[low];
    for (; at < document->n_bytes; at++) {
        bool begins = ((unsigned char)document->text[at] & 0xc0) != 0x80;
        if (begins && n == n_chars) break;
        n += begins;
    }
    return at;
}

int ui_document_heading_at(const UiDocument *document, uint64_t byte)
{
    guint low = 0, high = document->headings->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        const AppHeading *heading = g_ptr_array_index(document->headings, middle);
        if (heading->start <= byte) low = middle + 1;
        else high = middle;
    }
    return (int)low - 1;
}

int ui_document_page_at(const UiDocument *document, uint64_t byte)
{
    guint low = 0, high = document->pages->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        const AppPage *page = g_ptr_array_index(document->pages, middle);
        if (page->start <= byte) low = middle + 1;
        else high = middle;
    }
    return (int)low - 1;
}

int ui_document_find_page(const UiDocument *document, const char *typed)
{
    g_autofree char *wanted = g_strstrip(g_strdup(typed));
    if (*wanted == '\0') return -1;
    for (guint i = 0; i < document->pages->len; i++) {
        const AppPage *page = g_ptr_array_index(document->pages, i);
        if (g_ascii_strcasecmp(page->label, wanted) == 0) return (int)i;
    }
    guint64 number;
    if (!g_ascii_string_to_unsigned(wanted, 10, 1, document->pages->len, &number, NULL)) return -1;
    return (int)number - 1;
}

/* ------------------------------------------------------------------------------------------------------------- finding */

static char *pattern_of(const char *words)
{
    GString *pattern = g_string_new(NULL);
    for (const char *at = words; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (g_unichar_isspace(c) || c == '|') {
            if (!g_str_has_suffix(pattern->str, "\\s+")) g_string_append(pattern, "\\s+");
        } else if (c == '\'') {
            g_string_append(pattern, "['‘’‛ʼ]");
        } else if (c == '"') {
            g_string_append(pattern, "[\"“”„«»]");
        } else if (c == '-') {
            g_string_append(pattern, "[-‐‑–—]");
        } else {
            g_autofree char *literal = g_strndup(at, (gsize)(g_utf8_next_char(at) - at));
            g_autofree char *escaped = g_regex_escape_string(literal, -1);
            g_string_append(pattern, escaped);
        }
    }
    return g_string_free(pattern, FALSE);
}

GArray *ui_document_find(const UiDocument *document, const char *words, const bool *cancel)
{
    GArray *found = g_array_new(FALSE, FALSE, sizeof(UiRange));
    g_autofree char *trimmed = g_strstrip(g_strdup(words));
    g_autofree char *normal = g_utf8_normalize(trimmed, -1, G_NORMALIZE_NFC);
    if (normal == NULL || *normal == '\0') return found;
    g_autofree char *pattern = pattern_of(normal);
    g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_CASELESS | G_REGEX_OPTIMIZE, 0, NULL);
    if (regex == NULL) return found;
    g_autoptr(GMatchInfo) match = NULL;
    bool has = g_regex_match_full(regex, document->text, (gssize)document->n_bytes, 0, 0, &match, NULL);
    while (has && found->len < UI_MATCHES_MAX && !(cancel != NULL && __atomic_load_n(cancel, __ATOMIC_RELAXED))) {
        int start = 0, end = 0;
        g_match_info_fetch_pos(match, 0, &start, &end);
        UiRange range = {(uint64_t)start, (uint64_t)end};
        g_array_append_val(found, range);
        has = g_match_info_next(match, NULL);
    }
    return found;
}
