/* app-engine.h: a model that is loaded, with its threads and the folder of cached states: what reading and asking share.
 *
 * Owns: opening them together for one library, and that one stream of work at a time uses the runtime.
 * Does not own: which models exist (app-models.h), what is done with them (app-reader.h, app-ask.h). app-engine-internal.h gives the
 * application's own files the engine's types.
 */
#ifndef APP_ENGINE_H
#define APP_ENGINE_H

#include "app-library.h"

G_BEGIN_DECLS

#define APP_ENGINE_ERROR (app_engine_error_quark())
GQuark app_engine_error_quark(void); /* codes are those of eng_status; ENG_CANCELLED becomes G_IO_ERROR_CANCELLED */

typedef struct AppEngine AppEngine;

/* model: a name or a path; NULL the default. n_threads 0: all. Loads at once; takes about as long as mapping the file. */
AppEngine *app_engine_open(AppLibrary *library, const char *model, unsigned n_threads, GError **error);
/* The same with a say about the GPU. AUTO (also app_engine_open's): where there is one, and long work makes it worth starting; WANTED:
 * an error where it cannot be used. */
typedef enum AppGpu { APP_GPU_AUTO, APP_GPU_NEVER, APP_GPU_WANTED } AppGpu;
AppEngine *app_engine_open_on(AppLibrary *library, const char *model, unsigned n_threads, AppGpu gpu, GError **error);
AppEngine *app_engine_ref(AppEngine *engine);
void app_engine_unref(AppEngine *engine); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppEngine, app_engine_unref)

AppLibrary *app_engine_get_library(AppEngine *engine);
const char *app_engine_get_model_name(AppEngine *engine);
/* Where work has run so far, for people: "NVIDIA H200", or NULL: the CPU alone. g_free. Any thread. */
char *app_engine_get_gpu_name(AppEngine *engine);
/* What a person should know about it ("NVIDIA H200: the GPU failed (…); the CPU goes on without it"), or NULL. Work is never lost by it.
 * g_free. Any thread. */
char *app_engine_get_gpu_note(AppEngine *engine);
const char *app_engine_get_section_rule(AppEngine *engine); /* for app_library_list_sections */

G_END_DECLS

#endif
