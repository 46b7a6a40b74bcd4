/* Joining rankings, names and years in heads, filling a budget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>

#include "app-rank.h"

static void ranks_are_fused(void **state)
{
    const float words[] = {3, 1, NAN, 2}, keys[] = {0.1f, 0.9f, 0.5f, NAN};
    const AppRanking rankings[] = {{words, 1}, {keys, 2}};
    float fused[4];
    app_rank_fuse(rankings, 2, 4, fused);
    assert_float_equal(fused[0], 1 / 61.0 + 2 / 63.0, 1e-6);
    assert_float_equal(fused[1], 1 / 63.0 + 2 / 61.0, 1e-6);
    assert_float_equal(fused[2], 2 / 62.0, 1e-6);
    assert_float_equal(fused[3], 1 / 62.0, 1e-6);
}

static void equal_scores_share_a_rank(void **state)
{
    const float scores[] = {2, 5, 2, 1};
    float fused[4];
    app_rank_fuse(&(AppRanking){scores, 1}, 1, 4, fused);
    assert_float_equal(fused[1], 1 / 61.0, 1e-6);
    assert_float_equal(fused[0], 1 / 62.0, 1e-6);
    assert_float_equal(fused[2], 1 / 62.0, 1e-6);
    assert_float_equal(fused[3], 1 / 64.0, 1e-6);
}

static void names_and_years_lift_heads(void **state)
{
    const char *const heads[] = {"APPLE 2021 10K \xE2\x80\xBA Notes", "APPLE 2022 10K \xE2\x80\xBA Notes", "EBAY 2021 10K \xE2\x80\xBA Notes",
                                 "EBAY 2022 10K \xE2\x80\xBA Notes"};
    float scores[4];
    assert_int_equal(app_rank_by_heads("What were Apple's net sales in 2021?", heads, 4, scores), 3);
    assert_true(scores[0] > scores[1] && scores[0] > scores[2]);
    assert_true(scores[1] > 0 && scores[2] > 0);
    assert_true(scores[3] == 0); /* a word that all heads hold tells nothing */
    /* Words that are no names do not count where many heads hold them: "notes" is in all. */
    assert_int_equal(app_rank_by_heads("What do the notes say?", heads, 4, scores), 0);
}

static void parts_of_periods_are_words(void **state)
{
    const char *const heads[] = {"AMCOR 2023Q2 10Q", "AMCOR 2023Q1 10Q", "AMCOR 2022 10K"};
    float scores[3];
    app_rank_by_heads("AMCOR in 2022?", heads, 3, scores);
    assert_true(scores[2] > scores[0] && scores[2] > scores[1]);
    app_rank_by_heads("What was EBIT in 2023?", heads, 3, scores);
    assert_true(scores[0] > 0 && scores[1] > 0 && scores[2] == 0);
}

static void budget_is_filled_in_order(void **state)
{
    const float fused[] = {0.1f, 0.5f, 0.3f, 0.4f};
    const uint32_t n_tokens[] = {1000, 2000, 2000, 3000};
    g_autoptr(GArray) chosen = app_rank_choose(fused, NULL, 0, n_tokens, 4, 5500, 0);
    assert_int_equal(chosen->len, 2); /* 1 (2000) and 3 (3000): nothing else fits */
    assert_int_equal(g_array_index(chosen, uint32_t, 0), 1);
    assert_int_equal(g_array_index(chosen, uint32_t, 1), 3);
    g_autoptr(GArray) one = app_rank_choose(fused, NULL, 0, n_tokens, 4, 10, 0);
    assert_int_equal(one->len, 1); /* at least one, whatever it costs */
    g_autoptr(GArray) two = app_rank_choose(fused, NULL, 0, n_tokens, 4, 100000, 2);
    assert_int_equal(two->len, 2);
}

static void the_best_of_each_ranking_is_in(void **state)
{
    enum { N = 50 };
    float words[N], keys[N], fused[N];
    uint32_t n_tokens[N];
    for (size_t i = 0; i < N; i++) {
        words[i] = (float)i;
        keys[i] = (float)(N - i);
        n_tokens[i] = 1000;
    }
    keys[20] = words[20] = 45;
    const AppRanking rankings[] = {{words, 1}, {keys, 1}};
    app_rank_fuse(rankings, 2, N, fused);
    g_autoptr(GArray) chosen = app_rank_choose(fused, rankings, 2, n_tokens, N, 3000, 0);
    assert_int_equal(chosen->len, 3);
    assert_int_equal(g_array_index(chosen, uint32_t, 0), 0);
    assert_int_equal(g_array_index(chosen, uint32_t, 1), 20);
    assert_int_equal(g_array_index(chosen, uint32_t, 2), N - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_fused),           cmocka_unit_test(equal_scores_share_a_rank),  cmocka_unit_test(names_and_years_lift_heads),
        cmocka_unit_test(parts_of_periods_are_words), cmocka_unit_test(budget_is_filled_in_order), cmocka_unit_test(the_best_of_each_ranking_is_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
