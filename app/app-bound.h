/* app-bound.h: the readings of a reply so far, and which bytes may follow (private to app-evidence.c and app-bound.c).
 *
 * Owns: the grammar of a bound reply over bytes: the absent reply, a quotation that narrows to places, its closing, the free answer.
 * Does not own: the order in which tokens are tried, and running the model (app-evidence.c).
 */
#ifndef APP_BOUND_H
#define APP_BOUND_H

#include "app-evidence.h"

G_BEGIN_DECLS

typedef struct AppBound {
    AppReplyForm form;
    const char *absent;
    size_t n_min, n_max; /* bytes of a quotation */
    GString *reply;      /* bytes so far */
    /* Readings that the bytes so far allow. */
    bool may_be_absent;   /* the beginning of the absent reply */
    bool is_open;         /* the quotation has begun */
    bool may_be_quotation; /* the bytes after the opening are all quotation: `match` */
    AppMatch *match;
    bool may_be_closing;  /* ... or quotation and then the closing quote, which a line break must follow */
    bool has_answer;      /* ... or a closed quotation and then the answer: any bytes may follow */
    size_t n_closed;      /* bytes of the quotation that was closed last */
    GArray *places;       /* where that one stands */
    GArray *pending;      /* places of may_be_closing */
    size_t n_pending;
    size_t answer_at;     /* in reply */
} AppBound;

void app_bound_init(AppBound *bound, AppCorpus *corpus, const AppReplyOptions *options);
void app_bound_clear(AppBound *bound);

/* Whether a token of these bytes leaves a reading. */
bool app_bound_allows(const AppBound *bound, const char *bytes, size_t n_bytes);
void app_bound_accept(AppBound *bound, const char *bytes, size_t n_bytes);
/* Whether the reply may end here. */
bool app_bound_may_end(const AppBound *bound);
/* First bytes that a token may have; a token beginning otherwise is not allowed. */
void app_bound_get_first_bytes(const AppBound *bound, bool ret_first[256]);
/* Nothing may follow and the reply may not end: closes the quotation where it last could end, or as it is. */
void app_bound_close(AppBound *bound);
/* Bytes of the reply that have one reading: *ret_n_quotation of the quotation (from its opening), *ret_n_answer of the answer. */
void app_bound_get_settled(const AppBound *bound, size_t *ret_n_quotation, size_t *ret_n_answer);
/* Where the quotation begins in reply: behind the opening quote. */
size_t app_bound_quotation_at(const AppBound *bound);

G_END_DECLS

#endif
