/* answers.c: whole answers on the GPU against the CPU's, over the golden questions.
 *
 * Owns: the comparison of states (codes, values), of answers with each one's cache read by the other, of where they looked, with sections
 *       that all stay in GPU memory and with a budget so small that they are evicted and streamed.
 * Does not own: single kernels (check.cu), times (lectern bench --gpu).
 *
 * usage: answers MODEL GOLDEN.json [N_QUESTIONS]   Without a GPU it says so and exits with 1.
 *
 * What may differ: the CPU multiplies activations in 8 bits, the GPU in 16; top-k turns a rounding difference into another choice now and
 * then. So how many answers are the reference's word for word is printed, not judged: from 49 to 55 of 60 were seen with caches and kernels
 * that differ by rounding alone. Judged are how likely the reference's answers are held to be, and where answers part: only where the two
 * ways to go on were near each other.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "eng.h"

enum { SECTIONS_MAX = 64, REPLY_TOKENS_MAX = 96, REPLY_BYTES = 4096, RUNS = 4 };

/* Logits by which one of two answers that part must have preferred its own token at most. Where rounding alone differed, 1.75 was seen. */
#define LEAD_MAX 2.5
/* Difference of the mean NLL of all 60 reference answers, a token: three times its standard error between such runs. Fewer questions: more. */
#define NLL_APART_MAX 0.007
/* Of keys' and values' sizes in a layer and head: more is a scale gone wrong. */
#define SIZE_OFF_MAX 0.01

static int n_failures;

static void must(eng_status status, const eng_error *error)
{
    if (status == ENG_OK) return;
    fprintf(stderr, "answers: %s\n", error->message);
    exit(1);
}

static void expect(bool ok, const char *what, double got, double limit)
{
    printf("%s %s: %.5f, limit %.5f\n", ok ? "ok    " : "FAILED", what, got, limit);
    n_failures += !ok;
}

static uint32_t *ids_of(const json_t *array, size_t *ret_n)
{
    *ret_n = json_array_size(array);
    uint32_t *ids = malloc((*ret_n + 1) * sizeof *ids);
    if (!ids) exit(1);
    for (size_t i = 0; i < *ret_n; i++) ids[i] = (uint32_t)json_integer_value(json_array_get(array, i));
    return ids;
}

/* The document's sections as one runtime read them. */
typedef struct cached {
    size_t n;
    eng_section sections[SECTIONS_MAX];
    size_t n_tokens;
} cached;

static const eng_model_info *info;

static cached read_all(eng_runtime *runtime, const json_t *golden)
{
    cached c = {0};
    json_t *all = json_object_get(golden, "section_ids");
    eng_error error = {0};
    eng_read_job *jobs = calloc(SECTIONS_MAX, sizeof *jobs);
    c.n = json_array_size(all) < SECTIONS_MAX ? json_array_size(all) : SECTIONS_MAX;
    for (size_t i = 0; i < c.n; i++) {
        size_t n;
        uint32_t *ids = ids_of(json_array_get(all, i), &n);
        size_t bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, eng_section_capacity((uint32_t)n)).total_bytes;
        uint8_t *memory = aligned_alloc(64, bytes * info->n_layers);
        kern_kv_block *blocks = calloc(info->n_layers, sizeof *blocks);
        void **pointers = calloc(info->n_layers, sizeof *pointers);
        if (!memory || !blocks || !pointers || !jobs) exit(1);
        memset(memory, 0, bytes * info->n_layers);
        for (uint32_t l = 0; l < info->n_layers; l++) {
            pointers[l] = memory + l * bytes;
            blocks[l] = (kern_kv_block){pointers[l], (uint32_t)n, eng_section_capacity((uint32_t)n)};
        }
        jobs[i] = (eng_read_job){.ids = ids, .n_tokens = (uint32_t)n, .blocks = pointers, .first_position = UINT32_MAX};
        c.sections[i] = (eng_section){.ids = ids, .n_tokens = (uint32_t)n, .blocks = blocks};
        c.n_tokens += n;
    }
    must(eng_read(runtime, jobs, c.n, &error), &error);
    free(jobs);
    return c;
}

/* Of a layer's and KV head's keys or values in two caches. */
typedef struct likeness {
    double kept, same;              /* features kept in one, and in both */
    double size, other_size, apart; /* squares */
} likeness;

static void add_rows(likeness *to, const float *x, const float *y)
{
    for (uint32_t i = 0; i < info->head_dim; i++) {
        to->kept += x[i] != 0, to->same += x[i] != 0 && y[i] != 0;
        to->size += x[i] * x[i], to->other_size += y[i] * y[i];
        to->apart += (x[i] - y[i]) * (x[i] - y[i]);
    }
}

/* Adds a layer's and KV head's to the sum; *worst: the largest change in size, which rounding does not make. */
static void add_likeness(likeness *sum, const likeness *one, double *worst)
{
    sum->kept += one->kept, sum->same += one->same, sum->size += one->size, sum->other_size += one->other_size, sum->apart += one->apart;
    double change = fabs(sqrt(one->other_size / one->size) - 1);
    *worst = fmax(*worst, change == change ? change : INFINITY);
}

static void compare_states(const cached *a, const cached *b)
{
    likeness keys = {0}, values = {0}, first_keys = {0};
    double keys_off = 0, values_off = 0;
    float x[KERN_HEAD_DIM_MAX], y[KERN_HEAD_DIM_MAX];
    for (uint32_t layer = 0; layer < info->n_layers; layer++)
        for (uint32_t head = 0; head < info->n_kv_heads; head++) {
            likeness k = {0}, v = {0};
            for (size_t s = 0; s < a->n; s++)
                for (uint32_t t = 0; t < a->sections[s].n_tokens; t += 7) {
                    const kern_kv_block *ba = &a->sections[s].blocks[layer], *bb = &b->sections[s].blocks[layer];
                    kern_kv_get_key(&info->kv_format, info->n_kv_heads, ba, head, t, x);
                    kern_kv_get_key(&info->kv_format, info->n_kv_heads, bb, head, t, y);
                    add_rows(&k, x, y);
                    kern_kv_get_value(&info->kv_format, info->n_kv_heads, ba, head, t, x);
                    kern_kv_get_value(&info->kv_format, info->n_kv_heads, bb, head, t, y);
                    add_rows(&v, x, y);
                }
            add_likeness(&keys, &k, &keys_off);
            add_likeness(&values, &v, &values_off);
            if (layer == 0) add_likeness(&first_keys, &k, &keys_off);
        }
    expect(first_keys.same >= 0.985 * first_keys.kept, "features kept by both, first layer", first_keys.same / first_keys.kept, 0.985);
    expect(keys.same >= 0.95 * keys.kept, "features kept by both, all layers", keys.same / keys.kept, 0.95);
    expect(sqrt(values.apart / values.size) <= 0.2, "relative distance of values", sqrt(values.apart / values.size), 0.2);
    expect(keys_off <= SIZE_OFF_MAX, "largest change in size of a layer's and head's keys", keys_off, SIZE_OFF_MAX);
    expect(values_off <= SIZE_OFF_MAX, "largest change in size of a layer's and head's values", values_off, SIZE_OFF_MAX);
}

/* A greedy answer with the logits that each token was chosen by, the one that ends it included. */
typedef struct reply {
    uint32_t ids[REPLY_TOKENS_MAX];
    size_t n;
    char text[REPLY_BYTES];
    float *logits; /* [REPLY_TOKENS_MAX][n_vocabulary] */
} reply;

static void greedy(eng_runtime *runtime, const cached *c, const uint32_t *prompt, size_t n_prompt, reply *r, double *mass)
{
    eng_error error = {0};
    eng_session *session;
    eng_sampling sampling = {0};
    const float *logits;
    size_t at = 0, n_bytes;
    must(eng_session_new(runtime, c->sections, c->n, n_prompt + REPLY_TOKENS_MAX, &session, &error), &error);
    eng_session_record_mass(session, mass != NULL);
    must(eng_session_eval(session, prompt, n_prompt, &logits, &error), &error);
    for (r->n = 0; r->n < REPLY_TOKENS_MAX;) {
        uint32_t id = eng_sample(&sampling, logits, info->n_vocabulary);
        const char *bytes = eng_token_bytes(eng_runtime_model(runtime), id, &n_bytes);
        memcpy(r->logits + r->n * info->n_vocabulary, logits, info->n_vocabulary * sizeof *logits);
        r->ids[r->n++] = id;
        if (eng_token_stops(eng_runtime_model(runtime), id) || at + n_bytes >= REPLY_BYTES) break;
        memcpy(r->text + at, bytes, n_bytes);
        at += n_bytes;
        must(eng_session_eval(session, &id, 1, &logits, &error), &error);
    }
    r->text[at] = '\0';
    for (size_t s = 0; mass && s < c->n; s++) {
        const float *parts;
        size_t n_parts;
        eng_session_get_mass(session, s, &parts, &n_parts);
        mass[s] = 0;
        for (size_t i = 0; i < n_parts; i++) mass[s] += parts[i];
    }
    eng_session_free(session);
}

/* Where two answers part, how far the less decided of them preferred its own token to the other's; 0: they are the same. */
static double lead_where_parted(const reply *a, const reply *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (a->ids[i] != b->ids[i]) {
            const float *la = a->logits + i * info->n_vocabulary, *lb = b->logits + i * info->n_vocabulary;
            double lead = fmin(la[a->ids[i]] - la[b->ids[i]], lb[b->ids[i]] - lb[a->ids[i]]);
            return lead == lead ? lead : INFINITY;
        }
    return 0;
}

/* The sum over an answer's tokens, and its end, of how unlikely each is after those before it. */
static double forced_nll(eng_runtime *runtime, const cached *c, const uint32_t *prompt, size_t n_prompt, const char *text, size_t *n_tokens)
{
    eng_error error = {0};
    eng_session *session;
    eng_tokens answer = {0};
    must(eng_tokenize(eng_runtime_model(runtime), text, strlen(text), false, &answer, &error), &error);
    size_t n = n_prompt + answer.n;
    uint32_t *ids = malloc((n + 1) * sizeof *ids);
    float *logits = malloc(n * info->n_vocabulary * sizeof *logits);
    if (!ids || !logits) exit(1);
    memcpy(ids, prompt, n_prompt * sizeof *ids);
    memcpy(ids + n_prompt, answer.ids, answer.n * sizeof *ids);
    ids[n] = eng_special_token(eng_runtime_model(runtime), ENG_TOKEN_STOP);
    must(eng_session_new(runtime, c->sections, c->n, n, &session, &error), &error);
    must(eng_session_eval_all(session, ids, n, logits, &error), &error);
    double nll = 0;
    for (size_t i = n_prompt; i <= n; i++) {
        const float *row = logits + (i - 1) * info->n_vocabulary;
        double top = -INFINITY, sum = 0;
        for (size_t j = 0; j < info->n_vocabulary; j++) top = fmax(top, row[j]);
        for (size_t j = 0; j < info->n_vocabulary; j++) sum += exp(row[j] - top);
        nll += top + log(sum) - row[ids[i]];
    }
    *n_tokens += answer.n + 1;
    eng_session_free(session);
    eng_tokens_clear(&answer);
    free(ids);
    free(logits);
    return nll;
}

/* The same tokens over the same cache on two runtimes, the second perhaps token by token: distances of logits without the drift of the
 * sections' states. */
static void compare_logits(eng_runtime *one, eng_runtime *other, bool by_token, const cached *c, const uint32_t *ids, size_t n, double *apart, double *size)
{
    eng_error error = {0};
    eng_runtime *both[] = {one, other};
    float *logits[2];
    for (int i = 0; i < 2; i++) {
        eng_session *session;
        logits[i] = malloc(n * info->n_vocabulary * sizeof(float));
        if (!logits[i]) exit(1);
        must(eng_session_new(both[i], c->sections, c->n, n, &session, &error), &error);
        eng_session_set_drop_mass(session, 0);
        for (size_t at = 0, step = i && by_token ? 1 : n; at < n; at += step)
            must(eng_session_eval_all(session, ids + at, step, logits[i] + at * info->n_vocabulary, &error), &error);
        eng_session_free(session);
    }
    for (size_t i = 0; i < n * info->n_vocabulary; i++) {
        double d = (double)logits[0][i] - logits[1][i];
        *apart += d == d ? d * d : INFINITY;
        *size += (double)logits[0][i] * logits[0][i];
    }
    free(logits[0]);
    free(logits[1]);
}

static const char *const run_names[RUNS] = {"CPU over its own cache", "GPU over the CPU's", "GPU over its own", "CPU over the GPU's"};

/* What is found over all questions, by run. */
typedef struct findings {
    size_t right[RUNS], as_cpu[RUNS], n_tokens[RUNS];
    double nll[RUNS], lead[RUNS]; /* lead: the largest, where an answer parts from the CPU's over its own cache */
    double mass_apart, mass_size;
} findings;

static void answer_question(eng_runtime *const runtimes[RUNS], const cached *const caches[RUNS], const uint32_t *prompt, size_t n_prompt, const char *wanted,
                            reply *replies, findings *f)
{
    double mass[2][SECTIONS_MAX];
    for (int i = 0; i < RUNS; i++) {
        greedy(runtimes[i], caches[i], prompt, n_prompt, &replies[i], i < 2 ? mass[i] : NULL);
        f->right[i] += !strcmp(replies[i].text, wanted);
        f->as_cpu[i] += !strcmp(replies[i].text, replies[0].text);
        f->lead[i] = fmax(f->lead[i], lead_where_parted(&replies[i], &replies[0]));
        f->nll[i] += forced_nll(runtimes[i], caches[i], prompt, n_prompt, wanted, &f->n_tokens[i]);
    }
    for (size_t s = 0; s < caches[0]->n && !strcmp(replies[0].text, replies[1].text); s++) {
        f->mass_apart += fabs(mass[0][s] - mass[1][s]);
        f->mass_size += mass[0][s];
    }
}

/* Answers with every pair of who runs and who read. */
static void compare_answers(eng_runtime *cpu, eng_runtime *gpu, const cached *by_cpu, const cached *by_gpu, const json_t *golden, size_t n)
{
    json_t *prompts = json_object_get(golden, "prompt_ids"), *answers = json_object_get(golden, "answers");
    eng_runtime *const runtimes[RUNS] = {cpu, gpu, gpu, cpu};
    const cached *const caches[RUNS] = {by_cpu, by_cpu, by_gpu, by_gpu};
    findings f = {0};
    double apart = 0, size = 0, own_apart = 0, own_size = 0;
    char what[128];
    static reply replies[RUNS];
    for (int i = 0; i < RUNS; i++)
        if (!replies[i].logits && !(replies[i].logits = malloc(REPLY_TOKENS_MAX * info->n_vocabulary * sizeof(float)))) exit(1);
    if (n > json_array_size(answers)) n = json_array_size(answers);
    for (size_t q = 0; q < n; q++) {
        size_t n_prompt;
        uint32_t *prompt = ids_of(json_array_get(prompts, q), &n_prompt);
        answer_question(runtimes, caches, prompt, n_prompt, json_string_value(json_array_get(answers, q)), replies, &f);
        if (q < 8) compare_logits(cpu, gpu, false, by_cpu, prompt, n_prompt, &apart, &size);
        if (q < 4) compare_logits(gpu, gpu, true, by_cpu, prompt, n_prompt, &own_apart, &own_size);
        free(prompt);
    }
    for (int i = 0; i < RUNS; i++) {
        double nll = f.nll[i] / f.n_tokens[i], off = nll - f.nll[0] / f.n_tokens[0], limit = NLL_APART_MAX * sqrt(60.0 / n);
        printf("%s: %zu of %zu answers as the reference's, %zu as the CPU's over its own cache; NLL of the reference's %.5f\n", run_names[i], f.right[i], n,
               f.as_cpu[i], nll);
        if (i == 0) continue;
        snprintf(what, sizeof what, "%s: logits by which an answer that parts was preferred", run_names[i]);
        expect(f.lead[i] <= LEAD_MAX, what, f.lead[i], LEAD_MAX);
        snprintf(what, sizeof what, "%s: NLL beside the CPU's over its own cache", run_names[i]);
        expect(fabs(off) <= limit, what, off, limit);
    }
    expect(f.as_cpu[1] + 1 >= 0.6 * n, "GPU's answers that are the CPU's word for word, same cache, share", (double)f.as_cpu[1] / n, 0.6);
    /* the CPU's activations have 8 bits, those of the GPU's products of many rows 8 (bf16), of few rows 22; top-k makes choices of roundings */
    expect(sqrt(apart / size) <= 0.12, "relative distance of logits from the CPU's, same cache", sqrt(apart / size), 0.12);
    expect(sqrt(own_apart / own_size) <= 0.12, "relative distance of logits, all at once and one by one", sqrt(own_apart / own_size), 0.12);
    expect(f.mass_apart <= 0.05 * f.mass_size, "attention mass by section, relative difference", f.mass_apart / f.mass_size, 0.05);
}

int main(int argc, char **argv)
{
    eng_model *model;
    eng_runtime *cpu, *gpu;
    eng_error error = {0};
    eng_gpu_info used;
    if (argc < 3) return fprintf(stderr, "usage: answers MODEL GOLDEN.json [N_QUESTIONS]\n"), 2;
    json_t *golden = json_load_file(argv[2], 0, NULL);
    if (!golden) return fprintf(stderr, "answers: %s cannot be read\n", argv[2]), 1;
    size_t n = argc > 3 ? strtoul(argv[3], NULL, 10) : 60;
    must(eng_model_open(argv[1], NULL, &model, &error), &error);
    info = eng_model_get_info(model);
    must(eng_runtime_new(model, &(eng_runtime_options){.gpu = ENG_GPU_NEVER}, &cpu, &error), &error);
    cached by_cpu = read_all(cpu, golden), by_gpu = {0};
    for (int small = 0; small < 2; small++) {
        eng_runtime_options options = {.gpu = ENG_GPU_WANTED, .gpu_memory_bytes = small ? 64u << 20 : 0};
        must(eng_runtime_new(model, &options, &gpu, &error), &error);
        if (!small) by_gpu = read_all(gpu, golden);
        printf("== %s\n", small ? "a budget of 64 MB" : "all in GPU memory");
        if (!small) compare_states(&by_cpu, &by_gpu);
        compare_answers(cpu, gpu, &by_cpu, &by_gpu, golden, small ? (n + 5) / 6 : n);
        eng_runtime_get_gpu(gpu, &used);
        printf("%s: %zu tokens; weights %.0f MB, sections %.0f of %.0f MB; %llu passes, %llu by the CPU; sections found %llu, uploaded %llu, evicted %llu; "
               "streamed %.1f MB at %.2f GB/s; %s\n",
               used.name, by_cpu.n_tokens, used.weight_bytes / 1e6, used.section_used_bytes / 1e6, used.section_budget_bytes / 1e6,
               (unsigned long long)used.passes, (unsigned long long)used.passes_on_cpu, (unsigned long long)used.sections_found,
               (unsigned long long)used.sections_uploaded, (unsigned long long)used.sections_evicted, used.streamed_bytes / 1e6,
               used.streamed_s > 0 ? used.streamed_bytes / 1e9 / used.streamed_s : 0.0, used.note[0] ? used.note : "nothing to note");
        expect(used.active && !used.passes_on_cpu, "passes left to the CPU", (double)used.passes_on_cpu, 0);
        eng_runtime_free(gpu);
    }
    printf("%d failures\n", n_failures);
    eng_runtime_free(cpu);
    eng_model_close(model);
    json_decref(golden);
    return n_failures != 0;
}
