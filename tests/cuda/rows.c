/* rows.c: queries, keys and values of a model's own layers, for bench.cu.
 *
 * Owns: the file that bench.cu reads: 16 query and 8 KV heads of 128 gathered from layers evenly apart, normed and not yet rotated.
 * Does not own: the pass (the engine, on the CPU), what is timed with the rows.
 *
 * usage: rows MODEL GOLDEN.json OUT   The texts are the golden sections, each read by itself.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "rows.h"
#include "runtime.h"

/* What is kept of the pass in progress. */
typedef struct gathering {
    eng_runtime *runtime;
    rows_token *tokens;
    uint32_t layer_step; /* every such layer is kept */
} gathering;

static void *allocate(size_t n_bytes)
{
    void *p = calloc(1, n_bytes);
    if (!p) exit(1);
    return p;
}

static void must(eng_status status, const eng_error *error)
{
    if (status == ENG_OK) return;
    fprintf(stderr, "rows: %s\n", error->message);
    exit(1);
}

static void put_row(const float *row, const float *norm, float eps, uint16_t *ret_row)
{
    double squares = 0;
    for (int i = 0; i < ROWS_DIM; i++) squares += (double)row[i] * row[i];
    double factor = norm ? 1 / sqrt(squares / ROWS_DIM + eps) : 1;
    for (int i = 0; i < ROWS_DIM; i++) {
        _Float16 x = (_Float16)(row[i] * factor * (norm ? norm[i] : 1));
        memcpy(&ret_row[i], &x, sizeof x);
    }
}

/* The runtime still has the layer's rows as they were before they were coded. Of each group of query heads the first ones are kept. */
static eng_status gather(void *user, uint32_t layer, const kern_queries *queries, eng_error *error)
{
    (void)error;
    const gathering *to = user;
    const eng_model *model = to->runtime->model;
    const eng_layer *w = &model->layers[layer];
    uint32_t n_kv = model->info.n_kv_heads, n_q = model->info.n_heads, per_kv = n_q / n_kv, each = ROWS_HEADS / ROWS_KV_HEADS;
    uint32_t first = layer / to->layer_step * n_kv;
    if (layer % to->layer_step || first + n_kv > ROWS_KV_HEADS) return ENG_OK;
    for (size_t t = 0; t < queries->n_tokens; t++)
        for (uint32_t h = 0; h < n_kv; h++) {
            for (uint32_t i = 0; i < each; i++)
                put_row(to->runtime->q + (t * n_q + h * per_kv + i) * ROWS_DIM, w->q_norm, model->norm_eps, to->tokens[t].q[(first + h) * each + i]);
            put_row(to->runtime->k + (t * n_kv + h) * ROWS_DIM, w->k_norm, model->norm_eps, to->tokens[t].k[first + h]);
            put_row(to->runtime->v + (t * n_kv + h) * ROWS_DIM, NULL, 0, to->tokens[t].v[first + h]);
        }
    return ENG_OK;
}

/* One section through the model; its keys and values as cached are thrown away. */
static void read_section(gathering *to, const uint32_t *ids, uint32_t n)
{
    const eng_model_info *info = &to->runtime->model->info;
    eng_error error = {0};
    size_t bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, eng_section_capacity(n)).total_bytes;
    void **blocks = allocate(info->n_layers * sizeof *blocks);
    for (uint32_t l = 0; l < info->n_layers; l++)
        if (!(blocks[l] = aligned_alloc(64, bytes))) exit(1);
    eng_segment segment = {.ids = ids, .n_tokens = n, .blocks = blocks, .capacity = eng_section_capacity(n)};
    must(eng_forward(to->runtime, &(eng_pass){.segments = &segment, .n_segments = 1, .on_layer = gather, .on_layer_user = to}, NULL, &error), &error);
    for (uint32_t l = 0; l < info->n_layers; l++) free(blocks[l]);
    free(blocks);
}

int main(int argc, char **argv)
{
    eng_model *model;
    eng_runtime *runtime;
    eng_error error = {0};
    if (argc != 4) return fprintf(stderr, "usage: rows MODEL GOLDEN.json OUT\n"), 2;
    json_t *golden = json_load_file(argv[2], 0, NULL), *section;
    FILE *out = fopen(argv[3], "wb");
    if (!golden || !out) return fprintf(stderr, "rows: %s cannot be %s\n", golden ? argv[3] : argv[2], golden ? "written" : "read"), 1;
    must(eng_model_open(argv[1], NULL, &model, &error), &error);
    must(eng_runtime_new(model, &(eng_runtime_options){.gpu = ENG_GPU_NEVER}, &runtime, &error), &error);
    uint32_t n_kv = model->info.n_kv_heads, kept = ROWS_KV_HEADS / n_kv;
    if (model->info.head_dim != ROWS_DIM || ROWS_KV_HEADS % n_kv || model->info.n_heads / n_kv < ROWS_HEADS / ROWS_KV_HEADS || model->info.n_layers < kept)
        return fprintf(stderr, "rows: another geometry than the benchmark's\n"), 1;
    rows_header header = {.magic = ROWS_MAGIC};
    json_t *all = json_object_get(golden, "section_ids");
    size_t at;
    json_array_foreach(all, at, section) header.n_tokens += (uint32_t)json_array_size(section);
    memcpy(header.inv_freq, model->rope_inv_freq, sizeof header.inv_freq);
    fwrite(&header, sizeof header, 1, out);
    gathering to = {.runtime = runtime, .tokens = allocate(ENG_PASS_ROWS * sizeof *to.tokens), .layer_step = model->info.n_layers / kept};
    json_array_foreach(all, at, section) {
        uint32_t ids[ENG_PASS_ROWS], n = (uint32_t)json_array_size(section);
        if (n > ENG_PASS_ROWS) return fprintf(stderr, "rows: a section of %u tokens\n", n), 1;
        for (uint32_t i = 0; i < n; i++) ids[i] = (uint32_t)json_integer_value(json_array_get(section, i));
        read_section(&to, ids, n);
        fwrite(to.tokens, sizeof *to.tokens, n, out);
    }
    if (fclose(out)) return fprintf(stderr, "rows: %s cannot be written\n", argv[3]), 1;
    free(to.tokens);
    eng_runtime_free(runtime);
    eng_model_close(model);
    json_decref(golden);
    return 0;
}
