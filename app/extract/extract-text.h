/* extract-text.h: bytes in any encoding become UTF-8.
 *
 * Owns: recognising encodings of marked-up text (byte order mark, declarations), conversion.
 * Does not own: plain text files (the application reads these itself).
 */
#ifndef EXTRACT_TEXT_H
#define EXTRACT_TEXT_H

#include <glib.h>

/* Loads the converters: afterwards they need no file. Before the sandbox. */
void ex_text_prepare(void);

/* The text as UTF-8; encoding: what the container says, or NULL: byte order mark, XML declaration, <meta charset>, valid UTF-8, else
 * Windows-1252. Never NULL. */
char *ex_text_to_utf8(const char *data, size_t n_bytes, const char *encoding, size_t *ret_n_bytes);

#endif
