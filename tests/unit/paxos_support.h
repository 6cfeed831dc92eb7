/* For the tests of paxos/: members with a disk each, and a network that loses, doubles and reorders. */
#ifndef TESTS_UNIT_PAXOS_SUPPORT_H
#define TESTS_UNIT_PAXOS_SUPPORT_H

#include "paxos/internal.h"

enum { WORLD_MEMBERS = 7, WORLD_MAIL = 4096, WORLD_EPOCHS = 256, WORLD_BALLOTS = 8192 };

struct mail {
    uint32_t from, to;
    bool answer;
    struct message message; /* owns its blob */
};

struct machine {
    struct paxos *paxos; /* NULL: it does not run */
    struct buf disk;     /* what is durable; empty: nothing */
    struct buf unsynced; /* of the write under way */
    uint64_t op;         /* of it; 0: none */
    uint64_t epoch;      /* of the ring adopted, which survives */
};

/* Who has ever accepted a ballot: what was overwritten since counts too. */
struct acceptance {
    uint64_t epoch;
    struct ballot ballot;
    struct blob *value;
    bool by[WORLD_MEMBERS + 1];
};

struct world {
    struct prng prng;
    struct now now;
    struct outbox out;
    struct machine machines[WORLD_MEMBERS + 1]; /* by id */
    struct mail mail[WORLD_MAIL];
    uint32_t mail_count;
    uint32_t loss_percent, double_percent;
    struct blob *chosen[WORLD_EPOCHS]; /* by epoch: as the oracle sees it, or the founders' */
    struct acceptance acceptances[WORLD_BALLOTS];
    uint32_t acceptance_count;
    uint64_t newest;  /* epoch that is chosen */
    uint32_t started; /* lives so far */
};

/* A ring of members 1..count of equal weight. Different `tag`s make different values. */
struct blob *ring_blob(uint64_t epoch, uint32_t count, uint32_t tag);

struct world *world_create(uint64_t seed, uint32_t members);
void world_destroy(struct world *w);
void world_start(struct world *w, uint32_t id);
/* Loses what is not on disk; what is on its way to it arrives there or not. */
void world_crash(struct world *w, uint32_t id);
int world_propose(struct world *w, uint32_t id, struct blob *value);
void world_withdraw(struct world *w, uint32_t id);
/* One letter is delivered, lost or doubled; one write ends; one deadline comes. Returns false: nothing to do.
 */
bool world_deliver(struct world *w, uint32_t index);
void world_sync(struct world *w, uint32_t id, int status);
void world_tick(struct world *w, uint32_t id);
/* The node learns of the newest ring. */
void world_adopt(struct world *w, uint32_t id, uint64_t epoch);
/* Everything in order, without faults, until nothing is under way. */
void world_settle(struct world *w);

#endif
