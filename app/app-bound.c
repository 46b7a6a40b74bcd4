/* app-bound.c: the readings of a reply so far, and which bytes may follow.
 *
 * Owns: the grammar of a bound reply over bytes.
 * Does not own: the order in which tokens are tried, and running the model (app-evidence.c).
 *
 * A reply '"quotation"\nanswer' has several readings while it grows: a quote sign may belong to the text or close the quotation,
 * and a line break after it may too. A reading dies when the bytes leave the text; the quotation is the longest closed one.
 */
#include "app-bound.h"

#include <string.h>

enum {
    QUOTATION_BYTES_MIN = 3,
    QUOTATION_BYTES_MAX = 700,
    SPAN_BYTES_MIN = 1,
    SPAN_BYTES_MAX = 300,
    OVERLONG_BYTES = 256, /* beyond the maximum by this, a quotation may end within a word */
};

void app_bound_init(AppBound *bound, AppCorpus *corpus, const AppReplyOptions *options)
{
    bool span = options->form == APP_REPLY_ANSWER, free_form = options->form == APP_REPLY_FREE;
    memset(bound, 0, sizeof *bound);
    bound->form = options->form;
    bound->absent = free_form || !options->absent || !options->absent[0] ? NULL : options->absent;
    bound->n_min = options->n_quotation_bytes_min ? options->n_quotation_bytes_min : span ? SPAN_BYTES_MIN : QUOTATION_BYTES_MIN;
    bound->n_max = options->n_quotation_bytes_max ? options->n_quotation_bytes_max : span ? SPAN_BYTES_MAX : QUOTATION_BYTES_MAX;
    bound->reply = g_string_sized_new(1024);
    bound->places = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    bound->pending = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    bound->may_be_absent = bound->absent != NULL;
    bound->is_open = span;
    bound->has_answer = free_form;
    if (free_form) return;
    bound->match = app_match_new(corpus);
    bound->may_be_quotation = app_match_n_places(bound->match) > 0;
}

void app_bound_clear(AppBound *bound)
{
    if (bound->reply) g_string_free(bound->reply, TRUE);
    if (bound->places) g_array_unref(bound->places);
    if (bound->pending) g_array_unref(bound->pending);
    app_match_free(bound->match);
    memset(bound, 0, sizeof *bound);
}

size_t app_bound_quotation_at(const AppBound *bound) { return bound->form == APP_REPLY_QUOTATION_ANSWER ? 1 : 0; }

static bool has_word(const char *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        if (g_ascii_isalnum(bytes[i]) || (unsigned char)bytes[i] >= 0x80) return true;
    return false;
}

/* Whether the quotation may end after n more of these bytes; ret_places (may be NULL) then holds the places where it does. */
static bool may_close(const AppBound *bound, const char *bytes, size_t n, GArray *ret_places)
{
    size_t at = app_bound_quotation_at(bound), n_before = app_match_n_bytes(bound->match), n_all = n_before + n;
    if (n_all == 0) return false;
    const char *quotation = bound->reply->str + at;
    char last = n ? bytes[n - 1] : quotation[n_before - 1];
    bool sensible = n_all >= bound->n_min && !g_ascii_isspace(last) && (has_word(bytes, n) || has_word(quotation, n_before));
    /* Where the text itself ends there is no other way. */
    if (!sensible && (n > 0 || app_match_can_go_on(bound->match))) return false;
    if (app_match_ends_word(bound->match, bytes, n, ret_places)) return true;
    if (n > 0 || n_before < bound->n_max + OVERLONG_BYTES || !g_utf8_validate_len(quotation, n_before, NULL)) return false;
    for (size_t i = 0; ret_places && i < app_match_n_places(bound->match); i++) {
        uint32_t place = app_match_get_place(bound->match, i);
        g_array_append_val(ret_places, place);
    }
    return true;
}

static bool must_close(const AppBound *bound)
{
    return app_match_n_bytes(bound->match) >= bound->n_max && may_close(bound, "", 0, NULL);
}

static bool continues_absent(const AppBound *bound, const char *bytes, size_t n_bytes)
{
    size_t n = bound->reply->len;
    return bound->may_be_absent && n + n_bytes <= strlen(bound->absent) && memcmp(bound->absent + n, bytes, n_bytes) == 0;
}

/* The part of a token behind the opening quote; false: it does not open. */
static bool skip_opening(const AppBound *bound, const char **bytes, size_t *n_bytes)
{
    if (bound->is_open) return true;
    if (*n_bytes == 0 || **bytes != '"') return false;
    (*bytes)++;
    (*n_bytes)--;
    return true;
}

static bool is_closing_at(const AppBound *bound, const char *bytes, size_t n_bytes, size_t at)
{
    return bound->form == APP_REPLY_QUOTATION_ANSWER && bytes[at] == '"' && (at + 1 == n_bytes || bytes[at + 1] == '\n');
}

bool app_bound_allows(const AppBound *bound, const char *bytes, size_t n_bytes)
{
    if (n_bytes == 0) return false;
    if (bound->has_answer) return true;
    if (continues_absent(bound, bytes, n_bytes)) return true;
    if (bound->may_be_closing && bytes[0] == '\n') return true;
    if (!bound->may_be_quotation || !skip_opening(bound, &bytes, &n_bytes)) return false;
    if (app_match_continues(bound->match, bytes, n_bytes) && !must_close(bound)) return true;
    for (size_t i = 0; i < n_bytes; i++)
        if (is_closing_at(bound, bytes, n_bytes, i) && may_close(bound, bytes, i, NULL)) return true;
    return false;
}

static void close_at(AppBound *bound, size_t n_quotation, const GArray *places, size_t answer_at)
{
    bound->has_answer = true;
    bound->n_closed = n_quotation;
    bound->answer_at = answer_at;
    if (places == bound->places) return;
    g_array_set_size(bound->places, 0);
    g_array_append_vals(bound->places, places->data, places->len);
}

/* The readings of a token as more quotation, its end, or both. `reply_at`: where `bytes` will stand in the reply. */
static void read_quotation(AppBound *bound, const char *bytes, size_t n_bytes, size_t reply_at)
{
    size_t n_before = app_match_n_bytes(bound->match);
    for (size_t i = 0; i < n_bytes; i++) {
        if (!is_closing_at(bound, bytes, n_bytes, i) || !may_close(bound, bytes, i, bound->pending)) continue;
        bound->may_be_closing = i + 1 == n_bytes;
        bound->n_pending = n_before + i;
        if (i + 1 < n_bytes) close_at(bound, n_before + i, bound->pending, reply_at + i + 2);
    }
    if (must_close(bound))
        bound->may_be_quotation = false;
    else
        app_match_extend(bound->match, bytes, n_bytes);
    if (bound->may_be_quotation && app_match_n_places(bound->match) == 0) bound->may_be_quotation = false;
}

void app_bound_accept(AppBound *bound, const char *bytes, size_t n_bytes)
{
    size_t n_reply = bound->reply->len;
    bool was_closing = bound->may_be_closing;
    bound->may_be_absent = continues_absent(bound, bytes, n_bytes);
    if (was_closing && n_bytes && bytes[0] == '\n') close_at(bound, bound->n_pending, bound->pending, n_reply + 1);
    bound->may_be_closing = false;
    const char *rest = bytes;
    size_t n_rest = n_bytes;
    if (bound->may_be_quotation && !skip_opening(bound, &rest, &n_rest)) bound->may_be_quotation = false;
    if (bound->may_be_quotation) {
        bound->is_open = true;
        read_quotation(bound, rest, n_rest, n_reply + (size_t)(rest - bytes));
    }
    g_string_append_len(bound->reply, bytes, (gssize)n_bytes);
}

bool app_bound_may_end(const AppBound *bound)
{
    if (bound->has_answer) return true;
    if (bound->may_be_absent && bound->reply->len == strlen(bound->absent)) return true;
    return bound->form == APP_REPLY_ANSWER && bound->may_be_quotation && may_close(bound, "", 0, NULL);
}

void app_bound_get_first_bytes(const AppBound *bound, bool ret_first[256])
{
    memset(ret_first, bound->has_answer, 256 * sizeof *ret_first);
    if (bound->has_answer) return;
    if (bound->may_be_quotation && bound->is_open) app_match_get_next(bound->match, ret_first);
    if (bound->may_be_quotation && bound->form == APP_REPLY_QUOTATION_ANSWER) ret_first['"'] = true;
    if (bound->may_be_closing) ret_first['\n'] = true;
    if (bound->may_be_absent) ret_first[(uint8_t)bound->absent[bound->reply->len]] = true;
}

void app_bound_close(AppBound *bound)
{
    if (bound->has_answer || (bound->may_be_absent && bound->reply->len == strlen(bound->absent))) return;
    if (bound->may_be_closing) {
        close_at(bound, bound->n_pending, bound->pending, bound->reply->len);
        return;
    }
    size_t n_matched = bound->may_be_quotation && bound->is_open ? app_match_n_bytes(bound->match) : 0;
    const char *quotation = bound->reply->str + app_bound_quotation_at(bound);
    GArray *places = bound->pending;
    for (size_t n = n_matched; n > 0; n--) {
        if (g_ascii_isspace(quotation[n - 1])) continue;
        g_array_set_size(places, 0);
        for (size_t i = 0; i < app_match_n_places(bound->match); i++) {
            uint32_t place = app_match_get_place(bound->match, i);
            size_t n_text;
            const char *text = app_corpus_at(app_match_corpus(bound->match), place, &n_text);
            if (!app_text_is_inside_word(text, n_text, n)) g_array_append_val(places, place);
        }
        if (places->len == 0) continue;
        close_at(bound, n, places, bound->reply->len);
        return;
    }
}

/* Bytes of the open quotation up to the end of its last whole word: where it would be cut. */
static size_t whole_words(const AppBound *bound)
{
    size_t n = app_match_n_bytes(bound->match), n_text;
    const char *text = app_corpus_at(app_match_corpus(bound->match), app_match_get_place(bound->match, 0), &n_text);
    while (n > 0 && (g_ascii_isspace(text[n - 1]) || app_text_is_inside_word(text, n_text, n))) n--;
    return n;
}

void app_bound_get_settled(const AppBound *bound, size_t *ret_n_quotation, size_t *ret_n_answer)
{
    *ret_n_quotation = 0;
    *ret_n_answer = 0;
    if (bound->may_be_absent) return;
    if (bound->has_answer) {
        *ret_n_quotation = bound->n_closed;
        if (!bound->may_be_quotation) *ret_n_answer = bound->reply->len - bound->answer_at;
    } else if (bound->may_be_closing) {
        *ret_n_quotation = bound->n_pending;
    } else if (bound->may_be_quotation && bound->is_open) {
        *ret_n_quotation = whole_words(bound);
    }
}
