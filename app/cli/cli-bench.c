/* cli-bench.c: `lectern bench`, what this machine makes of the engine.
 *
 * Owns: the choice of measurements, medians and spread, the record that --json prints.
 * Does not own: what is measured (engine/, kernels/); the kernels' own benchmarks (tests/bench).
 *
 * Every run prints the machine's limits as probed in the same run (bandwidth, 8-bit multiply-adds) and how busy it was, because
 * figures of a shared machine mean little without them. Random weights have a flat softmax; a model of random weights gets queries
 * scaled so that 1% of the keys hold about 99% of the mass, as trained models' retrieving heads do; the flat figure, in which no
 * value row can be left out, stands beside it.
 */
#include <errno.h>
#include <glib.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app-models.h"
#include "cli-bench.h"
#include "cli-internal.h"
#include "eng.h"
#include "kern-probe.h"

static const float DROP_MASS = 1e-3f; /* as sessions have it (eng.h) */
enum { BENCH_SECTION_TOKENS = 2048, BENCH_SAMPLES_MAX = 64, BENCH_QUESTION_TOKENS = 16, LARGE_PAGE_BYTES = 2 << 20 };

struct CliBench {
    CliContext *context;
    eng_model *model;
    const eng_model_info *info;
    eng_runtime *runtime;
    json_t *results;
    unsigned n_runs;
    kern_context *probe; /* threads for the probes */
    double read_bytes_s; /* the probe's best so far */
    size_t kv_token_bytes, key_token_bytes; /* of all layers; of these the codes of keys, all of which are read for every token */
    /* Sections at hand: copies of one that was read, each in memory of its own. */
    GPtrArray *memory;
    eng_section *sections;
    size_t n_sections;
    uint32_t ids[BENCH_SECTION_TOKENS];
    /* On a GPU, which has copies of its own: all sections are one file in memory, mapped as often as there are sections. */
    int sections_fd;
    size_t section_bytes;
    eng_gpu_info gpu; /* as last asked for */
};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double cli_bench_median(double *samples, size_t n)
{
    qsort(samples, n, sizeof *samples, compare_doubles);
    return n % 2 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
}

void cli_bench_report(CliBench *bench, const char *name, const char *unit, double *samples, size_t n, const char *beside)
{
    double median = cli_bench_median(samples, n);
    json_array_append_new(bench->results, json_pack("{s:s, s:f, s:s, s:f, s:f, s:i}", "name", name, "value", median, "unit", unit, "min",
                                                    samples[0], "max", samples[n - 1], "samples", (int)n));
    if (!bench->context->json)
        printf("%-28s %10.1f %-7s (%.1f to %.1f)%s%s\n", name, median, unit, samples[0], samples[n - 1], *beside ? "  " : "", beside);
    fflush(stdout);
}

static void report_one(CliBench *bench, const char *name, const char *unit, double value, const char *beside)
{
    cli_bench_report(bench, name, unit, &value, 1, beside);
}

static double now_s(void) { return g_get_monotonic_time() / 1e6; }

/* Memory for a section of n tokens, its blocks in ret_section; in large pages, as a cache whose checksums were verified comes to be mapped. */
static void new_section(CliBench *bench, uint32_t n_tokens, eng_section *ret_section, void **ret_pointers)
{
    const eng_model_info *info = bench->info;
    uint32_t capacity = eng_section_capacity(n_tokens);
    kern_kv_layout layout = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, capacity);
    size_t n_bytes = layout.total_bytes * info->n_layers;
    uint8_t *memory = aligned_alloc(LARGE_PAGE_BYTES, (n_bytes + LARGE_PAGE_BYTES - 1) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES);
    if (!memory) g_error("not enough memory for the benchmark");
    madvise(memory, n_bytes, MADV_HUGEPAGE);
    memset(memory, 0, n_bytes);
    kern_kv_block *blocks = g_new0(kern_kv_block, info->n_layers);
    for (uint32_t l = 0; l < info->n_layers; l++) {
        ret_pointers[l] = memory + l * layout.total_bytes;
        blocks[l] = (kern_kv_block){.data = ret_pointers[l], .n_tokens = n_tokens, .capacity = capacity};
    }
    g_ptr_array_add(bench->memory, memory);
    g_ptr_array_add(bench->memory, blocks);
    *ret_section = (eng_section){.ids = bench->ids, .n_tokens = n_tokens, .blocks = blocks};
}

/* Another mapping of the first section, at an address of its own. */
static int map_section(CliBench *bench, eng_section *ret_section, eng_error *error)
{
    const eng_model_info *info = bench->info;
    size_t layer_bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, BENCH_SECTION_TOKENS).total_bytes;
    if (bench->sections_fd < 0) {
        bench->section_bytes = layer_bytes * info->n_layers;
        bench->sections_fd = memfd_create("lectern-bench", MFD_CLOEXEC);
        for (size_t l = 0; l < info->n_layers && bench->sections_fd >= 0; l++)
            if (pwrite(bench->sections_fd, bench->sections[0].blocks[l].data, layer_bytes, (off_t)(l * layer_bytes)) != (ssize_t)layer_bytes) return -1;
    }
    uint8_t *memory = mmap(NULL, bench->section_bytes, PROT_READ, MAP_SHARED, bench->sections_fd, 0);
    if (memory == MAP_FAILED) {
        eng_fail(error, ENG_NO_MEMORY, "the sections for the benchmark cannot be mapped: %s", g_strerror(errno));
        return -1;
    }
    kern_kv_block *blocks = g_new0(kern_kv_block, info->n_layers);
    for (uint32_t l = 0; l < info->n_layers; l++)
        blocks[l] = (kern_kv_block){.data = memory + l * layer_bytes, .n_tokens = BENCH_SECTION_TOKENS, .capacity = BENCH_SECTION_TOKENS};
    g_ptr_array_add(bench->memory, blocks);
    *ret_section = (eng_section){.ids = bench->ids, .n_tokens = BENCH_SECTION_TOKENS, .blocks = blocks};
    return 0;
}

/* Sections enough for n tokens: the first is read, the others are copies of it (reading 128k tokens would take minutes). */
static int have_sections(CliBench *bench, size_t n_tokens, eng_error *error)
{
    const eng_model_info *info = bench->info;
    size_t n_wanted = (n_tokens + BENCH_SECTION_TOKENS - 1) / BENCH_SECTION_TOKENS;
    if (n_wanted > bench->n_sections) bench->sections = g_renew(eng_section, bench->sections, n_wanted);
    g_autofree void **pointers = g_new0(void *, info->n_layers);
    kern_kv_layout layout = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, BENCH_SECTION_TOKENS);
    for (; bench->n_sections < n_wanted; bench->n_sections++) {
        if (bench->n_sections && bench->gpu.active) {
            if (map_section(bench, &bench->sections[bench->n_sections], error)) return -1;
            continue;
        }
        new_section(bench, BENCH_SECTION_TOKENS, &bench->sections[bench->n_sections], pointers);
        if (bench->n_sections == 0) {
            eng_read_job job = {.ids = bench->ids, .n_tokens = BENCH_SECTION_TOKENS, .blocks = pointers, .first_position = UINT32_MAX};
            if (eng_read(bench->runtime, &job, 1, error) != ENG_OK) return -1;
            continue;
        }
        for (uint32_t l = 0; l < info->n_layers; l++) memcpy(pointers[l], bench->sections[0].blocks[l].data, layout.total_bytes);
    }
    return 0;
}

static double probe_read(CliBench *bench)
{
    double rate = kern_probe_read_bytes_s(bench->probe);
    bench->read_bytes_s = MAX(bench->read_bytes_s, rate);
    return rate;
}

/* What reading the weights, the codes of all keys and the value rows wanted would take at the memory's rate, and nothing else. */
static void report_limit(CliBench *bench, const char *depth, size_t n_tokens, double rows_share, double tok_s)
{
    double n_bytes = (double)eng_model_bytes_a_token(bench->model) +
                     (double)n_tokens * (bench->key_token_bytes + rows_share * (double)(bench->kv_token_bytes - bench->key_token_bytes));
    double limit = bench->read_bytes_s / n_bytes;
    g_autofree char *limit_name = g_strdup_printf("decode_limit_tok_s_%s", depth), *share_name = g_strdup_printf("decode_share_%s", depth);
    g_autofree char *beside = g_strdup_printf("%.0f MB a token at the %.1f GB/s that memory gave", n_bytes / 1e6, bench->read_bytes_s / 1e9);
    report_one(bench, limit_name, "tok/s", limit, beside);
    report_one(bench, share_name, "%", 100 * tok_s / limit, "of that limit, by the median");
}

typedef struct DecodeRun {
    double samples[BENCH_SAMPLES_MAX];
    size_t n_samples;
    double rows_share, dropped;
} DecodeRun;

/* Tokens one by one after a question over n_tokens cached ones. */
static int run_decode(CliBench *bench, size_t n_tokens, float drop_mass, size_t n_samples, DecodeRun *ret_run, eng_error *error)
{
    if (have_sections(bench, n_tokens, error)) return -1;
    *ret_run = (DecodeRun){.n_samples = n_samples};
    const float *logits;
    eng_session *session;
    if (eng_session_new(bench->runtime, bench->sections, n_tokens / BENCH_SECTION_TOKENS, BENCH_QUESTION_TOKENS + BENCH_SAMPLES_MAX + 8, &session,
                        error) != ENG_OK)
        return -1;
    eng_session_set_drop_mass(session, drop_mass);
    eng_status status = eng_session_eval(session, bench->ids, BENCH_QUESTION_TOKENS, &logits, error);
    eng_session_stats before, stats;
    eng_session_get_stats(session, &before); /* the question's tokens share what they read */
    for (size_t i = 0; i < n_samples + 2 && status == ENG_OK; i++) {
        double start = now_s();
        status = eng_session_eval(session, bench->ids + i, 1, &logits, error);
        if (i >= 2) ret_run->samples[i - 2] = 1 / (now_s() - start); /* the first two warm up */
    }
    eng_session_get_stats(session, &stats);
    eng_session_free(session);
    uint64_t rows = stats.value_rows - before.value_rows, rows_read = stats.value_rows_read - before.value_rows_read;
    ret_run->rows_share = rows ? (double)rows_read / (double)rows : 0;
    ret_run->dropped = stats.dropped_mass_max;
    return status == ENG_OK ? 0 : -1;
}

static int bench_decode(CliBench *bench, size_t n_tokens, float drop_mass, const char *name, eng_error *error)
{
    DecodeRun run;
    probe_read(bench);
    if (run_decode(bench, n_tokens, drop_mass, MIN(MAX(bench->n_runs * 4, 8), BENCH_SAMPLES_MAX), &run, error)) return -1;
    g_autofree char *beside = g_strdup_printf("%.1f%% of the value rows read, dropped mass at most %.2g", 100 * run.rows_share, run.dropped);
    cli_bench_report(bench, name, "tok/s", run.samples, run.n_samples, beside);
    if (drop_mass > 0) report_limit(bench, strrchr(name, '_') + 1, n_tokens, run.rows_share, cli_bench_median(run.samples, run.n_samples));
    return 0;
}

/* How peaked the softmax is: value rows, of all heads of a group together, that hold 99% of the mass. */
static int bench_peak(CliBench *bench, eng_error *error)
{
    DecodeRun run;
    if (run_decode(bench, 8192, 1e-2f, 4, &run, error)) return -1;
    g_autofree char *beside = g_strdup_printf("of the value rows hold 99%% of the mass of the %u heads that share a KV head",
                                              bench->info->n_heads / bench->info->n_kv_heads);
    report_one(bench, "rows_of_99_percent", "%", 100 * run.rows_share, beside);
    return 0;
}

/* One sequence of n tokens: sections of 2,048 that attend to all before them. */
static int bench_prefill(CliBench *bench, size_t n_tokens, const char *name, eng_error *error)
{
    if (have_sections(bench, n_tokens, error)) return -1;
    double samples[BENCH_SAMPLES_MAX];
    bool is_long = n_tokens > BENCH_SECTION_TOKENS; /* long ones need no warming up: reading the first section did that */
    size_t n_runs = is_long ? MAX(bench->n_runs / 2, 1) : bench->n_runs, n_warm = is_long ? 0 : 1;
    g_autofree void **pointers = g_new0(void *, bench->info->n_layers);
    eng_section own;
    /* a model of short sections is asked for more than its positions: the work is the same at the last of them */
    size_t last_position = bench->info->n_context > BENCH_SECTION_TOKENS ? bench->info->n_context - BENCH_SECTION_TOKENS : 0;
    new_section(bench, BENCH_SECTION_TOKENS, &own, pointers);
    for (size_t run = 0; run < n_runs + n_warm; run++) {
        double start = now_s();
        for (size_t at = 0; at < n_tokens; at += BENCH_SECTION_TOKENS) {
            eng_read_job job = {.ids = bench->ids, .n_tokens = BENCH_SECTION_TOKENS, .blocks = pointers, .before = bench->sections,
                                .n_before = at / BENCH_SECTION_TOKENS, .first_position = (uint32_t)MIN(at, last_position)};
            if (eng_read(bench->runtime, &job, 1, error) != ENG_OK) return -1;
        }
        if (run >= n_warm) samples[run - n_warm] = n_tokens / (now_s() - start);
    }
    cli_bench_report(bench, name, "tok/s", samples, n_runs, "");
    return 0;
}

/* Sections of many lengths, several a batch: what reading a document does. */
static int bench_sections(CliBench *bench, eng_error *error)
{
    static const uint32_t lengths[] = {2048, 1311, 702, 1900, 148, 512, 1024, 397};
    enum { N = sizeof lengths / sizeof lengths[0] };
    eng_read_job jobs[N];
    void **pointers[N];
    double samples[BENCH_SAMPLES_MAX];
    size_t n_tokens = 0;
    int result = 0;
    for (size_t i = 0; i < N; i++) {
        eng_section section;
        pointers[i] = g_new0(void *, bench->info->n_layers);
        new_section(bench, lengths[i], &section, pointers[i]);
        jobs[i] = (eng_read_job){.ids = bench->ids, .n_tokens = lengths[i], .blocks = pointers[i], .first_position = UINT32_MAX};
        n_tokens += lengths[i];
    }
    for (size_t run = 0; run < bench->n_runs + 1 && !result; run++) {
        double start = now_s();
        result = eng_read(bench->runtime, jobs, N, error) == ENG_OK ? 0 : -1;
        if (run) samples[run - 1] = n_tokens / (now_s() - start);
    }
    if (!result) cli_bench_report(bench, "prefill_sections_tok_s", "tok/s", samples, bench->n_runs, "lengths 148 to 2,048, packed");
    for (size_t i = 0; i < N; i++) g_free(pointers[i]);
    return result;
}

static eng_status time_open(CliBench *bench, const char *folder, size_t n_sections, double *ret_ms, eng_error *error)
{
    double start = now_s();
    eng_status status = cli_bench_answer(bench->runtime, folder, bench->ids, BENCH_SECTION_TOKENS, n_sections, ENG_VERIFY_LATER, BENCH_QUESTION_TOKENS, 0, NULL, error);
    *ret_ms = 1e3 * (now_s() - start);
    return status;
}

/* Writes a cache of 32k tokens, drops it from the page cache, and times opening it to the first token of an answer. */
static int bench_cold_open(CliBench *bench, eng_error *error)
{
    enum { SECTIONS = 16 };
    g_autofree char *folder = g_dir_make_tmp("lectern-bench-XXXXXX", NULL);
    double samples[BENCH_SAMPLES_MAX], read_ms[BENCH_SAMPLES_MAX], warm_ms[BENCH_SAMPLES_MAX];
    size_t n_runs = MIN(bench->n_runs, 5);
    eng_status status = folder ? cli_bench_write_cache(bench->runtime, folder, bench->ids, BENCH_SECTION_TOKENS, SECTIONS, error)
                               : eng_fail(error, ENG_IO, "no folder for temporary files");
    for (size_t run = 0; run < n_runs && status == ENG_OK; run++) {
        cli_bench_forget_pages(folder);
        double start = now_s();
        cli_bench_read_files(folder);
        read_ms[run] = 1e3 * (now_s() - start);
        status = time_open(bench, folder, SECTIONS, &warm_ms[run], error);
        cli_bench_forget_pages(folder);
        if (status == ENG_OK) status = time_open(bench, folder, SECTIONS, &samples[run], error);
    }
    if (status == ENG_OK) {
        cli_bench_report(bench, "cold_open_first_token_32k", "ms", samples, n_runs, "16 question tokens, every checksum verified meanwhile");
        cli_bench_report(bench, "cold_read_32k", "ms", read_ms, n_runs, "reading its files from the disk, and nothing else");
        cli_bench_report(bench, "warm_open_first_token_32k", "ms", warm_ms, n_runs, "the same once they are in memory");
    }
    if (folder) cli_bench_remove_folder(folder);
    return status == ENG_OK ? 0 : -1;
}

/* Decoding over n tokens that are in GPU memory, and how much of it attends, beside the time that reading what it reads would take at the
 * bandwidth of a copy. */
static int bench_gpu_decode(CliBench *bench, size_t n_tokens, const char *name, eng_error *error)
{
    uint64_t n_bytes = (uint64_t)bench->kv_token_bytes * n_tokens;
    if (n_bytes > bench->gpu.section_budget_bytes) {
        if (!bench->context->json) printf("%-28s left out: its %.1f GB are more than the GPU has room for\n", name, n_bytes / 1e9);
        return 0;
    }
    if (have_sections(bench, n_tokens, error)) return -1;
    size_t n_samples = MIN(MAX(bench->n_runs * 4, 8), BENCH_SAMPLES_MAX);
    double samples[BENCH_SAMPLES_MAX], attend_us[BENCH_SAMPLES_MAX];
    const float *logits;
    eng_session *session;
    if (eng_session_new(bench->runtime, bench->sections, n_tokens / BENCH_SECTION_TOKENS, BENCH_QUESTION_TOKENS + BENCH_SAMPLES_MAX + 8, &session, error) != ENG_OK)
        return -1;
    eng_status status = eng_session_eval(session, bench->ids, BENCH_QUESTION_TOKENS, &logits, error);
    for (size_t i = 0; i < n_samples + 2 && status == ENG_OK; i++) {
        eng_runtime_get_gpu(bench->runtime, &bench->gpu);
        double start = now_s(), attend_s = bench->gpu.attend_s;
        status = eng_session_eval(session, bench->ids + i, 1, &logits, error);
        double seconds = now_s() - start;
        eng_runtime_get_gpu(bench->runtime, &bench->gpu);
        if (i < 2) continue; /* they warm up */
        samples[i - 2] = 1 / seconds;
        attend_us[i - 2] = 1e6 * (bench->gpu.attend_s - attend_s) / bench->info->n_layers;
    }
    eng_session_free(session);
    if (status != ENG_OK) return -1;
    g_autofree char *beside = g_strdup_printf("sections in GPU memory: %.1f MB", bench->gpu.section_used_bytes / 1e6);
    cli_bench_report(bench, name, "tok/s", samples, n_samples, beside);
    if (!n_tokens) return 0;
    g_autofree char *attend_name = g_strdup_printf("attend_us_layer_%s", strrchr(name, '_') + 1);
    double at_copy_us = 1e6 * n_bytes / bench->info->n_layers / bench->gpu.copy_bytes_s;
    qsort(attend_us, n_samples, sizeof *attend_us, compare_doubles);
    g_autofree char *share = g_strdup_printf("its bytes at copy bandwidth: %.1f us, %.0f%%", at_copy_us, 100 * at_copy_us / attend_us[n_samples / 2]);
    cli_bench_report(bench, attend_name, "us", attend_us, n_samples, share);
    return 0;
}

static int run_gpu(CliBench *bench, eng_error *error)
{
    report_one(bench, "gpu_copy_gb_s", "GB/s", bench->gpu.copy_bytes_s / 1e9, bench->gpu.name);
    report_one(bench, "gpu_weights_mb", "MB", bench->gpu.weight_bytes / 1e6, "8-bit, and bf16 for many rows at once");
    report_one(bench, "gpu_mb_per_1000_tokens", "MB", bench->kv_token_bytes * 1e3 / 1e6, "of cached sections");
    if (bench_prefill(bench, 2048, "prefill_tok_s_2k", error) || bench_prefill(bench, 8192, "prefill_tok_s_8k", error) ||
        bench_prefill(bench, 16384, "prefill_tok_s_16k", error) || bench_sections(bench, error) ||
        bench_gpu_decode(bench, 0, "decode_tok_s_0", error) || bench_gpu_decode(bench, 32768, "decode_tok_s_32k", error) ||
        bench_gpu_decode(bench, 131072, "decode_tok_s_128k", error) || bench_gpu_decode(bench, 1048576, "decode_tok_s_1m", error))
        return -1;
    eng_runtime_get_gpu(bench->runtime, &bench->gpu);
    report_one(bench, "gpu_passes_on_cpu", "passes", (double)bench->gpu.passes_on_cpu, bench->gpu.note);
    return bench_cold_open(bench, error);
}

/* A million tokens in a cache on disk, attended to as a whole: how fast, and how much of the files comes into memory for it. */
static int bench_million(CliBench *bench, eng_error *error)
{
    enum { SECTIONS = 488, TOKENS = 8 };
    g_autofree char *folder = g_dir_make_tmp("lectern-bench-XXXXXX", NULL);
    double samples[TOKENS];
    eng_status status = folder ? cli_bench_write_cache(bench->runtime, folder, bench->ids, BENCH_SECTION_TOKENS, SECTIONS, error)
                               : eng_fail(error, ENG_IO, "no folder for temporary files");
    if (status == ENG_OK) {
        cli_bench_forget_pages(folder);
        double start = now_s();
        status = cli_bench_answer(bench->runtime, folder, bench->ids, BENCH_SECTION_TOKENS, SECTIONS, ENG_VERIFY_LATER, BENCH_QUESTION_TOKENS, TOKENS, samples,
                                  error);
        report_one(bench, "million_cold_answer_s", "s", now_s() - start, "opened cold, 16 question tokens, every checksum verified meanwhile, 8 more one by one");
        report_one(bench, "million_pages_mb", "MB", (double)cli_bench_resident_bytes(folder) / 1e6, "of the cache's files that came into memory");
    }
    if (status == ENG_OK) /* once more, warm */
        status = cli_bench_answer(bench->runtime, folder, bench->ids, BENCH_SECTION_TOKENS, SECTIONS, ENG_VERIFY_LATER, BENCH_QUESTION_TOKENS, TOKENS, samples,
                                  error);
    for (size_t i = 0; i < TOKENS && status == ENG_OK; i++) samples[i] = 1 / samples[i];
    if (status == ENG_OK) cli_bench_report(bench, "decode_tok_s_1m", "tok/s", samples, TOKENS, "999,424 tokens cached");
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    report_one(bench, "million_peak_mb", "MB", (double)usage.ru_maxrss / 1e3, "of this process, mapped files included");
    if (folder) cli_bench_remove_folder(folder);
    return status == ENG_OK ? 0 : -1;
}

static void bench_probes(CliBench *bench)
{
    double read_s[BENCH_SAMPLES_MAX], vnni[BENCH_SAMPLES_MAX];
    for (unsigned i = 0; i < bench->n_runs; i++) {
        read_s[i] = probe_read(bench) / 1e9;
        vnni[i] = kern_probe_dot8_ops_s(bench->probe) / 1e9;
    }
    cli_bench_report(bench, "probe_read_gb_s", "GB/s", read_s, bench->n_runs, "memory read, all threads");
    cli_bench_report(bench, "probe_dot8_gop_s", "GOP/s", vnni, bench->n_runs, "8-bit multiply-adds, all threads");
}

static int bench_prefills(CliBench *bench, eng_error *error)
{
    return bench_prefill(bench, 2048, "prefill_tok_s_2k", error) || bench_sections(bench, error);
}

static int bench_long_prefill(CliBench *bench, eng_error *error) { return bench_prefill(bench, 8192, "prefill_tok_s_8k", error); }

/* Depths of decoding that fit the memory of an ordinary machine. */
static int bench_decodes(CliBench *bench, eng_error *error)
{
    return bench_peak(bench, error) || bench_decode(bench, 8192, DROP_MASS, "decode_tok_s_8k", error) || bench_decode(bench, 32768, DROP_MASS, "decode_tok_s_32k", error) ||
           bench_decode(bench, 32768, 0, "decode_exact_tok_s_32k", error);
}

static int bench_deep_decodes(CliBench *bench, eng_error *error)
{
    if (bench->kv_token_bytes * 131072ull > 12ull << 30) return 0;
    return bench_decode(bench, 131072, DROP_MASS, "decode_tok_s_128k", error) || bench_decode(bench, 131072, 0, "decode_exact_tok_s_128k", error);
}

static int bench_attention(CliBench *bench, eng_error *error)
{
    (void)error;
    cli_bench_attend(bench, bench->context->n_threads, false);
    return 0;
}

static int bench_attention_gpt2(CliBench *bench, eng_error *error)
{
    (void)error;
    cli_bench_attend(bench, bench->context->n_threads, true);
    return 0;
}

static const struct Part {
    const char *name;
    int (*run)(CliBench *bench, eng_error *error);
    bool by_default;
} PARTS[] = {
    {"prefill", bench_prefills, true},      {"prefill-8k", bench_long_prefill, true}, {"decode", bench_decodes, true},
    {"decode-128k", bench_deep_decodes, true}, {"open", bench_cold_open, true},          {"attention", bench_attention, false},
    {"attention-gpt2", bench_attention_gpt2, false}, {"million", bench_million, false},
};

/* only NULL: what runs by default. */
static int run_parts(CliBench *bench, const char *only, eng_error *error)
{
    if (!only && bench->gpu.active) return run_gpu(bench, error);
    for (size_t i = 0; i < G_N_ELEMENTS(PARTS); i++)
        if ((only ? strcmp(PARTS[i].name, only) == 0 : PARTS[i].by_default) && PARTS[i].run(bench, error)) return -1;
    return 0;
}

static bool is_part(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(PARTS); i++)
        if (strcmp(PARTS[i].name, name) == 0) return true;
    return false;
}

/* Seconds of processor time that the whole machine has used since it started; 0: unknown. */
static double all_cpu_s(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/stat", &text, NULL, NULL) || !g_str_has_prefix(text, "cpu ")) return 0;
    enum { IDLE = 3, WAITING = 4, FIELDS = 8 }; /* of user, nice, system, idle, iowait, irq, softirq, steal */
    double ticks = 0;
    char *at = text + 4;
    for (int i = 0; i < FIELDS; i++) {
        double value = g_ascii_strtod(at, &at);
        if (i != IDLE && i != WAITING) ticks += value;
    }
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int open_model(CliBench *bench, const char *geometry, float sharpness, eng_error *error)
{
    if (geometry) return eng_model_random(geometry, sharpness, &bench->model, error) == ENG_OK ? 0 : -1;
    g_autoptr(GError) problem = NULL;
    g_autofree char *path = app_models_find(bench->context->data_folder, bench->context->model, &problem);
    if (!path) {
        eng_fail(error, ENG_NOT_FOUND, "%s", problem->message);
        return -1;
    }
    return eng_model_open(path, NULL, &bench->model, error) == ENG_OK ? 0 : -1;
}

static int bench_book(CliBench *bench, const char *path, const char *questions)
{
    g_autoptr(GError) problem = NULL;
    const CliBenchBook book = {.path = path, .questions = questions, .model = bench->info->path, .n_threads = bench->context->n_threads,
                               .n_vocabulary = bench->info->n_vocabulary};
    return cli_bench_book(bench, &book, &problem) ? CLI_OK : cli_fail("%s", problem->message);
}

static int run_bench(CliBench *bench, const char *geometry, double sharpness, const char *only, const char *book, const char *questions)
{
    eng_error error = {0};
    eng_runtime_options options = {.n_threads = bench->context->n_threads, .pin_threads = true,
                                   .gpu = bench->context->gpu == APP_GPU_WANTED ? ENG_GPU_WANTED : ENG_GPU_NEVER,
                                   .gpu_measures = true};
    if (open_model(bench, geometry, (float)sharpness, &error) || eng_runtime_new(bench->model, &options, &bench->runtime, &error) != ENG_OK)
        return cli_fail_engine(&error);
    bench->info = eng_model_get_info(bench->model);
    eng_runtime_get_gpu(bench->runtime, &bench->gpu);
    for (size_t i = 0; i < BENCH_SECTION_TOKENS; i++) bench->ids[i] = (uint32_t)((i * 2654435761u >> 7) % bench->info->n_vocabulary);
    kern_kv_format format = bench->info->kv_format;
    size_t unit = kern_kv_unit_bytes(&format) / KERN_UNIT_TOKENS;
    size_t token = kern_kv_value_row_bytes(&format) + 2 * kern_kv_value_n_scales(&format) + unit;
    bench->kv_token_bytes = token * bench->info->n_kv_heads * bench->info->n_layers;
    bench->key_token_bytes = unit * bench->info->n_kv_heads * bench->info->n_layers;
    if (kern_context_new(bench->context->n_threads, true, &bench->probe) != KERN_OK) return cli_fail(_("not enough memory for the benchmark"));
    if (!bench->context->json)
        printf("%s, %u layers, %u query and %u KV heads of %u, %s weights; %s, %u threads\n", bench->info->name, bench->info->n_layers,
               bench->info->n_heads, bench->info->n_kv_heads, bench->info->head_dim, bench->info->weight_types, kern_isa_name(),
               bench->context->n_threads ? bench->context->n_threads : g_get_num_processors());
    double start = now_s(), own = own_cpu_s(), all = all_cpu_s();
    bench_probes(bench);
    report_one(bench, "kv_bytes_per_token", "bytes", (double)bench->kv_token_bytes, "");
    if (book && bench_book(bench, book, questions) != CLI_OK) return CLI_FAILED;
    if (!book && run_parts(bench, only, &error)) return cli_fail_engine(&error);
    double others = all_cpu_s() - all - (own_cpu_s() - own);
    report_one(bench, "busy_others", "cpus", MAX(others, 0) / (now_s() - start), "processors that others kept busy meanwhile");
    return CLI_OK;
}

static const char *const help =
    /* xgettext:no-c-format */
    N_("Usage: lectern bench [--geometry NAME] [--only PART | --book FILE] [--runs N] [--sharpness X] [--json]\n"
       "\n"
       "Measures reading and answering on this machine, beside its limits; with --gpu, on its GPU.\n"
       "\n"
       "  -g, --geometry NAME  random weights in this geometry (qwen3-0.6b, qwen3-0.6b-4bit-values, qwen3-1.7b,\n"
       "                       starter, gpt2) instead of the model\n"
       "      --only PART      prefill, prefill-8k, decode, decode-128k or open; or what is not run by default: attention\n"
       "                       (alone, by depth, beside dense attention of 8 and 16 bits), attention-gpt2 (in GPT-2's\n"
       "                       geometry) or million (cached tokens in a file: tokens a second, pages read, memory)\n"
       "      --book FILE      a book's own keys: at each bound on the dropped attention mass, value rows read and answers\n"
       "                       that stay the same; --questions FILE asks these, one a line, else made of its sentences\n"
       "  -n, --runs N         samples of each figure (default 7)\n"
       "      --sharpness X    scale of random queries: 1 is a flat softmax (default 12: 1% of the keys hold 99% of the mass)\n");

int cli_bench(CliContext *context, int argc, char **argv)
{
    g_autofree char *geometry = NULL;
    int n_runs = 7;
    double sharpness = 12;
    g_autofree char *book = NULL, *questions = NULL;
    g_autofree char *only = NULL;
    const GOptionEntry entries[] = {
        {"only", 0, 0, G_OPTION_ARG_STRING, &only, "Run this part alone", "PART"},
        {"book", 0, 0, G_OPTION_ARG_FILENAME, &book, "A book's own keys", "FILE"},
        {"questions", 0, 0, G_OPTION_ARG_FILENAME, &questions, "With --book: ask these", "FILE"},
        {"geometry", 'g', 0, G_OPTION_ARG_STRING, &geometry, "Random weights in this geometry: qwen3-0.6b, starter, gpt2", "NAME"},
        {"runs", 'n', 0, G_OPTION_ARG_INT, &n_runs, "Samples of each figure (default 7)", "N"},
        {"sharpness", 0, 0, G_OPTION_ARG_DOUBLE, &sharpness, "Scale of random queries; 1 is flat (default 12)", "X"},
        {NULL}};
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    if (!cli_parse_options("bench", entries, &argc, &argv)) return CLI_USAGE;
    if (argc > 1) return cli_usage("bench", _("there is nothing to name here: “%s”"), argv[1]);
    CliBench bench = {.sections_fd = -1, .context = context, .results = json_array(), .n_runs = CLAMP(n_runs, 3, BENCH_SAMPLES_MAX),
                   .memory = g_ptr_array_new_with_free_func(free)};
    if (only && !is_part(only))
        return cli_usage("bench", _("there is no part “%s”: prefill, prefill-8k, decode, decode-128k, open, attention, attention-gpt2 or million"), only);
    if (geometry && book) return cli_usage("bench", _("a model of random weights has no tokenizer to read a book with"));
    int code = run_bench(&bench, geometry, sharpness, only, book, questions);
    if (code == CLI_OK && context->json) {
        json_t *record = json_pack("{s:s, s:s, s:O}", "model", bench.info->name, "instruction_set", kern_isa_name(), "results", bench.results);
        json_dumpf(record, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(record);
    }
    for (size_t i = 1; i < bench.n_sections && bench.sections_fd >= 0; i++) munmap((void *)bench.sections[i].blocks[0].data, bench.section_bytes);
    if (bench.sections_fd >= 0) close(bench.sections_fd);
    g_ptr_array_unref(bench.memory);
    kern_context_free(bench.probe);
    g_free(bench.sections);
    json_decref(bench.results);
    eng_runtime_free(bench.runtime);
    eng_model_close(bench.model);
    return code;
}
