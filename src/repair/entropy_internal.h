/* Inside anti-entropy: what its files share.
 *
 *     entropy.c          life, ring, peers; dispatch; what other parts ask
 *     entropy_round.c    which slice is next, and its hashes
 *     entropy_session.c  comparing with one peer, begun here: where we differ; entropy_rows.c: by what
 *     entropy_serve.c    peers' questions
 *     entropy_missed.c   what an operator's order could not compare
 *     span.c, digest.c   what is compared, and by what */
#ifndef REPAIR_ENTROPY_INTERNAL_H
#define REPAIR_ENTROPY_INTERNAL_H

#include "base/map.h"
#include "base/rate.h"
#include "repair/digest.h"
#include "repair/entropy.h"
#include "repair/parcel.h"
#include "repair/span.h"

/* An id is a serial and a slot: whose it is. Serials are never used again, so what is late is noticed; they
 * begin anywhere, so that the salts of two lives differ. */
#define SLOT_BITS     5u
#define SLOT_SLICE    0u
#define SLOT_SESSIONS 1u
#define SLOT_SERVES   (SLOT_SESSIONS + ENTROPY_SESSIONS)
#define SLOTS         (SLOT_SERVES + ENTROPY_SERVES)
_Static_assert(SLOTS <= 1u << SLOT_BITS, "a slot fits its bits");

/* The event that is being handled. */
struct turn {
    uint64_t now_us;
    uint64_t hlc;
    struct outbox *out;
};

struct peer_state {
    uint32_t id;
    bool reachable;
    bool at_once;      /* in the pass that is under way out of turn */
    uint64_t due_us;   /* all that is shared is to be compared from then on; UINT64_MAX: in its turn */
    uint64_t todo;     /* trees of the slice that are to be compared with it: a bit for each */
    uint32_t tries;    /* of this slice */
    uint64_t retry_us; /* not before */
};

/* ---- the slice at hand (entropy_round.c) ---- */

struct tree {
    uint32_t partition;
    bool rehash;                  /* from all rows */
    bool ordered;                 /* by an operator, who has to be told what is missed */
    uint32_t pairs[REPLICAS_MAX]; /* peers to compare with, one after the other */
    uint32_t pair_count, pair_at;
    bool known;
    uint64_t root;
    uint64_t leaves[TREE_LEAVES];
};

enum slice_state { SLICE_NONE, SLICE_HASHING, SLICE_COMPARING };

enum slice_kind {
    SLICE_OF_ROUND,
    SLICE_OF_PASS, /* out of turn */
    SLICE_AGAIN,   /* partitions that were engaged when their turn was */
};

struct slice {
    uint8_t state; /* enum slice_state */
    uint8_t kind;  /* enum slice_kind */
    uint64_t op;   /* the tree that is asked for */
    uint32_t at;   /* which */
    uint32_t count;
    uint64_t began_us;
    struct tree trees[ENTROPY_SLICE_MAX]; /* in order of partition */
};

struct round {
    uint64_t number; /* where scrubbing is */
    uint32_t next;   /* slice */
    uint64_t began_us;
    uint64_t due_us; /* of the next slice; UINT64_MAX: no rounds */
};

/* Out of turn: with peers that are back, or for an operator. */
struct pass {
    bool active;
    bool repair; /* everything, with everybody, hashed anew */
    uint32_t next;
    uint64_t due_us;
};

/* ---- partitions ----
 *
 * Two who repair the same partition of a third at the same time would send it everything twice. So where a
 * partition differs it is engaged: with the peer that this node has a session with about it, or the one it
 * has told the leaves to, for ENTROPY_ENGAGED_US after the last question. Others are told `held` and come
 * again. */

enum again { AGAIN_NO, AGAIN_IN_TURN, AGAIN_WITH_ALL };

struct partition_state {
    uint8_t held;  /* by purging: how often */
    uint8_t again; /* enum again */
    uint32_t engaged_with;
    uint64_t engaged_until_us;
};

/* ---- a session (entropy_session.c) ----
 *
 *     ROOTS -> DIGESTS -> COMPARE -> WRITE -> PUSH -> MERGE -> PUSH -> FETCH -> FETCH_WRITE -> FETCH
 *                 ^          \-----------------^-------------------------^                       |
 *                 \------------------------------------------------------------------------------/
 *
 * The upper way is for nothing to ask, nothing to send. Each state first does what it is for, when the rate
 * allows it, and then waits for its answer. */
enum session_state {
    SESSION_NONE,
    SESSION_ROOTS,   /* which partitions differ, and in which leaves? */
    SESSION_DIGESTS, /* our own rows of the leaves where both have some; as many as fit one question */
    SESSION_COMPARE, /* what has the peer that we have not, and what should it get? */
    SESSION_WRITE,   /* rows that came become durable */
    SESSION_PUSH,    /* rows that the peer misses are read, */
    SESSION_MERGE,   /* and sent */
    SESSION_FETCH,   /* rows that are newer there */
    SESSION_FETCH_WRITE,
};

/* A row of ours in a leaf where both have some. */
enum fate { FATE_NONE, FATE_PUSH, FATE_FETCH };

struct own_row {
    uint64_t token;
    struct stamp stamp;
    uint8_t fate; /* enum fate */
};

struct session {
    uint8_t state;   /* enum session_state */
    bool waits;      /* for the answer to `op`; else it is to go on, from `at_us` on */
    uint32_t member; /* of the peer */
    uint64_t op;     /* of the question or storage operation that is under way */
    uint64_t at_us;  /* UINT64_MAX: no time limit */
    uint64_t trees;  /* bits of those that are not known to be equal */
    /* Of each tree, the leaves that differ: only the peer has rows, both have, only we have. */
    uint64_t pull[ENTROPY_SLICE_MAX], both[ENTROPY_SLICE_MAX], push[ENTROPY_SLICE_MAX];
    /* The range that is compared: behind `from`, up to `upto`; the peer has answered up to `next`. */
    struct place from, upto, next;
    bool partly;         /* ... which is not all of it */
    struct own_row *own; /* of the range, in token order; COMPARE_DIGESTS_MAX fit */
    uint32_t own_count;
    struct span span; /* being read */
    uint64_t until_hlc;
    struct parcel parcel; /* what of it goes to the peer */
};

/* ---- an answer (entropy_serve.c) ---- */

enum serve_state { SERVE_NONE, SERVE_ROOTS, SERVE_COMPARE, SERVE_MERGE };

struct serve {
    uint8_t state; /* enum serve_state */
    struct endpoint to;
    uint32_t member;
    uint64_t id; /* of the question */
    uint64_t op;
    struct span span;     /* COMPARE: what is left to be read */
    uint32_t first, last; /* MERGE: partitions of its rows */
    /* ROOTS */
    uint32_t count, at;
    struct partition_root roots[COMPARE_PARTITIONS_MAX];
    uint32_t differ;
    struct partition_leaves leaves[COMPARE_PARTITIONS_MAX]; /* hashes point into `hashes` */
    struct buf hashes;
    /* COMPARE */
    bool fetch;
    uint64_t until_hlc;
    struct digest_set set;
    struct parcel parcel;
    struct compare_conflict *conflicts; /* as many as there are digests */
    uint32_t conflict_count;
    uint64_t looked_bytes;
};

struct entropy {
    struct entropy_config config;
    const struct ring *ring; /* NULL: none yet */
    struct map by_member;
    struct peer_state **peers;
    uint32_t peer_count, peer_cap;
    struct partition_state *partitions;
    uint32_t partition_count;
    uint32_t again_count;
    uint64_t again_us; /* when those are looked at */
    bool foreground;
    uint64_t serial;
    struct rate rate; /* of rows, both ways */
    struct round round;
    struct pass pass;
    bool repair_wanted;
    struct entropy_missed missed[ENTROPY_MISSED_MAX];
    uint32_t missed_count;
    struct slice slice;
    struct session sessions[ENTROPY_SESSIONS];
    struct serve serves[ENTROPY_SERVES];
    struct entropy_counters counters;
};

/* ---- entropy.c ---- */

/* A new id for whoever has the slot. */
uint64_t entropy_op(struct entropy *e, uint32_t slot);
struct peer_state *entropy_peer(const struct entropy *e, uint32_t member); /* NULL: nothing known of it */
bool entropy_held(const struct entropy *e, uint32_t partition);

/* Whether the member's question about rows of the partition is answered, or the member is asked: not while
 * somebody else is at it, or we are with the other role. When two ask each other, the lower one does it. */
bool entropy_may_answer(const struct entropy *e, uint32_t partition, uint32_t member, uint64_t now_us);
bool entropy_may_ask(const struct entropy *e, uint32_t partition, uint32_t member, uint64_t now_us);
void entropy_engage(struct entropy *e, uint32_t partition, uint32_t member, uint64_t now_us);

/* The read homes of a partition, in order; those that are given up are left out. Returns how many. */
uint32_t entropy_homes(const struct entropy *e, uint32_t partition, uint32_t out[REPLICAS_MAX]);
/* Whether there is such a partition, and this node and the member are both homes of it. */
bool entropy_shared(const struct entropy *e, uint32_t partition, uint32_t member);

/* What is in a pack. */
struct pack_facts {
    uint32_t rows;
    uint32_t first, last; /* partitions */
};

/* Rows that came from a member: each must lie in the span (NULL: in a partition of which both are homes), and
 * not be older than purging allows. KV_E_MALFORMED, KV_E_STALE; KV_E_AGAIN: a partition is held. */
int entropy_pack_check(const struct entropy *e, const struct blob *pack, uint64_t began_hlc, uint64_t hlc,
                       const struct span *span, uint32_t member, struct pack_facts *facts);

/* Writes a pack that was checked. Takes a reference. */
void entropy_merge(struct blob *pack, uint64_t op, struct outbox *out);

/* Books a message that leaves or came; rows cost the rate. */
void entropy_sent(struct entropy *e, const struct message *m, uint32_t rows, uint64_t now_us);
void entropy_received(struct entropy *e, const struct message *m, uint32_t rows, uint64_t now_us);

/* ---- entropy_round.c ---- */

uint32_t round_slices(const struct entropy *e);
void round_start(struct entropy *e, uint64_t now_us);
void round_tick(struct entropy *e, const struct turn *t);
uint64_t round_deadline_us(const struct entropy *e);
void round_tree(struct entropy *e, const struct event *in, const struct turn *t);
void round_drop(struct entropy *e); /* the slice at hand */
void round_again(struct entropy *e, uint32_t partition, uint64_t now_us);
/* A session is over; what it has not compared, and why, is tried again or not. */
void round_session_over(struct entropy *e, const struct turn *t, uint32_t member, uint64_t left, int why);
bool round_busy(const struct entropy *e, uint32_t partition);

/* ---- entropy_missed.c ---- */

void missed_reset(struct entropy *e);
void missed_add(struct entropy *e, uint32_t partition, uint32_t member, int status);
/* Those of the slice at hand; only what was ordered counts. */
void missed_trees(struct entropy *e, uint64_t trees, uint32_t member, int status);

/* ---- entropy_session.c ---- */

/* It goes on when it is due, which it is at once. KV_E_NO_MEMORY. */
int session_begin(struct entropy *e, struct session *s, uint32_t member, uint64_t trees);
void session_answer(struct entropy *e, struct session *s, const struct message *m, const struct turn *t);
void session_stored(struct entropy *e, struct session *s, const struct event *in, const struct turn *t);
void session_due(struct entropy *e, struct session *s, const struct turn *t);
/* Without a word to anybody. */
void session_drop(struct session *s);
void session_deinit(struct session *s);
void session_check(const struct entropy *e, const struct session *s);

/* ---- entropy_serve.c ---- */

void serve_question(struct entropy *e, struct endpoint from, const struct message *m, const struct turn *t);
void serve_stored(struct entropy *e, struct serve *v, const struct event *in, const struct turn *t);
void serve_drop(struct serve *v);
void serve_deinit(struct serve *v);
bool serve_busy(const struct serve *v, uint32_t partition);

#endif
