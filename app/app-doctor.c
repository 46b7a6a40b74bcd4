/* app-doctor.c: see app-doctor.h.
 *
 * Owns: the order of the checks, those of the program and the machine: installation, settings, processor, GPU, disk, models.
 * Does not own: those of the user's files (app-doctor-files.c).
 */
#include "app-doctor-internal.h"

#include <fcntl.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "app-address.h"
#include "app-download.h"
#include "app-engine-internal.h"
#include "app-extract.h"
#include "app-format.h"
#include "app-http.h"
#include "app-models.h"
#include "app-paths.h"
#include "app-program.h"
#include "app-remote.h"
#include "app-render.h"
#include "eng.h"

#define LOCK_ADVICE _("Its locked process needs seccomp: an old or restricted kernel, or a container, may refuse it.")
#define DISK_LEAST_BYTES (UINT64_C(256) << 20)
#define DISK_LOW_BYTES (UINT64_C(2) << 30)

void app_finding_free(AppFinding *finding)
{
    if (finding == NULL) return;
    g_free(finding->text);
    g_free(finding->advice);
    g_free(finding);
}

const char *app_finding_level_text(AppFindingLevel level)
{
    static const char *const texts[] = {"good", "note", "warning", "problem"};
    return texts[level];
}

void app_doctor_add(AppDoctor *doctor, AppFindingLevel level, const char *advice, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    AppFinding *finding = g_new0(AppFinding, 1);
    finding->level = level;
    finding->area = doctor->area;
    finding->text = g_strdup_vprintf(format, arguments);
    finding->advice = g_strdup(advice);
    va_end(arguments);
    g_ptr_array_add(doctor->findings, finding);
}

bool app_doctor_is_stopped(const AppDoctor *doctor)
{
    return doctor->options->cancel != NULL && __atomic_load_n(doctor->options->cancel, __ATOMIC_RELAXED);
}

/* ---------------------------------------------------------------------------------------------------------- installation */

static void check_resource(AppDoctor *doctor, const char *name, const char *what)
{
    g_autofree char *path = g_build_filename(app_paths_resources(), name, NULL);
    if (g_access(path, R_OK) == 0)
        app_doctor_add(doctor, APP_FINDING_GOOD, "", _("%s is there"), what);
    else
        app_doctor_add(doctor, APP_FINDING_PROBLEM, _("Install Lectern again, or set LECTERN_RESOURCES to the folder that holds it."),
                       _("%s is missing: %s"), what, path);
}

static bool take_block(void *user, const AppExtractBlock *block, GError **error)
{
    g_string_append_len(user, block->text, (gssize)block->n_bytes);
    return true;
}

/* A file in memory, to be read from its beginning; -1: there is no room. */
static int open_bytes(const void *bytes, size_t n_bytes)
{
    int fd = memfd_create("page", MFD_CLOEXEC);
    if (fd < 0 || (write(fd, bytes, n_bytes) == (ssize_t)n_bytes && lseek(fd, 0, SEEK_SET) == 0)) return fd;
    close(fd);
    return -1;
}

/* A page through the locked process: that it starts, may lock itself up on this machine, and reads. */
static void check_extractor(AppDoctor *doctor)
{
    static const char page[] = "<!DOCTYPE html><html><body><p>Lectern reads this.</p></body></html>";
    static const AppExtractSink sink = {.block = take_block};
    g_autofree char *program = app_extract_find_program();
    if (program == NULL) {
        app_doctor_add(doctor, APP_FINDING_PROBLEM, _("Install Lectern again; plain text and Markdown can be read without it."),
                       _("lectern-extract, which reads PDF, EPUB, HTML and office files, is missing"));
        return;
    }
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    AppExtractOptions options = {.max_s = 20};
    int fd = open_bytes(page, sizeof page - 1);
    bool good = fd >= 0 && app_extract_run(fd, "page.html", &options, doctor->options->cancel, &sink, text, &error) &&
                strstr(text->str, "Lectern reads this") != NULL;
    if (fd >= 0) close(fd);
    if (good)
        app_doctor_add(doctor, APP_FINDING_GOOD, "", _("lectern-extract reads documents in its locked process"));
    else
        app_doctor_add(doctor, APP_FINDING_PROBLEM, LOCK_ADVICE,
                       _("lectern-extract (%s) does not work: %s"), program, error != NULL ? error->message : _("no text came back"));
}

/* A page of 8 by 8 points, its lower half black. */
static bool draws_a_page(AppDoctor *doctor, GError **error)
{
    enum { SIDE = 8 };
    static const char page[] = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
                               "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 8 8]/Contents 4 0 R>>endobj\n"
                               "4 0 obj<</Length 14>>stream\n0 0 8 4 re f  \nendstream endobj\n"
                               "xref\n0 5\n0000000000 65535 f \n0000000009 00000 n \n0000000052 00000 n \n0000000101 00000 n \n0000000175 00000 n \n"
                               "trailer<</Size 5/Root 1 0 R>>\nstartxref\n235\n%%EOF\n";
    int fd = open_bytes(page, sizeof page - 1);
    if (fd < 0) return false;
    AppRenderer *renderer = app_renderer_new(fd, "page.pdf");
    const AppRenderPart part = {.page_width = SIDE, .page_height = SIDE, .width = SIDE, .height = SIDE};
    g_autoptr(GBytes) pixels = app_renderer_render(renderer, &part, doctor->options->cancel, error);
    app_renderer_free(renderer);
    if (pixels == NULL) return false;
    const uint8_t *bytes = g_bytes_get_data(pixels, NULL);
    const size_t row = (size_t)SIDE * 4, column = (size_t)(SIDE / 2) * 4;
    return bytes[1 * row + column] == 255 && bytes[(SIDE - 2) * row + column] == 0;
}

static void check_renderer(AppDoctor *doctor)
{
    g_autofree char *program = app_program_find("lectern-render", "LECTERN_RENDER");
    g_autoptr(GError) error = NULL;
    if (program == NULL)
        app_doctor_add(doctor, APP_FINDING_PROBLEM, _("Install Lectern again; the text of PDFs can be read without it."),
                       _("lectern-render, which draws the pages of PDFs for the window, is missing"));
    else if (draws_a_page(doctor, &error))
        app_doctor_add(doctor, APP_FINDING_GOOD, "", _("lectern-render draws pages in its locked process"));
    else
        app_doctor_add(doctor, APP_FINDING_PROBLEM, LOCK_ADVICE, _("lectern-render (%s) does not work: %s"), program,
                       error != NULL ? error->message : _("what it drew is not the page"));
}

static void check_installation(AppDoctor *doctor)
{
    check_resource(doctor, "starter.safetensors", _("the starter model"));
    check_resource(doctor, "catalogue.json", _("the catalogue of models"));
    check_extractor(doctor);
    check_renderer(doctor);
    if (!app_http_has_certificates())
        app_doctor_add(doctor, APP_FINDING_WARNING, _("Only downloads and an encrypted second machine need them: install ca-certificates."),
                       _("this machine has no certificates to know others by"));
    g_autofree char *reason = NULL;
    if (app_extract_can_ocr(NULL, &reason))
        app_doctor_add(doctor, APP_FINDING_GOOD, "", _("Tesseract is there to read scanned pages (--ocr)"));
    else
        app_doctor_add(doctor, APP_FINDING_NOTE, _("Only needed for scanned pages: install tesseract-ocr and the data of your languages."),
                       _("scanned pages cannot be read: %s"),
                       reason != NULL ? reason : _("Tesseract is not installed"));
}

/* -------------------------------------------------------------------------------------------------------------- settings */

static void check_remote_setting(AppDoctor *doctor)
{
    g_autofree char *url = app_settings_get_text(doctor->settings, APP_SETTING_REMOTE_URL);
    bool enabled = app_settings_get_boolean(doctor->settings, APP_SETTING_REMOTE_ENABLED);
    g_autoptr(AppRemote) remote = app_remote_new(doctor->settings, NULL);
    if (enabled && remote == NULL) {
        app_doctor_add(doctor, APP_FINDING_PROBLEM, _("Set remote.url, or `lectern settings remote.enabled no`."),
                       _("a second machine shall answer, but none is set"));
    } else if (remote != NULL) {
        g_autofree char *words = app_remote_describe(remote);
        app_doctor_add(doctor, APP_FINDING_NOTE,
                       enabled ? _("`lectern settings remote.enabled no` keeps answers here; `--local` does for one question.") : "",
                       enabled ? _("a second machine is set, and answers by default. %s") : _("a second machine is set, used with --remote alone. %s"), words);
    } else {
        app_doctor_add(doctor, APP_FINDING_GOOD, "", _("nothing leaves this machine: no second machine is set"));
    }
}

static void check_settings(AppDoctor *doctor)
{
    if (doctor->settings == NULL) {
        app_doctor_add(doctor, APP_FINDING_PROBLEM, _("Mend that file, or remove it to begin anew."), "%s", doctor->settings_error->message);
        return;
    }
    g_autoptr(GPtrArray) faults = app_settings_list_faults(doctor->settings);
    for (guint i = 0; i < faults->len; i++)
        app_doctor_add(doctor, APP_FINDING_WARNING, _("`lectern settings` shows what is in force and changes it."), "%s",
                       (const char *)g_ptr_array_index(faults, i));
    if (faults->len == 0) app_doctor_add(doctor, APP_FINDING_GOOD, "", _("the settings are valid"));
    g_autofree char *endpoint = app_settings_get_text(doctor->settings, APP_SETTING_ENDPOINT);
    app_doctor_add(doctor, APP_FINDING_GOOD, "", _("models are downloaded from %s"), endpoint);
    check_remote_setting(doctor);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) catalogue = app_catalogue_load(&error);
    if (catalogue == NULL) app_doctor_add(doctor, APP_FINDING_WARNING, _("Mend your own catalogue, or remove it."), "%s", error->message);
    g_auto(GStrv) folders = app_settings_get_folders(doctor->settings, APP_SETTING_WATCH);
    for (size_t i = 0; folders[i] != NULL; i++)
        if (!g_file_test(folders[i], G_FILE_TEST_IS_DIR))
            app_doctor_add(doctor, APP_FINDING_WARNING, _("`lectern settings library.watch FOLDER…` sets others."),
                           _("the watched folder %s is not there"), folders[i]);
}

/* --------------------------------------------------------------------------------------------------------------- machine */

static void check_processor(AppDoctor *doctor)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    g_autofree char *bytes = app_format_bytes(memory);
    unsigned n = g_get_num_processors();
    const char *isa = kern_isa_name(), *note = kern_isa_note();
    bool slow = strcmp(isa, "portable") == 0;
    app_doctor_add(doctor, slow ? APP_FINDING_WARNING : APP_FINDING_GOOD, slow ? _("A processor with AVX2 or AVX-512 is several times faster.") : "",
                   ngettext("%u processor, %s of memory, computing with %s", "%u processors, %s of memory, computing with %s", n), n, bytes, isa);
    if (note[0] != '\0') app_doctor_add(doctor, APP_FINDING_WARNING, _("Look at LECTERN_ISA."), "%s", note);
}

static void check_gpu(AppDoctor *doctor, const char *model_path)
{
    eng_error error = {0};
    eng_model *model = NULL;
    eng_runtime *runtime = NULL;
    if (model_path == NULL || eng_model_open(model_path, NULL, &model, &error) != ENG_OK) return; /* said elsewhere */
    eng_runtime_options options = {.gpu = ENG_GPU_WANTED};
    if (eng_runtime_new(model, &options, &runtime, &error) == ENG_OK) {
        eng_gpu_info info;
        eng_runtime_get_gpu(runtime, &info);
        app_doctor_add(doctor, info.failed ? APP_FINDING_WARNING : APP_FINDING_GOOD, info.failed ? _("Everything works without it, slower.") : "",
                       "GPU: %s%s%s", info.name,
                       info.note[0] != '\0' ? "; " : "", info.note);
    } else {
        g_autofree char *message = app_engine_dup_message(&error);
        app_doctor_add(doctor, APP_FINDING_NOTE, "", _("%s; the processors do all"), message);
    }
    eng_runtime_free(runtime);
    eng_model_close(model);
}

static void check_disk(AppDoctor *doctor)
{
    struct statvfs info;
    if (statvfs(doctor->options->data_folder, &info) != 0 && statvfs(g_get_home_dir(), &info) != 0) return;
    uint64_t free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    g_autofree char *bytes = app_format_bytes(free_bytes);
    AppFindingLevel level = free_bytes < DISK_LEAST_BYTES ? APP_FINDING_PROBLEM : free_bytes < DISK_LOW_BYTES ? APP_FINDING_WARNING : APP_FINDING_GOOD;
    app_doctor_add(doctor, level, level != APP_FINDING_GOOD ? _("`lectern cache list` and `lectern model list` show what takes room.") : "",
                   _("%s are free in %s"), bytes,
                   doctor->options->data_folder);
    doctor->free_bytes = free_bytes;
    if (info.f_favail == 0 && info.f_files > 0)
        app_doctor_add(doctor, APP_FINDING_PROBLEM, _("Delete files that are not needed."), _("the disk takes no more files (no inodes are free)"));
}

/* ---------------------------------------------------------------------------------------------------------------- models */

static void check_model(AppDoctor *doctor, const AppModel *model)
{
    g_autofree char *memo = g_build_filename(doctor->options->data_folder, "model-digests", NULL);
    eng_model_options options = {.digest_memo_path = doctor->has_library ? memo : NULL};
    eng_error error = {0};
    eng_model *opened = NULL;
    g_autofree char *bytes = app_format_bytes(model->n_bytes);
    if (eng_model_open(model->path, &options, &opened, &error) != ENG_OK) {
        g_autofree char *message = app_engine_dup_message(&error), *advice = g_strdup_printf(_("`lectern model remove %s`, then download or import it again."), model->name);
        app_doctor_add(doctor, APP_FINDING_PROBLEM, model->shipped ? _("Install Lectern again.") : advice, _("the model %s does not open: %s"),
                       model->name, message);
        return;
    }
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    bool large = eng_model_get_info(opened)->file_bytes > memory / 10 * 9;
    app_doctor_add(doctor, large ? APP_FINDING_WARNING : APP_FINDING_GOOD, large ? _("Import it with --bits 8, or take a smaller one.") : "",
                   large ? _("the model %s opens (%s), but is larger than this machine's memory and will be slow") : _("the model %s opens (%s)"), model->name, bytes);
    eng_model_close(opened);
}

static void check_models(AppDoctor *doctor, const char *model_path, const GError *model_error)
{
    g_autoptr(GPtrArray) models = app_models_list(doctor->options->data_folder);
    for (guint i = 0; i < models->len && !app_doctor_is_stopped(doctor); i++) check_model(doctor, g_ptr_array_index(models, i));
    if (model_path == NULL)
        app_doctor_add(doctor, APP_FINDING_PROBLEM,
                       _("`lectern settings model.default NAME` sets another; `lectern model list` shows what there is."), "%s",
                       model_error->message);
    g_autoptr(GPtrArray) downloads = app_download_list(doctor->options->data_folder);
    for (guint i = 0; i < downloads->len; i++) {
        const AppDownloadState *state = g_ptr_array_index(downloads, i);
        g_autofree char *done = app_format_bytes(state->done_bytes), *total = app_format_bytes(state->total_bytes);
        g_autofree char *advice = g_strdup_printf(_("`lectern model download %s` goes on; `lectern model downloads --discard %s` deletes it."), state->repository, state->repository);
        app_doctor_add(doctor, APP_FINDING_NOTE, state->is_running ? "" : advice,
                       state->is_running ? _("the download of %s has %s of %s and is running") : _("the download of %s has %s of %s"), state->repository, done, total);
    }
}

/* --------------------------------------------------------------------------------------------------------------- network */

static void check_endpoint(AppDoctor *doctor)
{
    g_autofree char *endpoint = app_settings_get_text(doctor->settings, APP_SETTING_ENDPOINT), *proxy = app_settings_get_text(doctor->settings, APP_SETTING_PROXY);
    g_autoptr(AppHttp) http = app_http_new(proxy, (unsigned)app_settings_get_number(doctor->settings, APP_SETTING_TIMEOUT));
    while (g_str_has_suffix(endpoint, "/")) endpoint[strlen(endpoint) - 1] = '\0';
    g_autofree char *url = g_strconcat(endpoint, "/api/models?limit=1", NULL), *text = NULL;
    AppHttpRequest request = {.url = url, .accept = "application/json", .least_plain = APP_ADDRESS_LOOPBACK, .n_redirects_max = 3, .n_body_bytes_max = 4 << 20,
                              .total_s_max = 60, .cancel = doctor->options->cancel};
    g_auto(AppHttpReply) reply = {0};
    g_autoptr(GError) error = NULL;
    size_t n = 0;
    if (!app_http_fetch_text(http, &request, &reply, &text, &n, &error))
        app_doctor_add(doctor, APP_FINDING_WARNING, _("Only downloads of models need it. Look at the settings download.endpoint and network.proxy."),
                       "%s", error->message);
    else if (reply.status != 200)
        app_doctor_add(doctor, APP_FINDING_WARNING, _("Look at the setting download.endpoint."), _("%s answers with status %ld"), endpoint,
                       reply.status);
    else
        app_doctor_add(doctor, APP_FINDING_GOOD, "", _("%s answers"), endpoint);
}

static void check_network(AppDoctor *doctor)
{
    if (doctor->settings == NULL) return;
    check_endpoint(doctor);
    g_autoptr(AppRemote) remote = app_remote_new(doctor->settings, NULL);
    if (remote == NULL) return;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) models = app_remote_check(remote, doctor->options->cancel, &error);
    if (models == NULL)
        app_doctor_add(doctor, APP_FINDING_PROBLEM, _("Look at the settings remote.url and remote.key, and whether the server runs."), "%s",
                       error->message);
    else
        app_doctor_add(doctor, APP_FINDING_GOOD, "",
                       models->len > 1 ? _("the second machine (%s) answers and has %s and others") : _("the second machine (%s) answers and has %s"),
                       app_remote_get_host(remote), (const char *)g_ptr_array_index(models, 0));
}

/* ------------------------------------------------------------------------------------------------------------------- run */

/* Names the area of what follows; false: stopped. */
static bool begin(AppDoctor *doctor, const char *area)
{
    doctor->area = area;
    if (app_doctor_is_stopped(doctor)) return false;
    if (doctor->options->progress != NULL) doctor->options->progress(doctor->options->user, area);
    return true;
}

GPtrArray *app_doctor_run(const AppDoctorOptions *options)
{
    AppDoctor doctor = {.options = options, .findings = g_ptr_array_new_with_free_func((GDestroyNotify)app_finding_free)};
    g_autofree char *library = g_build_filename(options->data_folder, "library.sqlite", NULL);
    doctor.has_library = g_file_test(library, G_FILE_TEST_EXISTS);
    doctor.settings = app_settings_open(NULL, &doctor.settings_error);
    g_autofree char *model = doctor.settings != NULL ? app_settings_get_text(doctor.settings, APP_SETTING_MODEL) : g_strdup("");
    g_autoptr(GError) model_error = NULL;
    const char *wanted = options->model != NULL ? options->model : model[0] != '\0' ? model : NULL;
    g_autofree char *model_path = app_models_find(options->data_folder, wanted, &model_error);
    if (begin(&doctor, NC_("doctor", "installation"))) check_installation(&doctor);
    if (begin(&doctor, NC_("doctor", "settings"))) check_settings(&doctor);
    if (begin(&doctor, NC_("doctor", "machine"))) {
        check_processor(&doctor);
        check_disk(&doctor);
        check_gpu(&doctor, model_path);
    }
    if (begin(&doctor, NC_("doctor", "permissions"))) app_doctor_check_permissions(&doctor);
    if (begin(&doctor, NC_("doctor", "library"))) app_doctor_check_library(&doctor);
    if (begin(&doctor, NC_("doctor", "models"))) check_models(&doctor, model_path, model_error);
    if (begin(&doctor, NC_("doctor", "caches"))) app_doctor_check_caches(&doctor);
    if (options->connect && begin(&doctor, NC_("doctor", "network"))) check_network(&doctor);
    app_settings_free(doctor.settings);
    g_clear_error(&doctor.settings_error);
    return doctor.findings;
}
