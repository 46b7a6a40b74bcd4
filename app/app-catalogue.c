/* app-catalogue.c: the models that are known to run: shipped, and as the user edited them.
 *
 * Owns: reading and checking both catalogues, laying one over the other, the copy for editing.
 * Does not own: downloading (app-download.c). The forms of names are app-hub.h's.
 */
#include "app-download.h"

#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <string.h>

#include "app-hub.h"
#include "app-paths.h"

enum { TEXT_CHARS_MAX = 200, ENTRIES_MAX = 1000 };

#define CATALOGUE "catalogue.json"

void app_catalogue_entry_free(AppCatalogueEntry *entry)
{
    if (entry == NULL) return;
    g_free(entry->name);
    g_free(entry->title);
    g_free(entry->repository);
    g_free(entry->revision);
    g_free(entry->file);
    g_free(entry->licence);
    g_free(entry->note);
    g_free(entry);
}

static char *take_text(const json_t *object, const char *key, const char *missing)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL) return g_strdup(missing);
    g_autofree char *line = g_utf8_substring(text, 0, MIN(g_utf8_strlen(text, -1), TEXT_CHARS_MAX));
    for (char *at = line; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f) *at = ' ';
    return g_steal_pointer(&line);
}

/* What is wrong with an entry; NULL: nothing. */
static const char *find_fault(const AppCatalogueEntry *entry)
{
    if (!app_hub_is_file_name(entry->name)) return _("“name” is missing or is no plain name");
    if (!app_hub_is_repository(entry->repository)) return _("“repository” is missing or is not of the form OWNER/NAME");
    if (!app_hub_is_revision(entry->revision)) return _("“revision” is no name of a branch, tag or commit");
    if (entry->file != NULL && !app_hub_is_file_name(entry->file)) return _("“file” is no plain name of a file");
    return NULL;
}

static AppCatalogueEntry *take_entry(const json_t *object, bool is_own)
{
    AppCatalogueEntry *entry = g_new0(AppCatalogueEntry, 1);
    entry->name = take_text(object, "name", "");
    entry->title = take_text(object, "title", entry->name);
    entry->repository = take_text(object, "repository", "");
    entry->revision = take_text(object, "revision", "main");
    entry->file = take_text(object, "file", NULL);
    entry->licence = take_text(object, "licence", "");
    entry->note = take_text(object, "note", "");
    json_int_t n_bytes = json_integer_value(json_object_get(object, "bytes"));
    entry->n_bytes = n_bytes > 0 ? (uint64_t)n_bytes : 0;
    entry->n_parameters = MAX(json_number_value(json_object_get(object, "parameters")), 0);
    entry->is_own = is_own;
    return entry;
}

/* Adds it, in the place of one of the same name. */
static void lay_over(GPtrArray *entries, AppCatalogueEntry *entry)
{
    for (guint i = 0; i < entries->len; i++) {
        if (strcmp(((AppCatalogueEntry *)g_ptr_array_index(entries, i))->name, entry->name) != 0) continue;
        app_catalogue_entry_free(g_ptr_array_index(entries, i));
        g_ptr_array_index(entries, i) = entry;
        return;
    }
    g_ptr_array_add(entries, entry);
}

static bool add_file(GPtrArray *entries, const char *path, bool is_own, GError **error)
{
    json_error_t reason;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &reason);
    const json_t *models = json_object_get(root, "models");
    bool good = json_is_array(models) && json_array_size(models) <= ENTRIES_MAX;
    if (root == NULL)
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_INVALID, _("%s: line %d: %s"), path, reason.line, reason.text);
    else if (!good)
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_INVALID, _("%s: there is no list “models” of up to %d entries"), path, ENTRIES_MAX);
    for (size_t i = 0; good && i < json_array_size(models); i++) {
        AppCatalogueEntry *entry = take_entry(json_array_get(models, i), is_own);
        const char *fault = find_fault(entry);
        if (fault == NULL) {
            lay_over(entries, entry);
            continue;
        }
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_INVALID, _("%s: entry %zu: %s"), path, i + 1, fault);
        app_catalogue_entry_free(entry);
        good = false;
    }
    json_decref(root);
    return good;
}

GPtrArray *app_catalogue_load(GError **error)
{
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)app_catalogue_entry_free);
    g_autofree char *shipped = g_build_filename(app_paths_resources(), CATALOGUE, NULL), *own = g_build_filename(app_paths_config(), CATALOGUE, NULL);
    if (!add_file(entries, shipped, false, error)) return NULL;
    if (g_file_test(own, G_FILE_TEST_EXISTS) && !add_file(entries, own, true, error)) return NULL;
    return g_steal_pointer(&entries);
}

char *app_catalogue_copy(GError **error)
{
    g_autofree char *shipped = g_build_filename(app_paths_resources(), CATALOGUE, NULL), *own = g_build_filename(app_paths_config(), CATALOGUE, NULL);
    g_autofree char *text = NULL;
    gsize n = 0;
    if (g_file_test(own, G_FILE_TEST_EXISTS)) return g_steal_pointer(&own);
    if (!app_paths_make_private_folder(app_paths_config(), error) || !g_file_get_contents(shipped, &text, &n, error)) return NULL;
    if (!g_file_set_contents_full(own, text, (gssize)n, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error)) return NULL;
    return g_steal_pointer(&own);
}
