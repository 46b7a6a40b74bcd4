/* app-fixture.h: a library in a temporary folder, and documents in it, for tests of app/. */
#ifndef APP_FIXTURE_H
#define APP_FIXTURE_H

#include <glib.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app-library.h"
#include "app-reader.h"

typedef struct Fixture {
    char *folder; /* everything below it */
    AppLibrary *library;
} Fixture;

static inline void remove_tree(const char *path)
{
    GDir *dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        remove_tree(below);
    }
    if (dir != NULL) g_dir_close(dir);
    g_remove(path);
}

static inline char *fixture_path(const Fixture *fixture, const char *name)
{
    return g_build_filename(fixture->folder, name, NULL);
}

static inline int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = g_dir_make_tmp("lectern-test-XXXXXX", NULL);
    assert_non_null(fixture->folder);
    g_autofree char *data = fixture_path(fixture, "data");
    GError *error = NULL;
    fixture->library = app_library_open(data, &error);
    assert_null(error);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    Fixture *fixture = *state;
    app_library_unref(fixture->library);
    remove_tree(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture);
    return 0;
}

/* Writes a file into the fixture's folder; returns its path. */
static inline char *write_file(const Fixture *fixture, const char *name, const void *bytes, size_t n_bytes)
{
    char *path = fixture_path(fixture, name);
    assert_true(g_file_set_contents(path, bytes, (gssize)n_bytes, NULL));
    return path;
}

static inline int64_t add_path(const Fixture *fixture, const char *path, AppAdded *ret_added)
{
    GError *error = NULL;
    AppAdded added;
    int64_t id = app_reader_add_file(fixture->library, path, NULL, &added, &error);
    if (error != NULL) fail_msg("%s", error->message);
    if (ret_added != NULL) *ret_added = added;
    return id;
}

static inline int64_t add_text(const Fixture *fixture, const char *name, const char *text)
{
    g_autofree char *path = write_file(fixture, name, text, strlen(text));
    return add_path(fixture, path, NULL);
}

static inline char *data_path(const char *name)
{
    return g_build_filename(g_getenv("LECTERN_TEST_DATA"), name, NULL);
}

static inline AppDocument *get_document(const Fixture *fixture, int64_t id)
{
    AppDocument *document = app_library_get_document(fixture->library, id, NULL);
    assert_non_null(document);
    return document;
}

static inline char *whole_text(const Fixture *fixture, int64_t id)
{
    char *text = app_library_get_text(fixture->library, id, 0, UINT64_MAX, NULL, NULL);
    assert_non_null(text);
    return text;
}

#endif
