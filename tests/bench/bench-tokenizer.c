/* bench-tokenizer.c: speed of the tokenizer, and its ids for comparison with another implementation.
 *
 *   bench-tokenizer TOKENIZER.json TEXT [IDS]
 *
 * TEXT is a file of UTF-8, taken in pieces of at most 64 kB that end at line breaks, as documents are; added tokens in it are single tokens, as
 * other implementations take them. IDS (if given) receives each piece's count and ids as u32. Needs no weights.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "model.h"

enum { PIECE_BYTES = 65536, ROUNDS = 3 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static size_t piece_bytes(const char *text, size_t n)
{
    if (n <= PIECE_BYTES) return n;
    const char *end = memrchr(text, '\n', PIECE_BYTES);
    return end == NULL ? PIECE_BYTES : (size_t)(end - text) + 1;
}

static eng_status run(const eng_model *model, const char *text, size_t n_bytes, FILE *out, size_t *ret_n_tokens, eng_error *error)
{
    eng_tokens tokens = {0};
    eng_status status = ENG_OK;
    *ret_n_tokens = 0;
    for (size_t at = 0, n; at < n_bytes && status == ENG_OK; at += n) {
        n = piece_bytes(text + at, n_bytes - at);
        tokens.n = 0;
        status = eng_tokenize(model, text + at, n, true, &tokens, error);
        *ret_n_tokens += tokens.n;
        if (out == NULL || status != ENG_OK) continue;
        uint32_t count = (uint32_t)tokens.n;
        fwrite(&count, sizeof count, 1, out);
        fwrite(tokens.ids, sizeof *tokens.ids, tokens.n, out);
    }
    eng_tokens_clear(&tokens);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 3) return fprintf(stderr, "usage: bench-tokenizer TOKENIZER.json TEXT [IDS]\n"), 2;
    char *json, *text;
    size_t n_json, n_text, n_tokens = 0;
    eng_error error = {0};
    eng_model model = {0};
    if (eng_file_read(argv[1], 1 << 27, &json, &n_json, &error) != ENG_OK || eng_file_read(argv[2], 1 << 30, &text, &n_text, &error) != ENG_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    double began = now_s();
    if (eng_tokenizer_new(json, n_json, argv[1], &model.tokenizer, &error) != ENG_OK) return fprintf(stderr, "%s\n", error.message), 1;
    printf("loading %s: %.0f ms\n", argv[1], 1e3 * (now_s() - began));
    FILE *out = argc > 3 ? fopen(argv[3], "wb") : NULL;
    eng_status status = run(&model, text, n_text, out, &n_tokens, &error);
    if (out != NULL && fclose(out) != 0) return 1;
    double best_s = 1e9;
    for (int round = 0; round < ROUNDS && status == ENG_OK; round++) {
        began = now_s();
        status = run(&model, text, n_text, NULL, &n_tokens, &error);
        double took_s = now_s() - began;
        if (took_s < best_s) best_s = took_s;
    }
    if (status != ENG_OK) return fprintf(stderr, "%s\n", error.message), 1;
    printf("%zu bytes, %zu tokens: %.2f MB/s\n", n_text, n_tokens, 1e-6 * (double)n_text / best_s);
    eng_tokenizer_free(model.tokenizer);
    free(json);
    free(text);
    return 0;
}
