/* steps.c: the small steps between products: RMS norm, SwiGLU, rotary tables.
 *
 * Owns: how their rows are cut into tasks. Does not own: inner loops (linear-*.c).
 */
#include "context.h"
#include "ops.h"

#include <math.h>

/* About 10 us of work: less is done by the caller alone. */
enum { TASK_VALUES = 16384 };

typedef struct norm_run {
    const kern_ops *ops;
    const float *x, *weight;
    float eps;
    size_t n_rows, n_cols, task_rows;
    float *out;
} norm_run;

static size_t rows_of_task(size_t n_cols)
{
    return TASK_VALUES / (n_cols + 1) + 1;
}

static void norm_task(void *user, size_t index, unsigned thread)
{
    const norm_run *run = user;
    size_t end = (index + 1) * run->task_rows;
    if (end > run->n_rows) end = run->n_rows;
    for (size_t row = index * run->task_rows; row < end; row++) {
        run->ops->rms_norm_row(run->x + row * run->n_cols, run->weight, run->eps, run->n_cols, run->out + row * run->n_cols);
    }
}

void kern_rms_norm(kern_context *context, const float *x, const float *weight, float eps, size_t n_rows, size_t n_cols, float *out)
{
    norm_run run = {kern_ops_get(), x, weight, eps, n_rows, n_cols, rows_of_task(n_cols), out};
    kern_pool_run(kern_context_pool(context), (n_rows + run.task_rows - 1) / run.task_rows, norm_task, &run);
}

typedef struct swiglu_run {
    const kern_ops *ops;
    float *gate;
    const float *up;
    size_t n_values;
} swiglu_run;

static void swiglu_task(void *user, size_t index, unsigned thread)
{
    const swiglu_run *run = user;
    size_t first = index * TASK_VALUES, n = run->n_values - first;
    run->ops->swiglu_row(run->gate + first, run->up + first, n < TASK_VALUES ? n : TASK_VALUES);
}

void kern_swiglu(kern_context *context, float *gate, const float *up, size_t n_rows, size_t n_cols)
{
    swiglu_run run = {kern_ops_get(), gate, up, n_rows * n_cols};
    kern_pool_run(kern_context_pool(context), (run.n_values + TASK_VALUES - 1) / TASK_VALUES, swiglu_task, &run);
}

void kern_rope_fill(const double *inv_freq, size_t d, double attention_scale, size_t first_position, size_t n_positions, float *ret_cos,
                    float *ret_sin)
{
    size_t half = d / 2;
    for (size_t row = 0; row < n_positions; row++) {
        for (size_t i = 0; i < half; i++) {
            double angle = inv_freq[i] * (double)(first_position + row);
            ret_cos[row * half + i] = (float)(cos(angle) * attention_scale);
            ret_sin[row * half + i] = (float)(sin(angle) * attention_scale);
        }
    }
}
