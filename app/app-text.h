/* app-text.h: plain text and Markdown files into the library.
 *
 * Owns: blocks of lines, headings, title and author, tables of lines `a | b | c`; text is streamed through in bounded memory.
 * Does not own: decoding, normalisation, heading rules (their own headers), where files come from (app-add.c).
 */
#ifndef APP_TEXT_H
#define APP_TEXT_H

#include "app-document.h"
#include "app-encoding.h"

G_BEGIN_DECLS

typedef struct AppTextOptions {
    AppEncoding encoding;
    bool is_markdown;
    const bool *cancel; /* NULL: never */
    void (*progress)(void *user, uint64_t done, uint64_t total); /* bytes; may be NULL */
    void *user;
    uint64_t total_bytes;
} AppTextOptions;

/* Reads the file from its beginning (fd is at 0) into `import`. */
bool app_text_read(AppImport *import, int fd, const char *name, const AppTextOptions *options, GError **error);

/* The same from memory, in one piece; item: app_import_item's number. For tests and for members of archives. */
bool app_text_read_bytes(AppImport *import, const void *bytes, size_t n_bytes, const AppTextOptions *options, GError **error);

G_END_DECLS

#endif
