/* app-engine.c: see app-engine.h.
 *
 * Owns: the loaded model, its runtime and the cache folder; turns of those who want the runtime.
 */
#include "app-engine-internal.h"
#include "app-format.h"

#include <gio/gio.h>
#include <glib/gi18n.h>

#include "app-calibration-internal.h"
#include "app-models.h"
#include "app-sections.h"
#include "app-settings.h"

G_DEFINE_QUARK(app-engine-error-quark, app_engine_error)

struct AppEngine {
    gint n_refs;
    AppLibrary *library;
    eng_model *model;
    eng_runtime *runtime;
    eng_cache *cache;
    char *rule;
    GMutex mutex;
    GCond freed;
    eng_gpu_info gpu; /* guarded by mutex: as the last user of the runtime left it */
    uint64_t next_turn, turn; /* guarded by mutex: turns are served in order, so that a long reading lets a question in between batches */
};

char *app_engine_make_note(const eng_error *engine_error)
{
    if (engine_error->format == NULL) return g_strdup(engine_error->message);
    const char *arguments[ENG_MESSAGE_BYTES], *at = engine_error->arguments;
    for (unsigned i = 0; i < engine_error->n_arguments; i++) {
        arguments[i] = at;
        at += strlen(at) + 1;
    }
    return app_format_make_note(engine_error->format, arguments, engine_error->n_arguments);
}

char *app_engine_dup_message(const eng_error *engine_error)
{
    g_autofree char *note = app_engine_make_note(engine_error);
    return app_format_note(note);
}

void app_engine_set_error(GError **error, eng_status status, const eng_error *engine_error)
{
    if (status == ENG_CANCELLED) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Stopped"));
    } else {
        g_autofree char *message = app_engine_dup_message(engine_error);
        g_set_error_literal(error, APP_ENGINE_ERROR, (int)status, message);
    }
}

/* 0: not set, or the settings cannot be read: the cache keeps to what it was told last. */
static uint64_t budget_setting(void)
{
    g_autoptr(AppSettings) settings = app_settings_open(NULL, NULL);
    return settings != NULL ? app_settings_get_number(settings, APP_SETTING_CACHE_BUDGET) : 0;
}

AppEngine *app_engine_open(AppLibrary *library, const char *model, unsigned n_threads, GError **error)
{
    return app_engine_open_on(library, model, n_threads, APP_GPU_AUTO, error);
}

AppEngine *app_engine_open_on(AppLibrary *library, const char *model, unsigned n_threads, AppGpu gpu, GError **error)
{
    static const eng_gpu_use uses[] = {ENG_GPU_AUTO, ENG_GPU_NEVER, ENG_GPU_WANTED};
    g_autofree char *path = app_models_find(app_library_get_folder(library), model, error);
    if (path == NULL) return NULL;
    g_autofree char *memo = g_build_filename(app_library_get_folder(library), "model-digests", NULL);
    AppEngine *engine = g_new0(AppEngine, 1);
    engine->n_refs = 1;
    engine->library = app_library_ref(library);
    g_mutex_init(&engine->mutex);
    g_cond_init(&engine->freed);
    eng_error engine_error;
    eng_model_options model_options = {.digest_memo_path = memo};
    g_autofree char *rotation = app_calibration_get_choice(app_library_get_folder(library), path, &model_options);
    eng_status status = eng_model_open(path, &model_options, &engine->model, &engine_error);
    if (status == ENG_OK) {
        eng_runtime_options options = {.n_threads = n_threads, .gpu = uses[gpu]};
        status = eng_runtime_new(engine->model, &options, &engine->runtime, &engine_error);
    }
    if (status == ENG_OK) {
        eng_cache_options options = {.budget_bytes = budget_setting()};
        status = eng_cache_open(app_library_get_cache_folder(library), &options, &engine->cache, &engine_error);
    }
    if (status == ENG_OK) {
        engine->rule = app_section_rule(engine->model);
        return engine;
    }
    app_engine_set_error(error, status, &engine_error);
    app_engine_unref(engine);
    return NULL;
}

AppEngine *app_engine_ref(AppEngine *engine)
{
    g_atomic_int_inc(&engine->n_refs);
    return engine;
}

void app_engine_unref(AppEngine *engine)
{
    if (engine == NULL || !g_atomic_int_dec_and_test(&engine->n_refs)) return;
    eng_cache_close(engine->cache);
    eng_runtime_free(engine->runtime);
    eng_model_close(engine->model);
    app_library_unref(engine->library);
    g_mutex_clear(&engine->mutex);
    g_cond_clear(&engine->freed);
    g_free(engine->rule);
    g_free(engine);
}

AppLibrary *app_engine_get_library(AppEngine *engine)
{
    return engine->library;
}

const char *app_engine_get_model_name(AppEngine *engine)
{
    return eng_model_get_info(engine->model)->name;
}

char *app_engine_get_gpu_name(AppEngine *engine)
{
    g_mutex_lock(&engine->mutex);
    char *name = engine->gpu.passes > 0 ? g_strdup(engine->gpu.name) : NULL;
    g_mutex_unlock(&engine->mutex);
    return name;
}

char *app_engine_get_gpu_note(AppEngine *engine)
{
    g_mutex_lock(&engine->mutex);
    const eng_gpu_info *gpu = &engine->gpu; /* why there is none is no news to people without one */
    bool tell = gpu->note[0] != '\0' && (gpu->active || gpu->failed || gpu->passes_on_cpu > 0);
    char *note = tell ? g_strdup(gpu->note) : NULL;
    g_mutex_unlock(&engine->mutex);
    return note;
}

const char *app_engine_get_section_rule(AppEngine *engine)
{
    return engine->rule;
}

eng_model *app_engine_get_model(AppEngine *engine)
{
    return engine->model;
}

eng_cache *app_engine_get_cache(AppEngine *engine)
{
    return engine->cache;
}

eng_runtime *app_engine_acquire(AppEngine *engine, const bool *cancel)
{
    g_mutex_lock(&engine->mutex);
    uint64_t mine = engine->next_turn++;
    while (engine->turn != mine) g_cond_wait(&engine->freed, &engine->mutex);
    g_mutex_unlock(&engine->mutex);
    eng_runtime_set_cancel(engine->runtime, cancel);
    return engine->runtime;
}

void app_engine_release(AppEngine *engine)
{
    eng_runtime_set_cancel(engine->runtime, NULL);
    eng_gpu_info gpu;
    eng_runtime_get_gpu(engine->runtime, &gpu);
    g_mutex_lock(&engine->mutex);
    engine->gpu = gpu;
    engine->turn++;
    g_cond_broadcast(&engine->freed);
    g_mutex_unlock(&engine->mutex);
}

bool app_engine_is_wanted(AppEngine *engine)
{
    g_mutex_lock(&engine->mutex);
    bool wanted = engine->next_turn > engine->turn + 1;
    g_mutex_unlock(&engine->mutex);
    return wanted;
}
