/* test-attend.c: attention on every instruction set against a plain computation in double.
 *
 * Owns: shapes, tails, block structure, causality, masses, the bound on dropped mass, equality over threads.
 * Does not own: codes (test-codes.c).
 */
#include "attend-fixture.h"

static const kern_kv_format SFA_Q8 = {.d = 128, .k_key = 16, .k_query = 16, .value_group = 32, .value_type = KERN_VALUE_Q8};
static const kern_kv_format SFA_Q4 = {.d = 128, .k_key = 16, .k_query = 16, .value_group = 32, .value_type = KERN_VALUE_Q4};
static const kern_kv_format SFA_F16 = {.d = 128, .k_key = 16, .k_query = 16, .value_group = 32, .value_type = KERN_VALUE_F16};
static const kern_kv_format SFA_F32 = {
    .d = 128, .k_key = 16, .k_query = 16, .value_group = 32, .key_type = KERN_KEY_CODE32, .value_type = KERN_VALUE_F32};
static const kern_kv_format DENSE_Q8 = {.d = 128, .k_key = 128, .k_query = 128, .value_group = 32, .value_type = KERN_VALUE_Q8};
static const kern_kv_format DENSE_F32 = {
    .d = 64, .k_key = 64, .k_query = 64, .value_group = 32, .key_type = KERN_KEY_CODE32, .value_type = KERN_VALUE_F32};
static const kern_kv_format DENSE_QUERY = {.d = 128, .k_key = 16, .k_query = 128, .value_group = 32, .value_type = KERN_VALUE_Q8};
static const kern_kv_format GPT2 = {.d = 64, .k_key = 8, .k_query = 8, .value_group = 32, .value_type = KERN_VALUE_Q8};
static const kern_kv_format GPT2_DENSE = {.d = 64, .k_key = 64, .k_query = 64, .value_group = 16, .value_type = KERN_VALUE_Q4};
static const kern_kv_format SMALL_32 = {.d = 32, .k_key = 4, .k_query = 7, .value_group = 32, .value_type = KERN_VALUE_Q4};
static const kern_kv_format SMALL_16 = {.d = 16, .k_key = 12, .k_query = 5, .value_group = 16, .value_type = KERN_VALUE_Q8};
static const kern_kv_format ODD_96 = {.d = 96, .k_key = 20, .k_query = 20, .value_group = 48, .value_type = KERN_VALUE_F16};

static const kern_kv_format *const FORMATS[] = {
    &SFA_Q8, &SFA_Q4, &SFA_F16, &SFA_F32, &DENSE_Q8, &DENSE_F32, &DENSE_QUERY, &GPT2, &GPT2_DENSE, &SMALL_32, &SMALL_16, &ODD_96,
};
enum { N_FORMATS = sizeof FORMATS / sizeof *FORMATS };

static void for_each_isa(void (*check)(void))
{
    const char *names[4], *before = kern_isa_name();
    size_t n = kern_isa_available(names);
    for (size_t i = 0; i < n; i++) {
        assert_true(kern_isa_force(names[i]));
        check();
    }
    assert_true(kern_isa_force(before));
}

/* Tiles of many query tokens round weights: to 8 bits of mantissa, or to 1/255 of a row's largest in 64 tokens. Most of it cancels. */
static bool rounds_to_parts(void) { return strcmp(kern_isa_name(), "avx512") == 0; }

static double tolerance(const fixture *f)
{
    if (f->format.key_type != KERN_KEY_CODE8 || f->format.value_type > KERN_VALUE_Q8) return 2e-5;
    return rounds_to_parts() ? 2.5e-2 : 6e-3;
}

static void compare(const fixture *f)
{
    size_t n_max = f->own_before + f->n_queries, d = f->format.d;
    for (size_t b = 0; b < f->n_blocks; b++) n_max += f->block_tokens[b];
    double *weights = fixture_alloc((n_max + 1) * sizeof *weights), out[KERN_HEAD_DIM_MAX], squares = 0;
    size_t n_rows = 0;
    for (size_t q = 0; q < f->n_queries; q += 1 + f->n_queries / 19)
        for (size_t h = 0; h < f->n_heads; h++) {
            fixture_reference(f, q, h, weights, out);
            const float *got = f->out + (q * f->n_heads + h) * d;
            double norm = 0, error = 0;
            for (size_t i = 0; i < d; i++) norm += out[i] * out[i], error += (out[i] - (double)got[i]) * (out[i] - (double)got[i]);
            if (!(sqrt(error) <= tolerance(f) * (sqrt(norm) + 0.05 * sqrt((double)d))))
                fail_msg("%s d %d k %d query %zu head %zu: error %g of %g", kern_isa_name(), f->format.d, f->format.k_key, q, h, sqrt(error),
                         sqrt(norm));
            squares += error / pow(sqrt(norm) + 0.05 * sqrt((double)d), 2);
            n_rows++;
        }
    /* the rows' errors are independent: all together are well below the largest */
    if (n_rows >= 16 && !(sqrt(squares / (double)n_rows) <= 0.6 * tolerance(f))) fail_msg("error %g of all rows", sqrt(squares / (double)n_rows));
    free(weights);
}

static void check_case(const fixture *wanted, unsigned n_threads)
{
    fixture f = *wanted;
    fixture_make(&f, n_threads);
    assert_int_equal(fixture_attend(&f), KERN_OK);
    compare(&f);
    fixture_free(&f);
}

/* ------------------------------------------------------------------------------------------------------- shapes */

static void check_formats(void)
{
    for (size_t i = 0; i < N_FORMATS; i++) {
        fixture decode = {.format = *FORMATS[i], .n_heads = 4, .n_kv_heads = 2, .n_blocks = 2, .block_tokens = {100, 333}, .own_before = 5,
                          .n_queries = 1, .with_own = true, .peak = 1, .seed = 1};
        check_case(&decode, 1);
        fixture prefill = {.format = *FORMATS[i], .n_heads = 4, .n_kv_heads = 2, .n_queries = 150, .with_own = true, .peak = 1, .seed = 2};
        check_case(&prefill, 2);
    }
}

static void check_tails(void)
{
    const size_t lengths[] = {1, 2, 15, 16, 17, 31, 63, 64, 65, 127, 129, 1023, 1024, 1025};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        fixture cached = {.format = i % 2 ? SFA_Q4 : SFA_Q8, .n_heads = 2, .n_kv_heads = 1, .n_blocks = 1, .block_tokens = {lengths[i]},
                          .n_queries = 2, .peak = 1, .seed = 3 + (unsigned)i};
        check_case(&cached, 1);
        fixture own = {.format = i % 2 ? SFA_Q8 : SFA_Q4, .n_heads = 3, .n_kv_heads = 1, .n_queries = lengths[i], .with_own = true, .peak = 1,
                       .seed = 4 + (unsigned)i};
        check_case(&own, 1);
    }
}

static void check_sections(void)
{
    fixture section = {.format = SFA_Q8, .n_heads = 2, .n_kv_heads = 1, .n_queries = 2047, .with_own = true, .peak = 1, .seed = 20};
    check_case(&section, 2);
    section.n_queries = 2048;
    section.format = SFA_Q4;
    check_case(&section, 2);
}

static void check_groups(void)
{
    const size_t groups[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 100};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        size_t n_kv_heads = groups[i] < 100 ? 2 : 1;
        fixture f = {.format = SFA_Q8, .n_heads = groups[i] * n_kv_heads, .n_kv_heads = n_kv_heads, .n_blocks = 3, .block_tokens = {64, 30, 200}, .own_before = 7,
                     .n_queries = 3, .with_own = true, .peak = 2, .seed = 30 + (unsigned)i};
        check_case(&f, 1);
        f.n_queries = 100;
        check_case(&f, 1);
    }
}

/* Continuous reading: many queries after other blocks and own tokens; and questions of a few tokens. */
static void check_blocks_and_own(void)
{
    const size_t queries[] = {1, 9, 40, 97, 200};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        fixture f = {.format = SFA_Q8, .n_heads = 4, .n_kv_heads = 2, .n_blocks = 5, .block_tokens = {1, 64, 0, 1100, 79}, .own_before = 33,
                     .n_queries = queries[i], .with_own = true, .peak = 3, .seed = 40};
        check_case(&f, 2);
        f.with_own = false;
        check_case(&f, 2);
    }
}

/* ------------------------------------------------------------------------------------------------- drop, masses */

static size_t n_tokens(const fixture *f)
{
    size_t n = f->with_own ? f->own_before + f->n_queries : 0;
    for (size_t b = 0; b < f->n_blocks; b++) n += f->block_tokens[b];
    return n;
}

/* After attending: what was left out, and what that does to the outputs. */
static void compare_dropped(const fixture *f)
{
    assert_true(f->job.ret_dropped_mass_max <= (double)f->drop_mass);
    assert_true(f->job.ret_dropped_mass <= f->job.ret_dropped_mass_max * (double)(f->n_queries * f->n_heads) + 1e-12);
    assert_true(f->job.ret_rows_read <= f->job.ret_rows && f->job.ret_rows_read > 0);
    assert_int_equal(f->job.ret_rows, f->n_queries == 1 ? n_tokens(f) * f->n_heads : f->job.ret_rows);
    double *weights = fixture_alloc(n_tokens(f) * sizeof *weights), out[KERN_HEAD_DIM_MAX];
    for (size_t q = 0; q < f->n_queries; q++)
        for (size_t h = 0; h < f->n_heads; h++) {
            fixture_reference(f, q, h, weights, out);
            for (size_t d = 0; d < f->format.d; d++) {
                /* values of the fixture stay below 16; several query tokens may share tiles of rounded weights */
                bool rounded = f->n_queries > 1 && f->format.value_type <= KERN_VALUE_Q8;
                double bound = 2 * (double)f->drop_mass * 16 + (rounded ? 16 * (rounds_to_parts() ? 0x1p-6 : 0x1p-8) : 1e-4);
                assert_true(fabs(out[d] - (double)f->out[(q * f->n_heads + h) * f->format.d + d]) <= bound);
            }
        }
    free(weights);
}

static void check_drop(void)
{
    const float drops[] = {0, 1e-4f, 1e-3f, 1e-2f, 0.3f};
    const kern_kv_format *const formats[] = {&SFA_Q8, &SFA_Q4, &SFA_F16};
    for (size_t i = 0; i < 15; i++) {
        fixture f = {.format = *formats[i % 3], .n_heads = 4, .n_kv_heads = 2, .n_blocks = 3, .block_tokens = {1500, 500, 1337}, .own_before = 3,
                     .n_queries = 1 + 10 * (i & 1), .with_own = true, .peak = 6, .drop_mass = drops[i / 3], .seed = 50 + (unsigned)i};
        fixture_make(&f, 1);
        assert_int_equal(fixture_attend(&f), KERN_OK);
        compare_dropped(&f);
        if (f.drop_mass >= 1e-2f) assert_true(f.job.ret_rows_read < f.job.ret_rows); /* peaked enough for something to go */
        fixture_free(&f);
    }
}

/* Parts of blocks; with own tokens these have the rest. */
static void compare_masses(const fixture *f)
{
    double sum = 0, *want = fixture_alloc(f->n_parts * sizeof *want), *weights = fixture_alloc(n_tokens(f) * sizeof *weights), out[KERN_HEAD_DIM_MAX];
    for (size_t q = 0; q < f->n_queries; q++)
        for (size_t h = 0; h < f->n_heads; h++) {
            fixture_reference(f, q, h, weights, out);
            size_t at = 0;
            for (size_t b = 0; b < f->n_blocks; b++)
                for (size_t t = 0; t < f->block_tokens[b]; t++) want[f->mass_first[b] + t / 64] += weights[at++];
        }
    for (size_t p = 0; p < f->n_parts; p++) {
        sum += (double)f->mass[p];
        assert_true(fabs((double)f->mass[p] - want[p]) <= 1e-4 * (want[p] + 1));
    }
    if (!f->with_own) assert_true(fabs(sum / (double)(f->n_queries * f->n_heads) - 1) < 1e-5);
    free(weights);
    free(want);
}

static void check_masses(void)
{
    const size_t queries[] = {1, 11, 130};
    for (size_t i = 0; i < 3; i++) {
        fixture f = {.format = SFA_Q8, .n_heads = 4, .n_kv_heads = 2, .n_blocks = 3, .block_tokens = {70, 1100, 65}, .n_queries = queries[i],
                     .with_mass = true, .peak = 4, .drop_mass = 1e-2f, .seed = 60};
        fixture_make(&f, 2);
        assert_int_equal(fixture_attend(&f), KERN_OK);
        compare_masses(&f);
        fixture_free(&f);
    }
}

/* So many tokens that candidates are listed in place of scores: softmax flat (nothing is listed), broad (some KV heads are done again) and peaked;
 * one thread and three. */
static void check_lists(void)
{
    static const struct {
        const kern_kv_format *format;
        float peak;
    } cases[] = {{&SFA_Q4, 0.2f}, {&SFA_Q8, 2.7f}, {&DENSE_Q8, 2.3f}, {&GPT2, 2.6f}, {&SFA_Q4, 6}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f = {.format = *cases[i].format, .n_heads = i % 2 ? 4 : 8, .n_kv_heads = 4, .n_blocks = 3,
                     .block_tokens = {13000, 41, 12000}, .own_before = 33, .n_queries = 1, .with_own = true, .with_mass = true,
                     .peak = cases[i].peak, .drop_mass = 1e-3f, .seed = 65 + (unsigned)i};
        size_t n = f.n_heads * f.format.d;
        fixture_make(&f, 1);
        assert_int_equal(fixture_attend(&f), KERN_OK);
        compare_dropped(&f);
        compare_masses(&f);
        if (cases[i].peak >= 3) assert_true(f.job.ret_rows_read < f.job.ret_rows / 4);
        float *out = fixture_alloc(n * sizeof *out), *mass = fixture_alloc(f.n_parts * sizeof *mass);
        memcpy(out, f.out, n * sizeof *out);
        memcpy(mass, f.mass, f.n_parts * sizeof *mass);
        kern_context_free(f.context);
        assert_int_equal(kern_context_new(3, false, &f.context), KERN_OK);
        assert_int_equal(fixture_attend(&f), KERN_OK);
        assert_memory_equal(out, f.out, n * sizeof *out);
        assert_memory_equal(mass, f.mass, f.n_parts * sizeof *mass);
        free(out);
        free(mass);
        fixture_free(&f);
    }
}

/* ---------------------------------------------------------------------------------------------- other promises */

/* A sanitizer watches every access: it gets as many items and threads of fewer tokens. */
#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__
enum { THREADS_BLOCK_TOKENS = 200 };
#else
enum { THREADS_BLOCK_TOKENS = 1000 };
#endif

static void check_threads(void)
{
    const unsigned threads[] = {1, 2, 3, 5};
    for (size_t i = 0; i < 4; i++) {
        fixture f = {.format = i % 2 ? SFA_Q4 : SFA_Q8, .n_heads = 4, .n_kv_heads = 2, .n_blocks = 3,
                     .block_tokens = {2 * THREADS_BLOCK_TOKENS, THREADS_BLOCK_TOKENS - 100, 3 * THREADS_BLOCK_TOKENS},
                     .own_before = 4, .n_queries = i < 2 ? 3 : 140, .with_own = true, .with_mass = true, .peak = 3, .drop_mass = 1e-3f, .seed = 70};
        size_t bytes = f.n_queries * f.n_heads * f.format.d * sizeof(float);
        float *first = NULL, *first_mass = NULL;
        for (size_t t = 0; t < 4; t++) {
            fixture_make(&f, threads[t]);
            assert_int_equal(fixture_attend(&f), KERN_OK);
            if (first) {
                assert_memory_equal(first, f.out, bytes);
                assert_memory_equal(first_mass, f.mass, f.n_parts * sizeof(float));
            } else {
                first = fixture_alloc(bytes);
                first_mass = fixture_alloc(f.n_parts * sizeof(float));
                memcpy(first, f.out, bytes);
                memcpy(first_mass, f.mass, f.n_parts * sizeof(float));
            }
            fixture_free(&f);
        }
        free(first);
        free(first_mass);
    }
}

/* Queries of zeros: all scores are 0, so every token weighs the same, whether or not features are shared. */
static void check_no_common_feature(void)
{
    fixture f = {.format = SFA_Q8, .n_heads = 2, .n_kv_heads = 1, .n_blocks = 1, .block_tokens = {333}, .n_queries = 1, .peak = 0, .seed = 80};
    for (size_t i = 0; i < 2; i++) {
        f.n_queries = i ? 120 : 1;
        check_case(&f, 1);
    }
}

/* The hardest case for weights in parts of a tile's largest: beside one hot token in each tile, 63 small ones that rounding to the nearest
 * part would all lose. Values are the same in all tokens, so every output must be that value; and a token whose value is 0 (with the
 * smallest scale) still takes its share of the softmax. */
static void check_small_beside_large(void)
{
    enum { TOKENS = 512, D = 128 };
    kern_context *context;
    assert_int_equal(kern_context_new(1, false, &context), KERN_OK);
    for (size_t i = 0; i < 12; i++) {
        kern_kv_format format = i % 2 ? SFA_Q4 : SFA_Q8;
        float below = 4.5f + 0.5f * (float)(i / 2); /* the small ones' score below the hot one's: weights of 1/90 to 1/1100 */
        bool zero = i % 4 >= 2;                     /* the hot tokens' values */
        kern_kv_layout layout = kern_kv_layout_of(&format, 1, TOKENS);
        void *data = fixture_alloc(layout.total_bytes);
        float *k = fixture_alloc(TOKENS * D * sizeof *k), *v = fixture_alloc(TOKENS * D * sizeof *v), *q = fixture_alloc(100 * D * sizeof *q);
        for (size_t t = 0; t < TOKENS; t++)
            for (size_t f = 0; f < D; f++) {
                if (f < 16) k[t * D + f] = t % 64 == 7 ? 2 : 1;
                v[t * D + f] = zero && t % 64 == 7 ? 0 : 1;
            }
        for (size_t t = 0; t < 100; t++)
            for (size_t f = 0; f < 16; f++) q[t * D + f] = below * sqrtf(D) / 16;
        kern_encode_params params = {.format = &format, .n_heads = 1};
        kern_encode_keys_values(context, &params, k, D, v, D, TOKENS, data, TOKENS, 0);
        kern_queries queries = {.table = fixture_alloc(100 * 128), .scale = fixture_alloc(100 * sizeof(float))};
        kern_encode_queries(context, &params, q, D, 100, &queries);
        float *out = fixture_alloc(100 * D * sizeof *out);
        kern_kv_block block = {.data = data, .n_tokens = TOKENS, .capacity = TOKENS};
        kern_attend_job job = {.queries = &queries, .n_queries = 100, .blocks = &block, .n_blocks = 1, .out = out, .out_stride = D};
        kern_attend_params attend = {.format = &format, .n_heads = 1, .n_kv_heads = 1};
        assert_int_equal(kern_attend(context, &attend, &job, 1), KERN_OK);
        float small = 63 * expf(-below), want = zero ? small / (1 + small) : 1;
        for (size_t f = 0; f < 100 * D; f++)
            if (!(fabsf(out[f] - want) <= 0.01f)) fail_msg("%s, case %zu: %g, not %g", kern_isa_name(), i, (double)out[f], (double)want);
        void *const made[] = {data, k, v, q, out, queries.table, queries.scale};
        for (size_t m = 0; m < sizeof made / sizeof *made; m++) free(made[m]);
    }
    kern_context_free(context);
}

/* Scores far apart and huge values: weights of 2^-126 and less, sums that change their scale by as much, no infinity. */
static void check_huge(void)
{
    for (size_t i = 0; i < 4; i++) {
        fixture f = {.format = i % 2 ? SFA_Q4 : SFA_Q8, .n_heads = 2, .n_kv_heads = 1, .n_blocks = 1, .block_tokens = {200}, .n_queries = 130,
                     .with_own = true, .peak = i < 2 ? 300 : 3000, .seed = 85 + (unsigned)i};
        check_case(&f, 1);
    }
}

static void check_several_jobs(void)
{
    enum { JOBS = 5 };
    const size_t queries[JOBS] = {130, 1, 300, 17, 2};
    fixture f[JOBS];
    kern_attend_job jobs[JOBS];
    for (size_t j = 0; j < JOBS; j++) {
        f[j] = (fixture){.format = SFA_Q4, .n_heads = 4, .n_kv_heads = 2, .n_queries = queries[j], .with_own = true, .peak = 2,
                         .seed = 90 + (unsigned)j};
        fixture_make(&f[j], 2);
        assert_int_equal(fixture_attend(&f[j]), KERN_OK);
        jobs[j] = f[j].job;
        jobs[j].out = fixture_alloc(queries[j] * 4 * 128 * sizeof(float));
    }
    kern_attend_params params = {.format = &SFA_Q4, .n_heads = 4, .n_kv_heads = 2};
    assert_int_equal(kern_attend(f[0].context, &params, jobs, JOBS), KERN_OK);
    for (size_t j = 0; j < JOBS; j++) {
        assert_memory_equal(jobs[j].out, f[j].out, queries[j] * 4 * 128 * sizeof(float));
        free(jobs[j].out);
        fixture_free(&f[j]);
    }
}

static void check_block_scores(void)
{
    fixture f = {.format = SFA_Q8, .n_heads = 4, .n_kv_heads = 2, .n_blocks = 3, .block_tokens = {1, 1300, 77}, .n_queries = 20, .peak = 2, .seed = 100};
    fixture_make(&f, 2);
    kern_attend_params params = {.format = &f.format, .n_heads = 4, .n_kv_heads = 2};
    float log_sum[12], max[12];
    assert_int_equal(kern_block_scores(f.context, &params, &f.queries, 2, 18, f.blocks, 3, log_sum, max), KERN_OK);
    double *scores = fixture_alloc(1300 * sizeof *scores), q[KERN_HEAD_DIM_MAX];
    for (size_t b = 0; b < 3; b++)
        for (size_t h = 0; h < 4; h++) {
            double best = -INFINITY, best_sum = -INFINITY;
            for (size_t i = 2; i < 20; i++) {
                double sum = 0;
                fixture_query(&f, i, h, q);
                fixture_scores(&f, b, f.block_tokens[b], f.block_tokens[b], q, h / 2, scores);
                for (size_t t = 0; t < f.block_tokens[b]; t++) {
                    best = fmax(best, scores[t]);
                    sum += exp(scores[t]);
                }
                best_sum = fmax(best_sum, log(sum));
            }
            assert_true(fabs(best - (double)max[b * 4 + h]) < 1e-4 * (1 + fabs(best)));
            assert_true(fabs(best_sum - (double)log_sum[b * 4 + h]) < 1e-4 * (1 + fabs(best_sum)));
        }
    free(scores);
    fixture_free(&f);
}

static void check_refusals(void)
{
    fixture f = {.format = SFA_Q8, .n_heads = 4, .n_kv_heads = 2, .n_blocks = 1, .block_tokens = {40}, .n_queries = 2, .peak = 1, .seed = 110};
    fixture_make(&f, 1);
    kern_attend_params params = {.format = &f.format, .n_heads = 4, .n_kv_heads = 2};
    assert_int_equal(fixture_attend(&f), KERN_OK);
    bool cancel = true;
    kern_context_set_cancel(f.context, &cancel);
    assert_int_equal(fixture_attend(&f), KERN_CANCELLED);
    kern_context_set_cancel(f.context, NULL);
    kern_attend_job job = f.job;
    job.n_queries = 3; /* more than there are */
    assert_int_equal(kern_attend(f.context, &params, &job, 1), KERN_BAD_ARGUMENT);
    job = f.job;
    job.own = f.blocks[0];
    job.own_before = 39; /* 39 + 2 > 40 */
    assert_int_equal(kern_attend(f.context, &params, &job, 1), KERN_BAD_ARGUMENT);
    params.n_kv_heads = 3;
    assert_int_equal(kern_attend(f.context, &params, &f.job, 1), KERN_BAD_ARGUMENT);
    fixture_free(&f);
}

#define ISA_TEST(name)                                                                                                                     \
    static void test_##name(void **state)                                                                                                  \
    {                                                                                                                                      \
        for_each_isa(check_##name);                                                                                                        \
    }
ISA_TEST(formats)
ISA_TEST(tails)
ISA_TEST(sections)
ISA_TEST(groups)
ISA_TEST(blocks_and_own)
ISA_TEST(drop)
ISA_TEST(masses)
ISA_TEST(lists)
ISA_TEST(threads)
ISA_TEST(no_common_feature)
ISA_TEST(small_beside_large)
ISA_TEST(huge)
ISA_TEST(several_jobs)
ISA_TEST(block_scores)
ISA_TEST(refusals)

/* An argument names the tests to run, as a pattern. */
int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),           cmocka_unit_test(test_tails),        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_groups),            cmocka_unit_test(test_blocks_and_own), cmocka_unit_test(test_drop),
        cmocka_unit_test(test_masses),            cmocka_unit_test(test_threads),      cmocka_unit_test(test_no_common_feature),
        cmocka_unit_test(test_several_jobs),      cmocka_unit_test(test_block_scores), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_small_beside_large), cmocka_unit_test(test_huge),         cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
