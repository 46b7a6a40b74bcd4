/* tokenizer-text.c: text as the reference implementation sees it.
 *
 * Owns: replacing invalid UTF-8 by U+FFFD (maximal subparts, as Rust's String::from_utf8_lossy), normalisation form C.
 * Does not own: Unicode's tables (utf8proc). Its own normalisation of a whole text is not used: canonical ordering there is a
 * bubble sort, quadratic in a run of combining marks.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Length of the character at p, or of the ill-formed part to replace by one U+FFFD. Unicode 15, table 3-7. */
static size_t scan_character(const uint8_t *p, size_t n, bool *ret_valid)
{
    uint8_t lead = p[0], low = 0x80, high = 0xbf;
    size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    *ret_valid = length == 1;
    if (length <= 1) return 1;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    for (size_t i = 1; i < length; i++) {
        if (i >= n || p[i] < low || p[i] > high) return i;
        low = 0x80;
        high = 0xbf;
    }
    *ret_valid = true;
    return length;
}

static size_t skip_ascii(const uint8_t *p, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        if (word & 0x8080808080808080u) break;
    }
    while (i < n && p[i] < 0x80) i++;
    return i;
}

eng_status eng_text_repair(const char *text, size_t n_bytes, const char **ret_text, size_t *ret_n_bytes, char **ret_owned, eng_error *error)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t n_bad = 0;
    bool valid;
    for (size_t i = 0; i < n_bytes;) {
        i += skip_ascii(p + i, n_bytes - i);
        if (i == n_bytes) break;
        i += scan_character(p + i, n_bytes - i, &valid);
        n_bad += !valid;
    }
    if (n_bad == 0) {
        *ret_text = text;
        *ret_n_bytes = n_bytes;
        return ENG_OK;
    }
    char *out = malloc(n_bytes + 2 * n_bad); /* at least one byte goes for each three that come */
    if (out == NULL) return eng_fail(error, ENG_NO_MEMORY, "out of memory for a text of %zu bytes", n_bytes);
    size_t n = 0;
    for (size_t i = 0; i < n_bytes;) {
        size_t length = scan_character(p + i, n_bytes - i, &valid);
        memcpy(out + n, valid ? text + i : "\xef\xbf\xbd", valid ? length : 3);
        n += valid ? length : 3;
        i += length;
    }
    *ret_text = *ret_owned = out;
    *ret_n_bytes = n;
    return ENG_OK;
}

/* --------------------------------------------------------------------------------------------------------- normalisation */

static uint32_t decode(const uint8_t *p)
{
    if (p[0] < 0x80) return p[0];
    if (p[0] < 0xe0) return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
    if (p[0] < 0xf0) return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
    return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
}

/* Marks (and one pair that composes) that Unicode got after version 9. The reference's normaliser has the tables of version 9 and leaves
 * them where they are, so they count as plain characters here: found by asking it about every character that utf8proc has a class or a
 * decomposition for. */
static const uint32_t late_marks[][2] = {
    {0x7fd, 0x7fd}, {0x898, 0x89f}, {0x8ca, 0x8d3}, {0x9fe, 0x9fe}, {0xc3c, 0xc3c}, {0xd3b, 0xd3c}, {0xeba, 0xeba}, {0x1715, 0x1715},
    {0x1abf, 0x1ace}, {0x1df6, 0x1dfa}, {0xa82c, 0xa82c}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10efd, 0x10eff}, {0x10f46,
    0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11930, 0x11930},
    {0x11938, 0x11938}, {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99,
    0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f},
    {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
};

static bool is_late(uint32_t c)
{
    size_t low = 0, high = sizeof late_marks / sizeof *late_marks;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > late_marks[middle][1]) low = middle + 1;
        else high = middle;
    }
    return low < sizeof late_marks / sizeof *late_marks && c >= late_marks[low][0];
}

/* True only for characters that normalisation leaves as they are and that never join with what stands before them. Others may be
 * so too: the ranges are those that make up most text. A test compares with utf8proc for every character. */
static bool is_inert(uint32_t c)
{
    if (c < 0x300) return true;
    if (c >= 0x400 && c <= 0x482) return true;   /* Cyrillic */
    if (c >= 0x1e00 && c <= 0x1eff) return true; /* Latin with marks */
    if (c >= 0x2010 && c <= 0x2027) return true; /* quotes, dashes, dots */
    if (c >= 0x3041 && c <= 0x3096) return true; /* kana */
    if (c >= 0x30a1 && c <= 0x30fa) return true;
    if ((c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff)) return true;
    if (c >= 0xac00 && c <= 0xd7a3) return true; /* Hangul syllables */
    if ((c >= 0x1100 && c <= 0x11ff) || (c >= 0xa960 && c <= 0xa97f) || (c >= 0xd7b0 && c <= 0xd7ff)) return false; /* jamo */
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)c);
    if (property->combining_class == 0 && property->decomp_seqindex == UINT16_MAX && property->category != UTF8PROC_CATEGORY_MN &&
        property->category != UTF8PROC_CATEGORY_MC && property->category != UTF8PROC_CATEGORY_ME)
        return true;
    return is_late(c);
}

typedef struct span {
    int32_t *characters, *sorted;
    size_t capacity;
} span;

static uint32_t combining_class(int32_t c)
{
    uint32_t class = (uint32_t)utf8proc_get_property(c)->combining_class;
    return class != 0 && is_late((uint32_t)c) ? 0 : class;
}

/* Stable order by combining class: a counting sort, so that a megabyte of marks takes no longer than a megabyte of letters. */
static void order_marks(const span *s, size_t begin, size_t end)
{
    size_t start[257] = {0};
    for (size_t i = begin; i < end; i++) start[combining_class(s->characters[i]) + 1]++;
    for (size_t c = 1; c < 257; c++) start[c] += start[c - 1];
    for (size_t i = begin; i < end; i++) s->sorted[start[combining_class(s->characters[i])]++] = s->characters[i];
    memcpy(s->characters + begin, s->sorted, (end - begin) * sizeof *s->characters);
}

/* Normalises one span of n bytes (well-formed) to out; returns the bytes written, SIZE_MAX when memory is out. No character's
 * canonical decomposition is longer than 4, and the composed form never takes more than 3 times the bytes. */
static size_t normalize_span(span *s, const uint8_t *text, size_t n, char *out)
{
    size_t wanted = 4 * n + 8;
    if (s->capacity < wanted) {
        int32_t *grown = realloc(s->characters, 2 * wanted * sizeof *grown);
        if (grown == NULL) return SIZE_MAX;
        s->characters = grown;
        s->sorted = grown + wanted;
        s->capacity = wanted;
    }
    size_t n_characters = 0;
    for (size_t i = 0; i < n; i += eng_text_step((const char *)text + i)) {
        int boundary = 0;
        uint32_t c = decode(text + i);
        if (is_late(c)) {
            s->characters[n_characters++] = (int32_t)c;
            continue;
        }
        utf8proc_ssize_t got = utf8proc_decompose_char((utf8proc_int32_t)c, s->characters + n_characters,
                                                       (utf8proc_ssize_t)(s->capacity - n_characters), UTF8PROC_STABLE | UTF8PROC_COMPOSE,
                                                       &boundary);
        if (got > 0) n_characters += (size_t)got;
    }
    for (size_t i = 0; i < n_characters;) {
        size_t end = i;
        while (end < n_characters && combining_class(s->characters[end]) != 0) end++;
        if (end - i > 1) order_marks(s, i, end);
        i = end + 1;
    }
    utf8proc_ssize_t composed = utf8proc_normalize_utf32(s->characters, (utf8proc_ssize_t)n_characters, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    size_t written = 0;
    for (utf8proc_ssize_t i = 0; i < composed; i++)
        written += (size_t)utf8proc_encode_char(s->characters[i], (utf8proc_uint8_t *)out + written);
    return written;
}

/* Where the next span to normalise starts (its first character is the inert one before, which may join) and ends; begin = n: none. */
static size_t find_span(const uint8_t *p, size_t from, size_t n, size_t *ret_end)
{
    size_t before = from, i = from;
    while (i < n) {
        size_t ascii = skip_ascii(p + i, n - i);
        if (ascii > 0) {
            i += ascii;
            before = i - 1;
            if (i == n) break;
        }
        if (!is_inert(decode(p + i))) {
            size_t end = i;
            while (end < n && !is_inert(decode(p + end))) end += eng_text_step((const char *)p + end);
            *ret_end = end;
            return before;
        }
        before = i;
        i += eng_text_step((const char *)p + i);
    }
    return n;
}

eng_status eng_text_normalize(const char *text, size_t n_bytes, const char **ret_text, size_t *ret_n_bytes, char **ret_owned,
                              eng_error *error)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t end = 0, begin = find_span(p, 0, n_bytes, &end), n = 0, done = 0;
    if (begin == n_bytes) {
        *ret_text = text;
        *ret_n_bytes = n_bytes;
        return ENG_OK;
    }
    char *out = malloc(3 * n_bytes + 4);
    span s = {0};
    while (out != NULL) {
        memcpy(out + n, text + done, begin - done);
        n += begin - done;
        done = begin;
        if (begin == n_bytes) break;
        size_t written = normalize_span(&s, p + begin, end - begin, out + n);
        if (written == SIZE_MAX) {
            free(out);
            out = NULL;
            break;
        }
        n += written;
        done = end;
        begin = find_span(p, end, n_bytes, &end);
    }
    free(s.characters);
    if (out == NULL) return eng_fail(error, ENG_NO_MEMORY, "out of memory for a text of %zu bytes", n_bytes);
    *ret_text = *ret_owned = out;
    *ret_n_bytes = n;
    return ENG_OK;
}
