/* Checkers of histories: what the store promises its clients (DESIGN sections 3 and 6), tried on what the
 * clients saw. Pure: they look at a sorted history and at nothing else. What they find is wrong, whatever the
 * clocks did within the stated bounds; not all that is wrong can be seen from outside.
 *
 *     linear    a key whose operations are all strict is one register: some order of its operations, each
 *               somewhere between its start and end, explains every answer
 *     own       a strict get by a client gives its last acknowledged strict put, or something newer, and
 *               nothing older than what it has read before
 *     absent    what was deleted or expired does not come back
 *     durable   in the end, every acknowledged put is there or was overwritten by a later one
 *     scanned   a complete scan misses no key that was strictly put before it began
 *
 * A violation is the few operations that prove it. */
#ifndef SIM_CHECK_HISTORY_H
#define SIM_CHECK_HISTORY_H

#include "sim/history.h"

#define CHECK_PROOF_MAX 6u
#define CHECK_SHOWN_MAX 20u /* violations kept by a report; the others are counted */

struct check_options {
    /* Two writes of different clients that did not overlap are ordered by the store only if they were further
     * apart than this, unless both were strict and the older one acknowledged (DESIGN section 3). */
    uint64_t skew_ns;
    /* A row may die this much before or after its time, by the wall clocks of nodes and clients. */
    uint64_t expiry_slack_ns;
    /* Every key was absent before the history began. Without it, a value that nobody put is taken to be from
     * before, and only a second one of the same key is held against the store. */
    bool blank;
};

enum check_rule {
    CHECK_LINEAR_NOBODY,  /* a value that nobody put */
    CHECK_LINEAR_REFUSED, /* a value of a put that surely did nothing */
    CHECK_LINEAR_FUTURE,  /* a value before its put began */
    CHECK_LINEAR_ABSENT,  /* absent, with no delete since a put that was there */
    CHECK_LINEAR_ORDER,   /* contradictory orders of two values */
    CHECK_OWN_OLDER,      /* older than the client's own put */
    CHECK_OWN_BACK,       /* older than what the client had read */
    CHECK_ABSENT_DELETED, /* put before an acknowledged delete, and there again */
    CHECK_ABSENT_GONE,    /* there, then absent, then there again */
    CHECK_ABSENT_EXPIRED, /* there after its time */
    CHECK_DURABLE_ABSENT, /* an acknowledged put, and the key is absent in the end */
    CHECK_DURABLE_OLDER,  /* an acknowledged put, and the key holds an older one in the end */
    CHECK_DURABLE_NOBODY, /* an acknowledged put, and the key holds what nobody put in the end */
    CHECK_RULES
};

struct check_violation {
    uint8_t rule; /* enum check_rule */
    uint8_t count;
    uint32_t key;
    uint32_t ops[CHECK_PROOF_MAX]; /* indexes into the history, by start */
};

struct check_report {
    uint64_t judged;  /* keys (linear, durable), gets (own, absent) that there was something to say about */
    uint64_t skipped; /* keys left alone because a value was put twice */
    uint64_t found;   /* violations */
    uint32_t shown_count;
    struct check_violation shown[CHECK_SHOWN_MAX]; /* the first of them */
};

/* Each fills a report. The history is sorted. KV_E_NO_MEMORY. */
int check_linear(const struct history *h, const struct check_options *o, struct check_report *out);
int check_own(const struct history *h, const struct check_options *o, struct check_report *out);
int check_absent(const struct history *h, const struct check_options *o, struct check_report *out);
int check_durable(const struct history *h, const struct check_options *o, struct check_report *out);

/* A scan that was complete: of all keys that begin with `prefix`. */
struct history_scan {
    uint64_t start_ns;
    struct bytes prefix;
    const bool *seen; /* by number of the key */
};

/* The first key that it has missed; HISTORY_NO_NAME: none. Returns how many were looked for. */
uint64_t check_scanned(const struct history *h, const struct history_scan *s, uint32_t *missed);

/* A violation for people: a line that names it and the key, and one for each of its operations. */
int check_text(const struct history *h, const struct check_violation *v, struct buf *out);

/* What a rule says was broken: "the key is absent, but …". */
const char *check_rule_text(enum check_rule rule);

#endif
