/* test-matmul.c: products on every instruction set against plain loops in double precision, on odd sizes; the same bits for
 * any number of threads and any company of other rows. */
#include "support.h"

#include <math.h>
#include <stdio.h>

typedef struct matrix {
    kern_weight weight;
    void *data, *scales;
    float *rows; /* as kern_weight_row reads them: [n_out][n_in] */
} matrix;

static uint16_t bf16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static matrix matrix_new(kern_weight_type type, size_t n_out, size_t n_in, uint64_t *seed)
{
    float *source = test_random_floats(seed, n_out * n_in);
    matrix m = {.data = test_alloc(kern_weight_data_bytes(type, n_out, n_in)),
                .scales = test_alloc(kern_weight_scales_bytes(type, n_out, n_in))};
    if (type == KERN_W_F32) {
        memcpy(m.data, source, n_out * n_in * sizeof *source);
    } else if (type == KERN_W_BF16 || type == KERN_W_F16) {
        /* F16: any pattern of a moderate exponent will do. */
        for (size_t i = 0; i < n_out * n_in; i++) {
            ((uint16_t *)m.data)[i] = type == KERN_W_BF16 ? bf16_of(source[i]) : (uint16_t)((test_random(seed) & 0x8fff) | 0x2000);
        }
    } else {
        assert_int_equal(kern_weight_pack(type, m.data, m.scales, n_out, n_in, 0, n_out, KERN_W_F32, source), KERN_OK);
    }
    free(source);
    m.weight = (kern_weight){.type = type, .n_out = n_out, .n_in = n_in, .data = m.data, .scales = m.scales};
    m.rows = test_alloc(n_out * n_in * sizeof *m.rows);
    for (size_t r = 0; r < n_out; r++) kern_weight_row(&m.weight, r, m.rows + r * n_in);
    return m;
}

static void matrix_free(matrix *m)
{
    free(m->data);
    free(m->scales);
    free(m->rows);
}

static bool is_packed(kern_weight_type type)
{
    return type == KERN_W_Q8 || type == KERN_W_Q4;
}

/* Value c of a row of x as the product sees it: rounded to 8 bits within its group where weights are packed. */
static double seen(const float *x, size_t c, size_t n_in, bool packed)
{
    if (!packed) return (double)x[c];
    float max = 0;
    for (size_t i = c / 128 * 128; i < n_in && i < c / 128 * 128 + 128; i++) max = fmaxf(max, fabsf(x[i]));
    if (max == 0) return 0;
    return (double)(nearbyintf(x[c] * (127.0f / max)) * (double)(max / 127.0f));
}

/* y against the plain product; `before` is what an accumulating job found there, or NULL. */
static void check_product(const matrix *m, const float *x, size_t x_stride, size_t n_rows, const float *y, size_t y_stride,
                          const float *before)
{
    size_t n_in = m->weight.n_in, n_out = m->weight.n_out;
    double *row = test_alloc(n_in * sizeof *row);
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t c = 0; c < n_in; c++) row[c] = seen(x + r * x_stride, c, n_in, is_packed(m->weight.type));
        for (size_t o = 0; o < n_out; o++) {
            double sum = before ? (double)before[r * y_stride + o] : 0, size = fabs(sum);
            for (size_t c = 0; c < n_in; c++) {
                double part = row[c] * (double)m->rows[o * n_in + c];
                sum += part;
                size += fabs(part);
            }
            double error = fabs(sum - (double)y[r * y_stride + o]);
            if (!(error <= size * 1e-6 + 1e-30))
                fail_msg("%s type %d row %zu of %zu, out %zu of %zu, in %zu: %g is not %g", kern_isa_name(), m->weight.type, r, n_rows, o,
                         n_out, n_in, (double)y[r * y_stride + o], sum);
        }
    }
    free(row);
}

static void for_each_isa(void (*check)(kern_context *context), unsigned n_threads)
{
    const char *names[4];
    size_t n = kern_isa_available(names);
    kern_context *context = test_context(n_threads);
    for (size_t i = 0; i < n; i++) {
        assert_true(kern_isa_force(names[i]));
        check(context);
    }
    kern_context_free(context);
}

static void check_shapes(kern_context *context)
{
    static const size_t outs[] = {1, 15, 16, 17, 48, 100}, ins[] = {1, 4, 31, 128, 130, 384, 515};
    static const size_t rows[] = {1, 2, 3, 5, 12, 13, 29};
    uint64_t seed = 5;
    for (int type = KERN_W_F32; type <= KERN_W_Q4; type++) {
        for (size_t i = 0; i < 6 * 7; i++) {
            size_t n_out = outs[i % 6], n_in = ins[i / 6], n_rows = rows[(i + (size_t)type) % 7], x_stride = n_in + i % 3,
                   y_stride = n_out + i % 2;
            matrix m = matrix_new((kern_weight_type)type, n_out, n_in, &seed);
            float *x = test_random_floats(&seed, n_rows * x_stride), *y = test_random_floats(&seed, n_rows * y_stride);
            float *before = test_alloc(n_rows * y_stride * sizeof *before);
            memcpy(before, y, n_rows * y_stride * sizeof *y);
            kern_matmul_job job = {.weight = &m.weight, .out = y, .out_stride = y_stride, .accumulate = i % 4 == 3};
            assert_int_equal(kern_matmul(context, x, x_stride, n_rows, &job, 1), KERN_OK);
            check_product(&m, x, x_stride, n_rows, y, y_stride, job.accumulate ? before : NULL);
            for (size_t r = 0; r < n_rows && y_stride > n_out; r++) { /* the gap between rows is not touched */
                assert_true(y[r * y_stride + n_out] == before[r * y_stride + n_out]);
            }
            free(x);
            free(y);
            free(before);
            matrix_free(&m);
        }
    }
}

static void test_shapes(void **state)
{
    for_each_isa(check_shapes, 2);
}

/* Every number of rows of 1 .. 70: tiles, their remainders, several blocks of rows. Each row has the bits it has alone, and
 * the group sums of a weight change nothing. */
static void check_row_counts(kern_context *context)
{
    enum { OUT = 37, IN = 260, ROWS = 70 };
    uint64_t seed = 9;
    for (int type = KERN_W_F32; type <= KERN_W_Q4; type++) {
        matrix m = matrix_new((kern_weight_type)type, OUT, IN, &seed);
        int32_t *sums = test_alloc(kern_weight_group_sums_bytes(m.weight.type, OUT, IN));
        kern_weight_group_sums(&m.weight, sums);
        float *x = test_random_floats(&seed, ROWS * IN), *alone = test_alloc(ROWS * OUT * sizeof *alone),
              *y = test_alloc(ROWS * OUT * sizeof *y);
        kern_matmul_job job = {.weight = &m.weight, .out_stride = OUT};
        for (size_t r = 0; r < ROWS; r++) {
            job.out = alone + r * OUT;
            assert_int_equal(kern_matmul(context, x + r * IN, IN, 1, &job, 1), KERN_OK);
        }
        check_product(&m, x, IN, ROWS, alone, OUT, NULL);
        job.out = y;
        for (size_t n_rows = 1; n_rows <= ROWS; n_rows++) {
            memset(y, 0x7f, ROWS * OUT * sizeof *y);
            m.weight.group_sums = type == KERN_W_Q8 && n_rows % 2 ? sums : NULL;
            assert_int_equal(kern_matmul(context, x, IN, n_rows, &job, 1), KERN_OK);
            assert_memory_equal(y, alone, n_rows * OUT * sizeof *y);
        }
        free(sums);
        free(x);
        free(alone);
        free(y);
        matrix_free(&m);
    }
}

static void test_row_counts(void **state)
{
    for_each_isa(check_row_counts, 1);
}

static void test_threads_agree(void **state)
{
    enum { ROWS = 131, OUT = 530, IN = 257 };
    static const unsigned n_threads[] = {1, 2, 3, 5};
    const char *names[4];
    size_t n = kern_isa_available(names);
    uint64_t seed = 21;
    for (int type = KERN_W_BF16; type <= KERN_W_Q4; type++) {
        matrix m = matrix_new((kern_weight_type)type, OUT, IN, &seed);
        float *x = test_random_floats(&seed, ROWS * IN), *first = test_alloc(ROWS * OUT * sizeof *first),
              *y = test_alloc(ROWS * OUT * sizeof *y);
        for (size_t i = 0; i < n; i++) {
            assert_true(kern_isa_force(names[i]));
            for (size_t t = 0; t < 4; t++) {
                kern_context *context = test_context(n_threads[t]);
                kern_matmul_job job = {.weight = &m.weight, .out = t == 0 ? first : y, .out_stride = OUT};
                assert_int_equal(kern_matmul(context, x, IN, ROWS, &job, 1), KERN_OK);
                if (t > 0) assert_memory_equal(y, first, ROWS * OUT * sizeof *y);
                kern_context_free(context);
            }
        }
        free(x);
        free(first);
        free(y);
        matrix_free(&m);
    }
}

/* Jobs of different types and shapes over the same rows. */
static void check_several_jobs(kern_context *context)
{
    enum { ROWS = 14, IN = 200 };
    uint64_t seed = 33;
    matrix a = matrix_new(KERN_W_Q8, 64, IN, &seed), b = matrix_new(KERN_W_BF16, 21, IN, &seed), c = matrix_new(KERN_W_Q4, 16, IN, &seed);
    float *x = test_random_floats(&seed, ROWS * IN), *ya = test_alloc(ROWS * 64 * 4), *yb = test_alloc(ROWS * 21 * 4),
          *yc = test_alloc(ROWS * 16 * 4);
    kern_matmul_job jobs[] = {
        {.weight = &a.weight, .out = ya, .out_stride = 64},
        {.weight = &b.weight, .out = yb, .out_stride = 21},
        {.weight = &c.weight, .out = yc, .out_stride = 16},
    };
    assert_int_equal(kern_matmul(context, x, IN, ROWS, jobs, 3), KERN_OK);
    check_product(&a, x, IN, ROWS, ya, 64, NULL);
    check_product(&b, x, IN, ROWS, yb, 21, NULL);
    check_product(&c, x, IN, ROWS, yc, 16, NULL);
    free(x);
    free(ya);
    free(yb);
    free(yc);
    matrix_free(&a);
    matrix_free(&b);
    matrix_free(&c);
}

static void test_several_jobs(void **state)
{
    for_each_isa(check_several_jobs, 3);
}

/* Extremes: rows of zeros, of numbers near the largest, of the smallest; saturating codes everywhere; a NaN stays in its row. */
static void check_extremes(kern_context *context)
{
    enum { ROWS = 6, OUT = 17, IN = 256 };
    uint64_t seed = 40;
    for (int type = KERN_W_F32; type <= KERN_W_Q4; type++) {
        matrix m = matrix_new((kern_weight_type)type, OUT, IN, &seed);
        float *x = test_alloc(ROWS * IN * sizeof *x), *y = test_alloc(ROWS * OUT * sizeof *y);
        for (size_t c = 0; c < IN; c++) {
            x[1 * IN + c] = c % 3 ? 1e30f : -1e30f;
            x[2 * IN + c] = 1e-40f;
            x[3 * IN + c] = c == 200 ? NAN : 1;
            x[4 * IN + c] = c == 7 ? -INFINITY : 1;
            x[5 * IN + c] = 1;
        }
        kern_matmul_job job = {.weight = &m.weight, .out = y, .out_stride = OUT};
        assert_int_equal(kern_matmul(context, x, IN, ROWS, &job, 1), KERN_OK);
        for (size_t o = 0; o < OUT; o++) {
            assert_true(y[o] == 0);
            assert_true(fabsf(y[2 * OUT + o]) < 1e-37f);
            assert_false(isfinite(y[3 * OUT + o]));
            assert_false(isfinite(y[4 * OUT + o]));
        }
        check_product(&m, x, IN, 2, y, OUT, NULL);
        check_product(&m, x + 5 * IN, IN, 1, y + 5 * OUT, OUT, NULL);
        free(x);
        free(y);
        matrix_free(&m);
    }
}

static void test_extremes(void **state)
{
    for_each_isa(check_extremes, 2);
}

/* All codes at their largest, of all signs: nothing may saturate on the way. -128 never comes from packing but may stand in a file. */
static void check_full_scale(kern_context *context)
{
    enum { OUT = 16, IN = 256 };
    float x[2 * IN], y[2 * OUT], rows[OUT * IN];
    int8_t *data = test_alloc(OUT * IN);
    float *scales = test_alloc(OUT * 2 * sizeof *scales);
    static const int8_t values[] = {127, -127, -128};
    for (int v = 0; v < 3; v++) {
        for (size_t i = 0; i < OUT * IN; i++) data[i] = values[v];
        for (size_t i = 0; i < OUT * 2; i++) scales[i] = 1;
        for (size_t i = 0; i < IN; i++) x[i] = 127, x[IN + i] = -127;
        for (size_t i = 0; i < OUT * IN; i++) rows[i] = values[v];
        matrix m = {.weight = {.type = KERN_W_Q8, .n_out = OUT, .n_in = IN, .data = data, .scales = scales}, .rows = rows};
        kern_matmul_job job = {.weight = &m.weight, .out = y, .out_stride = OUT};
        assert_int_equal(kern_matmul(context, x, IN, 2, &job, 1), KERN_OK);
        for (size_t i = 0; i < 2 * OUT; i++) assert_true(y[i] == (i < OUT ? 127.0f : -127.0f) * (float)values[v] * IN);
    }
    free(data);
    free(scales);
}

static void test_full_scale(void **state)
{
    for_each_isa(check_full_scale, 1);
}

/* A result large enough to be written past the caches has the bits of one that is not. */
static void check_large_result(kern_context *context)
{
    enum { ROWS = 700, OUT = 1616, IN = 32 };
    uint64_t seed = 50;
    for (int type = KERN_W_Q8; type <= KERN_W_Q4; type++) {
        matrix m = matrix_new((kern_weight_type)type, OUT - 8, IN, &seed);
        float *x = test_random_floats(&seed, ROWS * IN), *y = test_alloc(ROWS * OUT * sizeof *y),
              *part = test_alloc(7 * OUT * sizeof *part);
        kern_matmul_job job = {.weight = &m.weight, .out = y, .out_stride = OUT};
        assert_int_equal(kern_matmul(context, x, IN, ROWS, &job, 1), KERN_OK);
        job.out = part;
        for (size_t row = 0; row < ROWS; row += 7) {
            assert_int_equal(kern_matmul(context, x + row * IN, IN, 7, &job, 1), KERN_OK);
            assert_memory_equal(part, y + row * OUT, 7 * OUT * sizeof *y);
        }
        free(x);
        free(y);
        free(part);
        matrix_free(&m);
    }
}

static void test_large_result(void **state)
{
    for_each_isa(check_large_result, 2);
}

static void test_bad_arguments(void **state)
{
    uint64_t seed = 2;
    kern_context *context = test_context(1);
    matrix a = matrix_new(KERN_W_Q8, 16, 64, &seed), b = matrix_new(KERN_W_Q8, 16, 65, &seed);
    float x[65] = {0}, y[32] = {0};
    kern_matmul_job jobs[] = {{.weight = &a.weight, .out = y, .out_stride = 16}, {.weight = &b.weight, .out = y, .out_stride = 16}};
    assert_int_equal(kern_matmul(context, x, 64, 0, jobs, 1), KERN_OK);
    assert_int_equal(kern_matmul(context, x, 64, 1, jobs, 0), KERN_OK);
    assert_int_equal(kern_matmul(context, x, 64, 1, jobs, 2), KERN_BAD_ARGUMENT);
    jobs[0].out_stride = 15;
    assert_int_equal(kern_matmul(context, x, 64, 1, jobs, 1), KERN_BAD_ARGUMENT);
    jobs[0].out_stride = 16;
    a.weight.scales = NULL;
    assert_int_equal(kern_matmul(context, x, 64, 1, jobs, 1), KERN_BAD_ARGUMENT);
    matrix_free(&a);
    matrix_free(&b);
    kern_context_free(context);
}

static void test_cancel(void **state)
{
    enum { ROWS = 100, OUT = 64, IN = 128 };
    uint64_t seed = 8;
    bool cancel = true;
    kern_context *context = test_context(2);
    matrix m = matrix_new(KERN_W_Q8, OUT, IN, &seed);
    float *x = test_random_floats(&seed, ROWS * IN), *y = test_alloc(ROWS * OUT * sizeof *y);
    kern_matmul_job job = {.weight = &m.weight, .out = y, .out_stride = OUT};
    kern_context_set_cancel(context, &cancel);
    assert_int_equal(kern_matmul(context, x, IN, ROWS, &job, 1), KERN_CANCELLED);
    for (size_t i = 0; i < ROWS * OUT; i++) assert_true(y[i] == 0); /* no tile was begun */
    cancel = false;
    assert_int_equal(kern_matmul(context, x, IN, ROWS, &job, 1), KERN_OK);
    check_product(&m, x, IN, ROWS, y, OUT, NULL);
    cancel = true;
    kern_context_set_cancel(context, NULL);
    assert_int_equal(kern_matmul(context, x, IN, ROWS, &job, 1), KERN_OK);
    free(x);
    free(y);
    matrix_free(&m);
    kern_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),        cmocka_unit_test(test_row_counts), cmocka_unit_test(test_threads_agree),
        cmocka_unit_test(test_several_jobs),  cmocka_unit_test(test_extremes),   cmocka_unit_test(test_full_scale),
        cmocka_unit_test(test_bad_arguments), cmocka_unit_test(test_cancel),     cmocka_unit_test(test_large_result),
    };
    return cmocka_run_group_tests_name("matmul", tests, NULL, NULL);
}
