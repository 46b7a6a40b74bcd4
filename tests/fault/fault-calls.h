/* fault-calls.h: the system calls of a whole program on the files below one folder: counted, failed, stopped at, limited, recorded.
 *
 * Owns: open, close, read, write, sync, truncate, rename, unlink and their kin, which a program that links fault-calls.c gets from here: its own, and
 *       those of SQLite, GLib and every other library, as the program's symbols come first.
 * Does not own: what is tested; calls on files elsewhere, which pass. Memory that is mapped for writing passes too: SQLite has only its
 *       "-shm" file so, which a power failure does not outlive.
 */
#ifndef FAULT_CALLS_H
#define FAULT_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fault_event_kind {
    FAULT_CREATE, FAULT_WRITE, FAULT_TRUNCATE, FAULT_SYNC, FAULT_RENAME, FAULT_UNLINK, FAULT_SYNC_FOLDER
} fault_event_kind;

/* path and to: below the folder, without it. data: of a write. */
typedef void (*fault_event_fn)(fault_event_kind kind, const char *path, const char *to, uint64_t offset, const void *data, size_t n_bytes);

typedef struct fault_calls {
    const char *folder; /* absolute, without links; NULL: all calls pass */
    uint64_t n_calls;   /* that could have failed */
    uint64_t fail_at;   /* 1: the first; 0: none */
    bool fail_on;       /* all from there on */
    bool exit_instead;  /* the process ends there, as by kill -9 */
    int error_number;
    bool limited;
    uint64_t space_bytes; /* what may still be written when limited */
    fault_event_fn event; /* NULL: not recorded */
} fault_calls;

extern fault_calls fault;

#endif
