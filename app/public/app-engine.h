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
AppEngine *app_engine_ref(AppEngine *engine);
void app_engine_unref(AppEngine *engine); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppEngine, app_engine_unref)

AppLibrary *app_engine_get_library(AppEngine *engine);
const char *app_engine_get_model_name(AppEngine *engine);
const char *app_engine_get_section_rule(AppEngine *engine); /* for app_library_list_sections */

G_END_DECLS

#endif
