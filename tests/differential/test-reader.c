/* test-reader.c: reading with the real model: stopping, going on, the queue, memory, states that do not depend on any of it.
 *
 * Owns: app_reader_read and app_read_queue over a text of some thousand tokens. Does not own: answers (test-ask.c), the cache under
 * failures (tests/fault).
 */
#include "app-fixture.h"

#include <gio/gio.h>

#include "app-engine-internal.h"

enum { SMALL_CHAPTERS = 5, LARGE_CHAPTERS = 22, WAIT_S = 120 };

/* Freed memory that a sanitizer holds back would count as used. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "quarantine_size_mb=4"; }

/* Chapters of about 1,100 tokens, no two alike. */
static char *make_text(size_t n_chapters)
{
    GString *text = g_string_new("# The ledger of the harbour\n\n");
    for (size_t c = 0; c < n_chapters; c++) {
        g_string_append_printf(text, "## Chapter %zu\n\n", c + 1);
        for (size_t p = 0; p < 30; p++)
            g_string_append_printf(text, "On day %zu of voyage %zu the keeper counted %zu barrels of salt and wrote down what the wind had done to the "
                                         "masts of the ships that lay in the bay.\n\n", p + 1, c + 1, 17 * p + 31 * c + 2);
    }
    return g_string_free(text, FALSE);
}

static int64_t add_book(const Fixture *fixture, size_t n_chapters)
{
    g_autofree char *text = make_text(n_chapters);
    return add_text(fixture, "ledger.md", text);
}

static AppEngine *open_engine(AppLibrary *library)
{
    g_autofree char *model = g_build_filename(g_getenv("LECTERN_RESOURCES"), "starter.safetensors", NULL);
    g_autoptr(GError) error = NULL;
    AppEngine *engine = app_engine_open(library, model, 2, &error);
    if (engine == NULL) fail_msg("%s", error->message);
    return engine;
}

/* All states of a document, as one digest for each section. */
static GArray *digest_states(const Fixture *fixture, AppEngine *engine, int64_t id)
{
    const eng_model *model = app_engine_get_model(engine);
    const eng_model_info *info = eng_model_get_info(model);
    const char *rule = app_engine_get_section_rule(engine);
    g_autoptr(AppDocument) document = get_document(fixture, id);
    g_autoptr(GPtrArray) sections = app_library_list_sections(fixture->library, id, rule, NULL);
    assert_non_null(sections);
    GArray *digests = g_array_new(FALSE, TRUE, sizeof(eng_digest));
    eng_error error = {0};
    eng_store *store = NULL;
    assert_int_equal(eng_store_open(app_engine_get_cache(engine), model, document->uid, &store, &error), ENG_OK);
    for (guint i = 0; i < sections->len; i++) {
        const AppSection *section = g_ptr_array_index(sections, i);
        uint32_t n = 0;
        g_autofree uint32_t *ids = app_library_get_section_ids(fixture->library, id, rule, section->ordinal, &n, NULL);
        eng_section found;
        if (eng_store_find(store, NULL, ids, n, true, &found, &error) != ENG_OK) fail_msg("section %u: %s", i, error.message);
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        for (uint32_t l = 0; l < info->n_layers; l++) {
            size_t n_bytes = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, found.blocks[l].capacity).total_bytes;
            g_byte_array_append(bytes, found.blocks[l].data, (guint)n_bytes);
        }
        eng_digest digest;
        eng_sha256(bytes->data, bytes->len, &digest);
        g_array_append_val(digests, digest);
    }
    eng_store_close(store);
    return digests;
}

static void assert_same_states(const GArray *a, const GArray *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len * sizeof(eng_digest));
}

static AppReadResult read_whole(AppEngine *engine, int64_t id)
{
    g_autoptr(GError) error = NULL;
    AppReadResult result = {0};
    if (!app_reader_read(engine, id, NULL, NULL, NULL, &result, &error)) fail_msg("%s", error->message);
    return result;
}

/* Stops once something new was computed. */
typedef struct Stopper {
    bool cancel;
    uint64_t tokens_at_start, tokens_done;
    uint32_t n_calls;
} Stopper;

static void stop_after_a_batch(void *user, const AppReadProgress *progress)
{
    Stopper *stopper = user;
    assert_true(progress->tokens_done <= progress->tokens_total);
    assert_true(progress->tokens_done >= stopper->tokens_done);
    if (stopper->n_calls++ == 0) stopper->tokens_at_start = progress->tokens_done;
    stopper->tokens_done = progress->tokens_done;
    if (progress->tokens_done > stopper->tokens_at_start) __atomic_store_n(&stopper->cancel, true, __ATOMIC_RELAXED);
}

static void test_stopped_reading_goes_on(void **state)
{
    Fixture *fixture = *state;
    int64_t id = add_book(fixture, SMALL_CHAPTERS);
    g_autoptr(AppEngine) engine = open_engine(fixture->library);
    uint64_t n_computed = 0;
    AppReadResult result = {0};
    for (size_t run = 0;; run++) {
        Stopper stopper = {0};
        g_autoptr(GError) error = NULL;
        bool done = app_reader_read(engine, id, &stopper.cancel, stop_after_a_batch, &stopper, &result, &error);
        n_computed += result.n_tokens_computed;
        g_autoptr(AppDocument) document = get_document(fixture, id);
        if (done) {
            assert_int_equal(document->state, APP_DOCUMENT_READY);
            assert_true(run > 0); /* it was stopped at least once */
            break;
        }
        assert_true(g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED));
        assert_int_equal(document->state, APP_DOCUMENT_PAUSED);
        assert_true(result.n_tokens_computed > 0 && run < 2 * SMALL_CHAPTERS);
    }
    assert_int_equal(n_computed, result.n_tokens); /* nothing was computed twice, nothing left out */
    g_autoptr(GArray) resumed = digest_states(fixture, engine, id);

    /* The same text in a library of its own, in one go. */
    Fixture *other;
    assert_int_equal(set_up((void **)&other), 0);
    int64_t other_id = add_book(other, SMALL_CHAPTERS);
    AppEngine *other_engine = open_engine(other->library);
    assert_int_equal(read_whole(other_engine, other_id).n_tokens_computed, result.n_tokens);
    g_autoptr(GArray) whole = digest_states(other, other_engine, other_id);
    assert_same_states(resumed, whole);
    app_engine_unref(other_engine);
    tear_down((void **)&other);
}

static void test_second_process_computes_nothing(void **state)
{
    Fixture *fixture = *state;
    int64_t id = add_book(fixture, SMALL_CHAPTERS);
    AppEngine *engine = open_engine(fixture->library);
    AppReadResult first = read_whole(engine, id);
    assert_int_equal(first.n_tokens_computed, first.n_tokens);
    assert_int_equal(first.n_sections_computed, first.n_sections);
    g_autoptr(GArray) cold = digest_states(fixture, engine, id);
    app_engine_unref(engine);

    /* As after a restart: everything is opened anew. */
    app_library_unref(fixture->library);
    g_autofree char *data = fixture_path(fixture, "data");
    fixture->library = app_library_open(data, NULL);
    assert_non_null(fixture->library);
    engine = open_engine(fixture->library);
    AppReadPlan plan;
    assert_true(app_reader_plan(engine, id, 0, NULL, &plan, NULL));
    assert_int_equal(plan.n_tokens_cached, first.n_tokens);
    assert_int_equal(plan.n_disk_bytes, 0);
    assert_int_equal(read_whole(engine, id).n_tokens_computed, 0);
    g_autoptr(GArray) warm = digest_states(fixture, engine, id);
    assert_same_states(cold, warm);
    app_engine_unref(engine);
}

/* ----------------------------------------------------------------------------------------------------------------- memory */

static uint64_t anonymous_kb(void)
{
    g_autofree char *status = NULL;
    assert_true(g_file_get_contents("/proc/self/status", &status, NULL, NULL));
    const char *line = strstr(status, "RssAnon:");
    assert_non_null(line);
    return g_ascii_strtoull(line + strlen("RssAnon:"), NULL, 10);
}

static void note_memory(void *user, const AppReadProgress *progress)
{
    uint64_t *most_kb = user, now_kb = anonymous_kb();
    *most_kb = MAX(*most_kb, now_kb);
}

/* Four times the text: its states are 50 MB more than those of the first, and none of it is kept in memory. */
static void test_memory_is_bounded(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(AppEngine) engine = open_engine(fixture->library);
    uint64_t most_kb[2] = {0};
    for (size_t i = 0; i < 2; i++) {
        g_autofree char *text = make_text(i ? LARGE_CHAPTERS : SMALL_CHAPTERS);
        int64_t id = add_text(fixture, i ? "large.md" : "small.md", text);
        AppReadResult result;
        assert_true(app_reader_read(engine, id, NULL, note_memory, &most_kb[i], &result, NULL));
        if (i) assert_true(result.n_tokens_computed > 20000);
    }
    assert_true(most_kb[1] < most_kb[0] + 20 * 1024);
}

/* ------------------------------------------------------------------------------------------------------------------ queue */

typedef struct Listener {
    GMutex mutex;
    GCond changed;
    AppReadQueue *queue;
    uint32_t counts[APP_READ_IDLE + 1];
    int64_t document;
    bool stops; /* the document, at its first progress beyond the start */
    uint64_t tokens_at_start, tokens_done, tokens_total;
    uint32_t n_progress;
} Listener;

static void on_event(void *user, const AppReadEvent *event)
{
    Listener *listener = user;
    g_mutex_lock(&listener->mutex);
    if (event->document) listener->document = event->document;
    bool stop = false;
    if (event->kind == APP_READ_PROGRESS) {
        if (listener->n_progress++ == 0) listener->tokens_at_start = event->progress->tokens_done;
        listener->tokens_done = event->progress->tokens_done;
        listener->tokens_total = event->progress->tokens_total;
        stop = listener->stops && listener->tokens_done > listener->tokens_at_start;
    }
    listener->counts[event->kind]++;
    g_cond_broadcast(&listener->changed);
    g_mutex_unlock(&listener->mutex);
    if (stop) app_read_queue_stop_document(listener->queue, event->document);
}

static void wait_for(Listener *listener, AppReadEventKind kind, uint32_t n)
{
    int64_t end = g_get_monotonic_time() + WAIT_S * G_TIME_SPAN_SECOND;
    g_mutex_lock(&listener->mutex);
    while (listener->counts[kind] < n) {
        if (listener->counts[APP_READ_FAILED] || !g_cond_wait_until(&listener->changed, &listener->mutex, end)) {
            g_mutex_unlock(&listener->mutex);
            fail_msg("no event of kind %d", kind);
        }
    }
    g_mutex_unlock(&listener->mutex);
}

static void test_queue_stops_and_goes_on(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *text = make_text(SMALL_CHAPTERS), *path = write_file(fixture, "queued.md", text, strlen(text));
    g_autoptr(AppEngine) engine = open_engine(fixture->library);
    Listener listener = {.stops = true};
    g_mutex_init(&listener.mutex);
    g_cond_init(&listener.changed);
    AppReadQueue *queue = listener.queue = app_read_queue_new(fixture->library, on_event, &listener);
    app_read_queue_set_engine(queue, engine);
    app_read_queue_add_path(queue, path, 0);
    wait_for(&listener, APP_READ_PAUSED, 1);
    g_autoptr(AppDocument) paused = get_document(fixture, listener.document);
    assert_int_equal(paused->state, APP_DOCUMENT_PAUSED);
    uint64_t n_first = listener.tokens_done;
    assert_true(n_first > 0 && n_first < listener.tokens_total);

    g_mutex_lock(&listener.mutex);
    listener.stops = false;
    listener.n_progress = 0;
    g_mutex_unlock(&listener.mutex);
    app_read_queue_add_document(queue, listener.document);
    wait_for(&listener, APP_READ_DONE, 1);
    wait_for(&listener, APP_READ_IDLE, 1);
    app_read_queue_free(queue);
    g_autoptr(AppDocument) done = get_document(fixture, listener.document);
    assert_int_equal(done->state, APP_DOCUMENT_READY);
    assert_int_equal(listener.tokens_done, listener.tokens_total);
    assert_int_equal(read_whole(engine, listener.document).n_tokens_computed, 0);
    g_mutex_clear(&listener.mutex);
    g_cond_clear(&listener.changed);
}

/* Freed in the middle of a document: what is left says so, and the next queue ends it. */
static void test_queue_ends_in_the_middle(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *text = make_text(SMALL_CHAPTERS), *path = write_file(fixture, "queued.md", text, strlen(text));
    g_autoptr(AppEngine) engine = open_engine(fixture->library);
    Listener listener = {0};
    g_mutex_init(&listener.mutex);
    g_cond_init(&listener.changed);
    AppReadQueue *queue = app_read_queue_new(fixture->library, on_event, &listener);
    app_read_queue_set_engine(queue, engine);
    app_read_queue_add_path(queue, path, 0);
    wait_for(&listener, APP_READ_PROGRESS, 1);
    app_read_queue_free(queue);
    g_autoptr(AppDocument) left = get_document(fixture, listener.document);
    assert_int_equal(left->state, APP_DOCUMENT_PAUSED);
    assert_int_equal(listener.counts[APP_READ_DONE], 0);

    queue = app_read_queue_new(fixture->library, on_event, &listener);
    app_read_queue_set_engine(queue, engine);
    app_read_queue_add_document(queue, listener.document);
    wait_for(&listener, APP_READ_DONE, 1);
    app_read_queue_free(queue);
    g_mutex_clear(&listener.mutex);
    g_cond_clear(&listener.changed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stopped_reading_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_second_process_computes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_queue_stops_and_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_queue_ends_in_the_middle, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
