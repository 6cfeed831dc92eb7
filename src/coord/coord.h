/* The coordinator of gets and puts: one state machine per request (DESIGN section 6; Dynamo section 4.5
 * and 4.6).
 *
 * N is the cluster's (or the number of members, when there are fewer); R and W are the client's (0: a
 * majority of N; above N: invalid). `strict`: only homes count. `sloppy`: the first N reachable members of
 * the preference list count; a fallback keeps a hint for the home it stands in for.
 *
 * Put: every reachable home is sent the row; for each home that cannot be reached, refuses, or is silent for
 * COORD_WRITE_PATIENCE_US, the next fallback is, with a hint (strict too, though it does not count there);
 * when no fallback is left, the hint goes to a member that has the row anyway, this node by preference.
 * Answered at W acknowledgements of distinct members, that is, disks: a stand-in counts beside the home it
 * stands in for, should that be slow and not gone. The request lives on until each of the N homes has the
 * row or a hint for it is kept, or nothing more can be done for it, or COORD_WRITE_PATIENCE_US after its
 * deadline. It is as old as its stamp (began_hlc), and never waits for longer than TIMEOUT_PUT_MAX_US.
 *
 * Get: R replicas are asked, homes first and the nearest first; another is asked when one is slower than its
 * usual p99 (hedge) or fails. One get in 64 asks the farthest home besides, so that who was slow once is
 * found to have recovered. When R is a majority or more, the newest row is sent to those of the R that had an
 * older one, and is the answer once N-M+1 members (M: a majority; strict: homes) hold it: so every later
 * majority meets it, whatever R this reader had. If one of them fails, another is tried; when nobody is left,
 * a strict get times out, and a sloppy one is answered. Below a majority nobody waits for the repair. A
 * fallback is only ever sent the row with hints for the homes that have not answered.
 *
 * Absent everywhere: all of the N are asked, until N-M+1 homes prove it; a sloppy answer may come without
 * proof (`proven` 0), at the latest after COORD_WRITE_PATIENCE_US or half of the time left; a strict one is
 * `timeout`. A tombstone or an expired row is a row that was found: not_found, and `proven` if R is a
 * majority.
 *
 * Only "unavailable" means that nothing was sent. Whoever was sent anything and did not get enough answers:
 * "timeout", before the deadline when nobody is left who could answer. The exception: when every member that
 * was asked has refused, nothing was applied, and the refusal is the answer ("overloaded", "invalid", ...).
 *
 * The numbers of an answer: `asked` distinct members that were sent anything; `acked` those of them that
 * acknowledged (get: answered) and count; `needed` R or W; `reachable` how many that would count can be
 * reached now, at most N; `hinted` homes that do not have the row yet and for which a hint is kept or on its
 * way.
 *
 * While the ring changes (DESIGN section 7) a slot that moves has two homes, one that is read and its twin.
 * Both are sent the row, and the slot acknowledges, or holds what is written back, when both have it: old and
 * new counted one by one would let a write and a later read miss each other. A home that is given up is sent
 * nothing, and its slot neither acknowledges nor answers; an extra home is sent the row and never counts.
 * A put cares for all of them, with hints for up to HOLDERS_MAX. Under a new ring a request is placed again:
 * see place.c for what stays true of what it was told.
 *
 * A replica that answers WRONG_RING knows a newer ring, and is sent the same again after coord_ring_set, or
 * at once if that came between; or it knows an older one, and is sent the same again after a short while.
 *
 * A member is sent to with EF_SEND to_peer(id), itself included: the node loops that back (self counts as
 * reachable). Ids: ID_COORD, with the slot inside, so no table is looked up. No allocation per request in
 * steady state.
 *
 * Invariants (coord_check): an acknowledgement is counted once per member; acked <= asked; a request in
 * flight has a timer; a finished one holds no row. */
#ifndef COORD_COORD_H
#define COORD_COORD_H

#include "coord/latency.h"
#include "model/outbox.h"
#include "ring/ring.h"

#define COORD_WRITE_PATIENCE_US \
    UINT64_C(300000) /* of silence: then a member counts as gone, for this request */
#define COORD_HEDGE_MIN_US UINT64_C(2000)
#define COORD_HEDGE_MAX_US UINT64_C(100000) /* also the guess for a member not measured yet */

struct coord;

struct coord_config {
    uint32_t self;
    uint32_t value_max_bytes;
};

int coord_create(const struct coord_config *config, struct coord **out);
void coord_destroy(struct coord *c);

/* Adopts a ring (borrowed until the next call). Requests in flight are planned again under it, with the same
 * row and stamp. What does not fit in half of the outbox is due at once, with the next tick. */
void coord_ring_set(struct coord *c, struct now now, const struct ring *ring, struct outbox *out);

/* Whether a member can be sent to. On a loss, requests that wait for it go on elsewhere at once; on a return,
 * those that still need it ask it again. Members may be told of before the ring is. */
void coord_peer_set(struct coord *c, struct now now, uint32_t member, bool reachable, struct outbox *out);
bool coord_peer_reachable(const struct coord *c, uint32_t member);

/* MSG_REQUEST with OP_GET, OP_PUT or OP_STAMP. The caller has checked key, row, stamp and limits; `hlc` is
 * now on the cluster's clock: expiry is tested against it and it is sent as began_hlc. The answer is EF_SEND
 * of MSG_RESPONSE with the request's id to `from`, maybe at once. KV_E_OVERLOADED is answered when all slots
 * are in use or INFLIGHT_MAX_BYTES would be exceeded. */
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
