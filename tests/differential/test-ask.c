/* Asking, as another process sees it: warm answers equal cold ones, no document token is computed twice, and what stands in one
 * document is never quoted from another. Runs the program itself: test-ask LECTERN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <glib.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "app-ask.h"
#include "select-tests.h"

static const char *program;

typedef struct Place {
    char *folder, *data, *model;
    char *files[3];
} Place;

/* Three documents that differ in one fact each: same words, other values. */
static const char *const names[] = {"north", "south", "west"};
static const char *const codes[] = {"7269234", "1840957", "5516820"};

static char *make_text(size_t number)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "# The %s house\n\n## Of the garden\n\n", names[number]);
    for (int i = 0; i < 12; i++)
        g_string_append_printf(text, "In year %d the gardener of the %s house planted %d apple trees and two rows of beans, and the rain came late.\n\n",
                               1800 + i, names[number], 3 + i);
    g_string_append_printf(text, "## Of the people\n\nNote: Katya Brandt has the secret code %s. Nobody else was told.\n\n", codes[number]);
    for (int i = 0; i < 6; i++) g_string_append(text, "The cook rose early, lit the fire, and said \"good morning\"\nto the cat; caf\xC3\xA9 was dear that year.\n\n");
    return g_string_free(text, FALSE);
}

static int set_up(void **state)
{
    Place *place = g_new0(Place, 1);
    place->folder = g_dir_make_tmp("lectern-ask-XXXXXX", NULL);
    assert_non_null(place->folder);
    place->data = g_build_filename(place->folder, "data", NULL);
    place->model = g_build_filename(g_getenv("LECTERN_RESOURCES"), "starter.safetensors", NULL);
    for (size_t i = 0; i < 3; i++) {
        g_autofree char *name = g_strdup_printf("%s.md", names[i]), *text = make_text(i);
        place->files[i] = g_build_filename(place->folder, name, NULL);
        assert_true(g_file_set_contents(place->files[i], text, -1, NULL));
    }
    *state = place;
    return 0;
}

static void remove_tree(const char *path)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
            remove_tree(child);
        else
            g_unlink(child);
    }
    if (dir) g_dir_close(dir);
    g_rmdir(path);
}

static int tear_down(void **state)
{
    Place *place = *state;
    remove_tree(place->folder);
    for (size_t i = 0; i < 3; i++) g_free(place->files[i]);
    g_free(place->folder);
    g_free(place->data);
    g_free(place->model);
    g_free(place);
    return 0;
}

/* Runs `lectern --data … --model … --json ARGUMENTS`; the exit status; *ret_out, *ret_err to be freed. */
static int run(const Place *place, const char *input, char **ret_out, char **ret_err, const char *first, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *const common[] = {program, "--data", place->data, "--model", place->model, "--json", "--quiet"};
    for (size_t i = 0; i < G_N_ELEMENTS(common); i++) g_ptr_array_add(argv, (char *)common[i]);
    va_list list;
    va_start(list, first);
    for (const char *argument = first; argument; argument = va_arg(list, const char *)) g_ptr_array_add(argv, (char *)argument);
    va_end(list);
    g_ptr_array_add(argv, NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *input_file = g_build_filename(place->folder, "input", NULL), *line = NULL;
    int status = -1;
    assert_true(g_file_set_contents(input_file, input ? input : "", -1, NULL));
    GString *command = g_string_new(NULL);
    for (guint i = 0; i + 1 < argv->len; i++) {
        g_autofree char *quoted = g_shell_quote(argv->pdata[i]);
        g_string_append_printf(command, "%s ", quoted);
    }
    g_autofree char *quoted_input = g_shell_quote(input_file);
    g_string_append_printf(command, "< %s", quoted_input);
    char *shell[] = {(char *)"/bin/sh", (char *)"-c", command->str, NULL};
    assert_true(g_spawn_sync(NULL, shell, NULL, G_SPAWN_DEFAULT, NULL, NULL, ret_out, ret_err, &status, &error));
    g_string_free(command, TRUE);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static json_t *parse(const char *line)
{
    json_error_t error;
    json_t *object = json_loads(line, 0, &error);
    if (!object) fail_msg("not JSON (%s): %s", error.text, line);
    return object;
}

static json_t *ask(const Place *place, const char *file, const char *question, const char *extra)
{
    char *out, *err;
    int code = file ? run(place, NULL, &out, &err, "ask", "-d", file, extra, question, NULL)
                    : run(place, NULL, &out, &err, "ask", extra, question, NULL);
    if (code != 0) fail_msg("exit %d: %s", code, err);
    json_t *object = parse(out);
    g_free(out);
    g_free(err);
    return object;
}

static json_int_t number(const json_t *object, const char *group, const char *name)
{
    json_t *value = json_object_get(json_object_get(object, group), name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static const char *text_of(const json_t *object, const char *group, const char *name)
{
    json_t *value = json_object_get(group ? json_object_get(object, group) : object, name);
    assert_true(json_is_string(value));
    return json_string_value(value);
}

/* The quotation stands in the file at the characters that it names. */
static void assert_verbatim(const json_t *answer, const char *file)
{
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(file, &text, NULL, NULL));
    json_int_t start = number(answer, "quotation", "source_start"), end = number(answer, "quotation", "source_end");
    g_autofree char *there = g_utf8_substring(text, (glong)start, (glong)end);
    assert_string_equal(there, text_of(answer, "quotation", "text"));
    assert_true(json_is_true(json_object_get(json_object_get(answer, "quotation"), "verified")));
}

static void promise_14_warm_equals_cold(void **state)
{
    const Place *place = *state;
    const char *question = "Tell me Katya Brandt's secret code.";
    char *out, *err;
    assert_int_equal(run(place, NULL, &out, &err, "read", "--no-model", place->files[0], NULL), 0);
    g_free(out);
    g_free(err);
    json_t *cold = ask(place, place->files[0], question, "--read"); /* reads and asks in one process */
    json_t *warm = ask(place, place->files[0], question, "--all");  /* another process: from the cache */
    assert_int_equal(number(warm, "tokens", "computed_document"), 0);
    assert_true(number(warm, "tokens", "cached") > 100);
    assert_int_equal(number(warm, "tokens", "attended"), number(warm, "tokens", "cached"));
    assert_true(number(warm, "us", "first_token") > 0 && number(warm, "us", "total") >= number(warm, "us", "first_token"));
    assert_string_equal(text_of(warm, NULL, "answer"), codes[0]);
    assert_verbatim(warm, place->files[0]);
    /* Everything but the times: texts, places, attention masses to the last bit, dropped mass. */
    json_object_del(cold, "us");
    json_object_del(warm, "us");
    char *a = json_dumps(cold, JSON_SORT_KEYS), *b = json_dumps(warm, JSON_SORT_KEYS);
    assert_string_equal(a, b);
    free(a);
    free(b);
    json_decref(cold);
    json_decref(warm);
}

static void read_all(const Place *place)
{
    char *out, *err;
    int code = run(place, NULL, &out, &err, "read", place->files[0], place->files[1], place->files[2], NULL);
    if (code != 0) fail_msg("read: exit %d: %s", code, err);
    g_free(out);
    g_free(err);
}

static void promise_15_documents_never_cross(void **state)
{
    const Place *place = *state;
    read_all(place);
    for (size_t i = 0; i < 3; i++) {
        json_t *answer = ask(place, place->files[i], "Tell me Katya Brandt's secret code.", "--all");
        assert_string_equal(text_of(answer, NULL, "answer"), codes[i]);
        assert_non_null(strstr(text_of(answer, "quotation", "document"), names[i]));
        assert_verbatim(answer, place->files[i]);
        size_t index;
        json_t *passage;
        json_array_foreach(json_object_get(answer, "passages"), index, passage)
            assert_non_null(strstr(json_string_value(json_object_get(passage, "document")), names[i]));
        json_decref(answer);
    }
    /* All three together: the same words at three places but for the code. */
    json_t *all = ask(place, NULL, "Tell me Katya Brandt's secret code.", "--all");
    size_t which = 0;
    while (which < 3 && !strstr(text_of(all, "quotation", "document"), names[which])) which++;
    assert_true(which < 3);
    assert_non_null(strstr(text_of(all, "quotation", "text"), codes[which]));
    assert_verbatim(all, place->files[which]);
    json_decref(all);
}

static void each_is_asked_by_itself(void **state)
{
    const Place *place = *state;
    read_all(place);
    char *out, *err;
    assert_int_equal(run(place, NULL, &out, &err, "ask", "--each", "Tell me Katya Brandt's secret code.", NULL), 0);
    g_auto(GStrv) lines = g_strsplit(g_strchomp(out), "\n", -1);
    assert_int_equal(g_strv_length(lines), 3);
    bool seen[3] = {false};
    for (size_t i = 0; i < 3; i++) {
        json_t *answer = parse(lines[i]);
        for (size_t n = 0; n < 3; n++)
            if (strstr(text_of(answer, "quotation", "document"), names[n])) {
                assert_string_equal(text_of(answer, NULL, "answer"), codes[n]);
                seen[n] = true;
            }
        json_decref(answer);
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    g_free(out);
    g_free(err);
    /* With a conversation, the whole table is one turn of it. */
    assert_int_equal(run(place, NULL, &out, &err, "ask", "--each", "--conversation", "codes", "Tell me Katya Brandt's secret code.", NULL), 0);
    g_free(out);
    g_free(err);
    g_autoptr(AppLibrary) library = app_library_open(place->data, NULL);
    int64_t conversation = app_ask_find_conversation(library, "codes", NULL, NULL);
    g_autoptr(GPtrArray) turns = app_library_list_turns(library, conversation, NULL);
    assert_int_equal(turns->len, 1);
    g_autoptr(GPtrArray) rows = app_ask_rows_from_turn(g_ptr_array_index(turns, 0));
    assert_int_equal(rows->len, 3);
    for (guint i = 0; i < rows->len; i++) {
        const AppAskRow *row = g_ptr_array_index(rows, i);
        assert_true(row->answer->found && row->answer->evidence[0].quotation.verified);
        assert_non_null(strstr(app_ask_row_answer(row), codes[strstr(row->title, "north") ? 0 : strstr(row->title, "south") ? 1 : 2]));
    }
}

static void questions_come_from_standard_input(void **state)
{
    const Place *place = *state;
    read_all(place);
    char *out, *err;
    int code = run(place, "Tell me Katya Brandt's secret code.\n\n  How many apple trees were planted in 1805?\n", &out, &err, "ask", "-d",
                   place->files[1], "--all", "-", NULL);
    assert_int_equal(code, 0);
    g_auto(GStrv) lines = g_strsplit(g_strchomp(out), "\n", -1);
    assert_int_equal(g_strv_length(lines), 2);
    json_t *first = parse(lines[0]), *second = parse(lines[1]), *alone = ask(place, place->files[1], "Tell me Katya Brandt's secret code.", "--all");
    assert_string_equal(text_of(second, NULL, "question"), "How many apple trees were planted in 1805?");
    json_object_del(first, "us");
    json_object_del(alone, "us");
    assert_true(json_equal(first, alone)); /* sections kept open change nothing */
    json_decref(first);
    json_decref(second);
    json_decref(alone);
    g_free(out);
    g_free(err);
}

static void choosing_keeps_the_right_section(void **state)
{
    const Place *place = *state;
    read_all(place);
    json_t *answer = ask(place, NULL, "What is the secret code of Katya Brandt of the south house?", "--budget-tokens=700");
    assert_true(number(answer, "tokens", "attended") < number(answer, "tokens", "cached"));
    assert_true(number(answer, "tokens", "attended") <= 2048);
    assert_non_null(strstr(text_of(answer, "quotation", "text"), "has the secret code"));
    json_decref(answer);
}

/* `lectern read FILE`: what became of the file, and its sections. */
static void read_one(const Place *place, const char *file, const char *added, json_int_t *ret_n_sections, json_int_t *ret_n_computed)
{
    char *out, *err;
    int code = run(place, NULL, &out, &err, "read", file, NULL);
    if (code != 0) fail_msg("read: exit %d: %s", code, err);
    json_t *object = parse(out);
    assert_string_equal(text_of(object, NULL, "added"), added);
    *ret_n_sections = number(object, "read", "sections");
    *ret_n_computed = number(object, "read", "sections_computed");
    json_decref(object);
    g_free(out);
    g_free(err);
}

/* A book of chapters, one of which can be another. */
static void write_book(const char *path, int changed)
{
    g_autoptr(GString) text = g_string_new("# A book that changes\n\n");
    for (int chapter = 1; chapter <= 5; chapter++) {
        g_string_append_printf(text, "## CHAPTER %d\n\n", chapter);
        for (int i = 0; i < 44; i++)
            g_string_append_printf(text, "In chapter %d the %s walked for %d miles along the river and thought of the house that stood there.\n\n", chapter,
                                   chapter == changed ? "ferryman" : "gardener", 3 + i);
    }
    assert_true(g_file_set_contents(path, text->str, -1, NULL));
}

static void only_changed_sections_are_read_again(void **state)
{
    const Place *place = *state;
    g_autofree char *path = g_build_filename(place->folder, "book.md", NULL), *moved = g_build_filename(place->folder, "moved.md", NULL);
    g_autofree char *copy = g_build_filename(place->folder, "copy.md", NULL);
    json_int_t n_sections, n_computed, n_again, n_changed;
    write_book(path, 0);
    read_one(place, path, "new", &n_sections, &n_computed);
    assert_true(n_sections >= 5);
    assert_int_equal(n_computed, n_sections);
    read_one(place, path, "unchanged", &n_again, &n_computed);
    assert_int_equal(n_computed, 0);
    write_book(path, 3);
    read_one(place, path, "changed", &n_again, &n_changed);
    assert_int_equal(n_again, n_sections);
    assert_true(n_changed >= 1 && n_changed * 5 <= n_sections); /* one chapter of five */
    /* What was read under another name is not read again. */
    assert_int_equal(g_rename(path, moved), 0);
    read_one(place, moved, "moved", &n_again, &n_computed);
    assert_int_equal(n_computed, 0);
    write_book(copy, 3);
    read_one(place, copy, "duplicate", &n_again, &n_computed);
    assert_int_equal(n_computed, 0);
}

/* What shares no word with the question is said to do so, and what answers it is not. */
static void doubtful_evidence_is_told(void **state)
{
    const Place *place = *state;
    read_all(place);
    json_t *good = ask(place, place->files[0], "Tell me Katya Brandt's secret code.", "--all");
    assert_true(json_is_false(json_object_get(json_object_get(good, "quotation"), "unrelated")));
    json_decref(good);
    json_t *strange = ask(place, place->files[0], "Which astronauts visited Jupiter?", "--all");
    json_t *quotation = json_object_get(strange, "quotation");
    assert_true(!json_is_true(json_object_get(strange, "found")) || json_is_true(json_object_get(quotation, "unrelated")));
    json_decref(strange);
}

static void failures_are_told_in_words(void **state)
{
    const Place *place = *state;
    char *out, *err;
    assert_int_equal(run(place, NULL, &out, &err, "ask", "Who?", NULL), 1);
    assert_non_null(strstr(err, "the library is empty"));
    g_free(out);
    g_free(err);
    assert_int_equal(run(place, NULL, &out, &err, "read", "--no-model", place->files[0], NULL), 0);
    g_free(out);
    g_free(err);
    assert_int_equal(run(place, NULL, &out, &err, "ask", "-d", place->files[0], "Who?", NULL), 1);
    assert_non_null(strstr(err, "not read"));
    assert_non_null(strstr(err, "--read"));
    g_free(out);
    g_free(err);
    assert_int_equal(run(place, NULL, &out, &err, "ask", "-d", "no such thing", "Who?", NULL), 1);
    assert_non_null(strstr(err, "no such thing"));
    g_free(out);
    g_free(err);
    assert_int_equal(run(place, NULL, &out, &err, "ask", NULL), 2);
    g_free(out);
    g_free(err);
}

static void conversations_keep_their_turns(void **state)
{
    const Place *place = *state;
    read_all(place);
    char *out, *err;
    for (int i = 0; i < 2; i++) {
        /* The second time without -d: the conversation knows. */
        int code = i == 0 ? run(place, NULL, &out, &err, "ask", "-d", place->files[2], "--conversation", "codes", "Tell me Katya Brandt's secret code.", NULL)
                          : run(place, NULL, &out, &err, "ask", "--conversation", "codes", "Tell me Katya Brandt's secret code.", NULL);
        assert_int_equal(code, 0);
        json_t *answer = parse(out);
        assert_string_equal(text_of(answer, NULL, "answer"), codes[2]);
        assert_int_equal(number(answer, "tokens", "computed_document"), 0);
        json_decref(answer);
        g_free(out);
        g_free(err);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(promise_14_warm_equals_cold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(promise_15_documents_never_cross, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_is_asked_by_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(questions_come_from_standard_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(choosing_keeps_the_right_section, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_changed_sections_are_read_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(doubtful_evidence_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_are_told_in_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(conversations_keep_their_turns, set_up, tear_down),
    };
    return RUN_SELECTED_TESTS(tests, argc - 1, argv + 1, NULL, NULL);
}
