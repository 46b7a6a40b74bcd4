/* sample.c: the next token from logits.
 *
 * Owns: greedy choice, temperature, top-k, top-p and min-p, and the random numbers for them.
 * Does not own: which tokens are allowed (the caller sets the logits of others to -INFINITY).
 */
#include "eng.h"

#include <math.h>
#include <stdlib.h>

enum { CANDIDATES_MAX = 256 };

static uint32_t sample_greedy(const float *logits, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best] || (isnan(logits[best]) && !isnan(logits[i]))) best = i;
    return (uint32_t)best;
}

/* splitmix64: every seed is good, 0 included. */
static double random_unit(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (double)((x ^ x >> 31) >> 11) * 0x1p-53;
}

typedef struct candidate { float logit; uint32_t id; } candidate;

static bool is_before(candidate a, candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void sift_down(candidate *heap, size_t n, size_t at)
{
    for (;;) {
        size_t worst = at, left = 2 * at + 1;
        for (size_t child = left; child < left + 2 && child < n; child++)
            if (is_before(heap[worst], heap[child])) worst = child;
        if (worst == at) return;
        candidate swap = heap[at];
        heap[at] = heap[worst];
        heap[worst] = swap;
        at = worst;
    }
}

/* The `most` best of n, best first: a heap of the best so far with the worst of them on top, then sorted in place. */
static size_t choose_best(const float *logits, size_t n, size_t most, candidate *ret_best)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(logits[i] > -INFINITY)) continue;
        candidate c = {logits[i], (uint32_t)i};
        if (count < most) {
            ret_best[count++] = c;
            if (count == most)
                for (size_t at = most / 2 + 1; at-- > 0;) sift_down(ret_best, most, at);
        } else if (is_before(c, ret_best[0])) {
            ret_best[0] = c;
            sift_down(ret_best, most, 0);
        }
    }
    if (count < most)
        for (size_t at = count / 2 + 1; at-- > 0;) sift_down(ret_best, count, at);
    for (size_t left = count; left > 1; left--) {
        candidate worst = ret_best[0];
        ret_best[0] = ret_best[left - 1];
        ret_best[left - 1] = worst;
        sift_down(ret_best, left - 1, 0);
    }
    return count;
}

/* Beyond the CANDIDATES_MAX best the tail's probability is negligible for any useful temperature: it is left out. */
uint32_t eng_sample(eng_sampling *sampling, const float *logits, size_t n_vocabulary)
{
    if (!(sampling->temperature > 0) || sampling->top_k == 1) return sample_greedy(logits, n_vocabulary);
    candidate best[CANDIDATES_MAX];
    double weight[CANDIDATES_MAX], total = 0;
    size_t most = sampling->top_k > 0 && sampling->top_k < CANDIDATES_MAX ? sampling->top_k : CANDIDATES_MAX;
    size_t n = choose_best(logits, n_vocabulary, most, best);
    if (n == 0) return sample_greedy(logits, n_vocabulary);
    for (size_t i = 0; i < n; i++) {
        weight[i] = exp(((double)best[i].logit - best[0].logit) / sampling->temperature);
        if (sampling->min_p > 0 && weight[i] < sampling->min_p) n = i;
        else total += weight[i];
    }
    if (sampling->top_p > 0 && sampling->top_p < 1) {
        double sum = 0, limit = total * sampling->top_p;
        for (size_t i = 0; i < n; i++) {
            sum += weight[i];
            if (sum >= limit) n = i + 1;
        }
        total = sum;
    }
    double at = random_unit(&sampling->state) * total;
    for (size_t i = 0; i + 1 < n; i++) {
        at -= weight[i];
        if (at < 0) return best[i].id;
    }
    return best[n - 1].id;
}
