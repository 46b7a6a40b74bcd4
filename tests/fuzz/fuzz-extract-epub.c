/* fuzz-extract-epub.c: an EPUB whose files are the parts of the input.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 *
 * Input: parts, a line "%%" between them: content.opf, nav.xhtml, one.xhtml, two.xhtml, container.xml (a good one when it is missing).
 */
#include "extract-formats.h"
#include "fuzz-zip.h"

#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char container[] = "<?xml version=\"1.0\"?><container xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\"><rootfiles><rootfile "
                                "full-path=\"content.opf\" media-type=\"application/oebps-package+xml\"/></rootfiles></container>";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"content.opf", "nav.xhtml", "one.xhtml", "two.xhtml", "META-INF/container.xml"};
    static FuzzZip book;
    if (size > sizeof book.bytes / 4) return 0;
    fuzz_zip_begin(&book, "application/epub+zip");
    if (fuzz_zip_add_parts(&book, names, 5, data, size) < 5) fuzz_zip_add(&book, names[4], container, sizeof container - 1);
    fuzz_zip_end(&book);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ExWriter *writer = ex_writer_new(null, 1 << 20);
    const ExInput input = {.data = book.bytes, .n_bytes = book.n_bytes, .name = "", .max_unpacked_bytes = 1 << 20};
    ex_extract_epub(&input, writer);
    ex_writer_free(writer);
    close(null);
    return 0;
}
