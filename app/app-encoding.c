/* app-encoding.c: see app-encoding.h. */
#include "app-encoding.h"

#include <string.h>

static const uint32_t replacement = 0xfffd;

const char *app_encoding_name(AppEncoding encoding)
{
    static const char *const names[] = {"UTF-8", "UTF-16LE", "UTF-16BE", "windows-1252"};
    return names[encoding];
}

void app_decoder_init(AppDecoder *decoder, AppEncoding encoding)
{
    *decoder = (AppDecoder){.encoding = encoding, .skip_mark = true, .odd = -1};
}

/* Windows-1252 from 0x80 to 0x9f as WHATWG defines it: the five free places are C1 controls. */
static const uint16_t windows_1252[32] = {
    0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d, 0x017d, 0x8f,
    0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
};

/* Starts a sequence; false when the byte cannot. Bounds on the second byte exclude overlong forms, surrogates and beyond U+10FFFF. */
static bool begin_utf8(AppDecoder *d, uint8_t byte)
{
    d->low = 0x80;
    d->high = 0xbf;
    if (byte >= 0xc2 && byte <= 0xdf) {
        d->needed = 1;
        d->partial = byte & 0x1f;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        d->needed = 2;
        d->partial = byte & 0x0f;
        if (byte == 0xe0) d->low = 0xa0;
        if (byte == 0xed) d->high = 0x9f;
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        d->needed = 3;
        d->partial = byte & 0x07;
        if (byte == 0xf0) d->low = 0x90;
        if (byte == 0xf4) d->high = 0x8f;
    } else {
        return false;
    }
    return true;
}

static size_t add_utf8(AppDecoder *d, const uint8_t *bytes, size_t n_bytes, uint32_t *to)
{
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        uint8_t byte = bytes[i];
        if (d->needed > 0) {
            if (byte >= d->low && byte <= d->high) {
                d->partial = d->partial << 6 | (byte & 0x3f);
                d->low = 0x80;
                d->high = 0xbf;
                if (--d->needed == 0) to[n++] = d->partial;
                continue;
            }
            to[n++] = replacement;
            d->needed = 0;
        }
        if (byte < 0x80) {
            to[n++] = byte;
        } else if (!begin_utf8(d, byte)) {
            to[n++] = replacement;
        }
    }
    return n;
}

static size_t add_utf16(AppDecoder *d, const uint8_t *bytes, size_t n_bytes, uint32_t *to)
{
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        if (d->odd < 0) {
            d->odd = bytes[i];
            continue;
        }
        uint32_t unit = d->encoding == APP_ENCODING_UTF16LE ? (uint32_t)d->odd | (uint32_t)bytes[i] << 8 : (uint32_t)d->odd << 8 | bytes[i];
        d->odd = -1;
        if (d->held != 0 && (unit & 0xfc00) == 0xdc00) {
            to[n++] = 0x10000 + ((d->held - 1 - 0xd800) << 10) + (unit - 0xdc00);
            d->held = 0;
            continue;
        }
        if (d->held != 0) to[n++] = replacement;
        d->held = (unit & 0xfc00) == 0xd800 ? unit + 1 : 0;
        if (d->held == 0) to[n++] = (unit & 0xfc00) == 0xdc00 ? replacement : unit;
    }
    return n;
}

size_t app_decoder_add(AppDecoder *decoder, const uint8_t *bytes, size_t n_bytes, bool at_end, uint32_t *to)
{
    size_t n = 0;
    if (decoder->encoding == APP_ENCODING_UTF8) {
        n = add_utf8(decoder, bytes, n_bytes, to);
    } else if (decoder->encoding == APP_ENCODING_WINDOWS_1252) {
        for (; n < n_bytes; n++) to[n] = bytes[n] >= 0x80 && bytes[n] < 0xa0 ? windows_1252[bytes[n] - 0x80] : bytes[n];
    } else {
        n = add_utf16(decoder, bytes, n_bytes, to);
    }
    if (at_end && (decoder->needed > 0 || decoder->held != 0 || decoder->odd >= 0)) {
        to[n++] = replacement;
        app_decoder_init(decoder, decoder->encoding);
        decoder->skip_mark = false;
    }
    if (n > 0 && decoder->skip_mark) {
        decoder->skip_mark = false;
        if (to[0] == 0xfeff && decoder->encoding != APP_ENCODING_WINDOWS_1252) memmove(to, to + 1, --n * sizeof *to);
    }
    return n;
}

void app_encoding_probe_init(AppEncodingProbe *probe)
{
    *probe = (AppEncodingProbe){0};
    app_decoder_init(&probe->utf8, APP_ENCODING_UTF8);
    probe->utf8.skip_mark = false;
}

void app_encoding_probe_add(AppEncodingProbe *probe, const uint8_t *bytes, size_t n_bytes)
{
    enum { STEP = 1024 };
    uint32_t characters[STEP + 1];
    for (size_t i = 0; i < n_bytes && probe->n_bytes + i < sizeof probe->first; i++) probe->first[probe->n_bytes + i] = bytes[i];
    for (size_t at = 0; at < n_bytes; at += STEP) {
        size_t step = MIN(n_bytes - at, (size_t)STEP);
        for (size_t i = 0; i < step; i++) {
            uint8_t byte = bytes[at + i];
            if (byte >= 0x20) continue;
            if (byte == 0 && ((probe->n_bytes + i) & 1) != 0) probe->n_nul_odd++;
            if (byte == 0 && ((probe->n_bytes + i) & 1) == 0) probe->n_nul_even++;
            if (byte != 0 && (byte < 9 || byte > 13) && byte != 0x1b && byte != 0x1a) probe->n_control++;
        }
        probe->n_bytes += step;
        size_t n = app_decoder_add(&probe->utf8, bytes + at, step, false, characters);
        for (size_t i = 0; i < n; i++) {
            if (characters[i] < 0x80) continue;
            if (characters[i] == replacement) {
                probe->n_broken++; /* a U+FFFD that stands in the file counts too: rare, and a sign of damage as well */
            } else {
                probe->n_multibyte++;
            }
        }
    }
}

bool app_encoding_probe_end(AppEncodingProbe *probe, AppEncoding *ret_encoding)
{
    const uint8_t *first = probe->first;
    uint64_t n_nul = probe->n_nul_even + probe->n_nul_odd, units = probe->n_bytes / 2;
    if (probe->n_bytes >= 2 && first[0] == 0xff && first[1] == 0xfe) {
        *ret_encoding = APP_ENCODING_UTF16LE;
        return true;
    }
    if (probe->n_bytes >= 2 && first[0] == 0xfe && first[1] == 0xff) {
        *ret_encoding = APP_ENCODING_UTF16BE;
        return true;
    }
    /* Without a mark: most Latin text in UTF-16 has a zero in every other byte, and hardly any in the rest. */
    if (units >= 4 && probe->n_nul_odd > units * 6 / 10 && probe->n_nul_even < units / 20) {
        *ret_encoding = APP_ENCODING_UTF16LE;
        return true;
    }
    if (units >= 4 && probe->n_nul_even > units * 6 / 10 && probe->n_nul_odd < units / 20) {
        *ret_encoding = APP_ENCODING_UTF16BE;
        return true;
    }
    if (probe->utf8.needed > 0) probe->n_broken++;
    /* A few bytes of dirt in UTF-8 are dirt; where broken sequences are as common as whole ones, it is an 8-bit encoding. */
    *ret_encoding = probe->n_broken > 0 && probe->n_broken * 8 > probe->n_multibyte ? APP_ENCODING_WINDOWS_1252 : APP_ENCODING_UTF8;
    return n_nul <= probe->n_bytes / 1000 && probe->n_control + n_nul <= 4 + probe->n_bytes / 50;
}
