/* app-extract-stream.h: strict reading of the stream that lectern-extract writes.
 *
 * Owns: checking every byte that comes from the extractor, which a hostile document may control.
 * Does not own: the process (app-extract.h), what becomes of the blocks (the sink).
 *
 * Bytes may come in pieces of any size. The first thing that is wrong ends the reading with APP_EXTRACT_ERROR_STREAM; the sink has then
 * seen only records that were right.
 */
#ifndef APP_EXTRACT_STREAM_H
#define APP_EXTRACT_STREAM_H

#include "extract/stream-format.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

G_BEGIN_DECLS

typedef struct AppExtractRun {
    size_t n_bytes; /* of the block's text */
    ExRunKind kind;
    uint32_t page; /* EX_RUN_BOX */
    float x0, y0, x1, y1;
    uint32_t item; /* EX_RUN_SOURCE: 0 when the document has no items */
    uint64_t source_char;
} AppExtractRun;

typedef struct AppExtractBlock {
    ExBlockKind kind;
    unsigned level, flags;
    const char *text; /* UTF-8, not NUL-terminated */
    size_t n_bytes;
    const AppExtractRun *runs;
    size_t n_runs;
} AppExtractBlock;

/* What is read, in order; pointers are valid during the call. A function that is NULL is not called; one that returns false ends the
 * reading with the error that it set. */
typedef struct AppExtractSink {
    bool (*meta)(void *user, const char *key, const char *value, GError **error);
    bool (*page)(void *user, uint32_t index, float width, float height, const char *label, GError **error);
    bool (*item)(void *user, const char *name, GError **error);
    bool (*block)(void *user, const AppExtractBlock *block, GError **error);
    bool (*progress)(void *user, uint32_t done, uint32_t total, GError **error);
    bool (*note)(void *user, const char *text, GError **error);
    /* Of an archive. Without `member` these records are refused. */
    bool (*member)(void *user, const char *name, GError **error);
    bool (*data)(void *user, const void *bytes, size_t n_bytes, GError **error);
    bool (*member_end)(void *user, bool is_whole, const char *reason, GError **error);
} AppExtractSink;

#define APP_EXTRACT_ERROR (app_extract_error_quark())
GQuark app_extract_error_quark(void);
typedef enum AppExtractError {
    APP_EXTRACT_ERROR_FAILED = 0,   /* the program is missing or crashed; the operating system refused */
    APP_EXTRACT_ERROR_STREAM,       /* the program wrote what it must not write */
    APP_EXTRACT_ERROR_CANCELLED,
    APP_EXTRACT_ERROR_NO_TEXT,      /* a scan, an empty file */
    APP_EXTRACT_ERROR_DAMAGED,
    APP_EXTRACT_ERROR_PASSWORD,     /* needs one, or another */
    APP_EXTRACT_ERROR_DRM,
    APP_EXTRACT_ERROR_UNSUPPORTED,
    APP_EXTRACT_ERROR_LIMIT,        /* more memory, time or text than allowed */
} AppExtractError;

typedef struct AppExtractStream AppExtractStream;
AppExtractStream *app_extract_stream_new(const AppExtractSink *sink, void *user, uint64_t max_text_bytes);
void app_extract_stream_free(AppExtractStream *stream); /* NULL is fine */
bool app_extract_stream_feed(AppExtractStream *stream, const void *data, size_t n_bytes, GError **error);
/* Whether the END record was read; what it says. */
bool app_extract_stream_is_ended(const AppExtractStream *stream, ExStatus *ret_status, const char **ret_message);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppExtractStream, app_extract_stream_free)

G_END_DECLS

#endif
