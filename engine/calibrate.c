/* calibrate.c: what sparser attention costs a model, measured on a text.
 *
 * Owns: running windows of a text with several numbers of kept features, and comparing the distributions of the next token.
 * Does not own: which settings are tried and which one is chosen (app/), the passes (forward.c).
 *
 * Each setting runs over the same mapped weights. Only the states after the last norm are kept of every window and setting; logits are
 * made and compared for a few rows at a time, so that memory does not grow with the vocabulary.
 */
#include "rotation.h"
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LOGIT_ROWS = 16,
    DECODE_STEPS = 24,
    DECODE_CONTEXT_TOKENS = 8192, /* decoding is timed with about so many tokens cached */
};

typedef struct trial {
    eng_model model; /* the weights of the one given, with another format of keys */
    eng_layer *layers; /* model's own with the rotation; NULL: those of the one given */
    eng_runtime *runtime;
    void **blocks; /* [n_layers] into the memory that the trials share */
    kern_kv_block *views;
    float *states;   /* [window tokens][hidden] */
    double nll, kl;
    size_t n_agree;
} trial;

typedef struct calibration {
    const eng_calibration_options *options;
    eng_error *error;
    eng_rotation *rotation; /* NULL: none given */
    void *memory;           /* one window's keys and values, all layers: each trial in turn */
    trial *trials;
    size_t n_trials;
    uint32_t window_tokens;
    float *logits, *reference_logits; /* [LOGIT_ROWS][vocabulary] */
    size_t n_compared;
    uint64_t done, total; /* tokens times settings */
} calibration;

static void free_trials(calibration *c)
{
    for (size_t i = 0; i < c->n_trials; i++) {
        eng_runtime_free(c->trials[i].runtime);
        free(c->trials[i].layers);
        free(c->trials[i].blocks);
        free(c->trials[i].views);
        free(c->trials[i].states);
    }
    eng_rotation_close(c->rotation);
    free(c->memory);
    free(c->trials);
    free(c->logits);
    free(c->reference_logits);
}

static eng_status no_memory(const calibration *c)
{
    return eng_fail(c->error, ENG_NO_MEMORY, "not enough memory to calibrate");
}

static size_t block_bytes_of(const calibration *c, const eng_model_info *info, const kern_kv_format *format)
{
    return kern_kv_layout_of(format, info->n_kv_heads, eng_section_capacity(c->window_tokens)).total_bytes;
}

/* Memory for the largest of the trials' keys and values: dense ones. */
static eng_status make_memory(calibration *c, const eng_model_info *info)
{
    kern_kv_format format = info->kv_format;
    size_t n_bytes = block_bytes_of(c, info, &format);
    format.k_key = format.d;
    if (block_bytes_of(c, info, &format) > n_bytes) n_bytes = block_bytes_of(c, info, &format);
    format.k_key = (uint16_t)(format.d - 4); /* nearly all, each with its index */
    if (block_bytes_of(c, info, &format) > n_bytes) n_bytes = block_bytes_of(c, info, &format);
    c->memory = aligned_alloc(KERN_ALIGN_BYTES, n_bytes * info->n_layers);
    if (c->memory == NULL) return no_memory(c);
    memset(c->memory, 0, n_bytes * info->n_layers);
    return ENG_OK;
}

/* Gives each trial its model and the places of its states, but no runtime: those exist one at a time. */
static eng_status make_trial(calibration *c, const eng_model *model, const eng_calibration_row *row, trial *t)
{
    t->model = *model;
    /* Decoding is timed over more than the window; that needs positions, not sense. */
    if (t->model.info.n_context < 2 * DECODE_CONTEXT_TOKENS) t->model.info.n_context = 2 * DECODE_CONTEXT_TOKENS;
    kern_kv_format *format = &t->model.info.kv_format;
    format->k_key = row->k_key;
    format->k_query = row->k_query;
    if (!kern_kv_format_valid(format))
        return eng_fail(c->error, ENG_LIMIT, "keys of %u and queries of %u of %u features cannot be stored", row->k_key, row->k_query, format->d);
    const eng_model_info *info = &t->model.info;
    size_t block_bytes = block_bytes_of(c, info, format);
    t->blocks = calloc(info->n_layers, sizeof *t->blocks);
    t->views = calloc(info->n_layers, sizeof *t->views);
    t->states = malloc((size_t)c->window_tokens * info->n_hidden * sizeof *t->states);
    if (row->rotated) t->layers = malloc(info->n_layers * sizeof *t->layers);
    if (t->blocks == NULL || t->views == NULL || t->states == NULL || (row->rotated && t->layers == NULL)) return no_memory(c);
    for (uint32_t l = 0; l < info->n_layers; l++) t->blocks[l] = (uint8_t *)c->memory + l * block_bytes;
    if (!row->rotated) return ENG_OK;
    if (c->rotation == NULL) return eng_fail(c->error, ENG_LIMIT, "there is no rotation to calibrate with");
    memcpy(t->layers, model->layers, info->n_layers * sizeof *t->layers);
    eng_rotation_apply(c->rotation, info, t->layers);
    t->model.layers = t->layers;
    return ENG_OK;
}

static eng_status open_runtime(const calibration *c, trial *t)
{
    eng_runtime_options options = {.n_threads = c->options->n_threads, .gpu = ENG_GPU_NEVER};
    eng_status status = eng_runtime_new(&t->model, &options, &t->runtime, c->error);
    if (status == ENG_OK) eng_runtime_set_cancel(t->runtime, c->options->cancel);
    return status;
}

static void tell(calibration *c, uint64_t n_tokens)
{
    c->done += n_tokens;
    if (c->options->progress != NULL) c->options->progress(c->options->user, c->done, c->total);
}

/* One window with one setting: keys and values into its memory, states into its states. */
static eng_status run_window(calibration *c, trial *t, const uint32_t *ids, uint32_t n)
{
    const eng_model_info *info = &t->model.info;
    eng_segment segment = {.ids = ids, .n_tokens = n, .blocks = t->blocks, .capacity = eng_section_capacity(n),
                           .first_position = info->section_mode == ENG_SECTIONS_INDEPENDENT ? info->end_position - n : 0};
    eng_status status = eng_forward(t->runtime, &(eng_pass){.segments = &segment, .n_segments = 1}, NULL, c->error);
    if (status != ENG_OK) return status;
    memcpy(t->states, t->runtime->h, (size_t)n * info->n_hidden * sizeof *t->states);
    for (uint32_t l = 0; l < info->n_layers; l++)
        t->views[l] = (kern_kv_block){.data = t->blocks[l], .n_tokens = n, .capacity = segment.capacity};
    return ENG_OK;
}

/* log of the sum of exp(x) - its largest, in double; *ret_best: the index of the largest (the lowest of equals). */
static double log_sum(const float *x, size_t n, size_t *ret_best)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)expf(x[i] - x[best]);
    *ret_best = best;
    return (double)x[best] + log(sum);
}

/* Row by row: likelihood of the next token, divergence from the reference (sum of p (log p - log q)), whether the likeliest is the same. */
static void compare_rows(const calibration *c, trial *t, const float *logits, const uint32_t *next_ids, size_t n_rows)
{
    size_t n = t->model.info.n_vocabulary;
    for (size_t r = 0; r < n_rows; r++) {
        const float *p = c->reference_logits + r * n, *q = logits + r * n;
        size_t best_p, best_q;
        double sum_p = log_sum(p, n, &best_p), sum_q = log_sum(q, n, &best_q), kl = 0;
        for (size_t i = 0; i < n; i++) {
            double log_p = (double)p[i] - sum_p;
            if (log_p > -40) kl += exp(log_p) * (log_p - ((double)q[i] - sum_q));
        }
        t->kl += kl > 0 ? kl : 0;
        t->nll += sum_q - (double)q[next_ids[r]];
        t->n_agree += best_p == best_q;
    }
}

static eng_status logits_of(const calibration *c, const trial *t, size_t first, size_t n_rows, float *ret_logits)
{
    const eng_model_info *info = &t->model.info;
    kern_matmul_job job = {&t->model.lm_head, ret_logits, info->n_vocabulary, false};
    kern_status status = kern_matmul(c->trials[0].runtime->kern, t->states + first * info->n_hidden, info->n_hidden, n_rows, &job, 1);
    return status == KERN_OK ? ENG_OK : eng_fail_kern(c->error, status);
}

static eng_status compare_window(calibration *c, const uint32_t *ids, uint32_t n)
{
    for (uint32_t first = 0; first + 1 < n; first += LOGIT_ROWS) {
        uint32_t n_rows = n - 1 - first < LOGIT_ROWS ? n - 1 - first : LOGIT_ROWS;
        eng_status status = logits_of(c, &c->trials[0], first, n_rows, c->reference_logits);
        for (size_t i = 0; i < c->n_trials && status == ENG_OK; i++) {
            if (i > 0) status = logits_of(c, &c->trials[i], first, n_rows, c->logits);
            if (status == ENG_OK) compare_rows(c, &c->trials[i], i > 0 ? c->logits : c->reference_logits, ids + first + 1, n_rows);
        }
        if (status != ENG_OK) return status;
        c->n_compared += n_rows;
    }
    return ENG_OK;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Tokens a second while the window's states, several times over, are attended to. What is said then does not matter. */
static eng_status time_decoding(calibration *c, trial *t, const uint32_t *ids, uint32_t n, double *ret_tokens_per_s)
{
    eng_section sections[DECODE_CONTEXT_TOKENS / 16];
    size_t n_sections = 1 + (DECODE_CONTEXT_TOKENS - 1) / n;
    if (n_sections > sizeof sections / sizeof *sections) n_sections = sizeof sections / sizeof *sections;
    for (size_t i = 0; i < n_sections; i++) sections[i] = (eng_section){.ids = ids, .n_tokens = n, .blocks = t->views};
    eng_session *session;
    const float *logits;
    eng_status status = eng_session_new(t->runtime, sections, n_sections, DECODE_STEPS + 1, &session, c->error);
    if (status != ENG_OK) return status;
    status = eng_session_eval(session, ids, 1, &logits, c->error);
    double best_s = 1e9;
    for (unsigned step = 0; step < DECODE_STEPS && status == ENG_OK; step++) {
        double began_s = now_s();
        status = eng_session_eval(session, ids + step % n, 1, &logits, c->error);
        double took_s = now_s() - began_s;
        if (took_s < best_s) best_s = took_s;
    }
    eng_session_free(session);
    *ret_tokens_per_s = 1 / best_s;
    return status;
}

static eng_status run_all(calibration *c, eng_calibration_row *rows)
{
    const eng_calibration_options *o = c->options;
    eng_status status = ENG_OK;
    uint32_t end = eng_special_token(&c->trials[0].model, ENG_TOKEN_END), *window = malloc(c->window_tokens * sizeof *window);
    if (window == NULL) return no_memory(c);
    for (size_t at = 0; at < o->n_ids && status == ENG_OK; at += c->window_tokens - 1) {
        uint32_t n = o->n_ids - at < c->window_tokens - 1 ? (uint32_t)(o->n_ids - at) + 1 : c->window_tokens;
        bool is_last = at + n - 1 >= o->n_ids;
        if (n < 2 || (n < 64 && at > 0)) break;
        window[0] = end;
        memcpy(window + 1, o->ids + at, (n - 1) * sizeof *window);
        for (size_t i = 0; i < c->n_trials && status == ENG_OK; i++) {
            trial *t = &c->trials[i];
            if (t->runtime == NULL) status = open_runtime(c, t);
            if (status == ENG_OK) status = run_window(c, t, window, n);
            if (status == ENG_OK && at == 0) status = time_decoding(c, t, window, n, &rows[i].decode_tokens_per_s);
            if (i > 0) { /* buffers of one more runtime at a time; the reference's serves the logits too */
                eng_runtime_free(t->runtime);
                t->runtime = NULL;
            }
            tell(c, n - 1);
        }
        if (status == ENG_OK) status = compare_window(c, window, n);
        if (is_last) break;
    }
    free(window);
    return status;
}

eng_status eng_calibrate(const eng_model *model, const eng_calibration_options *options, eng_calibration_row *rows, size_t n_rows, eng_error *error)
{
    if (n_rows == 0 || options->n_ids < 2) return eng_fail(error, ENG_LIMIT, "there is not enough text to calibrate with");
    for (size_t i = 0; i < options->n_ids; i++)
        if (options->ids[i] >= model->info.n_vocabulary) return eng_fail(error, ENG_LIMIT, "token %u is not in the model's vocabulary", options->ids[i]);
    size_t vocabulary = model->info.n_vocabulary;
    calibration c = {.options = options, .error = error, .window_tokens = model->info.section_tokens_max, .total = options->n_ids * n_rows};
    if (c.window_tokens > ENG_PASS_ROWS) c.window_tokens = ENG_PASS_ROWS;
    c.trials = calloc(n_rows, sizeof *c.trials);
    c.logits = malloc(LOGIT_ROWS * vocabulary * sizeof *c.logits);
    c.reference_logits = malloc(LOGIT_ROWS * vocabulary * sizeof *c.reference_logits);
    eng_status status = c.trials == NULL || c.logits == NULL || c.reference_logits == NULL ? no_memory(&c) : make_memory(&c, &model->info);
    if (status == ENG_OK && options->rotation_path != NULL) status = eng_rotation_open(options->rotation_path, model, NULL, &c.rotation, error);
    for (size_t i = 0; i < n_rows && status == ENG_OK; i++, c.n_trials++) status = make_trial(&c, model, &rows[i], &c.trials[i]);
    if (status != ENG_OK && c.trials != NULL && c.n_trials < n_rows) c.n_trials++; /* the one that failed half-way */
    if (status == ENG_OK) status = run_all(&c, rows);
    for (size_t i = 0; i < n_rows && status == ENG_OK; i++) {
        const trial *t = &c.trials[i];
        double n = (double)c.n_compared;
        rows[i].perplexity = exp(t->nll / n);
        rows[i].kl_nats = t->kl / n;
        rows[i].top_agreement = (double)t->n_agree / n;
        rows[i].n_tokens = c.n_compared;
        rows[i].bytes_per_token =
            (double)kern_kv_layout_of(&t->model.info.kv_format, t->model.info.n_kv_heads, 4096).total_bytes * t->model.info.n_layers / 4096;
    }
    free_trials(&c);
    return status;
}
