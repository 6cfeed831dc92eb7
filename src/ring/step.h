/* The values that the steps of a change lead to; when each may be taken is next.c's part. Inside ring/ only.
 * KV_E_NO_MEMORY from all of them; `out` is the caller's to deinit when they succeed. */
#ifndef RING_STEP_H
#define RING_STEP_H

#include "ring/ring.h"

/* Who moves: a bit or both for each member, by index. */
#define RING_LOSES 1u /* a displaced home: of some partition it is a home before and not after */
#define RING_GAINS 2u /* a new home: of some partition it has something to take over (ring_takes_over) */
void ring_movers(const struct ring *r, uint8_t out[MEMBERS_MAX]);

/* KV_E_INVALID: the change makes no sense for this ring. */
int ring_step_begin(const struct ring_value *v, const struct ring_change *c, struct ring_value *out);

int ring_step_ask(const struct ring_value *v, const struct ring_change *c, struct ring_value *out);
int ring_step_drop(const struct ring_value *v, struct ring_value *out);
int ring_step_switch(const struct ring_value *v, struct ring_value *out);
int ring_step_finish(const struct ring *r, struct ring_value *out);
int ring_step_give_up(const struct ring_value *v, uint32_t member, struct ring_value *out);
int ring_step_back(const struct ring_value *v, struct ring_value *out);
int ring_step_undo(const struct ring *r, struct ring_value *out);

/* STABLE as it is to be once what is under way is done; what only waits is left aside. For plans. */
int ring_step_settled(const struct ring_value *v, struct ring_value *out);

#endif
