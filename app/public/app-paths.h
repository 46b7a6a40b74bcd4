/* app-paths.h: where data, settings and temporary caches live, and who may read them.
 *
 * Owns: the XDG folders, LECTERN_DATA, and the modes 0700 (folders) and 0600 (files) of everything private.
 * Does not own: what is in them.
 */
#ifndef APP_PATHS_H
#define APP_PATHS_H

#include <glib.h>
#include <stdbool.h>

G_BEGIN_DECLS

/* LECTERN_DATA, else XDG_DATA_HOME/lectern. Constant after the first call, unless app_paths_set_data was called before it. */
const char *app_paths_data(void);
void app_paths_set_data(const char *folder); /* --data; before threads start */
const char *app_paths_config(void);          /* XDG_CONFIG_HOME/lectern */
const char *app_paths_cache(void);           /* XDG_CACHE_HOME/lectern: what can be lost */
/* The read-only files that come with the program: LECTERN_RESOURCES, else <prefix>/share/lectern. */
const char *app_paths_resources(void);

/* Makes a folder and its missing parents, mode 0700; an existing one of the user's own is tightened to 0700. */
bool app_paths_make_private_folder(const char *folder, GError **error);
/* Makes the file empty, if it is missing, with mode 0600; tightens an existing one. Never follows a symbolic link. */
bool app_paths_make_private_file(const char *path, GError **error);

/* May these n bytes be one part of a path, a model's or a repository's name? Letters, digits, dots, dashes and underscores, at most
 * n_max; neither hidden, nor an option, nor a way up. */
bool app_paths_is_plain_name(const char *name, size_t n, size_t n_max);

G_END_DECLS

#endif
