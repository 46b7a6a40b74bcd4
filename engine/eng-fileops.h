/* eng-fileops.h: the file operations that the cache is built on, as a table that a test can replace.
 *
 * Owns: the list of operations and their default, which calls the operating system.
 * Does not own: when to retry, what an error means (cache*.c), SQLite's files (SQLite has its own layer).
 *
 * Everything that changes or reads a cache file goes through this table, so that tests can fail, shorten, stop, drop, tear and
 * reorder every single call. Failures are reported as the system calls do: -1 and errno.
 */
#ifndef ENG_FILEOPS_H
#define ENG_FILEOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "eng.h"

typedef enum eng_lock {
    ENG_LOCK_NONE = 0,
    ENG_LOCK_SHARED,
    ENG_LOCK_EXCLUSIVE,
} eng_lock;

typedef struct eng_fileops eng_fileops;
struct eng_fileops {
    void *user; /* the test layer's own */
    int (*open)(const eng_fileops *ops, const char *path, int flags, mode_t mode);
    int (*close)(const eng_fileops *ops, int fd);
    ssize_t (*pread)(const eng_fileops *ops, int fd, void *data, size_t n_bytes, uint64_t offset);
    ssize_t (*pwrite)(const eng_fileops *ops, int fd, const void *data, size_t n_bytes, uint64_t offset);
    int (*fsync)(const eng_fileops *ops, int fd);
    int (*fsync_folder)(const eng_fileops *ops, const char *path);
    int (*ftruncate)(const eng_fileops *ops, int fd, uint64_t n_bytes);
    int (*rename)(const eng_fileops *ops, const char *from, const char *to);
    int (*unlink)(const eng_fileops *ops, const char *path);
    int (*fstat)(const eng_fileops *ops, int fd, struct stat *ret_stat);
    int (*stat)(const eng_fileops *ops, const char *path, struct stat *ret_stat); /* of a link itself, never what it points at */
    void *(*map)(const eng_fileops *ops, int fd, size_t n_bytes, uint64_t offset); /* shared, read-only; NULL: errno */
    void (*unmap)(const eng_fileops *ops, void *data, size_t n_bytes);
    /* A mapping will be wanted as a whole: its pages may come many at a time, and be large. Only advice. */
    void (*expect)(const eng_fileops *ops, const void *data, size_t n_bytes);
    /* Has a mapping's pages in memory and in the page tables, where the system can do that. -1: they cannot be read. */
    int (*populate)(const eng_fileops *ops, const void *data, size_t n_bytes);
    /* One byte of the file as an advisory lock that belongs to the open file description, so that threads and processes count
     * alike. Not waiting and not to be had: -1 with EAGAIN or EACCES. */
    int (*lock)(const eng_fileops *ops, int fd, uint64_t byte, eng_lock lock, bool wait);
};

const eng_fileops *eng_fileops_default(void);

/* Whole reads and writes: short ones are continued, EINTR is retried. A file that ends early: ENG_BAD_FILE. ENOSPC and EDQUOT:
 * ENG_NO_SPACE. `name` is for the message. */
eng_status eng_fileops_read(const eng_fileops *ops, int fd, void *data, size_t n_bytes, uint64_t offset, const char *name, eng_error *error);
eng_status eng_fileops_write(const eng_fileops *ops, int fd, const void *data, size_t n_bytes, uint64_t offset, const char *name, eng_error *error);
/* The status and message of a failed operation. format: of the name and the words of errno, "cannot open %s: %s". */
eng_status eng_fileops_fail(eng_error *error, int error_number, const char *format, const char *name) __attribute__((format(printf, 3, 0)));

#endif
