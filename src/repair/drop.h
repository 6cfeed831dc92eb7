/* Rows that this node is no holder of any more go (DESIGN section 7: only after STABLE was adopted). Each run
 * of partitions that it does not hold is read page by page, headers only, and what is found is deleted: only
 * if it still is what was read, and only if no note (hint) names the key. Those rows belong to somebody who
 * is away, and the hand-over deletes them.
 *
 * Nothing is remembered of how far it is: each start, and each adopted STABLE, begins anew, and a run without
 * rows costs one seek. A newer ring ends it at once.
 *
 * In the background: one page at a time, then a pause of DROP_REST times as long as that page took, so that
 * it gives way as the store gets busy. */
#ifndef REPAIR_DROP_H
#define REPAIR_DROP_H

#include "model/outbox.h"
#include "ring/ring.h"

#define DROP_DELAY_US                                                                    \
    UINT64_C(2000000) /* after STABLE: what was being written for the change is, by then \
                       */
#define DROP_REST        4u
#define DROP_REST_MIN_US UINT64_C(1000)
#define DROP_REST_MAX_US UINT64_C(1000000)
#define DROP_RETRY_US    UINT64_C(1000000) /* a disk that was full, memory that was not there */

struct drop;

int drop_create(uint32_t self, struct drop **out);
void drop_destroy(struct drop *d);

/* A ring was adopted. KV_E_NO_MEMORY: nothing is dropped under it. */
int drop_ring_set(struct drop *d, struct now now, const struct ring *ring);

/* EV_STORE_PAGE and EV_STORE_WRITTEN of ID_DROP's operations; late ones are ignored. */
void drop_page(struct drop *d, struct now now, const struct event *in, struct outbox *out);
void drop_written(struct drop *d, struct now now, const struct event *in, struct outbox *out);

void drop_tick(struct drop *d, struct now now, struct outbox *out);
uint64_t drop_deadline_us(const struct drop *d);

bool drop_active(const struct drop *d);
uint64_t drop_rows(const struct drop *d); /* that went in this life */

void drop_check(const struct drop *d);

#endif
