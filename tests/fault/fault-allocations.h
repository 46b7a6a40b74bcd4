/* fault-allocations.h: a piece of work with kernels/ and engine/, done again and again with an allocation that fails.
 *
 * Owns: the allocator under kernels/ and engine/ (their calls are wrapped by the linker: see meson.build) and under the libraries that allocate
 *       for them: SQLite and jansson, which let themselves be told how, and xxHash, whose states are wrapped; starting threads, which takes memory
 *       too; failing every N until the work succeeds; what is left allocated. With a sanitizer as without: its allocator is beneath.
 * Does not own: the work; app/, where GLib ends the process at a failed allocation (fault-memory.h).
 */
#ifndef FAULT_ALLOCATIONS_H
#define FAULT_ALLOCATIONS_H

#include "eng.h"

/* Once, before SQLite is used. */
void fault_allocations_begin(void);
/* Does the whole work, frees what it made, and returns how it ended. */
typedef eng_status (*FaultAllocate)(void *user, eng_error *error);
/* Fails the test with the number of the allocation: something is never freed, a failure without words, no success without a failure, or fewer
 * allocations than `n_least`. */
void fault_allocations_every(FaultAllocate work, void *user, uint64_t n_least);
/* Within the work: what is allocated from here on counts, or does not. */
void fault_allocations_count(bool on);
/* Within the work: which one fails. */
uint64_t fault_allocations_failing(void);

#endif
