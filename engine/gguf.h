/* gguf.h: key-value pairs and tensors of a mapped GGUF file.
 *
 * Owns: the mapping and the validated tables. Source of the format: the GGUF specification (ggml project, docs/gguf.md), versions 2 and
 *       3, little-endian: "GGUF", u32 version, u64 tensors, u64 pairs; pairs (string key, u32 type, value); for each tensor a string
 *       name, u32 dimensions, u64 sizes (the row's length first), u32 type, u64 offset; padding; data.
 * Does not own: what the pairs mean (gguf-members.c), which tensors a model needs (weights.c), what blocks hold (blocks.h).
 *
 * A file is untrusted. Everything is checked when it is opened: counts against the bytes that are left, lengths, types, sizes that wrap,
 * alignment, places of tensors; no memory is asked for on the word of a count that the file's own length does not bear out.
 */
#ifndef ENG_GGUF_H
#define ENG_GGUF_H

#include "tensor.h"

typedef struct eng_gguf eng_gguf;

bool eng_gguf_is(const char *path); /* whether a file begins as GGUF does */

eng_status eng_gguf_open(const char *path, eng_gguf **ret_file, eng_error *error);
void eng_gguf_close(eng_gguf *file);
const char *eng_gguf_path(const eng_gguf *file);
uint64_t eng_gguf_bytes(const eng_gguf *file);
const eng_tensor *eng_gguf_find(const eng_gguf *file, const char *name); /* NULL: not there */

bool eng_gguf_has(const eng_gguf *file, const char *key);
/* Values by key. False: there is no such key, or it is of another type (numbers: of another kind, or out of range). */
bool eng_gguf_get_number(const eng_gguf *file, const char *key, uint64_t *ret_number);
bool eng_gguf_get_real(const eng_gguf *file, const char *key, double *ret_real);
bool eng_gguf_get_text(const eng_gguf *file, const char *key, const char **ret_text, size_t *ret_n_bytes); /* borrowed, no 0 at its end */

/* Elements of an array of strings or of 32-bit integers, in order. */
typedef struct eng_gguf_array {
    uint64_t n;
    const uint8_t *at; /* the next element */
    bool is_text;
} eng_gguf_array;
bool eng_gguf_get_array(const eng_gguf *file, const char *key, bool is_text, eng_gguf_array *ret_array);
const char *eng_gguf_next_text(eng_gguf_array *array, size_t *ret_n_bytes); /* not beyond n elements */
int32_t eng_gguf_next_number(eng_gguf_array *array);

#endif
