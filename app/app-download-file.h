/* app-download-file.h: one file of a download: fetched, taken up again, checked, named (private to app/).
 *
 * Owns: PATH.part (what came so far), PATH.etag (the version it is of), the loop over cut connections, the hash.
 * Does not own: which files (app-hub.h), the folder and its lock (app-download.c).
 */
#ifndef APP_DOWNLOAD_FILE_H
#define APP_DOWNLOAD_FILE_H

#include "app-download.h"
#include "app-hub.h"

G_BEGIN_DECLS

/* Called with the file's own bytes; `message`: why it waits, NULL otherwise. */
typedef void (*AppFetchProgressFn)(void *user, AppDownloadStage stage, uint64_t done_bytes, const char *message);

typedef struct AppFetch {
    const AppHub *hub;
    const char *repository, *commit, *folder;
    const AppHubFile *file;
    unsigned n_retries; /* in a row without a byte gained */
    AppFetchProgressFn progress;
    void *user;
} AppFetch;

/* Afterwards <folder>/<path> has the listed size and hash, is synced and private. On failure it is not there; what was fetched and may
 * be right is kept for the next time. */
bool app_fetch_file(const AppFetch *fetch, GError **error);

/* Bytes of the file that are there: of the finished one, else of the part. */
uint64_t app_fetch_bytes_there(const char *folder, const AppHubFile *file);
bool app_fetch_is_done(const char *folder, const AppHubFile *file);
void app_fetch_forget(const char *folder, const char *path); /* deletes all that is there of it */

G_END_DECLS

#endif
