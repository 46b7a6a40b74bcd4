/* test-module.c: the module's file on any machine: it loads, is of this program's version, and says what GPUs there are, or why none.
 *
 * usage: test-module lectern-cuda.so
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kern-gpu.h"

static const char *path;

static void test_loads_and_probes(void **state)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail_msg("%s", dlerror());
    kern_gpu_module_get_fn get = (kern_gpu_module_get_fn)dlsym(library, KERN_GPU_SYMBOL);
    assert_non_null(get);
    assert_null(dlsym(library, "kern_rope_fill")); /* the kernels inside it are its own affair */
    const kern_gpu_module *module = get();
    assert_int_equal(module->abi, KERN_GPU_ABI);
    kern_gpu_device devices[4];
    kern_gpu_error error = {0};
    size_t n = module->probe(devices, 4, &error);
    if (n == 0) {
        assert_int_equal(error.status, KERN_GPU_NO_DEVICE);
        assert_true(strlen(error.message) > 5);
    }
    for (size_t i = 0; i < n && i < 4; i++) {
        assert_true(devices[i].name[0] && devices[i].total_bytes);
        assert_true(devices[i].usable == (devices[i].reason[0] == '\0'));
    }
    kern_gpu *gpu = NULL;
    kern_gpu_model nothing = {0};
    assert_int_equal(module->open(&nothing, 0, 0, &gpu, &error), KERN_GPU_BAD_ARGUMENT);
    assert_null(gpu);
    module->close(NULL);
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    path = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_loads_and_probes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
