/* app-download.h: models from a Hugging Face-compatible endpoint.
 *
 * Owns: the catalogue of models known to run, downloads that go on where they stopped (also in another process), their checks, and
 *       that only a complete, checked model that opens is installed.
 * Does not own: installed models (app-models.h), the endpoint and token (app-settings.h), how progress is shown (cli/, ui/).
 *
 * Contract. Nothing connects to anywhere before app_download_run. It blocks: run it in a thread; progress is called there, at most ten
 * times a second; the cancel flag ends it within 0.2 s. What was fetched stays in <data>/models/.download/OWNER--NAME until the model
 * is installed or app_download_discard: to pause is to cancel, to go on is to run it again. One process at a time downloads one
 * repository. Each file's SHA-256 (of small files the git blob's SHA-1) and size as the endpoint's list says are compared before the
 * file takes its name; the list is of one commit.
 */
#ifndef APP_DOWNLOAD_H
#define APP_DOWNLOAD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "app-models.h"
#include "app-settings.h"

G_BEGIN_DECLS

#define APP_DOWNLOAD_ERROR (app_download_error_quark())
GQuark app_download_error_quark(void);
typedef enum AppDownloadError {
    APP_DOWNLOAD_ERROR_FAILED,    /* the operating system refused */
    APP_DOWNLOAD_ERROR_INVALID,   /* not a name, or a file or model there that cannot be used */
    APP_DOWNLOAD_ERROR_OFFLINE,   /* nobody answers; what was fetched is kept */
    APP_DOWNLOAD_ERROR_CUT,       /* cut or stalled more often than allowed; what was fetched is kept */
    APP_DOWNLOAD_ERROR_REFUSED,   /* 401, 403, a redirect to elsewhere, a certificate */
    APP_DOWNLOAD_ERROR_NOT_FOUND, /* 404 */
    APP_DOWNLOAD_ERROR_BUSY,      /* 429, 5xx, or another process downloads the same */
    APP_DOWNLOAD_ERROR_DAMAGED,   /* not what the endpoint's list says; what was wrong was deleted */
    APP_DOWNLOAD_ERROR_SPACE,     /* the disk is too full; the message says how much is needed */
    APP_DOWNLOAD_ERROR_EXISTS,    /* a model of that name is there */
} AppDownloadError; /* a stopped one is G_IO_ERROR_CANCELLED */

/* ------------------------------------------------------------------------------------------------------------- catalogue */

typedef struct AppCatalogueEntry {
    char *name;       /* what `lectern model download` takes: "qwen3-4b" */
    char *title;      /* "Qwen3 4B, 4 bits" */
    char *repository; /* "Qwen/Qwen3-4B-GGUF" */
    char *revision;   /* "main" unless the catalogue says otherwise */
    char *file;       /* of several GGUF files this one; NULL: not needed */
    char *licence;    /* SPDX */
    char *note;       /* one line; "" is none */
    uint64_t n_bytes; /* about: the endpoint's list is what counts */
    double n_parameters; /* 4.0e9 */
    bool is_own;      /* of the user's own copy */
} AppCatalogueEntry;
void app_catalogue_entry_free(AppCatalogueEntry *entry); /* NULL is fine */

/* The catalogue that comes with the program, with the user's own (<config>/catalogue.json) laid over it by name; elements
 * AppCatalogueEntry*, in its order. An own catalogue that cannot be understood is an error that names the place in the file. */
GPtrArray *app_catalogue_load(GError **error);
/* Copies the shipped one to <config>/catalogue.json for editing, unless there is one. Its path; g_free. */
char *app_catalogue_copy(GError **error);

/* -------------------------------------------------------------------------------------------------------------- download */

typedef struct AppDownloadWish {
    const char *what;     /* a name of the catalogue, or OWNER/NAME */
    const char *revision; /* NULL: the catalogue's, else "main" */
    const char *file;     /* a GGUF file of the repository; NULL: chosen */
    const char *name;     /* what the model shall be called; NULL: as the repository or the file */
    AppModelWeights weights; /* 8 or 4 bits: once all is fetched and checked, one compact file is made of it and the download deleted */
} AppDownloadWish;

typedef enum AppDownloadStage {
    APP_DOWNLOAD_LISTING = 0,
    APP_DOWNLOAD_FETCHING,
    APP_DOWNLOAD_WAITING,   /* before it goes on after a cut or at the server's wish; `message` says why */
    APP_DOWNLOAD_CHECKING,  /* a file's hash; done and total are of the hashing */
    APP_DOWNLOAD_CONVERTING, /* to 8 or 4 bits; done and total are of the source's weights; the first `message` says what it will need */
    APP_DOWNLOAD_INSTALLING,
} AppDownloadStage;

typedef struct AppDownloadProgress {
    AppDownloadStage stage;
    const char *repository;
    const char *file;       /* NULL: none yet */
    unsigned file_index, n_files; /* from 0 */
    uint64_t done_bytes, total_bytes; /* of all files, what was there before included */
    double bytes_per_s;     /* of the last seconds; 0: not known */
    int64_t seconds_left;   /* -1: not known */
    const char *licence;    /* as the repository says; "" is unknown */
    const char *message;    /* NULL: none */
} AppDownloadProgress;
typedef void (*AppDownloadProgressFn)(void *user, const AppDownloadProgress *progress);

/* Downloads, checks and installs; returns the model's name (g_free). settings: endpoint, token, proxy and time limits; not kept. */
char *app_download_run(const char *data_folder, AppSettings *settings, const AppDownloadWish *wish, AppDownloadProgressFn progress, void *user,
                       const bool *cancel, GError **error);

/* A download that was begun and is neither installed nor discarded. */
typedef struct AppDownloadState {
    char *repository, *revision, *file, *name; /* as wished; file and name NULL where not given */
    uint64_t done_bytes, total_bytes;
    bool is_running; /* some process is at it */
} AppDownloadState;
void app_download_state_free(AppDownloadState *state); /* NULL is fine */
/* Elements AppDownloadState*. */
GPtrArray *app_download_list(const char *data_folder);
/* Deletes what was fetched of it. repository: or a name of the catalogue. */
bool app_download_discard(const char *data_folder, const char *repository, GError **error);

G_END_DECLS

#endif
