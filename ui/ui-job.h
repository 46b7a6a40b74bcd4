/* ui-job.h: long work of app/ that has an amount: on a thread, with progress on the main loop, and a stop.
 *
 * Owns: the thread, the cancel flag, carrying progress over. Does not own: what is done (the work function), what is shown.
 */
#ifndef UI_JOB_H
#define UI_JOB_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

G_BEGIN_DECLS

typedef struct UiJob UiJob;

typedef struct UiJobProgress {
    uint64_t done, total; /* bytes, or tokens where `counts` */
    bool counts;
    double per_s;         /* 0: not known */
    double seconds_left;  /* < 0: not known */
    char words[160];      /* what it is at; "" */
} UiJobProgress;

/* On a thread: works on `data`, tells with ui_job_set_progress, stops soon when *ui_job_cancel_flag(job) is set. */
typedef bool (*UiJobWork)(UiJob *job, gpointer data, GError **error);
/* On the main loop, none after ui_job_detach. done: error NULL is success. `data` is freed after it. */
typedef struct UiJobHandlers {
    void (*progress)(gpointer user, const UiJobProgress *progress);
    void (*done)(gpointer user, gpointer data, const GError *error);
} UiJobHandlers;

UiJob *ui_job_start(UiJobWork work, gpointer data, GDestroyNotify free_data, const UiJobHandlers *handlers, gpointer user);
const bool *ui_job_cancel_flag(UiJob *job);
void ui_job_set_progress(UiJob *job, const UiJobProgress *progress); /* on the job's thread */
/* The same of bytes, with rate and time left since begun_us, a monotonic time: neither is told in the first half second. */
void ui_job_set_bytes(UiJob *job, gint64 begun_us, uint64_t done_bytes, uint64_t total_bytes);
void ui_job_stop(UiJob *job);   /* `done` follows, with whatever error a stop gives */
void ui_job_detach(UiJob *job); /* lets go of it, without stopping; NULL is fine */

G_END_DECLS

#endif
