/* test-qwen3.c: tiny Qwen3 checkpoints give the logits that the reference gives (tests/golden/make-checkpoints.py; checked there against
 * transformers): as one reading, in continuous mode in parts, and as a question after them; on every instruction set there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"
#include "safetensors.h"
#include "weights.h"

static char folder[2048];

/* All keys and values exact: what is left is float arithmetic. */
static const eng_model_options exact = {.key_type = KERN_KEY_CODE32, .key_type_set = true, .value_type = KERN_VALUE_F32, .value_type_set = true,
                                        .expand_blocks = true};

typedef struct fixture {
    eng_model *model;
    eng_runtime *runtime;
    eng_safetensors *expected;
    const uint32_t *ids, *rows; /* rows: whose logits are expected */
    const float *logits;
    size_t n, n_rows, n_vocabulary;
} fixture;

static void open_fixture(fixture *f, const char *name)
{
    eng_error error = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (eng_model_open(path, &exact, &f->model, &error) != ENG_OK) fail_msg("%s", error.message);
    char *extension = strstr(path, ".gguf");
    if (extension != NULL) *extension = '\0';
    size_t used = strlen(path);
    snprintf(path + used, sizeof path - used, "%s", extension != NULL ? "-expected.safetensors" : "/expected.safetensors");
    if (eng_safetensors_open(path, &f->expected, &error) != ENG_OK) fail_msg("%s", error.message);
    const eng_tensor *ids = eng_safetensors_find(f->expected, "ids"), *rows = eng_safetensors_find(f->expected, "rows");
    const eng_tensor *logits = eng_safetensors_find(f->expected, "logits");
    assert_true(ids != NULL && rows != NULL && logits != NULL);
    f->ids = (const uint32_t *)(const void *)ids->data;
    f->rows = (const uint32_t *)(const void *)rows->data;
    f->logits = (const float *)(const void *)logits->data;
    f->n = ids->shape[0];
    f->n_rows = rows->shape[0];
    f->n_vocabulary = eng_model_get_info(f->model)->n_vocabulary;
    assert_int_equal(logits->shape[1], f->n_vocabulary);
    assert_int_equal(eng_runtime_new(f->model, &(eng_runtime_options){.n_threads = 2}, &f->runtime, &error), ENG_OK);
}

static void close_fixture(fixture *f)
{
    eng_runtime_free(f->runtime);
    eng_model_close(f->model);
    eng_safetensors_close(f->expected);
}

/* logits: of tokens first .. first + n - 1. The largest difference relative to the largest logit. */
static double worst_error(const fixture *f, const float *logits, size_t first, size_t n)
{
    double worst = 0, largest = 0;
    size_t n_compared = 0;
    for (size_t r = 0; r < f->n_rows; r++) {
        for (size_t i = 0; i < f->n_vocabulary; i++) largest = fmax(largest, fabs((double)f->logits[r * f->n_vocabulary + i]));
        if (f->rows[r] < first || f->rows[r] >= first + n) continue;
        n_compared++;
        for (size_t i = 0; i < f->n_vocabulary; i++)
            worst = fmax(worst, fabs((double)logits[(f->rows[r] - first) * f->n_vocabulary + i] - f->logits[r * f->n_vocabulary + i]));
    }
    assert_true(n_compared > 0);
    return worst / largest;
}

/* One section's states, with memory of its own. */
typedef struct states {
    void **blocks;
    kern_kv_block *views;
    eng_section section;
} states;

static void make_states(states *s, const fixture *f, size_t first, size_t n)
{
    const eng_model_info *info = eng_model_get_info(f->model);
    uint32_t capacity = eng_section_capacity((uint32_t)n);
    size_t n_bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, capacity).total_bytes;
    s->blocks = calloc(info->n_layers, sizeof *s->blocks);
    s->views = calloc(info->n_layers, sizeof *s->views);
    for (uint32_t l = 0; l < info->n_layers; l++) {
        s->blocks[l] = aligned_alloc(KERN_ALIGN_BYTES, n_bytes);
        memset(s->blocks[l], 0, n_bytes);
        s->views[l] = (kern_kv_block){.data = s->blocks[l], .n_tokens = (uint32_t)n, .capacity = capacity};
    }
    s->section = (eng_section){.ids = f->ids + first, .n_tokens = (uint32_t)n, .blocks = s->views};
}

static void free_states(states *s, const fixture *f)
{
    for (uint32_t l = 0; l < eng_model_get_info(f->model)->n_layers; l++) free(s->blocks[l]);
    free(s->blocks);
    free(s->views);
}

static double read_part(const fixture *f, states *s, size_t first, size_t n, const eng_section *before, size_t n_before)
{
    eng_error error = {0};
    make_states(s, f, first, n);
    float *logits = malloc(n * f->n_vocabulary * sizeof *logits);
    eng_read_job job = {.ids = f->ids + first, .n_tokens = (uint32_t)n, .blocks = s->blocks, .before = before, .n_before = n_before,
                        .ret_logits = logits, .first_position = UINT32_MAX};
    if (eng_read(f->runtime, &job, 1, &error) != ENG_OK) fail_msg("%s", error.message);
    double worst = worst_error(f, logits, first, n);
    free(logits);
    return worst;
}

/* Whole, then in three parts that attend to those before, then the last part as a question after two. */
static void compare_fixture(const char *name, double most)
{
    fixture f;
    open_fixture(&f, name);
    assert_int_equal(eng_model_get_info(f.model)->section_mode, ENG_SECTIONS_CONTINUOUS);
    states whole, parts[3];
    double worst = read_part(&f, &whole, 0, f.n, NULL, 0);
    eng_section before[3];
    size_t first[4] = {0, f.n / 3 + 1, 2 * f.n / 3, f.n};
    for (size_t i = 0; i < 3; i++) {
        worst = fmax(worst, read_part(&f, &parts[i], first[i], first[i + 1] - first[i], before, i));
        before[i] = parts[i].section;
    }
    eng_error error = {0};
    eng_session *session;
    size_t n = first[3] - first[2];
    float *logits = malloc(n * f.n_vocabulary * sizeof *logits);
    if (eng_session_new(f.runtime, before, 2, n, &session, &error) != ENG_OK) fail_msg("%s", error.message);
    eng_session_set_drop_mass(session, 0);
    if (eng_session_eval_all(session, f.ids + first[2], n, logits, &error) != ENG_OK) fail_msg("%s", error.message);
    worst = fmax(worst, worst_error(&f, logits, first[2], n));
    free(logits);
    eng_session_free(session);
    for (size_t i = 0; i < 3; i++) free_states(&parts[i], &f);
    free_states(&whole, &f);
    close_fixture(&f);
    printf("%s: %.1e of the largest logit\n", name, worst);
    if (!(worst < most)) fail_msg("%s: differs by %g of the largest logit", name, worst);
}

static const char *const folders[] = {"tied-bf16",       "untied-f32-gqa8",        "bias-f16-gqa2", "sharded-bf16-gqa4", "yarn-f32",
                                      "yarn-factor-bf16-d128", "linear-f32", "mixed.gguf"};

static void logits_are_the_reference_s(void **state)
{
    (void)state;
    const char *names[4];
    size_t n_names = kern_isa_available(names);
    for (size_t isa = 0; isa < n_names; isa++) {
        assert_true(kern_isa_force(names[isa]));
        printf("-- %s\n", names[isa]);
        for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) compare_fixture(folders[i], 1e-3);
    }
    kern_isa_force(names[n_names - 1]);
}

static void bias_and_ties_are_what_the_folder_says(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "bias-f16-gqa2");
    assert_non_null(f.model->layers[1].o_bias);
    assert_ptr_equal(f.model->lm_head.data, f.model->embed.data);
    const eng_safetensors *file = eng_model_get_weights(f.model)->files[0]; /* mapped, wherever in the file they stand */
    const eng_tensor *embed = eng_safetensors_find(file, "model.embed_tokens.weight"), *down = eng_safetensors_find(file, "model.layers.1.mlp.down_proj.weight");
    assert_ptr_equal(f.model->embed.data, embed->data);
    assert_ptr_equal(f.model->layers[1].down_proj.data, down->data);
    close_fixture(&f);
    open_fixture(&f, "untied-f32-gqa8");
    assert_null(f.model->layers[0].q_bias);
    assert_ptr_not_equal(f.model->lm_head.data, f.model->embed.data);
    close_fixture(&f);
}

/* ----------------------------------------------------------------------------------------------------------------- chat */

static void expect_text(const eng_model *model, const eng_tokens *tokens, const char *wanted)
{
    char text[1024];
    size_t n = 0;
    for (size_t i = 0; i < tokens->n; i++) {
        size_t n_bytes;
        const char *bytes = eng_token_bytes(model, tokens->ids[i], &n_bytes);
        memcpy(text + n, bytes, n_bytes);
        n += n_bytes;
    }
    text[n] = '\0';
    assert_string_equal(text, wanted);
}

static void expect_turn(const eng_model *model, eng_chat_turn turn, const char *wanted)
{
    eng_tokens tokens = {0};
    assert_int_equal(eng_chat_tokens(model, &turn, &tokens, NULL), ENG_OK);
    expect_text(model, &tokens, wanted);
    eng_tokens_clear(&tokens);
}

static void turns_have_qwen3_s_form(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "tied-bf16"); /* no template; its tokenizer knows <think>: as Qwen3's first checkpoints */
    assert_int_equal(eng_model_get_info(f.model)->thinking, ENG_THINKING_OPTIONAL);
    expect_turn(f.model, (eng_chat_turn){.question = "Who?"},
                "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n");
    expect_turn(f.model, (eng_chat_turn){.question = "Who?", .think = true}, "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n");
    expect_turn(f.model, (eng_chat_turn){.system = "Quote.", .question = "Who?", .reply = "He."},
                "<|im_start|>system\nQuote.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nHe.<|im_end|>\n");
    eng_tokens tokens = {0}; /* what a person writes never becomes a special token */
    assert_int_equal(eng_prompt_tokens(f.model, "<|im_end|><think>", &tokens, NULL), ENG_OK);
    size_t n_stops = 0, n_thinks = 0;
    for (size_t i = 0; i < tokens.n; i++) {
        n_stops += tokens.ids[i] == eng_special_token(f.model, ENG_TOKEN_STOP);
        n_thinks += tokens.ids[i] == 259;
    }
    assert_int_equal(n_stops, 1);
    assert_int_equal(n_thinks, 1);
    eng_tokens_clear(&tokens);
    close_fixture(&f);
}

static void templates_tell_of_thinking(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        eng_thinking thinking;
    } cases[] = {
        {"{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}", ENG_THINKING_OPTIONAL},
        {"{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}", ENG_THINKING_ALWAYS},
        {"{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}", ENG_THINKING_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        eng_chat chat = {0};
        eng_chat_read_template(&chat, cases[i].text, strlen(cases[i].text));
        assert_true(chat.knows_thinking);
        assert_int_equal(chat.thinking, cases[i].thinking);
        json_t *json = eng_chat_to_json(&chat);
        eng_chat again = {0};
        assert_int_equal(eng_chat_read(&again, json, "chat.json", NULL), ENG_OK);
        json_decref(json);
        assert_memory_equal(&again, &chat, sizeof chat);
    }
}

static void generation_config_says_when_to_stop(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "sharded-bf16-gqa4");
    assert_true(eng_token_stops(f.model, 65) && eng_token_stops(f.model, 258) && eng_token_stops(f.model, 256));
    assert_false(eng_token_stops(f.model, 66));
    assert_true(fabsf(eng_model_get_info(f.model)->temperature - 0.6f) < 1e-6f && fabsf(eng_model_get_info(f.model)->top_p - 0.95f) < 1e-6f);
    char packed[] = "/tmp/lectern-qwen3-XXXXXX", source[4096];
    int fd = mkstemp(packed);
    assert_true(fd >= 0);
    close(fd);
    snprintf(source, sizeof source, "%s/sharded-bf16-gqa4", folder);
    eng_error error = {0};
    if (eng_model_pack(source, packed, KERN_W_Q8, NULL, NULL, NULL, &error) != ENG_OK) fail_msg("%s", error.message);
    eng_model *model;
    if (eng_model_open(packed, NULL, &model, &error) != ENG_OK) fail_msg("%s", error.message);
    assert_true(eng_token_stops(model, 65));
    assert_int_equal(eng_model_get_info(model)->thinking, ENG_THINKING_OPTIONAL);
    eng_model_close(model);
    unlink(packed);
    close_fixture(&f);
    static const char *const bad[] = {"{\"eos_token_id\":-1}", "{\"eos_token_id\":[1,\"x\"]}", "{\"temperature\":\"hot\"}", "{\"top_p\":2}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *json = json_loads(bad[i], 0, NULL);
        eng_chat chat = {0};
        assert_int_equal(eng_chat_read(&chat, json, "generation_config.json", &error), ENG_BAD_FILE);
        assert_non_null(strstr(error.message, "generation_config.json"));
        json_decref(json);
    }
}

int main(void)
{
    const char *data = getenv("LECTERN_TEST_DATA");
    if (data == NULL) return 2;
    snprintf(folder, sizeof folder, "%s/qwen3", data);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_the_reference_s),
        cmocka_unit_test(bias_and_ties_are_what_the_folder_says),
        cmocka_unit_test(turns_have_qwen3_s_form),
        cmocka_unit_test(templates_tell_of_thinking),
        cmocka_unit_test(generation_config_says_when_to_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
