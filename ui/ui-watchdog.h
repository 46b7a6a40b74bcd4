/* ui-watchdog.h: measures how long the main loop is kept from taking events; for tests.
 *
 * Owns: timing every turn of the main loop while it counts. Does nothing unless the variable LECTERN_WATCHDOG names a file, into which the
 * result is written as one JSON object: {"turns", "max_us", "over_16ms", "over_16ms_undrawn", "max_cpu_us", "max_blocked_us"}.
 *
 * With LECTERN_WATCHDOG_ALWAYS it counts from the start, else only while a document is read.
 *
 * A turn is the time between two polls for events, less the time in which the thread wanted to run and the kernel let others run (as
 * /proc/thread-self/schedstat counts it), so that a busy machine does not look like a slow program. "blocked" is what was neither
 * computed nor waited for a processor: input and output, locks. "undrawn" are turns without a frame, which have no display to wait for.
 */
#ifndef UI_WATCHDOG_H
#define UI_WATCHDOG_H

#include <stdbool.h>

void ui_watchdog_start(void);              /* on the main thread, before the loop runs */
void ui_watchdog_set_counting(bool counts); /* only turns that begin while it counts are taken */
void ui_watchdog_write(void);

#endif
