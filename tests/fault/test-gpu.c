/* test-gpu.c: a GPU that is missing, fails, runs out of memory or is cancelled, at every call of an answer.
 *
 * Owns: a module that runs passes on the CPU and fails on demand, after it has spoilt what it had begun to write. The real one is compared
 *       with the portable kernels on a machine with a GPU (tests/cuda).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu.h"

enum { SECTION_TOKENS = 70, N_SECTIONS = 2, QUESTION_TOKENS = 9, REPLY_TOKENS = 4 };

static struct {
    eng_model *model;
    eng_runtime *cpu; /* runs the module's passes */
    int forwards, logits, forgets, closes, opens, prefetches;
    int fail_forward, fail_logits; /* the call that fails, from 0; -1: none */
    kern_gpu_status failure, open_status;
    bool no_device;
} fake;

static kern_gpu_status fake_fail(kern_gpu_error *error, kern_gpu_status status, const char *message)
{
    error->status = status;
    strcpy(error->message, message);
    return status;
}

static size_t fake_probe(kern_gpu_device *ret_devices, size_t n_max, kern_gpu_error *error)
{
    assert_true(n_max >= 2);
    if (fake.no_device) {
        fake_fail(error, KERN_GPU_NO_DEVICE, "no NVIDIA driver");
        return 0;
    }
    ret_devices[0] = (kern_gpu_device){.name = "Old GPU", .reason = "compute capability 6.1"};
    ret_devices[1] = (kern_gpu_device){.name = "Test GPU", .usable = true, .free_bytes = 1};
    return 2;
}

static kern_gpu_status fake_open(const kern_gpu_model *model, uint32_t device, uint64_t budget, kern_gpu **ret_gpu, kern_gpu_error *error)
{
    fake.opens++;
    assert_int_equal(device, 1); /* the one that is usable */
    assert_int_equal(model->n_layers, eng_model_get_info(fake.model)->n_layers);
    if (fake.open_status != KERN_GPU_OK) return fake_fail(error, fake.open_status, "the GPU has too little memory");
    *ret_gpu = (kern_gpu *)&fake;
    return KERN_GPU_OK;
}

static void fake_close(kern_gpu *gpu) { fake.closes += gpu != NULL; }

/* What a pass that died may have left: anything, in the tokens that it was to write. */
static void spoil(const kern_gpu_segment *segment)
{
    const eng_model_info *info = eng_model_get_info(fake.model);
    kern_kv_layout layout = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, segment->capacity);
    size_t row_bytes = kern_kv_value_row_bytes(&info->kv_format);
    for (uint32_t layer = 0; layer < info->n_layers; layer++)
        for (size_t head = 0; head < info->n_kv_heads; head++)
            memset((uint8_t *)segment->blocks[layer] + layout.rows_offset + head * layout.row_head_bytes + segment->at * row_bytes, 0x5a,
                   segment->n_tokens * row_bytes);
}

static kern_gpu_status fake_forward(kern_gpu *gpu, const kern_gpu_segment *segments, size_t n, const bool *cancel, kern_gpu_error *error)
{
    eng_segment own[ENG_SEGMENTS_MAX];
    eng_error problem;
    if (cancel && *cancel) return fake_fail(error, KERN_GPU_CANCELLED, "cancelled");
    if (fake.forwards++ == fake.fail_forward) {
        for (size_t i = 0; i < n; i++) spoil(&segments[i]);
        return fake_fail(error, fake.failure, "an illegal memory access was encountered");
    }
    for (size_t i = 0; i < n; i++) {
        const kern_gpu_segment *s = &segments[i];
        own[i] = (eng_segment){s->ids, s->n_tokens, s->first_position, s->blocks, s->capacity, s->at, s->sections_by_layer, s->n_sections,
                               s->mass, s->mass_first};
    }
    eng_status status = eng_forward(fake.cpu, &(eng_pass){.segments = own, .n_segments = n}, NULL, &problem);
    return status == ENG_OK ? KERN_GPU_OK : fake_fail(error, KERN_GPU_BAD_ARGUMENT, problem.message);
}

static kern_gpu_status fake_logits(kern_gpu *gpu, size_t first_row, size_t n_rows, float *ret_logits, kern_gpu_error *error)
{
    if (fake.logits++ == fake.fail_logits) return fake_fail(error, fake.failure, "an illegal memory access was encountered");
    assert_int_equal(eng_logits(fake.cpu, first_row, n_rows, ret_logits, NULL), ENG_OK);
    return KERN_GPU_OK;
}

static kern_gpu_status fake_states(kern_gpu *gpu, size_t first_row, size_t n_rows, float *ret_states, kern_gpu_error *error)
{
    return fake_fail(error, KERN_GPU_BAD_ARGUMENT, "not asked for");
}

static kern_gpu_status fake_prefetch(kern_gpu *gpu, const kern_kv_block *sections, size_t n, kern_gpu_error *error)
{
    fake.prefetches++;
    return KERN_GPU_OK;
}

static void fake_forget(kern_gpu *gpu, const void *first_block) { fake.forgets++; }

static void fake_get_stats(const kern_gpu *gpu, kern_gpu_stats *ret_stats) { *ret_stats = (kern_gpu_stats){.weight_bytes = 77, .note = ""}; }

static const kern_gpu_module module = {KERN_GPU_ABI, "test",      fake_probe,  fake_open,     fake_close,  fake_forward,
                                       fake_logits,  fake_states, fake_prefetch, fake_forget, fake_get_stats};

/* ------------------------------------------------------------------------------------------------------------- an answer */

typedef struct answer {
    uint8_t *blocks[N_SECTIONS];
    size_t n_bytes;
    float *logits; /* [1 + REPLY_TOKENS][n_vocabulary] */
    double mass;
    eng_gpu_info gpu;
} answer;

static void read_sections(eng_runtime *runtime, answer *a, eng_section *sections, kern_kv_block *blocks, const uint32_t *ids)
{
    const eng_model_info *info = eng_model_get_info(fake.model);
    size_t block_bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, eng_section_capacity(SECTION_TOKENS)).total_bytes;
    void *pointers[N_SECTIONS][64];
    eng_read_job jobs[N_SECTIONS];
    a->n_bytes = block_bytes * info->n_layers;
    assert_true(info->n_layers <= 64);
    for (size_t i = 0; i < N_SECTIONS; i++) {
        a->blocks[i] = aligned_alloc(64, a->n_bytes);
        assert_non_null(a->blocks[i]);
        memset(a->blocks[i], 0, a->n_bytes);
        for (uint32_t l = 0; l < info->n_layers; l++) {
            pointers[i][l] = a->blocks[i] + l * block_bytes;
            blocks[i * info->n_layers + l] = (kern_kv_block){pointers[i][l], SECTION_TOKENS, eng_section_capacity(SECTION_TOKENS)};
        }
        jobs[i] = (eng_read_job){.ids = ids + i, .n_tokens = SECTION_TOKENS, .blocks = pointers[i], .first_position = UINT32_MAX};
        sections[i] = (eng_section){.ids = ids + i, .n_tokens = SECTION_TOKENS, .blocks = blocks + i * info->n_layers};
        assert_int_equal(eng_read(runtime, &jobs[i], 1, NULL), ENG_OK);
    }
}

/* Reads two sections and asks over them, a token at a time after the question. */
static void run_answer(const eng_runtime_options *options, answer *a)
{
    const eng_model_info *info = eng_model_get_info(fake.model);
    eng_runtime *runtime;
    eng_session *session;
    eng_section sections[N_SECTIONS];
    kern_kv_block blocks[N_SECTIONS * 64];
    uint32_t ids[SECTION_TOKENS + N_SECTIONS];
    const float *logits, *mass;
    size_t n_parts;
    eng_error error = {0};
    memset(a, 0, sizeof *a);
    for (uint32_t i = 0; i < SECTION_TOKENS + N_SECTIONS; i++) ids[i] = (i * 2654435761u >> 9) % info->n_vocabulary;
    assert_int_equal(eng_runtime_new(fake.model, options, &runtime, &error), ENG_OK);
    read_sections(runtime, a, sections, blocks, ids);
    assert_int_equal(eng_session_new(runtime, sections, N_SECTIONS, 64, &session, &error), ENG_OK);
    eng_session_set_drop_mass(session, 0);
    eng_session_record_mass(session, true);
    a->logits = malloc((1 + REPLY_TOKENS) * info->n_vocabulary * sizeof *a->logits);
    assert_non_null(a->logits);
    assert_int_equal(eng_session_eval(session, ids + 3, QUESTION_TOKENS, &logits, &error), ENG_OK);
    for (size_t i = 0;; i++) {
        memcpy(a->logits + i * info->n_vocabulary, logits, info->n_vocabulary * sizeof *logits);
        if (i == REPLY_TOKENS) break;
        assert_int_equal(eng_session_eval(session, ids + 20 + i, 1, &logits, &error), ENG_OK);
    }
    for (size_t s = 0; s < N_SECTIONS; s++) {
        eng_session_get_mass(session, s, &mass, &n_parts);
        for (size_t i = 0; i < n_parts; i++) a->mass += mass[i];
    }
    eng_session_free(session);
    eng_runtime_get_gpu(runtime, &a->gpu);
    eng_runtime_free(runtime);
}

static void clear_answer(answer *a)
{
    for (size_t i = 0; i < N_SECTIONS; i++) free(a->blocks[i]);
    free(a->logits);
}

static void assert_same(const answer *a, const answer *b)
{
    size_t n_vocabulary = eng_model_get_info(fake.model)->n_vocabulary;
    for (size_t i = 0; i < N_SECTIONS; i++) assert_memory_equal(a->blocks[i], b->blocks[i], a->n_bytes);
    for (size_t i = 0; i <= REPLY_TOKENS; i++)
        assert_memory_equal(a->logits + i * n_vocabulary, b->logits + i * n_vocabulary, n_vocabulary * sizeof(float));
    assert_true(a->mass == b->mass);
}

static void reset(int fail_forward, int fail_logits, kern_gpu_status failure)
{
    fake.forwards = fake.logits = fake.forgets = fake.closes = fake.opens = fake.prefetches = 0;
    fake.fail_forward = fail_forward;
    fake.fail_logits = fail_logits;
    fake.failure = failure;
    fake.open_status = KERN_GPU_OK;
    fake.no_device = false;
    eng_gpu_set_module(&module);
}

static const eng_runtime_options wanted = {.n_threads = 2, .gpu = ENG_GPU_WANTED}, never = {.n_threads = 2, .gpu = ENG_GPU_NEVER};
static answer expected;

/* ---------------------------------------------------------------------------------------------------------------- tests */

static void test_no_module(void **state)
{
    eng_runtime *runtime = NULL;
    eng_error error = {0};
    answer a;
    eng_gpu_set_module(NULL);
    setenv("LECTERN_GPU_MODULE", "/nonexistent/lectern-cuda.so", 1);
    assert_int_equal(eng_runtime_new(fake.model, &wanted, &runtime, &error), ENG_UNSUPPORTED);
    assert_null(runtime);
    assert_non_null(strstr(error.message, "/nonexistent/lectern-cuda.so"));
    run_answer(&(eng_runtime_options){.n_threads = 2}, &a); /* as if nothing had been asked for */
    assert_false(a.gpu.active || a.gpu.failed);
    assert_same(&a, &expected);
    clear_answer(&a);
}

static void test_no_device(void **state)
{
    eng_runtime *runtime = NULL;
    eng_error error = {0};
    reset(-1, -1, KERN_GPU_OK);
    fake.no_device = true;
    assert_int_equal(eng_runtime_new(fake.model, &wanted, &runtime, &error), ENG_UNSUPPORTED);
    assert_non_null(strstr(error.message, "no NVIDIA driver"));
    assert_int_equal(fake.opens, 0);
    reset(-1, -1, KERN_GPU_OK);
    fake.open_status = KERN_GPU_NO_MEMORY;
    assert_int_equal(eng_runtime_new(fake.model, &wanted, &runtime, &error), ENG_UNSUPPORTED);
    assert_non_null(strstr(error.message, "Test GPU is not used: the GPU has too little memory"));
    assert_int_equal(fake.closes, 0);
}

static void test_runs(void **state)
{
    answer a;
    reset(-1, -1, KERN_GPU_OK);
    run_answer(&wanted, &a);
    assert_same(&a, &expected);
    assert_true(a.gpu.active && !a.gpu.failed);
    assert_string_equal(a.gpu.name, "Test GPU");
    assert_string_equal(a.gpu.note, "");
    assert_int_equal(a.gpu.weight_bytes, 77);
    assert_int_equal(a.gpu.passes, N_SECTIONS + 1 + REPLY_TOKENS);
    assert_int_equal(fake.forwards, N_SECTIONS + 1 + REPLY_TOKENS);
    assert_int_equal(fake.prefetches, 1);
    assert_int_equal(fake.forgets, N_SECTIONS + 1); /* sections that were read, and the branch */
    assert_int_equal(fake.closes, 1);
    clear_answer(&a);
}

/* Short work does not start a GPU; long work does. */
static void test_opened_when_worth_it(void **state)
{
    answer a;
    eng_runtime *runtime;
    eng_gpu_info gpu;
    uint32_t ids[300] = {0};
    void *pointers[64];
    const eng_model_info *info = eng_model_get_info(fake.model);
    reset(-1, -1, KERN_GPU_OK);
    run_answer(&(eng_runtime_options){.n_threads = 2}, &a);
    assert_int_equal(fake.opens, 0);
    assert_same(&a, &expected);
    clear_answer(&a);
    size_t block_bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, eng_section_capacity(300)).total_bytes;
    uint8_t *memory = aligned_alloc(64, block_bytes * info->n_layers);
    assert_non_null(memory);
    for (uint32_t l = 0; l < info->n_layers; l++) pointers[l] = memory + l * block_bytes;
    assert_int_equal(eng_runtime_new(fake.model, NULL, &runtime, NULL), ENG_OK);
    eng_read_job job = {.ids = ids, .n_tokens = 300, .blocks = pointers, .first_position = UINT32_MAX};
    assert_int_equal(eng_read(runtime, &job, 1, NULL), ENG_OK);
    eng_runtime_get_gpu(runtime, &gpu);
    assert_true(gpu.active && fake.opens == 1 && fake.forwards == 1);
    eng_runtime_free(runtime);
    free(memory);
}

/* Every pass in turn: the device dies (and stays dead), or its memory is too small for that pass alone. */
static void test_fails_in_a_pass(void **state)
{
    for (int i = 0; i < N_SECTIONS + 1 + REPLY_TOKENS; i++) {
        answer a;
        reset(i, -1, KERN_GPU_FAILED);
        run_answer(&wanted, &a);
        assert_same(&a, &expected);
        assert_true(!a.gpu.active && a.gpu.failed);
        assert_int_equal(fake.forwards, i + 1);
        assert_int_equal(fake.closes, 1);
        assert_non_null(strstr(a.gpu.note, "illegal memory access"));
        assert_non_null(strstr(a.gpu.note, "CPU goes on"));
        clear_answer(&a);
        reset(i, -1, KERN_GPU_NO_MEMORY);
        run_answer(&wanted, &a);
        assert_same(&a, &expected);
        assert_true(a.gpu.active && !a.gpu.failed && a.gpu.passes_on_cpu == 1);
        assert_int_equal(fake.forwards, N_SECTIONS + 1 + REPLY_TOKENS);
        assert_int_equal(fake.forgets, N_SECTIONS + 1 + 1); /* and what the CPU wrote to */
        clear_answer(&a);
    }
}

static void test_fails_at_logits(void **state)
{
    for (int i = 0; i < 1 + REPLY_TOKENS; i++) {
        answer a;
        reset(-1, i, KERN_GPU_FAILED);
        run_answer(&wanted, &a);
        assert_same(&a, &expected);
        assert_true(!a.gpu.active && a.gpu.failed);
        assert_int_equal(fake.logits, i + 1);
        clear_answer(&a);
    }
}

static void test_cancelled(void **state)
{
    eng_runtime *runtime;
    eng_error error = {0};
    const bool cancel = true;
    uint32_t ids[4] = {1, 2, 3, 4};
    const float *logits;
    eng_session *session;
    reset(-1, -1, KERN_GPU_OK);
    assert_int_equal(eng_runtime_new(fake.model, &wanted, &runtime, &error), ENG_OK);
    assert_int_equal(eng_session_new(runtime, NULL, 0, 16, &session, &error), ENG_OK);
    eng_runtime_set_cancel(runtime, &cancel);
    assert_int_equal(eng_session_eval(session, ids, 4, &logits, &error), ENG_CANCELLED);
    assert_int_equal(eng_session_n_suffix(session), 0);
    eng_runtime_set_cancel(runtime, NULL);
    assert_int_equal(eng_session_eval(session, ids, 4, &logits, &error), ENG_OK);
    eng_session_free(session);
    eng_runtime_free(runtime);
}

static int set_up(void **state)
{
    eng_error error = {0};
    if (eng_model_random("starter", 8.5f, &fake.model, &error) != ENG_OK || eng_runtime_new(fake.model, &never, &fake.cpu, &error) != ENG_OK) return -1;
    run_answer(&never, &expected);
    return 0;
}

static int tear_down(void **state)
{
    clear_answer(&expected);
    eng_runtime_free(fake.cpu);
    eng_model_close(fake.model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_module), cmocka_unit_test(test_no_device), cmocka_unit_test(test_runs), cmocka_unit_test(test_opened_when_worth_it),
        cmocka_unit_test(test_fails_in_a_pass), cmocka_unit_test(test_fails_at_logits), cmocka_unit_test(test_cancelled),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
