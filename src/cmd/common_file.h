/* Files that the user named. */
#ifndef CMD_FILE_H
#define CMD_FILE_H

#include <stdio.h>

/* Opens a file to read. NULL with errno, also for a directory: fopen() takes one, and only reading fails. */
FILE *file_open(const char *path);

#endif
