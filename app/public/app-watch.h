/* app-watch.h: folders whose new and changed files are taken in by themselves.
 *
 * Owns: noticing what happens in them while a program runs.
 * Does not own: which folders (the setting library.watch), taking in and reading (app-reader.h's queue), what is shown of it.
 *
 * A file is taken in once it has not changed for a moment. What a folder holds is compared with the library when watching begins and
 * every few minutes from then on, so that nothing depends on the notices of the file system, which some never send. A file that goes
 * leaves its document in the library; one that moves within what is watched is found again.
 */
#ifndef APP_WATCH_H
#define APP_WATCH_H

#include "app-reader.h"

G_BEGIN_DECLS

/* Notices on a thread of its own and adds files to the queue, whose events tell the rest. The queue must outlive it. */
typedef struct AppWatcher AppWatcher;
AppWatcher *app_watcher_new(AppLibrary *library, AppReadQueue *queue);
void app_watcher_free(AppWatcher *watcher); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppWatcher, app_watcher_free)
/* Watches these folders (NULL-terminated; app_settings_get_folders(…, APP_SETTING_WATCH), say) and no others from now on; what comes in
 * goes into the collection (0: none). A folder that is not there is looked for again by every rescan. Returns at once. */
void app_watcher_set_folders(AppWatcher *watcher, const char *const *folders, int64_t collection);
/* Compares now what the folders hold with what is known. Returns at once. */
void app_watcher_rescan(AppWatcher *watcher);

G_END_DECLS

#endif
