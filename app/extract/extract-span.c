/* extract-span.c: text and its runs side by side.
 *
 * Owns: keeping the runs' lengths equal to the text's through every change.
 */
#include "extract-span.h"

#include <string.h>
#include <utf8proc.h>

ExSpan *ex_span_new(void)
{
    ExSpan *span = g_new0(ExSpan, 1);
    span->text = g_string_new(NULL);
    span->runs = g_array_new(FALSE, FALSE, sizeof(ExRun));
    return span;
}

void ex_span_free(ExSpan *span)
{
    if (!span) return;
    g_string_free(span->text, TRUE);
    g_array_unref(span->runs);
    g_free(span);
}

void ex_span_clear(ExSpan *span)
{
    g_string_truncate(span->text, 0);
    g_array_set_size(span->runs, 0);
}

bool ex_span_is_empty(const ExSpan *span)
{
    return span->text->len == 0;
}

/* Whether `next` carries on where the span's last run ends, so that one run describes both. */
static bool run_continues(const ExSpan *span, const ExRun *last, const ExRun *next)
{
    if (last->kind != next->kind) return false;
    if (last->kind == EX_RUN_MADE) return true;
    if (last->kind == EX_RUN_SOURCE) {
        const char *start = span->text->str + span->text->len - last->n_bytes;
        return last->source + (uint64_t)g_utf8_strlen(start, last->n_bytes) == next->source;
    }
    return last->page == next->page && last->x0 == next->x0 && last->y0 == next->y0 && last->x1 == next->x1 && last->y1 == next->y1;
}

void ex_span_add(ExSpan *span, const char *text, size_t n_bytes, const ExRun *place)
{
    if (n_bytes == 0) return;
    ExRun *last = span->runs->len ? &g_array_index(span->runs, ExRun, span->runs->len - 1) : NULL;
    /* Long runs of source text are cut, so that finding where one ends stays cheap. */
    if (last && last->n_bytes < 4096 && run_continues(span, last, place)) {
        last->n_bytes += (uint32_t)n_bytes;
    } else {
        ExRun run = *place;
        run.n_bytes = (uint32_t)n_bytes;
        g_array_append_val(span->runs, run);
    }
    g_string_append_len(span->text, text, (gssize)n_bytes);
}

void ex_span_add_made(ExSpan *span, const char *text)
{
    const ExRun made = {.kind = EX_RUN_MADE};
    ex_span_add(span, text, strlen(text), &made);
}

void ex_span_add_span(ExSpan *span, const ExSpan *other)
{
    size_t at = 0;
    for (guint i = 0; i < other->runs->len; i++) {
        const ExRun *run = &g_array_index(other->runs, ExRun, i);
        ex_span_add(span, other->text->str + at, run->n_bytes, run);
        at += run->n_bytes;
    }
}

void ex_span_add_copy(ExSpan *span, const ExSpan *other)
{
    ex_span_add_made(span, other->text->str);
}

void ex_span_truncate(ExSpan *span, size_t n_bytes)
{
    while (span->text->len > n_bytes) {
        ExRun *last = &g_array_index(span->runs, ExRun, span->runs->len - 1);
        size_t excess = span->text->len - n_bytes;
        if (last->n_bytes > excess) {
            last->n_bytes -= (uint32_t)excess;
            g_string_truncate(span->text, n_bytes);
        } else {
            g_string_truncate(span->text, span->text->len - last->n_bytes);
            g_array_set_size(span->runs, span->runs->len - 1);
        }
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t';
}

void ex_span_trim(ExSpan *span)
{
    size_t end = span->text->len;
    while (end > 0 && is_space(span->text->str[end - 1])) end--;
    ex_span_truncate(span, end);
    size_t skip = 0;
    while (skip < span->text->len && is_space(span->text->str[skip])) skip++;
    g_string_erase(span->text, 0, (gssize)skip);
    while (skip > 0) {
        ExRun *first = &g_array_index(span->runs, ExRun, 0);
        if (first->n_bytes > skip) {
            first->n_bytes -= (uint32_t)skip;
            if (first->kind == EX_RUN_SOURCE) first->source += skip;
            skip = 0;
        } else {
            skip -= first->n_bytes;
            g_array_remove_index(span->runs, 0);
        }
    }
}

static bool is_plain(const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0xC0 || c == 0x7F || (c < 0x20 && c != '\n' && c != '\t')) return false;
    }
    return true;
}

/* Composes one run's text; what is not a character is dropped. A source run whose length in characters changes no longer corresponds
 * one to one; its start stays right, and the next run sets the place again. */
static char *compose(const char *text, size_t n_bytes, size_t *ret_n_bytes)
{
    g_autofree char *valid = g_utf8_make_valid(text, (gssize)n_bytes);
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)valid, 0, &composed,
                                      UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    GString *clean = g_string_new(NULL);
    const char *source = n >= 0 ? (const char *)composed : valid;
    for (const char *p = source; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        bool is_control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0) || c == 0xFEFF || c == 0xFFFE || c == 0xFFFF;
        if (!is_control) g_string_append_unichar(clean, c);
    }
    free(composed);
    *ret_n_bytes = clean->len;
    return g_string_free(clean, FALSE);
}

void ex_span_normalise(ExSpan *span)
{
    if (is_plain(span->text->str, span->text->len)) return;
    g_autoptr(GString) text = g_string_sized_new(span->text->len);
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(ExRun));
    size_t at = 0;
    for (guint i = 0; i < span->runs->len; at += g_array_index(span->runs, ExRun, i).n_bytes, i++) {
        ExRun run = g_array_index(span->runs, ExRun, i);
        size_t n = 0;
        g_autofree char *composed = compose(span->text->str + at, run.n_bytes, &n);
        /* A combining mark that begins a run composes with the run before it, whose place it shares. */
        if (n > 0 && runs->len > 0 && g_unichar_combining_class(g_utf8_get_char(composed)) != 0) {
            ExRun *before = &g_array_index(runs, ExRun, runs->len - 1);
            size_t start = text->len - before->n_bytes;
            g_string_append_len(text, composed, (gssize)n);
            size_t n_joined = 0;
            g_autofree char *joined = compose(text->str + start, text->len - start, &n_joined);
            g_string_truncate(text, start);
            g_string_append_len(text, joined, (gssize)n_joined);
            before->n_bytes = (uint32_t)n_joined;
            continue;
        }
        if (n == 0) continue;
        run.n_bytes = (uint32_t)n;
        g_string_append_len(text, composed, (gssize)n);
        g_array_append_val(runs, run);
    }
    g_string_assign(span->text, text->str);
    g_array_set_size(span->runs, 0);
    g_array_append_vals(span->runs, runs->data, runs->len);
}
