/* select-tests.h: one program holds several tests; the suite names some of them one by one (tests/promise/meson.build).
 *
 * Owns: the last argument of a test program: PATTERN runs the tests whose names match it, !PATTERN runs the others, none runs all.
 *       A pattern that leaves nothing to run is a failure, so that a renamed test is not lost.
 * Does not own: the tests. Include it after cmocka.h.
 */
#ifndef SELECT_TESTS_H
#define SELECT_TESTS_H

#include <fnmatch.h>
#include <stdio.h>

static inline int run_selected_tests(const struct CMUnitTest *tests, size_t n_tests, int argc, char **argv, CMFixtureFunction before_all,
                                     CMFixtureFunction after_all)
{
    if (argc > 1) {
        int is_skip = argv[argc - 1][0] == '!';
        const char *pattern = argv[argc - 1] + is_skip;
        size_t n_run = 0;
        for (size_t i = 0; i < n_tests; i++) n_run += (fnmatch(pattern, tests[i].name, 0) == 0) != is_skip;
        if (n_run == 0) {
            fprintf(stderr, "no test is named %s\n", argv[argc - 1]);
            return 1;
        }
        if (is_skip) cmocka_set_skip_filter(pattern);
        if (!is_skip) cmocka_set_test_filter(pattern);
    }
    return _cmocka_run_group_tests("tests", tests, n_tests, before_all, after_all);
}

#define RUN_SELECTED_TESTS(tests, argc, argv, set_up, tear_down) \
    run_selected_tests(tests, sizeof(tests) / sizeof((tests)[0]), argc, argv, set_up, tear_down)

#endif
