/* extract-rtf.c: RTF: paragraphs, headings, tables, footnotes.
 *
 * Owns: RTF's groups and control words, as far as text depends on them (source: RTF specification 1.9.1).
 * Does not own: what paragraphs and tables become (extract-flow.c).
 */
#include "extract-flow.h"
#include "extract-formats.h"
#include "extract-text.h"

#include <string.h>

enum { GROUPS_MAX = 1000, STYLES_MAX = 1000 };

typedef enum Destination { DESTINATION_TEXT = 0, DESTINATION_SKIP, DESTINATION_STYLES, DESTINATION_TITLE, DESTINATION_AUTHOR, DESTINATION_NOTE } Destination;

typedef struct Group {
    Destination destination;
    unsigned n_skip; /* \uc: characters that stand for a \u for older readers */
    bool is_hidden;
} Group;

typedef struct Rtf {
    ExFlow flow;
    const char *data;
    size_t n_bytes, at;
    Group groups[GROUPS_MAX];
    unsigned n_groups, n_too_deep;
    unsigned n_to_skip;
    int code_page;
    GString *bytes;     /* of the code page, not converted yet */
    GString *collected; /* text of a destination other than the document's */
    int style;          /* \s in a style sheet's entry */
    unsigned levels[STYLES_MAX]; /* style -> heading level */
    bool in_table, is_list_item;
    uint32_t high;      /* first half of a surrogate pair */
} Rtf;

static Group *group(Rtf *rtf)
{
    return &rtf->groups[rtf->n_groups - 1];
}

/* --------------------------------------------------------------------------------------------------------------- text */

static void put(Rtf *rtf, const char *text, size_t n_bytes)
{
    const Group *now = group(rtf);
    if (now->is_hidden || now->destination == DESTINATION_SKIP) return;
    if (now->destination != DESTINATION_TEXT) {
        if (rtf->collected->len < 65536) g_string_append_len(rtf->collected, text, (gssize)n_bytes);
        return;
    }
    if (rtf->in_table && !rtf->flow.table) ex_flow_begin_table(&rtf->flow);
    if (rtf->in_table && !rtf->flow.cell) ex_flow_begin_cell(&rtf->flow, 1);
    if (!rtf->in_table && rtf->flow.table) ex_flow_end_table(&rtf->flow);
    ex_flow_text(&rtf->flow, text, n_bytes);
}

static void put_bytes(Rtf *rtf)
{
    if (rtf->bytes->len == 0) return;
    char encoding[32];
    g_snprintf(encoding, sizeof encoding, "WINDOWS-%d", rtf->code_page);
    size_t n = 0;
    bool is_wide = rtf->code_page == 932 || rtf->code_page == 936 || rtf->code_page == 949 || rtf->code_page == 950;
    const char *wide = rtf->code_page == 932 ? "SHIFT_JIS" : rtf->code_page == 936 ? "GB18030" : rtf->code_page == 949 ? "EUC-KR" : "BIG5";
    const char *name = is_wide ? wide : rtf->code_page == 10000 ? "MACINTOSH" : rtf->code_page == 65001 ? "UTF-8" : encoding;
    g_autofree char *text = ex_text_to_utf8(rtf->bytes->str, rtf->bytes->len, name, &n);
    put(rtf, text, n);
    g_string_truncate(rtf->bytes, 0);
}

static void put_byte(Rtf *rtf, char byte)
{
    if (rtf->n_to_skip) {
        rtf->n_to_skip--;
        return;
    }
    g_string_append_c(rtf->bytes, byte);
    if (rtf->bytes->len > 4096 && !((unsigned char)byte & 0x80)) put_bytes(rtf);
}

static void put_unicode(Rtf *rtf, int32_t code)
{
    put_bytes(rtf);
    uint32_t c = code < 0 ? (uint32_t)(code + 65536) : (uint32_t)code;
    rtf->n_to_skip = group(rtf)->n_skip;
    if (c >= 0xD800 && c < 0xDC00) {
        rtf->high = c;
        return;
    }
    if (c >= 0xDC00 && c < 0xE000) c = rtf->high ? 0x10000 + ((rtf->high - 0xD800) << 10) + (c - 0xDC00) : 0xFFFD;
    rtf->high = 0;
    if (!g_unichar_validate(c) || c == 0) c = 0xFFFD;
    char text[6];
    put(rtf, text, (size_t)g_unichar_to_utf8(c, text));
}

/* ----------------------------------------------------------------------------------------------------------- commands */

static void end_paragraph(Rtf *rtf)
{
    put_bytes(rtf);
    if (group(rtf)->destination == DESTINATION_NOTE) put(rtf, " ", 1);
    else if (group(rtf)->destination == DESTINATION_TEXT) {
        if (!rtf->in_table && rtf->flow.table) ex_flow_end_table(&rtf->flow);
        unsigned rank = rtf->flow.rank;
        rtf->flow.is_list_item = rtf->is_list_item;
        ex_flow_end_paragraph(&rtf->flow);
        rtf->flow.rank = rank; /* lasts until \pard */
    }
}

static bool skip_destination(const char *word)
{
    static const char *const words[] = {"fonttbl", "colortbl", "pict", "header", "footer", "headerl", "headerr", "headerf", "footerl",
                                        "footerr", "footerf", "object", "fldinst", "listtable", "listoverridetable", "info", "themedata",
                                        "datastore", "generator", "xe", "tc", "bkmkstart", "bkmkend", "nonshppict", "shpinst", "revtbl",
                                        "rsidtbl", "filetbl", "latentstyles", "pntext", "pntxta", "pntxtb", "annotation", NULL};
    return g_strv_contains(words, word);
}

/* Words that stand for a character. */
static const char *symbol(const char *word)
{
    static const struct {
        const char *word, *text;
    } symbols[] = {{"tab", " "},      {"line", "\n"},     {"emdash", "—"},    {"endash", "–"},   {"bullet", "•"},    {"lquote", "‘"},
                   {"rquote", "’"},   {"ldblquote", "“"}, {"rdblquote", "”"}, {"emspace", " "},  {"enspace", " "}};
    for (size_t i = 0; i < G_N_ELEMENTS(symbols); i++) {
        if (strcmp(symbols[i].word, word) == 0) return symbols[i].text;
    }
    return NULL;
}

static void table_word(Rtf *rtf, const char *word)
{
    ExFlow *flow = &rtf->flow;
    if (group(rtf)->destination != DESTINATION_TEXT) return;
    put_bytes(rtf);
    if (strcmp(word, "intbl") == 0) {
        rtf->in_table = true;
    } else if (strcmp(word, "cell") == 0) {
        if (!flow->table) ex_flow_begin_table(flow);
        if (!flow->cell) ex_flow_begin_cell(flow, 1);
        ex_flow_end_cell(flow);
    } else if (flow->table) {
        ex_flow_end_row(flow);
    }
}

static void text_word(Rtf *rtf, const char *word, bool has_number, int32_t number)
{
    Group *now = group(rtf);
    const char *text = symbol(word);
    if (text) {
        put_bytes(rtf);
        put(rtf, text, strlen(text));
    } else if (strcmp(word, "par") == 0 || strcmp(word, "sect") == 0 || strcmp(word, "page") == 0) {
        end_paragraph(rtf);
    } else if (strcmp(word, "pard") == 0) {
        put_bytes(rtf);
        rtf->in_table = rtf->is_list_item = false;
        rtf->flow.rank = 0;
    } else if (strcmp(word, "cell") == 0 || strcmp(word, "row") == 0 || strcmp(word, "intbl") == 0) {
        table_word(rtf, word);
    } else if (strcmp(word, "u") == 0 && has_number) {
        put_unicode(rtf, number);
    } else if (strcmp(word, "uc") == 0) {
        now->n_skip = (unsigned)CLAMP(number, 0, 16);
    } else if (strcmp(word, "v") == 0) {
        put_bytes(rtf);
        now->is_hidden = !has_number || number != 0;
    } else if (strcmp(word, "ls") == 0) {
        rtf->is_list_item = true;
    } else if (strcmp(word, "outlinelevel") == 0 && number >= 0 && number < EX_LEVEL_MAX) {
        rtf->flow.rank = (unsigned)number + 1;
    } else if (strcmp(word, "ansicpg") == 0) {
        rtf->code_page = number;
    } else if (strcmp(word, "mac") == 0) {
        rtf->code_page = 10000;
    }
}

static void on_word(Rtf *rtf, const char *word, bool has_number, int32_t number)
{
    Group *now = group(rtf);
    if (now->destination == DESTINATION_SKIP) {
        /* <info> holds the title and the author. */
        if (strcmp(word, "title") == 0) now->destination = DESTINATION_TITLE;
        else if (strcmp(word, "author") == 0) now->destination = DESTINATION_AUTHOR;
        if (now->destination != DESTINATION_SKIP) g_string_truncate(rtf->collected, 0);
        return;
    }
    if (skip_destination(word)) {
        put_bytes(rtf);
        now->destination = DESTINATION_SKIP;
    } else if (strcmp(word, "stylesheet") == 0) {
        now->destination = DESTINATION_STYLES;
    } else if (strcmp(word, "footnote") == 0) {
        put_bytes(rtf);
        now->destination = DESTINATION_NOTE;
        g_string_truncate(rtf->collected, 0);
    } else if (strcmp(word, "s") == 0 && number >= 0 && number < STYLES_MAX) {
        if (now->destination == DESTINATION_STYLES) rtf->style = number;
        else rtf->flow.rank = rtf->levels[number];
    } else {
        text_word(rtf, word, has_number, number);
    }
}

/* -------------------------------------------------------------------------------------------------------------- groups */

static void begin_group(Rtf *rtf)
{
    put_bytes(rtf);
    if (rtf->n_groups == GROUPS_MAX) {
        rtf->n_too_deep++;
        return;
    }
    rtf->groups[rtf->n_groups] = *group(rtf);
    rtf->n_groups++;
    if (group(rtf)->destination == DESTINATION_STYLES) {
        g_string_truncate(rtf->collected, 0);
        rtf->style = 0;
    }
}

static void end_group(Rtf *rtf)
{
    put_bytes(rtf);
    rtf->n_to_skip = 0;
    if (rtf->n_too_deep) {
        rtf->n_too_deep--;
        return;
    }
    if (rtf->n_groups == 1) return;
    Destination ended = group(rtf)->destination;
    rtf->n_groups--;
    bool is_outermost = group(rtf)->destination != ended;
    if (ended == DESTINATION_STYLES && !is_outermost) {
        const char *name = rtf->collected->str;
        if (g_ascii_strncasecmp(name, "heading ", 8) == 0 && g_ascii_isdigit(name[8])) rtf->levels[rtf->style] = (unsigned)(name[8] - '0');
    } else if (ended == DESTINATION_TITLE && is_outermost) {
        ex_writer_meta(rtf->flow.writer, "title", rtf->collected->str);
    } else if (ended == DESTINATION_AUTHOR && is_outermost) {
        ex_writer_meta(rtf->flow.writer, "author", rtf->collected->str);
    } else if (ended == DESTINATION_NOTE && is_outermost) {
        ex_flow_add_note(&rtf->flow, rtf->collected->str);
    }
}

/* Behind a backslash. */
static void read_control(Rtf *rtf)
{
    if (rtf->at == rtf->n_bytes) return;
    char c = rtf->data[rtf->at];
    if (!g_ascii_isalpha(c)) {
        rtf->at++;
        if (c == '\'' && rtf->n_bytes - rtf->at >= 2) {
            int high = g_ascii_xdigit_value(rtf->data[rtf->at]), low = g_ascii_xdigit_value(rtf->data[rtf->at + 1]);
            rtf->at += 2;
            if (high >= 0 && low >= 0) put_byte(rtf, (char)(high * 16 + low));
        } else if (c == '*') {
            put_bytes(rtf);
            group(rtf)->destination = DESTINATION_SKIP; /* may be ignored: no destination that matters is one of these */
        } else if (c == '~' || c == '_' || c == '\\' || c == '{' || c == '}') {
            put_byte(rtf, c == '~' ? ' ' : c == '_' ? '-' : c);
        } else if (c == '\n' || c == '\r') {
            end_paragraph(rtf);
        }
        return;
    }
    char word[33];
    size_t n = 0;
    while (rtf->at < rtf->n_bytes && g_ascii_isalpha(rtf->data[rtf->at])) {
        if (n < sizeof word - 1) word[n++] = rtf->data[rtf->at];
        rtf->at++;
    }
    word[n] = 0;
    bool is_negative = rtf->at < rtf->n_bytes && rtf->data[rtf->at] == '-', has_number = false;
    if (is_negative) rtf->at++;
    int64_t number = 0;
    while (rtf->at < rtf->n_bytes && g_ascii_isdigit(rtf->data[rtf->at])) {
        number = MIN(number * 10 + (rtf->data[rtf->at] - '0'), G_MAXINT32);
        has_number = true;
        rtf->at++;
    }
    if (rtf->at < rtf->n_bytes && rtf->data[rtf->at] == ' ') rtf->at++;
    if (strcmp(word, "bin") == 0) rtf->at += MIN((size_t)number, rtf->n_bytes - rtf->at);
    else on_word(rtf, word, has_number, (int32_t)(is_negative ? -number : number));
}

void ex_extract_rtf(const ExInput *input, ExWriter *writer)
{
    Rtf *rtf = g_new0(Rtf, 1);
    rtf->data = input->data;
    rtf->n_bytes = input->n_bytes;
    rtf->code_page = 1252;
    rtf->n_groups = 1;
    rtf->groups[0].n_skip = 1;
    rtf->bytes = g_string_new(NULL);
    rtf->collected = g_string_new(NULL);
    ex_flow_init(&rtf->flow, writer);
    while (rtf->at < rtf->n_bytes && !ex_writer_is_full(writer)) {
        char c = rtf->data[rtf->at++];
        if (c == '\\') read_control(rtf);
        else if (c == '{') begin_group(rtf);
        else if (c == '}') end_group(rtf);
        else if (c != '\r' && c != '\n' && c != 0) put_byte(rtf, c);
    }
    put_bytes(rtf);
    ex_flow_finish(&rtf->flow);
    ex_flow_clear(&rtf->flow);
    g_string_free(rtf->bytes, TRUE);
    g_string_free(rtf->collected, TRUE);
    g_free(rtf);
}
