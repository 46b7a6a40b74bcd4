/* test-refused.c: promise 8: after a cache was refused, in part or whole, the next logits are to the last bit those of a process that never
 * saw it.
 *
 * Owns: reading sections in, damage of each kind, reading again what is missing, the logits of a question.
 * Does not own: which damage is noticed (test-cache-damage.c).   test-refused MODEL [PATTERN]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache-fixture.h"
#include "select-tests.h"

enum { N_SECTIONS = 4, N_QUESTION = 12 };

static const char *model_path;
static const uint32_t section_tokens[N_SECTIONS] = {97, 256, 300, 31};

static uint32_t token(uint32_t section, uint32_t i)
{
    return (section * 7919 + i * 104729 + 17) % 5000;
}

/* Finds the sections or reads them in, and asks. Returns how many had to be read; the logits go to ret_logits. */
static unsigned read_and_ask(const char *folder, eng_model *model, float *ret_logits)
{
    const eng_model_info *info = eng_model_get_info(model);
    eng_runtime *runtime;
    eng_cache *cache;
    eng_store *store;
    eng_section sections[N_SECTIONS];
    uint32_t ids[N_SECTIONS][512], question[N_QUESTION];
    unsigned n_read = 0;
    assert_int_equal(eng_runtime_new(model, &(eng_runtime_options){.n_threads = 1}, &runtime, NULL), ENG_OK);
    assert_int_equal(eng_cache_open(folder, NULL, &cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(cache, model, "book", &store, NULL), ENG_OK);
    for (uint32_t s = 0; s < N_SECTIONS; s++) {
        for (uint32_t i = 0; i < section_tokens[s]; i++) ids[s][i] = token(s, i);
        eng_error reason = {0};
        eng_status status = eng_store_find(store, NULL, ids[s], section_tokens[s], true, &sections[s], &reason);
        if (status == ENG_OK) continue;
        assert_int_equal(status, ENG_MISS);
        assert_true(reason.message[0] != 0);
        eng_record *record;
        assert_int_equal(eng_record_begin(store, NULL, ids[s], section_tokens[s], &record, NULL), ENG_OK);
        eng_read_job job = {.ids = ids[s], .n_tokens = section_tokens[s], .blocks = eng_record_blocks(record), .first_position = UINT32_MAX};
        assert_int_equal(eng_read(runtime, &job, 1, NULL), ENG_OK);
        assert_int_equal(eng_record_commit(record, NULL), ENG_OK);
        assert_int_equal(eng_store_find(store, NULL, ids[s], section_tokens[s], true, &sections[s], &reason), ENG_OK);
        n_read++;
    }
    for (uint32_t i = 0; i < N_QUESTION; i++) question[i] = token(99, i);
    eng_session *session;
    const float *logits;
    assert_int_equal(eng_session_new(runtime, sections, N_SECTIONS, 64, &session, NULL), ENG_OK);
    assert_int_equal(eng_session_eval(session, question, N_QUESTION, &logits, NULL), ENG_OK);
    memcpy(ret_logits, logits, info->n_vocabulary * sizeof *logits);
    eng_session_free(session);
    eng_store_close(store);
    eng_cache_close(cache);
    eng_runtime_free(runtime);
    return n_read;
}

/* The same in a process of its own, which leaves its cache in the folder. */
static float *fresh_logits(const char *folder, size_t *ret_n_bytes)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        eng_model *model;
        if (eng_model_open(model_path, NULL, &model, NULL) != ENG_OK) _exit(2);
        size_t n_bytes = eng_model_get_info(model)->n_vocabulary * sizeof(float), done = 0;
        float *logits = malloc(n_bytes);
        if (!logits || read_and_ask(folder, model, logits) != N_SECTIONS) _exit(3);
        for (ssize_t n; done < n_bytes && (n = write(ends[1], (char *)logits + done, n_bytes - done)) > 0;) done += (size_t)n;
        _exit(done != n_bytes);
    }
    close(ends[1]);
    size_t capacity = 1 << 22, n_bytes = 0;
    char *bytes = malloc(capacity);
    assert_non_null(bytes);
    for (ssize_t n; (n = read(ends[0], bytes + n_bytes, capacity - n_bytes)) > 0;) n_bytes += (size_t)n;
    close(ends[0]);
    int result = -1;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
    *ret_n_bytes = n_bytes;
    return (float *)(void *)bytes;
}

static void test_promise_08_logits_after_a_refused_cache(void **state)
{
    (void)state;
    char *cold = fixture_folder_new();
    size_t n_bytes;
    float *expected = fresh_logits(cold, &n_bytes);
    eng_model *model;
    assert_int_equal(eng_model_open(model_path, NULL, &model, NULL), ENG_OK);
    assert_int_equal(n_bytes, eng_model_get_info(model)->n_vocabulary * sizeof(float));
    float *logits = malloc(n_bytes);
    assert_non_null(logits);
    uint64_t second = 4096 + eng_record_bytes(model, section_tokens[0]), third = second + eng_record_bytes(model, section_tokens[1]);
    const struct {
        uint64_t flip, cut; /* 0: not */
        unsigned n_read;
    } damages[] = {
        {0, 0, 0},                                /* none: all comes from the cache */
        {100, 0, N_SECTIONS},                     /* the file's header */
        {second + 20, 0, 1},                      /* a record's header */
        {second + 9000, 0, 1},                    /* values or keys of a record */
        {second + 256, 0, 1},                     /* its token ids */
        {third + 5000, 0, 1},
        {0, third + 4096, 2},                     /* the end is missing */
        {0, 2000, N_SECTIONS},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        char *folder = fixture_folder_copy(cold, true), *path = fixture_only_file(folder);
        if (damages[i].flip) fixture_file_flip(path, damages[i].flip, 0x10);
        if (damages[i].cut) assert_int_equal(truncate(path, (off_t)damages[i].cut), 0);
        for (int again = 0; again < 2; again++) { /* then from what was read again */
            memset(logits, 0, n_bytes);
            assert_int_equal(read_and_ask(folder, model, logits), again ? 0 : damages[i].n_read);
            if (memcmp(logits, expected, n_bytes) != 0) fail_msg("damage %zu: the logits differ", i);
        }
        fixture_folder_free(folder);
        free(path);
    }
    eng_model_close(model);
    fixture_folder_free(cold);
    free(expected);
    free(logits);
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    model_path = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_promise_08_logits_after_a_refused_cache)};
    return RUN_SELECTED_TESTS(tests, argc - 1, argv + 1, NULL, NULL);
}
