/* blocks.c: see blocks.h. */
#include "blocks.h"

#include <math.h>
#include <string.h>

float eng_float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    float value = exponent == 0    ? ldexpf((float)fraction, -24)
                  : exponent == 31 ? (fraction ? NAN : INFINITY)
                                   : ldexpf((float)(fraction | 1024), (int)exponent - 25);
    return sign ? -value : value;
}

static float half_at(const uint8_t *bytes)
{
    return eng_float_of_half((uint16_t)(bytes[0] | bytes[1] << 8));
}

/* Q8_0: f16 d, s8 q[32]. x = d q. */
static void expand_q8_0(const uint8_t *block, float *x)
{
    float d = half_at(block);
    for (unsigned i = 0; i < 32; i++) x[i] = d * (float)(int8_t)block[2 + i];
}

/* Q4_0: f16 d, u8 q[16]: byte j holds value j (low nibble) and j + 16 (high). x = d (q - 8). */
static void expand_q4_0(const uint8_t *block, float *x)
{
    float d = half_at(block);
    for (unsigned j = 0; j < 16; j++) {
        x[j] = d * (float)((block[2 + j] & 15) - 8);
        x[j + 16] = d * (float)((block[2 + j] >> 4) - 8);
    }
}

/* Twelve bytes hold eight 6-bit scales and eight 6-bit minima: those of parts 0 to 3 in the low 6 bits of bytes 0 to 3 and 4 to 7, of parts
 * 4 to 7 in the nibbles of bytes 8 to 11 with their two high bits in the high bits of the bytes before. */
static void scale_and_min(const uint8_t packed[12], unsigned part, float *ret_scale, float *ret_min)
{
    unsigned scale, min;
    if (part < 4) {
        scale = packed[part] & 63;
        min = packed[part + 4] & 63;
    } else {
        scale = (packed[part + 4] & 15u) | (unsigned)(packed[part - 4] >> 6) << 4;
        min = (unsigned)(packed[part + 4] >> 4) | (unsigned)(packed[part] >> 6) << 4;
    }
    *ret_scale = (float)scale;
    *ret_min = (float)min;
}

/* Q4_K: f16 d, f16 dmin, 12 bytes of scales and minima, u8 q[128]. Part p of 32 values is the low nibbles (p even) or the high nibbles
 * (p odd) of bytes 32 (p / 2) on. x = d scale q - dmin min. Q5_K: with u8 high[32] before q: bit p of byte i is value i's fifth bit. */
static void expand_k(const uint8_t *block, const uint8_t *high, const uint8_t *q, float *x)
{
    float d = half_at(block), d_min = half_at(block + 2);
    for (unsigned part = 0; part < 8; part++) {
        float scale, min;
        scale_and_min(block + 4, part, &scale, &min);
        scale *= d;
        min *= d_min;
        for (unsigned i = 0; i < 32; i++) {
            unsigned byte = q[part / 2 * 32 + i], value = part % 2 == 0 ? byte & 15 : byte >> 4;
            if (high != NULL) value |= (high[i] >> part & 1u) << 4;
            x[part * 32 + i] = scale * (float)value - min;
        }
    }
}

static void expand_q4_k(const uint8_t *block, float *x)
{
    expand_k(block, NULL, block + 16, x);
}

static void expand_q5_k(const uint8_t *block, float *x)
{
    expand_k(block, block + 16, block + 48, x);
}

/* Q6_K: u8 low[128], u8 high[64], s8 scales[16], f16 d. Each half of 128 values has 64 bytes of low and 32 of high: value 32 j + i takes the
 * low (j < 2) or high nibble of low[32 (j % 2) + i] and bits 2j, 2j + 1 of high[i]; a scale is for 16 values. x = d scale (q - 32). */
static void expand_q6_k(const uint8_t *block, float *x)
{
    float d = half_at(block + 208);
    const int8_t *scales = (const int8_t *)block + 192;
    for (unsigned half = 0; half < 2; half++) {
        const uint8_t *low = block + 64 * half, *high = block + 128 + 32 * half;
        for (unsigned j = 0; j < 4; j++) {
            for (unsigned i = 0; i < 32; i++) {
                unsigned byte = low[j % 2 * 32 + i], value = (j < 2 ? byte & 15u : byte >> 4) | (high[i] >> (2 * j) & 3u) << 4;
                unsigned at = half * 128 + j * 32 + i;
                x[at] = d * (float)scales[at / 16] * (float)((int)value - 32);
            }
        }
    }
}

static const eng_block_format formats[] = {
    {ENG_DTYPE_Q4_0, "Q4_0", 32, 18, expand_q4_0},   {ENG_DTYPE_Q8_0, "Q8_0", 32, 34, expand_q8_0},
    {ENG_DTYPE_Q4_K, "Q4_K", 256, 144, expand_q4_k}, {ENG_DTYPE_Q5_K, "Q5_K", 256, 176, expand_q5_k},
    {ENG_DTYPE_Q6_K, "Q6_K", 256, 210, expand_q6_k},
};

const eng_block_format *eng_block_format_of(eng_dtype dtype)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].dtype == dtype) return &formats[i];
    return NULL;
}

bool eng_blocks_expand(const eng_tensor *tensor, size_t first_row, size_t n_rows, float *ret_rows)
{
    const eng_block_format *format = eng_block_format_of(tensor->dtype);
    size_t n_in = tensor->shape[tensor->n_dims - 1], n_blocks = n_rows * (n_in / format->n_values);
    const uint8_t *block = tensor->data + first_row * (n_in / format->n_values) * format->n_bytes;
    bool good = true;
    for (size_t b = 0; b < n_blocks; b++, block += format->n_bytes, ret_rows += format->n_values) {
        format->expand(block, ret_rows);
        /* A scale that is no number makes all of its values none; a sum over the block shows any. */
        float sum = 0;
        for (unsigned i = 0; i < format->n_values; i++) sum += ret_rows[i] * 0.0f;
        good &= sum == 0;
    }
    return good;
}

bool eng_blocks_repack_q4(const eng_tensor *tensor, size_t first_row, size_t n_rows, void *data, void *scales)
{
    enum { GROUP = 32, BLOCK_BYTES = 18 };
    size_t n_in = tensor->shape[1], n_groups = n_in / GROUP, padded = (n_in + KERN_GROUP_COLS - 1) / KERN_GROUP_COLS * KERN_GROUP_COLS;
    bool good = true;
    for (size_t row = first_row; row < first_row + n_rows; row++) {
        for (size_t group = 0; group < n_groups; group++) {
            const uint8_t *block = tensor->data + (row * n_groups + group) * BLOCK_BYTES;
            size_t at = (row / KERN_PANEL_ROWS * (padded / GROUP) + group) * KERN_PANEL_ROWS + row % KERN_PANEL_ROWS;
            uint16_t scale = (uint16_t)(block[0] | block[1] << 8);
            good &= (scale & 0x7c00) != 0x7c00;
            ((uint16_t *)scales)[at] = scale;
            memcpy((uint8_t *)data + at * 16, block + 2, 16);
        }
    }
    return good;
}
