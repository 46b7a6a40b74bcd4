/* app-places.c: from a range of the text to its place in the source: characters, pages, rectangles, heading.
 *
 * Owns: packing of runs, app_library_locate. Does not own: how runs come about (app-text.c, extraction).
 */
#include "app-places.h"

#include <glib/gi18n.h>
#include <string.h>

#include "app-library-internal.h"

/* ------------------------------------------------------------------------------------------------------------- packing */

static void put_varint(GByteArray *to, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        g_byte_array_append(to, &byte, 1);
        value >>= 7;
    } while (value != 0);
}

static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (*at == end) return false;
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

void app_offset_runs_pack(const AppOffsetRun *runs, size_t n, GByteArray *to)
{
    uint64_t last_char = 0, last_shift = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t shift = runs[i].source_char - runs[i].text_char, step = shift - last_shift; /* modulo 2^64 */
        put_varint(to, runs[i].text_char - last_char);
        put_varint(to, (step << 1) ^ (step >> 63 != 0 ? UINT64_MAX : 0));
        put_varint(to, runs[i].item);
        last_char = runs[i].text_char;
        last_shift = shift;
    }
}

bool app_offset_runs_unpack(const uint8_t *data, size_t n_bytes, GArray *runs)
{
    const uint8_t *at = data, *end = data + n_bytes;
    uint64_t last_char = 0, last_shift = 0;
    while (at < end) {
        uint64_t step, zigzag, item;
        if (!get_varint(&at, end, &step) || !get_varint(&at, end, &zigzag) || !get_varint(&at, end, &item)) return false;
        last_char += step;
        last_shift += (zigzag >> 1) ^ ((zigzag & 1) != 0 ? UINT64_MAX : 0);
        AppOffsetRun run = {last_char, last_char + last_shift, (uint32_t)item};
        g_array_append_val(runs, run);
    }
    return true;
}

uint64_t app_offset_runs_map(const AppOffsetRun *runs, size_t n, uint64_t text_char, uint32_t *ret_item)
{
    size_t low = 0, high = n; /* the last run with text_char <= the wanted one is low - 1 */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (runs[middle].text_char <= text_char) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const AppOffsetRun *run = n > 0 ? &runs[low > 0 ? low - 1 : 0] : NULL;
    if (ret_item != NULL) *ret_item = run != NULL ? run->item : 0;
    return run != NULL && text_char >= run->text_char ? run->source_char + (text_char - run->text_char) : text_char;
}

void app_box_runs_pack(const AppBoxRun *runs, size_t n, GByteArray *to)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t bytes[36];
        memcpy(bytes, &runs[i].start, 8);
        memcpy(bytes + 8, &runs[i].end, 8);
        memcpy(bytes + 16, &runs[i].page, 4);
        memcpy(bytes + 20, &runs[i].x0, 4);
        memcpy(bytes + 24, &runs[i].y0, 4);
        memcpy(bytes + 28, &runs[i].x1, 4);
        memcpy(bytes + 32, &runs[i].y1, 4);
        g_byte_array_append(to, bytes, sizeof bytes);
    }
}

bool app_box_runs_unpack(const uint8_t *data, size_t n_bytes, GArray *runs)
{
    if (n_bytes % 36 != 0) return false;
    for (size_t at = 0; at < n_bytes; at += 36) {
        AppBoxRun run;
        memcpy(&run.start, data + at, 8);
        memcpy(&run.end, data + at + 8, 8);
        memcpy(&run.page, data + at + 16, 4);
        memcpy(&run.x0, data + at + 20, 4);
        memcpy(&run.y0, data + at + 24, 4);
        memcpy(&run.x1, data + at + 28, 4);
        memcpy(&run.y1, data + at + 32, 4);
        g_array_append_val(runs, run);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ locating */

void app_place_free(AppPlace *place)
{
    if (place == NULL) return;
    g_free(place->page_label);
    g_free(place->source_item);
    g_free(place->heading);
    g_free(place->boxes);
    g_free(place);
}

/* Aligns *at to a character and counts the characters before it. ret_heading: NULL, or the passage's heading path. */
static bool count_chars(AppDb *db, int64_t document, uint64_t *at, uint64_t *ret_char, char **ret_heading, GError **error)
{
    sqlite3_stmt *row = app_db_query(db, error,
                                     "SELECT start, char_start, text, heading FROM passages WHERE document=? AND start<=?"
                                     " ORDER BY start DESC LIMIT 1",
                                     "ii", document, (int64_t)MIN(*at, (uint64_t)INT64_MAX));
    int found = row != NULL ? app_db_step(db, row, error) : -1;
    if (found < 0) return false;
    *ret_char = 0;
    if (found == 0) {
        *at = 0;
        return true;
    }
    uint64_t start = (uint64_t)sqlite3_column_int64(row, 0);
    const char *text = (const char *)sqlite3_column_text(row, 2);
    size_t n_bytes = (size_t)sqlite3_column_bytes(row, 2), within = (size_t)MIN(*at - start, (uint64_t)n_bytes);
    while (within > 0 && within < n_bytes && ((unsigned char)text[within] & 0xc0) == 0x80) within--;
    *at = start + within;
    *ret_char = (uint64_t)sqlite3_column_int64(row, 1) + (uint64_t)g_utf8_strlen(text, (gssize)within);
    if (ret_heading != NULL) *ret_heading = app_db_dup_text(row, 3);
    sqlite3_reset(row);
    return true;
}

static bool damaged(GError **error)
{
    g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_FAILED, _("The library's record of places in the source is damaged; read the file again"));
    return false;
}

static bool map_char(AppDb *db, int64_t document, uint64_t text_char, bool *ret_known, uint64_t *ret_source, uint32_t *ret_item, GError **error)
{
    sqlite3_stmt *row = app_db_query(db, error, "SELECT data FROM offset_runs WHERE document=? AND first<=? ORDER BY first DESC LIMIT 1", "ii",
                                     document, (int64_t)text_char);
    int found = row != NULL ? app_db_step(db, row, error) : -1;
    if (found < 0) return false;
    *ret_known = found > 0;
    if (found == 0) return true;
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(AppOffsetRun));
    bool ok = app_offset_runs_unpack(sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0), runs);
    sqlite3_reset(row);
    if (!ok || runs->len == 0) return damaged(error);
    *ret_source = app_offset_runs_map((const AppOffsetRun *)(void *)runs->data, runs->len, text_char, ret_item);
    return true;
}

static bool locate_source(AppDb *db, int64_t document, AppPlace *place, GError **error)
{
    bool known = false;
    uint32_t item = 0, end_item = 0;
    if (!map_char(db, document, place->char_start, &known, &place->source_start, &item, error)) return false;
    place->source_item = g_strdup("");
    if (!known) return true;
    /* The place before the next character is the end, unless that one stands elsewhere: then one past the last character. */
    if (!map_char(db, document, place->char_end, &known, &place->source_end, &end_item, error)) return false;
    if (place->char_end > place->char_start && (end_item != item || place->source_end < place->source_start)) {
        if (!map_char(db, document, place->char_end - 1, &known, &place->source_end, &end_item, error)) return false;
        place->source_end++;
    }
    sqlite3_stmt *row = app_db_query(db, error, "SELECT name FROM items WHERE document=? AND idx=?", "ii", document, (int64_t)item);
    int found = row != NULL ? app_db_step(db, row, error) : -1;
    if (found > 0) {
        g_free(place->source_item);
        place->source_item = app_db_dup_text(row, 0);
        sqlite3_reset(row);
    }
    return found >= 0;
}

/* The page at a byte offset: index, and its label if wanted. UINT32_MAX without pages. */
static bool find_page(AppDb *db, int64_t document, uint64_t at, uint32_t *ret_page, char **ret_label, GError **error)
{
    sqlite3_stmt *row = app_db_query(db, error, "SELECT idx, label FROM pages WHERE document=? AND start<=? ORDER BY start DESC, idx DESC LIMIT 1",
                                     "ii", document, (int64_t)at);
    int found = row != NULL ? app_db_step(db, row, error) : -1;
    if (found < 0) return false;
    *ret_page = found > 0 ? (uint32_t)sqlite3_column_int64(row, 0) : UINT32_MAX;
    if (ret_label != NULL) *ret_label = found > 0 ? app_db_dup_text(row, 1) : g_strdup("");
    if (found > 0) sqlite3_reset(row);
    return true;
}

static bool locate_boxes(AppDb *db, int64_t document, AppPlace *place, GError **error)
{
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(AppBoxRun));
    sqlite3_stmt *rows = app_db_query(db, error,
                                      "SELECT data FROM box_runs WHERE document=?1 AND first < ?3 AND first >= ifnull("
                                      "(SELECT max(first) FROM box_runs WHERE document=?1 AND first <= ?2), 0) ORDER BY first",
                                      "iii", document, (int64_t)place->start, (int64_t)place->end);
    int row = rows != NULL ? 1 : -1;
    bool ok = true;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        ok = ok && app_box_runs_unpack(sqlite3_column_blob(rows, 0), (size_t)sqlite3_column_bytes(rows, 0), runs);
    }
    if (row < 0) return false;
    if (!ok) return damaged(error);
    g_autoptr(GArray) boxes = g_array_new(FALSE, FALSE, sizeof(AppBox));
    for (guint i = 0; i < runs->len; i++) {
        const AppBoxRun *run = &g_array_index(runs, AppBoxRun, i);
        if (run->end <= place->start || run->start >= place->end) continue;
        AppBox box = {run->page, run->x0, run->y0, run->x1, run->y1};
        g_array_append_val(boxes, box);
    }
    place->n_boxes = boxes->len;
    place->boxes = g_memdup2(boxes->data, boxes->len * sizeof(AppBox));
    return true;
}

AppPlace *app_library_locate(AppLibrary *library, int64_t document, uint64_t start, uint64_t end, GError **error)
{
    if (end < start) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, _("A range ends before it begins"));
        return NULL;
    }
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    AppPlace *place = g_new0(AppPlace, 1);
    place->start = start;
    place->end = end;
    uint64_t last;
    bool ok = count_chars(db, document, &place->start, &place->char_start, &place->heading, error) &&
              count_chars(db, document, &place->end, &place->char_end, NULL, error);
    last = place->end > place->start ? place->end - 1 : place->start;
    ok = ok && locate_source(db, document, place, error) && locate_boxes(db, document, place, error) &&
         find_page(db, document, place->start, &place->page_first, &place->page_label, error) &&
         find_page(db, document, last, &place->page_last, NULL, error);
    app_library_end_read(library, db);
    if (ok) return place;
    app_place_free(place);
    return NULL;
}
