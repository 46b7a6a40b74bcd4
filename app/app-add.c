/* app-add.c: one source into the library: a file, standard input, a member of an archive.
 *
 * Owns: the way from a source to a document: is it known, which reader takes it, what its errors mean to the caller.
 * Does not own: sources (app-source.c), formats (app-text.c, extraction), the document's rows (app-import.c), sets of files
 *               (app-add-all.c).
 */
#include "app-add.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <string.h>
#include <unistd.h>

#include "app-extract.h"
#include "app-library-internal.h"
#include "app-text.h"

typedef struct Forward {
    const AppAddOptions *options;
    uint64_t n_bytes;
    bool has_pages; /* its parts are pages */
} Forward;

/* Pages or parts, told also as the share of the file's bytes that they are. */
static void forward_parts(void *user, uint32_t done, uint32_t total)
{
    const Forward *forward = user;
    if (forward->has_pages && forward->options->pages != NULL) forward->options->pages(forward->options->user, done, total);
    if (forward->options->progress != NULL && total > 0)
        forward->options->progress(forward->options->user, (uint64_t)((double)forward->n_bytes * done / total), forward->n_bytes);
}

bool app_add_translate_error(GError *problem, GError **error)
{
    static const struct {
        AppExtractError from;
        AppLibraryError to;
    } codes[] = {{APP_EXTRACT_ERROR_PASSWORD, APP_LIBRARY_ERROR_PASSWORD}, {APP_EXTRACT_ERROR_CANCELLED, APP_LIBRARY_ERROR_CANCELLED}};
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
        if (!g_error_matches(problem, APP_EXTRACT_ERROR, (gint)codes[i].from)) continue;
        g_set_error_literal(error, APP_LIBRARY_ERROR, codes[i].to, problem->message);
        g_error_free(problem);
        return false;
    }
    g_propagate_error(error, problem);
    return false;
}

static const char *ocr_languages(const AppAddOptions *options)
{
    if (!options->ocr) return NULL;
    return options->ocr_languages != NULL && options->ocr_languages[0] != '\0' ? options->ocr_languages : "eng";
}

/* PDF, EPUB, office files: through the locked process. A file without text is a document all the same, which says so. */
static bool extract_source(AppImport *import, const AppSource *source, const char *format, Forward *forward, GError **error)
{
    AppExtractOptions options = {.progress = forward_parts,
                                 .user = forward,
                                 .password = forward->options->password,
                                 .ocr_languages = strcmp(format, "pdf") == 0 ? ocr_languages(forward->options) : NULL};
    app_import_set_metadata(import, "ocr", options.ocr_languages);
    GError *problem = NULL;
    if (app_extract_file(source->fd, source->name, &options, forward->options->cancel, import, &problem)) return true;
    if (!g_error_matches(problem, APP_EXTRACT_ERROR, APP_EXTRACT_ERROR_NO_TEXT)) return app_add_translate_error(problem, error);
    app_import_set_note(import, problem->message);
    g_error_free(problem);
    return true;
}

static void forward_progress(void *user, uint64_t done, uint64_t total)
{
    const AppAddOptions *options = ((Forward *)user)->options;
    if (options->progress != NULL) options->progress(options->user, total / 4 + done / 4 * 3, total);
}

/* The name without its suffix: a better title than the name when the text has none. */
static char *title_from_name(const AppSource *source)
{
    if (strcmp(source->name, "standard input") == 0 && source->path[0] == '\0') return g_strdup("Standard input");
    const char *dot = strrchr(source->name, '.');
    return dot != NULL && dot != source->name ? g_strndup(source->name, (gsize)(dot - source->name)) : g_strdup(source->name);
}

static int64_t import_source(AppLibrary *library, const AppSource *source, const AppImportSource *known, const AppAddOptions *options,
                             AppImportOutcome *ret_outcome, GError **error)
{
    if (lseek(source->fd, 0, SEEK_SET) != 0) {
        app_source_fail(error, source, APP_LIBRARY_ERROR_FAILED, g_strerror(errno));
        return -1;
    }
    g_autoptr(AppImport) import = app_import_new(library, known, options->cancel, error);
    if (import == NULL) return -1;
    g_autofree char *title = title_from_name(source);
    app_import_set_title(import, title);
    Forward forward = {options, source->n_bytes, strcmp(known->format, "pdf") == 0};
    AppTextOptions text_options = {.encoding = source->encoding,
                                   .is_markdown = strcmp(known->format, "markdown") == 0,
                                   .cancel = options->cancel,
                                   .progress = forward_progress,
                                   .user = &forward,
                                   .total_bytes = source->n_bytes};
    bool is_text = strcmp(known->format, "text") == 0 || strcmp(known->format, "markdown") == 0;
    bool ok = is_text ? app_text_read(import, source->fd, source->name, &text_options, error)
                      : extract_source(import, source, known->format, &forward, error);
    if (!ok) return -1;
    if (options->title != NULL) app_import_set_title(import, options->title);
    int64_t document = -1;
    return app_import_finish(import, &document, ret_outcome, error) ? document : -1;
}

/* A known scan whose pictures were not looked at yet is read anew when text recognition is wanted now. */
static bool wants_recognition(AppLibrary *library, int64_t document, const AppAddOptions *options)
{
    if (!options->ocr || document == 0) return false;
    g_autoptr(AppDocument) known = app_library_get_document(library, document, NULL);
    return known != NULL && strstr(known->metadata, "\"image_pages\"") != NULL && strstr(known->metadata, "\"ocr\"") == NULL;
}

int64_t app_add_source(AppLibrary *library, const AppSource *source, const char *format, const AppAddOptions *options, AppAdded *ret_added,
                       GError **error)
{
    static const AppAdded added[] = {[APP_IMPORT_ADDED] = APP_ADDED_NEW,
                                     [APP_IMPORT_UNCHANGED] = APP_ADDED_UNCHANGED,
                                     [APP_IMPORT_MOVED] = APP_ADDED_MOVED,
                                     [APP_IMPORT_CHANGED] = APP_ADDED_CHANGED,
                                     [APP_IMPORT_DUPLICATE] = APP_ADDED_DUPLICATE};
    AppImportSource known = {source->path, source->name, source->hash, source->n_bytes, source->modified_s, format};
    int64_t document = -1;
    AppImportOutcome outcome = APP_IMPORT_ADDED;
    if (!app_import_lookup(library, &known, &document, &outcome, error)) return -1;
    bool is_here = outcome == APP_IMPORT_UNCHANGED || outcome == APP_IMPORT_MOVED;
    if (outcome == APP_IMPORT_ADDED || outcome == APP_IMPORT_CHANGED || (is_here && wants_recognition(library, document, options))) {
        document = import_source(library, source, &known, options, &outcome, error);
    } else if (options->title != NULL && !app_library_rename_document(library, document, options->title, error)) {
        return -1;
    }
    if (document < 0) return -1;
    if (options->collection != 0 && !app_library_collection_add(library, options->collection, document, error)) return -1;
    if (ret_added != NULL) *ret_added = added[outcome];
    return document;
}

int64_t app_reader_add_file(AppLibrary *library, const char *path, const AppAddOptions *options, AppAdded *ret_added, GError **error)
{
    static const AppAddOptions no_options;
    if (options == NULL) options = &no_options;
    AppSource source;
    const char *format = app_source_open(&source, library, path, options, error) ? app_source_format(&source, error) : NULL;
    int64_t document = -1;
    if (format != NULL && strcmp(format, "archive") == 0) {
        app_source_fail(error, &source, APP_LIBRARY_ERROR_INVALID, _("it is an archive of several files, not a document"));
    } else if (format != NULL) {
        document = app_add_source(library, &source, format, options, ret_added, error);
    }
    app_source_close(&source);
    return document;
}

bool app_reader_can_ocr(const char *languages, char **ret_reason)
{
    return app_extract_can_ocr(languages, ret_reason);
}
