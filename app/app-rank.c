/* app-rank.c: which sections a question attends to.
 *
 * Owns: rank fusion, words of the question in heads, filling a budget.
 * Does not own: the rankings themselves.
 */
#include "app-rank.h"

#include <math.h>
#include <string.h>

enum { FUSION_OFFSET = 60 }; /* the paper's k */

typedef struct Ranked {
    float score;
    uint32_t index;
} Ranked;

static int compare_ranked(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Indices by falling score, equal scores by index; those that are not numbers are left out. */
static Ranked *sort_scores(const float *scores, size_t n, size_t *ret_n)
{
    Ranked *ranked = g_new(Ranked, MAX(n, 1));
    size_t n_ranked = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(scores[i])) ranked[n_ranked++] = (Ranked){scores[i], (uint32_t)i};
    qsort(ranked, n_ranked, sizeof *ranked, compare_ranked);
    *ret_n = n_ranked;
    return ranked;
}

void app_rank_fuse(const AppRanking *rankings, size_t n_rankings, size_t n, float *ret_fused)
{
    memset(ret_fused, 0, n * sizeof *ret_fused);
    for (size_t r = 0; r < n_rankings; r++) {
        size_t n_ranked;
        g_autofree Ranked *ranked = sort_scores(rankings[r].scores, n, &n_ranked);
        size_t rank = 1;
        for (size_t i = 0; i < n_ranked; i++) {
            if (i > 0 && ranked[i].score != ranked[i - 1].score) rank = i + 1;
            ret_fused[ranked[i].index] += rankings[r].weight / (float)(FUSION_OFFSET + rank);
        }
    }
}

/* ----------------------------------------------------------------------------------------------------------------- heads */

typedef struct Term {
    char *word;    /* folded */
    bool distinct; /* looks like a name, a year or a number */
} Term;

static void term_clear(gpointer data) { g_free(((Term *)data)->word); }

/* Words of letters or of digits ("2023Q2" gives "2023", "q", "2"), folded, in order. */
static GArray *split_terms(const char *text)
{
    GArray *terms = g_array_new(FALSE, FALSE, sizeof(Term));
    g_array_set_clear_func(terms, term_clear);
    const char *at = text;
    bool is_first = true;
    while (*at) {
        gunichar c = g_utf8_get_char(at);
        bool digit = g_unichar_isdigit(c);
        if (!digit && !g_unichar_isalpha(c)) {
            at = g_utf8_next_char(at);
            continue;
        }
        const char *start = at;
        for (; *at; at = g_utf8_next_char(at)) {
            gunichar next = g_utf8_get_char(at);
            if (digit ? !g_unichar_isdigit(next) : !g_unichar_isalpha(next) && !g_unichar_ismark(next)) break;
        }
        g_autofree char *lower = g_utf8_casefold(start, at - start);
        Term term = {.word = g_strdup(lower), .distinct = digit || (g_unichar_isupper(c) && !is_first)};
        /* A single letter names nothing: "s" of "Osborne's", "a". */
        if (!digit && g_utf8_strlen(lower, -1) < 2)
            term_clear(&term);
        else
            g_array_append_val(terms, term);
        is_first = false;
    }
    return terms;
}

static GHashTable *make_set(const char *text)
{
    GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GArray) terms = split_terms(text);
    for (size_t i = 0; i < terms->len; i++) g_hash_table_add(set, g_strdup(g_array_index(terms, Term, i).word));
    return set;
}

/* Adds a term's rarity to the heads that hold it. Heads repeat (all sections of a chapter share one), so each different head is
 * looked at once: `sets` holds NULL for a repetition of the one before. */
static void add_term(const Term *term, GHashTable *const *sets, size_t n, float *scores)
{
    size_t n_holding = 0;
    for (size_t i = 0; i < n; i++) n_holding += sets[i] && g_hash_table_contains(sets[i], term->word);
    if (n_holding == 0 || n_holding == n) return;
    bool rare = n_holding * 20 <= n;
    if (!term->distinct && !rare) return;
    float rarity = logf((float)n / (float)n_holding) * (term->distinct ? 1.0f : 0.5f);
    for (size_t i = 0; i < n; i++)
        if (sets[i] && g_hash_table_contains(sets[i], term->word)) scores[i] += rarity;
}

size_t app_rank_by_heads(const char *question, const char *const *heads, size_t n, float *ret_scores)
{
    g_autoptr(GHashTable) by_head = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_hash_table_unref);
    g_autofree GHashTable **sets = g_new0(GHashTable *, MAX(n, 1));
    for (size_t i = 0; i < n; i++) {
        sets[i] = g_hash_table_lookup(by_head, heads[i]);
        if (sets[i]) continue;
        sets[i] = make_set(heads[i]);
        g_hash_table_insert(by_head, (gpointer)heads[i], sets[i]);
    }
    memset(ret_scores, 0, n * sizeof *ret_scores);
    g_autoptr(GArray) terms = split_terms(question);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < terms->len; i++) {
        const Term *term = &g_array_index(terms, Term, i);
        if (g_hash_table_add(seen, term->word)) add_term(term, sets, n, ret_scores);
    }
    size_t n_sharing = 0;
    for (size_t i = 0; i < n; i++) n_sharing += ret_scores[i] > 0;
    return n_sharing;
}

/* ---------------------------------------------------------------------------------------------------------------- choice */

typedef struct Choice {
    GArray *indices; /* uint32_t */
    bool *taken;
    uint64_t n_tokens, budget_tokens;
    size_t n_max;
} Choice;

static bool take(Choice *choice, uint32_t index, uint32_t n_tokens)
{
    if (choice->taken[index]) return true;
    if (choice->n_max && choice->indices->len >= choice->n_max) return false;
    if (choice->indices->len && choice->n_tokens + n_tokens > choice->budget_tokens) return false;
    choice->taken[index] = true;
    choice->n_tokens += n_tokens;
    g_array_append_val(choice->indices, index);
    return true;
}

static int compare_indices(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

GArray *app_rank_choose(const float *fused, const AppRanking *rankings, size_t n_rankings, const uint32_t *n_tokens, size_t n,
                        uint64_t budget_tokens, size_t n_max)
{
    g_autofree bool *taken = g_new0(bool, MAX(n, 1));
    Choice choice = {.indices = g_array_new(FALSE, FALSE, sizeof(uint32_t)), .taken = taken, .budget_tokens = budget_tokens, .n_max = n_max};
    size_t n_ranked;
    g_autofree Ranked *order = sort_scores(fused, n, &n_ranked);
    if (n_ranked) take(&choice, order[0].index, n_tokens[order[0].index]);
    for (size_t r = 0; r < n_rankings; r++) {
        size_t n_in;
        g_autofree Ranked *ranked = sort_scores(rankings[r].scores, n, &n_in);
        /* A list whose best is shared by many has no best. */
        if (n_in && (n_in == 1 || ranked[0].score > ranked[1].score)) take(&choice, ranked[0].index, n_tokens[ranked[0].index]);
    }
    for (size_t i = 0; i < n_ranked; i++) take(&choice, order[i].index, n_tokens[order[i].index]);
    g_array_sort(choice.indices, compare_indices);
    return choice.indices;
}
