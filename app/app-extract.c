/* app-extract.c: the parent's side of lectern-extract.
 *
 * Owns: starting the process, feeding its output to the strict reader, waiting, killing, words for every way in which it can end.
 */
#include "app-extract.h"

#include "app-format.h"
#include "app-program.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEFAULT_S = 120, POLL_MS = 50, READ_BYTES = 256 << 10 };

typedef struct Child {
    pid_t pid;
    int out;            /* its stream */
    bool is_timed_out, is_killed; /* by this side */
    int status;         /* of waitpid */
} Child;

/* ------------------------------------------------------------------------------------------------------------- program */

char *app_extract_find_program(void)
{
    return app_program_find("lectern-extract", "LECTERN_EXTRACT");
}

static bool fail(GError **error, const char *name, AppExtractError code, const char *format, ...) G_GNUC_PRINTF(4, 5);
static bool fail(GError **error, const char *name, AppExtractError code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *reason = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, APP_EXTRACT_ERROR, (gint)code, "%s: %s", name, reason);
    return false;
}

/* ------------------------------------------------------------------------------------------------------------ starting */

/* A pipe that holds the password, so that it stands in no argument and no environment. Returns its reading end, -1 on failure. */
static int password_pipe(const char *password)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    size_t n = MIN(strlen(password), 1023); /* always fits into a pipe */
    bool is_written = write(ends[1], password, n) == (ssize_t)n;
    close(ends[1]);
    if (is_written) return ends[0];
    close(ends[0]);
    return -1;
}

/* Recognising a page takes seconds, and there may be a thousand; that it gets on is what the time without progress sees to. */
static unsigned max_cpu_s(const AppExtractOptions *options)
{
    return options->ocr_languages ? 86400U : (options->max_s ? options->max_s : DEFAULT_S) * 10U;
}

static bool start(Child *child, int fd, const char *name, const AppExtractOptions *options, GError **error)
{
    g_autofree char *program = app_extract_find_program();
    if (!program) return fail(error, name, APP_EXTRACT_ERROR_FAILED, _("the program lectern-extract is missing from the installation"));
    uint64_t max_memory_bytes = options->max_memory_bytes ? options->max_memory_bytes : UINT64_C(1) << 30;
    uint64_t max_text_bytes = options->max_text_bytes ? options->max_text_bytes : APP_TEXT_MAX_BYTES;
    g_autofree char *memory = g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)max_memory_bytes);
    g_autofree char *seconds = g_strdup_printf("%u", max_cpu_s(options));
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)max_text_bytes);
    g_autofree char *base = g_path_get_basename(name);
    char with_password[] = "password";
    g_autofree char *ocr = options->ocr_languages ? g_strconcat("ocr=", options->ocr_languages, NULL) : NULL;
    g_autofree char *unpack = options->unpack ? g_strconcat("unpack=", options->unpack, NULL) : NULL;
    char *arguments[9] = {program, base, memory, seconds, text};
    size_t n_arguments = 5;
    if (options->password) arguments[n_arguments++] = with_password;
    if (ocr) arguments[n_arguments++] = ocr;
    if (unpack) arguments[n_arguments++] = unpack;

    int ends[2] = {-1, -1}, document = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    int password = options->password ? app_program_move_up(password_pipe(options->password)) : -1;
    bool is_ready = document >= 0 && (!options->password || password >= 0) && pipe2(ends, O_CLOEXEC) == 0;
    int stream = is_ready ? app_program_move_up(ends[1]) : -1;
    const int fds[] = {[EX_FD_DOCUMENT] = document, [EX_FD_STREAM] = stream, [STDERR_FILENO] = -1, [EX_FD_PASSWORD] = password};
    int failed = stream >= 0 ? app_program_spawn(&child->pid, program, arguments, fds, G_N_ELEMENTS(fds)) : errno;
    if (document >= 0) close(document);
    if (stream >= 0) close(stream);
    if (password >= 0) close(password);
    if (!failed) {
        child->out = ends[0];
        return true;
    }
    if (ends[0] >= 0) close(ends[0]);
    return fail(error, name, APP_EXTRACT_ERROR_FAILED, _("%s could not be started: %s"), program, g_strerror(failed));
}

/* -------------------------------------------------------------------------------------------------------------- ending */

static void stop(Child *child)
{
    if (child->is_killed) return;
    child->is_killed = true;
    kill(child->pid, SIGKILL);
}

static void wait_for(Child *child)
{
    while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR) {
    }
}

static AppExtractError error_of_status(ExStatus status)
{
    switch (status) {
    case EX_NO_TEXT: return APP_EXTRACT_ERROR_NO_TEXT;
    case EX_DAMAGED: return APP_EXTRACT_ERROR_DAMAGED;
    case EX_PASSWORD:
    case EX_PASSWORD_WRONG: return APP_EXTRACT_ERROR_PASSWORD;
    case EX_DRM: return APP_EXTRACT_ERROR_DRM;
    case EX_UNSUPPORTED: return APP_EXTRACT_ERROR_UNSUPPORTED;
    case EX_LIMIT_MEMORY:
    case EX_LIMIT_TIME:
    case EX_LIMIT_OUTPUT: return APP_EXTRACT_ERROR_LIMIT;
    case EX_OK:
    case EX_FAILED:
    case EX_STATUSES: break;
    }
    return APP_EXTRACT_ERROR_FAILED;
}

/* What the end of the process means, in words. */
static bool judge(const Child *child, const AppExtractStream *stream, const char *name, const AppExtractOptions *options, GError **error)
{
    ExStatus status = EX_FAILED;
    const char *message = "";
    uint64_t max_memory_bytes = options->max_memory_bytes ? options->max_memory_bytes : UINT64_C(1) << 30;
    bool is_ended = app_extract_stream_is_ended(stream, &status, &message);
    if (child->is_timed_out) {
        return fail(error, name, APP_EXTRACT_ERROR_LIMIT, _("it made no progress for %u s and was given up"), options->max_s ? options->max_s : DEFAULT_S);
    }
    bool is_over = WIFSIGNALED(child->status) && WTERMSIG(child->status) == SIGXCPU;
    if (is_over || (is_ended && status == EX_LIMIT_TIME)) {
        return fail(error, name, APP_EXTRACT_ERROR_LIMIT, _("it takes too long to read (more than %u s of computing)"), max_cpu_s(options));
    }
    if (is_ended && status == EX_LIMIT_MEMORY) {
        g_autofree char *size = g_format_size_full(max_memory_bytes, G_FORMAT_SIZE_IEC_UNITS);
        return fail(error, name, APP_EXTRACT_ERROR_LIMIT, _("it needs more memory to read than is allowed (%s)"), size);
    }
    if (is_ended && status != EX_OK && *message) {
        g_autofree char *words = status == EX_NO_TEXT ? g_strdup(message) : app_format_note(message); /* that one is kept as the document's note */
        return fail(error, name, error_of_status(status), "%s", words);
    }
    if (WIFSIGNALED(child->status)) {
        return fail(error, name, APP_EXTRACT_ERROR_FAILED, _("the extractor crashed on it (%s)"), g_strsignal(WTERMSIG(child->status)));
    }
    if (!is_ended || status != EX_OK) return fail(error, name, APP_EXTRACT_ERROR_FAILED, _("the extractor stopped before its end"));
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- running */

static bool is_cancelled(const bool *cancel)
{
    return cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED);
}

/* Feeds the stream until it ends, something is wrong, or time is over. */
static bool pump(Child *child, AppExtractStream *stream, const char *name, uint32_t max_s, const bool *cancel, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(READ_BYTES);
    gint64 last = g_get_monotonic_time();
    for (;;) {
        if (is_cancelled(cancel)) {
            stop(child);
            return fail(error, name, APP_EXTRACT_ERROR_CANCELLED, _("cancelled"));
        }
        struct pollfd wait = {.fd = child->out, .events = POLLIN};
        int n_ready = poll(&wait, 1, POLL_MS);
        if (n_ready < 0 && errno != EINTR) return fail(error, name, APP_EXTRACT_ERROR_FAILED, "%s", g_strerror(errno));
        if (n_ready <= 0) {
            if (g_get_monotonic_time() - last > (gint64)max_s * G_USEC_PER_SEC) {
                child->is_timed_out = true;
                stop(child);
                return true;
            }
            continue;
        }
        ssize_t n = read(child->out, buffer, READ_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(error, name, APP_EXTRACT_ERROR_FAILED, "%s", g_strerror(errno));
        if (n == 0) return true;
        if (!app_extract_stream_feed(stream, buffer, (size_t)n, error)) {
            g_prefix_error(error, "%s: ", name);
            return false;
        }
        last = g_get_monotonic_time();
    }
}

bool app_extract_run(int fd, const char *name, const AppExtractOptions *options, const bool *cancel, const AppExtractSink *sink, void *user,
                     GError **error)
{
    static const AppExtractOptions defaults = {0};
    if (!options) options = &defaults;
    if (is_cancelled(cancel)) return fail(error, name, APP_EXTRACT_ERROR_CANCELLED, _("cancelled"));
    Child child = {.pid = -1, .out = -1};
    if (!start(&child, fd, name, options, error)) return false;
    uint64_t max_text_bytes = options->max_text_bytes ? options->max_text_bytes : APP_TEXT_MAX_BYTES;
    g_autoptr(AppExtractStream) stream = app_extract_stream_new(sink, user, max_text_bytes);
    bool is_done = pump(&child, stream, name, options->max_s ? options->max_s : DEFAULT_S, cancel, error);
    close(child.out);
    if (!is_done) stop(&child);
    wait_for(&child);
    return is_done && judge(&child, stream, name, options, error);
}

/* ----------------------------------------------------------------------------------------------------- text recognition */

bool app_extract_can_ocr(const char *languages, char **ret_reason)
{
    g_autofree char *program = app_extract_find_program();
    const char *const arguments[] = {program, "can-ocr", languages ? languages : "eng", NULL};
    g_autofree char *reason = NULL;
    int status = 1;
    bool is_run = program && g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &reason, NULL, &status, NULL);
    if (is_run && status == 0) return true;
    if (ret_reason) *ret_reason = g_strdup(reason && *reason ? _(g_strchomp(reason)) : _("the program lectern-extract is missing from the installation"));
    return false;
}

/* ------------------------------------------------------------------------------------------------------------ detecting */

const char *app_extract_detect(const char *name, const void *start, size_t n_bytes)
{
    const char *bytes = start;
    size_t n = MIN(n_bytes, 1024);
    if (memmem(bytes, n, "%PDF-", 5)) return "pdf";
    if (n >= 5 && memcmp(bytes, "{\\rtf", 5) == 0) return "rtf";
    g_autofree char *lower = g_ascii_strdown(name, -1);
    bool is_zip = n >= 4 && memcmp(bytes, "PK\x03\x04", 4) == 0;
    if (is_zip && memmem(bytes, n, "mimetypeapplication/epub+zip", 28)) return "epub";
    if (is_zip && memmem(bytes, n, "mimetypeapplication/vnd.oasis.opendocument.text", 47)) return "odt";
    static const struct {
        const char *ending, *format;
    } endings[] = {{".pdf", "pdf"}, {".epub", "epub"}, {".html", "html"}, {".htm", "html"}, {".xhtml", "html"}, {".docx", "docx"},
                   {".odt", "odt"}, {".rtf", "rtf"}};
    for (size_t i = 0; i < G_N_ELEMENTS(endings); i++) {
        if (g_str_has_suffix(lower, endings[i].ending)) return endings[i].format;
    }
    g_autofree char *head = g_strndup(bytes, n);
    if (strcasestr(head, "<!doctype html") || strcasestr(head, "<html")) return "html";
    return NULL;
}

bool app_extract_is_archive(const void *start, size_t n_bytes)
{
    static const struct {
        size_t at, n;
        const char *bytes;
    } marks[] = {{0, 4, "PK\x03\x04"}, {0, 4, "PK\x05\x06"}, {257, 5, "ustar"}, {0, 3, "\x1F\x8B\x08"}, {0, 3, "BZh"},
                 {0, 6, "\xFD" "7zXZ\0"}, {0, 4, "\x28\xB5\x2F\xFD"}, {0, 6, "7z\xBC\xAF\x27\x1C"}, {0, 6, "Rar!\x1A\x07"}};
    for (size_t i = 0; i < G_N_ELEMENTS(marks); i++) {
        if (marks[i].at + marks[i].n <= n_bytes && memcmp((const char *)start + marks[i].at, marks[i].bytes, marks[i].n) == 0) return true;
    }
    return false;
}
