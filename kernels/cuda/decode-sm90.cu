/* decode-sm90.cu: decode with Hopper's bulk copies: 8-bit and 4-bit values, keys of 16 kept features, d = 128; nothing depends on it.
 *
 * Owns: the ring of tiles in shared memory, which a warp's first lane keeps full: more bytes are under way than registers would hold, and a
 *       thread block that is late catches up. Does not own: what is computed (decode.cuh, decode-integer.cuh).
 *
 * One thread block to a multiprocessor. A warp waits for its own tiles only: there is no barrier between warps before the sums are joined.
 */
#include "decode.cuh"
#include "decode-integer.cuh"
#include "sm90.cuh"

#define RING_BYTES 230700 /* dynamic shared memory at most: 227 KB less what is static */
#define KEY_UNIT_BYTES 544
#define GROUPS_KEPT 4
#define SLOTS_MAX 3 /* more start later, by what was measured, and give nothing */

/* A tile in shared memory: value rows, keys, scales. pad: between two units' rows, so that fewer lanes' lie in the same banks; it takes another
 * copy, and more and smaller copies come later and to the multiprocessors less evenly. */
template <int VK, int NC, int WARPS> struct Ring {
    typedef Layout<VK, NC, WARPS, true> layout;
    static constexpr int groups = Values<VK>::groups, row_bytes = VK == KERN_VALUE_Q8 ? 128 : 64;
    static constexpr int pad = VK == KERN_VALUE_Q8 && NC == 8 ? 64 : 0, unit_bytes = 16 * row_bytes + pad;
    static constexpr int keys_at = 2 * unit_bytes, scales_at = keys_at + 2 * KEY_UNIT_BYTES, tile_bytes = scales_at + GPU_TILE_TOKENS * 2 * groups;
    static constexpr int room = (RING_BYTES - layout::bytes - (NC + 1) * 640) / (WARPS * tile_bytes), slots = room < SLOTS_MAX ? room : SLOTS_MAX;
    static constexpr int ring_bytes = WARPS * slots * tile_bytes, bytes = ring_bytes + layout::bytes;
};

#if KERN_SM90
/* What is small and not known to lie in the second-level cache, at once: once tiles are asked for, it would wait behind their bytes. The queries
 * only come nearer; of the groups' descriptions the thread's word is returned. */
__device__ __forceinline__ uint32_t ask_small(const gpu_decode_args &a, int head, int per_kv)
{
    uint32_t word = 0;
    if (threadIdx.x < min(a.n_groups, GROUPS_KEPT) * (uint32_t)(sizeof(gpu_group) / 4))
        asm volatile("ld.global.u32 %0, [%1];" : "=r"(word) : "l"((const uint32_t *)a.groups + threadIdx.x));
    if ((int)threadIdx.x < a.n_rows * per_kv) {
        int row = divide_small(threadIdx.x, per_kv);
        int64_t query = (int64_t)(a.first_row + row) * a.n_heads + head * per_kv + (int)threadIdx.x - row * per_kv;
        asm volatile("prefetch.global.L2 [%0];" ::"l"(a.table + query * 128));
        asm volatile("prefetch.global.L2 [%0];" ::"l"(a.scale + query));
    }
    return word;
}

/* One lane: the tile's whole units of 16 tokens, counted by the barrier. place: its first token and how many its section has. */
template <int VK, int NC, int WARPS>
__device__ __forceinline__ void ask_tile(Cursor &c, const gpu_group &g, uint32_t tile, int head, int layer, uint32_t to, uint32_t bar, uint2 *place)
{
    typedef Ring<VK, NC, WARPS> ring;
    seek(c, g, tile, head, layer);
    uint32_t token = (tile - c.first_tile) * GPU_TILE_TOKENS, units = c.n_tokens - token > 16 ? 2 : 1;
    *place = make_uint2(token, c.n_tokens);
    barrier_expect(bar, units * (KEY_UNIT_BYTES + 16 * ring::row_bytes + 32 * ring::groups));
    bulk_copy_once(to + ring::keys_at, c.keys + (uint64_t)(token / 16) * KEY_UNIT_BYTES, units * KEY_UNIT_BYTES, bar);
    bulk_copy_once(to + ring::scales_at, c.scales + (uint64_t)token * ring::groups, units * 32 * ring::groups, bar);
    const uint8_t *rows = c.rows + (uint64_t)token * ring::row_bytes;
    bulk_copy_once(to, rows, (ring::pad ? 16 : 16 * units) * ring::row_bytes, bar);
    if (ring::pad && units == 2) bulk_copy_once(to + ring::unit_bytes, rows + 16 * ring::row_bytes, 16 * ring::row_bytes, bar);
}

/* The lane's token and its share of the rows, as decode-integer.cuh's load_rows has them. */
template <int VK> __device__ __forceinline__ void read_keys(Ahead<SCORE_CODE8_K16, VK> &a, const uint8_t *keys, const uint8_t *scales, int lane)
{
    const uint8_t *unit = keys + lane / 16 * KEY_UNIT_BYTES;
    const uint32_t *words = (const uint32_t *)unit + lane % 16;
#pragma unroll
    for (int i = 0; i < 4; i++) a.index[i] = words[16 * i], a.value[i] = words[64 + 16 * i];
    a.key_scale = ((const uint16_t *)unit)[256 + lane % 16];
#pragma unroll
    for (int i = 0; i < Values<VK>::groups; i++) a.scales[i] = ((const uint16_t *)scales)[lane * Values<VK>::groups + i];
}
template <int VK, int PAD> __device__ __forceinline__ void read_rows(Ahead<SCORE_CODE8_K16, VK> &a, const uint8_t *rows, int lane)
{
    typedef Order<VK, PAD != 0> order;
    constexpr uint32_t bytes = VK == KERN_VALUE_Q8 ? 128 : 64;
    const uint8_t *mine = rows + order::first(lane) * bytes + (PAD ? (lane & 2) / 2 * PAD : 0) + (lane >> 2) * (VK == KERN_VALUE_Q8 ? 16 : 4);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const uint8_t *row = mine + order::offset(i) * bytes;
        if (VK == KERN_VALUE_Q8) {
            uint4 v = *(const uint4 *)row;
            a.v[i * 4] = v.x, a.v[i * 4 + 1] = v.y, a.v[i * 4 + 2] = v.z, a.v[i * 4 + 3] = v.w;
        } else {
            a.v[i * 2] = *(const uint32_t *)row, a.v[i * 2 + 1] = *(const uint32_t *)(row + 32);
        }
    }
}
#endif

template <int VK, int NC, int WARPS> __global__ void __launch_bounds__(WARPS * 32, 1) decode_sm90_kernel(gpu_decode_args a)
{
#if KERN_SM90
    typedef Ring<VK, NC, WARPS> ring;
    typedef typename ring::layout layout;
    typedef Order<VK, ring::pad != 0> order;
    extern __shared__ __align__(128) uint8_t memory[];
    __shared__ Shared<NC> s;
    __shared__ __align__(8) uint64_t barriers[WARPS][ring::slots];
    __shared__ uint2 places[WARPS][ring::slots];
    __shared__ gpu_group groups[GROUPS_KEPT]; /* for the end, when nothing else is left to wait for */
    /* With eight warps by a detour, so that ptxas keeps what follows from it in registers and does not work it out again for every tile. */
    int thread = WARPS == 8 ? __shfl_sync(WARP_ALL, threadIdx.x, threadIdx.x & 31) : threadIdx.x;
    int lane = thread & 31, warp = thread >> 5, head = blockIdx.x, per_kv = a.n_heads / a.format.n_kv_heads, part = blockIdx.y;
    const gpu_part p = a.parts[part];
    uint32_t group_word = ask_small(a, head, per_kv);
    const gpu_group &g = p.group;
    uint32_t tile = p.first + warp, n_tiles = tile < p.end ? (p.end - tile + WARPS - 1) / WARPS : 0;
    float *area = (float *)(memory + ring::ring_bytes), *floats = area + warp * layout::sums;
    uint32_t *exchange = (uint32_t *)area + layout::first_exchange + warp * layout::exchange;
    const uint8_t *mine = memory + warp * ring::slots * ring::tile_bytes;
    uint32_t to = smem_address(mine), bar = smem_address(barriers[warp]);
    if (lane == 0) {
        for (int i = 0; i < ring::slots; i++) barrier_init(bar + i * 8, 1);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncwarp();
    Query query = load_query<NC>(a, g, head, per_kv);
    Cursor c = first_cursor(p, head, a.layer);
    if (lane == 0)
#pragma unroll 1
        for (uint32_t i = 0; i < min(n_tiles, (uint32_t)ring::slots); i++)
            ask_tile<VK, NC, WARPS>(c, g, tile + i * WARPS, head, a.layer, to + i * ring::tile_bytes, bar + i * 8, &places[warp][i]);
    __syncwarp();
    IntegerSums<NC> sums;
    const float *dense[NC];
    clear_sums<VK, NC>(sums, floats, lane);
    if (threadIdx.x < sizeof groups / 4) ((uint32_t *)groups)[threadIdx.x] = group_word;
    set_up<SCORE_CODE8_K16, NC>(s, a, g, head, per_kv, query, dense);
    uint32_t slot = 0, phase = 0;
#pragma unroll 1
    for (uint32_t k = 0; k < n_tiles; k++) {
        const uint8_t *here = mine + slot * ring::tile_bytes;
        Ahead<SCORE_CODE8_K16, VK> ahead;
        float score[NC], scales[Values<VK>::groups];
        barrier_wait(bar + slot * 8, phase);
        uint2 place = places[warp][slot];
        read_keys<VK>(ahead, here + ring::keys_at, here + ring::scales_at, lane);
        score_token<SCORE_CODE8_K16, VK, NC>(s, ahead, c, a.format, dense, lane, score);
#pragma unroll
        for (int i = 0; i < Values<VK>::groups; i++) scales[i] = place.x + lane < place.y ? INTEGER_ONE * half_bits_to_float(ahead.scales[i]) : 0.0f;
        weigh_integer<VK, NC>(sums, floats, score, s, place.x + lane, place.y, scales, lane);
        put_digits<VK, NC>(exchange, score, scales, order::at(lane));
        read_rows<VK, ring::pad>(ahead, here, lane);
        __syncwarp(); /* all have put their weights, and have read the tile */
        add_rows<VK, NC>(sums, ahead.v, exchange, lane);
        __syncwarp(); /* all have read the weights */
        if (lane == 0 && k + ring::slots < n_tiles)
            ask_tile<VK, NC, WARPS>(c, g, tile + (k + ring::slots) * WARPS, head, a.layer, to + slot * ring::tile_bytes, bar + slot * 8, &places[warp][slot]);
        slot++;
        if (slot == ring::slots) slot = 0, phase ^= 1;
    }
    finish_block<VK, NC, WARPS, layout>(sums, s, area, a, a.n_groups <= GROUPS_KEPT ? groups : a.groups, part, head, per_kv);
#endif
}

template <int VK, int NC> static cudaError_t launch(const gpu_decode_args *a, cudaStream_t stream)
{
    constexpr int warps = NC == 4 ? 12 : VK == KERN_VALUE_Q4 && NC == 2 ? 16 : 8; /* as measured */
    constexpr int bytes = Ring<VK, NC, warps>::bytes;
    static_assert(Ring<VK, NC, warps>::slots >= 2, "a ring");
    cudaError_t error = cudaFuncSetAttribute(decode_sm90_kernel<VK, NC, warps>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error != cudaSuccess) return error;
    decode_sm90_kernel<VK, NC, warps><<<dim3(a->format.n_kv_heads, a->n_parts), warps * 32, bytes, stream>>>(*a);
    return cudaGetLastError();
}
template <int VK> static cudaError_t launch_columns(const gpu_decode_args *a, cudaStream_t stream)
{
    return a->columns <= 2 ? launch<VK, 2>(a, stream) : a->columns <= 4 ? launch<VK, 4>(a, stream) : launch<VK, 8>(a, stream);
}

bool gpu_decode_sm90_applies(const gpu_format *f)
{
    int device, major, minor;
    if (__CUDACC_VER_MAJOR__ < 12 || f->key_type != KERN_KEY_CODE8 || f->k_key != 16 || !f->index_bytes || f->d != 128) return false;
    if (f->value_type != KERN_VALUE_Q8 && (f->value_type != KERN_VALUE_Q4 || f->value_group != 32)) return false;
    return cudaGetDevice(&device) == cudaSuccess && cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
           cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess && major == 9 && minor == 0;
}

cudaError_t gpu_decode_sm90(const gpu_decode_args *a, cudaStream_t stream)
{
    return a->format.value_type == KERN_VALUE_Q8 ? launch_columns<KERN_VALUE_Q8>(a, stream) : launch_columns<KERN_VALUE_Q4>(a, stream);
}
