/* app-settings.h: what the user has chosen, kept between runs.
 *
 * Owns: one key file, <config>/settings.conf, mode 0600 as tokens are in it; the known keys, their kinds, what is a valid value, their
 *       initial values and the environment variables that go before the file.
 * Does not own: window sizes (the window's own business), how much a library's cache may hold when no setting says so (the cache).
 *
 * Contract. An AppSettings may be used by many threads. A value is looked for in the environment, then in the file, then among the
 * initial values. A value in the file that is not valid counts as not set, and app_settings_list_faults names it; keys that this
 * version does not know are kept. Writing reads the file again under a lock, replaces it by rename and syncs it: two processes lose
 * nothing of each other's. Strings are UTF-8.
 */
#ifndef APP_SETTINGS_H
#define APP_SETTINGS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

G_BEGIN_DECLS

#define APP_SETTINGS_ERROR (app_settings_error_quark())
GQuark app_settings_error_quark(void);
typedef enum AppSettingsError {
    APP_SETTINGS_ERROR_FAILED,  /* the operating system refused, or the file is no key file; the message says which and what to do */
    APP_SETTINGS_ERROR_UNKNOWN, /* no such key */
    APP_SETTINGS_ERROR_INVALID, /* not a value for this key */
} AppSettingsError;

#define APP_SETTING_ENDPOINT "download.endpoint"      /* where models come from */
#define APP_SETTING_TOKEN "download.token"            /* secret: for repositories that ask for one */
#define APP_SETTING_PROXY "network.proxy"             /* empty: as http_proxy, https_proxy and no_proxy say */
#define APP_SETTING_TIMEOUT "network.timeout"         /* seconds without a byte before a connection counts as stalled */
#define APP_SETTING_RETRIES "network.retries"         /* how often a cut or stalled connection is taken up again without a byte gained */
#define APP_SETTING_REMOTE_URL "remote.url"           /* base address of an OpenAI-compatible server, usually ending in /v1 */
#define APP_SETTING_REMOTE_MODEL "remote.model"       /* the name that server knows its model by; empty: the first it lists */
#define APP_SETTING_REMOTE_KEY "remote.key"           /* secret */
#define APP_SETTING_REMOTE_ENABLED "remote.enabled"   /* answer there unless told otherwise */
#define APP_SETTING_REMOTE_TIMEOUT "remote.timeout"   /* seconds without a byte */
#define APP_SETTING_CACHE_BUDGET "cache.budget"       /* bytes; 0: what each library's cache says itself */
#define APP_SETTING_MODEL "model.default"             /* a model's name or path; empty: the starter */
#define APP_SETTING_THREADS "compute.threads"         /* 0: all processors */
#define APP_SETTING_WATCH "library.watch"             /* folders */

typedef enum AppSettingKind {
    APP_SETTING_KIND_TEXT,    /* one line */
    APP_SETTING_KIND_URL,     /* https; http only to this machine */
    APP_SETTING_KIND_SERVER,  /* https; http only to this machine or a private network */
    APP_SETTING_KIND_PROXY,   /* http or https: what goes through it is encrypted on its own */
    APP_SETTING_KIND_SECRET,  /* one line of visible ASCII, never shown */
    APP_SETTING_KIND_BOOLEAN, /* yes or no */
    APP_SETTING_KIND_NUMBER,  /* from min to max */
    APP_SETTING_KIND_BYTES,   /* "20GB", "500 MB", "8GiB" or a number of bytes */
    APP_SETTING_KIND_FOLDERS, /* a list of absolute paths */
} AppSettingKind;

typedef struct AppSettingInfo {
    const char *key, *summary;
    AppSettingKind kind;
    const char *initial;         /* as text; "" is not set */
    const char *environment[2];  /* variables that go before the file, the first first; NULL: none */
    uint64_t min, max;           /* NUMBER, BYTES */
} AppSettingInfo;

/* All known keys, constant. */
const AppSettingInfo *app_settings_list(size_t *ret_n);
const AppSettingInfo *app_settings_find(const char *key, GError **error);

typedef enum AppSettingOrigin {
    APP_SETTING_FROM_INITIAL = 0,
    APP_SETTING_FROM_FILE,
    APP_SETTING_FROM_ENVIRONMENT,
} AppSettingOrigin;

typedef struct AppSettings AppSettings;
/* path: NULL means <config>/settings.conf. A missing file is no failure, and none is made before something is set. */
AppSettings *app_settings_open(const char *path, GError **error);
void app_settings_free(AppSettings *settings); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppSettings, app_settings_free)
const char *app_settings_get_path(const AppSettings *settings);
/* Reads the file again: another process may have changed it. */
bool app_settings_reload(AppSettings *settings, GError **error);

/* The value in force. An unknown key is a programmer's error (g_critical) and reads as not set. */
char *app_settings_get_text(AppSettings *settings, const char *key); /* never NULL; "" is not set; g_free */
bool app_settings_get_boolean(AppSettings *settings, const char *key);
uint64_t app_settings_get_number(AppSettings *settings, const char *key); /* NUMBER and BYTES */
char **app_settings_get_folders(AppSettings *settings, const char *key);  /* g_strfreev */
AppSettingOrigin app_settings_get_origin(AppSettings *settings, const char *key);

/* Checks, writes and syncs. value NULL: back to the initial value. FOLDERS: one folder; use app_settings_set_folders for more. */
bool app_settings_set(AppSettings *settings, const char *key, const char *value, GError **error);
bool app_settings_set_folders(AppSettings *settings, const char *key, const char *const *folders, GError **error);

/* What of the file or the environment is ignored, in words: values that are not valid, keys that are not known. Elements char*. */
GPtrArray *app_settings_list_faults(AppSettings *settings);

/* "20GB", "1.5 GiB", "500000000". False: not a size of 1 byte to 10^18. */
bool app_settings_parse_bytes(const char *text, uint64_t *ret_bytes);

G_END_DECLS

#endif
