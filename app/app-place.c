/* app-place.c: where the evidence of a reply stands in the documents.
 *
 * Owns: from a reply's places in the corpus to a quotation with document, section, characters and page; which of several places is
 *       meant (the one where most attention of the reply's tokens went).
 * Does not own: the reply (app-evidence.c), pages and headings (app-library.h).
 */
#include <string.h>

#include "app-ask-internal.h"

enum {
    FREE_QUOTATIONS_MAX = 5,
    FREE_QUOTATION_CHARS_MIN = 8,
    PLACES_MAX = 10000,
};

/* The corpus's place as section of the shelf and offset in its corpus text. */
static size_t locate_in_shelf(const AppAsking *asking, uint32_t place, size_t *ret_within, size_t *ret_offset)
{
    app_corpus_locate(asking->asker->corpus, place, ret_within, ret_offset);
    return g_array_index(asking->asker->chosen, uint32_t, *ret_within);
}

static float mass_at(const AppAsking *asking, uint32_t place, size_t n_bytes)
{
    size_t within, offset;
    size_t index = locate_in_shelf(asking, place, &within, &offset);
    const AppAttended *attended = &asking->answer->attended[within];
    if (attended->n_parts == 0) return 0;
    uint32_t first = app_shelf_token_at(asking->asker->shelf, index, offset) / KERN_MASS_TOKENS;
    uint32_t last = app_shelf_token_at(asking->asker->shelf, index, offset + n_bytes - 1) / KERN_MASS_TOKENS;
    float most = 0;
    for (uint32_t part = first; part <= last && part < attended->n_parts; part++) most = MAX(most, attended->part_masses[part]);
    return most;
}

static uint32_t choose_place(const AppAsking *asking, const GArray *places, size_t n_bytes)
{
    uint32_t best = g_array_index(places, uint32_t, 0);
    if (places->len == 1) return best;
    float best_mass = -1;
    for (guint i = 0; i < places->len && i < PLACES_MAX; i++) {
        uint32_t place = g_array_index(places, uint32_t, i);
        float mass = mass_at(asking, place, n_bytes);
        if (mass > best_mass) {
            best = place;
            best_mass = mass;
        }
    }
    return best;
}

/* Fills the document's side of bytes [place, place + n_bytes) of the corpus. */
static bool fill_place(const AppAsking *asking, uint32_t place, size_t n_bytes, AppEvidence *evidence, GError **error)
{
    AppLibrary *library = asking->asker->library;
    AppShelf *shelf = asking->asker->shelf;
    size_t within, offset, n_text;
    size_t index = locate_in_shelf(asking, place, &within, &offset);
    const char *text = app_corpus_get_text(asking->asker->corpus, within, &n_text);
    const AppShelfSection *section = app_shelf_get(shelf, index);
    AppQuotation *quotation = &evidence->quotation;
    bool found;
    uint64_t start;
    if (!app_shelf_locate(shelf, index, offset, text + offset, n_bytes, &found, &start, error)) return false;
    quotation->document = section->document->id;
    quotation->document_title = g_strdup(section->document->title);
    quotation->text = g_strndup(text + offset, n_bytes);
    quotation->verified = found;
    quotation->section = section->info->ordinal;
    quotation->page = UINT32_MAX;
    /* Text that only the cut has (a table's head, repeated) is shown at its section's beginning. */
    uint64_t end = found ? start + n_bytes : section->info->start;
    if (!found) start = section->info->start;
    g_autoptr(AppPlace) at = app_library_locate(library, section->document->id, start, end, error);
    if (!at) return false;
    quotation->start = at->start;
    quotation->end = at->end;
    quotation->char_start = at->char_start;
    quotation->char_end = at->char_end;
    quotation->page = at->page_first;
    quotation->page_label = g_strdup(at->page_label);
    evidence->source_start = at->source_start;
    evidence->source_end = at->source_end;
    evidence->heading = g_strdup(at->heading);
    return true;
}

static bool add_place(AppAsking *asking, AppEvidenceKind kind, uint32_t place, size_t n_bytes, size_t n_places, GError **error)
{
    AppAnswer *answer = asking->answer;
    AppEvidence evidence = {.kind = kind, .n_other_places = n_places ? (uint32_t)(n_places - 1) : 0};
    bool filled = fill_place(asking, place, n_bytes, &evidence, error);
    answer->evidence = g_renew(AppEvidence, answer->evidence, answer->n_evidence + 1);
    answer->evidence[answer->n_evidence++] = evidence;
    if (filled) app_asking_send(asking, (AppAskEvent){.kind = APP_ASK_QUOTATION, .evidence = &answer->evidence[answer->n_evidence - 1]});
    return filled;
}

static void add_unverified(AppAsking *asking, const char *text)
{
    AppAnswer *answer = asking->answer;
    AppEvidence evidence = {.kind = APP_EVIDENCE_LOOKED_UP, .heading = g_strdup("")};
    evidence.quotation = (AppQuotation){.document_title = g_strdup(""), .section = -1, .text = g_strdup(text), .page = UINT32_MAX,
                                        .page_label = g_strdup("")};
    answer->evidence = g_renew(AppEvidence, answer->evidence, answer->n_evidence + 1);
    answer->evidence[answer->n_evidence++] = evidence;
    app_asking_send(asking, (AppAskEvent){.kind = APP_ASK_QUOTATION, .evidence = &answer->evidence[answer->n_evidence - 1]});
}

/* The sentence or table line around a span. */
static bool add_around(AppAsking *asking, uint32_t place, size_t n_bytes, size_t n_places, GError **error)
{
    size_t within, offset, n_text, start, end;
    locate_in_shelf(asking, place, &within, &offset);
    const char *text = app_corpus_get_text(asking->asker->corpus, within, &n_text);
    app_text_get_sentence(text, n_text, offset, offset + n_bytes, &start, &end);
    return add_place(asking, APP_EVIDENCE_AROUND, place - (uint32_t)(offset - start), end - start, n_places, error);
}

/* A free reply's quotation, as it stands or without the punctuation that a sentence puts before a closing quote. */
static bool add_looked_up(AppAsking *asking, char *quoted, GError **error)
{
    size_t n = strlen(quoted);
    g_autoptr(GArray) places = app_corpus_find(asking->asker->corpus, quoted, n, PLACES_MAX);
    if (places->len == 0 && n > 1 && strchr(".,;:!?", quoted[n - 1])) {
        g_array_unref(places);
        places = app_corpus_find(asking->asker->corpus, quoted, --n, PLACES_MAX);
    }
    if (places->len) return add_place(asking, APP_EVIDENCE_LOOKED_UP, choose_place(asking, places, n), n, places->len, error);
    add_unverified(asking, quoted);
    return true;
}

static bool look_up(AppAsking *asking, GError **error)
{
    AppAnswer *answer = asking->answer;
    g_autoptr(GPtrArray) quoted = app_reply_get_quoted(answer->answer, FREE_QUOTATION_CHARS_MIN);
    bool any_verified = false;
    for (guint i = 0; i < quoted->len && i < FREE_QUOTATIONS_MAX; i++) {
        if (!add_looked_up(asking, quoted->pdata[i], error)) return false;
        any_verified = any_verified || answer->evidence[answer->n_evidence - 1].quotation.verified;
    }
    uint32_t place;
    size_t n_bytes;
    if (!any_verified && app_evidence_find_best(asking->asker->corpus, asking->question, answer->answer, &place, &n_bytes)) {
        if (!add_place(asking, APP_EVIDENCE_LIKELY, place, n_bytes, 1, error)) return false;
        any_verified = true;
    }
    answer->found = any_verified;
    return true;
}

bool app_ask_find_evidence(AppAsking *asking, GError **error)
{
    const eng_model_info *info = eng_model_get_info(asking->model);
    const AppReply *reply = &asking->reply;
    AppAnswer *answer = asking->answer;
    if (asking->options->remote) return reply->absent || look_up(asking, error);
    if (info->reply_form == ENG_REPLY_FREE) {
        if (reply->absent || (info->absent_reply && strcmp(answer->answer, info->absent_reply) == 0)) return true;
        return look_up(asking, error);
    }
    if (reply->absent || !reply->places || reply->places->len == 0) return true;
    size_t n_bytes = strlen(reply->quotation);
    uint32_t place = choose_place(asking, reply->places, n_bytes);
    answer->found = true;
    if (info->reply_form == ENG_REPLY_ANSWER) return add_around(asking, place, n_bytes, reply->places->len, error);
    return add_place(asking, APP_EVIDENCE_BOUND, place, n_bytes, reply->places->len, error);
}
