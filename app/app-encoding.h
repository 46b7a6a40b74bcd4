/* app-encoding.h: bytes of a text file to Unicode characters.
 *
 * Owns: guessing an encoding from all of a file's bytes, decoding in blocks. What cannot be decoded becomes U+FFFD, one for each longest
 *       broken sequence (as the Unicode Standard recommends, 3.9), so that source characters can be counted.
 * Does not own: normalisation (app-normalize.h).
 */
#ifndef APP_ENCODING_H
#define APP_ENCODING_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum AppEncoding { APP_ENCODING_UTF8 = 0, APP_ENCODING_UTF16LE, APP_ENCODING_UTF16BE, APP_ENCODING_WINDOWS_1252 } AppEncoding;
const char *app_encoding_name(AppEncoding encoding);

typedef struct AppDecoder {
    AppEncoding encoding;
    bool skip_mark; /* a byte-order mark at the start is not a character */
    uint32_t partial, needed, low, high; /* UTF-8: what has come, continuation bytes to come, bounds of the next one */
    uint32_t held;                       /* UTF-16: a high surrogate, plus one */
    int32_t odd;                         /* UTF-16: first byte of a unit, -1 none */
} AppDecoder;
void app_decoder_init(AppDecoder *decoder, AppEncoding encoding);
/* Appends at most n_bytes + 1 characters at `to` and returns how many; with at_end, what is still open becomes U+FFFD. */
size_t app_decoder_add(AppDecoder *decoder, const uint8_t *bytes, size_t n_bytes, bool at_end, uint32_t *to);

/* Statistics over a whole file, fed in blocks of any size. */
typedef struct AppEncodingProbe {
    AppDecoder utf8;
    uint64_t n_bytes, n_broken, n_multibyte, n_nul_even, n_nul_odd, n_control;
    uint8_t first[4];
} AppEncodingProbe;
void app_encoding_probe_init(AppEncodingProbe *probe);
void app_encoding_probe_add(AppEncodingProbe *probe, const uint8_t *bytes, size_t n_bytes);
/* False: this is not text. */
bool app_encoding_probe_end(AppEncodingProbe *probe, AppEncoding *ret_encoding);

#endif
