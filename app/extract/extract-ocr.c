/* extract-ocr.c: text on pages that are pictures.
 *
 * The part of Tesseract's C interface that is used (tesseract/capi.h, the same in versions 4 and 5) is written out here, so that neither
 * its headers nor its library are needed to build or to start.
 */
#include "extract-ocr.h"
#include "extract-draw.h"

#include <dlfcn.h>
#include <glib/gi18n.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DRAW_DPI = 300,         /* what Tesseract's data was trained for */
    DRAW_PIXELS_MAX = 6000, /* of a side; larger pages are drawn coarser */
    LEVEL_TEXTLINE = 2,     /* PageIteratorLevel */
    LEVEL_WORD = 3,
    WORD_BYTES_MAX = 1000,
    CONFIDENCE_LEAST = 20,  /* of 100: below it is mostly specks taken for letters */
};

typedef struct Functions {
    void *(*create)(void);
    void (*destroy)(void *api);
    int (*init)(void *api, const char *data_folder, const char *languages);
    int (*set_variable)(void *api, const char *name, const char *value);
    void (*set_image)(void *api, const unsigned char *pixels, int width, int height, int bytes_per_pixel, int bytes_per_line);
    void (*set_resolution)(void *api, int dpi);
    int (*recognize)(void *api, void *monitor);
    void *(*get_iterator)(void *api);
    void *(*page_iterator)(void *iterator);
    int (*bounding_box)(const void *page_iterator, int level, int *left, int *top, int *right, int *bottom);
    char *(*word_text)(const void *iterator, int level);
    int (*next)(void *iterator, int level);
    float (*confidence)(const void *iterator, int level);
    const char *(*font)(const void *iterator, int *is_bold, int *is_italic, int *is_underlined, int *is_monospace, int *is_serif,
                        int *is_smallcaps, int *size_points, int *font_id);
    void (*destroy_iterator)(void *iterator);
    void (*free_text)(const char *text);
    void (*clear)(void *api);
} Functions;

struct ExOcr {
    Functions call;
    void *library, *api;
};

static bool find_functions(ExOcr *ocr)
{
    const struct {
        const char *name;
        void *to;
    } wanted[] = {
        {"TessBaseAPICreate", &ocr->call.create},
        {"TessBaseAPIDelete", &ocr->call.destroy},
        {"TessBaseAPIInit3", &ocr->call.init},
        {"TessBaseAPISetVariable", &ocr->call.set_variable},
        {"TessBaseAPISetImage", &ocr->call.set_image},
        {"TessBaseAPISetSourceResolution", &ocr->call.set_resolution},
        {"TessBaseAPIRecognize", &ocr->call.recognize},
        {"TessBaseAPIGetIterator", &ocr->call.get_iterator},
        {"TessResultIteratorGetPageIterator", &ocr->call.page_iterator},
        {"TessPageIteratorBoundingBox", &ocr->call.bounding_box},
        {"TessResultIteratorGetUTF8Text", &ocr->call.word_text},
        {"TessResultIteratorNext", &ocr->call.next},
        {"TessResultIteratorConfidence", &ocr->call.confidence},
        {"TessResultIteratorWordFontAttributes", &ocr->call.font},
        {"TessResultIteratorDelete", &ocr->call.destroy_iterator},
        {"TessDeleteText", &ocr->call.free_text},
        {"TessBaseAPIClear", &ocr->call.clear},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++) {
        void *symbol = dlsym(ocr->library, wanted[i].name);
        if (!symbol) return false;
        memcpy(wanted[i].to, &symbol, sizeof symbol); /* C has no conversion between the two kinds of pointers */
    }
    return true;
}

ExOcr *ex_ocr_new(const char *languages, char *ret_reason, size_t n_reason)
{
    static const char *const names[] = {"libtesseract.so.5", "libtesseract.so.4"};
    setenv("OMP_THREAD_LIMIT", "1", 1); /* no threads within the sandbox; read when the library is loaded */
    ExOcr *ocr = g_new0(ExOcr, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(names) && !ocr->library; i++) ocr->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!ocr->library) {
        snprintf(ret_reason, n_reason, N_("Tesseract is not installed (on Debian and its relatives: the package tesseract-ocr)"));
    } else if (!find_functions(ocr)) {
        snprintf(ret_reason, n_reason, N_("the Tesseract that is installed is not one that is known (4 or 5)"));
    } else {
        ocr->api = ocr->call.create();
        if (ocr->api && ocr->call.init(ocr->api, NULL, languages) == 0) {
            ocr->call.set_variable(ocr->api, "debug_file", "/dev/null");
            return ocr;
        }
        snprintf(ret_reason, n_reason, "Tesseract has no data for the language “%s” (on Debian and its relatives: the package tesseract-ocr-%s)",
                 languages, languages);
    }
    ex_ocr_free(ocr);
    return NULL;
}

void ex_ocr_free(ExOcr *ocr)
{
    if (!ocr) return;
    if (ocr->api) ocr->call.destroy(ocr->api);
    /* The library stays loaded: others may have been loaded by it that do not survive being unloaded. */
    g_free(ocr);
}

/* A word spans its line's height, so that words of one line stand on one line whatever letters they have. */
static void add_word(ExOcr *ocr, void *iterator, const char *text, double scale, ExPage *page)
{
    const void *places = ocr->call.page_iterator(iterator);
    int left, top, right, bottom, line_left, line_top, line_right, line_bottom;
    size_t n_bytes = strlen(text);
    if (!ocr->call.bounding_box(places, LEVEL_WORD, &left, &top, &right, &bottom) || right <= left || bottom <= top) return;
    if (!ocr->call.bounding_box(places, LEVEL_TEXTLINE, &line_left, &line_top, &line_right, &line_bottom)) {
        line_top = top;
        line_bottom = bottom;
    }
    int flag[6] = {0}, size = 0, font = 0;
    ocr->call.font(iterator, &flag[0], &flag[1], &flag[2], &flag[3], &flag[4], &flag[5], &size, &font);
    if (size <= 0 || size > 200) size = (int)lround((line_bottom - line_top) / scale);
    ExWord word = {(float)(left / scale), (float)(line_top / scale), (float)(right / scale), (float)(line_bottom / scale), (float)size,
                   (uint32_t)page->text->len, (uint16_t)n_bytes, 0, 0};
    g_array_append_val(page->words, word);
    g_string_append_len(page->text, text, (gssize)n_bytes);
}

/* Sizes are measured on a picture: those near the page's usual one are that one. */
static void even_sizes(ExPage *page)
{
    guint n_bytes[201] = {0}, usual = 0;
    for (guint i = 0; i < page->words->len; i++) {
        const ExWord *word = &g_array_index(page->words, ExWord, i);
        guint size = (guint)CLAMP(word->size, 0, 200);
        n_bytes[size] += word->n_bytes;
        if (n_bytes[size] > n_bytes[usual]) usual = size;
    }
    for (guint i = 0; i < page->words->len; i++) {
        ExWord *word = &g_array_index(page->words, ExWord, i);
        if (fabsf(word->size - (float)usual) <= MAX(1.5F, 0.15F * (float)usual)) word->size = (float)usual;
    }
}

static void take_words(ExOcr *ocr, double scale, ExPage *page)
{
    void *iterator = ocr->call.get_iterator(ocr->api);
    if (!iterator) return;
    do {
        char *text = ocr->call.word_text(iterator, LEVEL_WORD);
        bool is_word = text && *text && strlen(text) <= WORD_BYTES_MAX && strcmp(text, " ") != 0 && g_utf8_validate(text, -1, NULL) &&
                       ocr->call.confidence(iterator, LEVEL_WORD) >= CONFIDENCE_LEAST;
        if (is_word) add_word(ocr, iterator, text, scale, page);
        if (text) ocr->call.free_text(text);
    } while (ocr->call.next(iterator, LEVEL_WORD));
    ocr->call.destroy_iterator(iterator);
    even_sizes(page);
}

bool ex_ocr_page(ExOcr *ocr, PopplerPage *source, ExPage *page)
{
    double larger = MAX(page->width, page->height), scale = DRAW_DPI / 72.0;
    if (!(page->width >= 1 && page->height >= 1)) return false;
    if (larger * scale > DRAW_PIXELS_MAX) scale = DRAW_PIXELS_MAX / larger;
    int width = MAX((int)(page->width * scale), 1), height = MAX((int)(page->height * scale), 1);
    g_autofree guint8 *grey = ex_draw_grey(source, scale, width, height);
    if (!grey) return false;
    ocr->call.set_image(ocr->api, grey, width, height, 1, width);
    ocr->call.set_resolution(ocr->api, (int)(scale * 72));
    bool is_read = ocr->call.recognize(ocr->api, NULL) == 0;
    if (is_read) take_words(ocr, scale, page);
    ocr->call.clear(ocr->api);
    return is_read;
}
