/* app-text.c: see app-text.h.
 *
 * Text comes from the normalizer in pieces of any size and is gathered into lines, lines into blocks (what stands between blank lines). A
 * block is held until its end is seen, because whether its first line is a heading depends on that; a block that grows beyond
 * BLOCK_BYTES is let through as ordinary text, so that a file of one line needs no more memory than any other.
 */
#include "app-text.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <string.h>
#include <unistd.h>

#include "app-headings.h"
#include "app-normalize.h"

enum {
    READ_BYTES = 65536,
    BLOCK_BYTES = 65536,
    FRONT_BLOCKS = 4, /* title and author stand in the first blocks */
    RANK_FRAME = 1,
};

typedef struct Parser {
    AppImport *import;
    bool is_markdown, failed;
    GError **error;
    GString *block;        /* complete lines and the beginning of one */
    bool overlong;         /* the block is passing through as it comes */
    size_t n_block;        /* blocks so far */
    AppHeadingState headings;
    bool has_title, has_author, title_is_tentative, in_gutenberg, in_fence;
    char *last_heading;    /* for a title that follows "CHAPTER I" in a block of its own */
    uint32_t last_rank;
    GString *held;         /* a keyword heading's block, until the next block says whether its title follows */
} Parser;

static bool put_text(Parser *p, const char *text, size_t n_bytes)
{
    if (!p->failed && n_bytes > 0 && !app_import_add_text(p->import, text, n_bytes, p->error)) p->failed = true;
    return !p->failed;
}

static void put_heading(Parser *p, uint32_t rank, bool is_chapter, const char *text)
{
    if (!p->failed && !app_import_heading(p->import, rank, is_chapter, text, p->error)) p->failed = true;
}

/* Lets out a heading that waited for its title; title NULL: it has none. */
static void release_heading(Parser *p, const char *title)
{
    if (p->held == NULL) return;
    g_autofree char *text = title != NULL ? g_strdup_printf("%s – %s", p->last_heading, title) : g_strdup(p->last_heading);
    put_heading(p, p->last_rank, true, text);
    put_text(p, p->held->str, p->held->len);
    g_string_free(p->held, TRUE);
    p->held = NULL;
}

/* ------------------------------------------------------------------------------------------------------ title and author */

static bool has_prefix_fold(const char *line, const char *prefix)
{
    return g_ascii_strncasecmp(line, prefix, strlen(prefix)) == 0;
}

static void set_title(Parser *p, const char *title, bool tentative)
{
    if (p->has_title && !p->title_is_tentative) return;
    app_import_set_title(p->import, title);
    p->has_title = true;
    p->title_is_tentative = tentative;
}

static void set_author(Parser *p, const char *author)
{
    if (!p->has_author) app_import_set_author(p->import, author);
    p->has_author = true;
}

/* "Title: …" lines of Project Gutenberg's header, and its first and last line. True: the block belongs to the frame. */
static bool look_at_gutenberg(Parser *p, char *const *lines)
{
    for (size_t i = 0; lines[i] != NULL; i++) {
        const char *line = lines[i];
        bool is_mark = strstr(line, "***") == line && strstr(line, "PROJECT GUTENBERG") != NULL;
        if (is_mark && strstr(line, "START OF") != NULL) {
            p->in_gutenberg = false;
            return true;
        }
        if ((is_mark && strstr(line, "END OF") != NULL) || has_prefix_fold(line, "End of the Project Gutenberg") ||
            has_prefix_fold(line, "End of Project Gutenberg")) {
            release_heading(p, NULL);
            put_heading(p, RANK_FRAME, true, "Project Gutenberg license");
            return true;
        }
        if (p->n_block == 1 && i == 0 && strstr(line, "Project Gutenberg") != NULL) {
            p->in_gutenberg = true;
            put_heading(p, RANK_FRAME, true, "Project Gutenberg header");
        }
        if (!p->in_gutenberg) continue;
        if (has_prefix_fold(line, "Title: ")) set_title(p, line + 7, false);
        if (has_prefix_fold(line, "Author: ")) set_author(p, line + 8);
        if (has_prefix_fold(line, "Language: ")) app_import_set_language(p->import, line + 10);
    }
    return p->in_gutenberg;
}

/* Could be a title: short, no sentence, no heading of a chapter, no row of a table. */
static bool looks_like_title(const char *line)
{
    size_t n_words = 1;
    for (const char *at = line; *at != '\0'; at++) n_words += *at == ' ';
    AppHeadingState fresh = {0};
    AppHeadingGuess guess = app_heading_guess(&fresh, &line, 1);
    bool is_sentence = n_words >= 6 && g_str_has_suffix(line, ".");
    return g_utf8_strlen(line, -1) <= 120 && !is_sentence && strchr(line, '|') == NULL && !(guess.is_heading && guess.is_chapter);
}

/* The first lines: a title, and "by Author" below it or in the next block. True: the block is that and no heading. */
static bool look_at_front(Parser *p, char *const *lines, size_t n_lines)
{
    size_t by = 0;
    while (by < n_lines && !(has_prefix_fold(lines[by], "by ") && strlen(lines[by]) <= 120)) by++;
    if (p->n_block == 1 && (n_lines == 1 || (by > 0 && by < n_lines && n_lines <= 6)) && by > 0 && looks_like_title(lines[0])) {
        set_title(p, lines[0], true);
        if (by < n_lines) set_author(p, lines[by] + 3);
        return true;
    }
    if (p->n_block == 1 || p->n_block > FRONT_BLOCKS || by != 0 || n_lines == 0 || p->has_author || !p->title_is_tentative) return false;
    set_author(p, lines[0] + 3);
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- blocks */

static bool is_table_line(const char *line)
{
    const char *bar = strstr(line, " | ");
    return bar != NULL || (line[0] == '|' && strchr(line + 1, '|') != NULL);
}

static bool is_rule_line(const char *line) /* |---|:--:| of Markdown */
{
    return strchr(line, '-') != NULL && strchr(line, '|') != NULL && strspn(line, "|-: \t") == strlen(line);
}

/* Puts text[0, n_bytes), marking runs of two and more table lines. */
static void put_lines(Parser *p, const char *text, size_t n_bytes)
{
    const char *end = text + n_bytes, *run = text, *at = text;
    size_t n_rows = 0;
    uint32_t n_head = 0;
    const char *table = NULL;
    while (at <= end) {
        const char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        const char *next = at == end ? end + 1 : newline != NULL ? newline + 1 : end;
        g_autofree char *line = at < end ? g_strndup(at, (size_t)((newline != NULL ? newline : end) - at)) : g_strdup("");
        if (at < end && is_table_line(line)) {
            table = table != NULL ? table : at;
            n_rows++;
            if (n_rows == 2 && is_rule_line(line)) n_head = 2;
        } else {
            if (n_rows >= 2) {
                put_text(p, run, (size_t)(table - run));
                if (!p->failed && !app_import_begin_table(p->import, p->error)) p->failed = true;
                put_text(p, table, (size_t)(at - table));
                if (!p->failed && !app_import_end_table(p->import, n_head, p->error)) p->failed = true;
                run = at;
            }
            table = NULL;
            n_rows = n_head = 0;
        }
        at = next;
    }
    if (run < end) put_text(p, run, (size_t)(end - run));
}

static void end_plain_block(Parser *p, char **lines, size_t n_lines, size_t n_bytes)
{
    const char *text = p->block->str;
    if (look_at_gutenberg(p, lines) || look_at_front(p, lines, n_lines)) {
        release_heading(p, NULL);
        put_text(p, text, n_bytes);
        return;
    }
    AppHeadingGuess guess = app_heading_guess(&p->headings, (const char *const *)lines, n_lines);
    if (guess.is_title_of_last && p->held != NULL) {
        g_autofree char *title = g_strjoinv(" ", lines);
        release_heading(p, title);
        put_text(p, text, n_bytes);
        return;
    }
    release_heading(p, NULL);
    if (!guess.is_heading) {
        put_lines(p, text, n_bytes);
        return;
    }
    g_autofree char *heading = g_strjoinv(" ", lines);
    if (p->headings.after_keyword) {
        g_free(p->last_heading);
        p->last_heading = g_steal_pointer(&heading);
        p->last_rank = guess.rank;
        p->held = g_string_new_len(text, (gssize)n_bytes);
        return;
    }
    put_heading(p, guess.rank, guess.is_chapter, heading);
    put_text(p, text, n_bytes);
}

/* "## Title ##" -> level and title (g_free), else 0. */
static uint32_t parse_atx(const char *line, char **ret_title)
{
    size_t indent = strspn(line, " "), level = strspn(line + indent, "#");
    const char *at = line + indent + level;
    if (indent > 3 || level == 0 || level > 6 || (*at != ' ' && *at != '\t' && *at != '\0')) return 0;
    g_autofree char *title = g_strstrip(g_strdup(at));
    size_t n = strlen(title), closing = n;
    while (closing > 0 && title[closing - 1] == '#') closing--;
    if (closing < n && (closing == 0 || title[closing - 1] == ' ')) title[closing] = '\0';
    *ret_title = g_strdup(g_strstrip(title));
    return (uint32_t)level;
}

/* A line of = or - below a line of text: level 1 or 2. */
static uint32_t parse_setext(const char *line)
{
    g_autofree char *bare = g_strstrip(g_strdup(line));
    size_t n = strlen(bare);
    if (n >= 2 && strspn(bare, "=") == n) return 1;
    return n >= 2 && strspn(bare, "-") == n ? 2 : 0;
}

static bool toggles_fence(const char *line)
{
    size_t indent = strspn(line, " ");
    return indent <= 3 && (strncmp(line + indent, "```", 3) == 0 || strncmp(line + indent, "~~~", 3) == 0);
}

/* "---\ntitle: …\nauthor: …\n---" at the very start. */
static bool look_at_front_matter(Parser *p, char *const *lines)
{
    if (p->n_block != 1 || strcmp(lines[0], "---") != 0) return false;
    for (size_t i = 1; lines[i] != NULL; i++) {
        g_autofree char *value = strchr(lines[i], ':') != NULL ? g_strstrip(g_strdup(strchr(lines[i], ':') + 1)) : NULL;
        size_t n = value != NULL ? strlen(value) : 0;
        if (n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n - 1] == value[0]) {
            value[n - 1] = '\0';
            memmove(value, value + 1, n - 1);
        }
        if (has_prefix_fold(lines[i], "title:")) set_title(p, value, false);
        if (has_prefix_fold(lines[i], "author:")) set_author(p, value);
        if (has_prefix_fold(lines[i], "lang:") || has_prefix_fold(lines[i], "language:")) app_import_set_language(p->import, value);
    }
    return true;
}

static void end_markdown_block(Parser *p, char **lines, size_t n_lines, size_t n_bytes)
{
    const char *text = p->block->str, *run = text, *at = text;
    if (look_at_front_matter(p, lines)) {
        put_text(p, text, n_bytes);
        return;
    }
    for (size_t i = 0; i < n_lines; i++) {
        const char *next = at + strlen(lines[i]) + 1;
        g_autofree char *title = NULL;
        uint32_t level = 0;
        if (toggles_fence(lines[i])) p->in_fence = !p->in_fence;
        if (!p->in_fence) level = parse_atx(lines[i], &title);
        bool may_be_text = level == 0 && !p->in_fence && i + 1 < n_lines && strspn(lines[i], " ") <= 3 && !is_table_line(lines[i]) &&
                           strchr("-*>+#|", lines[i][strspn(lines[i], " ")]) == NULL;
        if (may_be_text && (level = parse_setext(lines[i + 1])) > 0) title = g_strstrip(g_strdup(lines[i]));
        if (level > 0 && title[0] != '\0') {
            put_lines(p, run, (size_t)(at - run));
            run = at;
            if (!p->has_title && level == 1 && p->n_block <= 2) set_title(p, title, false);
            put_heading(p, level, level <= 1, title);
        }
        at = next;
    }
    put_lines(p, run, n_bytes - (size_t)(run - text));
}

/* The block in p->block ends at n_bytes (behind its last newline); what follows are blank lines. */
static void end_block(Parser *p, size_t n_bytes)
{
    if (p->overlong) {
        put_text(p, p->block->str, n_bytes);
    } else if (n_bytes > 0) {
        p->n_block++;
        g_autofree char *copy = g_strndup(p->block->str, n_bytes);
        size_t length = strlen(copy);
        if (length > 0 && copy[length - 1] == '\n') copy[length - 1] = '\0';
        g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
        size_t n_lines = g_strv_length(lines);
        if (p->is_markdown) {
            end_markdown_block(p, lines, n_lines, n_bytes);
        } else {
            for (size_t i = 0; i < n_lines; i++) g_strstrip(lines[i]);
            end_plain_block(p, lines, n_lines, n_bytes);
        }
    }
    p->overlong = false;
    g_string_erase(p->block, 0, (gssize)n_bytes);
}

static bool is_blank(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (line[i] != ' ' && line[i] != '\t') return false;
    }
    return true;
}

/* A line that is complete was appended to the block at `from`. */
static void take_line(Parser *p, size_t from)
{
    size_t n = p->block->len - from;
    if (is_blank(p->block->str + from, n - 1)) {
        if (from > 0) end_block(p, from);
        if (p->held != NULL) {
            g_string_append_len(p->held, p->block->str, (gssize)p->block->len);
        } else {
            put_text(p, p->block->str, p->block->len);
        }
        g_string_truncate(p->block, 0);
    }
}

static bool on_text(void *user, const char *text, size_t n_bytes)
{
    Parser *p = user;
    const char *end = text + n_bytes;
    const char *last = p->block->len > 0 ? memrchr(p->block->str, '\n', p->block->len) : NULL;
    size_t line = last != NULL ? (size_t)(last + 1 - p->block->str) : 0; /* where the open line begins */
    while (text < end && !p->failed) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *next = newline != NULL ? newline + 1 : end;
        g_string_append_len(p->block, text, next - text);
        if (newline != NULL) take_line(p, line);
        line = p->block->len;
        if (newline == NULL) break;
        text = next;
        if (p->block->len <= BLOCK_BYTES) continue;
        if (!p->overlong) p->n_block++;
        p->overlong = true;
        release_heading(p, NULL);
        put_text(p, p->block->str, p->block->len);
        g_string_truncate(p->block, 0);
        line = 0;
    }
    if (p->block->len > 4 * BLOCK_BYTES) { /* a line without an end */
        if (!p->overlong) p->n_block++;
        p->overlong = true;
        release_heading(p, NULL);
        size_t n = p->block->len;
        while (n > 0 && ((unsigned char)p->block->str[n - 1] & 0xc0) == 0x80) n--;
        n = n > 0 && ((unsigned char)p->block->str[n - 1] & 0x80) != 0 ? n - 1 : p->block->len;
        put_text(p, p->block->str, n);
        g_string_erase(p->block, 0, (gssize)n);
    }
    return !p->failed;
}

static bool on_offset(void *user, uint64_t text_char, uint64_t source_char)
{
    Parser *p = user;
    if (!p->failed && !app_import_offset(p->import, text_char, 0, source_char, p->error)) p->failed = true;
    return !p->failed;
}

static void end_document(Parser *p)
{
    if (p->failed) return;
    if (p->block->len > 0) end_block(p, p->block->len);
    release_heading(p, NULL);
}

/* ---------------------------------------------------------------------------------------------------------------- input */

typedef struct Stream {
    Parser parser;
    AppDecoder decoder;
    AppNormalizer *normalizer;
    uint32_t *characters;
} Stream;

static void begin_stream(Stream *stream, AppImport *import, const AppTextOptions *options, GError **error)
{
    *stream = (Stream){.parser = {.import = import, .is_markdown = options->is_markdown, .error = error, .block = g_string_new(NULL)}};
    app_decoder_init(&stream->decoder, options->encoding);
    AppNormalizerOut out = {on_text, on_offset, &stream->parser};
    stream->normalizer = app_normalizer_new(&out, 0, 0);
    stream->characters = g_new(uint32_t, READ_BYTES + 1);
}

static bool feed(Stream *stream, const uint8_t *bytes, size_t n_bytes, bool at_end)
{
    size_t n = app_decoder_add(&stream->decoder, bytes, n_bytes, at_end, stream->characters);
    return app_normalizer_add(stream->normalizer, stream->characters, n);
}

static bool end_stream(Stream *stream, bool ok)
{
    if (ok) ok = feed(stream, NULL, 0, true) && app_normalizer_end(stream->normalizer);
    if (ok) end_document(&stream->parser);
    ok = ok && !stream->parser.failed;
    app_normalizer_free(stream->normalizer);
    g_string_free(stream->parser.block, TRUE);
    if (stream->parser.held != NULL) g_string_free(stream->parser.held, TRUE);
    g_free(stream->parser.last_heading);
    g_free(stream->characters);
    return ok;
}

bool app_text_read(AppImport *import, int fd, const char *name, const AppTextOptions *options, GError **error)
{
    Stream stream;
    begin_stream(&stream, import, options, error);
    g_autofree uint8_t *bytes = g_malloc(READ_BYTES);
    uint64_t done = 0;
    bool ok = true;
    while (ok) {
        ssize_t n = read(fd, bytes, READ_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_FAILED, _("Cannot read “%s”: %s"), name, g_strerror(errno));
            ok = false;
        }
        if (ok && options->cancel != NULL && __atomic_load_n(options->cancel, __ATOMIC_RELAXED)) {
            g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_CANCELLED, _("“%s”: stopped"), name);
            ok = false;
        }
        if (!ok || n == 0) break;
        ok = feed(&stream, bytes, (size_t)n, false);
        done += (uint64_t)n;
        if (options->progress != NULL) options->progress(options->user, done, options->total_bytes);
    }
    return end_stream(&stream, ok);
}

bool app_text_read_bytes(AppImport *import, const void *bytes, size_t n_bytes, const AppTextOptions *options, GError **error)
{
    Stream stream;
    begin_stream(&stream, import, options, error);
    bool ok = true;
    for (size_t at = 0; ok && at < n_bytes; at += READ_BYTES) {
        ok = feed(&stream, (const uint8_t *)bytes + at, MIN(n_bytes - at, (size_t)READ_BYTES), false);
    }
    return end_stream(&stream, ok);
}
