/* app-add.c: files and folders into the library.
 *
 * Owns: opening a source once and safely, its digest, recognising its format by its content, walking folders.
 * Does not own: formats (app-text.c, extraction), the document's rows (app-import.c).
 *
 * Standard input goes to a file without a name first, so that it can be read twice like any other: for its digest and encoding, and for
 * its text.
 */
#include "app-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <nettle/sha2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app-document.h"
#include "app-library-internal.h"
#include "app-text.h"

enum { BLOCK_BYTES = 1 << 18, WALK_DEPTH_MAX = 64, WALK_FILES_MAX = 200000 };

typedef struct Source {
    int fd;
    char *path, *name; /* path "" for standard input */
    char hash[65];
    uint64_t n_bytes;
    int64_t modified_s;
    uint8_t first[8];
    bool is_text;
    AppEncoding encoding;
} Source;

static bool fail(GError **error, const Source *source, const char *why)
{
    g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, "“%s”: %s", source->name, why);
    return false;
}

static bool fail_errno(GError **error, const Source *source, const char *what)
{
    int code = errno;
    g_set_error(error, APP_LIBRARY_ERROR, code == ENOSPC ? APP_LIBRARY_ERROR_NO_SPACE : APP_LIBRARY_ERROR_FAILED, "%s “%s”: %s", what,
                source->name, g_strerror(code));
    return false;
}

static bool is_cancelled(const AppAddOptions *options, const Source *source, GError **error)
{
    if (options->cancel == NULL || !__atomic_load_n(options->cancel, __ATOMIC_RELAXED)) return false;
    g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_CANCELLED, "“%s”: stopped", source->name);
    return true;
}

static bool open_file(Source *source, const char *path, GError **error)
{
    source->path = g_canonicalize_filename(path, NULL);
    source->name = g_filename_display_basename(source->path);
    source->fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe must not hold us up */
    if (source->fd < 0) return fail_errno(error, source, "Cannot open");
    struct stat info;
    if (fstat(source->fd, &info) != 0) return fail_errno(error, source, "Cannot look at");
    if (S_ISDIR(info.st_mode)) return fail(error, source, "it is a folder");
    if (!S_ISREG(info.st_mode)) return fail(error, source, "it is not an ordinary file");
    if ((uint64_t)info.st_size > APP_SOURCE_MAX_BYTES) {
        return fail(error, source, "it is larger than 2 GB, which is the most that one file may have; split it into several");
    }
    source->modified_s = info.st_mtime;
    if (!g_utf8_validate(source->path, -1, NULL)) {
        g_autofree char *shown = g_filename_display_name(source->path);
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, "“%s”: its name is not valid text; rename it", shown);
        return false;
    }
    return true;
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

/* Reads `fd` to its end: digest, encoding, first bytes; copies to `copy` unless -1. */
static bool survey(Source *source, int fd, int copy, uint64_t total, const AppAddOptions *options, GError **error)
{
    g_autofree uint8_t *bytes = g_malloc(BLOCK_BYTES);
    struct sha256_ctx sha;
    AppEncodingProbe probe;
    sha256_init(&sha);
    app_encoding_probe_init(&probe);
    while (true) {
        if (is_cancelled(options, source, error)) return false;
        ssize_t n = read(fd, bytes, BLOCK_BYTES);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) return fail_errno(error, source, "Cannot read");
        if (n == 0) break;
        sha256_update(&sha, (size_t)n, bytes);
        app_encoding_probe_add(&probe, bytes, (size_t)n);
        for (size_t i = 0; i < (size_t)n && source->n_bytes + i < sizeof source->first; i++) source->first[source->n_bytes + i] = bytes[i];
        source->n_bytes += (uint64_t)n;
        if (source->n_bytes > APP_SOURCE_MAX_BYTES) return fail(error, source, "it is longer than 2 GB, which is the most that one file may have");
        if (copy >= 0 && !write_all(copy, bytes, (size_t)n)) return fail_errno(error, source, "Cannot keep a copy of");
        if (options->progress != NULL) options->progress(options->user, MIN(source->n_bytes, total) / 4, total);
    }
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&sha, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) g_snprintf(source->hash + 2 * i, 3, "%02x", digest[i]);
    source->is_text = app_encoding_probe_end(&probe, &source->encoding);
    return true;
}

static bool open_standard_input(Source *source, AppLibrary *library, const AppAddOptions *options, GError **error)
{
    source->path = g_strdup("");
    source->name = g_strdup("standard input");
    source->fd = open(app_library_get_folder(library), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (source->fd < 0) return fail_errno(error, source, "Cannot make a temporary file for");
    return survey(source, STDIN_FILENO, source->fd, UINT64_MAX, options, error);
}

static bool open_source(Source *source, AppLibrary *library, const char *path, const AppAddOptions *options, GError **error)
{
    if (strcmp(path, "-") == 0) return open_standard_input(source, library, options, error);
    if (!open_file(source, path, error)) return false;
    struct stat info;
    return fstat(source->fd, &info) == 0 && survey(source, source->fd, -1, (uint64_t)info.st_size, options, error);
}

static void close_source(Source *source)
{
    if (source->fd >= 0) close(source->fd);
    g_free(source->path);
    g_free(source->name);
}

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
static const char *const text_suffixes[] = {"txt", "text", "md", "markdown", "mdown", "mkd", "rst", "org", "adoc", "asc", "log", "tex", NULL};

/* The format by content first, since names lie; NULL with error for what is known not to be readable here. */
static const char *recognise(const Source *source, GError **error)
{
    if (memcmp(source->first, "%PDF-", 5) == 0) {
        fail(error, source, "PDF files cannot be read by this version; convert it to text first");
    } else if (memcmp(source->first, "PK\3\4", 4) == 0) {
        fail(error, source, "EPUB, office files and archives cannot be read by this version; convert it to text first");
    } else if (!source->is_text) {
        fail(error, source, "it is not text: its bytes look like another kind of file");
    } else {
        return suffix_is(source->name, markdown_suffixes) ? "markdown" : "text";
    }
    return NULL;
}

typedef struct Forward {
    const AppAddOptions *options;
} Forward;

static void forward_progress(void *user, uint64_t done, uint64_t total)
{
    const AppAddOptions *options = ((Forward *)user)->options;
    if (options->progress != NULL) options->progress(options->user, total / 4 + done / 4 * 3, total);
}

/* The name without its suffix: a better title than the name when the text has none. */
static char *title_from_name(const Source *source)
{
    if (source->path[0] == '\0') return g_strdup("Standard input");
    const char *dot = strrchr(source->name, '.');
    return dot != NULL && dot != source->name ? g_strndup(source->name, (gsize)(dot - source->name)) : g_strdup(source->name);
}

static int64_t import_source(AppLibrary *library, const Source *source, const AppImportSource *known, const AppAddOptions *options,
                             AppImportOutcome *ret_outcome, GError **error)
{
    if (lseek(source->fd, 0, SEEK_SET) != 0) {
        fail_errno(error, source, "Cannot read");
        return -1;
    }
    g_autoptr(AppImport) import = app_import_new(library, known, options->cancel, error);
    if (import == NULL) return -1;
    g_autofree char *title = title_from_name(source);
    app_import_set_title(import, title);
    Forward forward = {options};
    AppTextOptions text_options = {.encoding = source->encoding,
                                   .is_markdown = strcmp(known->format, "markdown") == 0,
                                   .cancel = options->cancel,
                                   .progress = forward_progress,
                                   .user = &forward,
                                   .total_bytes = source->n_bytes};
    if (!app_text_read(import, source->fd, source->name, &text_options, error)) return -1;
    if (options->title != NULL) app_import_set_title(import, options->title);
    int64_t document = -1;
    return app_import_finish(import, &document, ret_outcome, error) ? document : -1;
}

int64_t app_reader_add_file(AppLibrary *library, const char *path, const AppAddOptions *options, AppAdded *ret_added, GError **error)
{
    static const AppAddOptions no_options;
    static const AppAdded added[] = {[APP_IMPORT_ADDED] = APP_ADDED_NEW,
                                     [APP_IMPORT_UNCHANGED] = APP_ADDED_UNCHANGED,
                                     [APP_IMPORT_MOVED] = APP_ADDED_MOVED,
                                     [APP_IMPORT_CHANGED] = APP_ADDED_CHANGED,
                                     [APP_IMPORT_DUPLICATE] = APP_ADDED_DUPLICATE};
    if (options == NULL) options = &no_options;
    Source source = {.fd = -1};
    int64_t document = -1;
    AppImportOutcome outcome = APP_IMPORT_ADDED;
    bool ok = open_source(&source, library, path, options, error);
    const char *format = ok ? recognise(&source, error) : NULL;
    if (format != NULL) {
        AppImportSource known = {source.path, source.name, source.hash, source.n_bytes, source.modified_s, format};
        ok = app_import_lookup(library, &known, &document, &outcome, error);
        if (ok && (outcome == APP_IMPORT_ADDED || outcome == APP_IMPORT_CHANGED)) {
            document = import_source(library, &source, &known, options, &outcome, error);
            ok = document >= 0;
        } else if (ok && options->title != NULL) {
            ok = app_library_rename_document(library, document, options->title, error);
        }
    }
    ok = ok && format != NULL;
    close_source(&source);
    if (ok && options->collection != 0) ok = app_library_collection_add(library, options->collection, document, error);
    if (!ok) return -1;
    if (ret_added != NULL) *ret_added = added[outcome];
    return document;
}

/* ------------------------------------------------------------------------------------------------------------- folders */

typedef struct Walk {
    GPtrArray *files;
    const bool *cancel;
    uint32_t n_skipped;
} Walk;

/* Names in order as people count: "report 2" before "report 10". */
static int compare_paths(gconstpointer a, gconstpointer b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    g_autofree char *key_x = g_utf8_collate_key_for_filename(x, -1), *key_y = g_utf8_collate_key_for_filename(y, -1);
    int order = strcmp(key_x, key_y);
    return order != 0 ? order : strcmp(x, y);
}

static void walk(Walk *w, const char *folder, unsigned depth)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    if (dir == NULL) {
        w->n_skipped++;
        return;
    }
    const char *name;
    while ((name = g_dir_read_name(dir)) != NULL) {
        if (w->cancel != NULL && __atomic_load_n(w->cancel, __ATOMIC_RELAXED)) return;
        g_autofree char *path = g_build_filename(folder, name, NULL);
        struct stat info;
        bool known = lstat(path, &info) == 0;
        bool is_link = known && S_ISLNK(info.st_mode);
        if (is_link) known = stat(path, &info) == 0;
        if (known && S_ISDIR(info.st_mode) && !is_link && name[0] != '.' && depth < WALK_DEPTH_MAX) {
            walk(w, path, depth + 1);
        } else if (known && S_ISREG(info.st_mode) && name[0] != '.' && suffix_is(name, text_suffixes) && w->files->len < WALK_FILES_MAX &&
                   g_utf8_validate(path, -1, NULL)) {
            g_ptr_array_add(w->files, g_steal_pointer(&path));
        } else {
            w->n_skipped++;
        }
    }
}

GPtrArray *app_reader_find_files(const char *path, const bool *cancel, uint32_t *ret_n_skipped, GError **error)
{
    Walk w = {.files = g_ptr_array_new_with_free_func(g_free), .cancel = cancel};
    struct stat info;
    if (strcmp(path, "-") != 0 && stat(path, &info) != 0) {
        int code = errno;
        g_autofree char *shown = g_filename_display_name(path);
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND, "Cannot read “%s”: %s", shown, g_strerror(code));
        g_ptr_array_unref(w.files);
        return NULL;
    }
    if (strcmp(path, "-") == 0 || !S_ISDIR(info.st_mode)) {
        g_ptr_array_add(w.files, g_strdup(path));
    } else {
        walk(&w, path, 0);
        g_ptr_array_sort(w.files, compare_paths);
    }
    if (ret_n_skipped != NULL) *ret_n_skipped = w.n_skipped;
    return w.files;
}
