/* map-file.c: see map-file.h. */
#include "map-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

eng_status eng_map_file(const char *path, uint8_t **ret_map, size_t *ret_n_bytes, eng_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return eng_fail(error, errno == ENOENT ? ENG_NOT_FOUND : ENG_IO, "%s: %s", path, eng_errno_text(errno));
    struct stat st;
    eng_status status = ENG_OK;
    void *map = MAP_FAILED;
    if (fstat(fd, &st) != 0)
        status = eng_fail(error, ENG_IO, "%s: %s", path, eng_errno_text(errno));
    else if (!S_ISREG(st.st_mode) || st.st_size == 0)
        status = eng_fail(error, ENG_BAD_FILE, "%s: empty, or not a regular file", path);
    else if ((map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        status = eng_fail(error, ENG_IO, "%s: cannot map: %s", path, eng_errno_text(errno));
    close(fd);
    if (status != ENG_OK) return status;
    *ret_map = map;
    *ret_n_bytes = (size_t)st.st_size;
    return ENG_OK;
}
