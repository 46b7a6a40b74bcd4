/* cache-format.c: makes and checks the headers that cache-format.h describes.
 *
 * Owns: sizes, checksums and validity of file and record headers.
 * Does not own: any file (cache-store.c, cache-write.c).
 */
#include "cache-format.h"

#include <stdio.h>
#include <string.h>

#include <nettle/sha2.h>
#include <xxhash.h>

static const char file_magic[8] = {'L', 'K', 'V', 'C', 'A', 'C', 'H', 'E'};
static const char record_magic[8] = {'L', 'K', 'V', 'R', 'E', 'C', 'R', 'D'};

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

void eng_cache_checksum(const void *data, size_t n_bytes, uint8_t ret_checksum[ENG_CACHE_CHECKSUM_BYTES])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, n_bytes));
    memcpy(ret_checksum, canonical.digest, ENG_CACHE_CHECKSUM_BYTES);
}

eng_cache_record_layout eng_cache_record_layout_of(const eng_cache_geometry *geometry, uint32_t n_tokens)
{
    eng_cache_record_layout layout;
    layout.capacity = eng_section_capacity(n_tokens);
    layout.blocks_offset = round_up(ENG_CACHE_RECORD_HEADER_BYTES + (uint64_t)n_tokens * sizeof(uint32_t), KERN_ALIGN_BYTES);
    layout.block_bytes = kern_kv_layout_of(&geometry->format, geometry->n_kv_heads, layout.capacity).total_bytes;
    layout.record_bytes = round_up(layout.blocks_offset + geometry->n_layers * layout.block_bytes, ENG_CACHE_PAGE_BYTES);
    return layout;
}

void eng_ids_digest(const eng_digest *prefix, const uint32_t *ids, uint32_t n_tokens, eng_digest *ret_digest)
{
    static const eng_digest none;
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, sizeof none.bytes, prefix ? prefix->bytes : none.bytes);
    sha256_update(&sha, (size_t)n_tokens * sizeof *ids, (const uint8_t *)ids);
    sha256_digest(&sha, sizeof ret_digest->bytes, ret_digest->bytes);
}

bool eng_cache_document_valid(const char *document)
{
    if (!document) return false;
    size_t n = strlen(document);
    if (n < 1 || n > ENG_CACHE_DOCUMENT_BYTES) return false;
    return strspn(document, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

void eng_cache_file_name(const char *document, const eng_digest *identity_digest, char ret_name[ENG_CACHE_FILE_NAME_BYTES])
{
    char hex[65];
    eng_digest_text(identity_digest, hex);
    snprintf(ret_name, ENG_CACHE_FILE_NAME_BYTES, "%.64s-%.16s.lkv", document, hex);
}

bool eng_cache_file_name_parse(const char *name, char ret_document[ENG_CACHE_DOCUMENT_BYTES + 1])
{
    enum { TAIL_BYTES = 1 + 16 + 4 };
    size_t n = strlen(name);
    if (n <= TAIL_BYTES || n - TAIL_BYTES > ENG_CACHE_DOCUMENT_BYTES) return false;
    const char *tail = name + n - TAIL_BYTES;
    if (tail[0] != '-' || strspn(tail + 1, "0123456789abcdef") != 16 || strcmp(tail + 17, ".lkv") != 0) return false;
    char document[ENG_CACHE_DOCUMENT_BYTES + 1] = {0};
    memcpy(document, name, n - TAIL_BYTES);
    if (!eng_cache_document_valid(document)) return false;
    memcpy(ret_document, document, sizeof document);
    return true;
}

static bool geometry_valid(const eng_cache_geometry *geometry)
{
    return kern_kv_format_valid(&geometry->format) && geometry->n_layers >= 1 && geometry->n_layers <= ENG_CACHE_LAYERS_MAX &&
           geometry->n_kv_heads >= 1 && geometry->n_kv_heads <= ENG_CACHE_HEADS_MAX;
}

/* Cuts a text to what fits with its final zero, at the border of a UTF-8 character. */
static void copy_name(char *to, size_t n_bytes, const char *from)
{
    size_t n = strlen(from);
    if (n > n_bytes - 1) {
        n = n_bytes - 1;
        while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80) n--;
    }
    memcpy(to, from, n);
}

eng_status eng_cache_file_header_make(const char *document, const char *model_name, const char *identity, const eng_cache_geometry *geometry,
                                      eng_cache_file_header *ret_header, eng_error *error)
{
    size_t identity_bytes = strlen(identity);
    if (identity_bytes == 0 || identity_bytes >= ENG_CACHE_IDENTITY_BYTES) {
        return eng_fail(error, ENG_LIMIT, "the model's identity has %zu bytes, a cache file holds 1 to %d", identity_bytes,
                        ENG_CACHE_IDENTITY_BYTES - 1);
    }
    if (!geometry_valid(geometry)) {
        return eng_fail(error, ENG_LIMIT, "the model has %u layers and %u key heads: more than a cache file can hold, or a bad format",
                        geometry->n_layers, geometry->n_kv_heads);
    }
    eng_cache_file_header header;
    memset(&header, 0, sizeof header);
    memcpy(header.magic, file_magic, sizeof header.magic);
    header.version = ENG_CACHE_FORMAT_VERSION;
    header.header_bytes = sizeof header;
    header.n_layers = geometry->n_layers;
    header.n_kv_heads = geometry->n_kv_heads;
    header.d = geometry->format.d;
    header.k_key = geometry->format.k_key;
    header.k_query = geometry->format.k_query;
    header.value_group = geometry->format.value_group;
    header.key_type = (uint32_t)geometry->format.key_type;
    header.value_type = (uint32_t)geometry->format.value_type;
    eng_digest digest;
    eng_sha256(identity, identity_bytes, &digest);
    memcpy(header.identity_digest, digest.bytes, sizeof header.identity_digest);
    memcpy(header.document, document, strlen(document));
    copy_name(header.model_name, sizeof header.model_name, model_name ? model_name : "");
    header.identity_bytes = (uint32_t)identity_bytes;
    memcpy(header.identity, identity, identity_bytes);
    eng_cache_checksum(&header, offsetof(eng_cache_file_header, checksum), header.checksum);
    *ret_header = header;
    return ENG_OK;
}

eng_status eng_cache_file_header_check(const eng_cache_file_header *header, const char *name, eng_cache_geometry *ret_geometry, eng_error *error)
{
    if (memcmp(header->magic, file_magic, sizeof file_magic) != 0) {
        return eng_fail(error, ENG_BAD_FILE, "%s does not begin as a cache file does", name);
    }
    uint8_t checksum[ENG_CACHE_CHECKSUM_BYTES];
    eng_cache_checksum(header, offsetof(eng_cache_file_header, checksum), checksum);
    bool intact = memcmp(checksum, header->checksum, sizeof checksum) == 0;
    if (intact && header->version != ENG_CACHE_FORMAT_VERSION) {
        return eng_fail(error, ENG_UNSUPPORTED, "%s has format version %u, this program reads version %d", name, header->version,
                        ENG_CACHE_FORMAT_VERSION);
    }
    if (!intact) return eng_fail(error, ENG_BAD_FILE, "%s is damaged: the checksum of its header differs", name);
    eng_cache_geometry geometry = {
        .format =
            {
                .d = header->d,
                .k_key = header->k_key,
                .k_query = header->k_query,
                .value_group = header->value_group,
                .key_type = (kern_key_type)header->key_type,
                .value_type = (kern_value_type)header->value_type,
            },
        .n_layers = header->n_layers,
        .n_kv_heads = header->n_kv_heads,
    };
    eng_digest digest;
    if (header->header_bytes != sizeof *header || !geometry_valid(&geometry) || header->key_type > KERN_KEY_CODE32 ||
        header->value_type > KERN_VALUE_F32 || header->identity_bytes == 0 || header->identity_bytes >= sizeof header->identity ||
        strnlen(header->identity, sizeof header->identity) != header->identity_bytes || header->model_name[sizeof header->model_name - 1] != 0) {
        return eng_fail(error, ENG_BAD_FILE, "%s is damaged: its header holds impossible values", name);
    }
    eng_sha256(header->identity, header->identity_bytes, &digest);
    if (memcmp(digest.bytes, header->identity_digest, sizeof digest.bytes) != 0) {
        return eng_fail(error, ENG_BAD_FILE, "%s is damaged: the digest of its identity differs", name);
    }
    *ret_geometry = geometry;
    return ENG_OK;
}

void eng_cache_record_header_make(const eng_cache_geometry *geometry, const uint8_t identity_digest[32], const eng_digest *prefix,
                                  const eng_digest *ids_digest, uint32_t n_tokens, eng_cache_record_header *ret_header)
{
    eng_cache_record_layout layout = eng_cache_record_layout_of(geometry, n_tokens);
    eng_cache_record_header header;
    memset(&header, 0, sizeof header);
    memcpy(header.magic, record_magic, sizeof header.magic);
    header.header_bytes = sizeof header;
    header.n_tokens = n_tokens;
    header.record_bytes = layout.record_bytes;
    header.capacity = layout.capacity;
    header.n_layers = geometry->n_layers;
    header.ids_offset = sizeof header;
    header.blocks_offset = layout.blocks_offset;
    header.block_bytes = layout.block_bytes;
    if (prefix) memcpy(header.prefix, prefix->bytes, sizeof header.prefix);
    memcpy(header.ids_digest, ids_digest->bytes, sizeof header.ids_digest);
    memcpy(header.identity_digest, identity_digest, sizeof header.identity_digest);
    *ret_header = header;
}

void eng_cache_record_header_seal(eng_cache_record_header *header, uint64_t offset)
{
    header->offset = offset;
    eng_cache_checksum(header, offsetof(eng_cache_record_header, checksum), header->checksum);
}

const char *eng_cache_record_header_problem(const eng_cache_record_header *header, const eng_cache_geometry *geometry,
                                            const uint8_t identity_digest[32], uint64_t offset, uint64_t file_bytes)
{
    static const uint8_t zeros[sizeof header->reserved];
    if (memcmp(header->magic, record_magic, sizeof record_magic) != 0) return ENG_TEXT("no record begins here");
    uint8_t checksum[ENG_CACHE_CHECKSUM_BYTES];
    eng_cache_checksum(header, offsetof(eng_cache_record_header, checksum), checksum);
    if (memcmp(checksum, header->checksum, sizeof checksum) != 0) return ENG_TEXT("the checksum of a record's header differs");
    if (header->offset != offset) return ENG_TEXT("a record stands in another place than its header says");
    if (memcmp(header->identity_digest, identity_digest, sizeof header->identity_digest) != 0) return ENG_TEXT("a record belongs to another model");
    if (header->n_tokens < 1 || header->n_tokens > ENG_CACHE_TOKENS_MAX) return ENG_TEXT("a record has an impossible number of tokens");
    eng_cache_record_layout layout = eng_cache_record_layout_of(geometry, header->n_tokens);
    if (header->header_bytes != sizeof *header || header->ids_offset != sizeof *header || header->capacity != layout.capacity ||
        header->n_layers != geometry->n_layers || header->blocks_offset != layout.blocks_offset || header->block_bytes != layout.block_bytes ||
        header->record_bytes != layout.record_bytes || memcmp(header->reserved, zeros, sizeof zeros) != 0) {
        return ENG_TEXT("a record's sizes do not fit the model");
    }
    if (offset > file_bytes || header->record_bytes > file_bytes - offset) return ENG_TEXT("the file ends in the middle of a record");
    return NULL;
}
