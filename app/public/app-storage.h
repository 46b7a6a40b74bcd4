/* app-storage.h: what the saved states of documents cost, and what can be done about it.
 *
 * Owns: the cache of a library as a person sees it: by document, with title, model, size, what is wrong with it; pins, removing, the
 *       budget, checking. Does not own: the bytes (engine/), reading anew (app-reader.h).
 *
 * Contract. Functions block (SQLite, files): call them on a thread. An AppStorage is used by one thread at a time; several may be open.
 */
#ifndef APP_STORAGE_H
#define APP_STORAGE_H

#include "app-engine.h"
#include "app-library.h"

G_BEGIN_DECLS

typedef struct AppStorage AppStorage;
AppStorage *app_storage_open(AppLibrary *library, GError **error);
void app_storage_close(AppStorage *storage); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppStorage, app_storage_close)

typedef struct AppStorageEntry {
    char *uid;            /* the document's name in the cache */
    int64_t document;     /* 0: not in the library any more */
    char *title;          /* "" then */
    char *model;
    uint64_t n_sections, n_tokens, n_bytes;
    int64_t used_s;
    bool pinned;
    bool damaged;
    bool stale;           /* of another model, or of this one with other options: not used while `model` of the list is chosen */
    char *note;           /* why damaged or stale, "" else */
} AppStorageEntry;
void app_storage_entry_free(AppStorageEntry *entry); /* NULL is fine */

/* Elements AppStorageEntry*, the largest first. current: what stale is judged by; NULL: nothing is stale. */
GPtrArray *app_storage_list(AppStorage *storage, AppEngine *current, GError **error);
bool app_storage_set_pinned(AppStorage *storage, const char *uid, bool pinned, GError **error);
/* Deletes the states of a document (of all models). The document stays, unread. */
bool app_storage_remove(AppStorage *storage, const char *uid, GError **error);

uint64_t app_storage_get_used_bytes(AppStorage *storage);
uint64_t app_storage_get_budget_bytes(AppStorage *storage);
/* Least recently used states go first, pinned ones stay; kept in the settings where a budget stands there. */
bool app_storage_set_budget_bytes(AppStorage *storage, uint64_t budget_bytes, uint64_t *ret_freed_bytes, GError **error);

typedef void (*AppStorageProgressFn)(void *user, uint64_t done_bytes, uint64_t total_bytes);
typedef struct AppStorageReport {
    uint64_t n_files, n_sections, n_bytes, n_damaged;
    GPtrArray *findings; /* char*: one line each, for people */
} AppStorageReport;
void app_storage_report_clear(AppStorageReport *report);
/* Compares every checksum, or the headers alone. repair: deletes what is damaged, which is read again when it is wanted. */
bool app_storage_check(AppStorage *storage, bool read_data, bool repair, AppStorageProgressFn progress, void *user, const bool *cancel,
                       AppStorageReport *ret_report, GError **error);

G_END_DECLS

#endif
