/* app-lookup.c: the passage behind an answer that was not bound to the text.
 *
 * Owns: finding what a free reply quotes, and the sentence that shares most with it.
 * Does not own: decoding (app-evidence.c), the text (app-corpus.c).
 */
#include "app-evidence.h"

#include <math.h>
#include <string.h>

enum { WORDS_MAX = 64 };

/* --------------------------------------------------------------------------------------------------------- quoted strings */

static gunichar closing_of(gunichar opening)
{
    switch (opening) {
    case '"':
        return '"';
    case 0x201C: /* “ */
        return 0x201D;
    case 0x201E: /* „ */
        return 0x201C;
    case 0x00AB: /* « */
        return 0x00BB;
    default:
        return 0;
    }
}

GPtrArray *app_reply_get_quoted(const char *text, size_t n_chars_min)
{
    GPtrArray *quoted = g_ptr_array_new_with_free_func(g_free);
    for (const char *at = text; *at; at = g_utf8_next_char(at)) {
        gunichar closing = closing_of(g_utf8_get_char(at));
        if (!closing) continue;
        const char *start = g_utf8_next_char(at), *end = g_utf8_strchr(start, -1, closing);
        if (!end) continue;
        if ((size_t)g_utf8_strlen(start, end - start) >= n_chars_min) g_ptr_array_add(quoted, g_strndup(start, (gsize)(end - start)));
        at = end;
    }
    return quoted;
}

/* ------------------------------------------------------------------------------------------------------ best sentence */

typedef struct Sentence {
    uint32_t place, n_bytes;
    uint64_t words; /* which of the wanted words it holds */
    uint32_t n_words;
} Sentence;

typedef struct Wanted {
    GHashTable *index; /* word -> its number + 1 */
    double weights[WORDS_MAX];
    uint64_t of_answer;
    size_t n;
} Wanted;

/* The next word at or after *at, lower case, into `word`; false at the end. */
static bool next_word(const char *text, size_t n_bytes, size_t *at, GString *word)
{
    g_string_truncate(word, 0);
    while (*at < n_bytes) {
        gunichar c = g_utf8_get_char_validated(text + *at, (gssize)MIN(n_bytes - *at, 4));
        size_t n = c >= (gunichar)-2 ? 1 : (size_t)g_unichar_to_utf8(c, NULL);
        bool is_word = c < (gunichar)-2 && (g_unichar_isalnum(c) || g_unichar_ismark(c));
        if (is_word)
            g_string_append_unichar(word, g_unichar_tolower(c));
        else if (word->len)
            return true;
        *at += n;
    }
    return word->len > 0;
}

static void want_words(Wanted *wanted, const char *text, bool of_answer)
{
    g_autoptr(GString) word = g_string_new(NULL);
    size_t at = 0, n_bytes = strlen(text);
    while (next_word(text, n_bytes, &at, word)) {
        size_t index = GPOINTER_TO_SIZE(g_hash_table_lookup(wanted->index, word->str));
        if (index == 0 && wanted->n < WORDS_MAX) {
            index = ++wanted->n;
            g_hash_table_insert(wanted->index, g_strdup(word->str), GSIZE_TO_POINTER(index));
        }
        if (index && of_answer) wanted->of_answer |= (uint64_t)1 << (index - 1);
    }
}

static void add_sentences(const AppCorpus *corpus, size_t section, const Wanted *wanted, GArray *sentences)
{
    size_t n_bytes, unused, at = 0, n_first;
    const char *text = app_corpus_get_text(corpus, section, &n_bytes);
    const char *base = app_corpus_at(corpus, 0, &unused);
    n_first = (size_t)(text - base);
    g_autoptr(GString) word = g_string_new(NULL);
    while (at < n_bytes) {
        while (at < n_bytes && g_ascii_isspace(text[at])) at++;
        if (at >= n_bytes) break;
        size_t start, end;
        app_text_get_sentence(text, n_bytes, at, at + 1, &start, &end);
        end = MAX(end, at + 1);
        Sentence sentence = {.place = (uint32_t)(n_first + at), .n_bytes = (uint32_t)(end - at)};
        for (size_t within = at; next_word(text, end, &within, word); sentence.n_words++) {
            size_t index = GPOINTER_TO_SIZE(g_hash_table_lookup(wanted->index, word->str));
            if (index) sentence.words |= (uint64_t)1 << (index - 1);
        }
        if (sentence.words) g_array_append_val(sentences, sentence);
        at = end;
    }
}

static void weigh(Wanted *wanted, const GArray *sentences, size_t n_sections)
{
    for (size_t i = 0; i < wanted->n; i++) {
        size_t n_holding = 0;
        for (size_t s = 0; s < sentences->len; s++) n_holding += g_array_index(sentences, Sentence, s).words >> i & 1;
        double rarity = log(1 + ((double)sentences->len + (double)n_sections) / (1 + (double)n_holding));
        wanted->weights[i] = rarity * (wanted->of_answer >> i & 1 ? 2 : 1);
    }
}

static double score_of(const Wanted *wanted, const Sentence *sentence)
{
    double score = 0;
    for (size_t i = 0; i < wanted->n; i++)
        if (sentence->words >> i & 1) score += wanted->weights[i];
    return score / (1 + 0.15 * log(1 + sentence->n_words));
}

bool app_evidence_find_best(const AppCorpus *corpus, const char *question, const char *answer, uint32_t *ret_place, size_t *ret_n_bytes)
{
    Wanted wanted = {.index = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
    want_words(&wanted, answer, true);
    want_words(&wanted, question, false);
    g_autoptr(GArray) sentences = g_array_new(FALSE, FALSE, sizeof(Sentence));
    for (size_t section = 0; section < app_corpus_n_sections(corpus); section++) add_sentences(corpus, section, &wanted, sentences);
    weigh(&wanted, sentences, app_corpus_n_sections(corpus));
    g_hash_table_unref(wanted.index);
    const Sentence *best = NULL;
    double best_score = 0;
    for (size_t i = 0; i < sentences->len; i++) {
        const Sentence *sentence = &g_array_index(sentences, Sentence, i);
        double score = score_of(&wanted, sentence);
        if (score > best_score) {
            best = sentence;
            best_score = score;
        }
    }
    bool enough = best && ((best->words & wanted.of_answer) || __builtin_popcountll(best->words) >= 2);
    if (!enough) return false;
    *ret_place = best->place;
    *ret_n_bytes = best->n_bytes;
    return true;
}
