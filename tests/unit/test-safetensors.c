/* test-safetensors.c: files that lie are refused with the reason; honest ones give their tensors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "safetensors.h"
#include "select-tests.h"

static char path[] = "/tmp/lectern-safetensors-XXXXXX";

static void write_file(uint64_t header_bytes, const char *header, size_t n_data)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (unsigned i = 0; i < 8; i++) fputc((int)(header_bytes >> (8 * i) & 255), file);
    fputs(header, file);
    for (size_t i = 0; i < n_data; i++) fputc((int)(i & 255), file);
    assert_int_equal(fclose(file), 0);
}

typedef struct hostile {
    const char *header, *reason;
    uint64_t header_bytes; /* 0: the true length */
    size_t n_data;
} hostile;

#define T(name, dtype, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static const hostile cases[] = {
    {"{}     ", "larger than the file", 1000, 0},
    {"{}     ", "larger than 100 MB", 100000001, 0},
    {"{}     ", "larger than 100 MB", UINT64_MAX, 0},
    {"[]     ", "not a safetensors file", 0, 0},
    {"{\"a\":  ", "not valid JSON", 0, 0},
    {"{" T("a", "F32", "[2]", 0, 8) "," T("a", "F32", "[2]", 0, 8) "}", "not valid JSON: duplicate", 0, 8},
    {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 4, 12) "}", "overlaps", 0, 12},
    {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 0, 8) "}", "overlaps", 0, 8},
    {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 16, 24) "}", "a hole", 0, 24},
    {"{" T("a", "F32", "[2]", 4, 12) "}", "a hole", 0, 12},
    {"{" T("a", "F32", "[2]", 0, 8) "}", "after the last tensor", 0, 9},
    {"{" T("a", "F32", "[4294967296,4294967296]", 0, 0) "}", "overflows", 0, 0},
    {"{" T("a", "F32", "[4611686018427387904]", 0, 0) "}", "overflows", 0, 0},
    {"{" T("a", "F32", "[2]", 0, 12) "}", "need 8 bytes", 0, 12},
    {"{" T("a", "F32", "[2]", 8, 0) "}", "outside the file", 0, 8},
    {"{" T("a", "F32", "[2]", 0, 8) "}", "outside the file", 0, 4},
    {"{" T("a", "F32", "[-2]", 0, 8) "}", "not a size", 0, 8},
    {"{" T("a", "F32", "[1.5]", 0, 8) "}", "not a size", 0, 8},
    {"{" T("a", "F32", "[99999999999999999999]", 0, 8) "}", "not valid JSON", 0, 8},
    {"{" T("a", "F31", "[2]", 0, 8) "}", "unknown type", 0, 8},
    {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}", "dimensions", 0, 8},
    {"{\"a\":{\"dtype\":\"F32\"}}", "missing", 0, 8},
    {"{\"a\":7}", "missing", 0, 8},
    {"{" T("a", "U8", "[1]", 0, 1) "," T("b", "F32", "[2]", 1, 9) "}", "misaligned", 0, 9},
};

static void promise_18_refuses_hostile_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char padded[1024];
        int n = snprintf(padded, sizeof padded, "%s", cases[i].header);
        while ((n + 8) % 8 != 0) padded[n++] = ' ';
        padded[n] = '\0';
        write_file(cases[i].header_bytes != 0 ? cases[i].header_bytes : (uint64_t)n, padded, cases[i].n_data);
        eng_safetensors *file = NULL;
        eng_error error = {0};
        assert_int_not_equal(eng_safetensors_open(path, &file, &error), ENG_OK);
        assert_null(file);
        if (strstr(error.message, cases[i].reason) == NULL) fail_msg("case %zu: “%s” does not say “%s”", i, error.message, cases[i].reason);
        assert_non_null(strstr(error.message, path));
    }
}

static void promise_18_refuses_deep_nesting_and_short_files(void **state)
{
    (void)state;
    static char deep[4096];
    memset(deep, '[', sizeof deep - 1);
    memcpy(deep, "{\"a\":", 5);
    write_file(sizeof deep - 1, deep, 0);
    eng_safetensors *file = NULL;
    eng_error error = {0};
    assert_int_equal(eng_safetensors_open(path, &file, &error), ENG_BAD_FILE);
    assert_non_null(strstr(error.message, "nested"));
    assert_int_equal(truncate(path, 5), 0);
    assert_int_equal(eng_safetensors_open(path, &file, &error), ENG_BAD_FILE);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(eng_safetensors_open(path, &file, &error), ENG_BAD_FILE);
    assert_int_equal(eng_safetensors_open("/nowhere/at.all", &file, &error), ENG_NOT_FOUND);
}

static void gives_tensors(void **state)
{
    (void)state;
    const char *header =
        "{\"__metadata__\":{\"k\":\"v\"}," T("b", "F32", "[2,1]", 4, 12) "," T("a", "U8", "[4]", 0, 4) "," T("z", "F16", "[0]", 12, 12) "}";
    char padded[512];
    int n = snprintf(padded, sizeof padded, "%s", header);
    while (n % 8 != 0) padded[n++] = ' ';
    padded[n] = '\0';
    write_file((uint64_t)n, padded, 12);
    eng_safetensors *file = NULL;
    assert_int_equal(eng_safetensors_open(path, &file, NULL), ENG_OK);
    const eng_tensor *b = eng_safetensors_find(file, "b");
    assert_non_null(b);
    assert_int_equal(b->n_bytes, 8);
    assert_int_equal(b->data[0], 4);
    assert_int_equal(b->n_dims, 2);
    assert_int_equal(b->shape[0], 2);
    assert_int_equal(eng_safetensors_find(file, "z")->n_bytes, 0);
    assert_null(eng_safetensors_find(file, "c"));
    assert_string_equal(eng_safetensors_metadata(file, "k"), "v");
    eng_safetensors_close(file);
}

int main(int argc, char **argv)
{
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promise_18_refuses_hostile_files),
        cmocka_unit_test(promise_18_refuses_deep_nesting_and_short_files),
        cmocka_unit_test(gives_tensors),
    };
    int failed = RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
    unlink(path);
    return failed;
}
