/* pool.c: a pool of threads that runs numbered tasks.
 *
 * Owns: the threads, how they wait (they spin for a moment, then sleep) and how tasks are handed out.
 * Does not own: how work is cut into tasks. Results never depend on which thread runs a task.
 *
 * A run is published in one atomic word, the ticket: the run's number in the upper half, how many tasks are left to hand
 * out in the lower half. A thread takes a task by a compare-and-swap that lowers it. A thread that wakes late therefore
 * either takes a task of the present run or sees that nothing is left: the caller waits for tasks, never for threads.
 */
#include "kern.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* About 50 us: longer than the gap between two operations of a layer, shorter than anybody notices on a battery. */
enum { SPIN_ROUNDS = 1500 };

typedef struct pool_worker {
    kern_pool *pool;
    pthread_t handle;
    unsigned thread;
} pool_worker;

struct kern_pool {
    _Alignas(KERN_ALIGN_BYTES) _Atomic uint64_t ticket; /* run << 32 | tasks left to hand out */
    _Alignas(KERN_ALIGN_BYTES) _Atomic uint32_t n_unfinished;
    _Alignas(KERN_ALIGN_BYTES) _Atomic uint32_t n_sleeping;
    _Atomic bool caller_sleeps;
    _Atomic bool stop;
    /* Of the present run; read only by a thread that holds one of its tasks. */
    kern_task_fn fn;
    void *user;
    size_t n_tasks;

    pthread_mutex_t mutex;
    pthread_cond_t work_cond, done_cond;
    unsigned n_threads, spin_rounds;
    pool_worker *workers; /* n_threads - 1 */
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static uint32_t tasks_left(const kern_pool *pool)
{
    return (uint32_t)atomic_load(&pool->ticket);
}

/* Takes tasks of the present run until none is left. */
static void work(kern_pool *pool, unsigned thread)
{
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    while ((uint32_t)ticket > 0) {
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket - 1, memory_order_acq_rel, memory_order_acquire))
            continue;
        pool->fn(pool->user, pool->n_tasks - (uint32_t)ticket, thread);
        if (atomic_fetch_sub(&pool->n_unfinished, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->done_cond);
            pthread_mutex_unlock(&pool->mutex);
        }
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
}

static void wait_for_work(kern_pool *pool)
{
    for (unsigned round = 0; round < pool->spin_rounds; round++) {
        if (tasks_left(pool) > 0 || atomic_load_explicit(&pool->stop, memory_order_relaxed)) return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->n_sleeping, 1);
    while (tasks_left(pool) == 0 && !atomic_load(&pool->stop)) pthread_cond_wait(&pool->work_cond, &pool->mutex);
    atomic_fetch_sub(&pool->n_sleeping, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *user)
{
    pool_worker *worker = user;
    while (!atomic_load(&worker->pool->stop)) {
        wait_for_work(worker->pool);
        work(worker->pool, worker->thread);
    }
    return NULL;
}

static unsigned affinity_count(cpu_set_t *ret_set)
{
    CPU_ZERO(ret_set);
    if (sched_getaffinity(0, sizeof *ret_set, ret_set) != 0) CPU_SET(0, ret_set);
    int count = CPU_COUNT(ret_set);
    return count < 1 ? 1 : (unsigned)count;
}

/* The caller's own thread is left alone: threads that it starts later would inherit its mask. It finds the first processor
 * of the mask free. */
static void pin_worker(const pool_worker *worker, const cpu_set_t *allowed, unsigned n_allowed)
{
    unsigned want = worker->thread % n_allowed;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, allowed) || want-- > 0) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        pthread_setaffinity_np(worker->handle, sizeof one, &one); /* refused: it runs unpinned */
        return;
    }
}

kern_status kern_pool_new(unsigned n_threads, bool pin, kern_pool **ret_pool)
{
    cpu_set_t allowed;
    unsigned n_allowed = affinity_count(&allowed);
    if (n_threads == 0) n_threads = n_allowed < KERN_THREADS_MAX ? n_allowed : KERN_THREADS_MAX;
    if (n_threads > KERN_THREADS_MAX) return KERN_BAD_ARGUMENT;

    kern_pool *pool = aligned_alloc(KERN_ALIGN_BYTES, sizeof *pool);
    pool_worker *workers = calloc(n_threads, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return KERN_NO_MEMORY;
    }
    *pool = (kern_pool){.workers = workers, .n_threads = 1};
    /* Spinning helps only when everybody has a processor to spin on. */
    pool->spin_rounds = n_threads <= n_allowed ? SPIN_ROUNDS : 0;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work_cond, NULL);
    pthread_cond_init(&pool->done_cond, NULL);
    for (unsigned thread = 1; thread < n_threads; thread++) {
        pool_worker *worker = &workers[thread - 1];
        *worker = (pool_worker){.pool = pool, .thread = thread};
        if (pthread_create(&worker->handle, NULL, worker_main, worker) != 0) {
            kern_pool_free(pool);
            return KERN_NO_MEMORY;
        }
        pool->n_threads = thread + 1;
        if (pin) pin_worker(worker, &allowed, n_allowed);
    }
    *ret_pool = pool;
    return KERN_OK;
}

void kern_pool_free(kern_pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->work_cond);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned thread = 1; thread < pool->n_threads; thread++) pthread_join(pool->workers[thread - 1].handle, NULL);
    pthread_cond_destroy(&pool->done_cond);
    pthread_cond_destroy(&pool->work_cond);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->workers);
    free(pool);
}

unsigned kern_pool_n_threads(const kern_pool *pool)
{
    return pool->n_threads;
}

static void wait_for_end(kern_pool *pool)
{
    for (unsigned round = 0; round < pool->spin_rounds; round++) {
        if (atomic_load_explicit(&pool->n_unfinished, memory_order_acquire) == 0) return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->n_unfinished) > 0) pthread_cond_wait(&pool->done_cond, &pool->mutex);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->mutex);
}

void kern_pool_run(kern_pool *pool, size_t n_tasks, kern_task_fn fn, void *user)
{
    assert(n_tasks <= UINT32_MAX);
    if (n_tasks <= 1 || pool->n_threads == 1) {
        for (size_t index = 0; index < n_tasks; index++) fn(user, index, 0);
        return;
    }
    pool->fn = fn;
    pool->user = user;
    pool->n_tasks = n_tasks;
    atomic_store_explicit(&pool->n_unfinished, (uint32_t)n_tasks, memory_order_relaxed);
    uint64_t run = (atomic_load_explicit(&pool->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store(&pool->ticket, run << 32 | n_tasks);
    if (atomic_load(&pool->n_sleeping) > 0) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->work_cond);
        pthread_mutex_unlock(&pool->mutex);
    }
    work(pool, 0);
    wait_for_end(pool);
}
