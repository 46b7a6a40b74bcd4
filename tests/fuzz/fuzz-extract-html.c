/* fuzz-extract-html.c: any bytes as HTML or inline XBRL, through the writer and back through the strict reader of its stream: what the one
 * writes the other must accept.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpora without it (fuzz-replay.c).
 */
#include "app-extract-stream.h"
#include "extract-formats.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1 << 18) return 0;
    int fd = memfd_create("stream", MFD_CLOEXEC);
    ExWriter *writer = ex_writer_new(fd, 1 << 20);
    const ExInput input = {.data = (const char *)data, .n_bytes = size, .name = "", .max_unpacked_bytes = 1 << 20};
    ex_extract_html(&input, writer);
    ex_writer_free(writer);
    g_autoptr(AppExtractStream) stream = app_extract_stream_new(&(AppExtractSink){0}, NULL, 1 << 22);
    static uint8_t bytes[1 << 16];
    lseek(fd, 0, SEEK_SET);
    for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;) {
        g_autoptr(GError) error = NULL;
        if (!app_extract_stream_feed(stream, bytes, (size_t)n, &error)) g_error("the extractor's stream is refused: %s", error->message);
    }
    if (!app_extract_stream_is_ended(stream, NULL, NULL)) g_error("the extractor's stream has no end");
    close(fd);
    return 0;
}
