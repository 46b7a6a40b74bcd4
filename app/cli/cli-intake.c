/* cli-intake.c: files into the library on a thread of their own, for `lectern read`.
 *
 * Owns: the thread, its results in order, progress while the caller has nothing to read, asking for passwords.
 * Does not own: taking in (app-reader.h), reading (cli-read.c).
 */
#include "cli-intake.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli-internal.h"

enum { PASSWORD_TRIES = 3, WAIT_US = 100000, PASSWORD_BYTES_MAX = 1000 };

struct CliIntake {
    const CliContext *context;
    AppLibrary *library;
    AppAddOptions options;
    char **paths;
    GThread *thread;
    GAsyncQueue *results; /* CliTaken*; one without path is the end */
    GQueue *first;        /* CliTaken* that come before these: of a file that got its password */
    uint32_t n_left_out;
    bool ended;
    GMutex mutex; /* guards what is shown */
    char *shown;
    uint64_t done, total;
    uint32_t n_pages_done, n_pages; /* of the PDF in hand; 0: not one */
    CliProgress *progress;
    char *progress_of;
    bool progress_has_pages;
};

void cli_taken_clear(CliTaken *taken)
{
    g_free(taken->path);
    g_clear_error(&taken->error);
    *taken = (CliTaken){.document = -1};
}

static void taken_free(gpointer data)
{
    cli_taken_clear(data);
    g_free(data);
}

static CliTaken *new_taken(const AppAddedFile *file)
{
    CliTaken *taken = g_new0(CliTaken, 1);
    *taken = (CliTaken){g_strdup(file->path), file->document, file->added, file->error != NULL ? g_error_copy(file->error) : NULL};
    return taken;
}

static void on_bytes(void *user, uint64_t done, uint64_t total)
{
    CliIntake *intake = user;
    g_mutex_lock(&intake->mutex);
    intake->done = done;
    intake->total = total;
    g_mutex_unlock(&intake->mutex);
}

static void on_begin(void *user, const char *path, uint32_t n_files_done, uint32_t n_files)
{
    CliIntake *intake = user;
    g_mutex_lock(&intake->mutex);
    g_free(intake->shown);
    intake->shown = strcmp(path, "-") == 0 ? g_strdup("standard input") : g_filename_display_basename(path);
    intake->n_pages_done = intake->n_pages = 0;
    g_mutex_unlock(&intake->mutex);
}

static void on_pages(void *user, uint32_t n_done, uint32_t n_pages)
{
    CliIntake *intake = user;
    g_mutex_lock(&intake->mutex);
    intake->n_pages_done = n_done;
    intake->n_pages = n_pages;
    g_mutex_unlock(&intake->mutex);
}

static bool on_added(void *user, const AppAddedFile *file)
{
    g_async_queue_push(((CliIntake *)user)->results, new_taken(file));
    return true;
}

static gpointer take_in(gpointer user)
{
    CliIntake *intake = user;
    for (char **path = intake->paths; *path != NULL && !cli_interrupted(); path++) {
        on_begin(intake, *path, 0, 1);
        GError *error = NULL;
        uint32_t n_left_out = 0;
        guint64 before = intake->n_left_out;
        if (!app_reader_add_all(intake->library, *path, &intake->options, on_added, intake, &n_left_out, &error)) {
            const AppAddedFile failed = {.path = *path, .document = -1, .error = error};
            on_added(intake, &failed);
            g_clear_error(&error);
        }
        intake->n_left_out = (uint32_t)MIN(before + n_left_out, UINT32_MAX);
    }
    g_async_queue_push(intake->results, g_new0(CliTaken, 1));
    return NULL;
}

CliIntake *cli_intake_new(const CliContext *context, AppLibrary *library, const AppAddOptions *options, char **paths)
{
    CliIntake *intake = g_new0(CliIntake, 1);
    intake->context = context;
    intake->library = app_library_ref(library);
    intake->options = *options;
    intake->options.progress = on_bytes;
    intake->options.begin = on_begin;
    intake->options.pages = on_pages;
    intake->options.user = intake;
    intake->paths = paths;
    intake->results = g_async_queue_new_full(taken_free);
    intake->first = g_queue_new();
    g_mutex_init(&intake->mutex);
    intake->thread = g_thread_new("intake", take_in, intake);
    return intake;
}

uint32_t cli_intake_free(CliIntake *intake)
{
    g_thread_join(intake->thread);
    uint32_t n_left_out = intake->n_left_out;
    cli_progress_finish(intake->progress);
    g_queue_free_full(intake->first, taken_free);
    g_async_queue_unref(intake->results);
    g_mutex_clear(&intake->mutex);
    app_library_unref(intake->library);
    g_free(intake->shown);
    g_free(intake->progress_of);
    g_free(intake);
    return n_left_out;
}

/* What the thread is at, while there is nothing else to show: pages where it has any. */
static void show_progress(CliIntake *intake)
{
    g_mutex_lock(&intake->mutex);
    g_autofree char *shown = g_strdup(intake->shown);
    bool has_pages = intake->n_pages > 0;
    uint64_t done = has_pages ? intake->n_pages_done : intake->done, total = has_pages ? intake->n_pages : intake->total;
    g_mutex_unlock(&intake->mutex);
    if (shown == NULL) return;
    if (g_strcmp0(shown, intake->progress_of) != 0 || has_pages != intake->progress_has_pages) {
        g_autofree char *label = g_strdup_printf(_("Taking in %s"), shown);
        cli_progress_finish(intake->progress);
        intake->progress = cli_progress_new(intake->context, label, has_pages ? NC_("progress", "pages") : "bytes");
        g_free(intake->progress_of);
        intake->progress_of = g_steal_pointer(&shown);
        intake->progress_has_pages = has_pages;
    }
    cli_progress_update(intake->progress, done, total);
}

/* ------------------------------------------------------------------------------------------------------------ passwords */

/* Asks on the terminal without showing what is typed; NULL: nothing was. g_free. */
static char *ask_password(const char *path)
{
    g_autofree char *name = g_filename_display_basename(path), *safe = cli_safe_text(name);
    struct termios shown, hidden;
    bool is_hidden = tcgetattr(STDIN_FILENO, &shown) == 0;
    fprintf(stderr, _("Password of %s: "), safe);
    fflush(stderr);
    if (is_hidden) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    char line[PASSWORD_BYTES_MAX];
    char *got = fgets(line, sizeof line, stdin);
    if (is_hidden) tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fputc('\n', stderr);
    if (got != NULL) line[strcspn(line, "\r\n")] = '\0';
    char *password = got != NULL && line[0] != '\0' ? g_strdup(line) : NULL;
    explicit_bzero(line, sizeof line);
    return password;
}

static bool on_added_again(void *user, const AppAddedFile *file)
{
    g_queue_push_tail(user, new_taken(file));
    return true;
}

/* Takes in again what failed for want of a password. What comes of it stands in intake->first. */
static void retry_with_password(CliIntake *intake, CliTaken *failed)
{
    if (!g_file_test(failed->path, G_FILE_TEST_IS_REGULAR)) return; /* within an archive: --password-file is for that */
    for (int i = 0; i < PASSWORD_TRIES && g_error_matches(failed->error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_PASSWORD); i++) {
        g_autofree char *password = ask_password(failed->path);
        if (password == NULL || cli_interrupted()) return;
        AppAddOptions options = intake->options;
        options.password = password;
        options.progress = NULL;
        options.begin = NULL;
        options.pages = NULL;
        GQueue *again = g_queue_new();
        GError *error = NULL;
        app_reader_add_all(intake->library, failed->path, &options, on_added_again, again, NULL, &error);
        explicit_bzero(password, strlen(password));
        CliTaken *last = g_queue_peek_tail(again);
        bool is_wrong = last != NULL && g_error_matches(last->error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_PASSWORD);
        if (is_wrong || last == NULL) {
            g_clear_error(&failed->error);
            failed->error = last != NULL ? g_error_copy(last->error) : g_steal_pointer(&error);
            if (is_wrong && i + 1 < PASSWORD_TRIES) fprintf(stderr, _("lectern: that is not the password\n"));
        } else {
            cli_taken_clear(failed);
            while (!g_queue_is_empty(again)) g_queue_push_tail(intake->first, g_queue_pop_head(again));
        }
        g_clear_error(&error);
        g_queue_free_full(again, taken_free);
        if (failed->path == NULL) return;
    }
}

bool cli_read_password_file(const char *path, char **ret_password)
{
    char line[PASSWORD_BYTES_MAX];
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    bool is_read = file != NULL && fgets(line, sizeof line, file) != NULL;
    if (file != NULL && file != stdin) fclose(file);
    if (!is_read) {
        cli_fail(_("no password can be read from “%s”"), path);
        return false;
    }
    line[strcspn(line, "\r\n")] = '\0';
    *ret_password = g_strdup(line);
    explicit_bzero(line, sizeof line);
    return true;
}

/* ----------------------------------------------------------------------------------------------------------------- next */

static CliTaken *wait_for_next(CliIntake *intake)
{
    CliTaken *taken = g_queue_pop_head(intake->first);
    if (taken != NULL || intake->ended) return taken;
    while (taken == NULL && !cli_interrupted()) {
        taken = g_async_queue_timeout_pop(intake->results, WAIT_US);
        if (taken == NULL) show_progress(intake);
    }
    cli_progress_finish(g_steal_pointer(&intake->progress));
    g_clear_pointer(&intake->progress_of, g_free);
    if (taken == NULL || taken->path != NULL) return taken;
    intake->ended = true;
    taken_free(taken);
    return NULL;
}

bool cli_intake_next(CliIntake *intake, CliTaken *ret_taken)
{
    CliTaken *taken = wait_for_next(intake);
    bool can_ask = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    if (taken != NULL && can_ask && g_error_matches(taken->error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_PASSWORD)) {
        retry_with_password(intake, taken);
        if (taken->path == NULL) {
            taken_free(taken);
            return cli_intake_next(intake, ret_taken);
        }
    }
    if (taken == NULL) return false;
    *ret_taken = *taken;
    g_free(taken);
    return true;
}
