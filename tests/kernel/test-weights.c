/* test-weights.c: packed weights have the bytes that kern.h describes, and rows come back within half a step. */
#include "support.h"

#include <math.h>

typedef struct packed {
    kern_weight weight;
    int8_t *data;
    void *scales;
} packed;

static packed pack_new(kern_weight_type type, size_t n_out, size_t n_in, const float *source)
{
    packed p = {.data = test_alloc(kern_weight_data_bytes(type, n_out, n_in)),
                .scales = test_alloc(kern_weight_scales_bytes(type, n_out, n_in))};
    memset(p.data, 0x55, kern_weight_data_bytes(type, n_out, n_in)); /* padding must be written too */
    assert_int_equal(kern_weight_pack(type, p.data, p.scales, n_out, n_in, 0, n_out, KERN_W_F32, source), KERN_OK);
    p.weight = (kern_weight){.type = type, .n_out = n_out, .n_in = n_in, .data = p.data, .scales = p.scales};
    return p;
}

static void pack_free(packed *p)
{
    free(p->data);
    free(p->scales);
}

static void test_sizes(void **state)
{
    assert_int_equal(kern_weight_data_bytes(KERN_W_F32, 3, 5), 60);
    assert_int_equal(kern_weight_data_bytes(KERN_W_F16, 3, 5), 30);
    assert_int_equal(kern_weight_data_bytes(KERN_W_BF16, 3, 5), 30);
    assert_int_equal(kern_weight_data_bytes(KERN_W_Q8, 17, 129), 32 * 256);
    assert_int_equal(kern_weight_data_bytes(KERN_W_Q4, 17, 129), 32 * 128);
    assert_int_equal(kern_weight_scales_bytes(KERN_W_Q8, 17, 129), 2 * 2 * 16 * 4);
    assert_int_equal(kern_weight_scales_bytes(KERN_W_Q4, 17, 129), 2 * 8 * 16 * 2);
    assert_int_equal(kern_weight_scales_bytes(KERN_W_BF16, 17, 129), 0);
    assert_int_equal(kern_weight_group_sums_bytes(KERN_W_Q8, 17, 129), 2 * 2 * 16 * 4);
    assert_int_equal(kern_weight_group_sums_bytes(KERN_W_Q4, 17, 129), 0);
}

/* Byte for byte against the words of kern.h. */
static void test_layout_q8(void **state)
{
    enum { OUT = 18, IN = 131 };
    float source[OUT * IN] = {0};
    source[17 * IN + 130] = -2.0f; /* panel 1, row 1; group 1, column 2 */
    source[17 * IN + 129] = 1.0f;
    source[3 * IN + 6] = 12.7f;
    packed p = pack_new(KERN_W_Q8, OUT, IN, source);
    const float *scales = p.scales;
    for (size_t i = 0; i < kern_weight_data_bytes(KERN_W_Q8, OUT, IN); i++) {
        size_t panel = i / (16 * 256), column = i % (16 * 256) / 64 * 4 + i % 4, row = panel * 16 + i / 4 % 16;
        int expected = row == 17 && column == 130 ? -127 : row == 17 && column == 129 ? 64 : row == 3 && column == 6 ? 127 : 0;
        assert_int_equal(p.data[i], expected);
    }
    for (size_t i = 0; i < 64; i++) {
        float expected = i == 3 ? 12.7f / 127 : i == (1 * 2 + 1) * 16 + 1 ? 2.0f / 127 : 0;
        assert_true(scales[i] == expected);
    }
    int32_t sums[64];
    kern_weight_group_sums(&p.weight, sums);
    for (size_t i = 0; i < 64; i++) assert_int_equal(sums[i], i == 3 ? 127 : i == 49 ? 64 - 127 : 0);
    pack_free(&p);
}

static void test_layout_q4(void **state)
{
    enum { OUT = 18, IN = 131 };
    float source[OUT * IN] = {0};
    source[17 * IN + 37] = -14.0f; /* group 1 of 32, column 5: low nibble of byte 5 */
    source[17 * IN + 53] = 4.0f;   /* column 21: high nibble of byte 5 */
    packed p = pack_new(KERN_W_Q4, OUT, IN, source);
    const uint16_t *scales = p.scales;
    for (size_t i = 0; i < kern_weight_data_bytes(KERN_W_Q4, OUT, IN); i++) {
        size_t panel = i / (16 * 128), group = i % (16 * 128) / 256, row = panel * 16 + i % 256 / 16;
        int expected = row == 17 && group == 1 && i % 16 == 5 ? 0xa1 : 0x88;
        assert_int_equal((uint8_t)p.data[i], expected);
    }
    for (size_t i = 0; i < 2 * 8 * 16; i++) assert_int_equal(scales[i], i == (8 + 1) * 16 + 1 ? 0x4000 : 0);
    pack_free(&p);
}

static void test_rows_come_back(void **state)
{
    static const size_t shapes[][2] = {{1, 1}, {16, 128}, {17, 129}, {40, 300}, {5, 31}};
    uint64_t seed = 11;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t n_out = shapes[s][0], n_in = shapes[s][1];
        float *source = test_random_floats(&seed, n_out * n_in), *row = test_alloc(n_in * sizeof *row);
        for (int type = KERN_W_Q8; type <= KERN_W_Q4; type++) {
            size_t group = type == KERN_W_Q8 ? 128 : 32;
            packed p = pack_new((kern_weight_type)type, n_out, n_in, source);
            for (size_t r = 0; r < n_out; r++) {
                kern_weight_row(&p.weight, r, row);
                for (size_t c = 0; c < n_in; c++) {
                    float max = 0;
                    for (size_t i = c / group * group; i < n_in && i < (c / group + 1) * group; i++)
                        max = fmaxf(max, fabsf(source[r * n_in + i]));
                    float step = max / (type == KERN_W_Q8 ? 127 : 7);
                    float scale_error = type == KERN_W_Q4 ? 7 * 0x1p-25f : 0; /* of a subnormal scale in half precision */
                    assert_true(fabsf(row[c] - source[r * n_in + c]) <= step * 0.505f + scale_error);
                }
            }
            pack_free(&p);
        }
        free(source);
        free(row);
    }
}

/* Packing in pieces, and from 16-bit types, gives the bytes of packing all at once. */
static void test_pieces_and_types(void **state)
{
    enum { OUT = 50, IN = 200 };
    uint64_t seed = 3;
    float *source = test_alloc(OUT * IN * sizeof *source);
    uint16_t *bf16 = test_alloc(OUT * IN * sizeof *bf16), *f16 = test_alloc(OUT * IN * sizeof *f16);
    for (size_t i = 0; i < OUT * IN; i++) { /* exact in all three types */
        source[i] = (float)((int)(test_random(&seed) % 255) - 127) / 64;
        uint32_t bits;
        memcpy(&bits, &source[i], 4);
        bf16[i] = (uint16_t)(bits >> 16);
        f16[i] = source[i] == 0 ? 0 : (uint16_t)((bits >> 16 & 0x8000) | ((bits & 0x7fffffff) - 0x38000000) >> 13);
    }
    for (int type = KERN_W_Q8; type <= KERN_W_Q4; type++) {
        packed whole = pack_new((kern_weight_type)type, OUT, IN, source), other = pack_new((kern_weight_type)type, OUT, IN, source);
        size_t data_bytes = kern_weight_data_bytes((kern_weight_type)type, OUT, IN);
        size_t scale_bytes = kern_weight_scales_bytes((kern_weight_type)type, OUT, IN);
        for (int from = KERN_W_F32; from <= KERN_W_BF16; from++) {
            memset(other.data, 0x33, data_bytes);
            memset(other.scales, 0x33, scale_bytes);
            for (size_t row = 0; row < OUT; row += 32) {
                const void *at = from == KERN_W_F32 ? (const void *)(source + row * IN) : (from == KERN_W_F16 ? f16 : bf16) + row * IN;
                size_t n = OUT - row < 32 ? OUT - row : 32;
                assert_int_equal(
                    kern_weight_pack((kern_weight_type)type, other.data, other.scales, OUT, IN, row, n, (kern_weight_type)from, at),
                    KERN_OK);
            }
            assert_memory_equal(whole.data, other.data, data_bytes);
            assert_memory_equal(whole.scales, other.scales, scale_bytes);
        }
        pack_free(&whole);
        pack_free(&other);
    }
    free(source);
    free(bf16);
    free(f16);
}

static void test_bad_arguments(void **state)
{
    float source[32 * 4] = {0}, scales[256];
    int8_t data[32 * 128];
    assert_int_equal(kern_weight_pack(KERN_W_F32, data, scales, 32, 4, 0, 32, KERN_W_F32, source), KERN_BAD_ARGUMENT);
    assert_int_equal(kern_weight_pack(KERN_W_Q8, data, scales, 32, 4, 0, 32, KERN_W_Q8, source), KERN_BAD_ARGUMENT);
    assert_int_equal(kern_weight_pack(KERN_W_Q8, data, scales, 32, 4, 8, 16, KERN_W_F32, source), KERN_BAD_ARGUMENT);
    assert_int_equal(kern_weight_pack(KERN_W_Q8, data, scales, 32, 4, 0, 8, KERN_W_F32, source), KERN_BAD_ARGUMENT);
    assert_int_equal(kern_weight_pack(KERN_W_Q8, data, scales, 32, 4, 16, 32, KERN_W_F32, source), KERN_BAD_ARGUMENT);
    assert_int_equal(kern_weight_pack(KERN_W_Q8, data, scales, 32, 4, 48, 0, KERN_W_F32, source), KERN_BAD_ARGUMENT);
}

/* Every half-precision number, through a row of F16 weights; every 16-bit pattern of bfloat16 is the upper half of a float. */
static void test_sixteen_bit_rows(void **state)
{
    uint16_t *halves = test_alloc(65536 * sizeof *halves);
    float *row = test_alloc(65536 * sizeof *row);
    for (size_t i = 0; i < 65536; i++) halves[i] = (uint16_t)i;
    kern_weight weight = {.type = KERN_W_F16, .n_out = 1, .n_in = 65536, .data = halves};
    kern_weight_row(&weight, 0, row);
    for (size_t i = 0; i < 65536; i++) {
        int exponent = (int)(i >> 10 & 31), fraction = (int)(i & 1023);
        double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
        if (exponent == 31) magnitude = fraction == 0 ? INFINITY : NAN;
        if (isnan(magnitude))
            assert_true(isnan(row[i]));
        else
            assert_true(row[i] == (float)(i & 0x8000 ? -magnitude : magnitude));
    }
    weight.type = KERN_W_BF16;
    kern_weight_row(&weight, 0, row);
    for (size_t i = 0; i < 65536; i++) {
        uint32_t bits;
        memcpy(&bits, &row[i], 4);
        assert_int_equal(bits, i << 16);
    }
    free(halves);
    free(row);
}

/* Groups of zeros, of huge and of non-finite numbers. */
static void test_special_groups(void **state)
{
    float source[16 * 128] = {0};
    for (size_t c = 0; c < 128; c++) {
        source[1 * 128 + c] = c % 2 ? 3e38f : -3e38f;
        source[2 * 128 + c] = 1e-42f;
        source[3 * 128 + c] = c == 5 ? NAN : 1.0f;
        source[4 * 128 + c] = c == 5 ? INFINITY : 1.0f;
    }
    float row[128];
    packed p = pack_new(KERN_W_Q8, 16, 128, source);
    kern_weight_row(&p.weight, 0, row);
    for (size_t c = 0; c < 128; c++) assert_true(row[c] == 0);
    kern_weight_row(&p.weight, 1, row);
    for (size_t c = 0; c < 128; c++) assert_true(fabsf(row[c] / source[128 + c] - 1) < 1e-6f);
    kern_weight_row(&p.weight, 2, row);
    for (size_t c = 0; c < 128; c++) assert_true(row[c] == 0);
    for (size_t r = 3; r < 5; r++) {
        kern_weight_row(&p.weight, r, row);
        for (size_t c = 0; c < 128; c++) assert_true(isnan(row[c]));
    }
    pack_free(&p);
    p = pack_new(KERN_W_Q4, 16, 128, source);
    kern_weight_row(&p.weight, 1, row); /* the largest half-precision scale: the nearest that can be said */
    for (size_t c = 0; c < 128; c++) assert_true(row[c] == (c % 2 ? 7 * 65504.0f : -7 * 65504.0f));
    kern_weight_row(&p.weight, 3, row);
    assert_true(isnan(row[0]));
    pack_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_layout_q8),
        cmocka_unit_test(test_layout_q4),
        cmocka_unit_test(test_rows_come_back),
        cmocka_unit_test(test_pieces_and_types),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_sixteen_bit_rows),
        cmocka_unit_test(test_special_groups),
    };
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
