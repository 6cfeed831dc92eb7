/* Who has to have a row before a note for a member may be forgotten. Inside repair/ only. */
#ifndef REPAIR_HEIRS_H
#define REPAIR_HEIRS_H

#include "ring/ring.h"

/* A note for `member` about a row of `partition`: a home of a slot that stays hands over to itself alone; of
 * a slot that moves, both homes get the row, for the one that is new may have taken the partition over from
 * the other before the row is there. Who is no home of the partition (any more) has all homes as heirs.
 * Members that are given up are left out. Returns how many. */
uint32_t heirs_of(const struct ring *ring, uint32_t partition, uint32_t member, uint32_t out[HOLDERS_MAX]);

#endif
