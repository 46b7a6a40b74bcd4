/* test-model.c: config.json's limits, a tiny made-up checkpoint opened as a folder, in shards and packed; identities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "model.h"

static char folder[] = "/tmp/lectern-model-XXXXXX";

static const char base_config[] =
    "{\"architectures\":[\"Qwen3ForCausalLM\"],\"vocab_size\":320,\"hidden_size\":64,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
    "\"num_key_value_heads\":2,\"head_dim\":16,\"intermediate_size\":96,\"rope_theta\":10000.0,\"rms_norm_eps\":1e-6,"
    "\"hidden_act\":\"silu\",\"tie_word_embeddings\":true,\"max_position_embeddings\":512,\"license\":\"CC0\"";

static eng_status parse(const char *more, eng_config *ret_config, eng_error *error)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "%s%s}", base_config, more);
    return eng_config_parse(text, (size_t)n, "config.json", ret_config, error);
}

static void config_has_defaults(void **state)
{
    (void)state;
    eng_config c;
    assert_int_equal(parse("", &c, NULL), ENG_OK);
    assert_int_equal(c.section_mode, ENG_SECTIONS_CONTINUOUS);
    assert_int_equal(c.kv_format.k_key, 16);
    assert_int_equal(c.kv_format.value_type, KERN_VALUE_Q8);
    assert_int_equal(c.reply_form, ENG_REPLY_FREE);
    assert_true(fabs(c.rope_inv_freq[1] - pow(10000, -2.0 / 16)) < 1e-15);
    assert_int_equal(parse(",\"sfa\":{\"k_query\":8,\"k_key\":4,\"value_bits\":4,\"value_group\":16},\"sections\":{\"end_position\":256,"
                           "\"reply\":\"quotation_answer\",\"absent\":\"No.\"}",
                           &c, NULL),
                     ENG_OK);
    assert_int_equal(c.kv_format.k_key, 4);
    assert_int_equal(c.kv_format.k_query, 8);
    assert_int_equal(c.kv_format.value_type, KERN_VALUE_Q4);
    assert_int_equal(c.section_mode, ENG_SECTIONS_INDEPENDENT);
    assert_int_equal(c.end_position, 256);
    assert_int_equal(c.reply_form, ENG_REPLY_QUOTATION_ANSWER);
    assert_string_equal(c.absent_reply, "No.");
}

static void config_refuses(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"architectures\":[\"LlamaForCausalLM\"]}",
        "{\"architectures\":[\"Qwen3ForCausalLM\"]}",
    };
    static const char *const more[] = {
        ",\"use_sliding_window\":true",
        ",\"rope_scaling\":{\"rope_type\":\"longrope\"}",
        ",\"attention_bias\":7",
        ",\"sfa\":{\"k_key\":17}",
        ",\"sfa\":{\"k_key\":-1}",
        ",\"sfa\":{\"where\":\"before_rope\"}",
        ",\"sfa\":{\"value_bits\":5}",
        ",\"sfa\":7",
        ",\"sections\":{\"end_position\":100000}",
        ",\"sections\":{}",
        ",\"sections\":{\"end_position\":256,\"reply\":\"song\"}",
        ",\"quantization_config\":{\"bits\":4}",
        ",\"head_dim\":16",
    };
    eng_config c;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_not_equal(eng_config_parse(texts[i], strlen(texts[i]), "config.json", &c, NULL), ENG_OK);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        eng_error error = {0};
        if (parse(more[i], &c, &error) == ENG_OK) fail_msg("“%s” was accepted", more[i]);
        assert_non_null(strstr(error.message, "config.json"));
    }
}

/* Values of transformers' _compute_yarn_parameters for d = 16, theta = 10000, factor 4, context 128. */
static void yarn_bends_low_frequencies_only(void **state)
{
    (void)state;
    eng_config c, plain;
    assert_int_equal(parse("", &plain, NULL), ENG_OK);
    assert_int_equal(parse(",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":128}", &c, NULL),
                     ENG_OK);
    assert_true(c.rope_inv_freq[0] == plain.rope_inv_freq[0]);
    assert_true(fabs(c.rope_inv_freq[7] - plain.rope_inv_freq[7] / 4) < 1e-12);
    assert_true(fabs(c.rope_attention_scale - (0.1 * log(4) + 1)) < 1e-12);
    double between = c.rope_inv_freq[1] / plain.rope_inv_freq[1];
    assert_true(between < 1 && between > 0.25);
}

/* ----------------------------------------------------------------------------------------------------- a tiny checkpoint */

static void write_text(const char *name, const char *text, size_t n)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void write_tokenizer(void)
{
    static char text[65536];
    size_t n = (size_t)sprintf(
        text, "{\"added_tokens\":[{\"id\":256,\"content\":\"<|endoftext|>\"},{\"id\":257,\"content\":\"<|im_start|>\"},"
              "{\"id\":258,\"content\":\"<|im_end|>\"}],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
              "\"use_regex\":false},\"model\":{\"type\":\"BPE\",\"vocab\":{");
    unsigned others = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool printed = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
        n += (size_t)sprintf(text + n, "%s\"\\u%04x\":%u", byte > 0 ? "," : "", printed ? byte : 256 + others++, byte);
    }
    n += (size_t)sprintf(text + n, "},\"merges\":[]}}");
    write_text("tokenizer.json", text, n);
}

typedef struct tensor_writer {
    json_t *header;
    float *data;
    size_t n;
} tensor_writer;

static void add_tensor(tensor_writer *w, const char *name, size_t rows, size_t columns)
{
    size_t count = rows * (columns > 0 ? columns : 1);
    w->data = realloc(w->data, (w->n + count) * sizeof *w->data);
    assert_non_null(w->data);
    for (size_t i = 0; i < count; i++) w->data[w->n + i] = columns == 0 ? 1.0f + (float)(i % 3) : sinf((float)(w->n + i) * 0.7f) * 0.1f;
    json_t *shape = columns == 0 ? json_pack("[I]", (json_int_t)rows) : json_pack("[I,I]", (json_int_t)rows, (json_int_t)columns);
    json_object_set_new(w->header, name,
                        json_pack("{s:s,s:o,s:[I,I]}", "dtype", "F32", "shape", shape, "data_offsets", (json_int_t)(w->n * 4),
                                  (json_int_t)((w->n + count) * 4)));
    w->n += count;
}

static void add_layer(tensor_writer *w, int layer)
{
    static const struct {
        const char *name;
        size_t rows, columns;
    } parts[] = {
        {"self_attn.q_proj.weight", 64, 64}, {"self_attn.k_proj.weight", 32, 64}, {"self_attn.v_proj.weight", 32, 64},
        {"self_attn.o_proj.weight", 64, 64}, {"mlp.gate_proj.weight", 96, 64},    {"mlp.up_proj.weight", 96, 64},
        {"mlp.down_proj.weight", 64, 96},    {"input_layernorm.weight", 64, 0},   {"post_attention_layernorm.weight", 64, 0},
        {"self_attn.q_norm.weight", 16, 0},  {"self_attn.k_norm.weight", 16, 0},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char name[96];
        snprintf(name, sizeof name, "model.layers.%d.%s", layer, parts[i].name);
        add_tensor(w, name, parts[i].rows, parts[i].columns);
    }
}

static void write_tensors(const char *name, tensor_writer *w)
{
    char *header = json_dumps(w->header, JSON_COMPACT), path[256];
    size_t n = strlen(header), padded = (n + 7) / 8 * 8;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (unsigned i = 0; i < 8; i++) fputc((int)(padded >> (8 * i) & 255), file);
    fprintf(file, "%-*s", (int)padded, header);
    assert_int_equal(fwrite(w->data, sizeof *w->data, w->n, file), w->n);
    assert_int_equal(fclose(file), 0);
    free(header);
    free(w->data);
    json_decref(w->header);
    *w = (tensor_writer){0};
}

static int make_checkpoint(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) return 1;
    char config[4096];
    int n = snprintf(config, sizeof config, "%s}", base_config);
    write_text("config.json", config, (size_t)n);
    write_tokenizer();
    tensor_writer w = {.header = json_object()};
    add_tensor(&w, "model.embed_tokens.weight", 320, 64);
    add_tensor(&w, "model.norm.weight", 64, 0);
    add_layer(&w, 0);
    add_layer(&w, 1);
    write_tensors("model.safetensors", &w);
    return 0;
}

static int remove_checkpoint(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "tokenizer.json", "model.safetensors", "packed.safetensors", "memo"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static void compare_weights(const kern_weight *exact, const kern_weight *packed, float tolerance)
{
    assert_int_equal(exact->n_out, packed->n_out);
    assert_int_equal(exact->n_in, packed->n_in);
    assert_int_equal((uintptr_t)packed->data % KERN_ALIGN_BYTES, 0);
    float a[128], b[128];
    for (size_t row = 0; row < exact->n_out; row++) {
        kern_weight_row(exact, row, a);
        kern_weight_row(packed, row, b);
        for (size_t i = 0; i < exact->n_in; i++) assert_true(fabsf(a[i] - b[i]) <= tolerance);
    }
}

static void pack_round_trip(kern_weight_type type, float tolerance)
{
    char to[256];
    eng_error error = {0};
    snprintf(to, sizeof to, "%s/packed.safetensors", folder);
    if (eng_model_pack(folder, to, type, NULL, NULL, NULL, &error) != ENG_OK) fail_msg("%s", error.message);
    eng_model *exact, *packed;
    assert_int_equal(eng_model_open(folder, NULL, &exact, &error), ENG_OK);
    if (eng_model_open(to, NULL, &packed, &error) != ENG_OK) fail_msg("%s", error.message);
    assert_string_equal(eng_model_get_info(packed)->name, "packed");
    assert_string_equal(eng_model_get_info(packed)->weight_types, type == KERN_W_Q8 ? "q8" : "q4");
    assert_int_equal(eng_model_get_info(packed)->n_parameters, eng_model_get_info(exact)->n_parameters);
    assert_memory_equal(&eng_model_get_info(packed)->tokenizer_sha256, &eng_model_get_info(exact)->tokenizer_sha256, 32);
    compare_weights(&exact->embed, &packed->embed, tolerance);
    for (int i = 0; i < 2; i++) {
        compare_weights(&exact->layers[i].down_proj, &packed->layers[i].down_proj, tolerance);
        compare_weights(&exact->layers[i].k_proj, &packed->layers[i].k_proj, tolerance);
        assert_memory_equal(exact->layers[i].q_norm, packed->layers[i].q_norm, 16 * sizeof(float));
        assert_true((packed->layers[i].q_proj.group_sums != NULL) == (type == KERN_W_Q8));
    }
    char reason[ENG_MESSAGE_BYTES];
    eng_identity_difference(eng_model_identity(exact), eng_model_identity(packed), reason, sizeof reason);
    assert_non_null(strstr(reason, "weights: stored with"));
    assert_null(strchr(reason, '\n'));
    eng_identity_difference(eng_model_identity(exact), eng_model_identity(exact), reason, sizeof reason);
    assert_string_equal(reason, "");
    eng_model_close(exact);
    eng_model_close(packed);
}

static void packs_to_8_bits(void **state)
{
    (void)state;
    pack_round_trip(KERN_W_Q8, 0.1f / 254 * 1.01f);
}

static void packs_to_4_bits(void **state)
{
    (void)state;
    pack_round_trip(KERN_W_Q4, 0.1f / 14 * 1.02f);
}

static void options_change_the_identity(void **state)
{
    (void)state;
    eng_model *a, *b;
    eng_model_options options = {.k_key = 8, .value_type = KERN_VALUE_F16, .value_type_set = true};
    assert_int_equal(eng_model_open(folder, NULL, &a, NULL), ENG_OK);
    assert_int_equal(eng_model_open(folder, &options, &b, NULL), ENG_OK);
    char reason[ENG_MESSAGE_BYTES];
    eng_identity_difference(eng_model_identity(a), eng_model_identity(b), reason, sizeof reason);
    assert_string_equal(reason, "key features: stored with 16, now 8\nvalue type: stored with q8, now f16");
    options.k_key = 64;
    eng_model *none = NULL;
    assert_int_equal(eng_model_open(folder, &options, &none, NULL), ENG_LIMIT);
    assert_null(none);
    eng_model_close(a);
    eng_model_close(b);
}

static void memo_is_used_only_for_the_same_file(void **state)
{
    (void)state;
    char memo[256], line[512] = "";
    snprintf(memo, sizeof memo, "%s/memo", folder);
    eng_model_options options = {.digest_memo_path = memo};
    eng_model *first, *second;
    assert_int_equal(eng_model_open(folder, &options, &first, NULL), ENG_OK);
    struct stat st;
    assert_int_equal(stat(memo, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    FILE *file = fopen(memo, "r+");
    assert_non_null(fgets(line, sizeof line, file));
    assert_memory_equal(line + strlen(line) - strlen("/model.safetensors\n"), "/model.safetensors\n", strlen("/model.safetensors\n"));
    rewind(file); /* a memo that lies is believed: it shows that the file was not read */
    fputs("00000000", file);
    fclose(file);
    assert_int_equal(eng_model_open(folder, &options, &second, NULL), ENG_OK);
    assert_int_equal(eng_model_get_info(second)->weights_sha256.bytes[0], 0);
    eng_model_close(second);
    char path[256];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(eng_model_open(folder, &options, &second, NULL), ENG_OK);
    assert_memory_equal(&eng_model_get_info(second)->weights_sha256, &eng_model_get_info(first)->weights_sha256, 32);
    eng_model_close(second);
    eng_model_close(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_has_defaults),
        cmocka_unit_test(config_refuses),
        cmocka_unit_test(yarn_bends_low_frequencies_only),
        cmocka_unit_test(packs_to_8_bits),
        cmocka_unit_test(packs_to_4_bits),
        cmocka_unit_test(options_change_the_identity),
        cmocka_unit_test(memo_is_used_only_for_the_same_file),
    };
    return cmocka_run_group_tests(tests, make_checkpoint, remove_checkpoint);
}
