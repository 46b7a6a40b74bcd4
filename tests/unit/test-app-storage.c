/* Storage as people see it: what a document costs, why its states are not used, pins, removing, the budget, checking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <glib/gstdio.h>
#include <string.h>

#include "app-fixture.h"
#include "app-format.h"
#include "app-model-details.h"
#include "app-reader.h"
#include "app-storage.h"

typedef struct Place {
    char *folder;
    AppLibrary *library;
    AppEngine *engine;
    int64_t document;
} Place;

static int open_place(void **state)
{
    Place *place = g_new0(Place, 1);
    place->folder = g_dir_make_tmp("lectern-storage-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(place->folder, "note.md", NULL);
    assert_true(g_file_set_contents(file, "# A note\n\nThe gardener planted three apple trees in 1805.\n", -1, NULL));
    place->library = app_library_open(place->folder, NULL);
    place->engine = app_engine_open(place->library, NULL, 0, NULL);
    assert_non_null(place->engine);
    place->document = app_reader_add_file(place->library, file, &(AppAddOptions){0}, NULL, NULL);
    assert_true(place->document > 0);
    assert_true(app_reader_read(place->engine, place->document, NULL, NULL, NULL, NULL, NULL));
    *state = place;
    return 0;
}

static int close_place(void **state)
{
    Place *place = *state;
    app_engine_unref(place->engine);
    app_library_unref(place->library);
    remove_tree(place->folder);
    g_free(place->folder);
    g_free(place);
    return 0;
}

static AppDocumentState state_of(const Place *place)
{
    g_autoptr(AppDocument) document = app_library_get_document(place->library, place->document, NULL);
    return document->state;
}

static void a_document_shows_what_it_costs(void **state)
{
    const Place *place = *state;
    g_autoptr(AppStorage) storage = app_storage_open(place->library, NULL);
    g_autoptr(GPtrArray) entries = app_storage_list(storage, place->engine, NULL);
    assert_int_equal(entries->len, 1);
    const AppStorageEntry *entry = entries->pdata[0];
    assert_int_equal(entry->document, place->document);
    assert_true(entry->n_bytes > 0 && entry->n_tokens > 0 && entry->n_sections == 1);
    assert_false(entry->stale);
    assert_false(entry->damaged);
    assert_string_equal(entry->note, "");
    assert_true(app_storage_get_used_bytes(storage) >= entry->n_bytes);
    AppStorageReport report;
    assert_true(app_storage_check(storage, true, false, NULL, NULL, NULL, &report, NULL));
    assert_int_equal(report.n_sections, 1);
    assert_int_equal(report.n_damaged, 0);
    app_storage_report_clear(&report);
}

static void removing_leaves_the_document_unread(void **state)
{
    const Place *place = *state;
    assert_int_equal(state_of(place), APP_DOCUMENT_READY);
    g_autoptr(AppStorage) storage = app_storage_open(place->library, NULL);
    g_autoptr(AppDocument) document = app_library_get_document(place->library, place->document, NULL);
    assert_true(app_storage_remove(storage, document->uid, NULL));
    assert_int_equal(state_of(place), APP_DOCUMENT_NEW);
    g_autoptr(AppDocument) after = app_library_get_document(place->library, place->document, NULL);
    assert_int_equal(after->n_sections_read, 0);
    g_autoptr(GPtrArray) entries = app_storage_list(storage, NULL, NULL);
    assert_int_equal(entries->len, 0);
    /* It can be read again. */
    assert_true(app_reader_read(place->engine, place->document, NULL, NULL, NULL, NULL, NULL));
    assert_int_equal(state_of(place), APP_DOCUMENT_READY);
}

static void a_pinned_document_survives_a_small_budget(void **state)
{
    const Place *place = *state;
    g_autoptr(AppStorage) storage = app_storage_open(place->library, NULL);
    g_autoptr(AppDocument) document = app_library_get_document(place->library, place->document, NULL);
    assert_true(app_storage_set_pinned(storage, document->uid, true, NULL));
    uint64_t freed = 1;
    g_autoptr(GError) error = NULL;
    assert_false(app_storage_set_budget_bytes(storage, 1, &freed, &error)); /* says that what is pinned does not fit */
    assert_non_null(error);
    g_autoptr(GPtrArray) kept = app_storage_list(storage, NULL, NULL);
    assert_int_equal(kept->len, 1);
    assert_true(app_storage_set_pinned(storage, document->uid, false, NULL));
    assert_true(app_storage_set_budget_bytes(storage, 1, &freed, NULL));
    assert_true(freed > 0);
    g_autoptr(GPtrArray) entries = app_storage_list(storage, NULL, NULL);
    assert_int_equal(entries->len, 0);
}

static void a_damaged_file_is_found_and_repaired(void **state)
{
    const Place *place = *state;
    g_autoptr(GError) error = NULL;
    const char *cache = app_library_get_cache_folder(place->library);
    g_autoptr(GDir) dir = g_dir_open(cache, 0, NULL);
    g_autoptr(AppDocument) document = app_library_get_document(place->library, place->document, NULL);
    g_autofree char *path = NULL;
    for (const char *name; path == NULL && (name = g_dir_read_name(dir)) != NULL;) {
        if (strstr(name, document->uid) != NULL) path = g_build_filename(cache, name, NULL);
    }
    assert_non_null(path);
    FILE *file = fopen(path, "r+b");
    fseek(file, -100, SEEK_END);
    long at = ftell(file);
    int byte = 0;
    for (; at > 5000 && byte == 0; at--) { /* a byte of the payload, not of the padding */
        fseek(file, at, SEEK_SET);
        byte = fgetc(file);
    }
    fseek(file, at + 1, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    g_autoptr(AppStorage) storage = app_storage_open(place->library, NULL);
    AppStorageReport report;
    assert_true(app_storage_check(storage, true, false, NULL, NULL, NULL, &report, NULL));
    assert_int_equal(report.n_damaged, 1);
    assert_true(report.findings->len >= 1);
    app_storage_report_clear(&report);
    assert_true(app_storage_check(storage, true, true, NULL, NULL, NULL, &report, &error));
    app_storage_report_clear(&report);
    assert_true(app_storage_check(storage, true, false, NULL, NULL, NULL, &report, NULL));
    assert_int_equal(report.n_damaged, 0);
    app_storage_report_clear(&report);
}

/* Kept untranslated and in parts: whoever reads it later may read another language. */
static void why_reading_failed_is_kept_in_parts(void **state)
{
    const Place *place = *state;
    g_autofree char *file = g_build_filename(place->folder, "other.md", NULL), *folder = g_build_filename(place->folder, "cache", NULL);
    assert_true(g_file_set_contents(file, "# Another\n\nThe gardener felled two pear trees in 1806.\n", -1, NULL));
    int64_t other = app_reader_add_file(place->library, file, &(AppAddOptions){0}, NULL, NULL);
    g_autoptr(AppDocument) first = app_library_get_document(place->library, place->document, NULL);
    g_autoptr(AppDocument) second = app_library_get_document(place->library, other, NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name = g_dir_read_name(dir);
    while (!g_str_has_prefix(name, first->uid)) assert_non_null(name = g_dir_read_name(dir));
    g_autofree char *states = g_strconcat(second->uid, name + strlen(first->uid), NULL), *path = g_build_filename(folder, states, NULL);
    assert_int_equal(g_mkdir(path, 0700), 0);
    g_autoptr(GError) error = NULL;
    assert_false(app_reader_read(place->engine, other, NULL, NULL, NULL, NULL, &error));
    g_autoptr(AppDocument) failed = app_library_get_document(place->library, other, NULL);
    assert_int_equal(failed->state, APP_DOCUMENT_FAILED);
    g_autofree char *parts = g_strdup_printf("cannot open %%s: %%s\x1f%s\x1fIs a directory\x1f", states);
    assert_string_equal(failed->note, parts);
    g_autofree char *text = app_format_note(failed->note);
    assert_string_equal(text, error->message);
}

static void a_model_says_what_it_is(void **state)
{
    const Place *place = *state;
    g_autoptr(AppModelDetails) details = app_model_describe(place->library, NULL, NULL);
    assert_non_null(details);
    assert_string_equal(details->name, "starter");
    assert_int_equal(details->d, 128);
    assert_int_equal(details->k_key, 16);
    assert_true(details->reads_sections && details->quotes_by_itself);
    assert_true(details->cache_bytes_a_token > 1000 && details->cache_bytes_a_token < 10000);
    assert_true(details->n_memory_bytes > details->n_file_bytes);
}

int main(void)
{
    /* Settings of the person who runs this are not for tests. */
    g_autofree char *config = g_dir_make_tmp("lectern-storage-config-XXXXXX", NULL);
    g_setenv("XDG_CONFIG_HOME", config, TRUE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_document_shows_what_it_costs, open_place, close_place),
        cmocka_unit_test_setup_teardown(removing_leaves_the_document_unread, open_place, close_place),
        cmocka_unit_test_setup_teardown(a_pinned_document_survives_a_small_budget, open_place, close_place),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_found_and_repaired, open_place, close_place),
        cmocka_unit_test_setup_teardown(why_reading_failed_is_kept_in_parts, open_place, close_place),
        cmocka_unit_test_setup_teardown(a_model_says_what_it_is, open_place, close_place),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    remove_tree(config);
    return result;
}
