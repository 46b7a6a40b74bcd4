/* app-models.c: see app-models.h. */
#include "app-models.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app-calibration-internal.h"
#include "app-engine-internal.h"
#include "app-paths.h"
#include "eng.h"

G_DEFINE_QUARK(app - models - error - quark, app_models_error)

#define EXTENSION ".safetensors"
#define EXTENSION_GGUF ".gguf"
#define DEFAULT_NAME "starter"
#define NO_SPACE_ADVICE N_("; free some space, then try again")

enum {
    NAME_BYTES_MAX = 64,
    COPY_BYTES = 1 << 20,
};

void app_model_free(AppModel *model)
{
    if (model == NULL) return;
    g_free(model->name);
    g_free(model->path);
    g_free(model);
}

static bool fail_errno(GError **error, const char *path)
{
    int code = errno;
    g_set_error(error, APP_MODELS_ERROR, APP_MODELS_ERROR_FAILED, "%s: %s%s", path, g_strerror(code),
                code == ENOSPC || code == EDQUOT ? _(NO_SPACE_ADVICE) : "");
    return false;
}

/* ----------------------------------------------------------------------------------------------------------------- list */

static uint64_t folder_bytes(const char *path)
{
    uint64_t total = 0;
    GDir *dir = g_dir_open(path, 0, NULL);
    for (const char *entry; dir != NULL && (entry = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *file = g_build_filename(path, entry, NULL);
        GStatBuf st;
        if (g_stat(file, &st) == 0 && S_ISREG(st.st_mode)) total += (uint64_t)st.st_size;
    }
    if (dir != NULL) g_dir_close(dir);
    return total;
}

/* A model when it is a compact file, or (folders) when config.json is in it. */
static AppModel *look_at(const char *folder, const char *entry, bool shipped)
{
    g_autofree char *path = g_build_filename(folder, entry, NULL);
    g_autofree char *config = g_build_filename(path, "config.json", NULL);
    GStatBuf st;
    if (entry[0] == '.' || g_stat(path, &st) != 0) return NULL;
    const char *extension = g_str_has_suffix(entry, EXTENSION) ? EXTENSION : g_str_has_suffix(entry, EXTENSION_GGUF) ? EXTENSION_GGUF : NULL;
    bool is_file = S_ISREG(st.st_mode) && extension != NULL;
    bool is_folder = !shipped && S_ISDIR(st.st_mode) && g_file_test(config, G_FILE_TEST_IS_REGULAR);
    if (!is_file && !is_folder) return NULL;
    AppModel *model = g_new0(AppModel, 1);
    model->name = is_file ? g_strndup(entry, strlen(entry) - strlen(extension)) : g_strdup(entry);
    model->n_bytes = is_file ? (uint64_t)st.st_size : folder_bytes(path);
    model->path = g_steal_pointer(&path);
    model->shipped = shipped;
    return model;
}

static int compare_models(gconstpointer a, gconstpointer b)
{
    const AppModel *x = *(AppModel *const *)a, *y = *(AppModel *const *)b;
    return x->shipped != y->shipped ? (int)x->shipped - (int)y->shipped : strcmp(x->name, y->name);
}

static void add_folder(GPtrArray *models, const char *folder, bool shipped)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    for (const char *entry; dir != NULL && (entry = g_dir_read_name(dir)) != NULL;) {
        AppModel *model = look_at(folder, entry, shipped);
        if (model != NULL) g_ptr_array_add(models, model);
    }
    if (dir != NULL) g_dir_close(dir);
}

GPtrArray *app_models_list(const char *data_folder)
{
    GPtrArray *models = g_ptr_array_new_with_free_func((GDestroyNotify)app_model_free);
    g_autofree char *own = g_build_filename(data_folder, "models", NULL);
    add_folder(models, own, false);
    add_folder(models, app_paths_resources(), true);
    g_ptr_array_sort(models, compare_models);
    return models;
}

static AppModel *find_named(GPtrArray *models, const char *name)
{
    for (guint i = 0; i < models->len; i++) {
        AppModel *model = g_ptr_array_index(models, i);
        if (strcmp(model->name, name) == 0) return model;
    }
    return NULL;
}

char *app_models_find(const char *data_folder, const char *model, GError **error)
{
    g_autoptr(GPtrArray) models = app_models_list(data_folder);
    AppModel *found = find_named(models, model != NULL ? model : DEFAULT_NAME);
    if (found == NULL && model == NULL && models->len > 0) found = g_ptr_array_index(models, 0);
    if (found != NULL) return g_strdup(found->path);
    if (model != NULL && g_file_test(model, G_FILE_TEST_EXISTS)) return g_strdup(model);
    if (model != NULL)
        g_set_error(error, APP_MODELS_ERROR, APP_MODELS_ERROR_NOT_FOUND, _("There is no model “%s”; `lectern model list` shows what there is"), model);
    else
        g_set_error(error, APP_MODELS_ERROR, APP_MODELS_ERROR_NOT_FOUND, _("There is no model; import one with `lectern model import`"));
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- importing */

typedef struct Import {
    const bool *cancel;
    AppModelsProgressFn progress;
    void *user;
    uint64_t done_bytes, total_bytes;
} Import;

static bool copy_bytes(Import *import, int from, int to, const char *path, GError **error)
{
    g_autofree char *buffer = g_malloc(COPY_BYTES);
    for (;;) {
        if (import->cancel != NULL && __atomic_load_n(import->cancel, __ATOMIC_RELAXED)) {
            g_set_error_literal(error, APP_MODELS_ERROR, APP_MODELS_ERROR_CANCELLED, _("Stopped; nothing was imported"));
            return false;
        }
        ssize_t n = read(from, buffer, COPY_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno(error, path);
        if (n == 0) break;
        for (ssize_t done = 0; done < n;) {
            ssize_t written = write(to, buffer + done, (size_t)(n - done));
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) return fail_errno(error, path);
            done += written;
        }
        import->done_bytes += (uint64_t)n;
        if (import->progress != NULL) import->progress(import->user, import->done_bytes, import->total_bytes);
    }
    return fsync(to) == 0 || fail_errno(error, path);
}

static bool copy_file(Import *import, const char *source, const char *target, GError **error)
{
    int from = open(source, O_RDONLY | O_CLOEXEC);
    if (from < 0) return fail_errno(error, source);
    int to = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = to >= 0 ? copy_bytes(import, from, to, target, error) : fail_errno(error, target);
    close(from);
    if (to >= 0 && close(to) != 0 && good) good = fail_errno(error, target);
    return good;
}

/* What a model's folder needs, and what tells where it is from. */
static bool is_wanted(const char *entry)
{
    static const char *const names[] = {"config.json", "tokenizer.json", "model.safetensors.index.json", "generation_config.json", "tokenizer_config.json",
                                        "chat_template.jinja", "LICENSE", "README.md"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(entry, names[i]) == 0) return true;
    return entry[0] != '.' && g_str_has_suffix(entry, EXTENSION);
}

static bool copy_folder(Import *import, const char *source, const char *target, GError **error)
{
    GDir *dir = g_dir_open(source, 0, error);
    bool good = dir != NULL;
    for (const char *entry; good && (entry = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *from = g_build_filename(source, entry, NULL), *to = g_build_filename(target, entry, NULL);
        if (is_wanted(entry) && g_file_test(from, G_FILE_TEST_IS_REGULAR)) good = copy_file(import, from, to, error);
    }
    if (dir != NULL) g_dir_close(dir);
    return good;
}

/* A folder of plain files, or a file. Symbolic links are removed, never followed. */
static bool delete_tree(const char *path, GError **error)
{
    if (g_unlink(path) == 0 || errno == ENOENT) return true;
    GDir *dir = g_dir_open(path, 0, NULL);
    for (const char *entry; dir != NULL && (entry = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *file = g_build_filename(path, entry, NULL);
        g_unlink(file);
    }
    if (dir != NULL) g_dir_close(dir);
    return g_rmdir(path) == 0 || fail_errno(error, path);
}

static bool take_engine_error(GError **error, eng_status status, const eng_error *engine_error)
{
    if (status == ENG_OK) return true;
    g_autofree char *message = app_engine_dup_message(engine_error);
    g_set_error(error, APP_MODELS_ERROR, status == ENG_CANCELLED ? APP_MODELS_ERROR_CANCELLED : APP_MODELS_ERROR_FAILED, "%s%s",
                message, status == ENG_NO_SPACE ? _(NO_SPACE_ADVICE) : "");
    return false;
}

/* That it opens is the proof that it is a model this program runs. */
static bool check_model(const char *source, Import *import, GError **error)
{
    eng_model *model = NULL;
    eng_error engine_error = {0};
    if (!take_engine_error(error, eng_model_open(source, NULL, &model, &engine_error), &engine_error)) return false;
    import->total_bytes = eng_model_get_info(model)->file_bytes;
    eng_model_close(model);
    return true;
}

/* Into the empty folder `beside`: the model's files, or the one file `file`, whose name a packed model takes as its own. */
static bool store(Import *import, const char *source, const char *beside, const char *file, bool is_folder, AppModelWeights weights, GError **error)
{
    g_autofree char *path = g_build_filename(beside, file, NULL);
    if (weights != APP_MODEL_WEIGHTS_AS_THEY_ARE) {
        eng_error engine_error = {0};
        kern_weight_type type = weights == APP_MODEL_WEIGHTS_4_BITS ? KERN_W_Q4 : KERN_W_Q8;
        eng_status status = eng_model_pack(source, path, type, import->cancel, import->progress, import->user, &engine_error);
        if (!take_engine_error(error, status, &engine_error)) return false;
        return g_chmod(path, 0600) == 0 || fail_errno(error, path);
    }
    if (!is_folder) return copy_file(import, source, path, error);
    import->total_bytes = folder_bytes(source);
    return copy_folder(import, source, beside, error);
}

static char *choose_name(const char *source, const char *name, GError **error)
{
    g_autofree char *base = name != NULL ? g_strdup(name) : g_path_get_basename(source);
    if (name == NULL && g_str_has_suffix(base, EXTENSION)) base[strlen(base) - strlen(EXTENSION)] = '\0';
    if (name == NULL && g_str_has_suffix(base, EXTENSION_GGUF)) base[strlen(base) - strlen(EXTENSION_GGUF)] = '\0';
    if (app_paths_is_plain_name(base, strlen(base), NAME_BYTES_MAX)) return g_steal_pointer(&base);
    g_set_error(error, APP_MODELS_ERROR, APP_MODELS_ERROR_INVALID,
                _("“%s” is not a name for a model: up to %d letters, digits, dots, dashes and underscores"), base, NAME_BYTES_MAX);
    return NULL;
}

bool app_models_check_new_name(const char *data_folder, const char *name, GError **error)
{
    static const char *const extensions[] = {"", EXTENSION, EXTENSION_GGUF};
    g_autofree char *sound = choose_name(name, name, error);
    if (sound == NULL) return false;
    for (size_t i = 0; i < G_N_ELEMENTS(extensions); i++) {
        g_autofree char *entry = g_strconcat(name, extensions[i], NULL), *path = g_build_filename(data_folder, "models", entry, NULL);
        if (!g_file_test(path, G_FILE_TEST_EXISTS)) continue;
        g_set_error(error, APP_MODELS_ERROR, APP_MODELS_ERROR_EXISTS, _("There is a model “%s” already; remove it first or give another name"), name);
        return false;
    }
    return true;
}

static bool sync_folder(const char *folder, GError **error)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (!good) fail_errno(error, folder);
    if (fd >= 0) close(fd);
    return good;
}

bool app_models_install(const char *data_folder, const char *source, const char *name, GError **error)
{
    Import import = {0};
    bool is_folder = g_file_test(source, G_FILE_TEST_IS_DIR);
    const char *extension = is_folder ? "" : g_str_has_suffix(source, EXTENSION_GGUF) ? EXTENSION_GGUF : EXTENSION;
    g_autofree char *folder = g_build_filename(data_folder, "models", NULL), *entry = g_strconcat(name, extension, NULL);
    g_autofree char *target = g_build_filename(folder, entry, NULL);
    AppModelPlan plan;
    if (!app_models_check_new_name(data_folder, name, error)) return false;
    if (!app_models_plan(data_folder, source, APP_MODEL_WEIGHTS_AS_THEY_ARE, 0, &plan, error)) return false;
    plan.disk_bytes = 0; /* it is there already */
    if (!app_models_check_plan(&plan, error) || !check_model(source, &import, error)) return false;
    if (is_folder && !sync_folder(source, error)) return false;
    if (g_rename(source, target) != 0) return fail_errno(error, target);
    return sync_folder(folder, error);
}

/* What a process that ended in the middle has left: nobody holds a lock on it. */
static void delete_left_over(const char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    for (const char *entry; dir != NULL && (entry = g_dir_read_name(dir)) != NULL;) {
        if (!g_str_has_prefix(entry, APP_MODELS_BESIDE_PREFIX)) continue;
        g_autofree char *path = g_build_filename(folder, entry, NULL);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) delete_tree(path, NULL);
        if (fd >= 0) close(fd);
    }
    if (dir != NULL) g_dir_close(dir);
}

/* A new folder and its lock (close it); NULL: *error. Another process may delete it before it is locked. */
static char *make_beside(const char *folder, int *ret_lock, GError **error)
{
    for (;;) {
        g_autofree char *beside = g_build_filename(folder, APP_MODELS_BESIDE_PREFIX "XXXXXX", NULL);
        struct stat info;
        bool is_made = g_mkdtemp(beside) != NULL;
        int lock = is_made ? open(beside, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (lock < 0 && !(is_made && errno == ENOENT)) {
            fail_errno(error, beside);
            g_rmdir(beside);
            return NULL;
        }
        *ret_lock = lock;
        /* A file system without locks: nobody deletes it then. */
        bool is_held = lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        if (lock >= 0 && !is_held && fstat(lock, &info) == 0 && info.st_nlink > 0) return g_steal_pointer(&beside);
        if (lock >= 0) close(lock);
        g_rmdir(beside);
    }
}

bool app_models_is_packed(const char *source)
{
    return g_file_test(source, G_FILE_TEST_IS_REGULAR) && g_str_has_suffix(source, EXTENSION);
}

char *app_models_import(const char *data_folder, const char *source, const char *name, AppModelWeights weights, const bool *cancel,
                        AppModelsProgressFn progress, void *user, GError **error)
{
    Import import = {.cancel = cancel, .progress = progress, .user = user};
    g_autofree char *folder = g_build_filename(data_folder, "models", NULL), *chosen = choose_name(source, name, error);
    if (chosen == NULL || !app_paths_make_private_folder(folder, error)) return NULL;
    delete_left_over(folder);
    bool is_folder = g_file_test(source, G_FILE_TEST_IS_DIR);
    if (app_models_is_packed(source)) weights = APP_MODEL_WEIGHTS_AS_THEY_ARE;
    bool stays_gguf = !is_folder && weights == APP_MODEL_WEIGHTS_AS_THEY_ARE && !app_models_is_packed(source);
    g_autofree char *file = g_strconcat(chosen, stays_gguf ? EXTENSION_GGUF : EXTENSION, NULL), *as_file = g_build_filename(folder, file, NULL);
    g_autofree char *as_folder = g_build_filename(folder, chosen, NULL);
    if (!app_models_check_new_name(data_folder, chosen, error)) return NULL;
    AppModelPlan plan;
    if (!app_models_plan(data_folder, source, weights, 0, &plan, error) || !app_models_check_plan(&plan, error)) return NULL;
    if (weights == APP_MODEL_WEIGHTS_AS_THEY_ARE && !check_model(source, &import, error)) return NULL; /* packing opens it by itself */
    bool whole_folder = is_folder && weights == APP_MODEL_WEIGHTS_AS_THEY_ARE;
    int lock = -1;
    g_autofree char *beside = make_beside(folder, &lock, error);
    if (beside == NULL) return NULL;
    g_autofree char *beside_file = g_build_filename(beside, file, NULL);
    const char *target = whole_folder ? as_folder : as_file;
    bool good = store(&import, source, beside, file, is_folder, weights, error) && sync_folder(beside, error);
    if (good && g_rename(whole_folder ? beside : beside_file, target) != 0) good = fail_errno(error, target);
    if (!good || !whole_folder) delete_tree(beside, NULL);
    close(lock);
    good = good && sync_folder(folder, error);
    return good ? g_steal_pointer(&chosen) : NULL;
}

bool app_models_remove(const char *data_folder, const char *name, GError **error)
{
    g_autoptr(GPtrArray) models = app_models_list(data_folder);
    AppModel *model = find_named(models, name);
    if (model == NULL) {
        g_set_error(error, APP_MODELS_ERROR, APP_MODELS_ERROR_NOT_FOUND, _("There is no model “%s”"), name);
        return false;
    }
    if (model->shipped) {
        g_set_error(error, APP_MODELS_ERROR, APP_MODELS_ERROR_INVALID, _("“%s” comes with the program and cannot be removed"), name);
        return false;
    }
    app_calibration_forget(data_folder, name);
    return delete_tree(model->path, error);
}
