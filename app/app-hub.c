/* app-hub.c: see app-hub.h. */
#include "app-hub.h"

#include <glib/gi18n.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "app-download.h"
#include "app-paths.h"

#define LICENCE_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+ "

enum {
    NAME_BYTES_MAX = 96,
    PAGES_MAX = 20,
    FILES_MAX = 20000,
    LIST_SECONDS_MAX = 120,
    REDIRECTS_MAX = 5,
    SHARDS_MAX = 512,
};
#define LIST_BYTES_MAX (UINT64_C(16) << 20)
#define WEIGHTS_BYTES_MAX (UINT64_C(2) << 40)

void app_hub_file_free(AppHubFile *file)
{
    if (file == NULL) return;
    g_free(file->path);
    g_free(file->sha256);
    g_free(file->git_sha1);
    g_free(file);
}

void app_hub_revision_clear(AppHubRevision *revision)
{
    g_free(revision->commit);
    g_free(revision->licence);
    if (revision->files != NULL) g_ptr_array_unref(revision->files);
    *revision = (AppHubRevision){0};
}

/* ----------------------------------------------------------------------------------------------------------------- names */

static bool is_plain(const char *name, size_t n)
{
    return app_paths_is_plain_name(name, n, NAME_BYTES_MAX);
}

bool app_hub_is_repository(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash != NULL && is_plain(name, (size_t)(slash - name)) && is_plain(slash + 1, strlen(slash + 1));
}

bool app_hub_is_revision(const char *name)
{
    return is_plain(name, strlen(name));
}

bool app_hub_is_file_name(const char *name)
{
    return is_plain(name, strlen(name));
}

/* Lower-case hexadecimal of n digits, or NULL. */
static char *take_digits(const char *text, size_t n)
{
    if (text == NULL || strlen(text) != n || strspn(text, "0123456789abcdefABCDEF") != n) return NULL;
    return g_ascii_strdown(text, -1);
}

/* ---------------------------------------------------------------------------------------------------------------- asking */

static bool fail_answer(const AppHub *hub, const char *what, GError **error)
{
    g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_INVALID,
                _("%s does not answer as Hugging Face does: %s. Is the setting download.endpoint right?"), hub->endpoint, what);
    return false;
}

void app_hub_set_status_error(const AppHttpReply *reply, const char *repository, bool has_token, GError **error)
{
    g_autofree char *said = reply->problem != NULL ? g_strdup_printf(_(" (%s says: %s)"), reply->host, reply->problem) : g_strdup("");
    switch (reply->status) {
    case 401:
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_REFUSED,
                    has_token ? _("%s: there is no such repository, or the token does not open it%s. `lectern settings download.token -` sets another")
                              : _("%s: there is no such repository, or it asks for a token%s. `lectern settings download.token -` sets one"),
                    repository, said);
        return;
    case 403:
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_REFUSED,
                    _("%s may not be downloaded%s: its licence may have to be accepted on its page first, with the account of the token"), repository, said);
        return;
    case 404:
    case 410:
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_NOT_FOUND, _("%s: there is no such repository, revision or file on %s%s"),
                    repository, reply->host, said);
        return;
    case 429: {
        g_autofree char *wait = reply->retry_after_s >= 0
                                    ? g_strdup_printf(_("; it asks to wait %" PRId64 " min"), (reply->retry_after_s + 59) / 60)
                                    : g_strdup("");
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_BUSY, _("%s was asked too often%s%s. What was fetched is kept: try again later"),
                    reply->host, wait, said);
        return;
    }
    default:
        g_set_error(error, APP_DOWNLOAD_ERROR, reply->status >= 500 ? APP_DOWNLOAD_ERROR_BUSY : APP_DOWNLOAD_ERROR_FAILED,
                    _("%s answers with status %ld for %s%s"), reply->host, reply->status, repository, said);
    }
}

static json_t *fetch_json(const AppHub *hub, const char *url, const char *repository, char **ret_next, GError **error)
{
    AppHttpRequest request = {.url = url, .bearer = hub->token, .accept = "application/json", .least_plain = APP_ADDRESS_LOOPBACK,
                              .n_redirects_max = REDIRECTS_MAX, .n_body_bytes_max = LIST_BYTES_MAX, .total_s_max = LIST_SECONDS_MAX,
                              .cancel = hub->cancel};
    g_auto(AppHttpReply) reply = {0};
    g_autofree char *text = NULL;
    size_t n = 0;
    if (!app_http_fetch_text(hub->http, &request, &reply, &text, &n, error)) return NULL;
    if (reply.status != 200) {
        app_hub_set_status_error(&reply, repository, hub->token[0] != '\0', error);
        return NULL;
    }
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    if (root == NULL) fail_answer(hub, _("what it sends is no JSON"), error);
    if (root != NULL && ret_next != NULL) *ret_next = g_steal_pointer(&reply.next_url);
    return root;
}

static bool list_revision(const AppHub *hub, const char *repository, const char *revision, AppHubRevision *listed, GError **error)
{
    g_autofree char *url = g_strdup_printf("%s/api/models/%s/revision/%s", hub->endpoint, repository, revision);
    json_t *root = fetch_json(hub, url, repository, NULL, error);
    if (root == NULL) return false;
    listed->commit = take_digits(json_string_value(json_object_get(root, "sha")), 40);
    const char *licence = json_string_value(json_object_get(json_object_get(root, "cardData"), "license"));
    bool sound = licence != NULL && strlen(licence) < 64 && licence[strspn(licence, LICENCE_CHARACTERS)] == '\0';
    listed->licence = g_strdup(sound ? licence : "");
    json_decref(root);
    return listed->commit != NULL || fail_answer(hub, _("the commit is missing"), error);
}

/* One entry of the list; false: it is not what a list may hold. What is no plain file of the top folder is passed over. */
static bool take_entry(const json_t *entry, GPtrArray *files)
{
    const char *type = json_string_value(json_object_get(entry, "type")), *path = json_string_value(json_object_get(entry, "path"));
    const json_t *lfs = json_object_get(entry, "lfs"), *size = json_object_get(lfs != NULL && !json_is_null(lfs) ? lfs : entry, "size");
    if (type == NULL || path == NULL) return false;
    if (strcmp(type, "file") != 0 || !app_hub_is_file_name(path)) return true;
    if (!json_is_integer(size) || json_integer_value(size) < 0) return false;
    const char *oid = json_string_value(json_object_get(lfs, "oid"));
    if (oid == NULL) oid = json_string_value(json_object_get(lfs, "sha256"));
    if (oid != NULL && g_str_has_prefix(oid, "sha256:")) oid += strlen("sha256:");
    AppHubFile *file = g_new0(AppHubFile, 1);
    file->path = g_strdup(path);
    file->n_bytes = (uint64_t)json_integer_value(size);
    file->sha256 = take_digits(oid, 64);
    /* The blob of a large file is its pointer, not its content. */
    if (file->sha256 == NULL && (lfs == NULL || json_is_null(lfs)))
        file->git_sha1 = take_digits(json_string_value(json_object_get(entry, "oid")), 40);
    g_ptr_array_add(files, file);
    return true;
}

static bool list_files(const AppHub *hub, const char *repository, AppHubRevision *listed, GError **error)
{
    g_auto(AppAddress) endpoint = {0};
    g_autofree char *url = g_strdup_printf("%s/api/models/%s/tree/%s", hub->endpoint, repository, listed->commit);
    if (!app_address_parse(hub->endpoint, APP_ADDRESS_LOOPBACK, false, &endpoint, NULL)) return fail_answer(hub, _("it is no address"), error);
    listed->files = g_ptr_array_new_with_free_func((GDestroyNotify)app_hub_file_free);
    for (unsigned page = 0; url != NULL; page++) {
        g_auto(AppAddress) address = {0};
        g_autofree char *next = NULL;
        if (page >= PAGES_MAX || listed->files->len > FILES_MAX) return fail_answer(hub, _("the list of files does not end"), error);
        if (!app_address_parse(url, APP_ADDRESS_LOOPBACK, true, &address, NULL) || strcmp(address.origin, endpoint.origin) != 0)
            return fail_answer(hub, _("the list of files goes on elsewhere"), error);
        json_t *root = fetch_json(hub, url, repository, &next, error);
        if (root == NULL) return false;
        bool good = json_is_array(root);
        for (size_t i = 0; good && i < json_array_size(root); i++) good = take_entry(json_array_get(root, i), listed->files);
        json_decref(root);
        if (!good) return fail_answer(hub, _("the list of files is not of the form known"), error);
        g_free(url);
        url = g_steal_pointer(&next);
    }
    return true;
}

bool app_hub_list(const AppHub *hub, const char *repository, const char *revision, AppHubRevision *ret_revision, GError **error)
{
    g_auto(AppHubRevision) listed = {0};
    if (!list_revision(hub, repository, revision, &listed, error) || !list_files(hub, repository, &listed, error)) return false;
    *ret_revision = listed;
    listed = (AppHubRevision){0};
    return true;
}

char *app_hub_file_url(const AppHub *hub, const char *repository, const char *commit, const char *path)
{
    return g_strdup_printf("%s/%s/resolve/%s/%s", hub->endpoint, repository, commit, path); /* names are plain: nothing to escape */
}

/* -------------------------------------------------------------------------------------------------------------- choosing */

static const struct {
    const char *path;
    uint64_t n_bytes_max;
    bool needed;
} small_files[] = {
    {"config.json", 1 << 20, true},
    {"generation_config.json", 1 << 20, false},
    {"model.safetensors.index.json", 32 << 20, false},
    {"tokenizer.json", 128 << 20, true},
};

static AppHubFile *find(GPtrArray *files, const char *path)
{
    for (guint i = 0; i < files->len; i++) {
        AppHubFile *file = g_ptr_array_index(files, i);
        if (strcmp(file->path, path) == 0) return file;
    }
    return NULL;
}

static bool fail_repository(const char *repository, const char *reason, GError **error)
{
    g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_INVALID, "%s: %s", repository, reason);
    return false;
}

static bool check_file(const char *repository, const AppHubFile *file, uint64_t n_bytes_max, bool is_weights, GError **error)
{
    g_autofree char *reason = NULL;
    if (file->n_bytes == 0 || file->n_bytes > n_bytes_max)
        reason = g_strdup_printf(_("%s has %" PRIu64 " bytes, which no such file has"), file->path, file->n_bytes);
    else if (file->sha256 == NULL && (is_weights || file->git_sha1 == NULL))
        reason = g_strdup_printf(_("the list gives no hash of %s; without one it cannot be checked, and is not taken"), file->path);
    return reason == NULL || fail_repository(repository, reason, error);
}

/* "model.safetensors" or "model-00001-of-00005.safetensors". */
static bool is_weights_name(const char *path)
{
    return g_str_has_prefix(path, "model") && g_str_has_suffix(path, ".safetensors");
}

static int compare_sizes(gconstpointer a, gconstpointer b)
{
    const AppHubFile *x = *(AppHubFile *const *)a, *y = *(AppHubFile *const *)b;
    if (x->n_bytes != y->n_bytes) return x->n_bytes < y->n_bytes ? -1 : 1;
    return strcmp(x->path, y->path);
}

static bool choose_folder(const char *repository, GPtrArray *files, GPtrArray *chosen, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(small_files); i++) {
        AppHubFile *file = find(files, small_files[i].path);
        if (file == NULL && small_files[i].needed) {
            g_autofree char *reason = g_strdup_printf(_("there is no %s in it: not a model in the form that Lectern reads"), small_files[i].path);
            return fail_repository(repository, reason, error);
        }
        if (file == NULL) continue;
        if (!check_file(repository, file, small_files[i].n_bytes_max, false, error)) return false;
        g_ptr_array_add(chosen, file);
    }
    guint first = chosen->len;
    for (guint i = 0; i < files->len; i++) {
        AppHubFile *file = g_ptr_array_index(files, i);
        if (!is_weights_name(file->path)) continue;
        if (!check_file(repository, file, WEIGHTS_BYTES_MAX, true, error)) return false;
        g_ptr_array_add(chosen, file);
    }
    if (chosen->len - first > SHARDS_MAX) return fail_repository(repository, _("it holds too many files of weights"), error);
    return true;
}

static bool choose_gguf(const char *repository, GPtrArray *files, const char *wanted, GPtrArray *chosen, GError **error)
{
    g_autoptr(GString) names = g_string_new(NULL);
    AppHubFile *only = NULL, *eight = NULL;
    unsigned n = 0;
    for (guint i = 0; i < files->len; i++) {
        AppHubFile *file = g_ptr_array_index(files, i);
        if (!g_str_has_suffix(file->path, ".gguf")) continue;
        g_string_append_printf(names, "%s%s (%.2f GB)", n++ ? ", " : "", file->path, (double)file->n_bytes / 1e9);
        only = file;
        if (strstr(file->path, "Q8_0") != NULL && strstr(file->path, "-of-") == NULL) eight = file;
    }
    AppHubFile *file = wanted != NULL ? find(files, wanted) : n == 1 ? only : eight;
    if (file == NULL) {
        g_autofree char *reason = n == 0 ? g_strdup(_("it holds neither weights as safetensors nor a GGUF file"))
                                         : g_strdup_printf(wanted ? _("that file is not in it; it holds: %s. Choose with --file") : _("which file? it holds: %s. Choose with --file"), names->str);
        return fail_repository(repository, reason, error);
    }
    if (strstr(file->path, "-of-") != NULL) return fail_repository(repository, _("a GGUF file in several parts is not read"), error);
    if (!check_file(repository, file, WEIGHTS_BYTES_MAX, true, error)) return false;
    g_ptr_array_add(chosen, file);
    return true;
}

GPtrArray *app_hub_choose_files(const char *repository, GPtrArray *files, const char *file, GError **error)
{
    g_autoptr(GPtrArray) chosen = g_ptr_array_new();
    bool has_weights = false;
    for (guint i = 0; i < files->len; i++) has_weights = has_weights || is_weights_name(((AppHubFile *)g_ptr_array_index(files, i))->path);
    bool good = file == NULL && has_weights ? choose_folder(repository, files, chosen, error)
                                            : choose_gguf(repository, files, file, chosen, error);
    if (!good) return NULL;
    g_ptr_array_sort(chosen, compare_sizes);
    return g_steal_pointer(&chosen);
}
