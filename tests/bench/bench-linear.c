/* bench-linear.c: products with packed weights beside the limits of the machine, in one run.
 *
 * Owns: the figures of kern_matmul at the shapes of Qwen3-0.6B and of the starter model: many rows, few rows, one row.
 * Does not own: attention, whole models (`lectern bench`).
 *
 * Every figure is a median with the smallest and largest of the repetitions behind it. Products of few rows walk through
 * copies of the weight that are larger together than the caches, as layers of a model do.
 */
#include "kern-probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPETITIONS = 9, MANY_ROWS = 2048 };
static const size_t WALK_BYTES = (size_t)192 << 20;

typedef struct shape {
    const char *model;
    size_t n_out, n_in;
} shape;

static const shape shapes[] = {
    {"0.6B q", 2048, 1024},          {"0.6B k, v", 1024, 1024},   {"0.6B o", 1024, 2048},     {"0.6B gate, up", 3072, 1024},
    {"0.6B down", 1024, 3072},       {"starter q", 1024, 512},    {"starter k, v", 256, 512}, {"starter o", 512, 1024},
    {"starter gate, up", 1536, 512}, {"starter down", 512, 1536},
};
static const shape streams[] = {
    {"0.6B logits", 151936, 1024}, {"0.6B gate, up", 3072, 1024}, {"0.6B down", 1024, 3072}, {"starter gate, up", 1536, 512}};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *alloc_filled(size_t bytes, int byte)
{
    void *data = aligned_alloc(2 << 20, (bytes + (2 << 20)) >> 21 << 21);
    if (!data) {
        fprintf(stderr, "bench-linear: not enough memory\n");
        exit(1);
    }
    memset(data, byte, bytes);
    return data;
}

static float *alloc_rows(size_t n)
{
    float *x = alloc_filled(n * sizeof *x, 0);
    for (size_t i = 0; i < n; i++) x[i] = (float)((i * 2654435761u >> 8 & 0xffff)) / 32768.0f - 1.0f;
    return x;
}

/* Seconds of each repetition, sorted, of one product over each of n_copies weights. */
static void time_products(kern_context *context, kern_weight_type type, const shape *s, size_t n_rows, size_t n_copies,
                          double ret_s[REPETITIONS])
{
    size_t data_bytes = kern_weight_data_bytes(type, s->n_out, s->n_in), scale_bytes = kern_weight_scales_bytes(type, s->n_out, s->n_in);
    uint8_t *data = alloc_filled(data_bytes * n_copies, 1), *scales = alloc_filled(scale_bytes * n_copies, 0);
    float *x = alloc_rows(n_rows * s->n_in), *y = alloc_filled(n_rows * s->n_out * sizeof *y, 0);
    for (int r = -1; r < REPETITIONS; r++) { /* the first only warms up */
        double start = now_s();
        for (size_t copy = 0; copy < n_copies; copy++) {
            kern_weight weight = {.type = type, .n_out = s->n_out, .n_in = s->n_in, .data = data + copy * data_bytes};
            weight.scales = scale_bytes > 0 ? scales + copy * scale_bytes : NULL;
            kern_matmul_job job = {.weight = &weight, .out = y, .out_stride = s->n_out};
            kern_matmul(context, x, s->n_in, n_rows, &job, 1);
        }
        if (r >= 0) ret_s[r] = now_s() - start;
    }
    qsort(ret_s, REPETITIONS, sizeof *ret_s, compare_doubles);
    free(data);
    free(scales);
    free(x);
    free(y);
}

static const char *type_name(kern_weight_type type)
{
    return type == KERN_W_Q8 ? "Q8" : type == KERN_W_Q4 ? "Q4" : type == KERN_W_BF16 ? "BF16" : "F32";
}

static void bench_many_rows(kern_context *context, kern_weight_type type, double limit_ops)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double s[REPETITIONS], ops = 2.0 * MANY_ROWS * (double)shapes[i].n_out * (double)shapes[i].n_in;
        time_products(context, type, &shapes[i], MANY_ROWS, 1, s);
        double rate = ops / s[REPETITIONS / 2];
        printf("%-4s %5d rows  %-17s %6zu x %4zu  %7.1f GOP/s (%.1f .. %.1f)  %3.0f%% of the 8-bit probe\n", type_name(type), MANY_ROWS,
               shapes[i].model, shapes[i].n_out, shapes[i].n_in, rate * 1e-9, ops / s[REPETITIONS - 1] * 1e-9, ops / s[0] * 1e-9,
               100 * rate / limit_ops);
    }
}

static void bench_streams(kern_context *context, kern_weight_type type, size_t n_rows, double limit_bytes)
{
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        const shape *w = &streams[i];
        size_t weight_bytes = kern_weight_data_bytes(type, w->n_out, w->n_in) + kern_weight_scales_bytes(type, w->n_out, w->n_in);
        size_t n_copies = (WALK_BYTES + weight_bytes - 1) / weight_bytes;
        double s[REPETITIONS], bytes = (double)(weight_bytes * n_copies), ops = 2.0 * (double)(n_rows * n_copies * w->n_out * w->n_in);
        time_products(context, type, w, n_rows, n_copies, s);
        double rate = bytes / s[REPETITIONS / 2];
        printf("%-4s %5zu rows  %-17s %6zu x %4zu  %7.1f GB/s (%.1f .. %.1f)  %3.0f%% of the read probe, %.1f GOP/s\n", type_name(type),
               n_rows, w->model, w->n_out, w->n_in, rate * 1e-9, bytes / s[REPETITIONS - 1] * 1e-9, bytes / s[0] * 1e-9,
               100 * rate / limit_bytes, ops / s[REPETITIONS / 2] * 1e-9);
    }
}

int main(int argc, char **argv)
{
    kern_context *context = NULL;
    if (kern_context_new(argc > 1 ? (unsigned)atoi(argv[1]) : 0, true, &context) != KERN_OK) return 1;
    double read_rate = kern_probe_read_bytes_s(context), dot_rate = kern_probe_dot8_ops_s(context);
    printf("%s, %u threads; probes: read %.1f GB/s, 8-bit %.1f GOP/s\n", kern_isa_name(), kern_pool_n_threads(kern_context_pool(context)),
           read_rate * 1e-9, dot_rate * 1e-9);
    bench_many_rows(context, KERN_W_Q8, dot_rate);
    bench_many_rows(context, KERN_W_Q4, dot_rate);
    bench_many_rows(context, KERN_W_BF16, dot_rate);
    static const size_t few[] = {1, 2, 8, 32};
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) bench_streams(context, KERN_W_Q8, few[i], read_rate);
    bench_streams(context, KERN_W_Q4, 1, read_rate);
    bench_streams(context, KERN_W_BF16, 1, read_rate);
    printf("probes again: read %.1f GB/s, 8-bit %.1f GOP/s\n", kern_probe_read_bytes_s(context) * 1e-9,
           kern_probe_dot8_ops_s(context) * 1e-9);
    kern_context_free(context);
    return 0;
}
