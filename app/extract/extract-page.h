/* extract-page.h: a PDF page as words with boxes, and the lines and columns that they form.
 *
 * Owns: words from poppler's characters; lines; columns of prose (the order in which lines are read).
 * Does not own: what lines mean (extract-layout.h), the document (extract-pdf.c).
 */
#ifndef EXTRACT_PAGE_H
#define EXTRACT_PAGE_H

#include <glib.h>
#include <poppler.h>
#include <stdbool.h>
#include <stdint.h>

enum { EX_WORD_BOLD = 1, EX_WORD_ITALIC = 2 };

typedef struct ExWord {
    float x0, y0, x1, y1; /* points from the page's top left */
    float size;           /* of the font */
    uint32_t text;        /* start in the page's text */
    uint16_t n_bytes;
    uint8_t flags;
    uint8_t is_dropped; /* part of a running header or footer */
} ExWord;

/* Words [first, first + n) of a line's list, from left to right. */
typedef struct ExLine {
    uint32_t first, n;
    float x0, y0, x1, y1;
    float size; /* of most of its characters */
    uint8_t flags; /* of most of its characters */
} ExLine;

typedef struct ExPage {
    uint32_t index;
    float width, height;
    char *label;
    GString *text;
    GArray *words; /* ExWord */
    bool has_images;
} ExPage;

/* Words of one page; page->text holds their characters. with_ligatures: the page is also drawn, for ligatures that it does not name
 * (extract-ligatures.h). Never NULL. */
ExPage *ex_page_new(PopplerPage *source, uint32_t index, bool with_ligatures);
void ex_page_free(ExPage *page);

/* Lines from top to bottom of the words listed in `order` (indices), which is sorted so that each line's words are together. Dropped
 * words are left out. */
GArray *ex_page_lines(const ExPage *page, GArray *order);

/* All words in the order in which they are read: flows (columns of prose, else the whole width), one after another. Elements GArray*
 * of uint32_t. */
GPtrArray *ex_page_flows(const ExPage *page);

static inline const ExWord *ex_page_word(const ExPage *page, const GArray *order, uint32_t i)
{
    return &g_array_index(page->words, ExWord, g_array_index(order, uint32_t, i));
}
static inline const char *ex_word_text(const ExPage *page, const ExWord *word)
{
    return page->text->str + word->text; /* n_bytes of it, no NUL behind */
}
/* A line's words with single spaces. */
char *ex_line_text(const ExPage *page, const GArray *order, const ExLine *line);

#endif
