/* app-extract.h: takes a document apart in a locked process and gives its text to an import.
 *
 * Owns: the process lectern-extract: starting, limits on time and memory, cancelling, what its end means in words.
 * Does not own: formats (extract/), reading of its stream (app-extract-stream.h), the library (app-document.h). Plain text and Markdown
 *               are read by app-text.h.
 *
 * Errors: domain APP_EXTRACT_ERROR, or that of the import. Messages name the file and the reason: "report.pdf: it is encrypted and
 * needs a password". Functions may be called on any thread, several at once; each call starts one process and waits for it.
 */
#ifndef APP_EXTRACT_H
#define APP_EXTRACT_H

#include "app-document.h"
#include "app-extract-stream.h"

G_BEGIN_DECLS

/* done of total pages (PDF) or parts; on the calling thread. */
typedef void (*AppExtractProgressFn)(void *user, uint32_t done, uint32_t total);

typedef struct AppExtractOptions {
    const char *password;      /* NULL: none */
    const char *ocr_languages; /* "eng+deu": pages that are pictures are read by Tesseract; NULL: they have no text */
    const char *unpack;        /* "pdf,txt": the members of an archive with these endings are sent, not a document; NULL: a document */
    uint64_t max_memory_bytes; /* 0: 1 GiB */
    uint32_t max_s;            /* time without any progress, and processor time for all of it times ten (a day with OCR); 0: 120 s */
    uint64_t max_text_bytes;   /* 0: APP_TEXT_MAX_BYTES */
    AppExtractProgressFn progress;
    void *user; /* for progress */
} AppExtractOptions;

/* Whether a file goes this way: its first bytes (n_bytes of them) or its name are those of PDF, EPUB, HTML, DOCX, ODT or RTF.
 * Returns "pdf", ... or NULL. */
const char *app_extract_detect(const char *name, const void *start, size_t n_bytes);

/* Whether a file's first bytes (512 or more, if it has them) are those of an archive or of a packed file. EPUB, DOCX and ODT are zip
 * archives too: ask app_extract_detect first. */
bool app_extract_is_archive(const void *start, size_t n_bytes);

/* fd: opened for reading, a file, not moved nor closed; name: for messages and for telling formats apart. Text, pages, headings and places go to
 * `import`, which the caller then finishes (or frees on failure). *cancel (NULL: never) ends it within a tenth of a second. */
bool app_extract_file(int fd, const char *name, const AppExtractOptions *options, const bool *cancel, AppImport *import, GError **error);

/* The same for any sink: tests, `lectern` commands that only look. */
bool app_extract_run(int fd, const char *name, const AppExtractOptions *options, const bool *cancel, const AppExtractSink *sink, void *user,
                     GError **error);

/* Whether text recognition is to be had for these languages (NULL: "eng"); *ret_reason (may be NULL) says why not, g_free. */
bool app_extract_can_ocr(const char *languages, char **ret_reason);

/* The program that is started: LECTERN_EXTRACT, beside this program, in its folder extract/, else where it was installed. Free with
 * g_free; NULL when there is none. */
char *app_extract_find_program(void);

G_END_DECLS

#endif
