/* extract-office.c: DOCX and ODT: headings, paragraphs, lists, tables, footnotes.
 *
 * Owns: the elements of WordprocessingML and OpenDocument that hold text. Read as a stream of elements, never as a tree.
 * Does not own: what paragraphs and tables become (extract-flow.c), unpacking (extract-zip.c).
 */
#include "extract-flow.h"
#include "extract-xml.h"
#include "extract-zip.h"

#include <libxml/xmlreader.h>
#include <string.h>

typedef struct Office {
    ExFlow flow;
    ExZip *zip;
    GHashTable *levels;    /* style -> heading level (unsigned as pointer) */
    GHashTable *footnotes; /* id -> text (DOCX) */
    xmlTextReaderPtr reader;
    int skip_depth;        /* of the element whose content is left out; -1: none */
    GString *note;         /* text of the note that is open (ODT); NULL: none */
    bool in_text;          /* inside <w:t> */
    bool in_paragraph;     /* ODT */
    unsigned n_lists;
} Office;

static bool is_wanted(const char *name)
{
    return g_str_has_suffix(name, ".xml");
}

static const char *element_name(Office *office)
{
    const xmlChar *name = xmlTextReaderConstLocalName(office->reader);
    return name ? (const char *)name : "";
}

/* Value of the attribute of this local name on the reader's element; free with g_free. */
static char *reader_attribute(Office *office, const char *name)
{
    char *value = NULL;
    while (!value && xmlTextReaderMoveToNextAttribute(office->reader) == 1) {
        const xmlChar *found = xmlTextReaderConstLocalName(office->reader);
        if (found && strcmp((const char *)found, name) == 0) value = g_strdup((const char *)xmlTextReaderConstValue(office->reader));
    }
    xmlTextReaderMoveToElement(office->reader);
    return value;
}

static unsigned reader_number(Office *office, const char *name, unsigned otherwise)
{
    g_autofree char *text = reader_attribute(office, name);
    return text && *text ? (unsigned)MIN(g_ascii_strtoull(text, NULL, 10), 1000) : otherwise;
}

static void add_text(Office *office, const char *text)
{
    if (office->note) g_string_append(office->note, text);
    else ex_flow_text(&office->flow, text, strlen(text));
}

/* --------------------------------------------------------------------------------------------------------------- DOCX */

/* Styles that are headings: by outline level, by the built-in name, or through the style that they are based on. */
static void read_styles(Office *office)
{
    size_t n_bytes = 0;
    const char *data = ex_zip_get(office->zip, "word/styles.xml", &n_bytes);
    xmlDocPtr document = data ? ex_xml_parse(data, n_bytes) : NULL;
    xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    g_autofree char *style = NULL;
    for (xmlNode *node = root; node; node = ex_xml_next(root, node)) {
        if (ex_xml_is(node, "style")) {
            g_free(style);
            style = ex_xml_attribute(node, "styleId");
        }
        g_autofree char *value = style ? ex_xml_attribute(node, "val") : NULL;
        if (!value) continue;
        unsigned level = 0;
        if (ex_xml_is(node, "name") && g_ascii_strncasecmp(value, "heading ", 8) == 0) level = (unsigned)g_ascii_digit_value(value[8]);
        else if (ex_xml_is(node, "name") && g_ascii_strcasecmp(value, "title") == 0) level = 1;
        else if (ex_xml_is(node, "outlineLvl") && g_ascii_isdigit(*value)) level = (unsigned)(*value - '0') + 1;
        else if (ex_xml_is(node, "basedOn")) level = GPOINTER_TO_UINT(g_hash_table_lookup(office->levels, value));
        if (level >= 1 && level <= EX_LEVEL_MAX) g_hash_table_replace(office->levels, g_strdup(style), GUINT_TO_POINTER(level));
    }
    if (document) xmlFreeDoc(document);
}

static void read_footnotes(Office *office, const char *entry)
{
    size_t n_bytes = 0;
    const char *data = ex_zip_get(office->zip, entry, &n_bytes);
    xmlDocPtr document = data ? ex_xml_parse(data, n_bytes) : NULL;
    xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    for (xmlNode *node = root; node; node = ex_xml_next(root, node)) {
        if (!ex_xml_is(node, "footnote") && !ex_xml_is(node, "endnote")) continue;
        g_autofree char *id = ex_xml_attribute(node, "id");
        g_autofree char *type = ex_xml_attribute(node, "type"); /* separators have one */
        g_autofree char *text = ex_xml_text(node);
        if (id && !type && *text) g_hash_table_replace(office->footnotes, g_strconcat((const char *)node->name, id, NULL), g_steal_pointer(&text));
    }
    if (document) xmlFreeDoc(document);
}

static void begin_docx(Office *office, const char *name)
{
    ExFlow *flow = &office->flow;
    if (strcmp(name, "t") == 0) office->in_text = true;
    else if (strcmp(name, "tab") == 0 && !flow->rank) add_text(office, " ");
    else if (strcmp(name, "br") == 0 || strcmp(name, "cr") == 0) add_text(office, "\n");
    else if (strcmp(name, "noBreakHyphen") == 0) add_text(office, "\xE2\x80\x91");
    else if (strcmp(name, "tbl") == 0) ex_flow_begin_table(flow);
    else if (strcmp(name, "tr") == 0) ex_flow_begin_row(flow);
    else if (strcmp(name, "tc") == 0) ex_flow_begin_cell(flow, 1);
    else if (strcmp(name, "gridSpan") == 0) flow->n_span = flow->depth == 1 ? MAX(1, reader_number(office, "val", 1)) : flow->n_span;
    else if (strcmp(name, "numPr") == 0) flow->is_list_item = true;
    else if (strcmp(name, "outlineLvl") == 0) {
        unsigned level = reader_number(office, "val", EX_LEVEL_MAX);
        if (level < EX_LEVEL_MAX) flow->rank = level + 1;
    } else if (strcmp(name, "pStyle") == 0) {
        g_autofree char *style = reader_attribute(office, "val");
        if (style) flow->rank = GPOINTER_TO_UINT(g_hash_table_lookup(office->levels, style));
    } else if (strcmp(name, "footnoteReference") == 0 || strcmp(name, "endnoteReference") == 0) {
        g_autofree char *id = reader_attribute(office, "id");
        g_autofree char *key = id ? g_strconcat(*name == 'f' ? "footnote" : "endnote", id, NULL) : NULL;
        const char *text = key ? g_hash_table_lookup(office->footnotes, key) : NULL;
        if (text) ex_flow_add_note(flow, text);
    } else if (strcmp(name, "del") == 0 || strcmp(name, "moveFrom") == 0 || strcmp(name, "Fallback") == 0 || strcmp(name, "drawing") == 0) {
        office->skip_depth = xmlTextReaderDepth(office->reader);
    }
}

static void end_docx(Office *office, const char *name)
{
    ExFlow *flow = &office->flow;
    if (strcmp(name, "t") == 0) office->in_text = false;
    else if (strcmp(name, "p") == 0) ex_flow_end_paragraph(flow);
    else if (strcmp(name, "tc") == 0) ex_flow_end_cell(flow);
    else if (strcmp(name, "tr") == 0) ex_flow_end_row(flow);
    else if (strcmp(name, "tbl") == 0) ex_flow_end_table(flow);
}

/* ---------------------------------------------------------------------------------------------------------------- ODT */

static void begin_odt(Office *office, const char *name)
{
    ExFlow *flow = &office->flow;
    if (strcmp(name, "p") == 0 || strcmp(name, "h") == 0) {
        office->in_paragraph = true;
        if (*name == 'h' && !office->note) flow->rank = CLAMP(reader_number(office, "outline-level", 1), 1, EX_LEVEL_MAX);
        else if (office->n_lists && !office->note) flow->is_list_item = true;
        if (office->note && office->note->len) g_string_append_c(office->note, ' ');
    } else if (strcmp(name, "s") == 0) add_text(office, " ");
    else if (strcmp(name, "tab") == 0) add_text(office, " ");
    else if (strcmp(name, "line-break") == 0) add_text(office, "\n");
    else if (strcmp(name, "list") == 0) office->n_lists++;
    else if (strcmp(name, "table") == 0) ex_flow_begin_table(flow);
    else if (strcmp(name, "table-row") == 0) ex_flow_begin_row(flow);
    else if (strcmp(name, "table-cell") == 0) ex_flow_begin_cell(flow, reader_number(office, "number-columns-spanned", 1));
    else if (strcmp(name, "note-body") == 0 && !office->note) office->note = g_string_new(NULL);
    else if (strcmp(name, "tracked-changes") == 0 || strcmp(name, "annotation") == 0 || strcmp(name, "note-citation") == 0 ||
             strcmp(name, "forms") == 0) {
        office->skip_depth = xmlTextReaderDepth(office->reader);
    }
}

static void end_odt(Office *office, const char *name)
{
    ExFlow *flow = &office->flow;
    if (strcmp(name, "note-body") == 0 && office->note) {
        ex_flow_add_note(flow, office->note->str);
        g_string_free(g_steal_pointer(&office->note), TRUE);
        office->in_paragraph = true; /* of the one that the note stands in */
    } else if (strcmp(name, "p") == 0 || strcmp(name, "h") == 0) {
        office->in_paragraph = false;
        if (!office->note) ex_flow_end_paragraph(flow);
    } else if (strcmp(name, "list") == 0 && office->n_lists) office->n_lists--;
    else if (strcmp(name, "table-cell") == 0) ex_flow_end_cell(flow);
    else if (strcmp(name, "table-row") == 0) ex_flow_end_row(flow);
    else if (strcmp(name, "table") == 0) ex_flow_end_table(flow);
}

/* White space of any length is one space in OpenDocument. */
static void add_odt_text(Office *office, const char *text)
{
    g_autoptr(GString) squeezed = g_string_new(NULL);
    for (const char *p = text; *p; p++) {
        bool is_space = *p == ' ' || *p == '\n' || *p == '\t' || *p == '\r';
        if (!is_space) g_string_append_c(squeezed, *p);
        else if (squeezed->len == 0 || squeezed->str[squeezed->len - 1] != ' ') g_string_append_c(squeezed, ' ');
    }
    add_text(office, squeezed->str);
}

/* ------------------------------------------------------------------------------------------------------------- common */

typedef struct Dialect {
    const char *entry;    /* the text's */
    const char *metadata; /* entry of title and author */
    void (*begin)(Office *office, const char *name);
    void (*end)(Office *office, const char *name);
} Dialect;

static void write_metadata(Office *office, const char *entry)
{
    size_t n_bytes = 0;
    const char *data = ex_zip_get(office->zip, entry, &n_bytes);
    xmlDocPtr document = data ? ex_xml_parse(data, n_bytes) : NULL;
    xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    for (xmlNode *node = root; node; node = ex_xml_next(root, node)) {
        bool is_title = ex_xml_is(node, "title"), is_author = ex_xml_is(node, "creator"), is_language = ex_xml_is(node, "language");
        if (!is_title && !is_author && !is_language) continue;
        g_autofree char *text = ex_xml_text(node);
        ex_writer_meta(office->flow.writer, is_title ? "title" : is_author ? "author" : "language", text);
    }
    if (document) xmlFreeDoc(document);
}

static void read_node(Office *office, const Dialect *dialect, bool is_odt)
{
    int type = xmlTextReaderNodeType(office->reader), depth = xmlTextReaderDepth(office->reader);
    if (office->skip_depth >= 0) {
        if (type == XML_READER_TYPE_END_ELEMENT && depth == office->skip_depth) office->skip_depth = -1;
        return;
    }
    if (type == XML_READER_TYPE_ELEMENT) {
        bool is_empty = xmlTextReaderIsEmptyElement(office->reader) == 1;
        g_autofree char *name = g_strdup(element_name(office));
        dialect->begin(office, name);
        if (is_empty && office->skip_depth >= 0) office->skip_depth = -1;
        else if (is_empty) dialect->end(office, name);
    } else if (type == XML_READER_TYPE_END_ELEMENT) {
        dialect->end(office, element_name(office));
    } else if (type == XML_READER_TYPE_TEXT || type == XML_READER_TYPE_CDATA || type == XML_READER_TYPE_SIGNIFICANT_WHITESPACE ||
               type == XML_READER_TYPE_WHITESPACE) {
        const char *value = (const char *)xmlTextReaderConstValue(office->reader);
        if (!value) return;
        if (is_odt && office->in_paragraph) add_odt_text(office, value);
        if (!is_odt && office->in_text) add_text(office, value);
    }
}

static void on_error(void *data, const char *message, xmlParserSeverities severity, xmlTextReaderLocatorPtr locator)
{
}

static void extract_office(const ExInput *input, ExWriter *writer, const Dialect *dialect, bool is_odt)
{
    Office office = {.zip = ex_zip_new(input, is_wanted, writer), .skip_depth = -1};
    if (!office.zip) return;
    ex_flow_init(&office.flow, writer);
    office.levels = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    office.footnotes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (!is_odt) {
        read_styles(&office);
        read_footnotes(&office, "word/footnotes.xml");
        read_footnotes(&office, "word/endnotes.xml");
    }
    size_t n_bytes = 0;
    const char *data = ex_zip_get(office.zip, dialect->entry, &n_bytes);
    if (data && n_bytes <= G_MAXINT) {
        write_metadata(&office, dialect->metadata);
        office.reader = xmlReaderForMemory(data, (int)n_bytes, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
        int result = office.reader ? 1 : -1;
        if (office.reader) xmlTextReaderSetErrorHandler(office.reader, on_error, NULL);
        while (result == 1 && !ex_writer_is_full(writer)) {
            result = xmlTextReaderRead(office.reader);
            if (result == 1) read_node(&office, dialect, is_odt);
        }
        if (result < 0) ex_writer_finish(writer, EX_DAMAGED, "%s in it is damaged", dialect->entry);
        else ex_flow_finish(&office.flow);
        xmlFreeTextReader(office.reader);
    } else {
        ex_writer_finish(writer, EX_DAMAGED, "%s is missing in it", dialect->entry);
    }
    if (office.note) g_string_free(office.note, TRUE);
    g_hash_table_unref(office.levels);
    g_hash_table_unref(office.footnotes);
    ex_flow_clear(&office.flow);
    ex_zip_free(office.zip);
}

void ex_extract_docx(const ExInput *input, ExWriter *writer)
{
    static const Dialect docx = {"word/document.xml", "docProps/core.xml", begin_docx, end_docx};
    extract_office(input, writer, &docx, false);
}

void ex_extract_odt(const ExInput *input, ExWriter *writer)
{
    static const Dialect odt = {"content.xml", "meta.xml", begin_odt, end_odt};
    extract_office(input, writer, &odt, true);
}
