/* digest.c: SHA-256 of memory and files (nettle), and the memo of digests.
 *
 * Owns: reading a file once for its digest; the memo file's lines (see digest.h).
 * Does not own: what digests are compared with (identity.c, the cache).
 */
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    READ_BYTES = 1 << 20,
    MEMO_BYTES_MAX = 1 << 20, /* a longer memo is started anew */
};

void eng_sha256(const void *data, size_t n_bytes, eng_digest *ret_digest)
{
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, n_bytes, data);
    sha256_digest(&context, sizeof ret_digest->bytes, ret_digest->bytes);
}

void eng_digest_text(const eng_digest *digest, char ret_text[65])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof digest->bytes; i++) {
        ret_text[2 * i] = hex[digest->bytes[i] >> 4];
        ret_text[2 * i + 1] = hex[digest->bytes[i] & 15];
    }
    ret_text[64] = '\0';
}

static bool parse_digest(const char *text, eng_digest *ret_digest)
{
    for (size_t i = 0; i < sizeof ret_digest->bytes; i++) {
        unsigned value = 0;
        for (size_t half = 0; half < 2; half++) {
            char c = text[2 * i + half];
            unsigned nibble = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
            if (nibble > 15) return false;
            value = value << 4 | nibble;
        }
        ret_digest->bytes[i] = (uint8_t)value;
    }
    return true;
}

static eng_status digest_descriptor(int fd, const char *path, const bool *cancel, eng_digest *ret_digest, eng_error *error)
{
    uint8_t *buffer = malloc(READ_BYTES);
    if (buffer == NULL) return eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", path);
    struct sha256_ctx context;
    sha256_init(&context);
    eng_status status = ENG_OK;
    for (;;) {
        if (cancel != NULL && __atomic_load_n(cancel, __ATOMIC_RELAXED)) {
            status = eng_fail(error, ENG_CANCELLED, "%s: cancelled", path);
            break;
        }
        ssize_t n = read(fd, buffer, READ_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = eng_fail(error, ENG_IO, "%s: %s", path, eng_errno_text(errno));
        if (n <= 0) break;
        sha256_update(&context, (size_t)n, buffer);
    }
    if (status == ENG_OK) sha256_digest(&context, sizeof ret_digest->bytes, ret_digest->bytes);
    free(buffer);
    return status;
}

eng_status eng_sha256_file(const char *path, const bool *cancel, eng_digest *ret_digest, eng_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return eng_fail(error, errno == ENOENT ? ENG_NOT_FOUND : ENG_IO, "%s: %s", path, eng_errno_text(errno));
    eng_status status = digest_descriptor(fd, path, cancel, ret_digest, error);
    close(fd);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------------ memo */

static char *read_memo(const char *memo_path)
{
    FILE *file = fopen(memo_path, "re");
    if (file == NULL) return NULL;
    char *text = malloc(MEMO_BYTES_MAX + 1);
    size_t n = text == NULL ? 0 : fread(text, 1, MEMO_BYTES_MAX + 1, file);
    fclose(file);
    if (text == NULL || n > MEMO_BYTES_MAX) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    return text;
}

/* What stands between digest and path in a line. */
static void format_stamp(const struct stat *st, char ret_stamp[80])
{
    int64_t mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    snprintf(ret_stamp, 80, "%" PRIu64 " %" PRIu64 " %" PRId64, (uint64_t)st->st_size, (uint64_t)st->st_ino, mtime_ns);
}

static bool find_in_memo(const char *memo, const char *tail, eng_digest *ret_digest)
{
    for (const char *line = memo; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        eng_digest digest;
        if (n > 65 && line[64] == ' ' && n - 65 == strlen(tail) && memcmp(line + 65, tail, n - 65) == 0 && parse_digest(line, &digest)) {
            *ret_digest = digest;
            return true;
        }
        line += n + (line[n] == '\n');
    }
    return false;
}

/* Keeps every line of other paths. Written beside and renamed, so that a reader never sees half a memo. */
static void write_memo(const char *memo_path, const char *memo, const char *path, const char *tail, const eng_digest *digest)
{
    size_t size = strlen(memo_path) + 32;
    char *beside = malloc(size);
    if (beside == NULL) return;
    snprintf(beside, size, "%s.%ld.tmp", memo_path, (long)getpid());
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL) {
        if (fd >= 0) {
            close(fd);
            unlink(beside);
        }
        free(beside);
        return;
    }
    size_t path_bytes = strlen(path);
    for (const char *line = memo; line != NULL && *line != '\0';) {
        size_t n = strcspn(line, "\n");
        bool same = n > path_bytes && line[n - path_bytes - 1] == ' ' && memcmp(line + n - path_bytes, path, path_bytes) == 0;
        if (!same && n > 65) fprintf(file, "%.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
    char text[65];
    eng_digest_text(digest, text);
    fprintf(file, "%s %s\n", text, tail);
    bool bad = ferror(file) != 0;
    bad |= fclose(file) != 0;
    if (bad || rename(beside, memo_path) != 0) unlink(beside);
    free(beside);
}

eng_status eng_digest_file(const char *path, const char *memo_path, eng_digest *ret_digest, eng_error *error)
{
    struct stat before, after;
    char *whole = memo_path == NULL ? NULL : realpath(path, NULL);
    if (whole == NULL || strchr(whole, '\n') != NULL || stat(whole, &before) != 0) {
        free(whole);
        return eng_sha256_file(path, NULL, ret_digest, error);
    }
    char stamp[80];
    format_stamp(&before, stamp);
    size_t tail_bytes = strlen(whole) + sizeof stamp + 2;
    char *tail = malloc(tail_bytes);
    char *memo = read_memo(memo_path);
    eng_status status = ENG_OK;
    if (tail == NULL) {
        status = eng_fail(error, ENG_NO_MEMORY, "%s: out of memory", path);
        goto out;
    }
    snprintf(tail, tail_bytes, "%s %s", stamp, whole);
    if (memo != NULL && find_in_memo(memo, tail, ret_digest)) goto out;
    eng_digest digest;
    status = eng_sha256_file(whole, NULL, &digest, error);
    if (status != ENG_OK) goto out;
    char stamp_after[80];
    if (stat(whole, &after) == 0) {
        format_stamp(&after, stamp_after);
        if (strcmp(stamp, stamp_after) == 0) write_memo(memo_path, memo, whole, tail, &digest);
    }
    *ret_digest = digest;
out:
    free(memo);
    free(tail);
    free(whole);
    return status;
}
