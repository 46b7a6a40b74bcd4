/* extract-ligatures.c: see extract-ligatures.h. */
#include "extract-ligatures.h"
#include "extract-draw.h"

#include <math.h>
#include <string.h>

enum {
    EM = 80,           /* samples an em */
    COLUMNS_MAX = 144, /* of a patch */
    ROWS_MAX = 256,
    PIXELS_MAX = 6000, /* of a page's side; larger pages are drawn coarser */
    LETTERS_MAX = 3,
    TRIES = 8,
    SHIFT_MAX = 3,     /* columns to either side that are tried */
    LOOKS_MAX = 4000,  /* of a page: a full one in small type has a thousand places */
    NEIGHBOUR_MAX = 7, /* columns: a hook or serif over a letter's border is narrower */
};

static const double DRAW_SCALE = 4; /* pixels a point: 40 an em of ten points */
static const double GAP_LEAST = 0.35, GAP_MOST = 1.7, LIGATURE_MOST = 1.4, JOINED = 0.15; /* ems */
/* Of the correlation of two pictures: of the same shapes it is above 0.95, of fi and fl about 0.9. */
static const double ALIKE_LEAST = 0.8;
/* The last letter's distance from the picture (of 255), and of the next candidate's how much it is at most. In a report of 124 ligatures the right
 * ones had up to 9.8 and 0.3; letters of another font had 14 and more. */
static const double DISTANCE_MOST = 11, BETTER_BY = 0.5;

static const struct {
    const char *letters;
    gunichar c;
} ligatures[] = {{"ff", 0xFB00}, {"fi", 0xFB01}, {"fl", 0xFB02}, {"ffi", 0xFB03}, {"ffl", 0xFB04}};

void ex_ligatures_count(const char *word, size_t n_bytes, ExLigatureCount *io_count)
{
    for (size_t i = 0; i < n_bytes; i++) {
        if (word[i] != 'f') continue;
        io_count->n_f++;
        io_count->n_joined += i + 1 < n_bytes && strchr("fil", word[i + 1]);
    }
}

/* English has 13 to 25 joined ones of 100; a document in another script, or of figures alone, has too few for a verdict. */
bool ex_ligatures_are_missing(const ExLigatureCount *count)
{
    return count->n_f >= 24 && count->n_joined * 100 < count->n_f * 3;
}

bool ex_is_blank(gunichar c)
{
    return c <= 0x20 || c == 0xA0 || c == 0x7F || c == 0xAD || c == 0x200B || c == 0x3000 || (c >= 0x2000 && c <= 0x200A) || c == 0xFEFF;
}

/* ------------------------------------------------------------------------------------------------------------ pictures */

typedef struct Picture {
    guint8 *grey;
    int width, height;
    double scale;
} Picture;

/* A part of a line, of any size of type: EM samples an em. */
typedef struct Patch {
    int n_columns, n_rows;
    float ink[ROWS_MAX][COLUMNS_MAX];
} Patch;

typedef struct Piece {
    double x0, x1, y0, y1, size;
} Piece;

static float pixel(const Picture *picture, int x, int y)
{
    x = CLAMP(x, 0, picture->width - 1);
    y = CLAMP(y, 0, picture->height - 1);
    return picture->grey[(size_t)y * (size_t)picture->width + (size_t)x];
}

static float sample(const Picture *picture, double x, double y)
{
    x = x * picture->scale - 0.5;
    y = y * picture->scale - 0.5;
    int left = (int)floor(x), top = (int)floor(y);
    float dx = (float)(x - left), dy = (float)(y - top);
    float above = pixel(picture, left, top) * (1 - dx) + pixel(picture, left + 1, top) * dx;
    float below = pixel(picture, left, top + 1) * (1 - dx) + pixel(picture, left + 1, top + 1) * dx;
    return above * (1 - dy) + below * dy;
}

/* From the shade of most of the patch, whether that is paper or a coloured bar. */
static void shade_to_ink(Patch *patch)
{
    guint n_shade[16] = {0}, most = 0;
    for (int r = 0; r < patch->n_rows; r++) {
        for (int c = 0; c < patch->n_columns; c++) n_shade[CLAMP((int)patch->ink[r][c] / 16, 0, 15)]++;
    }
    for (guint i = 1; i < G_N_ELEMENTS(n_shade); i++) {
        if (n_shade[i] > n_shade[most]) most = i;
    }
    float ground = (float)most * 16 + 8;
    for (int r = 0; r < patch->n_rows; r++) {
        for (int c = 0; c < patch->n_columns; c++) patch->ink[r][c] = MAX(fabsf(patch->ink[r][c] - ground) - 8, 0);
    }
}

/* Pieces of a page side by side. */
static void take_patch(const Picture *picture, const Piece *pieces, size_t n_pieces, Patch *ret_patch)
{
    double width = 0;
    for (size_t i = 0; i < n_pieces; i++) width += (pieces[i].x1 - pieces[i].x0) / pieces[i].size;
    ret_patch->n_columns = CLAMP((int)lround(width * EM), 1, COLUMNS_MAX);
    ret_patch->n_rows = CLAMP((int)lround((pieces[0].y1 - pieces[0].y0) / pieces[0].size * EM), 1, ROWS_MAX);
    size_t at = 0;
    double before = 0;
    for (int c = 0; c < ret_patch->n_columns; c++) {
        double x = (c + 0.5) / EM;
        while (at + 1 < n_pieces && x - before >= (pieces[at].x1 - pieces[at].x0) / pieces[at].size) {
            before += (pieces[at].x1 - pieces[at].x0) / pieces[at].size;
            at++;
        }
        const Piece *piece = &pieces[at];
        for (int r = 0; r < ret_patch->n_rows; r++) {
            ret_patch->ink[r][c] = sample(picture, piece->x0 + (x - before) * piece->size, piece->y0 + (r + 0.5) / EM * piece->size);
        }
    }
    shade_to_ink(ret_patch);
}

static bool has_ink(const Patch *patch, int first, int end, int column)
{
    for (int r = first; r < end; r++) {
        if (patch->ink[r][column] > 64) return true;
    }
    return false;
}

/* The columns with ink in rows [first, end); false: there is none. */
static bool ink_columns(const Patch *patch, int first, int end, int *ret_left, int *ret_right)
{
    int left = 0, right = patch->n_columns;
    while (left < right && !has_ink(patch, first, end, left)) left++;
    while (right > left && !has_ink(patch, first, end, right - 1)) right--;
    *ret_left = left;
    *ret_right = right;
    return right > left;
}

/* A neighbour that reaches a little over its own border is not the gap's. */
static void trim_neighbours(const Patch *patch, int *io_left, int *io_right)
{
    int left = *io_left, right = *io_right;
    if (left == 0) {
        while (left < NEIGHBOUR_MAX && has_ink(patch, 0, patch->n_rows, left)) left++;
        if (left == NEIGHBOUR_MAX) left = 0;
    }
    if (right == patch->n_columns) {
        while (patch->n_columns - right < NEIGHBOUR_MAX && right > left && has_ink(patch, 0, patch->n_rows, right - 1)) right--;
        if (patch->n_columns - right == NEIGHBOUR_MAX) right = patch->n_columns;
    }
    while (left < right && !has_ink(patch, 0, patch->n_rows, left)) left++;
    while (right > left && !has_ink(patch, 0, patch->n_rows, right - 1)) right--;
    *io_left = left;
    *io_right = right;
}

static void ink_rows(const Patch *patch, int *ret_first, int *ret_end)
{
    int first = patch->n_rows, end = 0;
    for (int r = 0; r < patch->n_rows; r++) {
        for (int c = 0; c < patch->n_columns; c++) {
            if (patch->ink[r][c] <= 64) continue;
            first = MIN(first, r);
            end = r + 1;
        }
    }
    *ret_first = MIN(first, end);
    *ret_end = end;
}

static float ink_at(const Patch *patch, int row, int column)
{
    return column >= 0 && column < patch->n_columns && row < patch->n_rows ? patch->ink[row][column] : 0;
}

/* Rows and columns of a patch that are compared. */
typedef struct Frame {
    int first, end, left, right;
} Frame;

/* Of the two pictures, -1 to 1; `made` stands n_right columns further to the right. */
static double correlation(const Patch *patch, const Frame *frame, const Patch *made, int n_right)
{
    double sum_a = 0, sum_b = 0, sum_aa = 0, sum_bb = 0, sum_ab = 0, n = 0;
    for (int r = frame->first; r < frame->end; r++) {
        for (int c = frame->left; c < frame->right; c++) {
            double a = ink_at(patch, r, c), b = ink_at(made, r, c - n_right);
            sum_a += a;
            sum_b += b;
            sum_aa += a * a;
            sum_bb += b * b;
            sum_ab += a * b;
            n++;
        }
    }
    double spread = (sum_aa - sum_a * sum_a / n) * (sum_bb - sum_b * sum_b / n);
    return spread > 0 ? (sum_ab - sum_a * sum_b / n) / sqrt(spread) : 0;
}

/* ------------------------------------------------------------------------------------------------------------- letters */

typedef struct Search {
    const GArray *chars;
    Picture picture;
    GArray *found; /* ExChar: chars with what was found */
    guint n_found, n_looks;
} Search;

static Piece char_piece(const ExChar *c)
{
    return (Piece){c->box.x1, c->box.x2, c->box.y1, c->box.y2, c->size};
}

/* Of the same font, as far as can be told: of the same size and height. */
static bool is_like(const ExChar *a, const ExChar *b)
{
    double height_a = a->box.y2 - a->box.y1, height_b = b->box.y2 - b->box.y1;
    return a->flags == b->flags && fabs(a->size - b->size) < 0.02 * a->size && fabs(height_a - height_b) < 0.02 * height_a;
}

/* The letter nearest to character `at` in the text and of its kind, after n_skip nearer ones. */
static const ExChar *find_letter(const Search *search, guint at, gunichar letter, guint n_skip)
{
    const ExChar *near = &g_array_index(search->chars, ExChar, at);
    guint n = search->chars->len;
    for (guint distance = 1; distance <= MAX(at, n - 1 - at); distance++) {
        for (int side = -1; side <= 1; side += 2) {
            if (side < 0 ? distance > at : at + distance >= n) continue;
            const ExChar *c = &g_array_index(search->chars, ExChar, side < 0 ? at - distance : at + distance);
            if (c->c == letter && is_like(c, near) && c->box.x2 > c->box.x1 && n_skip-- == 0) return c;
        }
    }
    return NULL;
}

/* The characters of the letters' line may reach into the picture; others of the page may not. */
static bool is_free(const Search *search, const ExChar *near, double x0, double x1)
{
    double height = near->box.y2 - near->box.y1;
    for (guint i = 0; i < search->chars->len; i++) {
        const ExChar *c = &g_array_index(search->chars, ExChar, i);
        if (ex_is_blank(c->c)) continue;
        double across = MIN(c->box.x2, x1) - MAX(c->box.x1, x0), down = MIN(c->box.y2, near->box.y2) - MAX(c->box.y1, near->box.y1);
        if (across > 0.1 * near->size && down > 0.3 * height) return false;
    }
    return true;
}

typedef struct Seen {
    gunichar c;
    double x0, x1; /* the advance: from where the pen stood to where it stands then */
} Seen;

/* The picture of a gap, and the part of it that has ink. */
typedef struct Gap {
    Piece place;
    Patch patch;
    int left, right; /* columns */
} Gap;

/* How like the gap the letters put together are, -1 to 1, and where they stand then; 0 when they are wider or narrower. */
static double compare_whole(const Search *search, const Piece letters[], size_t n_letters, const Gap *gap, Seen *ret_seen)
{
    Frame frame = {.left = gap->left, .right = gap->right};
    Patch made;
    int left, right;
    take_patch(&search->picture, letters, n_letters, &made);
    ink_rows(&made, &frame.first, &frame.end);
    if (!ink_columns(&made, frame.first, frame.end, &left, &right)) return 0;
    int n_more = (frame.right - frame.left) - (right - left), n_right = frame.left - left + n_more / 2;
    if (abs(n_more) > SHIFT_MAX + (right - left) / 10) return 0;
    double best = 0, advance = 0;
    for (size_t i = 0; i < n_letters; i++) advance += letters[i].x1 - letters[i].x0;
    for (int shift = n_right - SHIFT_MAX; shift <= n_right + SHIFT_MAX; shift++) {
        double alike = correlation(&gap->patch, &frame, &made, shift);
        if (alike <= best) continue;
        best = alike;
        ret_seen->x0 = gap->place.x0 + shift * gap->place.size / EM;
        ret_seen->x1 = ret_seen->x0 + advance;
    }
    return best;
}

/* How far from the gap's right end the last letter is: the mean difference of ink. Alone, because letters are drawn at whole pixels, and
 * none together stand exactly as these two or three. */
static double compare_last(const Search *search, const Piece *letter, const Gap *gap)
{
    Patch made;
    int first, end, left, right;
    take_patch(&search->picture, letter, 1, &made);
    ink_rows(&made, &first, &end);
    if (!ink_columns(&made, first, end, &left, &right)) return INFINITY;
    double least = INFINITY;
    for (int shift = gap->right - right - SHIFT_MAX; shift <= gap->right - right + SHIFT_MAX; shift++) {
        double sum = 0;
        for (int r = 0; r < end; r++) {
            for (int c = left; c < right; c++) sum += fabsf(ink_at(&made, r, c) - ink_at(&gap->patch, r, c + shift));
        }
        least = MIN(least, sum / (end * (right - left)));
    }
    return least;
}

/* The distance of the last letter; infinite when the whole is unlike. The nearest letters first: others of their size may be of another font,
 * so more than one of each is tried. */
static double compare_ligature(const Search *search, guint at, const char *text, const Gap *gap, Seen *io_seen)
{
    double best = INFINITY;
    for (guint n_skip = 0; n_skip < TRIES; n_skip++) {
        Piece letters[LETTERS_MAX];
        size_t n_letters = strlen(text), n = 0;
        for (; n < n_letters; n++) {
            const ExChar *letter = find_letter(search, at, (guchar)text[n], n_skip);
            if (!letter) break;
            letters[n] = char_piece(letter);
        }
        Seen seen = *io_seen;
        if (n < n_letters || compare_whole(search, letters, n, gap, &seen) < ALIKE_LEAST) continue;
        double distance = compare_last(search, &letters[n - 1], gap);
        if (distance < best) *io_seen = seen;
        best = MIN(best, distance);
    }
    return best;
}

/* What is drawn in [x0, x1) on the line of character `at`. */
static bool look(Search *search, guint at, double x0, double x1, Seen *ret_seen)
{
    if (search->n_looks++ >= LOOKS_MAX) return false;
    const ExChar *near = &g_array_index(search->chars, ExChar, at);
    Gap gap = {.place = {x0, x1, near->box.y1, near->box.y2, near->size}};
    take_patch(&search->picture, &gap.place, 1, &gap.patch);
    if (!ink_columns(&gap.patch, 0, gap.patch.n_rows, &gap.left, &gap.right) || !is_free(search, near, x0, x1)) return false;
    trim_neighbours(&gap.patch, &gap.left, &gap.right);
    double best = INFINITY, next = INFINITY;
    for (size_t i = 0; i < G_N_ELEMENTS(ligatures); i++) {
        Seen seen = {.c = ligatures[i].c};
        double distance = compare_ligature(search, at, ligatures[i].letters, &gap, &seen);
        next = MIN(next, MAX(distance, best));
        if (distance < best) *ret_seen = seen;
        best = MIN(best, distance);
    }
    return best <= DISTANCE_MOST && best < BETTER_BY * next;
}

/* ---------------------------------------------------------------------------------------------------------------- gaps */

static void add_seen(Search *search, const Seen *seen, const ExChar *near)
{
    ExChar c = *near;
    c.c = seen->c;
    c.box.x1 = seen->x0;
    c.box.x2 = seen->x1;
    g_array_append_val(search->found, c);
    search->n_found++;
}

static void add_space(Search *search)
{
    const ExChar space = {.c = ' '};
    g_array_append_val(search->found, space);
}

static bool is_same_line(const ExChar *a, const ExChar *b)
{
    double centre = (b->box.y1 + b->box.y2) / 2;
    return centre > a->box.y1 && centre < a->box.y2 && b->box.x1 > a->box.x2 - 0.3 * a->size;
}

/* Between two characters of a line, `first` and `next`: a ligature alone can stand in such a gap. */
static bool fill_gap(Search *search, guint first, guint next)
{
    const ExChar *a = &g_array_index(search->chars, ExChar, first), *b = &g_array_index(search->chars, ExChar, next);
    const ExChar *near = g_unichar_islower(a->c) || !g_unichar_islower(b->c) ? a : b;
    Seen seen;
    if (!look(search, near == a ? first : next, a->box.x2, b->box.x1, &seen)) return false;
    bool is_joined_before = seen.x0 - a->box.x2 < JOINED * near->size, is_joined_behind = b->box.x1 - seen.x1 < JOINED * near->size;
    if (!is_joined_before && !is_joined_behind) return false;
    if (!is_joined_before) add_space(search);
    add_seen(search, &seen, near);
    if (!is_joined_behind) add_space(search);
    return true;
}

/* Behind the last character of a line or cell. */
static void look_behind(Search *search, guint at, double end)
{
    const ExChar *a = &g_array_index(search->chars, ExChar, at);
    Seen seen;
    if (!look(search, at, a->box.x2, MIN(end, a->box.x2 + LIGATURE_MOST * a->size), &seen)) return;
    if (seen.x0 - a->box.x2 < JOINED * a->size) add_seen(search, &seen, a);
}

/* Before the first. */
static void look_before(Search *search, guint at, double start)
{
    const ExChar *b = &g_array_index(search->chars, ExChar, at);
    Seen seen;
    if (!look(search, at, MAX(start, b->box.x1 - LIGATURE_MOST * b->size), b->box.x1, &seen)) return;
    if (b->box.x1 - seen.x1 < JOINED * b->size) add_seen(search, &seen, b);
}

static void search_page(Search *search, double width)
{
    const GArray *chars = search->chars;
    bool has_last = false;
    guint last = 0;
    for (guint i = 0; i <= chars->len; i++) {
        const ExChar *b = i < chars->len ? &g_array_index(chars, ExChar, i) : NULL;
        if (b && (ex_is_blank(b->c) || !(b->size > 0.1))) continue;
        const ExChar *a = has_last ? &g_array_index(chars, ExChar, last) : NULL;
        bool is_line = a && b && is_same_line(a, b);
        double gap = is_line ? b->box.x1 - a->box.x2 : INFINITY, size = a ? a->size : 0;
        bool is_filled = is_line && gap >= GAP_LEAST * size && gap <= GAP_MOST * size && fill_gap(search, last, i);
        if (!is_filled && a && gap > GAP_MOST * size) look_behind(search, last, is_line ? b->box.x1 : width);
        if (!is_filled) g_array_append_vals(search->found, &g_array_index(chars, ExChar, has_last ? last + 1 : 0), i - (has_last ? last + 1 : 0));
        if (!is_filled && b && (!a || gap > GAP_MOST * size)) look_before(search, i, is_line ? a->box.x2 : 0);
        if (b) g_array_append_val(search->found, *b);
        has_last = true;
        last = i;
    }
}

guint ex_ligatures_restore(GArray *io_chars, PopplerPage *source, double width, double height)
{
    if (!(width >= 1 && height >= 1) || io_chars->len == 0) return 0;
    double scale = MIN(DRAW_SCALE, PIXELS_MAX / MAX(width, height));
    Search search = {.chars = io_chars, .picture = {NULL, MAX((int)(width * scale), 1), MAX((int)(height * scale), 1), scale}};
    search.picture.grey = ex_draw_grey(source, scale, search.picture.width, search.picture.height);
    if (!search.picture.grey) return 0;
    search.found = g_array_sized_new(FALSE, FALSE, sizeof(ExChar), io_chars->len + 64);
    search_page(&search, width);
    if (search.n_found) {
        g_array_set_size(io_chars, 0);
        g_array_append_vals(io_chars, search.found->data, search.found->len);
    }
    g_array_unref(search.found);
    g_free(search.picture.grey);
    return search.n_found;
}
