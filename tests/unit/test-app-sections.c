/* test-app-sections.c: properties of cutting: everything once, limits kept, chapters apart, rows whole. */
#include "app-fixture.h"

#include "app-sections.h"

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static GArray *plan_tokens(const uint32_t *tokens, const int32_t *headings_of, size_t n, const AppHeadingMark *headings, size_t n_headings,
                           uint32_t goal, uint32_t most)
{
    g_autofree AppUnit *units = g_new0(AppUnit, n);
    for (size_t i = 0; i < n; i++) units[i] = (AppUnit){.start = i * 10, .end = i * 10 + 10, .n_tokens = tokens[i], .heading = headings_of[i]};
    AppPlanLimits limits = {goal, most, 60};
    return app_sections_plan(units, n, headings, n_headings, &limits);
}

/* Random trees: every unit exactly once and in order, no piece over the limit unless it is one unit, no chapter joined with another. */
static void test_properties(void **state)
{
    uint32_t seed = 11;
    for (int trial = 0; trial < 300; trial++) {
        size_t n = 1 + next_random(&seed) % 120;
        g_autofree uint32_t *tokens = g_new(uint32_t, n);
        g_autofree int32_t *headings_of = g_new(int32_t, n);
        AppHeadingMark headings[130];
        size_t n_headings = 0;
        for (size_t i = 0; i < n; i++) {
            if (next_random(&seed) % 4 == 0) {
                uint32_t level = 1 + next_random(&seed) % 4;
                headings[n_headings++] = (AppHeadingMark){.start = i * 10, .level = level, .is_chapter = level <= 2, .text = (char *)"H"};
            }
            headings_of[i] = (int32_t)n_headings - 1;
            tokens[i] = 1 + next_random(&seed) % (next_random(&seed) % 5 == 0 ? 1000 : 100);
        }
        g_autoptr(GArray) pieces = plan_tokens(tokens, headings_of, n, headings, n_headings, 1000, 1900);
        size_t at = 0;
        for (guint i = 0; i < pieces->len; i++) {
            const AppPiece *piece = &g_array_index(pieces, AppPiece, i);
            assert_int_equal(piece->first, at);
            assert_true(piece->end > piece->first);
            uint64_t sum = 0;
            size_t last_chapter = SIZE_MAX;
            for (size_t u = piece->first; u < piece->end; u++) {
                sum += tokens[u];
                for (size_t h = 0; h < n_headings; h++) {
                    if (headings[h].start != u * 10 || !headings[h].is_chapter) continue;
                    /* A chapter may begin within a piece only behind a beginning too short to stand alone. */
                    uint64_t before = 0;
                    for (size_t w = piece->first; w < u; w++) before += tokens[w];
                    assert_true(before < 60 * 4);
                    last_chapter = h;
                }
            }
            (void)last_chapter;
            assert_true(sum <= 1900 + 240 || piece->end - piece->first == 1);
            at = piece->end;
        }
        assert_int_equal(at, n);
    }
}

static void test_even(void **state)
{
    uint32_t tokens[40];
    int32_t headings_of[40];
    for (size_t i = 0; i < 40; i++) {
        tokens[i] = 100;
        headings_of[i] = -1;
    }
    g_autoptr(GArray) pieces = plan_tokens(tokens, headings_of, 40, NULL, 0, 1400, 1980);
    assert_int_equal(pieces->len, 3); /* 4,000 tokens: 13, 13 and 14 paragraphs */
    for (guint i = 0; i < pieces->len; i++) {
        const AppPiece *piece = &g_array_index(pieces, AppPiece, i);
        assert_in_range(piece->end - piece->first, 13, 14);
    }
}

static void test_short_parts_join(void **state)
{
    /* A heading with four short parts of one kind: two sections; chapters of the same size: each its own. */
    const uint32_t tokens[] = {5, 300, 300, 300, 300};
    const int32_t headings_of[] = {0, 1, 2, 3, 4};
    AppHeadingMark headings[5];
    for (size_t i = 0; i < 5; i++) headings[i] = (AppHeadingMark){.start = i * 10, .level = i == 0 ? 1 : 2, .text = (char *)"H"};
    g_autoptr(GArray) joined = plan_tokens(tokens, headings_of, 5, headings, 5, 1000, 1900);
    assert_int_equal(joined->len, 2);
    assert_int_equal(g_array_index(joined, AppPiece, 0).heading, 0);
    assert_int_equal(g_array_index(joined, AppPiece, 0).first, 0); /* the lone heading goes with them */
    for (size_t i = 0; i < 5; i++) headings[i].is_chapter = true;
    g_autoptr(GArray) apart = plan_tokens(tokens, headings_of, 5, headings, 5, 1000, 1900);
    assert_int_equal(apart->len, 4);
    assert_int_equal(g_array_index(apart, AppPiece, 0).heading, 1);
}

static void test_heads(void **state)
{
    const AppHeadingMark headings[] = {
        {.level = 1, .text = (char *)"PART ONE"}, {.level = 2, .text = (char *)"CHAPTER 1"}, {.level = 2, .text = (char *)"CHAPTER 2"}, {.level = 1, .text = (char *)"War"}};
    g_autofree char *one = app_section_head("War", headings, 2, 240), *none = app_section_head("War", headings, -1, 240);
    g_autofree char *same = app_section_head("War", headings, 3, 240), *cut = app_section_head("A title that is rather long", headings, 2, 40);
    assert_string_equal(one, "War › PART ONE › CHAPTER 2");
    assert_string_equal(none, "War");
    assert_string_equal(same, "War");
    assert_true(strlen(cut) <= 40 && g_utf8_validate(cut, -1, NULL));
    assert_non_null(strstr(cut, "CHAPTER 2"));
}

static void test_units(void **state)
{
    static const char text[] = "First paragraph\nof two lines.\n\n\nSecond. It has sentences. Three of them.\n\n  Indented.";
    size_t n = sizeof text - 1;
    assert_int_equal(app_unit_length(text, n, 1000, true), strlen("First paragraph\nof two lines.\n\n\n"));
    assert_int_equal(app_unit_length(text, 20, 1000, false), 0); /* more to come */
    size_t second = strlen("First paragraph\nof two lines.\n\n\n");
    assert_int_equal(app_unit_length(text + second, n - second, 1000, true), strlen("Second. It has sentences. Three of them.\n\n"));
    assert_int_equal(app_unit_split("Second. It has sentences. Three of them.", 40, 30), strlen("Second. It has sentences."));
    assert_int_equal(app_unit_split("aaaaaaaaaaaaaaaaaaaa", 20, 10), 10);
    assert_int_equal(app_unit_split("ääääääääää", 20, 9), 8); /* never within a character */
    /* Any text: the units cover it. */
    uint32_t seed = 5;
    g_autoptr(GString) any = g_string_new(NULL);
    for (int i = 0; i < 5000; i++) g_string_append_c(any, "ab. \n\n|"[next_random(&seed) % 7]);
    size_t at = 0;
    while (at < any->len) {
        size_t length = app_unit_length(any->str + at, any->len - at, 300, true);
        assert_true(length > 0 && length <= 300);
        at += length;
    }
    assert_int_equal(at, any->len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties), cmocka_unit_test(test_even), cmocka_unit_test(test_short_parts_join),
        cmocka_unit_test(test_heads),      cmocka_unit_test(test_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
