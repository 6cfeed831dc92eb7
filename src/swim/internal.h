/* What the files of swim/ share, one section per file. The public contract is swim.h.
 *
 * Time inside is the node's own: monotonic time less the spells in which this process did not run
 * (swim.c). All `_us` fields that are points in time are of that kind. */
#ifndef SWIM_INTERNAL_H
#define SWIM_INTERNAL_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "swim/swim.h"

#define SWIM_INDIRECT_MAX       8u  /* k of a probe */
#define SWIM_CONFIRMATIONS_MAX  8u  /* independent suspicions that are told apart */
#define SWIM_LAST_CALLS         3u  /* of a suspect before it is buried */
#define SWIM_TRANSMITS_MAX      64u /* of one update by one member */
#define SWIM_RELAYS_MAX         64u /* probes made for others at once */
#define SWIM_DATAGRAM_GOSSIPS   32u /* in one datagram, if they fit */
#define SWIM_SYNC_FIRST_DIVISOR 8u  /* until the first push-pull succeeds it is tried this much oftener */
#define SWIM_YOUNG_US           UINT64_C(30000000) /* how long the unproven are probed at the normal pace */

/* Hearsay that is further ahead of the last seen value is refused. */
#define SWIM_GENERATION_JUMP  (UINT64_C(1) << 20)
#define SWIM_INCARNATION_JUMP (UINT32_C(1) << 20)

/* ---- belief.c: what is believed of a member, and what it takes to change one's mind ---------- */

/* Ordered by (generation, incarnation, state), state in the order of enum member_state: at equal
 * incarnation suspect beats alive, dead beats suspect, left beats dead (SWIM section 4.2). Generation 0
 * means that nobody was ever heard of: such a belief is ours alone and travels nowhere. */
struct swim_belief {
    uint64_t generation;
    uint32_t incarnation;
    enum member_state state;
};

static inline bool swim_present(enum member_state state)
{
    return state == MEMBER_ALIVE || state == MEMBER_SUSPECT;
}

struct swim_member;

bool swim_belief_newer(struct swim_belief a, struct swim_belief b);
bool swim_same_life(struct swim_belief a, struct swim_belief b);

/* Takes over a belief, whatever it was before; `accuser` matters for suspects only. */
void swim_believe(struct swim *s, struct swim_member *m, struct swim_belief belief, uint32_t accuser);

/* All that a message brought. `teller` is the member that sent it. */
enum swim_hearsay { SWIM_BY_GOSSIP, SWIM_BY_SYNC };
void swim_hear(struct swim *s, const struct gossip *gossip, uint32_t count, uint32_t teller,
               enum swim_hearsay how);

/* Our own probe of it failed. */
void swim_accuse(struct swim *s, struct swim_member *m);

/* Suspects whose time is up are dead. */
void swim_bury(struct swim *s, struct outbox *out);

/* What we say of a member, and of ourselves. */
struct gossip swim_gossip_of(const struct swim *s, const struct swim_member *m);
struct gossip swim_gossip_of_self(const struct swim *s);

/* ---- suspicion.c: Lifeguard's dynamic time-out ----------------------------------------------- */

struct swim_suspicion {
    struct heap_node timer; /* in swim.suspicions exactly while the member is suspect */
    uint64_t started_us;
    uint64_t min_us;
    uint64_t max_us;
    uint32_t calls_left;
    uint32_t wanted;        /* confirmations that bring the time-out down to min */
    uint32_t accuser_count; /* the first is no confirmation */
    uint32_t accusers[SWIM_CONFIRMATIONS_MAX + 1];
};

/* Lifeguard 4.2: max - (max - min) log(c + 1) / log(k + 1), less what has passed; 0 when it is up. */
uint64_t swim_remaining_suspicion_us(uint32_t confirmed, uint32_t wanted, uint64_t elapsed_us,
                                     uint64_t min_us, uint64_t max_us);

void swim_suspicion_start(struct swim *s, struct swim_member *m, uint32_t accuser);
void swim_suspicion_stop(struct swim *s, struct swim_member *m);

/* False when that accuser was counted already or no more are wanted. */
bool swim_suspicion_confirm(struct swim *s, struct swim_member *m, uint32_t accuser);

/* The timer has run out. True: the suspect is to be called once more; false: that was done often enough. */
bool swim_suspicion_last_call(struct swim *s, struct swim_member *m);

/* ---- members.c: the table, orders of probing, pending changes -------------------------------- */

struct swim_order;

struct swim_member {
    uint32_t id;
    struct swim_belief belief;
    struct addr addr;
    uint32_t rtt_us;

    struct swim_order *order; /* live or absent */
    size_t place;             /* in it */

    struct swim_suspicion suspicion;

    struct list queued; /* in one of the queue's lists, or in none */
    uint32_t transmits; /* of the belief as it is, by us */

    struct list changed;       /* in swim.changes, or in none */
    struct member_view before; /* what swim_next_change last told, while `changed` */
};

/* Members to be probed: [0, next) were probed in this round, then come `urgent` ones, then the rest, of
 * which one is drawn at random (a shuffle, done one step at a time: each round is a new permutation, and
 * insertion and removal cost O(1)). */
struct swim_order {
    struct swim_member **items;
    size_t count;
    size_t cap;
    size_t next;
    size_t urgent;
};

int swim_order_reserve(struct swim_order *o, size_t count);
void swim_order_insert(struct swim_order *o, struct swim_member *m);
void swim_order_remove(struct swim_member *m);
void swim_order_hurry(struct swim_member *m); /* soon its turn, even if it had been in this round */
void swim_order_pass(struct swim_member *m);  /* it has had its turn in this round, unless it is urgent */

/* The next one; NULL when empty. A round passes over every member once (SWIM section 4.3), but for those that
 * have passed by themselves. */
struct swim_member *swim_order_pick(struct swim_order *o, struct prng *prng);

/* Up to `wanted` different members that are alive, from a random place on, other than `except`. */
uint32_t swim_order_sample(const struct swim_order *o, struct prng *prng, uint32_t wanted, uint32_t except,
                           struct swim_member *out[]);

/* The next ones that are alive from `place` on, which moves: all are dealt with before one is again. */
uint32_t swim_order_deal(const struct swim_order *o, size_t *place, uint32_t wanted,
                         struct swim_member *out[]);

struct swim_member *swim_member_find(const struct swim *s, uint32_t id);
int swim_member_add(struct swim *s, uint32_t id, const struct addr *addr, bool alive);
void swim_member_remove(struct swim *s, struct swim_member *m);

/* Remembers how a member looked before it is changed, so that the change can be told. */
void swim_member_changing(struct swim *s, struct swim_member *m);

/* Members that take part, this one included: what the logarithms are of. */
uint32_t swim_live_count(const struct swim *s);

/* True at about `few` of all live nodes: so that not everybody does what some should do. */
bool swim_is_among_few(struct swim *s, uint32_t few);

/* ---- queue.c: what is to be piggy-backed ----------------------------------------------------- */

/* One list for each number of transmissions made: the least told goes first (SWIM section 4.1), the
 * newest of those before the others. A member is in it at most once, with whatever is believed of it when
 * it is sent. */
struct swim_queue {
    struct list by_transmits[SWIM_TRANSMITS_MAX];
    uint32_t count;
};

void swim_queue_init(struct swim_queue *q);
void swim_queue_push(struct swim_queue *q, struct swim_member *m); /* again: starts from 0 */
void swim_queue_drop(struct swim_queue *q, struct swim_member *m);

/* The first `max`, without taking them out. */
uint32_t swim_queue_peek(const struct swim_queue *q, uint32_t max, struct swim_member *out[]);

/* It has been sent once more; after `limit` times it leaves. */
void swim_queue_sent(struct swim_queue *q, struct swim_member *m, uint32_t limit);

/* mult x ceil(log10(n + 1)), at most SWIM_TRANSMITS_MAX. */
uint32_t swim_retransmit_limit(uint32_t mult, uint32_t live);

/* ---- datagram.c: what leaves ----------------------------------------------------------------- */

/* A datagram to a member, at `to`, with as much gossip as fits. False when the outbox is full: then it is
 * lost, as datagrams are. */
bool swim_send(struct swim *s, enum message_type type, const struct swim_member *receiver,
               const struct addr *to, const struct swim_member *target, uint32_t sequence,
               struct outbox *out);

/* News, of our own or heard, does not wait for probes: a few are told at once, and again after each gossip
 * interval until it was told often enough. So it is everywhere within milliseconds, and when there is none
 * this costs nothing. */
void swim_gossip_enter(struct swim *s);
void swim_gossip_tick(struct swim *s, struct outbox *out);
uint64_t swim_gossip_deadline_us(const struct swim *s);

uint32_t swim_next_sequence(struct swim *s);

/* ---- awareness.c: local health --------------------------------------------------------------- */

/* Lifeguard 4.1: 0 is healthy; the more often we seem to be the slow one, the longer we wait for answers. */
struct swim_awareness {
    uint32_t score;
    uint32_t max;
};

void swim_awareness_add(struct swim_awareness *a, int delta);
uint64_t swim_awareness_scale(const struct swim_awareness *a, uint64_t base_us);

/* ---- probe.c: is it there? ------------------------------------------------------------------- */

/*  phase       `next_us` is                    on ACK      at next_us
 *  IDLE        when the next probe begins      -           pick one, PING            -> DIRECT
 *  DIRECT      the time-out                    ANSWERED    PING again, k x PING_REQ  -> INDIRECT
 *  INDIRECT    the deadline                    ANSWERED    accuse                    -> IDLE
 *  ANSWERED    the end of the plain period     -                                     -> IDLE */
enum swim_probe_phase { SWIM_IDLE, SWIM_DIRECT, SWIM_INDIRECT, SWIM_ANSWERED };

struct swim_probe {
    enum swim_probe_phase phase;
    uint64_t next_us;
    uint64_t started_us;
    uint64_t deadline_us;    /* as scaled when it began */
    struct swim_belief life; /* the target's when it began */
    uint64_t timeout_us;
    uint32_t target;
    uint32_t sequence;
    uint32_t asked;                     /* indirect probes */
    uint32_t relays[SWIM_INDIRECT_MAX]; /* who; 0 once it has said NACK */
};

void swim_probe_tick(struct swim *s, struct outbox *out);
void swim_probe_ack(struct swim *s, struct swim_member *from, const struct msg_probe *p);
void swim_probe_nack(struct swim *s, const struct msg_probe *p);
void swim_probe_forget(struct swim *s, uint32_t member);

/* The next one begins at once, unless one is under way. */
void swim_probe_hurry(struct swim *s);

/* The dead, the left and the unproven: a PING now and then, for ever. */
void swim_absent_tick(struct swim *s, struct outbox *out);

/* This one at once, and for a while all of them at the normal pace. */
void swim_absent_hurry(struct swim *s, struct swim_member *m);

/* ---- relay.c: probes made for others --------------------------------------------------------- */

struct swim_relay {
    uint32_t asker;
    uint32_t asker_sequence;
    uint32_t target;   /* 0: has answered */
    uint32_t sequence; /* of our own PING */
    uint64_t nack_us;  /* when NACK is due */
    uint64_t end_us;   /* an answer after that is of no use to the asker */
};

/* All last equally long, so the oldest is the first to be due: a ring. */
struct swim_relays {
    struct swim_relay items[SWIM_RELAYS_MAX];
    uint32_t first;
    uint32_t count;
    uint32_t nacked; /* the first so many of them need no NACK any more */
};

void swim_relay_begin(struct swim *s, struct swim_member *asker, const struct msg_probe *p,
                      struct outbox *out);
void swim_relay_ack(struct swim *s, const struct msg_probe *p, struct outbox *out);
void swim_relay_tick(struct swim *s, struct outbox *out);
uint64_t swim_relay_deadline_us(const struct swim *s);

/* ---- sync.c: push-pull ----------------------------------------------------------------------- */

void swim_sync_tick(struct swim *s, struct outbox *out);

/* ---- swim.c ---------------------------------------------------------------------------------- */

/*  phase       what ends it
 *  NEW         the first tick       -> RUNNING
 *  RUNNING     a graceful stop      -> LEFT
 *  LEFT        nothing; it has no deadline any more */
enum swim_phase { SWIM_NEW, SWIM_RUNNING, SWIM_LEFT };

struct swim {
    struct swim_config config;
    struct prng prng;

    enum swim_phase phase;
    uint64_t now_us;     /* own time, as of the last call */
    uint64_t stalled_us; /* monotonic time less own time */

    uint32_t incarnation;
    bool news;          /* of our own: to be told at the end of this call, whatever the gossip interval */
    uint32_t transmits; /* of what we say of ourselves, since it changed */
    uint64_t next_gossip_us;
    size_t gossip_place; /* in `live`: who is told next */

    struct map by_id;         /* struct swim_member, owned */
    struct swim_order live;   /* alive and suspect */
    struct swim_order absent; /* dead and left */
    struct list changes;
    struct heap suspicions;
    struct swim_queue queue;
    struct swim_awareness awareness;
    struct swim_probe probe;
    struct swim_relays relays;
    uint32_t sequence;
    uint64_t next_absent_us;
    uint64_t young_until_us;
    uint64_t next_sync_us;
    uint64_t sync_serial;
    uint64_t sync_id; /* of a push-pull that began with a digest and has no answer yet; 0: none */
    bool synced;      /* at least once */
    struct swim_counters counters;
};

/* Of oneself there is no doubt. */
static inline enum member_state swim_own_state(const struct swim *s)
{
    return s->phase == SWIM_LEFT ? MEMBER_LEFT : MEMBER_ALIVE;
}

/* Every public function that is told the time begins with swim_enter, which takes it over; every one that
 * may emit ends with swim_end_turn, which passes on news. */
void swim_enter(struct swim *s, struct now now);
void swim_end_turn(struct swim *s, struct outbox *out);

#endif
