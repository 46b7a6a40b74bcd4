/* test-extract-sandbox.c: from inside the extractor's sandbox: no other files, no network, no programs, no processes, bounded memory. */
#include "extract-sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "select-tests.h"

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

/* Runs `attempt` in a child inside the sandbox; its return value is the exit status. */
static int inside(int (*attempt)(void), const char *const *readable)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char reason[256];
        ExSandboxState state;
        const ExSandbox sandbox = {.max_memory_bytes = 256 << 20, .max_cpu_s = 20, .readable = readable, .keep_fd = 2};
        if (!ex_sandbox_enter(&sandbox, &state, reason, sizeof reason)) _exit(99);
        _exit(attempt());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int open_passwd(void)
{
    return open("/etc/passwd", O_RDONLY) >= 0;
}
static int open_by_link(void)
{
    return open("/proc/self/root/etc/passwd", O_RDONLY) >= 0 || open("/proc/self/environ", O_RDONLY) >= 0;
}
static int open_relative(void)
{
    return open("../../../../../../../../etc/hostname", O_RDONLY) >= 0 || open(".", O_RDONLY | O_DIRECTORY) >= 0;
}
static int open_for_writing(void)
{
    return open("/tmp/lectern-sandbox-test", O_WRONLY | O_CREAT, 0600) >= 0 || open("/dev/null", O_WRONLY) >= 0 || creat("x", 0600) >= 0;
}
static int make_files(void)
{
    return mkdir("/tmp/lectern-sandbox-folder", 0700) == 0 || symlink("a", "/tmp/lectern-sandbox-link") == 0 ||
           unlink("/tmp/lectern-sandbox-test") == 0 || rename("/tmp/a", "/tmp/b") == 0;
}
static int look_at_paths(void)
{
    struct stat status;
    return stat("/etc/passwd", &status) == 0 || access("/etc/passwd", R_OK) == 0;
}
static int use_network(void)
{
    int pair[2];
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_INET6, SOCK_DGRAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ||
           socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
}
static int start_program(void)
{
    char *const arguments[] = {(char[]){"/bin/true"}, NULL};
    execv("/bin/true", arguments);
    syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, NULL, 0);
    return 0; /* still here */
}
static int start_process(void)
{
    pid_t child = fork();
    if (child == 0) _exit(0);
    return child > 0;
}
static int touch_others(void)
{
    return kill(getppid(), 0) == 0 || ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 || syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0) == 0;
}
static int run_made_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) return 1;
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED || mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}
static int use_uring(void)
{
    char parameters[256] = {0};
    return syscall(SYS_io_uring_setup, 1, parameters) >= 0;
}
static int keep_other_fds(void)
{
    struct stat status;
    for (int fd = 3; fd < 64; fd++) {
        if (fstat(fd, &status) == 0) return 1;
    }
    return 0;
}
static int take_memory(void)
{
    return mmap(NULL, (size_t)512 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
static int do_work(void)
{
    char *memory = malloc(16 << 20);
    if (!memory) return 1;
    memset(memory, 1, 16 << 20);
    free(memory);
    return write(STDERR_FILENO, "", 0) != 0;
}
static int read_allowed(void)
{
    int fd = open("/usr/share/doc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int other = open("/usr/lib", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Where the kernel has no Landlock nothing can be opened; nowhere more than was allowed. */
    return (fd < 0 && errno != EPERM) || other >= 0;
}

static void test_promise_24_cannot(void **state)
{
    static int (*const attempts[])(void) = {open_passwd,  open_by_link, open_relative, open_for_writing, make_files, look_at_paths, use_network,
                                            start_program, start_process, touch_others, run_made_code,    use_uring,  keep_other_fds};
    int extra = open("/etc/passwd", O_RDONLY); /* without close-on-exec: must be gone inside */
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) assert_int_equal(inside(attempts[i], NULL), 0);
    if (extra >= 0) close(extra);
    if (!IS_SANITIZED) assert_int_equal(inside(take_memory, NULL), 0);
}

static void test_promise_24_can_work(void **state)
{
    assert_int_equal(inside(do_work, NULL), 0);
}

static void test_promise_24_reads_only_what_is_named(void **state)
{
    static const char *const readable[] = {"/usr/share", "/does/not/exist", NULL};
    assert_int_equal(inside(read_allowed, readable), 0);
    assert_int_equal(inside(open_passwd, readable), 0);
    assert_int_equal(inside(open_for_writing, readable), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promise_24_cannot),
        cmocka_unit_test(test_promise_24_can_work),
        cmocka_unit_test(test_promise_24_reads_only_what_is_named),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
}
