/* cli-bench-attend.c: attention alone, for `lectern bench`: by depth and by length, beside dense attention as a control.
 *
 * Owns: synthetic caches (peaked: 1% of the keys hold 99% of the mass), one layer's attention over them.
 * Does not own: whole models, probes, how figures are shown (cli-bench.c).
 *
 * Figures are microseconds of one layer; "all layers" is the model's number of layers times the median.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <glib.h>

#include "cli-bench.h"
#include "kern-probe.h"

enum { SECTION = 2048, RUNS_MAX = 64, TABLE_BYTES = 128, LARGE_PAGE_BYTES = 2 << 20 };
static const size_t CACHE_BYTES_MAX = (size_t)768 << 20;

static double now_us(void) { return (double)g_get_monotonic_time(); }

static float noise(uint32_t *state)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 1664525u + 1013904223u;
        sum += (float)(*state >> 8) / 8388608.0f - 1.0f;
    }
    return sum * 0.87f; /* standard deviation 1 */
}

/* In large pages, as a cache whose checksums were verified comes to be mapped. */
static void *alloc_aligned(size_t bytes)
{
    size_t all = (bytes + LARGE_PAGE_BYTES) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
    void *p = aligned_alloc(LARGE_PAGE_BYTES, all);
    if (!p) g_error("not enough memory for the benchmark");
    madvise(p, all, MADV_HUGEPAGE);
    return p;
}

/* A model's geometry and what is attended to. */
typedef struct AttendBench {
    CliBench *bench;
    kern_context *context;
    kern_kv_format format;
    size_t n_heads, n_kv_heads, n_layers;
    float *q; /* [n_heads * d], the direction that peaked keys have */
    kern_queries queries;
} AttendBench;

static void encode_queries(AttendBench *b, size_t n, float factor, bool same)
{
    size_t width = b->n_heads * b->format.d;
    float *q = alloc_aligned(n * width * sizeof *q);
    uint32_t state = 11;
    for (size_t i = 0; i < n; i++)
        for (size_t f = 0; f < width; f++) q[i * width + f] = factor * (same ? b->q[f] : noise(&state));
    kern_encode_params params = {.format = &b->format, .n_heads = b->n_heads};
    b->queries.table = alloc_aligned(n * b->n_heads * TABLE_BYTES);
    b->queries.scale = alloc_aligned(n * b->n_heads * sizeof(float));
    b->queries.dense = NULL;
    kern_encode_queries(b->context, &params, q, width, n, &b->queries);
    free(q);
}

static void free_queries(AttendBench *b)
{
    free(b->queries.table);
    free(b->queries.scale);
}

/* The heads of a group look for the same keys: one in a hundred, at a score about 11 above the others. */
static void make_section(const AttendBench *b, void *data, size_t n_tokens)
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

static void attend_init(AttendBench *b, CliBench *bench, unsigned n_threads, const kern_kv_format *format, size_t n_heads, size_t n_kv_heads,
                        size_t n_layers)
{
    *b = (AttendBench){.bench = bench, .format = *format, .n_heads = n_heads, .n_kv_heads = n_kv_heads, .n_layers = n_layers};
    if (kern_context_new(n_threads, true, &b->context) != KERN_OK) g_error("not enough memory for the benchmark");
    size_t group = n_heads / n_kv_heads, d = format->d;
    b->q = alloc_aligned(n_heads * d * sizeof *b->q);
    uint32_t state = 3;
    for (size_t h = 0; h < n_heads; h++)
        for (size_t f = 0; f < d; f++) b->q[h * d + f] = h % group ? b->q[(h - 1) * d + f] + 0.2f * noise(&state) : noise(&state);
}

static void attend_free(AttendBench *b)
{
    free(b->q);
    kern_context_free(b->context);
}

/* Layers whose caches are used in turn, so that nothing is left in the processor's from one run to the next. */
static size_t n_layers_of(const AttendBench *b, size_t layer_bytes)
{
    return MAX(MIN(CACHE_BYTES_MAX / layer_bytes, b->n_layers), 1);
}

static size_t n_runs_of(size_t n_layers) { return MIN(MAX(2 * n_layers, 12), RUNS_MAX); }

/* One token's (or a question's) attention over `depth` cached tokens. */
static void run_decode(AttendBench *b, size_t depth, size_t n_queries, float factor, float drop_mass, const char *name)
{
    size_t n_blocks = (depth + SECTION - 1) / SECTION, tokens = MIN(depth, SECTION);
    kern_kv_layout layout = kern_kv_layout_of(&b->format, b->n_kv_heads, tokens);
    size_t layer_bytes = layout.total_bytes * n_blocks, n_layers = n_layers_of(b, layer_bytes);
    uint8_t *cache = alloc_aligned(n_layers * layer_bytes);
    make_section(b, cache, tokens);
    for (size_t i = 1; i < n_layers * n_blocks; i++) memcpy(cache + i * layout.total_bytes, cache, layout.total_bytes);
    encode_queries(b, n_queries, factor, true);
    kern_kv_block *blocks = g_new0(kern_kv_block, n_blocks);
    float *out = alloc_aligned(n_queries * b->n_heads * b->format.d * sizeof *out);
    kern_attend_params params = {.format = &b->format, .n_heads = b->n_heads, .n_kv_heads = b->n_kv_heads, .drop_mass = drop_mass};
    kern_attend_job job = {0};
    double times[RUNS_MAX];
    size_t n_runs = n_runs_of(n_layers);
    for (size_t run = 0; run < n_runs; run++) {
        for (size_t i = 0; i < n_blocks; i++)
            blocks[i] = (kern_kv_block){.data = cache + (run % n_layers * n_blocks + i) * layout.total_bytes, .n_tokens = (uint32_t)tokens,
                                        .capacity = (uint32_t)tokens};
        job = (kern_attend_job){.queries = &b->queries, .n_queries = n_queries, .blocks = blocks, .n_blocks = n_blocks, .out = out,
                                .out_stride = b->n_heads * b->format.d};
        double start = now_us();
        if (kern_attend(b->context, &params, &job, 1) != KERN_OK) g_error("the attention of the benchmark failed");
        times[run] = now_us() - start;
    }
    double read = (double)job.ret_rows_read / (double)job.ret_rows, median = cli_bench_median(times, n_runs);
    double bytes = (double)(b->n_kv_heads * n_blocks) * ((double)layout.key_head_bytes + read * (double)(layout.row_head_bytes + layout.scale_head_bytes));
    g_autofree char *beside = g_strdup_printf("all layers %.1f ms; %.1f GB/s, %.1f%% of the value rows read, dropped mass at most %.1e",
                                              median * (double)b->n_layers * 1e-3, bytes / median * 1e-3, 100 * read,
                                              job.ret_dropped_mass_max);
    cli_bench_report(b->bench, name, "us", times, n_runs, beside);
    free_queries(b);
    g_free(blocks);
    free(out);
    free(cache);
}

/* The same with dense keys and values of 16 bits, in the plain way. */
static void run_dense16(AttendBench *b, size_t depth, const char *name)
{
    size_t row = b->format.d, head_elements = depth * row, layer_elements = 2 * b->n_kv_heads * head_elements;
    size_t n_layers = n_layers_of(b, layer_elements * sizeof(uint16_t)), n_runs = n_runs_of(n_layers);
    uint16_t *cache = alloc_aligned(n_layers * layer_elements * sizeof *cache);
    for (size_t i = 0; i < layer_elements; i++) cache[i] = (uint16_t)(0x3e00 | (i * 2654435761u >> 16 & 0x80ff)); /* about +-0.2 */
    for (size_t l = 1; l < n_layers; l++) memcpy(cache + l * layer_elements, cache, layer_elements * sizeof *cache);
    float *out = alloc_aligned(b->n_heads * row * sizeof *out);
    double times[RUNS_MAX];
    bool done = true;
    for (size_t run = 0; run < n_runs && done; run++) {
        const uint16_t *layer = cache + run % n_layers * layer_elements;
        double start = now_us();
        done = kern_probe_dense16(b->context, b->n_heads, b->n_kv_heads, row, layer, layer + layer_elements / 2, depth, b->q, out);
        times[run] = now_us() - start;
    }
    double median = cli_bench_median(times, n_runs);
    g_autofree char *beside = g_strdup_printf("all layers %.1f ms; %.1f GB/s", median * (double)b->n_layers * 1e-3,
                                              (double)(layer_elements * sizeof *cache) / median * 1e-3);
    if (done) cli_bench_report(b->bench, name, "us", times, n_runs, beside);
    free(cache);
    free(out);
}

/* A section that attends to itself; microseconds a token. */
static void run_prefill(AttendBench *b, size_t length, const char *name)
{
    enum { N_RUNS = 5 };
    kern_kv_layout layout = kern_kv_layout_of(&b->format, b->n_kv_heads, length);
    uint8_t *data = alloc_aligned(layout.total_bytes);
    make_section(b, data, length);
    encode_queries(b, length, 1, false);
    size_t width = b->n_heads * b->format.d;
    float *out = alloc_aligned(length * width * sizeof *out);
    kern_attend_params params = {.format = &b->format, .n_heads = b->n_heads, .n_kv_heads = b->n_kv_heads};
    double times[N_RUNS];
    for (size_t run = 0; run < N_RUNS; run++) {
        kern_attend_job job = {.queries = &b->queries, .n_queries = length, .out = out, .out_stride = width,
                               .own = {.data = data, .n_tokens = (uint32_t)length, .capacity = (uint32_t)length}};
        double start = now_us();
        if (kern_attend(b->context, &params, &job, 1) != KERN_OK) g_error("the attention of the benchmark failed");
        times[run] = (now_us() - start) / (double)length;
    }
    cli_bench_report(b->bench, name, "us/tok", times, N_RUNS, "one layer");
    free_queries(b);
    free(out);
    free(data);
}

static const kern_kv_format QWEN = {.d = 128, .k_key = 16, .k_query = 16, .value_group = 32, .value_type = KERN_VALUE_Q8};
static const kern_kv_format QWEN_DENSE = {.d = 128, .k_key = 128, .k_query = 128, .value_group = 32, .value_type = KERN_VALUE_Q8};
static const kern_kv_format GPT2 = {.d = 64, .k_key = 8, .k_query = 8, .value_group = 32, .value_type = KERN_VALUE_Q8};
static const kern_kv_format GPT2_DENSE = {.d = 64, .k_key = 64, .k_query = 64, .value_group = 32, .value_type = KERN_VALUE_Q8};

typedef struct Geometry {
    const char *name;
    size_t n_heads, n_kv_heads, n_layers;
    const kern_kv_format *sparse, *dense;
    float sharpness; /* of queries: 1% of the keys hold 99% of the mass */
    const size_t *depths;
    size_t n_depths;
} Geometry;

static void bench_geometry(CliBench *bench, unsigned n_threads, const Geometry *geometry)
{
    for (size_t i = 0; i < geometry->n_depths; i++) {
        size_t depth = geometry->depths[i];
        AttendBench b;
        char name[64];
#define NAMED(what) (g_snprintf(name, sizeof name, "attend_%s_%zuk_%s_us", geometry->name, depth / 1024, what), name)
        attend_init(&b, bench, n_threads, geometry->sparse, geometry->n_heads, geometry->n_kv_heads, geometry->n_layers);
        run_decode(&b, depth, 1, geometry->sharpness, 1e-3f, NAMED("sparse"));
        run_decode(&b, depth, 1, geometry->sharpness, 0, NAMED("sparse_exact"));
        run_dense16(&b, depth, NAMED("dense16"));
        attend_free(&b);
        attend_init(&b, bench, n_threads, geometry->dense, geometry->n_heads, geometry->n_kv_heads, geometry->n_layers);
        run_decode(&b, depth, 1, 0.5f, 0, NAMED("dense8"));
        attend_free(&b);
#undef NAMED
    }
}

static void bench_prefills(CliBench *bench, unsigned n_threads, const Geometry *geometry, const size_t *lengths, size_t n_lengths)
{
    for (size_t i = 0; i < n_lengths; i++)
        for (size_t dense = 0; dense < 2; dense++) {
            AttendBench b;
            char name[64];
            g_snprintf(name, sizeof name, "attend_%s_%zuk_prefill_%s", geometry->name, lengths[i] / 1024, dense ? "dense8" : "sparse");
            attend_init(&b, bench, n_threads, dense ? geometry->dense : geometry->sparse, geometry->n_heads, geometry->n_kv_heads,
                        geometry->n_layers);
            run_prefill(&b, lengths[i], name);
            attend_free(&b);
        }
}

void cli_bench_attend(CliBench *bench, unsigned n_threads, bool gpt2)
{
    static const size_t qwen_depths[] = {8192, 32768, 131072}, gpt2_depths[] = {1024, 4096, 16384, 65536};
    static const size_t qwen_lengths[] = {2048, 8192}, gpt2_lengths[] = {1024, 4096, 16384};
    const Geometry qwen_geometry = {"qwen", 16, 8, 28, &QWEN, &QWEN_DENSE, 2.5f, qwen_depths, G_N_ELEMENTS(qwen_depths)};
    const Geometry gpt2_geometry = {"gpt2", 12, 12, 12, &GPT2, &GPT2_DENSE, 4, gpt2_depths, G_N_ELEMENTS(gpt2_depths)};
    bench_geometry(bench, n_threads, gpt2 ? &gpt2_geometry : &qwen_geometry);
    if (gpt2) bench_prefills(bench, n_threads, &gpt2_geometry, gpt2_lengths, G_N_ELEMENTS(gpt2_lengths));
    if (gpt2) return;
    bench_prefills(bench, n_threads, &qwen_geometry, qwen_lengths, G_N_ELEMENTS(qwen_lengths));
    AttendBench b;
    attend_init(&b, bench, n_threads, &QWEN, 16, 8, 28);
    run_decode(&b, 8192, 40, 2.5f, 1e-3f, "attend_qwen_8k_question_us");
    attend_free(&b);
}
