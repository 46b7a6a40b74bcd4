/* cache-index.h: the SQLite index over cache files (index.sqlite, WAL).
 *
 * Owns: which files and records are published, sizes for the budget, times of use, pins, the budget itself.
 * Does not own: the truth about what a file holds: that is in the file. Rows are never believed about sizes or places
 * (cache-format.h, C6): they only say that a record at an offset was synced.
 *
 * All functions may be called by many threads. Losing the whole index loses times of use, pins and the budget, nothing else.
 */
#ifndef ENG_CACHE_INDEX_H
#define ENG_CACHE_INDEX_H

#include "cache-format.h"

typedef struct eng_index eng_index;

typedef struct eng_index_record {
    uint64_t offset, n_bytes;
    uint32_t n_tokens;
    uint8_t prefix[32], ids_digest[32];
    bool dropped; /* kept in the file as waste until it is rewritten */
} eng_index_record;

typedef struct eng_index_file {
    char name[ENG_CACHE_FILE_NAME_BYTES];
    char document[ENG_CACHE_DOCUMENT_BYTES + 1];
    char model_name[ENG_CACHE_MODEL_NAME_BYTES];
    char identity_digest[65];
    char note[ENG_MESSAGE_BYTES];
    uint64_t n_bytes, n_records, n_tokens; /* records and tokens without the dropped ones */
    int64_t created_us, used_us;
    bool pinned;
} eng_index_file;

/* Makes the index when there is none. ENG_BAD_FILE: it is damaged, or not an index; delete and rebuild. */
eng_status eng_index_open(const char *folder, eng_index **ret_index, eng_error *error);
void eng_index_close(eng_index *index);

eng_status eng_index_get_budget(eng_index *index, uint64_t *ret_bytes, eng_error *error); /* 0: none stored */
eng_status eng_index_set_budget(eng_index *index, uint64_t bytes, eng_error *error);
eng_status eng_index_used_bytes(eng_index *index, uint64_t *ret_bytes, eng_error *error);

/* Inserts or updates the file's row (name, document, model_name, identity_digest, n_bytes, used_us; created_us when new) if all
 * files together then hold at most budget_bytes; ENG_LIMIT and no change otherwise. */
eng_status eng_index_reserve(eng_index *index, const eng_index_file *file, uint64_t budget_bytes, eng_error *error);
/* In one transaction: the file's row as in reserve, without a limit, and its records added, or (replace) all others dropped. */
eng_status eng_index_publish(eng_index *index, const eng_index_file *file, const eng_index_record *records, size_t n_records, bool replace,
                             eng_error *error);
eng_status eng_index_set_bytes(eng_index *index, const char *name, uint64_t n_bytes, eng_error *error);
eng_status eng_index_set_note(eng_index *index, const char *name, const char *note, eng_error *error);
eng_status eng_index_touch(eng_index *index, const char *name, int64_t used_us, eng_error *error);
eng_status eng_index_remove(eng_index *index, const char *name, eng_error *error);
eng_status eng_index_set_pin(eng_index *index, const char *document, bool pinned, eng_error *error);

/* Arrays to be freed by the caller. Files with impossible names are left out. Files: least recently used first. */
eng_status eng_index_list_files(eng_index *index, eng_index_file **ret_files, size_t *ret_n, eng_error *error);
eng_status eng_index_list_records(eng_index *index, const char *name, eng_index_record **ret_records, size_t *ret_n, eng_error *error);
/* Deletes rows of files that cannot be ours: impossible names, another document than the name says. */
eng_status eng_index_prune(eng_index *index, eng_error *error);
/* Drops all rows of files and records, keeping pins and budget. */
eng_status eng_index_clear(eng_index *index, eng_error *error);

#endif
