/* parity.c: the logits that the engine gives to a text, into a file: for parity.py, which compares them with transformers at full geometries.
 *
 *     parity logits MODEL IDS OUT [exact] [gpu] [k=KEY:QUERY] [rotation=FILE] [memo=FILE]
 *     parity pack SOURCE TO
 *     parity rotate MODEL IDS TO [memo=FILE]
 *
 * IDS: u32 each; OUT: f32 [tokens][vocabulary]. exact: keys and values in float; else as the engine stores them. gpu: all passes there, or it
 * fails. memo: digests of weights are remembered there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "eng.h"

static void must(eng_status status, const eng_error *error)
{
    if (status == ENG_OK) return;
    fprintf(stderr, "parity: %s\n", error->message);
    exit(1);
}

static void *need(void *memory)
{
    if (memory != NULL) return memory;
    fprintf(stderr, "parity: out of memory\n");
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t *read_ids(const char *path, size_t *ret_n)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *ret_n = (size_t)ftell(file) / sizeof(uint32_t);
    rewind(file);
    uint32_t *ids = need(malloc(*ret_n * sizeof *ids + 1));
    if (fread(ids, sizeof *ids, *ret_n, file) != *ret_n) exit(1);
    fclose(file);
    return ids;
}

typedef struct wishes {
    eng_model_options model;
    bool gpu;
} wishes;

static wishes parse(int n, char **words)
{
    wishes w = {0};
    for (int i = 0; i < n; i++) {
        unsigned key, query;
        if (strcmp(words[i], "exact") == 0) {
            w.model.key_type = KERN_KEY_CODE32;
            w.model.value_type = KERN_VALUE_F32;
            w.model.key_type_set = w.model.value_type_set = true;
        } else if (strcmp(words[i], "gpu") == 0) {
            w.gpu = true;
        } else if (sscanf(words[i], "k=%u:%u", &key, &query) == 2) {
            w.model.k_key = (uint16_t)key;
            w.model.k_query = (uint16_t)query;
        } else if (strncmp(words[i], "rotation=", 9) == 0) {
            w.model.rotation_path = words[i] + 9;
        } else if (strncmp(words[i], "memo=", 5) == 0) {
            w.model.digest_memo_path = words[i] + 5;
        } else {
            fprintf(stderr, "parity: what is “%s”?\n", words[i]);
            exit(2);
        }
    }
    return w;
}

static float *run(eng_runtime *runtime, const uint32_t *ids, size_t n)
{
    const eng_model_info *info = eng_model_get_info(eng_runtime_model(runtime));
    eng_error error = {0};
    size_t block_bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, eng_section_capacity((uint32_t)n)).total_bytes;
    uint8_t *memory = need(aligned_alloc(KERN_ALIGN_BYTES, block_bytes * info->n_layers));
    void **blocks = need(calloc(info->n_layers, sizeof *blocks));
    float *logits = need(malloc(n * info->n_vocabulary * sizeof *logits));
    memset(memory, 0, block_bytes * info->n_layers);
    for (uint32_t l = 0; l < info->n_layers; l++) blocks[l] = memory + l * block_bytes;
    eng_read_job job = {.ids = ids, .n_tokens = (uint32_t)n, .blocks = blocks, .ret_logits = logits};
    must(eng_read(runtime, &job, 1, &error), &error);
    free(memory);
    free(blocks);
    return logits;
}

static int write_logits(const char *model_path, const char *ids_path, const char *out, wishes w)
{
    size_t n;
    uint32_t *ids = read_ids(ids_path, &n);
    eng_error error = {0};
    eng_model *model;
    eng_runtime *runtime;
    eng_gpu_info gpu;
    double began_s = now_s();
    must(eng_model_open(model_path, &w.model, &model, &error), &error);
    must(eng_runtime_new(model, &(eng_runtime_options){.gpu = w.gpu ? ENG_GPU_WANTED : ENG_GPU_NEVER}, &runtime, &error), &error);
    double opened_s = now_s();
    float *logits = run(runtime, ids, n);
    double done_s = now_s();
    eng_runtime_get_gpu(runtime, &gpu);
    FILE *file = fopen(out, "wb");
    size_t n_values = n * eng_model_get_info(model)->n_vocabulary;
    bool good = file != NULL && fwrite(logits, sizeof *logits, n_values, file) == n_values;
    good = file != NULL && fclose(file) == 0 && good;
    if (!good) perror(out);
    if (w.gpu && (gpu.passes == 0 || gpu.passes_on_cpu > 0)) {
        fprintf(stderr, "parity: the GPU did not run it: %s\n", gpu.note);
        good = false;
    }
    printf("opened in %.1f s, %zu tokens with all their logits in %.2f s%s%s\n", opened_s - began_s, n, done_s - opened_s, w.gpu ? " on " : "", gpu.name);
    free(logits);
    free(ids);
    eng_runtime_free(runtime);
    eng_model_close(model);
    return good ? 0 : 1;
}

static int rotate(const char *model_path, const char *ids_path, const char *to, wishes w)
{
    eng_error error = {0};
    eng_model *model;
    eng_rotation_options options = {0};
    uint32_t *ids = read_ids(ids_path, &options.n_ids);
    options.ids = ids;
    must(eng_model_open(model_path, &w.model, &model, &error), &error);
    must(eng_rotation_measure(model, &options, to, &error), &error);
    eng_model_close(model);
    free(ids);
    return 0;
}

int main(int argc, char **argv)
{
    eng_error error = {0};
    if (argc == 4 && strcmp(argv[1], "pack") == 0) {
        must(eng_model_pack(argv[2], argv[3], KERN_W_Q8, NULL, NULL, NULL, &error), &error);
        return 0;
    }
    if (argc >= 5 && strcmp(argv[1], "logits") == 0) return write_logits(argv[2], argv[3], argv[4], parse(argc - 5, argv + 5));
    if (argc >= 5 && strcmp(argv[1], "rotate") == 0) return rotate(argv[2], argv[3], argv[4], parse(argc - 5, argv + 5));
    fprintf(stderr, "usage: see the beginning of parity.c\n");
    return 2;
}
