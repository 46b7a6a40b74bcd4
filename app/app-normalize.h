/* app-normalize.h: Unicode characters of a source to the library's form of text: UTF-8, NFC, LF, no controls.
 *
 * Owns: normalisation in a stream and saying, for each place where the two part, which source character a text character comes from.
 * Does not own: decoding (app-encoding.h), what becomes of the text.
 *
 * CR LF and CR become LF (at the CR's place), a form feed becomes LF, other controls but TAB a space, U+0000 U+FFFD. Sequences that
 * NFC changes are mapped at their borders: a range of text that ends behind one ends in the source behind all of it.
 */
#ifndef APP_NORMALIZE_H
#define APP_NORMALIZE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct AppNormalizer AppNormalizer;
typedef struct AppNormalizerOut {
    bool (*text)(void *user, const char *text, size_t n_bytes); /* false: stop */
    /* From text character text_char on, the source goes on at source_char. Comes before that text does, first with 0, `first`. */
    bool (*offset)(void *user, uint64_t text_char, uint64_t source_char);
    void *user;
} AppNormalizerOut;

/* text_char: characters of text that stand before; source_char: number of the first character to come. */
AppNormalizer *app_normalizer_new(const AppNormalizerOut *out, uint64_t text_char, uint64_t source_char);
void app_normalizer_free(AppNormalizer *normalizer);
/* False once a callback said stop. */
bool app_normalizer_add(AppNormalizer *normalizer, const uint32_t *characters, size_t n);
bool app_normalizer_end(AppNormalizer *normalizer); /* what is held back comes out */

#endif
