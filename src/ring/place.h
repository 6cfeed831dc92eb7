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

#include "ring/ring.h"

/* Fills the table and `owned` of a ring whose value, homes and width are there. KV_E_NO_MEMORY. */
int ring_place(struct ring *r);

#endif
