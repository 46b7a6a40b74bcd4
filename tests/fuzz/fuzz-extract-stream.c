/* fuzz-extract-stream.c: any bytes as the extractor's output.
 *
 * Owns: one entry point for libFuzzer; replayed over the corpus without it (fuzz-replay.c).
 */
#include "app-extract-stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_block(void *user, const AppExtractBlock *block, GError **error)
{
    /* What the border promises is relied on: touch all of it. abort, because libFuzzer does not see g_error's signal. */
    size_t n = 0;
    for (size_t i = 0; i < block->n_runs; i++) n += block->runs[i].n_bytes;
    if (n != block->n_bytes || !g_utf8_validate(block->text, (gssize)block->n_bytes, NULL)) abort();
    return true;
}

static bool on_member(void *user, const char *name, GError **error)
{
    if (*name == '/' || !g_utf8_validate(name, -1, NULL)) abort();
    g_auto(GStrv) parts = g_strsplit(name, "/", -1);
    if (g_strv_contains((const char *const *)parts, "..")) abort();
    return true;
}

static bool on_data(void *user, const void *bytes, size_t n_bytes, GError **error)
{
    return n_bytes == 0 || memchr(bytes, 0xA5, n_bytes) == NULL || *(size_t *)user < n_bytes; /* touches all of them */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const AppExtractSink sink = {.block = on_block, .member = on_member, .data = on_data};
    if (size == 0) return 0;
    /* The first byte says in what pieces the rest arrives. */
    size_t piece = data[0] ? data[0] : size;
    g_autoptr(AppExtractStream) stream = app_extract_stream_new(&sink, &piece, 1 << 20);
    for (size_t at = 1; at < size; at += piece) {
        if (!app_extract_stream_feed(stream, data + at, MIN(piece, size - at), NULL)) break;
    }
    return 0;
}
