/* The coordinator of scans: pages of live keys in token order. Every reachable member is asked for its next
 * rows behind the cursor; the page ends at the smallest place that all answers cover; of each key the newest
 * row decides whether it lives. A page is `complete` when N-W+1 homes (W: a majority) of every partition it
 * covers answered. Pages are bounded by rows read, not by rows returned, so tombstones cannot stall a scan:
 * a page may be empty and not `done`.
 *
 * A member that cannot be reached, fails or is silent is left out; one that has another ring is asked again.
 * A page waits SCAN_PATIENCE_US for the silent, and longer only while it would be incomplete without them,
 * but never beyond three quarters of the request's time, so that its answer arrives in time. Nobody
 * reachable: unavailable; nobody answered: timeout; more than SCANS_MAX at once: overloaded. */
#ifndef COORD_SCAN_H
#define COORD_SCAN_H

#include "model/outbox.h"
#include "ring/ring.h"

#define SCANS_MAX        64u /* at once on one node; more: overloaded */
#define SCAN_PATIENCE_US UINT64_C(300000)
#define SCAN_RETRY_US    UINT64_C(20000) /* after WRONG_RING */
#define SCAN_READ_MIN    64u /* rows a member is asked for at least, however many members there are */

struct scans;

int scans_create(uint32_t self, struct scans **out);
void scans_destroy(struct scans *s);

/* Borrowed until the next call. Scans in progress begin their page anew with the next tick: answers under two
 * rings together cover nothing for certain. */
void scans_ring_set(struct scans *s, struct now now, const struct ring *ring);

/* Whether a member can be sent to; self always can. */
void scans_peer_set(struct scans *s, struct now now, uint64_t hlc, uint32_t member, bool reachable,
                    struct outbox *out);

/* MSG_SCAN; answered with MSG_SCAN_PAGE, maybe at once. The caller has checked the cursor and the prefix. */
void scans_request(struct scans *s, struct now now, uint64_t hlc, struct endpoint from,
                   const struct message *m, struct outbox *out);
/* MSG_RANGE_PAGE, id ID_SCAN's; late and duplicate ones are ignored. */
void scans_answer(struct scans *s, struct now now, uint64_t hlc, uint32_t member, const struct message *m,
                  struct outbox *out);
void scans_tick(struct scans *s, struct now now, uint64_t hlc, struct outbox *out);
uint64_t scans_deadline_us(const struct scans *s);
uint32_t scans_active(const struct scans *s);

/* Every scan in progress has a timer and waits for somebody; the others hold nothing. */
void scans_check(const struct scans *s);

#endif
