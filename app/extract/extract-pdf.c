/* extract-pdf.c: a PDF document through poppler-glib.
 *
 * Owns: opening, passwords, the two passes over the pages, running headers and footers, outline, title, pages without text.
 * Does not own: words and lines (extract-page.c), what they are (extract-layout.c).
 *
 * Two passes: running headers, heading styles and the words that decide about hyphens are known only after all pages were seen. The
 * words of all pages are kept in between (about 40 bytes a word).
 */
#include "extract-formats.h"
#include "extract-filing.h"
#include "extract-layout.h"
#include "extract-ligatures.h"

#include <glib/gi18n.h>
#include <math.h>
#include <poppler.h>
#include <string.h>
#include <unistd.h>

enum { EDGE_LINES = 3, FRONT_PAGES = 4, OUTLINE_MAX = 20000, OUTLINE_DEPTH_MAX = 8, KNOWN_WORDS_MAX = 1 << 20 };

typedef struct Pdf {
    PopplerDocument *document;
    ExWriter *writer;
    GPtrArray *pages;      /* ExPage*; NULL where a page could not be read */
    GHashTable *edges;     /* normalised line at a page's edge -> number of pages */
    GHashTable *words;     /* lower-case words */
    GPtrArray *front;      /* lines of the first pages */
    ExHeadings *headings;
    ExFiling *filing;
    ExOcr *ocr;
    guint n_empty, n_images, n_failed, n_recognised; /* n_images: pages that are pictures; n_recognised: of these, by ocr */
    guint n_numbered; /* pages whose last line is a page number */
} Pdf;

/* --------------------------------------------------------------------------------------------------- running headers */

/* The line with its figures replaced, so that "Page 12 of 80" is the same on all pages. */
static char *edge_key(const char *text)
{
    GString *key = g_string_new(NULL);
    for (const char *p = text; *p && key->len < 200; p++) {
        if (g_ascii_isdigit(*p)) {
            if (key->len == 0 || key->str[key->len - 1] != '#') g_string_append_c(key, '#');
        } else if (*p != ' ') {
            g_string_append_c(key, *p);
        }
    }
    return g_string_free(key, FALSE);
}

static bool is_roman(const char *text)
{
    size_t n = strlen(text);
    return n > 0 && n < 8 && (strspn(text, "ivxlc") == n || strspn(text, "IVXLC") == n);
}

static bool is_page_number(const char *text, const char *label)
{
    g_autofree char *key = edge_key(text);
    static const char *const forms[] = {"#", "-#-", "–#–", "Page#", "page#", "#of#", "Page#of#", "F-#", "[#]", "(#)", NULL};
    return g_strv_contains(forms, key) || (label && strcmp(text, label) == 0) || is_roman(text);
}

static GArray *page_lines(const ExPage *page, GArray **ret_order)
{
    GArray *order = g_array_sized_new(FALSE, FALSE, sizeof(uint32_t), page->words->len);
    for (uint32_t i = 0; i < page->words->len; i++) g_array_append_val(order, i);
    *ret_order = order;
    return ex_page_lines(page, order);
}

static bool is_edge(const ExPage *page, const ExLine *line)
{
    return line->y1 < 0.15F * page->height || line->y0 > 0.85F * page->height;
}

/* From one end of the page inwards, as long as lines are running ones. step: 1 from the top, -1 from the bottom. */
static void drop_edge(Pdf *pdf, ExPage *page, const GArray *order, const GArray *lines, int step)
{
    guint n_needed = MAX(3, pdf->pages->len * 15 / 100);
    for (guint i = 0; i < MIN(lines->len, EDGE_LINES); i++) {
        const ExLine *line = &g_array_index(lines, ExLine, step > 0 ? i : lines->len - 1 - i);
        g_autofree char *text = ex_line_text(page, order, line);
        /* Filings made from web pages have their number below the text, wherever that ends. */
        bool is_number = step < 0 && i == 0 && pdf->n_numbered * 3 > pdf->pages->len && is_page_number(text, page->label);
        if (!is_edge(page, line) && !is_number) return;
        g_autofree char *key = edge_key(text);
        bool is_running = GPOINTER_TO_UINT(g_hash_table_lookup(pdf->edges, key)) >= n_needed && strcmp(key, "#") != 0;
        if (!is_running && !is_page_number(text, page->label)) return;
        for (uint32_t w = line->first; w < line->first + line->n; w++) {
            g_array_index(page->words, ExWord, g_array_index(order, uint32_t, w)).is_dropped = 1;
        }
    }
}

static void count_edges(Pdf *pdf, const ExPage *page, const GArray *order, const GArray *lines)
{
    for (guint i = 0; i < lines->len; i++) {
        if (i >= EDGE_LINES && i + EDGE_LINES < lines->len) continue;
        const ExLine *line = &g_array_index(lines, ExLine, i);
        g_autofree char *text = ex_line_text(page, order, line);
        pdf->n_numbered += i + 1 == lines->len && is_page_number(text, page->label);
        if (!is_edge(page, line)) continue;
        char *key = edge_key(text);
        guint n = GPOINTER_TO_UINT(g_hash_table_lookup(pdf->edges, key));
        g_hash_table_insert(pdf->edges, key, GUINT_TO_POINTER(n + 1));
    }
}

/* ---------------------------------------------------------------------------------------------------------- first pass */

static void know_words(Pdf *pdf, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    for (char **word = words; *word && g_hash_table_size(pdf->words) < KNOWN_WORDS_MAX; word++) {
        char *start = *word, *end = start + strlen(start);
        while (*start && !((unsigned char)*start >= 0x80 || g_ascii_isalnum(*start))) start++;
        if (end > start && end[-1] == '-') continue; /* part of a divided word */
        while (end > start && !((unsigned char)end[-1] >= 0x80 || g_ascii_isalnum(end[-1]))) end--;
        if (end - start < 2 || end - start > 60) continue;
        *end = 0;
        g_hash_table_add(pdf->words, g_utf8_strdown(start, -1));
    }
}

static void look_at_page(Pdf *pdf, const ExPage *page)
{
    g_autoptr(GArray) order = NULL;
    g_autoptr(GArray) lines = page_lines(page, &order);
    count_edges(pdf, page, order, lines);
    for (guint i = 0; i < lines->len; i++) {
        const ExLine *line = &g_array_index(lines, ExLine, i);
        g_autofree char *text = ex_line_text(page, order, line);
        ex_headings_count(pdf->headings, line, text);
        know_words(pdf, text);
        if (page->index < FRONT_PAGES) g_ptr_array_add(pdf->front, g_steal_pointer(&text));
    }
}

static void recognise(Pdf *pdf, PopplerPage *source, ExPage *page)
{
    if (pdf->ocr && page->words->len == 0 && page->has_images) pdf->n_recognised += ex_ocr_page(pdf->ocr, source, page) && page->words->len > 0;
}

static void load_pages(Pdf *pdf, guint n_pages, ExLigatureCount *ret_ligatures)
{
    for (guint i = 0; i < n_pages; i++) {
        g_autoptr(GObject) source = (GObject *)poppler_document_get_page(pdf->document, (int)i);
        ExPage *page = source ? ex_page_new(POPPLER_PAGE(source), i, false) : NULL;
        g_ptr_array_add(pdf->pages, page);
        if (page) {
            pdf->n_empty += page->words->len == 0;
            pdf->n_images += page->has_images;
            for (guint w = 0; w < page->words->len; w++) {
                const ExWord *word = &g_array_index(page->words, ExWord, w);
                ex_ligatures_count(ex_word_text(page, word), word->n_bytes, ret_ligatures);
            }
            recognise(pdf, POPPLER_PAGE(source), page);
        } else {
            pdf->n_failed++;
        }
        if (pdf->ocr || i % 8 == 7 || i + 1 == n_pages) ex_writer_progress(pdf->writer, i + 1, n_pages);
    }
}

/* The pages again, drawn: seldom, and slower than the first time. Those that are pictures stay as they were recognised. */
static void restore_ligatures(Pdf *pdf)
{
    for (guint i = 0; i < pdf->pages->len; i++) {
        ExPage *page = g_ptr_array_index(pdf->pages, i);
        g_autoptr(GObject) source = page && !page->has_images ? (GObject *)poppler_document_get_page(pdf->document, (int)i) : NULL;
        if (source) {
            ex_page_free(page);
            g_ptr_array_index(pdf->pages, i) = ex_page_new(POPPLER_PAGE(source), i, true);
        }
        ex_writer_progress(pdf->writer, i + 1, pdf->pages->len);
    }
}

static void first_pass(Pdf *pdf)
{
    ExLigatureCount ligatures = {0};
    load_pages(pdf, (guint)CLAMP(poppler_document_get_n_pages(pdf->document), 0, EX_PAGES_MAX), &ligatures);
    if (ex_ligatures_are_missing(&ligatures)) restore_ligatures(pdf);
    for (guint i = 0; i < pdf->pages->len; i++) {
        const ExPage *page = g_ptr_array_index(pdf->pages, i);
        if (page) look_at_page(pdf, page);
    }
}

/* ------------------------------------------------------------------------------------------------------------- outline */

static int destination_page(Pdf *pdf, const PopplerAction *action)
{
    if (action->type != POPPLER_ACTION_GOTO_DEST || !action->goto_dest.dest) return -1;
    const PopplerDest *dest = action->goto_dest.dest;
    if (dest->type != POPPLER_DEST_NAMED) return dest->page_num - 1;
    PopplerDest *named = dest->named_dest ? poppler_document_find_dest(pdf->document, dest->named_dest) : NULL;
    int page = named ? named->page_num - 1 : -1;
    if (named) poppler_dest_free(named);
    return page;
}

static void read_outline(Pdf *pdf, PopplerIndexIter *iter, unsigned depth, guint *io_left)
{
    do {
        if (*io_left == 0) return;
        --*io_left;
        PopplerAction *action = poppler_index_iter_get_action(iter);
        if (action) {
            int page = destination_page(pdf, action);
            if (page >= 0 && action->any.title) ex_headings_outline(pdf->headings, (uint32_t)page, depth, action->any.title);
            poppler_action_free(action);
        }
        PopplerIndexIter *child = depth + 1 < OUTLINE_DEPTH_MAX ? poppler_index_iter_get_child(iter) : NULL;
        if (child) {
            read_outline(pdf, child, depth + 1, io_left);
            poppler_index_iter_free(child);
        }
    } while (poppler_index_iter_next(iter));
}

/* -------------------------------------------------------------------------------------------------------------- title */

/* Not "0001065088-16-000265", not "Microsoft Word - report.doc". */
static bool is_title(const char *title)
{
    if (!title || strlen(title) < 3 || g_str_has_prefix(title, "Microsoft Word") || g_str_has_prefix(title, "untitled")) return false;
    guint n_letters = 0, n_digits = 0;
    for (const char *p = title; *p; p = g_utf8_next_char(p)) {
        n_letters += g_unichar_isalpha(g_utf8_get_char(p)) != 0;
        n_digits += g_unichar_isdigit(g_utf8_get_char(p)) != 0;
    }
    bool is_file = g_str_has_suffix(title, ".doc") || g_str_has_suffix(title, ".docx") || g_str_has_suffix(title, ".pdf") ||
                   g_str_has_suffix(title, ".indd");
    return n_letters > n_digits && n_letters >= 3 && !is_file;
}

static void write_meta(Pdf *pdf)
{
    g_autofree char *title = poppler_document_get_title(pdf->document);
    g_autofree char *author = poppler_document_get_author(pdf->document);
    pdf->filing = ex_filing_new(pdf->front);
    if (pdf->filing) ex_filing_write(pdf->filing, pdf->writer);
    else if (is_title(title)) ex_writer_meta(pdf->writer, "title", title);
    ex_writer_meta(pdf->writer, "author", author);
}

/* --------------------------------------------------------------------------------------------------------- second pass */

static void write_pages(Pdf *pdf)
{
    for (guint i = 0; i < pdf->pages->len; i++) {
        const ExPage *page = g_ptr_array_index(pdf->pages, i);
        ex_writer_page(pdf->writer, page ? page->width : 0, page ? page->height : 0, page ? page->label : "");
    }
    ExLayout layout = {.writer = pdf->writer, .headings = pdf->headings, .words = pdf->words};
    for (guint i = 0; i < pdf->pages->len && !ex_writer_is_full(pdf->writer); i++) {
        ExPage *page = g_ptr_array_index(pdf->pages, i);
        if (!page || page->words->len == 0) continue;
        g_autoptr(GArray) order = NULL;
        g_autoptr(GArray) lines = page_lines(page, &order);
        drop_edge(pdf, page, order, lines, 1);
        drop_edge(pdf, page, order, lines, -1);
        ex_layout_page(&layout, page);
        ex_page_free(page); /* so that memory falls while the stream grows */
        g_ptr_array_index(pdf->pages, i) = NULL;
    }
    ex_layout_finish(&layout);
}

static void say_no_text(Pdf *pdf, guint n)
{
    if (pdf->n_images == 0) ex_writer_finish(pdf->writer, EX_NO_TEXT, N_("there is no text on its pages (%u)"), n);
    else if (pdf->ocr && n == 1) ex_writer_finish(pdf->writer, EX_NO_TEXT, N_("its only page is an image (a scan), and text recognition found nothing"));
    else if (pdf->ocr) ex_writer_finish(pdf->writer, EX_NO_TEXT, N_("its %u pages are images (a scan), and text recognition found nothing"), n);
    else if (n == 1) ex_writer_finish(pdf->writer, EX_NO_TEXT, N_("it has no text: its only page is an image (a scan); text recognition can read it"));
    else ex_writer_finish(pdf->writer, EX_NO_TEXT, N_("it has no text: its %u pages are images (a scan); text recognition can read it"), n);
}

static void finish(Pdf *pdf, const ExInput *input)
{
    guint n = pdf->pages->len;
    g_autofree char *images = g_strdup_printf("%u", pdf->n_images);
    if (pdf->n_images) ex_writer_meta(pdf->writer, "image_pages", images);
    if (ex_writer_is_full(pdf->writer)) {
        ex_writer_finish(pdf->writer, EX_LIMIT_OUTPUT, N_("it holds more text than is allowed"));
    } else if (n == 0) {
        ex_writer_finish(pdf->writer, EX_DAMAGED, N_("it has no pages"));
    } else if (pdf->n_failed == n) {
        ex_writer_finish(pdf->writer, EX_DAMAGED, N_("none of its %u pages can be read"), n);
    } else if (ex_writer_text_bytes(pdf->writer) == 0) {
        say_no_text(pdf, n);
    } else {
        guint n_left = pdf->n_images - pdf->n_recognised;
        if (pdf->n_recognised) ex_writer_note(pdf->writer, "the text of %u of %u pages was recognised on images", pdf->n_recognised, n);
        if (n_left && pdf->ocr) ex_writer_note(pdf->writer, "%u of %u pages are images on which no text was recognised", n_left, n);
        if (n_left && !pdf->ocr) ex_writer_note(pdf->writer, "%u of %u pages are images without text; text recognition can read them", n_left, n);
        if (pdf->n_failed) ex_writer_note(pdf->writer, "%u of %u pages are damaged and were left out", pdf->n_failed, n);
        size_t n_tail = MIN(input->n_bytes, 4096);
        if (!memmem(input->data + input->n_bytes - n_tail, n_tail, "startxref", 9)) {
            ex_writer_note(pdf->writer, "the file ends too early; parts of it may be missing");
        }
        ex_writer_finish(pdf->writer, EX_OK, "%s", "");
    }
}

static void page_free(gpointer data)
{
    ex_page_free(data);
}

static void extract_document(PopplerDocument *document, const ExInput *input, ExWriter *writer)
{
    Pdf pdf = {.document = document, .writer = writer, .headings = ex_headings_new(), .ocr = input->ocr};
    pdf.pages = g_ptr_array_new_with_free_func(page_free);
    pdf.front = g_ptr_array_new_with_free_func(g_free);
    pdf.edges = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    pdf.words = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    first_pass(&pdf);
    PopplerIndexIter *outline = poppler_index_iter_new(document);
    guint n_left = OUTLINE_MAX;
    if (outline) {
        read_outline(&pdf, outline, 0, &n_left);
        poppler_index_iter_free(outline);
    }
    write_meta(&pdf);
    ex_headings_ready(pdf.headings, pdf.filing ? pdf.filing->company : NULL, pdf.filing != NULL);
    write_pages(&pdf);
    finish(&pdf, input);
    ex_filing_free(pdf.filing);
    ex_headings_free(pdf.headings);
    g_hash_table_unref(pdf.words);
    g_hash_table_unref(pdf.edges);
    g_ptr_array_unref(pdf.front);
    g_ptr_array_unref(pdf.pages);
}

/* poppler 22.12's openings from memory dereference a null pointer when a password is wrong; the one from a descriptor does not, but calls
 * the document damaged then. So the password comes into play only when an opening without it said that one is needed. */
static PopplerDocument *open_with_password(const ExInput *input)
{
    int fd = input->password ? dup(input->fd) : -1;
    return fd < 0 ? NULL : poppler_document_new_from_fd(fd, input->password, NULL); /* it closes fd */
}

void ex_extract_pdf(const ExInput *input, ExWriter *writer)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(input->data, input->n_bytes);
    g_autoptr(GError) error = NULL;
    PopplerDocument *document = poppler_document_new_from_bytes(bytes, NULL, &error);
    bool is_encrypted = g_error_matches(error, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED);
    if (is_encrypted) document = open_with_password(input);
    if (document) {
        extract_document(document, input, writer);
        g_object_unref(document);
    } else if (is_encrypted && input->password) {
        ex_writer_finish(writer, EX_PASSWORD_WRONG, N_("the password is not the right one"));
    } else if (is_encrypted) {
        ex_writer_finish(writer, EX_PASSWORD, N_("it is encrypted and needs a password"));
    } else {
        ex_writer_finish(writer, EX_DAMAGED, "it is not a readable PDF (%s)", error->message);
    }
}
