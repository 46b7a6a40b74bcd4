/* extract-formats.h: the formats that lectern-extract takes apart.
 *
 * Owns: one entry point for each format, and telling formats apart by content.
 * Does not own: the sandbox and the process (extract-main.c).
 *
 * Every reader writes blocks and meta to the writer and ends with ex_writer_finish, whatever happens. None opens a file.
 */
#ifndef EXTRACT_FORMATS_H
#define EXTRACT_FORMATS_H

#include "extract-ocr.h"
#include "extract-writer.h"

typedef struct ExInput {
    const char *data; /* the whole file */
    size_t n_bytes;
    const char *name;     /* for telling formats apart by ending when content does not say; may be "" */
    const char *password; /* NULL: none */
    int fd;               /* the same file, seekable; used only with a password */
    uint64_t max_unpacked_bytes; /* of an archive's items together */
    ExOcr *ocr;                  /* NULL: pages that are pictures have no text */
} ExInput;

typedef enum ExFormat {
    EX_FORMAT_UNKNOWN = 0,
    EX_FORMAT_PDF,
    EX_FORMAT_EPUB,
    EX_FORMAT_HTML,
    EX_FORMAT_DOCX,
    EX_FORMAT_ODT,
    EX_FORMAT_RTF,
} ExFormat;

/* By content first ("%PDF-", a zip's mimetype), then by the name's ending. */
ExFormat ex_format_detect(const ExInput *input);
const char *ex_format_name(ExFormat format); /* "pdf", "epub", ... */

void ex_extract(ExFormat format, const ExInput *input, ExWriter *writer);

void ex_extract_pdf(const ExInput *input, ExWriter *writer);
void ex_extract_epub(const ExInput *input, ExWriter *writer);
void ex_extract_html(const ExInput *input, ExWriter *writer);
void ex_extract_docx(const ExInput *input, ExWriter *writer);
void ex_extract_odt(const ExInput *input, ExWriter *writer);
void ex_extract_rtf(const ExInput *input, ExWriter *writer);

#endif
