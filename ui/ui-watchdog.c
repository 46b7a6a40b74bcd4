/* ui-watchdog.c: see ui-watchdog.h. */
#define G_LOG_DOMAIN "ui-watchdog"
#include "ui-watchdog.h"

#include <fcntl.h>
#include <gtk/gtk.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef struct Moment {
    int64_t wall_ns, cpu_ns, waited_ns; /* waited: for a processor */
} Moment;

static struct {
    const char *path;
    GPollFunc poll;
    int schedstat;
    bool counts, is_in_turn, always, has_drawn;
    Moment began;
    uint64_t n_turns, n_long, n_long_undrawn; /* undrawn: no frame was drawn in the turn, so that it had no display to wait for */
    int64_t max_ns, max_cpu_ns, max_blocked_ns;
} watchdog;

enum { LONG_NS = 16000000 };

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static Moment now(void)
{
    char text[96] = "";
    ssize_t n = pread(watchdog.schedstat, text, sizeof text - 1, 0);
    Moment moment = {clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_THREAD_CPUTIME_ID), 0};
    if (n > 0) {
        char *second = NULL;
        strtoull(text, &second, 10);
        moment.waited_ns = (int64_t)strtoull(second, NULL, 10);
    }
    return moment;
}

static void end_turn(void)
{
    Moment ended = now();
    int64_t cpu = ended.cpu_ns - watchdog.began.cpu_ns;
    int64_t busy = ended.wall_ns - watchdog.began.wall_ns - (ended.waited_ns - watchdog.began.waited_ns);
    watchdog.n_turns++;
    watchdog.n_long += busy > LONG_NS;
    watchdog.n_long_undrawn += busy > LONG_NS && !watchdog.has_drawn;
    watchdog.max_ns = MAX(watchdog.max_ns, busy);
    watchdog.max_cpu_ns = MAX(watchdog.max_cpu_ns, cpu);
    watchdog.max_blocked_ns = MAX(watchdog.max_blocked_ns, busy - cpu);
    if (busy > LONG_NS) g_message("a turn of %.1f ms, %.1f of them computing, %s", (double)busy / 1e6, (double)cpu / 1e6, watchdog.has_drawn ? "with a frame" : "no frame");
}

static int timed_poll(GPollFD *fds, guint n_fds, int timeout_ms)
{
    if (watchdog.is_in_turn) end_turn();
    int ready = watchdog.poll(fds, n_fds, timeout_ms);
    watchdog.is_in_turn = watchdog.counts;
    watchdog.has_drawn = false;
    if (watchdog.counts) watchdog.began = now();
    return ready;
}

static gboolean on_frame(GSignalInvocationHint *hint, guint n_values, const GValue *values, gpointer user)
{
    watchdog.has_drawn = true;
    return G_SOURCE_CONTINUE;
}

void ui_watchdog_start(void)
{
    watchdog.path = g_getenv("LECTERN_WATCHDOG");
    if (watchdog.path == NULL) return;
    watchdog.counts = watchdog.always = g_getenv("LECTERN_WATCHDOG_ALWAYS") != NULL;
    watchdog.schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    watchdog.poll = g_main_context_get_poll_func(NULL);
    g_main_context_set_poll_func(NULL, timed_poll);
    g_autoptr(GTypeClass) frames = g_type_class_ref(GDK_TYPE_FRAME_CLOCK);
    g_signal_add_emission_hook(g_signal_lookup("before-paint", GDK_TYPE_FRAME_CLOCK), 0, on_frame, NULL, NULL);
}

void ui_watchdog_set_counting(bool counts)
{
    watchdog.counts = counts || watchdog.always;
}

void ui_watchdog_write(void)
{
    if (watchdog.path == NULL) return;
    g_autofree char *text = g_strdup_printf("{\"turns\": %" G_GUINT64_FORMAT ", \"max_us\": %" G_GINT64_FORMAT ", \"over_16ms\": %" G_GUINT64_FORMAT
                                            ", \"over_16ms_undrawn\": %" G_GUINT64_FORMAT ", \"max_cpu_us\": %" G_GINT64_FORMAT ", \"max_blocked_us\": %" G_GINT64_FORMAT "}\n",
                                            watchdog.n_turns, watchdog.max_ns / 1000, watchdog.n_long, watchdog.n_long_undrawn, watchdog.max_cpu_ns / 1000,
                                            watchdog.max_blocked_ns / 1000);
    if (!g_file_set_contents(watchdog.path, text, -1, NULL)) g_warning("%s cannot be written", watchdog.path);
}
