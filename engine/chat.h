/* chat.h: how a checkpoint wants to be talked to, and when its replies end.
 *
 * Owns: the stop tokens and the sampling that generation_config.json advises, and whether the model thinks before it answers, which its
 *       chat template tells.
 * Does not own: running templates: Qwen3's turns are always the same (tokenizer-chat.c); what differs between its checkpoints is the
 *               block <think>…</think> alone.
 */
#ifndef ENG_CHAT_H
#define ENG_CHAT_H

#include "eng.h"

#include <jansson.h>

enum { ENG_STOP_IDS_MAX = 16 };

typedef struct eng_chat {
    uint32_t stop_ids[ENG_STOP_IDS_MAX];
    size_t n_stop_ids;
    bool knows_thinking; /* a template or a packed file said it */
    eng_thinking thinking;
    float temperature, top_p; /* 0: none advised */
} eng_chat;

/* "eos_token_id" (a number or a list), "temperature", "top_p" and, as packed files have it, "thinking" of an object. `name` is the file's,
 * for messages. */
eng_status eng_chat_read(eng_chat *chat, const json_t *object, const char *name, eng_error *error);
/* What a chat template says of thinking: Qwen3's first ones take enable_thinking, the later "Thinking" ones open the block themselves, the
 * later "Instruct" ones do neither. */
void eng_chat_read_template(eng_chat *chat, const char *text, size_t n_bytes);
/* The object that eng_chat_read reads back; NULL: out of memory. */
json_t *eng_chat_to_json(const eng_chat *chat);

#endif
