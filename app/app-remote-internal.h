/* app-remote-internal.h: asking a second machine, for app/ alone. */
#ifndef APP_REMOTE_INTERNAL_H
#define APP_REMOTE_INTERNAL_H

#include "app-remote.h"

G_BEGIN_DECLS

/* What a model that has no own words for it is told to say. */
#define APP_REMOTE_ABSENT "Not in these documents."

typedef struct AppRemoteQuestion {
    const char *question;
    const char *const *passages; /* [n_passages], text as the documents have it */
    const size_t *passage_bytes;
    size_t n_passages;
    uint32_t n_tokens_max; /* of the reply; 0: 2048 */
    double temperature;
    /* More of the reply's text: whole characters, without thinking aloud and without control characters. May be NULL. */
    void (*on_text)(void *user, const char *text, size_t n_bytes);
    void *user;
    const bool *cancel;
} AppRemoteQuestion;

typedef struct AppRemoteReply {
    char *text;
    char *model;           /* as the server calls it */
    bool complete;         /* the model ended it */
    uint64_t n_tokens;     /* of the reply: as the server counts them, else its pieces */
    uint64_t n_prompt_tokens; /* 0: not said */
    int64_t first_text_us; /* g_get_monotonic_time; 0: none came */
} AppRemoteReply;
void app_remote_reply_clear(AppRemoteReply *reply);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AppRemoteReply, app_remote_reply_clear)

bool app_remote_ask(AppRemote *remote, const AppRemoteQuestion *question, AppRemoteReply *ret_reply, GError **error);

G_END_DECLS

#endif
