/* bench-attend.c: attention by depth and by length, beside the machine's limits and dense attention.
 *
 * Owns: synthetic caches (peaked: 1% of the keys hold 99% of the mass; flat), timing, the table that is printed.
 * Does not own: whole models (`lectern bench`).
 *
 * Usage: bench-attend [decode|prefill|gpt2|question] [threads] [depth or length]. Figures are medians of repeated runs with the
 * lowest and highest, in microseconds for one layer unless said otherwise; "all layers" is 28 times the median.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "kern-probe.h"
#include "kern.h"

enum { SECTION = 2048, LAYERS = 28, RUNS_MAX = 64 };
static const size_t CACHE_BYTES_MAX = (size_t)768 << 20;

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static float noise(uint32_t *state)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 1664525u + 1013904223u;
        sum += (float)(*state >> 8) / 8388608.0f - 1.0f;
    }
    return sum * 0.87f; /* standard deviation 1 */
}

static void *alloc_aligned(size_t bytes)
{
    void *p = aligned_alloc(2 << 20, (bytes + (2 << 20)) / (2 << 20) * (2 << 20));
    if (!p) {
        fprintf(stderr, "not enough memory\n");
        exit(1);
    }
    return p;
}

typedef struct figure {
    double median, low, high;
} figure;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static figure summarize(double *times, size_t n)
{
    qsort(times, n, sizeof *times, by_value);
    return (figure){.median = times[n / 2], .low = times[0], .high = times[n - 1]};
}

/* A model's geometry and what is attended to. */
typedef struct bench {
    kern_context *context;
    kern_kv_format format;
    size_t n_heads, n_kv_heads;
    float *q;    /* [n_heads * d], the direction that peaked keys have */
    kern_queries queries;
} bench;

static void encode_queries(bench *b, size_t n, float factor, bool same)
{
    size_t width = b->n_heads * b->format.d;
    float *q = alloc_aligned(n * width * sizeof *q);
    uint32_t state = 11;
    for (size_t i = 0; i < n; i++)
        for (size_t f = 0; f < width; f++) q[i * width + f] = factor * (same ? b->q[f] : noise(&state));
    kern_encode_params params = {.format = &b->format, .n_heads = b->n_heads};
    b->queries.table = alloc_aligned(n * b->n_heads * 128);
    b->queries.scale = alloc_aligned(n * b->n_heads * sizeof(float));
    b->queries.dense = NULL;
    kern_encode_queries(b->context, &params, q, width, n, &b->queries);
    free(q);
}

static void free_queries(bench *b)
{
    free(b->queries.table);
    free(b->queries.scale);
}

/* The heads of a group look for the same keys: one in a hundred, at a score about 11 above the others. */
static void make_section(const bench *b, void *data, size_t n_tokens)
{
    size_t d = b->format.d, width = b->n_kv_heads * d, group = b->n_heads / b->n_kv_heads;
    float *k = alloc_aligned(n_tokens * width * sizeof *k), *v = alloc_aligned(n_tokens * width * sizeof *v);
    uint32_t state = 5;
    for (size_t t = 0; t < n_tokens; t++)
        for (size_t h = 0; h < b->n_kv_heads; h++) {
            bool hot = fabsf(noise(&state)) > 2.57f;
            for (size_t f = 0; f < d; f++) {
                k[t * width + h * d + f] = noise(&state) + (hot ? 1.5f * b->q[h * group * d + f] : 0);
                v[t * width + h * d + f] = noise(&state);
            }
        }
    kern_encode_params params = {.format = &b->format, .n_heads = b->n_kv_heads};
    kern_encode_keys_values(b->context, &params, k, width, v, width, n_tokens, data, n_tokens, 0);
    free(k);
    free(v);
}

static void bench_init(bench *b, size_t n_threads, const kern_kv_format *format, size_t n_heads, size_t n_kv_heads)
{
    *b = (bench){.format = *format, .n_heads = n_heads, .n_kv_heads = n_kv_heads};
    if (kern_context_new((unsigned)n_threads, true, &b->context) != KERN_OK) exit(1);
    size_t group = n_heads / n_kv_heads, d = format->d;
    b->q = alloc_aligned(n_heads * d * sizeof *b->q);
    uint32_t state = 3;
    for (size_t h = 0; h < n_heads; h++)
        for (size_t f = 0; f < d; f++) b->q[h * d + f] = h % group ? b->q[(h - 1) * d + f] + 0.2f * noise(&state) : noise(&state);
}

static void bench_free(bench *b)
{
    free(b->q);
    kern_context_free(b->context);
}

/* One token's (or a question's) attention over `depth` cached tokens: several layers' worth of memory in turn, so that nothing is left
 * in the caches from one run to the next. */
static void run_decode(bench *b, size_t depth, size_t n_queries, float factor, float drop_mass, const char *label)
{
    size_t n_blocks = (depth + SECTION - 1) / SECTION, tokens = depth < SECTION ? depth : SECTION;
    kern_kv_layout layout = kern_kv_layout_of(&b->format, b->n_kv_heads, tokens);
    size_t layer_bytes = layout.total_bytes * n_blocks, layers = CACHE_BYTES_MAX / layer_bytes;
    layers = layers < 1 ? 1 : layers > LAYERS ? LAYERS : layers;
    uint8_t *cache = alloc_aligned(layers * layer_bytes);
    make_section(b, cache, tokens);
    for (size_t i = 1; i < layers * n_blocks; i++) memcpy(cache + i * layout.total_bytes, cache, layout.total_bytes);
    encode_queries(b, n_queries, factor, true);
    kern_kv_block *blocks = calloc(n_blocks, sizeof *blocks);
    float *out = alloc_aligned(n_queries * b->n_heads * b->format.d * sizeof *out);
    kern_attend_params params = {.format = &b->format, .n_heads = b->n_heads, .n_kv_heads = b->n_kv_heads, .drop_mass = drop_mass};
    kern_attend_job job = {0};
    double times[RUNS_MAX];
    size_t runs = 2 * layers < 12 ? 12 : 2 * layers < RUNS_MAX ? 2 * layers : RUNS_MAX;
    for (size_t run = 0; run < runs; run++) {
        for (size_t i = 0; i < n_blocks; i++)
            blocks[i] = (kern_kv_block){.data = cache + (run % layers * n_blocks + i) * layout.total_bytes, .n_tokens = (uint32_t)tokens,
                                        .capacity = (uint32_t)tokens};
        job = (kern_attend_job){.queries = &b->queries, .n_queries = n_queries, .blocks = blocks, .n_blocks = n_blocks, .out = out,
                                .out_stride = b->n_heads * b->format.d};
        double start = now_us();
        if (kern_attend(b->context, &params, &job, 1) != KERN_OK) exit(1);
        times[run] = now_us() - start;
    }
    figure f = summarize(times, runs);
    double read = (double)job.ret_rows_read / (double)job.ret_rows;
    double bytes = (double)layout.key_head_bytes * (double)(b->n_kv_heads * n_blocks) +
                   read * (double)(layout.row_head_bytes + layout.scale_head_bytes) * (double)(b->n_kv_heads * n_blocks);
    printf("%-28s %7zu tokens: %9.0f us (%.0f .. %.0f), all layers %8.2f ms, %5.1f GB/s, rows read %5.1f%%, dropped %.1e\n", label, depth, f.median,
           f.low, f.high, f.median * LAYERS * 1e-3, bytes / f.median * 1e-3, 100 * read, job.ret_dropped_mass_max);
    free_queries(b);
    free(blocks);
    free(out);
    free(cache);
}

/* Sections that attend to themselves. */
static void run_prefill(bench *b, size_t length, size_t n_jobs, const char *label)
{
    enum { JOBS_MAX = 8 };
    kern_kv_layout layout = kern_kv_layout_of(&b->format, b->n_kv_heads, length);
    uint8_t *data = alloc_aligned(layout.total_bytes);
    make_section(b, data, length);
    encode_queries(b, length, 1, false);
    size_t width = b->n_heads * b->format.d;
    float *out = alloc_aligned(n_jobs * length * width * sizeof *out);
    kern_attend_params params = {.format = &b->format, .n_heads = b->n_heads, .n_kv_heads = b->n_kv_heads};
    double times[5];
    for (size_t run = 0; run < 5; run++) {
        kern_attend_job jobs[JOBS_MAX] = {0};
        for (size_t j = 0; j < n_jobs; j++)
            jobs[j] = (kern_attend_job){.queries = &b->queries, .n_queries = length,
                                        .own = {.data = data, .n_tokens = (uint32_t)length, .capacity = (uint32_t)length},
                                        .out = out + j * length * width, .out_stride = width};
        double start = now_us();
        if (kern_attend(b->context, &params, jobs, n_jobs) != KERN_OK) exit(1);
        times[run] = now_us() - start;
    }
    figure f = summarize(times, 5);
    double tokens = (double)(length * n_jobs), pairs = (double)b->n_heads * (double)length * (double)(length + 1) / 2 * (double)n_jobs;
    double threads = kern_pool_n_threads(kern_context_pool(b->context));
    printf("%-28s %7zu tokens x %zu: %9.0f us (%.0f .. %.0f), all layers %.3f ms a token, %.3f ns a pair and thread\n", label, length, n_jobs,
           f.median, f.low, f.high, f.median * LAYERS * 1e-3 / tokens, f.median * 1e3 * threads / pairs);
    free_queries(b);
    free(out);
    free(data);
}

static const kern_kv_format QWEN = {.d = 128, .k_key = 16, .k_query = 16, .value_group = 32, .value_type = KERN_VALUE_Q8};
static const kern_kv_format QWEN_Q4 = {.d = 128, .k_key = 16, .k_query = 16, .value_group = 32, .value_type = KERN_VALUE_Q4};
static const kern_kv_format QWEN_DENSE = {.d = 128, .k_key = 128, .k_query = 128, .value_group = 32, .value_type = KERN_VALUE_Q8};
static const kern_kv_format GPT2 = {.d = 64, .k_key = 8, .k_query = 8, .value_group = 32, .value_type = KERN_VALUE_Q8};
static const kern_kv_format GPT2_DENSE = {.d = 64, .k_key = 64, .k_query = 64, .value_group = 32, .value_type = KERN_VALUE_Q8};

static void bench_decode(size_t threads, size_t only)
{
    const size_t depths[] = {8192, 32768, 131072};
    bench b;
    for (size_t i = 0; i < 3; i++) {
        if (only && only != depths[i]) continue;
        bench_init(&b, threads, &QWEN, 16, 8);
        run_decode(&b, depths[i], 1, 2.5f, 1e-2f, "decode peaked, drop 1e-2");
        run_decode(&b, depths[i], 1, 2.5f, 1e-3f, "decode peaked, drop 1e-3");
        run_decode(&b, depths[i], 1, 2.5f, 0, "decode peaked, exact");
        run_decode(&b, depths[i], 1, 0.01f, 1e-3f, "decode flat, drop 1e-3");
        bench_free(&b);
        bench_init(&b, threads, &QWEN_Q4, 16, 8);
        run_decode(&b, depths[i], 1, 2.5f, 1e-3f, "decode peaked 4-bit, 1e-3");
        run_decode(&b, depths[i], 1, 0.01f, 1e-3f, "decode flat 4-bit, 1e-3");
        bench_free(&b);
        bench_init(&b, threads, &QWEN_DENSE, 16, 8);
        run_decode(&b, depths[i], 1, 0.5f, 0, "decode dense 8-bit (control)");
        bench_free(&b);
    }
}

static void bench_question(size_t threads, size_t only)
{
    const size_t depths[] = {8192, 32768, 131072};
    bench b;
    for (size_t i = 0; i < 3; i++) {
        if (only && only != depths[i]) continue;
        bench_init(&b, threads, &QWEN, 16, 8);
        run_decode(&b, depths[i], 40, 2.5f, 1e-3f, "40 tokens peaked, drop 1e-3");
        run_decode(&b, depths[i], 40, 2.5f, 0, "40 tokens peaked, exact");
        run_decode(&b, depths[i], 40, 0.01f, 1e-3f, "40 tokens flat, drop 1e-3");
        bench_free(&b);
    }
}

static void bench_prefill(size_t threads, size_t only)
{
    const size_t lengths[] = {256, 512, 1024, 2048};
    bench b;
    for (size_t i = 0; i < 4; i++) {
        if (only && only != lengths[i]) continue;
        bench_init(&b, threads, &QWEN, 16, 8);
        run_prefill(&b, lengths[i], 1, "prefill, 8-bit values");
        run_prefill(&b, lengths[i], 4, "prefill, 8-bit values");
        bench_free(&b);
        bench_init(&b, threads, &QWEN_Q4, 16, 8);
        run_prefill(&b, lengths[i], 1, "prefill, 4-bit values");
        bench_free(&b);
        bench_init(&b, threads, &QWEN_DENSE, 16, 8);
        run_prefill(&b, lengths[i], 1, "prefill dense 8-bit (control)");
        bench_free(&b);
    }
}

static void bench_gpt2(size_t threads, size_t only)
{
    const size_t lengths[] = {1024, 4096, 16384, 65536};
    bench b;
    for (size_t i = 0; i < 4; i++)
        for (int dense = 0; dense < 2; dense++) {
            if (only && only != lengths[i]) continue;
            bench_init(&b, threads, dense ? &GPT2_DENSE : &GPT2, 12, 12);
            run_decode(&b, lengths[i], 1, 2.5f, dense ? 0 : 1e-3f, dense ? "gpt2 decode dense" : "gpt2 decode sparse");
            if (lengths[i] <= 4096 || only) run_prefill(&b, lengths[i], 1, dense ? "gpt2 prefill dense" : "gpt2 prefill sparse");
            bench_free(&b);
        }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    size_t threads = argc > 2 ? (size_t)atol(argv[2]) : 2, only = argc > 3 ? (size_t)atol(argv[3]) : 0;
    bool all = strcmp(what, "all") == 0;
    kern_context *context;
    if (kern_context_new((unsigned)threads, true, &context) != KERN_OK) return 1;
    double load[3] = {0};
    if (getloadavg(load, 3) < 1) load[0] = -1;
    printf("%s, %zu threads; load %.1f; read probe %.1f GB/s, 8-bit probe %.0f GOP/s\n", kern_isa_name(), threads, load[0],
           kern_probe_read_bytes_s(context) * 1e-9, kern_probe_dot8_ops_s(context) * 1e-9);
    kern_context_free(context);
    if (all || strcmp(what, "decode") == 0) bench_decode(threads, only);
    if (all || strcmp(what, "question") == 0) bench_question(threads, only);
    if (all || strcmp(what, "prefill") == 0) bench_prefill(threads, only);
    if (all || strcmp(what, "gpt2") == 0) bench_gpt2(threads, only);
    return 0;
}
