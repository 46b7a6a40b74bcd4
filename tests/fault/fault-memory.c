/* fault-memory.c: the allocator of a whole program, SQLite's, GLib's and every other library's calls included: one of them fails.
 *
 * Owns: malloc, calloc and realloc, over glibc's own. Not for programs with a sanitizer, which has an allocator of its own.
 * Does not own: which one fails, and what is tested.
 */
#include "fault-memory.h"

#include <errno.h>
#include <stddef.h>

uint64_t fault_memory_calls, fault_memory_fail_at;

void *__libc_malloc(size_t n_bytes);
void *__libc_calloc(size_t n, size_t n_bytes);
void *__libc_realloc(void *data, size_t n_bytes);
void *malloc(size_t n_bytes);
void *calloc(size_t n, size_t n_bytes);
void *realloc(void *data, size_t n_bytes);

static int fails(void)
{
    if (fault_memory_fail_at == 0 || __atomic_add_fetch(&fault_memory_calls, 1, __ATOMIC_RELAXED) != fault_memory_fail_at) return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t n_bytes)
{
    return fails() ? NULL : __libc_malloc(n_bytes);
}

void *calloc(size_t n, size_t n_bytes)
{
    return fails() ? NULL : __libc_calloc(n, n_bytes);
}

void *realloc(void *data, size_t n_bytes)
{
    return fails() ? NULL : __libc_realloc(data, n_bytes);
}
