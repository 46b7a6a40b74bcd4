/* Bound quotations, driven by scripted logits: whatever the model wants, what is quoted stands in the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "app-evidence.h"

#define ABSENT "Not found in these documents."

/* A vocabulary of all single bytes (ids 0-255), words (from 256) and a stop token (the last). */
enum { N_BYTES = 256, WORDS_MAX = 128 };

typedef struct Script {
    const char *words[WORDS_MAX];
    size_t n_words;
    uint32_t stop;
    char single[N_BYTES];
    float logits[N_BYTES + WORDS_MAX + 1];
    const char *const *wishes; /* by step: alternatives separated by '^', best first; "<stop>"; NULL ends the list */
    size_t step, fail_at, cancel_at, n_prompt;
    bool cancel, ran_out;
    GRand *random; /* not NULL: random logits instead of wishes */
    GString *quoted, *answered;
} Script;

static void add_word(Script *script, const char *word)
{
    if (strlen(word) == 1) return;
    for (size_t i = 0; i < script->n_words; i++)
        if (strcmp(script->words[i], word) == 0) return;
    assert_true(script->n_words < WORDS_MAX);
    script->words[script->n_words++] = g_intern_string(word);
}

static void script_init(Script *script, const char *const *wishes)
{
    memset(script, 0, sizeof *script);
    script->wishes = wishes;
    script->fail_at = script->cancel_at = SIZE_MAX;
    for (size_t i = 0; i < N_BYTES; i++) script->single[i] = (char)i;
    for (size_t i = 0; wishes && wishes[i]; i++) {
        g_auto(GStrv) alternatives = g_strsplit(wishes[i], "^", -1);
        for (size_t a = 0; alternatives[a]; a++)
            if (strcmp(alternatives[a], "<stop>") != 0) add_word(script, alternatives[a]);
    }
    script->quoted = g_string_new(NULL);
    script->answered = g_string_new(NULL);
}

static void script_clear(Script *script)
{
    g_string_free(script->quoted, TRUE);
    g_string_free(script->answered, TRUE);
    if (script->random) g_rand_free(script->random);
}

static uint32_t find_token(const Script *script, const char *text)
{
    if (strcmp(text, "<stop>") == 0) return (uint32_t)(N_BYTES + script->n_words);
    if (strlen(text) == 1) return (uint8_t)text[0];
    for (size_t i = 0; i < script->n_words; i++)
        if (strcmp(script->words[i], text) == 0) return (uint32_t)(N_BYTES + i);
    fail_msg("no token '%s'", text);
    return 0;
}

static bool step(void *user, const uint32_t *ids, size_t n, const float **ret_logits, GError **error)
{
    Script *script = user;
    if (script->step == 0) script->n_prompt = n;
    if (script->step == script->fail_at) {
        g_set_error_literal(error, APP_EVIDENCE_ERROR, APP_EVIDENCE_ERROR_FAILED, "the step failed");
        return false;
    }
    if (script->step == script->cancel_at) script->cancel = true;
    size_t n_vocabulary = N_BYTES + script->n_words + 1;
    for (size_t i = 0; i < n_vocabulary; i++) script->logits[i] = script->random ? (float)g_rand_double_range(script->random, -9, 9) : -30;
    script->ran_out = script->ran_out || (!script->random && !script->wishes[script->step]);
    if (!script->random && !script->ran_out) {
        g_auto(GStrv) alternatives = g_strsplit(script->wishes[script->step], "^", -1);
        for (size_t a = 0; alternatives[a]; a++) script->logits[find_token(script, alternatives[a])] = 30 - (float)a;
    }
    script->step++;
    *ret_logits = script->logits;
    return true;
}

static const char *token_bytes(void *user, uint32_t id, size_t *ret_n_bytes)
{
    const Script *script = user;
    if (id < N_BYTES) {
        *ret_n_bytes = 1;
        return &script->single[id];
    }
    if (id >= N_BYTES + script->n_words) {
        *ret_n_bytes = 0;
        return NULL;
    }
    *ret_n_bytes = strlen(script->words[id - N_BYTES]);
    return script->words[id - N_BYTES];
}

static bool is_control(void *user, uint32_t id) { return id == N_BYTES + ((const Script *)user)->n_words; }

static void on_text(void *user, const char *text, size_t n_bytes, bool in_quotation)
{
    Script *script = user;
    assert_true(g_utf8_validate_len(text, n_bytes, NULL));
    g_string_append_len(in_quotation ? script->quoted : script->answered, text, (gssize)n_bytes);
}

static AppCorpus *make_corpus(const char *const *texts)
{
    AppCorpus *corpus = app_corpus_new();
    for (size_t i = 0; texts[i]; i++) assert_true(app_corpus_add(corpus, texts[i], strlen(texts[i])));
    return corpus;
}

static bool decode(Script *script, AppCorpus *corpus, AppReplyOptions options, AppReply *ret_reply, GError **error)
{
    const uint32_t prompt[] = {1, 2, 3};
    AppDecoder decoder = {.user = script, .n_vocabulary = N_BYTES + script->n_words + 1, .step = step, .token_bytes = token_bytes,
                          .is_control = is_control};
    options.on_text = on_text;
    options.on_text_user = script;
    options.cancel = &script->cancel;
    if (!options.absent) options.absent = ABSENT;
    return app_reply_decode(&decoder, corpus, prompt, 3, &options, ret_reply, error);
}

/* Every place of the reply holds the quotation, and neither end is within a word. */
static void assert_verbatim(const AppCorpus *corpus, const AppReply *reply, bool any_end)
{
    assert_non_null(reply->quotation);
    assert_true(reply->places->len > 0);
    assert_true(g_utf8_validate(reply->quotation, -1, NULL));
    size_t n = strlen(reply->quotation);
    for (guint i = 0; i < reply->places->len; i++) {
        size_t section, offset, n_text;
        app_corpus_locate(corpus, g_array_index(reply->places, uint32_t, i), &section, &offset);
        const char *text = app_corpus_get_text(corpus, section, &n_text);
        assert_true(offset + n <= n_text);
        assert_memory_equal(text + offset, reply->quotation, n);
        assert_false(app_text_is_inside_word(text, n_text, offset));
        if (!any_end) assert_false(app_text_is_inside_word(text, n_text, offset + n));
    }
}

/* Decodes the wishes over the texts; checks quotation (NULL: absent) and answer, and that what was streamed is the same. */
static void check(const char *const *texts, const char *const *wishes, AppReplyOptions options, const char *quotation, const char *answer,
                  guint n_places)
{
    g_autoptr(AppCorpus) corpus = make_corpus(texts);
    Script script;
    script_init(&script, wishes);
    AppReply reply = {0};
    g_autoptr(GError) error = NULL;
    assert_true(decode(&script, corpus, options, &reply, &error));
    assert_null(error);
    assert_string_equal(reply.answer, answer);
    if (quotation) {
        assert_false(reply.absent);
        assert_string_equal(reply.quotation, quotation);
        assert_int_equal(reply.places->len, n_places);
        assert_verbatim(corpus, &reply, false);
        assert_string_equal(script.quoted->str, quotation);
        if (options.form == APP_REPLY_QUOTATION_ANSWER && strcmp(answer, quotation) != 0) assert_string_equal(script.answered->str, answer);
    } else {
        assert_true(reply.absent);
        assert_null(reply.quotation);
        assert_string_equal(script.answered->str, answer);
    }
    app_reply_clear(&reply);
    script_clear(&script);
}

static const AppReplyOptions quoting = {.form = APP_REPLY_QUOTATION_ANSWER};
static const char *const cat[] = {"The cat sat on the mat. It was grey.\nThe dog ran home, at 10:30.", "A cat slept.", NULL};

static void closes_within_a_token(void **state)
{
    check(cat, (const char *[]){"\"", "The", " cat", " sat", " on the mat", ".\"\n", "the", " mat", "<stop>", NULL}, quoting,
          "The cat sat on the mat.", "the mat", 1);
    check(cat, (const char *[]){"\"The cat", " sat", " on the mat.\"\nthe", " mat", "<stop>", NULL}, quoting, "The cat sat on the mat.",
          "the mat", 1);
}

static void closes_by_single_bytes(void **state)
{
    check(cat, (const char *[]){"\"", "It", " was grey", ".", "\"", "\n", "grey", "<stop>", NULL}, quoting, "It was grey.", "grey", 1);
}

static void other_wishes_are_bent_to_the_text(void **state)
{
    check(cat, (const char *[]){"\"", "The", " lion^ dog", " walked^ ran", " away^ home", "\"\n", "home", "<stop>", NULL}, quoting,
          "The dog ran home", "home", 1);
}

static void the_line_break_is_forced(void **state)
{
    check(cat, (const char *[]){"\"", "It was grey.", "\"", "x^<stop>^\n", "grey", "<stop>", NULL}, quoting, "It was grey.", "grey", 1);
}

static void an_empty_answer_is_the_quotation(void **state)
{
    check(cat, (const char *[]){"\"", "It was grey.", "\"\n", "<stop>", NULL}, quoting, "It was grey.", "It was grey.", 1);
}

static const char *const talk[] = {"He said \"go\"\nand went. The end.", "\"No,\" she said.", NULL};

static void quotes_and_breaks_of_the_text_stay_in(void **state)
{
    check(talk, (const char *[]){"\"", "He said ", "\"", "go", "\"", "\n", "and", " went.", "\"\n", "he went", "<stop>", NULL}, quoting,
          "He said \"go\"\nand went.", "he went", 1);
    check(talk, (const char *[]){"\"", "\"", "No,", "\"", " she", " said.", "\"\n", "no", "<stop>", NULL}, quoting, "\"No,\" she said.", "no", 1);
}

static void what_follows_decides_whether_it_was_the_end(void **state)
{
    check(talk, (const char *[]){"\"", "He said ", "\"", "go", "\"", "\n", "another", " answer", "<stop>", NULL}, quoting, "He said \"go",
          "another answer", 1);
    /* An answer that begins as the text goes on. */
    check(talk, (const char *[]){"\"", "He said ", "\"go", "\"\n", "and", " so on", "<stop>", NULL}, quoting, "He said \"go", "and so on", 1);
}

static void several_places_are_all_known(void **state)
{
    const char *const texts[] = {"Net sales | 12 | 13\nTotal | 5", "Net sales | 12 | 13\nTotal | 7", "Net sales | 12 | 14", NULL};
    check(texts, (const char *[]){"\"", "Net sales", " | 12", " | 13", "\"\n", "12", "<stop>", NULL}, quoting, "Net sales | 12 | 13", "12", 2);
    check(texts, (const char *[]){"\"", "Net sales", " | 12", "\"\n", "12", "<stop>", NULL}, quoting, "Net sales | 12", "12", 3);
}

static void characters_may_be_split(void **state)
{
    const char *const texts[] = {"Das Caf\xC3\xA9 \xE2\x80\x94 na\xC3\xAFve \xF0\x9F\x98\x80 end.", NULL};
    check(texts,
          (const char *[]){"\"", "Caf", "\xC3", "\xA9", " \xE2", "\x80", "\x94", " na", "\xC3", "\xAF", "ve ", "\xF0", "\x9F\x98", "\x80", "\"\n",
                           "\xF0\x9F", "\x98\x80", "<stop>", NULL},
          quoting, "Caf\xC3\xA9 \xE2\x80\x94 na\xC3\xAFve \xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", 1);
    /* Not within a character, though the model would. */
    check(texts, (const char *[]){"\"", "Caf", "\xC3", "\"\n^\xA9", "\"\n", "a", "<stop>", NULL}, quoting, "Caf\xC3\xA9", "a", 1);
}

static void words_and_numbers_are_not_cut(void **state)
{
    const char *const texts[] = {"It cost 1,200.5 dollars at grove-jade, it's said.", NULL};
    check(texts, (const char *[]){"\"", "It cost 1", "\"\n^,200", "\"\n^.5", "\"\n", "1", "<stop>", NULL}, quoting, "It cost 1,200.5", "1", 1);
    check(texts, (const char *[]){"\"", "at gro", "\"\n^ve", "\"\n^-jade", "\"\n", "x", "<stop>", NULL}, quoting, "at grove-jade", "x", 1);
    check(texts, (const char *[]){"\"", "t^at", " grove-jade", "\"\n", "x", "<stop>", NULL}, quoting, "at grove-jade", "x", 1);
}

static void the_absent_reply_is_an_answer(void **state)
{
    check(cat, (const char *[]){"Not", " found", " in", " these", " documents.", "<stop>", NULL}, quoting, NULL, ABSENT, 0);
    check(cat, (const char *[]){"No^Not", " way| found", " in these documents", ".", "x^<stop>", NULL}, quoting, NULL, ABSENT, 0);
    check(cat, (const char *[]){"Maybe^\"", "It was grey.", "\"\n", "grey", "<stop>", NULL}, quoting, "It was grey.", "grey", 1);
}

static void borders_of_sections_are_not_crossed(void **state)
{
    const char *const texts[] = {"one two", "three four", NULL};
    check(texts, (const char *[]){"\"", "one two", "three^\"\n", "x", "<stop>", NULL}, quoting, "one two", "x", 1);
}

static void lengths_are_bounded(void **state)
{
    const char *const texts[] = {"alpha beta gamma delta epsilon zeta eta theta", NULL};
    AppReplyOptions options = {.form = APP_REPLY_QUOTATION_ANSWER, .n_quotation_bytes_max = 12};
    check(texts, (const char *[]){"\"", "alpha", " beta", " gamm", "a", " delta^\"\n", "x", "<stop>", NULL}, options, "alpha beta gamma", "x", 1);
    /* Not shorter than the least, unless the text ends. */
    options = (AppReplyOptions){.form = APP_REPLY_QUOTATION_ANSWER, .n_quotation_bytes_min = 8};
    check(texts, (const char *[]){"\"", "beta", "\"\n^ gamma", "\"\n", "x", "<stop>", NULL}, options, "beta gamma", "x", 1);
    check(texts, (const char *[]){"\"", "theta", "\"\n", "x", "<stop>", NULL}, options, "theta", "x", 1);
}

static void a_cut_reply_keeps_whole_words(void **state)
{
    AppReplyOptions options = {.form = APP_REPLY_QUOTATION_ANSWER, .n_tokens_max = 4};
    g_autoptr(AppCorpus) corpus = make_corpus(cat);
    Script script;
    script_init(&script, (const char *[]){"\"", "The", " cat", " sa", "t", NULL});
    AppReply reply = {0};
    assert_true(decode(&script, corpus, options, &reply, NULL));
    assert_false(reply.complete);
    assert_string_equal(reply.quotation, "The cat");
    assert_int_equal(reply.n_tokens, 4);
    assert_verbatim(corpus, &reply, false);
    app_reply_clear(&reply);
    script_clear(&script);
}

static void stops_when_cancelled(void **state)
{
    g_autoptr(AppCorpus) corpus = make_corpus(cat);
    Script script;
    script_init(&script, (const char *[]){"\"", "The", " cat", " sat", NULL});
    script.cancel_at = 2;
    AppReply reply = {0};
    g_autoptr(GError) error = NULL;
    assert_false(decode(&script, corpus, quoting, &reply, &error));
    assert_true(g_error_matches(error, APP_EVIDENCE_ERROR, APP_EVIDENCE_ERROR_CANCELLED));
    assert_int_equal(script.step, 3);
    assert_null(reply.text);
    script_clear(&script);
}

static void a_failing_step_fails(void **state)
{
    g_autoptr(AppCorpus) corpus = make_corpus(cat);
    for (size_t at = 0; at < 3; at++) {
        Script script;
        script_init(&script, (const char *[]){"\"", "The", " cat", NULL});
        script.fail_at = at;
        AppReply reply = {0};
        g_autoptr(GError) error = NULL;
        assert_false(decode(&script, corpus, quoting, &reply, &error));
        assert_string_equal(error->message, "the step failed");
        script_clear(&script);
    }
}

static void nothing_to_quote_is_absent(void **state)
{
    const char *const none[] = {NULL};
    check(none, (const char *[]){"\"^Not found in these documents.", "<stop>", NULL}, quoting, NULL, ABSENT, 0);
    const char *const blank[] = {" \n ", NULL};
    check(blank, (const char *[]){"\"^Not found in these documents.", "<stop>", NULL}, quoting, NULL, ABSENT, 0);
}

/* Random logits over bytes, words, fragments and closings: whatever comes first, the quotation is verbatim. */
static void adversaries_cannot_leave_the_text(void **state)
{
    const char *const texts[] = {"He said \"go\"\nand went \"home\"\n\n\"Well,\" he said, 1,200.5 times: \xE2\x80\x9Cna\xC3\xAFve\xE2\x80\x9D\n",
                                 "a | b | c\n\"\n\"\n- x\n", "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE3\x80\x82\"\n", "\"", "-", NULL};
    const char *const words[] = {"He", " said", " \"", "go\"", "\"\n", ".\"\n", "\"\nand", "\n\"", "\"\"", " went", "1,2", "00.5", "\xC3\xAF", "\x80\x9C",
                                 "\xE6\x97", "\xA5", " | ", "\n\n", "Not", " found", " in these", "documents", "<|x|>", NULL};
    g_autoptr(AppCorpus) corpus = make_corpus(texts);
    size_t n_found = 0, n_absent = 0;
    for (guint32 seed = 0; seed < 3000; seed++) {
        Script script;
        script_init(&script, NULL);
        for (size_t i = 0; words[i]; i++) add_word(&script, words[i]);
        script.random = g_rand_new_with_seed(seed);
        AppReplyOptions options = {.form = seed % 3 == 2 ? APP_REPLY_ANSWER : APP_REPLY_QUOTATION_ANSWER, .n_tokens_max = 1 + seed % 60,
                                   .temperature = seed % 2 ? 0.0f : 1.5f, .seed = seed, .n_quotation_bytes_max = seed % 5 ? 0 : 6};
        AppReply reply = {0};
        assert_true(decode(&script, corpus, options, &reply, NULL));
        assert_true(g_utf8_validate(reply.text, -1, NULL) && g_utf8_validate(reply.answer, -1, NULL));
        assert_true(reply.absent == (reply.quotation == NULL));
        if (reply.quotation) assert_verbatim(corpus, &reply, false);
        if (reply.quotation && reply.complete) assert_string_equal(script.quoted->str, reply.quotation);
        n_found += !reply.absent;
        n_absent += reply.absent;
        app_reply_clear(&reply);
        script_clear(&script);
    }
    assert_true(n_found > 1000);
    assert_true(n_absent > 0);
}

static void logits_that_are_no_numbers_do_no_harm(void **state)
{
    g_autoptr(AppCorpus) corpus = make_corpus(cat);
    Script script;
    script_init(&script, (const char *[]){"\"", "The", " cat", " sat", "\"\n", "x", "<stop>", NULL});
    AppReply reply = {0};
    script.random = NULL;
    const char *const wishes[] = {NULL};
    script.wishes = wishes;
    /* No wish at all: every logit is equal; then none is a number. */
    assert_true(decode(&script, corpus, (AppReplyOptions){.form = APP_REPLY_QUOTATION_ANSWER, .n_tokens_max = 20}, &reply, NULL));
    if (reply.quotation) assert_verbatim(corpus, &reply, false);
    app_reply_clear(&reply);
    script_clear(&script);
}

/* --------------------------------------------------------------------------------------------------------- other forms */

static void a_span_is_bound_too(void **state)
{
    AppReplyOptions options = {.form = APP_REPLY_ANSWER};
    check(cat, (const char *[]){"a lion^the mat", "<stop>", NULL}, options, "the mat", "the mat", 1);
    check(cat, (const char *[]){"the", " ma", "<stop>^t", "<stop>", NULL}, options, "the mat", "the mat", 1);
    check(cat, (const char *[]){"1", "0", "<stop>^:", "30", "<stop>", NULL}, options, "10:30", "10:30", 1);
    check(cat, (const char *[]){"Not found", " in these documents.", "<stop>", NULL}, options, NULL, ABSENT, 0);
    check(cat, (const char *[]){"cat", "<stop>", NULL}, options, "cat", "cat", 2);
}

static void a_span_that_begins_like_the_absent_reply(void **state)
{
    const char *const texts[] = {"Not found wanting was he.", NULL};
    check(texts, (const char *[]){"Not found", " wanting", "<stop>", NULL}, (AppReplyOptions){.form = APP_REPLY_ANSWER}, "Not found wanting",
          "Not found wanting", 1);
}

static void free_replies_are_free(void **state)
{
    g_autoptr(AppCorpus) corpus = make_corpus(cat);
    Script script;
    script_init(&script, (const char *[]){"It", " says", " \"", "The cat sat", "\"", " and \xE2\x80\x9CIt was green\xE2\x80\x9D.", "<stop>", NULL});
    AppReply reply = {0};
    assert_true(decode(&script, corpus, (AppReplyOptions){.form = APP_REPLY_FREE}, &reply, NULL));
    assert_string_equal(reply.answer, "It says \"The cat sat\" and \xE2\x80\x9CIt was green\xE2\x80\x9D.");
    assert_string_equal(script.answered->str, reply.answer);
    assert_false(reply.absent);
    assert_true(reply.complete);
    g_autoptr(GPtrArray) quoted = app_reply_get_quoted(reply.answer, 5);
    assert_int_equal(quoted->len, 2);
    assert_string_equal(quoted->pdata[0], "The cat sat");
    assert_string_equal(quoted->pdata[1], "It was green");
    g_autoptr(GArray) first = app_corpus_find(corpus, quoted->pdata[0], strlen(quoted->pdata[0]), 10);
    g_autoptr(GArray) second = app_corpus_find(corpus, quoted->pdata[1], strlen(quoted->pdata[1]), 10);
    assert_int_equal(first->len, 1);
    assert_int_equal(second->len, 0);
    app_reply_clear(&reply);
    script_clear(&script);
}

static void the_likeliest_sentence_is_found(void **state)
{
    const char *const texts[] = {"The ship left Lisbon in May. The crew was tired of salt and storms.\n\nNobody saw the captain.",
                                 "Revenue | 12 | 13\nNet income | 621 | 540\nTotal | 1", NULL};
    g_autoptr(AppCorpus) corpus = make_corpus(texts);
    uint32_t place;
    size_t n_bytes, n;
    assert_true(app_evidence_find_best(corpus, "From where did the ship sail?", "It sailed from Lisbon.", &place, &n_bytes));
    g_autofree char *sentence = g_strndup(app_corpus_at(corpus, place, &n), n_bytes);
    assert_string_equal(sentence, "The ship left Lisbon in May.");
    assert_true(app_evidence_find_best(corpus, "What was the net income?", "The net income was 621.", &place, &n_bytes));
    g_autofree char *line = g_strndup(app_corpus_at(corpus, place, &n), n_bytes);
    assert_string_equal(line, "Net income | 621 | 540");
    assert_false(app_evidence_find_best(corpus, "Who?", "Zebra", &place, &n_bytes));
}

static void sentences_and_lines_are_told_apart(void **state)
{
    static const struct {
        const char *text, *span, *sentence;
    } cases[] = {
        {"One. Two goes here. Three.", "goes", "Two goes here."},
        {"Mr. Hyde met Dr. Jekyll on May 3. They spoke.", "Jekyll", "Mr. Hyde met Dr. Jekyll on May 3."},
        {"He said \"Stop!\" loudly. Then left.", "loudly", "He said \"Stop!\" loudly."},
        {"a | b\nNet sales | 1,200.5 | 3\nc | d", "1,200.5", "Net sales | 1,200.5 | 3"},
        {"Area: 5\nArea - land: 364,485 sq km\nCoast: 0", "364,485", "Area - land: 364,485 sq km"},
        {"It was the best of times and it was the worst of times, and\nso on it went for years. Then not.", "so on",
         "It was the best of times and it was the worst of times, and\nso on it went for years."},
        {"Alpha\n\nBeta gamma\n\nDelta", "gamma", "Beta gamma"},
        {"whole text without an end", "text", "whole text without an end"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *text = cases[i].text;
        size_t at = (size_t)(strstr(text, cases[i].span) - text), start, end;
        app_text_get_sentence(text, strlen(text), at, at + strlen(cases[i].span), &start, &end);
        g_autofree char *sentence = g_strndup(text + start, end - start);
        assert_string_equal(sentence, cases[i].sentence);
    }
}

/* The index of starts against a plain search, on random texts of few letters (many repetitions). */
static void matches_equal_a_plain_search(void **state)
{
    GRand *random = g_rand_new_with_seed(7);
    for (int round = 0; round < 40; round++) {
        g_autoptr(AppCorpus) corpus = app_corpus_new();
        for (int section = 0; section < 3; section++) {
            char text[400];
            size_t n = (size_t)g_rand_int_range(random, 0, sizeof text);
            for (size_t i = 0; i < n; i++) text[i] = "ab \n"[g_rand_int_range(random, 0, 4)];
            assert_true(app_corpus_add(corpus, text, n));
        }
        for (int query = 0; query < 50; query++) {
            AppMatch *match = app_match_new(corpus);
            GString *bytes = g_string_new(NULL);
            while (bytes->len < 30 && app_match_n_places(match)) {
                char piece[6];
                size_t n = (size_t)g_rand_int_range(random, 1, sizeof piece);
                for (size_t i = 0; i < n; i++) piece[i] = "ab \n"[g_rand_int_range(random, 0, 4)];
                bool continues = app_match_continues(match, piece, n);
                app_match_extend(match, piece, n);
                g_string_append_len(bytes, piece, (gssize)n);
                g_autoptr(GArray) all = app_corpus_find(corpus, bytes->str, bytes->len, SIZE_MAX);
                size_t n_expected = 0;
                for (guint i = 0; i < all->len; i++) {
                    size_t section, offset, n_text;
                    app_corpus_locate(corpus, g_array_index(all, uint32_t, i), &section, &offset);
                    const char *text = app_corpus_get_text(corpus, section, &n_text);
                    n_expected += !g_ascii_isspace(text[offset]) && !app_text_is_inside_word(text, n_text, offset);
                }
                assert_int_equal(app_match_n_places(match), n_expected);
                assert_true(continues == (n_expected > 0));
            }
            g_string_free(bytes, TRUE);
            app_match_free(match);
        }
    }
    g_rand_free(random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closes_within_a_token),
        cmocka_unit_test(closes_by_single_bytes),
        cmocka_unit_test(other_wishes_are_bent_to_the_text),
        cmocka_unit_test(the_line_break_is_forced),
        cmocka_unit_test(an_empty_answer_is_the_quotation),
        cmocka_unit_test(quotes_and_breaks_of_the_text_stay_in),
        cmocka_unit_test(what_follows_decides_whether_it_was_the_end),
        cmocka_unit_test(several_places_are_all_known),
        cmocka_unit_test(characters_may_be_split),
        cmocka_unit_test(words_and_numbers_are_not_cut),
        cmocka_unit_test(the_absent_reply_is_an_answer),
        cmocka_unit_test(borders_of_sections_are_not_crossed),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(a_cut_reply_keeps_whole_words),
        cmocka_unit_test(stops_when_cancelled),
        cmocka_unit_test(a_failing_step_fails),
        cmocka_unit_test(nothing_to_quote_is_absent),
        cmocka_unit_test(adversaries_cannot_leave_the_text),
        cmocka_unit_test(logits_that_are_no_numbers_do_no_harm),
        cmocka_unit_test(a_span_is_bound_too),
        cmocka_unit_test(a_span_that_begins_like_the_absent_reply),
        cmocka_unit_test(free_replies_are_free),
        cmocka_unit_test(the_likeliest_sentence_is_found),
        cmocka_unit_test(sentences_and_lines_are_told_apart),
        cmocka_unit_test(matches_equal_a_plain_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
