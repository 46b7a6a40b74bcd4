/* context.h: what the kernels see of a context: scratch memory and the cancel flag.
 *
 * Owns: the list of scratch slots. Does not own: what is kept in them.
 */
#ifndef KERN_CONTEXT_H
#define KERN_CONTEXT_H

#include "kern.h"

/* Each slot is one piece of memory that lives until the context is freed: what a call finds there is undefined, and a slot
 * is in use by one operation at a time. */
typedef enum kern_scratch_slot {
    KERN_SCRATCH_MATMUL = 0, /* quantised activations */
    KERN_SCRATCH_ATTEND_0,
    KERN_SCRATCH_ATTEND_1,
    KERN_SCRATCH_ATTEND_2,
    KERN_SCRATCH_ATTEND_3,
    KERN_SCRATCH_ATTEND_4,
    KERN_SCRATCH_ATTEND_5,
    KERN_SCRATCH_ATTEND_6,
    KERN_SCRATCH_ATTEND_7,
    KERN_SCRATCH_SLOTS,
} kern_scratch_slot;

/* At least `bytes` bytes of the slot, KERN_ALIGN_BYTES aligned; it grows when needed (its contents are then lost) and never
 * shrinks, so that work of a constant size allocates once. NULL: no memory. Not from within a pool's task. */
void *kern_context_scratch(kern_context *context, kern_scratch_slot slot, size_t bytes);
/* The same for one thread of the pool; to be called by that thread within a task, or by the caller before kern_pool_run. */
void *kern_context_thread_scratch(kern_context *context, unsigned thread, kern_scratch_slot slot, size_t bytes);

/* Whether the caller's cancel flag is up. Any thread. */
bool kern_context_cancelled(const kern_context *context);

#endif
