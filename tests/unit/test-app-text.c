/* test-app-text.c: encodings, normalisation, headings, and that every range of text is found again in its source. */
#include "app-fixture.h"

#include "app-encoding.h"
#include "app-headings.h"
#include "select-tests.h"

static AppEncoding probe(const void *bytes, size_t n_bytes, bool *ret_is_text)
{
    AppEncodingProbe probe;
    AppEncoding encoding = APP_ENCODING_UTF8;
    app_encoding_probe_init(&probe);
    for (size_t at = 0; at < n_bytes; at += 3) app_encoding_probe_add(&probe, (const uint8_t *)bytes + at, MIN(n_bytes - at, (size_t)3));
    *ret_is_text = app_encoding_probe_end(&probe, &encoding);
    return encoding;
}

#define PROBE(literal, ret) probe(literal, sizeof(literal) - 1, ret)

static void test_encodings(void **state)
{
    bool is_text;
    assert_int_equal(PROBE("plain", &is_text), APP_ENCODING_UTF8);
    assert_true(is_text);
    assert_int_equal(PROBE("gr\xc3\xbc\xc3\x9f", &is_text), APP_ENCODING_UTF8);
    assert_int_equal(PROBE("gr\xfc\xdf Gott", &is_text), APP_ENCODING_WINDOWS_1252);
    assert_true(is_text);
    assert_int_equal(PROBE("\xff\xfeh\0i\0", &is_text), APP_ENCODING_UTF16LE);
    assert_int_equal(PROBE("\xfe\xff\0h\0i", &is_text), APP_ENCODING_UTF16BE);
    assert_int_equal(PROBE("h\0e\0l\0l\0o\0 \0w\0o\0r\0l\0d\0", &is_text), APP_ENCODING_UTF16LE);
    assert_true(is_text);
    PROBE("\x7f" "ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\x3e\0\1\0\0\0\x60\x7a\0\0\0\0\0\0", &is_text);
    assert_false(is_text);
    /* One broken byte in much UTF-8 is dirt, not another encoding. */
    assert_int_equal(PROBE("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xff", &is_text), APP_ENCODING_UTF8);
}

/* As Python decodes with errors="replace": one U+FFFD for each longest broken part. */
static void test_broken_utf8(void **state)
{
    static const struct {
        const char *bytes;
        uint32_t characters[8];
        size_t n;
    } cases[] = {
        {"a\xff" "b", {'a', 0xfffd, 'b'}, 3},
        {"\xe2\x82", {0xfffd}, 1},
        {"\xe2\x82" "x", {0xfffd, 'x'}, 2},
        {"\xed\xa0\x80", {0xfffd, 0xfffd, 0xfffd}, 3},
        {"\xc0\xaf", {0xfffd, 0xfffd}, 2},
        {"\xf0\x9f\x98\x80", {0x1f600}, 1},
        {"\xf0\x9f\x98", {0xfffd}, 1},
        {"\xf4\x90\x80\x80", {0xfffd, 0xfffd, 0xfffd, 0xfffd}, 4},
        {"\xef\xbb\xbf" "x", {'x'}, 1},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (size_t step = 1; step <= 4; step++) {
            AppDecoder decoder;
            uint32_t to[64];
            size_t n = 0, n_bytes = strlen(cases[i].bytes);
            app_decoder_init(&decoder, APP_ENCODING_UTF8);
            for (size_t at = 0; at < n_bytes; at += step) {
                size_t part = MIN(step, n_bytes - at);
                n += app_decoder_add(&decoder, (const uint8_t *)cases[i].bytes + at, part, false, to + n);
            }
            n += app_decoder_add(&decoder, NULL, 0, true, to + n);
            assert_int_equal(n, cases[i].n);
            assert_memory_equal(to, cases[i].characters, n * sizeof *to);
        }
    }
}

static int64_t add_bytes(const Fixture *fixture, const char *name, const char *bytes, size_t n_bytes)
{
    g_autofree char *path = write_file(fixture, name, bytes, n_bytes);
    return add_path(fixture, path, NULL);
}

#define ADD(fixture, name, literal) add_bytes(fixture, name, literal, sizeof(literal) - 1)

static void assert_text(const Fixture *fixture, int64_t id, const char *wanted)
{
    g_autofree char *text = whole_text(fixture, id);
    assert_string_equal(text, wanted);
}

static void test_forms(void **state)
{
    const Fixture *f = *state;
    assert_text(f, ADD(f, "crlf.txt", "one\r\ntwo\rthree\n"), "one\ntwo\nthree\n");
    assert_text(f, ADD(f, "mark.txt", "\xef\xbb\xbfone"), "one");
    assert_text(f, ADD(f, "utf16.txt", "\xff\xfe" "d\0\xfc\0n\0\x3d\xd8\x00\xde"), "dün\xf0\x9f\x98\x80");
    assert_text(f, ADD(f, "latin.txt", "caf\xe9 \x93quoted\x94 \x80 5"), "café “quoted” € 5");
    assert_text(f, ADD(f, "nfd.txt", "cafe\xcc\x81 \xe2\x84\xab A\xcc\x8a"), "café \xc3\x85 \xc3\x85");
    assert_text(f, ADD(f, "hangul.txt", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab x"), "\xed\x95\x9c x");
    assert_text(f, ADD(f, "feed.txt", "page\fnext\x01" "end of a longer line of text, so that it is not taken for something else"),
                "page\nnext end of a longer line of text, so that it is not taken for something else");
    assert_text(f, ADD(f, "broken.txt", "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xff!"), "äöüäöüäöü\xef\xbf\xbd!");
}

/* The source characters of a UTF-8 or Windows-1252 file as decoded, for comparing. */
static void test_places(void **state)
{
    const Fixture *f = *state;
    static const char source[] = "Title\r\n\r\nA cafe\xcc\x81 on the river.\r\nSecond line \xe2\x84\xab here.\r\n\r\nLast paragraph.\r\n";
    int64_t id = ADD(f, "places.txt", source);
    static const char *const wanted[] = {"A café on", "café", "é", "Second line", "\xc3\x85 here.", "Last paragraph.", "river.\nSecond", "Title"};
    static const char *const original[] = {"A cafe\xcc\x81 on", "cafe\xcc\x81", "e\xcc\x81", "Second line", "\xe2\x84\xab here.",
                                           "Last paragraph.", "river.\r\nSecond", "Title"};
    for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++) {
        bool found = false;
        uint64_t start = 0;
        assert_true(app_library_find_text(f->library, id, wanted[i], 0, &found, &start, NULL));
        assert_true(found);
        g_autoptr(AppPlace) place = app_library_locate(f->library, id, start, start + strlen(wanted[i]), NULL);
        assert_non_null(place);
        const char *from = g_utf8_offset_to_pointer(source, (glong)place->source_start);
        const char *to = g_utf8_offset_to_pointer(source, (glong)place->source_end);
        g_autofree char *quoted = g_strndup(from, (gsize)(to - from));
        if (i != 2) assert_string_equal(quoted, original[i]);
        g_autofree char *whole = whole_text(f, id);
        const char *at = g_utf8_offset_to_pointer(whole, (glong)place->char_start);
        assert_memory_equal(at, wanted[i], strlen(wanted[i]));
    }
}

/* Every pair of borders of a file with all difficulties maps to the source characters that normalise to that text. */
static void test_places_of_all_ranges(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GString) source = g_string_new(NULL);
    static const char *const parts[] = {"plain ", "e\xcc\x81", "\r\n", "\r", "\n", "\xe2\x84\xab", "\xc3\xbc", "\xf0\x9f\x98\x80", "\t", ". "};
    uint32_t seed = 7;
    for (int i = 0; i < 3000; i++) {
        seed = seed * 1664525 + 1013904223;
        g_string_append(source, parts[(seed >> 16) % G_N_ELEMENTS(parts)]);
    }
    int64_t id = add_bytes(f, "all.txt", source->str, source->len);
    g_autofree char *text = whole_text(f, id);
    size_t n_bytes = strlen(text);
    for (size_t trial = 0; trial < 400; trial++) {
        seed = seed * 1664525 + 1013904223;
        size_t start = (seed >> 8) % n_bytes;
        seed = seed * 1664525 + 1013904223;
        size_t end = MIN(n_bytes, start + 1 + (seed >> 8) % 200);
        g_autoptr(AppPlace) place = app_library_locate(f->library, id, start, end, NULL);
        assert_non_null(place);
        const char *from = g_utf8_offset_to_pointer(source->str, (glong)place->source_start);
        const char *to = g_utf8_offset_to_pointer(source->str, (glong)place->source_end);
        g_autofree char *piece = g_strndup(from, (gsize)(to - from));
        g_autofree char *normal = g_utf8_normalize(piece, -1, G_NORMALIZE_NFC);
        g_autoptr(GString) lines = g_string_new(NULL);
        for (const char *p = normal; *p != '\0'; p++) {
            if (*p == '\r') g_string_append_c(lines, '\n');
            if (*p != '\r' && !(*p == '\n' && p > normal && p[-1] == '\r')) g_string_append_c(lines, *p);
        }
        g_autofree char *wanted = g_strndup(text + place->start, place->end - place->start);
        assert_string_equal(lines->str, wanted);
    }
}

static void assert_headings(const Fixture *fixture, int64_t id, const char *wanted)
{
    g_autoptr(GPtrArray) headings = app_library_list_headings(fixture->library, id, NULL);
    g_autoptr(GString) all = g_string_new(NULL);
    g_autofree char *text = whole_text(fixture, id);
    for (guint i = 0; i < headings->len; i++) {
        const AppHeading *heading = g_ptr_array_index(headings, i);
        g_string_append_printf(all, "%u %s\n", heading->level, heading->text);
        assert_true(heading->start <= strlen(text));
    }
    assert_string_equal(all->str, wanted);
}

static void test_book(void **state)
{
    const Fixture *f = *state;
    g_autofree char *path = data_path("treasure.txt");
    int64_t id = add_path(f, path, NULL);
    g_autoptr(AppDocument) document = get_document(f, id);
    assert_string_equal(document->title, "Treasure Island");
    assert_string_equal(document->author, "Robert Louis Stevenson");
    assert_headings(f, id,
                    "1 PART ONE--The Old Buccaneer\n2 CHAPTER 1 - The Old Sea-dog at the \"Admiral Benbow\"\n"
                    "2 CHAPTER 2 - Black Dog Appears and Disappears\n1 PART TWO -- The Sea-cook\n2 CHAPTER 7 - I Go to Bristol\n");
    g_autofree char *file = NULL, *text = whole_text(f, id);
    assert_true(g_file_get_contents(path, &file, NULL, NULL));
    assert_string_equal(text, file); /* verbatim */
}

static void test_gutenberg(void **state)
{
    const Fixture *f = *state;
    g_autofree char *path = data_path("gutenberg.txt");
    int64_t id = add_path(f, path, NULL);
    g_autoptr(AppDocument) document = get_document(f, id);
    assert_string_equal(document->title, "The Time Machine");
    assert_string_equal(document->author, "H. G. Wells");
    assert_string_equal(document->language, "English");
    assert_headings(f, id, "1 Project Gutenberg header\n2 I.\n2 II.\n1 Project Gutenberg license\n");
}

static void test_markdown(void **state)
{
    const Fixture *f = *state;
    g_autofree char *path = data_path("report.md");
    int64_t id = add_path(f, path, NULL);
    g_autoptr(AppDocument) document = get_document(f, id);
    assert_string_equal(document->title, "Annual report 2022");
    assert_string_equal(document->author, "Ibex Logistics");
    assert_string_equal(document->format, "markdown");
    assert_headings(f, id, "1 Annual report 2022\n2 Financial highlights\n2 Setext heading\n3 Deeper\n");
    bool found;
    uint64_t start;
    assert_true(app_library_find_text(f->library, id, "65,773", 0, &found, &start, NULL));
    g_autoptr(AppPlace) place = app_library_locate(f->library, id, start, start + 6, NULL);
    assert_string_equal(place->heading, "Annual report 2022 › Financial highlights");
}

static void test_heading_rules(void **state)
{
    static const struct {
        const char *line;
        bool is_heading;
    } cases[] = {
        {"CHAPTER I", true}, {"Chapter 12: The End of It", true}, {"BOOK ONE: 1805", true}, {"Letter 4", true}, {"EPILOGUE", true},
        {"FIRST EPILOGUE: 1813 - 20", true}, {"Part one of the story was good.", false}, {"Chapter", false}, {"chapter 1", false},
        {"He closed the book.", false}, {"BOOK THE FIRST", true}, {"ACT III", true}, {"PREFACE", true}, {"Prefaces are dull.", false},
        {"1. Introduction", true}, {"3. Out of sequence", false}, {"THE OLD BUCCANEER", true}, {"Revenue | 5 | 6", false},
        {"Book", false}, {"I", true}, {"Appendix B", true},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        AppHeadingState fresh = {0};
        AppHeadingGuess guess = app_heading_guess(&fresh, &cases[i].line, 1);
        if (guess.is_heading != cases[i].is_heading) fail_msg("“%s”", cases[i].line);
    }
    /* A table of contents is no row of headings. */
    const char *contents[] = {"CHAPTER I", "CHAPTER II"};
    AppHeadingState fresh = {0};
    assert_false(app_heading_guess(&fresh, contents, 2).is_heading);
    /* The next numbers count, others do not. */
    const char *one = "1", *two = "2", *seven = "7";
    memset(&fresh, 0, sizeof fresh);
    assert_true(app_heading_guess(&fresh, &one, 1).is_heading);
    assert_false(app_heading_guess(&fresh, &seven, 1).is_heading);
    assert_true(app_heading_guess(&fresh, &two, 1).is_heading);
}

static void test_title_behind_number(void **state)
{
    const Fixture *f = *state;
    int64_t id = ADD(f, "two.txt", "A Book\nby Somebody\n\nCHAPTER I\n\nTHE PERIOD\n\nIt was the best of times, it was the worst of times.\n\nCHAPTER II\n\nThe mail.\n");
    assert_headings(f, id, "1 CHAPTER I – THE PERIOD\n1 CHAPTER II\n");
    g_autofree char *text = whole_text(f, id);
    assert_true(g_str_has_prefix(text, "A Book\nby Somebody\n\nCHAPTER I\n\nTHE PERIOD\n\nIt was"));
}

static void test_refusals(void **state)
{
    const Fixture *f = *state;
    static const struct {
        const char *name, *bytes;
        size_t n_bytes;
        const char *reason;
    } cases[] = {
        {"a.zip", "PK\3\4xxxx", 8, "archive of several files"},
        {"a.bin", "\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7", 16, "not text"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = write_file(f, cases[i].name, cases[i].bytes, cases[i].n_bytes);
        g_autoptr(GError) error = NULL;
        assert_int_equal(app_reader_add_file(f->library, path, NULL, NULL, &error), -1);
        assert_non_null(strstr(error->message, cases[i].name));
        assert_non_null(strstr(error->message, cases[i].reason));
    }
    g_autoptr(GError) error = NULL;
    assert_int_equal(app_reader_add_file(f->library, f->folder, NULL, NULL, &error), -1);
    assert_non_null(strstr(error->message, "folder"));
    assert_int_equal(app_library_count_documents(f->library, 0, NULL), 0);
    /* Nothing in it: a document, but never a readable one. */
    g_autofree char *empty = write_file(f, "empty.txt", "", 0);
    g_autoptr(AppDocument) document = get_document(f, add_path(f, empty, NULL));
    assert_int_equal(document->state, APP_DOCUMENT_NO_TEXT);
    assert_string_not_equal(document->note, "");
}

static void test_promise_23_one_long_line(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GString) line = g_string_new(NULL);
    while (line->len < 3000000) g_string_append(line, "w\xc3\xb6rter ohne Ende ");
    int64_t id = add_bytes(f, "line.txt", line->str, line->len);
    g_autofree char *text = whole_text(f, id);
    assert_string_equal(text, line->str);
}

static void test_promise_23_cancel(void **state)
{
    const Fixture *f = *state;
    bool cancel = true;
    AppAddOptions options = {.cancel = &cancel};
    g_autofree char *path = write_file(f, "a.txt", "some words", 10);
    g_autoptr(GError) error = NULL;
    assert_int_equal(app_reader_add_file(f->library, path, &options, NULL, &error), -1);
    assert_true(g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_CANCELLED));
    assert_int_equal(app_library_count_documents(f->library, 0, NULL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_broken_utf8),
        cmocka_unit_test_setup_teardown(test_forms, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_places_of_all_ranges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_book, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gutenberg, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_markdown, set_up, tear_down),
        cmocka_unit_test(test_heading_rules),
        cmocka_unit_test_setup_teardown(test_title_behind_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_promise_23_one_long_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_promise_23_cancel, set_up, tear_down),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
}
