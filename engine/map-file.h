/* map-file.h: a whole file of a model, mapped for reading.
 *
 * Owns: opening and mapping; that it is a regular file with something in it. Does not own: what is in it. Unmap with munmap.
 */
#ifndef MAP_FILE_H
#define MAP_FILE_H

#include "eng.h"

eng_status eng_map_file(const char *path, uint8_t **ret_map, size_t *ret_n_bytes, eng_error *error);

#endif
