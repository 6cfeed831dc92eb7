/* One run: a cluster, a workload, faults, and the verdict. The same configuration gives the same run, event
 * for event, in every build.
 *
 *     forming    the founders find each other; one seed in five has them do it under faults
 *     safety     whatever faults the seed chooses, at any time; or a scenario's script
 *     liveness   everything heals, and the cluster must come to rest within a bound of virtual time
 *
 * Invariants:
 *     formed     a ring is there in time                    members    after healing everybody sees everybody
 *     alive      no node leaves by itself                   converged  all homes of all keys are equal
 *     placed     hints have come where they belong          purged     no dead row is left anywhere
 *     bounded    every request ends; nothing is left over   clock      no node's word of it goes back
 *     settled    what was told strictly is on disks         crossed    nobody answers for another ring
 *     risen      what was purged does not come back         stamped    a put has one stamp
 *     scenario   what a script expects
 *     durable, own, linear, absent: of what clients saw, in check_history.h
 *
 * What disks have lost is taken into account: a key of which a disk lost a row promises nothing but
 * *durable*, and nothing at all when as many disks lost one as acknowledge a put. */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/fault.h"

struct scenario;

struct run_config {
    uint64_t seed;
    uint32_t nodes;   /* 0: 3 to 9, by the seed */
    uint32_t classes; /* of faults that the seed may choose from; 0: none */
    uint32_t ops;     /* of the workload */
    uint32_t seconds; /* of virtual time in which faults happen */
    enum topology topology;
    const struct scenario *scenario; /* NULL: faults instead */
    void (*log)(uint32_t node, uint64_t now_us, const char *text);
};

struct run_result {
    const char *invariant; /* the violated one; NULL: none */
    struct buf story;      /* what shows it, in lines */
    uint64_t trace;
    uint64_t virtual_us;
    uint64_t settled_us; /* from healing until everybody saw everybody */
    uint32_t nodes;
    uint32_t classes; /* chosen */
    uint64_t ops, ops_ok;
    uint64_t judged; /* keys and gets that the checkers had something to say about */
    struct tally tally;
};

/* The caller frees `story`. */
void run_seed(const struct run_config *config, struct run_result *out);
void run_result_deinit(struct run_result *r);

/* "durable", …; NULL behind the last. */
extern const char *const run_invariants[];
extern const char *const run_invariant_texts[];

#endif
