/* What run.c, verify.c and the scenarios share. */
#ifndef SIM_RUN_INTERNAL_H
#define SIM_RUN_INTERNAL_H

#include "sim/internal.h"
#include "sim/operator.h"
#include "sim/rings.h"
#include "sim/run.h"
#include "sim/scenario.h"

#define SETTLE_LIMIT_US UINT64_C(60000000)  /* after healing: until everybody sees everybody */
#define RING_LIMIT_US   UINT64_C(600000000) /* … until all changes of the ring are made, or undone */
#define REVIVE_US       UINT64_C(1000000)   /* … between two starts of who leaves by itself */
#define HINTS_LIMIT_US  UINT64_C(60000000)  /* … until all hints are handed over */
#define YOUNG_LIMIT_US  UINT64_C(120000000) /* … until clocks have passed all stamps: none is so far ahead */
#define EQUAL_LIMIT_US \
    (3 * SIM_REPAIR_ROUND_US) /* … until all homes are equal: two rounds, and what is left */
#define EQUAL_LOOK_US UINT64_C(500000)
#define PURGED_LIMIT_US                                                                                      \
    (2 * SIM_REPAIR_ROUND_US + UINT64_C(60000000)) /* … and nobody has any dead row, where they are purged \
                                                    */
#define DRAIN_LIMIT_US UINT64_C(20000000)          /* … until what was asked has ended */
#define STAY_US        UINT64_C(4000000)           /* and so long it must stay so */
#define STAY_LOOK_US   UINT64_C(50000)

struct run {
    const struct run_config *config;
    struct run_result *result;
    struct sim *sim;
    uint32_t founders;
    uint32_t nodes; /* processes: founders, and those that may join */
    bool early;     /* faults begin before the cluster is formed */
    bool purges;    /* rows grow old so soon that dead ones are purged while faults happen */
    bool repairs;   /* homes compare what they have all the time, and not only in the end, when asked */
    struct witness witness;
    struct workload *workload;
    struct faults *faults;
    struct workload_answer answer; /* to the scenario's latest request */
    uint64_t revive_us;            /* who has left by itself is started again, not before */
};

/* The first violation is the verdict; the later ones are its consequences. */
void run_violated(struct run *r, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline bool run_failed(const struct run *r)
{
    return r->result->invariant != NULL;
}

/* Whether every live member sees every member as it is. */
bool run_settled(struct sim *s, void *run);

/* Liveness, and the checkers. */
void run_verify(struct run *r);

#endif
