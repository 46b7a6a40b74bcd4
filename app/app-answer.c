/* app-answer.c: an answer as a value: freeing it, and its JSON form.
 *
 * Owns: the JSON object that `lectern ask --json` prints and conversations keep, and reading it back.
 * Does not own: how an answer comes about (app-ask.c).
 */
#include "app-ask-internal.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app-format.h"

void app_answer_free(AppAnswer *answer)
{
    if (!answer) return;
    g_free(answer->question);
    g_free(answer->answer);
    g_free(answer->thought);
    g_free(answer->model);
    g_free(answer->remote);
    g_free(answer->not_kept);
    for (size_t i = 0; i < answer->n_evidence; i++) {
        app_quotation_clear(&answer->evidence[i].quotation);
        g_free(answer->evidence[i].heading);
    }
    g_free(answer->evidence);
    if (answer->passages) g_ptr_array_unref(answer->passages);
    app_attended_free(answer->attended, answer->n_attended);
    g_free(answer);
}

AppAttended *app_attended_copy(const AppAttended *attended, size_t n_attended)
{
    AppAttended *copy = g_memdup2(attended, n_attended * sizeof *attended);
    for (size_t i = 0; i < n_attended; i++) copy[i].part_masses = g_memdup2(attended[i].part_masses, attended[i].n_parts * sizeof(float));
    return copy;
}

void app_attended_free(AppAttended *attended, size_t n_attended)
{
    for (size_t i = 0; i < n_attended; i++) g_free(attended[i].part_masses);
    g_free(attended);
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
    json_object_set_new(object, "start_byte", json_integer((json_int_t)quotation->start));
    json_object_set_new(object, "end_byte", json_integer((json_int_t)quotation->end));
    json_object_set_new(object, "source_start", json_integer((json_int_t)evidence->source_start));
    json_object_set_new(object, "source_end", json_integer((json_int_t)evidence->source_end));
    json_object_set_new(object, "heading", json_string(evidence->heading));
    json_object_set_new(object, "page", page_to_json(quotation->page, quotation->page_label));
    json_object_set_new(object, "other_places", json_integer(evidence->n_other_places));
    json_object_set_new(object, "unrelated", json_boolean(evidence->is_unrelated));
    return object;
}

static json_t *passage_to_json(const AppHit *hit)
{
    g_autofree char *snippet = app_format_snippet(hit->snippet, "", "", false);
    json_t *object = json_pack("{s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:o, s:s}", "document", hit->title, "document_id", (json_int_t)hit->document,
                               "section", (json_int_t)hit->section, "heading", hit->heading, "start", (json_int_t)hit->char_start, "end",
                               (json_int_t)hit->char_end, "start_byte", (json_int_t)hit->start, "end_byte", (json_int_t)hit->end, "page", page_to_json(hit->page, hit->page_label), "snippet", snippet);
    if (object && hit->value) json_object_set_new(object, "value", json_string(hit->value));
    if (object && hit->column) json_object_set_new(object, "column", json_string(hit->column));
    return object;
}

/* The parts in a byte each: what a picture of them needs, in a hundred bytes a section. */
static json_t *attended_to_json(const AppAttended *attended)
{
    float most = 0;
    for (uint32_t i = 0; i < attended->n_parts; i++) most = fmaxf(most, attended->part_masses[i]);
    g_autofree guint8 *parts = g_malloc0(attended->n_parts + 1);
    for (uint32_t i = 0; i < attended->n_parts && most > 0; i++) parts[i] = (guint8)lroundf(fmaxf(attended->part_masses[i], 0) / most * 255);
    g_autofree char *coded = g_base64_encode(parts, attended->n_parts);
    return json_pack("{s:I, s:i, s:i, s:f, s:I, s:I, s:f, s:s}", "document_id", (json_int_t)attended->document, "section", (int)attended->section,
                     "tokens", (int)attended->n_tokens, "mass", (double)attended->mass, "start_byte", (json_int_t)attended->start, "end_byte",
                     (json_int_t)attended->end, "part_mass_most", (double)most, "parts", coded);
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

json_t *app_answer_to_object(const AppAnswer *answer)
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
                        json_pack("{s:i, s:i}", "cached", (int)answer->n_sections, "attended", (int)answer->n_sections_attended));
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
    json_object_set_new(root, "remote", answer->remote ? json_string(answer->remote) : json_null());
    if (answer->thought) json_object_set_new(root, "thought", json_string(answer->thought));
    if (answer->not_kept) json_object_set_new(root, "not_kept", json_string(answer->not_kept));
    return root;
}

char *app_answer_to_json(const AppAnswer *answer)
{
    return app_ask_dump_json(app_answer_to_object(answer));
}

char *app_ask_dump_json(json_t *root)
{
    char *dumped = json_dumps(root, JSON_COMPACT), *text = g_strdup(dumped);
    free(dumped);
    json_decref(root);
    return text;
}

/* ------------------------------------------------------------------------------------------------------------- reading it back */

static char *dup_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return g_strdup(text ? text : "");
}

static uint64_t get_number(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

/* page_to_json's inverse: a label comes back as a label, of which the index is not known any more. */
static void page_from_json(const json_t *page, uint32_t *ret_page, char **ret_label)
{
    *ret_page = UINT32_MAX;
    *ret_label = g_strdup(json_is_string(page) ? json_string_value(page) : "");
    if (json_is_string(page)) *ret_page = 0;
    if (json_is_integer(page) && json_integer_value(page) > 0) *ret_page = (uint32_t)json_integer_value(page) - 1;
}

static AppHit *passage_from_json(const json_t *object)
{
    AppHit *hit = g_new0(AppHit, 1);
    hit->title = dup_text(object, "document");
    hit->document = (int64_t)get_number(object, "document_id");
    hit->section = (int64_t)get_number(object, "section");
    hit->heading = dup_text(object, "heading");
    hit->char_start = get_number(object, "start");
    hit->char_end = get_number(object, "end");
    hit->start = hit->match_start = get_number(object, "start_byte");
    hit->end = hit->match_end = get_number(object, "end_byte");
    page_from_json(json_object_get(object, "page"), &hit->page, &hit->page_label);
    hit->snippet = dup_text(object, "snippet");
    if (json_object_get(object, "value")) hit->value = dup_text(object, "value");
    if (json_object_get(object, "column")) hit->column = dup_text(object, "column");
    return hit;
}

static void evidence_from_json(const json_t *object, const AppQuotation *kept, AppEvidence *ret_evidence)
{
    AppEvidence *evidence = ret_evidence;
    const char *kind = json_string_value(json_object_get(object, "kind"));
    for (int i = APP_EVIDENCE_BOUND; kind && i <= APP_EVIDENCE_LIKELY; i++)
        if (strcmp(kind, kind_text((AppEvidenceKind)i)) == 0) evidence->kind = (AppEvidenceKind)i;
    evidence->heading = dup_text(object, "heading");
    evidence->source_start = get_number(object, "source_start");
    evidence->source_end = get_number(object, "source_end");
    evidence->n_other_places = (uint32_t)get_number(object, "other_places");
    evidence->is_unrelated = json_is_true(json_object_get(object, "unrelated"));
    AppQuotation *quotation = &evidence->quotation;
    if (kept) {
        *quotation = *kept;
        quotation->text = g_strdup(kept->text);
        quotation->document_title = g_strdup(kept->document_title);
        quotation->page_label = g_strdup(kept->page_label);
        return;
    }
    *quotation = (AppQuotation){.document = (int64_t)get_number(object, "document_id"), .section = -1, .text = dup_text(object, "text"),
                                .document_title = dup_text(object, "document"), .char_start = get_number(object, "start"),
                                .char_end = get_number(object, "end"), .start = get_number(object, "start_byte"),
                                .end = get_number(object, "end_byte"), .verified = json_is_true(json_object_get(object, "verified"))};
    if (json_is_integer(json_object_get(object, "section"))) quotation->section = (int64_t)get_number(object, "section");
    page_from_json(json_object_get(object, "page"), &quotation->page, &quotation->page_label);
}

static void attended_from_json(const json_t *array, AppAnswer *answer)
{
    size_t n = json_array_size(array);
    answer->attended = g_new0(AppAttended, n + 1);
    answer->n_attended = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *object = json_array_get(array, i);
        AppAttended *attended = &answer->attended[i];
        *attended = (AppAttended){.document = (int64_t)get_number(object, "document_id"), .section = (uint32_t)get_number(object, "section"),
                                  .n_tokens = (uint32_t)get_number(object, "tokens"), .start = get_number(object, "start_byte"),
                                  .mass = (float)json_number_value(json_object_get(object, "mass"))};
        attended->end = MAX(get_number(object, "end_byte"), attended->start);
        const char *coded = json_string_value(json_object_get(object, "parts")); /* none in answers that were kept before there were any */
        gsize n_parts = 0;
        g_autofree guchar *parts = coded && *coded ? g_base64_decode(coded, &n_parts) : NULL;
        float most = (float)json_number_value(json_object_get(object, "part_mass_most"));
        attended->n_parts = (uint32_t)n_parts;
        attended->part_masses = g_new(float, n_parts + 1);
        for (gsize part = 0; part < n_parts; part++) attended->part_masses[part] = most * parts[part] / 255;
    }
}

static void figures_from_json(const json_t *root, AppAnswer *answer)
{
    const json_t *tokens = json_object_get(root, "tokens"), *us = json_object_get(root, "us"), *documents = json_object_get(root, "documents"),
                 *sections = json_object_get(root, "sections");
    answer->n_documents = (uint32_t)get_number(documents, "asked");
    answer->n_documents_left_out = (uint32_t)get_number(documents, "left_out");
    answer->n_documents_partly_read = (uint32_t)get_number(documents, "partly_read");
    answer->n_sections = (uint32_t)get_number(sections, "cached");
    answer->n_sections_attended = (uint32_t)get_number(sections, "attended");
    answer->tokens_cached = get_number(tokens, "cached");
    answer->tokens_attended = get_number(tokens, "attended");
    answer->tokens_computed_document = get_number(tokens, "computed_document");
    answer->tokens_computed_question = get_number(tokens, "computed_question");
    answer->tokens_generated = get_number(tokens, "generated");
    answer->choose_us = (int64_t)get_number(us, "choose");
    answer->open_us = (int64_t)get_number(us, "open");
    answer->first_token_us = (int64_t)get_number(us, "first_token");
    answer->total_us = (int64_t)get_number(us, "total");
    answer->dropped_mass = json_number_value(json_object_get(root, "dropped_mass"));
    answer->joined_approximately = json_is_true(json_object_get(root, "joined_approximately"));
}

AppAnswer *app_answer_from_object(const json_t *root, const AppTurn *turn)
{
    AppAnswer *answer = g_new0(AppAnswer, 1);
    answer->question = turn ? g_strdup(turn->question) : dup_text(root, "question");
    answer->answer = turn ? g_strdup(turn->answer) : dup_text(root, "answer");
    answer->model = turn ? g_strdup(turn->model) : dup_text(root, "model");
    answer->thought = g_strdup(json_string_value(json_object_get(root, "thought")));
    answer->remote = g_strdup(json_string_value(json_object_get(root, "remote")));
    answer->found = turn ? turn->found : json_is_true(json_object_get(root, "found"));
    answer->complete = !json_is_false(json_object_get(root, "complete"));
    answer->turn = turn ? turn->id : 0;
    const json_t *quotations = json_object_get(root, "quotations"), *passages = json_object_get(root, "passages");
    answer->n_evidence = turn ? turn->n_quotations : json_array_size(quotations);
    answer->evidence = g_new0(AppEvidence, answer->n_evidence + 1);
    for (size_t i = 0; i < answer->n_evidence; i++)
        evidence_from_json(json_array_get(quotations, i), turn ? &turn->quotations[i] : NULL, &answer->evidence[i]);
    answer->passages = g_ptr_array_new_with_free_func((GDestroyNotify)app_hit_free);
    for (size_t i = 0; i < json_array_size(passages); i++) g_ptr_array_add(answer->passages, passage_from_json(json_array_get(passages, i)));
    figures_from_json(root, answer);
    if (turn) attended_from_json(json_object_get(root, "attended"), answer);
    return answer;
}

AppAnswer *app_answer_from_turn(const AppTurn *turn)
{
    json_t *root = json_loads(turn->stats, 0, NULL);
    AppAnswer *answer = app_answer_from_object(root, turn);
    json_decref(root);
    return answer;
}
