/* app-extract-import.c: what the extractor says becomes an import.
 *
 * Owns: separators between blocks, pages and boxes, source offsets, tables' begin and end.
 * Does not own: the process (app-extract.c), checking its output (app-extract-stream.c).
 */
#include "app-extract.h"

#include <string.h>

typedef struct Importer {
    AppImport *import;
    const AppExtractOptions *options;
    GArray *pages; /* PageSize; labels owned */
    uint32_t next_page;
    bool in_table, has_text, in_heads;
    uint32_t n_head_lines;
    bool has_offset;
    uint32_t offset_item;
    uint64_t offset_text, offset_source; /* the last correspondence given */
    GString *notes;
} Importer;

typedef struct PageSize {
    float width, height;
    char *label;
} PageSize;

static void page_size_clear(gpointer data)
{
    g_free(((PageSize *)data)->label);
}

static bool on_meta(void *user, const char *key, const char *value, GError **error)
{
    Importer *importer = user;
    if (strcmp(key, "title") == 0) app_import_set_title(importer->import, value);
    else if (strcmp(key, "author") == 0) app_import_set_author(importer->import, value);
    else if (strcmp(key, "language") == 0) app_import_set_language(importer->import, value);
    else if (strcmp(key, "format") != 0) app_import_set_metadata(importer->import, key, value);
    return true;
}

static bool on_page(void *user, uint32_t index, float width, float height, const char *label, GError **error)
{
    Importer *importer = user;
    PageSize page = {width, height, g_strdup(label)};
    g_array_append_val(importer->pages, page);
    return true;
}

static bool on_item(void *user, const char *name, GError **error)
{
    app_import_item(((Importer *)user)->import, name);
    return true;
}

/* Pages up to and with `page` begin here. */
static bool begin_pages(Importer *importer, uint32_t page, GError **error)
{
    for (; importer->next_page < importer->pages->len && importer->next_page <= page; importer->next_page++) {
        const PageSize *size = &g_array_index(importer->pages, PageSize, importer->next_page);
        if (!app_import_page(importer->import, size->label, size->width, size->height, error)) return false;
    }
    return true;
}

static bool end_table(Importer *importer, GError **error)
{
    if (!importer->in_table) return true;
    importer->in_table = false;
    return app_import_end_table(importer->import, importer->n_head_lines, error);
}

/* What stands between the text so far and this block. A page begins with its first text, behind the separator. */
static bool begin_block(Importer *importer, const AppExtractBlock *block, GError **error)
{
    bool is_table = block->kind == EX_BLOCK_TABLE_HEAD || block->kind == EX_BLOCK_TABLE_ROW;
    bool is_new_table = is_table && (!importer->in_table || (block->flags & EX_FLAG_TABLE_BEGIN));
    if (block->flags & EX_FLAG_GOES_ON) return true;
    if (!is_table || is_new_table) {
        if (!end_table(importer, error)) return false;
    }
    const char *separator = is_table && !is_new_table ? "\n" : "\n\n";
    if (importer->has_text && !app_import_add_text(importer->import, separator, strlen(separator), error)) return false;
    if (block->n_runs && block->runs[0].kind == EX_RUN_BOX && !begin_pages(importer, block->runs[0].page, error)) return false;
    if (is_new_table) {
        if (!app_import_begin_table(importer->import, error)) return false;
        importer->in_table = importer->in_heads = true;
        importer->n_head_lines = 0;
    }
    if (is_table) {
        importer->in_heads = importer->in_heads && block->kind == EX_BLOCK_TABLE_HEAD;
        importer->n_head_lines += importer->in_heads;
    }
    if (block->kind != EX_BLOCK_HEADING) return true;
    g_autofree char *text = g_strndup(block->text, block->n_bytes);
    return app_import_heading(importer->import, block->level, block->flags & EX_FLAG_CHAPTER, text, error);
}

/* Says where characters come from, when that is not already what the last correspondence says. */
static bool give_offset(Importer *importer, const AppExtractRun *run, GError **error)
{
    uint64_t here = app_import_position_chars(importer->import);
    bool is_same = importer->has_offset && importer->offset_item == run->item &&
                   importer->offset_source + (here - importer->offset_text) == run->source_char;
    if (is_same) return true;
    importer->has_offset = true;
    importer->offset_item = run->item;
    importer->offset_text = here;
    importer->offset_source = run->source_char;
    return app_import_offset(importer->import, here, run->item, run->source_char, error);
}

static bool on_block(void *user, const AppExtractBlock *block, GError **error)
{
    Importer *importer = user;
    if (!begin_block(importer, block, error)) return false;
    const char *text = block->text;
    for (size_t i = 0; i < block->n_runs; i++) {
        const AppExtractRun *run = &block->runs[i];
        if (run->kind == EX_RUN_BOX && !begin_pages(importer, run->page, error)) return false;
        if (run->kind == EX_RUN_SOURCE && !give_offset(importer, run, error)) return false;
        uint64_t start = app_import_position(importer->import);
        if (!app_import_add_text(importer->import, text, run->n_bytes, error)) return false;
        if (run->kind == EX_RUN_BOX && !app_import_box(importer->import, start, run->x0, run->y0, run->x1, run->y1, error)) return false;
        text += run->n_bytes;
    }
    importer->has_text = true;
    return true;
}

static bool on_progress(void *user, uint32_t done, uint32_t total, GError **error)
{
    const Importer *importer = user;
    if (importer->options && importer->options->progress) importer->options->progress(importer->options->user, done, total);
    return true;
}

static bool on_note(void *user, const char *text, GError **error)
{
    Importer *importer = user;
    if (importer->notes->len) g_string_append(importer->notes, "; ");
    g_string_append(importer->notes, text);
    return true;
}

bool app_extract_file(int fd, const char *name, const AppExtractOptions *options, const bool *cancel, AppImport *import, GError **error)
{
    static const AppExtractSink sink = {
        .meta = on_meta, .page = on_page, .item = on_item, .block = on_block, .progress = on_progress, .note = on_note};
    Importer importer = {.import = import, .options = options, .notes = g_string_new(NULL)};
    importer.pages = g_array_new(FALSE, FALSE, sizeof(PageSize));
    g_array_set_clear_func(importer.pages, page_size_clear);
    bool is_done = app_extract_run(fd, name, options, cancel, &sink, &importer, error);
    is_done = is_done && end_table(&importer, error) && begin_pages(&importer, UINT32_MAX, error);
    if (is_done && importer.notes->len) app_import_set_note(import, importer.notes->str);
    g_array_unref(importer.pages);
    g_string_free(importer.notes, TRUE);
    return is_done;
}
