/* attend-generic.h: the portable definition of every operation of attend-ops.h, in plain C.
 *
 * Owns: what each operation means. Included by the table of each instruction set, where the compiler may vectorise it and
 *       where the hot operations are replaced; attend-portable.c uses all of them as they stand.
 * Does not own: layouts (kern.h), orchestration. */
#ifndef KERN_ATTEND_GENERIC_H
#define KERN_ATTEND_GENERIC_H

#include <float.h>
#include <math.h>
#include <string.h>
#include "attend-ops.h"
#include "convert.h"

#define GENERIC static inline __attribute__((unused))

enum { GENERIC_LANES = 16 };

/* Sums of 16 lanes in a fixed order, so that the compiler may keep the lanes in vectors. */
GENERIC float generic_fold(const float lanes[GENERIC_LANES])
{
    float fold[GENERIC_LANES];
    memcpy(fold, lanes, sizeof fold);
    for (size_t half = GENERIC_LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++) fold[i] += fold[i + half];
    return fold[0];
}

GENERIC float generic_sum(const float *x, size_t n)
{
    float lanes[GENERIC_LANES] = {0};
    for (size_t i = 0; i < n; i += GENERIC_LANES)
        for (size_t l = 0; l < GENERIC_LANES; l++) lanes[l] += x[i + l];
    return generic_fold(lanes);
}

GENERIC float generic_max(const float *x, size_t n)
{
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
    return max;
}

/* ------------------------------------------------------------------------------------------------------- codes */

GENERIC void generic_prepare(const float *x, size_t d, const float *weight, float eps, const float *cos_row, const float *sin_row, float *out)
{
    float factor = 1, lanes[GENERIC_LANES] = {0};
    if (weight) {
        for (size_t i = 0; i < d; i += GENERIC_LANES)
            for (size_t l = 0; l < GENERIC_LANES; l++) lanes[l] += x[i + l] * x[i + l];
        factor = 1 / sqrtf(generic_fold(lanes) / (float)d + eps);
    }
    for (size_t i = 0; i < d; i++) out[i] = weight ? x[i] * factor * weight[i] : x[i];
    if (!cos_row) return;
    for (size_t i = 0; i < d / 2; i++) {
        float a = out[i], b = out[i + d / 2];
        out[i] = a * cos_row[i] - b * sin_row[i];
        out[i + d / 2] = b * cos_row[i] + a * sin_row[i];
    }
}

#if defined(__AVX512F__)
enum { GENERIC_REGISTER_BYTES = 64 };
#elif defined(__AVX2__)
enum { GENERIC_REGISTER_BYTES = 32 };
#else
enum { GENERIC_REGISTER_BYTES = 16 };
#endif
typedef float generic_register __attribute__((vector_size(GENERIC_REGISTER_BYTES)));

/* A row's result does not depend on the rows beside it: sums run over j in order, in lanes of their own, which are named one by one so that
 * the compiler keeps them in registers. */
GENERIC void generic_rotate(const float *rotation, size_t d, size_t n_rows, float *rows)
{
    for (size_t first = 0; first < n_rows; first += KERN_ROTATE_ROWS) {
        float turned[KERN_ROTATE_ROWS][KERN_HEAD_DIM_MAX];
        const float *x[KERN_ROTATE_ROWS];
        for (size_t r = 0; r < KERN_ROTATE_ROWS; r++) x[r] = rows + (first + r < n_rows ? first + r : first) * KERN_HEAD_DIM_MAX;
        for (size_t i = 0; i < d; i += GENERIC_REGISTER_BYTES / sizeof(float)) {
            generic_register a = {0}, b = {0}, c = {0}, e = {0}, column;
            for (size_t j = 0; j < d; j++) {
                memcpy(&column, rotation + j * d + i, sizeof column);
                a += x[0][j] * column;
                b += x[1][j] * column;
                c += x[2][j] * column;
                e += x[3][j] * column;
            }
            memcpy(turned[0] + i, &a, sizeof a);
            memcpy(turned[1] + i, &b, sizeof b);
            memcpy(turned[2] + i, &c, sizeof c);
            memcpy(turned[3] + i, &e, sizeof e);
        }
        for (size_t r = 0; r < KERN_ROTATE_ROWS && first + r < n_rows; r++) memcpy(rows + (first + r) * KERN_HEAD_DIM_MAX, turned[r], d * sizeof *rows);
    }
}

/* The smallest magnitude (as bits) of which at most k entries are larger, found by halving the interval that must hold it:
 * `count` entries are at or above `low`. Magnitudes are compared as integers, which orders NaN above infinity. */
GENERIC void generic_top_k(const float *row, size_t d, size_t k, uint8_t *ret_index, float *ret_value)
{
    uint32_t bits[KERN_HEAD_DIM_MAX], low = 0, high = 0x80000000u; /* count(>= low) >= k > count(>= high) */
    for (size_t i = 0; i < d; i++) bits[i] = kern_float_bits(row[i]) & 0x7fffffffu;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        size_t count = 0;
        for (size_t i = 0; i < d; i++) count += bits[i] >= middle;
        if (count >= k) low = middle;
        else high = middle;
        if (count == k) break;
    }
    size_t larger = 0, kept = 0;
    for (size_t i = 0; i < d; i++) larger += bits[i] > low;
    size_t equal_wanted = larger < k ? k - larger : 0;
    for (size_t i = 0; i < d && kept < k; i++) {
        /* after an early exit all entries at or above `low` number k, equal ones among them */
        if (bits[i] < low || (bits[i] == low && !equal_wanted)) continue;
        if (bits[i] == low) equal_wanted--;
        ret_index[kept] = (uint8_t)i;
        ret_value[kept++] = row[i];
    }
}

/* Symmetric codes of n values with a scale in f16; NaN counts as 0 and infinities as the largest that the scale can hold. */
GENERIC float generic_finite(float x, float limit)
{
    return x != x ? 0 : x > limit ? limit : x < -limit ? -limit : x;
}

GENERIC uint16_t generic_scale(float max, float top)
{
    float scale = max / top;
    return kern_f16_of_f32(scale > 65504.0f ? 65504.0f : scale);
}

GENERIC int generic_code(float x, float scale, float top)
{
    float q = rintf(generic_finite(x, FLT_MAX) / scale);
    return (int)(q > top ? top : q < -top ? -top : q);
}

GENERIC float generic_magnitude(const float *x, size_t n)
{
    float max = 0;
    for (size_t i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        max = a > max ? a : max; /* false for NaN */
    }
    return max;
}

/* Codes of the first n of a row; the scale is the one they are to be multiplied with. */
GENERIC float generic_encode_codes(const float *x, size_t n, uint16_t scale_bits, int8_t *ret_codes)
{
    float scale = kern_f32_of_f16(scale_bits);
    if (scale == 0) {
        memset(ret_codes, 0, n);
        return 0;
    }
    for (size_t i = 0; i < n; i++) ret_codes[i] = (int8_t)generic_code(x[i], scale, 127);
    return scale;
}

GENERIC void generic_encode_key(const kern_kv_format *format, const float *row, uint8_t *ret_index, int8_t *ret_codes, uint16_t *ret_scale)
{
    float kept[KERN_HEAD_DIM_MAX];
    const float *values = row;
    if (format->k_key < format->d) {
        generic_top_k(row, format->d, format->k_key, ret_index, kept);
        values = kept;
    }
    *ret_scale = generic_scale(generic_magnitude(values, format->k_key), 127);
    generic_encode_codes(values, format->k_key, *ret_scale, ret_codes);
}

GENERIC void generic_encode_query(const kern_kv_format *format, const float *row, int8_t *ret_table, float *ret_scale, float *ret_dense)
{
    size_t d = format->d, k = format->k_query;
    float kept[KERN_HEAD_DIM_MAX] = {0}, root = 1 / sqrtf((float)d);
    if (k < d) {
        uint8_t index[KERN_HEAD_DIM_MAX];
        float value[KERN_HEAD_DIM_MAX];
        generic_top_k(row, d, k, index, value);
        for (size_t i = 0; i < k; i++) kept[index[i]] = value[i];
    } else {
        memcpy(kept, row, d * sizeof *row);
    }
    for (size_t i = 0; i < d; i++) kept[i] = generic_finite(kept[i], FLT_MAX);
    float max = generic_magnitude(kept, d), scale = max / 127;
    for (size_t i = 0; i < KERN_TABLE_BYTES; i++) ret_table[i] = 0;
    if (scale > 0)
        for (size_t i = 0; i < d; i++) ret_table[i] = (int8_t)generic_code(kept[i], scale, 127);
    *ret_scale = scale * root;
    if (!ret_dense) return;
    for (size_t i = 0; i < d; i++) ret_dense[i] = kept[i] * root;
}

GENERIC void generic_encode_value(const kern_kv_format *format, const float *value, uint8_t *row, uint16_t *scales)
{
    size_t d = format->d;
    if (format->value_type == KERN_VALUE_F32) memcpy(row, value, d * sizeof *value);
    if (format->value_type == KERN_VALUE_F16)
        for (size_t i = 0; i < d; i++) {
            uint16_t h = kern_f16_of_f32(generic_finite(value[i], 65504.0f));
            memcpy(row + 2 * i, &h, sizeof h);
        }
    if (format->value_type != KERN_VALUE_Q4 && format->value_type != KERN_VALUE_Q8) return;
    bool four = format->value_type == KERN_VALUE_Q4;
    size_t group = four ? format->value_group : d;
    float top = four ? 7 : 127;
    int8_t codes[KERN_HEAD_DIM_MAX];
    for (size_t g = 0; g < d / group; g++) {
        scales[g] = generic_scale(generic_magnitude(value + g * group, group), top);
        float scale = fmaxf(kern_f32_of_f16(scales[g]), 1e-7f);
        if (scales[g] < 2) scales[g] = kern_f16_of_f32(scale);
        for (size_t i = g * group; i < (g + 1) * group; i++) codes[i] = (int8_t)generic_code(value[i], scale, top);
    }
    if (four)
        for (size_t i = 0; i < d / 2; i++) row[i] = (uint8_t)((codes[i] + 8) | (codes[i + d / 2] + 8) << 4);
    else
        memcpy(row, codes, d);
}

/* One value row as float, without the scale of a Q8 row. */
GENERIC void generic_value(const kern_kv_format *format, const uint8_t *row, const uint16_t *scales, float *out)
{
    size_t d = format->d;
    switch (format->value_type) {
    case KERN_VALUE_Q4:
        for (size_t g = 0; g < d / format->value_group; g++) {
            float scale = kern_f32_of_f16(scales[g]);
            for (size_t i = g * format->value_group; i < (size_t)(g + 1) * format->value_group; i++) {
                int nibble = i < d / 2 ? row[i] & 15 : row[i - d / 2] >> 4;
                out[i] = (float)(nibble - 8) * scale;
            }
        }
        break;
    case KERN_VALUE_Q8:
        for (size_t i = 0; i < d; i++) out[i] = (float)(int8_t)row[i];
        break;
    case KERN_VALUE_F16:
        for (size_t i = 0; i < d; i++) {
            uint16_t h;
            memcpy(&h, row + 2 * i, sizeof h);
            out[i] = kern_f32_of_f16(h);
        }
        break;
    case KERN_VALUE_F32:
        memcpy(out, row, d * sizeof *out);
        break;
    }
}

/* ------------------------------------------------------------------------------------------------------- scores */

GENERIC void generic_scores_code8(size_t d, size_t k, const uint8_t *unit, const kern_query_rows *rows, size_t r, float *out)
{
    bool dense = k == d;
    const int8_t *table = (const int8_t *)rows->tables + r * KERN_TABLE_BYTES;
    const uint8_t *index = unit;
    const int8_t *value = (const int8_t *)unit + (dense ? 0 : k * KERN_UNIT_TOKENS);
    int32_t sums[KERN_UNIT_TOKENS] = {0};
    for (size_t j = 0; j < k; j += 4)
        for (size_t t = 0; t < KERN_UNIT_TOKENS; t++)
            for (size_t i = 0; i < 4; i++) {
                size_t at = j * KERN_UNIT_TOKENS + t * 4 + i;
                sums[t] += (int32_t)value[at] * table[dense ? j + i : index[at] & 127];
            }
    for (size_t t = 0; t < KERN_UNIT_TOKENS; t++) {
        uint16_t scale;
        memcpy(&scale, value + k * KERN_UNIT_TOKENS + 2 * t, sizeof scale);
        out[t] = (float)sums[t] * kern_f32_of_f16(scale) * rows->scales[r];
    }
}

GENERIC void generic_scores_code32(size_t d, size_t k, const uint8_t *unit, const kern_query_rows *rows, size_t r, float *out)
{
    bool dense = k == d;
    const float *query = rows->dense + r * d;
    const float *value = (const float *)(const void *)(unit + (dense ? 0 : k * KERN_UNIT_TOKENS));
    float sums[KERN_UNIT_TOKENS] = {0};
    for (size_t j = 0; j < k; j += 4)
        for (size_t t = 0; t < KERN_UNIT_TOKENS; t++)
            for (size_t i = 0; i < 4; i++) {
                size_t at = j * KERN_UNIT_TOKENS + t * 4 + i, feature = dense ? j + i : unit[at];
                sums[t] += value[at] * query[feature < d ? feature : 0];
            }
    memcpy(out, sums, sizeof sums);
}

/* Expects tables without bias. Features in a damaged cache may lie beyond d: they are read as some other feature. */
GENERIC void generic_scores(const kern_kv_format *format, const uint8_t *units, size_t n_units, const kern_query_rows *rows, float *out,
                            size_t stride)
{
    size_t unit_bytes = kern_kv_unit_bytes(format);
    for (size_t u = 0; u < n_units; u++)
        for (size_t r = 0; r < rows->n; r++) {
            float *at = out + r * stride + u * KERN_UNIT_TOKENS;
            if (format->key_type == KERN_KEY_CODE8)
                generic_scores_code8(format->d, format->k_key, units + u * unit_bytes, rows, r, at);
            else
                generic_scores_code32(format->d, format->k_key, units + u * unit_bytes, rows, r, at);
        }
}

/* ------------------------------------------------------------------------------------------------------ weights */

GENERIC float generic_exp_total(const float *x, size_t n, float max)
{
    float lanes[GENERIC_LANES] = {0};
    for (size_t i = 0; i < n; i += GENERIC_LANES)
        for (size_t l = 0; l < GENERIC_LANES; l++) lanes[l] += x[i + l] == x[i + l] ? expf(x[i + l] - max) : 0;
    return generic_fold(lanes);
}

GENERIC float generic_exp_sum(const float *x, size_t n, float max, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = x[i] == x[i] ? expf(x[i] - max) : 0;
    return generic_sum(out, n);
}

GENERIC float generic_sum_below(const float *weights, size_t n, float cut)
{
    float lanes[GENERIC_LANES] = {0};
    for (size_t i = 0; i < n; i += GENERIC_LANES)
        for (size_t l = 0; l < GENERIC_LANES; l++) lanes[l] += weights[i + l] < cut ? weights[i + l] : 0;
    return generic_fold(lanes);
}

GENERIC size_t generic_count(const float *scores, size_t n, float cut)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += scores[i] >= cut;
    return count;
}

GENERIC size_t generic_select(const float *scores, size_t stride, size_t n_rows, size_t n, const float *cuts, const uint32_t *tokens,
                              uint32_t *ret_tokens, float *ret_scores, size_t ret_stride)
{
    size_t count = 0;
    for (size_t t = 0; t < n; t++) {
        bool keep = false;
        for (size_t r = 0; r < n_rows; r++) keep = keep || scores[r * stride + t] >= cuts[r];
        if (!keep) continue;
        for (size_t r = 0; r < n_rows; r++) ret_scores[r * ret_stride + count] = scores[r * stride + t];
        if (ret_tokens) ret_tokens[count] = tokens ? tokens[t] : (uint32_t)t;
        count++;
    }
    return count;
}

GENERIC void generic_gather(const kern_kv_format *format, kern_value_rows values, const uint32_t *tokens, size_t n, const float *weights,
                            size_t stride, size_t n_rows, float *acc)
{
    size_t d = format->d, row_bytes = kern_kv_value_row_bytes(format), n_scales = kern_kv_value_n_scales(format);
    float value[KERN_HEAD_DIM_MAX];
    for (size_t i = 0; i < n; i++) {
        size_t t = tokens ? tokens[i] : i;
        generic_value(format, values.rows + t * row_bytes, values.scales + t * n_scales, value);
        float scale = format->value_type == KERN_VALUE_Q8 ? kern_f32_of_f16(values.scales[t]) : 1;
        for (size_t r = 0; r < n_rows; r++) {
            float weight = weights[r * stride + i] * scale;
            for (size_t f = 0; f < d; f++) acc[r * d + f] += weight * value[f];
        }
    }
}

/* -------------------------------------------------------------------------------------------------------- tiles */

GENERIC void generic_tile_expand(const kern_kv_format *format, kern_value_rows values, size_t n, void *tile, float *key_scale)
{
    size_t d = format->d, row_bytes = kern_kv_value_row_bytes(format), n_scales = kern_kv_value_n_scales(format);
    float *out = tile;
    for (size_t t = 0; t < n; t++) {
        generic_value(format, values.rows + t * row_bytes, values.scales + t * n_scales, out + t * d);
        key_scale[t] = format->value_type == KERN_VALUE_Q8 ? kern_f32_of_f16(values.scales[t]) : 1;
    }
    memset(out + n * d, 0, (KERN_TILE_TOKENS - n) * d * sizeof *out);
    for (size_t t = n; t < KERN_TILE_TOKENS; t++) key_scale[t] = 0;
}

GENERIC void generic_tile_weights(const float *weights, size_t stride, size_t n, size_t n_rows, const float *key_scale, void *p)
{
    float *out = p;
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t t = 0; t < n; t++) out[r * KERN_TILE_TOKENS + t] = weights[r * stride + t] * key_scale[t];
        for (size_t t = n; t < KERN_TILE_TOKENS; t++) out[r * KERN_TILE_TOKENS + t] = 0;
    }
    size_t missing = (KERN_TILE_ROWS_MULTIPLE - n_rows % KERN_TILE_ROWS_MULTIPLE) % KERN_TILE_ROWS_MULTIPLE;
    memset(out + n_rows * KERN_TILE_TOKENS, 0, missing * KERN_TILE_TOKENS * sizeof *out);
}

GENERIC bool generic_tile_softmax(float *scores, const uint32_t *visible, size_t n_rows, const float *key_scale, float *max, float *sum,
                                  float *keep, void *p)
{
    bool changed = false;
    for (size_t r = 0; r < n_rows; r++) {
        float *row = scores + r * KERN_TILE_TOKENS;
        for (size_t t = visible[r]; t < KERN_TILE_TOKENS; t++) row[t] = -INFINITY;
        float tile_max = generic_max(row, KERN_TILE_TOKENS), new_max = tile_max > max[r] ? tile_max : max[r];
        keep[r] = 1;
        if (new_max == -INFINITY) { /* nothing seen yet, and exp(-inf + inf) is no number */
            memset(row, 0, KERN_TILE_TOKENS * sizeof *row);
            continue;
        }
        if (new_max > max[r]) {
            keep[r] = expf(max[r] - new_max);
            changed = true;
        }
        max[r] = new_max;
        sum[r] = sum[r] * keep[r] + generic_exp_sum(row, KERN_TILE_TOKENS, new_max, row);
    }
    generic_tile_weights(scores, KERN_TILE_TOKENS, KERN_TILE_TOKENS, n_rows, key_scale, p);
    return changed;
}

GENERIC void generic_tile_product(const void *p, const void *tile, size_t n_rows, size_t d, const float *keep, float *acc)
{
    const float *weights = p, *values = tile;
    for (size_t r = 0; r < n_rows; r++) {
        float sums[KERN_HEAD_DIM_MAX];
        for (size_t f = 0; f < d; f++) sums[f] = acc[r * d + f] * (keep ? keep[r] : 1);
        for (size_t t = 0; t < KERN_TILE_TOKENS; t++) {
            float weight = weights[r * KERN_TILE_TOKENS + t];
            if (weight == 0) continue;
            for (size_t f = 0; f < d; f++) sums[f] += weight * values[t * d + f];
        }
        memcpy(acc + r * d, sums, d * sizeof *sums);
    }
}

#define GENERIC_TILE_OPS                                                                                                                   \
    {                                                                                                                                      \
        .expand = generic_tile_expand, .softmax = generic_tile_softmax, .weights = generic_tile_weights, .product = generic_tile_product,  \
    }
#endif
