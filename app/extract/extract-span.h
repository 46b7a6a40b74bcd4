/* extract-span.h: text together with where each part of it came from, while a document is taken apart.
 *
 * Owns: building text and its runs side by side. Does not own: layout, formats, the stream.
 */
#ifndef EXTRACT_SPAN_H
#define EXTRACT_SPAN_H

#include "stream-format.h"

#include <glib.h>
#include <stdbool.h>

typedef struct ExRun {
    uint32_t n_bytes;
    ExRunKind kind;
    uint32_t page;        /* EX_RUN_BOX */
    float x0, y0, x1, y1; /* EX_RUN_BOX */
    uint64_t source;      /* EX_RUN_SOURCE: first character */
} ExRun;

typedef struct ExSpan {
    GString *text;
    GArray *runs; /* ExRun; their n_bytes add up to text->len */
} ExSpan;

ExSpan *ex_span_new(void);
void ex_span_free(ExSpan *span); /* NULL is fine */
void ex_span_clear(ExSpan *span);
/* Adds text whose place is `place` (its n_bytes is ignored). Neighbours that continue each other become one run. */
void ex_span_add(ExSpan *span, const char *text, size_t n_bytes, const ExRun *place);
void ex_span_add_made(ExSpan *span, const char *text); /* text that the document does not have */
void ex_span_add_span(ExSpan *span, const ExSpan *other);
/* As above without the other's places: a repeated line. */
void ex_span_add_copy(ExSpan *span, const ExSpan *other);
void ex_span_truncate(ExSpan *span, size_t n_bytes); /* n_bytes at a character's border */
/* Without white space at both ends. */
void ex_span_trim(ExSpan *span);
/* Canonical composition (NFC), controls dropped, runs adjusted. */
void ex_span_normalise(ExSpan *span);
bool ex_span_is_empty(const ExSpan *span);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ExSpan, ex_span_free)

#endif
