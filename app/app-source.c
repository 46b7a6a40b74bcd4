/* app-source.c: opening, copying, digesting and recognising sources. */
#include "app-source.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app-extract.h"

enum { BLOCK_BYTES = 1 << 18 };

bool app_source_fail(GError **error, const AppSource *source, int code, const char *why)
{
    g_set_error(error, APP_LIBRARY_ERROR, code, "“%s”: %s", source->name, why);
    return false;
}

static bool fail(GError **error, const AppSource *source, const char *why)
{
    return app_source_fail(error, source, APP_LIBRARY_ERROR_INVALID, why);
}

static bool fail_errno(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool fail_errno(GError **error, const char *format, ...)
{
    va_list arguments;
    int code = errno == ENOSPC ? APP_LIBRARY_ERROR_NO_SPACE : APP_LIBRARY_ERROR_FAILED;
    va_start(arguments, format);
    g_propagate_error(error, g_error_new_valist(APP_LIBRARY_ERROR, code, format, arguments));
    va_end(arguments);
    return false;
}

static bool is_cancelled(const AppAddOptions *options, const AppSource *source, GError **error)
{
    if (options->cancel == NULL || !__atomic_load_n(options->cancel, __ATOMIC_RELAXED)) return false;
    app_source_fail(error, source, APP_LIBRARY_ERROR_CANCELLED, _("stopped"));
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- survey */

static void begin_survey(AppSource *source)
{
    sha256_init(&source->sha);
    app_encoding_probe_init(&source->probe);
}

/* False: larger than a source may be. */
static bool look_at(AppSource *source, const uint8_t *bytes, size_t n_bytes, GError **error)
{
    sha256_update(&source->sha, n_bytes, bytes);
    app_encoding_probe_add(&source->probe, bytes, n_bytes);
    for (size_t i = 0; i < n_bytes && source->n_bytes + i < sizeof source->first; i++) source->first[source->n_bytes + i] = bytes[i];
    source->n_bytes += n_bytes;
    return source->n_bytes <= APP_SOURCE_MAX_BYTES || fail(error, source, _("it is longer than 2 GB, which is the most that one file may have"));
}

void app_source_end(AppSource *source)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&source->sha, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) g_snprintf(source->hash + 2 * i, 3, "%02x", digest[i]);
    source->is_text = app_encoding_probe_end(&source->probe, &source->encoding);
}

static bool write_all(int fd, const uint8_t *bytes, size_t n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = write(fd, bytes, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

bool app_source_add(AppSource *source, const void *bytes, size_t n_bytes, GError **error)
{
    return look_at(source, bytes, n_bytes, error) && (write_all(source->fd, bytes, n_bytes) ||
                                                       fail_errno(error, _("Cannot keep a copy of “%s”: %s"), source->name, g_strerror(errno)));
}

/* Reads `fd` to its end; copies to the source's own file if that is another. */
static bool survey(AppSource *source, int fd, uint64_t total, const AppAddOptions *options, GError **error)
{
    g_autofree uint8_t *bytes = g_malloc(BLOCK_BYTES);
    begin_survey(source);
    while (true) {
        if (is_cancelled(options, source, error)) return false;
        ssize_t n = read(fd, bytes, BLOCK_BYTES);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) return fail_errno(error, _("Cannot read “%s”: %s"), source->name, g_strerror(errno));
        if (n == 0) break;
        if (!(fd == source->fd ? look_at(source, bytes, (size_t)n, error) : app_source_add(source, bytes, (size_t)n, error))) return false;
        if (options->progress != NULL) options->progress(options->user, MIN(source->n_bytes, total) / 4, total);
    }
    app_source_end(source);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- opening */

static bool open_file(AppSource *source, const char *path, uint64_t *ret_n_bytes, GError **error)
{
    source->path = g_canonicalize_filename(path, NULL);
    source->name = g_filename_display_basename(source->path);
    source->fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe must not hold us up */
    if (source->fd < 0) return fail_errno(error, _("Cannot open “%s”: %s"), source->name, g_strerror(errno));
    struct stat info;
    if (fstat(source->fd, &info) != 0) return fail_errno(error, _("Cannot look at “%s”: %s"), source->name, g_strerror(errno));
    if (S_ISDIR(info.st_mode)) return fail(error, source, _("it is a folder"));
    if (!S_ISREG(info.st_mode)) return fail(error, source, _("it is not an ordinary file"));
    if ((uint64_t)info.st_size > APP_SOURCE_MAX_BYTES) {
        return fail(error, source, _("it is larger than 2 GB, which is the most that one file may have; split it into several"));
    }
    source->modified_s = info.st_mtime;
    *ret_n_bytes = (uint64_t)info.st_size;
    if (!g_utf8_validate(source->path, -1, NULL)) {
        g_autofree char *shown = g_filename_display_name(source->path);
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, _("“%s”: its name is not valid text; rename it"), shown);
        return false;
    }
    return true;
}

static bool open_copy(AppSource *source, AppLibrary *library, GError **error)
{
    source->fd = open(app_library_get_folder(library), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return source->fd >= 0 || fail_errno(error, _("Cannot make a temporary file for “%s”: %s"), source->name, g_strerror(errno));
}

bool app_source_open(AppSource *source, AppLibrary *library, const char *path, const AppAddOptions *options, GError **error)
{
    uint64_t n_bytes = 0;
    *source = (AppSource){.fd = -1};
    if (strcmp(path, "-") != 0) return open_file(source, path, &n_bytes, error) && survey(source, source->fd, n_bytes, options, error);
    source->path = g_strdup("");
    source->name = g_strdup("standard input");
    return open_copy(source, library, error) && survey(source, STDIN_FILENO, UINT64_MAX, options, error);
}

bool app_source_begin_member(AppSource *source, AppLibrary *library, const AppSource *archive, const char *name, GError **error)
{
    *source = (AppSource){.fd = -1, .modified_s = archive->modified_s};
    source->path = archive->path[0] != '\0' ? g_strconcat(archive->path, "/", name, NULL) : g_strdup("");
    source->name = g_path_get_basename(name);
    begin_survey(source);
    return open_copy(source, library, error);
}

void app_source_close(AppSource *source)
{
    if (source->fd >= 0) close(source->fd);
    g_free(source->path);
    g_free(source->name);
    *source = (AppSource){.fd = -1};
}

bool app_source_exists(const char *path)
{
    if (g_file_test(path, G_FILE_TEST_EXISTS)) return true;
    g_autofree char *above = g_strdup(path);
    for (char *slash = strrchr(above, '/'); slash != NULL && slash > above; slash = strrchr(above, '/')) {
        *slash = '\0';
        if (g_file_test(above, G_FILE_TEST_EXISTS)) return !g_file_test(above, G_FILE_TEST_IS_DIR);
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- formats */

static const char *suffix_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL ? dot + 1 : "";
}

static bool suffix_is(const char *name, const char *const *suffixes)
{
    g_autofree char *lower = g_ascii_strdown(suffix_of(name), -1);
    return g_strv_contains(suffixes, lower);
}

static const char *const markdown_suffixes[] = {"md", "markdown", "mdown", "mkd", NULL};
/* What a folder's walk takes; a file named by itself is taken whatever its name is, if it is text. */
static const char *const readable_suffixes[] = {"txt", "text", "md",   "markdown", "mdown", "mkd", "rst",  "org", "adoc", "asc",
                                                "log", "tex",  "pdf",  "epub",     "html",  "htm", "xhtml", "docx", "odt",  "rtf", NULL};
static const char *const archive_suffixes[] = {"zip", "tar", "tgz", "tbz2", "txz", "7z", "rar", "gz", "bz2", "xz", "zst", NULL};

bool app_source_is_readable_name(const char *name)
{
    return suffix_is(name, readable_suffixes) || suffix_is(name, archive_suffixes);
}

const char *app_source_member_suffixes(void)
{
    static gsize joined;
    if (g_once_init_enter(&joined)) g_once_init_leave(&joined, (gsize)g_strjoinv(",", (char **)readable_suffixes));
    return (const char *)joined;
}

const char *app_source_format(const AppSource *source, GError **error)
{
    size_t n = MIN(source->n_bytes, sizeof source->first);
    const char *extracted = app_extract_detect(source->name, source->first, n);
    if (extracted != NULL) return extracted;
    if (app_extract_is_archive(source->first, n)) return "archive";
    if (source->is_text) return suffix_is(source->name, markdown_suffixes) ? "markdown" : "text";
    fail(error, source, _("it is not text: its bytes look like another kind of file"));
    return NULL;
}
