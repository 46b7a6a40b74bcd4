/* extract-epub.c: EPUB 2 and 3.
 *
 * Owns: container, package document, order of the spine, contents (navigation document or NCX), what is encrypted.
 * Does not own: the parts' XHTML (extract-html.c), unpacking (extract-zip.c).
 */
#include "extract-html.h"
#include "extract-text.h"
#include "extract-xml.h"
#include "extract-zip.h"

#include <glib/gi18n.h>
#include <string.h>

enum { DEPTH_MAX = 8, MARKS_MAX = 20000, SPINE_MAX = 10000 };

typedef struct Item {
    char *path, *type, *properties;
} Item;

typedef struct Epub {
    ExZip *zip;
    ExWriter *writer;
    char *package;       /* its entry's name */
    GHashTable *items;   /* id -> Item* */
    GPtrArray *spine;    /* Item*, borrowed */
    char *ncx, *nav;     /* entries' names */
    GHashTable *marks;   /* entry's name -> (id -> ExHtmlMark*) */
    guint n_marks;
    unsigned n_depths;
    unsigned n_missing;
} Epub;

static void item_free(gpointer data)
{
    Item *item = data;
    g_free(item->path);
    g_free(item->type);
    g_free(item->properties);
    g_free(item);
}

static void mark_free(gpointer data)
{
    ExHtmlMark *mark = data;
    g_free(mark->title);
    g_free(mark);
}

static bool wanted(const char *name)
{
    static const char *const endings[] = {".xhtml", ".html", ".htm", ".xml", ".opf", ".ncx", ".xht", NULL};
    g_autofree char *lower = g_ascii_strdown(name, -1);
    for (int i = 0; endings[i]; i++) {
        if (g_str_has_suffix(lower, endings[i])) return true;
    }
    return false;
}

/* ----------------------------------------------------------------------------------------------------------- package */

static xmlDocPtr parse_entry(const Epub *epub, const char *name)
{
    size_t n_bytes = 0;
    const char *data = name ? ex_zip_get(epub->zip, name, &n_bytes) : NULL;
    return data ? ex_xml_parse(data, n_bytes) : NULL;
}

static void find_package(Epub *epub)
{
    xmlDocPtr container = parse_entry(epub, "META-INF/container.xml");
    xmlNode *root = container ? xmlDocGetRootElement(container) : NULL;
    for (xmlNode *node = root; node && !epub->package; node = ex_xml_next(root, node)) {
        if (!ex_xml_is(node, "rootfile")) continue;
        g_autofree char *path = ex_xml_attribute(node, "full-path");
        if (path) epub->package = ex_zip_path(NULL, path);
    }
    if (container) xmlFreeDoc(container);
    size_t n = 0;
    if (!epub->package || !ex_zip_get(epub->zip, epub->package, &n)) {
        g_free(epub->package);
        epub->package = g_strdup(ex_zip_find(epub->zip, ".opf"));
    }
}

/* Fonts that are only obscured are no matter; anything else that is encrypted is the seller's lock. */
static bool is_locked(const Epub *epub)
{
    if (ex_zip_has(epub->zip, "META-INF/rights.xml") || ex_zip_has(epub->zip, "META-INF/license.lcpl")) return true;
    xmlDocPtr document = parse_entry(epub, "META-INF/encryption.xml");
    xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    bool is_found = false;
    for (xmlNode *node = root; node && !is_found; node = ex_xml_next(root, node)) {
        /* Keys are encrypted too; what counts is data. */
        if (!ex_xml_is(node, "EncryptionMethod") || !ex_xml_is(node->parent, "EncryptedData")) continue;
        g_autofree char *algorithm = ex_xml_attribute(node, "Algorithm");
        is_found = algorithm && !strstr(algorithm, "idpf.org/2008/embedding") && !strstr(algorithm, "ns.adobe.com/pdf/enc#RC");
    }
    if (document) xmlFreeDoc(document);
    return is_found;
}

static void read_manifest_item(Epub *epub, const xmlNode *node)
{
    g_autofree char *id = ex_xml_attribute(node, "id");
    g_autofree char *href = ex_xml_attribute(node, "href");
    if (!id || !href || g_hash_table_contains(epub->items, id)) return;
    Item *item = g_new0(Item, 1);
    item->path = ex_zip_path(epub->package, href);
    item->type = ex_xml_attribute(node, "media-type");
    item->properties = ex_xml_attribute(node, "properties");
    if (item->properties && strstr(item->properties, "nav") && !epub->nav) epub->nav = g_strdup(item->path);
    if (item->type && strcmp(item->type, "application/x-dtbncx+xml") == 0 && !epub->ncx) epub->ncx = g_strdup(item->path);
    g_hash_table_insert(epub->items, g_steal_pointer(&id), item);
}

static void read_package(Epub *epub)
{
    xmlDocPtr document = parse_entry(epub, epub->package);
    xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    bool has_title = false;
    g_autoptr(GString) authors = g_string_new(NULL);
    for (xmlNode *node = root; node; node = ex_xml_next(root, node)) {
        if (ex_xml_is(node, "item")) {
            read_manifest_item(epub, node);
        } else if (ex_xml_is(node, "itemref") && epub->spine->len < SPINE_MAX) {
            g_autofree char *id = ex_xml_attribute(node, "idref");
            Item *item = id ? g_hash_table_lookup(epub->items, id) : NULL;
            if (item) g_ptr_array_add(epub->spine, item);
        } else if (ex_xml_is(node->parent, "metadata")) {
            g_autofree char *text = ex_xml_text(node);
            if (ex_xml_is(node, "title") && !has_title) {
                ex_writer_meta(epub->writer, "title", text);
                has_title = true;
            } else if (ex_xml_is(node, "creator")) {
                g_string_append_printf(authors, "%s%s", authors->len ? ", " : "", text);
            } else if (ex_xml_is(node, "language")) {
                ex_writer_meta(epub->writer, "language", text);
            }
        }
    }
    ex_writer_meta(epub->writer, "author", authors->str);
    if (document) xmlFreeDoc(document);
}

/* ---------------------------------------------------------------------------------------------------------- contents */

static void add_mark(Epub *epub, const char *base, const char *href, const char *title, unsigned depth)
{
    if (!href || !*title || epub->n_marks == MARKS_MAX) return;
    g_auto(GStrv) parts = g_strsplit(href, "#", 2);
    if (!parts[0]) return;
    g_autofree char *path = ex_zip_path(base, parts[0]);
    g_autofree char *id = g_uri_unescape_string(parts[1] ? parts[1] : "", NULL);
    GHashTable *of_item = g_hash_table_lookup(epub->marks, path);
    if (!of_item) {
        of_item = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, mark_free);
        g_hash_table_insert(epub->marks, g_steal_pointer(&path), of_item);
    }
    const char *key = id ? id : "";
    if (g_hash_table_contains(of_item, key)) return;
    ExHtmlMark *mark = g_new0(ExHtmlMark, 1);
    mark->title = g_strdup(title);
    mark->depth = MIN(depth, DEPTH_MAX - 1);
    epub->n_depths = MAX(epub->n_depths, mark->depth + 1);
    epub->n_marks++;
    g_hash_table_insert(of_item, g_strdup(key), mark);
}

static unsigned count_above(const xmlNode *node, const char *name)
{
    unsigned n = 0;
    for (const xmlNode *above = node->parent; above && n < 64; above = above->parent) n += ex_xml_is(above, name);
    return n;
}

static void read_ncx(Epub *epub)
{
    xmlDocPtr document = parse_entry(epub, epub->ncx);
    xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    for (xmlNode *node = root; node; node = ex_xml_next(root, node)) {
        if (!ex_xml_is(node, "navPoint")) continue;
        g_autofree char *title = NULL, *href = NULL;
        for (xmlNode *part = node->children; part; part = part->next) {
            if (ex_xml_is(part, "navLabel") && !title) title = ex_xml_text(part);
            if (ex_xml_is(part, "content") && !href) href = ex_xml_attribute(part, "src");
        }
        add_mark(epub, epub->ncx, href, title ? title : "", count_above(node, "navPoint"));
    }
    if (document) xmlFreeDoc(document);
}

static bool is_contents(const xmlNode *node)
{
    if (!ex_xml_is(node, "nav")) return false;
    g_autofree char *type = ex_xml_attribute(node, "type");
    return !type || strstr(type, "toc");
}

static void read_nav(Epub *epub)
{
    xmlDocPtr document = parse_entry(epub, epub->nav);
    xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    xmlNode *contents = root;
    while (contents && !is_contents(contents)) contents = ex_xml_next(root, contents);
    for (xmlNode *node = contents; node; node = ex_xml_next(contents, node)) {
        if (!ex_xml_is(node, "a")) continue;
        g_autofree char *href = ex_xml_attribute(node, "href");
        g_autofree char *title = ex_xml_text(node);
        unsigned n_lists = count_above(node, "ol");
        add_mark(epub, epub->nav, href, title, n_lists ? n_lists - 1 : 0);
    }
    if (document) xmlFreeDoc(document);
}

/* -------------------------------------------------------------------------------------------------------------- text */

static void write_item(Epub *epub, const Item *item)
{
    size_t n_bytes = 0, n_text = 0;
    const char *data = ex_zip_get(epub->zip, item->path, &n_bytes);
    if (!data) {
        bool is_image = item->type && g_str_has_prefix(item->type, "image/");
        epub->n_missing += !is_image;
        return;
    }
    if (epub->nav && strcmp(item->path, epub->nav) == 0) return; /* contents, not text */
    ex_writer_item(epub->writer, item->path);
    g_autofree char *text = ex_text_to_utf8(data, n_bytes, NULL, &n_text);
    const ExHtmlOptions options = {.marks = g_hash_table_lookup(epub->marks, item->path), .heading_base = epub->n_depths};
    bool is_whole = true;
    g_free(ex_html_write(text, n_text, &options, epub->writer, &is_whole));
    epub->n_missing += !is_whole;
}

static void write_spine(Epub *epub)
{
    for (guint i = 0; i < epub->spine->len && !ex_writer_is_full(epub->writer); i++) {
        write_item(epub, g_ptr_array_index(epub->spine, i));
        ex_writer_progress(epub->writer, i + 1, epub->spine->len);
    }
    if (ex_writer_is_full(epub->writer)) {
        ex_writer_finish(epub->writer, EX_LIMIT_OUTPUT, N_("it holds more text than is allowed"));
    } else if (ex_writer_text_bytes(epub->writer) == 0) {
        if (epub->n_missing) ex_writer_finish(epub->writer, EX_DAMAGED, N_("the parts that its package names are missing"));
        else ex_writer_finish(epub->writer, EX_NO_TEXT, N_("there is no text in it"));
    } else {
        if (epub->n_missing) ex_writer_note(epub->writer, "%u parts that the book names are missing from it", epub->n_missing);
        ex_writer_finish(epub->writer, EX_OK, "%s", "");
    }
}

static void extract_book(Epub *epub)
{
    if (is_locked(epub)) {
        ex_writer_finish(epub->writer, EX_DRM, N_("it is protected by its seller (DRM) and can only be read in the seller's program"));
        return;
    }
    find_package(epub);
    if (!epub->package) {
        ex_writer_finish(epub->writer, EX_DAMAGED, N_("it has no package document, so it is not an EPUB"));
        return;
    }
    read_package(epub);
    if (epub->spine->len == 0) {
        ex_writer_finish(epub->writer, EX_DAMAGED, N_("its package document names no text"));
        return;
    }
    if (epub->nav) read_nav(epub);
    if (epub->n_marks == 0 && epub->ncx) read_ncx(epub);
    write_spine(epub);
}

void ex_extract_epub(const ExInput *input, ExWriter *writer)
{
    ExZip *zip = ex_zip_new(input, wanted, writer);
    if (!zip) return;
    Epub epub = {.zip = zip, .writer = writer};
    epub.items = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, item_free);
    epub.spine = g_ptr_array_new();
    epub.marks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_hash_table_unref);
    extract_book(&epub);
    g_hash_table_unref(epub.marks);
    g_ptr_array_unref(epub.spine);
    g_hash_table_unref(epub.items);
    g_free(epub.package);
    g_free(epub.ncx);
    g_free(epub.nav);
    ex_zip_free(zip);
}
