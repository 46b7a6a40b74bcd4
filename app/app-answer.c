/* app-answer.c: an answer as a value: freeing it, and its JSON form.
 *
 * Owns: the JSON object that `lectern ask --json` prints and conversations keep.
 * Does not own: how an answer comes about (app-ask.c).
 */
#include "app-ask.h"

#include <jansson.h>
#include <stdlib.h>

void app_answer_free(AppAnswer *answer)
{
    if (!answer) return;
    g_free(answer->question);
    g_free(answer->answer);
    g_free(answer->model);
    g_free(answer->not_kept);
    for (size_t i = 0; i < answer->n_evidence; i++) {
        app_quotation_clear(&answer->evidence[i].quotation);
        g_free(answer->evidence[i].heading);
    }
    g_free(answer->evidence);
    if (answer->passages) g_ptr_array_unref(answer->passages);
    for (size_t i = 0; i < answer->n_attended; i++) g_free(answer->attended[i].part_masses);
    g_free(answer->attended);
    g_free(answer);
}

static const char *kind_text(AppEvidenceKind kind)
{
    static const char *const texts[] = {"bound", "looked up", "around", "likely"};
    return texts[kind];
}

static json_t *page_to_json(uint32_t page, const char *label)
{
    if (page == UINT32_MAX) return json_null();
    return label && label[0] ? json_string(label) : json_integer((json_int_t)page + 1);
}

static json_t *evidence_to_json(const AppEvidence *evidence)
{
    const AppQuotation *quotation = &evidence->quotation;
    json_t *object = json_pack("{s:s, s:s, s:I, s:b, s:s}", "text", quotation->text, "document", quotation->document_title, "document_id",
                               (json_int_t)quotation->document, "verified", quotation->verified, "kind", kind_text(evidence->kind));
    if (quotation->section < 0) {
        json_object_set_new(object, "section", json_null());
        return object;
    }
    json_object_set_new(object, "section", json_integer((json_int_t)quotation->section));
    json_object_set_new(object, "start", json_integer((json_int_t)quotation->char_start));
    json_object_set_new(object, "end", json_integer((json_int_t)quotation->char_end));
    json_object_set_new(object, "source_start", json_integer((json_int_t)evidence->source_start));
    json_object_set_new(object, "source_end", json_integer((json_int_t)evidence->source_end));
    json_object_set_new(object, "heading", json_string(evidence->heading));
    json_object_set_new(object, "page", page_to_json(quotation->page, quotation->page_label));
    json_object_set_new(object, "other_places", json_integer(evidence->n_other_places));
    return object;
}

static json_t *passage_to_json(const AppHit *hit)
{
    GString *snippet = g_string_new(NULL);
    for (const char *at = hit->snippet; *at; at++)
        if (*at != APP_SNIPPET_OPEN && *at != APP_SNIPPET_CLOSE) g_string_append_c(snippet, *at);
    json_t *object = json_pack("{s:s, s:I, s:I, s:s, s:I, s:I, s:o, s:s}", "document", hit->title, "document_id", (json_int_t)hit->document,
                               "section", (json_int_t)hit->section, "heading", hit->heading, "start", (json_int_t)hit->char_start, "end",
                               (json_int_t)hit->char_end, "page", page_to_json(hit->page, hit->page_label), "snippet", snippet->str);
    g_string_free(snippet, TRUE);
    return object;
}

static json_t *attended_to_json(const AppAttended *attended)
{
    return json_pack("{s:I, s:i, s:i, s:f}", "document_id", (json_int_t)attended->document, "section", (int)attended->section, "tokens",
                     (int)attended->n_tokens, "mass", (double)attended->mass);
}

static int compare_mass(const void *a, const void *b)
{
    const AppAttended *const *x = a, *const *y = b;
    if ((*x)->mass != (*y)->mass) return (*x)->mass > (*y)->mass ? -1 : 1;
    return 0;
}

/* The sections that most of the reply's attention went to. */
static json_t *most_attended(const AppAnswer *answer)
{
    enum { SHOWN_MAX = 16 };
    g_autofree const AppAttended **order = g_new(const AppAttended *, answer->n_attended + 1);
    for (size_t i = 0; i < answer->n_attended; i++) order[i] = &answer->attended[i];
    qsort(order, answer->n_attended, sizeof *order, compare_mass);
    json_t *array = json_array();
    for (size_t i = 0; i < answer->n_attended && i < SHOWN_MAX; i++) json_array_append_new(array, attended_to_json(order[i]));
    return array;
}

char *app_answer_to_json(const AppAnswer *answer)
{
    json_t *quotations = json_array(), *passages = json_array();
    for (size_t i = 0; i < answer->n_evidence; i++) json_array_append_new(quotations, evidence_to_json(&answer->evidence[i]));
    for (guint i = 0; answer->passages && i < answer->passages->len; i++)
        json_array_append_new(passages, passage_to_json(answer->passages->pdata[i]));
    json_t *first = json_array_size(quotations) ? json_incref(json_array_get(quotations, 0)) : json_null();
    json_t *root = json_pack("{s:s, s:s, s:b, s:b, s:s, s:o, s:o, s:o}", "question", answer->question, "answer", answer->answer, "found",
                             answer->found, "complete", answer->complete, "model", answer->model, "quotation", first, "quotations", quotations,
                             "passages", passages);
    json_object_set_new(root, "documents",
                        json_pack("{s:i, s:i, s:i}", "asked", (int)answer->n_documents, "left_out", (int)answer->n_documents_left_out,
                                  "partly_read", (int)answer->n_documents_partly_read));
    json_object_set_new(root, "sections",
                        json_pack("{s:i, s:i}", "cached", (int)answer->n_sections, "attended", (int)answer->n_attended));
    json_object_set_new(root, "tokens",
                        json_pack("{s:I, s:I, s:I, s:I, s:I}", "cached", (json_int_t)answer->tokens_cached, "attended",
                                  (json_int_t)answer->tokens_attended, "computed_document", (json_int_t)answer->tokens_computed_document,
                                  "computed_question", (json_int_t)answer->tokens_computed_question, "generated",
                                  (json_int_t)answer->tokens_generated));
    json_object_set_new(root, "us",
                        json_pack("{s:I, s:I, s:I, s:I}", "choose", (json_int_t)answer->choose_us, "open", (json_int_t)answer->open_us,
                                  "first_token", (json_int_t)answer->first_token_us, "total", (json_int_t)answer->total_us));
    json_object_set_new(root, "attended", most_attended(answer));
    json_object_set_new(root, "dropped_mass", json_real(answer->dropped_mass));
    json_object_set_new(root, "joined_approximately", json_boolean(answer->joined_approximately));
    if (answer->not_kept) json_object_set_new(root, "not_kept", json_string(answer->not_kept));
    char *dumped = json_dumps(root, JSON_COMPACT), *text = g_strdup(dumped);
    free(dumped);
    json_decref(root);
    return text;
}
