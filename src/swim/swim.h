/* Membership: who is alive. SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey
 * 2017): random round-robin probes, indirect probes, suspicion with refutation, piggy-backed
 * dissemination, local health, dynamic suspicion time-outs, and a periodic push-pull of the whole table
 * over TCP. The dead go on being probed, slowly, so that islands heal by themselves.
 *
 * It decides nothing about data: being dead (cannot be reached) and being out of the ring are different
 * things. Who the members are is told by the ring (swim_add, swim_remove); gossip about ids that are not
 * members is ignored.
 *
 * Pure: time and randomness are given. Outputs are EF_DATAGRAM (probes), EF_SEND of SYNC to a peer, and
 * changes to be fetched with swim_next_change. Cluster, and that a sender is who it says, are checked by
 * the caller. */
#ifndef SWIM_SWIM_H
#define SWIM_SWIM_H

#include "model/outbox.h"

/* To be stepped with swim_tick at swim_deadline_us. When a call comes much later than that, this process
 * did not run meanwhile (SIGSTOP, a machine asleep): then it blames nobody but itself, see swim.c.
 *
 * The trade-off of each is the paper's: shorter is faster to detect and costs more packets and more false
 * alarms. */
struct swim_config {
    uint32_t self;
    uint64_t generation; /* of this process: grows at each start, synced before it speaks */
    struct addr addr;
    uint64_t seed;
    uint64_t probe_interval_us;       /* T': one probe per period */
    uint64_t probe_timeout_us;        /* direct answer expected within; must be below the deadline */
    uint64_t probe_deadline_us;       /* no answer at all by then: suspected; at most the interval */
    uint32_t indirect_probes;         /* k */
    uint32_t suspicion_mult;          /* min suspicion = mult x max(1, log10 n) x deadline (Lifeguard 4.2) */
    uint32_t suspicion_max_mult;      /* max suspicion = this x min, when nobody else suspects */
    uint32_t suspicion_confirmations; /* independent suspicions that bring it down to min */
    uint32_t retransmit_mult;         /* an update is piggy-backed mult x ceil(log10(n + 1)) times */
    uint64_t gossip_interval_us;      /* while there is news: to k others each, at most so often */
    uint32_t awareness_max;           /* local health multiplier is at most this (Lifeguard 4.1) */
    uint64_t sync_interval_us;        /* push-pull with one random member */
    uint64_t dead_probe_interval_us;  /* one of the dead is probed this often */
};

/* The defaults for a member of `cluster.sh`. */
struct swim_config swim_config_default(void);

struct swim;

/* KV_E_INVALID: no id, generation 0, a time-out not below the deadline, ...; KV_E_NO_MEMORY. */
int swim_create(const struct swim_config *config, struct swim **out);
void swim_destroy(struct swim *s);

/* Tells of a member of the ring (not self). A new one starts as suspect-free but unproven: dead until
 * first heard of with `alive` false, alive with true (a founder that is just starting is unproven). Again
 * with another address: moves it unless gossip already told of a newer one. KV_E_NO_MEMORY. */
int swim_add(struct swim *s, struct now now, uint32_t member, const struct addr *addr, bool alive);
void swim_remove(struct swim *s, uint32_t member);

/* PING, PING_REQ, ACK, NACK. `from` is where the datagram came from. Unknown senders are ignored and
 * counted. */
void swim_datagram(struct swim *s, struct now now, const struct addr *from, const struct message *m,
                   struct outbox *out);

/* SYNC (answered on `from`) and SYNC_REPLY. */
void swim_sync(struct swim *s, struct now now, struct endpoint from, const struct message *m,
               struct outbox *out);

/* A member said HELLO over TCP, or answered ours: first-hand proof that this generation of it is alive. A new
 * generation is alive at once. One that we called dead is told so at once and refutes it: only its own higher
 * incarnation convinces everybody else too. An older generation is ignored and counted. */
void swim_heard(struct swim *s, struct now now, uint32_t member, uint64_t generation,
                const struct addr *addr);

/* A TCP connection to the member broke: no proof of anything, but a reason to probe it now and not when it is
 * its turn. Where a process is killed all hear of that at once, and their suspicions confirm each other. */
void swim_lost(struct swim *s, struct now now, uint32_t member);

/* Nothing of what it knows now is news any more: for simulations of members that have met long ago. */
void swim_hush(struct swim *s);

/* Tells the others that we leave (graceful stop): broadcasts `left`, at once, to as many as `out` has
 * room for. */
void swim_leave(struct swim *s, struct now now, struct outbox *out);

void swim_tick(struct swim *s, struct now now, struct outbox *out);
uint64_t swim_deadline_us(const struct swim *s);

/* KV_E_NOT_FOUND for a stranger. Self is alive. */
int swim_lookup(const struct swim *s, uint32_t member, struct member_view *out);

/* Changes of state, generation or address since the last call, oldest first. False: none left. Bounded: a
 * member has at most one pending change, the latest. */
bool swim_next_change(struct swim *s, struct member_change *out);

struct swim_counters {
    uint64_t probes, acks, nacks, indirect_probes, suspicions, deaths, refutations, syncs;
    uint64_t ignored;   /* from or about strangers */
    uint32_t awareness; /* local health now: 0 is healthy */
};
struct swim_counters swim_counters(const struct swim *s);

/* The invariants: self is alive; a suspect has a running timer; queue and changes are bounded. Asserts. */
void swim_check(const struct swim *s);

#endif
