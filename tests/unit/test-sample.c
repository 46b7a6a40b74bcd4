/* test-sample.c: the next token from logits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "eng.h"

enum { N = 1000, DRAWS = 20000 };

static void greedy_takes_the_lowest_id_of_the_best(void **state)
{
    (void)state;
    float logits[] = {-1, 3, 2, 3, -INFINITY};
    eng_sampling sampling = {0};
    assert_int_equal(eng_sample(&sampling, logits, 5), 1);
    logits[1] = -INFINITY;
    assert_int_equal(eng_sample(&sampling, logits, 5), 3);
    logits[0] = NAN;
    assert_int_equal(eng_sample(&sampling, logits, 5), 3);
}

static void frequencies_follow_the_softmax(void **state)
{
    (void)state;
    float logits[N];
    for (int i = 0; i < N; i++) logits[i] = -50;
    logits[7] = logf(0.6f);
    logits[500] = logf(0.3f);
    logits[999] = logf(0.1f);
    eng_sampling sampling = {.temperature = 1, .state = 42};
    int count[N] = {0};
    for (int i = 0; i < DRAWS; i++) count[eng_sample(&sampling, logits, N)]++;
    assert_true(abs(count[7] - 12000) < 400 && abs(count[500] - 6000) < 400 && abs(count[999] - 2000) < 300);
}

static void limits_cut_the_tail(void **state)
{
    (void)state;
    float logits[] = {0, -0.1f, -0.2f, -5};
    eng_sampling top_k = {.temperature = 1, .top_k = 2}, top_p = {.temperature = 1, .top_p = 0.5f}, min_p = {.temperature = 1, .min_p = 0.5f};
    for (int i = 0; i < 2000; i++) {
        assert_true(eng_sample(&top_k, logits, 4) < 2);
        assert_true(eng_sample(&top_p, logits, 4) < 2);
        assert_true(eng_sample(&min_p, logits, 4) < 3);
    }
}

static void forbidden_tokens_are_never_drawn(void **state)
{
    (void)state;
    float logits[N];
    for (int i = 0; i < N; i++) logits[i] = i % 10 == 3 ? 0.0f : -INFINITY;
    eng_sampling sampling = {.temperature = 5, .state = 1};
    for (int i = 0; i < 2000; i++) assert_int_equal(eng_sample(&sampling, logits, N) % 10, 3);
}

static void a_seed_repeats(void **state)
{
    (void)state;
    float logits[N];
    for (int i = 0; i < N; i++) logits[i] = (float)(i * 37 % 100) / 50;
    eng_sampling a = {.temperature = 1, .state = 9}, b = a;
    for (int i = 0; i < 100; i++) assert_int_equal(eng_sample(&a, logits, N), eng_sample(&b, logits, N));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_lowest_id_of_the_best), cmocka_unit_test(frequencies_follow_the_softmax),
        cmocka_unit_test(limits_cut_the_tail), cmocka_unit_test(forbidden_tokens_are_never_drawn), cmocka_unit_test(a_seed_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
