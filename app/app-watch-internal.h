/* app-watch-internal.h: the watcher with other times, for its tests. */
#ifndef APP_WATCH_INTERNAL_H
#define APP_WATCH_INTERNAL_H

#include "app-watch.h"

/* settle_ms: how long a file must not have changed; rescan_s: how often folders are looked through. */
AppWatcher *app_watcher_new_with(AppLibrary *library, AppReadQueue *queue, unsigned settle_ms, unsigned rescan_s);

#endif
