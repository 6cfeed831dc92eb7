/* Ring values for the tests of ring/. */
#ifndef UNIT_RING_SUPPORT_H
#define UNIT_RING_SUPPORT_H

#include "ring/ring.h"

/* A value without zones: Q and N as usual, weights 1, ids 1..count but for `left_out` (0: nobody). To be
 * deinitialised. */
struct ring_value numbered_value(uint32_t count, uint32_t left_out);

/* Its ring, to be destroyed. Asserts. */
struct ring *numbered_ring(uint32_t count, uint32_t left_out);

/* The ring of a value, which is released. Asserts. */
struct ring *ring_taking(struct ring_value *value_owned);

/* PENDING with every member before and after as it is now; and a queue that says anything, so that it is a
 * value. */
void begin_by_hand(struct ring_value *v);

/* STABLE with the members before, or after, the change that is under way. To be deinitialised. */
struct ring_value side_of(const struct ring_value *v, bool before);

/* One number for the whole table. */
uint64_t table_hash(const struct ring *r);

/* What holds for every ring: lists of distinct members, homes first, counts that add up. Asserts. */
void check_table(const struct ring *r);

#endif
