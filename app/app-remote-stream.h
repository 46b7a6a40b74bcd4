/* app-remote-stream.h: from the bytes that an OpenAI-compatible server sends to a reply's text (private to app/).
 *
 * Owns: server-sent events, the objects in them, thinking aloud, what of the text may not be. Does not own: the connection
 *       (app-remote.c). Pure: bytes in, text out; so that any bytes can be tried on it.
 *
 * Source: HTML Living Standard, 9.2 (event streams); OpenAI's chat completion chunks. Limits: an event of 1 MiB, a text of 256 KiB.
 */
#ifndef APP_REMOTE_STREAM_H
#define APP_REMOTE_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

G_BEGIN_DECLS

typedef struct AppRemoteStream AppRemoteStream;
typedef void (*AppRemoteTextFn)(void *user, const char *text, size_t n_bytes);

AppRemoteStream *app_remote_stream_new(AppRemoteTextFn on_text, void *user); /* on_text may be NULL */
void app_remote_stream_free(AppRemoteStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppRemoteStream, app_remote_stream_free)

/* Takes bytes, cut anywhere. False: they are not what such servers send; *error has APP_REMOTE_ERROR. */
bool app_remote_stream_take(AppRemoteStream *stream, const char *bytes, size_t n, GError **error);
/* Nothing more comes. False: it ended before its end, or there was nothing. */
bool app_remote_stream_end(AppRemoteStream *stream, GError **error);
/* Enough came: the reply ended, or its text is as long as allowed. */
bool app_remote_stream_is_done(const AppRemoteStream *stream);

const char *app_remote_stream_get_text(const AppRemoteStream *stream);
bool app_remote_stream_is_complete(const AppRemoteStream *stream); /* the model ended it itself */
uint64_t app_remote_stream_n_tokens(const AppRemoteStream *stream);
uint64_t app_remote_stream_n_prompt_tokens(const AppRemoteStream *stream);

G_END_DECLS

#endif
