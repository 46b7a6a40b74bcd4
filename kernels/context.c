/* context.c: contexts: a pool, scratch memory that is reused, a cancel flag; and the texts of statuses.
 *
 * Owns: scratch memory. Does not own: the pool's threads (pool.c), what operations keep in scratch.
 */
#include "context.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE_BYTES = 2 << 20 };

typedef struct scratch {
    void *data;
    size_t bytes;
} scratch;

typedef struct thread_scratch {
    _Alignas(KERN_ALIGN_BYTES) scratch slots[KERN_SCRATCH_SLOTS];
} thread_scratch;

struct kern_context {
    kern_pool *pool;
    const bool *cancel;
    scratch shared[KERN_SCRATCH_SLOTS];
    thread_scratch *threads; /* kern_pool_n_threads(pool) */
};

const char *kern_status_text(kern_status status)
{
    switch (status) {
    case KERN_OK:
        return "no error";
    case KERN_NO_MEMORY:
        return "not enough memory";
    case KERN_BAD_ARGUMENT:
        return "a shape or type that the kernels do not support";
    case KERN_CANCELLED:
        return "cancelled";
    }
    return "unknown status";
}

kern_status kern_context_new(unsigned n_threads, bool pin, kern_context **ret_context)
{
    kern_context *context = calloc(1, sizeof *context);
    if (!context) return KERN_NO_MEMORY;
    kern_status status = kern_pool_new(n_threads, pin, &context->pool);
    if (status != KERN_OK) goto fail;
    size_t bytes = kern_pool_n_threads(context->pool) * sizeof *context->threads;
    context->threads = aligned_alloc(KERN_ALIGN_BYTES, bytes);
    status = KERN_NO_MEMORY;
    if (!context->threads) goto fail;
    for (unsigned thread = 0; thread < kern_pool_n_threads(context->pool); thread++) context->threads[thread] = (thread_scratch){0};
    *ret_context = context;
    return KERN_OK;
fail:
    kern_context_free(context);
    return status;
}

void kern_context_free(kern_context *context)
{
    if (!context) return;
    for (int slot = 0; slot < KERN_SCRATCH_SLOTS; slot++) free(context->shared[slot].data);
    unsigned n_threads = context->threads ? kern_pool_n_threads(context->pool) : 0;
    for (unsigned thread = 0; thread < n_threads; thread++) {
        for (int slot = 0; slot < KERN_SCRATCH_SLOTS; slot++) free(context->threads[thread].slots[slot].data);
    }
    free(context->threads);
    kern_pool_free(context->pool);
    free(context);
}

kern_pool *kern_context_pool(kern_context *context)
{
    return context->pool;
}

void kern_context_set_cancel(kern_context *context, const bool *cancel)
{
    context->cancel = cancel;
}

bool kern_context_cancelled(const kern_context *context)
{
    return context->cancel && __atomic_load_n(context->cancel, __ATOMIC_RELAXED);
}

static void *scratch_get(scratch *piece, size_t bytes)
{
    if (piece->data && bytes <= piece->bytes) return piece->data;
    size_t align = bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : KERN_ALIGN_BYTES;
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t rounded = bytes == 0 ? align : (bytes + align - 1) / align * align;
    void *data = aligned_alloc(align, rounded);
    if (!data) return NULL;
    if (align == HUGE_PAGE_BYTES) madvise(data, rounded, MADV_HUGEPAGE); /* only a wish */
    free(piece->data);
    *piece = (scratch){.data = data, .bytes = rounded};
    return data;
}

void *kern_context_scratch(kern_context *context, kern_scratch_slot slot, size_t bytes)
{
    return scratch_get(&context->shared[slot], bytes);
}

void *kern_context_thread_scratch(kern_context *context, unsigned thread, kern_scratch_slot slot, size_t bytes)
{
    return scratch_get(&context->threads[thread].slots[slot], bytes);
}
