/* fault-memory.c: see fault-memory.h. */
#include "fault-memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_counting;
static uint64_t n_calls, fail_at;

void *__libc_malloc(size_t n_bytes);
void *__libc_calloc(size_t n, size_t n_bytes);
void *__libc_realloc(void *data, size_t n_bytes);
void *malloc(size_t n_bytes);
void *calloc(size_t n, size_t n_bytes);
void *realloc(void *data, size_t n_bytes);

static int fails(void)
{
    if (!__atomic_load_n(&is_counting, __ATOMIC_RELAXED) || __atomic_add_fetch(&n_calls, 1, __ATOMIC_RELAXED) != fail_at) return 0;
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

void fault_memory_count(bool on)
{
    __atomic_store_n(&is_counting, on && fail_at != 0, __ATOMIC_RELAXED);
}

/* Whether there was no such allocation. */
static bool run_without(FaultWork work, const char *folder, uint64_t n)
{
    int result = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        g_assert_true(freopen("/dev/null", "w", stderr) != NULL); /* GLib's last words */
        fail_at = n;
        fault_memory_count(true);
        bool clean = work(folder);
        fault_memory_count(false);
        _exit(!clean ? 3 : n_calls < n ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &result, 0), child);
    bool aborted = WIFSIGNALED(result) && (WTERMSIG(result) == SIGABRT || WTERMSIG(result) == SIGTRAP);
    if (!WIFEXITED(result) && !aborted) fail_msg("allocation %llu: signal %d", (unsigned long long)n, WTERMSIG(result));
    if (WIFEXITED(result) && WEXITSTATUS(result) == 3) fail_msg("allocation %llu: a failure without words", (unsigned long long)n);
    return WIFEXITED(result) && WEXITSTATUS(result) == 0;
}

void fault_memory_every(FaultWork work, FaultFind find, const char *base, unsigned n_tries, uint64_t n_least)
{
    unsigned n_tried = 0, rarer = n_tries / 6; /* 1 + n / rarer: some n_tries up to a few hundred times n_tries */
    for (uint64_t n = 1; n < UINT64_MAX; n += 1 + n / rarer, n_tried++) {
        g_autofree char *folder = fault_work_begin(base);
        bool beyond = run_without(work, folder, n);
        const char *problem = find(folder);
        if (problem) fail_msg("allocation %llu: %s", (unsigned long long)n, problem);
        fault_work_remove(folder);
        if (!beyond) continue;
        print_message("%u tried of %llu allocations\n", n_tried, (unsigned long long)n);
        assert_true(n > n_least);
        return;
    }
}
