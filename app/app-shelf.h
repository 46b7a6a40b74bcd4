/* app-shelf.h: the sections of the documents that a question is put to, opened in the cache (private to app/).
 *
 * Owns: a scope's documents and their sections in order, their token ids, their records in the cache, the text that their tokens
 *       stand for, and the way from a place in that text to the document's.
 * Does not own: which of them a question attends to (app-rank.h), the library, the engine.
 */
#ifndef APP_SHELF_H
#define APP_SHELF_H

#include "app-ask.h"
#include "app-corpus.h"
#include "eng.h"

G_BEGIN_DECLS

typedef struct AppShelf AppShelf;

typedef struct AppShelfSection {
    const AppDocument *document; /* owned by the shelf */
    const AppSection *info;
    uint32_t index_of_document; /* in the shelf */
    /* Once loaded: */
    uint32_t *ids; /* NULL before */
    eng_section section;
    eng_verify verify; /* what it was loaded with */
} AppShelfSection;

/* Looks the scope's documents up and lists their read sections. Documents asked for by name must be read, if only in part; of a
 * collection and of everything those that are not are left out and counted. */
AppShelf *app_shelf_open(AppEngine *engine, const AppAskScope *scope, GError **error);
void app_shelf_free(AppShelf *shelf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppShelf, app_shelf_free)

size_t app_shelf_n_sections(const AppShelf *shelf);
const AppShelfSection *app_shelf_get(const AppShelf *shelf, size_t index);
size_t app_shelf_n_documents(const AppShelf *shelf);
const int64_t *app_shelf_documents(const AppShelf *shelf); /* ids, [n_documents] */
uint64_t app_shelf_n_tokens(const AppShelf *shelf);
uint32_t app_shelf_n_left_out(const AppShelf *shelf);
uint32_t app_shelf_n_partly_read(const AppShelf *shelf);
/* The section of a document by its ordinal; SIZE_MAX: not on the shelf. */
size_t app_shelf_find(const AppShelf *shelf, int64_t document, uint32_t ordinal);

/* Opens a section's record; a miss is an APP_ASK_ERROR_UNREAD with the reason. */
bool app_shelf_load(AppShelf *shelf, size_t index, eng_verify verify, GError **error);
/* The text of the sections (loaded), in this order. */
AppCorpus *app_shelf_make_corpus(AppShelf *shelf, const uint32_t *indices, size_t n, GError **error);

/* From bytes [offset, offset + n_bytes) of section `index`'s corpus text to the document's text. *ret_found false: the document's own
 * text does not have it there (repeated heads of a table are looked for in the whole document). */
bool app_shelf_locate(AppShelf *shelf, size_t index, size_t offset, const char *bytes, size_t n_bytes, bool *ret_found, uint64_t *ret_start,
                      GError **error);
/* The token of section `index` that holds byte `offset` of its corpus text. */
uint32_t app_shelf_token_at(const AppShelf *shelf, size_t index, size_t offset);

G_END_DECLS

#endif
