/* app-places.h: runs that tie the text to its source, packed for the library.
 *
 * Owns: the packed form. Does not own: rows (app-import.c writes them, app-places.c reads them).
 *
 * Offset run: from text character `text_char` on, characters correspond one to one to source characters from source_char on in `item`.
 * Packed: LEB128 varints: text_char minus the run before's, zigzag(source_char - text_char minus the same of the run before), item. Each
 * row starts from zeros. Box: bytes [start, end) of the text stand in a rectangle of a page; 32 bytes, little-endian.
 */
#ifndef APP_PLACES_H
#define APP_PLACES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { APP_RUNS_ROW = 4096 }; /* runs in one row */

typedef struct AppOffsetRun {
    uint64_t text_char, source_char;
    uint32_t item;
} AppOffsetRun;

typedef struct AppBoxRun {
    uint64_t start, end;
    uint32_t page;
    float x0, y0, x1, y1;
} AppBoxRun;

void app_offset_runs_pack(const AppOffsetRun *runs, size_t n, GByteArray *to);
/* Appends to `runs`; false when the bytes are damaged. */
bool app_offset_runs_unpack(const uint8_t *data, size_t n_bytes, GArray *runs);
/* The source character of a text character, by the last of the runs at or before it. *ret_item may be NULL. */
uint64_t app_offset_runs_map(const AppOffsetRun *runs, size_t n, uint64_t text_char, uint32_t *ret_item);
void app_box_runs_pack(const AppBoxRun *runs, size_t n, GByteArray *to);
bool app_box_runs_unpack(const uint8_t *data, size_t n_bytes, GArray *runs);

#endif
