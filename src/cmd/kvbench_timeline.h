/* The arithmetic of availability over time: what a recorded history says about each tenth of a second, and
 * about each phase of an experiment.
 *
 * An operation belongs to the moment at which it began. It was answered when its client got what it asked
 * for; a get that found nothing although a put of the key had been acknowledged before was not (`missed`). A
 * get that was answered with something older than what had been acknowledged before it began is `stale`; it
 * counts as answered. */
#ifndef CMD_KVBENCH_TIMELINE_H
#define CMD_KVBENCH_TIMELINE_H

#include "sim/history.h"

/* A phase is over its fault when nothing that began later failed, and so much of it was left to show that. */
#define TIMELINE_QUIET_NS UINT64_C(500000000)
#define TIMELINE_NEVER    UINT64_MAX

enum timeline_verdict { TIMELINE_ANSWERED, TIMELINE_STALE, TIMELINE_MISSED, TIMELINE_FAILED };

/* A span of time, [begin, end), and what became of the operations that began in it. */
struct timeline_span {
    uint64_t begin_ns, end_ns;
    uint64_t ops, failed, missed, stale;
    uint64_t p50_us, p99_us, max_us; /* of those answered; 0: none was */
    uint64_t recovery_ns;            /* from the begin until the last that failed or missed had ended; 0: none
                                        did; TIMELINE_NEVER: some did until the end */
    uint64_t gap_ns;                 /* the longest time in which nothing that was answered ended */
};

struct timeline_op {
    uint64_t start_ns, end_ns;
    enum timeline_verdict verdict;
};

struct timeline {
    struct timeline_op *ops; /* by start */
    uint64_t *answered_ns;   /* the ends of those that were answered, ascending */
    size_t count, answered_count;
};

/* Judges every operation of a history, and sorts it. Sloppy puts of different clients that are closer than
 * `skew_ns` are not ordered, so nothing is stale by them. Keys that were deleted, or expire, are not judged:
 * their gets are answered or failed. KV_E_NO_MEMORY; then there is nothing to deinit. */
int timeline_init(struct timeline *t, struct history *h, uint64_t skew_ns);
void timeline_deinit(struct timeline *t);

/* Fills in a span whose begin and end are given. KV_E_NO_MEMORY. */
int timeline_measure(const struct timeline *t, struct timeline_span *span);

/* The part of the operations that were answered, in percent; 100 when there were none. */
double timeline_available_percent(const struct timeline_span *span);

#endif
