/* attend-scan.c: attention of a few query tokens over many cached ones: all scores first, then the values that matter.
 *
 * Owns: the phases (scores, cuts, values, merging), how they are cut into items, which value rows are read.
 * Does not own: the arithmetic (attend-ops.h), checks (attend.c).
 *
 * The key axis is cut into spans and items by the number of tokens alone, and what the items leave is merged in their
 * order: results do not depend on the number of threads.
 *
 * Scores: one pass over the codes leaves all scores, and each row's largest score and softmax denominator, found while the
 * scores of a span are still in the nearest cache. Cuts: with the denominator known, a row's cut is the highest score below
 * which no more than drop_mass of its mass lies. It is looked for among the highest sixteenth of the scores (a sample says where
 * that begins), and if that is too few, among the highest quarter. Values: rows where no head of the group reaches its cut are not read. What was kept is summed
 * up, so that what was dropped is known, not estimated; rows that drop too much, should there be any, are read whole. Attention mass is
 * made of sums over parts of a span that the first phase forms on its way.
 *
 * One query token over many: going through all scores twice more, for cuts and for the choice of rows, takes a third of what scoring takes.
 * Therefore a sample is scored first and says from which score on tokens may matter; the first phase then leaves lists of those candidates in
 * place of all scores, and cuts and values look at the lists. KV heads of which the sample says that too many tokens matter, or the candidates'
 * mass that a cut lies lower, are done the other way.
 *
 * Scores of one pass (some KV heads, some query tokens) are kept in scratch; passes are made small enough for it to stay
 * near the processor, and to stay bounded for a million tokens.
 */
#include "attend.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
    SPAN_TOKENS = KERN_SUMS_PARTS * KERN_MASS_TOKENS,
    ITEMS_MAX = 32,           /* about: more would only be merging */
    SCAN_QUERIES_MAX = 128,   /* attend.c sends no job with more this way */
    SCAN_ROWS_MAX = 1024,     /* of one pass */
    PRODUCT_ROWS_MIN = 6,
    PASS_BYTES = 4 << 20,     /* of scores */
    PASS_ROWS_MIN_BYTES = 32 << 20, /* with several query tokens: rows share the reading of keys up to this */
    SAMPLE_TOKENS = 1024,     /* about: of a row, to see how its scores lie */
    LISTED_TOKENS_MIN = 24 << 10, /* from which on candidates are listed in place of all scores: below, these stay near the processor */
    LIST_BYTES = 16 << 20,    /* of lists of a pass, had they all tokens */
    LIST_GAP = 592,           /* entries between the lists of two items: some for what is stored past an end, the others to spread cache sets */
    LIST_SAMPLE_STEP = 256,   /* one token in so many, but */
    LIST_SAMPLE_MIN = 256,    /* no fewer than that are sampled for a list */
    VALUE_ITEMS = 4,          /* of one task of the values phase: one item's rows are fetched while another's are summed up */
    CUT_BITS = 10,            /* steps of halving the interval that holds a cut */
};
static const double SUMS_ERROR = 5e-7; /* relative */
static const float CUT_DEPTH = 21; /* of scores below the largest: weights of 2^-30 */
static const float SAMPLE_MARGIN = 0.5f; /* of score, below a sample's own cut */
static const float DROP_MASS_LEAST = 2e-6f; /* below, rounding of the sums is of the same size: nothing is dropped */


enum { LIST_TOKENS = SPAN_TOKENS + KERN_UNIT_TOKENS, SAMPLE_UNITS = SAMPLE_TOKENS / KERN_UNIT_TOKENS };

/* Of one thread. */
typedef struct scan_scratch {
    /* Of two spans: one on its way from memory, one being summed up. */
    uint32_t *tokens[2]; /* [LIST_TOKENS]: chosen */
    float *weights[2];   /* [group][LIST_TOKENS]: their scores, then weights; also a row's sample */
    float *highest;      /* [stride + LIST_TOKENS]: a row's highest scores, then their weights */
    float *span_scores;  /* [group][SPAN_TOKENS]: where candidates are listed */
    uint8_t *sample;     /* [SAMPLE_UNITS]: units of keys */
    float *least;        /* [group]: of the KV head sampled last, the scores from which on tokens are candidates */
    size_t sampled_kv;   /* SIZE_MAX: none in this pass */
    bool sampled_flat;   /* too much would have to be listed */
    float *span_max;           /* [rows]: the largest scores before a span */
    kern_part_sums *span_sums; /* [rows] */
    float *tile_weights, *p, *tile, *acc, *key_scale; /* where several query tokens share the reading of values */
} scan_scratch;

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
    size_t n_kv, first_query, n_queries, n_rows;
    size_t *kv_heads;              /* [kv]: which they are */
    uint8_t *tables;               /* [row][128] */
    float *table_scales, *dense;   /* [row], [row][d] */
    float *scores;                 /* [row][stride] */
    float *item_max, *item_sum;    /* [item][row]: the largest score, the sum of exp(score - it) */
    float *part_max, *part_sums;   /* [row][span], [row][span][KERN_SUMS_PARTS]: the same of parts; where mass is wanted */
    float *max, *cuts;             /* [row]; a token whose score reaches no row's cut is left out */
    double *totals, *dropped;      /* [row]: softmax mass, relative to max; of it, what was left out */
    float *item_acc, *item_kept;   /* [item][row][d], [item][row] */
    uint32_t *item_read;           /* [item][query] */
    size_t redo_kv;                /* the one that is read whole; SIZE_MAX: none */
    /* candidates in place of scores */
    bool listed;
    size_t list_stride, sample_tokens; /* of a row's list; about: how many are sampled */
    size_t again_step;             /* limit of a pass over KV heads that lists did not do */
    size_t *again;                 /* which they are */
    uint32_t *list_tokens;         /* [kv][list_stride]: within their span, -inf being the score of padding */
    float *list_scores;            /* [row][list_stride] */
    uint32_t *list_ends;           /* [kv][span] */
    float *least;                  /* [row]: all tokens that score as much are listed */
    bool *unlisted;                /* [row]: a cut is not to be had from the list */
    const kern_tile_ops *tile_ops;
    scan_scratch threads[KERN_THREADS_MAX];
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
    s->kv_heads = kern_arena_take(&arena, s->kv_step, sizeof *s->kv_heads);
    s->again = kern_arena_take(&arena, s->kv_step, sizeof *s->again);
    s->tables = kern_arena_take(&arena, rows, KERN_TABLE_BYTES);
    s->table_scales = kern_arena_take(&arena, rows, sizeof(float));
    s->dense = kern_arena_take(&arena, rows * s->dense_stride, sizeof(float));
    s->scores = kern_arena_take(&arena, (s->listed ? s->again_step * s->group : rows) * s->stride, sizeof(float));
    s->list_tokens = kern_arena_take(&arena, s->kv_step * s->list_stride, sizeof(uint32_t));
    s->list_scores = kern_arena_take(&arena, rows * s->list_stride, sizeof(float));
    s->list_ends = kern_arena_take(&arena, s->listed ? s->kv_step * s->n_spans : 0, sizeof(uint32_t));
    s->least = kern_arena_take(&arena, rows, sizeof(float));
    s->unlisted = kern_arena_take(&arena, rows, sizeof(bool));
    s->item_max = kern_arena_take(&arena, item_rows, sizeof(float));
    s->item_sum = kern_arena_take(&arena, item_rows, sizeof(float));
    s->part_max = kern_arena_take(&arena, s->job->mass ? rows * s->n_spans : 0, sizeof(float));
    s->part_sums = kern_arena_take(&arena, s->job->mass ? rows * s->n_spans * KERN_SUMS_PARTS : 0, sizeof(float));
    s->max = kern_arena_take(&arena, rows, sizeof(float));
    s->cuts = kern_arena_take(&arena, rows, sizeof(float));
    s->totals = kern_arena_take(&arena, rows, sizeof(double));
    s->dropped = kern_arena_take(&arena, rows, sizeof(double));
    s->item_acc = kern_arena_take(&arena, item_rows * d, sizeof(float));
    s->item_kept = kern_arena_take(&arena, item_rows, sizeof(float));
    s->item_read = kern_arena_take(&arena, s->kv_step * s->n_items * s->query_step, sizeof(uint32_t));
    return arena.bytes;
}

static size_t carve_thread(const scan *s, void *base, scan_scratch *ret)
{
    kern_arena arena = {.base = base};
    size_t rows = (s->query_step * s->group + KERN_TILE_ROWS_MULTIPLE - 1) / KERN_TILE_ROWS_MULTIPLE * KERN_TILE_ROWS_MULTIPLE;
    size_t n_weights = s->group * LIST_TOKENS > SAMPLE_TOKENS ? s->group * LIST_TOKENS : SAMPLE_TOKENS;
    for (size_t i = 0; i < 2; i++) {
        ret->tokens[i] = kern_arena_take(&arena, LIST_TOKENS, sizeof(uint32_t));
        ret->weights[i] = kern_arena_take(&arena, n_weights, sizeof(float));
    }
    ret->highest = kern_arena_take(&arena, s->stride + LIST_TOKENS, sizeof(float));
    ret->span_scores = kern_arena_take(&arena, s->listed ? s->group * SPAN_TOKENS : 0, sizeof(float));
    ret->sample = kern_arena_take(&arena, s->listed ? SAMPLE_UNITS : 0, kern_kv_unit_bytes(s->params->format));
    ret->least = kern_arena_take(&arena, s->group, sizeof(float));
    ret->span_max = kern_arena_take(&arena, rows, sizeof(float));
    ret->span_sums = kern_arena_take(&arena, rows, sizeof(kern_part_sums));
    ret->tile_weights = kern_arena_take(&arena, s->query_step * s->group * KERN_TILE_TOKENS, sizeof(float));
    ret->p = kern_arena_take(&arena, rows * KERN_TILE_TOKENS, sizeof(float));
    ret->tile = kern_arena_take(&arena, KERN_TILE_TOKENS * s->d, sizeof(float));
    ret->acc = kern_arena_take(&arena, rows * s->d, sizeof(float));
    ret->key_scale = kern_arena_take(&arena, KERN_TILE_TOKENS * 2ul, sizeof(float));
    return arena.bytes;
}

static kern_status plan_threads(scan *s)
{
    size_t bytes = carve_thread(s, NULL, &s->threads[0]);
    for (unsigned thread = 0; thread < kern_pool_n_threads(kern_context_pool(s->context)); thread++) {
        void *base = kern_context_thread_scratch(s->context, thread, KERN_SCRATCH_ATTEND_0, bytes);
        if (!base) return KERN_NO_MEMORY;
        carve_thread(s, base, &s->threads[thread]);
    }
    return KERN_OK;
}

/* KV heads and query tokens whose scores fit. */
static void plan_steps(scan *s)
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
    if (s->query_step * s->group > SCAN_ROWS_MAX) s->query_step = SCAN_ROWS_MAX / s->group;
}

/* Lists of candidates for one query token, if there is enough to be left out. */
static void plan_lists(scan *s)
{
    s->again_step = s->kv_step;
    s->listed = s->job->n_queries == 1 && s->params->drop_mass >= DROP_MASS_LEAST && s->stride >= LISTED_TOKENS_MIN && s->group <= KERN_SUMS_ROWS;
    if (!s->listed) return;
    s->list_stride = s->stride + s->n_items * LIST_GAP;
    size_t kv_bytes = s->list_stride * (s->group + 1) * sizeof(float), fit = kv_bytes < LIST_BYTES ? LIST_BYTES / kv_bytes : 1;
    s->kv_step = fit < s->params->n_kv_heads ? fit : s->params->n_kv_heads;
    if (s->again_step > s->kv_step) s->again_step = s->kv_step;
    size_t wanted = s->stride / LIST_SAMPLE_STEP;
    s->sample_tokens = wanted < LIST_SAMPLE_MIN ? LIST_SAMPLE_MIN : wanted < SAMPLE_TOKENS ? wanted : SAMPLE_TOKENS;
}

static kern_status plan_passes(scan *s)
{
    plan_steps(s);
    plan_lists(s);
    void *base = kern_context_scratch(s->context, KERN_SCRATCH_ATTEND_1, carve(s, NULL));
    if (!base) return KERN_NO_MEMORY;
    carve(s, base);
    return plan_threads(s);
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

/* Whether a span has tokens that some row does not see, or padding. */
static bool hides(const scan *s, const key_span *span)
{
    return span->block == s->job->n_blocks || span->n % KERN_UNIT_TOKENS != 0;
}

static void hide(const scan *s, const key_span *span, float *scores, size_t stride)
{
    size_t end = kern_n_units(span->n) * KERN_UNIT_TOKENS;
    bool own = span->block == s->job->n_blocks;
    if (!hides(s, span)) return;
    for (size_t r = 0; r < s->n_rows; r++) {
        size_t visible = span->n;
        if (own) {
            size_t seen = kern_own_visible(s->job, s->first_query + r / s->group);
            seen = seen > span->first ? seen - span->first : 0;
            visible = seen < visible ? seen : visible;
        }
        for (size_t t = visible; t < end; t++) scores[r * stride + t] = -INFINITY;
    }
}

/* The keys that the same thread most likely reads after those of a span. */
static const uint8_t *keys_after(const scan *s, size_t span, size_t kv)
{
    size_t kv_head = s->kv_heads[kv], next = kv + 1 < s->n_kv ? s->kv_heads[kv + 1] : (kv_head + 1) % s->params->n_kv_heads;
    if (span + 1 < s->n_spans) return key_span_units(&s->spans[span + 1], s->params->format, kv_head, 0);
    return key_span_units(&s->spans[0], s->params->format, next, 0);
}

/* One row's largest score so far and sums over a span, from its scores. */
static void sum_span(const scan *s, const float *scores, size_t n, float *max, kern_part_sums *ret_sums)
{
    float here = s->ops->max(scores, n);
    if (here > *max) *max = here;
    memset(ret_sums, 0, sizeof *ret_sums);
    for (size_t first = 0, part = 0; first < n && *max > -INFINITY; first += KERN_MASS_TOKENS, part++) {
        ret_sums->parts[part] = s->ops->exp_total(scores + first, n - first < KERN_MASS_TOKENS ? n - first : KERN_MASS_TOKENS, *max);
        ret_sums->all += ret_sums->parts[part];
    }
}

/* Scores, or with a list candidates, and sums of one span; the largest scores of the item so far. */
static void score_span(const scan *s, const scan_item *item, size_t index, const kern_query_rows *rows, const scan_scratch *scratch,
                       kern_score_list *list, float *max)
{
    const kern_kv_format *format = s->params->format;
    const key_span *span = &s->spans[index];
    size_t n_units = kern_n_units(span->n);
    float *scores = list ? scratch->span_scores : s->scores + item->row * s->stride + span->at;
    size_t stride = list ? SPAN_TOKENS : s->stride;
    const uint8_t *units = key_span_units(span, format, s->kv_heads[item->kv], 0);
    if (s->ops->scores_sums && !hides(s, span) &&
        s->ops->scores_sums(format, units, n_units, rows, scores, stride, keys_after(s, index, item->kv), max, scratch->span_sums, list))
        return;
    s->ops->scores(format, units, n_units, rows, scores, stride);
    hide(s, span, scores, stride);
    for (size_t r = 0; r < s->n_rows; r++) sum_span(s, scores + r * stride, n_units * KERN_UNIT_TOKENS, &max[r], &scratch->span_sums[r]);
    if (list)
        list->n = s->ops->select(scores, stride, s->n_rows, n_units * KERN_UNIT_TOKENS, list->least, NULL, list->tokens, list->scores, list->stride);
}

/* Where an item's candidates begin within the list of its KV head, span after span. */
static size_t list_start(const scan *s, size_t item)
{
    return s->spans[s->item_spans[item]].at + item * LIST_GAP;
}

/* A span's candidates go to `at` of the list of its KV head, padded to whole vectors; where the next span's go. */
static size_t list_span(const scan *s, const scan_item *item, size_t index, const kern_query_rows *rows, const scan_scratch *scratch, size_t at,
                        float *max)
{
    kern_score_list list = {
        .least = scratch->least,
        .tokens = s->list_tokens + item->kv * s->list_stride + at,
        .scores = s->list_scores + item->row * s->list_stride + at,
        .stride = s->list_stride,
    };
    score_span(s, item, index, rows, scratch, &list, max);
    for (; list.n % KERN_UNIT_TOKENS; list.n++)
        for (size_t r = 0; r < s->n_rows; r++) list.scores[r * list.stride + list.n] = -INFINITY;
    s->list_ends[item->kv * s->n_spans + index] = (uint32_t)(at + list.n);
    return at + list.n;
}

/* Somewhere among n, differently from one place to the next. */
static size_t place_within(size_t place, size_t n)
{
    return ((uint32_t)place * 2654435761u >> 8) % n;
}

/* The score, at most CUT_DEPTH below the largest, that about n_wanted of a row's sample reach. */
static float find_depth(const scan *s, float max, const float *sample, size_t n, size_t n_wanted)
{
    float low = max - CUT_DEPTH, high = max;
    for (int i = 0; i < CUT_BITS; i++) {
        float middle = (low + high) / 2;
        if (s->ops->count(sample, n, middle) >= n_wanted) low = middle;
        else high = middle;
    }
    return low;
}

/* The highest cut, from `low` on, below which no more than `slack` of the sum of these n weights, relative to `max`, lies. */
static float refine_cut(const scan *s, float max, const float *weights, size_t n, double slack, float low)
{
    float high = max;
    for (int i = 0; i < CUT_BITS; i++) {
        float middle = (low + high) / 2;
        if ((double)s->ops->sum_below(weights, n, expf(middle - max)) <= slack) low = middle;
        else high = middle;
    }
    return low;
}

/* ------------------------------------------------------------------------------------------------------ samples */

/* Keys of a sample for lists, one unit in each `step`, somewhere in it, as texts repeat themselves; the number of units. */
static size_t copy_sample(const scan *s, size_t kv_head, uint8_t *sample)
{
    const kern_kv_format *format = s->params->format;
    size_t n_units = s->stride / KERN_UNIT_TOKENS - 1, bytes = kern_kv_unit_bytes(format), n = 0, i = 0;
    size_t step = 1 + (n_units - 1) / (s->sample_tokens / KERN_UNIT_TOKENS);
    for (size_t first = 0; first < n_units; first += step) {
        size_t here = n_units - first < step ? n_units - first : step, u = first + place_within(first, here);
        while (i + 1 < s->n_spans && s->spans[i + 1].at <= u * KERN_UNIT_TOKENS) i++;
        if (hides(s, &s->spans[i])) continue;
        memcpy(sample + n++ * bytes, key_span_units(&s->spans[i], format, kv_head, u * KERN_UNIT_TOKENS - s->spans[i].at), bytes);
    }
    return n;
}

/* The score from which on a row's tokens are candidates: what a tenth of the sample reach, or, where the sample's own cut says that more is wanted,
 * up to a fifth. -inf: even a third would not be enough, or the sample says nothing. */
static float candidates_from(const scan *s, const float *sample, size_t n, float *weights)
{
    if (n == 0) return -INFINITY;
    float max = s->ops->max(sample, n), least = find_depth(s, max, sample, n, n / 10);
    double mass = (double)s->ops->exp_sum(sample, n, max, weights) * (double)s->params->drop_mass;
    float cut = refine_cut(s, max, weights, n, mass, max - CUT_DEPTH) - SAMPLE_MARGIN;
    if (!(cut < least)) return least;
    if (cut < find_depth(s, max, sample, n, n / 3)) return -INFINITY;
    float most = find_depth(s, max, sample, n, n / 5);
    return cut > most ? cut : most;
}

/* Candidates of a KV head's rows, into scratch, the same whichever thread it is. False: not to be listed. */
static bool find_candidates(const scan *s, const scan_item *item, const kern_query_rows *rows, scan_scratch *scratch)
{
    if (scratch->sampled_kv != item->kv) {
        size_t n = copy_sample(s, s->kv_heads[item->kv], scratch->sample);
        s->ops->scores(s->params->format, scratch->sample, n, rows, scratch->weights[0], LIST_TOKENS);
        scratch->sampled_kv = item->kv;
        scratch->sampled_flat = false;
        for (size_t r = 0; r < s->n_rows; r++) {
            scratch->least[r] = candidates_from(s, scratch->weights[0] + r * LIST_TOKENS, n * KERN_UNIT_TOKENS, scratch->weights[1]);
            if (scratch->least[r] == -INFINITY) scratch->sampled_flat = true;
        }
    }
    for (size_t r = 0; r < s->n_rows && item->item == 0; r++) {
        s->least[item->row + r] = scratch->least[r];
        s->unlisted[item->row + r] = scratch->sampled_flat;
    }
    return !scratch->sampled_flat;
}

/* ------------------------------------------------------------------------------------------------------ scores */

static void scan_scores(void *user, size_t index, unsigned thread)
{
    const scan *s = user;
    if (kern_context_cancelled(s->context)) return;
    scan_item item = item_of(s, index);
    kern_query_rows rows = {
        .tables = s->tables + item.row * KERN_TABLE_BYTES,
        .scales = s->table_scales + item.row,
        .dense = s->dense + item.row * s->dense_stride,
        .n = s->n_rows,
    };
    scan_scratch *scratch = &((scan *)user)->threads[thread];
    float *max = s->item_max + item.item_row, *sum = s->item_sum + item.item_row, *before = scratch->span_max;
    kern_part_sums *sums = scratch->span_sums;
    for (size_t r = 0; r < s->n_rows; r++) max[r] = -INFINITY, sum[r] = 0;
    if (s->listed && !find_candidates(s, &item, &rows, scratch)) return;
    size_t list_at = list_start(s, item.item);
    for (size_t i = item.first_span; i < item.first_span + item.n_spans; i++) {
        memcpy(before, max, s->n_rows * sizeof *max);
        if (s->listed) list_at = list_span(s, &item, i, &rows, scratch, list_at, max);
        else score_span(s, &item, i, &rows, scratch, NULL, max);
        for (size_t r = 0; r < s->n_rows; r++) {
            if (max[r] == -INFINITY) sums[r].all = 0;
            sum[r] = (max[r] > before[r] ? sum[r] * expf(before[r] - max[r]) : sum[r]) + sums[r].all;
            if (!s->job->mass) continue;
            size_t at = (item.row + r) * s->n_spans + i;
            s->part_max[at] = max[r];
            memcpy(s->part_sums + at * KERN_SUMS_PARTS, sums[r].parts, sizeof sums[r].parts);
        }
    }
}

/* A row's largest score and the sum of its weights relative to it. */
static void find_total(const scan *s, size_t kv, size_t r)
{
    float max = -INFINITY;
    double total = 0;
    for (size_t i = 0; i < s->n_items; i++) {
        float here = s->item_max[(kv * s->n_items + i) * s->n_rows + r];
        if (here > max) max = here;
    }
    for (size_t i = 0; i < s->n_items && max > -INFINITY; i++) {
        size_t at = (kv * s->n_items + i) * s->n_rows + r;
        total += (double)s->item_sum[at] * (double)expf(s->item_max[at] - max);
    }
    s->max[kv * s->n_rows + r] = max == -INFINITY ? 0 : max; /* a row that sees nothing: weights 0, not NaN */
    s->totals[kv * s->n_rows + r] = total;
}

/* -------------------------------------------------------------------------------------------------------- cuts */

/* Scores of one unit in each `step`, somewhere in it, as texts repeat themselves; their number. */
static size_t take_sample(const scan *s, size_t row, float *sample)
{
    size_t n_units = s->stride / KERN_UNIT_TOKENS - 1, n = 0; /* the last belongs to no token */
    size_t step = 1 + (n_units - 1) / (SAMPLE_TOKENS / KERN_UNIT_TOKENS);
    const float *scores = s->scores + row * s->stride;
    for (size_t first = 0; first < n_units; first += step, n += KERN_UNIT_TOKENS) {
        size_t here = n_units - first < step ? n_units - first : step, u = first + place_within(first, here);
        memcpy(sample + n, scores + u * KERN_UNIT_TOKENS, KERN_UNIT_TOKENS * sizeof *sample);
    }
    return n;
}

/* Scores of a row at or above a cut, padded to whole units; their number. */
static size_t take_highest(const scan *s, size_t row, float cut, const scan_scratch *scratch)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_spans; i++) {
        const key_span *span = &s->spans[i];
        n += s->ops->select(s->scores + row * s->stride + span->at, s->stride, 1, kern_n_units(span->n) * KERN_UNIT_TOKENS, &cut, NULL, NULL,
                            scratch->highest + n, 0);
    }
    while (n % KERN_UNIT_TOKENS) scratch->highest[n++] = -INFINITY;
    return n;
}

/* The same from a list of candidates, which has them all. */
static size_t take_listed(const scan *s, size_t row, float cut, const scan_scratch *scratch)
{
    const uint32_t *ends = s->list_ends + row / s->n_rows * s->n_spans;
    size_t n = 0;
    for (size_t i = 0; i < s->n_items; i++) {
        size_t first = list_start(s, i), end = ends[s->item_spans[i + 1] - 1];
        n += s->ops->select(s->list_scores + row * s->list_stride + first, 0, 1, end - first, &cut, NULL, NULL, scratch->highest + n, 0);
    }
    while (n % KERN_UNIT_TOKENS) scratch->highest[n++] = -INFINITY;
    return n;
}

/* The score below which no more than the allowed mass lies. */
static float find_cut(const scan *s, size_t row, const scan_scratch *scratch)
{
    double total = s->totals[row], allowed = ((double)s->params->drop_mass - SUMS_ERROR) * total;
    if (s->params->drop_mass < DROP_MASS_LEAST || !(allowed > 0)) return -FLT_MAX;
    if (s->listed) {
        float lowest = s->max[row] - CUT_DEPTH, depth = s->least[row] > lowest ? s->least[row] : lowest;
        size_t n = take_listed(s, row, depth, scratch);
        double slack = (double)s->ops->exp_sum(scratch->highest, n, s->max[row], scratch->highest) - (total - allowed);
        return slack >= 0 ? refine_cut(s, s->max[row], scratch->highest, n, slack, depth) : -FLT_MAX;
    }
    size_t n_sample = take_sample(s, row, scratch->weights[0]);
    for (size_t part = 16; part >= 4; part /= 4) {
        float depth = find_depth(s, s->max[row], scratch->weights[0], n_sample, n_sample / part);
        size_t n = take_highest(s, row, depth, scratch);
        double slack = (double)s->ops->exp_sum(scratch->highest, n, s->max[row], scratch->highest) - (total - allowed);
        if (slack >= 0) return refine_cut(s, s->max[row], scratch->highest, n, slack, depth);
    }
    return -FLT_MAX;
}

/* One row of the pass. */
static void scan_cuts(void *user, size_t index, unsigned thread)
{
    const scan *s = user;
    if (kern_context_cancelled(s->context)) return;
    if (s->listed && s->unlisted[index]) return;
    find_total(s, index / s->n_rows, index % s->n_rows);
    s->cuts[index] = find_cut(s, index, &s->threads[thread]);
    if (s->listed) s->unlisted[index] = s->cuts[index] == -FLT_MAX;
}

/* ------------------------------------------------------------------------------------------------------ values */

/* A span's values read once for all query tokens: tiles of weights by tiles of values. */
static void multiply_span(const scan *s, const scan_item *item, const key_span *span, const scan_scratch *scratch)
{
    const kern_kv_format *format = s->params->format;
    float *acc = s->item_acc + item->item_row * s->d, *kept = s->item_kept + item->item_row;
    memset(scratch->acc, 0, s->n_rows * s->d * sizeof(float));
    for (size_t first = 0; first < span->n; first += KERN_TILE_TOKENS) {
        size_t n = span->n - first < KERN_TILE_TOKENS ? span->n - first : KERN_TILE_TOKENS;
        const float *scores = s->scores + item->row * s->stride + span->at + first;
        for (size_t r = 0; r < s->n_rows; r++)
            kept[r] += s->ops->exp_sum(scores + r * s->stride, kern_n_units(n) * KERN_UNIT_TOKENS, s->max[item->row + r],
                                       scratch->tile_weights + r * KERN_TILE_TOKENS);
        s->tile_ops->expand(format, key_span_values(span, format, s->kv_heads[item->kv], first), n, scratch->tile, scratch->key_scale);
        s->tile_ops->weights(scratch->tile_weights, KERN_TILE_TOKENS, n, s->n_rows, scratch->key_scale, scratch->p);
        s->tile_ops->product(scratch->p, scratch->tile, s->n_rows, s->d, NULL, scratch->acc);
    }
    for (size_t i = 0; i < s->n_rows * s->d; i++) acc[i] += scratch->acc[i];
}

/* Whether a KV head of this pass is done again, not from lists. */
static bool leaves_out(const scan *s, size_t kv)
{
    for (size_t r = kv * s->n_rows; s->listed && r < (kv + 1) * s->n_rows; r++)
        if (s->unlisted[r]) return true;
    return false;
}

/* What one query token wants of a span: the rows chosen, or all of them where the gaps are not worth it. */
typedef struct value_pick {
    const key_span *span; /* NULL: nothing */
    size_t kv, row, item_row, n;
    bool all;
    unsigned buffer; /* of scratch */
} value_pick;

static size_t choose_tokens(const scan *s, size_t item, size_t row, const key_span *span, uint32_t *ret_tokens, float *ret_scores)
{
    if (s->listed) {
        size_t kv = row / s->n_rows, index = (size_t)(span - s->spans), first = index > 0 ? s->list_ends[kv * s->n_spans + index - 1] : 0;
        if (index == s->item_spans[item]) first = list_start(s, item);
        return s->ops->select(s->list_scores + row * s->list_stride + first, s->list_stride, s->group, s->list_ends[kv * s->n_spans + index] - first,
                              s->cuts + row, s->list_tokens + kv * s->list_stride + first, ret_tokens, ret_scores, LIST_TOKENS);
    }
    if (s->cuts[row] == -FLT_MAX) return span->n; /* then so are those of the other heads, or they do not matter */
    return s->ops->select(s->scores + row * s->stride + span->at, s->stride, s->group, kern_n_units(span->n) * KERN_UNIT_TOKENS,
                          s->cuts + row, NULL, ret_tokens, ret_scores, LIST_TOKENS);
}

/* Into the second cache: as many prefetches into the first one wait for each other, and most rows still come late. */
static void fetch_rows(const kern_kv_format *format, kern_value_rows values, const uint32_t *tokens, size_t n)
{
    size_t row_bytes = kern_kv_value_row_bytes(format), n_scales = kern_kv_value_n_scales(format);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *row = values.rows + tokens[i] * row_bytes;
        for (size_t b = 0; b < row_bytes; b += KERN_ALIGN_BYTES) __builtin_prefetch(row + b, 0, 2);
        if (n_scales) __builtin_prefetch(values.scales + tokens[i] * n_scales, 0, 2);
    }
}

static void add_values(const scan *s, const value_pick *pick, const scan_scratch *scratch)
{
    if (!pick->span || pick->n == 0) return;
    size_t n = pick->n, n_padded = kern_n_units(n) * KERN_UNIT_TOKENS, stride = pick->all ? s->stride : LIST_TOKENS;
    float *weights = scratch->weights[pick->buffer];
    const float *scores = pick->all ? s->scores + pick->row * s->stride + pick->span->at : weights;
    for (size_t g = 0; g < s->group; g++) {
        for (size_t i = n; i < n_padded && !pick->all; i++) weights[g * LIST_TOKENS + i] = -INFINITY;
        s->item_kept[pick->item_row + g] += s->ops->exp_sum(scores + g * stride, n_padded, s->max[pick->row + g], weights + g * LIST_TOKENS);
    }
    s->ops->gather(s->params->format, key_span_values(pick->span, s->params->format, s->kv_heads[pick->kv], 0),
                   pick->all ? NULL : scratch->tokens[pick->buffer], n, weights, LIST_TOKENS, s->group, s->item_acc + pick->item_row * s->d);
}

/* Chooses, and sums up what was chosen before, whose rows have come meanwhile. */
static void pick_values(const scan *s, const scan_item *item, const key_span *span, size_t q, const scan_scratch *scratch, value_pick *last)
{
    unsigned buffer = 1 - last->buffer;
    value_pick pick = {.span = span, .kv = item->kv, .row = item->row + q * s->group,
                       .item_row = item->item_row + q * s->group, .buffer = buffer};
    pick.n = choose_tokens(s, item->item, pick.row, span, scratch->tokens[buffer], scratch->weights[buffer]);
    pick.all = pick.n * 4 > span->n && !s->listed;
    if (pick.all) pick.n = span->n;
    else fetch_rows(s->params->format, key_span_values(span, s->params->format, s->kv_heads[item->kv], 0), scratch->tokens[buffer], pick.n);
    s->item_read[(item->kv * s->n_items + item->item) * s->n_queries + q] += (uint32_t)pick.n;
    add_values(s, last, scratch);
    *last = pick;
}

/* Several query tokens gather for themselves, unless so much is wanted that a product with all rows is less work. */
static void read_span(const scan *s, const scan_item *item, const key_span *span, const scan_scratch *scratch, value_pick *last)
{
    size_t sum = 0;
    bool may_multiply = s->n_rows >= PRODUCT_ROWS_MIN && s->n_queries > 1;
    for (size_t q = 0; q < s->n_queries && may_multiply; q++) {
        unsigned buffer = 1 - last->buffer;
        sum += choose_tokens(s, item->item, item->row + q * s->group, span, scratch->tokens[buffer], scratch->weights[buffer]);
    }
    if (sum * 2 > span->n * s->n_queries) {
        uint32_t *read = s->item_read + (item->kv * s->n_items + item->item) * s->n_queries;
        multiply_span(s, item, span, scratch);
        for (size_t q = 0; q < s->n_queries; q++) read[q] += (uint32_t)span->n;
        return;
    }
    for (size_t q = 0; q < s->n_queries; q++) pick_values(s, item, span, q, scratch, last);
}

/* A few items, one after the other. */
static void scan_values(void *user, size_t index, unsigned thread)
{
    const scan *s = user;
    if (kern_context_cancelled(s->context)) return;
    size_t first = index * VALUE_ITEMS, end = s->n_kv * s->n_items, offset = 0;
    if (s->redo_kv != SIZE_MAX) end = s->n_items, offset = s->redo_kv * s->n_items;
    value_pick last = {0};
    for (size_t i = first; i < end && i < first + VALUE_ITEMS; i++) {
        scan_item item = item_of(s, offset + i);
        if (leaves_out(s, item.kv)) continue;
        memset(s->item_acc + item.item_row * s->d, 0, s->n_rows * s->d * sizeof(float));
        memset(s->item_kept + item.item_row, 0, s->n_rows * sizeof(float));
        memset(s->item_read + (offset + i) * s->n_queries, 0, s->n_queries * sizeof(uint32_t));
        for (size_t j = 0; j < item.n_spans; j++) read_span(s, &item, &s->spans[item.first_span + j], &s->threads[thread], &last);
    }
    add_values(s, &last, &s->threads[thread]);
}

static size_t n_value_tasks(const scan *s, size_t n_kv) { return (n_kv * s->n_items + VALUE_ITEMS - 1) / VALUE_ITEMS; }

/* ------------------------------------------------------------------------------------------------------ merging */

/* Attention mass of all rows of one KV head. */
static void add_mass(const scan *s, size_t kv)
{
    for (size_t i = 0; i < s->n_spans && s->spans[i].block < s->job->n_blocks; i++) {
        double sums[KERN_SUMS_PARTS] = {0};
        for (size_t r = kv * s->n_rows; r < (kv + 1) * s->n_rows; r++) {
            size_t at = r * s->n_spans + i;
            if (!(s->totals[r] > 0) || s->part_max[at] == -INFINITY) continue;
            double share = exp((double)s->part_max[at] - (double)s->max[r]) / s->totals[r];
            for (size_t p = 0; p < KERN_SUMS_PARTS; p++) sums[p] += share * (double)s->part_sums[at * KERN_SUMS_PARTS + p];
        }
        for (size_t p = 0; p * KERN_MASS_TOKENS < s->spans[i].n; p++) kern_mass_add(&s->mass[s->spans[i].part + p], sums[p]);
    }
}

/* Always, unless rounding had its way. */
static bool keeps_bound(const scan *s, size_t kv)
{
    if (leaves_out(s, kv)) return true;
    for (size_t r = kv * s->n_rows; r < (kv + 1) * s->n_rows; r++)
        if (s->dropped[r] > (double)s->params->drop_mass) return false;
    return true;
}

/* One KV head of the pass: outputs of all its rows, and what was left out. */
static void merge_rows(void *user, size_t index, unsigned thread)
{
    const scan *s = user;
    if (leaves_out(s, index)) return;
    if (s->redo_kv != SIZE_MAX) index = s->redo_kv;
    size_t d = s->d, kv_head = s->kv_heads[index], n_tokens = 0;
    for (size_t i = 0; i < s->n_spans; i++) n_tokens += s->spans[i].n;
    for (size_t r = 0; r < s->n_rows; r++) {
        float sums[KERN_HEAD_DIM_MAX] = {0};
        double kept = 0, total = s->totals[index * s->n_rows + r];
        size_t n_read = 0;
        for (size_t i = 0; i < s->n_items; i++) {
            size_t at = (index * s->n_items + i) * s->n_rows + r;
            for (size_t f = 0; f < d; f++) sums[f] += s->item_acc[at * d + f];
            kept += (double)s->item_kept[at];
            n_read += s->item_read[(index * s->n_items + i) * s->n_queries + r / s->group];
        }
        s->dropped[index * s->n_rows + r] = n_read < n_tokens && kept < total ? (total - kept) / total : 0;
        float factor = kept > 0 ? (float)(1 / kept) : 0;
        size_t query = s->first_query + r / s->group, head = kv_head * s->group + r % s->group;
        float *out = s->job->out + query * s->job->out_stride + head * d;
        for (size_t f = 0; f < d; f++) out[f] = sums[f] * factor;
    }
    bool again = s->listed && !keeps_bound(s, index);
    if (s->job->mass && s->redo_kv == SIZE_MAX && !again) add_mass(s, index);
}

static void count(scan *s)
{
    kern_attend_job *job = s->job;
    size_t cached = 0;
    for (size_t b = 0; b < job->n_blocks; b++) cached += job->blocks[b].n_tokens;
    for (size_t kv = 0; kv < s->n_kv; kv++)
        for (size_t r = 0; r < s->n_rows && !leaves_out(s, kv); r++) {
            double mass = s->dropped[kv * s->n_rows + r];
            uint64_t read = 0, visible = cached + kern_own_visible(job, s->first_query + r / s->group);
            for (size_t i = 0; i < s->n_items; i++) read += s->item_read[(kv * s->n_items + i) * s->n_queries + r / s->group];
            job->ret_dropped_mass += mass;
            if (mass > job->ret_dropped_mass_max) job->ret_dropped_mass_max = mass;
            job->ret_rows_read += read < visible ? read : visible;
            job->ret_rows += visible;
        }
}

/* Values of one KV head again, all of them: its scores are needed, or it is left for later. */
static void read_whole(scan *s, kern_pool *pool, size_t kv)
{
    if (s->listed) {
        s->unlisted[kv * s->n_rows] = true;
        return;
    }
    s->redo_kv = kv;
    for (size_t r = kv * s->n_rows; r < (kv + 1) * s->n_rows; r++) s->cuts[r] = -FLT_MAX;
    kern_pool_run(pool, n_value_tasks(s, 1), scan_values, s);
    kern_pool_run(pool, 1, merge_rows, s);
    s->redo_kv = SIZE_MAX;
}

static void run_pass(scan *s)
{
    kern_pool *pool = kern_context_pool(s->context);
    size_t n_tasks = s->n_kv * s->n_items;
    s->n_rows = s->n_queries * s->group;
    for (size_t kv = 0; kv < s->n_kv; kv++) {
        size_t row = kv * s->n_rows;
        kern_rows_copy(s->ops, s->params, s->job->queries, s->job->first_query + s->first_query, s->n_queries, s->kv_heads[kv],
                       s->tables + row * KERN_TABLE_BYTES, s->table_scales + row, s->dense + row * s->dense_stride);
    }
    for (unsigned thread = 0; thread < kern_pool_n_threads(pool); thread++) s->threads[thread].sampled_kv = SIZE_MAX;
    kern_pool_run(pool, n_tasks, scan_scores, s);
    if (kern_context_cancelled(s->context)) return;
    kern_pool_run(pool, s->n_kv * s->n_rows, scan_cuts, s);
    if (kern_context_cancelled(s->context)) return;
    kern_pool_run(pool, n_value_tasks(s, s->n_kv), scan_values, s);
    if (kern_context_cancelled(s->context)) return;
    kern_pool_run(pool, s->n_kv, merge_rows, s);
    for (size_t kv = 0; kv < s->n_kv; kv++)
        if (!keeps_bound(s, kv)) read_whole(s, pool, kv);
    count(s);
}

/* What lists did not do. */
static void run_unlisted(scan *s)
{
    size_t n = 0;
    for (size_t kv = 0; kv < s->n_kv; kv++)
        if (leaves_out(s, kv)) s->again[n++] = s->kv_heads[kv];
    s->listed = false;
    for (size_t first = 0; first < n && !kern_context_cancelled(s->context); first += s->again_step) {
        s->n_kv = n - first < s->again_step ? n - first : s->again_step;
        memcpy(s->kv_heads, s->again + first, s->n_kv * sizeof *s->kv_heads);
        run_pass(s);
    }
    s->listed = true;
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
        .tile_ops = kern_tile_ops_for(ops, params->format),
        .dense_stride = params->format->key_type == KERN_KEY_CODE32 ? params->format->d : 0,
        .redo_kv = SIZE_MAX,
    };
    if (s.group > SCAN_ROWS_MAX || job->n_queries > SCAN_QUERIES_MAX) return KERN_BAD_ARGUMENT;
    kern_status status = plan_keys(&s);
    if (status == KERN_OK && s.n_spans == 0) { /* nothing to attend to */
        for (size_t i = 0; i < job->n_queries; i++) memset(job->out + i * job->out_stride, 0, params->n_heads * s.d * sizeof(float));
        return KERN_OK;
    }
    if (status == KERN_OK) status = plan_passes(&s);
    if (status != KERN_OK) return status;
    for (size_t first_kv = 0; first_kv < params->n_kv_heads; first_kv += s.kv_step)
        for (s.first_query = 0; s.first_query < job->n_queries; s.first_query += s.query_step) {
            s.n_kv = params->n_kv_heads - first_kv < s.kv_step ? params->n_kv_heads - first_kv : s.kv_step;
            for (size_t kv = 0; kv < s.n_kv; kv++) s.kv_heads[kv] = first_kv + kv;
            s.n_queries = job->n_queries - s.first_query < s.query_step ? job->n_queries - s.first_query : s.query_step;
            run_pass(&s);
            if (s.listed && !kern_context_cancelled(context)) run_unlisted(&s);
            if (kern_context_cancelled(context)) return KERN_CANCELLED;
        }
    kern_mass_report(job, s.mass);
    return KERN_OK;
}
