/* check.cu: every attention kernel of the CUDA module against the portable C one.
 *
 * Owns: cases (formats, head counts, odd sizes, ties, zeros, huge values) and tolerances. Prints one line a case that fails and a
 *       summary; exits with 1 if any did. On a machine without a GPU it checks that this is said, and how.
 */
#include "data.h"

struct Case {
    const char *name;
    kern_kv_format format;
    int n_heads, n_kv_heads;
};

static const Case cases[] = {
    {"k16 d128 q8", {128, 16, 16, 32, KERN_KEY_CODE8, KERN_VALUE_Q8}, 16, 8},
    {"k16 d128 q4", {128, 16, 16, 32, KERN_KEY_CODE8, KERN_VALUE_Q4}, 8, 2},
    {"k16 d128 f16", {128, 16, 16, 32, KERN_KEY_CODE8, KERN_VALUE_F16}, 8, 2},
    {"k16 d128 f32", {128, 16, 16, 32, KERN_KEY_CODE8, KERN_VALUE_F32}, 4, 4},
    {"dense query", {128, 16, 128, 32, KERN_KEY_CODE8, KERN_VALUE_Q8}, 16, 2},
    {"dense d128", {128, 128, 128, 32, KERN_KEY_CODE8, KERN_VALUE_F16}, 4, 1},
    {"k8 d64 q8", {64, 8, 8, 32, KERN_KEY_CODE8, KERN_VALUE_Q8}, 6, 2},
    {"k8 d64 q4", {64, 8, 8, 16, KERN_KEY_CODE8, KERN_VALUE_Q4}, 2, 2},
    {"k12 d96 q4", {96, 12, 20, 48, KERN_KEY_CODE8, KERN_VALUE_Q4}, 3, 1},
    {"k40 d112 f16", {112, 40, 48, 16, KERN_KEY_CODE8, KERN_VALUE_F16}, 4, 2},
    {"k4 d16 q8", {16, 4, 4, 16, KERN_KEY_CODE8, KERN_VALUE_Q8}, 2, 1},
    {"code32", {128, 16, 16, 32, KERN_KEY_CODE32, KERN_VALUE_F32}, 8, 2},
    {"code32 dense", {64, 64, 64, 32, KERN_KEY_CODE32, KERN_VALUE_F16}, 4, 2},
};

static int n_checks, n_failures;

static void expect(bool ok, const char *what, const Case *c, int kind, double got, double limit)
{
    n_checks++;
    if (ok) return;
    n_failures++;
    printf("FAILED %s: %s, data %d: %g, limit %g\n", c->name, what, kind, got, limit);
}

/* One sequence: sections of odd sizes before it, and its own tokens. Host and device copies of all. */
struct Setting {
    const Case *c;
    int kind;
    gpu_format format;
    kern_context *context;
    size_t n_sections;
    kern_kv_block blocks[4]; /* the last is the sequence's own */
    gpu_section sections[4];
    size_t block_bytes[4];
    int n_rows;
    kern_queries queries;
    int8_t *table;
    float *scale, *dense;
};

static float *rows_of(size_t n, int kind, uint64_t seed)
{
    float *x = (float *)malloc(n * sizeof *x);
    data_fill(x, n, (data_kind)kind, &seed);
    return x;
}

static gpu_encode_args encode_args(const Setting *s)
{
    gpu_encode_args a = {};
    a.format = s->format;
    a.n_heads = s->c->n_heads;
    a.norm_eps = 1e-6f;
    a.q_root = 1 / sqrtf((float)s->format.d);
    return a;
}

static void encode_segment(gpu_encode_args *a, const gpu_encode_segment *segment)
{
    gpu_encode_segment *device = gpu_copy(segment, 1);
    a->segments = device, a->n_segments = 1;
    a->n_units_max = (int)((segment->at + segment->n_rows - 1) / 16 - segment->at / 16 + 1);
    CUDA_OK(gpu_encode(a, 0));
    CUDA_OK(cudaFree(device));
}

/* Makes a KV head's values zero whose scales are not, as a damaged or hostile file may have them. */
static void blank_values(const kern_kv_format *f, size_t kv, uint8_t *block, size_t n, size_t capacity)
{
    kern_kv_layout layout = kern_kv_layout_of(f, kv, capacity);
    uint16_t *scales = (uint16_t *)(block + layout.scales_offset);
    for (size_t i = 0; i < n * kern_kv_value_n_scales(f); i++) scales[i] = 0x4800; /* 8 */
    memset(block + layout.rows_offset, f->value_type == KERN_VALUE_Q4 ? 0x88 : 0, n * kern_kv_value_row_bytes(f));
}

/* Codes of keys and values, without norm and rotation: equal byte for byte, also when written in two goes. */
static void code_block(Setting *s, size_t index, size_t n, size_t cut, const float *k, const float *v)
{
    const kern_kv_format *f = &s->c->format;
    size_t kv = s->c->n_kv_heads, d = f->d, capacity = (n + 15) / 16 * 16, bytes = kern_kv_layout_of(f, kv, capacity).total_bytes;
    void *host = aligned_alloc(64, bytes), *back = malloc(bytes);
    memset(host, 0, bytes);
    kern_encode_params params = {f, kv, NULL, 1e-6f, NULL, NULL};
    kern_encode_keys_values(s->context, &params, k, kv * d, v, kv * d, n, host, capacity, 0);
    uint8_t *block = gpu_new<uint8_t>(bytes);
    CUDA_OK(cudaMemset(block, 0, bytes));
    float *dk = gpu_copy(k, n * kv * d), *dv = gpu_copy(v, n * kv * d);
    gpu_encode_args a = encode_args(s);
    gpu_encode_segment segment = {gpu_section_of(f, kv, block, n, capacity), 0, 0, 0};
    a.k = dk, a.v = dv;
    for (int part = 0; part < 2; part++) {
        size_t first = part ? cut : 0, end = part ? n : cut;
        if (first == end) continue;
        segment.first_row = segment.at = (uint32_t)first, segment.n_rows = (uint32_t)(end - first);
        encode_segment(&a, &segment);
    }
    gpu_get((uint8_t *)back, block, bytes);
    size_t wrong = 0;
    for (size_t i = 0; i < bytes; i++) wrong += ((uint8_t *)host)[i] != ((uint8_t *)back)[i];
    expect(wrong == 0, cut ? "bytes of keys and values in two goes" : "bytes of keys and values", s->c, s->kind, (double)wrong, 0);
    if (s->kind == DATA_ZEROS && index == 1) blank_values(f, kv, (uint8_t *)host, n, capacity);
    s->blocks[index] = (kern_kv_block){host, (uint32_t)n, (uint32_t)capacity};
    CUDA_OK(cudaMemcpy(block, host, bytes, cudaMemcpyHostToDevice)); /* what follows is not to suffer from it */
    s->sections[index] = segment.where;
    s->block_bytes[index] = bytes;
    free(back);
    CUDA_OK(cudaFree(dk));
    CUDA_OK(cudaFree(dv));
}
static void make_block(Setting *s, size_t index, size_t n, size_t cut)
{
    size_t floats = n * s->c->n_kv_heads * s->c->format.d;
    float *k = rows_of(floats, s->kind, 7 + index), *v = rows_of(floats, s->kind, 107 + index);
    code_block(s, index, n, cut, k, v);
    free(k), free(v);
}

static void code_queries(Setting *s, const float *q)
{
    const kern_kv_format *f = &s->c->format;
    size_t heads = s->c->n_heads, d = f->d, n = s->n_rows, rows = n * heads;
    s->queries = (kern_queries){(int8_t *)aligned_alloc(64, rows * 128), (float *)malloc(rows * 4), (float *)malloc(rows * d * 4), n, heads};
    kern_encode_params params = {f, heads, NULL, 1e-6f, NULL, NULL};
    kern_encode_queries(s->context, &params, q, heads * d, n, &s->queries);
    gpu_encode_args a = encode_args(s);
    float *dq = gpu_copy(q, rows * d);
    a.q = dq, a.n_rows = (int)n;
    a.table = s->table = gpu_new<int8_t>(rows * 128);
    a.scale = s->scale = gpu_new<float>(rows);
    a.dense = s->dense = gpu_new<float>(rows * d);
    CUDA_OK(gpu_encode(&a, 0));
    int8_t *table = (int8_t *)malloc(rows * 128);
    float *scale = (float *)malloc(rows * 4), *dense = (float *)malloc(rows * d * 4);
    gpu_get(table, s->table, rows * 128), gpu_get(scale, s->scale, rows), gpu_get(dense, s->dense, rows * d);
    size_t wrong = 0;
    for (size_t i = 0; i < rows * 128; i++) wrong += table[i] != s->queries.table[i];
    for (size_t i = 0; i < rows; i++) wrong += scale[i] != s->queries.scale[i];
    for (size_t i = 0; i < rows * d; i++) wrong += dense[i] != s->queries.dense[i];
    expect(wrong == 0, "bytes of queries", s->c, s->kind, (double)wrong, 0);
    /* without the dense form another kernel may run */
    a.dense = NULL;
    CUDA_OK(cudaMemset(s->table, 0xa5, rows * 128));
    CUDA_OK(cudaMemset(s->scale, 0xa5, rows * 4));
    CUDA_OK(gpu_encode(&a, 0));
    gpu_get(table, s->table, rows * 128), gpu_get(scale, s->scale, rows);
    wrong = 0;
    for (size_t i = 0; i < rows * 128; i++) wrong += table[i] != s->queries.table[i];
    for (size_t i = 0; i < rows; i++) wrong += scale[i] != s->queries.scale[i];
    expect(wrong == 0, "bytes of queries alone", s->c, s->kind, (double)wrong, 0);
    free(table), free(scale), free(dense);
    CUDA_OK(cudaFree(dq));
}
static void make_queries(Setting *s)
{
    float *q = rows_of((size_t)s->n_rows * s->c->n_heads * s->c->format.d, s->kind == DATA_HUGE ? DATA_NORMAL : s->kind, 55);
    code_queries(s, q);
    free(q);
}

static void free_codes(Setting *s)
{
    for (size_t i = 0; i < 4; i++) {
        free((void *)s->blocks[i].data);
        CUDA_OK(cudaFree((void *)s->sections[i].base));
    }
    free(s->queries.table), free(s->queries.scale), free(s->queries.dense);
    CUDA_OK(cudaFree(s->table)); CUDA_OK(cudaFree(s->scale)); CUDA_OK(cudaFree(s->dense));
}

/* The kernels for many rows, which d = 128 and k = 16 have. Spoilt: rows that their quick way leaves to the exact one, beside others in a warp. */
static void check_many_codes(kern_context *context, const Case *c, size_t n, size_t cut, bool spoilt)
{
    Setting s = {};
    s.c = c, s.context = context, s.n_rows = (int)n;
    s.format = gpu_format_of(&c->format, c->n_kv_heads);
    size_t kv_floats = n * c->n_kv_heads * 128, q_floats = n * c->n_heads * 128;
    float *k = rows_of(kv_floats, DATA_NORMAL, 207), *v = rows_of(kv_floats, DATA_NORMAL, 208), *q = rows_of(q_floats, DATA_NORMAL, 209);
    if (spoilt) data_spoil(k, kv_floats, 128), data_spoil(v, kv_floats, 128), data_spoil(q, q_floats, 128);
    code_block(&s, 0, n, cut, k, v);
    code_queries(&s, q);
    free(k), free(v), free(q);
    free_codes(&s);
}

/* Norm and rotation as well: sums in another order may move a code now and then, no more. */
static void check_prepared_codes(Setting *s)
{
    const kern_kv_format *f = &s->c->format;
    size_t kv = s->c->n_kv_heads, d = f->d, n = 96, bytes = kern_kv_layout_of(f, kv, n).total_bytes;
    float *k = rows_of(n * kv * d, s->kind, 31), *v = rows_of(n * kv * d, s->kind, 32), *norm = rows_of(d, DATA_NORMAL, 33);
    float *cos_rows = (float *)malloc(n * d / 2 * 4), *sin_rows = (float *)malloc(n * d / 2 * 4);
    double inv_freq[64];
    for (size_t i = 0; i < d / 2; i++) inv_freq[i] = pow(1e6, -2.0 * (double)i / (double)d);
    kern_rope_fill(inv_freq, d, 1, 1000, n, cos_rows, sin_rows);
    void *host = aligned_alloc(64, bytes), *back = malloc(bytes);
    memset(host, 0, bytes);
    kern_encode_params params = {f, kv, norm, 1e-6f, cos_rows, sin_rows};
    kern_encode_keys_values(s->context, &params, k, kv * d, v, kv * d, n, host, n, 0);
    gpu_encode_args a = encode_args(s);
    float *dk = gpu_copy(k, n * kv * d), *dv = gpu_copy(v, n * kv * d), *dn = gpu_copy(norm, d), *dc = gpu_copy(cos_rows, n * d / 2);
    float *ds = gpu_copy(sin_rows, n * d / 2);
    uint8_t *block = gpu_new<uint8_t>(bytes);
    CUDA_OK(cudaMemset(block, 0, bytes));
    gpu_encode_segment segment = {gpu_section_of(f, kv, block, n, n), 0, (uint32_t)n, 0};
    a.k = dk, a.v = dv, a.k_norm = dn, a.rope_cos = dc, a.rope_sin = ds;
    encode_segment(&a, &segment);
    gpu_get((uint8_t *)back, block, bytes);
    double moved = 0, largest = 0;
    kern_kv_block one = {host, (uint32_t)n, (uint32_t)n}, two = {back, (uint32_t)n, (uint32_t)n};
    for (size_t h = 0; h < kv; h++)
        for (size_t t = 0; t < n; t++) {
            float x[128], y[128], top = 0;
            kern_kv_get_key(f, kv, &one, h, t, x);
            kern_kv_get_key(f, kv, &two, h, t, y);
            for (size_t i = 0; i < d; i++) top = fmaxf(top, fabsf(x[i]));
            for (size_t i = 0; i < d; i++) {
                float apart = fabsf(x[i] - y[i]);
                moved += apart > top * 1e-5f;
                if ((x[i] != 0) == (y[i] != 0)) largest = fmax(largest, top ? apart / top : 0);
            }
        }
    expect(moved <= 0.002 * n * kv * d, "codes moved by norm and rotation", s->c, s->kind, moved, 0.002 * n * kv * d);
    expect(largest <= 0.017, "distance of codes after norm and rotation", s->c, s->kind, largest, 0.017);
    free(k), free(v), free(norm), free(cos_rows), free(sin_rows), free(host), free(back);
    CUDA_OK(cudaFree(dk)); CUDA_OK(cudaFree(dv)); CUDA_OK(cudaFree(dn)); CUDA_OK(cudaFree(dc)); CUDA_OK(cudaFree(ds)); CUDA_OK(cudaFree(block));
}

/* The largest distance of any row and head, relative to the largest value the row could have. NaN: infinite. */
static double distance(const float *a, const float *b, size_t rows, size_t d)
{
    double worst = 0;
    for (size_t r = 0; r < rows; r++) {
        double apart = 0, top = 1e-30;
        for (size_t i = 0; i < d; i++) {
            double x = fabs((double)a[r * d + i] - b[r * d + i]);
            apart = x <= apart ? apart : x == x ? x : INFINITY;
            top = fmax(top, fabs((double)b[r * d + i]));
        }
        worst = fmax(worst, apart / top);
    }
    return worst;
}

/* An orthogonal matrix for each KV head: reflections, one after another. */
static float *matrices_of(size_t kv, size_t d, uint64_t seed)
{
    float *m = (float *)calloc(kv * d * d, 4);
    for (size_t h = 0; h < kv; h++) {
        float *one = m + h * d * d;
        for (size_t i = 0; i < d; i++) one[i * d + i] = 1;
        for (int n = 0; n < 4; n++) {
            double v[128], size = 0;
            for (size_t i = 0; i < d; i++) v[i] = data_normal(&seed), size += v[i] * v[i];
            for (size_t j = 0; j < d; j++) {
                double dot = 0;
                for (size_t i = 0; i < d; i++) dot += one[j * d + i] * v[i];
                for (size_t i = 0; i < d; i++) one[j * d + i] -= (float)(2 * dot / size * v[i]);
            }
        }
    }
    return m;
}

/* Norm, RoPE and rotation of queries: the portable kernel's float form (CODE32 keeps it), one row and many. */
static void check_rotation(Setting *s)
{
    size_t heads = s->c->n_heads, kv = s->c->n_kv_heads, d = s->c->format.d;
    kern_kv_format f = s->c->format;
    f.k_key = f.k_query = (uint16_t)d, f.key_type = KERN_KEY_CODE32;
    static const size_t sizes[] = {1, 16, 77};
    for (size_t n : sizes) {
        float *q = rows_of(n * heads * d, s->kind, 41), *norm = rows_of(d, DATA_NORMAL, 42), *matrices = matrices_of(kv, d, 43);
        float *cos_rows = (float *)malloc(n * d / 2 * 4), *sin_rows = (float *)malloc(n * d / 2 * 4), *got = (float *)malloc(n * heads * d * 4);
        double inv_freq[64];
        for (size_t i = 0; i < d / 2; i++) inv_freq[i] = pow(1e6, -2.0 * (double)i / (double)d);
        kern_rope_fill(inv_freq, d, 1, 500, n, cos_rows, sin_rows);
        kern_queries want = {(int8_t *)malloc(n * heads * 128), (float *)malloc(n * heads * 4), (float *)malloc(n * heads * d * 4)};
        kern_encode_params params = {&f, heads, norm, 1e-6f, cos_rows, sin_rows, matrices, kv};
        kern_encode_queries(s->context, &params, q, heads * d, n, &want);
        gpu_rotate_args a = {};
        float *dq = gpu_copy(q, n * heads * d), *dn = gpu_copy(norm, d), *dc = gpu_copy(cos_rows, n * d / 2), *ds = gpu_copy(sin_rows, n * d / 2);
        float *dm = gpu_copy(matrices, kv * d * d);
        a.rows = dq, a.n_rows = (int)n, a.n_heads = (int)heads, a.d = (int)d, a.norm = dn, a.norm_eps = 1e-6f;
        a.rope_cos = dc, a.rope_sin = ds, a.rotations = dm, a.n_rotations = (int)kv;
        CUDA_OK(gpu_rotate(&a, 0));
        gpu_get(got, dq, n * heads * d);
        for (size_t i = 0; i < n * heads * d; i++) got[i] /= sqrtf((float)d); /* as the portable form has it */
        double worst = distance(got, want.dense, n * heads, d);
        expect(worst < 1e-5, "rotated queries", s->c, s->kind, worst, 1e-5);
        free(q), free(norm), free(matrices), free(cos_rows), free(sin_rows), free(got), free(want.table), free(want.scale), free(want.dense);
        CUDA_OK(cudaFree(dq)); CUDA_OK(cudaFree(dn)); CUDA_OK(cudaFree(dc)); CUDA_OK(cudaFree(ds)); CUDA_OK(cudaFree(dm));
    }
}

static float *reference(Setting *s, bool with_sections, bool with_own, size_t own_before)
{
    size_t heads = s->c->n_heads, d = s->format.d;
    float *out = (float *)calloc(s->n_rows * heads * d, 4);
    kern_attend_job job = {};
    job.queries = &s->queries, job.n_queries = s->n_rows;
    job.blocks = s->blocks, job.n_blocks = with_sections ? s->n_sections : 0;
    if (with_own) job.own = s->blocks[s->n_sections], job.own_before = own_before;
    job.out = out, job.out_stride = heads * d;
    kern_attend_params params = {&s->c->format, (size_t)s->c->n_heads, (size_t)s->c->n_kv_heads, 0};
    if (kern_attend(s->context, &params, &job, 1) != KERN_OK) printf("FAILED: the portable kernel refused\n"), n_failures++;
    return out;
}

struct Tables {
    gpu_section *sections;
    uint32_t *first_tile;
    uint32_t n_tiles;
    const gpu_section *host_sections;
    uint32_t host_first[8];
};
static Tables tables_of(const gpu_section *sections, size_t n)
{
    Tables t = {};
    for (size_t i = 0; i < n; i++) t.host_first[i + 1] = t.host_first[i] + (sections[i].n_tokens + GPU_TILE_TOKENS - 1) / GPU_TILE_TOKENS;
    t.sections = gpu_copy(sections, n), t.first_tile = gpu_copy(t.host_first, n + 1), t.n_tiles = t.host_first[n], t.host_sections = sections;
    return t;
}

static void check_decode(Setting *s, uint32_t splits, int version)
{
    size_t heads = s->c->n_heads, kv = s->c->n_kv_heads, d = s->format.d, per_kv = heads / kv, own = s->n_sections;
    size_t before = s->blocks[own].n_tokens - s->n_rows;
    float *want = reference(s, true, true, before), *got = (float *)malloc(s->n_rows * heads * d * 4);
    Tables shared = tables_of(s->sections, s->n_sections), mine = tables_of(s->sections + own, 1);
    gpu_group groups[64] = {};
    gpu_part part[64 * 5] = {};
    uint32_t n = 0, parts = 0, rows_each = per_kv >= 8 ? 1 : 8 / per_kv;
    for (uint32_t row = 0; row < (uint32_t)s->n_rows; row += rows_each)
        for (uint32_t h = 0; h < per_kv; h += 8)
            for (int causal = 0; causal < 2; causal++) {
                Tables t = causal ? mine : shared;
                gpu_group g = {t.sections, t.first_tile, causal ? 1u : (uint32_t)s->n_sections, t.n_tiles, row, 0, h, 0, (uint32_t)causal,
                               (uint32_t)before + row, parts, t.n_tiles < splits ? t.n_tiles : splits};
                g.n_rows = s->n_rows - row < rows_each ? s->n_rows - row : rows_each;
                g.n_heads = (uint32_t)(per_kv - h < 8 ? per_kv - h : 8);
                gpu_decode_choose(version);
                parts += (uint32_t)gpu_decode_parts(&s->format, &g, t.host_sections, t.host_first, part + parts);
                groups[n++] = g;
            }
    gpu_decode_args a = {};
    a.format = s->format, a.n_heads = (int)heads, a.table = s->table, a.scale = s->scale, a.dense = s->dense;
    gpu_part *dparts = gpu_copy(part, parts);
    a.parts = dparts, a.groups = gpu_copy(groups, n), a.n_groups = (int)n, a.n_parts = (int)parts, a.n_rows = s->n_rows;
    a.columns = (int)((per_kv < 8 ? per_kv : 8) * (s->n_rows < (int)rows_each ? s->n_rows : rows_each));
    a.part_words = gpu_new<uint64_t>((size_t)parts * kv * 8 * GPU_PART_WORDS);
    a.arrived = gpu_new<uint32_t>(kv * 2);
    CUDA_OK(cudaMemset(a.part_words, 0, (size_t)parts * kv * 8 * GPU_PART_WORDS * 8));
    CUDA_OK(cudaMemset(a.arrived, 0, kv * 2 * 4));
    a.out = gpu_new<float>(s->n_rows * heads * d), a.out_stride = heads * d;
    for (int twice = 0; twice < 2; twice++) CUDA_OK(gpu_decode(&a, 0)); /* the counters must be left as they were */
    gpu_get(got, a.out, s->n_rows * heads * d);
    double apart = distance(got, want, s->n_rows * heads, d);
    expect(apart <= 2e-5, version ? "decode, common version" : "decode", s->c, s->kind, apart, 2e-5);
    free(want), free(got);
    CUDA_OK(cudaFree((void *)a.groups)); CUDA_OK(cudaFree(a.part_words)); CUDA_OK(cudaFree(a.arrived));
    CUDA_OK(cudaFree(a.out)); CUDA_OK(cudaFree(shared.sections)); CUDA_OK(cudaFree(shared.first_tile)); CUDA_OK(cudaFree(mine.sections));
    CUDA_OK(cudaFree(mine.first_tile)); CUDA_OK(cudaFree(dparts));
}

/* version: gpu_flash_choose. parts: 0: own tokens alone; 1: each section and the own tokens apart, merged; 2: all sections as one
 * stretch of keys, whose tails of no keys lie in between. */
static void check_flash(Setting *s, int version, int parts)
{
    size_t heads = s->c->n_heads, d = s->format.d, own = s->n_sections;
    size_t before = s->blocks[own].n_tokens - s->n_rows;
    float *want = reference(s, parts > 0, true, before), *got = (float *)malloc(s->n_rows * heads * d * 4);
    gpu_expand_job expand[4];
    gpu_flash_job jobs[4];
    uint32_t tiles = 0, n = 0, most = 0;
    for (size_t i = parts ? 0 : own; i <= own; i++, n++) {
        uint32_t n_tiles = (s->sections[i].n_tokens + 127) / 128 * 2;
        expand[n] = (gpu_expand_job){s->sections[i], 0, s->sections[i].n_tokens, tiles};
        jobs[n] = (gpu_flash_job){0, (uint32_t)s->n_rows, tiles, s->sections[i].n_tokens, i == own ? (int32_t)before : INT32_MAX, parts ? n : 0xffffffffu};
        tiles += n_tiles;
        most = n_tiles > most ? n_tiles : most;
    }
    uint32_t n_jobs = n;
    if (parts == 2) {
        jobs[1] = jobs[n - 1], jobs[1].part = 1, n_jobs = 2;
        jobs[0].n_keys = jobs[1].tile * GPU_FLASH_KEYS;
    }
    gpu_flash_args a = {};
    a.format = s->format, a.n_heads = (int)heads, a.table = s->table, a.scale = s->scale, a.dense = s->dense;
    void *memory = gpu_new<uint8_t>(gpu_scratch_tile_bytes(&s->format) * tiles);
    a.scratch = gpu_scratch_at(&s->format, memory, tiles);
    gpu_expand_job *dexpand = gpu_copy(expand, n);
    CUDA_OK(gpu_expand(&s->format, &a.scratch, dexpand, (int)n, (int)most, 0, 0));
    a.jobs = gpu_copy(jobs, n_jobs), a.n_jobs = (int)n_jobs, a.n_rows_max = s->n_rows;
    a.out = gpu_new<float>(s->n_rows * heads * d), a.out_stride = heads * d;
    a.part_acc = gpu_new<float>((size_t)n * s->n_rows * heads * d), a.part_ml = gpu_new<float2>((size_t)n * s->n_rows * heads);
    a.part_rows = s->n_rows;
    gpu_flash_choose(version);
    CUDA_OK(gpu_flash(&a, 0));
    if (parts) CUDA_OK(gpu_flash_merge(&a, (int)n_jobs, true, 0));
    gpu_get(got, a.out, s->n_rows * heads * d);
    double apart = distance(got, want, s->n_rows * heads, d);
    char what[64];
    snprintf(what, sizeof what, "prefill of %d rows, version %d, parts %d", s->n_rows, version, parts);
    expect(apart <= 4e-3, what, s->c, s->kind, apart, 4e-3);
    free(want), free(got);
    CUDA_OK(cudaFree(memory)); CUDA_OK(cudaFree(dexpand)); CUDA_OK(cudaFree((void *)a.jobs)); CUDA_OK(cudaFree(a.out));
    CUDA_OK(cudaFree(a.part_acc)); CUDA_OK(cudaFree(a.part_ml));
}

static void check_case(const Case *c, int kind, kern_context *context, int n_rows, const size_t *sizes, bool is_decode)
{
    Setting s = {};
    s.c = c, s.kind = kind, s.context = context, s.n_sections = 3, s.n_rows = n_rows;
    s.format = gpu_format_of(&c->format, c->n_kv_heads);
    for (size_t i = 0; i < 4; i++) make_block(&s, i, sizes[i], i == 3 ? sizes[i] * 2 / 5 : 0);
    make_queries(&s);
    if (is_decode) {
        check_prepared_codes(&s);
        check_rotation(&s);
        for (int version = 0; version < 2; version++) check_decode(&s, 1, version), check_decode(&s, 5, version);
    } else {
        for (int version = 2; version >= 0; version--) /* huge scores times f16 are CODE32's limit; its own passes take the split kernel */
            for (int parts = 0; parts < 3 && !(c->format.key_type == KERN_KEY_CODE32 && kind == DATA_HUGE); parts++) check_flash(&s, version, parts);
    }
    free_codes(&s);
}

int main(int argc, char **argv)
{
    kern_isa_force("portable");
    kern_context *context;
    int n_devices = 0;
    cudaError_t error = cudaGetDeviceCount(&n_devices);
    if (error != cudaSuccess || !n_devices) {
        printf("no GPU here (%s)\n", cudaGetErrorString(error));
        return 0;
    }
    if (kern_context_new(0, false, &context) != KERN_OK) return 1;
    bool brief = argc > 1 && !strcmp(argv[1], "--brief"); /* under a sanitizer */
    for (const Case &c : cases)
        for (int kind = 0; kind < (brief ? 1 : DATA_KINDS); kind++) {
            static const size_t small[4] = {1, 37, 300, 77}, odd[4] = {64, 129, 15, 16}, large[4] = {1000, 129, 63, 403};
            check_case(&c, kind, context, 1, small, true);
            if (!brief) check_case(&c, kind, context, 3, odd, true);
            check_case(&c, kind, context, 16, odd, false);
            if (!brief) check_case(&c, kind, context, 1, small, false), check_case(&c, kind, context, 333, large, false);
        }
    for (int spoilt = 0; spoilt < 2; spoilt++) {
        for (const Case &c : cases) {
            if (c.format.d != 128 || c.format.k_key != 16 || c.format.k_query != 16 || c.format.key_type != KERN_KEY_CODE8) continue;
            static const size_t sizes[][2] = {{32, 0}, {333, 0}, {101, 37}, {83, 5}}; /* tokens, those of a first go */
            for (const size_t *size : sizes) check_many_codes(context, &c, size[0], size[1], spoilt);
        }
        check_many_codes(context, &cases[0], 16421, 37, spoilt); /* from 1,024 units on, all pairs of heads one after another by one block */
    }
    kern_context_free(context);
    printf("%d checks, %d failures\n", n_checks, n_failures);
    return n_failures != 0;
}
