/* app-download.c: see app-download.h.
 *
 * Owns: the folder of one download (its lock, its note of what is wished and listed), the order of its files, progress as people read
 *       it, installing. Does not own: one file (app-download-file.h), the endpoint's answers (app-hub.h), the catalogue.
 */
#include "app-download.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "app-download-file.h"
#include "app-format.h"
#include "app-models.h"
#include "app-paths.h"

G_DEFINE_QUARK(app-download-error-quark, app_download_error)

#define STATE_NAME "download.json"
#define LOCK_NAME "lock"
#define MODEL_NAME "model"
#define GOING_NAME "deleted" /* the same, while it is deleted */

enum {
    PROGRESS_US = 100000,
    RATE_US = 5000000, /* the rate is of about so long */
};
#define SPARE_BYTES (UINT64_C(256) << 20) /* left free for everything else */

typedef struct Download {
    char *repository, *revision, *file, *name; /* name: of the model */
    char *folder;     /* of the download: lock, state and the folder `model` */
    char *model_folder;
    int lock_fd;
    AppHub hub;
    AppHubRevision listed;
    GPtrArray *files; /* borrowed from listed */
    unsigned n_retries;
    AppModelWeights weights;
    bool needs_said;
    /* Progress. */
    AppDownloadProgressFn progress;
    void *user;
    AppDownloadProgress shown;
    uint64_t before_bytes; /* of the files before the present one */
    int64_t shown_us;
    AppDownloadStage shown_stage;
    int64_t rate_us;
    uint64_t rate_bytes;
} Download;

/* ---------------------------------------------------------------------------------------------------------------- wishes */

static bool fail_invalid(const char *text, const char *reason, GError **error)
{
    g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_INVALID, "“%s” %s", text, reason);
    return false;
}

static AppCatalogueEntry *find_entry(GPtrArray *catalogue, const char *name)
{
    for (guint i = 0; i < catalogue->len; i++) {
        AppCatalogueEntry *entry = g_ptr_array_index(catalogue, i);
        if (g_ascii_strcasecmp(entry->name, name) == 0) return entry;
    }
    return NULL;
}

/* Repository, revision, file and the model's name from a wish. */
static bool take_wish(Download *download, const AppDownloadWish *wish, GError **error)
{
    g_autoptr(GPtrArray) catalogue = app_catalogue_load(error);
    if (catalogue == NULL) return false;
    const AppCatalogueEntry *entry = find_entry(catalogue, wish->what);
    if (entry == NULL && !app_hub_is_repository(wish->what))
        return fail_invalid(wish->what, _("is neither a name of `lectern model catalogue` nor a repository (OWNER/NAME)"), error);
    download->repository = g_strdup(entry != NULL ? entry->repository : wish->what);
    download->revision = g_strdup(wish->revision != NULL ? wish->revision : entry != NULL ? entry->revision : "main");
    download->file = g_strdup(wish->file != NULL ? wish->file : entry != NULL ? entry->file : NULL);
    if (!app_hub_is_revision(download->revision)) return fail_invalid(download->revision, _("is no name of a branch, tag or commit"), error);
    if (download->file != NULL && !app_hub_is_file_name(download->file)) return fail_invalid(download->file, _("is no plain name of a file"), error);
    const char *slash = strchr(download->repository, '/');
    download->weights = wish->weights;
    download->name = g_strdup(wish->name != NULL ? wish->name : entry != NULL ? entry->name : slash + 1);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- folder */

static char *folder_of(const char *data_folder, const char *repository)
{
    const char *slash = strchr(repository, '/');
    g_autofree char *owner = g_strndup(repository, (size_t)(slash - repository)), *joined = g_strconcat(owner, "--", slash + 1, NULL);
    return g_build_filename(data_folder, "models", ".download", joined, NULL);
}

/* -1: *error. A lock that another process holds is told apart. */
static int lock_folder(const char *folder, const char *repository, GError **error)
{
    g_autofree char *path = g_build_filename(folder, LOCK_NAME, NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_FAILED, "%s: %s", path, g_strerror(errno));
        return -1;
    }
    struct stat info; /* a lock without a name is of a download that was finished or discarded meanwhile */
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &info) == 0 && info.st_nlink > 0) return fd;
    g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_BUSY, _("%s is being downloaded already, by this or another Lectern"), repository);
    close(fd);
    return -1;
}

/* Of plain files, and of one folder of such; `except` stays. */
static void empty_folder(const char *folder, const char *except)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    for (const char *entry; dir != NULL && (entry = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(folder, entry, NULL);
        if (strcmp(entry, except) != 0) g_unlink(path);
    }
    if (dir != NULL) g_dir_close(dir);
}

static void delete_model(const char *folder, const char *name)
{
    g_autofree char *model = g_build_filename(folder, name, NULL);
    empty_folder(model, "");
    g_rmdir(model);
}

static void delete_folder(const char *folder)
{
    g_autofree char *model = g_build_filename(folder, MODEL_NAME, NULL), *going = g_build_filename(folder, GOING_NAME, NULL);
    g_autofree char *lock = g_build_filename(folder, LOCK_NAME, NULL);
    delete_model(folder, GOING_NAME);
    g_rename(model, going); /* all at once: stopped in the middle, no part of it looks like a download that goes on */
    delete_model(folder, GOING_NAME);
    delete_model(folder, MODEL_NAME);
    empty_folder(folder, LOCK_NAME);
    g_unlink(lock); /* last: while it is held nobody begins anew in here */
    g_rmdir(folder);
}

static bool open_folder(Download *download, const char *data_folder, GError **error)
{
    download->folder = folder_of(data_folder, download->repository);
    download->model_folder = g_build_filename(download->folder, MODEL_NAME, NULL);
    if (!app_paths_make_private_folder(download->model_folder, error)) return false;
    download->lock_fd = lock_folder(download->folder, download->repository, error);
    if (download->lock_fd >= 0) delete_model(download->folder, GOING_NAME);
    return download->lock_fd >= 0;
}

/* ----------------------------------------------------------------------------------------------------------------- state */

static json_t *file_json(const AppHubFile *file)
{
    return json_pack("{s:s, s:I, s:s}", "path", file->path, "bytes", (json_int_t)file->n_bytes, "hash",
                     file->sha256 != NULL ? file->sha256 : file->git_sha1);
}

static bool write_state(const Download *download, GError **error)
{
    json_t *files = json_array();
    for (guint i = 0; i < download->files->len; i++) json_array_append_new(files, file_json(g_ptr_array_index(download->files, i)));
    json_t *root = json_pack("{s:s, s:s, s:s?, s:s, s:s, s:o}", "repository", download->repository, "revision", download->revision, "file",
                             download->file, "name", download->name, "commit", download->listed.commit, "files", files);
    char *text = json_dumps(root, JSON_INDENT(1));
    g_autofree char *path = g_build_filename(download->folder, STATE_NAME, NULL);
    bool good = text != NULL && g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, error);
    free(text);
    json_decref(root);
    return good;
}

static json_t *read_state(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, STATE_NAME, NULL);
    return json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
}

static bool is_known(const json_t *files, const AppHubFile *file)
{
    json_t *now = file_json(file);
    bool found = false;
    for (size_t i = 0; !found && i < json_array_size(files); i++) found = json_equal(json_array_get(files, i), now);
    json_decref(now);
    return found;
}

static bool is_listed(const Download *download, const char *entry)
{
    for (guint i = 0; i < download->files->len; i++) {
        const char *path = ((AppHubFile *)g_ptr_array_index(download->files, i))->path;
        size_t n = strlen(path);
        if (strncmp(entry, path, n) == 0 && (entry[n] == '\0' || strcmp(entry + n, ".part") == 0 || strcmp(entry + n, ".etag") == 0)) return true;
    }
    return false;
}

/* What is there of files that the list now gives in another version goes, and so does what is not of this download. */
static bool keep_what_fits(const Download *download, GError **error)
{
    json_t *state = read_state(download->folder);
    const json_t *files = json_object_get(state, "files");
    for (guint i = 0; i < download->files->len; i++) {
        const AppHubFile *file = g_ptr_array_index(download->files, i);
        if (!is_known(files, file)) app_fetch_forget(download->model_folder, file->path);
    }
    json_decref(state);
    GDir *dir = g_dir_open(download->model_folder, 0, NULL);
    for (const char *entry; dir != NULL && (entry = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(download->model_folder, entry, NULL);
        if (!is_listed(download, entry)) g_unlink(path);
    }
    if (dir != NULL) g_dir_close(dir);
    return write_state(download, error);
}

/* -------------------------------------------------------------------------------------------------------------- progress */

static void show(Download *download, AppDownloadStage stage, uint64_t done_bytes, const char *message)
{
    AppDownloadProgress *shown = &download->shown;
    int64_t now = g_get_monotonic_time();
    bool is_news = stage != download->shown_stage || message != NULL || done_bytes == shown->total_bytes;
    if (download->progress == NULL || (!is_news && now - download->shown_us < PROGRESS_US)) return;
    if (stage != APP_DOWNLOAD_FETCHING || download->shown_stage != APP_DOWNLOAD_FETCHING || done_bytes < download->rate_bytes) {
        download->rate_us = now;
        download->rate_bytes = done_bytes;
    } else if (now - download->rate_us >= PROGRESS_US) {
        double rate = (double)(done_bytes - download->rate_bytes) * 1e6 / (double)(now - download->rate_us);
        double weight = shown->bytes_per_s > 0 ? MIN((double)(now - download->rate_us) / RATE_US, 1.0) : 1.0;
        shown->bytes_per_s += weight * (rate - shown->bytes_per_s);
        download->rate_us = now;
        download->rate_bytes = done_bytes;
    }
    shown->stage = download->shown_stage = stage;
    shown->done_bytes = done_bytes;
    shown->message = message;
    bool knows = stage == APP_DOWNLOAD_FETCHING && shown->bytes_per_s >= 1;
    shown->seconds_left = knows ? (int64_t)((double)(shown->total_bytes - MIN(done_bytes, shown->total_bytes)) / shown->bytes_per_s) : -1;
    download->shown_us = now;
    download->progress(download->user, shown);
}

static void show_file(void *user, AppDownloadStage stage, uint64_t done_bytes, const char *message)
{
    Download *download = user;
    uint64_t before = stage == APP_DOWNLOAD_CHECKING ? 0 : download->before_bytes, total = download->shown.total_bytes;
    if (stage == APP_DOWNLOAD_CHECKING) {
        const AppHubFile *file = g_ptr_array_index(download->files, download->shown.file_index);
        download->shown.total_bytes = file->n_bytes;
    }
    show(download, stage, before + done_bytes, message);
    download->shown.total_bytes = total;
}

/* ----------------------------------------------------------------------------------------------------------------- files */

static bool check_space(const Download *download, uint64_t needed_bytes, GError **error)
{
    struct statvfs info;
    if (statvfs(download->folder, &info) != 0) return true; /* writing will say */
    uint64_t free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    if (needed_bytes + SPARE_BYTES <= free_bytes) return true;
    g_autofree char *needed = app_format_bytes(needed_bytes + SPARE_BYTES), *there = app_format_bytes(free_bytes);
    g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_SPACE,
                _("%s needs %s of free space in %s, and there are %s. Free some (`lectern cache list` and `lectern model list` show what takes it), then try again"),
                download->repository, needed, download->folder, there);
    return false;
}

/* Before gigabytes are fetched: whether it is the kind of model that runs here at all. The engine has the last word, at the end. */
static bool check_config(const Download *download, GError **error)
{
    g_autofree char *path = g_build_filename(download->model_folder, "config.json", NULL);
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    const char *type = json_string_value(json_object_get(root, "model_type"));
    bool good = type != NULL && strcmp(type, "qwen3") == 0;
    if (!good) {
        g_autofree char *shown = g_strndup(type != NULL ? type : "unknown", 40), *safe = g_utf8_make_valid(shown, -1);
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_INVALID,
                    _("%s is a model of type “%s”; Lectern runs “qwen3” (dense). Nothing more was fetched"), download->repository, safe);
    }
    json_decref(root);
    return good;
}

static bool take_models_error(GError *failure, GError **error)
{
    bool exists = g_error_matches(failure, APP_MODELS_ERROR, APP_MODELS_ERROR_EXISTS);
    int code = exists                                                                 ? APP_DOWNLOAD_ERROR_EXISTS
               : g_error_matches(failure, APP_MODELS_ERROR, APP_MODELS_ERROR_INVALID) ? APP_DOWNLOAD_ERROR_INVALID
                                                                                      : APP_DOWNLOAD_ERROR_FAILED;
    g_set_error_literal(error, APP_DOWNLOAD_ERROR, code, failure->message);
    g_error_free(failure);
    return false;
}

/* Also before: what it will need, and whether this machine has it. The disk holds both for a while: what is fetched, and what is made of it. */
static bool check_machine(Download *download, const char *data_folder, uint64_t left_bytes, GError **error)
{
    g_autofree char *path = g_build_filename(download->model_folder, "config.json", NULL);
    GError *failure = NULL;
    AppModelPlan plan;
    if (!app_models_plan(data_folder, path, download->weights, 0, &plan, &failure)) return take_models_error(failure, error);
    g_autofree char *words = app_models_describe_plan(&plan);
    show(download, APP_DOWNLOAD_FETCHING, download->before_bytes, words);
    download->needs_said = true;
    plan.disk_bytes = left_bytes + (download->weights != APP_MODEL_WEIGHTS_AS_THEY_ARE ? plan.disk_bytes : 0);
    return app_models_check_plan(&plan, &failure) || take_models_error(failure, error);
}

static bool fetch_files(Download *download, const char *data_folder, GError **error)
{
    uint64_t total = 0, there = 0;
    for (guint i = 0; i < download->files->len; i++) {
        const AppHubFile *file = g_ptr_array_index(download->files, i);
        total += file->n_bytes;
        there += app_fetch_bytes_there(download->model_folder, file);
    }
    download->shown.total_bytes = total;
    download->shown.n_files = download->files->len;
    if (!check_space(download, total - there, error)) return false;
    for (guint i = 0; i < download->files->len; i++) {
        const AppHubFile *file = g_ptr_array_index(download->files, i);
        download->shown.file = file->path;
        download->shown.file_index = i;
        AppFetch fetch = {.hub = &download->hub, .repository = download->repository, .commit = download->listed.commit,
                          .folder = download->model_folder, .file = file, .n_retries = download->n_retries, .progress = show_file, .user = download};
        if (!app_fetch_file(&fetch, error)) return false;
        bool is_config = strcmp(file->path, "config.json") == 0;
        if (is_config && (!check_config(download, error) || !check_machine(download, data_folder, total - there, error))) return false;
        download->before_bytes += file->n_bytes;
    }
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- install */

/* What tells what the folder is: for people, and for `lectern model info`. */
static void write_origin(const Download *download, const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "ORIGIN", NULL);
    g_autofree char *text = g_strdup_printf("%s/%s\nrevision %s, commit %s\nlicence %s\n", download->hub.endpoint, download->repository, download->revision,
                                            download->listed.commit, download->listed.licence[0] != '\0' ? download->listed.licence : "unknown");
    g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL);
}

static void show_converted(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    Download *download = user;
    download->shown.total_bytes = total_bytes;
    show(download, APP_DOWNLOAD_CONVERTING, done_bytes, NULL);
}

/* One compact file of what was fetched, after saying what it will need where no config.json told it before. Stopped, nothing is left of it, and what was fetched stays. */
static bool convert(Download *download, const char *data_folder, const char *source, GError **error)
{
    g_autofree char *words = NULL;
    if (!download->needs_said) {
        AppModelPlan plan;
        if (!app_models_plan(data_folder, source, download->weights, 0, &plan, error)) return false;
        words = app_models_describe_plan(&plan);
    }
    show(download, APP_DOWNLOAD_CONVERTING, 0, words);
    g_autofree char *name = app_models_import(data_folder, source, download->name, download->weights, download->hub.cancel, show_converted, download, error);
    return name != NULL;
}

static bool install(Download *download, const char *data_folder, GError **error)
{
    GError *failure = NULL;
    download->shown.file = NULL;
    const AppHubFile *first = g_ptr_array_index(download->files, 0);
    bool is_single = download->files->len == 1 && g_str_has_suffix(first->path, ".gguf");
    g_autofree char *single = g_build_filename(download->model_folder, first->path, NULL);
    const char *source = is_single ? single : download->model_folder;
    if (!is_single) write_origin(download, download->model_folder);
    if (download->weights != APP_MODEL_WEIGHTS_AS_THEY_ARE) {
        if (convert(download, data_folder, source, &failure)) return true;
    } else {
        show(download, APP_DOWNLOAD_INSTALLING, download->shown.total_bytes, NULL);
        if (app_models_install(data_folder, source, download->name, &failure)) return true;
    }
    if (g_error_matches(failure, APP_MODELS_ERROR, APP_MODELS_ERROR_CANCELLED)) {
        g_clear_error(&failure);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Stopped"));
        return false;
    }
    g_prefix_error(&failure, _("%s was fetched and checked, but not installed: "), download->repository);
    g_autofree char *advice = g_strdup_printf(_("%s. What was fetched is kept; `lectern model downloads --discard %s` deletes it"), failure->message, download->repository);
    g_free(failure->message);
    failure->message = g_steal_pointer(&advice);
    return take_models_error(failure, error);
}

/* ------------------------------------------------------------------------------------------------------------ unfinished */

void app_download_state_free(AppDownloadState *state)
{
    if (state == NULL) return;
    g_free(state->repository);
    g_free(state->revision);
    g_free(state->file);
    g_free(state->name);
    g_free(state);
}

static bool is_locked(const char *folder)
{
    int fd = lock_folder(folder, "", NULL);
    if (fd >= 0) close(fd);
    return fd < 0;
}

static AppDownloadState *take_state(const char *folder)
{
    json_t *root = read_state(folder);
    const char *repository = json_string_value(json_object_get(root, "repository"));
    AppDownloadState *state = NULL;
    if (repository != NULL && app_hub_is_repository(repository)) {
        state = g_new0(AppDownloadState, 1);
        state->repository = g_strdup(repository);
        state->revision = g_strdup(json_string_value(json_object_get(root, "revision")));
        state->file = g_strdup(json_string_value(json_object_get(root, "file")));
        state->name = g_strdup(json_string_value(json_object_get(root, "name")));
        state->is_running = is_locked(folder);
    }
    const json_t *files = json_object_get(root, "files");
    g_autofree char *model = g_build_filename(folder, MODEL_NAME, NULL);
    for (size_t i = 0; state != NULL && i < json_array_size(files); i++) {
        const char *path = json_string_value(json_object_get(json_array_get(files, i), "path"));
        json_int_t n = json_integer_value(json_object_get(json_array_get(files, i), "bytes"));
        if (path == NULL || n <= 0 || !app_hub_is_file_name(path)) continue;
        AppHubFile file = {.path = (char *)path, .n_bytes = (uint64_t)n};
        state->total_bytes += file.n_bytes;
        state->done_bytes += app_fetch_bytes_there(model, &file);
    }
    json_decref(root);
    return state;
}

/* A model went into its place, or was made of what was fetched, and then this process or the machine stopped: what is left of the download
 * is of no use any more. */
static bool delete_if_left_over(const char *data_folder, const char *folder)
{
    int fd = lock_folder(folder, "", NULL);
    if (fd < 0) return false;
    AppDownloadState *state = take_state(folder);
    g_autofree char *model = g_build_filename(folder, MODEL_NAME, NULL);
    bool is_all = state != NULL && (state->done_bytes == 0 || state->done_bytes == state->total_bytes);
    bool is_left_over = state != NULL ? is_all && state->name != NULL && !app_models_check_new_name(data_folder, state->name, NULL)
                                      : g_rmdir(model) == 0 || errno == ENOENT;
    if (is_left_over) delete_folder(folder);
    app_download_state_free(state);
    close(fd);
    return is_left_over;
}

/* ------------------------------------------------------------------------------------------------------------------- run */

static bool take_http_error(Download *download, GError *failure, GError **error)
{
    if (failure->domain != APP_HTTP_ERROR) {
        g_propagate_error(error, failure);
        return false;
    }
    static const int codes[] = {[APP_HTTP_ERROR_FAILED] = APP_DOWNLOAD_ERROR_FAILED,   [APP_HTTP_ERROR_OFFLINE] = APP_DOWNLOAD_ERROR_OFFLINE,
                                [APP_HTTP_ERROR_CUT] = APP_DOWNLOAD_ERROR_CUT,         [APP_HTTP_ERROR_STALLED] = APP_DOWNLOAD_ERROR_CUT,
                                [APP_HTTP_ERROR_REFUSED] = APP_DOWNLOAD_ERROR_REFUSED, [APP_HTTP_ERROR_LIMIT] = APP_DOWNLOAD_ERROR_INVALID};
    g_set_error(error, APP_DOWNLOAD_ERROR, codes[failure->code], _("%s cannot be downloaded: %s"), download->repository, failure->message);
    g_error_free(failure);
    return false;
}

static bool run(Download *download, const char *data_folder, GError **error)
{
    GError *failure = NULL;
    if (!app_models_check_new_name(data_folder, download->name, &failure)) {
        g_autofree char *before = folder_of(data_folder, download->repository);
        delete_if_left_over(data_folder, before);
        return take_models_error(failure, error);
    }
    if (!open_folder(download, data_folder, error)) return false;
    download->shown.repository = download->repository;
    download->shown.licence = "";
    show(download, APP_DOWNLOAD_LISTING, 0, NULL);
    if (!app_hub_list(&download->hub, download->repository, download->revision, &download->listed, &failure))
        return take_http_error(download, failure, error);
    download->shown.licence = download->listed.licence;
    download->files = app_hub_choose_files(download->repository, download->listed.files, download->file, error);
    if (download->files == NULL || !keep_what_fits(download, error)) return false;
    if (!fetch_files(download, data_folder, &failure)) return take_http_error(download, failure, error);
    if (!install(download, data_folder, error)) return false;
    delete_folder(download->folder);
    return true;
}

static void clear(Download *download)
{
    if (download->lock_fd >= 0) close(download->lock_fd);
    if (download->files != NULL) g_ptr_array_unref(download->files);
    app_hub_revision_clear(&download->listed);
    app_http_free(download->hub.http);
    g_free(download->repository);
    g_free(download->revision);
    g_free(download->file);
    g_free(download->name);
    g_free(download->folder);
    g_free(download->model_folder);
}

char *app_download_run(const char *data_folder, AppSettings *settings, const AppDownloadWish *wish, AppDownloadProgressFn progress, void *user,
                       const bool *cancel, GError **error)
{
    Download download = {.lock_fd = -1, .progress = progress, .user = user, .shown = {.seconds_left = -1}, .shown_stage = APP_DOWNLOAD_INSTALLING};
    g_autofree char *endpoint = app_settings_get_text(settings, APP_SETTING_ENDPOINT), *token = app_settings_get_text(settings, APP_SETTING_TOKEN);
    g_autofree char *proxy = app_settings_get_text(settings, APP_SETTING_PROXY);
    while (g_str_has_suffix(endpoint, "/")) endpoint[strlen(endpoint) - 1] = '\0';
    download.hub = (AppHub){.endpoint = endpoint, .token = token, .cancel = cancel,
                            .http = app_http_new(proxy, (unsigned)app_settings_get_number(settings, APP_SETTING_TIMEOUT))};
    download.n_retries = (unsigned)app_settings_get_number(settings, APP_SETTING_RETRIES);
    char *name = NULL;
    if (take_wish(&download, wish, error) && run(&download, data_folder, error)) name = g_strdup(download.name);
    clear(&download);
    return name;
}

GPtrArray *app_download_list(const char *data_folder)
{
    GPtrArray *states = g_ptr_array_new_with_free_func((GDestroyNotify)app_download_state_free);
    g_autofree char *folder = g_build_filename(data_folder, "models", ".download", NULL);
    GDir *dir = g_dir_open(folder, 0, NULL);
    for (const char *entry; dir != NULL && (entry = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(folder, entry, NULL);
        AppDownloadState *state = take_state(path);
        if (state != NULL && delete_if_left_over(data_folder, path)) g_clear_pointer(&state, app_download_state_free);
        if (state != NULL) g_ptr_array_add(states, state);
    }
    if (dir != NULL) g_dir_close(dir);
    return states;
}

bool app_download_discard(const char *data_folder, const char *repository, GError **error)
{
    g_autoptr(GPtrArray) catalogue = app_catalogue_load(NULL);
    const AppCatalogueEntry *entry = catalogue != NULL ? find_entry(catalogue, repository) : NULL;
    const char *wanted = entry != NULL ? entry->repository : repository;
    g_autofree char *folder = app_hub_is_repository(wanted) ? folder_of(data_folder, wanted) : NULL;
    if (folder == NULL || !g_file_test(folder, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, APP_DOWNLOAD_ERROR, APP_DOWNLOAD_ERROR_NOT_FOUND, _("nothing of “%s” was fetched; `lectern model downloads` lists what was"), repository);
        return false;
    }
    int fd = lock_folder(folder, wanted, error);
    if (fd < 0) return false;
    delete_folder(folder);
    close(fd);
    return true;
}
