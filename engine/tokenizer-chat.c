/* tokenizer-chat.c: turns of a chat as tokens, and which tokens end a reply.
 *
 * Owns: the form of a turn. Source: the chat template of Qwen3 (chat_template in its tokenizer_config.json), whose output for plain turns
 *       this is, byte for byte and token for token.
 * Does not own: what is known of the checkpoint's thinking and stop tokens (chat.c).
 *
 * Words of people and of documents never become special tokens: only what this file writes itself does.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

bool eng_token_stops(const eng_model *model, uint32_t id)
{
    if (id == model->tokenizer->special_ids[ENG_TOKEN_STOP] || id == model->tokenizer->special_ids[ENG_TOKEN_END]) return true;
    for (size_t i = 0; i < model->chat.n_stop_ids; i++)
        if (model->chat.stop_ids[i] == id) return true;
    return false;
}

typedef struct writer {
    const eng_model *model;
    eng_tokens *tokens;
    eng_error *error;
    eng_status status; /* the first failure */
} writer;

static void put_special(writer *w, eng_special special)
{
    if (w->status == ENG_OK) w->status = eng_tokens_reserve(w->tokens, 1, w->error);
    if (w->status == ENG_OK) w->tokens->ids[w->tokens->n++] = eng_special_token(w->model, special);
}

/* head and text are one run of plain text, since tokens may span the border between them. */
static void put_text(writer *w, const char *head, const char *text)
{
    size_t n_head = strlen(head), n_text = strlen(text);
    char *joined = w->status == ENG_OK ? malloc(n_head + n_text + 1) : NULL;
    if (w->status != ENG_OK) return;
    if (joined == NULL) {
        w->status = eng_fail(w->error, ENG_NO_MEMORY, "out of memory for a turn of a chat");
        return;
    }
    memcpy(joined, head, n_head);
    memcpy(joined + n_head, text, n_text + 1);
    w->status = eng_tokenize(w->model, joined, n_head + n_text, false, w->tokens, w->error);
    free(joined);
}

static void put_message(writer *w, const char *head, const char *text)
{
    put_special(w, ENG_TOKEN_START);
    put_text(w, head, text);
    put_special(w, ENG_TOKEN_STOP);
    put_text(w, "\n", "");
}

static void put_thinking(writer *w, bool think)
{
    const char *block = NULL;
    if (w->model->chat.thinking == ENG_THINKING_ALWAYS) block = "<think>\n";
    if (w->model->chat.thinking == ENG_THINKING_OPTIONAL && !think) block = "<think>\n\n</think>\n\n";
    if (block != NULL && w->status == ENG_OK) w->status = eng_tokenize(w->model, block, strlen(block), true, w->tokens, w->error);
}

eng_status eng_chat_tokens(const eng_model *model, const eng_chat_turn *turn, eng_tokens *tokens, eng_error *error)
{
    size_t n_before = tokens->n;
    writer w = {.model = model, .tokens = tokens, .error = error};
    if (turn->system != NULL) put_message(&w, "system\n", turn->system);
    put_message(&w, "user\n", turn->question);
    if (turn->reply != NULL) {
        put_message(&w, "assistant\n", turn->reply);
    } else {
        put_special(&w, ENG_TOKEN_START);
        put_text(&w, "assistant\n", "");
        put_thinking(&w, turn->think);
    }
    if (w.status != ENG_OK) tokens->n = n_before;
    return w.status;
}

eng_status eng_prompt_tokens(const eng_model *model, const char *question, eng_tokens *tokens, eng_error *error)
{
    return eng_chat_tokens(model, &(eng_chat_turn){.question = question}, tokens, error);
}
