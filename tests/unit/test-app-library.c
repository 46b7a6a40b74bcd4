/* test-app-library.c: documents, duplicates, moved and changed files, search, collections, conversations, privacy. */
#include "app-fixture.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include "app-library-internal.h"
#include "select-tests.h"

static void test_promise_27_private(void **state)
{
    const Fixture *f = *state;
    add_text(f, "a.txt", "Some words of a document.");
    GDir *dir = g_dir_open(app_library_get_folder(f->library), 0, NULL);
    struct stat info;
    const char *name;
    unsigned n = 0;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(app_library_get_folder(f->library), name, NULL);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 077, 0);
        n++;
    }
    g_dir_close(dir);
    assert_true(n >= 1);
    assert_int_equal(stat(app_library_get_folder(f->library), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void test_versions(void **state)
{
    Fixture *f = *state;
    int64_t id = add_text(f, "a.txt", "Words that stay.");
    g_autofree char *folder = g_strdup(app_library_get_folder(f->library)), *path = g_build_filename(folder, "library.sqlite", NULL);
    app_library_unref(f->library);
    f->library = app_library_open(folder, NULL); /* again */
    assert_non_null(f->library);
    g_autofree char *text = whole_text(f, id);
    assert_string_equal(text, "Words that stay.");
    app_library_unref(f->library);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=9999", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    g_autoptr(GError) error = NULL;
    f->library = app_library_open(folder, &error);
    assert_null(f->library);
    assert_true(g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NEWER));
    /* Not a database at all. */
    g_clear_error(&error);
    assert_true(g_file_set_contents(path, "this is no database, but text long enough to be looked at", -1, NULL));
    f->library = app_library_open(folder, &error);
    assert_null(f->library);
    assert_non_null(strstr(error->message, path));
}

static void test_duplicates_and_moves(void **state)
{
    const Fixture *f = *state;
    AppAdded added;
    g_autofree char *first = write_file(f, "first.txt", "The same words.", 15);
    g_autofree char *second = write_file(f, "second.txt", "The same words.", 15);
    int64_t id = add_path(f, first, &added);
    assert_int_equal(added, APP_ADDED_NEW);
    assert_int_equal(add_path(f, first, &added), id);
    assert_int_equal(added, APP_ADDED_UNCHANGED);
    assert_int_equal(add_path(f, second, &added), id);
    assert_int_equal(added, APP_ADDED_DUPLICATE);
    g_remove(first);
    assert_int_equal(add_path(f, second, &added), id);
    assert_int_equal(added, APP_ADDED_MOVED);
    g_autoptr(AppDocument) document = get_document(f, id);
    assert_string_equal(document->source, second);
    assert_int_equal(app_library_count_documents(f->library, 0, NULL), 1);
}

static guint count_hits(const Fixture *f, const char *words)
{
    AppSearch search = {.words = words};
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) hits = app_library_search(f->library, &search, &error);
    if (hits == NULL) fail_msg("%s: %s", words, error->message);
    return hits->len;
}

static void test_changed_file(void **state)
{
    const Fixture *f = *state;
    AppAdded added;
    g_autofree char *path = write_file(f, "book.txt", "Title\n\nAn elephant walks.\n", 26);
    int64_t id = add_path(f, path, NULL);
    int64_t collection = app_library_add_collection(f->library, "Zoo", NULL);
    assert_true(app_library_collection_add(f->library, collection, id, NULL));
    g_autoptr(AppDocument) before = get_document(f, id);
    assert_int_equal(count_hits(f, "elephant"), 1);
    g_autofree char *again = write_file(f, "book.txt", "Title\n\nA zebra runs.\n", 21);
    assert_int_equal(add_path(f, again, &added), id);
    assert_int_equal(added, APP_ADDED_CHANGED);
    g_autoptr(AppDocument) after = get_document(f, id);
    assert_string_equal(after->uid, before->uid);
    assert_string_not_equal(after->source_hash, before->source_hash);
    g_autofree char *text = whole_text(f, id);
    assert_string_equal(text, "Title\n\nA zebra runs.\n");
    assert_int_equal(count_hits(f, "elephant"), 0);
    assert_int_equal(count_hits(f, "zebra"), 1);
    assert_int_equal(app_library_count_documents(f->library, collection, NULL), 1);
    assert_int_equal(app_library_count_documents(f->library, 0, NULL), 1);
}

static void test_references(void **state)
{
    const Fixture *f = *state;
    int64_t a = add_text(f, "a.txt", "Annual Report 2021\n\nProfit rose.\n"), b = add_text(f, "b.txt", "Annual Report 2022\n\nProfit fell.\n");
    int64_t c = add_text(f, "c.txt", "Ärger im Büro\n\nEin Roman.\n");
    g_autofree char *number = g_strdup_printf("%d", (int)b), *path = fixture_path(f, "a.txt");
    g_autoptr(AppDocument) document = get_document(f, c);
    g_autofree char *prefix = g_strndup(document->uid, 8);
    assert_int_equal(app_library_resolve_document(f->library, number, NULL), b);
    assert_int_equal(app_library_resolve_document(f->library, "annual report 2021", NULL), a);
    assert_int_equal(app_library_resolve_document(f->library, "2022", NULL), b);
    assert_int_equal(app_library_resolve_document(f->library, "ärger", NULL), c);
    assert_int_equal(app_library_resolve_document(f->library, "ÄRGER", NULL), c);
    assert_int_equal(app_library_resolve_document(f->library, prefix, NULL), c);
    assert_int_equal(app_library_resolve_document(f->library, path, NULL), a);
    g_autoptr(GError) error = NULL;
    assert_int_equal(app_library_resolve_document(f->library, "Annual", &error), -1);
    assert_true(g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_AMBIGUOUS));
    assert_non_null(strstr(error->message, "Annual Report 2022"));
    g_clear_error(&error);
    assert_int_equal(app_library_resolve_document(f->library, "nothing like it", &error), -1);
    assert_true(g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND));
    g_clear_error(&error);
    assert_int_equal(app_library_resolve_document(f->library, "", &error), -1);
    g_autoptr(GArray) all = app_library_resolve_documents(f->library, "annual*", NULL);
    assert_int_equal(all->len, 2);
}

static void test_search(void **state)
{
    const Fixture *f = *state;
    int64_t a = add_text(f, "a.txt", "The Brook\n\nThe men were fishing in the brook. The trout was large.\n\nA second paragraph about cafés.\n");
    int64_t b = add_text(f, "b.txt", "The Hill\n\nNobody fishes on a hill; trout live in brooks.\n");
    assert_int_equal(count_hits(f, "fishing"), 2); /* stems */
    assert_int_equal(count_hits(f, "cafe"), 1);    /* accents */
    assert_int_equal(count_hits(f, "trout hill"), 1);
    assert_int_equal(count_hits(f, "\"trout was\""), 1);
    assert_int_equal(count_hits(f, "\"was trout\""), 0);
    AppSearch search = {.words = "trout large", .documents = &a, .n_documents = 1};
    g_autoptr(GPtrArray) hits = app_library_search(f->library, &search, NULL);
    assert_int_equal(hits->len, 1);
    const AppHit *hit = g_ptr_array_index(hits, 0);
    assert_int_equal(hit->document, a);
    assert_string_equal(hit->title, "The Brook");
    assert_non_null(strchr(hit->snippet, APP_SNIPPET_OPEN));
    g_autofree char *match = app_library_get_text(f->library, a, hit->match_start, hit->match_end, NULL, NULL);
    assert_string_equal(match, "trout");
    AppSearch any = {.words = "What does a trout do on the hill?", .mode = APP_SEARCH_ANY};
    g_autoptr(GPtrArray) more = app_library_search(f->library, &any, NULL);
    assert_int_equal(more->len, 2);
    assert_int_equal(((const AppHit *)g_ptr_array_index(more, 0))->document, b);
    AppSearch start = {.words = "tro", .prefix = true};
    g_autoptr(GPtrArray) begun = app_library_search(f->library, &start, NULL);
    assert_int_equal(begun->len, 2);
}

/* Nothing that a person can type is a syntax error, or means anything but its words. */
static void test_hostile_words(void **state)
{
    const Fixture *f = *state;
    add_text(f, "a.txt", "Plain words about trout and AND and heading.\n");
    static const char *const words[] = {
        "\"", "\"\"", "\"unclosed trout", "trout AND", "AND", "NOT trout", "(", ")", "trout)", "heading:trout", "text : trout", "*", "tro*",
        "^trout", "trout + words", "NEAR(trout words)", "{heading text}: x", "-trout", "'; DROP TABLE passages; --", "\\", "\xff\xfe", "\x01\x02",
        "trout\"words", "a\"b\"c", "", " ", "🐟", "|", "trout OR", "col:\"x", "\"*", "%s%n",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        for (int mode = APP_SEARCH_ALL; mode <= APP_SEARCH_PHRASE; mode++) {
            for (int prefix = 0; prefix < 2; prefix++) {
                AppSearch search = {.words = words[i], .mode = (AppSearchMode)mode, .prefix = prefix != 0};
                g_autoptr(GError) error = NULL;
                g_autoptr(GPtrArray) hits = app_library_search(f->library, &search, &error);
                if (hits == NULL) fail_msg("“%s”: %s", words[i], error->message);
            }
        }
    }
    g_autofree char *long_words = g_strnfill(100000, 'x');
    count_hits(f, long_words);
    assert_int_equal(count_hits(f, "trout and"), 1);
}

static void test_rename_keeps_search(void **state)
{
    const Fixture *f = *state;
    int64_t id = add_text(f, "a.txt", "Old Name\n\nCHAPTER 1\n\nSome words.\n");
    assert_true(app_library_rename_document(f->library, id, "Quite Another", NULL));
    assert_int_equal(count_hits(f, "another words"), 1);
    assert_int_equal(count_hits(f, "name"), 1); /* in the text itself */
    g_autofree char *head = app_library_get_head_title(f->library, id, NULL);
    assert_string_equal(head, "Old Name"); /* what was read stays valid */
    g_autoptr(AppPlace) place = app_library_locate(f->library, id, 22, 30, NULL);
    assert_string_equal(place->heading, "Quite Another › CHAPTER 1");
    assert_false(app_library_rename_document(f->library, id, "two\nlines", NULL));
    assert_false(app_library_rename_document(f->library, 999, "nobody", NULL));
}

static void test_remove(void **state)
{
    const Fixture *f = *state;
    int64_t id = add_text(f, "a.txt", "Secret xylophone words.\n");
    int64_t other = add_text(f, "b.txt", "Words that stay.\n");
    assert_true(app_library_remove_document(f->library, id, NULL));
    assert_int_equal(count_hits(f, "xylophone"), 0);
    assert_int_equal(count_hits(f, "stay"), 1);
    assert_null(app_library_get_document(f->library, id, NULL));
    assert_false(app_library_remove_document(f->library, id, NULL));
    /* The bytes are gone too, not only the rows. */
    static const char *const files[] = {"library.sqlite", "library.sqlite-wal"};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(app_library_get_folder(f->library), files[i], NULL), *bytes = NULL;
        gsize n_bytes = 0;
        if (!g_file_get_contents(path, &bytes, &n_bytes, NULL)) continue;
        assert_null(memmem(bytes, n_bytes, "xylophon", 8));
    }
    g_autofree char *text = whole_text(f, other);
    assert_string_equal(text, "Words that stay.\n");
}

static void test_collections(void **state)
{
    const Fixture *f = *state;
    int64_t a = add_text(f, "a.txt", "One elephant.\n"), b = add_text(f, "b.txt", "Two elephants.\n");
    int64_t zoo = app_library_add_collection(f->library, "Zoo", NULL);
    assert_int_equal(app_library_add_collection(f->library, "zoo", NULL), zoo);
    assert_true(app_library_collection_add(f->library, zoo, a, NULL));
    assert_true(app_library_collection_add(f->library, zoo, a, NULL)); /* twice is once */
    assert_int_equal(app_library_count_documents(f->library, zoo, NULL), 1);
    AppSearch search = {.words = "elephant", .collection = zoo};
    g_autoptr(GPtrArray) hits = app_library_search(f->library, &search, NULL);
    assert_int_equal(hits->len, 1);
    assert_true(app_library_collection_add(f->library, zoo, b, NULL));
    assert_true(app_library_collection_remove(f->library, zoo, a, NULL));
    g_autoptr(GPtrArray) of = app_library_list_collections_of(f->library, b, NULL);
    assert_int_equal(of->len, 1);
    /* Counted without documents that are still there. */
    assert_int_equal(app_library_count_documents_without(f->library, 0, &b, 1, NULL), 1);
    assert_int_equal(app_library_count_documents_without(f->library, zoo, &a, 1, NULL), 1);
    assert_int_equal(app_library_count_documents_without(f->library, zoo, (const int64_t[]){a, b}, 2, NULL), 0);
    g_autoptr(GPtrArray) without = app_library_list_collections_without(f->library, &b, 1, NULL);
    assert_int_equal(without->len, 1);
    assert_int_equal(((const AppCollection *)g_ptr_array_index(without, 0))->n_documents, 0);
    assert_true(app_library_rename_collection(f->library, zoo, "Menagerie", NULL));
    assert_int_equal(app_library_resolve_collection(f->library, "menagerie", NULL), zoo);
    assert_int_equal(app_library_resolve_collection(f->library, "zoo", NULL), -1);
    assert_true(app_library_remove_document(f->library, b, NULL));
    g_autoptr(GPtrArray) all = app_library_list_collections(f->library, NULL);
    assert_int_equal(((const AppCollection *)g_ptr_array_index(all, 0))->n_documents, 0);
    assert_true(app_library_remove_collection(f->library, zoo, NULL));
    assert_false(app_library_remove_collection(f->library, zoo, NULL));
    assert_int_equal(app_library_add_collection(f->library, "", NULL), -1);
}

static void test_conversations(void **state)
{
    const Fixture *f = *state;
    int64_t document = add_text(f, "a.txt", "The answer is blue.\n");
    int64_t id = app_library_add_conversation(f->library, "Colours", "{\"documents\":[1]}", NULL);
    AppQuotation quotation = {.document = document, .document_title = (char *)"a", .section = 3, .text = (char *)"answer is blue", .start = 4, .end = 18,
                              .char_start = 4, .char_end = 18, .page = UINT32_MAX, .page_label = (char *)"", .verified = true};
    AppTurn turn = {.question = (char *)"What?", .answer = (char *)"Blue", .model = (char *)"starter", .found = true, .quotations = &quotation,
                    .n_quotations = 1, .stats = (char *)"{}"};
    assert_true(app_library_add_turn(f->library, id, &turn, NULL) > 0);
    assert_int_equal(app_library_add_turn(f->library, id + 7, &turn, NULL), -1);
    assert_true(app_library_remove_document(f->library, document, NULL));
    g_autoptr(GPtrArray) turns = app_library_list_turns(f->library, id, NULL);
    assert_int_equal(turns->len, 1);
    const AppTurn *kept = g_ptr_array_index(turns, 0);
    assert_string_equal(kept->answer, "Blue");
    assert_int_equal(kept->n_quotations, 1);
    assert_int_equal(kept->quotations[0].document, 0); /* gone, its words stay */
    assert_string_equal(kept->quotations[0].text, "answer is blue");
    assert_int_equal(kept->quotations[0].page, UINT32_MAX);
    g_autoptr(GPtrArray) list = app_library_list_conversations(f->library, 10, NULL);
    assert_int_equal(((const AppConversation *)g_ptr_array_index(list, 0))->n_turns, 1);
    assert_true(app_library_remove_conversation(f->library, id, NULL));
    g_autoptr(GPtrArray) none = app_library_list_turns(f->library, id, NULL);
    assert_int_equal(none->len, 0);
}

static int64_t add_turn(const Fixture *f, int64_t conversation, const char *question, const char *answer, const AppQuotation *quotation)
{
    AppTurn turn = {.question = (char *)question, .answer = (char *)answer, .model = (char *)"starter", .found = true,
                    .quotations = (AppQuotation *)quotation, .n_quotations = quotation != NULL, .stats = (char *)"{}"};
    int64_t id = app_library_add_turn(f->library, conversation, &turn, NULL);
    assert_true(id > 0);
    return id;
}

static guint count_talk(const Fixture *f, const char *words, bool prefix)
{
    g_autoptr(GPtrArray) hits = app_library_search_conversations(f->library, words, prefix, 0, NULL);
    assert_non_null(hits);
    return hits->len;
}

static void test_conversation_search(void **state)
{
    const Fixture *f = *state;
    int64_t colours = app_library_add_conversation(f->library, "Colours of ships", "{}", NULL);
    int64_t other = app_library_add_conversation(f->library, "Weights", "{}", NULL);
    AppQuotation quotation = {.document_title = (char *)"a", .section = -1, .text = (char *)"the hull was painted vermilion", .page = UINT32_MAX,
                              .page_label = (char *)""};
    int64_t turn = add_turn(f, colours, "What was painted?", "The hull", &quotation);
    add_turn(f, other, "How heavy is the hull?", "Nine tons", NULL);
    assert_int_equal(count_talk(f, "hull", false), 2);
    assert_int_equal(count_talk(f, "hull tons", false), 1); /* all words, in one turn */
    assert_int_equal(count_talk(f, "verm", false), 0);
    assert_int_equal(count_talk(f, "verm", true), 1);
    assert_int_equal(count_talk(f, "\"painted hull\"", false), 0);
    assert_int_equal(count_talk(f, "\"' OR * NEAR(", false), 0); /* no syntax */
    g_autoptr(GPtrArray) hits = app_library_search_conversations(f->library, "vermilion", false, 1, NULL);
    const AppConversationHit *hit = g_ptr_array_index(hits, 0);
    assert_int_equal(hit->conversation, colours);
    assert_int_equal(hit->turn, turn);
    assert_string_equal(hit->question, "What was painted?");
    assert_non_null(strstr(hit->snippet, "\x02vermilion\x03"));
    /* Titles, renamed ones too; what was removed is not found. */
    assert_int_equal(count_talk(f, "ships", false), 1);
    assert_true(app_library_rename_conversation(f->library, colours, "Paint", NULL));
    assert_int_equal(count_talk(f, "ships", false), 0);
    assert_int_equal(count_talk(f, "paint", false), 2); /* the title, and "painted" in the turn */
    assert_int_equal(app_library_resolve_conversation(f->library, "PAINT", NULL), colours);
    assert_int_equal(app_library_resolve_conversation(f->library, "eigh", NULL), other);
    assert_int_equal(app_library_resolve_conversation(f->library, "nothing", NULL), -1);
    assert_true(app_library_remove_conversation(f->library, colours, NULL));
    assert_int_equal(count_talk(f, "paint", false), 0);
    assert_int_equal(count_talk(f, "hull", false), 1);
}

static void test_conversation_export(void **state)
{
    const Fixture *f = *state;
    int64_t document = add_text(f, "a.txt", "Prices\n\nA *starred* price is 5 < 6.\n");
    int64_t id = app_library_add_conversation(f->library, "Prices_of_things", "{}", NULL);
    AppQuotation quotation = {.document = document, .document_title = (char *)"a", .section = 0, .text = (char *)"A *starred* price\nis 5 < 6.",
                              .start = 8, .end = 35, .page = 11, .page_label = (char *)"xii", .verified = true};
    add_turn(f, id, "1. What\nis it?", "**5** dollars", &quotation);
    quotation = (AppQuotation){.document_title = (char *)"Gone", .section = -1, .text = (char *)"- never", .page = UINT32_MAX, .page_label = (char *)""};
    add_turn(f, id, "And then?", "Nothing", &quotation);
    g_autofree char *text = app_conversation_to_markdown(f->library, id, NULL);
    assert_true(g_str_has_prefix(text, "# Prices\\_of\\_things\n\n## 1\\. What is it?\n\n**5** dollars\n\n"
                                       "> A \\*starred\\* price  \n> is 5 \\< 6.\n>\n> — "));
    assert_non_null(strstr(text, ", page xii (verified)\n\n*20"));
    assert_non_null(strstr(text, "starter*\n\n## And then?\n\nNothing\n\n> \\- never\n>\n> — Gone (not found in the document)\n\n*20"));
    assert_true(g_str_has_suffix(text, "starter*\n"));
    GError *error = NULL;
    assert_null(app_conversation_to_markdown(f->library, id + 1, &error));
    assert_true(g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND));
    g_clear_error(&error);
}

static void count_change(void *user, int64_t document)
{
    ++*(int *)user;
}

static void test_watches(void **state)
{
    const Fixture *f = *state;
    int n = 0;
    unsigned watch = app_library_add_watch(f->library, count_change, &n);
    add_text(f, "a.txt", "words");
    assert_true(n >= 1);
    app_library_remove_watch(f->library, watch);
    int before = n;
    add_text(f, "b.txt", "more words");
    assert_int_equal(n, before);
}

/* What another process does is told as well, once; what this one does is not told twice. */
static void test_watches_see_others(void **state)
{
    const Fixture *f = *state;
    add_text(f, "a.txt", "words");
    int n = 0;
    app_library_add_watch(f->library, count_change, &n);
    app_library_look_for_others(f->library);
    assert_int_equal(n, 0);
    AppLibrary *other = app_library_open(app_library_get_folder(f->library), NULL);
    assert_non_null(other);
    app_library_look_for_others(f->library); /* opening may write: there is nothing to assert */
    n = 0;
    int64_t collection = app_library_add_collection(other, "Reports", NULL);
    assert_true(collection > 0);
    assert_int_equal(n, 0);
    app_library_look_for_others(f->library);
    assert_int_equal(n, 1);
    app_library_look_for_others(f->library);
    assert_int_equal(n, 1);
    add_text(f, "b.txt", "more words");
    int before = n;
    app_library_look_for_others(f->library);
    assert_int_equal(n, before);
    assert_true(g_file_test(app_library_get_journal(f->library), G_FILE_TEST_IS_REGULAR));
    app_library_unref(other);
}

/* Passages cover the text exactly once, in order. */
static void test_passages_cover(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GString) text = g_string_new("A Title\n\n");
    uint32_t seed = 3;
    while (text->len < 200000) {
        seed = seed * 1664525 + 1013904223;
        unsigned n_words = 1 + (seed >> 16) % 400;
        for (unsigned i = 0; i < n_words; i++) g_string_append(text, i % 17 == 16 ? "wörd. " : "wörd ");
        g_string_append(text, (seed & 64) != 0 ? "\n\n" : "\n");
    }
    int64_t id = add_text(f, "long.txt", text->str);
    AppDb *db = app_library_begin_read(f->library, NULL);
    sqlite3_stmt *rows = app_db_query(db, NULL, "SELECT start, end, char_start, text FROM passages WHERE document=? ORDER BY start", "i", id);
    int64_t at = 0, chars = 0;
    while (app_db_step(db, rows, NULL) > 0) {
        assert_int_equal(sqlite3_column_int64(rows, 0), at);
        assert_int_equal(sqlite3_column_int64(rows, 2), chars);
        assert_int_equal(sqlite3_column_bytes(rows, 3), sqlite3_column_int64(rows, 1) - at);
        assert_true(sqlite3_column_bytes(rows, 3) <= 3000);
        assert_true(g_utf8_validate((const char *)sqlite3_column_text(rows, 3), -1, NULL));
        chars += g_utf8_strlen((const char *)sqlite3_column_text(rows, 3), -1);
        at = sqlite3_column_int64(rows, 1);
    }
    app_library_end_read(f->library, db);
    assert_int_equal(at, text->len);
}

/* A process that died while it took a file in leaves nothing behind. */
static void test_leftovers(void **state)
{
    Fixture *f = *state;
    AppDb *db = app_library_begin_write(f->library, NULL);
    assert_true(app_db_run(db, NULL, "INSERT INTO documents(uid, title, head_title, path, hash, format, added_s, updated_s, importer)"
                                     " VALUES('dead', '', '', '', '', 'text', 0, 0, '1 12345')", ""));
    int64_t id = sqlite3_last_insert_rowid(app_db_handle(db));
    assert_true(app_db_run(db, NULL, "INSERT INTO passages(document, start, end, char_start, heading, text) VALUES(?, 0, 5, 0, '', 'ghost')", "i", id));
    assert_true(app_library_end_write(f->library, db, true, -1, NULL));
    assert_int_equal(count_hits(f, "ghost"), 0); /* never seen */
    g_autofree char *folder = g_strdup(app_library_get_folder(f->library));
    app_library_unref(f->library);
    f->library = app_library_open(folder, NULL);
    db = app_library_begin_read(f->library, NULL);
    int64_t n = -1;
    assert_true(app_db_get_int(db, NULL, -1, &n, "SELECT count(*) FROM passages", ""));
    app_library_end_read(f->library, db);
    assert_int_equal(n, 0);
}

static gpointer add_many(gpointer user)
{
    const Fixture *f = user;
    for (int i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf("%p-%d.txt", (void *)g_thread_self(), i);
        g_autofree char *text = g_strdup_printf("Document %s\n\nIts words are common.\n", name);
        add_text(f, name, text);
    }
    return NULL;
}

static void test_threads(void **state)
{
    Fixture *f = *state;
    GThread *threads[3];
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) threads[i] = g_thread_new("add", add_many, f);
    for (int i = 0; i < 20; i++) count_hits(f, "common");
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) g_thread_join(threads[i]);
    assert_int_equal(app_library_count_documents(f->library, 0, NULL), 30);
    assert_int_equal(count_hits(f, "common"), 30);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_promise_27_private),      TEST(test_versions),    TEST(test_duplicates_and_moves), TEST(test_changed_file),
        TEST(test_references),   TEST(test_search),      TEST(test_hostile_words),        TEST(test_rename_keeps_search),
        TEST(test_remove),       TEST(test_collections), TEST(test_conversations), TEST(test_conversation_search), TEST(test_conversation_export),        TEST(test_watches),
        TEST(test_watches_see_others),
        TEST(test_passages_cover), TEST(test_leftovers), TEST(test_threads),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
}
