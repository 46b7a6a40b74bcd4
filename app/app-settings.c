/* app-settings.c: see app-settings.h.
 *
 * Owns: the table of keys, their validation, reading and replacing the file. Does not own: addresses' form (app-address.h).
 */
#include "app-settings.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app-address.h"
#include "app-paths.h"

G_DEFINE_QUARK(app-settings-error-quark, app_settings_error)

enum {
    FILE_BYTES_MAX = 1 << 20,
    VALUE_BYTES_MAX = 4096,
};

static const AppSettingInfo infos[] = {
    {APP_SETTING_MODEL, "the model to read and answer with: a name of `lectern model list` or a path; empty: the starter",
     APP_SETTING_KIND_TEXT, "", {"LECTERN_MODEL"}},
    {APP_SETTING_THREADS, "threads to compute with; 0: all processors", APP_SETTING_KIND_NUMBER, "0", {"LECTERN_THREADS"}, 0, 256},
    {APP_SETTING_CACHE_BUDGET, "room that the saved states may take; 0: what the cache was told (`lectern cache limit`)",
     APP_SETTING_KIND_BYTES, "0", {NULL}, 0, UINT64_C(1000000000000000000)},
    {APP_SETTING_WATCH, "folders that `lectern read --watched` takes in", APP_SETTING_KIND_FOLDERS, ""},
    {APP_SETTING_ENDPOINT, "where models are downloaded from: Hugging Face, or a mirror of its form", APP_SETTING_KIND_URL,
     "https://huggingface.co", {"LECTERN_ENDPOINT", "HF_ENDPOINT"}},
    {APP_SETTING_TOKEN, "the access token for that place", APP_SETTING_KIND_SECRET, "", {"LECTERN_TOKEN", "HF_TOKEN"}},
    {APP_SETTING_PROXY, "the proxy to connect through; empty: as https_proxy, http_proxy and no_proxy say", APP_SETTING_KIND_PROXY, ""},
    {APP_SETTING_TIMEOUT, "seconds without a byte after which a download counts as stalled", APP_SETTING_KIND_NUMBER, "30", {NULL}, 1, 3600},
    {APP_SETTING_RETRIES, "how often a cut or stalled download goes on by itself without a byte gained", APP_SETTING_KIND_NUMBER, "5", {NULL}, 0, 100},
    {APP_SETTING_REMOTE_URL, "an OpenAI-compatible server to answer with, up to /v1 (vLLM, llama.cpp, SGLang)", APP_SETTING_KIND_SERVER, "",
     {"LECTERN_REMOTE_URL"}},
    {APP_SETTING_REMOTE_MODEL, "the model's name there; empty: the first that the server lists", APP_SETTING_KIND_TEXT, ""},
    {APP_SETTING_REMOTE_KEY, "the key for that server", APP_SETTING_KIND_SECRET, "", {"LECTERN_REMOTE_KEY"}},
    {APP_SETTING_REMOTE_ENABLED, "answer there by default: question and chosen passages leave this machine", APP_SETTING_KIND_BOOLEAN, "no"},
    {APP_SETTING_REMOTE_TIMEOUT, "seconds without a byte after which that server counts as stalled", APP_SETTING_KIND_NUMBER, "180", {NULL}, 1,
     3600},
};

struct AppSettings {
    char *path;
    GMutex mutex;
    GKeyFile *file; /* guarded by mutex */
};

const AppSettingInfo *app_settings_list(size_t *ret_n)
{
    *ret_n = G_N_ELEMENTS(infos);
    return infos;
}

const AppSettingInfo *app_settings_find(const char *key, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(infos); i++)
        if (strcmp(infos[i].key, key) == 0) return &infos[i];
    g_set_error(error, APP_SETTINGS_ERROR, APP_SETTINGS_ERROR_UNKNOWN, _("there is no setting “%s”; `lectern settings` shows them all"), key);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------ validation */

bool app_settings_parse_bytes(const char *text, uint64_t *ret_bytes)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"", 1},           {"B", 1},          {"K", 1e3},           {"KB", 1e3},           {"KIB", 1024.0},          {"M", 1e6},
                 {"MB", 1e6},       {"MIB", 1048576.0}, {"G", 1e9},          {"GB", 1e9},           {"GIB", 1073741824.0},    {"T", 1e12},
                 {"TB", 1e12},      {"TIB", 1099511627776.0}};
    char *end = NULL;
    double value = g_ascii_strtod(text, &end);
    if (end == text || !isfinite(value) || value < 0) return false;
    g_autofree char *unit = g_ascii_strup(end, -1);
    g_strstrip(unit);
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
        if (strcmp(unit, units[i].unit) != 0) continue;
        double bytes = value * units[i].bytes;
        if (bytes < 1 || bytes > 1e18) return false;
        *ret_bytes = (uint64_t)bytes;
        return true;
    }
    return false;
}

static bool parse_boolean(const char *text, bool *ret_value)
{
    static const char *const words[][2] = {{"yes", "no"}, {"true", "false"}, {"on", "off"}, {"1", "0"}};
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        bool yes = g_ascii_strcasecmp(text, words[i][0]) == 0;
        if (!yes && g_ascii_strcasecmp(text, words[i][1]) != 0) continue;
        *ret_value = yes;
        return true;
    }
    return false;
}

static bool parse_number(const AppSettingInfo *info, const char *text, uint64_t *ret_value)
{
    if (info->kind == APP_SETTING_KIND_BYTES) {
        if (strcmp(text, "0") == 0) {
            *ret_value = 0;
            return true;
        }
        return app_settings_parse_bytes(text, ret_value);
    }
    return g_ascii_string_to_unsigned(text, 10, info->min, info->max, ret_value, NULL);
}

static bool refuse(const AppSettingInfo *info, const char *reason, GError **error)
{
    g_set_error(error, APP_SETTINGS_ERROR, APP_SETTINGS_ERROR_INVALID, _("the value for %s %s"), info->key, reason);
    return false;
}

static bool check_line(const AppSettingInfo *info, const char *text, GError **error)
{
    if (strlen(text) > VALUE_BYTES_MAX) return refuse(info, _("is too long"), error);
    if (!g_utf8_validate(text, -1, NULL)) return refuse(info, _("is not UTF-8"), error);
    for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at))
        if (g_unichar_iscntrl(g_utf8_get_char(at))) return refuse(info, _("holds line breaks or other control characters"), error);
    return true;
}

static bool check_address(const AppSettingInfo *info, const char *text, GError **error)
{
    AppAddress address = {0};
    const char *reason = NULL;
    AppAddressReach least = info->kind == APP_SETTING_KIND_URL      ? APP_ADDRESS_LOOPBACK
                            : info->kind == APP_SETTING_KIND_SERVER ? APP_ADDRESS_PRIVATE
                                                                    : APP_ADDRESS_PUBLIC;
    if (!app_address_parse(text, least, false, &address, &reason)) return refuse(info, reason, error);
    app_address_clear(&address);
    return true;
}

static bool check_folder(const AppSettingInfo *info, const char *folder, GError **error)
{
    if (!g_path_is_absolute(folder)) return refuse(info, _("is not an absolute path"), error);
    return check_line(info, folder, error);
}

/* Whether the text is a value for the key; the empty text is "not set", which is fine for what has no other initial value. */
static bool check_value(const AppSettingInfo *info, const char *text, GError **error)
{
    uint64_t number;
    bool yes;
    if (text[0] == '\0') return info->initial[0] == '\0' || refuse(info, _("is empty"), error);
    if (!check_line(info, text, error)) return false;
    switch (info->kind) {
    case APP_SETTING_KIND_URL:
    case APP_SETTING_KIND_SERVER:
    case APP_SETTING_KIND_PROXY:
        return check_address(info, text, error);
    case APP_SETTING_KIND_SECRET:
        for (const char *at = text; *at != '\0'; at++)
            if (!g_ascii_isgraph(*at)) return refuse(info, _("holds spaces or characters outside ASCII"), error);
        return true;
    case APP_SETTING_KIND_BOOLEAN:
        return parse_boolean(text, &yes) || refuse(info, _("is neither yes nor no"), error);
    case APP_SETTING_KIND_BYTES:
        return parse_number(info, text, &number) || refuse(info, _("is not a size; 20GB, 500MB and 8GiB are"), error);
    case APP_SETTING_KIND_NUMBER: {
        if (parse_number(info, text, &number)) return true;
        g_autofree char *reason = g_strdup_printf(_("is not a whole number from %" PRIu64 " to %" PRIu64), info->min, info->max);
        return refuse(info, reason, error);
    }
    case APP_SETTING_KIND_FOLDERS:
        return check_folder(info, text, error);
    case APP_SETTING_KIND_TEXT:
        break;
    }
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- the file */

static bool fail_errno(const char *path, const char *what, GError **error)
{
    int code = errno;
    g_set_error(error, APP_SETTINGS_ERROR, APP_SETTINGS_ERROR_FAILED, "%s: %s: %s", path, what, g_strerror(code));
    return false;
}

/* The whole file; *ret_text NULL: there is none. */
static bool read_file(const char *path, char **ret_text, size_t *ret_n, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *ret_text = NULL;
        *ret_n = 0;
        return true;
    }
    if (fd < 0) return fail_errno(path, _("the settings cannot be read"), error);
    struct stat info;
    bool good = fstat(fd, &info) == 0;
    if (good && (!S_ISREG(info.st_mode) || info.st_size > FILE_BYTES_MAX)) {
        g_set_error(error, APP_SETTINGS_ERROR, APP_SETTINGS_ERROR_FAILED, _("%s: the settings are no plain file of up to 1 MB; move it away"), path);
        close(fd);
        return false;
    }
    if (good && (info.st_mode & 077) != 0) fchmod(fd, 0600); /* it may hold keys; where this is refused, `lectern doctor` says so */
    char *text = g_malloc((size_t)info.st_size + 1);
    size_t n = 0;
    while (good && n < (size_t)info.st_size) {
        ssize_t got = read(fd, text + n, (size_t)info.st_size - n);
        if (got < 0 && errno == EINTR) continue;
        good = got >= 0;
        if (got <= 0) break;
        n += (size_t)got;
    }
    if (!good) fail_errno(path, _("the settings cannot be read"), error);
    close(fd);
    text[n] = '\0';
    if (!good) {
        g_free(text);
        return false;
    }
    *ret_text = text;
    *ret_n = n;
    return true;
}

static GKeyFile *load(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    size_t n = 0;
    if (!read_file(path, &text, &n, error)) return NULL;
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) reason = NULL;
    if (text == NULL || g_key_file_load_from_data(file, text, n, G_KEY_FILE_KEEP_COMMENTS, &reason)) return g_steal_pointer(&file);
    g_set_error(error, APP_SETTINGS_ERROR, APP_SETTINGS_ERROR_FAILED, _("%s: the settings cannot be understood: %s. Mend the file, or remove it to begin anew"),
                path, reason->message);
    return NULL;
}

static bool write_all(int fd, const char *text, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t written = write(fd, text + done, n - done);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        done += (size_t)written;
    }
    return fsync(fd) == 0;
}

static bool replace_file(const char *path, const char *folder, const char *text, size_t n, GError **error)
{
    g_autofree char *beside = g_strconcat(path, ".XXXXXX", NULL);
    int fd = g_mkstemp_full(beside, O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) return fail_errno(beside, _("the settings cannot be written"), error);
    bool good = write_all(fd, text, n);
    if (close(fd) != 0) good = false;
    good = good && g_rename(beside, path) == 0;
    if (!good) {
        fail_errno(path, _("the settings cannot be written"), error);
        g_unlink(beside);
        return false;
    }
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd >= 0) fsync(folder_fd);
    if (folder_fd >= 0) close(folder_fd);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ open, close */

AppSettings *app_settings_open(const char *path, GError **error)
{
    g_autofree char *chosen = path != NULL ? g_strdup(path) : g_build_filename(app_paths_config(), "settings.conf", NULL);
    GKeyFile *file = load(chosen, error);
    if (file == NULL) return NULL;
    AppSettings *settings = g_new0(AppSettings, 1);
    settings->path = g_steal_pointer(&chosen);
    settings->file = file;
    g_mutex_init(&settings->mutex);
    return settings;
}

void app_settings_free(AppSettings *settings)
{
    if (settings == NULL) return;
    g_key_file_unref(settings->file);
    g_mutex_clear(&settings->mutex);
    g_free(settings->path);
    g_free(settings);
}

const char *app_settings_get_path(const AppSettings *settings)
{
    return settings->path;
}

bool app_settings_reload(AppSettings *settings, GError **error)
{
    GKeyFile *file = load(settings->path, error);
    if (file == NULL) return false;
    g_mutex_lock(&settings->mutex);
    g_key_file_unref(settings->file);
    settings->file = file;
    g_mutex_unlock(&settings->mutex);
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- reading */

/* "group.name" as the key file has it. */
static char *split_key(const char *key, const char **ret_name)
{
    const char *dot = strchr(key, '.');
    *ret_name = dot + 1;
    return g_strndup(key, (size_t)(dot - key));
}

/* The value of the file, if there is one that is valid; else NULL with the reason, or without where there is none. */
static char *value_in_file(GKeyFile *file, const AppSettingInfo *info, GError **error)
{
    const char *name;
    g_autofree char *group = split_key(info->key, &name);
    if (!g_key_file_has_key(file, group, name, NULL)) return NULL;
    if (info->kind == APP_SETTING_KIND_FOLDERS) {
        g_auto(GStrv) folders = g_key_file_get_string_list(file, group, name, NULL, error);
        for (size_t i = 0; folders != NULL && folders[i] != NULL; i++)
            if (!check_folder(info, folders[i], error)) return NULL;
        return folders != NULL ? g_strjoinv("\n", folders) : NULL;
    }
    g_autofree char *value = g_key_file_get_string(file, group, name, error);
    return value != NULL && check_value(info, value, error) ? g_steal_pointer(&value) : NULL;
}

static char *value_in_environment(const AppSettingInfo *info, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(info->environment) && info->environment[i] != NULL; i++) {
        const char *value = g_getenv(info->environment[i]);
        if (value == NULL || value[0] == '\0') continue;
        if (check_value(info, value, error)) return g_strdup(value);
        g_prefix_error(error, _("the environment variable %s: "), info->environment[i]);
        return NULL;
    }
    return NULL;
}

static char *find_value(AppSettings *settings, const AppSettingInfo *info, AppSettingOrigin *ret_origin)
{
    char *value = value_in_environment(info, NULL);
    *ret_origin = APP_SETTING_FROM_ENVIRONMENT;
    if (value != NULL) return value;
    g_mutex_lock(&settings->mutex);
    value = value_in_file(settings->file, info, NULL);
    g_mutex_unlock(&settings->mutex);
    *ret_origin = value != NULL ? APP_SETTING_FROM_FILE : APP_SETTING_FROM_INITIAL;
    return value != NULL ? value : g_strdup(info->initial);
}

static const AppSettingInfo *known(const char *key)
{
    const AppSettingInfo *info = app_settings_find(key, NULL);
    if (info == NULL) g_critical("no setting %s", key);
    return info;
}

char *app_settings_get_text(AppSettings *settings, const char *key)
{
    AppSettingOrigin origin;
    const AppSettingInfo *info = known(key);
    return info != NULL ? find_value(settings, info, &origin) : g_strdup("");
}

bool app_settings_get_boolean(AppSettings *settings, const char *key)
{
    g_autofree char *text = app_settings_get_text(settings, key);
    bool value = false;
    return parse_boolean(text, &value) && value;
}

uint64_t app_settings_get_number(AppSettings *settings, const char *key)
{
    const AppSettingInfo *info = known(key);
    g_autofree char *text = app_settings_get_text(settings, key);
    uint64_t value = 0;
    return info != NULL && parse_number(info, text, &value) ? value : 0;
}

char **app_settings_get_folders(AppSettings *settings, const char *key)
{
    g_autofree char *text = app_settings_get_text(settings, key);
    return text[0] != '\0' ? g_strsplit(text, "\n", -1) : g_new0(char *, 1);
}

AppSettingOrigin app_settings_get_origin(AppSettings *settings, const char *key)
{
    AppSettingOrigin origin = APP_SETTING_FROM_INITIAL;
    const AppSettingInfo *info = known(key);
    if (info != NULL) g_free(find_value(settings, info, &origin));
    return origin;
}

/* ---------------------------------------------------------------------------------------------------------------- faults */

static void add_unknown(AppSettings *settings, GPtrArray *faults)
{
    g_auto(GStrv) groups = g_key_file_get_groups(settings->file, NULL);
    for (size_t g = 0; groups[g] != NULL; g++) {
        g_auto(GStrv) names = g_key_file_get_keys(settings->file, groups[g], NULL, NULL);
        for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
            g_autofree char *key = g_strdup_printf("%s.%s", groups[g], names[i]);
            if (app_settings_find(key, NULL) == NULL)
                g_ptr_array_add(faults, g_strdup_printf(_("%s: this version knows no setting %s"), settings->path, key));
        }
    }
}

GPtrArray *app_settings_list_faults(AppSettings *settings)
{
    GPtrArray *faults = g_ptr_array_new_with_free_func(g_free);
    g_mutex_lock(&settings->mutex);
    for (size_t i = 0; i < G_N_ELEMENTS(infos); i++) {
        g_autoptr(GError) in_environment = NULL, in_file = NULL;
        g_free(value_in_environment(&infos[i], &in_environment));
        g_free(value_in_file(settings->file, &infos[i], &in_file));
        if (in_environment != NULL) g_ptr_array_add(faults, g_strdup_printf(_("%s; it is ignored"), in_environment->message));
        if (in_file != NULL) g_ptr_array_add(faults, g_strdup_printf(_("%s: %s; it is ignored"), settings->path, in_file->message));
    }
    add_unknown(settings, faults);
    g_mutex_unlock(&settings->mutex);
    return faults;
}

/* --------------------------------------------------------------------------------------------------------------- writing */

typedef struct Change {
    const AppSettingInfo *info;
    const char *value;           /* NULL with folders NULL: unset */
    const char *const *folders;
} Change;

static void apply(GKeyFile *file, const Change *change)
{
    const char *name;
    g_autofree char *group = split_key(change->info->key, &name);
    if (change->folders != NULL)
        g_key_file_set_string_list(file, group, name, change->folders, g_strv_length((char **)change->folders));
    else if (change->value != NULL)
        g_key_file_set_string(file, group, name, change->value);
    else
        g_key_file_remove_key(file, group, name, NULL);
}

/* Under the lock: what is in the file now, with the change. */
static bool rewrite(AppSettings *settings, const char *folder, const Change *change, GError **error)
{
    GKeyFile *file = load(settings->path, error);
    if (file == NULL) return false;
    apply(file, change);
    gsize n = 0;
    g_autofree char *text = g_key_file_to_data(file, &n, NULL);
    if (!replace_file(settings->path, folder, text, n, error)) {
        g_key_file_unref(file);
        return false;
    }
    g_mutex_lock(&settings->mutex);
    g_key_file_unref(settings->file);
    settings->file = file;
    g_mutex_unlock(&settings->mutex);
    return true;
}

static bool write_change(AppSettings *settings, const Change *change, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(settings->path), *lock = g_strconcat(settings->path, ".lock", NULL);
    if (!app_paths_make_private_folder(folder, error)) return false;
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return fail_errno(lock, _("the settings cannot be locked"), error);
    int code;
    do {
        code = flock(fd, LOCK_EX);
    } while (code != 0 && errno == EINTR);
    bool good = code == 0 ? rewrite(settings, folder, change, error) : fail_errno(lock, _("the settings cannot be locked"), error);
    close(fd);
    return good;
}

bool app_settings_set(AppSettings *settings, const char *key, const char *value, GError **error)
{
    const AppSettingInfo *info = app_settings_find(key, error);
    if (info == NULL) return false;
    if (value != NULL && !check_value(info, value, error)) return false;
    const char *folders[] = {value, NULL};
    Change change = {.info = info, .value = value};
    if (info->kind == APP_SETTING_KIND_FOLDERS && value != NULL) change.folders = value[0] != '\0' ? folders : folders + 1;
    return write_change(settings, &change, error);
}

bool app_settings_set_folders(AppSettings *settings, const char *key, const char *const *folders, GError **error)
{
    const AppSettingInfo *info = app_settings_find(key, error);
    if (info == NULL) return false;
    if (info->kind != APP_SETTING_KIND_FOLDERS) return refuse(info, _("is no list of folders"), error);
    for (size_t i = 0; folders[i] != NULL; i++)
        if (!check_folder(info, folders[i], error)) return false;
    Change change = {.info = info, .folders = folders};
    return write_change(settings, &change, error);
}
