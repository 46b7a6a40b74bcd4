/* test-gguf.c: GGUF files. Blocks of each type mean what an independent implementation says (tests/golden/make-gguf.py); a model runs from
 * them, packed and not; files that lie are refused with the reason, whichever byte of theirs is wrong.
 *
 * argv[1]: see select-tests.h. */
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

#include "blocks.h"
#include "gguf.h"
#include "model.h"
#include "safetensors.h"
#include "select-tests.h"
#include "weights.h"

static char mixed[2048], blocks[2048];
static char path[] = "/tmp/lectern-gguf-XXXXXX";

/* --------------------------------------------------------------------------------------------------------------- blocks */

static void blocks_mean_what_the_format_says(void **state)
{
    (void)state;
    static const eng_dtype types[] = {ENG_DTYPE_Q4_0, ENG_DTYPE_Q8_0, ENG_DTYPE_Q4_K, ENG_DTYPE_Q5_K, ENG_DTYPE_Q6_K};
    eng_safetensors *file;
    eng_error error = {0};
    if (eng_safetensors_open(blocks, &file, &error) != ENG_OK) fail_msg("%s", error.message);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const eng_block_format *format = eng_block_format_of(types[t]);
        char name[32];
        snprintf(name, sizeof name, "%s.values", format->name);
        const eng_tensor *raw = eng_safetensors_find(file, format->name), *values = eng_safetensors_find(file, name);
        assert_true(raw != NULL && values != NULL);
        const float *wanted = (const float *)(const void *)values->data;
        size_t n_out = values->shape[0], n_in = values->shape[1];
        assert_int_equal(raw->n_bytes, n_out * n_in / format->n_values * format->n_bytes);
        eng_tensor tensor = {.dtype = types[t], .n_dims = 2, .shape = {n_out, n_in}, .data = raw->data, .n_bytes = raw->n_bytes};
        float *got = malloc(n_in * sizeof *got);
        for (size_t row = 0; row < n_out; row++) {
            assert_true(eng_blocks_expand(&tensor, row, 1, got));
            for (size_t i = 0; i < n_in; i++)
                if (fabsf(got[i] - wanted[row * n_in + i]) > 1e-6f * fabsf(wanted[row * n_in + i]))
                    fail_msg("%s: value %zu of row %zu is %g, not %g", format->name, i, row, (double)got[i], (double)wanted[row * n_in + i]);
        }
        free(got);
    }
    eng_safetensors_close(file);
}

static void a_scale_that_is_no_number_is_noticed(void **state)
{
    (void)state;
    uint8_t block[34] = {0x00, 0x7e, 1}; /* f16 NaN */
    eng_tensor tensor = {.dtype = ENG_DTYPE_Q8_0, .n_dims = 2, .shape = {1, 32}, .data = block, .n_bytes = sizeof block};
    float values[32];
    assert_false(eng_blocks_expand(&tensor, 0, 1, values));
    block[1] = 0x7c; /* infinity */
    assert_false(eng_blocks_expand(&tensor, 0, 1, values));
    block[1] = 0x3c;
    assert_true(eng_blocks_expand(&tensor, 0, 1, values));
}

/* --------------------------------------------------------------------------------------------------------------- models */

static void pairs_become_settings_and_tokenizer(void **state)
{
    (void)state;
    eng_model *model;
    eng_error error = {0};
    if (eng_model_open(mixed, NULL, &model, &error) != ENG_OK) fail_msg("%s", error.message);
    const eng_model_info *info = eng_model_get_info(model);
    assert_string_equal(info->name, "mixed");
    assert_int_equal(info->n_layers, 2);
    assert_int_equal(info->n_vocabulary, 272);
    assert_int_equal(info->head_dim, 32);
    assert_int_equal(info->n_context, 2048);
    assert_false(info->tied_embeddings);
    assert_int_equal(info->thinking, ENG_THINKING_OPTIONAL);
    assert_string_equal(info->weight_types, "f32, f16, bf16, q8, q4");
    assert_true(eng_token_stops(model, 258));
    eng_tokens tokens = {0};
    assert_int_equal(eng_tokenize(model, "hen<|im_end|>", 13, true, &tokens, NULL), ENG_OK);
    static const uint32_t wanted[] = {'h', 261, 258};
    assert_int_equal(tokens.n, 3);
    assert_memory_equal(tokens.ids, wanted, sizeof wanted);
    eng_tokens_clear(&tokens);
    eng_model_close(model);
}

/* The largest difference of two models' weights relative to the largest weight of each group of 128 columns, over all matrices. */
static double weights_apart(const kern_weight *a, const kern_weight *b)
{
    double worst = 0;
    float x[256], y[256];
    assert_true(a->n_in <= 256 && a->n_in == b->n_in && a->n_out == b->n_out);
    for (size_t row = 0; row < a->n_out; row++) {
        kern_weight_row(a, row, x);
        kern_weight_row(b, row, y);
        for (size_t group = 0; group < a->n_in; group += 128) {
            double most = 0, apart = 0;
            for (size_t i = group; i < a->n_in && i < group + 128; i++) {
                most = fmax(most, fabs((double)x[i]));
                apart = fmax(apart, fabs((double)x[i] - y[i]));
            }
            if (most > 0) worst = fmax(worst, apart / most);
        }
    }
    return worst;
}

static double models_apart(const eng_model *a, const eng_model *b)
{
    double worst = fmax(weights_apart(&a->embed, &b->embed), weights_apart(&a->lm_head, &b->lm_head));
    for (int l = 0; l < 2; l++) {
        const eng_layer *x = &a->layers[l], *y = &b->layers[l];
        const kern_weight *const pairs[][2] = {{&x->q_proj, &y->q_proj}, {&x->k_proj, &y->k_proj},       {&x->v_proj, &y->v_proj},
                                               {&x->o_proj, &y->o_proj}, {&x->gate_proj, &y->gate_proj}, {&x->up_proj, &y->up_proj},
                                               {&x->down_proj, &y->down_proj}};
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) worst = fmax(worst, weights_apart(pairs[i][0], pairs[i][1]));
        assert_memory_equal(x->q_norm, y->q_norm, 32 * sizeof(float));
    }
    return worst;
}

static void blocks_are_requantised_once(void **state)
{
    (void)state;
    eng_model *exact, *opened, *packed;
    eng_error error = {0};
    eng_model_options options = {.expand_blocks = true};
    if (eng_model_open(mixed, &options, &exact, &error) != ENG_OK) fail_msg("%s", error.message);
    if (eng_model_open(mixed, NULL, &opened, &error) != ENG_OK) fail_msg("%s", error.message);
    assert_true(models_apart(exact, opened) <= 0.5 / 127 * 1.001);
    assert_int_equal(opened->layers[1].up_proj.type, KERN_W_Q4); /* Q4_0, value for value */
    assert_true(weights_apart(&exact->layers[1].up_proj, &opened->layers[1].up_proj) == 0);
    if (eng_model_pack(mixed, path, KERN_W_Q8, NULL, NULL, NULL, &error) != ENG_OK) fail_msg("%s", error.message);
    if (eng_model_open(path, NULL, &packed, &error) != ENG_OK) fail_msg("%s", error.message);
    assert_true(models_apart(exact, packed) <= 0.5 / 127 * 1.001);
    assert_int_equal(eng_model_get_info(packed)->thinking, ENG_THINKING_OPTIONAL);
    assert_true(eng_token_stops(packed, 258));
    assert_memory_equal(&eng_model_get_info(packed)->tokenizer_sha256, &eng_model_get_info(opened)->tokenizer_sha256, sizeof(eng_digest));
    eng_model_close(packed);
    if (eng_model_pack(mixed, path, KERN_W_Q4, NULL, NULL, NULL, &error) != ENG_OK) fail_msg("%s", error.message);
    if (eng_model_open(path, NULL, &packed, &error) != ENG_OK) fail_msg("%s", error.message);
    assert_true(models_apart(exact, packed) <= 0.5 / 7 * 1.01);
    assert_true(weights_apart(&exact->layers[1].up_proj, &packed->layers[1].up_proj) == 0);
    eng_model_close(packed);
    eng_model_close(opened);
    eng_model_close(exact);
}

/* -------------------------------------------------------------------------------------------------------------- hostile */

/* A file written piece by piece. */
typedef struct writer {
    uint8_t bytes[4096];
    size_t n;
} writer;

static void put(writer *w, uint64_t value, unsigned n_bytes)
{
    for (unsigned i = 0; i < n_bytes; i++) w->bytes[w->n++] = (uint8_t)(value >> (8 * i));
}

static void put_text(writer *w, const char *text)
{
    put(w, strlen(text), 8);
    memcpy(w->bytes + w->n, text, strlen(text));
    w->n += strlen(text);
}

static void put_head(writer *w, uint64_t version, uint64_t n_tensors, uint64_t n_pairs)
{
    put(w, 0x46554747, 4);
    put(w, version, 4);
    put(w, n_tensors, 8);
    put(w, n_pairs, 8);
}

static void put_tensor(writer *w, const char *name, uint32_t n_dims, const uint64_t *sizes, uint32_t type, uint64_t offset)
{
    put_text(w, name);
    put(w, n_dims, 4);
    for (uint32_t i = 0; i < n_dims; i++) put(w, sizes[i], 8);
    put(w, type, 4);
    put(w, offset, 8);
}

/* One tensor after no pairs, then n_data bytes of data. */
static void one_tensor(writer *w, uint32_t n_dims, const uint64_t *sizes, uint32_t type, uint64_t offset, size_t n_data)
{
    put_head(w, 3, 1, 0);
    put_tensor(w, "a", n_dims, sizes, type, offset);
    w->n = (w->n + 31) / 32 * 32 + n_data;
}

static void two_tensors(writer *w, const char *first, const char *second, uint64_t size, uint64_t offset)
{
    put_head(w, 3, 2, 0);
    put_tensor(w, first, 1, &size, 0, 0);
    put_tensor(w, second, 1, &size, 0, offset);
    w->n = (w->n + 31) / 32 * 32 + 256;
}

static void honest(writer *w) { two_tensors(w, "a", "b", 8, 32); }
static void bad_magic(writer *w) { put_head(w, 3, 0, 0); w->bytes[0] = 'X'; }
static void too_short(writer *w) { put_head(w, 3, 0, 0); w->n = 20; }
static void version_1(writer *w) { put_head(w, 1, 0, 0); }
static void big_endian(writer *w) { put_head(w, 0x03000000, 0, 0); }
/* CVE-2024-21802: more dimensions than there is room for. */
static void many_dimensions(writer *w) { uint64_t s[5] = {1, 1, 1, 1, 1}; one_tensor(w, 5, s, 0, 0, 32); }
static void no_dimensions(writer *w) { one_tensor(w, 0, NULL, 0, 0, 32); }
/* CVE-2024-21825: an array's count times the size of an element wraps. */
static void array_wraps(writer *w)
{
    put_head(w, 3, 0, 1);
    put_text(w, "key");
    put(w, 9, 4);
    put(w, 8, 4);
    put(w, UINT64_C(1) << 60, 8);
    put(w, 0, 8);
}
static void number_array_wraps(writer *w)
{
    put_head(w, 3, 0, 1);
    put_text(w, "key");
    put(w, 9, 4);
    put(w, 10, 4);
    put(w, (UINT64_C(1) << 61) + 1, 8);
    put(w, 0, 8);
}
/* CVE-2024-21836: tensors; CVE-2024-23605: pairs; counts whose tables would wrap. */
static void tensors_wrap(writer *w) { put_head(w, 3, UINT64_C(1) << 61, 0); put(w, 0, 8); }
static void pairs_wrap(writer *w) { put_head(w, 3, 0, (UINT64_C(1) << 60) + 1); put(w, 0, 8); }
static void more_than_fit(writer *w) { put_head(w, 3, 1000, 1000); put(w, 0, 8); }
/* CVE-2024-23496: a text whose length plus its end wraps. */
static void text_wraps(writer *w)
{
    put_head(w, 3, 0, 1);
    put(w, UINT64_MAX, 8);
    put(w, 0, 8);
}
/* CVE-2025-49847: a token longer than a 32-bit length. */
static void long_token(writer *w)
{
    put_head(w, 3, 0, 1);
    put_text(w, "tokenizer.ggml.tokens");
    put(w, 9, 4);
    put(w, 8, 4);
    put(w, 1, 8);
    put(w, UINT64_C(0x80000001), 8);
}
/* CVE-2025-53630: sizes of several tensors that wrap when they are summed; CVE-2026-27940: the same, where each by itself passes. */
static void sum_wraps(writer *w)
{
    put_head(w, 3, 2, 0);
    uint64_t size = UINT64_C(1) << 62;
    put_tensor(w, "a", 1, &size, 30, 0);
    put_tensor(w, "b", 1, &size, 30, 32);
    w->n = (w->n + 31) / 32 * 32 + 64;
}
static void sum_passes(writer *w)
{
    put_head(w, 3, 2, 0);
    uint64_t size = (UINT64_C(1) << 60) - 8;
    put_tensor(w, "a", 1, &size, 0, 32);
    put_tensor(w, "b", 1, &size, 0, 0);
    w->n = (w->n + 31) / 32 * 32 + 64;
}
/* CVE-2026-33298: sizes whose product in bytes wraps to a small one. */
static void product_wraps(writer *w) { uint64_t s[3] = {UINT64_C(1) << 32, UINT64_C(1) << 32, 4}; one_tensor(w, 3, s, 0, 0, 64); }
static void bytes_wrap(writer *w) { uint64_t s[1] = {(UINT64_C(1) << 62) + 1}; one_tensor(w, 1, s, 0, 0, 64); }
static void blocks_wrap(writer *w) { uint64_t s[2] = {UINT64_C(1) << 40, UINT64_C(1) << 22}; one_tensor(w, 2, s, 14, 0, 64); }
static void negative_size(writer *w) { uint64_t s[1] = {UINT64_MAX}; one_tensor(w, 1, s, 0, 0, 64); }
static void zero_size(writer *w) { uint64_t s[2] = {0, 5}; one_tensor(w, 2, s, 0, 0, 64); }
static void partial_block(writer *w) { uint64_t s[1] = {33}; one_tensor(w, 1, s, 8, 0, 64); }
static void unknown_type(writer *w) { uint64_t s[1] = {32}; one_tensor(w, 1, s, 4, 0, 64); }
static void huge_type(writer *w) { uint64_t s[1] = {32}; one_tensor(w, 1, s, UINT32_MAX, 0, 64); }
static void beyond_the_end(writer *w) { uint64_t s[1] = {32}; one_tensor(w, 1, s, 0, 0, 64); }
static void offset_wraps(writer *w) { uint64_t s[1] = {8}; one_tensor(w, 1, s, 0, UINT64_MAX - 31, 64); }
static void crooked_offset(writer *w) { uint64_t s[1] = {8}; one_tensor(w, 1, s, 0, 4, 64); }
static void overlapping(writer *w) { two_tensors(w, "a", "b", 16, 32); }
static void same_name(writer *w) { two_tensors(w, "a", "a", 8, 32); }
static void same_key(writer *w)
{
    put_head(w, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_text(w, "key");
        put(w, 0, 4);
        put(w, 1, 1);
    }
}
static void alignment(writer *w, uint32_t type, uint64_t value, unsigned n_bytes)
{
    put_head(w, 3, 0, 1);
    put_text(w, "general.alignment");
    put(w, type, 4);
    put(w, value, n_bytes);
}
static void alignment_0(writer *w) { alignment(w, 4, 0, 4); }
static void alignment_3(writer *w) { alignment(w, 4, 24, 4); }
static void alignment_huge(writer *w) { alignment(w, 10, UINT64_C(1) << 63, 8); }
static void alignment_text(writer *w) { alignment(w, 8, 0, 8); }
static void value_type(writer *w)
{
    put_head(w, 3, 0, 1);
    put_text(w, "key");
    put(w, 13, 4);
    put(w, 0, 8);
}
static void array_of_arrays(writer *w)
{
    put_head(w, 3, 0, 1);
    put_text(w, "key");
    put(w, 9, 4);
    put(w, 9, 4);
    put(w, 1, 8);
    put(w, 0, 8);
}
static void no_truth(writer *w)
{
    put_head(w, 3, 0, 1);
    put_text(w, "key");
    put(w, 7, 4);
    put(w, 2, 1);
}
static void key_with_zero(writer *w)
{
    put_head(w, 3, 0, 1);
    put(w, 3, 8);
    put(w, 0x006161, 3);
    put(w, 0, 4);
    put(w, 0, 1);
}
static void name_too_long(writer *w)
{
    put_head(w, 3, 1, 0);
    char name[66];
    memset(name, 'n', 65);
    name[65] = '\0';
    uint64_t size = 8;
    put_tensor(w, name, 1, &size, 0, 0);
    w->n += 128;
}

static const struct {
    void (*make)(writer *w);
    const char *reason; /* NULL: opens */
} cases[] = {
    {honest, NULL}, {bad_magic, "not a GGUF file"}, {too_short, "not a GGUF file"}, {version_1, "version 1"}, {big_endian, "big-endian"},
    {many_dimensions, "5 dimensions"}, {no_dimensions, "0 dimensions"}, {array_wraps, "ends within"}, {number_array_wraps, "ends within"},
    {tensors_wrap, "more than it can hold"}, {pairs_wrap, "more than it can hold"}, {more_than_fit, "more than it can hold"},
    {text_wraps, "ends within"}, {long_token, "ends within"}, {sum_wraps, "outside the file"}, {sum_passes, "outside the file"},
    {product_wraps, "overflow"}, {bytes_wrap, "overflow"}, {blocks_wrap, "outside the file"}, {negative_size, "overflow"}, {zero_size, "a size is 0"},
    {partial_block, "whole number of blocks"}, {unknown_type, "not supported"}, {huge_type, "not supported"}, {beyond_the_end, "outside the file"},
    {offset_wraps, "outside the file"}, {crooked_offset, "multiple of 32"}, {overlapping, "overlaps"}, {same_name, "twice"}, {same_key, "twice"},
    {alignment_0, "general.alignment"}, {alignment_3, "general.alignment"}, {alignment_huge, "general.alignment"}, {alignment_text, "general.alignment"},
    {value_type, "unknown type"}, {array_of_arrays, "unknown type"}, {no_truth, "neither true nor false"}, {key_with_zero, "not a text"},
    {name_too_long, "too long"},
};

static void write_bytes(const uint8_t *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void promise_19_hostile_files_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        writer w = {.n = 0};
        eng_error error = {0};
        eng_gguf *file = NULL;
        cases[i].make(&w);
        write_bytes(w.bytes, w.n);
        eng_status status = eng_gguf_open(path, &file, &error);
        if (cases[i].reason == NULL) {
            if (status != ENG_OK) fail_msg("%s", error.message);
            eng_gguf_close(file);
            continue;
        }
        if (status == ENG_OK || strstr(error.message, cases[i].reason) == NULL || strstr(error.message, path) == NULL)
            fail_msg("case %zu: “%s” instead of “%s”", i, error.message, cases[i].reason);
        assert_null(file);
    }
}

static uint8_t *read_mixed(size_t *ret_n)
{
    FILE *file = fopen(mixed, "rb");
    assert_non_null(file);
    uint8_t *bytes = malloc(1 << 20);
    *ret_n = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

/* Opening a model from damaged bytes: any outcome but a crash, and a refusal says why. */
static size_t open_damaged(const uint8_t *bytes, size_t n)
{
    eng_model *model = NULL;
    eng_error error = {0};
    write_bytes(bytes, n);
    if (eng_model_open(path, NULL, &model, &error) != ENG_OK) {
        assert_null(model);
        assert_true(error.message[0] != '\0');
        return 1;
    }
    eng_model_close(model);
    return 0;
}

static void promise_19_damaged_models_are_refused_or_open(void **state)
{
    (void)state;
    size_t n, n_refused = 0, n_tried = 0;
    uint8_t *bytes = read_mixed(&n);
    for (size_t i = 0; i < 40; i++, n_tried++) n_refused += open_damaged(bytes, n * i / 40); /* cut anywhere: never complete */
    assert_int_equal(n_refused, n_tried);
    uint32_t random = 12345;
    for (size_t i = 0; i < 400; i++) { /* bytes of the pairs and the table of tensors, in the first 10 kB */
        random = random * 1664525 + 1013904223;
        size_t at = random >> 8;
        at %= 10000;
        uint8_t kept = bytes[at];
        bytes[at] ^= (uint8_t)(1 << (random & 7));
        n_refused += open_damaged(bytes, n);
        bytes[at] = kept;
    }
    assert_true(n_refused > n_tried + 50);
    assert_int_equal(open_damaged(bytes, n), 0);
    free(bytes);
}

/* Finds a text in the pairs and overwrites it with another of the same length. */
static void replace(uint8_t *bytes, size_t n, const char *text, const char *other)
{
    uint8_t *found = memmem(bytes, n, text, strlen(text));
    assert_non_null(found);
    assert_int_equal(strlen(text), strlen(other));
    memcpy(found, other, strlen(other));
}

static void promise_19_models_that_are_not_what_they_claim(void **state)
{
    (void)state;
    static const struct {
        const char *text, *other, *reason;
    } lies[] = {
        {"general.architecture\x08", "general.architecturX\x08", "architecture"},
        {"qwen2", "qwen9", "not Qwen's"},
        {"qwen3.block_count", "qwen3.block_counX", "qwen3.block_count"},
        {"qwen3.embedding_length", "qwen3.embedding_lengtX", "qwen3.embedding_length"},
        {"tokenizer.ggml.merges", "tokenizer.ggml.merXes", "merges"},
        {"tokenizer.ggml.token_type", "tokenizer.ggml.token_typX", "types"}, /* CVE-2025-52566's kind: counts of tokens that differ */
        {"<|im_start|>", "<|im_\xff\xfe" "art|>", "not UTF-8"},
        {"blk.1.ffn_gate.weight", "blk.1.ffn_gatX.weight", "mlp.gate_proj.weight is missing"},
        {"<|im_end|>", "<|im_enX|>", "lacks"},
        {"e n", "e q", "merge 0"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        size_t n;
        uint8_t *bytes = read_mixed(&n);
        replace(bytes, n, lies[i].text, lies[i].other);
        write_bytes(bytes, n);
        eng_model *model = NULL;
        eng_error error = {0};
        if (eng_model_open(path, NULL, &model, &error) == ENG_OK || strstr(error.message, lies[i].reason) == NULL)
            fail_msg("“%s”: “%s” instead of “%s”", lies[i].other, error.message, lies[i].reason);
        free(bytes);
    }
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? 1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(int argc, char **argv)
{
    const char *data = getenv("LECTERN_TEST_DATA");
    if (data == NULL) return 2;
    snprintf(mixed, sizeof mixed, "%s/qwen3/mixed.gguf", data);
    snprintf(blocks, sizeof blocks, "%s/qwen3/blocks.safetensors", data);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_mean_what_the_format_says),
        cmocka_unit_test(a_scale_that_is_no_number_is_noticed),
        cmocka_unit_test(pairs_become_settings_and_tokenizer),
        cmocka_unit_test(blocks_are_requantised_once),
        cmocka_unit_test(promise_19_hostile_files_are_refused),
        cmocka_unit_test(promise_19_damaged_models_are_refused_or_open),
        cmocka_unit_test(promise_19_models_that_are_not_what_they_claim),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, make_file, remove_file);
}
