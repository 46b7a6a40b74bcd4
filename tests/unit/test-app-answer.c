/* Answers and tables as values: what a conversation keeps comes back, and CSV holds what it was given. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "app-ask.h"

static AppAnswer *make_answer(const char *question, const char *text)
{
    AppAnswer *answer = g_new0(AppAnswer, 1);
    answer->question = g_strdup(question);
    answer->answer = g_strdup(text);
    answer->model = g_strdup("starter");
    answer->found = answer->complete = true;
    answer->n_evidence = 1;
    answer->evidence = g_new0(AppEvidence, 1);
    answer->evidence[0].kind = APP_EVIDENCE_AROUND;
    answer->evidence[0].heading = g_strdup("Report › Sales");
    answer->evidence[0].n_other_places = 2;
    answer->evidence[0].quotation = (AppQuotation){.document = 7, .document_title = g_strdup("Report"), .section = 3, .text = g_strdup("Sales | 12"),
                                                   .start = 100, .end = 110, .char_start = 90, .char_end = 100, .page = 4,
                                                   .page_label = g_strdup("v"), .verified = true};
    AppHit *hit = g_new0(AppHit, 1);
    hit->document = 7;
    hit->title = g_strdup("Report");
    hit->heading = g_strdup("Report › Costs");
    hit->start = 200;
    hit->end = 260;
    hit->page = UINT32_MAX;
    hit->page_label = g_strdup("");
    hit->snippet = g_strdup("\x02" "Costs\x03 | 9");
    answer->passages = g_ptr_array_new_with_free_func((GDestroyNotify)app_hit_free);
    g_ptr_array_add(answer->passages, hit);
    answer->n_attended = 1;
    answer->attended = g_new0(AppAttended, 1);
    static const float masses[] = {0.01F, 0, 0.4F};
    answer->attended[0] = (AppAttended){.document = 7, .section = 0, .n_tokens = 150, .mass = 0.41F, .n_parts = 3, .start = 50, .end = 800,
                                        .part_masses = g_memdup2(masses, sizeof masses)};
    answer->n_sections = 38;
    answer->n_sections_attended = 6;
    answer->tokens_cached = 43854;
    answer->tokens_attended = 8068;
    answer->first_token_us = 110000;
    answer->total_us = 190000;
    return answer;
}

static void a_turn_gives_its_answer_back(void **state)
{
    g_autoptr(AppAnswer) answer = make_answer("Sales?", "12");
    g_autofree char *stats = app_answer_to_json(answer);
    AppTurn turn = {.id = 5, .question = answer->question, .answer = answer->answer, .model = answer->model, .found = true,
                    .quotations = &answer->evidence[0].quotation, .n_quotations = 1, .stats = stats};
    g_autoptr(AppAnswer) back = app_answer_from_turn(&turn);
    assert_string_equal(back->question, "Sales?");
    assert_string_equal(back->answer, "12");
    assert_true(back->found && back->complete);
    assert_int_equal(back->turn, 5);
    assert_int_equal(back->n_evidence, 1);
    assert_int_equal(back->evidence[0].kind, APP_EVIDENCE_AROUND);
    assert_string_equal(back->evidence[0].heading, "Report › Sales");
    assert_int_equal(back->evidence[0].n_other_places, 2);
    assert_int_equal(back->evidence[0].quotation.page, 4); /* the library's own columns know the index */
    assert_string_equal(back->evidence[0].quotation.text, "Sales | 12");
    assert_int_equal(back->passages->len, 1);
    const AppHit *hit = back->passages->pdata[0];
    assert_int_equal(hit->start, 200);
    assert_int_equal(hit->end, 260);
    assert_int_equal(hit->page, UINT32_MAX);
    assert_string_equal(hit->snippet, "Costs | 9");
    assert_int_equal(back->n_attended, 1);
    const AppAttended *attended = &back->attended[0];
    assert_true(attended->document == 7 && attended->section == 0 && attended->n_tokens == 150 && attended->start == 50 && attended->end == 800);
    assert_int_equal(attended->n_parts, 3);
    for (int i = 0; i < 3; i++) assert_true(fabsf(attended->part_masses[i] - answer->attended[0].part_masses[i]) < 0.4F / 255);
    assert_int_equal(back->n_sections, 38);
    assert_int_equal(back->n_sections_attended, 6);
    assert_int_equal(back->tokens_cached, 43854);
    assert_int_equal(back->first_token_us, 110000);
    assert_null(app_ask_rows_from_turn(&turn));
}

static void a_turn_with_broken_figures_keeps_its_words(void **state)
{
    AppTurn turn = {.question = (char *)"Sales?", .answer = (char *)"12", .model = (char *)"starter", .found = true, .stats = (char *)"{\"us\":"};
    g_autoptr(AppAnswer) back = app_answer_from_turn(&turn);
    assert_string_equal(back->answer, "12");
    assert_int_equal(back->n_attended, 0);
    assert_int_equal(back->tokens_cached, 0);
    assert_int_equal(back->passages->len, 0);
}

static void a_turn_kept_before_there_were_parts_has_none(void **state)
{
    AppTurn turn = {.question = (char *)"Sales?", .answer = (char *)"12", .model = (char *)"starter", .found = true,
                    .stats = (char *)"{\"attended\":[{\"document_id\":7,\"section\":2,\"tokens\":100,\"mass\":0.5}, 5]}"};
    g_autoptr(AppAnswer) back = app_answer_from_turn(&turn);
    assert_int_equal(back->n_attended, 2);
    assert_int_equal(back->attended[0].n_parts, 0);
    assert_int_equal(back->attended[1].n_parts, 0);
}

static void csv_quotes_and_guards(void **state)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)app_ask_row_unref);
    AppAskRow *row = g_new0(AppAskRow, 1);
    row->n_refs = 1;
    row->document = 7;
    row->title = g_strdup("Report, \"final\"");
    row->answer = make_answer("=SUM(A1)", "12");
    g_ptr_array_add(rows, row);
    row = g_new0(AppAskRow, 1);
    row->n_refs = 1;
    row->document = 8;
    row->title = g_strdup("Other");
    row->failure = g_strdup("not read yet");
    g_ptr_array_add(rows, row);
    g_autofree char *csv = app_ask_rows_to_csv(rows, true);
    assert_string_equal(csv, "question,document,found,answer,quotation,where,start,end\r\n"
                             "\"'=SUM(A1)\",\"Report, \"\"final\"\"\",yes,12,Sales | 12,page v,90,100\r\n"
                             ",Other,failed,not read yet,,,,\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_gives_its_answer_back),
        cmocka_unit_test(a_turn_with_broken_figures_keeps_its_words),
        cmocka_unit_test(a_turn_kept_before_there_were_parts_has_none),
        cmocka_unit_test(csv_quotes_and_guards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
