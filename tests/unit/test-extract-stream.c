/* test-extract-stream.c: the strict reader of the extractor's stream: what the writer writes is read back; every breach is refused. */
#include "app-extract-stream.h"
#include "extract-writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Seen {
    GString *log;
} Seen;

static bool on_meta(void *user, const char *key, const char *value, GError **error)
{
    g_string_append_printf(((Seen *)user)->log, "meta %s=%s;", key, value);
    return true;
}

static bool on_page(void *user, uint32_t index, float width, float height, const char *label, GError **error)
{
    g_string_append_printf(((Seen *)user)->log, "page %u %g %g %s;", index, (double)width, (double)height, label);
    return true;
}

static bool on_block(void *user, const AppExtractBlock *block, GError **error)
{
    GString *log = ((Seen *)user)->log;
    g_string_append_printf(log, "block %d %u %u [%.*s]", (int)block->kind, block->level, block->flags, (int)MIN(block->n_bytes, 40), block->text);
    for (size_t i = 0; i < MIN(block->n_runs, 4); i++) {
        const AppExtractRun *run = &block->runs[i];
        if (run->kind == EX_RUN_BOX) g_string_append_printf(log, " box%u@%u(%g)", (unsigned)run->n_bytes, run->page, (double)run->x0);
        else if (run->kind == EX_RUN_SOURCE) g_string_append_printf(log, " source%u@%u", (unsigned)run->n_bytes, (unsigned)run->source_char);
        else g_string_append_printf(log, " made%u", (unsigned)run->n_bytes);
    }
    g_string_append_c(log, ';');
    return true;
}

static const AppExtractSink sink = {.meta = on_meta, .page = on_page, .block = on_block};

/* What a writer leaves in a pipe. */
static GByteArray *written(void (*write_it)(ExWriter *writer))
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("lectern-stream-XXXXXX", &path, &error);
    assert_true(fd >= 0);
    unlink(path);
    ExWriter *writer = ex_writer_new(fd, 1 << 24);
    write_it(writer);
    ex_writer_free(writer);
    GByteArray *bytes = g_byte_array_new();
    lseek(fd, 0, SEEK_SET);
    guint8 buffer[65536];
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) g_byte_array_append(bytes, buffer, (guint)n);
    close(fd);
    return bytes;
}

static void write_small(ExWriter *writer)
{
    ex_writer_meta(writer, "title", "A\nb");
    ex_writer_page(writer, 612, 792, "iv");
    g_autoptr(ExSpan) span = ex_span_new();
    const ExRun box = {.kind = EX_RUN_BOX, .page = 0, .x0 = 72, .y0 = 1, .x1 = 90, .y1 = 9};
    const ExRun source = {.kind = EX_RUN_SOURCE, .source = 7};
    ex_span_add(span, " Cafe", 5, &box);
    ex_span_add(span, "\xCC\x81", 2, &box); /* a combining acute accent: NFC makes one letter of both */
    ex_span_add_made(span, " | ");
    ex_span_add(span, "12 ", 3, &source);
    ex_writer_block(writer, EX_BLOCK_TABLE_ROW, 0, EX_FLAG_TABLE_BEGIN, span);
    ex_writer_finish(writer, EX_OK, "%s", "");
}

static void test_reads_back(void **state)
{
    g_autoptr(GByteArray) bytes = written(write_small);
    for (size_t piece = 1; piece <= bytes->len; piece = piece * 3 + 1) {
        Seen seen = {g_string_new(NULL)};
        g_autoptr(AppExtractStream) stream = app_extract_stream_new(&sink, &seen, 1 << 20);
        for (size_t at = 0; at < bytes->len; at += piece) {
            assert_true(app_extract_stream_feed(stream, bytes->data + at, MIN(piece, bytes->len - at), NULL));
        }
        ExStatus status = EX_FAILED;
        assert_true(app_extract_stream_is_ended(stream, &status, NULL));
        assert_int_equal(status, EX_OK);
        assert_string_equal(seen.log->str, "meta title=A b;page 0 612 792 iv;block 4 0 1 [Café | 12] box5@0(72) made3 source2@7;");
        g_string_free(seen.log, TRUE);
    }
}

static void write_long(ExWriter *writer)
{
    g_autoptr(ExSpan) span = ex_span_new();
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < 300000; i++) g_string_append(text, "é ");
    const ExRun source = {.kind = EX_RUN_SOURCE, .source = 0};
    ex_span_add(span, text->str, text->len, &source);
    ex_writer_block(writer, EX_BLOCK_PARAGRAPH, 0, 0, span);
    ex_writer_finish(writer, EX_OK, "%s", "");
}

typedef struct Long {
    uint64_t n_bytes, n_chars;
    unsigned n_blocks;
} Long;

static bool on_long(void *user, const AppExtractBlock *block, GError **error)
{
    Long *all = user;
    assert_int_equal((block->flags & EX_FLAG_GOES_ON) != 0, all->n_blocks > 0);
    assert_int_equal(block->runs[0].source_char, all->n_chars);
    all->n_blocks++;
    all->n_bytes += block->n_bytes;
    all->n_chars += (uint64_t)g_utf8_strlen(block->text, (gssize)block->n_bytes);
    return true;
}

static void test_long_text_is_divided(void **state)
{
    static const AppExtractSink long_sink = {.block = on_long};
    g_autoptr(GByteArray) bytes = written(write_long);
    Long all = {0};
    g_autoptr(AppExtractStream) stream = app_extract_stream_new(&long_sink, &all, 1 << 24);
    assert_true(app_extract_stream_feed(stream, bytes->data, bytes->len, NULL));
    assert_true(app_extract_stream_is_ended(stream, NULL, NULL));
    assert_int_equal(all.n_bytes, 900000 - 1); /* the last space is trimmed */
    assert_true(all.n_blocks >= 4);
}

static bool is_refused(const GByteArray *bytes, uint64_t max_text_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AppExtractStream) stream = app_extract_stream_new(&(AppExtractSink){0}, NULL, max_text_bytes);
    bool is_right = app_extract_stream_feed(stream, bytes->data, bytes->len, &error);
    assert_true(is_right == (error == NULL));
    return !is_right;
}

static void test_cut_stream_has_no_end(void **state)
{
    g_autoptr(GByteArray) bytes = written(write_small);
    for (guint n = 0; n < bytes->len; n++) {
        g_autoptr(AppExtractStream) stream = app_extract_stream_new(&(AppExtractSink){0}, NULL, 1 << 20);
        assert_true(app_extract_stream_feed(stream, bytes->data, n, NULL));
        assert_false(app_extract_stream_is_ended(stream, NULL, NULL));
    }
}

static void test_limit_and_tail(void **state)
{
    g_autoptr(GByteArray) bytes = written(write_small);
    assert_false(is_refused(bytes, 1 << 20));
    assert_true(is_refused(bytes, 9));
    g_byte_array_append(bytes, (const guint8 *)"x", 1);
    assert_true(is_refused(bytes, 1 << 20));
}

/* A record by hand behind the magic (and one page). */
static GByteArray *record(uint8_t type, const void *payload, size_t n, uint32_t length)
{
    GByteArray *bytes = g_byte_array_new();
    g_byte_array_append(bytes, (const guint8 *)EX_MAGIC, EX_MAGIC_BYTES);
    static const guint8 page[] = {EX_RECORD_PAGE, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    g_byte_array_append(bytes, page, sizeof page);
    uint32_t little = GUINT32_TO_LE(length);
    g_byte_array_append(bytes, &type, 1);
    g_byte_array_append(bytes, (const guint8 *)&little, 4);
    g_byte_array_append(bytes, payload, (guint)n);
    return bytes;
}

static void assert_record(uint8_t type, const void *payload, size_t n, bool is_right)
{
    g_autoptr(GByteArray) bytes = record(type, payload, n, (uint32_t)n);
    assert_int_equal(is_refused(bytes, 1 << 20), !is_right);
}

#define BLOCK(kind, level, flags, n_text, n_runs) kind, level, flags, 0, n_text, 0, 0, 0, n_runs, 0, 0, 0
#define MADE(n) n, 0, 0, 0, EX_RUN_MADE

static void test_breaches_are_refused(void **state)
{
#define REFUSED(type, ...) assert_record(type, (const guint8[]){__VA_ARGS__}, sizeof((const guint8[]){__VA_ARGS__}), false)
#define ACCEPTED(type, ...) assert_record(type, (const guint8[]){__VA_ARGS__}, sizeof((const guint8[]){__VA_ARGS__}), true)
    ACCEPTED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 2, 1), 'o', 'k', MADE(2));
    REFUSED(EX_RECORD_BLOCK, BLOCK(0, 0, 0, 2, 1), 'o', 'k', MADE(2));                  /* kinds */
    REFUSED(EX_RECORD_BLOCK, BLOCK(9, 0, 0, 2, 1), 'o', 'k', MADE(2));
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 8, 2, 1), 'o', 'k', MADE(2));                  /* a flag that is not there */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, EX_FLAG_GOES_ON, 2, 1), 'o', 'k', MADE(2));    /* continues nothing */
    REFUSED(EX_RECORD_BLOCK, BLOCK(2, 0, 0, 2, 1), 'o', 'k', MADE(2));                  /* a heading without a level */
    REFUSED(EX_RECORD_BLOCK, BLOCK(2, 1, 0, 2, 1), 'o', '\n', MADE(2));                 /* a heading of two lines */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 0, 0));                                     /* nothing */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 2, 1), 'o', 'k', MADE(1));                  /* runs too short, */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 2, 1), 'o', 'k', MADE(3));                  /* too long, */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 2, 2), 'o', 'k', MADE(2));                  /* too few, */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 2, 1), 'o', 'k', MADE(2), 0);               /* bytes behind them */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 2, 2), 'o', 'k', MADE(0), MADE(2));         /* an empty run */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 2, 2), 0xC3, 0xA9, MADE(1), MADE(1));       /* inside a character */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 2, 1), 0xC3, 'k', MADE(2));                 /* not UTF-8 */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 2, 1), 'o', 0x1B, MADE(2));                 /* a control character */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 2, 1), 'o', 0, MADE(2));
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 200, 1), 'o', 'k', MADE(2));                /* longer than its record */
    ACCEPTED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 1, 1), 'o', 1, 0, 0, 0, EX_RUN_BOX, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 1, 1), 'o', 1, 0, 0, 0, EX_RUN_BOX, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 1, 1), 'o', 1, 0, 0, 0, EX_RUN_BOX, 0, 0, 0, 0, 0, 0, 0xC0, 0x7F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0); /* NaN */
    REFUSED(EX_RECORD_BLOCK, BLOCK(1, 0, 0, 1, 1), 'o', 1, 0, 0, 0, 7);                 /* a run of unknown kind */
    REFUSED(EX_RECORD_META, 5, 'T', 'i', 't', 'l', 'e', 'x');                           /* capitals in a key */
    REFUSED(EX_RECORD_META, 9, 'a');
    REFUSED(EX_RECORD_PAGE, 0, 0, 0x80, 0x7F, 0, 0, 0, 0);                              /* infinite width */
    REFUSED(EX_RECORD_PROGRESS, 2, 0, 0, 0, 1, 0, 0, 0);                                /* more done than there is */
    REFUSED(EX_RECORD_END, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);                        /* an unknown status */
    REFUSED(EX_RECORD_END, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);                         /* text is missing */
    REFUSED(77, 0);
    g_autoptr(GByteArray) huge = record(EX_RECORD_NOTE, "", 0, EX_PAYLOAD_MAX + 1);
    assert_true(is_refused(huge, 1 << 20));
    g_autoptr(GByteArray) other = g_byte_array_new();
    g_byte_array_append(other, (const guint8 *)"%PDF-1.4\n", 9);
    assert_true(is_refused(other, 1 << 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back),       cmocka_unit_test(test_long_text_is_divided), cmocka_unit_test(test_cut_stream_has_no_end),
        cmocka_unit_test(test_limit_and_tail),   cmocka_unit_test(test_breaches_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
