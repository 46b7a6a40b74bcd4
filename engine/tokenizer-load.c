/* tokenizer-load.c: tokenizer.json to tables.
 *
 * Owns: reading and validating vocabulary, merges, added tokens, normaliser and split pattern.
 * Does not own: their use (tokenizer.c, tokenizer-bpe.c).
 *
 * The file is untrusted: every id is checked, nothing may be named twice, the pattern is compiled under limits. What the engine does
 * not run (another kind of model, normaliser or pre-tokenizer) is refused by name rather than approximated.
 */
#include "tokenizer.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    VALUES_MAX = 8000000,
    PATTERN_BYTES_MAX = 16384,
    PATTERN_NESTING_MAX = 50,
    REWRITTEN_TIMES = 240, /* a pattern of nothing but \p{L} */
};

typedef struct loader {
    eng_tokenizer *t;
    const char *name;
    eng_error *error;
    size_t arena_used, arena_bytes;
} loader;

#define BAD(l, ...) eng_fail((l)->error, ENG_BAD_FILE, __VA_ARGS__)
#define UNSUPPORTED(l, what) eng_fail((l)->error, ENG_UNSUPPORTED, "%s: %s", (l)->name, what)

void eng_tokenizer_free(eng_tokenizer *tokenizer)
{
    if (tokenizer == NULL) return;
    pcre2_code_free(tokenizer->split);
    free(tokenizer->tokens);
    free(tokenizer->arena);
    free(tokenizer->merges);
    free(tokenizer->words);
    free(tokenizer->added);
    free(tokenizer);
}

/* ----------------------------------------------------------------------------------------------------------- vocabulary */

/* ByteLevel writes each byte as a character: printable Latin-1 as itself, the rest from U+0100 on in order. Returns the byte, -1: no
 * such character. */
static int byte_of_character(uint32_t c)
{
    static const uint8_t others_first[][2] = {{0x00, 0x20}, {0x7f, 0xa0}, {0xad, 0xad}};
    if (c < 0x100) return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c != 0xad) ? (int)c : -1;
    c -= 0x100;
    for (size_t i = 0; i < 3; i++) {
        uint32_t count = (uint32_t)others_first[i][1] - others_first[i][0] + 1;
        if (c < count) return (int)(others_first[i][0] + c);
        c -= count;
    }
    return -1;
}

/* Written form -> bytes at `out` (at least n_bytes long). SIZE_MAX: not in ByteLevel's alphabet. */
static size_t decode_written(const char *text, size_t n_bytes, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < n_bytes;) {
        uint8_t lead = (uint8_t)text[i];
        uint32_t c = lead;
        if (lead >= 0xe0) return SIZE_MAX;
        if (lead >= 0x80) c = (uint32_t)(lead & 0x1f) << 6 | ((uint8_t)text[i + 1] & 0x3f);
        int byte = byte_of_character(c);
        if (byte < 0) return SIZE_MAX;
        out[n++] = (char)byte;
        i += lead < 0x80 ? 1 : 2;
    }
    return n;
}

static uint32_t *find_word(const eng_tokenizer *t, const char *bytes, size_t n_bytes)
{
    uint32_t at = (uint32_t)XXH3_64bits(bytes, n_bytes) & t->words_mask;
    while (t->words[at] != ENG_NO_TOKEN) {
        const eng_token *token = &t->tokens[t->words[at]];
        if (token->n_bytes == n_bytes && memcmp(token->bytes, bytes, n_bytes) == 0) break;
        at = (at + 1) & t->words_mask;
    }
    return &t->words[at];
}

uint32_t eng_tokenizer_find(const eng_tokenizer *tokenizer, const char *bytes, size_t n_bytes)
{
    return *find_word(tokenizer, bytes, n_bytes);
}

/* The highest id and the size of all strings, to allocate once. */
static eng_status measure(loader *l, const json_t *vocabulary, const json_t *added)
{
    json_int_t highest = -1;
    size_t bytes = 0, i;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)vocabulary, key, value)
    {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= ENG_TOKEN_IDS_MAX) return BAD(l, "%s: token \"%.40s\" has no valid id", l->name, key);
        if (id > highest) highest = id;
        bytes += strlen(key) + 1;
    }
    json_array_foreach((json_t *)added, i, value)
    {
        json_t *content = json_object_get(value, "content"), *number = json_object_get(value, "id");
        json_int_t id = json_is_integer(number) ? json_integer_value(number) : -1;
        if (id < 0 || id >= ENG_TOKEN_IDS_MAX || !json_is_string(content) || json_string_length(content) == 0)
            return BAD(l, "%s: added token %zu has no valid id and content", l->name, i);
        if (id > highest) highest = id;
        bytes += json_string_length(content) + 1;
    }
    uint32_t n_slots = 16;
    while (n_slots < 2 * (json_object_size(vocabulary) + 1)) n_slots *= 2;
    eng_tokenizer *t = l->t;
    t->n_vocabulary = (uint32_t)(highest + 1);
    t->tokens = calloc(t->n_vocabulary + 1, sizeof *t->tokens);
    t->words = malloc(n_slots * sizeof *t->words);
    t->words_mask = n_slots - 1;
    t->arena = malloc(bytes + 1);
    l->arena_bytes = bytes + 1;
    if (t->tokens == NULL || t->words == NULL || t->arena == NULL) return eng_fail(l->error, ENG_NO_MEMORY, "%s: out of memory", l->name);
    memset(t->words, 0xff, n_slots * sizeof *t->words);
    return ENG_OK;
}

static eng_status add_vocabulary(loader *l, const json_t *vocabulary)
{
    eng_tokenizer *t = l->t;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)vocabulary, key, value)
    {
        uint32_t id = (uint32_t)json_integer_value(value);
        char *bytes = t->arena + l->arena_used;
        size_t n_bytes = decode_written(key, strlen(key), bytes);
        if (n_bytes == SIZE_MAX || n_bytes == 0)
            return eng_fail(l->error, ENG_UNSUPPORTED, "%s: token \"%.40s\" is not written in bytes", l->name, key);
        if (t->tokens[id].bytes != NULL) return BAD(l, "%s: two tokens have the id %u", l->name, id);
        bytes[n_bytes] = '\0';
        l->arena_used += n_bytes + 1;
        t->tokens[id] = (eng_token){.bytes = bytes, .n_bytes = (uint32_t)n_bytes};
        *find_word(t, bytes, n_bytes) = id; /* keys differ and the alphabet is one to one: this slot is empty */
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        t->byte_ids[byte] = eng_tokenizer_find(t, &c, 1);
        if (t->byte_ids[byte] == ENG_NO_TOKEN) return BAD(l, "%s: the vocabulary lacks the byte %u", l->name, byte);
    }
    return ENG_OK;
}

/* --------------------------------------------------------------------------------------------------------- added tokens */

static int compare_added(const void *a, const void *b, void *user)
{
    const eng_token *tokens = user, *x = &tokens[*(const uint32_t *)a], *y = &tokens[*(const uint32_t *)b];
    if (x->bytes[0] != y->bytes[0]) return (uint8_t)x->bytes[0] < (uint8_t)y->bytes[0] ? -1 : 1;
    if (x->n_bytes != y->n_bytes) return x->n_bytes > y->n_bytes ? -1 : 1;
    return memcmp(x->bytes, y->bytes, x->n_bytes);
}

static eng_status add_added(loader *l, const json_t *added)
{
    eng_tokenizer *t = l->t;
    size_t n = json_array_size(added), i;
    if (n > ENG_ADDED_TOKENS_MAX) return BAD(l, "%s: more than %d added tokens", l->name, ENG_ADDED_TOKENS_MAX);
    t->added = malloc((n + 1) * sizeof *t->added);
    if (t->added == NULL) return eng_fail(l->error, ENG_NO_MEMORY, "%s: out of memory", l->name);
    json_t *entry;
    json_array_foreach((json_t *)added, i, entry)
    {
        json_t *content = json_object_get(entry, "content");
        uint32_t id = (uint32_t)json_integer_value(json_object_get(entry, "id"));
        size_t n_bytes = json_string_length(content);
        char *bytes = t->arena + l->arena_used;
        if (json_is_true(json_object_get(entry, "single_word")) || json_is_true(json_object_get(entry, "lstrip")) ||
            json_is_true(json_object_get(entry, "rstrip")))
            return UNSUPPORTED(l, "added tokens with single_word, lstrip or rstrip");
        memcpy(bytes, json_string_value(content), n_bytes + 1);
        eng_token *token = &t->tokens[id];
        uint32_t same = eng_tokenizer_find(t, bytes, n_bytes);
        if (token->added || (token->bytes != NULL && same != id) || (same != ENG_NO_TOKEN && same != id))
            return BAD(l, "%s: the added token \"%.40s\" shares its id or its text with another", l->name, bytes);
        l->arena_used += n_bytes + 1;
        *token = (eng_token){bytes, (uint32_t)n_bytes, true, json_is_true(json_object_get(entry, "special"))};
        t->added[i] = id;
    }
    qsort_r(t->added, n, sizeof *t->added, compare_added, t->tokens);
    for (i = 1; i < n; i++)
        if (compare_added(&t->added[i - 1], &t->added[i], t->tokens) == 0)
            return BAD(l, "%s: the added token \"%.40s\" is there twice", l->name, t->tokens[t->added[i]].bytes);
    i = 0;
    for (unsigned byte = 0; byte < 257; byte++) {
        while (i < n && byte > (uint8_t)t->tokens[t->added[i]].bytes[0]) i++;
        t->added_first[byte] = (uint32_t)i;
    }
    return ENG_OK;
}

static bool is_added(const eng_tokenizer *t, const char *text)
{
    for (uint32_t i = t->added_first[(uint8_t)*text]; i < t->added_first[(uint8_t)*text + 1]; i++)
        if (strcmp(t->tokens[t->added[i]].bytes, text) == 0) return true;
    return false;
}

bool eng_tokenizer_has_thinking(const eng_tokenizer *tokenizer)
{
    return tokenizer->has_thinking;
}

static void find_specials(eng_tokenizer *t)
{
    t->has_thinking = is_added(t, "<think>") && is_added(t, "</think>");
    static const char *const names[3] = {
        [ENG_TOKEN_END] = "<|endoftext|>", [ENG_TOKEN_START] = "<|im_start|>", [ENG_TOKEN_STOP] = "<|im_end|>"};
    for (size_t s = 0; s < 3; s++) {
        t->special_ids[s] = ENG_NO_TOKEN;
        for (uint32_t i = t->added_first['<']; i < t->added_first['<' + 1]; i++)
            if (strcmp(t->tokens[t->added[i]].bytes, names[s]) == 0) t->special_ids[s] = t->added[i];
    }
}

/* --------------------------------------------------------------------------------------------------------------- merges */

/* The two parts of entry i: ["a", "b"] or "a b". */
static bool split_merge(const json_t *entry, const char *ret_part[2], size_t ret_n_bytes[2])
{
    if (json_is_array(entry)) {
        for (size_t i = 0; i < 2; i++) {
            const json_t *part = json_array_get(entry, i);
            if (!json_is_string(part)) return false;
            ret_part[i] = json_string_value(part);
            ret_n_bytes[i] = json_string_length(part);
        }
        return json_array_size(entry) == 2;
    }
    const char *text = json_string_value(entry), *space = text == NULL ? NULL : strchr(text, ' ');
    if (space == NULL || strchr(space + 1, ' ') != NULL) return false;
    ret_part[0] = text;
    ret_n_bytes[0] = (size_t)(space - text);
    ret_part[1] = space + 1;
    ret_n_bytes[1] = strlen(space + 1);
    return true;
}

static void put_merge(eng_tokenizer *t, uint64_t pair, uint32_t rank, uint32_t id)
{
    uint32_t at = (uint32_t)((pair * 0x9e3779b97f4a7c15u) >> 32) & t->merges_mask;
    while (t->merges[at].pair != UINT64_MAX && t->merges[at].pair != pair) at = (at + 1) & t->merges_mask;
    t->merges[at] = (eng_merge){pair, rank, id}; /* the same pair again: the last one counts, as in the reference */
}

static eng_status add_merges(loader *l, const json_t *merges, size_t longest)
{
    eng_tokenizer *t = l->t;
    size_t n = json_array_size(merges), rank;
    uint32_t n_slots = 16;
    if (n > ENG_TOKEN_IDS_MAX) return BAD(l, "%s: more than %d merges", l->name, ENG_TOKEN_IDS_MAX);
    while (n_slots < 2 * (n + 1)) n_slots *= 2;
    t->merges = malloc(n_slots * sizeof *t->merges);
    char *joined = malloc(2 * longest + 1);
    eng_status status = t->merges == NULL || joined == NULL ? eng_fail(l->error, ENG_NO_MEMORY, "%s: out of memory", l->name) : ENG_OK;
    if (status == ENG_OK) memset(t->merges, 0xff, n_slots * sizeof *t->merges);
    t->merges_mask = n_slots - 1;
    json_t *entry;
    for (rank = 0; rank < n && status == ENG_OK; rank++) {
        entry = json_array_get(merges, rank);
        const char *part[2];
        size_t n_bytes[2], n_left, n_right;
        if (!split_merge(entry, part, n_bytes) || n_bytes[0] > longest || n_bytes[1] > longest ||
            (n_left = decode_written(part[0], n_bytes[0], joined)) == SIZE_MAX ||
            (n_right = decode_written(part[1], n_bytes[1], joined + n_left)) == SIZE_MAX) {
            status = BAD(l, "%s: merge %zu is not a pair of tokens", l->name, rank);
            break;
        }
        uint32_t left = eng_tokenizer_find(t, joined, n_left), right = eng_tokenizer_find(t, joined + n_left, n_right);
        uint32_t id = eng_tokenizer_find(t, joined, n_left + n_right);
        if (left == ENG_NO_TOKEN || right == ENG_NO_TOKEN || id == ENG_NO_TOKEN)
            status = BAD(l, "%s: merge %zu is of tokens that the vocabulary lacks", l->name, rank);
        else
            put_merge(t, (uint64_t)left << 32 | right, (uint32_t)rank, id);
    }
    free(joined);
    return status;
}

/* -------------------------------------------------------------------------------------------------------------- pattern */

/* Letters and numbers of Unicode 15, 15.1 and 16, which Debian's PCRE2 (Unicode 14) does not know yet and the reference does. */
static const char late_letters[] =
        "\\x{1c89}-\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{105c0}-\\x{105f3}\\x{10d4a}-\\x{10d65}\\x{10d6f}-\\x{10d85}"
        "\\x{10ec2}-\\x{10ec4}\\x{1123f}-\\x{11240}\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}\\x{113b7}"
        "\\x{113d1}\\x{113d3}\\x{11bc0}-\\x{11be0}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}\\x{1342f}"
        "\\x{13441}-\\x{13446}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}\\x{16d40}-\\x{16d6c}\\x{18cff}\\x{1b132}\\x{1b155}"
        "\\x{1df25}-\\x{1df2a}\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}\\x{2b739}"
        "\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}";
static const char late_numbers[] =
        "\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}\\x{16130}-\\x{16139}"
        "\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}\\x{1e4f0}-\\x{1e4f9}\\x{1e5f1}-\\x{1e5fa}";

/* One escape of the pattern: what it is written out as inside a class; NULL: it stays. PCRE2 counts U+180E as a space, Unicode and the
 * reference do not. */
static const char *rewrite_escape(const char *pattern, size_t n, size_t *ret_length)
{
    static const char spaces[] =
        "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
    *ret_length = 2;
    if (n >= 2 && pattern[1] == 's') return spaces;
    *ret_length = 5;
    if (n >= 5 && memcmp(pattern, "\\p{L}", 5) == 0) return late_letters;
    if (n >= 5 && memcmp(pattern, "\\p{N}", 5) == 0) return late_numbers;
    return NULL;
}

static size_t append(char *out, size_t n_out, const char *text, size_t n)
{
    memcpy(out + n_out, text, n);
    return n_out + n;
}

/* \s, \S, \p{L} and \p{N} written out. `out` has room for REWRITTEN_TIMES times n. */
static size_t rewrite_pattern(const char *pattern, size_t n, char *out)
{
    size_t n_out = 0, length;
    bool in_class = false;
    for (size_t i = 0; i < n; i++) {
        if (pattern[i] == '\\' && i + 1 < n) {
            const char *written = rewrite_escape(pattern + i, n - i, &length);
            if (written != NULL) {
                if (!in_class) out[n_out++] = '[';
                if (length > 2) n_out = append(out, n_out, pattern + i, length);
                n_out = append(out, n_out, written, strlen(written));
                if (!in_class) out[n_out++] = ']';
                i += length - 1;
            } else if (pattern[i + 1] == 'S' && !in_class) {
                written = rewrite_escape("\\s", 2, &length);
                n_out = append(out, n_out, "[^", 2);
                n_out = append(out, n_out, written, strlen(written));
                out[n_out++] = ']';
                i++;
            } else {
                n_out = append(out, n_out, pattern + i, 2);
                i++;
            }
            continue;
        }
        if (pattern[i] == '[') in_class = true;
        if (pattern[i] == ']') in_class = false;
        out[n_out++] = pattern[i];
    }
    return n_out;
}

static eng_status compile_pattern(loader *l, const char *pattern, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > PATTERN_BYTES_MAX) return BAD(l, "%s: the split pattern is empty or too long", l->name);
    char *rewritten = malloc(REWRITTEN_TIMES * n_bytes + 1);
    pcre2_compile_context *limits = pcre2_compile_context_create(NULL);
    eng_status status = ENG_OK;
    if (rewritten == NULL || limits == NULL) {
        status = eng_fail(l->error, ENG_NO_MEMORY, "%s: out of memory", l->name);
    } else {
        int code;
        size_t at, n = rewrite_pattern(pattern, n_bytes, rewritten);
        pcre2_set_parens_nest_limit(limits, PATTERN_NESTING_MAX);
        l->t->split = pcre2_compile((PCRE2_SPTR)rewritten, n, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, limits);
        if (l->t->split == NULL) {
            unsigned char text[120];
            pcre2_get_error_message(code, text, sizeof text);
            status = BAD(l, "%s: the split pattern is not valid: %s", l->name, (char *)text);
        }
    }
    /* Without executable memory (hardened systems) it is interpreted: slower, the same matches. */
    if (l->t->split != NULL) l->t->split_jit = pcre2_jit_compile(l->t->split, PCRE2_JIT_COMPLETE) == 0;
    pcre2_compile_context_free(limits);
    free(rewritten);
    return status;
}

static const char *type_of(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type == NULL ? "" : type;
}

static eng_status add_pre_tokenizer(loader *l, const json_t *root)
{
    const json_t *pre = json_object_get(root, "pre_tokenizer"), *list = json_object_get(pre, "pretokenizers");
    size_t n = strcmp(type_of(pre), "Sequence") == 0 ? json_array_size(list) : 1;
    bool bytes = false;
    for (size_t i = 0; i < n; i++) {
        const json_t *step = strcmp(type_of(pre), "Sequence") == 0 ? json_array_get(list, i) : pre;
        if (strcmp(type_of(step), "ByteLevel") == 0 && i + 1 == n) {
            bytes = true;
            if (json_is_true(json_object_get(step, "add_prefix_space"))) return UNSUPPORTED(l, "\"add_prefix_space\"");
            const json_t *use_regex = json_object_get(step, "use_regex");
            if (use_regex == NULL || json_is_true(use_regex)) return UNSUPPORTED(l, "ByteLevel with its own pattern");
        } else if (strcmp(type_of(step), "Split") == 0 && i == 0) {
            const json_t *pattern = json_object_get(json_object_get(step, "pattern"), "Regex");
            const char *behavior = json_string_value(json_object_get(step, "behavior"));
            if (!json_is_string(pattern) || behavior == NULL || strcmp(behavior, "Isolated") != 0 ||
                json_is_true(json_object_get(step, "invert")))
                return UNSUPPORTED(l, "a Split that is not by a regular expression with \"Isolated\"");
            eng_status status = compile_pattern(l, json_string_value(pattern), json_string_length(pattern));
            if (status != ENG_OK) return status;
        } else {
            return UNSUPPORTED(l, "this pre-tokenizer (Split and ByteLevel are supported)");
        }
    }
    return bytes ? ENG_OK : UNSUPPORTED(l, "a pre-tokenizer without ByteLevel");
}

/* ------------------------------------------------------------------------------------------------------------------ all */

static eng_status check_model(loader *l, const json_t *root, const json_t *model)
{
    const json_t *normalizer = json_object_get(root, "normalizer");
    if (strcmp(type_of(model), "BPE") != 0) return UNSUPPORTED(l, "the tokenizer's model is not BPE");
    if (normalizer != NULL && !json_is_null(normalizer) && strcmp(type_of(normalizer), "NFC") != 0)
        return UNSUPPORTED(l, "this normalizer (NFC is supported)");
    l->t->normalize = strcmp(type_of(normalizer), "NFC") == 0;
    static const char *const absent[] = {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        const json_t *value = json_object_get(model, absent[i]);
        const char *text = json_string_value(value);
        if (value != NULL && !json_is_null(value) && !(text != NULL && text[0] == '\0'))
            return eng_fail(l->error, ENG_UNSUPPORTED, "%s: \"%s\" is not supported", l->name, absent[i]);
    }
    l->t->ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
    if (!json_is_object(json_object_get(model, "vocab")) || !json_is_array(json_object_get(model, "merges")))
        return BAD(l, "%s: vocabulary or merges are missing", l->name);
    return ENG_OK;
}

static eng_status load(loader *l, const json_t *root, size_t n_bytes)
{
    const json_t *model = json_object_get(root, "model"), *added = json_object_get(root, "added_tokens");
    const json_t *vocabulary = json_object_get(model, "vocab");
    if (added != NULL && !json_is_null(added) && !json_is_array(added)) return BAD(l, "%s: \"added_tokens\" is not a list", l->name);
    eng_status status = check_model(l, root, model);
    if (status == ENG_OK) status = measure(l, vocabulary, added);
    if (status == ENG_OK) status = add_vocabulary(l, vocabulary);
    if (status == ENG_OK) status = add_merges(l, json_object_get(model, "merges"), n_bytes);
    if (status == ENG_OK) status = add_added(l, added);
    if (status == ENG_OK) status = add_pre_tokenizer(l, root);
    if (status == ENG_OK) find_specials(l->t);
    return status;
}

eng_status eng_tokenizer_new(const char *json, size_t n_bytes, const char *name, eng_tokenizer **ret_tokenizer, eng_error *error)
{
    json_t *root;
    eng_status status = eng_json_parse(json, n_bytes, VALUES_MAX, name, &root, error);
    if (status != ENG_OK) return status;
    loader l = {.t = calloc(1, sizeof *l.t), .name = name, .error = error};
    status = l.t == NULL ? eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", name) : load(&l, root, n_bytes);
    json_decref(root);
    if (status != ENG_OK) {
        eng_tokenizer_free(l.t);
        return status;
    }
    *ret_tokenizer = l.t;
    return ENG_OK;
}

size_t eng_tokenizer_n_vocabulary(const eng_tokenizer *tokenizer)
{
    return tokenizer->n_vocabulary;
}
