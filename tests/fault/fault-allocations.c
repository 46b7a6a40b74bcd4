/* fault-allocations.c: see fault-allocations.h. */
#include "fault-allocations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <jansson.h>
#include <sqlite3.h>
#include <xxhash.h>

/* ----------------------------------------------------------------------------------------------------------- the allocator */

enum { LIVE_SLOTS = 1 << 16 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct { /* under the mutex: the pool's threads allocate too */
    bool on; /* counts, fails and remembers what is allocated */
    uint64_t n_calls, fail_at;
    const void *live[LIVE_SLOTS]; /* open addressing; moved pointers leave (void *)1 */
    size_t n_live;
} memory;

void *__real_malloc(size_t n_bytes);
void *__real_calloc(size_t n, size_t n_bytes);
void *__real_realloc(void *data, size_t n_bytes);
void *__real_aligned_alloc(size_t alignment, size_t n_bytes);
void __real_free(void *data);
XXH3_state_t *__real_XXH3_createState(void);
XXH_errorcode __real_XXH3_freeState(XXH3_state_t *state);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*begin)(void *), void *user);
void *__real_mmap(void *at, size_t n_bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t n_bytes);
void *__wrap_calloc(size_t n, size_t n_bytes);
void *__wrap_realloc(void *data, size_t n_bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t n_bytes);
void __wrap_free(void *data);
XXH3_state_t *__wrap_XXH3_createState(void);
XXH_errorcode __wrap_XXH3_freeState(XXH3_state_t *state);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*begin)(void *), void *user);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n_bytes);
int __wrap_asprintf(char **ret_text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *__wrap_mmap(void *at, size_t n_bytes, int protection, int flags, int fd, off_t offset);

static size_t slot_of(const void *data)
{
    return ((uintptr_t)data >> 4) * 0x9e3779b97f4a7c15u >> 48;
}

static void *remember(void *data)
{
    size_t i = 0;
    pthread_mutex_lock(&mutex);
    if (memory.on && data) {
        for (size_t slot = slot_of(data); i < LIVE_SLOTS; i++, slot = (slot + 1) % LIVE_SLOTS) {
            if ((uintptr_t)memory.live[slot] > 1) continue;
            memory.live[slot] = data;
            memory.n_live++;
            break;
        }
    }
    pthread_mutex_unlock(&mutex);
    if (i == LIVE_SLOTS) abort();
    return data;
}

static void forget(const void *data)
{
    pthread_mutex_lock(&mutex);
    size_t slot = slot_of(data);
    for (size_t i = 0; memory.on && data && i < LIVE_SLOTS && memory.live[slot]; i++, slot = (slot + 1) % LIVE_SLOTS) {
        if (memory.live[slot] != data) continue;
        memory.live[slot] = (const void *)1;
        memory.n_live--;
        break;
    }
    pthread_mutex_unlock(&mutex);
}

static bool fails(void)
{
    pthread_mutex_lock(&mutex);
    bool now = memory.on && ++memory.n_calls == memory.fail_at;
    pthread_mutex_unlock(&mutex);
    if (now) errno = ENOMEM;
    return now;
}

void *__wrap_malloc(size_t n_bytes)
{
    return fails() ? NULL : remember(__real_malloc(n_bytes));
}

void *__wrap_calloc(size_t n, size_t n_bytes)
{
    return fails() ? NULL : remember(__real_calloc(n, n_bytes));
}

void *__wrap_realloc(void *data, size_t n_bytes)
{
    if (fails()) return NULL;
    forget(data);
    return remember(__real_realloc(data, n_bytes));
}

void *__wrap_aligned_alloc(size_t alignment, size_t n_bytes)
{
    return fails() ? NULL : remember(__real_aligned_alloc(alignment, n_bytes));
}

void __wrap_free(void *data)
{
    forget(data);
    __real_free(data);
}

char *__wrap_strndup(const char *text, size_t n_bytes)
{
    size_t n = strnlen(text, n_bytes);
    char *copy = __wrap_malloc(n + 1);
    if (!copy) return NULL;
    memcpy(copy, text, n);
    copy[n] = 0;
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}

int __wrap_asprintf(char **ret_text, const char *format, ...)
{
    va_list arguments;
    if (fails()) return -1;
    va_start(arguments, format);
    int n = vasprintf(ret_text, format, arguments);
    va_end(arguments);
    if (n >= 0) remember(*ret_text);
    return n;
}

void *__wrap_mmap(void *at, size_t n_bytes, int protection, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, n_bytes, protection, flags, fd, offset);
}

XXH3_state_t *__wrap_XXH3_createState(void)
{
    return fails() ? NULL : remember(__real_XXH3_createState());
}

XXH_errorcode __wrap_XXH3_freeState(XXH3_state_t *state)
{
    forget(state);
    return __real_XXH3_freeState(state);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*begin)(void *), void *user)
{
    return fails() ? EAGAIN : __real_pthread_create(thread, attributes, begin, user);
}

static sqlite3_mem_methods sqlite_memory;

static void *sqlite_malloc(int n_bytes)
{
    return fails() ? NULL : remember(sqlite_memory.xMalloc(n_bytes));
}

static void *sqlite_realloc(void *data, int n_bytes)
{
    if (fails()) return NULL;
    forget(data);
    return remember(sqlite_memory.xRealloc(data, n_bytes));
}

static void sqlite_free(void *data)
{
    forget(data);
    sqlite_memory.xFree(data);
}

void fault_allocations_begin(void)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory);
    sqlite3_mem_methods methods = sqlite_memory;
    methods.xMalloc = sqlite_malloc;
    methods.xRealloc = sqlite_realloc;
    methods.xFree = sqlite_free;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK); /* every small one is an allocation too */
    assert_int_equal(sqlite3_initialize(), SQLITE_OK);
    json_set_alloc_funcs(__wrap_malloc, __wrap_free);
}

/* ------------------------------------------------------------------------------------------------------------ every one */

void fault_allocations_count(bool on)
{
    pthread_mutex_lock(&mutex);
    memory.on = on;
    pthread_mutex_unlock(&mutex);
}

uint64_t fault_allocations_failing(void)
{
    return memory.fail_at;
}

/* Whether there was no such allocation. */
static bool work_without(FaultAllocate work, void *user, uint64_t n)
{
    eng_error error = {.status = ENG_OK};
    memset(&memory, 0, sizeof memory);
    memory.fail_at = n;
    fault_allocations_count(true);
    eng_status status = work(user, &error);
    fault_allocations_count(false);
    if (memory.n_live != 0) fail_msg("allocation %llu fails: %zu are never freed", (unsigned long long)n, memory.n_live);
    if (status != ENG_OK && (error.status != status || error.message[0] == 0)) fail_msg("allocation %llu fails: no words", (unsigned long long)n);
    if (memory.n_calls >= n) return false;
    if (status != ENG_OK) fail_msg("without a failure: %s", error.message);
    return true;
}

void fault_allocations_every(FaultAllocate work, void *user, uint64_t n_least)
{
    uint64_t n = 1;
    while (!work_without(work, user, n)) n++;
    print_message("%llu allocations\n", (unsigned long long)n - 1);
    assert_true(n > n_least);
}
