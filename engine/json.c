/* json.c: see json.h. */
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 128 };

eng_status eng_file_read(const char *path, size_t bytes_max, char **ret_data, size_t *ret_n_bytes, eng_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return eng_fail(error, errno == ENOENT ? ENG_NOT_FOUND : ENG_IO, "%s: %s", path, eng_errno_text(errno));
    struct stat st;
    eng_status status = ENG_OK;
    char *data = NULL;
    if (fstat(fd, &st) != 0) {
        status = eng_fail(error, ENG_IO, "%s: %s", path, eng_errno_text(errno));
    } else if (!S_ISREG(st.st_mode)) {
        status = eng_fail(error, ENG_BAD_FILE, "%s: not a regular file", path);
    } else if ((uint64_t)st.st_size > bytes_max) {
        status = eng_fail(error, ENG_LIMIT, "%s: larger than %zu bytes", path, bytes_max);
    } else if ((data = malloc((size_t)st.st_size + 1)) == NULL) {
        status = eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", path);
    }
    size_t n = 0;
    while (status == ENG_OK && n < (size_t)st.st_size) {
        ssize_t got = read(fd, data + n, (size_t)st.st_size - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = eng_fail(error, ENG_IO, "%s: %s", path, eng_errno_text(errno));
        if (got <= 0) break;
        n += (size_t)got;
    }
    close(fd);
    if (status != ENG_OK) {
        free(data);
        return status;
    }
    data[n] = '\0';
    *ret_data = data;
    *ret_n_bytes = n;
    return ENG_OK;
}

static eng_status check_size(const char *data, size_t n_bytes, size_t values_max, const char *name, eng_error *error)
{
    size_t values = 1, depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n_bytes; i++) {
        char c = data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX) return eng_fail(error, ENG_BAD_FILE, "%s: nested more than %d deep", name, DEPTH_MAX);
            values++;
        } else if (c == '}' || c == ']') {
            if (depth > 0) depth--;
        } else if (c == ',') {
            values++;
        }
    }
    if (values > values_max) return eng_fail(error, ENG_BAD_FILE, "%s: more than %zu values", name, values_max);
    return ENG_OK;
}

eng_status eng_json_parse(const char *data, size_t n_bytes, size_t values_max, const char *name, json_t **ret_root, eng_error *error)
{
    eng_status status = check_size(data, n_bytes, values_max, name, error);
    if (status != ENG_OK) return status;
    json_error_t json_error;
    json_t *root = json_loadb(data, n_bytes, JSON_REJECT_DUPLICATES, &json_error);
    if (root == NULL) {
        if (json_error_code(&json_error) == json_error_out_of_memory) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", name);
        return eng_fail(error, ENG_BAD_FILE, "%s: not valid JSON: %s (line %d)", name, json_error.text, json_error.line);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return eng_fail(error, ENG_BAD_FILE, "%s: not a JSON object", name);
    }
    *ret_root = root;
    return ENG_OK;
}
