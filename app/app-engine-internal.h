/* app-engine-internal.h: the engine's types behind an AppEngine, for app/ alone. */
#ifndef APP_ENGINE_INTERNAL_H
#define APP_ENGINE_INTERNAL_H

#include "app-engine.h"
#include "eng.h"

G_BEGIN_DECLS

eng_model *app_engine_get_model(AppEngine *engine);
eng_cache *app_engine_get_cache(AppEngine *engine);

/* The runtime runs one stream of work at a time. acquire waits for the other user (a reading job lets go between batches of sections,
 * so that a question waits for a second at most) and points the runtime's cancel flag at `cancel`; release hands it on. */
eng_runtime *app_engine_acquire(AppEngine *engine, const bool *cancel);
void app_engine_release(AppEngine *engine);
bool app_engine_is_wanted(AppEngine *engine); /* somebody waits in acquire: let go soon */

/* What an engine says, untranslated, for app_format_note; and translated. g_free. */
char *app_engine_make_note(const eng_error *engine_error);
char *app_engine_dup_message(const eng_error *engine_error);
/* Turns an engine's failure into a GError. */
void app_engine_set_error(GError **error, eng_status status, const eng_error *engine_error);

G_END_DECLS

#endif
