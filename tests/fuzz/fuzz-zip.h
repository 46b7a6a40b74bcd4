/* fuzz-zip.h: an archive whose members are the parts of a fuzzer's input: mutations reach the XML, which an archive's checksums would hide
 * from them. Archives themselves are fuzzed by fuzz-extract-formats.
 *
 * Owns: parting the input at lines "%%", and the archive, in memory, stored.
 */
#ifndef FUZZ_ZIP_H
#define FUZZ_ZIP_H

#include <archive.h>
#include <archive_entry.h>
#include <stdint.h>
#include <string.h>

typedef struct FuzzZip {
    char bytes[1 << 20];
    size_t n_bytes;
    struct archive *archive;
} FuzzZip;

static inline void fuzz_zip_add(FuzzZip *zip, const char *name, const void *bytes, size_t n)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (int64_t)n);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_write_header(zip->archive, entry);
    archive_write_data(zip->archive, bytes, n);
    archive_entry_free(entry);
}

static inline void fuzz_zip_begin(FuzzZip *zip, const char *mimetype)
{
    zip->archive = archive_write_new();
    archive_write_set_format_zip(zip->archive);
    archive_write_set_options(zip->archive, "zip:compression=store");
    archive_write_set_bytes_per_block(zip->archive, 0);
    archive_write_open_memory(zip->archive, zip->bytes, sizeof zip->bytes, &zip->n_bytes);
    if (mimetype) fuzz_zip_add(zip, "mimetype", mimetype, strlen(mimetype));
}

/* Returns how many of the names there were parts for. */
static inline size_t fuzz_zip_add_parts(FuzzZip *zip, const char *const *names, size_t n_names, const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    size_t n = 0;
    for (; n < n_names && at < end; n++) {
        const uint8_t *border = (const uint8_t *)memmem(at, (size_t)(end - at), "\n%%\n", 4);
        fuzz_zip_add(zip, names[n], at, (size_t)((border ? border : end) - at));
        at = border ? border + 4 : end;
    }
    return n;
}

static inline void fuzz_zip_end(FuzzZip *zip)
{
    archive_write_close(zip->archive);
    archive_write_free(zip->archive);
}

#endif
