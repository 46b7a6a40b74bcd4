/* test-scores.c: scores and their sums formed in one go, on each instruction set that does so, against the portable operations.
 *
 * Owns: numbers of units and rows, tails of parts, zeros, huge values, largest scores known before, candidates; what the operation must refuse.
 * Does not own: attention as a whole (test-attend.c).
 */
#include "attend-fixture.h"
#include "attend-ops.h"

enum { UNITS_MAX = 64, ROWS_MAX = KERN_SUMS_ROWS, STRIDE = UNITS_MAX * KERN_UNIT_TOKENS + 16 };

static const kern_attend_ops *const SETS[] = {
#if defined(__x86_64__)
    &kern_attend_avx2, &kern_attend_avx512,
#endif
    &kern_attend_portable,
};
static const char *const SET_NAMES[] = {
#if defined(__x86_64__)
    "avx2", "avx512",
#endif
    "portable",
};

static bool is_available(const char *name)
{
    const char *names[4];
    size_t n = kern_isa_available(names);
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

typedef struct scores_case {
    kern_kv_format format;
    uint8_t *units;
    int8_t tables[ROWS_MAX * KERN_TABLE_BYTES];
    uint8_t biased[ROWS_MAX * KERN_TABLE_BYTES];
    float scales[ROWS_MAX];
    float want[ROWS_MAX * STRIDE], got[ROWS_MAX * STRIDE];
    float want_listed[ROWS_MAX * STRIDE], listed[ROWS_MAX * STRIDE];
    uint32_t want_tokens[STRIDE], tokens[STRIDE];
} scores_case;

static float next_random(uint32_t *state) { return fixture_random(state); }

/* Keys whose scale is one of a few, so that tokens differ in weight; every seventh key is zero. */
static void fill(scores_case *c, uint32_t seed, float query_scale)
{
    size_t k = c->format.k_key, unit_bytes = kern_kv_unit_bytes(&c->format);
    for (size_t u = 0; u < UNITS_MAX; u++) {
        uint8_t *unit = c->units + u * unit_bytes;
        for (size_t i = 0; i < k * KERN_UNIT_TOKENS; i++) {
            unit[i] = (uint8_t)((int)(next_random(&seed) * 64 + 64) & 127);
            unit[k * KERN_UNIT_TOKENS + i] = (uint8_t)(int8_t)(next_random(&seed) * 127);
        }
        for (size_t t = 0; t < KERN_UNIT_TOKENS; t++) {
            uint16_t half = (u * KERN_UNIT_TOKENS + t) % 7 == 3 ? 0 : (uint16_t)(0x1c00 + (t % 5) * 0x100); /* 2^-8 and more */
            memcpy(unit + 2 * k * KERN_UNIT_TOKENS + 2 * t, &half, sizeof half);
        }
    }
    for (size_t i = 0; i < sizeof c->tables; i++) c->tables[i] = (int8_t)(next_random(&seed) * 127);
    for (size_t r = 0; r < ROWS_MAX; r++) c->scales[r] = query_scale * (1 + (float)r / 4);
}

/* With a list, the same sums, and of the same scores the candidates: those that reach what some token has. After `compare`. */
static void compare_list(const kern_attend_ops *ops, scores_case *c, size_t n_units, size_t n_rows, const float *before, const float *want_max,
                         const kern_part_sums *want_sums)
{
    float max[ROWS_MAX], least[ROWS_MAX], part[ROWS_MAX * KERN_MASS_TOKENS];
    kern_part_sums sums[ROWS_MAX];
    size_t n = n_units * KERN_UNIT_TOKENS;
    memcpy(max, before, sizeof max);
    for (size_t r = 0; r < n_rows; r++) least[r] = c->want[r * STRIDE + (n / 3 + 5 * r) % n];
    kern_score_list list = {.least = least, .tokens = c->tokens, .scores = c->listed, .stride = STRIDE};
    kern_query_rows rows = {.tables = c->biased, .scales = c->scales, .n = n_rows};
    assert_true(ops->scores_sums(&c->format, c->units, n_units, &rows, part, KERN_MASS_TOKENS, c->units, max, sums, &list));
    size_t n_listed = kern_attend_portable.select(c->want, STRIDE, n_rows, n, least, NULL, c->want_tokens, c->want_listed, STRIDE);
    assert_int_equal(list.n, n_listed);
    assert_true(n_listed > 0);
    assert_memory_equal(c->tokens, c->want_tokens, n_listed * sizeof *c->tokens);
    for (size_t r = 0; r < n_rows; r++) assert_memory_equal(c->listed + r * STRIDE, c->want_listed + r * STRIDE, n_listed * sizeof(float));
    assert_memory_equal(max, want_max, n_rows * sizeof *max);
    assert_memory_equal(sums, want_sums, n_rows * sizeof *sums);
}

/* Scores must be the same bit for bit; sums as those of the portable exponentials, and largest scores exactly. */
static void compare(const char *name, const kern_attend_ops *ops, scores_case *c, size_t n_units, size_t n_rows, const float *before)
{
    float max[ROWS_MAX];
    kern_part_sums sums[ROWS_MAX];
    for (size_t i = 0; i < sizeof c->tables; i++) c->biased[i] = (uint8_t)c->tables[i] ^ ops->table_bias;
    kern_query_rows plain = {.tables = (const uint8_t *)c->tables, .scales = c->scales, .n = n_rows};
    kern_query_rows rows = {.tables = c->biased, .scales = c->scales, .n = n_rows};
    memcpy(max, before, sizeof max);
    memset(sums, 0xff, sizeof sums);
    kern_attend_portable.scores(&c->format, c->units, n_units, &plain, c->want, STRIDE);
    for (size_t i = 0; i < ROWS_MAX * STRIDE; i++) c->got[i] = -1234;
    assert_true(ops->scores_sums(&c->format, c->units, n_units, &rows, c->got, STRIDE, c->units, max, sums, NULL));
    for (size_t r = 0; r < n_rows; r++) {
        size_t n = n_units * KERN_UNIT_TOKENS;
        const float *scores = c->want + r * STRIDE;
        float largest = kern_attend_portable.max(scores, n);
        if (before[r] > largest) largest = before[r];
        double all = 0;
        assert_memory_equal(scores, c->got + r * STRIDE, n * sizeof *scores);
        assert_true(c->got[r * STRIDE + n] == -1234);
        if (max[r] != largest) fail_msg("%s, row %zu of %zu, %zu units: largest %g, not %g", name, r, n_rows, n_units, (double)max[r], (double)largest);
        for (size_t p = 0; p < KERN_SUMS_PARTS; p++) {
            double sum = 0;
            for (size_t t = p * KERN_MASS_TOKENS; t < n && t < (p + 1) * KERN_MASS_TOKENS; t++) {
                double weight = exp((double)scores[t] - (double)largest);
                if (weight > 0x1p-126) sum += weight;
            }
            if (!(fabs((double)sums[r].parts[p] - sum) <= 2e-6 * sum + 0x1p-118))
                fail_msg("%s, row %zu of %zu, %zu units, part %zu: %.9g, not %.9g", name, r, n_rows, n_units, p, (double)sums[r].parts[p], sum);
            all += sum;
        }
        if (!(fabs((double)sums[r].all - all) <= 3e-6 * all + 0x1p-116)) fail_msg("%s, row %zu: %.9g in all, not %.9g", name, r, (double)sums[r].all, all);
    }
    compare_list(ops, c, n_units, n_rows, before, max, sums);
}

typedef void (*set_check)(const char *name, const kern_attend_ops *ops, scores_case *c);

static void for_each_set(set_check check)
{
    static const uint16_t ks[] = {16, 8};
    for (size_t i = 0; i < sizeof SETS / sizeof *SETS; i++)
        for (size_t k = 0; k < 2 && is_available(SET_NAMES[i]) && SETS[i]->scores_sums; k++) {
            scores_case *c = fixture_alloc(sizeof *c);
            c->format = (kern_kv_format){.d = 128, .k_key = ks[k], .k_query = 16, .value_group = 32, .value_type = KERN_VALUE_Q8};
            c->units = fixture_alloc(UNITS_MAX * kern_kv_unit_bytes(&c->format));
            check(SET_NAMES[i], SETS[i], c);
            free(c->units);
            free(c);
        }
}

static void check_tails(const char *name, const kern_attend_ops *ops, scores_case *c)
{
    static const size_t units[] = {1, 2, 3, 4, 5, 7, 8, 33, 63, 64}, rows[] = {1, 2, 3, 16};
    float before[ROWS_MAX];
    for (size_t r = 0; r < ROWS_MAX; r++) before[r] = -INFINITY;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
        for (size_t r = 0; r < 4; r++) {
            fill(c, (uint32_t)(1 + u * 4 + r), 0.002f);
            compare(name, ops, c, units[u], rows[r], before);
        }
}

/* Rows whose largest score was met before are summed up relative to that; others are not. */
static void check_before(const char *name, const kern_attend_ops *ops, scores_case *c)
{
    float before[ROWS_MAX];
    fill(c, 50, 0.003f);
    for (size_t r = 0; r < ROWS_MAX; r++) before[r] = r % 3 == 0 ? -INFINITY : r % 3 == 1 ? 200 : -0.5f;
    compare(name, ops, c, 64, 16, before);
}

static void check_extremes(const char *name, const kern_attend_ops *ops, scores_case *c)
{
    static const float scales[] = {0, 1e-30f, 10, 1e10f, 1e30f};
    float before[ROWS_MAX];
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        for (size_t r = 0; r < ROWS_MAX; r++) before[r] = -INFINITY;
        fill(c, (uint32_t)(60 + i), scales[i]);
        compare(name, ops, c, 30, 16, before);
        memset(c->units, 0, UNITS_MAX * kern_kv_unit_bytes(&c->format)); /* keys of zeros: every score is 0 */
        compare(name, ops, c, 64, 2, before);
        for (size_t r = 0; r < ROWS_MAX; r++) before[r] = 1e38f;
        compare(name, ops, c, 5, 2, before);
    }
}

static void check_refusals(const char *name, const kern_attend_ops *ops, scores_case *c)
{
    (void)name;
    float max[ROWS_MAX + 1] = {0};
    kern_part_sums sums[ROWS_MAX + 1];
    kern_query_rows rows = {.tables = c->biased, .scales = c->scales, .n = ROWS_MAX + 1};
    assert_false(ops->scores_sums(&c->format, c->units, 1, &rows, c->got, STRIDE, c->units, max, sums, NULL));
    rows.n = 1;
    assert_false(ops->scores_sums(&c->format, c->units, UNITS_MAX + 1, &rows, c->got, STRIDE, c->units, max, sums, NULL));
    c->format.k_key = 12;
    assert_false(ops->scores_sums(&c->format, c->units, 1, &rows, c->got, STRIDE, c->units, max, sums, NULL));
    c->format.k_key = c->format.d;
    assert_false(ops->scores_sums(&c->format, c->units, 1, &rows, c->got, STRIDE, c->units, max, sums, NULL));
}

static void test_tails(void **state) { for_each_set(check_tails); }
static void test_before(void **state) { for_each_set(check_before); }
static void test_extremes(void **state) { for_each_set(check_extremes); }
static void test_refusals(void **state) { for_each_set(check_refusals); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_before),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
