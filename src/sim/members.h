/* The membership alone: up to MEMBERS_SIM_MAX real `struct swim`, or `struct hub`, on a virtual clock, with
 * no nodes and no stores around them. Every datagram and every push-pull goes through the codec of wire/ and
 * is counted as the bytes that it makes. What can go wrong: packets are lost and late, members crash and
 * pause.
 *
 * Everything is drawn from one seed; the same calls give the same run. Memory that runs out is an assert: a
 * simulation has no use for going on. Member i (1..nodes) has id i and lives at 127.0.0.1:10000+i. */
#ifndef SIM_MEMBERS_H
#define SIM_MEMBERS_H

#include "sim/roster.h"

#define MEMBERS_SIM_MAX 2000u

struct members_config {
    uint32_t nodes; /* 2..MEMBERS_SIM_MAX */
    uint64_t seed;
    enum topology topology;  /* with a hub: it is member 1, and they are MEMBERS_MAX at most */
    struct swim_config swim; /* self, generation, addr and seed are set here */
    uint32_t loss_percent;   /* of datagrams; push-pull travels over TCP */
    uint64_t delay_min_us;
    uint64_t delay_max_us;
};

/* What memberlist has for a local network, as in the published figures: interval 1 s, time-out 0.5 s,
 * suspicion multiplier 4. */
struct swim_config members_memberlist_config(void);

/* Since the simulation began. Of the wire, not of IP and UDP: payload. */
struct members_traffic {
    uint64_t datagrams;
    uint64_t datagram_bytes;
    uint64_t
        gossips;    /* piggy-backed on them, what each says of itself not counted; entries of a hub's lists */
    uint64_t syncs; /* messages of push-pull; of a hub's list */
    uint64_t sync_bytes;
};

/* Of one crash. */
struct members_detection {
    uint64_t first_us; /* from the crash to the first member that calls it dead */
    uint64_t all_us;   /* ... to the last */
};

struct members;

/* All are up and have met long ago: each knows all others, and nothing is left to tell. */
struct members *members_create(const struct members_config *config);
void members_destroy(struct members *w);

void members_loss(struct members *w, uint32_t percent);
void members_run(struct members *w, uint64_t us);
uint64_t members_now_us(const struct members *w);

/* Runs until nothing is left to tell; false: not within `limit_us`. */
bool members_settle(struct members *w, uint64_t limit_us);

/* Ends a member without a word and runs until all others call it dead. False: not within `limit_us`. */
bool members_crash(struct members *w, uint32_t member, uint64_t limit_us, struct members_detection *out);

/* A new life of a member that crashed. */
void members_restart(struct members *w, uint32_t member);

/* SIGSTOP and SIGCONT. What comes meanwhile waits in a socket's buffer of usual size; the rest is lost. */
void members_pause(struct members *w, uint32_t member);
void members_resume(struct members *w, uint32_t member);

/* Members 1..count pause again and again for `pause_us`, each at times of its own, with 0.1 to 2 s between
 * in which it works off what has gathered. Runs for `duration_us`, then lets all go on. */
void members_run_pausing(struct members *w, uint32_t count, uint64_t pause_us, uint64_t duration_us);

struct members_traffic members_traffic(const struct members *w);
uint64_t members_sent_bytes(const struct members *w, uint32_t member); /* datagrams and streams */

/* How often one member called another one dead that ran and had never been paused or ended: every view of
 * it counts, so that one mistake that all believe counts nodes - 1 times. */
uint64_t members_false_deaths(const struct members *w);

/* Mistakes: (member, incarnation) pairs among those. */
uint64_t members_false_burials(const struct members *w);

/* How often one that had been paused was called dead: the fault was noticed. */
uint64_t members_paused_deaths(const struct members *w);

/* Suspicions of members that ran. */
uint64_t members_false_suspicions(const struct members *w);

/* A hash of all that was sent and believed: the same seed gives the same. */
uint64_t members_trace(const struct members *w);

#endif
