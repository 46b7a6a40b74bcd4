/* app-render.h: pages of a document's source file as pixels, made by a locked process.
 *
 * Owns: whether the file is still the one that was read, the process lectern-render: starting, limits, what its end means in words.
 * Does not own: PDF (extract/render-main.c), which pages are wanted, keeping them (ui/).
 *
 * Contract. All of it blocks: call it on a thread. One AppRenderer serves one thread at a time. A page that ends the process fails alone:
 * the next call starts another process.
 */
#ifndef APP_RENDER_H
#define APP_RENDER_H

#include "app-library.h"

G_BEGIN_DECLS

typedef enum AppFileState {
    APP_FILE_SAME = 0,
    APP_FILE_NONE,       /* none of its own: it came from standard input, or is in an archive */
    APP_FILE_GONE,
    APP_FILE_CHANGED,    /* another content */
    APP_FILE_UNREADABLE, /* the operating system refuses */
} AppFileState;

/* Opens the file and compares its content (SHA-256) with what was read. *ret_fd (may be NULL): open for reading when SAME, else -1.
 * A cancelled one is UNREADABLE. */
AppFileState app_document_open_file(const AppDocument *document, const bool *cancel, int *ret_fd);

#define APP_RENDER_ERROR (app_render_error_quark())
GQuark app_render_error_quark(void);
typedef enum AppRenderError {
    APP_RENDER_ERROR_FAILED,   /* the process cannot be started, or ended on this page */
    APP_RENDER_ERROR_DAMAGED,  /* not a PDF, or this page is damaged */
    APP_RENDER_ERROR_PASSWORD,
    APP_RENDER_ERROR_LIMIT,    /* took too long, or is too large */
    APP_RENDER_ERROR_CANCELLED,
} AppRenderError;

enum { APP_RENDER_PIXELS_MAX = 1 << 24, APP_RENDER_SIDE_MAX = 1 << 17 };

typedef struct AppRenderPart {
    uint32_t page;                    /* index from 0 */
    uint32_t page_width, page_height; /* the whole page in pixels, up to APP_RENDER_SIDE_MAX */
    uint32_t x, y, width, height;     /* the part of it that is wanted, up to APP_RENDER_PIXELS_MAX pixels */
} AppRenderPart;

typedef struct AppRenderer AppRenderer;
/* fd: the PDF, open for reading; taken. name: for messages. */
AppRenderer *app_renderer_new(int fd, const char *name);
void app_renderer_free(AppRenderer *renderer); /* NULL is fine; no call is in progress */

/* Rows of part->width times 4 bytes: blue, green, red, 255. */
GBytes *app_renderer_render(AppRenderer *renderer, const AppRenderPart *part, const bool *cancel, GError **error);

G_END_DECLS

#endif
