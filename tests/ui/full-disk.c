/* full-disk.c: preloaded into the window, so that the disk is full below one folder (LECTERN_FULL_FOLDER) after LECTERN_FULL_BYTES more bytes. */
#include <errno.h>
#include <stdlib.h>

#include "fault-calls.h"

__attribute__((constructor)) static void begin(void)
{
    const char *folder = getenv("LECTERN_FULL_FOLDER"), *bytes = getenv("LECTERN_FULL_BYTES");
    if (folder == NULL || bytes == NULL) return;
    fault.limited = true;
    fault.space_bytes = strtoull(bytes, NULL, 10);
    fault.error_number = ENOSPC;
    fault.folder = folder;
}
