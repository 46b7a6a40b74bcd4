/* app-doctor-files.c: the doctor's checks of the user's own files: who may read them, the library, the caches, what was left behind. */
#include "app-doctor-internal.h"

#include <fcntl.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app-engine-internal.h"
#include "app-format.h"
#include "app-library.h"
#include "app-models.h"
#include "app-paths.h"
#include "app-sqlite.h"
#include "eng.h"

enum { ENTRIES_MAX = 500000, SHOWN_MAX = 3, DEPTH_MAX = 8, SPACE_BYTES_MIN = 1 << 20 };
#define RIGHTS_ADVICE _("Give yourself the right to write there, or choose another folder with LECTERN_DATA.")

/* ----------------------------------------------------------------------------------------------------------- permissions */

typedef struct Walk {
    AppDoctor *doctor;
    uint64_t n, n_open, n_foreign;
    GString *examples;
} Walk;

static void look_at(Walk *walk, const char *path, const GStatBuf *info)
{
    bool is_open = !S_ISLNK(info->st_mode) && (info->st_mode & 077) != 0, is_foreign = info->st_uid != getuid();
    walk->n++;
    walk->n_open += is_open;
    walk->n_foreign += is_foreign;
    if ((is_open || is_foreign) && walk->n_open + walk->n_foreign <= SHOWN_MAX)
        g_string_append_printf(walk->examples, "%s%s", walk->examples->len > 0 ? ", " : "", path);
}

static void walk_folder(Walk *walk, const char *path, unsigned depth)
{
    GStatBuf info;
    if (g_lstat(path, &info) != 0 || walk->n > ENTRIES_MAX) return;
    look_at(walk, path, &info);
    if (!S_ISDIR(info.st_mode) || depth == 0) return;
    GDir *dir = g_dir_open(path, 0, NULL);
    for (const char *entry; dir != NULL && !app_doctor_is_stopped(walk->doctor) && (entry = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *below = g_build_filename(path, entry, NULL);
        walk_folder(walk, below, depth - 1);
    }
    if (dir != NULL) g_dir_close(dir);
}

static void check_private(AppDoctor *doctor, const char *folder, const char *what)
{
    if (!g_file_test(folder, G_FILE_TEST_EXISTS)) return;
    Walk walk = {.doctor = doctor, .examples = g_string_new(NULL)};
    walk_folder(&walk, folder, DEPTH_MAX);
    if (walk.n_open > 0) {
        g_autofree char *quoted = g_shell_quote(folder), *advice = g_strdup_printf("chmod -R go-rwx %s", quoted);
        g_autofree char *n = app_format_count(walk.n_open);
        app_doctor_add(doctor, APP_FINDING_PROBLEM, advice, _("%s of %s can be read by others (%s%s)"), n, what, walk.examples->str,
                       walk.n_open + walk.n_foreign > SHOWN_MAX ? ", …" : "");
    }
    if (walk.n_foreign > 0) {
        g_autofree char *n = app_format_count(walk.n_foreign);
        app_doctor_add(doctor, APP_FINDING_PROBLEM, _("Were they made with sudo? Give them back to yourself with chown."),
                       _("%s of %s belong to another user (%s)"), n, what,
                       walk.examples->str);
    }
    if (g_access(folder, R_OK | W_OK | X_OK) != 0)
        app_doctor_add(doctor, APP_FINDING_PROBLEM, RIGHTS_ADVICE, _("%s cannot be written"), folder);
    if (walk.n_open + walk.n_foreign == 0) app_doctor_add(doctor, APP_FINDING_GOOD, "", _("%s are readable by you alone (%s)"), what, folder);
    g_string_free(walk.examples, TRUE);
}

/* What is not there yet can be made only where the folder above it may be written. */
static void check_can_be_made(AppDoctor *doctor, const char *folder)
{
    g_autofree char *above = g_strdup(folder);
    while (!g_file_test(above, G_FILE_TEST_EXISTS)) {
        char *parent = g_path_get_dirname(above);
        g_free(above);
        above = parent;
    }
    if (strcmp(above, folder) != 0 && g_access(above, W_OK | X_OK) != 0)
        app_doctor_add(doctor, APP_FINDING_PROBLEM, RIGHTS_ADVICE, _("%s cannot be made: %s cannot be written"), folder, above);
}

void app_doctor_check_permissions(AppDoctor *doctor)
{
    check_can_be_made(doctor, doctor->options->data_folder);
    check_private(doctor, doctor->options->data_folder, _("the library's files"));
    check_private(doctor, app_paths_config(), _("the settings' files"));
}

/* --------------------------------------------------------------------------------------------------------------- library */

/* What SQLite finds wrong, at most a few lines; "" when nothing. NULL: it cannot be asked. */
static char *check_database(AppDb *db, GError **error)
{
    g_autoptr(GString) faults = g_string_new(NULL);
    sqlite3_stmt *statement = app_db_query(db, error, "SELECT integrity_check FROM pragma_integrity_check(3) WHERE integrity_check <> 'ok'", "");
    int code = statement != NULL ? 1 : -1;
    while (code == 1 && (code = app_db_step(db, statement, error)) == 1) {
        g_autofree char *line = app_db_dup_text(statement, 0);
        g_string_append_printf(faults, "%s%s", faults->len > 0 ? "; " : "", line);
    }
    return code == 0 ? g_strdup(faults->str) : NULL;
}

static void check_search_index(AppDoctor *doctor, const char *path)
{
    g_autoptr(GError) error = NULL;
    AppDb *db = app_db_open(path, false, &error);
    bool good = db != NULL && app_db_exec(db, "INSERT INTO passages_fts(passages_fts, rank) VALUES('integrity-check', 1)", &error);
    if (good)
        app_doctor_add(doctor, APP_FINDING_GOOD, "", _("the search index agrees with the texts"));
    else
        app_doctor_add(doctor, APP_FINDING_PROBLEM, _("Remove and read the documents again; their files are untouched."),
                       _("the search index is damaged: %s"), error->message);
    app_db_close(db);
}

static bool count(AppDb *db, const char *condition, unsigned long *ret_n, char **ret_text)
{
    int64_t n = 0;
    g_autofree char *sql = g_strconcat("SELECT count(*) FROM documents WHERE importer = '' AND ", condition, NULL);
    if (!app_db_get_int(db, NULL, 0, &n, sql, "")) return false;
    *ret_n = (unsigned long)n;
    *ret_text = app_format_count((uint64_t)n);
    return true;
}

static void count_states(AppDoctor *doctor, AppDb *db)
{
    unsigned long n = 0;
    g_autofree char *all = NULL, *unread = NULL, *failed = NULL;
    if (count(db, "1", &n, &all))
        app_doctor_add(doctor, APP_FINDING_GOOD, "", ngettext("%s document in the library", "%s documents in the library", n), all);
    if (count(db, "state IN (0, 1, 2, 3)", &n, &unread) && n > 0)
        app_doctor_add(doctor, APP_FINDING_NOTE, _("`lectern read` goes on with them."),
                       ngettext("%s document not read to the end", "%s documents not read to the end", n), unread);
    if (count(db, "state = 5", &n, &failed) && n > 0)
        app_doctor_add(doctor, APP_FINDING_NOTE, _("`lectern library list` says why."),
                       ngettext("%s document that could not be read", "%s documents that could not be read", n), failed);
}

/* Why a file or folder of the library may not be opened though it is not damaged; NULL: nothing of this machine stands in the way. */
static const char *find_obstacle(const AppDoctor *doctor, const char *path)
{
    if (g_access(path, R_OK | W_OK) != 0 || g_access(doctor->options->data_folder, W_OK | X_OK) != 0) return RIGHTS_ADVICE;
    bool is_full = doctor->free_bytes < SPACE_BYTES_MIN; /* SQLite wants a little, to look as well */
    return is_full ? _("Free some space: `lectern cache list` and `lectern model list` show what takes room.") : NULL;
}

void app_doctor_check_library(AppDoctor *doctor)
{
    if (!doctor->has_library) {
        app_doctor_add(doctor, APP_FINDING_GOOD, "", _("there is no library yet; `lectern read FILE` begins one in %s"),
                       doctor->options->data_folder);
        return;
    }
    g_autofree char *path = g_build_filename(doctor->options->data_folder, "library.sqlite", NULL), *faults = NULL;
    g_autoptr(GError) error = NULL;
    AppDb *db = app_db_open(path, true, &error);
    if (db != NULL) faults = check_database(db, &error);
    const char *obstacle = faults == NULL ? find_obstacle(doctor, path) : NULL;
    if (obstacle != NULL) {
        app_doctor_add(doctor, APP_FINDING_PROBLEM, obstacle, _("the library cannot be opened: %s"), error->message);
        app_db_close(db);
        return;
    }
    if (faults == NULL || faults[0] != '\0') {
        app_doctor_add(doctor, APP_FINDING_PROBLEM,
                       _("Keep a copy of the file. Then move it away, and read the documents again: caches are found again by their text. `sqlite3 library.sqlite .recover` may save conversations."),
                       _("the library %s is damaged: %s"), path, faults != NULL ? faults : error->message);
        app_db_close(db);
        return;
    }
    app_doctor_add(doctor, APP_FINDING_GOOD, "", _("the library is whole"));
    count_states(doctor, db);
    app_db_close(db);
    if (doctor->options->read_data) check_search_index(doctor, path);
}

/* ---------------------------------------------------------------------------------------------------------------- caches */

typedef struct Damage {
    GString *examples;
    unsigned n;
} Damage;

static void take_finding(void *user, const char *file, uint64_t offset, const char *what)
{
    Damage *damage = user;
    g_autofree char *words = app_format_note(what);
    if (damage->n++ < SHOWN_MAX) g_string_append_printf(damage->examples, "%s%s: %s", damage->examples->len > 0 ? "; " : "", file, words);
}

static void check_budget(AppDoctor *doctor, eng_cache *cache)
{
    uint64_t budget = eng_cache_get_budget(cache), used = eng_cache_used_bytes(cache);
    g_autofree char *limit = app_format_bytes(budget), *there = app_format_bytes(used), *free_text = app_format_bytes(doctor->free_bytes);
    bool tight = doctor->free_bytes > 0 && budget > used && budget - used > doctor->free_bytes;
    app_doctor_add(doctor, tight ? APP_FINDING_WARNING : APP_FINDING_GOOD,
                   tight ? _("`lectern cache limit SIZE` sets a lower limit, so that old states go before the disk is full.") : "",
                   tight ? _("saved states take %s of their limit of %s, and only %s are free on the disk") : _("saved states take %s of their limit of %s"), there,
                   limit, free_text);
}

static void check_leftovers(AppDoctor *doctor)
{
    g_autofree char *folder = g_build_filename(doctor->options->data_folder, "models", NULL);
    GDir *dir = g_dir_open(folder, 0, NULL);
    for (const char *entry; dir != NULL && (entry = g_dir_read_name(dir)) != NULL;) {
        if (!g_str_has_prefix(entry, APP_MODELS_BESIDE_PREFIX)) continue;
        g_autofree char *path = g_build_filename(folder, entry, NULL), *quoted = g_shell_quote(path), *advice = g_strdup_printf("rm -r %s", quoted);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        bool is_left = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0; /* whoever is at it holds a lock */
        if (fd >= 0) close(fd);
        if (!is_left) continue;
        app_doctor_add(doctor, APP_FINDING_WARNING, advice, _("an import that was cut off left something behind: %s"), path);
    }
    if (dir != NULL) g_dir_close(dir);
}

void app_doctor_check_caches(AppDoctor *doctor)
{
    check_leftovers(doctor);
    g_autofree char *folder = g_build_filename(doctor->options->data_folder, "cache", NULL);
    if (!doctor->has_library || !g_file_test(folder, G_FILE_TEST_IS_DIR)) {
        app_doctor_add(doctor, APP_FINDING_GOOD, "", _("there are no saved states yet"));
        return;
    }
    eng_cache *cache = NULL;
    eng_error error = {0};
    if (eng_cache_open(folder, NULL, &cache, &error) != ENG_OK) {
        g_autofree char *index = g_build_filename(folder, "index.sqlite", NULL);
        const char *obstacle = find_obstacle(doctor, index);
        g_autofree char *message = app_engine_dup_message(&error);
        app_doctor_add(doctor, APP_FINDING_PROBLEM,
                       obstacle != NULL ? obstacle : _("`lectern cache rebuild-index` makes the index anew from the files."),
                       _("the saved states cannot be opened: %s"), message);
        return;
    }
    Damage damage = {.examples = g_string_new(NULL)};
    eng_cache_report report = {0};
    bool read_data = doctor->options->read_data;
    if (eng_cache_check(cache, read_data, take_finding, NULL, &damage, doctor->options->cancel, &report, &error) != ENG_OK) {
        g_autofree char *message = app_engine_dup_message(&error);
        app_doctor_add(doctor, APP_FINDING_PROBLEM, "", _("the saved states cannot be checked: %s"), message);
    } else if (damage.n > 0) {
        app_doctor_add(doctor, APP_FINDING_PROBLEM,
                       read_data ? _("`lectern cache repair --read-data` deletes what is damaged; it is read again when needed.") : _("`lectern cache repair` deletes what is damaged; it is read again when needed."),
                       ngettext("the saved states are damaged in %u place: %s%s", "the saved states are damaged in %u places: %s%s", damage.n), damage.n,
                       damage.examples->str, damage.n > SHOWN_MAX ? "; …" : "");
    } else {
        g_autofree char *n_sections = app_format_count(report.n_records), *n_files = app_format_count(report.n_files);
        g_autofree char *sections = g_strdup_printf(ngettext("%s saved section", "%s saved sections", report.n_records), n_sections);
        g_autofree char *files = g_strdup_printf(ngettext("%s file", "%s files", report.n_files), n_files);
        app_doctor_add(doctor, APP_FINDING_GOOD, read_data ? "" : _("`lectern doctor --read-data` compares the checksums of all data too."),
                       _("%s in %s: whole"), sections,
                       files);
    }
    check_budget(doctor, cache);
    g_string_free(damage.examples, TRUE);
    eng_cache_close(cache);
}
