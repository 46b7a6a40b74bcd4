/* app-headings.c: see app-headings.h.
 *
 * Ranks: 1 the file's own frame (Project Gutenberg's header), 2 volume, 3 book, 4 part, 5 act, canto, stave, 6 chapter, letter, 7 scene,
 * section, numbered headings from 8 by depth, lines in capitals 8.
 */
#include "app-headings.h"

#include <string.h>

enum { LINE_CHARS_MAX = 100, RANK_CHAPTER = 6, RANK_NUMBERED = 8, RANK_CAPITALS = 8 };

static const struct {
    const char *word;
    uint32_t rank;
} keywords[] = {
    {"volume", 2}, {"book", 3}, {"part", 4}, {"act", 5}, {"canto", 5}, {"stave", 5}, {"chapter", 6}, {"letter", 6}, {"scene", 7}, {"section", 7},
};

/* Headings without a number. They stand beside the topmost ones seen so far. */
static const char *const lone_words[] = {
    "preface", "introduction", "prologue", "epilogue", "foreword", "afterword", "conclusion", "appendix", "contents", "table of contents",
    "dedication", "acknowledgements", "acknowledgments", "glossary", "bibliography", "index", "notes", "footnotes", "first epilogue",
    "second epilogue", "author's note", "the end",
};

static const char *const number_words[] = {
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen",
    "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "first", "second", "third", "fourth", "fifth",
    "sixth", "seventh", "eighth", "ninth", "tenth", "last", "the",
};

static size_t word_length(const char *at)
{
    size_t n = 0;
    while (g_ascii_isalnum(at[n]) || ((at[n] == '-' || at[n] == '\'') && g_ascii_isalnum(at[n + 1]) && n > 0 && at[n + 1] != '-')) n++;
    return n;
}

static bool word_is(const char *at, size_t n, const char *wanted)
{
    return strlen(wanted) == n && g_ascii_strncasecmp(at, wanted, n) == 0;
}

/* A roman numeral in capitals, an arabic number of up to four digits, or a number in words; its value, 0 if none of these and
 * UINT32_MAX for words, whose value does not matter. */
static uint32_t parse_number(const char *at, size_t n)
{
    static const struct {
        char letter;
        uint32_t value;
    } romans[] = {{'I', 1}, {'V', 5}, {'X', 10}, {'L', 50}, {'C', 100}, {'D', 500}, {'M', 1000}};
    if (n == 0) return 0;
    if (g_ascii_isdigit(at[0])) {
        uint32_t value = 0;
        for (size_t i = 0; i < n; i++) {
            if (!g_ascii_isdigit(at[i]) || i >= 4) return 0;
            value = value * 10 + (uint32_t)(at[i] - '0');
        }
        return value;
    }
    uint32_t value = 0, last = 0;
    bool is_roman = n <= 10;
    for (size_t i = n; i > 0 && is_roman; i--) {
        uint32_t digit = 0;
        for (size_t j = 0; j < G_N_ELEMENTS(romans); j++) digit = at[i - 1] == romans[j].letter ? romans[j].value : digit;
        is_roman = digit > 0;
        value = digit < last ? value - digit : value + digit;
        last = MAX(last, digit);
    }
    if (is_roman) return value;
    for (size_t i = 0; i < G_N_ELEMENTS(number_words); i++) {
        size_t length = strlen(number_words[i]);
        if (n >= length && g_ascii_strncasecmp(at, number_words[i], length) == 0 && (n == length || at[length] == '-')) return UINT32_MAX;
    }
    return 0;
}

/* Letters, and whether all that have case are capitals. */
static bool is_capitals(const char *line, size_t *ret_letters)
{
    size_t letters = 0;
    bool capitals = true;
    for (const char *at = line; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        letters += g_unichar_isalpha(c) ? 1 : 0;
        capitals = capitals && !g_unichar_islower(c);
    }
    *ret_letters = letters;
    return capitals && letters > 0;
}

static const char *skip_spaces(const char *at)
{
    while (*at == ' ' || *at == '\t') at++;
    return at;
}

/* "CHAPTER I", "Chapter 1 - Down the Rabbit-Hole", "BOOK ONE: 1805", "PART TWO -- The Sea-cook", "THE FIRST PART". */
static bool match_keyword(const char *line, uint32_t *ret_rank, bool *ret_alone)
{
    const char *at = skip_spaces(line);
    size_t n = word_length(at), letters;
    bool capitals = is_capitals(line, &letters);
    if (!g_ascii_isupper(at[0])) return false;
    for (size_t i = 0; i < G_N_ELEMENTS(keywords); i++) {
        if (!word_is(at, n, keywords[i].word)) continue;
        const char *number = skip_spaces(at + n);
        size_t n_number = word_length(number);
        if (word_is(number, n_number, "the")) {
            number = skip_spaces(number + n_number);
            n_number = word_length(number);
        }
        if (parse_number(number, n_number) == 0) return false;
        const char *rest = skip_spaces(number + n_number);
        bool marked = *rest == '\0' || strchr(".:-,;(", *rest) != NULL || (unsigned char)*rest >= 0x80;
        if (!marked && !capitals) return false; /* "Part one of it was good" */
        *ret_rank = keywords[i].rank;
        rest += strspn(rest, ".:- ");
        *ret_alone = *rest == '\0';
        return true;
    }
    return false;
}

static bool match_lone_word(const char *line)
{
    const char *at = skip_spaces(line);
    if (!g_ascii_isupper(at[0])) return false;
    for (size_t i = 0; i < G_N_ELEMENTS(lone_words); i++) {
        size_t n = strlen(lone_words[i]);
        if (g_ascii_strncasecmp(at, lone_words[i], n) != 0) continue;
        const char *rest = at + n;
        if (*rest == '\0' || strcmp(rest, ".") == 0 || *rest == ':' || g_str_has_prefix(rest, " -") || g_str_has_prefix(rest, " —")) return true;
        if (word_is(at, n, "appendix") && *rest == ' ' && strlen(rest) <= 3) return true; /* "Appendix A" */
    }
    return false;
}

/* "1. Introduction", "2.1 Methods", "IV", "12.": only in sequence, since lists look the same. */
static bool match_numbered(AppHeadingState *state, const char *line, uint32_t *ret_rank)
{
    const char *at = skip_spaces(line);
    uint32_t depth = 0, value = 0;
    const char *rest = at;
    for (; depth < G_N_ELEMENTS(state->last_number); depth++) {
        size_t n = 0;
        while (g_ascii_isalnum(rest[n])) n++;
        value = parse_number(rest, n);
        if (value == 0 || value == UINT32_MAX || (depth > 0 && !g_ascii_isdigit(rest[0]))) return false;
        rest += n;
        if (*rest != '.' || !g_ascii_isdigit(rest[1])) break;
        rest++;
    }
    if (depth == G_N_ELEMENTS(state->last_number)) return false;
    if (*rest == '.') rest++;
    const char *words = skip_spaces(rest);
    if (*words == '\0') {
        if (depth > 0 || value != state->last_alone + 1) return false;
        state->last_alone = value;
        *ret_rank = RANK_CHAPTER;
        return true;
    }
    gunichar first = g_utf8_get_char(words);
    size_t n_bytes = strlen(words);
    bool ends_as_sentence = strchr(".;,:!?", words[n_bytes - 1]) != NULL;
    if (words == rest || !g_unichar_isupper(first) || ends_as_sentence || n_bytes > 70) return false;
    if (value != state->last_number[depth] + 1) return false;
    state->last_number[depth] = value;
    for (uint32_t i = depth + 1; i < G_N_ELEMENTS(state->last_number); i++) state->last_number[i] = 0;
    *ret_rank = RANK_NUMBERED + depth;
    return true;
}

static bool match_capitals(const char *line)
{
    size_t letters, n_bytes = strlen(line);
    bool ends_as_sentence = n_bytes > 0 && strchr(";,", line[n_bytes - 1]) != NULL;
    return n_bytes <= 80 && is_capitals(line, &letters) && letters >= 4 && letters * 2 > (size_t)g_utf8_strlen(line, -1) && !ends_as_sentence &&
           strchr(line, '|') == NULL;
}

AppHeadingGuess app_heading_guess(AppHeadingState *state, const char *const *lines, size_t n_lines)
{
    AppHeadingGuess guess = {0};
    bool after_keyword = state->after_keyword, alone = false;
    state->after_keyword = false;
    if (n_lines == 0 || n_lines > APP_HEADING_LINES_MAX) return guess;
    for (size_t i = 0; i < n_lines; i++) {
        if (g_utf8_strlen(lines[i], -1) > LINE_CHARS_MAX) return guess;
    }
    if (match_keyword(lines[0], &guess.rank, &alone)) {
        uint32_t rank;
        bool other_alone;
        /* Several such lines in one block are a table of contents. */
        for (size_t i = 1; i < n_lines; i++) {
            if (match_keyword(lines[i], &rank, &other_alone) && rank == guess.rank) return (AppHeadingGuess){0};
        }
        guess.is_heading = guess.is_chapter = true;
        state->has_keyword = true;
        state->top_rank = state->top_rank == 0 ? guess.rank : MIN(state->top_rank, guess.rank);
        state->after_keyword = alone && n_lines == 1;
        memset(state->last_number, 0, sizeof state->last_number);
        state->last_alone = 0;
    } else if (n_lines == 1 && match_lone_word(lines[0])) {
        guess = (AppHeadingGuess){true, false, true, state->top_rank != 0 ? state->top_rank : RANK_CHAPTER};
    } else if (after_keyword && n_lines <= 2 && match_capitals(lines[0])) {
        guess.is_title_of_last = true;
    } else if (n_lines == 1 && match_numbered(state, lines[0], &guess.rank)) {
        guess.is_heading = true;
        guess.is_chapter = guess.rank == RANK_CHAPTER;
    } else if (n_lines == 1 && !state->has_keyword && match_capitals(lines[0])) {
        guess = (AppHeadingGuess){true, false, false, RANK_CAPITALS};
    }
    return guess;
}
