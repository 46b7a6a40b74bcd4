/* app-storage.c: see app-storage.h. */
#include "app-storage.h"

#include <glib/gi18n.h>
#include <string.h>

#include "app-engine-internal.h"
#include "app-library-internal.h"
#include "app-settings.h"

struct AppStorage {
    AppLibrary *library;
    eng_cache *cache;
};

AppStorage *app_storage_open(AppLibrary *library, GError **error)
{
    eng_error engine_error;
    eng_cache *cache = NULL;
    eng_status status = eng_cache_open(app_library_get_cache_folder(library), NULL, &cache, &engine_error);
    if (status != ENG_OK) {
        app_engine_set_error(error, status, &engine_error);
        return NULL;
    }
    AppStorage *storage = g_new0(AppStorage, 1);
    storage->library = app_library_ref(library);
    storage->cache = cache;
    return storage;
}

void app_storage_close(AppStorage *storage)
{
    if (storage == NULL) return;
    eng_cache_close(storage->cache);
    app_library_unref(storage->library);
    g_free(storage);
}

void app_storage_entry_free(AppStorageEntry *entry)
{
    if (entry == NULL) return;
    g_free(entry->uid);
    g_free(entry->title);
    g_free(entry->model);
    g_free(entry->note);
    g_free(entry);
}

static bool finish(eng_status status, const eng_error *engine_error, GError **error)
{
    if (status != ENG_OK) app_engine_set_error(error, status, engine_error);
    return status == ENG_OK;
}

/* ----------------------------------------------------------------------------------------------------------------- list */

typedef struct Listing {
    AppLibrary *library;
    GPtrArray *entries;
    const char *model;    /* of the engine in use; NULL: none */
    char identity[65];
} Listing;

static bool take_entry(void *user, const eng_cache_entry *from)
{
    Listing *listing = user;
    AppStorageEntry *entry = g_new0(AppStorageEntry, 1);
    g_autoptr(AppDocument) document = app_library_get_document_by_uid(listing->library, from->document, NULL);
    entry->uid = g_strdup(from->document);
    entry->document = document != NULL ? document->id : 0;
    entry->title = g_strdup(document != NULL ? document->title : "");
    entry->model = g_strdup(from->model_name);
    entry->n_sections = from->n_sections;
    entry->n_tokens = from->n_tokens;
    entry->n_bytes = from->n_bytes;
    entry->used_s = from->used_s;
    entry->pinned = from->pinned;
    entry->damaged = from->damaged;
    entry->stale = !from->damaged && listing->model != NULL && strcmp(from->identity_digest, listing->identity) != 0;
    if (!entry->stale) {
        entry->note = g_strdup(from->note);
    } else if (strcmp(from->model_name, listing->model) == 0) {
        entry->note = g_strdup_printf(_("read by %s with other options or another version of it"), from->model_name);
    } else {
        entry->note = g_strdup_printf(_("read by %s; %s is in use"), from->model_name, listing->model);
    }
    g_ptr_array_add(listing->entries, entry);
    return true;
}

static int compare_bytes(gconstpointer a, gconstpointer b)
{
    const AppStorageEntry *x = *(AppStorageEntry *const *)a, *y = *(AppStorageEntry *const *)b;
    if (x->n_bytes != y->n_bytes) return x->n_bytes > y->n_bytes ? -1 : 1;
    return strcmp(x->uid, y->uid);
}

GPtrArray *app_storage_list(AppStorage *storage, AppEngine *current, GError **error)
{
    Listing listing = {.library = storage->library, .entries = g_ptr_array_new_with_free_func((GDestroyNotify)app_storage_entry_free)};
    if (current != NULL) {
        eng_digest digest;
        const char *identity = eng_model_identity(app_engine_get_model(current));
        eng_sha256(identity, strlen(identity), &digest);
        eng_digest_text(&digest, listing.identity);
        listing.model = app_engine_get_model_name(current);
    }
    eng_error engine_error;
    if (!finish(eng_cache_list(storage->cache, take_entry, &listing, &engine_error), &engine_error, error)) {
        g_ptr_array_unref(listing.entries);
        return NULL;
    }
    g_ptr_array_sort(listing.entries, compare_bytes);
    return listing.entries;
}

bool app_storage_set_pinned(AppStorage *storage, const char *uid, bool pinned, GError **error)
{
    eng_error engine_error;
    return finish(eng_cache_pin(storage->cache, uid, pinned, &engine_error), &engine_error, error);
}

bool app_storage_remove(AppStorage *storage, const char *uid, GError **error)
{
    eng_error engine_error;
    if (!finish(eng_cache_remove(storage->cache, uid, &engine_error), &engine_error, error)) return false;
    g_autoptr(AppDocument) document = app_library_get_document_by_uid(storage->library, uid, NULL);
    if (document == NULL) return true;
    return app_library_forget_reading(storage->library, document->id, error);
}

/* --------------------------------------------------------------------------------------------------------------- budget */

uint64_t app_storage_get_used_bytes(AppStorage *storage)
{
    return eng_cache_used_bytes(storage->cache);
}

uint64_t app_storage_get_budget_bytes(AppStorage *storage)
{
    return eng_cache_get_budget(storage->cache);
}

/* A setting of the same would undo the limit at the next reading: it follows. */
static bool keep_budget(uint64_t budget_bytes, GError **error)
{
    g_autoptr(AppSettings) settings = app_settings_open(NULL, error);
    if (settings == NULL) return false;
    if (app_settings_get_number(settings, APP_SETTING_CACHE_BUDGET) == 0) return true;
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, budget_bytes);
    return app_settings_set(settings, APP_SETTING_CACHE_BUDGET, text, error);
}

bool app_storage_set_budget_bytes(AppStorage *storage, uint64_t budget_bytes, uint64_t *ret_freed_bytes, GError **error)
{
    eng_error engine_error;
    return finish(eng_cache_set_budget(storage->cache, budget_bytes, ret_freed_bytes, &engine_error), &engine_error, error) &&
           keep_budget(budget_bytes, error);
}

/* ---------------------------------------------------------------------------------------------------------------- check */

typedef struct Check {
    GPtrArray *findings;
    AppStorageProgressFn progress;
    void *user;
} Check;

static void take_finding(void *user, const char *file, uint64_t offset, const char *what)
{
    Check *check = user;
    g_ptr_array_add(check->findings, g_strdup_printf("%s, byte %" G_GUINT64_FORMAT ": %s", file, offset, what));
}

static void take_progress(void *user, uint64_t done, uint64_t total)
{
    const Check *check = user;
    if (check->progress != NULL) check->progress(check->user, done, total);
}

void app_storage_report_clear(AppStorageReport *report)
{
    g_clear_pointer(&report->findings, g_ptr_array_unref);
}

bool app_storage_check(AppStorage *storage, bool read_data, bool repair, AppStorageProgressFn progress, void *user, const bool *cancel,
                       AppStorageReport *ret_report, GError **error)
{
    eng_error engine_error;
    eng_cache_report report;
    Check check = {.findings = g_ptr_array_new_with_free_func(g_free), .progress = progress, .user = user};
    eng_status status = (repair ? eng_cache_repair : eng_cache_check)(storage->cache, read_data, take_finding, take_progress, &check, cancel,
                                                                      &report, &engine_error);
    if (!finish(status, &engine_error, error)) {
        g_ptr_array_unref(check.findings);
        return false;
    }
    *ret_report = (AppStorageReport){.n_files = report.n_files, .n_sections = report.n_records, .n_bytes = report.n_bytes,
                                     .n_damaged = MAX(report.n_damaged_files, report.n_damaged_records) + report.n_missing_files,
                                     .findings = check.findings};
    return true;
}
