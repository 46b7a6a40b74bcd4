/* app-hub.h: what a Hugging Face-compatible endpoint says of a repository, and which of its files make a model (private to app/).
 *
 * Owns: names of repositories and revisions, the endpoint's addresses and answers, choosing files, limits of their sizes.
 * Does not own: fetching files (app-download-file.h), what a model is (engine/).
 *
 * Source: the Hub's HTTP interface: GET /api/models/REPO/revision/REV (sha, gated, cardData.license), GET /api/models/REPO/tree/SHA
 * (type, path, size, oid: the git blob's SHA-1; lfs.oid: the content's SHA-256; further pages by the Link header), GET
 * /REPO/resolve/SHA/PATH. Everything that comes from there is checked here once.
 */
#ifndef APP_HUB_H
#define APP_HUB_H

#include "app-http.h"

G_BEGIN_DECLS

typedef struct AppHub {
    AppHttp *http;
    const char *endpoint; /* without a slash at its end */
    const char *token;    /* "" is none */
    const bool *cancel;
} AppHub;

typedef struct AppHubFile {
    char *path;      /* a plain file name */
    uint64_t n_bytes;
    char *sha256;    /* 64 lower-case digits; NULL: a small file, which has git_sha1 alone */
    char *git_sha1;  /* of "blob SIZE\0" and the content; NULL only with sha256 */
} AppHubFile;
void app_hub_file_free(AppHubFile *file); /* NULL is fine */

typedef struct AppHubRevision {
    char *commit;   /* 40 digits */
    char *licence;  /* as the repository's card says; "" is unknown */
    GPtrArray *files; /* AppHubFile*: all of the top folder whose names are sound */
} AppHubRevision;
void app_hub_revision_clear(AppHubRevision *revision);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AppHubRevision, app_hub_revision_clear)

/* "owner/name". */
bool app_hub_is_repository(const char *name);
bool app_hub_is_revision(const char *name);
/* A plain name of a file: letters, digits, dots, dashes and underscores; neither hidden nor a path. */
bool app_hub_is_file_name(const char *name);

/* Asks the endpoint. The error says in words what is wrong, also for 401, 403, 404 and 429. */
bool app_hub_list(const AppHub *hub, const char *repository, const char *revision, AppHubRevision *ret_revision, GError **error);

/* The files that make a model, small ones first: config.json, tokenizer.json and weights, or one GGUF file. file: the GGUF file to take;
 * NULL: the weights in the repository's own form, else the only GGUF file or the one in 8 bits. Elements are borrowed from `files`. */
GPtrArray *app_hub_choose_files(const char *repository, GPtrArray *files, const char *file, GError **error);

/* The address of a file; g_free. */
char *app_hub_file_url(const AppHub *hub, const char *repository, const char *commit, const char *path);

/* Turns a reply that is no success into words. */
void app_hub_set_status_error(const AppHttpReply *reply, const char *repository, bool has_token, GError **error);

G_END_DECLS

#endif
