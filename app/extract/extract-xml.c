/* extract-xml.c: small XML files as trees. A damaged one is read as far as it goes, and then its texts need not be UTF-8: what is handed out
 * always is. */
#include "extract-xml.h"

#include <libxml/parser.h>
#include <string.h>

static void on_error(void *data, xmlErrorPtr error)
{
}

xmlDocPtr ex_xml_parse(const char *data, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > G_MAXINT) return NULL;
    xmlSetStructuredErrorFunc(NULL, on_error);
    /* No XML_PARSE_NOENT, _DTDLOAD, _HUGE: entities stay unexpanded, libxml2 refuses what is too deep or too large. */
    return xmlReadMemory(data, (int)n_bytes, NULL, NULL, XML_PARSE_RECOVER | XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                         XML_PARSE_NOCDATA);
}

bool ex_xml_is(const xmlNode *node, const char *name)
{
    return node && node->type == XML_ELEMENT_NODE && node->name && strcmp((const char *)node->name, name) == 0;
}

static xmlNode *first_element(xmlNode *node)
{
    while (node && node->type != XML_ELEMENT_NODE) node = node->next;
    return node;
}

xmlNode *ex_xml_next(const xmlNode *root, xmlNode *node)
{
    xmlNode *below = first_element(node->children);
    if (below) return below;
    while (node && node != root) {
        xmlNode *beside = first_element(node->next);
        if (beside) return beside;
        node = node->parent;
    }
    return NULL;
}

char *ex_xml_attribute(const xmlNode *node, const char *name)
{
    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
        if (strcmp((const char *)attribute->name, name) != 0) continue;
        const xmlNode *value = attribute->children;
        return g_utf8_make_valid(value && value->type == XML_TEXT_NODE && value->content ? (const char *)value->content : "", -1);
    }
    return NULL;
}

char *ex_xml_text(const xmlNode *node)
{
    g_autoptr(GString) text = g_string_new(NULL);
    const xmlNode *at = node->children;
    while (at && text->len < 2000) {
        if ((at->type == XML_TEXT_NODE || at->type == XML_CDATA_SECTION_NODE) && at->content) g_string_append(text, (const char *)at->content);
        if (at->type == XML_ELEMENT_NODE && at->children) {
            at = at->children;
            continue;
        }
        while (at && at != node && !at->next) at = at->parent;
        at = at && at != node ? at->next : NULL;
    }
    g_autofree char *valid = g_utf8_make_valid(text->str, (gssize)text->len);
    g_auto(GStrv) words = g_strsplit_set(valid, " \t\r\n", -1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    for (char **word = words; *word; word++) {
        if (**word) g_ptr_array_add(kept, *word);
    }
    g_ptr_array_add(kept, NULL);
    return g_strjoinv(" ", (char **)kept->pdata);
}
