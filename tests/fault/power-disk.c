/* power-disk.c: see power-disk.h.
 *
 * Names change in order: a journal of the file system keeps their order, and loses its end. Bytes of different writes do not.
 */
#include "power-disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault-calls.h"

enum { NAME_BYTES = 160, FILES_MAX = 64, SECTOR_BYTES = 512 };

typedef struct event {
    fault_event_kind kind;
    int file; /* number of the file, from its creation on; -1: a folder, which is synced or renamed */
    char name[NAME_BYTES], to[NAME_BYTES];
    uint64_t offset;
    size_t n_bytes;
    uint8_t *data;
} event;

typedef struct disk_file {
    uint8_t *data;
    uint64_t n_bytes, capacity;
    char name[NAME_BYTES]; /* "": none */
} disk_file;

static event *events;
static size_t n_events, events_capacity, first_event;
static char names[FILES_MAX][NAME_BYTES]; /* of the files, as the running system sees them */
static int n_files;

static int file_of_name(const char *name)
{
    for (int i = n_files; i-- > 0;) {
        if (strcmp(names[i], name) == 0) return i;
    }
    return -1;
}

/* The name as it is after the rename of a folder above it. False: it is elsewhere. */
static bool follow_folder(char name[NAME_BYTES], const char *from, const char *to)
{
    size_t n = strlen(from);
    char moved[NAME_BYTES];
    if (strncmp(name, from, n) != 0 || name[n] != '/') return false;
    if (snprintf(moved, sizeof moved, "%s%s", to, name + n) >= (int)sizeof moved) abort();
    memcpy(name, moved, sizeof moved);
    return true;
}

static void record(fault_event_kind kind, const char *path, const char *to, uint64_t offset, const void *data, size_t n_bytes)
{
    if (n_events == events_capacity) {
        events_capacity = events_capacity ? 2 * events_capacity : 256;
        events = realloc(events, events_capacity * sizeof *events);
        if (!events) abort();
    }
    event *e = &events[n_events++];
    *e = (event){.kind = kind, .file = file_of_name(path), .offset = offset, .n_bytes = n_bytes};
    snprintf(e->name, sizeof e->name, "%s", path);
    if (to) snprintf(e->to, sizeof e->to, "%s", to);
    if (kind == FAULT_CREATE) {
        if (n_files == FILES_MAX) abort();
        e->file = n_files++;
        snprintf(names[e->file], NAME_BYTES, "%s", path);
    }
    if (kind == FAULT_RENAME) {
        int replaced = file_of_name(to);
        if (replaced >= 0) names[replaced][0] = 0;
        if (e->file >= 0) snprintf(names[e->file], NAME_BYTES, "%s", to);
        for (int i = 0; e->file < 0 && i < n_files; i++) follow_folder(names[i], path, to);
    }
    if (kind == FAULT_UNLINK && e->file >= 0) names[e->file][0] = 0;
    if (kind == FAULT_WRITE) {
        e->data = malloc(n_bytes);
        if (!e->data) abort();
        memcpy(e->data, data, n_bytes);
    }
}

/* What is in the folder, as if it had been written and synced. */
static void record_present(const char *folder, const char *below)
{
    char path[PATH_MAX], name[NAME_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, below);
    DIR *handle = opendir(path);
    struct dirent *entry;
    struct stat info;
    while (handle && (entry = readdir(handle))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || strstr(entry->d_name, "-shm")) continue;
        if (snprintf(name, sizeof name, "%s%s%s", below, below[0] ? "/" : "", entry->d_name) >= (int)sizeof name) abort();
        if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path || stat(path, &info) != 0) abort();
        if (S_ISDIR(info.st_mode)) {
            record_present(folder, name);
            continue;
        }
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        uint8_t *data = malloc((size_t)info.st_size + 1);
        if (fd < 0 || !data || read(fd, data, (size_t)info.st_size) != info.st_size) abort();
        record(FAULT_CREATE, name, NULL, 0, NULL, 0);
        record(FAULT_WRITE, name, NULL, 0, data, (size_t)info.st_size);
        record(FAULT_SYNC, name, NULL, 0, NULL, 0);
        close(fd);
        free(data);
    }
    if (handle) closedir(handle);
    record(FAULT_SYNC_FOLDER, below, NULL, 0, NULL, 0);
}

void power_disk_start(const char *folder)
{
    record_present(folder, "");
    first_event = n_events;
    fault.folder = folder;
    fault.event = record;
}

void power_disk_stop(void)
{
    fault.folder = NULL;
    fault.event = NULL;
}

size_t power_disk_first_event(void)
{
    return first_event;
}

size_t power_disk_n_events(void)
{
    return n_events;
}

void power_disk_clear(void)
{
    for (size_t i = 0; i < n_events; i++) free(events[i].data);
    free(events);
    events = NULL;
    n_events = events_capacity = 0;
    n_files = 0;
}

/* ------------------------------------------------------------------------------------------------- what the disk holds */

static uint32_t random_state;

static uint32_t next_random(void)
{
    random_state = random_state * 1664525U + 1013904223U;
    return random_state >> 8;
}

static void grow(disk_file *file, uint64_t n_bytes)
{
    if (n_bytes > file->capacity) {
        uint64_t capacity = n_bytes * 2;
        file->data = realloc(file->data, capacity);
        if (!file->data) abort();
        memset(file->data + file->capacity, 0, capacity - file->capacity);
        file->capacity = capacity;
    }
    if (n_bytes > file->n_bytes) file->n_bytes = n_bytes;
}

static void apply_write(disk_file *file, const event *written, bool tear)
{
    grow(file, written->offset + written->n_bytes);
    for (size_t at = 0; at < written->n_bytes; at += SECTOR_BYTES) {
        size_t n = written->n_bytes - at < SECTOR_BYTES ? written->n_bytes - at : SECTOR_BYTES;
        if (tear && next_random() % 2) continue;
        memcpy(file->data + written->offset + at, written->data + at, n);
    }
}

static void apply_to_data(disk_file *file, const event *change, bool tear)
{
    if (change->kind == FAULT_WRITE) {
        apply_write(file, change, tear);
    } else if (change->offset < file->n_bytes) {
        memset(file->data + change->offset, 0, file->n_bytes - change->offset);
        file->n_bytes = change->offset;
    } else {
        grow(file, change->offset);
    }
}

static void apply_to_names(disk_file *files, const event *change)
{
    if (change->file < 0) {
        for (int i = 0; i < n_files; i++) follow_folder(files[i].name, change->name, change->to);
        return;
    }
    if (change->kind == FAULT_RENAME) {
        for (int i = 0; i < n_files; i++) {
            if (strcmp(files[i].name, change->to) == 0) files[i].name[0] = 0;
        }
    }
    snprintf(files[change->file].name, NAME_BYTES, "%s",
             change->kind == FAULT_CREATE ? change->name : change->kind == FAULT_RENAME ? change->to : "");
}

static bool changes_data(const event *e)
{
    return e->kind == FAULT_WRITE || e->kind == FAULT_TRUNCATE;
}

/* The name's folder is the one that was synced. */
static bool is_in_folder(const char *name, const char *folder)
{
    const char *slash = strrchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) : 0;
    return strlen(folder) == n && strncmp(name, folder, n) == 0;
}

static bool synced_before(size_t i, size_t crash)
{
    for (size_t j = i + 1; j < crash; j++) {
        if (changes_data(&events[i]) && events[j].kind == FAULT_SYNC && events[j].file == events[i].file) return true;
        if (changes_data(&events[i]) || events[j].kind != FAULT_SYNC_FOLDER) continue;
        if (is_in_folder(events[i].kind == FAULT_RENAME ? events[i].to : events[i].name, events[j].name)) return true;
    }
    return false;
}

static void build_files(size_t crash, int variant, disk_file *files)
{
    bool names_lost = false;
    enum { ALL, NOTHING, SOME } of_file[FILES_MAX]; /* files are written back each at its own time */
    for (int i = 0; i < n_files; i++) of_file[i] = variant == 0 ? ALL : variant == 1 ? NOTHING : next_random() % 3;
    for (size_t i = 0; i < crash; i++) {
        const event *e = &events[i];
        if (e->kind == FAULT_SYNC || e->kind == FAULT_SYNC_FOLDER || (e->file < 0 && e->kind != FAULT_RENAME)) continue;
        bool synced = synced_before(i, crash), is_data = changes_data(e);
        bool some = variant > 1 && (!is_data || of_file[e->file] == SOME);
        bool kept = synced || (some ? next_random() % 2 : is_data ? of_file[e->file] == ALL : variant == 0);
        if (changes_data(e)) {
            if (kept) apply_to_data(&files[e->file], e, !synced && variant > 2 && next_random() % 3 == 0);
        } else {
            names_lost = names_lost || !kept;
            if (!names_lost || synced) apply_to_names(files, e);
        }
    }
}

void power_disk_build(size_t crash, int variant, uint32_t seed, const char *to)
{
    disk_file files[FILES_MAX] = {0};
    random_state = seed + (uint32_t)crash * 64 + (uint32_t)variant;
    build_files(crash, variant, files);
    for (int i = 0; i < n_files; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", to, files[i].name);
        for (char *slash = path + strlen(to); files[i].name[0] && (slash = strchr(slash + 1, '/'));) {
            *slash = 0;
            mkdir(path, 0700);
            *slash = '/';
        }
        int fd = files[i].name[0] ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
        if (files[i].name[0] && (fd < 0 || write(fd, files[i].data, files[i].n_bytes) != (ssize_t)files[i].n_bytes)) abort();
        if (fd >= 0) close(fd);
        free(files[i].data);
    }
}
