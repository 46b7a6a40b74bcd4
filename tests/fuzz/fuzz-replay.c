/* fuzz-replay.c: runs a fuzz target over every file of some folders, and over damaged forms of each.
 *
 * Owns: the damage: cut at several places, bytes changed at several places (always the same ones).
 *   fuzz-replay FOLDER_OR_FILE...
 */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CUTS = 6, CHANGES = 10, SIZE_MAX_BYTES = 400 << 10 };

static unsigned replay_file(const char *path)
{
    char *bytes = NULL;
    gsize n = 0;
    /* Large ones are bombs: they are for the sandboxed tests, which have limits. */
    if (!g_file_get_contents(path, &bytes, &n, NULL) || n > SIZE_MAX_BYTES || strstr(path, "bomb") || strstr(path, "overlap")) {
        g_free(bytes);
        return 0;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)bytes, n);
    for (unsigned i = 1; i < CUTS; i++) LLVMFuzzerTestOneInput((const uint8_t *)bytes, n * i / CUTS);
    uint32_t random = (uint32_t)n;
    for (unsigned i = 0; i < CHANGES && n; i++) {
        random = random * 1664525 + 1013904223;
        size_t at = random % n;
        char kept = bytes[at];
        bytes[at] = (char)(random >> 24);
        LLVMFuzzerTestOneInput((const uint8_t *)bytes, n);
        bytes[at] = kept;
    }
    g_free(bytes);
    return 1;
}

int main(int argc, char **argv)
{
    unsigned n_files = 0;
    for (int i = 1; i < argc; i++) {
        g_autoptr(GDir) folder = g_dir_open(argv[i], 0, NULL);
        if (!folder) n_files += replay_file(argv[i]);
        for (const char *name = folder ? g_dir_read_name(folder) : NULL; name; name = g_dir_read_name(folder)) {
            g_autofree char *path = g_build_filename(argv[i], name, NULL);
            n_files += replay_file(path);
        }
    }
    printf("%u files replayed\n", n_files);
    return n_files ? 0 : 1;
}
