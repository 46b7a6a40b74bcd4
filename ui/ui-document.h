/* ui-document.h: a document as the reader shows it: its text, how its lines are set, its pages and chapters.
 *
 * Owns: loading all of it on a thread, soft line breaks, tables' columns, bytes to characters and back, finding words.
 * Does not own: widgets.
 *
 * The text shown differs from the normalised text of app-library.h in single ASCII bytes alone: a line break that only the source's
 * narrow page made is a blank, and the bar between a table's cells a tab. So offsets, in bytes and in characters, are the same in both.
 * A UiDocument does not change once it is loaded: any thread may read it.
 */
#ifndef UI_DOCUMENT_H
#define UI_DOCUMENT_H

#include "app-library.h"
#include "app-render.h"

G_BEGIN_DECLS

typedef enum UiLineStyle {
    UI_LINE_HEADING_1 = 0, /* to UI_LINE_HEADING_4: title to smallest */
    UI_LINE_HEADING_2,
    UI_LINE_HEADING_3,
    UI_LINE_HEADING_4,
    UI_LINE_GAP,           /* the empty line between paragraphs */
    UI_LINE_TABLE,
    UI_LINE_TABLE_HEAD,    /* of a table: a row of heads without one above the labels */
    UI_LINE_OTHER,         /* every second line of a block, see ui-document.c: looks like its neighbours */
    UI_LINE_HIDDEN,        /* Markdown's marks around headings and tables: there, but not shown */
    UI_LINE_STYLES,
} UiLineStyle;

typedef struct UiSpan { /* whole lines in one style (of HIDDEN also parts); what is in no span is a paragraph */
    size_t start, end;  /* bytes, with the last line's break */
    UiLineStyle style;
    uint32_t table;     /* index of tables, for UI_LINE_TABLE, _HEAD */
} UiSpan;

enum { UI_TABLE_COLUMNS_MAX = 24 };
typedef struct UiTable {
    uint32_t n_columns;
    uint16_t n_chars[UI_TABLE_COLUMNS_MAX]; /* of the widest cell */
    bool is_number[UI_TABLE_COLUMNS_MAX];   /* to be set flush right */
} UiTable;

typedef struct UiRange { /* bytes */
    uint64_t start, end;
} UiRange;

typedef struct UiDocument {
    gatomicrefcount n_refs;
    AppDocument *info;
    char *text; /* as shown */
    size_t n_bytes, n_chars;
    GArray *spans;       /* UiSpan, in order */
    GArray *tables;      /* UiTable */
    GPtrArray *headings; /* AppHeading*, in order of the text */
    GPtrArray *pages;    /* AppPage* */
    bool has_position;
    AppReadingPosition position;
    AppFileState source;
    int source_fd; /* of a PDF that is still the same; -1. Whoever takes it puts -1. */
    uint32_t *block_chars; /* characters before each block of text */
} UiDocument;

/* On a thread. */
UiDocument *ui_document_load(AppLibrary *library, int64_t document, const bool *cancel, GError **error);
UiDocument *ui_document_ref(UiDocument *document);
void ui_document_unref(UiDocument *document); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(UiDocument, ui_document_unref)

size_t ui_document_chars_at(const UiDocument *document, uint64_t byte); /* characters before it */
uint64_t ui_document_byte_at(const UiDocument *document, size_t n_chars);

/* Index of the heading or page that a byte stands under; -1: before the first, or there are none. */
int ui_document_heading_at(const UiDocument *document, uint64_t byte);
int ui_document_page_at(const UiDocument *document, uint64_t byte);
/* The page that a person means by a label or a number; -1: none. */
int ui_document_find_page(const UiDocument *document, const char *typed);

/* All places of the words, in order: letter case ignored, any white space and cell borders count as one blank, straight quotes and hyphens
 * stand for the printed ones too. Elements UiRange, at most UI_MATCHES_MAX. */
enum { UI_MATCHES_MAX = 100000 };
GArray *ui_document_find(const UiDocument *document, const char *words, const bool *cancel);

G_END_DECLS

#endif
