/* extract-headings.c: styles, outline and numbered parts decide what is a heading.
 *
 * Owns: the count of styles and their order.
 */
#include "extract-headings.h"

#include <math.h>
#include <string.h>

enum { STYLES_MAX = 512, TEXT_MAX = 200, RANKS_MAX = 5 };

typedef struct Style {
    uint16_t size; /* half points */
    uint8_t flags;
    bool is_caps;
    uint64_t n_chars;
    uint32_t n_lines;
    unsigned rank; /* 0: body text */
} Style;

typedef struct OutlineEntry {
    uint32_t page;
    unsigned depth;
    char *key;
} OutlineEntry;

struct ExHeadings {
    GArray *styles;     /* Style */
    GPtrArray *outline; /* OutlineEntry* */
    GHashTable *by_key; /* key -> OutlineEntry*, of the first with that title */
    char *company_key;
    bool is_filing;
    uint16_t body_size;
    bool is_body_bold;
    unsigned n_outline_depths;
};

static void outline_entry_free(gpointer data)
{
    OutlineEntry *entry = data;
    g_free(entry->key);
    g_free(entry);
}

ExHeadings *ex_headings_new(void)
{
    ExHeadings *headings = g_new0(ExHeadings, 1);
    headings->styles = g_array_new(FALSE, FALSE, sizeof(Style));
    headings->outline = g_ptr_array_new_with_free_func(outline_entry_free);
    headings->by_key = g_hash_table_new(g_str_hash, g_str_equal);
    return headings;
}

void ex_headings_free(ExHeadings *headings)
{
    if (!headings) return;
    g_array_unref(headings->styles);
    g_hash_table_unref(headings->by_key);
    g_ptr_array_unref(headings->outline);
    g_free(headings->company_key);
    g_free(headings);
}

/* Letters and digits alone, so that spaces, dashes and quotation marks do not matter when titles are compared. */
static char *title_key(const char *text)
{
    GString *key = g_string_new(NULL);
    for (const char *p = text; *p && key->len < TEXT_MAX; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (g_unichar_isalnum(c)) g_string_append_unichar(key, g_unichar_tolower(c));
    }
    return g_string_free(key, FALSE);
}

static bool is_caps(const char *text)
{
    int n_upper = 0;
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (g_unichar_islower(c)) return false;
        n_upper += g_unichar_isupper(c) != 0;
    }
    return n_upper > 2;
}

static Style style_of(const ExLine *line, const char *text)
{
    Style style = {.size = (uint16_t)CLAMP(lrintf(line->size * 2), 1, 2000), .flags = line->flags, .is_caps = is_caps(text)};
    return style;
}

static Style *find_style(const ExHeadings *headings, const Style *like)
{
    for (guint i = 0; i < headings->styles->len; i++) {
        Style *style = &g_array_index(headings->styles, Style, i);
        if (style->size == like->size && style->flags == like->flags && style->is_caps == like->is_caps) return style;
    }
    return NULL;
}

void ex_headings_count(ExHeadings *headings, const ExLine *line, const char *text)
{
    Style like = style_of(line, text);
    Style *style = find_style(headings, &like);
    if (!style) {
        if (headings->styles->len == STYLES_MAX) return;
        g_array_append_val(headings->styles, like);
        style = &g_array_index(headings->styles, Style, headings->styles->len - 1);
    }
    style->n_chars += (uint64_t)g_utf8_strlen(text, -1);
    style->n_lines++;
}

void ex_headings_outline(ExHeadings *headings, uint32_t page, unsigned depth, const char *title)
{
    OutlineEntry *entry = g_new0(OutlineEntry, 1);
    entry->page = page;
    entry->depth = depth;
    entry->key = title_key(title);
    g_ptr_array_add(headings->outline, entry);
    headings->n_outline_depths = MAX(headings->n_outline_depths, depth + 1);
    if (*entry->key && !g_hash_table_contains(headings->by_key, entry->key)) g_hash_table_insert(headings->by_key, entry->key, entry);
}

/* Larger first; then capitals, then bold, then what is not italic. */
static int compare_styles(gconstpointer a, gconstpointer b)
{
    const Style *x = *(Style *const *)a, *y = *(Style *const *)b;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    if (x->is_caps != y->is_caps) return x->is_caps ? -1 : 1;
    if ((x->flags ^ y->flags) & EX_WORD_BOLD) return x->flags & EX_WORD_BOLD ? -1 : 1;
    return (x->flags & EX_WORD_ITALIC) - (y->flags & EX_WORD_ITALIC);
}

void ex_headings_ready(ExHeadings *headings, const char *company, bool is_filing)
{
    headings->is_filing = is_filing;
    headings->company_key = company ? title_key(company) : NULL;
    uint64_t most = 0, n_bold = 0, n_all = 0;
    for (guint i = 0; i < headings->styles->len; i++) {
        const Style *style = &g_array_index(headings->styles, Style, i);
        uint64_t n = 0;
        for (guint j = 0; j < headings->styles->len; j++) {
            const Style *other = &g_array_index(headings->styles, Style, j);
            if (other->size == style->size) n += other->n_chars;
        }
        if (n > most) {
            most = n;
            headings->body_size = style->size;
        }
        n_all += style->n_chars;
        if (style->flags & EX_WORD_BOLD) n_bold += style->n_chars;
    }
    headings->is_body_bold = n_bold * 5 > n_all * 2;
    g_autoptr(GPtrArray) candidates = g_ptr_array_new();
    for (guint i = 0; i < headings->styles->len; i++) {
        Style *style = &g_array_index(headings->styles, Style, i);
        bool is_large = style->size * 100U >= headings->body_size * 112U;
        bool is_bold = (style->flags & EX_WORD_BOLD) && !headings->is_body_bold && style->size * 100U >= headings->body_size * 88U;
        /* A style that much of the document is set in is no heading. */
        if ((is_large || is_bold) && style->n_chars * 5 < n_all) g_ptr_array_add(candidates, style);
    }
    g_ptr_array_sort(candidates, compare_styles);
    /* A style of a line or two (a cover) has no rank of its own: it shares that of the next. */
    unsigned rank = 1;
    for (guint i = 0; i < candidates->len; i++) {
        Style *style = g_ptr_array_index(candidates, i);
        style->rank = rank;
        if (style->n_lines > 3 && rank < RANKS_MAX) rank++;
    }
}

float ex_headings_body_size(const ExHeadings *headings)
{
    return headings->body_size ? headings->body_size / 2.0F : 10.0F;
}

/* ------------------------------------------------------------------------------------------------------ numbered parts */

static bool starts_with_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    return g_ascii_strncasecmp(text, word, n) == 0 && text[n] == ' ';
}

static size_t number_length(const char *text)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0) n = strspn(text, "IVXLC");
    if (n && g_ascii_isupper(text[n]) && !g_ascii_isalnum(text[n + 1])) n++; /* Item 9A */
    return n;
}

/* What a numbered heading is called, and what may follow its number. */
static const char *numbered_word(const char *text)
{
    static const char *const words[] = {"Part", "Item", "Note", "Chapter", "Book", NULL};
    for (int i = 0; words[i]; i++) {
        if (!starts_with_word(text, words[i])) continue;
        const char *number = text + strlen(words[i]) + 1;
        size_t n = number_length(number);
        const char *rest = number + n;
        if (n && (*rest == 0 || strchr(".:, (", *rest) || g_str_has_prefix(rest, "—") || g_str_has_prefix(rest, "–") || *rest == '-')) {
            return words[i];
        }
    }
    return NULL;
}

bool ex_headings_is_numbered(const char *text)
{
    return numbered_word(text) != NULL;
}

static bool may_be_heading(const char *text)
{
    size_t n = strlen(text);
    if (n < 2 || n > TEXT_MAX) return false;
    int n_letters = 0;
    for (const char *p = text; *p; p = g_utf8_next_char(p)) n_letters += g_unichar_isalpha(g_utf8_get_char(p)) != 0;
    if (n_letters < 2) return false;
    return !strchr(".,;:", text[n - 1]) || (numbered_word(text) && text[n - 1] == '.');
}

static const OutlineEntry *outline_match(const ExHeadings *headings, uint32_t page, const char *text)
{
    if (headings->outline->len == 0) return NULL;
    g_autofree char *key = title_key(text);
    const OutlineEntry *entry = g_hash_table_lookup(headings->by_key, key);
    if (!entry) return NULL;
    if (entry->page == page) return entry;
    /* The same title may stand in the outline more than once. */
    for (guint i = 0; i < headings->outline->len && headings->outline->len < 2000; i++) {
        const OutlineEntry *other = g_ptr_array_index(headings->outline, i);
        if (other->page == page && strcmp(other->key, key) == 0) return other;
    }
    return NULL;
}

unsigned ex_headings_rank(const ExHeadings *headings, uint32_t page, const ExLine *line, const char *text, bool *ret_is_chapter)
{
    *ret_is_chapter = false;
    if (!may_be_heading(text)) return 0;
    Style like = style_of(line, text);
    const Style *style = find_style(headings, &like);
    unsigned style_rank = style ? style->rank : 0;
    const char *word = numbered_word(text);
    if (headings->is_filing && word && (style_rank || is_caps(text))) {
        if (strcmp(word, "Part") == 0 || strcmp(word, "Item") == 0) {
            *ret_is_chapter = true;
            return *word == 'P' ? 1 : 2;
        }
    }
    const OutlineEntry *entry = outline_match(headings, page, text);
    if (entry) {
        *ret_is_chapter = entry->depth < 2;
        return MIN(entry->depth + 1, 9);
    }
    if (!style_rank) return 0;
    if (headings->company_key) {
        g_autofree char *key = title_key(text);
        if (strcmp(key, headings->company_key) == 0) return 0;
    }
    unsigned above = headings->is_filing ? 2 : headings->n_outline_depths;
    if (headings->is_filing && word && strcmp(word, "Note") == 0) return above + 1;
    *ret_is_chapter = above == 0 && style_rank == 1;
    return MIN(above + style_rank + (headings->is_filing ? 1 : 0), 9);
}
