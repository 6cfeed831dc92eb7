/* The ring is a value with an epoch: who the members are, and nothing about who is alive. Placement is a pure
 * function of it (ring/ring.h). It is encoded in one canonical way, which is what is hashed, kept on disk and
 * sent (as an opaque payload). Failure changes nothing in it; only an operator's join, leave, removal or
 * weight does. */
#ifndef MODEL_RING_VALUE_H
#define MODEL_RING_VALUE_H

#include "base/buf.h"
#include "model/addr.h"

struct member {
    uint32_t id;       /* small, from next_id, never used again */
    uint64_t store_id; /* of the store that joined: the same name with another store is another member */
    char name[NAME_MAX_BYTES + 1];
    char zone[NAME_MAX_BYTES + 1]; /* "" : each member is a zone of its own */
    struct addr addr;
    uint32_t weight; /* 1..WEIGHT_MAX */
};

/* DESIGN section 7. Only STABLE is used until rings change. */
enum ring_phase { RING_STABLE = 0, RING_PENDING = 1, RING_SWITCH = 2 };

struct ring_value {
    uint64_t epoch;      /* 0: none yet */
    uint32_t partitions; /* Q, a power of two */
    uint32_t replicas;   /* N */
    uint32_t next_id;    /* an id below it that is no member is removed for ever */
    uint8_t phase;
    uint32_t member_count;
    struct member *members; /* in order of id; owned */
};

void ring_value_deinit(struct ring_value *v);
int ring_value_copy(const struct ring_value *from, struct ring_value *to);

/* The canonical encoding, appended to `out`. KV_E_NO_MEMORY. */
int ring_value_encode(const struct ring_value *v, struct buf *out);

/* KV_E_MALFORMED for anything that ring_value_check would refuse; `out` is then empty. Bounded by
 * MEMBERS_MAX. */
int ring_value_decode(struct bytes in, struct ring_value *out);

/* An epoch, 1..MEMBERS_MAX members, ids ascending and below next_id, names distinct and well-formed,
 * addresses too (or empty: not known), N and Q within limits, weights in range. KV_E_INVALID. */
int ring_value_check(const struct ring_value *v);

/* A fingerprint of the encoding, chained from member to member so that it needs no memory: two nodes with the
 * same hash place every key alike. */
uint64_t ring_value_hash(const struct ring_value *v);

const struct member *ring_value_find(const struct ring_value *v, uint32_t id);
const struct member *ring_value_find_name(const struct ring_value *v, const char *name);

#endif
