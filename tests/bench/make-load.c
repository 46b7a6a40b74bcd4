/* make-load.c: a library of many small documents with the states of all their sections, for bench load.
 *
 * Owns: documents that differ in their figures, taken in and cut as always; their states, written by the cache as always. A model run for each
 *       would take an hour: sections of equal length share the states that were computed for the first of them.
 * Does not own: measuring (load.py).
 *
 *   make-load DATA MODEL N_DOCUMENTS
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app-engine-internal.h"
#include "app-library-internal.h"
#include "app-reader.h"
#include "app-sections.h"
#include "eng.h"

/* Making it need not survive a power failure: 20,000 times less to wait for. */
int fsync(int fd)
{
    return 0;
}

int fdatasync(int fd)
{
    return 0;
}

typedef struct Load {
    AppLibrary *library;
    AppEngine *engine;
    GHashTable *states; /* n_tokens -> GBytes: all layers' blocks, one after another */
    size_t n_tokens, n_sections, n_computed;
} Load;

static void stop(const char *why)
{
    fprintf(stderr, "make-load: %s\n", why);
    exit(1);
}

static char *make_text(unsigned number)
{
    static const char *const trades[] = {"barley", "copper", "glass", "linen", "paper", "salt", "timber", "wool"};
    const char *trade = trades[number % G_N_ELEMENTS(trades)];
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "# The %s company of district %u\n\n## Report of the year\n\n", trade, number);
    for (unsigned i = 0; i < 12; i++) {
        unsigned value = (number * 7919 + i * 104729) % 90000 + 10000;
        g_string_append_printf(text, "In month %u the %s company of district %u sold goods for %u crowns and paid %u crowns for carriage, wages and rent.\n\n", i + 1,
                               trade, number, value, value / 3);
    }
    g_string_append_printf(text, "Note: the overseer of district %u has the number %u. It is kept in the ledger.\n", number, 1000000 + number * 37 % 8999999);
    return g_string_free(text, FALSE);
}

static size_t blocks_bytes(const eng_model_info *info, uint32_t n_tokens)
{
    return kern_kv_layout_of(&info->kv_format, info->n_kv_heads, eng_section_capacity(n_tokens)).total_bytes;
}

static void fill_record(Load *load, const uint32_t *ids, uint32_t n_tokens, void *const *blocks)
{
    const eng_model_info *info = eng_model_get_info(app_engine_get_model(load->engine));
    size_t n_bytes = blocks_bytes(info, n_tokens);
    const uint8_t *states = g_hash_table_lookup(load->states, GUINT_TO_POINTER(n_tokens));
    if (states) {
        for (uint32_t layer = 0; layer < info->n_layers; layer++) memcpy(blocks[layer], states + layer * n_bytes, n_bytes);
        return;
    }
    const eng_read_job job = {.ids = ids, .n_tokens = n_tokens, .blocks = blocks, .first_position = UINT32_MAX};
    eng_runtime *runtime = app_engine_acquire(load->engine, NULL);
    if (eng_read(runtime, &job, 1, NULL) != ENG_OK) stop("a section could not be read");
    app_engine_release(load->engine);
    uint8_t *kept = g_malloc(n_bytes * info->n_layers);
    for (uint32_t layer = 0; layer < info->n_layers; layer++) memcpy(kept + layer * n_bytes, blocks[layer], n_bytes);
    g_hash_table_insert(load->states, GUINT_TO_POINTER(n_tokens), kept);
    load->n_computed += n_tokens;
}

static void read_document(Load *load, int64_t id)
{
    eng_model *model = app_engine_get_model(load->engine);
    const char *rule = app_engine_get_section_rule(load->engine);
    eng_store *store;
    if (!app_sections_ensure(load->library, id, model, NULL, NULL, NULL)) stop("a document could not be cut");
    g_autoptr(AppDocument) document = app_library_get_document(load->library, id, NULL);
    g_autoptr(GPtrArray) sections = app_library_list_sections(load->library, id, rule, NULL);
    if (eng_store_open(app_engine_get_cache(load->engine), model, document->uid, &store, NULL) != ENG_OK) stop("a store could not be opened");
    for (guint i = 0; i < sections->len; i++) {
        uint32_t n_tokens, ordinal = i;
        g_autofree uint32_t *ids = app_library_get_section_ids(load->library, id, rule, i, &n_tokens, NULL);
        eng_record *record;
        if (eng_record_begin(store, NULL, ids, n_tokens, &record, NULL) != ENG_OK) stop("out of memory");
        fill_record(load, ids, n_tokens, eng_record_blocks(record));
        if (eng_record_commit(record, NULL) != ENG_OK) stop("a section could not be written");
        app_library_mark_sections(load->library, id, rule, &ordinal, 1, true, NULL);
        load->n_tokens += n_tokens;
        load->n_sections++;
    }
    if (eng_store_sync(store, NULL) != ENG_OK) stop("a section could not be synced");
    eng_store_close(store);
    app_library_set_document_state(load->library, id, APP_DOCUMENT_READY, "", NULL);
}

int main(int argc, char **argv)
{
    if (argc != 4) stop("make-load DATA MODEL N_DOCUMENTS");
    g_autoptr(GError) error = NULL;
    Load load = {.library = app_library_open(argv[1], &error)};
    if (load.library) load.engine = app_engine_open(load.library, argv[2], 0, &error);
    if (!load.engine) stop(error->message);
    load.states = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    if (eng_cache_set_budget(app_engine_get_cache(load.engine), UINT64_C(200) << 30, NULL, NULL) != ENG_OK) stop("no budget");
    g_autofree char *path = g_build_filename(argv[1], "..", "document.md", NULL);
    unsigned n = (unsigned)atoi(argv[3]);
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *text = make_text(i), *name = g_strdup_printf("%s-%u.md", path, i);
        if (!g_file_set_contents(name, text, -1, NULL)) stop("a document could not be written");
        int64_t id = app_reader_add_file(load.library, name, NULL, NULL, &error);
        if (id < 0) stop(error->message);
        read_document(&load, id);
        g_unlink(name);
    }
    printf("{\"documents\": %u, \"sections\": %zu, \"tokens\": %zu, \"tokens_computed\": %zu}\n", n, load.n_sections, load.n_tokens, load.n_computed);
    g_hash_table_unref(load.states);
    app_engine_unref(load.engine);
    app_library_unref(load.library);
    return 0;
}
