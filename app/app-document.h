/* app-document.h: how a document enters the library: its text in order, with headings, pages, tables and places in the source.
 *
 * Owns: the border between what reads files (app-text.c, the extractor's parent side) and the library. Text is streamed: no
 *       document is ever whole in memory.
 * Does not own: file formats (app-text.c, extraction), cutting into sections (app-sections.h), reading (app-reader.h).
 *
 * Use: app_import_new, then text and marks in order, then app_import_finish or app_import_free (which discards). The library shows
 * nothing of it before finish. One thread at a time; other writers are not held up for more than a flush of about 1 MB.
 *
 * Form of text. UTF-8, NFC, LF; no U+0000. Paragraphs, headings and tables are separated by one blank line ("\n\n"); within a paragraph
 * lines may be broken by "\n" (kept as they are). A table is lines `label | value | value`, one a row, marked by begin and end. A
 * heading's words are part of the text: call app_import_heading, then add its line. app_import_add_text refuses text that is not
 * valid UTF-8 (APP_LIBRARY_ERROR_INVALID) and replaces U+0000; it does not normalise: app_normalizer (app-text.h) does.
 */
#ifndef APP_DOCUMENT_H
#define APP_DOCUMENT_H

#include "app-library.h"

G_BEGIN_DECLS

/* A larger text is refused in words. So that nothing grows without bound: 512 MiB of normalised text. */
#define APP_TEXT_MAX_BYTES (UINT64_C(512) << 20)
#define APP_SOURCE_MAX_BYTES (UINT64_C(2) << 30) /* larger source files are refused before they are read */
enum {
    APP_HEADINGS_MAX = 200000,
    APP_PAGES_MAX = 100000,
    APP_HEADING_BYTES_MAX = 240, /* longer headings are shortened with "…" in paths; the text keeps them whole */
};

/* What is known before the text: from the file system and the format. Borrowed during app_import_new. */
typedef struct AppImportSource {
    const char *path;        /* absolute; "" for standard input */
    const char *name;        /* for messages, and the title when nothing better is found: "report.pdf" */
    const char *source_hash; /* SHA-256, hex */
    uint64_t n_source_bytes;
    int64_t modified_s;      /* 0 unknown */
    const char *format;      /* "text", "markdown", "pdf", "epub", "html", "docx", ... */
} AppImportSource;

typedef struct AppImport AppImport;

/* *cancel (NULL: never) is read between flushes. */
AppImport *app_import_new(AppLibrary *library, const AppImportSource *source, const bool *cancel, GError **error);
void app_import_free(AppImport *import); /* discards what was not finished; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppImport, app_import_free)

bool app_import_add_text(AppImport *import, const char *text, size_t n_bytes, GError **error);
/* Where the next text goes: bytes and characters so far. */
uint64_t app_import_position(const AppImport *import);
uint64_t app_import_position_chars(const AppImport *import);

/* A heading begins here. rank orders headings, not necessarily densely: a heading belongs under the nearest before it of a smaller
 * rank (1 is topmost; PDF outlines: depth + 1). is_chapter: sections never join text over its border. `text` is the heading as shown in
 * paths (one line, white space squeezed). */
bool app_import_heading(AppImport *import, uint32_t rank, bool is_chapter, const char *text, GError **error);

/* A page begins here. label: as printed ("iv", "27"), NULL or "" unknown. Sizes in points, 0 unknown. */
bool app_import_page(AppImport *import, const char *label, float width, float height, GError **error);

/* From character text_char of the text on (at or after every earlier call's, possibly ahead of the text so far), characters
 * correspond one to one to those of the source from source_char on, in item number `item` (app_import_item; 0 when there is one).
 * Call only where that changes. Never called: the document has no source offsets. */
bool app_import_offset(AppImport *import, uint64_t text_char, uint32_t item, uint64_t source_char, GError **error);
/* Names an item (file within an EPUB or an archive); returns its number, from 0 in order of calls. */
uint32_t app_import_item(AppImport *import, const char *name);

/* A rectangle on the current page that holds bytes [start, now) of the text: about a line or a word; in text order. */
bool app_import_box(AppImport *import, uint64_t start, float x0, float y0, float x1, float y1, GError **error);

/* Rows are the lines between; the first n_head_lines of them are column heads. */
bool app_import_begin_table(AppImport *import, GError **error);
bool app_import_end_table(AppImport *import, uint32_t n_head_lines, GError **error);

/* Any time before finish. NULL and "" are ignored. */
void app_import_set_title(AppImport *import, const char *title);
void app_import_set_author(AppImport *import, const char *author);
void app_import_set_language(AppImport *import, const char *language);
void app_import_set_metadata(AppImport *import, const char *key, const char *value); /* "company", "period", "form", ... */
/* A remark for people that stays with the document: "3 of 120 pages are images without text". */
void app_import_set_note(AppImport *import, const char *note);

typedef enum AppImportOutcome {
    APP_IMPORT_ADDED = 0,
    APP_IMPORT_UNCHANGED, /* same path and content, or the same content elsewhere: nothing done */
    APP_IMPORT_MOVED,     /* the same content, its former path is gone: the document has the new path now */
    APP_IMPORT_CHANGED,   /* same path, other content: text replaced, number and uid kept */
    APP_IMPORT_DUPLICATE, /* the same content as another document that is still there: that one's id */
} AppImportOutcome;

/* Makes it visible (one transaction). A document from the same path is replaced, keeping id, uid, title if renamed, collections.
 * Without any text its state is APP_DOCUMENT_NO_TEXT. Afterwards the import can only be freed. */
bool app_import_finish(AppImport *import, int64_t *ret_document, AppImportOutcome *ret_outcome, GError **error);

/* Before extracting: is this content (or path) known? True with *ret_document and *ret_outcome UNCHANGED, MOVED (the path is updated),
 * DUPLICATE; or ADDED, CHANGED when it has to be imported (document 0 or the one that will be replaced). */
bool app_import_lookup(AppLibrary *library, const AppImportSource *source, int64_t *ret_document, AppImportOutcome *ret_outcome,
                       GError **error);

G_END_DECLS

#endif
