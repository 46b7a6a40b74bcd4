/* fuzz-extract-epub.c: an EPUB whose files are the parts of the input: mutations reach the XML and the XHTML, which an archive's checksums
 * would hide from them. Archives themselves are fuzzed by fuzz-extract-formats.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 *
 * Input: parts, a line "%%" between them: content.opf, nav.xhtml, one.xhtml, two.xhtml, container.xml (a good one when it is missing).
 */
#include "extract-formats.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char container[] = "<?xml version=\"1.0\"?><container xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\"><rootfiles><rootfile "
                                "full-path=\"content.opf\" media-type=\"application/oebps-package+xml\"/></rootfiles></container>";

static void add_member(struct archive *archive, const char *name, const void *bytes, size_t n)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (int64_t)n);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_write_header(archive, entry);
    archive_write_data(archive, bytes, n);
    archive_entry_free(entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"content.opf", "nav.xhtml", "one.xhtml", "two.xhtml", "META-INF/container.xml"};
    static char book[1 << 20];
    size_t used = 0;
    if (size > sizeof book / 4) return 0;
    struct archive *archive = archive_write_new();
    archive_write_set_format_zip(archive);
    archive_write_set_options(archive, "zip:compression=store");
    archive_write_set_bytes_per_block(archive, 0);
    archive_write_open_memory(archive, book, sizeof book, &used);
    add_member(archive, "mimetype", "application/epub+zip", strlen("application/epub+zip"));
    const uint8_t *at = data, *end = data + size;
    bool has_container = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && at < end; i++) {
        const uint8_t *border = memmem(at, (size_t)(end - at), "\n%%\n", 4);
        add_member(archive, names[i], at, (size_t)((border ? border : end) - at));
        has_container = i == 4;
        at = border ? border + 4 : end;
    }
    if (!has_container) add_member(archive, names[4], container, sizeof container - 1);
    archive_write_close(archive);
    archive_write_free(archive);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ExWriter *writer = ex_writer_new(null, 1 << 20);
    const ExInput input = {.data = book, .n_bytes = used, .name = "", .max_unpacked_bytes = 1 << 20};
    ex_extract_epub(&input, writer);
    ex_writer_free(writer);
    close(null);
    return 0;
}
