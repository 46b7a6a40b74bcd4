/* pool.c: a pool of threads that runs numbered tasks.
 *
 * Owns: the threads, how they wait (they spin for a moment, then sleep) and how tasks are handed out.
 * Does not own: how work is cut into tasks. Results never depend on which thread runs a task.
 *
 * Each thread begins with a share of its own, tasks that follow each other: what one task fetches beyond its end serves the next, and what
 * one run leaves in a thread's cache serves the same tasks of the next run. A thread without tasks takes the last ones of others.
 *
 * A share is one atomic word, the first task in its lower half and the end in its upper half, and a thread takes a task by a
 * compare-and-swap. A thread that wakes late therefore either takes a task of the present run or sees that nothing is left: the caller
 * waits for tasks, never for threads.
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

typedef struct pool_share {
    _Alignas(KERN_ALIGN_BYTES) _Atomic uint64_t range; /* end << 32 | first */
} pool_share;

struct kern_pool {
    _Alignas(KERN_ALIGN_BYTES) _Atomic uint32_t n_runs;
    _Alignas(KERN_ALIGN_BYTES) _Atomic uint32_t n_unfinished;
    _Alignas(KERN_ALIGN_BYTES) _Atomic uint32_t n_sleeping;
    _Atomic bool caller_sleeps;
    _Atomic bool stop;
    /* Of the present run; read only by a thread that holds one of its tasks. */
    kern_task_fn fn;
    void *user;

    pthread_mutex_t mutex;
    pthread_cond_t work_cond, done_cond;
    unsigned n_threads, spin_rounds;
    cpu_set_t worker_cpus; /* of pinned workers; none where they must share with each other */
    pool_worker *workers; /* n_threads - 1 */
    pool_share *shares;   /* n_threads */
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* A task of the present run from one share: its first, or for another thread its last. */
static bool take_task(pool_share *share, bool own, uint32_t *ret_index)
{
    uint64_t range = atomic_load_explicit(&share->range, memory_order_acquire);
    for (;;) {
        uint32_t first = (uint32_t)range, end = (uint32_t)(range >> 32);
        if (first == end) return false;
        *ret_index = own ? first : end - 1;
        uint64_t rest = own ? (uint64_t)end << 32 | (first + 1) : (uint64_t)(end - 1) << 32 | first;
        if (atomic_compare_exchange_weak_explicit(&share->range, &range, rest, memory_order_acq_rel, memory_order_acquire)) return true;
    }
}

/* Takes tasks of the present run until none is left. */
static void work(kern_pool *pool, unsigned thread)
{
    for (unsigned i = 0; i < pool->n_threads; i++) {
        unsigned at = (thread + i) % pool->n_threads;
        uint32_t index;
        while (take_task(&pool->shares[at], i == 0, &index)) {
            pool->fn(pool->user, index, thread);
            if (atomic_fetch_sub(&pool->n_unfinished, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
                pthread_mutex_lock(&pool->mutex);
                pthread_cond_signal(&pool->done_cond);
                pthread_mutex_unlock(&pool->mutex);
            }
        }
    }
}

/* Until there is a run after the last one seen. */
static void wait_for_work(kern_pool *pool, uint32_t *seen)
{
    for (unsigned round = 0; round < pool->spin_rounds; round++) {
        if (atomic_load_explicit(&pool->n_runs, memory_order_acquire) != *seen || atomic_load_explicit(&pool->stop, memory_order_relaxed)) break;
        pause_briefly();
    }
    if (atomic_load(&pool->n_runs) == *seen && !atomic_load(&pool->stop)) {
        pthread_mutex_lock(&pool->mutex);
        atomic_fetch_add(&pool->n_sleeping, 1);
        while (atomic_load(&pool->n_runs) == *seen && !atomic_load(&pool->stop)) pthread_cond_wait(&pool->work_cond, &pool->mutex);
        atomic_fetch_sub(&pool->n_sleeping, 1);
        pthread_mutex_unlock(&pool->mutex);
    }
    *seen = atomic_load(&pool->n_runs);
}

static void *worker_main(void *user)
{
    pool_worker *worker = user;
    uint32_t seen = 0;
    while (!atomic_load(&worker->pool->stop)) {
        wait_for_work(worker->pool, &seen);
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

/* The caller's own thread keeps its mask: threads that it starts later would inherit another. It finds the first processor
 * of the mask free. */
static void pin_worker(pool_worker *worker, const cpu_set_t *allowed, unsigned n_allowed)
{
    unsigned want = worker->thread % n_allowed;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, allowed) || want-- > 0) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        bool pinned = pthread_setaffinity_np(worker->handle, sizeof one, &one) == 0; /* refused: it runs where it may */
        if (pinned && worker->pool->n_threads <= n_allowed) CPU_SET(cpu, &worker->pool->worker_cpus);
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
    pool_share *shares = aligned_alloc(KERN_ALIGN_BYTES, n_threads * sizeof *shares);
    if (!pool || !workers || !shares) {
        free(pool);
        free(workers);
        free(shares);
        return KERN_NO_MEMORY;
    }
    *pool = (kern_pool){.workers = workers, .shares = shares, .n_threads = 1};
    for (unsigned i = 0; i < n_threads; i++) atomic_init(&shares[i].range, 0);
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
    free(pool->shares);
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

/* The scheduler puts a caller that woke beside the worker that woke it, which is pinned and cannot give way: both would then take turns on one
 * processor. The caller is moved off it; its mask is the same before and after. */
static void leave_workers(const kern_pool *pool)
{
    int cpu = sched_getcpu();
    if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &pool->worker_cpus)) return;
    cpu_set_t mask, free_ones;
    if (sched_getaffinity(0, sizeof mask, &mask) != 0) return;
    CPU_XOR(&free_ones, &mask, &pool->worker_cpus);
    CPU_AND(&free_ones, &free_ones, &mask);
    if (CPU_COUNT(&free_ones) == 0 || sched_setaffinity(0, sizeof free_ones, &free_ones) != 0) return;
    sched_setaffinity(0, sizeof mask, &mask);
}

void kern_pool_run(kern_pool *pool, size_t n_tasks, kern_task_fn fn, void *user)
{
    assert(n_tasks <= UINT32_MAX);
    if (n_tasks <= 1 || pool->n_threads == 1) {
        for (size_t index = 0; index < n_tasks; index++) fn(user, index, 0);
        return;
    }
    leave_workers(pool);
    pool->fn = fn;
    pool->user = user;
    atomic_store_explicit(&pool->n_unfinished, (uint32_t)n_tasks, memory_order_relaxed);
    for (size_t i = 0; i < pool->n_threads; i++) {
        uint64_t first = n_tasks * i / pool->n_threads, end = n_tasks * (i + 1) / pool->n_threads;
        atomic_store_explicit(&pool->shares[i].range, end << 32 | first, memory_order_release);
    }
    atomic_fetch_add(&pool->n_runs, 1);
    if (atomic_load(&pool->n_sleeping) > 0) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->work_cond);
        pthread_mutex_unlock(&pool->mutex);
    }
    work(pool, 0);
    wait_for_end(pool);
}
