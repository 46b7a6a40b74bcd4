/* tokenizer.h: what the files of the tokenizer share.
 *
 * Owns: struct eng_tokenizer. tokenizer-load.c builds it from tokenizer.json, tokenizer-text.c repairs and normalises text,
 *       tokenizer-bpe.c merges one word's bytes, tokenizer.c puts them together.
 *       tokenizer-chat.c writes turns of a chat.
 * Does not own: which chat form a checkpoint wants (chat.h).
 *
 * The reference is Hugging Face's `tokenizers`: text -> added tokens split off -> NFC -> Split by a pattern -> bytes -> BPE.
 */
#ifndef ENG_TOKENIZER_H
#define ENG_TOKENIZER_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "model.h"

enum {
    ENG_TOKEN_IDS_MAX = 1 << 21,
    ENG_ADDED_TOKENS_MAX = 65536,
    ENG_TEXT_BYTES_MAX = 1 << 30,
};

#define ENG_NO_TOKEN UINT32_MAX

typedef struct eng_token {
    const char *bytes; /* in the arena, with a 0 byte behind; NULL: no token has this id */
    uint32_t n_bytes;
    bool added, special;
} eng_token;

/* left << 32 | right -> rank and the merged token. Open addressing; an empty slot's key is UINT64_MAX. */
typedef struct eng_merge {
    uint64_t pair;
    uint32_t rank, id;
} eng_merge;

struct eng_tokenizer {
    eng_token *tokens; /* [n_vocabulary] */
    uint32_t n_vocabulary;
    char *arena;
    uint32_t byte_ids[256];
    eng_merge *merges;
    uint32_t merges_mask;
    uint32_t *words; /* hash table of ids by their bytes */
    uint32_t words_mask;
    bool ignore_merges, normalize;
    pcre2_code *split; /* NULL: no splitting */
    bool split_jit;
    uint32_t *added;           /* ids by first byte, then longest first */
    uint32_t added_first[257]; /* those that start with byte b: added[added_first[b] .. added_first[b + 1]) */
    uint32_t special_ids[3];   /* by eng_special; ENG_NO_TOKEN: not there */
    bool has_thinking;         /* <think> and </think> */
};

/* tokenizer-load.c: the id of the vocabulary's token with these bytes. */
uint32_t eng_tokenizer_find(const eng_tokenizer *tokenizer, const char *bytes, size_t n_bytes);

/* tokenizer-text.c. Each returns in *ret_text either the text itself or memory that *ret_owned holds too (free()). */
eng_status eng_text_repair(const char *text, size_t n_bytes, const char **ret_text, size_t *ret_n_bytes, char **ret_owned,
                           eng_error *error);
eng_status eng_text_normalize(const char *text, size_t n_bytes, const char **ret_text, size_t *ret_n_bytes, char **ret_owned,
                              eng_error *error);
/* Length of the character that starts at text; text is valid UTF-8. */
static inline size_t eng_text_step(const char *text)
{
    unsigned char c = (unsigned char)*text;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* tokenizer-bpe.c: merging of words, with memory that lasts for one call of eng_tokenize. */
typedef struct eng_bpe eng_bpe;
eng_bpe *eng_bpe_new(const eng_tokenizer *tokenizer, size_t text_bytes); /* NULL: out of memory */
void eng_bpe_free(eng_bpe *bpe);
eng_status eng_bpe_add_word(eng_bpe *bpe, const char *word, size_t n_bytes, eng_tokens *tokens, eng_error *error);

/* Room for n more ids. */
eng_status eng_tokens_reserve(eng_tokens *tokens, size_t n, eng_error *error);

#endif
