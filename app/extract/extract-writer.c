/* extract-writer.c: writes the stream of stream-format.h.
 *
 * Owns: encoding of records, buffering at records' borders.
 */
#include "extract-writer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct ExWriter {
    int fd;
    GByteArray *out;
    uint64_t n_text_bytes, max_text_bytes;
    uint32_t n_pages, n_items, n_meta, n_notes, n_headings;
    bool is_finished, is_broken, is_full;
};

enum { FLUSH_BYTES = 64 << 10 };

static void flush(ExWriter *writer)
{
    size_t at = 0;
    while (at < writer->out->len && !writer->is_broken) {
        ssize_t n = write(writer->fd, writer->out->data + at, writer->out->len - at);
        if (n > 0) at += (size_t)n;
        else if (n < 0 && errno != EINTR) writer->is_broken = true;
    }
    g_byte_array_set_size(writer->out, 0);
}

ExWriter *ex_writer_new(int fd, uint64_t max_text_bytes)
{
    ExWriter *writer = g_new0(ExWriter, 1);
    writer->fd = fd;
    writer->max_text_bytes = max_text_bytes;
    writer->out = g_byte_array_sized_new(FLUSH_BYTES);
    g_byte_array_append(writer->out, (const guint8 *)EX_MAGIC, EX_MAGIC_BYTES);
    flush(writer); /* an emergency's record may be the next bytes */
    return writer;
}

void ex_writer_free(ExWriter *writer)
{
    if (!writer) return;
    g_byte_array_unref(writer->out);
    g_free(writer);
}

static void put_u32(GByteArray *out, uint32_t value)
{
    uint32_t little = GUINT32_TO_LE(value);
    g_byte_array_append(out, (const guint8 *)&little, 4);
}

static void put_u64(GByteArray *out, uint64_t value)
{
    uint64_t little = GUINT64_TO_LE(value);
    g_byte_array_append(out, (const guint8 *)&little, 8);
}

static void put_f32(GByteArray *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    put_u32(out, bits);
}

static void put_head(GByteArray *out, ExRecordType type, size_t n_bytes)
{
    guint8 byte = (guint8)type;
    g_byte_array_append(out, &byte, 1);
    put_u32(out, (uint32_t)n_bytes);
}

/* A short string as the stream wants it: one line, valid, composed, at most `max` bytes. */
static char *clean_string(const char *text, size_t max)
{
    g_autoptr(ExSpan) span = ex_span_new();
    g_autofree char *valid = g_utf8_make_valid(text ? text : "", -1);
    for (char *p = valid; *p; p++) {
        if ((unsigned char)*p < 0x20) *p = ' ';
    }
    ex_span_add_made(span, valid);
    ex_span_normalise(span);
    ex_span_trim(span);
    if (span->text->len > max) {
        const char *end = g_utf8_find_prev_char(span->text->str, span->text->str + max);
        ex_span_truncate(span, end ? (size_t)(end - span->text->str) : 0);
    }
    return g_strdup(span->text->str);
}

static void end_record(ExWriter *writer)
{
    if (writer->out->len >= FLUSH_BYTES) flush(writer);
}

void ex_writer_meta(ExWriter *writer, const char *key, const char *value)
{
    g_autofree char *clean = clean_string(value, EX_META_VALUE_MAX);
    size_t n_key = strlen(key), n_value = strlen(clean);
    if (n_value == 0 || writer->is_finished || writer->n_meta == EX_META_MAX) return;
    writer->n_meta++;
    put_head(writer->out, EX_RECORD_META, 1 + n_key + n_value);
    guint8 length = (guint8)n_key;
    g_byte_array_append(writer->out, &length, 1);
    g_byte_array_append(writer->out, (const guint8 *)key, (guint)n_key);
    g_byte_array_append(writer->out, (const guint8 *)clean, (guint)n_value);
    end_record(writer);
}

void ex_writer_page(ExWriter *writer, float width, float height, const char *label)
{
    if (writer->is_finished || writer->n_pages == EX_PAGES_MAX) return;
    writer->n_pages++;
    g_autofree char *clean = clean_string(label, 64);
    put_head(writer->out, EX_RECORD_PAGE, 8 + strlen(clean));
    put_f32(writer->out, width);
    put_f32(writer->out, height);
    g_byte_array_append(writer->out, (const guint8 *)clean, (guint)strlen(clean));
    end_record(writer);
}

static void put_string_record(ExWriter *writer, ExRecordType type, const char *text)
{
    g_autofree char *clean = clean_string(text, EX_NAME_MAX);
    put_head(writer->out, type, strlen(clean));
    g_byte_array_append(writer->out, (const guint8 *)clean, (guint)strlen(clean));
    end_record(writer);
}

void ex_writer_item(ExWriter *writer, const char *name)
{
    if (writer->is_finished || writer->n_items == EX_ITEMS_MAX) return;
    writer->n_items++;
    put_string_record(writer, EX_RECORD_ITEM, name);
}

void ex_writer_member(ExWriter *writer, const char *name)
{
    if (!writer->is_finished) put_string_record(writer, EX_RECORD_MEMBER, name);
}

bool ex_writer_data(ExWriter *writer, const void *bytes, size_t n_bytes)
{
    if (writer->is_finished || writer->is_full || writer->is_broken) return false;
    if (writer->n_text_bytes + n_bytes > writer->max_text_bytes) {
        writer->is_full = true;
        return false;
    }
    for (size_t at = 0; at < n_bytes;) {
        size_t n = MIN(n_bytes - at, (size_t)EX_PAYLOAD_MAX);
        put_head(writer->out, EX_RECORD_DATA, n);
        g_byte_array_append(writer->out, (const guint8 *)bytes + at, (guint)n);
        end_record(writer);
        at += n;
    }
    writer->n_text_bytes += n_bytes;
    return true;
}

void ex_writer_member_end(ExWriter *writer, bool is_whole, const char *reason)
{
    if (writer->is_finished) return;
    g_autofree char *clean = clean_string(reason, EX_NAME_MAX);
    guint8 whole = is_whole;
    put_head(writer->out, EX_RECORD_MEMBER_END, 1 + strlen(clean));
    g_byte_array_append(writer->out, &whole, 1);
    g_byte_array_append(writer->out, (const guint8 *)clean, (guint)strlen(clean));
    flush(writer);
}

void ex_writer_note(ExWriter *writer, const char *format, ...)
{
    if (writer->is_finished || writer->n_notes == EX_NOTES_MAX) return;
    writer->n_notes++;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    put_string_record(writer, EX_RECORD_NOTE, text);
}

void ex_writer_progress(ExWriter *writer, uint32_t done, uint32_t total)
{
    if (writer->is_finished) return;
    put_head(writer->out, EX_RECORD_PROGRESS, 8);
    put_u32(writer->out, done);
    put_u32(writer->out, total);
    flush(writer); /* so that it is seen now */
}

static void put_run(GByteArray *out, const ExRun *run, uint32_t n_bytes, uint64_t source)
{
    put_u32(out, n_bytes);
    guint8 kind = (guint8)run->kind;
    g_byte_array_append(out, &kind, 1);
    if (run->kind == EX_RUN_BOX) {
        put_u32(out, run->page);
        put_f32(out, run->x0);
        put_f32(out, run->y0);
        put_f32(out, run->x1);
        put_f32(out, run->y1);
    } else if (run->kind == EX_RUN_SOURCE) {
        put_u64(out, source);
    }
}

/* One record of text [start, end), which begins `skip` bytes into run *io_run. */
static void put_block(ExWriter *writer, const guint8 head[4], const ExSpan *span, size_t start, size_t end, guint *io_run, size_t *io_skip)
{
    g_autoptr(GByteArray) runs = g_byte_array_new();
    uint32_t n_runs = 0;
    size_t at = start;
    while (at < end) {
        const ExRun *run = &g_array_index(span->runs, ExRun, *io_run);
        size_t n = MIN(run->n_bytes - *io_skip, end - at);
        const char *run_start = span->text->str + at - *io_skip;
        uint64_t source = run->source + (*io_skip && run->kind == EX_RUN_SOURCE ? (uint64_t)g_utf8_strlen(run_start, (gssize)*io_skip) : 0);
        put_run(runs, run, (uint32_t)n, source);
        n_runs++;
        at += n;
        *io_skip += n;
        if (*io_skip == run->n_bytes) {
            ++*io_run;
            *io_skip = 0;
        }
    }
    put_head(writer->out, EX_RECORD_BLOCK, EX_BLOCK_HEAD_BYTES + (end - start) + runs->len);
    g_byte_array_append(writer->out, head, 4);
    put_u32(writer->out, (uint32_t)(end - start));
    put_u32(writer->out, n_runs);
    g_byte_array_append(writer->out, (const guint8 *)span->text->str + start, (guint)(end - start));
    g_byte_array_append(writer->out, runs->data, runs->len);
    end_record(writer);
}

/* Where a record that begins at `start` ends, so that neither its text nor its runs exceed their limits. */
static size_t block_end(const ExSpan *span, size_t start, guint run, size_t skip)
{
    size_t end = start;
    for (guint i = run; i < span->runs->len && i - run < EX_BLOCK_RUNS_MAX; i++) {
        end += g_array_index(span->runs, ExRun, i).n_bytes - (i == run ? skip : 0);
    }
    if (end - start <= EX_BLOCK_TEXT_MAX) return end;
    end = start + EX_BLOCK_TEXT_MAX;
    while (((unsigned char)span->text->str[end] & 0xC0) == 0x80) end--;
    return end;
}

void ex_writer_block(ExWriter *writer, ExBlockKind kind, unsigned level, unsigned flags, ExSpan *span)
{
    if (writer->is_finished || writer->is_full) return;
    ex_span_normalise(span);
    ex_span_trim(span);
    if (ex_span_is_empty(span)) return;
    if (writer->n_text_bytes + span->text->len > writer->max_text_bytes) {
        writer->is_full = true;
        return;
    }
    if (kind == EX_BLOCK_HEADING && ++writer->n_headings > EX_HEADINGS_MAX) kind = EX_BLOCK_PARAGRAPH;
    size_t start = 0, skip = 0;
    guint run = 0;
    while (start < span->text->len) {
        size_t end = block_end(span, start, run, skip);
        unsigned all = start ? EX_FLAG_GOES_ON : flags;
        const guint8 head[4] = {(guint8)kind, (guint8)MIN(level, EX_LEVEL_MAX), (guint8)(all & 0xFF), (guint8)(all >> 8)};
        put_block(writer, head, span, start, end, &run, &skip);
        start = end;
    }
    writer->n_text_bytes += span->text->len;
}

void ex_writer_finish(ExWriter *writer, ExStatus status, const char *format, ...)
{
    if (writer->is_finished) return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *clean = clean_string(text, EX_NAME_MAX);
    put_head(writer->out, EX_RECORD_END, 12 + strlen(clean));
    put_u32(writer->out, (uint32_t)status);
    put_u64(writer->out, writer->n_text_bytes);
    g_byte_array_append(writer->out, (const guint8 *)clean, (guint)strlen(clean));
    writer->is_finished = true;
    flush(writer);
}

bool ex_writer_is_full(const ExWriter *writer)
{
    return writer->is_full || writer->is_broken;
}

uint64_t ex_writer_text_bytes(const ExWriter *writer)
{
    return writer->n_text_bytes;
}

void ex_writer_emergency(int fd, ExStatus status)
{
    unsigned char record[EX_RECORD_HEAD_BYTES + 12] = {EX_RECORD_END, 12, 0, 0, 0, (unsigned char)status};
    ssize_t n = write(fd, record, sizeof record);
    (void)n;
}
