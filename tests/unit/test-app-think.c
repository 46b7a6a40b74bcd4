/* test-app-think.c: a thinking block is told apart from the answer wherever the pieces are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "app-think.h"

static const struct {
    const char *reply;
    bool inside;
    const char *thought, *answer;
} cases[] = {
    {"<think>\nHe left at six.\n</think>\n\nAt six.", false, "He left at six.", "At six."},
    {"\n<think></think>At six.", false, "", "At six."},
    {"Let me see.\n</think>\n\nAt six.", true, "Let me see.", "At six."},
    {"At six. <think> is a mark.", false, "", "At six. <think> is a mark."},
    {"<thinking> aloud", false, "", "<thinking> aloud"},
    {"<think>never closed </thin", false, "never closed </thin", ""},
    {"<think>a < b </ c</think> d </think> e", false, "a < b </ c", "d </think> e"},
    {"<thi", false, "", "<thi"},
    {"", false, "", ""},
};

typedef struct Parts {
    GString *thought, *answer;
} Parts;

static void collect(void *user, const char *text, size_t n_bytes, bool is_thought)
{
    Parts *parts = user;
    assert_true(n_bytes > 0);
    g_string_append_len(is_thought ? parts->thought : parts->answer, text, (gssize)n_bytes);
}

static void whole_replies_are_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *thought = NULL, *answer = NULL;
        app_think_split(cases[i].reply, cases[i].inside, &thought, &answer);
        assert_string_equal(thought, cases[i].thought);
        assert_string_equal(answer, cases[i].answer);
    }
}

static void cuts_do_not_matter(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        size_t n = strlen(cases[i].reply);
        for (size_t a = 0; a <= n; a++) {
            for (size_t b = a; b <= n; b++) {
                Parts parts = {g_string_new(NULL), g_string_new(NULL)};
                AppThink think = {.inside = cases[i].inside};
                app_think_feed(&think, cases[i].reply, a, collect, &parts);
                app_think_feed(&think, cases[i].reply + a, b - a, collect, &parts);
                app_think_feed(&think, cases[i].reply + b, n - b, collect, &parts);
                app_think_end(&think, collect, &parts);
                app_think_clear(&think);
                assert_string_equal(g_strstrip(parts.thought->str), cases[i].thought);
                assert_string_equal(parts.answer->str, cases[i].answer);
                g_string_free(parts.thought, TRUE);
                g_string_free(parts.answer, TRUE);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_replies_are_split), cmocka_unit_test(cuts_do_not_matter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
