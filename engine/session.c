/* session.c: a branch over shared, read-only sections.
 *
 * Owns: the branch's own suffix of keys and values, its position, its logits, and where its tokens looked (attention mass).
 * Does not own: the sections (their records must outlive the branch), choosing the next token (sample.c and the callers).
 */
#include "cache-fetch.h"
#include "gpu.h"

#include <stdlib.h>
#include <string.h>

enum { SESSION_CHUNK_TOKENS = 512 }; /* most tokens of one pass: bounds the time to notice a cancel, and the scratch for scores */
#define SESSION_DROP_MASS 0.001f

struct eng_session {
    eng_runtime *runtime;
    kern_kv_block *sections_by_layer;
    size_t n_sections;
    uint32_t first_position, capacity, n_suffix;
    void *suffix;   /* one block a layer */
    void **blocks;  /* [n_layers] into suffix */
    float *logits;  /* [n_vocabulary] */
    float drop_mass;
    eng_session_stats stats;
    bool record_mass;
    size_t *mass_first; /* [n_sections + 1] */
    float *mass, *mass_view;
    uint64_t n_mass_rows; /* tokens recorded */
    eng_fetch *fetch;     /* until all sections are here and verified */
    eng_error refused;    /* they are not what they should be */
};

static eng_status allocate(eng_session *session, const eng_section *sections, eng_error *error)
{
    const eng_model_info *info = &session->runtime->model->info;
    kern_kv_layout layout = kern_kv_layout_of(&info->kv_format, info->n_kv_heads, session->capacity);
    session->sections_by_layer = eng_sections_by_layer(session->runtime->model, sections, session->n_sections);
    session->suffix = aligned_alloc(KERN_ALIGN_BYTES, layout.total_bytes * info->n_layers);
    session->blocks = calloc(info->n_layers, sizeof *session->blocks);
    session->logits = calloc(info->n_vocabulary, sizeof *session->logits);
    session->mass_first = calloc(session->n_sections + 1, sizeof *session->mass_first);
    if (!session->sections_by_layer || !session->suffix || !session->blocks || !session->logits || !session->mass_first)
        return eng_fail(error, ENG_NO_MEMORY, "not enough memory for a session of %u tokens", session->capacity);
    memset(session->suffix, 0, layout.total_bytes * info->n_layers);
    for (uint32_t layer = 0; layer < info->n_layers; layer++) session->blocks[layer] = (uint8_t *)session->suffix + layer * layout.total_bytes;
    for (size_t i = 0; i < session->n_sections; i++) {
        size_t n_parts = (sections[i].n_tokens + KERN_MASS_TOKENS - 1) / KERN_MASS_TOKENS;
        session->mass_first[i + 1] = session->mass_first[i] + n_parts;
        session->stats.tokens_cached += sections[i].n_tokens;
    }
    return ENG_OK;
}

eng_status eng_session_new(eng_runtime *runtime, const eng_section *sections, size_t n_sections, size_t n_suffix_max,
                           eng_session **ret_session, eng_error *error)
{
    const eng_model_info *info = &runtime->model->info;
    if (!n_suffix_max || n_suffix_max > info->n_context)
        return eng_fail(error, ENG_LIMIT, "a session of %zu tokens: this model's context is %u", n_suffix_max, info->n_context);
    eng_session *session = calloc(1, sizeof *session);
    if (!session) return eng_fail(error, ENG_NO_MEMORY, "not enough memory for a session");
    session->runtime = runtime;
    session->n_sections = n_sections;
    session->capacity = eng_section_capacity((uint32_t)n_suffix_max);
    session->drop_mass = SESSION_DROP_MASS;
    eng_status status = allocate(session, sections, error);
    if (status != ENG_OK) {
        eng_session_free(session);
        return status;
    }
    if (info->section_mode == ENG_SECTIONS_CONTINUOUS && session->stats.tokens_cached + n_suffix_max > info->n_context) {
        status = eng_fail(error, ENG_LIMIT, "%llu tokens to look at and a question with its answer of up to %zu are more than the %u that %s takes in at once",
                          (unsigned long long)session->stats.tokens_cached, n_suffix_max, info->n_context, info->name);
        eng_session_free(session);
        return status;
    }
    status = eng_fetch_begin(sections, n_sections, kern_context_pool(runtime->kern), &session->fetch, error);
    if (status != ENG_OK) {
        eng_session_free(session);
        return status;
    }
    if (!session->fetch) eng_gpu_prefetch(runtime->gpu, session->sections_by_layer, n_sections);
    session->first_position = info->section_mode == ENG_SECTIONS_INDEPENDENT ? info->end_position : (uint32_t)session->stats.tokens_cached;
    *ret_session = session;
    return ENG_OK;
}

void eng_session_free(eng_session *session)
{
    if (!session) return;
    eng_fetch_free(session->fetch);
    if (session->blocks) eng_gpu_forget(session->runtime->gpu, session->blocks[0]); /* ends a prefetch too */
    free(session->sections_by_layer);
    free(session->suffix);
    free(session->blocks);
    free(session->logits);
    free(session->mass_first);
    free(session->mass);
    free(session->mass_view);
    free(session);
}

/* One pass over at most SESSION_CHUNK_TOKENS tokens at the end of the branch. */
static eng_status eval_chunk(eng_session *session, const uint32_t *ids, uint32_t n, eng_error *error)
{
    eng_segment segment = {.ids = ids, .n_tokens = n, .first_position = session->first_position + session->n_suffix,
                           .blocks = session->blocks, .capacity = session->capacity, .at = session->n_suffix,
                           .sections_by_layer = session->sections_by_layer, .n_sections = session->n_sections,
                           .mass = session->record_mass ? session->mass : NULL, .mass_first = session->mass_first};
    eng_pass pass = {.segments = &segment, .n_segments = 1, .drop_mass = session->drop_mass, .fetch = session->fetch};
    eng_pass_stats stats = {0};
    eng_status status = eng_forward(session->runtime, &pass, &stats, error);
    if (status != ENG_OK) return status;
    session->n_suffix += n;
    session->stats.tokens_computed += n;
    session->runtime->stats.tokens_of_branches += n;
    session->stats.value_rows += stats.value_rows;
    session->stats.value_rows_read += stats.value_rows_read;
    if (stats.dropped_mass_max > session->stats.dropped_mass_max) session->stats.dropped_mass_max = stats.dropped_mass_max;
    if (session->record_mass) session->n_mass_rows += n;
    return ENG_OK;
}

static eng_status check_eval(const eng_session *session, const uint32_t *ids, size_t n, eng_error *error)
{
    const eng_model_info *info = &session->runtime->model->info;
    if (!n) return eng_fail(error, ENG_LIMIT, "no tokens to run");
    if (n > session->capacity - session->n_suffix)
        return eng_fail(error, ENG_LIMIT, "the question and its answer are longer than the %u tokens kept for them", session->capacity);
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= info->n_vocabulary) return eng_fail(error, ENG_LIMIT, "token %u is not in the model's vocabulary", ids[i]);
    return ENG_OK;
}

/* ret_all NULL: only the last token's logits, into session->logits. */
static eng_status run(eng_session *session, const uint32_t *ids, size_t n, float *ret_all, eng_error *error)
{
    eng_status status = ENG_OK;
    size_t n_vocabulary = session->runtime->model->info.n_vocabulary;
    for (size_t at = 0; at < n && status == ENG_OK; at += SESSION_CHUNK_TOKENS) {
        uint32_t n_chunk = n - at < SESSION_CHUNK_TOKENS ? (uint32_t)(n - at) : SESSION_CHUNK_TOKENS;
        status = eval_chunk(session, ids + at, n_chunk, error);
        if (status != ENG_OK) return status;
        if (ret_all)
            status = eng_logits(session->runtime, 0, n_chunk, ret_all + at * n_vocabulary, error);
        else if (at + n_chunk == n)
            status = eng_logits(session->runtime, n_chunk - 1, 1, session->logits, error);
    }
    return status;
}

/* The end of what was computed over sections that were coming in: only if all of them hold it is worth anything. */
static eng_status conclude(eng_session *session, eng_status status, eng_error *error)
{
    bool is_over = status == ENG_OK || status == ENG_MISS || status == ENG_IO;
    if (!session->fetch || !is_over) return status;
    eng_error reason = {0};
    eng_status held = eng_fetch_finish(session->fetch, session->runtime->cancel, &reason);
    if (held != ENG_OK && error) *error = reason;
    if (held == ENG_CANCELLED) return held;
    eng_fetch_free(session->fetch);
    session->fetch = NULL;
    session->refused = reason;
    return held == ENG_OK ? status : held;
}

static eng_status eval(eng_session *session, const uint32_t *ids, size_t n, float *ret_all, eng_error *error)
{
    if (session->refused.status != ENG_OK) return eng_fail_as(error, session->refused.status, &session->refused);
    eng_status status = check_eval(session, ids, n, error);
    if (status == ENG_OK && ret_all) status = conclude(session, ENG_OK, error); /* first: logits go to the caller's memory as they come */
    if (status != ENG_OK) return status;
    uint32_t n_suffix = session->n_suffix;
    status = conclude(session, run(session, ids, n, ret_all, error), error);
    if (status != ENG_OK) session->n_suffix = n_suffix; /* who asks again begins where this call did */
    return status;
}

eng_status eng_session_eval(eng_session *session, const uint32_t *ids, size_t n, const float **ret_logits, eng_error *error)
{
    eng_status status = eval(session, ids, n, NULL, error);
    if (status == ENG_OK) *ret_logits = session->logits;
    return status;
}

eng_status eng_session_eval_all(eng_session *session, const uint32_t *ids, size_t n, float *ret_logits, eng_error *error)
{
    return eval(session, ids, n, ret_logits, error);
}

size_t eng_session_n_suffix(const eng_session *session) { return session->n_suffix; }

void eng_session_truncate(eng_session *session, size_t n_suffix)
{
    if (n_suffix < session->n_suffix) session->n_suffix = (uint32_t)n_suffix;
}

void eng_session_set_drop_mass(eng_session *session, float drop_mass) { session->drop_mass = drop_mass > 0 ? drop_mass : 0; }

/* C11 for what is told beside the logits. */
static bool is_held(const eng_session *session) { return !session->fetch && session->refused.status == ENG_OK; }

void eng_session_get_stats(const eng_session *session, eng_session_stats *ret_stats)
{
    *ret_stats = session->stats;
    if (is_held(session)) return;
    ret_stats->value_rows = ret_stats->value_rows_read = 0;
    ret_stats->dropped_mass_max = 0;
}

void eng_session_record_mass(eng_session *session, bool on)
{
    size_t n_parts = session->mass_first[session->n_sections];
    if (on && !session->mass) {
        session->mass = calloc(n_parts + 1, sizeof *session->mass);
        session->mass_view = calloc(n_parts + 1, sizeof *session->mass_view);
    } else if (on) {
        memset(session->mass, 0, n_parts * sizeof *session->mass);
    }
    /* A hint for the reader is not worth failing an answer for: without memory there is none. */
    session->record_mass = on && session->mass && session->mass_view;
    session->n_mass_rows = 0;
}

void eng_session_get_mass(const eng_session *session, size_t index, const float **ret_mass, size_t *ret_n_parts)
{
    if (index >= session->n_sections || !session->mass_view || !is_held(session)) {
        *ret_mass = NULL;
        *ret_n_parts = 0;
        return;
    }
    const eng_model_info *info = &session->runtime->model->info;
    size_t first = session->mass_first[index], n_parts = session->mass_first[index + 1] - first;
    double count = (double)session->n_mass_rows * info->n_heads * info->n_layers;
    for (size_t i = 0; i < n_parts; i++) session->mass_view[first + i] = count ? (float)(session->mass[first + i] / count) : 0;
    *ret_mass = session->mass_view + first;
    *ret_n_parts = n_parts;
}
