/* cli-bench-book.c: a book's own keys, for `lectern bench --book`: how many value rows are read at which bound on the dropped attention
 * mass, and whether the answers stay the same.
 *
 * Owns: a library for the time being, questions made of the book's sentences, comparing answers and the logits behind them.
 * Does not own: reading and answering: they are the application's own (app-reader.h, app-ask.h), with its choice of sections and its
 * verified quotations.
 *
 * Every bound is compared with the exact answers, in two ways: as asked (sections chosen where the book is long) and over the whole book.
 * Where a token differs, how far the exact logits were apart there is set against what the bound did to them. What rounding alone does is
 * measured in the same way: exact answers by another instruction set, whose sums have another order and whose tiles round otherwise, over
 * the same caches.
 */
#include "cli-bench.h"

#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "app-ask.h"
#include "app-reader.h"

enum { BOOK_QUESTIONS = 24, QUESTION_WORDS = 3, WORD_BYTES_MIN = 4, SENTENCE_BYTES_MIN = 60, SENTENCE_BYTES_MAX = 240 };
static const float BOUNDS[] = {1e-4f, 1e-3f, 1e-2f, 5e-2f};

/* One step of an exact answer: the token that was taken, and the logits that it was taken by. */
typedef struct Step {
    uint32_t token;
    float *logits;
} Step;

/* An exact answer, and how it came about. */
typedef struct Exact {
    char *answer;
    GArray *steps; /* Step */
} Exact;

typedef struct Book {
    CliBench *bench;
    const CliBenchBook *wanted;
    AppLibrary *library;
    AppEngine *engine;
    AppAsker *asker;
    int64_t document;
    GPtrArray *questions; /* char* */
    GPtrArray *exact;     /* Exact*, one a question */
    bool attend_all;
    /* of the answer at hand */
    Exact *current;
    bool records, differs;
    guint n_steps;
    float change, margin; /* the largest change of a logit while the tokens were the same; the exact logits' distance where one differed */
} Book;

static void exact_free(void *data)
{
    Exact *exact = data;
    for (guint i = 0; i < exact->steps->len; i++) g_free(g_array_index(exact->steps, Step, i).logits);
    g_array_unref(exact->steps);
    g_free(exact->answer);
    g_free(exact);
}

/* ------------------------------------------------------------------------------------------------------------ questions */

static bool is_word_byte(char c) { return g_ascii_isalpha(c) || (unsigned char)c >= 0x80; }

/* Calls fn for every word of n bytes of text, in lower case. */
static void each_word(const char *text, size_t n, void (*fn)(void *user, const char *word), void *user)
{
    for (size_t at = 0, end; at < n; at = end + 1) {
        for (end = at; end < n && is_word_byte(text[end]);) end++;
        if (end - at < WORD_BYTES_MIN) continue;
        g_autofree char *word = g_utf8_strdown(text + at, (gssize)(end - at));
        fn(user, word);
    }
}

static void count_word(void *user, const char *word)
{
    GHashTable *counts = user;
    g_hash_table_replace(counts, g_strdup(word), GSIZE_TO_POINTER(GPOINTER_TO_SIZE(g_hash_table_lookup(counts, word)) + 1));
}

/* A sentence's rarest words, in its order. */
typedef struct Rarest {
    GHashTable *counts;
    char *words[QUESTION_WORDS];
    size_t times[QUESTION_WORDS], n;
} Rarest;

static void keep_rare(void *user, const char *word)
{
    Rarest *rarest = user;
    size_t times = GPOINTER_TO_SIZE(g_hash_table_lookup(rarest->counts, word)), most = 0;
    for (size_t i = 0; i < rarest->n; i++) {
        if (strcmp(rarest->words[i], word) == 0) return;
        if (rarest->times[i] > rarest->times[most]) most = i;
    }
    if (rarest->n == QUESTION_WORDS) {
        if (times >= rarest->times[most]) return;
        g_free(rarest->words[most]);
        for (size_t i = most; i + 1 < rarest->n; i++) rarest->words[i] = rarest->words[i + 1], rarest->times[i] = rarest->times[i + 1];
        rarest->n--;
    }
    rarest->words[rarest->n] = g_strdup(word);
    rarest->times[rarest->n++] = times;
}

/* The first sentence of a fair length from `at` on. */
static const char *find_sentence(const char *text, size_t n, size_t at, size_t *ret_n)
{
    while (at < n) {
        while (at < n && !strchr(".!?\n", text[at])) at++;
        while (at < n && (strchr(".!?", text[at]) || g_ascii_isspace(text[at]))) at++;
        size_t end = at;
        while (end < n && !strchr(".!?", text[end])) end++;
        *ret_n = end - at;
        if (*ret_n >= SENTENCE_BYTES_MIN && *ret_n <= SENTENCE_BYTES_MAX) return text + at;
    }
    return NULL;
}

static bool make_questions(Book *book, GError **error)
{
    size_t n;
    g_autofree char *text = app_library_get_text(book->library, book->document, 0, UINT64_MAX, &n, error);
    if (!text) return false;
    g_autoptr(GHashTable) counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    each_word(text, n, count_word, counts);
    for (size_t q = 0; q < BOOK_QUESTIONS; q++) {
        Rarest rarest = {.counts = counts};
        size_t n_sentence;
        const char *sentence = find_sentence(text, n, q * n / BOOK_QUESTIONS, &n_sentence);
        if (sentence) each_word(sentence, n_sentence, keep_rare, &rarest);
        if (rarest.n == QUESTION_WORDS)
            g_ptr_array_add(book->questions, g_strdup_printf("What is said of %s, %s and %s?", rarest.words[0], rarest.words[1], rarest.words[2]));
        for (size_t i = 0; i < rarest.n; i++) g_free(rarest.words[i]);
    }
    return true;
}

static bool take_questions(Book *book, GError **error)
{
    g_autofree char *text = NULL;
    if (!book->wanted->questions) {
        if (!make_questions(book, error)) return false;
    } else {
        if (!g_file_get_contents(book->wanted->questions, &text, NULL, error)) return false;
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
            if (*g_strstrip(*line)) g_ptr_array_add(book->questions, g_strdup(*line));
    }
    if (book->questions->len) return true;
    g_set_error(error, APP_ASK_ERROR, APP_ASK_ERROR_QUESTION, _("%s has nothing to ask about"), book->wanted->questions ? book->wanted->questions : book->wanted->path);
    return false;
}

/* --------------------------------------------------------------------------------------------------------------- answers */

/* Everything that a person sees of an answer: its words, whether it was found, and each quotation with its place. */
static char *answer_text(const AppAnswer *answer)
{
    GString *text = g_string_new(answer->found ? "found\n" : "absent\n");
    g_string_append(text, answer->answer);
    for (size_t i = 0; i < answer->n_evidence; i++) {
        const AppQuotation *quotation = &answer->evidence[i].quotation;
        g_string_append_printf(text, "\n%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT " %d %s", quotation->char_start, quotation->char_end,
                               quotation->verified, quotation->text);
    }
    return g_string_free(text, FALSE);
}

/* How far the exact logits were from another token; one that ended there took none that ran, but the likeliest. */
static float distance(const Book *book, const Step *step, uint32_t other)
{
    float best = -INFINITY, second = -INFINITY;
    for (size_t i = 0; i < book->wanted->n_vocabulary; i++) {
        if (step->logits[i] > best) second = best, best = step->logits[i];
        else if (step->logits[i] > second) second = step->logits[i];
    }
    float taken = step->token == UINT32_MAX ? best : step->logits[step->token];
    return taken - (other == UINT32_MAX ? second : step->logits[other]);
}

/* The token that ran belongs to the step before; the logits are those that the next one is taken by. */
static void on_step(void *user, const uint32_t *ids, size_t n, const float *logits)
{
    Book *book = user;
    GArray *steps = book->current->steps;
    size_t n_vocabulary = book->wanted->n_vocabulary;
    guint at = book->n_steps++;
    if (book->records) {
        if (at) g_array_index(steps, Step, at - 1).token = ids[n - 1];
        Step step = {.token = UINT32_MAX, .logits = g_memdup2(logits, n_vocabulary * sizeof *logits)};
        g_array_append_val(steps, step);
        return;
    }
    if (book->differs) return;
    const Step *before = at && at <= steps->len ? &g_array_index(steps, Step, at - 1) : NULL;
    if (before && before->token != ids[n - 1]) {
        book->differs = true;
        book->margin = distance(book, before, ids[n - 1]);
        return;
    }
    if (at >= steps->len) return;
    const float *exact = g_array_index(steps, Step, at).logits;
    for (size_t i = 0; i < n_vocabulary; i++) book->change = MAX(book->change, fabsf(logits[i] - exact[i]));
}

static AppAnswer *ask(Book *book, guint q, float bound, GError **error)
{
    const AppAskScope scope = {.documents = &book->document, .n_documents = 1};
    const AppAskOptions options = {.attend_all = book->attend_all, .exact = !(bound > 0), .drop_mass = bound, .n_passages = UINT32_MAX,
                                   .on_step = on_step, .on_step_user = book};
    book->n_steps = 0;
    book->differs = false;
    book->change = book->margin = 0;
    book->current = g_ptr_array_index(book->exact, q);
    AppAnswer *answer = app_asker_ask(book->asker, &scope, g_ptr_array_index(book->questions, q), &options, NULL, NULL, NULL, error);
    const GArray *steps = book->current->steps;
    if (answer && !book->differs && book->n_steps && book->n_steps < steps->len) { /* it ended where the exact one went on */
        book->differs = true;
        book->margin = distance(book, &g_array_index(steps, Step, book->n_steps - 1), UINT32_MAX);
    }
    return answer;
}

/* What all answers under one bound came to. */
typedef struct BoundResult {
    double read[256], dropped;
    guint n_same, n_found, n_differ; /* differ: in a token */
    float change, margin; /* largest */
} BoundResult;

static bool run_bound(Book *book, float bound, BoundResult *ret, GError **error)
{
    *ret = (BoundResult){0};
    for (guint q = 0; q < book->questions->len; q++) {
        g_autoptr(AppAnswer) answer = ask(book, q, bound, error);
        if (!answer) return false;
        g_autofree char *text = answer_text(answer);
        if (book->records) book->current->answer = g_strdup(text);
        ret->n_same += strcmp(book->current->answer, text) == 0;
        ret->n_found += answer->found;
        ret->n_differ += book->differs;
        ret->read[q] = answer->value_rows ? 100.0 * (double)answer->value_rows_read / (double)answer->value_rows : 0;
        ret->dropped = MAX(ret->dropped, answer->dropped_mass);
        ret->change = MAX(ret->change, book->change);
        ret->margin = MAX(ret->margin, book->margin);
    }
    return true;
}

static void report_bound(Book *book, const char *what, BoundResult *result)
{
    const char *scope = book->attend_all ? "whole" : "as_asked";
    g_autofree char *name = g_strdup_printf("book_%s_rows_read_%s", scope, what);
    g_autofree char *same = g_strdup_printf("book_%s_answers_same_%s", scope, what);
    guint n = book->questions->len;
    g_autofree char *beside = g_strdup_printf("of the value rows; %u of %u found, dropped mass at most %.2g", result->n_found, n, result->dropped);
    cli_bench_report(book->bench, name, "%", result->read, n, beside);
    g_autofree char *differ = result->n_differ ? g_strdup_printf("; tokens differ in %u, where the exact logits were at most %.3g apart", result->n_differ,
                                                                 (double)result->margin)
                                               : g_strdup("");
    g_autofree char *change = g_strdup_printf("of %u, with all quotations and places; logits changed by at most %.2g%s", n, (double)result->change, differ);
    double value = result->n_same;
    cli_bench_report(book->bench, same, "answers", &value, 1, change);
}

/* By the next best instruction set: what another order of the same sums does. */
static bool run_rounding(Book *book, GError **error)
{
    const char *names[4], *best = kern_isa_name();
    size_t n = kern_isa_available(names);
    if (n < 2) return true;
    BoundResult result;
    kern_isa_force(strcmp(names[n - 1], best) == 0 ? names[n - 2] : names[n - 1]);
    bool done = run_bound(book, 0, &result, error);
    kern_isa_force(best);
    if (done) report_bound(book, "exact_other_rounding", &result);
    return done;
}

static bool run_scope(Book *book, bool attend_all, GError **error)
{
    BoundResult result;
    book->attend_all = attend_all;
    g_ptr_array_set_size(book->exact, 0);
    for (guint q = 0; q < book->questions->len; q++) {
        Exact *exact = g_new0(Exact, 1);
        exact->steps = g_array_new(FALSE, FALSE, sizeof(Step));
        g_ptr_array_add(book->exact, exact);
    }
    book->records = true;
    bool done = run_bound(book, 0, &result, error);
    book->records = false;
    if (!done) return false;
    report_bound(book, "exact", &result);
    if (!run_rounding(book, error)) return false;
    for (size_t i = 0; i < G_N_ELEMENTS(BOUNDS); i++) {
        g_autofree char *what = g_strdup_printf("%g", (double)BOUNDS[i]);
        if (!run_bound(book, BOUNDS[i], &result, error)) return false;
        report_bound(book, what, &result);
    }
    return true;
}

static bool run_book(Book *book, const char *folder, GError **error)
{
    AppAddOptions options = {0};
    AppAdded added;
    AppReadResult read;
    book->library = app_library_open(folder, error);
    if (!book->library) return false;
    book->document = app_reader_add_file(book->library, book->wanted->path, &options, &added, error);
    if (book->document < 0) return false;
    book->engine = app_engine_open_on(book->library, book->wanted->model, book->wanted->n_threads, APP_GPU_NEVER, error);
    if (!book->engine || !app_reader_read(book->engine, book->document, NULL, NULL, NULL, &read, error) || !take_questions(book, error)) return false;
    book->asker = app_asker_new(book->engine);
    g_ptr_array_set_size(book->questions, MIN((int)book->questions->len, (int)G_N_ELEMENTS(((BoundResult *)0)->read)));
    double n_tokens = (double)read.n_tokens;
    cli_bench_report(book->bench, "book_tokens", "tokens", &n_tokens, 1, book->wanted->path);
    return run_scope(book, false, error) && run_scope(book, true, error);
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *inner = g_build_filename(path, name, NULL);
        if (g_file_test(inner, G_FILE_TEST_IS_DIR) && !g_file_test(inner, G_FILE_TEST_IS_SYMLINK)) remove_tree(inner);
        else g_unlink(inner);
    }
    g_rmdir(path);
}

bool cli_bench_book(CliBench *bench, const CliBenchBook *wanted, GError **error)
{
    g_autofree char *folder = g_dir_make_tmp("lectern-bench-XXXXXX", error);
    if (!folder) return false;
    Book book = {.bench = bench, .wanted = wanted, .questions = g_ptr_array_new_with_free_func(g_free),
                 .exact = g_ptr_array_new_with_free_func(exact_free)};
    bool done = run_book(&book, folder, error);
    app_asker_free(book.asker);
    app_engine_unref(book.engine);
    app_library_unref(book.library);
    g_ptr_array_unref(book.exact);
    g_ptr_array_unref(book.questions);
    remove_tree(folder);
    return done;
}
