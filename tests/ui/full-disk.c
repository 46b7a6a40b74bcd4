/* full-disk.c: preloaded into the window, for the files below one folder (LECTERN_FULL_FOLDER):
 *     LECTERN_FULL_BYTES   the disk is full after so many more bytes
 *     LECTERN_SLOW_MS      each sync takes so long
 *     LECTERN_CHANGES      each write, sync, rename and the like is told in this file, a line each: "main" or "thread", and the path below the folder
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fault-calls.h"

static long slow_ms;
static int told = -1;

static void on_event(fault_event_kind kind, const char *path, const char *to, uint64_t offset, const void *data, size_t n_bytes)
{
    (void)offset, (void)data, (void)n_bytes;
    if (told >= 0) dprintf(told, "%s %s\n", gettid() == getpid() ? "main" : "thread", to != NULL ? to : path);
    struct timespec time = {slow_ms / 1000, slow_ms % 1000 * 1000000};
    if (kind == FAULT_SYNC || kind == FAULT_SYNC_FOLDER) nanosleep(&time, NULL);
}

__attribute__((constructor)) static void begin(void)
{
    const char *folder = getenv("LECTERN_FULL_FOLDER"), *bytes = getenv("LECTERN_FULL_BYTES"), *ms = getenv("LECTERN_SLOW_MS"), *changes = getenv("LECTERN_CHANGES");
    if (folder == NULL) return;
    if (changes != NULL) told = open(changes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    slow_ms = ms != NULL ? strtol(ms, NULL, 10) : 0;
    fault.limited = bytes != NULL;
    fault.space_bytes = bytes != NULL ? strtoull(bytes, NULL, 10) : 0;
    fault.error_number = ENOSPC;
    fault.event = on_event;
    fault.folder = folder;
}
