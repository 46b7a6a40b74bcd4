/* fault-calls.c: see fault-calls.h.
 *
 * Owns: the calls' definitions, straight to the kernel.
 * Does not own: when they fail.
 */
#undef _FILE_OFFSET_BITS /* both names of each call are defined here: with and without 64 */
#include "fault-calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

fault_calls fault;

/* The part of the path below the folder; NULL: it is elsewhere. */
static const char *below(const char *path)
{
    size_t n = fault.folder ? strlen(fault.folder) : 0;
    if (!fault.folder || !path || strncmp(path, fault.folder, n) != 0) return NULL;
    if (path[n] == 0) return path + n;
    return path[n] == '/' ? path + n + 1 : NULL;
}

static const char *below_fd(int fd, char path[PATH_MAX])
{
    char link[40];
    if (!fault.folder) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return NULL;
    path[n] = 0;
    return below(path);
}

/* True: this call fails, with errno set. */
static bool fails(void)
{
    uint64_t call = __atomic_add_fetch(&fault.n_calls, 1, __ATOMIC_RELAXED);
    if (fault.fail_at == 0 || call < fault.fail_at || (call > fault.fail_at && !fault.fail_on)) return false;
    if (fault.exit_instead) _exit(9);
    errno = fault.error_number;
    return true;
}

static void tell(fault_event_kind kind, const char *path, const char *to, uint64_t offset, const void *data, size_t n_bytes)
{
    if (fault.event && !strstr(path, "-shm")) fault.event(kind, path, to, offset, data, n_bytes);
}

/* -------------------------------------------------------------------------------------------------------------- opening */

static int open_below(int folder, const char *path, int flags, mode_t mode)
{
    const char *name = below(path);
    bool is_new = false;
    if (name) {
        struct stat info;
        is_new = (flags & O_CREAT) && syscall(SYS_newfstatat, AT_FDCWD, path, &info, 0) != 0;
        if (fails()) return -1;
        if (is_new && fault.limited && fault.space_bytes == 0) {
            errno = ENOSPC;
            return -1;
        }
    }
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && is_new) tell(FAULT_CREATE, name, NULL, 0, NULL, 0);
    if (fd >= 0 && name && !is_new && (flags & O_TRUNC)) tell(FAULT_TRUNCATE, name, NULL, 0, NULL, 0);
    return fd;
}

#define MODE_OF_ARGUMENTS(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list arguments; \
        va_start(arguments, flags); \
        mode = va_arg(arguments, mode_t); \
        va_end(arguments); \
    }

int open(const char *path, int flags, ...)
{
    MODE_OF_ARGUMENTS(flags)
    return open_below(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_OF_ARGUMENTS(flags)
    return open_below(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE_OF_ARGUMENTS(flags)
    return open_below(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE_OF_ARGUMENTS(flags)
    return open_below(folder, path, flags | O_LARGEFILE, mode);
}

/* ---------------------------------------------------------------------------------------------------- reading and writing */

ssize_t pread(int fd, void *data, size_t n_bytes, off_t offset)
{
    char path[PATH_MAX];
    if (below_fd(fd, path) && fails()) return -1;
    return syscall(SYS_pread64, fd, data, n_bytes, offset);
}

ssize_t pread64(int fd, void *data, size_t n_bytes, off64_t offset)
{
    return pread(fd, data, n_bytes, offset);
}

ssize_t read(int fd, void *data, size_t n_bytes)
{
    char path[PATH_MAX];
    if (below_fd(fd, path) && fails()) return -1;
    return syscall(SYS_read, fd, data, n_bytes);
}

/* What of n_bytes there is room for; -1: nothing. */
static ssize_t take_space(size_t n_bytes)
{
    if (!fault.limited) return (ssize_t)n_bytes;
    if (fault.space_bytes == 0 && n_bytes > 0) {
        errno = ENOSPC;
        return -1;
    }
    if (n_bytes > fault.space_bytes) n_bytes = (size_t)fault.space_bytes;
    fault.space_bytes -= n_bytes;
    return (ssize_t)n_bytes;
}

ssize_t pwrite(int fd, const void *data, size_t n_bytes, off_t offset)
{
    char path[PATH_MAX];
    const char *name = below_fd(fd, path);
    if (name) {
        if (fails()) return -1;
        ssize_t room = take_space(n_bytes);
        if (room < 0) return -1;
        n_bytes = (size_t)room;
    }
    ssize_t n = syscall(SYS_pwrite64, fd, data, n_bytes, offset);
    if (n > 0 && name) tell(FAULT_WRITE, name, NULL, (uint64_t)offset, data, (size_t)n);
    return n;
}

ssize_t pwrite64(int fd, const void *data, size_t n_bytes, off64_t offset)
{
    return pwrite(fd, data, n_bytes, offset);
}

ssize_t write(int fd, const void *data, size_t n_bytes)
{
    char path[PATH_MAX];
    const char *name = below_fd(fd, path);
    if (!name) return syscall(SYS_write, fd, data, n_bytes);
    if (fails()) return -1;
    ssize_t room = take_space(n_bytes);
    if (room < 0) return -1;
    ssize_t n = syscall(SYS_write, fd, data, (size_t)room);
    off_t end = lseek(fd, 0, SEEK_CUR);
    if (n > 0) tell(FAULT_WRITE, name, NULL, (uint64_t)(end - n), data, (size_t)n);
    return n;
}

/* What was deleted gives its space back when nobody has it open any more. */
int close(int fd)
{
    char path[PATH_MAX];
    struct stat info;
    if (fault.limited && below_fd(fd, path) && syscall(SYS_newfstatat, fd, "", &info, AT_EMPTY_PATH) == 0 && info.st_nlink == 0)
        fault.space_bytes += (uint64_t)info.st_size;
    return (int)syscall(SYS_close, fd);
}

int ftruncate(int fd, off_t n_bytes)
{
    char path[PATH_MAX];
    const char *name = below_fd(fd, path);
    if (name && fails()) return -1;
    int result = (int)syscall(SYS_ftruncate, fd, n_bytes);
    if (result == 0 && name) tell(FAULT_TRUNCATE, name, NULL, (uint64_t)n_bytes, NULL, 0);
    return result;
}

int ftruncate64(int fd, off64_t n_bytes)
{
    return ftruncate(fd, n_bytes);
}

static int sync_fd(int fd)
{
    char path[PATH_MAX];
    struct stat info;
    const char *name = below_fd(fd, path);
    if (!name) return (int)syscall(SYS_fsync, fd);
    if (fails()) return -1;
    bool is_folder = syscall(SYS_newfstatat, fd, "", &info, AT_EMPTY_PATH) == 0 && S_ISDIR(info.st_mode);
    tell(is_folder ? FAULT_SYNC_FOLDER : FAULT_SYNC, name, NULL, 0, NULL, 0);
    return 0; /* nothing here has to outlive the machine */
}

int fsync(int fd)
{
    return sync_fd(fd);
}

int fdatasync(int fd)
{
    return sync_fd(fd);
}

/* ---------------------------------------------------------------------------------------------------------------- names */

int rename(const char *from, const char *to)
{
    const char *name = below(from), *name_to = below(to);
    if (name && fails()) return -1;
    int result = (int)syscall(SYS_rename, from, to);
    if (result == 0 && name && name_to) tell(FAULT_RENAME, name, name_to, 0, NULL, 0);
    return result;
}

int unlink(const char *path)
{
    const char *name = below(path);
    if (name && fails()) return -1;
    int result = (int)syscall(SYS_unlink, path);
    if (result == 0 && name) tell(FAULT_UNLINK, name, NULL, 0, NULL, 0);
    return result;
}
