/* gguf-members.c: the pairs of a GGUF file of architecture qwen3 as config.json and tokenizer.json.
 *
 * Owns: the names of the keys (source: the GGUF specification and what ggml's converters write for qwen3) and their translation.
 * Does not own: the file (gguf.c), checking what the texts say (config.c, tokenizer-load.c: the same limits as for other models).
 */
#include "members.h"

#include "gguf.h"

#include <stdlib.h>
#include <string.h>

/* Qwen2's pattern, which Qwen3 uses; GGUF files name it and do not hold it. */
static const char qwen2_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+"
                                    "(?!\\S)|\\s+";

enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE }; /* tokenizer.ggml.token_type */

static eng_status no_memory(const eng_gguf *file, eng_error *error)
{
    return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", eng_gguf_path(file));
}

static eng_status dump(const eng_gguf *file, json_t *root, bool good, char **ret_json, eng_error *error)
{
    char *text = good ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (text == NULL) return no_memory(file, error);
    *ret_json = text;
    return ENG_OK;
}

/* --------------------------------------------------------------------------------------------------------------- config */

static eng_status check_architecture(const eng_gguf *file, eng_error *error)
{
    const char *name = "";
    size_t n = 0;
    eng_gguf_get_text(file, "general.architecture", &name, &n);
    if (n == 5 && memcmp(name, "qwen3", 5) == 0) return ENG_OK;
    return eng_fail(error, ENG_UNSUPPORTED, "%s: a model of architecture “%.*s”; only qwen3 runs here", eng_gguf_path(file),
                    (int)(n < 40 ? n : 40), name);
}

/* A number that must be there, under two names at most. */
static eng_status put_number(const eng_gguf *file, json_t *root, const char *name, const char *key, eng_error *error)
{
    uint64_t number;
    if (!eng_gguf_get_number(file, key, &number) || number > INT64_MAX)
        return eng_fail(error, ENG_BAD_FILE, "%s: %s is missing or not a number", eng_gguf_path(file), key);
    return json_object_set_new(root, name, json_integer((json_int_t)number)) == 0 ? ENG_OK : no_memory(file, error);
}

/* "qwen3.rope.scaling.*". Other engines multiply a stated attn_factor by YaRN's own; config.json states the product. */
static eng_status put_scaling(const eng_gguf *file, json_t *root, eng_error *error)
{
    const char *type = "none";
    size_t n = 4;
    double factor = 0, stated = 1;
    uint64_t context = 0;
    eng_gguf_get_text(file, "qwen3.rope.scaling.type", &type, &n);
    if (n == 4 && memcmp(type, "none", 4) == 0) return ENG_OK;
    if (!eng_gguf_get_real(file, "qwen3.rope.scaling.factor", &factor) || !(factor > 0))
        return eng_fail(error, ENG_BAD_FILE, "%s: qwen3.rope.scaling.factor is missing", eng_gguf_path(file));
    json_t *scaling = json_pack("{s:s%, s:f}", "rope_type", type, n, "factor", factor);
    bool good = scaling != NULL && json_object_set(root, "rope_scaling", scaling) == 0;
    if (eng_gguf_get_number(file, "qwen3.rope.scaling.original_context_length", &context) && context <= INT64_MAX)
        good = good && json_object_set_new(scaling, "original_max_position_embeddings", json_integer((json_int_t)context)) == 0;
    if (eng_gguf_get_real(file, "qwen3.rope.scaling.attn_factor", &stated) && stated != 1)
        good = good && json_object_set_new(scaling, "attention_factor", json_real(stated * (factor > 1 ? 0.1 * __builtin_log(factor) + 1 : 1))) == 0;
    json_decref(scaling);
    return good ? ENG_OK : no_memory(file, error);
}

static eng_status put_shape(const eng_gguf *file, json_t *root, eng_error *error)
{
    static const char *const names[][2] = {
        {"num_hidden_layers", "qwen3.block_count"},          {"hidden_size", "qwen3.embedding_length"},
        {"intermediate_size", "qwen3.feed_forward_length"},  {"num_attention_heads", "qwen3.attention.head_count"},
        {"num_key_value_heads", "qwen3.attention.head_count_kv"}, {"head_dim", "qwen3.attention.key_length"},
        {"max_position_embeddings", "qwen3.context_length"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bool has_default = strcmp(names[i][0], "head_dim") == 0 || strcmp(names[i][0], "num_key_value_heads") == 0;
        if (has_default && !eng_gguf_has(file, names[i][1])) continue;
        eng_status status = put_number(file, root, names[i][0], names[i][1], error);
        if (status != ENG_OK) return status;
    }
    uint64_t key_length = 0, value_length = 0;
    if (eng_gguf_get_number(file, "qwen3.attention.key_length", &key_length) &&
        eng_gguf_get_number(file, "qwen3.attention.value_length", &value_length) && key_length != value_length)
        return eng_fail(error, ENG_UNSUPPORTED, "%s: keys of %llu and values of %llu features", eng_gguf_path(file),
                        (unsigned long long)key_length, (unsigned long long)value_length);
    return ENG_OK;
}

eng_status eng_gguf_make_config(const eng_gguf *file, char **ret_json, eng_error *error)
{
    eng_status status = check_architecture(file, error);
    if (status != ENG_OK) return status;
    const eng_tensor *embed = eng_gguf_find(file, "token_embd.weight");
    if (embed == NULL || embed->n_dims != 2) return eng_fail(error, ENG_BAD_FILE, "%s: tensor token_embd.weight is missing", eng_gguf_path(file));
    double theta = 10000, eps = 1e-6;
    eng_gguf_get_real(file, "qwen3.rope.freq_base", &theta);
    eng_gguf_get_real(file, "qwen3.attention.layer_norm_rms_epsilon", &eps);
    json_t *root = json_pack("{s:[s], s:s, s:s, s:I, s:f, s:f, s:b, s:b}", "architectures", "Qwen3ForCausalLM", "model_type", "qwen3",
                             "hidden_act", "silu", "vocab_size", (json_int_t)embed->shape[0], "rope_theta", theta, "rms_norm_eps", eps,
                             "tie_word_embeddings", eng_gguf_find(file, "output.weight") == NULL, "attention_bias",
                             eng_gguf_find(file, "blk.0.attn_q.bias") != NULL);
    if (root == NULL) return no_memory(file, error);
    status = put_shape(file, root, error);
    if (status == ENG_OK) status = put_scaling(file, root, error);
    const char *license;
    size_t n;
    if (status == ENG_OK && eng_gguf_get_text(file, "general.license", &license, &n) && n < 256)
        json_object_set_new(root, "license", json_stringn(license, n)); /* a licence that is not UTF-8 is left out */
    if (status != ENG_OK) {
        json_decref(root);
        return status;
    }
    return dump(file, root, true, ret_json, error);
}

/* ------------------------------------------------------------------------------------------------------------- tokenizer */

typedef struct vocabulary {
    const eng_gguf *file;
    json_t *tokens, *added;
    eng_error *error;
} vocabulary;

static eng_status add_token(vocabulary *v, uint64_t id, const char *text, size_t n_bytes, int32_t type)
{
    if (type == TOKEN_UNUSED) return ENG_OK;
    json_t *content = json_stringn(text, n_bytes);
    if (content == NULL || n_bytes == 0 || memchr(text, 0, n_bytes) != NULL) {
        json_decref(content);
        return eng_fail(v->error, ENG_BAD_FILE, "%s: token %llu is empty or not UTF-8", eng_gguf_path(v->file), (unsigned long long)id);
    }
    bool good = true;
    if (type == TOKEN_CONTROL || type == TOKEN_USER) {
        good = json_array_append_new(v->added, json_pack("{s:I, s:O, s:b}", "id", (json_int_t)id, "content", content, "special",
                                                         type == TOKEN_CONTROL)) == 0;
    } else if (json_object_get(v->tokens, json_string_value(content)) != NULL) {
        json_decref(content);
        return eng_fail(v->error, ENG_BAD_FILE, "%s: token %llu is there twice", eng_gguf_path(v->file), (unsigned long long)id);
    } else {
        good = json_object_set_new(v->tokens, json_string_value(content), json_integer((json_int_t)id)) == 0;
    }
    json_decref(content);
    return good ? ENG_OK : no_memory(v->file, v->error);
}

static eng_status add_tokens(vocabulary *v)
{
    eng_gguf_array texts, types;
    if (!eng_gguf_get_array(v->file, "tokenizer.ggml.tokens", true, &texts) || !eng_gguf_get_array(v->file, "tokenizer.ggml.token_type", false, &types) ||
        texts.n != types.n)
        return eng_fail(v->error, ENG_BAD_FILE, "%s: the tokenizer's tokens or their types are missing, or not as many", eng_gguf_path(v->file));
    eng_status status = ENG_OK;
    for (uint64_t id = 0; id < texts.n && status == ENG_OK; id++) {
        size_t n_bytes;
        const char *text = eng_gguf_next_text(&texts, &n_bytes);
        status = add_token(v, id, text, n_bytes, eng_gguf_next_number(&types));
    }
    return status;
}

static eng_status add_merges(const eng_gguf *file, json_t *merges, eng_error *error)
{
    eng_gguf_array texts;
    if (!eng_gguf_get_array(file, "tokenizer.ggml.merges", true, &texts))
        return eng_fail(error, ENG_BAD_FILE, "%s: the tokenizer's merges are missing", eng_gguf_path(file));
    for (uint64_t i = 0; i < texts.n; i++) {
        size_t n_bytes;
        const char *text = eng_gguf_next_text(&texts, &n_bytes);
        if (json_array_append_new(merges, json_stringn(text, n_bytes)) != 0)
            return eng_fail(error, ENG_BAD_FILE, "%s: merge %llu of the tokenizer is not UTF-8", eng_gguf_path(file), (unsigned long long)i);
    }
    return ENG_OK;
}

static bool text_is(const eng_gguf *file, const char *key, const char *wanted)
{
    const char *text;
    size_t n;
    return eng_gguf_get_text(file, key, &text, &n) && n == strlen(wanted) && memcmp(text, wanted, n) == 0;
}

eng_status eng_gguf_make_tokenizer(const eng_gguf *file, char **ret_json, eng_error *error)
{
    if (!text_is(file, "tokenizer.ggml.model", "gpt2") || !text_is(file, "tokenizer.ggml.pre", "qwen2"))
        return eng_fail(error, ENG_UNSUPPORTED, "%s: its tokenizer is not Qwen's (“gpt2” with “qwen2”)", eng_gguf_path(file));
    vocabulary v = {.file = file, .tokens = json_object(), .added = json_array(), .error = error};
    json_t *merges = json_array(), *root = NULL;
    eng_status status = v.tokens == NULL || v.added == NULL || merges == NULL ? no_memory(file, error) : add_tokens(&v);
    if (status == ENG_OK) status = add_merges(file, merges, error);
    if (status == ENG_OK) {
        root = json_pack("{s:O, s:{s:s}, s:{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b, s:b}]}, s:{s:s, s:O, s:O}}", "added_tokens", v.added,
                         "normalizer", "type", "NFC", "pre_tokenizer", "type", "Sequence", "pretokenizers", "type", "Split", "pattern", "Regex",
                         qwen2_pattern, "behavior", "Isolated", "invert", 0, "type", "ByteLevel", "add_prefix_space", 0, "use_regex", 0, "model",
                         "type", "BPE", "vocab", v.tokens, "merges", merges);
        status = dump(file, root, root != NULL, ret_json, error);
    }
    json_decref(v.tokens);
    json_decref(v.added);
    json_decref(merges);
    return status;
}

eng_status eng_gguf_read_chat(const eng_gguf *file, eng_chat *ret_chat, eng_error *error)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
    eng_chat chat = {0};
    eng_status status = ENG_OK;
    for (size_t i = 0; i < 2 && status == ENG_OK; i++) {
        uint64_t id;
        if (!eng_gguf_get_number(file, keys[i], &id) || id > INT32_MAX) continue;
        json_t *object = json_pack("{s:I}", "eos_token_id", (json_int_t)id);
        status = object == NULL ? no_memory(file, error) : eng_chat_read(&chat, object, eng_gguf_path(file), error);
        json_decref(object);
    }
    const char *text;
    size_t n;
    if (eng_gguf_get_text(file, "tokenizer.chat_template", &text, &n)) eng_chat_read_template(&chat, text, n);
    if (status == ENG_OK) *ret_chat = chat;
    return status;
}
