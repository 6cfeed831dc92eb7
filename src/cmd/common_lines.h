/* Lines of `key<TAB>value` with the escapes \t \n \\ \xHH: what load reads, dump writes and check compares.
 */
#ifndef CMD_LINES_H
#define CMD_LINES_H

#include <stdio.h>

#include "base/buf.h"

struct lines {
    FILE *file;
    char *line; /* of getline */
    size_t cap;
    uint64_t number; /* of the line read last, from 1 */
    uint64_t bytes;  /* read so far */
    struct buf key, value;
};

void lines_init(struct lines *l, FILE *file);
void lines_deinit(struct lines *l);

/* The next line into l->key and l->value. 1: there is one, 0: the end, negative: KV_E_MALFORMED (no tab, a
 * bad escape, an empty key: `l->number` says where; reading may go on), KV_E_IO. Empty lines are skipped. */
int lines_next(struct lines *l);

/* Appends a field with its escapes. */
int lines_escape(struct bytes field, struct buf *out);

/* Undoes the escapes of one field. KV_E_MALFORMED. */
int lines_unescape(struct bytes field, struct buf *out);

#endif
