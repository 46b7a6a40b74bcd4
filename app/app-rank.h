/* app-rank.h: which sections a question attends to.
 *
 * Owns: joining several rankings into one (reciprocal rank fusion), names and years of the question that stand in sections' heads,
 *       filling a budget of tokens.
 * Does not own: the rankings by words (app-library.h) and by the model's key codes (eng_rank_sections).
 *
 * Source: Cormack, Clarke, Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009.
 */
#ifndef APP_RANK_H
#define APP_RANK_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

G_BEGIN_DECLS

/* scores [n]: higher is better; NaN: not ranked by this list. Equal scores share a rank. */
typedef struct AppRanking {
    const float *scores;
    float weight;
} AppRanking;

/* ret_fused [n] = sum over rankings of weight / (60 + rank), rank from 1. */
void app_rank_fuse(const AppRanking *rankings, size_t n_rankings, size_t n, float *ret_fused);

/* For each head the summed rarity of the question's words that it holds, where a word counts that tells heads apart (not in all of
 * them) and looks like a name, a year or a number: it has a digit, or a capital letter anywhere but at the question's beginning, or
 * no other head than few have it. ret_scores [n]: 0 where nothing is shared. Returns how many heads share something. */
size_t app_rank_by_heads(const char *question, const char *const *heads, size_t n, float *ret_scores);

/* Chooses sections in the order of `fused`, as long as their tokens fit the budget, but first the best one of each ranking (at most
 * n_max sections; 0: no limit). At least one is chosen. ret_chosen: indices, ascending, uint32_t; free with g_array_unref. */
GArray *app_rank_choose(const float *fused, const AppRanking *rankings, size_t n_rankings, const uint32_t *n_tokens, size_t n,
                        uint64_t budget_tokens, size_t n_max);

G_END_DECLS

#endif
