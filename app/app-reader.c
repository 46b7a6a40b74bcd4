/* app-reader.c: reading a document with a model, section by section.
 *
 * Owns: the job: which sections are cached, batches, progress and rate, what the library says of the document meanwhile.
 * Does not own: cutting (app-sections.c), computing and storing states (engine/), the queue (app-read-queue.c).
 *
 * A section is either in the cache or not: an interruption anywhere loses the batch in progress and nothing else, and the next call goes
 * on with what is missing. Nothing here grows with the document but the list of its sections.
 */
#include "app-reader.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>

#include "app-engine-internal.h"
#include "app-format.h"
#include "app-sections.h"

enum {
    BATCH_SECTIONS = 16,
    BATCH_TOKENS = 4096, /* several short sections are computed as one batch */
    PROGRESS_MS = 20,
};

typedef struct Job {
    AppEngine *engine;
    AppLibrary *library;
    const eng_model *model;
    const bool *cancel;
    GError **error;
    int64_t document;
    const char *rule;
    GPtrArray *sections; /* AppSection */
    eng_store *store;
    bool is_continuous;
    eng_digest prefix;   /* continuous mode: of all sections so far */
    bool has_prefix;
    GArray *before;      /* continuous mode: eng_section */
    GArray *digests;     /* of all sections so far: what the cache keeps */
    AppReadProgressFn progress;
    void *user;
    AppReadProgress now;
    int64_t shown_us;
    double busy_s;       /* computing */
    char *note;          /* what failed, untranslated: it is kept, for readers in any language; NULL: nothing, or not known */
    AppReadResult result;
} Job;

static bool engine_failed(Job *job, eng_status status, const eng_error *engine_error)
{
    app_engine_set_error(job->error, status, engine_error);
    g_free(job->note);
    job->note = app_engine_make_note(engine_error);
    return false;
}

static bool is_cancelled(const bool *cancel, GError **error)
{
    if (cancel == NULL || !__atomic_load_n(cancel, __ATOMIC_RELAXED)) return false;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Stopped"));
    return true;
}

/* In one go a model reads no more than its context: better said before hours of reading than after. */
static bool check_length(Job *job, const AppDocument *document)
{
    const eng_model_info *info = eng_model_get_info(job->model);
    if (!job->is_continuous || job->now.tokens_total <= info->n_context) return true;
    g_autofree char *tokens = app_format_count(job->now.tokens_total), *most = app_format_count(info->n_context);
    const char *arguments[] = {document->title, tokens, info->name, most, info->name};
    job->note = app_format_make_note(N_("“%s” has %s tokens, and %s reads up to %s in one go. Section by section it reads any length, which is an "
                                        "approximation: `lectern model sections %s independent`"), arguments, G_N_ELEMENTS(arguments));
    g_autofree char *message = app_format_note(job->note);
    g_set_error_literal(job->error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, message);
    return false;
}

static bool open_job(Job *job)
{
    if (!app_sections_ensure(job->library, job->document, job->model, job->cancel, NULL, job->error)) return false;
    g_autoptr(AppDocument) document = app_library_get_document(job->library, job->document, job->error);
    if (document == NULL) return false;
    job->sections = app_library_list_sections(job->library, job->document, job->rule, job->error);
    if (job->sections == NULL) return false;
    eng_error engine_error;
    eng_status status = eng_store_open(app_engine_get_cache(job->engine), job->model, document->uid, &job->store, &engine_error);
    if (status != ENG_OK) return engine_failed(job, status, &engine_error);
    job->before = g_array_new(FALSE, FALSE, sizeof(eng_section));
    job->digests = g_array_new(FALSE, FALSE, sizeof(eng_digest));
    job->is_continuous = eng_model_get_info(job->model)->section_mode == ENG_SECTIONS_CONTINUOUS;
    job->now.document = job->document;
    job->now.seconds_left = -1;
    job->now.sections_total = job->sections->len;
    for (guint i = 0; i < job->sections->len; i++) job->now.tokens_total += ((AppSection *)g_ptr_array_index(job->sections, i))->n_tokens;
    return check_length(job, document);
}

static void close_job(Job *job)
{
    eng_store_close(job->store);
    if (job->sections != NULL) g_ptr_array_unref(job->sections);
    if (job->before != NULL) g_array_unref(job->before);
    if (job->digests != NULL) g_array_unref(job->digests);
    g_free(job->note);
}

/* Is this section in the cache? ENG_OK, ENG_MISS, or a failure. In continuous mode *ret_found is what later ones attend to. */
static eng_status find_section(Job *job, const uint32_t *ids, uint32_t n_tokens, eng_section *ret_found, eng_error *engine_error)
{
    return eng_store_find(job->store, job->is_continuous && job->has_prefix ? &job->prefix : NULL, ids, n_tokens, ENG_VERIFY_NOT, ret_found, engine_error);
}

/* Goes on to the next section: its digest is kept, and in continuous mode becomes the next one's prefix. */
static void pass_section(Job *job, const uint32_t *ids, uint32_t n_tokens)
{
    eng_digest digest;
    eng_ids_digest(job->is_continuous && job->has_prefix ? &job->prefix : NULL, ids, n_tokens, &digest);
    g_array_append_val(job->digests, digest);
    if (!job->is_continuous) return;
    job->prefix = digest;
    job->has_prefix = true;
}

static void show_progress(Job *job, bool always)
{
    int64_t now = g_get_monotonic_time();
    if (job->progress == NULL || (!always && now - job->shown_us < PROGRESS_MS * 1000)) return;
    job->shown_us = now;
    if (job->now.tokens_per_s > 0) {
        job->now.seconds_left = (double)(job->now.tokens_total - job->now.tokens_done) / job->now.tokens_per_s;
    }
    job->progress(job->user, &job->now);
}

/* ---------------------------------------------------------------------------------------------------------------- batches */

typedef struct Batch {
    size_t n;
    uint64_t n_tokens;
    eng_record *records[BATCH_SECTIONS]; /* NULL once committed */
    uint32_t *ids[BATCH_SECTIONS];
    eng_read_job jobs[BATCH_SECTIONS];
    uint32_t ordinals[BATCH_SECTIONS];
} Batch;

static void clear_batch(Batch *batch)
{
    for (size_t i = 0; i < batch->n; i++) {
        eng_record_free(batch->records[i]);
        g_free(batch->ids[i]);
    }
    batch->n = 0;
    batch->n_tokens = 0;
}

static bool add_to_batch(Job *job, Batch *batch, uint32_t ordinal, uint32_t *ids, uint32_t n_tokens)
{
    eng_error engine_error;
    eng_record *record = NULL;
    const eng_digest *prefix = job->is_continuous && job->has_prefix ? &job->prefix : NULL;
    eng_status status = eng_record_begin(job->store, prefix, ids, n_tokens, &record, &engine_error);
    if (status != ENG_OK) {
        g_free(ids);
        return engine_failed(job, status, &engine_error);
    }
    size_t at = batch->n++;
    batch->records[at] = record;
    batch->ids[at] = ids;
    batch->ordinals[at] = ordinal;
    batch->n_tokens += n_tokens;
    batch->jobs[at] = (eng_read_job){.ids = ids,
                                     .n_tokens = n_tokens,
                                     .blocks = eng_record_blocks(record),
                                     .before = (const eng_section *)(void *)job->before->data,
                                     .n_before = job->before->len,
                                     .first_position = UINT32_MAX};
    return true;
}

/* Computes and stores a batch. */
static bool run_batch(Job *job, Batch *batch)
{
    if (batch->n == 0) return true;
    eng_error engine_error;
    int64_t began = g_get_monotonic_time();
    eng_runtime *runtime = app_engine_acquire(job->engine, job->cancel);
    eng_status status = eng_read(runtime, batch->jobs, batch->n, &engine_error);
    app_engine_release(job->engine);
    for (size_t i = 0; status == ENG_OK && i < batch->n; i++) {
        status = eng_record_commit(batch->records[i], &engine_error);
        batch->records[i] = NULL;
    }
    if (status != ENG_OK) return engine_failed(job, status, &engine_error);
    double seconds = (double)(g_get_monotonic_time() - began) / 1e6, rate = (double)batch->n_tokens / MAX(seconds, 1e-6);
    job->busy_s += seconds;
    job->now.tokens_per_s = job->now.tokens_per_s == 0 ? rate : 0.7 * job->now.tokens_per_s + 0.3 * rate;
    job->result.n_sections_computed += (uint32_t)batch->n;
    job->result.n_tokens_computed += batch->n_tokens;
    job->now.sections_done += (uint32_t)batch->n;
    job->now.tokens_done += batch->n_tokens;
    show_progress(job, false);
    return app_library_mark_sections(job->library, job->document, job->rule, batch->ordinals, batch->n, true, job->error);
}

/* After a batch of one in continuous mode: its states are what the next section attends to. */
static bool extend_before(Job *job, const uint32_t *ids, uint32_t n_tokens, eng_section *found)
{
    if (found->ids == NULL) {
        eng_error engine_error;
        eng_status status = find_section(job, ids, n_tokens, found, &engine_error);
        if (status != ENG_OK) return engine_failed(job, status, &engine_error);
    }
    g_array_append_vals(job->before, found, 1);
    return true;
}

static bool read_sections(Job *job, Batch *batch)
{
    for (guint i = 0; i < job->sections->len; i++) {
        const AppSection *section = g_ptr_array_index(job->sections, i);
        if (is_cancelled(job->cancel, job->error)) return false;
        uint32_t n_tokens = 0;
        uint32_t *ids = app_library_get_section_ids(job->library, job->document, job->rule, section->ordinal, &n_tokens, job->error);
        if (ids == NULL) return false;
        eng_section found = {0};
        eng_error engine_error;
        eng_status status = find_section(job, ids, n_tokens, &found, &engine_error);
        if (status != ENG_OK && status != ENG_MISS) {
            g_free(ids);
            return engine_failed(job, status, &engine_error);
        }
        g_autofree uint32_t *own_ids = g_memdup2(ids, n_tokens * sizeof *ids);
        bool ok = true;
        if (status == ENG_OK) {
            g_free(ids);
            job->now.sections_done++;
            job->now.tokens_done += n_tokens;
            if (!section->is_read) ok = app_library_mark_sections(job->library, job->document, job->rule, &section->ordinal, 1, true, job->error);
        } else {
            bool is_full = batch->n == BATCH_SECTIONS || (batch->n > 0 && batch->n_tokens + n_tokens > BATCH_TOKENS);
            if (is_full) {
                ok = run_batch(job, batch);
                clear_batch(batch);
            }
            if (!ok) g_free(ids);
            ok = ok && add_to_batch(job, batch, section->ordinal, ids, n_tokens);
            if (ok && job->is_continuous) {
                ok = run_batch(job, batch);
                clear_batch(batch);
            }
        }
        ok = ok && (!job->is_continuous || extend_before(job, own_ids, n_tokens, &found));
        if (!ok) return false;
        pass_section(job, own_ids, n_tokens);
        show_progress(job, false);
    }
    return run_batch(job, batch);
}

/* What the cache no longer needs goes, the rest becomes durable. */
static bool settle(Job *job)
{
    eng_error engine_error;
    eng_status status = eng_store_sync(job->store, &engine_error);
    if (status == ENG_OK) {
        status = eng_store_keep_only(job->store, (const eng_digest *)(void *)job->digests->data, job->digests->len, &engine_error);
    }
    return status == ENG_OK || engine_failed(job, status, &engine_error);
}

static char *rate_name(AppEngine *engine)
{
    return g_strdup_printf("rate %s", app_engine_get_model_name(engine));
}

static void end_read(Job *job, bool ok)
{
    GError *failure = !ok && job->error != NULL ? *job->error : NULL;
    bool stopped = g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
                   g_error_matches(failure, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_CANCELLED);
    bool no_space = g_error_matches(failure, APP_ENGINE_ERROR, ENG_NO_SPACE) ||
                    g_error_matches(failure, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NO_SPACE);
    AppDocumentState state = ok ? APP_DOCUMENT_READY : stopped || no_space ? APP_DOCUMENT_PAUSED : APP_DOCUMENT_FAILED;
    const char *note = ok || stopped || failure == NULL ? "" : job->note != NULL ? job->note : failure->message;
    app_library_set_document_state(job->library, job->document, state, note, NULL);
    if (job->result.n_tokens_computed >= BATCH_TOKENS && job->busy_s > 0) {
        g_autofree char *name = rate_name(job->engine);
        char rate[G_ASCII_DTOSTR_BUF_SIZE];
        app_library_set_setting(job->library, name, g_ascii_dtostr(rate, sizeof rate, (double)job->result.n_tokens_computed / job->busy_s));
    }
}

bool app_reader_read(AppEngine *engine, int64_t document, const bool *cancel, AppReadProgressFn progress, void *user,
                     AppReadResult *ret_result, GError **error)
{
    GError *failure = NULL;
    Job job = {.engine = engine,
               .library = app_engine_get_library(engine),
               .model = app_engine_get_model(engine),
               .cancel = cancel,
               .error = &failure,
               .document = document,
               .rule = app_engine_get_section_rule(engine),
               .progress = progress,
               .user = user};
    int64_t began = g_get_monotonic_time();
    g_autoptr(AppDocument) known = app_library_get_document(job.library, document, error);
    if (known == NULL) return false;
    if (known->state == APP_DOCUMENT_NO_TEXT) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, _("“%s” has no text to read"), known->title);
        return false;
    }
    bool ok = app_library_set_document_state(job.library, document, APP_DOCUMENT_READING, "", &failure) && open_job(&job);
    if (ok) {
        show_progress(&job, true);
        Batch batch = {0};
        ok = read_sections(&job, &batch);
        clear_batch(&batch);
        ok = ok && settle(&job);
        if (ok) show_progress(&job, true);
    }
    end_read(&job, ok);
    job.result.n_sections = job.now.sections_total;
    job.result.n_tokens = job.now.tokens_total;
    job.result.seconds = (double)(g_get_monotonic_time() - began) / 1e6;
    if (ret_result != NULL) *ret_result = job.result;
    close_job(&job);
    if (!ok) g_propagate_error(error, failure);
    return ok;
}

bool app_reader_plan(AppEngine *engine, int64_t document, double tokens_per_s, const bool *cancel, AppReadPlan *ret_plan, GError **error)
{
    Job job = {.engine = engine,
               .library = app_engine_get_library(engine),
               .model = app_engine_get_model(engine),
               .cancel = cancel,
               .error = error,
               .document = document,
               .rule = app_engine_get_section_rule(engine)};
    AppReadPlan plan = {0};
    bool ok = open_job(&job);
    for (guint i = 0; ok && i < job.sections->len; i++) {
        const AppSection *section = g_ptr_array_index(job.sections, i);
        uint32_t n_tokens = 0;
        g_autofree uint32_t *ids = app_library_get_section_ids(job.library, document, job.rule, section->ordinal, &n_tokens, error);
        eng_section found;
        eng_error engine_error;
        ok = ids != NULL && !is_cancelled(cancel, error);
        eng_status status = ok ? find_section(&job, ids, n_tokens, &found, &engine_error) : ENG_CANCELLED;
        if (ok && status != ENG_OK && status != ENG_MISS) ok = engine_failed(&job, status, &engine_error);
        if (!ok) break;
        plan.n_sections++;
        plan.n_tokens += n_tokens;
        plan.n_sections_cached += status == ENG_OK;
        plan.n_tokens_cached += status == ENG_OK ? n_tokens : 0;
        plan.n_disk_bytes += status == ENG_OK ? 0 : eng_record_bytes(job.model, n_tokens);
        pass_section(&job, ids, n_tokens);
    }
    close_job(&job);
    if (!ok) return false;
    if (tokens_per_s <= 0) {
        g_autofree char *name = rate_name(engine);
        g_autofree char *rate = app_library_get_setting(job.library, name);
        tokens_per_s = rate != NULL ? g_ascii_strtod(rate, NULL) : 0;
    }
    plan.seconds = tokens_per_s > 0 ? (double)(plan.n_tokens - plan.n_tokens_cached) / tokens_per_s : 0;
    *ret_plan = plan;
    return true;
}

static bool add_size(void *user, const eng_cache_entry *entry)
{
    uint64_t *bytes = g_hash_table_lookup(user, entry->document);
    if (bytes != NULL) *bytes += entry->n_bytes;
    else g_hash_table_insert(user, g_strdup(entry->document), g_memdup2(&entry->n_bytes, sizeof entry->n_bytes));
    return true;
}

GHashTable *app_reader_list_sizes(AppLibrary *library, GError **error)
{
    eng_cache *cache = NULL;
    eng_error engine_error;
    eng_cache_options options = {0};
    GHashTable *sizes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    eng_status status = eng_cache_open(app_library_get_cache_folder(library), &options, &cache, &engine_error);
    if (status == ENG_OK) status = eng_cache_list(cache, add_size, sizes, &engine_error);
    eng_cache_close(cache);
    if (status == ENG_OK) return sizes;
    app_engine_set_error(error, status, &engine_error);
    g_hash_table_unref(sizes);
    return NULL;
}

bool app_reader_forget(AppLibrary *library, int64_t document, GError **error)
{
    g_autoptr(AppDocument) known = app_library_get_document(library, document, error);
    if (known == NULL) return false;
    eng_cache *cache = NULL;
    eng_error engine_error;
    eng_cache_options options = {0};
    eng_status status = eng_cache_open(app_library_get_cache_folder(library), &options, &cache, &engine_error);
    if (status == ENG_OK) status = eng_cache_remove(cache, known->uid, &engine_error);
    eng_cache_close(cache);
    if (status != ENG_OK && status != ENG_NOT_FOUND) {
        app_engine_set_error(error, status, &engine_error);
        return false;
    }
    return app_library_remove_document(library, document, error);
}
