/* The ring is a value with an epoch: who the members are, and nothing about who is alive. Placement is a pure
 * function of it (ring/ring.h). It is encoded in one canonical way, which is what is hashed, kept on disk and
 * sent (as an opaque payload). Failure changes nothing in it; only an operator's join, leave, removal or
 * weight does. */
#ifndef MODEL_RING_VALUE_H
#define MODEL_RING_VALUE_H

#include "base/buf.h"
#include "model/addr.h"
#include "model/topology.h"

/* A member, in the placement before the change that is under way and in the one after it. While no change is
 * (STABLE) only `weight` and `zone` are used, and the others are 0. */
struct member {
    uint32_t id;       /* small, from next_id, never used again */
    uint64_t store_id; /* of the store that joined: the same name with another store is another member. 0: of
                        * none any more; whoever comes under this name joins in its place */
    char name[NAME_MAX_BYTES + 1];
    char zone[NAME_MAX_BYTES + 1]; /* "" : each member is a zone of its own */
    struct addr addr;
    uint32_t weight; /* 1..WEIGHT_MAX; 0: it leaves (PENDING, SWITCH only) */
    /* PENDING, SWITCH: */
    uint32_t old_weight; /* before the change; 0: it joins. One of the two is not 0 */
    char old_zone[NAME_MAX_BYTES + 1];
    bool dead; /* given up for this change: until the ring is STABLE again it counts nowhere, as no home
                * before or after it, and what it holds is taken over from the other homes. A member that
                * stays and has missed what it would need then is left without its store_id (ring/change.c) */
};

/* DESIGN section 7: STABLE(old) -> PENDING -> SWITCH -> STABLE(target). */
enum ring_phase { RING_STABLE = 0, RING_PENDING = 1, RING_SWITCH = 2 };

/* What an operator, or a node that wants to join, asked for. */
enum ring_change_kind {
    RING_JOIN = 1,   /* name, store_id, addr, weight, zone; a dead member of that name is replaced by it */
    RING_LEAVE = 2,  /* member: alive, hands its partitions over */
    RING_REMOVE = 3, /* member: dead, the others take its partitions over */
    RING_WEIGHT = 4, /* member, weight */
    RING_ZONE = 5,   /* member, zone */
};

struct ring_change {
    uint8_t kind;      /* enum ring_change_kind */
    uint32_t member;   /* 0 for RING_JOIN */
    uint64_t store_id; /* RING_JOIN */
    uint32_t weight;
    char name[NAME_MAX_BYTES + 1];
    char zone[NAME_MAX_BYTES + 1];
    struct addr addr;
};

struct ring_value {
    uint64_t epoch;      /* 0: none yet */
    uint32_t partitions; /* Q, a power of two */
    uint32_t replicas;   /* N */
    uint8_t topology;    /* enum topology */
    uint32_t hub;        /* the member that is the hub, for ever; 0: a ring, which has none */
    uint32_t next_id;    /* an id below it that is no member is removed for ever */
    uint8_t phase;       /* enum ring_phase */
    bool undo;           /* PENDING: the change is given up, and STABLE(old) is next */
    bool switched;       /* PENDING: this change has been in SWITCH before, so new homes may have been read */
    uint64_t since;      /* PENDING, SWITCH: the epoch of the change's first PENDING; STABLE: 0 */
    uint64_t source_epoch; /* PENDING, SWITCH: the epoch since which the sources are who they are: what was
                            * taken over before does not count. The first PENDING, or a later one that gave up
                            * a displaced home; STABLE: 0 */
    uint32_t member_count;
    struct member *members; /* in order of id; owned. PENDING, SWITCH: those before and after the change */
    uint32_t queue_count;
    struct ring_change
        queue[RING_QUEUE_MAX]; /* asked for, in order; PENDING, SWITCH: the first is under way */
};

void ring_value_deinit(struct ring_value *v);
int ring_value_copy(const struct ring_value *from, struct ring_value *to);

/* The canonical encoding, appended to `out`. KV_E_NO_MEMORY. */
int ring_value_encode(const struct ring_value *v, struct buf *out);

/* KV_E_MALFORMED for anything that ring_value_check would refuse; `out` is then empty. Bounded by
 * MEMBERS_MAX. */
int ring_value_decode(struct bytes in, struct ring_value *out);

/* An epoch, a topology and its hub, 1..MEMBERS_MAX members, ids ascending and below next_id, names
 * well-formed and distinct (before the change, and after it: a member and the one that replaces it share
 * theirs), addresses too (or empty: not known), N and Q within limits, weights in range; STABLE: nothing that
 * speaks of a change; else at least one member before and one after, and a queue that begins with the change.
 * KV_E_INVALID. */
int ring_value_check(const struct ring_value *v);

/* A change that can be asked for by itself, whatever the ring: a known kind, its fields in range, those of
 * other kinds empty. */
bool ring_change_ok(const struct ring_change *c);

/* A fingerprint of the encoding, chained from piece to piece so that it needs no memory: two nodes with the
 * same hash place every key alike. */
uint64_t ring_value_hash(const struct ring_value *v);

const struct member *ring_value_find(const struct ring_value *v, uint32_t id);
/* The member of that name; of one and its replacement, the replacement. */
const struct member *ring_value_find_name(const struct ring_value *v, const char *name);

/* Who decides on the next epoch (paxos/): the members before the change, or the hub alone where there is one.
 * Exactly one ring value has each epoch, so everybody agrees who they are. */
static inline bool ring_value_votes(const struct ring_value *v, const struct member *m)
{
    if (v->hub)
        return m->id == v->hub;
    return v->phase == RING_STABLE || m->old_weight > 0;
}

#endif
