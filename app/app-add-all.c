/* app-add-all.c: sets of sources into the library: folders, archives, or a single file.
 *
 * Owns: walking folders, taking an archive's members one by one, telling the caller of each. Does not own: one source (app-add.c).
 *
 * An archive is unpacked in the locked process; here each member is a file without a name in the library's folder, one at a time, and is
 * then taken in like any other. Its path is that of the archive, "/", and its name in there.
 */
#include <errno.h>
#include <glib/gi18n.h>
#include <string.h>
#include <sys/stat.h>

#include "app-add.h"
#include "app-extract.h"
#include "app-format.h"

enum { WALK_DEPTH_MAX = 64, WALK_FILES_MAX = 200000 };

#define UNPACKED_BYTES_MAX (UINT64_C(4) << 30) /* of one archive */

/* ------------------------------------------------------------------------------------------------------------- folders */

typedef struct Walk {
    GPtrArray *files;
    const bool *cancel;
    uint32_t n_skipped;
} Walk;

/* Names in order as people count: "report 2" before "report 10". */
static int compare_paths(gconstpointer a, gconstpointer b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    g_autofree char *key_x = g_utf8_collate_key_for_filename(x, -1), *key_y = g_utf8_collate_key_for_filename(y, -1);
    int order = strcmp(key_x, key_y);
    return order != 0 ? order : strcmp(x, y);
}

static void walk(Walk *w, const char *folder, unsigned depth)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    if (dir == NULL) {
        w->n_skipped++;
        return;
    }
    const char *name;
    while ((name = g_dir_read_name(dir)) != NULL) {
        if (w->cancel != NULL && __atomic_load_n(w->cancel, __ATOMIC_RELAXED)) return;
        g_autofree char *path = g_build_filename(folder, name, NULL);
        struct stat info;
        bool known = lstat(path, &info) == 0;
        bool is_link = known && S_ISLNK(info.st_mode);
        if (is_link) known = stat(path, &info) == 0;
        if (known && S_ISDIR(info.st_mode) && !is_link && name[0] != '.' && depth < WALK_DEPTH_MAX) {
            walk(w, path, depth + 1);
        } else if (known && S_ISREG(info.st_mode) && name[0] != '.' && app_source_is_readable_name(name) && w->files->len < WALK_FILES_MAX &&
                   g_utf8_validate(path, -1, NULL)) {
            g_ptr_array_add(w->files, g_steal_pointer(&path));
        } else {
            w->n_skipped++;
        }
    }
}

GPtrArray *app_reader_find_files(const char *path, const bool *cancel, uint32_t *ret_n_skipped, GError **error)
{
    Walk w = {.files = g_ptr_array_new_with_free_func(g_free), .cancel = cancel};
    struct stat info;
    if (strcmp(path, "-") != 0 && stat(path, &info) != 0) {
        int code = errno;
        g_autofree char *shown = g_filename_display_name(path);
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND, _("Cannot read “%s”: %s"), shown, g_strerror(code));
        g_ptr_array_unref(w.files);
        return NULL;
    }
    if (strcmp(path, "-") == 0 || !S_ISDIR(info.st_mode)) {
        g_ptr_array_add(w.files, g_strdup(path));
    } else {
        walk(&w, path, 0);
        g_ptr_array_sort(w.files, compare_paths);
    }
    if (ret_n_skipped != NULL) *ret_n_skipped = w.n_skipped;
    return w.files;
}

/* ------------------------------------------------------------------------------------------------------------ archives */

typedef struct All {
    AppLibrary *library;
    const AppAddOptions *options;
    AppAddedFn added;
    void *user;
    uint32_t n_left_out;
    uint32_t n_files_done, n_files;
    bool stopped; /* by the caller */
    const AppSource *archive; /* being unpacked */
    AppSource member;
    bool has_member;
    uint32_t n_members;
} All;

static bool stop(GError **error)
{
    g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_CANCELLED, _("stopped"));
    return false;
}

static void tell_begin(const All *all, const char *path)
{
    if (all->options->begin != NULL) all->options->begin(all->options->user, path, all->n_files_done, all->n_files);
}

/* Takes `problem`. False with error: stop. */
static bool tell(All *all, const char *path, int64_t document, AppAdded added, GError *problem, GError **error)
{
    const AppAddedFile file = {path, document, added, problem, MIN(all->n_files_done + 1, all->n_files), all->n_files};
    all->stopped = !all->added(all->user, &file);
    g_clear_error(&problem);
    bool cancelled = all->options->cancel != NULL && __atomic_load_n(all->options->cancel, __ATOMIC_RELAXED);
    return (!all->stopped && !cancelled) || stop(error);
}

static void close_member(All *all)
{
    if (all->has_member) app_source_close(&all->member);
    all->has_member = false;
}

static bool on_member(void *user, const char *name, GError **error)
{
    All *all = user;
    all->has_member = true;
    all->n_members++;
    bool ok = app_source_begin_member(&all->member, all->library, all->archive, name, error);
    if (ok) tell_begin(all, all->member.path);
    return ok;
}

static bool on_data(void *user, const void *bytes, size_t n_bytes, GError **error)
{
    return app_source_add(&((All *)user)->member, bytes, n_bytes, error);
}

static bool on_member_end(void *user, bool is_whole, const char *reason, GError **error)
{
    All *all = user;
    GError *problem = NULL;
    AppAdded added = APP_ADDED_NEW;
    int64_t document = -1;
    app_source_end(&all->member);
    if (is_whole) {
        const char *format = app_source_format(&all->member, &problem);
        if (format != NULL && strcmp(format, "archive") == 0) {
            app_source_fail(&problem, &all->member, APP_LIBRARY_ERROR_INVALID, _("archives within archives are left out; unpack it first"));
        } else if (format != NULL) {
            document = app_add_source(all->library, &all->member, format, all->options, &added, &problem);
        }
    } else {
        g_autofree char *what = app_format_note(reason), *why = g_strdup_printf(_("it could not be unpacked: %s"), what);
        app_source_fail(&problem, &all->member, APP_LIBRARY_ERROR_INVALID, why);
    }
    bool goes_on = tell(all, all->member.path, document, added, problem, error);
    close_member(all);
    return goes_on;
}

static bool on_meta(void *user, const char *key, const char *value, GError **error)
{
    if (strcmp(key, "left_out") == 0) ((All *)user)->n_left_out += (uint32_t)MIN(g_ascii_strtoull(value, NULL, 10), 1000000);
    return true;
}

/* What is wrong behind the members that came out does not undo them. */
static bool on_note(void *user, const char *text, GError **error)
{
    All *all = user;
    GError *problem = NULL;
    app_source_fail(&problem, all->archive, APP_LIBRARY_ERROR_INVALID, text);
    return tell(all, all->archive->path, -1, APP_ADDED_NEW, problem, error);
}

static bool unpack(All *all, const AppSource *archive, GError **error)
{
    static const AppExtractSink sink = {.meta = on_meta, .note = on_note, .member = on_member, .data = on_data, .member_end = on_member_end};
    const AppExtractOptions options = {.password = all->options->password, .unpack = app_source_member_suffixes(),
                                       .max_text_bytes = UNPACKED_BYTES_MAX};
    GError *problem = NULL;
    all->archive = archive;
    all->n_members = 0;
    if (all->options->title != NULL) {
        return app_source_fail(error, archive, APP_LIBRARY_ERROR_INVALID, _("a title is for one document, and this is an archive of several files"));
    }
    bool ok = app_extract_run(archive->fd, archive->name, &options, all->options->cancel, &sink, all, &problem);
    close_member(all);
    if (!ok) return app_add_translate_error(problem, error);
    return all->n_members > 0 || app_source_fail(error, archive, APP_LIBRARY_ERROR_INVALID, _("there is no file in it that can be read"));
}

/* ----------------------------------------------------------------------------------------------------------------- all */

/* One path of a file. False with error: stop. What goes wrong with it alone is told. */
static bool add_file(All *all, const char *path, GError **error)
{
    AppSource source;
    GError *problem = NULL;
    AppAdded added = APP_ADDED_NEW;
    int64_t document = -1;
    bool is_told = false;
    tell_begin(all, path);
    const char *format = app_source_open(&source, all->library, path, all->options, &problem) ? app_source_format(&source, &problem) : NULL;
    if (format != NULL && strcmp(format, "archive") == 0) {
        is_told = unpack(all, &source, &problem); /* each member was told */
    } else if (format != NULL) {
        document = app_add_source(all->library, &source, format, all->options, &added, &problem);
    }
    app_source_close(&source);
    if (all->stopped) {
        g_clear_error(&problem);
        return stop(error);
    }
    return is_told || tell(all, path, document, added, problem, error);
}

bool app_reader_add_all(AppLibrary *library, const char *path, const AppAddOptions *options, AppAddedFn added, void *user,
                        uint32_t *ret_n_left_out, GError **error)
{
    static const AppAddOptions no_options;
    All all = {.library = library, .options = options != NULL ? options : &no_options, .added = added, .user = user};
    g_autoptr(GPtrArray) files = app_reader_find_files(path, all.options->cancel, &all.n_left_out, error);
    if (files == NULL) return false;
    if (files->len == 0) {
        g_autofree char *shown = g_filename_display_name(path);
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, _("“%s” holds no file that can be read"), shown);
        return false;
    }
    bool ok = true;
    all.n_files = files->len;
    for (guint i = 0; ok && i < files->len; i++) {
        ok = add_file(&all, g_ptr_array_index(files, i), error);
        all.n_files_done++;
    }
    if (ret_n_left_out != NULL) *ret_n_left_out = all.n_left_out;
    return ok;
}
