/* digest.h: SHA-256 of files, remembered between starts.
 *
 * Owns: the memo file. A line is "SHA256 size inode mtime_ns path"; a line that does not fit the file as it is now is ignored.
 * Does not own: trust. The memo is as private as the caches (0600): whoever can write there can write the caches too.
 */
#ifndef ENG_DIGEST_H
#define ENG_DIGEST_H

#include "eng.h"

/* As eng_sha256_file, but asks the memo first and adds to it. memo_path NULL: always computed. A memo that cannot be read or
 * written is no error: the digest is then computed. */
eng_status eng_digest_file(const char *path, const char *memo_path, eng_digest *ret_digest, eng_error *error);

#endif
