/* cache.c: the cache as a folder: opening, listing, pins, budget, eviction.
 *
 * Owns: the folder, its lock, reconciling index and files, which file goes when space is short.
 * Does not own: what is in a file (cache-file.c, cache-store.c), checks and repair (cache-check.c).
 */
#include "cache-private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

char *eng_cache_path(const eng_cache *cache, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", cache->folder, name) < 0 ? NULL : path;
}

eng_status eng_cache_lock_folder(eng_cache *cache, eng_error *error)
{
    pthread_mutex_lock(&cache->folder_mutex);
    if (cache->ops->lock(cache->ops, cache->lock_fd, 0, ENG_LOCK_EXCLUSIVE, true) == 0) return ENG_OK;
    int error_number = errno;
    pthread_mutex_unlock(&cache->folder_mutex);
    return eng_fileops_fail(error, error_number, "cannot lock %s: %s", cache->folder);
}

void eng_cache_unlock_folder(eng_cache *cache)
{
    cache->ops->lock(cache->ops, cache->lock_fd, 0, ENG_LOCK_NONE, false);
    pthread_mutex_unlock(&cache->folder_mutex);
}

/* ------------------------------------------------------------------------------------------------------------- opening */

/* Every folder on the way, the last one private whatever the umask is and whatever it was before. */
static eng_status make_folder(const char *folder, eng_error *error)
{
    char *path = strdup(folder);
    if (!path) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    free(path);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) return eng_fileops_fail(error, errno, "cannot make the folder %s: %s", folder);
    struct stat status;
    if (stat(folder, &status) != 0) return eng_fileops_fail(error, errno, "cannot look at %s: %s", folder);
    if (!S_ISDIR(status.st_mode)) return eng_fail(error, ENG_IO, "%s is not a folder", folder);
    if ((status.st_mode & 07777) != 0700 && chmod(folder, 0700) != 0) return eng_fileops_fail(error, errno, "cannot make %s private: %s", folder);
    return ENG_OK;
}

static eng_status open_lock_file(eng_cache *cache, eng_error *error)
{
    char *path = eng_cache_path(cache, "cache.lock");
    if (!path) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    cache->lock_fd = cache->ops->open(cache->ops, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    int error_number = errno;
    free(path);
    if (cache->lock_fd < 0) return eng_fileops_fail(error, error_number, "cannot open the lock in %s: %s", cache->folder);
    if (fchmod(cache->lock_fd, 0600) != 0) return eng_fileops_fail(error, errno, "cannot make the lock in %s private: %s", cache->folder);
    return ENG_OK;
}

/* Opens the index and brings it up to date with the files. */
static eng_status open_current_index(eng_cache *cache, eng_error *error)
{
    eng_status status = eng_index_open(cache->folder, &cache->index, error);
    return status == ENG_OK ? eng_cache_reconcile(cache, error) : status;
}

/* A damaged index is thrown away, wherever it is found to be damaged: the files are the truth. */
static eng_status open_index(eng_cache *cache, eng_error *error)
{
    static const char *const names[] = {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm"};
    eng_status status = open_current_index(cache, error);
    if (status != ENG_BAD_FILE) return status;
    eng_index_close(cache->index);
    cache->index = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = eng_cache_path(cache, names[i]);
        if (!path) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
        int result = unlink(path);
        int error_number = errno;
        free(path);
        if (result != 0 && error_number != ENOENT) return eng_fileops_fail(error, error_number, "cannot delete the damaged %s: %s", names[i]);
    }
    return open_current_index(cache, error);
}

eng_status eng_cache_open_with(const char *folder, const eng_cache_options *options, const eng_cache_environment *environment,
                               eng_cache **ret_cache, eng_error *error)
{
    eng_status status = make_folder(folder, error);
    if (status != ENG_OK) return status;
    eng_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    cache->lock_fd = -1;
    pthread_mutex_init(&cache->folder_mutex, NULL);
    if (environment) cache->environment = *environment;
    if (!cache->environment.ops) cache->environment.ops = eng_fileops_default();
    if (!cache->environment.digest_ids) cache->environment.digest_ids = eng_ids_digest;
    if (!cache->environment.now_us) cache->environment.now_us = clock_now_us;
    cache->ops = cache->environment.ops;
    cache->folder = strdup(folder);
    status = cache->folder ? open_lock_file(cache, error) : eng_fail(error, ENG_NO_MEMORY, "out of memory");
    if (status == ENG_OK) status = eng_cache_lock_folder(cache, error);
    if (status == ENG_OK) {
        status = open_index(cache, error);
        eng_cache_unlock_folder(cache);
    }
    if (status == ENG_OK && options && options->budget_bytes) status = eng_cache_set_budget(cache, options->budget_bytes, NULL, error);
    if (status != ENG_OK) {
        eng_cache_close(cache);
        return status;
    }
    *ret_cache = cache;
    return ENG_OK;
}

eng_status eng_cache_open(const char *folder, const eng_cache_options *options, eng_cache **ret_cache, eng_error *error)
{
    return eng_cache_open_with(folder, options, NULL, ret_cache, error);
}

void eng_cache_close(eng_cache *cache)
{
    if (!cache) return;
    eng_index_close(cache->index);
    if (cache->lock_fd >= 0) cache->ops->close(cache->ops, cache->lock_fd);
    pthread_mutex_destroy(&cache->folder_mutex);
    free(cache->folder);
    free(cache);
}

/* ---------------------------------------------------------------------------------------------------- files and the index */

void eng_cache_names_free(eng_cache_names *names)
{
    for (size_t i = 0; i < names->n; i++) free(names->names[i]);
    free(names->names);
    *names = (eng_cache_names){0};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "<cache file>.tmp-<process>-<number>" */
static bool is_temporary(const char *name)
{
    char stem[ENG_CACHE_FILE_NAME_BYTES], document[ENG_CACHE_DOCUMENT_BYTES + 1];
    const char *mark = strstr(name, ".lkv.tmp-");
    if (!mark || (size_t)(mark + 4 - name) >= sizeof stem) return false;
    memcpy(stem, name, (size_t)(mark + 4 - name));
    stem[mark + 4 - name] = 0;
    return eng_cache_file_name_parse(stem, document);
}

eng_status eng_cache_list_names(const eng_cache *cache, bool temporary, eng_cache_names *ret_names, eng_error *error)
{
    DIR *folder = opendir(cache->folder);
    if (!folder) return eng_fileops_fail(error, errno, "cannot list %s: %s", cache->folder);
    eng_cache_names names = {0};
    size_t capacity = 0;
    eng_status status = ENG_OK;
    struct dirent *entry;
    while (status == ENG_OK && (entry = readdir(folder))) {
        char document[ENG_CACHE_DOCUMENT_BYTES + 1];
        if (temporary ? !is_temporary(entry->d_name) : !eng_cache_file_name_parse(entry->d_name, document)) continue;
        if (names.n == capacity) {
            capacity = capacity ? capacity * 2 : 32;
            char **larger = realloc(names.names, capacity * sizeof *larger);
            if (larger) names.names = larger;
            if (!larger) status = ENG_NO_MEMORY;
        }
        if (status == ENG_OK) {
            names.names[names.n] = strdup(entry->d_name);
            if (names.names[names.n]) {
                names.n++;
            } else {
                status = ENG_NO_MEMORY;
            }
        }
    }
    closedir(folder);
    if (status != ENG_OK) {
        eng_cache_names_free(&names);
        return eng_fail(error, status, "out of memory");
    }
    if (names.n) qsort(names.names, names.n, sizeof *names.names, compare_names);
    *ret_names = names;
    return ENG_OK;
}

static eng_status delete_stale_temporaries(eng_cache *cache, eng_error *error)
{
    eng_cache_names names;
    eng_status status = eng_cache_list_names(cache, true, &names, error);
    if (status != ENG_OK) return status;
    for (size_t i = 0; i < names.n; i++) {
        char *path = eng_cache_path(cache, names.names[i]);
        int fd = path ? cache->ops->open(cache->ops, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0) : -1;
        if (fd >= 0) {
            if (cache->ops->lock(cache->ops, fd, ENG_CACHE_LOCK_WRITER, ENG_LOCK_EXCLUSIVE, false) == 0) cache->ops->unlink(cache->ops, path);
            cache->ops->close(cache->ops, fd);
        }
        free(path);
    }
    eng_cache_names_free(&names);
    return ENG_OK;
}

/* The row of a file that the index does not know: its bytes count at once, its records are published as they are asked for. */
static eng_status adopt_file(eng_cache *cache, const char *name, uint64_t n_bytes, int64_t time_us, eng_error *error)
{
    eng_cache_file file = {.fd = -1};
    eng_error header_error = {0};
    eng_status status = eng_cache_file_open(cache, name, true, &file, &header_error);
    bool bad = status == ENG_BAD_FILE || status == ENG_UNSUPPORTED;
    if (status == ENG_NOT_FOUND) return ENG_OK; /* removed meanwhile */
    if (status != ENG_OK && !bad) {
        if (error) *error = header_error;
        return status;
    }
    if (bad) memset(&file.header, 0, sizeof file.header);
    eng_index_file row;
    eng_cache_file_row(cache, name, &file.header, n_bytes, &row);
    row.created_us = row.used_us = time_us;
    eng_cache_file_close(cache, &file);
    status = eng_index_publish(cache->index, &row, NULL, 0, false, error);
    if (status == ENG_OK && bad) status = eng_index_set_note(cache->index, name, header_error.message, error);
    return status;
}

static int compare_file_names(const void *key, const void *element)
{
    return strcmp(key, ((const eng_index_file *)element)->name);
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const eng_index_file *)a)->name, ((const eng_index_file *)b)->name);
}

static eng_status reconcile_file(eng_cache *cache, const char *name, const eng_index_file *row, eng_error *error)
{
    struct stat status;
    char *path = eng_cache_path(cache, name);
    if (!path) return eng_fail(error, ENG_NO_MEMORY, "out of memory");
    int result = cache->ops->stat(cache->ops, path, &status);
    free(path);
    if (result != 0 && errno != ENOENT) return eng_fileops_fail(error, errno, "cannot look at %s: %s", name);
    if (result != 0) return row ? eng_index_remove(cache->index, name, error) : ENG_OK;
    if (!row) return adopt_file(cache, name, (uint64_t)status.st_size, (int64_t)status.st_mtim.tv_sec * 1000000, error);
    if (row->n_bytes == (uint64_t)status.st_size) return ENG_OK;
    return eng_index_set_bytes(cache->index, name, (uint64_t)status.st_size, error);
}

eng_status eng_cache_reconcile(eng_cache *cache, eng_error *error)
{
    eng_index_file *files = NULL;
    size_t n_files = 0;
    eng_cache_names names = {0};
    eng_status status = delete_stale_temporaries(cache, error);
    if (status == ENG_OK) status = eng_index_prune(cache->index, error);
    if (status == ENG_OK) status = eng_index_list_files(cache->index, &files, &n_files, error);
    if (status == ENG_OK) status = eng_cache_list_names(cache, false, &names, error);
    if (status == ENG_OK && n_files) qsort(files, n_files, sizeof *files, compare_files);
    for (size_t i = 0; status == ENG_OK && i < names.n; i++) {
        const eng_index_file *row = n_files ? bsearch(names.names[i], files, n_files, sizeof *files, compare_file_names) : NULL;
        status = reconcile_file(cache, names.names[i], row, error);
    }
    for (size_t i = 0; status == ENG_OK && i < n_files; i++) {
        const char *name = files[i].name;
        bool there = names.n && bsearch(&name, names.names, names.n, sizeof *names.names, compare_names);
        if (!there) status = reconcile_file(cache, name, &files[i], error);
    }
    eng_cache_names_free(&names);
    free(files);
    return status;
}

/* ------------------------------------------------------------------------------------------------------ list, remove, pin */

static void entry_of_row(const eng_index_file *file, eng_cache_entry *ret_entry)
{
    *ret_entry = (eng_cache_entry){
        .n_sections = file->n_records,
        .n_tokens = file->n_tokens,
        .n_bytes = file->n_bytes,
        .created_s = file->created_us / 1000000,
        .used_s = file->used_us / 1000000,
        .pinned = file->pinned,
        .damaged = file->note[0] != 0,
    };
    memcpy(ret_entry->document, file->document, sizeof ret_entry->document);
    memcpy(ret_entry->model_name, file->model_name, sizeof ret_entry->model_name);
    memcpy(ret_entry->identity_digest, file->identity_digest, sizeof ret_entry->identity_digest);
    memcpy(ret_entry->note, file->note, sizeof ret_entry->note);
}

eng_status eng_cache_list(eng_cache *cache, eng_cache_visit_fn visit, void *user, eng_error *error)
{
    eng_index_file *files = NULL;
    size_t n_files = 0;
    eng_status status = eng_index_list_files(cache->index, &files, &n_files, error);
    for (size_t i = 0; status == ENG_OK && i < n_files; i++) {
        eng_cache_entry entry;
        entry_of_row(&files[i], &entry);
        if (!visit(user, &entry)) break;
    }
    free(files);
    return status;
}

static eng_status check_document(const char *document, eng_error *error)
{
    if (eng_cache_document_valid(document)) return ENG_OK;
    return eng_fail(error, ENG_LIMIT, "\"%.80s\" cannot be a document's name in the cache: 1 to 64 letters, digits, _ and -",
                    document ? document : "");
}

/* Whoever is in the middle of an append ends it first. */
static eng_status remove_file(eng_cache *cache, const char *name, eng_error *error)
{
    eng_cache_file file = {.fd = -1};
    uint64_t n_bytes = 0;
    eng_error open_error = {0};
    eng_status status = eng_cache_file_open_locked(cache, name, true, &file, &n_bytes, &open_error);
    bool bad = status == ENG_BAD_FILE || status == ENG_UNSUPPORTED;
    if (status != ENG_OK && !bad && status != ENG_NOT_FOUND) {
        if (error) *error = open_error;
        return status;
    }
    status = eng_cache_file_delete(cache, name, error);
    eng_cache_file_close(cache, &file);
    /* On a full disk there is room for the index now. */
    return status == ENG_NO_SPACE ? eng_index_remove(cache->index, name, error) : status;
}

eng_status eng_cache_remove(eng_cache *cache, const char *document, eng_error *error)
{
    eng_cache_names names;
    bool found = false;
    eng_status status = check_document(document, error);
    if (status == ENG_OK) status = eng_cache_list_names(cache, false, &names, error);
    if (status != ENG_OK) return status;
    for (size_t i = 0; status == ENG_OK && i < names.n; i++) {
        char owner[ENG_CACHE_DOCUMENT_BYTES + 1];
        if (!eng_cache_file_name_parse(names.names[i], owner) || strcmp(owner, document) != 0) continue;
        found = true;
        status = remove_file(cache, names.names[i], error);
    }
    eng_cache_names_free(&names);
    if (status == ENG_OK) status = eng_index_set_pin(cache->index, document, false, error);
    if (status == ENG_OK && !found) return eng_fail(error, ENG_NOT_FOUND, "the cache holds nothing of the document %s", document);
    return status;
}

eng_status eng_cache_pin(eng_cache *cache, const char *document, bool pinned, eng_error *error)
{
    eng_status status = check_document(document, error);
    return status == ENG_OK ? eng_index_set_pin(cache->index, document, pinned, error) : status;
}

eng_status eng_cache_touch(eng_cache *cache, const char *document, const eng_model *model, eng_error *error)
{
    eng_status status = check_document(document, error);
    if (status != ENG_OK) return status;
    const char *identity = eng_model_identity(model);
    eng_digest digest;
    char name[ENG_CACHE_FILE_NAME_BYTES];
    eng_sha256(identity, strlen(identity), &digest);
    eng_cache_file_name(document, &digest, name);
    return eng_index_touch(cache->index, name, cache->environment.now_us(), error);
}

/* --------------------------------------------------------------------------------------------------------------- budget */

uint64_t eng_cache_get_budget(eng_cache *cache)
{
    uint64_t bytes = 0;
    if (eng_index_get_budget(cache->index, &bytes, NULL) != ENG_OK || bytes == 0) bytes = (uint64_t)ENG_CACHE_DEFAULT_BUDGET_GB * 1000000000;
    return bytes;
}

uint64_t eng_cache_used_bytes(eng_cache *cache)
{
    uint64_t bytes = 0;
    return eng_index_used_bytes(cache->index, &bytes, NULL) == ENG_OK ? bytes : 0;
}

/* False: it is in use, or cannot be deleted. */
static bool try_evict(eng_cache *cache, const char *name)
{
    const eng_fileops *ops = cache->ops;
    char *path = eng_cache_path(cache, name);
    int fd = path ? ops->open(ops, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0) : -1;
    bool gone = path && fd < 0 && errno == ENOENT;
    free(path);
    if (fd < 0) return gone && eng_index_remove(cache->index, name, NULL) == ENG_OK;
    eng_status status = ENG_BUSY;
    if (ops->lock(ops, fd, ENG_CACHE_LOCK_WRITER, ENG_LOCK_EXCLUSIVE, false) == 0 &&
        ops->lock(ops, fd, ENG_CACHE_LOCK_APPEND, ENG_LOCK_EXCLUSIVE, false) == 0) {
        status = eng_cache_file_delete(cache, name, NULL);
    }
    ops->close(ops, fd);
    /* On a full disk there is room for the index now. */
    if (status == ENG_NO_SPACE) status = eng_index_remove(cache->index, name, NULL);
    return status == ENG_OK;
}

eng_status eng_cache_evict_one(eng_cache *cache, const char *except, uint64_t *ret_freed_bytes, eng_error *error)
{
    eng_index_file *files = NULL;
    size_t n_files = 0;
    eng_status status = eng_index_list_files(cache->index, &files, &n_files, error);
    if (status != ENG_OK) return status;
    status = ENG_NOT_FOUND;
    for (size_t i = 0; i < n_files && status != ENG_OK; i++) {
        if (files[i].pinned || (except && strcmp(files[i].name, except) == 0) || !try_evict(cache, files[i].name)) continue;
        *ret_freed_bytes = files[i].n_bytes;
        status = ENG_OK;
    }
    free(files);
    return status == ENG_OK ? ENG_OK : eng_fail(error, status, "all cache files are pinned or being written");
}

eng_status eng_cache_set_budget(eng_cache *cache, uint64_t budget_bytes, uint64_t *ret_freed_bytes, eng_error *error)
{
    uint64_t freed = 0, used = 0;
    eng_status status = eng_index_set_budget(cache->index, budget_bytes, error);
    bool is_full = status == ENG_NO_SPACE; /* it is written when something has gone */
    if (is_full) status = ENG_OK;
    while (status == ENG_OK) {
        uint64_t bytes = 0;
        status = eng_index_used_bytes(cache->index, &used, error);
        if (status != ENG_OK || used <= budget_bytes) break;
        status = eng_cache_evict_one(cache, NULL, &bytes, error);
        freed += bytes;
        if (status == ENG_NOT_FOUND) {
            return eng_fail(error, ENG_NO_SPACE, "the cache holds %llu bytes, above its limit of %llu: all that is left is pinned or being written",
                            (unsigned long long)used, (unsigned long long)budget_bytes);
        }
    }
    if (status == ENG_OK && is_full) status = eng_index_set_budget(cache->index, budget_bytes, error);
    if (status == ENG_OK && ret_freed_bytes) *ret_freed_bytes = freed;
    return status;
}
