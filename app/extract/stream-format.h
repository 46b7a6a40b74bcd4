/* stream-format.h: the records that lectern-extract writes to its parent.
 *
 * Owns: the bytes of the stream, its limits and its codes; both sides include it, nothing else is shared between them.
 * Does not own: writing (extract-writer.c) and the strict reading of it (app-extract-stream.c).
 *
 * The stream begins with the 8 bytes of EX_MAGIC. Then records: u8 type, u32 length, `length` bytes. Integers and floats (IEEE 754
 * binary32) are little-endian; strings are UTF-8 (NFC) without U+0000 and fill the rest of their record unless a length is given.
 *
 *   META      u8 n, n bytes of key [a-z_], value
 *   PAGE      f32 width, f32 height (points, 0 unknown), label. Pages count from 0 in order; sent before a run names the page
 *   ITEM      name of a file inside the document (EPUB, archive). Items count from 0; runs of source places mean the latest one
 *   BLOCK     u8 kind, u8 level, u16 flags, u32 n_text, u32 n_runs, n_text bytes, then the runs
 *   PROGRESS  u32 done, u32 total
 *   NOTE      a remark for people
 *   MEMBER    name of a file in an archive that is unpacked: its DATA follow, then its MEMBER_END
 *   DATA      bytes of that file
 *   MEMBER_END u8 whole (1) or not (0), reason
 *   END       u32 status, u64 bytes in all blocks and DATA, message. The last record; the stream is incomplete without it
 *
 *   run       u32 n bytes of the block's text, u8 kind, then by kind:
 *     EX_RUN_MADE    nothing: written by the extractor ("| ", a joined space)
 *     EX_RUN_BOX     u32 page, f32 x0, y0, x1, y1: points from the page's top left; pages never go back
 *     EX_RUN_SOURCE  u64 first character in the item as decoded: characters correspond one to one
 * The runs of a block cover its text exactly, each ends at a character's border. A text's control characters are \n and \t only.
 */
#ifndef STREAM_FORMAT_H
#define STREAM_FORMAT_H

#include <stdint.h>

#define EX_MAGIC "LecExt\x01\n"
enum { EX_MAGIC_BYTES = 8, EX_RECORD_HEAD_BYTES = 5, EX_BLOCK_HEAD_BYTES = 12, EX_RUN_BYTES_MAX = 25 };

enum {
    EX_PAYLOAD_MAX = 1 << 20, /* bytes of one record */
    EX_BLOCK_TEXT_MAX = 256 << 10,
    EX_BLOCK_RUNS_MAX = 24000,
    EX_PAGES_MAX = 100000,
    EX_ITEMS_MAX = 50000,
    EX_HEADINGS_MAX = 200000,
    EX_META_MAX = 64,
    EX_META_VALUE_MAX = 4096,
    EX_NAME_MAX = 4096, /* labels, item names, notes, messages */
    EX_NOTES_MAX = 64,
    EX_LEVEL_MAX = 9,
};

typedef enum ExRecordType {
    EX_RECORD_META = 1,
    EX_RECORD_PAGE,
    EX_RECORD_ITEM,
    EX_RECORD_BLOCK,
    EX_RECORD_PROGRESS,
    EX_RECORD_NOTE,
    EX_RECORD_END,
    EX_RECORD_MEMBER,
    EX_RECORD_DATA,
    EX_RECORD_MEMBER_END,
} ExRecordType;

typedef enum ExBlockKind {
    EX_BLOCK_PARAGRAPH = 1,
    EX_BLOCK_HEADING,    /* level: 1 topmost */
    EX_BLOCK_TABLE_HEAD, /* a line of column heads */
    EX_BLOCK_TABLE_ROW,
    EX_BLOCK_LIST_ITEM,
    EX_BLOCK_FOOTNOTE,
    EX_BLOCK_KINDS, /* one past the last */
} ExBlockKind;

enum {
    EX_FLAG_TABLE_BEGIN = 1, /* the first line of a table; without it a table line goes on in the table before it */
    EX_FLAG_GOES_ON = 2,     /* the text of this block continues the one before it, which was too long for one record */
    EX_FLAG_CHAPTER = 4,     /* a heading that sections do not join text over */
    EX_FLAGS_ALL = 7,
};

typedef enum ExRunKind { EX_RUN_MADE = 0, EX_RUN_BOX, EX_RUN_SOURCE } ExRunKind;

typedef enum ExStatus {
    EX_OK = 0,
    EX_NO_TEXT,        /* a scan, an empty file */
    EX_DAMAGED,        /* the message says what is wrong */
    EX_PASSWORD,       /* encrypted: needs a password */
    EX_PASSWORD_WRONG,
    EX_DRM,            /* encrypted by its seller */
    EX_UNSUPPORTED,
    EX_LIMIT_MEMORY,
    EX_LIMIT_TIME,
    EX_LIMIT_OUTPUT,
    EX_FAILED,
    EX_STATUSES,
} ExStatus;

/* How the program is started: fd 0 is the document (opened read-only, seekable), fd 1 the stream, fd 3 (EX_FD_PASSWORD), when there is
 * one, a pipe that holds the password. Arguments: see extract-main.c. */
enum { EX_FD_DOCUMENT = 0, EX_FD_STREAM = 1, EX_FD_PASSWORD = 3 };

#endif
