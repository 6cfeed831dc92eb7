/* Histories as files: every operation of a run, one JSON object a line, for the checkers (sim/history.h).
 *
 *   {"client":3,"op":"put","key":"k7","value":"c3-12","start_ns":…,"end_ns":…,"status":"ok"}
 *
 * `op` is get, put or del; `value` is what identifies the value: its text up to the first '.', behind which
 * the bench pads. Where it applies there is also `"strict":true` (with majorities), `"unknown":true` (a write
 * that failed and may have been applied) and `"ttl_ns":…`. Other members are ignored. */
#ifndef CMD_KVBENCH_HISTORY_H
#define CMD_KVBENCH_HISTORY_H

#include <stdio.h>

#include "sim/history.h"

#define HISTORY_TAG_MAX 48

struct history_line {
    uint32_t client;
    enum history_kind op;
    const char *key;
    const char *value; /* NULL: absent */
    uint64_t start_ns, end_ns, ttl_ns;
    int status; /* KV_OK, or KV_E_… */
    bool strict, unknown;
};

/* One line. Returns 0, or negative when the file cannot be written. */
int history_write(FILE *f, const struct history_line *line);

/* Reads a whole history; `visit` gets each line (borrowed) until it fails. KV_E_IO; KV_E_MALFORMED, or what
 * `visit` returned, with `*bad` the number of the line. */
int history_read(FILE *f, int (*visit)(const struct history_line *line, void *arg), void *arg, uint64_t *bad);

/* The same of a file by its name; what goes wrong is said on standard error. */
int history_read_file(const char *name, int (*visit)(const struct history_line *line, void *arg), void *arg);

/* Appends a line of file number `file` (from 0) to a history; clients of different files are kept apart.
 * `out` is what was appended. KV_E_MALFORMED: a client's number or times that cannot be. */
int history_enter(struct history *h, const struct history_line *line, uint32_t file, struct history_op *out);

/* What became of it: a get's answer is known or not, a write may also be surely not done. */
enum history_outcome history_outcome_of(const struct history_line *line);

/* The identifying part of a value, as text. */
const char *history_tag(const void *value, size_t len, char out[HISTORY_TAG_MAX]);

#endif
