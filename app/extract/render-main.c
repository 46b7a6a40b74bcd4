/* render-main.c: the program lectern-render: pages of one PDF as pixels, from inside the sandbox.
 *
 * Owns: the process, its loop. Does not own: which pages (app-render.c asks), the sandbox (extract-sandbox.h).
 *
 * A window must show PDFs from anywhere; whatever one does to poppler ends this process and not that one. Not for use by hand.
 */
#include "extract-sandbox.h"
#include "render-format.h"

#include <errno.h>
#include <fontconfig/fontconfig.h>
#include <locale.h>
#include <math.h>
#include <poppler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
/* The leak check at exit needs ptrace, which the sandbox refuses. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0:handle_segv=0:handle_abort=0:handle_sigbus=0";
}
#endif

static bool read_all(int fd, void *to, size_t n_bytes)
{
    for (uint8_t *at = to; n_bytes > 0;) {
        ssize_t n = read(fd, at, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static bool write_all(int fd, const void *from, size_t n_bytes)
{
    for (const uint8_t *at = from; n_bytes > 0;) {
        ssize_t n = write(fd, at, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static bool reply(uint32_t id, RnStatus status, uint32_t n_pages, const void *pixels, size_t n_bytes)
{
    RnReply header = {.magic = RN_MAGIC, .id = id, .status = (uint32_t)status, .n_pages = n_pages, .n_bytes = n_bytes};
    return write_all(RN_FD_REPLIES, &header, sizeof header) && (n_bytes == 0 || write_all(RN_FD_REPLIES, pixels, n_bytes));
}

/* --------------------------------------------------------------------------------------------------------------- pages */

static bool is_acceptable(const RnRequest *request)
{
    if (request->magic != RN_MAGIC || request->width == 0 || request->height == 0) return false;
    if (request->page_width > RN_SIDE_MAX || request->page_height > RN_SIDE_MAX) return false;
    if ((uint64_t)request->width * request->height > RN_PIXELS_MAX) return false;
    return (uint64_t)request->x + request->width <= request->page_width && (uint64_t)request->y + request->height <= request->page_height;
}

static RnStatus render(PopplerDocument *document, const RnRequest *request, cairo_surface_t **ret_surface)
{
    g_autoptr(GObject) page = (GObject *)poppler_document_get_page(document, (int)request->page);
    double width = 0, height = 0;
    if (page != NULL) poppler_page_get_size(POPPLER_PAGE(page), &width, &height);
    if (!isfinite(width) || !isfinite(height) || width <= 0 || height <= 0) return RN_DAMAGED;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, (int)request->width, (int)request->height);
    cairo_t *cr = cairo_create(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    cairo_translate(cr, -(double)request->x, -(double)request->y);
    cairo_scale(cr, request->page_width / width, request->page_height / height);
    poppler_page_render(POPPLER_PAGE(page), cr);
    bool is_done = cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS;
    cairo_destroy(cr);
    cairo_surface_flush(surface);
    if (is_done) *ret_surface = surface;
    else cairo_surface_destroy(surface);
    return is_done ? RN_OK : RN_FAILED;
}

/* False: nobody listens any more. */
static bool answer(PopplerDocument *document, const RnRequest *request)
{
    cairo_surface_t *surface = NULL;
    RnStatus status = is_acceptable(request) ? render(document, request, &surface) : RN_FAILED;
    if (status != RN_OK) return reply(request->id, status, 0, NULL, 0);
    /* An image of this format and any width has rows without gaps. */
    bool is_heard = reply(request->id, RN_OK, 0, cairo_image_surface_get_data(surface), (size_t)request->width * request->height * 4);
    cairo_surface_destroy(surface);
    return is_heard;
}

/* ----------------------------------------------------------------------------------------------------------------- main */

static PopplerDocument *open_document(RnStatus *ret_status)
{
    struct stat status;
    *ret_status = RN_DAMAGED;
    if (fstat(RN_FD_DOCUMENT, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) return NULL;
    void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, RN_FD_DOCUMENT, 0);
    if (data == MAP_FAILED) return NULL;
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, (size_t)status.st_size);
    g_autoptr(GError) error = NULL;
    PopplerDocument *document = poppler_document_new_from_bytes(bytes, NULL, &error);
    if (g_error_matches(error, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED)) *ret_status = RN_PASSWORD;
    return document;
}

/* Fonts that a PDF names without holding them are looked for by fontconfig: its lists are read before the doors close, and never again. */
static void prepare_libraries(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    if (FcInit()) FcConfigSetRescanInterval(NULL, 0);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "lectern-render is a part of Lectern; its window uses it.\n");
        return 2;
    }
    ex_sandbox_silence();
    prepare_libraries();
    static const char *const readable[] = {"/usr/share/poppler", "/usr/share/fonts", "/usr/local/share/fonts", NULL};
    /* It ends with its pipes. Were its parent to die while a page keeps it busy, the limit on time would end it: not the parent's death, which to
     * the kernel is that of the thread which started it. */
    const ExSandbox sandbox = {.max_memory_bytes = strtoull(argv[1], NULL, 10), .max_cpu_s = 300, .readable = readable, .keep_fd = RN_FD_REQUESTS};
    ExSandboxState state;
    char reason[256];
    if (!ex_sandbox_enter(&sandbox, &state, reason, sizeof reason)) {
        reply(0, RN_FAILED, 0, NULL, 0);
        return 1;
    }
    RnStatus status;
    PopplerDocument *document = open_document(&status);
    if (document == NULL) {
        reply(0, status, 0, NULL, 0);
        return 1;
    }
    bool is_heard = reply(0, RN_OK, (uint32_t)MAX(poppler_document_get_n_pages(document), 0), NULL, 0);
    RnRequest request;
    while (is_heard && read_all(RN_FD_REQUESTS, &request, sizeof request)) is_heard = answer(document, &request);
    g_object_unref(document);
    return 0;
}
