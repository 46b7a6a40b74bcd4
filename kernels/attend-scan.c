/* attend-scan.c: attention of a few query tokens over many cached ones: all scores first, then the values that matter.
 *
 * Owns: the four phases (scores, weights, values, merging), how they are cut into items, which value rows are read.
 * Does not own: the arithmetic (attend-ops.h), checks (attend.c).
 *
 * The key axis is cut into spans and items by the number of tokens alone, and what the items leave is merged in their
 * order: results do not depend on the number of threads. With every score known before a value is read, the softmax mass
 * of what is left out is known, not estimated: the cut of a row is the largest of 2^-1 .. 2^-16 times its largest weight
 * below which no more than drop_mass of its mass lies.
 *
 * Scores of one pass (some KV heads, some query tokens) are kept in scratch; passes are made small enough for it to stay
 * near the processor, and to stay bounded for a million tokens.
 */
#include "attend.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
    SPAN_TOKENS = 1024,
    ITEMS_MAX = 32,           /* about: more would only be merging */
    PASS_BYTES = 4 << 20,     /* of scores */
    PASS_ROWS_MIN_BYTES = 32 << 20, /* with several query tokens: rows share the reading of keys up to this */
};

typedef struct scan {
    kern_context *context;
    const kern_attend_ops *ops;
    const kern_attend_params *params;
    kern_attend_job *job;
    size_t group, d;
    size_t dense_stride; /* d for CODE32, else 0 */
    /* the key axis */
    key_span *spans;
    size_t *item_spans; /* [n_items + 1]: the first span of each item */
    size_t n_spans, n_items, stride; /* of a row of scores */
    int64_t *mass;
    size_t n_parts;
    /* limits of a pass */
    size_t kv_step, query_step;
    /* the pass at hand; arrays over [kv_step] first */
    size_t first_kv, n_kv, first_query, n_queries, n_rows;
    uint8_t *tables;               /* [row][128] */
    float *table_scales, *dense;   /* [row], [row][d] */
    float *scores;                 /* [row][stride], then weights */
    float *item_max, *item_sums;   /* [item][row], [item][row][1 + KERN_TAIL_CUTS] */
    float *max, *cuts;             /* [row] */
    double *totals;                /* [row] */
    float *item_acc, *item_dropped; /* [item][row][d], [item][row] */
    uint32_t *item_read;            /* [item][query] */
} scan;

/* ----------------------------------------------------------------------------------------------------- planning */

static size_t block_spans(const kern_kv_block *block)
{
    return (block->n_tokens + SPAN_TOKENS - 1) / SPAN_TOKENS;
}

static void add_spans(scan *s, const kern_kv_block *block, size_t index, size_t n_tokens, size_t *part)
{
    kern_kv_layout layout = kern_kv_layout_of(s->params->format, s->params->n_kv_heads, block->capacity);
    for (size_t first = 0; first < n_tokens; first += SPAN_TOKENS) {
        size_t n = n_tokens - first < SPAN_TOKENS ? n_tokens - first : SPAN_TOKENS;
        s->spans[s->n_spans++] = (key_span){
            .data = block->data,
            .layout = layout,
            .block = index,
            .first = first,
            .n = n,
            .at = s->stride,
            .part = *part + first / KERN_MASS_TOKENS,
        };
        s->stride += kern_n_units(n) * KERN_UNIT_TOKENS;
    }
    *part += (n_tokens + KERN_MASS_TOKENS - 1) / KERN_MASS_TOKENS;
}

static kern_status plan_keys(scan *s)
{
    const kern_attend_job *job = s->job;
    size_t n_spans = block_spans(&job->own), part = 0, own = kern_own_visible(job, job->n_queries - 1);
    for (size_t b = 0; b < job->n_blocks; b++) n_spans += block_spans(&job->blocks[b]);
    s->n_parts = kern_mass_parts(job);
    kern_arena sizes = {0};
    for (int pass = 0; pass < 2; pass++) {
        s->spans = kern_arena_take(&sizes, n_spans, sizeof *s->spans);
        s->item_spans = kern_arena_take(&sizes, n_spans + 1, sizeof *s->item_spans);
        s->mass = kern_arena_take(&sizes, s->n_parts, sizeof *s->mass);
        if (pass == 1) break;
        sizes = (kern_arena){.base = kern_context_scratch(s->context, KERN_SCRATCH_ATTEND_0, sizes.bytes)};
        if (!sizes.base) return KERN_NO_MEMORY;
    }
    memset(s->mass, 0, s->n_parts * sizeof *s->mass);
    for (size_t b = 0; b < job->n_blocks; b++) add_spans(s, &job->blocks[b], b, job->blocks[b].n_tokens, &part);
    add_spans(s, &job->own, job->n_blocks, own, &part);
    /* items of equal numbers of tokens, as nearly as spans allow */
    size_t item_tokens = s->stride / ITEMS_MAX > SPAN_TOKENS ? s->stride / ITEMS_MAX : SPAN_TOKENS, end = 0;
    for (size_t i = 0; i < s->n_spans; i++) {
        if (s->spans[i].at < end) continue;
        s->item_spans[s->n_items++] = i;
        end = s->spans[i].at + item_tokens;
    }
    s->item_spans[s->n_items] = s->n_spans;
    s->stride += KERN_UNIT_TOKENS; /* rows a power of two apart would share cache sets */
    return KERN_OK;
}

static size_t carve(scan *s, void *base)
{
    kern_arena arena = {.base = base};
    size_t rows = s->kv_step * s->query_step * s->group, item_rows = rows * s->n_items, d = s->d;
    s->tables = kern_arena_take(&arena, rows, KERN_TABLE_BYTES);
    s->table_scales = kern_arena_take(&arena, rows, sizeof(float));
    s->dense = kern_arena_take(&arena, rows * s->dense_stride, sizeof(float));
    s->scores = kern_arena_take(&arena, rows * s->stride, sizeof(float));
    s->item_max = kern_arena_take(&arena, item_rows, sizeof(float));
    s->item_sums = kern_arena_take(&arena, item_rows * (1 + KERN_TAIL_CUTS), sizeof(float));
    s->max = kern_arena_take(&arena, rows, sizeof(float));
    s->cuts = kern_arena_take(&arena, rows, sizeof(float));
    s->totals = kern_arena_take(&arena, rows, sizeof(double));
    s->item_acc = kern_arena_take(&arena, item_rows * d, sizeof(float));
    s->item_dropped = kern_arena_take(&arena, item_rows, sizeof(float));
    s->item_read = kern_arena_take(&arena, s->kv_step * s->n_items * s->query_step, sizeof(uint32_t));
    return arena.bytes;
}

static kern_status plan_passes(scan *s)
{
    size_t query_bytes = s->group * s->stride * sizeof(float), n_queries = s->job->n_queries, n_kv = s->params->n_kv_heads;
    size_t fit = query_bytes < PASS_BYTES ? PASS_BYTES / query_bytes : 1;
    if (fit >= n_queries) {
        s->query_step = n_queries;
        s->kv_step = fit / n_queries < n_kv ? fit / n_queries : n_kv;
    } else {
        size_t most = PASS_ROWS_MIN_BYTES / query_bytes, rows_8 = (8 + s->group - 1) / s->group;
        size_t wanted = most < rows_8 ? most : rows_8; /* what makes a pass bound by arithmetic, not by reading keys */
        s->query_step = fit > wanted ? fit : wanted > 1 ? wanted : 1;
        if (s->query_step > n_queries) s->query_step = n_queries;
        s->kv_step = 1;
    }
    void *base = kern_context_scratch(s->context, KERN_SCRATCH_ATTEND_1, carve(s, NULL));
    if (!base) return KERN_NO_MEMORY;
    carve(s, base);
    return KERN_OK;
}

/* ------------------------------------------------------------------------------------------------------- phases */

typedef struct scan_item {
    size_t kv, item;           /* within the pass */
    size_t row, item_row;      /* the first row of kv; of (kv, item) */
    size_t first_span, n_spans;
} scan_item;

static scan_item item_of(const scan *s, size_t index)
{
    size_t kv = index / s->n_items, item = index % s->n_items;
    return (scan_item){
        .kv = kv,
        .item = item,
        .row = kv * s->n_rows,
        .item_row = index * s->n_rows,
        .first_span = s->item_spans[item],
        .n_spans = s->item_spans[item + 1] - s->item_spans[item],
    };
}

static void hide(const scan *s, const key_span *span, float *scores)
{
    size_t end = kern_n_units(span->n) * KERN_UNIT_TOKENS;
    bool own = span->block == s->job->n_blocks;
    if (!own && span->n == end) return;
    for (size_t r = 0; r < s->n_rows; r++) {
        size_t visible = span->n;
        if (own) {
            size_t seen = kern_own_visible(s->job, s->first_query + r / s->group);
            seen = seen > span->first ? seen - span->first : 0;
            visible = seen < visible ? seen : visible;
        }
        for (size_t t = visible; t < end; t++) scores[r * s->stride + t] = -INFINITY;
    }
}

static void scan_scores(void *user, size_t index, unsigned thread)
{
    const scan *s = user;
    if (kern_context_cancelled(s->context)) return;
    scan_item item = item_of(s, index);
    const kern_kv_format *format = s->params->format;
    kern_query_rows rows = {
        .tables = s->tables + item.row * KERN_TABLE_BYTES,
        .scales = s->table_scales + item.row,
        .dense = s->dense + item.row * s->dense_stride,
        .n = s->n_rows,
    };
    float *max = s->item_max + item.item_row;
    for (size_t r = 0; r < s->n_rows; r++) max[r] = -INFINITY;
    for (size_t i = 0; i < item.n_spans; i++) {
        const key_span *span = &s->spans[item.first_span + i];
        float *scores = s->scores + item.row * s->stride + span->at;
        s->ops->scores(format, key_span_units(span, format, s->first_kv + item.kv, 0), kern_n_units(span->n), &rows, scores, s->stride);
        hide(s, span, scores);
        for (size_t r = 0; r < s->n_rows; r++) {
            float here = s->ops->max(scores + r * s->stride, kern_n_units(span->n) * KERN_UNIT_TOKENS);
            if (here > max[r]) max[r] = here;
        }
    }
}

static void find_max(scan *s)
{
    for (size_t kv = 0; kv < s->n_kv; kv++)
        for (size_t r = 0; r < s->n_rows; r++) {
            float max = -INFINITY;
            for (size_t i = 0; i < s->n_items; i++) {
                float here = s->item_max[(kv * s->n_items + i) * s->n_rows + r];
                if (here > max) max = here;
            }
            s->max[kv * s->n_rows + r] = max == -INFINITY ? 0 : max; /* a row that sees nothing: weights 0, not NaN */
            s->cuts[kv * s->n_rows + r] = FLT_TRUE_MIN;
        }
}

/* The values of one query token's rows in one span. */
static void read_span(const scan *s, const scan_item *item, const key_span *span, size_t query)
{
    size_t row = query * s->group, n_units = kern_n_units(span->n);
    const float *weights = s->scores + (item->row + row) * s->stride + span->at;
    float *acc = s->item_acc + (item->item_row + row) * s->d, *dropped = s->item_dropped + item->item_row + row;
    kern_value_rows values = key_span_values(span, s->params->format, s->first_kv + item->kv, 0);
    uint32_t tokens[SPAN_TOKENS];
    float left[KERN_TABLE_BYTES] = {0};
    size_t n = s->ops->select(weights, s->stride, s->group, n_units * KERN_UNIT_TOKENS, s->cuts + item->row + row, tokens, left);
    bool all = n * 4 > span->n;
    if (!all)
        for (size_t g = 0; g < s->group; g++) dropped[g] += left[g];
    s->ops->gather(s->params->format, values, all ? NULL : tokens, all ? span->n : n, weights, s->stride, s->group, acc);
    s->item_read[(item->kv * s->n_items + item->item) * s->n_queries + query] += (uint32_t)(all ? span->n : n);
}

static void add_mass(const scan *s, const scan_item *item, const key_span *span)
{
    if (!s->job->mass || span->block == s->job->n_blocks) return;
    for (size_t first = 0; first < span->n; first += KERN_MASS_TOKENS) {
        size_t n = kern_n_units(span->n - first) * KERN_UNIT_TOKENS;
        if (n > KERN_MASS_TOKENS) n = KERN_MASS_TOKENS;
        double sum = 0;
        for (size_t r = 0; r < s->n_rows; r++) {
            double total = s->totals[item->row + r];
            if (total > 0) sum += s->ops->sum(s->scores + (item->row + r) * s->stride + span->at + first, n) / total;
        }
        kern_mass_add(&s->mass[span->part + first / KERN_MASS_TOKENS], sum);
    }
}

static void scan_values(void *user, size_t index, unsigned thread)
{
    const scan *s = user;
    if (kern_context_cancelled(s->context)) return;
    scan_item item = item_of(s, index);
    memset(s->item_acc + item.item_row * s->d, 0, s->n_rows * s->d * sizeof(float));
    memset(s->item_dropped + item.item_row, 0, s->n_rows * sizeof(float));
    memset(s->item_read + index * s->n_queries, 0, s->n_queries * sizeof(uint32_t));
    for (size_t i = 0; i < item.n_spans; i++) {
        const key_span *span = &s->spans[item.first_span + i];
        for (size_t q = 0; q < s->n_queries; q++) read_span(s, &item, span, q);
        add_mass(s, &item, span);
    }
}

static void scan_weights(void *user, size_t index, unsigned thread)
{
    const scan *s = user;
    if (kern_context_cancelled(s->context)) return;
    scan_item item = item_of(s, index);
    bool drops = s->params->drop_mass > 0;
    for (size_t r = 0; r < s->n_rows; r++) {
        const key_span *first = &s->spans[item.first_span], *last = first + item.n_spans - 1;
        float *row = s->scores + (item.row + r) * s->stride + first->at, *sums = s->item_sums + (item.item_row + r) * (1 + KERN_TAIL_CUTS);
        size_t n = last->at + kern_n_units(last->n) * KERN_UNIT_TOKENS - first->at;
        memset(sums, 0, (1 + KERN_TAIL_CUTS) * sizeof *sums);
        sums[0] = drops ? s->ops->exp_tails(row, n, s->max[item.row + r], sums + 1) : s->ops->exp_sum(row, n, s->max[item.row + r]);
    }
}

/* Totals of all rows, and their cuts. */
static void find_cuts(scan *s)
{
    for (size_t kv = 0; kv < s->n_kv; kv++)
        for (size_t r = 0; r < s->n_rows; r++) {
            double sums[1 + KERN_TAIL_CUTS] = {0}, cut = 0.5;
            for (size_t i = 0; i < s->n_items; i++)
                for (size_t c = 0; c <= KERN_TAIL_CUTS; c++)
                    sums[c] += (double)s->item_sums[((kv * s->n_items + i) * s->n_rows + r) * (1 + KERN_TAIL_CUTS) + c];
            s->totals[kv * s->n_rows + r] = sums[0];
            /* a little less than is allowed: the sums are rounded */
            double allowed = (double)s->params->drop_mass * sums[0] * (1 - 1e-5);
            for (size_t c = 1; c <= KERN_TAIL_CUTS && allowed > 0; c++, cut *= 0.5)
                if (sums[c] <= allowed) {
                    s->cuts[kv * s->n_rows + r] = (float)cut;
                    break;
                }
        }
}

/* ------------------------------------------------------------------------------------------------------ merging */

/* One KV head of the pass: outputs of all its rows. */
static void merge_rows(void *user, size_t index, unsigned thread)
{
    const scan *s = user;
    size_t d = s->d, kv_head = s->first_kv + index;
    for (size_t r = 0; r < s->n_rows; r++) {
        float sums[KERN_HEAD_DIM_MAX] = {0};
        double dropped = 0;
        for (size_t i = 0; i < s->n_items; i++) {
            size_t at = (index * s->n_items + i) * s->n_rows + r;
            for (size_t f = 0; f < d; f++) sums[f] += s->item_acc[at * d + f];
            dropped += (double)s->item_dropped[at];
        }
        double kept = s->totals[index * s->n_rows + r] - dropped;
        float factor = kept > 0 ? (float)(1 / kept) : 0;
        size_t query = s->first_query + r / s->group, head = kv_head * s->group + r % s->group;
        float *out = s->job->out + query * s->job->out_stride + head * d;
        for (size_t f = 0; f < d; f++) out[f] = sums[f] * factor;
    }
}

static void count(scan *s)
{
    kern_attend_job *job = s->job;
    size_t cached = 0;
    for (size_t b = 0; b < job->n_blocks; b++) cached += job->blocks[b].n_tokens;
    for (size_t kv = 0; kv < s->n_kv; kv++)
        for (size_t r = 0; r < s->n_rows; r++) {
            double dropped = 0, total = s->totals[kv * s->n_rows + r];
            uint64_t read = 0, visible = cached + kern_own_visible(job, s->first_query + r / s->group);
            for (size_t i = 0; i < s->n_items; i++) {
                dropped += (double)s->item_dropped[(kv * s->n_items + i) * s->n_rows + r];
                read += s->item_read[(kv * s->n_items + i) * s->n_queries + r / s->group];
            }
            double mass = total > 0 ? dropped / total : 0;
            job->ret_dropped_mass += mass;
            if (mass > job->ret_dropped_mass_max) job->ret_dropped_mass_max = mass;
            job->ret_rows_read += read < visible ? read : visible;
            job->ret_rows += visible;
        }
}

static void run_pass(scan *s)
{
    kern_pool *pool = kern_context_pool(s->context);
    size_t n_tasks = s->n_kv * s->n_items;
    s->n_rows = s->n_queries * s->group;
    for (size_t kv = 0; kv < s->n_kv; kv++) {
        size_t row = kv * s->n_rows;
        kern_rows_copy(s->ops, s->params, s->job->queries, s->job->first_query + s->first_query, s->n_queries, s->first_kv + kv,
                       s->tables + row * KERN_TABLE_BYTES, s->table_scales + row, s->dense + row * s->dense_stride);
    }
    kern_pool_run(pool, n_tasks, scan_scores, s);
    if (kern_context_cancelled(s->context)) return;
    find_max(s);
    kern_pool_run(pool, n_tasks, scan_weights, s);
    if (kern_context_cancelled(s->context)) return;
    find_cuts(s);
    kern_pool_run(pool, n_tasks, scan_values, s);
    if (kern_context_cancelled(s->context)) return;
    kern_pool_run(pool, s->n_kv, merge_rows, s);
    count(s);
}

kern_status kern_attend_scan(kern_context *context, const kern_attend_ops *ops, const kern_attend_params *params, kern_attend_job *job)
{
    scan s = {
        .context = context,
        .ops = ops,
        .params = params,
        .job = job,
        .group = params->n_heads / params->n_kv_heads,
        .d = params->format->d,
        .dense_stride = params->format->key_type == KERN_KEY_CODE32 ? params->format->d : 0,
    };
    if (s.group > KERN_TABLE_BYTES) return KERN_BAD_ARGUMENT;
    kern_status status = plan_keys(&s);
    if (status == KERN_OK && s.n_spans == 0) { /* nothing to attend to */
        for (size_t i = 0; i < job->n_queries; i++) memset(job->out + i * job->out_stride, 0, params->n_heads * s.d * sizeof(float));
        return KERN_OK;
    }
    if (status == KERN_OK) status = plan_passes(&s);
    if (status != KERN_OK) return status;
    for (s.first_kv = 0; s.first_kv < params->n_kv_heads; s.first_kv += s.kv_step)
        for (s.first_query = 0; s.first_query < job->n_queries; s.first_query += s.query_step) {
            s.n_kv = params->n_kv_heads - s.first_kv < s.kv_step ? params->n_kv_heads - s.first_kv : s.kv_step;
            s.n_queries = job->n_queries - s.first_query < s.query_step ? job->n_queries - s.first_query : s.query_step;
            run_pass(&s);
            if (kern_context_cancelled(context)) return KERN_CANCELLED;
        }
    kern_mass_report(job, s.mass);
    return KERN_OK;
}
