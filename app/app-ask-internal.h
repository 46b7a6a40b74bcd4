/* app-ask-internal.h: one question in progress, as the files of asking share it. */
#ifndef APP_ASK_INTERNAL_H
#define APP_ASK_INTERNAL_H

#include <jansson.h>

#include "app-ask.h"
#include "app-evidence.h"
#include "app-shelf.h"

#include "app-think.h"

/* What a chat model says where the answer is not there. */
#define APP_ASK_ABSENT "Not in these documents."

G_BEGIN_DECLS

struct AppAsker {
    AppEngine *engine;
    AppLibrary *library; /* the engine's */
    unsigned watch;
    bool changed; /* atomic: the library changed since the shelf was opened */
    /* What the last question left open. */
    AppShelf *shelf;
    GArray *scope_documents; /* int64_t, as given */
    bool scope_named;
    int64_t scope_collection;
    GArray *chosen; /* uint32_t: indices into the shelf, in the order of the session's sections and the corpus's */
    AppCorpus *corpus;
};

typedef struct AppAsking {
    AppAsker *asker;
    const AppAskOptions *options;
    AppAskEventFn event;
    void *event_user;
    const bool *cancel;
    char *question;
    eng_model *model;
    eng_runtime *runtime; /* held while the question is answered */
    eng_session *session;
    eng_runtime_stats stats_before; /* the runtime's, when the question got it */
    bool records_mass;
    eng_tokens prompt; /* n_history tokens of earlier turns, then the question */
    size_t n_history, n_reply_max;
    AppReply reply;
    AppThink think; /* free replies: what is thought is told apart while it comes */
    AppAnswer *answer;
    int64_t start_us;
} AppAsking;

/* What a chat model is told before the first question. */
const char *app_ask_instructions(void);

void app_asking_send(const AppAsking *asking, AppAskEvent event);

/* Puts the evidence of the reply into the answer, and whether it was found; sends it (app-place.c). */
bool app_ask_find_evidence(AppAsking *asking, GError **error);

/* Sends the question and the chosen sections' text to the second machine and takes its reply (app-ask-remote.c). */
bool app_ask_decode_remotely(AppAsking *asking, GError **error);

/* The earlier turns of the conversation as tokens, where the model is one that can make use of them (app-ask-conversation.c). */
bool app_ask_add_history(AppAsking *asking, GError **error);
/* A turn that cannot be kept (a full disk) does not take the answer away: answer->not_kept says why. */
void app_ask_store_turn(AppAsking *asking);

/* app_answer_to_json as an object (a new reference), and back; turn: what the library's own columns say goes first (app-answer.c). */
json_t *app_answer_to_object(const AppAnswer *answer);
AppAnswer *app_answer_from_object(const json_t *root, const AppTurn *turn);
char *app_ask_dump_json(json_t *root); /* without line breaks; takes the reference; g_free */

G_END_DECLS

#endif
