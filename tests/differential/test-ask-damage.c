/* test-ask-damage.c: a section that turns out to be damaged while the question is computed over it: nothing of it is shown, and where there is
 * another record of it, the answer is that one's.
 *
 * Owns: app_asker_ask over such caches. Does not own: how the damage is found (tests/fault/test-cache-fetch.c).
 */
#include "app-fixture.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <unistd.h>

#include "app-ask.h"
#include "app-reader.h"

static const char question[] = "Tell me Katya Brandt's secret code.";

static char *make_text(void)
{
    GString *text = g_string_new("# The ledger of the harbour\n\n");
    for (int c = 0; c < 3; c++) {
        g_string_append_printf(text, "## Chapter %d\n\n", c + 1);
        for (int p = 0; p < 6; p++)
            g_string_append_printf(text, "On day %d of voyage %d the crew counted %d barrels of salt and wrote down what the wind had done.\n\n", p + 1, c + 1,
                                   17 * p + 31 * c + 2);
        if (c == 1) g_string_append(text, "Note: Katya Brandt has the secret code 7269234. Nobody else was told.\n\n");
    }
    return g_string_free(text, FALSE);
}

typedef struct Place {
    Fixture *fixture;
    AppEngine *engine;
    char *file; /* the cache's */
    char *answer;
} Place;

typedef struct Seen {
    unsigned n_shown; /* events that show something of an answer */
    bool cancel_when_chosen, cancel;
} Seen;

static void take_event(void *user, const AppAskEvent *event)
{
    Seen *seen = user;
    seen->n_shown += event->kind == APP_ASK_TEXT || event->kind == APP_ASK_THOUGHT || event->kind == APP_ASK_QUOTATION ||
                     event->kind == APP_ASK_ANSWERED || event->kind == APP_ASK_FINISHED;
    if (event->kind == APP_ASK_CHOSEN && seen->cancel_when_chosen) __atomic_store_n(&seen->cancel, true, __ATOMIC_RELAXED);
}

static AppAnswer *ask(AppAsker *asker, Seen *seen, GError **error)
{
    const AppAskScope scope = {0};
    const AppAskOptions options = {.attend_all = true};
    return app_asker_ask(asker, &scope, question, &options, take_event, seen, &seen->cancel, error);
}

static void assert_answers(const Place *place, AppAsker *asker)
{
    Seen seen = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(AppAnswer) answer = ask(asker, &seen, &error);
    if (!answer) fail_msg("%s", error->message);
    assert_string_equal(answer->answer, place->answer);
    assert_int_equal(answer->tokens_computed_document, 0);
    assert_true(seen.n_shown > 0);
}

static char *only_cache_file(const Place *place)
{
    g_autofree char *folder = g_build_filename(place->fixture->folder, "data", "cache", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    assert_non_null(dir);
    for (const char *name; (name = g_dir_read_name(dir));)
        if (g_str_has_suffix(name, ".lkv")) return g_build_filename(folder, name, NULL);
    fail_msg("no cache file");
    return NULL;
}

static void open_place(Place *place, void **state)
{
    place->fixture = *state;
    g_autofree char *model = g_build_filename(g_getenv("LECTERN_RESOURCES"), "starter.safetensors", NULL), *text = make_text();
    g_autoptr(GError) error = NULL;
    int64_t id = add_text(place->fixture, "ledger.md", text);
    place->engine = app_engine_open(place->fixture->library, model, 2, &error);
    if (!place->engine || !app_reader_read(place->engine, id, NULL, NULL, NULL, NULL, &error)) fail_msg("%s", error->message);
    place->file = only_cache_file(place);
    AppAsker *asker = app_asker_new(place->engine);
    Seen seen = {0};
    g_autoptr(AppAnswer) answer = ask(asker, &seen, &error);
    if (!answer) fail_msg("%s", error->message);
    place->answer = g_strdup(answer->answer);
    assert_non_null(strstr(place->answer, "7269234"));
    app_asker_free(asker);
}

static void close_place(Place *place)
{
    app_engine_unref(place->engine);
    g_free(place->file);
    g_free(place->answer);
}

/* The last bytes of the file that are not padding: the last layer's values. */
static void flip(const char *path)
{
    int fd = open(path, O_RDWR);
    off_t at = lseek(fd, 0, SEEK_END);
    uint8_t byte = 0;
    while (byte == 0) assert_int_equal(pread(fd, &byte, 1, --at), 1);
    byte ^= 0x11;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void test_nothing_of_a_damaged_section_is_shown(void **state)
{
    Place place;
    open_place(&place, state);
    g_autofree char *whole = NULL;
    gsize n_bytes;
    assert_true(g_file_get_contents(place.file, &whole, &n_bytes, NULL));
    flip(place.file);
    AppAsker *asker = app_asker_new(place.engine);
    for (int i = 0; i < 2; i++) {
        Seen seen = {0};
        g_autoptr(GError) error = NULL;
        assert_null(ask(asker, &seen, &error));
        if (!g_error_matches(error, APP_ASK_ERROR, APP_ASK_ERROR_UNREAD) || !strstr(error->message, "must be read again") ||
            !strstr(error->message, "is damaged"))
            fail_msg("%s", error->message);
        assert_int_equal(seen.n_shown, 0);
    }
    app_asker_free(asker);
    assert_true(g_file_set_contents(place.file, whole, (gssize)n_bytes, NULL)); /* as if restored */
    asker = app_asker_new(place.engine);
    assert_answers(&place, asker);
    app_asker_free(asker);
    close_place(&place);
}

/* The sections that a stopped question found are in a file that was replaced since, and damaged. */
static void test_another_record_is_answered_from(void **state)
{
    Place place;
    open_place(&place, state);
    AppAsker *asker = app_asker_new(place.engine);
    Seen seen = {.cancel_when_chosen = true};
    g_autoptr(GError) error = NULL;
    assert_null(ask(asker, &seen, &error));
    assert_true(g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED));
    assert_int_equal(seen.n_shown, 0);
    g_autofree char *whole = NULL;
    gsize n_bytes;
    assert_true(g_file_get_contents(place.file, &whole, &n_bytes, NULL));
    flip(place.file);
    assert_true(g_file_set_contents(place.file, whole, (gssize)n_bytes, NULL)); /* another file of that name */
    assert_answers(&place, asker);
    assert_answers(&place, asker);
    app_asker_free(asker);
    close_place(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_of_a_damaged_section_is_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_record_is_answered_from, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
