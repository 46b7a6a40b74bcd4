/* fuzz-safetensors.c: any bytes as a .safetensors file, and as a packed model. Every byte of a tensor that is handed out must be there.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 */
#include "safetensors.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t seen;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a", "b", "z", "", "model.embed_tokens.weight", "__metadata__"};
    char path[64];
    int fd = memfd_create("model", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) __builtin_trap();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    eng_safetensors *file = NULL;
    eng_error error = {0};
    eng_status status = eng_safetensors_open(path, &file, &error);
    if ((status == ENG_OK) != (file != NULL) || (status != ENG_OK && error.message[0] == 0)) __builtin_trap();
    for (size_t i = 0; status == ENG_OK && i < sizeof names / sizeof *names; i++) {
        const eng_tensor *tensor = eng_safetensors_find(file, names[i]);
        for (uint64_t at = 0; tensor && at < tensor->n_bytes; at++) seen = tensor->data[at];
        eng_safetensors_metadata(file, names[i]);
    }
    eng_safetensors_close(file);
    eng_model *model = NULL;
    if (status == ENG_OK && eng_model_open(path, NULL, &model, &error) == ENG_OK) eng_model_close(model);
    if (status == ENG_OK && !model && error.message[0] == 0) __builtin_trap();
    close(fd);
    return 0;
}
