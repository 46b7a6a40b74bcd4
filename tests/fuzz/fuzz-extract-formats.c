/* fuzz-extract-formats.c: any bytes as a document and as an archive, without the sandbox, so that sanitizers see everything.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 */
#include "extract-formats.h"
#include "extract-unpack.h"

#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ExWriter *writer = ex_writer_new(null, 1 << 20);
    const ExInput input = {.data = (const char *)data, .n_bytes = size, .name = "", .max_unpacked_bytes = 1 << 20};
    ex_extract(ex_format_detect(&input), &input, writer);
    ex_writer_free(writer);
    writer = ex_writer_new(null, 1 << 20);
    ex_unpack(&input, "txt,xhtml,xml", writer);
    ex_writer_free(writer);
    close(null);
    return 0;
}
