/* The table of a ring that changes, from the placements before and after. Inside ring/ only. */
#ifndef RING_SLOTS_H
#define RING_SLOTS_H

#include "ring/ring.h"

/* Fills the table, twins, pairs and owned of a ring that is not STABLE. KV_E_NO_MEMORY: what has been
 * allocated is ring_destroy's. */
int ring_pair_up(struct ring *r);

/* Whether those who are homes before and after have something to take over too (sources.c). */
bool ring_stay_takes_over(const struct ring *r);

#endif
