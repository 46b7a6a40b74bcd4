/* extract-writer.h: writes the stream of stream-format.h.
 *
 * Owns: the stream's encoding, the limit on its size, what becomes of text that is too long for one record.
 * Does not own: what is written; the document's formats.
 */
#ifndef EXTRACT_WRITER_H
#define EXTRACT_WRITER_H

#include "extract-span.h"

typedef struct ExWriter ExWriter;

/* max_text_bytes: further text is refused (ex_writer_is_full). The fd stays the caller's. */
ExWriter *ex_writer_new(int fd, uint64_t max_text_bytes);
void ex_writer_free(ExWriter *writer); /* NULL is fine; does not finish */

void ex_writer_meta(ExWriter *writer, const char *key, const char *value); /* NULL and "" values are left out */
void ex_writer_page(ExWriter *writer, float width, float height, const char *label);
void ex_writer_item(ExWriter *writer, const char *name);
/* The span is normalised and trimmed; an empty one writes nothing. */
void ex_writer_block(ExWriter *writer, ExBlockKind kind, unsigned level, unsigned flags, ExSpan *span);
void ex_writer_progress(ExWriter *writer, uint32_t done, uint32_t total);
void ex_writer_note(ExWriter *writer, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* A member of an archive: its name, its bytes in pieces, whether it is whole (else why not). data false: the limit is reached. */
void ex_writer_member(ExWriter *writer, const char *name);
bool ex_writer_data(ExWriter *writer, const void *bytes, size_t n_bytes);
void ex_writer_member_end(ExWriter *writer, bool is_whole, const char *reason);
/* Ends the stream, once; later calls are ignored. */
void ex_writer_finish(ExWriter *writer, ExStatus status, const char *format, ...) G_GNUC_PRINTF(3, 4);

bool ex_writer_is_full(const ExWriter *writer); /* the limit is reached: stop reading */
uint64_t ex_writer_text_bytes(const ExWriter *writer);

/* For a signal handler: an END record with this status on fd, nothing else touched. What was buffered is lost, so the reader knows the
 * stream by its END alone; only bytes already flushed stand before it (whole records: the buffer is flushed at records' borders). */
void ex_writer_emergency(int fd, ExStatus status);

#endif
