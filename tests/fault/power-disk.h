/* power-disk.h: what a disk may hold after a power failure, after the idea of SQLite's test6.
 *
 * Owns: recording what a run wrote and synced (through fault-calls.h), and building from it the folder as it may be found again: what was
 *       synced, and of the rest any part, in any order, torn at sectors; names not yet synced may be old or new.
 * Does not own: the run, and whether what is found is sound.
 */
#ifndef POWER_DISK_H
#define POWER_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Records all that happens below the folder (absolute, without links) until power_disk_stop. What is there already is safe. */
void power_disk_start(const char *folder);
void power_disk_stop(void);
/* Events are numbered; the first ones are what was there. */
size_t power_disk_first_event(void);
size_t power_disk_n_events(void);

/* The folder `to`, which exists and is empty, as it may be found when the power fails before event `crash`. All that was synced; of the
 * rest: variant 0 all, 1 nothing, 2 of each file all, nothing or a random part, more: likewise, with torn writes. */
void power_disk_build(size_t crash, int variant, uint32_t seed, const char *to);
void power_disk_clear(void);

#endif
