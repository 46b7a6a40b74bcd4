/* codes.c: keys, values and queries in the form that attention works on.
 *
 * Owns: the byte layout of blocks (kern.h's kern_kv_*), writing codes into units, reading them back.
 * Does not own: the arithmetic of one row (attend-ops.h); who keeps blocks and where (engine/).
 */
#include "attend-ops.h"
#include "convert.h"
#include "ops.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------ layout */

bool kern_kv_format_valid(const kern_kv_format *format)
{
    size_t d = format->d;
    if (d == 0 || d > KERN_HEAD_DIM_MAX || d % 16) return false;
    if (format->k_key == 0 || format->k_key > d || format->k_key % 4) return false;
    if (format->k_query == 0 || format->k_query > d) return false;
    if (format->key_type != KERN_KEY_CODE8 && format->key_type != KERN_KEY_CODE32) return false;
    switch (format->value_type) {
    case KERN_VALUE_Q4:
        /* groups of 16 or more that divide d: none straddles the two halves of a row unless it is the whole row */
        return format->value_group >= 16 && format->value_group <= d && format->value_group % 16 == 0 && d % format->value_group == 0;
    case KERN_VALUE_Q8:
    case KERN_VALUE_F16:
    case KERN_VALUE_F32: return true;
    }
    return false;
}

static bool key_is_dense(const kern_kv_format *format)
{
    return format->k_key == format->d;
}

static size_t unit_index_bytes(const kern_kv_format *format)
{
    return key_is_dense(format) ? 0 : (size_t)format->k_key * KERN_UNIT_TOKENS;
}

size_t kern_kv_unit_bytes(const kern_kv_format *format)
{
    size_t n = (size_t)format->k_key * KERN_UNIT_TOKENS;
    size_t values = format->key_type == KERN_KEY_CODE8 ? n + KERN_UNIT_TOKENS * sizeof(uint16_t) : n * sizeof(float);
    return unit_index_bytes(format) + values;
}

size_t kern_kv_value_row_bytes(const kern_kv_format *format)
{
    switch (format->value_type) {
    case KERN_VALUE_Q4: return format->d / 2;
    case KERN_VALUE_Q8: return format->d;
    case KERN_VALUE_F16: return format->d * sizeof(uint16_t);
    case KERN_VALUE_F32: return format->d * sizeof(float);
    }
    return 0;
}

size_t kern_kv_value_n_scales(const kern_kv_format *format)
{
    switch (format->value_type) {
    case KERN_VALUE_Q4: return format->d / format->value_group;
    case KERN_VALUE_Q8: return 1;
    default: return 0;
    }
}

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

kern_kv_layout kern_kv_layout_of(const kern_kv_format *format, size_t n_kv_heads, size_t capacity)
{
    kern_kv_layout layout = {
        .key_head_bytes = capacity / KERN_UNIT_TOKENS * kern_kv_unit_bytes(format),
        .row_head_bytes = capacity * kern_kv_value_row_bytes(format),
        .scale_head_bytes = capacity * kern_kv_value_n_scales(format) * sizeof(uint16_t),
    };
    layout.rows_offset = round_up(n_kv_heads * layout.key_head_bytes, KERN_ALIGN_BYTES);
    layout.scales_offset = round_up(layout.rows_offset + n_kv_heads * layout.row_head_bytes, KERN_ALIGN_BYTES);
    layout.total_bytes = round_up(layout.scales_offset + n_kv_heads * layout.scale_head_bytes, KERN_ALIGN_BYTES);
    return layout;
}

/* -------------------------------------------------------------------------------------------------------- keys */

/* Byte of feature j of token t within the index part or the 8-bit value part of a unit. */
static size_t code_at(size_t j, size_t t)
{
    return j / 4 * (KERN_UNIT_TOKENS * 4) + t * 4 + j % 4;
}

static void write_key(const kern_attend_ops *ops, const kern_kv_format *format, uint8_t *unit, size_t t, const float *row)
{
    size_t k = format->k_key;
    uint8_t index[KERN_HEAD_DIM_MAX], *values = unit + unit_index_bytes(format);
    if (format->key_type == KERN_KEY_CODE8) {
        int8_t codes[KERN_HEAD_DIM_MAX];
        uint16_t scale;
        ops->encode_key(format, row, index, codes, &scale);
        for (size_t j = 0; j < k; j += 4) memcpy(values + code_at(j, t), codes + j, 4);
        memcpy(values + k * KERN_UNIT_TOKENS + t * sizeof scale, &scale, sizeof scale);
    } else {
        float kept[KERN_HEAD_DIM_MAX];
        if (key_is_dense(format)) memcpy(kept, row, k * sizeof *row);
        else ops->top_k(row, format->d, k, index, kept);
        for (size_t j = 0; j < k; j++) {
            float value = kept[j] != kept[j] ? 0 : kept[j]; /* as the 8-bit codes treat what is not a number */
            memcpy(values + code_at(j, t) * sizeof value, &value, sizeof value);
        }
    }
    if (!key_is_dense(format))
        for (size_t j = 0; j < k; j += 4) memcpy(unit + code_at(j, t), index + j, 4);
}

/* Tokens from `first` on become zero, so that a unit's padding is the same whatever was there. */
static void clear_keys(const kern_kv_format *format, uint8_t *unit, size_t first)
{
    size_t k = format->k_key, value_bytes = format->key_type == KERN_KEY_CODE8 ? 1 : sizeof(float);
    uint8_t *values = unit + unit_index_bytes(format);
    size_t n = (KERN_UNIT_TOKENS - first) * 4;
    for (size_t j = 0; j < k; j += 4) {
        if (!key_is_dense(format)) memset(unit + code_at(j, first), 0, n);
        memset(values + code_at(j, first) * value_bytes, 0, n * value_bytes);
    }
    if (format->key_type == KERN_KEY_CODE8)
        memset(values + k * KERN_UNIT_TOKENS + first * sizeof(uint16_t), 0, (KERN_UNIT_TOKENS - first) * sizeof(uint16_t));
}

/* The matrix of a head; NULL: none. */
static const float *rotation_of(const kern_encode_params *params, size_t head)
{
    size_t d = params->format->d;
    return params->rotations ? params->rotations + head / (params->n_heads / params->n_rotations) * d * d : NULL;
}

typedef struct encode_keys_task {
    const kern_attend_ops *ops;
    const kern_encode_params *params;
    const float *k, *v;
    size_t k_stride, v_stride;
    uint8_t *block;
    kern_kv_layout layout;
    size_t at, n_tokens;
} encode_keys_task;

/* One unit of one KV head. */
static void encode_unit(void *user, size_t index, unsigned thread)
{
    const encode_keys_task *task = user;
    const kern_encode_params *params = task->params;
    const kern_kv_format *format = params->format;
    size_t head = index % params->n_heads, unit_index = task->at / KERN_UNIT_TOKENS + index / params->n_heads;
    size_t d = format->d, first = unit_index * KERN_UNIT_TOKENS, end = first + KERN_UNIT_TOKENS, last = task->at + task->n_tokens;
    uint8_t *unit = task->block + head * task->layout.key_head_bytes + unit_index * kern_kv_unit_bytes(format);
    uint8_t *rows = task->block + task->layout.rows_offset + head * task->layout.row_head_bytes;
    uint8_t *scales = task->block + task->layout.scales_offset + head * task->layout.scale_head_bytes;
    float prepared[KERN_UNIT_TOKENS * KERN_HEAD_DIM_MAX];
    const float *rotation = rotation_of(params, head);
    size_t begin = first > task->at ? first : task->at, n = (end < last ? end : last) - begin;
    for (size_t i = 0; i < n; i++) {
        size_t r = begin + i - task->at;
        const float *cos_row = params->rope_cos ? params->rope_cos + r * (d / 2) : NULL;
        const float *sin_row = params->rope_sin ? params->rope_sin + r * (d / 2) : NULL;
        task->ops->prepare(task->k + r * task->k_stride + head * d, d, params->norm_weight, params->norm_eps, cos_row, sin_row,
                           prepared + i * KERN_HEAD_DIM_MAX);
    }
    if (rotation) task->ops->rotate(rotation, d, n, prepared);
    for (size_t i = 0; i < n; i++) {
        size_t token = begin + i, r = token - task->at, n_scales = kern_kv_value_n_scales(format);
        write_key(task->ops, format, unit, token - first, prepared + i * KERN_HEAD_DIM_MAX);
        task->ops->encode_value(format, task->v + r * task->v_stride + head * d, rows + token * kern_kv_value_row_bytes(format),
                                (uint16_t *)(void *)scales + token * n_scales);
    }
    if (last < end) clear_keys(format, unit, last - first);
}

/* A token's rows of all heads take a few microseconds: fewer than this many rows are not worth waking anybody. */
enum { ENCODE_ROWS_ALONE = 32 };

static void run_rows(kern_context *context, size_t n_rows, size_t n_items, kern_task_fn fn, void *user)
{
    if (n_rows <= ENCODE_ROWS_ALONE)
        for (size_t i = 0; i < n_items; i++) fn(user, i, 0);
    else
        kern_pool_run(kern_context_pool(context), n_items, fn, user);
}

void kern_encode_keys_values(kern_context *context, const kern_encode_params *params, const float *k, size_t k_stride, const float *v,
                             size_t v_stride, size_t n_tokens, void *block, size_t capacity, size_t at)
{
    if (n_tokens == 0) return;
    encode_keys_task task = {
        .ops = kern_ops_get()->attend,
        .params = params,
        .k = k,
        .v = v,
        .k_stride = k_stride,
        .v_stride = v_stride,
        .block = block,
        .layout = kern_kv_layout_of(params->format, params->n_heads, capacity),
        .at = at,
        .n_tokens = n_tokens,
    };
    size_t n_units = (at + n_tokens - 1) / KERN_UNIT_TOKENS - at / KERN_UNIT_TOKENS + 1;
    run_rows(context, n_tokens * params->n_heads, n_units * params->n_heads, encode_unit, &task);
}

/* ----------------------------------------------------------------------------------------------------- queries */

enum { QUERY_TOKENS = KERN_ROTATE_ROWS }; /* of one item */

typedef struct encode_queries_task {
    const kern_attend_ops *ops;
    const kern_encode_params *params;
    const float *q;
    size_t q_stride, n_tokens;
    kern_queries *queries;
} encode_queries_task;

static void encode_query_rows(void *user, size_t index, unsigned thread)
{
    const encode_queries_task *task = user;
    const kern_encode_params *params = task->params;
    size_t d = params->format->d, first = index * QUERY_TOKENS, end = first + QUERY_TOKENS;
    float prepared[QUERY_TOKENS * KERN_HEAD_DIM_MAX];
    if (end > task->n_tokens) end = task->n_tokens;
    for (size_t h = 0; h < params->n_heads; h++) {
        const float *rotation = rotation_of(params, h);
        for (size_t i = first; i < end; i++) {
            const float *cos_row = params->rope_cos ? params->rope_cos + i * (d / 2) : NULL;
            const float *sin_row = params->rope_sin ? params->rope_sin + i * (d / 2) : NULL;
            task->ops->prepare(task->q + i * task->q_stride + h * d, d, params->norm_weight, params->norm_eps, cos_row, sin_row,
                               prepared + (i - first) * KERN_HEAD_DIM_MAX);
        }
        if (rotation) task->ops->rotate(rotation, d, end - first, prepared);
        for (size_t i = first; i < end; i++) {
            size_t at = i * params->n_heads + h;
            float *dense = task->queries->dense ? task->queries->dense + at * d : NULL;
            task->ops->encode_query(params->format, prepared + (i - first) * KERN_HEAD_DIM_MAX, task->queries->table + at * KERN_TABLE_BYTES,
                                    task->queries->scale + at, dense);
        }
    }
}

void kern_encode_queries(kern_context *context, const kern_encode_params *params, const float *q, size_t q_stride, size_t n_tokens,
                         kern_queries *ret_queries)
{
    encode_queries_task task = {
        .ops = kern_ops_get()->attend,
        .params = params,
        .q = q,
        .q_stride = q_stride,
        .n_tokens = n_tokens,
        .queries = ret_queries,
    };
    ret_queries->n_tokens = n_tokens;
    ret_queries->n_heads = params->n_heads;
    run_rows(context, n_tokens * params->n_heads, (n_tokens + QUERY_TOKENS - 1) / QUERY_TOKENS, encode_query_rows, &task);
}

/* ------------------------------------------------------------------------------------------------ reading back */

void kern_kv_get_key(const kern_kv_format *format, size_t n_kv_heads, const kern_kv_block *block, size_t kv_head, size_t token, float *ret_key)
{
    kern_kv_layout layout = kern_kv_layout_of(format, n_kv_heads, block->capacity);
    size_t k = format->k_key, t = token % KERN_UNIT_TOKENS;
    const uint8_t *unit = (const uint8_t *)block->data + kv_head * layout.key_head_bytes;
    unit += token / KERN_UNIT_TOKENS * kern_kv_unit_bytes(format);
    const uint8_t *values = unit + unit_index_bytes(format);
    float scale = 1;
    if (format->key_type == KERN_KEY_CODE8) {
        uint16_t bits;
        memcpy(&bits, values + k * KERN_UNIT_TOKENS + t * sizeof bits, sizeof bits);
        scale = kern_f32_of_f16(bits);
    }
    memset(ret_key, 0, format->d * sizeof *ret_key);
    for (size_t j = 0; j < k; j++) {
        size_t feature = key_is_dense(format) ? j : unit[code_at(j, t)];
        float value;
        if (format->key_type == KERN_KEY_CODE8) value = (float)(int8_t)values[code_at(j, t)];
        else memcpy(&value, values + code_at(j, t) * sizeof value, sizeof value);
        if (feature < format->d) ret_key[feature] += value * scale;
    }
}

static float value_feature(const kern_kv_format *format, const uint8_t *row, const uint16_t *scales, size_t i)
{
    size_t half = format->d / 2;
    switch (format->value_type) {
    case KERN_VALUE_Q4: {
        int nibble = i < half ? row[i] & 15 : row[i - half] >> 4;
        return (float)(nibble - 8) * kern_f32_of_f16(scales[i / format->value_group]);
    }
    case KERN_VALUE_Q8: return (float)(int8_t)row[i] * kern_f32_of_f16(scales[0]);
    case KERN_VALUE_F16: return kern_f32_of_f16(((const uint16_t *)(const void *)row)[i]);
    case KERN_VALUE_F32: return ((const float *)(const void *)row)[i];
    }
    return 0;
}

void kern_kv_get_value(const kern_kv_format *format, size_t n_kv_heads, const kern_kv_block *block, size_t kv_head, size_t token,
                       float *ret_value)
{
    kern_kv_layout layout = kern_kv_layout_of(format, n_kv_heads, block->capacity);
    const uint8_t *row = (const uint8_t *)block->data + layout.rows_offset + kv_head * layout.row_head_bytes;
    const uint8_t *scales = (const uint8_t *)block->data + layout.scales_offset + kv_head * layout.scale_head_bytes;
    row += token * kern_kv_value_row_bytes(format);
    scales += token * kern_kv_value_n_scales(format) * sizeof(uint16_t);
    for (size_t i = 0; i < format->d; i++) ret_value[i] = value_feature(format, row, (const uint16_t *)(const void *)scales, i);
}
