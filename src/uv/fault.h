/* Faults on order, for tests and for lessons: drop, delay or duplicate what arrives from a named member, a
 * slow disk, a skewed wall clock. Only in a node that was started with --lab. A rule is applied where a
 * message arrives, because there both ends are known whatever carried it; so a cut in one direction is one
 * rule in one node. */
#ifndef UV_FAULT_H
#define UV_FAULT_H

#include "base/prng.h"
#include "model/message.h"

enum fault_kind {
    FAULT_LIST = 0,      /* change nothing, answer the rules in force */
    FAULT_DROP = 1,      /* percent of what arrives from `from` */
    FAULT_DELAY = 2,     /* by `amount` ms, percent of it */
    FAULT_DUPLICATE = 3, /* percent of it arrives twice */
    FAULT_SLOW_DISK = 4, /* every write takes `amount` ms longer */
    FAULT_SKEW = 5,      /* wall clock off by `amount` - 2^31 ms */
    FAULT_CLEAR = 6,     /* all rules, or those of `from` when it is not 0 */
};

#define FAULT_RULES_MAX    256u
#define FAULT_SKEW_ZERO    (UINT32_C(1) << 31)
#define FAULT_DELAY_MAX_MS 60000u

struct faults {
    uint32_t self;
    uint32_t count;
    struct msg_fault rules[FAULT_RULES_MAX];
    struct prng prng;
    uint32_t slow_disk_ms;
    int64_t skew_ms;
    uint64_t dropped, delayed, duplicated;
};

void faults_init(struct faults *f, uint64_t seed);

/* Carries out one order. KV_E_INVALID for an unknown kind or a number out of range, KV_E_OVERLOADED when the
 * table is full. A rule with the same kind and ends replaces the older one; percent 0 or amount 0 removes it.
 */
int faults_order(struct faults *f, const struct msg_fault *order);

struct verdict {
    bool drop;
    bool twice;
    uint32_t delay_ms;
};

/* What happens to a message from `member` (0: a client, never touched). */
struct verdict faults_judge(struct faults *f, uint32_t member);

#endif
