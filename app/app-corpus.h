/* app-corpus.h: the text that a question may quote from, and where a string of bytes stands in it.
 *
 * Owns: the bytes of the sections attended to (copied), an index of the places where a quotation may begin, and sets of places
 *       that narrow as bytes are added.
 * Does not own: tokens and their choice (app-bound.h), where a section stands in its document (app-shelf.h).
 *
 * Offsets are bytes. A place is a position in the corpus as a whole, where the texts stand one after the other with a NUL byte
 * between; app_corpus_locate says which section it is in. A match never crosses that border.
 */
#ifndef APP_CORPUS_H
#define APP_CORPUS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

G_BEGIN_DECLS

typedef struct AppCorpus AppCorpus;

AppCorpus *app_corpus_new(void);
void app_corpus_free(AppCorpus *corpus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppCorpus, app_corpus_free)

/* Appends a section's text and returns its index, counted from 0; false when the corpus would exceed 4 GiB. Bytes of NUL in the
 * text are borders too. Not after the first app_match_new. */
bool app_corpus_add(AppCorpus *corpus, const char *text, size_t n_bytes);
size_t app_corpus_n_sections(const AppCorpus *corpus);
const char *app_corpus_get_text(const AppCorpus *corpus, size_t section, size_t *ret_n_bytes);
void app_corpus_locate(const AppCorpus *corpus, uint32_t place, size_t *ret_section, size_t *ret_offset);
/* The bytes from a place on: up to the corpus's end, *ret_n_bytes of them. */
const char *app_corpus_at(const AppCorpus *corpus, uint32_t place, size_t *ret_n_bytes);

/* Every place where the bytes stand, words cut or not, at most n_max of them; elements uint32_t. */
GArray *app_corpus_find(const AppCorpus *corpus, const char *bytes, size_t n_bytes, size_t n_max);

/* True where a word, a number or a character goes on across `at` (0 .. n_bytes) of the text: "ho|me", "1|,2", "grove|-jade". */
bool app_text_is_inside_word(const char *text, size_t n_bytes, size_t at);

/* The sentence or, in a table or a list of facts, the line around bytes [start, end) of the text. */
void app_text_get_sentence(const char *text, size_t n_bytes, size_t start, size_t end, size_t *ret_start, size_t *ret_end);

/* A set of places that match the same bytes. Begins with all places where a quotation may start (not within a word, not at a
 * space) and no bytes. */
typedef struct AppMatch AppMatch;
AppMatch *app_match_new(AppCorpus *corpus);
void app_match_free(AppMatch *match);
const AppCorpus *app_match_corpus(const AppMatch *match);
size_t app_match_n_bytes(const AppMatch *match);
size_t app_match_n_places(const AppMatch *match);
uint32_t app_match_get_place(const AppMatch *match, size_t index);
/* Whether some place goes on with these bytes; a set and an empty string: whether the set is not empty. */
bool app_match_continues(const AppMatch *match, const char *bytes, size_t n_bytes);
/* Keeps the places that go on with these bytes (there may be none left). */
void app_match_extend(AppMatch *match, const char *bytes, size_t n_bytes);
/* The bytes that follow at any place: 256 flags (never that of NUL). */
void app_match_get_next(const AppMatch *match, bool ret_next[256]);
/* Whether any place is before the end of its text. */
bool app_match_can_go_on(const AppMatch *match);
/* Whether the bytes matched and then `bytes` end, at some place, at the end of a word or number that is not followed by more of it.
 * ret_places (may be NULL): cleared and filled with those places, elements uint32_t. */
bool app_match_ends_word(const AppMatch *match, const char *bytes, size_t n_bytes, GArray *ret_places);

G_END_DECLS

#endif
