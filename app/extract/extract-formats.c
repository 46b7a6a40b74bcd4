/* extract-formats.c: which format a file has.
 *
 * Owns: signatures and endings.
 */
#include "extract-formats.h"

#include <glib/gi18n.h>
#include <string.h>

static const char *const names[] = {"unknown", "pdf", "epub", "html", "docx", "odt", "rtf"};

const char *ex_format_name(ExFormat format)
{
    return names[format];
}

static const void *find(const ExInput *input, size_t within, const char *needle)
{
    return memmem(input->data, MIN(input->n_bytes, within), needle, strlen(needle));
}

static bool looks_like_html(const ExInput *input)
{
    g_autofree char *start = g_strndup(input->data, MIN(input->n_bytes, 2048));
    return strcasestr(start, "<html") || strcasestr(start, "<!doctype html") || strcasestr(start, "<body");
}

/* A zip names its kind in its first entry ("mimetype") or by the entries it has. */
static ExFormat zip_format(const ExInput *input)
{
    if (find(input, 200, "mimetypeapplication/epub+zip")) return EX_FORMAT_EPUB;
    if (find(input, 200, "mimetypeapplication/vnd.oasis.opendocument.text")) return EX_FORMAT_ODT;
    if (find(input, input->n_bytes, "word/document.xml")) return EX_FORMAT_DOCX;
    if (find(input, input->n_bytes, "META-INF/container.xml")) return EX_FORMAT_EPUB;
    return EX_FORMAT_UNKNOWN;
}

ExFormat ex_format_detect(const ExInput *input)
{
    if (input->n_bytes >= 4 && memcmp(input->data, "PK\x03\x04", 4) == 0) {
        ExFormat format = zip_format(input);
        if (format != EX_FORMAT_UNKNOWN) return format;
    }
    if (find(input, 1024, "%PDF-")) return EX_FORMAT_PDF;
    if (input->n_bytes >= 5 && memcmp(input->data, "{\\rtf", 5) == 0) return EX_FORMAT_RTF;
    if (looks_like_html(input)) return EX_FORMAT_HTML;
    g_autofree char *lower = g_ascii_strdown(input->name, -1);
    static const struct {
        const char *ending;
        ExFormat format;
    } endings[] = {{".pdf", EX_FORMAT_PDF},   {".epub", EX_FORMAT_EPUB}, {".html", EX_FORMAT_HTML}, {".htm", EX_FORMAT_HTML},
                   {".xhtml", EX_FORMAT_HTML}, {".docx", EX_FORMAT_DOCX}, {".odt", EX_FORMAT_ODT},   {".rtf", EX_FORMAT_RTF}};
    for (size_t i = 0; i < G_N_ELEMENTS(endings); i++) {
        if (g_str_has_suffix(lower, endings[i].ending)) return endings[i].format;
    }
    return EX_FORMAT_UNKNOWN;
}

void ex_extract(ExFormat format, const ExInput *input, ExWriter *writer)
{
    if (input->n_bytes == 0) {
        ex_writer_finish(writer, EX_NO_TEXT, N_("the file is empty"));
        return;
    }
    switch (format) {
    case EX_FORMAT_PDF: ex_extract_pdf(input, writer); break;
    case EX_FORMAT_EPUB: ex_extract_epub(input, writer); break;
    case EX_FORMAT_HTML: ex_extract_html(input, writer); break;
    case EX_FORMAT_DOCX: ex_extract_docx(input, writer); break;
    case EX_FORMAT_ODT: ex_extract_odt(input, writer); break;
    case EX_FORMAT_RTF: ex_extract_rtf(input, writer); break;
    case EX_FORMAT_UNKNOWN: ex_writer_finish(writer, EX_UNSUPPORTED, N_("its format is not one that can be read")); break;
    }
}
