/* cache-fixture.h: what the tests of the cache share.
 *
 * Owns: a model without weights, folders that vanish, sections whose bytes follow from a seed, file operations that count, fail,
 *       shorten, stop and run out of space.
 * Does not own: what is tested.
 */
#ifndef CACHE_FIXTURE_H
#define CACHE_FIXTURE_H

#include "cache-private.h"
#include "model.h"

/* A model as the cache sees one: sizes and identity. `differ`: a line of the identity to replace ("key: value"), NULL: none. */
eng_model *fixture_model_new(const char *differ);
void fixture_model_free(eng_model *model);

/* A new empty folder; fixture_folder_free deletes it with all that is in it. */
char *fixture_folder_new(void);
void fixture_folder_free(char *folder);
/* Copies the cache files and, if with_index, the index. */
char *fixture_folder_copy(const char *folder, bool with_index);
/* The only cache file of the folder (free it); NULL if there is not exactly one. */
char *fixture_only_file(const char *folder);
uint64_t fixture_file_bytes(const char *path);
void fixture_file_flip(const char *path, uint64_t offset, uint8_t mask);
unsigned fixture_mode(const char *path);

enum { FIXTURE_TOKENS_MAX = 256 };

/* A section is named by its seed: its tokens and the bytes of its blocks follow from it. */
uint32_t fixture_n_tokens(uint32_t seed); /* 1 .. FIXTURE_TOKENS_MAX */
void fixture_ids(uint32_t seed, uint32_t *ret_ids);
eng_status fixture_write(eng_store *store, const eng_model *model, uint32_t seed, eng_error *error);
eng_status fixture_find(eng_store *store, uint32_t seed, bool verify, eng_section *ret_section, eng_error *error);
/* Whether the section is, byte for byte, what fixture_write wrote. */
bool fixture_section_right(const eng_model *model, uint32_t seed, const eng_section *section);

typedef struct fixture_ops {
    eng_fileops ops; /* first member: the table that the cache gets */
    uint64_t n_calls;     /* of operations that can fail */
    uint64_t fail_at;     /* 1: the first; 0: none */
    bool fail_on;         /* all from there on */
    bool exit_instead;    /* the process ends there, as by kill -9 */
    int error_number;
    bool short_transfers; /* reads and writes of at most 1,000 bytes, and torn at the failing call */
    bool limited;
    uint64_t space_bytes; /* what may still be written when limited */
} fixture_ops;
void fixture_ops_init(fixture_ops *ops);

#endif
