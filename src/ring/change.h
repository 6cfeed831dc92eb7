/* How the ring changes: pure functions from one ring value to the next (DESIGN section 7; the phases are
 * those of reconfiguration by an auxiliary ring, as in Vertical Paxos). paxos/ decides whether the next value
 * is it; node/change.c knows who has adopted what, and asks here.
 *
 *     STABLE(old) --begin--> PENDING --switch--> SWITCH --finish--> STABLE(target)
 *                             |  ^ \              |
 *                       undo  |  |  give up       | back (undo, or a displaced home that died)
 *                STABLE(old) <-  +-- a home       v
 *                                +--------------- PENDING
 *
 * What is asked for waits in the value's queue, so that it is as durable and as agreed upon as the ring is:
 * any node may go on with it. The first of the queue is made when the ring is STABLE; one that makes no sense
 * (any more) is dropped. */
#ifndef RING_CHANGE_H
#define RING_CHANGE_H

#include "ring/ring.h"

/* Whether a change could be asked for now: KV_E_INVALID with a sentence (no such member, weight out of range,
 * no member would be left, ...), KV_E_OVERLOADED (the queue is full). That a JOIN under the name of a member
 * that lives is refused (KV_E_DUPLICATE_ID) is the caller's part, who knows who lives. Asking for what is
 * queued or in force already is KV_OK, and `*known` is set. */
int ring_change_check(const struct ring_value *v, const struct ring_change *c, bool *known, char error[128]);

/* v with `c` at the end of its queue and the next epoch. KV_E_NO_MEMORY; the caller deinits `out`. */
int ring_change_ask(const struct ring_value *v, const struct ring_change *c, struct ring_value *out);

/* What a driver knows of a member. */
struct ring_word {
    uint32_t member;
    uint64_t epoch;       /* the ring it is known to have adopted; 0: not heard of */
    uint64_t whole_epoch; /* it said that it holds all its new partitions and, if it leaves, keeps no hints,
                           * under this source_epoch; 0: never */
    bool alive;           /* swim does not call it dead; of itself a driver knows it */
    uint64_t dead_us;     /* how long it has been dead */
};

/* Times after which a driver gives somebody up. */
#define RING_GIVE_UP_US UINT64_C(20000000) /* a displaced home that is dead */
#define RING_UNDO_US    UINT64_C(60000000) /* a new home that is dead */

enum ring_step {
    RING_WAIT,  /* nothing to be done now: a condition is not met */
    RING_BEGIN, /* STABLE -> PENDING, with the first of the queue */
    RING_DROP,  /* STABLE: the first of the queue makes no sense */
    RING_TO_SWITCH,
    RING_FINISH,  /* SWITCH -> STABLE(target) */
    RING_GIVE_UP, /* PENDING or SWITCH -> PENDING, with a member marked dead */
    RING_BACK,    /* SWITCH -> PENDING, undo */
    RING_UNDO,    /* PENDING -> STABLE(old) */
};

/* The step that is next, and the value it leads to (in `out`, deinit'ed by the caller, unless RING_WAIT).
 * `ring` is the one in force with its tables; `words` are in order of member id, one for each member but
 * those that are not known. KV_E_NO_MEMORY.
 *
 * The conditions (DESIGN section 7; next.c says why), of members that are not given up. A displaced home is
 * one that loses a partition, a new home one that has something to take over:
 *
 * - DROP: what is asked for makes no sense (any more): there is no such member, the last one would leave, the
 *   dead one that was to be removed or replaced lives, ...
 * - TO_SWITCH: every new home, and who leaves, has said WHOLE under source_epoch; every displaced home has
 *   adopted this epoch, and where one is given up so many of the others that it is in no majority; all of
 *   them live; no `undo`.
 * - FINISH: every displaced home has adopted SWITCH.
 * - GIVE_UP: a displaced home, or who leaves, that is no new home has been dead for RING_GIVE_UP_US, and
 *   enough others live to take its rows over from; or anybody has whose removal or replacement is asked for.
 * - BACK: a new home has been dead for RING_UNDO_US, and FINISH has to wait.
 * - UNDO: a new home has been dead for RING_UNDO_US, or `undo`. After a SWITCH it waits until nobody can read
 *   under that any more: every new home, but those dead for so long, and of every moving partition's homes
 *   after the change so many that the others are no majority, have adopted PENDING. */
int ring_change_next(const struct ring *ring, const struct ring_word *words, uint32_t count,
                     enum ring_step *step, struct ring_value *out);

/* What a change would do, for --plan, once what is under way is done: how many replicas would move and how
 * many at least for members as busy as they would then be. */
struct ring_plan {
    uint32_t moved, least, total; /* partition replicas */
    double max_over_mean;         /* afterwards */
};

/* KV_E_INVALID with a sentence, KV_E_NO_MEMORY. A JOIN needs no store_id here: the node need not exist. */
int ring_change_plan(const struct ring_value *v, const struct ring_change *c, struct ring_plan *out,
                     char error[128]);

/* The word for a kind ("join") and a step. */
const char *ring_change_kind_name(uint8_t kind);
const char *ring_step_name(enum ring_step step);

#endif
