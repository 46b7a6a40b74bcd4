/* extract-sandbox.h: locks the process in before it touches a document's bytes.
 *
 * Owns: what this process may do from then on. Does not own: what it does.
 *
 * Afterwards: no network, no programs, no new processes, no files but those already open and, read-only and where the kernel has
 * Landlock, the folders of `readable`; memory, CPU time bounded; no core dump (it would hold the document). It cannot be undone.
 */
#ifndef EXTRACT_SANDBOX_H
#define EXTRACT_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ExSandbox {
    uint64_t max_memory_bytes; /* address space beyond what is mapped already; 0: no limit */
    uint32_t max_cpu_s;        /* 0: no limit */
    const char *const *readable; /* folders, NULL-terminated; those that do not exist are left out; NULL: none */
    int keep_fd;                 /* fds above this one are closed */
} ExSandbox;

/* What the kernel gave. Without Landlock no file at all can be opened (seccomp refuses), so `readable` is not. */
typedef struct ExSandboxState {
    bool has_landlock;
    int landlock_abi;
} ExSandboxState;

/* False: `ret_reason` (n_reason bytes) says what could not be locked; the process must then stop. */
bool ex_sandbox_enter(const ExSandbox *sandbox, ExSandboxState *ret_state, char *ret_reason, size_t n_reason);

/* Before entering: whatever a library wants to say goes nowhere; messages of hostile documents do not belong on a terminal. */
void ex_sandbox_silence(void);

#endif
