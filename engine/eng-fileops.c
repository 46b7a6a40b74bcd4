/* eng-fileops.c: the operating system's file operations behind eng-fileops.h.
 *
 * Owns: the default table; complete reads and writes over any table.
 * Does not own: policy (cache*.c).
 */
#include "eng-fileops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int os_open(const eng_fileops *ops, const char *path, int flags, mode_t mode)
{
    (void)ops;
    return open(path, flags | O_CLOEXEC, mode);
}

static int os_close(const eng_fileops *ops, int fd)
{
    (void)ops;
    return close(fd);
}

static ssize_t os_pread(const eng_fileops *ops, int fd, void *data, size_t n_bytes, uint64_t offset)
{
    (void)ops;
    return pread(fd, data, n_bytes, (off_t)offset);
}

static ssize_t os_pwrite(const eng_fileops *ops, int fd, const void *data, size_t n_bytes, uint64_t offset)
{
    (void)ops;
    return pwrite(fd, data, n_bytes, (off_t)offset);
}

static int os_fsync(const eng_fileops *ops, int fd)
{
    (void)ops;
    return fsync(fd);
}

static int os_fsync_folder(const eng_fileops *ops, const char *path)
{
    (void)ops;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = fsync(fd);
    int error_number = errno;
    close(fd);
    errno = error_number;
    return result;
}

static int os_ftruncate(const eng_fileops *ops, int fd, uint64_t n_bytes)
{
    (void)ops;
    return ftruncate(fd, (off_t)n_bytes);
}

static int os_rename(const eng_fileops *ops, const char *from, const char *to)
{
    (void)ops;
    return rename(from, to);
}

static int os_unlink(const eng_fileops *ops, const char *path)
{
    (void)ops;
    return unlink(path);
}

static int os_fstat(const eng_fileops *ops, int fd, struct stat *ret_stat)
{
    (void)ops;
    return fstat(fd, ret_stat);
}

static int os_stat(const eng_fileops *ops, const char *path, struct stat *ret_stat)
{
    (void)ops;
    return lstat(path, ret_stat);
}

static void *os_map(const eng_fileops *ops, int fd, size_t n_bytes, uint64_t offset)
{
    (void)ops;
    void *data = mmap(NULL, n_bytes, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    return data == MAP_FAILED ? NULL : data;
}

static void os_unmap(const eng_fileops *ops, void *data, size_t n_bytes)
{
    (void)ops;
    munmap(data, n_bytes);
}

/* madvise wants whole pages. */
static int advise(const void *data, size_t n_bytes, int advice)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)data / page * page, end = (uintptr_t)data + n_bytes;
    return madvise((void *)from, end - from, advice);
}

static void os_expect(const eng_fileops *ops, const void *data, size_t n_bytes)
{
    (void)ops;
    advise(data, n_bytes, MADV_HUGEPAGE);
}

/* Linux 5.14; before that, and for lack of memory, the pages come as they are touched. */
static int os_populate(const eng_fileops *ops, const void *data, size_t n_bytes)
{
    (void)ops;
#ifndef MADV_POPULATE_READ
    enum { MADV_POPULATE_READ = 22 };
#endif
    int result;
    do {
        result = advise(data, n_bytes, MADV_POPULATE_READ);
    } while (result != 0 && errno == EINTR);
    return result != 0 && (errno == EFAULT || errno == EHWPOISON) ? -1 : 0;
}

static int os_lock(const eng_fileops *ops, int fd, uint64_t byte, eng_lock lock, bool wait)
{
    (void)ops;
    struct flock request = {
        .l_type = lock == ENG_LOCK_NONE ? F_UNLCK : lock == ENG_LOCK_SHARED ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = (off_t)byte,
        .l_len = 1,
    };
    int result;
    do {
        result = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &request);
    } while (result != 0 && errno == EINTR);
    return result;
}

const eng_fileops *eng_fileops_default(void)
{
    static const eng_fileops ops = {
        .open = os_open,
        .close = os_close,
        .pread = os_pread,
        .pwrite = os_pwrite,
        .fsync = os_fsync,
        .fsync_folder = os_fsync_folder,
        .ftruncate = os_ftruncate,
        .rename = os_rename,
        .unlink = os_unlink,
        .fstat = os_fstat,
        .stat = os_stat,
        .map = os_map,
        .unmap = os_unmap,
        .expect = os_expect,
        .populate = os_populate,
        .lock = os_lock,
    };
    return &ops;
}

eng_status eng_fileops_fail(eng_error *error, int error_number, const char *format, const char *name)
{
    const char *text = eng_errno_text(error_number);
    if (error_number == ENOSPC || error_number == EDQUOT) {
        return eng_fail(error, ENG_NO_SPACE, "%s cannot be written: the disk is full (%s). Free space, lower the cache's limit or remove a document",
                        name, text);
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return eng_fail(error, error_number == ENOMEM ? ENG_NO_MEMORY : ENG_IO, format, name, text);
#pragma GCC diagnostic pop
}

eng_status eng_fileops_read(const eng_fileops *ops, int fd, void *data, size_t n_bytes, uint64_t offset, const char *name, eng_error *error)
{
    size_t done = 0;
    while (done < n_bytes) {
        ssize_t n = ops->pread(ops, fd, (char *)data + done, n_bytes - done, offset + done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return eng_fileops_fail(error, errno, "cannot read %s: %s", name);
        if (n == 0) return eng_fail(error, ENG_BAD_FILE, "%s ends at byte %llu, in the middle of what it should hold", name,
                                    (unsigned long long)(offset + done));
        done += (size_t)n;
    }
    return ENG_OK;
}

eng_status eng_fileops_write(const eng_fileops *ops, int fd, const void *data, size_t n_bytes, uint64_t offset, const char *name, eng_error *error)
{
    enum { PIECE_BYTES = 8 << 20 };
    size_t done = 0;
    while (done < n_bytes) {
        size_t piece = n_bytes - done < PIECE_BYTES ? n_bytes - done : PIECE_BYTES;
        ssize_t n = ops->pwrite(ops, fd, (const char *)data + done, piece, offset + done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return eng_fileops_fail(error, errno, "cannot write %s: %s", name);
        if (n == 0) return eng_fileops_fail(error, EIO, "cannot write %s: %s", name);
        done += (size_t)n;
    }
    return ENG_OK;
}
