/* What the tests of the checkers share: histories written by hand, and histories of a store that keeps its
 * promises. */
#ifndef TESTS_UNIT_SIM_CHECK_SUPPORT_H
#define TESTS_UNIT_SIM_CHECK_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/prng.h"
#include "kv_error.h"
#include "sim/check_history.h"

#define STORY_KEYS    "abcdefgh"
#define STORY_SKEW_NS 100u

/* The ops of a story are strict and ok unless told otherwise. Times in ns. */
enum {
    SLOPPY = 1,
    UNKNOWN = 2,
    REFUSED = 4,
};

/* Each returns the index of the operation. A value of NULL: absent. */
uint32_t put_at(struct history *h, uint32_t client, const char *value, uint64_t start, uint64_t end,
                int flags);
uint32_t del_at(struct history *h, uint32_t client, uint64_t start, uint64_t end, int flags);
uint32_t get_at(struct history *h, uint32_t client, const char *value, uint64_t start, uint64_t end,
                int flags);
uint32_t ttl_at(struct history *h, uint32_t client, const char *value, uint64_t ttl, uint64_t start,
                uint64_t end);
uint32_t final_get(struct history *h, const char *value); /* of the settled store, after all the others */

/* Later operations are on this key; at first it is "a". */
void story_key(struct history *h, const char *key);

/* An empty history, and the end of it. */
void story_begin(struct history *h);
void story_end(struct history *h);

typedef int (*checker_fn)(const struct history *h, const struct check_options *o, struct check_report *out);

/* The checker finds nothing. / It finds exactly one violation, of this rule, proved by these operations
 * (terminated by -1). Keys were absent before, clocks differ by STORY_SKEW_NS. */
void expect_clean(struct history *h, checker_fn check);
void expect_found(struct history *h, checker_fn check, enum check_rule rule, ...);

/* What a store does with which clients; all random choices come from the prng. */
struct store_load {
    uint32_t clients, keys, ops; /* at most 8 keys */
    uint32_t depth;              /* operations of one client in flight */
    uint32_t unknown_percent, del_percent, ttl_percent;
    bool sloppy;      /* gets may miss what is there, puts do not ask for the newest stamp */
    uint64_t skew_ns; /* clocks of clients and nodes differ by so much at most */
};

/* The history of an atomic store under that load, the final gets of all keys included: each operation takes
 * effect at a moment between its start and its end; one of which the outcome is unknown never, then, or much
 * later, under the stamp it was given. */
void record_atomic_store(struct history *h, const struct store_load *load, struct prng *prng);

/* Nothing wrong for any of the checkers; what they find is printed. */
void expect_all_clean(struct history *h, const struct check_options *o, uint64_t seed);

#endif
