/* What the files of the coordinator share. Private: nobody else includes it.
 *
 *     coord.c   slots, ids, timers, who can be reached, dispatch
 *     place.c   a request's targets under the ring in force, and again under the next; what they amount to
 *     target.c  one member that a request talks to: its states, reads, writes
 *     plan.c    whom to ask: pure
 *     put.c     get.c     the two kinds of request
 *     reply.c   what the client is told, and how failures are named
 *     trace.c   the story of an explained request
 *     latency.c how slow a member usually is
 *
 * Everything that happens to a request ends in request_run, which looks at where it stands, sends what has
 * to be sent, answers if it can, and sets its timer. It may be called at any time and any number of times. */
#ifndef COORD_INTERNAL_H
#define COORD_INTERNAL_H

#include "base/assert.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "coord/coord.h"
#include "coord/plan.h"
#include "kv_error.h"
#include "model/id.h"

/* The serial of an id: which slot, which attempt of it, and how often the slot was used before, so that what
 * was meant for a former request of the slot is told apart. */
#define SLOT_BITS       14u
#define ATTEMPT_BITS    12u
#define GENERATION_BITS (ID_SERIAL_BITS - SLOT_BITS - ATTEMPT_BITS)
_Static_assert(1u << SLOT_BITS == REQUESTS_MAX, "a slot's index fits its bits");

/* Messages one request may send. Only members that come and go without end bring it there. */
#define ATTEMPTS_MAX ((1u << ATTEMPT_BITS) - POSITIONS_MAX)

/* When less of the outbox is free, what is due waits for the next step: in the worst case every request in
 * flight has something to say at once. The other half is for the rest of the node. */
#define ROOM_MIN (OUT_MAX / 2)

/* One call of the coordinator. */
struct turn {
    struct now now;
    uint64_t hlc; /* now on the cluster's clock: what expires before it is dead */
    struct outbox *out;
};

/* Members of the ring, and those of the ring before while requests are placed again. */
#define PEERS_MAX (2 * MEMBERS_MAX)

struct peer {
    uint32_t member;
    bool connected;      /* as the node says */
    bool given_up;       /* by the ring in force: it is sent nothing, whatever the node says */
    struct latency read; /* of its answers to reads: writes wait for the disk and would blur it */
    /* The latest read sent only to measure it, 0: none: its answer counts even when the request is over. */
    uint64_t probe_id, probe_us;
};

static inline bool peer_reachable(const struct peer *p)
{
    return p->connected && !p->given_up;
}

enum target_state {
    TARGET_IDLE,    /* nothing is on its way */
    TARGET_SENT,    /* the latest message to it is not answered */
    TARGET_OK,      /* it did what was asked */
    TARGET_REFUSED, /* it will not, for this request */
    TARGET_LOST,    /* the connection broke before it answered: unknown, until it is back */
    TARGET_HELD,    /* it has another ring: asked again when we have its newer one, or it may have ours */
};

/* A member that a request may deal with, seen from that request. Hints are sets of holders' positions. */
struct target {
    struct peer *peer;
    uint64_t sent_us;        /* the latest message to it: when */
    uint64_t sent_epoch;     /* under which ring */
    struct stamp written;    /* of the row in the latest WRITE */
    struct stamp held;       /* get: what it is known to hold */
    position_set hints_sent; /* the latest WRITE carried */
    position_set hints_kept; /* it acknowledged */
    int32_t status;          /* why it refused */
    uint16_t attempt;        /* of the latest message */
    uint16_t first_attempt;  /* what an earlier one did says nothing any more */
    uint8_t state;           /* enum target_state */
    bool asked;              /* it was ever sent anything */
    bool ok;                 /* put: it acknowledged the row; get: it answered the read */
    bool unsure;             /* what it was sent may have been applied, though it is not ok */
    bool barred;             /* put: it takes no hints; get: no write-back */
    bool writing;            /* the latest message to it is a WRITE */
    bool behind;             /* held: its ring is older than ours */
};

enum phase {
    PHASE_FREE,
    PHASE_PUT,        /* not answered */
    PHASE_SETTLE,     /* a put that is answered; homes still need the row or a hint */
    PHASE_READ,       /* not R answers yet, or no proof of absence */
    PHASE_WRITE_BACK, /* the newest row is not on enough members yet */
};

struct request {
    struct heap_node timer;
    struct list free;    /* in coord.free while PHASE_FREE */
    uint32_t slot;       /* its own place in coord.slots */
    uint32_t generation; /* how often it was used before, GENERATION_BITS */
    uint8_t phase;       /* enum phase */
    uint8_t op;          /* enum op */
    uint8_t flags;       /* enum request_flag */
    uint8_t quorum;      /* R or W as the client said; 0: a majority */
    uint8_t needed;      /* R or W */
    struct plan_shape shape;
    uint8_t asked_before; /* members asked that a newer ring took off the list */
    uint8_t retries;      /* of those that were behind with the ring */
    bool probing;         /* get: everything was absent so far; the rest of the N is asked */
    bool exploring;       /* get: one more is to be asked, only to measure it */
    uint16_t attempts;
    struct endpoint client;
    uint64_t client_id;
    uint64_t arrived_us, deadline_us;
    uint64_t retry_us;  /* when those that were behind are asked again; UINT64_MAX: nobody is */
    uint64_t proof_us;  /* get: how long absence may wait for its proof; 0: not waiting */
    uint64_t began_hlc; /* on the cluster's clock */
    uint64_t token;
    struct buf key;
    struct row row;        /* put: the row; get: the newest found */
    uint64_t weight_bytes; /* of key and row, as counted in coord.bytes */
    uint8_t trace_count;
    struct trace_line *trace; /* TRACE_MAX of them, allocated for the first explained request and kept */
    struct target targets[];  /* POSITIONS_MAX, of them shape.width in use, by position */
};

struct coord {
    struct coord_config config;
    const struct ring *ring;            /* NULL: none yet */
    struct peer peers[PEERS_MAX];       /* member 0: free */
    struct peer *by_index[MEMBERS_MAX]; /* of the ring's members */
    struct heap timers;
    struct list free;
    uint32_t slot_count;
    uint32_t in_flight, unanswered;
    uint64_t bytes;
    uint64_t hlc; /* the largest told */
    uint64_t gets_begun;
    struct coord_counters counters;
    struct request *slots[REQUESTS_MAX];
};

/* ---- coord.c */

void request_run(struct coord *c, const struct turn *t, struct request *r);

/* Sets the timer; a time that is past already is due in the next step. */
void request_wake(struct coord *c, struct request *r, uint64_t at_us);

/* Frees the slot. */
void request_end(struct coord *c, struct request *r);

/* Replaces r->row, taking over its reference. */
void request_hold(struct coord *c, struct request *r, struct row owned);

static inline bool request_strict(const struct request *r)
{
    return r->flags & REQ_STRICT;
}

static inline bool request_answered(const struct request *r)
{
    return r->phase == PHASE_SETTLE || r->phase == PHASE_FREE;
}

/* ---- place.c */

/* The targets of a new request. */
void request_place(struct coord *c, struct request *r);

/* The same under a newer ring. `one_change`: no ring of another change was in force between the two. */
void request_place_again(struct coord *c, struct request *r, bool one_change);

uint32_t request_position(const struct request *r, uint32_t member); /* PLAN_NONE: not there */

/* Positions of the list whose word would count (strict: homes). */
position_set request_counted(const struct request *r);

/* Of the list, who has done what was asked when the members of `set` have: a put's slots are whole or
 * nothing, a get reads at the read homes. */
position_set request_done(const struct request *r, position_set set);

/* Members that did what was asked, and how many positions that count amount to. */
position_set request_ok(const struct request *r);
uint32_t request_acked(const struct request *r);

/* How many positions that would count can be reached now, at most N. */
uint32_t request_reachable(const struct request *r);

/* Distinct members that were sent anything. */
uint32_t request_asked(const struct request *r);

/* Whether a first answer is on its way from somebody who has not been silent for too long. */
bool request_expects(const struct request *r, uint64_t now_us);

/* ---- target.c */

/* Moves along the table of allowed transitions. */
void target_move(struct target *g, enum target_state to);

/* Whether it can be sent to now. */
bool target_open(const struct request *r, const struct target *g);

/* Whether it has been silent for `patience_us`. */
static inline bool target_silent(const struct target *g, uint64_t now_us, uint64_t patience_us)
{
    return g->state == TARGET_SENT && now_us >= g->sent_us + patience_us;
}

/* The id of the latest message to it. */
uint64_t target_id(const struct request *r, const struct target *g);

void target_read(struct coord *c, const struct turn *t, struct request *r, uint32_t position, bool hedge);

/* Sends r->row; `hints` are the holders whose hints go with it. */
void target_write(struct coord *c, const struct turn *t, struct request *r, uint32_t position,
                  position_set hints, enum trace_kind why);

/* It will not do what it was asked in its latest message. */
void target_refused(const struct request *r, struct target *g, int status);

/* It has another ring than we had: `epoch` is its. */
void target_wrong_ring(const struct coord *c, const struct turn *t, struct request *r, struct target *g,
                       uint64_t epoch);

/* It did what it was asked, in its latest message or in a former one. */
void target_done(struct target *g, bool latest);

/* The connection to it broke, or is there again. Whether that changes anything for the request. */
bool target_lost(struct target *g);
bool target_back(struct target *g);

/* ---- put.c, get.c */

void put_run(struct coord *c, const struct turn *t, struct request *r);
void put_answered(struct coord *c, const struct turn *t, struct request *r, uint32_t position,
                  uint32_t attempt, const struct message *m);
void get_run(struct coord *c, const struct turn *t, struct request *r);
void get_answered(struct coord *c, const struct turn *t, struct request *r, uint32_t position,
                  uint32_t attempt, const struct message *m);

/* ---- reply.c */

/* Tells the client. The caller moves the request to its next phase or ends it. `owned` is the row of the
 * answer. */
void request_reply(struct coord *c, const struct turn *t, struct request *r, int status, bool proven,
                   struct row owned);

/* Refuses a request that has no slot. */
void reply_refusal(struct coord *c, struct outbox *out, struct endpoint client, const struct message *m,
                   int status);

/* The name of a failure when `needed` cannot be reached any more, or not in time. */
int request_failure(const struct request *r);

/* ---- trace.c */

void trace(struct request *r, const struct turn *t, enum trace_kind kind, uint32_t member, uint32_t other,
           int status, struct stamp stamp);
void trace_unreachable(struct request *r, const struct turn *t);

#endif
