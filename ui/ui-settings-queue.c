/* ui-settings-queue.c: see ui-settings-queue.h. The thread is started with the first work, and ends with the program. */
#define G_LOG_DOMAIN "ui-settings-queue"
#include "ui-settings-queue.h"

typedef struct Entry {
    char *key;
    GTask *task;
    GTaskThreadFunc work;
} Entry;

static struct {
    GMutex mutex; /* guards the rest */
    GCond changed;
    GQueue waiting; /* Entry */
    bool is_started, is_working;
} queue;

static gboolean free_entry(gpointer data)
{
    Entry *entry = data;
    g_free(entry->key);
    g_object_unref(entry->task);
    g_free(entry);
    return G_SOURCE_REMOVE;
}

static gpointer work_on(gpointer unused)
{
    g_mutex_lock(&queue.mutex);
    for (;;) {
        Entry *entry = g_queue_pop_head(&queue.waiting);
        queue.is_working = entry != NULL;
        if (entry == NULL) {
            g_cond_broadcast(&queue.changed);
            g_cond_wait(&queue.changed, &queue.mutex);
            continue;
        }
        g_mutex_unlock(&queue.mutex);
        entry->work(entry->task, g_task_get_source_object(entry->task), g_task_get_task_data(entry->task), NULL);
        g_idle_add_full(G_PRIORITY_DEFAULT, free_entry, entry, NULL); /* with it goes the task's source, which may be a widget */
        g_mutex_lock(&queue.mutex);
    }
    return NULL;
}

/* With the mutex. */
static Entry *take_waiting(const char *key)
{
    for (GList *at = queue.waiting.head; at != NULL; at = at->next) {
        Entry *entry = at->data;
        if (g_strcmp0(entry->key, key) != 0) continue;
        g_queue_delete_link(&queue.waiting, at);
        return entry;
    }
    return NULL;
}

void ui_settings_queue_run(GObject *source, const char *key, GTaskThreadFunc work, gpointer data, GDestroyNotify free_data,
                           GAsyncReadyCallback done, gpointer user)
{
    Entry *entry = g_new0(Entry, 1);
    *entry = (Entry){.key = g_strdup(key), .task = g_task_new(source, NULL, done, user), .work = work};
    g_task_set_task_data(entry->task, data, free_data);
    g_mutex_lock(&queue.mutex);
    Entry *older = key != NULL ? take_waiting(key) : NULL;
    g_queue_push_tail(&queue.waiting, entry);
    if (!queue.is_started) g_thread_unref(g_thread_new("settings", work_on, NULL));
    queue.is_started = true;
    g_cond_broadcast(&queue.changed);
    g_mutex_unlock(&queue.mutex);
    if (older == NULL) return;
    g_task_return_boolean(older->task, FALSE);
    free_entry(older);
}

void ui_settings_queue_flush(void)
{
    g_mutex_lock(&queue.mutex);
    while (queue.is_working || queue.waiting.length > 0) g_cond_wait(&queue.changed, &queue.mutex);
    g_mutex_unlock(&queue.mutex);
}

AppSettings *ui_settings_queue_open(GError **error)
{
    ui_settings_queue_flush();
    return app_settings_open(NULL, error);
}

/* ------------------------------------------------------------------------------------------------------------- one value */

typedef struct Setting {
    char *key, *value;
} Setting;

static void free_setting(gpointer data)
{
    Setting *setting = data;
    g_free(setting->key);
    g_free(setting->value);
    g_free(setting);
}

static void set(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const Setting *setting = data;
    GError *error = NULL;
    g_autoptr(AppSettings) settings = app_settings_open(NULL, &error);
    const char *value = *setting->value != '\0' ? setting->value : NULL;
    if (settings != NULL && app_settings_set(settings, setting->key, value, &error)) g_task_return_boolean(task, TRUE);
    else g_task_return_error(task, error);
}

void ui_settings_queue_set(GObject *source, const char *key, const char *value, GAsyncReadyCallback done, gpointer user)
{
    Setting *setting = g_new0(Setting, 1);
    *setting = (Setting){.key = g_strdup(key), .value = g_strdup(value)};
    ui_settings_queue_run(source, key, set, setting, free_setting, done, user);
}
