/* app-paths.c: where data, settings and temporary caches live.
 *
 * Owns: the choice of folders and the modes of what is private.
 * Does not own: the files in them.
 */
#include "app-paths.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app-config.h"

static char *data_folder; /* set once: by app_paths_set_data or the first app_paths_data */

const char *app_paths_data(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        if (data_folder == NULL) {
            const char *named = g_getenv("LECTERN_DATA");
            data_folder = named != NULL && named[0] != '\0' ? g_canonicalize_filename(named, NULL)
                                                            : g_build_filename(g_get_user_data_dir(), "lectern", NULL);
        }
        g_once_init_leave(&once, 1);
    }
    return data_folder;
}

void app_paths_set_data(const char *folder)
{
    g_free(data_folder);
    data_folder = g_canonicalize_filename(folder, NULL);
}

const char *app_paths_config(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) g_once_init_leave(&once, (gsize)g_build_filename(g_get_user_config_dir(), "lectern", NULL));
    return (const char *)once;
}

const char *app_paths_cache(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) g_once_init_leave(&once, (gsize)g_build_filename(g_get_user_cache_dir(), "lectern", NULL));
    return (const char *)once;
}

const char *app_paths_resources(void)
{
    const char *named = g_getenv("LECTERN_RESOURCES");
    return named != NULL && named[0] != '\0' ? named : LECTERN_PKGDATADIR;
}

static bool fail_errno(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool fail_errno(GError **error, const char *format, ...)
{
    va_list arguments;
    int code = g_io_error_from_errno(errno);
    va_start(arguments, format);
    g_propagate_error(error, g_error_new_valist(G_IO_ERROR, code, format, arguments));
    va_end(arguments);
    return false;
}

bool app_paths_make_private_folder(const char *folder, GError **error)
{
    if (g_mkdir_with_parents(folder, 0700) != 0) return fail_errno(error, _("Cannot make the folder “%s”: %s"), folder, g_strerror(errno));
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_errno(error, _("Cannot open the folder “%s”: %s"), folder, g_strerror(errno));
    struct stat info;
    bool ok = fstat(fd, &info) == 0 && ((info.st_mode & 077) == 0 || info.st_uid != getuid() || fchmod(fd, 0700) == 0);
    if (!ok) fail_errno(error, _("Cannot make private the folder “%s”: %s"), folder, g_strerror(errno));
    close(fd);
    return ok;
}

/* What is there is not opened: closing it again would give up the locks that SQLite holds on it for this process (POSIX). */
bool app_paths_make_private_file(const char *path, GError **error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno != EEXIST) return fail_errno(error, _("Cannot make the file “%s”: %s"), path, g_strerror(errno));
    if (fd >= 0) close(fd);
    struct stat info;
    bool ok = lstat(path, &info) == 0;
    if (ok && !S_ISREG(info.st_mode)) {
        errno = EINVAL;
        ok = false;
    }
    ok = ok && ((info.st_mode & 077) == 0 || chmod(path, 0600) == 0);
    return ok || fail_errno(error, _("Cannot make private the file “%s”: %s"), path, g_strerror(errno));
}

bool app_paths_is_plain_name(const char *name, size_t n, size_t n_max)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return n > 0 && n <= n_max && name[0] != '.' && name[0] != '-' && strspn(name, characters) >= n && g_strstr_len(name, (gssize)n, "..") == NULL;
}
