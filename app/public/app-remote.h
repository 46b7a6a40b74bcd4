/* app-remote.h: a second machine that answers: any server that speaks as OpenAI's does (vLLM, llama.cpp, SGLang, and others).
 *
 * Owns: the connection to it, what is sent, reading what it streams, what leaves this machine in words.
 * Does not own: which passages (app-ask.h chooses them here, with the local model), and whether what the reply quotes stands in the
 *               documents (app-ask.h looks it up here, word for word).
 *
 * Contract. Off unless asked for: nothing connects before app_remote_check or a question with AppAskOptions.remote. What leaves with a
 * question: the question and the passages chosen for it, about APP_ASK_BUDGET_TOKENS tokens of text unless more were asked for; neither
 * titles, file names, other passages nor earlier questions. What comes back is text, and nothing else is made of it. An AppRemote is
 * used by one thread at a time. Source: OpenAI's HTTP interface, /chat/completions with stream (server-sent events) and /models.
 */
#ifndef APP_REMOTE_H
#define APP_REMOTE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "app-settings.h"

G_BEGIN_DECLS

#define APP_REMOTE_ERROR (app_remote_error_quark())
GQuark app_remote_error_quark(void);
typedef enum AppRemoteError {
    APP_REMOTE_ERROR_UNSET,   /* no such machine is set; the message says how */
    APP_REMOTE_ERROR_OFFLINE, /* it does not answer, or stopped in the middle */
    APP_REMOTE_ERROR_REFUSED, /* 401, 403, 429, a redirect, a certificate */
    APP_REMOTE_ERROR_ANSWER,  /* it answers, but not as such servers do, or without an end */
} AppRemoteError; /* a stopped question is G_IO_ERROR_CANCELLED */

typedef struct AppRemote AppRemote;

/* From the settings remote.*; connects to nothing. NULL with UNSET when no address is set. */
AppRemote *app_remote_new(AppSettings *settings, GError **error);
void app_remote_free(AppRemote *remote); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppRemote, app_remote_free)

/* "bigbox:8000", for people. */
const char *app_remote_get_host(const AppRemote *remote);
bool app_remote_is_encrypted(const AppRemote *remote);
/* What leaves this machine, in plain words, before the first question: one sentence without passages' numbers. g_free. */
char *app_remote_describe(const AppRemote *remote);

/* Connects and asks which models there are; elements char*. Sends nothing but the key. */
GPtrArray *app_remote_check(AppRemote *remote, const bool *cancel, GError **error);

G_END_DECLS

#endif
