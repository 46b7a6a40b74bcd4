/* render-format.h: what lectern-render and the application say to each other.
 *
 * The program is started as `lectern-render MEMORY_BYTES` with the PDF as fd 0 (open for reading), a pipe for its replies as fd 1 and one
 * for requests as fd 3. First it sends one reply with id 0: whether the document could be opened, and its number of pages. Then it
 * answers each request, in order, until fd 3 ends. Numbers are in the machine's byte order: both ends are the same program's.
 *
 * Pixels: rows of `width` times 4 bytes, blue, green, red, 255.
 */
#ifndef RENDER_FORMAT_H
#define RENDER_FORMAT_H

#include <stdint.h>

enum { RN_FD_DOCUMENT = 0, RN_FD_REPLIES = 1, RN_FD_REQUESTS = 3 };
enum { RN_MAGIC = 0x4c526e31, RN_SIDE_MAX = 1 << 17, RN_PIXELS_MAX = 1 << 24 };

typedef enum RnStatus {
    RN_OK = 0,
    RN_DAMAGED,   /* not a readable PDF, or this page is not */
    RN_PASSWORD,
    RN_FAILED,    /* the process could not be locked in, or has no memory for these pixels */
} RnStatus;

typedef struct RnRequest {
    uint32_t magic, id;
    uint32_t page;                    /* index from 0 */
    uint32_t page_width, page_height; /* the whole page in pixels, up to RN_SIDE_MAX */
    uint32_t x, y, width, height;     /* the part of it that is wanted, up to RN_PIXELS_MAX pixels */
} RnRequest;

typedef struct RnReply {
    uint32_t magic, id;
    uint32_t status;  /* RnStatus */
    uint32_t n_pages; /* id 0 only */
    uint64_t n_bytes; /* of pixels that follow; 0 unless RN_OK */
} RnReply;

#endif
