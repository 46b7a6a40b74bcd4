/* app-corpus.c: the text that a question may quote from, and where a string of bytes stands in it.
 *
 * Owns: the bytes, the index of starts, and sets of places.
 * Does not own: which bytes are wanted.
 *
 * The starts are sorted by their first eight bytes, once for each corpus: a quotation of up to eight bytes is then a range of that
 * list found by bisection, however large the corpus is, and a longer one is a short list of places that is filtered.
 */
#include "app-corpus.h"

#include <string.h>

enum { KEY_BYTES = 8, RADIX_BITS = 16 };

typedef struct Start {
    uint64_t key; /* the first eight bytes, first byte highest; 0 beyond the end of the text */
    uint32_t place;
} Start;

struct AppCorpus {
    GByteArray *bytes;
    GArray *firsts;  /* uint32_t: where each section's text begins */
    GArray *lengths; /* uint32_t */
    Start *starts;   /* NULL until the first match */
    size_t n_starts;
};

AppCorpus *app_corpus_new(void)
{
    AppCorpus *corpus = g_new0(AppCorpus, 1);
    corpus->bytes = g_byte_array_new();
    corpus->firsts = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    corpus->lengths = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    return corpus;
}

void app_corpus_free(AppCorpus *corpus)
{
    if (!corpus) return;
    g_byte_array_unref(corpus->bytes);
    g_array_unref(corpus->firsts);
    g_array_unref(corpus->lengths);
    g_free(corpus->starts);
    g_free(corpus);
}

bool app_corpus_add(AppCorpus *corpus, const char *text, size_t n_bytes)
{
    g_return_val_if_fail(!corpus->starts, false);
    if (n_bytes > G_MAXUINT32 - 2 - corpus->bytes->len) return false;
    uint32_t first = corpus->bytes->len, length = (uint32_t)n_bytes;
    g_array_append_val(corpus->firsts, first);
    g_array_append_val(corpus->lengths, length);
    g_byte_array_append(corpus->bytes, (const guint8 *)text, length);
    g_byte_array_append(corpus->bytes, (const guint8 *)"", 1);
    return true;
}

size_t app_corpus_n_sections(const AppCorpus *corpus) { return corpus->firsts->len; }

const char *app_corpus_get_text(const AppCorpus *corpus, size_t section, size_t *ret_n_bytes)
{
    g_return_val_if_fail(section < corpus->firsts->len, NULL);
    if (ret_n_bytes) *ret_n_bytes = g_array_index(corpus->lengths, uint32_t, section);
    return (const char *)corpus->bytes->data + g_array_index(corpus->firsts, uint32_t, section);
}

void app_corpus_locate(const AppCorpus *corpus, uint32_t place, size_t *ret_section, size_t *ret_offset)
{
    size_t low = 0, high = corpus->firsts->len;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (g_array_index(corpus->firsts, uint32_t, middle) <= place)
            low = middle;
        else
            high = middle;
    }
    *ret_section = low;
    *ret_offset = place - g_array_index(corpus->firsts, uint32_t, low);
}

const char *app_corpus_at(const AppCorpus *corpus, uint32_t place, size_t *ret_n_bytes)
{
    *ret_n_bytes = corpus->bytes->len - place;
    return (const char *)corpus->bytes->data + place;
}

GArray *app_corpus_find(const AppCorpus *corpus, const char *bytes, size_t n_bytes, size_t n_max)
{
    GArray *places = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    const char *data = (const char *)corpus->bytes->data;
    size_t at = 0, n = corpus->bytes->len;
    while (n_bytes && places->len < n_max && n - at >= n_bytes) {
        const char *hit = memmem(data + at, n - at, bytes, n_bytes);
        if (!hit) break;
        uint32_t place = (uint32_t)(hit - data);
        g_array_append_val(places, place);
        at = place + 1;
    }
    return places;
}

/* ------------------------------------------------------------------------------------------------------- words and lines */

static bool is_continuation(char byte) { return ((unsigned char)byte & 0xC0) == 0x80; }

/* The character that ends at `at`, and the one that begins there; 0 at the text's ends and for broken UTF-8. */
static gunichar char_before(const char *text, size_t at)
{
    size_t start = at;
    while (start > 0 && at - start < 4) {
        start--;
        if (!is_continuation(text[start])) break;
    }
    if (start == at) return 0;
    gunichar c = g_utf8_get_char_validated(text + start, (gssize)(at - start));
    return c >= (gunichar)-2 ? 0 : c;
}

static gunichar char_at(const char *text, size_t n_bytes, size_t at)
{
    if (at >= n_bytes) return 0;
    gunichar c = g_utf8_get_char_validated(text + at, (gssize)MIN(n_bytes - at, 4));
    return c >= (gunichar)-2 ? 0 : c;
}

static bool is_word(gunichar c) { return c && (g_unichar_isalnum(c) || g_unichar_ismark(c)); }

/* Scripts that are written without spaces have no word borders that a character shows. */
static bool is_spaceless(gunichar c)
{
    GUnicodeScript script = c ? g_unichar_get_script(c) : G_UNICODE_SCRIPT_UNKNOWN;
    return script == G_UNICODE_SCRIPT_HAN || script == G_UNICODE_SCRIPT_HIRAGANA || script == G_UNICODE_SCRIPT_KATAKANA ||
           script == G_UNICODE_SCRIPT_THAI || script == G_UNICODE_SCRIPT_LAO || script == G_UNICODE_SCRIPT_KHMER ||
           script == G_UNICODE_SCRIPT_MYANMAR;
}

static bool is_joiner(gunichar c) { return c == '-' || c == '\'' || c == 0x2019 || c == '_'; }

/* A sign between two parts of one word or number: "grove-jade", "don't", "1,200.5", "10:30". */
static bool joins(gunichar before, gunichar sign, gunichar after)
{
    if (is_joiner(sign)) return is_word(before) && is_word(after);
    if (sign == '.' || sign == ',' || sign == ':' || sign == '/') return g_unichar_isdigit(before) && g_unichar_isdigit(after);
    return false;
}

bool app_text_is_inside_word(const char *text, size_t n_bytes, size_t at)
{
    if (at == 0 || at >= n_bytes) return false;
    if (is_continuation(text[at])) return true;
    gunichar before = char_before(text, at), after = char_at(text, n_bytes, at);
    if (!before || !after) return false;
    if (is_word(before) && is_word(after)) return !is_spaceless(before) && !is_spaceless(after);
    if (g_unichar_ismark(after)) return true;
    size_t n_before = (size_t)g_unichar_to_utf8(before, NULL), n_after = (size_t)g_unichar_to_utf8(after, NULL);
    if (is_word(before)) return joins(before, after, char_at(text, n_bytes, at + n_after));
    if (is_word(after)) return joins(char_before(text, at - n_before), before, after);
    return false;
}

/* Whether the word that ends at `end` is usually followed by a full stop within a sentence: "Mr", "J". */
static bool is_abbreviation(const char *text, size_t end)
{
    static const char *const words[] = {"Mr",  "Mrs", "Ms",  "Dr", "St",  "Jr",  "Sr",  "No",  "Inc",  "Co",  "Ltd",
                                        "Corp", "vs",  "Fig", "Rev", "Gen", "Col", "Capt", "Lt", "Sgt", "Prof", "Vol"};
    size_t start = end;
    while (start > 0 && g_ascii_isalpha(text[start - 1])) start--;
    if (end - start == 1) return g_ascii_isupper(text[start]) && text[start] != 'I';
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (strlen(words[i]) == end - start && memcmp(words[i], text + start, end - start) == 0) return true;
    return false;
}

static bool ends_sentence(const char *text, size_t n_bytes, size_t at)
{
    gunichar c = char_before(text, at);
    if (c == 0x3002 || c == 0xFF01 || c == 0xFF1F) return true;
    if (at < n_bytes && !g_ascii_isspace(text[at])) return false;
    size_t end = at;
    while (end > 0 && (c == '"' || c == '\'' || c == ')' || c == 0x201D || c == 0x2019)) {
        end -= (size_t)g_unichar_to_utf8(c, NULL);
        c = char_before(text, end);
    }
    if (c != '.' && c != '!' && c != '?') return false;
    size_t next = at;
    while (next < n_bytes && (text[next] == ' ' || text[next] == '\n')) next++;
    gunichar following = char_at(text, n_bytes, next);
    if (following && g_unichar_islower(following)) return false;
    return c != '.' || next >= n_bytes || !is_abbreviation(text, end - 1);
}

/* Whether the line break at `at` ends a line of facts rather than wrapping a paragraph: the line is short, or both what ends and what
 * begins look like "Label: value". An empty line always does. */
static bool ends_line(const char *text, size_t n_bytes, size_t at)
{
    enum { SHORT_LINE_BYTES = 48, LABEL_BYTES = 100 };
    if (at == 0 || at + 1 >= n_bytes || text[at - 1] == '\n' || text[at + 1] == '\n') return true;
    size_t start = at;
    while (start > 0 && text[start - 1] != '\n') start--;
    if (at - start < SHORT_LINE_BYTES) return true;
    const char *next_end = memchr(text + at + 1, '\n', n_bytes - at - 1);
    size_t n_next = next_end ? (size_t)(next_end - (text + at + 1)) : n_bytes - at - 1;
    return g_unichar_isupper(char_at(text, n_bytes, at + 1)) && memmem(text + start, MIN(at - start, LABEL_BYTES), ": ", 2) &&
           memmem(text + at + 1, MIN(n_next, LABEL_BYTES), ": ", 2);
}

void app_text_get_sentence(const char *text, size_t n_bytes, size_t start, size_t end, size_t *ret_start, size_t *ret_end)
{
    size_t line_start = start, line_end = end, first, last;
    while (line_start > 0 && text[line_start - 1] != '\n') line_start--;
    while (line_end < n_bytes && text[line_end] != '\n') line_end++;
    size_t n_line = line_end - line_start;
    if (memmem(text + line_start, n_line, " | ", 3) || memchr(text + line_start, '\t', n_line)) {
        *ret_start = line_start;
        *ret_end = line_end;
        return;
    }
    for (first = start; first > 0; first--) {
        if (text[first - 1] == '\n' && ends_line(text, n_bytes, first - 1)) break;
        if (first < start && !is_continuation(text[first]) && ends_sentence(text, n_bytes, first)) break;
    }
    for (last = end; last < n_bytes; last++) {
        if (text[last] == '\n' && ends_line(text, n_bytes, last)) break;
        if (last > start && !is_continuation(text[last]) && ends_sentence(text, n_bytes, last)) break;
    }
    while (first < start && g_ascii_isspace(text[first])) first++;
    while (last > end && g_ascii_isspace(text[last - 1])) last--;
    *ret_start = first;
    *ret_end = last;
}

/* ------------------------------------------------------------------------------------------------------------ the starts */

static uint64_t key_of(const uint8_t *bytes, size_t n_bytes)
{
    uint64_t key = 0;
    for (size_t i = 0; i < KEY_BYTES; i++) key = key << 8 | (i < n_bytes ? bytes[i] : 0);
    return key;
}

/* Sorts by key, stable: by 16 bits at a time from the lowest. */
static void sort_starts(Start *starts, size_t n)
{
    g_autofree Start *other = g_new(Start, MAX(n, 1));
    g_autofree size_t *counts = g_new(size_t, (size_t)1 << RADIX_BITS);
    for (unsigned shift = 0; shift < 64; shift += RADIX_BITS) {
        memset(counts, 0, sizeof *counts << RADIX_BITS);
        for (size_t i = 0; i < n; i++) counts[starts[i].key >> shift & 0xFFFF]++;
        size_t sum = 0;
        for (size_t i = 0; i < (size_t)1 << RADIX_BITS; i++) {
            size_t count = counts[i];
            counts[i] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++) other[counts[starts[i].key >> shift & 0xFFFF]++] = starts[i];
        memcpy(starts, other, n * sizeof *starts);
    }
}

static bool may_start(const char *text, size_t n_bytes, size_t at)
{
    unsigned char byte = (unsigned char)text[at];
    if (byte == 0 || g_ascii_isspace((char)byte) || is_continuation(text[at])) return false;
    if (at > 0 && g_ascii_isalnum(text[at - 1]) && g_ascii_isalnum((char)byte)) return false; /* the common case, without UTF-8 */
    return !app_text_is_inside_word(text, n_bytes, at);
}

static void index_starts(AppCorpus *corpus)
{
    GArray *starts = g_array_new(FALSE, FALSE, sizeof(Start));
    for (size_t section = 0; section < corpus->firsts->len; section++) {
        size_t n_bytes;
        const char *text = app_corpus_get_text(corpus, section, &n_bytes);
        uint32_t first = g_array_index(corpus->firsts, uint32_t, section);
        for (size_t at = 0; at < n_bytes; at++) {
            if (!may_start(text, n_bytes, at)) continue;
            Start start = {.key = key_of((const uint8_t *)text + at, n_bytes - at), .place = first + (uint32_t)at};
            g_array_append_val(starts, start);
        }
    }
    corpus->n_starts = starts->len;
    corpus->starts = (Start *)(void *)g_array_free(starts, FALSE);
    if (!corpus->starts) corpus->starts = g_new0(Start, 1);
    sort_starts(corpus->starts, corpus->n_starts);
}

/* --------------------------------------------------------------------------------------------------------------- matches */

struct AppMatch {
    AppCorpus *corpus;
    size_t n_bytes;
    uint64_t key;      /* the bytes so far, up to eight, first byte highest */
    size_t low, high;  /* the range of starts while n_bytes <= KEY_BYTES */
    GArray *places;    /* uint32_t, beyond that */
};

AppMatch *app_match_new(AppCorpus *corpus)
{
    if (!corpus->starts) index_starts(corpus);
    AppMatch *match = g_new0(AppMatch, 1);
    match->corpus = corpus;
    match->high = corpus->n_starts;
    match->places = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    return match;
}

void app_match_free(AppMatch *match)
{
    if (!match) return;
    g_array_unref(match->places);
    g_free(match);
}

const AppCorpus *app_match_corpus(const AppMatch *match) { return match->corpus; }

size_t app_match_n_bytes(const AppMatch *match) { return match->n_bytes; }

size_t app_match_n_places(const AppMatch *match) { return match->n_bytes <= KEY_BYTES ? match->high - match->low : match->places->len; }

uint32_t app_match_get_place(const AppMatch *match, size_t index)
{
    return match->n_bytes <= KEY_BYTES ? match->corpus->starts[match->low + index].place : g_array_index(match->places, uint32_t, index);
}

static size_t bisect(const Start *starts, size_t low, size_t high, uint64_t key, bool above)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (starts[middle].key < key || (above && starts[middle].key == key))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Of the match's range of starts, those whose key goes on with the first n (n_bytes + n <= KEY_BYTES) of the bytes. */
static void narrow(const AppMatch *match, const char *bytes, size_t n, uint64_t *ret_key, size_t *ret_low, size_t *ret_high)
{
    uint64_t key = match->key;
    for (size_t i = 0; i < n; i++) key |= (uint64_t)(uint8_t)bytes[i] << (8 * (KEY_BYTES - 1 - match->n_bytes - i));
    size_t n_key = match->n_bytes + n;
    uint64_t rest = n_key == 0 ? UINT64_MAX : n_key == KEY_BYTES ? 0 : UINT64_MAX >> (8 * n_key);
    *ret_key = key;
    *ret_low = bisect(match->corpus->starts, match->low, match->high, key, false);
    *ret_high = bisect(match->corpus->starts, *ret_low, match->high, key | rest, true);
}

static bool place_continues(const AppMatch *match, uint32_t place, size_t skip, const char *bytes, size_t n_bytes)
{
    size_t n, at = match->n_bytes + skip;
    const char *text = app_corpus_at(match->corpus, place, &n);
    return n >= at + n_bytes && memcmp(text + at, bytes, n_bytes) == 0;
}

bool app_match_continues(const AppMatch *match, const char *bytes, size_t n_bytes)
{
    if (memchr(bytes, 0, n_bytes)) return false;
    if (match->n_bytes > KEY_BYTES) {
        for (size_t i = 0; i < match->places->len; i++)
            if (place_continues(match, g_array_index(match->places, uint32_t, i), 0, bytes, n_bytes)) return true;
        return false;
    }
    size_t n = MIN(n_bytes, KEY_BYTES - match->n_bytes), low, high;
    uint64_t key;
    narrow(match, bytes, n, &key, &low, &high);
    if (n == n_bytes) return low < high;
    for (size_t i = low; i < high; i++)
        if (place_continues(match, match->corpus->starts[i].place, n, bytes + n, n_bytes - n)) return true;
    return false;
}

void app_match_extend(AppMatch *match, const char *bytes, size_t n_bytes)
{
    bool border = memchr(bytes, 0, n_bytes) != NULL;
    if (match->n_bytes > KEY_BYTES) {
        size_t n_kept = 0;
        for (size_t i = 0; i < match->places->len; i++) {
            uint32_t place = g_array_index(match->places, uint32_t, i);
            if (!border && place_continues(match, place, 0, bytes, n_bytes)) g_array_index(match->places, uint32_t, n_kept++) = place;
        }
        g_array_set_size(match->places, (guint)n_kept);
        match->n_bytes += n_bytes;
        return;
    }
    size_t n = MIN(n_bytes, KEY_BYTES - match->n_bytes);
    narrow(match, bytes, n, &match->key, &match->low, &match->high);
    if (border) match->high = match->low;
    if (n < n_bytes) {
        for (size_t i = match->low; i < match->high; i++) {
            uint32_t place = match->corpus->starts[i].place;
            if (place_continues(match, place, n, bytes + n, n_bytes - n)) g_array_append_val(match->places, place);
        }
    }
    match->n_bytes += n_bytes;
}

static uint8_t next_byte(const AppMatch *match, size_t index)
{
    size_t n;
    const char *text = app_corpus_at(match->corpus, app_match_get_place(match, index), &n);
    return match->n_bytes < n ? (uint8_t)text[match->n_bytes] : 0;
}

void app_match_get_next(const AppMatch *match, bool ret_next[256])
{
    memset(ret_next, 0, 256 * sizeof *ret_next);
    size_t n_places = app_match_n_places(match);
    for (size_t i = 0; i < n_places; i++) ret_next[next_byte(match, i)] = true;
    ret_next[0] = false;
}

bool app_match_can_go_on(const AppMatch *match)
{
    size_t n_places = app_match_n_places(match);
    for (size_t i = 0; i < n_places; i++)
        if (next_byte(match, i)) return true;
    return false;
}

bool app_match_ends_word(const AppMatch *match, const char *bytes, size_t n_bytes, GArray *ret_places)
{
    if (ret_places) g_array_set_size(ret_places, 0);
    if (memchr(bytes, 0, n_bytes)) return false;
    size_t n_places = app_match_n_places(match);
    bool found = false;
    for (size_t i = 0; i < n_places; i++) {
        uint32_t place = app_match_get_place(match, i);
        if (!place_continues(match, place, 0, bytes, n_bytes)) continue;
        size_t section, offset, n_text;
        app_corpus_locate(match->corpus, place, &section, &offset);
        const char *text = app_corpus_get_text(match->corpus, section, &n_text);
        if (app_text_is_inside_word(text, n_text, offset + match->n_bytes + n_bytes)) continue;
        found = true;
        if (!ret_places) break;
        g_array_append_val(ret_places, place);
    }
    return found;
}
