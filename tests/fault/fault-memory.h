/* fault-memory.h: a piece of work on a folder (fault-work.h), done again and again with an allocation that fails.
 *
 * Owns: malloc, calloc and realloc of the whole program, over glibc's own: SQLite's, GLib's and every other library's calls are from here. Not for
 *       programs with a sanitizer, which has an allocator of its own.
 * Does not own: the work, and what is right.
 */
#ifndef FAULT_MEMORY_H
#define FAULT_MEMORY_H

#include "fault-work.h"

/* Tries the first allocations of the work one by one, then ever fewer of them, about n_tries, until there is no such allocation. What GLib asks for and
 * does not get ends the process, by its abort; what others do not get is a failure with words. Never anything else: an invalid access would be a
 * signal of another kind. Fails the test with the number of the allocation, also when there are fewer than n_least. */
void fault_memory_every(FaultWork work, FaultFind find, const char *base, unsigned n_tries, uint64_t n_least);
/* Within the work: what is allocated from here on counts, or does not. */
void fault_memory_count(bool on);

#endif
