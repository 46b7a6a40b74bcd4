/* cache-format.h: every byte of a cache file, and the rules that writers and readers keep.
 *
 * Owns: the layout of the file header and of a record, making and checking both.
 * Does not own: opening, locking, writing (cache-store.c, cache-write.c), the index (cache-index.c).
 *
 * A cache file holds the sections of one document under one model and is named <document>-<16 hex>.lkv, the first 16 hex digits
 * of the identity's SHA-256. Integers are little-endian. A checksum is XXH3-128 in its canonical (big-endian) form.
 *
 *     byte 0      file header, 4096 bytes (eng_cache_file_header)
 *     byte 4096   record, a multiple of 4096 bytes
 *     ...         record
 *
 * A record is
 *     +0                header, 256 bytes (eng_cache_record_header)
 *     +256              token ids, u32 [n_tokens]
 *     +blocks_offset    n_layers blocks of block_bytes each: kern_kv_layout_of(format, n_kv_heads, capacity). 64-byte aligned
 *     up to record_bytes zeros
 * so that layer l's block is at +blocks_offset + l * block_bytes; the kernels work on it in place.
 *
 * Numbered invariants; the code names them where it relies on them or keeps them.
 *  C1  A file comes into being whole: header written and synced under a temporary name, then renamed. A final name therefore
 *      never has a torn header unless the medium damaged it.
 *  C2  A file changes in two ways only: bytes are appended after its last valid record, or the whole file is replaced by rename.
 *      It is cut (ftruncate) only behind the last valid record. So what a reader has mapped of a valid record stays.
 *  C3  Only the holder of the exclusive append lock (LOCK_APPEND) appends, cuts or replaces, and after taking the lock it makes
 *      sure that the name still leads to the file it locked.
 *  C4  A record's body is written before its first page, so that a record header that checks means that its writer got through
 *      the body. (After a power failure the checksums alone decide.)
 *  C5  A record's index row is written after an fsync of its file. A record without a row is used by another store only if no
 *      writer lives (LOCK_WRITER) and its payload's checksum holds; then it gets its row.
 *  C6  Nothing from a file or from the index is used as a size or an offset before it was checked against the file's size and
 *      the geometry, without overflow.
 *  C7  Header and payload checksums cover every byte of a record, padding included. The same content gives the same bytes.
 *  C8  A record is found by its token ids themselves; digests only narrow the search.
 *  C9  No file lock is waited for inside a transaction of the index, and only one waiting lock is held at a time.
 *  C10 A writer holds LOCK_WRITER shared while it lives; who evicts a file must get it exclusively, without waiting.
 *  C11 A session may compute over payloads that are being verified (cache-fetch.h): kernels bear any bytes in them, and no result
 *      leaves the session before every checksum held.
 */
#ifndef ENG_CACHE_FORMAT_H
#define ENG_CACHE_FORMAT_H

#include "eng.h"

enum {
    ENG_CACHE_FORMAT_VERSION = 1,
    ENG_CACHE_PAGE_BYTES = 4096,
    ENG_CACHE_RECORD_HEADER_BYTES = 256,
    ENG_CACHE_CHECKSUM_BYTES = 16,
    ENG_CACHE_DOCUMENT_BYTES = 64,
    ENG_CACHE_MODEL_NAME_BYTES = 128,
    ENG_CACHE_IDENTITY_BYTES = 3792,
    ENG_CACHE_TOKENS_MAX = 1 << 20, /* of one record */
    ENG_CACHE_LAYERS_MAX = 1024,
    ENG_CACHE_HEADS_MAX = 1024,
    ENG_CACHE_FILE_NAME_BYTES = 64 + 1 + 16 + 4 + 1,
};

/* Bytes of the file that stand for advisory locks. */
enum {
    ENG_CACHE_LOCK_APPEND = 0,
    ENG_CACHE_LOCK_WRITER = 1,
};

typedef struct eng_cache_file_header {
    char magic[8];           /* "LKVCACHE" */
    uint32_t version;        /* ENG_CACHE_FORMAT_VERSION */
    uint32_t header_bytes;   /* 4096 */
    uint32_t n_layers;
    uint32_t n_kv_heads;
    uint16_t d, k_key, k_query, value_group; /* kern_kv_format */
    uint32_t key_type, value_type;
    uint8_t identity_digest[32]; /* SHA-256 of `identity` */
    char document[ENG_CACHE_DOCUMENT_BYTES];     /* zero-padded */
    char model_name[ENG_CACHE_MODEL_NAME_BYTES]; /* zero-terminated and zero-padded; for people only */
    uint32_t identity_bytes;
    uint32_t zero;
    char identity[ENG_CACHE_IDENTITY_BYTES]; /* eng_model_identity's text, zero-padded */
    uint8_t reserved[16];                    /* zero */
    uint8_t checksum[ENG_CACHE_CHECKSUM_BYTES]; /* of all bytes before */
} eng_cache_file_header;

typedef struct eng_cache_record_header {
    char magic[8];         /* "LKVRECRD" */
    uint32_t header_bytes; /* 256 */
    uint32_t n_tokens;
    uint64_t record_bytes;
    uint64_t offset; /* of this header in the file: a record copied elsewhere does not check */
    uint32_t capacity;
    uint32_t n_layers;
    uint64_t ids_offset; /* 256 */
    uint64_t blocks_offset;
    uint64_t block_bytes;
    uint8_t prefix[32];          /* digest of what precedes the section; zeros: nothing */
    uint8_t ids_digest[32];      /* eng_ids_digest */
    uint8_t identity_digest[32]; /* as in the file header */
    uint8_t payload_checksum[ENG_CACHE_CHECKSUM_BYTES]; /* of bytes 256 .. record_bytes - 1 */
    uint8_t reserved[64];                               /* zero */
    uint8_t checksum[ENG_CACHE_CHECKSUM_BYTES];         /* of bytes 0 .. 239 */
} eng_cache_record_header;

_Static_assert(sizeof(eng_cache_file_header) == ENG_CACHE_PAGE_BYTES, "the file header is one page");
_Static_assert(sizeof(eng_cache_record_header) == ENG_CACHE_RECORD_HEADER_BYTES, "no hidden padding in the record header");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "cache files are used in place and are little-endian"
#endif

/* What sizes follow from: of a model or of a file's header. */
typedef struct eng_cache_geometry {
    kern_kv_format format;
    uint32_t n_layers, n_kv_heads;
} eng_cache_geometry;

typedef struct eng_cache_record_layout {
    uint32_t capacity;
    uint64_t blocks_offset, block_bytes, record_bytes;
} eng_cache_record_layout;

/* n_tokens 1 .. ENG_CACHE_TOKENS_MAX and a valid geometry: cannot overflow. */
eng_cache_record_layout eng_cache_record_layout_of(const eng_cache_geometry *geometry, uint32_t n_tokens);

void eng_cache_checksum(const void *data, size_t n_bytes, uint8_t ret_checksum[ENG_CACHE_CHECKSUM_BYTES]);

bool eng_cache_document_valid(const char *document);
void eng_cache_file_name(const char *document, const eng_digest *identity_digest, char ret_name[ENG_CACHE_FILE_NAME_BYTES]);
/* Splits a file's name; false: not a cache file's. */
bool eng_cache_file_name_parse(const char *name, char ret_document[ENG_CACHE_DOCUMENT_BYTES + 1]);

/* ENG_LIMIT when the identity or the geometry cannot be stored. */
eng_status eng_cache_file_header_make(const char *document, const char *model_name, const char *identity, const eng_cache_geometry *geometry,
                                      eng_cache_file_header *ret_header, eng_error *error);
/* ENG_BAD_FILE or ENG_UNSUPPORTED (another format version) with a reason that names the file. */
eng_status eng_cache_file_header_check(const eng_cache_file_header *header, const char *name, eng_cache_geometry *ret_geometry, eng_error *error);

void eng_cache_record_header_make(const eng_cache_geometry *geometry, const uint8_t identity_digest[32], const eng_digest *prefix,
                                  const eng_digest *ids_digest, uint32_t n_tokens, eng_cache_record_header *ret_header);
/* Sets the place and the header's checksum; all else must be there. */
void eng_cache_record_header_seal(eng_cache_record_header *header, uint64_t offset);
/* NULL: a valid header of a record that lies wholly in the file; else the reason, in words. */
const char *eng_cache_record_header_problem(const eng_cache_record_header *header, const eng_cache_geometry *geometry,
                                            const uint8_t identity_digest[32], uint64_t offset, uint64_t file_bytes);

#endif
