/* matmul.c: products of activations and weights: shapes checked, rows quantised, work cut into tasks.
 *
 * Owns: the tiling over panels and rows, which depends on shapes alone, never on the number of threads.
 * Does not own: inner loops (linear-*.c).
 */
#include "context.h"
#include "linear.h"

#include <string.h>

enum {
    BLOCK_TILES = 8,          /* row tiles of one task: their codes stay in the second-level cache */
    BLOCK_PANELS = 16,        /* panels of one task when there are many rows */
    FLOAT_BLOCK_ROWS = 48,    /* rows of one task with float weights */
    STREAM_BYTES = 128 << 10, /* weight bytes of one task when there are few rows */
    STREAM_OUT_BYTES = 4 << 20,
};

typedef struct matmul_run {
    kern_context *context;
    const kern_ops *ops;
    const float *x;
    size_t x_stride, n_rows, n_in;
    kern_rows_q8 rows;
    size_t n_tiles;
    const kern_matmul_job *job;
    size_t block_rows, block_panels, n_row_blocks, n_panels; /* of this job */
} matmul_run;

static bool is_packed(kern_weight_type type)
{
    return type == KERN_W_Q8 || type == KERN_W_Q4;
}

/* One row of x into its place in the tiles; row may lie past n_rows (zeros). */
static void quantize_row(const matmul_run *run, size_t row)
{
    const kern_rows_q8 *rows = &run->rows;
    size_t tile = row / rows->tile_rows, r = row % rows->tile_rows, n_groups = rows->in_padded / KERN_GROUP_COLS;
    int8_t *codes = rows->codes + tile * rows->tile_rows * rows->in_padded + r * 4;
    size_t group_at = tile * n_groups * rows->tile_rows + r;
    for (size_t g = 0; g < n_groups; g++) {
        float padded[KERN_GROUP_COLS];
        int8_t group_codes[KERN_GROUP_COLS];
        int32_t sums[4];
        size_t n = run->n_in - g * KERN_GROUP_COLS;
        const float *x = run->x + row * run->x_stride + g * KERN_GROUP_COLS;
        if (row >= run->n_rows) n = 0;
        if (n < KERN_GROUP_COLS) {
            memset(padded, 0, sizeof padded);
            if (n > 0) memcpy(padded, x, n * sizeof *x);
            x = padded;
        }
        rows->scales[group_at + g * rows->tile_rows] = run->ops->quantize_group(x, group_codes, sums);
        rows->offsets[group_at + g * rows->tile_rows] = -128 * (sums[0] + sums[1] + sums[2] + sums[3]);
        for (size_t part = 0; part < 4; part++) {
            rows->offsets_4[tile * n_groups * 4 * rows->tile_rows + (g * 4 + part) * rows->tile_rows + r] = -8 * sums[part];
        }
        for (size_t j = 0; j < KERN_GROUP_COLS / 4; j++) memcpy(codes + (g * 32 + j) * rows->tile_rows * 4, group_codes + j * 4, 4);
    }
}

static void quantize_task(void *user, size_t index, unsigned thread)
{
    const matmul_run *run = user;
    if (kern_context_cancelled(run->context)) return;
    for (size_t r = 0; r < run->rows.tile_rows; r++) quantize_row(run, index * run->rows.tile_rows + r);
}

static size_t align_up(size_t bytes)
{
    return (bytes + KERN_ALIGN_BYTES - 1) / KERN_ALIGN_BYTES * KERN_ALIGN_BYTES;
}

/* Rows are spread evenly over as few tiles as will do: 13 rows become 7 + 6. */
static kern_status quantize_rows(matmul_run *run)
{
    size_t most = run->ops->tile_rows;
    run->n_tiles = (run->n_rows + most - 1) / most;
    run->rows.tile_rows = (run->n_rows + run->n_tiles - 1) / run->n_tiles;
    run->n_tiles = (run->n_rows + run->rows.tile_rows - 1) / run->rows.tile_rows;
    run->rows.in_padded = kern_cols_padded(run->n_in);
    size_t values = run->n_tiles * run->rows.tile_rows * run->rows.in_padded;
    size_t code_bytes = align_up(values), group_bytes = align_up(values / KERN_GROUP_COLS * 4);
    size_t bytes = code_bytes + 2 * group_bytes + align_up(values / KERN_Q4_GROUP_COLS * 4);
    int8_t *scratch = kern_context_scratch(run->context, KERN_SCRATCH_MATMUL, bytes);
    if (!scratch) return KERN_NO_MEMORY;
    run->rows.codes = scratch;
    run->rows.scales = (float *)(scratch + code_bytes);
    run->rows.offsets = (int32_t *)(scratch + code_bytes + group_bytes);
    run->rows.offsets_4 = (int32_t *)(scratch + code_bytes + 2 * group_bytes);
    kern_pool_run(kern_context_pool(run->context), run->n_tiles, quantize_task, run);
    return KERN_OK;
}

/* Lines that are written whole need not be read first; worth it when the result leaves the caches before anybody reads it. */
static bool may_stream(const kern_matmul_job *job, size_t n_rows)
{
    bool aligned = (uintptr_t)job->out % KERN_ALIGN_BYTES == 0 && job->out_stride * sizeof(float) % KERN_ALIGN_BYTES == 0;
    return aligned && !job->accumulate && n_rows * job->out_stride * sizeof(float) >= STREAM_OUT_BYTES;
}

static void product_task(void *user, size_t index, unsigned thread)
{
    const matmul_run *run = user;
    const kern_weight *weight = run->job->weight;
    if (kern_context_cancelled(run->context)) return;
    size_t first_row = index % run->n_row_blocks * run->block_rows;
    size_t first_panel = index / run->n_row_blocks * run->block_panels;
    size_t n_rows = run->n_rows - first_row, n_panels = run->n_panels - first_panel;
    kern_tile tile = {
        .weight = weight,
        .first_panel = first_panel,
        .n_panels = n_panels < run->block_panels ? n_panels : run->block_panels,
        .n_rows = n_rows < run->block_rows ? n_rows : run->block_rows,
        .out = run->job->out + first_row * run->job->out_stride,
        .out_stride = run->job->out_stride,
        .accumulate = run->job->accumulate,
        .stream = may_stream(run->job, run->n_rows),
    };
    if (!is_packed(weight->type)) {
        run->ops->matmul_float(&tile, run->x + first_row * run->x_stride, run->x_stride);
        return;
    }
    kern_rows_q8 rows = run->rows;
    rows.codes += first_row * rows.in_padded;
    rows.scales += first_row * (rows.in_padded / KERN_GROUP_COLS);
    rows.offsets += first_row * (rows.in_padded / KERN_GROUP_COLS);
    rows.offsets_4 += first_row * (rows.in_padded / KERN_Q4_GROUP_COLS);
    if (weight->type == KERN_W_Q8) {
        run->ops->matmul_q8(&tile, &rows);
    } else {
        run->ops->matmul_q4(&tile, &rows);
    }
}

static void run_job(matmul_run *run, const kern_matmul_job *job)
{
    const kern_weight *weight = job->weight;
    run->job = job;
    run->n_panels = kern_panels_of(weight->n_out);
    run->block_rows = is_packed(weight->type) ? BLOCK_TILES * run->rows.tile_rows : FLOAT_BLOCK_ROWS;
    run->n_row_blocks = (run->n_rows + run->block_rows - 1) / run->block_rows;
    run->block_panels = BLOCK_PANELS;
    if (run->n_row_blocks == 1) {
        size_t panel_bytes = kern_weight_data_bytes(weight->type, KERN_PANEL_ROWS, run->n_in) + 1;
        run->block_panels = STREAM_BYTES / panel_bytes + 1;
    }
    size_t n_tasks = run->n_row_blocks * ((run->n_panels + run->block_panels - 1) / run->block_panels);
    kern_pool_run(kern_context_pool(run->context), n_tasks, product_task, run);
}

kern_status kern_matmul(kern_context *context, const float *x, size_t x_stride, size_t n_rows, const kern_matmul_job *jobs, size_t n_jobs)
{
    if (n_rows == 0 || n_jobs == 0) return KERN_OK;
    bool any_packed = false;
    for (size_t j = 0; j < n_jobs; j++) {
        const kern_weight *weight = jobs[j].weight;
        if (weight->n_in != jobs[0].weight->n_in || weight->n_in == 0 || jobs[j].out_stride < weight->n_out) return KERN_BAD_ARGUMENT;
        if (weight->type > KERN_W_Q4 || (is_packed(weight->type) && !weight->scales)) return KERN_BAD_ARGUMENT;
        any_packed |= is_packed(weight->type);
    }
    matmul_run run = {
        .context = context,
        .ops = kern_ops_get(),
        .x = x,
        .x_stride = x_stride,
        .n_rows = n_rows,
        .n_in = jobs[0].weight->n_in,
    };
    kern_status status = any_packed ? quantize_rows(&run) : KERN_OK;
    for (size_t j = 0; j < n_jobs && status == KERN_OK; j++) {
        run_job(&run, &jobs[j]);
        if (kern_context_cancelled(context)) status = KERN_CANCELLED;
    }
    return status;
}
