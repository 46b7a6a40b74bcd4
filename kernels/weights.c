/* weights.c: packed weights: sizes, quantisation, reading a row back.
 *
 * Owns: the byte layouts that kern.h describes. Does not own: products with them.
 */
#include "convert.h"
#include "linear.h"

#include <math.h>
#include <string.h>

static size_t element_bytes(kern_weight_type type)
{
    return type == KERN_W_F32 ? 4 : 2;
}

size_t kern_weight_data_bytes(kern_weight_type type, size_t n_out, size_t n_in)
{
    size_t padded = kern_panels_of(n_out) * KERN_PANEL_ROWS * kern_cols_padded(n_in);
    if (type == KERN_W_Q8) return padded;
    if (type == KERN_W_Q4) return padded / 2;
    return n_out * n_in * element_bytes(type);
}

size_t kern_weight_scales_bytes(kern_weight_type type, size_t n_out, size_t n_in)
{
    size_t padded = kern_panels_of(n_out) * KERN_PANEL_ROWS * kern_cols_padded(n_in);
    if (type == KERN_W_Q8) return padded / KERN_GROUP_COLS * sizeof(float);
    if (type == KERN_W_Q4) return padded / KERN_Q4_GROUP_COLS * sizeof(uint16_t);
    return 0;
}

size_t kern_weight_group_sums_bytes(kern_weight_type type, size_t n_out, size_t n_in)
{
    if (type != KERN_W_Q8) return 0;
    return kern_panels_of(n_out) * KERN_PANEL_ROWS * kern_cols_padded(n_in) / KERN_GROUP_COLS * sizeof(int32_t);
}

/* Elements [first, first + n) of an array as float; the rest of `size` is zero. */
static void load_floats(kern_weight_type from, const void *source, size_t first, size_t n, size_t size, float *ret)
{
    if (from == KERN_W_F32) {
        memcpy(ret, (const float *)source + first, n * sizeof *ret);
    } else {
        const uint16_t *half = (const uint16_t *)source + first;
        for (size_t i = 0; i < n; i++) ret[i] = from == KERN_W_F16 ? kern_f32_of_f16(half[i]) : kern_f32_of_bf16(half[i]);
    }
    for (size_t i = n; i < size; i++) ret[i] = 0;
}

/* 32 values to s4 and a scale in half precision; codes are chosen for the scale as stored. */
static uint16_t quantize_group_q4(const float *x, uint8_t ret_bytes[16])
{
    uint32_t max_bits = 0;
    for (int i = 0; i < KERN_Q4_GROUP_COLS; i++) {
        uint32_t bits = kern_float_bits(x[i]) & 0x7fffffffu;
        max_bits = bits > max_bits ? bits : max_bits;
    }
    uint16_t scale = 0x7e00; /* NaN: the group held a NaN or an infinity */
    if (max_bits < 0x7f800000u) {
        scale = kern_f16_of_f32(kern_float_of_bits(max_bits) / 7.0f);
        if (scale >= 0x7c00) scale = 0x7bff; /* the largest finite one: codes saturate */
    }
    float step = kern_f32_of_f16(scale);
    uint8_t codes[KERN_Q4_GROUP_COLS];
    for (int i = 0; i < KERN_Q4_GROUP_COLS; i++) {
        float code = scale == 0 || scale > 0x7c00 ? 0.0f : x[i] / step;
        code = code > 7.0f ? 7.0f : code < -7.0f ? -7.0f : code;
        codes[i] = (uint8_t)(kern_float_bits(code + 0x1.8p23f) - kern_float_bits(0x1.8p23f) + 8);
    }
    for (int i = 0; i < 16; i++) ret_bytes[i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
    return scale;
}

/* One group of 128 columns of one row; values past the matrix are zero. */
static void pack_group(kern_weight_type to, void *data, void *scales, size_t in_padded, size_t row, size_t group, const float *values)
{
    size_t panel = row / KERN_PANEL_ROWS, r = row % KERN_PANEL_ROWS;
    if (to == KERN_W_Q8) {
        int8_t codes[KERN_GROUP_COLS];
        int32_t sums[4];
        ((float *)scales)[(panel * (in_padded / KERN_GROUP_COLS) + group) * KERN_PANEL_ROWS + r] =
            kern_quantize_group_portable(values, codes, sums);
        int8_t *out = (int8_t *)data + panel * KERN_PANEL_ROWS * in_padded + group * KERN_GROUP_COLS * KERN_PANEL_ROWS + r * 4;
        for (size_t j = 0; j < KERN_GROUP_COLS / 4; j++) memcpy(out + j * KERN_PANEL_ROWS * 4, codes + j * 4, 4);
        return;
    }
    for (size_t part = 0; part < KERN_GROUP_COLS / KERN_Q4_GROUP_COLS; part++) {
        size_t at = (panel * (in_padded / KERN_Q4_GROUP_COLS) + group * 4 + part) * KERN_PANEL_ROWS + r;
        ((uint16_t *)scales)[at] = quantize_group_q4(values + part * KERN_Q4_GROUP_COLS, (uint8_t *)data + at * 16);
    }
}

kern_status kern_weight_pack(kern_weight_type to, void *data, void *scales, size_t n_out, size_t n_in, size_t first_row, size_t n_rows,
                             kern_weight_type from, const void *source)
{
    if ((to != KERN_W_Q8 && to != KERN_W_Q4) || (from != KERN_W_F32 && from != KERN_W_F16 && from != KERN_W_BF16)) return KERN_BAD_ARGUMENT;
    if (first_row > n_out || n_rows > n_out - first_row || first_row % KERN_PANEL_ROWS != 0) return KERN_BAD_ARGUMENT;
    if (n_rows % KERN_PANEL_ROWS != 0 && first_row + n_rows != n_out) return KERN_BAD_ARGUMENT;
    size_t in_padded = kern_cols_padded(n_in);
    size_t end_row = kern_panels_of(first_row + n_rows) * KERN_PANEL_ROWS;
    for (size_t row = first_row; row < end_row; row++) {
        for (size_t group = 0; group < in_padded / KERN_GROUP_COLS; group++) {
            float values[KERN_GROUP_COLS];
            size_t first = group * KERN_GROUP_COLS, n = n_in - first;
            if (n > KERN_GROUP_COLS) n = KERN_GROUP_COLS;
            if (row >= n_out) n = 0;
            load_floats(from, source, (row - first_row) * n_in + first, n, KERN_GROUP_COLS, values);
            pack_group(to, data, scales, in_padded, row, group, values);
        }
    }
    return KERN_OK;
}

void kern_weight_group_sums(const kern_weight *weight, int32_t *ret_sums)
{
    if (weight->type != KERN_W_Q8) return;
    size_t n_groups = kern_panels_of(weight->n_out) * (kern_cols_padded(weight->n_in) / KERN_GROUP_COLS);
    for (size_t group = 0; group < n_groups; group++) {
        const int8_t *data = (const int8_t *)weight->data + group * KERN_GROUP_COLS * KERN_PANEL_ROWS;
        int32_t sums[KERN_PANEL_ROWS] = {0};
        for (size_t j = 0; j < KERN_GROUP_COLS * KERN_PANEL_ROWS; j++) sums[j / 4 % KERN_PANEL_ROWS] += data[j];
        memcpy(ret_sums + group * KERN_PANEL_ROWS, sums, sizeof sums);
    }
}

void kern_weight_row(const kern_weight *weight, size_t row, float *ret_row)
{
    size_t n_in = weight->n_in, in_padded = kern_cols_padded(n_in), panel = row / KERN_PANEL_ROWS, r = row % KERN_PANEL_ROWS;
    if (weight->type != KERN_W_Q8 && weight->type != KERN_W_Q4) {
        load_floats(weight->type, weight->data, row * n_in, n_in, n_in, ret_row);
        return;
    }
    for (size_t col = 0; col < n_in; col++) {
        if (weight->type == KERN_W_Q8) {
            const float *scales = (const float *)weight->scales + panel * (in_padded / KERN_GROUP_COLS) * KERN_PANEL_ROWS;
            const int8_t *data = (const int8_t *)weight->data + panel * KERN_PANEL_ROWS * in_padded;
            ret_row[col] = (float)data[(col / 4 * KERN_PANEL_ROWS + r) * 4 + col % 4] * scales[col / KERN_GROUP_COLS * KERN_PANEL_ROWS + r];
        } else {
            size_t at = (panel * (in_padded / KERN_Q4_GROUP_COLS) + col / KERN_Q4_GROUP_COLS) * KERN_PANEL_ROWS + r;
            uint8_t byte = ((const uint8_t *)weight->data)[at * 16 + col % 16];
            int code = (col % KERN_Q4_GROUP_COLS < 16 ? byte & 15 : byte >> 4) - 8;
            ret_row[col] = (float)code * kern_f32_of_f16(((const uint16_t *)weight->scales)[at]);
        }
    }
}
