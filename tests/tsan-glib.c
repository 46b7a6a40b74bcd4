/* tsan-glib.c: tells ThreadSanitizer what GLib, which is not instrumented, orders between threads. Part of app/ where b_sanitize is 'thread'.
 *
 * Owns: those functions of GLib that the sanitizer cannot see through, under their own names: each tells of itself and calls GLib's own. GMutex
 *       and GCond wait by a system call of their own: all that they guard would be reported.
 * Does not own: what is seen without help: threads, recursive and read-write locks are pthread's in GLib, atomic operations the compiler's;
 *       what GLib does inside (tsan.supp).
 */
#include <dlfcn.h>
#include <glib.h>
#include <sanitizer/tsan_interface.h>
#include <stdlib.h>

/* GLib's own function of the name. */
#define REAL(name)                                                                                 \
    ({                                                                                             \
        static gsize real;                                                                         \
        gsize found = __atomic_load_n(&real, __ATOMIC_RELAXED);                                    \
        if (found == 0) __atomic_store_n(&real, found = (gsize)dlsym(RTLD_NEXT, #name), __ATOMIC_RELAXED); \
        (__typeof__(&name))found;                                                                  \
    })

void g_mutex_lock(GMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, 0);
    REAL(g_mutex_lock)(mutex);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

gboolean g_mutex_trylock(GMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, __tsan_mutex_try_lock);
    gboolean locked = REAL(g_mutex_trylock)(mutex);
    __tsan_mutex_post_lock(mutex, __tsan_mutex_try_lock | (locked ? 0 : __tsan_mutex_try_lock_failed), 0);
    return locked;
}

void g_mutex_unlock(GMutex *mutex)
{
    __tsan_mutex_pre_unlock(mutex, 0);
    REAL(g_mutex_unlock)(mutex);
    __tsan_mutex_post_unlock(mutex, 0);
}

void g_mutex_clear(GMutex *mutex)
{
    REAL(g_mutex_clear)(mutex);
    __tsan_mutex_destroy(mutex, 0);
}

/* Waiting lets the lock go and takes it again. */
void g_cond_wait(GCond *condition, GMutex *mutex)
{
    __tsan_mutex_pre_unlock(mutex, 0);
    __tsan_mutex_post_unlock(mutex, 0);
    REAL(g_cond_wait)(condition, mutex);
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

gboolean g_cond_wait_until(GCond *condition, GMutex *mutex, gint64 end_time)
{
    __tsan_mutex_pre_unlock(mutex, 0);
    __tsan_mutex_post_unlock(mutex, 0);
    gboolean woken = REAL(g_cond_wait_until)(condition, mutex, end_time);
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
    return woken;
}

/* What is read after one found it made was written before it was said to be made. */
void(g_once_init_leave)(volatile void *location, gsize result)
{
    __tsan_release((void *)location);
    REAL(g_once_init_leave)(location, result);
}

/* Who takes something out of a queue sees what was done before it was put in. */
void g_async_queue_push(GAsyncQueue *queue, gpointer data)
{
    __tsan_release(queue);
    REAL(g_async_queue_push)(queue, data);
}

gpointer g_async_queue_timeout_pop(GAsyncQueue *queue, guint64 timeout)
{
    gpointer data = REAL(g_async_queue_timeout_pop)(queue, timeout);
    __tsan_acquire(queue);
    return data;
}

/* From here the sanitizer looks at it: who still uses it elsewhere is found. */
void g_free(gpointer memory)
{
    free(memory);
}

/* A call that a thread leaves for another's main loop. */
typedef struct Call {
    GSourceFunc function;
    gpointer data;
    GDestroyNotify destroy;
} Call;

static gboolean run_call(gpointer user)
{
    Call *call = user;
    __tsan_acquire(call);
    return call->function(call->data);
}

static void free_call(gpointer user)
{
    Call *call = user;
    __tsan_acquire(call);
    if (call->destroy != NULL) call->destroy(call->data);
    g_free(call);
}

void g_source_set_callback(GSource *source, GSourceFunc function, gpointer data, GDestroyNotify destroy)
{
    if (source->source_funcs != &g_idle_funcs && source->source_funcs != &g_timeout_funcs) { /* of another type than it says */
        REAL(g_source_set_callback)(source, function, data, destroy);
        return;
    }
    Call *call = g_new(Call, 1);
    *call = (Call){function, data, destroy};
    __tsan_release(call);
    REAL(g_source_set_callback)(source, run_call, call, free_call);
}
