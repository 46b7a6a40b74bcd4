/* ui-settings.c: see ui-settings.h.
 *
 * dconf writes by itself while the window goes on. GSettings' file of keys, where there is no dconf, waits for the disk with each value: there
 * the window's settings are in memory, and what is changed is written on the thread of ui-settings-queue.h, with GSettings of its own.
 */
#define G_LOG_DOMAIN "ui-settings"
#define G_SETTINGS_ENABLE_BACKEND
#include "ui-settings.h"

#include <gio/gsettingsbackend.h>

#include "ui-settings-queue.h"

#define SCHEMA_ID "org.lectern.Lectern"

/* The schema as installed; else, for a program started from its build folder, the one compiled beside it. */
static GSettingsSchema *find_schema(void)
{
    GSettingsSchemaSource *source = g_settings_schema_source_get_default();
    GSettingsSchema *schema = source != NULL ? g_settings_schema_source_lookup(source, SCHEMA_ID, TRUE) : NULL;
    if (schema != NULL) return schema;
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    if (program == NULL) return NULL;
    g_autofree char *folder = g_path_get_dirname(program);
    for (const char *const *up = (const char *const[]){"../resources", "../../resources", NULL}; *up != NULL && schema == NULL; up++) {
        g_autofree char *beside = g_build_filename(folder, *up, NULL);
        g_autoptr(GSettingsSchemaSource) built = g_settings_schema_source_new_from_directory(beside, source, FALSE, NULL);
        if (built != NULL) schema = g_settings_schema_source_lookup(built, SCHEMA_ID, FALSE);
    }
    return schema;
}

/* ------------------------------------------------------------------------------------------------------- a file of keys */

static struct {
    GSettingsSchema *schema;
    char *path;
    GMutex mutex;
    GHashTable *changed; /* guarded by mutex: char* -> GVariant, NULL for what is back to its initial value */
} file;

static void unref_value(gpointer value)
{
    if (value != NULL) g_variant_unref(value);
}

static GHashTable *values_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_value);
}

/* On the queue's thread. The backend watches its file, for which it has a main context that goes with it. */
static void write_changed(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    g_mutex_lock(&file.mutex);
    g_autoptr(GHashTable) changed = file.changed;
    file.changed = values_new();
    g_mutex_unlock(&file.mutex);
    GMainContext *context = g_main_context_new();
    g_main_context_push_thread_default(context);
    GSettingsBackend *backend = g_keyfile_settings_backend_new(file.path, "/", NULL);
    GSettings *settings = g_settings_new_full(file.schema, backend, NULL);
    g_settings_delay(settings);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, changed);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (value != NULL) g_settings_set_value(settings, key, value);
        else g_settings_reset(settings, key);
    }
    g_settings_apply(settings); /* all in one */
    g_object_unref(settings);
    g_object_unref(backend);
    g_main_context_pop_thread_default(context);
    g_main_context_unref(context);
    g_task_return_boolean(task, TRUE);
}

static void on_changed(GSettings *settings, const char *key, gpointer user)
{
    g_mutex_lock(&file.mutex);
    g_hash_table_insert(file.changed, g_strdup(key), g_settings_get_user_value(settings, key));
    g_mutex_unlock(&file.mutex);
    ui_settings_queue_run(G_OBJECT(settings), "window", write_changed, NULL, NULL, NULL, NULL);
}

/* NULL: the backend does not keep its values in such a file. */
static char *find_path(GSettingsBackend *backend)
{
    if (!g_str_equal(G_OBJECT_TYPE_NAME(backend), "GKeyfileSettingsBackend")) return NULL;
    char *path = NULL;
    g_object_get(backend, "filename", &path, NULL);
    return path;
}

/* Of GSettings over that file: the same in memory. */
static GSettings *take_over(GSettings *from)
{
    g_autoptr(GSettingsBackend) memory = g_memory_settings_backend_new();
    GSettings *settings = g_settings_new_full(file.schema, memory, NULL);
    g_auto(GStrv) keys = g_settings_schema_list_keys(file.schema);
    for (char **key = keys; *key != NULL; key++) {
        g_autoptr(GVariant) value = g_settings_get_user_value(from, *key);
        if (value != NULL) g_settings_set_value(settings, *key, value);
    }
    g_signal_connect(settings, "changed", G_CALLBACK(on_changed), NULL);
    return settings;
}

/* -------------------------------------------------------------------------------------------------------------- interface */

GSettings *ui_settings_get(void)
{
    static GSettings *settings;
    if (settings != NULL) return settings;
    g_autoptr(GSettingsSchema) schema = find_schema();
    if (schema == NULL) g_error("The settings' schema " SCHEMA_ID " is not installed; install Lectern again");
    g_autoptr(GSettingsBackend) backend = g_settings_backend_get_default();
    g_autoptr(GSettings) installed = g_settings_new_full(schema, backend, NULL);
    file.path = find_path(backend);
    if (file.path == NULL) {
        settings = g_steal_pointer(&installed);
    } else {
        file.schema = g_steal_pointer(&schema);
        file.changed = values_new();
        settings = take_over(installed);
    }
    return settings;
}

void ui_settings_keep(const char *key, GVariant *value)
{
    g_autoptr(GVariant) wanted = g_variant_ref_sink(value), known = g_settings_get_value(ui_settings_get(), key);
    if (!g_variant_equal(wanted, known)) g_settings_set_value(ui_settings_get(), key, wanted);
}
