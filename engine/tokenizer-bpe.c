/* tokenizer-bpe.c: byte pair encoding of one word.
 *
 * Owns: applying merges, lowest rank first and leftmost first among equals, as the reference does; a cache of short words.
 * Does not own: what a word is (tokenizer.c), the table of merges (tokenizer-load.c).
 *
 * Short words: the best pair is searched anew after each merge. Long ones: a heap and a linked list, O(n log n), since a "word" may
 * be a megabyte of letters.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    SHORT_SYMBOLS = 48,
    CACHED_BYTES = 15,
    CACHED_IDS = 5,
    CACHE_ENTRIES_MAX = 1 << 14,
};

typedef struct cached_word {
    uint64_t low, high; /* the word's bytes; its length is the last one: 0 means empty */
    uint32_t ids[CACHED_IDS];
    uint32_t n;
} cached_word;

typedef struct symbol {
    uint32_t id, previous, next; /* places in the word; next = n: the last one */
} symbol;

struct eng_bpe {
    const eng_tokenizer *tokenizer;
    cached_word *cache;
    size_t cache_mask;
    symbol *symbols; /* for long words */
    uint64_t *heap;  /* rank << 32 | place of the left symbol */
    size_t capacity;
};

eng_bpe *eng_bpe_new(const eng_tokenizer *tokenizer, size_t text_bytes)
{
    eng_bpe *bpe = calloc(1, sizeof *bpe);
    size_t n = 16;
    while (n < CACHE_ENTRIES_MAX && n < text_bytes / 8) n *= 2;
    if (bpe != NULL) bpe->cache = calloc(n, sizeof *bpe->cache);
    if (bpe == NULL || bpe->cache == NULL) {
        free(bpe);
        return NULL;
    }
    bpe->tokenizer = tokenizer;
    bpe->cache_mask = n - 1;
    return bpe;
}

void eng_bpe_free(eng_bpe *bpe)
{
    if (bpe == NULL) return;
    free(bpe->cache);
    free(bpe->symbols);
    free(bpe->heap);
    free(bpe);
}

static const eng_merge *find_merge(const eng_tokenizer *t, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    uint32_t at = (uint32_t)((pair * 0x9e3779b97f4a7c15u) >> 32) & t->merges_mask;
    for (;; at = (at + 1) & t->merges_mask) {
        if (t->merges[at].pair == pair) return &t->merges[at];
        if (t->merges[at].pair == UINT64_MAX) return NULL;
    }
}

static uint32_t find_rank(const eng_tokenizer *t, uint32_t left, uint32_t right)
{
    const eng_merge *merge = find_merge(t, left, right);
    return merge == NULL ? UINT32_MAX : merge->rank;
}

/* ids [n] in, merged in place; returns how many are left. */
static size_t merge_short(const eng_tokenizer *t, uint32_t *ids, size_t n)
{
    uint32_t ranks[SHORT_SYMBOLS];
    for (size_t i = 0; i + 1 < n; i++) ranks[i] = find_rank(t, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == UINT32_MAX) break;
        ids[best] = find_merge(t, ids[best], ids[best + 1])->id;
        memmove(ids + best + 1, ids + best + 2, (n - best - 2) * sizeof *ids);
        if (best + 3 < n) memmove(ranks + best + 1, ranks + best + 2, (n - best - 3) * sizeof *ranks);
        n--;
        if (best + 1 < n) ranks[best] = find_rank(t, ids[best], ids[best + 1]);
        if (best > 0) ranks[best - 1] = find_rank(t, ids[best - 1], ids[best]);
    }
    return n;
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t value)
{
    size_t at = (*n)++;
    while (at > 0 && heap[(at - 1) / 2] > value) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = value;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n)
{
    uint64_t top = heap[0], value = heap[--*n];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < *n; at = child) {
        if (child + 1 < *n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= value) break;
        heap[at] = heap[child];
    }
    heap[at] = value;
    return top;
}

static void push_pair(eng_bpe *bpe, size_t *n_heap, uint32_t place, size_t n)
{
    const symbol *s = &bpe->symbols[place];
    if (s->next >= n) return;
    uint32_t rank = find_rank(bpe->tokenizer, s->id, bpe->symbols[s->next].id);
    if (rank != UINT32_MAX) heap_push(bpe->heap, n_heap, (uint64_t)rank << 32 | place);
}

static eng_status reserve_long(eng_bpe *bpe, size_t n, eng_error *error)
{
    if (n <= bpe->capacity) return ENG_OK;
    free(bpe->symbols);
    free(bpe->heap);
    bpe->capacity = 0;
    bpe->symbols = malloc(n * sizeof *bpe->symbols);
    bpe->heap = malloc(3 * n * sizeof *bpe->heap); /* each merge takes one pair out at least and puts two in */
    if (bpe->symbols == NULL || bpe->heap == NULL) return eng_fail(error, ENG_NO_MEMORY, "out of memory for a word of %zu bytes", n);
    bpe->capacity = n;
    return ENG_OK;
}

static eng_status add_long(eng_bpe *bpe, const char *word, size_t n, eng_tokens *tokens, eng_error *error)
{
    eng_status status = reserve_long(bpe, n, error);
    if (status == ENG_OK) status = eng_tokens_reserve(tokens, n, error);
    if (status != ENG_OK) return status;
    symbol *symbols = bpe->symbols;
    size_t n_heap = 0;
    for (size_t i = 0; i < n; i++)
        symbols[i] = (symbol){bpe->tokenizer->byte_ids[(uint8_t)word[i]], i == 0 ? UINT32_MAX : (uint32_t)i - 1, (uint32_t)i + 1};
    for (size_t i = 0; i + 1 < n; i++) push_pair(bpe, &n_heap, (uint32_t)i, n);
    while (n_heap > 0) {
        uint64_t top = heap_pop(bpe->heap, &n_heap);
        symbol *left = &symbols[(uint32_t)top];
        if (left->id == ENG_NO_TOKEN || left->next >= n) continue;
        const eng_merge *merge = find_merge(bpe->tokenizer, left->id, symbols[left->next].id);
        if (merge == NULL || merge->rank != top >> 32) continue; /* one of the two has been merged since */
        symbol *right = &symbols[left->next];
        left->id = merge->id;
        left->next = right->next;
        right->id = ENG_NO_TOKEN;
        if (left->next < n) symbols[left->next].previous = (uint32_t)top;
        push_pair(bpe, &n_heap, (uint32_t)top, n);
        if (left->previous != UINT32_MAX) push_pair(bpe, &n_heap, left->previous, n);
    }
    for (uint32_t i = 0; i < n; i = symbols[i].next) tokens->ids[tokens->n++] = symbols[i].id;
    return ENG_OK;
}

static eng_status add_ids(eng_tokens *tokens, const uint32_t *ids, size_t n, eng_error *error)
{
    if (tokens->capacity - tokens->n < n) {
        eng_status status = eng_tokens_reserve(tokens, n, error);
        if (status != ENG_OK) return status;
    }
    memcpy(tokens->ids + tokens->n, ids, n * sizeof *ids);
    tokens->n += n;
    return ENG_OK;
}

static cached_word *find_cached(eng_bpe *bpe, const char *word, size_t n_bytes, uint64_t key[2])
{
    char bytes[16] = {0};
    memcpy(bytes, word, n_bytes);
    bytes[15] = (char)n_bytes;
    memcpy(key, bytes, 16);
    uint64_t hash = (key[0] ^ key[1] * 0xff51afd7ed558ccdu) * 0x9e3779b97f4a7c15u;
    return &bpe->cache[(hash >> 40) & bpe->cache_mask];
}

eng_status eng_bpe_add_word(eng_bpe *bpe, const char *word, size_t n_bytes, eng_tokens *tokens, eng_error *error)
{
    const eng_tokenizer *t = bpe->tokenizer;
    cached_word *cached = NULL;
    uint64_t key[2];
    if (n_bytes <= CACHED_BYTES) {
        cached = find_cached(bpe, word, n_bytes, key);
        if (cached->low == key[0] && cached->high == key[1]) return add_ids(tokens, cached->ids, cached->n, error);
    }
    uint32_t ids[SHORT_SYMBOLS];
    size_t n = n_bytes;
    uint32_t whole = t->ignore_merges ? eng_tokenizer_find(t, word, n_bytes) : ENG_NO_TOKEN;
    if (whole != ENG_NO_TOKEN) {
        ids[0] = whole;
        n = 1;
    } else if (n_bytes > SHORT_SYMBOLS) {
        return add_long(bpe, word, n_bytes, tokens, error);
    } else {
        for (size_t i = 0; i < n; i++) ids[i] = t->byte_ids[(uint8_t)word[i]];
        n = merge_short(t, ids, n);
    }
    if (cached != NULL && n <= CACHED_IDS) {
        cached->low = key[0];
        cached->high = key[1];
        cached->n = (uint32_t)n;
        memcpy(cached->ids, ids, n * sizeof *ids);
    }
    return add_ids(tokens, ids, n, error);
}
