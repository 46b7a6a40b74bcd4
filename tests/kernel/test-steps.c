/* test-steps.c: RMS norm, SwiGLU and rotary tables against plain loops in double precision. */
#include "support.h"

#include <math.h>

static void for_each_isa(void (*check)(kern_context *context))
{
    const char *names[4];
    size_t n = kern_isa_available(names);
    kern_context *context = test_context(3);
    for (size_t i = 0; i < n; i++) {
        assert_true(kern_isa_force(names[i]));
        check(context);
    }
    kern_context_free(context);
}

/* silu of large negative numbers may underflow early: 1e-35 is nothing beside any activation. */
static void check_close(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance * fabs(expected) + 1e-35)) fail_msg("%s: %.9g is not %.9g", kern_isa_name(), got, expected);
}

static void check_rms_norm(kern_context *context)
{
    static const size_t cols[] = {1, 7, 8, 15, 16, 17, 128, 513}, rows[] = {1, 3, 200};
    uint64_t seed = 4;
    for (size_t i = 0; i < 8 * 3; i++) {
        size_t n_cols = cols[i / 3], n_rows = rows[i % 3];
        float *x = test_random_floats(&seed, n_rows * n_cols), *weight = test_random_floats(&seed, n_cols);
        float *out = test_alloc(n_rows * n_cols * sizeof *out);
        for (size_t c = 0; c < n_cols; c++) x[c] *= i % 2 ? 1e18f : 1e-18f; /* squares beyond the range of float; eps decides */
        if (n_rows > 1) memset(x + n_cols, 0, n_cols * sizeof *x);
        kern_rms_norm(context, x, weight, 1e-6f, n_rows, n_cols, out);
        for (size_t r = 0; r < n_rows; r++) {
            double sum = 0;
            for (size_t c = 0; c < n_cols; c++) sum += (double)x[r * n_cols + c] * (double)x[r * n_cols + c];
            double factor = 1 / sqrt(sum / (double)n_cols + (double)1e-6f);
            for (size_t c = 0; c < n_cols; c++) check_close(out[r * n_cols + c], x[r * n_cols + c] * factor * (double)weight[c], 4e-7);
        }
        kern_rms_norm(context, x, weight, 1e-6f, n_rows, n_cols, x); /* in place */
        assert_memory_equal(x, out, n_rows * n_cols * sizeof *x);
        free(x);
        free(weight);
        free(out);
    }
}

static void test_rms_norm(void **state)
{
    for_each_isa(check_rms_norm);
}

static void check_swiglu(kern_context *context)
{
    static const size_t counts[][2] = {{1, 1}, {1, 9}, {3, 17}, {2, 1536}, {40, 1021}};
    uint64_t seed = 6;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t n = counts[i][0] * counts[i][1];
        float *gate = test_random_floats(&seed, n), *up = test_random_floats(&seed, n), *before = test_alloc(n * sizeof *before);
        for (size_t j = 0; j < n; j++) gate[j] *= j % 3 == 0 ? 1 : j % 3 == 1 ? 20 : 200;
        memcpy(before, gate, n * sizeof *gate);
        kern_swiglu(context, gate, up, counts[i][0], counts[i][1]);
        for (size_t j = 0; j < n; j++) check_close(gate[j], before[j] / (1 + exp(-(double)before[j])) * (double)up[j], 1e-6);
        free(gate);
        free(up);
        free(before);
    }
    float gate[4] = {0, NAN, 1e30f, -80}, up[4] = {1, 1, 2, 1};
    kern_swiglu(context, gate, up, 1, 4);
    assert_true(gate[0] == 0);
    assert_true(isnan(gate[1]));
    assert_true(gate[2] == 2e30f);
    check_close(gate[3], -80 / (1 + exp(80)), 1e-6);
}

static void test_swiglu(void **state)
{
    for_each_isa(check_swiglu);
}

/* A value's bits depend neither on its place in a row nor on the number of threads. */
static void check_same_bits(kern_context *context)
{
    enum { N = 40000 };
    uint64_t seed = 7;
    float *gate = test_random_floats(&seed, N), *up = test_random_floats(&seed, N), *piece = test_alloc(N * sizeof *piece);
    memcpy(piece, gate, N * sizeof *gate);
    for (size_t at = 0, n = 1; at < N; at += n, n = n % 37 + 1) {
        if (n > N - at) n = N - at;
        kern_swiglu(context, piece + at, up + at, 1, n);
    }
    kern_swiglu(context, gate, up, 1, N);
    assert_memory_equal(gate, piece, N * sizeof *gate);
    free(gate);
    free(up);
    free(piece);
}

static void test_same_bits(void **state)
{
    for_each_isa(check_same_bits);
}

static void test_rope_fill(void **state)
{
    enum { D = 16, N = 5 };
    double inv_freq[D / 2];
    float cosines[N * D / 2], sines[N * D / 2];
    for (size_t i = 0; i < D / 2; i++) inv_freq[i] = pow(1e6, -2.0 * (double)i / D);
    kern_rope_fill(inv_freq, D, 1.25, 131070, N, cosines, sines);
    for (size_t row = 0; row < N; row++) {
        for (size_t i = 0; i < D / 2; i++) {
            double angle = inv_freq[i] * (131070.0 + (double)row);
            assert_true(cosines[row * D / 2 + i] == (float)(cos(angle) * 1.25));
            assert_true(sines[row * D / 2 + i] == (float)(sin(angle) * 1.25));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rms_norm),
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_rope_fill),
    };
    return cmocka_run_group_tests_name("steps", tests, NULL, NULL);
}
