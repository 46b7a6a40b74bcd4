/* tokenizer.c: text to tokens and tokens to bytes.
 *
 * Owns: the order of steps (see tokenizer.h), splitting into words.
 * Does not own: the steps themselves (tokenizer-*.c), turns of a chat (tokenizer-chat.c).
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MATCH_LIMIT = 20000000, /* steps of one match; a megabyte of white space takes about one million */
    HEAP_LIMIT_KIB = 65536,
    JIT_STACK_BYTES = 1 << 20,
    CHECK_EVERY = 64,       /* matches between two looks at the clock */
    SLOWEST_BYTES_MS = 100, /* a pattern slower than 100 kB/s is taken for an attack */
    PATIENCE_MS = 2000,
};

void eng_tokens_clear(eng_tokens *tokens)
{
    free(tokens->ids);
    *tokens = (eng_tokens){0};
}

eng_status eng_tokens_reserve(eng_tokens *tokens, size_t n, eng_error *error)
{
    if (tokens->capacity - tokens->n >= n) return ENG_OK;
    size_t capacity = tokens->capacity + tokens->capacity / 2 + n + 64;
    uint32_t *grown = realloc(tokens->ids, capacity * sizeof *grown);
    if (grown == NULL) return eng_fail(error, ENG_NO_MEMORY, "out of memory for %zu tokens", capacity);
    tokens->ids = grown;
    tokens->capacity = capacity;
    return ENG_OK;
}

/* ------------------------------------------------------------------------------------------------------------- one call */

typedef struct call {
    const eng_tokenizer *tokenizer;
    eng_tokens *tokens;
    eng_error *error;
    eng_bpe *bpe;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
    uint64_t n_matches, n_done_bytes;
    int64_t start_ms;
} call;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void call_end(call *c)
{
    pcre2_match_data_free(c->match);
    pcre2_match_context_free(c->limits);
    pcre2_jit_stack_free(c->stack);
    eng_bpe_free(c->bpe);
}

static eng_status call_begin(call *c, size_t n_bytes)
{
    const eng_tokenizer *t = c->tokenizer;
    c->start_ms = now_ms();
    c->bpe = eng_bpe_new(t, n_bytes);
    bool good = c->bpe != NULL;
    if (t->split != NULL) {
        c->match = pcre2_match_data_create(1, NULL);
        c->limits = pcre2_match_context_create(NULL);
        if (t->split_jit) c->stack = pcre2_jit_stack_create(32768, JIT_STACK_BYTES, NULL);
        good = good && c->match != NULL && c->limits != NULL && (!t->split_jit || c->stack != NULL);
    }
    if (!good) {
        call_end(c);
        return eng_fail(c->error, ENG_NO_MEMORY, "out of memory for the tokens of a text of %zu bytes", n_bytes);
    }
    if (t->split != NULL) {
        pcre2_set_match_limit(c->limits, MATCH_LIMIT);
        pcre2_set_heap_limit(c->limits, HEAP_LIMIT_KIB);
        if (c->stack != NULL) pcre2_jit_stack_assign(c->limits, NULL, c->stack);
    }
    return ENG_OK;
}

/* The next match at or after `from`: 1 and its place, 0: none, else PCRE2's error. The text is well-formed. */
static int match_next(call *c, const char *text, size_t n_bytes, size_t from, size_t *ret_begin, size_t *ret_end)
{
    const eng_tokenizer *t = c->tokenizer;
    int got = t->split_jit ? pcre2_jit_match(t->split, (PCRE2_SPTR)text, n_bytes, from, 0, c->match, c->limits)
                           : pcre2_match(t->split, (PCRE2_SPTR)text, n_bytes, from, PCRE2_NO_UTF_CHECK, c->match, c->limits);
    if (got == PCRE2_ERROR_NOMATCH) return 0;
    if (got < 0) return got;
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(c->match);
    *ret_begin = place[0];
    *ret_end = place[1];
    return 1;
}

static eng_status check_pace(call *c, size_t at)
{
    if (++c->n_matches % CHECK_EVERY != 0) return ENG_OK;
    int64_t allowed_ms = PATIENCE_MS + (int64_t)((c->n_done_bytes + at) / SLOWEST_BYTES_MS);
    if (now_ms() - c->start_ms <= allowed_ms) return ENG_OK;
    return eng_fail(c->error, ENG_BAD_FILE, "the tokenizer's split pattern takes too long");
}

static eng_status split_words(call *c, const char *text, size_t n_bytes)
{
    if (c->tokenizer->split == NULL) return eng_bpe_add_word(c->bpe, text, n_bytes, c->tokens, c->error);
    size_t done = 0; /* up to here words were added */
    for (size_t from = 0; from < n_bytes;) {
        size_t begin = n_bytes, end = n_bytes;
        int got = match_next(c, text, n_bytes, from, &begin, &end);
        if (got < 0) return eng_fail(c->error, ENG_BAD_FILE, "the tokenizer's split pattern fails on this text (PCRE2 error %d)", got);
        eng_status status = check_pace(c, begin);
        if (begin < done || end < begin) return eng_fail(c->error, ENG_BAD_FILE, "the tokenizer's split pattern matches backwards");
        if (status == ENG_OK && begin > done && (end > begin || got == 0))
            status = eng_bpe_add_word(c->bpe, text + done, begin - done, c->tokens, c->error);
        if (status == ENG_OK && end > begin) status = eng_bpe_add_word(c->bpe, text + begin, end - begin, c->tokens, c->error);
        if (status != ENG_OK) return status;
        if (got == 0) return ENG_OK;
        if (end > begin) done = end;
        from = end > begin ? end : end < n_bytes ? end + eng_text_step(text + end) : n_bytes;
    }
    return done < n_bytes ? eng_bpe_add_word(c->bpe, text + done, n_bytes - done, c->tokens, c->error) : ENG_OK;
}

/* Text without added tokens. */
static eng_status add_plain(call *c, const char *text, size_t n_bytes)
{
    if (n_bytes == 0) return ENG_OK;
    char *owned = NULL;
    const char *normal = text;
    size_t n_normal = n_bytes;
    if (c->tokenizer->normalize) {
        eng_status status = eng_text_normalize(text, n_bytes, &normal, &n_normal, &owned, c->error);
        if (status != ENG_OK) return status;
    }
    eng_status status = split_words(c, normal, n_normal);
    c->n_done_bytes += n_bytes;
    free(owned);
    return status;
}

/* The longest added token that starts at text; ENG_NO_TOKEN: none. */
static uint32_t find_added(const eng_tokenizer *t, const char *text, size_t n_bytes)
{
    uint8_t first = (uint8_t)*text;
    for (uint32_t i = t->added_first[first]; i < t->added_first[first + 1]; i++) {
        const eng_token *token = &t->tokens[t->added[i]];
        if (token->n_bytes <= n_bytes && memcmp(token->bytes, text, token->n_bytes) == 0) return t->added[i];
    }
    return ENG_NO_TOKEN;
}

static eng_status add_with_added(call *c, const char *text, size_t n_bytes)
{
    size_t done = 0;
    eng_status status = ENG_OK;
    for (size_t i = 0; i < n_bytes && status == ENG_OK;) {
        uint32_t id = find_added(c->tokenizer, text + i, n_bytes - i);
        if (id == ENG_NO_TOKEN) {
            i++;
            continue;
        }
        status = add_plain(c, text + done, i - done);
        if (status == ENG_OK) status = eng_tokens_reserve(c->tokens, 1, c->error);
        if (status == ENG_OK) c->tokens->ids[c->tokens->n++] = id;
        i += c->tokenizer->tokens[id].n_bytes;
        done = i;
    }
    return status == ENG_OK ? add_plain(c, text + done, n_bytes - done) : status;
}

eng_status eng_tokenize(const eng_model *model, const char *text, size_t n_bytes, bool parse_added, eng_tokens *tokens, eng_error *error)
{
    if (n_bytes == 0) return ENG_OK;
    if (n_bytes > ENG_TEXT_BYTES_MAX) return eng_fail(error, ENG_LIMIT, "a text of more than %d bytes at once", ENG_TEXT_BYTES_MAX);
    const char *repaired;
    char *owned = NULL;
    size_t n_repaired, n_before = tokens->n;
    eng_status status = eng_text_repair(text, n_bytes, &repaired, &n_repaired, &owned, error);
    if (status != ENG_OK) return status;
    call c = {.tokenizer = model->tokenizer, .tokens = tokens, .error = error};
    status = call_begin(&c, n_repaired);
    if (status == ENG_OK) {
        status = parse_added ? add_with_added(&c, repaired, n_repaired) : add_plain(&c, repaired, n_repaired);
        call_end(&c);
    }
    if (status != ENG_OK) tokens->n = n_before;
    free(owned);
    return status;
}

/* --------------------------------------------------------------------------------------------------------------- tokens */

const char *eng_token_bytes(const eng_model *model, uint32_t id, size_t *ret_n_bytes)
{
    const eng_tokenizer *t = model->tokenizer;
    bool known = id < t->n_vocabulary && t->tokens[id].bytes != NULL;
    *ret_n_bytes = known ? t->tokens[id].n_bytes : 0;
    return known ? t->tokens[id].bytes : NULL;
}

uint32_t eng_special_token(const eng_model *model, eng_special special)
{
    return model->tokenizer->special_ids[special];
}
