/* extract-unpack.h: the members of an archive, as bytes, to the parent. */
#ifndef EXTRACT_UNPACK_H
#define EXTRACT_UNPACK_H

#include "extract-formats.h"

/* zip, tar, 7z and RAR, tar packed with gzip, bzip2, xz or zstd, and a single file packed so. Writes MEMBER, DATA and MEMBER_END for each
 * ordinary file whose name ends with one of `suffixes` ("pdf,txt"), and the number of the others as metadata "left_out". Names are
 * never used as paths here. */
void ex_unpack(const ExInput *input, const char *suffixes, ExWriter *writer);

#endif
