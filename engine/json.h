/* json.h: JSON from files that may be hostile.
 *
 * Owns: reading a file whole under a limit, parsing under a limit of values, typed look-ups with a clear error.
 * Does not own: what the values mean.
 */
#ifndef ENG_JSON_H
#define ENG_JSON_H

#include "eng.h"

#include <jansson.h>

/* The whole of a regular file, with a 0 byte after it; free(). */
eng_status eng_file_read(const char *path, size_t bytes_max, char **ret_data, size_t *ret_n_bytes, eng_error *error);

/* Parses an object. More than values_max values (counted before anything is built: a few bytes of text can cost fifty of memory),
 * nesting deeper than 128, duplicate keys and invalid UTF-8 are refused. `name` is the file's name in messages. */
eng_status eng_json_parse(const char *data, size_t n_bytes, size_t values_max, const char *name, json_t **ret_root, eng_error *error);

#endif
