/* Purging dead rows (tombstones, and rows that have expired) on proof, never on a timer (DESIGN section 7).
 *
 * What must not happen: all homes have forgotten that a key was deleted, and an older row of it, from
 * somewhere, comes back to them. So a row goes only when no older one is left anywhere in the ring, nor on
 * its way. The first home of a partition drives the rounds, each for a page of its dead rows:
 *
 *     LIST    it reads its own dead rows
 *     SAME    every home: I have exactly this row, and no transfer or anti-entropy is open on the partition
 *     NONE    every other member: I have neither row nor hint of this key. It watches the key from now on
 *     WAIT    until all clocks are row_age_max_ms past all that was answered so far
 *     STILL   every home: I still have exactly this row. Every other: no row of this key has come since
 *     DELETE  every home: deleted, if it is still this row
 *
 * A key that fails a step drops out, the others go on. All members must answer; silence, another ring, a
 * member that restarted stop the round, and it costs nothing but another one later.
 *
 * Why nothing is left. An older row could be: at rest at a home: no, a home has the newer one since SAME, and
 * rows of a home only grow. At rest at another member: not at NONE, and what came to it later it would have
 * seen. In the memory of a request or on its way: then its `began_hlc` (when its content was read, or its
 * request began) is below the clock that some member had when it was asked. Everybody's clock is asked for,
 * and whoever answers STILL has a clock of its own that is row_age_max_ms past the largest of them: whatever
 * began before is refused there from then on, also after a restart, since that clock is one that never goes
 * back (it is below the floor on disk). A row that somebody read later, it read at a member that had it
 * later. So after the last STILL there is no older row, and none can ever be taken again: DELETE may come as
 * late as it wants. It is by this that nobody has to be asked for unfinished requests; the member's own clock
 * is the proof, not the time that was waited, so clocks may differ.
 *
 * What each step rules out: SAME: a home that missed the delete, or has a newer put. NONE: what waits at a
 * fallback, however long. The watch: a row that goes from member to member behind the back of the questions:
 * a fallback answers, and only then is sent a late put's row with a hint, which it would hand over, read
 * afresh, long after the wait. WAIT: a message or a request that is slow; a client that tries an old put
 * again (which began, at the latest, at its stamp). STILL: a put in between; a home whose disk lost what was
 * not synced; a watch that a restart forgot. The compare in DELETE: a put after STILL. A round asks under one
 * epoch of a STABLE ring: a home that joins or leaves meanwhile ends it.
 *
 * A home that misses its DELETE keeps a dead row: anti-entropy brings it back to the others, its partition is
 * marked by that, and the next round deletes it everywhere. It ends because a round in which all answer
 * leaves none, and no round brings back anything but dead rows. Between STILL and DELETE anti-entropy is held
 * off the partition, so that it does not do so for nothing.
 *
 * Where dead rows are is not searched for: each that is written marks its partition with the time from which
 * on it is dead. A start, or a ring under which this node drives other partitions than before, marks those to
 * be looked at once, spread over PURGE_SPREAD intervals. Bounded: rounds, the bytes of their keys, rounds
 * that talk at once, pages read a second; keys watched, holds of a partition. */
#ifndef REPAIR_PURGE_H
#define REPAIR_PURGE_H

#include "model/outbox.h"
#include "ring/ring.h"

#define PURGE_INTERVAL_US    UINT64_C(60000000)  /* default: from a delete to the look for it */
#define PURGE_SPREAD         10u                 /* intervals: the first looks of a start take this long */
#define PURGE_PACE_US        UINT64_C(10000)     /* between two pages of headers, or looks */
#define PURGE_ANSWER_US      UINT64_C(5000000)   /* after this a member is silent */
#define PURGE_LAG_US         UINT64_C(500000)    /* one whose clock is not there yet is asked again */
#define PURGE_LAG_MAX_US     UINT64_C(30000000)  /* ... not longer than this */
#define PURGE_WATCH_US       UINT64_C(150000000) /* a watch that nobody asks for again is dropped */
#define PURGE_HOLD_US        UINT64_C(10000000)  /* a hold that no DELETE ends does */
#define PURGE_HOLDS_MAX      64u /* of one partition: rounds that ended before their DELETE leave one */
#define PURGE_MARGIN_MS      (2 * CLOCK_DRIFT_MAX_MS) /* that two clocks may differ by, and more */
#define PURGE_PAGE_BYTES     (32u << 10)              /* of keys in one round */
#define PURGE_ROUNDS_MAX     1024u
#define PURGE_HELD_MAX_BYTES (UINT64_C(8) << 20) /* of keys in all rounds */
#define PURGE_TALKING_MAX    8u                  /* rounds with something under way; the others wait */
#define PURGE_ASKS_MAX       256u                /* questions that the store is looking into */
#define PURGE_WATCHED_MAX    (1u << 20)          /* keys */
#define PURGE_BACKOFF_MAX    4u /* a partition where nothing can be purged is looked at half as often, .. */

struct purge;

struct purge_config {
    uint32_t self;
    uint64_t interval_us;    /* 0: PURGE_INTERVAL_US */
    uint32_t row_age_max_ms; /* every member refuses rows read longer ago than this: the same for all */
};

/* One call: what time it is, on all clocks. */
struct purge_turn {
    struct now now;
    uint64_t hlc;  /* now on the hybrid clock */
    uint64_t said; /* ... or its durable floor, when that is lower: it never goes back */
    struct outbox *out;
};

int purge_create(const struct purge_config *config, struct purge **out);
void purge_destroy(struct purge *p);

/* Borrowed until the next call. Ends all rounds and forgets all watches. KV_E_NO_MEMORY. */
int purge_ring_set(struct purge *p, const struct purge_turn *t, const struct ring *ring);

/* All other members must be reachable for a round. */
void purge_peer_set(struct purge *p, const struct purge_turn *t, uint32_t member, bool reachable);

/* A row on its way into this store, whoever sent it: told for each, when it is given to the store. `row` may
 * be without its payload. */
void purge_wrote(struct purge *p, const struct purge_turn *t, struct bytes key, const struct row *row);

/* MSG_PURGE from `member` under this node's own ring epoch. `busy`: a transfer or anti-entropy is open on the
 * partition here. The answer goes to `from`, maybe at once. */
void purge_asked(struct purge *p, const struct purge_turn *t, struct endpoint from, uint32_t member,
                 bool busy, const struct message *m);

/* MSG_PURGE_REPLY; late and duplicate ones are ignored. */
void purge_answered(struct purge *p, const struct purge_turn *t, uint32_t member, const struct message *m);

/* EV_STORE_PAGE, EV_STORE_HAS and EV_STORE_WRITTEN of ID_PURGE's operations. */
void purge_stored(struct purge *p, const struct purge_turn *t, const struct event *in);

void purge_tick(struct purge *p, const struct purge_turn *t);
uint64_t purge_deadline_us(const struct purge *p);

/* Partitions that anti-entropy has to keep off, until it may return as often: to be asked after each call
 * above but purge_wrote. False: no more of them. */
bool purge_hold_changed(struct purge *p, uint32_t *partition, bool *held);

/* Why a round ended. */
enum purge_end {
    PURGE_DONE,      /* all that was left was deleted, by all homes */
    PURGE_EMPTY,     /* no key was left */
    PURGE_RING,      /* another ring */
    PURGE_SILENCE,   /* a member was lost or did not answer */
    PURGE_BUSY,      /* transfer or anti-entropy on the partition */
    PURGE_CLOCK,     /* a clock did not come */
    PURGE_FORGOTTEN, /* a member has restarted */
    PURGE_REFUSED,   /* a member or a store could not, for lack of room or memory */
    PURGE_ENDS
};

struct purge_counters {
    uint64_t rounds;           /* begun */
    uint64_t ends[PURGE_ENDS]; /* by why */
    uint64_t seen;             /* dead rows that were listed */
    uint64_t purged;           /* rows that were deleted here */
    uint64_t differed;         /* keys that dropped out: a home had something else */
    uint64_t found;            /* ... another member had something */
    uint64_t watched;          /* keys watched now */
    uint64_t marked;           /* partitions that wait for a look by this node */
    uint64_t in_flight;        /* rounds now */
};
struct purge_counters purge_counters(const struct purge *p);

void purge_check(const struct purge *p);

#endif
