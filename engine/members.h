/* members.h: the texts of a model besides its weights, wherever they come from.
 *
 * Owns: finding config.json, tokenizer.json and what is known of the chat form in a folder, in a compact file, or in the pairs of a GGUF
 *       file, which are turned into the same texts, so that everything after this reads one form.
 * Does not own: what they mean (config.c, tokenizer-load.c, chat.c), writing them into a compact file (pack.c).
 */
#ifndef ENG_MEMBERS_H
#define ENG_MEMBERS_H

#include "chat.h"
#include "weights.h"

typedef enum eng_member { ENG_MEMBER_CONFIG, ENG_MEMBER_TOKENIZER } eng_member;

/* free() both; name is for messages. `path` is the model's. */
eng_status eng_member_read(const eng_weights *weights, const char *path, eng_member member, char **ret_data, size_t *ret_n_bytes,
                           char **ret_name, eng_error *error);

/* From generation_config.json, config.json and the chat template, as far as they are there. */
eng_status eng_member_read_chat(const eng_weights *weights, const char *path, eng_chat *ret_chat, eng_error *error);

/* gguf-members.c. JSON texts as Hugging Face's files have them (free()). */
eng_status eng_gguf_make_config(const eng_gguf *file, char **ret_json, eng_error *error);
eng_status eng_gguf_make_tokenizer(const eng_gguf *file, char **ret_json, eng_error *error);
eng_status eng_gguf_read_chat(const eng_gguf *file, eng_chat *ret_chat, eng_error *error);

#endif
