/* golden-tokens.c: token ids of all sections and prompts of golden.json. argv[1]: the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eng.h"

static eng_model *model;
static json_t *golden;

static void compare(const eng_tokens *tokens, const json_t *ids)
{
    assert_int_equal(tokens->n, json_array_size(ids));
    for (size_t i = 0; i < tokens->n; i++) assert_int_equal(tokens->ids[i], json_integer_value(json_array_get(ids, i)));
}

/* <|endoftext|>, head, two newlines, text; cut at the end position. */
static void sections(void **state)
{
    (void)state;
    const json_t *texts = json_object_get(golden, "sections"), *ids = json_object_get(golden, "section_ids");
    size_t n = json_array_size(texts), most = eng_model_get_info(model)->end_position;
    assert_true(n > 0 && n == json_array_size(ids));
    for (size_t i = 0; i < n; i++) {
        const char *head = json_string_value(json_array_get(json_array_get(texts, i), 0));
        const char *body = json_string_value(json_array_get(json_array_get(texts, i), 1));
        size_t n_bytes = strlen(head) + strlen(body) + 2;
        char *text = malloc(n_bytes + 1);
        assert_non_null(text);
        snprintf(text, n_bytes + 1, "%s\n\n%s", head, body);
        uint32_t end = eng_special_token(model, ENG_TOKEN_END);
        assert_int_equal(end, json_integer_value(json_array_get(json_array_get(ids, i), 0)));
        eng_tokens tokens = {0}, all = {.ids = malloc(sizeof end * (n_bytes + 1))};
        assert_int_equal(eng_tokenize(model, text, n_bytes, false, &tokens, NULL), ENG_OK);
        all.ids[all.n++] = end;
        for (size_t t = 0; t < tokens.n && all.n < most; t++) all.ids[all.n++] = tokens.ids[t];
        compare(&all, json_array_get(ids, i));
        eng_tokens_clear(&tokens);
        eng_tokens_clear(&all);
        free(text);
    }
}

static void prompts(void **state)
{
    (void)state;
    const json_t *questions = json_object_get(golden, "questions"), *ids = json_object_get(golden, "prompt_ids");
    size_t n = json_array_size(questions);
    assert_true(n > 0 && n == json_array_size(ids));
    for (size_t i = 0; i < n; i++) {
        eng_tokens tokens = {0};
        assert_int_equal(eng_prompt_tokens(model, json_string_value(json_array_get(questions, i)), &tokens, NULL), ENG_OK);
        compare(&tokens, json_array_get(ids, i));
        eng_tokens_clear(&tokens);
    }
}

int main(int argc, char **argv)
{
    const char *data = getenv("LECTERN_TEST_DATA");
    if (argc < 2 || data == NULL) return 2;
    char path[4096];
    snprintf(path, sizeof path, "%s/golden.json", data);
    golden = json_load_file(path, 0, NULL);
    eng_error error = {0};
    if (golden == NULL || eng_model_open(argv[1], NULL, &model, &error) != ENG_OK) {
        fprintf(stderr, "%s%s\n", golden == NULL ? path : "", error.message);
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(sections), cmocka_unit_test(prompts)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    eng_model_close(model);
    json_decref(golden);
    return failed;
}
