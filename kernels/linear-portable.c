/* linear-portable.c: the definition of the products' inner loops, in plain C.
 *
 * Owns: meaning. Does not own: speed.
 */
#include "linear.h"

#include "convert.h"

#include <math.h>

float kern_quantize_group_portable(const float *x, int8_t *ret_codes, int32_t ret_sums[4])
{
    uint32_t max_bits = 0;
    for (int i = 0; i < KERN_GROUP_COLS; i++) {
        uint32_t bits = kern_float_bits(x[i]) & 0x7fffffffu; /* ordered like the magnitudes, NaN above infinity */
        max_bits = bits > max_bits ? bits : max_bits;
    }
    float max = kern_float_of_bits(max_bits);
    bool finite = max_bits < 0x7f800000u;
    float inverse = finite && max >= KERN_QUANT_SMALLEST ? 127.0f / max : 0.0f;
    for (int part = 0; part < 4; part++) {
        int32_t sum = 0;
        for (int i = part * 32; i < part * 32 + 32; i++) {
            /* Adding 1.5 * 2^23 rounds to nearest even and leaves the integer in the low bits. */
            float rounded = (inverse == 0.0f ? 0.0f : x[i] * inverse) + 0x1.8p23f;
            int32_t code = (int32_t)(kern_float_bits(rounded) - kern_float_bits(0x1.8p23f));
            ret_codes[i] = (int8_t)code;
            sum += code;
        }
        ret_sums[part] = sum;
    }
    if (!finite) return NAN;
    return inverse == 0.0f ? 0.0f : max / 127.0f;
}

/* out[row][panel * 16 ..] <- or += sums. */
static void put_panel(const kern_tile *tile, size_t row, size_t panel, const float sums[KERN_PANEL_ROWS])
{
    float *out = tile->out + row * tile->out_stride + panel * KERN_PANEL_ROWS;
    size_t n = tile->weight->n_out - panel * KERN_PANEL_ROWS;
    if (n > KERN_PANEL_ROWS) n = KERN_PANEL_ROWS;
    for (size_t i = 0; i < n; i++) out[i] = tile->accumulate ? out[i] + sums[i] : sums[i];
}

static void row_by_panel_q8(const kern_rows_q8 *x, size_t row, const int8_t *w, const float *w_scales, float sums[KERN_PANEL_ROWS])
{
    size_t n_groups = x->in_padded / KERN_GROUP_COLS, rows = x->tile_rows, r = row % rows;
    const int8_t *codes = x->codes + row / rows * rows * x->in_padded + r * 4;
    const float *scales = x->scales + row / rows * rows * n_groups + r;
    for (size_t i = 0; i < KERN_PANEL_ROWS; i++) sums[i] = 0;
    for (size_t g = 0; g < n_groups; g++) {
        int32_t acc[KERN_PANEL_ROWS] = {0};
        for (size_t j = g * 32; j < g * 32 + 32; j++) {
            const int8_t *a = codes + j * rows * 4, *b = w + j * 64;
            for (int i = 0; i < KERN_PANEL_ROWS; i++) {
                acc[i] += a[0] * b[i * 4] + a[1] * b[i * 4 + 1] + a[2] * b[i * 4 + 2] + a[3] * b[i * 4 + 3];
            }
        }
        for (int i = 0; i < KERN_PANEL_ROWS; i++) sums[i] += (float)acc[i] * w_scales[g * 16 + (size_t)i] * scales[g * rows];
    }
}

void kern_matmul_q8_portable(const kern_tile *tile, const kern_rows_q8 *x)
{
    size_t groups = x->in_padded / KERN_GROUP_COLS;
    for (size_t panel = tile->first_panel; panel < tile->first_panel + tile->n_panels; panel++) {
        const int8_t *w = (const int8_t *)tile->weight->data + panel * KERN_PANEL_ROWS * x->in_padded;
        const float *w_scales = (const float *)tile->weight->scales + panel * KERN_PANEL_ROWS * groups;
        for (size_t row = 0; row < tile->n_rows; row++) {
            float sums[KERN_PANEL_ROWS];
            row_by_panel_q8(x, row, w, w_scales, sums);
            put_panel(tile, row, panel, sums);
        }
    }
}

static void row_by_panel_q4(const kern_rows_q8 *x, size_t row, const uint8_t *w, const uint16_t *w_scales, float sums[KERN_PANEL_ROWS])
{
    size_t rows = x->tile_rows, r = row % rows, n_groups = x->in_padded / KERN_Q4_GROUP_COLS;
    const int8_t *codes = x->codes + row / rows * rows * x->in_padded + r * 4;
    const float *scales = x->scales + row / rows * rows * (n_groups / 4) + r;
    for (size_t i = 0; i < KERN_PANEL_ROWS; i++) sums[i] = 0;
    for (size_t g = 0; g < n_groups; g++) {
        for (size_t i = 0; i < KERN_PANEL_ROWS; i++) {
            const uint8_t *b = w + (g * KERN_PANEL_ROWS + i) * 16;
            int32_t acc = 0;
            for (size_t c = 0; c < 16; c++) {
                acc += ((b[c] & 15) - 8) * codes[(g * 8 + c / 4) * rows * 4 + c % 4];
                acc += ((b[c] >> 4) - 8) * codes[(g * 8 + 4 + c / 4) * rows * 4 + c % 4];
            }
            sums[i] += (float)acc * kern_f32_of_f16(w_scales[g * 16 + i]) * scales[g / 4 * rows];
        }
    }
}

void kern_matmul_q4_portable(const kern_tile *tile, const kern_rows_q8 *x)
{
    size_t groups = x->in_padded / KERN_Q4_GROUP_COLS;
    for (size_t panel = tile->first_panel; panel < tile->first_panel + tile->n_panels; panel++) {
        const uint8_t *w = (const uint8_t *)tile->weight->data + panel * KERN_PANEL_ROWS * x->in_padded / 2;
        const uint16_t *w_scales = (const uint16_t *)tile->weight->scales + panel * KERN_PANEL_ROWS * groups;
        for (size_t row = 0; row < tile->n_rows; row++) {
            float sums[KERN_PANEL_ROWS];
            row_by_panel_q4(x, row, w, w_scales, sums);
            put_panel(tile, row, panel, sums);
        }
    }
}

static float float_dot(const kern_weight *weight, size_t out, const float *x)
{
    double sum = 0;
    const uint16_t *half = (const uint16_t *)weight->data + out * weight->n_in;
    const float *full = (const float *)weight->data + out * weight->n_in;
    for (size_t i = 0; i < weight->n_in; i++) {
        float w = weight->type == KERN_W_F32 ? full[i] : weight->type == KERN_W_F16 ? kern_f32_of_f16(half[i]) : kern_f32_of_bf16(half[i]);
        sum += (double)w * x[i];
    }
    return (float)sum;
}

void kern_matmul_float_portable(const kern_tile *tile, const float *x, size_t x_stride)
{
    for (size_t panel = tile->first_panel; panel < tile->first_panel + tile->n_panels; panel++) {
        size_t first = panel * KERN_PANEL_ROWS, n = tile->weight->n_out - first;
        if (n > KERN_PANEL_ROWS) n = KERN_PANEL_ROWS;
        for (size_t row = 0; row < tile->n_rows; row++) {
            float sums[KERN_PANEL_ROWS];
            for (size_t i = 0; i < n; i++) sums[i] = float_dot(tile->weight, first + i, x + row * x_stride);
            put_panel(tile, row, panel, sums);
        }
    }
}

void kern_rms_norm_row_portable(const float *x, const float *weight, float eps, size_t n_cols, float *out)
{
    double sum = 0;
    for (size_t i = 0; i < n_cols; i++) sum += (double)x[i] * x[i];
    float factor = (float)(1.0 / sqrt(sum / (double)n_cols + (double)eps));
    for (size_t i = 0; i < n_cols; i++) out[i] = x[i] * factor * weight[i];
}

void kern_swiglu_row_portable(float *gate, const float *up, size_t n_cols)
{
    for (size_t i = 0; i < n_cols; i++) gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}
