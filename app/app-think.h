/* app-think.h: what a chat model thought before it answered, told apart from the answer.
 *
 * Owns: the block <think>…</think> at the beginning of a reply, while the reply comes in pieces and in a whole one.
 * Does not own: asking for thinking (eng_chat_tokens), showing it.
 */
#ifndef APP_THINK_H
#define APP_THINK_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

G_BEGIN_DECLS

/* Zero-initialised, and `inside` set where the prompt has opened the block already. */
typedef struct AppThink {
    bool inside, is_settled; /* is_settled: the block is over, or there is none */
    bool any_answer;         /* something but white space followed the block */
    GString *held;           /* bytes that may be a part of a mark */
} AppThink;
void app_think_clear(AppThink *think);

typedef void (*AppThinkFn)(void *user, const char *text, size_t n_bytes, bool is_thought);
/* Hands on what is certain of this piece; white space around the block's inside and before the answer is left out. */
void app_think_feed(AppThink *think, const char *text, size_t n_bytes, AppThinkFn emit, void *user);
void app_think_end(AppThink *think, AppThinkFn emit, void *user);

/* A whole reply. Both are new strings; *ret_thought is "" where there was no block. A block that was never closed is all of the reply. */
void app_think_split(const char *reply, bool inside, char **ret_thought, char **ret_answer);

G_END_DECLS

#endif
