/* The coordinator of gets and puts: one state machine per request (DESIGN section 6; Dynamo section 4.5
 * and 4.6).
 *
 * N is the cluster's; R and W are the client's (0: majority). `strict`: only homes count. `sloppy`: the first
 * N reachable members of the preference list count; a fallback keeps a hint for the home it stands in for.
 *
 * Put: every reachable home is sent the row; for each home that cannot be reached the next fallback is, with
 * a hint (strict too, though it does not count there); when no fallback is left, the hint is added to a
 * member that has the row anyway. Answered at W acknowledgements of distinct members; the request lives on,
 * until each of the N slots is acknowledged or hinted, or its deadline. A home that fails or is slow beyond
 * COORD_WRITE_PATIENCE_US meanwhile gets its hint too.
 *
 * Get: R replicas are asked, homes first and the nearest first; another is asked when one is slower than its
 * usual p99 (hedge) or fails. The newest row is written back to those of the R that had an older one before
 * it is the answer, when R is a majority or more. Absent everywhere: all of the N are asked, until N-W+1 (W:
 * a majority) homes prove it; a sloppy answer may come without proof (`proven` 0), a strict one is
 * `unavailable` (nothing reachable) or `timeout`.
 *
 * Only "unavailable" means that nothing was sent. Whoever was sent anything and did not get enough answers:
 * "timeout".
 *
 * A member is sent to with EF_SEND to_peer(id), itself included: the node loops that back (self counts as
 * reachable). Ids: ID_COORD, with the slot inside, so no table is looked up. No allocation per request in
 * steady state.
 *
 * Invariants (coord_check): an acknowledgement is counted once per member; acked <= asked <=
 * COORD_TARGETS_MAX; a request in flight has a timer; a finished one holds no row. */
#ifndef COORD_COORD_H
#define COORD_COORD_H

#include "coord/latency.h"
#include "model/outbox.h"
#include "ring/ring.h"

#define COORD_TARGETS_MAX       PREFERENCE_MAX
#define COORD_WRITE_PATIENCE_US UINT64_C(300000) /* then a slow home gets a hint on a fallback */
#define COORD_HEDGE_MIN_US      UINT64_C(2000)
#define COORD_HEDGE_MAX_US      UINT64_C(100000) /* also the guess for a member not measured yet */

struct coord;

struct coord_config {
    uint32_t self;
    uint32_t value_max_bytes;
};

int coord_create(const struct coord_config *config, struct coord **out);
void coord_destroy(struct coord *c);

/* Adopts a ring (borrowed until the next call). Requests in flight are planned again under it, with the same
 * row and stamp. */
void coord_ring_set(struct coord *c, struct now now, const struct ring *ring, struct outbox *out);

/* Whether a member can be sent to. On a loss, requests that wait for it go on elsewhere at once. */
void coord_peer_set(struct coord *c, struct now now, uint32_t member, bool reachable, struct outbox *out);
bool coord_peer_reachable(const struct coord *c, uint32_t member);

/* MSG_REQUEST with OP_GET, OP_PUT or OP_STAMP. The caller has checked key, row, stamp and limits; `hlc` is
 * now on the cluster's clock: expiry is tested against it and it is sent as began_hlc. The answer is EF_SEND
 * of MSG_RESPONSE with the request's id to `from`, maybe at once. KV_E_OVERLOADED is answered when all slots
 * are in use. */
void coord_request(struct coord *c, struct now now, uint64_t hlc, struct endpoint from,
                   const struct message *m, struct outbox *out);

/* WRITE_ACK and READ_REPLY from `member` whose id is ID_COORD's; late and duplicate ones are ignored. */
void coord_answer(struct coord *c, struct now now, uint64_t hlc, uint32_t member, const struct message *m,
                  struct outbox *out);

void coord_tick(struct coord *c, struct now now, uint64_t hlc, struct outbox *out);
uint64_t coord_deadline_us(const struct coord *c);

/* Requests not answered yet, and all in flight (answered ones that still care for their hints included). */
uint32_t coord_unanswered(const struct coord *c);
uint32_t coord_in_flight(const struct coord *c);
uint64_t coord_bytes_in_flight(const struct coord *c);

/* Usual round trip to a member, for status; 0: none measured. */
uint32_t coord_rtt_us(const struct coord *c, uint32_t member);

/* Finished requests by what the client was told. */
struct coord_counters {
    uint64_t gets[8], puts[8]; /* by coord_outcome */
    uint64_t hedges, write_backs, hinted, replans, late_answers;
};
enum coord_outcome {
    OUTCOME_OK,
    OUTCOME_NOT_FOUND,
    OUTCOME_UNAVAILABLE,
    OUTCOME_TIMEOUT,
    OUTCOME_OVERLOADED,
    OUTCOME_REFUSED, /* too_large, invalid, not_permitted */
};
struct coord_counters coord_counters(const struct coord *c);

void coord_check(const struct coord *c);

#endif
