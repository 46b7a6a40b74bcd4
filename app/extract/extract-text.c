/* extract-text.c: bytes in any encoding become UTF-8.
 *
 * Owns: the list of encodings that are converted.
 */
#include "extract-text.h"

#include <iconv.h>
#include <stdbool.h>
#include <string.h>

/* glibc loads a module for each of these; that has to happen before the sandbox, so they stay open for the process's life. */
static const char *const encodings[] = {
    "WINDOWS-1252", "WINDOWS-1250", "WINDOWS-1251", "WINDOWS-1253", "WINDOWS-1254", "WINDOWS-1255", "WINDOWS-1256", "WINDOWS-1257",
    "ISO-8859-1",   "ISO-8859-2",   "ISO-8859-5",   "ISO-8859-7",   "ISO-8859-9",   "ISO-8859-15",  "KOI8-R",       "KOI8-U",
    "GB18030",      "BIG5",         "SHIFT_JIS",    "EUC-JP",       "EUC-KR",       "MACINTOSH",    "UTF-16LE",     "UTF-16BE",
};
static iconv_t converters[G_N_ELEMENTS(encodings)];
static bool is_prepared;

void ex_text_prepare(void)
{
    if (is_prepared) return;
    for (size_t i = 0; i < G_N_ELEMENTS(encodings); i++) converters[i] = iconv_open("UTF-8", encodings[i]);
    is_prepared = true;
}

static iconv_t find_converter(const char *name)
{
    static const struct {
        const char *name, *same;
    } others[] = {
        {"ISO-8859-1", "WINDOWS-1252"}, {"LATIN1", "WINDOWS-1252"}, {"US-ASCII", "WINDOWS-1252"}, {"ASCII", "WINDOWS-1252"},
        {"ISO8859-1", "WINDOWS-1252"},  {"CP1252", "WINDOWS-1252"}, {"GBK", "GB18030"},           {"GB2312", "GB18030"},
        {"SJIS", "SHIFT_JIS"},          {"X-SJIS", "SHIFT_JIS"},    {"UTF-16", "UTF-16LE"},       {"X-MAC-ROMAN", "MACINTOSH"},
        {"CP1251", "WINDOWS-1251"},     {"CP1250", "WINDOWS-1250"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        if (g_ascii_strcasecmp(others[i].name, name) == 0) {
            name = others[i].same;
            break;
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(encodings); i++) {
        if (g_ascii_strcasecmp(encodings[i], name) == 0) return converters[i];
    }
    return (iconv_t)-1;
}

/* What cannot be converted becomes U+FFFD. */
static char *convert(iconv_t converter, const char *data, size_t n_bytes, size_t *ret_n_bytes)
{
    GString *text = g_string_sized_new(n_bytes + n_bytes / 8);
    char *in = (char *)data;
    size_t n_in = n_bytes;
    iconv(converter, NULL, NULL, NULL, NULL);
    while (n_in > 0) {
        char buffer[8192], *out = buffer;
        size_t n_out = sizeof buffer, before = n_in;
        size_t done = iconv(converter, &in, &n_in, &out, &n_out);
        g_string_append_len(text, buffer, out - buffer);
        if (done == (size_t)-1 && n_in == before && out == buffer) {
            g_string_append(text, "\xEF\xBF\xBD");
            in++;
            n_in--;
        }
    }
    *ret_n_bytes = text->len;
    return g_string_free(text, FALSE);
}

/* encoding="…" of an XML declaration or charset=… of a <meta>, in the first bytes. */
static char *declared_encoding(const char *data, size_t n_bytes)
{
    g_autofree char *start = g_strndup(data, MIN(n_bytes, 4096)); /* stops at U+0000 */
    static const char *const keys[] = {"encoding=", "charset=", NULL};
    for (int i = 0; keys[i]; i++) {
        const char *at = strcasestr(start, keys[i]);
        if (!at || (i == 0 && !g_str_has_prefix(start, "<?xml"))) continue;
        at += strlen(keys[i]);
        if (*at == '"' || *at == '\'') at++;
        size_t n = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:.");
        if (n > 0 && n < 40) return g_strndup(at, n);
    }
    return NULL;
}

char *ex_text_to_utf8(const char *data, size_t n_bytes, const char *encoding, size_t *ret_n_bytes)
{
    ex_text_prepare();
    size_t n_mark = 0;
    g_autofree char *declared = NULL;
    if (n_bytes >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) {
        n_mark = 3;
        encoding = "UTF-8";
    } else if (n_bytes >= 2 && memcmp(data, "\xFF\xFE", 2) == 0) {
        n_mark = 2;
        encoding = "UTF-16LE";
    } else if (n_bytes >= 2 && memcmp(data, "\xFE\xFF", 2) == 0) {
        n_mark = 2;
        encoding = "UTF-16BE";
    } else if (!encoding) {
        encoding = declared = declared_encoding(data, n_bytes);
    }
    data += n_mark;
    n_bytes -= n_mark;
    bool is_utf8 = !encoding || g_ascii_strcasecmp(encoding, "UTF-8") == 0 || g_ascii_strcasecmp(encoding, "UTF8") == 0;
    if (is_utf8 && (g_utf8_validate(data, (gssize)n_bytes, NULL) || (encoding && !declared))) {
        char *text = g_utf8_make_valid(data, (gssize)n_bytes);
        *ret_n_bytes = strlen(text);
        return text;
    }
    iconv_t converter = is_utf8 ? (iconv_t)-1 : find_converter(encoding);
    if (converter == (iconv_t)-1) converter = find_converter("WINDOWS-1252");
    if (converter != (iconv_t)-1) return convert(converter, data, n_bytes, ret_n_bytes);
    char *text = g_utf8_make_valid(data, (gssize)n_bytes);
    *ret_n_bytes = strlen(text);
    return text;
}
