/* cache-file.c: one cache file: opening, locking, making, walking, checking.
 *
 * Owns: the invariants C1 and C3 of cache-format.h, reading headers and payloads.
 * Does not own: which records a store hands out (cache-store.c), appending (cache-write.c), replacing (cache-rewrite.c).
 */
#include "cache-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

static eng_status no_memory(eng_error *error)
{
    return eng_fail(error, ENG_NO_MEMORY, "out of memory");
}

void eng_cache_file_close(const eng_cache *cache, eng_cache_file *file)
{
    if (file->fd >= 0) cache->ops->close(cache->ops, file->fd);
    file->fd = -1;
}

static eng_status open_any(const eng_cache *cache, const char *name, eng_cache_file *ret_file, eng_error *error)
{
    const eng_fileops *ops = cache->ops;
    char *path = eng_cache_path(cache, name);
    if (!path) return no_memory(error);
    bool writable = true;
    int fd = ops->open(ops, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0 && (errno == EACCES || errno == EROFS)) {
        writable = false;
        fd = ops->open(ops, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    }
    int error_number = errno;
    free(path);
    if (fd < 0 && error_number == ENOENT) return eng_fail(error, ENG_NOT_FOUND, "%s is not there", name);
    if (fd < 0 && error_number == ELOOP) return eng_fail(error, ENG_BAD_FILE, "%s is a link, not a cache file", name);
    if (fd < 0) return eng_fileops_fail(error, error_number, "cannot open %s: %s", name);
    struct stat status;
    if (ops->fstat(ops, fd, &status) != 0) {
        error_number = errno;
        ops->close(ops, fd);
        return eng_fileops_fail(error, error_number, "cannot look at %s: %s", name);
    }
    if (!S_ISREG(status.st_mode)) {
        ops->close(ops, fd);
        return eng_fail(error, ENG_BAD_FILE, "%s is not a regular file", name);
    }
    *ret_file = (eng_cache_file){.fd = fd, .writable = writable, .device = status.st_dev, .inode = status.st_ino};
    return ENG_OK;
}

static eng_status read_header(const eng_cache *cache, const char *name, eng_cache_file *file, eng_error *error)
{
    eng_status status = eng_fileops_read(cache->ops, file->fd, &file->header, sizeof file->header, 0, name, error);
    if (status == ENG_OK) status = eng_cache_file_header_check(&file->header, name, &file->geometry, error);
    return status;
}

eng_status eng_cache_file_open(const eng_cache *cache, const char *name, bool keep_bad, eng_cache_file *ret_file, eng_error *error)
{
    eng_cache_file file;
    eng_status status = open_any(cache, name, &file, error);
    if (status != ENG_OK) return status;
    status = read_header(cache, name, &file, error);
    bool bad = status == ENG_BAD_FILE || status == ENG_UNSUPPORTED;
    if (status == ENG_OK || (bad && keep_bad)) {
        *ret_file = file;
    } else {
        eng_cache_file_close(cache, &file);
    }
    return status;
}

eng_status eng_cache_file_current(const eng_cache *cache, const char *name, const eng_cache_file *file, uint64_t *ret_bytes, eng_error *error)
{
    const eng_fileops *ops = cache->ops;
    char *path = eng_cache_path(cache, name);
    if (!path) return no_memory(error);
    struct stat status;
    int result = ops->stat(ops, path, &status);
    int error_number = errno;
    free(path);
    if (result != 0 && error_number != ENOENT) return eng_fileops_fail(error, error_number, "cannot look at %s: %s", name);
    if (result != 0 || status.st_dev != file->device || status.st_ino != file->inode) {
        return eng_fail(error, ENG_NOT_FOUND, "%s was removed or replaced", name);
    }
    *ret_bytes = (uint64_t)status.st_size;
    return ENG_OK;
}

eng_status eng_cache_file_open_locked(const eng_cache *cache, const char *name, bool keep_bad, eng_cache_file *ret_file, uint64_t *ret_bytes,
                                      eng_error *error)
{
    enum { TRIES = 100 };
    for (int i = 0; i < TRIES; i++) {
        eng_cache_file file;
        eng_status status = open_any(cache, name, &file, error);
        if (status != ENG_OK) return status;
        if (!file.writable) {
            eng_cache_file_close(cache, &file);
            return eng_fail(error, ENG_IO, "%s cannot be changed: no permission to write", name);
        }
        uint64_t bytes = 0;
        if (cache->ops->lock(cache->ops, file.fd, ENG_CACHE_LOCK_APPEND, ENG_LOCK_EXCLUSIVE, true) != 0) {
            status = eng_fileops_fail(error, errno, "cannot lock %s: %s", name);
        } else {
            status = eng_cache_file_current(cache, name, &file, &bytes, error);
        }
        if (status == ENG_NOT_FOUND) { /* replaced while we waited: once more */
            eng_cache_file_close(cache, &file);
            continue;
        }
        if (status == ENG_OK) status = read_header(cache, name, &file, error);
        bool bad = status == ENG_BAD_FILE || status == ENG_UNSUPPORTED;
        if (status == ENG_OK || (bad && keep_bad)) {
            *ret_file = file;
            *ret_bytes = bytes;
        } else {
            eng_cache_file_close(cache, &file);
        }
        return status;
    }
    return eng_fail(error, ENG_BUSY, "%s is being replaced again and again by another process", name);
}

bool eng_cache_file_no_writer(const eng_cache *cache, const eng_cache_file *file, bool mine)
{
    const eng_fileops *ops = cache->ops;
    if (!file->writable) return false;
    if (ops->lock(ops, file->fd, ENG_CACHE_LOCK_WRITER, ENG_LOCK_EXCLUSIVE, false) != 0) return false;
    ops->lock(ops, file->fd, ENG_CACHE_LOCK_WRITER, mine ? ENG_LOCK_SHARED : ENG_LOCK_NONE, false);
    return true;
}

/* 1: made and locked; 0: deleted between the two by who looked for what a crash left; -1: errno. */
static int create_locked(const eng_fileops *ops, const char *path, int *ret_fd)
{
    int fd = ops->open(ops, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    struct stat info;
    if (fd < 0) return -1;
    *ret_fd = fd;
    /* The permissions whatever the umask is. The lock is held until the file is closed: a temporary file that nobody holds was left
     * by a crash. */
    if (fchmod(fd, 0600) == 0 && ops->lock(ops, fd, ENG_CACHE_LOCK_WRITER, ENG_LOCK_SHARED, true) == 0 && ops->fstat(ops, fd, &info) == 0) {
        if (info.st_nlink > 0) return 1;
        ops->close(ops, fd);
        return 0;
    }
    int error_number = errno;
    ops->unlink(ops, path);
    ops->close(ops, fd);
    errno = error_number;
    return -1;
}

eng_status eng_cache_file_create_temporary(const eng_cache *cache, const char *name, char **ret_path, int *ret_fd, eng_error *error)
{
    static atomic_uint counter;
    int made;
    do {
        char *path = NULL;
        if (asprintf(&path, "%s/%s.tmp-%ld-%u", cache->folder, name, (long)getpid(), atomic_fetch_add(&counter, 1)) < 0) return no_memory(error);
        made = create_locked(cache->ops, path, ret_fd);
        if (made > 0) {
            *ret_path = path;
        } else {
            int error_number = errno;
            free(path);
            if (made < 0) return eng_fileops_fail(error, error_number, "cannot make a file beside %s: %s", name);
        }
    } while (made == 0);
    return ENG_OK;
}

eng_status eng_cache_file_create(const eng_cache *cache, const char *name, const eng_cache_file_header *header, eng_error *error)
{
    const eng_fileops *ops = cache->ops;
    char *temporary = NULL;
    int fd = -1;
    char *path = eng_cache_path(cache, name);
    if (!path) return no_memory(error);
    eng_status status = eng_cache_file_create_temporary(cache, name, &temporary, &fd, error);
    if (status != ENG_OK) {
        free(path);
        return status;
    }
    status = eng_fileops_write(ops, fd, header, sizeof *header, 0, name, error);
    if (status == ENG_OK && ops->fsync(ops, fd) != 0) status = eng_fileops_fail(error, errno, "cannot save %s: %s", name);
    bool renamed = false;
    if (status == ENG_OK) {
        renamed = ops->rename(ops, temporary, path) == 0;
        if (!renamed) status = eng_fileops_fail(error, errno, "cannot rename a file to %s: %s", name);
    }
    if (renamed && ops->fsync_folder(ops, cache->folder) != 0) status = eng_fileops_fail(error, errno, "cannot save the folder of %s: %s", name);
    if (!renamed) ops->unlink(ops, temporary);
    ops->close(ops, fd);
    free(temporary);
    free(path);
    return status;
}

eng_status eng_cache_file_walk(const eng_cache *cache, const char *name, const eng_cache_file *file, uint64_t from, uint64_t file_bytes,
                               eng_cache_walk_fn visit, void *user, eng_error *error)
{
    uint64_t offset = from, bad_from = 0;
    const char *bad_reason = NULL;
    while (offset < file_bytes) {
        eng_cache_record_header header;
        const char *problem = ENG_TEXT("the file ends in the middle of a record");
        if (file_bytes - offset >= sizeof header) {
            eng_status status = eng_fileops_read(cache->ops, file->fd, &header, sizeof header, offset, name, error);
            if (status != ENG_OK) return status;
            problem = eng_cache_record_header_problem(&header, &file->geometry, file->header.identity_digest, offset, file_bytes);
        }
        if (problem) {
            if (!bad_reason) {
                bad_from = offset;
                bad_reason = problem;
            }
            offset += ENG_CACHE_PAGE_BYTES; /* the next place where a record can begin */
            continue;
        }
        if (bad_reason && !visit(user, bad_from, offset - bad_from, NULL, bad_reason)) return ENG_OK;
        bad_reason = NULL;
        if (!visit(user, offset, header.record_bytes, &header, NULL)) return ENG_OK;
        offset += header.record_bytes;
    }
    if (bad_reason) visit(user, bad_from, file_bytes - bad_from, NULL, bad_reason);
    return ENG_OK;
}

eng_status eng_cache_file_verify(const eng_cache *cache, const char *name, const eng_cache_file *file, uint64_t offset,
                                 const eng_cache_record_header *header, const bool *cancel, eng_error *error)
{
    uint64_t most = header->record_bytes - ENG_CACHE_RECORD_HEADER_BYTES; /* most records are far smaller than a piece */
    uint8_t *piece = malloc(most < ENG_CACHE_COPY_BYTES ? (size_t)most : ENG_CACHE_COPY_BYTES);
    XXH3_state_t *state = XXH3_createState();
    eng_status status = piece && state ? ENG_OK : no_memory(error);
    if (status == ENG_OK) XXH3_128bits_reset(state);
    uint64_t at = ENG_CACHE_RECORD_HEADER_BYTES;
    while (status == ENG_OK && at < header->record_bytes) {
        if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED)) {
            status = eng_fail(error, ENG_CANCELLED, "cancelled");
            break;
        }
        uint64_t left = header->record_bytes - at;
        size_t n = left < ENG_CACHE_COPY_BYTES ? (size_t)left : ENG_CACHE_COPY_BYTES;
        status = eng_fileops_read(cache->ops, file->fd, piece, n, offset + at, name, error);
        if (status == ENG_OK) XXH3_128bits_update(state, piece, n);
        at += n;
    }
    if (status == ENG_OK) {
        XXH128_canonical_t canonical;
        XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
        if (memcmp(canonical.digest, header->payload_checksum, ENG_CACHE_CHECKSUM_BYTES) != 0) {
            status = eng_fail(error, ENG_BAD_FILE, "%s is damaged: the checksum of the record's payload at byte %llu differs", name,
                              (unsigned long long)offset);
        }
    }
    XXH3_freeState(state);
    free(piece);
    return status;
}

eng_status eng_cache_file_delete(eng_cache *cache, const char *name, eng_error *error)
{
    const eng_fileops *ops = cache->ops;
    char *path = eng_cache_path(cache, name);
    if (!path) return no_memory(error);
    int result = ops->unlink(ops, path);
    int error_number = errno;
    free(path);
    if (result != 0 && error_number != ENOENT) return eng_fileops_fail(error, error_number, "cannot delete %s: %s", name);
    eng_status status = eng_index_remove(cache->index, name, error);
    if (ops->fsync_folder(ops, cache->folder) != 0 && status == ENG_OK) status = eng_fileops_fail(error, errno, "cannot save the folder of %s: %s", name);
    return status;
}

void eng_cache_file_row(const eng_cache *cache, const char *name, const eng_cache_file_header *header, uint64_t n_bytes, eng_index_file *ret_row)
{
    memset(ret_row, 0, sizeof *ret_row);
    snprintf(ret_row->name, sizeof ret_row->name, "%s", name);
    if (!eng_cache_file_name_parse(name, ret_row->document)) ret_row->document[0] = 0;
    memcpy(ret_row->model_name, header->model_name, sizeof ret_row->model_name);
    ret_row->model_name[sizeof ret_row->model_name - 1] = 0;
    eng_digest digest;
    memcpy(digest.bytes, header->identity_digest, sizeof digest.bytes);
    eng_digest_text(&digest, ret_row->identity_digest);
    ret_row->n_bytes = n_bytes;
    ret_row->created_us = ret_row->used_us = cache->environment.now_us();
}

void eng_cache_record_row(const eng_cache_record_header *header, eng_index_record *ret_row)
{
    memset(ret_row, 0, sizeof *ret_row);
    ret_row->offset = header->offset;
    ret_row->n_bytes = header->record_bytes;
    ret_row->n_tokens = header->n_tokens;
    memcpy(ret_row->prefix, header->prefix, sizeof ret_row->prefix);
    memcpy(ret_row->ids_digest, header->ids_digest, sizeof ret_row->ids_digest);
}
