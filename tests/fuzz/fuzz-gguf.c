/* fuzz-gguf.c: any bytes as a GGUF model: its tables, its pairs turned into settings and a tokenizer, its tensors. Every byte of a tensor that is
 * handed out must be there.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 */
#include "gguf.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WEIGHTS_BYTES = 1 << 19 };

static volatile uint8_t seen;

static void touch(const eng_gguf *file)
{
    static const char *const tensors[] = {"a", "b", "token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight"};
    static const char *const keys[] = {"k", "general.architecture", "general.alignment", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "qwen3.block_count"};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        const eng_tensor *tensor = eng_gguf_find(file, tensors[i]);
        for (uint64_t at = 0; tensor && at < tensor->n_bytes; at++) seen = tensor->data[at];
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        eng_gguf_array array;
        const char *text;
        uint64_t number;
        double real;
        size_t n;
        eng_gguf_get_number(file, keys[i], &number);
        eng_gguf_get_real(file, keys[i], &real);
        if (eng_gguf_get_text(file, keys[i], &text, &n))
            for (size_t j = 0; j < n; j++) seen = (uint8_t)text[j];
        if (eng_gguf_get_array(file, keys[i], true, &array))
            for (uint64_t j = 0; j < array.n && (text = eng_gguf_next_text(&array, &n)); j++) seen = n > 0 ? (uint8_t)text[n - 1] : 0;
        if (eng_gguf_get_array(file, keys[i], false, &array))
            for (uint64_t j = 0; j < array.n; j++) seen = (uint8_t)eng_gguf_next_number(&array);
    }
}

static void open_both(const char *path)
{
    eng_gguf *file = NULL;
    eng_error error = {0};
    eng_status status = eng_gguf_open(path, &file, &error);
    if ((status == ENG_OK) != (file != NULL) || (status != ENG_OK && error.message[0] == 0)) __builtin_trap();
    if (file) touch(file);
    eng_gguf_close(file);
    eng_model *model = NULL;
    if (status == ENG_OK && eng_gguf_is(path) && eng_model_open(path, NULL, &model, &error) == ENG_OK) eng_model_close(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("model", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) __builtin_trap();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    open_both(path);
    /* With room behind it for weights, which are zeros: a few kilobytes are a whole model, and every one of them is a table's or a pair's. */
    if (ftruncate(fd, (off_t)size + WEIGHTS_BYTES) != 0) __builtin_trap();
    open_both(path);
    close(fd);
    return 0;
}
