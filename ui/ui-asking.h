/* ui-asking.h: one question, answered on a thread, told to the main loop.
 *
 * Owns: the thread's task, the cancel flag, carrying text and rows over to the main thread, joined where they come close together.
 * Does not own: the asker, which is lent for the time of the question and handed back at its end; widgets.
 */
#ifndef UI_ASKING_H
#define UI_ASKING_H

#include "app-ask.h"
#include "ui-context.h"

G_BEGIN_DECLS

/* All on the main thread; none comes after ui_asking_detach. */
typedef struct UiAskingHandlers {
    /* The scope is known (is_chosen false), then what of it is attended to. */
    void (*looking)(gpointer user, uint32_t n_sections, uint64_t n_tokens, bool is_chosen);
    void (*text)(gpointer user, const char *text, bool in_quotation);
    void (*row)(gpointer user, const AppAskRow *row, uint32_t index, uint32_t n_rows);
    /* The end: an answer (borrowed), or the rows of a table (borrowed; is_stopped: not all of them), or the error. `asker` is the lent
     * one: given back. */
    void (*done)(gpointer user, AppAsker *asker, const AppAnswer *answer, GPtrArray *rows, bool is_stopped, const GError *error);
} UiAskingHandlers;

typedef struct UiQuestion {
    const char *text;
    const int64_t *documents; /* NULL: the collection, or everything */
    size_t n_documents;
    int64_t collection;
    int64_t conversation; /* 0: a new one is begun; see ui_asking_get_conversation */
    bool each;            /* every document by itself */
} UiQuestion;

typedef struct UiAsking UiAsking;
/* asker: NULL makes one. Taken until `done`. */
UiAsking *ui_asking_start(AppEngine *engine, AppAsker *asker, const UiQuestion *question, const UiAskingHandlers *handlers, gpointer user);
void ui_asking_stop(UiAsking *asking);   /* soon; `done` follows with G_IO_ERROR_CANCELLED */
void ui_asking_detach(UiAsking *asking); /* stops, and nothing more is told; the asker is freed by the thread */
int64_t ui_asking_get_conversation(const UiAsking *asking); /* valid in `done`: where the turn was kept, 0 on failure */
const char *ui_asking_get_not_kept(const UiAsking *asking); /* valid in `done`: why it was not, though there is an answer; NULL */

G_END_DECLS

#endif
