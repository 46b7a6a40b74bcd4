/* app-extract-stream.c: strict reading of the extractor's stream.
 *
 * Owns: every check of stream-format.h's rules.
 */
#include "app-extract-stream.h"

#include <glib/gi18n.h>
#include <math.h>
#include <string.h>

G_DEFINE_QUARK(app-extract-error, app_extract_error)

struct AppExtractStream {
    AppExtractSink sink;
    void *user;
    GByteArray *pending; /* bytes of a record that is not whole yet */
    GArray *runs;        /* AppExtractRun, of the block being read */
    uint64_t n_text_bytes, max_text_bytes;
    uint32_t n_pages, n_items, n_meta, n_notes, n_headings, n_members, last_page;
    bool has_magic, is_ended, is_broken, has_block, in_member;
    ExStatus status;
    char *message;
};

AppExtractStream *app_extract_stream_new(const AppExtractSink *sink, void *user, uint64_t max_text_bytes)
{
    AppExtractStream *stream = g_new0(AppExtractStream, 1);
    stream->sink = *sink;
    stream->user = user;
    stream->max_text_bytes = max_text_bytes;
    stream->pending = g_byte_array_new();
    stream->runs = g_array_new(FALSE, FALSE, sizeof(AppExtractRun));
    return stream;
}

void app_extract_stream_free(AppExtractStream *stream)
{
    if (!stream) return;
    g_byte_array_unref(stream->pending);
    g_array_unref(stream->runs);
    g_free(stream->message);
    g_free(stream);
}

static bool refuse(AppExtractStream *stream, GError **error, const char *what)
{
    stream->is_broken = true;
    g_set_error(error, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_STREAM, _("the extractor's output is not valid: %s"), what);
    return false;
}

/* ------------------------------------------------------------------------------------------------------------ parts */

typedef struct Cursor {
    const guint8 *at;
    size_t n_left;
} Cursor;

static bool take_u8(Cursor *cursor, uint8_t *ret)
{
    if (cursor->n_left < 1) return false;
    *ret = *cursor->at;
    cursor->at++;
    cursor->n_left--;
    return true;
}

static bool take_u32(Cursor *cursor, uint32_t *ret)
{
    uint32_t little;
    if (cursor->n_left < sizeof little) return false;
    memcpy(&little, cursor->at, sizeof little);
    *ret = GUINT32_FROM_LE(little);
    cursor->at += sizeof little;
    cursor->n_left -= sizeof little;
    return true;
}

static bool take_u64(Cursor *cursor, uint64_t *ret)
{
    uint32_t low, high;
    if (!take_u32(cursor, &low) || !take_u32(cursor, &high)) return false;
    *ret = low | (uint64_t)high << 32;
    return true;
}

/* A coordinate: finite and of a size that a page can have. */
static bool take_coordinate(Cursor *cursor, float *ret)
{
    uint32_t bits;
    float value;
    if (!take_u32(cursor, &bits)) return false;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value) || fabsf(value) > 1e6F) return false;
    *ret = value;
    return true;
}

static bool is_text(const guint8 *text, size_t n_bytes, bool is_line)
{
    for (size_t i = 0; i < n_bytes; i++) {
        bool is_break = text[i] == '\n' || text[i] == '\t';
        if ((text[i] < 0x20 && (is_line || !is_break)) || text[i] == 0x7F) return false;
    }
    return g_utf8_validate((const char *)text, (gssize)n_bytes, NULL);
}

static char *take_line(Cursor *cursor, size_t max)
{
    if (cursor->n_left > max || !is_text(cursor->at, cursor->n_left, true)) return NULL;
    char *text = g_strndup((const char *)cursor->at, cursor->n_left);
    cursor->n_left = 0;
    return text;
}

/* ---------------------------------------------------------------------------------------------------------- records */

static bool read_meta(AppExtractStream *stream, Cursor *cursor, GError **error)
{
    uint8_t n_key = 0;
    char key[32];
    if (++stream->n_meta > EX_META_MAX || !take_u8(cursor, &n_key) || n_key == 0 || n_key >= sizeof key || cursor->n_left < n_key) {
        return refuse(stream, error, "metadata");
    }
    memcpy(key, cursor->at, n_key);
    key[n_key] = 0;
    cursor->at += n_key;
    cursor->n_left -= n_key;
    if (strspn(key, "abcdefghijklmnopqrstuvwxyz_") != n_key) return refuse(stream, error, "a name of metadata");
    g_autofree char *value = take_line(cursor, EX_META_VALUE_MAX);
    if (!value) return refuse(stream, error, "a value of metadata");
    return !stream->sink.meta || stream->sink.meta(stream->user, key, value, error);
}

static bool read_page(AppExtractStream *stream, Cursor *cursor, GError **error)
{
    float width, height;
    if (stream->n_pages == EX_PAGES_MAX) return refuse(stream, error, "too many pages");
    if (!take_coordinate(cursor, &width) || !take_coordinate(cursor, &height) || width < 0 || height < 0) {
        return refuse(stream, error, "a page's size");
    }
    g_autofree char *label = take_line(cursor, EX_NAME_MAX);
    if (!label) return refuse(stream, error, "a page's label");
    uint32_t index = stream->n_pages++;
    return !stream->sink.page || stream->sink.page(stream->user, index, width, height, label, error);
}

static bool read_item(AppExtractStream *stream, Cursor *cursor, GError **error)
{
    if (stream->n_items == EX_ITEMS_MAX) return refuse(stream, error, "too many items");
    g_autofree char *name = take_line(cursor, EX_NAME_MAX);
    if (!name) return refuse(stream, error, "an item's name");
    stream->n_items++;
    return !stream->sink.item || stream->sink.item(stream->user, name, error);
}

static bool read_run(AppExtractStream *stream, Cursor *cursor, AppExtractRun *run)
{
    uint32_t n_bytes = 0;
    uint8_t kind = 0;
    if (!take_u32(cursor, &n_bytes) || !take_u8(cursor, &kind) || n_bytes == 0) return false;
    *run = (AppExtractRun){.n_bytes = n_bytes, .kind = (ExRunKind)kind};
    switch (kind) {
    case EX_RUN_MADE: return true;
    case EX_RUN_BOX:
        if (!take_u32(cursor, &run->page) || run->page >= stream->n_pages || run->page < stream->last_page) return false;
        stream->last_page = run->page;
        return take_coordinate(cursor, &run->x0) && take_coordinate(cursor, &run->y0) && take_coordinate(cursor, &run->x1) &&
               take_coordinate(cursor, &run->y1) && run->x0 <= run->x1 && run->y0 <= run->y1;
    case EX_RUN_SOURCE:
        run->item = stream->n_items ? stream->n_items - 1 : 0;
        return take_u64(cursor, &run->source_char) && run->source_char <= UINT64_C(1) << 40;
    default: return false;
    }
}

static bool read_runs(AppExtractStream *stream, Cursor *cursor, const guint8 *text, size_t n_text, uint32_t n_runs)
{
    g_array_set_size(stream->runs, 0);
    size_t at = 0;
    for (uint32_t i = 0; i < n_runs; i++) {
        AppExtractRun run;
        if (!read_run(stream, cursor, &run) || run.n_bytes > n_text - at) return false;
        at += run.n_bytes;
        if (at < n_text && (text[at] & 0xC0) == 0x80) return false; /* inside a character */
        g_array_append_val(stream->runs, run);
    }
    return at == n_text;
}

static bool count_bytes(AppExtractStream *stream, size_t n_bytes, GError **error)
{
    stream->n_text_bytes += n_bytes;
    if (stream->n_text_bytes <= stream->max_text_bytes) return true;
    stream->is_broken = true;
    g_set_error(error, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_LIMIT, _("it holds more than is allowed"));
    return false;
}

static bool read_block(AppExtractStream *stream, Cursor *cursor, GError **error)
{
    uint8_t kind = 0, level = 0, flags_low = 0, flags_high = 0;
    uint32_t n_text = 0, n_runs = 0;
    bool is_whole = take_u8(cursor, &kind) && take_u8(cursor, &level) && take_u8(cursor, &flags_low) && take_u8(cursor, &flags_high) &&
                    take_u32(cursor, &n_text) && take_u32(cursor, &n_runs);
    unsigned flags = flags_low | (unsigned)flags_high << 8;
    if (!is_whole || kind < EX_BLOCK_PARAGRAPH || kind >= EX_BLOCK_KINDS || level > EX_LEVEL_MAX || (flags & ~(unsigned)EX_FLAGS_ALL)) {
        return refuse(stream, error, "a block's head");
    }
    if (kind == EX_BLOCK_HEADING && (level == 0 || ++stream->n_headings > EX_HEADINGS_MAX)) return refuse(stream, error, "a heading");
    if ((flags & EX_FLAG_GOES_ON) && !stream->has_block) return refuse(stream, error, "a block that continues nothing");
    if (n_text == 0 || n_text > EX_BLOCK_TEXT_MAX || n_text > cursor->n_left || n_runs > EX_BLOCK_RUNS_MAX) {
        return refuse(stream, error, "a block's size");
    }
    const guint8 *text = cursor->at;
    if (!is_text(text, n_text, kind == EX_BLOCK_HEADING || kind == EX_BLOCK_TABLE_HEAD || kind == EX_BLOCK_TABLE_ROW)) {
        return refuse(stream, error, "a block's text");
    }
    cursor->at += n_text;
    cursor->n_left -= n_text;
    if (!read_runs(stream, cursor, text, n_text, n_runs)) return refuse(stream, error, "a block's places");
    if (!count_bytes(stream, n_text, error)) return false;
    stream->has_block = true;
    const AppExtractBlock block = {(ExBlockKind)kind, level, flags, (const char *)text, n_text, (const AppExtractRun *)(void *)stream->runs->data,
                                   stream->runs->len};
    return !stream->sink.block || stream->sink.block(stream->user, &block, error);
}

static bool read_progress(AppExtractStream *stream, Cursor *cursor, GError **error)
{
    uint32_t done = 0, total = 0;
    if (!take_u32(cursor, &done) || !take_u32(cursor, &total) || done > total) return refuse(stream, error, "progress");
    return !stream->sink.progress || stream->sink.progress(stream->user, done, total, error);
}

static bool read_note(AppExtractStream *stream, Cursor *cursor, GError **error)
{
    g_autofree char *text = ++stream->n_notes <= EX_NOTES_MAX ? take_line(cursor, EX_NAME_MAX) : NULL;
    if (!text) return refuse(stream, error, "a remark");
    return !stream->sink.note || stream->sink.note(stream->user, text, error);
}

static bool read_member(AppExtractStream *stream, Cursor *cursor, GError **error)
{
    if (!stream->sink.member || stream->in_member || stream->n_members == EX_ITEMS_MAX) return refuse(stream, error, "a file of an archive");
    stream->n_members++;
    g_autofree char *name = take_line(cursor, EX_NAME_MAX);
    if (!name || !*name || *name == '/') return refuse(stream, error, "a name in an archive");
    g_auto(GStrv) parts = g_strsplit(name, "/", -1);
    for (char **part = parts; *part; part++) {
        if (**part == 0 || strcmp(*part, ".") == 0 || strcmp(*part, "..") == 0) return refuse(stream, error, "a name in an archive");
    }
    stream->in_member = true;
    return stream->sink.member(stream->user, name, error);
}

static bool read_data(AppExtractStream *stream, Cursor *cursor, GError **error)
{
    if (!stream->in_member) return refuse(stream, error, "bytes outside of a file");
    size_t n_bytes = cursor->n_left;
    cursor->n_left = 0;
    return count_bytes(stream, n_bytes, error) && (!stream->sink.data || stream->sink.data(stream->user, cursor->at, n_bytes, error));
}

static bool read_member_end(AppExtractStream *stream, Cursor *cursor, GError **error)
{
    uint8_t is_whole = 0;
    if (!stream->in_member || !take_u8(cursor, &is_whole) || is_whole > 1) return refuse(stream, error, "the end of a file");
    g_autofree char *reason = take_line(cursor, EX_NAME_MAX);
    if (!reason) return refuse(stream, error, "the end of a file");
    stream->in_member = false;
    return !stream->sink.member_end || stream->sink.member_end(stream->user, is_whole != 0, reason, error);
}

static bool read_end(AppExtractStream *stream, Cursor *cursor, GError **error)
{
    uint32_t status = 0;
    uint64_t n_text_bytes = 0;
    if (!take_u32(cursor, &status) || !take_u64(cursor, &n_text_bytes) || status >= EX_STATUSES) return refuse(stream, error, "the end");
    if (status == EX_OK && (n_text_bytes != stream->n_text_bytes || stream->in_member)) return refuse(stream, error, "text is missing");
    char *message = take_line(cursor, EX_NAME_MAX);
    if (!message) return refuse(stream, error, "the end's message");
    stream->message = message;
    stream->status = (ExStatus)status;
    stream->is_ended = true;
    return true;
}

static bool read_record(AppExtractStream *stream, uint8_t type, const guint8 *payload, size_t n_bytes, GError **error)
{
    Cursor cursor = {payload, n_bytes};
    bool is_right = false;
    switch (type) {
    case EX_RECORD_META: is_right = read_meta(stream, &cursor, error); break;
    case EX_RECORD_PAGE: is_right = read_page(stream, &cursor, error); break;
    case EX_RECORD_ITEM: is_right = read_item(stream, &cursor, error); break;
    case EX_RECORD_BLOCK: is_right = read_block(stream, &cursor, error); break;
    case EX_RECORD_PROGRESS: is_right = read_progress(stream, &cursor, error); break;
    case EX_RECORD_NOTE: is_right = read_note(stream, &cursor, error); break;
    case EX_RECORD_END: is_right = read_end(stream, &cursor, error); break;
    case EX_RECORD_MEMBER: is_right = read_member(stream, &cursor, error); break;
    case EX_RECORD_DATA: is_right = read_data(stream, &cursor, error); break;
    case EX_RECORD_MEMBER_END: is_right = read_member_end(stream, &cursor, error); break;
    default: return refuse(stream, error, "a record of unknown type");
    }
    if (is_right && cursor.n_left) return refuse(stream, error, "a record is too long");
    if (!is_right) stream->is_broken = true;
    return is_right;
}

bool app_extract_stream_feed(AppExtractStream *stream, const void *data, size_t n_bytes, GError **error)
{
    if (stream->is_broken) return refuse(stream, error, "reading went on after an error");
    g_byte_array_append(stream->pending, data, (guint)n_bytes);
    size_t at = 0;
    const guint8 *bytes = stream->pending->data;
    size_t n = stream->pending->len;
    if (!stream->has_magic) {
        if (n < EX_MAGIC_BYTES) return true;
        if (memcmp(bytes, EX_MAGIC, EX_MAGIC_BYTES) != 0) return refuse(stream, error, "it does not begin as it should");
        stream->has_magic = true;
        at = EX_MAGIC_BYTES;
    }
    while (n - at >= EX_RECORD_HEAD_BYTES) {
        if (stream->is_ended) return refuse(stream, error, "it goes on after its end");
        Cursor head = {bytes + at, EX_RECORD_HEAD_BYTES};
        uint8_t type = 0;
        uint32_t length = 0;
        if (!take_u8(&head, &type) || !take_u32(&head, &length) || length > EX_PAYLOAD_MAX) return refuse(stream, error, "a record's length");
        if (n - at - EX_RECORD_HEAD_BYTES < length) break;
        if (!read_record(stream, type, bytes + at + EX_RECORD_HEAD_BYTES, length, error)) return false;
        at += EX_RECORD_HEAD_BYTES + length;
    }
    if (at == n) g_byte_array_set_size(stream->pending, 0);
    else if (at) g_byte_array_remove_range(stream->pending, 0, (guint)at);
    return !(stream->is_ended && stream->pending->len) || refuse(stream, error, "it goes on after its end");
}

bool app_extract_stream_is_ended(const AppExtractStream *stream, ExStatus *ret_status, const char **ret_message)
{
    if (!stream->is_ended) return false;
    if (ret_status) *ret_status = stream->status;
    if (ret_message) *ret_message = stream->message;
    return true;
}
