/* What the checkers of histories share: one key's operations, and the questions that are asked of them. */
#ifndef SIM_CHECK_KEY_H
#define SIM_CHECK_KEY_H

#include "sim/check_history.h"

#define CHECK_NONE UINT32_MAX /* no operation; as a write: what the key held before the history began */

struct check_key {
    const struct history *history;
    const struct check_options *options;
    struct check_report *report;
    uint32_t number;
    uint32_t count;
    const uint32_t *ops; /* by start */
    uint32_t *writers;   /* by number of the value; ask check_writer */
};

/* Shows `look` every key of which every value was put once; the others are counted. The first failure ends
 * it. */
int check_each_key(const struct history *h, const struct check_options *o, struct check_report *out,
                   int (*look)(struct check_key *k, void *arg), void *arg);

/* Adds a violation. CHECK_NONE among the operations is left out, and so is what is there twice. */
void check_found(struct check_key *k, enum check_rule rule, const uint32_t *ops, uint32_t count);

static inline const struct history_op *check_op(const struct check_key *k, uint32_t op)
{
    return &k->history->ops[op];
}

/* The put of a value on this key; CHECK_NONE: nobody's. */
static inline uint32_t check_writer(const struct check_key *k, uint32_t value)
{
    return k->writers[value];
}

static inline bool check_is_acked(const struct history_op *op)
{
    return op->kind != HISTORY_GET && op->outcome == HISTORY_OK;
}

/* Whether write `a` must lose against write `b`. Stamps decide in the store, and a stamp is made between the
 * start and the end of its write, also when that ended in doubt. */
bool check_is_older(const struct check_key *k, uint32_t a, uint32_t b);

/* Something that may have made a key absent: a delete, or the expiry of a put. */
struct check_gone {
    uint64_t from_ns;  /* not before */
    uint64_t until_ns; /* a strict write that began later is surely newer */
    uint32_t op;
};

/* All of a key's, by `from_ns`; the caller frees it. `forever`: a write whose outcome is unknown may happen
 * at any time, however late (a register's law, where stamps do not count). KV_E_NO_MEMORY. */
int check_gone_list(const struct check_key *k, bool forever, struct check_gone **out, uint32_t *out_count);

/* How many of them may have happened by `ns`. */
uint32_t check_gone_by(const struct check_gone *gone, uint32_t count, uint64_t ns);

#endif
