/* test-cache-power.c: the power fails: promise 2, after the idea of SQLite's test6.
 *
 * Owns: a layer that records what was written and synced, and builds from it what a disk may hold after a power failure: what was
 *       synced, and of the rest any part, in any order, torn at sectors; names not yet synced may be old or new.
 * Does not own: stopped processes, whose writes all arrive (test-cache-io.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache-fixture.h"
#include "select-tests.h"

enum { N_EVENTS_MAX = 400, N_FILES_MAX = 16, N_FDS_MAX = 256, FILE_BYTES_MAX = 1 << 20, SECTOR_BYTES = 512, N_VARIANTS = 8 };

typedef enum event_kind { EVENT_CREATE, EVENT_WRITE, EVENT_TRUNCATE, EVENT_SYNC, EVENT_RENAME, EVENT_UNLINK, EVENT_SYNC_FOLDER } event_kind;

typedef struct event {
    event_kind kind;
    int file;            /* number of the file, from its creation on */
    char name[128], to[128];
    uint64_t offset;
    size_t n_bytes;
    uint8_t *data;
    char *index;         /* before a sync: a copy of the folder's index, all of whose rows are of synced records */
} event;

static eng_model *model;
static char *run_folder;
static event events[N_EVENTS_MAX];
static size_t n_events;
static char names[N_FILES_MAX][128]; /* of the files, as the running system sees them */
static int n_files, file_of_fd[N_FDS_MAX];

static event *add_event(event_kind kind, int file)
{
    if (n_events == N_EVENTS_MAX) abort();
    events[n_events] = (event){.kind = kind, .file = file};
    return &events[n_events++];
}

static const char *base_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

static int file_of_name(const char *name)
{
    for (int i = n_files; i-- > 0;) {
        if (strcmp(names[i], name) == 0) return i;
    }
    return -1;
}

static int record_open(const eng_fileops *ops, const char *path, int flags, mode_t mode)
{
    (void)ops;
    int fd = eng_fileops_default()->open(NULL, path, flags, mode);
    if (fd < 0 || fd >= N_FDS_MAX) return fd;
    const char *name = base_name(path);
    file_of_fd[fd] = strstr(name, ".lkv") ? file_of_name(name) : -1;
    if (strstr(name, ".lkv") && (flags & O_CREAT)) {
        if (n_files == N_FILES_MAX) abort();
        snprintf(names[n_files], sizeof names[0], "%s", name);
        snprintf(add_event(EVENT_CREATE, n_files)->name, sizeof names[0], "%s", name);
        file_of_fd[fd] = n_files++;
    }
    return fd;
}

static ssize_t record_pwrite(const eng_fileops *ops, int fd, const void *data, size_t n_bytes, uint64_t offset)
{
    (void)ops;
    event *written = add_event(EVENT_WRITE, file_of_fd[fd]);
    written->offset = offset;
    written->n_bytes = n_bytes;
    written->data = malloc(n_bytes);
    memcpy(written->data, data, n_bytes);
    return eng_fileops_default()->pwrite(NULL, fd, data, n_bytes, offset);
}

static int record_ftruncate(const eng_fileops *ops, int fd, uint64_t n_bytes)
{
    (void)ops;
    add_event(EVENT_TRUNCATE, file_of_fd[fd])->offset = n_bytes;
    return eng_fileops_default()->ftruncate(NULL, fd, n_bytes);
}

static int record_fsync(const eng_fileops *ops, int fd)
{
    (void)ops;
    add_event(EVENT_SYNC, file_of_fd[fd])->index = fixture_folder_copy(run_folder, true);
    return 0;
}

static int record_fsync_folder(const eng_fileops *ops, const char *path)
{
    (void)ops;
    (void)path;
    add_event(EVENT_SYNC_FOLDER, -1);
    return 0;
}

static int record_rename(const eng_fileops *ops, const char *from, const char *to)
{
    (void)ops;
    event *renamed = add_event(EVENT_RENAME, file_of_name(base_name(from)));
    snprintf(renamed->name, sizeof renamed->name, "%s", base_name(from));
    snprintf(renamed->to, sizeof renamed->to, "%s", base_name(to));
    int replaced = file_of_name(base_name(to));
    if (replaced >= 0) names[replaced][0] = 0;
    snprintf(names[renamed->file], sizeof names[0], "%s", base_name(to));
    return eng_fileops_default()->rename(NULL, from, to);
}

static int record_unlink(const eng_fileops *ops, const char *path)
{
    (void)ops;
    int file = file_of_name(base_name(path));
    if (file >= 0) {
        snprintf(add_event(EVENT_UNLINK, file)->name, sizeof names[0], "%s", base_name(path));
        names[file][0] = 0;
    }
    return eng_fileops_default()->unlink(NULL, path);
}

/* ------------------------------------------------------------------------------------------------- what the disk holds */

typedef struct disk_file {
    uint8_t *data;
    uint64_t n_bytes;
    char name[128]; /* "": none */
} disk_file;

static uint32_t random_state;

static uint32_t next_random(void)
{
    random_state = random_state * 1664525U + 1013904223U;
    return random_state >> 8;
}

static void apply_write(disk_file *file, const event *written, bool tear)
{
    if (written->offset + written->n_bytes > FILE_BYTES_MAX) abort();
    for (size_t at = 0; at < written->n_bytes; at += SECTOR_BYTES) {
        size_t n = written->n_bytes - at < SECTOR_BYTES ? written->n_bytes - at : SECTOR_BYTES;
        if (tear && next_random() % 2) continue;
        memcpy(file->data + written->offset + at, written->data + at, n);
    }
    if (file->n_bytes < written->offset + written->n_bytes) file->n_bytes = written->offset + written->n_bytes;
}

static void apply_to_data(disk_file *file, const event *change, bool tear)
{
    if (change->kind == EVENT_WRITE) {
        apply_write(file, change, tear);
    } else {
        if (change->offset < file->n_bytes) memset(file->data + change->offset, 0, file->n_bytes - change->offset);
        file->n_bytes = change->offset;
    }
}

static void apply_to_names(disk_file *files, const event *change)
{
    if (change->kind == EVENT_RENAME) {
        for (int i = 0; i < n_files; i++) {
            if (strcmp(files[i].name, change->to) == 0) files[i].name[0] = 0;
        }
    }
    snprintf(files[change->file].name, sizeof files->name, "%s",
             change->kind == EVENT_CREATE ? change->name : change->kind == EVENT_RENAME ? change->to : "");
}

static bool changes_data(const event *e)
{
    return e->kind == EVENT_WRITE || e->kind == EVENT_TRUNCATE;
}

static bool synced_before(size_t i, size_t crash)
{
    for (size_t j = i + 1; j < crash; j++) {
        if (changes_data(&events[i]) && events[j].kind == EVENT_SYNC && events[j].file == events[i].file) return true;
        if (!changes_data(&events[i]) && events[j].kind == EVENT_SYNC_FOLDER) return true;
    }
    return false;
}

/* What is on the disk when the power fails before event `crash`: all that was synced; of the rest, all (variant 0), nothing (1), or a
 * random part. Names change in order: a journal keeps their order, and loses its end. */
static void build_disk(size_t crash, int variant, disk_file *files)
{
    bool names_lost = false;
    for (size_t i = 0; i < crash; i++) {
        const event *e = &events[i];
        bool synced = synced_before(i, crash);
        bool kept = synced || variant == 0 || (variant > 1 && next_random() % 2);
        if (changes_data(e)) {
            if (kept) apply_to_data(&files[e->file], e, !synced && variant > 2 && next_random() % 3 == 0);
        } else if (e->kind == EVENT_CREATE || e->kind == EVENT_RENAME || e->kind == EVENT_UNLINK) {
            names_lost = names_lost || !kept;
            if (!names_lost) apply_to_names(files, e);
        }
    }
}

static char *write_disk(size_t crash, const disk_file *files, bool with_index)
{
    const char *index = NULL;
    for (size_t i = 0; i < crash && with_index; i++) {
        if (events[i].index) index = events[i].index;
    }
    char *folder = fixture_folder_new(), command[600];
    if (index) {
        snprintf(command, sizeof command, "cp '%s'/index.sqlite* '%s'/", index, folder);
        assert_int_equal(system(command), 0);
    }
    for (int i = 0; i < n_files; i++) {
        if (!files[i].name[0]) continue;
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        assert_int_equal(write(fd, files[i].data, files[i].n_bytes), files[i].n_bytes);
        close(fd);
    }
    return folder;
}

static void record_run(void)
{
    eng_fileops ops = *eng_fileops_default();
    eng_error error;
    ops.open = record_open;
    ops.pwrite = record_pwrite;
    ops.ftruncate = record_ftruncate;
    ops.fsync = record_fsync;
    ops.fsync_folder = record_fsync_folder;
    ops.rename = record_rename;
    ops.unlink = record_unlink;
    run_folder = fixture_folder_new();
    assert_int_equal(fixture_work(run_folder, &ops, model, &error), ENG_OK);
    assert_true(n_events > 15);
}

static void test_promise_02_power_fails_before_every_event(void **state)
{
    (void)state;
    const char *given = getenv("LECTERN_TEST_SEED");
    uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 10) : 20260322;
    print_message("seed %u (LECTERN_TEST_SEED)\n", seed);
    record_run();
    for (size_t crash = 0; crash <= n_events; crash++) {
        for (int variant = 0; variant < N_VARIANTS; variant++) {
            disk_file files[N_FILES_MAX] = {0};
            for (int i = 0; i < n_files; i++) files[i].data = calloc(1, FILE_BYTES_MAX);
            random_state = seed + (uint32_t)(crash * N_VARIANTS) + (uint32_t)variant;
            build_disk(crash, variant, files);
            char *folder = write_disk(crash, files, variant % 2);
            char *problem = fixture_find_problem(folder, model, true); /* a torn stretch between whole records is waste, not an entry */
            if (problem) fail_msg("power fails before event %zu, variant %d: %s", crash, variant, problem);
            fixture_folder_free(folder);
            for (int i = 0; i < n_files; i++) free(files[i].data);
        }
    }
    for (size_t i = 0; i < n_events; i++) {
        free(events[i].data);
        if (events[i].index) fixture_folder_free(events[i].index);
    }
    fixture_folder_free(run_folder);
}

int main(int argc, char **argv)
{
    model = fixture_model_new(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_promise_02_power_fails_before_every_event)};
    int result = RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
    fixture_model_free(model);
    return result;
}
