/* cli-bench-book.c: a model's own keys, for `lectern bench --book`: how many value rows are read at which bound on the dropped mass,
 * and whether the answers stay the same.
 *
 * Owns: cutting a plain text into sections of equal length, questions about its sentences, greedy answers at each bound.
 * Does not own: how documents are really cut (app-sections.h) or quoted (app-evidence.h): keys and queries are what matters here.
 */
#include "cli-bench.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

enum { BOOK_SECTION_TOKENS = 2048, BOOK_QUESTIONS = 12, BOOK_ANSWER_TOKENS = 32, BOOK_SUFFIX_TOKENS = 512, QUESTION_WORDS = 8 };
static const float BOUNDS[] = {0, 1e-4f, 1e-3f, 1e-2f, 5e-2f};

typedef struct Book {
    CliBench *bench;
    eng_runtime *runtime;
    eng_model *model;
    const eng_model_info *info;
    GPtrArray *memory;
    GArray *sections; /* eng_section */
    GPtrArray *questions; /* char* */
    uint64_t n_tokens;
    uint32_t answers[BOOK_QUESTIONS][BOOK_ANSWER_TOKENS]; /* at the first bound: exact */
} Book;

static eng_status read_section(Book *book, const uint32_t *ids, uint32_t n, eng_error *error)
{
    kern_kv_layout layout = kern_kv_layout_of(&book->info->kv_format, book->info->n_kv_heads, eng_section_capacity(n));
    uint8_t *memory = aligned_alloc(KERN_ALIGN_BYTES, layout.total_bytes * book->info->n_layers);
    if (!memory) return eng_fail(error, ENG_NO_MEMORY, "not enough memory to read the book");
    g_ptr_array_add(book->memory, memory);
    memset(memory, 0, layout.total_bytes * book->info->n_layers);
    kern_kv_block *blocks = g_new0(kern_kv_block, book->info->n_layers);
    g_ptr_array_add(book->memory, blocks);
    uint32_t *own = g_memdup2(ids, n * sizeof *ids);
    g_ptr_array_add(book->memory, own);
    g_autofree void **pointers = g_new0(void *, book->info->n_layers);
    for (uint32_t l = 0; l < book->info->n_layers; l++) {
        pointers[l] = memory + l * layout.total_bytes;
        blocks[l] = (kern_kv_block){.data = pointers[l], .n_tokens = n, .capacity = eng_section_capacity(n)};
    }
    eng_read_job job = {.ids = own, .n_tokens = n, .blocks = pointers, .first_position = UINT32_MAX};
    eng_section section = {.ids = own, .n_tokens = n, .blocks = blocks};
    g_array_append_val(book->sections, section);
    book->n_tokens += n;
    return eng_read(book->runtime, &job, 1, error);
}

static eng_status read_book(Book *book, const char *text, size_t n_bytes, eng_error *error)
{
    eng_tokens tokens = {0};
    eng_status status = eng_tokenize(book->model, text, n_bytes, false, &tokens, error);
    uint32_t most = MIN(BOOK_SECTION_TOKENS, book->info->section_tokens_max ? book->info->section_tokens_max : BOOK_SECTION_TOKENS);
    g_autofree uint32_t *ids = g_new(uint32_t, most);
    ids[0] = eng_special_token(book->model, ENG_TOKEN_END);
    for (size_t at = 0; at < tokens.n && status == ENG_OK; at += most - 1) {
        size_t n = MIN(tokens.n - at, most - 1);
        memcpy(ids + 1, tokens.ids + at, n * sizeof *ids);
        status = read_section(book, ids, (uint32_t)n + 1, error);
    }
    eng_tokens_clear(&tokens);
    return status;
}

/* Questions that name the first words of sentences all over the text. */
static void make_questions(Book *book, const char *text)
{
    g_auto(GStrv) words = g_strsplit_set(text, " \n\r\t", -1);
    size_t n = 0;
    for (size_t i = 0; words[i]; i++)
        if (words[i][0]) words[n++] = words[i];
        else g_free(words[i]);
    words[n] = NULL;
    for (size_t q = 0; q < BOOK_QUESTIONS && n > 2 * QUESTION_WORDS; q++) {
        size_t at = q * (n - 2 * QUESTION_WORDS) / BOOK_QUESTIONS;
        while (at + 2 * QUESTION_WORDS < n && at > 0 && !g_str_has_suffix(words[at - 1], ".")) at++;
        GString *question = g_string_new("What does the text say after “");
        for (size_t w = 0; w < QUESTION_WORDS; w++) g_string_append_printf(question, "%s%s", w ? " " : "", words[at + w]);
        g_string_append(question, "”?");
        g_ptr_array_add(book->questions, g_string_free(question, FALSE));
    }
}

static eng_status answer(Book *book, const char *question, float bound, uint32_t *ret_ids, eng_session_stats *ret_stats, eng_error *error)
{
    eng_tokens prompt = {0};
    eng_session *session = NULL;
    const float *logits = NULL;
    eng_sampling greedy = {0};
    eng_status status = eng_prompt_tokens(book->model, question, &prompt, error);
    if (status == ENG_OK)
        status = eng_session_new(book->runtime, (const eng_section *)(const void *)book->sections->data, book->sections->len, BOOK_SUFFIX_TOKENS,
                                 &session, error);
    if (status == ENG_OK) {
        eng_session_set_drop_mass(session, bound);
        status = eng_session_eval(session, prompt.ids, prompt.n, &logits, error);
    }
    for (size_t i = 0; i < BOOK_ANSWER_TOKENS && status == ENG_OK; i++) {
        ret_ids[i] = eng_sample(&greedy, logits, book->info->n_vocabulary);
        status = eng_session_eval(session, ret_ids + i, 1, &logits, error);
    }
    if (status == ENG_OK) eng_session_get_stats(session, ret_stats);
    eng_session_free(session);
    eng_tokens_clear(&prompt);
    return status;
}

static eng_status run_bound(Book *book, size_t index, eng_error *error)
{
    double read[BOOK_QUESTIONS], dropped = 0;
    size_t n_same = 0;
    for (guint q = 0; q < book->questions->len; q++) {
        uint32_t ids[BOOK_ANSWER_TOKENS];
        eng_session_stats stats;
        eng_status status = answer(book, g_ptr_array_index(book->questions, q), BOUNDS[index], ids, &stats, error);
        if (status != ENG_OK) return status;
        if (index == 0) memcpy(book->answers[q], ids, sizeof ids);
        n_same += memcmp(book->answers[q], ids, sizeof ids) == 0;
        read[q] = 100.0 * (double)stats.value_rows_read / (double)stats.value_rows;
        dropped = MAX(dropped, stats.dropped_mass_max);
    }
    char name[64];
    g_snprintf(name, sizeof name, "book_rows_read_at_%g", (double)BOUNDS[index]);
    g_autofree char *beside = g_strdup_printf("of the value rows; %zu of %u answers of %d tokens as without a bound; dropped mass at most %.2g",
                                              n_same, book->questions->len, BOOK_ANSWER_TOKENS, dropped);
    cli_bench_report(book->bench, name, "%", read, book->questions->len, beside);
    return ENG_OK;
}

eng_status cli_bench_book(CliBench *bench, eng_runtime *runtime, const char *path, eng_error *error)
{
    g_autofree char *text = NULL;
    gsize n_bytes;
    g_autoptr(GError) problem = NULL;
    if (!g_file_get_contents(path, &text, &n_bytes, &problem)) return eng_fail(error, ENG_IO, "%s", problem->message);
    Book book = {.bench = bench, .runtime = runtime, .model = eng_runtime_model(runtime), .memory = g_ptr_array_new_with_free_func(free),
                 .sections = g_array_new(FALSE, FALSE, sizeof(eng_section)), .questions = g_ptr_array_new_with_free_func(g_free)};
    book.info = eng_model_get_info(book.model);
    eng_status status = read_book(&book, text, n_bytes, error);
    if (status == ENG_OK) make_questions(&book, text);
    if (status == ENG_OK && book.questions->len == 0) status = eng_fail(error, ENG_LIMIT, "%s is too short to ask about", path);
    for (size_t i = 0; i < G_N_ELEMENTS(BOUNDS) && status == ENG_OK; i++) status = run_bound(&book, i, error);
    g_ptr_array_unref(book.questions);
    g_array_unref(book.sections);
    g_ptr_array_unref(book.memory);
    return status;
}
