/* What the engine says, in parts: put together again it is the message, whatever stands in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "app-engine-internal.h"
#include "app-format.h"

static void assert_same(const eng_error *error)
{
    g_autofree char *message = app_engine_dup_message(error);
    assert_string_equal(message, error->message);
}

static void test_conversions(void **state)
{
    eng_error error;
    assert_int_equal(eng_fail(&error, ENG_IO, "nothing in it, 100 %%"), ENG_IO);
    assert_int_equal(error.n_arguments, 0);
    assert_string_equal(error.message, "nothing in it, 100 %");
    assert_same(&error);
    eng_fail(&error, ENG_LIMIT, "%s %.3s %.*s|%d %u %zu %lu %llu %lld %g %% %s", "a", "abcdef", 2, "xyz", -1, 4000000000u, (size_t)1 << 40, 1ul << 40,
             1ull << 63, -5ll, 0.25, "end");
    assert_string_equal(error.message, "a abc xy|-1 4000000000 1099511627776 1099511627776 9223372036854775808 -5 0.25 % end");
    assert_int_equal(error.n_arguments, 11);
    assert_same(&error);
    eng_fail(&error, ENG_IO, "%s: %s", "100%s %2$s", "");
    assert_same(&error);
    assert_int_equal(eng_fail(NULL, ENG_MISS, "%s", "nobody listens"), ENG_MISS);
}

static void test_of_itself(void **state)
{
    eng_error error, other = {0};
    eng_fail(&error, ENG_BAD_FILE, "%s is damaged", "a.cache");
    eng_fail(&error, ENG_IO, "%s; no more", error.message);
    assert_string_equal(error.message, "a.cache is damaged; no more");
    assert_same(&error);
    assert_int_equal(eng_fail_as(&other, ENG_MISS, &error), ENG_MISS);
    assert_int_equal(other.status, ENG_MISS);
    assert_string_equal(other.message, error.message);
    assert_same(&other);
    assert_int_equal(eng_fail_as(&other, ENG_LIMIT, &other), ENG_LIMIT);
    assert_same(&other);
    assert_int_equal(eng_fail_as(NULL, ENG_BUSY, &other), ENG_BUSY);
}

/* More than there is room for: the message is cut, and so are the parts. */
static void test_long(void **state)
{
    g_autofree char *name = g_strnfill(ENG_MESSAGE_BYTES * 2, 'n');
    eng_error error;
    eng_fail(&error, ENG_IO, "%s%s%u", name, name, 7u);
    assert_int_equal(strlen(error.message), ENG_MESSAGE_BYTES - 1);
    assert_int_equal(error.n_arguments, 1);
    g_autofree char *message = app_engine_dup_message(&error);
    assert_int_equal(strlen(message), ENG_MESSAGE_BYTES - 1);
    error = (eng_error){.status = ENG_IO, .message = "no parts are known"};
    assert_same(&error);
}

/* Notes as they are kept: with names in them that look like parts, and made by others. */
static void test_notes(void **state)
{
    const char *arguments[] = {"a\x1f%s\x1f", "b"};
    g_autofree char *note = app_format_make_note("%2$s and %1$s", arguments, 2), *text = app_format_note(note);
    assert_string_equal(text, "b and a %s ");
    static const struct {
        const char *note, *text;
    } odd[] = {{"\x1f", ""},
               {"%s\x1f", ""},
               {"%9$s|%0$s|%\x1f" "a\x1f", "|a|"},
               {"%s%s\x1f" "a", ""},
               {"%s of %u\x1f" "3\x1f" "9\x1f", "3 of 9"},
               {"100%\x1f", "100"},
               {"plain", "plain"}};
    for (size_t i = 0; i < G_N_ELEMENTS(odd); i++) {
        g_autofree char *told = app_format_note(odd[i].note);
        assert_string_equal(told, odd[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_conversions), cmocka_unit_test(test_of_itself), cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_notes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
