/* extract-zip.c: the wanted entries of a zip, in memory.
 *
 * Owns: every limit on what a zip may unpack to.
 */
#include "extract-zip.h"

#include <archive.h>
#include <archive_entry.h>
#include <glib/gi18n.h>
#include <string.h>

enum { ENTRIES_MAX = 20000, ENTRY_BYTES_MAX = 96 << 20, NAME_BYTES_MAX = 1024 };

struct ExZip {
    GHashTable *entries; /* name -> GByteArray* (NUL behind), NULL for those that were not wanted */
    GPtrArray *names;    /* of wanted ones, in order; borrowed from the table */
};

static void entry_free(gpointer data)
{
    if (data) g_byte_array_unref(data);
}

char *ex_zip_path(const char *base, const char *reference)
{
    g_autofree char *plain = g_uri_unescape_string(reference, NULL);
    const char *relative = plain ? plain : reference;
    g_autoptr(GString) whole = g_string_new(NULL);
    const char *slash = base ? strrchr(base, '/') : NULL;
    if (slash && *relative != '/') g_string_append_len(whole, base, slash - base + 1);
    g_string_append(whole, relative);
    g_auto(GStrv) parts = g_strsplit_set(whole->str, "/\\", -1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    for (char **part = parts; *part; part++) {
        if (**part == 0 || strcmp(*part, ".") == 0) continue;
        if (strcmp(*part, "..") != 0) g_ptr_array_add(kept, *part);
        else if (kept->len) g_ptr_array_set_size(kept, (gint)kept->len - 1);
    }
    g_ptr_array_add(kept, NULL);
    return g_strjoinv("/", (char **)kept->pdata);
}

/* False: more than is allowed, or damaged; *ret_why says which. */
static bool read_entry(struct archive *archive, GByteArray *bytes, uint64_t *io_left, const char **ret_why)
{
    static const guint8 nul = 0;
    for (;;) {
        char buffer[32768];
        la_ssize_t n = archive_read_data(archive, buffer, sizeof buffer);
        if (n == 0) break;
        if (n < 0) {
            *ret_why = "damaged";
            return false;
        }
        if ((uint64_t)n > *io_left || bytes->len + (size_t)n > ENTRY_BYTES_MAX) {
            *ret_why = "bomb";
            return false;
        }
        *io_left -= (uint64_t)n;
        g_byte_array_append(bytes, (const guint8 *)buffer, (guint)n);
    }
    g_byte_array_append(bytes, &nul, 1);
    return true;
}

static bool read_entries(ExZip *zip, struct archive *archive, bool (*wanted)(const char *), uint64_t max_bytes, ExWriter *writer)
{
    uint64_t n_left = max_bytes;
    guint n_entries = 0;
    for (;;) {
        struct archive_entry *entry = NULL;
        int result = archive_read_next_header(archive, &entry);
        if (result == ARCHIVE_EOF) return true;
        if (result < ARCHIVE_WARN) {
            if (g_hash_table_size(zip->entries)) return true; /* what came before the damage is what there is */
            const char *reason = archive_error_string(archive);
            ex_writer_finish(writer, EX_DAMAGED, "it is not a readable zip archive (%s)", reason ? reason : "damaged");
            return false;
        }
        if (++n_entries > ENTRIES_MAX) {
            ex_writer_finish(writer, EX_LIMIT_OUTPUT, N_("it has more than %u files in it"), (unsigned)ENTRIES_MAX);
            return false;
        }
        const char *stored = archive_entry_pathname_utf8(entry);
        if (!stored) stored = archive_entry_pathname(entry);
        if (!stored || strlen(stored) > NAME_BYTES_MAX) continue;
        g_autofree char *valid = g_utf8_make_valid(stored, -1);
        g_auto(GStrv) pieces = g_strsplit(valid, "%", -1);
        g_autofree char *escaped = g_strjoinv("%25", pieces); /* names in a zip are no URIs */
        g_autofree char *name = ex_zip_path(NULL, escaped);
        if (g_hash_table_contains(zip->entries, name)) continue;
        if (!wanted(name)) {
            g_hash_table_insert(zip->entries, g_steal_pointer(&name), NULL);
            continue;
        }
        if (archive_entry_is_encrypted(entry) > 0) {
            ex_writer_finish(writer, EX_DRM, N_("it is encrypted"));
            return false;
        }
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        const char *why = NULL;
        if (!read_entry(archive, bytes, &n_left, &why)) {
            if (strcmp(why, "bomb") == 0) ex_writer_finish(writer, EX_LIMIT_OUTPUT, "it unpacks to more than is allowed (%s)", name);
            else ex_writer_finish(writer, EX_DAMAGED, "the file %s in it is damaged", name);
            return false;
        }
        g_ptr_array_add(zip->names, name);
        g_hash_table_insert(zip->entries, g_steal_pointer(&name), g_steal_pointer(&bytes));
    }
}

ExZip *ex_zip_new(const ExInput *input, bool (*wanted)(const char *name), ExWriter *writer)
{
    ExZip *zip = g_new0(ExZip, 1);
    zip->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, entry_free);
    zip->names = g_ptr_array_new();
    struct archive *archive = archive_read_new();
    archive_read_support_format_zip(archive);
    bool is_read = false;
    if (archive_read_open_memory(archive, input->data, input->n_bytes) == ARCHIVE_OK) {
        is_read = read_entries(zip, archive, wanted, input->max_unpacked_bytes, writer);
    } else {
        ex_writer_finish(writer, EX_DAMAGED, N_("it is not a readable zip archive"));
    }
    archive_read_free(archive);
    if (is_read) return zip;
    ex_zip_free(zip);
    return NULL;
}

void ex_zip_free(ExZip *zip)
{
    if (!zip) return;
    g_ptr_array_unref(zip->names);
    g_hash_table_unref(zip->entries);
    g_free(zip);
}

const char *ex_zip_get(const ExZip *zip, const char *name, size_t *ret_n_bytes)
{
    const GByteArray *bytes = g_hash_table_lookup(zip->entries, name);
    if (!bytes) return NULL;
    *ret_n_bytes = bytes->len - 1;
    return (const char *)bytes->data;
}

bool ex_zip_has(const ExZip *zip, const char *name)
{
    return g_hash_table_contains(zip->entries, name);
}

const char *ex_zip_find(const ExZip *zip, const char *ending)
{
    for (guint i = 0; i < zip->names->len; i++) {
        if (g_str_has_suffix(g_ptr_array_index(zip->names, i), ending)) return g_ptr_array_index(zip->names, i);
    }
    return NULL;
}
