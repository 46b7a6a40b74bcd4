/* linear-avx512.c: the products' inner loops with AVX-512 and VNNI.
 *
 * Owns: register tiles. Does not own: meaning (linear-portable.c), cutting into tasks (matmul.c).
 *
 * vpdpbusd multiplies unsigned by signed bytes. The weights are made unsigned on the way (w + 128 is w ^ 0x80), once for
 * all rows of a tile, and the accumulators start at -128 * sum(codes of x), which is known by row and group: so weights
 * need no sums of their own. A tile has up to 12 rows by 2 panels: 24 accumulators, 2 weights, the rest for broadcasts.
 */
#include "linear.h"

#include "convert.h"

#include <immintrin.h>
#include <math.h>

float kern_quantize_group_avx512(const float *x, int8_t *ret_codes, int32_t ret_sums[4])
{
    __m512i max_bits = _mm512_setzero_si512();
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    for (int i = 0; i < KERN_GROUP_COLS; i += 16)
        max_bits = _mm512_max_epu32(max_bits, _mm512_and_si512(_mm512_loadu_si512(x + i), magnitude));
    uint32_t bits = _mm512_reduce_max_epu32(max_bits);
    float max = kern_float_of_bits(bits);
    if (bits >= 0x7f800000u || max < KERN_QUANT_SMALLEST) {
        for (int i = 0; i < KERN_GROUP_COLS; i += 64) _mm512_storeu_si512(ret_codes + i, _mm512_setzero_si512());
        for (int part = 0; part < 4; part++) ret_sums[part] = 0;
        return bits >= 0x7f800000u ? NAN : 0.0f;
    }
    __m512 inverse = _mm512_set1_ps(127.0f / max);
    for (int part = 0; part < 4; part++) {
        __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + part * 32), inverse));
        __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + part * 32 + 16), inverse));
        _mm_storeu_si128((__m128i *)(ret_codes + part * 32), _mm512_cvtepi32_epi8(low));
        _mm_storeu_si128((__m128i *)(ret_codes + part * 32 + 16), _mm512_cvtepi32_epi8(high));
        ret_sums[part] = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
    }
    return max / 127.0f;
}

/* Writes one panel of one row. */
static inline __attribute__((always_inline)) void put_panel(const kern_tile *tile, size_t row, size_t panel, __m512 sums)
{
    float *out = tile->out + row * tile->out_stride + panel * KERN_PANEL_ROWS;
    size_t left = tile->weight->n_out - panel * KERN_PANEL_ROWS;
    __mmask16 lanes = left >= KERN_PANEL_ROWS ? 0xffff : (__mmask16)((1u << left) - 1);
    if (tile->accumulate) sums = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, out), sums);
    if (tile->stream && lanes == 0xffff) {
        _mm512_stream_ps(out, sums);
    } else {
        _mm512_mask_storeu_ps(out, lanes, sums);
    }
}

/* One instruction as the compiler cannot take apart: left to itself gcc 12 copies accumulators and spills them. */
static inline __attribute__((always_inline)) void dot4(__m512i *acc, __m512i unsigned_bytes, __m512i signed_bytes)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(unsigned_bytes), "v"(signed_bytes));
}

/* One group of 128 columns of a tile of ROWS rows by two panels, in registers of our own choice: gcc 12 keeps the loop in
 * registers but loses 40% around it. Accumulators: zmm0 .. zmm23, two a row; zmm24, 25: weights, then their scales. */
#define GROUP_BEGIN(r, a, b)                             \
    "vpbroadcastd " #r "*4(%[offsets]), %%zmm" #a "\n\t" \
    "vmovdqa64 %%zmm" #a ", %%zmm" #b "\n\t"
#define GROUP_DOT(r, a, b)                         \
    "vpbroadcastd " #r "*4(%[codes]), %%zmm27\n\t" \
    "vpdpbusd %%zmm27, %%zmm24, %%zmm" #a "\n\t"   \
    "vpdpbusd %%zmm27, %%zmm25, %%zmm" #b "\n\t"
#define GROUP_END(r, a, b)                                         \
    "vbroadcastss " #r "*4(%[scales]), %%zmm27\n\t"                \
    "vcvtdq2ps %%zmm" #a ", %%zmm" #a "\n\t"                       \
    "vcvtdq2ps %%zmm" #b ", %%zmm" #b "\n\t"                       \
    "vmulps %%zmm24, %%zmm" #a ", %%zmm" #a "\n\t"                 \
    "vmulps %%zmm25, %%zmm" #b ", %%zmm" #b "\n\t"                 \
    "vfmadd213ps " #r "*128(%[sums]), %%zmm27, %%zmm" #a "\n\t"    \
    "vfmadd213ps " #r "*128+64(%[sums]), %%zmm27, %%zmm" #b "\n\t" \
    "vmovaps %%zmm" #a ", " #r "*128(%[sums])\n\t"                 \
    "vmovaps %%zmm" #b ", " #r "*128+64(%[sums])\n\t"
#define ROWS_1(M) M(0, 0, 1)
#define ROWS_2(M) ROWS_1(M) M(1, 2, 3)
#define ROWS_3(M) ROWS_2(M) M(2, 4, 5)
#define ROWS_4(M) ROWS_3(M) M(3, 6, 7)
#define ROWS_5(M) ROWS_4(M) M(4, 8, 9)
#define ROWS_6(M) ROWS_5(M) M(5, 10, 11)
#define ROWS_7(M) ROWS_6(M) M(6, 12, 13)
#define ROWS_8(M) ROWS_7(M) M(7, 14, 15)
#define ROWS_9(M) ROWS_8(M) M(8, 16, 17)
#define ROWS_10(M) ROWS_9(M) M(9, 18, 19)
#define ROWS_11(M) ROWS_10(M) M(10, 20, 21)
#define ROWS_12(M) ROWS_11(M) M(11, 22, 23)
#define GROUP_CODE(rows, fetch)                                                                \
    ROWS_##rows(GROUP_BEGIN) "1:\n\t"                                                          \
                             "vpxord (%[w]), %%zmm26, %%zmm24\n\t"                             \
                             "vpxord (%[w],%[panel_bytes]), %%zmm26, %%zmm25\n\t" fetch ROWS_##rows( \
                                 GROUP_DOT) "add $" #rows "*4, %[codes]\n\t"                   \
                                            "add $64, %[w]\n\t"                                \
                                            "dec %[left]\n\t"                                  \
                                            "jnz 1b\n\t"                                       \
                                            "vmovaps (%[w_scales]), %%zmm24\n\t"               \
                                            "vmovaps (%[w_scales],%[scale_bytes]), %%zmm25\n\t" ROWS_##rows(GROUP_END)
#define GROUP_CLOBBERS                                                                                                                  \
    "cc", "memory", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", "zmm13", \
        "zmm14", "zmm15", "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26", "zmm27"

/* One row is bound by memory. Near the end of two panels the next two are fetched: without that a quarter of panels of 16 KB comes unannounced. */
enum { AHEAD_GROUPS = 1, GROUP_BYTES = KERN_GROUP_COLS * KERN_PANEL_ROWS };
#define FETCH_AHEAD "prefetchnta (%[ahead])\n\tprefetchnta (%[ahead],%[panel_bytes])\n\tadd $64, %[ahead]\n\t"

/* A page that is new to the processor costs a walk through tables, longer than 2 KB last: one line of each is fetched sooner. */
enum { TOUCH_AHEAD_BYTES = 3 * GROUP_BYTES, TOUCH_GROUPS = 4096 / GROUP_BYTES };

/* Where a tile's operands lie; each group moves codes and w on by itself. */
typedef struct tile_place {
    size_t n_groups, panel_bytes, scale_bytes; /* from one panel to the next */
    const int8_t *codes, *w;
    const float *scales, *w_scales;
    const int32_t *offsets;
} tile_place;

static inline __attribute__((always_inline)) tile_place place_of(const kern_tile *tile, const kern_rows_q8 *x, size_t first_row,
                                                                 size_t panel)
{
    size_t n_groups = x->in_padded / KERN_GROUP_COLS;
    return (tile_place){
        .n_groups = n_groups,
        .panel_bytes = KERN_PANEL_ROWS * x->in_padded,
        .scale_bytes = KERN_PANEL_ROWS * n_groups * sizeof(float),
        .codes = x->codes + first_row * x->in_padded,
        .w = (const int8_t *)tile->weight->data + panel * KERN_PANEL_ROWS * x->in_padded,
        .scales = x->scales + first_row * n_groups,
        .w_scales = (const float *)tile->weight->scales + panel * KERN_PANEL_ROWS * n_groups,
        .offsets = x->offsets + first_row * n_groups,
    };
}

static inline __attribute__((always_inline)) void touch_pages(const tile_place *at, size_t group)
{
    if (group % TOUCH_GROUPS != 0) return;
    const char *far = (const char *)((uintptr_t)at->w + TOUCH_AHEAD_BYTES); /* perhaps past the end: a prefetch does not fault */
    _mm_prefetch(far, _MM_HINT_T0);
    _mm_prefetch((const char *)((uintptr_t)far + at->panel_bytes), _MM_HINT_T0);
}

#define TILE_Q8(rows, fetch)                                                                                                                    \
    static __attribute__((noinline)) void tile_q8_##rows(const kern_tile *tile, const kern_rows_q8 *x, size_t first_row, size_t panel)   \
    {                                                                                                                                    \
        tile_place at = place_of(tile, x, first_row, panel);                                                                             \
        __m512 sums[rows][2];                                                                                                            \
        for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm512_setzero_ps();                                                    \
        for (size_t g = 0; g < at.n_groups; g++) {                                                                                       \
            size_t left = KERN_GROUP_COLS / 4;                                                                                           \
            const int8_t *ahead = at.w + AHEAD_GROUPS * GROUP_BYTES + (g + AHEAD_GROUPS >= at.n_groups ? at.panel_bytes : 0);            \
            if (sizeof fetch > 1) touch_pages(&at, g);                                                                                           \
            __asm__ volatile("vpbroadcastd %[flip], %%zmm26\n\t" GROUP_CODE(rows, fetch)                                                        \
                             : [codes] "+r"(at.codes), [w] "+r"(at.w), [left] "+r"(left), [ahead] "+r"(ahead)                            \
                             : [flip] "r"(0x80808080u), [offsets] "r"(at.offsets), [scales] "r"(at.scales), [w_scales] "r"(at.w_scales), \
                               [panel_bytes] "r"(at.panel_bytes), [scale_bytes] "r"(at.scale_bytes), [sums] "r"(sums)                    \
                             : GROUP_CLOBBERS);                                                                                          \
            at.scales += rows;                                                                                                           \
            at.offsets += rows;                                                                                                          \
            at.w_scales += KERN_PANEL_ROWS;                                                                                              \
        }                                                                                                                                \
        for (size_t r = 0; r < rows && first_row + r < tile->n_rows; r++) {                                                              \
            put_panel(tile, first_row + r, panel, sums[r][0]);                                                                           \
            put_panel(tile, first_row + r, panel + 1, sums[r][1]);                                                                       \
        }                                                                                                                                \
    }
TILE_Q8(1, FETCH_AHEAD)
TILE_Q8(2, FETCH_AHEAD)
TILE_Q8(3, "")
TILE_Q8(4, "")
TILE_Q8(5, "")
TILE_Q8(6, "")
TILE_Q8(7, "")
TILE_Q8(8, "")
TILE_Q8(9, "")
TILE_Q8(10, "")
TILE_Q8(11, "")
TILE_Q8(12, "")

typedef void (*tile_q8_fn)(const kern_tile *tile, const kern_rows_q8 *x, size_t first_row, size_t panel);

static const tile_q8_fn tiles_q8[KERN_TILE_ROWS_MAX + 1] = {
    NULL,      tile_q8_1, tile_q8_2, tile_q8_3,  tile_q8_4,  tile_q8_5,  tile_q8_6,
    tile_q8_7, tile_q8_8, tile_q8_9, tile_q8_10, tile_q8_11, tile_q8_12,
};

/* A single row by a single panel: the last panel of an odd number. The same sums in the same order. */
static void row_q8(const kern_tile *tile, const kern_rows_q8 *x, size_t row, size_t panel)
{
    size_t rows = x->tile_rows, r = row % rows;
    tile_place at = place_of(tile, x, row - r, panel);
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    __m512 sums = _mm512_setzero_ps();
    for (size_t g = 0; g < at.n_groups; g++) {
        __m512i acc[4] = {_mm512_set1_epi32(at.offsets[g * rows + r])};
        for (size_t j = 0; j < KERN_GROUP_COLS / 4; j += 4) {
            for (size_t i = 0; i < 4; i++) {
                __m512i four = _mm512_set1_epi32(*(const int32_t *)(at.codes + ((g * 32 + j + i) * rows + r) * 4));
                dot4(&acc[i], _mm512_xor_si512(_mm512_load_si512(at.w + (g * 32 + j + i) * 64), flip), four);
            }
        }
        __m512i sum = _mm512_add_epi32(_mm512_add_epi32(acc[0], acc[1]), _mm512_add_epi32(acc[2], acc[3]));
        __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_load_ps(at.w_scales + g * KERN_PANEL_ROWS));
        sums = _mm512_fmadd_ps(scaled, _mm512_set1_ps(at.scales[g * rows + r]), sums);
    }
    put_panel(tile, row, panel, sums);
}

void kern_matmul_q8_avx512(const kern_tile *tile, const kern_rows_q8 *x)
{
    size_t end = tile->first_panel + tile->n_panels, panel = tile->first_panel;
    for (; panel + 2 <= end; panel += 2) {
        for (size_t row = 0; row < tile->n_rows; row += x->tile_rows) tiles_q8[x->tile_rows](tile, x, row, panel);
    }
    for (size_t row = 0; panel < end && row < tile->n_rows; row++) row_q8(tile, x, row, panel);
    if (tile->stream) _mm_sfence();
}

/* A group of 32 columns of a Q4 panel as u8 = value + 8: unit u holds columns 4u .. 4u + 3 of 16 rows, of which lane l,
 * element i is row 4 * i + l; so do scales read through `order`. */
static inline __attribute__((always_inline)) void unpack_q4(const uint8_t *w, __m512i ret_units[8])
{
    const __m512i nibble = _mm512_set1_epi8(15);
    for (int half = 0; half < 2; half++) {
        __m512i row[4];
        for (int i = 0; i < 4; i++) {
            __m512i bytes = _mm512_load_si512(w + i * 64);
            row[i] = _mm512_and_si512(half ? _mm512_srli_epi16(bytes, 4) : bytes, nibble);
        }
        __m512i ab_low = _mm512_unpacklo_epi32(row[0], row[1]), ab_high = _mm512_unpackhi_epi32(row[0], row[1]);
        __m512i cd_low = _mm512_unpacklo_epi32(row[2], row[3]), cd_high = _mm512_unpackhi_epi32(row[2], row[3]);
        ret_units[half * 4 + 0] = _mm512_unpacklo_epi64(ab_low, cd_low);
        ret_units[half * 4 + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
        ret_units[half * 4 + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        ret_units[half * 4 + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
}

static inline __attribute__((always_inline)) void tile_q4(const kern_tile *tile, const kern_rows_q8 *x, size_t first_row, size_t panel,
                                                          const int ROWS)
{
    const size_t n_groups = x->in_padded / KERN_Q4_GROUP_COLS;
    const int8_t *codes = x->codes + first_row * x->in_padded;
    const float *scales = x->scales + first_row * (n_groups / 4);
    const int32_t *offsets = x->offsets_4 + first_row * n_groups;
    const uint8_t *w = (const uint8_t *)tile->weight->data + panel * KERN_PANEL_ROWS * x->in_padded / 2;
    const uint16_t *w_scales = (const uint16_t *)tile->weight->scales + panel * KERN_PANEL_ROWS * n_groups;
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); /* its own inverse */
    __m512 sums[KERN_TILE_ROWS_MAX];
    for (int r = 0; r < ROWS; r++) sums[r] = _mm512_setzero_ps();
    for (size_t g = 0; g < n_groups; g++) {
        __m512i units[8], acc[KERN_TILE_ROWS_MAX];
        unpack_q4(w + g * 256, units);
        for (int r = 0; r < ROWS; r++) acc[r] = _mm512_set1_epi32(offsets[g * (size_t)ROWS + (size_t)r]);
        for (int j = 0; j < 8; j++) {
            for (int r = 0; r < ROWS; r++) dot4(&acc[r], units[j], _mm512_set1_epi32(*(const int32_t *)(codes + (j * ROWS + r) * 4)));
        }
        __m512 w_scale = _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(w_scales + g * KERN_PANEL_ROWS)));
        w_scale = _mm512_permutexvar_ps(order, w_scale);
        for (int r = 0; r < ROWS; r++) {
            __m512 x_scale = _mm512_set1_ps(scales[g / 4 * (size_t)ROWS + (size_t)r]);
            sums[r] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[r]), w_scale), x_scale, sums[r]);
        }
        codes += ROWS * KERN_Q4_GROUP_COLS;
    }
    for (int r = 0; r < ROWS && first_row + (size_t)r < tile->n_rows; r++) {
        put_panel(tile, first_row + (size_t)r, panel, _mm512_permutexvar_ps(order, sums[r]));
    }
}

#define CASE_Q4(rows)                       \
    case rows:                              \
        tile_q4(tile, x, row, panel, rows); \
        break;

void kern_matmul_q4_avx512(const kern_tile *tile, const kern_rows_q8 *x)
{
    for (size_t panel = tile->first_panel; panel < tile->first_panel + tile->n_panels; panel++) {
        for (size_t row = 0; row < tile->n_rows; row += x->tile_rows) {
            switch (x->tile_rows) {
                CASE_Q4(1)
                CASE_Q4(2) CASE_Q4(3) CASE_Q4(4) CASE_Q4(5) CASE_Q4(6) CASE_Q4(7) CASE_Q4(8) CASE_Q4(9) CASE_Q4(10) CASE_Q4(11) CASE_Q4(12)
            }
        }
    }
    if (tile->stream) _mm_sfence();
}

static inline __attribute__((always_inline)) __m512 load_weights(kern_weight_type type, const void *data, size_t at, __mmask16 lanes)
{
    if (type == KERN_W_F32) return _mm512_maskz_loadu_ps(lanes, (const float *)data + at);
    __m256i half = _mm256_maskz_loadu_epi16(lanes, (const uint16_t *)data + at);
    if (type == KERN_W_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* ROWS rows of x by four rows of the weight, along the columns. */
static inline __attribute__((always_inline)) void tile_float(const kern_tile *tile, const float *x, size_t x_stride, size_t first_row,
                                                             size_t first_out, kern_weight_type type, const int ROWS, const int OUTS)
{
    size_t n_in = tile->weight->n_in;
    __m512 acc[6][4];
    for (int r = 0; r < ROWS; r++) {
        for (int o = 0; o < OUTS; o++) acc[r][o] = _mm512_setzero_ps();
    }
    for (size_t c = 0; c < n_in; c += 16) {
        __mmask16 lanes = n_in - c >= 16 ? 0xffff : (__mmask16)((1u << (n_in - c)) - 1);
        __m512 w[4];
        for (int o = 0; o < OUTS; o++) w[o] = load_weights(type, tile->weight->data, (first_out + (size_t)o) * n_in + c, lanes);
        for (int r = 0; r < ROWS; r++) {
            __m512 values = _mm512_maskz_loadu_ps(lanes, x + (first_row + (size_t)r) * x_stride + c);
            for (int o = 0; o < OUTS; o++) acc[r][o] = _mm512_fmadd_ps(values, w[o], acc[r][o]);
        }
    }
    for (int r = 0; r < ROWS; r++) {
        for (int o = 0; o < OUTS; o++) {
            float *out = tile->out + (first_row + (size_t)r) * tile->out_stride + first_out + (size_t)o;
            float sum = _mm512_reduce_add_ps(acc[r][o]);
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
        size_t n = end - out >= 4 ? 4 : 1, row = 0;
        for (; row + 6 <= tile->n_rows; row += 6) {
            if (n == 4)
                tile_float(tile, x, x_stride, row, out, type, 6, 4);
            else
                tile_float(tile, x, x_stride, row, out, type, 6, 1);
        }
        for (; row < tile->n_rows; row++) {
            if (n == 4)
                tile_float(tile, x, x_stride, row, out, type, 1, 4);
            else
                tile_float(tile, x, x_stride, row, out, type, 1, 1);
        }
        out += n;
    }
}

void kern_matmul_float_avx512(const kern_tile *tile, const float *x, size_t x_stride)
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
