/* test-app-add.c: sets of sources into the library: archives, encrypted files, scanned pages, the queue that takes them in.
 *
 * Archives are written here; documents come from tests/fuzz/make-documents.py (LECTERN_TEST_DOCUMENTS).
 */
#include "app-fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <cairo-pdf.h>
#include <fcntl.h>
#include <poppler.h>
#include <unistd.h>

#include "app-extract.h"
#include "select-tests.h"

#if defined(__SANITIZE_ADDRESS__)
/* Drawing the scan's page makes fontconfig read its configuration, which it keeps. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}
#endif

typedef struct Told {
    GPtrArray *paths; /* with what became of them: "new path", "failed path: reason" */
    GArray *documents;
    guint n_password;
} Told;

static void told_free(Told *told)
{
    g_ptr_array_unref(told->paths);
    g_array_unref(told->documents);
    g_free(told);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Told, told_free)

static bool on_added(void *user, const AppAddedFile *file)
{
    static const char *const names[] = {"new", "unchanged", "moved", "changed", "duplicate"};
    Told *told = user;
    g_array_append_val(told->documents, file->document);
    told->n_password += g_error_matches(file->error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_PASSWORD);
    char *line = file->document < 0 ? g_strdup_printf("failed %s: %s", file->path, file->error->message)
                                    : g_strdup_printf("%s %s", names[file->added], file->path);
    g_ptr_array_add(told->paths, line);
    return true;
}

static Told *add_all(const Fixture *f, const char *path, const AppAddOptions *options, uint32_t *ret_n_left_out)
{
    Told *told = g_new0(Told, 1);
    told->paths = g_ptr_array_new_with_free_func(g_free);
    told->documents = g_array_new(FALSE, FALSE, sizeof(int64_t));
    GError *error = NULL;
    if (!app_reader_add_all(f->library, path, options, on_added, told, ret_n_left_out, &error)) fail_msg("%s", error->message);
    return told;
}

static const char *line_of(const Told *told, guint i)
{
    assert_true(i < told->paths->len);
    return g_ptr_array_index(told->paths, i);
}

static char *document_path(const char *name)
{
    return g_build_filename(g_getenv("LECTERN_TEST_DOCUMENTS"), name, NULL);
}

typedef struct Member {
    const char *name, *bytes; /* bytes NULL: a link to /etc/passwd */
    size_t n_bytes;           /* 0: a string */
} Member;

static char *write_archive(const Fixture *f, const char *name, int (*format)(struct archive *), int (*filter)(struct archive *),
                           const char *password, const Member *members, size_t n_members)
{
    char *path = fixture_path(f, name);
    struct archive *archive = archive_write_new();
    assert_int_equal(format(archive), ARCHIVE_OK);
    if (filter != NULL) assert_int_equal(filter(archive), ARCHIVE_OK);
    if (password != NULL) assert_int_equal(archive_write_set_options(archive, "zip:encryption=aes256"), ARCHIVE_OK);
    if (password != NULL) assert_int_equal(archive_write_set_passphrase(archive, password), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
    for (size_t i = 0; i < n_members; i++) {
        struct archive_entry *entry = archive_entry_new();
        size_t n = members[i].n_bytes > 0 ? members[i].n_bytes : members[i].bytes != NULL ? strlen(members[i].bytes) : 0;
        archive_entry_set_pathname(entry, members[i].name);
        archive_entry_set_filetype(entry, members[i].bytes != NULL ? AE_IFREG : AE_IFLNK);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (la_int64_t)n);
        if (members[i].bytes == NULL) archive_entry_set_symlink(entry, "/etc/passwd");
        assert_true(archive_write_header(archive, entry) >= ARCHIVE_WARN);
        if (n > 0) assert_int_equal(archive_write_data(archive, members[i].bytes, n), n);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
    return path;
}

/* ------------------------------------------------------------------------------------------------------------ archives */

static void test_zip(void **state)
{
    const Fixture *f = *state;
    g_autofree char *book = document_path("book3.epub"), *book_bytes = NULL;
    gsize n_book = 0;
    assert_true(g_file_get_contents(book, &book_bytes, &n_book, NULL));
    const Member members[] = {{"one.txt", "The first text, of a plain file.", 0},
                              {"sub/two.md", "# Second\n\nA text in a folder.", 0},
                              {"sub/book.epub", book_bytes, n_book},
                              {"sub/.hidden.txt", "hidden", 0},
                              {"../slip.txt", "slipped", 0},
                              {"/tmp/absolute.txt", "absolute", 0},
                              {"photo.jpg", "not text", 0},
                              {"link.txt", NULL, 0},
                              {"wrong.pdf", "%PDF-1.4 nothing", 0}};
    g_autofree char *path = write_archive(f, "set.zip", archive_write_set_format_zip, NULL, NULL, members, G_N_ELEMENTS(members));
    uint32_t n_left_out = 0;
    g_autoptr(Told) told = add_all(f, path, NULL, &n_left_out);
    assert_int_equal(told->paths->len, 4);
    assert_int_equal(n_left_out, 5);
    g_autofree char *one = g_strdup_printf("new %s/one.txt", path), *epub = g_strdup_printf("new %s/sub/book.epub", path);
    g_autofree char *wrong = g_strdup_printf("failed %s/wrong.pdf: ", path);
    assert_string_equal(line_of(told, 0), one);
    assert_string_equal(line_of(told, 2), epub);
    assert_true(g_str_has_prefix(line_of(told, 3), wrong));
    assert_false(g_file_test("/tmp/absolute.txt", G_FILE_TEST_EXISTS));
    int64_t second = g_array_index(told->documents, int64_t, 1);
    g_autoptr(AppDocument) document = get_document(f, second);
    assert_string_equal(document->title, "Second");
    assert_true(g_str_has_suffix(document->source, "/set.zip/sub/two.md"));
    assert_int_equal(app_library_resolve_document(f->library, document->source, NULL), second);
    g_autofree char *text = whole_text(f, second);
    assert_non_null(strstr(text, "A text in a folder."));

    /* The same again; then under another name, where everything is found again. */
    g_autoptr(Told) again = add_all(f, path, NULL, NULL);
    assert_true(g_str_has_prefix(line_of(again, 1), "unchanged "));
    g_autofree char *copy = fixture_path(f, "copy.txt"), *renamed = fixture_path(f, "renamed.zip");
    assert_true(g_file_set_contents(copy, members[0].bytes, -1, NULL));
    g_autoptr(Told) duplicate = add_all(f, copy, NULL, NULL);
    assert_true(g_str_has_prefix(line_of(duplicate, 0), "duplicate ")); /* the archive is there still */
    assert_int_equal(g_rename(path, renamed), 0);
    g_autoptr(Told) moved = add_all(f, renamed, NULL, NULL);
    assert_true(g_str_has_prefix(line_of(moved, 1), "moved "));
    assert_int_equal(g_array_index(moved->documents, int64_t, 1), second);
}

static void test_other_archives(void **state)
{
    const Fixture *f = *state;
    const Member members[] = {{"letters/a.txt", "Alpha, in a tar.", 0}, {"letters/b.txt", "Beta, in a tar.", 0}};
    const struct {
        const char *name;
        int (*format)(struct archive *), (*filter)(struct archive *);
    } kinds[] = {{"x.tar", archive_write_set_format_ustar, NULL},
                 {"x.tar.gz", archive_write_set_format_pax_restricted, archive_write_add_filter_gzip},
                 {"x.tar.xz", archive_write_set_format_gnutar, archive_write_add_filter_xz},
                 {"x.tar.zst", archive_write_set_format_ustar, archive_write_add_filter_zstd},
                 {"x.7z", archive_write_set_format_7zip, NULL}};
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *path = write_archive(f, kinds[i].name, kinds[i].format, kinds[i].filter, NULL, members, G_N_ELEMENTS(members));
        g_autoptr(Told) told = add_all(f, path, NULL, NULL);
        if (told->paths->len != 2) fail_msg("%s: %s", kinds[i].name, line_of(told, 0));
        assert_true(g_str_has_prefix(line_of(told, 1), i == 0 ? "new " : "duplicate ")); /* by content, in whatever archive */
    }
    /* One packed file is that file. */
    const Member one = {"ignored", "Gamma, packed alone.", 0};
    g_autofree char *path = write_archive(f, "notes.txt.gz", archive_write_set_format_raw, archive_write_add_filter_gzip, NULL, &one, 1);
    g_autoptr(Told) told = add_all(f, path, NULL, NULL);
    g_autofree char *expected = g_strdup_printf("new %s/notes.txt", path);
    assert_string_equal(line_of(told, 0), expected);
    /* A folder takes archives too, and a title is not for a set. */
    g_autoptr(Told) folder = add_all(f, f->folder, NULL, NULL);
    assert_true(folder->paths->len >= 11);
    g_autofree char *tar = fixture_path(f, "x.tar");
    g_autoptr(Told) titled = add_all(f, tar, &(AppAddOptions){.title = "Mine"}, NULL);
    assert_non_null(strstr(line_of(titled, 0), "a title is for one document"));
}

static void test_damaged_archives(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GString) noise = g_string_new("Begin ");
    uint32_t seed = 7;
    while (noise->len < 60000) {
        seed = seed * 1664525 + 1013904223;
        g_string_append_printf(noise, "%u ", seed >> 8);
    }
    const Member members[] = {{"a.txt", "This one is whole.", 0}, {"b.txt", noise->str, 0}, {"c.txt", "Behind the damage.", 0}};
    g_autofree char *path = write_archive(f, "d.tar", archive_write_set_format_ustar, NULL, NULL, members, G_N_ELEMENTS(members));
    assert_int_equal(truncate(path, 30000), 0);
    g_autoptr(Told) told = add_all(f, path, NULL, NULL);
    assert_true(told->paths->len >= 2);
    assert_true(g_str_has_prefix(line_of(told, 0), "new "));
    assert_true(g_str_has_prefix(line_of(told, 1), "failed ") && strstr(line_of(told, 1), "b.txt") != NULL);
    const struct {
        const char *name, *bytes;
        size_t n_bytes;
        const char *reason;
    } bad[] = {{"noise.zip", "PK\3\4\x14\0\0\0 nothing of the kind!", 28, "not a readable archive"},
               {"empty.zip", "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22, "no file in it that can be read"},
               {"noise.gz", "\x1f\x8b\x08 and then", 12, "archive"}};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *bad_path = write_file(f, bad[i].name, bad[i].bytes, bad[i].n_bytes);
        g_autoptr(Told) refused = add_all(f, bad_path, NULL, NULL);
        assert_int_equal(refused->paths->len, 1);
        if (strstr(line_of(refused, 0), bad[i].name) == NULL || strstr(line_of(refused, 0), bad[i].reason) == NULL) fail_msg("%s", line_of(refused, 0));
    }
}

static bool on_bomb_member(void *user, const char *name, GError **error)
{
    return true;
}

static bool on_bomb_data(void *user, const void *bytes, size_t n_bytes, GError **error)
{
    *(size_t *)user += n_bytes;
    return true;
}

/* A bomb ends at the limit on what comes out, whatever went in. */
static void test_promise_22_archive_bomb(void **state)
{
    const Fixture *f = *state;
    g_autofree char *zeros = g_malloc0(8 << 20);
    const Member members[] = {{"a.txt", zeros, 8 << 20}, {"b.txt", zeros, 8 << 20}};
    g_autofree char *path = write_archive(f, "bomb.zip", archive_write_set_format_zip, NULL, NULL, members, G_N_ELEMENTS(members));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const AppExtractOptions options = {.unpack = "txt", .max_text_bytes = 10 << 20};
    const AppExtractSink counts = {.member = on_bomb_member, .data = on_bomb_data}, none = {0};
    GError *error = NULL;
    size_t n_bytes = 0;
    assert_false(app_extract_run(fd, "bomb.zip", &options, NULL, &counts, &n_bytes, &error));
    assert_true(g_error_matches(error, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_LIMIT));
    assert_non_null(strstr(error->message, "bomb.zip: it unpacks to more than is allowed"));
    assert_true(n_bytes > 8 << 20 && n_bytes <= 10 << 20);
    g_clear_error(&error);
    assert_false(app_extract_run(fd, "bomb.zip", &options, NULL, &none, NULL, &error)); /* a sink for documents gets no members */
    assert_true(g_error_matches(error, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_STREAM));
    g_clear_error(&error);
    close(fd);
}

/* ----------------------------------------------------------------------------------------------------------- passwords */

static void test_passwords(void **state)
{
    const Fixture *f = *state;
    const Member secret = {"secret.txt", "The words are open sesame.", 0};
    g_autofree char *zip = write_archive(f, "secret.zip", archive_write_set_format_zip, NULL, "open sesame", &secret, 1);
    g_autofree char *pdf = document_path("encrypted.pdf");
    const char *const paths[] = {zip, pdf};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autoptr(Told) without = add_all(f, paths[i], NULL, NULL);
        assert_int_equal(without->n_password, 1);
        if (strstr(line_of(without, 0), "needs a password") == NULL) fail_msg("%s", line_of(without, 0));
        g_autoptr(Told) wrong = add_all(f, paths[i], &(AppAddOptions){.password = "open barley"}, NULL);
        assert_int_equal(wrong->n_password, 1);
        assert_non_null(strstr(line_of(wrong, 0), "not the right one"));
        g_autoptr(Told) right = add_all(f, paths[i], &(AppAddOptions){.password = "open sesame"}, NULL);
        assert_true(g_str_has_prefix(line_of(right, 0), "new "));
    }
    assert_int_equal(app_library_count_documents(f->library, 0, NULL), 2); /* nothing is left of the refused ones */
}

/* ---------------------------------------------------------------------------------------------------- text recognition */

/* The first page of a document as a picture in a PDF file, as a scanner makes it. */
static char *write_scan(const Fixture *f, const char *document, const char *name)
{
    g_autofree char *from = document_path(document), *uri = g_filename_to_uri(from, NULL, NULL);
    char *path = fixture_path(f, name);
    PopplerDocument *pdf = poppler_document_new_from_file(uri, NULL, NULL);
    assert_non_null(pdf);
    PopplerPage *page = poppler_document_get_page(pdf, 0);
    double scale = 200.0 / 72;
    cairo_surface_t *picture = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(612 * scale), (int)(792 * scale));
    cairo_t *cairo = cairo_create(picture);
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    cairo_scale(cairo, scale, scale);
    poppler_page_render(page, cairo);
    cairo_destroy(cairo);
    cairo_surface_t *scan = cairo_pdf_surface_create(path, 612, 792);
    cairo = cairo_create(scan);
    cairo_scale(cairo, 1 / scale, 1 / scale);
    cairo_set_source_surface(cairo, picture, 0, 0);
    cairo_paint(cairo);
    cairo_destroy(cairo);
    cairo_surface_destroy(scan);
    cairo_surface_destroy(picture);
    g_object_unref(page);
    g_object_unref(pdf);
    return path;
}

static void test_scan(void **state)
{
    const Fixture *f = *state;
    g_autofree char *path = write_scan(f, "table.pdf", "scan.pdf"), *reason = NULL;
    g_autoptr(Told) first = add_all(f, path, NULL, NULL);
    int64_t id = g_array_index(first->documents, int64_t, 0);
    g_autoptr(AppDocument) scan = get_document(f, id);
    assert_int_equal(scan->state, APP_DOCUMENT_NO_TEXT);
    assert_non_null(strstr(scan->note, "its only page is an image (a scan); text recognition can read it"));

    /* The user agrees: the same file is read anew, once. */
    if (!app_reader_can_ocr(NULL, &reason)) fail_msg("%s", reason);
    const AppAddOptions options = {.ocr = true};
    g_autoptr(Told) second = add_all(f, path, &options, NULL);
    assert_int_equal(g_array_index(second->documents, int64_t, 0), id);
    g_autoptr(AppDocument) read = get_document(f, id);
    assert_int_equal(read->state, APP_DOCUMENT_NEW);
    assert_non_null(strstr(read->note, "recognised on images"));
    g_autofree char *text = whole_text(f, id);
    static const char *const lines[] = {"Consolidated Statements of Operations", "Products | $1,234 | $1,111", "Total net sales | 1,801 | 1,023"};
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        if (strstr(text, lines[i]) == NULL) fail_msg("%s is not in\n%s", lines[i], text);
    }
    /* Its places are those of the words on the page. */
    uint64_t start = (uint64_t)(strstr(text, "1,801") - text);
    g_autoptr(AppPlace) place = app_library_locate(f->library, id, start, start + 5, NULL);
    assert_int_equal(place->page_first, 0);
    assert_int_equal(place->n_boxes, 1);
    assert_true(place->boxes[0].x1 > 355 && place->boxes[0].x1 < 375 && place->boxes[0].y0 > 160 && place->boxes[0].y1 < 205);
    g_autoptr(Told) third = add_all(f, path, &options, NULL);
    assert_true(g_str_has_prefix(line_of(third, 0), "unchanged "));
    assert_false(app_reader_can_ocr("no-such-language", &reason));
}

/* --------------------------------------------------------------------------------------------------------------- queue */

typedef struct Events {
    GMutex mutex;
    GCond idle;
    guint n_added, n_failed, n_queued, n_idle, n_password;
} Events;

static void on_event(void *user, const AppReadEvent *event)
{
    Events *events = user;
    g_mutex_lock(&events->mutex);
    events->n_added += event->kind == APP_READ_ADDED;
    events->n_failed += event->kind == APP_READ_FAILED;
    events->n_queued += event->kind == APP_READ_QUEUED;
    events->n_idle += event->kind == APP_READ_IDLE;
    events->n_password += event->needs_password;
    g_cond_broadcast(&events->idle);
    g_mutex_unlock(&events->mutex);
}

static void wait_idle(Events *events, guint n_idle)
{
    gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    g_mutex_lock(&events->mutex);
    while (events->n_idle < n_idle) {
        if (!g_cond_wait_until(&events->idle, &events->mutex, end)) break;
    }
    g_mutex_unlock(&events->mutex);
    assert_true(events->n_idle >= n_idle);
}

static void test_queue(void **state)
{
    const Fixture *f = *state;
    const Member members[] = {{"a.txt", "Alpha.", 0}, {"b.txt", "Beta.", 0}};
    g_autofree char *zip = write_archive(f, "set.zip", archive_write_set_format_zip, NULL, NULL, members, G_N_ELEMENTS(members));
    g_autofree char *pdf = document_path("encrypted.pdf"), *missing = fixture_path(f, "missing.txt");
    Events events = {0};
    g_mutex_init(&events.mutex);
    g_cond_init(&events.idle);
    AppReadQueue *queue = app_read_queue_new(f->library, on_event, &events);
    app_read_queue_add_path(queue, zip, 0);
    app_read_queue_add_path(queue, pdf, 0);
    app_read_queue_add_path(queue, missing, 0);
    wait_idle(&events, 1);
    while (!app_read_queue_is_idle(queue)) g_usleep(1000); /* it may have been idle between two of them */
    assert_int_equal(events.n_added, 2);
    assert_int_equal(events.n_queued, 2);
    assert_int_equal(events.n_failed, 2);
    assert_int_equal(events.n_password, 1);
    app_read_queue_add(queue, pdf, &(AppReadQueueOptions){.password = "open sesame"});
    gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (app_library_count_documents(f->library, 0, NULL) < 3 && g_get_monotonic_time() < end) g_usleep(2000);
    assert_int_equal(app_library_count_documents(f->library, 0, NULL), 3);
    app_read_queue_free(queue);
    g_mutex_clear(&events.mutex);
    g_cond_clear(&events.idle);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_zip),  TEST(test_other_archives), TEST(test_damaged_archives), TEST(test_promise_22_archive_bomb),
        TEST(test_passwords), TEST(test_scan),      TEST(test_queue),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
}
