/* fault-work.c: see fault-work.h. */
#include "fault-work.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include "power-disk.h"

enum { CALLS_MAX = 20000, N_VARIANTS = 4 };

static char *top;

/* ------------------------------------------------------------------------------------------------------------- folders */

const char *fault_work_top(void)
{
    if (top) return top;
    const char *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir();
    g_autofree char *pattern = g_build_filename(memory, "lectern-faults-XXXXXX", NULL);
    top = g_strdup(g_mkdtemp(pattern));
    assert_non_null(top);
    return top;
}

void fault_work_end(void)
{
    if (top) fault_work_remove(top);
    g_clear_pointer(&top, g_free);
}

char *fault_work_new_folder(void)
{
    static unsigned count;
    return g_strdup_printf("%s/data-%d-%u", fault_work_top(), (int)getpid(), count++);
}

void fault_work_remove(const char *path)
{
    g_autoptr(GDir) dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        fault_work_remove(child);
    }
    g_remove(path);
}

void fault_work_copy(const char *from, const char *to)
{
    g_autoptr(GDir) dir = g_dir_open(from, 0, NULL);
    const char *name;
    assert_int_equal(g_mkdir(to, 0700), 0);
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *source = g_build_filename(from, name, NULL), *target = g_build_filename(to, name, NULL), *bytes = NULL;
        gsize n;
        if (g_file_test(source, G_FILE_TEST_IS_DIR)) {
            fault_work_copy(source, target);
        } else {
            assert_true(g_file_get_contents(source, &bytes, &n, NULL));
            assert_true(g_file_set_contents_full(target, bytes, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
        }
    }
}

char *fault_work_begin(const char *base)
{
    char *folder = fault_work_new_folder();
    if (base) fault_work_copy(base, folder);
    else assert_int_equal(g_mkdir(folder, 0700), 0);
    return folder;
}

/* ---------------------------------------------------------------------------------------------------------------- calls */

bool fault_work_is_clean(bool ok, GError **error)
{
    bool clean = ok ? *error == NULL : *error != NULL && (*error)->message[0] != 0;
    g_clear_error(error);
    return clean;
}

void fault_work_run(FaultWork work, const char *folder, fault_calls calls, bool *ret_beyond)
{
    int result = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        calls.folder = folder;
        fault = calls;
        bool clean = work(folder);
        _exit(!clean ? 3 : fault.n_calls < calls.fail_at ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &result, 0), child);
    if (!WIFEXITED(result)) fail_msg("call %llu: the process died of signal %d", (unsigned long long)calls.fail_at, WTERMSIG(result));
    if (WEXITSTATUS(result) == 3) fail_msg("call %llu: a failure without words", (unsigned long long)calls.fail_at);
    *ret_beyond = WEXITSTATUS(result) == 0;
}

void fault_work_every_call(FaultWork work, FaultFind find, const char *base, fault_calls calls, unsigned n_least)
{
    unsigned n_tried = 0;
    for (uint64_t n = 1; n < CALLS_MAX; n++, n_tried++) {
        g_autofree char *folder = fault_work_begin(base);
        bool beyond;
        calls.fail_at = n;
        fault_work_run(work, folder, calls, &beyond);
        const char *problem = find(folder);
        if (problem) fail_msg("call %llu: %s", (unsigned long long)n, problem);
        fault_work_remove(folder);
        if (!beyond) continue;
        print_message("%u calls\n", n_tried);
        assert_true(n_tried >= n_least);
        return;
    }
    fail_msg("the work never ends");
}

void fault_work_little_space(FaultWork work, FaultFind find, const char *base, uint64_t most_bytes)
{
    for (uint64_t space = 0; space < most_bytes; space = space * 5 / 4 + 1500) {
        g_autofree char *folder = fault_work_begin(base);
        bool beyond;
        fault_work_run(work, folder, (fault_calls){.limited = true, .space_bytes = space}, &beyond);
        const char *problem = find(folder);
        if (problem) fail_msg("%llu bytes: %s", (unsigned long long)space, problem);
        fault_work_remove(folder);
    }
}

/* --------------------------------------------------------------------------------------------------------------- power */

void fault_work_every_power_failure(FaultWork work, FaultFind find, const char *base, unsigned n_least)
{
    const char *given = g_getenv("LECTERN_TEST_SEED");
    uint32_t seed = given ? (uint32_t)g_ascii_strtoull(given, NULL, 10) : 20260322;
    print_message("seed %u (LECTERN_TEST_SEED)\n", seed);
    g_autofree char *run_folder = fault_work_begin(base);
    power_disk_start(run_folder);
    assert_true(work(run_folder));
    power_disk_stop();
    for (size_t crash = power_disk_first_event(); crash <= power_disk_n_events(); crash++) {
        for (int variant = 0; variant < N_VARIANTS; variant++) {
            g_autofree char *folder = fault_work_begin(NULL);
            power_disk_build(crash, variant, seed, folder);
            const char *problem = find(folder);
            if (problem) fail_msg("power fails before event %zu, variant %d: %s", crash, variant, problem);
            fault_work_remove(folder);
        }
    }
    print_message("%zu events, %d states of the disk at each\n", power_disk_n_events() - power_disk_first_event(), N_VARIANTS);
    assert_true(power_disk_n_events() - power_disk_first_event() >= n_least);
    power_disk_clear();
    fault_work_remove(run_folder);
}
