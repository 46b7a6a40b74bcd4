/* app-source.h: the bytes of one source on their way into the library: a file, standard input, a member of an archive.
 *
 * Owns: opening it once and safely, a private copy of what has no file of its own, its digest, recognising its format by its content.
 * Does not own: what is made of it (app-add.c).
 */
#ifndef APP_SOURCE_H
#define APP_SOURCE_H

#include <nettle/sha2.h>

#include "app-document.h"
#include "app-encoding.h"
#include "app-reader.h"

typedef struct AppSource {
    int fd;            /* at its end after the survey */
    char *path, *name; /* path "" for standard input; of a member: the archive's path, "/", the member's */
    char hash[65];
    uint64_t n_bytes;
    int64_t modified_s;
    uint8_t first[1024]; /* zeros behind the end of a shorter one */
    bool is_text;
    AppEncoding encoding;
    struct sha256_ctx sha; /* during the survey */
    AppEncodingProbe probe;
} AppSource;

/* "-": standard input, copied to a file without a name in the library's folder. NULL: the options have no progress. */
bool app_source_open(AppSource *source, AppLibrary *library, const char *path, const AppAddOptions *options, GError **error);
/* A member of an archive, whose bytes come by app_source_add; it ends with app_source_end. */
bool app_source_begin_member(AppSource *source, AppLibrary *library, const AppSource *archive, const char *name, GError **error);
bool app_source_add(AppSource *source, const void *bytes, size_t n_bytes, GError **error);
void app_source_end(AppSource *source);
void app_source_close(AppSource *source);

/* "text", "markdown", "pdf", ..., "archive"; by content first, since names lie. NULL with error: nothing that can be read. */
const char *app_source_format(const AppSource *source, GError **error);
/* Whether a folder's walk takes a file of this name. */
bool app_source_is_readable_name(const char *name);
/* The endings of names that an archive's members are taken by: "txt,pdf,...". */
const char *app_source_member_suffixes(void);
/* Whether a document's path still leads to something; of a member: its archive. */
bool app_source_exists(const char *path);

/* “name”: why. False. */
bool app_source_fail(GError **error, const AppSource *source, int code, const char *why);

#endif
