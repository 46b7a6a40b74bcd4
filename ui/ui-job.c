/* ui-job.c: see ui-job.h. Two references: the thread's, and that of whoever started it until `done` or ui_job_detach. */
#define G_LOG_DOMAIN "ui-job"
#include "ui-job.h"

struct UiJob {
    gint n_refs;
    UiJobWork work;
    gpointer data;
    GDestroyNotify free_data;
    UiJobHandlers handlers;
    gpointer user;
    bool is_detached; /* main thread */
    bool cancel;      /* atomic */
    GMutex mutex;     /* guards the next two */
    UiJobProgress progress;
    bool is_woken;
    GError *error;
};

static void job_unref(gpointer data)
{
    UiJob *job = data;
    if (!g_atomic_int_dec_and_test(&job->n_refs)) return;
    if (job->free_data != NULL) job->free_data(job->data);
    g_clear_error(&job->error);
    g_mutex_clear(&job->mutex);
    g_free(job);
}

static gboolean tell_progress(gpointer user)
{
    UiJob *job = user;
    g_mutex_lock(&job->mutex);
    UiJobProgress progress = job->progress;
    job->is_woken = false;
    g_mutex_unlock(&job->mutex);
    if (!job->is_detached) job->handlers.progress(job->user, &progress);
    return G_SOURCE_REMOVE;
}

static gboolean tell_done(gpointer user)
{
    UiJob *job = user;
    if (job->is_detached) return G_SOURCE_REMOVE;
    job->is_detached = true;
    job->handlers.done(job->user, job->data, job->error);
    job_unref(job);
    return G_SOURCE_REMOVE;
}

static gpointer run(gpointer user)
{
    UiJob *job = user;
    job->work(job, job->data, &job->error);
    g_idle_add_full(G_PRIORITY_DEFAULT, tell_done, job, job_unref);
    return NULL;
}

UiJob *ui_job_start(UiJobWork work, gpointer data, GDestroyNotify free_data, const UiJobHandlers *handlers, gpointer user)
{
    UiJob *job = g_new0(UiJob, 1);
    job->n_refs = 2;
    job->work = work;
    job->data = data;
    job->free_data = free_data;
    job->handlers = *handlers;
    job->user = user;
    g_mutex_init(&job->mutex);
    g_thread_unref(g_thread_new("job", run, job));
    return job;
}

const bool *ui_job_cancel_flag(UiJob *job)
{
    return &job->cancel;
}

void ui_job_set_progress(UiJob *job, const UiJobProgress *progress)
{
    g_mutex_lock(&job->mutex);
    job->progress = *progress;
    if (!job->is_woken) {
        g_atomic_int_inc(&job->n_refs);
        g_timeout_add_full(G_PRIORITY_DEFAULT, 50, tell_progress, job, job_unref);
    }
    job->is_woken = true;
    g_mutex_unlock(&job->mutex);
}

void ui_job_set_bytes(UiJob *job, gint64 begun_us, uint64_t done_bytes, uint64_t total_bytes)
{
    double seconds = (double)(g_get_monotonic_time() - begun_us) / 1e6;
    UiJobProgress progress = {.done = done_bytes, .total = total_bytes, .seconds_left = -1};
    if (seconds > 0.5 && done_bytes > 0) {
        progress.per_s = (double)done_bytes / seconds;
        progress.seconds_left = (double)(total_bytes - MIN(done_bytes, total_bytes)) / progress.per_s;
    }
    ui_job_set_progress(job, &progress);
}

void ui_job_stop(UiJob *job)
{
    __atomic_store_n(&job->cancel, true, __ATOMIC_RELAXED);
}

void ui_job_detach(UiJob *job)
{
    if (job == NULL) return;
    job->is_detached = true;
    job_unref(job);
}
