/* extract-dump.c: prints what the application gets from the extractor: one block a line.
 *
 * Owns: the form of the lines. Used by tests and benchmarks, and to look at a document that goes wrong. Not installed.
 *   extract-dump FILE [PASSWORD]
 */
#include "app-extract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool on_meta(void *user, const char *key, const char *value, GError **error)
{
    printf("meta %s=%s\n", key, value);
    return true;
}

static bool on_note(void *user, const char *text, GError **error)
{
    printf("note %s\n", text);
    return true;
}

static bool on_item(void *user, const char *name, GError **error)
{
    printf("item %s\n", name);
    return true;
}

static bool on_block(void *user, const AppExtractBlock *block, GError **error)
{
    static const char *const kinds[] = {"", "p", "h", "th", "tr", "li", "fn"};
    long page = -1;
    for (size_t i = 0; i < block->n_runs && page < 0; i++) {
        if (block->runs[i].kind == EX_RUN_BOX) page = (long)block->runs[i].page;
    }
    g_autofree char *text = g_strndup(block->text, block->n_bytes);
    g_strdelimit(text, "\n", '\r'); /* one block, one line */
    printf("%s%s", kinds[block->kind], block->flags & EX_FLAG_TABLE_BEGIN ? "*" : block->flags & EX_FLAG_GOES_ON ? "+" : "");
    if (block->kind == EX_BLOCK_HEADING) printf("%u", block->level);
    printf(" %ld %s\n", page, text);
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: extract-dump FILE [PASSWORD]\n");
        return 2;
    }
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], g_strerror(errno));
        return 1;
    }
    static const AppExtractSink sink = {.meta = on_meta, .item = on_item, .block = on_block, .note = on_note};
    const AppExtractOptions options = {.password = argc > 2 ? argv[2] : NULL};
    g_autoptr(GError) error = NULL;
    bool is_done = app_extract_run(fd, argv[1], &options, NULL, &sink, NULL, &error);
    close(fd);
    if (!is_done) fprintf(stderr, "%s\n", error->message);
    return is_done ? 0 : 1;
}
