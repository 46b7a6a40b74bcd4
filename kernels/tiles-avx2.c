/* tiles-avx2.c: a tile of values and its product with weights in float, with FMA.
 *
 * Owns: the form of a tile between expand and product: values [64][d] float, weights [row][64] float.
 * Does not own: who is in the tile (attend-tiles.c, attend-scan.c).
 */
#include "attend-avx2.h"
#include "attend-generic.h"

enum { ROWS = KERN_TILE_ROWS_MULTIPLE, TILE_VECTORS = KERN_TILE_TOKENS / 8 };

AVX2_INLINE void expand_rows(kern_value_type type, size_t d, size_t group, kern_value_rows values, size_t n, float *tile)
{
    size_t row_bytes = type == KERN_VALUE_Q4 ? d / 2 : d;
    for (size_t t = 0; t < n; t++)
        for (size_t f = 0; f < d; f += 8) {
            __m256 value = avx2_features(type, values.rows + t * row_bytes, d, f);
            if (type == KERN_VALUE_Q4) value = _mm256_mul_ps(value, _mm256_set1_ps(_cvtsh_ss(values.scales[t * (d / group) + f / group])));
            _mm256_storeu_ps(tile + t * d + f, value);
        }
}

void kern_avx2_tile_expand(const kern_kv_format *format, kern_value_rows values, size_t n, void *tile, float *key_scale)
{
    size_t d = format->d;
    bool eight = format->value_type == KERN_VALUE_Q8;
    if (format->value_type > KERN_VALUE_Q8) {
        generic_tile_expand(format, values, n, tile, key_scale);
        return;
    }
    if (eight) expand_rows(KERN_VALUE_Q8, d, d, values, n, tile);
    else expand_rows(KERN_VALUE_Q4, d, format->value_group, values, n, tile);
    memset((float *)tile + n * d, 0, (KERN_TILE_TOKENS - n) * d * sizeof(float));
    for (size_t t = 0; t < KERN_TILE_TOKENS; t++) key_scale[t] = t >= n ? 0 : eight ? _cvtsh_ss(values.scales[t]) : 1;
}

bool kern_avx2_tile_softmax(float *scores, const uint32_t *visible, size_t n_rows, const float *key_scale, float *max, float *sum, float *keep,
                            void *p)
{
    bool changed = false;
    for (size_t r = 0; r < n_rows; r++) {
        float *row = scores + r * KERN_TILE_TOKENS;
        for (size_t t = visible[r]; t < KERN_TILE_TOKENS; t++) row[t] = -INFINITY;
        __m256 most = _mm256_loadu_ps(row), total = _mm256_setzero_ps();
        for (size_t i = 1; i < TILE_VECTORS; i++) most = _mm256_max_ps(_mm256_loadu_ps(row + i * 8), most);
        float here = avx2_reduce_max(most);
        keep[r] = 1;
        if (here > max[r]) {
            keep[r] = expf(max[r] - here);
            max[r] = here;
            changed = true;
        }
        /* nothing seen yet: any finite maximum gives weights of 0 */
        __m256 base = _mm256_set1_ps(max[r] == -INFINITY ? 0 : max[r]);
        for (size_t i = 0; i < TILE_VECTORS; i++) {
            __m256 w = avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(row + i * 8), base));
            total = _mm256_add_ps(total, w);
            _mm256_storeu_ps(row + i * 8, w);
        }
        sum[r] = sum[r] * keep[r] + avx2_reduce_add(total);
    }
    generic_tile_weights(scores, KERN_TILE_TOKENS, n_rows, key_scale, p);
    return changed;
}

/* Six rows by 16 features: twelve accumulators, two vectors of values, one weight. */
AVX2_INLINE void product_part(const float *p, const float *tile, size_t d, const float *keep, float *acc)
{
    __m256 sum[ROWS][2];
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < 2; i++)
            sum[r][i] = _mm256_mul_ps(_mm256_loadu_ps(acc + r * d + i * 8), _mm256_set1_ps(keep ? keep[r] : 1));
    for (size_t t = 0; t < KERN_TILE_TOKENS; t++) {
        __m256 low = _mm256_loadu_ps(tile + t * d), high = _mm256_loadu_ps(tile + t * d + 8);
        for (size_t r = 0; r < ROWS; r++) {
            __m256 weight = _mm256_broadcast_ss(p + r * KERN_TILE_TOKENS + t);
            sum[r][0] = _mm256_fmadd_ps(weight, low, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(weight, high, sum[r][1]);
        }
    }
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < 2; i++) _mm256_storeu_ps(acc + r * d + i * 8, sum[r][i]);
}

void kern_avx2_tile_product(const void *p, const void *tile, size_t n_rows, size_t d, const float *keep, float *acc)
{
    for (size_t r = 0; r < n_rows; r += ROWS)
        for (size_t f = 0; f < d; f += 16)
            product_part((const float *)p + r * KERN_TILE_TOKENS, (const float *)tile + f, d, keep ? keep + r : NULL, acc + r * d + f);
}
