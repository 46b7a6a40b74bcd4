/* app-evidence.h: replies whose quotation is bound to the text while it is decoded.
 *
 * Owns: which tokens may come next, so that a quotation stands byte for byte in a corpus; the choice among them by their logits;
 *       what of the finished reply is quotation and what is answer; looking up what a model quoted freely.
 * Does not own: running a model (AppDecoder's functions do: a session, or a test's script), the corpus (app-corpus.h), which of
 *       several places is meant (app-ask.c, by attention).
 *
 * Source: MODEL.md's "Forms of the reply" and "Bound quotations"; split_reply of the reference (a quotation ends at the last `"\n`).
 * A reply is read by bytes, for a token may hold the end of a quotation, the closing quote and the line break at once, or half a
 * character. While several readings of the bytes are possible they are all kept.
 */
#ifndef APP_EVIDENCE_H
#define APP_EVIDENCE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app-corpus.h"

G_BEGIN_DECLS

#define APP_EVIDENCE_ERROR (app_evidence_error_quark())
GQuark app_evidence_error_quark(void);
typedef enum AppEvidenceError {
    APP_EVIDENCE_ERROR_FAILED,
    APP_EVIDENCE_ERROR_CANCELLED,
} AppEvidenceError;

typedef enum AppReplyForm {
    APP_REPLY_FREE = 0,         /* anything; quotations are looked up afterwards */
    APP_REPLY_QUOTATION_ANSWER, /* '"quotation"\nanswer': the quotation is bound */
    APP_REPLY_ANSWER,           /* the answer alone, a span of the text, bound */
} AppReplyForm;

/* What decodes. The functions may fail with any GError. Logits are valid until the next step. */
typedef struct AppDecoder {
    void *user;
    size_t n_vocabulary;
    bool (*step)(void *user, const uint32_t *ids, size_t n, const float **ret_logits, GError **error);
    const char *(*token_bytes)(void *user, uint32_t id, size_t *ret_n_bytes); /* NULL: no such token */
    bool (*is_control)(void *user, uint32_t id); /* ends the reply, or must not be in one */
} AppDecoder;

/* Bytes of the reply that are settled: whole characters, in order. in_quotation: part of the bound quotation or span. */
typedef void (*AppReplyTextFn)(void *user, const char *text, size_t n_bytes, bool in_quotation);

typedef struct AppReplyOptions {
    AppReplyForm form;
    const char *absent;  /* what the model says when the answer is not there; NULL: nothing special */
    size_t n_tokens_max; /* 0: 256 */
    size_t n_quotation_bytes_min, n_quotation_bytes_max; /* 0: 3 and 700 (a span: 1 and 300) */
    float temperature;   /* 0: greedy (ties: the lowest id) */
    float top_p;         /* 0: 1 */
    uint64_t seed;
    const bool *cancel;  /* NULL: never */
    AppReplyTextFn on_text;
    void *on_text_user;
} AppReplyOptions;

typedef struct AppReply {
    char *text;      /* as decoded, UTF-8 (broken ends replaced) */
    bool absent;     /* the absent reply, or nothing that could be quoted */
    bool complete;   /* the model ended it; false: it was cut at n_tokens_max */
    char *quotation; /* bound: verbatim in the corpus at each of places; NULL: none */
    char *answer;    /* what follows it; the span itself in APP_REPLY_ANSWER; all of it in APP_REPLY_FREE */
    GArray *places;  /* uint32_t of the corpus; NULL when there is no quotation */
    size_t n_tokens;
    int64_t first_token_us; /* g_get_monotonic_time of the first token's choice; 0: none was chosen */
} AppReply;
void app_reply_clear(AppReply *reply);

/* Decodes a reply to the prompt. False: a step failed or it was cancelled; ret_reply is untouched. */
bool app_reply_decode(const AppDecoder *decoder, AppCorpus *corpus, const uint32_t *prompt, size_t n_prompt, const AppReplyOptions *options,
                      AppReply *ret_reply, GError **error);

/* Strings that a free reply sets in quotation marks (straight or curly), of at least n_chars_min characters. Elements char*. */
GPtrArray *app_reply_get_quoted(const char *text, size_t n_chars_min);

/* The sentence or line of the corpus that shares most with the answer and, less, with the question, words weighed by their rarity.
 * False: no word in common worth the name. */
bool app_evidence_find_best(const AppCorpus *corpus, const char *question, const char *answer, uint32_t *ret_place, size_t *ret_n_bytes);

G_END_DECLS

#endif
