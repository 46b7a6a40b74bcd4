/* attend-fixture.h: random keys, values and queries for the tests of codes and attention, and what attention means.
 *
 * Owns: a fixture of blocks, queries and outputs; the reference in double over dense vectors with zeros in them.
 * Does not own: the assertions.
 */
#ifndef ATTEND_FIXTURE_H
#define ATTEND_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "kern.h"

enum { FIXTURE_BLOCKS_MAX = 8 };

typedef struct fixture {
    kern_kv_format format;
    size_t n_heads, n_kv_heads;
    size_t n_blocks, block_tokens[FIXTURE_BLOCKS_MAX];
    size_t own_before, n_queries; /* own tokens: own_before + n_queries; with_own false: none */
    bool with_own, with_mass;
    float peak;      /* factor on the queries: how peaked the softmax is */
    float drop_mass;
    unsigned seed;
    /* made by fixture_make */
    uint32_t state;
    kern_context *context;
    kern_kv_block blocks[FIXTURE_BLOCKS_MAX], own;
    float *keys[FIXTURE_BLOCKS_MAX + 1], *values[FIXTURE_BLOCKS_MAX + 1]; /* read back: [kv_heads][tokens][d]; own is the last */
    kern_queries queries;
    float *out, *mass;
    size_t mass_first[FIXTURE_BLOCKS_MAX], n_parts;
    kern_attend_job job;
} fixture;

static inline float fixture_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

/* Roughly normal, with now and then a large entry as real keys have. */
static inline float fixture_feature(uint32_t *state)
{
    float x = fixture_random(state) + fixture_random(state) + fixture_random(state);
    return fixture_random(state) > 0.9f ? x * 4 : x;
}

static inline void *fixture_alloc(size_t bytes)
{
    size_t rounded = (bytes + 64) / 64 * 64;
    void *p = aligned_alloc(64, rounded);
    assert_non_null(p);
    memset(p, 0, rounded);
    return p;
}

static inline kern_kv_block fixture_block(fixture *f, size_t n_tokens)
{
    size_t capacity = (n_tokens + 15) / 16 * 16, width = f->n_kv_heads * f->format.d;
    kern_kv_layout layout = kern_kv_layout_of(&f->format, f->n_kv_heads, capacity);
    void *data = fixture_alloc(layout.total_bytes);
    memset(data, 0xff, layout.total_bytes); /* NaN in what padding leaves untouched */
    float *k = fixture_alloc(n_tokens * width * sizeof *k), *v = fixture_alloc(n_tokens * width * sizeof *v);
    for (size_t i = 0; i < n_tokens * width; i++) k[i] = fixture_feature(&f->state), v[i] = fixture_feature(&f->state);
    kern_encode_params params = {.format = &f->format, .n_heads = f->n_kv_heads};
    kern_encode_keys_values(f->context, &params, k, width, v, width, n_tokens, data, capacity, 0);
    free(k);
    free(v);
    return (kern_kv_block){.data = data, .n_tokens = (uint32_t)n_tokens, .capacity = (uint32_t)capacity};
}

static inline void fixture_queries(fixture *f)
{
    size_t rows = f->n_queries * f->n_heads, d = f->format.d, width = f->n_heads * d;
    f->queries.table = fixture_alloc(rows * 128);
    f->queries.scale = fixture_alloc(rows * sizeof(float));
    f->queries.dense = fixture_alloc(rows * d * sizeof(float));
    float *q = fixture_alloc(rows * d * sizeof *q);
    for (size_t i = 0; i < rows * d; i++) q[i] = fixture_feature(&f->state) * f->peak;
    kern_encode_params params = {.format = &f->format, .n_heads = f->n_heads};
    kern_encode_queries(f->context, &params, q, width, f->n_queries, &f->queries);
    free(q);
}

static inline void fixture_read_back(fixture *f, size_t index, const kern_kv_block *block)
{
    size_t d = f->format.d, n = f->n_kv_heads * block->n_tokens;
    f->keys[index] = fixture_alloc(n * d * sizeof(float));
    f->values[index] = fixture_alloc(n * d * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        kern_kv_get_key(&f->format, f->n_kv_heads, block, i / block->n_tokens, i % block->n_tokens, f->keys[index] + i * d);
        kern_kv_get_value(&f->format, f->n_kv_heads, block, i / block->n_tokens, i % block->n_tokens, f->values[index] + i * d);
    }
}

static inline void fixture_make(fixture *f, unsigned n_threads)
{
    f->state = f->seed * 2654435761u + 1;
    assert_int_equal(kern_context_new(n_threads, false, &f->context), KERN_OK);
    f->n_parts = 0;
    for (size_t b = 0; b < f->n_blocks; b++) {
        f->blocks[b] = fixture_block(f, f->block_tokens[b]);
        fixture_read_back(f, b, &f->blocks[b]);
        f->mass_first[b] = f->n_parts;
        f->n_parts += (f->block_tokens[b] + 63) / 64;
    }
    f->own = f->with_own ? fixture_block(f, f->own_before + f->n_queries) : (kern_kv_block){0};
    fixture_read_back(f, FIXTURE_BLOCKS_MAX, &f->own);
    fixture_queries(f);
    f->out = fixture_alloc(f->n_queries * f->n_heads * f->format.d * sizeof(float));
    f->mass = fixture_alloc(f->n_parts * sizeof(float));
}

static inline kern_status fixture_attend(fixture *f)
{
    kern_attend_params params = {.format = &f->format, .n_heads = f->n_heads, .n_kv_heads = f->n_kv_heads, .drop_mass = f->drop_mass};
    memset(f->mass, 0, f->n_parts * sizeof(float));
    f->job = (kern_attend_job){
        .queries = &f->queries,
        .n_queries = f->n_queries,
        .blocks = f->blocks,
        .n_blocks = f->n_blocks,
        .own = f->own,
        .own_before = f->own_before,
        .out = f->out,
        .out_stride = f->n_heads * f->format.d,
        .mass = f->with_mass ? f->mass : NULL,
        .mass_first = f->mass_first,
    };
    return kern_attend(f->context, &params, &f->job, 1);
}

static inline void fixture_free(fixture *f)
{
    for (size_t b = 0; b < f->n_blocks; b++) free((void *)(uintptr_t)f->blocks[b].data);
    for (size_t i = 0; i <= FIXTURE_BLOCKS_MAX; i++) {
        free(f->keys[i]);
        free(f->values[i]);
    }
    free((void *)(uintptr_t)f->own.data);
    free(f->queries.table);
    free(f->queries.scale);
    free(f->queries.dense);
    free(f->out);
    free(f->mass);
    kern_context_free(f->context);
}

/* The reference takes most of a test's time: sums run beside each other, and no sanitizer watches what is not a kernel. */
#define FIXTURE_REFERENCE __attribute__((no_sanitize("address", "undefined", "thread"))) static inline
enum { FIXTURE_SUMS = 8 }; /* every head size is a multiple */

FIXTURE_REFERENCE void fixture_query(const fixture *f, size_t query, size_t head, double *ret)
{
    size_t row = query * f->n_heads + head, d = f->format.d;
    for (size_t i = 0; i < d; i++)
        ret[i] = f->format.key_type == KERN_KEY_CODE32 ? (double)f->queries.dense[row * d + i]
                                                       : (double)f->queries.table[row * 128 + i] * (double)f->queries.scale[row];
}

/* Scores of one row with the first n tokens of a block of `total`. */
FIXTURE_REFERENCE size_t fixture_scores(const fixture *f, size_t index, size_t total, size_t n, const double *query, size_t kv_head, double *scores)
{
    const float *key = f->keys[index] + kv_head * total * f->format.d;
    for (size_t t = 0; t < n; t++, key += f->format.d) {
        double sums[FIXTURE_SUMS] = {0};
        for (size_t i = 0; i < f->format.d; i += FIXTURE_SUMS)
            for (size_t j = 0; j < FIXTURE_SUMS; j++) sums[j] += query[i + j] * (double)key[i + j];
        scores[t] = 0;
        for (size_t j = 0; j < FIXTURE_SUMS; j++) scores[t] += sums[j];
    }
    return n;
}

FIXTURE_REFERENCE void fixture_add_values(const fixture *f, size_t index, size_t total, size_t n, const double *weights, size_t kv_head, double *out)
{
    const float *value = f->values[index] + kv_head * total * f->format.d;
    for (size_t t = 0; t < n; t++, value += f->format.d)
        for (size_t i = 0; i < f->format.d; i += FIXTURE_SUMS)
            for (size_t j = 0; j < FIXTURE_SUMS; j++) out[i + j] += weights[t] * (double)value[i + j];
}

/* Attention of one query row in double: out [d], weights of all tokens in order (returns their number). */
FIXTURE_REFERENCE size_t fixture_reference(const fixture *f, size_t query, size_t head, double *weights, double *out)
{
    double q[KERN_HEAD_DIM_MAX], max = -INFINITY, sum = 0;
    size_t kv = head / (f->n_heads / f->n_kv_heads), n = 0, at = 0, own = f->with_own ? f->own_before + query + 1 : 0;
    fixture_query(f, query, head, q);
    for (size_t b = 0; b < f->n_blocks; b++) n += fixture_scores(f, b, f->block_tokens[b], f->block_tokens[b], q, kv, weights + n);
    if (own) n += fixture_scores(f, FIXTURE_BLOCKS_MAX, f->own.n_tokens, own, q, kv, weights + n);
    for (size_t t = 0; t < n; t++) max = weights[t] > max ? weights[t] : max;
    for (size_t t = 0; t < n; t++) sum += weights[t] = exp(weights[t] - max);
    for (size_t t = 0; t < n; t++) weights[t] /= sum;
    memset(out, 0, f->format.d * sizeof *out);
    for (size_t b = 0; b < f->n_blocks; at += f->block_tokens[b++])
        fixture_add_values(f, b, f->block_tokens[b], f->block_tokens[b], weights + at, kv, out);
    if (own) fixture_add_values(f, FIXTURE_BLOCKS_MAX, f->own.n_tokens, own, weights + at, kv, out);
    return n;
}
#endif
