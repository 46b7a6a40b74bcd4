/* extract-page.c: a PDF page as words, lines and columns.
 *
 * Owns: geometry of words. Poppler's own order of text is not used: in tables it mixes rows.
 */
#include "extract-page.h"
#include "extract-ligatures.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------- words */

static uint8_t font_flags(const char *name)
{
    if (!name) return 0;
    g_autofree char *lower = g_ascii_strdown(name, -1);
    static const char *const bold[] = {"bold", "black", "heavy", "demi", NULL};
    uint8_t flags = 0;
    for (int i = 0; bold[i]; i++) {
        if (strstr(lower, bold[i])) flags |= EX_WORD_BOLD;
    }
    if (strstr(lower, "italic") || strstr(lower, "oblique")) flags |= EX_WORD_ITALIC;
    return flags;
}

static const char *ligature(gunichar c)
{
    static const char *const letters[] = {"ff", "fi", "fl", "ffi", "ffl", "st", "st"};
    return c >= 0xFB00 && c <= 0xFB06 ? letters[c - 0xFB00] : NULL;
}

/* Whether character i belongs to another word than the one before it. */
static bool breaks_word(const ExWord *word, const PopplerRectangle *box, double size)
{
    double gap = box->x1 - word->x1;
    double centre = (box->y1 + box->y2) / 2;
    bool is_elsewhere = centre < word->y0 - 0.2 * size || centre > word->y1 + 0.2 * size;
    return gap > 0.25 * size || gap < -0.6 * size || is_elsewhere;
}

static void add_character(ExPage *page, ExWord *word, gunichar c, const PopplerRectangle *box)
{
    size_t before = page->text->len;
    const char *letters = ligature(c);
    if (letters) g_string_append(page->text, letters);
    else g_string_append_unichar(page->text, c);
    word->n_bytes = (uint16_t)(word->n_bytes + (page->text->len - before));
    word->x0 = MIN(word->x0, (float)box->x1);
    word->y0 = MIN(word->y0, (float)box->y1);
    word->x1 = MAX(word->x1, (float)box->x2);
    word->y1 = MAX(word->y1, (float)box->y2);
}

static bool has_place(const PopplerRectangle *box)
{
    return isfinite(box->x1) && isfinite(box->x2) && isfinite(box->y1) && isfinite(box->y2) && fabs(box->x1) < 1e5 && fabs(box->x2) < 1e5 &&
           fabs(box->y1) < 1e5 && fabs(box->y2) < 1e5;
}

/* Characters with their places and styles; one without a place is a blank. */
static GArray *take_chars(const char *text, const PopplerRectangle *boxes, guint n_boxes, GList *attributes)
{
    GArray *chars = g_array_sized_new(FALSE, FALSE, sizeof(ExChar), n_boxes);
    guint i = 0;
    const PopplerTextAttributes *style = NULL;
    uint8_t flags = 0;
    for (const char *p = text; *p && i < n_boxes; p = g_utf8_next_char(p), i++) {
        while (attributes && (int)i > ((PopplerTextAttributes *)attributes->data)->end_index) attributes = attributes->next;
        const PopplerTextAttributes *now = attributes ? attributes->data : NULL;
        if (now != style) {
            style = now;
            flags = style ? font_flags(style->font_name) : 0;
        }
        const PopplerRectangle *box = &boxes[i];
        ExChar c = {g_utf8_get_char(p), *box, style && style->font_size > 0 ? style->font_size : box->y2 - box->y1, flags};
        bool is_soft_hyphen = c.c == 0xAD && (p[strlen("\xC2\xAD")] == '\n' || p[strlen("\xC2\xAD")] == 0);
        if (is_soft_hyphen) c.c = '-';
        if (!has_place(box)) c.c = ' ';
        g_array_append_val(chars, c);
    }
    return chars;
}

static void add_words(ExPage *page, const GArray *chars)
{
    bool in_word = false;
    for (guint i = 0; i < chars->len; i++) {
        const ExChar *c = &g_array_index(chars, ExChar, i);
        if (ex_is_blank(c->c)) {
            in_word = false;
            continue;
        }
        const PopplerRectangle *box = &c->box;
        ExWord *word = in_word ? &g_array_index(page->words, ExWord, page->words->len - 1) : NULL;
        bool is_money = c->c == '$' && word && g_ascii_isdigit(page->text->str[page->text->len - 1]);
        if (!word || word->n_bytes > 1000 || is_money || breaks_word(word, box, c->size)) {
            ExWord fresh = {(float)box->x1, (float)box->y1, (float)box->x2, (float)box->y2, (float)c->size, (uint32_t)page->text->len, 0, c->flags, 0};
            g_array_append_val(page->words, fresh);
            word = &g_array_index(page->words, ExWord, page->words->len - 1);
            in_word = true;
        }
        add_character(page, word, c->c, box);
    }
}

static bool has_large_image(PopplerPage *source, double area)
{
    GList *images = poppler_page_get_image_mapping(source);
    bool is_large = false;
    for (GList *i = images; i; i = i->next) {
        const PopplerImageMapping *mapping = i->data;
        double covered = fabs((mapping->area.x2 - mapping->area.x1) * (mapping->area.y2 - mapping->area.y1));
        if (covered > 0.3 * area) is_large = true;
    }
    poppler_page_free_image_mapping(images);
    return is_large;
}

ExPage *ex_page_new(PopplerPage *source, uint32_t index, bool with_ligatures)
{
    ExPage *page = g_new0(ExPage, 1);
    double width = 0, height = 0;
    poppler_page_get_size(source, &width, &height);
    page->index = index;
    page->width = isfinite(width) && fabs(width) < 1e5 ? (float)fabs(width) : 0;
    page->height = isfinite(height) && fabs(height) < 1e5 ? (float)fabs(height) : 0;
    page->label = poppler_page_get_label(source);
    page->text = g_string_new(NULL);
    page->words = g_array_new(FALSE, FALSE, sizeof(ExWord));
    g_autofree char *text = poppler_page_get_text(source);
    PopplerRectangle *boxes = NULL;
    guint n_boxes = 0;
    if (text && *text && poppler_page_get_text_layout(source, &boxes, &n_boxes)) {
        GList *attributes = poppler_page_get_text_attributes(source);
        g_autoptr(GArray) chars = take_chars(text, boxes, n_boxes, attributes);
        poppler_page_free_text_attributes(attributes);
        if (with_ligatures) ex_ligatures_restore(chars, source, page->width, page->height);
        add_words(page, chars);
    }
    g_free(boxes);
    if (page->words->len == 0) page->has_images = has_large_image(source, (double)page->width * page->height);
    return page;
}

void ex_page_free(ExPage *page)
{
    if (!page) return;
    g_free(page->label);
    g_string_free(page->text, TRUE);
    g_array_unref(page->words);
    g_free(page);
}

/* ------------------------------------------------------------------------------------------------------------- lines */

static int compare_centres(gconstpointer a, gconstpointer b, gpointer data)
{
    const ExPage *page = data;
    const ExWord *x = &g_array_index(page->words, ExWord, *(const uint32_t *)a);
    const ExWord *y = &g_array_index(page->words, ExWord, *(const uint32_t *)b);
    float cx = x->y0 + x->y1, cy = y->y0 + y->y1;
    if (cx != cy) return cx < cy ? -1 : 1;
    return x->x0 < y->x0 ? -1 : x->x0 > y->x0;
}

static int compare_left(gconstpointer a, gconstpointer b, gpointer data)
{
    const ExPage *page = data;
    const ExWord *x = &g_array_index(page->words, ExWord, *(const uint32_t *)a);
    const ExWord *y = &g_array_index(page->words, ExWord, *(const uint32_t *)b);
    return x->x0 < y->x0 ? -1 : x->x0 > y->x0;
}

static void finish_line(const ExPage *page, const GArray *order, ExLine *line)
{
    uint32_t n_flags[4] = {0}, n_all = 0;
    float largest = 0;
    for (uint32_t i = line->first; i < line->first + line->n; i++) {
        const ExWord *word = ex_page_word(page, order, i);
        n_flags[word->flags & 3] += word->n_bytes;
        n_all += word->n_bytes;
        if (word->size > largest) largest = word->size;
    }
    /* Size of most characters: marks of footnotes are smaller, drop caps larger. */
    float best = largest;
    uint32_t most = 0;
    for (uint32_t i = line->first; i < line->first + line->n; i++) {
        float size = ex_page_word(page, order, i)->size;
        uint32_t n = 0;
        for (uint32_t j = line->first; j < line->first + line->n && line->n < 400; j++) {
            const ExWord *word = ex_page_word(page, order, j);
            if (fabsf(word->size - size) < 0.3F) n += word->n_bytes;
        }
        if (n > most) {
            most = n;
            best = size;
        }
        if (n * 2 > n_all) break;
    }
    line->size = best;
    uint32_t n_bold = n_flags[EX_WORD_BOLD] + n_flags[EX_WORD_BOLD | EX_WORD_ITALIC];
    uint32_t n_italic = n_flags[EX_WORD_ITALIC] + n_flags[EX_WORD_BOLD | EX_WORD_ITALIC];
    line->flags = (uint8_t)((n_bold * 10 > n_all * 9 ? EX_WORD_BOLD : 0) | (n_italic * 10 > n_all * 8 ? EX_WORD_ITALIC : 0));
}

GArray *ex_page_lines(const ExPage *page, GArray *order)
{
    for (guint i = 0; i < order->len;) {
        if (ex_page_word(page, order, i)->is_dropped) g_array_remove_index_fast(order, i);
        else i++;
    }
    g_array_sort_with_data(order, compare_centres, (gpointer)page);
    GArray *lines = g_array_new(FALSE, FALSE, sizeof(ExLine));
    for (uint32_t i = 0; i < order->len;) {
        const ExWord *word = ex_page_word(page, order, i);
        ExLine line = {i, 1, word->x0, word->y0, word->x1, word->y1, 0, 0};
        float centre = (word->y0 + word->y1) / 2, height = word->y1 - word->y0;
        uint32_t j = i + 1;
        for (; j < order->len; j++) {
            const ExWord *next = ex_page_word(page, order, j);
            float next_height = next->y1 - next->y0, next_centre = (next->y0 + next->y1) / 2;
            if (next_centre - centre > 0.45F * MAX(MIN(height, next_height), 1)) break;
            line.x0 = MIN(line.x0, next->x0);
            line.y0 = MIN(line.y0, next->y0);
            line.x1 = MAX(line.x1, next->x1);
            line.y1 = MAX(line.y1, next->y1);
            /* The line's place is that of its tallest word: superscripts stand above it. */
            if (next_height > height) {
                centre = next_centre;
                height = next_height;
            }
        }
        line.n = j - i;
        g_qsort_with_data(&g_array_index(order, uint32_t, i), (gint)line.n, sizeof(uint32_t), compare_left, (gpointer)page);
        finish_line(page, order, &line);
        g_array_append_val(lines, line);
        i = j;
    }
    return lines;
}

char *ex_line_text(const ExPage *page, const GArray *order, const ExLine *line)
{
    GString *text = g_string_new(NULL);
    for (uint32_t i = line->first; i < line->first + line->n; i++) {
        const ExWord *word = ex_page_word(page, order, i);
        if (i > line->first) g_string_append_c(text, ' ');
        g_string_append_len(text, ex_word_text(page, word), word->n_bytes);
    }
    return g_string_free(text, FALSE);
}

/* ----------------------------------------------------------------------------------------------------------- columns */

enum { MIN_COLUMN_LINES = 6 };

/* How a line stands to a vertical cut at x. */
typedef enum Side { SIDE_NONE, SIDE_LEFT, SIDE_RIGHT, SIDE_BOTH, SIDE_ACROSS } Side;

static Side line_side(const ExPage *page, const GArray *order, const ExLine *line, float x, float gutter)
{
    bool has_left = false, has_right = false;
    float left_end = -INFINITY, right_start = INFINITY;
    for (uint32_t i = line->first; i < line->first + line->n; i++) {
        const ExWord *word = ex_page_word(page, order, i);
        if (word->x1 <= x) {
            has_left = true;
            left_end = MAX(left_end, word->x1);
        } else if (word->x0 >= x) {
            has_right = true;
            right_start = MIN(right_start, word->x0);
        } else {
            return SIDE_ACROSS;
        }
    }
    if (has_left && has_right) return right_start - left_end < gutter ? SIDE_ACROSS : SIDE_BOTH;
    return has_left ? SIDE_LEFT : SIDE_RIGHT;
}

typedef struct Cut {
    guint first, end; /* lines */
    float x;
    guint n_both;
} Cut;

/* Prose fills its column: most lines of a side are wide, with several words, few of them figures. */
static bool is_prose_side(const ExPage *page, const GArray *order, const GArray *lines, const Cut *cut, bool is_left)
{
    float x0 = INFINITY, x1 = -INFINITY;
    guint n_lines = 0, n_words = 0, n_figures = 0, n_wide = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (guint l = cut->first; l < cut->end; l++) {
            const ExLine *line = &g_array_index(lines, ExLine, l);
            float from = INFINITY, to = -INFINITY;
            guint n = 0;
            for (uint32_t i = line->first; i < line->first + line->n; i++) {
                const ExWord *word = ex_page_word(page, order, i);
                if ((word->x1 <= cut->x) != is_left) continue;
                from = MIN(from, word->x0);
                to = MAX(to, word->x1);
                n++;
                const char *text = ex_word_text(page, word);
                if (pass == 0 && (g_ascii_isdigit(*text) || *text == '$' || *text == '(')) n_figures++;
            }
            if (n == 0) continue;
            if (pass == 0) {
                x0 = MIN(x0, from);
                x1 = MAX(x1, to);
                n_lines++;
                n_words += n;
            } else if (to - from > 0.7F * (x1 - x0)) {
                n_wide++;
            }
        }
    }
    return n_lines >= MIN_COLUMN_LINES && n_words >= 4 * n_lines && n_figures * 5 < n_words && n_wide * 10 >= n_lines * 5;
}

static bool find_cut(const ExPage *page, const GArray *order, const GArray *lines, Cut *ret_cut)
{
    if (lines->len < MIN_COLUMN_LINES) return false;
    float x0 = INFINITY, x1 = -INFINITY;
    for (guint l = 0; l < lines->len; l++) {
        x0 = MIN(x0, g_array_index(lines, ExLine, l).x0);
        x1 = MAX(x1, g_array_index(lines, ExLine, l).x1);
    }
    Cut best = {0};
    for (float x = x0 + 0.2F * (x1 - x0); x < x0 + 0.8F * (x1 - x0); x += 3) {
        for (guint l = 0; l < lines->len;) {
            Cut cut = {l, l, x, 0};
            guint n_left = 0, n_right = 0;
            for (; cut.end < lines->len; cut.end++) {
                const ExLine *line = &g_array_index(lines, ExLine, cut.end);
                Side side = line_side(page, order, line, x, 0.9F * line->size);
                if (side == SIDE_ACROSS) break;
                n_left += side != SIDE_RIGHT;
                n_right += side != SIDE_LEFT;
            }
            cut.n_both = MIN(n_left, n_right);
            if (cut.n_both >= MIN_COLUMN_LINES && cut.n_both > best.n_both && is_prose_side(page, order, lines, &cut, true) &&
                is_prose_side(page, order, lines, &cut, false)) {
                best = cut;
            }
            l = cut.end + 1;
        }
    }
    *ret_cut = best;
    return best.n_both > 0;
}

static void add_flow(const ExPage *page, GPtrArray *flows, GArray *order, int depth);

static void add_part(const ExPage *page, GPtrArray *flows, const GArray *order, const GArray *lines, guint first, guint end, float x,
                     int side, int depth)
{
    GArray *part = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    for (guint l = first; l < end; l++) {
        const ExLine *line = &g_array_index(lines, ExLine, l);
        for (uint32_t i = line->first; i < line->first + line->n; i++) {
            const ExWord *word = ex_page_word(page, order, i);
            if (side == 0 || (side < 0) == (word->x1 <= x)) g_array_append_val(part, g_array_index(order, uint32_t, i));
        }
    }
    if (part->len) add_flow(page, flows, part, depth);
    else g_array_unref(part);
}

/* Takes `order`. Cuts it into what is above two columns, the left, the right, and what is below them; each of these again. */
static void add_flow(const ExPage *page, GPtrArray *flows, GArray *order, int depth)
{
    g_autoptr(GArray) lines = ex_page_lines(page, order);
    Cut cut;
    if (depth == 0 || !find_cut(page, order, lines, &cut)) {
        g_ptr_array_add(flows, order);
        return;
    }
    add_part(page, flows, order, lines, 0, cut.first, 0, 0, depth - 1);
    add_part(page, flows, order, lines, cut.first, cut.end, cut.x, -1, depth - 1);
    add_part(page, flows, order, lines, cut.first, cut.end, cut.x, 1, depth - 1);
    add_part(page, flows, order, lines, cut.end, lines->len, 0, 0, depth - 1);
    g_array_unref(order);
}

GPtrArray *ex_page_flows(const ExPage *page)
{
    GPtrArray *flows = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    GArray *order = g_array_sized_new(FALSE, FALSE, sizeof(uint32_t), page->words->len);
    for (uint32_t i = 0; i < page->words->len; i++) g_array_append_val(order, i);
    add_flow(page, flows, order, 4);
    return flows;
}
