/* extract-unpack.c: the members of an archive.
 *
 * Owns: which members are wanted, what becomes of damaged and encrypted ones. Does not own: the limit on their bytes (the writer has it).
 *
 * A name with ".." or from the root is left out: nothing good is called so. Links and devices are left out, and so are archives within
 * the archive, which keeps a bomb from being built of few bytes.
 */
#include "extract-unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <glib/gi18n.h>
#include <string.h>
#include <sys/stat.h>

enum { MEMBERS_MAX = 50000, MEMBER_NAME_BYTES_MAX = 1024, COPY_BYTES = 64 << 10 };

static struct archive *open_archive(const ExInput *input)
{
    struct archive *archive = archive_read_new();
    archive_read_support_format_zip(archive);
    archive_read_support_format_tar(archive);
    archive_read_support_format_7zip(archive);
    archive_read_support_format_rar(archive);
    archive_read_support_format_rar5(archive);
    archive_read_support_format_raw(archive); /* one packed file; see read_members */
    archive_read_support_filter_gzip(archive);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_filter_lzma(archive);
    archive_read_support_filter_zstd(archive);
    if (input->password) archive_read_add_passphrase(archive, input->password);
    if (archive_read_open_memory(archive, input->data, input->n_bytes) == ARCHIVE_OK) return archive;
    archive_read_free(archive);
    return NULL;
}

static bool has_suffix(const char *name, char *const *suffixes)
{
    const char *dot = strrchr(name, '.');
    if (!dot) return false;
    g_autofree char *lower = g_ascii_strdown(dot + 1, -1);
    return g_strv_contains((const char *const *)suffixes, lower);
}

/* The name with "/" between its parts, NULL when it is not wanted. Names are bytes of anybody's making: "\" separates too. */
static char *wanted_name(struct archive_entry *entry, char *const *suffixes)
{
    const char *stored = archive_entry_pathname_utf8(entry);
    if (!stored) stored = archive_entry_pathname(entry);
    if (!stored || strlen(stored) > MEMBER_NAME_BYTES_MAX || archive_entry_filetype(entry) != AE_IFREG) return NULL;
    if (archive_entry_hardlink(entry) || *stored == '/' || !has_suffix(stored, suffixes)) return NULL;
    g_autofree char *valid = g_utf8_make_valid(stored, -1);
    g_auto(GStrv) parts = g_strsplit_set(valid, "/\\", -1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    for (char **part = parts; *part; part++) {
        if (**part == 0 || strcmp(*part, ".") == 0) continue;
        if (**part == '.' || strcmp(*part, "__MACOSX") == 0) return NULL; /* hidden, or ".." */
        for (char *p = *part; *p; p++) {
            if ((unsigned char)*p < 0x20 || *p == 0x7F) return NULL;
        }
        g_ptr_array_add(kept, *part);
    }
    g_ptr_array_add(kept, NULL);
    return g_strjoinv("/", (char **)kept->pdata);
}

/* "book.txt" of "book.txt.gz": the one member of a packed file has no name of its own. */
static char *packed_name(const ExInput *input, char *const *suffixes)
{
    const char *dot = strrchr(input->name, '.');
    g_autofree char *name = dot ? g_strndup(input->name, (gsize)(dot - input->name)) : NULL;
    return name && has_suffix(name, suffixes) ? g_steal_pointer(&name) : NULL;
}

/* False: the limit on bytes is reached. *ret_result is libarchive's. */
static bool send_data(struct archive *archive, ExWriter *writer, la_ssize_t *ret_result)
{
    static char buffer[COPY_BYTES];
    la_ssize_t n;
    while ((n = archive_read_data(archive, buffer, sizeof buffer)) > 0) {
        if (!ex_writer_data(writer, buffer, (size_t)n)) return false;
    }
    *ret_result = n;
    return true;
}

/* False: the end was written. */
static bool send_member(struct archive *archive, struct archive_entry *entry, const char *name, const ExInput *input, ExWriter *writer)
{
    bool is_encrypted = archive_entry_is_data_encrypted(entry) > 0;
    if (is_encrypted && !input->password) {
        ex_writer_finish(writer, EX_PASSWORD, N_("it is encrypted and needs a password"));
        return false;
    }
    la_ssize_t result = 0;
    ex_writer_member(writer, name);
    if (!send_data(archive, writer, &result)) {
        ex_writer_finish(writer, EX_LIMIT_OUTPUT, N_("it unpacks to more than is allowed; unpack it yourself and take in the folder"));
        return false;
    }
    if (result < 0 && is_encrypted) {
        ex_writer_finish(writer, EX_PASSWORD_WRONG, N_("the password is not the right one"));
        return false;
    }
    const char *reason = result < 0 ? archive_error_string(archive) : NULL;
    ex_writer_member_end(writer, result == 0, result == 0 ? "" : reason ? reason : N_("it is damaged"));
    return true;
}

static void say_damaged(struct archive *archive, const ExInput *input, ExWriter *writer)
{
    const char *reason = archive_error_string(archive);
    bool is_encrypted = archive_read_has_encrypted_entries(archive) > 0;
    if (is_encrypted) {
        ex_writer_finish(writer, input->password ? EX_PASSWORD_WRONG : EX_PASSWORD,
                         input->password ? N_("the password is not the right one, or this kind of encryption is not known") : N_("it is encrypted and needs a password"));
    } else {
        ex_writer_finish(writer, EX_DAMAGED, "it is not a readable archive (%s)", reason ? reason : "damaged");
    }
}

static void read_members(struct archive *archive, const ExInput *input, char *const *suffixes, ExWriter *writer)
{
    guint n_members = 0, n_left_out = 0;
    uint32_t total_kib = (uint32_t)(input->n_bytes >> 10);
    for (;;) {
        struct archive_entry *entry = NULL;
        int result = archive_read_next_header(archive, &entry);
        if (result == ARCHIVE_EOF) break;
        bool is_raw = (archive_format(archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_RAW;
        if (result < ARCHIVE_WARN || (is_raw && archive_filter_count(archive) < 2)) {
            if (n_members == 0) {
                say_damaged(archive, input, writer);
                return;
            }
            ex_writer_note(writer, "the archive is damaged behind %u files; the rest is missing", n_members);
            break;
        }
        if (n_members == MEMBERS_MAX) {
            ex_writer_finish(writer, EX_LIMIT_OUTPUT, N_("it has more than %u files in it"), (unsigned)MEMBERS_MAX);
            return;
        }
        if (archive_entry_filetype(entry) == AE_IFDIR) continue;
        g_autofree char *name = is_raw ? packed_name(input, suffixes) : wanted_name(entry, suffixes);
        if (!name) {
            n_left_out++;
        } else {
            n_members++;
            if (!send_member(archive, entry, name, input, writer)) return;
        }
        uint32_t done_kib = (uint32_t)(MAX(archive_filter_bytes(archive, -1), 0) >> 10);
        ex_writer_progress(writer, MIN(done_kib, total_kib), total_kib);
    }
    g_autofree char *left_out = g_strdup_printf("%u", n_left_out);
    ex_writer_meta(writer, "left_out", left_out);
    ex_writer_finish(writer, EX_OK, "%s", "");
}

void ex_unpack(const ExInput *input, const char *suffixes, ExWriter *writer)
{
    g_auto(GStrv) list = g_strsplit(suffixes, ",", -1);
    struct archive *archive = input->n_bytes ? open_archive(input) : NULL;
    if (!archive) {
        ex_writer_finish(writer, EX_DAMAGED, input->n_bytes ? N_("it is not a readable archive") : N_("the file is empty"));
        return;
    }
    read_members(archive, input, list, writer);
    archive_read_free(archive);
}
