/* What the files of this folder share.
 *
 *     paxos.c     create, the instance and its acceptors, dispatch      acceptor.c  promises and acceptances,
 * on disk proposer.c  rounds: prepare, accept, back off */
#ifndef PAXOS_INTERNAL_H
#define PAXOS_INTERNAL_H

#include "base/assert.h"
#include "base/prng.h"
#include "kv_error.h"
#include "model/id.h"
#include "paxos/paxos.h"

static inline int ballot_compare(struct ballot a, struct ballot b)
{
    if (a.round != b.round)
        return a.round < b.round ? -1 : 1;
    return (a.member > b.member) - (a.member < b.member);
}

/* No honest proposer comes near: rounds grow by one, and must never wrap around. */
#define ROUND_MAX (UINT64_MAX >> 8)

static inline bool ballot_is_none(struct ballot b)
{
    return b.round == 0;
}

static inline struct ballot ballot_later(struct ballot a, struct ballot b)
{
    return ballot_compare(a, b) < 0 ? b : a;
}

/* ---- acceptor.c */

/* What is on disk of an acceptor. */
struct acceptor_state {
    uint64_t epoch; /* the instance that it is about; 0: none */
    struct ballot promised;
    struct ballot accepted;
    struct blob *value; /* accepted; NULL: none */
};

/* A PREPARE or ACCEPT that waits for the disk. */
struct question {
    enum message_type type; /* MSG_NONE: none */
    struct endpoint from;
    uint64_t id;
    struct ballot ballot;
    struct blob *value;
};

struct acceptor {
    struct acceptor_state state;
    bool writing;
    uint64_t serial;            /* of the last write */
    struct acceptor_state next; /* being written */
    struct question asked;      /* what it is the answer to; MSG_NONE: of an instance that is over */
    struct question waiting;    /* to be looked at when that is done: the one of the highest ballot */
};

void acceptor_deinit(struct acceptor *a);
int acceptor_restore(struct acceptor *a, struct bytes state);
void acceptor_instance(struct paxos *p); /* p->epoch has changed */
void acceptor_question(struct paxos *p, const struct question *q, struct outbox *out);
void acceptor_written(struct paxos *p, const struct event *in, struct outbox *out);
/* The highest ballot that this acceptor has heard of. */
struct ballot acceptor_highest(const struct acceptor *a);
void acceptor_check(const struct paxos *p);

/* ---- proposer.c */

enum proposer_phase { PROPOSER_IDLE, PROPOSER_BACKOFF, PROPOSER_PREPARE, PROPOSER_ACCEPT, PROPOSER_DECIDED };

struct proposer {
    enum proposer_phase phase;
    struct ballot ballot;
    struct ballot seen;         /* the highest ballot of anybody */
    struct blob *wish;          /* what was asked for */
    struct blob *value;         /* what is proposed: the wish, or what an acceptor has accepted */
    struct ballot value_ballot; /* of that acceptance; none: it is the wish */
    bool *answered;             /* in this phase, by voter */
    uint32_t answers;
    bool wish_sent;     /* in an ACCEPT */
    uint64_t due_us;    /* BACKOFF: the next round; PREPARE, ACCEPT: the silent are asked again */
    uint32_t preempted; /* in a row */
    uint32_t retries;   /* in this phase */
};

void proposer_reset(struct proposer *r); /* keeps `answered` */
void proposer_propose(struct paxos *p, struct now now, struct blob *value, struct outbox *out);
void proposer_answer(struct paxos *p, struct now now, const struct message *m, struct outbox *out);
void proposer_tick(struct paxos *p, struct now now, struct outbox *out);
void proposer_check(const struct paxos *p);

/* ---- paxos.c */

struct paxos {
    uint32_t self;
    const char *meta;
    struct prng prng;
    uint64_t epoch; /* the instance; 0: none */
    uint32_t partitions, replicas;
    uint32_t *voters; /* ids, ascending */
    uint32_t voter_count;
    bool votes; /* this node is one of them */
    struct acceptor acceptor;
    struct proposer proposer;
    struct paxos_counters counters;
};

/* Index of a voter; voter_count: it is none. */
uint32_t paxos_voter(const struct paxos *p, uint32_t member);

static inline uint32_t paxos_majority(const struct paxos *p)
{
    return p->voter_count / 2 + 1;
}

/* Whether it is the encoding of a ring that this instance may decide on. KV_E_INVALID, KV_E_NO_MEMORY. */
int paxos_value_check(const struct paxos *p, const struct blob *value);

#endif
