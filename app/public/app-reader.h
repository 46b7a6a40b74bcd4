/* app-reader.h: getting documents in and reading them with a model.
 *
 * Owns: files and folders to documents, estimates before reading, the read job with progress, pause, cancel and resumption.
 * Does not own: the store (app-library.h), the loaded model (app-engine.h).
 *
 * Contract. Blocking functions run on the caller's thread and call back on it. *cancel is read atomically and often: a cancelled
 * read loses at most the batch of sections in progress. Peak memory is bounded by a batch of sections, not by the document.
 */
#ifndef APP_READER_H
#define APP_READER_H

#include "app-engine.h"
#include "app-library.h"

G_BEGIN_DECLS

/* ---------------------------------------------------------------------------------------------------------- import */

typedef enum AppAdded {
    APP_ADDED_NEW = 0,
    APP_ADDED_UNCHANGED, /* known already: same path, same content */
    APP_ADDED_MOVED,     /* known content whose file had gone from its former place */
    APP_ADDED_CHANGED,   /* the file's content is new: its text was replaced */
    APP_ADDED_DUPLICATE, /* the same content as a document from another file */
} AppAdded;

typedef struct AppAddOptions {
    const char *title;    /* NULL: from the document */
    int64_t collection;   /* 0: none */
    const char *password; /* of encrypted PDF files and archives; NULL: none. Without the right one: APP_LIBRARY_ERROR_PASSWORD */
    bool ocr;             /* read pages that are pictures with Tesseract (app_reader_can_ocr): seconds a page. The user agreed to it */
    const char *ocr_languages; /* Tesseract's names, "eng+deu"; NULL: "eng" */
    const bool *cancel;   /* NULL: never */
    /* bytes of the source done; on the calling thread, at most every 20 ms */
    void (*progress)(void *user, uint64_t done, uint64_t total);
    /* app_reader_add_all: a file of the folder (or the path itself, or an archive's member) is about to be taken in; NULL: not told */
    void (*begin)(void *user, const char *path, uint32_t n_files_done, uint32_t n_files);
    /* pages of a PDF taken apart, of all: one by one where pictures are read (ocr), which takes seconds each; NULL: not told */
    void (*pages)(void *user, uint32_t n_done, uint32_t n_pages);
    void *user; /* for all three */
} AppAddOptions;

/* Takes one file into the library: text, headings, places, search index. "-": standard input. Returns the id, -1 on failure; a file
 * without text becomes a document in state NO_TEXT with a note. */
int64_t app_reader_add_file(AppLibrary *library, const char *path, const AppAddOptions *options, AppAdded *ret_added, GError **error);

/* What became of one source. */
typedef struct AppAddedFile {
    const char *path;    /* of a member of an archive: the archive's path, "/", the member's */
    int64_t document;    /* -1: it failed */
    AppAdded added;
    const GError *error; /* why it failed; NULL */
    uint32_t n_files_done, n_files; /* of the folder: members of archives do not count by themselves */
} AppAddedFile;
typedef bool (*AppAddedFn)(void *user, const AppAddedFile *file); /* false: stop */

/* Takes in all there is at `path`: a file, "-", what can be read of an archive's members (zip, tar, 7z, RAR, and packed ones) or of a
 * folder's files and archives, in order of their names, and tells of each. False: the path itself cannot be read, or it was stopped.
 * *ret_n_left_out (may be NULL): files that were left out because of their kind or name. */
bool app_reader_add_all(AppLibrary *library, const char *path, const AppAddOptions *options, AppAddedFn added, void *user,
                        uint32_t *ret_n_left_out, GError **error);

/* Whether text recognition is installed for these languages (NULL: "eng"); *ret_reason (may be NULL): why not and what to do, g_free.
 * Takes up to a second. */
bool app_reader_can_ocr(const char *languages, char **ret_reason);

/* The readable files in a folder, recursively, sorted by name (numbers by value); hidden files, links to folders and unknown formats are
 * left out and counted. A file's path gives itself. Elements char*. */
GPtrArray *app_reader_find_files(const char *path, const bool *cancel, uint32_t *ret_n_skipped, GError **error);

/* ------------------------------------------------------------------------------------------------------------ read */

/* What reading would cost. */
typedef struct AppReadPlan {
    uint32_t n_sections, n_sections_cached;
    uint64_t n_tokens, n_tokens_cached;
    uint64_t n_disk_bytes; /* still to be written */
    double seconds;        /* at tokens_per_s; 0: unknown */
} AppReadPlan;

/* Cuts the document into sections for the engine's model (kept in the library) and looks up which are cached. tokens_per_s 0: the
 * rate measured last on this machine with this model. */
bool app_reader_plan(AppEngine *engine, int64_t document, double tokens_per_s, const bool *cancel, AppReadPlan *ret_plan, GError **error);

typedef struct AppReadProgress {
    int64_t document;
    uint64_t tokens_done, tokens_total; /* cached ones count as done from the start */
    uint32_t sections_done, sections_total;
    double tokens_per_s; /* of what was computed lately; 0: not known yet */
    double seconds_left; /* < 0: not known yet */
} AppReadProgress;
typedef void (*AppReadProgressFn)(void *user, const AppReadProgress *progress);

typedef struct AppReadResult {
    uint32_t n_sections, n_sections_computed;
    uint64_t n_tokens, n_tokens_computed;
    double seconds;
} AppReadResult;

/* Reads what is not cached yet. On cancellation the document is left PAUSED and the next call goes on where this one stopped; on
 * failure it is FAILED with a note. ret_result (may be NULL) is filled in any case. */
bool app_reader_read(AppEngine *engine, int64_t document, const bool *cancel, AppReadProgressFn progress, void *user,
                     AppReadResult *ret_result, GError **error);

/* Bytes on the disk of each document's cached states, of all models: char *uid -> uint64_t *bytes, freed with the table. */
GHashTable *app_reader_list_sizes(AppLibrary *library, GError **error);

/* Removes a document with its text and its cached states of all models. */
bool app_reader_forget(AppLibrary *library, int64_t document, GError **error);

/* ----------------------------------------------------------------------------------------------------------- queue */

/* A queue with threads of its own for programs that must not block (the window): files are taken in on one while documents are read on
 * the other. Events come on these threads, one at a time. The library shows the same (states QUEUED, READING, ...), so that a listener
 * may simply look there. */
typedef struct AppReadQueue AppReadQueue;
typedef enum AppReadEventKind { APP_READ_QUEUED, APP_READ_ADDING, APP_READ_ADDED, APP_READ_PROGRESS, APP_READ_DONE, APP_READ_PAUSED,
                                APP_READ_FAILED, APP_READ_IDLE } AppReadEventKind;
typedef struct AppReadEvent {
    AppReadEventKind kind;
    const char *path;               /* of a file on its way in; NULL else */
    int64_t document;               /* 0: not known yet */
    const AppReadProgress *progress; /* PROGRESS only */
    const char *message;            /* FAILED: the reason */
    bool needs_password;            /* FAILED: ask for one and add the path again with it */
    uint32_t n_files_done, n_files; /* ADDING, ADDED: of the file or folder in hand; ADDING is told before each file */
    uint32_t n_pages_done, n_pages; /* ADDING: of a PDF, told again while its pages are taken apart; 0: nothing to tell */
    bool was_known;                 /* ADDED: the library had it already, unchanged */
} AppReadEvent;
typedef void (*AppReadEventFn)(void *user, const AppReadEvent *event);

AppReadQueue *app_read_queue_new(AppLibrary *library, AppReadEventFn event, void *user);
void app_read_queue_free(AppReadQueue *queue); /* stops after the current batch; unfinished documents stay PAUSED */
void app_read_queue_set_engine(AppReadQueue *queue, AppEngine *engine); /* NULL: files are imported, none is read */
typedef struct AppReadQueueOptions { /* as in AppAddOptions; copied */
    int64_t collection;
    const char *password;
    bool ocr;
    const char *ocr_languages;
} AppReadQueueOptions;
void app_read_queue_add(AppReadQueue *queue, const char *path, const AppReadQueueOptions *options); /* file, folder or archive */
void app_read_queue_add_path(AppReadQueue *queue, const char *path, int64_t collection);
void app_read_queue_set_reads_added(AppReadQueue *queue, bool reads); /* false: what add_path brings in waits for add_document */
void app_read_queue_stop_adding(AppReadQueue *queue);                  /* drops the paths not taken in yet; what is in stays */
void app_read_queue_add_document(AppReadQueue *queue, int64_t document);
void app_read_queue_stop_document(AppReadQueue *queue, int64_t document); /* pauses it or takes it out */
void app_read_queue_set_paused(AppReadQueue *queue, bool paused);         /* all */
bool app_read_queue_is_idle(AppReadQueue *queue);

G_END_DECLS

#endif
