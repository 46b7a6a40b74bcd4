/* app-download-file.c: see app-download-file.h. */
#include "app-download-file.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <glib/gstdio.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    REDIRECTS_MAX = 10,
    WAIT_MS_FIRST = 500,
    WAIT_MS_MAX = 30000,
    OBEYED_WAIT_S_MAX = 120, /* a server that asks for more is left alone */
    ETAG_BYTES_MAX = 512,
    RESTARTS_MAX = 3, /* of one run: a file that changes more often is not to be had */
    HASH_BYTES = 1 << 20,
};

/* One request for the file, or for the rest of it. */
typedef struct Piece {
    const AppFetch *fetch;
    const char *part_path, *etag_path;
    int fd;
    uint64_t n_there;  /* bytes of the part */
    uint64_t n_start;  /* the range asked for */
    char *known_etag;  /* of the part; NULL: none */
    bool restart;      /* what is there does not go on: begin anew */
    bool gained;       /* bytes came */
} Piece;

static char *beside(const char *folder, const char *path, const char *suffix)
{
    g_autofree char *name = g_strconcat(path, suffix, NULL);
    return g_build_filename(folder, name, NULL);
}

static bool fail_errno(const char *path, GError **error)
{
    int code = errno;
    g_set_error(error, APP_DOWNLOAD_ERROR, code == ENOSPC || code == EDQUOT ? APP_DOWNLOAD_ERROR_SPACE : APP_DOWNLOAD_ERROR_FAILED, "%s: %s%s",
                path, g_strerror(code), code == ENOSPC ? _("; free some space, then run it again: it goes on from here") : "");
    return false;
}

static bool fail_damaged(const AppFetch *fetch, const char *reason, GError **error)
{
    g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_DAMAGED, _("%s of %s: %s; nothing was installed"), fetch->file->path,
                fetch->repository, reason);
    return false;
}

/* ----------------------------------------------------------------------------------------------------- what is there */

static bool plain_file_bytes(const char *path, uint64_t *ret_n)
{
    GStatBuf info;
    if (g_lstat(path, &info) != 0 || !S_ISREG(info.st_mode)) return false;
    *ret_n = (uint64_t)info.st_size;
    return true;
}

bool app_fetch_is_done(const char *folder, const AppHubFile *file)
{
    g_autofree char *path = beside(folder, file->path, "");
    uint64_t n = 0;
    return plain_file_bytes(path, &n) && n == file->n_bytes;
}

uint64_t app_fetch_bytes_there(const char *folder, const AppHubFile *file)
{
    g_autofree char *part = beside(folder, file->path, ".part");
    uint64_t n = 0;
    if (app_fetch_is_done(folder, file)) return file->n_bytes;
    return plain_file_bytes(part, &n) && n <= file->n_bytes ? n : 0;
}

void app_fetch_forget(const char *folder, const char *path)
{
    static const char *const suffixes[] = {"", ".part", ".etag"};
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *name = beside(folder, path, suffixes[i]);
        g_unlink(name);
    }
}

/* A strong validator as it was sent (RFC 9110, 8.8.3): a weak one does not tell bytes apart. */
static bool is_strong(const char *etag)
{
    size_t n = etag != NULL ? strlen(etag) : 0;
    return n >= 2 && n <= ETAG_BYTES_MAX && etag[0] == '"' && etag[n - 1] == '"' && strpbrk(etag, "\r\n") == NULL;
}

static char *read_etag(const char *path)
{
    g_autofree char *text = NULL;
    uint64_t n = 0;
    if (!plain_file_bytes(path, &n) || n > ETAG_BYTES_MAX || !g_file_get_contents(path, &text, NULL, NULL)) return NULL;
    return is_strong(text) ? g_steal_pointer(&text) : NULL;
}

/* ------------------------------------------------------------------------------------------------------- the reply's body */

/* "bytes 100-199/200": whether it begins where it must and is of a file of this size. */
static bool range_fits(const char *content_range, uint64_t n_start, uint64_t n_bytes)
{
    if (content_range == NULL || !g_str_has_prefix(content_range, "bytes ")) return false;
    char *end = NULL;
    guint64 first = g_ascii_strtoull(content_range + strlen("bytes "), &end, 10);
    if (*end != '-' || first != n_start) return false;
    guint64 last = g_ascii_strtoull(end + 1, &end, 10);
    if (*end != '/' || last < first || last >= n_bytes) return false;
    return strcmp(end + 1, "*") == 0 || (g_ascii_strtoull(end + 1, &end, 10) == n_bytes && *end == '\0');
}

static bool begin_anew(Piece *piece, GError **error)
{
    if (ftruncate(piece->fd, 0) != 0 || lseek(piece->fd, 0, SEEK_SET) != 0) return fail_errno(piece->part_path, error);
    piece->n_there = 0;
    return true;
}

static bool check_version(const AppFetch *fetch, const AppHttpReply *reply, GError **error)
{
    const char *linked = reply->linked_etag;
    if (reply->encoded) return fail_damaged(fetch, _("it comes compressed, which was not asked for"), error);
    if (fetch->file->sha256 == NULL || linked == NULL || strlen(linked) != 64 || g_ascii_strcasecmp(linked, fetch->file->sha256) == 0) return true;
    return fail_damaged(fetch, _("the server has another version than its list says"), error);
}

static bool take_reply(void *user, const AppHttpReply *reply, GError **error)
{
    Piece *piece = user;
    const AppHubFile *file = piece->fetch->file;
    if (!check_version(piece->fetch, reply, error)) return false;
    bool same = piece->known_etag == NULL || reply->etag == NULL || strcmp(piece->known_etag, reply->etag) == 0;
    if (reply->status == 206 && piece->n_start > 0) {
        if (same && range_fits(reply->content_range, piece->n_start, file->n_bytes)) return true;
        piece->restart = true;
        g_set_error_literal(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_CUT, _("the file changed on the server"));
        return false;
    }
    if (reply->status != 200) {
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_FAILED, _("%s answers with status %ld for %s"), reply->host, reply->status, file->path);
        return false;
    }
    /* The whole file: the range was ignored, or what is there is of another version. */
    if (reply->n_bytes >= 0 && (uint64_t)reply->n_bytes != file->n_bytes) {
        g_autofree char *reason = g_strdup_printf(_("it has %" PRId64 " bytes, the list says %" PRIu64), reply->n_bytes, file->n_bytes);
        return fail_damaged(piece->fetch, reason, error);
    }
    if (!begin_anew(piece, error)) return false;
    g_unlink(piece->etag_path);
    /* Without it the rest is asked for without a condition; the hash decides. */
    if (is_strong(reply->etag)) g_file_set_contents_full(piece->etag_path, reply->etag, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL);
    return true;
}

static bool take_bytes(void *user, const char *bytes, size_t n, GError **error)
{
    Piece *piece = user;
    const AppFetch *fetch = piece->fetch;
    if (n > fetch->file->n_bytes - piece->n_there) {
        fail_damaged(fetch, _("the server sends more than its list says"), error);
        app_fetch_forget(fetch->folder, fetch->file->path);
        return false;
    }
    for (size_t done = 0; done < n;) {
        ssize_t written = write(piece->fd, bytes + done, n - done);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail_errno(piece->part_path, error);
        done += (size_t)written;
        piece->n_there += (uint64_t)written;
    }
    piece->gained = piece->gained || n > 0;
    fetch->progress(fetch->user, APP_DOWNLOAD_FETCHING, piece->n_there, NULL);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- one request */

typedef enum Outcome {
    OUTCOME_DONE,
    OUTCOME_AGAIN,      /* worth another try; *error says what went wrong this time */
    OUTCOME_FAILED,
} Outcome;

static Outcome judge_error(const Piece *piece, const GError *error)
{
    if (piece->restart) return OUTCOME_AGAIN;
    if (error->domain != APP_HTTP_ERROR) return OUTCOME_FAILED;
    return error->code == APP_HTTP_ERROR_CUT || error->code == APP_HTTP_ERROR_STALLED || error->code == APP_HTTP_ERROR_OFFLINE ? OUTCOME_AGAIN
                                                                                                                          : OUTCOME_FAILED;
}

/* 416: what is there is longer than the file, or the server counts in another way. 429 and 5xx: later. */
static Outcome judge_status(Piece *piece, const AppHttpReply *reply, int64_t *ret_wait_ms, GError **error)
{
    const AppFetch *fetch = piece->fetch;
    if (reply->status == 416 && piece->n_start > 0) {
        piece->restart = true;
        g_set_error_literal(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_CUT, _("the server does not go on from there"));
        return OUTCOME_AGAIN;
    }
    app_hub_set_status_error(reply, fetch->repository, fetch->hub->token[0] != '\0', error);
    bool later = reply->status == 429 || reply->status == 408 || reply->status >= 500;
    if (!later || reply->retry_after_s > OBEYED_WAIT_S_MAX) return OUTCOME_FAILED;
    if (reply->retry_after_s >= 0) *ret_wait_ms = reply->retry_after_s * 1000;
    return OUTCOME_AGAIN;
}

static Outcome request_piece(Piece *piece, int64_t *ret_wait_ms, GError **error)
{
    const AppFetch *fetch = piece->fetch;
    g_autofree char *url = app_hub_file_url(fetch->hub, fetch->repository, fetch->commit, fetch->file->path);
    AppHttpRequest request = {.url = url, .bearer = fetch->hub->token, .range_start = piece->n_start, .if_range = piece->known_etag,
                              .least_plain = APP_ADDRESS_LOOPBACK, .n_redirects_max = REDIRECTS_MAX,
                              .n_body_bytes_max = fetch->file->n_bytes + 1, /* take_bytes has the better words */
                              .on_reply = take_reply, .on_body = take_bytes, .user = piece, .cancel = fetch->hub->cancel};
    g_auto(AppHttpReply) reply = {0};
    GError *failure = NULL;
    if (!app_http_fetch(fetch->hub->http, &request, &reply, &failure)) {
        Outcome outcome = judge_error(piece, failure);
        g_propagate_error(error, failure);
        return outcome;
    }
    if (reply.status < 200 || reply.status > 299) return judge_status(piece, &reply, ret_wait_ms, error);
    if (piece->n_there == fetch->file->n_bytes) return OUTCOME_DONE;
    g_set_error(error, APP_HTTP_ERROR, APP_HTTP_ERROR_CUT, _("the connection to %s ended early"), reply.host);
    return OUTCOME_AGAIN;
}

/* Opens the part and asks for what is missing. */
static Outcome try_once(Piece *piece, int64_t *ret_wait_ms, GError **error)
{
    const AppFetch *fetch = piece->fetch;
    piece->fd = open(piece->part_path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (piece->fd < 0) {
        fail_errno(piece->part_path, error);
        return OUTCOME_FAILED;
    }
    off_t end = lseek(piece->fd, 0, SEEK_END);
    piece->n_there = end > 0 ? (uint64_t)end : 0;
    Outcome outcome = OUTCOME_DONE;
    if ((piece->restart || piece->n_there > fetch->file->n_bytes) && !begin_anew(piece, error)) outcome = OUTCOME_FAILED;
    piece->restart = false;
    piece->gained = false;
    piece->n_start = piece->n_there;
    piece->known_etag = piece->n_start > 0 ? read_etag(piece->etag_path) : NULL;
    if (outcome == OUTCOME_DONE && piece->n_there < fetch->file->n_bytes) outcome = request_piece(piece, ret_wait_ms, error);
    g_clear_pointer(&piece->known_etag, g_free);
    if (fsync(piece->fd) != 0) {
        if (outcome == OUTCOME_DONE) fail_errno(piece->part_path, error);
        outcome = OUTCOME_FAILED;
        g_unlink(piece->part_path); /* what the disk holds of it is not known any more, and reading it again would not tell */
    }
    close(piece->fd);
    return outcome;
}

static void set_kept_error(GError *failure, const AppFetch *fetch, GError **error)
{
    int code = g_error_matches(failure, APP_HTTP_ERROR, APP_HTTP_ERROR_OFFLINE) ? APP_DOWNLOAD_ERROR_OFFLINE
               : failure->domain == APP_HTTP_ERROR                              ? APP_DOWNLOAD_ERROR_CUT
                                                                                : failure->code;
    g_set_error(error, APP_DOWNLOAD_ERROR, code, _("%s: %s. What was fetched is kept: the same command goes on from there"), fetch->file->path,
                failure->message);
    g_error_free(failure);
}

/* Until the part is whole. */
static bool fetch_part(Piece *piece, GError **error)
{
    const AppFetch *fetch = piece->fetch;
    unsigned n_failed = 0, n_restarts = 0;
    for (;;) {
        GError *failure = NULL;
        int64_t wait_ms = MIN((int64_t)WAIT_MS_FIRST << MIN(n_failed, 10u), WAIT_MS_MAX);
        Outcome outcome = try_once(piece, &wait_ms, &failure);
        if (outcome == OUTCOME_DONE) return true;
        if (outcome == OUTCOME_FAILED) {
            g_propagate_error(error, failure);
            return false;
        }
        if (piece->restart) {
            wait_ms = 0;
            n_restarts++;
        } else {
            n_failed = piece->gained && fetch->n_retries > 0 ? 0 : n_failed + 1;
        }
        if (n_failed > fetch->n_retries || n_restarts > RESTARTS_MAX) {
            set_kept_error(failure, fetch, error);
            return false;
        }
        g_autofree char *message = g_strdup_printf(_("%s; going on in %" PRId64 " s"), failure->message, (wait_ms + 999) / 1000);
        g_error_free(failure);
        fetch->progress(fetch->user, APP_DOWNLOAD_WAITING, piece->n_there, message);
        if (!app_http_wait(wait_ms, fetch->hub->cancel, error)) return false;
    }
}

/* --------------------------------------------------------------------------------------------------------------- checking */

typedef struct Hash {
    struct sha256_ctx sha256;
    struct sha1_ctx sha1;
    bool is_blob; /* a git blob's SHA-1 instead */
} Hash;

static void hash_begin(Hash *hash, const AppHubFile *file)
{
    *hash = (Hash){.is_blob = file->sha256 == NULL};
    sha256_init(&hash->sha256);
    sha1_init(&hash->sha1);
    g_autofree char *head = g_strdup_printf("blob %" G_GUINT64_FORMAT, file->n_bytes);
    if (hash->is_blob) sha1_update(&hash->sha1, strlen(head) + 1, (const uint8_t *)head);
}

static void hash_add(Hash *hash, const uint8_t *bytes, size_t n)
{
    if (hash->is_blob)
        sha1_update(&hash->sha1, n, bytes);
    else
        sha256_update(&hash->sha256, n, bytes);
}

static char *hash_end(Hash *hash)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    size_t n = hash->is_blob ? SHA1_DIGEST_SIZE : SHA256_DIGEST_SIZE;
    if (hash->is_blob)
        sha1_digest(&hash->sha1, n, digest);
    else
        sha256_digest(&hash->sha256, n, digest);
    GString *text = g_string_new(NULL);
    for (size_t i = 0; i < n; i++) g_string_append_printf(text, "%02x", digest[i]);
    return g_string_free(text, FALSE);
}

/* Of the bytes as they lie on the disk. NULL: it could not be read, or it was cancelled. */
static char *hash_file(const AppFetch *fetch, const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return fail_errno(path, error) ? NULL : NULL;
    g_autofree uint8_t *buffer = g_malloc(HASH_BYTES);
    Hash hash;
    hash_begin(&hash, fetch->file);
    uint64_t n_done = 0;
    bool good = true;
    for (ssize_t n; good && (n = read(fd, buffer, HASH_BYTES)) != 0;) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            good = fail_errno(path, error);
            break;
        }
        hash_add(&hash, buffer, (size_t)n);
        n_done += (uint64_t)n;
        fetch->progress(fetch->user, APP_DOWNLOAD_CHECKING, n_done, NULL);
        if (fetch->hub->cancel != NULL && __atomic_load_n(fetch->hub->cancel, __ATOMIC_RELAXED)) {
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("stopped"));
            good = false;
        }
    }
    close(fd);
    return good ? hash_end(&hash) : NULL;
}

/* *ret_damaged: it was read, and it is not the file. */
static bool check_part(const Piece *piece, bool *ret_damaged, GError **error)
{
    const AppFetch *fetch = piece->fetch;
    const AppHubFile *file = fetch->file;
    g_autofree char *hash = hash_file(fetch, piece->part_path, error);
    if (hash == NULL) return false;
    const char *expected = file->sha256 != NULL ? file->sha256 : file->git_sha1;
    if (strcmp(hash, expected) == 0) return true;
    *ret_damaged = true;
    app_fetch_forget(fetch->folder, file->path);
    g_autofree char *reason = g_strdup_printf(_("its %s is %s, the list says %s. It was deleted"), file->sha256 != NULL ? "SHA-256" : _("hash"), hash, expected);
    return fail_damaged(fetch, reason, error);
}

bool app_fetch_file(const AppFetch *fetch, GError **error)
{
    g_autofree char *path = beside(fetch->folder, fetch->file->path, ""), *part = beside(fetch->folder, fetch->file->path, ".part");
    g_autofree char *etag = beside(fetch->folder, fetch->file->path, ".etag");
    if (app_fetch_is_done(fetch->folder, fetch->file)) return true;
    Piece piece = {.fetch = fetch, .part_path = part, .etag_path = etag};
    bool is_whole = false, from_before = app_fetch_bytes_there(fetch->folder, fetch->file) > 0;
    for (GError *failure = NULL; !is_whole;) {
        bool is_damaged = false;
        is_whole = fetch_part(&piece, &failure) && check_part(&piece, &is_damaged, &failure);
        if (!is_whole && !(is_damaged && from_before)) {
            g_propagate_error(error, failure);
            return false;
        }
        /* The damage may be in what lay there from before, after a power failure for one: once from the beginning. */
        from_before = false;
        g_clear_error(&failure);
    }
    /* Before the name is given: a model's folder holds nothing of this. */
    if (g_unlink(etag) != 0 && errno != ENOENT) return fail_errno(etag, error);
    return g_rename(part, path) == 0 || fail_errno(path, error);
}
