/* How many partitions each member may be a home of, with its zone taken into account. Inside ring/ only.
 *
 * A cap is 1.05 x the member's share, rounded up (Mirrokni, Thorup, Zadimoghaddam 2018). The share is in
 * proportion to weight as far as the rules on zones allow: when N is 3 and one of three zones has one member
 * only, that member must have every partition, whatever it weighs, and its cap says so. */
#ifndef RING_CAP_H
#define RING_CAP_H

#include "model/ring_value.h"

struct ring_caps {
    uint32_t zone_count;
    uint32_t
        *zone_of;  /* by member index: 0 .. zone_count - 1; a member that names no zone is one of its own */
    uint32_t *cap; /* by member index: partitions */
    bool *whole;   /* by member index: its share, or its zone's, is all partitions */
    bool any_whole;
};

/* `homes` per partition, at most as many as members. KV_E_NO_MEMORY; deinit is due in either case. */
int ring_caps_init(struct ring_caps *c, const struct ring_value *value, uint32_t homes);
void ring_caps_deinit(struct ring_caps *c);

#endif
