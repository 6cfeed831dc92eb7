/* Placement: a pure function from a ring value to the preference list of every partition (DESIGN section 4).
 *
 * Consistent hashing with virtual points (Karger et al. 1997; Dynamo 4.2): every member has RING_POINTS x
 * weight points. A partition's preference list is the clockwise walk from its first token over distinct
 * members. Its N homes are the first N on that walk below their cap, cap = ceil(1.05 x fair share) (Mirrokni,
 * Thorup, Zadimoghaddam 2018), in distinct zones while there are enough zones. The walk goes on past the
 * homes: those are the fallbacks.
 *
 * While the ring changes (PENDING, SWITCH) there are two placements, before and after, and a partition has
 * slots (DESIGN section 7): a member that is a home before and after keeps its slot; the other old and new
 * homes are paired in list order. Each slot has a home that is read, the old one in PENDING and the new one
 * in SWITCH: these are the `homes` of the table; and, when it moves, a twin that is written beside it and
 * only with it acknowledges. Where the number of homes grows or shrinks with the number of members, a home
 * without a slot is an extra: written, never counted. Slots are in the order of the list before the change,
 * those without a home before or after behind the others, so slot i of PENDING is slot i of SWITCH.
 *
 * Who is given up (member.dead) counts nowhere: it stays in the table as a read home, so that quorums are of
 * the size they were, but neither answers nor acknowledges; it is no twin, no extra and no fallback. Nor are
 * fallbacks members that come or go with the change.
 *
 * Invariants: the table depends only on the value, never on the order in which members became known; a member
 * is at most once on a list; min(N, members) homes always exist. */
#ifndef RING_RING_H
#define RING_RING_H

#include "model/key.h"
#include "model/ring_value.h"

#define RING_NOBODY UINT16_MAX

/* Indexes into value.members, or RING_NOBODY. */
struct ring_pair {
    uint16_t from;
    uint16_t to;
};

struct ring_lists;

struct ring {
    struct ring_value value; /* owned copy */
    struct ring_lists
        *before; /* the placement before the change (STABLE: NULL) and after it (STABLE: as it is), */
    struct ring_lists *after; /* shared with other rings that have the same */
    uint64_t hash;            /* ring_value_hash */
    uint32_t homes;           /* read homes, that is slots, per partition: min(N, members of that side) */
    uint32_t width;           /* members per list: min(PREFERENCE_MAX, members) */
    uint16_t *table; /* partitions x width indexes into value.members: the homes, then the fallbacks, who are
                      * homes neither before nor after. RING_NOBODY behind the last fallback */
    uint32_t twin_width; /* 0 in STABLE; else the larger number of homes, before or after */
    uint16_t *twins; /* partitions x twin_width: the twin of each slot, then an extra; RING_NOBODY: none */
    struct ring_pair *pairs; /* partitions x twin_width: whom each slot goes from and to, given up or not */
    uint32_t *owned; /* partitions that each member is a home of (STABLE), or will be (else), by index */
};

/* Copies the value and computes the table. KV_E_INVALID (ring_value_check), KV_E_NO_MEMORY. */
int ring_create(const struct ring_value *value, struct ring **out);

/* The same ring; what it has in common with `earlier` (may be NULL; not kept) is not computed again: most of
 * it, if that is the ring before or after it in a change. Both belong to one thread. */
int ring_create_after(const struct ring_value *value, const struct ring *earlier, struct ring **out);
void ring_destroy(struct ring *r);

/* Member ids of the preference list of a partition: `ring->homes` read homes first. Returns how many were
 * written. */
uint32_t ring_preference(const struct ring *r, uint32_t partition, uint32_t out[PREFERENCE_MAX]);

/* Whether a member is a home of the partition, before or after the change or an extra: it has a right to its
 * rows. */
bool ring_is_home(const struct ring *r, uint32_t partition, uint32_t member);

/* One slot of a partition. `from` 0: an extra that is new; `to` 0: an old home that has no successor. */
struct ring_slot {
    uint32_t from; /* member ids: the home before */
    uint32_t to;   /* and after; equal: it does not move */
};

/* The slots of a partition, whatever the phase (STABLE: from == to); those given up are among them. Returns
 * how many. */
uint32_t ring_slots(const struct ring *r, uint32_t partition, struct ring_slot out[REPLICAS_MAX]);

/* Every home of the partition that has to have its rows: read homes, twins, extras; without those that are
 * given up. Returns how many. */
uint32_t ring_holders(const struct ring *r, uint32_t partition, uint32_t out[2 * REPLICAS_MAX]);

/* Whom a home after the change has to read before it is WHOLE: `needed` of them, each in full. */
struct ring_sources {
    uint32_t members[REPLICAS_MAX];
    uint32_t count;
    uint32_t needed;
    bool lossy; /* more would have been needed, and are given up: what only they had is lost */
};

/* False: the member takes nothing over (STABLE; no home after; it has all it needs). */
bool ring_takes_over(const struct ring *r, uint32_t partition, uint32_t member, struct ring_sources *out);

static inline uint32_t ring_partition(const struct ring *r, uint64_t token)
{
    return token_partition(token, r->value.partitions);
}

/* Partitions a member is a home of; 0 for a stranger. */
uint32_t ring_owned(const struct ring *r, uint32_t member);

/* Homes of the busiest member, relative to its fair share (1.0: perfectly even); as it will be, while the
 * ring changes. */
double ring_max_over_mean(const struct ring *r);

/* Partition replicas that have to be copied when a becomes b: homes in b, or after it when b changes, that do
 * not hold the partition in a. Who does: a's homes; in PENDING those before, in SWITCH all. */
uint32_t ring_moved(const struct ring *a, const struct ring *b);

#endif
