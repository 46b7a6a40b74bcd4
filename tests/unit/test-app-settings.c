/* test-app-settings.c: settings: which values are valid, what goes before what, what is kept through writing and damage. */
#include <glib.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "app-address.h"
#include "app-settings.h"

typedef struct Place {
    char *folder, *path;
} Place;

static int set_up(void **state)
{
    static const char *const variables[] = {"LECTERN_ENDPOINT", "HF_ENDPOINT", "LECTERN_TOKEN", "HF_TOKEN", "LECTERN_THREADS", "LECTERN_MODEL"};
    for (size_t i = 0; i < G_N_ELEMENTS(variables); i++) g_unsetenv(variables[i]);
    Place *place = g_new0(Place, 1);
    place->folder = g_dir_make_tmp("lectern-settings-XXXXXX", NULL);
    place->path = g_build_filename(place->folder, "below", "settings.conf", NULL);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    Place *place = *state;
    g_autofree char *below = g_path_get_dirname(place->path), *lock = g_strconcat(place->path, ".lock", NULL);
    g_unlink(place->path);
    g_unlink(lock);
    assert_true(g_rmdir(below) == 0 || !g_file_test(below, G_FILE_TEST_EXISTS)); /* nothing else was left there */
    g_rmdir(place->folder);
    g_free(place->folder);
    g_free(place->path);
    g_free(place);
    return 0;
}

static AppSettings *open_settings(const Place *place)
{
    GError *error = NULL;
    AppSettings *settings = app_settings_open(place->path, &error);
    if (settings == NULL) fail_msg("%s", error->message);
    return settings;
}

static void write_raw(const Place *place, const char *text)
{
    g_autofree char *below = g_path_get_dirname(place->path);
    g_mkdir_with_parents(below, 0700);
    assert_true(g_file_set_contents(place->path, text, -1, NULL));
}

static void assert_text(AppSettings *settings, const char *key, const char *expected)
{
    g_autofree char *text = app_settings_get_text(settings, key);
    assert_string_equal(text, expected);
}

static void test_initial_values_need_no_file(void **state)
{
    Place *place = *state;
    g_autoptr(AppSettings) settings = open_settings(place);
    assert_text(settings, APP_SETTING_ENDPOINT, "https://huggingface.co");
    assert_false(app_settings_get_boolean(settings, APP_SETTING_REMOTE_ENABLED));
    assert_int_equal(app_settings_get_number(settings, APP_SETTING_TIMEOUT), 30);
    g_auto(GStrv) folders = app_settings_get_folders(settings, APP_SETTING_WATCH);
    assert_null(folders[0]);
    assert_false(g_file_test(place->path, G_FILE_TEST_EXISTS));
}

static void test_values_survive_and_are_private(void **state)
{
    Place *place = *state;
    const char *const folders[] = {"/books; and more", "/reports", NULL};
    g_autoptr(AppSettings) first = open_settings(place);
    assert_true(app_settings_set(first, APP_SETTING_TOKEN, "hf_secret", NULL));
    assert_true(app_settings_set(first, APP_SETTING_CACHE_BUDGET, "1.5 GB", NULL));
    assert_true(app_settings_set_folders(first, APP_SETTING_WATCH, folders, NULL));
    GStatBuf info;
    assert_int_equal(g_stat(place->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    g_autoptr(AppSettings) second = open_settings(place);
    assert_text(second, APP_SETTING_TOKEN, "hf_secret");
    assert_int_equal(app_settings_get_number(second, APP_SETTING_CACHE_BUDGET), 1500000000);
    g_auto(GStrv) read = app_settings_get_folders(second, APP_SETTING_WATCH);
    assert_int_equal(g_strv_length(read), 2);
    assert_string_equal(read[0], folders[0]);
    assert_int_equal(app_settings_get_origin(second, APP_SETTING_TOKEN), APP_SETTING_FROM_FILE);
    assert_true(app_settings_set(second, APP_SETTING_TOKEN, NULL, NULL));
    assert_text(second, APP_SETTING_TOKEN, "");
    assert_int_equal(app_settings_get_origin(second, APP_SETTING_TOKEN), APP_SETTING_FROM_INITIAL);
}

static void test_open_modes_are_tightened(void **state)
{
    Place *place = *state;
    write_raw(place, "[download]\ntoken=abc\n");
    g_chmod(place->path, 0644);
    g_autoptr(AppSettings) settings = open_settings(place);
    GStatBuf info;
    assert_int_equal(g_stat(place->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

/* Two that have the file open change different keys: both changes stay, and so does what neither knows. */
static void test_writers_lose_nothing_of_each_other(void **state)
{
    Place *place = *state;
    write_raw(place, "# mine\n[future]\nthing=1\n");
    g_autoptr(AppSettings) one = open_settings(place), two = open_settings(place);
    assert_true(app_settings_set(one, APP_SETTING_THREADS, "3", NULL));
    assert_true(app_settings_set(two, APP_SETTING_MODEL, "other", NULL));
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(place->path, &text, NULL, NULL));
    assert_non_null(strstr(text, "threads=3"));
    assert_non_null(strstr(text, "default=other"));
    assert_non_null(strstr(text, "thing=1"));
    assert_non_null(strstr(text, "# mine"));
    assert_true(app_settings_reload(one, NULL));
    assert_text(one, APP_SETTING_MODEL, "other");
}

static void test_environment_goes_first(void **state)
{
    Place *place = *state;
    g_autoptr(AppSettings) settings = open_settings(place);
    assert_true(app_settings_set(settings, APP_SETTING_ENDPOINT, "https://file.example", NULL));
    g_setenv("HF_ENDPOINT", "https://second.example", TRUE);
    assert_text(settings, APP_SETTING_ENDPOINT, "https://second.example");
    g_setenv("LECTERN_ENDPOINT", "https://first.example/", TRUE);
    assert_text(settings, APP_SETTING_ENDPOINT, "https://first.example/");
    assert_int_equal(app_settings_get_origin(settings, APP_SETTING_ENDPOINT), APP_SETTING_FROM_ENVIRONMENT);
    g_setenv("LECTERN_ENDPOINT", "http://first.example", TRUE); /* not encrypted: ignored, and said */
    g_unsetenv("HF_ENDPOINT");
    assert_text(settings, APP_SETTING_ENDPOINT, "https://file.example");
    g_autoptr(GPtrArray) faults = app_settings_list_faults(settings);
    assert_int_equal(faults->len, 1);
    assert_non_null(strstr(g_ptr_array_index(faults, 0), "LECTERN_ENDPOINT"));
    g_unsetenv("LECTERN_ENDPOINT");
}

static void test_invalid_values_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {APP_SETTING_ENDPOINT, "http://huggingface.co"},  {APP_SETTING_ENDPOINT, "ftp://huggingface.co"},
        {APP_SETTING_ENDPOINT, "huggingface.co"},         {APP_SETTING_ENDPOINT, "https://me:pw@huggingface.co"},
        {APP_SETTING_ENDPOINT, "https://a b"},            {APP_SETTING_ENDPOINT, "https://h/?q=1"},
        {APP_SETTING_ENDPOINT, "https://h/#f"},           {APP_SETTING_ENDPOINT, ""},
        {APP_SETTING_ENDPOINT, "http://2130706433"},      {APP_SETTING_ENDPOINT, "http://127.1"},
        {APP_SETTING_ENDPOINT, "https:///path"},          {APP_SETTING_ENDPOINT, "http://192.168.1.2"},
        {APP_SETTING_REMOTE_URL, "http://example.com/v1"}, {APP_SETTING_REMOTE_URL, "http://8.8.8.8/v1"},
        {APP_SETTING_TOKEN, "two words"},                 {APP_SETTING_TOKEN, "line\nbreak"},
        {APP_SETTING_TOKEN, "\xC3\xA9"},                  {APP_SETTING_TIMEOUT, "0"},
        {APP_SETTING_TIMEOUT, "-1"},                      {APP_SETTING_TIMEOUT, "soon"},
        {APP_SETTING_THREADS, "257"},                     {APP_SETTING_CACHE_BUDGET, "lots"},
        {APP_SETTING_CACHE_BUDGET, "1e40GB"},             {APP_SETTING_REMOTE_ENABLED, "perhaps"},
        {APP_SETTING_WATCH, "relative/path"},             {APP_SETTING_MODEL, "a\tb"},
        {APP_SETTING_MODEL, "\xFF"},                      {"no.such", "x"},
    };
    Place *place = *state;
    g_autoptr(AppSettings) settings = open_settings(place);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        if (app_settings_set(settings, cases[i][0], cases[i][1], &error)) fail_msg("%s = %s was taken", cases[i][0], cases[i][1]);
        assert_non_null(strstr(error->message, cases[i][0]));
    }
    assert_false(g_file_test(place->path, G_FILE_TEST_EXISTS));
    static const char *const good[][2] = {
        {APP_SETTING_ENDPOINT, "http://localhost:8080"}, {APP_SETTING_ENDPOINT, "http://[::1]:80/base"},
        {APP_SETTING_REMOTE_URL, "http://192.168.1.2:8000/v1"}, {APP_SETTING_REMOTE_URL, "http://bigbox:8000/v1"},
        {APP_SETTING_REMOTE_URL, "http://bigbox.local/v1"},     {APP_SETTING_REMOTE_URL, "http://[fd00::2]/v1"},
        {APP_SETTING_PROXY, "http://proxy.example.com:3128"},   {APP_SETTING_REMOTE_ENABLED, "On"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        if (!app_settings_set(settings, good[i][0], good[i][1], &error)) fail_msg("%s", error->message);
    }
}

static void test_bad_lines_are_ignored_and_named(void **state)
{
    Place *place = *state;
    write_raw(place, "[download]\nendpoint=http://evil.example\n[network]\ntimeout=-3\n[library]\nwatch=../x;\n[other]\nkey=1\n");
    g_autoptr(AppSettings) settings = open_settings(place);
    assert_text(settings, APP_SETTING_ENDPOINT, "https://huggingface.co");
    assert_int_equal(app_settings_get_number(settings, APP_SETTING_TIMEOUT), 30);
    g_autoptr(GPtrArray) faults = app_settings_list_faults(settings);
    assert_int_equal(faults->len, 4);
}

static void test_broken_files_stay_as_they_are(void **state)
{
    static const char broken[] = "this is no key file\n";
    Place *place = *state;
    g_autoptr(AppSettings) settings = open_settings(place);
    write_raw(place, broken);
    g_autoptr(GError) error = NULL, second = NULL;
    assert_null(app_settings_open(place->path, &error));
    assert_non_null(strstr(error->message, place->path));
    assert_false(app_settings_set(settings, APP_SETTING_THREADS, "2", &second));
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(place->path, &text, NULL, NULL));
    assert_string_equal(text, broken);
}

static void test_addresses_of_one_origin(void **state)
{
    g_auto(AppAddress) a = {0}, b = {0}, c = {0};
    assert_true(app_address_parse("https://Hub.Example/x/", APP_ADDRESS_LOOPBACK, false, &a, NULL));
    assert_true(app_address_parse("https://hub.example:443/y?z=1", APP_ADDRESS_LOOPBACK, true, &b, NULL));
    assert_true(app_address_parse("https://hub.example:8443", APP_ADDRESS_LOOPBACK, false, &c, NULL));
    assert_string_equal(a.origin, b.origin);
    assert_string_not_equal(a.origin, c.origin);
    assert_string_equal(a.text, "https://Hub.Example/x");
    assert_int_equal(a.reach, APP_ADDRESS_PUBLIC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_initial_values_need_no_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_survive_and_are_private, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_open_modes_are_tightened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_writers_lose_nothing_of_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_environment_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_invalid_values_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_lines_are_ignored_and_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_files_stay_as_they_are, set_up, tear_down),
        cmocka_unit_test(test_addresses_of_one_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
