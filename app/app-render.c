/* app-render.c: the parent's side of lectern-render; see app-render.h.
 *
 * Owns: the pipes to the process, how long it may take, what is believed of its replies (nothing but pixels of the size asked for).
 */
#include "app-render.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <nettle/sha2.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app-program.h"
#include "app-source.h"
#include "extract/render-format.h"

G_DEFINE_QUARK(app-render-error-quark, app_render_error)

enum { BLOCK_BYTES = 1 << 18, POLL_MS = 50, PAGE_S = 20, MEMORY_BYTES = 1 << 30 };
G_STATIC_ASSERT((int)APP_RENDER_PIXELS_MAX == (int)RN_PIXELS_MAX && (int)APP_RENDER_SIDE_MAX == (int)RN_SIDE_MAX);

struct AppRenderer {
    int document;
    char *name;
    pid_t pid; /* -1: not started */
    int requests, replies;
    uint32_t last_id, n_pages;
};

/* -------------------------------------------------------------------------------------------------------------- source */

static bool is_cancelled(const bool *cancel)
{
    return cancel != NULL && __atomic_load_n(cancel, __ATOMIC_RELAXED);
}

static bool digest_file(int fd, const bool *cancel, char ret_hash[65])
{
    g_autofree uint8_t *bytes = g_malloc(BLOCK_BYTES);
    struct sha256_ctx sha;
    sha256_init(&sha);
    for (ssize_t n; (n = read(fd, bytes, BLOCK_BYTES)) != 0;) {
        if (is_cancelled(cancel) || (n < 0 && errno != EINTR)) return false;
        if (n > 0) sha256_update(&sha, (size_t)n, bytes);
    }
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&sha, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) g_snprintf(ret_hash + 2 * i, 3, "%02x", digest[i]);
    return lseek(fd, 0, SEEK_SET) == 0;
}

static AppFileState compare_file(const AppDocument *document, int fd, const bool *cancel)
{
    struct stat info;
    char hash[65];
    if (fstat(fd, &info) != 0) return APP_FILE_UNREADABLE;
    if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size != document->n_source_bytes) return APP_FILE_CHANGED;
    if (!digest_file(fd, cancel, hash)) return APP_FILE_UNREADABLE;
    return strcmp(hash, document->source_hash) == 0 ? APP_FILE_SAME : APP_FILE_CHANGED;
}

AppFileState app_document_open_file(const AppDocument *document, const bool *cancel, int *ret_fd)
{
    if (ret_fd != NULL) *ret_fd = -1;
    if (*document->source == '\0') return APP_FILE_NONE;
    int fd = open(document->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe must not hold us up */
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return app_source_exists(document->source) ? APP_FILE_NONE : APP_FILE_GONE;
    if (fd < 0) return APP_FILE_UNREADABLE;
    AppFileState state = compare_file(document, fd, cancel);
    if (state == APP_FILE_SAME && ret_fd != NULL) *ret_fd = fd;
    else close(fd);
    return state;
}

/* ------------------------------------------------------------------------------------------------------------- process */

static bool fail(GError **error, const AppRenderer *renderer, AppRenderError code, const char *format, ...) G_GNUC_PRINTF(4, 5);
static bool fail(GError **error, const AppRenderer *renderer, AppRenderError code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *reason = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, APP_RENDER_ERROR, (gint)code, "%s: %s", renderer->name, reason);
    return false;
}

/* Ends the process, whatever it is doing, and returns its status of waitpid. */
static int stop(AppRenderer *renderer)
{
    if (renderer->pid < 0) return 0;
    int status = 0;
    close(renderer->requests);
    close(renderer->replies);
    kill(renderer->pid, SIGKILL);
    while (waitpid(renderer->pid, &status, 0) < 0 && errno == EINTR) {
    }
    renderer->pid = -1;
    return status;
}

/* The process went away by itself: why. */
static bool fail_ended(GError **error, AppRenderer *renderer)
{
    int status = 0;
    /* It has closed its pipes, so it is about to end: its own status tells more than that of a kill. */
    for (int i = 0; i < 20 && waitpid(renderer->pid, &status, WNOHANG) == 0; i++) g_usleep(5000);
    bool is_signalled = WIFSIGNALED(status);
    const char *signal_name = is_signalled ? g_strsignal(WTERMSIG(status)) : "";
    stop(renderer);
    if (is_signalled) return fail(error, renderer, APP_RENDER_ERROR_FAILED, _("the page cannot be shown: drawing it crashed (%s)"), signal_name);
    return fail(error, renderer, APP_RENDER_ERROR_FAILED, _("the page cannot be shown: drawing it stopped"));
}

static bool receive(AppRenderer *renderer, void *to, size_t n_bytes, gint64 deadline_us, const bool *cancel, GError **error)
{
    for (uint8_t *at = to; n_bytes > 0;) {
        struct pollfd wait = {.fd = renderer->replies, .events = POLLIN};
        int n_ready = poll(&wait, 1, POLL_MS);
        if (is_cancelled(cancel)) {
            stop(renderer);
            return fail(error, renderer, APP_RENDER_ERROR_CANCELLED, _("stopped"));
        }
        if (g_get_monotonic_time() > deadline_us) {
            stop(renderer);
            return fail(error, renderer, APP_RENDER_ERROR_LIMIT, _("the page takes more than %d s to draw and was given up"), PAGE_S);
        }
        if (n_ready <= 0) continue;
        ssize_t n = read(renderer->replies, at, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fail_ended(error, renderer);
        at += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static bool fail_status(GError **error, const AppRenderer *renderer, uint32_t status)
{
    switch ((RnStatus)status) {
    case RN_PASSWORD: return fail(error, renderer, APP_RENDER_ERROR_PASSWORD, _("it is encrypted and needs a password"));
    case RN_DAMAGED: return fail(error, renderer, APP_RENDER_ERROR_DAMAGED, _("it is damaged and cannot be drawn"));
    case RN_OK:
    case RN_FAILED: break;
    }
    return fail(error, renderer, APP_RENDER_ERROR_FAILED, _("it cannot be drawn: the process for it could not be locked in or lacks memory"));
}

static bool receive_reply(AppRenderer *renderer, uint32_t id, uint64_t n_bytes, RnReply *ret_reply, gint64 deadline_us, const bool *cancel,
                          GError **error)
{
    if (!receive(renderer, ret_reply, sizeof *ret_reply, deadline_us, cancel, error)) return false;
    bool is_believed = ret_reply->magic == RN_MAGIC && ret_reply->id == id && ret_reply->n_bytes == (ret_reply->status == RN_OK ? n_bytes : 0);
    if (!is_believed) {
        stop(renderer);
        return fail(error, renderer, APP_RENDER_ERROR_FAILED, _("the page cannot be shown: drawing it went wrong"));
    }
    return ret_reply->status == RN_OK || fail_status(error, renderer, ret_reply->status);
}

static int spawn(AppRenderer *renderer, const char *program, int document, int replies, int requests)
{
    g_autofree char *memory = g_strdup_printf("%d", MEMORY_BYTES);
    g_autofree char *path = g_strdup(program);
    char *const arguments[] = {path, memory, NULL};
    const int fds[] = {[RN_FD_DOCUMENT] = document, [RN_FD_REPLIES] = replies, [STDERR_FILENO] = -1, [RN_FD_REQUESTS] = requests};
    return app_program_spawn(&renderer->pid, program, arguments, fds, G_N_ELEMENTS(fds));
}

static bool start(AppRenderer *renderer, gint64 deadline_us, const bool *cancel, GError **error)
{
    g_autofree char *program = app_program_find("lectern-render", "LECTERN_RENDER");
    if (program == NULL) return fail(error, renderer, APP_RENDER_ERROR_FAILED, _("the program lectern-render is missing from the installation"));
    int requests[2] = {-1, -1}, replies[2] = {-1, -1};
    bool is_ready = pipe2(requests, O_CLOEXEC) == 0 && pipe2(replies, O_CLOEXEC) == 0;
    int document = fcntl(renderer->document, F_DUPFD_CLOEXEC, 10);
    int reading = is_ready ? app_program_move_up(requests[0]) : -1, writing = is_ready ? app_program_move_up(replies[1]) : -1;
    int failed = document >= 0 && reading >= 0 && writing >= 0 ? spawn(renderer, program, document, writing, reading) : errno;
    if (document >= 0) close(document);
    if (reading >= 0) close(reading);
    if (writing >= 0) close(writing);
    if (failed != 0) {
        renderer->pid = -1;
        if (requests[1] >= 0) close(requests[1]);
        if (replies[0] >= 0) close(replies[0]);
        return fail(error, renderer, APP_RENDER_ERROR_FAILED, _("%s could not be started: %s"), program, g_strerror(failed));
    }
    renderer->requests = requests[1];
    renderer->replies = replies[0];
    RnReply hello;
    if (!receive_reply(renderer, 0, 0, &hello, deadline_us, cancel, error)) {
        stop(renderer);
        return false;
    }
    renderer->n_pages = hello.n_pages;
    return true;
}

/* Writing to a process that is gone must not end this one. */
static bool send_request(AppRenderer *renderer, const RnRequest *request)
{
    sigset_t pipe_only, before;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t n;
    do n = write(renderer->requests, request, sizeof *request); /* smaller than PIPE_BUF: all or nothing */
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EPIPE) {
        const struct timespec none = {0};
        sigtimedwait(&pipe_only, NULL, &none);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return n == (ssize_t)sizeof *request;
}

/* ------------------------------------------------------------------------------------------------------------- renderer */

AppRenderer *app_renderer_new(int fd, const char *name)
{
    AppRenderer *renderer = g_new0(AppRenderer, 1);
    renderer->document = fd;
    renderer->name = g_strdup(name);
    renderer->pid = -1;
    return renderer;
}

void app_renderer_free(AppRenderer *renderer)
{
    if (renderer == NULL) return;
    stop(renderer);
    close(renderer->document);
    g_free(renderer->name);
    g_free(renderer);
}

static bool is_acceptable(const AppRenderPart *part)
{
    return part->width > 0 && part->height > 0 && part->page_width <= APP_RENDER_SIDE_MAX && part->page_height <= APP_RENDER_SIDE_MAX &&
           (uint64_t)part->x + part->width <= part->page_width && (uint64_t)part->y + part->height <= part->page_height &&
           (uint64_t)part->width * part->height <= APP_RENDER_PIXELS_MAX;
}

static GBytes *render_once(AppRenderer *renderer, const AppRenderPart *part, gint64 deadline_us, const bool *cancel, GError **error)
{
    if (renderer->pid < 0 && !start(renderer, deadline_us, cancel, error)) return NULL;
    if (part->page >= renderer->n_pages) {
        fail(error, renderer, APP_RENDER_ERROR_DAMAGED, _("it has no page %u"), part->page + 1);
        return NULL;
    }
    RnRequest request = {.magic = RN_MAGIC, .id = ++renderer->last_id, .page = part->page, .page_width = part->page_width,
                         .page_height = part->page_height, .x = part->x, .y = part->y, .width = part->width, .height = part->height};
    if (!send_request(renderer, &request)) {
        fail_ended(error, renderer);
        return NULL;
    }
    RnReply header;
    size_t n_bytes = (size_t)part->width * part->height * 4;
    if (!receive_reply(renderer, request.id, n_bytes, &header, deadline_us, cancel, error)) return NULL;
    guint8 *pixels = g_try_malloc(n_bytes);
    if (pixels == NULL) {
        stop(renderer);
        fail(error, renderer, APP_RENDER_ERROR_LIMIT, _("there is not enough memory to show the page"));
        return NULL;
    }
    if (receive(renderer, pixels, n_bytes, deadline_us, cancel, error)) return g_bytes_new_take(pixels, n_bytes);
    g_free(pixels);
    return NULL;
}

GBytes *app_renderer_render(AppRenderer *renderer, const AppRenderPart *part, const bool *cancel, GError **error)
{
    gint64 deadline_us = g_get_monotonic_time() + (gint64)PAGE_S * G_USEC_PER_SEC;
    if (!is_acceptable(part)) {
        fail(error, renderer, APP_RENDER_ERROR_LIMIT, _("the page is too large to draw at this size"));
        return NULL;
    }
    bool was_running = renderer->pid >= 0;
    g_autoptr(GError) problem = NULL;
    GBytes *pixels = render_once(renderer, part, deadline_us, cancel, &problem);
    /* A process that has drawn much may have reached its limits: what ends it may not be this page's fault. */
    if (pixels == NULL && was_running && g_error_matches(problem, APP_RENDER_ERROR, APP_RENDER_ERROR_FAILED)) {
        g_clear_error(&problem);
        pixels = render_once(renderer, part, deadline_us, cancel, &problem);
    }
    if (pixels == NULL) g_propagate_error(error, g_steal_pointer(&problem));
    return pixels;
}
