/* test-library-faults.c: the library, importing and reading when the process is killed, calls fail, the disk is full or the power fails:
 * promises 1 to 4 above the cache. What was there before is whole afterwards, what was being done is done or not done.
 *
 * Owns: the works, and what is right. The loops over every call, SQLite's and GLib's included, and over states of the disk: fault-work.h.
 * Does not own: the cache alone (test-cache-io.c, test-cache-power.c).
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "app-ask.h"
#include "app-format.h"
#include "app-library-internal.h"
#include "app-reader.h"
#include "eng.h"
#include "fault-memory.h"
#include "fault-work.h"
#include "select-tests.h"

static char *base;                    /* a data folder that holds the kept document, closed */
static char *source_kept, *source_a, *source_b;
static char *text_kept, *text_a, *text_changed, *text_b;
static char *uid_kept;
static uint64_t n_tokens_kept;        /* in the cache */

static char *make_text(const char *subject)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "# The book of %s\n\n", subject);
    for (int i = 0; i < 6; i++)
        g_string_append_printf(text, "## Part %d\n\nIn year %d the keeper of the %s counted %d of them and wrote it down.\n\n| year | %s |\n|---|---|\n| %d | %d |\n\n", i + 1,
                               1800 + i, subject, 7 * i + 3, subject, 1800 + i, 7 * i + 3);
    return g_string_free(text, FALSE);
}

/* The text as the library keeps it. */
static char *kept_text(AppLibrary *library, int64_t document)
{
    return app_library_get_text(library, document, 0, UINT64_MAX, NULL, NULL);
}

static char *import_once(AppLibrary *library, const char *path, const char *text)
{
    assert_true(g_file_set_contents(path, text, -1, NULL));
    int64_t id = app_reader_add_file(library, path, NULL, NULL, NULL);
    assert_true(id > 0);
    return kept_text(library, id);
}

static int set_up_all(void **state)
{
    const char *top = fault_work_top();
    source_kept = g_build_filename(top, "kept.md", NULL);
    source_a = g_build_filename(top, "a.md", NULL);
    source_b = g_build_filename(top, "b.md", NULL);
    g_autofree char *plain_kept = make_text("lamps"), *plain_a = make_text("boats"), *plain_changed = make_text("sails"), *plain_b = make_text("nets");
    /* What the texts look like in a library where nothing goes wrong. */
    g_autofree char *other = fault_work_new_folder();
    AppLibrary *library = app_library_open(other, NULL);
    assert_non_null(library);
    text_b = import_once(library, source_b, plain_b);
    text_changed = import_once(library, source_a, plain_changed);
    text_a = import_once(library, source_a, plain_a);
    app_library_unref(library);
    fault_work_remove(other);
    base = fault_work_new_folder();
    library = app_library_open(base, NULL);
    assert_non_null(library);
    text_kept = import_once(library, source_kept, plain_kept);
    AppEngine *engine = app_engine_open(library, NULL, 1, NULL);
    assert_non_null(engine);
    AppReadResult result;
    assert_true(app_reader_read(engine, 1, NULL, NULL, NULL, &result, NULL));
    n_tokens_kept = result.n_tokens;
    g_autoptr(AppDocument) kept = app_library_get_document(library, 1, NULL);
    uid_kept = g_strdup(kept->uid);
    app_engine_unref(engine);
    app_library_unref(library);
    assert_true(g_file_set_contents(source_a, plain_a, -1, NULL));
    return 0;
}

static int tear_down_all(void **state)
{
    fault_work_end();
    char *texts[] = {base, source_kept, source_a, source_b, text_kept, text_a, text_changed, text_b, uid_kept};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) g_free(texts[i]);
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------------- works */

static bool work_library(const char *folder)
{
    GError *error = NULL;
    AppLibrary *library = app_library_open(folder, &error);
    if (!fault_work_is_clean(library != NULL, &error)) return false;
    if (!library) return true;
    int64_t a = app_reader_add_file(library, source_a, NULL, NULL, &error);
    bool clean = fault_work_is_clean(a >= 0, &error);
    int64_t b = app_reader_add_file(library, source_b, NULL, NULL, &error);
    clean = clean && fault_work_is_clean(b >= 0, &error);
    if (b > 0) {
        bool ok = app_reader_forget(library, b, &error);
        clean = clean && fault_work_is_clean(ok, &error);
    }
    app_library_unref(library);
    return clean;
}

static bool work_reading(const char *folder)
{
    GError *error = NULL;
    AppLibrary *library = app_library_open(folder, &error);
    if (!fault_work_is_clean(library != NULL, &error)) return false;
    if (!library) return true;
    int64_t a = app_reader_add_file(library, source_a, NULL, NULL, &error);
    bool clean = fault_work_is_clean(a >= 0, &error);
    AppEngine *engine = a > 0 ? app_engine_open(library, NULL, 1, &error) : NULL;
    clean = clean && (a < 0 || fault_work_is_clean(engine != NULL, &error));
    if (engine) {
        bool ok = app_reader_read(engine, a, NULL, NULL, NULL, NULL, &error);
        clean = clean && fault_work_is_clean(ok, &error);
        ok = app_reader_forget(library, a, &error);
        clean = clean && fault_work_is_clean(ok, &error);
    }
    app_engine_unref(engine);
    app_library_unref(library);
    return clean;
}

/* ---------------------------------------------------------------------------------------------------------- what is found */

static const char *sql_text(AppDb *db, const char *sql)
{
    static char text[256];
    sqlite3_stmt *row = app_db_query(db, NULL, sql, "");
    g_strlcpy(text, row && app_db_step(db, row, NULL) > 0 ? (const char *)sqlite3_column_text(row, 0) : "no row", sizeof text);
    if (row) sqlite3_reset(row);
    return text;
}

static bool is_one_of(const char *text, const char *const *texts)
{
    for (; *texts; texts++)
        if (g_strcmp0(text, *texts) == 0) return true;
    return false;
}

/* Every document is whole, the kept one (if it has to be) is there, nothing half done takes room. */
static const char *find_in_library(AppLibrary *library, bool wants_kept, bool after_power_failure)
{
    const char *const texts[] = {text_kept, text_a, text_changed, text_b, NULL};
    bool has_kept = false;
    g_autoptr(GPtrArray) documents = app_library_list_documents(library, 0, APP_ORDER_ADDED, 0, 0, NULL);
    if (!documents) return "the documents cannot be listed";
    for (guint i = 0; i < documents->len; i++) {
        const AppDocument *document = documents->pdata[i];
        g_autofree char *text = kept_text(library, document->id);
        if (!is_one_of(text, texts)) return "a document is not whole";
        has_kept = has_kept || g_strcmp0(text, text_kept) == 0;
        if (g_strcmp0(text, text_kept) == 0 && document->state != APP_DOCUMENT_READY) return "the kept document is not ready any more";
    }
    if (wants_kept && !has_kept) return "the kept document is lost";
    AppDb *db = app_library_begin_write(library, NULL);
    if (!db) return "it cannot be written to";
    const char *problem = NULL;
    if (strcmp(sql_text(db, "PRAGMA integrity_check"), "ok") != 0) problem = "the database is damaged";
    if (!app_db_exec(db, "INSERT INTO passages_fts(passages_fts, rank) VALUES('integrity-check', 1)", NULL)) problem = "the search index is not the text's";
    /* The simulated failure does not end the process that imported: its half document looks as if it went on. */
    if (!after_power_failure && strcmp(sql_text(db, "SELECT count(*) FROM documents WHERE importer <> ''"), "0") != 0) problem = "a half imported document is left over";
    if (!app_db_exec(db, "INSERT INTO turns_fts(turns_fts) VALUES('integrity-check')", NULL)) problem = "the conversations' search index is damaged";
    if (strcmp(sql_text(db, "SELECT count(*) FROM passages WHERE document NOT IN (SELECT id FROM documents)"), "0") != 0) problem = "passages of no document";
    if (strcmp(sql_text(db, "SELECT count(*) FROM sections WHERE document NOT IN (SELECT id FROM documents)"), "0") != 0) problem = "sections of no document";
    app_library_end_write(library, db, true, -1, NULL);
    return problem;
}

typedef struct CacheSeen {
    AppLibrary *library;
    bool has_stranger;
    uint64_t n_tokens_kept;
} CacheSeen;


static bool see_entry(void *user, const eng_cache_entry *entry)
{
    CacheSeen *seen = user;
    g_autoptr(AppDocument) document = app_library_get_document_by_uid(seen->library, entry->document, NULL);
    seen->has_stranger = seen->has_stranger || !document;
    if (g_strcmp0(entry->document, uid_kept) == 0) seen->n_tokens_kept += entry->n_tokens;
    return true;
}

/* States in the cache are whole, once the tail that a writer left unfinished is cut off, and of documents of the library: what was removed
 * leaves nothing. Those of the kept document are all there. */
static const char *find_in_cache(AppLibrary *library, bool wants_kept, bool after_power_failure)
{
    eng_cache *cache;
    eng_cache_report report;
    eng_error error;
    if (eng_cache_open(app_library_get_cache_folder(library), NULL, &cache, &error) != ENG_OK) return "the cache cannot be opened";
    CacheSeen seen = {.library = library};
    const char *problem = NULL;
    if (eng_cache_repair(cache, true, NULL, NULL, NULL, NULL, &report, &error) != ENG_OK) problem = "the cache cannot be repaired";
    if (eng_cache_check(cache, true, NULL, NULL, NULL, NULL, &report, &error) != ENG_OK) problem = "the cache cannot be checked";
    else if (report.n_damaged_files || report.n_damaged_records || report.n_missing_files || report.n_orphan_bytes) problem = "the cache is damaged";
    eng_cache_list(cache, see_entry, &seen, NULL);
    if (wants_kept && seen.n_tokens_kept != n_tokens_kept) problem = "states of the kept document are lost";
    if (seen.has_stranger && !after_power_failure) problem = "the cache holds states of a document that is not in the library";
    eng_cache_close(cache);
    return problem;
}

/* What is found there, and that work can go on. */
static const char *find_problem(const char *folder, bool wants_kept, bool after_power_failure)
{
    AppLibrary *library = app_library_open(folder, NULL);
    if (!library) return "the library cannot be opened";
    const char *problem = find_in_library(library, wants_kept, after_power_failure);
    if (!problem) problem = find_in_cache(library, wants_kept, after_power_failure);
    int64_t a = problem ? 0 : app_reader_add_file(library, source_a, NULL, NULL, NULL);
    g_autofree char *text = a > 0 ? kept_text(library, a) : NULL;
    if (!problem && g_strcmp0(text, text_a) != 0) problem = "going on: the document cannot be taken in";
    if (!problem) problem = find_in_library(library, wants_kept, after_power_failure);
    app_library_unref(library);
    return problem;
}

static const char *find_after_calls(const char *folder)
{
    return find_problem(folder, true, false);
}

static const char *find_after_power_failure(const char *folder)
{
    return find_problem(folder, true, true);
}

static const char *find_in_new_after_power_failure(const char *folder)
{
    return find_problem(folder, false, true);
}

enum { N_LEAST = 50 };

static void test_promise_01_killed_while_importing_and_removing(void **state)
{
    fault_work_every_call(work_library, find_after_calls, base, (fault_calls){.exit_instead = true}, N_LEAST);
}

static void test_promise_01_killed_while_reading(void **state)
{
    fault_work_every_call(work_reading, find_after_calls, base, (fault_calls){.exit_instead = true}, N_LEAST);
}

static void test_promise_03_a_call_fails_once(void **state)
{
    fault_work_every_call(work_library, find_after_calls, base, (fault_calls){.error_number = EIO}, N_LEAST);
}

static void test_promise_03_calls_fail_from_there_on(void **state)
{
    fault_work_every_call(work_library, find_after_calls, base, (fault_calls){.error_number = EIO, .fail_on = true}, N_LEAST);
}

/* ------------------------------------------------------------------------------------------------------------ full disk */

static void test_promise_04_full_disk_while_importing(void **state)
{
    fault_work_little_space(work_library, find_after_calls, base, 400000);
}

static void test_promise_04_an_answer_goes_on_and_people_are_told(void **state)
{
    g_autofree char *folder = fault_work_new_folder();
    fault_work_copy(base, folder);
    AppLibrary *library = app_library_open(folder, NULL);
    AppEngine *engine = app_engine_open(library, NULL, 1, NULL);
    AppAsker *asker = app_asker_new(engine);
    const AppAskScope scope = {0};
    AppAskOptions options = {.conversation = app_ask_find_conversation(library, "talk", &scope, NULL)};
    const char *question = "How many lamps did the keeper count in year 1803?";
    g_autoptr(AppAnswer) before = app_asker_ask(asker, &scope, question, &options, NULL, NULL, NULL, NULL);
    assert_non_null(before);
    assert_null(before->not_kept);
    assert_true(before->turn > 0);
    fault = (fault_calls){.folder = folder, .limited = true};
    g_autoptr(GError) error = NULL;
    g_autoptr(AppAnswer) answer = app_asker_ask(asker, &scope, question, &options, NULL, NULL, NULL, &error);
    int64_t added = app_reader_add_file(library, source_b, NULL, NULL, &error);
    fault.folder = NULL;
    assert_non_null(answer);
    assert_string_equal(answer->answer, before->answer);
    assert_int_equal(answer->tokens_computed_document, 0);
    assert_int_equal(answer->turn, 0);
    assert_non_null(answer->not_kept);
    if (!strstr(answer->not_kept, "Free space") || !strstr(answer->not_kept, "full")) fail_msg("%s", answer->not_kept);
    assert_int_equal(added, -1);
    assert_true(g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NO_SPACE));
    if (!strstr(error->message, "Free space")) fail_msg("%s", error->message);
    g_autoptr(AppAnswer) after = app_asker_ask(asker, &scope, question, &options, NULL, NULL, NULL, NULL);
    assert_true(after && after->turn > before->turn);
    app_asker_free(asker);
    app_engine_unref(engine);
    app_library_unref(library);
    const char *problem = find_problem(folder, true, false);
    if (problem) fail_msg("%s", problem);
    fault_work_remove(folder);
}

/* Everything from opening the library on, as `lectern ask` does it. */
static void test_promise_04_a_disk_that_is_full_already_answers(void **state)
{
    g_autofree char *folder = fault_work_new_folder();
    fault_work_copy(base, folder);
    fault = (fault_calls){.folder = folder, .limited = true};
    const AppAskScope scope = {0};
    g_autoptr(GError) error = NULL;
    AppLibrary *library = app_library_open(folder, &error);
    if (!library) fail_msg("%s", error->message);
    assert_int_equal(app_ask_find_conversation(library, "talk", &scope, &error), -1);
    g_autofree char *not_kept = app_ask_take_not_kept(&error);
    if (!not_kept || !strstr(not_kept, "Free space")) fail_msg("%s", not_kept ? not_kept : error->message);
    AppEngine *engine = app_engine_open(library, NULL, 1, &error);
    if (!engine) fail_msg("%s", error->message);
    AppAsker *asker = app_asker_new(engine);
    AppAskOptions options = {.not_kept = not_kept};
    g_autoptr(AppAnswer) answer = app_asker_ask(asker, &scope, "How many lamps did the keeper count in year 1803?", &options, NULL, NULL, NULL, &error);
    if (!answer) fail_msg("%s", error->message);
    assert_true(answer->found && answer->n_evidence > 0 && answer->evidence[0].quotation.verified);
    assert_int_equal(answer->tokens_computed_document, 0);
    assert_string_equal(answer->not_kept, not_kept);
    g_autofree char *each_not_kept = NULL;
    bool stopped;
    g_autoptr(GPtrArray) rows = app_asker_ask_each(asker, &scope, "How many lamps?", &options, NULL, NULL, NULL, &stopped, &each_not_kept, &error);
    assert_true(rows && rows->len == 1);
    assert_string_equal(each_not_kept, not_kept);
    app_asker_free(asker);
    app_engine_unref(engine);
    app_library_unref(library);
    fault.folder = NULL;
    const char *problem = find_problem(folder, true, false);
    if (problem) fail_msg("%s", problem);
    fault_work_remove(folder);
}

/* What people are told to do can be done. */
static void test_promise_04_a_full_disk_is_freed(void **state)
{
    for (int i = 0; i < 2; i++) {
        g_autofree char *folder = fault_work_new_folder(), *cache_folder = g_build_filename(folder, "cache", NULL);
        fault_work_copy(base, folder);
        fault = (fault_calls){.folder = folder, .limited = true};
        AppLibrary *library = app_library_open(folder, NULL);
        assert_non_null(library);
        eng_cache *cache;
        assert_int_equal(eng_cache_open(cache_folder, NULL, &cache, NULL), ENG_OK);
        assert_true(eng_cache_used_bytes(cache) > 1000);
        if (i == 0) { /* a document removed */
            g_autoptr(GError) error = NULL;
            if (!app_reader_forget(library, 1, &error)) fail_msg("%s", error->message);
            assert_int_equal(app_library_count_documents(library, 0, NULL), 0);
        } else { /* the cache's limit lowered */
            uint64_t freed = 0;
            eng_error error;
            if (eng_cache_set_budget(cache, 1000, &freed, &error) != ENG_OK) fail_msg("%s", error.message);
            assert_true(freed > 1000);
            assert_int_equal(eng_cache_get_budget(cache), 1000);
        }
        assert_int_equal(eng_cache_used_bytes(cache), 0);
        assert_true(fault.space_bytes > 0);
        eng_cache_close(cache);
        app_library_unref(library);
        fault.folder = NULL;
        fault_work_remove(folder);
    }
}

/* -------------------------------------------------------------------------------------------------------------- memory */

#ifdef TEST_MEMORY
static void test_promise_05_taking_in_and_removing(void **state)
{
    fault_memory_every(work_library, find_after_calls, base, 240, 2000);
}

/* Asking, as `lectern ask --conversation` does, and all that can be done with what it keeps. The model and the engine are test-memory.c's. */
static bool work_asking(const char *folder)
{
    const AppAskScope scope = {0};
    GError *error = NULL;
    fault_memory_count(false);
    AppLibrary *library = app_library_open(folder, NULL);
    AppEngine *engine = app_engine_open(library, NULL, 1, NULL);
    AppAsker *asker = app_asker_new(engine);
    fault_memory_count(true);
    AppAskOptions options = {.conversation = app_ask_find_conversation(library, "talk", &scope, &error)};
    bool clean = fault_work_is_clean(options.conversation > 0, &error);
    AppAnswer *answer = app_asker_ask(asker, &scope, "How many lamps did the keeper count in year 1803?", &options, NULL, NULL, NULL, &error);
    clean = clean && (!answer || answer->not_kept == NULL || answer->not_kept[0] != 0) && fault_work_is_clean(answer != NULL, &error);
    app_answer_free(answer);
    app_asker_free(asker);
    app_engine_unref(engine);
    app_library_unref(library);
    return clean;
}

static void test_promise_05_asking(void **state)
{
    fault_memory_every(work_asking, find_after_calls, base, 120, 2000);
}

/* A library with a conversation in it. */
static bool work_conversation(const char *folder)
{
    GError *error = NULL;
    AppLibrary *library = app_library_open(folder, &error);
    if (!fault_work_is_clean(library != NULL, &error)) return false;
    if (!library) return true;
    AppQuotation quotation = {.document = 1, .text = (char *)"counted 24 of them", .document_title = (char *)"lamps", .page = UINT32_MAX, .page_label = (char *)"", .verified = true};
    AppTurn turn = {.question = (char *)"How many?", .answer = (char *)"24", .model = (char *)"starter", .found = true, .quotations = &quotation,
                    .n_quotations = 1, .stats = (char *)"{}"};
    int64_t id = app_library_add_conversation(library, "Of lamps", "{}", &error);
    bool clean = fault_work_is_clean(id > 0, &error);
    bool kept = id > 0 && app_library_add_turn(library, id, &turn, &error) > 0;
    clean = clean && (id <= 0 || fault_work_is_clean(kept, &error));
    g_autoptr(GPtrArray) hits = app_library_search_conversations(library, "lamps", true, 0, &error);
    clean = clean && fault_work_is_clean(hits != NULL, &error);
    g_autofree char *markdown = id > 0 ? app_conversation_to_markdown(library, id, &error) : NULL;
    clean = clean && (id <= 0 || fault_work_is_clean(markdown != NULL, &error));
    bool removed = id > 0 && app_library_remove_conversation(library, id, &error);
    clean = clean && (id <= 0 || fault_work_is_clean(removed, &error));
    app_library_unref(library);
    return clean;
}

static void test_promise_05_conversations(void **state)
{
    fault_memory_every(work_conversation, find_after_calls, base, 240, 1000);
}

/* As the desktop's search provider searches. */
static bool work_searching(const char *folder)
{
    GError *error = NULL;
    AppLibrary *library = app_library_open(folder, &error);
    if (!fault_work_is_clean(library != NULL, &error)) return false;
    if (!library) return true;
    const AppSearch words = {.words = "keeper lamps", .prefix = true, .limit = 36}, cell = {.words = "lamps in 1803", .limit = 3};
    g_autoptr(GPtrArray) hits = app_library_search(library, &words, &error);
    bool clean = fault_work_is_clean(hits != NULL, &error);
    for (guint i = 0; hits && i < hits->len; i++) g_free(app_format_snippet(((const AppHit *)hits->pdata[i])->snippet, "", "", false));
    g_autoptr(GPtrArray) values = app_library_find_values(library, &cell, &error);
    clean = clean && fault_work_is_clean(values != NULL, &error);
    g_autoptr(AppDocument) document = app_library_get_document(library, 1, &error);
    clean = clean && fault_work_is_clean(document != NULL, &error);
    app_library_unref(library);
    return clean;
}

static void test_promise_05_searching(void **state)
{
    fault_memory_every(work_searching, find_after_calls, base, 240, 1000);
}
#endif

/* --------------------------------------------------------------------------------------------------------------- power */

static void test_promise_02_power_fails_while_importing_and_removing(void **state)
{
    fault_work_every_power_failure(work_library, find_after_power_failure, base, N_LEAST);
}

static void test_promise_02_power_fails_in_a_new_library(void **state)
{
    fault_work_every_power_failure(work_library, find_in_new_after_power_failure, NULL, N_LEAST);
}

static void test_promise_02_power_fails_while_reading(void **state)
{
    fault_work_every_power_failure(work_reading, find_after_power_failure, base, N_LEAST);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promise_01_killed_while_importing_and_removing),
        cmocka_unit_test(test_promise_01_killed_while_reading),
        cmocka_unit_test(test_promise_02_power_fails_while_importing_and_removing),
        cmocka_unit_test(test_promise_02_power_fails_in_a_new_library),
        cmocka_unit_test(test_promise_02_power_fails_while_reading),
        cmocka_unit_test(test_promise_03_a_call_fails_once),
        cmocka_unit_test(test_promise_03_calls_fail_from_there_on),
        cmocka_unit_test(test_promise_04_full_disk_while_importing),
        cmocka_unit_test(test_promise_04_a_disk_that_is_full_already_answers),
        cmocka_unit_test(test_promise_04_a_full_disk_is_freed),
#ifdef TEST_MEMORY
        cmocka_unit_test(test_promise_05_taking_in_and_removing),
        cmocka_unit_test(test_promise_05_asking),
        cmocka_unit_test(test_promise_05_conversations),
        cmocka_unit_test(test_promise_05_searching),
#endif
        cmocka_unit_test(test_promise_04_an_answer_goes_on_and_people_are_told),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, set_up_all, tear_down_all);
}
