/* fuzz-extract-office.c: a DOCX or an ODT whose files are the parts of the input.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 *
 * Input: 'd' or 'o', then parts, a line "%%" between them: DOCX: document.xml, styles.xml, footnotes.xml, endnotes.xml, core.xml;
 * ODT: content.xml, meta.xml.
 */
#include "extract-formats.h"
#include "fuzz-zip.h"

#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const docx[] = {"word/document.xml", "word/styles.xml", "word/footnotes.xml", "word/endnotes.xml", "docProps/core.xml"};
    static const char *const odt[] = {"content.xml", "meta.xml"};
    static FuzzZip letter;
    if (size == 0 || size > sizeof letter.bytes / 4) return 0;
    bool is_odt = data[0] == 'o';
    fuzz_zip_begin(&letter, is_odt ? "application/vnd.oasis.opendocument.text" : NULL);
    fuzz_zip_add_parts(&letter, is_odt ? odt : docx, is_odt ? 2 : 5, data + 1, size - 1);
    fuzz_zip_end(&letter);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ExWriter *writer = ex_writer_new(null, 1 << 20);
    const ExInput input = {.data = letter.bytes, .n_bytes = letter.n_bytes, .name = "", .max_unpacked_bytes = 1 << 20};
    (is_odt ? ex_extract_odt : ex_extract_docx)(&input, writer);
    ex_writer_free(writer);
    close(null);
    return 0;
}
