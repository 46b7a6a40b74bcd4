/* extract-ocr.h: text on pages that are pictures, by Tesseract where it is installed.
 *
 * Owns: loading the library, the picture of a page, words with their places. Does not own: when it is used (the user decides).
 *
 * Tesseract is no dependency: its library is opened when it is wanted, before the sandbox is entered, with the data of the languages. It
 * then works on pages within the sandbox, like all that touches a document.
 */
#ifndef EXTRACT_OCR_H
#define EXTRACT_OCR_H

#include "extract-page.h"

typedef struct ExOcr ExOcr;

/* languages: Tesseract's names, "eng" or "eng+deu". NULL: ret_reason (n_reason bytes) says why, for people. Before the sandbox. */
ExOcr *ex_ocr_new(const char *languages, char *ret_reason, size_t n_reason);
void ex_ocr_free(ExOcr *ocr); /* NULL is fine */
/* Adds the words that are seen on the page to `page`, which has none. False: the page could not be drawn or read. */
bool ex_ocr_page(ExOcr *ocr, PopplerPage *source, ExPage *page);

#endif
