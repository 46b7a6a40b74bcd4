/* test-gguf-types.c: whole checkpoints in one type of GGUF each, and in the mixes of Q4_K_M and Q5_K_M, give the logits of the values that
 * an independent implementation finds in their bytes (tests/golden/make-gguf.py). The bytes are random: any blocks are valid, and both sides
 * make them by the same generator, so that only logits are kept. */
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

enum { HIDDEN = 256, LAYERS = 2, HEADS = 2, D = 128, FFN = 256, VOCABULARY = 272, ALIGN = 32 };

typedef struct kind {
    const char *name;
    uint32_t type; /* ggml's number */
    size_t n_values, n_bytes;
    struct {
        int at, exponent; /* at -1: none */
    } scales[2];
} kind;

enum { F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K };
static const kind kinds[] = {
    {"F32", 0, 1, 4, {{-1, 0}, {-1, 0}}},     {"F16", 1, 1, 2, {{-1, 0}, {-1, 0}}},    {"BF16", 30, 1, 2, {{-1, 0}, {-1, 0}}},
    {"Q8_0", 8, 32, 34, {{0, 4}, {-1, 0}}},   {"Q4_0", 2, 32, 18, {{0, 8}, {-1, 0}}},  {"Q4_K", 12, 256, 144, {{0, 3}, {2, 6}}},
    {"Q5_K", 13, 256, 176, {{0, 2}, {2, 6}}}, {"Q6_K", 14, 256, 210, {{208, 1}, {-1, 0}}},
};

static const struct {
    const char *name;
    int most, some;
} mixes[] = {{"F32", F32, F32},    {"F16", F16, F16},    {"BF16", BF16, BF16}, {"Q8_0", Q8_0, Q8_0},      {"Q4_0", Q4_0, Q4_0},
             {"Q4_K", Q4_K, Q4_K}, {"Q5_K", Q5_K, Q5_K}, {"Q6_K", Q6_K, Q6_K}, {"Q4_K_M", Q4_K, Q6_K}, {"Q5_K_M", Q5_K, Q6_K}};

static char expected_path[2048], path[] = "/tmp/lectern-types-XXXXXX";

/* ------------------------------------------------------------------------------------------------------------ the file */

typedef struct writer {
    uint8_t *bytes;
    size_t n, capacity;
} writer;

static void put_bytes(writer *w, const void *bytes, size_t n)
{
    if (w->n + n > w->capacity) {
        w->capacity = (w->n + n) * 2;
        w->bytes = realloc(w->bytes, w->capacity);
        assert_non_null(w->bytes);
    }
    memcpy(w->bytes + w->n, bytes, n);
    w->n += n;
}

static void put(writer *w, uint64_t value, unsigned n_bytes)
{
    for (unsigned i = 0; i < n_bytes; i++) put_bytes(w, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static void put_text(writer *w, const char *text)
{
    put(w, strlen(text), 8);
    put_bytes(w, text, strlen(text));
}

static void put_number(writer *w, const char *key, uint32_t value)
{
    put_text(w, key);
    put(w, 4, 4);
    put(w, value, 4);
}

static void put_real(writer *w, const char *key, float value)
{
    put_text(w, key);
    put(w, 6, 4);
    put_bytes(w, &value, 4);
}

static void put_string(writer *w, const char *key, const char *value)
{
    put_text(w, key);
    put(w, 8, 4);
    put_text(w, value);
}

/* A tokenizer of bytes, as GPT-2 writes them. */
static void put_tokenizer(writer *w)
{
    static const char *const added[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    put_text(w, "tokenizer.ggml.tokens");
    put(w, 9, 4);
    put(w, 8, 4);
    put(w, VOCABULARY, 8);
    for (unsigned i = 0, n_others = 0; i < VOCABULARY; i++) {
        char text[32];
        unsigned code = (i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i != 0xad) ? i : 256 + n_others++;
        if (i < 256 && code < 128) snprintf(text, sizeof text, "%c", (char)code);
        else if (i < 256) snprintf(text, sizeof text, "%c%c", (char)(0xc0 | code >> 6), (char)(0x80 | (code & 63)));
        else if (i < 259) snprintf(text, sizeof text, "%s", added[i - 256]);
        else if (i == 259) snprintf(text, sizeof text, "en");
        else snprintf(text, sizeof text, "[PAD%u]", i);
        put_text(w, text);
    }
    put_text(w, "tokenizer.ggml.token_type");
    put(w, 9, 4);
    put(w, 5, 4);
    put(w, VOCABULARY, 8);
    for (unsigned i = 0; i < VOCABULARY; i++) put(w, i < 256 || i == 259 ? 1 : i < 259 ? 3 : 5, 4);
    put_text(w, "tokenizer.ggml.merges");
    put(w, 9, 4);
    put(w, 8, 4);
    put(w, 1, 8);
    put_text(w, "e n");
}

static uint64_t next_word(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* make-gguf.py's random_tensor: random bytes, made finite and of a fitting size. */
static void put_tensor_data(writer *w, const kind *k, size_t n, bool is_vector, uint64_t seed)
{
    size_t n_bytes = n / k->n_values * k->n_bytes, start = w->n;
    for (size_t i = 0; i < n_bytes; i += 8) put(w, next_word(&seed), n_bytes - i < 8 ? (unsigned)(n_bytes - i) : 8);
    uint8_t *bytes = w->bytes + start;
    for (size_t i = 0; i < n / k->n_values; i++) {
        uint8_t *block = bytes + i * k->n_bytes;
        uint32_t word = 0;
        memcpy(&word, block, k->n_bytes < 4 ? k->n_bytes : 4);
        if (k == &kinds[F32]) {
            float u = (float)(word >> 8) * 0x1p-24f, value = is_vector ? 0.75f + u * 0.5f : (u - 0.5f) * 0.25f;
            memcpy(block, &value, 4);
        } else if (k->n_values == 1) {
            uint16_t value = (uint16_t)(k == &kinds[F16] ? (word & 0x8fff) | 0x2000 : (word & 0x81ff) | 0x3c00);
            memcpy(block, &value, 2);
        }
        for (int s = 0; s < 2 && k->scales[s].at >= 0; s++)
            block[k->scales[s].at + 1] = (uint8_t)((block[k->scales[s].at + 1] & 3) | k->scales[s].exponent << 2);
    }
    while (w->n % ALIGN != 0) put(w, 0, 1);
}

typedef struct tensor {
    char name[64];
    size_t n_out, n_in; /* n_in 0: a vector */
    const kind *kind;
} tensor;

/* In the order of the reference's weights, which numbers the seeds. */
static size_t list_tensors(tensor *ret, const kind *most, const kind *some)
{
    static const struct {
        const char *name;
        size_t n_out, n_in;
    } layer[] = {{"attn_norm", HIDDEN, 0},        {"attn_q", HEADS * D, HIDDEN}, {"attn_k", D, HIDDEN},    {"attn_v", D, HIDDEN},
                 {"attn_output", HIDDEN, HEADS * D}, {"attn_q_norm", D, 0},         {"attn_k_norm", D, 0},    {"ffn_norm", HIDDEN, 0},
                 {"ffn_gate", FFN, HIDDEN},       {"ffn_up", FFN, HIDDEN},       {"ffn_down", HIDDEN, FFN}};
    size_t n = 0;
    ret[n++] = (tensor){.name = "token_embd.weight", .n_out = VOCABULARY, .n_in = HIDDEN, .kind = some};
    for (int l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            bool is_some = l == 0 && (strcmp(layer[i].name, "attn_v") == 0 || strcmp(layer[i].name, "ffn_down") == 0);
            ret[n] = (tensor){.n_out = layer[i].n_out, .n_in = layer[i].n_in, .kind = layer[i].n_in == 0 ? &kinds[F32] : is_some ? some : most};
            snprintf(ret[n++].name, sizeof ret->name, "blk.%d.%s.weight", l, layer[i].name);
        }
    ret[n++] = (tensor){.name = "output_norm.weight", .n_out = HIDDEN, .kind = &kinds[F32]};
    return n;
}

static void write_model(const kind *most, const kind *some)
{
    tensor tensors[64];
    size_t n = list_tensors(tensors, most, some);
    writer w = {0}, data = {0};
    put_bytes(&w, "GGUF", 4);
    put(&w, 3, 4);
    put(&w, n, 8);
    put(&w, 17, 8);
    put_string(&w, "general.architecture", "qwen3");
    put_number(&w, "qwen3.block_count", LAYERS);
    put_number(&w, "qwen3.context_length", 512);
    put_number(&w, "qwen3.embedding_length", HIDDEN);
    put_number(&w, "qwen3.feed_forward_length", FFN);
    put_number(&w, "qwen3.attention.head_count", HEADS);
    put_number(&w, "qwen3.attention.head_count_kv", 1);
    put_number(&w, "qwen3.attention.key_length", D);
    put_number(&w, "qwen3.attention.value_length", D);
    put_real(&w, "qwen3.rope.freq_base", 10000);
    put_real(&w, "qwen3.attention.layer_norm_rms_epsilon", 1e-6f);
    put_string(&w, "tokenizer.ggml.model", "gpt2");
    put_string(&w, "tokenizer.ggml.pre", "qwen2");
    put_number(&w, "tokenizer.ggml.eos_token_id", 258);
    put_tokenizer(&w);
    for (size_t i = 0; i < n; i++) {
        const tensor *t = &tensors[i];
        put_text(&w, t->name);
        put(&w, t->n_in == 0 ? 1 : 2, 4);
        if (t->n_in != 0) put(&w, t->n_in, 8);
        put(&w, t->n_out, 8);
        put(&w, t->kind->type, 4);
        put(&w, data.n, 8);
        put_tensor_data(&data, t->kind, t->n_out * (t->n_in == 0 ? 1 : t->n_in), t->n_in == 0, 1000 + i);
    }
    while (w.n % ALIGN != 0) put(&w, 0, 1);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(w.bytes, 1, w.n, file), w.n);
    assert_int_equal(fwrite(data.bytes, 1, data.n, file), data.n);
    assert_int_equal(fclose(file), 0);
    free(w.bytes);
    free(data.bytes);
}

/* ------------------------------------------------------------------------------------------------------------- logits */

/* The largest difference relative to the largest logit, and the root of the mean square likewise. */
static void compare(const eng_model_options *options, const eng_safetensors *expected, const char *name, double *ret_worst, double *ret_rms)
{
    const eng_tensor *ids = eng_safetensors_find(expected, "ids"), *rows = eng_safetensors_find(expected, "rows"), *logits = eng_safetensors_find(expected, name);
    assert_true(ids != NULL && rows != NULL && logits != NULL);
    uint32_t n = (uint32_t)ids->shape[0];
    eng_model *model;
    eng_runtime *runtime;
    eng_error error = {0};
    if (eng_model_open(path, options, &model, &error) != ENG_OK) fail_msg("%s: %s", name, error.message);
    const eng_model_info *info = eng_model_get_info(model);
    assert_int_equal(eng_runtime_new(model, &(eng_runtime_options){.gpu = ENG_GPU_NEVER}, &runtime, &error), ENG_OK);
    void *blocks[LAYERS];
    size_t n_bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, eng_section_capacity(n)).total_bytes;
    for (int l = 0; l < LAYERS; l++) blocks[l] = memset(aligned_alloc(KERN_ALIGN_BYTES, n_bytes), 0, n_bytes);
    float *got = malloc((size_t)n * VOCABULARY * sizeof *got);
    eng_read_job job = {.ids = (const uint32_t *)(const void *)ids->data, .n_tokens = n, .blocks = blocks, .ret_logits = got};
    if (eng_read(runtime, &job, 1, &error) != ENG_OK) fail_msg("%s: %s", name, error.message);
    const float *wanted = (const float *)(const void *)logits->data;
    const int32_t *row = (const int32_t *)(const void *)rows->data;
    double worst = 0, largest = 0, square = 0, size = 0;
    for (size_t r = 0; r < rows->shape[0]; r++)
        for (size_t i = 0; i < VOCABULARY; i++) {
            double x = (double)wanted[r * VOCABULARY + i], apart = fabs(x - (double)got[(size_t)row[r] * VOCABULARY + i]);
            worst = apart <= worst ? worst : apart; /* NaN stays */
            largest = fmax(largest, fabs(x));
            square += apart * apart;
            size += x * x;
        }
    *ret_worst = worst / largest;
    *ret_rms = sqrt(square / size);
    for (int l = 0; l < LAYERS; l++) free(blocks[l]);
    free(got);
    eng_runtime_free(runtime);
    eng_model_close(model);
}

static void logits_are_those_of_the_values(void **state)
{
    (void)state;
    eng_safetensors *expected;
    eng_error error = {0};
    if (eng_safetensors_open(expected_path, &expected, &error) != ENG_OK) fail_msg("%s", error.message);
    eng_model_options exact = {.key_type = KERN_KEY_CODE32, .key_type_set = true, .value_type = KERN_VALUE_F32, .value_type_set = true,
                               .expand_blocks = true}, as_run = exact;
    as_run.expand_blocks = false;
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++) {
        double worst, rms, run_worst, run_rms;
        write_model(&kinds[mixes[i].most], &kinds[mixes[i].some]);
        compare(&exact, expected, mixes[i].name, &worst, &rms);
        compare(&as_run, expected, mixes[i].name, &run_worst, &run_rms);
        printf("%-6s value for value %.1e of the largest logit; as it runs, in 8 bits: rms %.1e\n", mixes[i].name, worst, run_rms);
        if (!(worst < 1e-5)) fail_msg("%s: differs by %g of the largest logit", mixes[i].name, worst);
        if (!(run_rms < 0.08)) fail_msg("%s: in 8 bits it differs by %g", mixes[i].name, run_rms);
    }
    eng_safetensors_close(expected);
}

int main(void)
{
    const char *data = getenv("LECTERN_TEST_DATA");
    int fd = mkstemp(path);
    if (data == NULL || fd < 0) return 2;
    close(fd);
    snprintf(expected_path, sizeof expected_path, "%s/qwen3/types-expected.safetensors", data);
    const struct CMUnitTest tests[] = {cmocka_unit_test(logits_are_those_of_the_values)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
