/* ui-models-page.c: see ui-models-page.h.
 *
 * Looking at models (opening each), importing and downloading run on threads. One import or download at a time, shown in its own row with
 * amount, rate, time left; what was fetched of a download stays when it is paused, and is offered again.
 */
#define G_LOG_DOMAIN "ui-models-page"
#include "ui-models-page.h"

#include <glib/gi18n.h>
#include <string.h>

#include "app-calibration.h"
#include "app-download.h"
#include "app-model-details.h"
#include "app-models.h"
#include "ui-accessible.h"
#include "ui-calibration.h"
#include "ui-format.h"
#include "ui-job.h"
#include "ui-preferences.h"
#include "ui-settings-queue.h"

enum { PAGES_OF_A_BOOK = 300, TOKENS_A_PAGE = 420 };

struct _UiModelsPage {
    AdwPreferencesPage parent;
    UiContext *context;
    AdwPreferencesGroup *job_group, *installed, *catalogue;
    AdwActionRow *job_row;
    GtkProgressBar *job_bar;
    GtkButton *job_stop;
    AdwEntryRow *other;
    GtkCheckButton *group; /* never shown: with it, a single model's button is a radio button too */
    GPtrArray *installed_rows, *catalogue_rows;
    GHashTable *hidden; /* char*: models whose removal can be undone */
    UiJob *job;
    bool is_showing;
};

G_DEFINE_FINAL_TYPE(UiModelsPage, ui_models_page, ADW_TYPE_PREFERENCES_PAGE)

/* ----------------------------------------------------------------------------------------------------------------- list */

typedef struct Listed {
    AppModel *model;
    AppModelDetails *details; /* NULL: it cannot be opened */
    AppCalibration *calibration; /* NULL: never measured */
    char *problem;
} Listed;

typedef struct Listing {
    AppLibrary *library;
    GPtrArray *models;    /* Listed */
    GPtrArray *catalogue; /* AppCatalogueEntry; NULL: catalogue_problem */
    GPtrArray *begun;     /* AppDownloadState */
    char *catalogue_problem;
} Listing;

static void free_listed(gpointer data)
{
    Listed *listed = data;
    app_model_free(listed->model);
    app_model_details_free(listed->details);
    app_calibration_free(listed->calibration);
    g_free(listed->problem);
    g_free(listed);
}

static void free_listing(gpointer data)
{
    Listing *listing = data;
    app_library_unref(listing->library);
    g_free(listing->catalogue_problem);
    g_clear_pointer(&listing->models, g_ptr_array_unref);
    g_clear_pointer(&listing->catalogue, g_ptr_array_unref);
    g_clear_pointer(&listing->begun, g_ptr_array_unref);
    g_free(listing);
}

static void list(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Listing *listing = data;
    GError *error = NULL;
    const char *folder = app_library_get_folder(listing->library);
    g_autoptr(GPtrArray) models = app_models_list(folder);
    g_ptr_array_set_free_func(models, NULL); /* they move over */
    listing->models = g_ptr_array_new_with_free_func(free_listed);
    for (guint i = 0; i < models->len; i++) {
        Listed *listed = g_new0(Listed, 1);
        g_autoptr(GError) failure = NULL;
        listed->model = models->pdata[i];
        listed->details = app_model_describe(listing->library, listed->model->path, &failure);
        if (listed->details == NULL) listed->problem = g_strdup(failure->message);
        listed->calibration = app_calibration_load(folder, listed->model->name, NULL);
        g_ptr_array_add(listing->models, listed);
    }
    listing->catalogue = app_catalogue_load(&error);
    if (listing->catalogue == NULL) listing->catalogue_problem = g_strdup(error->message);
    g_clear_error(&error);
    listing->begun = app_download_list(folder);
    g_task_return_boolean(task, TRUE);
}

typedef struct Choice {
    UiModelsPage *page;
    char *name;
} Choice;

static void on_choice_kept(GObject *source, GAsyncResult *result, gpointer user)
{
    Choice *choice = user;
    g_autoptr(GError) error = NULL;
    if (g_task_propagate_boolean(G_TASK(result), &error)) ui_context_load_engine(UI_CONTEXT(source), choice->name);
    if (error != NULL) ui_preferences_say(GTK_WIDGET(choice->page), error->message);
    g_object_unref(choice->page);
    g_free(choice->name);
    g_free(choice);
}

static void on_chosen(UiModelsPage *self, GtkCheckButton *button)
{
    if (self->is_showing || !gtk_check_button_get_active(button)) return;
    const char *name = g_object_get_data(G_OBJECT(button), "model");
    Choice *choice = g_new0(Choice, 1);
    *choice = (Choice){.page = g_object_ref(self), .name = g_strdup(name)};
    ui_settings_queue_set(G_OBJECT(self->context), APP_SETTING_MODEL, name, on_choice_kept, choice);
}

static void reload(UiModelsPage *self);

static void reload_page(gpointer page)
{
    reload(page);
}

static bool remove_model(AppLibrary *library, const char *name, GError **error)
{
    return app_models_remove(app_library_get_folder(library), name, error);
}

static void on_remove_model(UiModelsPage *self, GtkButton *button)
{
    const char *name = g_object_get_data(G_OBJECT(button), "model");
    ui_preferences_remove(GTK_WIDGET(self), &(UiPreferencesRemoval){.context = self->context, .hidden = self->hidden, .key = name, .name = name,
                                                                    .remove = remove_model, .changed = reload_page});
}

static char *parameters_words(double n_parameters)
{
    return n_parameters < 1e9 ? g_strdup_printf(_("%.0f million parameters"), n_parameters / 1e6)
                              : g_strdup_printf(_("%.3g billion parameters"), n_parameters / 1e9);
}

static void add_fact(AdwExpanderRow *row, const char *title, const char *fact)
{
    GtkWidget *fact_row = adw_action_row_new();
    g_autofree char *escaped = g_markup_escape_text(fact, -1);
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(fact_row), title);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(fact_row), escaped);
    adw_expander_row_add_row(row, fact_row);
}

static void add_facts(AdwExpanderRow *row, const AppModelDetails *details)
{
    g_autofree char *attention = details->k_key < details->d
                                     ? g_strdup_printf(_("sparse: %u of %u features of each key, %u of each query; values %s"), details->k_key, details->d,
                                                       details->k_query, details->values)
                                     : g_strdup_printf(_("dense; values %s"), details->values);
    add_fact(row, _("Attention"), attention);
    g_autofree char *memory = ui_format_bytes(details->n_memory_bytes);
    g_autofree char *memory_words = g_strdup_printf(_("about %s"), memory);
    add_fact(row, _("Memory"), memory_words);
    g_autofree char *a_token = ui_format_bytes((uint64_t)details->cache_bytes_a_token);
    g_autofree char *a_book = ui_format_bytes((uint64_t)(details->cache_bytes_a_token * TOKENS_A_PAGE * PAGES_OF_A_BOOK));
    g_autofree char *disk = g_strdup_printf(_("%s a token; a book of %d pages takes about %s"), a_token, (int)PAGES_OF_A_BOOK, a_book);
    add_fact(row, _("Disk"), disk);
    if (details->read_tokens_per_s > 0) {
        g_autofree char *rate = ui_format_count((uint64_t)details->read_tokens_per_s);
        g_autofree char *time = ui_format_duration(TOKENS_A_PAGE * PAGES_OF_A_BOOK / details->read_tokens_per_s);
        g_autofree char *speed = g_strdup_printf(_("%s tokens a second, as measured here; such a book takes %s"), rate, time);
        add_fact(row, _("Reading"), speed);
    } else {
        add_fact(row, _("Reading"), _("not measured here yet: the first document read tells"));
    }
    add_fact(row, _("Several documents in one question"),
             details->reads_sections ? _("exact: it was trained to read sections by themselves") : _("by approximation; one document at a time is exact"));
}

static void on_measure(gpointer user, const char *model);

/* The model in use is loaded anew, as its cache is another one now. */
static void on_sparsity_chosen(gpointer user, const char *model)
{
    UiModelsPage *self = user;
    AppEngine *engine = ui_context_get_engine(self->context);
    if (engine != NULL && strcmp(app_engine_get_model_name(engine), model) == 0) ui_context_load_engine(self->context, model);
    else reload(self);
}

static void add_model(UiModelsPage *self, const Listed *listed, const char *chosen)
{
    const AppModel *model = listed->model;
    GtkWidget *row = adw_expander_row_new(), *radio = gtk_check_button_new();
    g_autofree char *title = g_markup_escape_text(model->name, -1), *bytes = ui_format_bytes(model->n_bytes);
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
    g_autofree char *subtitle = NULL;
    if (listed->details != NULL) {
        g_autofree char *parameters = parameters_words((double)listed->details->n_parameters);
        subtitle = g_strdup_printf("%s · %s%s%s", parameters, bytes, model->shipped ? " · " : "", model->shipped ? _("comes with Lectern") : "");
        add_facts(ADW_EXPANDER_ROW(row), listed->details);
        ui_calibration_add_rows(ADW_EXPANDER_ROW(row), app_library_get_folder(ui_context_get_library(self->context)), model->name,
                                listed->calibration, on_measure, on_sparsity_chosen, self);
    } else {
        subtitle = g_strdup_printf(_("Cannot be used: %s"), listed->problem);
    }
    g_autofree char *escaped = g_markup_escape_text(subtitle, -1);
    adw_expander_row_set_subtitle(ADW_EXPANDER_ROW(row), escaped);
    ui_accessible_name_expander(ADW_EXPANDER_ROW(row), model->name);
    gtk_check_button_set_group(GTK_CHECK_BUTTON(radio), self->group);
    gtk_widget_set_valign(radio, GTK_ALIGN_CENTER);
    gtk_widget_set_sensitive(radio, listed->details != NULL);
    g_autofree char *name = g_strdup_printf(_("Read and answer with %s"), model->name);
    gtk_accessible_update_property(GTK_ACCESSIBLE(radio), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    gtk_widget_set_tooltip_text(radio, name);
    g_object_set_data_full(G_OBJECT(radio), "model", g_strdup(model->name), g_free);
    gtk_check_button_set_active(GTK_CHECK_BUTTON(radio), g_strcmp0(chosen, model->name) == 0);
    g_signal_connect_object(radio, "toggled", G_CALLBACK(on_chosen), self, G_CONNECT_SWAPPED);
    adw_expander_row_add_prefix(ADW_EXPANDER_ROW(row), radio);
    if (!model->shipped) {
        GtkWidget *remove = gtk_button_new_from_icon_name("user-trash-symbolic");
        bool is_used = g_strcmp0(chosen, model->name) == 0;
        g_autofree char *words = is_used ? g_strdup_printf(_("%s is in use: choose another one to remove it"), model->name)
                                         : g_strdup_printf(_("Remove %s"), model->name);
        gtk_widget_set_sensitive(remove, !is_used);
        gtk_widget_add_css_class(remove, "flat");
        gtk_widget_set_valign(remove, GTK_ALIGN_CENTER);
        gtk_widget_set_tooltip_text(remove, words);
        gtk_accessible_update_property(GTK_ACCESSIBLE(remove), GTK_ACCESSIBLE_PROPERTY_LABEL, words, -1);
        g_object_set_data_full(G_OBJECT(remove), "model", g_strdup(model->name), g_free);
        g_signal_connect_object(remove, "clicked", G_CALLBACK(on_remove_model), self, G_CONNECT_SWAPPED);
        adw_expander_row_add_action(ADW_EXPANDER_ROW(row), remove);
    }
    g_object_set_data_full(G_OBJECT(row), "model", g_strdup(model->name), g_free);
    adw_preferences_group_add(self->installed, row);
    g_ptr_array_add(self->installed_rows, row);
}

static void on_download(UiModelsPage *self, GtkButton *button);

static const AppDownloadState *find_begun(const Listing *listing, const char *repository)
{
    for (guint i = 0; i < listing->begun->len; i++) {
        const AppDownloadState *state = listing->begun->pdata[i];
        if (strcmp(state->repository, repository) == 0) return state;
    }
    return NULL;
}

static void add_catalogue_entry(UiModelsPage *self, const Listing *listing, const AppCatalogueEntry *entry)
{
    GtkWidget *row = adw_action_row_new();
    const AppDownloadState *begun = find_begun(listing, entry->repository);
    g_autofree char *title = g_markup_escape_text(entry->title, -1), *bytes = ui_format_bytes(entry->n_bytes);
    GString *subtitle = g_string_new(NULL);
    g_autofree char *parameters = parameters_words(entry->n_parameters);
    g_string_append_printf(subtitle, "%s · %s · %s", parameters, bytes, entry->licence);
    if (entry->note[0] != '\0') g_string_append_printf(subtitle, " · %s", entry->note);
    if (begun != NULL) {
        g_autofree char *done = ui_format_bytes(begun->done_bytes), *total = ui_format_bytes(begun->total_bytes);
        g_string_append_c(subtitle, '\n');
        g_string_append_printf(subtitle, _("%s of %s are here"), done, total);
    }
    g_autofree char *escaped = g_markup_escape_text(subtitle->str, -1);
    g_string_free(subtitle, TRUE);
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(row), escaped);
    GtkWidget *button = gtk_button_new_with_mnemonic(begun != NULL ? _("_Go On") : _("_Download"));
    g_autofree char *name = g_strdup_printf(begun != NULL ? _("Go on downloading %s") : _("Download %s"), entry->title);
    gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    gtk_widget_set_valign(button, GTK_ALIGN_CENTER);
    g_object_set_data_full(G_OBJECT(button), "what", g_strdup(entry->name), g_free);
    g_signal_connect_object(button, "clicked", G_CALLBACK(on_download), self, G_CONNECT_SWAPPED);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row), button);
    adw_preferences_group_add(self->catalogue, row);
    g_ptr_array_add(self->catalogue_rows, row);
}

static void remove_rows(AdwPreferencesGroup *group, GPtrArray *rows)
{
    for (guint i = 0; i < rows->len; i++) adw_preferences_group_remove(group, rows->pdata[i]);
    g_ptr_array_set_size(rows, 0);
}

static GHashTable *list_open(UiModelsPage *self)
{
    GHashTable *open = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < self->installed_rows->len; i++) {
        GObject *row = self->installed_rows->pdata[i];
        if (adw_expander_row_get_expanded(ADW_EXPANDER_ROW(row))) g_hash_table_add(open, g_strdup(g_object_get_data(row, "model")));
    }
    return open;
}

static void show_listing(UiModelsPage *self, const Listing *listing)
{
    AppEngine *engine = ui_context_get_engine(self->context);
    g_autoptr(GHashTable) open = list_open(self); /* they stay open */
    self->is_showing = true;
    remove_rows(self->installed, self->installed_rows);
    for (guint i = 0; i < listing->models->len; i++) {
        const Listed *listed = listing->models->pdata[i];
        if (g_hash_table_contains(self->hidden, listed->model->name)) continue;
        add_model(self, listed, engine != NULL ? app_engine_get_model_name(engine) : NULL);
        AdwExpanderRow *row = self->installed_rows->pdata[self->installed_rows->len - 1];
        adw_expander_row_set_expanded(row, g_hash_table_contains(open, listed->model->name));
    }
    remove_rows(self->catalogue, self->catalogue_rows);
    for (guint i = 0; listing->catalogue != NULL && i < listing->catalogue->len; i++) {
        add_catalogue_entry(self, listing, listing->catalogue->pdata[i]);
    }
    if (listing->catalogue_problem != NULL) ui_preferences_say(GTK_WIDGET(self), listing->catalogue_problem);
    self->is_showing = false;
}

static void on_listed(GObject *source, GAsyncResult *result, gpointer user)
{
    UiModelsPage *self = UI_MODELS_PAGE(source);
    g_autoptr(GError) error = NULL;
    bool is_done = g_task_propagate_boolean(G_TASK(result), &error);
    if (self->context == NULL) return;
    if (is_done) show_listing(self, g_task_get_task_data(G_TASK(result)));
    else ui_preferences_say(GTK_WIDGET(self), error->message);
}

static void reload(UiModelsPage *self)
{
    Listing *listing = g_new0(Listing, 1);
    listing->library = app_library_ref(ui_context_get_library(self->context));
    ui_context_run(self->context, G_OBJECT(self), list, listing, free_listing, NULL, on_listed, NULL);
}

/* -------------------------------------------------------------------------------------------------- import and download */

typedef struct Work {
    char *folder;
    char *source; /* import */
    char *what;   /* download: a name of the catalogue, or OWNER/NAME */
    char *name;   /* out */
    UiJob *job;
    gint64 begun_us;
} Work;

static void free_work(gpointer data)
{
    Work *work = data;
    g_free(work->folder);
    g_free(work->source);
    g_free(work->what);
    g_free(work->name);
    g_free(work);
}

static void tell_imported(void *user, uint64_t done, uint64_t total)
{
    const Work *work = user;
    ui_job_set_bytes(work->job, work->begun_us, done, total);
}

static bool run_import(UiJob *job, gpointer data, GError **error)
{
    Work *work = data;
    work->job = job;
    work->begun_us = g_get_monotonic_time();
    work->name = app_models_import(work->folder, work->source, NULL, APP_MODEL_WEIGHTS_8_BITS, ui_job_cancel_flag(job), tell_imported, work, error);
    return work->name != NULL;
}

static void tell_downloaded(void *user, const AppDownloadProgress *from)
{
    Work *work = user;
    UiJobProgress progress = {.done = from->done_bytes, .total = from->total_bytes, .per_s = from->bytes_per_s,
                              .seconds_left = (double)from->seconds_left};
    const char *words = from->message != NULL ? from->message
                        : from->stage == APP_DOWNLOAD_LISTING ? _("asking for the list of files")
                        : from->stage == APP_DOWNLOAD_CHECKING ? _("comparing checksums")
                        : from->stage == APP_DOWNLOAD_CONVERTING ? _("storing it with 8 bits")
                        : from->stage == APP_DOWNLOAD_INSTALLING ? _("opening the model")
                                                                 : "";
    g_strlcpy(progress.words, words, sizeof progress.words);
    ui_job_set_progress(work->job, &progress);
}

static bool run_download(UiJob *job, gpointer data, GError **error)
{
    Work *work = data;
    work->job = job;
    g_autoptr(AppSettings) settings = ui_settings_queue_open(error);
    if (settings == NULL) return false;
    AppDownloadWish wish = {.what = work->what, .weights = APP_MODEL_WEIGHTS_8_BITS};
    work->name = app_download_run(work->folder, settings, &wish, tell_downloaded, work, ui_job_cancel_flag(job), error);
    return work->name != NULL;
}

static void on_progress(gpointer user, const UiJobProgress *progress)
{
    UiModelsPage *self = user;
    char *(*format)(uint64_t) = progress->counts ? ui_format_tokens : ui_format_bytes;
    g_autofree char *done = format(progress->done), *total = format(progress->total), *rate = format((uint64_t)progress->per_s);
    g_autofree char *left = progress->seconds_left >= 0 ? ui_format_duration(progress->seconds_left) : NULL;
    GString *words = g_string_new(NULL);
    g_string_append_printf(words, _("%s of %s"), done, total);
    if (progress->per_s > 0) g_string_append_printf(words, " · %s/s", rate);
    if (left != NULL) {
        g_string_append(words, " · ");
        g_string_append_printf(words, _("%s left"), left);
    }
    if (progress->words[0] != '\0') g_string_append_printf(words, " · %s", progress->words);
    g_autofree char *escaped = g_markup_escape_text(words->str, -1);
    g_string_free(words, TRUE);
    adw_action_row_set_subtitle(self->job_row, escaped);
    gtk_progress_bar_set_fraction(self->job_bar, progress->total > 0 ? (double)progress->done / (double)progress->total : 0);
}

static void on_work_done(gpointer user, gpointer data, const GError *error)
{
    UiModelsPage *self = user;
    self->job = NULL;
    gtk_widget_set_visible(GTK_WIDGET(self->job_group), FALSE);
    bool is_stopped = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) || g_error_matches(error, APP_MODELS_ERROR, APP_MODELS_ERROR_CANCELLED) ||
                      g_error_matches(error, APP_CALIBRATION_ERROR, APP_CALIBRATION_ERROR_CANCELLED);
    const Work *work = data;
    g_autofree char *words = error != NULL ? g_strdup(is_stopped ? NULL : error->message)
                             : work->name != NULL ? g_strdup_printf(_("“%s” can be chosen now"), work->name)
                                                  : g_strdup_printf(_("The sparsity of %s is measured"), work->what);
    reload(self);
    ui_preferences_end_work(GTK_WIDGET(self), words, error != NULL); /* the last: this may go with it */
}

static void start(UiModelsPage *self, UiJobWork run, Work *work, const char *title)
{
    static const UiJobHandlers handlers = {.progress = on_progress, .done = on_work_done};
    if (self->job != NULL) {
        ui_preferences_say(GTK_WIDGET(self), _("One at a time: stop the other one first, or wait for its end."));
        free_work(work);
        return;
    }
    g_autofree char *escaped = g_markup_escape_text(title, -1);
    work->folder = g_strdup(app_library_get_folder(ui_context_get_library(self->context)));
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(self->job_row), escaped);
    adw_action_row_set_subtitle(self->job_row, _("Beginning…"));
    gtk_progress_bar_set_fraction(self->job_bar, 0);
    gtk_widget_set_visible(GTK_WIDGET(self->job_group), TRUE);
    gtk_widget_grab_focus(GTK_WIDGET(self->job_stop)); /* and into view, from wherever it was asked for */
    ui_preferences_begin_work(GTK_WIDGET(self));
    self->job = ui_job_start(run, work, free_work, &handlers, self);
}

static void download(UiModelsPage *self, const char *what)
{
    Work *work = g_new0(Work, 1);
    work->what = g_strdup(what);
    g_autofree char *title = g_strdup_printf(_("Downloading %s"), what);
    start(self, run_download, work, title);
}

static void tell_measured(void *user, uint64_t done_tokens, uint64_t total_tokens)
{
    Work *work = user;
    UiJobProgress progress = {.done = done_tokens, .total = total_tokens, .seconds_left = -1};
    double seconds = (double)(g_get_monotonic_time() - work->begun_us) / 1e6;
    if (seconds > 0.5 && done_tokens > 0) progress.seconds_left = seconds * (double)(total_tokens - MIN(done_tokens, total_tokens)) / (double)done_tokens;
    progress.counts = true;
    ui_job_set_progress(work->job, &progress);
}

static bool run_measure(UiJob *job, gpointer data, GError **error)
{
    Work *work = data;
    work->job = job;
    work->begun_us = g_get_monotonic_time();
    AppCalibrationOptions options = {.cancel = ui_job_cancel_flag(job), .progress = tell_measured, .user = work};
    g_autoptr(AppCalibration) calibration = app_calibration_run(work->folder, work->what, &options, error);
    return calibration != NULL;
}

static void on_measure(gpointer user, const char *model)
{
    Work *work = g_new0(Work, 1);
    work->what = g_strdup(model);
    g_autofree char *title = g_strdup_printf(_("Measuring the sparsity of %s"), model);
    start(user, run_measure, work, title);
}

static void on_download(UiModelsPage *self, GtkButton *button)
{
    download(self, g_object_get_data(G_OBJECT(button), "what"));
}

static void on_other(UiModelsPage *self)
{
    g_autofree char *what = g_strstrip(g_strdup(gtk_editable_get_text(GTK_EDITABLE(self->other))));
    if (*what == '\0') return;
    gtk_editable_set_text(GTK_EDITABLE(self->other), "");
    download(self, what);
}

static void on_import_response(GtkNativeDialog *dialog, int response, gpointer user)
{
    UiModelsPage *self = user;
    g_autoptr(GFile) file = response == GTK_RESPONSE_ACCEPT ? gtk_file_chooser_get_file(GTK_FILE_CHOOSER(dialog)) : NULL;
    g_autofree char *path = file != NULL ? g_file_get_path(file) : NULL, *name = file != NULL ? g_file_get_basename(file) : NULL;
    g_object_unref(dialog);
    if (path == NULL) return;
    Work *work = g_new0(Work, 1);
    work->source = g_strdup(path);
    g_autofree char *title = g_strdup_printf(_("Importing %s"), name);
    start(self, run_import, work, title);
}

static void import(GtkWidget *widget, bool folder)
{
    GtkFileChooserNative *dialog =
        gtk_file_chooser_native_new(folder ? _("Import Model Folder") : _("Import Model File"), GTK_WINDOW(gtk_widget_get_root(widget)),
                                    folder ? GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER : GTK_FILE_CHOOSER_ACTION_OPEN, _("_Import"), NULL);
    if (!folder) {
        g_autoptr(GtkFileFilter) filter = gtk_file_filter_new();
        gtk_file_filter_set_name(filter, _("Models (GGUF, safetensors)"));
        gtk_file_filter_add_pattern(filter, "*.gguf");
        gtk_file_filter_add_pattern(filter, "*.safetensors");
        gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(dialog), filter);
    }
    gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(dialog), TRUE);
    g_signal_connect_object(dialog, "response", G_CALLBACK(on_import_response), widget, 0);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(dialog));
}

static void on_import_file(GtkWidget *widget, const char *name, GVariant *parameter)
{
    import(widget, false);
}

static void on_import_folder(GtkWidget *widget, const char *name, GVariant *parameter)
{
    import(widget, true);
}

static void on_job_stop(UiModelsPage *self)
{
    if (self->job != NULL) ui_job_stop(self->job);
}

/* ----------------------------------------------------------------------------------------------------------- the object */

GtkWidget *ui_models_page_new(UiContext *context)
{
    UiModelsPage *self = g_object_new(UI_TYPE_MODELS_PAGE, NULL);
    self->context = g_object_ref(context);
    g_signal_connect_object(context, "engine-changed", G_CALLBACK(reload), self, G_CONNECT_SWAPPED);
    reload(self);
    return GTK_WIDGET(self);
}

static void ui_models_page_dispose(GObject *object)
{
    UiModelsPage *self = UI_MODELS_PAGE(object);
    if (self->job != NULL) {
        ui_job_stop(self->job); /* a download goes on where it was when it is asked for again */
        ui_job_detach(self->job);
    }
    self->job = NULL;
    gtk_widget_dispose_template(GTK_WIDGET(self), UI_TYPE_MODELS_PAGE);
    g_clear_object(&self->context);
    g_clear_object(&self->group);
    G_OBJECT_CLASS(ui_models_page_parent_class)->dispose(object);
}

static void ui_models_page_finalize(GObject *object)
{
    UiModelsPage *self = UI_MODELS_PAGE(object);
    g_ptr_array_unref(self->installed_rows);
    g_ptr_array_unref(self->catalogue_rows);
    g_hash_table_unref(self->hidden);
    G_OBJECT_CLASS(ui_models_page_parent_class)->finalize(object);
}

static void ui_models_page_class_init(UiModelsPageClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_models_page_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_models_page_finalize;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/models-page.ui");
    gtk_widget_class_bind_template_child(widget_class, UiModelsPage, installed);
    gtk_widget_class_bind_template_child(widget_class, UiModelsPage, catalogue);
    gtk_widget_class_bind_template_child(widget_class, UiModelsPage, job_group);
    gtk_widget_class_bind_template_child(widget_class, UiModelsPage, job_row);
    gtk_widget_class_bind_template_child(widget_class, UiModelsPage, job_bar);
    gtk_widget_class_bind_template_child(widget_class, UiModelsPage, job_stop);
    gtk_widget_class_bind_template_child(widget_class, UiModelsPage, other);
    gtk_widget_class_bind_template_callback(widget_class, on_other);
    gtk_widget_class_bind_template_callback(widget_class, on_job_stop);
    gtk_widget_class_install_action(widget_class, "models.import-file", NULL, on_import_file);
    gtk_widget_class_install_action(widget_class, "models.import-folder", NULL, on_import_folder);
}

static void ui_models_page_init(UiModelsPage *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    self->group = GTK_CHECK_BUTTON(g_object_ref_sink(gtk_check_button_new()));
    self->installed_rows = g_ptr_array_new();
    self->catalogue_rows = g_ptr_array_new();
    self->hidden = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}
