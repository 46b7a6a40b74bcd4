/* expand.cu: keys and values of a stretch of tokens in the dense tiles that prefill multiplies.
 *
 * Owns: the tiles' form: 64 keys to a tile; key rows of 128 signed bytes (f16 for CODE32), values turned to [feature][key] in f16.
 *       A row is 128 bytes and its 16-byte pieces are exchanged by (row & 7), which is both what ldmatrix reads without bank
 *       conflicts and Hopper's 128-byte swizzle: tiles are copied to shared memory as they lie.
 * Does not own: the product (flash*.cu). Memory is O(tokens of the stretch), used again for each stretch and layer.
 */
#include "gpu.h"
#include "ptx.cuh"

#define EXPAND_THREADS 256

static bool float_keys(const gpu_format *f) { return f->key_type == KERN_KEY_CODE32; }
static int value_rows(const gpu_format *f) { return f->d <= 64 ? 64 : 128 + GPU_SUM_ROWS; }

size_t gpu_scratch_tile_bytes(const gpu_format *f)
{
    size_t one = GPU_FLASH_KEYS * ((float_keys(f) ? 256 : 128) + sizeof(float2)) + GPU_LANE_FLOATS * sizeof(float) + value_rows(f) * GPU_FLASH_KEYS * sizeof(__half) + sizeof(int);
    return (one + 1023) / 1024 * 1024 * f->n_kv_heads;
}

gpu_scratch gpu_scratch_at(const gpu_format *f, void *memory, size_t n_tiles)
{
    gpu_scratch s;
    size_t n = n_tiles * f->n_kv_heads;
    uint8_t *at = (uint8_t *)memory;
    s.n_tiles = (uint32_t)n_tiles;
    s.keys = at;
    at += n * GPU_FLASH_KEYS * (float_keys(f) ? 256 : 128);
    s.values = (__half *)at;
    at += n * value_rows(f) * GPU_FLASH_KEYS * sizeof(__half);
    s.key_scale = (float2 *)at;
    at += n * GPU_FLASH_KEYS * sizeof(float2);
    s.lane_scale = (float *)at;
    at += n * GPU_LANE_FLOATS * sizeof(float);
    s.value_exponent = (int *)at;
    return s;
}

/* One key into its row of the tile: token's codes at their features; returns the scale. */
__device__ float spread_key(const gpu_format &f, const uint8_t *unit, int t, uint8_t *tile, int row, int quarter)
{
    const uint8_t *values = unit + f.index_bytes;
    if (f.key_type == KERN_KEY_CODE8) {
        int8_t *to = (int8_t *)tile + row * 128;
        for (int j = quarter; j < f.k_key / 4; j += 4) {
            uint32_t index = f.index_bytes ? ((const uint32_t *)unit)[j * 16 + t] : 0x03020100u + 0x04040404u * j;
            uint32_t value = ((const uint32_t *)values)[j * 16 + t];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int feature = index >> 8 * i & 127;
                /* unused places of hostile files may repeat a feature; a zero must not erase what is there */
                if (value >> 8 * i & 255) to[((feature / 16) ^ (row & 7)) * 16 + feature % 16] = (int8_t)(value >> 8 * i);
            }
        }
        return half_bits_to_float(((const uint16_t *)(values + f.k_key * 16))[t]);
    }
    float largest = 0;
    for (int j = 0; j < f.k_key; j++) largest = fmaxf(largest, fabsf(((const float *)values)[j / 4 * 64 + t * 4 + j % 4]));
    int exponent = largest > 0 ? max(-100, min(100, ilogbf(largest))) : 0;
    for (int j = quarter; j < f.k_key; j += 4) {
        int at = j / 4 * 64 + t * 4 + j % 4, feature = f.index_bytes ? unit[at] & 127 : j, c = feature % 64;
        __half *to = (__half *)tile + feature / 64 * 64 * 64 + row * 64;
        to[((c / 8) ^ (row & 7)) * 8 + c % 8] = __float2half_rn(ldexpf(((const float *)values)[at], -exponent));
    }
    return ldexpf(1.0f, exponent);
}

/* A quarter (d/4 features) of a value row as float, and the largest magnitude in it. */
__device__ __forceinline__ float read_values(const gpu_format &f, const uint8_t *row, const uint16_t *scales, int first, int n, float *out)
{
    float largest = 0;
    for (int i = 0; i < n; i++) {
        int at = first + i;
        float x;
        if (f.value_type == KERN_VALUE_Q8) x = (float)(int8_t)row[at] * half_bits_to_float(scales[0]);
        else if (f.value_type == KERN_VALUE_F16) x = half_bits_to_float(((const uint16_t *)row)[at]);
        else if (f.value_type == KERN_VALUE_F32) x = ((const float *)row)[at];
        else x = (float)((at < f.d / 2 ? row[at] & 15 : row[at - f.d / 2] >> 4) - 8) * half_bits_to_float(scales[at / f.value_group]);
        out[i] = x;
        largest = fmaxf(largest, fabsf(x));
    }
    return largest;
}

/* Places of a key's scale: 0 .. 63 is its row in the tile. */
__device__ __forceinline__ void store_scale(const gpu_scratch &scratch, int64_t out, int row, bool there, float scale, bool float_keys)
{
    /* a place without a key scores -inf, whatever the product: with this scale also where -12582912 * scale is worked out anew (it
     * overflows before the multiply-add does) */
    float bias = !there ? -INFINITY : float_keys ? 0.0f : -12582912.0f * scale;
    scale = there ? scale : GPU_NO_KEY;
    scratch.key_scale[out * GPU_FLASH_KEYS + row] = make_float2(scale, bias);
    /* a lane of four has keys 2 t and 2 t + 1 of every eight: those of two eights beside each other */
    scratch.lane_scale[out * GPU_LANE_FLOATS + row / 16 * 16 + row % 8 / 2 * 4 + row / 8 % 2 * 2 + row % 2] = scale;
}

/* Of values as large as `largest`. */
__device__ __forceinline__ int tile_exponent(float largest)
{
    return largest > 0 ? max((int)GPU_EXPONENT_MIN, min((int)GPU_EXPONENT_MAX, ilogbf(largest) + 1)) : (int)GPU_EXPONENT_MIN;
}
__device__ __forceinline__ void store_exponent(const gpu_scratch &scratch, int64_t out, int exponent, bool gaps)
{
    if (threadIdx.x == 0) scratch.value_exponent[out] = exponent;
    if (threadIdx.x < 4) scratch.lane_scale[out * GPU_LANE_FLOATS + 64 + threadIdx.x] = (float)(gaps ? exponent + GPU_TILE_GAPS : exponent);
}

/* The largest of the thread block's; tops: a place for each warp. Waits for everyone. */
__device__ __forceinline__ float block_max(float x, float *tops)
{
    x = warp_max(x);
    if (threadIdx.x % 32 == 0) tops[threadIdx.x / 32] = x;
    __syncthreads();
    for (int i = 0; i < EXPAND_THREADS / 32; i++) x = fmaxf(x, tops[i]);
    return x;
}

/* Four codes, as integers of a byte each, in two pairs of f16; VK: 8-bit, or 4-bit with 8 added. */
template <int VK> __device__ __forceinline__ void integers(uint32_t word, uint32_t (&pair)[2])
{
    const uint32_t sixes = 0x64646464u, bias = VK == KERN_VALUE_Q4 ? HALF2_1032 : HALF2_1152;
    if (VK == KERN_VALUE_Q8) word ^= 0x80808080u;
    pair[0] = half2_minus(__byte_perm(word, sixes, 0x4140), bias), pair[1] = half2_minus(__byte_perm(word, sixes, 0x4342), bias);
}

/* The form that checkpoints mostly have: d = 128, 16 kept features in 8 bits, values of 8 bits or of 4 in groups of 32. All that a thread
 * reads is asked for at once: a key's place of four kept features, and a quarter of its value row. */
template <int VK>
__global__ void __launch_bounds__(EXPAND_THREADS, 5) expand_codes_kernel(gpu_format f, gpu_scratch scratch, const gpu_expand_job *jobs, int layer)
{
    __shared__ uint4 tile[(128 + GPU_SUM_ROWS) * 128 / 16]; /* keys (8 KB), then values (17 KB) */
    __shared__ float tops[EXPAND_THREADS / 32];
    const gpu_expand_job job = jobs[blockIdx.z];
    uint32_t first = blockIdx.x * GPU_FLASH_KEYS;
    if (first >= (job.n_tokens + 2 * GPU_FLASH_KEYS - 1) / (2 * GPU_FLASH_KEYS) * (2 * GPU_FLASH_KEYS)) return; /* in pairs: expand_kernel */
    int head = blockIdx.y, n = (int)min((uint32_t)GPU_FLASH_KEYS, job.n_tokens > first ? job.n_tokens - first : 0);
    int key = threadIdx.x % 64, part = threadIdx.x / 64;
    bool there = key < n;
    uint32_t token = job.first + first + (there ? key : 0), index = 0, code = 0;
    const uint8_t *base = job.section.base + layer * job.section.layer_stride, *unit = base + head * job.section.key_head_bytes + (uint64_t)(token / 16) * 544;
    const uint8_t *row = base + job.section.rows_offset + head * job.section.row_head_bytes + (uint64_t)token * (VK == KERN_VALUE_Q4 ? 64 : 128);
    const uint16_t *scales = (const uint16_t *)(base + job.section.scales_offset + head * job.section.scale_head_bytes) + (uint64_t)token * (VK == KERN_VALUE_Q4 ? 4 : 1);
    uint4 v[2] = {};
    float scale = 0, key_scale = 0;
    if (there) {
        index = ((const uint32_t *)unit)[part * 16 + token % 16], code = ((const uint32_t *)unit)[64 + part * 16 + token % 16];
#pragma unroll
        for (int i = 0; i < 2; i++) v[i] = __ldg((const uint4 *)row + (VK == KERN_VALUE_Q4 ? part % 2 : part) * 2 + i);
        scale = half_bits_to_float(scales[VK == KERN_VALUE_Q4 ? part : 0]);
        key_scale = half_bits_to_float(((const uint16_t *)unit)[256 + token % 16]);
    }
    for (int i = threadIdx.x; i < GPU_FLASH_KEYS * 128 / 16; i += EXPAND_THREADS) tile[i] = make_uint4(0, 0, 0, 0);
    uint32_t words[8] = {v[0].x, v[0].y, v[0].z, v[0].w, v[1].x, v[1].y, v[1].z, v[1].w}, top = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (VK == KERN_VALUE_Q4) words[i] = words[i] >> (part < 2 ? 0 : 4) & 0x0f0f0f0fu;
        top = __vmaxu4(top, VK == KERN_VALUE_Q4 ? __vabsdiffu4(words[i], 0x08080808u) : __vabs4(words[i]));
    }
    top = max(max(top & 255, top >> 8 & 255), max(top >> 16 & 255, top >> 24));
    float largest = block_max(there ? (float)top * scale : 0.0f, tops); /* also: the tile is clear */
#pragma unroll
    for (int i = 0; i < 4; i++) { /* a zero must not erase what is there: unused places of hostile files may repeat a feature */
        int feature = index >> 8 * i & 127;
        if (code >> 8 * i & 255) ((uint8_t *)tile)[key * 128 + ((feature / 16) ^ (key & 7)) * 16 + feature % 16] = (uint8_t)(code >> 8 * i);
    }
    int64_t out = (int64_t)head * scratch.n_tiles + job.tile + blockIdx.x;
    if (part == 0) store_scale(scratch, out, key, there, key_scale, false);
    __syncthreads();
    uint4 *keys = (uint4 *)(scratch.keys + out * GPU_FLASH_KEYS * 128);
    for (int i = threadIdx.x; i < GPU_FLASH_KEYS * 128 / 16; i += EXPAND_THREADS) keys[i] = tile[i];
    int exponent = tile_exponent(largest);
    float factor = ldexpf(1.0f, -exponent);
    __half2 times = __float2half2_rn(there ? scale * factor : 0.0f);
    /* where it is an f16 number, products are rounded once; it can pass them all where a tile's values are zero and their scales are not */
    bool exact = !there || (scale * factor >= 0x1p-14f && scale * factor <= 0x1p15f);
    __syncthreads();
    __half *to = (__half *)tile + key % 8;
#pragma unroll
    for (int i = 0; i < 16; i++) {
        uint32_t pair[2];
        integers<VK>(words[i / 2], pair);
        __half2 x = *(__half2 *)&pair[i % 2];
        if (exact) x = __hmul2(x, times);
        else x = __floats2half2_rn(__low2float(x) * scale * factor, __high2float(x) * scale * factor);
        int feature = part * 32 + i * 2;
        to[feature * 64 + ((key / 8) ^ (feature & 7)) * 8] = __low2half(x);
        to[(feature + 1) * 64 + ((key / 8) ^ (feature + 1 & 7)) * 8] = __high2half(x);
    }
#pragma unroll
    for (int i = 0; i < GPU_SUM_ROWS / 4; i++) {
        int feature = 128 + part * (GPU_SUM_ROWS / 4) + i;
        to[feature * 64 + ((key / 8) ^ (feature & 7)) * 8] = __float2half_rn(feature == 128 ? factor : 0.0f);
    }
    store_exponent(scratch, out, exponent, n < GPU_FLASH_KEYS);
    __syncthreads();
    uint4 *values = (uint4 *)(scratch.values + out * (128 + GPU_SUM_ROWS) * GPU_FLASH_KEYS);
    for (int i = threadIdx.x; i < (128 + GPU_SUM_ROWS) * GPU_FLASH_KEYS * 2 / 16; i += EXPAND_THREADS) values[i] = tile[i];
}

__global__ void __launch_bounds__(EXPAND_THREADS) expand_kernel(gpu_format f, gpu_scratch scratch, const gpu_expand_job *jobs, int layer, int n_value_rows)
{
    __shared__ uint4 tile[(128 + GPU_SUM_ROWS) * 128 / 16]; /* keys (8 or 16 KB), then values (8 or 17 KB) */
    __shared__ float tops[EXPAND_THREADS / 32];
    const gpu_expand_job job = jobs[blockIdx.z];
    uint32_t first = blockIdx.x * GPU_FLASH_KEYS;
    /* tiles come in pairs: Hopper's version multiplies 128 keys, and what lies past the end must be finite */
    if (first >= (job.n_tokens + 2 * GPU_FLASH_KEYS - 1) / (2 * GPU_FLASH_KEYS) * (2 * GPU_FLASH_KEYS)) return;
    int head = blockIdx.y, n = (int)min((uint32_t)GPU_FLASH_KEYS, job.n_tokens > first ? job.n_tokens - first : 0), key_bytes = f.key_type == KERN_KEY_CODE32 ? 256 : 128;
    const uint8_t *base = job.section.base + layer * job.section.layer_stride;
    int64_t out = (int64_t)head * scratch.n_tiles + job.tile + blockIdx.x;
    for (int i = threadIdx.x; i < GPU_FLASH_KEYS * key_bytes / 16; i += EXPAND_THREADS) tile[i] = make_uint4(0, 0, 0, 0);
    __syncthreads();
    int row = threadIdx.x / 4, quarter = threadIdx.x % 4;
    float scale = 0;
    if (row < n) {
        uint32_t token = job.first + first + row;
        scale = spread_key(f, base + head * job.section.key_head_bytes + (uint64_t)(token / 16) * f.unit_bytes, token % 16, (uint8_t *)tile, row, quarter);
    }
    if (quarter == 0) store_scale(scratch, out, row, row < n, scale, f.key_type == KERN_KEY_CODE32);
    __syncthreads();
    uint4 *keys = (uint4 *)(scratch.keys + out * GPU_FLASH_KEYS * key_bytes);
    for (int i = threadIdx.x; i < GPU_FLASH_KEYS * key_bytes / 16; i += EXPAND_THREADS) keys[i] = tile[i];

    float x[32], largest = 0;
    int key = threadIdx.x % 64, part = threadIdx.x / 64, n_part = f.d / 4;
    if (key < n) {
        uint32_t token = job.first + first + key;
        const uint16_t *scales = (const uint16_t *)(base + job.section.scales_offset + head * job.section.scale_head_bytes) + (uint64_t)token * f.n_scales;
        largest = read_values(f, base + job.section.rows_offset + head * job.section.row_head_bytes + (uint64_t)token * f.row_bytes, scales,
                              part * n_part, n_part, x);
    }
    largest = block_max(largest, tops); /* also: everyone has copied the keys out of the tile */
    int exponent = tile_exponent(largest);
    float factor = ldexpf(1.0f, -exponent);
    __half *to = (__half *)tile;
    for (int i = 0; i < n_value_rows / 4; i++) {
        int feature = i < n_part ? part * n_part + i : f.d + part * (n_value_rows / 4 - n_part) + i - n_part;
        float v = key < n && i < n_part ? x[i] * factor : feature == 128 ? factor : 0.0f;
        to[feature * 64 + ((key / 8) ^ (feature & 7)) * 8 + key % 8] = __float2half_rn(v);
    }
    store_exponent(scratch, out, exponent, n < GPU_FLASH_KEYS);
    __syncthreads();
    uint4 *values = (uint4 *)(scratch.values + out * n_value_rows * GPU_FLASH_KEYS);
    for (int i = threadIdx.x; i < n_value_rows * GPU_FLASH_KEYS * 2 / 16; i += EXPAND_THREADS) values[i] = tile[i];
}

cudaError_t gpu_expand(const gpu_format *f, const gpu_scratch *scratch, const gpu_expand_job *jobs, int n_jobs, int n_tiles_max, int layer,
                       cudaStream_t stream)
{
    if (!n_jobs) return cudaSuccess;
    dim3 blocks((n_tiles_max + 1) / 2 * 2, f->n_kv_heads, n_jobs);
    bool codes = f->d == 128 && f->k_key == 16 && f->index_bytes && f->key_type == KERN_KEY_CODE8;
    if (codes && f->value_type == KERN_VALUE_Q8) expand_codes_kernel<KERN_VALUE_Q8><<<blocks, EXPAND_THREADS, 0, stream>>>(*f, *scratch, jobs, layer);
    else if (codes && f->value_type == KERN_VALUE_Q4 && f->value_group == 32)
        expand_codes_kernel<KERN_VALUE_Q4><<<blocks, EXPAND_THREADS, 0, stream>>>(*f, *scratch, jobs, layer);
    else expand_kernel<<<blocks, EXPAND_THREADS, 0, stream>>>(*f, *scratch, jobs, layer, value_rows(f));
    return cudaGetLastError();
}
