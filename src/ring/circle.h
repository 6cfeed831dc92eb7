/* The circle of points that preference lists walk on (Karger et al. 1997). Inside ring/ only.
 *
 * A point is the hash of (member id, index), index 0 .. RING_POINTS x weight - 1. The id and nothing else:
 * names and addresses may change without moving a row, and a member that gains weight keeps the points it
 * has. */
#ifndef RING_CIRCLE_H
#define RING_CIRCLE_H

#include "model/ring_value.h"

struct ring_point {
    uint64_t token;
    uint32_t member; /* index into the value's members */
};

struct ring_circle {
    uint32_t count;
    struct ring_point *points; /* by token, then member */
    uint32_t *first;           /* by partition: its first point; one entry more at the end */
};

/* KV_E_NO_MEMORY; deinit is due in either case. */
int ring_circle_init(struct ring_circle *c, const struct ring_value *value);
void ring_circle_deinit(struct ring_circle *c);

#endif
