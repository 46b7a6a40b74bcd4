/* app-normalize.c: see app-normalize.h. */
#include "app-normalize.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

enum {
    SEGMENT_MAX = 1024, /* a base and its marks; longer piles of marks are cut (no writing system has them) */
    OUT_BYTES = 32768,
};

struct AppNormalizer {
    AppNormalizerOut out;
    uint64_t text_char;                 /* of the next character that is put */
    uint64_t source_char;               /* of the next character that is added */
    uint64_t shift;                     /* source minus text (modulo 2^64) as reported last */
    bool has_shift, after_cr, stopped;
    uint32_t segment[SEGMENT_MAX];
    size_t n_segment;
    uint64_t segment_source;
    char held[OUT_BYTES + 16];
    size_t n_held;
};

AppNormalizer *app_normalizer_new(const AppNormalizerOut *out, uint64_t text_char, uint64_t source_char)
{
    AppNormalizer *normalizer = g_new0(AppNormalizer, 1);
    normalizer->out = *out;
    normalizer->text_char = text_char;
    normalizer->source_char = source_char;
    return normalizer;
}

void app_normalizer_free(AppNormalizer *normalizer)
{
    g_free(normalizer);
}

static void flush(AppNormalizer *z)
{
    if (z->n_held > 0 && !z->stopped && !z->out.text(z->out.user, z->held, z->n_held)) z->stopped = true;
    z->n_held = 0;
}

/* The next character put comes from `source`. */
static void report(AppNormalizer *z, uint64_t source)
{
    if (z->has_shift && source - z->text_char == z->shift) return;
    z->shift = source - z->text_char;
    z->has_shift = true;
    if (!z->stopped && !z->out.offset(z->out.user, z->text_char, source)) z->stopped = true;
}

static void put(AppNormalizer *z, uint32_t character)
{
    if (character < 0x80) {
        z->held[z->n_held++] = (char)character;
    } else {
        z->n_held += (size_t)g_unichar_to_utf8(character, z->held + z->n_held);
    }
    z->text_char++;
    if (z->n_held >= OUT_BYTES) flush(z);
}

/* True when NFC leaves a lone character as it is without asking the library: no decomposition of its own. */
static bool is_plain(uint32_t c)
{
    return c < 0x300 || (c >= 0xac00 && c <= 0xd7a3) || utf8proc_get_property((utf8proc_int32_t)c)->decomp_seqindex == UINT16_MAX;
}

static void end_segment(AppNormalizer *z)
{
    if (z->n_segment == 0) return;
    size_t n = z->n_segment;
    z->n_segment = 0;
    if (n == 1 && is_plain(z->segment[0])) {
        report(z, z->segment_source);
        put(z, z->segment[0]);
        return;
    }
    char *bytes = g_malloc(n * 6 + 1);
    size_t n_bytes = 0;
    for (size_t i = 0; i < n; i++) n_bytes += (size_t)g_unichar_to_utf8(z->segment[i], bytes + n_bytes);
    utf8proc_uint8_t *normal = NULL;
    utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)bytes, (utf8proc_ssize_t)n_bytes, &normal, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    const char *from = length >= 0 ? (const char *)normal : bytes, *end = from + (length >= 0 ? (size_t)length : n_bytes);
    report(z, z->segment_source);
    /* What comes next reports its own place, so that a changed length shifts what follows and nothing before. */
    for (const char *at = from; at < end; at = g_utf8_next_char(at)) put(z, g_utf8_get_char(at));
    free(normal);
    g_free(bytes);
}

/* A mark or a Hangul vowel or final may join what stands before it; everything else begins a segment. */
static bool may_join(uint32_t c)
{
    if (c < 0x300) return false;
    if ((c >= 0x1160 && c <= 0x11ff) || (c >= 0xd7b0 && c <= 0xd7fb)) return true;
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)c);
    return property->combining_class != 0 || property->category == UTF8PROC_CATEGORY_MN || property->category == UTF8PROC_CATEGORY_MC;
}

static uint32_t clean(uint32_t c)
{
    if (c == 0) return 0xfffd;
    if (c == '\r' || c == '\f') return '\n';
    if (c == 0x7f || (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x80 && c < 0xa0 && c != 0x85)) return ' ';
    return c;
}

bool app_normalizer_add(AppNormalizer *z, const uint32_t *characters, size_t n)
{
    for (size_t i = 0; i < n && !z->stopped; i++) {
        uint32_t c = characters[i];
        uint64_t source = z->source_char++;
        if (c == '\n' && z->after_cr) {
            z->after_cr = false;
            continue;
        }
        z->after_cr = c == '\r';
        c = clean(c);
        if (z->n_segment > 0 && (z->n_segment == SEGMENT_MAX || !may_join(c))) end_segment(z);
        if (z->n_segment == 0) z->segment_source = source;
        z->segment[z->n_segment++] = c;
    }
    return !z->stopped;
}

bool app_normalizer_end(AppNormalizer *z)
{
    end_segment(z);
    report(z, z->source_char);
    flush(z);
    return !z->stopped;
}
