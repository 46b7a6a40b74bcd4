/* check-boxes.c: do a passage's boxes on a PDF page hold its text and nothing else?
 *
 * Owns: pseudo-random passages of documents, and what poppler has within their boxes: the characters whose middle lies in one of them.
 *       Compared without white space, cell borders and hyphens, as NFKC.
 * Usage: check-boxes LEAST_PER_CENT FILE.pdf...     The suite runs it on small files; on real reports it is run by hand.
 */
#include <glib/gstdio.h>
#include <poppler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app-library.h"
#include "app-reader.h"

enum { PASSAGES = 400, WORDS_MAX = 40, SHOWN_MAX = 12 };

typedef struct Page {
    char *text;
    PopplerRectangle *boxes;
    guint n_boxes;
} Page;

static Page *get_page(GPtrArray *pages, PopplerDocument *pdf, guint index)
{
    if (pages->len <= index) g_ptr_array_set_size(pages, (gint)index + 1);
    Page *page = g_ptr_array_index(pages, index);
    if (page != NULL) return page;
    page = g_new0(Page, 1);
    PopplerPage *source = poppler_document_get_page(pdf, (int)index);
    page->text = poppler_page_get_text(source);
    poppler_page_get_text_layout(source, &page->boxes, &page->n_boxes);
    g_object_unref(source);
    g_ptr_array_index(pages, index) = page;
    return page;
}

static void free_page(gpointer data)
{
    Page *page = data;
    if (page == NULL) return;
    g_free(page->text);
    g_free(page->boxes);
    g_free(page);
}

/* Letters and signs alone. */
static char *bare(const char *text)
{
    g_autofree char *normal = g_utf8_normalize(text, -1, G_NORMALIZE_NFKC);
    GString *kept = g_string_new(NULL);
    for (const char *at = normal; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (!g_unichar_isspace(c) && c != '|' && c != '-' && c != 0xAD && c != 0x2010 && c != 0x200B) g_string_append_unichar(kept, c);
    }
    return g_string_free(kept, FALSE);
}

static char *text_in_boxes(GPtrArray *pages, PopplerDocument *pdf, const AppPlace *place)
{
    GString *text = g_string_new(NULL);
    for (size_t b = 0; b < place->n_boxes; b++) {
        const AppBox *box = &place->boxes[b];
        const Page *page = get_page(pages, pdf, box->page);
        guint i = 0;
        for (const char *at = page->text; *at != '\0' && i < page->n_boxes; at = g_utf8_next_char(at), i++) {
            double x = (page->boxes[i].x1 + page->boxes[i].x2) / 2, y = (page->boxes[i].y1 + page->boxes[i].y2) / 2;
            if (x >= box->x0 && x <= box->x1 && y >= box->y0 && y <= box->y1) g_string_append_unichar(text, g_utf8_get_char(at));
        }
    }
    return g_string_free(text, FALSE);
}

/* From a word's beginning, some words on, within one paragraph or table. Length 0: there is none here. */
static size_t passage_length(const char *text, size_t start, unsigned n_words)
{
    size_t at = start;
    for (unsigned n = 0; n < n_words && text[at] != '\0' && strncmp(text + at, "\n\n", 2) != 0; n++) {
        if (n > 0) at++; /* the space */
        while (text[at] != '\0' && text[at] != ' ' && text[at] != '\n') at++;
        if (strncmp(text + at, "\n\n", 2) == 0) break;
    }
    return at - start;
}

/* The passage's words that have a place: column heads that are repeated where a table goes on have none of their own. */
static char *placed_words(AppLibrary *library, int64_t id, const char *text, size_t start, size_t n, unsigned *io_n_unplaced)
{
    GString *placed = g_string_new(NULL);
    for (size_t at = start; at < start + n;) {
        size_t end = at;
        while (end < start + n && text[end] != ' ' && text[end] != '\n') end++;
        g_autoptr(AppPlace) place = app_library_locate(library, id, at, end, NULL);
        g_autofree char *word = g_strndup(text + at, end - at);
        if (place->n_boxes > 0) g_string_append_printf(placed, "%s ", word);
        if (place->n_boxes == 0 && strcmp(word, "|") != 0 && word[0] != '\0') ++*io_n_unplaced;
        at = end + 1;
    }
    return g_string_free(placed, FALSE);
}

static unsigned check_document(AppLibrary *library, const char *path, unsigned *ret_n)
{
    GError *error = NULL;
    g_autofree char *whole = g_canonicalize_filename(path, NULL), *uri = g_filename_to_uri(whole, NULL, &error);
    PopplerDocument *pdf = uri != NULL ? poppler_document_new_from_file(uri, NULL, &error) : NULL;
    int64_t id = pdf != NULL ? app_reader_add_file(library, path, NULL, NULL, &error) : -1;
    size_t n_bytes = 0;
    g_autofree char *text = id >= 0 ? app_library_get_text(library, id, 0, UINT64_MAX, &n_bytes, &error) : NULL;
    if (text == NULL || n_bytes == 0) {
        fprintf(stderr, "%s: %s\n", path, error != NULL ? error->message : "no text");
        exit(2);
    }
    GPtrArray *pages = g_ptr_array_new_with_free_func(free_page);
    uint32_t seed = 12345;
    unsigned n_right = 0, n_shown = 0, n_unplaced = 0;
    *ret_n = 0;
    for (unsigned tries = 0; *ret_n < PASSAGES && tries < 4 * PASSAGES; tries++) {
        seed = seed * 1664525 + 1013904223;
        size_t start = (size_t)((uint64_t)seed * n_bytes >> 32);
        while (start < n_bytes && (start == 0 || (text[start - 1] != ' ' && text[start - 1] != '\n'))) start++;
        seed = seed * 1664525 + 1013904223;
        size_t n = start < n_bytes ? passage_length(text, start, 1 + (seed >> 8) % WORDS_MAX) : 0;
        if (n == 0) continue;
        g_autoptr(AppPlace) place = app_library_locate(library, id, start, start + n, NULL);
        g_autofree char *passage = placed_words(library, id, text, start, n, &n_unplaced), *seen = text_in_boxes(pages, pdf, place);
        g_autofree char *wanted = bare(passage), *got = bare(seen);
        if (wanted[0] == '\0') continue;
        ++*ret_n;
        bool right = strcmp(wanted, got) == 0;
        n_right += right;
        if (!right && n_shown++ < SHOWN_MAX) fprintf(stderr, "page %u: %s\n   wanted %s\n   boxes  %s\n", place->page_first + 1, path, wanted, got);
    }
    printf("%s: %u of %u passages; %u of their words are repeated heads without a place\n", path, n_right, *ret_n, n_unplaced);
    g_ptr_array_unref(pages);
    g_object_unref(pdf);
    return n_right;
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    g_autofree char *folder = g_dir_make_tmp("lectern-boxes-XXXXXX", NULL);
    GError *error = NULL;
    AppLibrary *library = app_library_open(folder, &error);
    if (library == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return 2;
    }
    unsigned n_all = 0, n_right = 0;
    for (int i = 2; i < argc; i++) {
        unsigned n = 0, right = check_document(library, argv[i], &n);
        n_all += n;
        n_right += right;
    }
    app_library_unref(library);
    static const char *const files[] = {"library.sqlite", "library.sqlite-wal", "library.sqlite-shm"};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(folder, files[i], NULL);
        g_remove(path);
    }
    g_rmdir(folder);
    printf("%u of %u: the boxes hold the passage and nothing else\n", n_right, n_all);
    return n_all > 0 && n_right * 100.0 >= atof(argv[1]) * n_all ? 0 : 1;
}
