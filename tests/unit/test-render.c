/* test-render.c: pages as pixels from the locked process: the right part of the right page, damaged files, and a process that is killed. */
#include <cairo-pdf.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app-fixture.h"
#include "app-render.h"

enum { WIDTH = 300, HEIGHT = 400 };

/* Page i is white with one filled square of 50 points at (40 + 60 i, 80): red, then green, then blue. */
static char *make_pdf(const Fixture *fixture, const char *name)
{
    char *path = fixture_path(fixture, name);
    cairo_surface_t *surface = cairo_pdf_surface_create(path, WIDTH, HEIGHT);
    cairo_t *cr = cairo_create(surface);
    for (int i = 0; i < 3; i++) {
        cairo_set_source_rgb(cr, i == 0, i == 1, i == 2);
        cairo_rectangle(cr, 40 + 60 * i, 80, 50, 50);
        cairo_fill(cr);
        cairo_show_page(cr);
    }
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    return path;
}

static AppRenderer *open_renderer(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return app_renderer_new(fd, "squares.pdf");
}

static uint32_t pixel(GBytes *pixels, uint32_t width, uint32_t x, uint32_t y)
{
    uint32_t value;
    memcpy(&value, (const uint8_t *)g_bytes_get_data(pixels, NULL) + ((size_t)y * width + x) * 4, 4);
    return value;
}

static void test_pages_and_parts(void **state)
{
    g_autofree char *path = make_pdf(*state, "squares.pdf");
    AppRenderer *renderer = open_renderer(path);
    static const uint32_t colours[] = {0xffff0000, 0xff00ff00, 0xff0000ff};
    for (uint32_t page = 0; page < 3; page++) {
        g_autoptr(GError) error = NULL;
        AppRenderPart whole = {page, 2 * WIDTH, 2 * HEIGHT, 0, 0, 2 * WIDTH, 2 * HEIGHT};
        g_autoptr(GBytes) pixels = app_renderer_render(renderer, &whole, NULL, &error);
        assert_null(error);
        assert_int_equal(g_bytes_get_size(pixels), (size_t)16 * WIDTH * HEIGHT);
        assert_int_equal(pixel(pixels, 2 * WIDTH, 2 * (65 + 60 * page), 2 * 105), colours[page]);
        assert_int_equal(pixel(pixels, 2 * WIDTH, 2 * (65 + 60 * page), 2 * 70), 0xffffffff);
        /* The same place in a part of the page. */
        AppRenderPart part = {page, 2 * WIDTH, 2 * HEIGHT, 2 * (60 + 60 * page), 2 * 100, 20, 30};
        g_autoptr(GBytes) of_part = app_renderer_render(renderer, &part, NULL, &error);
        assert_null(error);
        assert_int_equal(g_bytes_get_size(of_part), 20 * 30 * 4);
        assert_int_equal(pixel(of_part, 20, 10, 10), colours[page]);
    }
    app_renderer_free(renderer);
}

static void assert_fails(AppRenderer *renderer, const AppRenderPart *part, const bool *cancel, AppRenderError code)
{
    g_autoptr(GError) error = NULL;
    assert_null(app_renderer_render(renderer, part, cancel, &error));
    assert_true(g_error_matches(error, APP_RENDER_ERROR, (int)code));
    assert_non_null(strstr(error->message, "squares.pdf: "));
}

static void test_refusals(void **state)
{
    g_autofree char *path = make_pdf(*state, "squares.pdf");
    AppRenderer *renderer = open_renderer(path);
    assert_fails(renderer, &(AppRenderPart){3, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT}, NULL, APP_RENDER_ERROR_DAMAGED);
    assert_fails(renderer, &(AppRenderPart){0, WIDTH, HEIGHT, 10, 0, WIDTH, HEIGHT}, NULL, APP_RENDER_ERROR_LIMIT);
    assert_fails(renderer, &(AppRenderPart){0, 1 << 16, 1 << 16, 0, 0, 1 << 13, 1 << 13}, NULL, APP_RENDER_ERROR_LIMIT);
    static const bool cancelled = true;
    assert_fails(renderer, &(AppRenderPart){0, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT}, &cancelled, APP_RENDER_ERROR_CANCELLED);
    app_renderer_free(renderer);

    g_autofree char *bad = fixture_path(*state, "bad.pdf");
    assert_true(g_file_set_contents(bad, "%PDF-1.4\nnot more than this", -1, NULL));
    renderer = open_renderer(bad);
    assert_fails(renderer, &(AppRenderPart){0, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT}, NULL, APP_RENDER_ERROR_DAMAGED);
    app_renderer_free(renderer);
}

/* The process's number, from /proc: the one child of this process that is the renderer. */
static pid_t find_renderer(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename("/proc", name, "stat", NULL), *stat = NULL;
        int parent = 0;
        if (!g_ascii_isdigit(*name) || !g_file_get_contents(path, &stat, NULL, NULL) || strstr(stat, "(lectern-render)") == NULL) continue;
        if (sscanf(strrchr(stat, ')') + 1, " %*c %d", &parent) == 1 && parent == getpid()) return (pid_t)g_ascii_strtoll(name, NULL, 10);
    }
    return 0;
}

/* A process that is gone is replaced; one that never works is an error, not the end of this program. */
static void test_dead_process(void **state)
{
    g_autofree char *path = make_pdf(*state, "squares.pdf");
    AppRenderer *renderer = open_renderer(path);
    AppRenderPart whole = {1, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT};
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) first = app_renderer_render(renderer, &whole, NULL, &error);
    assert_non_null(first);
    pid_t pid = find_renderer();
    assert_true(pid > 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    g_autoptr(GBytes) second = app_renderer_render(renderer, &whole, NULL, &error);
    assert_null(error);
    assert_true(g_bytes_equal(first, second));
    assert_true(find_renderer() > 0 && find_renderer() != pid);
    app_renderer_free(renderer);
    assert_int_equal(find_renderer(), 0);

    g_autofree char *before = g_strdup(g_getenv("LECTERN_RENDER"));
    g_setenv("LECTERN_RENDER", "/bin/false", TRUE);
    renderer = open_renderer(path);
    assert_fails(renderer, &whole, NULL, APP_RENDER_ERROR_FAILED);
    app_renderer_free(renderer);
    g_setenv("LECTERN_RENDER", before, TRUE);
}

static int64_t add(const Fixture *fixture, const char *path)
{
    g_autoptr(GError) error = NULL;
    AppAdded added;
    int64_t id = app_reader_add_file(fixture->library, path, &(AppAddOptions){0}, &added, &error);
    assert_null(error);
    return id;
}

static void assert_file_state(const Fixture *fixture, int64_t id, AppFileState expected)
{
    g_autoptr(AppDocument) document = app_library_get_document(fixture->library, id, NULL);
    assert_non_null(document);
    int fd = -2;
    assert_int_equal(app_document_open_file(document, NULL, &fd), expected);
    assert_true((fd >= 0) == (expected == APP_FILE_SAME));
    if (fd >= 0) close(fd);
}

static void test_file_state(void **state)
{
    g_autofree char *path = fixture_path(*state, "note.txt");
    assert_true(g_file_set_contents(path, "Some words to be read.\n", -1, NULL));
    int64_t id = add(*state, path);
    assert_file_state(*state, id, APP_FILE_SAME);
    assert_true(g_file_set_contents(path, "Some words to be Read.\n", -1, NULL)); /* as long as before */
    assert_file_state(*state, id, APP_FILE_CHANGED);
    assert_int_equal(g_unlink(path), 0);
    assert_file_state(*state, id, APP_FILE_GONE);
    assert_int_equal(g_mkdir(path, 0700), 0);
    assert_file_state(*state, id, APP_FILE_CHANGED);
}

static void test_reading_position(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = fixture_path(fixture, "note.txt");
    assert_true(g_file_set_contents(path, "Some words to be read.\n", -1, NULL));
    int64_t id = add(fixture, path);
    bool is_known = true;
    AppReadingPosition position = {0}, kept = {.start = 7, .page = UINT32_MAX, .page_y = 0.25F, .view = APP_VIEW_PAGES, .text_zoom = 1.5F, .page_zoom = 0};
    assert_true(app_library_get_reading_position(fixture->library, id, &is_known, &position, NULL));
    assert_false(is_known);
    assert_true(app_library_set_reading_position(fixture->library, id, &kept, NULL));
    kept.start = 9;
    assert_true(app_library_set_reading_position(fixture->library, id, &kept, NULL));
    assert_true(app_library_get_reading_position(fixture->library, id, &is_known, &position, NULL));
    assert_true(is_known);
    assert_int_equal(position.start, 9);
    assert_int_equal(position.page, UINT32_MAX);
    assert_true(position.page_y == 0.25F && position.text_zoom == 1.5F && position.page_zoom == 0);
    assert_int_equal(position.view, APP_VIEW_PAGES);
    /* It goes with the document. */
    assert_true(app_library_remove_document(fixture->library, id, NULL));
    assert_true(app_library_get_reading_position(fixture->library, id, &is_known, &position, NULL));
    assert_false(is_known);
    g_autoptr(GError) error = NULL;
    assert_false(app_library_set_reading_position(fixture->library, id, &kept, &error));
    assert_true(g_error_matches(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages_and_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dead_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reading_position, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
