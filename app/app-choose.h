/* app-choose.h: which sections of a shelf a question attends to (private to app/).
 *
 * Owns: asking the library (BM25), the heads (names, years) and the model's key codes for their rankings, and joining them.
 * Does not own: the arithmetic of joining (app-rank.h), attending (app-ask.c).
 */
#ifndef APP_CHOOSE_H
#define APP_CHOOSE_H

#include "app-shelf.h"

G_BEGIN_DECLS

typedef struct AppChoice {
    AppLibrary *library;
    AppShelf *shelf;
    eng_runtime *runtime;
    const char *rule;
    const char *question;
    const uint32_t *prompt; /* the question as the model gets it */
    size_t n_prompt;
    uint64_t budget_tokens;
    size_t n_sections_max;
} AppChoice;

/* Indices into the shelf, ascending, uint32_t. Sections are loaded as far as the key codes are looked at. */
GArray *app_choose_sections(const AppChoice *choice, GError **error);

/* The search of the question's words over the shelf's documents: for passages and for ranking. Returns the words that the search
 * borrows; free with g_free after it. */
char *app_choose_fill_search(const AppShelf *shelf, const char *question, const char *rule, AppSearch *ret_search);

G_END_DECLS

#endif
