/* fuzz-cache.c: a sound cache file, damaged and forged by edits that the input lists, as somebody who writes to the folder could.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 *
 * Input: the first byte's lowest bit: whether the index is there too. Then edits: a byte that says which, and its numbers.
 */
#include "fuzz-cache-base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_BYTES_MAX = 1 << 18, EDITS_MAX = 32 };

#define FIELD(type, name) {offsetof(type, name), sizeof((type *)0)->name}
typedef struct field { size_t at, n_bytes; } field;
static const field record_fields[] = {
    FIELD(eng_cache_record_header, header_bytes), FIELD(eng_cache_record_header, n_tokens),      FIELD(eng_cache_record_header, record_bytes),
    FIELD(eng_cache_record_header, offset),       FIELD(eng_cache_record_header, capacity),      FIELD(eng_cache_record_header, n_layers),
    FIELD(eng_cache_record_header, ids_offset),   FIELD(eng_cache_record_header, blocks_offset), FIELD(eng_cache_record_header, block_bytes),
}, file_fields[] = {
    FIELD(eng_cache_file_header, version),     FIELD(eng_cache_file_header, header_bytes), FIELD(eng_cache_file_header, n_layers),
    FIELD(eng_cache_file_header, n_kv_heads),  FIELD(eng_cache_file_header, d),            FIELD(eng_cache_file_header, k_key),
    FIELD(eng_cache_file_header, k_query),     FIELD(eng_cache_file_header, value_group),  FIELD(eng_cache_file_header, key_type),
    FIELD(eng_cache_file_header, value_type),  FIELD(eng_cache_file_header, identity_bytes),
};

static void set_field(uint8_t *bytes, size_t n, uint64_t at, field f, uint64_t value)
{
    if (at + f.at + f.n_bytes <= n) memcpy(bytes + at + f.at, &value, f.n_bytes);
}

static void fix_record(uint8_t *bytes, size_t n, uint64_t at)
{
    eng_cache_record_header header;
    if (at + sizeof header > n) return;
    memcpy(&header, bytes + at, sizeof header);
    if (header.record_bytes > sizeof header && header.record_bytes <= n - at)
        eng_cache_checksum(bytes + at + sizeof header, header.record_bytes - sizeof header, header.payload_checksum);
    eng_cache_checksum(&header, offsetof(eng_cache_record_header, checksum), header.checksum);
    memcpy(bytes + at, &header, sizeof header);
}

static void fix_file(uint8_t *bytes, size_t n)
{
    eng_cache_file_header header;
    if (n < sizeof header) return;
    memcpy(&header, bytes, sizeof header);
    eng_cache_checksum(&header, offsetof(eng_cache_file_header, checksum), header.checksum);
    memcpy(bytes, &header, sizeof header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const base *b = base_get();
    static uint8_t bytes[FILE_BYTES_MAX];
    if (b->n_file > sizeof bytes) abort();
    size_t n = b->n_file;
    memcpy(bytes, b->file, n);
    edits e = {data, data + size};
    bool with_index = edits_take(&e, 1) & 1, is_forged = false;
    for (int i = 0; i < EDITS_MAX && e.at < e.end; i++) {
        uint64_t what = edits_take(&e, 1);
        uint64_t record = b->offsets[what / 8 % BASE_SECTIONS];
        switch (what % 8) {
        case 0: { /* bytes anywhere */
            uint64_t at = edits_take(&e, 3) % FILE_BYTES_MAX, n_bytes = edits_take(&e, 1) % 16;
            for (uint64_t j = 0; j < n_bytes && at + j < n; j++) bytes[at + j] = (uint8_t)edits_take(&e, 1);
            break;
        }
        case 1: { /* shorter, or longer by zeros */
            size_t length = edits_take(&e, 3) % FILE_BYTES_MAX;
            if (length > n) memset(bytes + n, 0, length - n);
            n = length;
            break;
        }
        case 2:
            set_field(bytes, n, record, record_fields[edits_take(&e, 1) % (sizeof record_fields / sizeof *record_fields)], edits_take(&e, 8));
            break;
        case 3: set_field(bytes, n, 0, file_fields[edits_take(&e, 1) % (sizeof file_fields / sizeof *file_fields)], edits_take(&e, 8)); break;
        case 4:
            fix_file(bytes, n);
            is_forged = true;
            break;
        case 5:
            fix_record(bytes, n, record);
            is_forged = true;
            break;
        case 6: { /* a page elsewhere */
            uint64_t from = edits_take(&e, 1) * ENG_CACHE_PAGE_BYTES, to = edits_take(&e, 1) * ENG_CACHE_PAGE_BYTES;
            if (from + ENG_CACHE_PAGE_BYTES <= n && to + ENG_CACHE_PAGE_BYTES <= n) memmove(bytes + to, bytes + from, ENG_CACHE_PAGE_BYTES);
            break;
        }
        default: /* a record of the same bytes at the end, forged to belong there */
            if (record + 256 <= n && n + ENG_CACHE_PAGE_BYTES <= sizeof bytes) {
                memmove(bytes + n, bytes + record, n - record < ENG_CACHE_PAGE_BYTES ? n - record : ENG_CACHE_PAGE_BYTES);
                set_field(bytes, n + ENG_CACHE_PAGE_BYTES, n, record_fields[3], n);
                fix_record(bytes, n + ENG_CACHE_PAGE_BYTES, n);
                n += ENG_CACHE_PAGE_BYTES;
                is_forged = true;
            }
        }
    }
    base_restore(b, with_index);
    base_write(b->path, bytes, n);
    base_find_all(b, is_forged);
    base_check_and_repair(b);
    base_find_all(b, is_forged);
    return 0;
}
