/* Anti-entropy (Dynamo 4.7, with Merkle trees of two levels): homes of the same partition find out what one
 * has and the other has not, and give it to each other, all the time.
 *
 * The store keeps a hash of every leaf of every partition: writes mark leaves, and only marked ones are
 * hashed again. Two homes compare a partition like this; whoever is earlier on its list of homes begins:
 *
 *     ROOTS    one hash for each of many partitions              -> LEAVES    of those that differ
 *     COMPARE  digests of the asker's rows in leaves that differ -> COMPARED  the rows that it misses,
 *                                                                             and which it should send
 *     MERGE    those                                             -> MERGED
 *
 * Leaves that are empty on one side need no digests. Where both have a key, but not the same row, the stamps
 * decide who sends. Everything that arrives is merged: nothing is ever undone by a comparison, so lost,
 * doubled and late messages, and sessions that end midway, do no harm. Rows younger than ENTROPY_YOUNG_MS are
 * left alone, and with them those stamped ahead of the clock: writes that are under way are no damage. One
 * peer at a time: what differs is repaired with one, and the next finds it whole; nothing is sent twice.
 *
 * When. A round goes over all partitions, in slices, spread over `round_us`; every pair of homes meets once
 * in it, so after a round without faults and writes they are equal, wherever a row was missing. With a peer
 * that could not be reached and is back, all that is shared is compared at once, after ENTROPY_RETURN_US, in
 * which hints have done their part.
 *
 * The store's hashes say what was written. Rows that go in another way, by a bad disk or by hand, leave no
 * mark. So a part of each round's partitions is hashed from the rows again, each within `scrub_us`; and an
 * operator can ask for it: entropy_repair hashes all rows of this node and compares with all peers at once.
 *
 * Under which ring. Both sides must have adopted the same one, and a new one ends every session. Sessions are
 * between read homes, whatever the phase: in PENDING a row may so come to an old home after the new one has
 * taken the partition over. That changes nothing that was promised: a slot that had not the row still has it
 * not at its new home, just as if the comparison had come too late, and the homes after the change compare
 * too.
 *
 * Purging (purge.h) needs that no row moves while it deletes: entropy_busy, entropy_hold.
 *
 * Bounded: one slice at a time, ENTROPY_SESSIONS sessions begun here and ENTROPY_SERVES questions answered
 * here at once, ENTROPY_PAGE_BYTES of rows in a message, ENTROPY_RATE_BYTES a second. */
#ifndef REPAIR_ENTROPY_H
#define REPAIR_ENTROPY_H

#include "model/outbox.h"
#include "ring/ring.h"

#define ENTROPY_ROUND_US       UINT64_C(600000000)   /* default of round_us */
#define ENTROPY_SCRUB_US       UINT64_C(86400000000) /* default of scrub_us */
#define ENTROPY_RETURN_US      UINT64_C(5000000)
#define ENTROPY_ANSWER_US      UINT64_C(20000000) /* for an answer: 64 partitions may have to be hashed */
#define ENTROPY_RETRY_US       UINT64_C(500000)   /* after a session that failed */
#define ENTROPY_TRIES          3u                 /* then the peer is left for the next round */
#define ENTROPY_ENGAGED_US     UINT64_C(10000000) /* after a peer's last question about a partition */
#define ENTROPY_AGAIN_US       UINT64_C(2000000)  /* a partition that was engaged is asked about again */
#define ENTROPY_YOUNG_MS       2000u
#define ENTROPY_SLICE_MAX      64u /* partitions that are compared together; bits of a word */
#define ENTROPY_SLICES         16u /* of a round, at least where there are as many partitions */
#define ENTROPY_SESSIONS       4u
#define ENTROPY_SERVES         16u
#define ENTROPY_MISSED_MAX     8u
#define ENTROPY_PAGE_BYTES     (256u << 10)
#define ENTROPY_READ_MAX_BYTES (4u << 20)           /* rows looked at for one answer */
#define ENTROPY_RATE_BYTES     (UINT64_C(16) << 20) /* of rows, sent and received, a second */

struct entropy;

struct entropy_config {
    uint32_t self;
    uint64_t round_us; /* 0: compare only when others or an operator ask */
    uint64_t scrub_us;
    uint64_t seed;
    uint32_t row_age_max_ms; /* rows read longer ago than this are refused */
};

int entropy_create(const struct entropy_config *config, struct entropy **out);
void entropy_destroy(struct entropy *e);

/* Borrowed until the next call. Ends all sessions and holds. KV_E_NO_MEMORY: nothing is compared. */
int entropy_ring_set(struct entropy *e, struct now now, const struct ring *ring);

void entropy_peer_set(struct entropy *e, struct now now, uint32_t member, bool reachable);

/* Whether this node has foreground requests: comparing at once then pauses as long as it works. */
void entropy_yield_set(struct entropy *e, bool foreground);

/* A peer's ROOTS, COMPARE or MERGE. `hlc`, here and below, is this node's clock. */
void entropy_question(struct entropy *e, struct now now, uint64_t hlc, struct endpoint from,
                      const struct message *m, struct outbox *out);

/* LEAVES, COMPARED, MERGED, whoever sends them. */
void entropy_answer(struct entropy *e, struct now now, uint64_t hlc, uint32_t member, const struct message *m,
                    struct outbox *out);

/* EV_STORE_TREE, _PAGE or _WRITTEN of an ID_ENTROPY operation. */
void entropy_stored(struct entropy *e, struct now now, uint64_t hlc, const struct event *in,
                    struct outbox *out);

void entropy_tick(struct entropy *e, struct now now, uint64_t hlc, struct outbox *out);
uint64_t entropy_deadline_us(const struct entropy *e);

/* An operator's order: see above. It begins with the next tick, after one that is under way. What will be
 * compared goes into `reply`. KV_E_UNAVAILABLE: there is no ring or no peer. */
void entropy_repair(struct entropy *e, struct now now, struct msg_repair_reply *reply);

/* Whether rows of the partition may be on their way because of a session that this node has begun or answers.
 */
bool entropy_busy(const struct entropy *e, uint32_t partition);

/* No session on this partition from now on until it is released as often, or a new ring comes. What was on
 * its way is refused. */
void entropy_hold(struct entropy *e, uint32_t partition);
void entropy_release(struct entropy *e, uint32_t partition);

/* Of this life. */
struct entropy_counters {
    uint64_t rounds;
    uint64_t last_round_us;   /* how long the last one took */
    uint64_t compared;        /* partitions, with one peer each */
    uint64_t differed;        /* of them */
    uint64_t sessions;        /* begun here */
    uint64_t sessions_failed; /* and not finished */
    uint64_t served;          /* questions of peers */
    uint64_t refused;         /* of them */
    uint64_t malformed;       /* answers that were none to what was asked */
    uint64_t scrubbed;        /* partitions hashed from their rows */
    uint64_t rows_sent, rows_received;
    uint64_t rows_young; /* that the peer misses, and that were kept back: see ENTROPY_YOUNG_MS */
    uint64_t bytes_sent; /* of all messages, about */
    uint64_t bytes_received;
    uint64_t repair_left;   /* partitions that an operator's order has still to look at */
    uint64_t repair_missed; /* ... and those that it has given up, each with one peer */
};
struct entropy_counters entropy_counters(const struct entropy *e);

/* Partitions that the last order has not compared, and will not. */
struct entropy_missed {
    uint32_t member; /* the peer; this node itself: its own rows cannot be read */
    int status; /* KV_E_UNAVAILABLE: it cannot be reached; KV_E_TIMEOUT: it does not answer; else its word */
    uint32_t partitions;
    uint32_t first; /* of them, the lowest */
};

/* The first ENTROPY_MISSED_MAX kinds of them; borrowed until the next call. Returns how many. */
uint32_t entropy_missed(const struct entropy *e, const struct entropy_missed **out);

void entropy_check(const struct entropy *e);

#endif
