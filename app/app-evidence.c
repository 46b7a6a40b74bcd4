/* app-evidence.c: replies whose quotation is bound to the text while it is decoded.
 *
 * Owns: trying tokens in the order of their logits, the loop over steps, streaming of what is settled, the finished reply.
 * Does not own: which bytes may follow (app-bound.c), where text stands (app-corpus.c), what looks quotations up afterwards
 *               (app-lookup.c).
 */
#include "app-evidence.h"

#include <glib/gi18n.h>
#include <math.h>
#include <string.h>

#include "app-bound.h"

G_DEFINE_QUARK(app-evidence-error-quark, app_evidence_error)

enum {
    REPLY_TOKENS_MAX = 256,
    SAMPLE_CANDIDATES_MAX = 64,
};
#define ANSWER_LOGITS_RANGE 4.0f  /* the first word of a bound answer may be below the model's own wish by this */
#define SAMPLE_LOGITS_RANGE 20.0f /* below the best by this times the temperature, a token is never drawn */

typedef enum TokenKind { TOKEN_NONE = 0, TOKEN_TEXT, TOKEN_CONTROL } TokenKind;

typedef struct Candidate {
    float logit;
    uint32_t id;
} Candidate;

typedef struct Decoding {
    const AppDecoder *decoder;
    const AppReplyOptions *options;
    AppBound bound;
    uint8_t *kinds, *firsts; /* [n_vocabulary]: TokenKind, first byte */
    Candidate *candidates;   /* [n_vocabulary] */
    GRand *random;
    size_t n_quotation_sent, n_answer_sent, n_answer_spaces; /* bytes; spaces before an answer are not sent */
    size_t n_tokens;
    int64_t first_token_us;
    bool ended;
} Decoding;

void app_reply_clear(AppReply *reply)
{
    g_free(reply->text);
    g_free(reply->quotation);
    g_free(reply->answer);
    if (reply->places) g_array_unref(reply->places);
    memset(reply, 0, sizeof *reply);
}

/* ---------------------------------------------------------------------------------------------------- choice of a token */

static void classify_tokens(Decoding *decoding)
{
    const AppDecoder *decoder = decoding->decoder;
    decoding->kinds = g_new0(uint8_t, decoder->n_vocabulary);
    decoding->firsts = g_new0(uint8_t, decoder->n_vocabulary);
    decoding->candidates = g_new(Candidate, decoder->n_vocabulary);
    for (size_t id = 0; id < decoder->n_vocabulary; id++) {
        size_t n = 0;
        const char *bytes = decoder->token_bytes(decoder->user, (uint32_t)id, &n);
        if (decoder->is_control(decoder->user, (uint32_t)id))
            decoding->kinds[id] = TOKEN_CONTROL;
        else if (bytes && n > 0)
            decoding->kinds[id] = TOKEN_TEXT;
        if (bytes && n > 0) decoding->firsts[id] = (uint8_t)bytes[0];
    }
}

static bool is_allowed(const Decoding *decoding, uint32_t id)
{
    if (decoding->kinds[id] == TOKEN_CONTROL) return app_bound_may_end(&decoding->bound);
    if (decoding->kinds[id] == TOKEN_NONE) return false;
    size_t n;
    const char *bytes = decoding->decoder->token_bytes(decoding->decoder->user, id, &n);
    return app_bound_allows(&decoding->bound, bytes, n);
}

/* Higher logit first, then lower id. */
static bool is_before(Candidate a, Candidate b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

static void sift_down(Candidate *heap, size_t n, size_t at)
{
    Candidate moved = heap[at];
    for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && is_before(heap[child + 1], heap[child])) child++;
        if (!is_before(heap[child], moved)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

/* Tokens that begin with an allowed byte, as a heap; what is not a number counts as the least likely. */
static size_t gather_candidates(Decoding *decoding, const float *logits)
{
    bool first[256], may_end = app_bound_may_end(&decoding->bound);
    app_bound_get_first_bytes(&decoding->bound, first);
    size_t n = 0;
    for (size_t id = 0; id < decoding->decoder->n_vocabulary; id++) {
        bool wanted = decoding->kinds[id] == TOKEN_TEXT ? first[decoding->firsts[id]] : decoding->kinds[id] == TOKEN_CONTROL && may_end;
        if (wanted) decoding->candidates[n++] = (Candidate){isnan(logits[id]) ? -INFINITY : logits[id], (uint32_t)id};
    }
    for (size_t i = n / 2; i-- > 0;) sift_down(decoding->candidates, n, i);
    return n;
}

static Candidate pop(Candidate *heap, size_t *n)
{
    Candidate top = heap[0];
    heap[0] = heap[--*n];
    if (*n) sift_down(heap, *n, 0);
    return top;
}

static uint32_t draw(Decoding *decoding, const Candidate *allowed, size_t n)
{
    double weights[SAMPLE_CANDIDATES_MAX], sum = 0, kept = 0;
    double top_p = decoding->options->top_p > 0 ? decoding->options->top_p : 1;
    for (size_t i = 0; i < n; i++) sum += weights[i] = exp((double)(allowed[i].logit - allowed[0].logit) / decoding->options->temperature);
    size_t n_kept = 0;
    while (n_kept < n && (n_kept == 0 || kept < top_p * sum)) kept += weights[n_kept++];
    double at = g_rand_double(decoding->random) * kept;
    for (size_t i = 0; i < n_kept; i++) {
        if (at < weights[i]) return allowed[i].id;
        at -= weights[i];
    }
    return allowed[n_kept - 1].id;
}

/* The token to go on with; false: none is allowed. */
static bool choose_token(Decoding *decoding, const float *logits, uint32_t *ret_id)
{
    bool greedy = decoding->options->temperature <= 0;
    if (greedy) { /* most of the time the best token of all is allowed */
        uint32_t best = 0;
        for (size_t id = 1; id < decoding->decoder->n_vocabulary; id++)
            if (logits[id] > logits[best] || isnan(logits[best])) best = (uint32_t)id;
        if (!isnan(logits[best]) && is_allowed(decoding, best)) {
            *ret_id = best;
            return true;
        }
    }
    size_t n = gather_candidates(decoding, logits), n_allowed = 0;
    Candidate allowed[SAMPLE_CANDIDATES_MAX];
    float range = SAMPLE_LOGITS_RANGE * decoding->options->temperature;
    while (n && n_allowed < (greedy ? 1 : SAMPLE_CANDIDATES_MAX)) {
        Candidate next = pop(decoding->candidates, &n);
        if (n_allowed && !(next.logit >= allowed[0].logit - range)) break;
        if (is_allowed(decoding, next.id)) allowed[n_allowed++] = next;
    }
    if (n_allowed == 0) return false;
    *ret_id = greedy || !isfinite(allowed[0].logit) ? allowed[0].id : draw(decoding, allowed, n_allowed);
    return true;
}

/* The model would begin its answer with something that the quotation does not have, and by far: no word of the quotation is then its
 * answer, and the quotation speaks for itself. */
static bool is_no_answer(const Decoding *decoding, const float *logits, uint32_t id)
{
    if (!app_bound_begins_answer(&decoding->bound)) return false;
    float best = logits[id];
    for (size_t i = 0; i < decoding->decoder->n_vocabulary; i++)
        if (logits[i] > best) best = logits[i];
    return best - logits[id] > ANSWER_LOGITS_RANGE;
}

/* ------------------------------------------------------------------------------------------------------------- streaming */

/* Sends whole characters of [*n_sent, n_settled); bytes that can never become a character are replaced. */
static void send_text(Decoding *decoding, const char *text, size_t n_settled, size_t *n_sent, bool in_quotation, bool at_end)
{
    const AppReplyOptions *options = decoding->options;
    while (*n_sent < n_settled) {
        const char *from = text + *n_sent, *valid_end;
        size_t n = n_settled - *n_sent;
        g_utf8_validate_len(from, n, &valid_end);
        size_t n_valid = (size_t)(valid_end - from);
        if (n_valid) {
            if (options->on_text) options->on_text(options->on_text_user, from, n_valid, in_quotation);
            *n_sent += n_valid;
            continue;
        }
        if (!at_end && g_utf8_get_char_validated(from, (gssize)n) == (gunichar)-2) return; /* the rest of a character may follow */
        if (options->on_text) options->on_text(options->on_text_user, "\xEF\xBF\xBD", 3, in_quotation);
        (*n_sent)++;
    }
}

static void send_settled(Decoding *decoding, bool at_end)
{
    AppBound *bound = &decoding->bound;
    size_t n_quotation, n_answer;
    app_bound_get_settled(bound, &n_quotation, &n_answer);
    if (at_end && bound->has_answer && bound->may_be_quotation) n_answer = bound->reply->len - bound->answer_at;
    send_text(decoding, bound->reply->str + app_bound_quotation_at(bound), n_quotation, &decoding->n_quotation_sent, true, at_end);
    while (bound->has_answer && decoding->n_answer_sent < n_answer && decoding->n_answer_sent == decoding->n_answer_spaces &&
           bound->reply->str[bound->answer_at + decoding->n_answer_sent] == ' ')
        decoding->n_answer_sent = ++decoding->n_answer_spaces;
    if (bound->has_answer) send_text(decoding, bound->reply->str + bound->answer_at, n_answer, &decoding->n_answer_sent, false, at_end);
}

/* ----------------------------------------------------------------------------------------------------------------- loop */

static bool is_cancelled(const AppReplyOptions *options)
{
    return options->cancel && __atomic_load_n(options->cancel, __ATOMIC_RELAXED);
}

/* Chooses tokens until the reply ends. */
static bool run(Decoding *decoding, const uint32_t *prompt, size_t n_prompt, GError **error)
{
    const AppDecoder *decoder = decoding->decoder;
    size_t n_max = decoding->options->n_tokens_max ? decoding->options->n_tokens_max : REPLY_TOKENS_MAX;
    const float *logits = NULL;
    if (!decoder->step(decoder->user, prompt, n_prompt, &logits, error)) return false;
    while (decoding->n_tokens < n_max) {
        if (is_cancelled(decoding->options)) {
            g_set_error_literal(error, APP_EVIDENCE_ERROR, APP_EVIDENCE_ERROR_CANCELLED, _("stopped"));
            return false;
        }
        uint32_t id;
        if (!choose_token(decoding, logits, &id)) return true; /* the vocabulary cannot go on: what stands is closed */
        if (decoding->n_tokens == 0) decoding->first_token_us = g_get_monotonic_time();
        if (decoding->kinds[id] == TOKEN_CONTROL || is_no_answer(decoding, logits, id)) {
            decoding->ended = true;
            return true;
        }
        size_t n_bytes;
        const char *bytes = decoder->token_bytes(decoder->user, id, &n_bytes);
        app_bound_accept(&decoding->bound, bytes, n_bytes);
        decoding->n_tokens++;
        send_settled(decoding, false);
        if (decoding->n_tokens < n_max && !decoder->step(decoder->user, &id, 1, &logits, error)) return false;
    }
    return true;
}

static char *make_text(const char *bytes, size_t n_bytes)
{
    g_autofree char *valid = g_utf8_make_valid(bytes, (gssize)n_bytes);
    return g_strdup(g_strstrip(valid));
}

static void finish(Decoding *decoding, AppReply *ret_reply)
{
    AppBound *bound = &decoding->bound;
    AppReply reply = {.n_tokens = decoding->n_tokens, .first_token_us = decoding->first_token_us, .complete = decoding->ended};
    bool said_absent = bound->may_be_absent && bound->reply->len == strlen(bound->absent);
    if (!said_absent) app_bound_close(bound);
    send_settled(decoding, true);
    reply.text = make_text(bound->reply->str, bound->reply->len);
    if (bound->form == APP_REPLY_FREE) {
        reply.answer = make_text(bound->reply->str, bound->reply->len);
    } else if (said_absent || !bound->has_answer || bound->n_closed == 0) {
        reply.absent = true;
        reply.answer = g_strdup(bound->absent ? bound->absent : "");
        if (decoding->options->on_text) decoding->options->on_text(decoding->options->on_text_user, reply.answer, strlen(reply.answer), false);
    } else {
        reply.quotation = g_strndup(bound->reply->str + app_bound_quotation_at(bound), bound->n_closed);
        reply.places = g_array_ref(bound->places);
        size_t n_answer;
        const char *answer = app_bound_get_answer(bound, &n_answer);
        reply.answer = make_text(answer, n_answer);
        if (bound->form == APP_REPLY_ANSWER || !reply.answer[0]) {
            g_free(reply.answer);
            reply.answer = g_strdup(reply.quotation);
        }
    }
    *ret_reply = reply;
}

bool app_reply_decode(const AppDecoder *decoder, AppCorpus *corpus, const uint32_t *prompt, size_t n_prompt, const AppReplyOptions *options,
                      AppReply *ret_reply, GError **error)
{
    Decoding decoding = {.decoder = decoder, .options = options};
    app_bound_init(&decoding.bound, corpus, options);
    classify_tokens(&decoding);
    if (options->temperature > 0) decoding.random = g_rand_new_with_seed((guint32)(options->seed ^ options->seed >> 32));
    bool done = run(&decoding, prompt, n_prompt, error);
    if (done) finish(&decoding, ret_reply);
    app_bound_clear(&decoding.bound);
    g_free(decoding.kinds);
    g_free(decoding.firsts);
    g_free(decoding.candidates);
    if (decoding.random) g_rand_free(decoding.random);
    return done;
}
