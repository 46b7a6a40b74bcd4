/* bench.cu: times of the attention kernels beside the same run's copy bandwidth.
 *
 * Owns: the work of the table in kernels/cuda/README.md (16 query and 8 KV heads, d = 128, k = 16, causal, one layer), on random rows and
 *       on a model's own. Medians of repeated runs and their spread; the second-level cache is read over before each run.
 * Does not own: whole models (lectern bench --gpu), where a model's rows come from (rows.c).
 *
 * usage: bench [--rows FILE] [--short] [codes] [decode] [prefill]   Parts: all unless named. --short: without prefill of 131,072 tokens.
 */
#include <algorithm>
#include <vector>

#include "data.h"
#include "rows.h"

enum { HEADS = ROWS_HEADS, KV = ROWS_KV_HEADS, D = ROWS_DIM, SECTION = 2048, QUERY_ROW = 1000, FLUSH_BYTES = 256 << 20 };

__global__ void fill_rows(float *x, size_t n, uint32_t seed)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        uint64_t z = i * 0x9e3779b97f4a7c15u + seed * 0xd1342543de82ef95u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        float u = ((uint32_t)(z >> 40) + 0.5f) * 0x1p-24f, v = (uint32_t)(z & 0xffffff) * 0x1p-24f;
        x[i] = sqrtf(-2 * logf(u)) * cosf(6.2831853f * v);
    }
}

static void *flush_buffer;
static uint32_t *flush_sink;

/* Reads a buffer larger than the second-level cache: what was there is gone, and nothing is left to be written back. */
__global__ void flush_cache(const uint4 *p, size_t n, uint32_t *sink)
{
    uint32_t sum = 0;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) sum += p[i].x ^ p[i].w;
    if (sum == 0x12345678u) *sink = sum;
}

/* What the shortest way of reading once costs: the floor of decode. */
__global__ void __launch_bounds__(512) read_once(const uint4 *p, size_t n, uint32_t *sink)
{
    enum { AT_ONCE = 8 };
    uint32_t sum = 0;
    size_t step = (size_t)gridDim.x * blockDim.x, i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    for (; i + (AT_ONCE - 1) * step < n; i += AT_ONCE * step) {
        uint4 v[AT_ONCE];
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) v[j] = __ldcs(p + i + j * step);
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) sum += v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
    }
    for (; i < n; i += step) sum += p[i].x;
    if (sum == 0x12345678u) *sink = sum;
}

struct Times {
    double median_us, low_us, high_us;
};

template <typename F> static Times time_it(int n, bool flush, F work)
{
    cudaEvent_t start, end;
    CUDA_OK(cudaEventCreate(&start));
    CUDA_OK(cudaEventCreate(&end));
    std::vector<float> us;
    for (int i = 0; i < n + 3; i++) {
        if (flush) flush_cache<<<1024, 256>>>((const uint4 *)flush_buffer, FLUSH_BYTES / 16, flush_sink);
        CUDA_OK(cudaEventRecord(start));
        work();
        CUDA_OK(cudaEventRecord(end));
        CUDA_OK(cudaEventSynchronize(end));
        float ms;
        CUDA_OK(cudaEventElapsedTime(&ms, start, end));
        if (i >= 3) us.push_back(ms * 1000);
    }
    std::sort(us.begin(), us.end());
    return (Times){us[us.size() / 2], us[us.size() / 10], us[us.size() * 9 / 10]};
}

static double copy_bytes_us; /* bytes a microsecond: read and written */

static void bench_copy(void)
{
    size_t n = (size_t)2 << 30;
    uint8_t *a = gpu_new<uint8_t>(n), *b = gpu_new<uint8_t>(n);
    Times t = time_it(20, false, [&] { CUDA_OK(cudaMemcpyAsync(b, a, n, cudaMemcpyDeviceToDevice)); });
    copy_bytes_us = 2.0 * n / t.median_us;
    printf("copy of 2 GiB: %.0f us (%.0f .. %.0f): %.3f TB/s read and written\n", t.median_us, t.low_us, t.high_us, copy_bytes_us * 1e-6);
    CUDA_OK(cudaFree(a));
    CUDA_OK(cudaFree(b));
}

/* One sequence at the start of a block; its description stays on the GPU. */
static void set_segment(gpu_encode_args *a, const kern_kv_format *format, uint8_t *block, size_t n, size_t at, size_t n_rows)
{
    gpu_encode_segment segment = {gpu_section_of(format, KV, block, n, n), 0, (uint32_t)n_rows, (uint32_t)at};
    a->segments = gpu_copy(&segment, 1), a->n_segments = 1, a->n_units_max = (int)((n_rows + 15) / 16);
}

static gpu_encode_args encode_args(const gpu_format &f)
{
    gpu_encode_args a = {};
    a.format = f, a.n_heads = HEADS, a.norm_eps = 1e-6f, a.q_root = 1 / sqrtf((float)D);
    return a;
}

/* rotated: by their position before they are coded; random rows are as random without. */
struct Rows {
    const char *name;
    float *q, *k, *v, *norm, *cos_rows, *sin_rows;
    int n;
    bool rotated;
};
static Rows new_rows(const char *name, int n, const double *inv_freq)
{
    Rows r = {name, gpu_new<float>((size_t)n * HEADS * D), gpu_new<float>((size_t)n * KV * D), gpu_new<float>((size_t)n * KV * D), gpu_new<float>(D),
              gpu_new<float>((size_t)n * D / 2), gpu_new<float>((size_t)n * D / 2), n, false};
    std::vector<float> c((size_t)n * D / 2), s((size_t)n * D / 2);
    kern_rope_fill(inv_freq, D, 1, 0, n, c.data(), s.data());
    CUDA_OK(cudaMemcpy(r.cos_rows, c.data(), c.size() * 4, cudaMemcpyHostToDevice));
    CUDA_OK(cudaMemcpy(r.sin_rows, s.data(), s.size() * 4, cudaMemcpyHostToDevice));
    return r;
}
static void free_rows(const Rows &r)
{
    for (float *p : {r.q, r.k, r.v, r.norm, r.cos_rows, r.sin_rows}) CUDA_OK(cudaFree(p));
}

static Rows random_rows(int n)
{
    double inv[D / 2];
    for (int i = 0; i < D / 2; i++) inv[i] = pow(1e6, -2.0 * i / D);
    Rows r = new_rows("random", n, inv);
    fill_rows<<<1024, 256>>>(r.q, (size_t)n * HEADS * D, 1);
    fill_rows<<<1024, 256>>>(r.k, (size_t)n * KV * D, 2);
    fill_rows<<<1024, 256>>>(r.v, (size_t)n * KV * D, 3);
    fill_rows<<<1, 128>>>(r.norm, D, 4);
    return r;
}

__global__ void spread_tokens(const rows_token *tokens, uint32_t n_tokens, Rows r)
{
    const rows_token &from = tokens[blockIdx.x % n_tokens];
    size_t at = blockIdx.x;
    for (int i = threadIdx.x; i < HEADS * D; i += blockDim.x) r.q[at * HEADS * D + i] = __half2float(__ushort_as_half(from.q[i / D][i % D]));
    for (int i = threadIdx.x; i < KV * D; i += blockDim.x) {
        r.k[at * KV * D + i] = __half2float(__ushort_as_half(from.k[i / D][i % D]));
        r.v[at * KV * D + i] = __half2float(__ushort_as_half(from.v[i / D][i % D]));
    }
    if (blockIdx.x == 0 && threadIdx.x < D) r.norm[threadIdx.x] = 1;
}

/* The file's tokens, over and over. */
static Rows model_rows(int n, const char *path)
{
    rows_header header;
    FILE *file = fopen(path, "rb");
    std::vector<rows_token> tokens;
    if (file && fread(&header, sizeof header, 1, file) == 1 && header.magic == ROWS_MAGIC && header.n_tokens > QUERY_ROW) tokens.resize(header.n_tokens);
    if (tokens.empty() || fread(tokens.data(), sizeof tokens[0], tokens.size(), file) != tokens.size()) {
        fprintf(stderr, "%s: no file of rows\n", path);
        exit(1);
    }
    fclose(file);
    rows_token *device = gpu_copy(tokens.data(), tokens.size());
    Rows r = new_rows("a model's", n, header.inv_freq);
    r.rotated = true;
    spread_tokens<<<n, 256>>>(device, header.n_tokens, r);
    CUDA_OK(cudaDeviceSynchronize());
    CUDA_OK(cudaFree(device));
    return r;
}

/* rows of 24 heads: norm, rotation, top-k, codes. Bytes: floats read once, codes written once. */
static void bench_codes(const Rows &r)
{
    kern_kv_format format = {D, 16, 16, 32, KERN_KEY_CODE8, KERN_VALUE_Q8};
    gpu_encode_args a = encode_args(gpu_format_of(&format, KV));
    size_t n = r.n, bytes = kern_kv_layout_of(&format, KV, n).total_bytes;
    uint8_t *block = gpu_new<uint8_t>(bytes);
    set_segment(&a, &format, block, n, 0, n);
    a.table = gpu_new<int8_t>(n * HEADS * 128), a.scale = gpu_new<float>(n * HEADS);
    a.q = r.q, a.k = r.k, a.q_norm = a.k_norm = r.norm, a.rope_cos = r.cos_rows, a.rope_sin = r.sin_rows, a.n_rows = (int)n;
    double moved = (double)n * (24 * D * 4 + HEADS * 132 + KV * 34);
    for (int plain = 0; plain < 2; plain++) {
        if (plain) a.q_norm = a.k_norm = NULL, a.rope_cos = a.rope_sin = NULL;
        Times t = time_it(20, true, [&] { CUDA_OK(gpu_encode(&a, 0)); });
        printf("codes of %zu x 24 rows%s, %s: %.0f us (%.0f .. %.0f); floats in, codes out once: %.0f us; ratio %.2f\n", n, plain ? ", top-k alone" : "",
               r.name, t.median_us, t.low_us, t.high_us, moved / copy_bytes_us, t.median_us * copy_bytes_us / moved);
    }
    CUDA_OK(cudaFree(block)); CUDA_OK(cudaFree(a.table)); CUDA_OK(cudaFree(a.scale));
}

static void bench_decode(const Rows &r, kern_value_type type, size_t n_keys, size_t section, int branches, const int *splits_tried, int n_tried)
{
    kern_kv_format format = {D, 16, 16, 32, KERN_KEY_CODE8, type};
    gpu_encode_args e = encode_args(gpu_format_of(&format, KV));
    size_t n_sections = n_keys / section, bytes = kern_kv_layout_of(&format, KV, section).total_bytes;
    uint8_t *memory = gpu_new<uint8_t>(bytes * n_sections);
    if (r.rotated) e.rope_cos = r.cos_rows, e.rope_sin = r.sin_rows;
    std::vector<gpu_section> sections;
    std::vector<uint32_t> first(1, 0);
    for (size_t i = 0; i < n_sections; i++) {
        int row = (int)(i * section % r.n);
        e.k = r.k + (size_t)row * KV * D, e.v = r.v + (size_t)row * KV * D;
        set_segment(&e, &format, memory + i * bytes, section, 0, section);
        CUDA_OK(gpu_encode(&e, 0));
        sections.push_back(gpu_section_of(&format, KV, memory + i * bytes, section, section));
        first.push_back(first.back() + (uint32_t)(section / GPU_TILE_TOKENS));
    }
    std::vector<uint32_t> position;
    for (int i = 0; i < branches; i++) position.push_back((uint32_t)section + i);
    e.k = e.v = NULL, e.q = r.q + (size_t)QUERY_ROW * HEADS * D, e.n_rows = branches, e.position = gpu_copy(position.data(), position.size());
    e.table = gpu_new<int8_t>(branches * HEADS * 128), e.scale = gpu_new<float>(branches * HEADS);
    CUDA_OK(gpu_encode(&e, 0));
    gpu_decode_args a = {};
    a.format = e.format, a.n_heads = HEADS, a.table = e.table, a.scale = e.scale, a.n_rows = branches, a.columns = std::min(8, 2 * branches);
    gpu_section *dsections = gpu_copy(sections.data(), sections.size());
    uint32_t *dfirst = gpu_copy(first.data(), first.size());
    a.part_words = gpu_new<uint64_t>((size_t)2048 * KV * 8 * GPU_PART_WORDS);
    a.arrived = gpu_new<uint32_t>(KV * 2);
    CUDA_OK(cudaMemset(a.part_words, 0, (size_t)2048 * KV * 8 * GPU_PART_WORDS * 8));
    CUDA_OK(cudaMemset(a.arrived, 0, KV * 2 * 4));
    a.out = gpu_new<float>(branches * HEADS * D), a.out_stride = HEADS * D;
    double moved = (double)n_keys * KV * (34 + (type == KERN_VALUE_Q8 ? 130 : type == KERN_VALUE_F16 ? 256 : 72));
    for (int i = 0; i < n_tried; i++) {
        int splits = splits_tried[i], n_groups = (branches + 3) / 4;
        std::vector<gpu_group> groups;
        std::vector<gpu_part> parts(n_groups * splits);
        for (int g = 0; g < n_groups; g++) {
            gpu_group group = {dsections, dfirst, (uint32_t)n_sections, first.back(), (uint32_t)g * 4, (uint32_t)std::min(4, branches - g * 4), 0, 2, 0, 0,
                               (uint32_t)(g * splits), (uint32_t)splits};
            gpu_decode_parts(&e.format, &group, sections.data(), first.data(), parts.data() + g * splits);
            groups.push_back(group);
        }
        a.parts = gpu_copy(parts.data(), parts.size()), a.groups = gpu_copy(groups.data(), groups.size()), a.n_groups = n_groups, a.n_parts = n_groups * splits;
        Times t = time_it(40, true, [&] { CUDA_OK(gpu_decode(&a, 0)); });
        printf("decode %zu keys, values %s, %d branches, %d splits, %s: %.1f us (%.1f .. %.1f); bytes at copy bandwidth %.1f us: %.0f%%\n", n_keys,
               type == KERN_VALUE_Q8 ? "8-bit" : type == KERN_VALUE_F16 ? "16-bit" : "4-bit", branches, splits, r.name, t.median_us, t.low_us, t.high_us,
               moved / copy_bytes_us, 100 * moved / copy_bytes_us / t.median_us);
        CUDA_OK(cudaFree((void *)a.groups)); CUDA_OK(cudaFree((void *)a.parts));
    }
    if (branches == 1) {
        Times t = time_it(40, true, [&] { read_once<<<264, 512>>>((const uint4 *)memory, (size_t)moved / 16, flush_sink); });
        printf("  as many bytes read by a kernel that does nothing else: %.1f us (%.1f .. %.1f)\n", t.median_us, t.low_us, t.high_us);
    }
    CUDA_OK(cudaFree(memory)); CUDA_OK(cudaFree((void *)e.position)); CUDA_OK(cudaFree(dsections)); CUDA_OK(cudaFree(dfirst)); CUDA_OK(cudaFree(a.part_words));
    CUDA_OK(cudaFree(a.out)); CUDA_OK(cudaFree(a.arrived)); CUDA_OK(cudaFree(e.table)); CUDA_OK(cudaFree(e.scale));
}

static void bench_prefill(const Rows &r, int n, int version)
{
    kern_kv_format format = {D, 16, 16, 32, KERN_KEY_CODE8, KERN_VALUE_Q8};
    gpu_encode_args e = encode_args(gpu_format_of(&format, KV));
    size_t bytes = kern_kv_layout_of(&format, KV, n).total_bytes;
    uint8_t *block = gpu_new<uint8_t>(bytes);
    set_segment(&e, &format, block, n, 0, n);
    e.table = gpu_new<int8_t>((size_t)n * HEADS * 128), e.scale = gpu_new<float>((size_t)n * HEADS);
    e.q = r.q, e.k = r.k, e.v = r.v, e.n_rows = n;
    if (r.rotated) e.rope_cos = r.cos_rows, e.rope_sin = r.sin_rows;
    CUDA_OK(gpu_encode(&e, 0));
    gpu_flash_args a = {};
    uint32_t tiles = (n + 127) / 128 * 2;
    gpu_expand_job expand = {gpu_section_of(&format, KV, block, n, n), 0, (uint32_t)n, 0};
    gpu_flash_job job = {0, (uint32_t)n, 0, (uint32_t)n, 0, 0xffffffffu};
    gpu_expand_job *dexpand = gpu_copy(&expand, 1);
    void *memory = gpu_new<uint8_t>(gpu_scratch_tile_bytes(&e.format) * tiles);
    a.format = e.format, a.n_heads = HEADS, a.table = e.table, a.scale = e.scale;
    a.scratch = gpu_scratch_at(&e.format, memory, tiles);
    a.jobs = gpu_copy(&job, 1), a.n_jobs = 1, a.n_rows_max = n;
    a.out = gpu_new<float>((size_t)n * HEADS * D), a.out_stride = HEADS * D;
    gpu_flash_choose(version);
    Times x = time_it(7, true, [&] { CUDA_OK(gpu_expand(&e.format, &a.scratch, dexpand, 1, (int)tiles, 0, 0)); });
    Times t = time_it(n > 65536 ? 5 : 9, true, [&] {
        CUDA_OK(gpu_expand(&e.format, &a.scratch, dexpand, 1, (int)tiles, 0, 0));
        CUDA_OK(gpu_flash(&a, 0));
    });
    double work = 2.0 * 2 * D * HEADS * ((double)n * n / 2);
    printf("prefill %d tokens, version %d, %s: %.2f ms (%.2f .. %.2f), of which expansion %.3f ms; %.0f Tflop/s as dense attention counts\n", n, version,
           r.name, t.median_us / 1e3, t.low_us / 1e3, t.high_us / 1e3, x.median_us / 1e3, work / t.median_us * 1e-6);
    CUDA_OK(cudaFree(memory)); CUDA_OK(cudaFree(dexpand)); CUDA_OK(cudaFree((void *)a.jobs)); CUDA_OK(cudaFree(a.out)); CUDA_OK(cudaFree(block));
    CUDA_OK(cudaFree(e.table)); CUDA_OK(cudaFree(e.scale));
}

static void bench_decodes(const Rows &r, int n_multiprocessors)
{
    kern_kv_format format = {D, 16, 16, 32, KERN_KEY_CODE8, KERN_VALUE_Q8};
    gpu_format f = gpu_format_of(&format, KV);
    int blocks = gpu_decode_blocks(&f) * n_multiprocessors;
    const int tried[] = {blocks / KV, 2 * blocks / KV};
    bench_decode(r, KERN_VALUE_Q8, 131072, SECTION, 1, tried, 2);
    bench_decode(r, KERN_VALUE_F16, 131072, SECTION, 1, tried, 2);
    bench_decode(r, KERN_VALUE_Q4, 131072, SECTION, 1, tried, 2);
    bench_decode(r, KERN_VALUE_Q8, 524288, SECTION, 1, tried, 2);
    bench_decode(r, KERN_VALUE_Q8, 131072, SECTION, 2, tried, 2);
    bench_decode(r, KERN_VALUE_Q4, 131072, SECTION, 2, tried, 2);
    bench_decode(r, KERN_VALUE_Q8, 131072, SECTION, 4, tried, 2);
    bench_decode(r, KERN_VALUE_Q8, 131072, SECTION, 8, tried, 2);
    bench_decode(r, KERN_VALUE_Q8, 32768, SECTION, 1, tried, 2);
}

enum { PART_CODES = 1, PART_DECODE = 2, PART_PREFILL = 4 };

static void bench_rows(const Rows &r, int parts, bool brief, int n_multiprocessors)
{
    if (parts & PART_CODES) bench_codes(r);
    if (parts & PART_DECODE) bench_decodes(r, n_multiprocessors);
    for (int version = 1; version >= 0 && parts & PART_PREFILL; version--) {
        bench_prefill(r, 2048, version);
        bench_prefill(r, 32768, version);
        if (!brief) bench_prefill(r, 131072, version);
    }
    free_rows(r);
}

int main(int argc, char **argv)
{
    enum { TOKENS = 131072 };
    cudaDeviceProp device;
    const char *path = NULL;
    int parts = 0;
    bool brief = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--rows") && i + 1 < argc) path = argv[++i];
        else if (!strcmp(argv[i], "--short")) brief = true;
        else parts |= !strcmp(argv[i], "codes") ? PART_CODES : !strcmp(argv[i], "decode") ? PART_DECODE : !strcmp(argv[i], "prefill") ? PART_PREFILL : 0;
    }
    if (!parts) parts = PART_CODES | PART_DECODE | PART_PREFILL;
    if (cudaGetDeviceProperties(&device, 0) != cudaSuccess) {
        printf("no GPU here\n");
        return 0;
    }
    printf("%s, %d multiprocessors\n", device.name, device.multiProcessorCount);
    flush_buffer = gpu_new<uint8_t>(FLUSH_BYTES);
    flush_sink = gpu_new<uint32_t>(1);
    bench_copy();
    Times none = time_it(40, true, [] {});
    Times empty = time_it(40, true, [] { flush_cache<<<1, 32>>>(NULL, 0, flush_sink); });
    printf("between two events: nothing %.1f us, an empty kernel %.1f us\n", none.median_us, empty.median_us);
    bench_rows(random_rows(TOKENS), parts, brief, device.multiProcessorCount);
    if (path) bench_rows(model_rows(TOKENS, path), parts, brief, device.multiProcessorCount);
    return 0;
}
