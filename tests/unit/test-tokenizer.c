/* test-tokenizer.c: tokens as the reference gives them; hostile tokenizer.json files; long words in bounded time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "select-tests.h"

static eng_model *starter;

static char *resource(const char *variable, const char *name)
{
    const char *folder = getenv(variable);
    assert_non_null(folder);
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    assert_non_null(path);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

static int open_starter(void **state)
{
    (void)state;
    char *path = resource("LECTERN_RESOURCES", "starter.safetensors");
    eng_error error = {0};
    if (eng_model_open(path, NULL, &starter, &error) != ENG_OK) print_error("%s\n", error.message);
    free(path);
    return starter == NULL;
}

static int close_starter(void **state)
{
    (void)state;
    eng_model_close(starter);
    return 0;
}

static size_t unhex(const char *hex, char *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (char)byte;
    }
    return n;
}

static void equals_the_reference(void **state)
{
    (void)state;
    char *path = resource("LECTERN_TEST_DATA", "tokenizer-cases.json");
    json_t *root = json_load_file(path, 0, NULL), *cases = json_object_get(root, "cases"), *entry;
    size_t i;
    assert_true(json_array_size(cases) > 400);
    json_array_foreach(cases, i, entry)
    {
        static char text[4096];
        size_t n = unhex(json_string_value(json_object_get(entry, "bytes")), text);
        json_t *ids = json_object_get(entry, "ids");
        eng_tokens tokens = {0};
        assert_int_equal(eng_tokenize(starter, text, n, true, &tokens, NULL), ENG_OK);
        assert_int_equal(tokens.n, json_array_size(ids));
        for (size_t t = 0; t < tokens.n; t++) assert_int_equal(tokens.ids[t], json_integer_value(json_array_get(ids, t)));
        eng_tokens_clear(&tokens);
    }
    json_decref(root);
    free(path);
}

static void added_tokens_only_when_asked(void **state)
{
    (void)state;
    const char *text = "a<|im_end|>b";
    eng_tokens parsed = {0}, plain = {0};
    assert_int_equal(eng_tokenize(starter, text, strlen(text), true, &parsed, NULL), ENG_OK);
    assert_int_equal(eng_tokenize(starter, text, strlen(text), false, &plain, NULL), ENG_OK);
    assert_int_equal(parsed.n, 3);
    assert_int_equal(parsed.ids[1], eng_special_token(starter, ENG_TOKEN_STOP));
    assert_true(plain.n > 3);
    for (size_t i = 0; i < plain.n; i++) assert_false(eng_token_stops(starter, plain.ids[i]));
    eng_tokens_clear(&parsed);
    eng_tokens_clear(&plain);
}

static void bytes_of_tokens_make_the_text(void **state)
{
    (void)state;
    const char *text = "The quick brown fox — 1,234.5 %\r\n\tÄöü 日本語 👩‍👩‍👧";
    eng_tokens tokens = {0};
    char joined[256];
    size_t n = 0, n_bytes;
    assert_int_equal(eng_tokenize(starter, text, strlen(text), false, &tokens, NULL), ENG_OK);
    for (size_t i = 0; i < tokens.n; i++) {
        const char *bytes = eng_token_bytes(starter, tokens.ids[i], &n_bytes);
        memcpy(joined + n, bytes, n_bytes);
        n += n_bytes;
    }
    assert_int_equal(n, strlen(text));
    assert_memory_equal(joined, text, n);
    assert_null(eng_token_bytes(starter, UINT32_MAX, &n_bytes));
    eng_tokens_clear(&tokens);
}

/* A quadratic merge would take hours here, and the suite's time limit would end it. */
static void promise_20_a_word_of_megabytes_is_not_quadratic(void **state)
{
    (void)state;
    size_t n = 2000000;
    char *text = malloc(n);
    assert_non_null(text);
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < n; i++) text[i] = kind == 0 ? 'a' : kind == 1 ? "etaoin"[i * 7919 % 6] : "\xcc\x81\xcc\xa3"[i % 4];
        eng_tokens tokens = {0};
        assert_int_equal(eng_tokenize(starter, text, n, false, &tokens, NULL), ENG_OK);
        assert_true(tokens.n > 0);
        eng_tokens_clear(&tokens);
    }
    free(text);
}

/* ------------------------------------------------------------------------------------------------------- hostile files */

/* A vocabulary of all bytes, then `more` entries; `merges`; `pattern`; `added`. */
static char *make_json(const char *more, const char *merges, const char *pattern, const char *added)
{
    char *text = malloc(65536);
    assert_non_null(text);
    size_t n =
        (size_t)sprintf(text,
                        "{\"added_tokens\":[%s],\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\","
                        "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"},\"behavior\":\"Isolated\",\"invert\":false},"
                        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},\"model\":{\"type\":\"BPE\",\"vocab\":{",
                        added, pattern);
    unsigned others = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool printed = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
        n += (size_t)sprintf(text + n, "\"\\u%04x\":%u,", printed ? byte : 256 + others++, byte);
    }
    sprintf(text + n, "%s},\"merges\":[%s]}}", more, merges);
    return text;
}

static eng_status load(const char *more, const char *merges, const char *pattern, const char *added, eng_tokenizer **ret, eng_error *error)
{
    char *json = make_json(more, merges, pattern, added);
    eng_status status = eng_tokenizer_new(json, strlen(json), "tokenizer.json", ret, error);
    free(json);
    return status;
}

static void promise_20_refuses_what_is_not_bijective(void **state)
{
    (void)state;
    static const struct {
        const char *more, *merges, *pattern, *added;
    } cases[] = {
        {"\"ab\":97", "", "\\\\p{L}+", ""},             /* an id twice */
        {"\"ab\":256,\"ab\":257", "", "\\\\p{L}+", ""}, /* a token twice */
        {"\"ab\":-1", "", "\\\\p{L}+", ""},
        {"\"ab\":4000000000", "", "\\\\p{L}+", ""},
        {"\"ab\":\"x\"", "", "\\\\p{L}+", ""},
        {"\"\":256", "", "\\\\p{L}+", ""},
        {"\"\\u4e2d\":256", "", "\\\\p{L}+", ""},   /* not bytes */
        {"\"ab\":256", "\"a c\"", "\\\\p{L}+", ""}, /* ac is not a token */
        {"\"ab\":256", "\"ab\"", "\\\\p{L}+", ""},
        {"\"ab\":256", "[\"a\"]", "\\\\p{L}+", ""},
        {"\"ab\":256", "7", "\\\\p{L}+", ""},
        {"\"ab\":256", "", "(", ""},                                        /* bad pattern */
        {"\"ab\":256", "", "\\\\p{L}+", "{\"id\":97,\"content\":\"<x>\"}"}, /* an id in use */
        {"\"ab\":256", "", "\\\\p{L}+", "{\"id\":300,\"content\":\"ab\"}"}, /* a text in use */
        {"\"ab\":256", "", "\\\\p{L}+", "{\"id\":300,\"content\":\"\"}"},
        {"\"ab\":256", "", "\\\\p{L}+", "{\"id\":300,\"content\":\"<x>\"},{\"id\":301,\"content\":\"<x>\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        eng_tokenizer *tokenizer = NULL;
        eng_error error = {0};
        eng_status status = load(cases[i].more, cases[i].merges, cases[i].pattern, cases[i].added, &tokenizer, &error);
        if (status == ENG_OK) fail_msg("case %zu was accepted", i);
        assert_null(tokenizer);
        assert_non_null(strstr(error.message, "tokenizer.json"));
    }
}

static void promise_20_refuses_deep_and_broken_json(void **state)
{
    (void)state;
    static char deep[100000];
    memset(deep, '[', sizeof deep);
    eng_tokenizer *tokenizer = NULL;
    assert_int_equal(eng_tokenizer_new(deep, sizeof deep, "t", &tokenizer, NULL), ENG_BAD_FILE);
    assert_int_equal(eng_tokenizer_new("{}", 2, "t", &tokenizer, NULL), ENG_UNSUPPORTED);
    assert_int_equal(eng_tokenizer_new("{\"a\":\"\xff\"}", 9, "t", &tokenizer, NULL), ENG_BAD_FILE);
    assert_int_equal(eng_tokenizer_new("", 0, "t", &tokenizer, NULL), ENG_BAD_FILE);
}

static void promise_20_an_exploding_pattern_is_stopped(void **state)
{
    (void)state;
    eng_model model = {0};
    eng_error error = {0};
    assert_int_equal(load("\"ab\":256", "[\"a\",\"b\"]", "(?:(?:a|aa)+)+[bc]", "", &model.tokenizer, &error), ENG_OK);
    char text[2000];
    memset(text, 'a', sizeof text);
    eng_tokens tokens = {0};
    assert_int_equal(eng_tokenize(&model, text, sizeof text, false, &tokens, &error), ENG_BAD_FILE);
    assert_int_equal(tokens.n, 0);
    eng_tokens_clear(&tokens);
    eng_tokenizer_free(model.tokenizer);
}

static void gaps_between_matches_are_words_too(void **state)
{
    (void)state;
    eng_model model = {0};
    assert_int_equal(load("\"ab\":256,\"12\":257", "\"a b\",[\"1\",\"2\"]", "[a-z]+", "", &model.tokenizer, NULL), ENG_OK);
    eng_tokens tokens = {0};
    assert_int_equal(eng_tokenize(&model, "12ab12", 6, false, &tokens, NULL), ENG_OK);
    assert_int_equal(tokens.n, 3);
    assert_int_equal(tokens.ids[0], 257);
    assert_int_equal(tokens.ids[1], 256);
    assert_int_equal(tokens.ids[2], 257);
    eng_tokens_clear(&tokens);
    eng_tokenizer_free(model.tokenizer);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_reference),
        cmocka_unit_test(added_tokens_only_when_asked),
        cmocka_unit_test(bytes_of_tokens_make_the_text),
        cmocka_unit_test(promise_20_a_word_of_megabytes_is_not_quadratic),
        cmocka_unit_test(promise_20_refuses_what_is_not_bijective),
        cmocka_unit_test(promise_20_refuses_deep_and_broken_json),
        cmocka_unit_test(promise_20_an_exploding_pattern_is_stopped),
        cmocka_unit_test(gaps_between_matches_are_words_too),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, open_starter, close_starter);
}
