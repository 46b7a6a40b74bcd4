/* fuzz-tokenizer.c: any bytes as a tokenizer.json, and behind a 0 byte the text that it has to tokenize.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 */
#include "model.h"
#include "tokenizer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char sample[] = "The 12 caf\xc3\xa9s <x> aaa\xff\r\n  \xe6\x97\xa5\xcc\x81 ab";
    const uint8_t *end = memchr(data, 0, size);
    size_t n_json = end ? (size_t)(end - data) : size;
    eng_model model = {0};
    eng_error error = {0};
    if (eng_tokenizer_new((const char *)data, n_json, "tokenizer.json", &model.tokenizer, &error) != ENG_OK) {
        if (error.message[0] == 0 || model.tokenizer) __builtin_trap();
        return 0;
    }
    for (int parse_added = 0; parse_added < 2; parse_added++) {
        eng_tokens tokens = {0};
        const char *text = end ? (const char *)end + 1 : sample;
        size_t n_text = end ? size - n_json - 1 : sizeof sample - 1;
        if (eng_tokenize(&model, text, n_text, parse_added, &tokens, &error) == ENG_OK) {
            for (size_t i = 0; i < tokens.n; i++) {
                size_t n_bytes;
                if (!eng_token_bytes(&model, tokens.ids[i], &n_bytes)) __builtin_trap();
            }
        }
        eng_tokens_clear(&tokens);
    }
    eng_tokenizer_free(model.tokenizer);
    return 0;
}
