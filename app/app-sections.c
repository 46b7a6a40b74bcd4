/* app-sections.c: see app-sections.h.
 *
 * Two passes. The first streams the text once, makes units and counts each one's tokens. The plan says which units go together. The
 * second takes the pieces in order, tokenises head and text as the model will see them, and writes rows in batches; a piece that still
 * exceeds the limit (tokens join differently over borders, heads differ) is halved.
 */
#include "app-sections.h"

#include <glib/gi18n.h>
#include <string.h>

#include "app-engine-internal.h"

enum {
    RULE_VERSION = 1, /* raise when the same text would be cut differently */
    WINDOW_BYTES = 1 << 18,
    UNIT_BYTES_MAX = 1 << 15, /* a paragraph longer than this is cut before it is counted */
    HEAD_BYTES_MAX = 240,
    BATCH_SECTIONS = 256,
    SECTION_TOKENS_LEAST = 64,
};

typedef struct Cutter {
    AppLibrary *library;
    int64_t document;
    const eng_model *model;
    const bool *cancel;
    GError **error;
    char *rule, *title;
    uint32_t section_tokens_max;
    GArray *headings, *tables, *units; /* AppHeadingMark, AppTableRange, AppUnit */
    GPtrArray *pages;
    guint next_heading, table; /* of the text that comes next in the first pass */
    uint64_t n_chars;
    eng_tokens scratch;
    GArray *rows; /* AppSectionRow, heads and ids owned */
    uint32_t n_sections;
    bool began;
} Cutter;

char *app_section_rule(const eng_model *model)
{
    const eng_model_info *info = eng_model_get_info(model);
    char digest[65];
    eng_digest_text(&info->tokenizer_sha256, digest);
    digest[16] = '\0';
    return g_strdup_printf("%d-%s-%u-%d", RULE_VERSION, digest, info->section_tokens_max, APP_SECTION_GOAL_TOKENS);
}

static bool tokenize(const eng_model *model, const char *text, size_t n_bytes, eng_tokens *tokens, GError **error)
{
    eng_error engine_error;
    eng_status status = eng_tokenize(model, text, n_bytes, false, tokens, &engine_error);
    if (status != ENG_OK) app_engine_set_error(error, status, &engine_error);
    return status == ENG_OK;
}

bool app_section_tokens(const eng_model *model, const char *head, const char *text, size_t n_bytes, eng_tokens *tokens, GError **error)
{
    g_autoptr(GString) whole = g_string_new(head);
    g_string_append(whole, "\n\n");
    g_string_append_len(whole, text, (gssize)n_bytes);
    tokens->n = 0;
    /* The marker is put by tokenising its own words, the one text that is trusted to be a marker. */
    eng_error engine_error;
    eng_status status = eng_tokenize(model, "<|endoftext|>", strlen("<|endoftext|>"), true, tokens, &engine_error);
    if (status == ENG_OK && (tokens->n != 1 || tokens->ids[0] != eng_special_token(model, ENG_TOKEN_END))) {
        status = eng_fail(&engine_error, ENG_UNSUPPORTED, "the model's tokenizer has no single token <|endoftext|>");
    }
    if (status != ENG_OK) {
        app_engine_set_error(error, status, &engine_error);
        return false;
    }
    return tokenize(model, whole->str, whole->len, tokens, error);
}

static bool is_cancelled(const Cutter *c)
{
    if (c->cancel == NULL || !__atomic_load_n(c->cancel, __ATOMIC_RELAXED)) return false;
    g_set_error(c->error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_CANCELLED, _("Stopped"));
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ first pass */

static const AppTableRange *table_at(const Cutter *c, uint64_t at)
{
    if (c->table >= c->tables->len) return NULL;
    const AppTableRange *table = &g_array_index(c->tables, AppTableRange, c->table);
    return at >= table->start ? table : NULL;
}

static bool add_unit(Cutter *c, uint64_t start, const char *text, size_t n_bytes, bool joins_before, uint32_t n_goal_tokens)
{
    c->scratch.n = 0;
    if (!tokenize(c->model, text, n_bytes, &c->scratch, c->error)) return false;
    if (c->scratch.n > n_goal_tokens && n_bytes > 8) {
        size_t part = app_unit_split(text, n_bytes, MAX(n_bytes * (n_goal_tokens * 3 / 4) / c->scratch.n, (size_t)4));
        if (part > 0 && part < n_bytes) {
            return add_unit(c, start, text, part, joins_before, n_goal_tokens) &&
                   add_unit(c, start + part, text + part, n_bytes - part, joins_before, n_goal_tokens);
        }
    }
    AppUnit unit = {start, start + n_bytes, c->n_chars, (uint32_t)c->scratch.n, (int32_t)c->next_heading - 1, joins_before};
    g_array_append_val(c->units, unit);
    c->n_chars += (uint64_t)g_utf8_strlen(text, (gssize)n_bytes);
    return true;
}

/* Bytes of the next unit: headings and tables begin and end units; rows of a table are units. */
static size_t next_unit(Cutter *c, uint64_t start, const char *text, size_t n_bytes, bool at_end, bool *ret_joins)
{
    while (c->next_heading < c->headings->len && g_array_index(c->headings, AppHeadingMark, c->next_heading).start <= start) c->next_heading++;
    while (c->table < c->tables->len && g_array_index(c->tables, AppTableRange, c->table).end <= start) c->table++;
    uint64_t border = start + n_bytes;
    bool is_border = false;
    if (c->next_heading < c->headings->len) {
        uint64_t at = g_array_index(c->headings, AppHeadingMark, c->next_heading).start;
        if (at < border) {
            border = at;
            is_border = true;
        }
    }
    const AppTableRange *table = table_at(c, start);
    if (table == NULL && c->table < c->tables->len && g_array_index(c->tables, AppTableRange, c->table).start < border) {
        border = g_array_index(c->tables, AppTableRange, c->table).start;
        is_border = true;
    }
    *ret_joins = table != NULL && start > table->start;
    if (table != NULL) {
        const char *newline = memchr(text, '\n', n_bytes);
        size_t row = newline != NULL ? (size_t)(newline - text) + 1 : n_bytes;
        if (newline != NULL || at_end || row >= UNIT_BYTES_MAX) return MIN(row, (size_t)(border - start));
        return 0;
    }
    return app_unit_length(text, (size_t)(border - start), UNIT_BYTES_MAX, at_end || is_border);
}

static bool make_units(Cutter *c, uint32_t n_goal_tokens)
{
    g_autoptr(GString) window = g_string_new(NULL);
    uint64_t start = 0, loaded = 0; /* of the window's text; behind it */
    bool at_end = false;
    while (!at_end || window->len > 0) {
        if (is_cancelled(c)) return false;
        if (!at_end) {
            size_t n_bytes = 0;
            g_autofree char *more = app_library_get_text(c->library, c->document, loaded, loaded + WINDOW_BYTES, &n_bytes, c->error);
            if (more == NULL) return false;
            g_string_append_len(window, more, (gssize)n_bytes);
            loaded += n_bytes;
            at_end = n_bytes == 0;
        }
        size_t at = 0, n_bytes;
        bool joins;
        while (at < window->len && (n_bytes = next_unit(c, start, window->str + at, window->len - at, at_end, &joins)) > 0) {
            if (!add_unit(c, start, window->str + at, n_bytes, joins, n_goal_tokens)) return false;
            at += n_bytes;
            start += n_bytes;
        }
        g_string_erase(window, 0, (gssize)at);
    }
    return true;
}

/* ----------------------------------------------------------------------------------------------------------- second pass */

static uint32_t page_at(const Cutter *c, uint64_t at)
{
    uint32_t low = 0, high = c->pages->len;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (((const AppPage *)g_ptr_array_index(c->pages, middle))->start <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return c->pages->len == 0 ? UINT32_MAX : low > 0 ? low - 1 : 0;
}

static void clear_rows(Cutter *c)
{
    for (guint i = 0; i < c->rows->len; i++) {
        AppSectionRow *row = &g_array_index(c->rows, AppSectionRow, i);
        g_free(row->section.head);
        g_free((gpointer)row->ids);
    }
    g_array_set_size(c->rows, 0);
}

static bool write_rows(Cutter *c, bool at_end)
{
    if (is_cancelled(c)) return false;
    bool ok = app_library_put_sections(c->library, c->document, c->rule, (const AppSectionRow *)(void *)c->rows->data, c->rows->len, !c->began,
                                       at_end, c->error);
    c->began = true;
    clear_rows(c);
    return ok;
}

static bool is_space(char byte)
{
    return byte == '\n' || byte == ' ' || byte == '\t';
}

/* One section from bytes [start, start + n_bytes) of the text, or several if it has too many tokens. */
static bool put_section(Cutter *c, const char *head, uint64_t start, uint64_t char_start, const char *text, size_t n_bytes)
{
    while (n_bytes > 0 && is_space(text[n_bytes - 1])) n_bytes--;
    size_t lead = 0; /* blank lines go, an indent stays */
    for (size_t at = 0; at < n_bytes && is_space(text[at]); at++) lead = text[at] == '\n' ? at + 1 : lead;
    text += lead;
    start += lead;
    char_start += lead;
    n_bytes -= lead;
    if (n_bytes == 0) return true;
    eng_tokens tokens = {0};
    bool ok = app_section_tokens(c->model, head, text, n_bytes, &tokens, c->error);
    if (ok && tokens.n > c->section_tokens_max) {
        eng_tokens_clear(&tokens);
        size_t part = app_unit_length(text, n_bytes, n_bytes / 2, true);
        if (part >= n_bytes || part == 0) part = app_unit_split(text, n_bytes, n_bytes / 2);
        if (part >= n_bytes || part == 0) {
            g_set_error(c->error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, _("The head “%s” leaves no room for text in a section"), head);
            return false;
        }
        uint64_t part_chars = (uint64_t)g_utf8_strlen(text, (gssize)part);
        return put_section(c, head, start, char_start, text, part) &&
               put_section(c, head, start + part, char_start + part_chars, text + part, n_bytes - part);
    }
    if (!ok) {
        eng_tokens_clear(&tokens);
        return false;
    }
    c->scratch.n = 0;
    ok = tokenize(c->model, head, strlen(head), &c->scratch, c->error);
    AppSectionRow row = {.section = {.ordinal = c->n_sections++,
                                     .head = g_strdup(head),
                                     .start = start,
                                     .end = start + n_bytes,
                                     .char_start = char_start,
                                     .char_end = char_start + (uint64_t)g_utf8_strlen(text, (gssize)n_bytes),
                                     .page_first = page_at(c, start),
                                     .page_last = page_at(c, start + n_bytes - 1),
                                     .n_tokens = (uint32_t)tokens.n,
                                     .n_head_tokens_hint = (uint32_t)c->scratch.n + 2},
                         .ids = g_memdup2(tokens.ids, tokens.n * sizeof *tokens.ids)};
    eng_digest digest;
    eng_ids_digest(NULL, tokens.ids, (uint32_t)tokens.n, &digest);
    memcpy(row.section.ids_digest, digest.bytes, sizeof digest.bytes);
    g_array_append_val(c->rows, row);
    eng_tokens_clear(&tokens);
    return ok && (c->rows->len < BATCH_SECTIONS || write_rows(c, false));
}

static bool put_pieces(Cutter *c, const GArray *pieces)
{
    const AppUnit *units = (const AppUnit *)(void *)c->units->data;
    const AppHeadingMark *headings = (const AppHeadingMark *)(void *)c->headings->data;
    bool ok = true;
    for (guint i = 0; ok && i < pieces->len; i++) {
        const AppPiece *piece = &g_array_index(pieces, AppPiece, i);
        const AppUnit *first = &units[piece->first];
        size_t n_bytes = 0;
        g_autofree char *text = app_library_get_text(c->library, c->document, first->start, units[piece->end - 1].end, &n_bytes, c->error);
        g_autofree char *head = app_section_head(c->title, headings, piece->heading, HEAD_BYTES_MAX);
        ok = text != NULL && put_section(c, head, first->start, first->char_start, text, n_bytes);
    }
    return ok && write_rows(c, true);
}

/* ---------------------------------------------------------------------------------------------------------------- all of it */

static bool cut_document(Cutter *c)
{
    const eng_model_info *info = eng_model_get_info(c->model);
    c->section_tokens_max = info->section_tokens_max;
    if (c->section_tokens_max < SECTION_TOKENS_LEAST) {
        g_set_error(c->error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_INVALID, _("The model “%s” takes sections of only %u tokens"), info->name,
                    c->section_tokens_max);
        return false;
    }
    c->title = app_library_get_head_title(c->library, c->document, c->error);
    c->headings = c->title != NULL ? app_library_list_heading_marks(c->library, c->document, c->error) : NULL;
    c->tables = c->headings != NULL ? app_library_list_tables(c->library, c->document, c->error) : NULL;
    c->pages = c->tables != NULL ? app_library_list_pages(c->library, c->document, c->error) : NULL;
    if (c->pages == NULL) return false;
    /* Room for a head of usual length; longer ones make put_section halve. */
    uint32_t most = c->section_tokens_max - MIN(c->section_tokens_max / 4, 64u);
    AppPlanLimits limits = {MIN((uint32_t)APP_SECTION_GOAL_TOKENS, most), most, MIN((uint32_t)APP_SECTION_LEAST_TOKENS, most / 4)};
    if (!make_units(c, limits.goal_tokens)) return false;
    g_autoptr(GArray) pieces = app_sections_plan((const AppUnit *)(void *)c->units->data, c->units->len,
                                                 (const AppHeadingMark *)(void *)c->headings->data, c->headings->len, &limits);
    return put_pieces(c, pieces);
}

static void clear_cutter(Cutter *c)
{
    clear_rows(c);
    g_array_unref(c->rows);
    g_array_unref(c->units);
    if (c->headings != NULL) g_array_unref(c->headings);
    if (c->tables != NULL) g_array_unref(c->tables);
    if (c->pages != NULL) g_ptr_array_unref(c->pages);
    eng_tokens_clear(&c->scratch);
    g_free(c->title);
    g_free(c->rule);
}

bool app_sections_ensure(AppLibrary *library, int64_t document, const eng_model *model, const bool *cancel, bool *ret_cut, GError **error)
{
    Cutter c = {.library = library, .document = document, .model = model, .cancel = cancel, .error = error, .rule = app_section_rule(model)};
    c.rows = g_array_new(FALSE, FALSE, sizeof(AppSectionRow));
    c.units = g_array_new(FALSE, FALSE, sizeof(AppUnit));
    bool has = false;
    bool ok = app_library_has_sections(library, document, c.rule, &has, error);
    if (ok && !has) ok = cut_document(&c);
    if (ok) ok = app_library_set_reading(library, document, c.rule, eng_model_get_info(model)->name, error);
    if (ok && ret_cut != NULL) *ret_cut = !has;
    clear_cutter(&c);
    return ok;
}
