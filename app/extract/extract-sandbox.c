/* extract-sandbox.c: resource limits, no_new_privs, Landlock, seccomp.
 *
 * Owns: the list of system calls that taking a document apart needs.
 *
 * Landlock's structures are written out here because Debian 12's kernel headers know only its first versions, while the kernel that
 * runs the program may know more (source: Documentation/userspace-api/landlock.rst).
 */
#include "extract-sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define EX_SANITIZED 1
#endif
#endif
#ifndef EX_SANITIZED
#define EX_SANITIZED 0
#endif

struct landlock_ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* ABI 4 */
    uint64_t scoped;             /* ABI 6 */
};
struct landlock_path_beneath {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));
enum {
    SYS_LANDLOCK_CREATE_RULESET = 444,
    SYS_LANDLOCK_ADD_RULE = 445,
    SYS_LANDLOCK_RESTRICT_SELF = 446,
    LANDLOCK_CREATE_RULESET_VERSION_FLAG = 1,
    LANDLOCK_RULE_PATH_BENEATH_TYPE = 1,
    LANDLOCK_READ_FILE = 1 << 2,
    LANDLOCK_READ_DIR = 1 << 3,
};

static bool set_limits(const ExSandbox *sandbox, char *reason, size_t n_reason)
{
    struct rlimit none = {0, 0};
    /* A pipe is no file: the stream still goes out. */
    bool is_done = setrlimit(RLIMIT_CORE, &none) == 0 && setrlimit(RLIMIT_FSIZE, &none) == 0;
    if (sandbox->max_cpu_s) {
        struct rlimit cpu = {sandbox->max_cpu_s, sandbox->max_cpu_s + 2};
        is_done = is_done && setrlimit(RLIMIT_CPU, &cpu) == 0;
    }
    /* A sanitizer maps terabytes of shadow memory; its builds are for tests and do without this one limit. */
    if (sandbox->max_memory_bytes && !EX_SANITIZED) {
        unsigned long n_pages = 0;
        FILE *statm = fopen("/proc/self/statm", "re");
        if (statm) {
            if (fscanf(statm, "%lu", &n_pages) != 1) n_pages = 0;
            fclose(statm);
        }
        uint64_t mapped = (uint64_t)n_pages * (uint64_t)sysconf(_SC_PAGESIZE);
        struct rlimit memory = {sandbox->max_memory_bytes + mapped, sandbox->max_memory_bytes + mapped};
        is_done = is_done && setrlimit(RLIMIT_AS, &memory) == 0;
    }
    if (!is_done) snprintf(reason, n_reason, "resource limits could not be set: %s", strerror(errno));
    return is_done;
}

/* Accesses that a Landlock version knows about: 13 at first, then REFER, TRUNCATE, and IOCTL_DEV with version 5. */
static uint64_t landlock_accesses(int abi)
{
    unsigned n_bits = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
    return (UINT64_C(1) << n_bits) - 1;
}

/* True also where the kernel has no Landlock: seccomp then refuses every open. */
static bool restrict_files(const ExSandbox *sandbox, ExSandboxState *state, char *reason, size_t n_reason)
{
    long abi = syscall(SYS_LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION_FLAG);
    if (abi < 1) return true;
    struct landlock_ruleset ruleset = {
        .handled_access_fs = landlock_accesses((int)abi),
        .handled_access_net = abi >= 4 ? 3 : 0, /* bind and connect TCP */
        .scoped = abi >= 6 ? 3 : 0,             /* abstract sockets, signals */
    };
    size_t n_bytes = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    int fd = (int)syscall(SYS_LANDLOCK_CREATE_RULESET, &ruleset, n_bytes, 0);
    if (fd < 0) goto failed;
    for (const char *const *folder = sandbox->readable; folder && *folder; folder++) {
        struct landlock_path_beneath rule = {LANDLOCK_READ_FILE | LANDLOCK_READ_DIR, open(*folder, O_PATH | O_CLOEXEC | O_DIRECTORY)};
        if (rule.parent_fd < 0) continue;
        long failed = syscall(SYS_LANDLOCK_ADD_RULE, fd, LANDLOCK_RULE_PATH_BENEATH_TYPE, &rule, 0);
        close(rule.parent_fd);
        if (failed) goto failed;
    }
    if (syscall(SYS_LANDLOCK_RESTRICT_SELF, fd, 0)) goto failed;
    close(fd);
    state->has_landlock = true;
    state->landlock_abi = (int)abi;
    return true;
failed:
    snprintf(reason, n_reason, "Landlock could not be set up: %s", strerror(errno));
    if (fd >= 0) close(fd);
    return false;
}

/* Calls that are harmless whatever their arguments: memory, time, and what is already open. */
static const int allowed_calls[] = {
    SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(lseek), SCMP_SYS(close),
    SCMP_SYS(fstat), SCMP_SYS(fcntl), SCMP_SYS(dup), SCMP_SYS(getdents64), SCMP_SYS(fadvise64),
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(sched_yield), SCMP_SYS(getrandom), SCMP_SYS(futex), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getrusage), SCMP_SYS(sysinfo),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall),
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(sched_getaffinity), SCMP_SYS(poll), SCMP_SYS(uname),
};

static int add_rules(scmp_filter_ctx filter, bool may_read_files)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof allowed_calls / sizeof *allowed_calls; i++) {
        failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
    }
    /* Memory that is never both written and run. */
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* fstat in glibc: of an open file, not of a path. */
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    /* abort() signals itself alone. */
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0)); /* asking only */
    if (may_read_files) {
        const scmp_datum_t writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY) | O_PATH;
        failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, writing, 0));
        failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(open), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, writing, 0));
    }
    return failed;
}

static bool restrict_calls(bool may_read_files, char *reason, size_t n_reason)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter) {
        snprintf(reason, n_reason, "seccomp is not available");
        return false;
    }
    int failed = add_rules(filter, may_read_files);
    if (!failed) failed = seccomp_load(filter);
    seccomp_release(filter);
    if (failed) snprintf(reason, n_reason, "seccomp could not be set up (%s)", strerror(-failed));
    return failed == 0;
}

void ex_sandbox_silence(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0) return;
    dup2(null, STDERR_FILENO);
    if (null > STDERR_FILENO) close(null);
}

bool ex_sandbox_enter(const ExSandbox *sandbox, ExSandboxState *ret_state, char *ret_reason, size_t n_reason)
{
    ExSandboxState state = {0};
    if (syscall(SYS_close_range, sandbox->keep_fd + 1, ~0U, 0) != 0) {
        int n_max = (int)sysconf(_SC_OPEN_MAX); /* before Linux 5.9 */
        for (int fd = sandbox->keep_fd + 1; fd < (n_max < 0 ? 65536 : n_max); fd++) close(fd);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        snprintf(ret_reason, n_reason, "privileges could not be given up: %s", strerror(errno));
        return false;
    }
    if (!set_limits(sandbox, ret_reason, n_reason)) return false;
    if (!restrict_files(sandbox, &state, ret_reason, n_reason)) return false;
    if (!restrict_calls(state.has_landlock, ret_reason, n_reason)) return false;
    *ret_state = state;
    return true;
}
