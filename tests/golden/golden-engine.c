/* golden-engine.c: the engine against the reference's outputs (tests/data/golden.json).
 *
 * usage: golden-engine MODEL   The bounds depend on the weights: 16-bit as the reference's own, or packed in 8 bits.
 * The reference is float32 throughout; two float32 implementations of it differ by 0.002 in the text's NLL, because top-k turns a
 * rounding difference into another choice now and then. The forced replies' NLL is the sharpest of these tests.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "eng.h"

enum { SECTIONS_MAX = 64, REPLY_TOKENS_MAX = 96 };

/* A sanitizer watches every access: it gets the first section, whose codes are compared, those of few tokens, and questions that these answer. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { SECTION_TOKENS_MAX = 330, QUESTION_FIRST = 40, QUESTION_END = 52 };
#else
enum { SECTION_TOKENS_MAX = INT32_MAX, QUESTION_FIRST = 0, QUESTION_END = 60 };
#endif

static struct {
    eng_model *model;
    const eng_model_info *info;
    eng_runtime *runtime;
    json_t *golden;
    eng_section sections[SECTIONS_MAX];
    uint32_t *ids[SECTIONS_MAX];
    kern_kv_block *blocks[SECTIONS_MAX];
    void *memory[SECTIONS_MAX];
    size_t n_sections;
    bool packed;
} g;

static void must(eng_status status, const eng_error *error)
{
    if (status != ENG_OK) fail_msg("%s", error->message);
}

/* A JSON array of ids; *ret_n may be NULL. */
static uint32_t *ids_of(const json_t *array, size_t *ret_n)
{
    size_t n = json_array_size(array);
    uint32_t *ids = malloc((n + 1) * sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < n; i++) ids[i] = (uint32_t)json_integer_value(json_array_get(array, i));
    if (ret_n) *ret_n = n;
    return ids;
}

static double nll_of(const float *logits, uint32_t id)
{
    double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < g.info->n_vocabulary; i++) top = fmax(top, logits[i]);
    for (size_t i = 0; i < g.info->n_vocabulary; i++) sum += exp(logits[i] - top);
    return top + log(sum) - logits[id];
}

static uint32_t best_of(const float *logits)
{
    eng_sampling greedy = {0};
    return eng_sample(&greedy, logits, g.info->n_vocabulary);
}

/* Memory for one section's blocks; ret_blocks [n_layers]. */
static void *new_blocks(uint32_t n_tokens, kern_kv_block *ret_blocks, void **ret_pointers)
{
    uint32_t capacity = eng_section_capacity(n_tokens);
    kern_kv_layout layout = kern_kv_layout_of(&g.info->kv_format, g.info->n_kv_heads, capacity);
    void *memory = aligned_alloc(KERN_ALIGN_BYTES, layout.total_bytes * g.info->n_layers);
    assert_non_null(memory);
    memset(memory, 0, layout.total_bytes * g.info->n_layers);
    for (uint32_t l = 0; l < g.info->n_layers; l++) {
        ret_pointers[l] = (uint8_t *)memory + l * layout.total_bytes;
        ret_blocks[l] = (kern_kv_block){.data = ret_pointers[l], .n_tokens = n_tokens, .capacity = capacity};
    }
    return memory;
}

static void read_sections(void)
{
    json_t *all = json_object_get(g.golden, "section_ids");
    eng_error error = {0};
    assert_in_range(json_array_size(all), 1, SECTIONS_MAX);
    eng_read_job *jobs = calloc(SECTIONS_MAX, sizeof *jobs);
    void **pointers = calloc(SECTIONS_MAX * g.info->n_layers, sizeof *pointers);
    assert_true(jobs && pointers);
    for (size_t at = 0; at < json_array_size(all); at++) {
        size_t n = json_array_size(json_array_get(all, at)), i = g.n_sections;
        if (at > 0 && n > SECTION_TOKENS_MAX) continue;
        g.n_sections++;
        g.ids[i] = ids_of(json_array_get(all, at), NULL);
        g.blocks[i] = calloc(g.info->n_layers, sizeof *g.blocks[i]);
        g.memory[i] = new_blocks((uint32_t)n, g.blocks[i], pointers + i * g.info->n_layers);
        g.sections[i] = (eng_section){.ids = g.ids[i], .n_tokens = (uint32_t)n, .blocks = g.blocks[i]};
        jobs[i] = (eng_read_job){.ids = g.ids[i], .n_tokens = (uint32_t)n, .blocks = pointers + i * g.info->n_layers, .first_position = UINT32_MAX};
    }
    must(eng_read(g.runtime, jobs, g.n_sections, &error), &error);
    free(jobs);
    free(pointers);
}

/* Logits of the causal text, [n][n_vocabulary], positions from 0 on. */
static float *causal_logits(uint32_t **ret_ids, size_t *ret_n)
{
    json_t *causal = json_object_get(g.golden, "causal");
    eng_error error = {0};
    *ret_ids = ids_of(json_object_get(causal, "ids"), ret_n);
    kern_kv_block *blocks = calloc(g.info->n_layers, sizeof *blocks);
    void **pointers = calloc(g.info->n_layers, sizeof *pointers);
    float *logits = malloc(*ret_n * g.info->n_vocabulary * sizeof *logits);
    assert_true(blocks && pointers && logits);
    void *memory = new_blocks((uint32_t)*ret_n, blocks, pointers);
    eng_read_job job = {.ids = *ret_ids, .n_tokens = (uint32_t)*ret_n, .blocks = pointers, .ret_logits = logits, .first_position = 0};
    must(eng_read(g.runtime, &job, 1, &error), &error);
    free(memory);
    free(blocks);
    free(pointers);
    return logits;
}

/* Whether id is the reference's best, or so near it that rounding decides: single logits of two float32 implementations differ by up
 * to 0.4, so a lead of less than a tenth of that is none (one of the listed rows has 0.022). */
static bool is_best(const json_t *top, uint32_t id)
{
    double best = json_number_value(json_array_get(json_array_get(top, 0), 1));
    for (size_t i = 0; i < json_array_size(top); i++)
        if ((uint32_t)json_integer_value(json_array_get(json_array_get(top, i), 0)) == id)
            return best - json_number_value(json_array_get(json_array_get(top, i), 1)) < 0.04;
    return false;
}

static void test_causal_text(void **state)
{
    uint32_t *ids;
    size_t n;
    float *logits = causal_logits(&ids, &n);
    json_t *causal = json_object_get(g.golden, "causal");
    double sum = 0, wanted = json_number_value(json_object_get(causal, "mean_nll"));
    for (size_t i = 0; i + 1 < n; i++) sum += nll_of(logits + i * g.info->n_vocabulary, ids[i + 1]);
    double mean = sum / (n - 1);
    print_message("causal text: mean NLL %.4f, reference %.4f\n", mean, wanted);
    assert_true(fabs(mean - wanted) <= (g.packed ? 0.03 : 0.01));
    const char *position;
    json_t *top;
    json_object_foreach(json_object_get(causal, "top"), position, top) {
        size_t row = strtoul(position, NULL, 10);
        assert_true(is_best(top, best_of(logits + row * g.info->n_vocabulary)));
    }
    free(ids);
    free(logits);
}

/* Kept features are the reference's. One may differ where its magnitude is all but that of the k-th: only where rounding decides. */
static void test_key_codes(void **state)
{
    json_t *all = json_object_get(g.golden, "key_codes"), *entry;
    size_t at, n_kept = 0, n_same = 0;
    double error_max = 0;
    float key[KERN_HEAD_DIM_MAX];
    json_array_foreach(all, at, entry) {
        size_t layer = json_integer_value(json_object_get(entry, "layer")), section = json_integer_value(json_object_get(entry, "section"));
        size_t i;
        json_t *feature;
        kern_kv_get_key(&g.info->kv_format, g.info->n_kv_heads, &g.blocks[section][layer], json_integer_value(json_object_get(entry, "kv_head")),
                        json_integer_value(json_object_get(entry, "token")), key);
        double smallest = INFINITY, largest = 0;
        json_array_foreach(json_object_get(entry, "code"), i, feature) {
            double value = fabs(json_number_value(json_array_get(feature, 1)));
            smallest = fmin(smallest, value);
            largest = fmax(largest, value);
        }
        json_array_foreach(json_object_get(entry, "code"), i, feature) {
            double value = json_number_value(json_array_get(feature, 1));
            float mine = key[json_integer_value(json_array_get(feature, 0))];
            n_kept++;
            if (mine != 0) {
                n_same++;
                error_max = fmax(error_max, fabs(mine - value) / largest);
            } else if (!g.packed) {
                assert_true(fabs(value) <= smallest * 1.05 || fabs(value) <= largest / 127);
            }
        }
    }
    print_message("key codes: %zu of %zu features as the reference's, values within %.4f of the largest\n", n_same, n_kept, error_max);
    assert_true(n_same >= n_kept * (g.packed ? 0.95 : 0.99));
    assert_true(error_max <= (g.packed ? 0.15 : 0.05));
}

static void test_values(void **state)
{
    json_t *all = json_object_get(g.golden, "values"), *entry;
    size_t at;
    float value[KERN_HEAD_DIM_MAX];
    json_array_foreach(all, at, entry) {
        size_t layer = json_integer_value(json_object_get(entry, "layer")), section = json_integer_value(json_object_get(entry, "section"));
        kern_kv_get_value(&g.info->kv_format, g.info->n_kv_heads, &g.blocks[section][layer], json_integer_value(json_object_get(entry, "kv_head")),
                          json_integer_value(json_object_get(entry, "token")), value);
        json_t *wanted = json_object_get(entry, "value");
        double difference = 0, size = 0;
        for (size_t i = 0; i < json_array_size(wanted); i++) {
            double w = json_number_value(json_array_get(wanted, i));
            difference += (value[i] - w) * (value[i] - w);
            size += w * w;
        }
        print_message("value %zu: relative difference %.4f\n", at, sqrt(difference / size));
        assert_true(sqrt(difference / size) <= (g.packed ? 0.25 : 0.05));
    }
}

static void test_forced_replies(void **state)
{
    json_t *replies = json_object_get(g.golden, "replies"), *prompts = json_object_get(g.golden, "prompt_ids"), *reply;
    size_t at, n_asked = 0;
    double mine = 0, wanted = 0;
    eng_error error = {0};
    json_array_foreach(replies, at, reply) {
        size_t n_prompt, n_reply;
        int question = (int)json_integer_value(json_object_get(reply, "question"));
        if (question < QUESTION_FIRST || question >= QUESTION_END) continue;
        n_asked++;
        uint32_t *prompt = ids_of(json_array_get(prompts, (size_t)question), &n_prompt);
        uint32_t *ids = ids_of(json_object_get(reply, "reply_ids"), &n_reply);
        float *logits = malloc((n_prompt + n_reply) * g.info->n_vocabulary * sizeof *logits);
        prompt = realloc(prompt, (n_prompt + n_reply) * sizeof *prompt);
        assert_true(prompt && logits);
        memcpy(prompt + n_prompt, ids, n_reply * sizeof *ids);
        eng_session *session;
        must(eng_session_new(g.runtime, g.sections, g.n_sections, n_prompt + n_reply, &session, &error), &error);
        must(eng_session_eval_all(session, prompt, n_prompt + n_reply - 1, logits, &error), &error);
        double sum = 0;
        for (size_t i = 0; i < n_reply; i++) sum += nll_of(logits + (n_prompt - 1 + i) * g.info->n_vocabulary, ids[i]);
        mine += sum / n_reply;
        wanted += json_number_value(json_object_get(reply, "mean_nll"));
        eng_session_free(session);
        free(prompt);
        free(ids);
        free(logits);
    }
    assert_true(n_asked > 0);
    print_message("%zu forced replies: mean NLL %.4f, reference %.4f\n", n_asked, mine / n_asked, wanted / n_asked);
    assert_true(fabs(mine - wanted) / n_asked <= (g.packed ? 0.05 : 0.02));
}

/* The greedy reply, nothing bound, as bytes. */
static char *answer(const uint32_t *prompt, size_t n_prompt)
{
    eng_error error = {0};
    eng_session *session;
    const float *logits;
    char *text = calloc(1, REPLY_TOKENS_MAX * 64);
    assert_non_null(text);
    must(eng_session_new(g.runtime, g.sections, g.n_sections, n_prompt + REPLY_TOKENS_MAX, &session, &error), &error);
    must(eng_session_eval(session, prompt, n_prompt, &logits, &error), &error);
    for (size_t i = 0, at = 0; i < REPLY_TOKENS_MAX; i++) {
        uint32_t id = best_of(logits);
        if (eng_token_stops(g.model, id)) break;
        size_t n_bytes;
        const char *bytes = eng_token_bytes(g.model, id, &n_bytes);
        if (at + n_bytes >= REPLY_TOKENS_MAX * 64) break;
        memcpy(text + at, bytes, n_bytes);
        at += n_bytes;
        if (i + 1 < REPLY_TOKENS_MAX) must(eng_session_eval(session, &id, 1, &logits, &error), &error);
    }
    eng_session_free(session);
    return text;
}

static void test_greedy_answers(void **state)
{
    json_t *prompts = json_object_get(g.golden, "prompt_ids"), *answers = json_object_get(g.golden, "answers");
    size_t n = QUESTION_END - QUESTION_FIRST, n_equal = 0;
    assert_true(json_array_size(answers) >= QUESTION_END);
    for (size_t i = QUESTION_FIRST; i < QUESTION_END; i++) {
        size_t n_prompt;
        uint32_t *prompt = ids_of(json_array_get(prompts, i), &n_prompt);
        char *text = answer(prompt, n_prompt);
        if (!strcmp(text, json_string_value(json_array_get(answers, i)))) n_equal++;
        free(text);
        free(prompt);
    }
    print_message("greedy answers: %zu of %zu as the reference's\n", n_equal, n);
    assert_true(n_equal >= n * (g.packed ? 0.7 : 0.8));
}

static int set_up(void **state)
{
    read_sections();
    return 0;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < g.n_sections; i++) {
        free(g.ids[i]);
        free(g.blocks[i]);
        free(g.memory[i]);
    }
    return 0;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int main(int argc, char **argv)
{
    const char *folder = getenv("LECTERN_TEST_DATA");
    eng_error error = {0};
    json_error_t json_error;
    char path[4096];
    if (argc != 2 || !folder) {
        fprintf(stderr, "usage: LECTERN_TEST_DATA=FOLDER golden-engine MODEL\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/golden.json", folder);
    g.golden = json_load_file(path, 0, &json_error);
    /* With 16-bit weights the states are the exact form of keys too: what differs then is rounding alone. */
    eng_model_options exact = {.key_type = KERN_KEY_CODE32, .key_type_set = true};
    const eng_model_options *options = is_folder(argv[1]) ? &exact : NULL;
    if (!g.golden || eng_model_open(argv[1], options, &g.model, &error) != ENG_OK ||
        eng_runtime_new(g.model, NULL, &g.runtime, &error) != ENG_OK) {
        fprintf(stderr, "golden-engine: %s%s\n", error.message, g.golden ? "" : json_error.text);
        return 1;
    }
    g.info = eng_model_get_info(g.model);
    g.packed = strstr(g.info->weight_types, "16") == NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causal_text), cmocka_unit_test(test_key_codes),      cmocka_unit_test(test_values),
        cmocka_unit_test(test_forced_replies), cmocka_unit_test(test_greedy_answers),
    };
    int result = cmocka_run_group_tests_name("golden-engine", tests, set_up, tear_down);
    eng_runtime_free(g.runtime);
    eng_model_close(g.model);
    json_decref(g.golden);
    return result;
}
