/* The coordinator of scans: pages of live keys in token order. Every reachable member is asked for its next
 * rows behind the cursor; the page ends at the smallest token that all answers cover; of each key the newest
 * row decides whether it lives. A page is `complete` when N-W+1 homes (W: a majority) of every partition
 * answered. Pages are bounded by rows read, not by rows returned, so tombstones cannot stall a scan. */
#ifndef COORD_SCAN_H
#define COORD_SCAN_H

#include "model/outbox.h"
#include "ring/ring.h"

#define SCANS_MAX 64u /* at once on one node; more: overloaded */

struct scans;

int scans_create(uint32_t self, struct scans **out);
void scans_destroy(struct scans *s);
void scans_ring_set(struct scans *s, const struct ring *ring);
void scans_peer_set(struct scans *s, struct now now, uint64_t hlc, uint32_t member, bool reachable,
                    struct outbox *out);

/* MSG_SCAN; answered with MSG_SCAN_PAGE. */
void scans_request(struct scans *s, struct now now, uint64_t hlc, struct endpoint from,
                   const struct message *m, struct outbox *out);
/* MSG_RANGE_PAGE, id ID_SCAN's. */
void scans_answer(struct scans *s, struct now now, uint64_t hlc, uint32_t member, const struct message *m,
                  struct outbox *out);
void scans_tick(struct scans *s, struct now now, uint64_t hlc, struct outbox *out);
uint64_t scans_deadline_us(const struct scans *s);
uint32_t scans_active(const struct scans *s);

#endif
