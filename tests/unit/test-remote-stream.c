/* test-remote-stream.c: what a second machine streams, right and hostile, cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib.h>
#include <string.h>

#include "app-remote-stream.h"
#include "app-remote.h"

static void collect(void *user, const char *text, size_t n_bytes)
{
    assert_true(g_utf8_validate(text, (gssize)n_bytes, NULL)); /* whole characters */
    g_string_append_len(user, text, (gssize)n_bytes);
}

/* The text of a stream given in two pieces; NULL: refused. */
static char *run(const char *bytes, size_t n, size_t cut, bool *ret_complete)
{
    g_autoptr(GString) streamed = g_string_new(NULL);
    g_autoptr(AppRemoteStream) stream = app_remote_stream_new(collect, streamed);
    g_autoptr(GError) error = NULL;
    bool good = app_remote_stream_take(stream, bytes, cut, &error) && app_remote_stream_take(stream, bytes + cut, n - cut, &error) &&
                app_remote_stream_end(stream, &error);
    if (!good) {
        assert_non_null(error);
        assert_int_equal(error->domain, APP_REMOTE_ERROR);
        assert_true(g_utf8_validate(error->message, -1, NULL));
        for (const char *at = error->message; *at != '\0'; at++) assert_true((unsigned char)*at >= ' ');
        return NULL;
    }
    assert_string_equal(streamed->str, app_remote_stream_get_text(stream));
    if (ret_complete != NULL) *ret_complete = app_remote_stream_is_complete(stream);
    return g_strdup(app_remote_stream_get_text(stream));
}

static void expect(const char *bytes, const char *text, bool complete)
{
    size_t n = strlen(bytes);
    for (size_t cut = 0; cut <= n; cut++) {
        bool was_complete = false;
        g_autofree char *got = run(bytes, n, cut, &was_complete);
        assert_non_null(got);
        assert_string_equal(got, text);
        assert_int_equal(was_complete, complete);
    }
}

#define CHUNK(content) "data: {\"choices\":[{\"delta\":{\"content\":" content "}}]}\n\n"
#define STOP "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define DONE "data: [DONE]\n\n"

static void streams_are_read_however_they_are_cut(void **state)
{
    (void)state;
    expect(CHUNK("\"\\u201cThe caf\xC3\xA9\\u201d\"") CHUNK("\"\\n1846\"") STOP DONE, "\xE2\x80\x9CThe caf\xC3\xA9\xE2\x80\x9D\n1846", true);
    /* Carriage returns, comments, other fields, no space behind the colon, no final empty line. */
    expect(": hello\r\nevent: x\r\ndata:{\"choices\":[{\"delta\":{\"content\":\"yes\"}}]}\r\n\r\n: ping\r\n\r\n" DONE, "yes", true);
    expect(CHUNK("\"yes\"") "data: {\"choices\":[{\"delta\":{\"content\":\".\"},\"finish_reason\":\"length\"}]}", "yes.", false);
    /* A server that does not stream. */
    expect(" {\"choices\":[{\"message\":{\"content\":\"whole\"},\"finish_reason\":\"stop\"}],\"usage\":{\"completion_tokens\":7}}", "whole", true);
    /* Figures in a chunk without choices; null and absent texts. */
    expect(CHUNK("null") CHUNK("\"a\"") STOP "data: {\"choices\":[],\"usage\":{\"completion_tokens\":1}}\n\n" DONE, "a", true);
}

static void thinking_aloud_is_left_out(void **state)
{
    (void)state;
    expect(CHUNK("\"<thi\"") CHUNK("\"nk>secret</thi\"") CHUNK("\"nk>\\n\\nanswer\"") STOP DONE, "answer", true);
    expect(CHUNK("\"\\n <think></think>a <think> b\"") STOP DONE, "a <think> b", true); /* only at the beginning */
    expect(CHUNK("\"<thin\"") STOP DONE, "<thin", true);
    expect(CHUNK("\"<think>for ever\"") STOP DONE, "", true);
    expect("data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hidden\",\"content\":null}}]}\n\n" CHUNK("\"b\"") STOP DONE, "b", true);
}

static void controls_are_dropped(void **state)
{
    (void)state;
    expect(CHUNK("\"a\\u001b[31mb\\u0007\\r\\n\\tc\\u009b\"") STOP DONE, "a[31mb\n\tc", true);
}

static void broken_utf_8_does_no_harm(void **state)
{
    (void)state;
    g_autofree char *got = run("data: {\"choices\":[{\"delta\":{\"content\":\"a\xFF\xFE\xC3\"}}]}\n\n" DONE, strlen("data: {\"choices\":[{\"delta\":{\"content\":\"a\xFF\xFE\xC3\"}}]}\n\n" DONE), 5, NULL);
    assert_non_null(got);
    assert_true(g_utf8_validate(got, -1, NULL));
    assert_true(g_str_has_prefix(got, "a"));
}

static void what_is_no_answer_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "", " \n", "<html>hello</html>", "data: nonsense\n\n", "data: {\n\n", "data: []\n\n", "data: {}\n\n", "{}", "[]", "{\"choices\":7}",
        "data: {\"choices\":[{\"delta\":{\"content\":7}}]}\n\n", "data: {\"choices\":[{\"delta\":{\"content\":[\"a\"]}}]}\n\n",
        CHUNK("\"never ends\""), "data: {\"error\":{\"message\":\"bad\\u001b[0m \\u0000key\"}}\n\n", "data: {\"error\":{\"message\":\"bad\\u001b[0m key\"}}\n\n",
        "{\"error\":\"no\"}", "{\"choices\":[{\"message\":{\"content\":\"\"}}]}",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = run(cases[i], strlen(cases[i]), strlen(cases[i]) / 2, NULL);
        if (got != NULL) fail_msg("“%s” was taken as “%s”", cases[i], got);
    }
    g_autofree char *deep = g_strnfill(200000, '['), *line = g_strconcat("data: ", deep, "\n\n", NULL);
    assert_null(run(line, strlen(line), 7, NULL));
}

static void endless_things_end(void **state)
{
    (void)state;
    g_autofree char *piece = g_strnfill(4096, 'x'), *chunk = g_strdup_printf("data: {\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}\n\n", piece);
    g_autoptr(AppRemoteStream) text = app_remote_stream_new(NULL, NULL), line = app_remote_stream_new(NULL, NULL), event = app_remote_stream_new(NULL, NULL);
    size_t n = 0;
    for (; !app_remote_stream_is_done(text) && n < 1000; n++) assert_true(app_remote_stream_take(text, chunk, strlen(chunk), NULL));
    assert_true(n < 1000);
    assert_true(app_remote_stream_end(text, NULL));
    assert_int_equal(strlen(app_remote_stream_get_text(text)), 256 << 10);
    assert_false(app_remote_stream_is_complete(text));
    bool good = true;
    for (n = 0; good && n < 1000; n++) good = app_remote_stream_take(line, piece, 4096, NULL);
    assert_false(good);
    g_autofree char *data = g_strdup_printf("data: %s\n", piece);
    for (n = 0, good = true; good && n < 1000; n++) good = app_remote_stream_take(event, data, strlen(data), NULL);
    assert_false(good);
    g_autoptr(AppRemoteStream) object = app_remote_stream_new(NULL, NULL);
    for (n = 0, good = app_remote_stream_take(object, "{", 1, NULL); good && n < 1000; n++) good = app_remote_stream_take(object, piece, 4096, NULL);
    assert_false(good);
}

/* Bytes changed at random: no crash, no text that is not UTF-8 (asserted in collect). */
static void any_bytes_do_no_harm(void **state)
{
    (void)state;
    static const char seed[] = CHUNK("\"<think>a</think>\\u201cb\\ud83d\\ude00\\u201d\"") CHUNK("\"c\"") STOP DONE;
    GRand *rand = g_rand_new_with_seed(25);
    for (int i = 0; i < 20000; i++) {
        char bytes[sizeof seed];
        memcpy(bytes, seed, sizeof seed);
        for (int change = g_rand_int_range(rand, 1, 6); change > 0; change--)
            bytes[g_rand_int_range(rand, 0, (int)sizeof seed - 1)] = (char)g_rand_int_range(rand, 0, 256);
        g_free(run(bytes, sizeof seed - 1, (size_t)g_rand_int_range(rand, 0, (int)sizeof seed - 1), NULL));
    }
    g_rand_free(rand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_read_however_they_are_cut),
        cmocka_unit_test(thinking_aloud_is_left_out),
        cmocka_unit_test(controls_are_dropped),
        cmocka_unit_test(broken_utf_8_does_no_harm),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(endless_things_end),
        cmocka_unit_test(any_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
