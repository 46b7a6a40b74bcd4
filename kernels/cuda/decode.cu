/* decode.cu: attention of a few query rows over many cached tokens.
 *
 * Owns: the split over sections and tokens, the exact merge, values of every stored type.
 * Does not own: rows in numbers (flash*.cu), coding (encode.cu).
 *
 * Mapping: thread blocks share out the tiles (32 tokens) of a KV head; a warp takes every n-th tile of its block's range. A lane scores
 * one token for up to 8 columns (query row x head of the group): four columns' 8-bit table entries share a 32-bit word, so that one
 * look-up serves them all, and dp4a sums four features. Few columns over 8-bit or 4-bit values: all in integers (decode-integer.cuh).
 * Otherwise weights go to the tensor cores as f16 in two parts (value and remainder, 22 bits), 8-bit and 4-bit values as the integers
 * they are: products are exact, sums are float. The scale of a value row is multiplied into its weight, and the running maximum is
 * taken over score + log2(scale), so that no weight overflows. The last thread block of a KV head to finish merges all parts in a
 * fixed order: the result does not depend on timing.
 */
#include "decode.cuh"
#include "decode-integer.cuh"

#define WARPS_F16 12

template <int SK, int VK, int NC, int WARPS, int BLOCKS>
__global__ void __launch_bounds__(WARPS * 32, BLOCKS) decode_kernel(gpu_decode_args a)
{
    __shared__ Shared<NC> s;
    extern __shared__ __align__(16) uint32_t area[]; /* the warps' exchange areas; then their sums */
    typedef Layout<VK, NC, WARPS> layout;
    uint32_t *exchange = area + layout::first_exchange + (threadIdx.x >> 5) * layout::exchange;
    float *floats = (float *)area + (threadIdx.x >> 5) * layout::sums;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, head = blockIdx.x, per_kv = a.n_heads / a.format.n_kv_heads, part = blockIdx.y;
    const gpu_part mine = a.parts[part];
    const gpu_group &g = mine.group;
    const float *dense[NC];
    typename WarpSums<VK, NC, layout::integer>::type sums;
    clear_sums<VK, NC>(sums, floats, lane);
    static_assert(WARPS * 32 >= Table<NC>::words * 128, "a thread to a word of the table");
    Query query = load_query<NC>(a, g, head, per_kv);
    Cursor c = first_cursor(mine, head, a.layer);
    Ahead<SK, VK> ahead;
#pragma unroll
    for (int i = 0; i < Values<VK>::words; i++) ahead.v[i] = 0;
    uint32_t tile = mine.first + warp, end = mine.end;
    if (tile < end) {
        seek(c, g, tile, head, a.layer);
        load_keys<SK, VK>(ahead, c, a.format, tile, lane);
        if constexpr (layout::integer) load_rows<SK, VK>(ahead, c, lane);
        else if (VK != VALUE_ANY) load_values<SK, VK>(ahead, c, 0, lane), load_values<SK, VK>(ahead, c, 1, lane);
    }
    set_up<SK, NC>(s, a, g, head, per_kv, query, dense); /* while the first tile is on its way */
    for (; tile < end; tile += WARPS) {
        float score[NC], scales[4], log_scale = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) scales[i] = layout::integer ? INTEGER_ONE : WEIGHT_ONE;
        score_token<SK, VK, NC>(s, ahead, c, a.format, dense, lane, score);
        if (VK == KERN_VALUE_Q8 || VK == KERN_VALUE_Q4) {
            float largest = 0x1p-24f;
#pragma unroll
            for (int i = 0; i < Values<VK>::groups; i++) {
                float scale = half_bits_to_float(ahead.scales[i]);
                largest = fmaxf(largest, scale);
                scales[i] *= scale;
            }
            log_scale = log2_fast(largest);
        }
        uint32_t token = ahead.token, n_tokens = c.n_tokens;
        bool more = tile + WARPS < end;
        if (VK != VALUE_ANY && more) { /* the next tile's keys come while this one's weights and values are worked on */
            seek(c, g, tile + WARPS, head, a.layer);
            load_keys<SK, VK>(ahead, c, a.format, tile + WARPS, lane);
        }
        if constexpr (layout::integer) {
            weigh_integer<VK, NC>(sums, floats, score, s, token + lane, n_tokens, scales, lane);
            __syncwarp();
            put_digits<VK, NC>(exchange, score, scales, Order<VK>::at(lane));
            __syncwarp();
            add_rows<VK, NC>(sums, ahead.v, exchange, lane);
            if (more) load_rows<SK, VK>(ahead, c, lane);
        } else if constexpr (VK == VALUE_ANY) {
            weigh<VK, NC>(sums, score, s, token + lane, n_tokens, log_scale, lane);
            add_values_any<VK, NC>(sums, score, a.format, c, token, lane);
            if (more) {
                seek(c, g, tile + WARPS, head, a.layer);
                load_keys<SK, VK>(ahead, c, a.format, tile + WARPS, lane);
            }
        } else {
            weigh<VK, NC>(sums, score, s, token + lane, n_tokens, log_scale, lane);
            __syncwarp();
            put_weights<VK, NC>(exchange, score, scales, lane);
            __syncwarp();
#pragma unroll
            for (int half = 0; half < 2; half++) {
                add_values<VK, NC>(sums, ahead.v + half * (Values<VK>::words / 2), exchange, half, lane);
                if (more) load_values<SK, VK>(ahead, c, half, lane);
            }
        }
    }
    finish_block<VK, NC, WARPS, layout>(sums, s, (float *)area, a, a.groups, part, head, per_kv);
}

template <int SK, int VK, int NC, int WARPS, int BLOCKS> static cudaError_t launch(const gpu_decode_args *a, cudaStream_t stream)
{
    constexpr int bytes = Layout<VK, NC, WARPS>::bytes;
    cudaError_t error = cudaFuncSetAttribute(decode_kernel<SK, VK, NC, WARPS, BLOCKS>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error != cudaSuccess) return error;
    decode_kernel<SK, VK, NC, WARPS, BLOCKS><<<dim3(a->format.n_kv_heads, a->n_parts), WARPS * 32, bytes, stream>>>(*a);
    return cudaGetLastError();
}

template <int SK, int NC> static cudaError_t launch_values(const gpu_decode_args *a, cudaStream_t stream)
{
    const gpu_format &f = a->format;
    constexpr int at_least_4 = NC < 4 ? 4 : NC;
    if (f.d == 128 && f.value_type == KERN_VALUE_Q8) return launch<SK, KERN_VALUE_Q8, NC, 8, 2>(a, stream);
    if (f.d == 128 && f.value_type == KERN_VALUE_F16) return launch<SK, KERN_VALUE_F16, at_least_4, WARPS_F16, 1>(a, stream);
    if (f.d == 128 && f.value_type == KERN_VALUE_Q4 && f.value_group == 32) return launch<SK, KERN_VALUE_Q4, NC, 8, 2>(a, stream);
    return launch<SK == SCORE_CODE8_K16 ? SCORE_CODE8 : SK, VALUE_ANY, at_least_4, 8, 2>(a, stream);
}

int gpu_decode_parts(const gpu_format *format, const gpu_group *g, const gpu_section *host_sections, const uint32_t *host_first_tile, gpu_part *ret_parts)
{
    /* in whole rounds of the warps; the first ones have one more, for a multiprocessor's first block gets more of its time */
    uint32_t warps = format->value_type == KERN_VALUE_F16 ? WARPS_F16 : 8, rounds = (g->n_tiles + warps - 1) / warps, each = rounds / g->n_splits;
    uint32_t rest = rounds % g->n_splits, section = 0, end = 0;
    for (uint32_t i = 0; i < g->n_splits; i++) {
        gpu_part p = {};
        p.group = *g, p.first = end;
        end += (each + (i < rest)) * warps;
        end = p.end = end < g->n_tiles ? end : g->n_tiles;
        while (section + 1 < g->n_sections && host_first_tile[section + 1] <= p.first) section++;
        p.section = host_sections[section], p.section_index = section;
        p.section_first = host_first_tile[section], p.section_end = host_first_tile[section + 1];
        ret_parts[i] = p;
    }
    return (int)g->n_splits;
}

static int chosen_version;

void gpu_decode_choose(int version)
{
    chosen_version = version;
}

int gpu_decode_blocks(const gpu_format *format)
{
    return format->value_type == KERN_VALUE_F16 || (chosen_version == 0 && gpu_decode_sm90_applies(format)) ? 1 : 2; /* registers, or shared memory, are full */
}

cudaError_t gpu_decode(const gpu_decode_args *a, cudaStream_t stream)
{
    const gpu_format &f = a->format;
    if (a->n_parts <= 0) return cudaSuccess;
    if (chosen_version == 0 && gpu_decode_sm90_applies(&f)) return gpu_decode_sm90(a, stream);
    if (f.key_type == KERN_KEY_CODE32) return launch<SCORE_CODE32, VALUE_ANY, 8, 8, 2>(a, stream);
    bool k16 = f.k_key == 16 && f.index_bytes;
    if (a->columns <= 2) return k16 ? launch_values<SCORE_CODE8_K16, 2>(a, stream) : launch_values<SCORE_CODE8, 2>(a, stream);
    if (a->columns <= 4) return k16 ? launch_values<SCORE_CODE8_K16, 4>(a, stream) : launch_values<SCORE_CODE8, 4>(a, stream);
    return k16 ? launch_values<SCORE_CODE8_K16, 8>(a, stream) : launch_values<SCORE_CODE8, 8>(a, stream);
}

/* A warp to a part of 64 tokens; the columns of all rows in turns of eight. */
template <int SK> __global__ void __launch_bounds__(256) mass_kernel(gpu_decode_args a, const gpu_section *sections, const uint32_t *first_part, int n_sections,
                                                                    int n_parts, float *mass)
{
    __shared__ Shared<8> s;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, head = blockIdx.y, per_kv = a.n_heads / a.format.n_kv_heads, part = blockIdx.x * 8 + warp;
    int low = 0, high = n_sections;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if ((int)first_part[middle] <= part) low = middle;
        else high = middle;
    }
    const gpu_section &section = sections[low];
    Cursor c = {section.base + a.layer * section.layer_stride + head * section.key_head_bytes, NULL, NULL, section.n_tokens, 0, 0, 0};
    float total = 0;
    for (int column = 0; column < a.n_rows * per_kv; column += per_kv < 8 ? per_kv : 8) {
        gpu_group g = {};
        g.first_row = a.first_row + column / per_kv, g.n_rows = 1, g.first_head = column % per_kv, g.n_heads = min(8, per_kv - column % per_kv);
        const float *dense[8];
        __syncthreads();
        set_up<SK, 8>(s, a, g, head, per_kv, load_query<8>(a, g, head, per_kv), dense);
        for (int half = 0; half < 2 && part < n_parts; half++) {
            Ahead<SK, VALUE_ANY> ahead;
            float score[8];
            ahead.token = (part - first_part[low]) * KERN_MASS_TOKENS + half * 32;
            score_token<SK, VALUE_ANY, 8>(s, ahead, c, a.format, dense, lane, score);
            for (uint32_t i = 0; i < g.n_heads && ahead.token + lane < c.n_tokens; i++) {
                float2 ml = a.out_ml[(int64_t)g.first_row * a.n_heads + head * per_kv + g.first_head + i];
                total += ml.y > 0 ? exp2_fast(score[i] - ml.x) / ml.y : 0.0f;
            }
        }
    }
    total = warp_sum(total);
    if (lane == 0 && part < n_parts) atomicAdd(&mass[part], total);
}

cudaError_t gpu_mass(const gpu_decode_args *a, const gpu_section *sections, const uint32_t *first_part, int n_sections, int n_parts, float *mass,
                     cudaStream_t stream)
{
    dim3 blocks((n_parts + 7) / 8, a->format.n_kv_heads);
    if (a->format.key_type == KERN_KEY_CODE32) mass_kernel<SCORE_CODE32><<<blocks, 256, 0, stream>>>(*a, sections, first_part, n_sections, n_parts, mass);
    else mass_kernel<SCORE_CODE8><<<blocks, 256, 0, stream>>>(*a, sections, first_part, n_sections, n_parts, mass);
    return cudaGetLastError();
}
