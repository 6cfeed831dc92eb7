/* Leaderless consensus on the next ring: one instance of single-decree Paxos (Lamport, "Paxos Made Simple",
 * 2001, section 2.2) for each epoch. The acceptors of instance e+1 are exactly the members of ring e for whom
 * ring_value_votes holds, and each of them may propose; a value is chosen when a majority of them has
 * accepted it. There is exactly one ring of each epoch, so everybody agrees on who the acceptors of the next
 * are.
 *
 *     proposer                          acceptor
 *     PREPARE {ballot}        ------>   promises to accept nothing below it
 *                             <------   PROMISE {the value accepted so far, and its ballot}
 *     ACCEPT {ballot, value}  ------>   accepts, unless it promised a higher ballot
 *                             <------   ACCEPTED
 *                             <------   PREEMPTED {the ballot promised}, instead of either
 *
 * A promise and an acceptance are on disk (META_PAXOS) before they are answered. A proposer that hears of an
 * accepted value completes that one in place of its own. One that was preempted comes again after a random
 * time that grows; there is no leader to agree on, a pause is enough for one of several to finish.
 *
 * Who runs it tells the ring in force; the instance is the next epoch's, and what was known of the one before
 * is forgotten. What it cannot see here is the caller's part: that a question about a decided epoch is
 * answered with its ring, and that a decided value reaches everybody (node/change.c). */
#ifndef PAXOS_PAXOS_H
#define PAXOS_PAXOS_H

#include "model/outbox.h"
#include "model/ring_value.h"

#define PAXOS_RETRY_US       UINT64_C(300000)  /* who has not answered is asked again; doubled each time */
#define PAXOS_RETRY_MAX_US   UINT64_C(5000000) /* up to this */
#define PAXOS_BACKOFF_US     UINT64_C(50000)   /* preempted: a random pause up to this, doubled each time */
#define PAXOS_BACKOFF_MAX_US UINT64_C(3000000)

struct paxos;

/* `meta` is the static name under which the acceptor's state is stored. KV_E_NO_MEMORY. */
int paxos_create(uint32_t self, uint64_t seed, const char *meta, struct paxos **out);
void paxos_destroy(struct paxos *p);

/* What a former life stored; before the first paxos_ring_set. KV_E_CORRUPT, KV_E_NO_MEMORY. */
int paxos_restore(struct paxos *p, struct bytes state);

/* The ring in force: nothing is kept of an instance that is not the next epoch's. KV_E_NO_MEMORY: all is as
 * before. */
int paxos_ring_set(struct paxos *p, const struct ring_value *ring);

/* Proposes a value, the encoding of a ring of the next epoch, until one is decided: this one or another.
 * Takes a reference of its own. KV_E_BUSY: one is proposed already, or decided; KV_E_NOT_MEMBER: this node is
 * no acceptor; KV_E_INVALID: not a value of this instance. */
int paxos_propose(struct paxos *p, struct now now, struct blob *value, struct outbox *out);

/* Proposes no longer. Returns whether the value may be chosen all the same, because an acceptor was asked to
 * accept it.
 */
bool paxos_withdraw(struct paxos *p);

bool paxos_proposing(const struct paxos *p);

/* The value that is known to be chosen; NULL: none. Borrowed until the next paxos_ring_set. */
struct blob *paxos_decided(const struct paxos *p);

/* The value that this node has accepted; NULL: none. It may be chosen without anybody knowing, when its
 * proposer died: who proposes it again finds out. Borrowed until the next call. */
struct blob *paxos_accepted(const struct paxos *p);

/* PREPARE, ACCEPT (answered on `from`); PROMISE, ACCEPTED, PREEMPTED. m->from is the sender. Those of another
 * instance are ignored. */
void paxos_message(struct paxos *p, struct now now, struct endpoint from, const struct message *m,
                   struct outbox *out);

/* EV_STORE_WRITTEN of the acceptor's state (ID_PAXOS). */
void paxos_written(struct paxos *p, const struct event *in, struct outbox *out);

void paxos_tick(struct paxos *p, struct now now, struct outbox *out);
uint64_t paxos_deadline_us(const struct paxos *p);

struct paxos_counters {
    uint64_t rounds, promises, acceptances, preempted, decisions;
    uint64_t ignored; /* of another instance, from no acceptor, or of a value that makes no sense */
};
struct paxos_counters paxos_counters(const struct paxos *p);

/* Asserts the invariants. */
void paxos_check(const struct paxos *p);

#endif
