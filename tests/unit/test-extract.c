/* test-extract.c: documents through the locked process: text, tables, places; and what is said about those that cannot be read.
 *
 * The documents are made by tests/fuzz/make-documents.py before the test runs (LECTERN_TEST_DOCUMENTS).
 */
#include "app-extract.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "select-tests.h"

typedef struct Got {
    GString *text;    /* a line for each block: "kind text" */
    GString *labels;  /* of pages */
    GArray *runs;     /* AppExtractRun */
    GString *run_text;
} Got;

static bool on_meta(void *user, const char *key, const char *value, GError **error)
{
    g_string_append_printf(((Got *)user)->text, "%s=%s\n", key, value);
    return true;
}

static bool on_page(void *user, uint32_t index, float width, float height, const char *label, GError **error)
{
    g_string_append_printf(((Got *)user)->labels, "%s,", label);
    return true;
}

static bool on_block(void *user, const AppExtractBlock *block, GError **error)
{
    static const char *const kinds[] = {"", "p", "h", "th", "tr", "li", "fn"};
    Got *got = user;
    g_string_append_printf(got->text, "%s", kinds[block->kind]);
    if (block->level) g_string_append_printf(got->text, "%u", block->level);
    g_string_append_printf(got->text, " %.*s\n", (int)block->n_bytes, block->text);
    g_array_append_vals(got->runs, block->runs, (guint)block->n_runs);
    g_string_append_len(got->run_text, block->text, (gssize)block->n_bytes);
    return true;
}

static const AppExtractSink sink = {.meta = on_meta, .page = on_page, .block = on_block};

static char *document_path(const char *name)
{
    return g_build_filename(g_getenv("LECTERN_TEST_DOCUMENTS"), name, NULL);
}

static void got_free(Got *got)
{
    g_string_free(got->text, TRUE);
    g_string_free(got->labels, TRUE);
    g_string_free(got->run_text, TRUE);
    g_array_unref(got->runs);
    g_free(got);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Got, got_free)

static Got *extract(const char *name, const AppExtractOptions *options, const bool *cancel, GError **error)
{
    Got *got = g_new0(Got, 1);
    got->text = g_string_new(NULL);
    got->labels = g_string_new(NULL);
    got->run_text = g_string_new(NULL);
    got->runs = g_array_new(FALSE, FALSE, sizeof(AppExtractRun));
    g_autofree char *path = document_path(name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    bool is_done = app_extract_run(fd, name, options, cancel, &sink, got, error);
    close(fd);
    assert_int_equal(is_done, *error == NULL);
    return got;
}

static Got *extract_well(const char *name)
{
    g_autoptr(GError) error = NULL;
    Got *got = extract(name, NULL, NULL, &error);
    if (error) fail_msg("%s", error->message);
    return got;
}

static void assert_holds(const Got *got, const char *lines)
{
    if (!strstr(got->text->str, lines)) fail_msg("expected:\n%s\nin:\n%s", lines, got->text->str);
}

static void assert_lacks(const Got *got, const char *words)
{
    if (strstr(got->text->str, words)) fail_msg("not expected: %s\nin:\n%s", words, got->text->str);
}

/* --------------------------------------------------------------------------------------------------------------- PDF */

static void test_pdf_table(void **state)
{
    g_autoptr(Got) got = extract_well("table.pdf");
    assert_holds(got, "title=Northwind Report\nauthor=N. Wind\n");
    assert_holds(got, "h1 Consolidated Statements of Operations\nth Years ended\nth June 30, 2022 | June 30, 2021\ntr Net sales:\n"
                      "tr Products | $1,234 | $1,111\ntr Services | 567 | (88)\ntr Total net sales | 1,801 | 1,023\n");
    /* The heads stand again where the table goes on. */
    assert_holds(got, "th June 30, 2022 | June 30, 2021\ntr Operating income | 321 | 300\ntr Net income | $99 | $87\n");
    assert_lacks(got, "annual report"); /* the running header */
    assert_string_equal(got->labels->str, "i,ii,1,");
}

static void test_pdf_boxes(void **state)
{
    g_autoptr(Got) got = extract_well("table.pdf");
    size_t at = 0;
    bool is_found = false;
    for (guint i = 0; i < got->runs->len; i++) {
        const AppExtractRun *run = &g_array_index(got->runs, AppExtractRun, i);
        if (run->kind == EX_RUN_BOX && strncmp(got->run_text->str + at, "1,801", 5) == 0) {
            is_found = true;
            assert_int_equal(run->page, 0);
            /* Right-aligned at 370, on the line whose baseline is 176 points below the top. */
            assert_true(run->x1 > 340 && run->x1 < 380 && run->y0 > 160 && run->y1 < 185);
        }
        at += run->n_bytes;
    }
    assert_true(is_found);
}

/* Where a word stands; false: nowhere. */
static bool find_box(const Got *got, const char *word, AppExtractRun *ret_run)
{
    size_t at = 0;
    for (guint i = 0; i < got->runs->len; i++) {
        const AppExtractRun *run = &g_array_index(got->runs, AppExtractRun, i);
        if (run->kind == EX_RUN_BOX && run->n_bytes == strlen(word) && strncmp(got->run_text->str + at, word, run->n_bytes) == 0) {
            *ret_run = *run;
            return true;
        }
        at += run->n_bytes;
    }
    return false;
}

/* The font names its ligatures U+0000, which poppler leaves out: they are seen on the page, and words have the place of all their letters. */
static void test_pdf_ligatures(void **state)
{
    g_autoptr(Got) got = extract_well("ligatures.pdf");
    assert_holds(got, "the financial results of the first half of this year are for all of us a matter of significant relief for the fleet of our firm "
                      "and the effect of different offices for those of the staff baffles us for want of a proof of cash flow for each of four");
    assert_lacks(got, "\xEF\xAC"); /* ligatures as such */
    /* Of eleven points, a letter has 0.52 em, an i and an l 0.25, a space 0.26, fi 0.58 and ff 0.66. */
    AppExtractRun run;
    assert_true(find_box(got, "financial", &run));
    assert_true(fabs(run.x0 - 92.02) < 0.3 && fabs(run.x1 - 132.5) < 0.3);
    assert_true(find_box(got, "significant", &run));
    assert_true(fabs(run.x1 - run.x0 - (7 * 0.52 + 2 * 0.25 + 0.58) * 11) < 0.3);
    assert_true(find_box(got, "staff", &run));
    assert_true(fabs(run.x1 - run.x0 - (3 * 0.52 + 0.66) * 11) < 0.3);
}

/* A footnote comes with its page, before what the page's last paragraph goes on with. */
static void test_pdf_notes(void **state)
{
    g_autoptr(Got) got = extract_well("notes.pdf");
    const char *first = strstr(got->text->str, "\np 1 The first note, on page one"), *second = strstr(got->text->str, "\np 2 The second note");
    assert_true(first != NULL && second > first);
    const char *between = strstr(first + 3, "\np ");
    assert_true(between != NULL && between < second); /* page two's text */
}

static void test_pdf_columns(void **state)
{
    g_autoptr(Got) got = extract_well("columns.pdf");
    assert_holds(got, "h1 A Paper in Two Columns\n");
    assert_holds(got, "this line ends with an example of a word that the column divides.");
    assert_lacks(got, " | ");
}

static void test_pdf_password(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Got) none = extract("encrypted.pdf", NULL, NULL, &error);
    assert_true(g_error_matches(error, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_PASSWORD));
    assert_non_null(strstr(error->message, "encrypted.pdf: it is encrypted and needs a password"));
    g_clear_error(&error);
    g_autoptr(Got) wrong = extract("encrypted.pdf", &(AppExtractOptions){.password = "open barley"}, NULL, &error);
    assert_true(g_error_matches(error, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_PASSWORD));
    assert_non_null(strstr(error->message, "not the right one"));
    g_clear_error(&error);
    g_autoptr(Got) right = extract("encrypted.pdf", &(AppExtractOptions){.password = "open sesame"}, NULL, &error);
    assert_null(error);
    assert_holds(right, "p The secret text.\n");
}

/* -------------------------------------------------------------------------------------------------------------- books */

/* The lines of a book as the excerpt has them. */
static void assert_book(const char *name)
{
    g_autoptr(Got) got = extract_well(name);
    assert_holds(got, "title=A Small Book\n");
    g_autofree char *path = document_path("book.expected");
    g_autofree char *expected = NULL;
    assert_true(g_file_get_contents(path, &expected, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(expected, "\n", -1);
    const char *at = got->text->str;
    unsigned n_chapters = 0;
    for (char **line = lines; *line && **line; line++) {
        bool is_title = g_str_has_prefix(*line, "CHAPTER");
        g_autofree char *wanted = g_strdup_printf("\n%s %s\n", is_title ? "h1" : "p", *line);
        const char *found = strstr(at, wanted);
        if (!found) fail_msg("not in its place in %s: %s", name, wanted);
        at = found + strlen(wanted) - 1;
        n_chapters += is_title;
    }
    assert_int_equal(n_chapters, 3);
    assert_lacks(got, "not text");
    assert_lacks(got, "Wrong list");
}

static void test_epub3(void **state)
{
    assert_book("book3.epub");
    g_autoptr(Got) got = extract_well("book3.epub");
    assert_holds(got, "fn A note & its café\xC2\xA0€.\n");
}

static void test_epub2(void **state)
{
    assert_book("book2.epub");
}

/* ------------------------------------------------------------------------------------------------------ HTML and office */

static void test_filing(void **state)
{
    g_autoptr(Got) got = extract_well("filing.htm");
    assert_holds(got, "h1 PART II\nh2 Item 8. Financial Statements\nh3 CONSOLIDATED STATEMENTS OF OPERATIONS\nth Years ended\n"
                      "th June 30, 2022 | June 30, 2021\ntr Net sales | $394,328 | $365,817\ntr Other income/(expense),\xC2\xA0net | (334) | 258\n"
                      "tr Margin | 43.3% | 41.8%\nli • First point\nli • Second point\np Prices < 5 & more.\n");
    assert_lacks(got, "hidden fact");
    assert_lacks(got, "never");
    assert_holds(got, "company=Northwind Traders, Inc.\nform=10-K\nperiod=2022\n");
    assert_holds(got, "head=NORTHWINDTRADERS 2022 10K\n");
}

/* Every character that claims a place is the character there, or an entity or white space that stands for it. */
static void test_html_places(void **state)
{
    g_autofree char *path = document_path("filing.htm");
    g_autofree char *source = NULL;
    gsize n = 0;
    assert_true(g_file_get_contents(path, &source, &n, NULL));
    g_autoptr(Got) got = extract_well("filing.htm");
    size_t at = 0, n_checked = 0;
    for (guint i = 0; i < got->runs->len; i++) {
        const AppExtractRun *run = &g_array_index(got->runs, AppExtractRun, i);
        const char *text = got->run_text->str + at;
        uint64_t place = run->source_char; /* the file is ASCII: a character is a byte */
        for (const char *p = text; run->kind == EX_RUN_SOURCE && p < text + run->n_bytes; p = g_utf8_next_char(p), place++) {
            assert_true(place < n);
            char there = source[place];
            bool is_same = there == *p || there == '&' || (*p == ' ' && g_ascii_isspace(there));
            if (!is_same) fail_msg("%.*s is not at %u: %.10s", (int)run->n_bytes, text, (unsigned)run->source_char, source + run->source_char);
            n_checked++;
        }
        at += run->n_bytes;
    }
    assert_true(n_checked > 200);
}

static void test_encoding(void **state)
{
    g_autoptr(Got) got = extract_well("latin1.html");
    assert_holds(got, "h1 Über\np café\n");
}

static void test_office(void **state)
{
    g_autoptr(Got) docx = extract_well("letter.docx");
    assert_holds(docx, "h1 First heading\np Some text\nfn The note.\nth 2022 | 2021\ntr Net sales | $1,234 | (88)\n");
    assert_holds(docx, "title=A letter\nauthor=R. Writer\n");
    assert_lacks(docx, "gone");
    g_autoptr(Got) odt = extract_well("letter.odt");
    assert_holds(odt, "h1 First heading\np Some text\nfn The note.\nth 2022\ntr Net sales | $1,234\n");
    g_autoptr(Got) rtf = extract_well("letter.rtf");
    assert_holds(rtf, "h1 First heading\np Café for €100 only\nfn The note.\nth Year | 2022 | 2021\ntr Net sales | 1,234 | (88)\np After\n");
}

/* ---------------------------------------------------------------------------------------------------------- malformed */

typedef struct Malformed {
    const char *name;
    AppExtractError code;
    const char *reason;
} Malformed;

/* Each is refused by its own reason and name, soon, and this process lives. */
static void assert_refused(const Malformed *files, size_t n_files)
{
    for (size_t i = 0; i < n_files; i++) {
        g_autoptr(GError) error = NULL;
        gint64 start = g_get_monotonic_time();
        g_autoptr(Got) got = extract(files[i].name, NULL, NULL, &error);
        assert_non_null(error);
        assert_true(g_str_has_prefix(error->message, files[i].name));
        if (!strstr(error->message, files[i].reason)) fail_msg("%s", error->message);
        assert_int_equal(error->code, files[i].code);
        assert_true(g_get_monotonic_time() - start < 30 * G_USEC_PER_SEC);
    }
}

static void test_promise_21_malformed_pdf(void **state)
{
    static const Malformed files[] = {
        {"truncated.pdf", APP_EXTRACT_ERROR_DAMAGED, "not a readable PDF"},
        {"no-objects.pdf", APP_EXTRACT_ERROR_DAMAGED, "not a readable PDF"},
        {"loop.pdf", APP_EXTRACT_ERROR_DAMAGED, "pages can be read"},
        {"form-loop.pdf", APP_EXTRACT_ERROR_NO_TEXT, "no text on its pages"},
        {"scan.pdf", APP_EXTRACT_ERROR_NO_TEXT, "an image (a scan)"},
        {"empty.pdf", APP_EXTRACT_ERROR_NO_TEXT, "empty"},
    };
    assert_refused(files, G_N_ELEMENTS(files));
}

static void test_promise_22_malformed_epub(void **state)
{
    static const Malformed files[] = {
        {"bomb.epub", APP_EXTRACT_ERROR_LIMIT, "unpacks to more than is allowed"},
        {"overlap.epub", APP_EXTRACT_ERROR_DAMAGED, "not an EPUB"},
        {"slip.epub", APP_EXTRACT_ERROR_DAMAGED, "missing"},
        {"laughs.epub", APP_EXTRACT_ERROR_DAMAGED, "names no text"},
        {"drm.epub", APP_EXTRACT_ERROR_DRM, "DRM"},
        {"not-zip.epub", APP_EXTRACT_ERROR_DAMAGED, "zip"},
    };
    assert_refused(files, G_N_ELEMENTS(files));
    assert_false(g_file_test("/tmp/slipped.xhtml", G_FILE_TEST_EXISTS));
}

static void test_malformed_others(void **state)
{
    static const Malformed files[] = {
        {"broken.docx", APP_EXTRACT_ERROR_DAMAGED, "damaged"},
        {"deep.html", APP_EXTRACT_ERROR_DAMAGED, "nested"},
        {"empty.txt", APP_EXTRACT_ERROR_NO_TEXT, "empty"},
        {"book.expected", APP_EXTRACT_ERROR_UNSUPPORTED, "format"},
    };
    assert_refused(files, G_N_ELEMENTS(files));
}

static void test_deep_rtf_is_read(void **state)
{
    g_autoptr(Got) got = extract_well("deep.rtf");
    assert_holds(got, "p x\n");
}

/* A page that unpacks without end stops at one of the limits, whichever it meets first, and the reason is said. */
static void test_promise_21_bombs_meet_limits(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Got) memory = extract("bomb.pdf", &(AppExtractOptions){.max_memory_bytes = 96 << 20, .max_s = 20}, NULL, &error);
    assert_true(g_error_matches(error, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_LIMIT));
    g_clear_error(&error);
    g_autoptr(Got) time = extract("bomb.pdf", &(AppExtractOptions){.max_s = 1, .max_memory_bytes = UINT64_C(4) << 30}, NULL, &error);
    assert_true(g_error_matches(error, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_LIMIT));
    assert_non_null(strstr(error->message, "bomb.pdf: it made no progress for 1 s"));
    g_clear_error(&error);
    g_autoptr(Got) text = extract("table.pdf", &(AppExtractOptions){.max_text_bytes = 100}, NULL, &error);
    assert_true(g_error_matches(error, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_LIMIT));
    assert_non_null(strstr(error->message, "more text than is allowed"));
}

static gpointer cancel_soon(gpointer data)
{
    g_usleep(150000);
    __atomic_store_n((bool *)data, true, __ATOMIC_RELAXED);
    return NULL;
}

static void test_cancel(void **state)
{
    bool cancel = false;
    GThread *thread = g_thread_new("cancel", cancel_soon, &cancel);
    g_autoptr(GError) error = NULL;
    gint64 start = g_get_monotonic_time();
    g_autoptr(Got) got = extract("bomb.pdf", NULL, &cancel, &error);
    assert_true(g_error_matches(error, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_CANCELLED));
    assert_true(g_get_monotonic_time() - start < 3 * G_USEC_PER_SEC);
    g_thread_join(thread);
}

/* Programs that are not the extractor, or die: said in words, and this process goes on. */
static void test_promise_21_the_extractor_dies(void **state)
{
    static const struct {
        const char *program, *reason;
    } programs[] = {
        {"/does/not/exist", "could not be started"}, {"/bin/false", "stopped before its end"}, {"/bin/cat", "stopped before its end"},
    };
    g_autofree char *kept = g_strdup(g_getenv("LECTERN_EXTRACT"));
    for (size_t i = 0; i < G_N_ELEMENTS(programs); i++) {
        g_setenv("LECTERN_EXTRACT", programs[i].program, TRUE);
        g_autoptr(GError) error = NULL;
        g_autoptr(Got) got = extract("table.pdf", NULL, NULL, &error);
        assert_non_null(error);
        if (!strstr(error->message, programs[i].reason)) fail_msg("%s", error->message);
    }
    g_setenv("LECTERN_EXTRACT", kept, TRUE);
}

/* ------------------------------------------------------------------------------------------------------------ library */

static void remove_folder(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name = dir ? g_dir_read_name(dir) : NULL; name; name = g_dir_read_name(dir)) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR)) remove_folder(path);
        else unlink(path);
    }
    rmdir(folder);
}

static int64_t import(AppLibrary *library, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = document_path(name);
    g_autofree char *bytes = NULL;
    gsize n = 0;
    assert_true(g_file_get_contents(path, &bytes, &n, NULL));
    g_autofree char *hash = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)bytes, n);
    const AppImportSource source = {.path = path, .name = name, .source_hash = hash, .n_source_bytes = n,
                                    .format = app_extract_detect(name, bytes, n)};
    assert_non_null(source.format);
    g_autoptr(AppImport) import = app_import_new(library, &source, NULL, &error);
    assert_non_null(import);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is_done = app_extract_file(fd, name, NULL, NULL, import, &error);
    close(fd);
    if (!is_done) fail_msg("%s", error->message);
    int64_t id = -1;
    AppImportOutcome outcome;
    if (!app_import_finish(import, &id, &outcome, &error)) fail_msg("%s", error->message);
    return id;
}

static void test_into_library(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp("lectern-extract-XXXXXX", NULL);
    AppLibrary *library = app_library_open(folder, &error);
    assert_non_null(library);
    int64_t id = import(library, "table.pdf");
    g_autoptr(AppDocument) document = app_library_get_document(library, id, &error);
    assert_string_equal(document->title, "Northwind Report");
    assert_int_equal(document->n_pages, 3);
    bool is_found = false;
    uint64_t start = 0;
    assert_true(app_library_find_text(library, id, "Net income | $99 | $87", 0, &is_found, &start, &error));
    assert_true(is_found);
    g_autoptr(AppPlace) place = app_library_locate(library, id, start, start + 10, &error);
    assert_non_null(place);
    assert_int_equal(place->page_first, 1);
    assert_string_equal(place->page_label, "ii");
    assert_true(place->n_boxes >= 1 && place->boxes[0].page == 1 && place->boxes[0].x0 > 60 && place->boxes[0].x0 < 80);

    id = import(library, "book3.epub");
    assert_true(app_library_find_text(library, id, "Dinah'll miss me", 0, &is_found, &start, &error));
    assert_true(is_found);
    g_autoptr(AppPlace) passage = app_library_locate(library, id, start, start + 5, &error);
    assert_non_null(strstr(passage->heading, "CHAPTER I. Down the Rabbit-Hole"));
    assert_string_equal(passage->source_item, "OEBPS/text/part 3.xhtml");
    assert_int_equal(passage->source_end - passage->source_start, 5);
    app_library_unref(library);
    remove_folder(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pdf_table),    cmocka_unit_test(test_pdf_boxes),
        cmocka_unit_test(test_pdf_ligatures), cmocka_unit_test(test_pdf_columns),  cmocka_unit_test(test_pdf_notes),
        cmocka_unit_test(test_pdf_password), cmocka_unit_test(test_epub3),       cmocka_unit_test(test_epub2),
        cmocka_unit_test(test_filing),       cmocka_unit_test(test_html_places), cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_office),       cmocka_unit_test(test_promise_21_malformed_pdf), cmocka_unit_test(test_promise_22_malformed_epub),
        cmocka_unit_test(test_malformed_others),   cmocka_unit_test(test_deep_rtf_is_read),
        cmocka_unit_test(test_promise_21_bombs_meet_limits),       cmocka_unit_test(test_cancel),      cmocka_unit_test(test_promise_21_the_extractor_dies),
        cmocka_unit_test(test_into_library),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
}
