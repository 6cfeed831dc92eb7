/* Histories: every operation of a run, one JSON object a line, for checkers.
 *
 *   {"client":3,"op":"put","key":"k7","value":"c3-12","start_ns":…,"end_ns":…,"status":"ok"}
 *
 * `value` is what identifies the value: its text up to the first '.', behind which the bench pads. */
#ifndef CMD_KVBENCH_HISTORY_H
#define CMD_KVBENCH_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HISTORY_TAG_MAX 48

enum history_op { HISTORY_GET, HISTORY_PUT, HISTORY_DEL };

struct history_line {
    uint32_t client;
    enum history_op op;
    const char *key;
    const char *value; /* NULL: absent */
    uint64_t start_ns, end_ns;
    int status;
    bool strict;
};

/* One line. Returns 0, or negative when the file cannot be written. */
int history_write(FILE *f, const struct history_line *line);

/* Reads a whole history; `visit` gets each line (borrowed). KV_E_IO, KV_E_MALFORMED with `*bad` the number of
 * the line. */
int history_read(FILE *f, void (*visit)(const struct history_line *line, void *arg), void *arg,
                 uint64_t *bad);

/* The identifying part of a value, as text. */
const char *history_tag(const void *value, size_t len, char out[HISTORY_TAG_MAX]);

#endif
