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

/* The preference lists of one set of members. */
struct ring_lists {
    uint32_t homes;  /* per partition: min(N, members) */
    uint32_t width;  /* min(PREFERENCE_MAX, members) */
    uint16_t *table; /* partitions x width indexes into value.members: the homes, then the fallbacks */
    uint32_t *owned; /* by index: partitions it is a home of */
};

/* `value` is looked at as if it were STABLE: its members by id, weight and zone, its Q and N. KV_E_NO_MEMORY;
 * deinit is due in either case. */
int ring_place(const struct ring_value *value, struct ring_lists *out);
void ring_lists_deinit(struct ring_lists *l);

#endif
