/* app-shelf.c: the sections of the documents that a question is put to, opened in the cache.
 *
 * Owns: documents, sections, records, and the way from their tokens' text to the document's.
 * Does not own: choosing among them, running the model.
 */
#include "app-shelf.h"

#include <glib/gi18n.h>
#include <string.h>

#include "app-engine-internal.h"
#include "app-format.h"

typedef struct ShelfDocument {
    AppDocument *document;
    GPtrArray *sections; /* AppSection */
    eng_store *store;    /* NULL until a section is loaded */
    GArray *prefixes;    /* eng_digest: in continuous mode, of sections 0 to i, as far as they were wanted */
} ShelfDocument;

struct AppShelf {
    AppEngine *engine;
    AppLibrary *library;
    GArray *documents; /* ShelfDocument */
    GArray *ids;       /* int64_t */
    GArray *sections;  /* AppShelfSection */
    uint64_t n_tokens;
    uint32_t n_left_out, n_partly_read;
};

static void shelf_document_clear(gpointer data)
{
    ShelfDocument *document = data;
    app_document_free(document->document);
    if (document->sections) g_ptr_array_unref(document->sections);
    eng_store_close(document->store);
    if (document->prefixes) g_array_unref(document->prefixes);
}

static void shelf_section_clear(gpointer data) { g_free(((AppShelfSection *)data)->ids); }

void app_shelf_free(AppShelf *shelf)
{
    if (!shelf) return;
    g_array_unref(shelf->sections);
    g_array_unref(shelf->documents);
    g_array_unref(shelf->ids);
    app_engine_unref(shelf->engine);
    g_free(shelf);
}

/* ---------------------------------------------------------------------------------------------------------------- scope */

/* Takes the document. *ret_n_read: sections of it that are read; 0 leaves it out. */
static bool add_document(AppShelf *shelf, AppDocument *document, size_t *ret_n_read, GError **error)
{
    ShelfDocument entry = {.document = document};
    entry.sections = app_library_list_sections(shelf->library, document->id, app_engine_get_section_rule(shelf->engine), error);
    if (!entry.sections) {
        app_document_free(document);
        return false;
    }
    size_t n_read = 0;
    for (guint i = 0; i < entry.sections->len; i++) n_read += ((AppSection *)entry.sections->pdata[i])->is_read;
    *ret_n_read = n_read;
    if (n_read == 0) {
        shelf_document_clear(&entry);
        return true;
    }
    if (n_read < entry.sections->len) shelf->n_partly_read++;
    for (guint i = 0; i < entry.sections->len; i++) {
        AppSection *info = entry.sections->pdata[i];
        if (!info->is_read) continue;
        AppShelfSection section = {.document = document, .info = info, .index_of_document = shelf->documents->len};
        g_array_append_val(shelf->sections, section);
        shelf->n_tokens += info->n_tokens;
    }
    g_array_append_val(shelf->ids, document->id);
    g_array_append_val(shelf->documents, entry);
    return true;
}

static bool add_named(AppShelf *shelf, const AppAskScope *scope, GError **error)
{
    g_autoptr(GString) unread = g_string_new(NULL);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
    size_t n_unread = 0;
    for (size_t i = 0; i < scope->n_documents; i++) {
        if (!g_hash_table_add(seen, (gpointer)&scope->documents[i])) continue;
        AppDocument *document = app_library_get_document(shelf->library, scope->documents[i], error);
        if (!document) return false;
        g_autofree char *title = g_strdup(document->title);
        g_autofree char *note = app_format_note(document->note);
        AppDocumentState state = document->state;
        size_t n_read;
        if (!add_document(shelf, document, &n_read, error)) return false;
        if (n_read) continue;
        if (state == APP_DOCUMENT_NO_TEXT || state == APP_DOCUMENT_FAILED) {
            g_set_error(error, APP_ASK_ERROR, APP_ASK_ERROR_UNREAD, _("“%s” cannot be asked: %s"), title, note[0] ? note : _("it has no text"));
            return false;
        }
        n_unread++;
        g_string_append_printf(unread, "%s“%s” (%" G_GINT64_FORMAT ")", unread->len ? ", " : "", title, scope->documents[i]);
    }
    if (n_unread == 0) return true;
    g_set_error(error, APP_ASK_ERROR, APP_ASK_ERROR_UNREAD, ngettext("%s is not read with %s yet", "%s are not read with %s yet", n_unread), unread->str,
                app_engine_get_model_name(shelf->engine));
    return false;
}

static bool add_all(AppShelf *shelf, int64_t collection, GError **error)
{
    g_autoptr(GPtrArray) documents = app_library_list_documents(shelf->library, collection, APP_ORDER_ADDED, 0, 0, error);
    if (!documents) return false;
    guint n = documents->len;
    while (documents->len) {
        AppDocument *document = g_ptr_array_steal_index(documents, 0);
        size_t n_read;
        if (!add_document(shelf, document, &n_read, error)) return false;
        shelf->n_left_out += n_read == 0;
    }
    if (shelf->sections->len) return true;
    if (n == 0)
        g_set_error(error, APP_ASK_ERROR, APP_ASK_ERROR_EMPTY, collection ? _("the collection is empty") : _("the library is empty"));
    else
        g_set_error(error, APP_ASK_ERROR, APP_ASK_ERROR_UNREAD, _("none of the %u documents is read with %s yet"), n,
                    app_engine_get_model_name(shelf->engine));
    return false;
}

AppShelf *app_shelf_open(AppEngine *engine, const AppAskScope *scope, GError **error)
{
    AppShelf *shelf = g_new0(AppShelf, 1);
    shelf->engine = app_engine_ref(engine);
    shelf->library = app_engine_get_library(engine);
    shelf->documents = g_array_new(FALSE, FALSE, sizeof(ShelfDocument));
    g_array_set_clear_func(shelf->documents, shelf_document_clear);
    shelf->ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
    shelf->sections = g_array_new(FALSE, FALSE, sizeof(AppShelfSection));
    g_array_set_clear_func(shelf->sections, shelf_section_clear);
    bool ok = scope->documents ? add_named(shelf, scope, error) : add_all(shelf, scope->collection, error);
    if (ok) return shelf;
    app_shelf_free(shelf);
    return NULL;
}

size_t app_shelf_n_sections(const AppShelf *shelf) { return shelf->sections->len; }
const AppShelfSection *app_shelf_get(const AppShelf *shelf, size_t index) { return &g_array_index(shelf->sections, AppShelfSection, index); }
size_t app_shelf_n_documents(const AppShelf *shelf) { return shelf->ids->len; }
const int64_t *app_shelf_documents(const AppShelf *shelf) { return (const int64_t *)(void *)shelf->ids->data; }
uint64_t app_shelf_n_tokens(const AppShelf *shelf) { return shelf->n_tokens; }
uint32_t app_shelf_n_left_out(const AppShelf *shelf) { return shelf->n_left_out; }
uint32_t app_shelf_n_partly_read(const AppShelf *shelf) { return shelf->n_partly_read; }

size_t app_shelf_find(const AppShelf *shelf, int64_t document, uint32_t ordinal)
{
    for (size_t i = 0; i < shelf->sections->len; i++) {
        const AppShelfSection *section = app_shelf_get(shelf, i);
        if (section->document->id == document && section->info->ordinal == ordinal) return i;
    }
    return SIZE_MAX;
}

/* -------------------------------------------------------------------------------------------------------------- records */

/* A failure of the engine as people read it: a record that is not there (any more) is to be read again. */
static bool set_failure(const AppShelfSection *section, eng_status status, const eng_error *engine_error, GError **error)
{
    g_autofree char *message = app_engine_dup_message(engine_error);
    if (status == ENG_MISS || status == ENG_NOT_FOUND)
        g_set_error(error, APP_ASK_ERROR, APP_ASK_ERROR_UNREAD, _("“%s” must be read again: %s"), section->document->title, message);
    else
        app_engine_set_error(error, status, engine_error);
    return false;
}

static uint32_t *get_ids(AppShelf *shelf, int64_t document, uint32_t ordinal, uint32_t *ret_n_tokens, GError **error)
{
    return app_library_get_section_ids(shelf->library, document, app_engine_get_section_rule(shelf->engine), ordinal, ret_n_tokens, error);
}

/* What precedes section `ordinal` of its document in continuous mode: the chain of digests. */
static bool get_prefix(AppShelf *shelf, ShelfDocument *document, uint32_t ordinal, const eng_digest **ret_prefix, GError **error)
{
    *ret_prefix = NULL;
    bool continuous = eng_model_get_info(app_engine_get_model(shelf->engine))->section_mode == ENG_SECTIONS_CONTINUOUS;
    if (!continuous || ordinal == 0) return true;
    if (!document->prefixes) document->prefixes = g_array_new(FALSE, FALSE, sizeof(eng_digest));
    while (document->prefixes->len < ordinal) {
        guint at = document->prefixes->len;
        uint32_t n_tokens;
        g_autofree uint32_t *ids = get_ids(shelf, document->document->id, at, &n_tokens, error);
        if (!ids) return false;
        eng_digest digest;
        eng_ids_digest(at ? &g_array_index(document->prefixes, eng_digest, at - 1) : NULL, ids, n_tokens, &digest);
        g_array_append_val(document->prefixes, digest);
    }
    *ret_prefix = &g_array_index(document->prefixes, eng_digest, ordinal - 1);
    return true;
}

bool app_shelf_load(AppShelf *shelf, size_t index, eng_verify verify, GError **error)
{
    AppShelfSection *section = &g_array_index(shelf->sections, AppShelfSection, index);
    if (section->ids && (verify == ENG_VERIFY_NOT || verify == section->verify || section->verify == ENG_VERIFY_NOW)) return true;
    ShelfDocument *document = &g_array_index(shelf->documents, ShelfDocument, section->index_of_document);
    eng_error engine_error = {0};
    eng_status status = ENG_OK;
    if (!document->store) {
        status = eng_store_open(app_engine_get_cache(shelf->engine), app_engine_get_model(shelf->engine), document->document->uid,
                                &document->store, &engine_error);
    }
    if (status != ENG_OK) return set_failure(section, status, &engine_error, error);
    const eng_digest *prefix;
    if (!get_prefix(shelf, document, section->info->ordinal, &prefix, error)) return false;
    uint32_t n_tokens = section->info->n_tokens;
    g_autofree uint32_t *fetched = section->ids ? NULL : get_ids(shelf, section->document->id, section->info->ordinal, &n_tokens, error);
    const uint32_t *ids = section->ids ? section->ids : fetched;
    if (!ids) return false;
    eng_section record;
    status = eng_store_find(document->store, prefix, ids, n_tokens, verify, &record, &engine_error);
    if (status != ENG_OK) return set_failure(section, status, &engine_error, error);
    if (fetched) section->ids = g_steal_pointer(&fetched);
    section->section = record;
    section->verify = verify;
    return true;
}

/* ----------------------------------------------------------------------------------------------------------------- text */

/* Bytes of the head and the empty line below it. */
static size_t head_bytes(const AppShelfSection *section) { return strlen(section->info->head) + 2; }

/* What the section's tokens stand for, without <|endoftext|>. */
static void append_tokens(const eng_model *model, const AppShelfSection *section, GString *text)
{
    g_string_truncate(text, 0);
    for (uint32_t i = 1; i < section->section.n_tokens; i++) {
        size_t n;
        const char *bytes = eng_token_bytes(model, section->ids[i], &n);
        if (bytes) g_string_append_len(text, bytes, (gssize)n);
    }
}

/* Bytes of a section's text before the document's own: heads of a table that goes on, repeated. */
static size_t repeated_bytes(const AppShelfSection *section, size_t n_text)
{
    uint64_t n_own = section->info->end - section->info->start;
    return n_text > n_own ? (size_t)(n_text - n_own) : 0;
}

AppCorpus *app_shelf_make_corpus(AppShelf *shelf, const uint32_t *indices, size_t n, GError **error)
{
    g_autoptr(AppCorpus) corpus = app_corpus_new();
    g_autoptr(GString) text = g_string_new(NULL);
    for (size_t i = 0; i < n; i++) {
        const AppShelfSection *section = app_shelf_get(shelf, indices[i]);
        append_tokens(app_engine_get_model(shelf->engine), section, text);
        size_t n_head = MIN(head_bytes(section), text->len), n_repeated = repeated_bytes(section, text->len - n_head);
        /* A quotation must not run from a repeated head into the rows: that is not how the document has it. */
        if (n_repeated) text->str[n_head + n_repeated - 1] = 0;
        if (app_corpus_add(corpus, text->str + n_head, text->len - n_head)) continue;
        g_set_error(error, APP_ASK_ERROR, APP_ASK_ERROR_FAILED, _("more than 4 GB of text in one question"));
        return NULL;
    }
    return g_steal_pointer(&corpus);
}

bool app_shelf_locate(AppShelf *shelf, size_t index, size_t offset, const char *bytes, size_t n_bytes, bool *ret_found, uint64_t *ret_start,
                      GError **error)
{
    const AppShelfSection *section = app_shelf_get(shelf, index);
    g_autoptr(GString) text = g_string_new(NULL);
    append_tokens(app_engine_get_model(shelf->engine), section, text);
    size_t n_head = MIN(head_bytes(section), text->len), n_repeated = repeated_bytes(section, text->len - n_head);
    int64_t document = section->document->id;
    if (offset >= n_repeated) {
        uint64_t start = section->info->start + (offset - n_repeated);
        size_t n_there;
        g_autofree char *there = app_library_get_text(shelf->library, document, start, start + n_bytes, &n_there, error);
        if (!there) return false;
        if (n_there == n_bytes && memcmp(there, bytes, n_bytes) == 0) {
            *ret_found = true;
            *ret_start = start;
            return true;
        }
    }
    g_autofree char *needle = g_strndup(bytes, n_bytes);
    if (!app_library_find_text(shelf->library, document, needle, section->info->start, ret_found, ret_start, error)) return false;
    if (*ret_found) return true;
    return app_library_find_text(shelf->library, document, needle, 0, ret_found, ret_start, error);
}

uint32_t app_shelf_token_at(const AppShelf *shelf, size_t index, size_t offset)
{
    const AppShelfSection *section = app_shelf_get(shelf, index);
    size_t at = head_bytes(section) + offset, n_seen = 0;
    for (uint32_t i = 1; i < section->section.n_tokens; i++) {
        size_t n = 0;
        eng_token_bytes(app_engine_get_model(shelf->engine), section->ids[i], &n);
        n_seen += n;
        if (n_seen > at) return i;
    }
    return section->section.n_tokens ? section->section.n_tokens - 1 : 0;
}
