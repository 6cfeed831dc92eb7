/* Files that the user named. */
#include "cmd/common_file.h"

#include <errno.h>
#include <sys/stat.h>

FILE *file_open(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat s;
    if (!f || fstat(fileno(f), &s) != 0 || !S_ISDIR(s.st_mode))
        return f;
    fclose(f);
    errno = EISDIR;
    return NULL;
}
