/* safetensors.h: tensors in a mapped .safetensors file.
 *
 * Owns: the mapping and the validated table of tensors. Source of the format: the safetensors project's README: u64 little-endian
 *       length of a JSON header, the header, then the data; offsets count from the data's start, without holes or overlaps.
 * Does not own: which tensors a model needs (weights.c).
 */
#ifndef ENG_SAFETENSORS_H
#define ENG_SAFETENSORS_H

#include "tensor.h"

#include <jansson.h>

typedef struct eng_safetensors eng_safetensors;

/* Maps and validates. Refused with the reason: a header larger than the file or 100 MB, not JSON, duplicate names, unknown types,
 * shapes whose size overflows or does not fit the offsets, overlaps, holes, bytes after the last tensor, misaligned data. */
eng_status eng_safetensors_open(const char *path, eng_safetensors **ret_file, eng_error *error);
void eng_safetensors_close(eng_safetensors *file);
const char *eng_safetensors_path(const eng_safetensors *file);
uint64_t eng_safetensors_bytes(const eng_safetensors *file);
const eng_tensor *eng_safetensors_find(const eng_safetensors *file, const char *name); /* NULL: not there */
const char *eng_safetensors_metadata(const eng_safetensors *file, const char *key);    /* NULL: not there */

#endif
