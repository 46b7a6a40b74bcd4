/* cache-private.h: what the files of the cache share.
 *
 * Owns: the structures behind eng_cache, eng_store and eng_record; walking a file's records; locks of a file.
 * Does not own: bytes (cache-format.h), rows (cache-index.h), system calls (eng-fileops.h).
 */
#ifndef ENG_CACHE_PRIVATE_H
#define ENG_CACHE_PRIVATE_H

#include <pthread.h>

#include "cache-format.h"
#include "cache-index.h"
#include "eng-fileops.h"

/* What a test may replace. NULL members: the real ones. */
typedef struct eng_cache_environment {
    const eng_fileops *ops;
    void (*digest_ids)(const eng_digest *prefix, const uint32_t *ids, uint32_t n_tokens, eng_digest *ret_digest);
    int64_t (*now_us)(void); /* Unix time */
} eng_cache_environment;

eng_status eng_cache_open_with(const char *folder, const eng_cache_options *options, const eng_cache_environment *environment,
                               eng_cache **ret_cache, eng_error *error);

struct eng_cache {
    char *folder;
    eng_index *index;
    eng_cache_environment environment;
    const eng_fileops *ops; /* environment.ops */
    int lock_fd;            /* cache.lock: making files, opening and rebuilding the index */
    pthread_mutex_t folder_mutex; /* the same among threads, which share lock_fd */
};

enum { ENG_CACHE_DEFAULT_BUDGET_GB = 20, ENG_CACHE_COPY_BYTES = 1 << 20 };

/* Every *_path result is to be freed; NULL: out of memory. */
char *eng_cache_path(const eng_cache *cache, const char *name);
eng_status eng_cache_lock_folder(eng_cache *cache, eng_error *error);
void eng_cache_unlock_folder(eng_cache *cache);
/* Rows of files that are gone are removed, files without a row get one, temporary files without a living writer are deleted. Under
 * the folder's lock. */
eng_status eng_cache_reconcile(eng_cache *cache, eng_error *error);
/* Evicts the least recently used file that is neither pinned, nor `except` (may be NULL), nor being written. ENG_NOT_FOUND: none. */
eng_status eng_cache_evict_one(eng_cache *cache, const char *except, uint64_t *ret_freed_bytes, eng_error *error);

/* Names of the folder that pass `wanted`, sorted; free each and the array with eng_cache_names_free. */
typedef struct eng_cache_names {
    char **names;
    size_t n;
} eng_cache_names;
eng_status eng_cache_list_names(const eng_cache *cache, bool temporary, eng_cache_names *ret_names, eng_error *error);
void eng_cache_names_free(eng_cache_names *names);

/* ------------------------------------------------------------------------------------------------ one file (cache-file.c) */

/* A cache file that is open, with what its header says. */
typedef struct eng_cache_file {
    int fd; /* -1: none */
    bool writable;
    eng_cache_file_header header;
    eng_cache_geometry geometry;
    dev_t device;
    ino_t inode;
} eng_cache_file;

/* Opens and checks the header. ENG_NOT_FOUND: no such file; ENG_BAD_FILE, ENG_UNSUPPORTED: the header's fault (the file stays
 * open in *ret_file when keep_bad, so that it can be locked and deleted). */
eng_status eng_cache_file_open(const eng_cache *cache, const char *name, bool keep_bad, eng_cache_file *ret_file, eng_error *error);
void eng_cache_file_close(const eng_cache *cache, eng_cache_file *file);
/* Whether the name still leads to this file, and its size. ENG_NOT_FOUND: it does not. */
eng_status eng_cache_file_current(const eng_cache *cache, const char *name, const eng_cache_file *file, uint64_t *ret_bytes, eng_error *error);
/* Opens with the append lock held (waiting for it) on the file that the name leads to (C3). */
eng_status eng_cache_file_open_locked(const eng_cache *cache, const char *name, bool keep_bad, eng_cache_file *ret_file, uint64_t *ret_bytes,
                                      eng_error *error);
/* True: no other store writes to the file now (C10). May leave the lock shared when `mine`. */
bool eng_cache_file_no_writer(const eng_cache *cache, const eng_cache_file *file, bool mine);
/* Makes a file that holds only `header`, whole or not at all (C1). */
eng_status eng_cache_file_create(const eng_cache *cache, const char *name, const eng_cache_file_header *header, eng_error *error);
/* A temporary file beside `name`, held by its writer's lock. */
eng_status eng_cache_file_create_temporary(const eng_cache *cache, const char *name, char **ret_path, int *ret_fd, eng_error *error);

/* Called for each record with a valid header (header, problem NULL) and once for each stretch without one (header NULL; `bytes` long).
 * False: stop. */
typedef bool (*eng_cache_walk_fn)(void *user, uint64_t offset, uint64_t bytes, const eng_cache_record_header *header, const char *problem);
eng_status eng_cache_file_walk(const eng_cache *cache, const char *name, const eng_cache_file *file, uint64_t from, uint64_t file_bytes,
                               eng_cache_walk_fn visit, void *user, eng_error *error);
/* Reads the payload and compares its checksum; ENG_BAD_FILE: it differs. Reads with pread: a file that is cut meanwhile is an
 * error, not a signal. */
eng_status eng_cache_file_verify(const eng_cache *cache, const char *name, const eng_cache_file *file, uint64_t offset,
                                 const eng_cache_record_header *header, const bool *cancel, eng_error *error);

/* Copies the records for which keep returns true into a new file that replaces this one, which the caller has locked for appending.
 * A record whose payload does not check is left out. No record kept: the file is deleted. Rows follow. ret_kept may be NULL. */
typedef bool (*eng_cache_keep_fn)(void *user, const eng_cache_record_header *header);
eng_status eng_cache_file_rewrite(eng_cache *cache, const char *name, const eng_cache_file *file, uint64_t file_bytes, eng_cache_keep_fn keep,
                                  void *user, uint64_t *ret_kept, eng_error *error);
/* Unlinks and removes the row; the folder is synced. */
eng_status eng_cache_file_delete(eng_cache *cache, const char *name, eng_error *error);
/* A row's fields from a file's header. */
void eng_cache_file_row(const eng_cache *cache, const char *name, const eng_cache_file_header *header, uint64_t n_bytes, eng_index_file *ret_row);
void eng_cache_record_row(const eng_cache_record_header *header, eng_index_record *ret_row);

/* --------------------------------------------------------------------------------------------------- stores (cache-store.c) */

typedef struct eng_store_entry {
    eng_cache_record_header header;
    uint64_t offset;
    bool indexed;  /* has its row: synced and visible to all */
    bool dropped;  /* its row says that the document no longer has it */
    bool own;      /* written by this store */
    bool verified; /* its payload's checksum held, in this process */
    bool damaged;
    const uint8_t *data; /* mapped; NULL: not yet */
    struct eng_store_view *view;
} eng_store_entry;

/* An entry as sections see it: stays as long as the store. */
typedef struct eng_store_view {
    struct eng_store_view *next;
    eng_store *store;
    uint32_t generation; /* the entry is gone when the store's is another */
    bool verified;
    eng_cache_record_header header;
    const uint8_t *data;
    kern_kv_block blocks[]; /* [n_layers] */
} eng_store_view;

typedef struct eng_store_mapping {
    uint8_t *data;
    uint64_t offset, n_bytes;
    uint32_t generation; /* of the file: it may be replaced while older sections stay in use */
} eng_store_mapping;

struct eng_store {
    eng_cache *cache;
    char document[ENG_CACHE_DOCUMENT_BYTES + 1];
    char name[ENG_CACHE_FILE_NAME_BYTES];
    eng_cache_file_header wanted; /* the header that the file must have, and gets when it is made */
    eng_cache_geometry geometry;
    eng_cache_file file;
    uint32_t generation;
    uint64_t scanned_bytes; /* up to here the file's records are in `entries` */
    uint64_t floor_bytes;   /* end of the last published record: never cut below */
    uint64_t bad_offset;    /* of the first damaged stretch, 0: none */
    const char *bad_reason;
    eng_store_entry *entries;
    size_t n_entries, entries_capacity;
    eng_store_mapping *mappings;
    size_t n_mappings, mappings_capacity;
    eng_store_view *views; /* all that were ever handed out */
    bool writer_locked, touched;
    bool failed; /* an fsync failed: what it should have saved is never published by this store */
    uint64_t unsynced_bytes;
    int64_t synced_us;
    void *spare; /* a record's memory, for the next record */
    size_t spare_bytes;
};

struct eng_record {
    eng_store *store;
    uint8_t *data; /* the whole record */
    size_t n_bytes, allocated_bytes;
    eng_cache_record_header header;
    void **blocks;
};

/* Brings entries up to date with the file: attaches, notices replacement and growth. ENG_OK with file.fd -1: there is none.
 * ENG_BAD_FILE, ENG_UNSUPPORTED: there is one whose header is not what it must be. */
eng_status eng_store_refresh(eng_store *store, eng_error *error);
void eng_store_detach(eng_store *store);
eng_status eng_store_add_entry(eng_store *store, const eng_cache_record_header *header, uint64_t offset, eng_store_entry **ret_entry,
                               eng_error *error);
eng_status eng_store_verify_entry(eng_store *store, eng_store_entry *entry, eng_error *error);
/* ENG_OK: the entry holds exactly these tokens and can be used (mapped). ENG_MISS: why not. */
eng_status eng_store_use_entry(eng_store *store, eng_store_entry *entry, const uint32_t *ids, uint32_t n_tokens, eng_verify verify,
                               eng_error *error);
/* What came of verifying a section elsewhere (cache-fetch.c). ENG_OK, or ENG_MISS with the message of its damage. */
eng_status eng_store_tell_view(eng_store_view *view, bool damaged, eng_error *error);
/* Gives the entry its row: fsync first (C5). */
eng_status eng_store_publish_entry(eng_store *store, eng_store_entry *entry, eng_error *error);
bool eng_store_entry_matches(const eng_store_entry *entry, const eng_digest *prefix, const eng_digest *ids_digest, uint32_t n_tokens);

#endif
