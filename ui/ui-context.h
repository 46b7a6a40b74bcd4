/* ui-context.h: what all windows and views share: the open library, the loaded model, the queue that reads.
 *
 * Owns: one AppLibrary, one AppEngine (loaded on a thread when first wanted), one AppReadQueue, watching folders; turning their calls from other threads
 *       into signals on the main loop; running blocking work on threads; which documents are about to be removed.
 * Does not own: any widget.
 *
 * Signals, all on the main thread:
 *   "library-changed" (gint64 document)       something about this document changed; 0: many, or collections or conversations. Changes
 *                                             that come close together are joined, so handlers may reload what they show.
 *   "read-event" (const AppReadEvent *event)  borrowed until the handler returns; progress events come at most 20 times a second.
 *   "engine-changed"                          the model was loaded, or could not be (ui_context_get_engine_problem), or another one was
 *                                             chosen.
 *   "document-hidden" (gint64 document, gboolean is_hidden)  ui_context_hide_document was called.
 */
#ifndef UI_CONTEXT_H
#define UI_CONTEXT_H

#include <gio/gio.h>

#include "app-engine.h"
#include "app-library.h"
#include "app-reader.h"

G_BEGIN_DECLS

#define UI_TYPE_CONTEXT (ui_context_get_type())
G_DECLARE_FINAL_TYPE(UiContext, ui_context, UI, CONTEXT, GObject)

/* Opens the library (folder NULL: the user's own). */
UiContext *ui_context_new(const char *folder, GError **error);

AppLibrary *ui_context_get_library(UiContext *context);   /* borrowed */
AppReadQueue *ui_context_get_queue(UiContext *context);   /* borrowed */
AppEngine *ui_context_get_engine(UiContext *context);     /* borrowed; NULL: not loaded yet, or not loadable */
const char *ui_context_get_engine_problem(UiContext *context); /* why there is no engine; NULL: nothing is wrong */
bool ui_context_is_engine_loading(UiContext *context);
/* The name of a collection as it is now; NULL: there is none such (any more). g_free. */
char *ui_context_dup_collection_name(UiContext *context, int64_t collection);
/* Loads a model (NULL: the default) on a thread; what is read goes on with it. "engine-changed" follows. */
void ui_context_load_engine(UiContext *context, const char *model);

/* Watches the folders of the setting library.watch: at the start, and after it was changed. */
void ui_context_update_watch(UiContext *context);

/* About to be removed, which may still be undone: the lists and counts of all views leave it out. Until it is shown again. */
void ui_context_hide_document(UiContext *context, int64_t document, bool is_hidden);
GArray *ui_context_dup_hidden(UiContext *context); /* int64_t */

/* Runs work(data) on a thread, then done(source, result, user) on the main loop: g_task_propagate_* there gives what work returned with
 * g_task_return_*. free_data may be NULL. source is kept alive meanwhile. */
void ui_context_run(UiContext *context, GObject *source, GTaskThreadFunc work, gpointer data, GDestroyNotify free_data,
                    GCancellable *cancellable, GAsyncReadyCallback done, gpointer user);

G_END_DECLS

#endif
