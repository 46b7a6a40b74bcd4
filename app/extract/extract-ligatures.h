/* extract-ligatures.h: ligatures that a PDF draws but does not name.
 *
 * Some producers map their fonts' ligatures (ff, fi, fl, ffi, ffl) to no character at all. Poppler then says nothing of them, neither
 * character nor place: "financial" is " nancial" with a gap before it. What they are can only be seen: the gap's picture is compared with
 * pictures of the same letters, put together from where the page has them singly. No dictionary, no language.
 * Does not own: characters (poppler), words (extract-page.h).
 */
#ifndef EXTRACT_LIGATURES_H
#define EXTRACT_LIGATURES_H

#include <glib.h>
#include <poppler.h>
#include <stdbool.h>
#include <stdint.h>

/* A character as poppler gives it, in poppler's order. */
typedef struct ExChar {
    gunichar c;           /* white space: a gap between words or lines, whose box means nothing */
    PopplerRectangle box; /* points from the page's top left */
    double size;          /* of the font */
    uint8_t flags;        /* EX_WORD_... */
} ExChar;

/* How often an f stands in a document, and how often an f, i or l comes behind it. */
typedef struct ExLigatureCount {
    uint64_t n_f, n_joined;
} ExLigatureCount;

void ex_ligatures_count(const char *word, size_t n_bytes, ExLigatureCount *io_count);
/* Whether to look at the document's pages: drawing them costs more than all other reading. */
bool ex_ligatures_are_missing(const ExLigatureCount *count);

bool ex_is_blank(gunichar c);
/* Puts ligatures (U+FB00 to U+FB04) with their boxes among `io_chars` (ExChar) where the page shows them and nothing is said; blanks that
 * stood for them go. Returns their number. */
guint ex_ligatures_restore(GArray *io_chars, PopplerPage *source, double width, double height);

#endif
