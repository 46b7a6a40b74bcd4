/* test-pool.c: the pool runs every task once, contexts keep their promises, the instruction set can be chosen. */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { TASKS_MAX = 5000 };

typedef struct counters {
    _Atomic unsigned runs[TASKS_MAX];
    unsigned n_threads;
    _Atomic unsigned bad_threads;
} counters;

static void count_task(void *user, size_t index, unsigned thread)
{
    counters *c = user;
    atomic_fetch_add(&c->runs[index], 1);
    if (thread >= c->n_threads) atomic_fetch_add(&c->bad_threads, 1);
}

static void test_every_task_runs_once(void **state)
{
    static const unsigned n_threads[] = {1, 2, 3, 5, 8};
    static const size_t n_tasks[] = {0, 1, 2, 3, 7, 64, 1000, TASKS_MAX};
    counters *c = test_alloc(sizeof *c);
    for (size_t t = 0; t < sizeof n_threads / sizeof *n_threads; t++) {
        kern_pool *pool = NULL;
        assert_int_equal(kern_pool_new(n_threads[t], t % 2 == 0, &pool), KERN_OK);
        assert_int_equal(kern_pool_n_threads(pool), n_threads[t]);
        for (size_t i = 0; i < sizeof n_tasks / sizeof *n_tasks; i++) {
            memset(c, 0, sizeof *c);
            c->n_threads = n_threads[t];
            kern_pool_run(pool, n_tasks[i], count_task, c);
            for (size_t j = 0; j < TASKS_MAX; j++) assert_int_equal(atomic_load(&c->runs[j]), j < n_tasks[i] ? 1 : 0);
            assert_int_equal(atomic_load(&c->bad_threads), 0);
        }
        kern_pool_free(pool);
    }
    free(c);
}

typedef struct cell {
    uint64_t sum; /* plain memory: a race detector sees whether tasks of one run end before the next run starts */
} cell;

static void add_task(void *user, size_t index, unsigned thread)
{
    cell *cells = user;
    cells[index].sum += index + 1;
}

/* Many short runs, some after a pause in which the workers fall asleep. */
static void test_runs_follow_each_other(void **state)
{
    enum { RUNS = 3000, TASKS = 7 };
    kern_pool *pool = NULL;
    assert_int_equal(kern_pool_new(3, false, &pool), KERN_OK);
    cell cells[TASKS] = {0};
    for (int run = 0; run < RUNS; run++) {
        kern_pool_run(pool, TASKS, add_task, cells);
        if (run % 500 == 0) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    for (size_t i = 0; i < TASKS; i++) assert_int_equal(cells[i].sum, RUNS * (i + 1));
    kern_pool_free(pool);
}

/* One pool, used by two threads one after the other. */
static void *run_elsewhere(void *user)
{
    void **arguments = user;
    kern_pool_run(arguments[0], 4, add_task, arguments[1]);
    return NULL;
}

static void test_any_thread_may_call(void **state)
{
    kern_pool *pool = NULL;
    assert_int_equal(kern_pool_new(2, false, &pool), KERN_OK);
    cell cells[4] = {0};
    void *arguments[] = {pool, cells};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_elsewhere, arguments), 0);
    pthread_join(thread, NULL);
    kern_pool_run(pool, 4, add_task, cells);
    for (size_t i = 0; i < 4; i++) assert_int_equal(cells[i].sum, 2 * (i + 1));
    kern_pool_free(pool);
}

/* The first processors that this thread may run on, two at most; their number. */
static int first_processors(int ret_cpus[2], cpu_set_t *ret_both)
{
    cpu_set_t allowed;
    int n = 0;
    CPU_ZERO(ret_both);
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
        if (CPU_ISSET(cpu, &allowed)) CPU_SET(ret_cpus[n++] = cpu, ret_both);
    return n;
}

static void note_processor(void *user, size_t index, unsigned thread)
{
    if (thread == 0) *(int *)user = sched_getcpu();
}

enum { BESIDE_RUNS = 40, BESIDE_ROUNDS = 20 };

/* Of runs that began on the worker's processor and noted where the caller worked: those that stayed there. */
static int count_beside(kern_pool *pool, int worker_cpu, const cpu_set_t *allowed, int *ret_n_noted)
{
    int n_beside = 0;
    cpu_set_t worker, after;
    CPU_ZERO(&worker);
    CPU_SET(worker_cpu, &worker);
    *ret_n_noted = 0;
    for (int run = 0; run < BESIDE_RUNS; run++) {
        int noted = -1;
        assert_int_equal(sched_setaffinity(0, sizeof worker, &worker), 0);
        assert_int_equal(sched_setaffinity(0, sizeof *allowed, allowed), 0); /* and stays where it is */
        kern_pool_run(pool, 2, note_processor, &noted);
        *ret_n_noted += noted >= 0;
        n_beside += noted == worker_cpu;
        assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
        assert_true(CPU_EQUAL(&after, allowed));
    }
    return n_beside;
}

/* A caller that was put on a pinned worker's processor works on another, where there is one, and may run where it might before. */
static void test_caller_leaves_pinned_workers(void **state)
{
    int cpus[2], n_noted = 0;
    cpu_set_t before, both;
    int n_cpus = first_processors(cpus, &both);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(sched_setaffinity(0, sizeof both, &both), 0);
    kern_pool *pool = NULL;
    assert_int_equal(kern_pool_new(2, true, &pool), KERN_OK);
    bool leaves = false;
    /* The scheduler has a word in it, the more the busier the machine is: not each time, and not in each round. */
    for (int round = 0; round < BESIDE_ROUNDS && !leaves; round++) {
        int n_beside = count_beside(pool, cpus[n_cpus - 1], &both, &n_noted);
        leaves = n_noted >= BESIDE_RUNS / 2 && (n_cpus == 2 ? n_beside <= BESIDE_RUNS / 4 : n_beside == n_noted);
    }
    kern_pool_free(pool);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_true(leaves);
}

static void test_limits(void **state)
{
    kern_pool *pool = NULL;
    assert_int_equal(kern_pool_new(KERN_THREADS_MAX + 1, false, &pool), KERN_BAD_ARGUMENT);
    assert_null(pool);
    assert_int_equal(kern_pool_new(0, false, &pool), KERN_OK);
    assert_true(kern_pool_n_threads(pool) >= 1);
    kern_pool_free(pool);
    kern_pool_free(NULL);
    kern_context *context = NULL;
    assert_int_equal(kern_context_new(KERN_THREADS_MAX + 1, false, &context), KERN_BAD_ARGUMENT);
    assert_null(context);
    kern_context_free(NULL);
    context = test_context(2);
    assert_int_equal(kern_pool_n_threads(kern_context_pool(context)), 2);
    kern_context_free(context);
}

static void test_status_texts_differ(void **state)
{
    for (int a = KERN_OK; a <= KERN_CANCELLED; a++) {
        assert_true(strlen(kern_status_text((kern_status)a)) > 0);
        for (int b = KERN_OK; b < a; b++) assert_string_not_equal(kern_status_text((kern_status)a), kern_status_text((kern_status)b));
    }
}

static void test_instruction_sets(void **state)
{
    const char *names[4], *first = kern_isa_name();
    size_t n = kern_isa_available(names);
    assert_in_range(n, 1, 3);
    assert_string_equal(names[0], "portable");
    for (size_t i = 0; i < n; i++) {
        assert_true(kern_isa_force(names[i]));
        assert_string_equal(kern_isa_name(), names[i]);
    }
    assert_false(kern_isa_force("altivec"));
    assert_string_equal(kern_isa_name(), names[n - 1]);
    assert_true(kern_isa_force(first));
}

/* The variable is read once, so another value needs another process: this program itself, with an argument. */
static void test_environment(void **state)
{
    static const struct {
        const char *value, *name;
        bool noted;
    } cases[] = {{"portable", "portable", false}, {"mmx", NULL, true}, {"", NULL, false}};
    const char *names[4];
    const char *best = names[kern_isa_available(names) - 1];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[4200], line[256] = "";
        snprintf(command, sizeof command, "LECTERN_ISA='%s' '%s' --print-isa", cases[i].value, (const char *)*state);
        FILE *pipe = popen(command, "r");
        assert_non_null(pipe);
        assert_non_null(fgets(line, sizeof line, pipe));
        assert_int_equal(pclose(pipe), 0);
        char *tab = strchr(line, '\t');
        assert_non_null(tab);
        *tab = 0;
        assert_string_equal(line, cases[i].name ? cases[i].name : best);
        assert_int_equal(strstr(tab + 1, "LECTERN_ISA") != NULL, cases[i].noted);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        printf("%s\t%s\n", kern_isa_name(), kern_isa_note());
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_task_runs_once),          cmocka_unit_test(test_runs_follow_each_other),
        cmocka_unit_test(test_any_thread_may_call),           cmocka_unit_test(test_caller_leaves_pinned_workers), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_status_texts_differ),           cmocka_unit_test(test_instruction_sets),
        cmocka_unit_test_prestate(test_environment, argv[0]),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
