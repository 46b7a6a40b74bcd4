/* test-codes.c: codes of keys, values and queries on every instruction set.
 *
 * Owns: exact top-k, 8-bit codes, 4-bit and 8-bit values, norm, RoPE and rotation, units written in pieces, odd input.
 * Does not own: attention (test-attend.c).
 */
#include "attend-fixture.h"

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

/* The reference: a stable sort by descending magnitude, the first k. */
static void plain_top_k(const float *x, size_t d, size_t k, bool *ret_kept)
{
    memset(ret_kept, 0, d * sizeof *ret_kept);
    for (size_t n = 0; n < k; n++) {
        size_t best = d;
        for (size_t i = 0; i < d; i++)
            if (!ret_kept[i] && (best == d || fabsf(x[i]) > fabsf(x[best]))) best = i;
        ret_kept[best] = true;
    }
}

typedef struct shape {
    size_t d, k;
} shape;
static const shape SHAPES[] = {{128, 16}, {128, 128}, {128, 4}, {128, 32}, {128, 100}, {64, 8}, {64, 64}, {32, 4}, {16, 12}, {96, 20}, {112, 16}};
enum { N_SHAPES = sizeof SHAPES / sizeof *SHAPES, TOKENS = 37 };

/* Kinds of rows: ordinary, many ties, zeros, a single entry, huge, tiny. */
static void fill(float *x, size_t d, size_t kind, uint32_t *state)
{
    for (size_t i = 0; i < d; i++) {
        float r = fixture_feature(state);
        switch (kind % 6) {
        case 0: x[i] = r; break;
        case 1: x[i] = (float)((int)(r * 2)) * 0.5f; break; /* five magnitudes */
        case 2: x[i] = 0; break;
        case 3: x[i] = i == (size_t)(fabsf(r) * 7) % d ? -3 : 0; break;
        case 4: x[i] = r * 1e7f; break;
        default: x[i] = r * 1e-7f; break;
        }
    }
}

typedef struct encoded {
    kern_kv_format format;
    float *k, *v;
    kern_kv_block block;
    size_t n_heads;
} encoded;

static void encode_all(encoded *e, kern_context *context, const kern_kv_format *format, const size_t *pieces, size_t n_pieces)
{
    uint32_t state = 77;
    e->format = *format;
    e->n_heads = 2;
    size_t width = e->n_heads * format->d, capacity = 48;
    kern_kv_layout layout = kern_kv_layout_of(format, e->n_heads, capacity);
    uint8_t *data = fixture_alloc(layout.total_bytes);
    memset(data, 0xa5, layout.total_bytes);
    e->k = fixture_alloc(TOKENS * width * sizeof *e->k);
    e->v = fixture_alloc(TOKENS * width * sizeof *e->v);
    for (size_t t = 0; t < TOKENS * e->n_heads; t++) {
        fill(e->k + t * format->d, format->d, t, &state);
        fill(e->v + t * format->d, format->d, t + 1, &state);
    }
    kern_encode_params params = {.format = format, .n_heads = e->n_heads};
    for (size_t i = 0, at = 0; i < n_pieces; at += pieces[i++])
        kern_encode_keys_values(context, &params, e->k + at * width, width, e->v + at * width, width, pieces[i], data, capacity, at);
    e->block = (kern_kv_block){.data = data, .n_tokens = TOKENS, .capacity = (uint32_t)capacity};
}

static void encoded_free(encoded *e)
{
    free(e->k);
    free(e->v);
    free((void *)(uintptr_t)e->block.data);
}

static float largest(const float *x, size_t n)
{
    float max = 0;
    for (size_t i = 0; i < n; i++) max = fmaxf(max, fabsf(x[i]));
    return max;
}

static void check_keys(void)
{
    kern_context *context;
    assert_int_equal(kern_context_new(1, false, &context), KERN_OK);
    for (size_t s = 0; s < 2 * N_SHAPES; s++) {
        kern_kv_format format = {.d = (uint16_t)SHAPES[s / 2].d, .k_key = (uint16_t)SHAPES[s / 2].k, .k_query = 4,
                                 .key_type = s % 2 ? KERN_KEY_CODE32 : KERN_KEY_CODE8, .value_type = KERN_VALUE_Q8};
        size_t d = format.d, all = TOKENS;
        encoded e;
        encode_all(&e, context, &format, &all, 1);
        for (size_t t = 0; t < TOKENS; t++)
            for (size_t h = 0; h < e.n_heads; h++) {
                const float *x = e.k + (t * e.n_heads + h) * d;
                float key[KERN_HEAD_DIM_MAX], step = largest(x, d) / 127;
                bool kept[KERN_HEAD_DIM_MAX];
                plain_top_k(x, d, format.k_key, kept);
                kern_kv_get_key(&format, e.n_heads, &e.block, h, t, key);
                /* a step of an f16 scale is 2^-11 of it, or 2^-25; half a code; beyond its range the largest code */
                float error = s % 2 ? 0 : step * 0.57f + 0x1p-25f * 127 + (step > 65504 ? INFINITY : 0);
                for (size_t i = 0; i < d; i++) assert_true(kept[i] ? fabsf(key[i] - x[i]) <= error : key[i] == 0);
            }
        encoded_free(&e);
    }
    kern_context_free(context);
}

static void check_values(void)
{
    kern_context *context;
    assert_int_equal(kern_context_new(1, false, &context), KERN_OK);
    const uint16_t groups[] = {32, 16, 64, 128, 32};
    for (size_t s = 0; s < 5; s++) {
        kern_kv_format format = {.d = 128, .k_key = 16, .k_query = 16, .value_group = groups[s], .value_type = s < 4 ? KERN_VALUE_Q4 : KERN_VALUE_Q8};
        size_t all = TOKENS, group = s < 4 ? groups[s] : 128;
        float top = s < 4 ? 7 : 127;
        encoded e;
        encode_all(&e, context, &format, &all, 1);
        for (size_t row = 0; row < TOKENS * e.n_heads; row++) {
            const float *x = e.v + row * 128;
            float value[KERN_HEAD_DIM_MAX];
            kern_kv_get_value(&format, e.n_heads, &e.block, row % e.n_heads, row / e.n_heads, value);
            for (size_t g = 0; g < 128 / group; g++) {
                float exact = largest(x + g * group, group) / top;
                if (exact > 60000) continue;
                float scale = fmaxf(roundf(exact * 0x1p24f) < 2048 ? rintf(exact * 0x1p24f) * 0x1p-24f : exact, 1e-7f);
                for (size_t i = g * group; i < (g + 1) * group; i++) {
                    assert_true(fabsf(value[i] - x[i]) <= scale * (0.5f + top * 0x1p-11f) + top * 0x1p-24f);
                }
            }
        }
        encoded_free(&e);
    }
    kern_context_free(context);
}

/* Every instruction set, and any division into calls, writes the same bytes. */
static void test_same_bytes(void **state)
{
    const size_t whole[] = {TOKENS}, pieces[] = {1, 15, 3, 1, 17};
    const char *names[4], *before = kern_isa_name();
    size_t n = kern_isa_available(names);
    kern_context *context;
    assert_int_equal(kern_context_new(3, false, &context), KERN_OK);
    for (size_t s = 0; s < N_SHAPES; s++) {
        kern_kv_format format = {.d = (uint16_t)SHAPES[s].d, .k_key = (uint16_t)SHAPES[s].k, .k_query = 4, .value_group = 16,
                                 .value_type = s % 2 ? KERN_VALUE_Q8 : KERN_VALUE_Q4};
        encoded first, other;
        size_t unit_bytes = kern_kv_layout_of(&format, 2, 48).rows_offset;
        assert_true(kern_isa_force("portable"));
        encode_all(&first, context, &format, whole, 1);
        for (size_t i = 0; i < n; i++) {
            assert_true(kern_isa_force(names[i]));
            encode_all(&other, context, &format, pieces, 5);
            assert_memory_equal(first.block.data, other.block.data, unit_bytes);
            for (size_t t = 0; t < TOKENS * 2; t++) {
                float a[KERN_HEAD_DIM_MAX], b[KERN_HEAD_DIM_MAX];
                kern_kv_get_value(&format, 2, &first.block, t % 2, t / 2, a);
                kern_kv_get_value(&format, 2, &other.block, t % 2, t / 2, b);
                assert_memory_equal(a, b, format.d * sizeof *a);
            }
            encoded_free(&other);
        }
        encoded_free(&first);
    }
    kern_context_free(context);
    assert_true(kern_isa_force(before));
}

static void check_queries(void)
{
    kern_context *context;
    assert_int_equal(kern_context_new(2, false, &context), KERN_OK);
    for (size_t s = 0; s < N_SHAPES; s++) {
        size_t d = SHAPES[s].d, k = SHAPES[s].k, heads = 3;
        kern_kv_format format = {.d = (uint16_t)d, .k_key = 4, .k_query = (uint16_t)k, .value_type = KERN_VALUE_Q8};
        float *q = fixture_alloc(TOKENS * heads * d * sizeof *q);
        kern_queries queries = {.table = fixture_alloc(TOKENS * heads * 128), .scale = fixture_alloc(TOKENS * heads * sizeof(float)),
                                .dense = fixture_alloc(TOKENS * heads * d * sizeof(float))};
        uint32_t random = 5;
        for (size_t r = 0; r < TOKENS * heads; r++) fill(q + r * d, d, r, &random);
        kern_encode_params params = {.format = &format, .n_heads = heads};
        kern_encode_queries(context, &params, q, heads * d, TOKENS, &queries);
        for (size_t r = 0; r < TOKENS * heads; r++) {
            bool kept[KERN_HEAD_DIM_MAX] = {false};
            plain_top_k(q + r * d, d, k, kept);
            float root = 1 / sqrtf((float)d), step = largest(q + r * d, d) / 127 * root;
            for (size_t i = 0; i < 128; i++) {
                float got = (float)queries.table[r * 128 + i] * queries.scale[r];
                if (!kept[i]) assert_true(got == 0);
                else assert_true(fabsf(got - q[r * d + i] * root) <= step * 0.501f);
                if (i < d) assert_true(fabsf(queries.dense[r * d + i] - (kept[i] ? q[r * d + i] * root : 0)) <= 1e-6f * fabsf(q[r * d + i]));
            }
        }
        free(q);
        free(queries.table);
        free(queries.scale);
        free(queries.dense);
    }
    kern_context_free(context);
}

/* Norm and RoPE against double. */
static void check_norm_and_rope(void)
{
    enum { D = 128, N = 5 };
    kern_kv_format format = {.d = D, .k_key = D, .k_query = D, .key_type = KERN_KEY_CODE32, .value_type = KERN_VALUE_F32};
    float x[N * D], weight[D], cosines[N * D / 2], sines[N * D / 2], dense[N * D], scale[N];
    int8_t table[N * 128];
    uint32_t random = 9;
    for (size_t i = 0; i < N * D; i++) x[i] = fixture_feature(&random);
    for (size_t i = 0; i < D; i++) weight[i] = 1 + 0.3f * fixture_random(&random);
    for (size_t i = 0; i < N * D / 2; i++) cosines[i] = cosf((float)i), sines[i] = sinf((float)i);
    kern_context *context;
    assert_int_equal(kern_context_new(1, false, &context), KERN_OK);
    kern_queries queries = {.table = table, .scale = scale, .dense = dense};
    kern_encode_params params = {.format = &format, .n_heads = 1, .norm_weight = weight, .norm_eps = 1e-6f, .rope_cos = cosines, .rope_sin = sines};
    kern_encode_queries(context, &params, x, D, N, &queries);
    for (size_t r = 0; r < N; r++) {
        double squares = 0, want[D];
        for (size_t i = 0; i < D; i++) squares += (double)x[r * D + i] * (double)x[r * D + i];
        for (size_t i = 0; i < D; i++) want[i] = (double)x[r * D + i] / sqrt(squares / D + 1e-6) * (double)weight[i] / sqrt(D);
        for (size_t i = 0; i < D / 2; i++) {
            double c = (double)cosines[r * D / 2 + i], s = (double)sines[r * D / 2 + i];
            assert_true(fabs(want[i] * c - want[i + D / 2] * s - (double)dense[r * D + i]) < 1e-6);
            assert_true(fabs(want[i + D / 2] * c + want[i] * s - (double)dense[r * D + i + D / 2]) < 1e-6);
        }
    }
    kern_context_free(context);
}

/* An orthogonal matrix: a product of rotations of pairs. */
static void fill_orthogonal(float *matrix, size_t d, uint32_t *random)
{
    double m[KERN_HEAD_DIM_MAX][KERN_HEAD_DIM_MAX] = {{0}};
    for (size_t i = 0; i < d; i++) m[i][i] = 1;
    for (size_t n = 0; n < 20 * d; n++) {
        size_t a = n % d, b = (n * 7 + n / d + 1) % d;
        double angle = (double)fixture_random(random) * 3;
        for (size_t j = 0; a != b && j < d; j++) {
            double x = m[j][a], y = m[j][b];
            m[j][a] = cos(angle) * x - sin(angle) * y;
            m[j][b] = sin(angle) * x + cos(angle) * y;
        }
    }
    for (size_t i = 0; i < d * d; i++) matrix[i] = (float)m[i / d][i % d];
}

/* Keys and queries of two KV heads with two query heads each, with or without a matrix for each KV head. */
enum { ROTATED_TOKENS = 21 };
typedef struct rotated {
    kern_queries queries;
    kern_kv_block block;
} rotated;

static rotated encode_rotated(kern_context *context, const kern_kv_format *format, const float *q, const float *k, const float *rotations, size_t piece)
{
    size_t d = format->d, n = ROTATED_TOKENS, capacity = 32;
    rotated r = {.queries = {.table = fixture_alloc(n * 4 * 128), .scale = fixture_alloc(n * 4 * sizeof(float)), .dense = fixture_alloc(n * 4 * d * sizeof(float))}};
    void *data = fixture_alloc(kern_kv_layout_of(format, 2, capacity).total_bytes);
    kern_encode_params params = {.format = format, .n_heads = 4, .rotations = rotations, .n_rotations = 2};
    for (size_t at = 0; at < n; at += piece) {
        size_t n_rows = n - at < piece ? n - at : piece;
        kern_queries part = {.table = r.queries.table + at * 4 * 128, .scale = r.queries.scale + at * 4, .dense = r.queries.dense + at * 4 * d};
        params.n_heads = 4;
        kern_encode_queries(context, &params, q + at * 4 * d, 4 * d, n_rows, &part);
        params.n_heads = 2;
        kern_encode_keys_values(context, &params, k + at * 2 * d, 2 * d, k + at * 2 * d, 2 * d, n_rows, data, capacity, at);
    }
    r.block = (kern_kv_block){.data = data, .n_tokens = (uint32_t)n, .capacity = (uint32_t)capacity};
    return r;
}

static void free_rotated(rotated *r)
{
    free(r->queries.table);
    free(r->queries.scale);
    free(r->queries.dense);
    free((void *)r->block.data);
}

/* Scores of dense keys and queries stay what they are; a sparse key is the largest features of the rotated row; a row's codes do not depend on
 * the rows beside it. */
static void check_rotation(void)
{
    kern_context *context;
    assert_int_equal(kern_context_new(2, false, &context), KERN_OK);
    static const size_t SIZES[] = {128, 96, 16};
    for (size_t s = 0; s < 3; s++) {
        size_t d = SIZES[s];
        float *q = fixture_alloc(ROTATED_TOKENS * 4 * d * sizeof *q), *k = fixture_alloc(ROTATED_TOKENS * 2 * d * sizeof *k), matrices[2 * 128 * 128];
        uint32_t random = 77;
        for (size_t i = 0; i < ROTATED_TOKENS * 4 * d; i++) q[i] = fixture_feature(&random);
        for (size_t i = 0; i < ROTATED_TOKENS * 2 * d; i++) k[i] = fixture_feature(&random);
        for (size_t h = 0; h < 2; h++) fill_orthogonal(matrices + h * d * d, d, &random);
        kern_kv_format format = {.d = (uint16_t)d, .k_key = (uint16_t)d, .k_query = (uint16_t)d, .key_type = KERN_KEY_CODE32, .value_type = KERN_VALUE_Q8};
        rotated plain = encode_rotated(context, &format, q, k, NULL, 21), turned = encode_rotated(context, &format, q, k, matrices, 21);
        rotated pieces = encode_rotated(context, &format, q, k, matrices, 3);
        assert_memory_equal(turned.queries.dense, pieces.queries.dense, ROTATED_TOKENS * 4 * d * sizeof *q);
        assert_memory_equal(turned.block.data, pieces.block.data, kern_kv_layout_of(&format, 2, 32).total_bytes);
        format.k_key = 8;
        rotated sparse = encode_rotated(context, &format, q, k, matrices, 21);
        double worst = 0, largest = 0, changed = 0;
        for (size_t t = 0; t < ROTATED_TOKENS; t++)
            for (size_t h = 0; h < 4; h++) {
                float key[KERN_HEAD_DIM_MAX], rotated_key[KERN_HEAD_DIM_MAX], kept[KERN_HEAD_DIM_MAX];
                kern_kv_format dense = format;
                dense.k_key = (uint16_t)d;
                kern_kv_get_key(&dense, 2, &plain.block, h / 2, t, key);
                kern_kv_get_key(&dense, 2, &turned.block, h / 2, t, rotated_key);
                kern_kv_get_key(&format, 2, &sparse.block, h / 2, t, kept);
                bool is_kept[KERN_HEAD_DIM_MAX];
                plain_top_k(rotated_key, d, 8, is_kept);
                for (size_t i = 0; i < d; i++) {
                    double want = 0; /* the definition, in double */
                    for (size_t j = 0; j < d; j++) want += (double)key[j] * (double)matrices[h / 2 * d * d + j * d + i];
                    assert_true(fabs(want - (double)rotated_key[i]) < 1e-5);
                    assert_true(kept[i] == (is_kept[i] ? rotated_key[i] : 0));
                    changed = fmax(changed, fabs((double)key[i] - (double)rotated_key[i]));
                }
                for (size_t u = 0; u < ROTATED_TOKENS; u++) {
                    double a = 0, b = 0;
                    for (size_t i = 0; i < d; i++) {
                        a += (double)key[i] * (double)plain.queries.dense[(u * 4 + h) * d + i];
                        b += (double)rotated_key[i] * (double)turned.queries.dense[(u * 4 + h) * d + i];
                    }
                    worst = fmax(worst, fabs(a - b));
                    largest = fmax(largest, fabs(a));
                }
            }
        assert_true(worst < 1e-5 * largest);
        assert_true(changed > 0.1);
        free_rotated(&plain);
        free_rotated(&turned);
        free_rotated(&pieces);
        free_rotated(&sparse);
        free(q);
        free(k);
    }
    kern_context_free(context);
}

/* What is not a number: no crash, the finite features still there, nothing but numbers comes back. */
static void check_not_numbers(void)
{
    kern_context *context;
    assert_int_equal(kern_context_new(1, false, &context), KERN_OK);
    const float odd[] = {NAN, INFINITY, -INFINITY};
    for (size_t s = 0; s < 3 * 4; s++) {
        kern_kv_format format = {.d = 128, .k_key = s % 2 ? 16 : 128, .k_query = 16, .value_group = 32, .value_type = (kern_value_type)(s % 3)};
        float x[16 * 128], value[128];
        for (size_t i = 0; i < 16 * 128; i++) x[i] = i % (7 + s) == 3 ? odd[i % 3] : 1;
        kern_kv_layout layout = kern_kv_layout_of(&format, 1, 16);
        void *data = fixture_alloc(layout.total_bytes);
        kern_encode_params params = {.format = &format, .n_heads = 1};
        kern_encode_keys_values(context, &params, x, 128, x, 128, 16, data, 16, 0);
        kern_kv_block block = {.data = data, .n_tokens = 16, .capacity = 16};
        for (size_t t = 0; t < 16; t++) {
            kern_kv_get_key(&format, 1, &block, 0, t, value);
            for (size_t i = 0; i < 128; i++) assert_true(isfinite(value[i]));
            kern_kv_get_value(&format, 1, &block, 0, t, value);
            for (size_t i = 0; i < 128; i++) assert_true(isfinite(value[i]));
        }
        free(data);
    }
    kern_context_free(context);
}

static void test_formats(void **state)
{
    kern_kv_format good = {.d = 128, .k_key = 16, .k_query = 16, .value_group = 32};
    assert_true(kern_kv_format_valid(&good));
    assert_int_equal(kern_kv_unit_bytes(&good), 544);
    const kern_kv_format bad[] = {
        {.d = 0, .k_key = 4, .k_query = 4, .value_group = 16},      {.d = 144, .k_key = 16, .k_query = 16, .value_group = 16},
        {.d = 24, .k_key = 4, .k_query = 4, .value_group = 8},      {.d = 64, .k_key = 68, .k_query = 8, .value_group = 32},
        {.d = 64, .k_key = 6, .k_query = 8, .value_group = 32},     {.d = 64, .k_key = 0, .k_query = 8, .value_group = 32},
        {.d = 64, .k_key = 8, .k_query = 0, .value_group = 32},     {.d = 64, .k_key = 8, .k_query = 65, .value_group = 32},
        {.d = 64, .k_key = 8, .k_query = 8, .value_group = 48},     {.d = 64, .k_key = 8, .k_query = 8, .value_group = 0},
        {.d = 64, .k_key = 8, .k_query = 8, .value_type = (kern_value_type)9}, {.d = 64, .k_key = 8, .k_query = 8, .key_type = (kern_key_type)5, .value_group = 32},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(kern_kv_format_valid(&bad[i]));
}

#define ISA_TEST(name)                                                                                                                     \
    static void test_##name(void **state)                                                                                                  \
    {                                                                                                                                      \
        for_each_isa(check_##name);                                                                                                        \
    }
ISA_TEST(keys)
ISA_TEST(values)
ISA_TEST(queries)
ISA_TEST(norm_and_rope)
ISA_TEST(not_numbers)
ISA_TEST(rotation)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),       cmocka_unit_test(test_keys),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_same_bytes),    cmocka_unit_test(test_queries), cmocka_unit_test(test_norm_and_rope),
        cmocka_unit_test(test_not_numbers),   cmocka_unit_test(test_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
