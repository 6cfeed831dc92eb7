/* One side of a change: the members before it, or after it. Inside ring/ only. */
#ifndef RING_SIDE_H
#define RING_SIDE_H

#include "ring/place.h"
#include "ring/ring.h"

/* The lists of one side of `v`, placed by the code that places a STABLE ring of its members, so the homes
 * before are exactly where they were, and those after where they will be. `earlier` (may be NULL) is a ring
 * whose lists are taken if they fit. KV_E_NO_MEMORY. */
int ring_side_place(const struct ring_value *v, bool before, const struct ring *earlier,
                    struct ring_lists **out);

/* Where each member of that side, by its place in the lists, is in `v`. */
void ring_side_index(const struct ring_value *v, bool before, uint16_t index[MEMBERS_MAX]);

#endif
