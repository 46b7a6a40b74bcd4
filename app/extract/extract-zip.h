/* extract-zip.h: the wanted entries of a zip, in memory, within bounds.
 *
 * Owns: unpacking through libarchive, limits on entries and bytes. Nothing is ever written to a file, so names cannot lead anywhere.
 * Does not own: what the entries hold.
 */
#ifndef EXTRACT_ZIP_H
#define EXTRACT_ZIP_H

#include "extract-formats.h"

typedef struct ExZip ExZip;

/* wanted: whether an entry's bytes are kept; its name is as ex_zip_path makes it. NULL on failure: the writer is finished then. */
ExZip *ex_zip_new(const ExInput *input, bool (*wanted)(const char *name), ExWriter *writer);
void ex_zip_free(ExZip *zip); /* NULL is fine */
/* Bytes of an entry, followed by a NUL; NULL when there is none. Borrowed. */
const char *ex_zip_get(const ExZip *zip, const char *name, size_t *ret_n_bytes);
bool ex_zip_has(const ExZip *zip, const char *name); /* wanted or not */
/* The first wanted entry whose name ends so, or NULL. */
const char *ex_zip_find(const ExZip *zip, const char *ending);

/* `reference` (a URI reference without fragment) as seen from the entry `base`: "OEBPS/content.opf", "text/ch%201.xhtml" ->
 * "OEBPS/text/ch 1.xhtml". Never leads above the archive's root. Free with g_free. */
char *ex_zip_path(const char *base, const char *reference);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ExZip, ex_zip_free)

#endif
