/* test-cache-fetch.c: sections that are verified while a question is computed over them (engine/cache-fetch.h): promises 3, 5, 6, 7, 8 on that way.
 *
 * Owns: damage that was there and damage that comes meanwhile, disks that fail, files that are cut or replaced, being cancelled, allocations that
 *       fail, a GPU.
 * Does not own: the same for sections that are verified first (test-cache-damage.c, test-cache-io.c, test-memory.c, test-refused.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache-fixture.h"
#include "fault-allocations.h"
#include "gpu.h"
#include "select-tests.h"

enum { N_SECTIONS = 3, N_QUESTION = 16 };

static const uint32_t section_tokens[N_SECTIONS] = {97, 300, 40};

static struct {
    char *folder; /* with the cache, whole */
    eng_model *model;
    eng_runtime *runtime;
    float *expected; /* logits */
    size_t n_logit_bytes;
    uint64_t offsets[N_SECTIONS + 1]; /* of the records, and the end */
    uint32_t ids[N_SECTIONS][512], question[N_QUESTION];
} all;

/* ----------------------------------------------------------------------------------------- what happens at a reading */

static struct {
    eng_fileops ops;
    int n_reads, at, error_number; /* at: the reading, from 1, that something happens at; 0: none */
    int n_payload_reads;           /* of more than headers */
    void (*happen)(void);
    const char *path;
    int n_populates, populate_fails_at;
    bool cancel;
} disk;

static ssize_t disk_pread(const eng_fileops *ops, int fd, void *data, size_t n_bytes, uint64_t offset)
{
    if (n_bytes > sizeof(eng_cache_file_header)) __atomic_add_fetch(&disk.n_payload_reads, 1, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&disk.n_reads, 1, __ATOMIC_RELAXED) == disk.at) {
        if (disk.happen) disk.happen();
        errno = disk.error_number;
        if (disk.error_number) return -1;
    }
    return eng_fileops_default()->pread(ops, fd, data, n_bytes, offset);
}

static int disk_populate(const eng_fileops *ops, const void *data, size_t n_bytes)
{
    int call = __atomic_add_fetch(&disk.n_populates, 1, __ATOMIC_RELAXED);
    errno = EFAULT;
    if (disk.populate_fails_at && call >= disk.populate_fails_at) return -1; /* from then on: reading ahead has tried it first */
    return eng_fileops_default()->populate(ops, data, n_bytes);
}

static void disk_reset(void)
{
    memset(&disk, 0, sizeof disk);
    disk.ops = *eng_fileops_default();
    disk.ops.pread = disk_pread;
    disk.ops.populate = disk_populate;
}

/* ------------------------------------------------------------------------------------------------------------- asking */

/* A copy of the cache, opened, with its sections. */
typedef struct place {
    char *folder, *path;
    eng_cache *cache;
    eng_store *store;
    eng_section sections[N_SECTIONS];
} place;

static eng_status find(place *p, uint32_t section, eng_verify verify, eng_error *ret_reason)
{
    return eng_store_find(p->store, NULL, all.ids[section], section_tokens[section], verify, &p->sections[section], ret_reason);
}

static void open_place(place *p)
{
    p->folder = fixture_folder_copy(all.folder, true);
    p->path = fixture_only_file(p->folder);
    disk_reset();
    disk.path = p->path;
}

static void find_all(place *p, eng_verify verify)
{
    eng_cache_environment environment = {.ops = &disk.ops};
    assert_int_equal(eng_cache_open_with(p->folder, NULL, &environment, &p->cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(p->cache, all.model, "book", &p->store, NULL), ENG_OK);
    for (uint32_t s = 0; s < N_SECTIONS; s++) {
        eng_error reason = {0};
        if (find(p, s, verify, &reason) != ENG_OK) fail_msg("section %u: %s", s, reason.message);
    }
    disk.n_reads = disk.n_populates = 0;
}

static void close_place(place *p)
{
    eng_store_close(p->store);
    eng_cache_close(p->cache);
    fixture_folder_free(p->folder);
    free(p->path);
}

static eng_session *new_session(const place *p)
{
    eng_session *session;
    assert_int_equal(eng_session_new(all.runtime, p->sections, N_SECTIONS, 64, &session, NULL), ENG_OK);
    return session;
}

/* Of a session whose sections do not hold, or not yet. */
static void assert_gives_nothing_out(const eng_session *session)
{
    eng_session_stats stats;
    const float *mass;
    size_t n_parts;
    eng_session_get_stats(session, &stats);
    assert_true(stats.value_rows == 0 && stats.value_rows_read == 0 && stats.dropped_mass_max == 0);
    for (size_t s = 0; s < N_SECTIONS; s++) {
        eng_session_get_mass(session, s, &mass, &n_parts);
        assert_null(mass);
        assert_int_equal(n_parts, 0);
    }
}

/* ENG_OK with the right logits, or the failure, after which the session says the same again and gives nothing out. */
static eng_status ask(const place *p, eng_error *ret_error)
{
    static const float nothing;
    const float *logits = &nothing;
    eng_session *session = new_session(p);
    eng_session_record_mass(session, true);
    eng_status status = eng_session_eval(session, all.question, N_QUESTION, &logits, ret_error);
    if (status == ENG_OK) {
        assert_memory_equal(logits, all.expected, all.n_logit_bytes);
    } else {
        eng_error again;
        assert_ptr_equal(logits, &nothing);
        assert_int_equal(eng_session_eval(session, all.question, N_QUESTION, &logits, &again), status);
        assert_string_equal(again.message, ret_error->message);
        assert_ptr_equal(logits, &nothing);
        assert_gives_nothing_out(session);
    }
    eng_session_free(session);
    return status;
}

/* After whatever happened: what is whole answers as ever, in this opening or with a damaged section read again by the caller. */
static void assert_asks(place *p)
{
    eng_error error = {0};
    disk.at = disk.populate_fails_at = 0;
    if (ask(p, &error) != ENG_OK) fail_msg("%s", error.message);
}

static int n_reads_of_asking(void)
{
    place p = {0};
    open_place(&p);
    find_all(&p, ENG_VERIFY_LATER);
    assert_asks(&p);
    int n = disk.n_reads;
    close_place(&p);
    assert_true(n >= N_SECTIONS * (int)eng_model_get_info(all.model)->n_layers);
    return n;
}

/* Says, with no byte read again, which sections hold. */
static void assert_known(place *p, uint32_t damaged)
{
    eng_error reason;
    for (uint32_t s = 0; s < N_SECTIONS; s++) {
        int n_before = disk.n_payload_reads;
        eng_status status = find(p, s, ENG_VERIFY_NOW, &reason);
        if (status != (s == damaged ? ENG_MISS : ENG_OK)) fail_msg("section %u: %d", s, status);
        if (s == damaged) assert_non_null(strstr(reason.message, "payload"));
        assert_int_equal(disk.n_payload_reads, n_before);
    }
}

static bool note_entry(void *user, const eng_cache_entry *entry)
{
    *(bool *)user = entry->damaged && strstr(entry->note, "payload");
    return true;
}

/* ----------------------------------------------------------------------------------------------------------------- tests */

static void test_what_holds_is_verified_once(void **state)
{
    place p = {0};
    open_place(&p);
    find_all(&p, ENG_VERIFY_LATER);
    for (uint32_t s = 0; s < N_SECTIONS; s++) assert_non_null(p.sections[s].view);
    assert_asks(&p);
    assert_true(disk.n_reads > 0);
    disk.n_reads = 0;
    assert_asks(&p); /* the same sections again */
    assert_int_equal(disk.n_reads, 0);
    assert_known(&p, N_SECTIONS);
    assert_int_equal(find(&p, 0, ENG_VERIFY_LATER, NULL), ENG_OK);
    assert_null(p.sections[0].view);
    close_place(&p);
}

static void test_promise_06_damage_is_found_before_anything_is_given_out(void **state)
{
    uint64_t begin = all.offsets[1], n_bytes = all.offsets[2] - begin, step = n_bytes / 41 | 1;
    uint64_t first = ENG_CACHE_RECORD_HEADER_BYTES + section_tokens[1] * sizeof(uint32_t); /* behind the ids, which are compared at once */
    for (uint64_t i = first, last = n_bytes - 1; i <= last; i += i < last && i + step > last ? last - i : step) {
        place p = {0};
        eng_error error = {0};
        bool noted = false;
        open_place(&p);
        fixture_file_flip(p.path, begin + i, 1U << i % 8);
        find_all(&p, ENG_VERIFY_LATER);
        if (ask(&p, &error) != ENG_MISS || !strstr(error.message, "payload")) fail_msg("byte %llu: \"%s\"", (unsigned long long)i, error.message);
        assert_int_equal(eng_cache_list(p.cache, note_entry, &noted, NULL), ENG_OK);
        assert_true(noted);
        assert_known(&p, 1);
        close_place(&p);
    }
}

/* Any bytes: of whatever the kernels read, nothing is used as a size or a place. */
static void test_promise_06_garbage_is_computed_over_and_refused(void **state)
{
    const char *names[4];
    size_t n_names = kern_isa_available(names);
    eng_cache_record_layout layout =
        eng_cache_record_layout_of(&(eng_cache_geometry){.format = all.model->info.kv_format, .n_layers = all.model->info.n_layers,
                                                         .n_kv_heads = all.model->info.n_kv_heads}, section_tokens[1]);
    size_t n_bytes = layout.record_bytes - layout.blocks_offset;
    for (unsigned pattern = 0; pattern < 4; pattern++) {
        uint8_t *bytes = malloc(n_bytes);
        uint32_t random = 12345 + pattern;
        for (size_t i = 0; i < n_bytes; i++) {
            random = random * 1664525U + 1013904223U;
            bytes[i] = pattern == 0 ? 0xff : pattern == 1 ? 0x7c : (uint8_t)(random >> 24); /* NaN and infinity as 16-bit scales */
        }
        for (size_t name = 0; name < n_names; name++) {
            place p = {0};
            eng_error error = {0};
            open_place(&p);
            int fd = open(p.path, O_RDWR);
            assert_int_equal(pwrite(fd, bytes, n_bytes, (off_t)(all.offsets[1] + layout.blocks_offset)), n_bytes);
            close(fd);
            const char *usual = kern_isa_name();
            assert_true(kern_isa_force(names[name]));
            find_all(&p, ENG_VERIFY_LATER);
            if (ask(&p, &error) != ENG_MISS) fail_msg("%s, pattern %u: \"%s\"", names[name], pattern, error.message);
            assert_true(kern_isa_force(usual));
            close_place(&p);
        }
        free(bytes);
    }
}

/* Logits of every row are written to the caller's memory. */
static void test_promise_06_every_rows_logits_wait_for_it(void **state)
{
    float *logits = calloc(N_QUESTION, all.n_logit_bytes);
    for (int damaged = 1; damaged >= 0; damaged--) {
        place p = {0};
        open_place(&p);
        if (damaged) fixture_file_flip(p.path, all.offsets[2] - 1, 1);
        find_all(&p, ENG_VERIFY_LATER);
        eng_session *session = new_session(&p);
        assert_int_equal(eng_session_eval_all(session, all.question, N_QUESTION, logits, NULL), damaged ? ENG_MISS : ENG_OK);
        const float *last = logits + (N_QUESTION - 1) * all.n_logit_bytes / sizeof *logits;
        for (size_t i = 0; damaged && i < N_QUESTION * all.n_logit_bytes / sizeof *logits; i++) assert_true(logits[i] == 0);
        if (!damaged) assert_memory_equal(last, all.expected, all.n_logit_bytes);
        eng_session_free(session);
        close_place(&p);
    }
    free(logits);
}

static void flip_the_end(void) { fixture_file_flip(disk.path, all.offsets[N_SECTIONS] - 1, 0x40); }

static void test_promise_06_damage_that_comes_meanwhile(void **state)
{
    int n = n_reads_of_asking();
    for (int at = 1; at <= n - N_SECTIONS; at += 3) { /* the last layer is read by then or not: see below */
        place p = {0};
        eng_error error = {0};
        open_place(&p);
        find_all(&p, ENG_VERIFY_LATER);
        disk.at = at;
        disk.happen = flip_the_end;
        if (ask(&p, &error) != ENG_MISS) fail_msg("at reading %d: \"%s\"", at, error.message);
        assert_known(&p, N_SECTIONS - 1);
        close_place(&p);
    }
}

static void test_promise_03_a_reading_fails(void **state)
{
    int n = n_reads_of_asking();
    for (int at = 1; at <= n; at += 2) {
        place p = {0};
        eng_error error = {0};
        open_place(&p);
        find_all(&p, ENG_VERIFY_LATER);
        disk.at = at;
        disk.error_number = EIO;
        if (ask(&p, &error) != ENG_IO || !strstr(error.message, strrchr(p.path, '/') + 1)) fail_msg("at reading %d: \"%s\"", at, error.message);
        assert_asks(&p);
        close_place(&p);
    }
}

/* A page that could be read and is not there any more, nor can be read again. */
static void test_promise_03_a_page_is_lost(void **state)
{
    place p = {0};
    eng_error error = {0};
    open_place(&p);
    find_all(&p, ENG_VERIFY_LATER);
    disk.populate_fails_at = N_SECTIONS * 4;
    assert_int_equal(ask(&p, &error), ENG_IO);
    assert_asks(&p);
    close_place(&p);
}

static void cut_the_end(void) { assert_int_equal(truncate(disk.path, (off_t)all.offsets[N_SECTIONS] - ENG_CACHE_PAGE_BYTES), 0); }

static void test_promise_07_cut_meanwhile(void **state)
{
    int n = n_reads_of_asking();
    for (int at = 1; at <= n - 3 * N_SECTIONS; at += 2) {
        place p = {0};
        eng_error error = {0};
        open_place(&p);
        find_all(&p, ENG_VERIFY_LATER);
        disk.at = at;
        disk.happen = cut_the_end;
        eng_status status = ask(&p, &error);
        if (status != ENG_MISS && status != ENG_IO) fail_msg("at reading %d: %d \"%s\"", at, status, error.message);
        assert_int_equal(find(&p, N_SECTIONS - 1, ENG_VERIFY_NOW, NULL), ENG_MISS);
        close_place(&p);
    }
}

static void cancel(void) { __atomic_store_n(&disk.cancel, true, __ATOMIC_RELAXED); }

static void test_cancelled_meanwhile(void **state)
{
    int n = n_reads_of_asking();
    for (int at = 1; at <= n; at += 2) {
        place p = {0};
        const float *logits;
        open_place(&p);
        find_all(&p, ENG_VERIFY_LATER);
        disk.at = at;
        disk.happen = cancel;
        eng_runtime_set_cancel(all.runtime, &disk.cancel);
        eng_session *session = new_session(&p);
        eng_session_record_mass(session, true);
        eng_status status = eng_session_eval(session, all.question, N_QUESTION, &logits, NULL);
        if (status != ENG_CANCELLED) fail_msg("at reading %d: %d", at, status);
        assert_int_equal(eng_session_n_suffix(session), 0);
        assert_gives_nothing_out(session);
        assert_in_range(disk.n_reads, at, at + 1); /* at once: another thread may be in one */
        if (at % 4 == 1) { /* goes on where it ended */
            disk.cancel = false;
            assert_int_equal(eng_session_eval(session, all.question, N_QUESTION, &logits, NULL), ENG_OK);
            assert_memory_equal(logits, all.expected, all.n_logit_bytes);
            assert_in_range(disk.n_reads, n, n + N_SECTIONS); /* nothing is read twice */
        }
        eng_session_free(session);
        eng_runtime_set_cancel(all.runtime, NULL);
        close_place(&p);
    }
}

static void test_replaced_before_it_was_verified(void **state)
{
    place p = {0};
    char *command;
    uint32_t other[1] = {7};
    eng_section section;
    eng_session *session;
    eng_error error = {0};
    open_place(&p);
    find_all(&p, ENG_VERIFY_LATER);
    assert_true(asprintf(&command, "cp '%s' '%s.new' && mv '%s.new' '%s'", p.path, p.path, p.path, p.path) > 0);
    assert_int_equal(system(command), 0);
    free(command);
    eng_session *early = new_session(&p); /* over the old file, which is still there for those who have it open */
    assert_int_equal(eng_store_find(p.store, NULL, other, 1, ENG_VERIFY_NOT, &section, NULL), ENG_MISS); /* looks at the new one */
    const float *logits;
    assert_int_equal(eng_session_eval(early, all.question, N_QUESTION, &logits, &error), ENG_MISS);
    assert_non_null(strstr(error.message, "replaced"));
    eng_session_free(early);
    assert_int_equal(eng_session_new(all.runtime, p.sections, N_SECTIONS, 64, &session, &error), ENG_MISS);
    for (uint32_t s = 0; s < N_SECTIONS; s++) assert_int_equal(find(&p, s, ENG_VERIFY_LATER, NULL), ENG_OK);
    assert_asks(&p);
    close_place(&p);
}

/* ------------------------------------------------------------------------------------------------- allocations that fail */

typedef struct cold {
    bool damaged;
    int cancel_at; /* the reading, from 1, that it is cancelled at, and asked again; 0: it is not */
} cold;

/* Asks until it is known whether all sections hold: without one allocation, and cancelled, nothing is lost but the time. The first failure. */
static eng_status ask_until_known(eng_session *session, const cold *c, eng_error *error)
{
    static const float nothing;
    const float *logits = &nothing;
    eng_error reason = {0}, *ret_reason = error;
    eng_status status, first = ENG_OK;
    do {
        status = eng_session_eval(session, all.question, N_QUESTION, &logits, ret_reason);
        if (first == ENG_OK && status == ENG_NO_MEMORY) first = status, ret_reason = &reason;
        if (status != ENG_OK) assert_ptr_equal(logits, &nothing);
        if (status != ENG_OK) assert_gives_nothing_out(session);
        if (status == ENG_CANCELLED) assert_true(c->cancel_at && disk.cancel);
        disk.cancel = false;
    } while (status == ENG_CANCELLED || status == ENG_NO_MEMORY);
    if (status != (c->damaged ? ENG_MISS : ENG_OK)) fail_msg("allocation %llu: %d", (unsigned long long)fault_allocations_failing(), status);
    if (status == ENG_OK) assert_memory_equal(logits, all.expected, all.n_logit_bytes);
    if (status == ENG_MISS) assert_non_null(strstr(ret_reason->message, "payload"));
    return first;
}

static eng_status open_and_ask(place *p, const cold *c, eng_error *error)
{
    eng_cache_environment environment = {.ops = &disk.ops};
    eng_runtime *runtime = NULL;
    eng_session *session = NULL;
    eng_status status = eng_cache_open_with(p->folder, NULL, &environment, &p->cache, error);
    if (status == ENG_OK) status = eng_store_open(p->cache, all.model, "book", &p->store, error);
    for (uint32_t s = 0; s < N_SECTIONS && status == ENG_OK; s++) status = find(p, s, ENG_VERIFY_LATER, error);
    fault_allocations_count(true);
    disk.n_reads = 0;
    disk.at = c->cancel_at;
    disk.happen = cancel;
    if (status == ENG_OK) status = eng_runtime_new(all.model, &(eng_runtime_options){.n_threads = 2, .gpu = ENG_GPU_NEVER}, &runtime, error);
    if (status == ENG_OK) status = eng_session_new(runtime, p->sections, N_SECTIONS, 64, &session, error);
    if (status == ENG_OK) {
        eng_runtime_set_cancel(runtime, &disk.cancel);
        eng_session_record_mass(session, true);
        status = ask_until_known(session, c, error);
        if (status == ENG_OK && c->cancel_at) assert_true(disk.n_reads > c->cancel_at);
    }
    eng_session_free(session);
    eng_runtime_free(runtime);
    eng_store_close(p->store);
    eng_cache_close(p->cache);
    return status;
}

static eng_status work_on_asking(void *user, eng_error *error)
{
    const cold *c = user;
    place p = {0};
    fault_allocations_count(false);
    open_place(&p);
    if (c->damaged) fixture_file_flip(p.path, all.offsets[2] - 1, 1);
    fault_allocations_count(!c->damaged && !c->cancel_at); /* opening is the same for all */
    eng_status status = open_and_ask(&p, c, error);
    fault_allocations_count(false);
    fixture_folder_free(p.folder);
    free(p.path);
    fault_allocations_count(true);
    return status;
}

static void test_promise_05_asking_over_a_cold_cache(void **state)
{
    cold c = {0};
    fault_allocations_every(work_on_asking, &c, 500);
}

static void test_promise_05_asking_over_a_damaged_one(void **state)
{
    cold c = {.damaged = true};
    fault_allocations_every(work_on_asking, &c, 20);
}

static void test_promise_05_asking_that_is_cancelled(void **state)
{
    cold c = {.cancel_at = N_SECTIONS + 2};
    fault_allocations_every(work_on_asking, &c, 20);
}

/* ------------------------------------------------------------------------------------------------------------------ a GPU */

static int n_forwards, cancelled_at;

static size_t gpu_probe(kern_gpu_device *ret_devices, size_t n_max, kern_gpu_error *error)
{
    ret_devices[0] = (kern_gpu_device){.name = "Test GPU", .usable = true, .free_bytes = 1};
    return 1;
}

static kern_gpu_status gpu_open(const kern_gpu_model *model, uint32_t device, uint64_t budget, kern_gpu **ret_gpu, kern_gpu_error *error)
{
    *ret_gpu = (kern_gpu *)&n_forwards;
    return KERN_GPU_OK;
}

static void gpu_close(kern_gpu *gpu) {}

static kern_gpu_status gpu_forward(kern_gpu *gpu, const kern_gpu_segment *segments, size_t n, const bool *stop, kern_gpu_error *error)
{
    if (++n_forwards == cancelled_at) cancel();
    *error = (kern_gpu_error){.status = KERN_GPU_BAD_ARGUMENT, .message = "not this one"};
    return KERN_GPU_BAD_ARGUMENT;
}

static kern_gpu_status gpu_rows(kern_gpu *gpu, size_t first_row, size_t n_rows, float *ret, kern_gpu_error *error) { return KERN_GPU_BAD_ARGUMENT; }

static kern_gpu_status gpu_prefetch(kern_gpu *gpu, const kern_kv_block *sections, size_t n, kern_gpu_error *error)
{
    n_forwards++; /* sections are given away here too */
    return KERN_GPU_OK;
}

static void gpu_forget(kern_gpu *gpu, const void *first_block) {}
static void gpu_get_stats(const kern_gpu *gpu, kern_gpu_stats *ret_stats) { *ret_stats = (kern_gpu_stats){.note = ""}; }

static const kern_gpu_module module = {KERN_GPU_ABI, "test",   gpu_probe, gpu_open,     gpu_close,  gpu_forward,
                                       gpu_rows,     gpu_rows, gpu_prefetch, gpu_forget, gpu_get_stats};

static void use_test_gpu(eng_runtime **ret_runtime)
{
    eng_gpu_set_module(&module);
    assert_int_equal(eng_runtime_new(all.model, &(eng_runtime_options){.n_threads = 2, .gpu = ENG_GPU_WANTED}, ret_runtime, NULL), ENG_OK);
}

/* A question of two passes, the second of which is not run: asked again, it does not stand there twice. */
static void test_cancelled_between_two_passes(void **state)
{
    enum { N_LONG = 520 };
    uint32_t ids[N_LONG];
    float *expected = malloc(all.n_logit_bytes);
    const float *logits;
    eng_runtime *runtime;
    eng_session *session;
    for (uint32_t i = 0; i < N_LONG; i++) ids[i] = (i * 7907 + 11) % 5000;
    assert_int_equal(eng_session_new(all.runtime, NULL, 0, N_LONG, &session, NULL), ENG_OK);
    assert_int_equal(eng_session_eval(session, ids, N_LONG, &logits, NULL), ENG_OK);
    memcpy(expected, logits, all.n_logit_bytes);
    eng_session_free(session);
    use_test_gpu(&runtime);
    disk.cancel = false;
    n_forwards = 0;
    cancelled_at = 2;
    eng_runtime_set_cancel(runtime, &disk.cancel);
    assert_int_equal(eng_session_new(runtime, NULL, 0, N_LONG, &session, NULL), ENG_OK);
    assert_int_equal(eng_session_eval(session, ids, N_LONG, &logits, NULL), ENG_CANCELLED);
    assert_int_equal(eng_session_n_suffix(session), 0);
    disk.cancel = false;
    assert_int_equal(eng_session_eval(session, ids, N_LONG, &logits, NULL), ENG_OK);
    assert_memory_equal(logits, expected, all.n_logit_bytes);
    cancelled_at = 0;
    eng_session_free(session);
    eng_runtime_free(runtime);
    eng_gpu_set_module(NULL);
    free(expected);
}

/* What a GPU gets stays in its memory: only what holds. */
static void test_promise_06_a_gpu_gets_nothing_unverified(void **state)
{
    eng_runtime *cpu = all.runtime;
    eng_error error = {0};
    use_test_gpu(&all.runtime);
    for (int damaged = 1; damaged >= 0; damaged--) {
        place p = {0};
        open_place(&p);
        if (damaged) fixture_file_flip(p.path, all.offsets[2] - 1, 1);
        find_all(&p, ENG_VERIFY_LATER);
        n_forwards = 0;
        assert_int_equal(ask(&p, &error), damaged ? ENG_MISS : ENG_OK);
        assert_int_equal(n_forwards, damaged ? 0 : 1);
        close_place(&p);
    }
    eng_runtime_free(all.runtime);
    eng_gpu_set_module(NULL);
    all.runtime = cpu;
}

/* ------------------------------------------------------------------------------------------------------------------------ */

static int before_all(void **state)
{
    eng_cache *cache;
    eng_store *store;
    eng_section sections[N_SECTIONS];
    eng_session *session;
    const float *logits;
    fault_allocations_begin();
    all.folder = fixture_folder_new();
    if (eng_model_random("starter", 8, &all.model, NULL) != ENG_OK) return -1;
    if (eng_runtime_new(all.model, &(eng_runtime_options){.n_threads = 2, .gpu = ENG_GPU_NEVER}, &all.runtime, NULL) != ENG_OK) return -1;
    assert_int_equal(eng_cache_open(all.folder, NULL, &cache, NULL), ENG_OK);
    assert_int_equal(eng_store_open(cache, all.model, "book", &store, NULL), ENG_OK);
    all.offsets[0] = ENG_CACHE_PAGE_BYTES;
    for (uint32_t s = 0; s < N_SECTIONS; s++) {
        uint32_t n = section_tokens[s];
        eng_record *record;
        for (uint32_t i = 0; i < n; i++) all.ids[s][i] = (s * 7919 + i * 104729 + 17) % 5000;
        assert_int_equal(eng_record_begin(store, NULL, all.ids[s], n, &record, NULL), ENG_OK);
        eng_read_job job = {.ids = all.ids[s], .n_tokens = n, .blocks = eng_record_blocks(record), .first_position = UINT32_MAX};
        assert_int_equal(eng_read(all.runtime, &job, 1, NULL), ENG_OK);
        assert_int_equal(eng_record_commit(record, NULL), ENG_OK);
        all.offsets[s + 1] = all.offsets[s] + eng_record_bytes(all.model, n);
    }
    assert_int_equal(eng_store_sync(store, NULL), ENG_OK);
    for (uint32_t s = 0; s < N_SECTIONS; s++)
        assert_int_equal(eng_store_find(store, NULL, all.ids[s], section_tokens[s], ENG_VERIFY_NOW, &sections[s], NULL), ENG_OK);
    for (uint32_t i = 0; i < N_QUESTION; i++) all.question[i] = (i * 7907 + 3) % 5000;
    assert_int_equal(eng_session_new(all.runtime, sections, N_SECTIONS, 64, &session, NULL), ENG_OK);
    assert_int_equal(eng_session_eval(session, all.question, N_QUESTION, &logits, NULL), ENG_OK);
    all.n_logit_bytes = eng_model_get_info(all.model)->n_vocabulary * sizeof *logits;
    all.expected = malloc(all.n_logit_bytes);
    memcpy(all.expected, logits, all.n_logit_bytes);
    eng_session_free(session);
    eng_store_close(store);
    eng_cache_close(cache);
    return 0;
}

static int after_all(void **state)
{
    eng_runtime_free(all.runtime);
    eng_model_close(all.model);
    fixture_folder_free(all.folder);
    free(all.expected);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_holds_is_verified_once),
        cmocka_unit_test(test_promise_06_damage_is_found_before_anything_is_given_out),
        cmocka_unit_test(test_promise_06_garbage_is_computed_over_and_refused),
        cmocka_unit_test(test_promise_06_every_rows_logits_wait_for_it),
        cmocka_unit_test(test_promise_06_damage_that_comes_meanwhile),
        cmocka_unit_test(test_promise_03_a_reading_fails),
        cmocka_unit_test(test_promise_03_a_page_is_lost),
        cmocka_unit_test(test_promise_07_cut_meanwhile),
        cmocka_unit_test(test_cancelled_meanwhile),
        cmocka_unit_test(test_replaced_before_it_was_verified),
        cmocka_unit_test(test_promise_05_asking_over_a_cold_cache),
        cmocka_unit_test(test_promise_05_asking_over_a_damaged_one),
        cmocka_unit_test(test_promise_05_asking_that_is_cancelled),
        cmocka_unit_test(test_cancelled_between_two_passes),
        cmocka_unit_test(test_promise_06_a_gpu_gets_nothing_unverified),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, before_all, after_all);
}
