/* test-cache-power.c: the power fails while a document is read in: promise 2 for the cache's files and their index.
 *
 * Owns: every moment of the work, and several states of the disk for each.
 * Does not own: how such a disk comes about (power-disk.h), the library (test-library-faults.c), stopped processes, whose writes all
 *               arrive (test-cache-io.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "cache-fixture.h"
#include "power-disk.h"
#include "select-tests.h"

enum { N_VARIANTS = 8 };

static eng_model *model;

static void test_promise_02_power_fails_before_every_event(void **state)
{
    (void)state;
    const char *given = getenv("LECTERN_TEST_SEED");
    uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 10) : 20260322;
    print_message("seed %u (LECTERN_TEST_SEED)\n", seed);
    eng_error error;
    char *run_folder = fixture_folder_new();
    power_disk_start(run_folder);
    eng_status status = fixture_work(run_folder, eng_fileops_default(), model, &error);
    power_disk_stop();
    assert_int_equal(status, ENG_OK);
    assert_true(power_disk_n_events() > 60);
    for (size_t crash = power_disk_first_event(); crash <= power_disk_n_events(); crash++) {
        for (int variant = 0; variant < N_VARIANTS; variant++) {
            char *folder = fixture_folder_new();
            power_disk_build(crash, variant, seed, folder);
            char *problem = fixture_find_problem(folder, model, true); /* a torn stretch between whole records is waste, not an entry */
            if (problem) fail_msg("power fails before event %zu, variant %d: %s", crash, variant, problem);
            fixture_folder_free(folder);
        }
    }
    print_message("%zu events, %d states of the disk at each\n", power_disk_n_events(), N_VARIANTS);
    power_disk_clear();
    fixture_folder_free(run_folder);
}

int main(int argc, char **argv)
{
    model = fixture_model_new(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_promise_02_power_fails_before_every_event)};
    int result = RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
    fixture_model_free(model);
    return result;
}
