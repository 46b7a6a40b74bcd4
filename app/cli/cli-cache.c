/* cli-cache.c: `lectern cache`: what the saved states cost, whether they are whole, how much room they may take.
 *
 * Owns: list, check, repair, limit, pin, unpin, rebuild-index and how they look.
 * Does not own: the cache (eng.h), documents' titles (app-library.h).
 */
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>

#include "app-settings.h"
#include "app-storage.h"
#include "cli-internal.h"
#include "cli.h"
#include "eng.h"

static const char *const help =
    N_("Usage: lectern cache [list]\n"
       "       lectern cache check [--read-data]\n"
       "       lectern cache repair [--read-data]\n"
       "       lectern cache limit [SIZE]\n"
       "       lectern cache pin DOCUMENT…\n"
       "       lectern cache unpin DOCUMENT…\n"
       "       lectern cache rebuild-index\n"
       "What reading left on the disk, so that documents need not be read again.\n\n"
       "list           what each document takes, and when it was used last\n"
       "check          looks for damage, and changes nothing\n"
       "repair         looks for damage and deletes what is damaged; it is read again when it is needed\n"
       "limit          shows or sets how much room all may take (20GB, 500MB, 8GiB). Beyond it, what was used\n"
       "               least recently is deleted\n"
       "pin, unpin     a pinned document's states are never deleted to make room\n"
       "rebuild-index  makes the index anew from the files\n\n"
       "  --read-data      read all data and compare its checksums, not only the headers\n");

typedef struct CacheCommand {
    CliContext *context;
    AppLibrary *library;
    eng_cache *cache;
} CacheCommand;

static int fail(const eng_error *error)
{
    return error->status == ENG_CANCELLED ? CLI_INTERRUPTED : cli_fail_engine(error);
}

/* The title of a cache's document as the library knows it, else NULL. g_free. */
static char *title_of(const CacheCommand *command, const char *uid)
{
    g_autoptr(AppDocument) document = app_library_get_document_by_uid(command->library, uid, NULL);
    return document != NULL ? g_strdup(document->title) : NULL;
}

static char *date_text(int64_t time_s)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(time_s);
    return time != NULL ? g_date_time_format(time, "%Y-%m-%d %H:%M") : g_strdup("-");
}

/* ------------------------------------------------------------------------------------------------------------- list */

static json_t *entry_json(const eng_cache_entry *entry, const char *title)
{
    return json_pack("{s:s, s:s?, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:s}", "document", entry->document, "title", title, "model",
                     entry->model_name, "identity", entry->identity_digest, "sections", (json_int_t)entry->n_sections, "tokens",
                     (json_int_t)entry->n_tokens, "bytes", (json_int_t)entry->n_bytes, "created", (json_int_t)entry->created_s, "used",
                     (json_int_t)entry->used_s, "pinned", (int)entry->pinned, "damaged", (int)entry->damaged, "note", entry->note);
}

static bool collect_entry(void *user, const eng_cache_entry *entry)
{
    g_array_append_vals(user, entry, 1);
    return true;
}

static void print_entry(const CacheCommand *command, const eng_cache_entry *entry)
{
    g_autofree char *title = title_of(command, entry->document);
    if (command->context->json) {
        cli_print_json(entry_json(entry, title));
        return;
    }
    g_autofree char *safe = cli_safe_text(title != NULL ? title : entry->document), *name = cli_fit(safe, 36);
    g_autofree char *safe_model = cli_safe_text(entry->model_name), *model = cli_fit(safe_model, 20);
    g_autofree char *tokens = app_format_count(entry->n_tokens), *bytes = app_format_bytes(entry->n_bytes), *used = date_text(entry->used_s);
    printf("%s  %s  %11s  %9s  %s%s%s\n", name, model, tokens, bytes, used, entry->pinned ? "  pinned" : "",
           title == NULL ? "  (not in the library)" : "");
    g_autofree char *note = cli_safe_text(entry->note);
    if (note[0] != '\0') printf("    %s\n", note);
}

static int list(const CacheCommand *command)
{
    eng_error error;
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(eng_cache_entry));
    if (eng_cache_list(command->cache, collect_entry, entries, &error) != ENG_OK) return fail(&error);
    if (!command->context->json && entries->len > 0) {
        printf("%-36s  %-20s  %11s  %9s  %s\n", "DOCUMENT", "MODEL", "TOKENS", "SIZE", "LAST USED");
    }
    for (guint i = entries->len; i-- > 0;) print_entry(command, &g_array_index(entries, eng_cache_entry, i)); /* the newest first */
    if (command->context->json) return CLI_OK;
    if (entries->len == 0) printf("Nothing is saved yet; `lectern read FILE` fills the cache.\n");
    g_autofree char *used = app_format_bytes(eng_cache_used_bytes(command->cache));
    g_autofree char *limit = app_format_bytes(eng_cache_get_budget(command->cache));
    printf("%s%s of %s used\n", entries->len > 0 ? "\n" : "", used, limit);
    return CLI_OK;
}

/* ---------------------------------------------------------------------------------------------------- check and repair */

typedef struct Findings {
    CliProgress *progress;
    GPtrArray *lines; /* char*, for people */
    json_t *json;     /* array */
} Findings;

static void take_finding(void *user, const char *file, uint64_t offset, const char *what)
{
    Findings *findings = user;
    g_autofree char *words = app_format_note(what);
    g_ptr_array_add(findings->lines, g_strdup_printf("%s, byte %" G_GUINT64_FORMAT ": %s", file, offset, words));
    json_array_append_new(findings->json, json_pack("{s:s, s:I, s:s}", "file", file, "offset", (json_int_t)offset, "what", what));
}

static void take_progress(void *user, uint64_t done, uint64_t total)
{
    const Findings *findings = user;
    cli_progress_update(findings->progress, done, total);
}

static bool is_sound(const eng_cache_report *report)
{
    return report->n_damaged_files == 0 && report->n_damaged_records == 0 && report->n_missing_files == 0 && report->n_orphan_bytes == 0;
}

static json_t *report_json(const eng_cache_report *report)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "files", (json_int_t)report->n_files, "sections",
                     (json_int_t)report->n_records, "bytes", (json_int_t)report->n_bytes, "damaged_files", (json_int_t)report->n_damaged_files,
                     "damaged_sections", (json_int_t)report->n_damaged_records, "unindexed", (json_int_t)report->n_unindexed, "missing_files",
                     (json_int_t)report->n_missing_files, "orphan_bytes", (json_int_t)report->n_orphan_bytes, "sound",
                     (int)is_sound(report));
}

static void print_report(const eng_cache_report *report, const Findings *findings, bool repair, bool read_data)
{
    for (guint i = 0; i < findings->lines->len; i++) {
        g_autofree char *line = cli_safe_text(g_ptr_array_index(findings->lines, i));
        printf("%s\n", line);
    }
    g_autofree char *sections = app_format_count(report->n_records), *bytes = app_format_bytes(report->n_bytes);
    printf("%" G_GUINT64_FORMAT " file%s, %s sound section%s, %s%s\n", report->n_files, report->n_files == 1 ? "" : "s", sections,
           report->n_records == 1 ? "" : "s", bytes, read_data ? ", all data read" : ", headers only");
    if (is_sound(report)) {
        printf("No damage found.%s\n", read_data ? "" : " --read-data compares the checksums of all data too.");
    } else if (repair) {
        printf("What was damaged is deleted; `lectern read` reads it again.\n");
    } else {
        printf("Damage found. `lectern cache repair%s` deletes what is damaged; it is read again when it is needed.\n",
               read_data ? " --read-data" : "");
    }
    if (report->n_unindexed > 0) {
        printf("%" G_GUINT64_FORMAT " section(s) are not in the index yet; they are found all the same, and `lectern cache rebuild-index` adds them.\n",
               report->n_unindexed);
    }
}

static int check(const CacheCommand *command, int argc, char **argv, bool repair)
{
    gboolean read_data = FALSE;
    const GOptionEntry options[] = {{"read-data", 0, 0, G_OPTION_ARG_NONE, &read_data, NULL, NULL}, {NULL}};
    if (!cli_parse_options("cache", options, &argc, &argv)) return CLI_USAGE;
    if (argc > 1) return cli_usage("cache", _("“%s” is too much here"), argv[1]);
    eng_error error;
    eng_cache_report report;
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    Findings findings = {.progress = cli_progress_new(command->context, repair ? _("Repairing") : _("Checking"), "bytes"),
                         .lines = lines,
                         .json = json_array()};
    eng_status status = (repair ? eng_cache_repair : eng_cache_check)(command->cache, read_data, take_finding, take_progress, &findings,
                                                                      cli_cancel_flag(), &report, &error);
    cli_progress_finish(findings.progress);
    if (status != ENG_OK) {
        json_decref(findings.json);
        return fail(&error);
    }
    if (command->context->json) {
        json_t *object = report_json(&report);
        json_object_set_new(object, "findings", findings.json);
        cli_print_json(object);
    } else {
        print_report(&report, &findings, repair, read_data);
        json_decref(findings.json);
    }
    return repair || is_sound(&report) ? CLI_OK : CLI_FAILED;
}

/* --------------------------------------------------------------------------------------------------- limit, pins, index */

static int limit(const CacheCommand *command, int argc, char **argv)
{
    if (argc > 2) return cli_usage("cache", _("“%s” is too much here"), argv[2]);
    uint64_t bytes = 0, freed = 0;
    if (argc == 2) {
        if (!app_settings_parse_bytes(argv[1], &bytes)) return cli_usage("cache", _("“%s” is not a size; 20GB, 500MB and 8GiB are"), argv[1]);
        GError *error = NULL;
        g_autoptr(AppStorage) storage = app_storage_open(command->library, &error);
        if (storage == NULL || !app_storage_set_budget_bytes(storage, bytes, &freed, &error)) return cli_fail_error(error);
    }
    bytes = eng_cache_get_budget(command->cache);
    uint64_t used = eng_cache_used_bytes(command->cache);
    if (command->context->json) {
        cli_print_json(json_pack("{s:I, s:I, s:I}", "limit", (json_int_t)bytes, "used", (json_int_t)used, "freed", (json_int_t)freed));
        return CLI_OK;
    }
    g_autofree char *limit_text = app_format_bytes(bytes), *used_text = app_format_bytes(used), *freed_text = app_format_bytes(freed);
    printf("The limit is %s, %s are used", limit_text, used_text);
    if (freed > 0) printf("; %s were freed", freed_text);
    printf(".\n");
    return CLI_OK;
}

/* A document of the library, or a document's name in the cache that the library does not know any more. */
static char *resolve(const CacheCommand *command, const char *reference, GError **error)
{
    int64_t id = app_library_resolve_document(command->library, reference, error);
    g_autoptr(AppDocument) document = id >= 0 ? app_library_get_document(command->library, id, error) : NULL;
    if (document != NULL) return g_strdup(document->uid);
    eng_error cache_error;
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(eng_cache_entry));
    if (eng_cache_list(command->cache, collect_entry, entries, &cache_error) != ENG_OK) return NULL;
    for (guint i = 0; i < entries->len; i++) {
        if (strcmp(g_array_index(entries, eng_cache_entry, i).document, reference) != 0) continue;
        g_clear_error(error);
        return g_strdup(reference);
    }
    return NULL;
}

static int pin(const CacheCommand *command, int argc, char **argv, bool pinned)
{
    if (argc < 2) return cli_usage("cache", _("%s needs a document"), argv[0]);
    for (int i = 1; i < argc; i++) {
        GError *error = NULL;
        eng_error cache_error;
        g_autofree char *uid = resolve(command, argv[i], &error);
        if (uid == NULL) return error != NULL ? cli_fail_error(error) : cli_fail(_("no document “%s”"), argv[i]);
        if (eng_cache_pin(command->cache, uid, pinned, &cache_error) != ENG_OK) return fail(&cache_error);
        g_autofree char *title = title_of(command, uid), *safe = cli_safe_text(title != NULL ? title : uid);
        if (command->context->json) cli_print_json(json_pack("{s:s, s:b}", "document", uid, "pinned", (int)pinned));
        if (!command->context->json && !command->context->quiet) printf("%s  %s\n", pinned ? "pinned" : "unpinned", safe);
    }
    return CLI_OK;
}

static int rebuild_index(const CacheCommand *command)
{
    eng_error error;
    eng_cache_report report;
    if (eng_cache_rebuild_index(command->cache, &report, &error) != ENG_OK) return fail(&error);
    if (command->context->json) {
        cli_print_json(report_json(&report));
        return CLI_OK;
    }
    g_autofree char *sections = app_format_count(report.n_records), *bytes = app_format_bytes(report.n_bytes);
    printf("The index is made anew: %" G_GUINT64_FORMAT " file%s, %s sections, %s.\n", report.n_files, report.n_files == 1 ? "" : "s", sections, bytes);
    if (report.n_damaged_files > 0) printf("%" G_GUINT64_FORMAT " of them damaged: `lectern cache repair --read-data`.\n", report.n_damaged_files);
    return CLI_OK;
}

static int run(const CacheCommand *command, int argc, char **argv)
{
    const char *name = argv[0];
    bool alone = argc == 1;
    if (strcmp(name, "check") == 0 || strcmp(name, "repair") == 0) return check(command, argc, argv, name[0] == 'r');
    if (strcmp(name, "limit") == 0) return limit(command, argc, argv);
    if (strcmp(name, "pin") == 0 || strcmp(name, "unpin") == 0) return pin(command, argc, argv, name[0] == 'p');
    if (strcmp(name, "list") == 0 && alone) return list(command);
    if (strcmp(name, "rebuild-index") == 0 && alone) return rebuild_index(command);
    return alone ? cli_usage("cache", _("there is no “%s”"), name) : cli_usage("cache", _("“%s” is too much here"), argv[1]);
}

int cli_cache(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    char list_name[] = "list", *list_argv[] = {list_name, NULL};
    g_autoptr(AppLibrary) library = cli_open_library(context);
    if (library == NULL) return CLI_FAILED;
    CacheCommand command = {.context = context, .library = library};
    eng_error error;
    if (eng_cache_open(app_library_get_cache_folder(library), NULL, &command.cache, &error) != ENG_OK) return fail(&error);
    int result = argc > 1 ? run(&command, argc - 1, argv + 1) : run(&command, 1, list_argv);
    eng_cache_close(command.cache);
    return result;
}
