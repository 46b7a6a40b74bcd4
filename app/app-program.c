/* app-program.c: see app-program.h. */
#include "app-program.h"

#include "app-config.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

char *app_program_find(const char *name, const char *variable)
{
    const char *chosen = g_getenv(variable);
    if (chosen && *chosen) return g_strdup(chosen);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : NULL;
    g_autofree char *beside = folder ? g_build_filename(folder, name, NULL) : NULL;
    /* In a build tree: from app/ and from ui/. */
    g_autofree char *below = folder ? g_build_filename(folder, "extract", name, NULL) : NULL;
    g_autofree char *across = folder ? g_build_filename(folder, "..", "app", "extract", name, NULL) : NULL;
    g_autofree char *installed = g_build_filename(LECTERN_LIBEXECDIR, name, NULL);
    const char *const candidates[] = {beside, below, across, installed};
    for (size_t i = 0; i < G_N_ELEMENTS(candidates); i++) {
        if (candidates[i] && g_file_test(candidates[i], G_FILE_TEST_IS_EXECUTABLE)) return g_strdup(candidates[i]);
    }
    return NULL;
}

int app_program_move_up(int fd)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
    if (fd >= 0) close(fd);
    return high;
}

int app_program_spawn(pid_t *ret_pid, const char *program, char *const *arguments, const int *fds, size_t n_fds)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    for (size_t i = 0; i < n_fds; i++) {
        if (fds[i] >= 0) posix_spawn_file_actions_adddup2(&actions, fds[i], (int)i);
    }
    /* Signals as a new program expects them, whatever this one blocks or ignores. */
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    /* Its environment is empty but for what programs expect to find: nothing in it is the document's business. */
    static char path[] = "PATH=/nonexistent";
    char *const environment[] = {path, NULL};
    int failed = posix_spawn(ret_pid, program, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}
