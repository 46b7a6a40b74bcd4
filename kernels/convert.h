/* convert.h: half precision and bfloat16 to float and back, in plain C.
 *
 * Owns: the scalar conversions that all layers of kernels/ share. Does not own: vector conversions (by instruction set).
 */
#ifndef KERN_CONVERT_H
#define KERN_CONVERT_H

#include <stdint.h>
#include <string.h>

static inline uint32_t kern_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float kern_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float kern_f32_of_bf16(uint16_t value)
{
    return kern_float_of_bits((uint32_t)value << 16);
}

static inline float kern_f32_of_f16(uint16_t value)
{
    uint32_t sign = (uint32_t)(value & 0x8000u) << 16;
    uint32_t rest = (uint32_t)(value & 0x7fffu);
    if (rest >= 0x7c00u) return kern_float_of_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13 | (rest > 0x7c00u ? 0x400000u : 0));
    if (rest >= 0x0400u) return kern_float_of_bits(sign | ((rest << 13) + 0x38000000u));
    float magnitude = (float)rest * 0x1p-24f; /* subnormal: exact */
    return kern_float_of_bits(sign | kern_float_bits(magnitude));
}

/* Round to nearest, ties to even; beyond the range: infinity; NaN stays NaN. The same as F16C's conversion. */
static inline uint16_t kern_f16_of_f32(float value)
{
    uint32_t bits = kern_float_bits(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (rest >> 13 & 0x3ffu));
    if (rest >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
    if (rest < 0x38800000u) { /* subnormal result: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits */
        return (uint16_t)(sign | (kern_float_bits(kern_float_of_bits(rest) + 0.5f) - 0x3f000000u));
    }
    uint32_t odd = rest >> 13 & 1u;
    return (uint16_t)(sign | (rest - 0x38000000u + 0xfffu + odd) >> 13);
}

#endif
