/* How operations ended, counted by kind, and whether a run that measured them was one at all: where not a
 * single operation succeeded there is nothing to measure, only something to mend. */
#ifndef CMD_KVBENCH_TALLY_H
#define CMD_KVBENCH_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "cmd/common_exit.h"

enum bench_status {
    BS_OK,
    BS_NOT_FOUND,
    BS_UNAVAILABLE,
    BS_TIMEOUT,
    BS_OVERLOADED,
    BS_REFUSED,
    BS_NO_NODE,
    BS_COUNT
};
extern const char *const BENCH_STATUS_WORDS[BS_COUNT];
enum bench_status bench_status_of(int status);

#define BENCH_REASON_MAX 160u

/* All zero: nothing has ended yet. */
struct bench_tally {
    uint64_t ops; /* ended, however */
    uint64_t by_status[BS_COUNT];
    char reason[BS_COUNT][BENCH_REASON_MAX]; /* why the first of each kind failed */
};

/* `count` operations ended so. `reason` may be a server's own words: only its first line is kept, and of that
 * what can be printed. */
void bench_tally_add(struct bench_tally *t, enum bench_status status, uint64_t count, struct bytes reason);

uint64_t bench_tally_failed(const struct bench_tally *t);

/* EXIT_OK when anything succeeded (an absent key is an answer too) or nothing was tried. Else what most of
 * the operations met, of equals the first, with a sentence of why. */
enum exit_status bench_tally_verdict(const struct bench_tally *t, char *sentence, size_t size);

/* The first line of what a server said into `out` (at least one byte), without what cannot be printed. */
void bench_first_line(struct bytes said, char *out, size_t size);

#endif
