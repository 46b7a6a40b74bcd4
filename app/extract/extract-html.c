/* extract-html.c: HTML as a stream of elements, never as a tree: memory does not grow with the document.
 *
 * Owns: the state while elements open and close.
 */
#include "extract-html.h"

#include "extract-filing.h"
#include "extract-formats.h"
#include "extract-headings.h"
#include "extract-table.h"
#include "extract-text.h"

#include <glib/gi18n.h>
#include <libxml/HTMLparser.h>
#include <string.h>

enum { FRONT_LINES = 400, FRAMES_MAX = 20000, TABLE_CELLS_MAX = 200000, SPAN_MAX = 1000, CELLS_A_ROW_MAX = 2000 };

typedef enum TagKind {
    TAG_INLINE = 0,
    TAG_BLOCK,
    TAG_HEADING,
    TAG_SKIP, /* it and what is in it is not text */
    TAG_TITLE,
    TAG_LIST_ITEM,
    TAG_BREAK,
    TAG_PRE,
    TAG_TABLE,
    TAG_ROW,
    TAG_CELL,
    TAG_HEAD_CELL,
    TAG_TABLE_HEAD,
    TAG_BOLD,
    TAG_ITALIC,
    TAG_CAPTION,
} TagKind;

static const struct {
    const char *name;
    TagKind kind;
} tags[] = {
    {"p", TAG_BLOCK},          {"div", TAG_BLOCK},        {"section", TAG_BLOCK},  {"article", TAG_BLOCK},  {"blockquote", TAG_BLOCK},
    {"body", TAG_BLOCK},       {"ul", TAG_BLOCK},         {"ol", TAG_BLOCK},       {"dl", TAG_BLOCK},       {"dt", TAG_BLOCK},
    {"dd", TAG_BLOCK},         {"figure", TAG_BLOCK},     {"figcaption", TAG_BLOCK}, {"address", TAG_BLOCK}, {"header", TAG_BLOCK},
    {"footer", TAG_BLOCK},     {"main", TAG_BLOCK},       {"aside", TAG_BLOCK},    {"nav", TAG_BLOCK},      {"hr", TAG_BLOCK},
    {"center", TAG_BLOCK},     {"form", TAG_BLOCK},       {"fieldset", TAG_BLOCK}, {"tbody", TAG_INLINE},   {"tfoot", TAG_INLINE},
    {"h1", TAG_HEADING},       {"h2", TAG_HEADING},       {"h3", TAG_HEADING},     {"h4", TAG_HEADING},     {"h5", TAG_HEADING},
    {"h6", TAG_HEADING},       {"script", TAG_SKIP},      {"style", TAG_SKIP},     {"noscript", TAG_SKIP},  {"template", TAG_SKIP},
    {"svg", TAG_SKIP},         {"math", TAG_INLINE},      {"select", TAG_SKIP},    {"textarea", TAG_SKIP},  {"button", TAG_SKIP},
    {"iframe", TAG_SKIP},      {"object", TAG_SKIP},      {"ix:header", TAG_SKIP}, {"ix:hidden", TAG_SKIP}, {"title", TAG_TITLE},
    {"li", TAG_LIST_ITEM},     {"br", TAG_BREAK},         {"pre", TAG_PRE},        {"table", TAG_TABLE},    {"tr", TAG_ROW},
    {"td", TAG_CELL},          {"th", TAG_HEAD_CELL},     {"thead", TAG_TABLE_HEAD}, {"b", TAG_BOLD},       {"strong", TAG_BOLD},
    {"i", TAG_ITALIC},         {"em", TAG_ITALIC},        {"caption", TAG_CAPTION}, {"audio", TAG_SKIP},    {"video", TAG_SKIP},
};

typedef struct Frame {
    const xmlChar *name; /* of the parser's dictionary: lives as long as it */
    TagKind kind;
    bool is_skipped, is_bold, is_italic, is_pre, is_footnote;
} Frame;

typedef struct Cells { /* one open <table> */
    ExTable *table;    /* NULL: a table that only places things; its cells are blocks */
    ExRow *row;
    ExSpan *cell;
    GArray *taken;     /* by column: rows still covered by a cell above (rowspan) */
    guint column, n_span, n_cells;
    bool in_head, all_heads;
} Cells;

typedef struct Html {
    htmlParserCtxtPtr parser;
    ExWriter *writer;
    const ExHtmlOptions *options;
    const char *source;
    size_t n_source;
    GHashTable *kinds;
    GArray *frames; /* Frame */
    GPtrArray *tables; /* Cells* */
    ExSpan *block;
    ExBlockKind block_kind;
    unsigned level;
    const ExHtmlMark *mark; /* names the next block */
    size_t n_bold, n_italic, n_text; /* bytes of the block */
    bool wants_space;
    ExRun space_place;
    GString *title;
    bool is_too_deep;
    size_t at_byte; /* where the last text ended, */
    uint64_t at_char; /* the same in characters */
} Html;

char *ex_html_title_key(const char *text)
{
    GString *key = g_string_new(NULL);
    for (const char *p = text; *p && key->len < 300; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (g_unichar_isalnum(c)) g_string_append_unichar(key, g_unichar_tolower(c));
    }
    return g_string_free(key, FALSE);
}

static Frame *top(Html *html)
{
    return html->frames->len ? &g_array_index(html->frames, Frame, html->frames->len - 1) : NULL;
}

static Cells *open_table(Html *html)
{
    return html->tables->len ? g_ptr_array_index(html->tables, html->tables->len - 1) : NULL;
}

/* ------------------------------------------------------------------------------------------------------------ blocks */

static void keep_front(Html *html, const char *text)
{
    GPtrArray *front = html->options->front;
    if (front && front->len < FRONT_LINES) g_ptr_array_add(front, g_strdup(text));
}

/* Bold lines as headings, for documents that have no others. 0: none. */
static unsigned style_rank(const Html *html, const char *text, bool *ret_is_chapter)
{
    size_t n = strlen(text);
    bool is_bold = html->n_bold * 10 >= html->n_text * 9;
    if (!html->options->has_style_headings || !is_bold || n < 3 || n > 200 || strchr(".,;:", text[n - 1])) return 0;
    bool has_lower = false, has_letter = false;
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        has_lower |= g_unichar_islower(c);
        has_letter |= g_unichar_isalpha(c);
    }
    if (!has_letter) return 0;
    if (ex_headings_is_numbered(text)) {
        *ret_is_chapter = g_ascii_strncasecmp(text, "part", 4) == 0 || g_ascii_strncasecmp(text, "item", 4) == 0;
        return g_ascii_strncasecmp(text, "part", 4) == 0 ? 1 : g_ascii_strncasecmp(text, "item", 4) == 0 ? 2 : 3;
    }
    return !has_lower ? 3 : html->n_italic * 10 >= html->n_text * 9 ? 5 : 4;
}

static void write_made_heading(Html *html, const ExHtmlMark *mark)
{
    g_autoptr(ExSpan) span = ex_span_new();
    ex_span_add_made(span, mark->title);
    ex_writer_block(html->writer, EX_BLOCK_HEADING, mark->depth + 1, EX_FLAG_CHAPTER, span);
}

static void one_line(ExSpan *span)
{
    for (char *p = span->text->str; *p; p++) {
        if (*p == '\n' || *p == '\t') *p = ' ';
    }
}

/* The block as a heading when the contents name it, its element says so, or its style does. */
static unsigned heading_rank(Html *html, bool *ret_is_chapter)
{
    const ExHtmlMark *mark = g_steal_pointer(&html->mark);
    *ret_is_chapter = false;
    if (mark) {
        g_autofree char *key = ex_html_title_key(html->block->text->str);
        g_autofree char *title = ex_html_title_key(mark->title);
        bool is_named = *key && (strcmp(key, title) == 0 || (strlen(key) > 3 && g_str_has_prefix(title, key)));
        if (html->block_kind == EX_BLOCK_HEADING || is_named) {
            *ret_is_chapter = true;
            return mark->depth + 1;
        }
        if (*title) write_made_heading(html, mark);
    }
    if (html->block_kind == EX_BLOCK_HEADING) {
        *ret_is_chapter = html->level == 1;
        return MIN(html->level + html->options->heading_base, EX_LEVEL_MAX);
    }
    if (html->block_kind != EX_BLOCK_PARAGRAPH) return 0;
    return style_rank(html, html->block->text->str, ret_is_chapter);
}

static void flush_block(Html *html)
{
    ex_span_trim(html->block);
    if (!ex_span_is_empty(html->block)) {
        bool is_chapter = false;
        unsigned rank = heading_rank(html, &is_chapter);
        keep_front(html, html->block->text->str);
        if (rank) one_line(html->block);
        ex_writer_block(html->writer, rank ? EX_BLOCK_HEADING : html->block_kind, rank, is_chapter ? EX_FLAG_CHAPTER : 0, html->block);
    }
    ex_span_clear(html->block);
    const Frame *frame = top(html);
    html->block_kind = frame && frame->is_footnote ? EX_BLOCK_FOOTNOTE : EX_BLOCK_PARAGRAPH;
    html->n_bold = html->n_italic = html->n_text = 0;
    html->wants_space = false;
}

/* Where text goes now: a cell or the block. */
static ExSpan *target(Html *html)
{
    Cells *cells = open_table(html);
    return cells && cells->table && cells->cell ? cells->cell : html->block;
}

/* A border between blocks: in a cell it is a space. */
static void border(Html *html)
{
    Cells *cells = open_table(html);
    if (cells && cells->table && cells->cell) html->wants_space = cells->cell->text->len > 0;
    else if (!cells || !cells->table) flush_block(html);
}

/* ------------------------------------------------------------------------------------------------------------- text */

/* Character number of a byte of the source; bytes come in order. */
static uint64_t char_at(Html *html, size_t byte)
{
    if (byte < html->at_byte) return html->at_char;
    for (; html->at_byte < byte && html->at_byte < html->n_source; html->at_byte++) {
        html->at_char += ((unsigned char)html->source[html->at_byte] & 0xC0) != 0x80;
    }
    return html->at_char;
}

/* Where the text that the parser hands over stands in the source; an entity stands at its "&". */
static size_t find_source(const Html *html, const char *text, size_t n)
{
    const xmlParserInput *input = html->parser->input;
    size_t end = input ? (size_t)input->consumed + (size_t)(input->cur - input->base) : html->at_byte;
    end = MIN(end, html->n_source);
    if (end >= n && end - n >= html->at_byte && memcmp(html->source + end - n, text, n) == 0) return end - n;
    if (n <= 8) {
        for (size_t i = end; i > html->at_byte && end - i < 40; i--) {
            if (html->source[i - 1] == '&') return i - 1;
        }
    }
    const char *found = memmem(html->source + html->at_byte, end - MIN(end, html->at_byte), text, n);
    return found ? (size_t)(found - html->source) : html->at_byte;
}

static void add_piece(Html *html, const char *text, size_t n, uint64_t source)
{
    ExSpan *span = target(html);
    if (html->wants_space && span->text->len && span->text->str[span->text->len - 1] != '\n') ex_span_add(span, " ", 1, &html->space_place);
    html->wants_space = false;
    const ExRun place = {.kind = EX_RUN_SOURCE, .source = source};
    ex_span_add(span, text, n, &place);
    const Frame *frame = top(html);
    html->n_text += n;
    if (frame && frame->is_bold) html->n_bold += n;
    if (frame && frame->is_italic) html->n_italic += n;
}

static bool is_white(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

/* White space of any length is one space between words. */
static void add_flowing(Html *html, const char *text, size_t n, uint64_t source)
{
    size_t i = 0;
    while (i < n) {
        size_t start = i;
        while (i < n && !is_white(text[i])) i++;
        if (i > start) {
            /* A space is part of the run that goes on behind it. */
            add_piece(html, text + start, i - start, source);
            source += (uint64_t)g_utf8_strlen(text + start, (gssize)(i - start));
        }
        if (i < n) {
            html->space_place = (ExRun){.kind = EX_RUN_SOURCE, .source = source};
            html->wants_space = target(html)->text->len > 0;
        }
        for (; i < n && is_white(text[i]); i++) source++;
    }
}

static void on_characters(void *data, const xmlChar *characters, int length)
{
    Html *html = data;
    const char *text = (const char *)characters;
    size_t n = (size_t)length;
    const Frame *frame = top(html);
    if (frame && frame->kind == TAG_TITLE && !frame->is_skipped) {
        if (html->title->len < EX_META_VALUE_MAX) g_string_append_len(html->title, text, (gssize)n);
        return;
    }
    Cells *cells = open_table(html);
    if ((frame && frame->is_skipped) || (cells && cells->table && !cells->cell)) return;
    size_t byte = find_source(html, text, n);
    uint64_t source = char_at(html, byte);
    if (frame && frame->is_pre && target(html) == html->block) add_piece(html, text, n, source);
    else add_flowing(html, text, n, source);
}

/* ------------------------------------------------------------------------------------------------------------ tables */

static void cells_free(gpointer data)
{
    Cells *cells = data;
    ex_table_free(cells->table);
    ex_span_free(cells->cell);
    g_array_unref(cells->taken);
    g_free(cells);
}

static void begin_table(Html *html)
{
    Cells *outer = open_table(html);
    flush_block(html);
    if (outer && outer->table) {
        /* A table inside a cell: the outer one only places things. What it has so far is written as it is. */
        if (outer->cell && outer->row) {
            ex_row_add_cell(outer->row, (float)outer->column, (float)(outer->column + 1), g_steal_pointer(&outer->cell));
        }
        ex_span_free(g_steal_pointer(&outer->cell));
        ex_table_write(outer->table, html->writer, NULL, false);
        g_clear_pointer(&outer->table, ex_table_free);
        outer->row = NULL;
    }
    Cells *cells = g_new0(Cells, 1);
    cells->table = ex_table_new();
    cells->taken = g_array_new(FALSE, TRUE, sizeof(guint));
    g_ptr_array_add(html->tables, cells);
}

static bool is_marker_cell(const char *text)
{
    static const char *const bullets[] = {"•", "●", "○", "▪", "■", "–", "—", "-", "*", "o", "·", "◦", NULL};
    size_t n = strlen(text);
    return g_strv_contains(bullets, text) || (n >= 2 && n <= 5 && text[n - 1] == ')') || (n >= 2 && n <= 3 && text[n - 1] == '.');
}

/* A table of single cells, or of bullets and their texts, is no table. */
static bool write_as_blocks(Html *html, const ExTable *table)
{
    for (guint r = 0; r < table->rows->len; r++) {
        const ExRow *row = g_ptr_array_index(table->rows, r);
        const ExCell *first = row->cells->len ? g_ptr_array_index(row->cells, 0) : NULL;
        if (row->cells->len > 2 || (row->cells->len == 2 && !is_marker_cell(first->span->text->str))) return false;
    }
    for (guint r = 0; r < table->rows->len; r++) {
        const ExRow *row = g_ptr_array_index(table->rows, r);
        for (guint c = 0; c < row->cells->len; c++) {
            if (c) ex_span_add_made(html->block, " ");
            ex_span_add_span(html->block, ((ExCell *)g_ptr_array_index(row->cells, c))->span);
        }
        if (row->cells->len == 2) html->block_kind = EX_BLOCK_LIST_ITEM;
        flush_block(html);
    }
    return true;
}

static void end_table(Html *html)
{
    Cells *cells = open_table(html);
    if (!cells) return;
    g_ptr_array_set_free_func(html->tables, NULL);
    g_ptr_array_remove_index(html->tables, html->tables->len - 1);
    g_ptr_array_set_free_func(html->tables, cells_free);
    if (cells->table && !write_as_blocks(html, cells->table)) {
        for (guint r = 0; html->options->front && r < cells->table->rows->len; r++) {
            const ExRow *row = g_ptr_array_index(cells->table->rows, r);
            for (guint c = 0; c < row->cells->len; c++) keep_front(html, ((ExCell *)g_ptr_array_index(row->cells, c))->span->text->str);
        }
        if (html->mark) {
            const ExHtmlMark *mark = g_steal_pointer(&html->mark);
            write_made_heading(html, mark);
        }
        ex_table_write(cells->table, html->writer, NULL, false);
    }
    cells_free(cells);
    html->wants_space = false;
}

static void end_cell(Html *html)
{
    Cells *cells = open_table(html);
    if (!cells) return;
    if (!cells->table) flush_block(html);
    if (!cells->table || !cells->cell) return;
    ExSpan *span = g_steal_pointer(&cells->cell);
    one_line(span);
    /* Borders of neighbours must not touch: overlap decides what is a column. */
    ex_row_add_cell(cells->row, (float)cells->column + 0.05F, (float)(cells->column + cells->n_span) - 0.05F, span);
    cells->column += cells->n_span;
    html->wants_space = false;
}

static void end_row(Html *html)
{
    Cells *cells = open_table(html);
    end_cell(html);
    if (!cells || !cells->row) return;
    cells->row->is_head = cells->in_head || (cells->all_heads && cells->row->cells->len > 0);
    for (guint i = 0; i < cells->taken->len; i++) {
        guint *n = &g_array_index(cells->taken, guint, i);
        if (*n) --*n;
    }
    cells->row = NULL;
}

static void begin_row(Html *html)
{
    Cells *cells = open_table(html);
    end_row(html);
    if (!cells || !cells->table) return;
    cells->row = ex_table_add_row(cells->table);
    cells->column = 0;
    cells->all_heads = true;
}

static guint span_attribute(const xmlChar **attributes, const char *name)
{
    for (; attributes && attributes[0]; attributes += 2) {
        if (strcmp((const char *)attributes[0], name) == 0 && attributes[1]) {
            guint64 n = g_ascii_strtoull((const char *)attributes[1], NULL, 10);
            return (guint)CLAMP(n, 1, SPAN_MAX);
        }
    }
    return 1;
}

static void begin_cell(Html *html, const xmlChar **attributes, bool is_head)
{
    Cells *cells = open_table(html);
    end_cell(html);
    if (!cells || !cells->table) return;
    if (!cells->row) begin_row(html);
    if (++cells->n_cells > TABLE_CELLS_MAX || cells->column > CELLS_A_ROW_MAX) return;
    while (cells->column < cells->taken->len && g_array_index(cells->taken, guint, cells->column)) cells->column++;
    cells->n_span = span_attribute(attributes, "colspan");
    guint n_rows = span_attribute(attributes, "rowspan");
    if (n_rows > 1) {
        if (cells->taken->len < cells->column + cells->n_span) g_array_set_size(cells->taken, cells->column + cells->n_span);
        for (guint i = 0; i < cells->n_span; i++) g_array_index(cells->taken, guint, cells->column + i) = n_rows;
    }
    cells->cell = ex_span_new();
    cells->all_heads = cells->all_heads && is_head;
    html->wants_space = false;
}

/* ---------------------------------------------------------------------------------------------------------- elements */

static const char *attribute(const xmlChar **attributes, const char *name)
{
    for (; attributes && attributes[0]; attributes += 2) {
        if (strcmp((const char *)attributes[0], name) == 0) return attributes[1] ? (const char *)attributes[1] : "";
    }
    return NULL;
}

static void apply_style(Frame *frame, const xmlChar **attributes)
{
    if (attribute(attributes, "hidden")) frame->is_skipped = true;
    const char *style = attribute(attributes, "style");
    if (!style) return;
    g_autofree char *compact = g_ascii_strdown(style, MIN(strlen(style), 4000));
    char *to = compact;
    for (const char *p = compact; *p; p++) {
        if (!g_ascii_isspace(*p)) *to++ = *p;
    }
    *to = 0;
    if (strstr(compact, "display:none") || strstr(compact, "visibility:hidden")) frame->is_skipped = true;
    if (strstr(compact, "font-weight:bold") || strstr(compact, "font-weight:700") || strstr(compact, "font-weight:800")) frame->is_bold = true;
    if (strstr(compact, "font-weight:normal") || strstr(compact, "font-weight:400")) frame->is_bold = false;
    if (strstr(compact, "font-style:italic")) frame->is_italic = true;
}

static void begin_element(Html *html, const Frame *frame, const xmlChar **attributes)
{
    Cells *cells = open_table(html);
    switch (frame->kind) {
    case TAG_TABLE: begin_table(html); break;
    case TAG_ROW: begin_row(html); break;
    case TAG_CELL: begin_cell(html, attributes, false); break;
    case TAG_HEAD_CELL: begin_cell(html, attributes, true); break;
    case TAG_TABLE_HEAD:
        if (cells) cells->in_head = true;
        break;
    case TAG_BREAK:
        if (target(html) != html->block || html->block_kind == EX_BLOCK_HEADING) html->wants_space = target(html)->text->len > 0;
        else if (html->block->text->len) {
            html->wants_space = false;
            ex_span_add_made(html->block, "\n");
        }
        break;
    case TAG_HEADING:
        border(html);
        if (target(html) == html->block) {
            html->block_kind = EX_BLOCK_HEADING;
            html->level = (unsigned)(frame->name[1] - '0');
        }
        break;
    case TAG_LIST_ITEM:
        border(html);
        if (target(html) == html->block) html->block_kind = EX_BLOCK_LIST_ITEM;
        break;
    case TAG_BLOCK:
        /* <li><p>: still the item. */
        if (html->block_kind == EX_BLOCK_LIST_ITEM && ex_span_is_empty(html->block)) break;
        border(html);
        break;
    case TAG_PRE:
    case TAG_CAPTION: border(html); break;
    case TAG_INLINE:
    case TAG_SKIP:
    case TAG_TITLE:
    case TAG_BOLD:
    case TAG_ITALIC: break;
    }
}

static void on_start(void *data, const xmlChar *name, const xmlChar **attributes)
{
    Html *html = data;
    if (ex_writer_is_full(html->writer) || html->frames->len >= FRAMES_MAX) {
        html->is_too_deep = html->frames->len >= FRAMES_MAX;
        xmlStopParser(html->parser);
        return;
    }
    Frame frame = html->frames->len ? *top(html) : (Frame){0};
    frame.name = name;
    frame.kind = (TagKind)GPOINTER_TO_INT(g_hash_table_lookup(html->kinds, name));
    if (frame.kind == TAG_SKIP) frame.is_skipped = true;
    if (frame.kind == TAG_BOLD) frame.is_bold = true;
    if (frame.kind == TAG_ITALIC) frame.is_italic = true;
    if (frame.kind == TAG_PRE) frame.is_pre = true;
    apply_style(&frame, attributes);
    const char *type = attribute(attributes, "epub:type");
    if (type && (strstr(type, "footnote") || strstr(type, "rearnote") || strstr(type, "endnote"))) {
        border(html);
        frame.is_footnote = true;
    }
    const char *id = attribute(attributes, "id");
    const ExHtmlMark *mark = id && html->options->marks && !frame.is_skipped ? g_hash_table_lookup(html->options->marks, id) : NULL;
    if (mark) {
        border(html);
        if (html->mark && *html->mark->title && html->mark != mark) {
            /* Two entries for one place: the upper one's words are said here, the lower one names what follows. */
            const ExHtmlMark *upper = g_steal_pointer(&html->mark);
            write_made_heading(html, upper);
        }
        html->mark = mark;
    }
    g_array_append_val(html->frames, frame);
    if (!frame.is_skipped) begin_element(html, &frame, attributes);
}

static void end_element(Html *html, const Frame *frame)
{
    Cells *cells = open_table(html);
    switch (frame->kind) {
    case TAG_TABLE:
        end_row(html);
        end_table(html);
        break;
    case TAG_ROW: end_row(html); break;
    case TAG_CELL:
    case TAG_HEAD_CELL: end_cell(html); break;
    case TAG_TABLE_HEAD:
        if (cells) cells->in_head = false;
        break;
    case TAG_BLOCK:
    case TAG_HEADING:
    case TAG_LIST_ITEM:
    case TAG_PRE: border(html); break;
    case TAG_CAPTION:
    case TAG_BREAK:
    case TAG_INLINE:
    case TAG_SKIP:
    case TAG_TITLE:
    case TAG_BOLD:
    case TAG_ITALIC: break;
    }
}

static void on_end(void *data, const xmlChar *name)
{
    Html *html = data;
    guint i = html->frames->len;
    while (i > 0 && strcmp((const char *)g_array_index(html->frames, Frame, i - 1).name, (const char *)name) != 0) i--;
    if (i == 0) return; /* closes nothing */
    while (html->frames->len >= i) {
        Frame frame = *top(html);
        if (!frame.is_skipped) end_element(html, &frame);
        g_array_set_size(html->frames, html->frames->len - 1);
    }
    if (!html->block->text->len && html->block_kind != EX_BLOCK_LIST_ITEM) {
        const Frame *frame = top(html);
        html->block_kind = frame && frame->is_footnote ? EX_BLOCK_FOOTNOTE : EX_BLOCK_PARAGRAPH;
    }
}

static void on_error(void *data, const char *message, ...)
{
}

char *ex_html_write(const char *text, size_t n_bytes, const ExHtmlOptions *options, ExWriter *writer, bool *ret_is_whole)
{
    Html html = {.writer = writer, .options = options, .source = text, .n_source = n_bytes, .block_kind = EX_BLOCK_PARAGRAPH};
    html.parser = htmlNewParserCtxt();
    if (!html.parser || n_bytes > G_MAXINT) {
        htmlFreeParserCtxt(html.parser);
        *ret_is_whole = false;
        return NULL;
    }
    html.kinds = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < G_N_ELEMENTS(tags); i++) g_hash_table_insert(html.kinds, (gpointer)tags[i].name, GINT_TO_POINTER(tags[i].kind));
    html.frames = g_array_new(FALSE, FALSE, sizeof(Frame));
    html.tables = g_ptr_array_new_with_free_func(cells_free);
    html.block = ex_span_new();
    html.title = g_string_new(NULL);
    html.mark = options->marks ? g_hash_table_lookup(options->marks, "") : NULL;
    htmlSAXHandler handler = {.startElement = on_start, .endElement = on_end, .characters = on_characters,
                              .ignorableWhitespace = on_characters, .cdataBlock = on_characters, .error = on_error, .warning = on_error};
    /* The parser's own handlers would build a tree. */
    *html.parser->sax = handler;
    html.parser->userData = &html;
    htmlDocPtr document = htmlCtxtReadMemory(html.parser, text, (int)n_bytes, NULL, "UTF-8", HTML_PARSE_RECOVER | HTML_PARSE_NOERROR |
                                             HTML_PARSE_NOWARNING | HTML_PARSE_NONET);
    while (html.tables->len) {
        end_row(&html);
        end_table(&html);
    }
    g_array_set_size(html.frames, 0);
    flush_block(&html);
    if (html.mark && *html.mark->title) write_made_heading(&html, html.mark);
    if (document) xmlFreeDoc(document);
    htmlFreeParserCtxt(html.parser);
    ex_span_free(html.block);
    g_ptr_array_unref(html.tables);
    g_array_unref(html.frames);
    g_hash_table_unref(html.kinds);
    *ret_is_whole = !html.is_too_deep;
    char *title = g_strdelimit(g_string_free(html.title, FALSE), "\r\n\t", ' ');
    return g_strstrip(title);
}

/* -------------------------------------------------------------------------------------------------------------- file */

static bool has_headings(const char *text)
{
    return strcasestr(text, "<h1") || strcasestr(text, "<h2") || strcasestr(text, "<h3");
}

void ex_extract_html(const ExInput *input, ExWriter *writer)
{
    size_t n_bytes = 0;
    g_autofree char *text = ex_text_to_utf8(input->data, input->n_bytes, NULL, &n_bytes);
    g_autoptr(GPtrArray) front = g_ptr_array_new_with_free_func(g_free);
    const ExHtmlOptions options = {.front = front, .has_style_headings = !has_headings(text)};
    bool is_whole = true;
    g_autofree char *title = ex_html_write(text, n_bytes, &options, writer, &is_whole);
    g_autoptr(ExFiling) filing = ex_filing_new(front);
    if (filing) ex_filing_write(filing, writer);
    else ex_writer_meta(writer, "title", title);
    if (ex_writer_is_full(writer)) ex_writer_finish(writer, EX_LIMIT_OUTPUT, N_("it holds more text than is allowed"));
    else if (!is_whole) ex_writer_finish(writer, EX_DAMAGED, N_("its elements are nested too deeply"));
    else if (ex_writer_text_bytes(writer) == 0) ex_writer_finish(writer, EX_NO_TEXT, N_("there is no text in it"));
    else ex_writer_finish(writer, EX_OK, "%s", "");
}
