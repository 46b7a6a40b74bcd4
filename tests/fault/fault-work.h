/* fault-work.h: a piece of work on a folder, done again and again: killed at every call, with calls that fail, with little space, and with a
 * power failure at every event. After each the test looks at what is found in the folder.
 *
 * Owns: the folders, the child process that the work runs in, the loops. Does not own: the calls (fault-calls.h), the states of the disk
 *       (power-disk.h), the work, and what is right.
 */
#ifndef FAULT_WORK_H
#define FAULT_WORK_H

#include <glib.h>
#include <stdbool.h>

#include "fault-calls.h"

/* Returns whether all that failed in it failed cleanly: with an error that has words. */
typedef bool (*FaultWork)(const char *folder);
/* Returns what is wrong in the folder, NULL: nothing; leaves work there to go on with, and does. */
typedef const char *(*FaultFind)(const char *folder);

/* In memory where that is possible. */
const char *fault_work_top(void);
void fault_work_end(void); /* deletes it and all that is in it */
char *fault_work_new_folder(void); /* a path that is not there yet; g_free */
void fault_work_remove(const char *path);
void fault_work_copy(const char *from, const char *to);
char *fault_work_begin(const char *base); /* a new folder with what is in base; NULL: empty; g_free */

/* A failure is clean when it has words; clears the error. */
bool fault_work_is_clean(bool ok, GError **error);

/* Each fails the test with the number of the call or event. base: what is in the folder at first; NULL: it is empty. */
void fault_work_run(FaultWork work, const char *folder, fault_calls calls, bool *ret_beyond); /* beyond: there was no such call */
void fault_work_every_call(FaultWork work, FaultFind find, const char *base, fault_calls calls, unsigned n_least);
void fault_work_every_power_failure(FaultWork work, FaultFind find, const char *base, unsigned n_least);
void fault_work_little_space(FaultWork work, FaultFind find, const char *base, uint64_t most_bytes);

#endif
