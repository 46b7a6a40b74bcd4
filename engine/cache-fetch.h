/* cache-fetch.h: sections brought into memory and verified beside the question that is asked over them.
 *
 * Owns: the order (layer by layer over all sections), the thread that reads ahead, checksums taken as the bytes come.
 * Does not own: records and what is known of them (cache-store.c), what is computed meanwhile (forward.c), what is given out (session.c).
 *
 * A record has one checksum, known when its last byte has come: a pass attends to layers that are in memory and not verified yet, which kernels
 * bear with any bytes in them. So nothing that a session computed may leave it before eng_fetch_finish says that every record holds (C11).
 */
#ifndef ENG_CACHE_FETCH_H
#define ENG_CACHE_FETCH_H

#include "cache-private.h"

typedef struct eng_fetch eng_fetch;

/* For those of the sections that are to be verified by now (ENG_VERIFY_LATER); *ret_fetch NULL: there are none. Reading begins.
 * The stores and the pool must stay until eng_fetch_free. */
eng_status eng_fetch_begin(const eng_section *sections, size_t n_sections, kern_pool *pool, eng_fetch **ret_fetch, eng_error *error);
/* Brings that layer of every section into memory, with the pool's threads, while later ones are read. fetch may be NULL.
 * ENG_MISS, ENG_IO: it cannot be read; ENG_CANCELLED: *cancel became true (NULL: never), and the next call goes on where this one ended. */
eng_status eng_fetch_layer(eng_fetch *fetch, uint32_t layer, const bool *cancel, eng_error *error);
/* What is left of it; then the stores are told. ENG_OK: all that was to be verified holds; ENG_MISS: the message says which does not. */
eng_status eng_fetch_finish(eng_fetch *fetch, const bool *cancel, eng_error *error);
void eng_fetch_free(eng_fetch *fetch); /* ends reading ahead */

#endif
