/* cache-check.c: looking over a whole cache, repairing it, making its index anew.
 *
 * Owns: what counts as damage, and that repair only ever deletes.
 * Does not own: reading headers and payloads (cache-file.c), replacing a file (cache-rewrite.c).
 */
#include "cache-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct check_state {
    eng_cache *cache;
    bool read_data, repair;
    eng_cache_finding_fn finding;
    eng_progress_fn progress;
    void *user;
    const bool *cancel;
    uint64_t done_bytes, total_bytes;
    int64_t reported_us;
    eng_cache_report report;
    /* of the file being looked at */
    const char *name;
    const eng_cache_file *file;
    uint64_t file_bytes;
    bool written_now; /* a writer lives: what lies behind the last record is its unfinished work */
    eng_index_record *rows;
    size_t n_rows;
    uint64_t *valid; /* offsets of valid records, ascending */
    size_t n_valid, valid_capacity;
    uint64_t n_bad;
    eng_status status;
    eng_error *error;
} check_state;

static void report_finding(check_state *state, uint64_t offset, const char *what)
{
    if (state->finding) state->finding(state->user, state->name, offset, what);
}

static bool cancelled(const check_state *state)
{
    return state->cancel && __atomic_load_n(state->cancel, __ATOMIC_RELAXED);
}

static void report_progress(check_state *state, bool last)
{
    enum { EVERY_US = 20000 };
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    if (!state->progress || (!last && now_us - state->reported_us < EVERY_US)) return;
    state->reported_us = now_us;
    state->progress(state->user, state->done_bytes, state->total_bytes);
}

static bool has_row(const check_state *state, const eng_cache_record_header *header)
{
    for (size_t i = 0; i < state->n_rows; i++) {
        const eng_index_record *row = &state->rows[i];
        if (row->offset == header->offset) {
            return row->n_bytes == header->record_bytes && memcmp(row->ids_digest, header->ids_digest, sizeof row->ids_digest) == 0;
        }
    }
    return false;
}

static eng_status add_valid(check_state *state, uint64_t offset)
{
    if (state->n_valid == state->valid_capacity) {
        size_t capacity = state->valid_capacity ? state->valid_capacity * 2 : 64;
        uint64_t *valid = realloc(state->valid, capacity * sizeof *valid);
        if (!valid) return eng_fail(state->error, ENG_NO_MEMORY, "out of memory");
        state->valid = valid;
        state->valid_capacity = capacity;
    }
    state->valid[state->n_valid++] = offset;
    return ENG_OK;
}

static bool check_stretch(check_state *state, uint64_t offset, uint64_t bytes, const char *problem)
{
    state->done_bytes += bytes;
    if (state->written_now && offset + bytes == state->file_bytes) return true;
    state->n_bad++;
    state->report.n_damaged_records++;
    report_finding(state, offset, problem);
    return true;
}

static bool check_record(void *user, uint64_t offset, uint64_t bytes, const eng_cache_record_header *header, const char *problem)
{
    check_state *state = user;
    if (cancelled(state)) {
        state->status = eng_fail(state->error, ENG_CANCELLED, "cancelled");
        return false;
    }
    report_progress(state, false);
    if (!header) return check_stretch(state, offset, bytes, problem);
    if (state->read_data) {
        eng_error reason;
        eng_status status = eng_cache_file_verify(state->cache, state->name, state->file, offset, header, state->cancel, &reason);
        if (status != ENG_OK && status != ENG_BAD_FILE) {
            if (state->error) *state->error = reason;
            state->status = status;
            return false;
        }
        if (status == ENG_BAD_FILE) return check_stretch(state, offset, bytes, "the checksum of a record's payload differs");
    }
    state->done_bytes += bytes;
    state->report.n_records++;
    state->status = add_valid(state, offset);
    if (!has_row(state, header) && !state->written_now) {
        state->report.n_unindexed++;
        report_finding(state, offset, "a valid record that the index does not list");
    }
    return state->status == ENG_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool keep_valid(void *user, const eng_cache_record_header *header)
{
    const check_state *state = user;
    return state->n_valid && bsearch(&header->offset, state->valid, state->n_valid, sizeof *state->valid, compare_offsets);
}

/* Under the append lock, so that nothing was appended since it was looked at. */
static eng_status repair_file(check_state *state, uint64_t n_stale_rows)
{
    if (state->n_bad) {
        return eng_cache_file_rewrite(state->cache, state->name, state->file, state->file_bytes, keep_valid, state, NULL, state->error);
    }
    if (n_stale_rows == 0) return ENG_OK;
    eng_index_file row;
    eng_cache_file_row(state->cache, state->name, &state->file->header, state->file_bytes, &row);
    size_t n = 0;
    for (size_t i = 0; i < state->n_rows; i++) {
        uint64_t offset = state->rows[i].offset;
        if (state->n_valid && bsearch(&offset, state->valid, state->n_valid, sizeof offset, compare_offsets)) state->rows[n++] = state->rows[i];
    }
    return eng_index_publish(state->cache->index, &row, state->rows, n, true, state->error);
}

/* Rows of records that are not there (any more). */
static uint64_t check_rows(check_state *state)
{
    uint64_t n_stale = 0;
    for (size_t i = 0; i < state->n_rows; i++) {
        uint64_t offset = state->rows[i].offset;
        if (state->n_valid && bsearch(&offset, state->valid, state->n_valid, sizeof offset, compare_offsets)) continue;
        n_stale++;
        if (state->n_bad == 0) {
            state->report.n_damaged_records++;
            report_finding(state, offset, "the index lists a record that is not there");
        }
    }
    return n_stale;
}

static eng_status check_bad_file(check_state *state, eng_cache_file *file, const char *reason)
{
    state->report.n_damaged_files++;
    report_finding(state, 0, reason);
    eng_status status = state->repair ? eng_cache_file_delete(state->cache, state->name, state->error) : ENG_OK;
    eng_cache_file_close(state->cache, file);
    return status;
}

static eng_status check_open_file(check_state *state)
{
    eng_status status = eng_index_list_records(state->cache->index, state->name, &state->rows, &state->n_rows, state->error);
    if (status != ENG_OK) return status;
    state->written_now = !state->repair && state->file->writable && !eng_cache_file_no_writer(state->cache, state->file, false);
    status = eng_cache_file_walk(state->cache, state->name, state->file, ENG_CACHE_PAGE_BYTES, state->file_bytes, check_record, state,
                                 state->error);
    if (status == ENG_OK) status = state->status;
    if (status == ENG_OK) {
        uint64_t n_stale = check_rows(state);
        if (state->n_bad || n_stale) state->report.n_damaged_files++;
        if (state->repair) status = repair_file(state, n_stale);
    }
    free(state->rows);
    free(state->valid);
    return status;
}

static eng_status check_file(check_state *state, const char *name)
{
    eng_cache_file file = {.fd = -1};
    eng_error reason;
    uint64_t bytes = 0;
    state->name = name;
    eng_status status;
    if (state->repair) {
        status = eng_cache_file_open_locked(state->cache, name, true, &file, &bytes, &reason);
    } else {
        status = eng_cache_file_open(state->cache, name, true, &file, &reason);
        struct stat info;
        if (status == ENG_OK && state->cache->ops->fstat(state->cache->ops, file.fd, &info) == 0) bytes = (uint64_t)info.st_size;
    }
    if (status == ENG_NOT_FOUND) return ENG_OK; /* removed meanwhile */
    state->report.n_files++;
    if (status == ENG_BAD_FILE || status == ENG_UNSUPPORTED) return check_bad_file(state, &file, reason.message);
    if (status != ENG_OK) {
        if (state->error) *state->error = reason;
        return status;
    }
    state->report.n_bytes += bytes;
    state->file = &file;
    state->file_bytes = bytes;
    state->rows = NULL;
    state->valid = NULL;
    state->n_rows = state->n_valid = state->valid_capacity = 0;
    state->n_bad = 0;
    status = check_open_file(state);
    eng_cache_file_close(state->cache, &file);
    return status;
}

/* Temporary files that no writer holds. */
static eng_status check_temporaries(check_state *state)
{
    const eng_fileops *ops = state->cache->ops;
    eng_cache_names names;
    eng_status status = eng_cache_list_names(state->cache, true, &names, state->error);
    if (status != ENG_OK) return status;
    for (size_t i = 0; i < names.n; i++) {
        char *path = eng_cache_path(state->cache, names.names[i]);
        int fd = path ? ops->open(ops, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0) : -1;
        struct stat info;
        if (fd >= 0 && ops->lock(ops, fd, ENG_CACHE_LOCK_WRITER, ENG_LOCK_EXCLUSIVE, false) == 0 && ops->fstat(ops, fd, &info) == 0) {
            state->name = names.names[i];
            state->report.n_orphan_bytes += (uint64_t)info.st_size;
            report_finding(state, 0, "an unfinished file, left by a program that was stopped");
            if (state->repair) ops->unlink(ops, path);
        }
        if (fd >= 0) ops->close(ops, fd);
        free(path);
    }
    eng_cache_names_free(&names);
    return ENG_OK;
}

static eng_status check_missing(check_state *state, const eng_cache_names *names)
{
    eng_index_file *files = NULL;
    size_t n_files = 0;
    eng_status status = eng_index_list_files(state->cache->index, &files, &n_files, state->error);
    for (size_t i = 0; status == ENG_OK && i < n_files; i++) {
        struct stat info;
        bool listed = false;
        for (size_t j = 0; j < names->n && !listed; j++) listed = strcmp(names->names[j], files[i].name) == 0;
        if (listed) continue;
        char *path = eng_cache_path(state->cache, files[i].name);
        bool missing = path && state->cache->ops->stat(state->cache->ops, path, &info) != 0 && errno == ENOENT;
        free(path);
        if (!missing) continue;
        state->name = files[i].name;
        state->report.n_missing_files++;
        report_finding(state, 0, "the index lists a file that is not there");
        if (state->repair) status = eng_index_remove(state->cache->index, files[i].name, state->error);
    }
    free(files);
    return status;
}

static eng_status check_all(check_state *state, eng_cache_report *ret_report)
{
    eng_cache_names names;
    eng_status status = eng_cache_list_names(state->cache, false, &names, state->error);
    if (status != ENG_OK) return status;
    state->total_bytes = eng_cache_used_bytes(state->cache);
    for (size_t i = 0; status == ENG_OK && i < names.n; i++) {
        status = cancelled(state) ? eng_fail(state->error, ENG_CANCELLED, "cancelled") : check_file(state, names.names[i]);
    }
    if (status == ENG_OK) status = check_missing(state, &names);
    if (status == ENG_OK) status = check_temporaries(state);
    eng_cache_names_free(&names);
    if (state->total_bytes < state->done_bytes) state->total_bytes = state->done_bytes;
    if (status == ENG_OK) state->done_bytes = state->total_bytes;
    report_progress(state, true);
    if (status == ENG_OK && ret_report) *ret_report = state->report;
    return status;
}

eng_status eng_cache_check(eng_cache *cache, bool read_data, eng_cache_finding_fn finding, eng_progress_fn progress, void *user,
                           const bool *cancel, eng_cache_report *ret_report, eng_error *error)
{
    check_state state = {
        .cache = cache, .read_data = read_data, .finding = finding, .progress = progress, .user = user, .cancel = cancel, .error = error};
    return check_all(&state, ret_report);
}

eng_status eng_cache_repair(eng_cache *cache, bool read_data, eng_cache_finding_fn finding, eng_progress_fn progress, void *user,
                            const bool *cancel, eng_cache_report *ret_report, eng_error *error)
{
    check_state state = {.cache = cache, .read_data = read_data, .repair = true, .finding = finding, .progress = progress, .user = user,
                         .cancel = cancel, .error = error};
    return check_all(&state, ret_report);
}

/* --------------------------------------------------------------------------------------------------------------- the index */

typedef struct collect_state {
    check_state *check;
    eng_index_record *rows;
    size_t n_rows, capacity;
} collect_state;

static bool collect_record(void *user, uint64_t offset, uint64_t bytes, const eng_cache_record_header *header, const char *problem)
{
    collect_state *collect = user;
    check_state *state = collect->check;
    eng_error reason;
    if (!header) return check_stretch(state, offset, bytes, problem);
    eng_status status = eng_cache_file_verify(state->cache, state->name, state->file, offset, header, NULL, &reason);
    if (status == ENG_BAD_FILE) return check_stretch(state, offset, bytes, "the checksum of a record's payload differs");
    if (status != ENG_OK && state->error) *state->error = reason;
    if (status == ENG_OK && collect->n_rows == collect->capacity) {
        size_t capacity = collect->capacity ? collect->capacity * 2 : 64;
        eng_index_record *rows = realloc(collect->rows, capacity * sizeof *rows);
        if (rows) {
            collect->rows = rows;
            collect->capacity = capacity;
        } else {
            status = eng_fail(state->error, ENG_NO_MEMORY, "out of memory");
        }
    }
    state->status = status;
    if (status != ENG_OK) return false;
    eng_cache_record_row(header, &collect->rows[collect->n_rows++]);
    state->report.n_records++;
    return true;
}

/* C5: what gets a row is on the medium. The append lock keeps the file still meanwhile. */
static eng_status index_file(check_state *state, const char *name)
{
    const eng_fileops *ops = state->cache->ops;
    eng_cache_file file = {.fd = -1};
    eng_error reason;
    uint64_t bytes = 0;
    state->name = name;
    eng_status status = eng_cache_file_open_locked(state->cache, name, true, &file, &bytes, &reason);
    if (status == ENG_NOT_FOUND) return ENG_OK;
    state->report.n_files++;
    state->report.n_bytes += bytes;
    if (status == ENG_BAD_FILE || status == ENG_UNSUPPORTED) {
        eng_cache_file_close(state->cache, &file);
        state->report.n_damaged_files++;
        return ENG_OK; /* its bytes are counted by the reconciliation that follows */
    }
    if (status != ENG_OK) {
        if (state->error) *state->error = reason;
        return status;
    }
    collect_state collect = {.check = state};
    state->file = &file;
    state->file_bytes = bytes;
    state->n_bad = 0;
    if (ops->fsync(ops, file.fd) != 0) status = eng_fileops_fail(state->error, errno, "cannot save %s: %s", name);
    if (status == ENG_OK) status = eng_cache_file_walk(state->cache, name, &file, ENG_CACHE_PAGE_BYTES, bytes, collect_record, &collect, state->error);
    if (status == ENG_OK) status = state->status;
    struct stat info;
    if (status == ENG_OK && ops->fstat(ops, file.fd, &info) != 0) status = eng_fileops_fail(state->error, errno, "cannot look at %s: %s", name);
    if (status == ENG_OK) {
        eng_index_file row;
        eng_cache_file_row(state->cache, name, &file.header, bytes, &row);
        row.created_us = row.used_us = (int64_t)info.st_mtim.tv_sec * 1000000 + info.st_mtim.tv_nsec / 1000;
        status = eng_index_publish(state->cache->index, &row, collect.rows, collect.n_rows, true, state->error);
    }
    if (state->n_bad) state->report.n_damaged_files++;
    free(collect.rows);
    eng_cache_file_close(state->cache, &file);
    return status;
}

eng_status eng_cache_rebuild_index(eng_cache *cache, eng_cache_report *ret_report, eng_error *error)
{
    check_state state = {.cache = cache, .error = error};
    eng_cache_names names = {0};
    eng_status status = eng_index_clear(cache->index, error);
    if (status == ENG_OK) status = eng_cache_list_names(cache, false, &names, error);
    for (size_t i = 0; status == ENG_OK && i < names.n; i++) status = index_file(&state, names.names[i]);
    eng_cache_names_free(&names);
    if (status == ENG_OK) status = eng_cache_lock_folder(cache, error);
    if (status == ENG_OK) {
        status = eng_cache_reconcile(cache, error);
        eng_cache_unlock_folder(cache);
    }
    if (status == ENG_OK && ret_report) *ret_report = state.report;
    return status;
}
