/* linear-avx2.c: the products' inner loops with AVX2, FMA and F16C.
 *
 * Owns: register tiles. Does not own: meaning (linear-portable.c), cutting into tasks (matmul.c).
 *
 * vpmaddubsw multiplies unsigned by signed bytes and adds pairs in 16 bits with saturation. |w| times x with w's sign never
 * saturates, as codes of x lie in -127 .. 127: 2 * 128 * 127 < 2^15. A tile has up to 4 rows by one panel.
 */
#include "linear.h"

#include "convert.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { TILE_ROWS = 4 };

static inline int32_t sum_i32(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

static inline uint32_t max_u32(__m256i v)
{
    __m128i s = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(s, _mm_shuffle_epi32(s, 0xb1)));
}

static inline float sum_ps(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

float kern_quantize_group_avx2(const float *x, int8_t *ret_codes, int32_t ret_sums[4])
{
    __m256i max_bits = _mm256_setzero_si256();
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    for (int i = 0; i < KERN_GROUP_COLS; i += 8) {
        max_bits = _mm256_max_epu32(max_bits, _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + i)), magnitude));
    }
    uint32_t bits = max_u32(max_bits);
    float max = kern_float_of_bits(bits);
    if (bits >= 0x7f800000u || max < KERN_QUANT_SMALLEST) {
        memset(ret_codes, 0, KERN_GROUP_COLS);
        for (int part = 0; part < 4; part++) ret_sums[part] = 0;
        return bits >= 0x7f800000u ? NAN : 0.0f;
    }
    const __m256 inverse = _mm256_set1_ps(127.0f / max);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); /* undoes what packing does to lanes */
    for (int part = 0; part < 4; part++) {
        __m256i v[4];
        for (int i = 0; i < 4; i++) v[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + part * 32 + i * 8), inverse));
        __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
        _mm256_storeu_si256((__m256i *)(ret_codes + part * 32), _mm256_permutevar8x32_epi32(bytes, order));
        ret_sums[part] = sum_i32(_mm256_add_epi32(_mm256_add_epi32(v[0], v[1]), _mm256_add_epi32(v[2], v[3])));
    }
    return max / 127.0f;
}

/* Half a panel, 8 columns from `col`, of one row. */
static inline __attribute__((always_inline)) void put_half(const kern_tile *tile, size_t row, size_t col, __m256 sums)
{
    float *out = tile->out + row * tile->out_stride + col;
    size_t n_out = tile->weight->n_out;
    if (col >= n_out) return;
    if (n_out - col >= 8) {
        if (tile->accumulate) sums = _mm256_add_ps(_mm256_loadu_ps(out), sums);
        _mm256_storeu_ps(out, sums);
        return;
    }
    float values[8];
    _mm256_storeu_ps(values, sums);
    for (size_t i = 0; i < n_out - col; i++) out[i] = tile->accumulate ? out[i] + values[i] : values[i];
}

static inline __attribute__((always_inline)) void tile_q8(const kern_tile *tile, const kern_rows_q8 *x, size_t first_row, size_t panel,
                                                          const int ROWS)
{
    const size_t n_groups = x->in_padded / KERN_GROUP_COLS;
    const int8_t *codes = x->codes + first_row * x->in_padded;
    const float *scales = x->scales + first_row * n_groups;
    const int8_t *w = (const int8_t *)tile->weight->data + panel * KERN_PANEL_ROWS * x->in_padded;
    const float *w_scales = (const float *)tile->weight->scales + panel * KERN_PANEL_ROWS * n_groups;
    const __m256i ones = _mm256_set1_epi16(1);
    __m256 sums[TILE_ROWS][2];
    for (int r = 0; r < ROWS; r++) sums[r][0] = sums[r][1] = _mm256_setzero_ps();
    for (size_t g = 0; g < n_groups; g++) {
        __m256i acc[TILE_ROWS][2];
        for (int r = 0; r < ROWS; r++) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
        for (int j = 0; j < KERN_GROUP_COLS / 4; j++) {
            for (int half = 0; half < 2; half++) {
                __m256i bytes = _mm256_load_si256((const __m256i *)(w + j * 64 + half * 32)), magnitude = _mm256_abs_epi8(bytes);
                for (int r = 0; r < ROWS; r++) {
                    __m256i four = _mm256_set1_epi32(*(const int32_t *)(codes + (j * ROWS + r) * 4));
                    __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(four, bytes));
                    acc[r][half] = _mm256_add_epi32(acc[r][half], _mm256_madd_epi16(pairs, ones));
                }
            }
        }
        for (int half = 0; half < 2; half++) {
            __m256 w_scale = _mm256_load_ps(w_scales + g * KERN_PANEL_ROWS + (size_t)half * 8);
            for (int r = 0; r < ROWS; r++) {
                __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[r][half]), w_scale);
                sums[r][half] = _mm256_fmadd_ps(scaled, _mm256_set1_ps(scales[g * (size_t)ROWS + (size_t)r]), sums[r][half]);
            }
        }
        codes += ROWS * KERN_GROUP_COLS;
        w += KERN_GROUP_COLS * KERN_PANEL_ROWS;
    }
    for (int r = 0; r < ROWS && first_row + (size_t)r < tile->n_rows; r++) {
        for (size_t half = 0; half < 2; half++) put_half(tile, first_row + (size_t)r, panel * KERN_PANEL_ROWS + half * 8, sums[r][half]);
    }
}

void kern_matmul_q8_avx2(const kern_tile *tile, const kern_rows_q8 *x)
{
    for (size_t panel = tile->first_panel; panel < tile->first_panel + tile->n_panels; panel++) {
        for (size_t row = 0; row < tile->n_rows; row += x->tile_rows) {
            switch (x->tile_rows) {
            case 1:
                tile_q8(tile, x, row, panel, 1);
                break;
            case 2:
                tile_q8(tile, x, row, panel, 2);
                break;
            case 3:
                tile_q8(tile, x, row, panel, 3);
                break;
            default:
                tile_q8(tile, x, row, panel, 4);
                break;
            }
        }
    }
}

/* 8 rows by 32 columns of a Q4 panel as u8 = value + 8: unit u holds columns 4u .. 4u + 3, of which lane l, element i is
 * row 2 * i + l. */
static inline __attribute__((always_inline)) void unpack_q4(const uint8_t *w, __m256i ret_units[8])
{
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int high = 0; high < 2; high++) {
        __m256i row[4];
        for (int i = 0; i < 4; i++) {
            __m256i bytes = _mm256_load_si256((const __m256i *)(w + i * 32));
            row[i] = _mm256_and_si256(high ? _mm256_srli_epi16(bytes, 4) : bytes, nibble);
        }
        __m256i ab_low = _mm256_unpacklo_epi32(row[0], row[1]), ab_high = _mm256_unpackhi_epi32(row[0], row[1]);
        __m256i cd_low = _mm256_unpacklo_epi32(row[2], row[3]), cd_high = _mm256_unpackhi_epi32(row[2], row[3]);
        ret_units[high * 4 + 0] = _mm256_unpacklo_epi64(ab_low, cd_low);
        ret_units[high * 4 + 1] = _mm256_unpackhi_epi64(ab_low, cd_low);
        ret_units[high * 4 + 2] = _mm256_unpacklo_epi64(ab_high, cd_high);
        ret_units[high * 4 + 3] = _mm256_unpackhi_epi64(ab_high, cd_high);
    }
}

/* Eight rows of a panel. Eight products of at most 2 * 15 * 127 fit 16 bits: one widening for each group. */
static inline __attribute__((always_inline)) void tile_q4(const kern_tile *tile, const kern_rows_q8 *x, size_t first_row, size_t panel,
                                                          size_t half, const int ROWS)
{
    const size_t n_groups = x->in_padded / KERN_Q4_GROUP_COLS;
    const int8_t *codes = x->codes + first_row * x->in_padded;
    const float *scales = x->scales + first_row * (n_groups / 4);
    const int32_t *offsets = x->offsets_4 + first_row * n_groups;
    const uint8_t *w = (const uint8_t *)tile->weight->data + panel * KERN_PANEL_ROWS * x->in_padded / 2 + half * 128;
    const uint16_t *w_scales = (const uint16_t *)tile->weight->scales + panel * KERN_PANEL_ROWS * n_groups + half * 8;
    const __m256i ones = _mm256_set1_epi16(1), order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    __m256 sums[TILE_ROWS];
    for (int r = 0; r < ROWS; r++) sums[r] = _mm256_setzero_ps();
    for (size_t g = 0; g < n_groups; g++) {
        __m256i units[8];
        unpack_q4(w + g * 256, units);
        __m256 w_scale = _mm256_cvtph_ps(_mm_load_si128((const __m128i *)(w_scales + g * KERN_PANEL_ROWS)));
        w_scale = _mm256_permutevar8x32_ps(w_scale, order);
        for (int r = 0; r < ROWS; r++) {
            __m256i pairs = _mm256_setzero_si256();
            for (int j = 0; j < 8; j++) {
                __m256i four = _mm256_set1_epi32(*(const int32_t *)(codes + (j * ROWS + r) * 4));
                pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(units[j], four));
            }
            size_t at = g * (size_t)ROWS + (size_t)r, scale_at = g / 4 * (size_t)ROWS + (size_t)r;
            __m256i acc = _mm256_add_epi32(_mm256_madd_epi16(pairs, ones), _mm256_set1_epi32(offsets[at]));
            sums[r] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc), w_scale), _mm256_set1_ps(scales[scale_at]), sums[r]);
        }
        codes += ROWS * KERN_Q4_GROUP_COLS;
    }
    const __m256i back = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int r = 0; r < ROWS && first_row + (size_t)r < tile->n_rows; r++) {
        put_half(tile, first_row + (size_t)r, panel * KERN_PANEL_ROWS + half * 8, _mm256_permutevar8x32_ps(sums[r], back));
    }
}

void kern_matmul_q4_avx2(const kern_tile *tile, const kern_rows_q8 *x)
{
    for (size_t panel = tile->first_panel; panel < tile->first_panel + tile->n_panels; panel++) {
        for (size_t row = 0; row < tile->n_rows; row += x->tile_rows) {
            for (size_t half = 0; half < 2; half++) {
                switch (x->tile_rows) {
                case 1:
                    tile_q4(tile, x, row, panel, half, 1);
                    break;
                case 2:
                    tile_q4(tile, x, row, panel, half, 2);
                    break;
                case 3:
                    tile_q4(tile, x, row, panel, half, 3);
                    break;
                default:
                    tile_q4(tile, x, row, panel, half, 4);
                    break;
                }
            }
        }
    }
}

/* n of 8 weights from element `at`, the rest zero. */
static inline __attribute__((always_inline)) __m256 load_weights(kern_weight_type type, const void *data, size_t at, size_t n)
{
    if (type == KERN_W_F32) {
        const float *from = (const float *)data + at;
        float few[8] = {0};
        if (n < 8) from = memcpy(few, from, n * sizeof *few);
        return _mm256_loadu_ps(from);
    }
    const uint16_t *from = (const uint16_t *)data + at;
    uint16_t few[8] = {0};
    if (n < 8) from = memcpy(few, from, n * sizeof *few);
    __m128i half = _mm_loadu_si128((const __m128i *)from);
    if (type == KERN_W_F16) return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

static inline __attribute__((always_inline)) void tile_float(const kern_tile *tile, const float *x, size_t x_stride, size_t first_row,
                                                             size_t first_out, kern_weight_type type, const int ROWS, const int OUTS)
{
    size_t n_in = tile->weight->n_in;
    __m256 acc[TILE_ROWS][2];
    for (int r = 0; r < ROWS; r++) {
        for (int o = 0; o < OUTS; o++) acc[r][o] = _mm256_setzero_ps();
    }
    for (size_t c = 0; c < n_in; c += 8) {
        size_t n = n_in - c < 8 ? n_in - c : 8;
        __m256 w[2];
        for (int o = 0; o < OUTS; o++) w[o] = load_weights(type, tile->weight->data, (first_out + (size_t)o) * n_in + c, n);
        for (int r = 0; r < ROWS; r++) {
            __m256 values = load_weights(KERN_W_F32, x, (first_row + (size_t)r) * x_stride + c, n);
            for (int o = 0; o < OUTS; o++) acc[r][o] = _mm256_fmadd_ps(values, w[o], acc[r][o]);
        }
    }
    for (int r = 0; r < ROWS; r++) {
        for (int o = 0; o < OUTS; o++) {
            float *out = tile->out + (first_row + (size_t)r) * tile->out_stride + first_out + (size_t)o;
            float sum = sum_ps(acc[r][o]);
            *out = tile->accumulate ? *out + sum : sum;
        }
    }
}

static inline __attribute__((always_inline)) void matmul_float(const kern_tile *tile, const float *x, size_t x_stride,
                                                               kern_weight_type type)
{
    size_t first = tile->first_panel * KERN_PANEL_ROWS, end = first + tile->n_panels * KERN_PANEL_ROWS;
    if (end > tile->weight->n_out) end = tile->weight->n_out;
    for (size_t out = first; out < end;) {
        size_t n = end - out >= 2 ? 2 : 1, row = 0;
        for (; row + TILE_ROWS <= tile->n_rows; row += TILE_ROWS) {
            if (n == 2)
                tile_float(tile, x, x_stride, row, out, type, TILE_ROWS, 2);
            else
                tile_float(tile, x, x_stride, row, out, type, TILE_ROWS, 1);
        }
        for (; row < tile->n_rows; row++) {
            if (n == 2)
                tile_float(tile, x, x_stride, row, out, type, 1, 2);
            else
                tile_float(tile, x, x_stride, row, out, type, 1, 1);
        }
        out += n;
    }
}

void kern_matmul_float_avx2(const kern_tile *tile, const float *x, size_t x_stride)
{
    switch (tile->weight->type) {
    case KERN_W_F32:
        matmul_float(tile, x, x_stride, KERN_W_F32);
        break;
    case KERN_W_F16:
        matmul_float(tile, x, x_stride, KERN_W_F16);
        break;
    default:
        matmul_float(tile, x, x_stride, KERN_W_BF16);
        break;
    }
}
