/* extract-xml.h: small XML files (package documents, contents, styles) as trees.
 *
 * Owns: safe parsing: no network, no external or expanded entities, bounded depth (libxml2's own limits stay on).
 */
#ifndef EXTRACT_XML_H
#define EXTRACT_XML_H

#include <glib.h>
#include <libxml/tree.h>
#include <stdbool.h>

/* NULL: not readable at all. Free with xmlFreeDoc. */
xmlDocPtr ex_xml_parse(const char *data, size_t n_bytes);
bool ex_xml_is(const xmlNode *node, const char *name); /* an element of this local name, whatever its namespace */
/* The next element in document order below root; NULL at the end. Start with node = root. */
xmlNode *ex_xml_next(const xmlNode *root, xmlNode *node);
/* Value of the attribute of this local name; NULL; free with g_free. */
char *ex_xml_attribute(const xmlNode *node, const char *name);
/* Text below, white space squeezed; at most about 2000 bytes. Free with g_free. */
char *ex_xml_text(const xmlNode *node);

#endif
