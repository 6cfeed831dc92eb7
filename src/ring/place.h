/* Which members every partition goes to. Inside ring/ only.
 *
 * The rules, the stronger first:
 *   1. the homes of a partition are different members;
 *   2. they are in different zones; with fewer zones than homes, every zone has one;
 *   3. a zone or member whose share is all partitions has one home of each;
 *   4. no member is a home of more partitions than its cap (cap.h);
 *   5. those are taken who come first on the clockwise walk.
 * Where 1 and 2 leave nobody below the cap, it is the cap that gives way: the member least above its own is
 * taken. Homes, and after them fallbacks, are listed in the order of the walk. */
#ifndef RING_PLACE_H
#define RING_PLACE_H

#include "model/ring_value.h"

/* The preference lists of one set of members. The rings of a change have two sets between them: they share
 * the lists of each, which cost more than all the rest of a ring. */
struct ring_lists {
    uint32_t users;
    struct ring_value of; /* owned: Q, N and the members' ids, weights and zones are all that counts */
    uint32_t homes;       /* per partition: min(N, members) */
    uint32_t width;       /* min(PREFERENCE_MAX, members) */
    uint16_t *table;      /* partitions x width indexes into of.members: the homes, then the fallbacks */
    uint32_t *owned;      /* by index: partitions it is a home of */
};

/* Takes `of` over, also when it fails. KV_E_NO_MEMORY. */
int ring_lists_create(struct ring_value *of, struct ring_lists **out);

/* Whether these are the lists that such a set of members would get. */
bool ring_lists_fit(const struct ring_lists *l, const struct ring_value *of);

struct ring_lists *ring_lists_share(struct ring_lists *l);
void ring_lists_release(struct ring_lists *l); /* NULL: nothing */

#endif
